//! The command line's figures: `run` with twenty flags beside `run` without, `exec true` beside crun's, `ps -a` of a thousand
//! containers, `stats` of two hundred, and a thousand starts and removes, after which the host must be as it was.
//!
//! With names after `--`, only those parts: `run`, `exec`, `ps`, `stats`, `leave`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    unreachable_pub,
    reason = "a benchmark prints, and may end where it fails"
)]

#[expect(
    dead_code,
    reason = "shared by several benchmarks, each of which uses a part of it"
)]
#[path = "shared/peers.rs"]
mod peers;
mod shared;
#[expect(
    dead_code,
    reason = "shared by several test binaries, each of which uses a part of it"
)]
#[path = "../tests/engine/support.rs"]
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use peers::quiet;
use shared::{Contender, compete, median, ms};
use support::{BUSYBOX, Host, collect, has_peer, names_in};

/// Flags of all kinds: records, limits, rights, mounts, namespaces, logs.
const TWENTY: [&str; 38] = [
    "--name",
    "bench-twenty",
    "--hostname",
    "bench",
    "--env",
    "A=1",
    "--env",
    "B=2",
    "--label",
    "kind=bench",
    "--workdir",
    "/tmp",
    "--user",
    "nobody",
    "--memory",
    "64m",
    "--cpus",
    "1",
    "--pids-limit",
    "100",
    "--cpu-shares",
    "512",
    "--ulimit",
    "nofile=1024:1024",
    "--cap-drop",
    "ALL",
    "--cap-add",
    "CHOWN",
    "--security-opt",
    "no-new-privileges",
    "--tmpfs",
    "/scratch",
    "-v",
    "bench-volume:/data",
    "--log-driver",
    "local",
    "--read-only",
    "--init",
];

/// Containers that `ps -a` lists, and of which `stats` tells.
const LISTED: usize = 1000;
const RUNNING: usize = 200;
/// Starts and removes, and how many before the host is looked at for the first time.
const STARTS: usize = 1000;
const BEFORE: usize = 20;

/// What it is called, and what does it.
type Part = (&'static str, fn(&Host));

fn main() {
    if !peers::enter_namespace() {
        return;
    }
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with('-'))
        .collect();
    let wants = |name: &str| wanted.is_empty() || wanted.iter().any(|w| w == name);
    let host = support::privileged().unwrap();
    if host.busybox_image().is_none() {
        return;
    }
    let parts: [Part; 5] = [
        ("run", run),
        ("exec", exec),
        ("ps", ps),
        ("stats", stats),
        ("leave", leave),
    ];
    for (name, part) in parts {
        if wants(name) {
            part(&host);
        }
    }
}

fn remove_all(host: &Host) {
    let ids = host.container_ids();
    if !ids.is_empty() {
        host.ok(["rm", "-f"]
            .iter()
            .map(|word| (*word).to_owned())
            .chain(ids));
    }
}

fn run(host: &Host) {
    host.ok(["volume", "create", "bench-volume"]);
    let turn = |flags: &[&str]| {
        let args = ["run", "--rm", "--network", "none"].iter().chain(flags);
        quiet(&mut host.command(args.copied().chain([BUSYBOX, "true"])));
    };
    compete(
        "run --rm --network none busybox true",
        &mut [
            Contender::new("plain", 60, || turn(&[])),
            Contender::new("with twenty more flags", 60, || turn(&TWENTY)),
        ],
    );
}

fn exec(host: &Host) {
    host.ok([
        "run",
        "-d",
        "--network",
        "none",
        "--name",
        "bench",
        BUSYBOX,
        "sleep",
        "1000",
    ]);
    let crun = has_peer("crun").then(|| Crun::start(host));
    let mut contenders = Vec::new();
    if let Some(crun) = &crun {
        contenders.push(Contender::new("crun exec true", 100, || {
            quiet(
                crun.command(&["exec", "wharf-bench", "true"])
                    .stdin(std::process::Stdio::null()),
            );
        }));
    }
    contenders.push(Contender::new("wharf exec true", 100, || {
        quiet(&mut host.command(["exec", "bench", "true"]));
    }));
    compete("exec true in a container that runs", &mut contenders);
    drop(contenders);
    drop(crun);
    remove_all(host);
}

/// A container of crun's that sleeps; removed when dropped.
struct Crun {
    state: PathBuf,
}

impl Crun {
    fn start(host: &Host) -> Self {
        let bundle = host.dir().join("crun-bundle");
        let bin = bundle.join("rootfs/bin");
        fs::create_dir_all(&bin).unwrap();
        let busybox = collect(Command::new("sh").args(["-c", "command -v busybox"]), &[]).stdout;
        fs::copy(busybox.trim_end(), bin.join("busybox")).unwrap();
        for name in ["true", "sleep"] {
            fs::hard_link(bin.join("busybox"), bin.join(name)).unwrap();
        }
        quiet(Command::new("crun").arg("spec").current_dir(&bundle));
        let path = bundle.join("config.json");
        let mut spec: serde_json::Value =
            serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        spec["process"]["terminal"] = false.into();
        spec["process"]["args"] = serde_json::json!(["sleep", "1000"]);
        fs::write(&path, serde_json::to_vec(&spec).unwrap()).unwrap();
        let crun = Self {
            state: host.dir().join("crun-state"),
        };
        let bundle = bundle.to_str().unwrap();
        quiet(&mut crun.command(&["run", "-d", "--bundle", bundle, "wharf-bench"]));
        crun
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("crun");
        command.arg("--root").arg(&self.state).args(args);
        command
    }
}

impl Drop for Crun {
    fn drop(&mut self) {
        let _ = collect(
            &mut self.command(&["delete", "--force", "wharf-bench"]),
            &[],
        );
    }
}

/// Runs something for many numbers, by a few processes at a time.
fn each(count: usize, work: impl Fn(usize) + Sync) {
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    work(number);
                }
            });
        }
    });
}

fn ps(host: &Host) {
    each(LISTED, |number| {
        let name = format!("bench-{number:04}");
        host.ok([
            "create",
            "--network",
            "none",
            "--name",
            &name,
            BUSYBOX,
            "true",
        ]);
    });
    let listed = host.ok(["ps", "-aq"]);
    assert_eq!(listed.lines().count(), LISTED);
    compete(
        &format!("{LISTED} containers"),
        &mut [
            Contender::new("ps -a", 40, || quiet(&mut host.command(["ps", "-a"]))),
            Contender::new("ps -aq", 40, || quiet(&mut host.command(["ps", "-aq"]))),
            Contender::new("version (nothing to list)", 40, || {
                quiet(&mut host.command(["version"]));
            }),
        ],
    );
    remove_all(host);
}

fn stats(host: &Host) {
    each(RUNNING, |_| {
        host.ok(["run", "-d", "--network", "none", BUSYBOX, "sleep", "10000"]);
    });
    let interval = Duration::from_secs(1);
    let mut beyond: Vec<Duration> = (0..7)
        .map(|_| {
            let start = Instant::now();
            quiet(&mut host.command(["stats", "--no-stream"]));
            start.elapsed().saturating_sub(interval)
        })
        .collect();
    beyond.sort_unstable();
    println!(
        "stats --no-stream with {RUNNING} running containers, beyond its interval of {interval:?}"
    );
    println!(
        "  median {}, least {}\n",
        ms(median(&beyond)),
        ms(beyond[0])
    );
    remove_all(host);
}

/// What a host has of what containers use, counted.
#[derive(Debug, PartialEq, Eq)]
struct Traces {
    mounts: usize,
    groups: usize,
    interfaces: usize,
    processes: usize,
    run: usize,
    shared_memory: usize,
    data: usize,
}

impl Traces {
    fn of(host: &Host) -> Self {
        let lines = |path: &str| fs::read_to_string(path).unwrap_or_default().lines().count();
        let groups = support::cgroup_mounts()
            .into_iter()
            .map(|mount| tree(&mount.join("wharf")));
        Self {
            mounts: lines("/proc/self/mounts"),
            groups: groups.sum(),
            interfaces: names_in(Path::new("/sys/class/net")).len(),
            processes: host.processes().len(),
            run: tree(&host.run()),
            shared_memory: tree(Path::new("/dev/shm")),
            data: tree(&host.data()),
        }
    }
}

/// Directories and files below.
fn tree(dir: &Path) -> usize {
    let below = |name: String| {
        let path = dir.join(name);
        1 + if path.is_dir() && !path.is_symlink() {
            tree(&path)
        } else {
            0
        }
    };
    names_in(dir).into_iter().map(below).sum()
}

fn leave(host: &Host) {
    let turn = |_| {
        let id = host.ok(["run", "-d", "--network", "none", BUSYBOX, "sleep", "1000"]);
        host.ok(["rm", "-f", &id]);
    };
    each(BEFORE, turn);
    support::wait_until("the end of all monitors", support::PATIENCE, || {
        host.processes().is_empty()
    });
    let before = Traces::of(host);
    let start = Instant::now();
    each(STARTS, turn);
    let taken = start.elapsed();
    support::wait_until("the end of all monitors", support::PATIENCE, || {
        host.processes().is_empty()
    });
    let after = Traces::of(host);
    println!(
        "{STARTS} starts and removes, four at a time: {:.1} s",
        taken.as_secs_f64()
    );
    println!("  before {before:?}\n  after  {after:?}\n");
    assert_eq!(before, after, "the host is not as it was");
}
