//! The container's file system: its root, mounts, devices and what is hidden of them.

use std::os::fd::AsFd;
use std::path::Path;

use oci_spec::runtime::LinuxNamespaceType;

use super::Init;
use super::namespaces::has;
use crate::engine::error::{Attempt, Error, Kind, Result};
use crate::engine::runtime::devices::{self, Nodes};
use crate::engine::runtime::labels;
use crate::engine::runtime::mounts::{self, Mask, Place};
use crate::engine::runtime::rootfs::{self, Connection};
use crate::engine::runtime::sysctl;
use crate::engine::sys::mount::{self, Depth};
use crate::engine::sys::procfs;
use crate::engine::sys::rooted::Rooted;

pub(super) fn copy_sources(init: &mut Init<'_>) -> Result<()> {
    if init.state.mounts.is_none() {
        let dir = init.rootfs.and_then(rootfs::directory);
        init.state.mounts = Some(mounts::prepare(init.spec, dir, init.terms.names())?);
    }
    let connection = Connection::of(init.spec)?;
    if let (Some(rootfs), None) = (init.rootfs, &init.state.early_root) {
        init.state.early_root = connection.copy_early(rootfs)?;
    }
    Ok(())
}

pub(super) fn mount_root(init: &mut Init<'_>) -> Result<()> {
    let rootfs = init
        .rootfs
        .ok_or_else(|| Error::new(Kind::Internal, "no root file system is given"))?;
    init.state.root = Some(if has(init.spec, LinuxNamespaceType::Mount) {
        let context = labels::of_mounts(init.spec);
        let early = init.state.early_root.take();
        Rooted::from_fd(rootfs::mount(rootfs, context, early)?)
    } else {
        rootfs::open(rootfs)?
    });
    Ok(())
}

pub(super) fn open_root(init: &mut Init<'_>) -> Result<()> {
    init.state.root = Some(Rooted::open(Path::new("/"))?);
    Ok(())
}

/// Makes mounts up to the first that has to wait for the cgroups.
pub(super) fn make_mounts(init: &mut Init<'_>) -> Result<()> {
    let list = init.spec.mounts().as_deref().unwrap_or_default();
    let prepared = init.state.mounts.as_deref().unwrap_or_default();
    let mut both = list.iter().zip(prepared);
    let ready = both.position(|(wanted, prepared)| mounts::needs_group(wanted, prepared));
    make_mounts_until(init, ready.unwrap_or(list.len()))
}

/// Makes those that are left.
pub(super) fn make_other_mounts(init: &mut Init<'_>) -> Result<()> {
    make_mounts_until(init, usize::MAX)?;
    init.state.mounts = None;
    Ok(())
}

fn make_mounts_until(init: &mut Init<'_>, end: usize) -> Result<()> {
    let list = init.spec.mounts().as_deref().unwrap_or_default();
    let prepared = init.state.mounts.as_deref().unwrap_or_default();
    let mut made = std::mem::take(&mut init.state.made);
    let place = Place::new(init.root()?, init.spec, init.cgroup)?;
    let names = init.terms.names();
    let begin = init.state.mounted;
    let both = list.iter().zip(prepared).enumerate();
    for (number, (wanted, prepared)) in both.take(end).skip(begin) {
        mounts::make(place, wanted, prepared, &mut made)
            .map_err(|error| names.name("mounts", number, error))?;
    }
    init.state.made = made;
    init.state.mounted = end;
    Ok(())
}

pub(super) fn make_devices(init: &mut Init<'_>) -> Result<()> {
    let linux = init.spec.linux().as_ref();
    let list = linux.and_then(|l| l.devices().as_deref());
    // What somebody else's /dev has is their affair, as with runc.
    if init.state.made.foreign_dev {
        return Ok(());
    }
    let nodes = Nodes::of(init.spec);
    let dev = devices::directory(init.root()?, &init.state.made)?;
    let outside = init.state.nodes.take();
    let names = init.terms.names();
    let list = list.unwrap_or_default();
    devices::make_extra(init.root()?, list, nodes, outside.as_ref(), names)?;
    let has_kcore = init.root()?.resolve_optional(Path::new("/proc/kcore"))?;
    devices::populate(dev.as_fd(), nodes, list, has_kcore.is_some())
}

pub(super) fn set_kernel_parameters(init: &mut Init<'_>) -> Result<()> {
    let parameters = init.spec.linux().as_ref().and_then(|l| l.sysctl().as_ref());
    let Some(parameters) = parameters.filter(|list| !list.is_empty()) else {
        return Ok(());
    };
    // The container's own if it has one: in a user namespace there may be no other.
    let private;
    let proc = if let Some(proc) = &init.state.made.proc {
        proc.as_fd()
    } else {
        private = procfs::private_complete()?;
        private.as_fd()
    };
    for (name, value) in parameters {
        sysctl::set(proc, name, value)?;
    }
    Ok(())
}

pub(super) fn make_paths_readonly(init: &mut Init<'_>) -> Result<()> {
    let paths = init
        .spec
        .linux()
        .as_ref()
        .and_then(|l| l.readonly_paths().as_ref());
    for path in paths.into_iter().flatten() {
        mounts::make_readonly(init.root()?, Path::new(path))?;
    }
    Ok(())
}

pub(super) fn mask_paths(init: &mut Init<'_>) -> Result<()> {
    let paths = init
        .spec
        .linux()
        .as_ref()
        .and_then(|l| l.masked_paths().as_ref());
    let Some(paths) = paths.filter(|list| !list.is_empty()) else {
        return Ok(());
    };
    let root = init.root()?;
    let null = devices::null_device(root)?;
    let mut mask = Mask::new(null.as_fd(), labels::of_mounts(init.spec));
    for path in paths {
        mask.cover(root, Path::new(path))?;
    }
    Ok(())
}

/// A missing working directory is made, as Docker does; inside the root, whatever links are on the way
/// (CVE-2026-55686).
pub(super) fn make_working_dir(init: &mut Init<'_>) -> Result<()> {
    let path = init.process.cwd();
    init.root()?
        .make_dirs(path)
        .map(drop)
        .attempt(|| "process.cwd")
        .map_err(|error| match error.raw_os_error() {
            Some(libc::ENOTDIR) => error.with_kind(Kind::CommandNotRunnable),
            _ => error,
        })
}

pub(super) fn make_root_readonly(init: &mut Init<'_>) -> Result<()> {
    init.state.made.finish()?;
    let said = init
        .spec
        .root()
        .as_ref()
        .and_then(oci_spec::runtime::Root::readonly)
        .unwrap_or(false);
    let Some(rootfs) = init.rootfs else {
        return Ok(());
    };
    if !rootfs::is_readonly(rootfs, said) {
        return Ok(());
    }
    let root = init.root()?.as_fd();
    mount::set_attributes(root, Depth::One, mount::RDONLY, 0, None, "/")
}

pub(super) fn pivot(init: &mut Init<'_>) -> Result<()> {
    let root = init.root()?.as_fd();
    match init.rootfs {
        _ if !has(init.spec, LinuxNamespaceType::Mount) => return mount::change_root(root),
        Some(rootfs) if init.terms.no_pivot => rootfs::move_to_top(rootfs, root)?,
        _ => mount::pivot(root)?,
    }
    Connection::of(init.spec)?.apply(root)
}
