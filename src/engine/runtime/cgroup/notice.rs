//! Notices of memory exhaustion, and of a group's end.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use super::{Cgroup, Version, figures};
use crate::engine::error::{Error, Result};
use crate::engine::sys::cgroupfs;

/// Notice of memory exhaustion: poll it for reading, then [`Self::clear`] or [`Self::look`]. It is readable too when the
/// group is removed, and on v2 when its last task ends.
#[derive(Debug)]
pub struct OomWatch {
    notice: OwnedFd,
    version: Version,
    directory: PathBuf,
    /// v2: how many tasks had been killed when it was last looked at.
    seen: u64,
    /// v2: whether it was seen with tasks. A group that has none yet is not gone.
    lived: bool,
}

/// What a readable watch means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// Nothing that counts here: another event of the same file.
    Nothing,
    /// Memory ran out: a task was killed, or on v1 waits if the OOM killer is disabled.
    Exhausted,
    /// The group is gone, or on v2 has no tasks any more.
    Gone,
}

impl Cgroup {
    /// How many tasks were killed because of the memory limit, since the group was made. Zero if the group is gone.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn oom_kills(&self) -> Result<u64> {
        let Some(directory) = self.directory("memory") else {
            return Ok(0);
        };
        let name = match self.version {
            Version::V1 => "memory.oom_control",
            Version::V2 => "memory.events",
        };
        Ok(cgroupfs::read(&directory, name)?.map_or(0, |text| figures::keyed(&text, "oom_kill")))
    }

    /// A descriptor that becomes readable when the memory limit was hit, or the group ends; [`OomWatch::look`] and
    /// [`Self::oom_kills`] then say the rest.
    ///
    /// # Errors
    /// [`Kind::Unsupported`](crate::engine::error::Kind::Unsupported) without a memory controller.
    pub fn oom_watch(&self) -> Result<OomWatch> {
        let directory = self
            .directory("memory")
            .ok_or_else(|| Error::unsupported("watch memory: the host has no memory controller"))?;
        let notice = match self.version {
            Version::V1 => cgroupfs::v1_oom_notice(&directory)?,
            Version::V2 => cgroupfs::v2_notice(&directory, &["memory.events", "cgroup.events"])?,
        };
        let (seen, lived) = match self.version {
            Version::V1 => (0, false),
            Version::V2 => (self.oom_kills()?, has_tasks(&directory)?),
        };
        Ok(OomWatch {
            notice,
            version: self.version,
            directory,
            seen,
            lived,
        })
    }
}

impl OomWatch {
    /// Makes it unreadable again until the next time.
    ///
    /// # Errors
    /// What read(2) says.
    pub fn clear(&self) -> Result<()> {
        cgroupfs::drain(&self.notice).map(drop)
    }

    /// As [`Self::clear`], and says what has happened since the last time.
    ///
    /// # Errors
    /// What read(2) says.
    pub fn look(&mut self) -> Result<Notice> {
        let was_readable = cgroupfs::drain(&self.notice)?;
        if !self.directory.exists() {
            return Ok(Notice::Gone);
        }
        match self.version {
            Version::V1 if was_readable => Ok(Notice::Exhausted),
            Version::V1 => Ok(Notice::Nothing),
            Version::V2 => self.compare(),
        }
    }

    fn compare(&mut self) -> Result<Notice> {
        let killed = field(&self.directory, "memory.events", "oom_kill")?;
        let has_tasks = has_tasks(&self.directory)?;
        if killed > self.seen {
            self.seen = killed;
            self.lived = true;
            return Ok(Notice::Exhausted);
        }
        self.lived |= has_tasks;
        Ok(if self.lived && !has_tasks {
            Notice::Gone
        } else {
            Notice::Nothing
        })
    }
}

/// v2: whether a task is in the group or below.
fn has_tasks(directory: &Path) -> Result<bool> {
    Ok(field(directory, "cgroup.events", "populated")? == 1)
}

/// A number of a file of keys and numbers; zero if either is missing.
fn field(directory: &Path, file: &str, key: &str) -> Result<u64> {
    let text = cgroupfs::read(directory, file)?;
    Ok(text.map_or(0, |text| figures::keyed(&text, key)))
}

impl AsFd for OomWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.notice.as_fd()
    }
}
