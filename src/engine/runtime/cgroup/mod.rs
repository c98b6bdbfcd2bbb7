//! Control groups: limits, figures, freezing and killing, on v1 (also hybrid) and v2 alike.
//!
//! A container of the engine is in `wharf/<id>` below every controller's mount (v1) or below `/sys/fs/cgroup` (v2). One
//! that a bundle describes is where its `linux.cgroupsPath` says: [`Hierarchy::locate`].
//!
//! The life of a group, for the runtime's other parts:
//!
//! 1. [`Hierarchy::detect`], then [`Hierarchy::container`] or [`Hierarchy::locate`]: which groups, nothing is made yet.
//! 2. [`Cgroup::ensure_vacant`]: refuses groups that have processes or are frozen, as a strange `cgroupsPath` may.
//! 3. [`Cgroup::birthplace`] says whether the child can be born in the group. If so: [`Cgroup::create`], then clone into it.
//!    If not: clone, [`Cgroup::create_for`] the child, [`Cgroup::attach`] it.
//! 4. [`Cgroup::update`], [`Cgroup::freeze`], [`Cgroup::thaw`], [`Cgroup::report`], [`Cgroup::pids`], [`Cgroup::oom_watch`].
//! 5. [`Cgroup::kill_all`], [`Cgroup::remove`].

mod apply;
mod controllers;
mod create;
mod delegate;
mod devices;
mod figures;
mod hierarchy;
mod leave;
mod meter;
mod notice;
mod place;
mod remove;
mod report;
mod settings;
mod systemd;
mod tasks;
mod update;

use std::path::{Path, PathBuf};

pub use delegate::heir;
pub use devices::with_default_devices;
pub use hierarchy::{Hierarchy, Version};
pub use leave::leave_unit;
pub use meter::{Figures, Meter};
pub use notice::{Notice, OomWatch};
pub use place::Driver;
pub use report::{Interface, Report};

use crate::engine::error::{Error, Kind, Result};
use place::Unit;

/// The common parent of all containers' groups, and the prefix of their units.
const PARENT: &str = "wharf";

/// One container's group, existing or not. Can be stored: whoever reads it back means the same group.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Cgroup {
    version: Version,
    /// One for each hierarchy; none with [`Driver::Disabled`].
    groups: Vec<Group>,
    /// The unit, if systemd makes the group.
    unit: Option<Unit>,
}

/// The group in one hierarchy.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Group {
    /// v1: the controllers, or `name=…`; none in the unified tree.
    controllers: Vec<String>,
    /// Where the hierarchy is mounted.
    mount: PathBuf,
    /// The group below that.
    path: PathBuf,
}

impl Group {
    fn directory(&self) -> PathBuf {
        self.mount.join(&self.path)
    }

    /// Whether it is in the unified tree.
    fn is_unified(&self) -> bool {
        self.controllers.is_empty()
    }

    fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|name| name == controller)
    }
}

impl Cgroup {
    /// Which interface it is.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// Whether there is no group at all ([`Driver::Disabled`]).
    #[must_use]
    pub fn is_disabled(&self) -> bool {
        self.groups.is_empty()
    }

    /// The directory of the unified tree; `None` on v1.
    #[must_use]
    pub fn unified(&self) -> Option<PathBuf> {
        match self.version {
            Version::V1 => None,
            Version::V2 => self.groups.first().map(Group::directory),
        }
    }

    /// The directory for `CLONE_INTO_CGROUP`, if a child can be born in the group: on v2, unless systemd makes it, which
    /// only takes processes that are there already.
    #[must_use]
    pub fn birthplace(&self) -> Option<PathBuf> {
        self.unified().filter(|_| self.unit.is_none())
    }

    /// Where the group is for each controller, as runc's state has it: `cpu` to `/sys/fs/cgroup/cpu/…`; on v2 the empty
    /// name alone.
    #[must_use]
    pub fn paths(&self) -> std::collections::BTreeMap<String, PathBuf> {
        let mut paths = std::collections::BTreeMap::new();
        for group in &self.groups {
            if group.controllers.is_empty() {
                paths.insert(String::new(), group.directory());
            }
            for controller in &group.controllers {
                paths.insert(controller.clone(), group.directory());
            }
        }
        paths
    }

    /// The v1 hierarchies that the group was made in: controllers (or `name=…`), and the name of the mount point. `None`
    /// on v2.
    #[must_use]
    pub fn v1_hierarchies(&self) -> Option<Vec<(Vec<&str>, &str)>> {
        if self.version == Version::V2 {
            return None;
        }
        let of_v1 = self.groups.iter().filter(|group| !group.is_unified());
        let list = of_v1.filter_map(|group| {
            let controllers = group.controllers.iter().map(String::as_str).collect();
            let name = group.mount.file_name()?.to_str()?;
            group.directory().exists().then_some((controllers, name))
        });
        Some(list.collect())
    }

    /// A group below this one, as `exec --cgroup` names it: a path, on v1 also `controller,controller:path` for those alone.
    ///
    /// # Errors
    /// [`Kind::InvalidInput`] for a path that climbs; [`Kind::NotFound`] if it is not there in any hierarchy.
    pub fn subgroup(&self, text: &str) -> Result<Self> {
        let (controllers, path) = match text.split_once(':') {
            Some((controllers, path)) if self.version == Version::V1 => (controllers, path),
            _ => ("", text),
        };
        let wrong = |why: &str| Error::invalid(format!("join the sub-cgroup {text:?}: {why}"));
        let below = match path.trim_matches('/') {
            "" | "." => PathBuf::new(),
            _ => place::plain(Path::new(path))
                .map_err(|error| wrong("bad sub cgroup path").caused_by(error))?,
        };
        let mut sub = self.clone();
        let chosen = |group: &Group| {
            let names = controllers.split(',');
            controllers.is_empty() || names.into_iter().any(|name| group.has(name))
        };
        for group in sub.groups.iter_mut().filter(|group| chosen(group)) {
            // Pushing an empty path would add a slash.
            if !below.as_os_str().is_empty() {
                group.path.push(&below);
            }
        }
        let unknown = |name: &&str| !self.groups.iter().any(|group| group.has(name));
        if !controllers.is_empty()
            && let Some(name) = controllers.split(',').find(unknown)
        {
            return Err(wrong(&format!("unknown controller {name}")));
        }
        // Who names a controller means its hierarchy: to go without is no answer there.
        let named = !controllers.is_empty() && !below.as_os_str().is_empty();
        let mut groups = sub.groups.iter().filter(|group| chosen(group));
        let missing = named && groups.any(|group| !group.directory().exists());
        if sub.exists() && !missing {
            Ok(sub)
        } else {
            Err(
                wrong("adding pid of the process to it: no such file or directory")
                    .with_kind(Kind::NotFound),
            )
        }
    }

    /// The group in the hierarchy that has a v1 controller, or in the unified tree.
    fn group(&self, controller: &str) -> Option<&Group> {
        match self.version {
            Version::V1 => self.groups.iter().find(|group| group.has(controller)),
            Version::V2 => self.groups.first(),
        }
    }

    /// The group's directory for one controller.
    fn directory(&self, controller: &str) -> Option<PathBuf> {
        self.group(controller).map(Group::directory)
    }

    /// The group's possible directories.
    fn directories(&self) -> impl Iterator<Item = PathBuf> + '_ {
        self.groups.iter().map(Group::directory)
    }

    fn exists(&self) -> bool {
        self.directories().any(|directory| directory.exists())
    }

    /// What it is called in messages.
    #[must_use]
    pub fn label(&self) -> String {
        match self.groups.first() {
            Some(group) => format!("cgroup {}", group.path.display()),
            None => "the disabled cgroup".to_owned(),
        }
    }

    fn gone(&self) -> Error {
        Error::new(Kind::NotFound, format!("{} is gone", self.label()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A group on a host whose hierarchies are directories of the test's.
    pub(super) fn group(version: Version, root: &Path, hierarchies: &[&str]) -> Cgroup {
        let groups = hierarchies.iter().map(|list| Group {
            controllers: list
                .split(',')
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
                .collect(),
            mount: root.join(list),
            path: PathBuf::from("wharf/x"),
        });
        Cgroup {
            version,
            groups: groups.collect(),
            unit: None,
        }
    }

    #[test]
    fn a_group_that_is_not_there_has_no_tasks_and_is_removed_already() {
        let dir = tempfile::tempdir().unwrap();
        let group = group(Version::V1, dir.path(), &["memory,pids"]);
        assert_eq!(group.pids().unwrap(), Vec::<i32>::new());
        assert_eq!(group.oom_kills().unwrap(), 0);
        group.kill_all().unwrap();
        group.remove().unwrap();
        assert_eq!(group.figures().unwrap_err().kind(), Kind::NotFound);
    }

    #[test]
    fn a_subgroup_is_below_its_group() {
        let dir = tempfile::tempdir().unwrap();
        let group = group(Version::V1, dir.path(), &["cpu,cpuacct", "memory"]);
        std::fs::create_dir_all(dir.path().join("memory/wharf/x/sub")).unwrap();
        let paths = |text: &str| {
            let group = group.subgroup(text).unwrap();
            let paths = group
                .groups
                .iter()
                .map(|group| group.path.to_str().unwrap().to_owned());
            paths.collect::<Vec<_>>()
        };
        assert_eq!(paths("/sub"), ["wharf/x/sub", "wharf/x/sub"]);
        assert_eq!(paths("memory:sub"), ["wharf/x", "wharf/x/sub"]);
        assert_eq!(paths("/"), ["wharf/x", "wharf/x"]);
        for text in ["..", "sub/../..", "memory:../y", "/../../x"] {
            let error = group.subgroup(text).unwrap_err();
            assert_eq!(error.kind(), Kind::InvalidInput, "{text}");
        }
        assert!(group.subgroup("hugetlb:sub").is_err());
        assert_eq!(group.subgroup("none").unwrap_err().kind(), Kind::NotFound);
    }

    #[test]
    fn paths_are_listed_by_controller() {
        let group = group(Version::V1, Path::new("/m"), &["cpu,cpuacct"]);
        let paths = group.paths();
        assert_eq!(paths.len(), 2);
        assert_eq!(
            paths.get("cpuacct").unwrap(),
            Path::new("/m/cpu,cpuacct/wharf/x")
        );
    }
}
