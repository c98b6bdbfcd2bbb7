//! Effects into calls of the engine. Nothing else of the program calls it.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::Sender;

use super::jobs::{Failure, JobId, Outcome, Report, Request};
use super::{Answer, Host, Msg, Query, QueryId};
use crate::engine::error::{Error, Kind, Result};
use crate::engine::events::EventReader;
use crate::engine::logs::LogReader;
use crate::engine::model::request::{Exec, Logs, TerminalSize};
use crate::engine::model::{Cancel, ContainerId};
use crate::engine::stats::Sampler;
use crate::engine::{Engine, Output, Session, read_user_file};

/// Runs what `update` asks for, on threads where it may block.
#[derive(Debug)]
pub(super) struct Performer {
    engine: Engine,
    handle: Handle,
    reports: Sender<Msg>,
    cancels: BTreeMap<JobId, Cancel>,
    /// Turns for jobs: each has a thread while it runs, and questions must find one too.
    turns: Arc<Semaphore>,
}

/// Jobs that run at once; the others wait for their turn.
const JOBS: usize = 64;
/// Threads for jobs and questions.
pub(super) const THREADS: usize = JOBS + 16;

impl Performer {
    pub(super) fn new(engine: Engine, handle: Handle, reports: Sender<Msg>) -> Self {
        Self {
            engine,
            handle,
            reports,
            cancels: BTreeMap::new(),
            turns: Arc::new(Semaphore::new(JOBS)),
        }
    }

    /// Starts a job. Its outcome comes as a message, whatever happens.
    pub(super) fn start(&mut self, id: JobId, request: Request) {
        let cancel = Cancel::new();
        self.cancels.insert(id, cancel);
        let (engine, reports) = (self.engine.clone(), self.reports.clone());
        let (handle, turns) = (self.handle.clone(), Arc::clone(&self.turns));
        let body = move || {
            let outcome = match guarded(|| run(&engine, &request)) {
                Ok(()) => Outcome::Done,
                Err(failure) => Outcome::Failed(failure),
            };
            // Outcomes are not lossy: this waits for room. It fails only when the program has ended.
            let _ = reports.blocking_send(Msg::Job(id, Report::Finished(outcome)));
        };
        self.handle.spawn(async move {
            // The semaphore is never closed; were it, the job would just run.
            let turn = turns.acquire_owned().await.ok();
            handle.spawn_blocking(move || {
                body();
                drop(turn);
            });
        });
    }

    /// A job has ended.
    pub(super) fn forget(&mut self, id: JobId) {
        self.cancels.remove(&id);
    }

    /// Asks a job to stop.
    pub(super) fn cancel(&mut self, id: JobId) {
        if let Some(cancel) = self.cancels.get(&id) {
            cancel.cancel();
        }
    }

    /// Asks the engine. The answer comes as a message.
    pub(super) fn query(&self, id: QueryId, query: Query, after: std::time::Duration) {
        let (engine, reports) = (self.engine.clone(), self.reports.clone());
        let handle = self.handle.clone();
        let ask = move || {
            let answer = guarded(|| ask(&engine, query));
            let _ = reports.blocking_send(Msg::Answer(id, answer));
        };
        if after.is_zero() {
            self.handle.spawn_blocking(ask);
        } else {
            self.handle.spawn(async move {
                tokio::time::sleep(after).await;
                handle.spawn_blocking(ask);
            });
        }
    }
}

fn run(engine: &Engine, request: &Request) -> Result<()> {
    match request {
        Request::Start(id) => engine.start(id, None).map(drop),
        Request::Stop(id, stop) => engine.stop(id, stop),
        Request::Restart(id, stop) => engine.restart(id, stop),
        Request::Kill(id, signal) => engine.kill(id, *signal),
        Request::Pause(id) => engine.pause(id),
        Request::Unpause(id) => engine.unpause(id),
        Request::Remove(id, remove) => engine.remove(id, *remove),
        Request::RemoveImage { name, force, .. } => engine.remove_image(name, *force).map(drop),
    }
}

fn ask(engine: &Engine, query: Query) -> Result<Answer> {
    Ok(match query {
        Query::Containers => Answer::Containers(engine.containers()?),
        Query::Images => Answer::Images(engine.images()?),
        Query::Image(name) => Answer::Image(Box::new(engine.image(&name)?)),
        Query::Host => {
            let info = engine.host_info()?;
            Answer::Host(Host {
                name: info.name,
                memory: info.memory,
                cpus: info.cpus,
            })
        }
    })
}

/// Runs something of the engine; a panic in it is a failure of it, not of the program.
pub(super) fn guarded<T>(call: impl FnOnce() -> Result<T>) -> Result<T, Failure> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(|error| failure(&error)),
        Err(panic) => {
            let why = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("no reason given");
            Err(failure(&Error::new(
                Kind::Internal,
                format!("this is a defect of wharf: {why}"),
            )))
        }
    }
}

/// An error as data.
pub(super) fn failure(error: &Error) -> Failure {
    let mut chain = vec![error.message().to_owned()];
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        let text = cause
            .downcast_ref::<Error>()
            .map_or_else(|| cause.to_string(), |e| e.message().to_owned());
        chain.push(text);
        next = cause.source();
    }
    Failure {
        line: error.to_string(),
        hint: error.hint().map(ToOwned::to_owned),
        chain,
    }
}

// Streams: what `subscribe` reads from.

pub(super) fn open_events(engine: &Engine) -> Result<EventReader> {
    engine.events()
}

pub(super) fn open_log(engine: &Engine, id: &ContainerId, tail: u64) -> Result<LogReader> {
    engine.logs(
        id,
        &Logs {
            follow: true,
            tail: Some(tail),
            ..Logs::default()
        },
    )
}

pub(super) fn open_sampler(engine: &Engine) -> Result<Sampler> {
    engine.sampler()
}

/// Opens a shell: the one that the user's entry in /etc/passwd names, else the best that the container has.
pub(super) fn open_shell(
    engine: &Engine,
    id: &ContainerId,
    size: TerminalSize,
    term: &str,
) -> Result<Session> {
    let own = login_shell(engine, id);
    let mut last = None;
    for program in own.as_deref().into_iter().chain(["bash", "sh", "ash"]) {
        let request = Exec {
            cmd: vec![program.to_owned()],
            env: vec![format!("TERM={term}")],
            tty: true,
            stdin: true,
            size: Some(size),
            ..Exec::default()
        };
        match engine.exec(id, &request) {
            Ok(session) => return Ok(session),
            Err(error) if is_missing(&error) => last = Some(error),
            Err(error) => return Err(error),
        }
    }
    let nothing = Error::new(Kind::CommandNotFound, "there is no shell in the container")
        .with_hint("run a command that it has: wharf exec -it NAME COMMAND");
    Err(match last {
        Some(error) => nothing.caused_by(error),
        None => nothing,
    })
}

fn is_missing(error: &Error) -> bool {
    matches!(
        error.kind(),
        Kind::CommandNotFound | Kind::CommandNotRunnable
    )
}

/// The shell of the container's user, as far as its /etc/passwd can be read with its own `cat`. Whatever goes wrong here:
/// there are other shells to try.
fn login_shell(engine: &Engine, id: &ContainerId) -> Option<String> {
    let user = engine.container(id).ok()?.container.config.user.clone();
    let request = Exec {
        cmd: vec!["cat".to_owned(), "/etc/passwd".to_owned()],
        ..Exec::default()
    };
    let (mut reader, _writer) = engine.exec(id, &request).ok()?.split().ok()?;
    let mut passwd = Vec::new();
    while let Some(output) = reader.next().ok()? {
        match output {
            Output::Stdout(bytes) if passwd.len() < LARGEST_PASSWD => passwd.extend(bytes),
            Output::Stdout(_) | Output::Stderr(_) => {}
            Output::Exited(_) => break,
        }
    }
    shell_of(&String::from_utf8_lossy(&passwd), &user)
}

/// More of /etc/passwd is not read.
const LARGEST_PASSWD: usize = 1 << 20;

/// The shell of a user (`name`, `uid`, either with `:group`; empty is root) in the form of passwd(5).
fn shell_of(passwd: &str, user: &str) -> Option<String> {
    let user = user.split(':').next().filter(|u| !u.is_empty());
    let user = user.unwrap_or("0");
    let shell = passwd.lines().find_map(|line| {
        let fields: Vec<_> = line.split(':').collect();
        let [name, _, uid, _, _, _, shell] = fields.as_slice() else {
            return None;
        };
        (*name == user || *uid == user).then(|| shell.trim())
    })?;
    let refuses = shell.ends_with("/nologin") || shell.ends_with("/false");
    (shell.starts_with('/') && !refuses).then(|| shell.to_owned())
}

/// A file of the user's configuration; `None` if there is none.
pub(super) fn read_config(path: &std::path::Path) -> Result<Option<String>> {
    let Some(bytes) = read_user_file(path)? else {
        return Ok(None);
    };
    String::from_utf8(bytes).map(Some).map_err(|error| {
        Error::invalid(format!("read {}: not UTF-8", path.display())).caused_by(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shell_is_that_of_the_user_unless_it_lets_nobody_in() {
        const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\nbroken\nweb:x:33:33::/:/usr/sbin/nologin\nme:x:1000:1000::/home/me:/bin/zsh\n";
        for (user, shell) in [
            ("", Some("/bin/bash")),
            ("root", Some("/bin/bash")),
            ("web", None),
            ("1000:33", Some("/bin/zsh")),
            ("me", Some("/bin/zsh")),
            ("77", None),
        ] {
            assert_eq!(shell_of(PASSWD, user).as_deref(), shell, "{user}");
        }
    }

    #[test]
    fn an_error_becomes_its_line_its_hint_and_its_causes() {
        let error = Error::not_found("no such container: x")
            .with_hint("look at wharf ps")
            .attempting("stop x");
        let failure = failure(&error);
        assert_eq!(failure.line, "stop x: no such container: x");
        assert_eq!(failure.hint.as_deref(), Some("look at wharf ps"));
        assert_eq!(failure.chain, ["stop x", "no such container: x"]);
    }

    #[test]
    fn a_panic_of_the_engine_is_a_failure_like_others() {
        let failure = guarded(|| -> Result<()> { panic!("oh") }).expect_err("it panicked");
        assert_eq!(failure.line, "this is a defect of wharf: oh");
    }
}
