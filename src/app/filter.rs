//! What the user types to see only some rows of a list: words, and `field:value`.

use std::collections::BTreeMap;

use super::list::Row;

/// One word of a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// `status`, `image`, `label` … of `field:value`.
    pub field: Option<String>,
    /// What is looked for.
    pub value: String,
    /// `!` in front: must not fit.
    pub negated: bool,
}

impl Term {
    /// `name`, or `name=value`.
    #[must_use]
    pub fn fits_label(&self, labels: &BTreeMap<String, String>) -> bool {
        let (name, value) = match self.value.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (self.value.as_str(), None),
        };
        let found = labels.get(name);
        found.is_some_and(|found| value.is_none_or(|value| found == value))
    }
}

/// A filter: all words must fit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// As typed.
    pub text: String,
    terms: Vec<Term>,
}

impl Filter {
    /// Reads what was typed. Everything is a filter; there are no errors.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let term = |word: &str| {
            let (negated, word) = match word.strip_prefix('!') {
                Some(rest) => (true, rest),
                None => (false, word),
            };
            let (field, value) = match word.split_once(':') {
                Some((field, value)) if !field.is_empty() => (Some(field.to_lowercase()), value),
                _ => (None, word),
            };
            (!value.is_empty()).then(|| Term {
                field,
                value: value.to_owned(),
                negated,
            })
        };
        Self {
            text: text.to_owned(),
            terms: text.split_whitespace().filter_map(term).collect(),
        }
    }

    pub(super) fn admits<R: Row>(&self, row: &R) -> bool {
        self.terms.iter().all(|t| row.matches(t) != t.negated)
    }
}
