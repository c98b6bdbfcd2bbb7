//! The place where one operation builds before anything becomes visible: a locked directory next to the layers, so that
//! what is done moves into place by rename. A killed process leaves its directory behind; the next operation finds it
//! unlocked and removes it.

use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::codec::{self, Compression, Hasher};
use super::ingest::{self, Arrival};
use super::unpack::stream_error;
use crate::engine::error::{Attempt, Error, Kind, Result};
use crate::engine::model::{Cancel, Digest};
use crate::engine::sys::at::{self, Dir};
use crate::engine::sys::behind::{Behind, Trail};
use crate::engine::sys::file::Lock;
use crate::engine::sys::nursery::Nursery;

const PREFIX: &str = ".tmp-";

/// A private directory on the file system of the layers; removed when dropped.
#[derive(Debug)]
pub struct Workspace {
    layers: Dir,
    blobs: Dir,
    name: String,
    dir: Dir,
    next: AtomicU64,
    /// What was written here lately.
    pub(super) behind: Arc<Behind>,
    /// Where the directories of layers are made.
    pub(super) nursery: Arc<Nursery>,
}

/// A blob on disk, or on its way there.
#[derive(Debug, Clone)]
pub struct Spooled {
    /// Where it is.
    pub(super) place: Place,
    /// Its digest.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// Its first bytes, at most 512; empty where nobody asks.
    pub start: Vec<u8>,
}

/// Where a blob is.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// In the workspace, under a name; hashed while it was written.
    Work(String),
    /// It arrives from a registry.
    Arriving(Arc<Arrival>),
    /// In the store.
    Stored,
}

impl Workspace {
    /// Makes the directory, and removes those of processes that have gone. `_store` proves that the caller holds the
    /// store's lock: a directory that is being made is not locked yet.
    ///
    /// # Errors
    /// What the system calls say.
    pub fn create(layers: &Dir, blobs: &Dir, _store: &Lock) -> Result<Self> {
        for (name, _locked) in Self::abandoned(layers)? {
            layers.remove_tree(&name)?;
        }
        let number = u64::from_le_bytes(at::random_bytes()?);
        let name = format!("{PREFIX}{number:016x}");
        layers.make_dir(name.as_bytes())?;
        let opened = layers.find_dir(name.as_bytes())?;
        let dir = opened.ok_or_else(|| Error::new(Kind::Internal, "the workspace has gone"))?;
        dir.try_lock()?;
        Ok(Self {
            nursery: Arc::new(Nursery::create(&dir, b"nursery")?),
            layers: layers.try_clone()?,
            blobs: blobs.try_clone()?,
            name,
            dir,
            next: AtomicU64::new(0),
            behind: Arc::default(),
        })
    }

    /// Directories of processes that have gone, locked while the answer is kept. The caller holds the store's lock.
    ///
    /// # Errors
    /// What the system calls say.
    pub fn abandoned(layers: &Dir) -> Result<Vec<(Vec<u8>, Dir)>> {
        let mut found = Vec::new();
        for name in layers.names()? {
            if name.starts_with(PREFIX.as_bytes())
                && let Some(dir) = layers.find_dir(&name)?
                && dir.try_lock()?
            {
                found.push((name, dir));
            }
        }
        Ok(found)
    }

    /// Shares what is known of the latest writes with another place.
    #[must_use]
    pub(super) fn writing_behind(mut self, behind: &Arc<Behind>) -> Self {
        self.behind = Arc::clone(behind);
        self
    }

    /// The directory itself.
    pub fn dir(&self) -> &Dir {
        &self.dir
    }

    fn new_name(&self, prefix: char) -> String {
        format!("{prefix}{}", self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// Makes a subdirectory: its name and handle.
    ///
    /// # Errors
    /// What mkdirat(2) says.
    pub fn make_dir(&self) -> Result<(String, Dir)> {
        let name = self.new_name('d');
        self.dir.make_dir(name.as_bytes())?;
        let opened = self.dir.find_dir(name.as_bytes())?;
        let gone = || Error::new(Kind::Internal, "the workspace has gone");
        Ok((name, opened.ok_or_else(gone)?))
    }

    /// Writes a stream to a file, hashing it on the way.
    ///
    /// # Errors
    /// What the source or the file system say; the file is then removed with the workspace.
    pub fn spool(&self, input: &mut dyn Read, cancel: &Cancel) -> Result<Spooled> {
        let (name, file) = self.make_file()?;
        let mut trail = Trail::new(&self.behind, file);
        let start = codec::read_start(input, 512).map_err(stream_error)?;
        let mut whole = start.as_slice().chain(input);
        let (digest, size) =
            codec::copy_hashed(&mut whole, &mut trail, cancel).map_err(stream_error)?;
        trail.finish().map_err(stream_error)?;
        Ok(Spooled {
            place: Place::Work(name),
            digest,
            size,
            start,
        })
    }

    /// Writes a document to a file.
    ///
    /// # Errors
    /// What the file system says.
    pub fn keep(&self, document: &[u8]) -> Result<Spooled> {
        let mut document = document;
        self.spool(&mut document, &Cancel::new())
    }

    /// A blob that can be a layer: as it is, or uncompressed if no layer is compressed so.
    ///
    /// # Errors
    /// As [`Self::spool`].
    pub fn as_layer(&self, blob: Spooled, cancel: &Cancel) -> Result<Spooled> {
        if Compression::sniff(&blob.start).is_ok() {
            return Ok(blob);
        }
        let mut plain = codec::as_layer(self.open(&blob)?).map_err(stream_error)?;
        self.spool(&mut plain, cancel)
    }

    fn make_file(&self) -> Result<(String, File)> {
        let name = self.new_name('b');
        let taken = || Error::new(Kind::Internal, "a name of the workspace is taken");
        let file = self.dir.make_file(name.as_bytes())?.ok_or_else(taken)?;
        Ok((name, file))
    }

    /// Reads a blob, wherever it is, from its beginning; one that arrives is waited for and checked.
    ///
    /// # Errors
    /// What openat2(2) says.
    pub fn open(&self, blob: &Spooled) -> Result<Box<dyn Read + Send>> {
        Ok(match &blob.place {
            Place::Work(name) => Box::new(self.dir.open_file(name.as_bytes())?),
            Place::Arriving(arrival) => Box::new(ingest::Reader::new(Arc::clone(arrival))),
            Place::Stored => Box::new(self.blobs.open_file(blob.digest.hex().as_bytes())?),
        })
    }

    /// Moves a blob into the store, unless it is there already; `false` if it should be there and is not.
    ///
    /// # Errors
    /// What renameat2(2) says.
    pub(super) fn place(&self, blob: &Spooled) -> Result<bool> {
        let hex = blob.digest.hex().as_bytes();
        let stored = self.blobs.stat(hex)?.is_some();
        match &blob.place {
            Place::Work(name) if !stored && self.dir.stat(name.as_bytes())?.is_some() => {
                self.dir.rename_new(name.as_bytes(), &self.blobs, hex)
            }
            Place::Arriving(arrival) => {
                arrival.place(&self.blobs)?;
                Ok(true)
            }
            Place::Work(_) | Place::Stored => Ok(stored),
        }
    }

    /// The whole content of a small spooled blob.
    ///
    /// # Errors
    /// `InvalidInput` if it is larger than `limit`; what read(2) says.
    pub fn read(&self, blob: &Spooled, limit: usize) -> Result<Vec<u8>> {
        if usize::try_from(blob.size).map_or(true, |size| size > limit) {
            return Err(Error::invalid(format!(
                "a document of {} bytes is too large ({limit} are read)",
                blob.size
            )));
        }
        let mut content = Vec::new();
        self.open(blob)?
            .read_to_end(&mut content)
            .attempt(|| format!("read {}", blob.digest))?;
        Ok(content)
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        // What cannot be removed now is found and removed by the next operation.
        if let Err(error) = self.layers.remove_tree(self.name.as_bytes()) {
            tracing::warn!(%error, "workspace left behind");
        }
    }
}

impl Spooled {
    /// How it is compressed.
    ///
    /// # Errors
    /// `Unsupported`, naming the compression.
    pub fn compression(&self) -> Result<Compression> {
        Compression::sniff(&self.start).map_err(|name| {
            let text = format!("blob {}: {name} compression is not supported", self.digest);
            Error::unsupported(text).with_hint("gzip, zstd and no compression are")
        })
    }

    /// Notes that unpacking it ended so: what has arrived of it may make no sense.
    pub(super) fn doubt(&self, error: &Error) {
        if let Place::Arriving(arrival) = &self.place {
            arrival.doubt(error);
        }
    }

    /// It is probably a layer: compressed, or a tar with the usual magic (tar(5)).
    #[must_use]
    pub fn looks_like_layer(&self) -> bool {
        match Compression::sniff(&self.start) {
            Ok(Compression::Plain) => self.start.get(257..262) == Some(b"ustar"),
            Ok(Compression::Gzip | Compression::Zstd) => true,
            Err(_) => false,
        }
    }
}

/// The digest of a blob's uncompressed form.
///
/// # Errors
/// What reading and decoding say.
pub(super) fn diff_id_of(blob: impl Read + Send, stop: &dyn Fn() -> bool) -> io::Result<Digest> {
    let mut input = codec::decode(blob)?;
    let mut hasher = Hasher::default();
    let mut buffer = vec![0_u8; codec::CHUNK];
    loop {
        if stop() {
            return Err(codec::cancelled());
        }
        let read = match input.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        match buffer.get(..read).filter(|read| !read.is_empty()) {
            Some(read) => hasher.update(read),
            None => return Ok(hasher.digest()),
        }
    }
}
