//! SELinux as the kernel shows it: whether it is at work, whether its policy knows a context, and the context of a file.
//! Contexts of processes are written by `procfs.rs`.

use std::ffi::OsStr;
use std::fmt::Display;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{Mode, OFlags, XattrFlags};
use rustix::io::Errno;

use super::failed;
use crate::engine::error::Result;

const ROOT: &str = "/sys/fs/selinux";
const CONTEXT: &str = "/sys/fs/selinux/context";

/// Where a file's context is (`XATTR_NAME_SELINUX`, linux/xattr.h).
pub const ATTRIBUTE: &str = "security.selinux";

/// A context is a page at most (`SIMPLE_TRANSACTION_LIMIT`, linux/fs.h); what is longer is none that would be wanted.
const MAX_CONTEXT: usize = 4096;

/// Whether SELinux is at work and may be asked: its file system is mounted, not only for reading as in a container, and a
/// policy is loaded. Before that every process is called `kernel`.
#[must_use]
pub fn is_on() -> bool {
    /// `SELINUX_MAGIC` (linux/magic.h).
    const MAGIC: i128 = 0xf97c_ff8c;
    let is_mounted = rustix::fs::statvfs(ROOT)
        .is_ok_and(|fs| !fs.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY))
        && rustix::fs::statfs(ROOT).is_ok_and(|fs| i128::from(fs.f_type) == MAGIC);
    is_mounted && own_context().is_some_and(|context| context != "kernel")
}

/// The calling process's context.
#[must_use]
pub fn own_context() -> Option<String> {
    let bytes = std::fs::read("/proc/self/attr/current").ok()?;
    Some(text(&bytes))
}

/// Whether the loaded policy knows a context (selinuxfs, `context`).
///
/// # Errors
/// What open(2) says, and what write(2) says other than that it is none.
pub fn knows(context: &str) -> Result<bool> {
    let what = || format!("ask SELinux for the context {context:?}");
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let file =
        rustix::fs::open(CONTEXT, flags, Mode::empty()).map_err(|errno| failed(errno, what()))?;
    match rustix::io::write(&file, context.as_bytes()) {
        Ok(_) => Ok(true),
        Err(Errno::INVAL) => Ok(false),
        Err(errno) => Err(failed(errno, what())),
    }
}

/// The context of what a directory has under a name; a link's own. `None` if it is gone, or its file system has none.
///
/// # Errors
/// What lgetxattr(2) says otherwise.
pub fn of_entry(dir: BorrowedFd<'_>, name: &[u8]) -> Result<Option<String>> {
    let path = path_of(dir, name);
    let mut buffer = [0; MAX_CONTEXT];
    let length = rustix::fs::lgetxattr(OsStr::from_bytes(&path), ATTRIBUTE, &mut buffer);
    found(length, &buffer, || shown("read", name))
}

/// Gives a context to what a directory has under a name; a link gets it itself. `false` if it is gone, or if its file
/// system has none.
///
/// # Errors
/// What lsetxattr(2) says otherwise: `EINVAL` for a context that the policy does not know.
pub fn set_entry(dir: BorrowedFd<'_>, name: &[u8], context: &str) -> Result<bool> {
    let path = path_of(dir, name);
    let (path, value) = (OsStr::from_bytes(&path), context.as_bytes());
    let set = rustix::fs::lsetxattr(path, ATTRIBUTE, value, XattrFlags::empty());
    done(set, || shown("set", name))
}

/// The context of what a descriptor refers to (`O_PATH` is enough); as [`of_entry`].
///
/// # Errors
/// What getxattr(2) says otherwise.
pub fn of_fd(fd: BorrowedFd<'_>, what: impl Display) -> Result<Option<String>> {
    let mut buffer = [0; MAX_CONTEXT];
    let length = rustix::fs::getxattr(descriptor(fd), ATTRIBUTE, &mut buffer);
    found(length, &buffer, || format!("read the context of {what}"))
}

/// Gives a context to what a descriptor refers to (`O_PATH` is enough); as [`set_entry`].
///
/// # Errors
/// What setxattr(2) says otherwise.
pub fn set_fd(fd: BorrowedFd<'_>, context: &str, what: impl Display) -> Result<bool> {
    let value = context.as_bytes();
    let set = rustix::fs::setxattr(descriptor(fd), ATTRIBUTE, value, XattrFlags::empty());
    done(set, || format!("set the context of {what}"))
}

fn found(
    length: Result<usize, Errno>,
    buffer: &[u8],
    what: impl FnOnce() -> String,
) -> Result<Option<String>> {
    match length {
        Ok(length) => Ok(buffer.get(..length).map(text)),
        Err(Errno::NOENT | Errno::NODATA | Errno::NOTSUP) => Ok(None),
        Err(errno) => Err(failed(errno, what())),
    }
}

fn done(set: Result<(), Errno>, what: impl FnOnce() -> String) -> Result<bool> {
    match set {
        Ok(()) => Ok(true),
        Err(Errno::NOENT | Errno::NOTSUP) => Ok(false),
        Err(errno) => Err(failed(errno, what())),
    }
}

fn descriptor(fd: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// A name in an open directory as a path. The name must be one component.
fn path_of(dir: BorrowedFd<'_>, name: &[u8]) -> Vec<u8> {
    let mut path = descriptor(dir).into_bytes();
    path.push(b'/');
    path.extend_from_slice(name);
    path
}

fn shown(verb: &str, name: &[u8]) -> String {
    format!("{verb} the context of {}", String::from_utf8_lossy(name))
}

/// The kernel ends it with a NUL; some programs do not.
fn text(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.trim_end_matches(['\0', '\n']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_ends_with_or_without_a_nul() {
        assert_eq!(text(b"a:b:c\0"), "a:b:c");
        assert_eq!(text(b"a:b:c"), "a:b:c");
        assert_eq!(text(b"kernel\n"), "kernel");
    }

    #[test]
    fn a_kernel_without_selinux_says_so() {
        if !std::path::Path::new(ROOT).exists() {
            assert!(!is_on());
            assert!(knows("a:b:c").is_err());
        }
    }
}
