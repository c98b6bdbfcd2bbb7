//! The text of the details: whose it is, and its lines.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::containers::ContainerRow;
use super::super::document::{self, DocLine};
use super::super::list::Row;
use super::super::{Effect, Query, QueryId, State, Subject, Tab, text};
use crate::engine::model::image::{Image, Layer};
use crate::engine::model::{ContainerSummary, units};

pub(super) fn settle_document(state: &mut State, effects: &mut Vec<Effect>) {
    let subject = match state.tab() {
        Tab::Inspect => state
            .containers
            .selected()
            .map(|row| Subject::Container(row.id().clone())),
        Tab::Layers => state
            .images
            .selected()
            .map(|row| Subject::Layers(row.key())),
        Tab::Image => state.images.selected().map(|row| Subject::Image(row.key())),
        Tab::Users => state.images.selected().map(|row| Subject::Users(row.key())),
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
    state.document.rewind();
    fill_document(state);
}

pub(super) fn fill_document(state: &mut State) {
    let lines = match &state.subject {
        Subject::Nothing => Vec::new(),
        Subject::Container(id) => state
            .containers
            .rows()
            .iter()
            .find(|row| row.id() == id)
            .map(|row| container_lines(&row.summary))
            .unwrap_or_default(),
        Subject::Layers(_) => state.image.as_ref().map(layer_lines).unwrap_or_default(),
        Subject::Image(_) => state.image.as_ref().map(image_lines).unwrap_or_default(),
        Subject::Users(id) => user_lines(state, id),
    };
    state.document.set(lines);
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

/// The containers made from an image.
fn user_lines(state: &State, image: &str) -> Vec<DocLine> {
    let uses = |row: &&ContainerRow| row.summary.container.image.as_str() == image;
    let users: Vec<_> = state.containers.rows().iter().filter(uses).collect();
    if users.is_empty() {
        return vec![DocLine::new(0, "", "no container uses it")];
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
