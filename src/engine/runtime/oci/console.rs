//! Handing descriptors to whoever asked for them: the terminal's master over a console socket, a process's descriptor
//! over a pidfd socket.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use oci_spec::runtime::Process;

use super::create::Run;
use crate::engine::error::{Attempt, Error, Kind, Result};
use crate::engine::model::request::TerminalSize;
use crate::engine::runtime::terms::Waiting;
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

/// Whether a console socket is there if, and only if, one is needed.
///
/// # Errors
/// runc's words for what does not fit.
pub fn check(terminal: bool, socket: Option<&Path>, run: Run) -> Result<()> {
    let detached = run == Run::Detached;
    match (terminal, socket) {
        (true, None) if detached => Err(Error::invalid(
            "cannot allocate tty if wharf will detach without setting console socket",
        )),
        (true, Some(_)) if detached => Ok(()),
        (_, Some(_)) => Err(Error::invalid(
            "cannot use console socket if wharf will not detach or allocate tty",
        )),
        (_, None) => Ok(()),
    }
}

/// Sends what was asked for. The text that goes with a descriptor is of no meaning to anybody but may not be empty.
///
/// # Errors
/// What sendmsg(2) says.
pub fn hand_over(
    console: Option<OwnedFd>,
    pidfd: Option<OwnedFd>,
    waiting: Waiting<'_>,
) -> Result<()> {
    if let Some(socket) = pidfd {
        process::send_message(socket.as_fd(), b"pidfd", Some(waiting.pidfd))
            .attempt(|| "--pidfd-socket")?;
    }
    match (console, waiting.terminal) {
        (Some(socket), Some(master)) => {
            process::send_message(socket.as_fd(), b"terminal", Some(master))
                .attempt(|| "--console-socket")
        }
        // It is shown on ours, which makes the line ends; a file gets what the process writes.
        (None, Some(master)) => pty::keep_line_feeds(master),
        (Some(_) | None, None) => Ok(()),
    }
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
