//! The command line: Docker's verbs, flags, output and exit codes over the engine's façade.
//!
//! `mod.rs` reads what stands before the verb and finds the verb; `verb.rs` is the list of verbs; one file per family
//! does the work. What is wrong is said once, in `report.rs`.

pub mod args;
pub mod attach;
pub mod boot;
mod client_config;
mod complete;
pub mod container;
pub mod cp;
pub mod demo;
mod dialogs;
pub mod disk;
pub mod dive;
pub mod files;
pub mod format;
pub mod health;
pub mod image;
pub mod inspect;
pub mod inspect_rights;
pub mod interrupt;
pub mod keys;
pub mod layers;
pub mod list;
pub mod log;
pub mod login;
mod man;
pub mod manifest;
pub mod missing;
pub mod modes;
pub mod mounts;
pub mod network;
pub mod networking;
pub mod oci;
pub mod output;
pub mod parse;
pub mod pattern;
pub mod ports;
pub mod progress;
pub mod prune;
pub mod published;
pub mod registry;
pub mod report;
pub mod request;
pub mod rights;
pub mod run;
pub mod search;
pub mod security;
pub mod stats;
pub mod system;
pub mod template;
pub mod terminal;
pub mod top;
pub mod update;
pub mod value;
pub mod verb;
pub mod volume;

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Command, FromArgMatches};

use crate::engine::store::Roots;
use crate::engine::{Engine, Error, Proxies, Surroundings, credentials};
use output::Out;
use parse::{Arity, Grammar};
use report::{Failure, Outcome};
use verb::Verb;

/// This package's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Where images and containers are unless somebody says otherwise.
const DATA_ROOT: &str = "/var/lib/wharf";
/// The same for live state.
const RUN_ROOT: &str = "/run/wharf";

/// What every verb may know.
#[derive(Debug)]
pub struct Context {
    /// Data and run root.
    pub roots: Roots,
    /// The administrator's files, and ways out of the network.
    pub surroundings: Surroundings,
    /// Where Docker's clients keep `config.json`.
    pub config: PathBuf,
    /// The verb as it was typed: `wharf container run`.
    pub path: String,
}

impl Context {
    /// Opens the engine.
    ///
    /// # Errors
    /// What the engine says, usually that it needs root.
    pub fn engine(&self) -> Result<Engine, Error> {
        Engine::open_in(self.roots.clone(), self.surroundings.clone())
    }

    /// What the user's `config.json` says of output, keys and containers.
    #[must_use]
    pub fn client_config(&self) -> client_config::ClientConfig {
        client_config::ClientConfig::read(&self.config)
    }

    /// Who the user is to registries.
    #[must_use]
    pub fn credentials(&self) -> credentials::Store {
        credentials::Store::new(&self.config)
    }
}

/// Runs the command line. `program` is `argv[0]`; called as `docker` everything is the same.
pub fn main(_program: &Path, arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let outcome = arguments
        .map(|argument| {
            argument.into_string().map_err(|bytes| Failure::Usage {
                text: format!("wharf: argument {} is not valid UTF-8", bytes.display()),
                code: report::ENGINE,
            })
        })
        .collect::<Result<Vec<String>, Failure>>()
        .and_then(|arguments| dispatch(&arguments));
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(failure) => failure.report(),
    }
}

/// What stands before the verb, and the verb with what follows it.
fn dispatch(arguments: &[String]) -> Outcome {
    // The usual case costs nothing: no flag before the verb.
    let (global, rest) = match arguments.first() {
        Some(first) if first.starts_with('-') => match read_global(arguments)? {
            Some(global) => {
                let rest = global.operands.clone();
                (Some(global), rest)
            }
            None => return help_page(),
        },
        _ => (None, arguments.to_vec()),
    };
    if global.as_ref().is_some_and(|global| global.version) {
        return say(version_line());
    }
    let context = context(global.as_ref())?;
    if rest.is_empty() {
        return workstation(&context);
    }
    find_and_run(context, &rest)
}

fn find_and_run(mut context: Context, words: &[String]) -> Outcome {
    let typed: Vec<&str> = words.iter().map(String::as_str).collect();
    match typed.as_slice() {
        ["help"] => return help_page(),
        ["help", rest @ ..] => {
            let with_help: Vec<String> = rest
                .iter()
                .copied()
                .chain(["--help"])
                .map(str::to_owned)
                .collect();
            return find_and_run(context, &with_help);
        }
        _ => {}
    }
    if let Some((&complete::WORD, _)) = typed.split_first() {
        return complete::answer(&context, words.get(1..).unwrap_or_default());
    }
    if let Some((&"oci", _)) = typed.split_first() {
        return Ok(oci::run(words.get(1..).unwrap_or_default()));
    }
    if let Some((verb, used)) = verb::find(&typed) {
        let (path, arguments) = words.split_at(used);
        context.path = format!("wharf {}", path.join(" "));
        return run_verb(&context, verb, arguments);
    }
    if let Some(name) = missing::verb(&typed) {
        return Err(Failure::Usage {
            text: format!("wharf: '{name}' is not available yet; 'wharf --help' lists what is"),
            code: 1,
        });
    }
    let first = typed.first().copied().unwrap_or_default();
    match (verb::group(first), typed.get(1)) {
        (Some(_), Some(&("--help" | "-h"))) => say(verb::group_page(first).trim_end()),
        // As Docker: what was not asked for is no output.
        (Some(_), None) => Err(Failure::Usage {
            text: verb::group_page(first).trim_end().to_owned(),
            code: 0,
        }),
        (Some(_), Some(second)) => Err(Failure::Usage {
            text: format!(
                "wharf: unknown command: wharf {first} {second}\n\nUsage:  wharf {first}\n\nRun 'wharf {first} --help' for more information"
            ),
            code: 1,
        }),
        (None, _) => {
            let mut text = format!("wharf: unknown command: wharf {first}\n");
            if let Some(near) = verb::nearest(first) {
                let _ = write!(text, "\nDid you mean '{near}'?\n");
            }
            text.push_str("\nRun 'wharf --help' for more information");
            Err(Failure::Usage { text, code: 1 })
        }
    }
}

fn run_verb(context: &Context, verb: &Verb, arguments: &[String]) -> Outcome {
    let Some(mut matches) = matches(&context.path, verb, arguments)? else {
        return say(help_of(context, verb).trim_end());
    };
    (verb.run)(context, &mut matches)
}

/// Reads what follows a verb; `None` if that asks for help.
fn matches(
    path: &str,
    verb: &Verb,
    arguments: &[String],
) -> Result<Option<clap::ArgMatches>, Failure> {
    let grammar = Grammar {
        path,
        usage: verb.usage,
        arity: verb.arity,
    };
    let command = missing::accept((verb.build)(Command::new("")), verb.missing);
    let matches = parse::parse(command, grammar, arguments)?;
    if let Some(matches) = &matches {
        missing::refuse(matches, verb.missing)?;
    }
    Ok(matches)
}

fn help_of(context: &Context, verb: &Verb) -> String {
    let command = (verb.build)(Command::new(""));
    let page = parse::help(
        command,
        &context.path,
        verb.usage,
        verb.about,
        &verb.names(),
        terminal_width(),
    );
    page.trim_end().to_owned() + &verb.top.map(verb::inside_page).unwrap_or_default()
}

fn read_global(arguments: &[String]) -> Result<Option<args::Global>, Failure> {
    let grammar = Grammar {
        path: "wharf",
        usage: "[OPTIONS] COMMAND [ARG...]",
        arity: Arity::AtLeast(0),
    };
    let command = missing::accept(
        args::Global::augment_args(Command::new("")),
        missing::GLOBAL,
    );
    let Some(mut matches) = parse::parse(command, grammar, arguments)? else {
        return Ok(None);
    };
    missing::refuse(&matches, missing::GLOBAL)?;
    Ok(Some(typed(&mut matches)))
}

/// The typed form of matches of the same command.
fn typed<T: FromArgMatches>(matches: &mut clap::ArgMatches) -> T {
    T::from_arg_matches_mut(matches).expect("the matches come from this type's own command")
}

fn context(global: Option<&args::Global>) -> Result<Context, Failure> {
    let root = |given: Option<&String>, variable: &str, default: &str| {
        given
            .map(PathBuf::from)
            .or_else(|| {
                std::env::var_os(variable)
                    .filter(|value| !value.is_empty())
                    .map(PathBuf::from)
            })
            .unwrap_or_else(|| PathBuf::from(default))
    };
    // Monitors live on when the working directory is another one: roots are absolute.
    let absolute = |path: PathBuf| {
        std::path::absolute(&path)
            .map_err(|error| Error::io(format!("resolve {}", path.display()), error))
    };
    let roots = Roots {
        data: absolute(root(
            global.and_then(|g| g.root.as_ref()),
            "WHARF_ROOT",
            DATA_ROOT,
        ))?,
        run: absolute(root(
            global.and_then(|g| g.run_root.as_ref()),
            "WHARF_RUN_ROOT",
            RUN_ROOT,
        ))?,
    };
    start_log(global)?;
    let home = root(None, "HOME", "/root");
    let config = root(
        global.and_then(|g| g.config.as_ref()),
        "DOCKER_CONFIG",
        &home.join(".docker").to_string_lossy(),
    );
    Ok(Context {
        roots,
        surroundings: Surroundings {
            config: absolute(root(None, "WHARF_CONFIG_DIR", "/etc/wharf"))?,
            proxies: Proxies::read(|name| std::env::var(name).ok()),
        },
        config: absolute(config)?,
        path: "wharf".to_owned(),
    })
}

/// A log is written only when a file for it is named: standard error belongs to the verb.
fn start_log(global: Option<&args::Global>) -> Result<(), Failure> {
    let level = global
        .and_then(|g| g.log_level.as_deref())
        .unwrap_or("info");
    let level = match level {
        "debug" => tracing::Level::DEBUG,
        "info" => tracing::Level::INFO,
        "warn" | "warning" => tracing::Level::WARN,
        "error" | "fatal" | "panic" => tracing::Level::ERROR,
        _ => {
            return Err(Failure::Usage {
                text: format!("Unable to parse logging level: {level}"),
                code: 1,
            });
        }
    };
    let level = if global.is_some_and(|g| g.debug) {
        tracing::Level::DEBUG
    } else {
        level
    };
    let path = global
        .and_then(|g| g.log_file.as_ref())
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("WHARF_LOG_FILE").map(PathBuf::from));
    let Some(path) = path.filter(|path| !path.as_os_str().is_empty()) else {
        return Ok(());
    };
    let file = std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(&path)
        .map_err(|error| Error::io(format!("open log file {}", path.display()), error))?;
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_ansi(false)
        .with_writer(file)
        .init();
    Ok(())
}

/// No verb: the full-screen workstation, if there is a screen.
fn workstation(context: &Context) -> Outcome {
    if !has_screen() {
        return Err(Failure::Usage {
            text: "wharf: the workstation needs a terminal; 'wharf --help' lists the commands that do not"
                .to_owned(),
            code: 2,
        });
    }
    crate::app::run(
        Some(context.engine()?),
        context.credentials(),
        dialogs::COMMANDS,
        crate::app::Options::default(),
    )?;
    Ok(0)
}

/// Somebody reads and types.
fn has_screen() -> bool {
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

fn help_page() -> Outcome {
    let mut page = String::from(
        "Usage:  wharf [OPTIONS] COMMAND\n\nA container workstation: without a command, a full-screen one\n",
    );
    page.push_str(&verb::overview());
    page.push_str("\nGlobal Options:\n");
    page.push_str(&parse::options(
        parse::as_pflag(args::Global::augment_args(Command::new(""))),
        terminal_width(),
    ));
    page.push_str("\nRun 'wharf COMMAND --help' for more information on a command.");
    say(page)
}

/// `Docker version 28.2.2, build e6534b4`, in wharf's name.
fn version_line() -> String {
    format!("wharf version {VERSION}, build {}", system::BUILD)
}

fn say(text: impl std::fmt::Display) -> Outcome {
    let mut out = Out::new();
    out.line(text)?;
    out.finish()?;
    Ok(0)
}

/// A line on standard error that is no error.
fn warn(text: &str) {
    let _ = writeln!(std::io::stderr(), "WARNING: {text}");
}

/// Columns of the terminal; 80 where there is none.
fn terminal_width() -> usize {
    rustix::termios::tcgetwinsize(std::io::stdout())
        .ok()
        .map(|size| usize::from(size.ws_col))
        .filter(|columns| *columns > 0)
        .unwrap_or(80)
}
