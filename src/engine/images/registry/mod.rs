//! Registries: the OCI distribution protocol (distribution-spec 1.1) and what real registries add to it.
//!
//! [`Client`] knows hosts, credentials, TLS, proxies, mirrors and patience; [`Repository`] is one repository on one
//! registry. What is pulled and pushed, and in what order, is for `pull.rs` and `push.rs`. Nothing here blocks; the
//! callers own the runtime.

#![expect(clippy::unused_async, reason = "the bodies are not there yet")]

use std::path::PathBuf;
use std::sync::Arc;

use super::document::Descriptor;
use crate::engine::error::{Error, Result};
use crate::engine::model::registry::Hit;
use crate::engine::model::{Auth, Digest, Reference, Secret, request};

/// Where the administrator's settings are: `registries.toml` and `certs.d/` in one directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `host` or `host:port` of registries that may be spoken to without TLS, or with a certificate that nobody vouches
    /// for. Loopback may always be spoken to without TLS.
    pub insecure: Vec<String>,
    /// Mirrors of a registry, tried in order before itself, for pulls only: registry, then base URLs.
    pub mirrors: Vec<(String, Vec<String>)>,
    /// Most connections to one registry at a time.
    pub connections: usize,
    /// Layers that are pulled or pushed side by side.
    pub side_by_side: usize,
    /// Directories with `<host[:port]>/{*.crt,*.cert,*.key}` (Docker's `certs.d`), in order of preference.
    pub certs: Vec<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            insecure: Vec::new(),
            mirrors: Vec::new(),
            connections: 6,
            side_by_side: 3,
            certs: Vec::new(),
        }
    }
}

/// A client of registries. Cheap to clone; connections and tokens are shared by the clones.
#[derive(Debug, Clone)]
pub struct Client {
    inner: Arc<Settings>,
}

/// What one is allowed to do is asked for by scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// Read.
    Pull,
    /// Read and write.
    Push,
    /// Delete, which some registries want a right of its own for.
    Delete,
}

/// One repository of one registry, seen with somebody's credentials.
#[derive(Debug, Clone)]
pub struct Repository {
    name: Reference,
}

/// A tag or a digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// By tag.
    Tag(String),
    /// By digest.
    Digest(Digest),
}

/// A manifest, checked against its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The document.
    pub bytes: Vec<u8>,
    /// What the registry says that it is.
    pub media_type: String,
    /// Digest of `bytes`.
    pub digest: Digest,
}

/// The body of a blob, or a part of it.
pub struct BlobStream {
    /// Position of the first byte in the blob: 0 if the registry does not know ranges.
    pub start: u64,
    /// Bytes of the whole blob, if told.
    pub total: Option<u64>,
}

impl std::fmt::Debug for BlobStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlobStream")
            .field("start", &self.start)
            .field("total", &self.total)
            .finish_non_exhaustive()
    }
}

impl BlobStream {
    /// The next bytes; `None` at the end. A connection that breaks is an `Unavailable` error: what came before counts.
    pub async fn next(&mut self) -> Result<Option<bytes::Bytes>> {
        Err(later())
    }
}

/// What is uploaded: opened again for each attempt, at any position.
pub trait Content: Send + Sync {
    /// Bytes in all.
    fn size(&self) -> u64;
    /// A reader from `start` to the end.
    ///
    /// # Errors
    /// What open(2) and lseek(2) say.
    fn open(&self, start: u64) -> Result<Box<dyn std::io::Read + Send>>;
}

impl Client {
    /// A client with settings. Nothing is connected yet.
    ///
    /// # Errors
    /// `InvalidInput` for certificates that cannot be read.
    pub fn new(settings: Settings) -> Result<Self> {
        Ok(Self {
            inner: Arc::new(settings),
        })
    }

    /// The settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.inner
    }

    /// A repository; the reference's tag and digest do not matter here.
    #[must_use]
    pub fn repository(&self, name: &Reference, _auth: &Auth, _access: Access) -> Repository {
        Repository { name: name.clone() }
    }

    /// Checks credentials with a registry (`docker.io`, `host:port`): the refresh token that it gave for them, if any.
    ///
    /// # Errors
    /// `Unauthorized`, `Unavailable`.
    pub async fn login(&self, _registry: &str, _auth: &Auth) -> Result<Option<Secret>> {
        Err(later())
    }

    /// Docker Hub's v1 search.
    ///
    /// # Errors
    /// `Unavailable`, `InvalidInput` for an answer that is none.
    pub async fn search(&self, _request: &request::Search) -> Result<Vec<Hit>> {
        Err(later())
    }
}

impl Repository {
    /// Its name: registry and path.
    #[must_use]
    pub fn name(&self) -> &Reference {
        &self.name
    }

    /// A manifest or an index.
    ///
    /// # Errors
    /// `NotFound` (`manifest unknown`), `Unauthorized`, `Unavailable`; `InvalidInput` for a digest that does not fit.
    pub async fn manifest(&self, _which: &Which) -> Result<Fetched> {
        Err(later())
    }

    /// What is under a name, without its content: `None` if nothing is.
    ///
    /// # Errors
    /// As [`Self::manifest`].
    pub async fn find_manifest(&self, _which: &Which) -> Result<Option<Descriptor>> {
        Err(later())
    }

    /// Stores a manifest under a tag or its digest.
    ///
    /// # Errors
    /// What the registry says (`blob unknown to registry`, `denied` …).
    pub async fn put_manifest(
        &self,
        _which: &Which,
        _media_type: &str,
        _bytes: &[u8],
    ) -> Result<Digest> {
        Err(later())
    }

    /// Deletes a manifest.
    ///
    /// # Errors
    /// `Unsupported` if the registry does not allow it.
    pub async fn delete_manifest(&self, _digest: &Digest) -> Result<()> {
        Err(later())
    }

    /// Opens a blob at a position, up to and without `end`.
    ///
    /// # Errors
    /// `NotFound`, `Unauthorized`, `Unavailable`.
    pub async fn blob(
        &self,
        _digest: &Digest,
        _start: u64,
        _end: Option<u64>,
    ) -> Result<BlobStream> {
        Err(later())
    }

    /// Size of a blob that the repository has.
    ///
    /// # Errors
    /// As [`Self::blob`], but for `NotFound`.
    pub async fn find_blob(&self, _digest: &Digest) -> Result<Option<u64>> {
        Err(later())
    }

    /// Makes a blob of another repository of the same registry one of this; `false` if the registry would not.
    ///
    /// # Errors
    /// What the registry says.
    pub async fn mount_blob(&self, _digest: &Digest, _from: &Reference) -> Result<bool> {
        Err(later())
    }

    /// Uploads a blob; `sent` is told how many bytes the registry has so far. A broken connection is taken up again
    /// where the registry says.
    ///
    /// # Errors
    /// What the registry says; `Unavailable` when patience is at its end.
    pub async fn upload_blob(
        &self,
        _digest: &Digest,
        _content: Arc<dyn Content>,
        _sent: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<()> {
        Err(later())
    }

    /// All tags, over all pages.
    ///
    /// # Errors
    /// As [`Self::manifest`].
    pub async fn tags(&self) -> Result<Vec<String>> {
        Err(later())
    }

    /// What refers to a manifest; by the tag schema where the registry does not know referrers.
    ///
    /// # Errors
    /// As [`Self::manifest`].
    pub async fn referrers(&self, _digest: &Digest) -> Result<Vec<Descriptor>> {
        Err(later())
    }
}

fn later() -> Error {
    Error::unsupported("registries are not there yet")
}
