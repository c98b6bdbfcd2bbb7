//! A text to read and search: inspect and image details. Made of data, not of files.

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
        let gap = if self.field.is_empty() || self.value.is_empty() {
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
    lines: Vec<DocLine>,
    top: usize,
    /// Columns scrolled to the right.
    pub left: usize,
    /// The search.
    pub search: Search,
}

impl Document {
    /// Other lines; place and search stay, as it is usually the same object a moment later.
    pub fn set(&mut self, lines: Vec<DocLine>) {
        self.lines = lines;
        self.top = self.top.min(self.lines.len().saturating_sub(1));
        self.recount();
    }

    /// Another object: from the top.
    pub fn rewind(&mut self) {
        self.top = 0;
        self.left = 0;
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

    /// Moves by lines; negative is up.
    pub fn scroll(&mut self, lines: isize, height: usize) {
        let last = self.lines.len().saturating_sub(height);
        self.top = self.top.min(last).saturating_add_signed(lines).min(last);
    }

    /// Searches, from the top.
    pub fn set_search(&mut self, needle: &str, height: usize) {
        self.search.set(needle);
        self.recount();
        self.search_from(0, Direction::Down, height);
    }

    /// To the next match.
    pub fn search_step(&mut self, direction: Direction, height: usize) {
        let current = self
            .search
            .current
            .and_then(|line| usize::try_from(line).ok());
        let from = match (direction, current) {
            (Direction::Down, Some(line)) => line + 1,
            (Direction::Up, Some(line)) => line,
            (_, None) => self.top,
        };
        self.search_from(from, direction, height);
    }

    fn search_from(&mut self, from: usize, direction: Direction, height: usize) {
        let hit = |line: &usize| {
            self.lines
                .get(*line)
                .is_some_and(|l| self.search.hits(&l.text()))
        };
        let found = match direction {
            Direction::Down => (from..self.lines.len()).find(hit),
            Direction::Up => (0..from.min(self.lines.len())).rev().find(hit),
        };
        if let Some(line) = found {
            self.search.current = u64::try_from(line).ok();
            let last = self.lines.len().saturating_sub(height);
            self.top = line.saturating_sub(height / 2).min(last);
        }
    }

    fn recount(&mut self) {
        let texts: Vec<_> = if self.search.is_active() {
            self.lines.iter().map(DocLine::text).collect()
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
        document.set(lines_of(&json!((0..100).collect::<Vec<_>>())));
        document.set_search("- 50", 10);
        assert_eq!(document.search.count(), 1);
        assert!(document.visible(10).any(|(_, l)| l.value == "50"));
        document.scroll(-1000, 10);
        assert_eq!(document.top(), 0);
        document.scroll(1000, 10);
        assert_eq!(document.top(), 90);
    }
}
