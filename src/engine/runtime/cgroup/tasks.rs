//! A group's tasks: listed, frozen, killed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{Cgroup, Version, figures};
use crate::engine::error::{Error, Kind, Result};
use crate::engine::sys::{cgroupfs, process};

/// How long freezing may take.
const FREEZING: Duration = Duration::from_secs(10);
/// How often tasks are looked for that were born while others were killed. Each round kills all that there are.
const ROUNDS: usize = 100;

impl Cgroup {
    /// Freezes all tasks and returns when they are frozen.
    ///
    /// # Errors
    /// What the kernel says; [`Kind::Unsupported`] without a freezer; [`Kind::Timeout`] after 10 s (then it is thawed
    /// again).
    pub fn freeze(&self) -> Result<()> {
        let deadline = Instant::now() + FREEZING;
        self.set_frozen(true)?;
        while !self.is_frozen()? {
            if Instant::now() > deadline {
                self.thaw()?;
                return Err(Error::new(
                    Kind::Timeout,
                    format!("freeze {}", self.label()),
                ));
            }
            cgroupfs::pause(Duration::from_millis(1));
            // v1: a task that was forked meanwhile needs another push (cgroup-v1/freezer-subsystem.rst).
            if self.version == Version::V1 {
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
        Ok(match self.version {
            Version::V1 => cgroupfs::read(&directory, "freezer.state")?
                .is_some_and(|text| text.trim() == "FROZEN"),
            Version::V2 => cgroupfs::read(&directory, "cgroup.events")?
                .is_some_and(|text| figures::keyed(&text, "frozen") == 1),
        })
    }

    /// The tasks' process ids in our pid namespace, ascending, those in groups below included; empty if the group is gone.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn pids(&self) -> Result<Vec<i32>> {
        // Any hierarchy that it is in will do: a task below in one is below, or in the group itself, in all.
        for directory in self.directories() {
            let mut found = BTreeSet::new();
            if collect(&directory, &mut found)? {
                return Ok(found.into_iter().collect());
            }
        }
        Ok(Vec::new())
    }

    /// Sends SIGKILL to every task here and below, frozen or not, until none is left that could fork. Does not wait for
    /// them to end.
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
        self.signal_each(libc::SIGKILL)
    }

    /// Sends a signal to every task here and below, as `kill --all` does; they are frozen meanwhile, so that none is missed
    /// that another one forks.
    ///
    /// # Errors
    /// What the kernel says; a group that is gone is fine.
    pub fn signal_all(&self, signal: i32) -> Result<()> {
        if signal == libc::SIGKILL {
            return self.kill_all();
        }
        self.signal_each(signal)
    }

    fn signal_each(&self, signal: i32) -> Result<()> {
        let was_frozen = self.is_frozen().unwrap_or(false);
        let mut reached = BTreeSet::new();
        for _ in 0..ROUNDS {
            let fresh = self.unreached(&reached)?;
            if fresh.is_empty() {
                break;
            }
            // Where freezing fails, signals are sent all the same. On v1 a task can be born before the others are frozen:
            // hence the rounds.
            let _ = self.set_frozen(true);
            let mut result = Ok(());
            for pid in self.unreached(&reached)? {
                result = result.and(process::kill(pid, signal));
                reached.insert(pid);
            }
            // SIGKILL is delivered once they are thawed; other signals wait if somebody else has paused them.
            if signal == libc::SIGKILL || !was_frozen {
                self.thaw()?;
            }
            result?;
        }
        Ok(())
    }

    fn unreached(&self, reached: &BTreeSet<i32>) -> Result<Vec<i32>> {
        let mut pids = self.pids()?;
        pids.retain(|pid| !reached.contains(pid));
        Ok(pids)
    }

    fn set_frozen(&self, frozen: bool) -> Result<()> {
        let Some(directory) = self.directory("freezer") else {
            return if frozen {
                Err(Error::unsupported(format!(
                    "freeze {}: it is in no freezer",
                    self.label()
                )))
            } else {
                Ok(())
            };
        };
        let (name, value) = match (self.version, frozen) {
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

/// Adds the processes of a group and of those below it; `false` if it is not there.
fn collect(directory: &Path, found: &mut BTreeSet<i32>) -> Result<bool> {
    let Some(text) = processes(directory)? else {
        return Ok(false);
    };
    found.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
    for below in cgroupfs::children(directory)? {
        collect(&below, found)?;
    }
    Ok(true)
}

fn processes(directory: &Path) -> Result<Option<String>> {
    match cgroupfs::read(directory, "cgroup.procs") {
        // A threaded group of v2 lists threads alone (cgroup-v2.rst, "Threads").
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {
            cgroupfs::read(directory, "cgroup.threads")
        }
        other => other,
    }
}

/// The group below `top` that a process is in, on v2.
pub(super) fn group_of(pid: i32, mount: &Path) -> Result<Option<PathBuf>> {
    let text = cgroupfs::read(Path::new(&format!("/proc/{pid}")), "cgroup")?.unwrap_or_default();
    let own = text.lines().find_map(|line| line.strip_prefix("0::/"));
    Ok(own.and_then(|path| Some(mount.join(super::place::plain(Path::new(path)).ok()?))))
}

#[cfg(test)]
mod tests {
    use super::super::tests::group;
    use super::*;

    #[test]
    fn tasks_of_groups_below_are_listed_once() {
        let dir = tempfile::tempdir().unwrap();
        let group = group(Version::V1, dir.path(), &["none", "memory"]);
        let top = dir.path().join("memory/wharf/x");
        std::fs::create_dir_all(top.join("a/b")).unwrap();
        for (name, text) in [("", "30\n4\n"), ("a", ""), ("a/b", "7\n4\n")] {
            std::fs::write(top.join(name).join("cgroup.procs"), text).unwrap();
        }
        assert_eq!(group.pids().unwrap(), [4, 7, 30]);
    }
}
