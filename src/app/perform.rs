//! Effects into calls of the engine. Nothing else of the program calls it.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio::runtime::Handle;
use tokio::sync::mpsc::Sender;

use super::jobs::{Failure, JobId, Outcome, Report, Request};
use super::{Answer, Host, Msg, Query, QueryId};
use crate::engine::error::{Error, Kind, Result};
use crate::engine::events::EventReader;
use crate::engine::logs::LogReader;
use crate::engine::model::request::{Exec, Logs, TerminalSize};
use crate::engine::model::{Cancel, ContainerId};
use crate::engine::stats::Sampler;
use crate::engine::{Engine, Session, read_user_file};

/// Runs what `update` asks for, on threads where it may block.
#[derive(Debug)]
pub(super) struct Performer {
    engine: Engine,
    handle: Handle,
    reports: Sender<Msg>,
    cancels: BTreeMap<JobId, Cancel>,
}

impl Performer {
    pub(super) fn new(engine: Engine, handle: Handle, reports: Sender<Msg>) -> Self {
        Self {
            engine,
            handle,
            reports,
            cancels: BTreeMap::new(),
        }
    }

    /// Starts a job. Its outcome comes as a message, whatever happens.
    pub(super) fn start(&mut self, id: JobId, request: Request) {
        let cancel = Cancel::new();
        self.cancels.insert(id, cancel);
        let (engine, reports) = (self.engine.clone(), self.reports.clone());
        self.handle.spawn_blocking(move || {
            let outcome = match guarded(|| run(&engine, &request)) {
                Ok(()) => Outcome::Done,
                Err(failure) => Outcome::Failed(failure),
            };
            // Outcomes are not lossy: this waits for room. It fails only when the program has ended.
            let _ = reports.blocking_send(Msg::Job(id, Report::Finished(outcome)));
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

/// The shell of the user's entry in /etc/passwd, else bash, else this sh.
const FIND_SHELL: &str = r#"shell=
if [ -r /etc/passwd ]; then
  uid=$(id -u 2>/dev/null || echo 0)
  while IFS=: read -r name _ number _ _ _ program; do
    if [ "$number" = "$uid" ] && [ -z "$shell" ]; then shell=$program; fi
  done </etc/passwd
fi
case $shell in */nologin|*/false|'') shell=;; esac
for try in "$shell" /bin/bash /usr/bin/bash; do
  if [ -n "$try" ] && [ -x "$try" ]; then exec "$try"; fi
done
exec /bin/sh"#;

/// Opens a shell: whatever the container has.
pub(super) fn open_shell(
    engine: &Engine,
    id: &ContainerId,
    size: TerminalSize,
    term: &str,
) -> Result<Session> {
    let commands: [&[&str]; 4] = [&["/bin/sh", "-c", FIND_SHELL], &["bash"], &["ash"], &["sh"]];
    let mut last = None;
    for command in commands {
        let request = Exec {
            cmd: command.iter().map(|&word| word.to_owned()).collect(),
            env: vec![format!("TERM={term}")],
            tty: true,
            stdin: true,
            size: Some(size),
            ..Exec::default()
        };
        match engine.exec(id, &request) {
            Ok(session) => return Ok(session),
            Err(error)
                if matches!(
                    error.kind(),
                    Kind::CommandNotFound | Kind::CommandNotRunnable
                ) =>
            {
                last = Some(error);
            }
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

/// A file of the user's configuration; `None` if there is none.
pub(super) fn read_config(path: &std::path::Path) -> Result<Option<String>> {
    let Some(bytes) = read_user_file(path)? else {
        return Ok(None);
    };
    String::from_utf8(bytes).map(Some).map_err(|error| {
        Error::invalid(format!("read {}: not UTF-8", path.display())).caused_by(error)
    })
}
