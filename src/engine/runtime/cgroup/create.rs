//! Groups made, limited and entered.

use std::path::{Path, PathBuf};

use oci_spec::runtime::LinuxResources;

use super::apply::Devices;
use super::settings::{self, Setting};
use super::{Cgroup, Group, Version, controllers, systemd, tasks};
use crate::engine::error::{Attempt, Error, Kind, Result};
use crate::engine::sys::cgroupfs;

/// v1 controllers that every container joins: those with figures, those that guard, and systemd's bookkeeping, so that
/// a container is not ended together with the login session that started it.
const ALWAYS: &[&str] = &[
    "cpu",
    "cpuacct",
    "memory",
    "pids",
    "blkio",
    "freezer",
    "devices",
    "name=systemd",
];

impl Cgroup {
    /// Refuses groups that somebody uses: with processes in them, or frozen. For places that a bundle names; the engine's
    /// own are its own.
    ///
    /// # Errors
    /// [`Kind::Conflict`], beginning with `linux.cgroupsPath`.
    pub fn ensure_vacant(&self) -> Result<()> {
        // runc's words, which callers look for.
        let taken = |why: String| {
            let path = format!("linux.cgroupsPath: {}", self.label());
            Err(Error::conflict(format!("{path}: container's cgroup {why}")))
        };
        for directory in self.directories() {
            let text = cgroupfs::read(&directory, "cgroup.procs").unwrap_or_default();
            match text.unwrap_or_default().lines().count() {
                0 => {}
                count => return taken(format!("is not empty: {count} process(es) found")),
            }
        }
        if self.is_frozen()? {
            return taken("unexpectedly frozen".to_owned());
        }
        Ok(())
    }

    /// Makes the group and sets limits and the device list. One that exists is reused.
    ///
    /// # Errors
    /// The field and what the kernel says. What was made is removed again. [`Kind::Internal`] if systemd makes the group:
    /// see [`Self::birthplace`].
    pub fn create(&self, resources: Option<&LinuxResources>) -> Result<()> {
        if self.unit.is_some() {
            return Err(Error::new(
                Kind::Internal,
                format!("create {}: systemd needs a process for it", self.label()),
            ));
        }
        let settings = self.settings(resources)?;
        self.create_directories(&settings, resources)
    }

    fn create_directories(
        &self,
        settings: &[Setting],
        resources: Option<&LinuxResources>,
    ) -> Result<()> {
        let mut made = Vec::new();
        let result = self.build(settings, resources, &mut made);
        if result.is_err() {
            for directory in made.iter().rev() {
                // The first error is the one to tell.
                let _ = cgroupfs::remove(directory);
            }
        }
        result
    }

    /// As [`Self::create`], for a process that is there already and is meant to be attached next: what systemd makes needs
    /// one to begin with. Then it blocks until systemd has done so.
    ///
    /// # Errors
    /// As [`Self::create`]; [`Kind::Unsupported`] where systemd is wanted and does not run.
    pub fn create_for(&self, pid: i32, resources: Option<&LinuxResources>) -> Result<()> {
        let Some(unit) = &self.unit else {
            return self.create(resources);
        };
        // Before anything is asked of systemd: a contradiction is found without it.
        let settings = self.settings(resources)?;
        systemd::start(unit, pid, self.version, resources)?;
        self.create_directories(&settings, resources)
            .inspect_err(|_| {
                // The process is the caller's to end; the first error is the one to tell.
                let _ = systemd::stop(unit);
            })
    }

    /// Moves a process into the group.
    ///
    /// # Errors
    /// What the kernel says; [`Kind::NotFound`] if there is no group.
    pub fn attach(&self, pid: i32) -> Result<()> {
        let mut entered = self.is_disabled();
        let pid = pid.to_string();
        for group in &self.groups {
            match cgroupfs::write(&group.directory(), "cgroup.procs", &pid) {
                Ok(()) => entered = true,
                // A hierarchy that this container does not need.
                Err(error) if error.kind() == Kind::NotFound => {}
                // Who was given a part of the unified tree may not move what is outside of it (cgroups(7)).
                Err(error) if self.is_spare(group) && error.kind() == Kind::Denied => {}
                Err(error) => return Err(error),
            }
        }
        if entered { Ok(()) } else { Err(self.gone()) }
    }

    /// Moves a process to where a container's main process is: into the group, or on v2 into the one below it, if the
    /// container has handed its controllers down and its top takes no processes any more.
    ///
    /// # Errors
    /// As [`Self::attach`].
    pub fn attach_beside(&self, pid: i32, main: i32) -> Result<()> {
        let refused = match self.attach(pid) {
            Err(error) if self.version == Version::V2 => error,
            other => return other,
        };
        let is_closed = matches!(refused.raw_os_error(), Some(libc::EBUSY | libc::EOPNOTSUPP));
        let group = self.groups.first().filter(|_| is_closed);
        match group.map(|group| tasks::group_of(main, &group.mount)) {
            Some(Ok(Some(there)))
                if there.starts_with(group.map(Group::directory).unwrap_or_default()) =>
            {
                cgroupfs::write(&there, "cgroup.procs", &pid.to_string())
            }
            _ => Err(refused),
        }
    }

    /// What is to be written for these resources.
    pub(super) fn settings(&self, resources: Option<&LinuxResources>) -> Result<Vec<Setting>> {
        let Some(resources) = resources else {
            return Ok(Vec::new());
        };
        let settings = settings::list(self.version, resources)?;
        match settings.first().filter(|_| self.is_disabled()) {
            None => Ok(settings),
            Some(setting) => Err(Error::unsupported(format!(
                "{}: there are no limits without a cgroup manager",
                setting.field
            ))),
        }
    }

    fn build(
        &self,
        settings: &[Setting],
        resources: Option<&LinuxResources>,
        made: &mut Vec<PathBuf>,
    ) -> Result<()> {
        for group in self.needed(settings) {
            match self.make(group) {
                Ok(true) => made.push(group.directory()),
                Ok(false) => {}
                // Beside v1 it limits nothing: who may not make it, as in a container, goes without.
                Err(error) if self.is_spare(group) && error.kind() == Kind::Denied => {}
                Err(error) => return Err(error),
            }
        }
        self.apply(settings)?;
        match resources.and_then(|resources| resources.devices().as_deref()) {
            Some(rules) if !self.is_disabled() => self.restrict_devices(rules, Devices::Set),
            _ => Ok(()),
        }
    }

    /// Hierarchies in which the container needs a group: each costs a mkdir, an attach and an rmdir at every start.
    fn needed(&self, settings: &[Setting]) -> Vec<&Group> {
        let needed = |group: &&Group| {
            let asked = |name: &String| settings.iter().any(|setting| setting.controller == *name);
            let always = |name: &String| ALWAYS.contains(&name.as_str());
            group.is_unified()
                || group
                    .controllers
                    .iter()
                    .any(|name| always(name) || asked(name))
        };
        self.groups.iter().filter(needed).collect()
    }

    /// Makes the groups that settings need and that the container is not in yet, and moves all its tasks there.
    pub(super) fn join_further(&self, settings: &[Setting]) -> Result<()> {
        let missing = |group: &&Group| !group.directory().exists() && !self.is_spare(group);
        for group in self.needed(settings).into_iter().filter(missing) {
            self.make(group)?;
            // A task that is born meanwhile is in its parent's group: look until there is nobody new.
            let mut moved = Vec::new();
            loop {
                let mut fresh = self.pids()?;
                fresh.retain(|pid| !moved.contains(pid));
                if fresh.is_empty() {
                    break;
                }
                for pid in fresh {
                    match cgroupfs::write(&group.directory(), "cgroup.procs", &pid.to_string()) {
                        // It has ended.
                        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                        other => other?,
                    }
                    moved.push(pid);
                }
            }
        }
        Ok(())
    }

    /// Makes a group with its ancestors: `true` if it is new. An ancestor may be removed by another container's end at any
    /// moment.
    pub(super) fn make(&self, group: &Group) -> Result<bool> {
        let directory = group.directory();
        let is_foreign = group.engines_parent().is_none();
        if self.version == Version::V2 && is_foreign {
            // Ancestors that are there need not hand down what we need.
            controllers::ancestors(group).for_each(|ancestor| controllers::enable(&ancestor));
        }
        for _ in 0..100 {
            match cgroupfs::make(&directory) {
                Err(error) if error.kind() == Kind::NotFound => self.make_ancestors(group)?,
                Err(error) => return Err(error).attempt(|| "linux.cgroupsPath"),
                Ok(is_new) => {
                    if self.has_plain_cpuset(group) {
                        inherit_cpuset(&group.mount, &directory)?;
                    }
                    return Ok(is_new);
                }
            }
        }
        Err(Error::conflict(format!(
            "create cgroup {}: its parent keeps disappearing",
            directory.display()
        )))
    }

    fn make_ancestors(&self, group: &Group) -> Result<()> {
        for ancestor in controllers::ancestors(group) {
            if ancestor != group.mount {
                match cgroupfs::make(&ancestor) {
                    // Removed meanwhile: the caller's loop makes it again.
                    Err(error) if error.kind() == Kind::NotFound => return Ok(()),
                    other => other.attempt(|| "linux.cgroupsPath")?,
                };
            }
            if self.version == Version::V2 {
                controllers::enable(&ancestor);
            }
        }
        Ok(())
    }

    /// Whether a group has no controllers, because v1 has them.
    fn is_spare(&self, group: &Group) -> bool {
        self.version == Version::V1 && group.is_unified()
    }

    fn has_plain_cpuset(&self, group: &Group) -> bool {
        self.version == Version::V1 && group.has("cpuset")
    }
}

/// v1's cpuset starts empty and then takes no task (cgroup-v1/cpusets.rst): it gets what the parent has, and so do
/// ancestors that somebody made and left empty.
fn inherit_cpuset(mount: &Path, directory: &Path) -> Result<()> {
    for name in ["cpuset.cpus", "cpuset.mems"] {
        inherit_one(mount, directory, name)?;
    }
    Ok(())
}

fn inherit_one(mount: &Path, directory: &Path, name: &str) -> Result<String> {
    let own = cgroupfs::read(directory, name)?.unwrap_or_default();
    let own = own.trim();
    let parent = directory.parent().filter(|_| directory != mount);
    match parent {
        Some(parent) if own.is_empty() => {
            let value = inherit_one(mount, parent, name)?;
            cgroupfs::write(directory, name, &value)?;
            Ok(value)
        }
        _ => Ok(own.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::settings::tests::resources;
    use super::super::tests::group;
    use super::*;

    #[test]
    fn a_group_that_cannot_be_limited_is_not_left_behind() {
        let dir = tempfile::tempdir().unwrap();
        let group = group(Version::V1, dir.path(), &["memory", "pids"]);
        for name in ["memory", "pids"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let error = group
            .create(Some(&resources(r#"{"cpu":{"shares":5}}"#)))
            .unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("linux.resources.cpu.shares: "),
            "{error}"
        );
        assert!(!group.exists());
    }

    #[test]
    fn a_contradiction_is_found_before_anything_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let group = group(Version::V2, dir.path(), &[""]);
        let resources = resources(r#"{"memory":{"swap":5}}"#);
        assert_eq!(
            group.create(Some(&resources)).unwrap_err().kind(),
            Kind::InvalidInput
        );
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_change_of_limits_makes_no_group_without_controllers() {
        let dir = tempfile::tempdir().unwrap();
        let mut group = group(Version::V1, dir.path(), &["memory", "pids", ""]);
        let unified = group.groups.last_mut().unwrap();
        unified.mount = dir.path().join("unified");
        fs::create_dir(dir.path().join("unified")).unwrap();
        for name in ["memory/wharf/x", "pids"] {
            fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        // At the start there was one, or it could not be made.
        group.join_further(&[]).unwrap();
        assert!(dir.path().join("pids/wharf/x").exists());
        assert!(!dir.path().join("unified/wharf").exists());
        group.create(None).unwrap();
        assert!(dir.path().join("unified/wharf/x").exists());
    }

    #[test]
    fn groups_in_use_are_not_for_a_new_container() {
        let dir = tempfile::tempdir().unwrap();
        let group = group(Version::V1, dir.path(), &["memory", "freezer"]);
        group.ensure_vacant().unwrap();
        for name in ["memory", "freezer"] {
            fs::create_dir_all(dir.path().join(name).join("wharf/x")).unwrap();
        }
        let put = |file: &str, text: &str| fs::write(dir.path().join(file), text).unwrap();
        put("freezer/wharf/x/freezer.state", "FROZEN\n");
        let error = group.ensure_vacant().unwrap_err().to_string();
        assert_eq!(
            error,
            "linux.cgroupsPath: cgroup wharf/x: container's cgroup unexpectedly frozen"
        );
        put("memory/wharf/x/cgroup.procs", "1\n2\n");
        let error = group.ensure_vacant().unwrap_err().to_string();
        assert_eq!(
            error,
            "linux.cgroupsPath: cgroup wharf/x: container's cgroup is not empty: 2 process(es) found"
        );
    }

    #[test]
    fn empty_cpusets_inherit_from_the_nearest_ancestor_that_has_some() {
        let dir = tempfile::tempdir().unwrap();
        let mut group = group(Version::V1, dir.path(), &["cpuset"]);
        group.groups.first_mut().unwrap().path = PathBuf::from("a/b/c");
        for (place, cpus) in [("", "0-7"), ("a", "2-3"), ("a/b", ""), ("a/b/c", "")] {
            let place = dir.path().join("cpuset").join(place);
            fs::create_dir_all(&place).unwrap();
            fs::write(place.join("cpuset.cpus"), cpus).unwrap();
            fs::write(place.join("cpuset.mems"), "0").unwrap();
        }
        group.make(group.groups.first().unwrap()).unwrap();
        let cpus = |place: &str| {
            fs::read_to_string(dir.path().join("cpuset").join(place).join("cpuset.cpus")).unwrap()
        };
        assert_eq!(
            [cpus(""), cpus("a"), cpus("a/b"), cpus("a/b/c")],
            ["0-7", "2-3", "2-3", "2-3"]
        );
    }

    #[test]
    fn ancestors_hand_their_controllers_down() {
        let dir = tempfile::tempdir().unwrap();
        let mut group = group(Version::V2, dir.path(), &[""]);
        group.groups.first_mut().unwrap().path = PathBuf::from("a/b");
        for place in ["", "a"] {
            let place = dir.path().join(place);
            fs::create_dir_all(&place).unwrap();
            fs::write(place.join("cgroup.controllers"), "cpuset cpu io misc").unwrap();
            fs::write(place.join("cgroup.subtree_control"), "").unwrap();
        }
        group.make(group.groups.first().unwrap()).unwrap();
        for place in ["", "a"] {
            let text = fs::read_to_string(dir.path().join(place).join("cgroup.subtree_control"));
            assert_eq!(text.unwrap(), "+cpu +cpuset +io");
        }
    }

    #[test]
    fn without_a_manager_there_is_nothing_to_make_and_no_limit() {
        let group = Cgroup {
            version: Version::V1,
            groups: Vec::new(),
            unit: None,
        };
        group
            .create(Some(&resources(r#"{"devices":[{"allow":false}]}"#)))
            .unwrap();
        group.attach(1).unwrap();
        let error = group
            .create(Some(&resources(r#"{"pids":{"limit":5}}"#)))
            .unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("linux.resources.pids.limit: "),
            "{error}"
        );
    }
}
