//! Exact waste: the bytes of all layers that the image's file system does not show in the end, each byte once, with the layer
//! that brought them, the layer that hid them, and how.

use std::collections::HashMap;
use std::sync::Arc;

use super::entry::{Entry, Kind, Repeated};
use super::tree::{Hiding, LayerId, NodeId, Tree};

/// How bytes came to be hidden.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cause {
    /// A later layer removes the path, or a directory above it.
    Removed,
    /// A later layer has other content there.
    Overwritten,
    /// A later layer has the same content again, with another mode, owner, time or attributes.
    CopiedAgain,
    /// A later layer has something else than a file there, or than a directory above it.
    Replaced,
    /// The layer's own archive has the path more than once: the last one counts.
    WrittenTwice,
}

/// Bytes that are hidden: one file of one layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waste {
    /// Its path; of a file with several names the last one that was hidden.
    pub node: NodeId,
    /// Its bytes.
    pub bytes: u64,
    /// The layer that has them.
    pub added: (LayerId, u32),
    /// The layer that hides them, and its entry that does so.
    pub hidden: (LayerId, u32),
    /// How.
    pub cause: Cause,
}

/// An image's layers, one upon the other, with what each hides.
#[derive(Debug, Clone, Default)]
pub struct Stack {
    /// All paths.
    pub tree: Tree,
    /// Entries of each layer, as its index has them.
    pub layers: Vec<Arc<[Entry]>>,
    /// What is hidden, in the order in which it was hidden.
    pub waste: Vec<Waste>,
    /// Bytes that archives have and their layers do not show.
    repeated: u64,
    /// The file that a hard link is another name of.
    links: HashMap<(LayerId, u32), (LayerId, u32)>,
    /// Names that are still shown of files with more than one.
    names: HashMap<(LayerId, u32), u32>,
}

impl Stack {
    /// Puts a layer on top: entries sorted by path, each path once.
    pub fn add(&mut self, entries: Vec<Entry>) {
        let mut hidden = Hidden::default();
        let layer = self.tree.add(&entries, &mut hidden);
        self.layers.push(entries.into());
        self.note_links(layer);
        for (node, old, by) in hidden.0 {
            self.hide(node, old, (layer, by));
        }
    }

    /// Notes what the archive of the layer on top had more than once.
    pub fn note_repeated(&mut self, repeated: &[Repeated]) {
        let layer = self.tree.layers().saturating_sub(1);
        let entries = self.layers.last().map_or(&[][..], |layer| &layer[..]);
        for one in repeated {
            let number = entries.binary_search_by(|entry| entry.path.cmp(&one.path));
            let (Ok(number), Some(node)) = (number, self.tree.find(&one.path)) else {
                continue;
            };
            let at = (layer, u32::try_from(number).unwrap_or(u32::MAX));
            self.repeated = self.repeated.saturating_add(one.bytes);
            self.waste.push(Waste {
                node,
                bytes: one.bytes,
                added: at,
                hidden: at,
                cause: Cause::WrittenTwice,
            });
        }
    }

    /// What the archive of a layer had more than once.
    #[must_use]
    pub fn repeated_of(&self, layer: LayerId) -> Vec<Repeated> {
        let of_layer =
            |waste: &&Waste| waste.cause == Cause::WrittenTwice && waste.added.0 == layer;
        let each = |waste: &Waste| Repeated {
            path: self.entry(waste.added).path.clone(),
            bytes: waste.bytes,
        };
        self.waste.iter().filter(of_layer).map(each).collect()
    }

    /// All bytes that are hidden.
    #[must_use]
    pub fn wasted(&self) -> u64 {
        self.waste.iter().map(|waste| waste.bytes).sum()
    }

    /// All bytes of all layers.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let entries = self.layers.iter().flat_map(|layer| layer.iter());
        let shown: u64 = entries.map(|entry| entry.size).sum();
        shown.saturating_add(self.repeated)
    }

    /// An entry by its numbers.
    #[must_use]
    pub fn entry(&self, (layer, number): (LayerId, u32)) -> &Entry {
        &self.layers[usize::from(layer)][number as usize]
    }

    /// The file that an entry has or is another name of.
    #[must_use]
    pub fn file_of(&self, at: (LayerId, u32)) -> Option<(LayerId, u32)> {
        match self.entry(at).kind {
            Kind::File { .. } => Some(at),
            Kind::HardLink { .. } => self.links.get(&at).copied(),
            _ => None,
        }
    }

    /// The entry that says what is there: an entry itself, or what it is another name of.
    #[must_use]
    pub fn inode_of(&self, at: (LayerId, u32)) -> (LayerId, u32) {
        let entries = &self.layers[usize::from(at.0)];
        let mut found = at;
        // As in `note_links`.
        for _ in 0..16 {
            let Kind::HardLink { target } = &self.entry(found).kind else {
                return found;
            };
            let Ok(number) = entries.binary_search_by(|other| other.path.cmp(target)) else {
                return found;
            };
            found.1 = u32::try_from(number).unwrap_or(u32::MAX);
        }
        found
    }

    /// Remembers which names are those of one file. A link leads to a name of the same layer (whatever leads elsewhere
    /// was copied when the layer was unpacked).
    fn note_links(&mut self, layer: LayerId) {
        let entries = &self.layers[usize::from(layer)];
        for (number, entry) in (0_u32..).zip(entries.iter()) {
            let Kind::HardLink { target } = &entry.kind else {
                continue;
            };
            let mut target = target;
            // An index names the file itself; a chain of names is as long as somebody wants it.
            for _ in 0..16 {
                let Ok(found) = entries.binary_search_by(|other| other.path.cmp(target)) else {
                    break;
                };
                let found_number = u32::try_from(found).unwrap_or(u32::MAX);
                match &entries[found].kind {
                    Kind::File { .. } => {
                        self.links.insert((layer, number), (layer, found_number));
                        *self.names.entry((layer, found_number)).or_insert(1) += 1;
                        break;
                    }
                    Kind::HardLink { target: further } => target = further,
                    _ => break,
                }
            }
        }
    }

    fn hide(&mut self, node: NodeId, old: (LayerId, u32), hidden: (LayerId, u32)) {
        let Some(file) = self.file_of(old) else {
            return;
        };
        if let Some(names) = self.names.get_mut(&file) {
            *names -= 1;
            if *names > 0 {
                return;
            }
        }
        let bytes = self.entry(file).size;
        if bytes > 0 {
            let cause = self.cause(file, old, hidden);
            self.waste.push(Waste {
                node,
                bytes,
                added: file,
                hidden,
                cause,
            });
        }
    }

    fn cause(&self, file: (LayerId, u32), old: (LayerId, u32), by: (LayerId, u32)) -> Cause {
        let (before, after) = (self.entry(file), self.entry(by));
        let same_path = self.entry(old).path == after.path;
        match (&after.kind, self.file_of(by)) {
            (Kind::Whiteout | Kind::Directory { opaque: true, .. }, _)
                if !same_path || after.kind == Kind::Whiteout =>
            {
                Cause::Removed
            }
            (_, Some(new)) if same_path => {
                let new = self.entry(new);
                let content = |entry: &Entry| match entry.kind {
                    Kind::File { content } => content,
                    _ => None,
                };
                let same = new.size == before.size
                    && content(new).is_some()
                    && content(new) == content(before);
                if same {
                    Cause::CopiedAgain
                } else {
                    Cause::Overwritten
                }
            }
            _ => Cause::Replaced,
        }
    }
}

/// What the tree told while a layer was added.
#[derive(Default)]
struct Hidden(Vec<(NodeId, (LayerId, u32), u32)>);

impl Hiding for Hidden {
    fn hides(&mut self, node: NodeId, old: (LayerId, u32), _: LayerId, by: u32) {
        self.0.push((node, old, by));
    }
}
