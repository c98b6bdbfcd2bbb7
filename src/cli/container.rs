//! The container verbs: what each asks of the engine and what it prints. Starting and attaching is `run.rs`.

use std::io::{self, Write};

use serde_json::Value;

use super::format::{Format, Headings, Row};
use super::inspect::{self, Show};
use super::list::{self, Look};
use super::output::Out;
use super::report::{self, Failure, Outcome};
use super::{Context, args, client_config, log, value};
use crate::engine::logs::Stream;
use crate::engine::model::{Cancel, ContainerId, Status, Timestamp, request};
use crate::engine::{Engine, Error, Kind};

/// Runs the verb for each operand; prints it where it worked, complains and goes on where not.
pub fn each(
    context: &Context,
    names: &[String],
    verb: impl Fn(&Engine, &ContainerId) -> Result<(), Error>,
) -> Outcome {
    each_but(context, names, false, verb)
}

/// The same; what is not there is told about but no failure if `forgives` (`rm -f`).
fn each_but(
    context: &Context,
    names: &[String],
    forgives: bool,
    verb: impl Fn(&Engine, &ContainerId) -> Result<(), Error>,
) -> Outcome {
    let engine = context.engine()?;
    let mut code = 0;
    let mut out = Out::new();
    for name in names {
        match engine.resolve(name).and_then(|id| verb(&engine, &id)) {
            Ok(()) => {
                out.line(name)?;
                // A slow verb (`stop`) shows each as it is done.
                out.flush()?;
            }
            Err(error) => {
                report::complain(&report::line(&error));
                if !(forgives && error.kind() == Kind::NotFound) {
                    code = 1;
                }
            }
        }
    }
    out.finish()?;
    Ok(code)
}

/// `stop`.
pub fn stop(context: &Context, args: &args::Stop) -> Outcome {
    let request = stop_request(args)?;
    each(context, &args.operands, |engine, id| {
        engine.stop(id, &request)
    })
}

/// `restart`.
pub fn restart(context: &Context, args: &args::Stop) -> Outcome {
    let request = stop_request(args)?;
    each(context, &args.operands, |engine, id| {
        engine.restart(id, &request)
    })
}

fn stop_request(args: &args::Stop) -> Result<request::Stop, Failure> {
    if let Some(signal) = &args.signal {
        value::signal_number(signal).map_err(Failure::plain)?;
    }
    Ok(request::Stop {
        signal: args.signal.clone(),
        timeout: args.timeout,
    })
}

/// `kill`.
pub fn kill(context: &Context, args: &args::Kill) -> Outcome {
    let signal = value::signal_number(&args.signal).map_err(Failure::plain)?;
    each(context, &args.operands, |engine, id| {
        engine.kill(id, signal)
    })
}

/// `pause`.
pub fn pause(context: &Context, args: &args::Plain) -> Outcome {
    each(context, &args.operands, Engine::pause)
}

/// `unpause`.
pub fn unpause(context: &Context, args: &args::Plain) -> Outcome {
    each(context, &args.operands, Engine::unpause)
}

/// `rename`.
pub fn rename(context: &Context, args: &args::Plain) -> Outcome {
    let [from, to] = args.operands.as_slice() else {
        return Err(Failure::plain("neither old nor new names may be empty"));
    };
    if from.trim().is_empty() || to.trim().is_empty() {
        return Err(Failure::plain(
            "Error: Neither old nor new names may be empty",
        ));
    }
    let engine = context.engine()?;
    engine.rename(&engine.resolve(from)?, to)?;
    Ok(0)
}

/// `rm`.
pub fn rm(context: &Context, args: &args::Rm) -> Outcome {
    if args.link {
        return unlink(context, &args.operands);
    }
    let request = request::Remove {
        force: args.force,
        volumes: args.volumes,
    };
    each_but(context, &args.operands, args.force, |engine, id| {
        engine.remove(id, request)
    })
}

/// `rm --link`.
fn unlink(context: &Context, links: &[String]) -> Outcome {
    let engine = context.engine()?;
    let mut code = 0;
    let mut out = Out::new();
    for link in links {
        match engine.unlink(link) {
            Ok(()) => out.line(link)?,
            Err(error) => {
                report::complain(&report::line(&error));
                code = 1;
            }
        }
    }
    out.finish()?;
    Ok(code)
}

/// `wait`: prints the exit codes.
pub fn wait(context: &Context, args: &args::Plain) -> Outcome {
    let engine = context.engine()?;
    let mut code = 0;
    let mut out = Out::new();
    for name in &args.operands {
        let waited = engine
            .resolve(name)
            .and_then(|id| engine.wait(&id, &Cancel::new()));
        match waited {
            Ok(Some(exit)) => {
                out.line(exit.code)?;
                out.flush()?;
            }
            Ok(None) => {}
            Err(error) => {
                report::complain(&report::line(&error));
                code = 1;
            }
        }
    }
    out.finish()?;
    Ok(code)
}

/// `ps`.
pub fn ps(context: &Context, args: &args::Ps) -> Outcome {
    let table = if args.size { list::PS_SIZE } else { list::PS };
    let config = context.client_config();
    let given = client_config::format_or(args.format.as_deref(), &config.ps_format, args.quiet);
    let format = Format::parse(given, table)?;
    // As Docker: a template that shows sizes asks for them.
    let is_shown = |name: &str| {
        if args.quiet {
            name == "ID"
        } else {
            format.asks(name)
        }
    };
    let engine = context.engine()?;
    let asks_for_state = args
        .filter
        .iter()
        .any(|filter| matches!(filter.key.as_str(), "status" | "exited"));
    let last = match (args.latest, args.last) {
        (true, _) => Some(1),
        (false, last) => last
            .and_then(|n| usize::try_from(n).ok())
            .filter(|n| *n > 0),
    };
    let images = if args.filter.iter().any(|filter| filter.key == "ancestor") {
        engine.images()?
    } else {
        Vec::new()
    };
    let mut shown = list::filter_containers(&engine.containers()?, &args.filter, &images)
        .map_err(Failure::plain)?;
    if !args.all && !asks_for_state && last.is_none() {
        shown.retain(|c| {
            matches!(
                c.state.status,
                Status::Running | Status::Paused | Status::Restarting
            )
        });
    }
    shown.truncate(last.unwrap_or(usize::MAX));
    let look = Look::new(!args.no_trunc);
    let meanings = list::meanings(&engine, &shown);
    let rows = shown
        .iter()
        .map(|c| {
            let row = list::container(c, meanings.as_ref(), &look, &is_shown);
            if is_shown("Size") {
                let size = list::size(engine.sizes(&c.container)?);
                return Ok(row.with("Size", size));
            }
            Ok(row)
        })
        .collect::<Result<Vec<Row>, Error>>()?;
    print_rows(
        &format,
        given.is_some(),
        args.quiet,
        list::PS_HEADINGS,
        rows,
    )
}

/// Prints rows, or only their ids.
pub fn print_rows(
    format: &Format,
    format_given: bool,
    quiet: bool,
    headings: Headings,
    rows: Vec<Row>,
) -> Outcome {
    let mut out = Out::new();
    if quiet {
        if format_given {
            super::warn("Ignoring custom format, because both --format and --quiet are set.");
        }
        for row in rows {
            out.line(
                row.fields
                    .get("ID")
                    .and_then(|id| id.as_str())
                    .unwrap_or_default(),
            )?;
        }
    } else {
        format.print(&mut out, headings, rows)?;
    }
    out.finish()?;
    Ok(0)
}

/// `logs`.
pub fn logs(context: &Context, args: &args::Logs) -> Outcome {
    let now = Timestamp::now();
    let moment = |text: Option<&String>| {
        text.map(|text| value::moment(text, now))
            .transpose()
            .map_err(Failure::plain)
    };
    let request = request::Logs {
        follow: args.follow,
        // Docker takes anything that is not a number for "all".
        tail: args.tail.as_deref().and_then(|text| text.parse().ok()),
        since: moment(args.since.as_ref())?,
        until: moment(args.until.as_ref())?,
        details: args.details,
        ..request::Logs::default()
    };
    let engine = context.engine()?;
    let name = args.operands.first().map_or("", String::as_str);
    let id = engine.resolve(name)?;
    let mut reader = engine.logs(&id, &request)?;
    let mut out = Out::new();
    let mut errors = io::BufWriter::new(io::stderr());
    let cancel = Cancel::new();
    while let Some(entry) = reader.next(&cancel)? {
        let to: &mut dyn Write = match entry.stream {
            Stream::Stdout => &mut out,
            Stream::Stderr => &mut errors,
        };
        if args.timestamps {
            write!(to, "{} ", entry.time.strftime("%Y-%m-%dT%H:%M:%S.%9fZ"))?;
        }
        if args.details {
            write!(to, "{} ", log::details(&entry.attributes))?;
        }
        to.write_all(&entry.text)?;
        // Seen as it comes, and in the order of both streams.
        if args.follow || entry.stream == Stream::Stderr {
            out.flush()?;
            errors.flush()?;
        }
    }
    out.finish()?;
    Ok(0)
}

/// `container inspect`.
pub fn inspect(context: &Context, args: &args::Inspect) -> Outcome {
    let show = Show::parse(args.format.as_deref())?;
    let engine = context.engine()?;
    inspect_each(&show, &args.operands, |name| {
        inspect_sized(&engine, name, args.size)
    })
}

/// A container by name or id, in Docker's shape.
pub fn inspect_one(engine: &Engine, name: &str) -> Result<Value, Error> {
    let id = engine.resolve(name)?;
    Ok(inspect::container(&engine.container(&id)?, engine))
}

/// The same, with the bytes of its files if asked for.
pub fn inspect_sized(engine: &Engine, name: &str, sized: bool) -> Result<Value, Error> {
    let mut value = inspect_one(engine, name)?;
    if let (true, Some(object)) = (sized, value.as_object_mut()) {
        let summary = engine.container(&engine.resolve(name)?)?;
        let sizes = engine.sizes(&summary.container)?;
        object.insert("SizeRw".to_owned(), sizes.own.into());
        object.insert("SizeRootFs".to_owned(), sizes.all.into());
    }
    Ok(value)
}

/// Prints what was found, then complains about what was not.
pub fn inspect_each(
    show: &Show,
    names: &[String],
    look_up: impl Fn(&str) -> Result<Value, Error>,
) -> Outcome {
    let mut found = Vec::new();
    let mut complaints = Vec::new();
    for name in names {
        match look_up(name) {
            Ok(value) => found.push(value),
            Err(error) => complaints.push(report::line(&error)),
        }
    }
    let mut out = Out::new();
    let printed = show.print(&mut out, &found);
    out.finish()?;
    printed?;
    for complaint in &complaints {
        report::complain(complaint);
    }
    Ok(u8::from(!complaints.is_empty()))
}
