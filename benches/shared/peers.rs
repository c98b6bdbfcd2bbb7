//! The engines that wharf is compared with: dockerd with roots of its own, podman with a store of its own.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use crate::support::{self, BUSYBOX, Host, PATIENCE, collect};

/// Set in the copy of this program that has a mount namespace of its own.
const INSIDE: &str = "WHARF_BENCH_INSIDE";

/// Goes on in a mount namespace in which engines can mount what they like, and from which nothing comes out; crun
/// refuses a hybrid cgroup set-up, so the second hierarchy is gone there. `false`: not as root.
pub fn enter_namespace() -> bool {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: needs root");
        return false;
    }
    if std::env::var_os(INSIDE).is_none() {
        crate::shared::print_host();
        let error = Command::new("unshare")
            .args(["--mount", "--propagation", "private"])
            .arg(std::env::current_exe().unwrap())
            .args(std::env::args_os().skip(1))
            .env(INSIDE, "1")
            .exec();
        panic!("unshare: {error}");
    }
    leave_hybrid();
    true
}

/// Runs a command that must succeed, its output thrown away.
pub fn quiet(command: &mut Command) {
    let status = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "{command:?}: {status}");
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

/// dockerd with a data root of its own; ended when dropped.
pub struct Docker {
    daemon: Child,
    socket: String,
    /// Control groups that were not there before it.
    cgroups: Vec<PathBuf>,
}

impl Docker {
    /// Without a bridge and entries of the firewall.
    pub fn start(host: &Host) -> Option<Self> {
        let without = ["--bridge", "none", "--iptables=false", "--ip6tables=false"];
        Self::start_with(host, &without)
    }

    /// With more flags; its networks are in the network namespace of the calling thread.
    pub fn start_with(host: &Host, flags: &[&str]) -> Option<Self> {
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
            .args(["--host", &socket])
            .args(flags)
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
        Some(docker)
    }

    /// Its process.
    pub fn pid(&self) -> i32 {
        rustix::process::Pid::from_child(&self.daemon)
            .as_raw_nonzero()
            .get()
    }

    /// Whether it can run busybox; says why not.
    pub fn runs_busybox(&self) -> bool {
        let loaded = collect(
            self.client().arg("load").stdin(Stdio::piped()),
            &support::busybox_archive(),
        );
        let ran = collect(
            self.client()
                .args(["run", "--rm", "--network", "none", BUSYBOX, "true"]),
            &[],
        );
        let runs = loaded.code == 0 && ran.code == 0;
        if !runs {
            println!("docker left out: {}{}", loaded.stderr, ran.stderr);
        }
        runs
    }

    pub fn client(&self) -> Command {
        // Debian's, whatever else is called so.
        let mut command = Command::new("/usr/bin/docker");
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

/// podman with a store of its own.
pub fn podman(host: &Host) -> Command {
    let mut command = Command::new("podman");
    command
        .arg("--root")
        .arg(host.dir().join("podman"))
        .arg("--runroot")
        .arg(host.dir().join("podman-run"))
        .arg("--network-config-dir")
        .arg(host.dir().join("podman-networks"))
        .args(["--cgroup-manager", "cgroupfs", "--events-backend", "none"]);
    command
}
