//! The host's start and end: which containers run afterwards. What systemd has to do with it is tested in a machine of
//! its own (`scripts/vm-test-systemd`).

use crate::support::{BUSYBOX, Host, PATIENCE, privileged, wait_until};

fn host() -> Option<Host> {
    let host = privileged()?;
    host.busybox_image()?;
    Some(host)
}

/// Starts a container that sleeps.
fn sleeper(host: &Host, name: &str, policy: &str) {
    let stop = ["--stop-timeout", "0", "--network", "none"];
    let args = ["run", "-d", "--name", name, "--restart", policy];
    let command = [BUSYBOX, "sleep", "100000"];
    host.ok(args.into_iter().chain(stop).chain(command));
}

fn running(host: &Host) -> Vec<String> {
    let mut names: Vec<String> = host
        .ok(["ps", "--format", "{{.Names}}"])
        .lines()
        .map(str::to_owned)
        .collect();
    names.sort_unstable();
    names
}

/// The host goes down as it should, and the run root is empty when it comes up.
fn reboot(host: &Host) {
    host.ok(["system", "shutdown"]);
    assert!(host.processes().is_empty(), "{:?}", host.processes());
    std::fs::remove_dir_all(host.run()).unwrap();
}

#[test]
fn the_first_boot_after_a_shutdown_starts_what_the_policies_say() {
    let Some(host) = host() else { return };
    for (name, policy) in [
        ("aa", "always"),
        ("bb", "unless-stopped"),
        ("cc", "on-failure"),
        ("dd", "no"),
        ("stopped-a", "always"),
        ("stopped-b", "unless-stopped"),
    ] {
        sleeper(&host, name, policy);
    }
    host.ok(["stop", "stopped-a", "stopped-b"]);
    let never = ["create", "--name", "never", "--restart", "always", BUSYBOX];
    host.ok(never);
    reboot(&host);
    let started = host.ok(["system", "boot"]);
    assert_eq!(started, "aa\nbb\ncc\nstopped-a", "oldest first");
    assert_eq!(running(&host), ["aa", "bb", "cc", "stopped-a"]);
    host.ok(["stop", "aa", "stopped-a"]);
    assert_eq!(host.ok(["system", "boot"]), "", "what was stopped since");
    assert_eq!(running(&host), ["bb", "cc"]);
}

#[test]
fn a_shutdown_gives_a_container_its_signal_and_its_time() {
    let Some(host) = host() else { return };
    let told = host.dir().join("told");
    std::fs::create_dir(&told).unwrap();
    let mount = format!("{}:/told", told.display());
    let script = "trap 'echo asked >/told/file; exit 3' QUIT; echo ready >/told/ready; while :; do sleep 0.05; done";
    host.ok([
        "run",
        "-d",
        "--name",
        "polite",
        "--network",
        "none",
        "--stop-signal",
        "QUIT",
        "--restart",
        "always",
        "-v",
        &mount,
        BUSYBOX,
        "sh",
        "-c",
        script,
    ]);
    wait_until("the trap", PATIENCE, || told.join("ready").exists());
    assert_eq!(host.ok(["system", "shutdown"]), "polite");
    assert_eq!(
        std::fs::read_to_string(told.join("file")).unwrap(),
        "asked\n"
    );
    let state = "{{.State.Status}} {{.State.ExitCode}}";
    assert_eq!(
        host.ok(["inspect", "--format", state, "polite"]),
        "exited 3"
    );
    assert_eq!(host.ok(["system", "shutdown"]), "", "nothing runs");
}

#[test]
fn boots_at_once_start_each_container_once() {
    let Some(host) = host() else { return };
    for name in ["aa", "bb", "cc"] {
        sleeper(&host, name, "always");
    }
    reboot(&host);
    let said: Vec<String> = std::thread::scope(|scope| {
        let boots: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| host.ok(["system", "boot"])))
            .collect();
        boots
            .into_iter()
            .map(|boot| boot.join().unwrap())
            .filter(|said| !said.is_empty())
            .collect()
    });
    assert_eq!(said, ["aa\nbb\ncc"]);
    assert_eq!(running(&host), ["aa", "bb", "cc"]);
}

#[test]
fn a_container_that_cannot_be_started_keeps_no_other_from_it() {
    let Some(host) = host() else { return };
    let gone = host.dir().join("gone");
    let mount = format!("{}:/x", gone.display());
    host.ok([
        "run",
        "-d",
        "--name",
        "broken",
        "--restart",
        "always",
        "--stop-timeout",
        "0",
        "--network",
        "none",
        "-v",
        &mount,
        BUSYBOX,
        "sleep",
        "100000",
    ]);
    sleeper(&host, "whole", "always");
    reboot(&host);
    std::fs::remove_dir(&gone).unwrap();
    let output = host.wharf(["system", "boot"]);
    assert_eq!(output.code, 1, "{output:#?}");
    assert_eq!(output.stdout, "whole\n");
    assert!(
        output.stderr.contains("start container broken: "),
        "{output:#?}"
    );
    // The next one tries again.
    std::fs::create_dir(&gone).unwrap();
    assert_eq!(host.ok(["system", "boot"]), "broken");
}
