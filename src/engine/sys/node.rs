//! Device nodes, links and files made in a directory that is open already.

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid, makedev};

use super::failed;
use crate::engine::error::Result;

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Node {
    /// Character device: major, minor.
    Character(u32, u32),
    /// Block device: major, minor.
    Block(u32, u32),
    /// FIFO.
    Fifo,
    /// Empty regular file.
    File,
}

impl Node {
    fn parts(self) -> (FileType, u64) {
        match self {
            Self::Character(major, minor) => (FileType::CharacterDevice, makedev(major, minor)),
            Self::Block(major, minor) => (FileType::BlockDevice, makedev(major, minor)),
            Self::Fifo => (FileType::Fifo, 0),
            Self::File => (FileType::RegularFile, 0),
        }
    }
}

/// Makes a node. The mode is subject to the umask.
///
/// # Errors
/// What mknodat(2) says.
pub fn make(dir: BorrowedFd<'_>, name: &str, node: Node, mode: u32) -> Result<()> {
    let (kind, device) = node.parts();
    rustix::fs::mknodat(dir, name, kind, Mode::from_raw_mode(mode), device)
        .map_err(|e| failed(e, format_args!("make device {name}")))
}

/// Whether a name is such a node already.
#[must_use]
pub fn is(dir: BorrowedFd<'_>, name: &str, node: Node) -> bool {
    rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| (FileType::from_raw_mode(stat.st_mode), stat.st_rdev) == node.parts())
}

/// Whether a descriptor refers to such a node.
///
/// # Errors
/// What fstat(2) says.
pub fn is_open(fd: BorrowedFd<'_>, node: Node) -> Result<bool> {
    let stat = rustix::fs::fstat(fd).map_err(|e| failed(e, "stat a device"))?;
    Ok((FileType::from_raw_mode(stat.st_mode), stat.st_rdev) == node.parts())
}

/// Makes a symbolic link.
///
/// # Errors
/// What symlinkat(2) says.
pub fn link(dir: BorrowedFd<'_>, name: &str, to: &str) -> Result<()> {
    rustix::fs::symlinkat(to, dir, name).map_err(|e| failed(e, format_args!("link {name}")))
}

/// Changes the owner of a name, not of what it may lead to.
///
/// # Errors
/// What fchownat(2) says.
pub fn give(dir: BorrowedFd<'_>, name: &str, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
    rustix::fs::chownat(
        dir,
        name,
        uid.map(Uid::from_raw),
        gid.map(Gid::from_raw),
        AtFlags::SYMLINK_NOFOLLOW,
    )
    .map_err(|e| failed(e, format_args!("change the owner of {name}")))
}

/// A name as a place to mount on: links are not followed.
///
/// # Errors
/// What openat(2) says.
pub fn place(dir: BorrowedFd<'_>, name: &str) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(dir, name, flags, Mode::empty())
        .map_err(|e| failed(e, format_args!("open {name}")))
}

/// Opens a file for reading by a trusted path.
///
/// # Errors
/// What open(2) says.
pub fn open(path: &std::path::Path) -> Result<OwnedFd> {
    rustix::fs::openat(
        rustix::fs::CWD,
        path,
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(|e| failed(e, format_args!("open {}", path.display())))
}
