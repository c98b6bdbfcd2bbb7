//! `create` and `run`: from a bundle to a container. Whatever fails, nothing of it is left.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use oci_spec::runtime::Spec;

use super::bundle::Bundle;
use super::foreground::Foreground;
use super::hooks::{self, Moment};
use super::id::Id;
use super::notify::{self, Notify};
use super::state::{First, Known, Place, Record, Status};
use super::{Begun, Ear, Runtime, console, gate, listener, teardown};
use crate::engine::error::{Attempt, Error, Kind, Result};
use crate::engine::runtime::launch::{self, Io, Launch, Process, Rootfs};
use crate::engine::runtime::terms::{Attendant, Container, Terms, Waiting};
use crate::engine::runtime::{caps, init, seccomp};
use crate::engine::sys::file::{self, Lock};
use crate::engine::sys::{cred, own, process};

/// What to make, of what.
#[derive(Debug, Clone, Default)]
pub struct Create {
    /// The container's name.
    pub id: String,
    /// The bundle's directory.
    pub bundle: PathBuf,
    /// Another configuration than the bundle's, relative to the bundle; may be a pipe.
    pub config: Option<PathBuf>,
    /// Who gets the terminal.
    pub console_socket: Option<PathBuf>,
    /// Who gets a descriptor of the first process.
    pub pidfd_socket: Option<PathBuf>,
    /// File to write the first process's id to.
    pub pid_file: Option<PathBuf>,
    /// So many descriptors from 3 on go to the program.
    pub preserved_fds: u32,
    /// How many of them are sockets of sd_listen_fds(3).
    pub listen_fds: u32,
    /// The service manager's socket (`NOTIFY_SOCKET`).
    pub notify_socket: Option<String>,
    /// Without pivot_root(2).
    pub no_pivot: bool,
    /// With the caller's session keyring.
    pub no_new_keyring: bool,
}

/// What `run` does with the container that it has started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Run {
    /// Leaves it alone.
    Detached,
    /// Waits for its end and removes it.
    Foreground,
    /// Waits for its end and leaves it stopped.
    Kept,
}

impl Runtime {
    /// Makes a container that waits for `start`.
    ///
    /// # Errors
    /// What is wrong with the bundle, or which step failed.
    pub fn create(&self, request: &Create) -> Result<()> {
        let mut making = self.begin(request, Run::Detached)?;
        let made = gate::make(&making.place.gate())
            .and_then(|gate| making.launch(request, Some(&gate), Run::Detached));
        making.settle(made.map(drop))?;
        making.tell(&self.ear, "waits for start");
        Ok(())
    }

    /// Makes and starts a container: its exit code, or 0 if it is left alone.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub fn run(&self, request: &Create, run: Run) -> Result<i32> {
        let mut making = self.begin(request, run)?;
        let started = making.start(request, run);
        let Some((process, foreground)) = making.settle(started)? else {
            making.tell(&self.ear, "was started");
            return Ok(0);
        };
        making.tell(&self.ear, "was started");
        self.ear.timeline(&process, Begun::Container);
        // `exec`, `kill` and `delete` have work to do meanwhile.
        making.lock = None;
        own::forget_code();
        let code = foreground.supervise(process);
        making.tell(&self.ear, "has ended");
        match (run, code) {
            (Run::Kept | Run::Detached, Ok(code)) => Ok(code),
            (Run::Foreground, Ok(code)) => {
                let failed = making.remove()?;
                let failed: Vec<String> = failed.iter().map(ToString::to_string).collect();
                self.ear.tell(&failed);
                Ok(code)
            }
            (_, Err(error)) => making.settle(Err(error)),
        }
    }

    fn begin(&self, request: &Create, run: Run) -> Result<Making> {
        let id = Id::parse(&request.id)?;
        own::forget_code();
        let bundle = request.load()?;
        // Each phase needs other parts of the program; what is dropped comes back from the page cache.
        own::forget_code();
        self.ear.tell(&bundle.warnings);
        console::check(
            bundle.wants_terminal(),
            request.console_socket.as_deref(),
            run,
        )?;
        let place = Place::of(self, &id);
        place.make(&self.root)?;
        self.ear.step(|| {
            let (dir, root) = (bundle.dir.display(), bundle.rootfs.display());
            format!("container {id}: bundle {dir}, root file system {root}")
        });
        let linux = bundle.spec.linux().as_ref();
        if let Some(filter) = linux.and_then(|linux| linux.seccomp().as_ref()) {
            let flags = seccomp::flags(filter);
            self.ear.step(|| format!("seccomp filter flags: {flags}"));
        }
        let mut making = Making {
            record: Record::new(id, &bundle),
            place,
            bundle,
            lock: None,
        };
        let begun = making.write_down(self, request);
        making.settle(begun)?;
        Ok(making)
    }
}

impl Create {
    fn load(&self) -> Result<Bundle> {
        let mut bundle = Bundle::load(&self.bundle, self.config.as_deref())?;
        if let Some(process) = bundle.spec.process() {
            let told = ungranted(&bundle.spec, process)?;
            bundle.warnings.extend(told);
        }
        if let Some(process) = bundle.spec.process_mut() {
            add_listen_fds(process, self.listen_fds);
        }
        Ok(bundle)
    }

    fn inherited(&self) -> u32 {
        self.listen_fds.saturating_add(self.preserved_fds)
    }
}

/// What of its capabilities a process cannot get, in sentences. In a user namespace of its own it can get all.
pub(super) fn ungranted(spec: &Spec, of: &oci_spec::runtime::Process) -> Result<Vec<String>> {
    let Some(sets) = of.capabilities() else {
        return Ok(Vec::new());
    };
    let (permitted, bounding) = if init::all_namespaces(spec) & process::NEWUSER == 0 {
        (cred::permitted()?, cred::bounding())
    } else {
        (cred::Capabilities::MAX, cred::Capabilities::MAX)
    };
    Ok(caps::ungranted(sets, permitted, bounding))
}

/// Tells the program of its sockets (sd_listen_fds(3)).
pub(super) fn add_listen_fds(process: &mut oci_spec::runtime::Process, count: u32) {
    if count > 0 {
        let mut env = process.env().clone().unwrap_or_default();
        env.extend([format!("LISTEN_FDS={count}"), "LISTEN_PID=1".to_owned()]);
        process.set_env(Some(env));
    }
}

/// A container that is being made.
struct Making {
    place: Place,
    record: Record,
    bundle: Bundle,
    lock: Option<Lock>,
}

impl Making {
    fn write_down(&mut self, runtime: &Runtime, request: &Create) -> Result<()> {
        self.lock = Some(self.place.lock()?);
        if let Some(manager) = &request.notify_socket {
            notify::prepare(&self.place, &mut self.bundle.spec, manager)?;
        }
        let linux = self.bundle.spec.linux().as_ref();
        let path = linux.and_then(|linux| linux.cgroups_path().as_deref());
        self.record.cgroup = Some(runtime.groups(path, self.record.id.as_str())?);
        self.place.keep_config(&self.bundle.content)?;
        // Before anything is made: whoever finds it abandoned knows what to remove.
        self.place.write(&self.record)
    }

    fn tell(&self, ear: &Ear, what: &str) {
        ear.step(|| match (&self.record.process, &self.record.cgroup) {
            (Some(First { pid, .. }), Some(cgroup)) => {
                format!("container init: process {pid} in {} {what}", cgroup.label())
            }
            _ => format!("container init: {what}"),
        });
    }

    fn start(&mut self, request: &Create, run: Run) -> Result<Option<(Process, Foreground)>> {
        let foreground = match run {
            Run::Detached => None,
            Run::Foreground | Run::Kept => Some(Foreground::prepare()?),
        };
        let notify = Notify::listen(&self.place, request.notify_socket.as_deref())?;
        let process = self.launch(request, None, run)?;
        let hooks = self.bundle.spec.hooks().as_ref();
        hooks::run(hooks, Moment::Poststart, &self.record)?;
        match (foreground, notify, self.record.process) {
            (Some(foreground), notify, _) => Ok(Some((process, foreground.with(notify)))),
            (None, Some(notify), Some(first)) => notify.wait(first).map(|()| None),
            (None, _, _) => Ok(None),
        }
    }

    fn launch(&mut self, request: &Create, gate: Option<&OwnedFd>, run: Run) -> Result<Process> {
        let spec = &self.bundle.spec;
        let connect = |path: &Option<PathBuf>, flag| {
            let path = path.as_deref();
            path.map(|path| console::connect(path, flag)).transpose()
        };
        let mut witness = Witness {
            place: &self.place,
            record: &mut self.record,
            spec,
            console: connect(&request.console_socket, "--console-socket")?,
            pidfd: connect(&request.pidfd_socket, "--pidfd-socket")?,
            pid_file: request.pid_file.as_deref(),
        };
        let hooks = spec.hooks().as_ref();
        let outputs = hooks.map(|_| hooks::outputs(witness.record)).transpose()?;
        let cgroup = witness.record.cgroup.clone();
        let cgroup =
            cgroup.ok_or_else(|| Error::new(Kind::Internal, "the cgroup is not known yet"))?;
        let rootfs = Rootfs::Dir {
            path: self.bundle.rootfs.clone(),
        };
        let terminal = self.bundle.wants_terminal();
        let id = witness.record.id.to_string();
        let launch = Launch {
            spec,
            rootfs: &rootfs,
            cgroup: &cgroup,
            io: if terminal {
                Io::Terminal(console::size(self.bundle.process()?, run))
            } else {
                Io::Inherit
            },
            terms: Terms {
                outlives_parent: true,
                gate: gate.map(AsFd::as_fd),
                stops_when_mounted: hooks::any(hooks, Moment::Prestart)
                    || hooks::any(hooks, Moment::CreateRuntime),
                preserved_fds: request.inherited(),
                container: Some(Container {
                    id: &id,
                    bundle: &self.bundle.dir,
                }),
                no_pivot: request.no_pivot,
                hook_outputs: outputs.as_ref(),
                no_new_keyring: request.no_new_keyring,
            },
        };
        own::forget_code();
        launch::start_attended(&launch, &mut witness)
    }

    /// Passes a result on; after a failure nothing of the container is left.
    fn settle<T>(&mut self, result: Result<T>) -> Result<T> {
        result.inspect_err(|_| {
            let _ = teardown::end(&self.record);
            // What failed first is what is told.
            let _ = teardown::remove(&self.place, &self.record, Some(&self.bundle.spec));
        })
    }

    /// After its end. Somebody else may have removed it meanwhile. Hooks that failed are returned.
    fn remove(&mut self) -> Result<Vec<Error>> {
        let known = Known {
            place: self.place.clone(),
            record: self.record.clone(),
        };
        let Ok(_lock) = known.lock() else {
            return Ok(Vec::new());
        };
        teardown::remove(&self.place, &self.record, Some(&self.bundle.spec))
    }
}

/// Writes down and hands over what is known at each point.
struct Witness<'a> {
    place: &'a Place,
    record: &'a mut Record,
    spec: &'a Spec,
    console: Option<OwnedFd>,
    pidfd: Option<OwnedFd>,
    pid_file: Option<&'a Path>,
}

impl Witness<'_> {
    fn note(&mut self, pid: i32) -> Result<()> {
        let start = process::start_time(pid)?;
        self.record.process = Some(First { pid, start });
        Ok(())
    }
}

impl Attendant for Witness<'_> {
    fn mounted(&mut self, waiting: Waiting<'_>) -> Result<()> {
        self.note(waiting.pid)?;
        let hooks = self.spec.hooks().as_ref();
        hooks::run(hooks, Moment::Prestart, self.record)?;
        hooks::run(hooks, Moment::CreateRuntime, self.record)
    }

    fn prepared(&mut self, waiting: Waiting<'_>) -> Result<()> {
        own::forget_code();
        self.note(waiting.pid)?;
        self.place.write(self.record)?;
        console::hand_over(self.console.take(), self.pidfd.take(), waiting)?;
        // Last: who waits for the file finds everything else done.
        match self.pid_file {
            Some(path) => file::write_pid(path, waiting.pid).attempt(|| "--pid-file"),
            None => Ok(()),
        }
    }

    fn filtered(&mut self, waiting: Waiting<'_>, filter: BorrowedFd<'_>) -> Result<()> {
        let status = Status::Creating;
        listener::announce(self.spec, self.record, status, waiting.pid, filter)
    }
}
