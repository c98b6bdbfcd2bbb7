//! Device nodes of a container with a user namespace. Inside nobody can make any that work (mknod(2), user_namespaces(7)): the
//! parent makes them in a file system of its own, which is mounted nowhere, and the child binds them where they belong.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use oci_spec::runtime::{LinuxDevice, LinuxNamespaceType, Spec};

use super::devices;
use super::idmap::Maps;
use super::terms::Names;
use crate::engine::error::{Attempt, Result};
use crate::engine::sys::file;
use crate::engine::sys::mount::{self, Context, Depth};
use crate::engine::sys::node::{self, Node};

/// Nodes by the device's place in the specification's list.
#[derive(Debug)]
pub struct OutsideNodes {
    /// A detached file system; a node's name is its place.
    tree: OwnedFd,
    made: Vec<bool>,
}

impl OutsideNodes {
    /// Makes what a specification lists, with its modes and owners. `None` if there is nothing to make. What this process may
    /// not make is left to the host's nodes.
    ///
    /// # Errors
    /// The device and what the kernel says.
    pub fn prepare(spec: &Spec, names: Names) -> Result<Option<Self>> {
        let linux = spec.linux().as_ref();
        let list = linux.and_then(|linux| linux.devices().as_deref());
        let list = list.unwrap_or_default();
        if list.is_empty() || !has_new_users(spec) {
            return Ok(None);
        }
        let maps = Maps::of(spec)?;
        let tree = Context::open("tmpfs")?.mount(mount::NOSUID | mount::NOEXEC)?;
        let numbered = list.iter().enumerate();
        let made: Result<Vec<bool>> = numbered
            .map(|(number, device)| {
                make(tree.as_fd(), number, device, &maps)
                    .attempt(|| format!("make device {}", device.path().display()))
                    .map_err(|error| names.name("linux.devices", number, error))
            })
            .collect();
        Ok(Some(Self { tree, made: made? }))
    }

    /// What a child must keep.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.tree.as_fd()
    }

    /// Copies of the nodes, by place. To be called in the mount namespace of the container, before its root is changed: only
    /// what is mounted in one's own namespace can be copied by every kernel, so for this moment it is, out of sight on top
    /// of the root directory.
    ///
    /// # Errors
    /// What the system calls say.
    pub fn copies(&self) -> Result<Vec<Option<OwnedFd>>> {
        let top = file::open_dir(Path::new("/"))?;
        mount::attach(self.tree.as_fd(), top.as_fd(), "/")?;
        let copies = self.made.iter().enumerate().map(|(number, made)| {
            let copy = || {
                let place = node::place(self.tree.as_fd(), &number.to_string())?;
                mount::clone_fd(place.as_fd(), Depth::One, "a device")
            };
            made.then(copy).transpose()
        });
        let copies: Result<Vec<_>> = copies.collect();
        let itself = PathBuf::from(format!("/proc/self/fd/{}", self.tree.as_raw_fd()));
        mount::unmount(&itself)?;
        copies
    }
}

fn has_new_users(spec: &Spec) -> bool {
    let linux = spec.linux().as_ref();
    let list = linux.and_then(|linux| linux.namespaces().as_deref());
    let has = |kind| {
        let mut list = list.unwrap_or_default().iter();
        list.any(|namespace| namespace.typ() == kind && namespace.path().is_none())
    };
    has(LinuxNamespaceType::User) && has(LinuxNamespaceType::Mount)
}

fn make(tree: BorrowedFd<'_>, number: usize, device: &LinuxDevice, maps: &Maps) -> Result<bool> {
    let kind = devices::kind(device)?;
    let (Some(uid), Some(gid)) = (
        maps.user_outside(device.uid().unwrap_or(0)),
        maps.group_outside(device.gid().unwrap_or(0)),
    ) else {
        return Ok(false);
    };
    if kind == Node::Fifo {
        return Ok(false);
    }
    let name = number.to_string();
    match node::make_unless_there(tree, &name, kind, 0) {
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => return Ok(false),
        other => other?,
    };
    node::give(tree, &name, Some(uid), Some(gid))?;
    // Exactly, whatever the umask is.
    node::set_mode(tree, &name, devices::mode(device))?;
    Ok(true)
}
