//! From a container's record to an OCI runtime specification with Docker's defaults. Pure: no I/O.
//!
//! Two things that OCI has no place for travel in it: the user as text (`process.user.username`), because only the
//! mounted root knows the names, and the annotation [`SECCOMP`].

use std::path::Path;

use oci_spec::runtime::{Process, Spec};

use super::cgroup::Version;
use crate::engine::error::{Error, Result};
use crate::engine::model::{Container, request};

/// Annotation that says which seccomp filter to install: `default` is the built-in profile for the process's
/// capabilities. Without it `linux.seccomp` counts, and without that there is none.
pub const SECCOMP: &str = "wharf.seccomp";

/// Facts about the host that shape a specification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Which cgroup interface.
    pub cgroups: Version,
    /// The host's own name, for containers in its network namespace.
    pub hostname: String,
}

/// What a specification is made of.
#[derive(Debug, Clone, Copy)]
pub struct SpecInput<'a> {
    /// The record; image and request are already merged in it.
    pub container: &'a Container,
    /// The live directory with `hosts`, `hostname` and `resolv.conf`.
    pub live: &'a Path,
    /// Facts about the host.
    pub host: &'a Host,
}

/// Makes the specification.
///
/// # Errors
/// [`Kind::InvalidInput`](crate::engine::error::Kind::InvalidInput): a capability, mount target, tmpfs option or limit
/// that does not exist or cannot be.
pub fn container(_input: SpecInput<'_>) -> Result<Spec> {
    Err(Error::unsupported("spec"))
}

/// Makes the process of an `exec` in a container with this specification.
///
/// # Errors
/// [`Kind::InvalidInput`](crate::engine::error::Kind::InvalidInput): no command, malformed environment.
pub fn exec_process(_container: &Spec, _request: &request::Exec) -> Result<Process> {
    Err(Error::unsupported("spec"))
}
