//! `delete`: removes what a container has left.

use super::id::Id;
use super::state::{Known, Place, Status};
use super::{Runtime, teardown};
use crate::engine::error::{Error, Kind, Result};
use crate::engine::sys::file::Lock;

/// What to do with a container that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Running {
    /// Leave it, and say so.
    Refuse,
    /// Kill it. One that does not exist is then fine, too.
    Kill,
}

impl Runtime {
    /// Removes a container. What failed without keeping it from being removed (`poststop` hooks) is returned.
    ///
    /// # Errors
    /// [`Kind::NotFound`], [`Kind::Conflict`] if it runs, or what could not be removed.
    pub fn delete(&self, id: &str, running: Running) -> Result<Vec<Error>> {
        let place = Place::of(self, &Id::parse(id)?);
        let known = match place.read() {
            Ok(record) => Known { place, record },
            Err(error) => return self.delete_abandoned(&place, id, running, error),
        };
        match running {
            Running::Refuse => refuse_running(&known, None)?,
            // Before the lock is waited for: who holds it may be waiting for the container.
            Running::Kill => teardown::end(&known.record)?,
        }
        let (lock, known) = match known.lock() {
            Err(error) if error.kind() == Kind::NotFound && running == Running::Kill => {
                return Ok(Vec::new());
            }
            other => other?,
        };
        if running == Running::Refuse {
            // It may have been started meanwhile.
            refuse_running(&known, Some(&lock))?;
        }
        teardown::end(&known.record)?;
        let spec = known.place.spec().ok();
        teardown::remove(&known.place, &known.record, spec.as_ref())
    }

    /// A directory without a record that can be read: a `create` that was killed at once, or damage.
    fn delete_abandoned(
        &self,
        place: &Place,
        id: &str,
        running: Running,
        error: Error,
    ) -> Result<Vec<Error>> {
        let missing = error.kind() == Kind::NotFound;
        if place.exists() && (missing || running == Running::Kill) {
            // A `create` that is still at work holds it.
            if let Some(lock) = place.try_lock()? {
                if place.read().is_ok() {
                    // It was just being made.
                    drop(lock);
                    return self.delete(id, running);
                }
                place.remove()?;
            }
        }
        if running == Running::Kill {
            Ok(Vec::new())
        } else {
            Err(error)
        }
    }
}

/// `lock` is the container's, if it is held.
fn refuse_running(known: &Known, lock: Option<&Lock>) -> Result<()> {
    match known.status()? {
        Status::Stopped | Status::Created => Ok(()),
        // Somebody is at it, unless the lock is free.
        Status::Creating if lock.is_some() || known.place.try_lock()?.is_some() => Ok(()),
        status @ (Status::Running | Status::Paused | Status::Creating) => {
            Err(Error::conflict(format!(
                "cannot delete container {} that is not stopped: {}",
                known.record.id,
                status.as_str()
            )))
        }
    }
}
