//! Mounts the root file system inside the container's own mount namespace. What is mounted in it is `mounts.rs`.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use oci_spec::runtime::Spec;

use super::launch::Rootfs;
use crate::engine::error::{Attempt, Error, Kind, Result};
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

/// Mounts it over the host's root of this namespace, from where [`mount::pivot`] takes it, and returns its root.
/// All mounts must have been made private before. `early` is what [`Connection::copy_early`] copied.
///
/// # Errors
/// What the kernel says, naming the layer or directory.
pub fn mount(rootfs: &Rootfs, early: Option<OwnedFd>) -> Result<OwnedFd> {
    if let Some(root) = early {
        return attach(root);
    }
    match rootfs {
        Rootfs::Overlay {
            lower,
            upper,
            work,
            volatile,
            readonly: _,
        } => {
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
            };
            match dirs.overlay() {
                Ok(mount) => attach(mount),
                Err(error) if is_invalid(&error) => dirs.overlay_by_option_string(),
                Err(error) => Err(error),
            }
            .attempt(|| "mount the layers")
        }
        Rootfs::Dir { path } => attach(bind(path, Propagation::Private)?),
    }
}

/// The directory that the root is, if it is one.
#[must_use]
pub fn directory(rootfs: &Rootfs) -> Option<&Path> {
    match rootfs {
        Rootfs::Overlay { .. } => None,
        Rootfs::Dir { path } => Some(path),
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

/// What an overlay is made of.
struct Dirs<'a> {
    lower: &'a [PathBuf],
    upper: &'a Path,
    work: &'a Path,
    volatile: bool,
}

impl Dirs<'_> {
    fn overlay(&self) -> Result<OwnedFd> {
        let context = Context::open("overlay")?;
        context.set("source", "overlay")?;
        for layer in self.lower {
            set_path(&context, "lowerdir+", layer)?;
        }
        set_path(&context, "upperdir", self.upper)?;
        set_path(&context, "workdir", self.work)?;
        if self.volatile {
            context.flag("volatile")?;
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
        let options = format!(
            "lowerdir={},upperdir={},workdir={}{volatile}",
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
