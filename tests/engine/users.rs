//! Containers whose users are not the host's (`--userns remap`, `auto`). The administrator's files are other ones for the
//! program under test alone: it runs in a mount namespace of its own.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::support::{BUSYBOX, Host, Output, WHARF, collect, privileged, skip};

const FILES: [&str; 2] = ["/etc/subuid", "/etc/subgid"];

fn host() -> Option<Host> {
    let host = privileged()?;
    host.busybox_image()?;
    if FILES.iter().any(|path| !Path::new(path).exists()) {
        skip("no /etc/subuid to mount over");
        return None;
    }
    fs::write(host.dir().join("ids"), "wharf:100000:131072\n").unwrap();
    Some(host)
}

/// Runs wharf where the two files say what the test says.
fn wharf(host: &Host, args: &[&str]) -> Output {
    let ids = host.dir().join("ids").display().to_string();
    let script = FILES
        .map(|path| format!("mount --bind {ids} {path} && "))
        .concat();
    let mut command = Command::new("unshare");
    command
        .args([
            "-m",
            "sh",
            "-c",
            &format!("{script} exec \"$@\""),
            "sh",
            WHARF,
        ])
        .args(args);
    host.dress(&mut command);
    collect(command.stdin(Stdio::null()), &[])
}

#[track_caller]
fn ok(host: &Host, args: &[&str]) -> String {
    let ran = wharf(host, args);
    assert_eq!(ran.code, 0, "{args:?}: {ran:?}");
    ran.stdout.trim_end().to_owned()
}

#[track_caller]
fn refused(host: &Host, flags: &[&str], text: &str) {
    let ran = wharf(
        host,
        &[&["run", "--rm"], flags, &[BUSYBOX, "true"]].concat(),
    );
    assert_eq!(ran.code, 125, "{flags:?}: {ran:?}");
    assert!(ran.stderr.contains(text), "{flags:?}: {ran:?}");
}

const NONE: [&str; 2] = ["--network", "none"];

#[test]
fn root_of_a_remapped_container_is_nobody_on_the_host() {
    let Some(host) = host() else { return };
    let start = [
        "run",
        "-d",
        "--name",
        "aa",
        "--userns",
        "remap",
        "-v",
        "data:/data",
    ];
    let script = "id -u; stat -c %u /bin/busybox; echo x > /made; echo y > /data/made; chown 5:6 /made; sleep 1000";
    ok(
        &host,
        &[&start[..], &NONE, &[BUSYBOX, "sh", "-c", script]].concat(),
    );
    let exec = ok(
        &host,
        &[
            "exec",
            "aa",
            "sh",
            "-c",
            "id -u; stat -c '%u %g' /made /data/made /dev/null",
        ],
    );
    assert_eq!(exec.lines().next(), Some("0"));
    let pid = ok(&host, &["inspect", "-f", "{{.State.Pid}}", "aa"]);
    let map = fs::read_to_string(format!("/proc/{pid}/uid_map")).unwrap();
    let words: Vec<&str> = map.split_whitespace().collect();
    assert_eq!(words, ["0", "100000", "65536"]);
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(status.contains("Uid:\t100000\t"), "{status}");
    assert_eq!(ok(&host, &["logs", "aa"]), "0\n0");
    let mode = ok(
        &host,
        &["inspect", "-f", "{{.HostConfig.UsernsMode}}", "aa"],
    );
    assert_eq!(mode, "remap");
    // On the disk owners are what they are in every container.
    let id = ok(&host, &["inspect", "-f", "{{.Id}}", "aa"]);
    let made = host.data().join("containers").join(&id).join("upper/made");
    let owner = fs::metadata(&made).unwrap();
    assert_eq!((owner.uid(), owner.gid()), (5, 6));
    assert_eq!(
        fs::metadata(host.data().join("volumes/data/_data/made"))
            .unwrap()
            .uid(),
        0
    );
    let other = ["run", "--rm", "-v", "data:/data"];
    let seen = ok(
        &host,
        &[
            &other[..],
            &NONE,
            &[BUSYBOX, "stat", "-c", "%u", "/data/made"],
        ]
        .concat(),
    );
    assert_eq!(seen, "0");
    ok(&host, &["stop", "-t", "0", "aa"]);
    let changed = ok(&host, &["diff", "aa"]);
    assert!(changed.contains("A /made"), "{changed}");
    ok(&host, &["start", "aa"]);
    ok(&host, &["rm", "-f", "aa"]);
    ok(&host, &["volume", "rm", "data"]);
}

#[test]
fn every_container_of_auto_has_users_of_its_own() {
    let Some(host) = host() else { return };
    let start = |name: &str| {
        let start = ["run", "-d", "--name", name, "--userns", "auto"];
        wharf(
            &host,
            &[&start[..], &NONE, &[BUSYBOX, "sleep", "1000"]].concat(),
        )
    };
    let first = |name: &str| {
        let pid = ok(&host, &["inspect", "-f", "{{.State.Pid}}", name]);
        let map = fs::read_to_string(format!("/proc/{pid}/uid_map")).unwrap();
        map.split_whitespace().nth(1).unwrap().to_owned()
    };
    assert_eq!((start("aa").code, start("bb").code), (0, 0));
    assert_eq!(
        (first("aa"), first("bb")),
        ("100000".to_owned(), "165536".to_owned())
    );
    let full = start("cc");
    assert_eq!(full.code, 125, "{full:?}");
    assert!(
        full.stderr.contains("all ids of /etc/subuid are in use"),
        "{full:?}"
    );
    ok(&host, &["rm", "-f", "aa"]);
    assert_eq!(start("cc").code, 0);
    assert_eq!(first("cc"), "100000");
    ok(&host, &["rm", "-f", "bb", "cc"]);
}

#[test]
fn what_is_the_hosts_is_not_had_with_other_users() {
    let Some(host) = host() else { return };
    let remap = ["--userns", "remap"];
    let with = |flags: &[&'static str]| [&remap[..], flags].concat();
    refused(
        &host,
        &with(&["--privileged"]),
        "privileged mode is incompatible with user namespaces",
    );
    refused(
        &host,
        &with(&["--network", "host"]),
        "cannot share the host's network namespace",
    );
    refused(
        &host,
        &with(&["--pid", "host"]),
        "cannot share the PID namespace",
    );
    refused(&host, &["--userns", "x"], "--userns: invalid USER mode");
    fs::write(host.dir().join("ids"), "somebody:1:2\n").unwrap();
    refused(&host, &remap, "have no ids for wharf or dockremap");
    assert_eq!(json!(ok(&host, &["ps", "-aq"])), json!(""));
}
