//! Namespaces: which are new, which are joined, and what is set in them at once.

use std::os::fd::AsFd;

use oci_spec::runtime::{LinuxNamespaceType, Spec};

use super::Init;
use super::message::ATTACHED;
use crate::engine::error::{Error, Kind, Result};
use crate::engine::runtime::birth::{self, Birth};
use crate::engine::sys::process::{self, Namespaces};
use crate::engine::sys::{mount, namespace};

/// The namespaces of a specification that are new.
#[must_use]
pub(in crate::engine::runtime) fn new_namespaces(spec: &Spec) -> Namespaces {
    namespaces(spec)
        .filter(|namespace| namespace.path().is_none())
        .map(|namespace| namespace_bit(namespace.typ()))
        .fold(0, |flags, bit| flags | bit)
}

/// All namespaces that a joining process enters: those that the container has of its own.
#[must_use]
pub(in crate::engine::runtime) fn all_namespaces(spec: &Spec) -> Namespaces {
    namespaces(spec)
        .map(|namespace| namespace_bit(namespace.typ()))
        .fold(0, |flags, bit| flags | bit)
}

/// The namespaces of a specification.
pub(in crate::engine::runtime) fn namespaces(
    spec: &Spec,
) -> impl Iterator<Item = &oci_spec::runtime::LinuxNamespace> {
    spec.linux()
        .iter()
        .flat_map(|linux| linux.namespaces().iter().flatten())
}

/// Whether a container has a namespace that is not the engine's, be it new or joined.
pub(super) fn has(spec: &Spec, kind: LinuxNamespaceType) -> bool {
    namespaces(spec).any(|namespace| namespace.typ() == kind)
}

/// Whether a container gets a namespace that is made for it.
pub(super) fn is_new(spec: &Spec, kind: LinuxNamespaceType) -> bool {
    namespaces(spec).any(|namespace| namespace.typ() == kind && namespace.path().is_none())
}

/// Whether it has one, and one that is joined is not the engine's own under another name. To be asked outside of the container.
pub(super) fn is_separate(spec: &Spec, kind: LinuxNamespaceType) -> bool {
    namespaces(spec)
        .find(|namespace| namespace.typ() == kind)
        .is_some_and(|namespace| match namespace.path() {
            None => true,
            Some(path) => !namespace::is_own(path, file_name(kind)),
        })
}

/// The file of `/proc/<pid>/ns`.
fn file_name(kind: LinuxNamespaceType) -> &'static str {
    match kind {
        LinuxNamespaceType::Mount => "mnt",
        LinuxNamespaceType::Cgroup => "cgroup",
        LinuxNamespaceType::Uts => "uts",
        LinuxNamespaceType::Ipc => "ipc",
        LinuxNamespaceType::User => "user",
        LinuxNamespaceType::Pid => "pid",
        LinuxNamespaceType::Network => "net",
        LinuxNamespaceType::Time => "time",
    }
}

/// The kernel's flag.
#[must_use]
pub(in crate::engine::runtime) fn namespace_bit(kind: LinuxNamespaceType) -> Namespaces {
    match kind {
        LinuxNamespaceType::Mount => process::NEWNS,
        LinuxNamespaceType::Cgroup => process::NEWCGROUP,
        LinuxNamespaceType::Uts => process::NEWUTS,
        LinuxNamespaceType::Ipc => process::NEWIPC,
        LinuxNamespaceType::User => process::NEWUSER,
        LinuxNamespaceType::Pid => process::NEWPID,
        LinuxNamespaceType::Network => process::NEWNET,
        LinuxNamespaceType::Time => process::NEWTIME,
    }
}

pub(super) fn has_new(init: &Init<'_>, kind: LinuxNamespaceType) -> bool {
    namespaces(init.spec).any(|n| n.typ() == kind && n.path().is_none())
}

pub(super) fn join_given_namespaces(init: &mut Init<'_>) -> Result<()> {
    init.birth.map_or(Ok(()), Birth::join)
}

/// Cuts every mount off from its copies elsewhere: nothing mounted from now on is seen outside. Without a mount namespace of
/// its own the container's would be the host's, and nothing is changed.
pub(super) fn make_mounts_private(init: &mut Init<'_>) -> Result<()> {
    if has(init.spec, LinuxNamespaceType::Mount) {
        mount::make_all_private()
    } else {
        Ok(())
    }
}

pub(super) fn enter_namespaces(init: &mut Init<'_>) -> Result<()> {
    let Some(target) = init.target else {
        return Ok(());
    };
    // The pid namespace was entered by the parent: it counts from birth.
    let mut namespaces = all_namespaces(init.spec) & !process::NEWPID;
    if init.state.has_users {
        namespaces &= !process::NEWUSER;
    }
    namespace::enter(target, namespaces)?;
    if namespaces & process::NEWUSER != 0 {
        birth::become_root(init.process)
    } else {
        Ok(())
    }
}

/// Names are the container's also in a namespace that it shares with another one.
pub(super) fn set_names(init: &mut Init<'_>) -> Result<()> {
    if !has(init.spec, LinuxNamespaceType::Uts) {
        return Ok(());
    }
    if let Some(name) = init.spec.hostname().as_deref().filter(|n| !n.is_empty()) {
        namespace::set_host_name(name)?;
    }
    match init.spec.domainname().as_deref().filter(|n| !n.is_empty()) {
        Some(name) => namespace::set_domain_name(name),
        None => Ok(()),
    }
}

pub(super) fn bring_up_loopback(init: &mut Init<'_>) -> Result<()> {
    if has_new(init, LinuxNamespaceType::Network) {
        namespace::loopback_up()
    } else {
        Ok(())
    }
}

pub(super) fn await_cgroups(init: &mut Init<'_>) -> Result<()> {
    let mut byte = [0];
    let (length, _) = process::receive_message(init.socket.as_fd(), &mut byte)?;
    if length == 0 || byte != [ATTACHED] {
        return Err(Error::new(Kind::Cancelled, "the parent gave up"));
    }
    Ok(())
}

pub(super) fn enter_cgroup_namespace(init: &mut Init<'_>) -> Result<()> {
    if has_new(init, LinuxNamespaceType::Cgroup) {
        namespace::unshare(process::NEWCGROUP)
    } else {
        Ok(())
    }
}
