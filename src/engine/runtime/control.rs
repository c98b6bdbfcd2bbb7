//! The front's side of monitors: spawn one, ask one. Blocking.
//!
//! A monitor is a child of the front that spawned it and outlives it. A front that lives on must collect it when it
//! ends, or it stays a zombie: a thread that only waits does that (see [`spawn`]). Spawning twice, so that the monitor
//! is nobody's child at once, would cost a fork in every start; a waiting thread costs one page of stack.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::channel::{Channel, Exit, Report, Request, Session};
use super::seal;
use crate::engine::error::{Attempt, Error, Kind, Result};
use crate::engine::model::Cancel;
use crate::engine::model::network::Attachment;
use crate::engine::model::request::{AttachTo, TerminalSize};
use crate::engine::sys::{lock_record, poll, signal, socket};

/// `argv[0]` of a monitor. Its one argument is the live directory.
pub const MONITOR: &str = "wharf-monitor";

/// `argv[0]` of an exec supervisor. Its one argument is the live directory.
pub const EXEC: &str = "wharf-exec";

/// How soon a waiting call notices that it was cancelled.
const CANCEL_NOTICED: Duration = Duration::from_millis(50);

/// How to start a container.
#[derive(Debug, Clone, Copy)]
pub struct Spawn<'a> {
    /// The wharf binary; this process's own if `None`.
    pub program: Option<&'a Path>,
    /// The live directory, with `config.json` and `monitor.json` in it.
    pub live: &'a Path,
    /// Attach from the first byte on.
    pub attach: Option<AttachTo>,
    /// Restarts by policy so far: 0, but when recovery restarts a container.
    pub restart_count: u32,
}

/// A process that runs.
#[derive(Debug)]
pub struct Started {
    /// Its pid.
    pub pid: i32,
    /// Its streams, if asked for.
    pub session: Option<Session>,
}

/// Spawns a monitor and returns when the container's process runs.
///
/// # Errors
/// What the monitor reports; it has then removed the live directory and what else it had made, and recorded the error
/// in the durable state. [`Kind::Conflict`] if the container has a monitor already.
pub fn spawn(spawn: &Spawn<'_>) -> Result<Started> {
    Waiting::begin(MONITOR, spawn.program, spawn.live)?.start(spawn.attach, spawn.restart_count)
}

/// Spawns a monitor that waits to be told to start ([`Waiting::start`]): its own start-up then costs nobody time who has
/// something to do meanwhile. It does not look at the live directory before, and ends when this is dropped.
///
/// # Errors
/// What posix_spawn(3) says.
pub fn spawn_waiting(program: Option<&Path>, live: &Path) -> Result<Waiting> {
    Waiting::begin(MONITOR, program, live)
}

/// A supervisor that was spawned and has not been told anything yet.
#[derive(Debug)]
pub struct Waiting {
    name: &'static str,
    channel: Channel,
}

impl Waiting {
    /// Spawns this binary under another name.
    pub(super) fn begin(name: &'static str, program: Option<&Path>, live: &Path) -> Result<Self> {
        let (ours, theirs) = socket::pair()?;
        // Held until the spawn: the path leads through it.
        let sealed = seal::executable(program)?;
        let path = format!("/proc/self/fd/{}", sealed.as_fd().as_raw_fd());
        let mut command = Command::new(path);
        command
            .arg0(name)
            .arg(live)
            // A front's environment may hold secrets, and a supervisor needs none of it.
            .env_clear()
            // No directory here: with one, the standard library copies this whole process (fork) instead of borrowing
            // its memory for the moment of the exec (posix_spawn). The supervisor goes to `/` by itself.
            .stdin(theirs)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = command.spawn().attempt(|| format!("spawn {name}"))?;
        // The command keeps its copy of the other end, which would hide that the child died.
        drop(command);
        collect_later(child);
        Ok(Self {
            name,
            channel: Channel::new(ours),
        })
    }

    /// Tells a monitor to start its container and returns when the container's process runs.
    ///
    /// # Errors
    /// As [`spawn`].
    pub fn start(self, attach: Option<AttachTo>, restart_count: u32) -> Result<Started> {
        let request = Request::Start {
            attach,
            restart_count,
        };
        self.ask(&request, attach.is_some())
    }

    /// Gives it its request and waits for its first report.
    pub(super) fn ask(mut self, request: &Request, attached: bool) -> Result<Started> {
        let name = self.name;
        let ended = || {
            Error::new(
                Kind::Unavailable,
                format!("{name} ended before it could report"),
            )
        };
        self.channel
            .request(request)
            .map_err(|error| hung_up(error, ended))?;
        match self
            .channel
            .report()
            .map_err(|error| hung_up(error, ended))?
        {
            Some(Report::Started { pid }) => Ok(Started {
                pid,
                session: attached.then(|| self.channel.into_session()),
            }),
            Some(Report::Done | Report::Exit(_) | Report::Probed(_) | Report::Error { .. }) => Err(
                Error::new(Kind::Internal, format!("{name}: unexpected report")),
            ),
            None => Err(ended()),
        }
    }
}

/// A peer that closes its end before it has read everything has ended, as one that says nothing more.
fn hung_up(error: Error, ended: impl Fn() -> Error) -> Error {
    const BROKEN_PIPE: i32 = 32;
    const RESET: i32 = 104;
    match error.raw_os_error() {
        Some(BROKEN_PIPE | RESET) => ended(),
        _ => error,
    }
}

/// Waits for a child on a thread of its own. Without one (the limit of threads is reached) it stays a zombie until this
/// process ends, which is harmless.
fn collect_later(mut child: Child) {
    let wait = move || {
        let _ = child.wait();
    };
    let thread = std::thread::Builder::new()
        .name("collect".to_owned())
        .stack_size(32 * 1024);
    // A front that handles signals must get them, whichever came first, its handlers or this thread.
    let _ = signal::undisturbed(|| thread.spawn(wait));
}

/// The monitor's pid, if the container has a living one: it holds the lock `monitor.lock`.
///
/// # Errors
/// What the file system says.
pub fn monitor_alive(live: &Path) -> Result<Option<i32>> {
    lock_record::holder(&live.join("monitor.lock"))
}

/// A connection to a container's monitor.
#[derive(Debug)]
pub struct Control {
    channel: Channel,
}

impl Control {
    /// Connects; `None` if there is no monitor (or one that is just about to be ready, or gone: see
    /// [`monitor_alive`]).
    ///
    /// # Errors
    /// What connect(2) says.
    pub fn connect(live: &Path) -> Result<Option<Self>> {
        let stream: Option<OwnedFd> = socket::connect(&live.join("ctl.sock"))?;
        Ok(stream.map(|stream| Self {
            channel: Channel::new(stream),
        }))
    }

    /// Sends a signal to the main process.
    ///
    /// # Errors
    /// [`Kind::Conflict`] if it is not running; [`Kind::Unavailable`] if the monitor ended meanwhile.
    pub fn signal(&mut self, number: i32) -> Result<()> {
        self.ask(&Request::Signal { number })
    }

    /// Stops it and returns when it is over: state written, everything torn down. `signal` and `timeout` are the plan's
    /// if `None`; `keep` prevents the removal that `--rm` asks for.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] if the monitor died meanwhile.
    pub fn stop(mut self, signal: Option<i32>, timeout: Option<i64>, keep: bool) -> Result<Exit> {
        self.request(&Request::Stop {
            signal,
            timeout,
            keep,
        })?;
        self.exit()
    }

    /// Freezes all processes.
    ///
    /// # Errors
    /// [`Kind::Conflict`] if it is not running or is paused already.
    pub fn pause(&mut self) -> Result<()> {
        self.ask(&Request::Pause)
    }

    /// Thaws them.
    ///
    /// # Errors
    /// [`Kind::Conflict`] if it is not paused.
    pub fn unpause(&mut self) -> Result<()> {
        self.ask(&Request::Unpause)
    }

    /// Sets the size of its terminal.
    ///
    /// # Errors
    /// [`Kind::Conflict`] if it has none.
    pub fn resize(&mut self, size: TerminalSize) -> Result<()> {
        self.ask(&Request::Resize(size))
    }

    /// Tells it that the plan in the live directory has another name or restart policy.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] if the monitor ended meanwhile.
    pub fn reread(&mut self) -> Result<()> {
        self.ask(&Request::Reread)
    }

    /// Puts it on a further network.
    ///
    /// # Errors
    /// What keeps it from there; [`Kind::Conflict`] if it is not running.
    pub fn connect_network(&mut self, attachment: &Attachment) -> Result<()> {
        self.ask(&Request::Connect(Box::new(attachment.clone())))
    }

    /// Takes it off a network, named as in its record.
    ///
    /// # Errors
    /// [`Kind::Conflict`] if it is not running or not on that network.
    pub fn disconnect_network(&mut self, network: &str) -> Result<()> {
        self.ask(&Request::Disconnect {
            network: network.to_owned(),
        })
    }

    /// Asks to be told when it is over and torn down: what ends it later is not missed.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] if the monitor ended meanwhile.
    pub fn watch(mut self) -> Result<Watch> {
        self.request(&Request::Wait)?;
        Ok(Watch(self))
    }

    /// Kills it; the end is told as to [`Self::watch`].
    ///
    /// # Errors
    /// [`Kind::Unavailable`] if the monitor ended meanwhile.
    pub fn kill(mut self) -> Result<Watch> {
        self.request(&Request::Stop {
            signal: Some(libc::SIGKILL),
            timeout: Some(0),
            keep: false,
        })?;
        Ok(Watch(self))
    }

    /// Joins its streams.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] if the monitor ended meanwhile.
    pub fn attach(mut self, to: AttachTo) -> Result<Session> {
        self.ask(&Request::Attach(to))?;
        Ok(self.channel.into_session())
    }

    fn request(&mut self, request: &Request) -> Result<()> {
        self.channel
            .request(request)
            .map_err(|error| hung_up(error, gone))
    }

    fn report(&mut self) -> Result<Option<Report>> {
        self.channel.report().map_err(|error| hung_up(error, gone))
    }

    fn ask(&mut self, request: &Request) -> Result<()> {
        self.request(request)?;
        match self.report()? {
            Some(Report::Done) => Ok(()),
            Some(
                Report::Started { .. } | Report::Exit(_) | Report::Probed(_) | Report::Error { .. },
            ) => Err(unexpected()),
            None => Err(gone()),
        }
    }

    fn exit(&mut self) -> Result<Exit> {
        match self.report()? {
            Some(Report::Exit(exit)) => Ok(exit),
            Some(
                Report::Started { .. } | Report::Done | Report::Probed(_) | Report::Error { .. },
            ) => Err(unexpected()),
            None => Err(gone()),
        }
    }
}

/// The end of a container that somebody waits for.
#[derive(Debug)]
pub struct Watch(Control);

impl Watch {
    /// Waits until its run is over: torn down, or about to be run again by its restart policy. `None` when cancelled.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] if the monitor died meanwhile.
    pub fn wait(mut self, cancel: &Cancel) -> Result<Option<Exit>> {
        while !poll::wait_readable(&self.0.channel.as_fd(), Some(CANCEL_NOTICED))? {
            if cancel.is_cancelled() {
                return Ok(None);
            }
        }
        self.0.exit().map(Some)
    }

    /// The same for so long at most; whether it is over.
    ///
    /// # Errors
    /// As [`Self::wait`].
    pub fn wait_at_most(mut self, patience: Duration) -> Result<bool> {
        let deadline = Instant::now() + patience;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if poll::wait_readable(&self.0.channel.as_fd(), Some(left))? {
                return self.0.exit().map(|_| true);
            }
            if left.is_zero() {
                return Ok(false);
            }
        }
    }
}

pub(crate) fn gone() -> Error {
    Error::new(Kind::Unavailable, "the container's monitor is gone")
}

fn unexpected() -> Error {
    Error::new(
        Kind::Internal,
        "unexpected answer of the container's monitor",
    )
}
