//! Control groups: limits, figures, freezing and killing, on v1 (also hybrid) and v2 alike.
//!
//! A container's group is `wharf/<id>` below every controller's mount (v1) or below `/sys/fs/cgroup` (v2).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use oci_spec::runtime::LinuxResources;

use crate::engine::error::{Error, Result};
use crate::engine::model::ContainerId;

/// Which interface the host has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Version {
    /// Controllers in mounts of their own, also with a cgroup2 mount beside them.
    V1,
    /// One unified tree.
    V2,
}

/// The host's cgroup mounts, found once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    _private: (),
}

impl Hierarchy {
    /// Reads `/proc/self/mountinfo`.
    ///
    /// # Errors
    /// [`Kind::Unsupported`](crate::engine::error::Kind::Unsupported) if no cgroup file system is mounted.
    pub fn detect() -> Result<Self> {
        Err(Error::unsupported("cgroups"))
    }

    /// Which interface it is.
    #[must_use]
    pub fn version(&self) -> Version {
        Version::V1
    }

    /// The group of a container. Nothing is created yet.
    #[must_use]
    pub fn container(&self, _id: &ContainerId) -> Cgroup {
        Cgroup { _private: () }
    }
}

/// One container's group, existing or not.
#[derive(Debug)]
pub struct Cgroup {
    _private: (),
}

/// Counters of one group. Zero where the host has no such controller. Network is not a matter of cgroups.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// CPU time of all tasks, nanoseconds.
    pub cpu_total: u64,
    /// Of which in user mode.
    pub cpu_user: u64,
    /// Of which in kernel mode.
    pub cpu_system: u64,
    /// Periods in which the CPU limit throttled it.
    pub throttled_periods: u64,
    /// Memory in use in bytes without inactive page cache, as `docker stats` counts.
    pub memory: u64,
    /// Memory limit in bytes, if there is one.
    pub memory_limit: Option<u64>,
    /// Bytes read from block devices.
    pub block_read: u64,
    /// Bytes written.
    pub block_write: u64,
    /// Tasks.
    pub pids: u64,
    /// Largest number of tasks, if limited.
    pub pids_limit: Option<u64>,
}

impl Cgroup {
    /// Makes the group and sets limits and the device list. One that exists is reused.
    ///
    /// # Errors
    /// The limit and what the kernel says. What was made stays: [`Self::remove`].
    pub fn create(&self, _resources: Option<&LinuxResources>) -> Result<()> {
        Err(Error::unsupported("cgroups"))
    }

    /// Moves a process into the group.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn attach(&self, _pid: i32) -> Result<()> {
        Err(Error::unsupported("cgroups"))
    }

    /// One sample. For many, [`Self::meter`] is cheaper.
    ///
    /// # Errors
    /// [`Kind::NotFound`](crate::engine::error::Kind::NotFound) if the group is gone.
    pub fn figures(&self) -> Result<Figures> {
        self.meter()?.read()
    }

    /// Opens the control files for repeated sampling.
    ///
    /// # Errors
    /// As [`Self::figures`].
    pub fn meter(&self) -> Result<Meter> {
        Err(Error::unsupported("cgroups"))
    }

    /// Freezes all tasks and returns when they are frozen.
    ///
    /// # Errors
    /// What the kernel says; [`Kind::Timeout`](crate::engine::error::Kind::Timeout) after 10 s (then it is thawed again).
    pub fn freeze(&self) -> Result<()> {
        Err(Error::unsupported("cgroups"))
    }

    /// Lets them go on. One that is not frozen is left alone.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn thaw(&self) -> Result<()> {
        Err(Error::unsupported("cgroups"))
    }

    /// Whether it is frozen; `false` if the group is gone.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn is_frozen(&self) -> Result<bool> {
        Err(Error::unsupported("cgroups"))
    }

    /// The tasks' process ids in our pid namespace; empty if the group is gone.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn pids(&self) -> Result<Vec<i32>> {
        Err(Error::unsupported("cgroups"))
    }

    /// Sends SIGKILL to every task, frozen or not, until none is left that could fork. Does not wait for them to end.
    ///
    /// # Errors
    /// What the kernel says; a group that is gone is fine.
    pub fn kill_all(&self) -> Result<()> {
        Err(Error::unsupported("cgroups"))
    }

    /// Removes the group, and the common parent if it was the last. Idempotent. Waits up to one second for tasks that
    /// are just ending.
    ///
    /// # Errors
    /// [`Kind::Conflict`](crate::engine::error::Kind::Conflict) if it still has tasks.
    pub fn remove(&self) -> Result<()> {
        Err(Error::unsupported("cgroups"))
    }

    /// How many tasks were killed because of the memory limit, since the group was made. Zero if the group is gone.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn oom_kills(&self) -> Result<u64> {
        Err(Error::unsupported("cgroups"))
    }

    /// A descriptor that becomes readable when the memory limit was hit; [`Self::oom_kills`] then says the rest.
    ///
    /// # Errors
    /// [`Kind::Unsupported`](crate::engine::error::Kind::Unsupported) without a memory controller.
    pub fn oom_watch(&self) -> Result<OomWatch> {
        Err(Error::unsupported("cgroups"))
    }
}

/// Open control files of one group.
#[derive(Debug)]
pub struct Meter {
    _private: (),
}

impl Meter {
    /// One sample.
    ///
    /// # Errors
    /// [`Kind::NotFound`](crate::engine::error::Kind::NotFound) if the group is gone.
    pub fn read(&mut self) -> Result<Figures> {
        Err(Error::unsupported("cgroups"))
    }
}

/// Notice of memory exhaustion: poll it for reading, then [`Self::clear`].
#[derive(Debug)]
pub struct OomWatch {
    notice: OwnedFd,
}

impl OomWatch {
    /// Makes it unreadable again until the next time.
    ///
    /// # Errors
    /// What read(2) says.
    pub fn clear(&self) -> Result<()> {
        Err(Error::unsupported("cgroups"))
    }
}

impl AsFd for OomWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.notice.as_fd()
    }
}
