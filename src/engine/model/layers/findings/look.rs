//! How each rule is found in what the indexes and the configuration say.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::nature::Nature;
use super::secrets::{self, is_environment};
use super::{Evidence, Finding, Rule, Severity};
use crate::engine::model::layers::diff::At;
use crate::engine::model::layers::entry::{Entry, Kind};
use crate::engine::model::layers::explored::Explored;
use crate::engine::model::layers::tree::{LayerId, NodeId};

/// Files of one content, each with a path.
type Copies = Vec<(At, Vec<u8>)>;

/// Copies of less are not worth a thought.
const MIN_COPY: u64 = 4096;
/// Sums of fewer bytes than that are no finding of their own, but for version control.
const MIN_SUM: u64 = 1;

/// The layer that hides what a layer has at a path.
pub(super) fn hidden_by(image: &Explored, layer: LayerId, path: &[u8]) -> Option<LayerId> {
    let tree = &image.stack.tree;
    let mut events = tree.events(tree.find(path)?);
    events
        .find(|event| event.layer > layer)
        .map(|event| event.layer)
}

pub(super) fn configuration(image: &Explored, all: &mut Vec<Finding>) {
    let about = &image.about;
    let user = about.user.split(':').next().unwrap_or_default();
    if matches!(user, "" | "0" | "root") {
        all.push(Finding::new(Rule::RootUser, "no USER but root"));
    }
    if !about.has_healthcheck {
        all.push(Finding::new(Rule::NoHealthcheck, "no HEALTHCHECK"));
    }
    for variable in &about.env {
        for hit in secrets::in_words(variable) {
            all.push(Finding::new(Rule::EnvSecret, hit.shown));
        }
    }
    let mut layer: LayerId = 0;
    let mut told: HashSet<(LayerId, String)> = HashSet::new();
    for step in &about.history {
        // An instruction without a layer belongs to the one before it.
        let own = if step.empty {
            layer.saturating_sub(1)
        } else {
            layer
        };
        for hit in secrets::in_words(&step.created_by) {
            if told.insert((own, hit.shown.clone())) {
                all.push(Finding {
                    layer: Some(own),
                    ..Finding::new(Rule::HistorySecret, hit.shown)
                });
            }
        }
        if let Some(base) = base_in(&step.created_by).filter(|base| is_moving(base)) {
            all.push(Finding {
                layer: Some(own),
                ..Finding::new(Rule::LatestBase, format!("FROM {base}"))
            });
        }
        layer = layer.saturating_add(LayerId::from(!step.empty));
    }
    let base = about.labels.get("org.opencontainers.image.base.name");
    if let Some(base) = base.filter(|base| is_moving(base)) {
        all.push(Finding::new(Rule::LatestBase, format!("FROM {base}")));
    }
}

/// The base that an instruction names.
fn base_in(command: &str) -> Option<&str> {
    let mut words = command
        .trim_start()
        .strip_prefix("FROM ")?
        .split_whitespace();
    words.find(|word| !word.starts_with("--"))
}

/// A name that means another image tomorrow.
fn is_moving(base: &str) -> bool {
    let name = base.rsplit('/').next().unwrap_or(base);
    let is_digest = base.contains("sha256:") || base.len() == 64;
    base != "scratch" && !is_digest && (name.ends_with(":latest") || !name.contains(':'))
}

/// Rights and names, of every layer.
pub(super) fn paths(image: &Explored, all: &mut Vec<Finding>) {
    for (layer, entries) in (0..).zip(&image.stack.layers) {
        for (number, entry) in (0..).zip(entries.iter()) {
            let is_file = matches!(entry.kind, Kind::File { .. });
            let found = |rule, detail: String| Finding {
                path: Some(entry.path.clone()),
                layer: Some(layer),
                hidden: hidden_by(image, layer, &entry.path),
                ..Finding::new(rule, detail)
            };
            if is_file && entry.mode & 0o6000 != 0 {
                let finding = found(
                    Rule::Setuid,
                    format!(
                        "mode {:04o}, owner {}:{}",
                        entry.mode & 0o7777,
                        entry.uid,
                        entry.gid
                    ),
                );
                // What nobody can start any more does no harm.
                if finding.hidden.is_none() {
                    all.push(finding);
                }
            }
            if is_world_writable(entry) && is_shown(image, (layer, number)) {
                all.push(found(
                    Rule::WorldWritable,
                    format!("mode {:04o}", entry.mode & 0o7777),
                ));
            }
            if let Some((rule, detail)) = is_file.then(|| by_name(entry)).flatten() {
                all.push(found(rule, detail));
            }
        }
    }
}

fn is_world_writable(entry: &Entry) -> bool {
    let open = entry.mode & 0o002 != 0;
    match entry.kind {
        Kind::File { .. } => open,
        Kind::Directory { implied, .. } => open && entry.mode & 0o1000 == 0 && !implied,
        _ => false,
    }
}

fn is_shown(image: &Explored, at: At) -> bool {
    let tree = &image.stack.tree;
    let path = &image.stack.entry(at).path;
    tree.find(path).and_then(|node| tree.current(node)) == Some(at)
}

const SHELLS: &[&str] = &[
    ".bash_history",
    ".ash_history",
    ".zsh_history",
    ".sh_history",
    ".python_history",
    ".mysql_history",
    ".psql_history",
    ".sqlite_history",
];

fn by_name(entry: &Entry) -> Option<(Rule, String)> {
    let path = std::str::from_utf8(&entry.path).ok()?;
    let name = path.rsplit('/').next().unwrap_or(path);
    if entry.size == 0 || !secrets::wanted(&entry.path, 1) {
        return None;
    }
    if name.starts_with(".env") && is_environment(name) {
        return Some((Rule::EnvFile, "variables".to_owned()));
    }
    SHELLS
        .contains(&name)
        .then(|| (Rule::ShellHistory, "what was typed".to_owned()))
}

/// Owners that have no name, one finding for each.
pub(super) fn owners(image: &Explored, evidence: &Evidence, all: &mut Vec<Finding>) {
    let Some(passwd) = &evidence.passwd else {
        return;
    };
    let users = numbers(passwd);
    let groups = evidence.group.as_deref().map(numbers);
    let mut unknown: BTreeMap<(u32, u32), (usize, At)> = BTreeMap::new();
    each_shown(image, |_, at| {
        let entry = image.stack.entry(at);
        let group_is_known = groups
            .as_ref()
            .is_none_or(|groups| groups.contains(&entry.gid));
        if !users.contains(&entry.uid) || !group_is_known {
            let (count, _) = unknown.entry((entry.uid, entry.gid)).or_insert((0, at));
            *count += 1;
        }
    });
    for ((uid, gid), (files, first)) in unknown {
        all.push(Finding {
            path: Some(image.stack.entry(first).path.clone()),
            layer: Some(first.0),
            files,
            ..Finding::new(Rule::UnknownOwner, format!("{uid}:{gid}"))
        });
    }
}

/// The numbers of passwd(5) and group(5).
fn numbers(file: &[u8]) -> HashSet<u32> {
    let text = String::from_utf8_lossy(file);
    let mut numbers: HashSet<u32> = text
        .lines()
        .filter_map(|line| line.split(':').nth(2)?.parse().ok())
        .collect();
    numbers.insert(0);
    numbers
}

fn each_shown(image: &Explored, mut tell: impl FnMut(NodeId, At)) {
    let tree = &image.stack.tree;
    for node in (0..).take(tree.paths()) {
        if let Some(at) = tree.current(node) {
            tell(node, at);
        }
    }
}

/// Caches, version control, temporary files: one finding for each directory and layer that has some.
pub(super) fn natures(image: &Explored, all: &mut Vec<Finding>) {
    let mut sums: BTreeMap<(Nature, Vec<u8>, LayerId), (usize, u64)> = BTreeMap::new();
    let mut told: HashSet<At> = HashSet::new();
    each_shown(image, |_, at| {
        let Some(file) = image.stack.file_of(at).filter(|file| told.insert(*file)) else {
            return;
        };
        let path = &image.stack.entry(at).path;
        if let Some((nature, end)) = Nature::of(path) {
            let top = path.get(..end).unwrap_or(path).to_vec();
            let (files, bytes) = sums.entry((nature, top, file.0)).or_default();
            *files += 1;
            *bytes += image.stack.entry(file).size;
        }
    });
    // The history of version control tells its secrets from below a whiteout, too.
    for (layer, entries) in (0..).zip(&image.stack.layers) {
        for entry in entries.iter() {
            let is_file = matches!(entry.kind, Kind::File { .. });
            if let Some((Nature::VersionControl, end)) =
                is_file.then(|| Nature::of(&entry.path)).flatten()
            {
                let top = entry.path.get(..end).unwrap_or_default().to_vec();
                sums.entry((Nature::VersionControl, top, layer))
                    .or_default();
            }
        }
    }
    for ((nature, top, layer), (files, bytes)) in sums {
        if bytes < MIN_SUM && nature != Nature::VersionControl {
            continue;
        }
        all.push(Finding {
            hidden: if files == 0 {
                hidden_by(image, layer, &top)
            } else {
                None
            },
            path: Some(top),
            layer: Some(layer),
            ..Finding::of_nature(nature, files, bytes)
        });
    }
}

/// The same content under another path. What is a cache already is not counted again.
pub(super) fn duplicates(image: &Explored, all: &mut Vec<Finding>) {
    let mut copies: HashMap<(u64, [u8; 32]), Copies> = HashMap::new();
    let mut told: HashSet<At> = HashSet::new();
    each_shown(image, |_, at| {
        let Some(file) = image.stack.file_of(at) else {
            return;
        };
        let entry = image.stack.entry(file);
        let path = &image.stack.entry(at).path;
        if let Kind::File {
            content: Some(content),
        } = entry.kind
            && entry.size >= MIN_COPY
            && Nature::of(path).is_none()
            && told.insert(file)
        {
            copies
                .entry((entry.size, content))
                .or_default()
                .push((file, path.clone()));
        }
    });
    for ((size, _), mut files) in copies {
        if files.len() < 2 {
            continue;
        }
        files.sort();
        let (_, first) = files.remove(0);
        let more = u64::try_from(files.len()).unwrap_or(u64::MAX);
        let Some((at, path)) = files.pop() else {
            continue;
        };
        let count = files.len() + 1;
        let others = if count > 1 {
            format!(" and {} more", count - 1)
        } else {
            String::new()
        };
        all.push(Finding {
            path: Some(path),
            layer: Some(at.0),
            files: count,
            bytes: size.saturating_mul(more),
            severity: Severity::Low,
            ..Finding::new(
                Rule::Duplicate,
                format!("the same as /{}{others}", String::from_utf8_lossy(&first)),
            )
        });
    }
}
