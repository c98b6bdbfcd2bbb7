//! What a container may do beyond the usual: `--privileged`, `--security-opt`, devices, groups, limits, parameters.

use std::fs;

use serde_json::{Value, json};

use crate::support::{BUSYBOX, Host, privileged};

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

/// The exit code and the one line of a run that cannot be.
#[track_caller]
fn refused(host: &Host, flags: &[&str], code: i32, text: &str) {
    let ran = host.wharf(args(flags, &["true"]));
    assert_eq!(ran.code, code, "{flags:?}: {ran:?}");
    assert!(ran.stderr.contains(text), "{flags:?}: {ran:?}");
    assert_eq!(host.ok(["ps", "-aq"]), "", "{flags:?}");
}

/// Part of `inspect`'s `HostConfig`.
fn host_config(host: &Host, name: &str, field: &str) -> Value {
    let format = format!("{{{{json .HostConfig.{field}}}}}");
    serde_json::from_str(&host.ok(["inspect", "-f", &format, name])).unwrap()
}

/// A line of `/proc/<pid>/status`.
fn status(text: &str, field: &str) -> String {
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    line.unwrap_or_default()
        .trim_start_matches(':')
        .trim()
        .to_owned()
}

const OWN_STATUS: &str = "cat /proc/self/status";

#[test]
fn privileged_is_every_right_every_device_and_nothing_hidden() {
    let Some(host) = host() else { return };
    let all = status(&fs::read_to_string("/proc/self/status").unwrap(), "CapBnd");
    let own = told(&host, &["--privileged", "--cap-drop", "ALL"], OWN_STATUS);
    assert_eq!(status(&own, "CapEff"), all);
    assert_eq!(status(&own, "CapBnd"), all);
    assert_eq!(status(&own, "Seccomp"), "0");
    let mounts = told(&host, &["--privileged"], "cat /proc/self/mounts");
    for target in ["/proc/kcore", "/proc/sys", "/proc/keys", "/sys/firmware"] {
        assert!(!mounts.contains(&format!(" {target} ")), "{mounts}");
    }
    let sys = mounts
        .lines()
        .find(|line| line.starts_with("sysfs "))
        .unwrap();
    assert!(sys.contains(" rw,"), "{sys}");
    let groups = mounts
        .lines()
        .filter(|line| line.contains(" /sys/fs/cgroup"));
    assert!(
        groups.clone().count() > 0 && !groups.clone().any(|g| g.contains(" ro,")),
        "{mounts}"
    );
    told(
        &host,
        &["--privileged"],
        "mount -t tmpfs none /mnt || mkdir /m && mount -t tmpfs none /m",
    );
    // Each device of the host is there, and may be opened.
    let devices = told(
        &host,
        &["--privileged"],
        "cd /dev && find . -type c -o -type b | sort",
    );
    for name in ["./kmsg", "./loop-control", "./fuse", "./mem"] {
        let is_there = fs::metadata(format!("/dev/{name}")).is_ok();
        assert_eq!(
            is_there,
            devices.lines().any(|line| line == name),
            "{name}: {devices}"
        );
    }
    let plain = told(&host, &[], "cat /proc/self/mounts; cd /dev; ls");
    assert!(
        plain.contains(" /proc/sys ") && !plain.contains("kmsg"),
        "{plain}"
    );
}

#[test]
fn exec_privileged_has_every_capability_in_a_container_that_has_few() {
    let Some(host) = host() else { return };
    let all = status(&fs::read_to_string("/proc/self/status").unwrap(), "CapBnd");
    let start = [
        "run",
        "-d",
        "--name",
        "aa",
        "--network",
        "none",
        "--cap-drop",
        "ALL",
    ];
    host.ok([&start[..], &[BUSYBOX, "sleep", "1000"]].concat());
    let plain = host.ok(["exec", "aa", "cat", "/proc/self/status"]);
    assert_eq!(status(&plain, "CapEff"), "0000000000000000");
    let full = host.ok(["exec", "--privileged", "aa", "cat", "/proc/self/status"]);
    assert_eq!(status(&full, "CapEff"), all);
}

#[test]
fn capabilities_are_added_and_dropped_in_every_spelling() {
    let Some(host) = host() else { return };
    let bounding = |flags: &[&str]| {
        let own = told(&host, flags, OWN_STATUS);
        u64::from_str_radix(&status(&own, "CapBnd"), 16).unwrap()
    };
    let default = 0xa804_25fb;
    assert_eq!(bounding(&[]), default);
    for name in ["SYS_ADMIN", "sys_admin", "CAP_SYS_ADMIN", "cap_sys_admin"] {
        assert_eq!(bounding(&["--cap-add", name]), default | 1 << 21, "{name}");
    }
    assert_eq!(
        bounding(&["--cap-drop", "all", "--cap-add", "kill"]),
        1 << 5
    );
    let text =
        "capability not supported by your kernel or not available in the current environment";
    let ran = host.wharf(args(&["--cap-add", "nosuch"], &["true"]));
    assert_eq!(ran.code, 125, "{ran:?}");
    assert!(
        ran.stderr.contains("CAP_NOSUCH") || ran.stderr.contains(text),
        "{ran:?}"
    );
}

#[test]
fn no_new_privileges_holds_for_the_container_and_its_execs() {
    let Some(host) = host() else { return };
    let start = ["run", "-d", "--name", "aa", "--network", "none"];
    let options = ["--security-opt", "no-new-privileges"];
    host.ok([&start[..], &options, &[BUSYBOX, "sleep", "1000"]].concat());
    let pid = host.ok(["inspect", "-f", "{{.State.Pid}}", "aa"]);
    let main = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert_eq!(status(&main, "NoNewPrivs"), "1");
    let exec = host.ok(["exec", "aa", "cat", "/proc/self/status"]);
    assert_eq!(status(&exec, "NoNewPrivs"), "1");
    assert_eq!(
        host_config(&host, "aa", "SecurityOpt"),
        json!(["no-new-privileges"])
    );
    let off = told(
        &host,
        &["--security-opt", "no-new-privileges=false"],
        OWN_STATUS,
    );
    assert_eq!(status(&off, "NoNewPrivs"), "0");
}

#[test]
fn a_seccomp_profile_of_docker_decides_by_capabilities() {
    let Some(host) = host() else { return };
    let path = host.dir().join("profile.json");
    let rule = |name: &str, more: Value| {
        let mut rule = json!({"names": [name], "action": "SCMP_ACT_ERRNO", "errnoRet": 5});
        rule.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        rule
    };
    let profile = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
        "syscalls": [
            rule("mkdir", json!({"excludes": {"caps": ["CAP_SYS_ADMIN"]}})),
            rule("mkdirat", json!({"excludes": {"caps": ["CAP_SYS_ADMIN"]}})),
        ],
    });
    fs::write(&path, profile.to_string()).unwrap();
    let option = format!("seccomp={}", path.display());
    let mkdir = ["mkdir", "/x"];
    let ran = host.wharf(args(&["--security-opt", &option], &mkdir));
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.stderr.contains("I/O error") || ran.stderr.contains("Input/output"),
        "{ran:?}"
    );
    host.ok(args(
        &["--security-opt", &option, "--cap-add", "SYS_ADMIN"],
        &mkdir,
    ));
    // Named, it holds with every right, too.
    host.ok(args(&["--security-opt", &option, "--privileged"], &mkdir));
    host.ok([
        "create",
        "--name",
        "aa",
        "--security-opt",
        &option,
        BUSYBOX,
        "true",
    ]);
    // Docker keeps the content, for the file may go.
    let kept = host_config(&host, "aa", "SecurityOpt");
    assert_eq!(kept, json!([format!("seccomp={profile}")]));
    let of = |option: &str| {
        status(
            &told(&host, &["--security-opt", option], OWN_STATUS),
            "Seccomp",
        )
    };
    assert_eq!(of("seccomp=unconfined"), "0");
    assert_eq!(of("seccomp=builtin"), "2");
    host.ok(["rm", "aa"]);
    refused(
        &host,
        &["--security-opt", "seccomp=/nosuch"],
        125,
        "opening seccomp profile (/nosuch)",
    );
    fs::write(&path, "{\"defaultAction\":\"x\"}").unwrap();
    refused(
        &host,
        &["--security-opt", &option],
        125,
        "decoding seccomp profile",
    );
}

#[test]
fn system_paths_are_open_when_asked() {
    let Some(host) = host() else { return };
    let option = ["--security-opt", "systempaths=unconfined"];
    let mounts = told(&host, &option, "cat /proc/self/mounts");
    assert!(!mounts.contains(" /proc/sys "), "{mounts}");
    let start = ["create", "--name"];
    host.ok([&start[..], &["aa"], &option, &[BUSYBOX, "true"]].concat());
    host.ok([&start[..], &["bb", BUSYBOX, "true"]].concat());
    assert_eq!(host_config(&host, "aa", "MaskedPaths"), json!([]));
    assert_eq!(host_config(&host, "aa", "ReadonlyPaths"), json!([]));
    assert_eq!(host_config(&host, "aa", "SecurityOpt"), Value::Null);
    assert!(
        host_config(&host, "bb", "MaskedPaths")
            .as_array()
            .unwrap()
            .contains(&json!("/proc/kcore"))
    );
}

#[test]
fn a_device_of_the_host_is_made_with_its_rights_alone() {
    let Some(host) = host() else { return };
    let script = "ls -l /dev/of-host; head -c 1 /dev/of-host | wc -c; echo x > /dev/of-host";
    let read = told(
        &host,
        &["--device", "/dev/zero:/dev/of-host:r"],
        &format!("{script} || true"),
    );
    assert!(read.contains("1,   5"), "{read}");
    assert!(read.lines().any(|line| line == "1"), "{read}");
    // Only what was asked for: a device that no container has by itself.
    let fuse = ["--device", "/dev/fuse:/dev/k:r"];
    if fs::metadata("/dev/fuse").is_ok() {
        told(&host, &fuse, "exec 3< /dev/k");
        let write = host.wharf(args(&fuse, &["sh", "-c", "exec 3> /dev/k"]));
        assert_ne!(write.code, 0, "{write:?}");
        let rule = ["--device-cgroup-rule", "c 10:229 r"];
        told(&host, &rule, "mknod /dev/k c 10 229 && exec 3< /dev/k");
        let without = host.wharf(args(
            &[],
            &["sh", "-c", "mknod /dev/k c 10 229 && exec 3< /dev/k"],
        ));
        assert_ne!(without.code, 0, "{without:?}");
    }
    let text = "error gathering device information while adding custom device \"/nosuch\"";
    refused(&host, &["--device", "/nosuch"], 125, text);
    refused(
        &host,
        &["--device", "/etc/passwd"],
        125,
        "not a device node",
    );
    refused(
        &host,
        &["--device", "/dev/null:/dev/x:q"],
        125,
        "bad mode specified: q",
    );
    refused(&host, &["--device", "a:b:c"], 125, "bad mode specified: c");
}

#[test]
fn a_directory_of_devices_is_given_with_all_that_is_in_it() {
    let Some(host) = host() else { return };
    let dir = host.dir().join("nodes");
    fs::create_dir_all(dir.join("deep")).unwrap();
    let made = std::process::Command::new("sh")
        .args([
            "-c",
            "mknod z c 1 5 && mknod deep/f c 1 7 && touch deep/file",
        ])
        .current_dir(&dir)
        .status()
        .unwrap();
    assert!(made.success());
    let option = format!("{}:/dev/given", dir.display());
    let found = told(
        &host,
        &["--device", &option],
        "cd /dev/given; find . -type f -o -type c | sort",
    );
    assert_eq!(found, "./deep/f\n./z");
}

#[test]
fn limits_groups_and_parameters_are_those_asked_for() {
    let Some(host) = host() else { return };
    let flags = [
        "--ulimit",
        "nofile=100:200",
        "--ulimit",
        "core=-1",
        "--ulimit",
        "nofile=150:300",
        "--group-add",
        "staff",
        "--group-add",
        "77",
        "--sysctl",
        "net.ipv4.ip_forward=1",
        "--sysctl",
        "kernel.msgmax=10000",
    ];
    let start = ["run", "-d", "--name", "aa", "--network", "none"];
    host.ok([&start[..], &flags, &[BUSYBOX, "sleep", "1000"]].concat());
    let pid = host.ok(["inspect", "-f", "{{.State.Pid}}", "aa"]);
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .unwrap();
    let words: Vec<&str> = files.split_whitespace().collect();
    assert_eq!(&words[3..5], ["150", "300"]);
    for command in [
        &["sh", "-c", "id -G; ulimit -n"][..],
        &["sh", "-c", "id -G; ulimit -n; true"],
    ] {
        let told = host.ok([&["exec", "aa"][..], command].concat());
        assert_eq!(told, "0 50 77\n150");
    }
    let read = |name: &str| host.ok(["exec", "aa", "cat", name]);
    assert_eq!(read("/proc/sys/net/ipv4/ip_forward"), "1");
    assert_eq!(read("/proc/sys/kernel/msgmax"), "10000");
    assert_eq!(
        host_config(&host, "aa", "Ulimits"),
        json!([{"Name": "core", "Hard": -1, "Soft": -1}, {"Name": "nofile", "Hard": 300, "Soft": 150}])
    );
    assert_eq!(host_config(&host, "aa", "GroupAdd"), json!(["staff", "77"]));
    assert_eq!(
        host_config(&host, "aa", "Sysctls"),
        json!({"kernel.msgmax": "10000", "net.ipv4.ip_forward": "1"})
    );
    let host_network = [
        "run",
        "--rm",
        "--network",
        "host",
        "--sysctl",
        "net.ipv4.ip_forward=1",
        BUSYBOX,
        "true",
    ];
    let ran = host.wharf(host_network);
    assert_eq!(ran.code, 125, "{ran:?}");
    assert!(
        ran.stderr.contains("not allowed in host network namespace"),
        "{ran:?}"
    );
    host.ok(["rm", "-f", "aa"]);
    refused(
        &host,
        &["--group-add", "nosuch"],
        125,
        "unable to find group nosuch",
    );
    refused(
        &host,
        &["--ulimit", "nofile"],
        125,
        "invalid ulimit argument: nofile",
    );
    refused(
        &host,
        &["--sysctl", "kernel.foo=1"],
        125,
        "sysctl 'kernel.foo=1' is not allowed",
    );
}
