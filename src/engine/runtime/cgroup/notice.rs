//! Notices of memory exhaustion.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::{Cgroup, Version, figures};
use crate::engine::error::{Error, Result};
use crate::engine::sys::cgroupfs;

/// Notice of memory exhaustion: poll it for reading, then [`Self::clear`].
#[derive(Debug)]
pub struct OomWatch {
    notice: OwnedFd,
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

    /// A descriptor that becomes readable when the memory limit was hit; [`Self::oom_kills`] then says the rest.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] without a memory controller.
    pub fn oom_watch(&self) -> Result<OomWatch> {
        let directory = self
            .directory("memory")
            .ok_or_else(|| Error::unsupported("watch memory: the host has no memory controller"))?;
        let notice = match self.version {
            Version::V1 => cgroupfs::v1_oom_notice(&directory)?,
            Version::V2 => cgroupfs::v2_notice(&directory, "memory.events")?,
        };
        Ok(OomWatch { notice })
    }
}

impl OomWatch {
    /// Makes it unreadable again until the next time.
    ///
    /// # Errors
    /// What read(2) says.
    pub fn clear(&self) -> Result<()> {
        cgroupfs::drain(&self.notice)
    }
}

impl AsFd for OomWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.notice.as_fd()
    }
}
