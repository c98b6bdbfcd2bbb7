//! The demo: it starts, it is started again without harm, it is taken away completely.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use wharf::engine::sys::namespace;
use wharf::engine::sys::process::NEWNET;

use crate::support::{Host, PATIENCE, collect, privileged, wait_until};

const NAMES: [&str; 5] = [
    "demo-crash",
    "demo-grow",
    "demo-ticker",
    "demo-wave",
    "demo-web",
];

/// In a network namespace of the calling test's own: the demo makes the default bridge.
fn host() -> Option<Host> {
    let host = privileged()?;
    namespace::unshare(NEWNET).unwrap();
    namespace::loopback_up().unwrap();
    Some(host)
}

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
    let Some(host) = host() else { return };
    let said = host.ok(["demo", "--detach"]);
    let (_, at) = said.split_once("created demo-web, at http://").unwrap();
    let at = at.lines().next().unwrap();
    // As with `run`: on the default network, and reached where it says.
    for name in NAMES {
        let network = inspect(&host, name, "{{.HostConfig.NetworkMode}}");
        assert_eq!(network, "bridge", "{name}");
    }
    assert_eq!(host.ok(["port", "demo-web", "8080"]), at);
    wait_until("the demo's web server", PATIENCE, || page(at).is_some());
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

/// The status line of the front page.
fn page(at: &str) -> Option<String> {
    let mut stream = TcpStream::connect(at).ok()?;
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let line = answer.lines().next()?.to_owned();
    assert_eq!(line, "HTTP/1.1 200 demo");
    Some(line)
}

/// All addresses that the default network could have belong to somebody else.
#[test]
fn where_there_can_be_no_network_the_demo_says_why_and_does_without() {
    let Some(host) = host() else { return };
    for net in ["172.16.0.0/12", "192.168.0.0/16"] {
        let mut route = Command::new("busybox");
        route.args(["ip", "route", "add", net, "dev", "lo"]);
        route.stdin(std::process::Stdio::null());
        let made = collect(&mut route, b"");
        assert_eq!(made.code, 0, "{made:?}");
    }
    let said = host.ok(["demo", "--detach"]);
    let why = "the demo has no network: ";
    assert_eq!(said.matches(why).count(), 1, "{said}");
    assert!(said.contains("address pools"), "{said}");
    assert!(said.contains("created demo-web\n"), "{said}");
    assert_eq!(names(&host), NAMES);
    let network = inspect(&host, "demo-web", "{{.HostConfig.NetworkMode}}");
    assert_eq!(network, "none");
    wait_until("an access log", PATIENCE, || {
        host.ok(["logs", "demo-web"]).contains("HTTP/1.1\" 200")
    });
    host.ok(["demo", "--remove"]);
    assert_eq!(names(&host), [""; 0]);
}

#[test]
fn the_demo_leaves_a_container_of_the_same_name_alone() {
    let Some(host) = host() else { return };
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
