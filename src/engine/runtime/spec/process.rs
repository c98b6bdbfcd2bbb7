//! What a process of a container starts with: variables, working directory; and the process of an `exec`.

use std::path::{Component, Path, PathBuf};

use oci_spec::runtime::{Process, Spec, User};

use crate::engine::error::{Error, Result};
use crate::engine::model::request;
use crate::engine::runtime::caps;

/// The search path where neither image nor request has one.
pub const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Makes the process of an `exec` in a container with this specification.
///
/// # Errors
/// [`Kind::InvalidInput`](crate::engine::error::Kind::InvalidInput): no command.
pub fn exec_process(container: &Spec, request: &request::Exec) -> Result<Process> {
    if request.cmd.is_empty() {
        return Err(Error::invalid("no command specified"));
    }
    let main = container
        .process()
        .as_ref()
        .ok_or_else(|| Error::invalid("the container's specification has no process"))?;
    let mut env: Vec<String> = main.env().clone().unwrap_or_default();
    if request.tty && !env.iter().any(|entry| entry.starts_with("TERM=")) {
        env.push("TERM=xterm".to_owned());
    }
    for entry in &request.env {
        set_variable(&mut env, entry);
    }
    let user = match &request.user {
        Some(text) => {
            let mut user = User::default();
            user.set_username(Some(text.clone()))
                .set_additional_gids(main.user().additional_gids().clone());
            user
        }
        None => main.user().clone(),
    };
    let capabilities = if request.privileged {
        Some(caps::sets(&caps::all()))
    } else {
        main.capabilities().clone()
    };
    let mut process = Process::default();
    process
        .set_terminal(Some(request.tty))
        .set_user(user)
        .set_args(Some(request.cmd.clone()))
        .set_env(Some(env))
        .set_cwd(
            request
                .working_dir
                .as_deref()
                .map_or_else(|| main.cwd().clone(), working_dir),
        )
        .set_capabilities(capabilities)
        .set_rlimits(main.rlimits().clone())
        .set_oom_score_adj(main.oom_score_adj())
        // Also with `--privileged`, as Docker has it: the profile is the container's.
        .set_apparmor_profile(main.apparmor_profile().clone())
        .set_selinux_label(main.selinux_label().clone())
        .set_no_new_privileges(main.no_new_privileges());
    Ok(process)
}

/// `PATH`, `HOSTNAME`, `TERM` with a terminal, then the container's own; a later value of a name takes the earlier one's
/// place, and a name without `=` removes it.
pub(super) fn environment(hostname: &str, tty: bool, own: &[String]) -> Vec<String> {
    let mut env = vec![DEFAULT_PATH.to_owned(), format!("HOSTNAME={hostname}")];
    if tty {
        env.push("TERM=xterm".to_owned());
    }
    for entry in own {
        set_variable(&mut env, entry);
    }
    env
}

/// Sets a variable to `NAME=value`, or takes it away by its name alone.
pub(in crate::engine::runtime) fn set_variable(env: &mut Vec<String>, entry: &str) {
    let (name, value) = match entry.split_once('=') {
        Some((name, _)) => (name, Some(entry)),
        None => (entry, None),
    };
    let same = |old: &String| old.split_once('=').map_or(old.as_str(), |(name, _)| name) == name;
    match (env.iter().position(same), value) {
        (Some(at), Some(value)) => value.clone_into(&mut env[at]),
        (Some(at), None) => {
            env.remove(at);
        }
        (None, Some(value)) => env.push(value.to_owned()),
        (None, None) => {}
    }
}

/// Absolute and clean; relative to `/`.
pub(super) fn working_dir(text: &str) -> PathBuf {
    clean(Path::new(text))
}

/// Lexical: `/a/./b/../c` is `/a/c`, and nothing is above `/` (Go's `filepath.Clean`, which Docker applies).
pub(super) fn clean(path: &Path) -> PathBuf {
    let mut result = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::Normal(name) => result.push(name),
            Component::ParentDir => {
                result.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    result
}
