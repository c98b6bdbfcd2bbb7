//! runtime.md and bundle.md: scope, state, lifecycle, errors, operations; runtime-linux.md.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::bundle::{bundle, groups};
use crate::support::wait_for;

#[test]
fn the_state_has_what_the_specification_lists() {
    let Some(mut b) = bundle("sleep 1000") else {
        return;
    };
    b.set("/annotations", json!({"org.example.key": "a value"}));
    b.create();
    let state = b.state();
    assert!(
        state["ociVersion"].as_str().unwrap().starts_with("1."),
        "{state}"
    );
    assert_eq!(state["id"], json!(b.id));
    assert_eq!(state["status"], json!("created"));
    assert_eq!(state["bundle"], json!(b.dir.canonicalize().unwrap()));
    assert_eq!(state["annotations"]["org.example.key"], json!("a value"));
    let pid = b.pid();
    assert!(Path::new(&format!("/proc/{pid}")).exists());
    b.start();
    assert_eq!((b.status().as_str(), b.pid()), ("running", pid));
    b.ok(["kill", &b.id, "KILL"]);
    b.await_status("stopped");
}

#[test]
fn every_operation_needs_an_id_that_is_known() {
    let Some(b) = bundle("true") else { return };
    b.write();
    for operation in ["state", "create", "start", "kill", "delete"] {
        assert_ne!(b.oci([operation]).code, 0, "{operation}");
        if operation != "create" {
            b.refused([operation, "nobody"], "does not exist");
        }
    }
}

#[test]
fn create_needs_a_bundle() {
    let Some(b) = bundle("true") else { return };
    let empty = b.aside();
    b.refused(
        ["create", "--bundle", empty.to_str().unwrap(), &b.id],
        "config.json",
    );
    b.refused(
        ["create", "--bundle", "/no/such/bundle", &b.id],
        "/no/such/bundle",
    );
    b.refused(["state", &b.id], "does not exist");
    fs::write(b.dir.join("config.json"), "{").unwrap();
    b.refused(["create", &b.id], "config.json");
}

#[test]
fn an_id_is_taken_once() {
    let Some(b) = bundle("sleep 1000") else {
        return;
    };
    b.create();
    let pid = b.pid();
    b.refused(["create", &b.id], "exist");
    assert_eq!((b.status().as_str(), b.pid()), ("created", pid));
}

#[test]
fn an_id_is_no_path() {
    let Some(b) = bundle("true") else { return };
    b.write();
    for id in ["", ".", "..", "a/b", "../x", "/x", "a b", "ü"] {
        b.refused(["create", id], "id");
    }
}

#[test]
fn create_makes_everything_and_runs_nothing() {
    let Some(mut b) = bundle("") else { return };
    let report = b.aside().join("report");
    b.script("hostname > /aside/report; echo end >> /aside/report; sleep 1000");
    b.set("/hostname", json!("made"));
    b.add("/linux/namespaces", json!({"type": "uts"}));
    b.add(
        "/mounts",
        json!({"destination": "/aside", "type": "bind", "source": b.aside(), "options": ["bind"]}),
    );
    b.create();
    let root = format!("/proc/{}/root", b.pid());
    let mounts = fs::read_to_string(format!("/proc/{}/mounts", b.pid())).unwrap();
    assert!(mounts.contains(" /aside "), "{mounts}");
    let name = |pid| fs::read_link(format!("/proc/{pid}/ns/uts")).unwrap();
    assert_ne!(name(b.pid()), name(i64::from(std::process::id())));
    assert!(Path::new(&root).join("bin/busybox").exists());
    assert!(!report.exists(), "the program ran before start");
    // What is changed now comes too late.
    b.set("/hostname", json!("changed"));
    b.script("true");
    b.write();
    b.start();
    assert_eq!(b.await_report(), ["made"]);
}

#[test]
fn what_is_not_created_cannot_be_started() {
    let Some(b) = bundle("sleep 1000") else {
        return;
    };
    b.launch();
    let pid = b.pid();
    b.refused(["start", &b.id], "running");
    assert_eq!((b.status().as_str(), b.pid()), ("running", pid));
    b.ok(["kill", &b.id, "KILL"]);
    b.await_status("stopped");
    b.refused(["start", &b.id], "stopped");
    assert_eq!(b.status(), "stopped");
}

#[test]
fn without_a_process_there_is_nothing_to_start() {
    let Some(mut b) = bundle("") else { return };
    b.config.as_object_mut().unwrap().remove("process");
    b.write();
    // Refused at once, or made and not startable: the specification has both.
    if b.oci(["create", &b.id]).code == 0 {
        b.refused(["start", &b.id], "process");
    }
}

#[test]
fn a_signal_reaches_the_containers_process() {
    let Some(mut b) = bundle("") else { return };
    b.script("trap 'echo hit >> /aside/report; echo end >> /aside/report' USR1; touch /aside/ready; while :; do sleep 0.01; done");
    b.add(
        "/mounts",
        json!({"destination": "/aside", "type": "bind", "source": b.aside(), "options": ["bind"]}),
    );
    b.launch();
    let ready = b.aside().join("ready");
    wait_for("the trap", || ready.exists().then_some(()));
    b.ok(["kill", &b.id, "USR1"]);
    assert_eq!(b.await_report(), ["hit"]);
    b.ok(["kill", &b.id, "9"]);
    b.await_status("stopped");
    b.refused(["kill", &b.id, "TERM"], "not running");
    assert_eq!(b.status(), "stopped");
    b.ok(["delete", &b.id]);
}

#[test]
fn a_created_container_can_be_killed() {
    let Some(b) = bundle("sleep 1000") else {
        return;
    };
    b.create();
    b.ok(["kill", &b.id, "KILL"]);
    b.await_status("stopped");
    b.ok(["delete", &b.id]);
    b.refused(["state", &b.id], "does not exist");
}

#[test]
fn a_running_container_cannot_be_deleted() {
    let Some(b) = bundle("sleep 1000") else {
        return;
    };
    b.launch();
    let pid = b.pid();
    b.refused(["delete", &b.id], "running");
    assert_eq!((b.status().as_str(), b.pid()), ("running", pid));
}

/// Whether a process is there and not only waiting to be collected.
pub fn is_alive(pid: i64) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(')').next().unwrap_or_default().trim_start();
    !state.is_empty() && !state.starts_with(['Z', 'X'])
}

#[test]
fn delete_removes_what_create_made_and_nothing_else() {
    let Some(mut b) = bundle("sleep 1000") else {
        return;
    };
    let kept = b.aside().join("kept");
    fs::write(&kept, "kept").unwrap();
    b.add(
        "/mounts",
        json!({"destination": "/aside", "type": "bind", "source": b.aside(), "options": ["bind"]}),
    );
    b.set("/linux/cgroupsPath", json!(format!("/{}/inner", b.id)));
    b.launch();
    let pid = b.pid();
    let inner = |groups: Vec<String>| {
        groups
            .iter()
            .filter(|path| path.ends_with("/inner"))
            .count()
    };
    assert_ne!(inner(groups(&b.id)), 0, "no control group was made");
    b.ok(["kill", &b.id, "KILL"]);
    b.await_status("stopped");
    b.ok(["delete", &b.id]);
    assert_eq!(inner(groups(&b.id)), 0, "{:?}", groups(&b.id));
    assert!(!is_alive(pid));
    assert!(kept.exists() && b.rootfs().join("bin/busybox").exists());
    b.refused(["state", &b.id], "does not exist");
    // The id is free again.
    b.create();
    b.ok(["delete", "--force", &b.id]);
}

#[test]
fn a_create_that_fails_leaves_nothing() {
    let Some(mut b) = bundle("true") else { return };
    b.add("/mounts", json!({"destination": "/x", "type": "bind", "source": "/no/such/source", "options": ["bind"]}));
    b.cannot_be_created("/no/such/source");
    assert!(groups(&b.id).is_empty(), "{:?}", groups(&b.id));
    b.config["mounts"].as_array_mut().unwrap().pop();
    b.create();
}

#[test]
fn a_program_that_does_not_exist_is_an_error() {
    let Some(mut b) = bundle("") else { return };
    b.set("/process/args", json!(["/no/such/program"]));
    let output = b.run();
    assert_ne!(output.code, 0);
    assert!(output.stderr.contains("/no/such/program"), "{output:#?}");
    b.refused(["state", &b.id], "does not exist");
}

#[test]
fn only_the_standard_streams_are_inherited() {
    let Some(b) = bundle("ls /proc/self/fd | wc -l; readlink /proc/self/fd/3 || echo none") else {
        return;
    };
    // ls has one of its own.
    let lines = b.prints();
    assert_eq!(lines.lines().next_back(), Some("none"), "{lines}");
    assert_eq!(lines.lines().next(), Some("4"), "{lines}");
}

#[test]
fn dev_has_the_usual_links() {
    let Some(b) = bundle("for n in fd stdin stdout stderr; do readlink /dev/$n; done") else {
        return;
    };
    let links = "/proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2";
    assert_eq!(b.prints(), links);
}

/// What the schema of the specification says of a state.
fn assert_is_a_state(state: &Value) {
    for name in ["ociVersion", "id", "status", "bundle"] {
        assert!(state[name].is_string(), "{name}: {state:#}");
    }
    let bundle = state["bundle"].as_str().unwrap();
    assert!(bundle.starts_with('/'), "{state:#}");
    let status = state["status"].as_str().unwrap();
    let waits_or_runs = matches!(status, "created" | "running" | "paused");
    assert!(waits_or_runs || status == "stopped", "{state:#}");
    let pid = state.get("pid").map(|pid| pid.as_u64().unwrap());
    assert_eq!(pid.unwrap_or(0) > 0, waits_or_runs, "{state:#}");
    let annotations = state.get("annotations").and_then(Value::as_object);
    let mut values = annotations.into_iter().flatten();
    assert!(values.all(|(_, value)| value.is_string()), "{state:#}");
}

#[test]
fn every_state_is_one_of_the_schema() {
    let Some(mut b) = bundle("sleep 1000") else {
        return;
    };
    b.set("/annotations", json!({"a": "b"}));
    b.create();
    assert_is_a_state(&b.state());
    b.start();
    assert_is_a_state(&b.state());
    // A state beside those of the specification.
    b.ok(["pause", &b.id]);
    assert_eq!(b.status(), "paused");
    assert_is_a_state(&b.state());
    b.ok(["resume", &b.id]);
    assert_eq!(b.status(), "running");
    b.ok(["kill", &b.id, "KILL"]);
    b.await_status("stopped");
    assert_is_a_state(&b.state());
}

#[test]
fn whoever_made_a_container_can_do_everything_with_it() {
    let Some(b) = bundle("sleep 1000") else {
        return;
    };
    b.create();
    for operation in [
        &["state"][..],
        &["start"],
        &["state"],
        &["kill"],
        &["delete", "--force"],
    ] {
        let mut args = operation.to_vec();
        args.push(&b.id);
        b.ok(args);
    }
}

/// runc and crun do so, and engines count on it.
#[test]
fn a_container_that_was_never_started_can_be_deleted() {
    let Some(b) = bundle("sleep 1000") else {
        return;
    };
    b.create();
    let pid = b.pid();
    b.ok(["delete", &b.id]);
    assert!(!is_alive(pid));
}
