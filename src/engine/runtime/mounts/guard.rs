//! What may be mounted on `/proc`: the engine and programs in the container take it for what the kernel says
//! (CVE-2019-16884, CVE-2019-19921).

use std::os::fd::BorrowedFd;
use std::path::{Component, Path, PathBuf};

use crate::engine::error::{Error, Result};
use crate::engine::sys::mount;
use crate::engine::sys::rooted;

/// Files that lxcfs shows its own versions of, the same list as runc's.
const REPLACEABLE: &[&str] = &[
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
    "/proc/loadavg",
    "/proc/slabinfo",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/sys/crypto/fips_enabled",
];

/// The root directory of every procfs, and nothing else in it, has this inode number (linux/proc_ns.h, PROC_ROOT_INO).
const PROC_ROOT: u64 = 1;

/// Device and inode number.
pub(super) type Identity = (u64, u64);

/// Checks a mount point below the root, given by what it is and by its name. The root itself is none: what is mounted on
/// it would not be seen. `is_proc` tells whether a procfs is mounted there, and is
/// what is returned where that counts; `false` elsewhere.
///
/// # Errors
/// Invalid input if it is the root, or if anything else is mounted on `/proc` or in it.
pub(super) fn check(
    root: Identity,
    point: BorrowedFd<'_>,
    target: &Path,
    is_proc: impl FnOnce() -> Result<bool>,
) -> Result<bool> {
    let name = clean(target);
    let inside = mount::is_procfs(point)?;
    let identity = rooted::identity(point)?;
    let is_top = name == Path::new("/proc") || inside && identity.1 == PROC_ROOT;
    let refuse = |why: &str| {
        Err(Error::invalid(format!(
            "{} cannot be mounted because it is {why}",
            target.display()
        )))
    };
    if name == Path::new("/") || identity == root {
        return refuse("the root");
    }
    if is_top {
        return if is_proc()? {
            Ok(true)
        } else {
            refuse("/proc, and not of type proc")
        };
    }
    let replaceable = REPLACEABLE.iter().any(|known| name == Path::new(known));
    if inside && !replaceable {
        return refuse("inside /proc");
    }
    Ok(false)
}

/// A target as an absolute path without `.`, `..` and double slashes, by its text alone.
pub(super) fn clean(target: &Path) -> PathBuf {
    let mut result = PathBuf::from("/");
    for part in target.components() {
        match part {
            Component::Normal(name) => result.push(name),
            Component::ParentDir => {
                result.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn a_target_is_cleaned_by_its_text() {
        for (target, expect) in [
            ("/proc", "/proc"),
            ("proc//", "/proc"),
            ("/a/./../proc/", "/proc"),
            ("../../x", "/x"),
            ("", "/"),
        ] {
            assert_eq!(clean(Path::new(target)), Path::new(expect), "{target}");
        }
    }

    #[test]
    fn cve_2019_16884_nothing_but_a_procfs_is_mounted_on_proc() {
        let (proc, file) = (open("/proc"), open("/proc/version"));
        let (cpus, elsewhere) = (open("/proc/cpuinfo"), open("/tmp"));
        let root = rooted::identity(open("/usr").as_fd()).unwrap();
        let check = |point: &std::fs::File, target: &str, is_proc| {
            check(root, point.as_fd(), Path::new(target), || Ok(is_proc))
        };
        assert!(check(&elsewhere, "/x/../proc", false).is_err());
        assert!(check(&elsewhere, "proc", true).unwrap());
        // A link of the image may lead there under any name.
        assert!(check(&proc, "/volume", false).is_err());
        assert!(check(&file, "/volume", false).is_err());
        assert!(check(&file, "/proc/version", false).is_err());
        assert!(!check(&cpus, "/proc/cpuinfo", false).unwrap());
        assert!(!check(&elsewhere, "/volume", false).unwrap());
        assert!(check(&elsewhere, "/x/..", false).is_err());
        assert!(check(&open("/usr"), "/volume", false).is_err());
    }

    fn open(path: &str) -> std::fs::File {
        use std::os::unix::fs::OpenOptionsExt;
        let mut options = std::fs::OpenOptions::new();
        let options = options.read(true).custom_flags(libc::O_PATH);
        options.open(path).unwrap()
    }
}
