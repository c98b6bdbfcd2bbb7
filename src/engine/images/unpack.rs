//! Applies one layer's archive to an empty directory, by descriptor: nothing in the archive can name, change or link to
//! anything outside of it. Whiteouts become what overlayfs expects.
//!
//! A layer is unpacked on its own, without those below it, so that layers can be unpacked side by side. What needs the
//! lower layers (a hard link to a file of theirs, the attributes of a directory that the archive does not name) is
//! noted and done by [`Unpacked::complete`].

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::codec::{self, CHUNK};
use super::tarball::{self, Entry, Kind};
use super::{index, ingest};
use crate::engine::error::{Attempt, Error, Kind as ErrorKind, Result};
use crate::engine::sys::at::{self, Dir};
use crate::engine::sys::behind::{Behind, Trail};
use crate::engine::sys::nursery::Nursery;

pub(super) const WHITEOUT: &[u8] = b".wh.";
pub(super) const SPECIAL_WHITEOUT: &[u8] = b".wh..wh.";
pub(super) const OPAQUE_WHITEOUT: &[u8] = b".wh..wh..opq";
/// What marks a directory that hides those below (overlayfs).
pub const OPAQUE_XATTR: &[u8] = b"trusted.overlay.opaque";
/// Most entries of one layer. A whole desktop has about two million files.
pub(super) const MAX_ENTRIES: u64 = 20_000_000;
/// Longest path of an entry and longest name in it, in bytes (path_resolution(7), `PATH_MAX` and `NAME_MAX`).
const MAX_PATH: usize = 4096;
const MAX_NAME: usize = 255;
/// Links followed on the way to one entry, as the kernel (path_resolution(7)).
pub(super) const MAX_LINKS: usize = 40;
/// Holes larger than this are not hashed: a file of a few bytes can claim to be exabytes long.
pub(super) const MAX_HASHED_HOLES: u64 = 256 << 20;

/// A layer whose archive is applied, but which may still need something of the layers below.
#[derive(Debug)]
pub struct Unpacked {
    layer: Layer,
}

/// Applies an uncompressed archive to an empty directory; the directories in it come from the nursery. What follows its
/// end marker is left in `input`.
///
/// # Errors
/// `InvalidInput` naming the entry for anything malformed or escaping; what the file system says. The directory then
/// holds a part of the layer.
pub fn unpack(
    input: &mut dyn Read,
    root: Dir,
    behind: &Arc<Behind>,
    nursery: &Arc<Nursery>,
) -> Result<Unpacked> {
    let mut reader = tarball::Reader::new(input);
    let mut layer = Layer {
        root,
        index: index::Builder::default(),
        current: None,
        implied: BTreeSet::from([Vec::new()]),
        opaque: BTreeSet::new(),
        wanted: Vec::new(),
        buffer: vec![0; CHUNK],
        behind: Arc::clone(behind),
        nursery: Arc::clone(nursery),
    };
    layer.root.set_own_attributes(0, 0, 0o755)?;
    layer.root.set_own_mtime((0, 0))?;
    layer.index.add(&implied_directory(b""));
    let mut entries = 0_u64;
    while let Some(entry) = reader.next_entry().map_err(archive_error)? {
        entries += 1;
        if entries > MAX_ENTRIES {
            return Err(Error::invalid(format!(
                "the layer has more than {MAX_ENTRIES} entries"
            )));
        }
        check_length(&entry.path)?;
        layer
            .apply(&entry, &mut reader)
            .map_err(|error| match error.kind() {
                ErrorKind::Cancelled => error,
                _ => error.attempting(format!("entry {}", shown(&entry.path))),
            })?;
    }
    Ok(Unpacked { layer })
}

/// Refuses paths that no file system takes, before they are kept anywhere.
pub(super) fn check_length(path: &[u8]) -> Result<()> {
    let longest = path.split(|byte| *byte == b'/').map(<[u8]>::len).max();
    if path.len() <= MAX_PATH && longest.unwrap_or(0) <= MAX_NAME {
        return Ok(());
    }
    let start = path.get(..64).unwrap_or(path);
    Err(Error::invalid(format!(
        "entry {}…: the path is too long ({MAX_PATH} bytes, {MAX_NAME} each part)",
        shown(start)
    )))
}

impl Unpacked {
    /// Takes from the layers below (topmost first) what this one needs of them, sets the directories' times, and
    /// gives the list of all entries.
    ///
    /// # Errors
    /// `InvalidInput` for a hard link to a file that is nowhere; what the file system says.
    pub fn complete(mut self, lowers: &[Dir]) -> Result<Complete> {
        let wanted = std::mem::take(&mut self.layer.wanted);
        let mut copies: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
        for (path, target) in wanted {
            self.layer
                .link_or_copy(&path, &target, lowers, &mut copies)
                .attempt(|| format!("entry {}", shown(&path)))?;
        }
        let implied = std::mem::take(&mut self.layer.implied);
        for path in implied {
            if let Some((parent, name)) = find_lower(lowers, &path)?
                && let Some(lower) = parent.find_dir(&name)?
                && let Some(own) = self.layer.root.find_dir(&path)?
            {
                self.layer.copy_directory(&path, &lower, &own)?;
            }
        }
        for entry in self.layer.index.entries() {
            if matches!(entry.kind, index::Kind::Directory { .. })
                && let Some(directory) = self.layer.root.find_dir(&entry.path)?
            {
                directory.set_own_mtime(entry.mtime)?;
            }
        }
        Ok(Complete {
            index: self.layer.index,
            opaque: self.layer.opaque,
        })
    }
}

/// A whole layer: what is in it.
#[derive(Debug)]
pub struct Complete {
    index: index::Builder,
    opaque: BTreeSet<Vec<u8>>,
}

impl Complete {
    /// What the archive had more than once.
    pub fn repeated(&self) -> Vec<index::Repeated> {
        self.index.repeated()
    }

    /// All entries, sorted by path.
    pub fn entries(&self) -> impl Iterator<Item = index::Entry> + '_ {
        self.index.entries().map(|mut entry| {
            if let index::Kind::Directory { opaque, .. } = &mut entry.kind {
                *opaque = self.opaque.contains(&entry.path);
            }
            entry
        })
    }
}

#[derive(Debug)]
struct Layer {
    root: Dir,
    index: index::Builder,
    /// Where the last entry was: most entries of an archive share their directory with their neighbour.
    current: Option<Current>,
    /// Directories that the archive has not named (yet).
    implied: BTreeSet<Vec<u8>>,
    /// Directories that hide what is below.
    opaque: BTreeSet<Vec<u8>>,
    /// Hard links whose target is not in this layer (yet): path and target.
    wanted: Vec<(Vec<u8>, Vec<u8>)>,
    buffer: Vec<u8>,
    behind: Arc<Behind>,
    nursery: Arc<Nursery>,
}

#[derive(Debug)]
struct Current {
    /// The path as the archive has it.
    asked: Vec<u8>,
    /// The same without links on the way.
    real: Vec<u8>,
    dir: Dir,
}

type Source<'a, 'b> = tarball::Reader<&'a mut (dyn Read + 'b)>;

impl Layer {
    fn apply(&mut self, entry: &Entry, source: &mut Source<'_, '_>) -> Result<()> {
        let path = clean(&entry.path).ok_or_else(|| Error::invalid("the path leaves the layer"))?;
        let (parent, name) = split(&path);
        if parent
            .split(|b| *b == b'/')
            .any(|part| part.starts_with(SPECIAL_WHITEOUT))
        {
            return Ok(());
        }
        if name == OPAQUE_WHITEOUT {
            self.enter(parent)?;
            let real = self.current()?.real.clone();
            return self.make_opaque(&real);
        }
        if name.starts_with(SPECIAL_WHITEOUT) {
            return Ok(());
        }
        if let Some(hidden) = name.strip_prefix(WHITEOUT) {
            return self.white_out(parent, hidden);
        }
        if entry.kind == Kind::Directory {
            return self.directory(&path, entry);
        }
        if path.is_empty() {
            return Err(Error::invalid("the layer's root must be a directory"));
        }
        self.enter(parent)?;
        let real = join(&self.current()?.real, name);
        self.implied.remove(&real);
        match entry.kind {
            Kind::File => self.file(&real, entry, source),
            Kind::HardLink => self.hard_link(&real, entry),
            Kind::Symlink | Kind::Char | Kind::Block | Kind::Fifo => self.node(&real, entry),
            Kind::Directory => Ok(()),
        }
    }

    fn file(&mut self, real: &[u8], entry: &Entry, source: &mut Source<'_, '_>) -> Result<()> {
        let (_, name) = split(real);
        let file = loop {
            match self.current()?.dir.make_file(name)? {
                Some(file) => break file,
                None => self.clear(real)?,
            }
        };
        let (content, file) = match &entry.sparse {
            None => {
                let mut hasher = blake3::Hasher::new();
                let mut trail = Trail::new(&self.behind, file);
                loop {
                    let read = source.read_data(&mut self.buffer).map_err(archive_error)?;
                    let Some(data) = self.buffer.get(..read).filter(|data| !data.is_empty()) else {
                        break;
                    };
                    hasher.update(data);
                    trail.write_all(data).attempt(|| "write")?;
                }
                (
                    Some(hasher.finalize().into()),
                    trail.finish().attempt(|| "write")?,
                )
            }
            Some(pieces) => {
                let content = self.sparse(&file, entry.size, pieces, source)?;
                (content, Arc::new(file))
            }
        };
        at::set_file_attributes(&file, entry.uid, entry.gid, entry.mode)
            .attempt(|| "set owner and mode")?;
        let mut kept = Vec::new();
        for (name, value) in wanted_xattrs(entry) {
            let set = at::set_file_xattr(&file, name, value);
            if tolerate(
                set.attempt(|| format!("set attribute {}", shown(name))),
                false,
            )? {
                kept.push((name.clone(), value.clone()));
            }
        }
        at::set_file_mtime(&file, entry.mtime).attempt(|| "set time")?;
        self.note(real, index::Kind::File { content }, entry, kept);
        Ok(())
    }

    fn sparse(
        &mut self,
        file: &File,
        size: u64,
        pieces: &[(u64, u64)],
        source: &mut Source<'_, '_>,
    ) -> Result<Option<[u8; 32]>> {
        let stored: u64 = pieces.iter().map(|(_, length)| length).sum();
        let hashed = size.saturating_sub(stored) <= MAX_HASHED_HOLES;
        let mut hasher = blake3::Hasher::new();
        let mut position = 0;
        let zeros = [0_u8; 4096];
        let hash_hole = |hasher: &mut blake3::Hasher, mut length: u64| {
            while hashed && length > 0 {
                let count = usize::try_from(length)
                    .unwrap_or(usize::MAX)
                    .min(zeros.len());
                hasher.update(zeros.get(..count).unwrap_or(&[]));
                length -= u64::try_from(count).unwrap_or(length);
            }
        };
        file.set_len(size).attempt(|| "set size")?;
        for (offset, length) in pieces {
            hash_hole(&mut hasher, offset - position);
            position = *offset;
            let end = offset + length;
            while position < end {
                let wanted = usize::try_from(end - position)
                    .unwrap_or(usize::MAX)
                    .min(self.buffer.len());
                let buffer = self.buffer.get_mut(..wanted).unwrap_or(&mut []);
                let read = source.read_data(buffer).map_err(archive_error)?;
                let data = buffer.get(..read).unwrap_or(&[]);
                if data.is_empty() {
                    return Err(Error::invalid("the sparse file is cut short"));
                }
                hasher.update(data);
                file.write_all_at(data, position).attempt(|| "write")?;
                position += u64::try_from(read).unwrap_or(u64::MAX);
            }
        }
        hash_hole(&mut hasher, size - position);
        Ok(hashed.then(|| hasher.finalize().into()))
    }

    fn node(&mut self, real: &[u8], entry: &Entry) -> Result<()> {
        let (_, name) = split(real);
        let link = || index::Kind::Symlink {
            target: entry.link.clone(),
        };
        let device = entry.device;
        let kind = match entry.kind {
            // overlayfs takes this device for "removed"; so must everybody who reads the index.
            Kind::Char if device == (0, 0) => index::Kind::Whiteout,
            Kind::Char => index::Kind::Char { device },
            Kind::Block => index::Kind::Block { device },
            Kind::Fifo => index::Kind::Fifo,
            Kind::Symlink | Kind::File | Kind::HardLink | Kind::Directory => link(),
        };
        loop {
            let dir = &self.current()?.dir;
            let made = match entry.kind {
                Kind::Char => dir.make_node(name, at::Kind::Char, device)?,
                Kind::Block => dir.make_node(name, at::Kind::Block, device)?,
                Kind::Fifo => dir.make_node(name, at::Kind::Fifo, (0, 0))?,
                Kind::Symlink | Kind::File | Kind::HardLink | Kind::Directory => {
                    dir.make_symlink(name, &entry.link)?
                }
            };
            if made {
                break;
            }
            self.clear(real)?;
        }
        let dir = &self.current()?.dir;
        dir.set_owner(name, entry.uid, entry.gid)?;
        if entry.kind != Kind::Symlink {
            dir.set_node_mode(name, entry.mode)?;
        }
        let mut kept = Vec::new();
        for (attribute, value) in wanted_xattrs(entry) {
            if tolerate(dir.set_xattr(name, attribute, value), true)? {
                kept.push((attribute.clone(), value.clone()));
            }
        }
        dir.set_mtime(name, entry.mtime)?;
        self.note(real, kind, entry, kept);
        Ok(())
    }

    fn directory(&mut self, path: &[u8], entry: &Entry) -> Result<()> {
        let real = if path.is_empty() {
            Vec::new()
        } else {
            let (parent, name) = split(path);
            self.enter(parent)?;
            let real = join(&self.current()?.real, name);
            self.make_directory(&real)?;
            real
        };
        self.implied.remove(&real);
        let dir = self.own_dir(&real)?;
        dir.set_own_attributes(entry.uid, entry.gid, entry.mode)?;
        let mut kept = Vec::new();
        for (name, value) in wanted_xattrs(entry) {
            if tolerate(dir.set_own_xattr(name, value), false)? {
                kept.push((name.clone(), value.clone()));
            }
        }
        let kind = index::Kind::Directory {
            opaque: false,
            implied: false,
        };
        self.note(&real, kind, entry, kept);
        Ok(())
    }

    /// Makes a directory in the current one, whose name is the last part of `real`; one that is there is kept.
    fn make_directory(&mut self, real: &[u8]) -> Result<()> {
        let (_, name) = split(real);
        loop {
            let dir = &self.current()?.dir;
            if self.nursery.make_dir(dir, name)? {
                return Ok(());
            }
            let Some(there) = dir.stat(name)? else {
                continue;
            };
            if there.kind == at::Kind::Directory {
                return Ok(());
            }
            self.clear(real)?;
            // "Removed" and then made again in one layer: what is below must stay hidden.
            if there.is_whiteout() && self.nursery.make_dir(&self.current()?.dir, name)? {
                return self.make_opaque(real);
            }
        }
    }

    fn make_opaque(&mut self, real: &[u8]) -> Result<()> {
        let dir = self.own_dir(real)?;
        dir.set_own_xattr(OPAQUE_XATTR, b"y")?;
        self.opaque.insert(real.to_vec());
        Ok(())
    }

    fn white_out(&mut self, parent: &[u8], name: &[u8]) -> Result<()> {
        if name.is_empty() || name == b"." || name == b".." {
            return Err(Error::invalid("a whiteout without a name"));
        }
        self.enter(parent)?;
        let current = self.current()?;
        let real = join(&current.real, name);
        if current.dir.make_node(name, at::Kind::Char, (0, 0))? {
            let mut entry = implied_directory(&real);
            entry.kind = index::Kind::Whiteout;
            entry.mode = 0;
            current.dir.set_mtime(name, (0, 0))?;
            self.index.add(&entry);
            return Ok(());
        }
        // What this layer itself has at the path stays (OCI image-spec, layer.md, "Whiteouts"): a whiteout is about
        // the layers below.
        let there = current.dir.stat(name)?;
        if there.is_some_and(|there| there.kind == at::Kind::Directory) {
            self.make_opaque(&real)?;
        }
        Ok(())
    }

    fn hard_link(&mut self, real: &[u8], entry: &Entry) -> Result<()> {
        let target = clean(&entry.link)
            .filter(|target| !target.is_empty())
            .ok_or_else(|| Error::invalid("the hard link's target leaves the layer"))?;
        if !self.try_link(real, &target)? {
            self.clear(real)?;
            self.wanted.push((real.to_vec(), target));
        }
        Ok(())
    }

    /// Links to a file of this layer; `false` if there is none.
    fn try_link(&mut self, real: &[u8], target: &[u8]) -> Result<bool> {
        let Some((target_parent, dir)) = self.find_parent(target)? else {
            return Ok(false);
        };
        let (_, target_name) = split(target);
        let target_real = join(&target_parent, target_name);
        match dir.stat(target_name)? {
            None => return Ok(false),
            Some(stat) if stat.is_whiteout() => return Ok(false),
            Some(stat) if stat.kind == at::Kind::Directory => {
                return Err(Error::invalid("a hard link to a directory"));
            }
            Some(_) => {}
        }
        if target_real == real {
            return Ok(true);
        }
        let (parent, name) = split(real);
        let own = self.own_dir(parent)?;
        while !own.make_hard_link(name, &dir, target_name)? {
            if target_real.starts_with(real) && target_real.get(real.len()) == Some(&b'/') {
                return Err(Error::invalid(
                    "a hard link replaces the directory of its target",
                ));
            }
            self.clear(real)?;
        }
        let stat = own.stat(name)?;
        let mut entry = implied_directory(real);
        entry.kind = index::Kind::HardLink {
            target: target_real,
        };
        if let Some(stat) = stat {
            (entry.mode, entry.uid, entry.gid) = (stat.mode, stat.uid, stat.gid);
            entry.mtime = stat.mtime;
        }
        self.index.add(&entry);
        Ok(true)
    }

    /// A hard link whose target came later, or is a file of a lower layer, which is copied up.
    fn link_or_copy(
        &mut self,
        real: &[u8],
        target: &[u8],
        lowers: &[Dir],
        copies: &mut HashMap<Vec<u8>, Vec<u8>>,
    ) -> Result<()> {
        let (parent, name) = split(real);
        let own = self.own_dir(parent)?;
        // A later entry took the name: it wins.
        if own.stat(name)?.is_some() {
            return Ok(());
        }
        if self.try_link(real, target)? {
            return Ok(());
        }
        if let Some(copy) = copies.get(target) {
            let copy = copy.clone();
            if self.try_link(real, &copy)? {
                return Ok(());
            }
        }
        let missing = || Error::invalid(format!("hard link target {} is missing", shown(target)));
        let (dir, from) = find_lower(lowers, target)?.ok_or_else(missing)?;
        let mut source = dir.open_file(&from)?;
        let stat = at::file_stat(&source).attempt(|| "examine")?;
        let mut copy = own.make_file(name)?.ok_or_else(missing)?;
        let cancel = crate::engine::model::Cancel::new();
        let (digest, size) = codec::copy_hashed(&mut source, &mut copy, &cancel)
            .attempt(|| "copy from the layer below")?;
        at::set_file_attributes(&copy, stat.uid, stat.gid, stat.mode).attempt(|| "set mode")?;
        let xattrs = at::file_xattrs(&source).attempt(|| "read attributes")?;
        for (attribute, value) in &xattrs {
            at::set_file_xattr(&copy, attribute, value).attempt(|| "set attribute")?;
        }
        at::set_file_mtime(&copy, stat.mtime).attempt(|| "set time")?;
        self.index.add(&index::Entry {
            path: real.to_vec(),
            kind: index::Kind::File {
                content: Some(index::digest_bytes(&digest)),
            },
            mode: stat.mode,
            uid: stat.uid,
            gid: stat.gid,
            size,
            mtime: stat.mtime,
            xattrs,
        });
        copies.insert(target.to_vec(), real.to_vec());
        Ok(())
    }

    fn copy_directory(&mut self, path: &[u8], lower: &Dir, own: &Dir) -> Result<()> {
        let stat = lower.stat_self()?;
        own.set_own_attributes(stat.uid, stat.gid, stat.mode)?;
        let mut xattrs = lower.own_xattrs()?;
        xattrs.retain(|(name, _)| name != OPAQUE_XATTR);
        for (name, value) in &xattrs {
            own.set_own_xattr(name, value)?;
        }
        let mut entry = implied_directory(path);
        (entry.mode, entry.uid, entry.gid) = (stat.mode, stat.uid, stat.gid);
        (entry.mtime, entry.xattrs) = (stat.mtime, xattrs);
        self.index.add(&entry);
        Ok(())
    }

    fn note(
        &mut self,
        real: &[u8],
        kind: index::Kind,
        entry: &Entry,
        xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    ) {
        let size = match kind {
            index::Kind::File { .. } => entry.size,
            _ => 0,
        };
        self.index.add(&index::Entry {
            path: real.to_vec(),
            kind,
            mode: entry.mode,
            uid: entry.uid,
            gid: entry.gid,
            size,
            mtime: entry.mtime,
            xattrs,
        });
    }

    /// Removes what is at a path, with everything below it.
    fn clear(&mut self, real: &[u8]) -> Result<()> {
        let (parent, name) = split(real);
        let dir = self.own_dir(parent)?;
        let is_directory = dir
            .stat(name)?
            .is_some_and(|there| there.kind == at::Kind::Directory);
        dir.remove_tree(name)?;
        // Also a link may have been on the way to the current directory.
        let stays = self
            .current
            .as_ref()
            .is_some_and(|current| current.asked == current.real && current.real == parent);
        if !stays {
            self.current = None;
            self.enter(parent)?;
        }
        self.index.remove(real);
        if is_directory {
            for set in [&mut self.implied, &mut self.opaque] {
                let below: Vec<Vec<u8>> = set
                    .range(real.to_vec()..)
                    .take_while(|path| path.starts_with(real))
                    .filter(|path| matches!(path.get(real.len()), None | Some(b'/')))
                    .cloned()
                    .collect();
                for path in below {
                    set.remove(&path);
                }
            }
            let inside =
                |path: &[u8]| path.starts_with(real) && path.get(real.len()) == Some(&b'/');
            self.wanted.retain(|(path, _)| !inside(path));
        }
        self.wanted.retain(|(path, _)| path != real);
        Ok(())
    }

    fn current(&self) -> Result<&Current> {
        let missing = || Error::new(ErrorKind::Internal, "no current directory");
        self.current.as_ref().ok_or_else(missing)
    }

    /// A directory of the layer by its real path.
    fn own_dir(&self, real: &[u8]) -> Result<Dir> {
        if let Some(current) = self.current.as_ref().filter(|c| c.real == real) {
            return current.dir.try_clone();
        }
        self.root.find_dir(real)?.ok_or_else(|| {
            Error::new(
                ErrorKind::Internal,
                format!("directory {} has gone", shown(real)),
            )
        })
    }

    /// Makes a directory of the archive the current one, and its missing parents with it.
    fn enter(&mut self, asked: &[u8]) -> Result<()> {
        if self.current.as_ref().is_some_and(|c| c.asked == asked) {
            return Ok(());
        }
        if let Some(dir) = self.root.find_dir(asked)? {
            self.current = Some(Current {
                asked: asked.to_vec(),
                real: asked.to_vec(),
                dir,
            });
            return Ok(());
        }
        let mut walk = Walk::start(&self.root, asked)?;
        while let Some(step) = walk.step()? {
            match step {
                Step::Entered => {}
                Step::Blocked(part) => {
                    return Err(Error::invalid(format!(
                        "{} is not a directory",
                        shown(&join(&walk.real, &part))
                    )));
                }
                Step::Missing(part) | Step::Whiteout(part) => {
                    let real = join(&walk.real, &part);
                    self.current = Some(Current {
                        asked: walk.real.clone(),
                        real: walk.real.clone(),
                        dir: walk.dir.try_clone()?,
                    });
                    self.make_directory(&real)?;
                    self.implied.insert(real.clone());
                    self.index.add(&implied_directory(&real));
                    walk.descend(&part)?;
                    walk.dir.set_own_attributes(0, 0, 0o755)?;
                }
            }
        }
        self.current = Some(Current {
            asked: asked.to_vec(),
            real: walk.real,
            dir: walk.dir,
        });
        Ok(())
    }

    /// The directory that holds `path`, by its real path; `None` if it is not in this layer.
    fn find_parent(&self, path: &[u8]) -> Result<Option<(Vec<u8>, Dir)>> {
        let (parent, _) = split(path);
        if let Some(dir) = self.root.find_dir(parent)? {
            return Ok(Some((parent.to_vec(), dir)));
        }
        let mut walk = Walk::start(&self.root, parent)?;
        while let Some(step) = walk.step()? {
            match step {
                Step::Entered => {}
                Step::Blocked(_) | Step::Missing(_) | Step::Whiteout(_) => return Ok(None),
            }
        }
        Ok(Some((walk.real, walk.dir)))
    }
}

/// Goes down a path part by part. Links are read and resolved here, below the root, as chroot(2) would; the kernel is
/// never asked to follow one.
struct Walk {
    root: Dir,
    dir: Dir,
    real: Vec<u8>,
    parts: VecDeque<Vec<u8>>,
    links: usize,
}

enum Step {
    Entered,
    Missing(Vec<u8>),
    Whiteout(Vec<u8>),
    Blocked(Vec<u8>),
}

impl Walk {
    fn start(root: &Dir, path: &[u8]) -> Result<Self> {
        Ok(Self {
            root: root.try_clone()?,
            dir: root.try_clone()?,
            real: Vec::new(),
            parts: parts_of(path).map(<[u8]>::to_vec).collect(),
            links: 0,
        })
    }

    /// Takes one part; `None` at the end. A part that is missing or in the way is the caller's to deal with.
    fn step(&mut self) -> Result<Option<Step>> {
        let Some(part) = self.parts.pop_front() else {
            return Ok(None);
        };
        if part == b".." {
            self.real = split(&self.real).0.to_vec();
            self.reopen()?;
            return Ok(Some(Step::Entered));
        }
        let step = match self.dir.stat(&part)? {
            None => Step::Missing(part),
            Some(stat) if stat.is_whiteout() => Step::Whiteout(part),
            Some(stat) if stat.kind == at::Kind::Directory => {
                self.descend(&part)?;
                Step::Entered
            }
            Some(stat) if stat.kind == at::Kind::Symlink => {
                self.links += 1;
                if self.links > MAX_LINKS {
                    return Err(Error::invalid("too many links on the way"));
                }
                let target = self.dir.read_link(&part)?;
                if target.starts_with(b"/") {
                    self.real.clear();
                    self.reopen()?;
                }
                for part in parts_of(&target).rev() {
                    self.parts.push_front(part.to_vec());
                }
                Step::Entered
            }
            Some(_) => Step::Blocked(part),
        };
        Ok(Some(step))
    }

    fn descend(&mut self, part: &[u8]) -> Result<()> {
        if let Some(dir) = self.dir.find_dir(part)? {
            self.real = join(&self.real, part);
            self.dir = dir;
        }
        Ok(())
    }

    fn reopen(&mut self) -> Result<()> {
        if let Some(dir) = self.root.find_dir(&self.real)? {
            self.dir = dir;
        }
        Ok(())
    }
}

/// The directory and the name of an entry in the merged view of layers, topmost first; `None` if it is nowhere or was
/// removed.
///
/// # Errors
/// What looking it up says.
pub fn find_lower(lowers: &[Dir], path: &[u8]) -> Result<Option<(Dir, Vec<u8>)>> {
    let (parent, name) = split(path);
    for lower in lowers {
        let mut dir = lower.try_clone()?;
        let mut hides = is_opaque(&dir)?;
        let mut reached = true;
        for part in parts_of(parent) {
            match dir.stat(part)? {
                None => {
                    reached = false;
                    break;
                }
                Some(stat) if stat.kind != at::Kind::Directory => return Ok(None),
                Some(_) => match dir.find_dir(part)? {
                    Some(next) => dir = next,
                    None => return Ok(None),
                },
            }
            hides |= is_opaque(&dir)?;
        }
        if reached {
            if name.is_empty() {
                return Ok(Some((dir, Vec::new())));
            }
            match dir.stat(name)? {
                Some(stat) if stat.is_whiteout() => return Ok(None),
                Some(_) => return Ok(Some((dir, name.to_vec()))),
                None => {}
            }
        }
        if hides {
            return Ok(None);
        }
    }
    Ok(None)
}

pub(super) fn is_opaque(dir: &Dir) -> Result<bool> {
    let xattrs = dir.own_xattrs()?;
    Ok(xattrs.iter().any(|(name, _)| name == OPAQUE_XATTR))
}

/// The path without empty parts, `.` and `..`; `None` if `..` would leave the root. Absolute paths are taken as
/// relative to the root, as every container engine does.
pub fn clean(path: &[u8]) -> Option<Vec<u8>> {
    let mut clean: Vec<&[u8]> = Vec::new();
    for part in path.split(|b| *b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                clean.pop()?;
            }
            part => clean.push(part),
        }
    }
    Some(clean.join(&b'/'))
}

fn parts_of(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|b| *b == b'/')
        .filter(|part| !part.is_empty() && *part != b".")
}

pub fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|b| *b == b'/') {
        Some(slash) => (
            path.get(..slash).unwrap_or(&[]),
            path.get(slash + 1..).unwrap_or(&[]),
        ),
        None => (&[], path),
    }
}

pub fn join(parent: &[u8], name: &[u8]) -> Vec<u8> {
    if parent.is_empty() {
        name.to_vec()
    } else {
        [parent, b"/", name].concat()
    }
}

/// overlayfs acts on attributes of its own namespaces (redirects into other directories, for one): an archive must not
/// bring them.
pub(super) fn wanted_xattrs(entry: &Entry) -> impl Iterator<Item = &(Vec<u8>, Vec<u8>)> {
    entry.xattrs.iter().filter(|(name, _)| {
        !name.starts_with(b"trusted.overlay.") && !name.starts_with(b"user.overlay.")
    })
}

/// Whether an attribute was set. File systems without it, and links and devices that cannot have it, do without, as
/// with tar.
fn tolerate(set: Result<()>, special: bool) -> Result<bool> {
    match set {
        Ok(()) => Ok(true),
        Err(error) => match error.raw_os_error() {
            Some(number) if number == ENOTSUP => Ok(false),
            Some(number) if number == EPERM && special => Ok(false),
            _ => Err(error),
        },
    }
}

const EPERM: i32 = 1;
const ENOTSUP: i32 = 95;

pub(super) fn implied_directory(path: &[u8]) -> index::Entry {
    index::Entry {
        path: path.to_vec(),
        kind: index::Kind::Directory {
            opaque: false,
            implied: true,
        },
        mode: 0o755,
        uid: 0,
        gid: 0,
        size: 0,
        mtime: (0, 0),
        xattrs: Vec::new(),
    }
}

/// A name for an error line: printable, and not too long.
pub fn shown(path: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(path)
        .escape_debug()
        .take(200)
        .collect();
    format!("\"{text}\"")
}

/// What reading an archive failed with, as the engine's error.
pub fn archive_error(error: tarball::Error) -> Error {
    match error {
        tarball::Error::Io(error) => stream_error(error),
        other => Error::invalid(other.to_string()),
    }
}

/// What reading a stream failed with: damage is the sender's, not the engine's.
pub fn stream_error(error: io::Error) -> Error {
    if codec::is_cancelled(&error) {
        return Error::new(ErrorKind::Cancelled, "cancelled");
    }
    if let Some(failed) = error
        .get_ref()
        .and_then(|e| e.downcast_ref::<ingest::Failed>())
    {
        return Error::new(failed.0.kind(), failed.0.to_string());
    }
    if error.raw_os_error().is_some() {
        return Error::io("read", error);
    }
    match error.kind() {
        io::ErrorKind::Unsupported => Error::new(ErrorKind::Unsupported, error.to_string()),
        io::ErrorKind::UnexpectedEof => Error::invalid(format!("it is cut short: {error}")),
        _ => Error::invalid(error.to_string()),
    }
}
