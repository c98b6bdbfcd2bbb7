//! `exec`: a further process in a running container, with a small single-threaded supervisor of its own as parent: it
//! connects the process's streams with the front, and outlives a front that leaves.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use oci_spec::runtime::Spec;

use super::cgroup::{self, Hierarchy};
use super::channel::{Channel, ExecRequest, Exit, FrameKind, Report, Request, parse_request};
use super::client::Client;
use super::control::{self, Started, Waiting};
use super::join::{self, Join};
use super::launch::{Io, Process, Streams};
use super::monitor::{self, Plan};
use super::seal;
use super::switchboard::Switchboard;
use super::terms::{Container, Terms};
use crate::engine::error::{Error, Kind, Result};
use crate::engine::model::Status;
use crate::engine::sys::lock_record::{self, RecordLock};
use crate::engine::sys::poll::{Interest, Ready};
use crate::engine::sys::signal::Signals;
use crate::engine::sys::{file, own, process};

const SIGTERM: i32 = 15;
const SIGKILL: i32 = 9;

const SIGNALS: u64 = 0;
const PROCESS: u64 = 1;

const READ: Interest = Interest {
    read: true,
    write: false,
};

/// Runs a process in the container of a live directory and returns when it runs. `program` is the wharf binary; this
/// process's own if `None`.
///
/// # Errors
/// [`Kind::Conflict`] if the container is not running or is paused; the command's fault as [`super::launch::start`]
/// says.
pub fn exec(program: Option<&Path>, live: &Path, request: ExecRequest) -> Result<Started> {
    let attached = request.attach.is_some();
    let request = Request::Exec(Box::new(request));
    Waiting::begin(control::EXEC, program, live)?.ask(&request, attached)
}

/// An exec supervisor's whole life; the exit code of its process. Descriptor 0 is the socket of the front that
/// spawned it.
#[must_use]
pub fn main(live: &Path) -> u8 {
    cgroup::leave_unit();
    own::leave_starter();
    own::set_name(c"wharf-exec");
    let sealed = seal::ensure();
    let Ok(front) = own::take_stdin() else {
        return 1;
    };
    let mut front = Channel::new(front);
    match sealed.and_then(|()| begin(live, &mut front)) {
        Ok(mut supervisor) => {
            supervisor.answer(front);
            supervisor.run();
            0
        }
        Err(error) => {
            let mut client = Client::new(front.into_stream());
            let _ = client.report(&Report::error(&error));
            while !client.hand_over() {}
            1
        }
    }
}

/// Says while it lives that something runs in a container by exec: a file in the live directory that this process holds
/// the lock of, so that one that was left behind says nothing.
#[derive(Debug)]
pub(super) struct Mark {
    path: PathBuf,
    _lock: Option<RecordLock>,
}

/// What a mark's name begins with; the exec's id follows.
const MARK: &str = "exec-";

impl Mark {
    /// Sets it. An exec is not refused because it cannot be told of.
    pub(super) fn set(live: &Path, id: &str) -> Self {
        let path = live.join(format!("{MARK}{id}"));
        let lock = lock_record::take(&path).ok().flatten();
        Self { path, _lock: lock }
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        // It may have gone with the container.
        let _ = file::remove_file(&self.path);
    }
}

/// The ids of what runs in the container of a live directory by exec, probes included, ascending. Nobody is asked who could
/// be busy.
///
/// # Errors
/// What the file system says; a directory that is missing has none.
pub fn running(live: &Path) -> Result<Vec<String>> {
    let mut ids = Vec::new();
    for name in file::list_dir(live)? {
        if let Some(id) = name.strip_prefix(MARK)
            && lock_record::holder(&live.join(&name))?.is_some()
        {
            ids.push(id.to_owned());
        }
    }
    Ok(ids)
}

struct Supervisor {
    plan: Plan,
    request: ExecRequest,
    board: Switchboard,
    signals: Signals,
    process: Process,
    mark: Mark,
}

fn begin(live: &Path, front: &mut Channel) -> Result<Supervisor> {
    let signals = Signals::take()?;
    let request = exec_request(front)?;
    let not_running = || Error::conflict("the container is not running");
    let plan = Plan::read(live)?.ok_or_else(not_running)?;
    let state = monitor::read_live_state(live)?.ok_or_else(not_running)?;
    let named = |what: &str| Error::conflict(format!("container {} {what}", plan.name));
    match state.status {
        Status::Running => {}
        Status::Paused => {
            return Err(named("is paused").with_hint("unpause the container before exec"));
        }
        Status::Restarting => {
            return Err(named("is restarting").with_hint("wait until the container is running"));
        }
        Status::Created | Status::Removing | Status::Exited | Status::Dead => {
            return Err(named("is not running"));
        }
    }
    let pid = state.pid.ok_or_else(|| named("is not running"))?;
    let mark = Mark::set(live, &request.exec_id);
    note(&plan, &request, Moment::Created);

    let mut board = Switchboard::new(true)?;
    let joined = join_process(live, &plan, &request, (pid, state.pid_start));
    let mut process = joined.map_err(|error| {
        if has_ended(pid, state.pid_start, &error) {
            return named("is not running");
        }
        error
    })?;
    let streams = std::mem::replace(&mut process.streams, Streams::Inherited);
    let connected = board
        .plug(streams)
        .and_then(|()| board.poller().add(&signals, SIGNALS, READ))
        .and_then(|()| board.poller().add(&process.pidfd, PROCESS, READ));
    if let Err(error) = connected {
        let _ = process.signal(SIGKILL);
        let _ = process.wait();
        return Err(error);
    }
    note(&plan, &request, Moment::Started);
    Ok(Supervisor {
        plan,
        request,
        board,
        signals,
        process,
        mark,
    })
}

/// Whether a container has ended while something entered it, whichever step found that. One that is just ending is in no
/// namespace any more (setns(2)), and a moment later it is no process either.
fn has_ended(pid: i32, started: u64, error: &Error) -> bool {
    const MOMENT: Duration = Duration::from_secs(1);
    if error.kind() == Kind::NotFound
        && let Ok(pidfd) = process::open_pidfd(pid)
    {
        let _ = process::wait_ended(pidfd.as_fd(), MOMENT);
    }
    matches!(process::is_alive(pid, started), Ok(false))
}

fn exec_request(front: &mut Channel) -> Result<ExecRequest> {
    let not_ours = || Error::invalid("an exec supervisor is started by wharf itself");
    let frame = front
        .frame()?
        .filter(|frame| frame.kind == FrameKind::Request)
        .ok_or_else(not_ours)?;
    match parse_request(&frame.payload)? {
        Request::Exec(request) => Ok(*request),
        Request::Start { .. }
        | Request::Probe(_)
        | Request::Attach(_)
        | Request::Signal { .. }
        | Request::Stop { .. }
        | Request::Pause
        | Request::Unpause
        | Request::Wait
        | Request::Resize(_)
        | Request::Connect(_)
        | Request::Disconnect { .. }
        | Request::Reread => Err(not_ours()),
    }
}

fn join_process(
    live: &Path,
    plan: &Plan,
    request: &ExecRequest,
    (pid, pid_start): (i32, u64),
) -> Result<Process> {
    let path = live.join("config.json");
    let spec = Spec::load(&path).map_err(|error| {
        Error::new(Kind::Internal, format!("read {}", path.display())).caused_by(error)
    })?;
    let attach = request.attach;
    let io = if request.process.terminal().unwrap_or(false) {
        Io::Terminal(attach.and_then(|to| to.size))
    } else {
        Io::Pipes {
            stdin: attach.is_some_and(|to| to.stdin),
        }
    };
    join::start(&Join {
        pid,
        pid_start,
        spec: &spec,
        process: &request.process,
        cgroup: &Hierarchy::detect()?.container(&plan.cgroup_parent, &plan.id),
        io,
        terms: Terms {
            container: Some(Container {
                id: plan.id.as_str(),
                bundle: live,
            }),
            ..Terms::default()
        },
    })
}

impl Supervisor {
    fn answer(&mut self, front: Channel) {
        let mut client = Client::new(front.into_stream());
        client.attached = self.request.attach;
        client.first = true;
        let at = self.board.connect(client);
        let pid = self.process.pid;
        self.board.report(at, &Report::Started { pid });
        if self.request.attach.is_none() {
            self.board.close(at);
        }
        // It may be as long as an environment can be, and is not needed any more, but for its command.
        self.request.process.set_env(None);
    }

    fn run(mut self) {
        let mut busy = true;
        let code = loop {
            let quiet = busy.then(|| Instant::now() + monitor::QUIET);
            let Ok(all) = self.board.wait(quiet) else {
                let _ = self.process.signal(SIGKILL);
                break self.process.wait().unwrap_or(128 + SIGKILL);
            };
            if all.is_empty() && busy {
                self.board.rest();
            }
            busy = !all.is_empty();
            let mut ended = None;
            for ready in all {
                ended = ended.or(self.handle(ready));
            }
            if let Some(code) = ended {
                break code;
            }
        };
        self.board.unplug(&mut |_, _| {});
        // Who hears of the end does not find it any more.
        drop(self.mark);
        note(&self.plan, &self.request, Moment::Ended(code));
        self.board.finish(Exit {
            code,
            oom_killed: false,
        });
    }

    /// The exit code, once the process has ended.
    fn handle(&mut self, ready: Ready) -> Option<i32> {
        match ready.token {
            SIGNALS => {
                while let Ok(Some(number)) = self.signals.next() {
                    if number == SIGTERM {
                        let _ = self.process.signal(SIGTERM);
                    }
                }
                None
            }
            PROCESS => match self.process.try_wait() {
                Ok(code) => code,
                Err(_) => Some(128 + SIGKILL),
            },
            _ => {
                let mut asked = Vec::new();
                self.board.handle(ready, &mut |_, _| {}, &mut asked);
                for question in asked {
                    let error = Error::invalid("an exec supervisor cannot do that");
                    self.board.report(question.front, &Report::error(&error));
                }
                None
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Moment {
    Created,
    Started,
    Ended(i32),
}

/// Docker's events of an exec: the first two have the command in their action.
fn note(plan: &Plan, request: &ExecRequest, moment: Moment) {
    let id = ("execID", request.exec_id.clone());
    let command = request.process.args().clone().unwrap_or_default().join(" ");
    match moment {
        Moment::Created => monitor::record(plan, &format!("exec_create: {command}"), &[id]),
        Moment::Started => monitor::record(plan, &format!("exec_start: {command}"), &[id]),
        Moment::Ended(code) => {
            let code = ("exitCode", code.to_string());
            monitor::record(plan, "exec_die", &[id, code]);
        }
    }
}
