//! The lines that a layer's tree has on a screen: what a layer changed, or the image up to it, with the size of every
//! directory, what happened to each path, and which of all that is shown. Nothing here grows faster than the paths do.

use std::cmp::Reverse;
use std::collections::HashMap;

use super::entry::{Entry, Kind};
use super::filter::Filter;
use super::tree::{LayerId, NodeId, ROOT, Tree, What};
use super::waste::Stack;

/// Which tree is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// What the layer changed.
    Change,
    /// The image as this layer leaves it, and what this layer took away.
    Whole,
}

/// What a layer did to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// It was there, and is not any more.
    Removed,
    /// It was there, and is something else now; of a directory: something in it is.
    Modified,
    /// It was not there.
    Added,
    /// The layer has once more what was there, equal in all but time.
    Again,
    /// The layer does not have it.
    Unmodified,
}

impl Mark {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Removed,
        Self::Modified,
        Self::Added,
        Self::Again,
        Self::Unmodified,
    ];
}

/// In which order the entries of a directory come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// The largest first.
    Size,
    /// By name.
    Name,
    /// Removed, modified, added, then the rest; the largest of each first.
    Change,
}

/// The paths of an image by name: made once, when all layers are there.
#[derive(Debug, Default)]
pub struct Order {
    starts: Vec<u32>,
    children: Vec<NodeId>,
}

impl Order {
    /// Sorts what is in each directory.
    #[must_use]
    pub fn of(tree: &Tree) -> Self {
        let mut order = Self::default();
        for node in 0..small(tree.paths()) {
            let start = order.children.len();
            order.starts.push(small(start));
            order.children.extend(tree.children(node));
            order.children[start..].sort_unstable_by_key(|child| tree.name(*child));
        }
        order.starts.push(small(order.children.len()));
        order
    }

    /// What any layer has in it, by name.
    #[must_use]
    pub fn children(&self, node: NodeId) -> &[NodeId] {
        let at = |node: usize| self.starts.get(node).map_or(0, |start| *start as usize);
        let node = node as usize;
        self.children.get(at(node)..at(node + 1)).unwrap_or(&[])
    }
}

/// What a layer makes of one path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fact {
    /// What it did to it.
    pub mark: Mark,
    /// The entry that is shown there, or that was until this layer removed it.
    pub entry: Option<(LayerId, u32)>,
    /// It is part of the tree that is looked at.
    present: bool,
    /// So is something below it that the layer changed.
    touched: bool,
    /// Bytes of it and of all below it; of what is gone, those that went.
    pub bytes: u64,
    /// Bytes at and below it that are hidden in the end.
    pub wasted: u64,
}

impl Fact {
    const NOTHING: Self = Self {
        mark: Mark::Unmodified,
        entry: None,
        present: false,
        touched: false,
        bytes: 0,
        wasted: 0,
    };

    /// The mark that is shown: a directory is modified when something in it is.
    #[must_use]
    pub fn shown_mark(&self) -> Mark {
        match self.mark {
            Mark::Unmodified | Mark::Again if self.touched => Mark::Modified,
            mark => mark,
        }
    }
}

/// What a layer makes of every path.
#[derive(Debug, Default)]
pub struct Facts {
    all: Vec<Fact>,
}

impl Facts {
    /// Looks at all paths: time and memory in proportion to them.
    #[must_use]
    pub fn of(stack: &Stack, layer: LayerId, extent: Extent) -> Self {
        let tree = &stack.tree;
        let mut all: Vec<Fact> = (0..small(tree.paths()))
            .map(|node| fact(stack, node, layer, extent))
            .collect();
        for waste in &stack.waste {
            let counts = match extent {
                Extent::Change => waste.added.0 == layer,
                Extent::Whole => waste.added.0 <= layer,
            };
            if counts {
                all[waste.node as usize].wasted += waste.bytes;
            }
        }
        // A path is made after the directory that it is in: from the last to the first, all below it is known.
        for node in (1..all.len()).rev() {
            let Some(parent) = tree.parent(small(node)) else {
                continue;
            };
            let below = all[node];
            let above = &mut all[parent as usize];
            above.wasted += below.wasted;
            if !below.present {
                continue;
            }
            above.present = true;
            above.touched |= below.touched || !matches!(below.mark, Mark::Unmodified | Mark::Again);
            // What is gone weighs nothing where something is left.
            if below.mark != Mark::Removed || above.mark == Mark::Removed {
                above.bytes += below.bytes;
            }
        }
        Self { all }
    }

    /// What is known of a path.
    #[must_use]
    pub fn get(&self, node: NodeId) -> Fact {
        self.all
            .get(node as usize)
            .copied()
            .unwrap_or(Fact::NOTHING)
    }
}

/// One path by itself.
fn fact(stack: &Stack, node: NodeId, layer: LayerId, extent: Extent) -> Fact {
    let mut before = None;
    let mut now = None;
    let mut here = false;
    for event in stack.tree.events(node) {
        if event.layer > layer {
            break;
        }
        let shown = match event.what {
            What::Entry(number) => Some((event.layer, number)),
            What::Hidden(_) => None,
        };
        if event.layer == layer {
            here = true;
        } else {
            before = shown;
        }
        now = shown;
    }
    let mark = match (here, before, now) {
        (false, ..) | (true, None, None) => Mark::Unmodified,
        (true, Some(_), None) => Mark::Removed,
        (true, None, Some(_)) => Mark::Added,
        (true, Some(old), Some(new)) if stack.entry(old).is_same(stack.entry(new)) => Mark::Again,
        (true, Some(_), Some(_)) => Mark::Modified,
    };
    let entry = now.or(if mark == Mark::Removed { before } else { None });
    let present = match extent {
        Extent::Change => here && entry.is_some(),
        Extent::Whole => entry.is_some(),
    };
    let bytes = match (entry, present) {
        (Some(at), true) => stack.entry(at).size,
        _ => 0,
    };
    Fact {
        mark,
        entry,
        present,
        touched: false,
        bytes,
        wasted: 0,
    }
}

/// What is to be seen, and how.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The order.
    pub sort: Sort,
    /// What is left out, by its place in [`Mark::ALL`].
    pub hidden: [bool; 5],
    /// Only with hidden bytes at or below it.
    pub wasted_only: bool,
    /// What else must fit.
    pub filter: Filter,
    /// Directories that the user folded (`true`) or unfolded.
    pub folded: HashMap<NodeId, bool>,
    /// Whether the others are folded.
    pub closed: bool,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            sort: Sort::Size,
            hidden: [false; 5],
            wasted_only: false,
            filter: Filter::default(),
            folded: HashMap::new(),
            closed: false,
        }
    }
}

impl Wanted {
    /// Everything of the tree is to be seen.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        !self.wasted_only && self.filter.is_empty() && self.hidden == [false; 5]
    }

    fn allows(&self, mark: Mark) -> bool {
        let place = Mark::ALL.iter().position(|known| *known == mark);
        place.is_none_or(|place| !self.hidden[place])
    }
}

/// A line of the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The path.
    pub node: NodeId,
    /// How deep it is; what is in the root has 0.
    pub depth: u16,
    /// It has something below it, and that is folded away.
    pub folded: Option<bool>,
}

/// Paths that are seen, whatever is folded: by number.
#[derive(Debug, Default)]
pub struct Kept {
    all: Vec<bool>,
    /// How many of them there are that are no directories above others.
    pub count: usize,
}

impl Kept {
    /// Asks the filters about every path, and keeps the directories above those that fit.
    #[must_use]
    pub fn of(stack: &Stack, order: &Order, facts: &Facts, wanted: &Wanted) -> Self {
        let tree = &stack.tree;
        let mut all: Vec<bool> = facts.all.iter().map(|fact| fact.present).collect();
        if !wanted.is_everything() {
            for (fact, kept) in facts.all.iter().zip(&mut all) {
                *kept &= wanted.allows(fact.mark) && (!wanted.wasted_only || fact.wasted > 0);
                // A directory is there for what is in it; by itself only if the layer has it.
                *kept &= fact.entry.is_some();
            }
            if !wanted.filter.is_empty() {
                ask(stack, order, facts, &wanted.filter, &mut all);
            }
        }
        let count = all.iter().skip(1).filter(|kept| **kept).count();
        for node in (1..all.len()).rev() {
            if all[node]
                && let Some(parent) = tree.parent(small(node))
            {
                all[parent as usize] = true;
            }
        }
        Self { all, count }
    }

    fn has(&self, node: NodeId) -> bool {
        self.all.get(node as usize).copied().unwrap_or(false)
    }
}

/// Asks a filter about every path that is still kept.
fn ask(stack: &Stack, order: &Order, facts: &Facts, filter: &Filter, kept: &mut [bool]) {
    let mut path: Vec<u8> = Vec::new();
    // Paths to look at, with the length of the path above.
    let mut open: Vec<(NodeId, usize)> =
        order.children(ROOT).iter().map(|node| (*node, 0)).collect();
    kept[ROOT as usize] = false;
    while let Some((node, above)) = open.pop() {
        let fact = facts.get(node);
        if !fact.present {
            continue;
        }
        path.truncate(above);
        path.push(b'/');
        path.extend_from_slice(stack.tree.name(node));
        let kept = &mut kept[node as usize];
        let file = fact.entry.and_then(|at| stack.file_of(at));
        *kept = *kept && filter.fits(&path, fact.entry.map(|at| stack.entry(at)), file);
        open.extend(
            order
                .children(node)
                .iter()
                .map(|child| (*child, path.len())),
        );
    }
}

/// What is there at a path and below it, whatever is folded or filtered: layer and number of each entry, directories
/// before what is in them.
#[must_use]
pub fn entries_below(order: &Order, facts: &Facts, node: NodeId) -> Vec<(LayerId, u32)> {
    let mut entries = Vec::new();
    let mut open = vec![node];
    while let Some(node) = open.pop() {
        let fact = facts.get(node);
        if !fact.present {
            continue;
        }
        entries.extend(fact.entry.filter(|_| fact.mark != Mark::Removed));
        open.extend(order.children(node).iter().rev());
    }
    entries
}

/// The entry that a path has in the image as `layer` leaves it, and the one before that.
#[must_use]
pub fn last_two(stack: &Stack, node: NodeId, layer: LayerId) -> Option<[(LayerId, u32); 2]> {
    let mut last = None;
    let mut before = None;
    for event in stack
        .tree
        .events(node)
        .take_while(|event| event.layer <= layer)
    {
        if let What::Entry(number) = event.what {
            before = last.replace((event.layer, number));
        }
    }
    Some([before?, last?])
}

/// Directories that are open from the start in a tree that is too large to be shown as a whole: level by level, as long as
/// no more than `most` lines come of it.
#[must_use]
pub fn opened_at_first(order: &Order, kept: &Kept, most: usize) -> Vec<NodeId> {
    let below = |node: NodeId| {
        order
            .children(node)
            .iter()
            .filter(|child| kept.has(**child))
    };
    let mut lines = below(ROOT).count();
    let mut level: Vec<NodeId> = below(ROOT).copied().collect();
    let mut opened = Vec::new();
    while !level.is_empty() {
        let mut next = Vec::new();
        for node in level {
            let count = below(node).count();
            if count > 0 && lines + count <= most {
                lines += count;
                opened.push(node);
                next.extend(below(node).copied());
            }
        }
        level = next;
    }
    opened
}

/// The lines, from the top.
#[must_use]
pub fn rows(stack: &Stack, order: &Order, facts: &Facts, kept: &Kept, wanted: &Wanted) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut open: Vec<(NodeId, u16)> = Vec::new();
    let mut line: Vec<NodeId> = Vec::new();
    let mut descend = |node: NodeId, depth: u16, open: &mut Vec<(NodeId, u16)>| {
        line.clear();
        line.extend(
            order
                .children(node)
                .iter()
                .filter(|child| kept.has(**child)),
        );
        sort(&mut line, facts, wanted.sort);
        open.extend(line.iter().rev().map(|child| (*child, depth)));
    };
    descend(ROOT, 0, &mut open);
    while let Some((node, depth)) = open.pop() {
        let is_branch = order.children(node).iter().any(|child| kept.has(*child));
        let folded = wanted.folded.get(&node).copied().unwrap_or(wanted.closed);
        rows.push(Row {
            node,
            depth,
            folded: is_branch.then_some(folded),
        });
        if is_branch && !folded {
            descend(node, depth.saturating_add(1), &mut open);
        }
    }
    debug_assert!(rows.len() <= stack.tree.paths());
    rows
}

fn sort(line: &mut [NodeId], facts: &Facts, by: Sort) {
    // They come by name, which is what equal ones keep.
    match by {
        Sort::Name => {}
        Sort::Size => line.sort_by_key(|node| Reverse(facts.get(*node).bytes)),
        Sort::Change => line.sort_by_key(|node| {
            let fact = facts.get(*node);
            (fact.shown_mark(), Reverse(fact.bytes))
        }),
    }
}

/// How `ls -l` shows kind and mode.
#[must_use]
pub fn mode_text(entry: &Entry) -> String {
    let kind = match entry.kind {
        Kind::File { .. } | Kind::HardLink { .. } => '-',
        Kind::Directory { .. } => 'd',
        Kind::Symlink { .. } => 'l',
        Kind::Char { .. } => 'c',
        Kind::Block { .. } => 'b',
        Kind::Fifo => 'p',
        Kind::Whiteout => 'w',
    };
    let mut text = String::from(kind);
    for (shift, special, letters) in [(6, 0o4000, "sS"), (3, 0o2000, "sS"), (0, 0o1000, "tT")] {
        let bits = entry.mode >> shift;
        let runs = bits & 1 != 0;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        let mut letters = letters.chars();
        let (with, without) = (letters.next().unwrap_or('s'), letters.next().unwrap_or('S'));
        text.push(match (entry.mode & special != 0, runs) {
            (true, true) => with,
            (true, false) => without,
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    text
}

fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
