//! Groups taken away, with those that their processes made below them.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{Cgroup, Group, PARENT, systemd};
use crate::engine::error::{Error, Result};
use crate::engine::sys::cgroupfs;

/// How long a removal waits for tasks that are just ending.
const ENDING: Duration = Duration::from_secs(1);

impl Cgroup {
    /// Removes the group with all groups below it, and `wharf` above it if it was the last there. Other ancestors stay.
    /// Idempotent. Waits up to one second for tasks that are just ending.
    ///
    /// # Errors
    /// [`Kind::Conflict`](crate::engine::error::Kind::Conflict) if it still has tasks.
    pub fn remove(&self) -> Result<()> {
        // systemd ends what is left in its unit; where all groups are gone the unit is too.
        if let Some(unit) = self.unit.as_ref().filter(|_| self.exists()) {
            systemd::stop(unit)?;
        }
        let deadline = Instant::now() + ENDING;
        for group in &self.groups {
            remove_tree(&group.directory(), deadline)?;
            if let Some(parent) = group.engines_parent() {
                // Stays while other containers are in it, and if it is somebody else's.
                let _ = cgroupfs::remove(&parent);
            }
        }
        Ok(())
    }
}

impl Group {
    /// The engine's own parent of groups, if this one is in it.
    pub(super) fn engines_parent(&self) -> Option<PathBuf> {
        (self.path.parent() == Some(Path::new(PARENT))).then(|| self.mount.join(PARENT))
    }
}

fn remove_tree(directory: &Path, deadline: Instant) -> Result<()> {
    let mut pause = Duration::from_micros(200);
    // The usual group has none below it and no tasks left: one system call.
    while !cgroupfs::remove(directory)? {
        for below in cgroupfs::children(directory)? {
            remove_tree(&below, deadline)?;
        }
        if cgroupfs::remove(directory)? {
            break;
        }
        if Instant::now() > deadline {
            return Err(Error::conflict(format!(
                "remove cgroup {}: it still has tasks",
                directory.display()
            )));
        }
        cgroupfs::pause(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Version;
    use super::super::tests::group;
    use super::*;

    #[test]
    fn groups_that_the_payload_made_are_removed_too() {
        let dir = tempfile::tempdir().unwrap();
        let group = group(Version::V1, dir.path(), &["memory", "pids"]);
        for below in [
            "memory/wharf/x/a/b",
            "memory/wharf/x/c",
            "pids/wharf/x",
            "pids/wharf/y",
        ] {
            std::fs::create_dir_all(dir.path().join(below)).unwrap();
        }
        group.remove().unwrap();
        assert!(!dir.path().join("memory/wharf").exists());
        assert!(dir.path().join("pids/wharf/y").exists());
        assert!(!dir.path().join("pids/wharf/x").exists());
    }

    #[test]
    fn ancestors_of_a_strange_path_stay() {
        let dir = tempfile::tempdir().unwrap();
        let mut group = group(Version::V1, dir.path(), &["memory"]);
        for group in &mut group.groups {
            group.path = PathBuf::from("a/b");
        }
        std::fs::create_dir_all(dir.path().join("memory/a/b")).unwrap();
        group.remove().unwrap();
        assert!(dir.path().join("memory/a").exists());
        assert!(!dir.path().join("memory/a/b").exists());
    }
}
