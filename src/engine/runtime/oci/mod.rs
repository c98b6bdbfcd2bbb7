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
pub mod notify;
pub mod processes;
pub mod start;
pub mod state;
pub mod update;

mod field;
mod listener;
mod strict;
mod teardown;

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::engine::error::{Kind, Result};
pub use crate::engine::runtime::SPECIFICATION;
pub use crate::engine::runtime::cgroup::Driver;
use crate::engine::runtime::cgroup::{Cgroup, Hierarchy};
use crate::engine::runtime::launch::Process;
use crate::engine::sys::{file, host, inherited};

/// Where containers are kept, and how their cgroups are made.
#[derive(Debug, Clone, Default)]
pub struct Runtime {
    /// Holds one directory for each container.
    pub root: PathBuf,
    /// Whether somebody has named it: then it is told if it is not there.
    pub root_is_named: bool,
    /// Who makes cgroups.
    pub driver: Driver,
    /// Whether it is fine if nobody lets us make any.
    pub rootless: Rootless,
    /// Who hears what keeps nothing from being done.
    pub ear: Ear,
}

/// Hears warnings, and what is done step by step, or does not.
#[derive(Clone, Default)]
pub struct Ear {
    warnings: Option<Hear>,
    steps: Option<Hear>,
}

type Hear = Rc<dyn Fn(&str)>;

/// What was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Begun {
    /// A container's first process.
    Container,
    /// A further one.
    Exec,
}

impl Ear {
    /// Every warning is passed to a function.
    #[must_use]
    pub fn new(hear: impl Fn(&str) + 'static) -> Self {
        Self {
            warnings: Some(Rc::new(hear)),
            steps: None,
        }
    }

    /// What is done is passed to a function, too (`--debug`).
    #[must_use]
    pub fn with_steps(mut self, hear: impl Fn(&str) + 'static) -> Self {
        self.steps = Some(Rc::new(hear));
        self
    }

    fn tell(&self, warnings: &[String]) {
        if let Some(hear) = &self.warnings {
            for warning in warnings {
                hear(warning);
            }
        }
    }

    /// One step; its text is made only if somebody hears it.
    fn step(&self, text: impl FnOnce() -> String) {
        if let Some(hear) = &self.steps {
            hear(&text());
        }
    }

    /// What was done when, to the process that was started. Lines begin as those of runc do: who reads its log finds the
    /// same places here.
    fn timeline(&self, process: &Process, begun: Begun) {
        let Some(hear) = &self.steps else {
            return;
        };
        let pid = process.pid;
        hear(&format!(
            "nsexec container setup: process {pid} has its namespaces"
        ));
        hear(&format!("child process in init(): process {pid}"));
        for (name, after) in &process.timeline {
            hear(&format!("container init: {name}: {} µs", after.as_micros()));
        }
        hear(match begun {
            Begun::Container => "init: closing the pipe to signal completion: executed",
            Begun::Exec => "setns_init: about to exec: executed",
        });
    }
}

impl fmt::Debug for Ear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ear")
            .field("warnings", &self.warnings.is_some())
            .field("steps", &self.steps.is_some())
            .finish()
    }
}

/// Runs this program again from where no container can write to it, if it does not yet. To be called before anything is
/// opened: what is executed inherits it.
///
/// # Errors
/// What the system calls say.
pub fn protect() -> Result<()> {
    super::seal::ensure()
}

/// Of the `count` descriptors from 3 on that are to be handed on: how many there are. To be called before anything is
/// opened.
///
/// # Errors
/// What open(2) says.
pub fn hold_inherited(count: u32) -> Result<u32> {
    inherited::hold(count)
}

/// Whether this program was started with a standard output.
#[must_use]
pub fn has_output() -> bool {
    inherited::had_output()
}

/// Makes the root of a user without privileges. The sticky bit keeps it from those who clean up below `$XDG_RUNTIME_DIR`
/// (XDG Base Directory Specification).
///
/// # Errors
/// What mkdir(2) and chmod(2) say.
pub fn prepare_user_root(path: &Path) -> Result<()> {
    file::create_sticky_dir(path)
}

/// Whether state belongs into the user's own directory: who calls has no privileges, or is root of a user namespace that
/// an ordinary user has made, as podman is. `user` is `$USER`, which then is not root: runc has the same rule.
#[must_use]
pub fn is_ordinary_user(user: Option<&OsStr>) -> bool {
    !host::is_root() || host::is_in_user_namespace() && user.is_none_or(|name| name != "root")
}

/// Whether containers go without cgroups if the caller may not make any (`--rootless`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rootless {
    /// Who is not root on the host may.
    #[default]
    Auto,
    /// Yes.
    Yes,
    /// No.
    No,
}

impl Rootless {
    fn applies(self) -> bool {
        match self {
            Self::Auto => !host::is_root() || host::is_in_user_namespace(),
            Self::Yes => true,
            Self::No => false,
        }
    }
}

impl Runtime {
    /// The groups of a new container, which nobody else uses. Who is rootless and may not make them has none: then
    /// limits are refused.
    fn groups(&self, path: Option<&Path>, id: &str) -> Result<Cgroup> {
        let hierarchy = Hierarchy::detect()?;
        let cgroup = hierarchy.locate(self.driver, path, id)?;
        cgroup.ensure_vacant()?;
        if self.driver != Driver::Cgroupfs || !self.rootless.applies() {
            return Ok(cgroup);
        }
        match cgroup.create(None) {
            Ok(()) => Ok(cgroup),
            Err(error) if error.kind() == Kind::Denied => {
                hierarchy.locate(Driver::Disabled, None, id)
            }
            Err(error) => Err(error),
        }
    }
}
