//! All layers of an image as one tree: every path that any layer names, with what each layer did to it. The image up to a
//! layer, the change that a layer is, and what is hidden by whom are read off it; nothing is copied for any of them.
//!
//! Adding a layer costs time in proportion to its entries and to what it hides, however many layers there are.

use std::collections::HashMap;

use super::entry::{Entry, Kind};

/// A path: a number below [`Tree::paths`]. The root is 0.
pub type NodeId = u32;
/// A layer: its place in the image, the lowest is 0.
pub type LayerId = u16;

const NONE: u32 = u32::MAX;
/// The root of the file system.
pub const ROOT: NodeId = 0;

/// One path.
#[derive(Debug, Clone)]
struct Node {
    name: u32,
    parent: NodeId,
    first_child: NodeId,
    next_sibling: NodeId,
    first_event: u32,
    last_event: u32,
    /// Paths at and below it that the topmost layer so far shows.
    shown: u32,
}

/// What a layer did to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Its entry there, by number: the path is as it says from now on.
    Entry(u32),
    /// The path is not shown any more: a whiteout or an opaque directory at it or above it, or something else than a
    /// directory above it. The number is that of the entry that says so.
    Hidden(u32),
}

/// Something that happened to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// The layer.
    pub layer: LayerId,
    /// What it did.
    pub what: What,
    /// A directory is there now.
    pub directory: bool,
    next: u32,
}

/// Whoever wants to know what is hidden while layers are added.
pub trait Hiding {
    /// `old` of an earlier layer is not shown from `layer` on, because of `by`, which may be at the path or above it.
    fn hides(&mut self, node: NodeId, old: (LayerId, u32), layer: LayerId, by: u32);
}

impl Hiding for () {
    fn hides(&mut self, _: NodeId, _: (LayerId, u32), _: LayerId, _: u32) {}
}

/// The tree.
#[derive(Debug, Clone)]
pub struct Tree {
    nodes: Vec<Node>,
    events: Vec<Event>,
    /// All names, back to back, and where each begins; each name once.
    letters: Vec<u8>,
    names: Vec<(u32, u32)>,
    known: HashMap<Box<[u8]>, u32>,
    children: HashMap<(NodeId, u32), NodeId>,
    layers: LayerId,
}

impl Default for Tree {
    fn default() -> Self {
        let mut tree = Self {
            nodes: Vec::new(),
            events: Vec::new(),
            letters: Vec::new(),
            names: Vec::new(),
            known: HashMap::new(),
            children: HashMap::new(),
            layers: 0,
        };
        let name = tree.intern(b"");
        tree.nodes.push(Node::new(name, NONE));
        tree
    }
}

impl Node {
    fn new(name: u32, parent: NodeId) -> Self {
        Self {
            name,
            parent,
            first_child: NONE,
            next_sibling: NONE,
            first_event: NONE,
            last_event: NONE,
            shown: 0,
        }
    }
}

impl Tree {
    /// Puts a layer on top. Its entries are sorted by path, each path once, as an index has them; `hiding` hears of
    /// everything of lower layers that is not shown any more. Returns its number.
    pub fn add(&mut self, entries: &[Entry], hiding: &mut dyn Hiding) -> LayerId {
        let layer = self.layers;
        self.layers += 1;
        let nodes: Vec<NodeId> = entries.iter().map(|entry| self.make(&entry.path)).collect();
        // First what it takes from the layers below, then what it has itself.
        for (number, (entry, node)) in (0_u32..).zip(entries.iter().zip(&nodes)) {
            match entry.kind {
                Kind::Whiteout => self.hide(*node, layer, number, hiding),
                Kind::Directory { opaque: true, .. } => {
                    self.hide_below(*node, layer, number, hiding);
                }
                Kind::Directory { .. } => {}
                // Something else than a directory takes the place of all that was below.
                _ => self.hide_below(*node, layer, number, hiding),
            }
        }
        for (number, (entry, node)) in (0_u32..).zip(entries.iter().zip(&nodes)) {
            let is_new_information = match entry.kind {
                Kind::Whiteout => false,
                // A directory that no archive names is what it was below.
                Kind::Directory { implied, opaque } => {
                    !implied || opaque || !self.is_directory(*node)
                }
                _ => true,
            };
            if is_new_information {
                if let Some(old) = self.current(*node) {
                    hiding.hides(*node, old, layer, number);
                } else {
                    self.count(*node, 1);
                }
                let directory = matches!(entry.kind, Kind::Directory { .. });
                self.push(*node, layer, What::Entry(number), directory);
            }
        }
        layer
    }

    /// How many paths there are.
    #[must_use]
    pub fn paths(&self) -> usize {
        self.nodes.len()
    }

    /// How many layers there are.
    #[must_use]
    pub fn layers(&self) -> LayerId {
        self.layers
    }

    /// The last part of a path.
    #[must_use]
    pub fn name(&self, node: NodeId) -> &[u8] {
        let (start, end) = self.names[self.nodes[node as usize].name as usize];
        &self.letters[start as usize..end as usize]
    }

    /// The path, without a slash in front; empty for the root.
    #[must_use]
    pub fn path(&self, node: NodeId) -> Vec<u8> {
        let mut parts = Vec::new();
        let mut at = node;
        while at != ROOT {
            parts.push(self.name(at));
            at = self.nodes[at as usize].parent;
        }
        parts.reverse();
        parts.join(&b'/')
    }

    /// The directory that it is in.
    #[must_use]
    pub fn parent(&self, node: NodeId) -> Option<NodeId> {
        let parent = self.nodes[node as usize].parent;
        (parent != NONE).then_some(parent)
    }

    /// What is in it, in any layer, the newest path first.
    pub fn children(&self, node: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        let first = self.nodes[node as usize].first_child;
        std::iter::successors((first != NONE).then_some(first), |at| {
            let next = self.nodes[*at as usize].next_sibling;
            (next != NONE).then_some(next)
        })
    }

    /// What is in it under a name.
    #[must_use]
    pub fn child(&self, node: NodeId, name: &[u8]) -> Option<NodeId> {
        let name = self.known.get(name)?;
        self.children.get(&(node, *name)).copied()
    }

    /// What happened to it, lowest layer first.
    pub fn events(&self, node: NodeId) -> impl Iterator<Item = Event> + '_ {
        let at = |number: u32| (number != NONE).then(|| self.events[number as usize]);
        std::iter::successors(at(self.nodes[node as usize].first_event), move |event| {
            at(event.next)
        })
    }

    /// The layer and its entry that the image up to `layer` shows at this path; `None` if it shows nothing there.
    #[must_use]
    pub fn at(&self, node: NodeId, layer: LayerId) -> Option<(LayerId, u32)> {
        let last = self
            .events(node)
            .take_while(|event| event.layer <= layer)
            .last()?;
        match last.what {
            What::Entry(number) => Some((last.layer, number)),
            What::Hidden(_) => None,
        }
    }

    /// The path, if any layer names it.
    #[must_use]
    pub fn find(&self, path: &[u8]) -> Option<NodeId> {
        let mut at = ROOT;
        for part in path.split(|b| *b == b'/').filter(|part| !part.is_empty()) {
            let name = self.known.get(part)?;
            at = *self.children.get(&(at, *name))?;
        }
        Some(at)
    }

    /// What the topmost layer so far shows.
    #[must_use]
    pub fn current(&self, node: NodeId) -> Option<(LayerId, u32)> {
        let last = self.nodes[node as usize].last_event;
        let event = (last != NONE).then(|| self.events[last as usize])?;
        match event.what {
            What::Entry(number) => Some((event.layer, number)),
            What::Hidden(_) => None,
        }
    }

    fn is_directory(&self, node: NodeId) -> bool {
        let last = self.nodes[node as usize].last_event;
        last != NONE && self.events[last as usize].directory
    }

    fn intern(&mut self, name: &[u8]) -> u32 {
        if let Some(known) = self.known.get(name) {
            return *known;
        }
        let number = small(self.names.len());
        let start = small(self.letters.len());
        self.letters.extend_from_slice(name);
        self.names.push((start, small(self.letters.len())));
        self.known.insert(name.into(), number);
        number
    }

    fn make(&mut self, path: &[u8]) -> NodeId {
        let mut at = ROOT;
        for part in path.split(|b| *b == b'/').filter(|part| !part.is_empty()) {
            let name = self.intern(part);
            let known = self.children.get(&(at, name)).copied();
            at = known.unwrap_or_else(|| self.make_child(at, name));
        }
        at
    }

    fn make_child(&mut self, parent: NodeId, name: u32) -> NodeId {
        let child = small(self.nodes.len());
        let mut node = Node::new(name, parent);
        let first = &mut self.nodes[parent as usize].first_child;
        node.next_sibling = std::mem::replace(first, child);
        self.nodes.push(node);
        self.children.insert((parent, name), child);
        child
    }

    fn push(&mut self, node: NodeId, layer: LayerId, what: What, directory: bool) {
        let number = small(self.events.len());
        self.events.push(Event {
            layer,
            what,
            directory,
            next: NONE,
        });
        let node = &mut self.nodes[node as usize];
        let last = std::mem::replace(&mut node.last_event, number);
        if last == NONE {
            node.first_event = number;
        } else {
            self.events[last as usize].next = number;
        }
    }

    /// One path more, or less, is shown at `node`.
    fn count(&mut self, node: NodeId, change: i32) {
        let mut at = node;
        loop {
            let node = &mut self.nodes[at as usize];
            node.shown = node.shown.saturating_add_signed(change);
            if at == ROOT {
                return;
            }
            at = node.parent;
        }
    }

    fn hide(&mut self, node: NodeId, layer: LayerId, by: u32, hiding: &mut dyn Hiding) {
        self.hide_below(node, layer, by, hiding);
        if let Some(old) = self.current(node) {
            hiding.hides(node, old, layer, by);
            self.count(node, -1);
            self.push(node, layer, What::Hidden(by), false);
        }
    }

    fn hide_below(&mut self, node: NodeId, layer: LayerId, by: u32, hiding: &mut dyn Hiding) {
        // Only where something is shown: what is hidden is never looked at again.
        let mut open: Vec<NodeId> = self
            .children(node)
            .filter(|child| self.nodes[*child as usize].shown > 0)
            .collect();
        while let Some(at) = open.pop() {
            open.extend(
                self.children(at)
                    .filter(|child| self.nodes[*child as usize].shown > 0),
            );
            if let Some(old) = self.current(at) {
                hiding.hides(at, old, layer, by);
                self.count(at, -1);
                self.push(at, layer, What::Hidden(by), false);
            }
        }
    }
}

fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(NONE)
}
