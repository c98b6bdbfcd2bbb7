//! Files in memory, and files that cannot be written: sealed copies in memory (memfd_create(2)), and the question whether one is.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{MemfdFlags, SealFlags, StatVfsMountFlags};

use super::failed;
use crate::engine::error::{Attempt, Result};

/// A copy of a file in memory that nobody can change any more. Close-on-exec.
///
/// # Errors
/// What the system calls say.
pub fn sealed_copy(path: &Path) -> Result<OwnedFd> {
    let what = || format!("copy {} into memory", path.display());
    let fd = rustix::fs::memfd_create("wharf", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)
        .map_err(|e| failed(e, what()))?;
    let mut source = File::open(path).attempt(what)?;
    let mut copy = File::from(fd);
    io::copy(&mut source, &mut copy).attempt(what)?;
    rustix::fs::fcntl_add_seals(copy.as_fd(), seals()).map_err(|e| failed(e, what()))?;
    // A descriptor open for writing would make the copy "busy" (ETXTBSY); what is executed is opened anew.
    let reopened = File::open(format!(
        "/proc/self/fd/{}",
        std::os::fd::AsRawFd::as_raw_fd(&copy)
    ))
    .attempt(what)?;
    Ok(reopened.into())
}

/// An empty file in memory. Close-on-exec.
///
/// # Errors
/// What memfd_create(2) says.
pub fn new(name: &str) -> Result<File> {
    rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC)
        .map(File::from)
        .map_err(|e| failed(e, "make a file in memory"))
}

/// A file in memory with this content, which nobody can change any more. Close-on-exec.
///
/// # Errors
/// What memfd_create(2), write(2) and fcntl(2) say.
pub fn sealed(name: &str, content: &[u8]) -> Result<OwnedFd> {
    let what = "make a sealed file in memory";
    let fd = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)
        .map_err(|e| failed(e, what))?;
    let mut file = File::from(fd);
    file.write_all(content).attempt(|| what)?;
    rustix::fs::fcntl_add_seals(file.as_fd(), seals()).map_err(|e| failed(e, what))?;
    Ok(file.into())
}

/// What was written to a file, at most so many bytes of it; what is no UTF-8 is replaced.
///
/// # Errors
/// What lseek(2) and read(2) say.
pub fn content(mut file: File, limit: u64) -> Result<String> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0))
        .and_then(|_| file.take(limit).read_to_end(&mut bytes))
        .attempt(|| "read a file in memory")?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn seals() -> SealFlags {
    SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE
}

/// Whether a file is on a read-only mount or sealed.
///
/// # Errors
/// What open(2) and fstatvfs(3) say.
pub fn cannot_be_written(path: &Path) -> Result<bool> {
    let what = || format!("look at {}", path.display());
    let file = File::open(path).attempt(what)?;
    let mount = rustix::fs::fstatvfs(file.as_fd()).map_err(|e| failed(e, what()))?;
    if mount.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Ok(true);
    }
    Ok(rustix::fs::fcntl_get_seals(file.as_fd()).is_ok_and(|set| set.contains(seals())))
}
