//! `layers squash`: an image whose layers are one, and what that saves.

use std::fmt::Write as _;
use std::io::Write as _;

use serde_json::{Value, json};

use super::{SCHEMA, Source};
use crate::cli::interrupt::Interrupt;
use crate::cli::output::Out;
use crate::cli::report::{Failure, Outcome};
use crate::cli::{Context, args};
use crate::engine::error::Attempt as _;
use crate::engine::model::image::Image;
use crate::engine::model::layers::diff::Weight;
use crate::engine::model::layers::rules::percent;
use crate::engine::model::layers::squash::Squashed;
use crate::engine::model::{Reference, request, units};

/// So many digits at least tell a layer by its digest: fewer are a number.
const DIGITS: usize = 6;

/// `layers squash`.
pub fn squash(context: &Context, args: &args::LayersSquash) -> Outcome {
    let name = args.operands.first().map_or("", String::as_str);
    let tag = args
        .tag
        .as_ref()
        .ok_or_else(|| Failure::plain("the new image needs a name: -t NAME[:TAG]"))?;
    let reference: Reference = tag
        .parse()
        .map_err(|error| Failure::plain(format!("{tag}: {error}")))?;
    if matches!(Source::parse(name), Source::Archive { .. }) {
        return Err(Failure::plain(format!(
            "{name}: an archive is not in the store; 'wharf load' brings it there"
        )));
    }
    let engine = context.engine()?;
    let image = engine.image(name)?;
    let from = layer(&image, &args.from).ok_or_else(|| {
        let count = image.layers.len();
        Failure::plain(format!(
            "there is no layer {}: {name} has {count}",
            args.from
        ))
    })?;
    let request = request::Squash {
        reference: reference.with_default_tag(),
        from,
    };
    let interrupt = Interrupt::watch()?;
    let made = engine
        .squash_layers(name, &request, &|_| (), interrupt.cancel())
        .attempt(|| format!("squash {name}"))
        .map_err(|error| interrupt.explain(error.into(), &format!("squash {name}: cancelled")))?;
    let mut out = Out::new();
    let new = request.reference.familiar();
    if args.quiet {
        out.line(&made.id)?;
    } else if args.json {
        out.line(format!("{:#}", document(&new, from, &made)))?;
    } else {
        out.write_all(text(name, &new, &made).as_bytes())?;
    }
    out.finish()?;
    Ok(0)
}

/// A layer by its number, or by the beginning of one of its digests.
fn layer(image: &Image, text: &str) -> Option<u16> {
    if text.len() < DIGITS
        && let Ok(number) = text.parse::<u16>()
    {
        return (usize::from(number) < image.layers.len()).then_some(number);
    }
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    if hex.len() < DIGITS {
        return None;
    }
    let mut found = image.layers.iter().enumerate().filter(|(_, layer)| {
        let digests = [&layer.diff_id, &layer.blob, &layer.chain_id];
        digests.iter().any(|digest| digest.hex().starts_with(hex))
    });
    let (number, _) = found.next()?;
    let is_only = found.next().is_none();
    is_only.then(|| u16::try_from(number).ok()).flatten()
}

fn text(name: &str, new: &str, made: &Squashed) -> String {
    let side = |weight: &Weight| {
        format!(
            "{} in {}, {} hidden",
            units::human_size_short(weight.bytes),
            units::counted(weight.layers, "layer"),
            units::human_size_short(weight.wasted)
        )
    };
    let (before, after) = (&made.before, &made.after);
    let mut text = format!("{new} is {}\n", made.id);
    let _ = writeln!(text, "{name}: {}", side(before));
    let _ = writeln!(text, "{new}: {}", side(after));
    let saved = before.bytes.saturating_sub(after.bytes);
    let _ = writeln!(
        text,
        "{} ({:.1} %) saved; the file systems were compared and are the same: {} files",
        units::human_size_short(saved),
        percent(saved, before.bytes),
        after.files
    );
    text
}

fn document(new: &str, from: u16, made: &Squashed) -> Value {
    let side = |weight: &Weight| {
        json!({
            "layers": weight.layers,
            "bytes": weight.bytes,
            "wastedBytes": weight.wasted,
            "files": weight.files,
        })
    };
    json!({
        "schemaVersion": SCHEMA,
        "name": new,
        "id": made.id.to_string(),
        "from": from,
        "before": side(&made.before),
        "after": side(&made.after),
        "savedBytes": made.before.bytes.saturating_sub(made.after.bytes),
        "same": true,
    })
}
