//! What processes that were killed left behind: containers that were never finished, live directories without a monitor,
//! names of nobody. Whoever looks next clears it away. Nothing here waits for anybody: what somebody may be busy with is
//! for the one after.

use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::error::{Error, Kind, Result};
use super::model::{Container, ContainerId, State, Status};
use super::records::{self, Truth};
use super::runtime::{control, monitor};
use super::store::Roots;
use super::sys::{file, maker, process};
use super::{Engine, containers, names, volumes};

/// Prefix of directories in which containers are being made; the maker and the id follow.
const STAGE: &str = ".new-";

/// How long a monitor may take to come or to go. Its teardown kills what does not end by itself.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// How long a monitor may take to kill its container and to clear up, before it is killed itself.
const SILENCE: Duration = Duration::from_secs(10);

/// How soon a look sees that a monitor has spoken.
const NOTICED: Duration = Duration::from_millis(10);

/// Where this process makes a container.
pub(super) fn stage(roots: &Roots, id: &ContainerId) -> std::path::PathBuf {
    let name = format!("{STAGE}{}-{id}", maker::own());
    roots.containers().join(name)
}

/// Takes away what a killed process left: stages of a `create`, and what was put aside to be removed.
pub(super) fn clear(engine: &Engine) {
    // Best effort, as below: the next one tries again.
    let _ = monitor::sweep(&engine.roots().containers());
    let _ = monitor::sweep(&engine.roots().live_directories());
    for name in file::list_dir(&engine.roots().containers()).unwrap_or_default() {
        let made = name
            .strip_prefix(STAGE)
            .and_then(|rest| rest.split_once('-'));
        if let Some((by, id)) = made
            && maker::is_at_work(by) == Some(false)
            && let Ok(id) = ContainerId::try_from(id.to_owned())
        {
            let _ = clear_stage(engine, &name, &id);
        }
    }
}

/// What a container that was never finished has by now: a name, volumes, its stage, which goes last.
fn clear_stage(engine: &Engine, stage: &str, id: &ContainerId) -> Result<()> {
    let roots = engine.roots();
    if !volumes::forget(engine, id)? {
        return Ok(());
    }
    let Some(_names) = names::try_lock(roots)? else {
        return Ok(());
    };
    for name in file::list_dir(&roots.names())? {
        names::release(roots, &name, id)?;
    }
    file::remove_tree(&roots.containers().join(stage))
}

/// Live directories, as they were before containers were looked at.
#[derive(Debug)]
pub(super) struct LiveDirectories(BTreeSet<ContainerId>);

impl LiveDirectories {
    /// All of them.
    ///
    /// # Errors
    /// What reading the directory says.
    pub(super) fn list(roots: &Roots) -> Result<Self> {
        let names = file::list_dir(&roots.live_directories())?.into_iter();
        let ids = names.filter_map(|name| ContainerId::try_from(name).ok());
        Ok(Self(ids.collect()))
    }

    /// Whether a container had one.
    pub(super) fn has(&self, id: &ContainerId) -> bool {
        self.0.contains(id)
    }

    /// A container that does not run has none, unless its monitor, or the front that was about to start it, was killed.
    pub(super) fn settle(&mut self, engine: &Engine, container: &Container, live: bool) {
        if self.0.remove(&container.id) && !live {
            let _ = settle(engine, container);
        }
    }

    /// What is left belongs to containers that are gone, `--rm` ones mostly: their removal is gone on with.
    pub(super) fn finish(self, engine: &Engine) {
        for id in self.0 {
            if matches!(records::load(engine.roots(), &id), Ok(None)) {
                let networks = &mut super::attacher::Attacher::default();
                let _ = monitor::recover(&engine.roots().live(&id), networks);
            }
        }
    }
}

/// Clears away what an unfinished start left, unless somebody is at it.
fn settle(engine: &Engine, container: &Container) -> Result<()> {
    let roots = engine.roots();
    if control::monitor_alive(&roots.live(&container.id))?.is_some() {
        return Ok(());
    }
    let path = containers::lock_path(engine, &container.id);
    let Some(_lock) = file::try_lock(&path)? else {
        return Ok(());
    };
    match records::look(roots, &container.id)? {
        Truth::Known(state) if state.status.is_live() => Ok(()),
        Truth::Known(_) | Truth::Orphaned => containers::settle(engine, container).map(|_| ()),
    }
}

/// What a container is doing, once that is certain: a monitor that is about to end has ended, with its teardown, and one that
/// is just starting says that it runs. The caller holds the container's lock, so that no other one comes.
///
/// # Errors
/// [`Kind::Timeout`] if a monitor does neither.
pub(super) fn certain(engine: &Engine, container: &Arc<Container>) -> Result<Truth> {
    let roots = engine.roots();
    let live = roots.live(&container.id);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let truth = records::look(roots, &container.id)?;
        let Truth::Known(state) = &truth else {
            return Ok(truth);
        };
        if state.status.is_live() {
            return Ok(truth);
        }
        let Some(pid) = control::monitor_alive(&live)? else {
            return Ok(truth);
        };
        if Instant::now() > deadline {
            return Err(Error::new(
                Kind::Timeout,
                format!(
                    "the monitor of container {} (process {pid}) does not end",
                    container.name
                ),
            ));
        }
        await_end(pid)?;
    }
}

/// A container that its lock's holder has to itself: what it is doing, or how it ended, and then nothing of its last run is
/// left and no monitor can come.
///
/// # Errors
/// As [`certain`]; what could not be cleared away.
pub(super) fn at_rest(engine: &Engine, container: &Arc<Container>) -> Result<State> {
    loop {
        match certain(engine, container)? {
            Truth::Known(state) if state.status.is_live() => return Ok(state),
            Truth::Known(_) | Truth::Orphaned => {}
        }
        let (state, _) = containers::settle(engine, container)?;
        // One whose front was killed may have begun just now: it was told to before that.
        if control::monitor_alive(&engine.roots().live(&container.id))?.is_none() {
            return Ok(state);
        }
    }
}

/// Ends a container at once, whatever its monitor does: one that does not answer (somebody has stopped it, it hangs) is killed
/// after ten seconds. What it leaves is cleared away by the next look.
///
/// # Errors
/// [`Kind::Unavailable`] if the monitor was killed, or died meanwhile.
pub(super) fn end(engine: &Engine, id: &ContainerId, control: control::Control) -> Result<()> {
    if control.kill()?.wait_at_most(SILENCE)? {
        return Ok(());
    }
    let live = engine.roots().live(id);
    if let Some(pid) = control::monitor_alive(&live)? {
        // By a descriptor, and only if it still holds the lock: the number may be somebody else's by now.
        let monitor = process::open_pidfd(pid)?;
        if control::monitor_alive(&live)? == Some(pid) {
            process::send_signal(monitor.as_fd(), containers::SIGKILL)?;
        }
    }
    Err(control::gone())
}

/// Until a monitor that does not answer has ended, or for a moment.
///
/// # Errors
/// What the file system says.
pub(super) fn await_monitor(engine: &Engine, id: &ContainerId) -> Result<()> {
    match control::monitor_alive(&engine.roots().live(id))? {
        Some(pid) => await_end(pid),
        None => Ok(()),
    }
}

/// Until a process ends, or for a moment.
fn await_end(pid: i32) -> Result<()> {
    match process::open_pidfd(pid) {
        Ok(pidfd) => process::wait_ended(pidfd.as_fd(), NOTICED).map(|_| ()),
        Err(error) if error.kind() == Kind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// An error in other words if a container went, or ended, while something was done with it.
pub(super) fn explain(engine: &Engine, id: &ContainerId, error: Error) -> Error {
    // Its files go before its record does, so its state is asked first.
    let state = records::durable(engine.roots(), id);
    let removing = state.is_ok_and(|state| state.status == Status::Removing);
    match records::load(engine.roots(), id) {
        Ok(None) => records::no_such(id.as_str()),
        Ok(Some(_)) if removing => records::no_such(id.as_str()),
        Ok(Some(_)) if is_about_a_process(&error) => {
            Error::conflict(format!("container {id} is not running"))
        }
        _ => error,
    }
}

fn is_about_a_process(error: &Error) -> bool {
    const NO_PROCESS: i32 = 3;
    error.raw_os_error() == Some(NO_PROCESS)
}
