//! The last test of a run: the host is as it was before the first.
//!
//! With `WHARF_HOST_SNAPSHOT=<file>` (`scripts/test` sets it), the first call writes down what the host looks like, and
//! every later one compares. Without it there is nothing to compare with.

#![expect(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test that cannot go on should say where; nothing of a test is reachable"
)]

#[expect(
    dead_code,
    reason = "shared by several test binaries, each of which uses a part of it"
)]
#[path = "engine/support.rs"]
mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use support::{PATIENCE, names_in};

#[test]
fn the_tests_leave_the_host_as_it_was() {
    let Some(file) = std::env::var_os("WHARF_HOST_SNAPSHOT").map(PathBuf::from) else {
        let _ = std::io::Write::write_all(
            &mut std::io::stderr(),
            b"skipped: the_tests_leave_the_host_as_it_was: scripts/test sets WHARF_HOST_SNAPSHOT\n",
        );
        return;
    };
    let Ok(before) = fs::read_to_string(&file) else {
        let lines: Vec<String> = snapshot().into_iter().collect();
        fs::write(&file, lines.join("\n")).unwrap();
        return;
    };
    let before: BTreeSet<String> = before.lines().map(str::to_owned).collect();
    // What others start and end on this host meanwhile comes and goes; what the tests left stays.
    let deadline = Instant::now() + PATIENCE * 2;
    let mut left: BTreeSet<String> = snapshot().difference(&before).cloned().collect();
    while !left.is_empty() {
        assert!(
            Instant::now() < deadline,
            "left on the host since the tests began:\n  {}",
            left.into_iter().collect::<Vec<_>>().join("\n  ")
        );
        support::pause();
        let now = snapshot();
        left.retain(|line| now.contains(line));
    }
}

/// One line for everything that a container could leave behind.
fn snapshot() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    found.extend(mounts.lines().map(|line| format!("mount {line}")));
    let interfaces = names_in(Path::new("/sys/class/net"));
    found.extend(interfaces.iter().map(|name| format!("interface {name}")));
    found.extend(rules().lines().map(|line| format!("nftables {line}")));
    for group in support::groups_named("wharf") {
        found.insert(format!("cgroup {}", group.display()));
        let inside = names_in(&group);
        let below = inside.iter().filter(|name| group.join(name).is_dir());
        found.extend(below.map(|name| format!("cgroup {}/{name}", group.display())));
    }
    for name in names_in(Path::new("/proc")) {
        let Ok(pid) = name.parse() else { continue };
        let line = support::command_line(pid);
        if line.starts_with("wharf-") || line.contains("/tmp/wharf-") {
            found.insert(format!("process {pid} {line}"));
        }
    }
    for dir in ["/tmp", "/var/lib/wharf", "/run/wharf"] {
        let names = names_in(Path::new(dir));
        let ours = names
            .iter()
            .filter(|name| dir != "/tmp" || name.starts_with("wharf-"));
        found.extend(ours.map(|name| format!("file {dir}/{name}")));
    }
    found
}

/// The rule set without its counters, where it can be read.
fn rules() -> String {
    Command::new("nft")
        .args(["--stateless", "list", "ruleset"])
        .output()
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default()
}
