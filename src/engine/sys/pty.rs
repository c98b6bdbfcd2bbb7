//! Pseudo-terminals (pty(7)) and their sizes.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::pty::OpenptFlags;
use rustix::termios::{OptionalActions, OutputModes, Winsize, tcgetattr, tcsetattr};

use super::failed;
use crate::engine::error::Result;
use crate::engine::model::request::TerminalSize;

/// Both ends of a pseudo-terminal, close-on-exec.
#[derive(Debug)]
pub struct Pair {
    /// The engine's end.
    pub master: OwnedFd,
    /// The process's end.
    pub peer: OwnedFd,
}

/// Opens a pseudo-terminal of the devpts instance whose root directory is given. The peer is opened from the master
/// (TIOCGPTPEER), never by a name that somebody may have changed.
///
/// # Errors
/// What the system calls say.
pub fn open(devpts: BorrowedFd<'_>) -> Result<Pair> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let master = rustix::fs::openat(devpts, "ptmx", flags, Mode::empty())
        .map_err(|e| failed(e, "open the terminal multiplexer"))?;
    rustix::pty::unlockpt(master.as_fd()).map_err(|e| failed(e, "unlock the terminal"))?;
    let peer = rustix::pty::ioctl_tiocgptpeer(
        master.as_fd(),
        OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC,
    )
    .map_err(|e| failed(e, "open the terminal's other end"))?;
    Ok(Pair { master, peer })
}

/// Whether a descriptor is a terminal's.
#[must_use]
pub fn is_terminal(fd: BorrowedFd<'_>) -> bool {
    rustix::termios::isatty(fd)
}

/// Sets the size; the foreground process group gets SIGWINCH if it changed.
///
/// # Errors
/// What ioctl(2) says.
pub fn set_size(terminal: BorrowedFd<'_>, size: TerminalSize) -> Result<()> {
    rustix::termios::tcsetwinsize(
        terminal,
        Winsize {
            ws_row: size.rows,
            ws_col: size.cols,
            ws_xpixel: 0,
            ws_ypixel: 0,
        },
    )
    .map_err(|e| failed(e, "set the terminal's size"))
}

/// Lines and columns; `None` where there is no terminal or it does not know.
#[must_use]
pub fn size(terminal: BorrowedFd<'_>) -> Option<TerminalSize> {
    let size = rustix::termios::tcgetwinsize(terminal).ok()?;
    (size.ws_row > 0 && size.ws_col > 0).then_some(TerminalSize {
        rows: size.ws_row,
        cols: size.ws_col,
    })
}

/// Makes a terminal the controlling one of this session.
///
/// # Errors
/// `EPERM` if this process does not lead a session.
pub fn make_controlling(terminal: BorrowedFd<'_>) -> Result<()> {
    rustix::process::ioctl_tiocsctty(terminal)
        .map_err(|e| failed(e, "make the terminal the controlling one"))
}

/// Lets line feeds written to a terminal stand alone, without a carriage return before them (ONLCR of termios(3)).
///
/// # Errors
/// If it is not a terminal.
pub fn keep_line_feeds(terminal: BorrowedFd<'_>) -> Result<()> {
    let what = "set the terminal's line ends";
    let mut settings = tcgetattr(terminal).map_err(|e| failed(e, what))?;
    settings.output_modes -= OutputModes::ONLCR;
    tcsetattr(terminal, OptionalActions::Now, &settings).map_err(|e| failed(e, what))
}
