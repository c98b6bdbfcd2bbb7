//! Directories of a tree that is made at once. On ext4 without a journal, making a file costs a look at every inode that
//! was freed in its group of blocks within the last minute or five (`recently_deleted` in fs/ext4/ialloc.c), and a tree
//! goes to the groups that were emptied last: made again after its removal, 19,000 files took twenty times as long. There,
//! the directories are made in one that has them spread over the disk, and moved to their places.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use super::at::Dir;
use crate::engine::error::Result;

/// Where directories are made; by default, where they belong.
#[derive(Debug, Default)]
pub struct Nursery {
    /// `None`: where they belong.
    dir: Option<Dir>,
    next: AtomicU64,
}

impl Nursery {
    /// One for a tree below `parent`; where it is of use, it is a directory of this name, which is left there.
    ///
    /// # Errors
    /// What mkdirat(2) and openat(2) say.
    pub fn create(parent: &Dir, name: &[u8]) -> Result<Self> {
        let spreads = has_no_journal(&parent.device()?, Path::new("/sys"));
        Self::with(parent, name, spreads)
    }

    fn with(parent: &Dir, name: &[u8], spreads: bool) -> Result<Self> {
        let mut dir = None;
        if spreads && parent.make_dir(name)? {
            dir = parent.find_dir(name)?.inspect(Dir::spread);
        }
        Ok(Self {
            dir,
            next: AtomicU64::new(0),
        })
    }

    /// Makes a directory with mode 0700; `false` if there is something of that name already.
    ///
    /// # Errors
    /// What mkdirat(2) and renameat2(2) say otherwise.
    pub fn make_dir(&self, parent: &Dir, name: &[u8]) -> Result<bool> {
        let Some(dir) = &self.dir else {
            return parent.make_dir(name);
        };
        if parent.stat(name)?.is_some() {
            return Ok(false);
        }
        let made = format!("{}", self.next.fetch_add(1, Ordering::Relaxed));
        dir.make_dir(made.as_bytes())?;
        dir.rename_new(made.as_bytes(), parent, name)
    }
}

/// Whether a device, `major:minor`, has an ext4 without a journal (sysfs: `fs/ext4/<disk>/journal_task`).
fn has_no_journal(device: &str, sys: &Path) -> bool {
    let disk = std::fs::read_link(sys.join("dev/block").join(device)).unwrap_or_default();
    let Some(disk) = disk.file_name() else {
        return false;
    };
    let task = std::fs::read(sys.join("fs/ext4").join(disk).join("journal_task"));
    task.is_ok_and(|task| task.trim_ascii() == b"<none>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_made_once_wherever_it_comes_from() {
        for spreads in [false, true] {
            let temporary = tempfile::tempdir().unwrap();
            let parent = Dir::open(temporary.path()).unwrap();
            let nursery = Nursery::with(&parent, b"nursery", spreads).unwrap();
            assert!(nursery.make_dir(&parent, b"made").unwrap());
            assert!(!nursery.make_dir(&parent, b"made").unwrap());
            assert!(parent.make_symlink(b"link", b"/").unwrap());
            assert!(!nursery.make_dir(&parent, b"link").unwrap());
            let made = parent.find_dir(b"made").unwrap().unwrap();
            assert!(nursery.make_dir(&made, b"in it").unwrap());
            let mut names = parent.names().unwrap();
            names.sort();
            let nursery_there = names.iter().any(|name| name == b"nursery");
            assert_eq!(nursery_there, spreads, "{names:?}");
            if spreads {
                let left = parent.find_dir(b"nursery").unwrap().unwrap();
                assert_eq!(left.names().unwrap(), Vec::<Vec<u8>>::new());
            }
        }
    }

    #[test]
    fn only_ext4_without_a_journal_has_none() {
        let sys = tempfile::tempdir().unwrap();
        let path = |path: &str| sys.path().join(path);
        std::fs::create_dir_all(path("dev/block")).unwrap();
        for (device, disk, task) in [
            ("8:1", "sda1", Some("<none>\n")),
            ("8:2", "sda2", Some("1234\n")),
            ("8:3", "sda3", None),
        ] {
            let target = format!("../../devices/pci0/block/sda/{disk}");
            std::os::unix::fs::symlink(target, path("dev/block").join(device)).unwrap();
            let Some(task) = task else { continue };
            let known = path("fs/ext4").join(disk);
            std::fs::create_dir_all(&known).unwrap();
            std::fs::write(known.join("journal_task"), task).unwrap();
        }
        let found = ["8:1", "8:2", "8:3", "0:40"].map(|device| has_no_journal(device, sys.path()));
        assert_eq!(found, [true, false, false, false]);
    }
}
