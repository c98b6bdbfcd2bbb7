//! Where a created container waits for `start`: a socket in its state directory that its first process listens on.
//!
//! A socket rather than a fifo, because it answers: `start` returns once the program was executed or says which step
//! failed, a container that died meanwhile refuses the connection at once, and only the engine's own user gets through.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use crate::engine::error::{Error, Result};
use crate::engine::runtime::launch;
use crate::engine::sys::socket;

/// Makes the socket. The listening end is for the container's first process.
///
/// # Errors
/// What the system calls say.
pub fn make(path: &Path) -> Result<OwnedFd> {
    socket::listen_for_messages(path)
}

/// Lets the first process go on and returns when it has executed the program.
///
/// # Errors
/// [`Kind::Conflict`](crate::engine::error::Kind::Conflict) if nobody waits there; otherwise what kept the program from
/// being executed: the container has then stopped.
pub fn open(path: &Path) -> Result<()> {
    let connection = socket::connect_for_messages(path)?
        .ok_or_else(|| Error::conflict("cannot start a container that has stopped"))?;
    launch::await_execution(connection.as_fd())
}
