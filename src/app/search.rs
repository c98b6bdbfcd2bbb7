//! A search in lines of text: what is looked for, how many lines have it, which one is current.

use super::text;

/// The search of a pane. Nothing is searched while the needle is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Search {
    needle: String,
    count: usize,
    /// The line that the last step went to.
    pub current: Option<u64>,
}

impl Search {
    /// What is looked for.
    #[must_use]
    pub fn needle(&self) -> &str {
        &self.needle
    }

    /// Something is looked for.
    #[must_use]
    pub fn is_active(&self) -> bool {
        !self.needle.is_empty()
    }

    /// How many lines have it.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Looks for something else; the caller recounts.
    pub fn set(&mut self, needle: &str) {
        needle.clone_into(&mut self.needle);
        self.current = None;
        self.count = 0;
    }

    /// Whether a line has it.
    #[must_use]
    pub fn hits(&self, line: &str) -> bool {
        self.is_active() && text::contains(line, &self.needle)
    }

    /// Counts anew.
    pub fn recount<'a>(&mut self, lines: impl Iterator<Item = &'a str>) {
        self.count = lines.filter(|line| self.hits(line)).count();
    }

    /// A line came.
    pub fn added(&mut self, line: &str) {
        self.count += usize::from(self.hits(line));
    }

    /// A line went.
    pub fn removed(&mut self, line: &str) {
        self.count -= usize::from(self.hits(line)).min(self.count);
    }
}
