//! What is in files of layers that may hold secrets, and who has a name in the image. Only files whose name and size say that
//! it could be worth it are read, each as a whole: a thread holds one of them at a time.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::paper::FileHash;
use super::{Gauge, Reading};
use crate::engine::error::{Attempt, Error, Kind, Result};
use crate::engine::images::unpack::shown;
use crate::engine::model::Cancel;
use crate::engine::model::layers::diff::At;
use crate::engine::model::layers::findings::Evidence;
use crate::engine::model::layers::findings::secrets::{self, Hit, MAX_SIZE};
use crate::engine::model::layers::{Explored, Kind as EntryKind};
use crate::engine::sys::at::Dir;

/// Whom the image knows.
const NAMES: [&[u8]; 2] = [b"etc/passwd", b"etc/group"];

/// What a file came to: its layer and path, and what is in it.
type Found = (u16, Vec<u8>, Vec<Hit>);

/// What files of unpacked layers say, the lowest layer first. They are read where they are unpacked.
///
/// # Errors
/// `Cancelled`; a layer or a file that is gone.
pub(super) fn of_store(
    layers: &[PathBuf],
    explored: &Explored,
    cancel: &Cancel,
) -> Result<Evidence> {
    let roots: Vec<Dir> = layers
        .iter()
        .map(|layer| Dir::open(layer))
        .collect::<Result<_>>()?;
    let stack = &explored.stack;
    let mut wanted: Vec<At> = Vec::new();
    for (layer, entries) in (0..).zip(&stack.layers) {
        for (number, entry) in (0..).zip(entries.iter()) {
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

/// The same of `count` layers of an archive, that `read` opens and that are inflated for it.
///
/// # Errors
/// `Cancelled`; what reading says.
pub(super) fn of_archive<'a>(
    count: usize,
    read: &(dyn Fn(usize) -> Result<Box<dyn Read + Send + 'a>> + Sync),
    explored: &Explored,
    cancel: &Cancel,
) -> Result<Evidence> {
    let all: Mutex<BTreeMap<usize, Gathered>> = Mutex::default();
    in_parallel(count, cancel, |place| {
        let look = Reading::Files.look(FileHash::Blake3);
        let sums = super::sums(read(place)?, look, &Gauge::new(cancel))?;
        let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(place, sums.list.gathered);
        Ok(Vec::new())
    })?;
    let all = all.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(of_layers(all.into_values().collect(), explored))
}

fn read_file(root: &Dir, path: &[u8]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    root.open_file(path)?
        .take(MAX_SIZE)
        .read_to_end(&mut bytes)
        .attempt(|| format!("read {}", shown(path)))?;
    Ok(bytes)
}

/// What was kept of a layer's files while they were listed.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    hits: Vec<(Vec<u8>, Vec<Hit>)>,
    names: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Gathered {
    /// Whether a file's content is to be kept for [`Self::take`].
    pub(super) fn wants(path: &[u8], size: u64) -> bool {
        is_name(path, size) || secrets::wanted(path, size)
    }

    /// Looks at a file that [`Self::wants`] asked for. A later one of the same path is another one.
    pub(super) fn take(&mut self, path: &[u8], bytes: Vec<u8>) {
        if is_name(path, u64::try_from(bytes.len()).unwrap_or(u64::MAX)) {
            self.names.push((path.to_vec(), bytes));
            return;
        }
        let hits = secrets::in_content(path, &bytes);
        if !hits.is_empty() {
            self.hits.push((path.to_vec(), hits));
        }
    }
}

fn is_name(path: &[u8], size: u64) -> bool {
    NAMES.contains(&path) && size <= MAX_SIZE
}

/// What the files of all layers say, the lowest first.
pub(super) fn of_layers(layers: Vec<Gathered>, explored: &Explored) -> Evidence {
    let tree = &explored.stack.tree;
    let [passwd, group] = NAMES.map(|wanted| {
        let (layer, _) = tree.current(tree.find(wanted)?)?;
        let names = &layers.get(usize::from(layer))?.names;
        let found = names.iter().rev().find(|(path, _)| path == wanted);
        found.map(|(_, bytes)| bytes.clone())
    });
    let found = (0..).zip(layers).flat_map(|(number, layer)| {
        let own = move |(path, hits)| (number, path, hits);
        layer.hits.into_iter().map(own)
    });
    Evidence {
        hits: flat(found.collect()),
        passwd,
        group,
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
