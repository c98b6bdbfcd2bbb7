//! This process itself, as a supervisor: session, name, standard input, memory.

#![expect(
    unsafe_code,
    reason = "malloc_trim(3) has no wrapper in any crate that we use; madvise(2) takes the addresses of our own code"
)]

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use crate::engine::error::{Attempt, Result};

/// Leaves the terminal, the process group and the directory of whoever started us, so that no key press there reaches us
/// and no file system is kept busy. A process that leads a session already stays its leader.
pub fn leave_starter() {
    let _ = rustix::process::setsid();
    let _ = rustix::process::chdir("/");
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

/// Gives memory back before a long sleep: what is free in the allocator, and stack that deeper calls have used. The rest
/// is [`forget_code`].
pub fn trim_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim(3) may be called at any time by any thread; it takes no pointers.
    let _ = unsafe { libc::malloc_trim(0) };
    forget_stack();
}

/// Drops the mapped pages of the program's read-only segments: start-up alone touches two megabytes of them, of which a
/// sleeping supervisor needs nothing. What is executed next comes back from the page cache, some microseconds for each
/// 64 KiB; therefore this is inlined into the function that goes to sleep (see [`super::poll`]).
#[cfg(target_env = "gnu")]
// A call would map other pages again, which is what this is to prevent.
#[inline(always)]
pub fn forget_code() {
    // Set by the linker (ld(1), PROVIDE): first byte of the image, first byte after the code. Nothing between them is
    // ever written: no text relocations (the linker refuses them), constants with relocations come after `etext`.
    unsafe extern "C" {
        #[link_name = "__executable_start"]
        static START: u8;
        #[link_name = "etext"]
        static END: u8;
    }
    let start = (&raw const START).addr();
    let end = (&raw const END).addr();
    let page = rustix::param::page_size();
    // The page of `etext` may be shared with what follows.
    let length = end.saturating_sub(start) / page * page;
    if !start.is_multiple_of(page) || length == 0 {
        return;
    }
    let address = (&raw const START).cast_mut().cast::<std::ffi::c_void>();
    // SAFETY: the range is the program's own read-only, file-backed, private mappings, page-aligned. MADV_DONTNEED makes
    // the next access read the same bytes from the file again (madvise(2)); there are no private copies to lose.
    let _ = unsafe { rustix::mm::madvise(address, length, rustix::mm::Advice::LinuxDontNeed) };
}

/// Only where the linker's symbols are known.
#[cfg(not(target_env = "gnu"))]
pub fn forget_code() {}

/// Drops what deeper calls have left below the current end of the main thread's stack; on another thread, nothing.
fn forget_stack() {
    /// Below the stack pointer, this much is left alone: what is called from here, and the ABI's red zone.
    const MARGIN: usize = 16 * 1024;
    let page = rustix::param::page_size();
    let here = 0_u8;
    let here = (&raw const here).addr();
    let Some(low) = main_stack(here) else { return };
    let end = here.saturating_sub(MARGIN) / page * page;
    if end <= low {
        return;
    }
    let address = std::ptr::with_exposed_provenance_mut(low);
    // SAFETY: [low, end) is page-aligned and lies in this thread's own stack mapping, as /proc/self/maps says, wholly
    // below every frame that is alive: its content is dead. MADV_DONTNEED makes it read as zeros (madvise(2)).
    let _ = unsafe { rustix::mm::madvise(address, end - low, rustix::mm::Advice::LinuxDontNeed) };
}

/// Where the main thread's stack begins (its lowest address), if `inside` is in it.
fn main_stack(inside: usize) -> Option<usize> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let line = maps.lines().find(|line| line.ends_with("[stack]"))?;
    let (range, _) = line.split_once(' ')?;
    let (low, high) = range.split_once('-')?;
    let low = usize::from_str_radix(low, 16).ok()?;
    let high = usize::from_str_radix(high, 16).ok()?;
    (low..high).contains(&inside).then_some(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_goes_on_with_less_of_its_code_in_memory() {
        let rss_file = || {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            let line = status.lines().find(|line| line.starts_with("RssFile"));
            let kib = line.and_then(|line| line.split_whitespace().nth(1));
            kib.unwrap().parse::<u64>().unwrap()
        };
        let before = rss_file();
        trim_memory();
        forget_code();
        let after = rss_file();
        assert!(after < before, "{before} KiB, then {after} KiB");
        assert_eq!("still here".to_uppercase(), "STILL HERE");
    }
}
