//! The host's cgroup mounts: which interface it has, and where each controller is. Groups in them are for the others.

use std::path::{Path, PathBuf};

use super::Cgroup;
use crate::engine::error::{Error, Result};
use crate::engine::model::ContainerId;
use crate::engine::sys::file;

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
    pub(super) version: Version,
    /// `(controllers, mount point)`; on v2 a single row without controllers.
    pub(super) mounts: Vec<(Vec<String>, PathBuf)>,
}

impl Hierarchy {
    /// Reads `/proc/self/mountinfo`.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] if no cgroup file system is mounted.
    pub fn detect() -> Result<Self> {
        let content = file::read_optional(Path::new("/proc/self/mountinfo"))?.unwrap_or_default();
        Self::from_mountinfo(&String::from_utf8_lossy(&content)).ok_or_else(|| {
            Error::unsupported("find the host's cgroups: no cgroup file system is mounted")
                .with_hint("mount cgroup2 at /sys/fs/cgroup")
        })
    }

    /// From the text of a mountinfo file (proc(5)). v1 wins where it has any of the controllers that containers need:
    /// a cgroup2 mount beside it (hybrid) then has nothing to offer.
    pub(super) fn from_mountinfo(text: &str) -> Option<Self> {
        let mut v1: Vec<(Vec<String>, PathBuf)> = Vec::new();
        let mut v2 = None;
        for line in text.lines() {
            let Some((left, right)) = line.split_once(" - ") else {
                continue;
            };
            let Some(point) = left.split(' ').nth(4) else {
                continue;
            };
            let mut right = right.split(' ');
            let (kind, options) = (right.next().unwrap_or(""), right.nth(1).unwrap_or(""));
            let point = PathBuf::from(point);
            match kind {
                "cgroup2" => v2 = v2.or(Some(point)),
                "cgroup" if !v1.iter().any(|(_, known)| *known == point) => {
                    let controllers = options.split(',').map(str::to_owned).collect();
                    v1.push((controllers, point));
                }
                _ => {}
            }
        }
        let serves = |(controllers, _): &(Vec<String>, PathBuf)| {
            controllers
                .iter()
                .any(|name| name == "memory" || name == "pids")
        };
        if v1.iter().any(serves) {
            return Some(Self {
                version: Version::V1,
                mounts: v1,
            });
        }
        let unified = (Vec::new(), v2?);
        Some(Self {
            version: Version::V2,
            mounts: vec![unified],
        })
    }

    /// Which interface it is.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// The group of a container. Nothing is created yet.
    #[must_use]
    pub fn container(&self, id: &ContainerId) -> Cgroup {
        Cgroup {
            hierarchy: self.clone(),
            name: id.as_str().to_owned(),
        }
    }

    /// The mount of a v1 controller, or of the unified tree.
    pub(super) fn mount(&self, controller: &str) -> Option<&Path> {
        let found = match self.version {
            Version::V1 => self
                .mounts
                .iter()
                .find(|(controllers, _)| controllers.iter().any(|name| name == controller)),
            Version::V2 => self.mounts.first(),
        };
        found.map(|(_, point)| point.as_path())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
30 23 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
31 30 0:27 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
32 30 0:28 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
33 30 0:29 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
34 30 0:30 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";

    #[test]
    fn a_hybrid_host_is_v1() {
        let found = Hierarchy::from_mountinfo(HYBRID).unwrap();
        assert_eq!(found.version(), Version::V1);
        assert_eq!(
            found.mount("memory"),
            Some(Path::new("/sys/fs/cgroup/memory"))
        );
        assert_eq!(found.mount("pids"), None);
    }

    #[test]
    fn a_host_with_the_unified_tree_alone_is_v2() {
        let line = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
        let found = Hierarchy::from_mountinfo(line).unwrap();
        assert_eq!(found.version(), Version::V2);
        let id = ContainerId::try_from("a".repeat(64)).unwrap();
        assert!(
            found
                .container(&id)
                .unified()
                .unwrap()
                .starts_with("/sys/fs/cgroup/wharf")
        );
        assert_eq!(Hierarchy::from_mountinfo("garbage\n - \n"), None);
    }
}
