//! `layers`: what each layer of an image weighs, and what of it nobody sees; checks for pipelines.

mod checks;
pub mod diff;
pub mod findings;
pub mod shared;
pub mod source;
pub mod squash;
mod verdicts;

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;

use serde_json::{Value, json};

use super::format::{Format, Headings, Row};
use super::image::platform;
use super::list::Look;
use super::output::{Out, ellipsis, tabulate};
use super::report::{Failure, Outcome};
use super::{Context, args, dialogs, dive};
use crate::app::Options;
use crate::engine::Reading;
use crate::engine::has_controlling_terminal;
use crate::engine::model::layers::dive::figures_of;
use crate::engine::model::layers::findings::allow::Allowed;
use crate::engine::model::layers::findings::nature::Nature;
use crate::engine::model::layers::{
    Explored, Hidden, findings as model_findings, instruction, rules,
};
use crate::engine::model::{Platform, units};

use source::{Source, engine_for, explore, explore_whole, target};

/// The usual table.
const TABLE: &str =
    "{{.Layer}}\t{{.Size}}\t{{.Wasted}}\t{{.Hides}}\t{{.Files}}\t{{.CreatedSince}}\t{{.Command}}";
const HEADINGS: Headings = &[
    ("Layer", "LAYER"),
    ("Size", "SIZE"),
    ("Wasted", "WASTED"),
    ("Hides", "HIDES"),
    ("Files", "FILES"),
    ("CompressedSize", "COMPRESSED"),
    ("CreatedSince", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("Command", "COMMAND"),
    ("DiffID", "DIFF ID"),
    ("Digest", "DIGEST"),
];

/// So many rows of what is hidden are shown unless all are asked for.
const SHOWN: usize = 20;

/// Version of the document of `--json` (docs/layers.md).
const SCHEMA: u32 = 1;

/// Exit codes of `--ci`.
pub const RULE_FAILED: u8 = 1;
pub const CANNOT_TELL: u8 = 2;

/// `layers`.
pub fn layers(context: &Context, args: &args::Layers) -> Outcome {
    let done = show(context, args);
    // A pipeline must know an image that is too large from one that could not be looked at.
    if args.ci {
        done.map_err(|failure| failure.with_code(CANNOT_TELL))
    } else {
        done
    }
}

fn show(context: &Context, args: &args::Layers) -> Outcome {
    let format = Format::parse(args.format.as_deref(), TABLE)?;
    let checks = checks::read(args).map_err(Failure::plain)?;
    let allowed = findings::allowed(args.allow.as_deref())?;
    let name = args.operands.first().map_or("", String::as_str);
    let wanted = platform(args.platform.as_deref())?;
    if args.tui || (!is_plain(args) && is_for_a_person(name)) {
        let allowed = findings::allowed(args.allow.as_deref())?;
        return open_explorer(context, name, wanted.as_ref(), allowed);
    }
    if args.allow.is_some() && !args.ci {
        let text = "--allow is for the explorer and for rules about findings, such as --no-secrets";
        return Err(Failure::plain(text));
    }
    let (image, evidence) = if checks.rules.needs_findings() {
        let (image, evidence) = explore_whole(context, name, wanted.as_ref())?;
        (image, Some(evidence))
    } else {
        (
            explore(context, name, wanted.as_ref(), Reading::Lists)?,
            None,
        )
    };
    let mut out = Out::new();
    let code = if args.dive {
        let (text, passed) = dive::report(&image, checks.dives.as_ref());
        out.write_all(text.as_bytes())?;
        if passed { 0 } else { RULE_FAILED }
    } else if args.json {
        out.line(format!("{:#}", document(&image)))?;
        0
    } else if args.ci {
        let mut verdicts = checks.rules.judge(&image);
        if let Some(base) = &args.base {
            let base = explore(context, base, wanted.as_ref(), Reading::Lists)?;
            verdicts.push(rules::stands_on(&image, &base));
        }
        if let Some(evidence) = evidence {
            let mut found = model_findings::findings(&image, &evidence);
            found.retain(|finding| !allowed.allows(finding));
            verdicts.extend(checks.rules.judge_findings(&found));
        }
        out.write_all((checks.form)(&image.about.name, &verdicts).as_bytes())?;
        if verdicts.iter().all(|verdict| verdict.passed) {
            0
        } else {
            RULE_FAILED
        }
    } else {
        let look = Look::new(!args.no_trunc);
        let rows = rows(&image, &look, format.is_table());
        format.print(&mut out, HEADINGS, rows)?;
        if args.format.is_none() {
            out.write_all(summary(&image, args.no_trunc).as_bytes())?;
        }
        0
    };
    out.finish()?;
    Ok(code)
}

/// Nothing says that a program reads the output (nor is this a pipeline, which sets `CI`).
pub fn is_for_a_person(name: &str) -> bool {
    let ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false");
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    !ci && !dumb && has_screen(name)
}

/// Somebody reads and types: at the terminal itself where standard input is what is looked into.
fn has_screen(name: &str) -> bool {
    let is_piped = matches!(Source::parse(name), Source::Archive { path, .. } | Source::Rootfs(path) if path == Path::new("-"));
    if is_piped {
        std::io::stdout().is_terminal() && has_controlling_terminal()
    } else {
        super::has_screen()
    }
}

/// A flag asks for another output.
fn is_plain(args: &args::Layers) -> bool {
    args.plain || args.format.is_some() || args.json || args.ci || args.dive || args.no_trunc
}

/// The explorer on the whole screen. What is not in the store needs neither that nor root.
pub fn open_explorer(
    context: &Context,
    name: &str,
    platform: Option<&Platform>,
    allowed: Allowed,
) -> Outcome {
    if !has_screen(name) {
        return Err(Failure::Usage {
            text: "wharf: layers --tui needs a terminal".to_owned(),
            code: 2,
        });
    }
    let target = target(context, name, platform)?;
    let engine = engine_for(context, &target, platform)?;
    let options = Options {
        explore: Some(target),
        surroundings: context.surroundings.clone(),
        roots: Some(context.roots.clone()),
        allowed,
        ..Options::default()
    };
    crate::app::run(engine, context.credentials(), dialogs::COMMANDS, options)?;
    Ok(0)
}

fn rows(image: &Explored, look: &Look, is_table: bool) -> Vec<Row> {
    let size = |bytes: u64| units::human_size_short(bytes);
    let row = |(number, layer): (usize, &crate::engine::model::layers::LayerFacts)| {
        let command = instruction(&layer.command);
        let command = if look.truncate && is_table {
            ellipsis(&command, 60)
        } else {
            command
        };
        let at =
            |show: &dyn Fn(jiff::Timestamp) -> String| layer.created.map_or("N/A".to_owned(), show);
        Row::default()
            .with("Layer", number.to_string())
            .with("Size", size(layer.size))
            .with("Wasted", size(layer.wasted))
            .with("Hides", size(layer.hides))
            .with("Files", layer.files.to_string())
            .with("CompressedSize", size(layer.blob_size))
            .with("CreatedSince", at(&|at| look.ago(at)))
            .with("CreatedAt", at(&|at| look.rfc3339(at)))
            .with("Command", command)
            .with("DiffID", layer.diff_id.to_string())
            .with("Digest", layer.blob.to_string())
    };
    image.layers.iter().enumerate().map(row).collect()
}

/// What follows the table: how much is hidden, and by what.
fn summary(image: &Explored, all: bool) -> String {
    hidden(image, all) + &trust(image)
}

/// Which layers are as their tables of contents say, and not as their files were read.
fn trust(image: &Explored) -> String {
    let told = image.layers.iter().filter(|layer| layer.from_table).count();
    if told == 0 {
        return String::new();
    }
    let total = image.layers.len();
    format!(
        "\n{told} of {total} layers are listed by their tables of contents: their files were not fetched\n"
    )
}

fn hidden(image: &Explored, all: bool) -> String {
    let (size, wasted) = (image.size(), image.stack.wasted());
    if wasted == 0 {
        return format!(
            "\n{} in {}; all of it is seen\n",
            units::human_size_short(size),
            units::counted(image.layers.len(), "layer")
        );
    }
    let mut text = format!(
        "\n{} in {} layers; {} ({:.1} %) are hidden: without them it weighs {}\n\n",
        units::human_size_short(size),
        image.layers.len(),
        units::human_size_short(wasted),
        rules::percent(wasted, size),
        units::human_size_short(size - wasted),
    );
    let hidden = image.hidden();
    let shown = if all {
        hidden.len()
    } else {
        SHOWN.min(hidden.len())
    };
    let mut lines = vec!["HIDDEN\tFILES\tCAUSE\tFROM\tBY\tPATH".to_owned()];
    let line = |one: &Hidden| {
        let path = String::from_utf8_lossy(&one.path).replace(['\t', '\n'], "?");
        let size = units::human_size_short(one.bytes);
        let cause = match one.nature {
            Some(nature) => format!("{} ({})", one.cause.as_str(), nature.as_str()),
            None => one.cause.as_str().to_owned(),
        };
        format!(
            "{size}\t{}\t{cause}\t{}\t{}\t/{path}",
            one.files, one.added, one.hidden
        )
    };
    lines.extend(hidden.iter().take(shown).map(line));
    text += &tabulate(&lines);
    if shown < hidden.len() {
        let _ = writeln!(text, "... and {} more (--no-trunc)", hidden.len() - shown);
    }
    let mut advice: Vec<(&str, String)> = Vec::new();
    for one in hidden.iter().take(shown) {
        let word = one
            .nature
            .map_or(one.cause.as_str(), |nature| nature.as_str());
        let line = (word, one.advice(image));
        if !advice.contains(&line) {
            advice.push(line);
        }
    }
    text.push('\n');
    for (word, what) in advice {
        let _ = writeln!(text, "{word}: {what}");
    }
    text
}

/// Everything, for programs.
fn document(image: &Explored) -> Value {
    let text = |path: &[u8]| String::from_utf8_lossy(path).into_owned();
    let layers: Vec<Value> = image
        .layers
        .iter()
        .map(|layer| {
            json!({
                "diffId": layer.diff_id.to_string(),
                "digest": layer.blob.to_string(),
                "compressedBytes": layer.blob_size,
                "bytes": layer.size,
                "files": layer.files,
                "listedBy": if layer.from_table { "table" } else { "content" },
                "wastedBytes": layer.wasted,
                "hidesBytes": layer.hides,
                "created": layer.created.map(|at| at.to_string()),
                "command": layer.command,
            })
        })
        .collect();
    let command = |layer: u16| {
        let facts = image.layers.get(usize::from(layer));
        facts.map(|facts| instruction(&facts.command))
    };
    let hidden: Vec<Value> = image
        .hidden()
        .iter()
        .map(|one| {
            json!({
                "path": format!("/{}", text(&one.path)),
                "bytes": one.bytes,
                "files": one.files,
                "cause": one.cause.as_str(),
                "addedBy": one.added,
                "hiddenBy": one.hidden,
                "nature": one.nature.map(Nature::as_str),
                "addedByCommand": command(one.added),
                "hiddenByCommand": command(one.hidden),
                "advice": one.advice(image),
            })
        })
        .collect();
    let figures = figures_of(image);
    json!({
        "schemaVersion": SCHEMA,
        "image": {
            "name": image.about.name,
            "id": image.about.id,
            "platform": image.about.platform.to_string(),
            "bytes": image.size(),
            "wastedBytes": image.stack.wasted(),
            "wastedPercent": rules::percent(image.stack.wasted(), image.size()),
        },
        "layers": layers,
        "hidden": hidden,
        "dive": {
            "efficiency": figures.efficiency,
            "wastedBytes": figures.wasted,
            // Not a number, or infinite, where there is one layer alone: JSON has neither.
            "userWastedPercent": figures.user_wasted.is_finite().then_some(figures.user_wasted),
        },
    })
}
