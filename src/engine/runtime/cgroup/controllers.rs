//! Controllers of the unified tree handed down to groups (cgroup-v2.rst, "Enabling and Disabling").

use std::path::{Path, PathBuf};

use super::{Cgroup, Group, Version};
use crate::engine::error::{Error, Result};
use crate::engine::sys::cgroupfs;

/// Those that are handed down to containers where the host has them.
const ENABLED: &[&str] = &["cpu", "cpuset", "io", "memory", "pids", "hugetlb", "rdma"];

/// The group for processes that are in the way, by the name that others give it.
const ROOM: &str = "init";

/// How often it is looked for processes that were born meanwhile.
const ROUNDS: usize = 100;

/// The groups above one, from the mount point down.
pub(super) fn ancestors(group: &Group) -> impl Iterator<Item = PathBuf> {
    let parent = group.path.parent().unwrap_or_else(|| Path::new(""));
    let mut place = group.mount.clone();
    let below = parent
        .iter()
        .map(std::ffi::OsStr::to_owned)
        .collect::<Vec<_>>();
    std::iter::once(group.mount.clone()).chain(below.into_iter().map(move |name| {
        place.push(name);
        place.clone()
    }))
}

/// Hands controllers down to children. A setting that misses one says so itself.
pub(super) fn enable(directory: &Path) {
    let list = |name: &str| {
        cgroupfs::read(directory, name)
            .ok()
            .flatten()
            .unwrap_or_default()
    };
    let (offered, active) = (list("cgroup.controllers"), list("cgroup.subtree_control"));
    let has = |list: &str, name: &str| list.split_whitespace().any(|word| word == name);
    let missing: Vec<_> = ENABLED
        .iter()
        .filter(|name| has(&offered, name) && !has(&active, name))
        .map(|name| format!("+{name}"))
        .collect();
    if missing.is_empty() {
        return;
    }
    let enable = |names: &str| cgroupfs::write(directory, "cgroup.subtree_control", names);
    let Err(error) = enable(&missing.join(" ")) else {
        return;
    };
    if error.raw_os_error() == Some(libc::EBUSY) {
        // It has processes. Some controllers could be had all the same, but as those of threads: then no group below it
        // takes processes any more (cgroup-v2.rst, "Threads"). [`Cgroup::hand_down`] makes room when there is a limit.
        tracing::warn!(%error, "cgroup controllers are not available to containers");
        return;
    }
    // One by one: a controller that cannot be handed down must not hold back the others.
    for name in missing {
        if let Err(error) = enable(&name) {
            tracing::warn!(%error, "a cgroup controller is not available to containers");
        }
    }
}

impl Cgroup {
    /// After a file of a controller was not there: hands it down to the group, whatever was done before. Somebody else may
    /// be at it in the group above, which the kernel makes this call wait for; or a group above has processes of its own.
    ///
    /// # Errors
    /// What the kernel says; nothing is done on v1.
    pub(super) fn hand_down(&self, controller: &str) -> Result<()> {
        let group = self.groups.first();
        // What is above a unit of systemd's is systemd's.
        let ours = self.version == Version::V2 && self.unit.is_none();
        let Some(group) = group.filter(|_| ours) else {
            return Ok(());
        };
        let name = format!("+{controller}");
        for directory in ancestors(group) {
            make_room(&directory, &group.mount)?;
            cgroupfs::write(&directory, "cgroup.subtree_control", &name)?;
        }
        Ok(())
    }
}

/// Moves the processes of a group into one below it: only then can it hand controllers down (cgroup-v2.rst, "No Internal
/// Process Constraint"). Done for the root of a container's own view alone, where the processes are the container's, so
/// that an engine in a container can limit what it starts.
fn make_room(directory: &Path, mount: &Path) -> Result<()> {
    // The host's own root has no type, and no need.
    if directory != mount || !directory.join("cgroup.type").exists() {
        return Ok(());
    }
    let below = directory.join(ROOM);
    for _ in 0..ROUNDS {
        let procs = cgroupfs::read(directory, "cgroup.procs")?.unwrap_or_default();
        if procs.is_empty() {
            return Ok(());
        }
        cgroupfs::make(&below)?;
        for pid in procs.lines() {
            match cgroupfs::write(&below, "cgroup.procs", pid) {
                Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                other => other?,
            }
        }
    }
    Err(Error::conflict(format!(
        "move all processes of {} into {}: there are always new ones",
        directory.display(),
        below.display()
    )))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::tests::group;
    use super::*;

    #[test]
    fn a_controller_is_handed_down_from_the_root_to_the_parent() {
        let dir = tempfile::tempdir().unwrap();
        let group = group(Version::V2, dir.path(), &[""]);
        let places: Vec<PathBuf> = ancestors(group.groups.first().unwrap()).collect();
        for place in &places {
            fs::create_dir_all(place).unwrap();
            fs::write(place.join("cgroup.subtree_control"), "").unwrap();
        }
        group.hand_down("pids").unwrap();
        for place in &places {
            let text = fs::read_to_string(place.join("cgroup.subtree_control")).unwrap();
            assert_eq!(text, "+pids", "{}", place.display());
        }
        assert!(places.len() >= 2);
    }

    #[test]
    fn nothing_is_moved_on_the_host_or_below_the_top() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("cgroup.procs"), "1\n").unwrap();
        make_room(dir.path(), dir.path()).unwrap();
        fs::write(dir.path().join("cgroup.type"), "domain\n").unwrap();
        make_room(dir.path(), Path::new("/elsewhere")).unwrap();
        assert!(!dir.path().join(ROOM).exists());
    }

    #[test]
    fn processes_that_never_end_coming_are_told() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [("cgroup.procs", "1\n"), ("cgroup.type", "domain\n")] {
            fs::write(dir.path().join(name), text).unwrap();
        }
        fs::create_dir(dir.path().join(ROOM)).unwrap();
        fs::write(dir.path().join(ROOM).join("cgroup.procs"), "").unwrap();
        let error = make_room(dir.path(), dir.path()).unwrap_err();
        assert!(error.to_string().contains("always new ones"), "{error}");
    }
}
