//! What the child does between clone and exec: a list of steps, in order. A step that fails is reported with its name
//! and the kernel's reason over a socket, and the child ends.
//!
//! `launch.rs` runs [`LAUNCH`], `join.rs` runs [`JOIN`]; both are the parent's side.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::time::Instant;

use oci_spec::runtime::{Process, Spec};

use super::birth::Birth;
use super::cgroup::Cgroup;
use super::launch::Rootfs;
use super::mounts::{Made, Prepared};
use super::outside_nodes::OutsideNodes;
use super::seccomp::Filter;
use super::terms::Terms;
use super::user::Identity;
use crate::engine::error::{Error, Kind, Result};
use crate::engine::sys::rooted::Rooted;
use crate::engine::sys::{cred, host, process};

mod attributes;
mod check;
mod environment;
mod files;
mod gate;
mod hooks;
mod keyring;
mod message;
mod namespaces;
mod program;
mod steps;
mod streams;

pub(super) use check::{check, check_process};
pub(super) use environment::split as split_variable;
pub(super) use message::{
    ATTACHED, FAILED, FILTER, GO_ON, LIMITS, MAX_MESSAGE, MOUNTED, PREPARED, READY, TERMINAL,
    decode_failure, decode_filter, decode_marks, encode_failure,
};
pub(super) use namespaces::{all_namespaces, namespace_bit, namespaces, new_namespaces};
pub(super) use steps::{JOIN, LAUNCH};
pub(super) use streams::ChildIo;

/// A name for errors, and what to do.
pub(super) type Step = (&'static str, fn(&mut Init<'_>) -> Result<()>);

/// Everything the steps work on.
#[derive(Debug)]
pub(super) struct Init<'a> {
    /// The container.
    pub(super) spec: &'a Spec,
    /// The process to become.
    pub(super) process: &'a Process,
    /// How it came into its namespaces, and what is left to join; `None` when joining.
    pub(super) birth: Option<&'a Birth<'a>>,
    /// The root to mount; `None` when joining.
    pub(super) rootfs: Option<&'a Rootfs>,
    /// Its group.
    pub(super) cgroup: &'a Cgroup,
    /// The container's first process; `None` when launching.
    pub(super) target: Option<BorrowedFd<'a>>,
    /// To the parent.
    pub(super) socket: OwnedFd,
    /// Standard streams.
    pub(super) io: ChildIo,
    /// When the start began.
    pub(super) since: Instant,
    /// Whether it outlives its parent, and what it waits for.
    pub(super) terms: Terms<'a>,
    /// What earlier steps made for later ones.
    pub(super) state: State,
}

/// What earlier steps made for later ones.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Mounts whose sources were copied: by the parent if they had to be, else by the first step that can.
    pub(super) mounts: Option<Vec<Prepared>>,
    /// The root as it was while the host's mounts were shared, and its path could be walked.
    pub(super) early_root: Option<OwnedFd>,
    /// Device nodes that the parent has made, because the child cannot.
    pub(super) nodes: Option<OutsideNodes>,
    /// The user namespace was entered together with the pid namespace.
    has_users: bool,
    /// The engine itself is in a user namespace, which may have no say in groups.
    is_confined: bool,
    root: Option<Rooted>,
    /// How many of the mounts are made.
    mounted: usize,
    made: Made,
    terminal: Option<OwnedFd>,
    identity: Option<Identity>,
    env: Vec<CString>,
    program: Option<PathBuf>,
    rights: Rights,
    /// The engine may not enter the working directory; perhaps the user may.
    retries_directory: bool,
    filter: Option<Filter>,
    /// A filter is in force already.
    is_filtered: bool,
    /// When each step was done.
    marks: Vec<Instant>,
}

impl State {
    /// Nothing yet, but perhaps the user namespace. To be called where the host's `/proc` is seen.
    pub(super) fn of_users(has_users: bool) -> Self {
        Self {
            has_users,
            is_confined: host::is_in_user_namespace(),
            ..Self::default()
        }
    }
}

/// Capabilities to end with.
#[derive(Debug, Default, Clone, Copy)]
struct Rights {
    effective: cred::Capabilities,
    permitted: cred::Capabilities,
    inheritable: cred::Capabilities,
    ambient: cred::Capabilities,
}

/// Number of CAP_SYS_ADMIN.
const SYS_ADMIN: u32 = 21;

/// Runs the steps and executes the program. Never returns: what called this is the parent's business, so not even a
/// panic may go back there.
pub(super) fn run(init: Init<'_>, steps: &[Step]) -> ! {
    let work = std::panic::AssertUnwindSafe(|| run_steps(init, steps));
    let _ = std::panic::catch_unwind(work);
    process::exit_now(1)
}

fn run_steps(mut init: Init<'_>, steps: &[Step]) {
    for (number, (_, step)) in steps.iter().enumerate() {
        if let Err(error) = step(&mut init) {
            message::report(&init, number, &error);
            process::exit_now(1);
        }
        init.state.marks.push(Instant::now());
    }
    let error = program::execute(&init);
    // Nobody may be able to hear it: the filter may forbid it, or the parent took our word for it.
    message::report(&init, steps.len(), &error);
    process::exit_now(if error.kind() == Kind::CommandNotFound {
        127
    } else {
        126
    })
}

impl Init<'_> {
    fn root(&self) -> Result<&Rooted> {
        self.state
            .root
            .as_ref()
            .ok_or_else(|| Error::new(Kind::Internal, "the root is not mounted yet"))
    }

    fn identity(&self) -> Result<&Identity> {
        self.state
            .identity
            .as_ref()
            .ok_or_else(|| Error::new(Kind::Internal, "the user is not known yet"))
    }

    /// Descriptors below it go to the program.
    fn first_private_fd(&self) -> RawFd {
        let preserved = RawFd::try_from(self.terms.preserved_fds).unwrap_or(RawFd::MAX - 3);
        preserved.saturating_add(3)
    }

    fn is_joining(&self) -> bool {
        self.target.is_some()
    }

    /// Whether it has a user namespace other than the engine's.
    fn has_users(&self) -> bool {
        all_namespaces(self.spec) & process::NEWUSER != 0
    }

    /// Asks the parent for something and waits until it is done.
    fn ask(&self, what: u8) -> Result<()> {
        process::send_message(self.socket.as_fd(), &[what], None)?;
        let mut byte = [0];
        let (length, _) = process::receive_message(self.socket.as_fd(), &mut byte)?;
        if length == 0 || byte != [GO_ON] {
            return Err(Error::new(Kind::Cancelled, "the parent gave up"));
        }
        Ok(())
    }
}
