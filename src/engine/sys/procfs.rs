//! Writes below a procfs that is known to be one: its own mount's descriptor, nothing mounted over it, no links.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags};

use super::failed;
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

/// Sets `oom_score_adj` of the calling process through the `/proc` that it sees, if that is a procfs. One that has the
/// value already is left alone.
///
/// # Errors
/// What the kernel says.
pub fn write_oom_score(score: i32) -> Result<()> {
    let proc = super::rooted::Rooted::open(Path::new("/proc"))?;
    let text = score.to_string();
    let own = format!("{}/oom_score_adj", std::process::id());
    let now = super::rooted::Rooted::read(&proc, Path::new(&own), 64)?;
    if now.is_some_and(|now| String::from_utf8_lossy(&now).trim() == text) {
        return Ok(());
    }
    write(proc.as_fd(), &own, &text)
}
