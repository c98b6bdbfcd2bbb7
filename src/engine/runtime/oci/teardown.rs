//! Removing what is left of a container. It needs only the record and can be done twice: a failed `create`, `delete` and
//! the end of `run` are one path.

use std::os::fd::AsFd;
use std::time::Duration;

use oci_spec::runtime::Spec;

use super::hooks::{self, Moment};
use super::state::{Place, Record};
use crate::engine::error::{Error, Kind, Result};
use crate::engine::runtime::cgroup::Cgroup;
use crate::engine::runtime::rdt::Allocation;
use crate::engine::sys::process;

/// How long a process may take to end after SIGKILL.
const ENDING: Duration = Duration::from_secs(10);

/// SIGKILL.
pub(super) const KILL: i32 = 9;

/// Ends the first process if it runs, and waits until it has ended.
pub(super) fn end(record: &Record) -> Result<()> {
    let Some(first) = record.process else {
        return Ok(());
    };
    let pidfd = match process::open_pidfd(first.pid) {
        Ok(pidfd) => pidfd,
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Ok(()),
        Err(error) => return Err(error),
    };
    // Asked after the descriptor was opened: it and the number now mean the same process.
    if !first.is_alive()? {
        return Ok(());
    }
    process::send_signal(pidfd.as_fd(), KILL)?;
    thaw(record.cgroup.as_ref())?;
    if process::wait_ended(pidfd.as_fd(), ENDING)? {
        Ok(())
    } else {
        Err(Error::new(Kind::Timeout, "container init still running"))
    }
}

/// On v1 a frozen process does not die of SIGKILL before it is thawed (cgroup-v1/freezer-subsystem.rst).
pub(super) fn thaw(cgroup: Option<&Cgroup>) -> Result<()> {
    match cgroup {
        Some(cgroup) if cgroup.is_frozen()? => cgroup.thaw(),
        Some(_) | None => Ok(()),
    }
}

/// Removes cgroups and directory, then runs the `poststop` hooks. Its first process must have ended; others in its
/// cgroup are killed. The hooks' failures are returned, they keep nothing from being removed.
pub(super) fn remove(place: &Place, record: &Record, spec: Option<&Spec>) -> Result<Vec<Error>> {
    if let Some(cgroup) = &record.cgroup {
        cgroup.kill_all()?;
        cgroup.remove()?;
    }
    let group = spec.map(|spec| Allocation::of(spec, record.id.as_str()));
    if let Some(Ok(Some(group))) = group {
        group.remove()?;
    }
    place.remove()?;
    let hooks = spec.and_then(|spec| spec.hooks().as_ref());
    Ok(hooks::run_all(hooks, Moment::Poststop, record))
}
