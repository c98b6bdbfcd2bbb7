//! The end: the command is found, the filter installed, the program executed.

use std::ffi::{CString, OsStr};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

use super::message::READY;
use super::{Init, SYS_ADMIN, gate};
use crate::engine::error::{Attempt, Error, Kind, Result};
use crate::engine::runtime::seccomp::Filter;
use crate::engine::runtime::spec::SECCOMP;
use crate::engine::runtime::{command, seccomp};
use crate::engine::sys::{cred, process};

pub(super) fn find_command(init: &mut Init<'_>) -> Result<()> {
    let args = init.process.args().as_deref().unwrap_or_default();
    let name = args
        .first()
        .ok_or_else(|| Error::invalid("no command specified"))?;
    let path = init
        .state
        .env
        .iter()
        .find_map(|entry| entry.as_bytes().strip_prefix(b"PATH="))
        .unwrap_or_default();
    init.state.program = Some(command::find(name, OsStr::from_bytes(path))?);
    Ok(())
}

pub(super) fn make_filter(init: &mut Init<'_>) -> Result<()> {
    let spec = init.spec;
    // A monitor's configuration is our own work. What others write there may come from an image, which chooses nothing.
    let is_ours = !init.terms.outlives_parent;
    let named = spec
        .annotations()
        .as_ref()
        .and_then(|list| list.get(SECCOMP));
    let builtin = is_ours && named.is_some_and(|name| name == "default");
    let given = spec.linux().as_ref().and_then(|l| l.seccomp().as_ref());
    let filter = match given {
        _ if builtin => {
            let sets = init.process.capabilities().as_ref();
            let bounding = sets.and_then(|sets| sets.bounding().as_ref());
            Some(match bounding {
                Some(bounding) => seccomp::default_filter(bounding),
                None => seccomp::default_filter(&oci_spec::runtime::Capabilities::new()),
            })
        }
        Some(profile) => Some(seccomp::compile(profile)?),
        None => None,
    };
    init.state.filter = filter;
    Ok(())
}

/// A filter that asks somebody is installed while the parent is there, who alone can tell that one. What this process
/// does afterwards, until the program is executed, is subject to it.
pub(super) fn install_asking_filter(init: &mut Init<'_>) -> Result<()> {
    let Some(filter) = init
        .state
        .filter
        .take_if(|filter| filter.listener.is_some())
    else {
        return Ok(());
    };
    process::close_on_exec_from(init.first_private_fd())?;
    init.state.is_filtered = true;
    let listener = install(init, &filter)?
        .ok_or_else(|| Error::new(Kind::Internal, "the filter has no descriptor"))?;
    gate::hand_over(init, &listener)
}

/// `startContainer` hooks are in the container already. What this process does until the program is executed is subject to
/// the filter, too: it reports by write(2), which hardly any profile forbids.
pub(super) fn install_filter_over_hooks(init: &mut Init<'_>) -> Result<()> {
    if !super::hooks::any_start_container(init) {
        return Ok(());
    }
    let Some(filter) = init.state.filter.take() else {
        return Ok(());
    };
    install(init, &filter)?;
    init.state.is_filtered = true;
    let rights = init.state.rights;
    cred::set(rights.effective, rights.permitted, rights.inheritable)
}

/// Needs CAP_SYS_ADMIN, or no_new_privs: that capability is effective for this call alone.
fn install(init: &Init<'_>, filter: &Filter) -> Result<Option<OwnedFd>> {
    let rights = init.state.rights;
    let keep = cred::permitted()? & 1 << SYS_ADMIN;
    cred::set(
        rights.effective | keep,
        rights.permitted | keep,
        rights.inheritable,
    )?;
    crate::engine::sys::seccomp::install(&filter.program, filter.flags)
}

/// The last step: only capset(2), execve(2) and the report come after the filter.
pub(super) fn install_filter(init: &mut Init<'_>) -> Result<()> {
    process::close_on_exec_from(init.first_private_fd())?;
    let mut message = vec![READY];
    for mark in &init.state.marks {
        let micros = mark.saturating_duration_since(init.since).as_micros();
        message.extend(u32::try_from(micros).unwrap_or(u32::MAX).to_ne_bytes());
    }
    super::message::tell(init, &message)?;
    let rights = init.state.rights;
    if let Some(filter) = &init.state.filter {
        install(init, filter)?;
    }
    cred::set(rights.effective, rights.permitted, rights.inheritable)?;
    if rights.ambient != 0 {
        cred::set_ambient(rights.ambient)?;
    }
    Ok(())
}

pub(super) fn execute(init: &Init<'_>) -> Error {
    let Some(program) = &init.state.program else {
        return Error::new(Kind::Internal, "no command was found");
    };
    let args = init.process.args().as_deref().unwrap_or_default();
    let numbered = args.iter().enumerate();
    let args: Result<Vec<CString>> = numbered
        .map(|(number, arg)| c_string(arg).attempt(|| format!("process.args[{number}]")))
        .collect();
    let args = match args {
        Ok(args) => args,
        Err(error) => return error,
    };
    let Ok(path) = CString::new(program.as_os_str().as_bytes()) else {
        return Error::invalid("process.args[0]: a NUL byte cannot be part of it");
    };
    let error = process::execute(&path, &args, &init.state.env);
    let kind = match error.raw_os_error() {
        // The file is there: its interpreter is not.
        Some(libc::ENOENT) => Kind::CommandNotFound,
        _ => Kind::CommandNotRunnable,
    };
    error.with_kind(kind)
}

pub(super) fn c_string(text: &str) -> Result<CString> {
    CString::new(text).map_err(|_position| Error::invalid("a NUL byte cannot be part of it"))
}
