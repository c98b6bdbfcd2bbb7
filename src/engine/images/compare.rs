//! Compares an unpacked layer with its index: type, mode, owner, size, times, links, attributes and content of every
//! file, and nothing that is not in the index.

use std::collections::HashSet;
use std::fmt;
use std::io::Read;

use super::codec::CHUNK;
use super::index::{Entry, Kind};
use super::unpack::{self, OPAQUE_XATTR, shown};
use crate::engine::error::{self, Result};
use crate::engine::sys::at::{self, Dir, Stat, Xattrs};

/// Differences that are told of; the others are counted.
const TOLD: usize = 5;

/// What is different, at least one thing.
#[derive(Debug)]
pub(super) struct Differences {
    told: Vec<String>,
    others: usize,
}

impl fmt::Display for Differences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.told.join(", "))?;
        match self.others {
            0 => Ok(()),
            others => write!(f, ", and {others} more"),
        }
    }
}

/// Compares a tree with the entries of its index; `count` is told how many bytes were read, and may stop it.
///
/// # Errors
/// What `count` and the file system say. A file that cannot be read is a difference.
pub(super) fn compare(
    root: &Dir,
    entries: &[Entry],
    count: &dyn Fn(u64) -> Result<()>,
) -> Result<Option<Differences>> {
    let known: HashSet<&[u8]> = entries.iter().map(|entry| entry.path.as_slice()).collect();
    let mut found = Differences {
        told: Vec::new(),
        others: 0,
    };
    let mut parent: Option<(Vec<u8>, Dir)> = None;
    let mut buffer = vec![0_u8; CHUNK];
    for entry in entries {
        count(0)?;
        let (above, name) = unpack::split(&entry.path);
        if parent.as_ref().is_none_or(|(path, _)| path != above) {
            parent = root.find_dir(above)?.map(|dir| (above.to_vec(), dir));
        }
        let Some((_, dir)) = &parent else {
            found.add(&entry.path, "it is missing");
            continue;
        };
        let stat = if name.is_empty() {
            Some(root.stat_self()?)
        } else {
            dir.stat(name)?
        };
        let Some(stat) = stat else {
            found.add(&entry.path, "it is missing");
            continue;
        };
        if let Some(problem) = attributes(entry, &stat) {
            found.add(&entry.path, &problem);
            // What is in a directory is looked at all the same.
            if stat.kind != at::Kind::Directory {
                continue;
            }
        }
        let problem = match &entry.kind {
            Kind::Directory { opaque, .. } => {
                let Some(own) = root.find_dir(&entry.path)? else {
                    continue;
                };
                for child in own.names()? {
                    let path = unpack::join(&entry.path, &child);
                    if !known.contains(path.as_slice()) {
                        found.add(&path, "it is not of this layer");
                    }
                }
                let xattrs = own.own_xattrs()?;
                let is_opaque = xattrs.iter().any(|(name, _)| name == OPAQUE_XATTR);
                if is_opaque == *opaque {
                    different_xattrs(entry, &xattrs)
                } else {
                    Some("it hides or shows what is below by mistake".to_owned())
                }
            }
            Kind::File { content } => file(dir, name, entry, content.as_ref(), &mut buffer, count)?,
            Kind::Symlink { target } => {
                if dir.read_link(name)? == *target {
                    different_xattrs(entry, &dir.xattrs(name)?)
                } else {
                    Some("it points elsewhere".to_owned())
                }
            }
            Kind::HardLink { target } => {
                let (above, name) = unpack::split(target);
                let other = match root.find_dir(above)? {
                    Some(dir) => dir.stat(name)?,
                    None => None,
                };
                let same = other.is_some_and(|other| other.inode == stat.inode);
                (!same).then(|| format!("it is not the same file as {}", shown(target)))
            }
            Kind::Char { .. } | Kind::Block { .. } | Kind::Fifo => {
                different_xattrs(entry, &dir.xattrs(name)?)
            }
            Kind::Whiteout => None,
        };
        if let Some(problem) = problem {
            found.add(&entry.path, &problem);
        }
    }
    Ok((!found.told.is_empty()).then_some(found))
}

impl Differences {
    fn add(&mut self, path: &[u8], problem: &str) {
        if self.told.len() < TOLD {
            let path = if path.is_empty() {
                "/".to_owned()
            } else {
                shown(path)
            };
            self.told.push(format!("{path}: {problem}"));
        } else {
            self.others += 1;
        }
    }
}

/// What stat(2) says against the index.
fn attributes(entry: &Entry, stat: &Stat) -> Option<String> {
    let (kind, device) = match &entry.kind {
        Kind::File { .. } => (at::Kind::File, None),
        Kind::Directory { .. } => (at::Kind::Directory, None),
        Kind::Symlink { .. } => (at::Kind::Symlink, None),
        // Whatever it is a link to: the inode tells.
        Kind::HardLink { .. } => (stat.kind, None),
        Kind::Char { device } => (at::Kind::Char, Some(*device)),
        Kind::Block { device } => (at::Kind::Block, Some(*device)),
        Kind::Fifo => (at::Kind::Fifo, None),
        Kind::Whiteout => {
            return (!stat.is_whiteout()).then(|| "it is no whiteout".to_owned());
        }
    };
    if stat.kind != kind || device.is_some_and(|device| device != stat.rdev) {
        return Some("it is something else".to_owned());
    }
    // Links have no mode of their own (symlink(7)); another name of a file is looked at with the file.
    let is_link = matches!(entry.kind, Kind::Symlink { .. });
    if matches!(entry.kind, Kind::HardLink { .. }) {
        return None;
    }
    if !is_link && stat.mode != entry.mode & 0o7777 {
        return Some(format!(
            "its mode is {:o}, not {:o}",
            stat.mode,
            entry.mode & 0o7777
        ));
    }
    if (stat.uid, stat.gid) != (entry.uid, entry.gid) {
        return Some(format!(
            "its owner is {}:{}, not {}:{}",
            stat.uid, stat.gid, entry.uid, entry.gid
        ));
    }
    if matches!(entry.kind, Kind::File { .. }) && stat.size != entry.size {
        return Some(format!("it has {} bytes, not {}", stat.size, entry.size));
    }
    // Later and earlier times are cut off by some file systems.
    let is_kept = i32::try_from(entry.mtime.0).is_ok();
    (is_kept && stat.mtime != entry.mtime).then(|| "its time has changed".to_owned())
}

fn file(
    dir: &Dir,
    name: &[u8],
    entry: &Entry,
    content: Option<&[u8; 32]>,
    buffer: &mut [u8],
    count: &dyn Fn(u64) -> Result<()>,
) -> Result<Option<String>> {
    let mut file = match dir.open_file(name) {
        Ok(file) => file,
        Err(error) if error.kind() == error::Kind::NoSpace => return Err(error),
        Err(error) => return Ok(Some(error.to_string())),
    };
    if let Some(content) = content {
        let mut hasher = blake3::Hasher::new();
        loop {
            let read = match file.read(buffer) {
                Ok(read) => read,
                Err(error) => return Ok(Some(format!("it cannot be read: {error}"))),
            };
            let Some(chunk) = buffer.get(..read).filter(|chunk| !chunk.is_empty()) else {
                break;
            };
            hasher.update(chunk);
            count(u64::try_from(read).unwrap_or(0))?;
        }
        if hasher.finalize() != *content {
            return Ok(Some("its content has changed".to_owned()));
        }
    }
    Ok(match at::file_xattrs(&file) {
        Ok(xattrs) => different_xattrs(entry, &xattrs),
        Err(error) => Some(format!("its attributes cannot be read: {error}")),
    })
}

/// What was unpacked must be there; what the host's own security adds is its own affair.
fn different_xattrs(entry: &Entry, found: &Xattrs) -> Option<String> {
    let is_hosts = |name: &[u8]| {
        name.starts_with(b"trusted.overlay.")
            || matches!(name, b"security.selinux" | b"security.SMACK64")
    };
    let missing = entry
        .xattrs
        .iter()
        .filter(|own| !is_hosts(&own.0))
        .find(|own| !found.contains(own));
    let more = found
        .iter()
        .find(|(name, _)| !is_hosts(name) && !entry.xattrs.iter().any(|(own, _)| own == name));
    let (name, _) = missing.or(more)?;
    Some(format!("its attribute {} has changed", shown(name)))
}
