//! An image that is elsewhere: in a registry, whose layers are listed while they come, or with another engine of this host,
//! which writes an archive of it. Nothing of it is kept.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use reqwest::StatusCode;
use tokio::runtime::Runtime;

use crate::engine::error::{Attempt, Error, Kind, Result};
use crate::engine::images::document::Descriptor;
use crate::engine::images::fetch;
use crate::engine::images::registry::{Access, BlobStream, Client, Repository, Which};
use crate::engine::model::request;

/// What an engine says of an image that it does not have is no longer, in bytes.
const ANSWER: usize = 64 << 10;

/// What looks after connections. It may be dropped where nothing may block: by the workstation's loop.
struct Connections(Option<Runtime>);

impl Connections {
    fn new(runtime: Runtime) -> Self {
        Self(Some(runtime))
    }

    fn block_on<F: Future>(&self, future: F) -> F::Output {
        let runtime = self.0.as_ref();
        runtime
            .expect("it is there until it is dropped")
            .block_on(future)
    }
}

impl Drop for Connections {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// An image of a registry.
pub(super) struct Remote {
    runtime: Connections,
    repository: Repository,
    /// Its manifest, or the index that has it.
    pub top: Descriptor,
    document: Vec<u8>,
}

impl Remote {
    /// Asks a registry for an image's manifest.
    ///
    /// # Errors
    /// What the registry says.
    pub(super) fn open(client: &Client, wanted: &request::Pull) -> Result<Self> {
        // One thread looks after the connections while others wait for what comes.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .attempt(|| "start the network runtime")?;
        let repository = client.repository(&wanted.reference, &wanted.auth, Access::Pull);
        let name = wanted.reference.clone().with_default_tag();
        let which = match (name.digest(), name.tag()) {
            (Some(digest), _) => Which::Digest(digest.clone()),
            (None, tag) => Which::Tag(tag.unwrap_or_default().to_owned()),
        };
        let fetched = runtime.block_on(repository.manifest(&which))?;
        let size = u64::try_from(fetched.bytes.len()).unwrap_or(u64::MAX);
        let top = Descriptor::new(&fetched.media_type, fetched.digest, size);
        Ok(Self {
            runtime: Connections::new(runtime),
            repository,
            top,
            document: fetched.bytes,
        })
    }

    /// A document by its descriptor, checked.
    ///
    /// # Errors
    /// What the registry says; `InvalidInput` for what is not what its digest says.
    pub(super) fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        if descriptor.digest == self.top.digest {
            return Ok(self.document.clone());
        }
        if descriptor.is_index() || descriptor.is_manifest() {
            let which = Which::Digest(descriptor.digest.clone());
            let fetched = self.runtime.block_on(self.repository.manifest(&which))?;
            return Ok(fetched.bytes);
        }
        let document = fetch::document(&self.repository, descriptor);
        self.runtime.block_on(document)
    }

    /// A part of a blob, from one position up to another; `None` if the registry gives whole blobs alone.
    ///
    /// # Errors
    /// What the registry says; `Unavailable` for less or more than was asked for.
    pub(super) fn part(
        &self,
        descriptor: &Descriptor,
        start: u64,
        end: u64,
    ) -> Result<Option<Vec<u8>>> {
        let blob = self.repository.blob(&descriptor.digest, start, Some(end));
        let mut stream = self.runtime.block_on(blob)?;
        if stream.whole {
            return Ok(None);
        }
        let wanted = usize::try_from(end - start).unwrap_or(usize::MAX);
        let mut bytes = Vec::new();
        while let Some(more) = self.runtime.block_on(stream.next())? {
            bytes.extend_from_slice(&more);
        }
        if bytes.len() == wanted {
            return Ok(Some(bytes));
        }
        let what = format!("{} of {wanted} bytes came", bytes.len());
        Err(Error::new(Kind::Unavailable, what))
    }

    /// A blob as it comes.
    ///
    /// # Errors
    /// What the registry says.
    pub(super) fn read(&self, descriptor: &Descriptor) -> Result<Body<'_>> {
        let stream = self
            .runtime
            .block_on(self.repository.blob(&descriptor.digest, 0, None))?;
        Ok(Body {
            remote: self,
            stream,
            current: Bytes::new(),
        })
    }
}

/// A blob that comes; it blocks.
pub(super) struct Body<'a> {
    remote: &'a Remote,
    stream: BlobStream,
    current: Bytes,
}

impl Read for Body<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            let next = self.remote.runtime.block_on(self.stream.next());
            match next.map_err(io::Error::other)? {
                Some(bytes) => self.current = bytes,
                None => return Ok(0),
            }
        }
        Ok(take(&mut self.current, buffer))
    }
}

fn take(current: &mut Bytes, buffer: &mut [u8]) -> usize {
    let length = current.len().min(buffer.len());
    current.copy_to_slice(buffer.get_mut(..length).unwrap_or_default());
    length
}

/// An archive that another engine writes (Docker Engine API, "Export an image"; podman serves the same).
pub(super) struct Export {
    runtime: Runtime,
    answer: reqwest::Response,
    current: Bytes,
}

impl Export {
    /// Asks the engine at a socket for an image.
    ///
    /// # Errors
    /// `Unavailable` if nobody listens there; `NotFound` with what the engine says.
    pub(super) fn open(socket: &Path, image: &str) -> Result<Self> {
        let what = || format!("get {image} from {}", socket.display());
        let unsound = |error| Error::new(Kind::Internal, "set the HTTP client up").caused_by(error);
        let client = reqwest::Client::builder()
            .unix_socket(socket)
            .tls_backend_preconfigured(no_tls()?)
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(10))
            .http1_only()
            .no_proxy()
            .build()
            .map_err(unsound)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .attempt(|| "start the network runtime")?;
        let mut url = reqwest::Url::parse("http://localhost/images/")
            .map_err(|error| Error::new(Kind::Internal, "write a URL").caused_by(error))?;
        url.set_path(&format!("/images/{image}/get"));
        let answer = runtime.block_on(client.get(url).send()).map_err(|error| {
            let mut cause: &dyn std::error::Error = &error;
            while let Some(source) = cause.source() {
                cause = source;
            }
            let told = Error::new(Kind::Unavailable, format!("{}: {cause}", what()));
            told.with_hint("is the engine running, and may you use its socket?")
        })?;
        if answer.status() == StatusCode::OK {
            return Ok(Self {
                runtime,
                answer,
                current: Bytes::new(),
            });
        }
        let status = answer.status();
        let mut refused = Self {
            runtime,
            answer,
            current: Bytes::new(),
        };
        let mut bytes = Vec::new();
        let limit = u64::try_from(ANSWER).unwrap_or(u64::MAX);
        // What it says is a help, and no more.
        let _ = refused.by_ref().take(limit).read_to_end(&mut bytes);
        let said = serde_json::from_slice::<serde_json::Value>(&bytes).ok();
        let said = said.as_ref().and_then(|said| said["message"].as_str());
        let kind = if status == StatusCode::NOT_FOUND {
            Kind::NotFound
        } else {
            Kind::Unavailable
        };
        let said = said.map_or_else(|| status.to_string(), str::to_owned);
        Err(Error::new(kind, format!("{}: {said}", what())))
    }
}

impl Read for Export {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            let next = self.runtime.block_on(self.answer.chunk());
            match next.map_err(io::Error::other)? {
                Some(bytes) => self.current = bytes,
                None => return Ok(0),
            }
        }
        Ok(take(&mut self.current, buffer))
    }
}

/// A client needs a way to speak TLS, also where it never does.
fn no_tls() -> Result<rustls::ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::new(Kind::Internal, "set TLS up").caused_by(error))?;
    let roots = rustls::RootCertStore::empty();
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
