//! A layer's archive applied to nothing but a list: the same entries that unpacking would leave in the index, without a file
//! system. What unpacking does on the disk is done here in a map, by the same rules (`unpack.rs`).

use std::collections::{BTreeMap, VecDeque};
use std::io::Read;

use super::evidence::Gathered;
use crate::engine::error::{Attempt, Error, Result};
use crate::engine::images::codec;
use crate::engine::images::tarball::{self, Kind as TarKind};
use crate::engine::images::unpack::{
    self, MAX_ENTRIES, MAX_HASHED_HOLES, MAX_LINKS, OPAQUE_WHITEOUT, SPECIAL_WHITEOUT, WHITEOUT,
    archive_error, check_length, clean, implied_directory, join, shown, split,
};
use crate::engine::model::layers::{Entry, Kind, Repeated};

/// What an archive holds.
#[derive(Debug, Default)]
pub(super) struct Paper {
    entries: BTreeMap<Vec<u8>, Entry>,
    /// Hard links whose target is not in this layer: path and target.
    wanted: Vec<(Vec<u8>, Vec<u8>)>,
    /// The directory of the entry before, as the archive has it and as it is.
    current: Option<(Vec<u8>, Vec<u8>)>,
    /// Bytes of files that others took the place of, by the path that was written again.
    repeated: BTreeMap<Vec<u8>, u64>,
    /// Entries of the archive so far.
    count: u64,
}

/// A list of entries, and the hard links that need a layer below.
#[derive(Debug, Default)]
pub(super) struct Listed {
    /// Sorted by path.
    pub entries: Vec<Entry>,
    /// Path, and the file of a lower layer that is to be there.
    pub wanted: Vec<(Vec<u8>, Vec<u8>)>,
    /// What the archive had more than once.
    pub repeated: Vec<Repeated>,
    /// What was kept of files.
    pub gathered: Gathered,
}

/// What files are told apart by. Those of one image have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileHash {
    /// As the store's indexes have it.
    Blake3,
    /// As tables of contents have it.
    Sha256,
}

/// What is done with files while they are listed.
pub(super) struct Look {
    /// How they are hashed.
    pub hash: FileHash,
    /// What is kept of their content.
    pub gathered: Option<Gathered>,
}

/// Is asked for the digest of a file at its real path.
pub(super) type Content<'a> = dyn FnMut(&[u8]) -> Result<Option<[u8; 32]>> + 'a;

/// Reads an uncompressed archive. What follows its end marker is left in `input`.
///
/// # Errors
/// `InvalidInput` naming the entry, for what unpacking would refuse, too.
pub(super) fn list(input: &mut dyn Read, mut look: Look) -> Result<Listed> {
    let mut reader = tarball::Reader::new(input);
    let mut paper = Paper::default();
    let mut buffer = vec![0; 64 << 10];
    while let Some(entry) = reader.next_entry().map_err(archive_error)? {
        paper.add(&entry, &mut |path| {
            content(path, &entry, &mut reader, &mut buffer, &mut look)
        })?;
    }
    Ok(Listed {
        gathered: look.gathered.unwrap_or_default(),
        ..paper.finish()
    })
}

impl Paper {
    /// Applies an entry.
    ///
    /// # Errors
    /// As [`list`].
    pub(super) fn add(&mut self, entry: &tarball::Entry, content: &mut Content<'_>) -> Result<()> {
        self.count += 1;
        if self.count > MAX_ENTRIES {
            return Err(Error::invalid(format!(
                "the layer has more than {MAX_ENTRIES} entries"
            )));
        }
        check_length(&entry.path)?;
        self.apply(entry, content)
            .attempt(|| format!("entry {}", shown(&entry.path)))
    }

    fn apply(&mut self, entry: &tarball::Entry, content: &mut Content<'_>) -> Result<()> {
        let path = clean(&entry.path).ok_or_else(|| Error::invalid("the path leaves the layer"))?;
        let (parent, name) = split(&path);
        if parent
            .split(|b| *b == b'/')
            .any(|part| part.starts_with(SPECIAL_WHITEOUT))
        {
            return Ok(());
        }
        if name == OPAQUE_WHITEOUT {
            let real = self.enter(parent)?;
            self.make_opaque(&real);
            return Ok(());
        }
        if name.starts_with(SPECIAL_WHITEOUT) {
            return Ok(());
        }
        if let Some(hidden) = name.strip_prefix(WHITEOUT) {
            return self.white_out(parent, hidden);
        }
        if path.is_empty() {
            return match entry.kind {
                TarKind::Directory => {
                    self.put(
                        Vec::new(),
                        Kind::Directory {
                            opaque: self.is_opaque(b""),
                            implied: false,
                        },
                        entry,
                    );
                    Ok(())
                }
                _ => Err(Error::invalid("the layer's root must be a directory")),
            };
        }
        let real = join(&self.enter(parent)?, name);
        let kind = match entry.kind {
            TarKind::Directory => return self.directory(real, entry),
            TarKind::HardLink => return self.hard_link(real, entry),
            TarKind::File => Kind::File {
                content: content(&real)?,
            },
            TarKind::Symlink => Kind::Symlink {
                target: entry.link.clone(),
            },
            TarKind::Char if entry.device == (0, 0) => Kind::Whiteout,
            TarKind::Char => Kind::Char {
                device: entry.device,
            },
            TarKind::Block => Kind::Block {
                device: entry.device,
            },
            TarKind::Fifo => Kind::Fifo,
        };
        self.clear(&real);
        self.put(real, kind, entry);
        Ok(())
    }

    fn put(&mut self, real: Vec<u8>, kind: Kind, entry: &tarball::Entry) {
        let size = if matches!(kind, Kind::File { .. }) {
            entry.size
        } else {
            0
        };
        let made = Entry {
            path: real.clone(),
            kind,
            mode: entry.mode,
            uid: entry.uid,
            gid: entry.gid,
            size,
            mtime: entry.mtime,
            xattrs: unpack::wanted_xattrs(entry).cloned().collect(),
        };
        self.entries.insert(real, made);
    }

    fn directory(&mut self, real: Vec<u8>, entry: &tarball::Entry) -> Result<()> {
        let opaque = self.make_directory(&real);
        self.put(
            real,
            Kind::Directory {
                opaque,
                implied: false,
            },
            entry,
        );
        Ok(())
    }

    /// Makes room for a directory; whether it hides what is below.
    fn make_directory(&mut self, real: &[u8]) -> bool {
        match self.entries.get(real).map(|entry| &entry.kind) {
            Some(Kind::Directory { opaque, .. }) => *opaque,
            // "Removed" and then made again in one layer: what is below must stay hidden.
            Some(Kind::Whiteout) => true,
            Some(_) => {
                self.clear(real);
                false
            }
            None => false,
        }
    }

    fn is_opaque(&self, real: &[u8]) -> bool {
        let kind = self.entries.get(real).map(|entry| &entry.kind);
        matches!(kind, Some(Kind::Directory { opaque: true, .. }))
    }

    fn make_opaque(&mut self, real: &[u8]) {
        let entry = self
            .entries
            .entry(real.to_vec())
            .or_insert_with(|| implied_directory(real));
        if let Kind::Directory { opaque, .. } = &mut entry.kind {
            *opaque = true;
        }
    }

    fn white_out(&mut self, parent: &[u8], name: &[u8]) -> Result<()> {
        if name.is_empty() || name == b"." || name == b".." {
            return Err(Error::invalid("a whiteout without a name"));
        }
        let real = join(&self.enter(parent)?, name);
        // What this layer itself has at the path stays: a whiteout is about the layers below.
        match self.entries.get(&real).map(|entry| &entry.kind) {
            Some(Kind::Directory { .. }) => self.make_opaque(&real),
            Some(_) => {}
            None => {
                let mut entry = implied_directory(&real);
                entry.kind = Kind::Whiteout;
                entry.mode = 0;
                self.entries.insert(real, entry);
            }
        }
        Ok(())
    }

    fn hard_link(&mut self, real: Vec<u8>, entry: &tarball::Entry) -> Result<()> {
        let target = clean(&entry.link)
            .filter(|target| !target.is_empty())
            .ok_or_else(|| Error::invalid("the hard link's target leaves the layer"))?;
        if self.try_link(&real, &target)? {
            return Ok(());
        }
        self.clear(&real);
        self.wanted.push((real, target));
        Ok(())
    }

    /// Links to a file of this layer; `false` if there is none.
    fn try_link(&mut self, real: &[u8], target: &[u8]) -> Result<bool> {
        let (parent, name) = split(target);
        let Some(parent) = self.find(parent) else {
            return Ok(false);
        };
        let target = join(&parent, name);
        let Some(there) = self.entries.get(&target) else {
            return Ok(false);
        };
        match there.kind {
            Kind::Whiteout => return Ok(false),
            Kind::Directory { .. } => return Err(Error::invalid("a hard link to a directory")),
            _ => {}
        }
        if target == real {
            return Ok(true);
        }
        let below = target
            .strip_prefix(real)
            .is_some_and(|rest| rest.first() == Some(&b'/'));
        if below {
            return Err(Error::invalid(
                "a hard link replaces the directory of its target",
            ));
        }
        let mut entry = there.clone();
        (entry.path, entry.size, entry.xattrs) = (real.to_vec(), 0, Vec::new());
        if matches!(entry.kind, Kind::Symlink { .. }) {
            // The kernel knows no other mode of one.
            entry.mode = 0o777;
        }
        entry.kind = Kind::HardLink { target };
        self.clear(real);
        self.entries.insert(real.to_vec(), entry);
        Ok(true)
    }

    /// Takes away what is at a path, with everything below it.
    fn clear(&mut self, real: &[u8]) {
        self.wanted.retain(|(path, _)| path != real);
        let Some(there) = self.entries.remove(real) else {
            return;
        };
        let mut gone = there.size;
        if matches!(there.kind, Kind::Directory { .. }) {
            let inside = |path: &[u8]| {
                path.strip_prefix(real)
                    .is_some_and(|rest| rest.first() == Some(&b'/'))
            };
            let start = [real, b"/"].concat();
            let below: Vec<Vec<u8>> = self
                .entries
                .range(start..)
                .map(|(path, _)| path.clone())
                .take_while(|path| inside(path))
                .collect();
            for path in below {
                let entry = self.entries.remove(&path);
                gone = gone.saturating_add(entry.map_or(0, |entry| entry.size));
            }
            self.wanted.retain(|(path, _)| !inside(path));
            let start = [real, b"/"].concat();
            let below = self.repeated.range(start..).map(|(path, _)| path.clone());
            for path in below.take_while(|path| inside(path)).collect::<Vec<_>>() {
                gone = gone.saturating_add(self.repeated.remove(&path).unwrap_or(0));
            }
        }
        if gone > 0 {
            let known = self.repeated.entry(real.to_vec()).or_default();
            *known = known.saturating_add(gone);
        }
        self.current = None;
    }

    /// A directory of the archive by its real path, made with its parents where it is missing.
    fn enter(&mut self, asked: &[u8]) -> Result<Vec<u8>> {
        if let Some((_, real)) = self.current.as_ref().filter(|(known, _)| known == asked) {
            return Ok(real.clone());
        }
        let real = match self.walk(asked, true) {
            Ok(Some(real)) => real,
            Ok(None) => return Err(Error::invalid("too many levels of symbolic links")),
            Err(blocked) => {
                return Err(Error::invalid(format!(
                    "{} is not a directory",
                    shown(&blocked)
                )));
            }
        };
        self.current = Some((asked.to_vec(), real.clone()));
        Ok(real)
    }

    /// A directory of this layer by its real path; `None` if it is not in it.
    fn find(&mut self, asked: &[u8]) -> Option<Vec<u8>> {
        self.walk(asked, false).ok().flatten()
    }

    /// Goes down a path, links followed below the root as chroot(2) would. `Err` names what is in the way.
    fn walk(&mut self, asked: &[u8], make: bool) -> Result<Option<Vec<u8>>, Vec<u8>> {
        let mut real: Vec<u8> = Vec::new();
        let mut links = 0;
        let parts = |path: &[u8]| -> Vec<Vec<u8>> {
            let parts = path.split(|b| *b == b'/');
            parts
                .filter(|part| !part.is_empty() && *part != b".")
                .map(<[u8]>::to_vec)
                .collect()
        };
        let mut open: VecDeque<Vec<u8>> = parts(asked).into();
        while let Some(part) = open.pop_front() {
            if part == b".." {
                real = split(&real).0.to_vec();
                continue;
            }
            let next = join(&real, &part);
            match self.entries.get(&next).map(|entry| &entry.kind) {
                Some(Kind::Directory { .. }) => real = next,
                Some(Kind::Symlink { target }) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Ok(None);
                    }
                    if target.first() == Some(&b'/') {
                        real.clear();
                    }
                    for part in parts(target).into_iter().rev() {
                        open.push_front(part);
                    }
                }
                None | Some(Kind::Whiteout) if make => {
                    let opaque = self.make_directory(&next);
                    let mut entry = implied_directory(&next);
                    entry.kind = Kind::Directory {
                        opaque,
                        implied: true,
                    };
                    self.entries.insert(next.clone(), entry);
                    real = next;
                }
                None | Some(Kind::Whiteout) => return Ok(None),
                Some(_) => return Err(next),
            }
        }
        Ok(Some(real))
    }

    /// What all entries came to.
    pub(super) fn finish(mut self) -> Listed {
        let mut wanted = Vec::new();
        for (path, target) in std::mem::take(&mut self.wanted) {
            // A later entry took the name: it wins.
            if self.entries.contains_key(&path) {
                continue;
            }
            if !matches!(self.try_link(&path, &target), Ok(true)) {
                wanted.push((path, target));
            }
        }
        self.entries
            .entry(Vec::new())
            .or_insert_with(|| implied_directory(b""));
        let repeated = |(path, bytes)| Repeated { path, bytes };
        Listed {
            entries: self.entries.into_values().collect(),
            wanted,
            repeated: self.repeated.into_iter().map(repeated).collect(),
            gathered: Gathered::default(),
        }
    }
}

/// Digest of a file's content, holes as zeros; `None` if there is too much of those. What is wanted of it is kept.
fn content<R: Read>(
    path: &[u8],
    entry: &tarball::Entry,
    source: &mut tarball::Reader<R>,
    buffer: &mut [u8],
    look: &mut Look,
) -> Result<Option<[u8; 32]>> {
    let whole = [(0, entry.size)];
    let pieces = entry.sparse.as_deref().unwrap_or(&whole);
    let stored: u64 = pieces.iter().map(|(_, length)| length).sum();
    let hashed = entry.size.saturating_sub(stored) <= MAX_HASHED_HOLES;
    let mut hasher = FileHasher::new(look.hash, hashed);
    let gathered = look.gathered.as_mut();
    let mut kept = gathered
        .filter(|_| entry.sparse.is_none() && Gathered::wants(path, entry.size))
        .map(|gathered| (gathered, Vec::new()));
    let mut position = 0;
    for (offset, length) in pieces {
        hasher.hole(offset - position);
        position = *offset;
        while position < offset + length {
            let wanted = usize::try_from(offset + length - position)
                .unwrap_or(usize::MAX)
                .min(buffer.len());
            let read = source
                .read_data(buffer.get_mut(..wanted).unwrap_or(&mut []))
                .map_err(archive_error)?;
            if read == 0 {
                return Err(Error::invalid("the file is cut short"));
            }
            let bytes = buffer.get(..read).unwrap_or(&[]);
            hasher.update(bytes);
            if let Some((_, kept)) = &mut kept {
                kept.extend_from_slice(bytes);
            }
            position += u64::try_from(read).unwrap_or(u64::MAX);
        }
    }
    hasher.hole(entry.size - position);
    if let Some((gathered, bytes)) = kept {
        gathered.take(path, bytes);
    }
    Ok(hasher.finish())
}

/// Hashes a file's content.
enum FileHasher {
    Blake3(Box<blake3::Hasher>),
    Sha256(codec::Hasher),
    /// Nothing: there is too much of it.
    Idle,
}

impl FileHasher {
    fn new(hash: FileHash, hashed: bool) -> Self {
        match hash {
            _ if !hashed => Self::Idle,
            FileHash::Blake3 => Self::Blake3(Box::default()),
            FileHash::Sha256 => Self::Sha256(codec::Hasher::default()),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Blake3(hasher) => drop(hasher.update(bytes)),
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Idle => {}
        }
    }

    fn hole(&mut self, mut length: u64) {
        if matches!(self, Self::Idle) {
            return;
        }
        let zeros = [0_u8; 4096];
        while length > 0 {
            let count = usize::try_from(length)
                .unwrap_or(usize::MAX)
                .min(zeros.len());
            self.update(zeros.get(..count).unwrap_or(&[]));
            length -= u64::try_from(count).unwrap_or(length);
        }
    }

    fn finish(self) -> Option<[u8; 32]> {
        match self {
            Self::Blake3(hasher) => Some(hasher.finalize().into()),
            Self::Sha256(hasher) => Some(hasher.finish()),
            Self::Idle => None,
        }
    }
}
