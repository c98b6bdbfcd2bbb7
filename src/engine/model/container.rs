//! A container: what was asked for (written once, by the front), and what it is doing (written by its monitor).

use std::collections::BTreeMap;

use super::digest::ImageId;
use super::id::ContainerId;
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
    /// Network mode.
    pub network: NetworkMode,
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
    },
    /// A new tmpfs.
    Tmpfs {
        /// Absolute path in the container.
        target: String,
        /// Comma-separated mount options as given: `size=64m,mode=1777,exec`.
        options: String,
    },
}

impl Mount {
    /// Where it appears in the container.
    #[must_use]
    pub fn target(&self) -> &str {
        match self {
            Self::Bind { target, .. } | Self::Tmpfs { target, .. } => target,
        }
    }
}

/// How the container meets the network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkMode {
    /// Its own network namespace with loopback only.
    #[default]
    None,
    /// The host's network namespace.
    Host,
}

impl NetworkMode {
    /// Docker's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Host => "host",
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
    /// CPU list such as `0-2,4`.
    pub cpuset_cpus: Option<String>,
    /// Largest number of tasks.
    pub pids_limit: Option<u64>,
}

/// Log driver and its options.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct LogConfig {
    /// `json-file` or `none`.
    pub driver: String,
    /// Rotate when the file would grow beyond this many bytes; never if `None`.
    pub max_size: Option<u64>,
    /// Files kept, the current one included; at least 1.
    pub max_file: u32,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            driver: "json-file".to_owned(),
            max_size: None,
            max_file: 1,
        }
    }
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

/// One row of `ps` and of the containers pane: the record and its state, as they are now.
#[derive(Debug, Clone, PartialEq)]
pub struct ContainerSummary {
    /// What was asked for.
    pub container: std::sync::Arc<Container>,
    /// What it is doing.
    pub state: State,
}
