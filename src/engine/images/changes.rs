//! What a container has changed in its image's files: the upper directory of its overlay against the layers below
//! (kernel documentation, filesystems/overlayfs.rst), as a list and as a layer.

use std::collections::BTreeSet;

use super::pack::{Packer, Writer, join};
use super::tarball::{Entry, Kind};
pub use super::unpack::find_lower;
use super::unpack::is_opaque;
use crate::engine::error::{Error, Result};
use crate::engine::model::container::{Change, Changed};
use crate::engine::sys::at::{self, Dir, Stat};

/// The upper directory, and what it covers.
#[derive(Debug)]
pub struct Changes<'a> {
    /// The container's own files.
    pub upper: &'a Dir,
    /// Unpacked layers, topmost first.
    pub lowers: &'a [Dir],
    /// Where the engine itself mounts: what it makes there is nobody's change. Without a slash in front.
    pub mounted: &'a BTreeSet<Vec<u8>>,
}

impl Changes<'_> {
    /// Every path that differs, sorted. A directory is told of if it differs itself or if something in it does.
    ///
    /// # Errors
    /// What reading says.
    pub fn list(&self) -> Result<Vec<Change>> {
        let mut list = Vec::new();
        self.look(b"", &mut list)?;
        let mut list: Vec<Change> = list.into_iter().map(show).collect();
        list.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(list)
    }

    /// The changes of one directory of the upper tree and below; whether there are any.
    fn look(&self, path: &[u8], list: &mut Vec<(Vec<u8>, Changed)>) -> Result<bool> {
        let Some(dir) = self.upper.find_dir(path)? else {
            return Ok(false);
        };
        let start = list.len();
        let opaque = is_opaque(&dir)?;
        let names = dir.names()?;
        for name in &names {
            let inner = join(path, name);
            let Some(stat) = dir.stat(name)? else {
                continue;
            };
            if stat.is_whiteout() {
                if self.below(&inner)?.is_some() {
                    list.push((inner, Changed::Deleted));
                }
                continue;
            }
            self.compare(&dir, name, inner, &stat, list)?;
        }
        if opaque && !path.is_empty() {
            for name in self.names_below(path)? {
                if !names.contains(&name) {
                    list.push((join(path, &name), Changed::Deleted));
                }
            }
        }
        Ok(list.len() > start)
    }

    fn compare(
        &self,
        dir: &Dir,
        name: &[u8],
        path: Vec<u8>,
        stat: &Stat,
        list: &mut Vec<(Vec<u8>, Changed)>,
    ) -> Result<()> {
        let before = self.below(&path)?;
        if stat.kind != at::Kind::Directory {
            let kind = match before {
                Some(_) => Changed::Modified,
                None if self.is_ours(&path, stat) => return Ok(()),
                None => Changed::Added,
            };
            list.push((path, kind));
            return Ok(());
        }
        let at = list.len();
        let inside = self.look(&path, list)?;
        let kind = match before {
            Some((_, before)) if before.kind == at::Kind::Directory => {
                let differs =
                    (stat.mode, stat.uid, stat.gid) != (before.mode, before.uid, before.gid);
                // The engine's own mount points in it change its time, too.
                let touched = stat.mtime != before.mtime && !self.holds_ours(&path);
                if !inside && !differs && !touched && !self.is_new(dir, name, &path)? {
                    return Ok(());
                }
                Changed::Modified
            }
            Some(_) => Changed::Modified,
            None if !inside && (self.is_ours(&path, stat) || self.holds_ours(&path)) => {
                return Ok(());
            }
            None => Changed::Added,
        };
        list.insert(at, (path, kind));
        Ok(())
    }

    /// An opaque directory took the place of one below.
    fn is_new(&self, dir: &Dir, name: &[u8], path: &[u8]) -> Result<bool> {
        match dir.find_dir(name)? {
            Some(own) => Ok(is_opaque(&own)? && !self.names_below(path)?.is_empty()),
            None => Ok(false),
        }
    }

    /// A mount point of the engine: an empty file or a directory.
    fn is_ours(&self, path: &[u8], stat: &Stat) -> bool {
        let empty = stat.kind == at::Kind::File && stat.size == 0;
        self.mounted.contains(path) && (empty || stat.kind == at::Kind::Directory)
    }

    /// A directory with such a mount point below.
    fn holds_ours(&self, path: &[u8]) -> bool {
        let inside =
            |mounted: &Vec<u8>| mounted.starts_with(path) && mounted.get(path.len()) == Some(&b'/');
        self.mounted.iter().any(inside)
    }

    /// What the layers have at a path.
    fn below(&self, path: &[u8]) -> Result<Option<(Dir, Stat)>> {
        // An opaque directory of ours on the way changes nothing: what was there before is asked for.
        match find_lower(self.lowers, path)? {
            Some((dir, name)) => Ok(dir.stat(&name)?.map(|stat| (dir, stat))),
            None => Ok(None),
        }
    }

    /// Names in the merged directory of the layers.
    fn names_below(&self, path: &[u8]) -> Result<BTreeSet<Vec<u8>>> {
        let mut candidates = BTreeSet::new();
        for lower in self.lowers {
            if let Some(dir) = lower.find_dir(path)? {
                candidates.extend(dir.names()?);
            }
        }
        let mut names = BTreeSet::new();
        for name in candidates {
            if self.below(&join(path, &name))?.is_some() {
                names.insert(name);
            }
        }
        Ok(names)
    }

    /// Packs the changes as a layer (OCI image-spec, layer.md, "Representing Changes").
    ///
    /// # Errors
    /// What reading and writing say.
    pub fn pack(&self, writer: &mut Writer<'_>) -> Result<()> {
        let wanted = {
            let mut list = Vec::new();
            self.look(b"", &mut list)?;
            list
        };
        let mut packer = Packer::new(writer);
        // Parents that did not change themselves come along in their place: a layer says what its directories are.
        let mut paths: BTreeSet<(Vec<u8>, bool)> = BTreeSet::new();
        for (path, kind) in wanted {
            paths.insert((path, kind == Changed::Deleted));
        }
        for (path, deleted) in paths {
            let (parent, name) = split(&path);
            let whiteout = |name: &[u8]| join(parent, &[b".wh.", name].concat());
            if deleted {
                // Below an opaque directory everything is gone already.
                let hidden = match self.upper.find_dir(parent)? {
                    Some(dir) => is_opaque(&dir)?,
                    None => false,
                };
                if !hidden {
                    packer.writer().head(&empty_file(whiteout(name)))?;
                }
                continue;
            }
            let Some(dir) = self.upper.find_dir(parent)? else {
                continue;
            };
            if packer.entry(&dir, name, &path)?
                && let Some(own) = dir.find_dir(name)?
                && is_opaque(&own)?
            {
                let marker = join(&path, b".wh..wh..opq");
                packer.writer().head(&empty_file(marker))?;
            }
        }
        Ok(())
    }
}

fn empty_file(path: Vec<u8>) -> Entry {
    Entry {
        path,
        link: Vec::new(),
        kind: Kind::File,
        mode: 0o600,
        uid: 0,
        gid: 0,
        size: 0,
        mtime: (0, 0),
        device: (0, 0),
        xattrs: Vec::new(),
        sparse: None,
    }
}

fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (
            path.get(..at).unwrap_or_default(),
            path.get(at + 1..).unwrap_or_default(),
        ),
        None => (b"", path),
    }
}

fn show((path, kind): (Vec<u8>, Changed)) -> Change {
    Change {
        path: format!("/{}", String::from_utf8_lossy(&path)),
        kind,
    }
}

/// Opens layers, topmost first.
///
/// # Errors
/// What open(2) says; a layer that is not there is damage.
pub fn open_layers(directories: &[std::path::PathBuf]) -> Result<Vec<Dir>> {
    directories
        .iter()
        .map(|path| Dir::open(path).map_err(|error: Error| error.attempting("open layer")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::images::tarball::Reader;
    use crate::engine::model::Cancel;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    struct Tree {
        dir: tempfile::TempDir,
    }

    impl Tree {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            for name in ["low/etc", "low/var/log", "up"] {
                fs::create_dir_all(dir.path().join(name)).unwrap();
            }
            fs::write(dir.path().join("low/etc/passwd"), "x").unwrap();
            fs::write(dir.path().join("low/var/log/a"), "x").unwrap();
            Self { dir }
        }

        fn upper(&self, name: &str) -> std::path::PathBuf {
            self.dir.path().join("up").join(name)
        }

        /// As overlayfs copies a directory up: with its time.
        fn copy_up(&self, name: &str) {
            fs::create_dir(self.upper(name)).unwrap();
            let low = self.dir.path().join("low").join(name);
            let time = fs::metadata(low).unwrap().modified().unwrap();
            let file = fs::File::open(self.upper(name)).unwrap();
            file.set_modified(time).unwrap();
        }

        fn with<T>(&self, mounted: &[&str], work: impl FnOnce(&Changes<'_>) -> T) -> T {
            let open = |name: &str| Dir::open(&self.dir.path().join(name)).unwrap();
            let (upper, lowers) = (open("up"), [open("low")]);
            let mounted = mounted
                .iter()
                .map(|path| path.as_bytes().to_vec())
                .collect();
            work(&Changes {
                upper: &upper,
                lowers: &lowers,
                mounted: &mounted,
            })
        }

        fn list(&self, mounted: &[&str]) -> Vec<String> {
            self.with(mounted, |changes| changes.list().unwrap())
                .iter()
                .map(|change| format!("{} {}", change.kind.letter(), change.path))
                .collect()
        }
    }

    fn touch(path: impl AsRef<Path>, content: &str) {
        fs::write(path, content).unwrap();
    }

    #[test]
    fn added_changed_and_metadata_only_changes_are_told_with_their_directories() {
        let tree = Tree::new();
        assert!(tree.list(&[]).is_empty());
        tree.copy_up("etc");
        assert!(tree.list(&[]).is_empty(), "copied up and nothing else");
        touch(tree.upper("etc/passwd"), "y");
        fs::create_dir(tree.upper("new")).unwrap();
        touch(tree.upper("new/file"), "z");
        tree.copy_up("var");
        fs::set_permissions(tree.upper("var"), fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(
            tree.list(&[]),
            ["C /etc", "C /etc/passwd", "A /new", "A /new/file", "C /var"]
        );
    }

    #[test]
    fn mount_points_of_the_engine_are_nobodys_change() {
        let tree = Tree::new();
        tree.copy_up("etc");
        touch(tree.upper("etc/hosts"), "");
        fs::create_dir_all(tree.upper("proc")).unwrap();
        fs::create_dir_all(tree.upper("run/x")).unwrap();
        let mounted = ["etc/hosts", "proc", "run/x"];
        assert!(tree.list(&mounted).is_empty(), "{:?}", tree.list(&mounted));
        // What the container wrote there itself is.
        touch(tree.upper("etc/hosts"), "own");
        touch(tree.upper("run/f"), "own");
        assert_eq!(
            tree.list(&mounted),
            ["C /etc", "A /etc/hosts", "A /run", "A /run/f"]
        );
    }

    #[test]
    fn a_layer_of_changes_has_whiteouts_and_its_directories() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let tree = Tree::new();
        tree.copy_up("etc");
        let upper = Dir::open(&tree.upper("etc")).unwrap();
        upper.make_node(b"passwd", at::Kind::Char, (0, 0)).unwrap();
        fs::create_dir(tree.upper("var")).unwrap();
        touch(tree.upper("var/x"), "new");
        let var = Dir::open(&tree.upper("var")).unwrap();
        // Needs a file system with trusted attributes.
        if var
            .set_own_xattr(super::super::unpack::OPAQUE_XATTR, b"y")
            .is_err()
        {
            return;
        }
        assert_eq!(
            tree.list(&[]),
            [
                "C /etc",
                "D /etc/passwd",
                "C /var",
                "D /var/log",
                "A /var/x"
            ]
        );
        let (mut bytes, cancel) = (Vec::new(), Cancel::new());
        let mut writer = Writer::new(&mut bytes, &cancel);
        tree.with(&[], |changes| changes.pack(&mut writer)).unwrap();
        writer.finish().unwrap();
        let mut reader = Reader::new(bytes.as_slice());
        let mut names = Vec::new();
        while let Some(entry) = reader.next_entry().unwrap() {
            names.push(String::from_utf8(entry.path).unwrap());
        }
        assert_eq!(
            names,
            [
                "etc/",
                "etc/.wh.passwd",
                "var/",
                "var/.wh..wh..opq",
                "var/x"
            ]
        );
    }
}
