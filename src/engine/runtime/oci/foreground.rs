//! A front that stays until its process ends: signals are passed on, and the process's terminal is shown on ours.

use std::os::fd::{AsFd, OwnedFd};

use super::notify::Notify;
use crate::engine::error::Result;
use crate::engine::runtime::launch::{Process, Streams};
use crate::engine::sys::poll::{Interest, Poller};
use crate::engine::sys::signal::Signals;
use crate::engine::sys::stdio::{self, Raw, Transfer};
use crate::engine::sys::{process, pty};

const SIGNALS: u64 = 0;
const PROCESS: u64 = 1;
const MASTER: u64 = 2;
const INPUT: u64 = 3;
const NOTIFY: u64 = 4;

const READ: Interest = Interest {
    read: true,
    write: false,
};

/// Signals are held from before the process exists.
#[derive(Debug)]
pub struct Foreground {
    signals: Signals,
    notify: Option<Notify>,
}

impl Foreground {
    /// Takes the signals over.
    ///
    /// # Errors
    /// What the system calls say.
    pub fn prepare() -> Result<Self> {
        Ok(Self {
            signals: Signals::take_all()?,
            notify: None,
        })
    }

    /// Also passes on that the program is ready.
    #[must_use]
    pub(super) fn with(mut self, notify: Option<Notify>) -> Self {
        self.notify = notify;
        self
    }

    /// Stays until the process has ended: its exit code, or 128 + signal.
    ///
    /// # Errors
    /// What the system calls say.
    pub fn supervise(&self, mut process: Process) -> Result<i32> {
        let poller = Poller::new()?;
        poller.add(&self.signals, SIGNALS, READ)?;
        poller.add(&process.pidfd, PROCESS, READ)?;
        if let Some(notify) = &self.notify {
            poller.add(notify.receiver(), NOTIFY, READ)?;
        }
        let streams = std::mem::replace(&mut process.streams, Streams::Inherited);
        let shown = match streams {
            Streams::Terminal(master) => Some(Shown::begin(master, &poller)?),
            Streams::Pipes { .. } | Streams::Inherited => None,
        };
        loop {
            for ready in poller.wait(None)? {
                match (ready.token, &shown) {
                    (SIGNALS, _) => self.forward(&process, shown.as_ref())?,
                    (MASTER, Some(shown)) => shown.show(&poller)?,
                    (NOTIFY, _) => self.tell_manager(),
                    (INPUT, Some(shown)) => shown.feed(&poller)?,
                    _ => {}
                }
            }
            if let Some(code) = process.try_wait()? {
                if let Some(shown) = &shown {
                    shown.finish();
                }
                return Ok(code);
            }
        }
    }

    /// A manager that cannot be told is no reason to end.
    fn tell_manager(&self) {
        if let Some(notify) = &self.notify {
            let _ = notify.pass_on(None);
        }
    }

    fn forward(&self, process: &Process, shown: Option<&Shown>) -> Result<()> {
        while let Some(signal) = self.signals.next()? {
            match (signal, shown) {
                (libc::SIGCHLD | libc::SIGPIPE, _) => {}
                (libc::SIGWINCH, Some(shown)) => shown.resize(),
                (signal, _) => process.signal(signal)?,
            }
        }
        Ok(())
    }
}

/// The process's terminal on ours.
#[derive(Debug)]
struct Shown {
    master: OwnedFd,
    // `None`: standard input is no terminal.
    _raw: Option<Raw<'static>>,
}

impl Shown {
    fn begin(master: OwnedFd, poller: &Poller) -> Result<Self> {
        stdio::set_nonblocking(master.as_fd())?;
        poller.add(&master, MASTER, READ)?;
        let raw = Raw::enter(process::standard(0)).ok();
        // A regular file or the null device cannot be waited for: it is read at once.
        let shown = Self { master, _raw: raw };
        if poller.add(&process::standard(0), INPUT, READ).is_err() {
            while stdio::copy(process::standard(0), shown.master.as_fd())? == Transfer::Some {}
            shown.end_input();
        }
        Ok(shown)
    }

    fn resize(&self) {
        if let Some(size) = pty::size(process::standard(0)) {
            let _ = pty::set_size(self.master.as_fd(), size);
        }
    }

    fn show(&self, poller: &Poller) -> Result<()> {
        match stdio::copy(self.master.as_fd(), process::standard(1))? {
            Transfer::Some | Transfer::Nothing => Ok(()),
            Transfer::End => poller.remove(&self.master),
        }
    }

    fn feed(&self, poller: &Poller) -> Result<()> {
        match stdio::copy(process::standard(0), self.master.as_fd())? {
            Transfer::Some | Transfer::Nothing => Ok(()),
            Transfer::End => {
                self.end_input();
                poller.remove(&process::standard(0))
            }
        }
    }

    /// Says it as a terminal does: the line discipline turns this into an end of file.
    fn end_input(&self) {
        let _ = stdio::write_all(self.master.as_fd(), &[4]);
    }

    /// What the process wrote last.
    fn finish(&self) {
        while matches!(
            stdio::copy(self.master.as_fd(), process::standard(1)),
            Ok(Transfer::Some)
        ) {}
    }
}
