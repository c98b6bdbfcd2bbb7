//! Hooks that run in the container's namespaces: `createContainer` while the host's files are still seen, `startContainer`
//! as the last thing before the program, in its place.

use std::borrow::Cow;
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;

use oci_spec::runtime::{Hook, Hooks};

use super::Init;
use crate::engine::error::{Error, Kind, Result};
use crate::engine::runtime::hooks::{Setting, State};

/// Whether there is anything that [`start_container`] would run.
pub(super) fn any_start_container(init: &Init<'_>) -> bool {
    let hooks = init.spec.hooks().as_ref();
    let list = hooks.and_then(|hooks| hooks.start_container().as_deref());
    init.terms.container.is_some() && list.is_some_and(|list| !list.is_empty())
}

pub(super) fn create_container(init: &mut Init<'_>) -> Result<()> {
    run(
        init,
        "createContainer",
        "creating",
        Hooks::create_container,
        None,
    )
}

pub(super) fn start_container(init: &mut Init<'_>) -> Result<()> {
    // Hooks that say nothing of their environment have the program's, as runc's have.
    let env: Vec<Cow<'_, str>> = init
        .state
        .env
        .iter()
        .map(CString::as_c_str)
        .map(|entry| entry.to_string_lossy())
        .collect();
    run(
        init,
        "startContainer",
        "created",
        Hooks::start_container,
        Some(&env),
    )
}

fn run(
    init: &Init<'_>,
    kind: &str,
    status: &str,
    list: impl Fn(&Hooks) -> &Option<Vec<Hook>>,
    env: Option<&[Cow<'_, str>]>,
) -> Result<()> {
    let list = init
        .spec
        .hooks()
        .as_ref()
        .and_then(|hooks| list(hooks).as_deref());
    let (Some(list @ [_, ..]), Some(container)) = (list, init.terms.container) else {
        return Ok(());
    };
    let state = State {
        oci_version: init.spec.version(),
        id: container.id,
        status,
        pid: std::process::id(),
        bundle: container.bundle,
        annotations: init.spec.annotations().as_ref(),
    };
    let state = serde_json::to_vec(&state)
        .map_err(|error| Error::new(Kind::Internal, error.to_string()))?;
    let before_pivot = env.is_none();
    // The host's files are still in place: as with runc a relative path means the container's.
    let root = format!("/proc/self/fd/{}", init.root()?.as_fd().as_raw_fd());
    Setting {
        kind,
        state: &state,
        dir: before_pivot.then_some(Path::new(&root)),
        env,
        outputs: init.terms.hook_outputs,
    }
    .run(list)
}
