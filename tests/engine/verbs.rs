//! Verbs about a container that exists: `rename`, `top`, `update`, `port`, and the prunes.

use std::path::PathBuf;

use crate::support::{BUSYBOX, Host, PATIENCE, privileged, wait_until};

fn host() -> Option<Host> {
    let host = privileged()?;
    host.busybox_image()?;
    Some(host)
}

/// A container that runs until it is told to end.
fn background(host: &Host, flags: &[&str], command: &[&str]) -> String {
    let start = ["run", "-d", "--network", "none"];
    host.ok([&start[..], flags, &[BUSYBOX], command].concat())
}

/// A file of the container's group, on v1 in this controller's hierarchy.
fn group_file(id: &str, controller: &str, v1: &str, v2: &str) -> String {
    let paths = [
        PathBuf::from(format!("/sys/fs/cgroup/{controller}/wharf/{id}/{v1}")),
        PathBuf::from(format!("/sys/fs/cgroup/wharf/{id}/{v2}")),
    ];
    let found = paths
        .iter()
        .find_map(|path| std::fs::read_to_string(path).ok());
    found.unwrap_or_default().trim().to_owned()
}

#[test]
fn a_renamed_container_is_found_by_its_new_name_alone_also_after_its_end() {
    let Some(host) = host() else { return };
    let id = background(&host, &["--name", "old", "--rm"], &["sleep", "1000"]);
    assert_eq!(host.ok(["rename", "old", "new"]), "");
    assert_eq!(
        host.ok(["inspect", "-f", "{{.Id}} {{.Name}}", "new"]),
        format!("{id} /new")
    );
    assert_eq!(host.wharf(["inspect", "old"]).code, 1);
    // The old name is free at once, and its new owner keeps it when the first container goes.
    host.ok(["create", "--network", "none", "--name", "old", BUSYBOX]);
    for (from, to, why) in [
        ("new", "old", "already in use"),
        ("new", "new", "same name"),
        ("new", "a/b", "invalid container name"),
        ("nosuch", "x1", "No such container"),
    ] {
        let refused = host.wharf(["rename", from, to]);
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(refused.stderr.contains(why), "{refused:?}");
    }
    host.ok(["stop", "-t", "0", "new"]);
    wait_until("the container is gone", PATIENCE, || {
        host.ok(["ps", "-a", "--format", "{{.Names}}"]) == "old"
    });
    host.ok(["create", "--network", "none", "--name", "new", BUSYBOX]);
    assert_eq!(host.ok(["ps", "-a", "--format", "{{.Names}}"]), "new\nold");
    let events = host.ok([
        "events",
        "--since",
        "1h",
        "--until",
        "0s",
        "--filter",
        "event=rename",
        "--format",
        "{{.Actor.Attributes.oldName}} {{.Actor.Attributes.name}}",
    ]);
    assert_eq!(events, "old new");
    let ended = host.ok([
        "events",
        "--since",
        "1h",
        "--until",
        "0s",
        "--filter",
        "event=die",
        "--format",
        "{{.Actor.Attributes.name}}",
    ]);
    assert_eq!(ended, "new");
}

#[test]
fn top_shows_the_processes_of_a_container_without_any_ps() {
    let Some(host) = host() else { return };
    let id = background(
        &host,
        &["--name", "web"],
        &["sh", "-c", "sleep 1234 & sleep 1235; true"],
    );
    wait_until("all run", PATIENCE, || {
        host.ok(["top", "web"]).lines().count() == 4
    });
    let table = host.ok(["top", "web"]);
    let mut lines = table.lines();
    let heading: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
    assert_eq!(
        heading,
        ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    );
    let pid = host.ok(["inspect", "-f", "{{.State.Pid}}", "web"]);
    let first: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
    assert_eq!((first[0], first[1], first[5]), ("root", pid.as_str(), "?"));
    assert!(
        table.contains("sleep 1234") && table.contains("sleep 1235"),
        "{table}"
    );
    let own = host.ok(["top", &id, "-o", "pid,args"]);
    assert!(own.starts_with("PID                 COMMAND\n"), "{own}");
    assert!(own.contains(&format!("{pid:20}sh -c sleep 1234")), "{own}");
    let refused = host.wharf(["top", "web", "-Z"]);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("'-Z'"), "{refused:?}");
    host.ok(["stop", "-t", "0", "web"]);
    let refused = host.wharf(["top", "web"]);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("is not running"), "{refused:?}");
}

#[test]
fn limits_change_at_once_and_are_kept_for_the_next_start() {
    let Some(host) = host() else { return };
    let id = background(
        &host,
        &["--name", "web", "-m", "64m", "--pids-limit", "50"],
        &["sleep", "1000"],
    );
    assert_eq!(
        host.ok([
            "update",
            "-m",
            "32m",
            "--memory-swap",
            "-1",
            "--cpus",
            "0.5",
            "--restart",
            "always",
            "web"
        ]),
        "web"
    );
    let memory = || group_file(&id, "memory", "memory.limit_in_bytes", "memory.max");
    let quota = || group_file(&id, "cpu", "cpu.cfs_quota_us", "cpu.max");
    assert_eq!(memory(), "33554432");
    assert!(quota().starts_with("50000"), "{}", quota());
    let shown = host.ok(["inspect", "-f",
        "{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.HostConfig.RestartPolicy.Name}} {{.HostConfig.PidsLimit}}", "web"]);
    assert_eq!(shown, "33554432 500000000 always 50");
    host.ok(["update", "--pids-limit", "-1", "web"]);
    assert_eq!(group_file(&id, "pids", "pids.max", "pids.max"), "max");
    // The policy is the monitor's by now: killed from inside, it is started again, with the new limits.
    let pid = |host: &Host| host.ok(["inspect", "-f", "{{.State.Pid}}", "web"]);
    let before = pid(&host);
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(before.parse().unwrap()).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
    wait_until("it is started again", PATIENCE, || {
        let now = pid(&host);
        now != before && now != "0"
    });
    assert_eq!(memory(), "33554432");
    assert_eq!(group_file(&id, "pids", "pids.max", "pids.max"), "max");
    host.ok(["stop", "-t", "0", "web"]);
    host.ok(["update", "-m", "48m", "--restart", "no", "web"]);
    host.ok(["start", "web"]);
    assert_eq!(memory(), "50331648");
    assert!(quota().starts_with("50000"), "{}", quota());
}

#[test]
fn a_change_that_cannot_be_leaves_everything_as_it_was() {
    let Some(host) = host() else { return };
    let id = background(
        &host,
        &["--name", "web", "-m", "64m", "--rm"],
        &["sleep", "1000"],
    );
    for (flags, why) in [
        (&["-m", "1g"][..], "already set memoryswap"),
        (&["-m", "1m"], "6MB"),
        (&["--restart", "always"], "AutoRemove"),
        (&["--cpus", "1000"], "range of CPUs"),
        (
            &["--cpuset-cpus", "4000"],
            "Requested CPUs are not available",
        ),
        (&[], "one or more flags"),
    ] {
        let refused = host.wharf([&["update"][..], flags, &["web"]].concat());
        assert_eq!(
            (refused.code, refused.stdout.as_str()),
            (1, ""),
            "{refused:?}"
        );
        assert!(refused.stderr.contains(why), "{refused:?}");
    }
    assert_eq!(
        group_file(&id, "memory", "memory.limit_in_bytes", "memory.max"),
        "67108864"
    );
    assert_eq!(
        host.ok([
            "inspect",
            "-f",
            "{{.HostConfig.Memory}} {{.HostConfig.CpusetCpus}}",
            "web"
        ]),
        "67108864 "
    );
    let refused = host.wharf(["update", "--cpus", "1", "nosuch"]);
    assert_eq!(refused.code, 1);
}

#[test]
fn limits_of_create_reach_the_group() {
    let Some(host) = host() else { return };
    let id = background(
        &host,
        &[
            "--cpu-period",
            "50000",
            "--cpu-quota",
            "25000",
            "--cpuset-mems",
            "0",
            "-m",
            "64m",
            "--memory-reservation",
            "32m",
        ],
        &["sleep", "1000"],
    );
    assert!(group_file(&id, "cpu", "cpu.cfs_quota_us", "cpu.max").starts_with("25000"));
    assert_eq!(group_file(&id, "cpuset", "cpuset.mems", "cpuset.mems"), "0");
    assert_eq!(
        group_file(&id, "memory", "memory.soft_limit_in_bytes", "memory.low"),
        "33554432"
    );
    let refused = host.wharf(["create", "--cpus", "1", "--cpu-quota", "5000", BUSYBOX]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused.stderr.contains("Nano CPUs and CPU Quota"),
        "{refused:?}"
    );
}

#[test]
fn a_prune_takes_what_does_not_run_and_fits_the_filters() {
    let Some(host) = host() else { return };
    background(&host, &["--name", "runs"], &["sleep", "1000"]);
    let ended = host.ok([
        "create",
        "--network",
        "none",
        "--name",
        "ended",
        "--label",
        "a=1",
        BUSYBOX,
        "sh",
        "-c",
        "echo 12345 >/f",
    ]);
    host.ok(["start", "-a", "ended"]);
    let fresh = host.ok(["create", "--network", "none", "--name", "fresh", BUSYBOX]);
    assert_eq!(
        host.ok(["container", "prune", "-f", "--filter", "until=1h"]),
        "Total reclaimed space: 0B"
    );
    // Asked without an answer, nothing goes.
    let asked = host.wharf(["container", "prune"]);
    assert_eq!(asked.code, 0, "{asked:?}");
    assert!(
        asked
            .stdout
            .starts_with("WARNING! This will remove all stopped containers.\n"),
        "{asked:?}"
    );
    assert_eq!(
        host.ok(["container", "prune", "-f", "--filter", "label=a"]),
        format!("Deleted Containers:\n{ended}\n\nTotal reclaimed space: 6B")
    );
    assert_eq!(
        host.ok(["system", "prune", "-f"]),
        format!("Deleted Containers:\n{fresh}\n\nTotal reclaimed space: 0B")
    );
    assert_eq!(host.ok(["ps", "-a", "--format", "{{.Names}}"]), "runs");
    // All images but that of the container that runs.
    host.ok(["tag", BUSYBOX, "other:1"]);
    host.ok(["system", "prune", "-af"]);
    assert!(host.ok(["images", "-q"]).lines().count() >= 1);
    let wrong = host.wharf(["container", "prune", "-f", "--filter", "nosuch=1"]);
    assert_eq!(
        (wrong.code, wrong.stderr.as_str()),
        (1, "wharf: invalid filter 'nosuch'\n")
    );
}

#[test]
fn no_port_is_published() {
    let Some(host) = host() else { return };
    background(&host, &["--name", "web"], &["sleep", "1000"]);
    assert_eq!(host.ok(["port", "web"]), "");
    let refused = host.wharf(["port", "web", "80"]);
    assert_eq!(refused.code, 1);
    assert!(
        refused
            .stderr
            .contains("no public port '80/tcp' published for web"),
        "{refused:?}"
    );
    assert_eq!(host.wharf(["port", "nosuch"]).code, 1);
}
