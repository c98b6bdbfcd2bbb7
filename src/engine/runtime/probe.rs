//! A health probe: runs one command in a container for its monitor, which starts this process (`wharf-probe`) and gets one
//! report of it. A monitor cannot do that itself: whoever enters a pid namespace has its later children in there.
//!
//! When the monitor closes its side the probe is ended: the container is being stopped or paused, or the monitor is gone.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Instant;

use oci_spec::runtime::Spec;

use super::cgroup::{Cgroup, Hierarchy};
use super::channel::{Channel, FrameKind, ProbeRequest, Probed, Report, Request, parse_request};
use super::client::Client;
use super::join::{self, Join};
use super::launch::{Io, Process, Streams};
use super::monitor::Plan;
use super::seal;
use super::spec;
use super::terms::{Container, Terms};
use crate::engine::error::{Error, Kind, Result};
use crate::engine::model::{health, request};
use crate::engine::sys::poll::{Interest, Poller};
use crate::engine::sys::stream::{self, Got};
use crate::engine::sys::{own, process, socket};

/// `argv[0]` of this process. Its one argument is the live directory.
pub const NAME: &str = "wharf-probe";

const SIGKILL: i32 = 9;
const SIGSTOP: i32 = 19;

const PROCESS: u64 = 0;
const MONITOR: u64 = 1;
const OUTPUT: u64 = 2;

const READ: Interest = Interest {
    read: true,
    write: false,
};

/// The whole life of that process; its exit code. Descriptor 0 is the monitor's socket.
#[must_use]
pub fn main(live: &Path) -> u8 {
    own::leave_starter();
    own::set_name(c"wharf-probe");
    let sealed = seal::ensure();
    let Ok(monitor) = own::take_stdin() else {
        return 1;
    };
    let mut monitor = Channel::new(monitor);
    let (report, code) = match sealed.and_then(|()| probe(live, &mut monitor)) {
        Ok(probed) => (Report::Probed(probed), 0),
        Err(error) => (Report::error(&error), 1),
    };
    let mut client = Client::new(monitor.into_stream());
    // A monitor that is gone wants no report.
    if client.report(&report).is_ok() {
        while !client.hand_over() {}
    }
    code
}

fn probe(live: &Path, monitor: &mut Channel) -> Result<Probed> {
    let request = probe_request(monitor)?;
    let plan = Plan::read(live)?.ok_or_else(|| Error::conflict("the container is not running"))?;
    let path = live.join("config.json");
    let spec = Spec::load(&path).map_err(|error| {
        Error::new(Kind::Internal, format!("read {}", path.display())).caused_by(error)
    })?;
    let wanted = request::Exec {
        cmd: request.command,
        ..request::Exec::default()
    };
    let cgroup = Hierarchy::detect()?.container(&plan.cgroup_parent, &plan.id);
    let process = join::start(&Join {
        pid: request.pid,
        pid_start: request.pid_start,
        spec: &spec,
        process: &spec::exec_process(&spec, &wanted)?,
        cgroup: &cgroup,
        io: Io::Pipes { stdin: false },
        terms: Terms {
            container: Some(Container {
                id: plan.id.as_str(),
                bundle: live,
            }),
            ..Terms::default()
        },
    })?;
    // What came before is not the probe's time.
    let deadline = Instant::now().checked_add(request.timeout);
    Running::new(process, cgroup).and_then(|running| running.watch(monitor, deadline))
}

fn probe_request(monitor: &mut Channel) -> Result<ProbeRequest> {
    let not_ours = || Error::invalid("a probe is started by a monitor");
    let frame = monitor
        .frame()?
        .filter(|frame| frame.kind == FrameKind::Request)
        .ok_or_else(not_ours)?;
    match parse_request(&frame.payload)? {
        Request::Probe(request) => Ok(request),
        Request::Start { .. }
        | Request::Exec(_)
        | Request::Attach(_)
        | Request::Signal { .. }
        | Request::Stop { .. }
        | Request::Pause
        | Request::Unpause
        | Request::Wait
        | Request::Resize(_)
        | Request::Connect(_)
        | Request::Disconnect { .. }
        | Request::Reread => Err(not_ours()),
    }
}

/// The probe at work.
struct Running {
    process: Process,
    cgroup: Cgroup,
    poller: Poller,
    /// Standard output and error, while they are open.
    streams: [Option<OwnedFd>; 2],
    output: Output,
}

impl Running {
    fn new(mut process: Process, cgroup: Cgroup) -> Result<Self> {
        let streams = match std::mem::replace(&mut process.streams, Streams::Inherited) {
            Streams::Pipes { stdout, stderr, .. } => [Some(stdout), Some(stderr)],
            Streams::Terminal(_) | Streams::Inherited => [None, None],
        };
        let running = Self {
            process,
            cgroup,
            poller: Poller::new()?,
            streams,
            output: Output::default(),
        };
        match running.register() {
            Ok(()) => Ok(running),
            Err(error) => {
                let _ = running.kill();
                Err(error)
            }
        }
    }

    fn register(&self) -> Result<()> {
        for (stream, token) in self.streams.iter().zip(OUTPUT..) {
            if let Some(stream) = stream {
                stream::set_nonblocking(stream)?;
                self.poller.add(stream, token, READ)?;
            }
        }
        self.poller.add(&self.process.pidfd, PROCESS, READ)
    }

    /// Until it has ended, or must.
    fn watch(mut self, monitor: &Channel, deadline: Option<Instant>) -> Result<Probed> {
        self.poller.add(monitor, MONITOR, READ)?;
        let (code, late) = loop {
            let patience = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            let mut ended = None;
            let mut unwanted = false;
            for ready in self.poller.wait(patience)? {
                match ready.token {
                    PROCESS => ended = self.process.try_wait()?,
                    // It says nothing more: this is its end.
                    MONITOR => unwanted = true,
                    token => self.read(token),
                }
            }
            if let Some(code) = ended {
                break (code, false);
            }
            let late = deadline.is_some_and(|at| at <= Instant::now());
            if late || unwanted {
                break (self.kill()?, late);
            }
        };
        // Whatever it wrote is in the pipes by now; if something that it left behind still writes, that is not of it.
        self.read(OUTPUT);
        self.read(OUTPUT + 1);
        Ok(Probed {
            code,
            late,
            output: self.output.text(),
        })
    }

    /// Reads what is there of one stream.
    fn read(&mut self, token: u64) {
        let at = usize::from(token != OUTPUT);
        let Some(slot) = self.streams.get_mut(at) else {
            return;
        };
        let Some(stream) = slot else { return };
        // One pipe's worth: whoever writes faster is read again after a look at the clock.
        for _ in 0..16 {
            let mut buffer = Vec::with_capacity(4096);
            match stream::read_now(stream, &mut buffer) {
                Ok(Got::Bytes(_)) => self.output.take(&buffer),
                Ok(Got::Nothing) => return,
                Ok(Got::End) | Err(_) => {
                    *slot = None;
                    return;
                }
            }
        }
    }

    /// Ends the probe with all that it has started, and waits for it: its exit code.
    fn kill(&self) -> Result<i32> {
        kill_whole(&self.cgroup, self.process.pid);
        let _ = self.process.signal(SIGKILL);
        self.process.wait()
    }
}

/// Kills a process of a container with its descendants and its session, by what `/proc` says. All are stopped before the
/// first is killed, so that nobody has a child meanwhile that is not seen. What made itself a session of its own and has
/// lost its parent is not found: that is a daemon, and stays, as with a probe that ended by itself.
fn kill_whole(cgroup: &Cgroup, leader: i32) {
    let mut family = BTreeSet::from([leader]);
    let mut stopped = BTreeSet::new();
    while stopped.len() < family.len() {
        for pid in family.difference(&stopped) {
            let _ = process::kill(*pid, SIGSTOP);
        }
        stopped.clone_from(&family);
        let all = cgroup.pids().unwrap_or_default();
        let of_it: Vec<i32> = all
            .into_iter()
            .filter(|pid| {
                process::parent_and_session(*pid)
                    .is_ok_and(|(parent, session)| session == leader || family.contains(&parent))
            })
            .collect();
        family.extend(of_it);
    }
    for pid in family {
        let _ = process::kill(pid, SIGKILL);
    }
}

/// The beginning of what it wrote.
#[derive(Debug, Default)]
struct Output {
    bytes: Vec<u8>,
    cut: bool,
}

impl Output {
    fn take(&mut self, bytes: &[u8]) {
        let room = health::OUTPUT.saturating_sub(self.bytes.len());
        self.bytes.extend(bytes.iter().take(room));
        self.cut |= bytes.len() > room;
    }

    fn text(&self) -> String {
        let mut text = String::from_utf8_lossy(&self.bytes).into_owned();
        if self.cut {
            text.push_str("...");
        }
        text
    }
}

/// Tells a probe's supervisor that its result is not wanted any more; its end is still seen at the socket.
///
/// # Errors
/// What shutdown(2) says.
pub(super) fn cancel(client: &Client) -> Result<()> {
    socket::shutdown_sending(client)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_cut_after_four_kibibytes_and_says_so() {
        let mut output = Output::default();
        output.take(&vec![b'x'; health::OUTPUT - 1]);
        output.take(b"y");
        assert!(!output.text().ends_with("..."));
        output.take(b"z");
        let text = output.text();
        assert_eq!(text.len(), health::OUTPUT + 3);
        assert!(text.ends_with("xy..."));
    }
}
