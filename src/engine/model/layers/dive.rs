//! dive's figures, as dive 0.13 comes to them, with what it misses: they stand beside the exact ones for those who compare.
//!
//! A path counts as wasted with all its copies once two layers name it; a whiteout counts as a copy with the size of the
//! directory that it removes, and with nothing for a file; opaque directories are not seen; a whiteout of what no lower
//! layer has ends the look at its layer.

use std::collections::{BTreeMap, HashMap};
use std::ops::Deref;

use super::entry::{Entry, Kind};
use super::explored::Explored;

const WHITEOUT: &[u8] = b".wh.";

/// A path that at least two layers name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inefficient {
    /// With a slash in front.
    pub path: Vec<u8>,
    /// How many layers name it.
    pub count: u64,
    /// Bytes of all its copies.
    pub bytes: u64,
}

/// The figures.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// Smallest copies by all copies, 0 to 1.
    pub efficiency: f64,
    /// Bytes of all copies of what is there twice.
    pub wasted: u64,
    /// Bytes of all layers.
    pub size: u64,
    /// Bytes of all layers but the lowest.
    pub user_size: u64,
    /// Wasted by user bytes: not a number if both are 0, infinite if the latter is.
    pub user_wasted: f64,
    /// What is there twice, the smallest first.
    pub inefficient: Vec<Inefficient>,
}

#[derive(Debug, Default, Clone)]
struct Node {
    children: BTreeMap<Vec<u8>, usize>,
    size: u64,
    directory: bool,
}

/// dive's tree: what is removed is taken out, what is added replaces the facts of a path and keeps what is below it.
#[derive(Debug, Clone)]
struct Tree {
    nodes: Vec<Node>,
}

impl Tree {
    fn new() -> Self {
        Self {
            nodes: vec![Node::default()],
        }
    }

    fn get(&self, path: &[&[u8]]) -> Option<usize> {
        path.iter()
            .try_fold(0, |at, name| self.nodes[at].children.get(*name).copied())
    }

    fn add(&mut self, path: &[&[u8]], size: u64, directory: bool) {
        let mut at = 0;
        for name in path {
            let next = self.nodes.len();
            let known = self.nodes[at].children.get(*name).copied();
            at = known.unwrap_or_else(|| {
                self.nodes.push(Node::default());
                self.nodes[at].children.insert(name.to_vec(), next);
                next
            });
        }
        (self.nodes[at].size, self.nodes[at].directory) = (size, directory);
    }

    fn remove(&mut self, path: &[&[u8]]) {
        if let Some((name, parent)) = path.split_last()
            && let Some(parent) = self.get(parent)
        {
            self.nodes[parent].children.remove(*name);
        }
    }

    fn bytes_below(&self, at: usize) -> u64 {
        let mut open = vec![at];
        let mut bytes = 0;
        while let Some(at) = open.pop() {
            bytes += self.nodes[at].size;
            open.extend(self.nodes[at].children.values());
        }
        bytes
    }

    /// All but the root, children first, by name.
    fn visit<'a>(&'a self, visit: &mut dyn FnMut(&[&'a [u8]], &'a Node) -> bool) {
        // An entry is seen twice: opened, then closed.
        let mut path: Vec<&'a [u8]> = Vec::new();
        let mut open: Vec<(usize, std::collections::btree_map::Iter<'a, Vec<u8>, usize>)> =
            vec![(0, self.nodes[0].children.iter())];
        while let Some((at, children)) = open.last_mut() {
            if let Some((name, child)) = children.next() {
                path.push(name);
                open.push((*child, self.nodes[*child].children.iter()));
                continue;
            }
            let at = *at;
            open.pop();
            if at != 0 {
                if !visit(&path, &self.nodes[at]) {
                    return;
                }
                path.pop();
            }
        }
    }

    fn of_layer(entries: &[Entry]) -> Self {
        let mut tree = Self::new();
        for entry in entries {
            let (directory, implied) = match entry.kind {
                Kind::Directory { implied, .. } => (true, implied),
                _ => (false, false),
            };
            let mut path = parts(&entry.path);
            let hidden;
            if entry.kind == Kind::Whiteout
                && let Some(last) = path.last_mut()
            {
                hidden = [WHITEOUT, *last].concat();
                *last = &hidden;
                tree.add(&path, 0, false);
            } else if !path.is_empty() {
                tree.add(&path, entry.size, directory && !implied);
            }
        }
        tree
    }
}

fn parts(path: &[u8]) -> Vec<&[u8]> {
    path.split(|b| *b == b'/')
        .filter(|part| !part.is_empty())
        .collect()
}

/// The path that a node stands for, and whether it is a whiteout.
fn meant<'a>(path: &[&'a [u8]]) -> (Vec<&'a [u8]>, bool) {
    let mut path = path.to_vec();
    let Some(last) = path.last_mut() else {
        return (path, false);
    };
    match last.strip_prefix(WHITEOUT) {
        Some(name) => {
            *last = name;
            (path, true)
        }
        None => (path, false),
    }
}

fn stack(below: &mut Tree, upper: &Tree) {
    upper.visit(&mut |path, node| {
        let (path, whiteout) = meant(path);
        if whiteout {
            below.remove(&path);
        } else {
            below.add(&path, node.size, node.directory);
        }
        true
    });
}

#[derive(Debug, Default)]
struct Seen {
    bytes: u64,
    least: Option<u64>,
    count: u64,
}

/// dive's figures of an image.
#[must_use]
pub fn figures_of(image: &Explored) -> Figures {
    let sizes: Vec<u64> = image.layers.iter().map(|layer| layer.size).collect();
    figures(&image.stack.layers, &sizes)
}

/// dive's figures of an image; layers from the lowest, their sizes as the archive's headers say.
#[must_use]
pub fn figures<L: Deref<Target = [Entry]>>(layers: &[L], sizes: &[u64]) -> Figures {
    let mut seen: Vec<Seen> = Vec::new();
    let mut known: HashMap<Vec<u8>, usize> = HashMap::new();
    let mut twice: Vec<(Vec<u8>, usize)> = Vec::new();
    let mut below: Option<Tree> = None;
    for entries in layers {
        let upper = Tree::of_layer(entries);
        upper.visit(&mut |path, node| {
            if !node.children.is_empty() {
                return true;
            }
            let (path, whiteout) = meant(path);
            let name = [b"/".as_slice(), &path.join(&b'/')].concat();
            let at = *known.entry(name.clone()).or_insert_with(|| {
                seen.push(Seen::default());
                seen.len() - 1
            });
            let bytes = if whiteout {
                let tree = below.as_ref().unwrap_or(&upper);
                let Some(found) = tree.get(&path) else {
                    return false;
                };
                if tree.nodes[found].directory {
                    tree.bytes_below(found)
                } else {
                    0
                }
            } else {
                node.size
            };
            let data = &mut seen[at];
            data.bytes += bytes;
            data.least = Some(data.least.map_or(bytes, |least| least.min(bytes)));
            data.count += 1;
            if data.count == 2 {
                twice.push((name, at));
            }
            true
        });
        stack(below.get_or_insert_with(|| upper.clone()), &upper);
    }
    let least: u64 = seen.iter().filter_map(|data| data.least).sum();
    let all: u64 = seen.iter().map(|data| data.bytes).sum();
    let mut inefficient: Vec<Inefficient> = twice
        .into_iter()
        .map(|(path, at)| Inefficient {
            path,
            count: seen[at].count,
            bytes: seen[at].bytes,
        })
        .collect();
    // dive sorts unstably beyond a dozen: what is equally large may come in another order there.
    inefficient.sort_by_key(|one| one.bytes);
    let wasted = inefficient.iter().map(|one| one.bytes).sum();
    let user_size = sizes.iter().skip(1).sum();
    Figures {
        efficiency: if all == 0 { 1.0 } else { ratio(least, all) },
        wasted,
        size: sizes.iter().sum(),
        user_size,
        user_wasted: ratio(wasted, user_size),
        inefficient,
    }
}

#[expect(clippy::cast_precision_loss, reason = "dive divides such numbers, too")]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str, kind: Kind, size: u64) -> Entry {
        Entry {
            path: path.into(),
            kind,
            mode: 0,
            uid: 0,
            gid: 0,
            size,
            mtime: (0, 0),
            xattrs: Vec::new(),
        }
    }

    fn file(path: &str, size: u64) -> Entry {
        entry(path, Kind::File { content: None }, size)
    }

    fn directory(path: &str) -> Entry {
        let kind = Kind::Directory {
            opaque: false,
            implied: false,
        };
        entry(path, kind, 0)
    }

    /// The layers of the image that dive's own tests look at, as its Dockerfile makes them: a base of 415 entries, then one
    /// file that is copied, moved, made executable and removed.
    fn layers() -> Vec<Vec<Entry>> {
        const README: u64 = 6405;
        let gone = |path| entry(path, Kind::Whiteout, 0);
        let mut base: Vec<Entry> = (0..412)
            .map(|n| file(&format!("bin/{n:03}"), if n == 0 { 1_154_361 } else { 0 }))
            .collect();
        base.extend(["bin", "root", "tmp"].map(directory));
        base.sort_by(|a, b| a.path.cmp(&b.path));
        let in_example = |name: &str| {
            let path = format!("root/example/{name}");
            vec![
                directory("root"),
                directory("root/example"),
                file(&path, README),
            ]
        };
        let in_root = |rest: Vec<Entry>| [vec![directory("root")], rest].concat();
        vec![
            base,
            vec![file("somefile.txt", README)],
            in_root(vec![
                directory("root/example"),
                directory("root/example/really"),
                directory("root/example/really/nested"),
            ]),
            in_example("somefile1.txt"),
            in_example("somefile1.txt"),
            in_example("somefile2.txt"),
            in_example("somefile3.txt"),
            in_root(vec![
                directory("root/example"),
                gone("root/example/somefile3.txt"),
                file("root/saved.txt", README),
            ]),
            in_root(vec![file("root/.saved.txt", README)]),
            in_root(vec![gone("root/example")]),
            in_root(vec![
                directory("root/.data"),
                file("root/.data/tag.sh", 917),
                file("root/.data/test.sh", 1270),
            ]),
            vec![directory("tmp"), file("tmp/saved.again1.txt", README)],
            in_root(vec![
                directory("root/.data"),
                file("root/.data/saved.again2.txt", README),
            ]),
            in_root(vec![file("root/saved.txt", README)]),
        ]
    }

    #[test]
    fn the_image_of_dives_own_tests_has_the_figures_that_they_assert() {
        let layers = layers();
        let told: Vec<(u64, usize)> = layers
            .iter()
            .map(|layer| (layer.iter().map(|entry| entry.size).sum(), layer.len()))
            .collect();
        let expected = [
            (1_154_361, 415),
            (6405, 1),
            (0, 4),
            (6405, 3),
            (6405, 3),
            (6405, 3),
            (6405, 3),
            (6405, 4),
            (6405, 2),
            (0, 2),
            (2187, 4),
            (6405, 2),
            (6405, 3),
            (6405, 2),
        ];
        assert_eq!(told, expected);
        let sizes: Vec<u64> = told.iter().map(|layer| layer.0).collect();
        let figures = figures(&layers, &sizes);
        assert_eq!(figures.efficiency.to_string(), "0.9844212134184309");
        assert_eq!((figures.size, figures.user_size), (1_220_598, 66_237));
        assert_eq!(figures.wasted, 32_025);
        assert_eq!(figures.user_wasted.to_string(), "0.4834911001404049");
        let mut twice: Vec<_> = figures
            .inefficient
            .iter()
            .map(|one| (one.count, one.bytes, String::from_utf8_lossy(&one.path)))
            .collect();
        twice.sort_unstable();
        let one = |bytes, path: &'static str| (2, bytes, path.into());
        assert_eq!(
            twice,
            [
                one(6405, "/root/example/somefile3.txt"),
                one(12_810, "/root/example/somefile1.txt"),
                one(12_810, "/root/saved.txt"),
            ]
        );
    }
}
