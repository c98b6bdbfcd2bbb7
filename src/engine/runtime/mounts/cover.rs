//! Paths that the container may not write, or not see.

use std::collections::HashSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use super::guard;
use crate::engine::error::Result;
use crate::engine::sys::mount::{self, Context, Depth};
use crate::engine::sys::rooted::{self, Rooted};

/// Makes what a path leads to read-only; a path that is not there is left alone.
///
/// # Errors
/// Path and what the kernel says.
pub fn make_readonly(root: &Rooted, path: &Path) -> Result<()> {
    let Some(place) = root.resolve_optional(path)? else {
        return Ok(());
    };
    let copy = mount::clone_fd(place.as_fd(), Depth::Recursive, path.display())?;
    mount::set_attributes(
        copy.as_fd(),
        Depth::Recursive,
        mount::RDONLY,
        0,
        None,
        path.display(),
    )?;
    mount::attach(copy.as_fd(), place.as_fd(), path.display())
}

/// Covers paths: a directory with an empty read-only one, anything else with the null device.
#[derive(Debug)]
pub struct Mask<'a> {
    null: BorrowedFd<'a>,
    empty: Option<OwnedFd>,
    covered: HashSet<PathBuf>,
    context: Option<&'a str>,
}

impl<'a> Mask<'a> {
    /// `null` must be the null device (`devices::null_device`); directories get the SELinux context.
    #[must_use]
    pub fn new(null: BorrowedFd<'a>, context: Option<&'a str>) -> Self {
        Self {
            null,
            empty: None,
            covered: HashSet::new(),
            context,
        }
    }

    /// Covers one path; one that is not there is left alone, and one that was covered before stays as it is.
    ///
    /// # Errors
    /// Path and what the kernel says.
    pub fn cover(&mut self, root: &Rooted, path: &Path) -> Result<()> {
        if !self.covered.insert(guard::clean(path)) {
            return Ok(());
        }
        let Some(place) = root.resolve_optional(path)? else {
            return Ok(());
        };
        if !rooted::is_dir(place.as_fd(), path)? {
            let copy = mount::clone_fd(self.null, Depth::One, path.display())?;
            return mount::attach(copy.as_fd(), place.as_fd(), path.display());
        }
        // Once one is mounted here, copies of it are cheaper than new file systems.
        let cover = match &self.empty {
            Some(first) => mount::clone_fd(first.as_fd(), Depth::One, path.display())?,
            None => empty_dir(self.context)?,
        };
        mount::attach(cover.as_fd(), place.as_fd(), path.display())?;
        if self.empty.is_none() {
            self.empty = Some(cover);
        }
        Ok(())
    }
}

/// A detached mount of an empty read-only directory, which has a SELinux context if one is given.
///
/// # Errors
/// What the kernel says.
pub(super) fn empty_dir(label: Option<&str>) -> Result<OwnedFd> {
    let context = Context::open("tmpfs")?;
    context.set("source", "tmpfs")?;
    context.set("nr_blocks", "1")?;
    context.set("nr_inodes", "1")?;
    if let Some(label) = label {
        context.set("context", label)?;
    }
    context.mount(mount::RDONLY | mount::NOSUID | mount::NODEV | mount::NOEXEC)
}
