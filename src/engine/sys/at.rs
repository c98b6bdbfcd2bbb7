//! Directories by descriptor: every name is looked up under an open directory, never by joining strings, so a link
//! planted in a tree cannot lead out of it (openat2(2)). What to make there is for the callers.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, Dir as RawDir, FileType, FlockOperation, Gid, IFlags, Mode, OFlags, RenameFlags,
    ResolveFlags, StatxAttributes, StatxFlags, Timespec, Timestamps, Uid, XattrFlags,
};
use rustix::io::Errno;

use crate::engine::error::{Attempt, Result};

/// Extended attributes: names and values.
pub type Xattrs = Vec<(Vec<u8>, Vec<u8>)>;

/// What a directory entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Regular file.
    File,
    /// Directory.
    Directory,
    /// Symbolic link.
    Symlink,
    /// Character device.
    Char,
    /// Block device.
    Block,
    /// Named pipe.
    Fifo,
    /// Socket.
    Socket,
}

/// The answer of stat(2), as far as layers need it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// Type.
    pub kind: Kind,
    /// Permission bits with setuid, setgid and sticky.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes.
    pub size: u64,
    /// Modification time: seconds since 1970 and nanoseconds.
    pub mtime: (i64, u32),
    /// Device number of a device node: major and minor.
    pub rdev: (u32, u32),
    /// Hard links.
    pub links: u64,
    /// Inode number.
    pub inode: u64,
    /// The device that it is on.
    pub device: u64,
}

impl Stat {
    /// A character device 0:0, which overlayfs takes as "removed here".
    #[must_use]
    pub fn is_whiteout(&self) -> bool {
        self.kind == Kind::Char && self.rdev == (0, 0)
    }
}

/// An open directory.
#[derive(Debug)]
pub struct Dir {
    fd: OwnedFd,
    label: PathBuf,
}

/// procfs, sysfs, cgroup, cgroup2, devpts, mqueue, debugfs, tracefs, securityfs, bpf (linux/magic.h).
const MADE_UP: [i64; 10] = [
    0x9fa0,
    0x6265_6572,
    0x0027_e0eb,
    0x6367_7270,
    0x1cd1,
    0x1980_0202,
    0x6462_6720,
    0x7472_6163,
    0x7363_6673,
    0xcafe_4a11,
];

const NEVER_OUTSIDE: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS);

fn name_of(bytes: &[u8]) -> &OsStr {
    OsStr::from_bytes(bytes)
}

fn check_name(name: &[u8]) -> Result<(), Errno> {
    let plain = !name.is_empty() && name != b"." && name != b".." && !name.contains(&b'/');
    if plain { Ok(()) } else { Err(Errno::INVAL) }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Dir {
    /// Opens a directory of ours by its path. The last component must not be a link.
    ///
    /// # Errors
    /// What open(2) says.
    pub fn open(path: &Path) -> Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
        let fd = rustix::fs::open(path, flags, Mode::empty())
            .map_err(io::Error::from)
            .attempt(|| format!("open directory {}", path.display()))?;
        Ok(Self {
            fd,
            label: path.to_owned(),
        })
    }

    /// Opens the directory that a descriptor refers to (`O_PATH` is enough), to read it. Errors show `label`.
    ///
    /// # Errors
    /// `ENOTDIR`, and what openat(2) says otherwise.
    pub fn reopen(fd: BorrowedFd<'_>, label: &Path) -> Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
        let fd = rustix::fs::openat(fd, ".", flags, Mode::empty())
            .map_err(io::Error::from)
            .attempt(|| format!("open directory {}", label.display()))?;
        Ok(Self {
            fd,
            label: label.to_owned(),
        })
    }

    /// Says that the directories in this one have nothing to do with each other (chattr(1), `T`): ext4 puts each where
    /// there is room instead of beside the others. Advice: nothing changes where it is not taken.
    pub fn spread(&self) {
        if let Ok(flags) = rustix::fs::ioctl_getflags(&self.fd) {
            let _ = rustix::fs::ioctl_setflags(&self.fd, flags | IFlags::TOPDIR);
        }
    }

    /// The path that errors show: where it was opened.
    #[must_use]
    pub fn label(&self) -> &Path {
        &self.label
    }

    fn done<T>(&self, result: Result<T, Errno>, verb: &str, name: &[u8]) -> Result<T> {
        result
            .map_err(io::Error::from)
            .attempt(|| format!("{verb} {}", self.label.join(name_of(name)).display()))
    }

    /// Another handle on the same directory.
    ///
    /// # Errors
    /// What dup(2) says.
    pub fn try_clone(&self) -> Result<Self> {
        let fd = self
            .fd
            .try_clone()
            .attempt(|| format!("duplicate descriptor of {}", self.label.display()))?;
        Ok(Self {
            fd,
            label: self.label.clone(),
        })
    }

    /// Opens a directory below this one; `None` if a component is missing, a link or not a directory. An empty path
    /// is this directory.
    ///
    /// # Errors
    /// What openat2(2) says otherwise.
    pub fn find_dir(&self, path: &[u8]) -> Result<Option<Self>> {
        let target = if path.is_empty() { b"." } else { path };
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
        match self.openat2(target, flags, Mode::empty()) {
            Ok(fd) => Ok(Some(Self {
                fd,
                label: self.label.join(name_of(path)),
            })),
            Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR) => Ok(None),
            Err(errno) => self.done(Err(errno), "open directory", path),
        }
    }

    fn openat2(&self, path: &[u8], flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
        loop {
            // EAGAIN: a rename elsewhere raced with the look-up (openat2(2)).
            match rustix::fs::openat2(&self.fd, name_of(path), flags, mode, NEVER_OUTSIDE) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                other => return other,
            }
        }
    }

    /// Makes a directory with mode 0700; `false` if the name is taken.
    ///
    /// # Errors
    /// What mkdirat(2) says otherwise.
    pub fn make_dir(&self, name: &[u8]) -> Result<bool> {
        let made = check_name(name)
            .and_then(|()| rustix::fs::mkdirat(&self.fd, name_of(name), Mode::RWXU));
        match made {
            Err(Errno::EXIST) => Ok(false),
            other => self.done(other, "create directory", name).map(|()| true),
        }
    }

    /// Makes a new empty file with mode 0600; `None` if the name is taken.
    ///
    /// # Errors
    /// What openat(2) says otherwise.
    pub fn make_file(&self, name: &[u8]) -> Result<Option<File>> {
        let flags =
            OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDWR;
        let mode = Mode::RUSR | Mode::WUSR;
        let made = check_name(name)
            .and_then(|()| rustix::fs::openat(&self.fd, name_of(name), flags, mode));
        match made {
            Err(Errno::EXIST) => Ok(None),
            other => Ok(Some(File::from(self.done(other, "create", name)?))),
        }
    }

    /// Opens a file for reading and writing, making it (mode 0600) if it is missing, and takes its flock(2) without
    /// waiting: held as long as the file is open. `None` if somebody else holds it. Whoever holds it may rename or
    /// remove the file; a file that lost its name while we came for it is not taken.
    ///
    /// # Errors
    /// What openat(2), flock(2) and fstatat(2) say otherwise.
    pub fn open_locked(&self, name: &[u8]) -> Result<Option<File>> {
        let flags = OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDWR;
        let mode = Mode::RUSR | Mode::WUSR;
        loop {
            let opened = check_name(name)
                .and_then(|()| rustix::fs::openat(&self.fd, name_of(name), flags, mode));
            let file = self.done(opened, "open", name)?;
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Err(Errno::WOULDBLOCK) => return Ok(None),
                other => self.done(other, "lock", name)?,
            }
            let stat = self.done(rustix::fs::fstat(&file), "examine", name)?;
            let named = self.stat(name)?.map(|named| named.inode);
            if named == Some(read_stat(&stat).inode) {
                return Ok(Some(File::from(file)));
            }
        }
    }

    /// Makes a symbolic link; `false` if the name is taken.
    ///
    /// # Errors
    /// What symlinkat(2) says otherwise.
    pub fn make_symlink(&self, name: &[u8], target: &[u8]) -> Result<bool> {
        let made = check_name(name)
            .and_then(|()| rustix::fs::symlinkat(name_of(target), &self.fd, name_of(name)));
        match made {
            Err(Errno::EXIST) => Ok(false),
            other => self.done(other, "create link", name).map(|()| true),
        }
    }

    /// Makes a device node, pipe or socket with mode 0600; `false` if the name is taken.
    ///
    /// # Errors
    /// What mknodat(2) says otherwise; [`Errno::INVAL`] for the other kinds.
    pub fn make_node(&self, name: &[u8], kind: Kind, device: (u32, u32)) -> Result<bool> {
        let file_type = match kind {
            Kind::Char => Ok(FileType::CharacterDevice),
            Kind::Block => Ok(FileType::BlockDevice),
            Kind::Fifo => Ok(FileType::Fifo),
            Kind::Socket => Ok(FileType::Socket),
            Kind::File | Kind::Directory | Kind::Symlink => Err(Errno::INVAL),
        };
        let made = check_name(name).and(file_type).and_then(|file_type| {
            let number = rustix::fs::makedev(device.0, device.1);
            let mode = Mode::RUSR | Mode::WUSR;
            rustix::fs::mknodat(&self.fd, name_of(name), file_type, mode, number)
        });
        match made {
            Err(Errno::EXIST) => Ok(false),
            other => self.done(other, "create node", name).map(|()| true),
        }
    }

    /// Makes a hard link to an entry of another directory (a symbolic link is linked itself, not its target);
    /// `false` if the name is taken.
    ///
    /// # Errors
    /// What linkat(2) says otherwise.
    pub fn make_hard_link(&self, name: &[u8], from: &Self, from_name: &[u8]) -> Result<bool> {
        let made = check_name(name)
            .and_then(|()| check_name(from_name))
            .and_then(|()| {
                let (old, new) = (name_of(from_name), name_of(name));
                rustix::fs::linkat(&from.fd, old, &self.fd, new, AtFlags::empty())
            });
        match made {
            Err(Errno::EXIST) => Ok(false),
            other => self.done(other, "create hard link", name).map(|()| true),
        }
    }

    /// What an entry is, without following it; `None` if there is none.
    ///
    /// # Errors
    /// What fstatat(2) says otherwise.
    pub fn stat(&self, name: &[u8]) -> Result<Option<Stat>> {
        match rustix::fs::statat(&self.fd, name_of(name), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(read_stat(&stat))),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(errno) => self.done(Err(errno), "examine", name),
        }
    }

    /// Whether something is mounted on an entry. Who looks from another mount namespace than the directory's is told by
    /// nothing else: there the kernel lets the entry be replaced, and takes the mount away (rename(2), `EBUSY`).
    ///
    /// # Errors
    /// What statx(2) says; an entry that is missing is none.
    pub fn is_mounted_on(&self, name: &[u8]) -> Result<bool> {
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        match rustix::fs::statx(&self.fd, name_of(name), flags, StatxFlags::empty()) {
            Ok(found) => Ok(found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => self.done(Err(errno), "examine", name),
        }
    }

    /// What this directory itself is.
    ///
    /// # Errors
    /// What fstat(2) says.
    pub fn stat_self(&self) -> Result<Stat> {
        let stat = self.done(rustix::fs::fstat(&self.fd), "examine", b"")?;
        Ok(read_stat(&stat))
    }

    /// The device that it is on, as `major:minor`.
    ///
    /// # Errors
    /// What fstat(2) says.
    pub fn device(&self) -> Result<String> {
        let stat = self.done(rustix::fs::fstat(&self.fd), "examine", b"")?;
        let (major, minor) = (
            rustix::fs::major(stat.st_dev),
            rustix::fs::minor(stat.st_dev),
        );
        Ok(format!("{major}:{minor}"))
    }

    /// Opens a regular file for reading; anything else is refused. Does not block on a pipe.
    ///
    /// # Errors
    /// What openat2(2) says; `InvalidInput` if it is not a regular file.
    pub fn open_file(&self, path: &[u8]) -> Result<File> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let opened = self.openat2(path, flags, Mode::empty());
        let file = File::from(self.done(opened, "open", path)?);
        let stat = self.done(rustix::fs::fstat(&file), "examine", path)?;
        if read_stat(&stat).kind == Kind::File {
            return Ok(file);
        }
        let shown = self.label.join(name_of(path));
        Err(crate::engine::error::Error::invalid(format!(
            "{} is not a regular file",
            shown.display()
        )))
    }

    /// Opens a regular file of a tree that others change: looked at first, and then opened as what was looked at.
    ///
    /// # Errors
    /// What openat2(2) says; `InvalidInput` if it is not a regular file.
    pub fn open_looked_at(&self, name: &[u8]) -> Result<File> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let seen = self.openat2(name, flags, Mode::empty());
        let seen = self.done(seen, "open", name)?;
        open_regular(seen.as_fd())
            .attempt(|| format!("open {}", self.label.join(name_of(name)).display()))
    }

    /// Whether this is a file system that the kernel makes up: what is in it is not stored, and has no end.
    ///
    /// # Errors
    /// What fstatfs(2) says.
    pub fn is_made_up(&self) -> Result<bool> {
        let stat = self.done(rustix::fs::fstatfs(&self.fd), "examine file system of", b"")?;
        let magic = i128::from(stat.f_type);
        Ok(MADE_UP.iter().any(|known| i128::from(*known) == magic))
    }

    /// Target of a symbolic link.
    ///
    /// # Errors
    /// What readlinkat(2) says.
    pub fn read_link(&self, name: &[u8]) -> Result<Vec<u8>> {
        let read = rustix::fs::readlinkat(&self.fd, name_of(name), Vec::new());
        Ok(self.done(read, "read link", name)?.into_bytes())
    }

    /// Names of the entries, sorted.
    ///
    /// # Errors
    /// What getdents64(2) says.
    pub fn names(&self) -> Result<Vec<Vec<u8>>> {
        let mut names = Vec::new();
        let entries = self.done(RawDir::read_from(&self.fd), "list", b"")?;
        for entry in entries {
            let entry = self.done(entry, "list", b"")?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(name.to_vec());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Removes an entry that is not a directory; one that is not there is fine.
    ///
    /// # Errors
    /// What unlinkat(2) says otherwise.
    pub fn remove_file(&self, name: &[u8]) -> Result<()> {
        match rustix::fs::unlinkat(&self.fd, name_of(name), AtFlags::empty()) {
            Err(Errno::NOENT) => Ok(()),
            other => self.done(other, "remove", name),
        }
    }

    /// Removes an entry with everything in it, following no link; one that is not there is fine. The depth of the
    /// tree costs descriptors, not stack: trees come from archives.
    ///
    /// # Errors
    /// What the system calls say; what was removed until then is gone.
    pub fn remove_tree(&self, name: &[u8]) -> Result<()> {
        match self.stat(name)? {
            None => return Ok(()),
            Some(stat) if stat.kind != Kind::Directory => return self.remove_file(name),
            Some(_) => {}
        }
        // Each level is emptied of all but directories; a directory found is entered at once and left when empty.
        // Deep trees are flattened first: a subdirectory below the second level is moved up to the top one, so that
        // at most two descriptors are open however deep the tree is.
        let Some(top) = self.find_dir(name)? else {
            return Ok(());
        };
        let mut number = 0_u64;
        loop {
            let mut subdirectories = Vec::new();
            for entry in top.names()? {
                match rustix::fs::unlinkat(&top.fd, name_of(&entry), AtFlags::empty()) {
                    Ok(()) | Err(Errno::NOENT) => {}
                    Err(Errno::ISDIR | Errno::PERM) => subdirectories.push(entry),
                    Err(errno) => return top.done(Err(errno), "remove", &entry),
                }
            }
            if subdirectories.is_empty() {
                break;
            }
            for subdirectory in subdirectories {
                let Some(inner) = top.find_dir(&subdirectory)? else {
                    continue;
                };
                for entry in inner.names()? {
                    match rustix::fs::unlinkat(&inner.fd, name_of(&entry), AtFlags::empty()) {
                        Ok(()) | Err(Errno::NOENT) => {}
                        Err(Errno::ISDIR | Errno::PERM) => {
                            let empty = AtFlags::REMOVEDIR;
                            if rustix::fs::unlinkat(&inner.fd, name_of(&entry), empty).is_ok() {
                                continue;
                            }
                            // A removal that was killed may have left such names.
                            loop {
                                number += 1;
                                let moved = format!(".wharf-remove-{number}");
                                if inner.rename_new(&entry, &top, moved.as_bytes())? {
                                    break;
                                }
                            }
                        }
                        Err(errno) => return inner.done(Err(errno), "remove", &entry),
                    }
                }
                drop(inner);
                let gone =
                    rustix::fs::unlinkat(&top.fd, name_of(&subdirectory), AtFlags::REMOVEDIR);
                top.done(gone, "remove directory", &subdirectory)?;
            }
        }
        drop(top);
        match rustix::fs::unlinkat(&self.fd, name_of(name), AtFlags::REMOVEDIR) {
            Err(Errno::NOENT) => Ok(()),
            other => self.done(other, "remove directory", name),
        }
    }

    /// Moves an entry; an existing file of the new name is replaced.
    ///
    /// # Errors
    /// What renameat(2) says.
    pub fn rename(&self, name: &[u8], to: &Self, to_name: &[u8]) -> Result<()> {
        let moved = rustix::fs::renameat(&self.fd, name_of(name), &to.fd, name_of(to_name));
        self.done(moved, "move", name)
    }

    /// Moves an entry; `false` if the new name is taken, and then nothing is changed.
    ///
    /// # Errors
    /// What renameat2(2) says otherwise.
    pub fn rename_new(&self, name: &[u8], to: &Self, to_name: &[u8]) -> Result<bool> {
        let (old, new) = (name_of(name), name_of(to_name));
        let moved = check_name(name).and(check_name(to_name)).and_then(|()| {
            rustix::fs::renameat_with(&self.fd, old, &to.fd, new, RenameFlags::NOREPLACE)
        });
        match moved {
            Err(Errno::EXIST | Errno::NOTEMPTY) => Ok(false),
            other => self.done(other, "move", name).map(|()| true),
        }
    }

    /// Sets owner and group of an entry itself, not of what it points to.
    ///
    /// # Errors
    /// What fchownat(2) says.
    pub fn set_owner(&self, name: &[u8], uid: u32, gid: u32) -> Result<()> {
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        let set = rustix::fs::chownat(&self.fd, name_of(name), Some(uid), Some(gid), flags);
        self.done(set, "set owner of", name)
    }

    /// Sets the permission bits of a device node or pipe of this directory. It is opened without following and
    /// changed by its descriptor.
    ///
    /// # Errors
    /// What openat2(2) and chmod(2) say; `ELOOP` for a link.
    pub fn set_node_mode(&self, name: &[u8], mode: u32) -> Result<()> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = self.openat2(name, flags, Mode::empty());
        let node = self.done(opened, "open", name)?;
        let stat = self.done(rustix::fs::fstat(&node), "examine", name)?;
        let set = if read_stat(&stat).kind == Kind::Symlink {
            Err(Errno::LOOP)
        } else {
            rustix::fs::chmod(descriptor_path(node.as_fd()), Mode::from_raw_mode(mode))
        };
        self.done(set, "set mode of", name)
    }

    /// Sets the modification time of an entry itself (the access time becomes the same).
    ///
    /// # Errors
    /// What utimensat(2) says.
    pub fn set_mtime(&self, name: &[u8], mtime: (i64, u32)) -> Result<()> {
        let times = timestamps(mtime);
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        let set = rustix::fs::utimensat(&self.fd, name_of(name), &times, flags);
        self.done(set, "set time of", name)
    }

    /// Sets an extended attribute of a link, device node or pipe of this directory.
    ///
    /// # Errors
    /// What lsetxattr(2) says.
    pub fn set_xattr(&self, name: &[u8], attribute: &[u8], value: &[u8]) -> Result<()> {
        let mut path = descriptor_path(self.fd.as_fd()).into_bytes();
        path.push(b'/');
        path.extend_from_slice(name);
        let set = check_name(name).and_then(|()| {
            let attribute = CString::new(attribute).or(Err(Errno::INVAL))?;
            rustix::fs::lsetxattr(name_of(&path), attribute, value, XattrFlags::empty())
        });
        self.done(set, "set attribute of", name)
    }

    /// All extended attributes of a link, device node or pipe of this directory.
    ///
    /// # Errors
    /// What llistxattr(2) and lgetxattr(2) say.
    pub fn xattrs(&self, name: &[u8]) -> Result<Xattrs> {
        let mut path = descriptor_path(self.fd.as_fd()).into_bytes();
        path.push(b'/');
        path.extend_from_slice(name);
        let read = check_name(name).and_then(|()| {
            read_xattrs(
                |buffer| rustix::fs::llistxattr(name_of(&path), buffer),
                |name, buffer| rustix::fs::lgetxattr(name_of(&path), name, buffer),
            )
        });
        self.done(read, "read attributes of", name)
    }

    /// Sets permission bits, owner and group of this directory.
    ///
    /// # Errors
    /// What fchown(2) and fchmod(2) say.
    pub fn set_own_attributes(&self, uid: u32, gid: u32, mode: u32) -> Result<()> {
        let set = set_attributes(self.fd.as_fd(), uid, gid, mode);
        self.done(set, "set owner and mode of", b"")
    }

    /// Sets an extended attribute of this directory.
    ///
    /// # Errors
    /// What fsetxattr(2) says.
    pub fn set_own_xattr(&self, attribute: &[u8], value: &[u8]) -> Result<()> {
        self.done(
            set_xattr(self.fd.as_fd(), attribute, value),
            "set attribute of",
            b"",
        )
    }

    /// Sets the modification time of this directory.
    ///
    /// # Errors
    /// What futimens(2) says.
    pub fn set_own_mtime(&self, mtime: (i64, u32)) -> Result<()> {
        let set = rustix::fs::futimens(&self.fd, &timestamps(mtime));
        self.done(set, "set time of", b"")
    }

    /// All extended attributes of this directory.
    ///
    /// # Errors
    /// What flistxattr(2) and fgetxattr(2) say.
    pub fn own_xattrs(&self) -> Result<Xattrs> {
        self.done(xattrs(self.fd.as_fd()), "read attributes of", b"")
    }

    /// Writes everything of this file system that is still in memory to the disk.
    ///
    /// # Errors
    /// What syncfs(2) says.
    pub fn sync_file_system(&self) -> Result<()> {
        self.done(rustix::fs::syncfs(&self.fd), "sync file system of", b"")
    }

    /// Takes an flock(2) on this directory without waiting; it is held as long as the handle. `false` if another
    /// process holds it.
    ///
    /// # Errors
    /// What flock(2) says otherwise.
    pub fn try_lock(&self) -> Result<bool> {
        match rustix::fs::flock(&self.fd, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => Ok(false),
            other => self.done(other, "lock", b"").map(|()| true),
        }
    }
}

/// Sets owner, group and permission bits of an open file: owner first, for chown(2) clears setuid.
///
/// # Errors
/// What fchown(2) and fchmod(2) say.
pub fn set_file_attributes(file: &File, uid: u32, gid: u32, mode: u32) -> io::Result<()> {
    Ok(set_attributes(file.as_fd(), uid, gid, mode)?)
}

/// Sets an extended attribute of an open file.
///
/// # Errors
/// What fsetxattr(2) says.
pub fn set_file_xattr(file: &File, attribute: &[u8], value: &[u8]) -> io::Result<()> {
    Ok(set_xattr(file.as_fd(), attribute, value)?)
}

/// All extended attributes of an open file.
///
/// # Errors
/// What flistxattr(2) and fgetxattr(2) say.
pub fn file_xattrs(file: &File) -> io::Result<Xattrs> {
    Ok(xattrs(file.as_fd())?)
}

/// Sets the modification time of an open file.
///
/// # Errors
/// What futimens(2) says.
pub fn set_file_mtime(file: &File, mtime: (i64, u32)) -> io::Result<()> {
    Ok(rustix::fs::futimens(file, &timestamps(mtime))?)
}

/// What an open file is.
///
/// # Errors
/// What fstat(2) says.
pub fn file_stat(file: &File) -> io::Result<Stat> {
    Ok(read_stat(&rustix::fs::fstat(file)?))
}

/// Opens for reading what a descriptor (`O_PATH`) refers to: the very file that was looked at, whatever its name means by
/// now. To open a device that took its place could have effects of its own.
///
/// # Errors
/// `InvalidInput` if it is not a regular file; what open(2) says.
pub fn open_regular(fd: BorrowedFd<'_>) -> io::Result<File> {
    if read_stat(&rustix::fs::fstat(fd)?).kind != Kind::File {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        ));
    }
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY;
    Ok(File::from(rustix::fs::open(
        descriptor_path(fd),
        flags,
        Mode::empty(),
    )?))
}

/// Random bytes of the kernel (getrandom(2)).
///
/// # Errors
/// What getrandom(2) says.
pub fn random_bytes<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        filled += rustix::rand::getrandom(rest, rustix::rand::GetRandomFlags::empty())
            .map_err(io::Error::from)
            .attempt(|| "read random bytes")?;
    }
    Ok(bytes)
}

fn set_attributes(fd: BorrowedFd<'_>, uid: u32, gid: u32, mode: u32) -> Result<(), Errno> {
    rustix::fs::fchown(fd, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
    rustix::fs::fchmod(fd, Mode::from_raw_mode(mode))
}

fn set_xattr(fd: BorrowedFd<'_>, attribute: &[u8], value: &[u8]) -> Result<(), Errno> {
    let attribute = CString::new(attribute).or(Err(Errno::INVAL))?;
    rustix::fs::fsetxattr(fd, attribute, value, XattrFlags::empty())
}

fn xattrs(fd: BorrowedFd<'_>) -> Result<Xattrs, Errno> {
    read_xattrs(
        |buffer| rustix::fs::flistxattr(fd, buffer),
        |name, buffer| rustix::fs::fgetxattr(fd, name, buffer),
    )
}

fn read_xattrs(
    list: impl Fn(&mut [u8]) -> Result<usize, Errno>,
    get: impl Fn(&OsStr, &mut [u8]) -> Result<usize, Errno>,
) -> Result<Xattrs, Errno> {
    // Most files have none.
    match list(&mut [0; 64]) {
        Ok(0) | Err(Errno::NOTSUP) => return Ok(Vec::new()),
        Ok(_) | Err(Errno::RANGE) => {}
        Err(errno) => return Err(errno),
    }
    // 64 KiB is the kernel's limit for the list and for one value (xattr(7)).
    let mut buffer = vec![0_u8; 1 << 16];
    let length = list(&mut buffer)?;
    let names = buffer.get(..length).unwrap_or(&[]).to_vec();
    let mut found = Vec::new();
    for name in names.split(|b| *b == 0).filter(|name| !name.is_empty()) {
        match get(name_of(name), &mut buffer) {
            Ok(length) => found.push((name.to_vec(), buffer.get(..length).unwrap_or(&[]).to_vec())),
            Err(Errno::NODATA) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(found)
}

/// The file behind a descriptor, by way of this process's own `/proc` entry (proc(5), `fd/`).
fn descriptor_path(fd: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

fn timestamps(mtime: (i64, u32)) -> Timestamps {
    let time = Timespec {
        tv_sec: mtime.0,
        tv_nsec: mtime.1.into(),
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}

#[expect(
    clippy::useless_conversion,
    reason = "the fields' types differ between architectures"
)]
fn read_stat(stat: &rustix::fs::Stat) -> Stat {
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Kind::Directory,
        FileType::Symlink => Kind::Symlink,
        FileType::CharacterDevice => Kind::Char,
        FileType::BlockDevice => Kind::Block,
        FileType::Fifo => Kind::Fifo,
        FileType::Socket => Kind::Socket,
        FileType::RegularFile | FileType::Unknown => Kind::File,
    };
    let seconds = i64::try_from(stat.st_mtime).unwrap_or(0);
    let nanoseconds = u32::try_from(stat.st_mtime_nsec).unwrap_or(0);
    Stat {
        kind,
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        size: u64::try_from(stat.st_size).unwrap_or(0),
        mtime: (seconds, nanoseconds),
        rdev: (
            rustix::fs::major(stat.st_rdev),
            rustix::fs::minor(stat.st_rdev),
        ),
        links: u64::from(stat.st_nlink),
        inode: stat.st_ino,
        device: stat.st_dev,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture() -> (tempfile::TempDir, Dir) {
        let temporary = tempfile::tempdir().unwrap();
        let dir = Dir::open(temporary.path()).unwrap();
        (temporary, dir)
    }

    #[test]
    fn what_is_spread_keeps_its_other_flags() {
        // /tmp may be of a file system that has no flags.
        let temporary = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let dir = Dir::open(temporary.path()).unwrap();
        let Ok(before) = rustix::fs::ioctl_getflags(&dir.fd) else {
            return;
        };
        if rustix::fs::ioctl_setflags(&dir.fd, before | IFlags::NODUMP).is_err() {
            return;
        }
        dir.spread();
        let after = rustix::fs::ioctl_getflags(&dir.fd).unwrap();
        // Other file systems than ext4 may not take this one.
        assert_eq!(after - IFlags::TOPDIR, before | IFlags::NODUMP);
    }

    #[test]
    fn a_link_is_never_followed_on_the_way_to_a_directory() {
        let (_temporary, dir) = fixture();
        assert!(dir.make_symlink(b"out", b"/").unwrap());
        assert!(dir.find_dir(b"out/etc").unwrap().is_none());
        assert!(dir.find_dir(b"out").unwrap().is_none());
        assert!(dir.find_dir(b"../").is_err());
    }

    #[test]
    fn what_a_killed_removal_left_is_removed_with_the_rest() {
        let (temporary, dir) = fixture();
        for path in [
            "tree/.wharf-remove-1/left/over",
            "tree/.wharf-remove-2/x/y",
            "tree/a/b/c/d",
        ] {
            std::fs::create_dir_all(temporary.path().join(path)).unwrap();
        }
        dir.remove_tree(b"tree").unwrap();
        assert_eq!(dir.names().unwrap(), Vec::<Vec<u8>>::new());
    }

    #[test]
    fn names_with_slashes_or_dots_are_refused() {
        let (_temporary, dir) = fixture();
        for name in [b"a/b".as_slice(), b"..", b".", b""] {
            assert!(dir.make_file(name).is_err(), "{name:?}");
            assert!(dir.make_symlink(name, b"x").is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_tree_deeper_than_the_descriptor_limit_is_removed() {
        let (temporary, dir) = fixture();
        let mut inner = dir.try_clone().unwrap();
        for _ in 0..3000 {
            assert!(inner.make_dir(b"d").unwrap());
            inner.make_file(b"f").unwrap();
            inner = inner.find_dir(b"d").unwrap().unwrap();
        }
        dir.make_symlink(b"keep", b"d").unwrap();
        drop(inner);
        dir.remove_tree(b"d").unwrap();
        assert_eq!(dir.names().unwrap(), [b"f".to_vec(), b"keep".to_vec()]);
        drop(temporary);
    }

    #[test]
    fn a_mode_is_not_set_through_a_link() {
        let (temporary, dir) = fixture();
        let decoy = temporary.path().join("decoy");
        std::fs::create_dir(&decoy).unwrap();
        dir.make_symlink(b"l", b"decoy").unwrap();
        assert!(dir.set_node_mode(b"l", 0o777).is_err());
    }
}
