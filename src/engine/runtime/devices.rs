//! The container's private `/dev`: nodes, links, and the proof that the null device is the null device.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use crate::engine::error::{Error, Kind, Result};
use crate::engine::sys::node::{self, Node};
use crate::engine::sys::rooted::Rooted;
use oci_spec::runtime::{LinuxDevice, LinuxDeviceType};

/// Character devices that every container has: name, major, minor.
const NODES: &[(&str, u32, u32)] = &[
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

/// Links: name, where to.
const LINKS: &[(&str, &str)] = &[
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// Fills a fresh `/dev`, given by the descriptor of its own mount: no path of the image is walked
/// (CVE-2026-41579, CVE-2026-47766). The umask must be 0. `has_kcore`: the kernel shows its memory as a file, which
/// `core` leads to.
///
/// # Errors
/// The node and what the kernel says.
pub fn populate(dev: BorrowedFd<'_>, has_kcore: bool) -> Result<()> {
    for (name, major, minor) in NODES {
        node::make(dev, name, Node::Character(*major, *minor), 0o666)?;
    }
    if has_kcore {
        node::link(dev, "core", "/proc/kcore")?;
    }
    LINKS
        .iter()
        .try_for_each(|(name, to)| node::link(dev, name, to))
}

/// Makes an empty file in `/dev` to mount the console on.
///
/// # Errors
/// What mknodat(2) and open(2) say.
pub fn console_place(dev: BorrowedFd<'_>) -> Result<OwnedFd> {
    node::make(dev, "console", Node::File, 0o600)?;
    node::place(dev, "console")
}

/// Makes the further devices of a specification.
///
/// # Errors
/// The path and what the kernel says.
pub fn make_extra(root: &Rooted, devices: &[LinuxDevice]) -> Result<()> {
    for device in devices {
        let path = device.path();
        let (Some(parent), Some(name)) = (path.parent(), path.file_name().and_then(|n| n.to_str()))
        else {
            return Err(Error::invalid(format!(
                "{} cannot be a device",
                path.display()
            )));
        };
        let number = |part: i64| {
            u32::try_from(part).map_err(|e| {
                Error::invalid(format!("{}: bad device number", path.display())).caused_by(e)
            })
        };
        let (major, minor) = (number(device.major())?, number(device.minor())?);
        let node = match device.typ() {
            LinuxDeviceType::B => Node::Block(major, minor),
            LinuxDeviceType::C | LinuxDeviceType::U => Node::Character(major, minor),
            LinuxDeviceType::P => Node::Fifo,
            LinuxDeviceType::A => {
                return Err(Error::invalid(format!(
                    "{}: a device is a block or character device",
                    path.display()
                )));
            }
        };
        let dir = root.make_dirs(parent)?;
        // The default devices may be listed again: that is no error.
        if node::is(dir.as_fd(), name, node) {
            continue;
        }
        node::make(dir.as_fd(), name, node, device.file_mode().unwrap_or(0o666))?;
        if device.uid().is_some() || device.gid().is_some() {
            node::give(dir.as_fd(), name, device.uid(), device.gid())?;
        }
    }
    Ok(())
}

/// `/dev/null` below the root, if it is what it claims to be: character device 1:3. Masks are copies of it, so a false
/// one would uncover what it is to cover (CVE-2025-31133). What was looked at is what is used: the descriptor.
///
/// # Errors
/// [`Kind::Denied`] if it is something else.
pub fn null_device(root: &Rooted) -> Result<OwnedFd> {
    verified(root.resolve(Path::new(NULL)))
}

/// The same, open for reading.
///
/// # Errors
/// As [`null_device`].
pub fn open_null(root: &Rooted) -> Result<OwnedFd> {
    // Looked at first: opening another device could have effects of its own.
    null_device(root)?;
    verified(root.open_at_once(Path::new(NULL)))
}

const NULL: &str = "/dev/null";

fn verified(found: Result<OwnedFd>) -> Result<OwnedFd> {
    let refuse = |why: &str| {
        Error::new(
            Kind::Denied,
            format!("{NULL} of the container is not the null device ({why})"),
        )
    };
    let fd = found.map_err(|error| refuse("it cannot be opened").caused_by(error))?;
    if node::is_open(fd.as_fd(), Node::Character(1, 3))? {
        Ok(fd)
    } else {
        Err(refuse("wrong type or number"))
    }
}
