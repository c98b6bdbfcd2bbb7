//! The kernel's door: every `unsafe`, every raw system call, and the file helpers. Each error names operation and path.
//!
//! Functions here are thin and safe; deciding what to call is for the peers above. Nothing of them is imported.

pub mod apparmor;
pub mod at;
pub mod behind;
pub mod cgroupfs;
pub mod datagram;
pub mod direct;
pub mod file;
pub mod host;
pub mod inet;
pub mod inherited;
pub mod inotify;
pub mod lock_record;
pub mod measure;
pub mod new_file;
pub mod nursery;
pub mod outlet;
pub mod own;
pub mod passage;
pub mod pattern;
pub mod poll;
pub mod rooted;
pub mod signal;
pub mod socket;
pub mod stdio;
pub mod stream;
pub mod tls;

pub mod bpf;
pub mod conntrack;
pub mod cred;
pub mod keyring;
pub mod link;
pub mod maker;
pub mod memory_file;
pub mod mount;
pub mod namespace;
pub mod netlink;
pub mod nftables;
pub mod node;
pub mod process;
pub mod procfs;
pub mod pty;
pub mod route;
pub mod schedule;
pub mod seccomp;
pub mod selinux;

use std::fmt::Display;

/// An error number with what was attempted, on what.
fn failed(errno: rustix::io::Errno, what: impl Display) -> super::error::Error {
    super::error::Error::io(what.to_string(), std::io::Error::from(errno))
}

/// The error number of the libc call that just failed.
fn last_errno() -> rustix::io::Errno {
    rustix::io::Errno::from_io_error(&std::io::Error::last_os_error())
        .unwrap_or(rustix::io::Errno::INVAL)
}
