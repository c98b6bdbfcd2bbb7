//! Mounting by file descriptor: fsopen(2), fsmount(2), open_tree(2), move_mount(2), mount_setattr(2), pivot_root(2).
//!
//! A target is a descriptor that was resolved under its root before (`rooted.rs`), so no path is walked here twice.

#![expect(unsafe_code, reason = "mount_setattr(2) has no safe wrapper")]

use std::ffi::CString;
use std::fmt::Display;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, FsPickFlags, MountAttrFlags, MountFlags, MountPropagationFlags,
    MoveMountFlags, OpenTreeFlags, UnmountFlags,
};

use super::{failed, last_errno};
use crate::engine::error::{Error, Result};

/// `MOUNT_ATTR_*` bits of mount_setattr(2) (linux/mount.h).
pub type Attributes = u64;
/// Read-only.
pub const RDONLY: Attributes = 0x1;
/// Set-user-id bits and file capabilities are ignored.
pub const NOSUID: Attributes = 0x2;
/// Device nodes do not work.
pub const NODEV: Attributes = 0x4;
/// Nothing can be executed.
pub const NOEXEC: Attributes = 0x8;
/// Access times are never written.
pub const NOATIME: Attributes = 0x10;
/// Access times are always written.
pub const STRICTATIME: Attributes = 0x20;
/// Access times of directories are never written.
pub const NODIRATIME: Attributes = 0x80;
/// Symbolic links are not followed.
pub const NOSYMFOLLOW: Attributes = 0x20_0000;
/// All access time bits: to be cleared before one is set.
pub const ATIME: Attributes = 0x70;
/// Owners are shown as a user namespace maps them.
const IDMAP: Attributes = 0x10_0000;
/// `PROC_SUPER_MAGIC` (statfs(2)).
const PROC_MAGIC: i64 = 0x9fa0;

/// How mounts and unmounts below a mount spread to its copies (mount_namespaces(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// Not at all.
    Private,
    /// From the original to here.
    Slave,
    /// Both ways.
    Shared,
    /// Not at all, and it cannot be bind-mounted.
    Unbindable,
}

/// Whether the mounts below are meant too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// This mount alone.
    One,
    /// All below it.
    Recursive,
}

/// `struct mount_attr` of mount_setattr(2).
#[repr(C)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

/// A file system being configured (fsopen(2)).
#[derive(Debug)]
pub struct Context {
    fd: OwnedFd,
    kind: String,
}

impl Context {
    /// Begins.
    ///
    /// # Errors
    /// `ENODEV`: the kernel does not know the file system.
    pub fn open(kind: &str) -> Result<Self> {
        let fd = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)
            .map_err(|e| failed(e, format_args!("open file system {kind}")))?;
        Ok(Self {
            fd,
            kind: kind.to_owned(),
        })
    }

    /// Opens the file system that a descriptor is the root of, to change its options.
    ///
    /// # Errors
    /// `EINVAL`: nothing is mounted there.
    pub fn pick(mount: BorrowedFd<'_>, kind: &str) -> Result<Self> {
        let flags = FsPickFlags::FSPICK_CLOEXEC | FsPickFlags::FSPICK_EMPTY_PATH;
        let fd = rustix::mount::fspick(mount, "", flags)
            .map_err(|e| failed(e, format_args!("change the options of {kind}")))?;
        Ok(Self {
            fd,
            kind: kind.to_owned(),
        })
    }

    /// Sets `key=value`. The kernel takes at most 255 bytes of value.
    ///
    /// # Errors
    /// `EINVAL`: no such option.
    pub fn set(&self, key: &str, value: &str) -> Result<()> {
        rustix::mount::fsconfig_set_string(self.fd.as_fd(), key, value)
            .map_err(|e| self.failed(e, format_args!("option {key}={value}")))
    }

    /// Sets `key` to what a descriptor refers to.
    ///
    /// # Errors
    /// `EINVAL`: no such option, or it does not take descriptors.
    pub fn set_fd(&self, key: &str, value: BorrowedFd<'_>) -> Result<()> {
        rustix::mount::fsconfig_set_fd(self.fd.as_fd(), key, value)
            .map_err(|e| self.failed(e, format_args!("option {key}")))
    }

    /// Sets the flag `key`.
    ///
    /// # Errors
    /// `EINVAL`: no such flag.
    pub fn flag(&self, key: &str) -> Result<()> {
        rustix::mount::fsconfig_set_flag(self.fd.as_fd(), key)
            .map_err(|e| self.failed(e, format_args!("option {key}")))
    }

    /// Makes the file system and a detached mount of it.
    ///
    /// # Errors
    /// What the file system says.
    pub fn mount(self, attributes: Attributes) -> Result<OwnedFd> {
        rustix::mount::fsconfig_create(self.fd.as_fd())
            .map_err(|e| self.failed(e, "create the file system"))?;
        // The attribute bits of fsmount(2) and mount_setattr(2) are the same; these fit into 32 bits.
        let bits = u32::try_from(attributes).unwrap_or(0);
        rustix::mount::fsmount(
            self.fd.as_fd(),
            FsMountFlags::FSMOUNT_CLOEXEC,
            MountAttrFlags::from_bits_retain(bits),
        )
        .map_err(|e| self.failed(e, "mount"))
    }

    /// Gives a file system that is mounted already the options that were set.
    ///
    /// # Errors
    /// What the file system says.
    pub fn reconfigure(self) -> Result<()> {
        rustix::mount::fsconfig_reconfigure(self.fd.as_fd())
            .map_err(|e| self.failed(e, "change the options"))
    }

    /// An error with the file system's name, and its own words if it said any (fsopen(2), "Message retrieval").
    fn failed(&self, errno: Errno, what: impl Display) -> Error {
        let error = failed(errno, format_args!("{}: {what}", self.kind));
        let mut buffer = [0; 256];
        let Ok(length) = rustix::io::read(&self.fd, &mut buffer) else {
            return error;
        };
        let said = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()).into_owned();
        // The first word is its severity: `e overlay: missing 'lowerdir'`.
        match said.trim_end().split_once(' ') {
            Some((_, words)) => error.with_hint(words),
            None => error,
        }
    }
}

/// A detached copy of the mount at `path`, as seen from the calling process.
///
/// # Errors
/// What open_tree(2) says.
pub fn clone_path(path: &Path, depth: Depth) -> Result<OwnedFd> {
    clone(
        CWD,
        path,
        OpenTreeFlags::empty(),
        depth,
        format_args!("bind {}", path.display()),
    )
}

/// The same, but if the last part of the path is a link, a mount of the link itself.
///
/// # Errors
/// What open_tree(2) says.
pub fn clone_link(path: &Path, depth: Depth) -> Result<OwnedFd> {
    clone(
        CWD,
        path,
        OpenTreeFlags::AT_SYMLINK_NOFOLLOW,
        depth,
        format_args!("bind {}", path.display()),
    )
}

/// A detached copy of what a descriptor refers to. `what` names it in the error.
///
/// # Errors
/// What open_tree(2) says.
pub fn clone_fd(fd: BorrowedFd<'_>, depth: Depth, what: impl Display) -> Result<OwnedFd> {
    clone(
        fd,
        Path::new(""),
        OpenTreeFlags::AT_EMPTY_PATH,
        depth,
        format_args!("bind {what}"),
    )
}

fn clone(
    dir: BorrowedFd<'_>,
    path: &Path,
    flags: OpenTreeFlags,
    depth: Depth,
    what: impl Display,
) -> Result<OwnedFd> {
    let recursive = match depth {
        Depth::One => OpenTreeFlags::empty(),
        Depth::Recursive => OpenTreeFlags::AT_RECURSIVE,
    };
    let flags =
        flags | recursive | OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    rustix::mount::open_tree(dir, path, flags).map_err(|e| failed(e, what))
}

/// Puts a detached mount onto what `target` refers to. `what` names the target in the error.
///
/// # Errors
/// What move_mount(2) says.
pub fn attach(mount: BorrowedFd<'_>, target: BorrowedFd<'_>, what: impl Display) -> Result<()> {
    rustix::mount::move_mount(
        mount,
        "",
        target,
        "",
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH,
    )
    .map_err(|e| failed(e, format_args!("mount on {what}")))
}

/// Changes attributes and propagation of the mount that a descriptor is the root of.
///
/// # Errors
/// What mount_setattr(2) says; `what` names the mount.
pub fn set_attributes(
    mount: BorrowedFd<'_>,
    depth: Depth,
    set: Attributes,
    clear: Attributes,
    propagation: Option<Propagation>,
    what: impl Display,
) -> Result<()> {
    let attr = MountAttr {
        attr_set: set,
        attr_clr: clear,
        propagation: propagation.map_or(0, |p| match p {
            Propagation::Private => libc::MS_PRIVATE,
            Propagation::Slave => libc::MS_SLAVE,
            Propagation::Shared => libc::MS_SHARED,
            Propagation::Unbindable => libc::MS_UNBINDABLE,
        }),
        userns_fd: 0,
    };
    change(
        mount,
        depth,
        &attr,
        format_args!("set mount attributes of {what}"),
    )
}

/// Shows the owners of a detached mount, or of all below it, as a user namespace maps them.
///
/// # Errors
/// `EINVAL`: the file system does not support it. `EPERM`: it belongs to another user namespace than the caller's.
pub fn set_id_map(
    mount: BorrowedFd<'_>,
    depth: Depth,
    users: BorrowedFd<'_>,
    what: impl Display,
) -> Result<()> {
    let attr = MountAttr {
        attr_set: IDMAP,
        attr_clr: 0,
        propagation: 0,
        userns_fd: u64::try_from(users.as_raw_fd()).unwrap_or(u64::MAX),
    };
    change(
        mount,
        depth,
        &attr,
        format_args!("map the owners of {what}"),
    )
}

/// Attributes that a mount has. A file system that is read-only itself counts as read-only.
///
/// # Errors
/// What fstatfs(2) says.
pub fn attributes(mount: BorrowedFd<'_>) -> Result<Attributes> {
    // `ST_*` of statfs(2), and without one of the access time bits it is strict.
    const BITS: &[(u64, Attributes)] = &[
        (0x1, RDONLY),
        (0x2, NOSUID),
        (0x4, NODEV),
        (0x8, NOEXEC),
        (0x400, NOATIME),
        (0x800, NODIRATIME),
        (0x2000, NOSYMFOLLOW),
    ];
    const RELATIVE_OR_NONE: u64 = 0x1400;
    let stat = rustix::fs::fstatvfs(mount).map_err(|e| failed(e, "look at a mount"))?;
    let flags = stat.f_flag.bits();
    let strict = if flags & RELATIVE_OR_NONE == 0 {
        STRICTATIME
    } else {
        0
    };
    let found = BITS.iter().filter(|(bit, _)| flags & bit != 0);
    Ok(found.fold(strict, |all, (_, attribute)| all | attribute))
}

/// Whether a descriptor is of a procfs.
///
/// # Errors
/// What fstatfs(2) says.
pub fn is_procfs(fd: BorrowedFd<'_>) -> Result<bool> {
    let stat = rustix::fs::fstatfs(fd).map_err(|e| failed(e, "look at a file system"))?;
    Ok(i128::from(stat.f_type) == i128::from(PROC_MAGIC))
}

fn change(mount: BorrowedFd<'_>, depth: Depth, attr: &MountAttr, what: impl Display) -> Result<()> {
    let recursive = match depth {
        Depth::One => 0,
        Depth::Recursive => libc::AT_RECURSIVE,
    };
    // SAFETY: the path is a NUL-terminated literal, the structure outlives the call and its size is given.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | recursive,
            std::ptr::from_ref(attr),
            size_of::<MountAttr>(),
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(failed(last_errno(), what))
    }
}

/// Cuts every mount of this mount namespace off from its copies elsewhere: nothing mounted from now on is seen outside.
///
/// # Errors
/// What mount(2) says.
pub fn make_all_private() -> Result<()> {
    rustix::mount::mount_change(
        "/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )
    .map_err(|e| failed(e, "make mounts private"))
}

/// Mounts with mount(2), for options that fsconfig(2) does not take: those longer than 255 bytes, and `lowerdir` of
/// several layers before Linux 6.7. `options` must be shorter than a page.
///
/// # Errors
/// What mount(2) says.
pub fn mount_by_name(kind: &str, source: &str, target: &Path, options: &str) -> Result<()> {
    let what = || format!("mount {kind} on {}", target.display());
    let data = CString::new(options).map_err(|e| Error::invalid(what()).caused_by(e))?;
    rustix::mount::mount(source, target, kind, MountFlags::empty(), data.as_c_str())
        .map_err(|e| failed(e, what()))
}

/// Takes away what is mounted on a path on top.
///
/// # Errors
/// What umount2(2) says.
pub fn unmount(target: &Path) -> Result<()> {
    rustix::mount::unmount(target, UnmountFlags::DETACH)
        .map_err(|e| failed(e, format_args!("unmount {}", target.display())))
}

/// Takes a mount away, or covers it with an empty file system where it may not be taken.
///
/// # Errors
/// What mount(2) says.
pub fn hide(target: &Path) -> Result<()> {
    let what = format_args!("hide {}", target.display());
    match rustix::mount::unmount(target, UnmountFlags::DETACH) {
        Ok(()) => Ok(()),
        Err(Errno::INVAL | Errno::PERM) => {
            rustix::mount::mount("tmpfs", target, "tmpfs", MountFlags::empty(), None)
                .map_err(|e| failed(e, what))
        }
        Err(e) => Err(failed(e, what)),
    }
}

/// Makes a directory the root directory of this process, and its working directory.
///
/// # Errors
/// What chroot(2) says.
pub fn change_root(root: BorrowedFd<'_>) -> Result<()> {
    rustix::process::fchdir(root)
        .and_then(|()| rustix::process::chroot("."))
        .and_then(|()| rustix::process::chdir("/"))
        .map_err(|e| failed(e, "change the root directory"))
}

/// Makes the mount that a descriptor is the root of the root directory of this mount namespace, and lets go of the old
/// one. The working directory is then the new root.
///
/// # Errors
/// What pivot_root(2) and umount2(2) say.
pub fn pivot(root: BorrowedFd<'_>) -> Result<()> {
    rustix::process::fchdir(root).map_err(|e| failed(e, "enter the root file system"))?;
    // Old and new root are stacked on one point: pivot_root(2), NOTES, "pivot_root(".", ".")".
    rustix::process::pivot_root(".", ".").map_err(|e| failed(e, "pivot_root"))?;
    // The stack's top is now the old root.
    rustix::mount::unmount(".", UnmountFlags::DETACH)
        .map_err(|e| failed(e, "detach the old root"))?;
    rustix::process::chdir("/").map_err(|e| failed(e, "enter the root file system"))
}
