//! What the process is: its user, limits, working directory and rights.

use super::program::c_string;
use super::{Init, Rights, SYS_ADMIN};
use crate::engine::error::{Kind, Result};
use crate::engine::runtime::user::{self, Identity};
use crate::engine::runtime::{caps, rlimits, sysctl};
use crate::engine::sys::{cred, process};

pub(super) fn die_with_parent(_init: &mut Init<'_>) -> Result<()> {
    process::die_with_parent()
}

pub(super) fn new_session(_init: &mut Init<'_>) -> Result<()> {
    process::reset_signals()?;
    // Modes of what is made for the container are exact; the payload gets the usual mask at the end.
    process::set_umask(0);
    process::new_session()
}

pub(super) fn find_user(init: &mut Init<'_>) -> Result<()> {
    let given = init.process.user();
    let root = init.root()?;
    let identity = match given.username() {
        Some(text) => user::resolve(text, root)?,
        None => Identity {
            uid: given.uid(),
            gid: given.gid(),
            groups: given.additional_gids().clone().unwrap_or_default(),
            home: user::home_of(given.uid(), root)?,
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
    let mut list = Vec::with_capacity(env.len() + 1);
    for entry in env {
        list.push(c_string(entry)?);
    }
    if !env.iter().any(|entry| entry.starts_with("HOME=")) {
        list.push(c_string(&format!("HOME={}", identity.home))?);
    }
    init.state.rights = rights;
    init.state.env = list;
    init.state.identity = Some(identity);
    Ok(())
}

pub(super) fn set_limits(init: &mut Init<'_>) -> Result<()> {
    if let Some(limits) = init.process.rlimits() {
        rlimits::apply(limits)?;
    }
    if let Some(score) = init.process.oom_score_adj() {
        sysctl::set_oom_score(score)?;
    }
    let mask = init.process.user().umask().unwrap_or(0o022);
    process::set_umask(mask);
    Ok(())
}

pub(super) fn change_directory(init: &mut Init<'_>) -> Result<()> {
    let path = init.process.cwd();
    process::change_directory(path).map_err(|error| {
        let kind = match error.raw_os_error() {
            Some(libc::ENOENT) => Kind::CommandNotFound,
            _ => Kind::CommandNotRunnable,
        };
        error
            .attempting(format!("enter working directory {}", path.display()))
            .with_kind(kind)
    })
}

pub(super) fn drop_rights(init: &mut Init<'_>) -> Result<()> {
    let sets = init.process.capabilities().as_ref();
    let bounding = caps::bits(sets.and_then(|sets| sets.bounding().as_ref()));
    let identity = init.identity()?.clone();
    cred::limit_bounding(bounding)?;
    cred::become_user(identity.uid, identity.gid, &identity.groups)?;
    if init.process.no_new_privileges().unwrap_or(false) {
        cred::no_new_privileges()?;
    }
    let here = cred::permitted()?;
    let rights = &mut init.state.rights;
    // What the engine itself does not have it cannot give.
    rights.effective &= here;
    rights.permitted &= here;
    rights.inheritable &= here;
    rights.ambient &= rights.inheritable & rights.permitted;
    // The search for the command is done with the final rights; CAP_SYS_ADMIN stays permitted for the filter alone.
    let keep = here & 1 << SYS_ADMIN;
    cred::set(
        rights.effective,
        rights.permitted | keep,
        rights.inheritable,
    )
}
