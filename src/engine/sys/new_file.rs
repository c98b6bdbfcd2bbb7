//! A file of the user that appears when it is whole. What else may stand at its path, and what is done then, is here;
//! our own small files are `file.rs`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, RenameFlags, linkat, renameat_with};

use super::behind::{Behind, Trail};
use crate::engine::error::{Attempt, Error, Kind, Result};

/// A file that gets its name when it is whole. Dropped before, nothing is left of it, nor when its process is killed.
///
/// A symbolic link is followed, and a pipe is written to as it is: neither is replaced.
#[derive(Debug)]
pub struct NewFile {
    file: File,
    target: PathBuf,
    naming: Naming,
}

/// How the content gets the name that it is to have.
#[derive(Debug)]
enum Naming {
    /// The file has none yet (`O_TMPFILE`, open(2)): the kernel takes it away with its last descriptor.
    Unnamed,
    /// It has another one beside, on a file system that knows no files without.
    Beside(PathBuf),
    /// It has its name already: a pipe, or a file that was renamed.
    Named,
}

impl NewFile {
    /// Begins one where it will be; its mode is as the umask says.
    ///
    /// # Errors
    /// `InvalidInput` for a directory, a device or a socket; what open(2) says.
    pub fn create(target: &Path) -> Result<Self> {
        let what = || format!("create {}", target.display());
        let target = followed(target);
        let found = fs::metadata(&target).ok().map(|found| found.file_type());
        let (file, naming) = match found {
            Some(kind) if kind.is_fifo() => {
                let pipe = OpenOptions::new().write(true).open(&target);
                (pipe.attempt(what)?, Naming::Named)
            }
            Some(kind) if !kind.is_file() => {
                return Err(Error::new(Kind::InvalidInput, not_a_file(kind)).attempting(what()));
            }
            Some(_) | None => begin(&target).attempt(what)?,
        };
        Ok(Self {
            file,
            target,
            naming,
        })
    }

    /// Has a long content written, which leaves the page cache to others but for its first 64 MiB ([`Behind`]).
    ///
    /// # Errors
    /// What `content` says; what pwrite(2) and, for a pipe, write(2) say.
    pub fn write_long<T>(
        &mut self,
        content: impl FnOnce(&mut dyn Write) -> Result<T>,
    ) -> Result<T> {
        let failed = || format!("write {}", self.target.display());
        if matches!(self.naming, Naming::Named) {
            let mut out = io::BufWriter::with_capacity(1 << 20, &self.file);
            let done = content(&mut out)?;
            out.flush().attempt(failed)?;
            return Ok(done);
        }
        let behind = Behind::default();
        let mut trail = Trail::new(&behind, self.file.try_clone().attempt(failed)?);
        let done = content(&mut trail)?;
        trail.finish().attempt(failed)?;
        Ok(done)
    }

    /// Gives it its name; a file that is there is replaced only if that is wanted.
    ///
    /// # Errors
    /// [`Kind::AlreadyExists`]; what link(2) and rename(2) say.
    pub fn finish(mut self, replace: bool) -> Result<()> {
        let what = || format!("create {}", self.target.display());
        if matches!(self.naming, Naming::Unnamed) {
            let beside = beside(&self.target);
            let open = format!("/proc/self/fd/{}", self.file.as_raw_fd());
            linkat(CWD, open, CWD, &beside, AtFlags::SYMLINK_FOLLOW)
                .map_err(io::Error::from)
                .attempt(what)?;
            self.naming = Naming::Beside(beside);
        }
        if let Naming::Beside(name) = &self.naming {
            let flags = if replace {
                RenameFlags::empty()
            } else {
                RenameFlags::NOREPLACE
            };
            renameat_with(CWD, name, CWD, &self.target, flags)
                .map_err(io::Error::from)
                .attempt(what)?;
            self.naming = Naming::Named;
        }
        Ok(())
    }
}

impl Write for NewFile {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.file.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let Naming::Beside(name) = &self.naming {
            let _ = fs::remove_file(name);
        }
    }
}

/// What a symbolic link leads to, also when nothing is there yet; any other path as it is.
fn followed(path: &Path) -> PathBuf {
    if let (true, Ok(end)) = (path.is_symlink(), fs::canonicalize(path)) {
        return end;
    }
    match (fs::read_link(path), path.parent()) {
        (Ok(link), Some(directory)) => directory.join(link),
        (Ok(_) | Err(_), _) => path.to_owned(),
    }
}

/// A file without a name in the target's directory, or one with another name.
fn begin(target: &Path) -> io::Result<(File, Naming)> {
    let directory = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    if let Ok(unnamed) = rustix::fs::open(directory, flags, Mode::from_raw_mode(0o666)) {
        return Ok((File::from(unnamed), Naming::Unnamed));
    }
    // Not every file system can; what else may be wrong, open(2) says here again.
    let name = beside(target);
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&name)?;
    Ok((file, Naming::Beside(name)))
}

/// A name that nobody else takes, in the directory of `target`.
fn beside(target: &Path) -> PathBuf {
    let name = target
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let number = super::file::next_number();
    target.with_file_name(format!(".{name}.{}.{number:x}.tmp", super::maker::own()))
}

fn not_a_file(kind: fs::FileType) -> &'static str {
    if kind.is_dir() {
        "is a directory"
    } else if kind.is_socket() {
        "it is a socket, not a file"
    } else {
        "it is a device, not a file"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::sys::file::{list_dir, list_entries};

    #[test]
    fn a_new_file_appears_whole_or_not_at_all_and_replaces_only_when_told() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("archive");
        let write = |text: &[u8]| {
            let mut file = NewFile::create(&target).unwrap();
            file.write_all(text).unwrap();
            file
        };
        drop(write(b"half"));
        assert_eq!(list_dir(dir.path()).unwrap(), Vec::<String>::new());
        write(b"one").finish(false).unwrap();
        let error = write(b"two").finish(false).unwrap_err();
        assert_eq!(error.kind(), Kind::AlreadyExists);
        assert_eq!(fs::read(&target).unwrap(), b"one");
        write(b"two").finish(true).unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"two");
        assert_eq!(
            list_entries(dir.path()).unwrap(),
            [("archive".to_owned(), false)]
        );
    }

    /// What is being written must not stay in the user's directory when the process is killed.
    #[test]
    fn a_file_that_is_being_written_has_no_name() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = NewFile::create(&dir.path().join("archive")).unwrap();
        file.write_all(b"half").unwrap();
        assert_eq!(list_dir(dir.path()).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn a_link_is_followed_and_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        for (link, target) in [("to-old", "old"), ("to-new", "new")] {
            std::os::unix::fs::symlink(target, dir.path().join(link)).unwrap();
        }
        fs::write(dir.path().join("old"), b"before").unwrap();
        for (link, target) in [("to-old", "old"), ("to-new", "new")] {
            let link = dir.path().join(link);
            let mut file = NewFile::create(&link).unwrap();
            file.write_all(b"after").unwrap();
            file.finish(true).unwrap();
            assert!(link.is_symlink());
            assert_eq!(fs::read(dir.path().join(target)).unwrap(), b"after");
        }
    }

    #[test]
    fn a_directory_and_a_socket_are_refused_before_anything_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for path in [dir.path(), &socket] {
            let error = NewFile::create(path).unwrap_err();
            assert_eq!(error.kind(), Kind::InvalidInput, "{}", path.display());
        }
        assert!(fs::metadata(&socket).unwrap().file_type().is_socket());
    }
}
