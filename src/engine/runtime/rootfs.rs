//! Mounts the root file system inside the container's own mount namespace. What is mounted in it is `mounts.rs`.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use super::launch::Rootfs;
use crate::engine::error::{Attempt, Error, Kind, Result};
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
            lower, upper, work, ..
        } => match lower.as_slice() {
            // An image without layers: there is nothing to overlay.
            [] => attach(bind(upper)?),
            layers => match overlay(layers, upper, work) {
                Ok(mount) => attach(mount),
                Err(error) if is_invalid(&error) => overlay_by_option_string(layers, upper, work),
                Err(error) => Err(error),
            }
            .attempt(|| "mount the layers"),
        },
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

fn overlay(layers: &[PathBuf], upper: &Path, work: &Path) -> Result<OwnedFd> {
    let context = Context::open("overlay")?;
    context.set("source", "overlay")?;
    for layer in layers {
        set_path(&context, "lowerdir+", layer)?;
    }
    set_path(&context, "upperdir", upper)?;
    set_path(&context, "workdir", work)?;
    context.mount(0)
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

/// For kernels before 6.7, whose fsconfig(2) does not know `lowerdir+`: mount(2) with one option string. It may not be
/// longer than a page, so every path goes by its short name below `/proc/self/fd`.
fn overlay_by_option_string(layers: &[PathBuf], upper: &Path, work: &Path) -> Result<OwnedFd> {
    use std::fmt::Write;
    use std::os::fd::AsRawFd;
    let open: Vec<Rooted> = layers
        .iter()
        .map(PathBuf::as_path)
        .chain([upper, work])
        .map(Rooted::open)
        .collect::<Result<_>>()?;
    let name = |dir: &Rooted| format!("/proc/self/fd/{}", dir.as_fd().as_raw_fd());
    let mut options = String::from("lowerdir=");
    let (dirs, last) = open.split_at(layers.len());
    for (n, dir) in dirs.iter().enumerate() {
        let separator = if n == 0 { "" } else { ":" };
        let _ = write!(options, "{separator}{}", name(dir));
    }
    if let [upper, work] = last {
        let _ = write!(options, ",upperdir={},workdir={}", name(upper), name(work));
    }
    // The place is of no importance: this namespace is ours alone, and the old tree goes away with the pivot.
    let place = upper.parent().unwrap_or(upper);
    mount::mount_overlay(place, &options)?;
    let mounted = mount::clone_path(place, Depth::One)?;
    attach(mounted)
}

fn is_invalid(error: &Error) -> bool {
    error.raw_os_error() == Some(libc::EINVAL) || error.kind() == Kind::Unsupported
}

fn utf8(path: &Path) -> Result<&str> {
    path.to_str()
        .ok_or_else(|| Error::invalid(format!("{} is not UTF-8", path.display())))
}
