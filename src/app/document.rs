//! A text to read and search: inspect and image details. Made of data, not of files.

use std::collections::BTreeSet;

use serde_json::Value;

use super::logs::Direction;
use super::search::Search;
use super::text;

/// One line: indentation, the field's name, its value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DocLine {
    /// Columns of indentation.
    pub indent: usize,
    /// `name:` or `-`; may be empty.
    pub field: String,
    /// What it is.
    pub value: String,
}

impl DocLine {
    /// A field and its value.
    #[must_use]
    pub fn new(indent: usize, field: &str, value: &str) -> Self {
        Self {
            indent,
            field: text::sanitise(field).into_owned(),
            value: text::sanitise(value).into_owned(),
        }
    }

    /// The line as text.
    #[must_use]
    pub fn text(&self) -> String {
        let glued = self.field.is_empty() || self.field.ends_with('=');
        let gap = if glued || self.value.is_empty() {
            ""
        } else {
            " "
        };
        format!(
            "{:indent$}{}{gap}{}",
            "",
            self.field,
            self.value,
            indent = self.indent
        )
    }
}

/// A document and the place in it that is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Document {
    /// What is shown, if nothing is folded away.
    lines: Vec<DocLine>,
    top: usize,
    tree: Option<Tree>,
    /// Columns scrolled to the right.
    pub left: usize,
    /// The search.
    pub search: Search,
}

/// What makes a document foldable: a line with deeper ones below it is a branch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Tree {
    /// Every line.
    all: Vec<DocLine>,
    /// The name of each among all: its fields from the root on.
    keys: Vec<String>,
    /// Names of folded branches, also of those that another object of the kind has.
    folded: BTreeSet<String>,
    /// Which of all each shown line is.
    shown: Vec<usize>,
    /// The chosen one of the shown lines.
    cursor: usize,
}

/// What a key does to a branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fold {
    /// Folds it, or unfolds it.
    Toggle,
    /// Folds it; from a leaf or a folded one it goes to the branch above.
    Close,
    /// Unfolds it.
    Open,
}

/// How a line of a tree is marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// There is nothing below it.
    Leaf,
    /// What is below it is shown.
    Open,
    /// What is below it is not.
    Folded,
}

impl Tree {
    fn set(&mut self, all: Vec<DocLine>) {
        // From the root to the line before: indentation, name, and how many items it has had.
        let mut above: Vec<(usize, String, usize)> = Vec::new();
        self.keys.clear();
        for line in &all {
            while above
                .last()
                .is_some_and(|(indent, ..)| *indent >= line.indent)
            {
                above.pop();
            }
            let (parent, number) = match above.last_mut() {
                Some((_, key, count)) => {
                    *count += 1;
                    (key.clone(), *count)
                }
                None => (String::new(), 0),
            };
            let key = match line.field.as_str() {
                "-" | "" => format!("{parent}/{number}"),
                field => format!("{parent}/{field}"),
            };
            above.push((line.indent, key.clone(), 0));
            self.keys.push(key);
        }
        self.all = all;
    }

    fn is_branch(&self, at: usize) -> bool {
        let indent = |at: usize| self.all.get(at).map_or(0, |line| line.indent);
        at + 1 < self.all.len() && indent(at + 1) > indent(at)
    }

    fn is_folded(&self, at: usize) -> bool {
        self.keys
            .get(at)
            .is_some_and(|key| self.folded.contains(key))
            && self.is_branch(at)
    }

    /// Lines below a branch.
    fn below(&self, at: usize) -> usize {
        let Some(line) = self.all.get(at) else {
            return 0;
        };
        let below = self.all.iter().skip(at + 1);
        below.take_while(|other| other.indent > line.indent).count()
    }

    /// The branch that a line stands in.
    fn parent(&self, at: usize) -> Option<usize> {
        let indent = self.all.get(at)?.indent;
        (0..at).rev().find(|above| {
            self.all
                .get(*above)
                .is_some_and(|line| line.indent < indent)
        })
    }

    /// The lines that are shown.
    fn unfolded(&mut self) -> Vec<DocLine> {
        let mut lines = Vec::new();
        self.shown.clear();
        let mut at = 0;
        while let Some(line) = self.all.get(at) {
            let mut line = line.clone();
            self.shown.push(at);
            if self.is_folded(at) {
                let below = self.below(at);
                line.value = format!("({below})");
                at += below;
            }
            lines.push(line);
            at += 1;
        }
        self.cursor = self.cursor.min(lines.len().saturating_sub(1));
        lines
    }
}

impl Document {
    /// Other lines, of a text that has nothing to fold.
    pub fn set_text(&mut self, lines: Vec<DocLine>) {
        self.tree = None;
        self.set(lines);
    }

    /// Other lines, whose branches can be folded. What was folded stays so, and the cursor stays on its line.
    pub fn set_tree(&mut self, lines: Vec<DocLine>) {
        let mut tree = self.tree.take().unwrap_or_default();
        let chosen = tree.shown.get(tree.cursor);
        let chosen = chosen.and_then(|at| tree.keys.get(*at)).cloned();
        tree.set(lines);
        let shown = tree.unfolded();
        if let Some(key) = chosen {
            let same = |at: &usize| tree.keys.get(*at) == Some(&key);
            tree.cursor = tree.shown.iter().position(same).unwrap_or(tree.cursor);
        }
        self.tree = Some(tree);
        self.set(shown);
    }

    /// The chosen line, of documents that have one.
    #[must_use]
    pub fn cursor(&self) -> Option<usize> {
        self.tree.as_ref().map(|tree| tree.cursor)
    }

    /// How a shown line of a tree is marked.
    #[must_use]
    pub fn mark(&self, line: usize) -> Option<Mark> {
        let tree = self.tree.as_ref()?;
        let at = *tree.shown.get(line)?;
        Some(match (tree.is_branch(at), tree.is_folded(at)) {
            (false, _) => Mark::Leaf,
            (true, false) => Mark::Open,
            (true, true) => Mark::Folded,
        })
    }

    /// Folds or unfolds at the cursor; false if there is nothing to do there.
    pub fn fold(&mut self, fold: Fold, height: usize) -> bool {
        let Some(tree) = &mut self.tree else {
            return false;
        };
        let Some(at) = tree.shown.get(tree.cursor).copied() else {
            return false;
        };
        let closes = match fold {
            Fold::Toggle => !tree.is_folded(at),
            Fold::Close => true,
            Fold::Open => false,
        };
        let here = match (tree.is_branch(at), tree.is_folded(at), closes) {
            (true, false, true) | (true, true, false) => at,
            // From a leaf to its branch.
            (_, _, true) if fold == Fold::Close => match tree.parent(at) {
                Some(parent) => {
                    let there = tree.shown.iter().position(|shown| *shown == parent);
                    tree.cursor = there.unwrap_or(tree.cursor);
                    self.keep_in_view(height);
                    return true;
                }
                None => return false,
            },
            _ => return false,
        };
        if let Some(key) = tree.keys.get(here).cloned()
            && !tree.folded.remove(&key)
        {
            tree.folded.insert(key);
        }
        self.refold(height);
        true
    }

    /// Folds every branch that is not in another; if they all are, unfolds everything.
    pub fn fold_all(&mut self, height: usize) {
        let Some(tree) = &mut self.tree else {
            return;
        };
        let roots = (0..tree.all.len()).filter(|at| {
            tree.is_branch(*at) && tree.all.get(*at).is_some_and(|line| line.indent == 0)
        });
        let roots: Vec<_> = roots.filter_map(|at| tree.keys.get(at).cloned()).collect();
        if roots.iter().all(|key| tree.folded.contains(key)) {
            tree.folded.clear();
        } else {
            tree.folded.extend(roots);
        }
        self.refold(height);
    }

    fn refold(&mut self, height: usize) {
        if let Some(tree) = &mut self.tree {
            let lines = tree.unfolded();
            self.set(lines);
            self.keep_in_view(height);
        }
    }

    /// Scrolls so that the chosen line is seen.
    fn keep_in_view(&mut self, height: usize) {
        if let Some(at) = self.cursor() {
            let last = self.lines.len().saturating_sub(height);
            let first = (at + 1).saturating_sub(height);
            self.top = self.top.clamp(first, at.max(first)).min(last);
        }
    }

    /// Other lines; place and search stay, as it is usually the same object a moment later.
    fn set(&mut self, lines: Vec<DocLine>) {
        self.lines = lines;
        self.top = self.top.min(self.lines.len().saturating_sub(1));
        self.recount();
    }

    /// Another object: from the top.
    pub fn rewind(&mut self) {
        self.top = 0;
        self.left = 0;
        if let Some(tree) = &mut self.tree {
            tree.cursor = 0;
        }
    }

    /// Its lines.
    #[must_use]
    pub fn lines(&self) -> &[DocLine] {
        &self.lines
    }

    /// The first line shown.
    #[must_use]
    pub fn top(&self) -> usize {
        self.top
    }

    /// The lines shown.
    pub fn visible(&self, height: usize) -> impl Iterator<Item = (usize, &DocLine)> {
        let last = self.lines.len().saturating_sub(height);
        self.lines
            .iter()
            .enumerate()
            .skip(self.top.min(last))
            .take(height)
    }

    /// Moves by lines, negative is up: the cursor where there is one, else what is shown.
    pub fn step(&mut self, lines: isize, height: usize) {
        let last = self.lines.len().saturating_sub(1);
        match &mut self.tree {
            Some(tree) => {
                tree.cursor = tree.cursor.saturating_add_signed(lines).min(last);
                self.keep_in_view(height);
            }
            None => self.scroll(lines, height),
        }
    }

    /// Moves what is shown; a cursor moves only if it would leave the screen.
    pub fn scroll(&mut self, lines: isize, height: usize) {
        let last = self.lines.len().saturating_sub(height);
        self.top = self.top.min(last).saturating_add_signed(lines).min(last);
        let bottom = (self.top + height).saturating_sub(1);
        let end = self.lines.len().saturating_sub(1);
        if let Some(tree) = &mut self.tree {
            tree.cursor = tree.cursor.clamp(self.top, bottom.max(self.top)).min(end);
        }
    }

    /// Searches, from the top, also in what is folded.
    pub fn set_search(&mut self, needle: &str, height: usize) {
        self.search.set(needle);
        self.recount();
        self.search_from(0, Direction::Down, height);
    }

    /// To the next match; what it is folded away in is unfolded.
    pub fn search_step(&mut self, direction: Direction, height: usize) {
        let current = self
            .search
            .current
            .and_then(|line| usize::try_from(line).ok());
        let from = match (direction, current) {
            (Direction::Down, Some(line)) => line + 1,
            (Direction::Up, Some(line)) => line,
            (_, None) => self.place(self.top),
        };
        self.search_from(from, direction, height);
    }

    /// Every line, folded or not.
    fn all(&self) -> &[DocLine] {
        self.tree.as_ref().map_or(&self.lines, |tree| &tree.all)
    }

    /// Which of all lines a shown one is.
    fn place(&self, shown: usize) -> usize {
        let tree = self.tree.as_ref();
        tree.and_then(|tree| tree.shown.get(shown).copied())
            .unwrap_or(shown)
    }

    /// The shown line is the current match.
    #[must_use]
    pub fn is_current(&self, shown: usize) -> bool {
        self.search.current == u64::try_from(self.place(shown)).ok()
    }

    fn search_from(&mut self, from: usize, direction: Direction, height: usize) {
        let all = self.all();
        let hit = |line: &usize| {
            let line = all.get(*line);
            line.is_some_and(|line| self.search.hits(&line.text()))
        };
        let found = match direction {
            Direction::Down => (from..all.len()).find(hit),
            Direction::Up => (0..from.min(all.len())).rev().find(hit),
        };
        let Some(found) = found else {
            return;
        };
        self.search.current = u64::try_from(found).ok();
        let mut line = found;
        if let Some(tree) = &mut self.tree {
            let mut inside = tree.parent(found);
            while let Some(branch) = inside {
                if let Some(key) = tree.keys.get(branch) {
                    tree.folded.remove(key);
                }
                inside = tree.parent(branch);
            }
            let lines = tree.unfolded();
            line = tree.shown.iter().position(|at| *at == found).unwrap_or(0);
            tree.cursor = line;
            self.lines = lines;
        }
        let last = self.lines.len().saturating_sub(height);
        self.top = line.saturating_sub(height / 2).min(last);
    }

    fn recount(&mut self) {
        let texts: Vec<_> = if self.search.is_active() {
            self.all().iter().map(DocLine::text).collect()
        } else {
            Vec::new()
        };
        self.search.recount(texts.iter().map(String::as_str));
    }
}

/// A value as lines, in the manner of YAML: easier to read than JSON, and one fact a line.
#[must_use]
pub fn lines_of(value: &Value) -> Vec<DocLine> {
    let mut lines = Vec::new();
    add(&mut lines, 0, "", value);
    lines
}

fn add(lines: &mut Vec<DocLine>, indent: usize, field: &str, value: &Value) {
    let scalar = match value {
        Value::Null => Some("null".to_owned()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Number(value) => Some(value.to_string()),
        Value::String(text) if text.is_empty() => Some("\"\"".to_owned()),
        Value::String(text) => Some(text.clone()),
        Value::Array(items) if items.is_empty() => Some("[]".to_owned()),
        Value::Object(fields) if fields.is_empty() => Some("{}".to_owned()),
        Value::Array(_) | Value::Object(_) => None,
    };
    if let Some(text) = scalar {
        lines.push(DocLine::new(indent, field, &text));
        return;
    }
    let inner = if field.is_empty() {
        indent
    } else {
        lines.push(DocLine::new(indent, field, ""));
        indent + 2
    };
    match value {
        Value::Array(items) => {
            for item in items {
                add(lines, inner, "-", item);
            }
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                add(lines, inner, &format!("{name}:"), value);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_value_becomes_one_fact_a_line() {
        let value = json!({"name": "web\u{1b}[31m", "ports": [80, {"host": "0.0.0.0"}], "none": [], "x": null});
        let texts: Vec<_> = lines_of(&value).iter().map(DocLine::text).collect();
        assert_eq!(
            texts,
            [
                "name: web\u{b7}[31m",
                "ports:",
                "  - 80",
                "  -",
                "    host: 0.0.0.0",
                "none: []",
                "x: null"
            ]
        );
    }

    #[test]
    fn search_brings_the_match_into_view() {
        let mut document = Document::default();
        document.set_text(lines_of(&json!((0..100).collect::<Vec<_>>())));
        document.set_search("- 50", 10);
        assert_eq!(document.search.count(), 1);
        assert!(document.visible(10).any(|(_, l)| l.value == "50"));
        document.scroll(-1000, 10);
        assert_eq!(document.top(), 0);
        document.scroll(1000, 10);
        assert_eq!(document.top(), 90);
    }

    fn shown(document: &Document) -> Vec<String> {
        document.lines().iter().map(DocLine::text).collect()
    }

    #[test]
    fn branches_fold_and_the_cursor_finds_its_way() {
        let mut document = Document::default();
        let value = json!({"name": "web", "config": {"cmd": ["a", "b"], "user": ""}, "end": 1});
        document.set_tree(lines_of(&value));
        document.step(4, 10);
        assert_eq!(document.lines()[4].text(), "    - b");
        // From the leaf to its branch, which then folds; then to the one above.
        assert!(document.fold(Fold::Close, 10));
        assert_eq!(document.cursor(), Some(2));
        assert!(document.fold(Fold::Close, 10));
        assert_eq!(
            shown(&document),
            [
                "name: web",
                "config:",
                "  cmd: (2)",
                "  user: \"\"",
                "end: 1"
            ]
        );
        assert_eq!(document.mark(2), Some(Mark::Folded));
        assert!(document.fold(Fold::Close, 10));
        assert!(document.fold(Fold::Toggle, 10));
        assert_eq!(shown(&document), ["name: web", "config: (4)", "end: 1"]);
        // Another object of the kind is folded alike.
        let value = json!({"config": {"cmd": [], "user": ""}, "end": 2});
        document.set_tree(lines_of(&value));
        assert_eq!(shown(&document), ["config: (2)", "end: 2"]);
        assert_eq!(document.cursor(), Some(0));
        document.fold_all(10);
        assert_eq!(document.lines().len(), 4);
        assert!(!document.fold(Fold::Open, 10));
    }

    #[test]
    fn a_search_finds_what_is_folded_away() {
        let mut document = Document::default();
        let value = json!({"a": {"b": {"needle": 1}}, "c": {"needle": 2}});
        document.set_tree(lines_of(&value));
        document.fold_all(10);
        assert_eq!(document.lines().len(), 2);
        document.set_search("needle", 10);
        assert_eq!(document.search.count(), 2);
        assert_eq!(shown(&document), ["a:", "  b:", "    needle: 1", "c: (1)"]);
        assert_eq!(document.cursor(), Some(2));
        document.search_step(Direction::Down, 10);
        assert_eq!(document.cursor(), Some(4));
        assert!(document.is_current(4));
        document.search_step(Direction::Up, 10);
        assert_eq!(document.cursor(), Some(2));
    }
}
