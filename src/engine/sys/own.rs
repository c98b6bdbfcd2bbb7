//! This process itself, as a supervisor: session, name, standard input, memory.

#![expect(
    unsafe_code,
    reason = "malloc_trim(3) has no wrapper in any crate that we use"
)]

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use crate::engine::error::{Attempt, Result};

/// Leaves the terminal and process group of whoever started us, so that no key press there reaches us.
///
/// # Errors
/// None that matters: a process that leads a session already is left as it is.
pub fn new_session() {
    let _ = rustix::process::setsid();
}

/// The name that ps(1) shows (15 bytes).
pub fn set_name(name: &std::ffi::CStr) {
    let _ = rustix::thread::set_name(name);
}

/// Takes descriptor 0 away and leaves `/dev/null` there. What is taken is close-on-exec.
///
/// # Errors
/// What dup(2) and open(2) say.
pub fn take_stdin() -> Result<OwnedFd> {
    let taken = io::stdin()
        .as_fd()
        .try_clone_to_owned()
        .attempt(|| "take descriptor 0")?;
    let null = File::open("/dev/null").attempt(|| "open /dev/null")?;
    rustix::stdio::dup2_stdin(&null)
        .map_err(io::Error::from)
        .attempt(|| "replace descriptor 0")?;
    Ok(taken)
}

/// Gives memory that is free in the allocator back to the kernel.
pub fn trim_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim(3) may be called at any time by any thread; it takes no pointers.
    let _ = unsafe { libc::malloc_trim(0) };
}
