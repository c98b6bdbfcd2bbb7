//! The container's private `/dev`: nodes, links, and the proof that the null device is the null device.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use oci_spec::runtime::{LinuxDevice, LinuxDeviceType};
use rustix::fs::{AtFlags, Dev, FileType, Gid, Mode, OFlags, Uid, makedev};

use crate::engine::error::{Error, Kind, Result};
use crate::engine::sys::rooted::Rooted;

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
        node(
            dev,
            name,
            FileType::CharacterDevice,
            0o666,
            makedev(*major, *minor),
        )?;
    }
    if has_kcore {
        link(dev, "core", "/proc/kcore")?;
    }
    LINKS.iter().try_for_each(|(name, to)| link(dev, name, to))
}

/// Makes a symbolic link in a directory of ours.
///
/// # Errors
/// What symlinkat(2) says.
pub fn link(dir: BorrowedFd<'_>, name: &str, to: &str) -> Result<()> {
    rustix::fs::symlinkat(to, dir, name).map_err(|e| Error::io(format!("link {name}"), e.into()))
}

/// Makes an empty file in `/dev` to mount the console on.
///
/// # Errors
/// What mknodat(2) and open(2) say.
pub fn console_place(dev: BorrowedFd<'_>) -> Result<OwnedFd> {
    node(dev, "console", FileType::RegularFile, 0o600, 0)?;
    rustix::fs::openat(
        dev,
        "console",
        OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(|e| Error::io("open /dev/console", e.into()))
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
        let kind = match device.typ() {
            LinuxDeviceType::B => FileType::BlockDevice,
            LinuxDeviceType::C | LinuxDeviceType::U => FileType::CharacterDevice,
            LinuxDeviceType::P => FileType::Fifo,
            LinuxDeviceType::A => {
                return Err(Error::invalid(format!(
                    "{}: a device is a block or character device",
                    path.display()
                )));
            }
        };
        let number = |part: i64| {
            u32::try_from(part).map_err(|e| {
                Error::invalid(format!("{}: bad device number", path.display())).caused_by(e)
            })
        };
        let id = makedev(number(device.major())?, number(device.minor())?);
        let dir = root.make_dirs(parent)?;
        let mode = device.file_mode().unwrap_or(0o666);
        if is_same(dir.as_fd(), name, kind, id) {
            continue;
        }
        node(dir.as_fd(), name, kind, mode, id)?;
        if device.uid().is_some() || device.gid().is_some() {
            rustix::fs::chownat(
                dir.as_fd(),
                name,
                device.uid().map(Uid::from_raw),
                device.gid().map(Gid::from_raw),
                AtFlags::SYMLINK_NOFOLLOW,
            )
            .map_err(|e| Error::io(format!("change owner of {}", path.display()), e.into()))?;
        }
    }
    Ok(())
}

/// The default devices may be listed again: that is no error.
fn is_same(dir: BorrowedFd<'_>, name: &str, kind: FileType, id: Dev) -> bool {
    rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == kind && stat.st_rdev == id)
}

/// `/dev/null` below the root, if it is what it claims to be: without a link in its path and character device 1:3.
/// Masks are copies of it, so a false one would uncover what it is to cover (CVE-2025-31133).
///
/// # Errors
/// [`Kind::Denied`] if it is something else.
pub fn null_device(root: &Rooted) -> Result<OwnedFd> {
    let path = Path::new("/dev/null");
    let refuse = |why: &str| {
        Error::new(
            Kind::Denied,
            format!("/dev/null of the container is not the null device ({why})"),
        )
    };
    let fd = root
        .resolve_plain(path)
        .map_err(|error| refuse("it cannot be opened").caused_by(error))?;
    let stat = rustix::fs::fstat(&fd).map_err(|e| Error::io("stat /dev/null", e.into()))?;
    let is_null = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
        && stat.st_rdev == makedev(1, 3);
    if is_null {
        Ok(fd)
    } else {
        Err(refuse("wrong type or number"))
    }
}

fn node(dir: BorrowedFd<'_>, name: &str, kind: FileType, mode: u32, id: Dev) -> Result<()> {
    rustix::fs::mknodat(dir, name, kind, Mode::from_raw_mode(mode), id)
        .map_err(|e| Error::io(format!("make device {name}"), e.into()))
}
