//! `wharf oci`: commands that waited for others, and what they find then.

use std::fs::{self, File};
use std::io::Write;
use std::process::{Child, Command, Stdio};

use rustix::fs::{FlockOperation, flock};
use serde_json::json;

use crate::oci::{Case, case};
use crate::support::{PATIENCE, names_in, wait_until};

/// A command whose streams nobody reads.
fn begin(case: &Case, args: &[&str]) -> Child {
    let mut command = case.command(args);
    let error = File::create(case.dir().join(args[0])).unwrap();
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(error)
        .spawn()
        .unwrap()
}

/// Whether a process has locks, or waits for one (proc_locks(5)).
fn locks(child: &Child, waits: bool) -> bool {
    let pid = child.id().to_string();
    let table = fs::read_to_string("/proc/locks").unwrap();
    table.lines().any(|line| {
        let mut words = line.split_whitespace().skip(1).peekable();
        let is_waiting = words.next_if_eq(&"->").is_some();
        let is_its = words.next() == Some("FLOCK") && words.nth(2) == Some(&pid);
        is_its && is_waiting == waits
    })
}

fn await_lock(child: &Child, waits: bool) {
    wait_until("a lock", PATIENCE, || locks(child, waits));
}

#[test]
fn a_delete_that_waited_takes_no_later_container_of_that_name() {
    let Some(case) = case() else { return };
    let id = &case.id("a");
    case.ok(&["run", "--detach", id]);
    let place = case.root().join(id);
    let held = File::open(&place).unwrap();
    flock(&held, FlockOperation::LockExclusive).unwrap();
    let mut delete = begin(&case, &["delete", "--force", id]);
    await_lock(&delete, true);
    // Somebody else was faster, and made another one.
    fs::rename(&place, case.dir().join("gone")).unwrap();
    case.ok(&["run", "--detach", id]);
    drop(held);
    assert!(delete.wait().unwrap().success());
    assert_eq!(case.status(id), "running");
    // No file is made for locking, which could come back while the directory is removed.
    assert_eq!(names_in(&place), ["config.json", "state.json"]);
}

#[test]
fn a_run_that_ends_takes_no_later_container_of_that_name() {
    let Some(case) = case() else { return };
    let id = &case.id("a");
    let mut run = begin(&case, &["run", id]);
    let place = case.root().join(id);
    wait_until("a start", PATIENCE, || {
        place.join("state.json").exists() && case.status(id) == "running"
    });
    let held = File::open(&place).unwrap();
    flock(&held, FlockOperation::LockExclusive).unwrap();
    case.ok(&["kill", id, "KILL"]);
    await_lock(&run, true);
    fs::rename(&place, case.dir().join("gone")).unwrap();
    case.ok(&["run", "--detach", id]);
    drop(held);
    assert_eq!(run.wait().unwrap().code(), Some(128 + 9));
    assert_eq!(case.status(id), "running");
}

#[test]
fn a_delete_that_waited_does_not_end_what_was_started_meanwhile() {
    let Some(mut case) = case() else { return };
    let id = &case.id("a");
    let fifo = case.bundle().join("rootfs/tmp/fifo");
    let made = Command::new("mkfifo").arg(&fifo).status().unwrap();
    assert!(made.success());
    let hook = json!({ "path": "/bin/sh", "args": ["sh", "-c", "read line < /tmp/fifo"] });
    case.config["hooks"] = json!({ "startContainer": [hook] });
    case.ok(&["create", id]);
    let mut start = begin(&case, &["start", id]);
    await_lock(&start, false);
    let mut delete = begin(&case, &["delete", id]);
    await_lock(&delete, true);
    // Opened for both, so that this does not wait.
    let mut fifo = File::options().read(true).write(true).open(&fifo).unwrap();
    fifo.write_all(b"go on\n").unwrap();
    assert!(start.wait().unwrap().success());
    assert!(!delete.wait().unwrap().success());
    let told = fs::read_to_string(case.dir().join("delete")).unwrap();
    assert!(told.ends_with("that is not stopped: running\n"), "{told}");
    assert_eq!(case.status(id), "running");
}
