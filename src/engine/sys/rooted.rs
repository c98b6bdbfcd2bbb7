//! A directory tree whose content is not trusted: every path is resolved inside it by openat2(2), so that no symbolic
//! link and no `..` leads out, whatever is changed meanwhile.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::failed;
use crate::engine::error::{Error, Result};

/// The root of such a tree.
#[derive(Debug)]
pub struct Rooted {
    fd: OwnedFd,
}

impl Rooted {
    /// Opens a trusted path.
    ///
    /// # Errors
    /// What open(2) says.
    pub fn open(path: &Path) -> Result<Self> {
        let fd = rustix::fs::openat(
            CWD,
            path,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .map_err(|e| failed(e, format_args!("open root {}", path.display())))?;
        Ok(Self { fd })
    }

    /// Takes a directory that is open already.
    #[must_use]
    pub fn from_fd(fd: OwnedFd) -> Self {
        Self { fd }
    }

    /// Resolves a path to an `O_PATH` descriptor. Symbolic links are followed, with absolute ones starting at this root.
    ///
    /// # Errors
    /// What openat2(2) says.
    pub fn resolve(&self, path: &Path) -> Result<OwnedFd> {
        self.find(path, OFlags::PATH | OFlags::CLOEXEC, ResolveFlags::empty())
            .map_err(|e| failed(e, path.display()))
    }

    /// The same, but a symbolic link anywhere in the path is an error (`ELOOP`).
    ///
    /// # Errors
    /// What openat2(2) says.
    pub fn resolve_plain(&self, path: &Path) -> Result<OwnedFd> {
        // Without O_NOFOLLOW: with it a link at the end would be opened itself (openat2(2), RESOLVE_NO_SYMLINKS).
        self.find(
            path,
            OFlags::PATH | OFlags::CLOEXEC,
            ResolveFlags::NO_SYMLINKS,
        )
        .map_err(|e| failed(e, path.display()))
    }

    /// The same as [`Self::resolve`], but if the last part is a link, the link itself.
    ///
    /// # Errors
    /// What openat2(2) says.
    pub fn resolve_itself(&self, path: &Path) -> Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        self.find(path, flags, ResolveFlags::empty())
            .map_err(|e| failed(e, path.display()))
    }

    /// Opens a file for reading, without waiting. What it is must be checked afterwards.
    ///
    /// # Errors
    /// What openat2(2) says.
    pub fn open_at_once(&self, path: &Path) -> Result<OwnedFd> {
        self.find(
            path,
            OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC,
            ResolveFlags::empty(),
        )
        .map_err(|e| failed(e, format_args!("open {}", path.display())))
    }

    /// The same as [`Self::resolve`]; `None` if there is nothing.
    ///
    /// # Errors
    /// What openat2(2) says otherwise.
    pub fn resolve_optional(&self, path: &Path) -> Result<Option<OwnedFd>> {
        match self.find(path, OFlags::PATH | OFlags::CLOEXEC, ResolveFlags::empty()) {
            Ok(fd) => Ok(Some(fd)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(e) => Err(failed(e, path.display())),
        }
    }

    /// Reads a regular file of at most `limit` bytes; `None` if there is none.
    ///
    /// # Errors
    /// Invalid input if it is anything but a regular file (a FIFO would block, a device might act) or too long.
    pub fn read(&self, path: &Path, limit: u64) -> Result<Option<Vec<u8>>> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        // Looked at by O_PATH first: opening a device node can have effects of its own.
        let Some(seen) = self.resolve_optional(path)? else {
            return Ok(None);
        };
        if file_type(seen.as_fd(), path)? != FileType::RegularFile {
            return Err(Error::invalid(format!(
                "{} is not a regular file",
                path.display()
            )));
        }
        let fd = self
            .find(path, flags, ResolveFlags::empty())
            .map_err(|e| failed(e, format_args!("open {}", path.display())))?;
        if file_type(fd.as_fd(), path)? != FileType::RegularFile {
            return Err(Error::invalid(format!(
                "{} is not a regular file",
                path.display()
            )));
        }
        let mut content = Vec::new();
        File::from(fd)
            .take(limit.saturating_add(1))
            .read_to_end(&mut content)
            .map_err(|e| Error::io(format!("read {}", path.display()), e))?;
        if u64::try_from(content.len()).is_ok_and(|n| n > limit) {
            return Err(Error::invalid(format!(
                "{} is longer than {limit} bytes",
                path.display()
            )));
        }
        Ok(Some(content))
    }

    /// Resolves a directory, making what is missing with mode 0755 (owner: the caller). A link that leads nowhere leads
    /// to the directory that is made for it, inside.
    ///
    /// # Errors
    /// `ENOTDIR` if something in the way is not a directory, and what mkdirat(2) says.
    pub fn make_dirs(&self, path: &Path) -> Result<OwnedFd> {
        self.walk(path, Last::Directory)
            .map_err(|e| failed(e, format_args!("make directory {}", path.display())))
    }

    /// Resolves a file, making an empty one (mode 0644) and the directories above it where nothing is.
    ///
    /// # Errors
    /// What the system calls say.
    pub fn make_file(&self, path: &Path) -> Result<OwnedFd> {
        self.walk(path, Last::Any)
            .map_err(|e| failed(e, format_args!("make file {}", path.display())))
    }

    /// Goes down step by step, each from a directory that is held open, making what is missing. Links are read and
    /// followed here, `..` goes back to the directory that was held before, and never above the root.
    fn walk(&self, path: &Path, last: Last) -> rustix::io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open =
            |dir: BorrowedFd<'_>, name: &OsStr| rustix::fs::openat(dir, name, flags, Mode::empty());
        let mut held: Vec<OwnedFd> = Vec::new();
        let mut todo = steps(path);
        let mut links = 0;
        while let Some(step) = todo.pop() {
            let name = match step {
                Step::Root => {
                    held.clear();
                    continue;
                }
                Step::Up => {
                    held.pop();
                    continue;
                }
                Step::Down(name) => name,
            };
            let dir = held.last().map_or(self.fd.as_fd(), AsFd::as_fd);
            let is_last = !todo.iter().any(|step| matches!(step, Step::Down(_)));
            let found = match open(dir, &name) {
                Err(Errno::NOENT) => {
                    let made = if is_last && last == Last::Any {
                        let kind = FileType::RegularFile;
                        rustix::fs::mknodat(dir, &name, kind, Mode::from_raw_mode(0o644), 0)
                    } else {
                        rustix::fs::mkdirat(dir, &name, Mode::from_raw_mode(0o755))
                    };
                    match made {
                        // EXIST: somebody was faster; what it is now is looked at like anything else.
                        Ok(()) | Err(Errno::EXIST) => open(dir, &name)?,
                        Err(e) => return Err(e),
                    }
                }
                other => other?,
            };
            let kind = FileType::from_raw_mode(rustix::fs::fstat(&found)?.st_mode);
            match kind {
                FileType::Symlink => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(Errno::LOOP);
                    }
                    let to = rustix::fs::readlinkat(&found, "", Vec::new())?;
                    let to = Path::new(OsStr::from_bytes(to.as_bytes()));
                    todo.extend(steps(to));
                }
                FileType::Directory => held.push(found),
                _ if is_last && last == Last::Any => return Ok(found),
                _ => return Err(Errno::NOTDIR),
            }
        }
        match held.pop() {
            Some(fd) => Ok(fd),
            None => open(self.fd.as_fd(), OsStr::new(".")),
        }
    }

    fn find(
        &self,
        path: &Path,
        flags: OFlags,
        resolve: ResolveFlags,
    ) -> rustix::io::Result<OwnedFd> {
        let path = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        let resolve = resolve | ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let mut tries = 0;
        loop {
            match rustix::fs::openat2(self.fd.as_fd(), path, flags, Mode::empty(), resolve) {
                // A rename or mount elsewhere made the kernel unsure about a `..` (openat2(2), ERRORS).
                Err(Errno::AGAIN) if tries < 128 => tries += 1,
                Err(Errno::INTR) => {}
                other => return other,
            }
        }
    }
}

impl AsFd for Rooted {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Whether a descriptor refers to a directory.
///
/// # Errors
/// What fstat(2) says.
pub fn is_dir(fd: BorrowedFd<'_>, path: &Path) -> Result<bool> {
    Ok(file_type(fd, path)? == FileType::Directory)
}

/// Permission bits of what a descriptor refers to, with setuid, setgid and sticky.
///
/// # Errors
/// What fstat(2) says.
pub fn mode(fd: BorrowedFd<'_>, path: &Path) -> Result<u32> {
    rustix::fs::fstat(fd)
        .map(|stat| Mode::from_raw_mode(stat.st_mode).bits())
        .map_err(|e| failed(e, format_args!("stat {}", path.display())))
}

/// Device and inode number of what a descriptor refers to.
///
/// # Errors
/// What fstat(2) says.
pub fn identity(fd: BorrowedFd<'_>) -> Result<(u64, u64)> {
    rustix::fs::fstat(fd)
        .map(|stat| (stat.st_dev, stat.st_ino))
        .map_err(|e| failed(e, "stat a mount point"))
}

fn file_type(fd: BorrowedFd<'_>, path: &Path) -> Result<FileType> {
    rustix::fs::fstat(fd)
        .map(|stat| FileType::from_raw_mode(stat.st_mode))
        .map_err(|e| failed(e, format_args!("stat {}", path.display())))
}

/// As many links as the kernel follows in one path (path_resolution(7)).
const MAX_LINKS: usize = 40;

/// What the last part of a path is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    Directory,
    Any,
}

/// One step of a path.
enum Step {
    Root,
    Up,
    Down(OsString),
}

/// The steps of a path, last one first.
fn steps(path: &Path) -> Vec<Step> {
    let mut steps: Vec<Step> = path
        .components()
        .filter_map(|part| match part {
            Component::RootDir => Some(Step::Root),
            Component::ParentDir => Some(Step::Up),
            Component::Normal(name) => Some(Step::Down(name.to_owned())),
            Component::CurDir | Component::Prefix(_) => None,
        })
        .collect();
    steps.reverse();
    steps
}

/// Whether the kernel said that something is not there.
#[must_use]
pub fn is_missing(error: &Error) -> bool {
    error
        .raw_os_error()
        .is_some_and(|raw| raw == io::Error::from(Errno::NOENT).raw_os_error().unwrap_or(2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_link_to_outside_leads_to_inside() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir_all(root.join("etc")).unwrap();
        std::fs::write(root.join("etc/passwd"), "inside").unwrap();
        std::fs::write(dir.path().join("passwd"), "outside").unwrap();
        symlink("/etc", root.join("absolute")).unwrap();
        symlink("../../../..", root.join("up")).unwrap();
        let rooted = Rooted::open(&root).unwrap();
        for path in ["absolute/passwd", "up/etc/passwd", "/etc/../../etc/passwd"] {
            let content = rooted.read(Path::new(path), 100).unwrap();
            assert_eq!(content.as_deref(), Some(&b"inside"[..]), "{path}");
        }
        assert_eq!(rooted.read(Path::new("up/passwd"), 100).unwrap(), None);
    }

    #[test]
    fn missing_directories_are_made_inside_even_behind_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir_all(root.join("real")).unwrap();
        symlink("/real", root.join("w")).unwrap();
        symlink("/nowhere", root.join("dangling")).unwrap();
        let rooted = Rooted::open(&root).unwrap();
        rooted.make_dirs(Path::new("/w/a/b")).unwrap();
        assert!(root.join("real/a/b").is_dir());
        rooted.make_dirs(Path::new("/dangling/x")).unwrap();
        assert!(root.join("nowhere/x").is_dir());
        rooted.make_dirs(Path::new("/q/../../y")).unwrap();
        assert!(root.join("y").is_dir());
        rooted.make_file(Path::new("/new/file")).unwrap();
        assert!(root.join("new/file").is_file());
        // As many images have it: /etc/resolv.conf leads to a file that only a running system has.
        std::fs::create_dir(root.join("etc")).unwrap();
        symlink("../run/stub", root.join("etc/resolv.conf")).unwrap();
        rooted.make_file(Path::new("/etc/resolv.conf")).unwrap();
        assert!(root.join("run/stub").is_file());
        symlink("loop", root.join("loop")).unwrap();
        assert!(rooted.make_dirs(Path::new("/loop")).is_err());
        assert!(rooted.make_dirs(Path::new("/new/file/x")).is_err());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_fifo_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        rustix::fs::mknodat(
            CWD,
            dir.path().join("f"),
            FileType::Fifo,
            Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        let rooted = Rooted::open(dir.path()).unwrap();
        assert!(rooted.read(Path::new("f"), 10).is_err());
    }
}
