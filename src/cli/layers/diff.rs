//! `layers diff`: what an image has otherwise than another one, by layer and by path.

use std::fmt::Write as _;
use std::io::Write as _;

use serde_json::{Value, json};

use super::source::{engine_for, explore, target};
use super::{SCHEMA, SHOWN, has_screen, instruction};
use crate::app::Options;
use crate::app::tables::Question;
use crate::cli::image::platform;
use crate::cli::output::{Out, ellipsis, tabulate};
use crate::cli::report::{Failure, Outcome};
use crate::cli::{Context, args, dialogs};
use crate::engine::Reading;
use crate::engine::model::layers::Target;
use crate::engine::model::layers::diff::words::{entry, kind};
use crate::engine::model::layers::diff::{At, Fate, Group, LayerChange, PathChange, Weight};
use crate::engine::model::layers::{Diff, Entry, Explored};
use crate::engine::model::{Platform, units};

/// `layers diff`.
pub fn diff(context: &Context, args: &args::LayersDiff) -> Outcome {
    let [before, after] = args.operands.as_slice() else {
        return Err(Failure::plain("two images are compared"));
    };
    if before == "-" && after == "-" {
        return Err(Failure::plain("standard input can be one image, not two"));
    }
    let wanted = platform(args.platform.as_deref())?;
    if args.tui {
        let targets = [before, after].map(|name| target(context, name, wanted.as_ref()));
        let [before, after] = targets;
        return open_tables(context, [before?, after?], wanted.as_ref());
    }
    let before = explore(context, before, wanted.as_ref(), Reading::Layers)?;
    let after = explore(context, after, wanted.as_ref(), Reading::Layers)?;
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

/// Both on the whole screen.
fn open_tables(context: &Context, both: [Target; 2], platform: Option<&Platform>) -> Outcome {
    if both.iter().any(|target| !has_screen(&target.name())) {
        return Err(Failure::Usage {
            text: "wharf: layers diff --tui needs a terminal".to_owned(),
            code: 2,
        });
    }
    let [before, after] = both;
    let first = engine_for(context, &before, platform)?;
    let engine = engine_for(context, &after, platform)?.or(first);
    let options = Options {
        tables: Some(Question::Compare(Box::new((before, after)))),
        surroundings: context.surroundings.clone(),
        roots: Some(context.roots.clone()),
        ..Options::default()
    };
    crate::app::run(engine, context.credentials(), dialogs::COMMANDS, options)?;
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
    let _ = writeln!(text, "{}", diff.counts());
    let _ = writeln!(text, "{}", diff.told(before, after));
    let fetched = units::human_size_short(diff.after.own_blobs);
    let _ = writeln!(
        text,
        "{fetched} to fetch where {} is there",
        before.about.name
    );
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
            change.told(before, after),
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
