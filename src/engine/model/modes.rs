//! Which namespaces a container has of its own, and which it shares.

use std::fmt;

/// All of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Modes {
    /// Processes (`--pid`).
    pub pid: PidMode,
    /// System V IPC, POSIX message queues and `/dev/shm` (`--ipc`).
    pub ipc: IpcMode,
    /// Host name (`--uts`).
    pub uts: UtsMode,
    /// Users (`--userns`).
    pub users: UserMode,
    /// The view of the cgroup tree (`--cgroupns`).
    pub cgroup: CgroupMode,
}

/// Whose processes it sees.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PidMode {
    /// Its own.
    #[default]
    Private,
    /// The host's.
    Host,
    /// Those of this container: as it was named in a request, by id in a record.
    Container(String),
}

/// Whose IPC objects it sees.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IpcMode {
    /// Its own.
    #[default]
    Private,
    /// Its own, without `/dev/shm`.
    None,
    /// Its own, which others may join.
    Shareable,
    /// The host's.
    Host,
    /// Those of this container: as it was named in a request, by id in a record.
    Container(String),
}

/// Whose host name it has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UtsMode {
    /// Its own.
    #[default]
    Private,
    /// The host's.
    Host,
}

/// Whose users its users are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UserMode {
    /// The host's, as nothing was said.
    #[default]
    Default,
    /// The host's.
    Host,
    /// Those that the administrator has set apart, shared with other such containers.
    Remap,
    /// Those of them that no other container has.
    Auto,
}

/// Ids of the host that a container's users from 0 on are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct IdRange {
    /// The first user.
    pub uid: u32,
    /// The first group.
    pub gid: u32,
    /// How many of both.
    pub size: u32,
}

/// What it takes for the root of the cgroup tree.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CgroupMode {
    /// Its own group.
    #[default]
    Private,
    /// The host's.
    Host,
}

/// Docker's word: empty for its own.
impl fmt::Display for PidMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Private => Ok(()),
            Self::Host => f.write_str("host"),
            Self::Container(name) => write!(f, "container:{name}"),
        }
    }
}

/// Docker's word.
impl fmt::Display for IpcMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Private => f.write_str("private"),
            Self::None => f.write_str("none"),
            Self::Shareable => f.write_str("shareable"),
            Self::Host => f.write_str("host"),
            Self::Container(name) => write!(f, "container:{name}"),
        }
    }
}

impl UtsMode {
    /// Docker's word: empty for its own.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Private => "",
            Self::Host => "host",
        }
    }
}

impl UserMode {
    /// Whether the host's users are not the container's.
    #[must_use]
    pub fn is_mapped(self) -> bool {
        matches!(self, Self::Remap | Self::Auto)
    }

    /// Docker's word: empty if nothing was said.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Default => "",
            Self::Host => "host",
            Self::Remap => "remap",
            Self::Auto => "auto",
        }
    }
}

impl CgroupMode {
    /// Docker's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Host => "host",
        }
    }
}

/// What the host keeps for a container beside its limits.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Keeping {
    /// A little init of the engine's own is the first process.
    pub init: Option<bool>,
    /// For others who look at the specification.
    pub annotations: std::collections::BTreeMap<String, String>,
    /// The group that the container's group is made in; the engine's own if empty.
    pub cgroup_parent: String,
    /// How early the kernel ends it when memory is short, -1000 to 1000.
    pub oom_score_adj: i32,
}
