//! The images pane: what a row shows, and the text of the details.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::list::{Column, Context, Row, Term};
use super::role::Role;
use super::text;
use crate::engine::model::{ImageSummary, units};

/// Column of the name.
pub const NAME: usize = 0;
/// Column of the size.
pub const SIZE: usize = 1;
/// Column of what no other image has.
pub const UNIQUE: usize = 2;
/// Column of the age.
pub const AGE: usize = 3;
/// Column of the containers made from it.
pub const USED: usize = 4;
/// Column of the id.
pub const ID: usize = 5;

/// An image in the list.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageRow {
    /// As the engine told.
    pub summary: ImageSummary,
    /// Bytes of its layers that no other image has, once that is known.
    pub unique: Option<u64>,
    /// Names of the containers made from it.
    pub used_by: Vec<String>,
    /// What is being done to it.
    pub busy: Option<&'static str>,
}

impl ImageRow {
    /// Its first tag, or its short id.
    #[must_use]
    pub fn name(&self) -> Cow<'_, str> {
        match self.summary.tags.first() {
            Some(tag) => text::sanitise(tag),
            None => format!("<none> {}", self.summary.id.short()).into(),
        }
    }

    /// It has no name any more.
    #[must_use]
    pub fn is_dangling(&self) -> bool {
        self.summary.tags.is_empty()
    }

    /// What `rmi` calls it: the only tag, or else the id.
    #[must_use]
    pub fn reference(&self) -> &str {
        match self.summary.tags.as_slice() {
            [tag] => tag,
            _ => self.summary.id.as_str(),
        }
    }
}

impl Row for ImageRow {
    type Key = String;
    #[rustfmt::skip]
    const COLUMNS: &'static [Column] = &[
        Column { title: "IMAGE", width: 24, grows: true, right: false, sorts: true },
        Column { title: "SIZE", width: 6, grows: false, right: true, sorts: true },
        Column { title: "UNIQUE", width: 7, grows: false, right: true, sorts: true },
        Column { title: "AGE", width: 4, grows: false, right: true, sorts: true },
        Column { title: "USED BY", width: 8, grows: true, right: false, sorts: true },
        Column { title: "ID", width: 12, grows: false, right: false, sorts: true },
    ];

    fn key(&self) -> String {
        self.summary.id.to_string()
    }

    fn cell(&self, column: usize, context: Context) -> Cow<'_, str> {
        match column {
            NAME => match (self.busy, self.summary.tags.len()) {
                (Some(busy), _) => format!("{} {busy}", self.name()).into(),
                (None, 0 | 1) => self.name(),
                (None, more) => format!("{} +{}", self.name(), more - 1).into(),
            },
            // As `wharf images` prints it.
            SIZE => units::human_size_short(self.summary.size).into(),
            UNIQUE => self
                .unique
                .map_or("".into(), |unique| units::human_size_short(unique).into()),
            USED => match self.used_by.as_slice() {
                [] => "-".into(),
                [one] => text::sanitise(one),
                many => format!("{}: {}", many.len(), text::sanitise(&many.join(" "))).into(),
            },
            AGE => self.summary.created.map_or("".into(), |created| {
                text::age(context.now.as_second() - created.as_second()).into()
            }),
            ID => self.summary.id.short().into(),
            _ => "".into(),
        }
    }

    fn role(&self, column: usize) -> Role {
        match column {
            NAME if self.busy.is_some() => Role::Busy,
            NAME if self.is_dangling() => Role::Dim,
            USED if !self.used_by.is_empty() => Role::Good,
            USED | AGE | ID => Role::Dim,
            _ => Role::Text,
        }
    }

    fn compare(&self, other: &Self, column: usize) -> Ordering {
        let (a, b) = (&self.summary, &other.summary);
        match column {
            NAME => match (a.tags.is_empty(), b.tags.is_empty()) {
                (true, false) => Ordering::Greater,
                (false, true) => Ordering::Less,
                _ => a.tags.cmp(&b.tags),
            },
            SIZE => b.size.cmp(&a.size),
            UNIQUE => other.unique.cmp(&self.unique),
            ID => a.id.as_str().cmp(b.id.as_str()),
            USED => other.used_by.len().cmp(&self.used_by.len()),
            AGE => b.created.cmp(&a.created),
            _ => Ordering::Equal,
        }
        .then_with(|| a.tags.cmp(&b.tags))
    }

    fn matches(&self, term: &Term) -> bool {
        let tags = |needle: &str| self.summary.tags.iter().any(|t| text::contains(t, needle));
        match term.field.as_deref() {
            None => {
                self.summary
                    .tags
                    .iter()
                    .any(|t| text::fuzzy(t, &term.value))
                    || self.summary.id.hex().starts_with(&term.value)
            }
            Some("image" | "name") => tags(&term.value),
            Some("used") => self.used_by.iter().any(|c| text::contains(c, &term.value)),
            Some("platform") => text::contains(&self.summary.platform.to_string(), &term.value),
            Some("size") => fits(self.summary.size, &term.value),
            Some("unique") => self.unique.is_some_and(|unique| fits(unique, &term.value)),
            Some("id") => self.summary.id.hex().starts_with(&term.value),
            Some("status") => match term.value.as_str() {
                "used" => !self.used_by.is_empty(),
                "unused" => self.used_by.is_empty(),
                "dangling" => self.is_dangling(),
                _ => false,
            },
            Some("label") => term.fits_label(&self.summary.labels),
            Some(field) => tags(&format!("{field}:{}", term.value)),
        }
    }
}

/// `>100MB`, `<1g`; a number alone is at least that much.
pub(super) fn fits(size: u64, wanted: &str) -> bool {
    let (less, number) = match wanted.strip_prefix('<') {
        Some(number) => (true, number),
        None => (false, wanted.strip_prefix('>').unwrap_or(wanted)),
    };
    let digits = number.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = number.get(digits.len()..).unwrap_or_default();
    // Sizes of images are told in powers of 1000.
    let factor: u64 = match unit.to_ascii_lowercase().trim_end_matches('b') {
        "" => 1,
        "k" => 1_000,
        "m" => 1_000_000,
        "g" => 1_000_000_000,
        _ => return false,
    };
    digits.parse::<u64>().is_ok_and(|number| {
        let limit = number.saturating_mul(factor);
        if less { size < limit } else { size >= limit }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_compared_in_the_units_that_are_shown() {
        for (size, wanted, expected) in [
            (4_261_550, ">4M", true),
            (4_261_550, "4mb", true),
            (4_261_550, "<4M", false),
            (4_261_550, "<5M", true),
            (999, ">1k", false),
            (2_000_000_000, "1g", true),
            (1, "1x", false),
            (1, "", false),
        ] {
            assert_eq!(fits(size, wanted), expected, "{size} {wanted}");
        }
    }
}
