//! What the files of an image hold: from unpacked layers of the store, or from layers of an archive that are read again for it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use super::archive::{Archive, PickedLayer};
use super::evidence;
use super::spool;
use crate::engine::error::{Attempt, Error, Kind as ErrorKind, Result};
use crate::engine::images::Images;
use crate::engine::images::codec;
use crate::engine::images::pack::Writer;
use crate::engine::images::tarball::{self, Kind as TarKind};
use crate::engine::images::unpack::{archive_error, clean, shown, stream_error};
use crate::engine::model::Cancel;
use crate::engine::model::layers::findings::Evidence;
use crate::engine::model::layers::{Entry, Explored, Kind};
use crate::engine::sys::at::Dir;

/// An entry: its layer, and its number there.
type At = (u16, u32);

/// Where the files of an image are. An archive stays open: what was looked into is what is read.
#[derive(Debug)]
pub struct Contents {
    place: Place,
    /// Layers of a registry out of which a file was read, in files without a name: the next file needs no network.
    kept: Mutex<BTreeMap<usize, Arc<File>>>,
}

enum Place {
    /// Unpacked layers, the lowest first.
    Store(Vec<PathBuf>),
    /// Layers of an archive, the lowest first.
    Archive(Archive, Vec<PickedLayer>),
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Store(layers) => write!(f, "Store({} layers)", layers.len()),
            Self::Archive(_, layers) => write!(f, "Archive({} layers)", layers.len()),
        }
    }
}

/// The beginning of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileStart {
    /// Its first bytes.
    pub bytes: Vec<u8>,
    /// How many it has in all.
    pub size: u64,
}

/// Files of a layer that are wanted: path and size.
type Wanted = BTreeMap<Vec<u8>, u64>;
/// Is given each of them.
type Take<'a> = dyn FnMut(&[u8], &mut dyn Read) -> Result<()> + 'a;

impl Images {
    /// The files of an image of the store.
    ///
    /// # Errors
    /// As [`Images::resolve`].
    pub fn contents(&self, name: &str) -> Result<Contents> {
        let image = self.resolve(name)?;
        let layers = image.layers.iter();
        let layers = layers.map(|layer| self.layer_dir(&layer.chain_id));
        Ok(Contents::at(Place::Store(layers.collect())))
    }
}

impl Default for Contents {
    /// The files of an image without layers.
    fn default() -> Self {
        Self::at(Place::Store(Vec::new()))
    }
}

impl Contents {
    fn at(place: Place) -> Self {
        let kept = Mutex::default();
        Self { place, kept }
    }

    /// The files of layers, the lowest first.
    pub(super) fn new(archive: Archive, layers: Vec<PickedLayer>) -> Self {
        Self::at(Place::Archive(archive, layers))
    }

    /// What files say that may hold secrets, and who has a name in the image. Archives are inflated for it once more, layers of
    /// a registry come again.
    ///
    /// # Errors
    /// `Cancelled`; a layer or a file that is gone.
    pub fn evidence(&self, image: &Explored, cancel: &Cancel) -> Result<Evidence> {
        match &self.place {
            Place::Store(layers) => evidence::of_store(layers, image, cancel),
            Place::Archive(_, layers) => {
                let read = |number| self.read_layer(number, Keep::Nothing);
                evidence::of_archive(layers.len(), &read, image, cancel)
            }
        }
    }

    /// The first bytes of some files, at most `limit` of each; a hard link has those of its file.
    ///
    /// # Errors
    /// `InvalidInput` for what is no file, or is not there any more; what reading says.
    pub fn starts(
        &self,
        image: &Explored,
        files: &[At],
        limit: u64,
        cancel: &Cancel,
    ) -> Result<Vec<FileStart>> {
        let mut starts = Vec::new();
        for at in files {
            let (layer, entry) = file_of(image, *at)?;
            let mut bytes = Vec::new();
            let wanted = BTreeMap::from([(entry.path.clone(), entry.size)]);
            self.each(image, layer, wanted, cancel, &mut |path, content| {
                content
                    .take(limit)
                    .read_to_end(&mut bytes)
                    .attempt(|| format!("read {}", shown(path)))?;
                Ok(())
            })?;
            starts.push(FileStart {
                bytes,
                size: entry.size,
            });
        }
        Ok(starts)
    }

    /// Writes one file's content.
    ///
    /// # Errors
    /// As [`Self::starts`]; what writing says. What has been written stays.
    pub fn write_file(
        &self,
        image: &Explored,
        at: At,
        out: &mut dyn Write,
        cancel: &Cancel,
    ) -> Result<u64> {
        let (layer, entry) = file_of(image, at)?;
        let wanted = BTreeMap::from([(entry.path.clone(), entry.size)]);
        let mut written = 0;
        self.each(image, layer, wanted, cancel, &mut |path, content| {
            written = io::copy(content, out).attempt(|| format!("write {}", shown(path)))?;
            Ok(())
        })?;
        Ok(written)
    }

    /// Writes entries into a tar, under their paths: directories and what has no content first, then files, layer by layer.
    ///
    /// # Errors
    /// As [`Self::starts`]; what writing says. What has been written stays.
    pub fn write_archive(
        &self,
        image: &Explored,
        entries: &[At],
        out: &mut dyn Write,
        cancel: &Cancel,
    ) -> Result<u64> {
        let mut writer = Writer::new(out, cancel);
        let mut plain: Vec<&Entry> = Vec::new();
        // Files by layer and path, with the names that they are to have.
        let mut files: BTreeMap<u16, BTreeMap<Vec<u8>, Vec<&Entry>>> = BTreeMap::new();
        for at in entries {
            let entry = image.stack.entry(*at);
            match image.stack.file_of(*at) {
                Some(file) => {
                    let path = image.stack.entry(file).path.clone();
                    files
                        .entry(file.0)
                        .or_default()
                        .entry(path)
                        .or_default()
                        .push(entry);
                }
                None if matches!(entry.kind, Kind::Whiteout) || entry.path.is_empty() => {}
                None => plain.push(entry),
            }
        }
        plain.sort_by(|a, b| a.path.cmp(&b.path));
        for entry in plain {
            writer.head(&tar_entry(entry, 0))?;
        }
        for (layer, files) in files {
            let size = |names: &[&Entry]| names.iter().map(|entry| entry.size).max().unwrap_or(0);
            let sizes = |path: &Vec<u8>, names: &Vec<&Entry>| {
                let entries = image.stack.layers.get(usize::from(layer));
                let found = entries.and_then(|entries| {
                    let at = entries
                        .binary_search_by(|entry| entry.path.cmp(path))
                        .ok()?;
                    entries.get(at).map(|entry| entry.size)
                });
                found.unwrap_or_else(|| size(names))
            };
            let wanted: Wanted = files
                .iter()
                .map(|(path, names)| (path.clone(), sizes(path, names)))
                .collect();
            let known = wanted.clone();
            self.each(image, layer, wanted, cancel, &mut |path, content| {
                let size = known.get(path).copied().unwrap_or(0);
                let mut names = files.get(path).into_iter().flatten();
                let Some(first) = names.next() else {
                    return Ok(());
                };
                writer.head(&tar_entry(first, size))?;
                writer.content(size, content, path)?;
                for other in names {
                    let mut link = tar_entry(other, 0);
                    link.kind = TarKind::HardLink;
                    link.link.clone_from(&first.path);
                    writer.head(&link)?;
                }
                Ok(())
            })?;
        }
        let count = writer.entries();
        writer.finish()?;
        Ok(count)
    }

    /// Gives each wanted file of a layer to `take`.
    fn each(
        &self,
        image: &Explored,
        layer: u16,
        wanted: Wanted,
        cancel: &Cancel,
        take: &mut Take<'_>,
    ) -> Result<()> {
        let number = usize::from(layer);
        let layers = match &self.place {
            Place::Store(layers) => layers,
            Place::Archive(..) => {
                let blob = self.read_layer(number, Keep::Layer(cancel))?;
                let mut input = codec::decode(blob).map_err(stream_error)?;
                let below = walk(&mut input, wanted, cancel, take)?;
                drop(input);
                for (path, target) in below {
                    self.lower(image, layer, (&path, &target), cancel, take)?;
                }
                return Ok(());
            }
        };
        let dir = Dir::open(layers.get(number).ok_or_else(gone)?)?;
        for path in wanted.keys() {
            stop_if(cancel)?;
            take(path, &mut dir.open_file(path)?)?;
        }
        Ok(())
    }

    /// The content of a file of a layer below that a hard link of this layer is another name of.
    fn lower(
        &self,
        image: &Explored,
        layer: u16,
        (path, target): (&[u8], &[u8]),
        cancel: &Cancel,
        take: &mut Take<'_>,
    ) -> Result<()> {
        let stack = &image.stack;
        let find = |below: u16| {
            let entries = stack.layers.get(usize::from(below))?;
            let found = entries.binary_search_by(|entry| entry.path.as_slice().cmp(target));
            stack.file_of((below, u32::try_from(found.ok()?).ok()?))
        };
        let file = (0..layer).rev().find_map(find).ok_or_else(|| {
            Error::not_found(format!("hard link target {} is missing", shown(target)))
        })?;
        let entry = stack.entry(file);
        let wanted = Wanted::from([(entry.path.clone(), entry.size)]);
        self.each(image, file.0, wanted, cancel, &mut |_, content| {
            take(path, content)
        })
    }

    /// A layer's blob.
    fn read_layer(&self, number: usize, keep: Keep<'_>) -> Result<Box<dyn Read + Send + '_>> {
        let Place::Archive(archive, layers) = &self.place else {
            return Err(gone());
        };
        let layer = layers.get(number).ok_or_else(gone)?;
        if !archive.is_remote() {
            return Ok(archive.read(layer)?.0);
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = kept.get(&number) {
            return Ok(Box::new(Kept::new(file)));
        }
        match keep {
            Keep::Nothing => {
                drop(kept);
                Ok(archive.read(layer)?.0)
            }
            // Whoever else wants a file of it waits for it.
            Keep::Layer(cancel) => {
                let (mut blob, _) = archive.read(layer)?;
                let file = Arc::new(spool::as_it_is(&mut blob, &mut |_| (), cancel)?);
                kept.insert(number, Arc::clone(&file));
                Ok(Box::new(Kept::new(&file)))
            }
        }
    }
}

/// What becomes of a layer that came out of a registry.
enum Keep<'a> {
    Nothing,
    Layer(&'a Cancel),
}

/// A file that many read, each from its start.
struct Kept {
    file: Arc<File>,
    position: u64,
}

impl Kept {
    fn new(file: &Arc<File>) -> Self {
        Self {
            file: Arc::clone(file),
            position: 0,
        }
    }
}

impl Read for Kept {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.position)?;
        self.position += u64::try_from(read).unwrap_or(0);
        Ok(read)
    }
}

/// Goes through a layer's archive until every wanted file was there. Of a path that is there twice the one of the wanted
/// size counts. Returns those that are hard links to what is not in it, with their targets.
fn walk(
    input: &mut dyn Read,
    mut wanted: Wanted,
    cancel: &Cancel,
    take: &mut Take<'_>,
) -> Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let mut links = BTreeMap::new();
    let mut reader = tarball::Reader::new(input);
    while !wanted.is_empty() {
        stop_if(cancel)?;
        let Some(entry) = reader.next_entry().map_err(archive_error)? else {
            break;
        };
        let Some(path) = clean(&entry.path) else {
            continue;
        };
        match (entry.kind, wanted.get(&path), clean(&entry.link)) {
            (TarKind::File, Some(size), _) if *size == entry.size => {
                wanted.remove(&path);
                links.remove(&path);
                let pieces = entry.sparse.unwrap_or_else(|| vec![(0, entry.size)]);
                take(&path, &mut Data::new(&mut reader, pieces, entry.size))?;
            }
            (TarKind::HardLink, Some(_), Some(target)) => {
                links.insert(path, target);
            }
            _ => {}
        }
    }
    match wanted.keys().find(|path| !links.contains_key(*path)) {
        None => Ok(links),
        Some(path) => Err(Error::not_found(format!(
            "the layer's archive has no file {} of that size",
            shown(path)
        ))),
    }
}

/// The content of the current entry, with zeros where it has holes.
struct Data<'a, R> {
    reader: &'a mut tarball::Reader<R>,
    /// Offset and length of what is there, in their order.
    pieces: std::vec::IntoIter<(u64, u64)>,
    piece: (u64, u64),
    position: u64,
    size: u64,
}

impl<'a, R> Data<'a, R> {
    fn new(reader: &'a mut tarball::Reader<R>, pieces: Vec<(u64, u64)>, size: u64) -> Self {
        Self {
            reader,
            pieces: pieces.into_iter(),
            piece: (0, 0),
            position: 0,
            size,
        }
    }
}

impl<R: Read> Read for Data<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.position >= self.piece.0 + self.piece.1 && self.position < self.size {
            // Behind the last piece is a hole to the end.
            self.piece = self.pieces.next().unwrap_or((self.size, 0));
            if self.piece.1 == 0 && self.piece.0 <= self.position {
                continue;
            }
            break;
        }
        let is_hole = self.position < self.piece.0;
        let end = if is_hole {
            self.piece.0
        } else {
            self.piece.0 + self.piece.1
        };
        let left = usize::try_from(end.saturating_sub(self.position)).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        let buffer = buffer.get_mut(..wanted).unwrap_or_default();
        let read = if is_hole {
            buffer.fill(0);
            wanted
        } else {
            self.reader.read_data(buffer).map_err(io::Error::other)?
        };
        self.position += u64::try_from(read).unwrap_or(0);
        Ok(read)
    }
}

fn file_of(image: &Explored, at: At) -> Result<(u16, &Entry)> {
    let file = image.stack.file_of(at).ok_or_else(|| {
        let path = shown(&image.stack.entry(at).path);
        Error::invalid(format!("{path} is no file"))
    })?;
    Ok((file.0, image.stack.entry(file)))
}

fn tar_entry(entry: &Entry, size: u64) -> tarball::Entry {
    let (kind, link, device) = match &entry.kind {
        Kind::File { .. } | Kind::HardLink { .. } | Kind::Whiteout => {
            (TarKind::File, Vec::new(), (0, 0))
        }
        Kind::Directory { .. } => (TarKind::Directory, Vec::new(), (0, 0)),
        Kind::Symlink { target } => (TarKind::Symlink, target.clone(), (0, 0)),
        Kind::Char { device } => (TarKind::Char, Vec::new(), *device),
        Kind::Block { device } => (TarKind::Block, Vec::new(), *device),
        Kind::Fifo => (TarKind::Fifo, Vec::new(), (0, 0)),
    };
    tarball::Entry {
        path: entry.path.clone(),
        link,
        kind,
        mode: entry.mode,
        uid: entry.uid,
        gid: entry.gid,
        size,
        mtime: entry.mtime,
        device,
        xattrs: entry.xattrs.clone(),
        sparse: None,
    }
}

fn gone() -> Error {
    Error::not_found("the image has no such layer any more")
}

fn stop_if(cancel: &Cancel) -> Result<()> {
    if cancel.is_cancelled() {
        return Err(Error::new(ErrorKind::Cancelled, "cancelled"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file with holes at both ends, and one without.
    fn archive() -> Vec<u8> {
        let (mut out, cancel) = (Vec::new(), Cancel::new());
        let mut writer = Writer::new(&mut out, &cancel);
        let entry = Entry {
            path: b"holes".to_vec(),
            kind: Kind::File { content: None },
            mode: 0o644,
            uid: 0,
            gid: 0,
            size: 2000,
            mtime: (0, 0),
            xattrs: Vec::new(),
        };
        let pieces = vec![(600, 3), (1000, 2), (2000, 0)];
        let mut head = tar_entry(&entry, 2000);
        head.sparse = Some(pieces.clone());
        writer.head(&head).unwrap();
        writer
            .sparse_content(2000, &pieces, &mut &b"abcde"[..], b"holes")
            .unwrap();
        let mut head = tar_entry(&entry, 4);
        head.path = b"plain".to_vec();
        writer.head(&head).unwrap();
        writer.content(4, &mut &b"rest"[..], b"plain").unwrap();
        let mut head = tar_entry(&entry, 0);
        head.path = b"name".to_vec();
        head.kind = TarKind::HardLink;
        head.link = b"/below".to_vec();
        writer.head(&head).unwrap();
        writer.finish().unwrap();
        out
    }

    #[test]
    fn a_file_with_holes_is_read_with_them_and_links_below_are_told() {
        let (archive, cancel) = (archive(), Cancel::new());
        let wanted = [("holes", 2000), ("name", 7), ("plain", 4)];
        let wanted = wanted.map(|(path, size)| (path.as_bytes().to_vec(), size));
        let mut found = BTreeMap::new();
        let mut take = |path: &[u8], content: &mut dyn Read| {
            let mut bytes = Vec::new();
            content.read_to_end(&mut bytes).unwrap();
            found.insert(path.to_vec(), bytes);
            Ok(())
        };
        let input = &mut archive.as_slice();
        let below = walk(input, Wanted::from(wanted), &cancel, &mut take).unwrap();
        assert_eq!(
            below,
            BTreeMap::from([(b"name".to_vec(), b"below".to_vec())])
        );
        let mut whole = vec![0; 2000];
        whole[600..603].copy_from_slice(b"abc");
        whole[1000..1002].copy_from_slice(b"de");
        assert_eq!(found[b"holes".as_slice()], whole);
        assert_eq!(found[b"plain".as_slice()], b"rest");
        let gone = walk(
            &mut archive.as_slice(),
            Wanted::from([(b"plain".to_vec(), 5)]),
            &cancel,
            &mut |_, _| Ok(()),
        );
        assert!(gone.unwrap_err().to_string().contains("plain"));
    }
}
