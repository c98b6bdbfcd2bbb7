//! Namespaces of other containers that a container joins. Which process has them is found out before each run: the other
//! container may have been started again meanwhile.

use std::path::{Path, PathBuf};

use oci_spec::runtime::{LinuxNamespace, LinuxNamespaceType, Mount, Spec};

use super::teardown::{live_state, read_state};
use crate::engine::error::{Error, Result};
use crate::engine::model::Status;
use crate::engine::runtime::mounts::options::OF_PROCESS;
use crate::engine::sys::process;

/// A namespace of another container.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Joined {
    /// Which.
    pub kind: JoinedKind,
    /// The other container's live directory.
    pub live: PathBuf,
    /// Its id, for messages.
    pub id: String,
}

/// What can be joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JoinedKind {
    /// Processes.
    Pid,
    /// IPC objects, and what is in `/dev/shm`.
    Ipc,
    /// Network devices, addresses, ports.
    Network,
}

/// Where POSIX shared memory is (shm_overview(7)).
const SHARED_MEMORY: &str = "/dev/shm";

/// Puts the namespaces that are there now into a specification.
///
/// # Errors
/// [`Kind::Conflict`](crate::engine::error::Kind::Conflict) if the other container does not run.
pub fn resolve(spec: &mut Spec, all: &[Joined]) -> Result<()> {
    for joined in all {
        let (pid, started) = joined.process()?;
        match joined.kind {
            JoinedKind::Pid => join(spec, LinuxNamespaceType::Pid, pid, "pid"),
            JoinedKind::Ipc => {
                join(spec, LinuxNamespaceType::Ipc, pid, "ipc");
                share_memory(spec, pid, started);
            }
            JoinedKind::Network => {
                join(spec, LinuxNamespaceType::Network, pid, "net");
                share_names(spec, &joined.live);
            }
        }
    }
    Ok(())
}

impl Joined {
    /// The other container's first process, and when it was started.
    fn process(&self) -> Result<(i32, u64)> {
        let what = match self.kind {
            JoinedKind::Pid => "PID",
            JoinedKind::Ipc => "IPC",
            JoinedKind::Network => "network namespace",
        };
        let id = &self.id;
        let not_running = || {
            Error::conflict(format!(
                "cannot join {what} of container {id}: container {id} is not running"
            ))
        };
        let state = read_state(&live_state(&self.live))?.ok_or_else(not_running)?;
        let pid = match state.status {
            Status::Running | Status::Paused => state.pid.ok_or_else(not_running)?,
            Status::Created
            | Status::Restarting
            | Status::Removing
            | Status::Exited
            | Status::Dead => return Err(not_running()),
        };
        if process::is_alive(pid, state.pid_start)? {
            Ok((pid, state.pid_start))
        } else {
            Err(not_running())
        }
    }
}

fn join(spec: &mut Spec, kind: LinuxNamespaceType, pid: i32, file: &str) {
    let Some(linux) = spec.linux_mut().as_mut() else {
        return;
    };
    let mut all = linux.namespaces().clone().unwrap_or_default();
    all.retain(|namespace| namespace.typ() != kind);
    let mut namespace = LinuxNamespace::default();
    namespace.set_typ(kind).set_path(Some(
        Path::new("/proc")
            .join(pid.to_string())
            .join("ns")
            .join(file),
    ));
    all.push(namespace);
    linux.set_namespaces(Some(all));
}

/// The files of `/etc` that say who is where are the other's, too.
fn share_names(spec: &mut Spec, live: &Path) {
    for mount in spec.mounts_mut().iter_mut().flatten() {
        let name = mount.destination().strip_prefix("/etc").ok();
        let name = name.and_then(Path::to_str).map(str::to_owned);
        if let Some(name @ ("hosts" | "hostname" | "resolv.conf")) = name.as_deref() {
            let own = mount
                .source()
                .as_ref()
                .is_some_and(|source| source.parent().and_then(Path::parent) == live.parent());
            // The user's own mount stays.
            if own {
                mount.set_source(Some(live.join(name)));
            }
        }
    }
}

/// What is there belongs to the file system, not to the namespace: it is the other's mount.
fn share_memory(spec: &mut Spec, pid: i32, started: u64) {
    let target = Path::new(SHARED_MEMORY);
    let Some(mounts) = spec.mounts_mut().as_mut() else {
        return;
    };
    let is_ours = |mount: &Mount| {
        let mut options = mount.options().iter().flatten();
        options.any(|option| option.starts_with(OF_PROCESS))
    };
    // The user's own mount stays.
    let others = |mount: &Mount| mount.destination() == target && !is_ours(mount);
    if mounts.iter().any(others) {
        return;
    }
    mounts.retain(|mount| mount.destination() != target);
    let mut mount = Mount::default();
    mount
        .set_destination(target.to_owned())
        .set_typ(Some("bind".to_owned()))
        .set_source(Some(target.to_owned()))
        .set_options(Some(vec![
            "bind".to_owned(),
            format!("{OF_PROCESS}{pid}:{started}"),
        ]));
    // After /dev, before what the user mounts below.
    let after_dev = mounts
        .iter()
        .rposition(|mount| mount.destination().starts_with("/dev"));
    mounts.insert(after_dev.map_or(0, |at| at + 1), mount);
}
