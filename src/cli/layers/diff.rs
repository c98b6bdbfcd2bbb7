//! `layers diff`: what an image has otherwise than another one, by layer and by path.

use std::fmt::Write as _;
use std::io::Write as _;

use serde_json::{Value, json};

use super::source::explore_layers;
use super::{SCHEMA, SHOWN, instruction};
use crate::cli::image::platform;
use crate::cli::output::{Out, ellipsis, tabulate};
use crate::cli::report::{Failure, Outcome};
use crate::cli::{Context, args};
use crate::engine::model::layers::diff::{At, Fate, Group, LayerChange, PathChange, Weight};
use crate::engine::model::layers::rules::percent;
use crate::engine::model::layers::{Diff, Entry, Explored, Kind};
use crate::engine::model::units;

/// `layers diff`.
pub fn diff(context: &Context, args: &args::LayersDiff) -> Outcome {
    let [before, after] = args.operands.as_slice() else {
        return Err(Failure::plain("two images are compared"));
    };
    if before == "-" && after == "-" {
        return Err(Failure::plain("standard input can be one image, not two"));
    }
    let wanted = platform(args.platform.as_deref())?;
    let before = explore_layers(context, before, wanted.as_ref())?;
    let after = explore_layers(context, after, wanted.as_ref())?;
    let diff = Diff::of(&before, &after);
    let mut out = Out::new();
    if args.json {
        out.line(format!("{:#}", document(&before, &after, &diff)))?;
    } else {
        out.write_all(text(&before, &after, &diff, args.no_trunc).as_bytes())?;
    }
    out.finish()?;
    Ok(0)
}

/// What people read.
fn text(before: &Explored, after: &Explored, diff: &Diff, all: bool) -> String {
    let mut lines = vec!["LAYER\tBEFORE\tAFTER\tSIZE\tCOMMAND".to_owned()];
    lines.extend(
        diff.layers
            .iter()
            .map(|change| layer_line(before, after, *change, all)),
    );
    let mut text = tabulate(&lines);
    text.push('\n');
    text += &paths_table(before, after, diff, all);
    let _ = writeln!(text, "{}", counts(diff));
    text += &verdict(before, after, diff);
    text
}

fn layer_line(before: &Explored, after: &Explored, change: LayerChange, all: bool) -> String {
    let old = change.before.map(|at| &before.layers[usize::from(at)]);
    let new = change.after.map(|at| &after.layers[usize::from(at)]);
    let number = |at: Option<u16>| at.map_or("-".to_owned(), |at| at.to_string());
    let size = |bytes: u64| units::human_size_short(bytes);
    let sizes = match (old, new) {
        (Some(old), Some(new)) if old.size != new.size => {
            format!("{} -> {}", size(old.size), size(new.size))
        }
        (Some(one), _) | (None, Some(one)) => size(one.size),
        (None, None) => String::new(),
    };
    let command = instruction(new.or(old).map_or("", |layer| &layer.command));
    let command = if all { command } else { ellipsis(&command, 60) };
    format!(
        "{}\t{}\t{}\t{sizes}\t{command}",
        change.fate.as_str(),
        number(change.before),
        number(change.after)
    )
}

fn paths_table(before: &Explored, after: &Explored, diff: &Diff, all: bool) -> String {
    let groups: Vec<Group<'_>> = diff
        .groups()
        .into_iter()
        .filter(|group| all || group.top.fate != Fate::Time)
        .collect();
    if groups.is_empty() {
        return String::new();
    }
    let shown = if all {
        groups.len()
    } else {
        SHOWN.min(groups.len())
    };
    let mut lines = vec!["CHANGE\tBEFORE\tAFTER\tPATHS\tDIFFERS\tPATH".to_owned()];
    let line = |group: &Group<'_>| {
        let change = group.top;
        let (old, new) = (entry(before, change.before), entry(after, change.after));
        let size = |there: Option<&Entry>, bytes: u64| match there {
            Some(_) => units::human_size_short(bytes),
            None => "-".to_owned(),
        };
        let path = String::from_utf8_lossy(&change.path).replace(['\t', '\n'], "?");
        format!(
            "{}\t{}\t{}\t{}\t{}\t/{path}",
            change.fate.as_str(),
            size(old, group.bytes_before),
            size(new, group.bytes_after),
            group.paths,
            differs(change, old, new),
        )
    };
    lines.extend(groups.iter().take(shown).map(line));
    let mut text = tabulate(&lines);
    if shown < groups.len() {
        let _ = writeln!(text, "... and {} more (--no-trunc)", groups.len() - shown);
    }
    text.push('\n');
    text
}

/// `mode 644 -> 755, owner 0:0 -> 7:7`.
fn differs(change: &PathChange, old: Option<&Entry>, new: Option<&Entry>) -> String {
    let (Some(old), Some(new)) = (old, new) else {
        return String::new();
    };
    if change.fate == Fate::Kind {
        return format!("{} -> {}", kind(old), kind(new));
    }
    let mut words = Vec::new();
    for word in change.differs.words() {
        words.push(match word {
            "mode" => format!("mode {:o} -> {:o}", old.mode & 0o7777, new.mode & 0o7777),
            "owner" => format!("owner {}:{} -> {}:{}", old.uid, old.gid, new.uid, new.gid),
            // It goes without saying where the content is another one.
            "time" if change.fate != Fate::Time => continue,
            word => word.to_owned(),
        });
    }
    words.join(", ")
}

fn counts(diff: &Diff) -> String {
    let mut parts = Vec::new();
    for fate in Fate::ALL {
        let total = diff.total(fate);
        if total.paths > 0 {
            let what = match fate {
                Fate::Content => "with other content",
                Fate::Kind => "of another kind",
                Fate::Attributes => "with other attributes",
                Fate::Time => "with another time only",
                Fate::Added | Fate::Removed | Fate::Grown | Fate::Shrunk => fate.as_str(),
            };
            parts.push(format!("{} {what}", total.paths));
        }
    }
    if parts.is_empty() {
        "every path is the same".to_owned()
    } else {
        format!("paths: {}", parts.join(", "))
    }
}

fn verdict(before: &Explored, after: &Explored, diff: &Diff) -> String {
    let size = |bytes: u64| units::human_size_short(bytes);
    let (old, new) = (&diff.before, &diff.after);
    let change = new.bytes.abs_diff(old.bytes);
    let names = (&before.about.name, &after.about.name);
    let word = match diff.verdict() {
        "same" => format!("{} and {} are the same", names.0, names.1),
        "times" => format!("{} and {} are the same but for times", names.0, names.1),
        "changed" => format!("{} weighs what {} does", names.1, names.0),
        word => format!(
            "{} is {} ({:.1} %) {word} than {}",
            names.1,
            size(change),
            percent(change, old.bytes),
            names.0
        ),
    };
    let side = |weight: &Weight| {
        format!(
            "{} in {} layers, {} hidden",
            size(weight.bytes),
            weight.layers,
            size(weight.wasted)
        )
    };
    format!(
        "{word}: {}; before {}\n{} to fetch where {} is there\n",
        side(new),
        side(old),
        size(new.own_blobs),
        names.0
    )
}

fn entry(image: &Explored, at: Option<At>) -> Option<&Entry> {
    at.map(|at| image.stack.entry(image.stack.inode_of(at)))
}

fn kind(entry: &Entry) -> &'static str {
    match entry.kind {
        Kind::File { .. } | Kind::HardLink { .. } => "file",
        Kind::Directory { .. } => "directory",
        Kind::Symlink { .. } => "symlink",
        Kind::Char { .. } => "char",
        Kind::Block { .. } => "block",
        Kind::Fifo => "fifo",
        Kind::Whiteout => "whiteout",
    }
}

/// Everything, for programs.
fn document(before: &Explored, after: &Explored, diff: &Diff) -> Value {
    let side = |image: &Explored, weight: &Weight| {
        json!({
            "name": image.about.name,
            "id": image.about.id,
            "platform": image.about.platform.to_string(),
            "layers": weight.layers,
            "bytes": weight.bytes,
            "wastedBytes": weight.wasted,
            "seenBytes": weight.seen(),
            "files": weight.files,
            "compressedBytes": weight.blobs,
            "ownCompressedBytes": weight.own_blobs,
        })
    };
    let layers: Vec<Value> = diff
        .layers
        .iter()
        .map(|change| {
            let of = |image: &Explored, at: Option<u16>| {
                at.map(|at| {
                    let layer = &image.layers[usize::from(at)];
                    json!({
                        "layer": at,
                        "diffId": layer.diff_id.to_string(),
                        "bytes": layer.size,
                        "compressedBytes": layer.blob_size,
                        "command": layer.command,
                    })
                })
            };
            json!({
                "change": change.fate.as_str(),
                "before": of(before, change.before),
                "after": of(after, change.after),
            })
        })
        .collect();
    let paths: Vec<Value> = diff
        .paths
        .iter()
        .map(|change| path_value(before, after, change))
        .collect();
    let totals = Fate::ALL.iter().map(|fate| {
        let total = diff.total(*fate);
        let value = json!({
            "paths": total.paths,
            "bytesBefore": total.before,
            "bytesAfter": total.after,
        });
        (fate.as_str().to_owned(), value)
    });
    json!({
        "schemaVersion": SCHEMA,
        "verdict": diff.verdict(),
        "before": side(before, &diff.before),
        "after": side(after, &diff.after),
        "layers": layers,
        "totals": totals.collect::<serde_json::Map<_, _>>(),
        "paths": paths,
    })
}

fn path_value(before: &Explored, after: &Explored, change: &PathChange) -> Value {
    let of = |image: &Explored, at: Option<At>, bytes: u64| {
        let entry = entry(image, at)?;
        Some(json!({
            "layer": at?.0,
            "kind": kind(entry),
            "bytes": bytes,
            "mode": format!("{:04o}", entry.mode & 0o7777),
            "uid": entry.uid,
            "gid": entry.gid,
        }))
    };
    json!({
        "path": format!("/{}", String::from_utf8_lossy(&change.path)),
        "change": change.fate.as_str(),
        "differs": change.differs.words(),
        "before": of(before, change.before, change.bytes_before),
        "after": of(after, change.after, change.bytes_after),
    })
}
