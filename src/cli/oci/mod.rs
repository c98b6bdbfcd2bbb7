//! `wharf oci …`, also `wharf-oci …`: the OCI runtime with runc's commands and flags, for those who drive a runtime
//! (podman, containerd). `table.rs` is the list of commands, `grammar.rs` reads them, one file per family does the work.
//!
//! It stands apart from the other verbs, because what is in the way of a start is measured in microseconds here: no clap,
//! no tokio, no subscriber for logs.

mod grammar;
mod inside;
mod lifecycle;
mod limits;
mod look;
mod report;
mod table;

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::engine::Error;
use crate::engine::runtime::oci::{self, Driver, Ear, Rootless, Runtime};
use grammar::Parsed;
use report::{Failure, Log};
use table::{Command, GLOBAL};

/// What it is, in one line.
pub(super) const ABOUT: &str = "An OCI runtime with runc's commands and flags";

/// Its commands with their help line.
pub(super) fn commands() -> impl Iterator<Item = (&'static str, &'static str)> {
    table::names()
}

/// What a command returns: the exit code.
type Outcome = Result<u8, Failure>;

/// What every command may know.
struct Context {
    runtime: Runtime,
    log: Log,
}

impl Context {
    /// Something that is told but changes nothing.
    fn warn(&self, error: &Error) {
        self.log.warn(error);
    }
}

/// Runs the command line; `words` are what follows `oci`.
pub fn main(words: impl Iterator<Item = OsString>) -> ExitCode {
    let words: Result<Vec<String>, OsString> = words.map(OsString::into_string).collect();
    ExitCode::from(match words {
        Ok(words) => run(&words),
        Err(word) => {
            let text = format!("argument {} is not valid UTF-8", word.display());
            Log::default().fail(&Failure::usage(text))
        }
    })
}

/// The same with words that are text: the exit code.
pub fn run(words: &[String]) -> u8 {
    let mut log = Log::default();
    dispatch(words, &mut log).unwrap_or_else(|failure| log.fail(&failure))
}

fn dispatch(words: &[String], log: &mut Log) -> Outcome {
    let Some((global, rest)) = grammar::parse_global(GLOBAL, words)? else {
        return say(&table::overview());
    };
    if global.has("version") {
        return say(&table::version());
    }
    *log = Log::new(&global)?;
    let Some((name, words)) = rest.split_first() else {
        return say(&table::overview());
    };
    if name == "help" {
        return match words.first() {
            Some(name) => say(&table::find(name)?.help()),
            None => say(&table::overview()),
        };
    }
    if let Some(page) = table::criu_help(name).filter(|_| words.iter().any(|w| grammar::is_help(w)))
    {
        return say(&page);
    }
    let command = table::find(name)?;
    let Some(parsed) = grammar::parse(&command.grammar, command.name, words)? else {
        return say(&command.help());
    };
    carry_out(command, &global, &parsed, log.clone())
}

fn carry_out(command: &Command, global: &Parsed, parsed: &Parsed, log: Log) -> Outcome {
    let context = Context {
        runtime: Runtime {
            root: root(global)?,
            root_is_named: global.value("root").is_some(),
            driver: driver(global)?,
            rootless: rootless(global)?,
            ear: ear(&log),
        },
        log,
    };
    (command.run)(&context, parsed)
}

fn ear(log: &Log) -> Ear {
    let (warnings, steps) = (log.clone(), log.clone());
    let ear = Ear::new(move |warning| warnings.warn(&Error::invalid(warning)));
    if log.tells_steps {
        ear.with_steps(move |step| steps.step(step))
    } else {
        ear
    }
}

/// Where containers are kept: absolute, because commands may change the directory.
fn root(global: &Parsed) -> Result<PathBuf, Failure> {
    let Some(given) = global.value("root") else {
        return default_root();
    };
    let path = absolute(Path::new(given))?;
    if path.parent().is_none() {
        return Err(Failure::usage("--root: must not be /"));
    }
    Ok(path)
}

/// The host's, or the user's own.
fn default_root() -> Result<PathBuf, Failure> {
    let own = std::env::var_os("XDG_RUNTIME_DIR").filter(|dir| {
        !dir.is_empty() && oci::is_ordinary_user(std::env::var_os("USER").as_deref())
    });
    let Some(own) = own else {
        return Ok(PathBuf::from("/run/wharf/oci"));
    };
    let path = absolute(&Path::new(&own).join("wharf/oci"))?;
    oci::prepare_user_root(&path)?;
    Ok(path)
}

fn rootless(global: &Parsed) -> Result<Rootless, Failure> {
    match global.value("rootless").unwrap_or_default() {
        "" | "auto" => Ok(Rootless::Auto),
        "true" | "1" => Ok(Rootless::Yes),
        "false" | "0" => Ok(Rootless::No),
        other => Err(Failure::usage(format!(
            "--rootless: {other:?} is not true, false or auto"
        ))),
    }
}

fn driver(global: &Parsed) -> Result<Driver, Failure> {
    if global.has("systemd-cgroup") {
        return Ok(Driver::Systemd);
    }
    match global.value("cgroup-manager") {
        None | Some("cgroupfs") => Ok(Driver::Cgroupfs),
        Some("systemd") => Ok(Driver::Systemd),
        Some("disabled") => Ok(Driver::Disabled),
        Some(other) => Err(Failure::usage(format!(
            "--cgroup-manager: {other:?} is not cgroupfs, systemd or disabled"
        ))),
    }
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path)
        .map_err(|error| Error::io(format!("resolve {}", path.display()), error).into())
}

/// Writes to standard output, if there is one.
fn say(text: &str) -> Outcome {
    let mut out = std::io::stdout().lock();
    let written = if oci::has_output() {
        out.write_all(text.as_bytes()).and_then(|()| out.flush())
    } else {
        Err(std::io::Error::from(rustix::io::Errno::BADF))
    };
    match written {
        Ok(()) => Ok(0),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Err(Failure::reader_gone()),
        Err(error) => Err(Error::io("write to standard output", error).into()),
    }
}
