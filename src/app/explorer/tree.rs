//! The tree of one layer: which lines it has, and which of them is chosen.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{Looked, Scroll};
use crate::app::document::Fold;
use crate::engine::model::layers::diff::At;
use crate::engine::model::layers::filter::Filter;
use crate::engine::model::layers::listing::{
    Extent, Facts, Kept, Mark, Row, Sort, Wanted, opened_at_first, rows,
};
use crate::engine::model::layers::tree::{LayerId, NodeId, ROOT};

/// A tree with more paths than this begins folded.
const SMALL: usize = 200;
/// So many lines of it are unfolded all the same.
const FIRST_LINES: usize = 40;

/// The tree, and how it is looked at.
#[derive(Debug)]
pub struct TreeView {
    /// The change of the layer, or the image up to it.
    pub extent: Extent,
    /// Mode and owner are shown.
    pub attributes: bool,
    /// What was typed as filter.
    pub filter: String,
    /// The chosen line.
    pub scroll: Scroll,
    wanted: Wanted,
    /// What the user folded while there was no filter.
    folded: HashMap<NodeId, bool>,
    /// Everything is folded, or nothing, by the user's wish.
    fold_all: Option<bool>,
    facts: Facts,
    kept: Kept,
    rows: Vec<Row>,
    layer: LayerId,
    /// Files that hold secrets, once that is known.
    secrets: Option<Arc<HashSet<At>>>,
}

impl Default for TreeView {
    fn default() -> Self {
        Self {
            extent: Extent::Change,
            attributes: false,
            filter: String::new(),
            scroll: Scroll::default(),
            wanted: Wanted::default(),
            folded: HashMap::new(),
            fold_all: None,
            facts: Facts::default(),
            kept: Kept::default(),
            rows: Vec::new(),
            layer: 0,
            secrets: None,
        }
    }
}

impl TreeView {
    /// Its lines.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// What is known of its paths.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// How many paths fit the filters.
    #[must_use]
    pub fn count(&self) -> usize {
        self.kept.count
    }

    /// The layer whose tree it is.
    #[must_use]
    pub fn layer(&self) -> LayerId {
        self.layer
    }

    /// The chosen path.
    #[must_use]
    pub fn chosen(&self) -> Option<NodeId> {
        self.rows.get(self.scroll.at).map(|row| row.node)
    }

    /// The order of its lines.
    #[must_use]
    pub fn sort(&self) -> Sort {
        self.wanted.sort
    }

    /// What is wrong with the filter.
    #[must_use]
    pub fn problem(&self) -> Option<&str> {
        self.wanted.filter.problem.as_deref()
    }

    /// Paths with this mark are left out.
    #[must_use]
    pub fn hides(&self, mark: Mark) -> bool {
        let place = Mark::ALL.iter().position(|known| *known == mark);
        place.is_some_and(|place| self.wanted.hidden.get(place) == Some(&true))
    }

    /// Only what has hidden bytes is shown.
    #[must_use]
    pub fn wasted_only(&self) -> bool {
        self.wanted.wasted_only
    }

    /// Looks at a layer; the cursor stays on its path, or on the nearest directory above that is there.
    pub fn look(&mut self, image: &Looked, layer: usize) {
        self.layer = LayerId::try_from(layer).unwrap_or(LayerId::MAX);
        self.facts = Facts::of(&image.image.stack, self.layer, self.extent);
        self.list(image);
    }

    /// The tree of the layer is not known yet. What the user folded and filtered stays.
    pub fn empty(&mut self, layer: usize) {
        self.layer = LayerId::try_from(layer).unwrap_or(LayerId::MAX);
        self.facts = Facts::default();
        self.kept = Kept::default();
        self.rows.clear();
        self.scroll.go_to(0, 0);
    }

    /// These files hold secrets: names need not tell any more.
    pub fn know_secrets(&mut self, image: &Looked, files: HashSet<At>) {
        self.secrets = Some(Arc::new(files));
        self.wanted.filter.secrets.clone_from(&self.secrets);
        if !self.filter.is_empty() {
            self.list(image);
        }
    }

    /// The change of the layer is shown from now on; the caller looks.
    pub fn show_change(&mut self) {
        self.extent = Extent::Change;
    }

    /// The other tree.
    pub fn turn(&mut self, image: &Looked) {
        self.extent = match self.extent {
            Extent::Change => Extent::Whole,
            Extent::Whole => Extent::Change,
        };
        self.look(image, self.layer.into());
    }

    /// The next order.
    pub fn sort_next(&mut self, image: &Looked) {
        self.wanted.sort = match self.wanted.sort {
            Sort::Size => Sort::Name,
            Sort::Name => Sort::Change,
            Sort::Change => Sort::Size,
        };
        self.lay_out(image);
    }

    /// Leaves out paths with these marks, or shows them again.
    pub fn toggle_marks(&mut self, image: &Looked, marks: &[Mark]) {
        for (mark, hidden) in Mark::ALL.iter().zip(&mut self.wanted.hidden) {
            if marks.contains(mark) {
                *hidden = !*hidden;
            }
        }
        self.list(image);
    }

    /// Only what has hidden bytes, or all.
    pub fn set_wasted_only(&mut self, image: &Looked, only: bool) {
        self.wanted.wasted_only = only;
        self.list(image);
    }

    /// Another filter. Folds count anew while there is one.
    pub fn set_filter(&mut self, image: Option<&Looked>, text: &str) {
        if text == self.filter {
            return;
        }
        text.clone_into(&mut self.filter);
        self.wanted.filter = Filter::parse(text);
        self.wanted.filter.secrets.clone_from(&self.secrets);
        if let Some(image) = image {
            self.list(image);
        }
    }

    /// Moves the cursor.
    pub fn step(&mut self, lines: isize) {
        self.scroll.step(lines, self.rows.len());
    }

    /// Moves what is seen.
    pub fn scroll(&mut self, lines: isize) {
        self.scroll.scroll(lines, self.rows.len());
    }

    /// Puts the cursor on a line that is seen.
    pub fn select(&mut self, line: usize) {
        if line < self.rows.len() {
            self.scroll.go_to(line, self.rows.len());
        }
    }

    /// There is room for so many lines.
    pub fn set_height(&mut self, height: usize) {
        self.scroll.set_height(height, self.rows.len());
    }

    /// Folds or unfolds at the cursor; false if there is nothing to do there.
    pub fn fold(&mut self, image: &Looked, fold: Fold) -> bool {
        let Some(row) = self.rows.get(self.scroll.at).copied() else {
            return false;
        };
        let close = match (row.folded, fold) {
            (Some(folded), Fold::Toggle) => !folded,
            (Some(true), Fold::Open) => false,
            (Some(false), Fold::Close) => true,
            (Some(false), Fold::Open) => {
                self.step(1);
                return true;
            }
            (_, Fold::Close) => return self.go_above(image, row.node),
            (None, _) => return false,
        };
        self.wanted.folded.insert(row.node, close);
        if self.wanted.filter.is_empty() {
            self.folded.insert(row.node, close);
        }
        self.lay_out(image);
        true
    }

    fn go_above(&mut self, image: &Looked, node: NodeId) -> bool {
        let parent = image.image.stack.tree.parent(node);
        let parent = parent.filter(|parent| *parent != ROOT);
        let line = parent.and_then(|parent| self.rows.iter().position(|row| row.node == parent));
        if let Some(line) = line {
            self.select(line);
        }
        line.is_some()
    }

    /// Folds every branch; if all are, unfolds them.
    pub fn fold_all(&mut self, image: &Looked) {
        let all_folded = self.rows.iter().all(|row| row.folded != Some(false));
        self.fold_all = Some(!all_folded);
        self.wanted.folded.clear();
        self.folded.clear();
        self.wanted.closed = !all_folded;
        self.lay_out(image);
    }

    /// Unfolds what is above a path, and chooses it; of a path that is not there, what is above it. Filters that leave it out end.
    pub fn reveal(&mut self, image: &Looked, path: &[u8]) {
        let tree = &image.image.stack.tree;
        let Some(node) = tree.find(path) else {
            return;
        };
        let mut above = tree.parent(node);
        while let Some(directory) = above.filter(|at| *at != ROOT) {
            self.wanted.folded.insert(directory, false);
            self.folded.insert(directory, false);
            above = tree.parent(directory);
        }
        self.lay_out(image);
        self.choose(image, node);
        let filters = self.wanted.wasted_only
            || self.wanted.hidden.contains(&true)
            || !self.wanted.filter.is_empty();
        if self.chosen() != Some(node) && filters {
            self.wanted.wasted_only = false;
            self.wanted.hidden = [false; 5];
            self.set_filter(None, "");
            self.list(image);
            self.choose(image, node);
        }
    }

    /// Asks the filters anew.
    fn list(&mut self, image: &Looked) {
        let stack = &image.image.stack;
        self.kept = Kept::of(stack, &image.order, &self.facts, &self.wanted);
        let filtered = !self.wanted.filter.is_empty();
        self.wanted.closed = match self.fold_all {
            // What was looked for is shown.
            _ if filtered => false,
            Some(closed) => closed,
            None => self.kept.count > SMALL,
        };
        self.wanted.folded.clear();
        if !filtered {
            if self.wanted.closed && self.fold_all.is_none() {
                let opened = opened_at_first(&image.order, &self.kept, FIRST_LINES);
                self.wanted
                    .folded
                    .extend(opened.into_iter().map(|node| (node, false)));
            }
            self.wanted.folded.extend(&self.folded);
        }
        self.lay_out(image);
    }

    /// Makes the lines; the cursor stays on its path.
    fn lay_out(&mut self, image: &Looked) {
        let chosen = self.chosen();
        let stack = &image.image.stack;
        self.rows = rows(stack, &image.order, &self.facts, &self.kept, &self.wanted);
        match chosen {
            Some(node) => self.choose(image, node),
            None => self.scroll.go_to(0, self.rows.len()),
        }
    }

    fn choose(&mut self, image: &Looked, node: NodeId) {
        let tree = &image.image.stack.tree;
        let mut wanted = Some(node);
        while let Some(at) = wanted {
            if let Some(line) = self.rows.iter().position(|row| row.node == at) {
                return self.scroll.go_to(line, self.rows.len());
            }
            wanted = tree.parent(at);
        }
        self.scroll.go_to(0, self.rows.len());
    }
}
