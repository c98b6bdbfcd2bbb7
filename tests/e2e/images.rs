//! Images in the workstation, with real registries and real archives behind it.

use std::fs;

use crate::registry::image::Made;
use crate::registry::proxy::Proxy;
use crate::registry::{Door, PASSWORD, Registry, USER, Wire};
use crate::support::{Host, privileged};
use crate::terminal::Terminal;

const WIDE: (u16, u16) = (40, 160);

/// The workstation at its images.
fn open(host: &Host) -> Terminal {
    let mut terminal = Terminal::open(host, &[], WIDE, []);
    terminal.wait_text("2 Images");
    terminal.send("2");
    terminal.wait_text("p pull");
    terminal
}

fn pull(terminal: &mut Terminal, name: &str) {
    terminal.send("p");
    terminal.wait_text("Pull an image");
    terminal.send(name);
    terminal.wait_text(&format!("pulls {name}"));
    terminal.send("\r");
    terminal.wait_no_text("Pull an image");
}

fn quit(mut terminal: Terminal) {
    terminal.send("q");
    assert_eq!(terminal.wait_exit(), 0, "{}", terminal.text());
    terminal.assert_restored();
}

#[test]
fn a_pull_shows_its_layers_is_cancelled_and_goes_on_later() {
    let Some(host) = privileged() else { return };
    let Some(registry) = Registry::open(&host) else {
        return;
    };
    let image = Made::random(7, 3, 4 << 20);
    image.put(&registry, "team/app", "1");
    let proxy = Proxy::start(registry.address);
    let name = proxy.reference("team/app:1");
    // Enough for the documents and a part of the layers.
    proxy.hold_after(Some(6 << 20));

    let mut terminal = open(&host);
    pull(&mut terminal, &name);
    terminal.send("&");
    terminal.wait_line(&["pulling", &name]);
    terminal.wait_text("Downloading");
    terminal.wait_text("total");
    terminal.send("x");
    proxy.hold_after(None);
    terminal.wait_line(&["cancelled: pulling", &name]);
    assert!(
        host.ok(["images", "-q"]).is_empty(),
        "no image is half there"
    );

    terminal.send("\x1b");
    terminal.wait_no_text("Work");
    // The name has not been pulled yet: nothing offers it.
    pull(&mut terminal, &name);
    terminal.wait_text(&format!("pulled {name}"));
    terminal.wait_line(&["team/app:1", "12.6MB"]);
    let id = host.ok(["images", "-q", "--no-trunc"]);
    assert_eq!(id, image.id());

    // Pulled again, by the name that is offered now, it is up to date.
    terminal.send("p");
    terminal.wait_text("Pull an image");
    terminal.send("\x1b[B\r");
    terminal.wait_text(&format!("pulls {name}"));
    terminal.send("\r");
    terminal.wait_text(&format!("{name} is up to date"));
    quit(terminal);
}

#[test]
fn a_push_asks_who_one_is_and_keeps_the_answer() {
    let Some(host) = privileged() else { return };
    let Some(image) = host.busybox_image() else {
        return;
    };
    let Some(registry) = Registry::start(&host, Door::Password, Wire::Plain) else {
        return;
    };
    let name = registry.reference("team/box:1");
    let mut terminal = open(&host);
    terminal.wait_line(&[image]);
    terminal.send("P");
    terminal.wait_text("Push an image");
    terminal.send(&"\x7f".repeat(image.len()));
    terminal.send(&name);
    terminal.wait_text(&format!("tags it {name}"));
    terminal.send("\r");
    terminal.wait_text("Log in to");
    terminal.send(USER);
    terminal.send("\r");
    terminal.send(PASSWORD);
    terminal.wait_text(&"\u{2022}".repeat(PASSWORD.len()));
    terminal.send("\r");
    terminal.wait_text(&format!("pushed {name}"));
    quit(terminal);
    assert!(!host.ok(["rmi", "-f", image, &name]).is_empty());
    // The command line knows now, too.
    assert_eq!(host.ok(["pull", "-q", &name]), name);
}

#[test]
fn an_archive_is_saved_loaded_and_what_is_unused_is_pruned() {
    let Some(host) = privileged() else { return };
    let Some(image) = host.busybox_image() else {
        return;
    };
    let id = host.ok(["images", "-q", "--no-trunc"]);
    let path = host.dir().join("box.tar");
    let file = path.to_str().unwrap();
    let mut terminal = open(&host);
    terminal.wait_line(&[image]);
    terminal.send("s");
    terminal.wait_text("Save ");
    terminal.send(&"\x7f".repeat(60));
    terminal.send(file);
    terminal.send("\r");
    terminal.wait_text("saved ");
    assert!(fs::metadata(&path).unwrap().len() > 100_000);

    terminal.send("D");
    terminal.wait_text("dangling images");
    terminal.wait_text("there is nothing to remove");
    terminal.send("a");
    terminal.wait_text("1 image goes");
    terminal.wait_line(&[image]);
    terminal.send("y");
    terminal.wait_text("given back");
    terminal.wait_text("2 Images 0");
    assert!(host.ok(["images", "-q"]).is_empty());

    terminal.send("L");
    terminal.wait_text("Load an archive");
    // The rest of the name is completed.
    terminal.send(file.strip_suffix("x.tar").unwrap());
    terminal.wait_line(&["box.tar"]);
    terminal.send("\t");
    terminal.wait_line(&["file", file]);
    terminal.send("\r");
    terminal.wait_text(&format!("loaded {image}"));
    terminal.send("%");
    terminal.wait_text("Disk usage");
    terminal.wait_text("UNIQUE");
    terminal.send("\x1b");
    terminal.wait_no_text("Disk usage");
    quit(terminal);
    assert_eq!(host.ok(["images", "-q", "--no-trunc"]), id);
}

#[test]
fn leaving_asks_while_a_pull_goes_on_and_leaves_nothing_half() {
    let Some(host) = privileged() else { return };
    let Some(registry) = Registry::open(&host) else {
        return;
    };
    Made::random(8, 2, 4 << 20).put(&registry, "team/app", "1");
    let proxy = Proxy::start(registry.address);
    let name = proxy.reference("team/app:1");
    proxy.hold_after(Some(3 << 20));

    let mut terminal = open(&host);
    pull(&mut terminal, &name);
    proxy.wait_until_held(|| false);
    terminal.send("q");
    terminal.wait_text("Work is going on. Leave?");
    terminal.wait_text(&format!("pulling {name}"));
    terminal.send("y");
    assert_eq!(terminal.wait_exit(), 0, "{}", terminal.text());
    terminal.assert_restored();
    assert!(host.ok(["images", "-q"]).is_empty());

    // The next one goes on from there, whoever pulls.
    proxy.hold_after(None);
    let _ = proxy.take_seen();
    assert_eq!(host.ok(["pull", "-q", &name]), name);
    let ranges = proxy.take_seen();
    assert!(
        ranges.iter().any(|seen| seen.range.is_some()),
        "nothing was gone on with: {ranges:?}"
    );
}
