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

/// Refuses names that would change the host and values that are more than one value. `is_separate` says whether the
/// container has a namespace other than ours.
///
/// # Errors
/// [`Kind::InvalidInput`](crate::engine::error::Kind::InvalidInput).
pub(super) fn check(
    name: &str,
    value: &str,
    is_separate: impl Fn(LinuxNamespaceType) -> bool,
) -> Result<()> {
    let refuse = |why: &str| {
        Err(Error::invalid(format!(
            "linux.sysctl: sysctl {name:?} {why}"
        )))
    };
    let Some(path) = path(name) else {
        return refuse("is malformed");
    };
    let single = value
        .bytes()
        .all(|b| b.is_ascii_graphic() && b != b'+' || b == b' ' || b == b'\t');
    if !single {
        return refuse(&format!("has a malformed value: {value:?}"));
    }
    let dotted = path.replace('/', ".");
    let in_ipc = IPC.contains(&dotted.as_str()) || path.starts_with("fs/mqueue/");
    let (namespace, host) = if in_ipc {
        (
            LinuxNamespaceType::Ipc,
            "is not allowed in the hosts ipc namespace",
        )
    } else if path.starts_with("net/") {
        (
            LinuxNamespaceType::Network,
            "not allowed in host network namespace",
        )
    } else if path.starts_with("user/") {
        (
            LinuxNamespaceType::User,
            "not allowed without a user namespace",
        )
    } else if path == "kernel/domainname" {
        (
            LinuxNamespaceType::Uts,
            "is not in a separate kernel namespace",
        )
    } else if path == "kernel/hostname" {
        return refuse("is not allowed as it conflicts with the OCI \"hostname\" field");
    } else {
        return refuse("is not in a separate kernel namespace");
    };
    if is_separate(namespace) {
        Ok(())
    } else {
        refuse(host)
    }
}

/// Whether it is the domain name, which has a field of its own.
pub(super) fn is_domain_name(name: &str) -> bool {
    path(name).as_deref() == Some("kernel/domainname")
}

/// The path below `/proc/sys`. Parts are separated by dots, or by slashes if the first separator is one; the other
/// character is then part of a name (sysctl.d(5)).
fn path(name: &str) -> Option<String> {
    let plain = name
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'/' | b'_' | b'-'));
    let path = match name.find(['.', '/']) {
        Some(first) if name.as_bytes().get(first) == Some(&b'.') => name
            .chars()
            .map(|c| match c {
                '.' => '/',
                '/' => '.',
                other => other,
            })
            .collect(),
        Some(_) => name.to_owned(),
        None => return None,
    };
    let well_formed = plain && path.split('/').all(|part| !matches!(part, "" | "." | ".."));
    well_formed.then_some(path)
}

/// Writes one, below a procfs given by its own descriptor. [`check`] comes first.
///
/// # Errors
/// What the kernel says.
pub(super) fn set(proc: BorrowedFd<'_>, name: &str, value: &str) -> Result<()> {
    let malformed = || Error::invalid(format!("linux.sysctl: sysctl {name:?} is malformed"));
    let path = path(name).ok_or_else(malformed)?;
    procfs::write(proc, &format!("sys/{path}"), value)
        .attempt(|| format!("linux.sysctl: set kernel parameter {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_parameters_of_own_namespaces_are_taken() {
        let own = |kind| kind != LinuxNamespaceType::Uts && kind != LinuxNamespaceType::User;
        for (name, value, good) in [
            ("net.ipv4.ping_group_range", "0 2147483647", true),
            ("net/ipv4/conf/eno2.100/rp_filter", "1", true),
            ("kernel.shm_rmid_forced", "1", true),
            ("kernel/shm_rmid_forced", "1", true),
            ("fs.mqueue.msg_max", "5", true),
            ("kernel.domainname", "x", false),
            ("kernel.hostname", "x", false),
            ("user.max_user_namespaces", "1", false),
            ("kernel.core_pattern", "|/x", false),
            ("net..ipv4", "1", false),
            ("net.ipv4.", "1", false),
            ("net/../kernel/core_pattern", "x", false),
            ("net.//.kernel.core_pattern", "x", false),
            ("fs.mqueue", "1", false),
            ("vm.swappiness", "1", false),
            ("net", "1", false),
            ("", "1", false),
        ] {
            assert_eq!(check(name, value, own).is_ok(), good, "{name}={value}");
        }
        assert!(check("kernel.domainname", "x", |_| true).is_ok());
        assert!(check("user.max_user_namespaces", "1", |_| true).is_ok());
        assert!(check("kernel.hostname", "x", |_| true).is_err());
    }

    #[test]
    fn cve_2022_0811_a_value_is_one_value() {
        for value in ["1+kernel.core_pattern=|/x", "1\n2", "1\0", "\u{e9}"] {
            let got = check("kernel.shm_rmid_forced", value, |_| true);
            assert!(got.is_err(), "{value:?}");
        }
    }

    #[test]
    fn dots_and_slashes_change_places_as_in_sysctl() {
        for (name, expect) in [
            ("net.ipv4.ip_forward", Some("net/ipv4/ip_forward")),
            (
                "net/ipv4/conf/eno2.100/rp_filter",
                Some("net/ipv4/conf/eno2.100/rp_filter"),
            ),
            (
                "net.ipv4.conf.eno2/100.rp_filter",
                Some("net/ipv4/conf/eno2.100/rp_filter"),
            ),
            ("net.ipv4.conf.//.x", None),
            ("a b.c", None),
            ("/net/ipv4", None),
        ] {
            assert_eq!(path(name).as_deref(), expect, "{name}");
        }
    }

    proptest! {
        #[test]
        fn no_name_leads_out(name in "[./a-z]{0,20}") {
            if let Some(path) = path(&name) {
                prop_assert!(!path.starts_with('/'));
                prop_assert!(path.split('/').all(|part| part != ".." && !part.is_empty()));
            }
        }
    }
}
