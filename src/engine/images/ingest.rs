//! Blobs on their way in: `<data root>/ingest/<hex>.part` is what is there of a blob, `<hex>.have` says which parts of
//! it, so that a pull that was cut off is gone on with. Who fetches a blob holds the lock of its `.part`; it moves into
//! the store when its image is whole. What nobody works on may be removed at any time.
//!
//! A blob is read while it arrives: [`Reader`] waits for bytes that are not there yet.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::codec::{self, Hasher};
use super::pace::{self, Pace};
use super::ranges::Ranges;
use crate::engine::error::{Attempt, Error, Kind, Result};
use crate::engine::model::Digest;
use crate::engine::store::Roots;
use crate::engine::sys::at::{self, Dir};
use crate::engine::sys::behind::Behind;
use crate::engine::sys::direct::{self, Piece};
use crate::engine::sys::file;

/// Bytes between two notes of what is there, and time: what comes slowly is worth more.
const NOTE_EVERY: u64 = 4 << 20;
pub(super) const NOTE_AFTER: Duration = Duration::from_secs(1);
/// How long a reader waits before it tells that it does.
const LONGEST_WAIT: Duration = Duration::from_millis(50);

/// The directory.
#[derive(Debug)]
pub(super) struct Ingest {
    dir: Dir,
    /// What was written to it lately.
    pub(super) behind: Arc<Behind>,
    pub(super) pace: Arc<Pace>,
}

/// A lock on a layer that is being made; dropping it lets go.
#[derive(Debug)]
pub(super) struct Making {
    dir: Dir,
    name: String,
    _file: File,
}

impl Drop for Making {
    fn drop(&mut self) {
        // Removed while it is still locked: who comes next makes a new one. One that stays is removed by prune.
        let _ = self.dir.remove_file(self.name.as_bytes());
    }
}

/// One blob that this process fetches.
#[derive(Debug)]
pub(super) struct Arrival {
    /// What it must be.
    pub digest: Digest,
    /// How long it must be, in bytes.
    pub size: u64,
    dir: Dir,
    file: Arc<File>,
    /// The same file, past the page cache, if its file system does that.
    direct: OnceLock<Option<File>>,
    pub(super) behind: Arc<Behind>,
    pub(super) pace: Arc<Pace>,
    notes: Mutex<Notes>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct Notes {
    file: File,
    /// What was received and not noted yet.
    pending: Ranges,
    /// What of it went through the page cache.
    cached: Ranges,
    /// When the last note was written.
    written: Instant,
}

#[derive(Debug, Default)]
struct State {
    have: Ranges,
    failed: Option<Arc<Error>>,
    verified: bool,
    doubted: bool,
    /// What was written past the page cache, and is read so.
    past: Ranges,
    /// Where its reader is.
    read: u64,
    /// Pieces of `past` that the reader comes to soon, by where they start.
    kept: BTreeMap<u64, Piece>,
}

impl Ingest {
    /// Opens the directory, making it if it is missing.
    ///
    /// # Errors
    /// What mkdir(2) and open(2) say.
    pub(super) fn open(roots: &Roots) -> Result<Self> {
        let path = roots.data.join("ingest");
        file::create_private_dir(&path)?;
        Ok(Self {
            dir: Dir::open(&path)?,
            behind: Arc::default(),
            pace: Arc::default(),
        })
    }

    /// Removes what has one of our names and is no file of ours: it would be in the way of every pull.
    fn clear(&self, name: &str) -> Result<()> {
        let odd = |stat: at::Stat| stat.kind != at::Kind::File;
        if self.dir.stat(name.as_bytes())?.is_some_and(odd) {
            tracing::warn!(name, "something that is no file is removed");
            self.dir.remove_tree(name.as_bytes())?;
        }
        Ok(())
    }

    /// Says that this process makes a layer; `None` if another one does.
    ///
    /// # Errors
    /// What the system calls say.
    pub(super) fn make(&self, chain_id: &Digest) -> Result<Option<Making>> {
        let name = format!("{}.lock", chain_id.hex());
        self.clear(&name)?;
        let Some(file) = self.dir.open_locked(name.as_bytes())? else {
            return Ok(None);
        };
        Ok(Some(Making {
            dir: self.dir.try_clone()?,
            name,
            _file: file,
        }))
    }

    /// Takes a blob to fetch it, with what is there of it already; `None` if another process fetches it.
    ///
    /// # Errors
    /// What the system calls say.
    pub(super) fn claim(&self, digest: &Digest, size: u64) -> Result<Option<Arrival>> {
        let part = format!("{}.part", digest.hex());
        self.clear(&part)?;
        let Some(file) = self.dir.open_locked(part.as_bytes())? else {
            return Ok(None);
        };
        let length = file.metadata().attempt(|| format!("examine {part}"))?.len();
        // The notes of another file of this name do not count.
        let name = format!("{}.have", digest.hex());
        self.clear(&name)?;
        let mut have = Ranges::default();
        if length > 0 && length <= size && self.dir.stat(name.as_bytes())?.is_some() {
            let mut text = String::new();
            let read = self
                .dir
                .open_file(name.as_bytes())?
                .read_to_string(&mut text);
            // Notes on more than there is are those of a file that lost something: none of them is believed.
            let noted = Ranges::parse(&text);
            if read.is_ok() && noted.end() <= length {
                have = noted;
            }
        }
        if have.total() == 0 {
            file.set_len(0).attempt(|| format!("empty {part}"))?;
        }
        self.dir.remove_file(name.as_bytes())?;
        let taken = || Error::new(Kind::Internal, format!("{name} is there already"));
        let mut notes = self.dir.make_file(name.as_bytes())?.ok_or_else(taken)?;
        notes
            .write_all(have.to_string().as_bytes())
            .attempt(|| format!("write {name}"))?;
        Ok(Some(Arrival {
            digest: digest.clone(),
            size,
            dir: self.dir.try_clone()?,
            file: Arc::new(file),
            direct: OnceLock::new(),
            behind: Arc::clone(&self.behind),
            pace: Arc::clone(&self.pace),
            notes: Mutex::new(Notes {
                file: notes,
                pending: Ranges::default(),
                cached: Ranges::default(),
                written: Instant::now(),
            }),
            state: Mutex::new(State {
                have,
                ..State::default()
            }),
            changed: Condvar::new(),
        }))
    }
}

impl Arrival {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that are there.
    pub(super) fn received(&self) -> u64 {
        self.lock().have.total()
    }

    /// Bytes that were written past the page cache.
    #[cfg(test)]
    pub(super) fn past_the_cache(&self) -> u64 {
        self.lock().past.total()
    }

    /// What is to be fetched, in order, in pieces of at most `piece` bytes.
    pub(super) fn missing(&self, piece: u64) -> Vec<(u64, u64)> {
        self.lock().have.missing(self.size, piece)
    }

    /// Refuses more than the blob has.
    ///
    /// # Errors
    /// `InvalidInput` for bytes behind its end.
    pub(super) fn check_end(&self, start: u64, bytes: &[u8]) -> Result<()> {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if start.saturating_add(length) <= self.size {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "blob {}: the registry sends more than the {} bytes that the manifest says",
            self.digest, self.size
        )))
    }

    /// Takes bytes of the blob.
    ///
    /// # Errors
    /// `InvalidInput` for bytes behind its end; what pwrite(2) says.
    pub(super) fn put(&self, start: u64, bytes: &[u8]) -> Result<()> {
        self.check_end(start, bytes)?;
        self.file
            .write_all_at(bytes, start)
            .attempt(|| format!("write blob {}", self.digest.short()))?;
        let end = start.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        self.lock_notes().cached.add(start, end);
        self.arrived(start, end);
        Ok(())
    }

    /// Takes a piece of the blob that starts at a multiple of the length of pieces: past the page cache but for what is
    /// no whole block.
    ///
    /// # Errors
    /// As [`Self::put`].
    pub(super) fn put_piece(&self, start: u64, piece: Piece) -> Result<()> {
        let (blocks, rest) = piece.blocks();
        self.check_end(start, piece.bytes())?;
        let file = self.direct.get_or_init(|| direct::reopen(&self.file));
        let written = file
            .as_ref()
            .map_or(Ok(false), |file| direct::write(file, blocks, start))
            .attempt(|| format!("write blob {}", self.digest.short()))?;
        if !written {
            self.behind.refuse();
            return self.put(start, piece.bytes());
        }
        let end = start.saturating_add(u64::try_from(blocks.len()).unwrap_or(u64::MAX));
        if !rest.is_empty() {
            self.put(end, rest)?;
        }
        let mut state = self.lock();
        state.past.add(start, end);
        if start >= state.read && start < state.read.saturating_add(pace::AHEAD) {
            state.kept.insert(start, piece);
        }
        drop(state);
        self.arrived(start, end);
        Ok(())
    }

    /// Whether what is behind a position is wanted: its reader comes to it soon, or the network is what all wait for.
    pub(super) fn wants(&self, position: u64) -> bool {
        position < self.lock().read.saturating_add(pace::AHEAD) || self.pace.is_starved()
    }

    /// Wakes whoever waits for it, and notes it soon.
    fn arrived(&self, start: u64, end: u64) {
        self.lock().have.add(start, end);
        self.changed.notify_all();
        let mut notes = self.lock_notes();
        notes.pending.add(start, end);
        if notes.pending.total() >= NOTE_EVERY || notes.written.elapsed() >= NOTE_AFTER {
            self.write_down(&mut notes);
        }
    }

    /// A piece around a position that was written past the page cache, read the same way, and where it starts; `None`
    /// for what is read as any other file.
    fn read_past(&self, position: u64) -> Option<(u64, Piece)> {
        let mut state = self.lock();
        let (first, last) = state.past.part_of(position)?;
        let start = position - position % direct::PIECE as u64;
        let later = state.kept.split_off(&start);
        let passed = std::mem::replace(&mut state.kept, later);
        let kept = state.kept.remove(&start);
        drop(state);
        drop(passed);
        if let Some(piece) = kept {
            return Some((start, piece));
        }
        let file = self.direct.get()?.as_ref()?;
        let start = first.max(start);
        let mut piece = self.behind.lend();
        piece.read_from(file, start).ok()?;
        // What is behind may not have been written when it was read.
        piece.truncate(usize::try_from(last - start).unwrap_or(usize::MAX));
        Some((start, piece))
    }

    /// Writes down what is there, for whoever goes on with it.
    pub(super) fn note(&self) {
        self.write_down(&mut self.lock_notes());
    }

    fn lock_notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_down(&self, notes: &mut Notes) {
        notes.write();
        for (start, end) in std::mem::take(&mut notes.cached).parts() {
            self.behind.wrote(&self.file, start, end - start);
        }
    }

    /// Ends the waiting of its readers with an error.
    pub(super) fn fail(&self, error: Error) {
        let mut state = self.lock();
        state.failed.get_or_insert_with(|| Arc::new(error));
        self.changed.notify_all();
    }

    /// Notes that what is there made no sense, or is not what the registry has: going on with it leads nowhere. What
    /// another blob's fetching ended with says nothing of this one.
    pub(super) fn doubt(&self, error: &Error) {
        let mut state = self.lock();
        state.doubted |= error.kind() == Kind::InvalidInput && state.failed.is_none();
    }

    /// Whether anybody noted so.
    pub(super) fn is_doubted(&self) -> bool {
        self.lock().doubted
    }

    /// Throws away what is there: it is not what it should be.
    ///
    /// # Errors
    /// What ftruncate(2) and unlinkat(2) say.
    pub(super) fn discard(&self) -> Result<()> {
        self.file
            .set_len(0)
            .attempt(|| format!("empty blob {}", self.digest.short()))?;
        for suffix in ["have", "part"] {
            let name = format!("{}.{suffix}", self.digest.hex());
            self.dir.remove_file(name.as_bytes())?;
        }
        Ok(())
    }

    /// Its digest is known to be right.
    pub(super) fn is_verified(&self) -> bool {
        self.lock().verified
    }

    /// All bytes are there.
    pub(super) fn is_whole(&self) -> bool {
        self.lock().have.frontier() >= self.size
    }

    /// Hashes the whole blob, waiting for bytes that have not arrived, unless that has been done.
    ///
    /// # Errors
    /// `InvalidInput` if it is not what its digest says; what its fetching ended with.
    pub(super) fn verify(self: &Arc<Self>) -> Result<()> {
        if self.is_verified() {
            return Ok(());
        }
        let mut reader = Reader::new(Arc::clone(self));
        let mut buffer = vec![0; codec::CHUNK];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) => return Err(super::unpack::stream_error(error)),
            }
        }
    }

    /// Moves it into the store.
    ///
    /// # Errors
    /// What renameat2(2) says.
    pub(super) fn place(&self, blobs: &Dir) -> Result<()> {
        let part = format!("{}.part", self.digest.hex());
        let hex = self.digest.hex().as_bytes();
        if blobs.stat(hex)?.is_none() {
            self.dir.rename_new(part.as_bytes(), blobs, hex)?;
        } else {
            self.dir.remove_file(part.as_bytes())?;
        }
        let have = format!("{}.have", self.digest.hex());
        self.dir.remove_file(have.as_bytes())
    }
}

impl Notes {
    fn write(&mut self) {
        let pending = std::mem::take(&mut self.pending);
        self.written = Instant::now();
        // What could not be noted is fetched again, no more.
        let _ = self.file.write_all(pending.to_string().as_bytes());
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        self.note();
        self.behind.forget(&self.file);
    }
}

/// Reads a blob from its beginning, waiting for what has not arrived, and checks its digest at the end.
#[derive(Debug)]
pub(super) struct Reader {
    arrival: Arc<Arrival>,
    position: u64,
    frontier: u64,
    hasher: Option<Hasher>,
    /// What was read past the page cache last, and where it starts.
    here: Option<(u64, Piece)>,
}

impl Reader {
    pub(super) fn new(arrival: Arc<Arrival>) -> Self {
        arrival.pace.joined();
        Self {
            arrival,
            position: 0,
            frontier: 0,
            hasher: Some(Hasher::default()),
            here: None,
        }
    }

    /// Waits until there is something at the position.
    fn wait(&mut self) -> io::Result<()> {
        let mut state = self.arrival.lock();
        loop {
            self.frontier = state.have.frontier();
            if self.frontier > self.position {
                return Ok(());
            }
            if let Some(error) = &state.failed {
                return Err(io::Error::other(Failed(Arc::clone(error))));
            }
            let since = Instant::now();
            (state, _) = self
                .arrival
                .changed
                .wait_timeout(state, LONGEST_WAIT)
                .unwrap_or_else(PoisonError::into_inner);
            self.arrival.pace.waited(since.elapsed());
        }
    }

    /// What is in memory from the position on.
    fn rest(&self) -> &[u8] {
        let Some((start, piece)) = &self.here else {
            return &[];
        };
        let offset = usize::try_from(self.position - start).unwrap_or(usize::MAX);
        piece.bytes().get(offset..).unwrap_or(&[])
    }

    /// Reads what is there at the position.
    fn read_here(&mut self, target: &mut [u8]) -> io::Result<usize> {
        if self.rest().is_empty() {
            // First given back, so that the same memory is lent again.
            self.here = None;
            self.here = self.arrival.read_past(self.position);
        }
        let mut rest = self.rest();
        if rest.is_empty() {
            return self.arrival.file.read_at(target, self.position);
        }
        rest.read(target)
    }

    fn end(&mut self) -> io::Result<usize> {
        if let Some(hasher) = self.hasher.take() {
            let found = hasher.digest();
            if found != self.arrival.digest {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!(
                        "blob {} has the wrong digest: its content is {found}",
                        self.arrival.digest
                    ),
                ));
            }
            self.arrival.lock().verified = true;
        }
        Ok(0)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.arrival.pace.left();
    }
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.position >= self.arrival.size {
            return self.end();
        }
        if self.frontier <= self.position {
            self.wait()?;
        }
        let there = usize::try_from(self.frontier.min(self.arrival.size) - self.position)
            .unwrap_or(usize::MAX);
        let wanted = there.min(buffer.len());
        let target = buffer.get_mut(..wanted).unwrap_or(&mut []);
        let read = self.read_here(target)?;
        if read == 0 && wanted > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(hasher) = &mut self.hasher {
            hasher.update(target.get(..read).unwrap_or(&[]));
        }
        self.position += u64::try_from(read).unwrap_or(0);
        self.arrival.lock().read = self.position;
        Ok(read)
    }
}

/// The fetching of a blob ended with this.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Failed(pub Arc<Error>);

#[cfg(test)]
mod tests {
    use super::*;

    struct Place {
        dir: tempfile::TempDir,
    }

    impl Place {
        fn new() -> Self {
            Self {
                dir: tempfile::tempdir().unwrap(),
            }
        }

        fn ingest(&self) -> Ingest {
            let roots = Roots {
                data: self.dir.path().to_owned(),
                run: self.dir.path().to_owned(),
            };
            Ingest::open(&roots).unwrap()
        }

        fn claim(&self, content: &[u8]) -> Option<Arc<Arrival>> {
            let size = u64::try_from(content.len()).unwrap();
            let claimed = self.ingest().claim(&codec::digest_of(content), size);
            claimed.unwrap().map(Arc::new)
        }

        fn names(&self) -> Vec<String> {
            let entries = std::fs::read_dir(self.dir.path().join("ingest")).unwrap();
            let mut names: Vec<String> = entries
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        }
    }

    fn read(arrival: &Arc<Arrival>) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        Reader::new(Arc::clone(arrival)).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    #[test]
    fn one_at_a_time_has_a_blob() {
        let place = Place::new();
        let first = place.claim(b"blob").unwrap();
        assert!(place.claim(b"blob").is_none());
        assert!(place.claim(b"another").is_some());
        drop(first);
        assert!(place.claim(b"blob").is_some());
    }

    #[test]
    fn a_blob_that_was_let_go_can_be_taken_again_by_the_same_pull() {
        let place = Place::new();
        let ingest = place.ingest();
        let digest = codec::digest_of(b"blob");
        let first = ingest.claim(&digest, 4).unwrap().unwrap();
        first.put(0, b"bl").unwrap();
        first.note();
        drop(first);
        let second = ingest.claim(&digest, 4).unwrap();
        assert_eq!(second.map(|arrival| arrival.received()), Some(2));
    }

    #[test]
    fn what_arrived_before_the_end_is_there_after_it() {
        let place = Place::new();
        let content = b"0123456789";
        let first = place.claim(content).unwrap();
        first.put(0, b"012").unwrap();
        first.put(6, b"67").unwrap();
        drop(first);
        let second = place.claim(content).unwrap();
        assert_eq!(second.missing(100), [(3, 6), (8, 10)]);
        second.put(3, b"345").unwrap();
        second.put(8, b"89").unwrap();
        assert_eq!(read(&second).unwrap(), content);
        assert!(second.is_verified());
    }

    #[test]
    fn notes_without_their_blob_do_not_count() {
        let place = Place::new();
        let content = b"0123456789";
        let first = place.claim(content).unwrap();
        first.put(0, content).unwrap();
        drop(first);
        let part = format!("{}.part", codec::digest_of(content).hex());
        std::fs::remove_file(place.dir.path().join("ingest").join(part)).unwrap();
        let second = place.claim(content).unwrap();
        assert_eq!(second.missing(100), [(0, 10)]);
    }

    #[test]
    fn notes_on_more_than_there_is_do_not_count() {
        let place = Place::new();
        let content = b"0123456789";
        let path = |suffix| {
            let name = format!("{}.{suffix}", codec::digest_of(content).hex());
            place.dir.path().join("ingest").join(name)
        };
        let first = place.claim(content).unwrap();
        first.put(0, b"01234567").unwrap();
        drop(first);
        let part = File::options().write(true).open(path("part"));
        part.unwrap().set_len(5).unwrap();
        let second = place.claim(content).unwrap();
        assert_eq!(second.missing(100), [(0, 10)]);
        drop(second);
        std::fs::write(path("part"), "012").unwrap();
        std::fs::write(path("have"), "0 2\n9 18446744073709551615\n").unwrap();
        assert_eq!(place.claim(content).unwrap().missing(100), [(0, 10)]);
    }

    #[test]
    fn a_reader_waits_for_what_has_not_arrived() {
        let place = Place::new();
        let arrival = place.claim(b"0123456789").unwrap();
        std::thread::scope(|scope| {
            let reading = scope.spawn(|| read(&arrival));
            arrival.put(5, b"56789").unwrap();
            arrival.put(0, b"01234").unwrap();
            assert_eq!(reading.join().unwrap().unwrap(), b"0123456789");
        });
    }

    #[test]
    fn a_reader_does_not_wait_for_what_will_not_come() {
        let place = Place::new();
        let arrival = place.claim(b"0123456789").unwrap();
        std::thread::scope(|scope| {
            let reading = scope.spawn(|| read(&arrival));
            arrival.put(0, b"01").unwrap();
            arrival.fail(Error::new(Kind::Unavailable, "the line is dead"));
            let error = reading.join().unwrap().unwrap_err();
            let error = super::super::unpack::stream_error(error);
            assert_eq!(error.kind(), Kind::Unavailable);
            assert_eq!(error.to_string(), "the line is dead");
        });
    }

    #[test]
    fn a_blob_that_is_not_what_its_name_says_is_refused_and_can_be_thrown_away() {
        let place = Place::new();
        let arrival = place.claim(b"0123456789").unwrap();
        arrival.put(0, b"0123456780").unwrap();
        let error = arrival.verify().unwrap_err();
        assert!(error.to_string().contains("wrong digest"), "{error}");
        assert!(!arrival.is_verified());
        arrival.discard().unwrap();
        drop(arrival);
        assert_eq!(place.names(), [""; 0]);
    }

    #[test]
    fn more_than_the_blob_is_refused() {
        let place = Place::new();
        let arrival = place.claim(b"0123456789").unwrap();
        assert_eq!(
            arrival.put(8, b"890").unwrap_err().kind(),
            Kind::InvalidInput
        );
    }

    #[test]
    fn a_layer_is_made_by_one_at_a_time_and_leaves_no_lock_behind() {
        let place = Place::new();
        let chain = codec::digest_of(b"chain");
        let making = place.ingest().make(&chain).unwrap().unwrap();
        assert!(place.ingest().make(&chain).unwrap().is_none());
        drop(making);
        assert_eq!(place.names(), [""; 0]);
        assert!(place.ingest().make(&chain).unwrap().is_some());
    }
}
