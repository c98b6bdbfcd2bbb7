//! What must hold of a store, and of the host, whatever was done and whoever was killed: every record parses, everything
//! that is named is there and everything that is there is named, and what the records say runs is what runs.
//!
//! Processes that were killed leave things behind; the ordinary verbs have to find and clear them, so they run first.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::registry::whole::assert_store_is_valid;
use crate::support::{Host, PATIENCE, cgroups_of, mounts_under, names_in, wait_until};

/// The whole store agrees with itself and with the host.
pub(super) fn assert_consistent(host: &Host, seed: u64) {
    // Looks recover orphans and clear away stages; a prune takes what those who are gone left of images and volumes.
    host.ok(["ps", "-aq"]);
    settle(host);
    // None has that label.
    host.ok(["container", "prune", "-f", "--filter", "label=none"]);
    host.ok(["image", "prune", "-f"]);
    host.ok(["volume", "prune", "-f"]);
    host.ok(["ps", "-aq"]);
    // A monitor that lives may still be removing what it has put aside.
    wait_until("the end of what is being removed", PATIENCE, || {
        host.ok(["ps", "-aq"]);
        host.rubbish().is_empty()
    });
    let found = problems(host);
    assert!(
        found.is_empty(),
        "the store after seed {seed}:\n  {}",
        found.join("\n  ")
    );
    let checked = host.wharf(["system", "check"]);
    assert_eq!(checked.code, 0, "seed {seed}: {checked:#?}");
    assert_store_is_valid(host);
}

/// Until nothing changes any more by itself: what ends and is started again for ever is told not to be.
fn settle(host: &Host) {
    for id in host.ok(["ps", "-aq"]).lines() {
        // A `--rm` container may be gone by now.
        let _ = host.wharf(["update", "--restart", "no", id]);
    }
    wait_until("the end of all that ends", PATIENCE * 3, || {
        let all = host.ok(["ps", "-a", "--format", "{{.State}} {{.Command}}"]);
        let stays = |row: &str| row.contains("sleep");
        all.lines().all(|row| match row.split(' ').next() {
            Some("running") => stays(row),
            Some("restarting" | "removing") => false,
            _ => true,
        })
    });
}

/// After everything is removed, by the ordinary verbs, only what a new store has is there.
pub(super) fn assert_nothing_is_left(host: &Host, seed: u64) {
    let ids = host.container_ids();
    if !ids.is_empty() {
        host.ok(["rm", "-fv"]
            .iter()
            .map(|word| (*word).to_owned())
            .chain(ids));
    }
    host.ok(["system", "prune", "-af"]);
    host.ok(["volume", "prune", "-af"]);
    let gone = || {
        let places = [
            "d/containers",
            "d/names",
            "d/volumes",
            "d/layers",
            "d/ingest",
            "d/blobs/sha256",
            "r/containers",
        ];
        let below = places.iter().flat_map(|place| {
            let names = names_in(&host.dir().join(place));
            names.into_iter().map(move |name| format!("{place}/{name}"))
        });
        let processes = host
            .processes()
            .into_iter()
            .map(|pid| format!("process {pid}"));
        let mounts = mounts_under(host.dir());
        below
            .chain(processes)
            .chain(mounts)
            .collect::<Vec<String>>()
    };
    wait_until("the end of all monitors", PATIENCE, || {
        host.processes().is_empty()
    });
    assert_eq!(gone(), Vec::<String>::new(), "left after seed {seed}");
}

/// Everything that is wrong, one line each.
pub(super) fn problems(host: &Host) -> Vec<String> {
    let mut found = unreadable(host);
    let containers = containers(host, &mut found);
    found.extend(files_of_the_killed(host));
    found.extend(listing(host, &containers));
    found.extend(names(host, &containers));
    found.extend(volumes(host, &containers));
    found.extend(layers(host, &containers));
    found.extend(life(host, &containers));
    found
}

/// Containers by id: what the record says.
type Containers = BTreeMap<String, Value>;

fn containers(host: &Host, found: &mut Vec<String>) -> Containers {
    let dir = host.data().join("containers");
    let mut containers = Containers::new();
    for id in names_in(&dir) {
        match read(&dir.join(&id).join("container.json")) {
            Some(record) if record["id"] == *id => {
                containers.insert(id, record);
            }
            other => found.push(format!("container {id} has the record {other:?}")),
        }
    }
    containers
}

fn read(path: &Path) -> Option<Value> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// All files below a directory.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for name in names_in(dir) {
        let path = dir.join(name);
        if path.is_dir() && !path.is_symlink() {
            // What containers and layers have in them is theirs.
            let is_content = ["upper", "work", "fs", "_data"]
                .iter()
                .any(|name| path.ends_with(name));
            if !is_content {
                found.extend(files(&path));
            }
            found.push(path);
        } else {
            found.push(path);
        }
    }
    found
}

fn unreadable(host: &Host) -> Vec<String> {
    let mut found = Vec::new();
    for path in files(&host.data()).into_iter().chain(files(&host.run())) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let whole = if name.ends_with(".json") {
            read(&path).is_some()
        } else if name.ends_with(".jsonl") {
            let text = fs::read_to_string(&path).unwrap();
            text.lines()
                .all(|line| serde_json::from_str::<Value>(line).is_ok())
        } else {
            true
        };
        if !whole {
            found.push(format!("{} does not parse", path.display()));
        }
    }
    found
}

/// Temporary names begin with a dot everywhere.
fn files_of_the_killed(host: &Host) -> Vec<String> {
    let all = files(&host.data()).into_iter().chain(files(&host.run()));
    all.filter(|path| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with('.'))
    })
    .filter(|path| !path.ends_with(".lock"))
    .map(|path| format!("{} was left behind", path.display()))
    .collect()
}

/// What is listed is what is on the disk, in the state that is on the disk.
fn listing(host: &Host, containers: &Containers) -> Vec<String> {
    let listed = host.ok(["ps", "-a", "--no-trunc", "--format", "{{.ID}} {{.Names}}"]);
    let listed: BTreeSet<&str> = listed.lines().collect();
    let stored: BTreeSet<String> = containers
        .iter()
        .map(|(id, record)| format!("{id} {}", record["name"].as_str().unwrap_or_default()))
        .collect();
    let stored: BTreeSet<&str> = stored.iter().map(String::as_str).collect();
    listed
        .symmetric_difference(&stored)
        .map(|row| format!("`ps -a` and the disk do not agree on {row}"))
        .collect()
}

/// Every container has its name, and every name a container.
fn names(host: &Host, containers: &Containers) -> Vec<String> {
    let dir = host.data().join("names");
    let taken: BTreeSet<(String, String)> = names_in(&dir)
        .into_iter()
        .map(|name| {
            let owner = fs::read_to_string(dir.join(&name)).unwrap();
            (name, owner.trim().to_owned())
        })
        .collect();
    let had: BTreeSet<(String, String)> = containers
        .iter()
        .map(|(id, record)| {
            (
                record["name"].as_str().unwrap_or_default().to_owned(),
                id.clone(),
            )
        })
        .collect();
    taken
        .symmetric_difference(&had)
        .map(|(name, id)| format!("the name {name} and container {id} do not have each other"))
        .collect()
}

/// Every volume of a container is there and knows it, and no volume knows another container.
fn volumes(host: &Host, containers: &Containers) -> Vec<String> {
    let mut wanted: BTreeSet<(String, String)> = BTreeSet::new();
    for (id, record) in containers {
        for mount in record["host"]["mounts"].as_array().into_iter().flatten() {
            let kind = mount.get("type").and_then(Value::as_str);
            if kind == Some("volume") {
                let name = mount["name"].as_str().unwrap_or_default().to_owned();
                wanted.insert((name, id.clone()));
            }
        }
    }
    let mut had = BTreeSet::new();
    let dir = host.data().join("volumes");
    let mut found = Vec::new();
    for name in names_in(&dir) {
        for part in ["volume.json", "_data", "users"] {
            if !dir.join(&name).join(part).exists() {
                found.push(format!("volume {name} has no {part}"));
            }
        }
        let users = names_in(&dir.join(&name).join("users"));
        had.extend(users.into_iter().map(|id| (name.clone(), id)));
    }
    let differ = wanted.symmetric_difference(&had);
    found.extend(
        differ.map(|(name, id)| {
            format!("volume {name} and container {id} do not know of each other")
        }),
    );
    found
}

/// Every layer that a container is made of, or has mounted, is there.
fn layers(host: &Host, containers: &Containers) -> Vec<String> {
    let dir = host.data().join("layers");
    let mut found = Vec::new();
    for (id, record) in containers {
        let mounts = record["host"]["mounts"].as_array();
        let mounted = mounts
            .into_iter()
            .flatten()
            .filter_map(|mount| mount["layers"].as_array());
        let own = record["layers"].as_array();
        for layer in own.into_iter().chain(mounted).flatten() {
            let hex = layer
                .as_str()
                .unwrap_or_default()
                .trim_start_matches("sha256:");
            if hex.is_empty() || !dir.join(hex).join("fs").is_dir() {
                found.push(format!("container {id} lacks layer {layer}"));
            }
        }
    }
    found
}

/// What runs by its record runs, what does not has neither processes nor groups nor a live directory, and nothing is mounted.
fn life(host: &Host, containers: &Containers) -> Vec<String> {
    let mut found = Vec::new();
    let mut live = BTreeSet::new();
    for id in containers.keys() {
        let own = host.run().join("containers").join(id);
        let durable = host.data().join("containers").join(id).join("state.json");
        let state = read(&own.join("state.json")).or_else(|| read(&durable));
        let status = state.as_ref().and_then(|state| state["status"].as_str());
        let runs = matches!(status, Some("running" | "paused" | "restarting"));
        if runs {
            live.insert(id.clone());
            let pid = state
                .as_ref()
                .and_then(|state| state["pid"].as_i64())
                .unwrap_or(0);
            if status != Some("restarting") && !Path::new("/proc").join(pid.to_string()).exists() {
                found.push(format!(
                    "container {id} is {status:?} without process {pid}"
                ));
            }
        } else if !cgroups_of(std::slice::from_ref(id)).is_empty() {
            found.push(format!("container {id} is {status:?} and has groups"));
        }
    }
    let directories: BTreeSet<String> = names_in(&host.run().join("containers"))
        .into_iter()
        .collect();
    for id in directories.symmetric_difference(&live) {
        found.push(format!(
            "container {id} runs without a live directory, or has one and does not"
        ));
    }
    let monitors = host.processes();
    if monitors.len() < live.len() {
        found.push(format!(
            "{} containers run, {} processes watch",
            live.len(),
            monitors.len()
        ));
    }
    for pid in monitors {
        let line = crate::support::command_line(pid);
        if !live.iter().any(|id| line.contains(id.as_str())) {
            found.push(format!("process {pid} is nobody's: {line}"));
        }
    }
    found.extend(
        mounts_under(host.dir())
            .into_iter()
            .map(|line| format!("mounted: {line}")),
    );
    found
}
