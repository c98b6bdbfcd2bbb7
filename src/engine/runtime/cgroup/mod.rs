//! Control groups: limits, figures, freezing and killing, on v1 (also hybrid) and v2 alike.
//!
//! A container's group is `wharf/<id>` below every controller's mount (v1) or below `/sys/fs/cgroup` (v2).

mod devices;
mod figures;
mod limits;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use oci_spec::runtime::LinuxResources;

use crate::engine::error::{Attempt, Error, Kind, Result};
use crate::engine::model::ContainerId;
use crate::engine::sys::{bpf, cgroupfs, file};
use limits::Setting;

/// The common parent of all containers' groups.
const PARENT: &str = "wharf";

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
/// How long freezing may take.
const FREEZING: Duration = Duration::from_secs(10);

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
    version: Version,
    /// `(controllers, mount point)`; on v2 a single row without controllers.
    mounts: Vec<(Vec<String>, PathBuf)>,
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
    fn from_mountinfo(text: &str) -> Option<Self> {
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
    fn mount(&self, controller: &str) -> Option<&Path> {
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

/// One container's group, existing or not.
#[derive(Debug, Clone)]
pub struct Cgroup {
    hierarchy: Hierarchy,
    name: String,
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

    /// One sample. For many, [`Self::meter`] is cheaper.
    ///
    /// # Errors
    /// [`Kind::NotFound`] if the group is gone.
    pub fn figures(&self) -> Result<Figures> {
        self.meter()?.read()
    }

    /// Opens the control files for repeated sampling.
    ///
    /// # Errors
    /// As [`Self::figures`].
    pub fn meter(&self) -> Result<Meter> {
        let open = |controller: &str, name: &str| match self.hierarchy.mount(controller) {
            Some(mount) => cgroupfs::Control::open(&self.under(mount), name),
            None => Ok(None),
        };
        let source = match self.hierarchy.version {
            Version::V1 => Source::V1 {
                usage: open("cpuacct", "cpuacct.usage")?,
                user: open("cpuacct", "cpuacct.usage_user")?,
                cpu: open("cpu", "cpu.stat")?,
                memory: open("memory", "memory.usage_in_bytes")?,
                memory_stat: open("memory", "memory.stat")?,
                memory_limit: open("memory", "memory.limit_in_bytes")?,
                block: open("blkio", "blkio.throttle.io_service_bytes_recursive")?,
                pids: open("pids", "pids.current")?,
                pids_limit: open("pids", "pids.max")?,
            },
            Version::V2 => Source::V2 {
                cpu: open("", "cpu.stat")?,
                memory: open("", "memory.current")?,
                memory_stat: open("", "memory.stat")?,
                memory_limit: open("", "memory.max")?,
                block: open("", "io.stat")?,
                pids: open("", "pids.current")?,
                pids_limit: open("", "pids.max")?,
            },
        };
        if self.exists() {
            Ok(Meter {
                source,
                buffer: Vec::new(),
            })
        } else {
            Err(self.gone())
        }
    }

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

    /// How many tasks were killed because of the memory limit, since the group was made. Zero if the group is gone.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn oom_kills(&self) -> Result<u64> {
        let Some(directory) = self.directory("memory") else {
            return Ok(0);
        };
        let name = match self.hierarchy.version {
            Version::V1 => "memory.oom_control",
            Version::V2 => "memory.events",
        };
        Ok(cgroupfs::read(&directory, name)?.map_or(0, |text| figures::keyed(&text, "oom_kill")))
    }

    /// A descriptor that becomes readable when the memory limit was hit; [`Self::oom_kills`] then says the rest.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] without a memory controller.
    pub fn oom_watch(&self) -> Result<OomWatch> {
        let directory = self
            .directory("memory")
            .ok_or_else(|| Error::unsupported("watch memory: the host has no memory controller"))?;
        let notice = match self.hierarchy.version {
            Version::V1 => cgroupfs::v1_oom_notice(&directory)?,
            Version::V2 => cgroupfs::v2_notice(&directory, "memory.events")?,
        };
        Ok(OomWatch { notice })
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

/// Open control files of one group.
#[derive(Debug)]
pub struct Meter {
    source: Source,
    buffer: Vec<u8>,
}

type File = Option<cgroupfs::Control>;

#[derive(Debug)]
enum Source {
    V1 {
        usage: File,
        user: File,
        cpu: File,
        memory: File,
        memory_stat: File,
        memory_limit: File,
        block: File,
        pids: File,
        pids_limit: File,
    },
    V2 {
        cpu: File,
        memory: File,
        memory_stat: File,
        memory_limit: File,
        block: File,
        pids: File,
        pids_limit: File,
    },
}

impl Meter {
    /// One sample.
    ///
    /// # Errors
    /// [`Kind::NotFound`] if the group is gone.
    pub fn read(&mut self) -> Result<Figures> {
        let buffer = &mut self.buffer;
        let mut read = |file: &File, parse: &mut dyn FnMut(&str)| match file {
            Some(file) => file.read(buffer).map(&mut *parse),
            None => Ok(()),
        };
        let mut now = Figures::default();
        let (mut used, mut inactive) = (0, 0);
        match &self.source {
            Source::V1 {
                usage,
                user,
                cpu,
                memory,
                memory_stat,
                memory_limit,
                block,
                pids,
                pids_limit,
            } => {
                read(usage, &mut |text| now.cpu_total = figures::number(text))?;
                read(user, &mut |text| now.cpu_user = figures::number(text))?;
                now.cpu_system = now.cpu_total.saturating_sub(now.cpu_user);
                read(cpu, &mut |text| {
                    now.throttled_periods = figures::keyed(text, "nr_throttled");
                })?;
                read(memory, &mut |text| used = figures::number(text))?;
                read(memory_stat, &mut |text| {
                    inactive = figures::keyed(text, "total_inactive_file");
                })?;
                read(memory_limit, &mut |text| {
                    now.memory_limit = figures::limit(text);
                })?;
                read(block, &mut |text| {
                    (now.block_read, now.block_write) = figures::v1_block(text);
                })?;
                read(pids, &mut |text| now.pids = figures::number(text))?;
                read(pids_limit, &mut |text| {
                    now.pids_limit = figures::limit(text);
                })?;
            }
            Source::V2 {
                cpu,
                memory,
                memory_stat,
                memory_limit,
                block,
                pids,
                pids_limit,
            } => {
                read(cpu, &mut |text| {
                    let nanos = |key| figures::keyed(text, key).saturating_mul(1000);
                    now.cpu_total = nanos("usage_usec");
                    now.cpu_user = nanos("user_usec");
                    now.cpu_system = nanos("system_usec");
                    now.throttled_periods = figures::keyed(text, "nr_throttled");
                })?;
                read(memory, &mut |text| used = figures::number(text))?;
                read(memory_stat, &mut |text| {
                    inactive = figures::keyed(text, "inactive_file");
                })?;
                read(memory_limit, &mut |text| {
                    now.memory_limit = figures::limit(text);
                })?;
                read(block, &mut |text| {
                    (now.block_read, now.block_write) = figures::v2_block(text);
                })?;
                read(pids, &mut |text| now.pids = figures::number(text))?;
                read(pids_limit, &mut |text| {
                    now.pids_limit = figures::limit(text);
                })?;
            }
        }
        now.memory = if inactive < used {
            used - inactive
        } else {
            used
        };
        Ok(now)
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
        cgroupfs::drain(&self.notice)
    }
}

impl AsFd for OomWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.notice.as_fd()
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

    #[test]
    fn figures_are_read_from_a_v2_group() {
        let dir = tempfile::tempdir().unwrap();
        let group_dir = dir.path().join("wharf/x");
        std::fs::create_dir_all(&group_dir).unwrap();
        for (name, text) in [
            (
                "cpu.stat",
                "usage_usec 5\nuser_usec 3\nsystem_usec 2\nnr_throttled 7\n",
            ),
            ("memory.current", "1000\n"),
            ("memory.stat", "anon 1\ninactive_file 400\n"),
            ("memory.max", "max\n"),
            ("io.stat", "8:0 rbytes=1 wbytes=2\n"),
            ("pids.current", "3\n"),
            ("pids.max", "10\n"),
        ] {
            std::fs::write(group_dir.join(name), text).unwrap();
        }
        let hierarchy = Hierarchy {
            version: Version::V2,
            mounts: vec![(Vec::new(), dir.path().to_owned())],
        };
        let now = Cgroup {
            hierarchy,
            name: "x".to_owned(),
        }
        .figures()
        .unwrap();
        let expected = Figures {
            cpu_total: 5000,
            cpu_user: 3000,
            cpu_system: 2000,
            throttled_periods: 7,
            memory: 600,
            memory_limit: None,
            block_read: 1,
            block_write: 2,
            pids: 3,
            pids_limit: Some(10),
        };
        assert_eq!(now, expected);
    }
}
