//! The monitor: one small process for each running container, its parent. It owns the start, the log,
//! the terminal, attached fronts, the exit status, the restart policy and the teardown.
//!
//! ```text
//! lock, plan ─> launch ─> running ──process ends──> back-off ──time is over──> launch …
//!                 │          │                        │
//!                 │ error    │ policy says no, stop   │ stop
//!                 v          v                        v
//!               report     tear down (teardown.rs) ─> answer whoever waits ─> exit
//! ```
//!
//! It never waits for anything but all of its descriptors at once: fronts by `switchboard.rs`, the rest here.

mod around;
mod health;
mod held;
mod joined;
mod networks;
mod plan;
mod teardown;

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use oci_spec::runtime::Spec;

pub use around::any as is_attended;
use around::{Around, Connects};
use health::Pulse;
pub use held::Held;
pub use joined::{Joined, JoinedKind, resolve};
pub use networks::{Networks, NoNetworks, TOKENS};
pub use plan::{Mounted, PLAN_VERSION, Plan};
pub(super) use teardown::record;
use teardown::{Fate, live_state, read_state, record_volumes, tear_down, write_state};
pub use teardown::{Recovered, leave, recover, remove_directory, sweep};

use super::cgroup::{self, Cgroup, Hierarchy, OomWatch};
use super::channel::{Channel, Exit, FrameKind, Report, Request, parse_request};
use super::client::Client;
use super::labels;
use super::launch::{self, Io, Launch, Process, Streams};
use super::log::Log;
use super::restart::{self, Ended};
use super::seal;
use super::switchboard::{Asked, Switchboard};
use super::terms::{Container, Terms};
use crate::engine::error::{Error, Kind, Result};
use crate::engine::model::network::Attachment;
use crate::engine::model::request::{AttachTo, TerminalSize};
use crate::engine::model::signal;
use crate::engine::model::{State, Status, Timestamp};
use crate::engine::sys::file::{self, Durability};
use crate::engine::sys::lock_record::{self, RecordLock};
use crate::engine::sys::poll::{Interest, Ready};
use crate::engine::sys::signal::Signals;
use crate::engine::sys::{node, own, socket};

const SIGKILL: i32 = 9;
const SIGTERM: i32 = 15;
const SIGINT: i32 = 2;

const SIGNALS: u64 = 0;
const LISTENER: u64 = 1;
const PROCESS: u64 = 2;
const OOM: u64 = 3;
const LOG: u64 = 4;
const HEALTH: u64 = 5;

/// After so long without anything to do, memory is given back.
pub(super) const QUIET: Duration = Duration::from_secs(1);

const READ: Interest = Interest {
    read: true,
    write: false,
};

/// A monitor's whole life; the exit code of its process. Descriptor 0 is the socket of the front that spawned it.
#[must_use]
pub fn main(live: &Path, networks: Box<dyn Networks>) -> u8 {
    cgroup::leave_unit();
    own::leave_starter();
    own::set_name(c"wharf-monitor");
    let sealed = seal::ensure();
    let Ok(front) = own::take_stdin() else {
        return 1;
    };
    let mut front = Channel::new(front);
    match sealed.and_then(|()| begin(live, &mut front, networks)) {
        Ok(begun) => {
            let (mut monitor, attach, pid) = begun;
            monitor.answer_start(front, attach, pid);
            monitor.remember_running();
            monitor.run();
            monitor.finish();
            0
        }
        Err(error) => {
            let mut client = Client::new(front.into_stream());
            let _ = client.report(&Report::error(&error));
            while !client.hand_over() {}
            1
        }
    }
}

/// Everything up to the running container. After an error nothing of it is left but the record of the error.
fn begin(
    live: &Path,
    front: &mut Channel,
    networks: Box<dyn Networks>,
) -> Result<(Monitor, Option<AttachTo>, i32)> {
    let signals = Signals::take()?;
    let (attach, restart_count) = start_request(front)?;
    let Some(lock) = lock_record::take(&live.join("monitor.lock"))? else {
        return Err(Error::conflict("the container has a monitor already"));
    };
    let plan = Plan::read(live)?
        .ok_or_else(|| Error::not_found(format!("no plan in {}", live.display())))?;
    let before = read_state(&plan.state)?.unwrap_or_default();
    let state = State {
        monitor: i32::try_from(std::process::id()).ok(),
        restart_count,
        stopped_by_user: false,
        error: String::new(),
        oom_killed: false,
        ..before.clone()
    };
    let give_up = |error: Error, networks: &mut dyn Networks| {
        let failed = State {
            exit_code: code_of(&error),
            error: error.to_string(),
            ..before
        };
        // What cannot be torn down now is found by whoever looks next; the first error is the one to report.
        let done = tear_down(live, &plan, &failed, Fate::AsPlanned, networks);
        let _ = done.discard_all(networks);
        error
    };
    let mut monitor = match Monitor::new(live, &plan, state, signals, lock, networks) {
        Ok(monitor) => monitor,
        Err(error) => return Err(give_up(error, &mut NoNetworks)),
    };
    match monitor.launch(attach.and_then(|to| to.size)) {
        Ok(pid) => Ok((monitor, attach, pid)),
        Err(error) => Err(give_up(error, &mut *monitor.networks)),
    }
}

fn start_request(front: &mut Channel) -> Result<(Option<AttachTo>, u32)> {
    let frame = front
        .frame()?
        .filter(|frame| frame.kind == FrameKind::Request)
        .ok_or_else(|| Error::invalid("a monitor is started by wharf itself"))?;
    match parse_request(&frame.payload)? {
        Request::Start {
            attach,
            restart_count,
        } => Ok((attach, restart_count)),
        Request::Exec(_)
        | Request::Probe(_)
        | Request::Attach(_)
        | Request::Signal { .. }
        | Request::Stop { .. }
        | Request::Pause
        | Request::Unpause
        | Request::Wait
        | Request::Resize(_)
        | Request::Connect(_)
        | Request::Disconnect { .. }
        | Request::Reread => Err(Error::invalid("a monitor's first request is to start")),
    }
}

/// Docker's exit codes of a container that could not be started.
fn code_of(error: &Error) -> i32 {
    match error.kind() {
        Kind::CommandNotFound => 127,
        Kind::CommandNotRunnable => 126,
        Kind::InvalidInput
        | Kind::NotFound
        | Kind::AlreadyExists
        | Kind::Conflict
        | Kind::Unauthorized
        | Kind::Denied
        | Kind::Unsupported
        | Kind::Unavailable
        | Kind::NoSpace
        | Kind::Timeout
        | Kind::Cancelled
        | Kind::Internal => 128,
    }
}

struct Monitor {
    live: PathBuf,
    plan: Plan,
    state: State,
    board: Switchboard,
    signals: Signals,
    listener: UnixListener,
    cgroup: Cgroup,
    oom: Option<OomWatch>,
    log: Log,
    phase: Phase,
    /// Its health, if that is probed.
    pulse: Option<Pulse>,
    /// When a stop has lasted too long.
    kill_at: Option<Instant>,
    /// SIGKILL is on its way to what runs.
    killed: bool,
    /// A front or the host wants it to end: no restart.
    stopping: bool,
    /// That was `stop`, which has an event of its own.
    stop_asked: bool,
    fate: Fate,
    /// Delay before the current run.
    delay: Option<Duration>,
    /// When it was last busy; `None` once memory was given back.
    busy: Option<Instant>,
    /// What connects it.
    networks: Box<dyn Networks>,
    /// Held until the process ends, however it ends.
    _lock: RecordLock,
}

enum Phase {
    Running(Run),
    BackOff { until: Instant },
    Over,
}

struct Run {
    process: Process,
    since: Instant,
    /// The cgroup's counter when it started, and when it was last looked at.
    oom_kills: (u64, u64),
}

impl Monitor {
    fn new(
        live: &Path,
        plan: &Plan,
        state: State,
        signals: Signals,
        lock: RecordLock,
        networks: Box<dyn Networks>,
    ) -> Result<Self> {
        let board = Switchboard::new(plan.stdin_once)?;
        let socket_path = live.join("ctl.sock");
        file::remove_file(&socket_path)?;
        let listener = socket::listen(&socket_path)?;
        board.poller().add(&signals, SIGNALS, READ)?;
        board.poller().add(&listener, LISTENER, READ)?;
        let log = Log::open(&plan.log, &plan.log_config, &plan.log_about)?;
        Ok(Self {
            live: live.to_owned(),
            plan: plan.clone(),
            state,
            board,
            signals,
            listener,
            cgroup: Hierarchy::detect()?.container(&plan.cgroup_parent, &plan.id),
            oom: None,
            log,
            phase: Phase::Over,
            pulse: Pulse::of(plan),
            kill_at: None,
            killed: false,
            stopping: false,
            stop_asked: false,
            fate: Fate::AsPlanned,
            delay: None,
            busy: Some(Instant::now()),
            networks,
            _lock: lock,
        })
    }

    /// Starts the process, for the first time or again.
    fn launch(&mut self, size: Option<TerminalSize>) -> Result<i32> {
        let oom_kills = self.cgroup.oom_kills().unwrap_or(0);
        let launched = self.launch_process(size);
        let (mut process, held) = launched.inspect_err(|_| {
            // What went wrong before is what there is to say.
            let _ = self.networks.detach(&self.plan, &self.live);
        })?;
        let streams = std::mem::replace(&mut process.streams, Streams::Inherited);
        let pid = process.pid;
        self.state.status = Status::Running;
        self.state.pid = Some(pid);
        self.state.pid_start = process.pid_start;
        self.state.started_at = Some(Timestamp::now());
        self.state.oom_killed = false;
        self.state.error = String::new();
        self.begin_health();
        let connected = self
            .board
            .plug(streams)
            .and_then(|()| self.board.poller().add(&process.pidfd, PROCESS, READ))
            .and_then(|()| self.write_live_state());
        drop(held);
        if let Err(error) = connected {
            // It must not run where nobody can reach it; the teardown removes what is left of it.
            let _ = process.signal(SIGKILL);
            let _ = process.wait();
            self.board.unplug(&mut |_, _| {});
            let _ = self.networks.detach(&self.plan, &self.live);
            return Err(error);
        }
        if self.oom.is_none() {
            self.oom = self.cgroup.oom_watch().ok();
            if let Some(watch) = &self.oom {
                // Without it, the counter is still looked at in the end.
                let _ = self.board.poller().add(watch, OOM, READ);
            }
        }
        self.phase = Phase::Running(Run {
            process,
            since: Instant::now(),
            oom_kills: (oom_kills, oom_kills),
        });
        record_volumes(&self.plan, "mount");
        record(&self.plan, "start", &[]);
        self.resume_health();
        Ok(pid)
    }

    /// The process, and the locks of what it shares, which are for until its state is written.
    fn launch_process(&mut self, size: Option<TerminalSize>) -> Result<(Process, Vec<file::Lock>)> {
        // The specification is large and needed for a moment only.
        let path = self.live.join("config.json");
        let mut spec = Spec::load(&path).map_err(|error| {
            Error::new(Kind::Internal, format!("read {}", path.display())).caused_by(error)
        })?;
        resolve(&mut spec, &self.plan.joined)?;
        let held = held::share(&mut spec, &self.plan, &self.live)?;
        labels::profile(&spec)
            .unwrap_or_default()
            .clone_into(&mut self.state.apparmor_profile);
        let io = if self.plan.tty {
            Io::Terminal(size)
        } else {
            Io::Pipes {
                stdin: self.plan.open_stdin,
            }
        };
        let mut around = Around {
            spec: &spec,
            id: self.plan.id.as_str(),
            bundle: &self.live,
            connects: Some(Connects {
                plan: &self.plan,
                networks: &mut *self.networks,
                poller: self.board.poller(),
            }),
        };
        let terms = Terms {
            stops_when_mounted: around.stops_when_mounted(),
            container: Some(Container {
                id: self.plan.id.as_str(),
                bundle: &self.live,
            }),
            ..Terms::default()
        };
        let launch = Launch {
            spec: &spec,
            rootfs: &self.plan.rootfs,
            cgroup: &self.cgroup,
            io,
            terms,
        };
        let process = launch::start_attended(&launch, &mut around)?;
        around.started(process.pid).inspect_err(|_| {
            let _ = process.signal(SIGKILL);
            let _ = process.wait();
        })?;
        Ok((process, held))
    }

    /// Tells the front that spawned us, which stays if it wants to be attached.
    fn answer_start(&mut self, front: Channel, attach: Option<AttachTo>, pid: i32) {
        let mut client = Client::new(front.into_stream());
        client.attached = attach;
        client.first = true;
        let at = self.board.connect(client);
        self.board.report(at, &Report::Started { pid });
        if attach.is_none() {
            self.board.close(at);
        }
    }

    /// Leaves "it runs" where a reboot does not wipe it: who looks then knows that it was ended by the host, and what
    /// its restart policy says. Without it, an older story would be told.
    fn remember_running(&self) {
        let _ = write_state(&self.plan.state, &self.state, Durability::Unsynced);
    }

    fn run(&mut self) {
        while !matches!(self.phase, Phase::Over) {
            self.board.hold_output(self.log.holds_up());
            // Without room to wait for, entries go out with the next ones.
            let _ = self.log.register(self.board.poller(), LOG);
            let Ok(all) = self.board.wait(self.deadline()) else {
                // Out of kernel memory, at worst: the container must not run without a monitor that sees it.
                self.kill_now();
                return;
            };
            if !all.is_empty() {
                self.busy = Some(Instant::now());
            }
            for ready in all {
                self.handle(ready);
            }
            self.tick();
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let back_off = match &self.phase {
            Phase::BackOff { until } => Some(*until),
            Phase::Running(_) | Phase::Over => None,
        };
        let quiet = self.busy.map(|since| since + QUIET);
        let probe = self.pulse.as_ref().and_then(Pulse::deadline);
        [
            back_off,
            self.kill_at,
            quiet,
            probe,
            self.networks.deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn tick(&mut self) {
        let now = Instant::now();
        if self.kill_at.is_some_and(|at| at <= now) {
            self.kill_at = None;
            record(&self.plan, "kill", &[("signal", SIGKILL.to_string())]);
            self.kill_now();
        }
        if matches!(self.phase, Phase::BackOff { until } if until <= now) {
            self.start_again();
        }
        self.check_health(now);
        if self.networks.deadline().is_some_and(|at| at <= now) {
            self.networks.tick(now, self.board.poller());
        }
        if self.busy.is_some_and(|since| since + QUIET <= now) {
            self.busy = None;
            self.networks.rest();
            self.board.rest();
        }
    }

    fn handle(&mut self, ready: Ready) {
        match ready.token {
            SIGNALS => self.take_signals(),
            LISTENER => self.accept(),
            PROCESS => self.collect(),
            OOM => self.notice_oom(),
            LOG => self.log.resume(self.board.poller()),
            HEALTH => self.hear_probe(),
            TOKENS.. => {
                let poller = self.board.poller();
                self.networks.handle(&self.plan, ready, poller);
            }
            _ => {
                let mut asked = Vec::new();
                let log = &mut self.log;
                let now = Timestamp::now();
                self.board.handle(
                    ready,
                    &mut |stream, bytes| log.append(stream, bytes, now),
                    &mut asked,
                );
                for Asked { front, request } in asked {
                    self.serve(front, &request);
                }
            }
        }
    }

    fn take_signals(&mut self) {
        while let Ok(Some(number)) = self.signals.next() {
            if matches!(number, SIGTERM | SIGINT) {
                // The host goes down: not the user's wish, so that `always` starts it again after the boot.
                self.stop(None, None);
            }
        }
    }

    fn accept(&mut self) {
        while let Ok(Some(stream)) = socket::accept(&self.listener) {
            self.board.connect(Client::new(stream));
        }
    }

    fn serve(&mut self, front: usize, request: &Request) {
        let result = match request {
            Request::Wait => {
                self.let_wait(front);
                return;
            }
            Request::Stop {
                signal,
                timeout,
                keep,
            } => {
                self.let_wait(front);
                self.state.stopped_by_user = true;
                self.stop_asked = true;
                if *keep {
                    self.fate = Fate::Kept;
                }
                self.stop(*signal, *timeout);
                return;
            }
            Request::Signal { number } => self.signal(*number),
            Request::Pause => self.pause(),
            Request::Unpause => self.unpause(),
            Request::Resize(size) => {
                if self.board.resize(*size) {
                    Ok(())
                } else {
                    Err(self.conflict("has no terminal"))
                }
            }
            Request::Reread => self.reread(),
            Request::Connect(attachment) => self.connect(attachment),
            Request::Disconnect { network } => self.disconnect(network),
            Request::Start { .. } | Request::Exec(_) | Request::Probe(_) | Request::Attach(_) => {
                Err(Error::invalid("a monitor cannot do that"))
            }
        };
        let report = match result {
            Ok(()) => Report::Done,
            Err(error) => Report::error(&error),
        };
        self.board.report(front, &report);
    }

    /// The network namespace of what runs.
    fn namespace(&self) -> Result<OwnedFd> {
        let Phase::Running(run) = &self.phase else {
            return Err(self.conflict("is not running"));
        };
        let path = format!("/proc/{}/ns/net", run.process.pid);
        node::open(Path::new(&path))
    }

    fn connect(&mut self, attachment: &Attachment) -> Result<()> {
        let namespace = self.namespace()?;
        self.networks.connect(
            &self.plan,
            &self.live,
            namespace.as_fd(),
            attachment,
            self.board.poller(),
        )?;
        if let Some(networking) = &mut self.plan.networking {
            networking.attachments.push(attachment.clone());
        }
        self.plan.write(&self.live)
    }

    fn disconnect(&mut self, network: &str) -> Result<()> {
        let namespace = self.namespace()?;
        self.networks.disconnect(
            &self.plan,
            &self.live,
            namespace.as_fd(),
            network,
            self.board.poller(),
        )?;
        if let Some(networking) = &mut self.plan.networking {
            networking.attachments.retain(|one| one.network != network);
        }
        self.plan.write(&self.live)
    }

    /// Takes over what may change while the container lives.
    fn reread(&mut self) -> Result<()> {
        let Some(plan) = Plan::read(&self.live)? else {
            return Err(self.conflict("has no plan any more"));
        };
        self.plan.name = plan.name;
        self.plan.restart = plan.restart;
        self.plan.auto_remove = plan.auto_remove;
        Ok(())
    }

    fn let_wait(&mut self, front: usize) {
        if let Some(client) = self.board.front(front) {
            client.waits = true;
        }
    }

    fn conflict(&self, what: &str) -> Error {
        Error::conflict(format!("container {} {what}", self.plan.name))
    }

    /// Begins to stop it, or shortens the time that it has left.
    fn stop(&mut self, signal: Option<i32>, timeout: Option<i64>) {
        self.stopping = true;
        self.halt_health();
        let signal = signal.unwrap_or(self.plan.stop_signal);
        let timeout = timeout.unwrap_or(self.plan.stop_timeout);
        match &self.phase {
            Phase::Over => {}
            Phase::BackOff { .. } => self.phase = Phase::Over,
            Phase::Running(run) => {
                record(&self.plan, "kill", &[("signal", signal.to_string())]);
                let _ = run.process.signal(signal);
                // A frozen process takes no signal.
                self.thaw();
                match u64::try_from(timeout) {
                    _ if signal == SIGKILL => self.kill_now(),
                    Ok(seconds) => {
                        let at = Instant::now().checked_add(Duration::from_secs(seconds));
                        self.kill_at = match (self.kill_at, at) {
                            (Some(a), Some(b)) => Some(a.min(b)),
                            (a, b) => a.or(b),
                        };
                    }
                    // Negative: without limit.
                    Err(_) => {}
                }
            }
        }
        let _ = self.write_live_state();
    }

    fn kill_now(&mut self) {
        self.killed = true;
        if let Phase::Running(run) = &self.phase {
            let _ = run.process.signal(SIGKILL);
        }
        let _ = self.cgroup.kill_all();
        self.thaw();
    }

    fn thaw(&mut self) {
        if self.state.status == Status::Paused {
            let _ = self.cgroup.thaw();
            self.state.status = Status::Running;
        }
    }

    fn signal(&mut self, number: i32) -> Result<()> {
        let ends_it = number == SIGKILL || number == self.plan.stop_signal;
        match &self.phase {
            Phase::Running(run) => {
                run.process.signal(number)?;
                record(&self.plan, "kill", &[("signal", number.to_string())]);
                if ends_it {
                    // As Docker: killed by hand, it is not started again.
                    self.stopping = true;
                    self.state.stopped_by_user = true;
                }
                if number == SIGKILL {
                    self.killed = true;
                    self.thaw();
                }
                let _ = self.write_live_state();
                Ok(())
            }
            Phase::BackOff { .. } if ends_it => {
                self.stopping = true;
                self.state.stopped_by_user = true;
                self.phase = Phase::Over;
                Ok(())
            }
            Phase::BackOff { .. } | Phase::Over => Err(self.conflict("is not running")),
        }
    }

    fn pause(&mut self) -> Result<()> {
        match self.state.status {
            // Frozen now, it would never end (cgroup-v1/freezer-subsystem.rst), nor would whoever waits for that.
            Status::Running if self.killed => return Err(self.conflict("is not running")),
            Status::Running => {}
            Status::Paused => return Err(self.conflict("is already paused")),
            Status::Restarting => return Err(self.conflict("is restarting")),
            Status::Created | Status::Removing | Status::Exited | Status::Dead => {
                return Err(self.conflict("is not running"));
            }
        }
        self.halt_health();
        if let Err(error) = self.cgroup.freeze() {
            self.resume_health();
            return Err(error);
        }
        self.state.status = Status::Paused;
        self.write_live_state()?;
        record(&self.plan, "pause", &[]);
        Ok(())
    }

    fn unpause(&mut self) -> Result<()> {
        if self.state.status != Status::Paused {
            return Err(self.conflict("is not paused"));
        }
        self.cgroup.thaw()?;
        self.state.status = Status::Running;
        self.resume_health();
        self.write_live_state()?;
        record(&self.plan, "unpause", &[]);
        Ok(())
    }

    fn notice_oom(&mut self) {
        if let Some(watch) = &self.oom
            && watch.clear().is_err()
        {
            let _ = self.board.poller().remove(watch);
        }
        self.count_oom_kills();
    }

    /// Looks at the counter; whether it has risen in this run.
    fn count_oom_kills(&mut self) -> bool {
        let Phase::Running(run) = &mut self.phase else {
            return false;
        };
        let (at_start, seen) = &mut run.oom_kills;
        let now = self.cgroup.oom_kills().unwrap_or(*seen);
        let risen = now > *seen;
        *seen = now;
        let in_this_run = now > *at_start;
        if risen {
            record(&self.plan, "oom", &[]);
        }
        in_this_run
    }

    /// The process may have ended.
    fn collect(&mut self) {
        let Phase::Running(run) = &self.phase else {
            return;
        };
        let code = match run.process.try_wait() {
            Ok(None) => return,
            Ok(Some(code)) => code,
            // It is gone, and how is not known.
            Err(_) => 128 + SIGKILL,
        };
        let ran = run.since.elapsed();
        self.state.oom_killed = self.count_oom_kills();
        self.phase = Phase::Over;
        self.kill_at = None;
        self.killed = false;
        self.halt_health();
        self.state.end_health();
        self.end_streams();
        // Nobody is to find it at its addresses any more; what fails here is tried again by the teardown.
        let _ = self.networks.detach(&self.plan, &self.live);
        // It ended just when it was paused, or was killed while it was: the next process must not be born frozen.
        self.thaw();
        self.state.status = Status::Exited;
        self.state.pid = None;
        self.state.pid_start = 0;
        self.state.exit_code = code;
        self.state.finished_at = Some(Timestamp::now());
        let again = restart::decide(
            self.plan.restart,
            Ended {
                code,
                ran,
                stopped: self.stopping,
                restarts: self.state.restart_count,
                delay: self.delay,
            },
        );
        if let Some(delay) = again {
            self.delay = Some(delay);
            self.state.status = Status::Restarting;
            self.state.restart_count += 1;
            self.phase = Phase::BackOff {
                until: Instant::now() + delay,
            };
        }
        // Whoever sees the event finds the state.
        let _ = self.write_live_state();
        record(
            &self.plan,
            "die",
            &[
                ("exitCode", code.to_string()),
                ("execDuration", ran.as_secs().to_string()),
            ],
        );
        record_volumes(&self.plan, "unmount");
        if matches!(self.phase, Phase::BackOff { .. }) {
            self.board.part(Exit {
                code,
                oom_killed: self.state.oom_killed,
            });
            // What cannot be removed now goes with the namespace.
            let _ = self.networks.clear();
        }
    }

    fn end_streams(&mut self) {
        let log = &mut self.log;
        let now = Timestamp::now();
        self.board
            .unplug(&mut |stream, bytes| log.append(stream, bytes, now));
        log.end(now);
    }

    fn start_again(&mut self) {
        // Of the last run, in case it was not alone in its pid namespace.
        let _ = self.cgroup.kill_all();
        let _ = around::after(&self.live, &self.plan);
        if let Err(error) = self.launch(self.board.size()) {
            self.state.status = Status::Exited;
            self.state.exit_code = code_of(&error);
            self.state.error = error.to_string();
            self.phase = Phase::Over;
        }
    }

    /// It is over: tears everything down, then tells whoever waits.
    fn finish(mut self) {
        if let Phase::Running(run) = &self.phase {
            // Only after a failure of our own.
            let _ = run.process.wait();
            self.state.exit_code = 128 + SIGKILL;
            self.state.finished_at = Some(Timestamp::now());
            self.state.end_health();
            self.end_streams();
        }
        self.state.status = Status::Exited;
        self.state.pid = None;
        self.state.monitor = None;
        let _ = self.write_live_state();
        if self.stop_asked {
            record(&self.plan, "stop", &[]);
        }
        self.log = Log::nowhere();
        self.oom = None;
        // What could not be removed is left to whoever looks next; there is nobody to tell.
        let networks = &mut *self.networks;
        let done = tear_down(&self.live, &self.plan, &self.state, self.fate, networks);
        self.board.finish(Exit {
            code: self.state.exit_code,
            oom_killed: self.state.oom_killed,
        });
        let _ = done.discard_all(&mut *self.networks);
    }

    fn write_live_state(&self) -> Result<()> {
        write_state(&live_state(&self.live), &self.state, Durability::Unsynced)
    }
}

/// What a living monitor says its container is doing; `None` if it has not said anything.
///
/// # Errors
/// What the file system says.
pub fn read_live_state(live: &Path) -> Result<Option<State>> {
    read_state(&live_state(live))
}

/// The signal that a container's `stop` sends, from its configuration.
///
/// # Errors
/// [`Kind::InvalidInput`] if there is no such signal.
pub fn stop_signal(configured: Option<&str>) -> Result<i32> {
    let Some(text) = configured.filter(|text| !text.is_empty()) else {
        return Ok(SIGTERM);
    };
    signal::parse(text).ok_or_else(|| Error::invalid(format!("invalid signal: {text}")))
}
