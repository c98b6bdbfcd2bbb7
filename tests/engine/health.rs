//! Health checks: probes of real containers by their monitors, and what `inspect`, `ps` and `events` tell of them.

use serde_json::Value;

use crate::support::{BUSYBOX, Host, PATIENCE, privileged, processes_with, wait_for, wait_until};

fn host() -> Option<Host> {
    let host = privileged()?;
    host.busybox_image()?;
    Some(host)
}

/// A container with a probe in shell form, every 50 ms.
fn probed(host: &Host, probe: &str, flags: &[&str], command: &[&str]) -> String {
    let start = ["run", "-d", "--network", "none", "--name", "web"];
    let often = ["--health-interval", "50ms", "--health-cmd", probe];
    host.ok([&start[..], &often, flags, &[BUSYBOX], command].concat())
}

const SLEEP: &[&str] = &["sleep", "1000"];

/// `State.Health` of the container.
fn health(host: &Host) -> Value {
    let text = host.ok(["inspect", "-f", "{{json .State.Health}}", "web"]);
    serde_json::from_str(&text).unwrap()
}

fn status(host: &Host) -> String {
    let status = &health(host)["Status"];
    status.as_str().unwrap_or_default().to_owned()
}

fn wait_for_status(host: &Host, wanted: &str) {
    wait_until(wanted, PATIENCE, || status(host) == wanted);
}

/// The first result that is there.
fn first_result(host: &Host) -> Value {
    wait_for("a result", || health(host)["Log"].get(0).cloned())
}

fn events(host: &Host, kind: &str) -> Vec<String> {
    let window = ["events", "--since", "1h", "--until", "0s", "--format"];
    let all = host.ok([&window[..], &["{{.Action}} {{json .Actor.Attributes}}"]].concat());
    let wanted = all.lines().filter(|line| line.starts_with(kind));
    wanted.map(str::to_owned).collect()
}

#[test]
fn a_container_is_as_healthy_as_its_probes_say() {
    let Some(host) = host() else { return };
    let probe = "cat /tmp/ok && echo fine";
    probed(&host, probe, &["--health-retries", "2"], SLEEP);
    wait_for_status(&host, "unhealthy");
    assert!(health(&host)["FailingStreak"].as_u64().unwrap() >= 2);
    let told = host.ok(["ps", "--format", "{{.Status}}"]);
    assert!(
        told.starts_with("Up ") && told.ends_with(" (unhealthy)"),
        "{told}"
    );
    host.ok(["exec", "web", "sh", "-c", "echo yes > /tmp/ok"]);
    wait_for_status(&host, "healthy");
    wait_until("five good results", PATIENCE, || {
        let health = health(&host);
        let log = health["Log"].as_array().unwrap();
        log.iter().all(|result| result["ExitCode"] == 0)
    });
    let health = health(&host);
    let log = health["Log"].as_array().unwrap();
    assert_eq!((log.len(), &health["FailingStreak"]), (5, &Value::from(0)));
    assert_eq!(log[4]["Output"], "yes\nfine\n");
    let keys: Vec<&String> = log[4].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["Start", "End", "ExitCode", "Output"]);
    for (wanted, count) in [
        ("healthy", 1),
        ("unhealthy", 0),
        ("starting", 0),
        ("none", 0),
    ] {
        let filter = format!("health={wanted}");
        let found = host.ok(["ps", "-q", "--filter", &filter]);
        assert_eq!(found.lines().count(), count, "{wanted}");
    }
    let changes = events(&host, "health_status");
    let words: Vec<_> = changes
        .iter()
        .filter_map(|line| line.split(' ').nth(1))
        .collect();
    assert_eq!(words, ["unhealthy", "healthy"]);
    let created = events(&host, "exec_create");
    assert!(created[0].starts_with("exec_create: /bin/sh -c cat /tmp/ok && echo fine {"));
    assert!(created[0].contains("\"execID\":\""), "{}", created[0]);
    assert!(events(&host, "exec_die")[0].contains("\"exitCode\":\"1\""));
    host.ok(["stop", "-t", "0", "web"]);
    assert_eq!(status(&host), "unhealthy");
    let ended = host.ok(["ps", "-a", "--format", "{{.Status}}"]);
    assert!(ended.starts_with("Exited (137)"), "{ended}");
    // What was said before is kept, and counts no more.
    host.ok(["start", "web"]);
    wait_for_status(&host, "healthy");
}

#[test]
fn a_probe_that_takes_too_long_is_ended_with_all_that_it_started() {
    let Some(host) = host() else { return };
    let probe = "test -e /tmp/once && exit 0; touch /tmp/once; echo begun; \
                 sleep 77123 & setsid sleep 77124 & (sleep 77125; true) & sleep 77126";
    probed(&host, probe, &["--health-timeout", "300ms"], SLEEP);
    let result = first_result(&host);
    assert_eq!(result["ExitCode"], -1);
    assert_eq!(
        result["Output"],
        "Health check exceeded timeout (300ms): begun\n"
    );
    wait_until("nothing of it is left", PATIENCE, || {
        processes_with("sleep 7712").is_empty()
    });
    wait_for_status(&host, "healthy");
    assert!(events(&host, "exec_die")[0].contains("\"exitCode\":\"137\""));
    // Another probe may just be at it.
    wait_until("the container's process is alone", PATIENCE, || {
        host.ok(["top", "web"]).lines().count() == 2
    });
}

#[test]
fn long_output_of_a_probe_is_cut() {
    let Some(host) = host() else { return };
    let probe = "yes | head -c 5000; yes err | head -c 100000 >&2; exit 3";
    probed(&host, probe, &[], SLEEP);
    let result = first_result(&host);
    assert_eq!(result["ExitCode"], 3);
    let output = result["Output"].as_str().unwrap();
    assert_eq!(output.len(), 4096 + 3);
    assert!(output.starts_with("y\ny\n") && output.ends_with("..."));
}

#[test]
fn what_a_probe_leaves_running_does_not_hold_it_up() {
    let Some(host) = host() else { return };
    probed(&host, "sleep 1000 & echo done", &[], SLEEP);
    let result = first_result(&host);
    assert_eq!(
        (&result["ExitCode"], &result["Output"]),
        (&0.into(), &"done\n".into())
    );
}

#[test]
fn a_paused_container_is_not_probed_and_stays_as_healthy_as_it_was() {
    let Some(host) = host() else { return };
    let flags = ["--health-timeout", "1h"];
    let probe = "test -e /tmp/hang && sleep 77200; true";
    probed(&host, probe, &flags, SLEEP);
    wait_for_status(&host, "healthy");
    host.ok(["exec", "web", "touch", "/tmp/hang"]);
    wait_until("a probe hangs", PATIENCE, || {
        host.ok(["top", "web"]).contains("sleep 77200")
    });
    let before = health(&host);
    host.ok(["pause", "web"]);
    assert_eq!(health(&host), before);
    let row = host.ok(["ps", "--format", "{{.Status}}"]);
    assert!(row.ends_with(" (Paused)"), "{row}");
    host.ok(["unpause", "web"]);
    // The one that hung was ended by the pause; the next ones hang as well, until they need not.
    host.ok(["exec", "web", "rm", "/tmp/hang"]);
    host.ok(["pause", "web"]);
    host.ok(["unpause", "web"]);
    wait_until("it is probed again", PATIENCE, || health(&host) != before);
    assert_eq!(status(&host), "healthy");
}

#[test]
fn a_stop_and_a_log_do_not_wait_for_a_probe() {
    let Some(host) = host() else { return };
    let script = "trap 'echo bye; exit 0' TERM; echo up; while true; do sleep 0.1; done";
    probed(&host, "sleep 77300", &["--rm"], &["sh", "-c", script]);
    wait_until("a probe runs", PATIENCE, || {
        host.ok(["top", "web"]).contains("sleep 77300")
    });
    assert_eq!(host.ok(["logs", "web"]), "up");
    host.ok(["stop", "-t", "60", "web"]);
    assert!(events(&host, "kill").len() == 1, "it ended by SIGTERM");
    let ended = events(&host, "exec_die");
    assert!(ended[0].contains("\"exitCode\":\"137\""), "{ended:?}");
    wait_until("nothing of it is left", PATIENCE, || {
        host.processes().is_empty()
    });
}

#[test]
fn an_unhealthy_container_is_not_restarted_and_a_restarted_one_begins_anew() {
    let Some(host) = host() else { return };
    let flags = ["--restart", "always", "--health-retries", "1"];
    let script = "while ! test -e /tmp/end; do sleep 0.1; done; rm /tmp/end; exit 1";
    probed(&host, "exit 1", &flags, &["sh", "-c", script]);
    wait_for_status(&host, "unhealthy");
    let count = || host.ok(["inspect", "-f", "{{.RestartCount}}", "web"]);
    assert_eq!(count(), "0");
    host.ok(["exec", "web", "touch", "/tmp/end"]);
    wait_until("it was restarted", PATIENCE, || count() == "1");
    wait_until("it is probed again", PATIENCE, || {
        events(&host, "health_status: unhealthy").len() == 2
    });
    // The same when its monitor is gone.
    let monitor = host.processes();
    let monitors = monitor
        .iter()
        .filter(|pid| crate::support::command_line(**pid).starts_with("wharf-monitor"));
    for pid in monitors {
        rustix::process::kill_process(
            rustix::process::Pid::from_raw(*pid).unwrap(),
            rustix::process::Signal::KILL,
        )
        .unwrap();
    }
    wait_until("it was recovered", PATIENCE, || count() == "2");
    wait_until("it is probed again", PATIENCE, || {
        events(&host, "health_status: unhealthy").len() == 3
    });
}

#[test]
fn the_images_health_check_is_the_containers_unless_flags_say_otherwise() {
    let Some(host) = host() else { return };
    host.ok(["create", "--network", "none", "--name", "base", BUSYBOX]);
    let change = "HEALTHCHECK --interval=50ms --retries=4 CMD [\"echo\", \"a b\"]";
    host.ok(["commit", "-c", change, "base", "probed"]);
    let create = |name: &str, flags: &[&str]| {
        let start = ["create", "--network", "none", "--name", name];
        host.wharf([&start[..], flags, &["probed"], SLEEP].concat())
    };
    let check = |name: &str| host.ok(["inspect", "-f", "{{json .Config.Healthcheck}}", name]);
    for (name, flags, expect) in [
        (
            "web",
            &[][..],
            r#"{"Test":["CMD","echo","a b"],"Interval":50000000,"Retries":4}"#,
        ),
        (
            "flags",
            &[
                "--health-cmd",
                "x",
                "--health-start-period",
                "1s",
                "--health-start-interval",
                "2s",
            ],
            r#"{"Test":["CMD-SHELL","x"],"Interval":50000000,"StartPeriod":1000000000,"StartInterval":2000000000,"Retries":4}"#,
        ),
        (
            "none",
            &["--no-healthcheck"],
            r#"{"Test":["NONE"],"Interval":50000000,"Retries":4}"#,
        ),
    ] {
        let created = create(name, flags);
        assert_eq!(created.code, 0, "{created:?}");
        assert_eq!(check(name), expect);
    }
    for (flags, why) in [
        (
            &["--no-healthcheck", "--health-retries", "1"][..],
            "--no-healthcheck conflicts with --health-* options",
        ),
        (
            &["--health-interval", "-1s"],
            "--health-interval cannot be negative",
        ),
        (
            &["--health-interval", "1us"],
            "Interval in Healthcheck cannot be less than 1ms",
        ),
        (
            &["--health-timeout", "5"],
            "time: missing unit in duration \"5\"",
        ),
    ] {
        let refused = create("refused", flags);
        assert_eq!(refused.code, 125, "{refused:?}");
        assert!(refused.stderr.contains(why), "{refused:?}");
    }
    assert_eq!(
        host.ok(["inspect", "-f", "{{.State.Health}}", "web"]),
        "<nil>"
    );
    host.ok(["start", "web", "none"]);
    wait_for_status(&host, "healthy");
    assert_eq!(first_result(&host)["Output"], "a b\n");
    assert_eq!(
        host.ok(["inspect", "-f", "{{.State.Health}}", "none"]),
        "<nil>"
    );
    // What a container has goes into its image.
    host.ok(["commit", "flags", "again"]);
    let again = host.ok([
        "image",
        "inspect",
        "-f",
        "{{json .Config.Healthcheck.Test}}",
        "again",
    ]);
    assert_eq!(again, r#"["CMD-SHELL","x"]"#);
}

#[test]
fn a_probe_that_cannot_be_run_is_a_failure_that_says_why() {
    let Some(host) = host() else { return };
    host.ok(["create", "--network", "none", "--name", "base", BUSYBOX]);
    let change = "HEALTHCHECK --interval=50ms --retries=1 CMD [\"/no/such\"]";
    host.ok(["commit", "-c", change, "base", "probed"]);
    let start = ["run", "-d", "--network", "none", "--name", "web", "probed"];
    host.ok([&start[..], SLEEP].concat());
    wait_for_status(&host, "unhealthy");
    let result = first_result(&host);
    assert_eq!(result["ExitCode"], -1);
    let why = result["Output"].as_str().unwrap();
    assert!(
        why.contains("/no/such") && why.contains("no such file"),
        "{why}"
    );
}
