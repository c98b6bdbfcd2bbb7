//! The containers pane: what a row shows, how it sorts and what its filter understands.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::list::{Column, Context, Row, Term};
use super::role::{Glyphs, Role};
use super::text;
use crate::engine::model::{ContainerId, ContainerSummary, Status};

/// Column of the state's sign.
pub const SIGN: usize = 0;
/// Column of the name.
pub const NAME: usize = 1;
/// Column of the status.
pub const STATUS: usize = 2;
/// Column of the CPU use.
pub const CPU: usize = 3;
/// Column of the memory.
pub const MEMORY: usize = 4;
/// Column of the image.
pub const IMAGE: usize = 5;
/// Column of the age.
pub const AGE: usize = 6;

/// A container in the list.
#[derive(Debug, Clone, PartialEq)]
pub struct ContainerRow {
    /// As the engine told.
    pub summary: ContainerSummary,
    /// CPU use in percent of one CPU.
    pub cpu: Option<f32>,
    /// Memory in bytes.
    pub memory: Option<u64>,
    /// What is being done to it: `stopping` …
    pub busy: Option<&'static str>,
}

impl ContainerRow {
    /// A row without figures.
    #[must_use]
    pub fn new(summary: ContainerSummary) -> Self {
        Self {
            summary,
            cpu: None,
            memory: None,
            busy: None,
        }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &ContainerId {
        &self.summary.container.id
    }

    /// Its name, safe to draw.
    #[must_use]
    pub fn name(&self) -> Cow<'_, str> {
        text::sanitise(&self.summary.container.name)
    }

    /// Where in its life it is.
    #[must_use]
    pub fn status(&self) -> Status {
        self.summary.state.status
    }

    /// `up 3m`, `exit 137 2h`, `restarting` …
    #[must_use]
    pub fn status_text(&self, context: Context) -> Cow<'static, str> {
        if let Some(busy) = self.busy {
            return Cow::Owned(format!("{busy}{}", context.glyphs.pick("\u{2026}", "...")));
        }
        let state = &self.summary.state;
        let since = |time: Option<jiff::Timestamp>| {
            time.map(|t| text::age(context.now.as_second() - t.as_second()))
                .unwrap_or_default()
        };
        Cow::Owned(match state.status {
            Status::Created if !state.error.is_empty() => "not started".to_owned(),
            Status::Created => "created".to_owned(),
            Status::Running => format!("up {}", since(state.started_at)),
            Status::Paused => "paused".to_owned(),
            Status::Restarting => "restarting".to_owned(),
            Status::Removing => "removing".to_owned(),
            Status::Exited if state.oom_killed => format!("oom {}", since(state.finished_at)),
            Status::Exited => format!("exit {} {}", state.exit_code, since(state.finished_at)),
            Status::Dead => "dead".to_owned(),
        })
    }

    /// A sign one column wide, different for each state also without colour.
    #[must_use]
    pub fn sign(&self, glyphs: Glyphs) -> &'static str {
        match self.status() {
            Status::Created => glyphs.pick("\u{25cb}", "C"),
            Status::Running => glyphs.pick("\u{25cf}", "R"),
            Status::Paused => glyphs.pick("\u{2016}", "P"),
            Status::Restarting => glyphs.pick("\u{21bb}", "r"),
            Status::Removing => glyphs.pick("\u{25cc}", "D"),
            Status::Exited if self.summary.state.exit_code == 0 => glyphs.pick("\u{25a0}", "E"),
            Status::Exited | Status::Dead => glyphs.pick("\u{2717}", "X"),
        }
    }

    /// What its state means.
    #[must_use]
    pub fn state_role(&self) -> Role {
        match self.status() {
            Status::Running => Role::Good,
            Status::Paused => Role::Warning,
            Status::Created | Status::Restarting | Status::Removing => Role::Busy,
            Status::Exited if self.summary.state.exit_code == 0 => Role::Idle,
            Status::Exited | Status::Dead => Role::Bad,
        }
    }
}

impl Row for ContainerRow {
    type Key = ContainerId;
    #[rustfmt::skip]
    const COLUMNS: &'static [Column] = &[
        Column { title: "", width: 1, grows: false, right: false, sorts: false },
        Column { title: "NAME", width: 12, grows: true, right: false, sorts: true },
        Column { title: "STATUS", width: 12, grows: false, right: false, sorts: true },
        Column { title: "CPU%", width: 6, grows: false, right: true, sorts: true },
        Column { title: "MEM", width: 6, grows: false, right: true, sorts: true },
        Column { title: "IMAGE", width: 10, grows: true, right: false, sorts: true },
        Column { title: "AGE", width: 4, grows: false, right: true, sorts: true },
    ];

    fn key(&self) -> ContainerId {
        self.id().clone()
    }

    fn cell(&self, column: usize, context: Context) -> Cow<'_, str> {
        let container = &self.summary.container;
        match column {
            SIGN => self.sign(context.glyphs).into(),
            NAME => self.name(),
            STATUS => self.status_text(context),
            CPU => self.cpu.map_or("".into(), |cpu| format!("{cpu:.1}").into()),
            MEMORY => self.memory.map_or("".into(), |m| text::bytes(m).into()),
            IMAGE => text::sanitise(&container.config.image),
            AGE => text::age(context.now.as_second() - container.created.as_second()).into(),
            _ => "".into(),
        }
    }

    fn role(&self, column: usize) -> Role {
        match column {
            SIGN | STATUS => self.state_role(),
            CPU if self.cpu.is_some_and(|cpu| cpu >= 90.0) => Role::Bad,
            CPU if self.cpu.is_some_and(|cpu| cpu >= 50.0) => Role::Warning,
            IMAGE | AGE => Role::Dim,
            _ => Role::Text,
        }
    }

    fn compare(&self, other: &Self, column: usize) -> Ordering {
        // Numbers: the largest first, as one wants to see what uses most.
        let (a, b) = (&self.summary.container, &other.summary.container);
        match column {
            STATUS => rank(self.status()).cmp(&rank(other.status())),
            CPU => other
                .cpu
                .unwrap_or(-1.0)
                .total_cmp(&self.cpu.unwrap_or(-1.0)),
            MEMORY => other.memory.cmp(&self.memory),
            IMAGE => a.config.image.cmp(&b.config.image),
            AGE => b.created.cmp(&a.created),
            _ => Ordering::Equal,
        }
        .then_with(|| a.name.cmp(&b.name))
    }

    fn matches(&self, term: &Term) -> bool {
        let container = &self.summary.container;
        match term.field.as_deref() {
            None => {
                text::fuzzy(&container.name, &term.value)
                    || text::contains(&container.config.image, &term.value)
                    || container.id.as_str().starts_with(&term.value)
            }
            Some("name") => text::contains(&container.name, &term.value),
            Some("image") => text::contains(&container.config.image, &term.value),
            Some("id") => container.id.as_str().starts_with(&term.value),
            Some("status") => self
                .status()
                .as_str()
                .starts_with(&term.value.to_lowercase()),
            Some("label") => {
                let (name, value) = match term.value.split_once('=') {
                    Some((name, value)) => (name, Some(value)),
                    None => (term.value.as_str(), None),
                };
                let found = container.config.labels.get(name);
                found.is_some_and(|found| value.is_none_or(|value| found == value))
            }
            // `a:b` that is no field may be part of an image's name.
            Some(field) => {
                let whole = format!("{field}:{}", term.value);
                text::contains(&container.config.image, &whole)
            }
        }
    }
}

/// Running first, then what needs a look, then what rests.
fn rank(status: Status) -> u8 {
    match status {
        Status::Running => 0,
        Status::Restarting => 1,
        Status::Paused => 2,
        Status::Removing => 3,
        Status::Dead => 4,
        Status::Created => 5,
        Status::Exited => 6,
    }
}
