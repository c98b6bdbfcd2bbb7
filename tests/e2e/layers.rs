//! The layer explorer in a terminal, for images that are in no store.

use crate::registry::Registry;
use crate::support::{Archive, Host, WHARF, image_archive, privileged};
use crate::terminal::Terminal;

const WIDE: (u16, u16) = (40, 160);

/// An archive with one layer, that has one file.
fn archive(host: &Host) -> String {
    let mut layer = Archive::new();
    layer.file("greeting", 0o644, b"hello from far away\n");
    layer.hard_link("again", "greeting");
    let path = host.dir().join("far.tar");
    let bytes = image_archive("far:1", &[layer.finish()], &["sh"]);
    std::fs::write(&path, bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Reads the file, and leaves.
fn read_and_leave(mut terminal: Terminal) {
    terminal.wait_text("Change of layer 0");
    terminal.wait_text("greeting");
    terminal.send("\t");
    terminal.wait_text("enter open");
    terminal.send("v");
    terminal.wait_text("hello from far away");
    terminal.send("\x1b");
    terminal.wait_no_text("hello from far away");
    terminal.send("q");
    assert_eq!(terminal.wait_exit(), 0, "{}", terminal.text());
    terminal.assert_restored();
}

#[test]
fn an_image_of_a_registry_is_explored_and_its_files_are_read() {
    let Some(host) = privileged() else { return };
    let Some(registry) = Registry::open(&host) else {
        return;
    };
    host.ok(["load", "-q", "-i", &archive(&host)]);
    let name = registry.reference("far:1");
    host.ok(["tag", "far:1", &name]);
    host.ok(["push", "-q", &name]);
    host.ok(["rmi", &name, "far:1"]);
    let far = format!("registry://{name}");
    read_and_leave(Terminal::open(&host, &["layers", &far], WIDE, []));
    let missing = format!("registry://{}", registry.reference("no:1"));
    let mut terminal = Terminal::open(&host, &["layers", &missing], WIDE, []);
    terminal.wait_text("cannot be read");
    terminal.send("q");
    assert_eq!(terminal.wait_exit(), 0);
}

#[test]
fn an_image_out_of_a_pipe_is_explored_with_the_keys_of_the_terminal() {
    let Some(host) = privileged() else { return };
    let path = archive(&host);
    // The shell of a terminal, whose pipe is wharf's standard input.
    let line = format!("cat {path} | {WHARF} layers -");
    read_and_leave(Terminal::open_program(
        &host,
        "sh",
        &["-c", &line],
        WIDE,
        [],
    ));
}
