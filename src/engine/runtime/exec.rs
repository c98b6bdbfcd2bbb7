//! `exec`: a further process in a running container, with a small supervisor of its own as parent.

use std::path::Path;

use super::channel::{ExecRequest, Request};
use super::control::{self, Started};
use crate::engine::error::Result;

/// Runs a process in the container of a live directory and returns when it runs. `program` is the wharf binary; this
/// process's own if `None`.
///
/// # Errors
/// [`Kind::Conflict`](crate::engine::error::Kind::Conflict) if the container is not running or is paused; the command's
/// fault as [`super::launch::start`] says.
pub fn exec(program: Option<&Path>, live: &Path, request: ExecRequest) -> Result<Started> {
    let request = Request::Exec(Box::new(request));
    control::launch_self(control::EXEC, program, live, &request)
}

/// An exec supervisor's whole life; the exit code of its process. Descriptor 0 is the socket of the front that
/// spawned it.
#[must_use]
pub fn main(_live: &Path) -> u8 {
    1
}
