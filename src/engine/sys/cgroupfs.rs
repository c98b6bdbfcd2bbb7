//! Control files of cgroups: read, write, watch. Which file means what is for `runtime::cgroup`.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::failed;
use crate::engine::error::{Attempt, Error, Kind, Result};

/// Writes one value in one write(2): control files take a whole value per call.
///
/// # Errors
/// What the kernel says of the value.
pub fn write(directory: &Path, name: &str, value: &str) -> Result<()> {
    let path = directory.join(name);
    OpenOptions::new()
        .write(true)
        .open(&path)
        .and_then(|mut file| file.write_all(value.as_bytes()))
        .attempt(|| format!("write {value:?} to {}", path.display()))
}

/// Changes the owner of a group's directory or file; one that is not there stays so.
///
/// # Errors
/// What chown(2) says.
pub fn give(path: &Path, uid: u32) -> Result<()> {
    match std::os::unix::fs::chown(path, Some(uid), None) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.attempt(|| format!("give {} to user {uid}", path.display())),
    }
}

/// The content, or `None` if the file or the group is not there.
///
/// # Errors
/// Anything else.
pub fn read(directory: &Path, name: &str) -> Result<Option<String>> {
    let path = directory.join(name);
    let mut text = String::new();
    match File::open(&path).and_then(|mut file| file.read_to_string(&mut text)) {
        Ok(_) => Ok(Some(text)),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(error).attempt(|| format!("read {}", path.display())),
    }
}

/// Makes a group: `true` if it is new, `false` if it was there.
///
/// # Errors
/// What mkdir(2) says; `NotFound` if the parent group is missing.
pub fn make(directory: &Path) -> Result<bool> {
    match std::fs::create_dir(directory) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error).attempt(|| format!("create cgroup {}", directory.display())),
    }
}

/// The groups right below one; none if it is gone. Costs one stat(2) if there are none: a cgroup file system counts them
/// as links.
///
/// # Errors
/// What reading the directory says.
pub fn children(directory: &Path) -> Result<Vec<PathBuf>> {
    let what = || format!("list the groups in {}", directory.display());
    match std::fs::symlink_metadata(directory) {
        Ok(of) if of.nlink() == 2 => return Ok(Vec::new()),
        Ok(_) => {}
        Err(error) if is_gone(&error) => return Ok(Vec::new()),
        Err(error) => return Err(error).attempt(what),
    }
    let mut groups = Vec::new();
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if is_gone(&error) => return Ok(groups),
        Err(error) => return Err(error).attempt(what),
    };
    for entry in entries {
        let entry = entry.attempt(what)?;
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            groups.push(entry.path());
        }
    }
    Ok(groups)
}

/// Removes a group; `false` if it still has tasks or children. One that is not there is fine.
///
/// # Errors
/// What rmdir(2) says otherwise.
pub fn remove(directory: &Path) -> Result<bool> {
    match rustix::fs::rmdir(directory) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(true),
        Err(rustix::io::Errno::BUSY | rustix::io::Errno::NOTEMPTY) => Ok(false),
        Err(errno) => Err(failed(
            errno,
            format!("remove cgroup {}", directory.display()),
        )),
    }
}

/// A control file kept open, to be read again and again.
#[derive(Debug)]
pub struct Control {
    file: File,
}

impl Control {
    /// Opens one; `None` if this host has no such file.
    ///
    /// # Errors
    /// What open(2) says otherwise.
    pub fn open(directory: &Path, name: &str) -> Result<Option<Self>> {
        let path = directory.join(name);
        match File::open(&path) {
            Ok(file) => Ok(Some(Self { file })),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(error).attempt(|| format!("open {}", path.display())),
        }
    }

    /// Its content now, in `buffer`, which is grown as needed.
    ///
    /// # Errors
    /// [`Kind::NotFound`] if the group is gone.
    pub fn read<'a>(&self, buffer: &'a mut Vec<u8>) -> Result<&'a str> {
        if buffer.len() < 4096 {
            buffer.resize(4096, 0);
        }
        let mut filled = 0;
        loop {
            let rest = buffer.get_mut(filled..).unwrap_or_default();
            let count = match self.file.read_at(rest, filled as u64) {
                Ok(count) => count,
                Err(error) if is_gone(&error) => {
                    return Err(Error::new(Kind::NotFound, "the cgroup is gone"));
                }
                Err(error) => return Err(error).attempt(|| "read a control file"),
            };
            filled += count;
            if count == 0 || filled < buffer.len() {
                let text = buffer.get(..filled).unwrap_or_default();
                return Ok(std::str::from_utf8(text).unwrap_or(""));
            }
            buffer.resize(buffer.len() * 2, 0);
        }
    }
}

/// A descriptor that becomes readable on memory exhaustion of a v1 group (cgroup-v1/memory.rst, "OOM Control").
///
/// # Errors
/// What eventfd(2) and the control files say.
pub fn v1_oom_notice(directory: &Path) -> Result<OwnedFd> {
    let what = || format!("watch memory of {}", directory.display());
    let notice = rustix::event::eventfd(
        0,
        rustix::event::EventfdFlags::CLOEXEC | rustix::event::EventfdFlags::NONBLOCK,
    )
    .map_err(|errno| failed(errno, what()))?;
    let control = File::open(directory.join("memory.oom_control")).attempt(what)?;
    let line = format!("{} {}", notice.as_raw_fd(), control.as_raw_fd());
    write(directory, "cgroup.event_control", &line).attempt(what)?;
    Ok(notice)
}

/// Reads notices away, so that their descriptor is not readable until the next one; whether there were any.
///
/// # Errors
/// What read(2) says.
pub fn drain(notice: &OwnedFd) -> Result<bool> {
    let mut buffer = [0u8; 4096];
    let mut any = false;
    loop {
        match rustix::io::read(notice, &mut buffer) {
            Ok(n) if n == buffer.len() => any = true,
            Ok(_) => return Ok(true),
            Err(rustix::io::Errno::AGAIN) => return Ok(any),
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(failed(errno, "read an OOM notice")),
        }
    }
}

/// A descriptor that becomes readable when one of these files of a v2 group reports an event (cgroup-v2.rst,
/// "memory.events", "cgroup.events").
///
/// # Errors
/// What inotify(7) says.
pub fn v2_notice(directory: &Path, names: &[&str]) -> Result<OwnedFd> {
    use rustix::fs::inotify;
    let what = || format!("watch {}", directory.display());
    let watch = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)
        .map_err(|errno| failed(errno, what()))?;
    for name in names {
        inotify::add_watch(&watch, directory.join(name), inotify::WatchFlags::MODIFY)
            .map_err(|errno| failed(errno, what()))?;
    }
    Ok(watch)
}

/// Waits a little for something that the kernel does not announce.
pub fn pause(time: Duration) {
    let timeout = rustix::event::Timespec {
        tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(time.subsec_nanos()),
    };
    // Interrupted early is fine: the caller looks again.
    let _ = rustix::event::poll(&mut [], Some(&timeout));
}

/// A group that was removed: the path is not there, or an open file says "no such device".
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || error.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error())
}
