//! Reads containers from the store: which there are, which one a name means, and what each is doing now.

use std::path::Path;
use std::sync::Arc;

use super::error::{Error, Kind, Result};
use super::model::{Container, ContainerId, State};
use super::names;
use super::runtime::control;
use super::store::{self, Roots};
use super::sys::file;

/// A container's durable record file, within its directory.
pub(super) const RECORD: &str = "container.json";
/// Its state file, in the durable and in the live directory.
pub(super) const STATE: &str = "state.json";

/// What a look at one container found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Truth {
    /// The state is what the kernel has.
    Known(State),
    /// The records say that it runs, but nobody is its monitor: it needs recovery.
    Orphaned,
}

/// Ids of all container directories, in no particular order. Some may be half-made or half-removed.
///
/// # Errors
/// What reading the directory says.
pub(super) fn ids(roots: &Roots) -> Result<Vec<ContainerId>> {
    let names = file::list_dir(&roots.containers())?;
    Ok(names
        .into_iter()
        .filter_map(|name| ContainerId::try_from(name).ok())
        .collect())
}

/// The record, or `None` if the container does not exist (any more, or yet).
///
/// # Errors
/// A damaged record.
pub(super) fn load(roots: &Roots, id: &ContainerId) -> Result<Option<Arc<Container>>> {
    let record: Option<Container> = store::read_record(&roots.container(id).join(RECORD))?;
    Ok(record.map(Arc::new))
}

/// The record of a container that must exist.
///
/// # Errors
/// [`Kind::NotFound`] in Docker's words, or a damaged record.
pub(super) fn expect(roots: &Roots, id: &ContainerId) -> Result<Arc<Container>> {
    load(roots, id)?.ok_or_else(|| no_such(id.as_str()))
}

/// What a container is doing, from its monitor's lock, its live state and its durable state. Changes nothing.
///
/// # Errors
/// A damaged state file.
pub(super) fn look(roots: &Roots, id: &ContainerId) -> Result<Truth> {
    let live_dir = roots.live(id);
    // The lock is asked before the live state is read: a monitor that ends in between has written the durable state
    // before it removed the live one, so "no live state" then leads to the right answer below.
    let monitor = control::monitor_alive(&live_dir)?;
    let live: Option<State> = store::read_record(&live_dir.join(STATE))?;
    match (monitor, live) {
        (Some(_), Some(state)) => Ok(Truth::Known(state)),
        (Some(_), None) => Ok(Truth::Known(settled(durable(roots, id)?))),
        (None, Some(_)) => {
            // Ended while we looked? Then the live directory is gone by now, or about to be.
            match store::read_record::<State>(&live_dir.join(STATE))? {
                Some(_) => Ok(Truth::Orphaned),
                None => look_durable(roots, id),
            }
        }
        (None, None) => look_durable(roots, id),
    }
}

fn look_durable(roots: &Roots, id: &ContainerId) -> Result<Truth> {
    let state = durable(roots, id)?;
    // "Running" without any live state: the host was rebooted, or the monitor died before its first word.
    Ok(if state.status.is_live() {
        Truth::Orphaned
    } else {
        Truth::Known(state)
    })
}

/// The state that survives reboots; "created" if none was written yet.
///
/// # Errors
/// A damaged state file.
pub(super) fn durable(roots: &Roots, id: &ContainerId) -> Result<State> {
    Ok(store::read_record(&roots.container(id).join(STATE))?.unwrap_or_default())
}

/// A monitor is there but has not spoken yet: it is being started, so what was before still holds.
fn settled(mut state: State) -> State {
    if state.status.is_live() {
        state.status = super::model::Status::Created;
        state.pid = None;
    }
    state
}

/// The id that a name, full id or unambiguous id prefix means, in this order.
///
/// # Errors
/// [`Kind::NotFound`] or, for a prefix that fits two, [`Kind::InvalidInput`].
pub(super) fn resolve(roots: &Roots, text: &str) -> Result<ContainerId> {
    let text = text.strip_prefix('/').unwrap_or(text);
    let exists = |id: &ContainerId| is_recorded(&roots.container(id));
    if let Ok(id) = ContainerId::try_from(text.to_owned())
        && exists(&id)
    {
        return Ok(id);
    }
    if let Some(id) = names::owner(roots, text)?.filter(exists) {
        return Ok(id);
    }
    if text.is_empty() {
        return Err(Error::invalid("the container name is empty"));
    }
    let fits = |id: &ContainerId| id.as_str().starts_with(text) && exists(id);
    let mut found = ids(roots)?.into_iter().filter(fits);
    match (found.next(), found.next()) {
        (Some(id), None) => Ok(id),
        (Some(_), Some(_)) => Err(Error::invalid(format!(
            "multiple IDs found with provided prefix: {text}"
        ))
        .with_hint("give more of its digits")),
        (None, _) => Err(no_such(text)),
    }
}

fn is_recorded(directory: &Path) -> bool {
    directory.join(RECORD).exists()
}

/// "No such container" in Docker's words.
#[must_use]
pub(super) fn no_such(text: &str) -> Error {
    Error::new(Kind::NotFound, format!("No such container: {text}"))
}
