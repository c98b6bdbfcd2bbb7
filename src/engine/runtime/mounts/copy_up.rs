//! `tmpcopyup`: a tmpfs begins with a copy of the directory that it covers.

use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;

use crate::engine::error::{Attempt, Result};
use crate::engine::sys::at::{self, Dir, Kind, Stat};
use crate::engine::sys::selinux;

/// Copies what is in `from` into the root of the new file system.
///
/// # Errors
/// The file and what the kernel says. What was copied so far stays.
pub(super) fn fill(fs: BorrowedFd<'_>, from: BorrowedFd<'_>, label: &Path) -> Result<()> {
    let (from, to) = (Dir::reopen(from, label)?, Dir::reopen(fs, label)?);
    let stat = from.stat_self()?;
    // The mode may have been given as an option: it is what the file system has.
    let mode = to.stat_self()?.mode;
    copy_content(&from, &to)?;
    to.set_own_attributes(stat.uid, stat.gid, mode)?;
    to.set_own_mtime(stat.mtime)
}

/// Copies a directory into an empty one: what is in it, its owner, mode and attributes.
///
/// # Errors
/// The file and what the kernel says. What was copied so far stays.
pub fn directory(from: BorrowedFd<'_>, to: &Path, label: &Path) -> Result<()> {
    let (from, to) = (Dir::reopen(from, label)?, Dir::open(to)?);
    let stat = from.stat_self()?;
    copy_content(&from, &to)?;
    for (attribute, value) in from.own_xattrs()? {
        if !attribute.starts_with(b"trusted.overlay.") && is_copied(&attribute) {
            to.set_own_xattr(&attribute, &value)?;
        }
    }
    to.set_own_attributes(stat.uid, stat.gid, stat.mode)?;
    to.set_own_mtime(stat.mtime)
}

/// A file's SELinux context is that of the place where it is.
fn is_copied(attribute: &[u8]) -> bool {
    attribute != selinux::ATTRIBUTE.as_bytes()
}

fn copy_content(from: &Dir, to: &Dir) -> Result<()> {
    for name in from.names()? {
        if let Some(stat) = from.stat(&name)? {
            copy_entry(from, to, &name, &stat).attempt(|| "copy into the tmpfs")?;
        }
    }
    Ok(())
}

fn copy_entry(from: &Dir, to: &Dir, name: &[u8], stat: &Stat) -> Result<()> {
    match stat.kind {
        Kind::Directory => copy_dir(from, to, name, stat),
        Kind::File => copy_file(from, to, name, stat),
        Kind::Symlink => {
            to.make_symlink(name, &from.read_link(name)?)?;
            to.set_owner(name, stat.uid, stat.gid)?;
            to.set_mtime(name, stat.mtime)
        }
        Kind::Char | Kind::Block | Kind::Fifo | Kind::Socket => {
            to.make_node(name, stat.kind, stat.rdev)?;
            to.set_owner(name, stat.uid, stat.gid)?;
            to.set_node_mode(name, stat.mode)?;
            to.set_mtime(name, stat.mtime)
        }
    }
}

fn copy_dir(from: &Dir, to: &Dir, name: &[u8], stat: &Stat) -> Result<()> {
    to.make_dir(name)?;
    let (Some(from), Some(to)) = (from.find_dir(name)?, to.find_dir(name)?) else {
        return Ok(());
    };
    copy_content(&from, &to)?;
    for (attribute, value) in from.own_xattrs()? {
        if is_copied(&attribute) {
            to.set_own_xattr(&attribute, &value)?;
        }
    }
    to.set_own_attributes(stat.uid, stat.gid, stat.mode)?;
    to.set_own_mtime(stat.mtime)
}

fn copy_file(from: &Dir, to: &Dir, name: &[u8], stat: &Stat) -> Result<()> {
    let what = || format!("copy {}", String::from_utf8_lossy(name));
    let mut content = from.open_file(name)?;
    let Some(mut copy) = to.make_file(name)? else {
        return Ok(());
    };
    io::copy(&mut content, &mut copy).attempt(what)?;
    for (attribute, value) in at::file_xattrs(&content).attempt(what)? {
        if is_copied(&attribute) {
            at::set_file_xattr(&copy, &attribute, &value).attempt(what)?;
        }
    }
    at::set_file_attributes(&copy, stat.uid, stat.gid, stat.mode).attempt(what)?;
    at::set_file_mtime(&copy, stat.mtime).attempt(what)
}
