//! The volumes pane: what a row shows, how it sorts and what its filter understands.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::images::fits;
use super::list::{Column, Context, Row, Term};
use super::role::Role;
use super::text;
use crate::engine::model::units;
use crate::engine::model::volume::Volume;

/// Column of the name.
pub const NAME: usize = 0;
/// Column of the size.
pub const SIZE: usize = 1;
/// Column of the containers that have it.
pub const USED: usize = 2;
/// Column of the age.
pub const AGE: usize = 3;
/// Column of the driver, and of what the options mount.
pub const DRIVER: usize = 4;
/// Column of the labels.
pub const LABELS: usize = 5;

/// A volume in the list.
#[derive(Debug, Clone, PartialEq)]
pub struct VolumeRow {
    /// As the engine told.
    pub volume: Volume,
    /// Bytes of its own files, once that is known.
    pub size: Option<u64>,
    /// Names of the containers that have it, whether they run or not.
    pub used_by: Vec<String>,
    /// What is being done to it.
    pub busy: Option<&'static str>,
}

impl VolumeRow {
    /// Its name, safe to draw; of one that nobody named as much as tells it apart.
    #[must_use]
    pub fn name(&self) -> Cow<'_, str> {
        text::sanitise(self.short_name())
    }

    /// Its name, or the beginning of it if nobody named it.
    #[must_use]
    pub fn short_name(&self) -> &str {
        let name = &self.volume.name;
        if self.volume.is_anonymous() {
            name.split_at_checked(12).map_or(name, |(short, _)| short)
        } else {
            name
        }
    }

    /// `local`, and the kind of what its options mount.
    #[must_use]
    pub fn driver(&self) -> String {
        let option = |key: &str| self.volume.options.get(key).map(String::as_str);
        let kind = match option("type") {
            Some("none" | "") if option("o").is_some_and(|o| o.contains("bind")) => Some("bind"),
            kind => kind.filter(|kind| !kind.is_empty()),
        };
        match kind {
            Some(kind) => format!("local {}", text::sanitise(kind)),
            None => "local".to_owned(),
        }
    }

    fn labels(&self) -> String {
        let labels = self.volume.labels.iter();
        let named = labels.filter(|(key, _)| *key != crate::engine::model::volume::ANONYMOUS);
        let pairs: Vec<_> = named
            .map(|(key, value)| match value.as_str() {
                "" => key.clone(),
                value => format!("{key}={value}"),
            })
            .collect();
        text::sanitise(&pairs.join(" ")).into_owned()
    }
}

impl Row for VolumeRow {
    type Key = String;
    #[rustfmt::skip]
    const COLUMNS: &'static [Column] = &[
        Column { title: "VOLUME", width: 16, grows: true, right: false, sorts: true },
        Column { title: "SIZE", width: 6, grows: false, right: true, sorts: true },
        Column { title: "USED BY", width: 8, grows: true, right: false, sorts: true },
        Column { title: "AGE", width: 4, grows: false, right: true, sorts: true },
        Column { title: "DRIVER", width: 7, grows: true, right: false, sorts: true },
        Column { title: "LABELS", width: 8, grows: true, right: false, sorts: true },
    ];

    fn key(&self) -> String {
        self.volume.name.clone()
    }

    fn cell(&self, column: usize, context: Context) -> Cow<'_, str> {
        match column {
            NAME => match self.busy {
                Some(busy) => format!("{} {busy}", self.name()).into(),
                None => self.name(),
            },
            SIZE => self
                .size
                .map_or("".into(), |size| units::human_size_short(size).into()),
            USED => match self.used_by.as_slice() {
                [] => "-".into(),
                [one] => text::sanitise(one),
                many => format!("{}: {}", many.len(), text::sanitise(&many.join(" "))).into(),
            },
            AGE => text::age(context.now.as_second() - self.volume.created.as_second()).into(),
            DRIVER => self.driver().into(),
            LABELS => self.labels().into(),
            _ => "".into(),
        }
    }

    fn role(&self, column: usize) -> Role {
        match column {
            NAME if self.busy.is_some() => Role::Busy,
            NAME if self.volume.is_anonymous() => Role::Dim,
            USED if !self.used_by.is_empty() => Role::Good,
            USED | AGE | DRIVER | LABELS => Role::Dim,
            _ => Role::Text,
        }
    }

    fn compare(&self, other: &Self, column: usize) -> Ordering {
        let (a, b) = (&self.volume, &other.volume);
        match column {
            // What somebody named comes first.
            NAME => a.is_anonymous().cmp(&b.is_anonymous()),
            SIZE => other.size.cmp(&self.size),
            USED => other.used_by.len().cmp(&self.used_by.len()),
            AGE => b.created.cmp(&a.created),
            DRIVER => self.driver().cmp(&other.driver()),
            LABELS => a.labels.cmp(&b.labels),
            _ => Ordering::Equal,
        }
        .then_with(|| a.name.cmp(&b.name))
    }

    fn matches(&self, term: &Term) -> bool {
        let volume = &self.volume;
        match term.field.as_deref() {
            None => text::fuzzy(&volume.name, &term.value),
            Some("name" | "id") => text::contains(&volume.name, &term.value),
            Some("driver") => text::contains(&self.driver(), &term.value),
            Some("used") => self.used_by.iter().any(|c| text::contains(c, &term.value)),
            Some("size") => self.size.is_some_and(|size| fits(size, &term.value)),
            Some("status") => match term.value.as_str() {
                "used" => !self.used_by.is_empty(),
                "unused" => self.used_by.is_empty(),
                "anonymous" => volume.is_anonymous(),
                _ => false,
            },
            Some("label") => term.fits_label(&volume.labels),
            Some(_) => false,
        }
    }
}
