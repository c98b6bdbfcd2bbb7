//! The monitor: one small single-threaded process for each running container, its parent. It owns the start, the log,
//! the terminal, attached fronts, the exit status, the restart policy and the teardown.

mod plan;

use std::path::Path;

pub use plan::{PLAN_VERSION, Plan};

use crate::engine::error::{Error, Result};
use crate::engine::model::State;

/// A monitor's whole life; the exit code of its process. Descriptor 0 is the socket of the front that spawned it.
#[must_use]
pub fn main(_live: &Path) -> u8 {
    1
}

/// What [`recover`] found and did.
#[derive(Debug, Clone, PartialEq)]
pub struct Recovered {
    /// The container's plan.
    pub plan: Plan,
    /// How it ended, as it is now recorded in the durable state.
    pub state: State,
    /// The restart policy wants it started again, with this restart count.
    pub restart: Option<u32>,
}

/// Cleans up after a monitor that died: kills what is left of the container, records exit 137, writes the durable
/// state, removes cgroup and live directory (and, with `--rm`, the container). `None` if there is nothing to do: the
/// monitor lives, or nothing was ever started here.
///
/// The caller holds the container's lock, so that no front is starting it and no other is recovering it.
///
/// # Errors
/// What could not be removed; calling it again goes on from there.
pub fn recover(_live: &Path) -> Result<Option<Recovered>> {
    Err(Error::unsupported("recover"))
}
