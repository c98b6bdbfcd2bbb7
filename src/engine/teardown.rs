//! Removes a container that does not run, from its record alone. Idempotent. What exists only while it runs (processes,
//! cgroup, live directory) is for its monitor, or `runtime::monitor::recover`.

use super::error::{Error, Result};
use super::model::Container;
use super::names;
use super::runtime::monitor;
use super::store::Roots;
use super::sys::file;
use super::volumes;

/// Takes away everything of a container that does not run. The record goes last, so that a removal that was cut off
/// is finished by the next one.
///
/// # Errors
/// All that went wrong; the rest was done all the same, but then the record stays.
#[must_use]
pub(super) fn remove(roots: &Roots, container: &Container) -> Vec<Error> {
    let mut errors = Vec::new();
    let directory = roots.container(&container.id);
    errors.extend(names::release(roots, &container.name, &container.id).err());
    volumes::release(roots, container);
    for part in ["upper", "work", "log"] {
        errors.extend(file::remove_tree(&directory.join(part)).err());
    }
    if errors.is_empty() {
        // In one step: half a directory would have no record, and nobody would ever find it.
        errors.extend(monitor::remove_directory(&directory).err());
    }
    errors
}

/// One error for many: the first, with the others behind it.
///
/// # Errors
/// The first of the list, if there is one.
pub(super) fn outcome(errors: Vec<Error>, what: impl Into<String>) -> Result<()> {
    let mut errors = errors.into_iter();
    let Some(first) = errors.next() else {
        return Ok(());
    };
    let others: Vec<String> = errors.map(|error| error.to_string()).collect();
    let what = what.into();
    Err(if others.is_empty() {
        first.attempting(what)
    } else {
        first.attempting(format!("{what} (and {})", others.join("; ")))
    })
}
