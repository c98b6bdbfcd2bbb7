//! Kernel parameters of a container: only those that belong to one of its own namespaces, only through its own fresh
//! procfs (CVE-2022-0811, CVE-2025-52881).

use std::os::fd::BorrowedFd;

use oci_spec::runtime::LinuxNamespaceType;

use crate::engine::error::{Attempt, Error, Result};
use crate::engine::sys::procfs;

/// Exact names that belong to the IPC namespace (moby's list).
const IPC: &[&str] = &[
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

/// Refuses names that would change the host and values that are more than one value.
///
/// # Errors
/// [`Kind::InvalidInput`](crate::engine::error::Kind::InvalidInput).
pub(super) fn check(
    name: &str,
    value: &str,
    is_own: impl Fn(LinuxNamespaceType) -> bool,
) -> Result<()> {
    let plain = name
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    let well_formed = plain && name.split('.').all(|part| !part.is_empty());
    let single = value
        .bytes()
        .all(|b| b.is_ascii_graphic() && b != b'+' || b == b' ' || b == b'\t');
    if !well_formed || !single {
        return Err(Error::invalid(format!(
            "kernel parameter {name}={value:?} is malformed"
        )));
    }
    let namespace = if IPC.contains(&name) || name.starts_with("fs.mqueue.") {
        LinuxNamespaceType::Ipc
    } else if name.starts_with("net.") {
        LinuxNamespaceType::Network
    } else if name == "kernel.domainname" {
        LinuxNamespaceType::Uts
    } else {
        return Err(Error::invalid(format!(
            "kernel parameter {name} is not in a separate kernel namespace"
        )));
    };
    if is_own(namespace) {
        Ok(())
    } else {
        Err(Error::invalid(format!(
            "kernel parameter {name} is the host's: the container shares that namespace"
        )))
    }
}

/// Writes one, below a procfs given by its own descriptor. [`check`] comes first.
///
/// # Errors
/// What the kernel says.
pub(super) fn set(proc: BorrowedFd<'_>, name: &str, value: &str) -> Result<()> {
    let path = format!("sys/{}", name.replace('.', "/"));
    procfs::write(proc, &path, value).attempt(|| format!("set kernel parameter {name}"))
}

/// Sets how likely this process is to be killed when memory runs out. One that has it already is left alone: lowering
/// needs a right that the engine may lack.
///
/// # Errors
/// What the kernel says.
pub(super) fn set_oom_score(score: i32) -> Result<()> {
    procfs::write_oom_score(score)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_parameters_of_own_namespaces_are_taken() {
        let own = |kind| kind != LinuxNamespaceType::Uts;
        for (name, value, good) in [
            ("net.ipv4.ping_group_range", "0 2147483647", true),
            ("kernel.shm_rmid_forced", "1", true),
            ("fs.mqueue.msg_max", "5", true),
            ("kernel.domainname", "x", false),
            ("kernel.core_pattern", "|/x", false),
            ("kernel.shm_rmid_forced", "1+kernel.core_pattern=|/x", false),
            ("kernel.shm_rmid_forced", "1\n2", false),
            ("net..ipv4", "1", false),
            ("net/../kernel/core_pattern", "x", false),
            ("vm.swappiness", "1", false),
            ("", "1", false),
        ] {
            assert_eq!(check(name, value, own).is_ok(), good, "{name}={value}");
        }
    }
}
