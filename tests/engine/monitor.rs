//! Monitors and exec supervisors with real containers, below the façade: a root directory, a specification and a plan
//! go in; processes, states, events and logs come out.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use wharf::engine::model::container::{Container, ContainerConfig, HostConfig};
use wharf::engine::model::log::About;
use wharf::engine::model::request::{AttachTo, TerminalSize};
use wharf::engine::model::selinux::Contexts;
use wharf::engine::model::{
    Cancel, ContainerId, Digest, HealthCheck, LogConfig, Platform, RestartPolicy, State, Status,
    Timestamp, request,
};
use wharf::engine::runtime::cgroup::Hierarchy;
use wharf::engine::runtime::channel::{
    ExecRequest, Exit, Output, Session, SessionReader, SessionWriter,
};
use wharf::engine::runtime::control::{self, Control, Spawn, Started};
use wharf::engine::runtime::given_devices::Given;
use wharf::engine::runtime::launch::Rootfs;
use wharf::engine::runtime::monitor::{self, PLAN_VERSION, Plan};
use wharf::engine::runtime::{exec, spec};
use wharf::engine::{Kind, Result, events, logs};

use crate::support::{self, Host, PATIENCE, WHARF, privileged, wait_for, wait_until};

const ALL: AttachTo = AttachTo {
    stdin: true,
    stdout: true,
    stderr: true,
    size: None,
};

/// KiB of heap and stack that a monitor may have while it is busy.
const SMALL: u64 = 512;

/// One container of a test, with its directories in the test's host.
struct Case {
    host: Host,
    record: Container,
    plan: Plan,
    live: PathBuf,
}

/// A container that runs a shell script; `None` if this process may not have one.
fn case(script: &str) -> Option<Case> {
    let host = privileged()?;
    if !support::has_peer("busybox") {
        return None;
    }
    let dir = host.dir().to_owned();
    let root = dir.join("root");
    make_root(&root);
    let mut bytes = [0; 32];
    fs::File::open("/dev/urandom")
        .and_then(|mut file| std::io::Read::read_exact(&mut file, &mut bytes))
        .unwrap();
    bytes[0] = 0xab;
    let id = ContainerId::from_random(bytes).unwrap();
    let live = dir.join("l").join(id.as_str());
    for made in [&live, &dir.join("s"), &dir.join("log")] {
        fs::create_dir_all(made).unwrap();
    }
    let digest: Digest = format!("sha256:{}", "0".repeat(64)).parse().unwrap();
    let record = Container {
        version: 1,
        id: id.clone(),
        name: "web".to_owned(),
        created: Timestamp::now(),
        image: digest,
        platform: Platform::host(),
        layers: Vec::new(),
        config: ContainerConfig {
            cmd: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
            ..ContainerConfig::default()
        },
        host: HostConfig::default(),
    };
    let plan = Plan {
        version: PLAN_VERSION,
        id,
        name: "web".to_owned(),
        image: "busybox".to_owned(),
        labels: BTreeMap::from([("tier".to_owned(), "front".to_owned())]),
        state: dir.join("s/state.json"),
        events: dir.join("events.jsonl"),
        log: dir.join("log/container.log"),
        log_config: LogConfig::default(),
        log_about: About::default(),
        rootfs: Rootfs::Dir { path: root },
        tty: false,
        open_stdin: false,
        stdin_once: false,
        restart: RestartPolicy::No,
        auto_remove: None,
        mounted: Vec::new(),
        held: Vec::new(),
        volumes: Vec::new(),
        volumes_lock: None,
        stop_signal: 15,
        stop_timeout: 10,
        attended: false,
        cgroup_parent: String::new(),
        joined: Vec::new(),
        networking: None,
        health: None,
        shell: Vec::new(),
    };
    Some(Case {
        host,
        record,
        plan,
        live,
    })
}

fn make_root(root: &Path) {
    for dir in ["bin", "dev", "proc", "sys", "etc", "tmp", "root"] {
        fs::create_dir_all(root.join(dir)).unwrap();
    }
    let busybox = std::env::split_paths(&std::env::var_os("PATH").unwrap())
        .map(|dir| dir.join("busybox"))
        .find(|path| path.is_file())
        .unwrap();
    fs::copy(busybox, root.join("bin/busybox")).unwrap();
    for applet in [
        "sh", "sleep", "cat", "echo", "yes", "head", "dd", "kill", "stty", "tr", "true", "false",
        "id", "env", "seq", "wc",
    ] {
        symlink("busybox", root.join("bin").join(applet)).unwrap();
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").unwrap();
    fs::write(root.join("etc/group"), "root:x:0:\n").unwrap();
}

impl Case {
    fn start(&self, attach: Option<AttachTo>) -> Result<Started> {
        fs::create_dir_all(&self.live).unwrap();
        for name in ["hosts", "hostname", "resolv.conf"] {
            fs::write(self.live.join(name), "").unwrap();
        }
        let facts = spec::Host {
            cgroups: Hierarchy::detect().unwrap().version(),
            hostname: "host".to_owned(),
            cpus: 1,
        };
        let mut record = self.record.clone();
        record.config.tty = self.plan.tty;
        let spec = spec::container(spec::SpecInput {
            container: &record,
            live: &self.live,
            host: &facts,
            sources: &spec::Sources::default(),
            devices: &Given::default(),
            apparmor: None,
            contexts: &Contexts::default(),
        })
        .unwrap();
        spec.save(self.live.join("config.json")).unwrap();
        self.plan.write(&self.live).unwrap();
        control::spawn(&Spawn {
            program: Some(Path::new(WHARF)),
            live: &self.live,
            attach,
            restart_count: 0,
        })
    }

    /// Starts it attached.
    fn run(&self) -> (SessionReader, SessionWriter) {
        let session = self.start(Some(ALL)).unwrap().session.unwrap();
        session.split().unwrap()
    }

    fn control(&self) -> Control {
        Control::connect(&self.live).unwrap().unwrap()
    }

    fn exec(&self, script: &str, attach: Option<AttachTo>, tty: bool) -> Result<Started> {
        let config = oci_spec::runtime::Spec::load(self.live.join("config.json")).unwrap();
        let wanted = request::Exec {
            cmd: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
            tty,
            ..request::Exec::default()
        };
        let process = spec::exec_process(&config, &wanted).unwrap();
        exec::exec(
            Some(Path::new(WHARF)),
            &self.live,
            ExecRequest {
                process,
                attach,
                exec_id: "e".repeat(64),
            },
        )
    }

    fn live_state(&self) -> Option<State> {
        monitor::read_live_state(&self.live).unwrap()
    }

    fn durable_state(&self) -> State {
        serde_json::from_slice(&fs::read(&self.plan.state).unwrap()).unwrap()
    }

    fn monitor(&self) -> i32 {
        control::monitor_alive(&self.live).unwrap().unwrap()
    }

    /// `action` and, where there is one, exit code or signal.
    fn events(&self) -> Vec<String> {
        events::read(&self.plan.events, None, None)
            .unwrap()
            .iter()
            .map(|event| {
                assert_eq!(event.attributes["name"], "web");
                assert_eq!(event.attributes["image"], "busybox");
                assert_eq!(event.attributes["tier"], "front");
                let attribute = |name: &str| event.attributes.get(name);
                match attribute("exitCode").or_else(|| attribute("signal")) {
                    Some(value) => format!("{} {value}", event.action),
                    None => event.action.clone(),
                }
            })
            .collect()
    }

    fn log(&self) -> String {
        let mut reader = logs::open(&self.plan.log, &request::Logs::default(), || false).unwrap();
        let mut text = Vec::new();
        while let Some(entry) = reader.next(&Cancel::new()).unwrap() {
            text.extend(entry.text);
        }
        String::from_utf8(text).unwrap()
    }

    fn has_cgroup(&self) -> bool {
        !support::cgroups_of(&[self.plan.id.to_string()]).is_empty()
    }

    /// Nothing of the container is left but its durable state.
    fn assert_gone(&self) {
        assert!(!self.live.exists(), "live directory is left");
        assert!(!self.has_cgroup(), "cgroup is left");
        wait_until("the monitor ends", PATIENCE, || {
            self.host.processes().is_empty()
        });
        assert_eq!(support::names_in(self.live.parent().unwrap()), [""; 0]);
    }
}

impl Drop for Case {
    fn drop(&mut self) {
        if let Ok(Some(control)) = Control::connect(&self.live) {
            let _ = control.stop(None, Some(0), false);
        }
        let _ = monitor::recover(&self.live, &mut monitor::NoNetworks);
    }
}

/// Standard output, standard error and the exit.
fn collect(reader: &mut SessionReader) -> (String, String, Option<Exit>) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let exit = loop {
        match reader.next().unwrap() {
            Some(Output::Stdout(bytes)) => out.extend(bytes),
            Some(Output::Stderr(bytes)) => err.extend(bytes),
            Some(Output::Exited(exit)) => break Some(exit),
            None => break None,
        }
    };
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(out), text(err), exit)
}

/// Reads until the output so far contains `text`.
fn read_until(reader: &mut SessionReader, text: &str) -> String {
    let mut seen = String::new();
    while !seen.contains(text) {
        match reader.next().unwrap() {
            Some(Output::Stdout(bytes) | Output::Stderr(bytes)) => {
                seen.push_str(&String::from_utf8_lossy(&bytes));
            }
            other => panic!("{other:?} after {seen:?}"),
        }
    }
    seen
}

fn session(started: Result<Started>) -> (SessionReader, SessionWriter) {
    let session: Session = started.unwrap().session.unwrap();
    session.split().unwrap()
}

fn exited(code: i32) -> Option<Exit> {
    Some(Exit {
        code,
        oom_killed: false,
    })
}

/// KiB of a process's memory that is not of its program file: heap, stack and the like. (A debug binary's relocated data
/// would hide what is to be seen.)
fn own_memory(pid: i32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap();
    let mut total = 0;
    let mut counts = false;
    for line in text.lines() {
        let mut fields = line.split_whitespace();
        let first = fields.next().unwrap();
        if !first.ends_with(':') {
            // A mapping begins: addresses, rights, offset, device, inode, path.
            counts = fields.nth(4).is_none_or(|path| path.starts_with('['));
        } else if counts && first == "Anonymous:" {
            total += fields.next().unwrap().parse::<u64>().unwrap();
        }
    }
    total
}

fn alive(pid: i32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

#[test]
fn a_run_delivers_streams_and_exit_code_and_leaves_state_log_and_events() {
    let Some(case) = case("echo out; echo err >&2; exit 3") else {
        return;
    };
    let (mut reader, _writer) = case.run();
    let (out, err, exit) = collect(&mut reader);
    assert_eq!((out.as_str(), err.as_str()), ("out\n", "err\n"));
    assert_eq!(exit, exited(3));
    case.assert_gone();
    let state = case.durable_state();
    assert_eq!((state.status, state.exit_code), (Status::Exited, 3));
    assert!(state.finished_at > state.started_at);
    assert_eq!((state.pid, state.monitor), (None, None));
    let mut lines: Vec<_> = case.log().lines().map(str::to_owned).collect();
    lines.sort_unstable();
    assert_eq!(lines, ["err", "out"]);
    assert_eq!(case.events(), ["start", "die 3"]);
}

#[test]
fn a_command_that_does_not_exist_leaves_an_error_and_nothing_else() {
    let Some(mut case) = case("") else { return };
    case.record.config.cmd = vec!["/bin/nope".to_owned()];
    let error = case.start(Some(ALL)).unwrap_err();
    assert_eq!(error.kind(), Kind::CommandNotFound, "{error}");
    assert!(error.to_string().contains("/bin/nope"), "{error}");
    case.assert_gone();
    let state = case.durable_state();
    assert_eq!((state.status, state.exit_code), (Status::Created, 127));
    assert_eq!(state.error, error.to_string());
}

#[test]
fn a_second_monitor_is_turned_away() {
    let Some(case) = case("exec sleep 1000") else {
        return;
    };
    case.start(None).unwrap();
    let error = case.start(None).unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict, "{error}");
    assert_eq!(case.live_state().unwrap().status, Status::Running);
}

#[test]
fn input_flows_through_and_its_end_ends_cat() {
    let Some(mut case) = case("cat") else { return };
    case.plan.open_stdin = true;
    case.plan.stdin_once = true;
    let (mut reader, mut writer) = case.run();
    let text: String = (0..100_000)
        .map(|n| format!("{n}\n"))
        .collect::<Vec<_>>()
        .concat();
    let sent = text.clone();
    let front = std::thread::spawn(move || {
        writer.stdin(sent.as_bytes()).unwrap();
        writer.close_stdin().unwrap();
        writer
    });
    let (out, _, exit) = collect(&mut reader);
    front.join().unwrap();
    assert_eq!(exit, exited(0));
    assert!(out == text);
    assert!(case.log() == text);
}

#[test]
fn a_terminal_has_the_fronts_size_and_follows_it() {
    let Some(mut case) = case("stty size; read line; stty size; exit 4") else {
        return;
    };
    case.plan.tty = true;
    case.plan.open_stdin = true;
    let size = |rows, cols| TerminalSize { rows, cols };
    let to = AttachTo {
        size: Some(size(33, 101)),
        ..ALL
    };
    let (mut reader, mut writer) = session(case.start(Some(to)));
    read_until(&mut reader, "33 101\r\n");
    writer.resize(size(7, 42)).unwrap();
    writer.stdin(b"\n").unwrap();
    let (out, _, exit) = collect(&mut reader);
    assert!(out.contains("7 42\r\n"), "{out:?}");
    assert_eq!(exit, exited(4));
}

#[test]
fn a_front_can_leave_and_join_again() {
    let Some(mut case) = case("read a; echo got $a; read b; echo got $b") else {
        return;
    };
    case.plan.open_stdin = true;
    let (mut reader, mut writer) = case.run();
    writer.stdin(b"one\n").unwrap();
    read_until(&mut reader, "got one\n");
    writer.detach();
    assert_eq!(reader.next().unwrap(), None);
    let (mut reader, mut writer) = case.control().attach(ALL).unwrap().split().unwrap();
    writer.stdin(b"two\n").unwrap();
    let (out, _, exit) = collect(&mut reader);
    assert_eq!((out.as_str(), exit), ("got two\n", exited(0)));
    assert_eq!(case.log(), "got one\ngot two\n");
}

#[test]
fn stop_waits_for_the_process_to_end_by_itself() {
    let Some(case) = case("trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done") else {
        return;
    };
    let (mut reader, _writer) = case.run();
    read_until(&mut reader, "ready");
    let watch = case.control().watch().unwrap();
    let waiter = std::thread::spawn(move || watch.wait(&Cancel::new()).unwrap());
    let exit = case.control().stop(None, None, false).unwrap();
    assert_eq!(exit.code, 7);
    // The answer comes when everything is torn down.
    assert!(!case.live.exists() && !case.has_cgroup());
    assert_eq!(waiter.join().unwrap(), exited(7));
    assert_eq!(collect(&mut reader).2, exited(7));
    let state = case.durable_state();
    assert!(state.stopped_by_user);
    assert_eq!(case.events(), ["start", "kill 15", "die 7", "stop"]);
}

#[test]
fn stop_kills_what_does_not_want_to_end() {
    let Some(mut case) = case("trap '' TERM; echo ready; while :; do sleep 0.05; done") else {
        return;
    };
    case.plan.restart = RestartPolicy::Always;
    let (mut reader, _writer) = case.run();
    read_until(&mut reader, "ready");
    let began = Instant::now();
    let exit = case.control().stop(None, Some(1), false).unwrap();
    assert_eq!(exit.code, 137);
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert_eq!(
        case.events(),
        ["start", "kill 15", "kill 9", "die 137", "stop"]
    );
}

#[test]
fn a_cancelled_wait_comes_back() {
    let Some(case) = case("exec sleep 1000") else {
        return;
    };
    case.start(None).unwrap();
    let cancel = Cancel::new();
    let control = case.control();
    let other = cancel.clone();
    let waiter = std::thread::spawn(move || control.watch().unwrap().wait(&other).unwrap());
    cancel.cancel();
    assert_eq!(waiter.join().unwrap(), None);
}

#[test]
fn a_paused_container_is_frozen_and_can_be_killed() {
    let Some(case) = case("while :; do echo tick; sleep 0.02; done") else {
        return;
    };
    let (mut reader, _writer) = case.run();
    read_until(&mut reader, "tick");
    let mut control = case.control();
    control.pause().unwrap();
    assert_eq!(case.live_state().unwrap().status, Status::Paused);
    assert_eq!(control.pause().unwrap_err().kind(), Kind::Conflict);
    let error = case.exec("true", Some(ALL), false).unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict, "{error}");
    control.unpause().unwrap();
    assert_eq!(control.unpause().unwrap_err().kind(), Kind::Conflict);
    read_until(&mut reader, "tick");
    control.pause().unwrap();
    control.signal(9).unwrap();
    assert_eq!(collect(&mut reader).2, exited(137));
    assert_eq!(
        case.events(),
        ["start", "pause", "unpause", "pause", "kill 9", "die 137"]
    );
}

#[test]
fn reaching_the_memory_limit_is_noticed() {
    let Some(mut case) = case("exec dd if=/dev/zero of=/dev/shm/x bs=1M count=60") else {
        return;
    };
    case.record.host.resources.memory = Some(16 << 20);
    case.record.host.resources.memory_swap = Some(16 << 20);
    let (mut reader, _writer) = case.run();
    let (_, _, exit) = collect(&mut reader);
    assert_eq!(
        exit,
        Some(Exit {
            code: 137,
            oom_killed: true
        })
    );
    assert!(case.durable_state().oom_killed);
    assert_eq!(case.events(), ["start", "oom", "die 137"]);
    case.assert_gone();
}

#[test]
fn a_failing_container_is_restarted_so_often_and_its_front_sees_the_first_run() {
    let Some(mut case) = case("echo run; exit 5") else {
        return;
    };
    case.plan.restart = RestartPolicy::OnFailure { max: 2 };
    let began = Instant::now();
    let (mut reader, _writer) = case.run();
    let (out, _, exit) = collect(&mut reader);
    assert_eq!((out.as_str(), exit), ("run\n", exited(5)));
    wait_until("the last run is over", PATIENCE, || !case.live.exists());
    assert!(began.elapsed() >= Duration::from_millis(300));
    assert_eq!(case.durable_state().restart_count, 2);
    assert_eq!(
        case.events(),
        ["start", "die 5", "start", "die 5", "start", "die 5"]
    );
    case.assert_gone();
}

#[test]
fn a_stop_ends_the_back_off() {
    let Some(mut case) = case("exit 1") else {
        return;
    };
    case.plan.restart = RestartPolicy::Always;
    case.start(None).unwrap();
    wait_until("three restarts", PATIENCE, || {
        case.live_state()
            .is_some_and(|state| state.restart_count >= 3 && state.status == Status::Restarting)
    });
    let exit = case.control().stop(None, None, false).unwrap();
    assert_eq!(exit.code, 1);
    case.assert_gone();
    assert_eq!(case.durable_state().status, Status::Exited);
}

#[test]
fn a_container_dies_with_its_monitor_and_is_recovered() {
    let Some(mut case) = case("echo $$; exec sleep 1000") else {
        return;
    };
    case.plan.restart = RestartPolicy::UnlessStopped;
    let pid = case.start(None).unwrap().pid;
    assert!(
        monitor::recover(&case.live, &mut monitor::NoNetworks)
            .unwrap()
            .is_none()
    );
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(case.monitor()).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
    wait_until("the container dies", PATIENCE, || !alive(pid));
    let recovered = wait_for("the lock is free", || {
        monitor::recover(&case.live, &mut monitor::NoNetworks).unwrap()
    });
    assert_eq!(recovered.restart, Some(1));
    assert_eq!(recovered.state.exit_code, 137);
    case.assert_gone();
    assert_eq!(case.durable_state(), recovered.state);
    assert_eq!(case.events(), ["start", "die 137"]);
    assert!(
        monitor::recover(&case.live, &mut monitor::NoNetworks)
            .unwrap()
            .is_none()
    );
}

#[test]
fn removal_at_the_end_takes_everything_with_it() {
    let Some(mut case) = case("exit 0") else {
        return;
    };
    let doomed = case.host.dir().join("doomed");
    fs::create_dir_all(doomed.join("upper/a")).unwrap();
    let name = case.host.dir().join("name");
    fs::write(&name, case.plan.id.as_str()).unwrap();
    // As in a container's directory: the state is in what goes last.
    case.plan.state = doomed.join("state.json");
    case.plan.auto_remove = Some(vec![name.clone(), doomed.clone()]);
    let (mut reader, _writer) = case.run();
    assert_eq!(collect(&mut reader).2, exited(0));
    assert!(!name.exists() && !doomed.exists());
    case.assert_gone();
    assert_eq!(case.events(), ["start", "die 0", "destroy"]);
}

#[test]
fn a_line_of_100_megabytes_needs_no_memory() {
    let Some(mut case) =
        case("head -c 100000000 /dev/zero | tr '\\0' x; echo; echo end; exec sleep 1000")
    else {
        return;
    };
    case.plan.log_config.max_size = Some(1 << 20);
    case.plan.log_config.max_file = 2;
    case.start(None).unwrap();
    wait_until("the line is read", PATIENCE * 4, || {
        fs::read_to_string(&case.plan.log).is_ok_and(|text| text.contains("end\\n"))
    });
    let memory = own_memory(case.monitor());
    assert!(memory < SMALL, "{memory} KiB");
}

#[test]
fn a_front_that_does_not_read_costs_no_memory_and_stops_nothing() {
    let Some(case) = case("yes") else { return };
    let (mut reader, _writer) = case.run();
    read_until(&mut reader, "y\n");
    let size = || fs::metadata(&case.plan.log).map_or(0, |metadata| metadata.len());
    let mut before = 0;
    wait_until("the container is held up", PATIENCE, || {
        let now = size();
        let still = now == before && now > 0;
        before = now;
        still
    });
    let memory = own_memory(case.monitor());
    assert!(memory < SMALL, "{memory} KiB");
    let exit = case.control().stop(None, Some(0), false).unwrap();
    assert_eq!(exit.code, 137);
    // Everything that the log has, the front gets, too.
    let first = "y\n".len();
    let (out, _, exit) = collect(&mut reader);
    assert_eq!(exit, exited(137));
    assert!(case.log().len() >= out.len() + first);
}

#[test]
fn probes_with_much_output_leave_the_monitor_small() {
    let Some(mut case) = case("sleep 1000") else {
        return;
    };
    case.plan.health = Some(HealthCheck {
        test: vec!["CMD-SHELL".to_owned(), "yes | head -c 1000000".to_owned()],
        interval: 1_000_000,
        ..HealthCheck::default()
    });
    let _started = case.start(None).unwrap();
    let result = wait_for("five results", || {
        let health = monitor::read_live_state(&case.live).unwrap()?.health?;
        (health.log.len() == 5).then(|| health.log[0].clone())
    });
    assert_eq!((result.exit_code, result.output.len()), (0, 4096 + 3));
    let memory = own_memory(case.monitor());
    assert!(memory < SMALL, "{memory} KiB");
    case.control().stop(None, Some(0), false).unwrap();
}

#[test]
fn a_follower_of_the_log_sees_all_of_it_and_ends_with_the_container() {
    let Some(mut case) = case("for i in $(seq 1 2000); do echo line $i; done") else {
        return;
    };
    case.plan.log_config.max_size = Some(20_000);
    case.plan.log_config.max_file = 50;
    let live = case.live.clone();
    let follow = request::Logs {
        follow: true,
        ..request::Logs::default()
    };
    case.start(None).unwrap();
    let mut reader = logs::open(&case.plan.log, &follow, move || {
        control::monitor_alive(&live).is_ok_and(|pid| pid.is_some())
    })
    .unwrap();
    let mut count = 0;
    while let Some(entry) = reader.next(&Cancel::new()).unwrap() {
        count += 1;
        assert_eq!(entry.text, format!("line {count}\n").into_bytes());
    }
    assert_eq!(count, 2000);
}

#[test]
fn exec_joins_delivers_and_leaves_the_container_alone() {
    let Some(case) = case("exec sleep 1000") else {
        return;
    };
    case.start(None).unwrap();
    let script = "read line; echo $line; cat /proc/1/comm; echo err >&2; exit 6";
    let (mut reader, mut writer) = session(case.exec(script, Some(ALL), false));
    writer.stdin(b"hello\n").unwrap();
    let (out, err, exit) = collect(&mut reader);
    assert_eq!((out.as_str(), err.as_str()), ("hello\nsleep\n", "err\n"));
    assert_eq!(exit, exited(6));

    let (mut reader, mut writer) =
        session(case.exec("stty size; read x; stty size", Some(ALL), true));
    let size = TerminalSize { rows: 5, cols: 66 };
    writer.resize(size).unwrap();
    writer.stdin(b"\n").unwrap();
    let (out, _, _) = collect(&mut reader);
    assert!(out.contains("5 66"), "{out:?}");

    assert!(case.exec("true", None, false).unwrap().session.is_none());
    let config = oci_spec::runtime::Spec::load(case.live.join("config.json")).unwrap();
    let missing = request::Exec {
        cmd: vec!["/nope".to_owned()],
        ..request::Exec::default()
    };
    let error = exec::exec(
        Some(Path::new(WHARF)),
        &case.live,
        ExecRequest {
            process: spec::exec_process(&config, &missing).unwrap(),
            attach: Some(ALL),
            exec_id: "e".repeat(64),
        },
    )
    .unwrap_err();
    assert_eq!(error.kind(), Kind::CommandNotFound, "{error}");
    assert_eq!(case.live_state().unwrap().status, Status::Running);
    // The first exec's events, in Docker's words.
    let events = case.events();
    assert!(
        events[1].starts_with("exec_create: /bin/sh -c read line;"),
        "{events:?}"
    );
    assert!(
        events[2].starts_with("exec_start: /bin/sh -c"),
        "{events:?}"
    );
    assert_eq!(events[3], "exec_die 6");
}

#[test]
fn an_exec_ends_with_its_container() {
    let Some(case) = case("exec sleep 1000") else {
        return;
    };
    case.start(None).unwrap();
    let (mut reader, _writer) = session(case.exec("echo in; exec sleep 1000", Some(ALL), false));
    read_until(&mut reader, "in");
    case.control().stop(None, Some(0), false).unwrap();
    assert_eq!(collect(&mut reader).2, exited(137));
    case.assert_gone();
}

#[test]
fn the_hosts_shutdown_stops_a_container_without_forgetting_its_policy() {
    let Some(mut case) = case("trap 'exit 0' TERM; echo ready; while :; do sleep 0.05; done")
    else {
        return;
    };
    case.plan.restart = RestartPolicy::Always;
    let (mut reader, _writer) = case.run();
    read_until(&mut reader, "ready");
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(case.monitor()).unwrap(),
        rustix::process::Signal::TERM,
    )
    .unwrap();
    assert_eq!(collect(&mut reader).2, exited(0));
    assert!(!case.durable_state().stopped_by_user);
    case.assert_gone();
}

#[test]
fn an_idle_monitor_is_small() {
    let Some(case) = case("exec sleep 1000") else {
        return;
    };
    case.start(None).unwrap();
    let pid = case.monitor();
    // Memory is given back once it has been quiet for a second.
    wait_until("memory is given back", PATIENCE, || own_memory(pid) < 128);
}
