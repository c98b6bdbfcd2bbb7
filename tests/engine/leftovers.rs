//! What processes that were killed leave behind, one thing at a time, as the soak (`soak/`) found it: whoever looks next
//! clears it away, and nobody is told of system calls that failed for it.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use wharf::engine::runtime::channel::{Channel, Report, Request};

use crate::support::{
    BUSYBOX, Host, PATIENCE, cgroup_mounts, cgroups_of, names_in, privileged, wait_until,
};

fn host() -> Option<Host> {
    let host = privileged()?;
    host.busybox_image()?;
    Some(host)
}

fn run(host: &Host, more: &[&str]) -> String {
    let args = ["run", "-d", "--network", "none"].iter().chain(more);
    host.ok(args.copied().chain([BUSYBOX, "sleep", "1000"]))
}

/// The number of a process that has ended.
fn dead() -> u32 {
    let mut child = Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    child.id()
}

fn monitor_of(host: &Host, id: &str) -> Pid {
    let state = fs::read(host.run().join("containers").join(id).join("state.json")).unwrap();
    let state: serde_json::Value = serde_json::from_slice(&state).unwrap();
    let pid = state["monitor"].as_i64().unwrap();
    Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()
}

/// Whether a process sleeps that has a socket (proc(5), `stat`, `fd`).
fn waits_at_a_socket(pid: u32) -> bool {
    let of = format!("/proc/{pid}");
    let stat = fs::read_to_string(format!("{of}/stat")).unwrap_or_default();
    let sleeps = stat
        .rsplit(')')
        .next()
        .is_some_and(|rest| rest.starts_with(" S"));
    let files = names_in(Path::new(&format!("{of}/fd"))).into_iter();
    let mut files = files.filter_map(|fd| fs::read_link(format!("{of}/fd/{fd}")).ok());
    sleeps && files.any(|target| target.to_string_lossy().starts_with("socket:"))
}

/// A process that is stopped goes on when this is dropped: else nobody could remove its container.
struct Stopped(Pid);

impl Stopped {
    fn stop(pid: Pid) -> Self {
        kill_process(pid, Signal::STOP).unwrap();
        Self(pid)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::CONT);
    }
}

fn copy_files(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for name in names_in(from) {
        let path = from.join(&name);
        if fs::symlink_metadata(&path).unwrap().is_file() {
            fs::copy(path, to.join(&name)).unwrap();
        }
    }
}

#[test]
fn a_create_that_was_killed_gives_back_its_name_and_its_volumes() {
    let Some(host) = host() else { return };
    let id = "ab".repeat(32);
    host.ok(["volume", "create", "named"]);
    let anonymous = host.ok(["volume", "create"]);
    let containers = host.data().join("containers");
    let stage = containers.join(format!(".new-{}-{id}", dead()));
    fs::create_dir_all(stage.join("upper")).unwrap();
    fs::write(host.data().join("names/taken"), format!("{id}\n")).unwrap();
    for volume in ["named", &anonymous] {
        let users = host.data().join("volumes").join(volume).join("users");
        fs::write(users.join(&id), "").unwrap();
    }
    assert_eq!(host.ok(["ps", "-aq"]), "");
    assert_eq!(names_in(&containers), Vec::<String>::new());
    assert_eq!(names_in(&host.data().join("names")), Vec::<String>::new());
    // The one that was made for it goes with it.
    assert_eq!(host.ok(["volume", "ls", "-q"]), "named");
    let users = host.data().join("volumes/named/users");
    assert_eq!(names_in(&users), Vec::<String>::new());
}

#[test]
fn a_start_that_was_killed_leaves_no_live_directory_and_no_group() {
    let Some(host) = host() else { return };
    let id = run(&host, &["--name", "web"]);
    let live = host.run().join("containers").join(&id);
    let kept = host.dir().join("kept");
    copy_files(&live, &kept);
    host.ok(["stop", "-t", "0", "web"]);
    // As a monitor leaves it that was killed before its first word.
    fs::remove_file(kept.join("state.json")).unwrap();
    copy_files(&kept, &live);
    // In every hierarchy that the engine uses: beside those of version 1 the unified one is not.
    let mounts = cgroup_mounts();
    for mount in &mounts {
        if mounts.len() == 1 || !mount.ends_with("unified") {
            let _ = fs::create_dir_all(mount.join("wharf").join(&id));
        }
    }
    assert!(!cgroups_of(std::slice::from_ref(&id)).is_empty());
    let listed = host.ok(["ps", "-a", "--format", "{{.Names}} {{.State}}"]);
    assert_eq!(listed, "web exited");
    assert!(!live.exists());
    assert!(cgroups_of(&[id]).is_empty());
    host.ok(["start", "web"]);
}

#[test]
fn a_removal_by_its_monitor_that_was_killed_is_finished() {
    let Some(host) = host() else { return };
    let id = run(&host, &["--rm", "--name", "web", "-v", "/anonymous"]);
    let volume = host.ok(["volume", "ls", "-q"]);
    let live = host.run().join("containers").join(&id);
    let kept = host.dir().join("kept");
    copy_files(&live, &kept);
    host.ok(["stop", "-t", "0", "web"]);
    // The container's directory has gone, its live one and its volume have not.
    let mut state: serde_json::Value =
        serde_json::from_slice(&fs::read(kept.join("state.json")).unwrap()).unwrap();
    state["status"] = "exited".into();
    state["pid"] = serde_json::Value::Null;
    fs::write(kept.join("state.json"), state.to_string()).unwrap();
    copy_files(&kept, &live);
    host.ok(["volume", "create", &volume]);
    assert_eq!(host.ok(["ps", "-aq"]), "");
    assert!(!live.exists());
    assert_eq!(host.ok(["volume", "ls", "-q"]), "");
}

#[test]
fn a_monitor_leaves_a_name_alone_that_is_anothers_by_now() {
    let Some(host) = host() else { return };
    run(&host, &["--rm", "--name", "web"]);
    let name = host.data().join("names/web");
    let other = "cd".repeat(32);
    fs::write(&name, format!("{other}\n")).unwrap();
    let id = host.ok(["ps", "-q"]);
    host.ok(["stop", "-t", "0", &id]);
    assert_eq!(fs::read_to_string(&name).unwrap().trim(), other);
    fs::remove_file(&name).unwrap();
}

#[test]
fn records_that_were_never_finished_are_found_and_removed() {
    let Some(host) = host() else { return };
    let id = host.ok(["create", "--network", "none", BUSYBOX]);
    let gone = dead();
    let living = std::process::id();
    let temporary = host.data().join(format!(".images.json.{gone}.a.tmp"));
    let anothers = host.data().join(format!(".images.json.{living}.a.tmp"));
    let own = host.data().join("containers").join(&id);
    let inside = own.join(format!(".container.json.{gone}.0.tmp"));
    for path in [&temporary, &anothers, &inside] {
        fs::write(path, "{").unwrap();
    }
    let checked = host.wharf(["system", "check"]);
    assert_eq!(checked.code, 1, "{checked:#?}");
    assert!(checked.stdout.contains("images.json"), "{checked:#?}");
    host.ok(["image", "prune", "-f"]);
    host.ok(["container", "prune", "-f", "--filter", "label=none"]);
    host.ok(["system", "check"]);
    assert!(!temporary.exists());
    assert!(!inside.exists());
    assert!(anothers.exists());
}

#[test]
fn a_stop_is_a_stop_when_the_monitor_is_killed_under_it() {
    let Some(host) = host() else { return };
    let id = run(&host, &["--restart", "always"]);
    let monitor = monitor_of(&host, &id);
    // It does not hear what it is asked.
    let _stopped = Stopped::stop(monitor);
    let mut stop = host.command(["stop", "-t", "0", &id]);
    let mut stop = stop.stdout(Stdio::null()).spawn().unwrap();
    wait_until("the stop to ask", PATIENCE, || waits_at_a_socket(stop.id()));
    kill_process(monitor, Signal::KILL).unwrap();
    assert!(stop.wait().unwrap().success());
    // Whoever found the monitor dead has started the container again, by its policy.
    let state = host.ok(["inspect", "-f", "{{.State.Status}}", &id]);
    assert_eq!(state, "exited");
}

#[test]
fn a_removal_by_force_takes_a_container_that_is_started_again_meanwhile() {
    let Some(host) = host() else { return };
    let id = run(&host, &["--restart", "always"]);
    kill_process(monitor_of(&host, &id), Signal::KILL).unwrap();
    host.ok(["rm", "-f", &id]);
    assert_eq!(host.container_ids(), Vec::<String>::new());
}

#[test]
fn an_exec_into_a_container_whose_process_is_just_ending_says_that_it_does_not_run() {
    let Some(host) = host() else { return };
    let id = run(&host, &[]);
    let pid = host.ok(["inspect", "-f", "{{.State.Pid}}", &id]);
    // The monitor does not see the end yet, so the state says that it runs.
    let monitor = monitor_of(&host, &id);
    let stopped = Stopped::stop(monitor);
    let first = Pid::from_raw(pid.parse().unwrap()).unwrap();
    kill_process(first, Signal::KILL).unwrap();
    wait_until("it has ended", PATIENCE, || {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        stat.contains(") Z ")
    });
    let output = host.wharf(["exec", &id, "true"]);
    drop(stopped);
    assert_eq!(output.code, 1, "{output:#?}");
    assert!(output.stderr.contains("not running"), "{output:#?}");
    assert!(!output.stderr.contains("process"), "{output:#?}");
}

#[test]
fn a_removal_that_somebody_else_finishes_meanwhile_is_told_as_a_container_that_is_gone() {
    let Some(host) = host() else { return };
    host.ok(["run", "--network", "none", BUSYBOX, "true"]);
    let id = host.container_ids().remove(0);
    let dir = host.data().join("containers").join(&id);
    let state = fs::read_to_string(dir.join("state.json")).unwrap();
    let removing = state.replace("\"exited\"", "\"removing\"");
    assert_ne!(state, removing);
    fs::write(dir.join("state.json"), removing).unwrap();
    // As when its directory goes between the look at its state and that at its lock.
    let _ = fs::remove_file(dir.join("lock"));
    symlink("/nonexistent/lock", dir.join("lock")).unwrap();
    let output = host.wharf(["restart", &id]);
    fs::remove_file(dir.join("lock")).unwrap();
    assert_eq!(output.code, 1, "{output:#?}");
    let told = format!("No such container: {id}");
    assert!(output.stderr.contains(&told), "{output:#?}");
}

#[test]
fn a_change_of_a_container_that_goes_by_itself_meanwhile_is_told_in_words() {
    let Some(host) = host() else { return };
    // Chance decides how far each change comes before the container is gone.
    for round in 0..12 {
        let id = run(&host, &["--rm", "--name", "goes"]);
        let mut stop = host.command(["stop", "-t", "0", &id]);
        let mut stop = stop.stdout(Stdio::null()).spawn().unwrap();
        let changes: [&[&str]; 3] = [
            &["update", "--memory", "64m", &id],
            &["rename", &id, "other"],
            &["pause", &id],
        ];
        let change = changes.into_iter().cycle().nth(round).unwrap();
        let output = host.wharf(change.iter().copied());
        assert!(stop.wait().unwrap().success());
        let told = output.stderr.to_lowercase();
        assert!(!told.contains("no such file"), "{change:?}: {output:#?}");
    }
}

/// A conversation with a container's monitor.
fn front(host: &Host, id: &str) -> Channel {
    let socket = host.run().join("containers").join(id).join("ctl.sock");
    let stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    Channel::new(stream.into())
}

#[test]
fn what_is_being_killed_cannot_be_paused() {
    let Some(host) = host() else { return };
    let id = run(&host, &[]);
    let mut front = front(&host, &id);
    let stopped = Stopped::stop(monitor_of(&host, &id));
    // It hears both at once, so that the process has not ended in between.
    let kill = Request::Stop {
        signal: Some(libc::SIGKILL),
        timeout: Some(0),
        keep: true,
    };
    front.request(&kill).unwrap();
    front.request(&Request::Pause).unwrap();
    drop(stopped);
    front.report().unwrap_err();
    let over = front.report().unwrap();
    assert!(matches!(over, Some(Report::Exit(_))), "{over:?}");
}

/// Whether a process has ended and its parent has not seen it yet.
fn is_zombie(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')')
        .next()
        .is_some_and(|rest| rest.starts_with(" Z"))
}

#[test]
fn a_process_that_ends_while_it_is_paused_is_started_again_thawed() {
    let Some(host) = host() else { return };
    let id = run(&host, &["--restart", "always"]);
    let pid = host.ok(["inspect", "-f", "{{.State.Pid}}", &id]);
    let mut front = front(&host, &id);
    // Once it has refused this, it listens to this front.
    front.request(&Request::Unpause).unwrap();
    front.report().unwrap_err();
    let stopped = Stopped::stop(monitor_of(&host, &id));
    // When it goes on, it sees the request first, and then the end of the process.
    front.request(&Request::Pause).unwrap();
    kill_process(Pid::from_raw(pid.parse().unwrap()).unwrap(), Signal::KILL).unwrap();
    wait_until("the end of the process", PATIENCE, || is_zombie(&pid));
    drop(stopped);
    front.report().unwrap();
    wait_until("the next process", PATIENCE, || {
        let told = "{{.State.Status}} {{.RestartCount}}";
        host.ok(["inspect", "-f", told, &id]) == "running 1"
    });
    host.ok(["exec", &id, "true"]);
}

#[test]
fn a_removal_by_force_does_not_wait_for_a_monitor_that_is_stopped() {
    let Some(host) = host() else { return };
    let id = run(&host, &[]);
    let _stopped = Stopped::stop(monitor_of(&host, &id));
    host.ok(["rm", "-f", &id]);
    assert_eq!(host.container_ids(), Vec::<String>::new());
    assert!(cgroups_of(&[id]).is_empty());
}

#[test]
fn limits_of_a_container_that_has_just_ended_are_refused_in_words() {
    let Some(host) = host() else { return };
    let id = run(&host, &["--name", "web"]);
    let first = host.ok(["inspect", "-f", "{{.State.Pid}}", "web"]);
    let first = Pid::from_raw(first.parse().unwrap()).unwrap();
    let _stopped = Stopped::stop(monitor_of(&host, &id));
    kill_process(first, Signal::KILL).unwrap();
    // Its monitor has not noticed, and its groups go.
    for group in cgroups_of(std::slice::from_ref(&id)) {
        wait_until("its group goes", PATIENCE, || {
            for name in names_in(&group) {
                let _ = fs::remove_dir(group.join(name));
            }
            fs::remove_dir(&group).is_ok()
        });
    }
    let refused = host.wharf(["update", "--memory", "64m", "web"]);
    assert_eq!(refused.code, 1);
    assert!(
        refused.stderr.contains("web: container is not running"),
        "{refused:?}"
    );
    assert!(!refused.stderr.contains("no such file"), "{refused:?}");
}
