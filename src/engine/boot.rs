//! What is done for all containers when the host comes up, and when it goes down. How one is started or recovered is
//! `containers.rs`.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use super::error::{Attempt, Error, Kind, Result};
use super::model::{Container, ContainerId, RestartPolicy, State, Status};
use super::records::{self, Truth};
use super::runtime::control;
use super::sys::file::{self, Durability};
use super::sys::{host, process};
use super::{Engine, containers};

/// What a monitor takes as "the host goes down".
const SIGTERM: i32 = 15;

/// How long one look at a monitor that ends may take; then it is looked at again.
const LOOK: Duration = Duration::from_hours(1);

/// What became of one container that had something done to it.
#[derive(Debug)]
pub struct Turn {
    /// Its name.
    pub name: String,
    /// Whether it worked.
    pub result: Result<()>,
}

/// Starts what is to run after the host's start, oldest first, and records how the others ended. `tell` hears of each
/// container that was started, or could not be.
///
/// Containers that run are left alone, so it can be done again. Two of them at once take turns. A container that was
/// stopped by hand and whose policy is `always` is started by the first call after the host's start alone.
pub(super) fn up(engine: &Engine, tell: &mut dyn FnMut(Turn)) -> Result<()> {
    let _turn = file::lock(&engine.roots().lock("boot"))?;
    let this_start = host::boot_id()?;
    let path = mark(engine);
    let last = file::read_optional(&path)?;
    let first = last.as_deref() != Some(this_start.as_bytes());
    for container in oldest_first(engine)? {
        let turn = match bring_up(engine, &container, first) {
            Ok(false) => continue,
            Ok(true) => Ok(()),
            // Removed meanwhile, or its own `--rm` took it away.
            Err(error) if error.kind() == Kind::NotFound && is_gone(engine, &container.id) => {
                continue;
            }
            Err(error) => Err(error),
        };
        tell(Turn {
            name: container.name.clone(),
            result: turn,
        });
    }
    file::write_atomic(&path, this_start.as_bytes(), Durability::Unsynced)
        .attempt(|| "remember that the containers were started")
}

/// Which start of the host was answered last. The run root may be no tmpfs, so the start is named.
fn mark(engine: &Engine) -> PathBuf {
    engine.roots().run.join("boot")
}

fn oldest_first(engine: &Engine) -> Result<Vec<std::sync::Arc<Container>>> {
    let mut all = Vec::new();
    for id in records::ids(engine.roots())? {
        all.extend(records::load(engine.roots(), &id)?);
    }
    all.sort_by_key(|container| container.created);
    Ok(all)
}

fn is_gone(engine: &Engine, id: &ContainerId) -> bool {
    matches!(records::load(engine.roots(), id), Ok(None))
}

/// Whether it was started.
fn bring_up(engine: &Engine, container: &Container, first: bool) -> Result<bool> {
    let before = records::look(engine.roots(), &container.id)?;
    // This recovers what the host's end has cut off, which starts it if its policy says so.
    let state = containers::get(engine, &container.id)?.state;
    if state.status.is_live() {
        return Ok(before == Truth::Orphaned);
    }
    let is_wanted = wanted(container.host.restart, &state, first);
    if !is_wanted || !matches!(state.status, Status::Exited | Status::Created) {
        return Ok(false);
    }
    containers::start(engine, &container.id, None)?;
    Ok(true)
}

/// Docker's rule for containers that do not run when its daemon starts. One that never ran is not wanted, whatever its
/// policy.
fn wanted(policy: RestartPolicy, state: &State, first: bool) -> bool {
    if state.started_at.is_none() {
        return false;
    }
    match policy {
        RestartPolicy::No => false,
        RestartPolicy::Always => first || !state.stopped_by_user,
        RestartPolicy::UnlessStopped => !state.stopped_by_user,
        RestartPolicy::OnFailure { max } => {
            let may_again = max == 0 || state.restart_count < max;
            !state.stopped_by_user && state.exit_code != 0 && may_again
        }
    }
}

/// Stops all containers as the host's end does, not as their user: each gets its signal and its time, all at once, and
/// [`up`] will start them again. Blocks until they are over; `tell` hears of each.
pub(super) fn down(engine: &Engine, tell: &mut dyn FnMut(Turn)) -> Result<()> {
    let mut asked = Vec::new();
    for container in oldest_first(engine)? {
        match ask(engine, &container.id) {
            Ok(None) => {}
            Ok(Some(monitor)) => asked.push((container, monitor)),
            Err(error) => tell(Turn {
                name: container.name.clone(),
                result: Err(error),
            }),
        }
    }
    for (container, monitor) in asked {
        let result = await_end(&monitor);
        tell(Turn {
            name: container.name.clone(),
            result,
        });
    }
    Ok(())
}

/// Tells a container's monitor that the host goes down; `None` if nothing runs.
fn ask(engine: &Engine, id: &ContainerId) -> Result<Option<OwnedFd>> {
    let live = engine.roots().live(id);
    let Some(pid) = control::monitor_alive(&live)? else {
        return Ok(None);
    };
    let gone = |error: &Error| error.raw_os_error() == Some(libc::ESRCH);
    let monitor = match process::open_pidfd(pid) {
        Ok(monitor) => monitor,
        Err(error) if gone(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    // Asked again, now that the descriptor is open: the number still means the monitor.
    if control::monitor_alive(&live)? != Some(pid) {
        return Ok(None);
    }
    match process::send_signal(monitor.as_fd(), SIGTERM) {
        Err(error) if !gone(&error) => Err(error),
        Ok(()) | Err(_) => Ok(Some(monitor)),
    }
}

fn await_end(monitor: &OwnedFd) -> Result<()> {
    while !process::wait_ended(monitor.as_fd(), LOOK)? {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::model::Timestamp;

    fn ended(exit_code: i32, stopped_by_user: bool) -> State {
        State {
            status: Status::Exited,
            exit_code,
            stopped_by_user,
            started_at: Some(Timestamp::UNIX_EPOCH),
            ..State::default()
        }
    }

    #[test]
    fn the_hosts_start_follows_dockers_rules() {
        use RestartPolicy::{Always, No, OnFailure, UnlessStopped};
        let check = |policy, state: &State, first, expect| {
            assert_eq!(
                wanted(policy, state, first),
                expect,
                "{policy:?} {state:?} {first}"
            );
        };
        for first in [true, false] {
            check(No, &ended(1, false), first, false);
            check(Always, &ended(0, false), first, true);
            check(UnlessStopped, &ended(0, false), first, true);
            check(UnlessStopped, &ended(0, true), first, false);
            check(OnFailure { max: 0 }, &ended(143, false), first, true);
            check(OnFailure { max: 0 }, &ended(0, false), first, false);
            check(OnFailure { max: 0 }, &ended(143, true), first, false);
            check(Always, &State::default(), first, false);
            check(UnlessStopped, &State::default(), first, false);
        }
        check(Always, &ended(0, true), true, true);
        check(Always, &ended(0, true), false, false);
        let given_up = State {
            restart_count: 3,
            ..ended(1, false)
        };
        check(OnFailure { max: 3 }, &given_up, true, false);
        check(OnFailure { max: 4 }, &given_up, true, true);
    }
}
