//! The container's health: when a probe is due, the one that runs (`probe.rs`, a process of its own), and what its result
//! changes. Docker's rules (moby, `daemon/health.go`), but that a pause leaves the status as it is.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{HEALTH, Monitor, Phase, Plan, record};
use crate::engine::error::{Attempt, Error, Result};
use crate::engine::model::health::Probe;
use crate::engine::model::{ContainerId, HealthCheck, HealthStatus, Timestamp, go_duration};
use crate::engine::runtime::channel::{
    Channel, FrameKind, ProbeRequest, Report, Request, parse_report,
};
use crate::engine::runtime::client::Client;
use crate::engine::runtime::exec::Mark;
use crate::engine::runtime::probe;
use crate::engine::sys::poll::Poller;
use crate::engine::sys::stream::Got;
use crate::engine::sys::{host, socket};

/// Exit code of a probe that was ended because nobody wants its result.
const KILLED: i32 = 137;

/// Docker's for a probe that took too long or could not be run.
const NO_CODE: i32 = -1;

/// When to probe, and the probe that runs.
pub(super) struct Pulse {
    check: HealthCheck,
    command: Vec<String>,
    /// When the next one is due; `None` while none is wanted, or one runs.
    due: Option<Instant>,
    running: Option<Running>,
}

/// A probe and its supervisor, a child of ours.
struct Running {
    supervisor: Child,
    client: Client,
    id: String,
    /// Goes with it.
    _mark: Mark,
    start: Timestamp,
    /// Its result counts.
    wanted: bool,
    /// The process's exit code, for the event.
    code: i32,
    result: Option<(i32, String)>,
}

impl Pulse {
    /// For a container that is to be probed.
    pub(super) fn of(plan: &Plan) -> Option<Self> {
        let check = plan.health.clone()?;
        Some(Self {
            command: check.command(&plan.shell)?,
            check,
            due: None,
            running: None,
        })
    }

    /// When something is to be done: one probe at a time, also after a pause.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.due.filter(|_| self.running.is_none())
    }

    fn begin(&mut self, status: HealthStatus, since_start: Duration) {
        let wait = self.check.wait(status, since_start);
        self.due = Instant::now().checked_add(wait);
    }

    /// No probe from now on; the one that runs is ended, but not waited for.
    fn halt(&mut self, plan: &Plan) {
        self.due = None;
        if let Some(running) = &mut self.running
            && std::mem::take(&mut running.wanted)
        {
            let _ = probe::cancel(&running.client);
            running.note_end(plan);
        }
    }

    /// Starts a probe.
    fn start(
        &mut self,
        live: &Path,
        plan: &Plan,
        (pid, pid_start): (i32, u64),
        poller: &Poller,
    ) -> Result<()> {
        self.due = None;
        let (ours, theirs) = socket::pair()?;
        let supervisor = Command::new("/proc/self/exe")
            .arg0(probe::NAME)
            .arg(live)
            .env_clear()
            .stdin(theirs)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .attempt(|| "start a health probe")?;
        let channel = Channel::new(ours);
        // If it has ended already, its end is what is read.
        let _ = channel.request(&Request::Probe(ProbeRequest {
            pid,
            pid_start,
            command: self.command.clone(),
            timeout: self.check.timeout(),
        }));
        let mut client = Client::new(channel.into_stream());
        client.register(poller, HEALTH, true)?;
        let id = ContainerId::from_random(host::random_bytes());
        let id = id.map(|id| id.to_string()).unwrap_or_default();
        let running = self.running.insert(Running {
            supervisor,
            client,
            _mark: Mark::set(live, &id),
            id,
            start: Timestamp::now(),
            wanted: true,
            code: KILLED,
            result: None,
        });
        let command = self.command.join(" ");
        running.note(plan, &format!("exec_create: {command}"));
        running.note(plan, &format!("exec_start: {command}"));
        Ok(())
    }

    /// Hears the supervisor; the probe, once that has ended and if its result counts.
    fn listen(&mut self) -> Option<Running> {
        let running = self.running.as_mut()?;
        let got = running.client.receive();
        while let Ok(Some(frame)) = running.client.frame() {
            if frame.kind == FrameKind::Report {
                let Ok(report) = parse_report(&frame.payload) else {
                    continue;
                };
                if let Report::Probed(probed) = &report {
                    running.code = probed.code;
                }
                running.result = kept(report, self.check.timeout());
            }
        }
        if matches!(got, Ok(Got::Bytes(_) | Got::Nothing)) {
            return None;
        }
        let mut running = self.running.take()?;
        // It is ending, or has said something that nobody understands.
        let _ = running.supervisor.kill();
        let _ = running.supervisor.wait();
        running.wanted.then_some(running)
    }
}

impl Running {
    fn note(&self, plan: &Plan, action: &str) {
        record(plan, action, &[("execID", self.id.clone())]);
    }

    fn note_end(&self, plan: &Plan) {
        let code = ("exitCode", self.code.to_string());
        record(plan, "exec_die", &[("execID", self.id.clone()), code]);
    }

    fn into_probe(self) -> Probe {
        let (exit_code, output) = self.result.unwrap_or_else(|| {
            let lost = "the process that ran the probe was killed";
            (NO_CODE, lost.to_owned())
        });
        Probe {
            start: self.start,
            end: Timestamp::now(),
            exit_code,
            output,
        }
    }
}

/// Exit code and output as they are kept.
fn kept(report: Report, timeout: Duration) -> Option<(i32, String)> {
    match report {
        Report::Probed(probed) if probed.late => {
            let gap = if probed.output.is_empty() { "" } else { ": " };
            let text = format!(
                "Health check exceeded timeout ({}){gap}{}",
                go_duration::text(i64::try_from(timeout.as_nanos()).unwrap_or(i64::MAX)),
                probed.output
            );
            Some((NO_CODE, text))
        }
        Report::Probed(probed) => Some((probed.code, probed.output)),
        Report::Error { message, .. } => Some((NO_CODE, message)),
        Report::Started { .. } | Report::Done | Report::Exit(_) => None,
    }
}

impl Monitor {
    /// The container runs, for the first time or again.
    pub(super) fn begin_health(&mut self) {
        match &self.pulse {
            Some(_) => self.state.health.get_or_insert_default().begin(),
            None => self.state.health = None,
        }
    }

    /// Probes from now on, at their times.
    pub(super) fn resume_health(&mut self) {
        let Phase::Running(run) = &self.phase else {
            return;
        };
        let status = self.state.health.as_ref().map(|health| health.status);
        if let Some(pulse) = &mut self.pulse {
            pulse.begin(status.unwrap_or_default(), run.since.elapsed());
        }
    }

    /// Probes no more for now.
    pub(super) fn halt_health(&mut self) {
        if let Some(pulse) = &mut self.pulse {
            pulse.halt(&self.plan);
        }
    }

    /// A probe may be due.
    pub(super) fn check_health(&mut self, now: Instant) {
        let Some(pulse) = &mut self.pulse else { return };
        if pulse.deadline().is_none_or(|due| due > now) {
            return;
        }
        let main = (self.state.pid.unwrap_or(0), self.state.pid_start);
        if let Err(error) = pulse.start(&self.live, &self.plan, main, self.board.poller()) {
            let now = Timestamp::now();
            self.take_probe(probe_that_did_not_start(now, &error));
        }
    }

    /// The supervisor of a probe has said something.
    pub(super) fn hear_probe(&mut self) {
        let Some(running) = self.pulse.as_mut().and_then(Pulse::listen) else {
            return;
        };
        running.note_end(&self.plan);
        self.take_probe(running.into_probe());
    }

    fn take_probe(&mut self, probe: Probe) {
        if let (Some(pulse), Some(health), Some(started)) =
            (&self.pulse, &mut self.state.health, self.state.started_at)
        {
            let changed = health.take(probe, &pulse.check, started);
            // Whoever sees the event finds the state.
            let _ = self.write_live_state();
            if let Some(status) = changed {
                let action = format!("health_status: {}", status.as_str());
                record(&self.plan, &action, &[]);
            }
        }
        self.resume_health();
    }
}

fn probe_that_did_not_start(now: Timestamp, error: &Error) -> Probe {
    Probe {
        start: now,
        end: now,
        exit_code: NO_CODE,
        output: error.to_string(),
    }
}
