//! The container's `/dev`: nodes, links, and the proof that the null device is the null device.
//!
//! Everything is made in a directory that is held open, by names that are not followed: no path of the image leads
//! elsewhere (CVE-2026-41579, CVE-2026-47766).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use oci_spec::runtime::{LinuxDevice, LinuxDeviceType, LinuxNamespaceType, Spec};

use super::mounts::Made;
use super::outside_nodes::OutsideNodes;
use super::terms::Names;
use crate::engine::error::{Attempt, Error, Kind, Result};
use crate::engine::sys::mount::{self, Depth};
use crate::engine::sys::node::{self, Node};
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

const DEV: &str = "/dev";

/// Links: name, where to.
const LINKS: &[(&str, &str)] = &[
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];

/// Where the master of the container's own terminals is.
const PTMX: (&str, &str) = ("ptmx", "pts/ptmx");

/// How device nodes come to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nodes {
    /// By mknod(2), unless that is forbidden.
    Made,
    /// By mounting the host's, or what was made outside: in a user namespace nodes cannot be made, and would not work.
    TheHosts,
}

impl Nodes {
    /// What a container needs.
    #[must_use]
    pub fn of(spec: &Spec) -> Self {
        let mut namespaces = spec
            .linux()
            .iter()
            .flat_map(|linux| linux.namespaces().iter().flatten());
        if namespaces.any(|namespace| namespace.typ() == LinuxNamespaceType::User) {
            Self::TheHosts
        } else {
            Self::Made
        }
    }
}

/// A device that is wanted.
#[derive(Debug)]
struct Wanted<'a> {
    node: Node,
    /// Permission bits.
    mode: u32,
    owner: (Option<u32>, Option<u32>),
    /// Where the host has it.
    path: &'a Path,
}

/// The container's `/dev`, made if it is missing: its own mount, or a directory of the image.
///
/// # Errors
/// [`Kind::Denied`] if it is a link: whoever made it chose where devices are made. Otherwise what the kernel says.
pub fn directory(root: &Rooted, made: &Made) -> Result<OwnedFd> {
    match &made.dev {
        Some(dev) => dev
            .try_clone()
            .map_err(|e| Error::io("duplicate a descriptor", e)),
        None => match root.resolve_plain(Path::new(DEV)) {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {
                root.make_dirs(Path::new(DEV))
            }
            Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {
                let text =
                    "the root file system's /dev is a symbolic link, and nothing is mounted there";
                Err(Error::new(Kind::Denied, text))
            }
            other => other,
        },
    }
}

/// Fills `/dev`. What is there already stays, if it is what it should be. The umask must be 0. `listed` devices were made
/// before, and are what the list says, also by the name of a usual one. `has_kcore`: the kernel shows its memory as a file,
/// which `core` leads to.
///
/// # Errors
/// The node and what the kernel says.
pub fn populate(
    dev: BorrowedFd<'_>,
    nodes: Nodes,
    listed: &[LinuxDevice],
    has_kcore: bool,
) -> Result<()> {
    for (name, major, minor) in NODES {
        let path = &Path::new(DEV).join(name);
        if listed.iter().any(|device| device.path() == path) {
            continue;
        }
        let wanted = Wanted {
            node: Node::Character(*major, *minor),
            mode: 0o666,
            owner: (None, None),
            path,
        };
        provide(dev, name, nodes, &wanted)?;
    }
    if has_kcore {
        node::link_unless_there(dev, "core", "/proc/kcore")?;
    }
    for (name, to) in LINKS {
        node::link_unless_there(dev, name, to)?;
    }
    let (name, to) = PTMX;
    // The image's own would lead to the host's terminals.
    if !node::link_unless_there(dev, name, to)? && !node::leads_to(dev, name, to) {
        node::remove(dev, name)?;
        node::link(dev, name, to)?;
    }
    Ok(())
}

/// Makes an empty file in `/dev` to mount the console on.
///
/// # Errors
/// What mknodat(2) and open(2) say.
pub fn console_place(dev: BorrowedFd<'_>) -> Result<OwnedFd> {
    node::make_unless_there(dev, "console", Node::File, 0o600)?;
    node::place(dev, "console")
}

/// Makes the further devices of a specification.
///
/// # Errors
/// The path and what the kernel says.
pub fn make_extra(
    root: &Rooted,
    devices: &[LinuxDevice],
    nodes: Nodes,
    outside: Option<&OutsideNodes>,
    names: Names,
) -> Result<()> {
    let copies = outside.map(OutsideNodes::copies).transpose()?;
    let mut copies = copies.unwrap_or_default().into_iter();
    let mut numbered = devices.iter().enumerate();
    numbered.try_for_each(|(number, device)| {
        let path = device.path();
        let copy = copies.next().flatten();
        make_one(root, device, nodes, copy.as_ref().map(AsFd::as_fd))
            .attempt(|| format!("make device {}", path.display()))
            .map_err(|error| names.name("linux.devices", number, error))
    })
}

/// `copy` is a mount of the node that was made outside.
fn make_one(
    root: &Rooted,
    device: &LinuxDevice,
    nodes: Nodes,
    copy: Option<BorrowedFd<'_>>,
) -> Result<()> {
    let path = device.path();
    let (Some(parent), Some(name)) = (path.parent(), path.file_name().and_then(|n| n.to_str()))
    else {
        return Err(Error::invalid("this path cannot be a device"));
    };
    // It is the link that `populate` makes.
    if path == Path::new("/dev/ptmx") {
        return Ok(());
    }
    let wanted = Wanted {
        node: kind(device)?,
        mode: mode(device),
        owner: (device.uid(), device.gid()),
        path,
    };
    let dir = root.make_dirs(parent)?;
    match copy {
        Some(copy) => mount_node(dir.as_fd(), name, copy, path),
        None => provide(dir.as_fd(), name, nodes, &wanted),
    }
}

/// Permission bits. Some write the type of the file into the mode, too.
pub(super) fn mode(device: &LinuxDevice) -> u32 {
    device.file_mode().unwrap_or(0o666) & 0o7777
}

/// What it is.
///
/// # Errors
/// For numbers that are none, and for what stands for all devices.
pub(super) fn kind(device: &LinuxDevice) -> Result<Node> {
    let number = |part: i64| {
        u32::try_from(part)
            .map_err(|e| Error::invalid(format!("bad device number {part}")).caused_by(e))
    };
    Ok(match device.typ() {
        LinuxDeviceType::B => Node::Block(number(device.major())?, number(device.minor())?),
        LinuxDeviceType::C | LinuxDeviceType::U => {
            Node::Character(number(device.major())?, number(device.minor())?)
        }
        LinuxDeviceType::P => Node::Fifo,
        LinuxDeviceType::A => {
            return Err(Error::invalid(
                "type a stands for all devices: b, c, u or p is needed",
            ));
        }
    })
}

/// Makes a node, or mounts the host's where none can be made or something else has the name.
fn provide(dir: BorrowedFd<'_>, name: &str, nodes: Nodes, wanted: &Wanted<'_>) -> Result<()> {
    if nodes == Nodes::TheHosts && wanted.node != Node::Fifo {
        return mount_hosts(dir, name, wanted);
    }
    match node::make_unless_there(dir, name, wanted.node, wanted.mode) {
        Ok(true) => {
            let (uid, gid) = wanted.owner;
            if uid.is_some() || gid.is_some() {
                node::give(dir, name, uid, gid)?;
            }
            Ok(())
        }
        // The default devices may be listed again: that is no error.
        Ok(false) if node::is(dir, name, wanted.node) => Ok(()),
        Ok(false) if wanted.node == Node::Fifo => Err(Error::new(
            Kind::Conflict,
            format!("{name} is there already, and no FIFO"),
        )),
        Ok(false) => mount_hosts(dir, name, wanted),
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => mount_hosts(dir, name, wanted),
        Err(error) => Err(error),
    }
}

/// Mounts the device of the host, if it is the one that is wanted: what was looked at is what is mounted.
fn mount_hosts(dir: BorrowedFd<'_>, name: &str, wanted: &Wanted<'_>) -> Result<()> {
    let copy = mount::clone_path(wanted.path, Depth::One)?;
    if !node::is_open(copy.as_fd(), wanted.node)? {
        return Err(Error::new(
            Kind::Denied,
            format!("{} of the host is another device", wanted.path.display()),
        ));
    }
    // The flags of the host's /dev would go with the copy; what is below it decides whether the device may be used.
    let flags = mount::NOSUID | mount::NOEXEC;
    let what = wanted.path.display();
    mount::set_attributes(copy.as_fd(), Depth::One, flags, 0, None, &what)?;
    mount_node(dir, name, copy.as_fd(), wanted.path)
}

fn mount_node(dir: BorrowedFd<'_>, name: &str, copy: BorrowedFd<'_>, path: &Path) -> Result<()> {
    node::make_unless_there(dir, name, Node::File, 0o600)?;
    let place = node::place(dir, name)?;
    mount::attach(copy, place.as_fd(), path.display())
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
