//! A group's tasks: listed, frozen, killed.

use std::time::{Duration, Instant};

use super::{Cgroup, Version, figures};
use crate::engine::error::{Error, Kind, Result};
use crate::engine::sys::cgroupfs;

/// How long freezing may take.
const FREEZING: Duration = Duration::from_secs(10);

impl Cgroup {
    /// Freezes all tasks and returns when they are frozen.
    ///
    /// # Errors
    /// What the kernel says; [`Kind::Timeout`] after 10 s (then it is thawed again).
    pub fn freeze(&self) -> Result<()> {
        let deadline = Instant::now() + FREEZING;
        self.set_frozen(true)?;
        while !self.is_frozen()? {
            if Instant::now() > deadline {
                self.thaw()?;
                return Err(Error::new(
                    Kind::Timeout,
                    format!("freeze cgroup {}", self.name),
                ));
            }
            cgroupfs::pause(Duration::from_millis(1));
            // v1: a task that was forked meanwhile needs another push (cgroup-v1/freezer-subsystem.rst).
            if self.hierarchy.version == Version::V1 {
                self.set_frozen(true)?;
            }
        }
        Ok(())
    }

    /// Lets them go on. One that is not frozen is left alone.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn thaw(&self) -> Result<()> {
        self.set_frozen(false)
    }

    /// Whether it is frozen; `false` if the group is gone.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn is_frozen(&self) -> Result<bool> {
        let Some(directory) = self.directory("freezer") else {
            return Ok(false);
        };
        Ok(match self.hierarchy.version {
            Version::V1 => cgroupfs::read(&directory, "freezer.state")?
                .is_some_and(|text| text.trim() == "FROZEN"),
            Version::V2 => cgroupfs::read(&directory, "cgroup.events")?
                .is_some_and(|text| figures::keyed(&text, "frozen") == 1),
        })
    }

    /// The tasks' process ids in our pid namespace; empty if the group is gone.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn pids(&self) -> Result<Vec<i32>> {
        // Any hierarchy that it is in will do; pids is everywhere, and the others stand in for it.
        for directory in self.directories() {
            if let Some(text) = cgroupfs::read(&directory, "cgroup.procs")? {
                return Ok(text.lines().filter_map(|line| line.parse().ok()).collect());
            }
        }
        Ok(Vec::new())
    }

    /// Sends SIGKILL to every task, frozen or not, until none is left that could fork. Does not wait for them to end.
    ///
    /// # Errors
    /// What the kernel says; a group that is gone is fine.
    pub fn kill_all(&self) -> Result<()> {
        if let Some(directory) = self.unified() {
            match cgroupfs::write(&directory, "cgroup.kill", "1") {
                Ok(()) => return Ok(()),
                // Linux before 5.14 has no such file; a group that is gone has none either.
                Err(error) if error.kind() == Kind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        let mut pids = self.pids()?;
        if pids.is_empty() {
            return Ok(());
        }
        // Frozen tasks cannot fork, so the second list is complete. Where freezing fails, killing is tried all the same.
        let _ = self.set_frozen(true);
        pids.extend(self.pids()?);
        for pid in pids {
            cgroupfs::kill(pid)?;
        }
        self.thaw()
    }

    fn set_frozen(&self, frozen: bool) -> Result<()> {
        let Some(directory) = self.directory("freezer") else {
            return Err(Error::unsupported(
                "freeze: the host has no freezer controller",
            ));
        };
        let (name, value) = match (self.hierarchy.version, frozen) {
            (Version::V1, true) => ("freezer.state", "FROZEN"),
            (Version::V1, false) => ("freezer.state", "THAWED"),
            (Version::V2, true) => ("cgroup.freeze", "1"),
            (Version::V2, false) => ("cgroup.freeze", "0"),
        };
        match cgroupfs::write(&directory, name, value) {
            Err(error) if !frozen && error.kind() == Kind::NotFound => Ok(()),
            other => other,
        }
    }
}
