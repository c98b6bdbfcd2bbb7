//! A file of an image to read: text with a little colour, bytes, or what two layers have differently in it.

use super::Scroll;
use super::lines::path_text;
use crate::app::document::DocLine;
use crate::app::jobs::Failure;
use crate::app::role::Role;
use crate::app::{FileStart, QueryId, text};
use crate::engine::model::layers::content::{self, Content};
use crate::engine::model::layers::textdiff::{self, Line};
use crate::engine::model::layers::tree::LayerId;

/// More of a file is not read, in bytes.
pub const LIMIT: u64 = 1 << 20;

/// An entry: its layer, and its number there.
pub type At = (LayerId, u32);

/// What is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A file.
    File(At),
    /// A file as an earlier layer has it, and as a later one has it.
    Change(At, At),
    /// A file as one image has it, and as another one has it.
    Pair(At, At),
}

/// A line, and what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewLine {
    /// What stands before it.
    pub sign: &'static str,
    /// The line, safe to draw.
    pub text: String,
    /// What a changed line is.
    pub role: Role,
}

/// The viewer.
#[derive(Debug)]
pub struct Viewer {
    /// The path, safe to draw.
    pub path: String,
    /// The path as it is copied.
    pub copied: String,
    /// What is read.
    pub subject: Subject,
    /// The question to the engine.
    pub query: QueryId,
    /// Why there is nothing.
    pub failure: Option<Failure>,
    /// It has come.
    pub is_there: bool,
    /// What is known of it besides its bytes.
    pub facts: Vec<String>,
    /// Bytes are shown instead of lines.
    pub hex: bool,
    /// Lines or rows that are seen.
    pub scroll: Scroll,
    /// Columns scrolled to the right.
    pub left: usize,
    bytes: Vec<u8>,
    lines: Vec<ViewLine>,
    /// What is looked for, and the lines or rows that have it.
    needle: String,
    found: Vec<usize>,
    /// The one of them that was gone to.
    current: Option<usize>,
    /// The line that it is opened for, from 1.
    wanted: Option<u64>,
}

impl Viewer {
    /// Nothing is there yet.
    #[must_use]
    pub fn new(path: &[u8], subject: Subject, query: QueryId) -> Self {
        Self {
            path: path_text(path),
            copied: format!("/{}", String::from_utf8_lossy(path)),
            subject,
            query,
            failure: None,
            is_there: false,
            facts: Vec::new(),
            hex: false,
            scroll: Scroll::default(),
            left: 0,
            bytes: Vec::new(),
            lines: Vec::new(),
            needle: String::new(),
            found: Vec::new(),
            current: None,
            wanted: None,
        }
    }

    /// The same, opened for a line of the file, from 1.
    #[must_use]
    pub fn at_line(mut self, line: Option<u64>) -> Self {
        self.wanted = line;
        self
    }

    /// The line or row that it was opened for, once that is there.
    #[must_use]
    pub fn marked(&self) -> Option<usize> {
        let line = usize::try_from(self.wanted?.checked_sub(1)?).ok()?;
        let row = if self.hex {
            let mut starts = self.bytes.split(|b| *b == b'\n');
            let before: usize = starts.by_ref().take(line).map(|line| line.len() + 1).sum();
            starts.next().map(|_| before / 16)?
        } else {
            line
        };
        (row < self.count()).then_some(row)
    }

    /// What was read.
    pub fn take(&mut self, starts: Vec<FileStart>) {
        self.is_there = true;
        let mut starts = starts.into_iter();
        match (&self.subject, starts.next(), starts.next()) {
            (Subject::Change(..) | Subject::Pair(..), Some(old), Some(new)) => {
                self.compare(&old, &new);
            }
            (_, Some(file), _) => {
                let Content { is_text, facts } = content::look(&file.bytes);
                self.facts = facts;
                if is_cut(&file) {
                    self.facts.push(format!("the first {}", text::bytes(LIMIT)));
                }
                self.hex = !is_text;
                let shown = String::from_utf8_lossy(&file.bytes);
                self.lines = shown
                    .lines()
                    .map(|line| plain("", line, Role::Text))
                    .collect();
                self.bytes = file.bytes;
                self.show_marked();
            }
            (_, None, _) => {}
        }
    }

    fn show_marked(&mut self) {
        if let Some(row) = self.marked() {
            self.bring(row);
        }
    }

    fn compare(&mut self, old: &FileStart, new: &FileStart) {
        let both = [old, new].map(|file| (content::look(&file.bytes), is_cut(file)));
        if both.iter().any(|(content, _)| !content.is_text) {
            let told = both.map(|(content, _)| content.facts.join(", "));
            self.facts = vec![
                "no text to compare".to_owned(),
                format!("before: {}, {} bytes", told[0], old.size),
                format!("after: {}, {} bytes", told[1], new.size),
            ];
            self.lines = self
                .facts
                .iter()
                .map(|fact| plain("", fact, Role::Text))
                .collect();
            return;
        }
        let (old, new) = (
            String::from_utf8_lossy(&old.bytes),
            String::from_utf8_lossy(&new.bytes),
        );
        let lines = textdiff::compare(&old, &new);
        let count =
            |wanted: fn(&Line<'_>) -> bool| lines.iter().filter(|line| wanted(line)).count();
        let added = count(|line| matches!(line, Line::New(_)));
        let removed = count(|line| matches!(line, Line::Old(_)));
        self.facts = vec![format!("{added} lines added, {removed} removed")];
        if added + removed == 0 {
            self.facts = vec!["the same lines".to_owned()];
        }
        if both.iter().any(|(_, cut)| *cut) {
            self.facts.push(format!("the first {}", text::bytes(LIMIT)));
        }
        self.lines = lines
            .iter()
            .map(|line| match line {
                Line::Same(line) => plain(" ", line, Role::Dim),
                Line::Old(line) => plain("-", line, Role::Bad),
                Line::New(line) => plain("+", line, Role::Good),
            })
            .collect();
        let first = self.lines.iter().position(|line| line.role != Role::Dim);
        let count = self.lines.len();
        self.scroll
            .scroll(isize::try_from(first.unwrap_or(0)).unwrap_or(0) - 3, count);
    }

    /// How many lines or rows there are.
    #[must_use]
    pub fn count(&self) -> usize {
        if self.hex {
            self.bytes.len().div_ceil(16)
        } else {
            self.lines.len()
        }
    }

    /// The line or row of this number.
    #[must_use]
    pub fn line(&self, number: usize) -> Option<ViewLine> {
        if !self.hex {
            return self.lines.get(number).cloned();
        }
        let row = self.bytes.chunks(16).nth(number)?;
        Some(plain("", &content::hex_row(number * 16, row), Role::Text))
    }

    /// Lines, or bytes.
    pub fn toggle_hex(&mut self) {
        if !self.bytes.is_empty() {
            self.hex = !self.hex;
            self.scroll = Scroll {
                height: self.scroll.height,
                ..Scroll::default()
            };
            self.left = 0;
            self.show_marked();
            self.find();
        }
    }

    /// What is looked for; empty if nothing is.
    #[must_use]
    pub fn needle(&self) -> &str {
        &self.needle
    }

    /// Lines or rows that have what is looked for.
    #[must_use]
    pub fn found(&self) -> &[usize] {
        &self.found
    }

    /// The line or row that the last step went to.
    #[must_use]
    pub fn current(&self) -> Option<usize> {
        self.current
    }

    /// Looks for a text (small letters find capitals, too); among bytes also for `0x7f45`. Goes to the first place from what is seen on.
    pub fn look_for(&mut self, needle: &str) {
        needle.clone_into(&mut self.needle);
        self.find();
        let from = self.scroll.top;
        let next = self.found.iter().find(|line| **line >= from);
        if let Some(line) = next.or(self.found.first()).copied() {
            self.show(line);
        }
    }

    fn find(&mut self) {
        self.current = None;
        self.found = if self.needle.is_empty() {
            Vec::new()
        } else if self.hex {
            content::rows_with(&self.bytes, &self.needle)
        } else {
            let lines = self.lines.iter().enumerate();
            let has = |(_, line): &(usize, &ViewLine)| text::contains(&line.text, &self.needle);
            lines.filter(has).map(|(number, _)| number).collect()
        };
    }

    /// Goes to the next or previous place that has it, round and round; false if there is none.
    pub fn go_to_match(&mut self, forward: bool) -> bool {
        let at = self.current.unwrap_or(self.scroll.top);
        let line = if forward {
            let next = self.found.iter().find(|line| **line > at);
            next.or(self.found.first())
        } else {
            let next = self.found.iter().rev().find(|line| **line < at);
            next.or(self.found.last())
        };
        let line = line.copied();
        if let Some(line) = line {
            self.show(line);
        }
        line.is_some()
    }

    fn show(&mut self, line: usize) {
        self.current = Some(line);
        self.bring(line);
    }

    /// Puts a line into view.
    fn bring(&mut self, line: usize) {
        let (top, height) = (self.scroll.top, self.scroll.height.max(1));
        if line < top || line >= top + height {
            let first = isize::try_from(line.saturating_sub(height / 3)).unwrap_or(0);
            let count = self.count();
            self.scroll
                .scroll(first - isize::try_from(top).unwrap_or(0), count);
        }
    }

    /// Moves what is seen.
    pub fn step(&mut self, lines: isize) {
        let count = self.count();
        self.scroll.scroll(lines, count);
    }

    /// Everything as text, to be copied.
    #[must_use]
    pub fn text(&self) -> String {
        let lines = self
            .lines
            .iter()
            .map(|line| format!("{}{}\n", line.sign, line.text));
        lines.collect()
    }

    /// What is known, in one line.
    #[must_use]
    pub fn told(&self) -> DocLine {
        DocLine::new(0, "", &self.facts.join(", "))
    }
}

fn is_cut(file: &FileStart) -> bool {
    u64::try_from(file.bytes.len()).unwrap_or(u64::MAX) < file.size
}

fn plain(sign: &'static str, line: &str, role: Role) -> ViewLine {
    let line = line.replace('\t', "    ");
    ViewLine {
        sign,
        text: text::sanitise(&line).into_owned(),
        role,
    }
}

/// Pieces of a line with what they mean: comments, texts, numbers, names before `=` or `:`. What a language has
/// beyond that is not known here.
#[must_use]
pub fn pieces(line: &str) -> Vec<(Role, &str)> {
    let trimmed = line.trim_start();
    let comment = ["#", "//", ";", "--", "<!--", "/*", "* "];
    if comment.iter().any(|start| trimmed.starts_with(start)) {
        return vec![(Role::Dim, line)];
    }
    let mut pieces = Vec::new();
    let mut rest = line;
    if let Some(end) = name_end(line) {
        let (name, after) = line.split_at(end);
        pieces.push((Role::Field, name));
        rest = after;
    }
    while let Some(first) = rest.chars().next() {
        let (role, length) = match first {
            '"' | '\'' => (Role::Good, quoted(rest, first)),
            '0'..='9' => (
                Role::GraphB,
                run(rest, |c| c.is_ascii_alphanumeric() || c == '.'),
            ),
            c if c.is_alphanumeric() || c == '_' => {
                (Role::Text, run(rest, |c| c.is_alphanumeric() || c == '_'))
            }
            '#' if pieces
                .last()
                .is_some_and(|(_, text): &(Role, &str)| text.ends_with(' ')) =>
            {
                (Role::Dim, rest.len())
            }
            c => (Role::Text, c.len_utf8()),
        };
        let (piece, after) = rest.split_at(length);
        pieces.push((role, piece));
        rest = after;
    }
    pieces
}

fn run(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|c| !belongs(c)).unwrap_or(text.len())
}

fn quoted(text: &str, quote: char) -> usize {
    let end = text.get(1..).and_then(|inner| inner.find(quote));
    end.map_or(text.len(), |end| end + 2)
}

/// Where the name ends in `name = value`, `name: value`, `"name": value`, `NAME=value`.
fn name_end(line: &str) -> Option<usize> {
    let end = line.find([':', '='])?;
    let name = line.get(..end)?.trim();
    let inner = name.trim_matches('"');
    let plain = |c: char| c.is_alphanumeric() || "_-.".contains(c);
    (!inner.is_empty() && inner.chars().all(plain)).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_have_names_texts_and_comments() {
        let roles = |line| -> Vec<(Role, &str)> {
            let pieces = pieces(line).into_iter();
            pieces.filter(|(role, _)| *role != Role::Text).collect()
        };
        assert_eq!(roles("# all"), [(Role::Dim, "# all")]);
        assert_eq!(
            roles("port = 80 # why"),
            [
                (Role::Field, "port "),
                (Role::GraphB, "80"),
                (Role::Dim, "# why")
            ]
        );
        assert_eq!(
            roles("  \"a\": \"b\","),
            [(Role::Field, "  \"a\""), (Role::Good, "\"b\"")]
        );
        assert_eq!(roles("if x { say 'it"), [(Role::Good, "'it")]);
    }

    proptest! {
        #[test]
        fn pieces_are_the_line(line in ".*|[a-z\"'#:= 0-9]*") {
            let whole: String = pieces(&line).iter().map(|(_, piece)| *piece).collect();
            prop_assert_eq!(whole, line);
        }
    }
}
