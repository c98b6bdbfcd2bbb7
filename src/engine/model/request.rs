//! Requests: what the command line, the TUI and later the API ask of the engine. One validation path for all doors.

use std::collections::BTreeMap;

use super::container::Attach;
use super::log::LogConfig;
use super::network::{Attachment, DnsConfig, Pool, Port, PortBinding};
use super::{
    Auth, HealthCheck, Keeping, Modes, Mount, NetworkMode, Platform, Reference, Resources,
    RestartPolicy, Rights, Security, Timestamp,
};

/// `create`: everything that was asked for; `None` or empty means "as the image says".
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Create {
    /// Image: reference, id or id prefix.
    pub image: String,
    /// Name; a generated one if `None`.
    pub name: Option<String>,
    /// Command and arguments after the image.
    pub cmd: Vec<String>,
    /// `--entrypoint`; `Some(vec![])` clears the image's.
    pub entrypoint: Option<Vec<String>>,
    /// `NAME=value`; the front resolves `NAME` alone and env files.
    pub env: Vec<String>,
    /// `key=value` labels.
    pub labels: Vec<(String, String)>,
    /// Working directory.
    pub working_dir: Option<String>,
    /// User.
    pub user: Option<String>,
    /// Host name.
    pub hostname: Option<String>,
    /// Allocate a terminal.
    pub tty: bool,
    /// Keep stdin open.
    pub open_stdin: bool,
    /// Streams that the front will attach.
    pub attach: Attach,
    /// Mounts.
    pub mounts: Vec<Mount>,
    /// Containers whose volumes and bind mounts it gets, too.
    pub volumes_from: Vec<VolumesFrom>,
    /// Whose network it has.
    pub network: NetworkMode,
    /// The networks that it is on, with [`NetworkMode::Networks`].
    pub networks: Vec<Attachment>,
    /// What it publishes.
    pub ports: Vec<PortBinding>,
    /// Publish all that is exposed.
    pub publish_all: bool,
    /// Ports that are exposed, beside the image's.
    pub exposed: Vec<Port>,
    /// How it finds names.
    pub dns: DnsConfig,
    /// Restart policy.
    pub restart: RestartPolicy,
    /// Remove when it exits.
    pub auto_remove: bool,
    /// Read-only root.
    pub readonly_rootfs: bool,
    /// Limits.
    pub resources: Resources,
    /// Log configuration.
    pub log: LogConfig,
    /// Signal for `stop`.
    pub stop_signal: Option<String>,
    /// Seconds for `stop`.
    pub stop_timeout: Option<i64>,
    /// Platform wanted, checked against the image's.
    pub platform: Option<Platform>,
    /// Capabilities to add.
    pub cap_add: Vec<String>,
    /// Capabilities to drop.
    pub cap_drop: Vec<String>,
    /// `/dev/shm` size.
    pub shm_size: Option<u64>,
    /// `host:ip`.
    pub extra_hosts: Vec<String>,
    /// Devices, groups, limits of processes.
    pub rights: Rights,
    /// Namespaces of its own; other containers by any name.
    pub modes: Modes,
    /// Beside limits.
    pub keeping: Keeping,
    /// NIS domain name.
    pub domainname: String,
    /// Security modules of the kernel.
    pub security: Security,
    /// How its health is found out; what it leaves open is the image's.
    pub healthcheck: Option<HealthCheck>,
}

/// `stop` and `restart`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stop {
    /// Signal; the container's stop signal if `None`.
    pub signal: Option<String>,
    /// Seconds before SIGKILL; the container's timeout if `None`, no limit if negative.
    pub timeout: Option<i64>,
}

/// `--volumes-from`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VolumesFrom {
    /// Name, id or prefix.
    pub container: String,
    /// Read-only, whatever they are there.
    pub readonly: bool,
    /// The SELinux context that their files get; as there if `None`.
    pub relabel: Option<super::selinux::Relabel>,
}

impl std::fmt::Display for VolumesFrom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mode = if self.readonly { ":ro" } else { "" };
        write!(f, "{}{mode}", self.container)
    }
}

/// `volume create`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CreateVolume {
    /// Name; one is made up if empty.
    pub name: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// `type`, `device`, `o`.
    pub options: BTreeMap<String, String>,
}

/// `volume prune`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PruneVolumes {
    /// Also volumes that somebody named.
    pub all: bool,
    /// Only volumes with all these labels: `key` or `key=value`.
    pub labels: Vec<String>,
    /// Only volumes without any of these labels.
    pub not_labels: Vec<String>,
    /// Only these, by name and when they were made: what somebody has seen and agreed to.
    pub only: Option<Vec<(String, Timestamp)>>,
}

/// `network create`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CreateNetwork {
    /// Name.
    pub name: String,
    /// Driver as it was given; `bridge` if empty.
    pub driver: String,
    /// Its addresses; where a family has none, a free subnet is chosen.
    pub pools: Vec<Pool>,
    /// Endpoints get an address of version 4; they do if `None`.
    pub ipv4: Option<bool>,
    /// Endpoints get an address of version 6; they do not if `None`, unless a pool says so.
    pub ipv6: Option<bool>,
    /// Nothing outside is reached.
    pub internal: bool,
    /// Kept and shown.
    pub attachable: bool,
    /// A template for others.
    pub config_only: bool,
    /// The template that it is made from.
    pub config_from: String,
    /// Options of the driver.
    pub options: BTreeMap<String, String>,
    /// Options of the address management.
    pub ipam_options: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// `network prune`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PruneNetworks {
    /// Only networks that were made before.
    pub until: Option<Timestamp>,
    /// Only networks with all these labels: `key` or `key=value`.
    pub labels: Vec<String>,
    /// Only networks without any of these labels.
    pub not_labels: Vec<String>,
}

/// `update`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Update {
    /// New limits; what is `None` stays as it is.
    pub resources: Resources,
    /// Take the limit of tasks away.
    pub unlimited_pids: bool,
    /// New restart policy.
    pub restart: Option<RestartPolicy>,
}

/// `commit`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Commit {
    /// Tag to give it.
    pub reference: Option<Reference>,
    /// Who made it.
    pub author: String,
    /// Comment in the history.
    pub message: String,
    /// Dockerfile instructions applied to the configuration.
    pub changes: Vec<String>,
    /// Freeze a running container meanwhile.
    pub pause: bool,
}

/// `container prune`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PruneContainers {
    /// Only containers that were made before.
    pub until: Option<Timestamp>,
    /// Only containers with all these labels: `key` or `key=value`.
    pub labels: Vec<String>,
    /// Only containers without any of these labels.
    pub not_labels: Vec<String>,
    /// Only these: what somebody has seen and agreed to.
    pub only: Option<Vec<super::ContainerId>>,
}

/// `rm`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Remove {
    /// Kill it if it runs.
    pub force: bool,
    /// Remove its anonymous volumes too.
    pub volumes: bool,
}

/// `logs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logs {
    /// Go on as lines come, until the container ends.
    pub follow: bool,
    /// Only the last so many lines; all if `None`.
    pub tail: Option<u64>,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Not after.
    pub until: Option<Timestamp>,
    /// Standard output.
    pub stdout: bool,
    /// Standard error.
    pub stderr: bool,
    /// With the labels and variables that entries carry.
    pub details: bool,
}

impl Default for Logs {
    fn default() -> Self {
        Self {
            follow: false,
            tail: None,
            since: None,
            until: None,
            stdout: true,
            stderr: true,
            details: false,
        }
    }
}

/// `exec`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exec {
    /// Command and arguments.
    pub cmd: Vec<String>,
    /// Added to the container's environment.
    pub env: Vec<String>,
    /// User; the container's if `None`.
    pub user: Option<String>,
    /// Working directory; the container's if `None`.
    pub working_dir: Option<String>,
    /// Allocate a terminal.
    pub tty: bool,
    /// Forward stdin.
    pub stdin: bool,
    /// All capabilities.
    pub privileged: bool,
    /// Size of the terminal at the start.
    pub size: Option<TerminalSize>,
}

/// Size of a terminal in character cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TerminalSize {
    /// Lines.
    pub rows: u16,
    /// Columns.
    pub cols: u16,
}

/// Which streams to attach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct AttachTo {
    /// Forward standard input.
    pub stdin: bool,
    /// Deliver standard output.
    pub stdout: bool,
    /// Deliver standard error.
    pub stderr: bool,
    /// Size of the front's terminal.
    pub size: Option<TerminalSize>,
}

/// `import`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Import {
    /// Tag to give it.
    pub reference: Option<Reference>,
    /// Comment in the history.
    pub message: String,
    /// Dockerfile instructions (`CMD …`, `ENV …`) applied to the configuration.
    pub changes: Vec<String>,
    /// Platform; the host's if `None`.
    pub platform: Option<Platform>,
}

/// `layers squash`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Squash {
    /// Tag to give the new image.
    pub reference: Reference,
    /// The lowest layer that is merged; those below it stay.
    pub from: u16,
}

/// `pull`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pull {
    /// What to pull; tag `latest` unless it has a tag or a digest.
    pub reference: Reference,
    /// Every tag of the repository; the reference has then neither tag nor digest.
    pub all_tags: bool,
    /// Platform; the host's if `None`.
    pub platform: Option<Platform>,
    /// Who we are to its registry.
    pub auth: Auth,
}

/// `push`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    /// What to push, which is also where to.
    pub reference: Reference,
    /// Every tag of the repository that the store has.
    pub all_tags: bool,
    /// Only an image of this platform.
    pub platform: Option<Platform>,
    /// Who we are to its registry.
    pub auth: Auth,
}

/// `search`: on Docker Hub, or on the registry in front of the term (`host:5000/term`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    /// What to look for.
    pub term: String,
    /// Most hits, 1 to 100; 25 if `None`.
    pub limit: Option<u32>,
    /// Who we are to the registry.
    pub auth: Auth,
}

/// `image prune`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PruneImages {
    /// Also images that have names, if no container uses them.
    pub all: bool,
    /// Only images that were made before.
    pub until: Option<Timestamp>,
    /// Only images with all these labels: `key` or `key=value`.
    pub labels: Vec<String>,
    /// Only images without any of these labels.
    pub not_labels: Vec<String>,
    /// Only these, by id, with no other names than these: what somebody has seen and agreed to.
    pub only: Option<Vec<(super::digest::ImageId, Vec<String>)>>,
}

/// `system check`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Check {
    /// Make good what can be made good: unpack again, fetch again, remove what is beyond repair and unused.
    pub repair: bool,
}
