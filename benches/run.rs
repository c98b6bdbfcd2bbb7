//! `run --rm --network none busybox true`, next to the same command of the runtimes and engines that are installed.
//!
//! crun and runc get a prepared bundle: they have neither image, layers, log nor records to look after.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    unreachable_pub,
    reason = "a benchmark prints, and may end where it fails"
)]

mod shared;
#[expect(
    dead_code,
    reason = "shared by several test binaries, each of which uses a part of it"
)]
#[path = "../tests/engine/support.rs"]
mod support;

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use shared::{Contender, compete};
use support::{BUSYBOX, Host, PATIENCE, collect, has_peer};

/// Set in the copy of this program that has a mount namespace of its own.
const INSIDE: &str = "WHARF_BENCH_INSIDE";

fn main() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: needs root");
        return;
    }
    if std::env::var_os(INSIDE).is_none() {
        shared::print_host();
        // crun refuses a hybrid cgroup set-up, and podman and dockerd mount things: all of them meet in a mount namespace
        // where the second hierarchy is gone and from which nothing comes out.
        let error = Command::new("unshare")
            .args(["--mount", "--propagation", "private"])
            .arg(std::env::current_exe().unwrap())
            .env(INSIDE, "1")
            .exec();
        panic!("unshare: {error}");
    }
    leave_hybrid();
    let host = support::privileged().unwrap();
    if host.busybox_image().is_none() {
        return;
    }
    let docker = has_peer("dockerd").then(|| Docker::start(&host)).flatten();
    let mut contenders = vec![Contender::new("wharf run --rm --network none", 60, || {
        quiet(&mut host.command(["run", "--rm", "--network", "none", BUSYBOX, "true"]));
    })];
    for runtime in ["crun", "runc"] {
        if has_peer(runtime) {
            let bundle = bundle(&host, runtime);
            let state = host.dir().join(format!("{runtime}-state"));
            contenders.push(Contender::new(
                format!("{runtime} run (prepared bundle)"),
                60,
                move || {
                    quiet(
                        Command::new(runtime)
                            .arg("--root")
                            .arg(&state)
                            .args(["run", "--bundle"])
                            .arg(&bundle)
                            .arg("wharf-bench"),
                    );
                },
            ));
        }
    }
    if has_peer("podman") && podman_has_image(&host) {
        contenders.push(Contender::new("podman run --rm --network none", 15, || {
            quiet(podman(&host).args(PODMAN_RUN));
        }));
    }
    if let Some(docker) = &docker {
        contenders.push(Contender::new("docker run --rm --network none", 15, || {
            quiet(
                docker
                    .client()
                    .args(["run", "--rm", "--network", "none", BUSYBOX, "true"]),
            );
        }));
    }
    compete("run --rm --network none busybox true", &mut contenders);
    drop(contenders);
    drop(docker);
    let _ = collect(podman(&host).args(["system", "reset", "--force"]), &[]);
    for mount in support::mounts_under(host.dir()).iter().rev() {
        if let Some(target) = mount.split(' ').nth(1) {
            let _ = collect(Command::new("umount").arg(target), &[]);
        }
    }
}

/// In this mount namespace only: a hybrid set-up becomes plain version 1.
fn leave_hybrid() {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let of = |kind: &str| -> Vec<String> {
        mounts
            .lines()
            .filter(|line| line.split(' ').nth(2) == Some(kind))
            .filter_map(|line| line.split(' ').nth(1).map(str::to_owned))
            .collect()
    };
    if !of("cgroup").is_empty() {
        for target in of("cgroup2") {
            quiet(Command::new("umount").arg(target));
        }
    }
}

/// dockerd with a data root of its own, no bridge and no firewall entries; ended when dropped.
struct Docker {
    daemon: Child,
    socket: String,
    /// Control groups that were not there before it.
    cgroups: Vec<PathBuf>,
}

impl Docker {
    fn start(host: &Host) -> Option<Self> {
        let dir = host.dir().join("docker");
        fs::create_dir_all(&dir).unwrap();
        let socket = format!("unix://{}/sock", dir.display());
        let cgroups = support::cgroup_mounts()
            .into_iter()
            .map(|mount| mount.join("docker"))
            .filter(|cgroup| !cgroup.exists())
            .collect();
        let log = fs::File::create(dir.join("log")).unwrap();
        let daemon = Command::new("dockerd")
            .arg("--data-root")
            .arg(dir.join("data"))
            .arg("--exec-root")
            .arg(dir.join("exec"))
            .arg("--pidfile")
            .arg(dir.join("pid"))
            .args(["--host", &socket, "--bridge", "none"])
            .args(["--iptables=false", "--ip6tables=false"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .ok()?;
        let docker = Self {
            daemon,
            socket,
            cgroups,
        };
        let deadline = Instant::now() + PATIENCE;
        while collect(docker.client().arg("version"), &[]).code != 0 {
            if Instant::now() > deadline {
                println!("docker left out: dockerd does not answer");
                return None;
            }
            support::pause();
        }
        let loaded = collect(
            docker.client().arg("load").stdin(Stdio::piped()),
            &support::busybox_archive(),
        );
        let ran = collect(
            docker
                .client()
                .args(["run", "--rm", "--network", "none", BUSYBOX, "true"]),
            &[],
        );
        if loaded.code != 0 || ran.code != 0 {
            println!("docker left out: {}{}", loaded.stderr, ran.stderr);
            return None;
        }
        Some(docker)
    }

    fn client(&self) -> Command {
        let mut command = Command::new("docker");
        command.args(["--host", &self.socket]);
        command
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.daemon);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.daemon.wait();
        for cgroup in &self.cgroups {
            let _ = fs::remove_dir(cgroup);
        }
    }
}

/// Runs a command that must succeed, its output thrown away.
fn quiet(command: &mut Command) {
    let status = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "{command:?}: {status}");
}

/// A bundle as `crun spec` writes it: the runtime's own defaults, no terminal, `true` for a command.
fn bundle(host: &Host, runtime: &str) -> PathBuf {
    let bundle = host.dir().join(format!("{runtime}-bundle"));
    let bin = bundle.join("rootfs/bin");
    fs::create_dir_all(&bin).unwrap();
    let busybox = collect(Command::new("sh").args(["-c", "command -v busybox"]), &[]).stdout;
    fs::copy(busybox.trim_end(), bin.join("busybox")).unwrap();
    fs::hard_link(bin.join("busybox"), bin.join("true")).unwrap();
    quiet(Command::new(runtime).arg("spec").current_dir(&bundle));
    let path = bundle.join("config.json");
    let mut spec: serde_json::Value = read_json(&path);
    spec["process"]["terminal"] = false.into();
    spec["process"]["args"] = serde_json::json!(["true"]);
    fs::write(&path, serde_json::to_vec(&spec).unwrap()).unwrap();
    bundle
}

fn read_json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// podman's own limits are above what an unprivileged machine allows.
const PODMAN_RUN: [&str; 10] = [
    "run",
    "--rm",
    "--network",
    "none",
    "--ulimit",
    "nofile=1024:1024",
    "--ulimit",
    "nproc=1024:1024",
    BUSYBOX,
    "true",
];

fn podman(host: &Host) -> Command {
    let mut command = Command::new("podman");
    command
        .arg("--root")
        .arg(host.dir().join("podman"))
        .arg("--runroot")
        .arg(host.dir().join("podman-run"))
        .args(["--cgroup-manager", "cgroupfs", "--events-backend", "none"]);
    command
}

fn podman_has_image(host: &Host) -> bool {
    let archive = host.dir().join("busybox.tar");
    fs::write(&archive, support::busybox_archive()).unwrap();
    let loaded = collect(podman(host).arg("load").arg("-i").arg(&archive), &[]);
    let ran = collect(podman(host).args(PODMAN_RUN), &[]);
    let works = loaded.code == 0 && ran.code == 0;
    if !works {
        println!("podman left out: {}{}", loaded.stderr, ran.stderr);
    }
    works
}
