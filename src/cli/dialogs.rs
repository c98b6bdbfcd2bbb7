//! Command lines that the workstation's dialogs make: read by the verbs' own parsers, so that a dialog can ask for what
//! the command line can, in the same words, and is refused what that is refused.

use clap::FromArgMatches;

use super::layers::source::target_for;
use super::report::Failure;
use super::{args, cp, run, update, verb};
use crate::app::command::{Command, Commands};
use crate::engine::credentials::Store;
use crate::engine::error::Result;
use crate::engine::model::layers::Target;
use crate::engine::model::{Cancel, Platform};
use crate::engine::{Engine, Error, Kind};

/// For the workstation.
pub(super) const COMMANDS: Commands = Commands { read, copy, target };

fn target(credentials: &Store, name: &str, platform: Option<&Platform>) -> Result<Target> {
    target_for(credentials, name, platform).map_err(error)
}

fn read(words: &[String]) -> Result<Command> {
    let command = match words.first().map(String::as_str) {
        Some("run") => parsed::<args::Run>(words).and_then(|args| {
            let command = run::background(&args.create, true)?;
            only_here(&args.create, Some(&args))?;
            Ok(command)
        }),
        Some("create") => parsed::<args::Create>(words).and_then(|args| {
            only_here(&args, None)?;
            run::background(&args, false)
        }),
        Some("update") => parsed::<args::Update>(words)
            .and_then(|args| update::request(&args).map_err(Failure::plain))
            .map(|request| Command::Update(Box::new(request))),
        _ => Err(Failure::plain("no such dialog")),
    };
    command.map_err(error)
}

fn copy(engine: &Engine, words: &[String], cancel: &Cancel) -> Result<String> {
    parsed::<args::Cp>(words)
        .and_then(|args| cp::quietly(engine, &args, cancel))
        .map_err(error)
}

/// The arguments of the verb that is the first word.
fn parsed<T: FromArgMatches>(words: &[String]) -> std::result::Result<T, Failure> {
    let typed: Vec<&str> = words.iter().map(String::as_str).collect();
    let (verb, used) = verb::find(&typed).ok_or_else(|| Failure::plain("no such verb"))?;
    let (path, arguments) = words.split_at(used);
    let path = format!("wharf {}", path.join(" "));
    let matches = super::matches(&path, verb, arguments)?;
    let mut matches = matches.ok_or_else(|| Failure::plain("there is no help in a dialog"))?;
    Ok(super::typed(&mut matches))
}

/// What makes no sense where there is nobody at the other end, or is written where nobody looks.
fn only_here(create: &args::Create, run: Option<&args::Run>) -> std::result::Result<(), Failure> {
    let wrong = [
        (create.cidfile.is_some(), "--cidfile"),
        (!create.attach.is_empty(), "--attach"),
        (create.pull.is_some(), "--pull"),
        (create.quiet, "--quiet"),
        (
            run.is_some_and(|run| run.detach_keys.is_some()),
            "--detach-keys",
        ),
        (run.is_some_and(|run| !run.sig_proxy), "--sig-proxy"),
    ];
    match wrong.iter().find(|(given, _)| *given) {
        Some((_, flag)) => Err(Failure::plain(format_args!(
            "{flag} is for the command line: there is no such thing here"
        ))),
        None => Ok(()),
    }
}

/// The first line of what the command line would say, without its name.
fn error(failure: Failure) -> Error {
    match failure {
        Failure::Usage { text, .. } => {
            let line = text.lines().next().unwrap_or_default();
            Error::invalid(line.strip_prefix("wharf: ").unwrap_or(line))
        }
        Failure::Engine { error, .. } => *error,
        Failure::Said(_) | Failure::Closed => {
            Error::new(Kind::Internal, "the command line gave no reason")
        }
    }
}
