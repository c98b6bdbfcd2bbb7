//! Two images beside each other: which layers they share, and what the file system of one has otherwise than that of the
//! other. Both are whole analyses; nothing is read for it.

pub mod words;

use std::collections::{HashMap, HashSet};

use super::entry::{Entry, Kind};
use super::explored::Explored;
use super::tree::{LayerId, NodeId, ROOT};

/// An entry: its layer, and its number there.
pub type At = (LayerId, u32);

/// Everything that is different.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diff {
    /// Layers of both, from the lowest.
    pub layers: Vec<LayerChange>,
    /// Paths that are not the same, sorted.
    pub paths: Vec<PathChange>,
    /// What the first image weighs.
    pub before: Weight,
    /// What the second one weighs.
    pub after: Weight,
}

/// How a layer is to its counterpart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LayerFate {
    /// Both have it on top of the same layers: one copy serves both.
    Shared,
    /// Both have its content, on top of others: it is sent once, and unpacked twice.
    Moved,
    /// The same instruction made another content.
    Rebuilt,
    /// The second image alone has it.
    Added,
    /// The first image alone has it.
    Removed,
}

/// A layer of one image, or of both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerChange {
    /// How they are to each other.
    pub fate: LayerFate,
    /// Its place in the first image.
    pub before: Option<LayerId>,
    /// Its place in the second image.
    pub after: Option<LayerId>,
}

/// What became of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fate {
    /// The second image alone shows it.
    Added,
    /// The first image alone shows it.
    Removed,
    /// A file with more bytes.
    Grown,
    /// A file with fewer bytes.
    Shrunk,
    /// Other content of the same length, another target or device.
    Content,
    /// Something else: a link where a file was.
    Kind,
    /// The same content with another mode, owner, attributes or names.
    Attributes,
    /// The same but for its time.
    Time,
}

/// What of a path is different besides its content.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Differs {
    /// Permission bits.
    pub mode: bool,
    /// Owner or group.
    pub owner: bool,
    /// Extended attributes.
    pub xattrs: bool,
    /// Which other names the file has.
    pub links: bool,
    /// Modification time.
    pub time: bool,
}

/// A path that is not the same in both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathChange {
    /// The path, without a slash in front.
    pub path: Vec<u8>,
    /// What became of it.
    pub fate: Fate,
    /// What is different where both show it.
    pub differs: Differs,
    /// The first image's entry.
    pub before: Option<At>,
    /// The second image's entry.
    pub after: Option<At>,
    /// Its bytes in the first image; a file with several names has them at the first.
    pub bytes_before: u64,
    /// Its bytes in the second image.
    pub bytes_after: u64,
}

/// What an image weighs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Weight {
    /// Layers.
    pub layers: usize,
    /// Bytes of its blobs.
    pub blobs: u64,
    /// Bytes of its blobs that the other image does not have: what is sent where the other one is there.
    pub own_blobs: u64,
    /// Bytes of all files of all layers.
    pub bytes: u64,
    /// Of these, those that nobody sees.
    pub wasted: u64,
    /// Files that are seen, each once however many names it has.
    pub files: usize,
}

/// Paths that came or went at once: a whole directory is one, with all that is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group<'a> {
    /// Its topmost path.
    pub top: &'a PathChange,
    /// Paths at and below it that changed with it.
    pub paths: usize,
    /// Their bytes in the first image.
    pub bytes_before: u64,
    /// Their bytes in the second image.
    pub bytes_after: u64,
}

/// Paths of one fate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Total {
    /// How many.
    pub paths: usize,
    /// Their bytes in the first image.
    pub before: u64,
    /// Their bytes in the second image.
    pub after: u64,
}

impl Fate {
    /// All of them, in the order in which they are told.
    pub const ALL: [Self; 8] = [
        Self::Added,
        Self::Removed,
        Self::Grown,
        Self::Shrunk,
        Self::Content,
        Self::Kind,
        Self::Attributes,
        Self::Time,
    ];

    /// One word, as the command line and JSON have it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Grown => "grown",
            Self::Shrunk => "shrunk",
            Self::Content => "content",
            Self::Kind => "kind",
            Self::Attributes => "attributes",
            Self::Time => "time",
        }
    }
}

impl LayerFate {
    /// One word, as the command line and JSON have it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Moved => "moved",
            Self::Rebuilt => "rebuilt",
            Self::Added => "added",
            Self::Removed => "removed",
        }
    }
}

impl Differs {
    /// What is different, in words.
    #[must_use]
    pub fn words(self) -> Vec<&'static str> {
        let all = [
            (self.mode, "mode"),
            (self.owner, "owner"),
            (self.xattrs, "xattrs"),
            (self.links, "links"),
            (self.time, "time"),
        ];
        all.into_iter()
            .filter_map(|(is_so, word)| is_so.then_some(word))
            .collect()
    }
}

impl Weight {
    /// Bytes of files that are seen.
    #[must_use]
    pub fn seen(&self) -> u64 {
        self.bytes - self.wasted
    }
}

impl Diff {
    /// Compares two images. Costs time in proportion to their paths.
    #[must_use]
    pub fn of(before: &Explored, after: &Explored) -> Self {
        let mut walk = Walk {
            before: Side::new(before),
            after: Side::new(after),
            same_layers: same_layers(before, after),
            paths: Vec::new(),
        };
        walk.run();
        let (mut paths, mut sides) = (walk.paths, [walk.before, walk.after]);
        paths.sort_by(|a, b| a.path.cmp(&b.path));
        for change in &mut paths {
            change.bytes_before = sides[0].bytes(change.before);
            change.bytes_after = sides[1].bytes(change.after);
        }
        Self {
            layers: layers(before, after),
            paths,
            before: weight(before, after, &sides[0]),
            after: weight(after, before, &sides[1]),
        }
    }

    /// Both show the same files: content, modes, owners, attributes and names; times, too, if they are asked for.
    #[must_use]
    pub fn is_same(&self, with_times: bool) -> bool {
        self.paths
            .iter()
            .all(|change| change.fate == Fate::Time && !with_times)
    }

    /// What became of how many paths.
    #[must_use]
    pub fn total(&self, fate: Fate) -> Total {
        let mut total = Total::default();
        for change in self.paths.iter().filter(|change| change.fate == fate) {
            total.paths += 1;
            total.before += change.bytes_before;
            total.after += change.bytes_after;
        }
        total
    }

    /// The changes, those that came or went with their directory as one, the largest first.
    #[must_use]
    pub fn groups(&self) -> Vec<Group<'_>> {
        grouped(&self.paths)
    }

    /// What is directly in a directory that came or went as one, each with all that is below it, the largest first.
    #[must_use]
    pub fn inside(&self, directory: &[u8]) -> Vec<Group<'_>> {
        let is_inside = |path: &[u8]| {
            let rest = path.strip_prefix(directory);
            rest.is_some_and(|rest| rest.starts_with(b"/"))
        };
        // All that is inside stands together, from the first path that is no less than the directory's with a slash.
        let first = [directory, b"/"].concat();
        let start = self.paths.partition_point(|change| change.path < first);
        let rest = self.paths.get(start..).unwrap_or_default();
        let count = rest.partition_point(|change| is_inside(&change.path));
        grouped(rest.get(..count).unwrap_or_default())
    }

    /// In one word: `same`, `times` (nothing else is different), `larger`, `smaller` or `changed` (at the same weight).
    #[must_use]
    pub fn verdict(&self) -> &'static str {
        match self.after.bytes.cmp(&self.before.bytes) {
            _ if self.is_same(true) && self.after.bytes == self.before.bytes => "same",
            std::cmp::Ordering::Greater => "larger",
            std::cmp::Ordering::Less => "smaller",
            std::cmp::Ordering::Equal if self.is_same(false) => "times",
            std::cmp::Ordering::Equal => "changed",
        }
    }
}

/// Changes by what came or went with which of them, the largest first.
fn grouped(changes: &[PathChange]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    // The group that the last path belonged to: paths below it come right after it, but for siblings such as `a-b`.
    let mut open: HashMap<&[u8], usize> = HashMap::new();
    for change in changes {
        let alone = matches!(change.fate, Fate::Added | Fate::Removed);
        let above = parents(&change.path).find_map(|path| open.get(path).copied());
        let place = above.filter(|place| alone && groups[*place].top.fate == change.fate);
        let place = place.unwrap_or_else(|| {
            groups.push(Group {
                top: change,
                paths: 0,
                bytes_before: 0,
                bytes_after: 0,
            });
            groups.len() - 1
        });
        if alone {
            open.insert(&change.path, place);
        }
        groups[place].paths += 1;
        groups[place].bytes_before += change.bytes_before;
        groups[place].bytes_after += change.bytes_after;
    }
    let weight = |group: &Group<'_>| group.bytes_after.abs_diff(group.bytes_before);
    groups.sort_by(|a, b| {
        let by_weight = weight(b).cmp(&weight(a));
        by_weight.then_with(|| a.top.path.cmp(&b.top.path))
    });
    groups
}

/// The directories that a path is in, the nearest first; not the root.
fn parents(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let slashes = path.iter().enumerate().rev();
    slashes
        .filter(|(_, b)| **b == b'/')
        .map(|(place, _)| &path[..place])
}

/// One of the images.
struct Side<'a> {
    image: &'a Explored,
    /// Of files with more than one name that is seen: the least of the names.
    names: HashMap<At, Vec<u8>>,
    /// Files that are seen.
    files: usize,
    /// Files whose bytes were told.
    told: HashSet<At>,
}

impl<'a> Side<'a> {
    fn new(image: &'a Explored) -> Self {
        let stack = &image.stack;
        let mut seen: HashMap<At, (usize, NodeId)> = HashMap::new();
        let mut files: HashSet<At> = HashSet::new();
        let mut names: HashMap<At, Vec<u8>> = HashMap::new();
        for node in (0..).take(stack.tree.paths()) {
            let Some(at) = stack.tree.current(node) else {
                continue;
            };
            let inode = stack.inode_of(at);
            if let Kind::File { .. } = stack.entry(inode).kind {
                files.insert(inode);
            }
            let (count, first) = seen.entry(inode).or_insert((0, node));
            *count += 1;
            // Few files have a second name: only then are names made.
            if *count == 2 {
                names.insert(inode, stack.tree.path(*first));
            }
            if *count > 1 {
                let path = stack.tree.path(node);
                let least = names.entry(inode).or_default();
                if path < *least {
                    *least = path;
                }
            }
        }
        Self {
            image,
            names,
            files: files.len(),
            told: HashSet::new(),
        }
    }

    fn current(&self, node: Option<NodeId>) -> Option<At> {
        self.image.stack.tree.current(node?)
    }

    fn inode(&self, at: At) -> (&'a Entry, Option<&Vec<u8>>) {
        let inode = self.image.stack.inode_of(at);
        (self.image.stack.entry(inode), self.names.get(&inode))
    }

    fn bytes(&mut self, at: Option<At>) -> u64 {
        let file = at.and_then(|at| self.image.stack.file_of(at));
        match file {
            Some(file) if self.told.insert(file) => self.image.stack.entry(file).size,
            _ => 0,
        }
    }
}

/// Goes through both trees at once.
struct Walk<'a> {
    before: Side<'a>,
    after: Side<'a>,
    /// Layers of the first image, and the same one in the second.
    same_layers: HashMap<LayerId, LayerId>,
    paths: Vec<PathChange>,
}

impl Walk<'_> {
    fn run(&mut self) {
        let mut open = vec![(Some(ROOT), Some(ROOT))];
        while let Some((before, after)) = open.pop() {
            self.look(before, after);
            let (a, b) = (&self.before.image.stack.tree, &self.after.image.stack.tree);
            if let Some(before) = before {
                open.extend(a.children(before).map(|child| {
                    let name = a.name(child);
                    (Some(child), after.and_then(|after| b.child(after, name)))
                }));
            }
            if let Some(after) = after {
                open.extend(b.children(after).filter_map(|child| {
                    let name = b.name(child);
                    let known = before.is_some_and(|before| a.child(before, name).is_some());
                    (!known).then_some((None, Some(child)))
                }));
            }
        }
    }

    fn look(&mut self, before: Option<NodeId>, after: Option<NodeId>) {
        let (old, new) = (self.before.current(before), self.after.current(after));
        let (fate, differs) = match (old, new) {
            (None, None) => return,
            (None, Some(_)) => (Fate::Added, Differs::default()),
            (Some(_), None) => (Fate::Removed, Differs::default()),
            (Some(old), Some(new)) => match self.compare(old, new) {
                Some(found) => found,
                None => return,
            },
        };
        let path = match (before, after) {
            (Some(node), _) => self.before.image.stack.tree.path(node),
            (None, Some(node)) => self.after.image.stack.tree.path(node),
            (None, None) => return,
        };
        self.paths.push(PathChange {
            path,
            fate,
            differs,
            before: old,
            after: new,
            bytes_before: 0,
            bytes_after: 0,
        });
    }

    fn compare(&self, old: At, new: At) -> Option<(Fate, Differs)> {
        let ((a, a_names), (b, b_names)) = (self.before.inode(old), self.after.inode(new));
        let differs = Differs {
            // Links have no mode of their own (symlink(7)).
            mode: a.mode & 0o7777 != b.mode & 0o7777 && !matches!(a.kind, Kind::Symlink { .. }),
            owner: (a.uid, a.gid) != (b.uid, b.gid),
            xattrs: a.xattrs != b.xattrs && !same_set(&a.xattrs, &b.xattrs),
            links: a_names != b_names,
            time: a.mtime != b.mtime,
        };
        // Nobody knows the digest of a file that is mostly holes: in a layer that both have it is the same.
        let same_entry = old.1 == new.1 && self.same_layers.get(&old.0) == Some(&new.0);
        let fate = match (&a.kind, &b.kind) {
            (Kind::File { content: x }, Kind::File { content: y }) => match b.size.cmp(&a.size) {
                std::cmp::Ordering::Greater => Some(Fate::Grown),
                std::cmp::Ordering::Less => Some(Fate::Shrunk),
                std::cmp::Ordering::Equal if same_entry || (x.is_some() && x == y) => None,
                std::cmp::Ordering::Equal => Some(Fate::Content),
            },
            (Kind::Directory { .. }, Kind::Directory { .. })
            | (Kind::Fifo, Kind::Fifo)
            | (Kind::Whiteout, Kind::Whiteout) => None,
            (Kind::Symlink { target: x }, Kind::Symlink { target: y })
            | (Kind::HardLink { target: x }, Kind::HardLink { target: y }) => {
                (x != y).then_some(Fate::Content)
            }
            (Kind::Char { device: x }, Kind::Char { device: y })
            | (Kind::Block { device: x }, Kind::Block { device: y }) => {
                (x != y).then_some(Fate::Content)
            }
            _ => Some(Fate::Kind),
        };
        let fate = fate.or_else(|| match differs {
            Differs {
                mode: false,
                owner: false,
                xattrs: false,
                links: false,
                time,
            } => time.then_some(Fate::Time),
            _ => Some(Fate::Attributes),
        });
        fate.map(|fate| (fate, differs))
    }
}

/// Attributes have no order.
fn same_set(a: &[(Vec<u8>, Vec<u8>)], b: &[(Vec<u8>, Vec<u8>)]) -> bool {
    a.len() == b.len() && a.iter().all(|own| b.contains(own))
}

/// Layers of the first image that the second one has, too.
fn same_layers(before: &Explored, after: &Explored) -> HashMap<LayerId, LayerId> {
    layers(before, after)
        .into_iter()
        .filter(|change| matches!(change.fate, LayerFate::Shared | LayerFate::Moved))
        .filter_map(|change| change.before.zip(change.after))
        .collect()
}

/// Which layer of one is which of the other.
fn layers(before: &Explored, after: &Explored) -> Vec<LayerChange> {
    let (a, b) = (&before.layers, &after.layers);
    let shared = a
        .iter()
        .zip(b)
        .take_while(|(a, b)| a.diff_id == b.diff_id)
        .count();
    let id = |place: usize| LayerId::try_from(place).unwrap_or(LayerId::MAX);
    let mut partners: HashMap<usize, (usize, LayerFate)> = (0..shared)
        .map(|place| (place, (place, LayerFate::Shared)))
        .collect();
    let mut taken: HashSet<usize> = (0..shared).collect();
    let mut pair = |fate, is_same: &dyn Fn(usize, usize) -> bool| {
        for place in shared..b.len() {
            if partners.contains_key(&place) {
                continue;
            }
            let other =
                (shared..a.len()).find(|other| !taken.contains(other) && is_same(*other, place));
            if let Some(other) = other {
                taken.insert(other);
                partners.insert(place, (other, fate));
            }
        }
    };
    pair(LayerFate::Moved, &|x, y| a[x].diff_id == b[y].diff_id);
    pair(LayerFate::Rebuilt, &|x, y| {
        !b[y].command.is_empty() && a[x].command == b[y].command
    });
    let mut all: Vec<LayerChange> = Vec::new();
    let mut gone = (shared..a.len())
        .filter(|place| !taken.contains(place))
        .peekable();
    let removed = |place: usize| LayerChange {
        fate: LayerFate::Removed,
        before: Some(id(place)),
        after: None,
    };
    for place in 0..b.len() {
        // What went is told where it was: before the layer that came after it.
        if let Some((partner, _)) = partners.get(&place) {
            while let Some(lost) = gone.next_if(|lost| lost < partner) {
                all.push(removed(lost));
            }
        }
        let partner = partners.get(&place);
        all.push(LayerChange {
            fate: partner.map_or(LayerFate::Added, |(_, fate)| *fate),
            before: partner.map(|(other, _)| id(*other)),
            after: Some(id(place)),
        });
    }
    all.extend(gone.map(removed));
    all
}

fn weight(image: &Explored, other: &Explored, side: &Side<'_>) -> Weight {
    let known: HashSet<_> = other.layers.iter().map(|layer| &layer.blob).collect();
    let mut told = HashSet::new();
    let own = image
        .layers
        .iter()
        .filter(|layer| !known.contains(&layer.blob) && told.insert(&layer.blob));
    Weight {
        layers: image.layers.len(),
        blobs: image.layers.iter().map(|layer| layer.blob_size).sum(),
        own_blobs: own.map(|layer| layer.blob_size).sum(),
        bytes: image.size(),
        wasted: image.stack.wasted(),
        files: side.files,
    }
}

#[cfg(test)]
pub(super) mod tests;
