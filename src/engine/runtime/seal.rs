//! Keeps the engine's binary out of a container's reach (CVE-2019-5736): monitor and exec supervisor run from a
//! detached read-only mount of it, so that nothing can be opened for writing through `/proc/<pid>/exe`.
//!
//! The open file that the kernel keeps for `/proc/<pid>/exe` remembers the mount that it was opened through. That mount
//! is read-only, and as soon as its descriptor is closed it belongs to no mount namespace, so nobody can ever make it
//! writable again. It costs two system calls; a sealed copy in memory (runc's way where it cannot do better) costs
//! milliseconds for a binary of this size, and its size in memory for every container.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use crate::engine::error::{Attempt, Error, Kind, Result};
use crate::engine::sys::mount::{self, Depth};
use crate::engine::sys::{memory_file, process};

const SELF: &str = "/proc/self/exe";

/// A descriptor of a program, this one if `None`, to be executed (`execveat` with an empty path, or `/proc/self/fd/N`) for
/// monitors and exec supervisors. Close-on-exec. Cheap: nothing is copied.
///
/// # Errors
/// If the kernel offers neither a detached mount nor a sealed memory file.
pub fn executable(program: Option<&Path>) -> Result<OwnedFd> {
    let program = program.unwrap_or(Path::new(SELF));
    // Whatever the kernel dislikes about a mount, a copy does not need it.
    readonly_mount(program)
        .or_else(|_| memory_file::sealed_copy(program).attempt(|| "protect the engine's binary"))
}

fn readonly_mount(program: &Path) -> Result<OwnedFd> {
    let copy = mount::clone_path(program, Depth::One)?;
    mount::set_attributes(
        copy.as_fd(),
        Depth::One,
        mount::RDONLY,
        0,
        None,
        program.display(),
    )?;
    Ok(copy)
}

/// Whether this process runs from such a descriptor.
///
/// # Errors
/// If `/proc/self/exe` cannot be looked at.
pub fn is_sealed() -> Result<bool> {
    memory_file::cannot_be_written(Path::new(SELF))
}

/// Executes this program again from [`executable`] with the same arguments and environment, if it is not sealed yet.
/// Monitors and exec supervisors call it first, in case that they were started in another way.
///
/// # Errors
/// As [`executable`], and what execveat(2) says.
pub fn ensure() -> Result<()> {
    if is_sealed()? {
        return Ok(());
    }
    let program = executable(None)?;
    let c_string = |bytes: Vec<u8>| {
        CString::new(bytes)
            .map_err(|e| Error::new(Kind::Internal, "an argument with a NUL byte").caused_by(e))
    };
    let args = std::env::args_os()
        .map(|arg| c_string(arg.into_vec()))
        .collect::<Result<Vec<_>>>()?;
    let env = std::env::vars_os()
        .map(|(name, value)| {
            let mut entry = name.into_vec();
            entry.push(b'=');
            entry.extend(value.into_vec());
            c_string(entry)
        })
        .collect::<Result<Vec<_>>>()?;
    Err(process::execute_fd(program.as_fd(), &args, &env))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    #[test]
    fn a_protected_file_cannot_be_opened_for_writing() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("program");
        std::fs::write(&program, "x").unwrap();
        for fd in [
            readonly_mount(&program).unwrap(),
            memory_file::sealed_copy(&program).unwrap(),
        ] {
            let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
            assert!(memory_file::cannot_be_written(Path::new(&path)).unwrap());
            let write = std::fs::OpenOptions::new().write(true).open(&path);
            let error = write.and_then(|mut file| std::io::Write::write_all(&mut file, b"y"));
            assert!(error.is_err());
        }
        assert_eq!(std::fs::read(&program).unwrap(), b"x");
    }
}
