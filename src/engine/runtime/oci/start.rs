//! `start`: lets a created container's first process execute its program.

use super::hooks::{self, Moment};
use super::notify::Notify;
use super::state::{Known, Status};
use super::{Runtime, gate, teardown};
use crate::engine::error::{Error, Result};
use crate::engine::sys::file;

impl Runtime {
    /// Starts a created container and returns once its program was executed and its `poststart` hooks have run; with the
    /// socket of a service manager, once the program is ready.
    ///
    /// # Errors
    /// [`Kind::Conflict`](crate::engine::error::Kind::Conflict) if it is in another state. If the program cannot be
    /// executed, or a hook fails, the container is stopped.
    pub fn start(&self, id: &str, notify_socket: Option<&str>) -> Result<()> {
        let (_lock, known) = self.find(id)?.lock()?;
        match known.status()? {
            Status::Created => {}
            Status::Stopped => {
                return Err(Error::conflict("cannot start a container that has stopped"));
            }
            Status::Running => {
                return Err(Error::conflict("cannot start an already running container"));
            }
            status @ (Status::Creating | Status::Paused) => {
                return Err(Error::conflict(format!(
                    "cannot start a container in the {} state",
                    status.as_str()
                )));
            }
        }
        let notify = Notify::listen(&known.place, notify_socket)?;
        let path = known.place.gate();
        let executed = gate::open(&path);
        // Whatever became of it, it does not wait any more.
        file::remove_file(&path)?;
        executed?;
        if let (Some(notify), Some(first)) = (notify, known.record.process) {
            notify.wait(first)?;
        }
        poststart(&known)
    }
}

/// Runs the hooks; one that fails ends the container.
fn poststart(known: &Known) -> Result<()> {
    let spec = known.place.spec()?;
    let result = hooks::run(spec.hooks().as_ref(), Moment::Poststart, &known.record);
    if result.is_err() {
        teardown::end(&known.record)?;
    }
    result
}
