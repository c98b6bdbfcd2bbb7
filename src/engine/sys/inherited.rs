//! Descriptors that this program was started with: those that it is to hand on, and whether there was an output.

#![expect(
    unsafe_code,
    reason = "nothing safe looks before the standard library does"
)]

use std::os::fd::{IntoRawFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{Mode, OFlags};

use super::{failed, process};
use crate::engine::error::Result;

/// Most that a process may have (proc(5), `/proc/sys/fs/nr_open`, its usual value).
const MOST: u32 = 1 << 20;

/// Of the `count` descriptors from 3 on: how many there are up to the last one that is open. Numbers between them that are
/// not in use are taken for good by a descriptor that closes on exec, so that nothing that is opened later is handed on.
/// To be called before anything else is opened.
///
/// # Errors
/// What open(2) says.
pub fn hold(count: u32) -> Result<u32> {
    let last = (3..3 + count.min(MOST))
        .rev()
        .find(|fd| process::is_open(number(*fd)));
    let Some(last) = last else {
        return Ok(0);
    };
    let mut lowest = 3;
    while lowest < last {
        if process::is_open(number(lowest)) {
            lowest += 1;
            continue;
        }
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let filler = rustix::fs::open("/", flags, Mode::empty())
            .map_err(|e| failed(e, "fill a gap between descriptors"))?;
        // It stays until the program is executed or ends.
        let _ = filler.into_raw_fd();
    }
    Ok(last - 2)
}

/// Whether standard output was open when the program began.
#[must_use]
pub fn had_output() -> bool {
    !WAS_CLOSED.load(Ordering::Relaxed)
}

/// Written once, before `main`: the standard library opens the null device in the place of what is closed.
static WAS_CLOSED: AtomicBool = AtomicBool::new(false);

extern "C" fn look() {
    WAS_CLOSED.store(!process::is_open(1), Ordering::Relaxed);
}

// SAFETY: the loader calls what stands in this section without arguments that matter to `look`, before `main` and in one
// thread (ELF gABI, "Initialization and Termination Functions"); `look` uses nothing that has to be set up first.
#[unsafe(link_section = ".init_array")]
#[used]
static LOOK: extern "C" fn() = look;

/// Numbers of descriptors are small.
fn number(fd: u32) -> RawFd {
    RawFd::try_from(fd).unwrap_or(RawFd::MAX)
}
