//! Notice of changes in a directory (inotify(7)). What changed is for the caller to look at.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;

use super::poll;
use crate::engine::error::{Attempt, Result};

/// A watched directory, or several.
#[derive(Debug)]
pub struct Watch {
    fd: OwnedFd,
}

impl Watch {
    /// Watches nothing yet.
    ///
    /// # Errors
    /// What inotify_init1(2) says: there is a limit for each user.
    pub fn new() -> Result<Self> {
        let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)
            .map_err(io::Error::from)
            .attempt(|| "create inotify")?;
        Ok(Self { fd })
    }

    /// Gives notice of entries that are created, written, moved or removed in `directory` (not below).
    ///
    /// # Errors
    /// What inotify_add_watch(2) says.
    pub fn directory(&self, directory: &Path) -> Result<()> {
        let flags = WatchFlags::CREATE
            | WatchFlags::MODIFY
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::DELETE
            | WatchFlags::DELETE_SELF
            | WatchFlags::ONLYDIR;
        inotify::add_watch(&self.fd, directory, flags)
            .map(drop)
            .map_err(io::Error::from)
            .attempt(|| format!("watch {}", directory.display()))
    }

    /// Waits for notice, at most `patience`, and takes all that is there; `false` if there was none.
    ///
    /// # Errors
    /// What poll(2) and read(2) say.
    pub fn wait(&self, patience: Duration) -> Result<bool> {
        if !poll::wait_readable(&self.fd, Some(patience))? {
            return Ok(false);
        }
        let mut buffer = [MaybeUninit::<u8>::uninit(); 4096];
        loop {
            match rustix::io::read(&self.fd, &mut buffer) {
                Ok(([], _)) | Err(Errno::AGAIN) => return Ok(true),
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(io::Error::from(errno)).attempt(|| "read inotify"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_is_noticed_once() {
        let dir = tempfile::tempdir().unwrap();
        let watch = Watch::new().unwrap();
        watch.directory(dir.path()).unwrap();
        assert!(!watch.wait(Duration::ZERO).unwrap());
        std::fs::write(dir.path().join("f"), b"x").unwrap();
        assert!(watch.wait(Duration::from_secs(5)).unwrap());
        assert!(!watch.wait(Duration::ZERO).unwrap());
    }
}
