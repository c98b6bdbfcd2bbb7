//! `run --rm --network none busybox true`, next to the same command of the runtimes and engines that are installed.
//!
//! crun and runc get a prepared bundle: they have neither image, layers, log nor records to look after.

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

use peers::{Docker, podman, quiet};
use shared::{Contender, compete};
use support::{BUSYBOX, Host, collect, has_peer};

fn main() {
    if !peers::enter_namespace() {
        return;
    }
    let host = support::privileged().unwrap();
    if host.busybox_image().is_none() {
        return;
    }
    let docker = has_peer("dockerd").then(|| Docker::start(&host)).flatten();
    let docker = docker.filter(Docker::runs_busybox);
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
