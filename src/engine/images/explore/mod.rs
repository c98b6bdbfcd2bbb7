//! Looks into images: from the indexes of the store, or from an archive as it lies there.

mod archive;
mod cache;
mod content;
mod evidence;
mod paper;
mod remote;
mod spool;
mod table;

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::Duration;

use archive::{Archive, PickedLayer};
use cache::{Cache, Of};
use evidence::Gathered;
use paper::{FileHash, Listed, Look};
use spool::Watch;
use table::Table;

pub use content::{Contents, FileStart};

use super::codec::{self, Compression, Hasher};
use super::document::Descriptor;
use super::registry::Client;
use super::unpack::{shown, stream_error};
use super::{Images, stored_steps};
use crate::engine::error::{Attempt, Error, Kind as ErrorKind, Result};
use crate::engine::model::image::{Image, Layer};
use crate::engine::model::layers::findings::Evidence;
use crate::engine::model::layers::{
    About, Entry, Explored, Kind, LayerFacts, Part, Repeated, Step,
};
use crate::engine::model::{Cancel, Digest, Platform, request};

/// Where an OCI layout has its blobs.
const BLOBS: &str = "blobs";

/// What may follow the end marker of a layer's archive, in bytes.
const MAX_TRAILER: u64 = 16 << 20;

/// How an image that is not in the store is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// As little as there need be: a table of contents that a registry has in a layer's place, a list that was made before.
    Lists,
    /// As before, but no tables: files can be compared with those of other images.
    Layers,
    /// All of it, and what its files say.
    Files,
}

impl Reading {
    /// What is done with files; their hash is a table's if one has a part in it.
    fn look(self, hash: FileHash) -> Look {
        let gathered = (self == Self::Files).then(Gathered::default);
        Look { hash, gathered }
    }
}

/// The entries that unpacking an uncompressed archive would leave, sorted by path, and how many hard links among them need a
/// layer below and are not there yet.
///
/// # Errors
/// `InvalidInput` naming the entry, for what unpacking would refuse, too.
pub fn list(input: &mut dyn Read) -> Result<(Vec<Entry>, usize)> {
    let listed = paper::list(input, Reading::Layers.look(FileHash::Blake3))?;
    Ok((listed.entries, listed.wanted.len()))
}

/// What an uncompressed archive has more than once.
///
/// # Errors
/// As [`list`].
pub fn list_repeated(input: &mut dyn Read) -> Result<Vec<Repeated>> {
    let listed = paper::list(input, Reading::Layers.look(FileHash::Blake3))?;
    Ok(listed.repeated)
}

/// The same of a table of contents, as eStargz and zstd:chunked have it (JSON, inflated).
///
/// # Errors
/// As [`list`]; what no archive can have.
pub fn list_table(json: &[u8]) -> Result<(Vec<Entry>, usize)> {
    let listed = table::parse(json)?;
    Ok((listed.entries, listed.wanted.len()))
}

/// The entries of a layer's uncompressed archive on top of the layers of `below`.
///
/// # Errors
/// As [`list`]; a hard link to a file that is nowhere.
pub(super) fn on_top_of(below: &Explored, input: &mut dyn Read) -> Result<Vec<Entry>> {
    let look = Reading::Layers.look(FileHash::Blake3);
    settle(below, paper::list(input, look)?)
}

impl Images {
    /// An image of the store: its layers' indexes are read, and nothing else. `watch` is told each step.
    ///
    /// # Errors
    /// As [`Images::resolve`]; a damaged index; `Cancelled` between two layers.
    pub fn explore(
        &self,
        name: &str,
        watch: &mut dyn FnMut(Step<'_>),
        cancel: &Cancel,
    ) -> Result<Explored> {
        let image = self.resolve(name)?;
        let mut explored = Explored::new(about(name, &image));
        let part = |layer: &Layer| Part {
            diff_id: layer.diff_id.clone(),
            blob: layer.blob.clone(),
            blob_size: layer.blob_size,
            directory: BLOBS.to_owned(),
            from_table: false,
            repeated: Vec::new(),
        };
        let facts = |(number, layer): (usize, &Layer)| LayerFacts {
            size: layer.size,
            ..explored.about.layer(number, part(layer))
        };
        let outline = image.layers.iter().enumerate().map(facts).collect();
        watch(Step::Outline(&explored.about, outline));
        for layer in &image.layers {
            if cancel.is_cancelled() {
                return Err(Error::new(ErrorKind::Cancelled, "cancelled"));
            }
            let (summary, entries) = self.layer_index(&layer.chain_id)?;
            let repeated = summary.repeated;
            let part = Part {
                repeated,
                ..part(layer)
            };
            explored.push(part, entries);
            watch(Step::Layer(&explored));
        }
        Ok(explored)
    }
}

fn about(name: &str, image: &Image) -> About {
    About {
        name: name.to_owned(),
        id: image.summary.id.to_string(),
        platform: image.summary.platform.clone(),
        user: image.config.user.clone(),
        has_healthcheck: image.stated.healthcheck.is_some(),
        history: image.history.clone(),
        env: image.config.env.clone(),
        labels: image.summary.labels.clone(),
    }
}

/// An image of an archive (an OCI layout as directory or tar, docker-archive; `-` is standard input), chosen by name if one is
/// given. Its layers are read at the same time, by all processors, and every digest is checked; nothing is written, but for
/// a file without a name that holds what cannot be read twice, and lists of layers in `cache`: as long as a file is the same,
/// its layers are not read once more.
///
/// # Errors
/// `NotFound` if it holds no such image; `InvalidInput` for what is malformed or has another digest than stated.
pub fn archive(
    path: &Path,
    cache: Option<&Path>,
    which: Which<'_>,
    reading: Reading,
    watch: &mut dyn FnMut(Step<'_>),
    cancel: &Cancel,
) -> Result<Looked> {
    let archive = Archive::open(path, cache, watch, cancel)?;
    let shown = path.display().to_string();
    read_all(archive, &shown, which, reading, watch, cancel)
}

/// An image, where its files are, and what they say if that was asked for.
pub type Looked = (Explored, Contents, Evidence);

/// Which of several images: by name, for a platform.
pub type Which<'a> = (Option<&'a str>, Option<&'a Platform>);

/// The same of an image of a registry, whose layers are listed while they come, and not kept; their lists are, in `cache`. What
/// its files say is there if they are read.
///
/// # Errors
/// As [`archive`], and what the registry says.
pub fn registry(
    client: &Client,
    wanted: &request::Pull,
    cache: Option<&Path>,
    reading: Reading,
    watch: &mut dyn FnMut(Step<'_>),
    cancel: &Cancel,
) -> Result<Looked> {
    let archive = Archive::of_registry(client, wanted, cache)?;
    let shown = wanted.reference.familiar();
    let which = (None, wanted.platform.as_ref());
    read_all(archive, &shown, which, reading, watch, cancel)
}

/// The same of an image of another engine on this host, that serves Docker's interface at a socket.
///
/// # Errors
/// As [`archive`]; `Unavailable` if nobody answers there.
pub fn engine(
    socket: &Path,
    image: &str,
    platform: Option<&Platform>,
    reading: Reading,
    watch: &mut dyn FnMut(Step<'_>),
    cancel: &Cancel,
) -> Result<Looked> {
    let archive = Archive::of_engine(socket, image, watch, cancel)?;
    read_all(archive, image, (None, platform), reading, watch, cancel)
}

/// The same of a root file system: one archive, compressed or not, that is its only layer; `-` is standard input.
///
/// # Errors
/// What the file system says; `InvalidInput` for what is no archive.
pub fn rootfs(
    path: &Path,
    reading: Reading,
    watch: &mut dyn FnMut(Step<'_>),
    cancel: &Cancel,
) -> Result<Looked> {
    let archive = Archive::of_layer(path, watch, cancel)?;
    let unread = codec::digest_of(b"");
    let mut layer = PickedLayer {
        name: Vec::new(),
        stated: None,
        diff_id: unread,
    };
    let gauge = Gauge::new(cancel);
    let (input, _) = archive.read(&layer)?;
    let look = reading.look(FileHash::Blake3);
    let mut sums = sums(input, look, &gauge).attempt(|| format!("read {}", path.display()))?;
    layer.diff_id = sums.diff_id.clone();
    let gathered = std::mem::take(&mut sums.list.gathered);
    let repeated = std::mem::take(&mut sums.list.repeated);
    let mut explored = Explored::new(About {
        name: path.display().to_string(),
        id: sums.diff_id.to_string(),
        platform: Platform::host(),
        user: String::new(),
        has_healthcheck: false,
        history: Vec::new(),
        env: Vec::new(),
        labels: BTreeMap::new(),
    });
    let part = Part {
        diff_id: sums.diff_id,
        blob: sums.blob,
        blob_size: sums.blob_size,
        directory: String::new(),
        from_table: false,
        repeated,
    };
    let entries = settle(&explored, sums.list)?;
    let outline = explored.about.layer(0, part.clone());
    watch(Step::Outline(&explored.about, vec![outline]));
    explored.push(part, entries);
    watch(Step::Layer(&explored));
    let evidence = evidence::of_layers(vec![gathered], &explored);
    Ok((explored, Contents::new(archive, vec![layer]), evidence))
}

fn read_all(
    archive: Archive,
    shown: &str,
    (name, platform): Which<'_>,
    reading: Reading,
    watch: &mut Watch<'_>,
    cancel: &Cancel,
) -> Result<Looked> {
    let picked = archive
        .pick(name, platform)
        .attempt(|| format!("read {shown}"))?;
    let about = About {
        name: picked
            .names
            .first()
            .cloned()
            .unwrap_or_else(|| shown.to_owned()),
        id: picked.id.to_string(),
        platform: picked.config.platform(),
        user: picked.config.container_config().user,
        has_healthcheck: picked.config.stated().healthcheck.is_some(),
        history: stored_steps(&picked.config, vec![0; picked.layers.len()]),
        env: picked.config.container_config().env,
        labels: picked.config.container_config().labels,
    };
    let facts = |(number, layer): (usize, &PickedLayer)| {
        let stated = layer.stated.as_ref();
        let part = Part {
            diff_id: layer.diff_id.clone(),
            blob: stated
                .map_or(&layer.diff_id, |stated| &stated.digest)
                .clone(),
            blob_size: stated.map_or(0, |stated| stated.size),
            directory: directory(layer),
            from_table: false,
            repeated: Vec::new(),
        };
        about.layer(number, part)
    };
    let outline = picked.layers.iter().enumerate().map(facts).collect();
    watch(Step::Outline(&about, outline));
    let mut explored = Explored::new(about);
    let mut gathered = Vec::new();
    let lister = Lister::new(&archive, &picked.layers, reading, cancel);
    list_all(&lister, &picked.layers, &mut |came| {
        match came {
            Came::Bytes(bytes) => watch(Step::Read(bytes, Some(&explored))),
            Came::Layer(layer) => {
                let (mut part, mut list) = *layer;
                gathered.push(std::mem::take(&mut list.gathered));
                part.repeated = std::mem::take(&mut list.repeated);
                let entries = settle(&explored, list)?;
                explored.push(part, entries);
                watch(Step::Layer(&explored));
            }
        }
        Ok(())
    })
    .attempt(|| format!("read {shown}"))?;
    let sizes = explored.layers.iter().map(|layer| layer.size).collect();
    explored.about.history = stored_steps(&picked.config, sizes);
    let evidence = evidence::of_layers(gathered, &explored);
    let contents = Contents::new(archive, picked.layers);
    Ok((explored, contents, evidence))
}

/// How much has been read, and whether that is enough.
struct Gauge<'a> {
    /// Bytes of blobs.
    done: AtomicU64,
    cancel: &'a Cancel,
}

impl<'a> Gauge<'a> {
    fn new(cancel: &'a Cancel) -> Self {
        let done = AtomicU64::new(0);
        Self { done, cancel }
    }
}

/// Between two reports of how much has come.
const PACE: Duration = Duration::from_millis(100);

/// What came while layers are listed.
enum Came {
    /// The next layer.
    Layer(Box<(Part, Listed)>),
    /// So many bytes of all of them.
    Bytes(u64),
}

/// What came of a layer.
type Done = Result<(Part, Listed)>;

/// Lists all layers, several at a time, and hands them on in their order as soon as all below are there.
fn list_all(
    lister: &Lister<'_>,
    layers: &[PickedLayer],
    take: &mut dyn FnMut(Came) -> Result<()>,
) -> Result<()> {
    let open: Mutex<VecDeque<usize>> = Mutex::new((0..layers.len()).collect());
    let stop = || open.lock().unwrap_or_else(PoisonError::into_inner).clear();
    // Who lists waits for who puts together: lists that wait take more memory than the image that they become.
    let (sender, done) = mpsc::sync_channel::<(usize, Done)>(1);
    let work = |sender: mpsc::SyncSender<(usize, Done)>| {
        loop {
            let next = open
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop_front();
            let Some(number) = next else { return };
            let Some(layer) = layers.get(number) else {
                return;
            };
            let result = lister
                .list(layer)
                .attempt(|| format!("layer {number} of {}", layers.len()));
            if result.is_err() {
                stop();
            }
            // Nobody receives any more after an error.
            if sender.send((number, result)).is_err() {
                return;
            }
        }
    };
    let threads = std::thread::available_parallelism()
        .map_or(1, usize::from)
        .min(layers.len());
    std::thread::scope(|scope| {
        // After an error nobody is to wait for it.
        let done = done;
        for _ in 0..threads {
            let sender = sender.clone();
            scope.spawn(move || work(sender));
        }
        drop(sender);
        let mut waiting: BTreeMap<usize, Done> = BTreeMap::new();
        let mut next = 0;
        loop {
            let (number, result) = match done.recv_timeout(PACE) {
                Ok(done) => done,
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    take(Came::Bytes(lister.gauge.done.load(Ordering::Relaxed)))?;
                    continue;
                }
            };
            waiting.insert(number, result);
            while let Some(result) = waiting.remove(&next) {
                next += 1;
                let taken = result.and_then(|layer| take(Came::Layer(Box::new(layer))));
                if taken.is_err() {
                    stop();
                    return taken;
                }
            }
        }
        // After a gap there is an error: of several the one of the lowest layer is told.
        waiting
            .into_values()
            .find_map(Result::err)
            .map_or(Ok(()), Err)
    })
}

/// Lists layers of an image.
struct Lister<'a> {
    archive: &'a Archive,
    reading: Reading,
    hash: FileHash,
    gauge: Gauge<'a>,
}

impl<'a> Lister<'a> {
    fn new(
        archive: &'a Archive,
        layers: &[PickedLayer],
        reading: Reading,
        cancel: &'a Cancel,
    ) -> Self {
        let mut lister = Self {
            archive,
            reading,
            hash: FileHash::Blake3,
            gauge: Gauge::new(cancel),
        };
        if layers.iter().any(|layer| lister.table(layer).is_some()) {
            lister.hash = FileHash::Sha256;
        }
        lister
    }

    /// The table of contents that a layer is listed by, if it can be had.
    fn table(&self, layer: &PickedLayer) -> Option<Table> {
        let remote = self.archive.is_remote() && self.reading == Reading::Lists;
        Table::of(layer.stated.as_ref().filter(|_| remote)?)
    }

    /// The cache, if a list that was made before is enough.
    fn cache(&self) -> Option<&'a Cache> {
        let cache = self.archive.cache();
        cache.filter(|_| self.reading != Reading::Files)
    }

    fn list(&self, layer: &PickedLayer) -> Result<(Part, Listed)> {
        let known = self.known(layer).or_else(|| self.by_table(layer));
        let Some(known) = known else {
            return self.read(layer);
        };
        let done = &self.gauge.done;
        done.fetch_add(known.0.blob_size, Ordering::Relaxed);
        Ok(known)
    }

    /// A layer's list by its table of contents. Whatever is wrong with that: the layer itself says it.
    fn by_table(&self, layer: &PickedLayer) -> Option<(Part, Listed)> {
        let (table, stated) = (self.table(layer)?, layer.stated.as_ref()?);
        let cached = || Some(self.cache()?.get(Of::Table, &table.digest)?.0);
        let fetch = || {
            let part = &mut |start, end| self.archive.part(stated, start, end);
            let list = table.list(part).ok().flatten()?;
            if let Some(cache) = self.cache() {
                cache.put(Of::Table, &list, &table.digest, &stated.digest);
            }
            Some(list)
        };
        let list = cached().or_else(fetch)?;
        let part = Part {
            diff_id: layer.diff_id.clone(),
            blob: stated.digest.clone(),
            blob_size: stated.size,
            directory: directory(layer),
            from_table: true,
            repeated: Vec::new(),
        };
        Some((part, list))
    }

    fn read(&self, layer: &PickedLayer) -> Result<(Part, Listed)> {
        let identity = self.cache().and_then(|_| self.archive.identity(layer));
        let what = || format!("read {}", shown(&layer.name));
        let (input, length) = self.archive.read(layer)?;
        if let Some(stated) = layer.stated.as_ref().filter(|stated| length < stated.size) {
            return Err(Error::invalid(format!(
                "blob {} is cut short: it has {length} bytes, its descriptor says {}",
                stated.digest, stated.size
            )));
        }
        let sums = sums(input, self.reading.look(self.hash), &self.gauge).attempt(what)?;
        let check = |stated: &Digest, found: &Digest| {
            if stated == found {
                return Ok(());
            }
            Err(Error::invalid(format!(
                "{stated} is stated, its content is {found}"
            )))
        };
        check(&layer.diff_id, &sums.diff_id)?;
        if let Some(Descriptor {
            digest: stated,
            size,
            ..
        }) = &layer.stated
        {
            check(stated, &sums.blob)?;
            if *size != length {
                return Err(Error::invalid(format!(
                    "blob {stated} has {length} bytes, its descriptor says {size}"
                )));
            }
        }
        match (self.cache(), identity) {
            (Some(cache), None) if self.archive.is_remote() => {
                let of = Of::Layer(self.hash);
                cache.put(of, &sums.list, &sums.diff_id, &sums.blob);
            }
            // Nobody wrote to it meanwhile.
            (Some(cache), Some(identity))
                if self.archive.identity(layer).as_ref() == Some(&identity) =>
            {
                cache.put_file(&identity, &sums.list, &sums.diff_id, &sums.blob);
            }
            _ => {}
        }
        let part = Part {
            diff_id: sums.diff_id,
            blob: sums.blob,
            blob_size: length,
            directory: directory(layer),
            from_table: false,
            repeated: Vec::new(),
        };
        Ok((part, sums.list))
    }

    /// A layer that was listed before. Of a registry the configuration, whose digest is checked, names its content; of a file
    /// what it is was compared with that when it was read, and it is the same file as then.
    fn known(&self, layer: &PickedLayer) -> Option<(Part, Listed)> {
        let cache = self.cache()?;
        let stated = layer.stated.as_ref();
        let (list, blob) = if self.archive.is_remote() {
            cache.get(Of::Layer(self.hash), &layer.diff_id)?
        } else {
            let (list, diff_id, blob) = cache.of_file(&self.archive.identity(layer)?)?;
            (diff_id == layer.diff_id).then_some((list, blob))?
        };
        let length = self.archive.length(layer)?;
        // The same content in another blob: what that one is, only its bytes can tell.
        if stated.is_some_and(|stated| blob != stated.digest || length != stated.size) {
            return None;
        }
        let part = Part {
            diff_id: layer.diff_id.clone(),
            blob,
            blob_size: length,
            directory: directory(layer),
            from_table: false,
            repeated: Vec::new(),
        };
        Some((part, list))
    }
}

/// The first directory of a layer's file in its archive.
fn directory(layer: &PickedLayer) -> String {
    let first = layer.name.split(|b| *b == b'/').next().unwrap_or_default();
    String::from_utf8_lossy(first).into_owned()
}

/// A layer's archive that was read to its end.
struct Sums {
    list: Listed,
    /// Of the archive, and of the blob that it came in.
    diff_id: Digest,
    blob: Digest,
    /// Bytes of the blob.
    blob_size: u64,
}

/// Lists and hashes a layer's archive while it comes.
fn sums(mut input: impl Read + Send, look: Look, gauge: &Gauge<'_>) -> Result<Sums> {
    let start = codec::read_start(&mut input, 8).map_err(stream_error)?;
    let is_plain = matches!(Compression::sniff(&start), Ok(Compression::Plain));
    // A plain layer is its own uncompressed form: one digest is enough.
    let mut blob = Hashed {
        input: io::Cursor::new(start).chain(input),
        hasher: (!is_plain).then(Hasher::default),
        length: 0,
        gauge: Some(gauge),
    };
    let mut inflated = Hashed {
        input: codec::decode(&mut blob).map_err(stream_error)?,
        hasher: Some(Hasher::default()),
        length: 0,
        gauge: None,
    };
    let list = paper::list(&mut inflated, look)?;
    let rest =
        io::copy(&mut (&mut inflated).take(MAX_TRAILER), &mut io::sink()).map_err(stream_error)?;
    if rest == MAX_TRAILER {
        return Err(Error::invalid("too much follows the end of the archive"));
    }
    let diff_id = inflated.hasher.take().unwrap_or_default().digest();
    drop(inflated);
    io::copy(&mut blob, &mut io::sink()).map_err(stream_error)?;
    let digest = blob
        .hasher
        .take()
        .map_or_else(|| diff_id.clone(), Hasher::digest);
    Ok(Sums {
        list,
        diff_id,
        blob: digest,
        blob_size: blob.length,
    })
}

/// What a layer takes from those below it: files for its hard links, attributes of directories that it does not name.
fn settle(below: &Explored, list: Listed) -> Result<Vec<Entry>> {
    let Listed {
        mut entries,
        wanted,
        repeated: _,
        gathered: _,
    } = list;
    let tree = &below.stack.tree;
    let lower = |path: &[u8]| {
        let found = tree.current(tree.find(path)?)?;
        Some((found, below.stack.entry(found)))
    };
    for entry in &mut entries {
        if let Kind::Directory { implied: true, .. } = entry.kind
            && let Some((_, there)) = lower(&entry.path)
            && matches!(there.kind, Kind::Directory { .. })
        {
            (entry.mode, entry.uid, entry.gid, entry.mtime) =
                (there.mode, there.uid, there.gid, there.mtime);
            entry.xattrs.clone_from(&there.xattrs);
        }
    }
    let mut copies: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    for (path, target) in wanted {
        let copied = copies
            .iter()
            .find(|(known, _)| *known == target)
            .map(|(_, copy)| copy.clone());
        let file = lower(&target)
            .and_then(|(at, _)| below.stack.file_of(at))
            .map(|at| below.stack.entry(at));
        let missing = || Error::invalid(format!("hard link target {} is missing", shown(&target)));
        let mut entry = file.ok_or_else(missing)?.clone();
        entry.path.clone_from(&path);
        if let Some(copy) = copied {
            (entry.kind, entry.size) = (Kind::HardLink { target: copy }, 0);
            entry.xattrs.clear();
        } else {
            copies.push((target, path));
        }
        entries.push(entry);
    }
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(entries)
}

/// Hashes what is read.
struct Hashed<'a, R> {
    input: R,
    hasher: Option<Hasher>,
    length: u64,
    /// Of what comes from outside.
    gauge: Option<&'a Gauge<'a>>,
}

impl<R: Read> Read for Hashed<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let is_enough = |gauge: &Gauge<'_>| gauge.cancel.is_cancelled();
        if self.gauge.is_some_and(is_enough) {
            return Err(codec::cancelled());
        }
        let read = self.input.read(buffer)?;
        if let Some(gauge) = self.gauge {
            let read = u64::try_from(read).unwrap_or(0);
            gauge.done.fetch_add(read, Ordering::Relaxed);
        }
        if let Some(hasher) = &mut self.hasher {
            hasher.update(buffer.get(..read).unwrap_or(&[]));
        }
        self.length += u64::try_from(read).unwrap_or(0);
        Ok(read)
    }
}
