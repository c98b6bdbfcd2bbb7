//! The life of containers from the outside: order of the world, truth after kill -9, many at once, bad input.

use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::{
    BUSYBOX, Host, PATIENCE, collect, image_archive, names_in, privileged, wait_for, wait_until,
};

/// A host with the busybox image, or `None` where that cannot be.
fn host() -> Option<Host> {
    let host = privileged()?;
    host.busybox_image()?;
    Some(host)
}

fn state(host: &Host, name: &str, field: &str) -> String {
    host.ok([
        "inspect",
        "--format",
        &format!("{{{{.State.{field}}}}}"),
        name,
    ])
}

/// Starts a container in the background and returns its id.
fn background(host: &Host, more: &[&str], command: &[&str]) -> String {
    let mut args = vec!["run", "-d", "--network", "none"];
    args.extend(more);
    args.push(BUSYBOX);
    args.extend(command);
    host.ok(args)
}

/// Kills, and waits until it is dead: kill(2) returns before that.
pub(crate) fn kill_9(pid: i32) {
    let target = rustix::process::Pid::from_raw(pid).unwrap();
    let _ = rustix::process::kill_process(target, rustix::process::Signal::KILL);
    wait_until("the killed process's end", PATIENCE, || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit(')')
            .next()
            .is_none_or(|rest| rest.is_empty() || rest.starts_with(" Z"))
    });
}

/// The monitor's pid, from its own live record.
pub(crate) fn monitor_of(host: &Host, id: &str) -> i32 {
    let path = host.run().join("containers").join(id).join("state.json");
    let text = std::fs::read_to_string(path).unwrap();
    let state: serde_json::Value = serde_json::from_str(&text).unwrap();
    i32::try_from(state["monitor"].as_i64().unwrap()).unwrap()
}

#[test]
fn a_container_is_made_started_stopped_and_removed() {
    let Some(host) = host() else { return };
    let id = host.ok([
        "create",
        "--network",
        "none",
        "--name",
        "web",
        BUSYBOX,
        "sleep",
        "1000",
    ]);
    assert_eq!(state(&host, "web", "Status"), "created");
    assert_eq!(host.ok(["start", "web"]), "web");
    assert_eq!(state(&host, "web", "Status"), "running");
    assert_eq!(host.ok(["ps", "-q", "--no-trunc"]), id);
    assert_eq!(host.ok(["stop", "-t", "0", "web"]), "web");
    assert_eq!(state(&host, "web", "ExitCode"), "137");
    assert_eq!(host.ok(["ps", "-q"]), "");
    assert_eq!(host.ok(["rm", "web"]), "web");
    assert_eq!(host.ok(["ps", "-aq"]), "");
    assert_eq!(host.container_ids(), Vec::<String>::new());
    assert_eq!(names_in(&host.data().join("names")), Vec::<String>::new());
}

#[test]
fn what_a_container_wrote_is_there_after_a_restart_and_not_in_its_sibling() {
    let Some(host) = host() else { return };
    background(
        &host,
        &["--name", "kept"],
        &["sh", "-c", "echo x >> /kept; sleep 1000"],
    );
    wait_until("the file", PATIENCE, || {
        host.wharf(["exec", "kept", "test", "-s", "/kept"]).code == 0
    });
    host.ok(["restart", "-t", "0", "kept"]);
    wait_until("the second line", PATIENCE, || {
        host.wharf(["exec", "kept", "sh", "-c", "test $(wc -l < /kept) = 2"])
            .code
            == 0
    });
    let other = host.wharf([
        "run",
        "--rm",
        "--network",
        "none",
        BUSYBOX,
        "test",
        "-e",
        "/kept",
    ]);
    assert_eq!(other.code, 1, "{other:?}");
}

#[test]
fn after_kill_9_of_a_monitor_ps_tells_the_truth_and_rm_leaves_nothing() {
    let Some(host) = host() else { return };
    let id = background(&host, &["--name", "victim"], &["sleep", "1000"]);
    let main: i32 = state(&host, "victim", "Pid").parse().unwrap();
    kill_9(monitor_of(&host, &id));
    assert_eq!(state(&host, "victim", "Status"), "exited");
    assert_eq!(state(&host, "victim", "ExitCode"), "137");
    assert!(
        !std::path::Path::new(&format!("/proc/{main}/root/bin/busybox")).exists(),
        "the process lives"
    );
    host.ok(["rm", "-f", "victim"]);
    assert_eq!(host.container_ids(), Vec::<String>::new());
}

#[test]
fn after_kill_9_of_the_main_process_the_exit_is_recorded() {
    let Some(host) = host() else { return };
    background(&host, &["--name", "victim"], &["sleep", "1000"]);
    kill_9(state(&host, "victim", "Pid").parse().unwrap());
    wait_until("exited", PATIENCE, || {
        state(&host, "victim", "Status") == "exited"
    });
    assert_eq!(state(&host, "victim", "ExitCode"), "137");
    assert_eq!(state(&host, "victim", "OOMKilled"), "false");
}

#[test]
fn an_auto_removed_container_goes_away_even_if_its_monitor_was_killed() {
    let Some(host) = host() else { return };
    let id = background(&host, &["--rm"], &["sleep", "1000"]);
    kill_9(monitor_of(&host, &id));
    assert_eq!(host.ok(["ps", "-aq"]), "");
    assert_eq!(host.container_ids(), Vec::<String>::new());
}

#[test]
fn a_restart_policy_holds_even_if_the_monitor_was_killed() {
    let Some(host) = host() else { return };
    let id = background(
        &host,
        &["--restart", "always", "--name", "phoenix"],
        &["sleep", "1000"],
    );
    let first = monitor_of(&host, &id);
    kill_9(first);
    wait_until("running again", PATIENCE, || {
        host.ok(["ps", "-q"]);
        state(&host, "phoenix", "Status") == "running" && monitor_of(&host, &id) != first
    });
    let count = host.ok(["inspect", "--format", "{{.RestartCount}}", "phoenix"]);
    assert_eq!(count, "1");
    host.ok(["rm", "-f", "phoenix"]);
}

/// As Docker: whoever is attached, or waits, sees one run; the policy goes on by itself.
#[test]
fn a_front_leaves_with_the_first_run_and_the_policy_goes_on() {
    let Some(host) = host() else { return };
    let args = [
        "run",
        "-i",
        "--network",
        "none",
        "--restart",
        "always",
        "--name",
        "phoenix",
        BUSYBOX,
        "sh",
    ];
    let output = host.wharf_with(args, b"echo once; exit 11");
    assert_eq!((output.code, output.stdout.as_str()), (11, "once\n"));
    wait_until("running again", PATIENCE, || {
        state(&host, "phoenix", "Status") == "running"
    });
    let mut waits = host.command(["wait", "phoenix"]).spawn().unwrap();
    wait_until("the one who waits sees an end", PATIENCE, || {
        host.wharf(["kill", "-s", "KILL", "phoenix"]);
        waits.try_wait().unwrap().is_some()
    });
    host.ok(["rm", "-f", "phoenix"]);
}

/// What a reboot does: every process ends at once, and the run root is empty afterwards.
fn reboot(host: &Host, ids: &[&String]) {
    let monitors: Vec<i32> = ids.iter().map(|id| monitor_of(host, id)).collect();
    for monitor in monitors {
        kill_9(monitor);
    }
    std::fs::remove_dir_all(host.run()).unwrap();
}

#[test]
fn after_a_reboot_what_ran_has_ended_and_restart_policies_hold() {
    let Some(host) = host() else { return };
    let plain = background(&host, &["--name", "plain"], &["sleep", "1000"]);
    let always = background(
        &host,
        &["--name", "always", "--restart", "always"],
        &["sleep", "1000"],
    );
    let passing = background(&host, &["--name", "passing", "--rm"], &["sleep", "1000"]);
    let stopped = background(
        &host,
        &["--name", "stopped", "--restart", "unless-stopped"],
        &["sleep", "1000"],
    );
    host.ok(["stop", "-t", "0", &stopped]);
    // The last words of a start are written after its front has its answer.
    wait_until("running on disk", PATIENCE, || {
        [&plain, &always, &passing].iter().all(|id| {
            let path = host.data().join("containers").join(id).join("state.json");
            std::fs::read_to_string(path).is_ok_and(|text| text.contains("\"running\""))
        })
    });
    reboot(&host, &[&plain, &always, &passing]);
    let names = host.ok(["ps", "-a", "--format", "{{.Names}} {{.State}}"]);
    let mut names: Vec<&str> = names.lines().collect();
    names.sort_unstable();
    assert_eq!(names, ["always running", "plain exited", "stopped exited"]);
    assert_eq!(state(&host, "plain", "ExitCode"), "137");
}

#[test]
fn a_front_killed_at_any_moment_leaves_a_consistent_store() {
    let Some(host) = host() else { return };
    for round in 0..40u64 {
        let mut front = host
            .command(["run", "-d", "--network", "none", BUSYBOX, "sleep", "1000"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // A different moment each time: the kill falls anywhere between the first system call and the last.
        let until = std::time::Instant::now() + std::time::Duration::from_micros(round * 400);
        while std::time::Instant::now() < until {
            std::hint::spin_loop();
        }
        let _ = front.kill();
        front.wait().unwrap();
        // Whatever there is now must be listed without an error, and everything listed must be whole.
        for id in host.ok(["ps", "-aq"]).lines() {
            let status = state(&host, id, "Status");
            assert!(
                ["created", "running"].contains(&status.as_str()),
                "{status}"
            );
        }
    }
    wait_until("stages cleared", PATIENCE, || {
        host.ok(["ps", "-aq"]);
        !names_in(&host.data().join("containers"))
            .iter()
            .any(|name| name.starts_with('.'))
    });
    let ids = host.ok(["ps", "-aq"]);
    if !ids.is_empty() {
        host.ok(["rm", "-f"].into_iter().chain(ids.lines()));
    }
    assert_eq!(host.container_ids(), Vec::<String>::new());
}

#[test]
fn two_hundred_containers_by_eight_processes_at_once_leave_a_clean_host() {
    let Some(host) = host() else { return };
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= 200 {
                        return;
                    }
                    let name = format!("many-{number}");
                    let text = format!("hello {number}");
                    if number.is_multiple_of(2) {
                        let output = host.ok([
                            "run",
                            "--rm",
                            "--network",
                            "none",
                            "--name",
                            &name,
                            BUSYBOX,
                            "echo",
                            &text,
                        ]);
                        assert_eq!(output, text);
                    } else {
                        background(&host, &["--name", &name], &["sleep", "1000"]);
                        host.ok(["rm", "-f", &name]);
                    }
                }
            });
        }
    });
    assert_eq!(host.container_ids(), Vec::<String>::new());
    assert_eq!(host.ok(["ps", "-aq"]), "");
}

#[test]
fn bad_requests_get_one_line_the_right_code_and_leave_nothing() {
    let Some(host) = host() else { return };
    let none = &["--network", "none"];
    let run = |more: &[&str]| {
        let args: Vec<&str> = ["run", "--rm"]
            .iter()
            .chain(none)
            .chain(more)
            .copied()
            .collect();
        host.wharf(args)
    };
    let missing = host.dir().join("not-there").display().to_string();
    let bind = format!("type=bind,source={missing},target=/x");
    for (more, code, text) in [
        (
            vec!["--pull", "never", "no-such-image", "true"],
            125,
            "no-such-image",
        ),
        (vec![BUSYBOX, "no-such-command"], 127, "no-such-command"),
        (
            vec![BUSYBOX, "/bin/no-such-command"],
            127,
            "no-such-command",
        ),
        (vec![BUSYBOX, "/etc"], 126, "/etc"),
        (vec![BUSYBOX, "/etc/passwd"], 126, "/etc/passwd"),
        (vec!["-u", "nosuch", BUSYBOX, "true"], 125, "nosuch"),
        (vec!["-u", "4294967296", BUSYBOX, "true"], 125, "range"),
        (
            vec!["--mount", &bind, BUSYBOX, "true"],
            125,
            "does not exist",
        ),
        (vec!["-w", "relative", BUSYBOX, "true"], 125, "absolute"),
        (vec!["--memory", "1k", BUSYBOX, "true"], 125, "6MB"),
        (
            vec!["--name", "../x", BUSYBOX, "true"],
            125,
            "container name",
        ),
    ] {
        let output = run(&more);
        assert_eq!(output.code, code, "{more:?}: {output:?}");
        assert!(output.stderr.contains(text), "{more:?}: {output:?}");
        assert_eq!(output.stdout, "", "{more:?}");
        let lines = output
            .stderr
            .lines()
            .filter(|line| !line.is_empty() && !line.contains("--help"))
            .count();
        assert_eq!(lines, 1, "{more:?}: {}", output.stderr);
        assert_eq!(host.container_ids(), Vec::<String>::new(), "{more:?}");
    }
    assert!(!std::path::Path::new(&missing).exists());
}

#[test]
fn a_name_is_given_once_and_an_ambiguous_prefix_is_refused() {
    let Some(host) = host() else { return };
    host.ok([
        "create",
        "--network",
        "none",
        "--name",
        "web",
        BUSYBOX,
        "true",
    ]);
    let again = host.wharf([
        "create",
        "--network",
        "none",
        "--name",
        "web",
        BUSYBOX,
        "true",
    ]);
    assert_eq!(again.code, 1, "{again:?}");
    assert!(again.stderr.contains("already in use"), "{again:?}");
    let run = host.wharf(["run", "--network", "none", "--name", "web", BUSYBOX, "true"]);
    assert_eq!(run.code, 125, "{run:?}");
    // Sixteen more, and two of them share their first digit.
    for _ in 0..17 {
        host.ok(["create", "--network", "none", BUSYBOX, "true"]);
    }
    let ids = host.ok(["ps", "-aq"]);
    let firsts: Vec<&str> = ids.lines().filter_map(|id| id.get(..1)).collect();
    let shared = firsts
        .iter()
        .find(|f| firsts.iter().filter(|g| g == f).count() > 1)
        .unwrap();
    let output = host.wharf(["inspect", shared]);
    assert_eq!(output.code, 1);
    assert!(output.stderr.contains("prefix"), "{output:?}");
    host.ok(["rm"].into_iter().chain(ids.lines()));
}

#[test]
fn a_full_disk_gets_one_line_and_leaves_nothing() {
    let Some(host) = host() else { return };
    // A tmpfs of its own in a private mount namespace is the disk that fills up; nothing of it reaches the host.
    let layer = vec![0u8; 1 << 20];
    let mut tar = crate::support::Archive::new();
    for n in 0..12 {
        tar.file(&format!("f{n}"), 0o644, &layer);
    }
    let archive = host.dir().join("big.tar");
    std::fs::write(&archive, image_archive("big:1", &[tar.finish()], &["sh"])).unwrap();
    let script = format!(
        "mkdir {0}/small && mount -t tmpfs -o size=8m tmpfs {0}/small && \
         {1} --root {0}/small/d load -i {0}/big.tar; code=$?; find {0}/small/d -type f -size +0 | sort >&2; umount {0}/small; exit $code",
        host.dir().display(),
        crate::support::WHARF
    );
    let mut command = std::process::Command::new("unshare");
    command
        .args(["-m", "sh", "-c", &script])
        .env("WHARF_RUN_ROOT", host.run());
    let output = collect(&mut command, &[]);
    assert_eq!(output.code, 1, "{output:?}");
    assert!(output.stderr.contains("no space left"), "{output:?}");
    assert!(
        !output.stderr.contains("layers/"),
        "half a layer stayed: {output:?}"
    );
}

#[test]
fn rmi_of_an_image_in_use_is_refused_and_its_containers_go_on() {
    let Some(host) = host() else { return };
    background(&host, &["--name", "user"], &["sleep", "1000"]);
    let output = host.wharf(["rmi", BUSYBOX]);
    assert_eq!(output.code, 1, "{output:?}");
    let forced = host.wharf(["rmi", "-f", BUSYBOX]);
    // Docker untags by name even then; what runs must go on either way.
    assert!([0, 1].contains(&forced.code), "{forced:?}");
    assert_eq!(host.ok(["exec", "user", "echo", "alive"]), "alive");
    host.ok(["restart", "-t", "0", "user"]);
    let alive = wait_for("the restarted container", || {
        let output = host.wharf(["exec", "user", "echo", "alive"]);
        (output.code == 0).then_some(output.stdout)
    });
    assert_eq!(alive, "alive\n");
}

#[test]
fn inspect_tells_what_runs_by_exec() {
    let Some(host) = host() else { return };
    let start = ["run", "-d", "--network", "none", "--name", "web"];
    let id = host.ok([&start[..], &[BUSYBOX, "sleep", "1000"]].concat());
    let told = || host.ok(["inspect", "-f", "{{json .ExecIDs}}", "web"]);
    assert_eq!(told(), "null");
    for _ in 0..2 {
        host.ok(["exec", "-d", "web", "sleep", "1000"]);
    }
    let ids: Vec<String> = serde_json::from_str(&told()).unwrap();
    assert_eq!(ids.len(), 2, "{ids:?}");
    let events = host.ok(["events", "--since", "1h", "--until", "0s"]);
    for id in &ids {
        assert!(events.contains(&format!("execID={id}")), "{id}: {events}");
    }
    host.ok(["exec", "web", "true"]);
    assert_eq!(told(), serde_json::to_string(&ids).unwrap(), "it has ended");
    // A monitor that is busy, here for ever, is nobody whom `inspect` waits for.
    let monitor = monitor_of(&host, &id);
    let busy = |signal| {
        let target = rustix::process::Pid::from_raw(monitor).unwrap();
        rustix::process::kill_process(target, signal).unwrap();
    };
    busy(rustix::process::Signal::STOP);
    assert_eq!(told(), serde_json::to_string(&ids).unwrap());
    busy(rustix::process::Signal::CONT);
    // A supervisor that is killed takes its process along, and leaves a file that says nothing.
    let supervisors = host.processes();
    let supervisor = supervisors.into_iter().find(|pid| *pid != monitor).unwrap();
    kill_9(supervisor);
    wait_until("one less", PATIENCE, || told().matches('"').count() == 2);
    host.ok(["stop", "-t", "0", "web"]);
    assert_eq!(told(), "null");
    host.ok(["start", "web"]);
    assert_eq!(told(), "null");
}
