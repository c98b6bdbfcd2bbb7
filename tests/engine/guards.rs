//! Holes of other engines, tried on a container as `wharf run` makes it: rights, system calls, files and sockets that a
//! container or another user of the host must not have. [docs/security.md](../../docs/security.md) is the list.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use crate::escapes::open_to_others;
use crate::registry::http::{Response, Server};
use crate::runtime::image_with;
use crate::support::{
    BUSYBOX, Host, PATIENCE, collect, has_peer, names_in, privileged, wait_until,
};

fn host() -> Option<Host> {
    let host = privileged()?;
    host.busybox_image()?;
    Some(host)
}

/// Starts a container named `box` that sleeps.
fn sleeping(host: &Host, flags: &[&str], image: &str) {
    let mut args = vec!["run", "-d", "--name", "box"];
    args.extend(flags);
    args.extend([image, "sleep", "1000"]);
    host.ok(args);
}

#[test]
fn cve_2022_24769_nothing_is_inherited_by_run_or_exec() {
    let Some(host) = host() else { return };
    let line = [
        "sed",
        "-n",
        "s/^Cap\\(Inh\\|Amb\\):\t//p",
        "/proc/self/status",
    ];
    let none = "0000000000000000\n0000000000000000";
    for flags in [
        &[][..],
        &["-u", "1"],
        &["--cap-add", "ALL"],
        &["--privileged"],
    ] {
        let run = [
            &["run", "--rm", "--network", "none"],
            flags,
            &[BUSYBOX],
            &line,
        ]
        .concat();
        let output = host.wharf(&run);
        // A flag that is not there yet gives nothing either.
        if output.code != 125 {
            assert_eq!(output.stdout.trim_end(), none, "{flags:?}: {output:?}");
        }
    }
    sleeping(
        &host,
        &["--network", "none", "--cap-add", "NET_ADMIN"],
        BUSYBOX,
    );
    for user in ["0", "1"] {
        let exec = [&["exec", "-u", user, "box"][..], &line].concat();
        assert_eq!(host.ok(exec), none, "{user}");
    }
}

/// Calls that holes of the kernel were reached by, each with arguments that would be refused for another reason if it
/// were let through.
const PROBE: &str = r#"
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
static void say(const char *name, long result) {
    printf("%s %s\n", name, result >= 0 ? "allowed" : strerrorname_np(errno));
}
#define CALL(name, ...) say(#name, syscall(SYS_##name, __VA_ARGS__))
int main(void) {
    say("socket_unix", socket(AF_UNIX, SOCK_STREAM, 0));
    say("socket_alg", socket(38, SOCK_SEQPACKET, 0));
    say("socket_vsock", socket(40, SOCK_STREAM, 0));
    CALL(keyctl, 0, -3, 0, 0, 0);
    CALL(add_key, "user", "x", "y", 1, -3);
    CALL(request_key, "user", "x", 0, 0);
    CALL(bpf, 0, 0, 0);
    CALL(userfaultfd, 1);
    CALL(io_uring_setup, 1, 0);
    CALL(io_uring_enter, -1, 0, 0, 0, 0, 0);
    CALL(io_uring_register, -1, 0, 0, 0);
    CALL(perf_event_open, 0, 0, -1, -1, 0);
    CALL(unshare, CLONE_NEWUSER);
    CALL(clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
    CALL(clone3, 0, 0);
    CALL(setns, -1, 0);
    CALL(mount, 0, "/nosuch", 0, 0, 0);
    CALL(umount2, "/nosuch", 0);
    CALL(pivot_root, "/nosuch", "/nosuch");
    CALL(fsopen, "nosuch", 0);
    CALL(fsconfig, -1, 0, 0, 0, 0);
    CALL(fsmount, -1, 0, 0);
    CALL(move_mount, -1, "", -1, "", 0);
    CALL(open_tree, -1, "/nosuch", 0);
    CALL(mount_setattr, -1, "/nosuch", 0, 0, 0);
    CALL(open_by_handle_at, -1, 0, 0);
    CALL(init_module, 0, 0, "");
    CALL(finit_module, -1, "", 0);
    CALL(delete_module, "nosuch", 0);
    CALL(kexec_load, 0, 0, 0, 0);
    CALL(swapon, "/nosuch", 0);
    CALL(acct, "/nosuch");
    CALL(reboot, 0, 0, 0, 0);
    CALL(settimeofday, 0, 0);
    CALL(syslog, 3, 0, 0);
    CALL(quotactl, 0, 0, 0, 0);
    return 0;
}
"#;

/// What each call of the probe is answered in a container; `None` without a compiler.
fn probed(host: &Host) -> Option<Vec<(String, String)>> {
    if !has_peer("cc") {
        return None;
    }
    let (source, program) = (host.dir().join("probe.c"), host.dir().join("probe"));
    fs::write(&source, PROBE).unwrap();
    let mut cc = Command::new("cc");
    let made = collect(cc.args(["-static", "-o"]).arg(&program).arg(&source), &[]);
    assert_eq!(made.code, 0, "{made:?}");
    let volume = format!("{}:/probe:ro", program.display());
    let args = [
        "run",
        "--rm",
        "--network",
        "none",
        "-v",
        &volume,
        BUSYBOX,
        "/probe",
    ];
    let said = host.ok(args);
    let pairs = said.lines().filter_map(|line| line.split_once(' '));
    Some(
        pairs
            .map(|(name, answer)| (name.to_owned(), answer.to_owned()))
            .collect(),
    )
}

#[test]
fn cve_2024_1086_calls_that_holes_were_reached_by_are_refused() {
    let Some(host) = host() else { return };
    let Some(answers) = probed(&host) else { return };
    assert_eq!(answers.len(), 36, "{answers:?}");
    for (name, answer) in answers {
        let expect = match name.as_str() {
            "socket_unix" => "allowed",
            // So that libraries fall back to clone(2), whose flags can be looked at.
            "clone3" => "ENOSYS",
            _ => "EPERM",
        };
        assert_eq!(answer, expect, "{name}");
    }
}

#[test]
fn cve_2026_31431_sockets_of_the_kernels_crypto_cannot_be_had() {
    let Some(host) = host() else { return };
    let Some(answers) = probed(&host) else { return };
    let answer = |wanted: &str| {
        answers
            .iter()
            .find(|(name, _)| name == wanted)
            .unwrap()
            .1
            .clone()
    };
    assert_eq!(answer("socket_alg"), "EPERM");
    assert_eq!(answer("socket_vsock"), "EPERM");
    assert_eq!(answer("socket_unix"), "allowed");
}

#[test]
fn cve_2020_15257_no_abstract_socket_of_the_engine_is_there() {
    let Some(host) = host() else { return };
    sleeping(&host, &["--network", "host"], BUSYBOX);
    let inodes: Vec<String> = host
        .processes()
        .iter()
        .flat_map(|pid| sockets_of(*pid))
        .collect();
    assert!(!inodes.is_empty(), "a monitor listens somewhere");
    let table = host.ok(["exec", "box", "cat", "/proc/net/unix"]);
    for line in table.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, _, _, _, _, _, inode, name] = fields[..] else {
            continue;
        };
        let is_ours = inodes.iter().any(|own| own == inode);
        assert!(!(is_ours && name.starts_with('@')), "{line}");
    }
}

/// Inode numbers of a process's sockets.
fn sockets_of(pid: i32) -> Vec<String> {
    let dir = PathBuf::from(format!("/proc/{pid}/fd"));
    let links = names_in(&dir)
        .into_iter()
        .filter_map(|name| fs::read_link(dir.join(name)).ok());
    let inode = |link: PathBuf| {
        let text = link
            .to_str()?
            .strip_prefix("socket:[")?
            .strip_suffix(']')?
            .to_owned();
        Some(text)
    };
    links.filter_map(inode).collect()
}

#[test]
fn cve_2021_41091_other_users_of_the_host_do_not_reach_what_containers_have() {
    let Some(host) = host() else { return };
    if !has_peer("setpriv") {
        return;
    }
    image_with(&host, "setuid:1", |layer| {
        layer.file("bin/gain", 0o4755, b"#!/bin/sh\n");
    });
    sleeping(&host, &["--network", "none"], "setuid:1");
    host.ok([
        "exec",
        "box",
        "sh",
        "-c",
        "echo x > /made; chmod 4777 /made",
    ]);
    for root in [host.data(), host.run()] {
        assert_eq!(open_to_others(&root), Vec::<String>::new());
    }
    // And the test's own directory is not what keeps them out.
    fs::set_permissions(host.dir(), fs::Permissions::from_mode(0o755)).unwrap();
    for root in [host.data(), host.run()] {
        let args = [
            "--reuid",
            "65534",
            "--regid",
            "65534",
            "--clear-groups",
            "ls",
        ];
        let output = collect(Command::new("setpriv").args(args).arg(&root), &[]);
        assert_ne!(output.code, 0, "{output:?}");
    }
}

#[test]
fn cve_2023_25173_groups_of_the_image_count_for_exec_too() {
    let Some(host) = host() else { return };
    image_with(&host, "groups:1", |layer| {
        layer.directory("etc/", 0o755);
        layer.file("etc/passwd", 0o644, b"web:x:33:33::/:/bin/sh\n");
        layer.file("etc/group", 0o644, b"denied:x:70:web\n");
    });
    sleeping(&host, &["--network", "none"], "groups:1");
    host.ok([
        "exec",
        "box",
        "sh",
        "-c",
        "echo secret > /secret; chown 0:70 /secret; chmod 0704 /secret",
    ]);
    let id = host.ok(["exec", "-u", "web", "box", "id", "-G"]);
    assert_eq!(id, "33 70");
    assert_ne!(
        host.wharf(["exec", "-u", "web", "box", "cat", "/secret"])
            .code,
        0
    );
    assert_eq!(
        host.ok(["exec", "-u", "1", "box", "cat", "/secret"]),
        "secret"
    );
}

#[test]
fn cve_2025_64329_attaching_again_and_again_leaves_nothing_in_the_monitor() {
    let Some(host) = host() else { return };
    sleeping(&host, &["--network", "none"], BUSYBOX);
    let [monitor] = host.processes()[..] else {
        panic!("{:?}", host.processes());
    };
    let dir = format!("/proc/{monitor}");
    let open = || names_in(Path::new(&format!("{dir}/fd"))).len();
    let tasks = || names_in(Path::new(&format!("{dir}/task"))).len();
    let before = tasks();
    // Once it has answered this, the front that started it is gone; of those after it the last may be on its way out.
    host.ok(["exec", "box", "true"]);
    let mut least = open();
    for _ in 0..40 {
        let mut client = host
            .command(["attach", "--no-stdin", "--sig-proxy=false", "box"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        wait_until("a client", PATIENCE, || {
            let now = open();
            least = least.min(now);
            now > least
        });
        client.kill().unwrap();
        client.wait().unwrap();
        wait_until("its end", PATIENCE, || open() <= least);
    }
    assert_eq!(tasks(), before);
}

#[test]
fn cve_2021_41092_a_helper_that_is_missing_sends_no_password_anywhere() {
    let Some(host) = privileged() else { return };
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let server = Server::start(move |request| {
        if let Some(value) = request.header("authorization") {
            log.lock().unwrap().push(value.to_owned());
        }
        Response::new(401, "application/json", "{}").with("WWW-Authenticate", "Basic realm=\"x\"")
    });
    let dir = host.dir().join(".docker");
    fs::create_dir(&dir).unwrap();
    let address = server.address.to_string();
    for config in [
        format!(
            r#"{{"credHelpers": {{"{address}": "nosuch-helper"}}, "auths": {{"{address}": {{"auth": "dTpw"}}}}}}"#
        ),
        format!(
            r#"{{"credsStore": "nosuch-helper", "auths": {{"{address}": {{"auth": "dTpw"}}}}}}"#
        ),
        format!(r#"{{"auths": {{"{address}": {{"auth": "dTpw"}}}}"#),
    ] {
        fs::write(dir.join("config.json"), &config).unwrap();
        let output = host.wharf(["pull", "-q", &format!("{address}/x:1")]);
        assert_eq!(output.code, 1, "{config}: {output:?}");
        let told = ["nosuch-helper", "config.json"]
            .iter()
            .any(|word| output.stderr.contains(word));
        assert!(told, "{config}: {output:?}");
    }
    assert_eq!(*seen.lock().unwrap(), Vec::<String>::new());
}

#[test]
fn nothing_of_the_callers_environment_reaches_a_container() {
    let Some(host) = host() else { return };
    let mut command = host.command([
        "run",
        "-d",
        "--network",
        "none",
        "--name",
        "box",
        "-e",
        "GIVEN=1",
        BUSYBOX,
        "sleep",
        "1000",
    ]);
    assert_eq!(collect(command.env("SECRET", "x"), &[]).code, 0);
    for args in [
        &["exec", "box", "env"][..],
        &["run", "--rm", "--network", "none", BUSYBOX, "env"],
    ] {
        let output = collect(host.command(args).env("SECRET", "x"), &[]);
        assert!(!output.stdout.contains("SECRET"), "{output:?}");
        assert_eq!(
            output.stdout.contains("GIVEN"),
            args[0] == "exec",
            "{output:?}"
        );
    }
}
