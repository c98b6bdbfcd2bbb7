//! Signals as something to read: signalfd(2) for a single-threaded process. Sending them is the runtime's.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::engine::error::{Attempt, Result};

/// Blocked signals of this thread that arrive here instead.
#[derive(Debug)]
pub struct Signals {
    fd: SignalFd,
}

impl Signals {
    /// Blocks the signals that a supervisor lives with and takes them in here: SIGCHLD, SIGTERM, SIGINT, SIGHUP,
    /// SIGQUIT, SIGPIPE, SIGUSR1, SIGUSR2, SIGALRM, SIGWINCH. A process that is executed by this one inherits the
    /// block: whoever starts it resets its mask.
    ///
    /// # Errors
    /// What sigprocmask(2) and signalfd(2) say.
    pub fn take() -> Result<Self> {
        let mut set = SigSet::empty();
        for signal in [
            Signal::SIGCHLD,
            Signal::SIGTERM,
            Signal::SIGINT,
            Signal::SIGHUP,
            Signal::SIGQUIT,
            Signal::SIGPIPE,
            Signal::SIGUSR1,
            Signal::SIGUSR2,
            Signal::SIGALRM,
            Signal::SIGWINCH,
        ] {
            set.add(signal);
        }
        Self::of(&set)
    }

    /// The same with every signal that can be passed on, also those of real time: all but the ones that a fault of this
    /// program raises, and those that keep a job in the background from the terminal.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub fn take_all() -> Result<Self> {
        let mut set = SigSet::all();
        for signal in [
            Signal::SIGSEGV,
            Signal::SIGBUS,
            Signal::SIGFPE,
            Signal::SIGILL,
            Signal::SIGTRAP,
            Signal::SIGABRT,
            Signal::SIGSYS,
            Signal::SIGTTIN,
            Signal::SIGTTOU,
        ] {
            set.remove(signal);
        }
        Self::of(&set)
    }

    fn of(set: &SigSet) -> Result<Self> {
        set.thread_block()
            .map_err(io::Error::from)
            .attempt(|| "block signals")?;
        let fd = SignalFd::with_flags(set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
            .map_err(io::Error::from)
            .attempt(|| "create signalfd")?;
        Ok(Self { fd })
    }

    /// The next signal's number; `None` if none is waiting.
    ///
    /// # Errors
    /// What read(2) says.
    pub fn next(&self) -> Result<Option<i32>> {
        let info = self
            .fd
            .read_signal()
            .map_err(io::Error::from)
            .attempt(|| "read signalfd")?;
        Ok(info.and_then(|info| i32::try_from(info.ssi_signo).ok()))
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Does something with every signal held back, and lets them through again afterwards. A thread that is started in it
/// never gets one: signals are for the thread that asked for them.
pub fn undisturbed<T>(work: impl FnOnce() -> T) -> T {
    use nix::sys::signal::{SigSet, SigmaskHow};
    let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_BLOCK);
    let result = work();
    if let Ok(before) = before {
        let _ = before.thread_set_mask();
    }
    result
}
