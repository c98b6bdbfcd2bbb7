//! The demo: it starts, it is started again without harm, it is taken away completely.

use crate::support::{Host, PATIENCE, privileged, wait_until};

const NAMES: [&str; 5] = [
    "demo-crash",
    "demo-grow",
    "demo-ticker",
    "demo-wave",
    "demo-web",
];

fn names(host: &Host) -> Vec<String> {
    let mut names: Vec<String> = host
        .ok(["ps", "-a", "--format", "{{.Names}}"])
        .lines()
        .map(str::to_owned)
        .collect();
    names.sort();
    names
}

fn inspect(host: &Host, name: &str, format: &str) -> String {
    host.ok(["inspect", "--format", format, name])
}

#[test]
fn the_demo_starts_behaves_and_is_taken_away() {
    let Some(host) = privileged() else { return };
    let said = host.ok(["demo", "--detach"]);
    assert!(said.contains("created demo-web"), "{said}");
    assert_eq!(names(&host), NAMES);

    // A second call finds everything as it should be.
    assert_eq!(host.ok(["demo", "--detach"]), "");
    host.ok(["stop", "demo-ticker"]);
    assert_eq!(host.ok(["demo", "--detach"]), "started demo-ticker");

    wait_until("an access log", PATIENCE, || {
        host.ok(["logs", "demo-web"]).contains("HTTP/1.1\" 200")
    });
    wait_until("a tick", PATIENCE, || {
        host.ok(["logs", "demo-ticker"]).contains("tick 1")
    });
    wait_until("a crash and a restart", PATIENCE, || {
        inspect(&host, "demo-crash", "{{.RestartCount}}") != "0"
    });
    let log = host.wharf(["logs", "demo-crash"]);
    assert!(log.stderr.contains("ConnectionRefusedError"), "{log:#?}");
    wait_until("the memory limit and a restart", PATIENCE, || {
        inspect(&host, "demo-grow", "{{.RestartCount}}") != "0"
    });

    let shell = host.wharf(["exec", "demo-web", "sh", "-c", "cat /etc/os-release"]);
    assert!(shell.stdout.contains("wharf demo"), "{shell:#?}");

    host.ok(["demo", "--remove"]);
    assert_eq!(names(&host), [""; 0]);
    assert_eq!(host.ok(["images", "-q"]), "");
    assert_eq!(
        host.ok(["demo", "--remove"]),
        "",
        "nothing is left to remove"
    );
}

#[test]
fn the_demo_leaves_a_container_of_the_same_name_alone() {
    let Some(host) = privileged() else { return };
    let Some(image) = host.busybox_image() else {
        return;
    };
    host.ok(["create", "--name", "demo-web", image, "true"]);
    let output = host.wharf(["demo", "--detach"]);
    assert_ne!(output.code, 0, "{output:#?}");
    assert!(output.stderr.contains("demo-web"), "{output:#?}");
    host.ok(["demo", "--remove"]);
    assert_eq!(names(&host), ["demo-web"]);
}

#[test]
fn without_a_terminal_the_demo_starts_nothing() {
    let Some(host) = privileged() else { return };
    let output = host.wharf(["demo"]);
    assert_eq!(output.code, 2, "{output:#?}");
    assert!(output.stderr.contains("--detach"), "{output:#?}");
    assert!(host.container_ids().is_empty());
}
