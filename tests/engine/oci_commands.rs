//! `wharf oci` in a running container: exec, ps, pause, resume, update, events, features.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::oci::{Case, case, groups_of};
use crate::support::{PATIENCE, collect, wait_until};

/// A case with a running container.
fn running() -> Option<(Case, String)> {
    let case = case()?;
    let id = case.id("a");
    case.ok(&["run", "--detach", &id]);
    Some((case, id))
}

#[test]
fn exec_gives_the_output_and_the_exit_code() {
    let Some((case, id)) = running() else { return };
    let output = case.oci(&["exec", &id, "sh", "-c", "echo out; echo err >&2; exit 9"]);
    assert_eq!((output.code, output.stdout.as_str()), (9, "out\n"));
    assert_eq!(output.stderr, "err\n");
    // It is in there: the first process is the container's, and the name.
    let output = case.ok(&["exec", &id, "sh", "-c", "cat /proc/1/comm; hostname"]);
    assert_eq!(output, "sleep\nbox\n");
    let command = &mut case.command(&["exec", &id, "cat"]);
    let output = collect(command.stdin(Stdio::piped()), b"through");
    assert_eq!(output.stdout, "through");
}

#[test]
fn exec_takes_what_is_asked_for() {
    let Some((case, id)) = running() else { return };
    let script = "id -u; id -g; id -G; pwd; echo $A $B; grep CapEff /proc/self/status";
    let output = case.ok(&[
        "exec",
        "--user",
        "5:6",
        "--additional-gids",
        "7",
        "-g",
        "8",
        "--cwd",
        "/tmp",
        "--env",
        "A=1",
        "-e",
        "B=2",
        &id,
        "sh",
        "-c",
        script,
    ]);
    // Another user has no effective capabilities without ambient ones.
    let expected = "5\n6\n6 7 8\n/tmp\n1 2\nCapEff:\t0000000000000000\n";
    assert_eq!(output, expected);
    let output = case.ok(&[
        "exec",
        "--cap",
        "CAP_SYS_CHROOT",
        "--no-new-privs",
        &id,
        "grep",
        "-E",
        "CapEff|NoNewPrivs",
        "/proc/self/status",
    ]);
    // CHOWN is 0, KILL is 5, SYS_CHROOT is 18.
    assert_eq!(output, "CapEff:\t0000000000040021\nNoNewPrivs:\t1\n");
}

#[test]
fn exec_takes_a_process_document() {
    let Some((case, id)) = running() else { return };
    let process = json!({
        "cwd": "/tmp", "user": { "uid": 3, "gid": 4 },
        "args": ["sh", "-c", "id -u; pwd; echo $C"], "env": ["PATH=/bin", "C=3"],
    });
    let path = case.dir().join("process.json");
    fs::write(&path, process.to_string()).unwrap();
    let path = path.to_str().unwrap();
    assert_eq!(case.ok(&["exec", "--process", path, &id]), "3\n/tmp\n3\n");
    let command = &mut case.command(&["exec", "-p", "-", &id]);
    let output = collect(
        command.stdin(Stdio::piped()),
        process.to_string().as_bytes(),
    );
    assert_eq!(output.stdout, "3\n/tmp\n3\n", "{output:?}");
    fs::write(
        path,
        json!({ "cwd": "x", "user": {"uid": 0, "gid": 0} }).to_string(),
    )
    .unwrap();
    let error = case.refused(&["exec", "--process", path, &id]);
    assert!(error.starts_with("process.cwd: "), "{error}");
    fs::write(
        path,
        json!({ "cwd": "/", "user": {"uid": "0", "gid": 0} }).to_string(),
    )
    .unwrap();
    let error = case.refused(&["exec", "--process", path, &id]);
    assert!(error.starts_with("--process: user.uid: "), "{error}");
}

#[test]
fn a_detached_process_goes_on_and_is_shown() {
    let Some((case, id)) = running() else { return };
    let pid_file = case.dir().join("pid");
    let path = pid_file.to_str().unwrap();
    case.ok(&["exec", "--detach", "--pid-file", path, &id, "sleep", "999"]);
    let pid: i64 = fs::read_to_string(&pid_file).unwrap().parse().unwrap();
    let pids: Value = serde_json::from_str(&case.ok(&["ps", "--format", "json", &id])).unwrap();
    let mut expected = [i64::from(case.pid(&id)), pid];
    expected.sort_unstable();
    assert_eq!(pids, json!(expected));
    let table = case.ok(&["ps", &id]);
    assert_eq!(table.lines().count(), 3, "{table}");
    assert!(table.contains("sleep 999"));
    let table = case.ok(&["ps", &id, "-o", "pid,args"]);
    assert_eq!(table.lines().next().unwrap().split_whitespace().count(), 2);
    assert_eq!(
        case.refused(&["ps", &id, "-o", "args"]),
        "couldn't find PID field in ps output"
    );
}

#[test]
fn what_cannot_be_executed_is_told_with_255() {
    let Some((case, id)) = running() else { return };
    for (args, text) in [
        (
            &["nosuch"][..],
            "exec: \"nosuch\": executable file not found in $PATH",
        ),
        (&[], "exec args cannot be empty"),
    ] {
        let mut words = vec!["exec", &id];
        words.extend(args);
        assert_eq!(case.refused(&words), text);
    }
    // A wrong command line is no failed process.
    assert_eq!(case.oci(&["exec"]).code, 1);
    assert_eq!(
        case.refused(&["exec", "nosuch", "ls"]),
        "container does not exist"
    );
    let error = case.refused(&["exec", "--user", "x", &id, "ls"]);
    assert_eq!(error, "--user: bad uid: \"x\" is not a number");
    let error = case.refused(&["exec", "--cgroup", "../..", &id, "ls"]);
    assert!(error.starts_with("--cgroup: "), "{error}");
    case.ok(&["kill", &id, "KILL"]);
    case.wait_for_status(&id, "stopped");
    assert_eq!(
        case.refused(&["exec", &id, "ls"]),
        "cannot exec in a stopped container"
    );
}

#[test]
fn a_paused_container_waits() {
    let Some((case, id)) = running() else { return };
    assert_eq!(case.refused(&["resume", &id]), "container not paused");
    case.ok(&["pause", &id]);
    assert_eq!(case.status(&id), "paused");
    assert_eq!(
        case.refused(&["pause", &id]),
        "container not running or created: paused"
    );
    assert_eq!(
        case.refused(&["exec", &id, "true"]),
        "cannot exec in a paused container (use --ignore-paused to override)"
    );
    assert!(
        case.refused(&["delete", &id])
            .ends_with("not stopped: paused")
    );
    case.ok(&["resume", &id]);
    assert_eq!(case.status(&id), "running");
    assert_eq!(case.ok(&["exec", &id, "echo", "on"]), "on\n");
    // One that is killed while it is frozen ends all the same.
    case.ok(&["pause", &id]);
    case.ok(&["kill", &id, "KILL"]);
    case.wait_for_status(&id, "stopped");
    case.ok(&["delete", &id]);
    case.assert_gone(&id);
}

#[test]
fn a_created_container_that_is_paused_is_not_started() {
    let Some(mut case) = case() else { return };
    case.runs("exec sleep 1000");
    let id = &case.id("a");
    case.ok(&["create", id]);
    case.ok(&["pause", id]);
    assert_eq!(case.status(id), "paused");
    assert_eq!(
        case.refused(&["start", id]),
        "cannot start a container in the paused state"
    );
    case.ok(&["resume", id]);
    assert_eq!(case.status(id), "created");
    case.ok(&["start", id]);
    assert_eq!(case.status(id), "running");
    case.ok(&["delete", "--force", id]);
}

#[test]
fn a_user_namespace_has_mappings() {
    let Some(mut case) = case() else { return };
    let namespaces = case.config["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.push(json!({ "type": "user" }));
    let id = &case.id("a");
    let error = case.refused(&["create", id]);
    assert!(error.starts_with("linux.uidMappings: "), "{error}");
    case.config["linux"]["uidMappings"] = json!([{ "containerID": 0, "hostID": 0, "size": 1 }]);
    let error = case.refused(&["create", id]);
    assert!(error.starts_with("linux.gidMappings: "), "{error}");
}

#[test]
fn a_device_rule_is_named_by_its_own_number() {
    let Some(mut case) = case() else { return };
    case.config["linux"]["resources"] =
        json!({ "devices": [{ "allow": true, "type": "c", "access": "xyz" }] });
    let error = case.refused(&["create", &case.id("a")]);
    assert!(
        error.contains("linux.resources.devices[0].access: "),
        "{error}"
    );
}

#[test]
fn a_paused_container_can_be_deleted_by_force() {
    let Some((case, id)) = running() else { return };
    case.ok(&["pause", &id]);
    case.ok(&["delete", "--force", &id]);
    case.assert_gone(&id);
}

#[test]
fn kill_all_reaches_every_process() {
    let Some((case, id)) = running() else { return };
    case.ok(&[
        "exec",
        "--detach",
        &id,
        "sh",
        "-c",
        "trap 'touch /tmp/got; exit' USR1; touch /tmp/ready; while :; do sleep 0.01; done",
    ]);
    let file = |name: &str| case.bundle().join("rootfs/tmp").join(name);
    wait_until("its trap", PATIENCE, || file("ready").exists());
    case.ok(&["kill", "--all", &id, "USR1"]);
    wait_until("the signal", PATIENCE, || file("got").exists());
    case.ok(&["kill", &id, "0"]);
    case.ok(&["kill", "--all", &id, "KILL"]);
    case.wait_for_status(&id, "stopped");
}

#[test]
fn update_changes_what_is_given() {
    let Some((case, id)) = running() else { return };
    let read = |name: &str| {
        let paths = groups_of(&id).into_iter();
        paths
            .filter_map(|path| fs::read_to_string(path.join(name)).ok())
            .map(|text| text.trim().to_owned())
            .next()
    };
    case.ok(&["update", &id, "--pids-limit", "20", "--cpu-share", "100"]);
    assert_eq!(read("pids.max").as_deref(), Some("20"));
    let command = &mut case.command(&["update", "--resources", "-", &id]);
    let change = json!({ "pids": { "limit": 30 } }).to_string();
    let output = collect(command.stdin(Stdio::piped()), change.as_bytes());
    assert_eq!((output.code, output.stderr.as_str()), (0, ""));
    assert_eq!(read("pids.max").as_deref(), Some("30"));
    if let Some(shares) = read("cpu.shares") {
        assert_eq!(shares, "100");
    }
    for (flag, value, text) in [
        ("--memory", "x", "invalid value for memory: \"x\""),
        ("--cpu-quota", "1s", "invalid value for cpu-quota: \"1s\""),
        (
            "--resources",
            "/nosuch",
            "read /nosuch: no such file or directory",
        ),
    ] {
        assert_eq!(case.refused(&["update", &id, flag, value]), text);
    }
    case.ok(&["kill", &id, "KILL"]);
    case.wait_for_status(&id, "stopped");
    let error = case.refused(&["update", &id, "--pids-limit", "20"]);
    assert_eq!(error, "container not running");
}

#[test]
fn events_are_told_until_the_end() {
    let Some((case, id)) = running() else { return };
    let event: Value = serde_json::from_str(&case.ok(&["events", "--stats", &id])).unwrap();
    assert_eq!(event["type"], "stats");
    assert_eq!(event["id"], *id);
    assert!(event["data"]["cpu"]["usage"]["total"].as_u64().unwrap() > 0);
    assert!(event["data"]["pids"]["current"].as_u64().unwrap() > 0);
    let error = case.refused(&["events", "--interval", "0s", &id]);
    assert!(error.starts_with("--interval: "), "{error}");
    let mut child = case
        .command(&["events", "--interval", "10ms", &id])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for _ in 0..2 {
        let event: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(event["type"], "stats");
    }
    case.ok(&["delete", "--force", &id]);
    assert!(child.wait().unwrap().success());
}

#[test]
fn exhausted_memory_is_an_event() {
    let Some(mut case) = case() else { return };
    let id = &case.id("a");
    case.config["linux"]["resources"] = json!({ "memory": { "limit": 16 << 20 } });
    case.ok(&["run", "--detach", id]);
    let mut child = case
        .command(&["events", "--interval", "1h", id])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let eat = "x=a; while :; do x=$x$x; done";
    wait_until("the watch", PATIENCE, || {
        let fds = fs::read_dir(format!("/proc/{}/fd", child.id())).unwrap();
        let names = fds.filter_map(|fd| fs::read_link(fd.unwrap().path()).ok());
        names
            // What waits, and what is waited for: an eventfd on v1, inotify on v2.
            .filter(|name| {
                let name = name.to_string_lossy();
                name.contains("event") || name.contains("inotify")
            })
            .count()
            >= 2
    });
    let output = case.oci(&["exec", id, "sh", "-c", eat]);
    assert_ne!(output.code, 0);
    let event: Value = serde_json::from_str(&lines.map_while(Result::ok).next().unwrap()).unwrap();
    assert_eq!(event, json!({ "type": "oom", "id": id }));
    case.ok(&["delete", "--force", id]);
    assert!(child.wait().unwrap().success());
}

#[test]
fn features_is_a_document() {
    let Some(case) = case() else { return };
    let features: Value = serde_json::from_str(&case.ok(&["features"])).unwrap();
    assert_eq!(features["ociVersionMin"], "1.0.0");
    assert_eq!(features["linux"]["cgroup"]["v1"], true);
}
