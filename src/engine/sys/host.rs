//! What the kernel says of the machine and of this process.

use crate::engine::error::{Attempt, Result};

/// Node name, release and machine (uname(2)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uname {
    /// Host name.
    pub node: String,
    /// Kernel release.
    pub release: String,
    /// Machine, such as `x86_64`.
    pub machine: String,
}

/// uname(2), which cannot fail.
#[must_use]
pub fn uname() -> Uname {
    let uname = rustix::system::uname();
    let text = |c: &std::ffi::CStr| c.to_string_lossy().into_owned();
    Uname {
        node: text(uname.nodename()),
        release: text(uname.release()),
        machine: text(uname.machine()),
    }
}

/// CPUs that this process may run on (sched_getaffinity(2)), at least one.
#[must_use]
pub fn cpus() -> usize {
    let count = rustix::thread::sched_getaffinity(None).map_or(1, |set| set.count());
    usize::try_from(count).unwrap_or(1).max(1)
}

/// Clock ticks in a second, the unit of times in `/proc` (proc(5)).
#[must_use]
pub fn ticks_per_second() -> u64 {
    rustix::param::clock_ticks_per_second().max(1)
}

/// Bytes of a page of memory.
#[must_use]
pub fn page_size() -> u64 {
    u64::try_from(rustix::param::page_size()).unwrap_or(4096)
}

/// User and group that this process acts as.
#[must_use]
pub fn effective_ids() -> (u32, u32) {
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    (uid.as_raw(), gid.as_raw())
}

/// Whether this process acts as root (geteuid(2)).
#[must_use]
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether this process is in another user namespace than the kernel's first one, whose inode number is fixed
/// (linux/proc_ns.h, `PROC_USER_INIT_INO`).
#[must_use]
pub fn is_in_user_namespace() -> bool {
    const INITIAL: u64 = 0xEFFF_FFFD;
    rustix::fs::stat("/proc/self/ns/user").is_ok_and(|stat| stat.st_ino != INITIAL)
}

/// Whether AppArmor is at work in this kernel.
#[must_use]
pub fn has_apparmor() -> bool {
    std::fs::read("/sys/module/apparmor/parameters/enabled")
        .is_ok_and(|text| text.starts_with(b"Y"))
}

/// Names this start of the host: another text after each (random(4), `boot_id`).
///
/// # Errors
/// What reading `/proc` says.
pub fn boot_id() -> Result<String> {
    let path = "/proc/sys/kernel/random/boot_id";
    let text = std::fs::read_to_string(path).attempt(|| format!("read {path}"))?;
    Ok(text.trim_end().to_owned())
}

/// Random bytes from the kernel's generator (getrandom(2)); blocks only before it is seeded, right after boot.
#[must_use]
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let mut filled = 0;
    while filled < N {
        let Some(rest) = bytes.get_mut(filled..) else {
            break;
        };
        // Interrupted before the generator is seeded: ask again.
        filled += rustix::rand::getrandom(rest, rustix::rand::GetRandomFlags::empty()).unwrap_or(0);
    }
    bytes
}

/// The monotonic clock in nanoseconds (clock_gettime(2), CLOCK_MONOTONIC).
#[must_use]
pub fn monotonic_nanos() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}
