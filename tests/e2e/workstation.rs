//! The workstation: what a person does in the first minutes, on small and large terminals, with and without colour, and
//! how it gives the terminal back.

use std::process::Command;

use rustix::process::Signal;
use wharf::engine::sys::namespace;
use wharf::engine::sys::process::NEWNET;

use crate::support::{BUSYBOX, Host, WHARF, collect, has_peer, privileged, wait_until};
use crate::terminal::Terminal;

const USUAL: (u16, u16) = (36, 120);
const SMALL: (u16, u16) = (24, 80);
const LARGE: (u16, u16) = (60, 200);

/// What the list says when there is nothing in it.
const EMPTY: &str = "no containers";

/// Shows one container only, so that it is the chosen one.
fn choose(terminal: &mut Terminal, name: &str, another: &str) {
    terminal.send("/");
    terminal.wait_text("filter /");
    terminal.send(name);
    terminal.send("\r");
    terminal.wait_no_text(another);
    terminal.wait_text(name);
}

fn choose_none(terminal: &mut Terminal, another: &str) {
    // A message in the footer would take the key to close itself.
    terminal.wait_text("? help");
    terminal.send("\x1b");
    terminal.wait_text(another);
}

fn quit(mut terminal: Terminal) {
    terminal.send("q");
    assert_eq!(terminal.wait_exit(), 0, "{}", terminal.text());
    terminal.assert_restored();
}

#[test]
fn the_demo_opens_and_can_be_worked_with() {
    let Some(host) = privileged() else { return };
    // The demo makes the default bridge.
    namespace::unshare(NEWNET).unwrap();
    namespace::loopback_up().unwrap();
    let mut terminal = Terminal::open(&host, &["demo"], USUAL, []);
    for name in [
        "demo-web",
        "demo-ticker",
        "demo-wave",
        "demo-grow",
        "demo-crash",
    ] {
        terminal.wait_text(name);
    }

    choose(&mut terminal, "demo-web", "demo-ticker");
    terminal.wait_line(&["demo-web", "up"]);
    terminal.send("l");
    terminal.wait_text("GET /");
    terminal.send("t");
    terminal.wait_text("Memory");
    terminal.wait_text("Network");
    terminal.send("i");
    terminal.wait_text("name: demo-web");
    terminal.send("e");
    terminal.wait_text("/ # ");
    terminal.send("ps\r");
    terminal.wait_text("demo-workload web");
    terminal.send("exit\r");
    terminal.wait_screen("the shell's end", |screen| {
        let text = screen.contents();
        !text.contains("[Shell]") || text.contains("the shell ended")
    });
    if terminal.text().contains("the shell ended") {
        terminal.send(" ");
        terminal.wait_no_text("[Shell]");
    }
    choose_none(&mut terminal, "demo-ticker");

    // The networks pane names the web server, too.
    choose(&mut terminal, "demo-ticker", "demo-wave");
    terminal.send("l");
    terminal.wait_text("tick 1");
    terminal.send("s");
    terminal.wait_line(&["demo-ticker", "exit 0"]);
    terminal.send("u");
    terminal.wait_line(&["demo-ticker", "up"]);
    choose_none(&mut terminal, "demo-wave");

    terminal.send("?");
    terminal.wait_text("Keys");
    terminal.send("\x1b");
    terminal.wait_no_text("Keys");
    quit(terminal);

    assert!(
        host.ok(["ps", "--format", "{{.Names}}"])
            .contains("demo-web"),
        "containers go on running"
    );
}

#[test]
fn removing_a_container_asks_first() {
    let Some(host) = privileged() else { return };
    let Some(image) = host.busybox_image() else {
        return;
    };
    host.ok(["run", "-d", "--name", "victim", image, "sleep", "1000"]);
    let mut terminal = Terminal::open(&host, &[], USUAL, []);
    terminal.wait_line(&["victim", "up"]);
    terminal.send("d");
    terminal.wait_text("Sure?");
    terminal.send("n");
    terminal.wait_no_text("Sure?");
    terminal.wait_line(&["victim", "up"]);
    terminal.send("d");
    terminal.wait_text("Sure?");
    terminal.send("y");
    terminal.wait_text(EMPTY);
    terminal.send("@");
    terminal.wait_text("wharf rm -f victim");
    terminal.send("\x1b");
    terminal.wait_no_text("wharf rm -f victim");
    quit(terminal);
    assert!(host.container_ids().is_empty());
}

#[test]
fn what_another_process_does_is_seen_at_once() {
    let Some(host) = privileged() else { return };
    let Some(image) = host.busybox_image() else {
        return;
    };
    let terminal = Terminal::open(&host, &[], USUAL, []);
    terminal.wait_text(EMPTY);
    host.ok(["run", "-d", "--name", "elsewhere", image, "sleep", "1000"]);
    terminal.wait_line(&["elsewhere", "up"]);
    host.ok(["kill", "elsewhere"]);
    terminal.wait_line(&["elsewhere", "exit 137"]);
    host.ok(["rm", "elsewhere"]);
    terminal.wait_text(EMPTY);
    quit(terminal);
}

#[test]
fn small_and_large_terminals_show_containers_and_details() {
    let Some(host) = privileged() else { return };
    let Some(image) = host.busybox_image() else {
        return;
    };
    let script = "echo hello from inside; sleep 1000";
    host.ok(["run", "-d", "--name", "talker", image, "sh", "-c", script]);
    for size in [SMALL, LARGE] {
        let mut terminal = Terminal::open(&host, &[], size, []);
        terminal.wait_line(&["talker", "up"]);
        terminal.send("l");
        terminal.wait_text("hello from inside");
        quit(terminal);
    }
    // And from one to the other, while it runs.
    let mut terminal = Terminal::open(&host, &[], SMALL, []);
    terminal.wait_text("talker");
    for (rows, cols) in [LARGE, (10, 40), (1, 1), SMALL] {
        terminal.resize(rows, cols);
    }
    terminal.wait_line(&["talker", "up"]);
    terminal.send("l");
    terminal.wait_text("hello from inside");
    quit(terminal);
}

#[test]
fn without_colour_and_without_unicode_it_is_all_there() {
    let Some(host) = privileged() else { return };
    let Some(image) = host.busybox_image() else {
        return;
    };
    host.ok(["run", "-d", "--name", "plain", image, "sleep", "1000"]);

    let terminal = Terminal::open(&host, &[], SMALL, [("NO_COLOR", "1")]);
    terminal.wait_line(&["plain", "up"]);
    terminal.screen(|screen| {
        for row in 0..SMALL.0 {
            for column in 0..SMALL.1 {
                let cell = screen.cell(row, column).unwrap();
                let colours = (cell.fgcolor(), cell.bgcolor());
                let none = (vt100::Color::Default, vt100::Color::Default);
                assert_eq!(colours, none, "row {row}, column {column}");
            }
        }
    });
    quit(terminal);

    let terminal = Terminal::open(&host, &[], SMALL, [("LANG", "C"), ("TERM", "linux")]);
    terminal.wait_line(&["plain", "up"]);
    assert!(terminal.text().is_ascii(), "{}", terminal.text());
    quit(terminal);
}

#[test]
fn signals_that_end_it_give_the_terminal_back() {
    let Some(host) = privileged() else { return };
    for signal in [Signal::TERM, Signal::HUP] {
        let mut terminal = Terminal::open(&host, &[], SMALL, []);
        terminal.wait_text(EMPTY);
        assert!(terminal.screen(vt100::Screen::alternate_screen));
        terminal.signal(signal);
        terminal.wait_exit();
        terminal.assert_restored();
    }
}

#[test]
fn suspended_it_gives_the_terminal_to_the_shell_and_takes_it_back() {
    let Some(host) = privileged() else { return };
    let mut terminal = Terminal::open_program(
        &host,
        "bash",
        &["--norc", "--noprofile", "-i"],
        SMALL,
        [("PS1", "shell> ")],
    );
    terminal.wait_text("shell> ");
    terminal.send(&format!("{WHARF}\n"));
    terminal.wait_text(EMPTY);
    terminal.send("\x1a");
    terminal.wait_text("Stopped");
    assert!(!terminal.screen(vt100::Screen::alternate_screen));
    terminal.send("fg\n");
    terminal.wait_text(EMPTY);
    assert!(terminal.screen(vt100::Screen::alternate_screen));
    terminal.send("q");
    terminal.wait_screen("the shell again", |screen| !screen.alternate_screen());
    terminal.send("exit\n");
    terminal.wait_exit();
}

#[test]
fn it_works_inside_tmux() {
    let Some(host) = privileged() else { return };
    if !has_peer("tmux") {
        return;
    }
    let Some(image) = host.busybox_image() else {
        return;
    };
    host.ok(["run", "-d", "--name", "inside", image, "sleep", "1000"]);
    let server = Tmux::start(&host);
    wait_until("the list in tmux", crate::support::PATIENCE, || {
        server.screen().contains("inside")
    });
    server.tmux(&["send-keys", "-t", "0", "?"]);
    wait_until("help in tmux", crate::support::PATIENCE, || {
        server.screen().contains("Keys")
    });
}

#[test]
fn it_ends_with_its_terminal_even_while_it_reads() {
    let Some(host) = privileged() else { return };
    if !has_peer("tmux") {
        return;
    }
    // Several times: whether the end of input or the signal comes first is a matter of chance.
    for _ in 0..4 {
        let server = Tmux::start(&host);
        wait_until("the workstation", crate::support::PATIENCE, || {
            server.screen().contains("Containers")
        });
        let pid = server.tmux(&["list-panes", "-F", "#{pane_pid}"]);
        let pid: u32 = pid.trim().parse().unwrap();
        server.tmux(&["send-keys", "-t", "0", "/", "b"]);
        server.tmux(&["kill-server"]);
        wait_until("its end", crate::support::PATIENCE, || {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.is_empty() || stat.contains(") Z ")
        });
    }
}

/// A tmux server of its own; killed when dropped.
struct Tmux<'a> {
    host: &'a Host,
}

impl<'a> Tmux<'a> {
    fn start(host: &'a Host) -> Self {
        let server = Self { host };
        server.tmux(&["new-session", "-d", "-x", "80", "-y", "24", WHARF]);
        server
    }

    fn tmux(&self, args: &[&str]) -> String {
        let mut command = Command::new("tmux");
        self.host.dress(&mut command);
        command.env("LANG", "C.UTF-8").env("TERM", "xterm");
        command.arg("-S").arg(self.host.dir().join("tmux"));
        collect(command.args(args), &[]).stdout
    }

    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-t", "0"])
    }
}

impl Drop for Tmux<'_> {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

#[test]
fn a_terminal_shows_no_escape_sequences_of_containers() {
    let Some(host) = privileged() else { return };
    if host.busybox_image().is_none() {
        return;
    }
    // Sets the title, moves the cursor, rings, and colours: only the last is harmless.
    let script = r"printf '\033]0;pwned\007\033[1;1Hmoved\a\033[31mred\033[0m\n'; sleep 1000";
    host.ok(["run", "-d", "--name", "rude", BUSYBOX, "sh", "-c", script]);
    let mut terminal = Terminal::open(&host, &[], USUAL, []);
    terminal.wait_text("rude");
    terminal.send("l");
    terminal.wait_text("red");
    let raw = terminal.raw();
    let raw = String::from_utf8_lossy(&raw);
    assert!(!raw.contains("\x1b]0;pwned"));
    assert!(!raw.contains('\x07'));
    quit(terminal);
}
