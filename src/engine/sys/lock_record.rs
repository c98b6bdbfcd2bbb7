//! POSIX record locks (fcntl(2), `F_SETLK`, `F_GETLK`): they belong to a process, end with it however it ends, and tell
//! anybody who asks whose they are.
//!
//! Two traps of theirs: a lock is lost when its process closes *any* descriptor of the file, and threads of one process
//! do not exclude each other.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::FlockOperation;
use rustix::io::Errno;
use rustix::process::{Flock, FlockType};

use crate::engine::error::{Attempt, Result};

/// A held lock; dropping it lets go.
#[derive(Debug)]
pub struct RecordLock {
    _file: OwnedFd,
}

/// Takes the lock, making the file if it is missing; `None` if another process holds it.
///
/// # Errors
/// What open(2) and fcntl(2) say.
pub fn take(path: &Path) -> Result<Option<RecordLock>> {
    let what = || format!("lock {}", path.display());
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .attempt(what)?;
    loop {
        match rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(Some(RecordLock { _file: file.into() })),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN | Errno::ACCESS) => return Ok(None),
            Err(errno) => return Err(io::Error::from(errno)).attempt(what),
        }
    }
}

/// The process that holds the lock, if one does. A process that asks about its own lock is told that it is free, and
/// loses it.
///
/// # Errors
/// What open(2) and fcntl(2) say; a file that is missing is not locked.
pub fn holder(path: &Path) -> Result<Option<i32>> {
    let what = || format!("ask who locks {}", path.display());
    let file = match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).attempt(what),
    };
    let wanted = Flock::from(FlockType::WriteLock);
    let blocking = rustix::process::fcntl_getlk(&file, &wanted)
        .map_err(io::Error::from)
        .attempt(what)?;
    Ok(blocking.map(|lock| lock.pid.map_or(0, |pid| pid.as_raw_nonzero().get())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_holds_a_file_that_is_missing_or_free() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("l");
        assert_eq!(holder(&path).unwrap(), None);
        drop(take(&path).unwrap().unwrap());
        assert_eq!(holder(&path).unwrap(), None);
    }
}
