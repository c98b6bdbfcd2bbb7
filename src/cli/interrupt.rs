//! Ctrl-C during something long: the first asks it to stop and to leave things in order, the second ends the program.

use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread::JoinHandle;

use nix::sys::signal::{SigSet, Signal, raise};
use nix::sys::signalfd::SignalFd;
use rustix::event::{PollFd, PollFlags};

use super::progress::SHOW_CURSOR;
use super::report::Failure;
use crate::engine::Error;
use crate::engine::error::Attempt as _;
use crate::engine::model::Cancel;

/// Signals that ask to stop.
const ASKING: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];

/// While it lives, signals that would end this program cancel instead. Make it before any other thread.
#[derive(Debug)]
pub struct Interrupt {
    cancel: Cancel,
    signal: Arc<AtomicI32>,
    signals: SigSet,
    /// Closing it ends the thread.
    end: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Interrupt {
    /// Starts to watch.
    ///
    /// # Errors
    /// What sigprocmask(2), signalfd(2) and clone(2) say.
    pub fn watch() -> Result<Self, Error> {
        let mut signals = SigSet::empty();
        for signal in ASKING {
            signals.add(signal);
        }
        // With nohup(1) hanging up means nothing.
        if ignores(Signal::SIGHUP) {
            signals.remove(Signal::SIGHUP);
        }
        let fd = SignalFd::new(&signals)
            .map_err(io::Error::from)
            .attempt(|| "wait for signals")?;
        let (end, ended) = UnixStream::pair().attempt(|| "wait for signals")?;
        signals
            .thread_block()
            .map_err(io::Error::from)
            .attempt(|| "hold signals back")?;
        let mut this = Self {
            cancel: Cancel::new(),
            signal: Arc::new(AtomicI32::new(0)),
            signals,
            end: Some(end),
            thread: None,
        };
        let (cancel, first) = (this.cancel.clone(), Arc::clone(&this.signal));
        let thread = std::thread::Builder::new()
            .name("signals".to_owned())
            .stack_size(128 << 10)
            .spawn(move || {
                while let Some(signal) = next(&fd, &ended) {
                    if first.swap(signal as i32, Ordering::AcqRel) != 0 {
                        end_at_once(signal);
                    }
                    cancel.cancel();
                }
            })
            .attempt(|| "start thread signals")?;
        this.thread = Some(thread);
        Ok(this)
    }

    /// What the operation is to look at.
    pub fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    /// How an operation ended that was told to stop: one line and the exit code of the signal; any other failure as
    /// it is.
    pub fn explain(&self, failure: Failure, what_now: &str) -> Failure {
        match self.signal.load(Ordering::Acquire) {
            0 => failure,
            signal => Failure::Usage {
                text: format!("wharf: {what_now}"),
                code: u8::try_from(128 + (signal & 0x7f)).unwrap_or(u8::MAX),
            },
        }
    }
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let _ = self.signals.thread_unblock();
    }
}

/// The next signal; `None` when nobody is interested any more.
/// Whether this process was told to ignore a signal (proc_pid_status(5), `SigIgn`: one bit each, from the lowest).
fn ignores(signal: Signal) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = line.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok());
    ignored.unwrap_or(0) & (1 << (signal as i32 - 1)) != 0
}

fn next(signals: &SignalFd, ended: &UnixStream) -> Option<Signal> {
    loop {
        let mut wait = [
            PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(ended.as_fd(), PollFlags::IN),
        ];
        match rustix::event::poll(&mut wait, None) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(_) => return None,
        }
        let [signalled, over] = wait.map(|fd| !fd.revents().is_empty());
        if over {
            return None;
        }
        if signalled {
            let info = signals.read_signal().ok().flatten()?;
            return Signal::try_from(i32::try_from(info.ssi_signo).ok()?).ok();
        }
    }
}

/// As if the signal had never been held back, but for the cursor.
fn end_at_once(signal: Signal) {
    for mut terminal in [
        Box::new(io::stdout()) as Box<dyn TerminalOut>,
        Box::new(io::stderr()),
    ] {
        if terminal.is_one() {
            let _ = terminal.write_all(SHOW_CURSOR.as_bytes());
            let _ = terminal.flush();
        }
    }
    let mut only = SigSet::empty();
    only.add(signal);
    let _ = only.thread_unblock();
    let _ = raise(signal);
}

trait TerminalOut: Write {
    fn is_one(&self) -> bool;
}

impl<T: Write + IsTerminal> TerminalOut for T {
    fn is_one(&self) -> bool {
        self.is_terminal()
    }
}
