//! Control groups: limits, figures, freezing and killing, on v1 (also hybrid) and v2 alike.
//!
//! A container's group is `wharf/<id>` below every controller's mount (v1) or below `/sys/fs/cgroup` (v2).

mod create;
mod devices;
mod figures;
mod hierarchy;
mod limits;
mod meter;
mod notice;
mod tasks;

use std::path::{Path, PathBuf};

pub use hierarchy::{Hierarchy, Version};
pub use meter::{Figures, Meter};
pub use notice::OomWatch;

use crate::engine::error::{Error, Kind};

/// The common parent of all containers' groups.
const PARENT: &str = "wharf";

/// One container's group, existing or not.
#[derive(Debug, Clone)]
pub struct Cgroup {
    hierarchy: Hierarchy,
    name: String,
}

impl Cgroup {
    /// The directory of the unified tree, for `CLONE_INTO_CGROUP`; `None` on v1.
    #[must_use]
    pub fn unified(&self) -> Option<PathBuf> {
        match self.hierarchy.version {
            Version::V1 => None,
            Version::V2 => self
                .hierarchy
                .mounts
                .first()
                .map(|(_, mount)| self.under(mount)),
        }
    }

    /// The v1 hierarchies that the group was made in: controllers (or `name=…`), and the name of the mount point. `None`
    /// on v2.
    #[must_use]
    pub fn v1_hierarchies(&self) -> Option<Vec<(Vec<&str>, &str)>> {
        if self.hierarchy.version == Version::V2 {
            return None;
        }
        let list = self.hierarchy.mounts.iter().filter_map(|(options, mount)| {
            let controllers = options
                .iter()
                .map(String::as_str)
                .filter(|option| is_controller(option))
                .collect();
            let name = mount.file_name()?.to_str()?;
            self.under(mount).exists().then_some((controllers, name))
        });
        Some(list.collect())
    }

    /// The group's directory below one mount.
    fn under(&self, mount: &Path) -> PathBuf {
        mount.join(PARENT).join(&self.name)
    }

    /// The group's directory for one controller.
    fn directory(&self, controller: &str) -> Option<PathBuf> {
        self.hierarchy
            .mount(controller)
            .map(|mount| self.under(mount))
    }

    /// The group's possible directories.
    fn directories(&self) -> impl Iterator<Item = PathBuf> + '_ {
        self.hierarchy
            .mounts
            .iter()
            .map(|(_, mount)| self.under(mount))
    }

    fn exists(&self) -> bool {
        self.directories().any(|directory| directory.exists())
    }

    fn gone(&self) -> Error {
        Error::new(Kind::NotFound, format!("cgroup {} is gone", self.name))
    }
}

/// What says which hierarchy a v1 mount is, among its other options.
fn is_controller(option: &str) -> bool {
    const OTHERS: &[&str] = &[
        "rw",
        "ro",
        "xattr",
        "noprefix",
        "clone_children",
        "cpuset_v2_mode",
        "favordynmods",
    ];
    option.starts_with("name=") || !(option.contains('=') || OTHERS.contains(&option))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_that_is_not_there_has_no_tasks_and_is_removed_already() {
        let dir = tempfile::tempdir().unwrap();
        let mounts = vec![(
            vec!["memory".to_owned(), "pids".to_owned()],
            dir.path().to_owned(),
        )];
        let group = Cgroup {
            hierarchy: Hierarchy {
                version: Version::V1,
                mounts,
            },
            name: "x".to_owned(),
        };
        assert_eq!(group.pids().unwrap(), Vec::<i32>::new());
        assert_eq!(group.oom_kills().unwrap(), 0);
        group.kill_all().unwrap();
        group.remove().unwrap();
        assert_eq!(group.figures().unwrap_err().kind(), Kind::NotFound);
    }
}
