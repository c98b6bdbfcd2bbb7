//! The image verbs: what each asks of the engine and what it prints.

use std::fs::File;
use std::io::{self, IsTerminal, Write as _};
use std::path::PathBuf;

use super::format::{Format, Row};
use super::inspect::{self, Show};
use super::list::{self, Look};
use super::output::Out;
use super::report::{self, Failure, Outcome};
use super::{Context, args, container, value};
use crate::engine::error::Attempt as _;
use crate::engine::model::image::{Loaded, Removed};
use crate::engine::model::{Cancel, Reference, request};
use crate::engine::{Engine, Error, Kind, Source};

/// `load`.
pub fn load(context: &Context, args: &args::Load) -> Outcome {
    let source = match &args.input {
        Some(path) => {
            // Asked first: a wrong name should not need the engine's roots.
            std::fs::metadata(path).attempt(|| format!("open {path}"))?;
            Source::Path(PathBuf::from(path))
        }
        None if io::stdin().is_terminal() => {
            return Err(Failure::plain(
                "requested load from stdin, but stdin is empty; use -i FILE",
            ));
        }
        None => Source::Stream(Box::new(io::stdin())),
    };
    let name = args.input.as_deref().unwrap_or("standard input");
    let loaded = context
        .engine()?
        .load(source, &|_progress| (), &Cancel::new())
        .attempt(|| format!("load {name}"))?;
    let mut out = Out::new();
    for image in loaded {
        match image {
            Loaded::Tagged(tag) => out.line(format_args!("Loaded image: {tag}"))?,
            Loaded::Untagged(id) => out.line(format_args!("Loaded image ID: {id}"))?,
        }
    }
    out.finish()?;
    Ok(0)
}

/// `import`.
pub fn import(context: &Context, args: &args::Import) -> Outcome {
    let mut operands = args.operands.iter();
    let source = operands.next().map_or("", String::as_str);
    let reference = operands
        .next()
        .map(|text| text.parse::<Reference>())
        .transpose()
        .map_err(Failure::plain)?;
    let platform = args
        .platform
        .as_deref()
        .map(value::platform)
        .transpose()
        .map_err(Failure::plain)?;
    let request = request::Import {
        reference,
        message: args
            .message
            .clone()
            .unwrap_or_else(|| format!("Imported from {source}")),
        changes: args.change.clone(),
        platform,
    };
    let mut tar: Box<dyn io::Read> = if source == "-" {
        Box::new(io::stdin())
    } else if source.starts_with("http://") || source.starts_with("https://") {
        return Err(Failure::plain(format_args!(
            "import from a URL is not available yet: {source}; use a file or -"
        )));
    } else {
        Box::new(File::open(source).attempt(|| format!("open {source}"))?)
    };
    let id = context
        .engine()?
        .import(&mut *tar, &request, &|_progress| (), &Cancel::new())
        .attempt(|| format!("import {source}"))?;
    super::say(id)
}

/// `save`.
pub fn save(context: &Context, args: &args::Save) -> Outcome {
    let Some(path) = &args.output else {
        if io::stdout().is_terminal() {
            return Err(Failure::plain(
                "cowardly refusing to save to a terminal. Use the -o flag or redirect",
            ));
        }
        let mut out = Out::new();
        context
            .engine()?
            .save(&args.operands, &mut out, &Cancel::new())?;
        out.finish()?;
        return Ok(0);
    };
    let target = PathBuf::from(path);
    // Nothing half-made: the archive gets its name when it is whole.
    let temporary = target.with_file_name(format!(
        ".{}.{}.tmp",
        target
            .file_name()
            .map(|name| name.to_string_lossy())
            .unwrap_or_default(),
        std::process::id()
    ));
    let engine = context.engine()?;
    let saved = (|| -> Result<(), Error> {
        let file = File::create(&temporary).attempt(|| format!("create {path}"))?;
        let mut file = io::BufWriter::with_capacity(1 << 20, file);
        engine.save(&args.operands, &mut file, &Cancel::new())?;
        file.flush().attempt(|| format!("write {path}"))?;
        std::fs::rename(&temporary, &target).attempt(|| format!("create {path}"))
    })();
    if saved.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    saved?;
    Ok(0)
}

/// `tag`.
pub fn tag(context: &Context, args: &args::Plain) -> Outcome {
    if let [source, target] = args.operands.as_slice() {
        target.parse::<Reference>().map_err(|error| {
            Failure::plain(format_args!(
                "error parsing reference: {target:?} is not a valid repository/tag: {error}"
            ))
        })?;
        context.engine()?.tag(source, target)?;
    }
    Ok(0)
}

/// `rmi`.
pub fn rmi(context: &Context, args: &args::Rmi) -> Outcome {
    let engine = context.engine()?;
    let mut code = 0;
    let mut out = Out::new();
    for name in &args.operands {
        match engine.remove_image(name, args.force) {
            Ok(removed) => {
                for step in removed {
                    match step {
                        Removed::Untagged(tag) => out.line(format_args!("Untagged: {tag}"))?,
                        Removed::Deleted(id) => out.line(format_args!("Deleted: {id}"))?,
                    }
                }
                out.flush()?;
            }
            Err(error) => {
                report::complain(&report::line(&error));
                // As with `rm -f`: what is not there is as it should be.
                if !(args.force && error.kind() == Kind::NotFound) {
                    code = 1;
                }
            }
        }
    }
    out.finish()?;
    Ok(code)
}

/// `images`.
pub fn images(context: &Context, args: &args::Images) -> Outcome {
    let usual = if args.digests {
        list::IMAGES_DIGESTS
    } else {
        list::IMAGES
    };
    let format = Format::parse(args.format.as_deref(), usual)?;
    let reference = args.operands.first().map(String::as_str);
    let shown = list::filter_images(&context.engine()?.images()?, &args.filter, reference)
        .map_err(Failure::plain)?;
    let look = Look::new(!args.no_trunc);
    let mut rows: Vec<Row> = shown
        .iter()
        .flat_map(|image| list::image(image, args.digests, &look))
        .collect();
    if args.quiet {
        // An image with three names is one image.
        rows.dedup_by(|a, b| a.fields.get("ID") == b.fields.get("ID"));
    }
    container::print_rows(
        &format,
        args.format.is_some(),
        args.quiet,
        list::IMAGES_HEADINGS,
        &rows,
    )
}

/// `history`.
pub fn history(context: &Context, args: &args::History) -> Outcome {
    let format = Format::parse(args.format.as_deref(), list::HISTORY)?;
    let name = args.operands.first().map_or("", String::as_str);
    let image = context.engine()?.image(name)?;
    let rows = list::history(&image, args.human, &Look::new(!args.no_trunc));
    container::print_rows(
        &format,
        args.format.is_some(),
        args.quiet,
        list::HISTORY_HEADINGS,
        &rows,
    )
}

/// `image inspect`.
pub fn inspect(context: &Context, args: &args::Inspect) -> Outcome {
    let show = Show::parse(args.format.as_deref())?;
    let engine = context.engine()?;
    container::inspect_each(&show, &args.operands, |name| inspect_one(&engine, name))
}

/// An image by reference or id, in Docker's shape.
pub fn inspect_one(engine: &Engine, name: &str) -> Result<serde_json::Value, Error> {
    Ok(inspect::image(&engine.image(name)?, engine.roots()))
}
