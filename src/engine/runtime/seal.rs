//! Keeps the engine's binary out of a container's reach (CVE-2019-5736): monitor and exec supervisor run from a
//! detached read-only mount of it, so that nothing can be opened for writing through `/proc/<pid>/exe`.

use std::os::fd::OwnedFd;

use crate::engine::error::{Error, Result};

/// A descriptor of this program's executable, to be executed (`execveat` with an empty path, or `/proc/self/fd/N`) for
/// monitors and exec supervisors. Close-on-exec. Cheap: nothing is copied.
///
/// # Errors
/// If the kernel offers neither a detached mount nor a sealed memory file.
pub fn executable() -> Result<OwnedFd> {
    Err(Error::unsupported("seal"))
}

/// Whether this process runs from such a descriptor.
///
/// # Errors
/// If `/proc/self/exe` cannot be looked at.
pub fn is_sealed() -> Result<bool> {
    Err(Error::unsupported("seal"))
}

/// Executes this program again from [`executable`] with the same arguments and environment, if it is not sealed yet.
/// Monitors and exec supervisors call it first, in case that they were started in another way.
///
/// # Errors
/// As [`executable`], and what execveat(2) says.
pub fn ensure() -> Result<()> {
    Err(Error::unsupported("seal"))
}
