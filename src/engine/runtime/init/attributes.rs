//! What the process is: its user, limits, working directory and rights.

use std::os::fd::AsFd;

use super::message::LIMITS;
use super::{Init, Rights, SYS_ADMIN, environment};
use crate::engine::error::{Attempt, Kind, Result};
use crate::engine::runtime::schedule::{self, Affinity};
use crate::engine::runtime::spec::GROUPS;
use crate::engine::runtime::user::{self, Identity};
use crate::engine::runtime::{caps, labels, rlimits};
use crate::engine::sys::cred::Groups;
use crate::engine::sys::schedule::Bits;
use crate::engine::sys::{self, cred, process, procfs};

pub(super) fn die_with_parent(_init: &mut Init<'_>) -> Result<()> {
    process::die_with_parent()
}

pub(super) fn new_session(_init: &mut Init<'_>) -> Result<()> {
    process::reset_signals()?;
    // Modes of what is made for the container are exact; the payload gets the usual mask at the end.
    process::set_umask(0);
    process::new_session()
}

/// While the host's `/proc` is seen: the container may have none.
pub(super) fn set_oom_score(init: &mut Init<'_>) -> Result<()> {
    match init.process.oom_score_adj() {
        Some(score) => procfs::write_own_oom_score(score).attempt(|| "process.oomScoreAdj"),
        None => Ok(()),
    }
}

pub(super) fn find_user(init: &mut Init<'_>) -> Result<()> {
    let given = init.process.user();
    let root = init.root()?;
    let identity = match given.username() {
        Some(text) => {
            let mut identity = user::resolve(text, root)?;
            let numbers = given.additional_gids().iter().flatten();
            identity.groups.extend(numbers);
            user::add_groups(&mut identity, &named_groups(init), root)?;
            identity
        }
        None => Identity {
            uid: given.uid(),
            gid: given.gid(),
            groups: given.additional_gids().clone().unwrap_or_default(),
            home: String::new(),
        },
    };
    let sets = init.process.capabilities().as_ref();
    let mut rights = match sets {
        Some(sets) => Rights {
            effective: caps::bits(sets.effective().as_ref()),
            permitted: caps::bits(sets.permitted().as_ref()),
            inheritable: caps::bits(sets.inheritable().as_ref()),
            ambient: caps::bits(sets.ambient().as_ref()),
        },
        None => Rights::default(),
    };
    if given.username().is_some() && identity.uid != 0 {
        // What exec would leave of them anyway, and nothing before it (moby does the same).
        rights.effective = 0;
        rights.permitted = 0;
    }
    let env = init.process.env().as_deref().unwrap_or_default();
    // Asked only if it is needed: most containers are told where home is.
    let list = environment::make(env, || {
        if identity.home.is_empty() {
            user::home_of(identity.uid, root)
        } else {
            Ok(identity.home.clone())
        }
    })?;
    init.state.rights = rights;
    init.state.env = list;
    init.state.identity = Some(identity);
    Ok(())
}

/// Groups that the engine was asked to add; names are the container's own.
fn named_groups(init: &Init<'_>) -> Vec<String> {
    let annotations = init.spec.annotations().as_ref();
    let text = annotations.and_then(|list| list.get(GROUPS));
    text.and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default()
}

pub(super) fn set_limits(init: &mut Init<'_>) -> Result<()> {
    if let Some(limits) = init.process.rlimits() {
        if init.has_users() {
            // More than the hard limit takes a right over the host's users.
            init.ask(LIMITS)?;
        } else {
            rlimits::apply(limits)?;
        }
    }
    let mask = init.process.user().umask().unwrap_or(0o022);
    process::set_umask(mask);
    Ok(())
}

/// Where and when the program runs. After the cgroups: a cpuset there would change the affinity again.
pub(super) fn set_schedule(init: &mut Init<'_>) -> Result<()> {
    set_affinity(init)?;
    if let Some(wanted) = init.process.scheduler() {
        schedule::set_scheduler(wanted)?;
    }
    if let Some(wanted) = init.process.io_priority() {
        schedule::set_io_priority(wanted)?;
    }
    let linux = init.spec.linux().as_ref();
    if let Some(wanted) = linux.and_then(|linux| linux.personality().as_ref()) {
        schedule::set_personality(wanted)?;
    }
    match linux.and_then(|linux| linux.memory_policy().as_ref()) {
        Some(wanted) => schedule::set_memory_policy(wanted),
        None => Ok(()),
    }
}

/// Where the engine was allowed to run is no limit for the container, unless it asks for limits: its cpuset is.
fn set_affinity(init: &Init<'_>) -> Result<()> {
    let wanted = match init.process.exec_cpu_affinity() {
        Some(wanted) if init.is_joining() => Affinity::parse(wanted)?,
        _ => Affinity::default(),
    };
    match wanted {
        Affinity {
            last: Some(last), ..
        } => sys::schedule::set_affinity(&last).attempt(|| "process.execCPUAffinity.final"),
        Affinity {
            initial: Some(_), ..
        } => Ok(()),
        Affinity { .. } => {
            // Not everybody may.
            let _ = sys::schedule::set_affinity(&Bits::full());
            Ok(())
        }
    }
}

pub(super) fn set_labels(init: &mut Init<'_>) -> Result<()> {
    if labels::any(init.process) {
        let proc = procfs::private()?;
        labels::set_for_exec(init.process, proc.as_fd())
    } else {
        Ok(())
    }
}

/// First with the engine's rights: a user may be let into a directory whose parent it may not enter. What only the user
/// may enter (a network file system, somebody else's volume) is tried again by [`change_directory_again`].
pub(super) fn change_directory(init: &mut Init<'_>) -> Result<()> {
    match enter(init) {
        Err(error) if error.raw_os_error() == Some(libc::EACCES) => {
            init.state.retries_directory = true;
            Ok(())
        }
        other => other,
    }
}

pub(super) fn change_directory_again(init: &mut Init<'_>) -> Result<()> {
    if init.state.retries_directory {
        enter(init)
    } else {
        Ok(())
    }
}

fn enter(init: &Init<'_>) -> Result<()> {
    let path = init.process.cwd();
    process::change_directory(path).map_err(|error| {
        let kind = match error.raw_os_error() {
            Some(libc::ENOENT) => Kind::CommandNotFound,
            _ => Kind::CommandNotRunnable,
        };
        error
            .attempting("process.cwd: chdir to working directory")
            .with_kind(kind)
    })
}

/// crun's annotation, which podman sets for `--group-add keep-groups`: the caller's groups open what it may open.
fn keeps_groups(init: &Init<'_>) -> bool {
    let annotations = init.spec.annotations().as_ref();
    annotations
        .and_then(|list| list.get("run.oci.keep_original_groups"))
        .is_some_and(|value| value != "0")
}

pub(super) fn drop_rights(init: &mut Init<'_>) -> Result<()> {
    let sets = init.process.capabilities().as_ref();
    let bounding = caps::bits(sets.and_then(|sets| sets.bounding().as_ref()));
    let identity = init.identity()?.clone();
    cred::limit_bounding(bounding)?;
    let groups = match init.has_users() || init.state.is_confined {
        _ if keeps_groups(init) => Groups::Kept,
        true => Groups::SetIfAllowed(&identity.groups),
        false => Groups::Set(&identity.groups),
    };
    cred::become_user(identity.uid, identity.gid, groups).attempt(|| "process.user")?;
    if init.process.no_new_privileges().unwrap_or(false) {
        cred::no_new_privileges()?;
    }
    let here = cred::permitted()?;
    let rights = &mut init.state.rights;
    // What the engine itself does not have it cannot give, and sets have bounds (capset(2)): `caps::ungranted` warns.
    rights.permitted &= here;
    rights.effective &= rights.permitted;
    rights.inheritable &= here & bounding;
    rights.ambient &= rights.inheritable & rights.permitted;
    // The search for the command is done with the final rights; CAP_SYS_ADMIN stays permitted for the filter alone.
    let keep = here & 1 << SYS_ADMIN;
    cred::set(
        rights.effective,
        rights.permitted | keep,
        rights.inheritable,
    )
}
