//! The containers pane: what a row shows, how it sorts and what its filter understands.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::list::{Column, Context, Row, Term};
use super::role::{Glyphs, Role};
use super::text;
use crate::engine::model::{ContainerId, ContainerSummary, HealthStatus, Status};

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
/// Column of the Compose project.
pub const PROJECT: usize = 7;
/// Column of what it receives and sends each second.
pub const NETWORK: usize = 8;
/// Column of what it reads from and writes to block devices each second.
pub const BLOCK: usize = 9;
/// Column of its tasks.
pub const TASKS: usize = 10;
/// Column of its restarts by policy.
pub const RESTARTS: usize = 11;
/// Column of the ports that it exposes.
pub const PORTS: usize = 12;

/// The label that says which project a container is of (Docker Compose).
const PROJECT_LABEL: &str = "com.docker.compose.project";

/// A container in the list.
#[derive(Debug, Clone, PartialEq)]
pub struct ContainerRow {
    /// As the engine told.
    pub summary: ContainerSummary,
    /// CPU use in percent of one CPU.
    pub cpu: Option<f32>,
    /// Memory in bytes.
    pub memory: Option<u64>,
    /// Bytes that it receives and sends each second.
    pub network: Option<(f32, f32)>,
    /// Bytes that it reads and writes each second.
    pub block: Option<(f32, f32)>,
    /// Its tasks.
    pub tasks: Option<u64>,
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
            network: None,
            block: None,
            tasks: None,
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

    /// The Compose project that it is of.
    #[must_use]
    pub fn project(&self) -> Option<&str> {
        let labels = &self.summary.container.config.labels;
        labels.get(PROJECT_LABEL).map(String::as_str)
    }

    /// Where in its life it is.
    #[must_use]
    pub fn status(&self) -> Status {
        self.summary.state.status
    }

    /// Its health, if that is probed.
    #[must_use]
    pub fn health(&self) -> Option<HealthStatus> {
        self.summary
            .state
            .health
            .as_ref()
            .map(|health| health.status)
    }

    /// `up 3m`, `healthy 3m`, `exit 137 2h`, `restarting` …
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
            Status::Running => match self.health() {
                // That it is up is told by its sign; the word has no room for more.
                Some(HealthStatus::Unhealthy) => "unhealthy".to_owned(),
                Some(health) => format!("{} {}", health.as_str(), since(state.started_at)),
                None => format!("up {}", since(state.started_at)),
            },
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
            Status::Running if self.is_unhealthy() => glyphs.pick("\u{25d0}", "!"),
            Status::Running => glyphs.pick("\u{25cf}", "R"),
            Status::Paused => glyphs.pick("\u{2016}", "P"),
            Status::Restarting => glyphs.pick("\u{21bb}", "r"),
            Status::Removing => glyphs.pick("\u{25cc}", "D"),
            Status::Exited if self.summary.state.exit_code == 0 => glyphs.pick("\u{25a0}", "E"),
            Status::Exited | Status::Dead => glyphs.pick("\u{2717}", "X"),
        }
    }

    fn is_unhealthy(&self) -> bool {
        self.health() == Some(HealthStatus::Unhealthy)
    }

    /// What its state means.
    #[must_use]
    pub fn state_role(&self) -> Role {
        match self.status() {
            Status::Running => match self.health() {
                Some(HealthStatus::Unhealthy) => Role::Bad,
                Some(HealthStatus::Starting) => Role::Busy,
                Some(HealthStatus::Healthy) | None => Role::Good,
            },
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
        Column { title: "PROJECT", width: 8, grows: true, right: false, sorts: true },
        Column { title: "NET IN/OUT", width: 11, grows: false, right: true, sorts: true },
        Column { title: "READ/WRITE", width: 11, grows: false, right: true, sorts: true },
        Column { title: "TASKS", width: 6, grows: false, right: true, sorts: true },
        Column { title: "RESTARTS", width: 9, grows: false, right: true, sorts: true },
        Column { title: "PORTS", width: 8, grows: true, right: false, sorts: true },
    ];
    const EXTRA: usize = PROJECT;

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
            PROJECT => text::sanitise(self.project().unwrap_or_default()),
            NETWORK => rates(self.network).into(),
            BLOCK => rates(self.block).into(),
            TASKS => self.tasks.map_or("".into(), |n| n.to_string().into()),
            RESTARTS => match self.summary.state.restart_count {
                0 => "".into(),
                count => count.to_string().into(),
            },
            PORTS => text::sanitise(&container.config.exposed_ports.join(" "))
                .into_owned()
                .into(),
            _ => "".into(),
        }
    }

    fn role(&self, column: usize) -> Role {
        match column {
            SIGN | STATUS => self.state_role(),
            CPU if self.cpu.is_some_and(|cpu| cpu >= 90.0) => Role::Bad,
            CPU if self.cpu.is_some_and(|cpu| cpu >= 50.0) => Role::Warning,
            RESTARTS => Role::Warning,
            IMAGE | AGE | PROJECT | PORTS => Role::Dim,
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
            // What is of no project comes last.
            PROJECT => (self.project().is_none(), self.project())
                .cmp(&(other.project().is_none(), other.project())),
            NETWORK => sum(other.network).total_cmp(&sum(self.network)),
            BLOCK => sum(other.block).total_cmp(&sum(self.block)),
            TASKS => other.tasks.cmp(&self.tasks),
            RESTARTS => {
                let count = |row: &Self| row.summary.state.restart_count;
                count(other).cmp(&count(self))
            }
            PORTS => a.config.exposed_ports.cmp(&b.config.exposed_ports),
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
            Some("project") => self
                .project()
                .is_some_and(|project| text::contains(project, &term.value)),
            Some("image") => text::contains(&container.config.image, &term.value),
            Some("id") => container.id.as_str().starts_with(&term.value),
            Some("status") => self
                .status()
                .as_str()
                .starts_with(&term.value.to_lowercase()),
            Some("health") => {
                let health = self.health().map_or("none", HealthStatus::as_str);
                health.starts_with(&term.value.to_lowercase())
            }
            Some("label") => term.fits_label(&container.config.labels),
            // `a:b` that is no field may be part of an image's name.
            Some(field) => {
                let whole = format!("{field}:{}", term.value);
                text::contains(&container.config.image, &whole)
            }
        }
    }
}

/// Two rates in at most eleven columns; nothing while nothing moves.
fn rates(rates: Option<(f32, f32)>) -> String {
    match rates {
        None => String::new(),
        Some((a, b)) if a < 0.5 && b < 0.5 => "-".to_owned(),
        Some((a, b)) => {
            let short = |rate: f32| {
                let text = text::rate(f64::from(rate));
                text.trim_end_matches("/s").to_owned()
            };
            format!("{}/{}", short(a), short(b))
        }
    }
}

fn sum(rates: Option<(f32, f32)>) -> f32 {
    rates.map_or(-1.0, |(a, b)| a + b)
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
