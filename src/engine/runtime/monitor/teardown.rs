//! What is done when a container has ended, by its monitor or, if that died, by the next front that looks.
//!
//! The order is such that a process may die between any two steps and the next caller goes on from there:
//!
//! 1. the live `state.json` says how it ended;
//! 2. what is left of its processes is killed, its cgroup removed, its networks are left;
//! 3. with `--rm` its name is removed and its directory renamed away; otherwise the durable state is written;
//! 4. the live directory is renamed away, which is the moment from which the container can be started again;
//! 5. who waits is told, and only then what was renamed away is removed: that is nobody's time but ours. [`sweep`] does
//!    it for a process that died before.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{Networks, Plan, around};
use crate::engine::error::{Attempt, Error, Kind, Result};
use crate::engine::model::{Event, State, Status, Timestamp, event};
use crate::engine::runtime::cgroup::Hierarchy;
use crate::engine::runtime::restart::{self, Ended};
use crate::engine::runtime::{control, journal};
use crate::engine::sys::file::{self, Durability};
use crate::engine::sys::lock_record;
use crate::engine::sys::maker;

/// Exit code of a container whose monitor died: it was killed.
const KILLED: i32 = 137;

/// How long processes that were killed may take to end.
const DYING: Duration = Duration::from_secs(10);

/// `state.json` of a live directory.
pub(super) fn live_state(live: &Path) -> PathBuf {
    live.join("state.json")
}

/// Writes a state.
pub(super) fn write_state(path: &Path, state: &State, durability: Durability) -> Result<()> {
    let mut text = serde_json::to_vec(state)
        .map_err(|error| Error::new(Kind::Internal, "encode state").caused_by(error))?;
    text.push(b'\n');
    file::write_atomic(path, &text, durability).attempt(|| "write the container's state")
}

/// Reads a state; `None` if there is none or it is damaged.
pub(super) fn read_state(path: &Path) -> Result<Option<State>> {
    let content = file::read_optional(path)?;
    Ok(content.and_then(|content| serde_json::from_slice(&content).ok()))
}

/// Appends one event of the container; a journal that cannot be written stops nothing.
pub(in crate::engine::runtime) fn record(plan: &Plan, action: &str, more: &[(&str, String)]) {
    let mut attributes = plan.labels.clone();
    attributes.insert("image".to_owned(), plan.image.clone());
    attributes.insert("name".to_owned(), plan.name.clone());
    for (name, value) in more {
        attributes.insert((*name).to_owned(), value.clone());
    }
    let event = Event {
        time: Timestamp::now(),
        kind: event::Kind::Container,
        action: action.to_owned(),
        id: plan.id.to_string(),
        attributes,
    };
    let _ = journal::append(&plan.events, &event);
}

/// Appends an event of each of its volumes: `mount` with its first process, `unmount` after it.
pub(super) fn record_volumes(plan: &Plan, action: &str) {
    for volume in &plan.mounted {
        let mut attributes = vec![
            ("container", plan.id.to_string()),
            ("driver", "local".to_owned()),
        ];
        if action == "mount" {
            attributes.extend([
                ("destination", volume.destination.clone()),
                ("propagation", String::new()),
                ("read/write", volume.writable.to_string()),
            ]);
        }
        let event = Event {
            time: Timestamp::now(),
            kind: event::Kind::Volume,
            action: action.to_owned(),
            id: volume.name.clone(),
            attributes: attributes
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect(),
        };
        let _ = journal::append(&plan.events, &event);
    }
}

/// What becomes of the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It stays, or goes if its plan says so.
    AsPlanned,
    /// It stays, because it is about to be started again.
    Kept,
}

/// What [`tear_down`] could not do, and what it leaves to [`discard`].
#[derive(Debug, Default)]
#[must_use]
pub(super) struct TornDown {
    /// Everything that went wrong.
    pub errors: Vec<Error>,
    /// Renamed away, to be removed.
    rubbish: Vec<PathBuf>,
}

/// Steps 2 to 4. Goes on past failures and says what they were.
pub(super) fn tear_down(
    live: &Path,
    plan: &Plan,
    state: &State,
    fate: Fate,
    networks: &mut dyn Networks,
) -> TornDown {
    let mut done = TornDown::default();
    done.errors.extend(remove_cgroup(plan).err());
    done.errors.extend(around::after(live, plan));
    done.errors.extend(networks.detach(plan, live));
    match (&plan.auto_remove, fate) {
        (Some(paths), Fate::AsPlanned) => {
            for path in paths {
                if !is_anothers(path, plan.id.as_str()) {
                    done.take_away(path);
                }
            }
            done.give_back(plan);
            record(plan, "destroy", &[]);
        }
        (Some(_) | None, Fate::AsPlanned | Fate::Kept) => {
            let durability = match plan.auto_remove {
                Some(_) => Durability::Unsynced,
                None => Durability::Synced,
            };
            let written = write_state(&plan.state, state, durability);
            done.errors.extend(written.err());
        }
    }
    done.take_away(live);
    done
}

impl TornDown {
    fn take_away(&mut self, path: &Path) {
        match retire(path) {
            Ok(away) => self.rubbish.extend(away),
            Err(error) => self.errors.push(error),
        }
    }

    /// Gives volumes back, and takes those away of which that was the last user. Nobody gets them meanwhile.
    fn give_back(&mut self, plan: &Plan) {
        if plan.volumes.is_empty() {
            return;
        }
        let _making = match plan.volumes_lock.as_deref().map(file::lock).transpose() {
            Ok(lock) => lock,
            Err(error) => {
                self.errors.push(error);
                return;
            }
        };
        for volume in &plan.volumes {
            let users = volume.join("users");
            match file::remove_file(&users.join(plan.id.as_str())).and_then(|()| leave(&users)) {
                Ok(true) => self.take_away(volume),
                Ok(false) => {}
                Err(error) => self.errors.push(error),
            }
        }
    }

    /// Step 5; all errors.
    pub(super) fn discard_all(self, networks: &mut dyn Networks) -> Vec<Error> {
        let mut errors = self.discard();
        errors.extend(networks.clear());
        errors
    }

    /// The same, if there are no networks.
    fn discard(mut self) -> Vec<Error> {
        for path in self.rubbish {
            self.errors.extend(file::remove_tree(&path).err());
        }
        self.errors
    }
}

/// Kills whatever is left in the container's cgroup and removes it.
fn remove_cgroup(plan: &Plan) -> Result<()> {
    let cgroup = Hierarchy::detect()?.container(&plan.cgroup_parent, &plan.id);
    let deadline = Instant::now() + DYING;
    loop {
        // One whose main process shared the host's pid namespace, or that is just ending, may have more.
        if !cgroup.pids()?.is_empty() {
            cgroup.kill_all()?;
        }
        match cgroup.remove() {
            Err(error) if error.kind() == Kind::Conflict && Instant::now() < deadline => {}
            result => return result.attempt(|| "remove the container's cgroup"),
        }
    }
}

/// Whether a name belongs to another container by now: its file says whose it is. Other files say nothing.
fn is_anothers(path: &Path, id: &str) -> bool {
    if path.is_dir() {
        return false;
    }
    let content = file::read_optional(path).ok().flatten().unwrap_or_default();
    let owner = String::from_utf8_lossy(&content);
    !owner.is_empty() && owner.trim() != id
}

/// Removes a volume's list of users; `false` if it has any.
///
/// # Errors
/// What rmdir(2) says otherwise.
pub fn leave(users: &Path) -> Result<bool> {
    const NOT_EMPTY: i32 = 39;
    match file::remove_dir(users) {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error() == Some(NOT_EMPTY) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes a directory: it is gone in one step, and its content after that.
///
/// # Errors
/// What the file system says.
pub fn remove_directory(path: &Path) -> Result<()> {
    match retire(path)? {
        Some(away) => file::remove_tree(&away),
        None => Ok(()),
    }
}

/// Takes a directory away in one step, and says where it is now; a file is removed. One that is not there is fine.
fn retire(path: &Path) -> Result<Option<PathBuf>> {
    let what = || format!("remove {}", path.display());
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => return file::remove_file(path).map(|()| None),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).attempt(what),
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let gone = path.with_file_name(format!(".{name}.{}.gone", maker::own()));
    match std::fs::rename(path, &gone) {
        Ok(()) => Ok(Some(gone)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).attempt(what),
    }
}

/// Removes what a process that died in the middle of removing a directory has left beside it.
///
/// # Errors
/// What the file system says.
pub fn sweep(directories: &Path) -> Result<()> {
    for name in file::list_dir(directories)? {
        let Some(at_work) = name
            .strip_prefix('.')
            .and_then(|rest| rest.strip_suffix(".gone"))
            .and_then(|rest| rest.rsplit_once('.'))
            .and_then(|(_, by)| maker::is_at_work(by))
        else {
            continue;
        };
        if !at_work {
            file::remove_tree(&directories.join(&name))?;
        }
    }
    Ok(())
}

/// What [`recover`] found and did.
#[derive(Debug, Clone, PartialEq)]
pub struct Recovered {
    /// The container's plan.
    pub plan: Plan,
    /// How it ended, as it is now recorded in the durable state.
    pub state: State,
    /// The restart policy wants it started again, with this restart count.
    pub restart: Option<u32>,
}

/// Cleans up after a monitor that died: kills what is left of the container, records exit 137, writes the durable
/// state, removes cgroup and live directory (and, with `--rm`, the container). `None` if there is nothing to do: the
/// monitor lives, or nothing was ever started here (a live directory without a plan is removed).
///
/// The caller holds the container's lock, so that no front is starting it and no other is recovering it.
///
/// # Errors
/// The first thing that could not be removed; calling it again goes on from there.
pub fn recover(live: &Path, networks: &mut dyn Networks) -> Result<Option<Recovered>> {
    if !live.exists() || control::monitor_alive(live)?.is_some() {
        return Ok(None);
    }
    // Kept until the end: a second process that recovers without the container's lock is turned away.
    let Some(_lock) = lock_record::take(&live.join("monitor.lock"))? else {
        return Ok(None);
    };
    let Ok(Some(plan)) = Plan::read(live) else {
        let mut done = TornDown::default();
        done.take_away(live);
        return first(done.discard()).map(|()| None);
    };
    let durable = read_state(&plan.state)?;
    let Some(mut state) = read_state(&live_state(live))? else {
        // It died before the container ran.
        let state = durable.unwrap_or_default();
        let done = tear_down(live, &plan, &state, Fate::Kept, networks);
        return first(done.discard_all(networks)).map(|()| None);
    };
    let mut restart = None;
    if state.status.is_live() {
        restart = end_abandoned(&plan, &mut state);
        write_state(&live_state(live), &state, Durability::Unsynced)?;
        record(&plan, "die", &[("exitCode", state.exit_code.to_string())]);
    }
    // With a restart to come, `--rm` (which cannot be combined with it) does not matter.
    let done = tear_down(live, &plan, &state, Fate::AsPlanned, networks);
    first(done.discard_all(networks))?;
    Ok(Some(Recovered {
        plan,
        state,
        restart,
    }))
}

/// The state of a container whose monitor died while it ran; whether the policy wants a restart.
fn end_abandoned(plan: &Plan, state: &mut State) -> Option<u32> {
    let now = Timestamp::now();
    let was_running = state.status != Status::Restarting;
    if was_running {
        state.exit_code = KILLED;
        state.finished_at = Some(now);
    }
    let ran = state
        .started_at
        .map(|start| now.duration_since(start))
        .and_then(|ran| Duration::try_from(ran).ok())
        .unwrap_or_default();
    let delay = restart::decide(
        plan.restart,
        Ended {
            code: state.exit_code,
            ran,
            stopped: state.stopped_by_user,
            restarts: state.restart_count,
            delay: None,
        },
    );
    state.end_health();
    state.status = Status::Exited;
    state.pid = None;
    state.pid_start = 0;
    state.monitor = None;
    // A restart that was waiting for its time is in the count already.
    delay.map(|_| state.restart_count + u32::from(was_running))
}

fn first(errors: Vec<Error>) -> Result<()> {
    match errors.into_iter().next() {
        Some(error) => Err(error),
        None => Ok(()),
    }
}
