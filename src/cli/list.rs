//! Rows of the listing verbs: what Docker shows of containers, images, history and figures, and which rows a filter lets
//! through. Pure functions of the model and the time.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::tz::TimeZone;
use regex::Regex;
use serde_json::{Map, Value};

use super::format::{Headings, Row};
use super::output::ellipsis;
use super::pattern::Pattern;
use super::published;
use super::value::{self, Filter};
use crate::engine::Engine;
use crate::engine::model::container::Sizes;
use crate::engine::model::digest::ImageId;
use crate::engine::model::image::{HistoryEntry, Image};
use crate::engine::model::network::Endpoint;
use crate::engine::model::{
    Container, ContainerSummary, HealthStatus, ImageSummary, Mount, Reference, State, Stats,
    Status, Timestamp, units,
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

    /// At most `width` characters where what is long is cut.
    fn cut(&self, text: &str, width: usize) -> String {
        if self.truncate {
            ellipsis(text, width)
        } else {
            text.to_owned()
        }
    }

    /// `3 minutes`.
    fn since(&self, then: Timestamp) -> String {
        let seconds = self.now.duration_since(then).as_secs();
        units::human_duration(u64::try_from(seconds).unwrap_or(0))
    }

    /// `3 minutes ago`.
    pub fn ago(&self, then: Timestamp) -> String {
        self.since(then) + " ago"
    }

    /// `2025-06-01T12:00:00+02:00`, without fractions of a second.
    pub fn rfc3339(&self, time: Timestamp) -> String {
        let text = time
            .to_zoned(self.zone.clone())
            .strftime("%Y-%m-%dT%H:%M:%S%:z")
            .to_string();
        match text.strip_suffix("+00:00") {
            Some(utc) => format!("{utc}Z"),
            None => text,
        }
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

/// `12.3kB (virtual 4.27MB)`.
#[must_use]
pub fn size(sizes: Sizes) -> String {
    let own = units::human_size_short(sizes.own);
    match sizes.all {
        0 => own,
        all => format!("{own} (virtual {})", units::human_size_short(all)),
    }
}

/// A container to be shown, and how.
struct Shown<'a> {
    summary: &'a ContainerSummary,
    container: &'a Container,
    meanings: Option<&'a Meanings<'a>>,
    look: &'a Look,
}

/// What a field shows.
type Text = fn(&Shown<'_>) -> String;

/// The fields of a row of `ps`, but its size.
const PS_FIELDS: &[(&str, Text)] = &[
    ("ID", |s| s.look.id(s.container.id.as_str())),
    ("Image", |s| image_of(s.container, s.meanings, s.look)),
    ("Command", |s| {
        let command = command(&s.container.config.args());
        quote(&s.look.cut(&command, 20))
    }),
    ("CreatedAt", |s| s.look.date(s.container.created)),
    ("RunningFor", |s| s.look.ago(s.container.created)),
    ("Ports", |s| published::column(published::of(s.summary))),
    ("State", |s| s.summary.state.status.as_str().to_owned()),
    ("Status", |s| status(&s.summary.state, s.look)),
    ("Names", |s| s.container.name.clone()),
    ("Labels", |s| label_list(&s.container.config.labels)),
    ("Mounts", |s| sources(s.container, s.look).join(",")),
    ("LocalVolumes", |s| {
        let mounts = s.container.host.mounts.iter();
        let volumes = mounts.filter(|mount| matches!(mount, Mount::Volume(_)));
        volumes.count().to_string()
    }),
    ("Networks", |s| s.container.host.network_names().join(",")),
    ("Platform", |s| s.container.platform.to_string()),
];

/// A row of `ps` with those fields that are `wanted`: of a thousand containers the others are a third of the work. The size
/// is the caller's to add.
pub fn container(
    summary: &ContainerSummary,
    meanings: Option<&Meanings<'_>>,
    look: &Look,
    wanted: &dyn Fn(&str) -> bool,
) -> Row {
    let container = &*summary.container;
    let shown = Shown {
        summary,
        container,
        meanings,
        look,
    };
    let fields = PS_FIELDS.iter().filter(|(name, _)| wanted(name));
    let row = fields.fold(Row::default(), |row, (name, text)| {
        row.with(name, text(&shown))
    });
    if wanted("Label") {
        row.asked("Label", label_map(&container.config.labels))
    } else {
        row
    }
}

/// What is mounted in it, but for what is in memory.
fn sources(container: &Container, look: &Look) -> Vec<String> {
    let mounts = container.host.mounts.iter();
    let sources = mounts.filter_map(|mount| match mount {
        Mount::Bind { source, .. } => Some(source.as_str()),
        Mount::Volume(volume) => Some(volume.name.as_str()),
        Mount::Image(image) => Some(image.image.as_str()),
        Mount::Tmpfs { .. } => None,
    });
    sources.map(|source| look.cut(source, 15)).collect()
}

/// What names of images mean now.
pub type Meanings<'a> = BTreeMap<&'a str, ImageId>;

/// What the names mean that these containers were made by; a damaged store is no reason to hide what runs.
#[must_use]
pub fn meanings<'a>(engine: &Engine, containers: &'a [ContainerSummary]) -> Option<Meanings<'a>> {
    let names = containers.iter();
    engine
        .image_meanings(names.map(|c| c.container.config.image.as_str()))
        .ok()
}

/// The name that the container was made by; its image's id, once the name means another image or nothing.
fn image_of(container: &Container, meanings: Option<&Meanings<'_>>, look: &Look) -> String {
    let name = container.config.image.as_str();
    match meanings {
        Some(known) if known.get(name) != Some(&container.image) => {
            look.id(container.image.as_str())
        }
        Some(_) | None => image_name(name, look),
    }
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
        Status::Running => match &state.health {
            None => format!("Up {}", started()),
            Some(health) => format!("Up {} ({})", started(), health_word(health.status)),
        },
        Status::Paused => format!("Up {} (Paused)", started()),
        Status::Restarting => format!("Restarting ({}) {}", state.exit_code, finished()),
        Status::Removing => "Removal In Progress".to_owned(),
        Status::Dead => "Dead".to_owned(),
        Status::Created => "Created".to_owned(),
        Status::Exited => format!("Exited ({}) {}", state.exit_code, finished()),
    }
}

/// Docker's word in a status.
fn health_word(status: HealthStatus) -> &'static str {
    match status {
        HealthStatus::Starting => "health: starting",
        HealthStatus::Healthy | HealthStatus::Unhealthy => status.as_str(),
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
    // As Docker has it: what several ids begin with is none of them, and nothing is the beginning of none.
    let is_begun = |summary: &ContainerSummary, start: &str| {
        let begins = |c: &&ContainerSummary| c.container.id.as_str().starts_with(start);
        !start.is_empty() && begins(&summary) && all.iter().filter(begins).nth(1).is_none()
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
                    "id" => values.any(|start| is_begun(summary, start)),
                    _ => values.any(|value| container_fits(summary, key, value, images)),
                }
            })
    };
    Ok(all.iter().filter(|c| fits(c)).cloned().collect())
}

fn check_container_filter(filter: &Filter) -> Result<(), String> {
    let Filter { key, value } = filter;
    match key.as_str() {
        // `isolation` is of Windows: on Linux Docker does not look at it.
        "id" | "name" | "label" | "ancestor" | "before" | "since" | "network" | "volume"
        | "isolation" => Ok(()),
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
        "publish" | "expose" => ports(value).map(|_| ()),
        "is-task" => value::boolean(value)
            .map(|_| ())
            .map_err(|_e| format!("invalid filter 'is-task={value}'")),
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
        "name" => name_fits(&container.name, value),
        "status" => summary.state.status.as_str() == value,
        "exited" => {
            summary.state.status == Status::Exited && value.parse() == Ok(summary.state.exit_code)
        }
        "network" => {
            let names = container.host.network_names();
            let on = |endpoint: &Endpoint| endpoint.network.as_str().starts_with(value);
            names.contains(&value) || (value.len() >= 4 && summary.endpoints.iter().any(on))
        }
        "publish" => ports(value).is_ok_and(|(first, last, protocol)| {
            published::is_published(summary, (first, last), protocol)
        }),
        // There are no tasks without a swarm.
        "is-task" => value::boolean(value) == Ok(false),
        "expose" => container
            .config
            .exposed_ports
            .iter()
            .any(|port| exposes(port, value)),
        "health" => {
            let health = summary.state.health.as_ref();
            health.map_or("none", |health| health.status.as_str()) == value
        }
        "volume" => container.host.mounts.iter().any(|mount| {
            let source = match mount {
                Mount::Bind { source, .. } => source.as_str(),
                Mount::Volume(volume) => volume.name.as_str(),
                Mount::Tmpfs { .. } | Mount::Image(_) => "",
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

/// `80`, `80/udp`, `8000-8010/tcp`: first, last, protocol.
fn ports(text: &str) -> Result<(u16, u16, &str), String> {
    let wrong = || format!("invalid port specification: '{text}'");
    let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let number = |text: &str| text.parse::<u16>().map_err(|_e| wrong());
    let (first, last) = (number(first)?, number(last)?);
    if first > last || !["tcp", "udp", "sctp"].contains(&protocol) {
        return Err(wrong());
    }
    Ok((first, last, protocol))
}

/// Whether a port that is exposed is among those that are looked for.
fn exposes(exposed: &str, wanted: &str) -> bool {
    let (Ok(exposed), Ok(wanted)) = (ports(exposed), ports(wanted)) else {
        return false;
    };
    exposed.2 == wanted.2 && exposed.0 <= wanted.1 && wanted.0 <= exposed.1
}

/// As Docker: a regular expression, for the name with and without a slash before it. One that is none fits nothing.
fn name_fits(name: &str, pattern: &str) -> bool {
    let fits = |pattern: Regex| pattern.is_match(name) || pattern.is_match(&format!("/{name}"));
    Regex::new(pattern).is_ok_and(fits)
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
                .with("VirtualSize", units::human_size(summary.size))
                .with("Containers", "N/A")
                .with("SharedSize", "N/A")
                .with("UniqueSize", "N/A")
        })
        .collect()
}

/// The lines of one image in `images --tree`: its names, and its platform below them. `content` are its blobs' bytes.
#[must_use]
pub fn tree(summary: &ImageSummary, content: u64, used: bool) -> Vec<String> {
    let names: Vec<&str> = match summary.tags.as_slice() {
        [] => vec!["<untagged>"],
        tags => tags.iter().map(String::as_str).collect(),
    };
    let figures = format!(
        "{}\t{}\t{}\t{}",
        summary.id.short(),
        units::human_size_short(summary.size.saturating_add(content)),
        units::human_size_short(content),
        if used { "✔" } else { "" },
    );
    let mut lines: Vec<String> = names.iter().map(|name| format!("{name}\t\t\t\t")).collect();
    if let Some(last) = lines.last_mut() {
        *last = format!("{}\t{figures}", names.last().unwrap_or(&""));
    }
    lines.push(format!("└─ {}\t{figures}", summary.platform));
    lines
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
            .find(|image| {
                let id = name.strip_prefix("sha256:").unwrap_or(name);
                names_image(image, name) || (!id.is_empty() && image.id.hex().starts_with(id))
            })
            .map(|image| image.created)
            .ok_or_else(|| match name.parse::<Reference>() {
                Ok(name) => format!("No such image: {}", name.with_default_tag().familiar()),
                Err(_) => format!("No such image: {name}"),
            })
    };
    let mut conditions: Vec<Condition> = Vec::new();
    for Filter { key, value } in filters {
        let value = value.clone();
        match key.as_str() {
            "dangling" => {
                let wanted = value::boolean(&value)
                    .map_err(|_e| format!("invalid filter 'dangling=[{value}]'"))?;
                // One that is known by its digest alone is both: it has no tag, and it has a name.
                conditions.push(Box::new(move |image| {
                    if wanted {
                        image.tags.is_empty()
                    } else {
                        !(image.tags.is_empty() && image.digests.is_empty())
                    }
                }));
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
                let bound = value::moment(&value, Timestamp::now())?;
                conditions.push(Box::new(move |image| {
                    image.created.is_some_and(|at| at < bound)
                }));
            }
            "reference" => {}
            _ => return Err(format!("invalid filter '{key}'")),
        }
    }
    let patterns: Vec<Pattern> = filters
        .iter()
        .filter(|f| f.key == "reference")
        .map(|f| f.value.as_str())
        .chain(reference)
        .map(Pattern::parse)
        .collect::<Result<_, _>>()?;
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

/// The name with or without its tag (distribution/reference, `FamiliarMatch`).
fn reference_fits(name: &str, pattern: &Pattern) -> bool {
    let bare = name
        .split_once('@')
        .map_or_else(|| split_tag(name).0, |(bare, _)| bare);
    pattern.fits(name) || pattern.fits(bare)
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

/// Headings of `history --human=false`, which shows times and not how long ago they were.
pub const HISTORY_HEADINGS_EXACT: Headings = &[
    ("ID", "IMAGE"),
    ("CreatedSince", "CREATED AT"),
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
        let at = entry
            .created
            .map_or("N/A".to_owned(), |at| look.rfc3339(at));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::model::container::RECORD_VERSION;
    use crate::engine::model::{
        Container, ContainerConfig, ContainerId, Digest, Health, HostConfig, Platform,
    };
    use std::sync::Arc;

    fn now() -> Timestamp {
        "2025-06-01T12:00:00Z".parse().unwrap()
    }

    fn look(truncate: bool) -> Look {
        Look {
            now: now(),
            zone: TimeZone::UTC,
            truncate,
        }
    }

    fn ago(seconds: i64) -> Timestamp {
        now()
            .checked_sub(jiff::SignedDuration::from_secs(seconds))
            .unwrap()
    }

    fn digest(c: char) -> Digest {
        format!("sha256:{}", c.to_string().repeat(64))
            .parse()
            .unwrap()
    }

    fn container_named(name: &str, letter: char, state: State) -> ContainerSummary {
        let labels = BTreeMap::from([("com.x".to_owned(), "1".to_owned())]);
        ContainerSummary {
            container: Arc::new(Container {
                version: RECORD_VERSION,
                id: ContainerId::try_from(letter.to_string().repeat(64)).unwrap(),
                name: name.to_owned(),
                created: ago(7200),
                image: digest('9'),
                platform: Platform::host(),
                layers: Vec::new(),
                config: ContainerConfig {
                    image: "busybox".to_owned(),
                    entrypoint: vec!["sh".to_owned(), "-c".to_owned()],
                    cmd: vec!["while true; do date; done".to_owned()],
                    labels,
                    ..ContainerConfig::default()
                },
                host: HostConfig::default(),
            }),
            state,
            endpoints: Vec::new(),
        }
    }

    fn running() -> State {
        State {
            status: Status::Running,
            started_at: Some(ago(180)),
            ..State::default()
        }
    }

    fn exited(code: i32) -> State {
        State {
            status: Status::Exited,
            exit_code: code,
            finished_at: Some(ago(120)),
            ..State::default()
        }
    }

    fn field<'a>(row: &'a Row, name: &str) -> &'a str {
        row.fields.get(name).and_then(Value::as_str).unwrap()
    }

    #[test]
    fn a_state_is_told_as_docker_tells_it() {
        let with = |status, exit_code| State {
            status,
            exit_code,
            started_at: Some(ago(3600 * 2)),
            finished_at: Some(ago(3)),
            ..State::default()
        };
        let probed = |status| State {
            health: Some(Health {
                status,
                ..Health::default()
            }),
            ..running()
        };
        for (state, text) in [
            (running(), "Up 3 minutes"),
            (
                probed(HealthStatus::Starting),
                "Up 3 minutes (health: starting)",
            ),
            (probed(HealthStatus::Healthy), "Up 3 minutes (healthy)"),
            (probed(HealthStatus::Unhealthy), "Up 3 minutes (unhealthy)"),
            (with(Status::Paused, 0), "Up 2 hours (Paused)"),
            (exited(137), "Exited (137) 2 minutes ago"),
            (with(Status::Restarting, 1), "Restarting (1) 3 seconds ago"),
            (State::default(), "Created"),
            (with(Status::Dead, 0), "Dead"),
            (with(Status::Removing, 0), "Removal In Progress"),
        ] {
            assert_eq!(status(&state, &look(true)), text);
        }
    }

    #[test]
    fn a_row_of_ps_is_dockers() {
        let row = container(
            &container_named("web", 'a', running()),
            None,
            &look(true),
            &|_| true,
        );
        for (name, text) in [
            ("ID", "aaaaaaaaaaaa"),
            ("Image", "busybox"),
            ("Command", "\"sh -c 'while true; …\""),
            ("CreatedAt", "2025-06-01 10:00:00 +0000 UTC"),
            ("RunningFor", "2 hours ago"),
            ("Status", "Up 3 minutes"),
            ("State", "running"),
            ("Names", "web"),
            ("Labels", "com.x=1"),
            ("Networks", "none"),
        ] {
            assert_eq!(field(&row, name), text, "{name}");
        }
        let whole = container(
            &container_named("web", 'a', running()),
            None,
            &look(false),
            &|_| true,
        );
        assert_eq!(field(&whole, "ID").len(), 64);
        assert_eq!(
            field(&whole, "Command"),
            "\"sh -c 'while true; do date; done'\""
        );
    }

    fn filters(list: &[&str]) -> Vec<Filter> {
        list.iter()
            .map(|text| value::filter(text).unwrap())
            .collect()
    }

    fn named(list: &[&str]) -> Result<Vec<String>, String> {
        let all = [
            container_named("web", 'a', running()),
            container_named("db-1", 'b', exited(1)),
            container_named("db-2", 'c', exited(0)),
        ];
        filter_containers(&all, &filters(list), &[])
            .map(|shown| shown.iter().map(|c| c.container.name.clone()).collect())
    }

    #[test]
    fn an_id_that_is_nobodys_or_several_peoples_chooses_nothing() {
        let twin = |name, end: char| {
            let mut twin = container_named(name, 'a', running());
            let id = format!("{}{end}", "a".repeat(63));
            Arc::make_mut(&mut twin.container).id = ContainerId::try_from(id).unwrap();
            twin
        };
        let all = [twin("a", 'a'), twin("b", 'b')];
        let shown = |filter: &str| {
            let shown = filter_containers(&all, &filters(&[filter]), &[]).unwrap();
            shown.len()
        };
        assert_eq!(shown("id="), 0);
        assert_eq!(shown("id=aaa"), 0);
        assert_eq!(shown(&format!("id={}", all[1].container.id.as_str())), 1);
        let alone = filter_containers(&all[..1], &filters(&["id="]), &[]);
        assert_eq!(alone.unwrap().len(), 0);
    }

    #[test]
    fn filters_choose_containers() {
        for (list, names) in [
            (&[][..], &["web", "db-1", "db-2"][..]),
            (&["name=db"], &["db-1", "db-2"]),
            (&["name=^db-1$"], &["db-1"]),
            (&["name=^/web$"], &["web"]),
            (&["name=web", "name=db-2"], &["web", "db-2"]),
            (&["status=exited"], &["db-1", "db-2"]),
            (&["status=exited", "exited=1"], &["db-1"]),
            (&["id=aaa"], &["web"]),
            (&["id=aaa", "id=b"], &["web", "db-1"]),
            (&["label=com.x=1", "name=web"], &["web"]),
            (&["label=com.x", "label=nosuch"], &[]),
            (&["ancestor=busybox", "status=running"], &["web"]),
            (&["network=none"], &["web", "db-1", "db-2"]),
        ] {
            assert_eq!(named(list).unwrap(), names, "{list:?}");
        }
        assert_eq!(
            named(&["nosuch=1"]),
            Err("invalid filter 'nosuch'".to_owned())
        );
        assert_eq!(
            named(&["status=odd"]),
            Err("invalid filter 'status=odd'".to_owned())
        );
        assert_eq!(
            named(&["before=zzz"]),
            Err("no such container: zzz".to_owned())
        );
    }

    fn image_with(tags: &[&str], digests: &[&str]) -> ImageSummary {
        ImageSummary {
            id: digest('9'),
            tags: tags.iter().map(|t| (*t).to_owned()).collect(),
            digests: digests.iter().map(|t| (*t).to_owned()).collect(),
            created: Some(ago(86400 * 3)),
            size: 4_261_550,
            labels: BTreeMap::new(),
            platform: Platform::host(),
        }
    }

    #[test]
    fn an_image_has_a_row_for_each_of_its_tags() {
        let shown = |image: &ImageSummary| -> Vec<String> {
            image_rows(image)
                .iter()
                .map(|row| {
                    format!(
                        "{}:{} {}",
                        field(row, "Repository"),
                        field(row, "Tag"),
                        field(row, "Size")
                    )
                })
                .collect()
        };
        assert_eq!(
            shown(&image_with(&["busybox:1", "host:5000/b:latest"], &[])),
            ["busybox:1 4.26MB", "host:5000/b:latest 4.26MB"]
        );
        assert_eq!(shown(&image_with(&[], &[])), ["<none>:<none> 4.26MB"]);
    }

    #[test]
    fn a_tree_has_the_platform_below_the_names() {
        let image = image_with(&["busybox:1", "busybox:latest"], &[]);
        assert_eq!(
            tree(&image, 2_000_000, true),
            [
                "busybox:1\t\t\t\t".to_owned(),
                "busybox:latest\t999999999999\t6.26MB\t2MB\t✔".to_owned(),
                format!("└─ {}\t999999999999\t6.26MB\t2MB\t✔", Platform::host()),
            ]
        );
    }

    #[test]
    fn the_times_of_a_history_have_no_fractions() {
        let at = "2025-06-01T12:00:00.123456789Z".parse().unwrap();
        assert_eq!(look(true).rfc3339(at), "2025-06-01T12:00:00Z");
        let east = Look {
            zone: TimeZone::fixed(jiff::tz::offset(2)),
            ..look(true)
        };
        assert_eq!(east.rfc3339(at), "2025-06-01T14:00:00+02:00");
    }

    fn image_rows(summary: &ImageSummary) -> Vec<Row> {
        image(summary, false, &look(true))
    }

    #[test]
    fn a_reference_filter_is_a_pattern() {
        for (pattern, name, fits) in [
            ("busybox", "busybox:1", true),
            ("busybox:1", "busybox:1", true),
            ("busy*", "busybox:1", true),
            ("*:1", "busybox:1", true),
            ("*", "a/b:1", false),
            ("a/*", "a/b:1", true),
            ("busybo?", "busybox:1", true),
            ("box", "busybox:1", false),
        ] {
            let read = Pattern::parse(pattern).unwrap();
            assert_eq!(reference_fits(name, &read), fits, "{pattern} {name}");
        }
    }

    #[test]
    fn figures_are_shown_as_docker_shows_them() {
        let sample = |at, cpu_total| Stats {
            id: ContainerId::try_from("a".repeat(64)).unwrap(),
            at,
            cpu_total,
            cpu_user: 0,
            cpu_system: 0,
            throttled_periods: 0,
            memory: 1_500_000,
            memory_limit: 64 << 20,
            net_rx: 1200,
            net_tx: 0,
            block_read: 4_261_550,
            block_write: 0,
            pids: 2,
            pids_limit: None,
        };
        let summary = container_named("web", 'a', running());
        let (first, second) = (sample(0, 0), sample(1_000_000_000, 255_000_000));
        let row = stats(&summary, "web", Some((&first, &second)), &look(true));
        for (name, text) in [
            ("CPUPerc", "25.50%"),
            ("MemUsage", "1.431MiB / 64MiB"),
            ("MemPerc", "2.24%"),
            ("NetIO", "1.2kB / 0B"),
            ("BlockIO", "4.26MB / 0B"),
            ("PIDs", "2"),
        ] {
            assert_eq!(field(&row, name), text, "{name}");
        }
        assert_eq!(
            field(&stats(&summary, "web", None, &look(true)), "CPUPerc"),
            "--"
        );
    }

    fn shown(images: &[ImageSummary], filter: &str) -> usize {
        filter_images(images, &filters(&[filter]), None)
            .unwrap()
            .len()
    }

    #[test]
    fn an_image_known_by_its_digest_alone_is_shown_by_either_filter_for_dangling() {
        let by_digest = [image_with(&[], &["app@sha256:1"])];
        assert_eq!(shown(&by_digest, "dangling=true"), 1);
        assert_eq!(shown(&by_digest, "dangling=false"), 1);
        let nameless = [image_with(&[], &[])];
        assert_eq!(shown(&nameless, "dangling=false"), 0);
        let tagged = [image_with(&["app:1"], &[])];
        assert_eq!(shown(&tagged, "dangling=true"), 0);
    }

    #[test]
    fn an_image_is_found_by_an_id_with_its_algorithm() {
        let images = [image_with(&["app:1"], &[])];
        let by = |name: &str| filter_images(&images, &filters(&[&format!("since={name}")]), None);
        assert!(by("sha256:999").is_ok());
        assert!(by("999").is_ok());
        assert!(by("sha256:").is_err());
        assert!(by("sha256:1").is_err());
    }

    #[test]
    fn exposed_ports_are_found_by_number_range_and_protocol() {
        for (wanted, fits) in [
            ("80", true),
            ("80/tcp", true),
            ("70-90", true),
            ("80/udp", false),
            ("81", false),
        ] {
            assert_eq!(exposes("80/tcp", wanted), fits, "{wanted}");
        }
        for bad in ["x", "9-8", "80/x", "65536", ""] {
            assert!(ports(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_filter_by_name_is_a_regular_expression() {
        for (pattern, fits) in [
            ("web", true),
            ("w.b", true),
            ("^/?web-1$", true),
            ("^/web-1$", true),
            ("^(db|web-1)$", true),
            ("^web$", false),
            ("(", false),
        ] {
            assert_eq!(name_fits("web-1", pattern), fits, "{pattern}");
        }
    }
}
