//! The conversation between a front and a monitor or exec supervisor, over one unix stream socket.
//!
//! Every message is a frame: kind (1 byte), three zero bytes, length (big-endian u32), payload.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::engine::error::{Error, Result};
use crate::engine::model::request::TerminalSize;

/// What a session delivers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Bytes of standard output (everything, if there is a terminal).
    Stdout(Vec<u8>),
    /// Bytes of standard error.
    Stderr(Vec<u8>),
    /// The process ended; nothing comes after it.
    Exited(Exit),
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Exit {
    /// Exit code; 128 + signal if it was killed.
    pub code: i32,
    /// The memory limit killed it.
    pub oom_killed: bool,
}

/// An attached stream to a container's main process or to an exec.
#[derive(Debug)]
pub struct Session {
    stream: OwnedFd,
}

/// The receiving half.
#[derive(Debug)]
pub struct SessionReader {
    stream: OwnedFd,
}

/// The sending half.
#[derive(Debug)]
pub struct SessionWriter {
    stream: OwnedFd,
}

impl Session {
    /// Splits into independent halves, for two threads.
    ///
    /// # Errors
    /// If the descriptor cannot be duplicated.
    pub fn split(self) -> Result<(SessionReader, SessionWriter)> {
        Err(Error::unsupported("attach"))
    }
}

impl SessionReader {
    /// Blocks for the next output; `None` when the other side closed without an exit (the monitor died, or detached).
    ///
    /// # Errors
    /// What read(2) says, or a malformed frame.
    pub fn next(&mut self) -> Result<Option<Output>> {
        Err(Error::unsupported("attach"))
    }
}

impl AsFd for SessionReader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl SessionWriter {
    /// Sends bytes to the process's standard input.
    ///
    /// # Errors
    /// What write(2) says; [`crate::engine::error::Kind::Unavailable`] when the other side is gone.
    pub fn stdin(&mut self, _bytes: &[u8]) -> Result<()> {
        Err(Error::unsupported("attach"))
    }

    /// End of standard input.
    ///
    /// # Errors
    /// As [`Self::stdin`].
    pub fn close_stdin(&mut self) -> Result<()> {
        Err(Error::unsupported("attach"))
    }

    /// The terminal has a new size.
    ///
    /// # Errors
    /// As [`Self::stdin`].
    pub fn resize(&mut self, _size: TerminalSize) -> Result<()> {
        Err(Error::unsupported("attach"))
    }

    /// Ends [`SessionReader::next`] of the other half with `None`; the process goes on.
    pub fn detach(&mut self) {}
}
