//! What the files of an image hold: from unpacked layers of the store, or from an archive that is read again for it.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::archive::{Archive, PickedLayer};
use crate::engine::error::{Attempt, Error, Kind as ErrorKind, Result};
use crate::engine::images::Images;
use crate::engine::images::codec;
use crate::engine::images::pack::Writer;
use crate::engine::images::tarball::{self, Kind as TarKind};
use crate::engine::images::unpack::{archive_error, clean, shown, stream_error};
use crate::engine::model::layers::{Entry, Explored, Kind};
use crate::engine::model::{Cancel, Platform};
use crate::engine::sys::at::Dir;

/// An entry: its layer, and its number there.
type At = (u16, u32);

/// Where the files of an image are.
#[derive(Debug)]
pub struct Contents {
    place: Place,
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
        Ok(Contents {
            place: Place::Store(
                layers
                    .map(|layer| self.layer_dir(&layer.chain_id))
                    .collect(),
            ),
        })
    }
}

impl Contents {
    /// The files of an image of an archive, which is chosen as in [`super::archive`].
    ///
    /// # Errors
    /// As there; `Unsupported` for standard input, which has been read.
    pub fn of_archive(
        path: &Path,
        name: Option<&str>,
        platform: Option<&Platform>,
    ) -> Result<Self> {
        if path == Path::new("-") {
            return Err(Error::unsupported(
                "standard input is not read twice: look into a file",
            ));
        }
        let archive = Archive::open(path, None)?;
        let picked = archive.pick(name, platform)?;
        Ok(Self {
            place: Place::Archive(archive, picked.layers),
        })
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
            self.each(layer, wanted, cancel, &mut |path, content| {
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
        self.each(layer, wanted, cancel, &mut |path, content| {
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
            self.each(layer, wanted, cancel, &mut |path, content| {
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
    fn each(&self, layer: u16, wanted: Wanted, cancel: &Cancel, take: &mut Take<'_>) -> Result<()> {
        let layer = usize::from(layer);
        match &self.place {
            Place::Store(layers) => {
                let dir = Dir::open(layers.get(layer).ok_or_else(gone)?)?;
                for path in wanted.keys() {
                    stop_if(cancel)?;
                    take(path, &mut dir.open_file(path)?)?;
                }
                Ok(())
            }
            Place::Archive(archive, layers) => {
                let picked = layers.get(layer).ok_or_else(gone)?;
                let (blob, _) = archive.read(picked)?;
                let mut input = codec::decode(blob).map_err(stream_error)?;
                walk(&mut input, wanted, cancel, take)
            }
        }
    }
}

/// Goes through a layer's archive until every wanted file was there. Of a path that is there twice the one of the wanted
/// size counts.
fn walk(
    input: &mut dyn Read,
    mut wanted: Wanted,
    cancel: &Cancel,
    take: &mut Take<'_>,
) -> Result<()> {
    let mut reader = tarball::Reader::new(input);
    while !wanted.is_empty() {
        stop_if(cancel)?;
        let Some(entry) = reader.next_entry().map_err(archive_error)? else {
            break;
        };
        let Some(path) = clean(&entry.path) else {
            continue;
        };
        let fits = entry.kind == TarKind::File && wanted.get(&path) == Some(&entry.size);
        if !fits {
            continue;
        }
        if entry.sparse.is_some() {
            let what = format!(
                "{}: a file with holes in an archive; load the image first",
                shown(&path)
            );
            return Err(Error::unsupported(what));
        }
        wanted.remove(&path);
        take(&path, &mut Data(&mut reader))?;
    }
    match wanted.keys().next() {
        None => Ok(()),
        Some(path) => Err(Error::not_found(format!(
            "the layer's archive has no file {} of that size",
            shown(path)
        ))),
    }
}

/// The content of the current entry.
struct Data<'a, R>(&'a mut tarball::Reader<R>);

impl<R: Read> Read for Data<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_data(buffer).map_err(io::Error::other)
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
