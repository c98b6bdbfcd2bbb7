//! The containers pane: what a row shows, how it sorts and what its filter understands.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::net::IpAddr;

use super::list::{Column, Context, Row, Term};
use super::role::{Glyphs, Role};
use super::text;
use crate::engine::model::network::{self, Port};
use crate::engine::model::{ContainerId, ContainerSummary, HealthStatus, Status, signal};

/// Column of the state's sign.
pub const SIGN: usize = 0;
/// Column of the name.
pub const NAME: usize = 1;
/// Column of the status, with the reason of its end.
pub const STATUS: usize = 2;
/// Column of the CPU use.
pub const CPU: usize = 3;
/// Column of the memory, and its limit.
pub const MEMORY: usize = 4;
/// Column of the image.
pub const IMAGE: usize = 5;
/// Column of the age.
pub const AGE: usize = 6;
/// Column of what its probes say.
pub const HEALTH: usize = 7;
/// Column of its restarts by policy.
pub const RESTARTS: usize = 8;
/// Column of the ports that it publishes and exposes.
pub const PORTS: usize = 9;
/// Column of what it receives and sends each second.
pub const NETWORK: usize = 10;
/// Column of what it reads from and writes to block devices each second.
pub const BLOCK: usize = 11;
/// Column of its tasks.
pub const TASKS: usize = 12;
/// Column of the Compose project.
pub const PROJECT: usize = 13;
/// Column of the command that it runs.
pub const COMMAND: usize = 14;
/// Column of the id.
pub const ID: usize = 15;

/// The label that says which project a container is of (Docker Compose).
const PROJECT_LABEL: &str = "com.docker.compose.project";

/// More of a status is not shown: the details have it.
const STATUS_WIDTH: usize = 24;

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
        let project = labels.get(PROJECT_LABEL).map(String::as_str);
        project.filter(|project| !project.is_empty())
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

    /// `up 3m`, `healthy 3m`, `exit 137 2h KILL`, `restarting` …
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
            Status::Created if !state.error.is_empty() => {
                format!("not started: {}", text::sanitise(&state.error))
            }
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
            Status::Exited => {
                let since = since(state.finished_at);
                let reason = self.exit_reason();
                let gap = if reason.is_empty() { "" } else { " " };
                format!("exit {} {since}{gap}{reason}", state.exit_code)
            }
            Status::Dead => "dead".to_owned(),
        })
    }

    /// Why it ended, where the code tells: `KILL`, `OOM`.
    fn exit_reason(&self) -> String {
        let state = &self.summary.state;
        match state.exit_code {
            _ if state.oom_killed => "OOM".to_owned(),
            // As shells tell it: 128 and the signal.
            code @ 129..=192 => {
                let name = signal::name(code - 128);
                let name = name.strip_prefix("SIG").unwrap_or_default();
                name.to_owned()
            }
            _ => String::new(),
        }
    }

    /// What its probes say: `healthy`, `unhealthy 3`.
    fn health_text(&self) -> String {
        let Some(health) = &self.summary.state.health else {
            return String::new();
        };
        match (health.status, health.failing_streak) {
            _ if !self.status().is_live() => String::new(),
            (status, 0) => status.as_str().to_owned(),
            (status, failures) => format!("{} {failures}", status.as_str()),
        }
    }

    /// `12M`, or `12M/512M` where it may not have more than that.
    fn memory_text(&self) -> String {
        match (self.memory, self.memory_limit()) {
            (None, _) => String::new(),
            (Some(used), None) => text::bytes(used),
            (Some(used), Some(limit)) => {
                format!("{}/{}", text::bytes(used), text::bytes(limit))
            }
        }
    }

    fn memory_limit(&self) -> Option<u64> {
        let limit = self.summary.container.host.resources.memory;
        limit.filter(|limit| *limit > 0)
    }

    /// How much of its limit it has, in percent.
    fn memory_share(&self) -> u64 {
        match (self.memory, self.memory_limit()) {
            (Some(used), Some(limit)) => used.saturating_mul(100) / limit.max(1),
            _ => 0,
        }
    }

    /// `8080->80/tcp`, `127.0.0.1:53->53/udp`, `9000/tcp`: those of this host first, then what is only exposed. While it does not run,
    /// what it will publish.
    fn ports_text(&self) -> String {
        let container = &self.summary.container;
        let mut known = BTreeSet::new();
        let mut texts: Vec<String> = Vec::new();
        let mut add = |port: Port, text: String| {
            known.insert(port);
            // Of both families at once.
            if !texts.contains(&text) {
                texts.push(text);
            }
        };
        let endpoints = &self.summary.endpoints;
        let publications = endpoints.iter().flat_map(|e| &e.publications);
        for publication in publications.filter(|publication| publication.host != 0) {
            let address = Some(publication.address).filter(|ip| !ip.is_unspecified());
            let host = publication.host.to_string();
            add(
                publication.port,
                published(address, &host, publication.port),
            );
        }
        if endpoints.is_empty() {
            for binding in &container.host.ports {
                let host = match binding.host {
                    Some((first, last)) if first == last => first.to_string(),
                    Some((first, last)) => format!("{first}-{last}"),
                    None => "?".to_owned(),
                };
                let address = binding.address.filter(|ip| !ip.is_unspecified());
                add(binding.port, published(address, &host, binding.port));
            }
        }
        for text in &container.config.exposed_ports {
            // A range stays one.
            let is_known = |port: &Port| known.contains(port);
            if text.contains('-') || !network::exposed(text).iter().any(is_known) {
                texts.push(text::sanitise(text).into_owned());
            }
        }
        texts.join(" ")
    }

    /// What it runs, as one line.
    fn command_text(&self) -> String {
        let config = &self.summary.container.config;
        let words = config.entrypoint.iter().chain(&config.cmd);
        let words: Vec<_> = words.map(String::as_str).collect();
        text::sanitise(&words.join(" ")).into_owned()
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
        Column { title: "STATUS", width: 12, grows: true, right: false, sorts: true },
        Column { title: "CPU%", width: 6, grows: false, right: true, sorts: true },
        Column { title: "MEM", width: 9, grows: true, right: true, sorts: true },
        Column { title: "IMAGE", width: 10, grows: true, right: false, sorts: true },
        Column { title: "AGE", width: 4, grows: false, right: true, sorts: true },
        Column { title: "HEALTH", width: 9, grows: true, right: false, sorts: true },
        Column { title: "RESTARTS", width: 9, grows: false, right: true, sorts: true },
        Column { title: "PORTS", width: 8, grows: true, right: false, sorts: true },
        Column { title: "NET IN/OUT", width: 11, grows: false, right: true, sorts: true },
        Column { title: "READ/WRITE", width: 11, grows: false, right: true, sorts: true },
        Column { title: "PIDS", width: 5, grows: false, right: true, sorts: true },
        Column { title: "PROJECT", width: 8, grows: true, right: false, sorts: true },
        Column { title: "COMMAND", width: 10, grows: true, right: false, sorts: true },
        Column { title: "ID", width: 12, grows: false, right: false, sorts: true },
    ];
    const EXTRA: usize = HEALTH;
    const OFF: &'static [usize] = &[COMMAND, ID];
    const REST: &'static str = "no project";

    fn key(&self) -> ContainerId {
        self.id().clone()
    }

    fn cell(&self, column: usize, context: Context) -> Cow<'_, str> {
        let container = &self.summary.container;
        match column {
            SIGN => self.sign(context.glyphs).into(),
            NAME => self.name(),
            STATUS => text::fit(&self.status_text(context), STATUS_WIDTH)
                .into_owned()
                .into(),
            CPU => self.cpu.map_or("".into(), |cpu| format!("{cpu:.1}").into()),
            MEMORY => self.memory_text().into(),
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
            HEALTH => self.health_text().into(),
            PORTS => self.ports_text().into(),
            COMMAND => self.command_text().into(),
            ID => self.id().short().into(),
            _ => "".into(),
        }
    }

    fn role(&self, column: usize) -> Role {
        match column {
            SIGN | STATUS | HEALTH => self.state_role(),
            CPU if self.cpu.is_some_and(|cpu| cpu >= 90.0) => Role::Bad,
            CPU if self.cpu.is_some_and(|cpu| cpu >= 50.0) => Role::Warning,
            MEMORY if self.memory_share() >= 95 => Role::Bad,
            MEMORY if self.memory_share() >= 80 => Role::Warning,
            RESTARTS => Role::Warning,
            IMAGE | AGE | PROJECT | PORTS | COMMAND | ID => Role::Dim,
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
            HEALTH => health_rank(self.health()).cmp(&health_rank(other.health())),
            // What has none comes last.
            PORTS => {
                let ports = |row: &Self| Some(row.ports_text()).filter(|ports| !ports.is_empty());
                let (a, b) = (ports(self), ports(other));
                (a.is_none(), a).cmp(&(b.is_none(), b))
            }
            COMMAND => self.command_text().cmp(&other.command_text()),
            ID => self.id().cmp(other.id()),
            _ => Ordering::Equal,
        }
        .then_with(|| a.name.cmp(&b.name))
    }

    fn group(&self) -> Option<&str> {
        self.project()
    }

    fn together(rows: &[&Self], column: usize) -> String {
        let live = rows.iter().filter(|row| row.status().is_live());
        match column {
            NAME => format!("{}/{}", live.count(), rows.len()),
            // Of nothing that runs there is no sum.
            _ if live.count() == 0 => String::new(),
            CPU => {
                let sum: f32 = rows.iter().filter_map(|row| row.cpu).sum();
                format!("{:.1}", sum.max(0.0))
            }
            MEMORY => text::bytes(rows.iter().filter_map(|row| row.memory).sum()),
            _ => String::new(),
        }
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

/// `8080->80/tcp`, with the host's address where it is one of many.
fn published(address: Option<IpAddr>, host: &str, port: Port) -> String {
    match address {
        None => format!("{host}->{port}"),
        Some(IpAddr::V4(ip)) => format!("{ip}:{host}->{port}"),
        Some(IpAddr::V6(ip)) => format!("[{ip}]:{host}->{port}"),
    }
}

/// What needs a look first; what is not probed last.
fn health_rank(health: Option<HealthStatus>) -> u8 {
    match health {
        Some(HealthStatus::Unhealthy) => 0,
        Some(HealthStatus::Starting) => 1,
        Some(HealthStatus::Healthy) => 2,
        None => 3,
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
