//! Device nodes, links and files made in a directory that is open already.

use std::ffi::OsStr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid, makedev};
use rustix::io::Errno;

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

/// Makes a node; `false` if the name is taken. The mode is subject to the umask.
///
/// # Errors
/// What mknodat(2) says otherwise.
pub fn make_unless_there(dir: BorrowedFd<'_>, name: &str, node: Node, mode: u32) -> Result<bool> {
    let (kind, device) = node.parts();
    match rustix::fs::mknodat(dir, name, kind, Mode::from_raw_mode(mode), device) {
        Err(Errno::EXIST) => Ok(false),
        other => other
            .map(|()| true)
            .map_err(|e| failed(e, format_args!("make device {name}"))),
    }
}

/// Removes a name that is not a directory.
///
/// # Errors
/// What unlinkat(2) says.
pub fn remove(dir: BorrowedFd<'_>, name: &str) -> Result<()> {
    rustix::fs::unlinkat(dir, name, AtFlags::empty())
        .map_err(|e| failed(e, format_args!("remove {name}")))
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

/// What a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// A device or FIFO; `None` for anything else.
    pub node: Option<Node>,
    /// It is a directory.
    pub is_dir: bool,
    /// Permission bits.
    pub mode: u32,
    /// Owner and group.
    pub owner: (u32, u32),
}

/// Looks at a path: at what a link leads to, or at the link itself.
///
/// # Errors
/// What stat(2) says.
pub fn look(path: &Path, links: Links) -> Result<Seen> {
    let flags = match links {
        Links::Followed => AtFlags::empty(),
        Links::Themselves => AtFlags::SYMLINK_NOFOLLOW,
    };
    let stat = rustix::fs::statat(rustix::fs::CWD, path, flags)
        .map_err(|e| failed(e, format_args!("stat {}", path.display())))?;
    let numbers = (
        rustix::fs::major(stat.st_rdev),
        rustix::fs::minor(stat.st_rdev),
    );
    let kind = FileType::from_raw_mode(stat.st_mode);
    Ok(Seen {
        node: match kind {
            FileType::CharacterDevice => Some(Node::Character(numbers.0, numbers.1)),
            FileType::BlockDevice => Some(Node::Block(numbers.0, numbers.1)),
            FileType::Fifo => Some(Node::Fifo),
            _ => None,
        },
        is_dir: kind == FileType::Directory,
        mode: stat.st_mode & 0o7777,
        owner: (stat.st_uid, stat.st_gid),
    })
}

/// What becomes of a link at the end of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// What it leads to counts.
    Followed,
    /// It counts itself.
    Themselves,
}

/// Makes a symbolic link.
///
/// # Errors
/// What symlinkat(2) says.
pub fn link(dir: BorrowedFd<'_>, name: &str, to: &str) -> Result<()> {
    rustix::fs::symlinkat(to, dir, name).map_err(|e| failed(e, format_args!("link {name}")))
}

/// The same; `false` if the name is taken.
///
/// # Errors
/// What symlinkat(2) says otherwise.
pub fn link_unless_there(dir: BorrowedFd<'_>, name: &str, to: &str) -> Result<bool> {
    match rustix::fs::symlinkat(to, dir, name) {
        Err(Errno::EXIST) => Ok(false),
        other => other
            .map(|()| true)
            .map_err(|e| failed(e, format_args!("link {name}"))),
    }
}

/// Whether a name is a link to this.
#[must_use]
pub fn leads_to(dir: BorrowedFd<'_>, name: &str, to: &str) -> bool {
    rustix::fs::readlinkat(dir, name, Vec::new())
        .is_ok_and(|found| found.as_bytes() == to.as_bytes())
}

/// Where a link leads, by a trusted path; `None` if it is not a link.
///
/// # Errors
/// What readlink(2) says otherwise.
pub fn read_link(path: &Path) -> Result<Option<PathBuf>> {
    match rustix::fs::readlink(path, Vec::new()) {
        Ok(to) => Ok(Some(PathBuf::from(OsStr::from_bytes(to.as_bytes())))),
        Err(Errno::INVAL | Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(e) => Err(failed(e, format_args!("read link {}", path.display()))),
    }
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

/// Sets the permission bits of a name that is no link.
///
/// # Errors
/// What fchmodat(2) says.
pub fn set_mode(dir: BorrowedFd<'_>, name: &str, mode: u32) -> Result<()> {
    rustix::fs::chmodat(dir, name, Mode::from_raw_mode(mode), AtFlags::empty())
        .map_err(|e| failed(e, format_args!("change the mode of {name}")))
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
pub fn open(path: &Path) -> Result<OwnedFd> {
    rustix::fs::openat(
        rustix::fs::CWD,
        path,
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(|e| failed(e, format_args!("open {}", path.display())))
}
