//! The OCI runtime as a command sees it: bundles, containers with a name and a state, and what may be done in which state
//! (runtime-spec, "Runtime and Lifecycle").
//!
//! ```text
//! create ─> creating ─> created ─ start ─> running <─ pause, resume ─> paused
//!               │           │                 │
//!            failed      killed             ended
//!               v           v                 v
//!            (gone)       stopped ──────── delete ─────────> (gone)
//! ```
//!
//! No process of ours stays with a container: its first process is adopted by whoever reaps orphans there (a shim, or
//! the host's init), and everything that later commands need is in its state directory ([`state`]). Between `create`
//! and `start` the first process waits in `accept(2)` on a socket in that directory ([`gate`]).

pub mod bundle;
pub mod console;
pub mod create;
pub mod delete;
pub mod events;
pub mod example;
pub mod exec;
pub mod features;
pub mod foreground;
pub mod gate;
pub mod hooks;
pub mod id;
pub mod kill;
pub mod list;
pub mod processes;
pub mod start;
pub mod state;
pub mod update;

mod field;
mod listener;
mod teardown;

use std::path::PathBuf;

use crate::engine::error::Result;
pub use crate::engine::runtime::cgroup::Driver;

/// Where containers are kept, and how their cgroups are made.
#[derive(Debug, Clone)]
pub struct Runtime {
    /// Holds one directory for each container.
    pub root: PathBuf,
    /// Who makes cgroups.
    pub driver: Driver,
}

/// Runs this program again from where no container can write to it, if it does not yet. To be called before anything is
/// opened: what is executed inherits it.
///
/// # Errors
/// What the system calls say.
pub fn protect() -> Result<()> {
    super::seal::ensure()
}
