//! A container: what was asked for (written once, by the front), and what it is doing (written by its monitor).

use std::collections::BTreeMap;

use super::digest::ImageId;
use super::health::{Health, HealthCheck, HealthStatus};
use super::id::ContainerId;
use super::log::LogConfig;
use super::modes::{IdRange, Keeping, Modes};
use super::network::{Attachment, DnsConfig, Endpoint, PortBinding};
use super::rights::Rights;
use super::selinux::{Contexts, LabelOption, Relabel};
use super::{Platform, Timestamp};

/// Version of [`Container`] on disk.
pub const RECORD_VERSION: u32 = 1;

/// The record `containers/<id>/container.json` in the data root.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Container {
    /// Schema version, [`RECORD_VERSION`].
    pub version: u32,
    /// Full id.
    pub id: ContainerId,
    /// Name without the leading slash.
    pub name: String,
    /// When the record was made.
    pub created: Timestamp,
    /// The image's id; the name it was asked for by is `config.image`.
    pub image: ImageId,
    /// The image's platform.
    pub platform: Platform,
    /// Unpacked layers, topmost first, as chain ids: directory names under `layers/`.
    pub layers: Vec<super::Digest>,
    /// The process, after image and request were merged.
    pub config: ContainerConfig,
    /// What the host gives it.
    pub host: HostConfig,
}

/// Docker's `Config`: what belongs to the process.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct ContainerConfig {
    /// Host name; the short id unless given.
    pub hostname: String,
    /// NIS domain name; empty for none.
    pub domainname: String,
    /// `user[:group]`, names or numbers; empty is root.
    pub user: String,
    /// Whether the front that created it wanted stdin, stdout, stderr.
    pub attach: Attach,
    /// A pseudo-terminal is allocated.
    pub tty: bool,
    /// Stdin stays open even if nobody is attached (`-i`).
    pub open_stdin: bool,
    /// Stdin closes after the first attached client leaves.
    pub stdin_once: bool,
    /// `NAME=value`, image first, request last.
    pub env: Vec<String>,
    /// Arguments, or the whole command where there is no entry point.
    pub cmd: Vec<String>,
    /// Entry point.
    pub entrypoint: Vec<String>,
    /// The image as the user named it.
    pub image: String,
    /// Working directory; empty is `/`.
    pub working_dir: String,
    /// Labels, image's and request's.
    pub labels: BTreeMap<String, String>,
    /// Signal that `stop` sends, by name or number; SIGTERM if `None`.
    pub stop_signal: Option<String>,
    /// Seconds that `stop` waits before SIGKILL; 10 if `None`.
    pub stop_timeout: Option<i64>,
    /// `80/tcp` style, from the image and `--expose`.
    pub exposed_ports: Vec<String>,
    /// Anonymous volume paths from the image.
    pub volumes: Vec<String>,
    /// How its health is found out, image's and request's.
    pub healthcheck: Option<HealthCheck>,
    /// The image's shell, which runs probes in shell form; empty is `/bin/sh -c`.
    pub shell: Vec<String>,
}

impl ContainerConfig {
    /// Entry point and command together: what is executed.
    #[must_use]
    pub fn args(&self) -> Vec<String> {
        self.entrypoint.iter().chain(&self.cmd).cloned().collect()
    }
}

/// Which streams a front attached at creation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Attach {
    /// Standard input.
    pub stdin: bool,
    /// Standard output.
    pub stdout: bool,
    /// Standard error.
    pub stderr: bool,
}

/// Docker's `HostConfig`: what the host gives to the container.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct HostConfig {
    /// Bind mounts and tmpfs, in the order given.
    pub mounts: Vec<Mount>,
    /// `--volumes-from` as it was asked for; what it gave is among the mounts.
    pub volumes_from: Vec<String>,
    /// Whose network it has.
    pub network: NetworkMode,
    /// The networks that it is on, with [`NetworkMode::Networks`].
    pub networks: Vec<Attachment>,
    /// What it publishes.
    pub ports: Vec<PortBinding>,
    /// All that is exposed is published, too.
    pub publish_all: bool,
    /// How it finds names.
    pub dns: DnsConfig,
    /// Restart policy.
    pub restart: RestartPolicy,
    /// Remove the container when it exits (`--rm`).
    pub auto_remove: bool,
    /// The root file system is read-only.
    pub readonly_rootfs: bool,
    /// Limits.
    pub resources: Resources,
    /// Where the output goes.
    pub log: LogConfig,
    /// Capabilities added to the default set, without `CAP_`; `ALL` is allowed.
    pub cap_add: Vec<String>,
    /// Capabilities removed.
    pub cap_drop: Vec<String>,
    /// `/dev/shm` in bytes; 64 MiB if `None`.
    pub shm_size: Option<u64>,
    /// `name:address` lines for `/etc/hosts`.
    pub extra_hosts: Vec<String>,
    /// Devices, groups, limits of processes.
    pub rights: Rights,
    /// Namespaces of its own.
    pub modes: Modes,
    /// Ids of its users, if they are not the host's.
    pub ids: Option<IdRange>,
    /// Beside limits.
    pub keeping: Keeping,
    /// Security modules of the kernel.
    pub security: Security,
    /// SELinux contexts, chosen when the container is made.
    pub contexts: Contexts,
}

/// What was asked of the kernel's security modules (`--security-opt`).
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Security {
    /// AppArmor's profile, or `unconfined`; wharf's own if `None`.
    pub apparmor: Option<String>,
    /// Nothing that is executed gives more rights, such as set-user-ID programs (prctl(2), `PR_SET_NO_NEW_PRIVS`).
    pub no_new_privileges: Option<bool>,
    /// Which system calls are allowed; the built-in profile if `None`.
    pub seccomp: Option<Seccomp>,
    /// Nothing of `/proc` and `/sys` is hidden or read-only.
    pub open_paths: bool,
    /// Whether its own part of the cgroup tree is writable; only with every right if `None`.
    pub writable_cgroups: Option<bool>,
    /// Changes of the SELinux contexts.
    pub labels: Vec<LabelOption>,
}

/// A filter of system calls.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Seccomp {
    /// None.
    Unconfined,
    /// The engine's own.
    Builtin,
    /// This one: JSON in Docker's form.
    Profile(String),
}

impl Security {
    /// As `--security-opt` takes it, one text for each option; a profile is its content, not its file. Docker keeps what
    /// `systempaths` says elsewhere.
    #[must_use]
    pub fn options(&self) -> Vec<String> {
        let value = |no| if no { "" } else { "=false" };
        let new_privileges = self
            .no_new_privileges
            .map(|no| format!("no-new-privileges{}", value(no)));
        let seccomp = self.seccomp.as_ref().map(|filter| match filter {
            Seccomp::Unconfined => "seccomp=unconfined".to_owned(),
            Seccomp::Builtin => "seccomp=builtin".to_owned(),
            Seccomp::Profile(text) => format!("seccomp={text}"),
        });
        let labels = self.labels.iter().map(|option| format!("label={option}"));
        let groups = self
            .writable_cgroups
            .map(|writable| format!("writable-cgroups={writable}"));
        let apparmor = self.apparmor.iter();
        labels
            .chain(apparmor.map(|name| format!("apparmor={name}")))
            .chain(new_privileges)
            .chain(seccomp)
            .chain(groups)
            .collect()
    }
}

/// One mount asked for by `-v`, `--tmpfs` (later `--mount`, volumes).
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Mount {
    /// A file or directory of the host.
    Bind {
        /// Absolute path on the host.
        source: String,
        /// Absolute path in the container.
        target: String,
        /// Mounted read-only.
        readonly: bool,
        /// Mount propagation such as `rprivate` (the default if `None`), `rshared`, `rslave`.
        propagation: Option<String>,
        /// Create a missing source directory, as `-v` does and `--mount` does not.
        create_source: bool,
        /// What becomes of mounts below the source.
        #[serde(default)]
        recursion: Recursion,
        /// The SELinux context that its files get.
        #[serde(default)]
        relabel: Option<Relabel>,
    },
    /// A new tmpfs.
    Tmpfs {
        /// Absolute path in the container.
        target: String,
        /// Comma-separated mount options as given: `size=64m,mode=1777,exec`.
        options: String,
    },
    /// A volume.
    Volume(VolumeMount),
    /// The files of an image, read-only.
    Image(ImageMount),
}

/// What becomes of mounts below the source of a bind mount.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Recursion {
    /// They come along, and are read-only if it is.
    #[default]
    Enabled,
    /// They stay away.
    Disabled,
    /// They come along, and stay writable if it is read-only.
    Writable,
    /// They come along, and must be read-only.
    Readonly,
}

/// A volume in a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct VolumeMount {
    /// Its name; in a request empty for one that gets a name when the container is made.
    pub name: String,
    /// Absolute path in the container.
    pub target: String,
    /// Mounted read-only.
    pub readonly: bool,
    /// Does not begin with what the image has at the target.
    pub nocopy: bool,
    /// Only this directory or file of it, relative.
    pub subpath: Option<String>,
    /// Nobody named it: it may go with its last container.
    pub anonymous: bool,
    /// Labels, if it is made for this container.
    pub labels: BTreeMap<String, String>,
    /// Options of the driver, if it is made for this container.
    pub options: BTreeMap<String, String>,
    /// It was asked for by `--mount`.
    pub long: bool,
    /// The SELinux context that its files get; [`Relabel::Shared`] if `None`.
    pub relabel: Option<Relabel>,
}

/// The files of an image in a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct ImageMount {
    /// The image as it was asked for.
    pub image: String,
    /// Its unpacked layers, topmost first; empty in a request.
    pub layers: Vec<super::Digest>,
    /// Absolute path in the container.
    pub target: String,
    /// Only this directory or file of it, relative.
    pub subpath: Option<String>,
}

impl Mount {
    /// Where it appears in the container.
    #[must_use]
    pub fn target(&self) -> &str {
        match self {
            Self::Bind { target, .. } | Self::Tmpfs { target, .. } => target,
            Self::Volume(volume) => &volume.target,
            Self::Image(image) => &image.target,
        }
    }

    /// The same, read-only if that is asked for.
    #[must_use]
    pub fn restricted(mut self, to_reading: bool) -> Self {
        if to_reading {
            match &mut self {
                Self::Bind { readonly, .. } => *readonly = true,
                Self::Volume(volume) => volume.readonly = true,
                Self::Tmpfs { .. } | Self::Image(_) => {}
            }
        }
        self
    }

    /// The same with other contexts for its files, if any are given.
    #[must_use]
    pub fn relabelled(mut self, given: Option<Relabel>) -> Self {
        match &mut self {
            Self::Bind { relabel, .. } => *relabel = given.or(*relabel),
            Self::Volume(volume) => volume.relabel = given.or(volume.relabel),
            Self::Tmpfs { .. } | Self::Image(_) => {}
        }
        self
    }
}

/// Whose network namespace the container has.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkMode {
    /// Its own network namespace with loopback only.
    #[default]
    None,
    /// The host's network namespace.
    Host,
    /// That of another container: any name in a request, its id in a record.
    Container(String),
    /// Its own, on the networks of `HostConfig::networks`.
    Networks,
}

impl NetworkMode {
    /// Whether the namespace is the container's own.
    #[must_use]
    pub fn is_own(&self) -> bool {
        match self {
            Self::None | Self::Networks => true,
            Self::Host | Self::Container(_) => false,
        }
    }
}

impl HostConfig {
    /// Docker's word for the network mode.
    #[must_use]
    pub fn network_mode(&self) -> String {
        match &self.network {
            NetworkMode::None => "none".to_owned(),
            NetworkMode::Host => "host".to_owned(),
            NetworkMode::Container(id) => format!("container:{id}"),
            NetworkMode::Networks => match self.networks.first() {
                Some(first) => first.network.clone(),
                None => "none".to_owned(),
            },
        }
    }

    /// The names of the networks that it is on, in the order of the record.
    #[must_use]
    pub fn network_names(&self) -> Vec<&str> {
        match &self.network {
            NetworkMode::None => vec!["none"],
            NetworkMode::Host => vec!["host"],
            NetworkMode::Container(_) => Vec::new(),
            NetworkMode::Networks => {
                let networks = self.networks.iter();
                networks.map(|one| one.network.as_str()).collect()
            }
        }
    }
}

/// What happens when the main process ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// Stay exited.
    #[default]
    No,
    /// Restart always; after the host's reboot also if it had been stopped by hand.
    Always,
    /// Restart unless it was stopped by hand.
    UnlessStopped,
    /// Restart on a non-zero exit code, at most `max` times (0: without limit).
    OnFailure {
        /// Largest number of restarts; 0 is without limit.
        max: u32,
    },
}

impl RestartPolicy {
    /// Docker's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Always => "always",
            Self::UnlessStopped => "unless-stopped",
            Self::OnFailure { .. } => "on-failure",
        }
    }
}

/// cgroup limits; `None` is unlimited.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Resources {
    /// Memory limit in bytes.
    pub memory: Option<u64>,
    /// Memory plus swap in bytes; -1 is unlimited swap; twice `memory` if `None`.
    pub memory_swap: Option<i64>,
    /// CPUs in billionths (`--cpus 1.5` is 1 500 000 000).
    pub nano_cpus: Option<u64>,
    /// Relative weight, 2 to 262144.
    pub cpu_shares: Option<u64>,
    /// Soft limit of memory in bytes.
    pub memory_reservation: Option<u64>,
    /// Period of the CPU quota in microseconds.
    pub cpu_period: Option<u64>,
    /// CPU time in each period in microseconds; instead of `nano_cpus`.
    pub cpu_quota: Option<i64>,
    /// Period of real-time scheduling in microseconds (v1).
    pub cpu_rt_period: Option<u64>,
    /// Real-time scheduling in each period in microseconds (v1).
    pub cpu_rt_runtime: Option<i64>,
    /// CPU list such as `0-2,4`.
    pub cpuset_cpus: Option<String>,
    /// List of memory nodes such as `0,1`.
    pub cpuset_mems: Option<String>,
    /// Weight of block I/O, 10 to 1000.
    pub blkio_weight: Option<u16>,
    /// Largest number of tasks.
    pub pids_limit: Option<u64>,
    /// How readily memory is swapped out, 0 to 100 (v1).
    pub memory_swappiness: Option<u64>,
    /// Without memory its processes wait instead of being ended (v1).
    pub oom_kill_disable: bool,
    /// Of single devices.
    pub devices: DeviceLimits,
}

/// Limits of block I/O of single devices.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct DeviceLimits {
    /// Weights.
    pub weights: Vec<DeviceWeight>,
    /// Bytes read per second.
    pub read_bytes: Vec<DeviceRate>,
    /// Bytes written per second.
    pub write_bytes: Vec<DeviceRate>,
    /// Reads per second.
    pub read_ios: Vec<DeviceRate>,
    /// Writes per second.
    pub write_ios: Vec<DeviceRate>,
}

/// A device's weight.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DeviceWeight {
    /// On the host.
    pub path: String,
    /// 10 to 1000; 0 is none.
    pub weight: u16,
}

/// A device's rate per second.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DeviceRate {
    /// On the host.
    pub path: String,
    /// Bytes or operations.
    pub rate: u64,
}

/// Version of [`State`] on disk.
pub const STATE_VERSION: u32 = 1;

/// What the container is doing: `state.json`, written by its monitor (or by recovery, when the monitor is dead).
///
/// ```text
///            start                 exit, policy says no
/// created ─────────> running ───────────────────────────> exited ──start──> running
///                   │  ^  │ exit, policy says yes
///             pause │  │  └────────> restarting ──back-off over──> running
///                   v  │ unpause
///                  paused
/// ```
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct State {
    /// Schema version, [`STATE_VERSION`].
    pub version: u32,
    /// Where in the life cycle it is.
    pub status: Status,
    /// The main process in the host's pid namespace, while there is one.
    pub pid: Option<i32>,
    /// That process's start time in clock ticks since boot (proc(5), stat field 22): tells a reused pid apart.
    pub pid_start: u64,
    /// The monitor's pid.
    pub monitor: Option<i32>,
    /// Exit code of the last run; 128 + signal if it was killed.
    pub exit_code: i32,
    /// Why it could not be started, if so.
    pub error: String,
    /// The last run ended because the memory limit was reached.
    pub oom_killed: bool,
    /// Last start.
    pub started_at: Option<Timestamp>,
    /// Last end.
    pub finished_at: Option<Timestamp>,
    /// Restarts by policy since the last start by hand.
    pub restart_count: u32,
    /// Somebody asked it to stop: `unless-stopped` and `always` respect that.
    pub stopped_by_user: bool,
    /// AppArmor's profile of the last run; empty without one.
    pub apparmor_profile: String,
    /// Its health, if that is probed and it has been started.
    pub health: Option<Health>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            version: STATE_VERSION,
            status: Status::Created,
            pid: None,
            pid_start: 0,
            monitor: None,
            exit_code: 0,
            error: String::new(),
            oom_killed: false,
            started_at: None,
            finished_at: None,
            restart_count: 0,
            stopped_by_user: false,
            apparmor_profile: String::new(),
            health: None,
        }
    }
}

impl State {
    /// Nobody probes its health any more: then Docker calls it unhealthy (moby, `CloseMonitorChannel`).
    pub fn end_health(&mut self) {
        if let Some(health) = &mut self.health {
            health.status = HealthStatus::Unhealthy;
        }
    }
}

/// Docker's container states.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Never started.
    #[default]
    Created,
    /// The main process lives.
    Running,
    /// Frozen.
    Paused,
    /// Waiting for the restart policy's back-off.
    Restarting,
    /// Being removed.
    Removing,
    /// Ended.
    Exited,
    /// Removal failed half-way.
    Dead,
}

impl Status {
    /// Docker's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Removing => "removing",
            Self::Exited => "exited",
            Self::Dead => "dead",
        }
    }

    /// There is a monitor that owns it.
    #[must_use]
    pub fn is_live(self) -> bool {
        matches!(self, Self::Running | Self::Paused | Self::Restarting)
    }
}

/// One path that differs from the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Absolute path in the container; bytes that are not UTF-8 are replaced.
    pub path: String,
    /// How.
    pub kind: Changed,
}

/// How a path differs from the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Changed {
    /// Content or attributes.
    Modified,
    /// It is new.
    Added,
    /// It is gone.
    Deleted,
}

impl Changed {
    /// `diff`'s letter.
    #[must_use]
    pub fn letter(self) -> char {
        match self {
            Self::Modified => 'C',
            Self::Added => 'A',
            Self::Deleted => 'D',
        }
    }
}

/// Bytes of a container's files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sizes {
    /// What it has written itself.
    pub own: u64,
    /// With its image.
    pub all: u64,
}

/// One row of `ps` and of the containers pane: the record and its state, as they are now.
#[derive(Debug, Clone, PartialEq)]
pub struct ContainerSummary {
    /// What was asked for.
    pub container: std::sync::Arc<Container>,
    /// What it is doing.
    pub state: State,
    /// The networks that it is on while it runs, in the order of its interfaces.
    pub endpoints: Vec<Endpoint>,
}
