//! Starts a container's main process: one `clone3` with all namespaces, cgroups attached from outside, and a child that
//! runs the steps of `init.rs` until it executes the payload. What is to be started is decided elsewhere (`spec.rs`).
//!
//! Must be called by a single-threaded process: the child is a copy that goes on running Rust code.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use oci_spec::runtime::Spec;

use super::cgroup::Cgroup;
use crate::engine::error::{Error, Result};
use crate::engine::model::request::TerminalSize;

/// What to start, in which root, under which limits, connected to what.
#[derive(Debug)]
pub struct Launch<'a> {
    /// The container (its `root.path` is not looked at: see `rootfs`).
    pub spec: &'a Spec,
    /// The root file system.
    pub rootfs: &'a Rootfs,
    /// Where it is put; created by [`start`] with the limits of the specification.
    pub cgroup: &'a Cgroup,
    /// Its standard streams.
    pub io: Io,
}

/// The root file system. It is mounted in the container's own mount namespace; the host's table never shows it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Rootfs {
    /// Read-only layers with a writable directory on top.
    Overlay {
        /// Unpacked layers, topmost first.
        lower: Vec<PathBuf>,
        /// Receives what the container writes.
        upper: PathBuf,
        /// Empty scratch directory on the same file system as `upper`.
        work: PathBuf,
        /// The container sees all of it read-only.
        readonly: bool,
    },
    /// A directory as it is; read-only if the specification's `root.readonly` says so.
    Dir(PathBuf),
}

/// What standard input, output and error of the new process are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Io {
    /// Three pipes; without `stdin` it reads `/dev/null`.
    Pipes {
        /// Whether there is a pipe for standard input.
        stdin: bool,
    },
    /// A pseudo-terminal of the container's own devpts.
    Terminal(Option<TerminalSize>),
    /// The caller's own descriptors 0, 1 and 2.
    Inherit,
}

/// The caller's ends of the new process's standard streams. All are close-on-exec and blocking.
#[derive(Debug)]
pub enum Streams {
    /// For [`Io::Pipes`].
    Pipes {
        /// Write end.
        stdin: Option<OwnedFd>,
        /// Read end.
        stdout: OwnedFd,
        /// Read end.
        stderr: OwnedFd,
    },
    /// For [`Io::Terminal`]: the pseudo-terminal's master.
    Terminal(OwnedFd),
    /// For [`Io::Inherit`].
    Inherited,
}

/// A process that was started and is this process's child: it must be waited for.
#[derive(Debug)]
pub struct Process {
    /// Its id in our pid namespace.
    pub pid: i32,
    /// Readable (poll) when it has ended.
    pub pidfd: OwnedFd,
    /// Start time in clock ticks since boot (proc(5), stat field 22): tells a reused pid apart.
    pub pid_start: u64,
    /// Our ends of its streams.
    pub streams: Streams,
}

impl Process {
    /// Sends a signal. `Ok` also if it has already ended and was not waited for.
    ///
    /// # Errors
    /// What pidfd_send_signal(2) says.
    pub fn signal(&self, _signal: i32) -> Result<()> {
        Err(Error::unsupported("signal"))
    }

    /// Collects it if it has ended: exit code, or 128 + signal. Does not block.
    ///
    /// # Errors
    /// What waitid(2) says; asking again after an answer is an error (`ECHILD`).
    pub fn try_wait(&self) -> Result<Option<i32>> {
        Err(Error::unsupported("wait"))
    }

    /// Blocks until it has ended: exit code, or 128 + signal.
    ///
    /// # Errors
    /// As [`Self::try_wait`].
    pub fn wait(&self) -> Result<i32> {
        Err(Error::unsupported("wait"))
    }
}

/// Starts the container's main process and returns once the payload was executed.
///
/// The process dies with its parent (parent-death signal). The cgroup is created here and stays: [`Cgroup::remove`] is
/// the caller's, also after a failure.
///
/// # Errors
/// The step that failed and the kernel's reason. [`Kind::CommandNotFound`](crate::engine::error::Kind::CommandNotFound)
/// and [`Kind::CommandNotRunnable`](crate::engine::error::Kind::CommandNotRunnable) if it was the command's fault. The
/// child is then gone and waited for.
pub fn start(_launch: &Launch<'_>) -> Result<Process> {
    Err(Error::unsupported("start"))
}
