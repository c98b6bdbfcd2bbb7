//! Namespaces that are shared, `--init`, and what the host keeps for a container.

use std::fs;

use serde_json::{Value, json};

use crate::feature::{Feature, here};
use crate::support::{BUSYBOX, Host, PATIENCE, cgroup_mounts, privileged, wait_until};
use crate::terminal::Terminal;

fn host() -> Option<Host> {
    let host = privileged()?;
    host.busybox_image()?;
    Some(host)
}

/// `run --rm --network none FLAGS busybox COMMAND`.
fn args<'a>(flags: &[&'a str], command: &[&'a str]) -> Vec<&'a str> {
    let start = ["run", "--rm", "--network", "none"];
    [&start[..], flags, &[BUSYBOX], command].concat()
}

/// What a script prints in a container with these flags.
#[track_caller]
fn told(host: &Host, flags: &[&str], script: &str) -> String {
    host.ok(args(flags, &["sh", "-c", script]))
}

/// A container that runs until it is told to end.
fn background(host: &Host, name: &str, flags: &[&str]) {
    let start = ["run", "-d", "--network", "none", "--name", name];
    host.ok([&start[..], flags, &[BUSYBOX, "sleep", "1000"]].concat());
}

/// The line of a run that cannot be.
#[track_caller]
fn refused(host: &Host, flags: &[&str], text: &str) {
    let ran = host.wharf(args(flags, &["true"]));
    assert_eq!(ran.code, 125, "{flags:?}: {ran:?}");
    assert!(ran.stderr.contains(text), "{flags:?}: {ran:?}");
}

/// Part of `inspect`.
fn shown(host: &Host, name: &str, field: &str) -> Value {
    let format = format!("{{{{json .{field}}}}}");
    serde_json::from_str(&host.ok(["inspect", "-f", &format, name])).unwrap()
}

/// A namespace of this process.
fn own(kind: &str) -> String {
    let link = fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
    link.display().to_string()
}

#[test]
fn namespaces_of_the_host_are_the_hosts() {
    let Some(host) = host() else { return };
    for (flag, kind) in [
        ("--pid", "pid"),
        ("--ipc", "ipc"),
        ("--uts", "uts"),
        ("--cgroupns", "cgroup"),
        ("--userns", "user"),
    ] {
        let script = format!("readlink /proc/self/ns/{kind}");
        let shared = told(&host, &[flag, "host"], &script);
        assert_eq!(shared, own(kind), "{flag}");
        if flag != "--userns" {
            assert_ne!(told(&host, &[], &script), own(kind), "{flag}");
        }
    }
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert_eq!(
        told(&host, &["--uts", "host"], "hostname; echo $HOSTNAME")
            .lines()
            .collect::<Vec<_>>(),
        [name.trim(); 2]
    );
    let own_name = [
        "run",
        "--rm",
        "--network",
        "host",
        "--hostname",
        "own",
        BUSYBOX,
        "hostname",
    ];
    assert_eq!(host.ok(own_name), "own");
    let text = "conflicting options: hostname and the UTS mode";
    refused(&host, &["--uts", "host", "--hostname", "x"], text);
    refused(&host, &["--uts", "host", "--domainname", "x"], text);
    refused(&host, &["--pid", "foo"], "--pid: invalid PID mode");
    assert_eq!(host.ok(["ps", "-aq"]), "");
}

#[test]
fn a_container_joins_the_processes_of_another_one() {
    let Some(host) = host() else { return };
    background(&host, "aa", &[]);
    let seen = told(
        &host,
        &["--pid", "container:aa"],
        "cat /proc/1/cmdline | tr '\\0' ' '",
    );
    assert_eq!(seen, "sleep 1000 ");
    // A further process is there, too, and what is left of it ends with it.
    background(&host, "bb", &["--pid", "container:aa"]);
    let exec = host.ok(["exec", "bb", "readlink", "/proc/self/ns/pid"]);
    assert_eq!(
        exec,
        host.ok(["exec", "aa", "readlink", "/proc/self/ns/pid"])
    );
    host.ok(["exec", "-d", "bb", "sleep", "2000"]);
    host.ok(["rm", "-f", "bb"]);
    wait_until("the end of all of it", PATIENCE, || {
        !host.ok(["exec", "aa", "ps"]).contains("sleep 2000")
    });
    // It is known by its id from the start.
    host.ok([
        "create",
        "--name",
        "cc",
        "--network",
        "none",
        "--pid",
        "container:aa",
        BUSYBOX,
        "true",
    ]);
    let id = shown(&host, "aa", "Id");
    let mode = format!("container:{}", id.as_str().unwrap());
    assert_eq!(shown(&host, "cc", "HostConfig.PidMode"), json!(mode));
    host.ok(["rename", "aa", "dd"]);
    host.ok(["start", "-a", "cc"]);
    host.ok(["stop", "-t", "0", "dd"]);
    let late = host.wharf(["start", "cc"]);
    assert_ne!(late.code, 0, "{late:?}");
    assert!(
        late.stderr.contains("cannot join PID of container"),
        "{late:?}"
    );
    refused(&host, &["--pid", "container:nosuch"], "nosuch");
}

#[test]
fn a_container_that_restarts_finds_the_process_that_is_there_then() {
    let Some(host) = host() else { return };
    background(&host, "aa", &[]);
    let script =
        "readlink /proc/self/ns/pid >> /out/log; test -e /out/again && sleep 1000; sleep 1; exit 1";
    let out = host.dir().join("out");
    fs::create_dir(&out).unwrap();
    let volume = format!("{}:/out", out.display());
    let start = [
        "run",
        "-d",
        "--name",
        "bb",
        "--network",
        "none",
        "--restart",
        "always",
    ];
    host.ok([
        &start[..],
        &[
            "--pid",
            "container:aa",
            "-v",
            &volume,
            BUSYBOX,
            "sh",
            "-c",
            script,
        ],
    ]
    .concat());
    let lines = || fs::read_to_string(out.join("log")).unwrap_or_default();
    wait_until("the first run", PATIENCE, || !lines().is_empty());
    host.ok(["restart", "-t", "0", "aa"]);
    let now = host.ok(["exec", "aa", "readlink", "/proc/self/ns/pid"]);
    fs::write(out.join("again"), "").unwrap();
    wait_until("a run in the new one", PATIENCE, || {
        // A run that met it between two lives has ended the policy: it is started again by hand.
        host.wharf(["start", "bb"]);
        lines().lines().last() == Some(now.as_str())
    });
}

#[test]
fn shared_memory_is_own_none_shared_or_the_hosts() {
    let Some(host) = host() else { return };
    let script = "mount | grep -c ' /dev/shm '; true";
    assert_eq!(told(&host, &["--ipc", "none"], script), "0");
    let own_size = told(&host, &["--shm-size", "1m"], "mount | grep ' /dev/shm '");
    assert!(own_size.contains("size=1024k"), "{own_size}");
    background(&host, "aa", &["--ipc", "shareable", "--shm-size", "2m"]);
    host.ok(["exec", "aa", "sh", "-c", "echo hello > /dev/shm/x"]);
    let join = ["--ipc", "container:aa"];
    assert_eq!(
        told(&host, &join, "cat /dev/shm/x; echo back > /dev/shm/y"),
        "hello"
    );
    assert_eq!(host.ok(["exec", "aa", "cat", "/dev/shm/y"]), "back");
    let namespace = ["readlink", "/proc/self/ns/ipc"];
    assert_eq!(
        host.ok(args(&join, &namespace)),
        host.ok([&["exec", "aa"][..], &namespace].concat())
    );
    background(&host, "bb", &[]);
    refused(&host, &["--ipc", "container:bb"], "non-shareable IPC");
    let file = "wharf-test-shm";
    fs::write(format!("/dev/shm/{file}"), "of the host\n").unwrap();
    let read = host.wharf(args(
        &["--ipc", "host"],
        &["cat", &format!("/dev/shm/{file}")],
    ));
    fs::remove_file(format!("/dev/shm/{file}")).unwrap();
    assert_eq!(read.stdout, "of the host\n", "{read:?}");
    let useless = host.wharf(args(&["--ipc", "host", "--shm-size", "1m"], &["true"]));
    assert!(
        useless.stderr.contains("--shm-size has no effect"),
        "{useless:?}"
    );
}

#[test]
fn init_collects_orphans_passes_signals_on_and_ends_with_the_program() {
    let Some(host) = host() else { return };
    let first = told(
        &host,
        &["--init"],
        "cat /proc/1/cmdline | tr '\\0' ' '; exit 7 &",
    );
    assert!(first.starts_with("/sbin/docker-init -- sh -c"), "{first}");
    let ran = host.wharf(args(&["--init"], &["sh", "-c", "exit 7"]));
    assert_eq!(ran.code, 7, "{ran:?}");
    let killed = host.wharf(args(&["--init"], &["sh", "-c", "kill -9 $$"]));
    assert_eq!(killed.code, 137, "{killed:?}");
    for (command, code) in [("nosuch", 127), ("/etc", 126)] {
        let ran = host.wharf(args(&["--init"], &[command]));
        assert_eq!(ran.code, code, "{ran:?}");
        assert!(ran.stderr.contains(command), "{ran:?}");
    }
    // The orphan is nobody's zombie.
    let script = "sh -c 'sleep 0.1 & exit 0'; while [ -e /proc/5 ] || pgrep sleep >/dev/null; do :; done; ps -o stat | grep -c Z; true";
    assert_eq!(told(&host, &["--init"], script), "0");
    let start = [
        "run",
        "-d",
        "--name",
        "aa",
        "--network",
        "none",
        "--init",
        BUSYBOX,
        "sh",
        "-c",
    ];
    host.ok([
        &start[..],
        &["trap 'echo got it; exit 3' USR1; echo ready; while :; do sleep 0.05; done"],
    ]
    .concat());
    wait_until("the trap", PATIENCE, || {
        host.ok(["logs", "aa"]).contains("ready")
    });
    host.ok(["kill", "-s", "USR1", "aa"]);
    assert_eq!(host.ok(["wait", "aa"]), "3");
    assert_eq!(host.ok(["logs", "aa"]), "ready\ngot it");
    assert_eq!(shown(&host, "aa", "HostConfig.Init"), json!(true));
    assert_eq!(shown(&host, "aa", "Path"), json!("sh"));
    // Nothing can be written through what it runs from.
    let write = "echo x > /sbin/docker-init";
    assert_ne!(host.wharf(args(&["--init"], &["sh", "-c", write])).code, 0);
}

#[test]
fn init_gives_the_program_the_terminal() {
    let Some(host) = host() else { return };
    let script = "trap 'echo interrupted; exit 5' INT; echo ready; while :; do sleep 0.05; done";
    let line = args(&["--init", "-it"], &["sh", "-c", script]);
    let mut terminal = Terminal::open(&host, &line, (30, 100), []);
    terminal.wait_text("ready");
    terminal.send("\x03");
    terminal.wait_text("interrupted");
    assert_eq!(terminal.wait_exit(), 5);
}

#[test]
fn the_host_keeps_scores_groups_names_and_annotations() {
    let Some(host) = host() else { return };
    let parent = host.dir().file_name().unwrap().to_str().unwrap().to_owned();
    background(
        &host,
        "aa",
        &[
            "--oom-score-adj",
            "500",
            "--cgroup-parent",
            &format!("/{parent}"),
            "--domainname",
            "example.org",
            "--annotation",
            "org.test=yes",
        ],
    );
    let pid = shown(&host, "aa", "State.Pid");
    assert_eq!(
        fs::read_to_string(format!("/proc/{pid}/oom_score_adj"))
            .unwrap()
            .trim(),
        "500"
    );
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let id = shown(&host, "aa", "Id");
    let group = format!("/{parent}/{}", id.as_str().unwrap());
    assert!(
        groups.lines().any(|line| line.ends_with(&group)),
        "{groups}"
    );
    assert_eq!(
        host.ok(["exec", "aa", "cat", "/proc/sys/kernel/domainname"]),
        "example.org"
    );
    let exec = host.ok(["exec", "aa", "cat", "/proc/self/oom_score_adj"]);
    assert_eq!(exec, "500");
    for (field, value) in [
        ("OomScoreAdj", json!(500)),
        ("CgroupParent", json!(parent)),
        ("Annotations", json!({"org.test": "yes"})),
    ] {
        assert_eq!(
            shown(&host, "aa", &format!("HostConfig.{field}")),
            value,
            "{field}"
        );
    }
    assert_eq!(
        shown(&host, "aa", "Config.Domainname"),
        json!("example.org")
    );
    // What looks for a container's group finds it there.
    assert!(host.ok(["top", "aa"]).contains("sleep"));
    let stats = host.ok(["stats", "--no-stream", "--format", "{{.PIDs}}", "aa"]);
    assert_eq!(stats, "1");
    host.ok(["pause", "aa"]);
    host.ok(["unpause", "aa"]);
    host.ok(["update", "--memory", "80m", "--memory-swap", "160m", "aa"]);
    host.ok(["rm", "-f", "aa"]);
    let left = cgroup_mounts()
        .iter()
        .any(|mount| mount.join(group.trim_start_matches('/')).exists());
    assert!(!left, "{group}");
}

#[test]
fn limits_of_devices_are_written_by_number() {
    let Some(host) = host() else { return };
    refused(
        &host,
        &["--device-read-bps", "/dev/null:1m"],
        "it is no block device",
    );
    refused(
        &host,
        &["--device-read-iops", "/dev/nosuch:5"],
        "/dev/nosuch",
    );
    refused(&host, &["--blkio-weight-device", "x"], "bad format: x");
    if !fs::exists("/dev/loop0").unwrap() {
        return;
    }
    let flags = [
        "--device-read-bps",
        "/dev/loop0:1m",
        "--device-write-iops",
        "/dev/loop0:5",
    ];
    background(&host, "aa", &flags);
    let id = shown(&host, "aa", "Id");
    let read = |v1: &str, v2: &str| {
        let groups = cgroup_mounts()
            .into_iter()
            .map(|m| m.join("wharf").join(id.as_str().unwrap()));
        let texts = groups.flat_map(|group| [group.join(v1), group.join(v2)]);
        texts
            .filter_map(|path| fs::read_to_string(path).ok())
            .collect::<String>()
    };
    let rates = read("blkio.throttle.read_bps_device", "io.max");
    assert!(
        rates.contains("7:0 ") && rates.contains("1048576"),
        "{rates}"
    );
    assert_eq!(
        shown(&host, "aa", "HostConfig.BlkioDeviceWriteIOps"),
        json!([{"Path": "/dev/loop0", "Rate": 5}])
    );
}

#[test]
fn what_there_is_not_is_refused_by_its_name() {
    let Some(host) = host() else { return };
    for (flags, text) in [
        (
            &["--runtime", "runc"][..],
            "unknown or invalid runtime name: runc",
        ),
        (&["--isolation", "process"], "linux only supports 'default'"),
        (&["--storage-opt", "size=1g"], "--storage-opt size=1g"),
        (&["--volume-driver", "nfs"], "plugin \"nfs\" not found"),
        (
            &["--oom-score-adj", "2000"],
            "range for oom score adj is [-1000, 1000]",
        ),
        (
            &["--memory-swappiness", "101"],
            "Valid memory swappiness range is 0-100",
        ),
        (&["--cgroup-parent", "a/../../b"], "invalid cgroup parent"),
        (
            &["--cpu-count", "1"],
            "--cpu-count is for Windows containers only",
        ),
        (
            &["--io-maxiops", "1"],
            "--io-maxiops is for Windows containers only",
        ),
        (
            &["--kernel-memory", "1g"],
            "--kernel-memory is nothing that kernels have any more",
        ),
        (&["--use-api-socket"], "there is no API socket"),
    ] {
        refused(&host, flags, text);
    }
    assert_eq!(host.ok(["ps", "-aq"]), "");
}

#[test]
fn what_version_1_alone_can_do_with_memory_is_done_there() {
    let Some(host) = host() else { return };
    let flags = ["--memory-swappiness", "10", "--oom-kill-disable"];
    if !here(Feature::Hybrid) {
        refused(&host, &flags[..2], "cgroup v2");
        return refused(&host, &flags[2..], "cgroup v2");
    }
    background(&host, "aa", &[&flags[..], &["-m", "64m"]].concat());
    for (field, value) in [
        ("MemorySwappiness", json!(10)),
        ("OomKillDisable", json!(true)),
    ] {
        assert_eq!(
            shown(&host, "aa", &format!("HostConfig.{field}")),
            value,
            "{field}"
        );
    }
    let warned = host.wharf(args(&["--oom-kill-disable"], &["true"]));
    assert!(
        warned.stderr.contains("no memory limit is set"),
        "{warned:?}"
    );
}
