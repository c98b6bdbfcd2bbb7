//! `events`: figures of a container at intervals, and word of exhausted memory.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::Runtime;
use super::id::Id;
use super::processes::cgroup;
use super::state::{Known, Status};
use crate::engine::error::{Error, Result};
use crate::engine::runtime::cgroup::{Cgroup, OomWatch, Report, Version};
use crate::engine::sys::poll::{Interest, Poller};
use crate::engine::sys::process;

/// One line of output, as runc writes it.
#[derive(Debug, Serialize)]
pub struct Event {
    #[serde(rename = "type")]
    kind: &'static str,
    id: Id,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Box<Report>>,
}

const ENDED: u64 = 0;
const MEMORY: u64 = 1;

const READ: Interest = Interest {
    read: true,
    write: false,
};

impl Runtime {
    /// The figures of this moment.
    ///
    /// # Errors
    /// [`Kind::Conflict`](crate::engine::error::Kind::Conflict) if the container does not run.
    pub fn stats(&self, id: &str) -> Result<Event> {
        let known = self.running(id)?;
        stats(&known)
    }

    /// Tells events until the container has ended, or nobody listens any more.
    ///
    /// # Errors
    /// As [`Self::stats`]; what the kernel says, and what `tell` says.
    pub fn events(
        &self,
        id: &str,
        interval: Duration,
        tell: &mut dyn FnMut(&Event) -> Result<()>,
    ) -> Result<()> {
        let known = self.running(id)?;
        let first = known.record.process;
        let first = first.ok_or_else(|| Error::conflict("container not running"))?;
        let ended = process::open_pidfd(first.pid)?;
        let poller = Poller::new()?;
        poller.add(&ended.as_fd(), ENDED, READ)?;
        // A host without the controller has nothing to tell.
        let mut watch = cgroup(&known)?.oom_watch().ok();
        if let Some(watch) = &watch {
            poller.add(watch, MEMORY, READ)?;
        }
        let mut kills = cgroup(&known)?.oom_kills()?;
        let mut next = Instant::now() + interval;
        while first.is_alive()? {
            let patience = next.saturating_duration_since(Instant::now());
            for ready in poller.wait(Some(patience))? {
                if ready.token == MEMORY {
                    notice(cgroup(&known)?, &mut watch, &mut kills, &mut |event| {
                        tell(&Event {
                            kind: event,
                            id: known.record.id.clone(),
                            data: None,
                        })
                    })?;
                }
            }
            if Instant::now() >= next {
                next += interval;
                match stats(&known) {
                    Ok(event) => tell(&event)?,
                    // Gone meanwhile.
                    Err(_) if !first.is_alive()? => break,
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    fn running(&self, id: &str) -> Result<Known> {
        let known = self.find(id)?;
        match known.status()? {
            Status::Created | Status::Running | Status::Paused => Ok(known),
            Status::Stopped | Status::Creating => Err(Error::conflict(format!(
                "container with id {id} is not running"
            ))),
        }
    }
}

fn stats(known: &Known) -> Result<Event> {
    Ok(Event {
        kind: "stats",
        id: known.record.id.clone(),
        data: Some(Box::new(cgroup(known)?.report()?)),
    })
}

/// On v1 the notice comes before the counter has moved, and also when the group goes away; on v2 it comes for other changes,
/// too, and the counter decides.
fn notice(
    cgroup: &Cgroup,
    watch: &mut Option<OomWatch>,
    kills: &mut u64,
    tell: &mut dyn FnMut(&'static str) -> Result<()>,
) -> Result<()> {
    let now = cgroup.oom_kills()?;
    let exhausted = match cgroup.version() {
        Version::V1 => !cgroup.pids()?.is_empty(),
        Version::V2 => now > *kills,
    };
    *kills = now;
    if exhausted {
        tell("oom")?;
    }
    match watch {
        Some(open) if open.clear().is_err() => *watch = None,
        Some(_) | None => {}
    }
    Ok(())
}
