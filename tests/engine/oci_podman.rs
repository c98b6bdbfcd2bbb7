//! podman with `wharf oci` as its runtime.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use crate::support::{
    Host, Output, WHARF, busybox_archive, collect, groups_named, has_peer, privileged,
    remove_group, wait_until,
};

/// podman with a store of its own and our runtime.
struct Podman {
    host: Host,
    program: PathBuf,
}

impl Podman {
    fn new() -> Option<Self> {
        let host = privileged()?;
        if !has_peer("podman") || host.busybox_image().is_none() {
            return None;
        }
        let runtime = host.dir().join("wharf-oci");
        // Its state beside podman's, not the host's: podman's own flag for it does not reach its clean-up.
        let state = host.dir().join("o");
        let text = format!(
            "#!/bin/sh\nexec {WHARF} oci --root {} \"$@\"\n",
            state.display()
        );
        fs::write(&runtime, text).unwrap();
        fs::set_permissions(&runtime, fs::Permissions::from_mode(0o755)).unwrap();
        let program = host.dir().join("podman.sh");
        let text = format!(
            "#!/bin/sh\nexec podman --root {dir}/p --runroot {dir}/r --tmpdir {dir}/t --storage-driver vfs --cgroup-manager cgroupfs \
             --events-backend none --runtime {dir}/wharf-oci \"$@\"\n",
            dir = host.dir().display()
        );
        fs::write(&program, text).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let podman = Self { host, program };
        let archive = podman.host.dir().join("busybox.tar");
        fs::write(&archive, busybox_archive()).unwrap();
        podman.ok(&["load", "-q", "-i", archive.to_str().unwrap()]);
        Some(podman)
    }

    /// The parent of its control groups.
    fn group(&self) -> &OsStr {
        self.host.dir().file_name().unwrap()
    }

    fn try_(&self, args: &[&str]) -> Output {
        collect(Command::new(&self.program).args(args), &[])
    }

    fn ok(&self, args: &[&str]) -> String {
        let output = self.try_(args);
        assert_eq!(output.code, 0, "podman {args:?}: {}", output.stderr);
        output.stdout.trim().to_owned()
    }

    fn run(&self, options: &[&str], command: &[&str]) -> Output {
        // podman's own limits are above what an unprivileged machine allows.
        let mut args = vec!["run", "--network", "none"];
        args.extend([
            "--ulimit",
            "nofile=1024:1024",
            "--ulimit",
            "nproc=1024:1024",
        ]);
        let parent = format!("/{}", self.group().display());
        args.extend(["--cgroup-parent", &parent]);
        args.extend(options);
        args.push(crate::support::BUSYBOX);
        args.extend(command);
        self.try_(&args)
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        let _ = self.try_(&["rm", "--all", "--force", "--time", "0"]);
        let _ = self.try_(&["system", "reset", "--force"]);
        // podman leaves the parent of its groups, and conmon's beside it; also in directories that it makes for
        // hierarchies which the host has not got.
        let name = self.group().display().to_string();
        for group in groups_named(&name) {
            remove_group(&group);
        }
    }
}

#[test]
fn podman_runs_a_container_from_its_start_to_its_removal() {
    let Some(podman) = Podman::new() else { return };
    let started = podman.run(
        &["-d", "--name", "c", "--memory", "64m", "--pids-limit", "20"],
        &[
            "sh",
            "-c",
            "echo started; trap 'exit 3' TERM; while :; do sleep 0.1; done",
        ],
    );
    assert_eq!(started.code, 0, "{}", started.stderr);
    wait_until(
        "the container has said something",
        crate::support::PATIENCE,
        || podman.ok(&["logs", "c"]) == "started",
    );
    assert_eq!(podman.ok(&["exec", "c", "echo", "inside"]), "inside");
    assert_eq!(podman.try_(&["exec", "c", "sh", "-c", "exit 7"]).code, 7);
    assert_eq!(podman.ok(&["exec", "--user", "5:6", "c", "id", "-u"]), "5");
    let status = || podman.ok(&["inspect", "-f", "{{.State.Status}}", "c"]);
    podman.ok(&["pause", "c"]);
    assert_eq!(status(), "paused");
    podman.ok(&["unpause", "c"]);
    assert_eq!(status(), "running");
    assert!(
        podman
            .ok(&["stats", "--no-stream", "c"])
            .contains("67.11MB")
    );
    assert!(podman.ok(&["top", "c"]).contains("while :"));
    podman.ok(&["update", "--cpus", "0.5", "c"]);
    podman.ok(&["stop", "c"]);
    assert_eq!(
        podman.ok(&["inspect", "-f", "{{.State.ExitCode}}", "c"]),
        "3"
    );
    podman.ok(&["start", "c"]);
    podman.ok(&["kill", "c"]);
    podman.ok(&["rm", "-f", "c"]);
    assert_eq!(podman.ok(&["ps", "-aq"]), "");
}

#[test]
fn podman_tells_what_kept_a_command_from_running() {
    let Some(podman) = Podman::new() else { return };
    assert_eq!(podman.run(&["--rm"], &["/missing"]).code, 127);
    assert_eq!(podman.run(&["--rm"], &["/etc"]).code, 126);
    assert_eq!(podman.run(&["--rm"], &["sh", "-c", "exit 9"]).code, 9);
    let readonly = podman.run(&["--rm", "--read-only"], &["sh", "-c", "echo x > /x"]);
    assert!(
        readonly.stderr.contains("Read-only file system"),
        "{}",
        readonly.stderr
    );
    let user = podman.run(&["--rm", "--user", "1000:1000"], &["id", "-u"]);
    assert_eq!(user.stdout.trim(), "1000", "{}", user.stderr);
}
