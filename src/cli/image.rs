//! The image verbs: what each asks of the engine and what it prints.

use std::fs::File;
use std::io::{self, IsTerminal, Write as _};
use std::path::{Path, PathBuf};

use serde_json::json;

use super::format::{Format, Row};
use super::inspect::{self, Show};
use super::interrupt::Interrupt;
use super::list::{self, Look};
use super::output::{Out, tabulate};
use super::progress::{Mode, Progress, Target};
use super::report::{self, Failure, Outcome};
use super::{Context, args, client_config, container, value};
use crate::engine::error::Attempt as _;
use crate::engine::model::image::{Image, Loaded, Removed};
use crate::engine::model::{Cancel, Platform, Reference, request};
use crate::engine::{Engine, Error, Kind, NewFile, Source};

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
    let platform = platform(args.platform.as_deref())?;
    let mode = Mode::choose(args.progress.as_deref(), args.quiet, Target::Stdout)?;
    // As Docker: without a terminal only what was loaded is told.
    let bars = if mode == Mode::Plain && args.progress.is_none() {
        Mode::Quiet
    } else {
        mode
    };
    let engine = context.engine()?;
    let interrupt = Interrupt::watch()?;
    let progress = Progress::new(bars, Target::Stdout);
    let loaded = engine
        .load_for(
            source,
            platform.as_ref(),
            &progress.report(),
            interrupt.cancel(),
        )
        .attempt(|| format!("load {name}"));
    progress.finish()?;
    let loaded = loaded
        .map_err(|error| interrupt.explain(error.into(), &format!("load {name}: cancelled")))?;
    let mut out = Out::new();
    for image in loaded {
        let line = match image {
            Loaded::Tagged(tag) => format!("Loaded image: {tag}"),
            Loaded::Untagged(id) => format!("Loaded image ID: {id}"),
        };
        match mode {
            Mode::Json => out.line(json!({ "stream": line + "\n" }))?,
            Mode::Terminal | Mode::Plain | Mode::Quiet => out.line(line)?,
        }
    }
    out.finish()?;
    Ok(0)
}

pub(super) fn platform(text: Option<&str>) -> Result<Option<Platform>, Failure> {
    value::wanted_platform(text).map_err(Failure::plain)
}

/// An image has one platform: another one is not there.
pub(super) fn check_platform(
    image: &Image,
    name: &str,
    wanted: Option<&Platform>,
) -> Result<(), Error> {
    let found = &image.summary.platform;
    match wanted {
        Some(wanted) if wanted.rank(found).is_none() => Err(Error::not_found(format!(
            "image with reference {name} was found but its platform ({found}) does not match the specified platform \
             ({wanted})"
        ))),
        _ => Ok(()),
    }
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
    let platform = platform(args.platform.as_deref())?;
    let request = request::Import {
        reference,
        message: args
            .message
            .clone()
            .unwrap_or_else(|| format!("Imported from {source}")),
        changes: args.change.clone(),
        platform,
    };
    let is_url = source.starts_with("http://") || source.starts_with("https://");
    let mut tar: Box<dyn io::Read> = match source {
        "-" => Box::new(io::stdin()),
        _ if is_url => Box::new(context.engine()?.download(source)?),
        path => Box::new(File::open(path).attempt(|| format!("open {path}"))?),
    };
    let engine = context.engine()?;
    let interrupt = Interrupt::watch()?;
    let id = engine
        .import(&mut *tar, &request, &|_progress| (), interrupt.cancel())
        .attempt(|| format!("import {source}"))
        .map_err(|error| interrupt.explain(error.into(), &format!("import {source}: cancelled")))?;
    super::say(id)
}

/// `save`.
pub fn save(context: &Context, args: &args::Save) -> Outcome {
    let platform = platform(args.platform.as_deref())?;
    let is_terminal = args.output.is_none() && io::stdout().is_terminal();
    if let (Some(wanted), false) = (&platform, is_terminal) {
        let engine = context.engine()?;
        for name in &args.operands {
            match engine.image(name) {
                Ok(image) => check_platform(&image, name, Some(wanted))?,
                // A repository without a tag is all its tags; what is not there at all is told of below.
                Err(error) if error.kind() == Kind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    if is_terminal {
        return Err(Failure::plain(
            "cowardly refusing to save to a terminal. Use the -o flag or redirect",
        ));
    }
    let mode = Mode::choose(args.progress.as_deref(), false, Target::Stderr)?;
    // As Docker without a terminal, and in a pipeline, whose other end may have bars of its own.
    let silent = mode == Mode::Plain || args.output.is_none();
    let mode = if silent && args.progress.is_none() {
        Mode::Quiet
    } else {
        mode
    };
    let interrupt = Interrupt::watch()?;
    let progress = Progress::new(mode, Target::Stderr);
    let saved = save_to(context, args, &progress, interrupt.cancel())
        .map_err(|failure| interrupt.explain(failure, "save: cancelled; nothing was written"));
    progress.finish()?;
    saved
}

fn save_to(context: &Context, args: &args::Save, progress: &Progress, cancel: &Cancel) -> Outcome {
    let engine = context.engine()?;
    let report = progress.report();
    let Some(path) = &args.output else {
        let mut out = Out::new();
        engine.save(&args.operands, &mut out, &report, cancel)?;
        out.finish()?;
        return Ok(0);
    };
    // Nothing half-made: the archive gets its name when it is whole.
    let mut file = NewFile::create(Path::new(path))?;
    file.write_long(|out| engine.save(&args.operands, out, &report, cancel))?;
    file.finish(true)?;
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
    let platforms: Vec<Platform> = args
        .platform
        .iter()
        .flat_map(|list| list.split(','))
        .map(value::platform)
        .collect::<Result<_, _>>()
        .map_err(Failure::plain)?;
    let remove = |name: &str| {
        for wanted in &platforms {
            check_platform(&engine.image(name)?, name, Some(wanted))?;
        }
        engine.remove_image(name, args.force)
    };
    for name in &args.operands {
        match remove(name) {
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
    if args.tree {
        return tree(context, args);
    }
    let usual = if args.digests {
        list::IMAGES_DIGESTS
    } else {
        list::IMAGES
    };
    let config = context.client_config();
    let given = client_config::format_or(args.format.as_deref(), &config.images_format, args.quiet);
    let format = Format::parse(given, usual)?;
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
        given.is_some(),
        args.quiet,
        list::IMAGES_HEADINGS,
        rows,
    )
}

/// `images --tree`: each image with all its names, and below it the platform that it is for.
fn tree(context: &Context, args: &args::Images) -> Outcome {
    let not_with = [
        (args.quiet, "quiet"),
        (args.no_trunc, "no-trunc"),
        (args.digests, "show-digest"),
        (args.format.is_some(), "format"),
    ];
    if let Some((_, name)) = not_with.iter().find(|(given, _)| *given) {
        return Err(Failure::plain(format_args!(
            "--{name} is not yet supported with --tree"
        )));
    }
    let engine = context.engine()?;
    let reference = args.operands.first().map(String::as_str);
    let shown =
        list::filter_images(&engine.images()?, &args.filter, reference).map_err(Failure::plain)?;
    let used: Vec<_> = engine
        .containers()?
        .iter()
        .map(|summary| summary.container.image.clone())
        .collect();
    let mut lines = vec!["IMAGE\tID\tDISK USAGE\tCONTENT SIZE\tUSED".to_owned()];
    for summary in &shown {
        let content = match engine.image(summary.id.as_str()) {
            Ok(image) => image.layers.iter().map(|layer| layer.blob_size).sum(),
            // It has just been removed.
            Err(error) if error.kind() == Kind::NotFound => continue,
            Err(error) => return Err(error.into()),
        };
        lines.extend(list::tree(summary, content, used.contains(&summary.id)));
    }
    let mut out = Out::new();
    out.write_all(tabulate(&lines).as_bytes())?;
    out.finish()?;
    Ok(0)
}

/// `history`.
pub fn history(context: &Context, args: &args::History) -> Outcome {
    let format = Format::parse(args.format.as_deref(), list::HISTORY)?;
    let name = args.operands.first().map_or("", String::as_str);
    let wanted = platform(args.platform.as_deref())?;
    let image = context.engine()?.image(name)?;
    check_platform(&image, name, wanted.as_ref())?;
    let rows = list::history(&image, args.human, &Look::new(!args.no_trunc));
    let headings = if args.human {
        list::HISTORY_HEADINGS
    } else {
        list::HISTORY_HEADINGS_EXACT
    };
    container::print_rows(&format, args.format.is_some(), args.quiet, headings, rows)
}

/// `image inspect`.
pub fn inspect(context: &Context, args: &args::InspectImage) -> Outcome {
    let show = Show::parse(args.format.as_deref())?;
    let wanted = platform(args.platform.as_deref())?;
    let engine = context.engine()?;
    container::inspect_each(&show, &args.operands, |name| {
        let image = engine.image(name)?;
        check_platform(&image, name, wanted.as_ref())?;
        shape(&engine, &image)
    })
}

/// An image by reference or id, in Docker's shape.
pub fn inspect_one(engine: &Engine, name: &str) -> Result<serde_json::Value, Error> {
    shape(engine, &engine.image(name)?)
}

/// An image in Docker's shape, with what its manifest is.
fn shape(engine: &Engine, image: &Image) -> Result<serde_json::Value, Error> {
    let (media_type, size) = engine.describe_manifest(&image.manifest)?;
    let mut value = inspect::image(image, engine.roots());
    if let Some(object) = value.as_object_mut() {
        let descriptor = json!({
            "mediaType": media_type, "digest": image.manifest.as_str(), "size": size,
        });
        object.insert("Descriptor".to_owned(), descriptor);
    }
    Ok(value)
}
