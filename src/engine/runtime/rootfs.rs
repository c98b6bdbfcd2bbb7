//! Mounts the root file system inside the container's own mount namespace. What is mounted in it is `mounts.rs`.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use super::launch::Rootfs;
use crate::engine::error::{Attempt, Error, Kind, Result};
use crate::engine::sys::file;
use crate::engine::sys::mount::{self, Context, Depth, Propagation};
use crate::engine::sys::rooted::Rooted;

/// The kernel takes no longer value in one fsconfig(2) call.
const MAX_VALUE: usize = 255;

/// Mounts it over the host's root of this namespace, from where [`mount::pivot`] takes it, and returns its root.
/// All mounts must have been made private before.
///
/// # Errors
/// What the kernel says, naming the layer or directory.
pub fn mount(rootfs: &Rootfs) -> Result<OwnedFd> {
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
                return attach(bind(upper)?);
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
        Rootfs::Dir { path } => attach(bind(path)?),
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

fn bind(path: &Path) -> Result<OwnedFd> {
    let root = mount::clone_path(path, Depth::Recursive)?;
    let private = Some(Propagation::Private);
    mount::set_attributes(root.as_fd(), Depth::Recursive, 0, 0, private, "/")?;
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
        mount::mount_overlay(place, &options)?;
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
