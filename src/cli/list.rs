//! Rows of the listing verbs: what Docker shows of containers, images, history and figures, and which rows a filter lets
//! through. Pure functions of the model and the time.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use super::format::{Headings, Row};
use super::output::ellipsis;
use super::value::Filter;
use crate::engine::model::image::{HistoryEntry, Image};
use crate::engine::model::{
    ContainerSummary, ImageSummary, Mount, State, Stats, Status, Timestamp, units,
};

/// What rows are made with.
#[derive(Debug, Clone)]
pub struct Look {
    /// The present.
    pub now: Timestamp,
    /// The zone of absolute times.
    pub zone: TimeZone,
    /// Ids and commands are shortened.
    pub truncate: bool,
}

impl Look {
    /// Now, in the host's zone.
    #[must_use]
    pub fn new(truncate: bool) -> Self {
        Self {
            now: Timestamp::now(),
            zone: TimeZone::system(),
            truncate,
        }
    }

    fn id(&self, id: &str) -> String {
        if !self.truncate {
            return id.to_owned();
        }
        let hex = id.strip_prefix("sha256:").unwrap_or(id);
        hex.chars().take(12).collect()
    }

    /// `3 minutes`.
    fn since(&self, then: Timestamp) -> String {
        let seconds = self.now.duration_since(then).as_secs();
        units::human_duration(u64::try_from(seconds).unwrap_or(0))
    }

    /// `3 minutes ago`.
    fn ago(&self, then: Timestamp) -> String {
        self.since(then) + " ago"
    }

    /// `2025-06-01 12:00:00 +0200 CEST`.
    fn date(&self, time: Timestamp) -> String {
        time.to_zoned(self.zone.clone())
            .strftime("%Y-%m-%d %H:%M:%S %z %Z")
            .to_string()
    }
}

/// The usual table of `ps`.
pub const PS: &str =
    "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}";
/// With `--size`.
pub const PS_SIZE: &str = "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}\t{{.Size}}";
/// Headings of `ps`.
pub const PS_HEADINGS: Headings = &[
    ("ID", "CONTAINER ID"),
    ("Image", "IMAGE"),
    ("Command", "COMMAND"),
    ("CreatedAt", "CREATED AT"),
    ("RunningFor", "CREATED"),
    ("Ports", "PORTS"),
    ("State", "STATE"),
    ("Status", "STATUS"),
    ("Size", "SIZE"),
    ("Names", "NAMES"),
    ("Labels", "LABELS"),
    ("Mounts", "MOUNTS"),
    ("LocalVolumes", "LOCAL VOLUMES"),
    ("Networks", "NETWORKS"),
    ("Platform", "PLATFORM"),
];

/// A row of `ps`.
#[must_use]
pub fn container(summary: &ContainerSummary, look: &Look) -> Row {
    let container = &summary.container;
    let command = command(&container.config.args());
    let command = if look.truncate {
        ellipsis(&command, 20)
    } else {
        command
    };
    let mounts: Vec<String> = container
        .host
        .mounts
        .iter()
        .filter_map(|mount| match mount {
            Mount::Bind { source, .. } if look.truncate => Some(ellipsis(source, 15)),
            Mount::Bind { source, .. } => Some(source.clone()),
            Mount::Tmpfs { .. } => None,
        })
        .collect();
    Row::default()
        .with("ID", look.id(container.id.as_str()))
        .with("Image", image_name(&container.config.image, look))
        .with("Command", quote(&command))
        .with("CreatedAt", look.date(container.created))
        .with("RunningFor", look.ago(container.created))
        // There are no published ports yet; exposed ones show only with a network of their own.
        .with("Ports", "")
        .with("State", summary.state.status.as_str())
        .with("Status", status(&summary.state, look))
        .with("Size", "0B")
        .with("Names", container.name.as_str())
        .with("Labels", label_list(&container.config.labels))
        .with("Mounts", mounts.join(","))
        .with("LocalVolumes", "0")
        .with("Networks", container.host.network.as_str())
        .with("Platform", container.platform.to_string())
        .asked("Label", label_map(&container.config.labels))
}

fn image_name(name: &str, look: &Look) -> String {
    if name.is_empty() {
        return "<no image>".to_owned();
    }
    let is_id = name.starts_with("sha256:")
        || (name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit()));
    if is_id {
        look.id(name)
    } else {
        name.to_owned()
    }
}

/// Arguments in one line, those with a space in quotes, as Docker's daemon joins them.
fn command(args: &[String]) -> String {
    let words: Vec<String> = args
        .iter()
        .map(|arg| {
            if arg.contains(' ') {
                format!("'{arg}'")
            } else {
                arg.clone()
            }
        })
        .collect();
    words.join(" ")
}

/// Go's `strconv.Quote`.
fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            c if c.is_control() => {
                let _ = write!(quoted, "\\x{:02x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// `Up 3 minutes`, `Exited (137) 2 minutes ago` … (moby, `container.State.String`).
#[must_use]
pub fn status(state: &State, look: &Look) -> String {
    let started = || {
        state
            .started_at
            .map_or_else(String::new, |at| look.since(at))
    };
    let finished = || {
        state
            .finished_at
            .map_or_else(|| "Less than a second ago".to_owned(), |at| look.ago(at))
    };
    match state.status {
        Status::Running => format!("Up {}", started()),
        Status::Paused => format!("Up {} (Paused)", started()),
        Status::Restarting => format!("Restarting ({}) {}", state.exit_code, finished()),
        Status::Removing => "Removal In Progress".to_owned(),
        Status::Dead => "Dead".to_owned(),
        Status::Created => "Created".to_owned(),
        Status::Exited => format!("Exited ({}) {}", state.exit_code, finished()),
    }
}

fn label_list(labels: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
    pairs.join(",")
}

fn label_map(labels: &BTreeMap<String, String>) -> Map<String, Value> {
    labels
        .iter()
        .map(|(key, value)| (key.clone(), Value::String(value.clone())))
        .collect()
}

/// Whether labels have this key, or this key with this value.
pub fn has_label(labels: &BTreeMap<String, String>, wanted: &str) -> bool {
    match wanted.split_once('=') {
        Some((key, value)) => labels.get(key).is_some_and(|v| v == value),
        None => labels.contains_key(wanted),
    }
}

/// Which containers `ps` shows. Several values of one key: any of them (labels: all of them); several keys: all.
///
/// # Errors
/// `invalid filter 'x'`, or a value that the key cannot have.
pub fn filter_containers(
    all: &[ContainerSummary],
    filters: &[Filter],
    images: &[ImageSummary],
) -> Result<Vec<ContainerSummary>, String> {
    for filter in filters {
        check_container_filter(filter)?;
    }
    let created = |name: &str| {
        all.iter()
            .find(|c| c.container.name == name || c.container.id.as_str().starts_with(name))
            .map(|c| c.container.created)
            .ok_or_else(|| format!("no such container: {name}"))
    };
    let mut bounds = Vec::new();
    for filter in filters {
        match filter.key.as_str() {
            "before" => bounds.push((false, created(&filter.value)?)),
            "since" => bounds.push((true, created(&filter.value)?)),
            _ => {}
        }
    }
    let in_bounds = |time: Timestamp| {
        bounds
            .iter()
            .all(|(after, bound)| if *after { time > *bound } else { time < *bound })
    };
    let fits = |summary: &ContainerSummary| {
        let mut keys: Vec<&str> = filters.iter().map(|f| f.key.as_str()).collect();
        keys.sort_unstable();
        keys.dedup();
        in_bounds(summary.container.created)
            && keys.into_iter().all(|key| {
                let mut values = filters
                    .iter()
                    .filter(|f| f.key == key)
                    .map(|f| f.value.as_str());
                match key {
                    "label" => values.all(|v| has_label(&summary.container.config.labels, v)),
                    "before" | "since" => true,
                    _ => values.any(|value| container_fits(summary, key, value, images)),
                }
            })
    };
    Ok(all.iter().filter(|c| fits(c)).cloned().collect())
}

fn check_container_filter(filter: &Filter) -> Result<(), String> {
    let Filter { key, value } = filter;
    match key.as_str() {
        "id" | "name" | "label" | "ancestor" | "before" | "since" | "network" | "volume" => Ok(()),
        "status" => {
            let known = [
                "created",
                "restarting",
                "running",
                "removing",
                "paused",
                "exited",
                "dead",
            ];
            if known.contains(&value.as_str()) {
                Ok(())
            } else {
                Err(format!("invalid filter 'status={value}'"))
            }
        }
        "exited" => value
            .parse::<i32>()
            .map(|_| ())
            .map_err(|_e| format!("invalid filter 'exited={value}'")),
        "health" if ["starting", "healthy", "unhealthy", "none"].contains(&value.as_str()) => {
            Ok(())
        }
        "health" => Err(format!("invalid filter 'health={value}'")),
        "publish" | "expose" | "isolation" | "is-task" => {
            Err(format!("filter '{key}' is not supported yet"))
        }
        _ => Err(format!("invalid filter '{key}'")),
    }
}

fn container_fits(
    summary: &ContainerSummary,
    key: &str,
    value: &str,
    images: &[ImageSummary],
) -> bool {
    let container = &summary.container;
    match key {
        "id" => container.id.as_str().starts_with(value),
        // Docker takes a regular expression; nearly all that are used are parts of a name, perhaps anchored.
        "name" => name_fits(&container.name, value),
        "status" => summary.state.status.as_str() == value,
        "exited" => {
            summary.state.status == Status::Exited && value.parse() == Ok(summary.state.exit_code)
        }
        "network" => container.host.network.as_str() == value,
        "health" => value == "none",
        "volume" => container.host.mounts.iter().any(|mount| {
            let source = match mount {
                Mount::Bind { source, .. } => source.as_str(),
                Mount::Tmpfs { .. } => "",
            };
            mount.target() == value || source == value
        }),
        "ancestor" => {
            let id = container.image.as_str();
            container.config.image == value
                || id == value
                || (value.len() >= 4 && container.image.hex().starts_with(value))
                || images
                    .iter()
                    .any(|image| image.id == container.image && names_image(image, value))
        }
        _ => true,
    }
}

fn name_fits(name: &str, pattern: &str) -> bool {
    let pattern = pattern.strip_prefix('/').unwrap_or(pattern);
    let (start, rest) = match pattern.strip_prefix('^') {
        Some(rest) => (true, rest.strip_prefix('/').unwrap_or(rest)),
        None => (false, pattern),
    };
    let (end, part) = match rest.strip_suffix('$') {
        Some(part) => (true, part),
        None => (false, rest),
    };
    match (start, end) {
        (true, true) => name == part,
        (true, false) => name.starts_with(part),
        (false, true) => name.ends_with(part),
        (false, false) => name.contains(part),
    }
}

fn names_image(image: &ImageSummary, name: &str) -> bool {
    image
        .tags
        .iter()
        .any(|tag| tag == name || tag.strip_suffix(":latest") == Some(name))
}

/// The usual table of `images`.
pub const IMAGES: &str = "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}";
/// With `--digests`.
pub const IMAGES_DIGESTS: &str =
    "{{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}";
/// Headings of `images`.
pub const IMAGES_HEADINGS: Headings = &[
    ("Repository", "REPOSITORY"),
    ("Tag", "TAG"),
    ("Digest", "DIGEST"),
    ("ID", "IMAGE ID"),
    ("CreatedSince", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("Size", "SIZE"),
    ("Containers", "CONTAINERS"),
    ("VirtualSize", "SIZE"),
    ("SharedSize", "SHARED SIZE"),
    ("UniqueSize", "UNIQUE SIZE"),
];

const NONE: &str = "<none>";

/// The rows of one image in `images`: one for each tag (and, with digests, for each digest without a tag).
#[must_use]
pub fn image(summary: &ImageSummary, digests: bool, look: &Look) -> Vec<Row> {
    let mut names: Vec<(String, String, String)> = Vec::new();
    for tag in &summary.tags {
        let (repository, tag) = split_tag(tag);
        let digest = summary
            .digests
            .iter()
            .filter_map(|d| d.split_once('@'))
            .find(|(name, _)| *name == repository)
            .map_or(NONE, |(_, digest)| digest);
        names.push((repository.to_owned(), tag.to_owned(), digest.to_owned()));
    }
    for (repository, digest) in summary.digests.iter().filter_map(|d| d.split_once('@')) {
        if !names.iter().any(|(name, _, _)| name == repository) && (digests || names.is_empty()) {
            names.push((repository.to_owned(), NONE.to_owned(), digest.to_owned()));
        }
    }
    if names.is_empty() {
        names.push((NONE.to_owned(), NONE.to_owned(), NONE.to_owned()));
    }
    let size = units::human_size_short(summary.size);
    names
        .into_iter()
        .map(|(repository, tag, digest)| {
            Row::default()
                .with("Repository", repository)
                .with("Tag", tag)
                .with("Digest", digest)
                .with("ID", look.id(summary.id.as_str()))
                .with(
                    "CreatedSince",
                    summary.created.map_or("N/A".to_owned(), |at| look.ago(at)),
                )
                .with(
                    "CreatedAt",
                    summary.created.map_or("N/A".to_owned(), |at| look.date(at)),
                )
                .with("Size", size.as_str())
                .with("VirtualSize", size.as_str())
                .with("Containers", "N/A")
                .with("SharedSize", "N/A")
                .with("UniqueSize", "N/A")
        })
        .collect()
}

/// `host:5000/a:1` in name and tag.
pub fn split_tag(text: &str) -> (&str, &str) {
    match text.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => (text, NONE),
    }
}

/// Which images `images` shows; the operand is a filter by reference.
///
/// # Errors
/// `invalid filter 'x'`, or a value that the key cannot have.
pub fn filter_images(
    all: &[ImageSummary],
    filters: &[Filter],
    reference: Option<&str>,
) -> Result<Vec<ImageSummary>, String> {
    let created = |name: &str| {
        all.iter()
            .find(|image| names_image(image, name) || image.id.hex().starts_with(name))
            .map(|image| image.created)
            .ok_or_else(|| format!("no such image: {name}"))
    };
    let mut conditions: Vec<Condition> = Vec::new();
    for Filter { key, value } in filters {
        let value = value.clone();
        match key.as_str() {
            "dangling" => {
                let wanted = super::value::boolean(&value)
                    .map_err(|_e| format!("invalid filter 'dangling={value}'"))?;
                conditions.push(Box::new(move |image| image.tags.is_empty() == wanted));
            }
            "label" => conditions.push(Box::new(move |image| has_label(&image.labels, &value))),
            "before" => {
                let bound = created(&value)?;
                conditions.push(Box::new(move |image| image.created < bound));
            }
            "since" => {
                let bound = created(&value)?;
                conditions.push(Box::new(move |image| image.created > bound));
            }
            "until" => {
                let bound = super::value::moment(&value, Timestamp::now())?;
                conditions.push(Box::new(move |image| {
                    image.created.is_some_and(|at| at < bound)
                }));
            }
            "reference" => {}
            _ => return Err(format!("invalid filter '{key}'")),
        }
    }
    let patterns: Vec<&str> = filters
        .iter()
        .filter(|f| f.key == "reference")
        .map(|f| f.value.as_str())
        .chain(reference)
        .collect();
    Ok(all
        .iter()
        .filter(|image| conditions.iter().all(|fits| fits(image)))
        .filter_map(|image| {
            if patterns.is_empty() {
                return Some(image.clone());
            }
            let fits = |name: &str| patterns.iter().any(|p| reference_fits(name, p));
            let mut shown = image.clone();
            shown.tags.retain(|tag| fits(tag));
            shown.digests.retain(|digest| fits(digest));
            (!shown.tags.is_empty() || !shown.digests.is_empty()).then_some(shown)
        })
        .collect())
}

/// What an image must fulfil.
type Condition = Box<dyn Fn(&ImageSummary) -> bool>;

/// Go's `path.Match` on the name with and without its tag (distribution/reference, `FamiliarMatch`).
fn reference_fits(name: &str, pattern: &str) -> bool {
    let bare = name
        .split_once('@')
        .map_or_else(|| split_tag(name).0, |(bare, _)| bare);
    wildcard(pattern, name) || wildcard(pattern, bare)
}

/// `*` and `?` stop at a slash.
fn wildcard(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    // Row by row over the pattern: which beginnings of the text it matches.
    let mut matched = vec![false; text.len() + 1];
    if let Some(first) = matched.first_mut() {
        *first = true;
    }
    for p in pattern {
        let mut next = vec![false; text.len() + 1];
        let mut carried = false;
        for (n, slot) in next.iter_mut().enumerate() {
            let here = matched.get(n).copied().unwrap_or(false);
            let before = n.checked_sub(1);
            let c = before.and_then(|b| text.get(b)).copied();
            if p == '*' {
                carried = here || (carried && c != Some('/'));
                *slot = carried;
            } else {
                let fits = c.is_some_and(|c| if p == '?' { c != '/' } else { c == p });
                *slot = fits
                    && before
                        .and_then(|b| matched.get(b))
                        .copied()
                        .unwrap_or(false);
            }
        }
        matched = next;
    }
    matched.last().copied().unwrap_or(false)
}

/// The usual table of `history`.
pub const HISTORY: &str = "{{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}";
/// Headings of `history`.
pub const HISTORY_HEADINGS: Headings = &[
    ("ID", "IMAGE"),
    ("CreatedSince", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("CreatedBy", "CREATED BY"),
    ("Size", "SIZE"),
    ("Comment", "COMMENT"),
];

/// The rows of `history`, newest first.
#[must_use]
pub fn history(image: &Image, human: bool, look: &Look) -> Vec<Row> {
    let newest = image.history.len().saturating_sub(1);
    let row = |(n, entry): (usize, &HistoryEntry)| {
        let id = if n == newest {
            look.id(image.summary.id.as_str())
        } else {
            "<missing>".to_owned()
        };
        let by = entry.created_by.replace('\t', " ");
        let at = entry.created.map_or("N/A".to_owned(), |at| at.to_string());
        let since = entry.created.map_or("N/A".to_owned(), |at| look.ago(at));
        Row::default()
            .with("ID", id)
            .with("CreatedSince", if human { since } else { at.clone() })
            .with("CreatedAt", at)
            .with(
                "CreatedBy",
                if look.truncate { ellipsis(&by, 45) } else { by },
            )
            .with(
                "Size",
                if human {
                    units::human_size_short(entry.size)
                } else {
                    entry.size.to_string()
                },
            )
            .with("Comment", entry.comment.as_str())
    };
    image.history.iter().enumerate().rev().map(row).collect()
}

/// The usual table of `stats`.
pub const STATS: &str = "{{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}";
/// Headings of `stats`.
pub const STATS_HEADINGS: Headings = &[
    ("Container", "CONTAINER"),
    ("ID", "CONTAINER ID"),
    ("Name", "NAME"),
    ("CPUPerc", "CPU %"),
    ("MemUsage", "MEM USAGE / LIMIT"),
    ("MemPerc", "MEM %"),
    ("NetIO", "NET I/O"),
    ("BlockIO", "BLOCK I/O"),
    ("PIDs", "PIDS"),
];

/// A row of `stats`: figures from two samples, dashes where there are none.
#[must_use]
pub fn stats(
    summary: &ContainerSummary,
    asked_as: &str,
    samples: Option<(&Stats, &Stats)>,
    look: &Look,
) -> Row {
    let row = Row::default()
        .with("Container", asked_as)
        .with("ID", look.id(summary.container.id.as_str()))
        .with("Name", summary.container.name.as_str());
    let Some((earlier, now)) = samples else {
        return row
            .with("CPUPerc", "--")
            .with("MemUsage", "-- / --")
            .with("MemPerc", "--")
            .with("NetIO", "--")
            .with("BlockIO", "--")
            .with("PIDs", "--");
    };
    let pair = |a: u64, b: u64| {
        format!(
            "{} / {}",
            units::human_size_short(a),
            units::human_size_short(b)
        )
    };
    row.with("CPUPerc", format!("{:.2}%", now.cpu_percent(earlier)))
        .with(
            "MemUsage",
            format!(
                "{} / {}",
                units::human_memory(now.memory),
                units::human_memory(now.memory_limit)
            ),
        )
        .with("MemPerc", format!("{:.2}%", now.memory_percent()))
        .with("NetIO", pair(now.net_rx, now.net_tx))
        .with("BlockIO", pair(now.block_read, now.block_write))
        .with("PIDs", now.pids.to_string())
}
