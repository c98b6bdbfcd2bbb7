//! Security labels of a process: AppArmor's profile and SELinux's context. They are written below a procfs of our own
//! making, so that nothing that is mounted on the container's `/proc` gets them (CVE-2019-16884, CVE-2025-52881).

use std::os::fd::BorrowedFd;

use oci_spec::runtime::{Process, Spec};

use crate::engine::error::{Attempt, Error, Result};
use crate::engine::sys::{host, procfs, selinux};

/// Refuses labels that this host knows nothing of. To be asked where the host's `/sys` is seen.
///
/// # Errors
/// [`Kind::Unsupported`](crate::engine::error::Kind::Unsupported) naming the field.
pub fn check(spec: &Spec, process: &Process) -> Result<()> {
    if profile_of(process).is_some() && !host::has_apparmor() {
        return Err(Error::unsupported(
            "process.apparmorProfile: apparmor: config provided but apparmor not supported",
        ));
    }
    let unsupported = |field| {
        Err(Error::unsupported(format!(
            "{field}: selinux label is specified in config, but selinux is disabled or not supported"
        )))
    };
    let mount_label = of_mounts(spec);
    if (context(process).is_none() && mount_label.is_none()) || selinux::is_on() {
        Ok(())
    } else if mount_label.is_some() {
        unsupported("linux.mountLabel")
    } else {
        unsupported("process.selinuxLabel")
    }
}

/// SELinux's context of all files on a container's own mounts.
#[must_use]
pub fn of_mounts(spec: &Spec) -> Option<&str> {
    let linux = spec.linux().as_ref();
    let label = linux.and_then(|linux| linux.mount_label().as_deref());
    label.filter(|label| !label.is_empty())
}

/// AppArmor's profile of a specification's process.
#[must_use]
pub fn profile(spec: &Spec) -> Option<&str> {
    spec.process().as_ref().and_then(profile_of)
}

/// Whether the process has a label at all.
#[must_use]
pub fn any(process: &Process) -> bool {
    profile_of(process).is_some() || context(process).is_some()
}

/// Sets the labels that the calling process gets by its next exec. `proc` is a procfs of its pid namespace.
///
/// # Errors
/// `ENOENT` or `EINVAL` for a label that is not loaded, and what the kernel says otherwise.
pub fn set_for_exec(process: &Process, proc: BorrowedFd<'_>) -> Result<()> {
    if let Some(profile) = profile_of(process) {
        let value = format!("exec {profile}");
        let field = || format!("process.apparmorProfile {profile:?}");
        match procfs::write_own(proc, "attr/apparmor/exec", &value) {
            // Before Linux 5.8 there was one place for all.
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {
                procfs::write_own(proc, "attr/exec", &value).attempt(field)?;
            }
            other => other.attempt(field)?,
        }
    }
    match context(process) {
        Some(context) => procfs::write_own(proc, "attr/exec", context)
            .attempt(|| format!("process.selinuxLabel {context:?}")),
        None => Ok(()),
    }
}

/// Sets the SELinux context of keys that the calling process makes from now on.
///
/// # Errors
/// What the kernel says.
pub fn set_for_keys(process: &Process, proc: BorrowedFd<'_>) -> Result<()> {
    match context(process) {
        Some(context) => procfs::write_own(proc, "attr/keycreate", context)
            .attempt(|| format!("process.selinuxLabel {context:?}")),
        None => Ok(()),
    }
}

fn profile_of(process: &Process) -> Option<&str> {
    process
        .apparmor_profile()
        .as_deref()
        .filter(|name| !name.is_empty())
}

fn context(process: &Process) -> Option<&str> {
    process
        .selinux_label()
        .as_deref()
        .filter(|label| !label.is_empty())
}
