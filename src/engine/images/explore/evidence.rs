//! What is in files of layers that may hold secrets, and who has a name in the image. Only files whose name and size say that
//! it could be worth it are read, each as a whole: a thread holds one of them at a time.

use std::io::Read;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::archive::{Archive, PickedLayer};
use crate::engine::error::{Attempt, Error, Kind, Result};
use crate::engine::images::unpack::{archive_error, clean, shown, stream_error};
use crate::engine::images::{Images, codec, tarball};
use crate::engine::model::Cancel;
use crate::engine::model::image::Image;
use crate::engine::model::layers::diff::At;
use crate::engine::model::layers::findings::Evidence;
use crate::engine::model::layers::findings::secrets::{self, Hit, MAX_SIZE};
use crate::engine::model::layers::{Explored, Kind as EntryKind};
use crate::engine::sys::at::Dir;

/// Whom the image knows.
const NAMES: [&[u8]; 2] = [b"etc/passwd", b"etc/group"];

/// A file of names: its layer, its path, what it says.
type Named = (u16, Vec<u8>, Vec<u8>);

/// What a file came to: its layer and path, and what is in it.
type Found = (u16, Vec<u8>, Vec<Hit>);

impl Images {
    /// What files of an image of the store say. They are read where they are unpacked.
    ///
    /// # Errors
    /// `Cancelled`; a layer or a file that is gone.
    pub fn evidence(
        &self,
        image: &Image,
        explored: &Explored,
        cancel: &Cancel,
    ) -> Result<Evidence> {
        let mut roots = Vec::new();
        for layer in &image.layers {
            let name = format!("{}/fs", layer.chain_id.hex());
            let gone = || Error::not_found(format!("layer {} is gone", layer.chain_id.short()));
            let dir = self.layers_dir().find_dir(name.as_bytes())?;
            roots.push(dir.ok_or_else(gone)?);
        }
        let stack = &explored.stack;
        let mut wanted: Vec<At> = Vec::new();
        for (layer, entries) in (0..).zip(&stack.layers) {
            for (number, entry) in (0..).zip(entries) {
                let is_file = matches!(entry.kind, EntryKind::File { .. });
                if is_file && secrets::wanted(&entry.path, entry.size) {
                    wanted.push((layer, number));
                }
            }
        }
        let read = |at: At| -> Result<Vec<u8>> {
            let path = &stack.entry(at).path;
            let root = roots.get(usize::from(at.0));
            let missing = || Error::new(Kind::Internal, format!("there is no layer {}", at.0));
            read_file(root.ok_or_else(missing)?, path)
        };
        let hits = in_parallel(wanted.len(), cancel, |place| {
            let Some(at) = wanted.get(place).copied() else {
                return Ok(Vec::new());
            };
            let path = &stack.entry(at).path;
            let hits = secrets::in_content(path, &read(at)?);
            Ok(vec![(at.0, path.clone(), hits)])
        })?;
        let names = NAMES.map(|path| {
            let at = stack
                .tree
                .find(path)
                .and_then(|node| stack.tree.current(node))?;
            let file = stack.file_of(at)?;
            (stack.entry(file).size <= MAX_SIZE).then_some(at)
        });
        let [passwd, group] = names.map(|at| at.map(read).transpose());
        Ok(Evidence {
            hits: flat(hits),
            passwd: passwd?,
            group: group?,
        })
    }
}

fn read_file(root: &Dir, path: &[u8]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    root.open_file(path)?
        .take(MAX_SIZE)
        .read_to_end(&mut bytes)
        .attempt(|| format!("read {}", shown(path)))?;
    Ok(bytes)
}

/// The same of an archive, whose layers are inflated for it once more.
///
/// # Errors
/// `Cancelled`; what reading says.
pub(super) fn of_archive(
    archive: &Archive,
    layers: &[PickedLayer],
    explored: &Explored,
    cancel: &Cancel,
) -> Result<Evidence> {
    let names: Mutex<Vec<Named>> = Mutex::default();
    let found = in_parallel(layers.len(), cancel, |place| {
        let Some(layer) = layers.get(place) else {
            return Ok(Vec::new());
        };
        let number = u16::try_from(place).unwrap_or(u16::MAX);
        let (input, _) = archive.read(layer)?;
        let input = codec::decode(input).map_err(stream_error)?;
        let mut reader = tarball::Reader::new(input);
        let mut all: Vec<Found> = Vec::new();
        while let Some(entry) = reader.next_entry().map_err(archive_error)? {
            if cancel.is_cancelled() {
                return Err(cancelled());
            }
            let Some(path) = clean(&entry.path).filter(|_| entry.kind == tarball::Kind::File)
            else {
                continue;
            };
            let is_name = NAMES.contains(&path.as_slice()) && entry.size <= MAX_SIZE;
            if entry.sparse.is_some() || !is_name && !secrets::wanted(&path, entry.size) {
                continue;
            }
            let bytes = read_entry(&mut reader)?;
            if is_name {
                let mut names = names.lock().unwrap_or_else(PoisonError::into_inner);
                names.push((number, path, bytes));
            } else {
                let hits = secrets::in_content(&path, &bytes);
                all.push((number, path, hits));
            }
        }
        Ok(all)
    })?;
    let names = names.into_inner().unwrap_or_else(PoisonError::into_inner);
    let tree = &explored.stack.tree;
    let [passwd, group] = NAMES.map(|wanted| {
        let (layer, _) = tree.current(tree.find(wanted)?)?;
        let found = names
            .iter()
            .rev()
            .find(|(own, path, _)| *own == layer && path == wanted);
        found.map(|(_, _, bytes)| bytes.clone())
    });
    Ok(Evidence {
        hits: flat(found),
        passwd,
        group,
    })
}

fn read_entry<R: Read>(reader: &mut tarball::Reader<R>) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = reader.read_data(&mut buffer).map_err(archive_error)?;
        match buffer.get(..read).filter(|read| !read.is_empty()) {
            Some(read) => bytes.extend_from_slice(read),
            None => return Ok(bytes),
        }
    }
}

fn flat(mut found: Vec<Found>) -> Vec<(u16, Vec<u8>, Hit)> {
    found.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    let each = |(layer, path, hits): Found| {
        let one = move |hit| (layer, path.clone(), hit);
        hits.into_iter().map(one)
    };
    found.into_iter().flat_map(each).collect()
}

fn cancelled() -> Error {
    Error::new(Kind::Cancelled, "cancelled")
}

/// Does so many pieces of work with all processors. The first error ends it.
fn in_parallel(
    count: usize,
    cancel: &Cancel,
    work: impl Fn(usize) -> Result<Vec<Found>> + Sync,
) -> Result<Vec<Found>> {
    let next = AtomicUsize::new(0);
    let all: Mutex<Result<Vec<Found>>> = Mutex::new(Ok(Vec::new()));
    let run = || {
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            if place >= count {
                return;
            }
            let done = if cancel.is_cancelled() {
                Err(cancelled())
            } else {
                work(place)
            };
            let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
            match (done, &mut *all) {
                (Ok(found), Ok(known)) => {
                    known.extend(found.into_iter().filter(|(_, _, hits)| !hits.is_empty()));
                }
                (Err(error), Ok(_)) => {
                    *all = Err(error);
                    next.store(count, Ordering::Relaxed);
                }
                (_, Err(_)) => return,
            }
        }
    };
    let threads = std::thread::available_parallelism()
        .map_or(1, usize::from)
        .min(count);
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(run);
        }
        run();
    });
    all.into_inner().unwrap_or_else(PoisonError::into_inner)
}
