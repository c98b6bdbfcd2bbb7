//! Our own standard streams for somebody else's process: raw mode that is always given back, and plain copying.

use std::os::fd::BorrowedFd;

use rustix::event::{PollFd, PollFlags};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::termios::{OptionalActions, OutputModes, Termios, tcgetattr, tcsetattr};

use super::failed;
use crate::engine::error::Result;

/// A terminal in raw mode; dropping it restores what was before.
#[derive(Debug)]
pub struct Raw<'a> {
    terminal: BorrowedFd<'a>,
    before: Termios,
}

impl<'a> Raw<'a> {
    /// Every key goes on as it is (termios(3), "Raw mode"); output is processed as before.
    ///
    /// # Errors
    /// If it is not a terminal.
    pub fn enter(terminal: BorrowedFd<'a>) -> Result<Self> {
        let what = "set a terminal to raw mode";
        let before = tcgetattr(terminal).map_err(|e| failed(e, what))?;
        let mut raw = before.clone();
        raw.make_raw();
        // Of two terminals in a row one makes line ends of line feeds: this one, as with runc and crun.
        raw.output_modes |= before.output_modes & OutputModes::OPOST;
        tcsetattr(terminal, OptionalActions::Now, &raw).map_err(|e| failed(e, what))?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Raw<'_> {
    fn drop(&mut self) {
        // The terminal may be gone (SIGHUP): then there is nothing to restore.
        let _ = tcsetattr(self.terminal, OptionalActions::Now, &self.before);
    }
}

/// What a copy found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transfer {
    /// Something.
    Some,
    /// Nothing yet, only if the source does not block.
    Nothing,
    /// There is no more.
    End,
}

/// Copies what one read gives. Waits until all of it is written; a reader that is gone is an end.
///
/// # Errors
/// What read(2) and write(2) say.
pub fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<Transfer> {
    let mut buffer = [0; 16 * 1024];
    let count = loop {
        match rustix::io::read(from, &mut buffer) {
            Ok(count) => break count,
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Ok(Transfer::Nothing),
            // A terminal whose other end is closed (pty(7)).
            Err(Errno::IO) => return Ok(Transfer::End),
            Err(e) => return Err(failed(e, "read")),
        }
    };
    if count == 0 {
        return Ok(Transfer::End);
    }
    match write_all(to, buffer.get(..count).unwrap_or_default()) {
        Ok(()) => Ok(Transfer::Some),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EPIPE | libc::EIO)) => {
            Ok(Transfer::End)
        }
        Err(error) => Err(error),
    }
}

/// Writes everything, waiting where the descriptor does not block.
///
/// # Errors
/// What write(2) says.
pub fn write_all(to: BorrowedFd<'_>, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(to, bytes) {
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let mut fds = [PollFd::new(&to, PollFlags::OUT)];
                let _ = rustix::event::poll(&mut fds, None);
            }
            Err(e) => return Err(failed(e, "write")),
        }
    }
    Ok(())
}

/// Reads and writes do not wait any more; this counts for everybody who shares the open file.
///
/// # Errors
/// What fcntl(2) says.
pub fn set_nonblocking(fd: BorrowedFd<'_>) -> Result<()> {
    rustix::fs::fcntl_getfl(fd)
        .and_then(|flags| rustix::fs::fcntl_setfl(fd, flags | OFlags::NONBLOCK))
        .map_err(|e| failed(e, "make a descriptor non-blocking"))
}
