//! Volumes in the workstation: made, looked at, removed and pruned, with real ones behind it.

use std::fs;

use crate::support::{BUSYBOX, Host, privileged};
use crate::terminal::Terminal;

const WIDE: (u16, u16) = (40, 160);

/// The workstation at its volumes.
fn open(host: &Host) -> Terminal {
    let mut terminal = Terminal::open(host, &[], WIDE, []);
    terminal.wait_text("3 Volumes");
    terminal.send("3");
    terminal.wait_text("c create");
    terminal
}

fn quit(mut terminal: Terminal) {
    terminal.send("q");
    assert_eq!(terminal.wait_exit(), 0, "{}", terminal.text());
    terminal.assert_restored();
}

fn names(host: &Host) -> Vec<String> {
    let names = host.ok(["volume", "ls", "-q"]);
    names.lines().map(str::to_owned).collect()
}

#[test]
fn a_volume_is_made_seen_in_use_and_removed_by_its_name() {
    let Some(host) = privileged() else { return };
    if host.busybox_image().is_none() {
        return;
    }
    let mut terminal = open(&host);
    terminal.send("c");
    terminal.wait_text("Make a volume");
    // The engine's own words, in the dialog.
    terminal.send("x\r");
    terminal.wait_text("volume name is too short");
    terminal.wait_text("Make a volume");
    terminal.send("\x7fpgdata\t\t\t\ttier=data\r");
    terminal.wait_no_text("Make a volume");
    terminal.wait_line(&["pgdata", "0B", "tier=data"]);
    let label = "{{index .Labels \"tier\"}}";
    assert_eq!(
        host.ok(["volume", "inspect", "-f", label, "pgdata"]),
        "data"
    );

    let run = ["run", "--name", "db", "-v", "pgdata:/data", BUSYBOX];
    host.ok([
        &run[..],
        &["dd", "if=/dev/zero", "of=/data/f", "bs=1000", "count=5000"],
    ]
    .concat());
    terminal.wait_line(&["pgdata", "5MB", "db"]);
    terminal.send("u");
    terminal.wait_text("at: /data");
    terminal.send("d");
    terminal.wait_text("pgdata is used by db");
    host.ok(["rm", "db"]);
    terminal.wait_text("no container has it");
    // The message would take the key.
    terminal.wait_text("? help");
    terminal.send("d");
    terminal.wait_text("of data go for good");
    terminal.send("y\r");
    assert_eq!(names(&host), ["pgdata"]);
    terminal.send("\x7fpgdata\r");
    terminal.wait_text("no volumes");
    assert!(names(&host).is_empty());
    assert!(!host.data().join("volumes/pgdata").exists());
    quit(terminal);
}

#[test]
fn a_prune_takes_what_was_shown_and_not_what_came_meanwhile() {
    let Some(host) = privileged() else { return };
    for name in ["first", "second"] {
        host.ok(["volume", "create", name]);
        fs::write(
            host.data().join("volumes").join(name).join("_data/file"),
            [7; 3_000],
        )
        .unwrap();
    }
    let mut terminal = open(&host);
    terminal.wait_text("second");
    terminal.send("D");
    terminal.wait_text("there is nothing to remove");
    terminal.send("a");
    terminal.wait_text("2 volumes go, 6kB come back");
    host.ok(["volume", "create", "third"]);
    // Another of the same name is another.
    host.ok(["volume", "rm", "second"]);
    host.ok(["volume", "create", "second"]);
    terminal.send("2\r");
    terminal.wait_text("pruned 1 volume: 3kB given back");
    terminal.wait_line(&["third", "0B"]);
    assert_eq!(names(&host), ["second", "third"]);
    quit(terminal);
}
