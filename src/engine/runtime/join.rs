//! Starts a further process in a running container (`exec`): enters the namespaces of its main process, its cgroups,
//! its limits on rights, and executes. Same rules as `launch.rs`; must be called by a single-threaded process.
//!
//! Until it executes, the new process is the engine's binary inside the container's pid namespace. It is undumpable
//! from before its birth, so that nothing in the container can trace it or look into its `/proc` directory
//! (CVE-2016-9962), and `seal.rs` keeps the binary itself from being written (CVE-2019-5736).

use std::os::fd::AsFd;
use std::time::Instant;

use oci_spec::runtime::{Process as ProcessSpec, Spec};

use super::birth;
use super::cgroup::Cgroup;
use super::init::{self, Init};
use super::launch::{Io, Process, Started, make_streams};
use super::schedule::Affinity;
use super::terms::{Attendant, Nobody, Terms};
use crate::engine::error::{Attempt, Error, Result};
use crate::engine::sys::process::{self, Cloned};
use crate::engine::sys::{cred, file, namespace, schedule};

/// What to run, and in which container.
#[derive(Debug)]
pub struct Join<'a> {
    /// The container's main process.
    pub pid: i32,
    /// Its start time ([`Process::pid_start`]): another process that got the same pid is not entered.
    pub pid_start: u64,
    /// The container's specification.
    pub spec: &'a Spec,
    /// The process to run; see [`super::spec::exec_process`].
    pub process: &'a ProcessSpec,
    /// The container's cgroup.
    pub cgroup: &'a Cgroup,
    /// Its standard streams.
    pub io: Io,
    /// Whether it outlives us, and what it inherits.
    pub terms: Terms<'a>,
}

/// Starts the process and returns once it was executed. Afterwards this process itself is still outside, except that
/// its further children would be born in the container's pid namespace.
///
/// # Errors
/// As [`super::launch::start`]; [`Kind::Conflict`](crate::engine::error::Kind::Conflict) if the container is not running.
pub fn start(join: &Join<'_>) -> Result<Process> {
    start_attended(join, &mut Nobody)
}

/// The same, with something to do before the process is executed.
///
/// # Errors
/// As [`start`], and what the attendant says.
pub fn start_attended(join: &Join<'_>, attendant: &mut dyn Attendant) -> Result<Process> {
    let since = Instant::now();
    let not_running = |_| Error::conflict("the container is not running");
    let target = process::open_pidfd(join.pid).map_err(not_running)?;
    // Asked after the descriptor was opened: it and the number now mean the same process.
    if process::start_time(join.pid).map_err(not_running)? != join.pid_start {
        return Err(Error::conflict("the container is not running"));
    }
    init::check_process(join.spec, join.process)?;
    run_initially(join.process)?;
    let namespaces = init::all_namespaces(join.spec);
    // Who may do nothing out here gets the right to enter the others from the user namespace.
    let is_rootless = namespaces & process::NEWUSER != 0 && !cred::may_mount()?;
    if !is_rootless {
        process::hide_from_tracers()?;
        if namespaces & process::NEWPID != 0 {
            namespace::enter(target.as_fd(), process::NEWPID).map_err(unless_ended)?;
        }
    }
    let group = match join.cgroup.unified() {
        Some(path) => Some(file::open_dir(&path)?),
        None => None,
    };
    let (ours, theirs) = process::message_pair()?;
    let (streams, child_io) = make_streams(join.io)?;
    let mut into = group.as_ref().map(AsFd::as_fd).filter(|_| !is_rootless);
    let cloned = if is_rootless {
        birth::clone_inside(target.as_fd(), join.process)?
    } else {
        match process::clone_process(0, into) {
            // The container has handed its controllers down: its top group takes no processes any more.
            Err(error) if into.is_some() && is_closed(&error) => {
                into = None;
                process::clone_process(0, None)?
            }
            other => other?,
        }
    };
    match cloned {
        Cloned::Child => init::run(
            Init {
                spec: join.spec,
                process: join.process,
                birth: None,
                rootfs: None,
                cgroup: join.cgroup,
                target: Some(target.as_fd()),
                socket: theirs,
                io: child_io,
                since,
                terms: join.terms,
                state: init::State::of_users(is_rootless),
            },
            init::JOIN,
        ),
        Cloned::Parent { pid, pidfd } => {
            drop((theirs, child_io));
            let attached = match into {
                Some(_) => Ok(()),
                None => join.cgroup.attach_beside(pid, join.pid),
            };
            if attached.is_ok() {
                // A child that has failed meanwhile does not hear it; what it said is read next.
                let _ = process::send_message(ours.as_fd(), &[init::ATTACHED], None);
            }
            let started = Started {
                pid,
                pidfd,
                streams,
                socket: ours,
                since,
                limits: join.process.rlimits().as_deref().unwrap_or_default(),
                memory: None,
                timeline: Vec::new(),
                terms: join.terms,
            };
            started
                .finish(attached, init::JOIN, attendant)
                .map_err(unless_ended)
        }
    }
}

/// A process that is just ending has no namespaces any more (setns(2), `ESRCH`).
fn unless_ended(error: Error) -> Error {
    match error.raw_os_error() {
        Some(libc::ESRCH) => Error::conflict("the container is not running"),
        _ => error,
    }
}

/// What clone3(2) says of a v2 group whose controllers were handed down (cgroup-v2.rst, "No Internal Process Constraint").
fn is_closed(error: &Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EBUSY | libc::EOPNOTSUPP))
}

/// `execCPUAffinity.initial`: where this process runs until the new one is in its cgroups (runtime-spec, "POSIX process").
fn run_initially(wanted: &ProcessSpec) -> Result<()> {
    let affinity = match wanted.exec_cpu_affinity() {
        Some(wanted) => Affinity::parse(wanted)?,
        None => Affinity::default(),
    };
    match affinity.initial {
        Some(initial) => {
            schedule::set_affinity(&initial).attempt(|| "process.execCPUAffinity.initial")
        }
        None => Ok(()),
    }
}
