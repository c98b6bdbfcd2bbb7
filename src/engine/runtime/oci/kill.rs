//! `kill`: a signal for a container's first process, or for all of its processes.

use std::os::fd::AsFd;

use super::state::{Known, Status};
use super::{Runtime, teardown};
use crate::engine::error::{Error, Result};
use crate::engine::sys::process;

/// Who gets a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The first process.
    First,
    /// Every process in the container's cgroup, also after the first one has ended.
    All,
}

impl Runtime {
    /// Sends a signal.
    ///
    /// # Errors
    /// [`Kind::Conflict`](crate::engine::error::Kind::Conflict) if the container is not running.
    pub fn kill(&self, id: &str, signal: i32, target: Target) -> Result<()> {
        let known = self.find(id)?;
        let status = known.status()?;
        // Nobody ends the others if they are not in a pid namespace that ends with the first one.
        let target = if signal == teardown::KILL && !known.record.own_pids {
            Target::All
        } else {
            target
        };
        match (target, status) {
            (_, Status::Creating) | (Target::First, Status::Stopped) => {
                Err(Error::conflict("container not running"))
            }
            (Target::First, Status::Created | Status::Running | Status::Paused) => {
                to_first(&known, signal)
            }
            (Target::All, Status::Created | Status::Running | Status::Paused | Status::Stopped) => {
                to_all(&known, signal)
            }
        }
    }
}

fn to_first(known: &Known, signal: i32) -> Result<()> {
    let not_running = || Error::conflict("container not running");
    let first = known.record.process.ok_or_else(not_running)?;
    let pidfd = process::open_pidfd(first.pid).map_err(|gone| not_running().caused_by(gone))?;
    // Asked after the descriptor was opened: it and the number now mean the same process.
    if !first.is_alive()? {
        return Err(not_running());
    }
    process::send_signal(pidfd.as_fd(), signal)?;
    if signal == teardown::KILL {
        teardown::thaw(known.record.cgroup.as_ref())?;
    }
    Ok(())
}

fn to_all(known: &Known, signal: i32) -> Result<()> {
    match &known.record.cgroup {
        Some(cgroup) if !cgroup.is_disabled() => cgroup.signal_all(signal),
        Some(_) | None => to_first(known, signal),
    }
}
