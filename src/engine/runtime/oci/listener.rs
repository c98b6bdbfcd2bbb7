//! Whom a container's filter of system calls asks: it is told with the container's state.

use std::os::fd::BorrowedFd;

use oci_spec::runtime::Spec;

use super::state::{Document, Record, Status};
use crate::engine::error::{Error, Kind, Result};
use crate::engine::runtime::seccomp::{self, notify};

/// Hands a filter's descriptor over. `pid` is the process with the filter.
///
/// # Errors
/// Unavailable if nobody listens where the specification says.
pub(super) fn announce(
    spec: &Spec,
    record: &Record,
    status: Status,
    pid: i32,
    filter: BorrowedFd<'_>,
) -> Result<()> {
    let seccomp = spec.linux().as_ref().and_then(|l| l.seccomp().as_ref());
    let listener = seccomp.map(seccomp::listener).transpose()?.flatten();
    let listener =
        listener.ok_or_else(|| Error::new(Kind::Internal, "a filter that asks nobody"))?;
    let mut state = Document::new(record, status);
    if status == Status::Creating {
        state.pid = pid;
    }
    notify::announce(&listener, &state, pid, filter)
}
