//! The upper layers of an image as one: what it must hold so that, on top of the layers that stay, the same file system is
//! seen. Nothing that is not seen is in it.

use std::collections::HashMap;

use super::diff::{At, Weight};
use super::entry::{Entry, Kind};
use super::explored::Explored;
use super::tree::{LayerId, NodeId, ROOT};
use crate::engine::model::digest::ImageId;

/// What merging layers came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Squashed {
    /// The new image.
    pub id: ImageId,
    /// What the image weighed.
    pub before: Weight,
    /// What the new one weighs.
    pub after: Weight,
}

/// An entry of the merged layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// What it is, as an index has it.
    pub entry: Entry,
    /// Of a file: the layer and the entry under whose path the content is.
    pub source: Option<At>,
}

/// The layers from `from` on as one, sorted by path. Each directory that something is in is named with its attributes, as
/// unpackers differ in what they make of one that is not.
#[must_use]
pub fn plan(image: &Explored, from: LayerId) -> Vec<Planned> {
    let mut plan = Plan {
        image,
        from,
        order: Vec::new(),
        stays: vec![false; image.stack.tree.paths()],
        written: Vec::new(),
        firsts: HashMap::new(),
    };
    plan.look();
    plan.write()
}

struct Plan<'a> {
    image: &'a Explored,
    from: LayerId,
    /// All paths, each after what it is in.
    order: Vec<NodeId>,
    /// At or below a path something of a layer that stays is seen.
    stays: Vec<bool>,
    /// What is in the layer.
    written: Vec<(NodeId, How)>,
    /// Files with several names, and the first of these.
    firsts: HashMap<At, Vec<u8>>,
}

/// Why a path is in the layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// As the image shows it.
    Shown { opaque: bool },
    /// It hides what is below.
    Whiteout,
}

impl Plan<'_> {
    fn current(&self, node: NodeId) -> Option<At> {
        self.image.stack.tree.current(node)
    }

    /// What the layers that stay show.
    fn below(&self, node: NodeId) -> Option<At> {
        let under = self.from.checked_sub(1)?;
        self.image.stack.tree.at(node, under)
    }

    fn is_new(&self, node: NodeId) -> bool {
        self.current(node).is_some_and(|at| at.0 >= self.from)
    }

    fn is_directory(&self, node: NodeId) -> bool {
        let at = self.current(node);
        node == ROOT
            || at
                .is_some_and(|at| matches!(self.image.stack.entry(at).kind, Kind::Directory { .. }))
    }

    /// Decides what is in the layer.
    fn look(&mut self) {
        let tree = &self.image.stack.tree;
        let mut open = vec![ROOT];
        while let Some(node) = open.pop() {
            self.order.push(node);
            open.extend(tree.children(node));
        }
        for node in self.order.iter().rev() {
            let here = *node as usize;
            let own = self.current(*node).is_some_and(|at| at.0 < self.from);
            self.stays[here] = own || tree.children(*node).any(|child| self.stays[child as usize]);
        }
        let mut how: HashMap<NodeId, How> = HashMap::new();
        for node in &self.order {
            if self.is_new(*node) {
                let opaque = self.is_opaque(*node);
                how.insert(*node, How::Shown { opaque });
            } else if self.current(*node).is_none() && self.below(*node).is_some() {
                let parent = tree.parent(*node);
                let hidden = parent.is_none_or(|parent| {
                    !self.is_directory(parent)
                        || how.get(&parent) == Some(&How::Shown { opaque: true })
                });
                if !hidden {
                    how.insert(*node, How::Whiteout);
                }
            }
        }
        for node in how.keys().copied().collect::<Vec<_>>() {
            let mut above = tree.parent(node);
            while let Some(parent) = above.filter(|parent| *parent != ROOT) {
                how.entry(parent).or_insert(How::Shown { opaque: false });
                above = tree.parent(parent);
            }
        }
        // A root that no archive names is nobody's.
        let root_is_named = self.current(ROOT).is_some_and(|at| {
            let kind = &self.image.stack.entry(at).kind;
            !matches!(kind, Kind::Directory { implied: true, .. })
        });
        if !root_is_named && how.get(&ROOT) == Some(&(How::Shown { opaque: false })) {
            how.remove(&ROOT);
        }
        self.written = how.into_iter().collect();
    }

    /// A new directory with much to hide and nothing to keep hides all at once.
    fn is_opaque(&self, node: NodeId) -> bool {
        let tree = &self.image.stack.tree;
        self.is_directory(node)
            && !tree.children(node).any(|child| self.stays[child as usize])
            && tree
                .children(node)
                .any(|child| self.current(child).is_none() && self.below(child).is_some())
    }

    fn write(mut self) -> Vec<Planned> {
        let tree = &self.image.stack.tree;
        let written = std::mem::take(&mut self.written);
        let mut named: Vec<(Vec<u8>, NodeId, How)> = written
            .into_iter()
            .map(|(node, how)| (tree.path(node), node, how))
            .collect();
        named.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        named
            .into_iter()
            .filter_map(|(path, node, how)| match how {
                How::Whiteout => Some(whiteout(path)),
                How::Shown { opaque } => self.shown(path, node, opaque),
            })
            .collect()
    }

    fn shown(&mut self, path: Vec<u8>, node: NodeId, opaque: bool) -> Option<Planned> {
        let at = self.current(node)?;
        let stack = &self.image.stack;
        let inode = stack.inode_of(at);
        let mut entry = stack.entry(inode).clone();
        if let Some(first) = self.firsts.get(&inode) {
            entry.kind = Kind::HardLink {
                target: first.clone(),
            };
            (entry.path, entry.size, entry.xattrs) = (path, 0, Vec::new());
            return Some(Planned {
                entry,
                source: None,
            });
        }
        entry.path.clone_from(&path);
        let mut source = None;
        match &mut entry.kind {
            Kind::Directory {
                opaque: hides,
                implied,
            } => (*hides, *implied) = (opaque, false),
            Kind::File { .. } => {
                source = Some(at);
                self.firsts.insert(inode, path);
            }
            Kind::HardLink { .. } | Kind::Whiteout => {}
            Kind::Symlink { .. } | Kind::Char { .. } | Kind::Block { .. } | Kind::Fifo => {
                self.firsts.insert(inode, path);
            }
        }
        Some(Planned { entry, source })
    }
}

fn whiteout(path: Vec<u8>) -> Planned {
    let entry = Entry {
        path,
        kind: Kind::Whiteout,
        mode: 0,
        uid: 0,
        gid: 0,
        size: 0,
        mtime: (0, 0),
        xattrs: Vec::new(),
    };
    Planned {
        entry,
        source: None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engine::model::Digest;
    use crate::engine::model::layers::diff::tests::{directory, file, image, link, other};
    use crate::engine::model::layers::oracle::a_layer;
    use crate::engine::model::layers::{Diff, Part};

    /// The image with its upper layers as one, and that layer.
    fn squashed(layers: &[Vec<Entry>], from: LayerId) -> (Explored, Explored, Vec<Planned>) {
        let numbered = |layers: &[Vec<Entry>]| -> Explored {
            let all: Vec<_> = (1..)
                .zip(layers)
                .map(|(id, own)| (id, "", own.clone()))
                .collect();
            image(&all)
        };
        let before = numbered(layers);
        let mut after = numbered(&layers[..usize::from(from)]);
        let merged = plan(&before, from);
        let digest = Digest::from_sha256(&[99; 32]);
        let part = Part {
            diff_id: digest.clone(),
            blob: digest,
            blob_size: 0,
            directory: String::new(),
            from_table: false,
            repeated: Vec::new(),
        };
        after.push(part, merged.iter().map(|one| one.entry.clone()).collect());
        (before, after, merged)
    }

    fn told(merged: &[Planned]) -> Vec<String> {
        let word = |one: &Planned| {
            let path = String::from_utf8_lossy(&one.entry.path).into_owned();
            match &one.entry.kind {
                Kind::Whiteout => format!("-{path}"),
                Kind::Directory { opaque: true, .. } => format!("{path}/ only"),
                Kind::Directory { .. } => format!("{path}/"),
                Kind::HardLink { target } => {
                    format!("{path} = {}", String::from_utf8_lossy(target))
                }
                _ => path,
            }
        };
        merged.iter().map(word).collect()
    }

    #[test]
    fn whiteouts_are_kept_where_something_is_to_be_hidden() {
        let gone = |path: &str| other(path, Kind::Whiteout);
        let layers = [
            vec![
                directory("d"),
                file("d/a", 5, 1),
                file("d/b", 5, 2),
                file("e", 1, 1),
            ],
            vec![directory("d"), file("d/new", 5, 1), gone("e")],
            vec![directory("d"), gone("d/a"), gone("d/new")],
        ];
        let (_, after, merged) = squashed(&layers, 1);
        assert_eq!(told(&merged), ["d/", "-d/a", "-e"]);
        assert_eq!(after.stack.wasted(), 6);
        let (_, after, merged) = squashed(&layers, 0);
        assert_eq!(told(&merged), ["d/", "d/b"]);
        assert_eq!((after.size(), after.stack.wasted()), (5, 0));
    }

    #[test]
    fn a_directory_that_keeps_nothing_hides_all_at_once() {
        let (opaque, implied) = (true, false);
        let layers = [
            vec![directory("d"), file("d/a", 5, 1), file("d/b", 5, 2)],
            vec![
                other("d", Kind::Directory { opaque, implied }),
                file("d/c", 1, 1),
            ],
        ];
        assert_eq!(told(&squashed(&layers, 1).2), ["d/ only", "d/c"]);
    }

    #[test]
    fn names_of_one_file_stay_names_of_one_file() {
        let layers = [
            vec![file("x", 1, 1)],
            vec![file("a", 5, 1), link("b", "a"), link("c", "a")],
            vec![other("a", Kind::Whiteout)],
        ];
        let (before, after, merged) = squashed(&layers, 1);
        assert_eq!(told(&merged), ["b", "c = b"]);
        assert!(Diff::of(&before, &after).is_same(true));
        // Its content is where its name was.
        let source = merged[0].source.unwrap();
        assert_eq!(before.stack.entry(source).path, b"b");
    }

    /// A link that leads to no file is what unpacking never leaves.
    fn as_unpacked(mut layer: Vec<Entry>) -> Vec<Entry> {
        let mut stack = crate::engine::model::layers::Stack::default();
        stack.add(layer.clone());
        for (number, entry) in (0..).zip(&mut layer) {
            if matches!(entry.kind, Kind::HardLink { .. }) && stack.file_of((0, number)).is_none() {
                entry.kind = Kind::Fifo;
            }
        }
        layer
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn the_same_file_system_is_seen(layers in prop::collection::vec(a_layer(), 1..6), keep in 0_usize..5) {
            let from = LayerId::try_from(keep % layers.len()).unwrap();
            let layers: Vec<_> = layers.into_iter().map(as_unpacked).collect();
            let (before, after, merged) = squashed(&layers, from);
            let diff = Diff::of(&before, &after);
            prop_assert!(diff.is_same(true), "{:?}\n{:?}", diff.paths, told(&merged));
            let paths: Vec<_> = merged.iter().map(|one| &one.entry.path).collect();
            prop_assert!(paths.is_sorted());
            if from == 0 {
                prop_assert_eq!(after.stack.wasted(), 0);
                prop_assert!(merged.iter().all(|one| one.entry.kind != Kind::Whiteout));
            }
            // Whoever does it twice gets the same.
            prop_assert_eq!(&plan(&before, from), &merged);
        }
    }
}
