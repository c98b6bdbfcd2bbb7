//! Dialogs about containers in the workstation, with the real engine behind them.

use std::fs;

use wharf::engine::sys::namespace;
use wharf::engine::sys::process::NEWNET;

use crate::support::{BUSYBOX, Host, privileged};
use crate::terminal::Terminal;

const WIDE: (u16, u16) = (40, 160);

fn host() -> Option<Host> {
    let host = privileged()?;
    host.busybox_image()?;
    Some(host)
}

fn quit(mut terminal: Terminal) {
    terminal.send("q");
    assert_eq!(terminal.wait_exit(), 0, "{}", terminal.text());
    terminal.assert_restored();
}

/// Keys that are not the message's.
fn idle(terminal: &mut Terminal) {
    terminal.wait_text("? help");
}

#[test]
fn an_image_is_run_and_what_is_wrong_is_told_in_the_dialog() {
    let Some(host) = host() else { return };
    // What is run there is on the default bridge: of a network that is the test's own, and of whatever it starts.
    namespace::unshare(NEWNET).unwrap();
    namespace::loopback_up().unwrap();
    let mut terminal = Terminal::open(&host, &[], WIDE, []);
    terminal.wait_text("busybox");
    terminal.send("2");
    terminal.wait_text("r run");
    terminal.send("r");
    terminal.wait_text("Run an image");
    terminal.wait_text("wharf run -d");
    // The parser of the command line, at once.
    terminal.send("\tsleep 1000\tfront");
    terminal.wait_text("wharf run -d --name front");
    terminal.send("\t\tdata:relative");
    terminal.wait_text("invalid");
    terminal.send("\x15data:/data");
    terminal.wait_text("--volume data:/data");
    terminal.send("\t\t\t\t64m");
    terminal.wait_text("--memory 64m");
    terminal.send("\r");
    terminal.wait_no_text("Run an image");
    terminal.wait_text("started front");
    let memory = "{{.HostConfig.Memory}} {{.State.Running}}";
    assert_eq!(host.ok(["inspect", "-f", memory, "front"]), "67108864 true");
    assert_eq!(host.ok(["volume", "ls", "-q"]), "data");

    // A command that is not there: the container is taken back, the dialog stays.
    idle(&mut terminal);
    terminal.send("r");
    terminal.wait_text("Run an image");
    terminal.send("\tnosuchcommand\tsecond\r");
    terminal.wait_text("nosuchcommand");
    terminal.wait_text("executable file not found");
    terminal.wait_text("Run an image");
    assert_eq!(host.ok(["ps", "-a", "--format", "{{.Names}}"]), "front");
    terminal.send("\x1b");
    terminal.wait_no_text("Run an image");
    quit(terminal);
}

#[test]
fn a_container_is_limited_renamed_committed_exported_and_copied() {
    let Some(host) = host() else { return };
    let script = "echo content >/there; exec sleep 1000";
    host.ok(["run", "-d", "--name", "web", BUSYBOX, "sh", "-c", script]);
    let mut terminal = Terminal::open(&host, &[], WIDE, []);
    terminal.wait_line(&["web", "up"]);

    terminal.send("L");
    terminal.wait_text("Limits of web");
    terminal.send("3m\r");
    terminal.wait_text("Minimum memory limit allowed is 6MB");
    terminal.send("\x1532m\r");
    terminal.wait_no_text("Limits of web");
    let memory = "{{.HostConfig.Memory}}";
    assert_eq!(host.ok(["inspect", "-f", memory, "web"]), "33554432");

    idle(&mut terminal);
    terminal.send("n");
    terminal.wait_text("Another name for web");
    terminal.send("\x15-\r");
    terminal.wait_text("invalid container name");
    terminal.send("\x15front\r");
    terminal.wait_no_text("Another name for web");
    terminal.wait_line(&["front", "up"]);

    idle(&mut terminal);
    terminal.send("b");
    terminal.wait_text("Make an image of front");
    terminal.send("team/front:1\r");
    terminal.wait_no_text("Make an image of front");
    terminal.wait_text("team/front:1");
    host.ok(["image", "inspect", "team/front:1"]);

    idle(&mut terminal);
    let archive = host.dir().join("front.tar");
    terminal.send("w");
    terminal.wait_text("Export front");
    terminal.send(&format!("\x15{}\r", archive.display()));
    terminal.wait_text("exported");
    let listing = std::process::Command::new("tar")
        .arg("-tf")
        .arg(&archive)
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&listing.stdout).contains("there"));

    idle(&mut terminal);
    let copied = host.dir().join("copied");
    terminal.send("c");
    terminal.wait_text("Copy files of front");
    terminal.send(&format!("\t/nowhere\t{}\r", copied.display()));
    terminal.wait_text("could not find the file /nowhere");
    terminal.send("\x1b[Z\x15/there\r");
    terminal.wait_no_text("Copy files of front");
    assert_eq!(fs::read_to_string(&copied).unwrap(), "content\n");
    idle(&mut terminal);
    terminal.send("c");
    terminal.wait_text("Copy files of front");
    terminal.send(&format!(" \t/back\t{}\r", copied.display()));
    terminal.wait_no_text("Copy files of front");
    assert_eq!(host.ok(["exec", "front", "cat", "/back"]), "content");
    quit(terminal);
}

#[test]
fn a_prune_of_containers_shows_them_first() {
    let Some(host) = host() else { return };
    host.ok([
        "run",
        "--name",
        "old",
        BUSYBOX,
        "dd",
        "if=/dev/zero",
        "of=/f",
        "bs=1000",
        "count=3",
    ]);
    let mut terminal = Terminal::open(&host, &[], WIDE, []);
    terminal.wait_line(&["old", "exit 0"]);
    terminal.send("P");
    terminal.wait_text("1 container goes, 3kB come back");
    host.ok(["run", "--name", "young", BUSYBOX, "true"]);
    terminal.wait_line(&["young", "exit 0"]);
    terminal.send("y");
    terminal.wait_text("pruned 1 container: 3kB given back");
    assert_eq!(host.ok(["ps", "-a", "--format", "{{.Names}}"]), "young");
    quit(terminal);
}
