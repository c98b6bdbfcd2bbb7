//! The container verbs: what each asks of the engine and what it prints. Starting and attaching is `run.rs`.

use super::args;
use super::output::Out;
use super::report::{self, Failure, Outcome};
use super::{Context, value};
use crate::engine::model::{Cancel, ContainerId, request};
use crate::engine::{Engine, Error};

/// Runs the verb for each operand; prints it where it worked, complains and goes on where not.
fn each(
    context: &Context,
    names: &[String],
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
                std::io::Write::flush(&mut out)?;
            }
            Err(error) => {
                report::complain(&report::line(&error));
                code = 1;
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

/// `rm`.
pub fn rm(context: &Context, args: &args::Rm) -> Outcome {
    if args.link {
        return Err(Failure::plain("--link is not supported yet"));
    }
    let request = request::Remove {
        force: args.force,
        volumes: args.volumes,
    };
    each(context, &args.operands, |engine, id| {
        engine.remove(id, request)
    })
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
                std::io::Write::flush(&mut out)?;
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

fn later(what: &str) -> Outcome {
    Err(Error::unsupported(format!("{what} is not available yet")).into())
}

macro_rules! later {
    ($($name:ident: $args:ty),*) => {$(
        pub fn $name(_context: &Context, _args: &$args) -> Outcome { later(stringify!($name)) }
    )*};
}
later!(run: args::Run, create: args::Create, exec: args::Exec, start: args::Start, attach: args::Attach, ps: args::Ps, logs: args::Logs, inspect: args::Inspect, stats: args::Stats);
