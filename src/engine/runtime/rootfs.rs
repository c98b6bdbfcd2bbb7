//! Mounts the root file system inside the container's own mount namespace. What is mounted in it is `mounts.rs`.

use std::ffi::OsString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{LinuxIdMapping, Spec};

use super::labels;
use super::launch::Rootfs;
use super::mounts::{self, idmap};
use crate::engine::error::{Attempt, Error, Kind, Result};
use crate::engine::sys::cred;
use crate::engine::sys::file;
use crate::engine::sys::mount::{self, Context, Depth, Propagation};
use crate::engine::sys::rooted::Rooted;

/// The kernel takes no longer value in one fsconfig(2) call.
const MAX_VALUE: usize = 255;

/// How the container's mounts are connected with others, and it with them: `linux.rootfsPropagation`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connection {
    kind: Propagation,
    depth: Depth,
}

impl Connection {
    /// Reads the field; private if it is missing.
    ///
    /// # Errors
    /// Invalid input, naming the field.
    pub fn of(spec: &Spec) -> Result<Self> {
        let linux = spec.linux().as_ref();
        let word = linux.and_then(|linux| linux.rootfs_propagation().as_deref());
        let word = word.unwrap_or_default();
        let (depth, rest) = match word.strip_prefix('r') {
            Some(rest) => (Depth::Recursive, rest),
            None => (Depth::One, word),
        };
        let kind = match rest {
            "" if depth == Depth::One => Propagation::Private,
            "private" => Propagation::Private,
            "slave" => Propagation::Slave,
            "shared" => Propagation::Shared,
            "unbindable" => Propagation::Unbindable,
            _ => {
                return Err(Error::invalid(format!(
                    "linux.rootfsPropagation: {word:?} is none of private, slave, shared, unbindable"
                )));
            }
        };
        Ok(Self { kind, depth })
    }

    /// Copies the root while it still has the host's peers, if it is to stay their slave; all mounts must be made private
    /// afterwards.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn copy_early(self, rootfs: &Rootfs) -> Result<Option<OwnedFd>> {
        match directory(rootfs) {
            Some(path) if self.kind == Propagation::Slave => bind(path, self.kind).map(Some),
            _ => Ok(None),
        }
    }

    /// Makes the root shared or unbindable, if it is to be. Not before the pivot, which such a root does not allow
    /// (pivot_root(2)).
    ///
    /// # Errors
    /// What the kernel says.
    pub fn apply(self, root: BorrowedFd<'_>) -> Result<()> {
        match self.kind {
            Propagation::Private | Propagation::Slave => Ok(()),
            Propagation::Shared | Propagation::Unbindable => {
                mount::set_attributes(root, self.depth, 0, 0, Some(self.kind), "/")
            }
        }
    }
}

/// Prepares the root of a container with a user namespace of its own, where the host's paths can still be walked and with
/// rights over its file systems: a directory is copied, layers are mounted with their owners mapped, so that on the disk
/// they are what they are in every other container. `None` if there is nothing to prepare.
///
/// # Errors
/// What open_tree(2) and mount_setattr(2) say. Layers with mapped owners need Linux 6.13 or newer.
pub fn prepare(spec: &Spec, rootfs: &Rootfs) -> Result<Option<OwnedFd>> {
    let kind = match Connection::of(spec)?.kind {
        Propagation::Slave => Propagation::Slave,
        Propagation::Private | Propagation::Shared | Propagation::Unbindable => {
            Propagation::Private
        }
    };
    match rootfs {
        Rootfs::Dir { path } => bind(path, kind).map(Some),
        Rootfs::Overlay {
            lower,
            upper,
            work,
            volatile,
            readonly: _,
        } => match idmap::of_container(spec)? {
            Some(users) => {
                let dirs = Dirs {
                    lower,
                    upper,
                    work,
                    volatile: *volatile,
                    context: labels::of_mounts(spec),
                };
                dirs.mapped(users.as_fd(), first_ids(spec))
                    .attempt(|| "mount the layers with mapped owners")
                    .map(Some)
            }
            None => Ok(None),
        },
    }
}

/// Mounts it where [`mount::pivot`] takes it from, and returns its root: a directory on itself, where hooks look for it,
/// anything else over the host's root of this namespace. All mounts must have been made private before. `early` is what
/// [`Connection::copy_early`] or [`prepare`] copied. `context` is the SELinux context of all files of an overlay; a directory
/// has its own, as with runc.
///
/// # Errors
/// What the kernel says, naming the layer or directory.
pub fn mount(rootfs: &Rootfs, context: Option<&str>, early: Option<OwnedFd>) -> Result<OwnedFd> {
    match rootfs {
        Rootfs::Overlay {
            lower,
            upper,
            work,
            volatile,
            readonly: _,
        } => {
            if let Some(root) = early {
                return attach(root);
            }
            // An image without layers: there is nothing to overlay.
            if lower.is_empty() {
                return attach(bind(upper, Propagation::Private)?);
            }
            // Left by an earlier volatile mount, to warn of a host that crashed meanwhile. It did not: after a reboot
            // there are no containers that were volatile.
            file::remove_tree(&work.join("work/incompat"))?;
            let dirs = Dirs {
                lower,
                upper,
                work,
                volatile: *volatile,
                context,
            };
            match dirs.overlay() {
                Ok(mount) => attach(mount),
                Err(error) if is_invalid(&error) => dirs.overlay_by_option_string(),
                Err(error) => Err(error),
            }
            .attempt(|| "mount the layers")
        }
        Rootfs::Dir { path } => {
            let root = match early {
                Some(root) => root,
                None => bind(path, Propagation::Private)?,
            };
            match Rooted::open(path) {
                Ok(place) => {
                    mount::attach(root.as_fd(), place.as_fd(), path.display())?;
                    Ok(root)
                }
                // Nobody here may walk there.
                Err(_) => attach(root),
            }
        }
    }
}

/// For a root that cannot be pivoted to because the host's is none that can be put elsewhere (an initramfs): moves it over
/// the host's root. Before that the host's procfs and sysfs are hidden, as runc does it, so that no user namespace inside
/// can be said to have seen them.
///
/// # Errors
/// What the kernel says.
pub fn move_to_top(rootfs: &Rootfs, root: BorrowedFd<'_>) -> Result<()> {
    if let Rootfs::Dir { path } = rootfs {
        let table = file::read_optional(Path::new("/proc/self/mountinfo"))?.unwrap_or_default();
        for target in kernel_file_systems(&String::from_utf8_lossy(&table), path) {
            mount::hide(&target)?;
        }
    }
    let top = Rooted::open(Path::new("/"))?;
    mount::attach(root, top.as_fd(), "/")?;
    mount::change_root(root)
}

/// Where procfs and sysfs are mounted outside of a directory, latest first (proc_pid_mountinfo(5)).
fn kernel_file_systems(table: &str, except: &Path) -> Vec<PathBuf> {
    let targets = table.lines().filter_map(|line| {
        let (mount, file_system) = line.split_once(" - ")?;
        let kind = file_system.split(' ').next()?;
        let target = unescape(mount.split(' ').nth(4)?);
        let counts = matches!(kind, "proc" | "sysfs") && !target.starts_with(except);
        counts.then_some(target)
    });
    let mut targets: Vec<PathBuf> = targets.collect();
    targets.reverse();
    targets
}

/// Blanks and the like are written as three octal digits.
fn unescape(text: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let octal = match (first, after.get(..3)) {
            (b'\\', Some(digits)) => std::str::from_utf8(digits).ok(),
            _ => None,
        };
        if let Some(byte) = octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            bytes.push(byte);
            rest = after.get(3..).unwrap_or_default();
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

/// The directory that the root is, if it is one.
#[must_use]
pub fn directory(rootfs: &Rootfs) -> Option<&Path> {
    match rootfs {
        Rootfs::Overlay { .. } => None,
        Rootfs::Dir { path } => Some(path),
    }
}

/// The root as it is, without a mount of its own.
///
/// # Errors
/// [`Kind::Unsupported`] for one that must be mounted first.
pub fn open(rootfs: &Rootfs) -> Result<Rooted> {
    match rootfs {
        Rootfs::Overlay { .. } => Err(Error::unsupported(
            "layers without a mount namespace to mount them in",
        )),
        Rootfs::Dir { path } => Rooted::open(path),
    }
}

/// Whether the root is to be read-only, whichever of the two says so.
#[must_use]
pub fn is_readonly(rootfs: &Rootfs, spec_says: bool) -> bool {
    match rootfs {
        Rootfs::Overlay { readonly, .. } => *readonly || spec_says,
        Rootfs::Dir { .. } => spec_says,
    }
}

fn attach(root: OwnedFd) -> Result<OwnedFd> {
    let host = Rooted::open(Path::new("/"))?;
    mount::attach(root.as_fd(), host.as_fd(), "/")?;
    Ok(root)
}

fn bind(path: &Path, propagation: Propagation) -> Result<OwnedFd> {
    let root = mount::clone_path(path, Depth::Recursive)?;
    mount::set_attributes(root.as_fd(), Depth::Recursive, 0, 0, Some(propagation), "/")?;
    Ok(root)
}

/// The container's root on the host.
fn first_ids(spec: &Spec) -> (u32, u32) {
    let linux = spec.linux().as_ref();
    let first = |list: Option<&Vec<LinuxIdMapping>>| {
        let root = list
            .into_iter()
            .flatten()
            .find(|map| map.container_id() == 0);
        root.map_or(0, LinuxIdMapping::host_id)
    };
    (
        first(linux.and_then(|linux| linux.uid_mappings().as_ref())),
        first(linux.and_then(|linux| linux.gid_mappings().as_ref())),
    )
}

/// What an overlay is made of.
struct Dirs<'a> {
    lower: &'a [PathBuf],
    upper: &'a Path,
    work: &'a Path,
    volatile: bool,
    context: Option<&'a str>,
}

impl Dirs<'_> {
    /// The overlay of mounts that map owners into a user namespace (overlayfs.rst, "Mount options", "idmapped layers").
    fn mapped(&self, users: BorrowedFd<'_>, (uid, gid): (u32, u32)) -> Result<OwnedFd> {
        let map = |path: &Path| -> Result<OwnedFd> {
            let copy = mount::clone_path(path, Depth::One)?;
            mount::set_id_map(copy.as_fd(), Depth::One, users, path.display())?;
            Ok(copy)
        };
        if self.lower.is_empty() {
            return map(self.upper);
        }
        file::remove_tree(&self.work.join("work/incompat"))?;
        let layers: Vec<OwnedFd> = self
            .lower
            .iter()
            .map(|path| map(path))
            .collect::<Result<_>>()?;
        // Both must be on one mount.
        let parent = self.upper.parent().unwrap_or(self.upper);
        let writable = Rooted::from_fd(map(parent)?);
        let below = |path: &Path| writable.resolve(Path::new(path.file_name().unwrap_or_default()));
        let (upper, work) = (below(self.upper)?, below(self.work)?);
        // What the overlay does in its directories it does as whoever mounts it, who must be somebody in there.
        cred::as_file_user(uid, gid, || {
            let context = Context::open("overlay")?;
            context.set("source", "overlay")?;
            for layer in &layers {
                context.set_fd("lowerdir+", layer.as_fd())?;
            }
            context.set_fd("upperdir", upper.as_fd())?;
            context.set_fd("workdir", work.as_fd())?;
            context.set("redirect_dir", "off")?;
            context.set("metacopy", "off")?;
            if self.volatile {
                context.flag("volatile")?;
            }
            if let Some(label) = self.context {
                context.set("context", label)?;
            }
            context.mount(0)
        })
    }

    fn overlay(&self) -> Result<OwnedFd> {
        let context = Context::open("overlay")?;
        context.set("source", "overlay")?;
        for layer in self.lower {
            set_path(&context, "lowerdir+", layer)?;
        }
        set_path(&context, "upperdir", self.upper)?;
        set_path(&context, "workdir", self.work)?;
        // Whatever the host's kernel has for its usual: the upper directory alone is to tell what has changed.
        context.set("redirect_dir", "off")?;
        context.set("metacopy", "off")?;
        if self.volatile {
            context.flag("volatile")?;
        }
        if let Some(label) = self.context {
            context.set("context", label)?;
        }
        context.mount(0)
    }

    /// For kernels before 6.7, whose fsconfig(2) does not know `lowerdir+`: mount(2) with one option string. It may not
    /// be longer than a page, so every path goes by its short name below `/proc/self/fd`.
    fn overlay_by_option_string(&self) -> Result<OwnedFd> {
        let open = |paths: &[PathBuf]| -> Result<Vec<Rooted>> {
            paths.iter().map(|path| Rooted::open(path)).collect()
        };
        let name = |dir: &Rooted| format!("/proc/self/fd/{}", dir.as_fd().as_raw_fd());
        let lower = open(self.lower)?;
        let names: Vec<String> = lower.iter().map(name).collect();
        let (upper, work) = (Rooted::open(self.upper)?, Rooted::open(self.work)?);
        let volatile = if self.volatile { ",volatile" } else { "" };
        let label = self.context.map_or_else(String::new, |label| {
            format!(",{}", mounts::options::quoted("context", label))
        });
        let options = format!(
            "redirect_dir=off,metacopy=off,lowerdir={},upperdir={},workdir={}{volatile}{label}",
            names.join(":"),
            name(&upper),
            name(&work)
        );
        // The place is of no importance: this namespace is ours alone, and the old tree goes away with the pivot.
        let place = self.upper.parent().unwrap_or(self.upper);
        mount::mount_by_name("overlay", "overlay", place, &options)?;
        attach(mount::clone_path(place, Depth::One)?)
    }
}

/// A long path goes by descriptor (since Linux 6.13).
fn set_path(context: &Context, key: &str, path: &Path) -> Result<()> {
    let text = utf8(path)?;
    if text.len() <= MAX_VALUE {
        return context.set(key, text);
    }
    let dir = Rooted::open(path)?;
    context.set_fd(key, dir.as_fd())
}

fn is_invalid(error: &Error) -> bool {
    error.raw_os_error() == Some(libc::EINVAL) || error.kind() == Kind::Unsupported
}

fn utf8(path: &Path) -> Result<&str> {
    path.to_str()
        .ok_or_else(|| Error::invalid(format!("{} is not UTF-8", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_kernel_file_systems_are_found() {
        let table = "22 1 0:5 / /proc rw - proc proc rw\n\
            23 1 0:6 / /sys rw shared:7 - sysfs sysfs rw\n\
            24 1 0:7 / /run rw - tmpfs proc rw\n\
            25 1 0:5 / /mnt/a\\040b rw - proc proc rw\n\
            26 1 0:9 / /c/rootfs/proc rw - proc proc rw\n\
            malformed\n";
        let found = kernel_file_systems(table, Path::new("/c/rootfs"));
        let expect = ["/mnt/a b", "/sys", "/proc"].map(PathBuf::from);
        assert_eq!(found, expect);
    }
}
