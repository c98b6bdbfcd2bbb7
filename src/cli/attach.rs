//! An attached front: standard streams, terminal, signals and the key sequence to leave, for `run`, `start`, `exec` and
//! `attach` alike.
//!
//! Three threads: this one passes on what the process writes, one passes on what is typed, one waits for signals.
//! Nothing here ends the program: whatever happens, [`attend`] returns, and guards give the terminal back.

use std::io::{self, Read};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::SignalFd;
use rustix::event::{PollFd, PollFlags};

use super::keys::DetachKeys;
use super::report::Failure;
use super::terminal::{self, Raw};
use crate::engine::error::Attempt as _;
use crate::engine::model::ContainerId;
use crate::engine::model::request::TerminalSize;
use crate::engine::{Engine, Error, Exit, Output, Session, SessionWriter};

/// What happens to signals that this program gets.
#[derive(Debug, Clone)]
pub enum Signals {
    /// They go to the container's main process.
    Forward(Engine, ContainerId),
    /// They end this program (after the terminal was restored); the process goes on.
    Leave,
}

/// How to attend.
#[derive(Debug)]
pub struct Manner {
    /// The process has a terminal.
    pub tty: bool,
    /// Pass on standard input.
    pub stdin: bool,
    /// Pass on standard output.
    pub stdout: bool,
    /// Pass on standard error.
    pub stderr: bool,
    /// What leaves.
    pub keys: DetachKeys,
    /// What signals do.
    pub signals: Signals,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The process did.
    Exited(Exit),
    /// The user left with the detach keys.
    Detached,
    /// This program was told to end by this signal.
    Signalled(i32),
    /// The other side closed without an exit.
    Lost,
}

/// Signals held back for a session; dropping it lets them through again.
#[derive(Debug)]
pub struct Held {
    signals: SigSet,
}

/// Those that Docker forwards and that make sense to.
const FORWARDED: [Signal; 8] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGALRM,
    Signal::SIGCONT,
];

/// Those that would end this program with the terminal in raw mode.
const DEADLY: [Signal; 4] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
];

impl Held {
    /// Holds signals back in this thread and those it starts, so that none is lost while the process starts. The
    /// monitor resets its own mask.
    ///
    /// # Errors
    /// What sigprocmask(2) says.
    pub fn new() -> Result<Self, Error> {
        let mut signals = SigSet::empty();
        for signal in FORWARDED {
            signals.add(signal);
        }
        signals.add(Signal::SIGWINCH);
        signals
            .thread_block()
            .map_err(io::Error::from)
            .attempt(|| "hold signals back")?;
        Ok(Self { signals })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.signals.thread_unblock();
    }
}

/// What the threads share.
struct Shared {
    writer: Mutex<SessionWriter>,
    /// The session's socket once more: shutting it down wakes whoever reads or writes it.
    socket: UnixStream,
    detached: AtomicBool,
    signalled: AtomicI32,
    /// A size of the terminal that the process was not told yet.
    resized: Mutex<Option<TerminalSize>>,
}

impl Shared {
    /// Sends what was typed, and a size that could not be sent meanwhile.
    fn send(&self, typed: &[u8]) -> Result<(), Error> {
        let sent = self.writer().stdin(typed);
        self.tell_size();
        sent
    }

    /// Tells the process the newest size. Whoever writes at the moment may have to wait for a process that does not
    /// read; nobody waits for the writer here, who does this itself when it is done.
    fn tell_size(&self) {
        while self.newest_size().is_some() {
            let Ok(mut writer) = self.writer.try_lock() else {
                return;
            };
            let newest = self.newest_size().take();
            if let Some(size) = newest
                && writer.resize(size).is_err()
            {
                return;
            }
        }
    }

    fn newest_size(&self) -> MutexGuard<'_, Option<TerminalSize>> {
        self.resized.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn writer(&self) -> MutexGuard<'_, SessionWriter> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn leave(&self) {
        // It may be closed already.
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

/// Passes everything on until the process ends, the user leaves, or this program is told to end.
///
/// # Errors
/// [`Failure::Closed`] when nobody reads our output any more; otherwise what goes wrong with the streams.
pub fn attend(session: Session, manner: &Manner, held: &Held) -> Result<Ended, Failure> {
    let (mut reader, writer) = session.split()?;
    let socket = reader
        .as_fd()
        .try_clone_to_owned()
        .attempt(|| "duplicate session socket")?;
    let shared = Arc::new(Shared {
        writer: Mutex::new(writer),
        socket: UnixStream::from(socket),
        detached: AtomicBool::new(false),
        signalled: AtomicI32::new(0),
        resized: Mutex::new(None),
    });
    let raw = if manner.tty && manner.stdin && is_terminal(io::stdin().as_fd()) {
        Some(Raw::enter().attempt(|| "set terminal to raw mode")?)
    } else {
        None
    };
    watch_signals(manner, held, &shared)?;
    if manner.stdin {
        pass_stdin(manner.keys.clone(), manner.tty, &shared)?;
    }
    let ended = loop {
        match reader.next() {
            Ok(Some(Output::Stdout(bytes))) => {
                if manner.stdout {
                    write_all(io::stdout().as_fd(), &bytes)?;
                }
            }
            Ok(Some(Output::Stderr(bytes))) => {
                if manner.stderr {
                    write_all(io::stderr().as_fd(), &bytes)?;
                }
            }
            Ok(Some(Output::Exited(exit))) => break Ended::Exited(exit),
            left_or_lost => {
                let signal = shared.signalled.load(Ordering::Acquire);
                if shared.detached.load(Ordering::Acquire) {
                    break Ended::Detached;
                } else if signal != 0 {
                    break Ended::Signalled(signal);
                }
                left_or_lost?;
                break Ended::Lost;
            }
        }
    };
    drop(raw);
    Ok(ended)
}

fn watch_signals(manner: &Manner, held: &Held, shared: &Arc<Shared>) -> Result<(), Error> {
    let signals = SignalFd::new(&held.signals)
        .map_err(io::Error::from)
        .attempt(|| "wait for signals")?;
    let shared = Arc::clone(shared);
    let (tty, what) = (manner.tty, manner.signals.clone());
    start_thread("signals", move || {
        let mut deadly_ones = 0;
        while let Ok(Some(info)) = signals.read_signal() {
            let Ok(number) = i32::try_from(info.ssi_signo) else {
                continue;
            };
            let signal = Signal::try_from(number).ok();
            if signal == Some(Signal::SIGWINCH) {
                if tty && let Some(size) = terminal::size(io::stdout()) {
                    *shared.newest_size() = Some(size);
                    shared.tell_size();
                }
                continue;
            }
            let deadly = signal.is_some_and(|signal| DEADLY.contains(&signal));
            match &what {
                Signals::Forward(engine, id) => {
                    deadly_ones += u32::from(deadly);
                    // A process that ignores them must not hold its user: the third leaves, as in Docker.
                    if deadly_ones < 3 {
                        // It may have ended meanwhile; the session says so.
                        let _ = engine.kill(id, number);
                        // Without the terminal there is nobody to wait for it.
                        let hung_up = tty && signal == Some(Signal::SIGHUP);
                        if !hung_up {
                            continue;
                        }
                    }
                }
                Signals::Leave if !deadly => continue,
                Signals::Leave => {}
            }
            shared.signalled.store(number, Ordering::Release);
            shared.leave();
        }
    })
}

fn pass_stdin(mut keys: DetachKeys, tty: bool, shared: &Arc<Shared>) -> Result<(), Error> {
    let shared = Arc::clone(shared);
    start_thread("stdin", move || {
        let mut buffer = vec![0; 32 << 10];
        loop {
            let count = match io::stdin().read(&mut buffer) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => 0,
            };
            let Some(typed) = buffer.get(..count).filter(|typed| !typed.is_empty()) else {
                let _ = shared.writer().close_stdin();
                shared.tell_size();
                return;
            };
            // Only a terminal has keys: a pipe's bytes are all meant for the process.
            let (through, leaves) = if tty {
                keys.pass(typed)
            } else {
                (typed.to_vec(), false)
            };
            if !through.is_empty() && shared.send(&through).is_err() {
                return;
            }
            if leaves {
                shared.detached.store(true, Ordering::Release);
                shared.writer().detach();
                shared.leave();
                return;
            }
        }
    })
}

fn start_thread(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), Error> {
    thread::Builder::new()
        .name(name.to_owned())
        .stack_size(256 << 10)
        .spawn(work)
        .map(drop)
        .attempt(|| format!("start thread {name}"))
}

/// Writes all of it, without a buffer, also to a descriptor that somebody else made non-blocking.
fn write_all(fd: BorrowedFd<'_>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(fd, bytes) {
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) => {
                let mut wait = [PollFd::from_borrowed_fd(fd, PollFlags::OUT)];
                match rustix::event::poll(&mut wait, None) {
                    Ok(_) | Err(rustix::io::Errno::INTR) => {}
                    Err(errno) => return Err(errno.into()),
                }
            }
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

fn is_terminal(fd: BorrowedFd<'_>) -> bool {
    rustix::termios::isatty(fd)
}
