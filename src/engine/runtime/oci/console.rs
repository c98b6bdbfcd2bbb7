//! Handing descriptors to whoever asked for them: the terminal's master over a console socket, a process's descriptor
//! over a pidfd socket.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use oci_spec::runtime::Process;

use super::create::Run;
use crate::engine::error::{Attempt, Error, Kind, Result};
use crate::engine::model::request::TerminalSize;
use crate::engine::sys::{process, pty, socket};

/// Connects to a socket that somebody listens at.
///
/// # Errors
/// `flag` and path if nobody does.
pub fn connect(path: &Path, flag: &str) -> Result<OwnedFd> {
    socket::connect(path)
        .and_then(|socket| {
            socket.ok_or_else(|| {
                let text = format!("connect to {}: nobody listens there", path.display());
                Error::new(Kind::Unavailable, text)
            })
        })
        .attempt(|| flag.to_owned())
}

/// Sends a descriptor. The text that goes with it is of no meaning to anybody but may not be empty.
///
/// # Errors
/// What sendmsg(2) says.
pub fn send(socket: &OwnedFd, name: &str, fd: BorrowedFd<'_>) -> Result<()> {
    process::send_message(socket.as_fd(), name.as_bytes(), Some(fd))
}

/// The size that a process's terminal begins with: its own wish, or that of our terminal if it is shown there.
#[must_use]
pub fn size(process: &Process, run: Run) -> Option<TerminalSize> {
    let wished = process.console_size().and_then(|size| {
        Some(TerminalSize {
            rows: u16::try_from(size.height()).ok()?,
            cols: u16::try_from(size.width()).ok()?,
        })
    });
    match run {
        Run::Detached => wished,
        Run::Foreground | Run::Kept => wished.or_else(|| pty::size(process::standard(0))),
    }
}
