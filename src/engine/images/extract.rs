//! Extracts an archive into a tree that is in use: a container's, or the user's. Unlike a layer (`unpack.rs`) it replaces what
//! is there, file by file, and has no whiteouts.
//!
//! Nothing in the archive, and nobody who changes the tree meanwhile, can lead it out of its [`Ground`]: each entry's
//! directory is resolved by descriptor, and its last part is never followed.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::codec;
use super::tarball::{self, Entry, Kind, Reader};
use super::unpack::clean;
use crate::engine::error::{Attempt, Error, Kind as ErrorKind, Result};
use crate::engine::model::Cancel;
use crate::engine::sys::at::{self, Dir};
use crate::engine::sys::rooted::Rooted;

/// How often a name is tried that somebody else takes again and again.
const TRIES: usize = 16;
const CHUNK: usize = 256 << 10;

/// Where entries go.
#[derive(Debug)]
pub enum Ground<'a> {
    /// A directory of the user: no link below it is followed.
    Below(&'a Dir),
    /// A directory of a container's root, by its path there: links are followed inside that root.
    Inside(&'a Rooted, &'a Path),
}

impl Ground<'_> {
    /// The directory of an entry, made if it is missing.
    fn parent(&self, path: &[u8]) -> Result<Dir> {
        match self {
            Self::Below(dir) => below(dir, path),
            Self::Inside(root, base) => {
                let path = base.join(Path::new(std::ffi::OsStr::from_bytes(path)));
                let fd = root.make_dirs(&path)?;
                Dir::reopen(fd.as_fd(), &path)
            }
        }
    }

    /// For messages.
    fn label(&self) -> PathBuf {
        match self {
            Self::Below(dir) => dir.label().to_owned(),
            Self::Inside(_, base) => base.to_path_buf(),
        }
    }
}

fn below(root: &Dir, path: &[u8]) -> Result<Dir> {
    let mut dir = root.try_clone()?;
    for part in path
        .split(|byte| *byte == b'/')
        .filter(|part| !part.is_empty())
    {
        if dir.make_dir(part)?
            && let Some(made) = dir.find_dir(part)?
        {
            made.set_own_attributes(0, 0, 0o755)?;
        }
        dir = dir.find_dir(part)?.ok_or_else(|| {
            Error::invalid(format!(
                "{} is not a directory",
                dir.label().join(shown(part)).display()
            ))
        })?;
    }
    Ok(dir)
}

/// Whose the files become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owners {
    /// As the archive says.
    Kept,
    /// The caller's. Rights that a file has by its owner (setuid, setgid) do not come along.
    Caller,
}

/// Extracts an archive, also a compressed one. A directory is never replaced by something else, nor the other way round;
/// one that is there keeps its owner, mode and time. A file appears under its name when it is whole.
///
/// # Errors
/// `InvalidInput` for an archive that cannot be read or an entry that would leave the ground; `Conflict` for a directory that
/// is in the way; what the file system says. What was extracted until then stays.
pub fn extract(
    input: &mut (dyn Read + Send),
    ground: &Ground<'_>,
    owners: Owners,
    cancel: &Cancel,
) -> Result<()> {
    let plain = codec::decode_archive(input).attempt(|| "read the archive")?;
    let mut extraction = Extraction {
        ground,
        owners,
        reader: Reader::new(plain),
        buffer: vec![0; CHUNK],
        times: Vec::new(),
    };
    while let Some(entry) = extraction.reader.next_entry().map_err(unreadable)? {
        if cancel.is_cancelled() {
            return Err(Error::new(ErrorKind::Cancelled, "cancelled"));
        }
        extraction
            .entry(&entry)
            .attempt(|| format!("extract {}", shown(&entry.path)))?;
    }
    extraction.set_times()
}

struct Extraction<'a, 'b, R> {
    ground: &'a Ground<'b>,
    owners: Owners,
    reader: Reader<R>,
    buffer: Vec<u8>,
    /// Times of the directories that were made: what is put into them changes them.
    times: Vec<(Dir, (i64, u32))>,
}

impl<R: Read> Extraction<'_, '_, R> {
    fn entry(&mut self, entry: &Entry) -> Result<()> {
        let path = clean(&entry.path).ok_or_else(|| Error::invalid("the path leads out"))?;
        let (parent, name) = split(&path);
        if name.is_empty() {
            return match entry.kind {
                Kind::Directory => Ok(()),
                _ => Err(Error::invalid("the path is empty")),
            };
        }
        let dir = self.ground.parent(parent)?;
        self.check(&dir, name, entry)?;
        match entry.kind {
            Kind::Directory => self.directory(&dir, name, entry),
            Kind::File => self.file(&dir, name, entry),
            Kind::HardLink => self.hard_link(&dir, name, entry),
            Kind::Symlink | Kind::Char | Kind::Block | Kind::Fifo => self.node(&dir, name, entry),
        }
    }

    /// Docker's rule of what may replace what.
    fn check(&self, dir: &Dir, name: &[u8], entry: &Entry) -> Result<()> {
        let Some(there) = dir.stat(name)? else {
            return Ok(());
        };
        let there = there.kind == at::Kind::Directory;
        let wanted = entry.kind == Kind::Directory;
        if there == wanted {
            if !there && dir.is_mounted_on(name)? {
                let path = self.ground.label().join(shown(&entry.path));
                return Err(Error::conflict(format!(
                    "replace {}: it is a mount",
                    path.display()
                )));
            }
            return Ok(());
        }
        let (what, with) = if there {
            ("directory", "non-directory")
        } else {
            ("non-directory", "directory")
        };
        let path = self.ground.label().join(shown(&entry.path));
        Err(Error::conflict(format!(
            "cannot overwrite {what} {:?} with {with} {:?}",
            path.display().to_string(),
            shown(&entry.path)
        )))
    }

    fn directory(&mut self, dir: &Dir, name: &[u8], entry: &Entry) -> Result<()> {
        if !dir.make_dir(name)? {
            return Ok(());
        }
        let Some(own) = dir.find_dir(name)? else {
            return Err(Error::conflict("somebody else changes it"));
        };
        let (uid, gid, mode) = self.attributes(entry);
        own.set_own_attributes(uid, gid, mode)?;
        for (attribute, value) in self.xattrs(entry) {
            tolerate(own.set_own_xattr(attribute, value))?;
        }
        self.times.push((own, entry.mtime));
        // So many are enough: descriptors are few, and a time that is a little late does no harm.
        if self.times.len() > 200 {
            self.set_times()?;
        }
        Ok(())
    }

    fn set_times(&mut self) -> Result<()> {
        // What is inside first.
        self.times
            .drain(..)
            .rev()
            .try_for_each(|(dir, mtime)| dir.set_own_mtime(mtime))
    }

    fn file(&mut self, dir: &Dir, name: &[u8], entry: &Entry) -> Result<()> {
        // The temporary name tells the user nothing.
        let named = |verb: &str, error: Error| match error.raw_os_error() {
            Some(number) => Error::io(
                format!("{verb} {}", dir.label().join(shown(name)).display()),
                io::Error::from_raw_os_error(number),
            ),
            None => error,
        };
        let (file, temporary) = new_file(dir).map_err(|error| named("create", error))?;
        let filled = self.fill(&file, entry).and_then(|()| {
            let renamed = dir.rename(&temporary, dir, name);
            renamed.map_err(|error| named("replace", error))
        });
        if filled.is_err() {
            let _ = dir.remove_file(&temporary);
        }
        filled
    }

    fn fill(&mut self, file: &File, entry: &Entry) -> Result<()> {
        match &entry.sparse {
            None => {
                let mut position = 0;
                self.copy(file, &mut position, u64::MAX)?;
            }
            Some(pieces) => {
                file.set_len(entry.size).attempt(|| "set size")?;
                for (offset, length) in pieces {
                    let mut position = *offset;
                    self.copy(file, &mut position, *length)?;
                }
            }
        }
        let (uid, gid, mode) = self.attributes(entry);
        at::set_file_attributes(file, uid, gid, mode).attempt(|| "set owner and mode")?;
        for (attribute, value) in self.xattrs(entry) {
            tolerate(at::set_file_xattr(file, attribute, value).attempt(|| "set attribute"))?;
        }
        at::set_file_mtime(file, entry.mtime).attempt(|| "set time")
    }

    /// Writes at most `length` stored bytes at a position.
    fn copy(&mut self, file: &File, position: &mut u64, length: u64) -> Result<()> {
        use std::os::unix::fs::FileExt;
        let mut left = length;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
            let buffer = self.buffer.get_mut(..most).unwrap_or_default();
            let read = self.reader.read_data(buffer).map_err(unreadable)?;
            let data = buffer.get(..read).unwrap_or_default();
            if data.is_empty() {
                break;
            }
            file.write_all_at(data, *position).attempt(|| "write")?;
            let count = u64::try_from(read).unwrap_or(left);
            *position += count;
            left = left.saturating_sub(count);
        }
        Ok(())
    }

    fn hard_link(&mut self, dir: &Dir, name: &[u8], entry: &Entry) -> Result<()> {
        let target = clean(&entry.link)
            .filter(|target| !target.is_empty())
            .ok_or_else(|| Error::invalid("the hard link leads out"))?;
        let (parent, target_name) = split(&target);
        let from = self.ground.parent(parent)?;
        if from.stat(target_name)?.is_none() {
            return Err(Error::not_found(format!(
                "hard link target {} is missing",
                shown(&target)
            )));
        }
        replace(dir, name, || dir.make_hard_link(name, &from, target_name))
    }

    fn node(&mut self, dir: &Dir, name: &[u8], entry: &Entry) -> Result<()> {
        replace(dir, name, || match entry.kind {
            Kind::Char => dir.make_node(name, at::Kind::Char, entry.device),
            Kind::Block => dir.make_node(name, at::Kind::Block, entry.device),
            Kind::Fifo => dir.make_node(name, at::Kind::Fifo, (0, 0)),
            Kind::Symlink | Kind::File | Kind::HardLink | Kind::Directory => {
                dir.make_symlink(name, &entry.link)
            }
        })?;
        let (uid, gid, mode) = self.attributes(entry);
        dir.set_owner(name, uid, gid)?;
        if entry.kind != Kind::Symlink {
            dir.set_node_mode(name, mode)?;
        }
        dir.set_mtime(name, entry.mtime)
    }

    fn attributes(&self, entry: &Entry) -> (u32, u32, u32) {
        match self.owners {
            Owners::Kept => (entry.uid, entry.gid, entry.mode),
            Owners::Caller => {
                let (uid, gid) = crate::engine::sys::host::effective_ids();
                (uid, gid, entry.mode & 0o1777)
            }
        }
    }

    fn xattrs<'e>(&self, entry: &'e Entry) -> impl Iterator<Item = (&'e [u8], &'e [u8])> {
        let kept = self.owners == Owners::Kept;
        // Capabilities of a file are rights like setuid.
        let wanted = move |name: &[u8]| {
            let foreign = [&b"trusted."[..], b"security."]
                .iter()
                .any(|prefix| name.starts_with(prefix));
            !foreign || (kept && name == b"security.capability")
        };
        entry
            .xattrs
            .iter()
            .map(|(name, value)| (name.as_slice(), value.as_slice()))
            .filter(move |(name, _)| wanted(name))
    }
}

/// A new file under a name of its own.
fn new_file(dir: &Dir) -> Result<(File, Vec<u8>)> {
    for _ in 0..TRIES {
        let random = u64::from_le_bytes(at::random_bytes()?);
        let name = format!(".wharf-copy-{random:016x}").into_bytes();
        if let Some(file) = dir.make_file(&name)? {
            return Ok((file, name));
        }
    }
    Err(Error::conflict("every temporary name is taken"))
}

/// Makes something in place of what is not a directory.
fn replace(dir: &Dir, name: &[u8], make: impl Fn() -> Result<bool>) -> Result<()> {
    for _ in 0..TRIES {
        if make()? {
            return Ok(());
        }
        dir.remove_file(name)?;
    }
    Err(Error::conflict("somebody else makes it again and again"))
}

/// File systems without extended attributes do without, as with tar.
fn tolerate(set: Result<()>) -> Result<()> {
    const ENOTSUP: i32 = 95;
    match set {
        Err(error) if error.raw_os_error() == Some(ENOTSUP) => Ok(()),
        other => other,
    }
}

fn unreadable(error: tarball::Error) -> Error {
    match error {
        tarball::Error::Io(error) => Error::io("read the archive", error),
        other => Error::invalid(other.to_string()),
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

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::images::pack::{Packer, Writer};
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    /// An archive of plain entries: name, kind, link or content.
    fn archive(entries: &[(&str, Kind, &str)]) -> Vec<u8> {
        let (mut bytes, cancel) = (Vec::new(), Cancel::new());
        let mut writer = Writer::new(&mut bytes, &cancel);
        for (name, kind, text) in entries {
            let is_file = *kind == Kind::File;
            let entry = Entry {
                path: name.as_bytes().to_vec(),
                link: if is_file {
                    Vec::new()
                } else {
                    text.as_bytes().to_vec()
                },
                kind: *kind,
                mode: 0o4755,
                uid: rustix::process::geteuid().as_raw(),
                gid: rustix::process::getegid().as_raw(),
                size: if is_file { text.len() as u64 } else { 0 },
                mtime: (1000, 0),
                device: (0, 0),
                xattrs: Vec::new(),
                sparse: None,
            };
            writer.head(&entry).unwrap();
            if is_file {
                writer
                    .content(entry.size, &mut text.as_bytes(), b"")
                    .unwrap();
            }
        }
        writer.finish().unwrap();
        bytes
    }

    fn into_dir(bytes: &[u8], to: &Path, owners: Owners) -> Result<()> {
        let dir = Dir::open(to).unwrap();
        let mut input = bytes;
        extract(&mut input, &Ground::Below(&dir), owners, &Cancel::new())
    }

    #[test]
    fn what_was_packed_is_extracted_and_replaces_files() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::create_dir_all(from.join("d/e")).unwrap();
        fs::create_dir_all(to.join("d")).unwrap();
        fs::set_permissions(to.join("d"), fs::Permissions::from_mode(0o700)).unwrap();
        fs::write(from.join("d/f"), "new").unwrap();
        fs::write(to.join("d/f"), "old and longer").unwrap();
        fs::write(to.join("d/kept"), "kept").unwrap();
        symlink("f", from.join("d/l")).unwrap();
        symlink("/etc/passwd", to.join("d/l")).unwrap();
        let (mut bytes, cancel) = (Vec::new(), Cancel::new());
        let mut writer = Writer::new(&mut bytes, &cancel);
        Packer::new(&mut writer)
            .tree(&Dir::open(&from).unwrap(), b"")
            .unwrap();
        writer.finish().unwrap();
        into_dir(&bytes, &to, Owners::Caller).unwrap();
        assert_eq!(fs::read(to.join("d/f")).unwrap(), b"new");
        assert_eq!(fs::read(to.join("d/kept")).unwrap(), b"kept");
        assert_eq!(fs::read_link(to.join("d/l")).unwrap(), Path::new("f"));
        let mode = fs::metadata(to.join("d")).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode, 0o700, "a directory that was there keeps its mode");
        assert_eq!(
            fs::read_dir(to.join("d")).unwrap().count(),
            4,
            "nothing temporary is left"
        );
    }

    #[test]
    fn cve_2018_15664_no_link_of_archive_or_tree_leads_out() {
        let dir = tempfile::tempdir().unwrap();
        let (out, to) = (dir.path().join("out"), dir.path().join("to"));
        fs::create_dir(&out).unwrap();
        fs::write(out.join("f"), "host").unwrap();
        let link = out.display().to_string();
        let victim = format!("{link}/f");
        for (entries, why) in [
            (
                vec![
                    ("x", Kind::Symlink, link.as_str()),
                    ("x/f", Kind::File, "evil"),
                ],
                "through a link of its own",
            ),
            (
                vec![("there/f", Kind::File, "evil")],
                "through a link that was there",
            ),
            (vec![("../out/f", Kind::File, "evil")], "by dots"),
            (
                vec![("h", Kind::HardLink, "../out/f"), ("h", Kind::File, "evil")],
                "by a hard link",
            ),
            (
                vec![("there/f", Kind::HardLink, "there/f")],
                "by a hard link through a link",
            ),
            (
                vec![
                    ("x", Kind::Symlink, link.as_str()),
                    ("x", Kind::Directory, ""),
                ],
                "as a directory",
            ),
        ] {
            let _ = fs::remove_dir_all(&to);
            fs::create_dir(&to).unwrap();
            symlink(&out, to.join("there")).unwrap();
            let refused = into_dir(&archive(&entries), &to, Owners::Kept);
            assert!(refused.is_err(), "{why}");
            assert_eq!(fs::read(out.join("f")).unwrap(), b"host", "{why}");
            assert_eq!(fs::read_dir(&out).unwrap().count(), 1, "{why}");
        }
        // A link at the place of a file is replaced, not written through.
        fs::remove_dir_all(&to).unwrap();
        fs::create_dir(&to).unwrap();
        symlink(&victim, to.join("f")).unwrap();
        into_dir(&archive(&[("f", Kind::File, "own")]), &to, Owners::Kept).unwrap();
        assert_eq!(fs::read(out.join("f")).unwrap(), b"host");
        assert_eq!(fs::read(to.join("f")).unwrap(), b"own");
    }

    #[test]
    fn directories_and_others_do_not_replace_each_other() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("d")).unwrap();
        fs::write(dir.path().join("f"), "x").unwrap();
        for (entry, text) in [
            (("d", Kind::File, "x"), "cannot overwrite directory"),
            (("f", Kind::Directory, ""), "cannot overwrite non-directory"),
        ] {
            let error = into_dir(&archive(&[entry]), dir.path(), Owners::Kept).unwrap_err();
            assert!(error.to_string().contains(text), "{error}");
        }
    }

    #[test]
    fn rights_of_an_owner_do_not_come_along_to_another() {
        let dir = tempfile::tempdir().unwrap();
        let mode = |name: &str| {
            fs::metadata(dir.path().join(name))
                .unwrap()
                .permissions()
                .mode()
                & 0o7777
        };
        into_dir(
            &archive(&[("a", Kind::File, "x")]),
            dir.path(),
            Owners::Caller,
        )
        .unwrap();
        into_dir(
            &archive(&[("b", Kind::File, "x")]),
            dir.path(),
            Owners::Kept,
        )
        .unwrap();
        assert_eq!((mode("a"), mode("b")), (0o755, 0o4755));
    }

    #[test]
    fn a_file_that_is_cut_short_leaves_the_old_one() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("f"), "old").unwrap();
        let bytes = archive(&[("f", Kind::File, "new content")]);
        assert!(into_dir(&bytes[..515], dir.path(), Owners::Kept).is_err());
        assert_eq!(fs::read(dir.path().join("f")).unwrap(), b"old");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn inside_a_root_links_lead_inside() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        fs::create_dir_all(root.join("usr/lib")).unwrap();
        fs::create_dir(dir.path().join("lib")).unwrap();
        symlink("usr/lib", root.join("lib")).unwrap();
        symlink("/../../lib", root.join("up")).unwrap();
        let rooted = Rooted::open(&root).unwrap();
        let bytes = archive(&[
            ("lib/a", Kind::File, "a"),
            ("up/b", Kind::File, "b"),
            ("new/c", Kind::File, "c"),
        ]);
        let mut input = bytes.as_slice();
        let ground = Ground::Inside(&rooted, Path::new("/"));
        extract(&mut input, &ground, Owners::Kept, &Cancel::new()).unwrap();
        assert!(root.join("usr/lib/a").is_file() && root.join("usr/lib/b").is_file());
        assert!(root.join("new/c").is_file());
        assert_eq!(fs::read_dir(dir.path().join("lib")).unwrap().count(), 0);
    }
}
