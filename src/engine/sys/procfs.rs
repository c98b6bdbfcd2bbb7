//! Writes below a procfs that is known to be one: its own mount's descriptor, nothing mounted over it, no links.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags};

use super::failed;
use super::mount::{self, Context};
use super::rooted::Rooted;
use crate::engine::error::{Attempt, Error, Kind, Result};

/// `PROC_SUPER_MAGIC`.
const MAGIC: i64 = 0x9fa0;

/// Writes a value to a file below the root of a procfs mount.
///
/// # Errors
/// [`Kind::Denied`] if the descriptor is not of a procfs; `EXDEV` if something is mounted on the way.
pub fn write(proc: BorrowedFd<'_>, path: &str, value: &str) -> Result<()> {
    let what = || format!("write /proc/{path}");
    let kind = rustix::fs::fstatfs(proc).map_err(|e| failed(e, "look at /proc"))?;
    if i128::from(kind.f_type) != i128::from(MAGIC) {
        return Err(Error::new(Kind::Denied, "/proc is not a procfs"));
    }
    let fd = rustix::fs::openat2(
        proc,
        path,
        OFlags::WRONLY | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::BENEATH
            | ResolveFlags::NO_SYMLINKS
            | ResolveFlags::NO_MAGICLINKS
            | ResolveFlags::NO_XDEV,
    )
    .map_err(|e| failed(e, what()))?;
    File::from(fd).write_all(value.as_bytes()).attempt(what)
}

/// Writes a value to a file of the calling process's own directory.
///
/// # Errors
/// As [`write()`]; `ENOENT` if that procfs does not show this process.
pub fn write_own(proc: BorrowedFd<'_>, file: &str, value: &str) -> Result<()> {
    write(proc, &format!("{}/{file}", own_id(proc)?), value)
}

/// Writes a value to a file of a process's directory below `/proc`, in one piece.
///
/// # Errors
/// As [`write()`]; `ENOENT` if there is no such process.
pub fn write_of(pid: i32, file: &str, value: &str) -> Result<()> {
    let proc = Rooted::open(Path::new("/proc"))?;
    write(proc.as_fd(), &format!("{pid}/{file}"), value)
}

/// The id that a process has in the pid namespace of `/proc`.
///
/// # Errors
/// [`Kind::NotFound`] if it is collected already, or not visible there.
pub fn pid_of(pidfd: BorrowedFd<'_>) -> Result<i32> {
    let proc = Rooted::open(Path::new("/proc"))?;
    let path = format!("{}/fdinfo/{}", own_id(proc.as_fd())?, pidfd.as_raw_fd());
    let text = proc.read(Path::new(&path), 4096)?.unwrap_or_default();
    parse_pid(&String::from_utf8_lossy(&text))
        .ok_or_else(|| Error::new(Kind::NotFound, "the process is gone"))
}

/// The line `Pid:` (pidfd_open(2)); 0 or -1 stand for none.
fn parse_pid(fdinfo: &str) -> Option<i32> {
    let line = fdinfo.lines().find_map(|line| line.strip_prefix("Pid:"))?;
    line.trim().parse().ok().filter(|pid| *pid > 0)
}

/// A procfs of this process's pid namespace that is mounted nowhere, so that nobody can mount anything on it. It has the
/// directories of processes and nothing else.
///
/// # Errors
/// What the system calls say.
pub fn private() -> Result<OwnedFd> {
    let context = Context::open("proc")?;
    context.set("subset", "pid")?;
    context.mount(mount::NOSUID | mount::NODEV | mount::NOEXEC)
}

/// The same with everything that a procfs has.
///
/// # Errors
/// What the system calls say; `EPERM` in a user namespace that sees no complete procfs.
pub fn private_complete() -> Result<OwnedFd> {
    Context::open("proc")?.mount(mount::NOSUID | mount::NODEV | mount::NOEXEC)
}

/// Sets `oom_score_adj` of the calling process, below the `/proc` that it sees. One that has the value already is left
/// alone: lowering needs a right that the engine may lack.
///
/// # Errors
/// What the kernel says.
pub fn write_own_oom_score(score: i32) -> Result<()> {
    let proc = Rooted::open(Path::new("/proc"))?;
    let own = own_id(proc.as_fd())?;
    set_oom_score(&proc, i64::from(own), score)
}

/// The same for another process.
///
/// # Errors
/// What the kernel says.
pub fn write_oom_score_of(pid: i32, score: i32) -> Result<()> {
    set_oom_score(&Rooted::open(Path::new("/proc"))?, i64::from(pid), score)
}

fn set_oom_score(proc: &Rooted, pid: i64, score: i32) -> Result<()> {
    let text = score.to_string();
    let path = format!("{pid}/oom_score_adj");
    let now = proc.read(Path::new(&path), 64)?;
    if now.is_some_and(|now| String::from_utf8_lossy(&now).trim() == text) {
        return Ok(());
    }
    write(proc.as_fd(), &path, &text)
}

/// The id that a procfs knows this process by: its pid namespace may be another one than ours.
fn own_id(proc: BorrowedFd<'_>) -> Result<u32> {
    let target =
        rustix::fs::readlinkat(proc, "self", Vec::new()).map_err(|e| failed(e, "/proc/self"))?;
    // Only digits become part of a path.
    target
        .to_str()
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| Error::new(Kind::Denied, "/proc/self does not lead to a process"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_procfs_is_written_to() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("1")).unwrap();
        std::fs::write(dir.path().join("1/comm"), "").unwrap();
        std::os::unix::fs::symlink("1", dir.path().join("self")).unwrap();
        let fake = Rooted::open(dir.path()).unwrap();
        let error = write_own(fake.as_fd(), "comm", "x").unwrap_err();
        assert_eq!(error.kind(), Kind::Denied);
        assert_eq!(std::fs::read(dir.path().join("1/comm")).unwrap(), b"");
    }

    #[test]
    fn a_descriptor_knows_its_process() {
        let own = std::process::id().cast_signed();
        let pidfd = crate::engine::sys::process::open_pidfd(own).unwrap();
        assert_eq!(pid_of(pidfd.as_fd()).unwrap(), own);
        assert_eq!(parse_pid("pos:\t0\nPid:\t-1\nNSpid:\t7\n"), None);
        assert_eq!(parse_pid(""), None);
    }

    #[test]
    fn own_files_are_written_whatever_self_is_called() {
        let proc = Rooted::open(Path::new("/proc")).unwrap();
        write_own(proc.as_fd(), "comm", "wharf-test").unwrap();
        let comm = std::fs::read_to_string("/proc/self/comm").unwrap();
        assert_eq!(comm, "wharf-test\n");
        // A link in the path is refused, also one of the kernel's.
        assert!(write(proc.as_fd(), "self/comm", "x").is_err());
    }
}
