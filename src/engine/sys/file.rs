//! Files and directories of our own: atomic writes, locks, removal. Untrusted trees are walked by `at.rs`, not here.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::engine::error::{Attempt, Error, Result};

/// Whether a write must survive a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// `fsync` before the rename.
    Synced,
    /// Atomic for other processes, but the page cache decides when it reaches the disk: run-root files and
    /// records of containers that do not outlive a reboot anyway.
    Unsynced,
}

/// A file without a name in the directory for temporary files (`TMPDIR`, else `/tmp`): the kernel takes it away with its last
/// descriptor (open(2), `O_TMPFILE`).
///
/// # Errors
/// What open(2) says; not every file system can.
pub fn unnamed() -> Result<File> {
    let directory = std::env::temp_dir();
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    rustix::fs::open(&directory, flags, Mode::from_raw_mode(0o600))
        .map(File::from)
        .map_err(io::Error::from)
        .attempt(|| format!("make a temporary file in {}", directory.display()))
}

/// There is a terminal that can be read whatever standard input is (tty(4)).
#[must_use]
pub fn has_controlling_terminal() -> bool {
    File::open("/dev/tty").is_ok()
}

/// Creates a directory and its missing parents with mode 0700; one that exists is left as it is.
///
/// # Errors
/// What mkdir(2) says.
pub fn create_private_dir(path: &Path) -> Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .attempt(|| format!("create directory {}", path.display()))
}

/// Creates a directory and its missing parents with mode 0700, and sets its sticky bit.
///
/// # Errors
/// What mkdir(2) and chmod(2) say.
pub fn create_sticky_dir(path: &Path) -> Result<()> {
    create_private_dir(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o1700))
        .attempt(|| format!("set the mode of {}", path.display()))
}

/// Creates a directory with mode 0700 in one that exists.
///
/// # Errors
/// [`Kind::AlreadyExists`](crate::engine::error::Kind::AlreadyExists) if there is something; otherwise what mkdir(2) says.
pub fn make_private_dir(path: &Path) -> Result<()> {
    fs::DirBuilder::new()
        .mode(0o700)
        .create(path)
        .attempt(|| format!("create directory {}", path.display()))
}

/// Writes a new file that nobody else looks at yet. Mode 0600.
///
/// # Errors
/// What open(2) and write(2) say, also if there is one already.
pub fn write_private(path: &Path, content: &[u8]) -> Result<()> {
    let what = || format!("write {}", path.display());
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .attempt(what)?;
    file.write_all(content).attempt(what)
}

/// Writes a file of the user that must not exist yet. The usual mode.
///
/// # Errors
/// What open(2) and write(2) say.
pub fn write_new(path: &Path, content: &[u8]) -> Result<()> {
    File::create_new(path)
        .and_then(|mut file| file.write_all(content))
        .attempt(|| format!("write {}", path.display()))
}

/// Creates a directory and its missing parents with the usual mode 0755; one that exists is left as it is.
///
/// # Errors
/// What mkdir(2) says.
pub fn create_dir_all(path: &Path) -> Result<()> {
    fs::create_dir_all(path).attempt(|| format!("create directory {}", path.display()))
}

/// Creates a directory with the mode and owner of another one (0755 and root's without one): the upper directory of an
/// overlay gives the merged root its mode.
///
/// # Errors
/// What mkdir(2), stat(2), chmod(2) and chown(2) say; the directory may be left behind.
pub fn create_dir_like(path: &Path, model: Option<&Path>) -> Result<()> {
    let what = || format!("create directory {}", path.display());
    fs::create_dir(path).attempt(what)?;
    let Some(model) = model else {
        return fs::set_permissions(path, fs::Permissions::from_mode(0o755)).attempt(what);
    };
    let like = fs::metadata(model).attempt(|| format!("look at {}", model.display()))?;
    std::os::unix::fs::chown(path, Some(like.uid()), Some(like.gid())).attempt(what)?;
    fs::set_permissions(path, fs::Permissions::from_mode(like.mode() & 0o7777)).attempt(what)
}

/// Writes a file so that readers see either the old or the new content: temporary file, rename. Mode 0600.
///
/// # Errors
/// What the system calls say. On failure the temporary file is removed and the old content is untouched.
pub fn write_atomic(path: &Path, content: &[u8], durability: Durability) -> Result<()> {
    let what = || format!("write {}", path.display());
    let name = path
        .file_name()
        .map(|n| n.to_string_lossy().into_owned())
        .unwrap_or_default();
    // The name is unique per process and thread: two writers of one file must not share a temporary one.
    let unique = format!(".{name}.{}.{:x}.tmp", super::maker::own(), next_number());
    let temporary = path.with_file_name(unique);
    let result = (|| -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(content)?;
        if durability == Durability::Synced {
            file.sync_data()?;
        }
        fs::rename(&temporary, path)
    })();
    if result.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    result.attempt(what)
}

/// What becomes of what is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sweep {
    /// It stays.
    Look,
    /// It goes.
    Remove,
}

/// Temporary files of [`write_atomic`] in a directory whose writers have gone.
///
/// # Errors
/// What the file system says.
pub fn sweep_temporary(dir: &Path, what: Sweep) -> Result<Vec<String>> {
    let abandoned = |name: &String| {
        let unique = name.strip_prefix('.')?.strip_suffix(".tmp")?;
        let (rest, number) = unique.rsplit_once('.')?;
        let (_, writer) = rest.rsplit_once('.')?;
        u64::from_str_radix(number, 16).ok()?;
        Some(!super::maker::is_at_work(writer)?)
    };
    let mut found = list_dir(dir)?;
    found.retain(|name| abandoned(name) == Some(true));
    if what == Sweep::Remove {
        for name in &found {
            remove_file(&dir.join(name))?;
        }
    }
    Ok(found)
}

/// The same for a file of a user: it keeps its owner, whoever writes it. Mode 0600.
///
/// # Errors
/// As [`write_atomic`].
pub fn write_atomic_like(path: &Path, content: &[u8]) -> Result<()> {
    let before = fs::metadata(path).ok();
    write_atomic(path, content, Durability::Synced)?;
    match before {
        Some(before) => std::os::unix::fs::chown(path, Some(before.uid()), Some(before.gid()))
            .attempt(|| format!("give {} back to its owner", path.display())),
        None => Ok(()),
    }
}

/// Writes a file that everybody may read (mode 0644), in place: files that are bound into a container.
///
/// # Errors
/// What open(2) and write(2) say; the file may then be cut short.
pub fn write_public(path: &Path, content: &[u8]) -> Result<()> {
    let what = || format!("write {}", path.display());
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o644)
        .open(path)
        .attempt(what)?;
    file.write_all(content).attempt(what)
}

/// A file to write to at its end, made with mode 0600 if it is not there.
///
/// # Errors
/// What open(2) says.
pub fn open_to_append(path: &Path) -> Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
        .attempt(|| format!("open {}", path.display()))
}

/// The whole content, or `None` if there is no such file.
///
/// # Errors
/// Anything but "not found".
pub fn read_optional(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).attempt(|| format!("read {}", path.display())),
    }
}

/// Where the next bytes of a file are that are no hole; `None` if only holes follow. A file system that does not tell has
/// none (lseek(2), `SEEK_DATA`). The file's position is not kept.
///
/// # Errors
/// What lseek(2) says.
pub fn next_data(file: &File, from: u64) -> io::Result<Option<u64>> {
    match rustix::fs::seek(file, rustix::fs::SeekFrom::Data(from)) {
        Ok(position) => Ok(Some(position)),
        Err(Errno::NXIO) => Ok(None),
        Err(Errno::INVAL) => Ok(Some(from)),
        Err(error) => Err(error.into()),
    }
}

/// The content of a regular file of somebody else's, or `None` if there is nothing. Never waits for a writer, and opens no
/// device: that could have effects of its own.
///
/// # Errors
/// [`Kind::InvalidInput`](crate::engine::error::Kind::InvalidInput) for anything but a regular file, and for more than `limit` bytes; what the system calls say.
pub fn read_regular(path: &Path, limit: u64) -> Result<Option<Vec<u8>>> {
    let what = || format!("read {}", path.display());
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let found = match rustix::fs::open(path, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(None),
        other => other.map_err(io::Error::from).attempt(what)?,
    };
    let stat = rustix::fs::fstat(&found)
        .map_err(io::Error::from)
        .attempt(what)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Error::invalid(format!(
            "{}: it is not a regular file",
            what()
        )));
    }
    // What was looked at is what is opened.
    let link = format!("/proc/self/fd/{}", found.as_raw_fd());
    let file = match File::open(&link) {
        // Without a /proc of ours.
        Err(error) if error.kind() == io::ErrorKind::NotFound => OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(path),
        other => other,
    };
    read_bounded(file.attempt(what)?, limit, what).map(Some)
}

/// The content of what a caller names, or `None` if there is nothing: waits for the end of a pipe.
///
/// # Errors
/// [`Kind::InvalidInput`](crate::engine::error::Kind::InvalidInput) for more than `limit` bytes; what the system calls say.
pub fn read_named(path: &Path, limit: u64) -> Result<Option<Vec<u8>>> {
    let what = || format!("read {}", path.display());
    match File::open(path) {
        Ok(file) => read_bounded(file, limit, what).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).attempt(what),
    }
}

/// What standard input has until its end.
///
/// # Errors
/// As [`read_named`].
pub fn read_standard_input(limit: u64) -> Result<Vec<u8>> {
    read_bounded(io::stdin(), limit, || "read standard input".to_owned())
}

fn read_bounded(from: impl Read, limit: u64, what: impl Fn() -> String) -> Result<Vec<u8>> {
    let mut content = Vec::new();
    from.take(limit.saturating_add(1))
        .read_to_end(&mut content)
        .attempt(&what)?;
    if u64::try_from(content.len()).is_ok_and(|length| length <= limit) {
        Ok(content)
    } else {
        let what = what();
        Err(Error::invalid(format!(
            "{what}: it is longer than {limit} bytes"
        )))
    }
}

/// The absolute path without links.
///
/// # Errors
/// What realpath(3) says.
pub fn canonical(path: &Path) -> Result<PathBuf> {
    fs::canonicalize(path).attempt(|| format!("look at {}", path.display()))
}

/// Writes a process id for somebody who waits for the file: it appears with its whole content. Mode 0644.
///
/// # Errors
/// What the system calls say.
pub fn write_pid(path: &Path, pid: i32) -> Result<()> {
    write_atomic(path, pid.to_string().as_bytes(), Durability::Unsynced)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644))
        .attempt(|| format!("write {}", path.display()))
}

/// The name of the user that owns a file, from `/etc/passwd`; `#` and the number without an entry. `None` if there is no
/// such file.
#[must_use]
pub fn owner(path: &Path) -> Option<String> {
    let uid = fs::metadata(path).ok()?.uid().to_string();
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    });
    Some(name.unwrap_or_else(|| format!("#{uid}")))
}

/// Renames, replacing an empty directory or a file (rename(2)).
///
/// # Errors
/// What rename(2) says; nothing has changed then.
pub fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).attempt(|| format!("rename {} to {}", from.display(), to.display()))
}

/// Removes a file; one that is not there is fine.
///
/// # Errors
/// What unlink(2) says otherwise.
pub fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).attempt(|| format!("remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Removes an empty directory; one that is not there is fine.
///
/// # Errors
/// What rmdir(2) says otherwise.
pub fn remove_dir(path: &Path) -> Result<()> {
    match fs::remove_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.attempt(|| format!("remove directory {}", path.display())),
    }
}

/// Removes a directory and everything in it without following links; one that is not there is fine.
///
/// # Errors
/// What the system calls say; what could be removed is removed.
pub fn remove_tree(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).attempt(|| format!("remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Opens a directory, to name it to the kernel by descriptor.
///
/// # Errors
/// What open(2) says.
pub fn open_dir(path: &Path) -> Result<File> {
    File::open(path).attempt(|| format!("open directory {}", path.display()))
}

/// Names of the entries of a directory, sorted; empty if the directory is not there.
///
/// # Errors
/// What opendir(3) and readdir(3) say. Names that are not UTF-8 are left out: we never make any.
pub fn list_dir(path: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).attempt(|| format!("list {}", path.display())),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.attempt(|| format!("list {}", path.display()))?;
        names.extend(entry.file_name().into_string());
    }
    names.sort_unstable();
    Ok(names)
}

/// Names of the entries of a directory, sorted, and which of them are directories or links to one.
///
/// # Errors
/// What opendir(3) and readdir(3) say. Names that are not UTF-8 are left out.
pub fn list_entries(path: &Path) -> Result<Vec<(String, bool)>> {
    let what = || format!("list {}", path.display());
    let mut entries = Vec::new();
    for entry in fs::read_dir(path).attempt(what)? {
        let entry = entry.attempt(what)?;
        if let Ok(name) = entry.file_name().into_string() {
            let is_directory = fs::metadata(entry.path()).is_ok_and(|found| found.is_dir());
            entries.push((name, is_directory));
        }
    }
    entries.sort_unstable();
    Ok(entries)
}

/// Writes a small file of the user, with the directories above it.
///
/// # Errors
/// As [`write_atomic`].
pub fn write_user_file(path: &Path, content: &[u8]) -> Result<()> {
    if let Some(directory) = path.parent() {
        create_private_dir(directory)?;
    }
    write_atomic(path, content, Durability::Unsynced)
}

/// A held `flock(2)`; dropping it lets go.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Waits until this process holds the lock file alone. The file is made if missing and never removed while locked.
///
/// # Errors
/// What open(2) and flock(2) say.
pub fn lock(path: &Path) -> Result<Lock> {
    take_lock(path, FlockOperation::LockExclusive)
}

/// Takes the lock if nobody has it; `None` if somebody does. The file is made if its directory is there.
///
/// # Errors
/// What open(2) and flock(2) say.
pub fn try_lock(path: &Path) -> Result<Option<Lock>> {
    unless_held(take_lock(path, FlockOperation::NonBlockingLockExclusive))
}

/// Waits until this process holds the lock file together with other readers only.
///
/// # Errors
/// What open(2) and flock(2) say.
pub fn lock_shared(path: &Path) -> Result<Lock> {
    take_lock(path, FlockOperation::LockShared)
}

/// Waits until this process holds the lock of a directory alone. There is no file for it that could come back while the
/// directory is being removed.
///
/// # Errors
/// What open(2) and flock(2) say.
pub fn lock_dir(path: &Path) -> Result<Lock> {
    hold(open_dir(path)?, path, FlockOperation::LockExclusive)
}

/// Takes the lock of a directory if nobody has it; `None` if somebody does.
///
/// # Errors
/// What open(2) and flock(2) say.
pub fn try_lock_dir(path: &Path) -> Result<Option<Lock>> {
    unless_held(hold(
        open_dir(path)?,
        path,
        FlockOperation::NonBlockingLockExclusive,
    ))
}

fn take_lock(path: &Path, operation: FlockOperation) -> Result<Lock> {
    let file = open_lock(path).attempt(|| format!("lock {}", path.display()))?;
    hold(file, path, operation)
}

fn unless_held(lock: Result<Lock>) -> Result<Option<Lock>> {
    match lock {
        Ok(lock) => Ok(Some(lock)),
        Err(error) if error.raw_os_error() == Some(Errno::WOULDBLOCK.raw_os_error()) => Ok(None),
        Err(error) => Err(error),
    }
}

fn hold(file: File, path: &Path, operation: FlockOperation) -> Result<Lock> {
    loop {
        match rustix::fs::flock(file.as_fd(), operation) {
            Ok(()) => return Ok(Lock { _file: file }),
            Err(Errno::INTR) => {}
            Err(errno) => {
                return Err(io::Error::from(errno)).attempt(|| format!("lock {}", path.display()));
            }
        }
    }
}

/// Opens a lock file, making it if it is missing. On a read-only file system one that is there will do, or else its
/// directory: flock(2) does not ask for the right to write.
fn open_lock(path: &Path) -> io::Result<File> {
    let opened = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path);
    match opened {
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {}
        other => return other,
    }
    match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            File::open(path.parent().unwrap_or(Path::new("/")))
        }
        other => other,
    }
}

/// Waits for the `flock(2)` of an open file; it lasts until the file is closed.
///
/// # Errors
/// What flock(2) says.
pub fn lock_open(file: &File, kind: LockKind) -> io::Result<()> {
    let operation = match kind {
        LockKind::Shared => FlockOperation::LockShared,
        LockKind::Alone => FlockOperation::LockExclusive,
    };
    loop {
        match rustix::fs::flock(file.as_fd(), operation) {
            Ok(()) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Who else may hold a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockKind {
    /// Others that share it.
    Shared,
    /// Nobody.
    Alone,
}

/// Appends one line with a single write(2), so that lines of several processes do not mix.
///
/// # Errors
/// What open(2) and write(2) say.
pub fn append_line(path: &Path, line: &str) -> Result<()> {
    let mut text = String::with_capacity(line.len() + 1);
    text.push_str(line);
    text.push('\n');
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .attempt(|| format!("append to {}", path.display()))
}

pub(super) fn next_number() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_atomic_write_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("d");
        fs::create_dir(&target).unwrap();
        assert!(write_atomic(&target, b"x", Durability::Synced).is_err());
        assert_eq!(list_dir(dir.path()).unwrap(), ["d"]);
    }
}
