//! Starts a container's main process: one `clone3` with all namespaces, cgroups attached from outside, and a child that
//! runs the steps of `init` until it executes the payload. What is to be started is decided elsewhere (`spec.rs`).
//!
//! Must be called by a single-threaded process: the child is a copy that goes on running Rust code. The one thread that is begun
//! here begins after that and has ended when the start returns.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use oci_spec::runtime::{LinuxMemory, LinuxResources, PosixRlimit, Spec};

use super::birth::Birth;
use super::cgroup::{self, Cgroup};
use super::init::{self, ChildIo, Init, Step};
use super::outside_nodes::OutsideNodes;
use super::rdt::Allocation;
use super::terms::{Attendant, Nobody, Terms, Waiting};
use super::{mounts, netdev, rlimits, rootfs};
use crate::engine::error::{Attempt, Error, Kind, Result};
use crate::engine::model::request::TerminalSize;
use crate::engine::sys::process::{self, Cloned, Wait};
use crate::engine::sys::{cred, file, host};

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
    /// Whether it outlives us, and what it waits for.
    pub terms: Terms<'a>,
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
        /// What is written need not survive a crash of the host, as with `--rm`: the end of the container does not wait
        /// until everything that anybody wrote to that file system is on the disk (overlayfs.rst, "Volatile mount").
        #[serde(default)]
        volatile: bool,
    },
    /// A directory as it is; read-only if the specification's `root.readonly` says so.
    Dir {
        /// The directory.
        path: PathBuf,
    },
}

/// Bytes of stack of a thread that enters cgroups.
const STACK: usize = 256 << 10;

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
    /// What was done when, from the call on: our own steps and the child's, which run at the same time.
    pub timeline: Marks,
}

impl Process {
    /// Sends a signal. `Ok` also if it has already ended and was not waited for.
    ///
    /// # Errors
    /// What pidfd_send_signal(2) says.
    pub fn signal(&self, signal: i32) -> Result<()> {
        process::send_signal(self.pidfd.as_fd(), signal)
    }

    /// Collects it if it has ended: exit code, or 128 + signal. Does not block.
    ///
    /// # Errors
    /// What waitid(2) says; asking again after an answer is an error (`ECHILD`).
    pub fn try_wait(&self) -> Result<Option<i32>> {
        process::wait(self.pidfd.as_fd(), Wait::Poll)
    }

    /// Blocks until it has ended: exit code, or 128 + signal.
    ///
    /// # Errors
    /// As [`Self::try_wait`].
    pub fn wait(&self) -> Result<i32> {
        process::wait(self.pidfd.as_fd(), Wait::Block)?
            .ok_or_else(|| Error::new(Kind::Internal, "a process ended without a status"))
    }
}

/// Refuses a specification that cannot become a container, without making anything.
///
/// # Errors
/// What contradicts itself, is out of range, or is not to be had on this host, by the name of the field.
pub fn check(spec: &Spec) -> Result<()> {
    let main = spec
        .process()
        .as_ref()
        .ok_or_else(|| Error::invalid("the specification has no process"))?;
    init::check(spec, main)
}

/// Starts the container's main process and returns once the payload was executed.
///
/// The process dies with its parent (parent-death signal) unless its terms say otherwise. The cgroup is created here and
/// stays: [`Cgroup::remove`] is the caller's, also after a failure.
///
/// # Errors
/// The step that failed and the kernel's reason. [`Kind::CommandNotFound`] and [`Kind::CommandNotRunnable`] if it was
/// the command's fault. The child is then gone and waited for.
pub fn start(launch: &Launch<'_>) -> Result<Process> {
    start_attended(launch, &mut Nobody)
}

/// The same, with something to do while the child waits. With a gate it returns when the child waits there.
///
/// # Errors
/// As [`start`], and what the attendant says.
pub fn start_attended(launch: &Launch<'_>, attendant: &mut dyn Attendant) -> Result<Process> {
    let since = Instant::now();
    let spec = launch.spec;
    let main = spec
        .process()
        .as_ref()
        .ok_or_else(|| Error::invalid("the specification has no process"))?;
    init::check(spec, main)?;
    let birth = Birth::plan(spec, main)?;
    let resources = spec.linux().as_ref().and_then(|l| l.resources().as_ref());
    let birthplace = launch.cgroup.birthplace();
    let group = match &birthplace {
        None => None,
        Some(path) => {
            launch.cgroup.create(resources)?;
            Some(file::open_dir(path)?)
        }
    };
    let (ours, theirs) = process::message_pair()?;
    let (streams, child_io) = make_streams(launch.io)?;
    let mut state = init::State::of_users(false);
    // Who may not mount here leaves it to the child, who may in its user namespace.
    let may_mount = cred::may_mount()?;
    if may_mount && mounts::is_parents_work(spec) {
        let dir = rootfs::directory(launch.rootfs);
        state.mounts = Some(mounts::prepare(spec, dir, launch.terms.names())?);
    }
    if may_mount && birth.has_users() {
        state.early_root = rootfs::prepare(spec, launch.rootfs)?;
        state.nodes = OutsideNodes::prepare(spec, launch.terms.names())?;
    }
    let group_of_caches = match launch.terms.container {
        Some(container) => Allocation::of(spec, container.id)?,
        None => None,
    };
    let mut timeline = vec![("monitor: prepared", since.elapsed())];
    match birth.clone(group.as_ref().map(AsFd::as_fd))? {
        Cloned::Child => init::run(
            Init {
                spec,
                process: main,
                birth: Some(&birth),
                rootfs: Some(launch.rootfs),
                cgroup: launch.cgroup,
                target: None,
                socket: theirs,
                io: child_io,
                since,
                terms: launch.terms,
                state,
            },
            init::LAUNCH,
        ),
        Cloned::Parent { pid, pidfd } => {
            timeline.push(("monitor: cloned", since.elapsed()));
            drop((theirs, child_io, state));
            // On v1 the groups are made while the child mounts: both take time, and neither needs the other.
            let is_outside = birthplace.is_none();
            let enter = || enter_groups(launch, pid, is_outside, group_of_caches.as_ref(), since);
            // A device of the host's is not taken before it is known that the groups can be had: it would not come back.
            let is_beside = is_outside && attendant.is_busy_when_cloned() && !netdev::any(spec);
            let mut connect = || {
                take_devices(spec, &birth, pid)?;
                attendant.cloned(&|| birth.network_of(pid))
            };
            let (attached, marks) = if is_beside {
                beside(&enter, connect)
            } else {
                let (entered, marks) = enter();
                (entered.and_then(|()| connect()), marks)
            };
            timeline.extend(marks);
            timeline.push(("monitor: networks attached", since.elapsed()));
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
                limits: main.rlimits().as_deref().unwrap_or_default(),
                memory: memory_limit(resources),
                timeline,
                terms: launch.terms,
            };
            started.finish(attached, init::LAUNCH, attendant)
        }
    }
}

/// What was done when.
type Marks = Vec<(&'static str, Duration)>;

/// Makes the groups of a child that was not born in them and puts it there; then what else its groups are to be.
fn enter_groups(
    launch: &Launch<'_>,
    pid: i32,
    is_outside: bool,
    caches: Option<&Allocation>,
    since: Instant,
) -> (Result<()>, Marks) {
    let Launch { spec, cgroup, .. } = launch;
    let resources = spec.linux().as_ref().and_then(|l| l.resources().as_ref());
    let mut marks = Marks::with_capacity(2);
    let mut entered = Ok(());
    if is_outside {
        entered = cgroup
            .create_for(pid, resources)
            .inspect(|()| marks.push(("monitor: cgroups made", since.elapsed())))
            .and_then(|()| cgroup.attach(pid));
    }
    marks.push(("monitor: cgroups entered", since.elapsed()));
    let entered = entered
        .and_then(|()| hand_over(spec, cgroup))
        .and_then(|()| caches.map_or(Ok(()), |group| group.apply(pid)));
    (entered, marks)
}

/// Enters the groups in a thread of its own while networks are connected: on v1 the kernel lets the first process in some
/// while wait for a grace period of RCU, which is longer than all the rest of a start. If both fail the groups' error is told.
fn beside(
    enter: &(impl Fn() -> (Result<()>, Marks) + Sync),
    connect: impl FnOnce() -> Result<()>,
) -> (Result<()>, Marks) {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .stack_size(STACK)
            .spawn_scoped(scope, enter);
        let Ok(entering) = thread else {
            // As many processes as there may be: one after the other, then.
            let (entered, marks) = enter();
            return (entered.and_then(|()| connect()), marks);
        };
        let connected = connect();
        let (entered, marks) = entering.join().unwrap_or_else(|_panic| {
            let error = Error::new(Kind::Internal, "a thread panicked");
            (Err(error), Marks::new())
        });
        (entered.and(connected), marks)
    })
}

/// Lets the container's user make groups of its own, where the container is to see its groups as ones that it can write.
fn hand_over(spec: &Spec, group: &Cgroup) -> Result<()> {
    let heir = spec
        .process()
        .as_ref()
        .and_then(|main| cgroup::heir(spec, main));
    match heir {
        Some(uid) if host::effective_ids().0 == 0 => {
            group.hand_over(uid).attempt(|| "linux.cgroupsPath")
        }
        Some(_) | None => Ok(()),
    }
}

/// Moves the host's network devices that the container is to have into its network namespace.
fn take_devices(spec: &Spec, birth: &Birth<'_>, pid: i32) -> Result<()> {
    if netdev::any(spec) {
        let namespace = birth.network_of(pid)?;
        netdev::move_all(spec, namespace.as_fd())
    } else {
        Ok(())
    }
}

/// A child on its way to exec.
pub(super) struct Started<'a> {
    pub(super) pid: i32,
    pub(super) pidfd: OwnedFd,
    pub(super) streams: Option<Streams>,
    pub(super) socket: OwnedFd,
    pub(super) since: Instant,
    /// What it may ask us to set.
    pub(super) limits: &'a [PosixRlimit],
    /// Its group's limit of memory in bytes, if this start has set one.
    pub(super) memory: Option<i64>,
    pub(super) timeline: Marks,
    pub(super) terms: Terms<'a>,
}

impl Started<'_> {
    /// Listens until the child has executed, or says why not; then it is ended and collected. `before` is what happened
    /// on our side meanwhile: a failure of ours counts, unless the child has a better one.
    pub(super) fn finish(
        self,
        before: Result<()>,
        steps: &[Step],
        attendant: &mut dyn Attendant,
    ) -> Result<Process> {
        let Self {
            pid,
            pidfd,
            mut streams,
            socket,
            since,
            limits,
            memory,
            mut timeline,
            terms,
        } = self;
        let abandon = |error: Error| {
            let _ = process::send_signal(pidfd.as_fd(), libc::SIGKILL);
            let _ = process::wait(pidfd.as_fd(), Wait::Block);
            error
        };
        let mut buffer = vec![0; init::MAX_MESSAGE];
        let mut ready = false;
        let mut before = Some(before);
        // A child that hears nothing would wait for ever.
        if let Some(Err(error)) = before.take_if(|before| before.is_err()) {
            let error = abandon(error);
            return Err(last_words(&socket, steps).unwrap_or(error));
        }
        loop {
            let (length, fd) = match process::receive_message(socket.as_fd(), &mut buffer) {
                Ok(received) => received,
                Err(error) => return Err(abandon(error)),
            };
            let message = buffer.get(..length).unwrap_or_default();
            match (message.first(), fd) {
                (Some(&init::TERMINAL), Some(master)) => {
                    streams = Some(Streams::Terminal(master));
                }
                (Some(&at @ (init::MOUNTED | init::PREPARED | init::FILTER)), _) => {
                    let terminal = match &streams {
                        Some(Streams::Terminal(master)) => Some(master.as_fd()),
                        Some(Streams::Pipes { .. } | Streams::Inherited) | None => None,
                    };
                    let waiting = Waiting {
                        pid,
                        pidfd: pidfd.as_fd(),
                        terminal,
                    };
                    let go_on = || process::send_message(socket.as_fd(), &[init::GO_ON], None);
                    let done = match at {
                        init::MOUNTED => attendant.mounted(waiting).and_then(|()| go_on()),
                        init::PREPARED => attendant.prepared(waiting).and_then(|()| go_on()),
                        // It may go on with a copy in our hands: what it waits for then is answered there.
                        _ => init::decode_filter(message)
                            .and_then(|number| process::fetch_descriptor(pidfd.as_fd(), number))
                            .and_then(|filter| {
                                go_on()?;
                                attendant.filtered(waiting, filter.as_fd())
                            }),
                    };
                    done.map_err(abandon)?;
                    if at == init::PREPARED && terms.gate.is_some() {
                        break;
                    }
                }
                (Some(&init::LIMITS), _) => {
                    rlimits::apply_to(pid, limits)
                        .and_then(|()| process::send_message(socket.as_fd(), &[init::GO_ON], None))
                        .map_err(abandon)?;
                }
                (Some(&init::READY), _) => {
                    ready = true;
                    timeline.extend(init::decode_marks(message, steps));
                }
                (Some(&init::FAILED), _) => {
                    return Err(abandon(init::decode_failure(message, steps)));
                }
                // The child's end was closed by exec, or by its death.
                (None, _) if ready => break,
                (None, _) => {
                    let code = process::wait(pidfd.as_fd(), Wait::Block)?;
                    return Err(
                        last_words(&socket, steps).unwrap_or_else(|| died_early(code, memory))
                    );
                }
                (Some(_), _) => {
                    return Err(abandon(Error::new(
                        Kind::Internal,
                        "unknown message from init",
                    )));
                }
            }
        }
        timeline.push(("monitor: executed", since.elapsed()));
        let pid_start = process::start_time(pid).map_err(abandon)?;
        let streams =
            streams.ok_or_else(|| abandon(Error::new(Kind::Internal, "no terminal came")))?;
        Ok(Process {
            pid,
            pidfd,
            pid_start,
            streams,
            timeline,
        })
    }
}

/// Listens at the other end of a gate's connection until the child has executed the program.
///
/// # Errors
/// The step that failed; the child is then gone, or about to be.
pub(super) fn await_execution(connection: BorrowedFd<'_>) -> Result<()> {
    let mut buffer = vec![0; init::MAX_MESSAGE];
    let mut ready = false;
    loop {
        let (length, _) = process::receive_message(connection, &mut buffer)?;
        let message = buffer.get(..length).unwrap_or_default();
        match message.first() {
            Some(&init::READY) => ready = true,
            Some(&init::FAILED) => return Err(init::decode_failure(message, init::LAUNCH)),
            None if ready => return Ok(()),
            None => return Err(died_early(None, None)),
            Some(_) => return Err(Error::new(Kind::Internal, "unknown message from init")),
        }
    }
}

/// What a child that has ended said was wrong: then our trouble with it came of that.
fn last_words(socket: &OwnedFd, steps: &[Step]) -> Option<Error> {
    let mut buffer = vec![0; init::MAX_MESSAGE];
    // If it left something unread, the kernel says that it is gone before it gives out what it wrote.
    let mut ends = 0;
    while ends < 2 {
        let (length, _) = process::receive_message(socket.as_fd(), &mut buffer).ok()?;
        let message = buffer.get(..length).unwrap_or_default();
        match message.first() {
            Some(&init::FAILED) => return Some(init::decode_failure(message, steps)),
            Some(_) => {}
            None => ends += 1,
        }
    }
    None
}

fn memory_limit(resources: Option<&LinuxResources>) -> Option<i64> {
    let memory = resources.and_then(|resources| resources.memory().as_ref());
    memory
        .and_then(LinuxMemory::limit)
        .filter(|limit| *limit > 0)
}

/// `memory` is the limit in bytes that it lived under.
fn died_early(code: Option<i32>, memory: Option<i64>) -> Error {
    let was_killed = code == Some(128 + libc::SIGKILL);
    if let Some(limit) = memory.filter(|_| was_killed) {
        return Error::invalid(format!(
            "linux.resources.memory.limit: {limit} bytes may be too few to start anything: the container's first process was killed before the command was executed"
        ));
    }
    let what = "the container's first process ended before the command was executed";
    let error = Error::new(
        Kind::Internal,
        match code {
            Some(code) => format!("{what} (exit code {code})"),
            None => what.to_owned(),
        },
    );
    if was_killed {
        error.with_hint("it was killed: the memory limit may be too small to start anything")
    } else {
        error
    }
}

/// Our ends and the child's. A terminal comes later, from the child.
pub(super) fn make_streams(io: Io) -> Result<(Option<Streams>, ChildIo)> {
    Ok(match io {
        Io::Pipes { stdin } => {
            let input = if stdin { Some(process::pipe()?) } else { None };
            let (input_read, input_write) = input.unzip();
            let (stdout, stdout_write) = process::pipe()?;
            let (stderr, stderr_write) = process::pipe()?;
            (
                Some(Streams::Pipes {
                    stdin: input_write,
                    stdout,
                    stderr,
                }),
                ChildIo::Pipes {
                    stdin: input_read,
                    stdout: stdout_write,
                    stderr: stderr_write,
                },
            )
        }
        Io::Terminal(size) => (None, ChildIo::Terminal(size)),
        Io::Inherit => (Some(Streams::Inherited), ChildIo::Inherit),
    })
}
