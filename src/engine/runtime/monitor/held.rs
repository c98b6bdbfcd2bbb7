//! Volumes in memory: a tmpfs is there as long as any container that has it runs, and the kernel is who counts. Whoever starts
//! copies the mount of one that runs, or makes a new one; a lock for each volume lets them do so one after the other.

use std::path::{Path, PathBuf};

use oci_spec::runtime::{Mount, Spec};

use super::plan::Plan;
use super::teardown::{live_state, read_state};
use crate::engine::error::Result;
use crate::engine::model::Status;
use crate::engine::runtime::mounts::options::{INSIDE, OF_PROCESS};
use crate::engine::sys::file::{self, Lock};
use crate::engine::sys::process;

/// A volume in memory that a container has.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Held {
    /// The directory that has a file for each container that has the volume, by its id.
    pub users: PathBuf,
    /// Where this container has it.
    pub target: PathBuf,
    /// Who starts a container with the volume holds this file's lock until it runs.
    pub lock: PathBuf,
}

/// Options that are a mount's own, and not the file system's (mount(8), "Filesystem-independent mount options").
const OF_MOUNT: [&str; 12] = [
    "nosuid",
    "suid",
    "nodev",
    "dev",
    "noexec",
    "exec",
    "noatime",
    "nodiratime",
    "relatime",
    "strictatime",
    "nosymfollow",
    "nostrictatime",
];

/// Has a specification mount what running containers have of these volumes, and a volume that nobody has once, wherever the
/// container has it. The locks are to be kept until the container's state says that it runs.
///
/// # Errors
/// What the file system says.
pub(super) fn share(spec: &mut Spec, plan: &Plan, live: &Path) -> Result<Vec<Lock>> {
    let mut all: Vec<&Held> = plan.held.iter().collect();
    // In one order, so that nobody waits for each other.
    all.sort_by_key(|held| &held.lock);
    let mut locks = Vec::new();
    for places in all.chunk_by(|a, b| a.lock == b.lock) {
        let Some(held) = places.first() else { continue };
        locks.push(file::lock(&held.lock)?);
        let mut giver = donor(held, plan.id.as_str(), live)?;
        for mount in spec.mounts_mut().iter_mut().flatten() {
            let is_ours = places
                .iter()
                .any(|held| *mount.destination() == held.target);
            if !is_ours || mount.typ().as_deref() != Some("tmpfs") {
                continue;
            }
            match &giver {
                Some(giver) => take(mount, giver),
                // In the order of the mounts: what is made here is there when it is the others' turn.
                None => {
                    giver = Some(Giver {
                        whose: INSIDE.to_owned(),
                        target: mount.destination().clone(),
                    });
                }
            }
        }
    }
    Ok(locks)
}

/// A mount that others are copies of.
struct Giver {
    /// The option that says whose it is.
    whose: String,
    target: PathBuf,
}

/// A container that runs, with what it has of a volume.
fn donor(held: &Held, own: &str, live: &Path) -> Result<Option<Giver>> {
    let Some(all) = live.parent() else {
        return Ok(None);
    };
    for id in file::list_dir(&held.users)? {
        if id == own {
            continue;
        }
        let other = all.join(&id);
        // One that cannot be read, or is just being removed, has nothing to give.
        let Ok(Some(state)) = read_state(&live_state(&other)) else {
            continue;
        };
        let runs = matches!(state.status, Status::Running | Status::Paused);
        let Some(pid) = state.pid.filter(|_| runs) else {
            continue;
        };
        if !process::is_alive(pid, state.pid_start)? {
            continue;
        }
        let Ok(Some(plan)) = Plan::read(&other) else {
            continue;
        };
        if let Some(theirs) = plan
            .held
            .into_iter()
            .find(|theirs| theirs.lock == held.lock)
        {
            return Ok(Some(Giver {
                whose: format!("{OF_PROCESS}{pid}:{}", state.pid_start),
                target: theirs.target,
            }));
        }
    }
    Ok(None)
}

/// The same place, with the mount's own options, and the giver's files.
fn take(mount: &mut Mount, giver: &Giver) {
    let options = mount.options().clone().unwrap_or_default();
    let read_only = options.iter().any(|option| option == "ro");
    let mut kept: Vec<String> = options
        .into_iter()
        .filter(|option| OF_MOUNT.contains(&option.as_str()))
        .collect();
    // The giver may not write: that is its own.
    kept.push(if read_only { "ro" } else { "rw" }.to_owned());
    kept.push("bind".to_owned());
    kept.push(giver.whose.clone());
    mount
        .set_typ(Some("bind".to_owned()))
        .set_source(Some(giver.target.clone()))
        .set_options(Some(kept));
}
