//! Hooks that run on the host's side (runtime-spec, "POSIX-platform Hooks"): one after the other, with the container's
//! state on standard input, exactly the environment that they ask for, and a time limit.

use std::io::{Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use oci_spec::runtime::{Hook, Hooks};

use super::state::{Document, Record, Status};
use crate::engine::error::{Attempt, Error, Kind, Result};
use crate::engine::sys::{memory_file, process};

/// Kinds of hooks that run outside of the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Namespaces exist.
    Prestart,
    /// The same; `prestart` under its new name.
    CreateRuntime,
    /// The program was executed.
    Poststart,
    /// The container is gone.
    Poststop,
}

impl Moment {
    fn name(self) -> &'static str {
        match self {
            Self::Prestart => "prestart",
            Self::CreateRuntime => "createRuntime",
            Self::Poststart => "poststart",
            Self::Poststop => "poststop",
        }
    }

    fn status(self) -> Status {
        match self {
            Self::Prestart | Self::CreateRuntime => Status::Creating,
            Self::Poststart => Status::Running,
            Self::Poststop => Status::Stopped,
        }
    }

    fn of(self, hooks: &Hooks) -> &[Hook] {
        let list = match self {
            Self::Prestart => hooks.prestart(),
            Self::CreateRuntime => hooks.create_runtime(),
            Self::Poststart => hooks.poststart(),
            Self::Poststop => hooks.poststop(),
        };
        list.as_deref().unwrap_or_default()
    }
}

/// Whether there are hooks of that kind.
#[must_use]
pub fn any(hooks: Option<&Hooks>, moment: Moment) -> bool {
    hooks.is_some_and(|hooks| !moment.of(hooks).is_empty())
}

/// Runs the hooks of that kind until one fails.
///
/// # Errors
/// Which one failed and how, with what it wrote.
pub fn run(hooks: Option<&Hooks>, moment: Moment, record: &Record) -> Result<()> {
    each(hooks, moment, record)
        .find_map(Result::err)
        .map_or(Ok(()), Err)
}

/// Runs all hooks of that kind; those that failed.
#[must_use]
pub fn run_all(hooks: Option<&Hooks>, moment: Moment, record: &Record) -> Vec<Error> {
    each(hooks, moment, record)
        .filter_map(Result::err)
        .collect()
}

/// Lazily: a hook runs when its result is asked for.
fn each<'a>(
    hooks: Option<&'a Hooks>,
    moment: Moment,
    record: &Record,
) -> impl Iterator<Item = Result<()>> + use<'a> {
    let list = hooks.map_or(&[][..], |hooks| moment.of(hooks));
    let mut document = Document::new(record, moment.status());
    // The process exists while the container is being made, and hooks are there to work on its namespaces.
    if moment.status() != Status::Stopped {
        document.pid = record.process.map_or(0, |first| first.pid);
    }
    let state = serde_json::to_vec(&document);
    let bundle = record.bundle.clone();
    list.iter().enumerate().map(move |(number, hook)| {
        let what = || format!("error running {} hook #{number}", moment.name());
        let state = state
            .as_ref()
            .map_err(|error| Error::new(Kind::Internal, error.to_string()))?;
        run_one(hook, state, &bundle).attempt(what)
    })
}

/// Longest part of a hook's output that an error repeats.
const MAX_OUTPUT: u64 = 4096;

fn run_one(hook: &Hook, state: &[u8], bundle: &Path) -> Result<()> {
    let path = hook.path();
    let mut input = memory_file::new("state")?;
    input
        .write_all(state)
        .and_then(|()| input.seek(SeekFrom::Start(0)))
        .attempt(|| "write a hook's input")?;
    let (stdout, stderr) = (memory_file::new("stdout")?, memory_file::new("stderr")?);
    let copy = |file: &std::fs::File| file.try_clone().attempt(|| "duplicate a descriptor");
    let mut command = Command::new(path);
    let args = hook.args().as_deref().unwrap_or_default();
    if let Some((name, args)) = args.split_first() {
        command.arg0(name).args(args);
    }
    command
        .env_clear()
        .envs(
            hook.env()
                .iter()
                .flatten()
                .filter_map(|entry| entry.split_once('=')),
        )
        .stdin(Stdio::from(input))
        .stdout(Stdio::from(copy(&stdout)?))
        .stderr(Stdio::from(copy(&stderr)?));
    if bundle.is_dir() {
        command.current_dir(bundle);
    }
    let mut child = command
        .spawn()
        .attempt(|| format!("execute {}", path.display()))?;
    let status = wait(&mut child, hook.timeout())?;
    if status.success() {
        return Ok(());
    }
    let text = |file| memory_file::content(file, MAX_OUTPUT);
    Err(Error::new(
        Kind::Internal,
        format!(
            "{}: {}, stdout: {}, stderr: {}",
            path.display(),
            describe(status),
            text(stdout)?.trim_end(),
            text(stderr)?.trim_end()
        ),
    ))
}

fn wait(child: &mut Child, seconds: Option<i64>) -> Result<ExitStatus> {
    let Some(seconds) = seconds.and_then(|seconds| u64::try_from(seconds).ok()) else {
        return child.wait().attempt(|| "wait for a hook");
    };
    let pidfd = process::open_pidfd(child.id().cast_signed())?;
    if process::wait_ended(pidfd.as_fd(), Duration::from_secs(seconds))? {
        return child.wait().attempt(|| "wait for a hook");
    }
    let _ = child.kill();
    let _ = child.wait();
    Err(Error::new(
        Kind::Timeout,
        format!("hook ran past its timeout of {seconds} s"),
    ))
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "unknown status".to_owned(),
    }
}
