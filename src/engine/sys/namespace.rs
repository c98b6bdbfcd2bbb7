//! Entering and leaving namespaces, and the two things that a fresh one needs: a host name and a loopback that is up.

#![expect(unsafe_code, reason = "interface requests are raw ioctl(2) calls")]

use std::fmt::Display;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::thread::{ThreadNameSpaceType, UnshareFlags};

use super::process::{self, Cloned, Namespaces, Wait};
use super::{failed, last_errno};
use crate::engine::error::Result;

/// Leaves namespaces for new ones. Only namespace flags are passed on.
///
/// # Errors
/// What unshare(2) says.
pub fn unshare(namespaces: Namespaces) -> Result<()> {
    let flags = UnshareFlags::from_bits_truncate(u32::try_from(namespaces).unwrap_or(0))
        .difference(UnshareFlags::FILES | UnshareFlags::FS);
    // SAFETY: without CLONE_FILES and CLONE_FS no descriptor table or directory is split between threads, which is
    // what makes unshare unsafe.
    unsafe { rustix::thread::unshare_unsafe(flags) }.map_err(|e| failed(e, "unshare namespaces"))
}

/// Gives this thread a root and a working directory of its own, as it needs to enter a mount namespace (setns(2)).
///
/// # Errors
/// What unshare(2) says.
pub fn unshare_directories() -> Result<()> {
    // SAFETY: CLONE_FS splits root, working directory and umask off, which nothing of ours relies on being shared:
    // wharf never changes them but in threads and processes made for it.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::FS) }
        .map_err(|e| failed(e, "unshare directories"))
}

/// Enters namespaces of a process, all at once. For the pid namespace that concerns later children only.
///
/// # Errors
/// What setns(2) says.
pub fn enter(pidfd: BorrowedFd<'_>, namespaces: Namespaces) -> Result<()> {
    let flags = ThreadNameSpaceType::from_bits_retain(u32::try_from(namespaces).unwrap_or(0));
    rustix::thread::move_into_thread_name_spaces(pidfd, flags)
        .map_err(|e| failed(e, "enter the container's namespaces"))
}

/// Enters the namespace that a file stands for (`/proc/<pid>/ns/net`), which must be of that kind.
///
/// # Errors
/// What setns(2) says; `EINVAL` if it is of another kind, or no namespace.
pub fn enter_file(file: BorrowedFd<'_>, kind: Namespaces, label: impl Display) -> Result<()> {
    let flags = i32::try_from(kind).unwrap_or(-1);
    // SAFETY: plain values; no memory is shared with another task (CLONE_FS, CLONE_VM) whose view would change.
    let result = unsafe { libc::setns(file.as_raw_fd(), flags) };
    if result == 0 {
        return Ok(());
    }
    Err(last_errno()).map_err(|e| failed(e, format_args!("enter namespace {label}")))
}

/// A user namespace with these mappings (user_namespaces(7)) and nobody in it. Must be called by a process with one
/// thread that sees itself in `/proc`.
///
/// # Errors
/// What the kernel says to the mappings.
pub fn with_maps(uids: &str, gids: &str) -> Result<OwnedFd> {
    match process::clone_process(process::NEWUSER, None)? {
        Cloned::Child => loop {
            wait_for_signal();
        },
        Cloned::Parent { pid, pidfd } => {
            let made = write_maps(pid, uids, gids);
            process::send_signal(pidfd.as_fd(), libc::SIGKILL)?;
            process::wait(pidfd.as_fd(), Wait::Block)?;
            made
        }
    }
}

/// Waits until a signal ends this process.
fn wait_for_signal() {
    // A parent that was killed must not leave it behind.
    if process::die_with_parent().is_err() {
        process::exit_now(1);
    }
    // SAFETY: pause(2) has no arguments.
    unsafe { libc::pause() };
}

fn write_maps(pid: i32, uids: &str, gids: &str) -> Result<OwnedFd> {
    for (name, map) in [("uid_map", uids), ("gid_map", gids)] {
        let path = format!("/proc/{pid}/{name}");
        rustix::fs::open(&*path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
            .and_then(|file| rustix::io::write(file, map.as_bytes()))
            .map_err(|e| failed(e, format_args!("map ids {:?}", map.trim_end())))?;
    }
    super::node::open(Path::new(&format!("/proc/{pid}/ns/user")))
}

/// Whether a namespace file stands for the namespace that this process is in. `kind` is a name in `/proc/self/ns`. What
/// cannot be looked at is no namespace, and not ours.
#[must_use]
pub fn is_own(path: &Path, kind: &str) -> bool {
    let look = |path: &Path| rustix::fs::stat(path).map(|stat| (stat.st_dev, stat.st_ino));
    let own = look(&Path::new("/proc/self/ns").join(kind));
    own.is_ok() && own == look(path)
}

/// Sets the host name of this UTS namespace.
///
/// # Errors
/// `EINVAL` if it is longer than 64 bytes.
pub fn set_host_name(name: &str) -> Result<()> {
    rustix::system::sethostname(name.as_bytes())
        .map_err(|e| failed(e, format_args!("set host name {name}")))
}

/// Sets the NIS domain name of this UTS namespace.
///
/// # Errors
/// `EINVAL` if it is longer than 64 bytes.
pub fn set_domain_name(name: &str) -> Result<()> {
    rustix::system::setdomainname(name.as_bytes())
        .map_err(|e| failed(e, format_args!("set domain name {name}")))
}

/// Brings up `lo` of this network namespace; the kernel then gives it its addresses.
///
/// # Errors
/// What ioctl(2) says.
pub fn loopback_up() -> Result<()> {
    let socket = rustix::net::socket_with(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::DGRAM,
        rustix::net::SocketFlags::CLOEXEC,
        None,
    )
    .map_err(|e| failed(e, "open a socket for lo"))?;
    // SAFETY: `ifreq` is plain data for which all zeros is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (slot, byte) in request.ifr_name.iter_mut().zip(b"lo") {
        *slot = byte.cast_signed();
    }
    request.ifr_ifru.ifru_flags = i16::try_from(libc::IFF_UP).unwrap_or(1);
    // SAFETY: SIOCSIFFLAGS reads an `ifreq`, which outlives the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    if result == 0 {
        Ok(())
    } else {
        Err(failed(last_errno(), "bring up lo"))
    }
}
