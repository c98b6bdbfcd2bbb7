//! Starts a further process in a running container (`exec`): enters the namespaces of its main process, its cgroups,
//! its limits on rights, and executes. Same rules as `launch.rs`; must be called by a single-threaded process.

use oci_spec::runtime::{Process as ProcessSpec, Spec};

use super::cgroup::Cgroup;
use super::launch::{Io, Process};
use crate::engine::error::{Error, Result};

/// What to run, and in which container.
#[derive(Debug)]
pub struct Join<'a> {
    /// The container's main process.
    pub pid: i32,
    /// Its start time ([`Process::pid_start`]): another process that got the same pid is not entered.
    pub pid_start: u64,
    /// The container's specification.
    pub spec: &'a Spec,
    /// The process to run; see [`super::spec::exec_process`].
    pub process: &'a ProcessSpec,
    /// The container's cgroup.
    pub cgroup: &'a Cgroup,
    /// Its standard streams.
    pub io: Io,
}

/// Starts the process and returns once it was executed. Afterwards this process itself is still outside, except that
/// its further children would be born in the container's pid namespace.
///
/// # Errors
/// As [`super::launch::start`]; [`Kind::Conflict`](crate::engine::error::Kind::Conflict) if the container is not running.
pub fn start(_join: &Join<'_>) -> Result<Process> {
    Err(Error::unsupported("exec"))
}
