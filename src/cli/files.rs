//! Verbs about a container's files: `diff`, `export`, `commit`.

use std::io::{self, IsTerminal};
use std::path::Path;

use super::interrupt::Interrupt;
use super::output::Out;
use super::report::{Failure, Outcome};
use super::{Context, args};
use crate::engine::model::{Reference, request};
use crate::engine::{Attempt, NewFile};

/// `diff`.
pub fn diff(context: &Context, args: &args::Plain) -> Outcome {
    let name = args.operands.first().map_or("", String::as_str);
    if name.is_empty() {
        return Err(Failure::plain("Container name cannot be empty"));
    }
    let engine = context.engine()?;
    let mut out = Out::new();
    for change in engine.changes(&engine.resolve(name)?)? {
        out.line(format_args!("{} {}", change.kind.letter(), change.path))?;
    }
    out.finish()?;
    Ok(0)
}

/// `export`.
pub fn export(context: &Context, args: &args::Export) -> Outcome {
    let name = args.operands.first().map_or("", String::as_str);
    if args.output.is_none() && io::stdout().is_terminal() {
        return Err(Failure::plain(
            "cowardly refusing to save to a terminal. Use the -o flag or redirect",
        ));
    }
    let engine = context.engine()?;
    let id = engine.resolve(name)?;
    let interrupt = Interrupt::watch()?;
    let cancelled = |failure| interrupt.explain(failure, "export: cancelled; nothing was written");
    let Some(path) = &args.output else {
        // The lock of standard output belongs to one thread; the archive may be written by another.
        let mut out = io::BufWriter::with_capacity(256 << 10, io::stdout());
        engine
            .export(&id, &mut out, interrupt.cancel())
            .map_err(|error| cancelled(error.into()))?;
        return Ok(0);
    };
    // Nothing half-made: the archive gets its name when it is whole.
    let file = NewFile::create(Path::new(path))?;
    let mut file = io::BufWriter::with_capacity(1 << 20, file);
    engine
        .export(&id, &mut file, interrupt.cancel())
        .map_err(|error| cancelled(error.into()))?;
    let file = file
        .into_inner()
        .map_err(io::IntoInnerError::into_error)
        .attempt(|| format!("write {path}"))?;
    file.finish(true)?;
    Ok(0)
}

/// `commit`.
pub fn commit(context: &Context, args: &args::Commit) -> Outcome {
    let mut operands = args.operands.iter();
    let name = operands.next().map_or("", String::as_str);
    let reference = operands
        .next()
        .filter(|text| !text.is_empty())
        .map(|text| text.parse::<Reference>())
        .transpose()
        .map_err(Failure::plain)?;
    let request = request::Commit {
        reference,
        author: args.author.clone().unwrap_or_default(),
        message: args.message.clone().unwrap_or_default(),
        changes: args.change.clone(),
        pause: args.pause && !args.no_pause,
    };
    let engine = context.engine()?;
    let id = engine.resolve(name)?;
    let interrupt = Interrupt::watch()?;
    let image = engine
        .commit(&id, &request, interrupt.cancel())
        .map_err(|error| interrupt.explain(error.into(), "commit: cancelled; no image was made"))?;
    super::say(image)
}
