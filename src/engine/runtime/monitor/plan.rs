//! What a monitor is told: `monitor.json` in the live directory, written by the front before it spawns the monitor.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::held::Held;
use super::joined::Joined;
use crate::engine::error::{Attempt, Error, Kind, Result};
use crate::engine::model::log::About;
use crate::engine::model::network::Networking;
use crate::engine::model::{ContainerId, HealthCheck, LogConfig, RestartPolicy};
use crate::engine::runtime::launch::Rootfs;
use crate::engine::sys::file::{self, Durability};

/// Version of [`Plan`] on disk.
pub const PLAN_VERSION: u32 = 1;

/// A volume in a container, as its events tell it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Mounted {
    /// Its name.
    pub name: String,
    /// Where it is in the container.
    pub destination: String,
    /// It can be written.
    pub writable: bool,
}

/// Everything a monitor needs besides the OCI specification (`config.json`): it never looks into a store.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Plan {
    /// Schema version, [`PLAN_VERSION`].
    pub version: u32,
    /// Whose.
    pub id: ContainerId,
    /// Name, for events and messages.
    pub name: String,
    /// The image as the user named it, for events.
    pub image: String,
    /// Labels, for events, as Docker has them there.
    pub labels: BTreeMap<String, String>,
    /// The durable `state.json`: written when the container has ended. It is read at the start.
    pub state: PathBuf,
    /// The event journal.
    pub events: PathBuf,
    /// `container.log`; its directory exists. Rotated files are beside it.
    pub log: PathBuf,
    /// Driver and rotation.
    pub log_config: LogConfig,
    /// What entries say of the container.
    #[serde(default)]
    pub log_about: About,
    /// The root file system.
    pub rootfs: Rootfs,
    /// A pseudo-terminal is allocated.
    pub tty: bool,
    /// Standard input stays open even if nobody is attached.
    pub open_stdin: bool,
    /// Standard input ends when the first front that was attached to it leaves.
    pub stdin_once: bool,
    /// What happens when the main process ends.
    pub restart: RestartPolicy,
    /// `--rm`: files and directories that are removed, in this order, when the container has ended (name file first, so
    /// that the name is free; the container's directory last). Not removed if `None`.
    pub auto_remove: Option<Vec<PathBuf>>,
    /// Volumes that are mounted in it, for events.
    #[serde(default)]
    pub mounted: Vec<Mounted>,
    /// `--rm`: volumes that nobody named. Each goes with the container if no other one is among its `users`.
    #[serde(default)]
    pub volumes: Vec<PathBuf>,
    /// Whoever holds this lock knows that no container gets or gives back a volume.
    #[serde(default)]
    pub volumes_lock: Option<PathBuf>,
    /// Signal that `stop` sends.
    pub stop_signal: i32,
    /// Seconds that `stop` waits before SIGKILL; without limit if negative.
    pub stop_timeout: i64,
    /// The specification has hooks or a group of caches: something is to be done around each run.
    #[serde(default)]
    pub attended: bool,
    /// The group that the container's group is in; the engine's own if empty.
    #[serde(default)]
    pub cgroup_parent: String,
    /// Namespaces of other containers.
    #[serde(default)]
    pub joined: Vec<Joined>,
    /// Its volumes in memory.
    #[serde(default)]
    pub held: Vec<Held>,
    /// Its networks; `None` if it is on none.
    #[serde(default)]
    pub networking: Option<Networking>,
    /// How its health is found out.
    #[serde(default)]
    pub health: Option<HealthCheck>,
    /// What runs probes in shell form; empty is `/bin/sh -c`.
    #[serde(default)]
    pub shell: Vec<String>,
}

impl Plan {
    /// `monitor.json` of a live directory.
    #[must_use]
    pub fn path(live: &Path) -> PathBuf {
        live.join("monitor.json")
    }

    /// Reads the plan of a live directory; `None` if there is none.
    ///
    /// # Errors
    /// What the file system says; [`Kind::Internal`] if it does not parse or is of another version.
    pub fn read(live: &Path) -> Result<Option<Self>> {
        let path = Self::path(live);
        let what = || format!("read {}", path.display());
        let Some(content) = file::read_optional(&path)? else {
            return Ok(None);
        };
        let plan: Self = serde_json::from_slice(&content)
            .map_err(|error| Error::new(Kind::Internal, what()).caused_by(error))?;
        if plan.version != PLAN_VERSION {
            return Err(Error::new(
                Kind::Internal,
                format!("{}: version {} is not known", what(), plan.version),
            ));
        }
        Ok(Some(plan))
    }

    /// Writes it into a live directory.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write(&self, live: &Path) -> Result<()> {
        let text = serde_json::to_vec(self)
            .map_err(|error| Error::new(Kind::Internal, "encode plan").caused_by(error))?;
        file::write_atomic(&Self::path(live), &text, Durability::Unsynced)
            .attempt(|| "write the monitor's plan")
    }
}
