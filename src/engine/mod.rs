//! The engine: images, containers, processes. It does not know who is asking.
//!
//! [`Engine`] is the only door for command line, TUI and API. Its methods block; callers that must not block run them
//! on a thread of their own.

pub mod error;
pub mod events;
pub mod images;
pub mod logs;
pub mod model;
pub mod runtime;
pub mod stats;
pub mod store;
pub mod sys;

use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

pub use error::{Error, Kind, Result};
use model::image::{Image, Loaded, Removed};
use model::progress::Report;
use model::{Cancel, ContainerId, ContainerSummary, Digest, ImageSummary, request};
use store::Roots;

/// A handle on the two roots. Cheap to clone; any number of processes may hold one.
#[derive(Debug, Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    roots: Roots,
}

/// Where an image archive comes from.
pub enum Source {
    /// A file (docker-archive or OCI tar) or an OCI layout directory.
    Path(PathBuf),
    /// A tar stream, such as standard input.
    Stream(Box<dyn Read + Send>),
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Path(path) => f.debug_tuple("Path").field(path).finish(),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}

/// What `create` made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// The new id.
    pub id: ContainerId,
    /// Things the user should know, one line each.
    pub warnings: Vec<String>,
}

pub use model::request::AttachTo;
pub use runtime::channel::{Exit, Output, Session, SessionReader, SessionWriter};

/// What this engine and its host are: for `version`, `info` and the TUI's header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostInfo {
    /// Host name.
    pub name: String,
    /// `uname -r`.
    pub kernel: String,
    /// `PRETTY_NAME` of os-release(5).
    pub operating_system: String,
    /// Go's architecture name as `uname -m` prints it (`x86_64`).
    pub architecture: String,
    /// CPUs online.
    pub cpus: usize,
    /// Memory in bytes.
    pub memory: u64,
    /// `1` or `2`.
    pub cgroup_version: u8,
    /// Roots in use.
    pub roots: Roots,
    /// `seccomp`, `cgroupns` …
    pub security_options: Vec<String>,
}

fn missing<T>(what: &str) -> Result<T> {
    Err(Error::unsupported(what))
}

#[expect(clippy::missing_errors_doc, reason = "signatures first")]
#[expect(clippy::unused_self, reason = "signatures first")]
impl Engine {
    /// Opens (and makes, if missing) the two roots. Needs root.
    pub fn open(roots: Roots) -> Result<Self> {
        Ok(Self {
            inner: Arc::new(Inner { roots }),
        })
    }

    /// The roots.
    #[must_use]
    pub fn roots(&self) -> &Roots {
        &self.inner.roots
    }

    /// Facts about host and engine.
    pub fn host_info(&self) -> Result<HostInfo> {
        missing("info")
    }

    // Images.

    /// Brings in every image of an archive. On failure or cancel nothing of it is left but whole, verified blobs that
    /// the next load uses.
    pub fn load(
        &self,
        _source: Source,
        _report: Report<'_>,
        _cancel: &Cancel,
    ) -> Result<Vec<Loaded>> {
        missing("load")
    }

    /// Makes a one-layer image of a root file system tar (plain, gzip or zstd).
    pub fn import(
        &self,
        _tar: &mut dyn Read,
        _request: &request::Import,
        _report: Report<'_>,
        _cancel: &Cancel,
    ) -> Result<Digest> {
        missing("import")
    }

    /// Writes images as one archive that `docker load` and OCI tools read.
    pub fn save(&self, _names: &[String], _out: &mut dyn Write, _cancel: &Cancel) -> Result<()> {
        missing("save")
    }

    /// All images, newest first.
    pub fn images(&self) -> Result<Vec<ImageSummary>> {
        missing("images")
    }

    /// One image by reference, id or id prefix.
    pub fn image(&self, _name: &str) -> Result<Image> {
        missing("image inspect")
    }

    /// Gives an image another name.
    pub fn tag(&self, _source: &str, _target: &str) -> Result<()> {
        missing("tag")
    }

    /// Removes a tag, or the image with its last one; refuses when a container uses it, unless forced.
    pub fn remove_image(&self, _name: &str, _force: bool) -> Result<Vec<Removed>> {
        missing("rmi")
    }

    // Containers.

    /// All containers, newest first, with their state as the kernel has it now.
    pub fn containers(&self) -> Result<Vec<ContainerSummary>> {
        missing("ps")
    }

    /// The container of a name, id or unambiguous id prefix.
    pub fn resolve(&self, _name: &str) -> Result<ContainerId> {
        missing("resolve")
    }

    /// One container.
    pub fn container(&self, _id: &ContainerId) -> Result<ContainerSummary> {
        missing("inspect")
    }

    /// Makes a container without starting it. Nothing is left on failure.
    pub fn create(&self, _request: &request::Create) -> Result<Created> {
        missing("create")
    }

    /// Starts a container; a running one is left alone (`Ok`). With `attach`, the session misses no byte of output.
    pub fn start(&self, _id: &ContainerId, _attach: Option<AttachTo>) -> Result<Option<Session>> {
        missing("start")
    }

    /// Joins the streams of a running container.
    pub fn attach(&self, _id: &ContainerId, _to: AttachTo) -> Result<Session> {
        missing("attach")
    }

    /// Stops: signal, grace time, SIGKILL. A stopped one is left alone (`Ok`).
    pub fn stop(&self, _id: &ContainerId, _request: &request::Stop) -> Result<()> {
        missing("stop")
    }

    /// Stops and starts.
    pub fn restart(&self, _id: &ContainerId, _request: &request::Stop) -> Result<()> {
        missing("restart")
    }

    /// Sends a signal to the main process.
    pub fn kill(&self, _id: &ContainerId, _signal: i32) -> Result<()> {
        missing("kill")
    }

    /// Freezes all processes.
    pub fn pause(&self, _id: &ContainerId) -> Result<()> {
        missing("pause")
    }

    /// Thaws them.
    pub fn unpause(&self, _id: &ContainerId) -> Result<()> {
        missing("unpause")
    }

    /// Removes a container and everything of it.
    pub fn remove(&self, _id: &ContainerId, _request: request::Remove) -> Result<()> {
        missing("rm")
    }

    /// Waits until it is not running (`None` when cancelled).
    pub fn wait(&self, _id: &ContainerId, _cancel: &Cancel) -> Result<Option<Exit>> {
        missing("wait")
    }

    /// Runs a command in a running container.
    pub fn exec(&self, _id: &ContainerId, _request: &request::Exec) -> Result<Session> {
        missing("exec")
    }

    /// The log.
    pub fn logs(&self, _id: &ContainerId, _request: &request::Logs) -> Result<logs::LogReader> {
        missing("logs")
    }

    /// A sampler of live figures.
    pub fn sampler(&self) -> Result<stats::Sampler> {
        missing("stats")
    }

    /// Follows the event journal from now on.
    pub fn events(&self) -> Result<events::EventReader> {
        missing("events")
    }
}
