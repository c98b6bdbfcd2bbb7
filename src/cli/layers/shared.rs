//! `layers shared`: which images of the store share which layers, and what removing one of them would give back.

use std::fmt::Write as _;
use std::io::Write as _;

use serde_json::{Value, json};

use super::{SCHEMA, SHOWN, instruction};
use crate::cli::output::{Out, ellipsis, tabulate};
use crate::cli::report::Outcome;
use crate::cli::{Context, args};
use crate::engine::model::sharing::{ImageShare, LayerShare, Sharing};
use crate::engine::model::units;

/// `layers shared`.
pub fn shared(context: &Context, args: &args::LayersShared) -> Outcome {
    let sharing = context.engine()?.sharing()?;
    let mut out = Out::new();
    if args.json {
        out.line(format!("{:#}", document(&sharing)))?;
    } else {
        out.write_all(text(&sharing, args.no_trunc).as_bytes())?;
    }
    out.finish()?;
    Ok(0)
}

fn text(sharing: &Sharing, all: bool) -> String {
    let size = |bytes: u64| units::human_size_short(bytes);
    let mut lines = vec!["IMAGE\tSIZE\tFREES\tCONTAINERS".to_owned()];
    lines.extend(sharing.images.iter().map(|image| {
        let (size, frees) = (size(image.size), size(image.frees));
        format!("{}\t{size}\t{frees}\t{}", image.name(), image.containers)
    }));
    let mut text = tabulate(&lines);
    let shown = if all {
        sharing.layers.len()
    } else {
        SHOWN.min(sharing.layers.len())
    };
    let mut lines = vec!["LAYER\tSIZE\tIMAGES\tSHARED BY\tCOMMAND".to_owned()];
    lines.extend(sharing.layers.iter().take(shown).map(|layer| {
        let (names, command) = (sharing.names(layer).join(", "), instruction(&layer.command));
        let (names, command) = if all {
            (names, command)
        } else {
            (ellipsis(&names, 40), ellipsis(&command, 50))
        };
        format!(
            "{}\t{}\t{}\t{names}\t{}",
            layer.diff_id.short(),
            size(layer.size),
            layer.images.len(),
            command.replace(['\t', '\n'], "?"),
        )
    }));
    text.push('\n');
    text += &tabulate(&lines);
    if shown < sharing.layers.len() {
        let more = sharing.layers.len() - shown;
        let _ = writeln!(text, "... and {more} more (--no-trunc)");
    }
    text + "\n" + &sharing.told() + "\n"
}

fn document(sharing: &Sharing) -> Value {
    let image = |image: &ImageShare| {
        json!({
            "id": image.id.to_string(),
            "tags": image.tags,
            "bytes": image.size,
            "freesBytes": image.frees,
            "containers": image.containers,
        })
    };
    let layer = |layer: &LayerShare| {
        let images = layer.images.iter();
        let ids = images.filter_map(|at| Some(sharing.images.get(*at)?.id.to_string()));
        json!({
            "diffId": layer.diff_id.to_string(),
            "chainId": layer.chain_id.to_string(),
            "bytes": layer.size,
            "command": layer.command,
            "images": ids.collect::<Vec<_>>(),
        })
    };
    let (bytes, unshared) = sharing.bytes();
    json!({
        "schemaVersion": SCHEMA,
        "bytes": bytes,
        "unsharedBytes": unshared,
        "images": sharing.images.iter().map(image).collect::<Vec<_>>(),
        "layers": sharing.layers.iter().map(layer).collect::<Vec<_>>(),
    })
}
