//! `layers squash`: the upper layers of an image become one without what nobody sees. The image is taken into the store only
//! after it was shown that its file system is the same.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;

use serde_json::{Map, Value, json};

use super::pack::Writer;
use super::tarball;
use super::unpack::{
    MAX_HASHED_HOLES, OPAQUE_WHITEOUT, WHITEOUT, archive_error, clean, join, shown, split,
};
use super::workspace::{Spooled, Workspace};
use super::{Images, commit, explore, first_id, snapshot, stored};
use crate::engine::error::{Attempt, Error, Kind, Result};
use crate::engine::model::image::Layer;
use crate::engine::model::layers::diff::{At, Differs, Fate, PathChange};
use crate::engine::model::layers::squash::{self, Planned, Squashed};
use crate::engine::model::layers::{Diff, Explored, Kind as EntryKind, Part};
use crate::engine::model::progress::Report;
use crate::engine::model::{Cancel, request};
use crate::engine::sys::at::Dir;
use crate::engine::sys::file;

/// Holes that are worth being told of, in bytes: what has less is written as it is.
const MIN_HOLES: u64 = 1 << 20;
/// What is a hole is decided in blocks of this length, wherever the file lies: so everybody's archive is the same.
const BLOCK: usize = 4096;
const CHUNK: usize = 64 * BLOCK;
/// Pieces of one file; others are joined over their holes.
const MAX_PIECES: usize = 16_000;

/// Digests of files that are mostly holes, by path: of the pieces with data, and where these are.
type Holey = HashMap<Vec<u8>, [u8; 32]>;

impl Images {
    /// Makes an image whose layers from `request.from` on are one, and shows the same files in it: content, modes, owners,
    /// times, attributes, names. The same image gives the same layer, and the same id.
    ///
    /// # Errors
    /// `NotFound` for an unknown image; `InvalidInput` for a layer that it does not have; `Internal` for a damaged layer.
    /// Nothing of the new image is in the store then.
    pub fn squash(
        &self,
        name: &str,
        request: &request::Squash,
        report: Report<'_>,
        cancel: &Cancel,
    ) -> Result<Squashed> {
        if request.reference.digest().is_some() {
            return Err(Error::invalid(
                "refusing to create a tag with a digest reference",
            ));
        }
        let image = self.resolve(name)?;
        let before = self.explore(name, &mut |_| (), cancel)?;
        let from = usize::from(request.from);
        let count = image.layers.len();
        if from >= count {
            return Err(Error::invalid(format!(
                "there is no layer {from}: {name} has {count}"
            )));
        }
        let planned = squash::plan(&before, request.from);
        let mut diff = None;
        let made = self.bring_in(report, cancel, |work, pool| {
            let catalog = self.catalog()?;
            let layers = &stored(&catalog, &image.summary.id)?.layers;
            let mut blobs = Vec::new();
            for layer in layers.iter().take(from) {
                blobs.push(self.stored_blob(layer)?);
            }
            let merged = self.spool_merged(work, &image.layers, &before, &planned, cancel)?;
            pool.ask(&merged.0);
            let shown = prove(work, &before, from, &merged)?;
            let blob = merged.0;
            let mut config = self.read_document(&image.summary.id)?;
            config = rewrite(&config, from, &blob, &shown)?;
            diff = Some(shown);
            blobs.push(blob);
            let names = vec![request.reference.clone().with_default_tag()];
            Ok(vec![commit::plan_without_manifest(config, blobs, names)?])
        });
        let made = made.map_err(|error| self.base_went(&image.summary.id, error))?;
        let id = first_id(made)?;
        let nothing = || Error::new(Kind::Internal, "nothing was compared");
        let diff = diff.ok_or_else(nothing)?;
        Ok(Squashed {
            id,
            before: diff.before,
            after: diff.after,
        })
    }

    /// Writes the merged layer's archive. Files of which nobody knows a digest are read again, out of the archive.
    fn spool_merged(
        &self,
        work: &Workspace,
        layers: &[Layer],
        image: &Explored,
        planned: &[Planned],
        cancel: &Cancel,
    ) -> Result<(Spooled, Holey)> {
        let mut holey = Holey::new();
        let (blob, _) = snapshot::spool(
            work,
            Box::new(|out: &mut dyn Write| {
                let mut merged = Merged {
                    images: self,
                    layers,
                    image,
                    roots: HashMap::new(),
                    holey: &mut holey,
                };
                let mut writer = Writer::new(out, cancel);
                for one in planned {
                    merged.write(&mut writer, one)?;
                }
                let entries = writer.entries();
                writer.finish()?;
                Ok(entries)
            }),
            cancel,
        )?;
        check_holey(work, &blob, &holey)?;
        Ok((blob, holey))
    }
}

/// What the merged layer is written from.
struct Merged<'a> {
    images: &'a Images,
    layers: &'a [Layer],
    image: &'a Explored,
    /// Unpacked layers that are open.
    roots: HashMap<u16, Dir>,
    holey: &'a mut Holey,
}

impl Merged<'_> {
    fn write(&mut self, writer: &mut Writer<'_>, one: &Planned) -> Result<()> {
        let entry = &one.entry;
        let (parent, name) = split(&entry.path);
        let mut head = tarball::Entry {
            path: entry.path.clone(),
            link: Vec::new(),
            kind: tarball::Kind::File,
            mode: entry.mode & 0o7777,
            uid: entry.uid,
            gid: entry.gid,
            size: 0,
            mtime: entry.mtime,
            device: (0, 0),
            xattrs: entry.xattrs.clone(),
            sparse: None,
        };
        // Attributes have no order of their own.
        head.xattrs.sort();
        match &entry.kind {
            EntryKind::File { content } => {
                let content = content.as_ref();
                return self
                    .file(writer, head, one.source, content)
                    .attempt(|| format!("layer entry {}", shown(&entry.path)));
            }
            EntryKind::Whiteout => {
                return writer.head(&marker(join(parent, &[WHITEOUT, name].concat())));
            }
            EntryKind::Directory { opaque, .. } => {
                head.kind = tarball::Kind::Directory;
                if head.path.is_empty() {
                    head.path = b".".to_vec();
                }
                writer.head(&head)?;
                if *opaque {
                    writer.head(&marker(join(&entry.path, OPAQUE_WHITEOUT)))?;
                }
                return Ok(());
            }
            EntryKind::Symlink { target } => {
                head.kind = tarball::Kind::Symlink;
                head.link.clone_from(target);
            }
            EntryKind::HardLink { target } => {
                head.kind = tarball::Kind::HardLink;
                head.link.clone_from(target);
            }
            EntryKind::Char { device } => {
                (head.kind, head.device) = (tarball::Kind::Char, *device);
            }
            EntryKind::Block { device } => {
                (head.kind, head.device) = (tarball::Kind::Block, *device);
            }
            EntryKind::Fifo => head.kind = tarball::Kind::Fifo,
        }
        writer.head(&head)
    }

    fn file(
        &mut self,
        writer: &mut Writer<'_>,
        mut head: tarball::Entry,
        source: Option<At>,
        content: Option<&[u8; 32]>,
    ) -> Result<()> {
        let missing = || Error::new(Kind::Internal, "its content is nowhere");
        let source = source.ok_or_else(missing)?;
        let path = self.image.stack.entry(source).path.clone();
        let size = self
            .image
            .stack
            .file_of(source)
            .map_or(0, |file| self.image.stack.entry(file).size);
        let file = self.root(source.0)?.open_file(&path)?;
        let what = || format!("read {}", shown(&path));
        head.size = size;
        let found = (size >= MIN_HOLES).then(|| pieces(&file, size));
        let found = found.transpose().attempt(what)?;
        let pieces = found.filter(|pieces| is_worth(size, pieces, content.is_none()));
        // One that nobody has a digest of is read in pieces in any case: so it can be compared.
        let pieces = pieces.or_else(|| content.is_none().then(|| vec![(0, size)]));
        let Some(pieces) = pieces else {
            writer.head(&head)?;
            let mut hashed = Hashed {
                file,
                position: 0,
                hasher: blake3::Hasher::new(),
            };
            writer.content(size, &mut hashed, &path)?;
            return check(content, &hashed.hasher.finalize().into());
        };
        head.sparse = Some(pieces.clone());
        writer.head(&head)?;
        let mut reader = PieceReader {
            file,
            next: 0,
            position: 0,
            whole: content.is_some().then(blake3::Hasher::new),
            parts: blake3::Hasher::new(),
            pieces: &pieces,
        };
        writer.sparse_content(size, &pieces, &mut reader, &path)?;
        let (whole, parts) = reader.finish(size);
        if let Some(whole) = whole {
            return check(content, &whole);
        }
        self.holey.insert(head.path, parts);
        Ok(())
    }

    fn root(&mut self, layer: u16) -> Result<&Dir> {
        let unknown = || Error::new(Kind::Internal, format!("there is no layer {layer}"));
        if !self.roots.contains_key(&layer) {
            let facts = self.layers.get(usize::from(layer)).ok_or_else(unknown)?;
            let name = format!("{}/fs", facts.chain_id.hex());
            let gone = || Error::not_found(format!("layer {} is gone", facts.chain_id.short()));
            let dir = self.images.layers_dir().find_dir(name.as_bytes())?;
            self.roots.insert(layer, dir.ok_or_else(gone)?);
        }
        self.roots.get(&layer).ok_or_else(unknown)
    }
}

/// A file that says something about the layers below.
fn marker(path: Vec<u8>) -> tarball::Entry {
    tarball::Entry {
        path,
        link: Vec::new(),
        kind: tarball::Kind::File,
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

fn check(stated: Option<&[u8; 32]>, found: &[u8; 32]) -> Result<()> {
    if stated.is_none_or(|stated| stated == found) {
        return Ok(());
    }
    Err(
        Error::new(Kind::Internal, "its content is not what its layer brought")
            .with_hint("wharf system check --repair unpacks the layer again"),
    )
}

/// Holes are told of if they are worth it, and if whoever unpacks the layer can still hash the file.
fn is_worth(size: u64, pieces: &[(u64, u64)], is_unknown: bool) -> bool {
    let stored: u64 = pieces.iter().map(|(_, length)| length).sum();
    let holes = size.saturating_sub(stored);
    holes >= MIN_HOLES && (is_unknown || holes <= MAX_HASHED_HOLES)
}

/// Where a file has something else than zeros.
fn pieces(file: &File, size: u64) -> io::Result<Vec<(u64, u64)>> {
    let block = u64::try_from(BLOCK).unwrap_or(u64::MAX);
    let mut found: Vec<(u64, u64)> = Vec::new();
    let mut buffer = vec![0; CHUNK];
    let mut position = 0;
    while position < size {
        match file::next_data(file, position)? {
            Some(data) if data < size => position = position.max(data - data % block),
            _ => break,
        }
        let wanted = usize::try_from(size - position).unwrap_or(CHUNK).min(CHUNK);
        let chunk = buffer.get_mut(..wanted).unwrap_or_default();
        file.read_exact_at(chunk, position)?;
        for part in chunk.chunks(BLOCK) {
            let length = u64::try_from(part.len()).unwrap_or(0);
            if part.iter().any(|byte| *byte != 0) {
                match found.last_mut() {
                    Some((start, known)) if *start + *known == position => *known += length,
                    _ => found.push((position, length)),
                }
            }
            position += length;
        }
    }
    Ok(joined(found))
}

/// Fewer pieces, if there are too many: those with the smallest holes between them become one.
fn joined(mut pieces: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    let mut gap = u64::try_from(BLOCK).unwrap_or(u64::MAX);
    while pieces.len() > MAX_PIECES {
        gap = gap.saturating_mul(2);
        let mut fewer: Vec<(u64, u64)> = Vec::new();
        for (offset, length) in pieces {
            match fewer.last_mut() {
                Some((start, known)) if offset - (*start + *known) < gap => {
                    *known = offset + length - *start;
                }
                _ => fewer.push((offset, length)),
            }
        }
        pieces = fewer;
    }
    pieces
}

/// Hashes what is read of a file, from its start: where it stands is somewhere else once its holes were looked for.
struct Hashed {
    file: File,
    position: u64,
    hasher: blake3::Hasher,
}

impl Read for Hashed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.position)?;
        self.position += u64::try_from(read).unwrap_or(u64::MAX);
        self.hasher.update(buffer.get(..read).unwrap_or_default());
        Ok(read)
    }
}

/// The pieces of a file one behind the other.
struct PieceReader<'a> {
    file: File,
    pieces: &'a [(u64, u64)],
    next: usize,
    /// How much of the next piece was read.
    position: u64,
    /// Of the whole file, holes as zeros; `None` if there is too much of those.
    whole: Option<blake3::Hasher>,
    /// Of the pieces, and where they are.
    parts: blake3::Hasher,
}

impl PieceReader<'_> {
    fn finish(self, size: u64) -> (Option<[u8; 32]>, [u8; 32]) {
        let end = self
            .pieces
            .last()
            .map_or(0, |(offset, length)| offset + length);
        let whole = self.whole.map(|mut whole| {
            hash_zeros(&mut whole, size - end);
            whole.finalize().into()
        });
        (whole, self.parts.finalize().into())
    }
}

impl Read for PieceReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some((offset, length)) = self.pieces.get(self.next).copied() else {
            return Ok(0);
        };
        if self.position == 0 {
            let before = self
                .next
                .checked_sub(1)
                .and_then(|last| self.pieces.get(last));
            let end = before.map_or(0, |(offset, length)| offset + length);
            if let Some(whole) = &mut self.whole {
                hash_zeros(whole, offset - end);
            }
            hash_place(&mut self.parts, offset, length);
        }
        let left = usize::try_from(length - self.position).unwrap_or(usize::MAX);
        let wanted = left.min(buffer.len());
        let space = buffer.get_mut(..wanted).unwrap_or_default();
        let read = self.file.read_at(space, offset + self.position)?;
        let data = space.get(..read).unwrap_or_default();
        if let Some(whole) = &mut self.whole {
            whole.update(data);
        }
        self.parts.update(data);
        self.position += u64::try_from(read).unwrap_or(0);
        if self.position == length {
            (self.next, self.position) = (self.next + 1, 0);
        }
        Ok(read)
    }
}

fn hash_place(hasher: &mut blake3::Hasher, offset: u64, length: u64) {
    hasher.update(&offset.to_le_bytes());
    hasher.update(&length.to_le_bytes());
}

fn hash_zeros(hasher: &mut blake3::Hasher, length: u64) {
    let zeros = [0; BLOCK];
    let mut left = length;
    while left > 0 {
        let count = usize::try_from(left).unwrap_or(BLOCK).min(BLOCK);
        hasher.update(zeros.get(..count).unwrap_or_default());
        left -= u64::try_from(count).unwrap_or(left);
    }
}

/// Files that the archive does not give a digest of are there as they were read.
fn check_holey(work: &Workspace, blob: &Spooled, holey: &Holey) -> Result<()> {
    if holey.is_empty() {
        return Ok(());
    }
    let mut reader = tarball::Reader::new(work.open(blob)?);
    let mut buffer = vec![0; CHUNK];
    let mut same = 0;
    while let Some(entry) = reader.next_entry().map_err(archive_error)? {
        let path = clean(&entry.path).unwrap_or_default();
        let (Some(pieces), Some(expected)) = (&entry.sparse, holey.get(&path)) else {
            continue;
        };
        let mut hasher = blake3::Hasher::new();
        for (offset, length) in pieces.iter().filter(|(_, length)| *length > 0) {
            hash_place(&mut hasher, *offset, *length);
            let mut left = *length;
            while left > 0 {
                let wanted = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
                let space = buffer.get_mut(..wanted).unwrap_or_default();
                let read = reader.read_data(space).map_err(archive_error)?;
                if read == 0 {
                    break;
                }
                hasher.update(space.get(..read).unwrap_or_default());
                left -= u64::try_from(read).unwrap_or(left);
            }
        }
        let found: [u8; 32] = hasher.finalize().into();
        same += usize::from(found == *expected);
    }
    if same == holey.len() {
        return Ok(());
    }
    Err(Error::new(
        Kind::Internal,
        "a sparse file would not be the same",
    ))
}

/// The archive on top of the layers that stay shows what the image shows: every path, every digest.
fn prove(
    work: &Workspace,
    before: &Explored,
    from: usize,
    (blob, holey): &(Spooled, Holey),
) -> Result<Diff> {
    let mut after = Explored::new(before.about.clone());
    let layers = before.layers.iter().zip(&before.stack.layers).take(from);
    for (number, (facts, entries)) in (0..).zip(layers) {
        let part = Part {
            diff_id: facts.diff_id.clone(),
            blob: facts.blob.clone(),
            blob_size: facts.blob_size,
            directory: String::new(),
            from_table: false,
            repeated: before.stack.repeated_of(number),
        };
        after.push(part, entries.to_vec());
    }
    let entries = explore::on_top_of(&after, &mut work.open(blob)?)?;
    let part = Part {
        diff_id: blob.digest.clone(),
        blob: blob.digest.clone(),
        blob_size: blob.size,
        directory: String::new(),
        from_table: false,
        repeated: Vec::new(),
    };
    after.push(part, entries);
    let diff = Diff::of(before, &after);
    // These were compared by their pieces.
    let is_holey = |at: Option<At>| {
        let file = at.map(|at| after.stack.entry(after.stack.inode_of(at)));
        file.is_some_and(|file| holey.contains_key(&file.path))
    };
    let is_same = |change: &&PathChange| {
        change.fate == Fate::Content
            && change.differs == Differs::default()
            && is_holey(change.after)
    };
    match diff.paths.iter().find(|change| !is_same(change)) {
        None => Ok(diff),
        Some(change) => Err(Error::new(
            Kind::Internal,
            format!(
                "the layers were not merged: {} would not be the same ({} {})",
                shown(&change.path),
                change.fate.as_str(),
                change.differs.words().join(", ")
            ),
        )),
    }
}

/// The configuration of the new image: everything as it was but for layers and history. Steps whose layers were merged stay
/// as steps without one, and the last step tells of it.
fn rewrite(config: &[u8], from: usize, blob: &Spooled, diff: &Diff) -> Result<Vec<u8>> {
    let damaged = |error| Error::new(Kind::Internal, "read the configuration").caused_by(error);
    let mut config: Map<String, Value> = serde_json::from_slice(config).map_err(damaged)?;
    let rootfs = config.entry("rootfs").or_insert_with(|| json!({}));
    let kept = rootfs.get("diff_ids").and_then(Value::as_array);
    let kept = kept.into_iter().flatten().take(from).cloned();
    let ids: Vec<Value> = kept.chain([json!(blob.digest.to_string())]).collect();
    *rootfs = json!({ "type": "layers", "diff_ids": ids });
    let mut history = match config.get_mut("history").map(Value::take) {
        Some(Value::Array(steps)) => steps,
        _ => Vec::new(),
    };
    let mut layers = 0;
    for step in history.iter_mut().filter_map(Value::as_object_mut) {
        let has_layer = step.get("empty_layer") != Some(&Value::Bool(true));
        if has_layer && layers >= from {
            step.insert("empty_layer".to_owned(), true.into());
        }
        layers += usize::from(has_layer);
    }
    // A history that tells of fewer layers than there are.
    for _ in layers..from {
        history.push(json!({ "created_by": "" }));
    }
    let hidden = diff.before.wasted.saturating_sub(diff.after.wasted);
    let mut step = Map::new();
    // The image is as old as it was: the same image makes the same image.
    if let Some(created) = config.get("created").filter(|created| created.is_string()) {
        step.insert("created".to_owned(), created.clone());
    }
    step.insert("created_by".to_owned(), "wharf layers squash".into());
    let last = diff.before.layers.saturating_sub(1);
    let comment = format!("layers {from} to {last} are one, without {hidden} bytes that they hid");
    step.insert("comment".to_owned(), comment.into());
    history.push(step.into());
    config.insert("history".to_owned(), history.into());
    commit::encode(&config)
}
