//! Groups made, limited, entered and removed.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use oci_spec::runtime::LinuxResources;

use super::limits::{self, Setting};
use super::{Cgroup, PARENT, Version, devices};
use crate::engine::error::{Attempt, Error, Kind, Result};
use crate::engine::sys::{bpf, cgroupfs, file};

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

/// v2 controllers that are switched on for containers where the host has them.
const ENABLED: &[&str] = &["cpu", "cpuset", "io", "memory", "pids", "hugetlb"];

/// How long a removal waits for tasks that are just ending.
const ENDING: Duration = Duration::from_secs(1);

impl Cgroup {
    /// Makes the group and sets limits and the device list. One that exists is reused.
    ///
    /// # Errors
    /// The limit and what the kernel says. What was made stays: [`Self::remove`].
    pub fn create(&self, resources: Option<&LinuxResources>) -> Result<()> {
        let settings = match (self.hierarchy.version, resources) {
            (_, None) => Vec::new(),
            (Version::V1, Some(resources)) => limits::v1(resources),
            (Version::V2, Some(resources)) => limits::v2(resources),
        };
        for mount in self.mounts_needed(&settings) {
            self.make(mount)?;
        }
        for setting in &settings {
            self.apply(setting)?;
        }
        match resources.and_then(|resources| resources.devices().as_deref()) {
            Some(rules) => self.restrict_devices(rules),
            None => Ok(()),
        }
    }

    /// Moves a process into the group.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn attach(&self, pid: i32) -> Result<()> {
        let pid = pid.to_string();
        for directory in self.directories() {
            match cgroupfs::write(&directory, "cgroup.procs", &pid) {
                // A hierarchy that this container does not need.
                Err(error) if error.kind() == Kind::NotFound => {}
                other => other?,
            }
        }
        Ok(())
    }

    /// Removes the group, and the common parent if it was the last. Idempotent. Waits up to one second for tasks that
    /// are just ending.
    ///
    /// # Errors
    /// [`Kind::Conflict`] if it still has tasks.
    pub fn remove(&self) -> Result<()> {
        let deadline = Instant::now() + ENDING;
        let mut pause = Duration::from_micros(200);
        for (_, mount) in &self.hierarchy.mounts {
            while !cgroupfs::remove(&self.under(mount))? {
                if Instant::now() > deadline {
                    return Err(Error::conflict(format!(
                        "remove cgroup {}: it still has tasks",
                        self.under(mount).display()
                    )));
                }
                cgroupfs::pause(pause);
                pause = (pause * 2).min(Duration::from_millis(20));
            }
            // Stays while other containers are in it.
            cgroupfs::remove(&mount.join(PARENT))?;
        }
        Ok(())
    }

    /// Mounts in which the container needs a group: each hierarchy costs a mkdir, an attach and an rmdir at every start.
    fn mounts_needed(&self, settings: &[Setting]) -> Vec<&Path> {
        let needed = |(controllers, _): &&(Vec<String>, PathBuf)| {
            let asked = |name: &String| settings.iter().any(|setting| setting.controller == *name);
            self.hierarchy.version == Version::V2
                || controllers
                    .iter()
                    .any(|name| ALWAYS.contains(&name.as_str()) || asked(name))
        };
        self.hierarchy
            .mounts
            .iter()
            .filter(needed)
            .map(|(_, mount)| mount.as_path())
            .collect()
    }

    /// Makes parent and group below one mount. The parent may be removed by another container's end at any moment.
    fn make(&self, mount: &Path) -> Result<()> {
        let (parent, directory) = (mount.join(PARENT), self.under(mount));
        for _ in 0..100 {
            match cgroupfs::make(&directory) {
                Err(error) if error.kind() == Kind::NotFound => self.make_parent(mount, &parent)?,
                Err(error) => return Err(error),
                Ok(()) => {
                    let cpuset = self.hierarchy.mount("cpuset") == Some(mount);
                    return if cpuset && self.hierarchy.version == Version::V1 {
                        inherit_cpuset(&parent, &directory)
                    } else {
                        Ok(())
                    };
                }
            }
        }
        Err(Error::conflict(format!(
            "create cgroup {}: its parent keeps disappearing",
            directory.display()
        )))
    }

    fn make_parent(&self, mount: &Path, parent: &Path) -> Result<()> {
        if self.hierarchy.version == Version::V2 {
            enable_controllers(mount)?;
        }
        cgroupfs::make(parent)?;
        let result = match self.hierarchy.version {
            Version::V2 => enable_controllers(parent),
            Version::V1 if self.hierarchy.mount("cpuset") == Some(mount) => {
                inherit_cpuset(mount, parent)
            }
            Version::V1 => Ok(()),
        };
        match result {
            // Removed meanwhile: the caller's loop makes it again.
            Err(error) if error.kind() == Kind::NotFound => Ok(()),
            other => other,
        }
    }

    fn apply(&self, setting: &Setting) -> Result<()> {
        let what = || format!("set {} to {}", setting.file, setting.value);
        let Some(directory) = self.directory(setting.controller) else {
            return Err(Error::unsupported(format!(
                "{}: the host has no {} controller",
                what(),
                setting.controller
            )));
        };
        match cgroupfs::write(&directory, &setting.file, &setting.value) {
            Err(error) if setting.optional && error.kind() == Kind::NotFound => Ok(()),
            Err(error) if error.kind() == Kind::NotFound || error.kind() == Kind::Denied => {
                Err(error.with_kind(Kind::Unsupported)).attempt(what)
            }
            other => other.attempt(what),
        }
    }

    fn restrict_devices(&self, rules: &[oci_spec::runtime::LinuxDeviceCgroup]) -> Result<()> {
        match self.hierarchy.version {
            Version::V1 => {
                let Some(directory) = self.directory("devices") else {
                    return Err(Error::unsupported(
                        "restrict devices: the host has no devices controller",
                    ));
                };
                for (file, line) in devices::v1_lines(rules) {
                    cgroupfs::write(&directory, file, &line)?;
                }
                Ok(())
            }
            Version::V2 => {
                let directory = self.unified().ok_or_else(|| self.gone())?;
                let group = file::open_dir(&directory)?;
                bpf::attach_device_filter(group.as_fd(), &devices::v2_program(rules))
            }
        }
    }
}

/// v1's cpuset starts empty and then takes no task (cgroup-v1/cpusets.rst): it gets what the parent has.
fn inherit_cpuset(parent: &Path, child: &Path) -> Result<()> {
    for name in ["cpuset.cpus", "cpuset.mems"] {
        let own = cgroupfs::read(child, name)?.unwrap_or_default();
        if own.trim().is_empty() {
            let value = cgroupfs::read(parent, name)?.unwrap_or_default();
            cgroupfs::write(child, name, value.trim())?;
        }
    }
    Ok(())
}

/// Hands controllers down to children (cgroup-v2.rst, "Enabling and Disabling").
fn enable_controllers(directory: &Path) -> Result<()> {
    let offered = cgroupfs::read(directory, "cgroup.controllers")?.unwrap_or_default();
    let active = cgroupfs::read(directory, "cgroup.subtree_control")?.unwrap_or_default();
    let has = |list: &str, name: &str| list.split_whitespace().any(|word| word == name);
    for name in ENABLED
        .iter()
        .filter(|name| has(&offered, name) && !has(&active, name))
    {
        // One by one: a controller that cannot be handed down must not hold back the others.
        if let Err(error) =
            cgroupfs::write(directory, "cgroup.subtree_control", &format!("+{name}"))
        {
            tracing::warn!(%error, "a cgroup controller is not available to containers");
        }
    }
    Ok(())
}
