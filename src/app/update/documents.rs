//! The text of the details: whose it is, and its lines.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::containers::ContainerRow;
use super::super::document::{self, DocLine};
use super::super::list::Row;
use super::super::networks::map_lines;
use super::super::{Effect, Look, Pane, Query, QueryId, State, Subject, Tab, text};
use super::look;
use super::networks::{network_lines, reach_lines};
use crate::engine::model::container::Mount;
use crate::engine::model::image::{Image, Layer};
use crate::engine::model::{ContainerId, ContainerSummary, HealthStatus, units};

pub(super) fn settle_document(state: &mut State, effects: &mut Vec<Effect>) {
    let subject = match state.tab() {
        Tab::Inspect => state
            .containers
            .selected()
            .map(|row| Subject::Container(row.id().clone())),
        Tab::Health => state
            .containers
            .selected()
            .map(|row| Subject::Health(row.id().clone())),
        Tab::Environment => state
            .containers
            .selected()
            .map(|row| Subject::Environment(row.id().clone())),
        Tab::Mounts => state
            .containers
            .selected()
            .map(|row| Subject::Mounts(row.id().clone())),
        Tab::Ports => state
            .containers
            .selected()
            .map(|row| Subject::Ports(row.id().clone())),
        Tab::Top => state
            .containers
            .selected()
            .map(|row| Subject::Top(row.id().clone())),
        Tab::Diff => state
            .containers
            .selected()
            .map(|row| Subject::Diff(row.id().clone())),
        Tab::Layers => state
            .images
            .selected()
            .map(|row| Subject::Layers(row.key())),
        Tab::Image => state.images.selected().map(|row| Subject::Image(row.key())),
        Tab::Users if state.pane == Pane::Volumes => state
            .volumes
            .selected()
            .map(|row| Subject::VolumeUsers(row.key())),
        Tab::Users => state.images.selected().map(|row| Subject::Users(row.key())),
        Tab::Network => state
            .networks
            .selected()
            .map(|row| Subject::Network(row.key())),
        Tab::NetworkMap => Some(Subject::NetworkMap),
        Tab::Reach => state
            .containers
            .selected()
            .map(|row| Subject::Reach(row.id().clone())),
        Tab::Volume => state
            .volumes
            .selected()
            .map(|row| Subject::Volume(row.key())),
        Tab::Logs | Tab::Stats | Tab::Shell => return,
    };
    let subject = subject.unwrap_or(Subject::Nothing);
    if subject == state.subject {
        return;
    }
    if let Subject::Layers(id) | Subject::Image(id) = &subject
        && state
            .image
            .as_ref()
            .is_none_or(|i| i.summary.id.as_str() != id)
    {
        state.image = None;
        let query = Query::Image(id.clone());
        let id = QueryId(state.next_id());
        state.image_query = Some(id);
        effects.push(Effect::Query {
            id,
            query,
            after: Duration::ZERO,
        });
    }
    state.subject = subject;
    state.look = Look::default();
    look::ask(state, Duration::ZERO, effects);
    state.document.rewind();
    fill_document(state);
}

pub(super) fn fill_document(state: &mut State) {
    let lines = match &state.subject {
        Subject::Nothing => Vec::new(),
        Subject::Container(id) => of_container(state, id, &container_lines),
        Subject::Health(id) => of_container(state, id, &|summary| health_lines(state, summary)),
        Subject::Environment(id) => of_container(state, id, &environment_lines),
        Subject::Mounts(id) => of_container(state, id, &mount_lines),
        Subject::Ports(id) => of_container(state, id, &port_lines),
        Subject::Top(_) | Subject::Diff(_) => look::lines(state),
        Subject::Layers(_) => state.image.as_ref().map(layer_lines).unwrap_or_default(),
        Subject::Image(_) => state.image.as_ref().map(image_lines).unwrap_or_default(),
        Subject::Users(id) => user_lines(state, id),
        Subject::Volume(name) => volume_lines(state, name),
        Subject::VolumeUsers(name) => volume_user_lines(state, name),
        Subject::Network(name) => network_lines(state, name),
        Subject::NetworkMap => map_lines(state.networks.rows()),
        Subject::Reach(id) => reach_lines(state, id),
    };
    let folds = matches!(
        state.subject,
        Subject::Container(_) | Subject::Image(_) | Subject::Volume(_)
    );
    if folds {
        state.document.set_tree(lines);
    } else {
        state.document.set_text(lines);
    }
}

fn of_container(
    state: &State,
    id: &ContainerId,
    lines: &dyn Fn(&ContainerSummary) -> Vec<DocLine>,
) -> Vec<DocLine> {
    let row = state.containers.rows().iter().find(|row| row.id() == id);
    row.map(|row| lines(&row.summary)).unwrap_or_default()
}

/// Variables, as the container's processes get them.
fn environment_lines(summary: &ContainerSummary) -> Vec<DocLine> {
    let variables = &summary.container.config.env;
    if variables.is_empty() {
        return vec![DocLine::new(0, "", "it has no variables")];
    }
    let line = |variable: &String| match variable.split_once('=') {
        Some((name, value)) => DocLine::new(0, &format!("{name}="), value),
        None => DocLine::new(0, variable, ""),
    };
    variables.iter().map(line).collect()
}

/// Where something is mounted, and what.
fn mount_lines(summary: &ContainerSummary) -> Vec<DocLine> {
    let mounts = &summary.container.host.mounts;
    if mounts.is_empty() {
        return vec![DocLine::new(0, "", "nothing is mounted in it")];
    }
    let mut lines = Vec::new();
    for mount in mounts {
        lines.push(DocLine::new(0, mount.target(), ""));
        let mut tell = |field: &str, value: &str| lines.push(DocLine::new(2, field, value));
        let access = |readonly| {
            if readonly {
                "read-only"
            } else {
                "read and write"
            }
        };
        match mount {
            Mount::Bind {
                source,
                readonly,
                propagation,
                ..
            } => {
                tell("bind:", source);
                tell("access:", access(*readonly));
                if let Some(propagation) = propagation {
                    tell("propagation:", propagation);
                }
            }
            Mount::Tmpfs { options, .. } => {
                tell(
                    "tmpfs:",
                    if options.is_empty() {
                        "in memory"
                    } else {
                        options
                    },
                );
            }
            Mount::Volume(volume) => {
                tell("volume:", &volume.name);
                if volume.anonymous {
                    tell("anonymous:", "it may go with its last container");
                }
                tell("access:", access(volume.readonly));
                if let Some(subpath) = &volume.subpath {
                    tell("only:", subpath);
                }
            }
            Mount::Image(image) => {
                tell("image:", &image.image);
                tell("access:", access(true));
                if let Some(subpath) = &image.subpath {
                    tell("only:", subpath);
                }
            }
        }
    }
    lines
}

/// What it says that it listens on.
fn port_lines(summary: &ContainerSummary) -> Vec<DocLine> {
    let exposed = &summary.container.config.exposed_ports;
    if exposed.is_empty() {
        return vec![DocLine::new(0, "", "it exposes no ports")];
    }
    let line = |port: &String| DocLine::new(0, port, "exposed, not published");
    exposed.iter().map(line).collect()
}

fn container_lines(summary: &ContainerSummary) -> Vec<DocLine> {
    let record = serde_json::to_value(&*summary.container).unwrap_or(Value::Null);
    let state = serde_json::to_value(&summary.state).unwrap_or(Value::Null);
    let mut all = serde_json::Map::new();
    if let Value::Object(record) = record {
        // Name and state first: that is what one looks for.
        for name in ["name", "id"] {
            if let Some(value) = record.get(name) {
                all.insert(name.to_owned(), value.clone());
            }
        }
        all.insert("state".to_owned(), state);
        all.extend(record);
    }
    document::lines_of(&Value::Object(all))
}

/// What is probed, and what the last probes said, the newest first.
fn health_lines(state: &State, summary: &ContainerSummary) -> Vec<DocLine> {
    let config = &summary.container.config;
    let check = config.healthcheck.as_ref();
    let Some((check, command)) = check.and_then(|c| Some((c, c.command(&config.shell)?))) else {
        return vec![DocLine::new(0, "", "it has no health check")];
    };
    let health = summary.state.health.clone().unwrap_or_default();
    let status = match summary.state.health {
        Some(_) => health.status.as_str(),
        None => "not started",
    };
    let seconds = |duration: Duration| format!("{}s", duration.as_secs_f32());
    let every = check.wait(HealthStatus::Healthy, Duration::ZERO);
    let mut lines = vec![
        DocLine::new(0, "status:", status),
        DocLine::new(0, "failing streak:", &health.failing_streak.to_string()),
        DocLine::new(0, "probe:", &command.join(" ")),
        DocLine::new(0, "every:", &seconds(every)),
        DocLine::new(0, "timeout:", &seconds(check.timeout())),
        DocLine::new(0, "start period:", &seconds(check.start_period())),
        DocLine::new(0, "last probes:", ""),
    ];
    for probe in health.log.iter().rev() {
        let time = probe.start.to_zoned(state.settings.zone.clone());
        let took = Duration::try_from(probe.end.duration_since(probe.start)).unwrap_or_default();
        let field = format!("{} exit {}:", time.strftime("%H:%M:%S"), probe.exit_code);
        lines.push(DocLine::new(
            2,
            &field,
            &format!("took {} ms", took.as_millis()),
        ));
        let output = probe.output.lines();
        lines.extend(output.map(|line| DocLine::new(4, "", line)));
    }
    lines
}

/// Each step of the history with the layer that it made, the newest first as `history` prints it: size on disk, size of
/// the blob as it is stored and sent, its digest, the command.
fn layer_lines(image: &Image) -> Vec<DocLine> {
    let row = |number: &str, size: &str, blob: &str, digest: &str, command: &str| {
        let field = format!("{number:>3} {size:>7} {blob:>7} {digest:<12}");
        DocLine::new(0, &field, command)
    };
    let size = |bytes| units::human_size_short(bytes);
    let stored = image.layers.iter().map(|layer| layer.blob_size).sum();
    let mut steps = Vec::new();
    let mut layers = image.layers.iter().enumerate();
    let of_layer = |(number, layer): (usize, &Layer), command: &str| {
        row(
            &(number + 1).to_string(),
            &size(layer.size),
            &size(layer.blob_size),
            layer.blob.short(),
            command,
        )
    };
    for entry in &image.history {
        let command = if entry.created_by.is_empty() {
            entry.comment.as_str()
        } else {
            command_of(&entry.created_by)
        };
        let layer = if entry.empty { None } else { layers.next() };
        steps.push(match layer {
            Some(layer) => of_layer(layer, command),
            None => row("", "-", "-", "-", command),
        });
    }
    // Images without a history, or with a part of it.
    steps.extend(layers.map(|layer| of_layer(layer, "")));
    let mut lines = vec![
        DocLine::new(
            0,
            "total:",
            &format!(
                "{} in {}, {} as stored",
                size(image.summary.size),
                match image.layers.len() {
                    1 => "1 layer".to_owned(),
                    many => format!("{many} layers"),
                },
                size(stored),
            ),
        ),
        row("#", "SIZE", "BLOB", "DIGEST", "CREATED BY"),
    ];
    lines.extend(steps.into_iter().rev());
    lines
}

/// The instruction without the shell around it.
fn command_of(created_by: &str) -> &str {
    let run = created_by.strip_prefix("RUN ").unwrap_or(created_by);
    let bare = run.strip_prefix("/bin/sh -c ").unwrap_or(run);
    let bare = bare.strip_prefix("#(nop)").unwrap_or(bare);
    bare.strip_suffix("# buildkit").unwrap_or(bare).trim()
}

/// All that is known about a volume.
fn volume_lines(state: &State, name: &str) -> Vec<DocLine> {
    let Some(row) = state.volumes.rows().iter().find(|row| row.key() == name) else {
        return Vec::new();
    };
    let volume = &row.volume;
    let size = match row.size {
        Some(size) => format!("{} ({size} bytes)", units::human_size_short(size)),
        None => "not measured yet".to_owned(),
    };
    let data = state.host.as_ref().map(|host| host.volumes.join(name));
    let data = data.map(|path| path.join("_data").display().to_string());
    document::lines_of(&json!({
        "name": volume.name,
        "driver": "local",
        "anonymous": volume.is_anonymous(),
        "created": volume.created.to_string(),
        "size": size,
        "mountpoint": data,
        "labels": volume.labels,
        "options": volume.options,
        "used by": row.used_by,
    }))
}

/// The containers made from an image.
fn user_lines(state: &State, image: &str) -> Vec<DocLine> {
    let uses = |row: &&ContainerRow| row.summary.container.image.as_str() == image;
    let users: Vec<_> = state.containers.rows().iter().filter(uses).collect();
    container_list(state, &users, "no container uses it")
}

/// The containers that have a volume, and where.
fn volume_user_lines(state: &State, volume: &str) -> Vec<DocLine> {
    let places = |row: &ContainerRow| {
        let mounts = row.summary.container.host.mounts.iter();
        let here = mounts.filter_map(|mount| match mount {
            Mount::Volume(mount) if mount.name == volume => Some(mount),
            _ => None,
        });
        here.map(|mount| {
            let mode = if mount.readonly { " (read-only)" } else { "" };
            format!("{}{mode}", mount.target)
        })
        .collect::<Vec<_>>()
    };
    let uses = |row: &&ContainerRow| !places(row).is_empty();
    let users: Vec<_> = state.containers.rows().iter().filter(uses).collect();
    let mut lines = Vec::new();
    for row in &users {
        lines.extend(container_list(state, &[row], ""));
        let places = places(row);
        lines.extend(places.iter().map(|place| DocLine::new(2, "at:", place)));
    }
    if lines.is_empty() {
        lines.push(DocLine::new(0, "", "no container has it"));
    }
    lines
}

/// A line for each container, with its status.
fn container_list(state: &State, users: &[&ContainerRow], none: &str) -> Vec<DocLine> {
    if users.is_empty() {
        return vec![DocLine::new(0, "", none)];
    }
    let name = |row: &ContainerRow| row.name().into_owned();
    let widest = users.iter().map(|row| text::width(&name(row))).max();
    let widest = widest.unwrap_or(0).min(30);
    let line = |row: &&ContainerRow| {
        let name = name(row);
        let gap = " ".repeat(widest.saturating_sub(text::width(&name)));
        let sign = row.sign(state.settings.glyphs);
        let status = row.status_text(state.context());
        let field = format!("{sign} {name}{gap}");
        DocLine::new(0, &field, &format!(" {status}"))
    };
    users.iter().map(line).collect()
}

fn image_lines(image: &Image) -> Vec<DocLine> {
    let config = serde_json::to_value(&image.config).unwrap_or(Value::Null);
    let summary = &image.summary;
    document::lines_of(&json!({
        "id": summary.id,
        "tags": summary.tags,
        "digests": summary.digests,
        "created": summary.created.map(|t| t.to_string()),
        "platform": summary.platform.to_string(),
        "size": format!("{} ({} bytes)", units::human_size_short(summary.size), summary.size),
        "author": image.author,
        "comment": image.comment,
        "manifest": image.manifest,
        "labels": summary.labels,
        "config": config,
        "layers": image.layers.iter().map(|l| json!({
            "diff id": l.diff_id,
            "blob": l.blob,
            "size": l.size,
            "blob size": l.blob_size,
        })).collect::<Vec<_>>(),
    }))
}
