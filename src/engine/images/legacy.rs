//! Archives of Docker before 1.10: `repositories`, and for each layer `<id>/json` and `<id>/layer.tar`. A layer's `json`
//! is the configuration of the image that ends with it and names the layer below (Docker's "Image Specification v1.0.0").

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

use super::commit::{Plan, encode, plan_without_manifest};
use super::document::{self, History, Process, RootFs};
use super::layers::Pool;
use super::load::{Contents, parse_name};
use super::workspace::{Spooled, Workspace};
use crate::engine::error::{Attempt, Error, Kind, Result};
use crate::engine::model::{Cancel, Reference};

/// Names by the id of the layer that an image ends with.
type Heads = BTreeMap<String, Vec<Reference>>;

/// What only those archives have in their `json`.
const GONE: [&str; 6] = ["id", "parent", "Size", "parent_id", "layer_id", "throwaway"];

/// A document's fields, in the order in which Docker writes them.
type Fields = BTreeMap<String, Value>;

/// One layer's `json`, as far as it says something of the layer.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Layer {
    parent: Option<String>,
    created: Option<Value>,
    author: Option<String>,
    comment: Option<String>,
    container_config: Option<Process>,
}

/// One layer with its documents.
struct Step {
    json: Fields,
    layer: Layer,
    blob: Spooled,
}

/// The images of an archive; `None` if it is none of these.
///
/// # Errors
/// `InvalidInput` for what is malformed or missing.
pub(super) fn read(
    contents: &mut Contents<'_>,
    work: &Workspace,
    pool: &Pool<'_>,
    cancel: &Cancel,
) -> Result<Option<Vec<Plan>>> {
    let heads = find_heads(contents, work)?;
    if heads.is_empty() {
        return Ok(None);
    }
    let mut plans = Vec::new();
    for (id, names) in heads {
        let mut steps = chain(contents, work, &id).attempt(|| format!("image {id}"))?;
        for step in &mut steps {
            step.blob = work.as_layer(step.blob.clone(), cancel)?;
        }
        plans.push(plan(steps, names, pool)?);
    }
    Ok(Some(plans))
}

/// What has a name, and what no other layer lies on: `docker save <id>` wrote no name.
fn find_heads(contents: &mut Contents<'_>, work: &Workspace) -> Result<Heads> {
    let mut heads = Heads::new();
    if let Some(list) = contents.find(work, b"repositories")? {
        let bytes = work.read(&list, document::LIMIT)?;
        let list: BTreeMap<String, BTreeMap<String, String>> = serde_json::from_slice(&bytes)
            .map_err(|error| Error::invalid("repositories").caused_by(error))?;
        for (repository, tags) in list {
            for (tag, id) in tags {
                let name = parse_name(&format!("{repository}:{tag}"))?;
                heads.entry(id).or_default().push(name);
            }
        }
    }
    let ids: BTreeSet<String> = contents
        .names()
        .into_iter()
        .filter_map(|name| String::from_utf8(name).ok())
        .filter_map(|name| name.strip_suffix("/json").map(str::to_owned))
        .filter(|id| is_id(id))
        .collect();
    let mut below = BTreeSet::new();
    for id in &ids {
        let json = read_json(contents, work, id)?;
        below.extend(
            json.get("parent")
                .and_then(Value::as_str)
                .map(str::to_owned),
        );
    }
    for id in ids.difference(&below) {
        heads.entry(id.clone()).or_default();
    }
    Ok(heads)
}

/// The layers of an image, bottom first.
fn chain(contents: &mut Contents<'_>, work: &Workspace, head: &str) -> Result<Vec<Step>> {
    let mut steps: Vec<Step> = Vec::new();
    let mut seen = BTreeSet::new();
    let mut next = Some(head.to_owned());
    while let Some(id) = next.take().filter(|id| !id.is_empty()) {
        if !is_id(&id) {
            return Err(Error::invalid(format!("{id:?} is not the id of a layer")));
        }
        let json = read_json(contents, work, &id)?;
        let layer: Layer = serde_json::from_value(as_value(&json)?)
            .map_err(|error| Error::invalid(format!("{id}/json")).caused_by(error))?;
        let blob = contents.need(work, format!("{id}/layer.tar").as_bytes())?;
        next.clone_from(&layer.parent);
        steps.push(Step { json, layer, blob });
        if !seen.insert(id) {
            return Err(Error::invalid("a layer lies on itself"));
        }
    }
    steps.reverse();
    Ok(steps)
}

fn plan(mut steps: Vec<Step>, names: Vec<Reference>, pool: &Pool<'_>) -> Result<Plan> {
    let mut blobs = Vec::new();
    let mut diff_ids = Vec::new();
    let mut history = Vec::new();
    let mut config = Fields::new();
    for step in &mut steps {
        diff_ids.push(pool.peek_diff_id(&step.blob)?);
        blobs.push(step.blob.clone());
        history.push(told(&step.layer));
        config = std::mem::take(&mut step.json);
    }
    for key in GONE {
        config.remove(key);
    }
    let rootfs = RootFs {
        kind: "layers".to_owned(),
        diff_ids,
    };
    config.insert("rootfs".to_owned(), as_value(&rootfs)?);
    config.insert("history".to_owned(), as_value(&history)?);
    plan_without_manifest(as_docker_writes(&encode(&config)?), blobs, names)
}

/// JSON as Go writes it, so that an image has the id that `docker load` gives it. These characters are in strings only.
fn as_docker_writes(json: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(json);
    let escaped = text
        .replace('&', "\\u0026")
        .replace('<', "\\u003c")
        .replace('>', "\\u003e");
    escaped.into_bytes()
}

/// What a layer's `json` says of how it was made.
fn told(layer: &Layer) -> History {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let process = layer.container_config.as_ref();
    History {
        created: layer
            .created
            .as_ref()
            .and_then(|created| created.as_str()?.parse().ok()),
        created_by: process.map_or_else(String::new, |process| process.cmd.join(" ")),
        author: text(&layer.author),
        comment: text(&layer.comment),
        ..History::default()
    }
}

fn read_json(contents: &mut Contents<'_>, work: &Workspace, id: &str) -> Result<Fields> {
    let name = format!("{id}/json");
    let json = contents.need(work, name.as_bytes())?;
    let bytes = work.read(&json, document::LIMIT).attempt(|| name.clone())?;
    serde_json::from_slice(&bytes).map_err(|error| Error::invalid(name).caused_by(error))
}

fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

fn as_value<T: serde::Serialize>(value: &T) -> Result<Value> {
    let defect = |error| Error::new(Kind::Internal, "encode document").caused_by(error);
    serde_json::to_value(value).map_err(defect)
}
