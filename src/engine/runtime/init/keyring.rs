//! The session keyring: keys of whoever started the engine are none of the container's business.

use std::ffi::CString;

use super::Init;
use crate::engine::error::{Error, Result};
use crate::engine::runtime::labels;
use crate::engine::sys::{keyring, procfs};

/// Joins the keyring that is named after the container, as runc does: processes of `exec` find the same one.
pub(super) fn join_keyring(init: &mut Init<'_>) -> Result<()> {
    let Some(container) = init.terms.container else {
        return Ok(());
    };
    if init.terms.no_new_keyring {
        return Ok(());
    }
    if labels::any(init.process) {
        let proc = procfs::private()?;
        labels::set_for_keys(init.process, std::os::fd::AsFd::as_fd(&proc))?;
    }
    let name = CString::new(format!("_ses.{}", container.id))
        .map_err(|error| Error::invalid("a container's name has a NUL byte").caused_by(error))?;
    let Some(joined) = keyring::join_session(&name)? else {
        return Ok(());
    };
    if init.is_joining() {
        return Ok(());
    }
    // So that processes of `exec` find it, and whoever they become what was put there.
    let bits = if init.has_users() {
        keyring::USER_SEARCH | keyring::OTHER_SEARCH
    } else {
        keyring::USER_SEARCH
    };
    keyring::add_permissions(joined, bits)
}
