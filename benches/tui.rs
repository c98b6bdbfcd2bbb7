//! The workstation in a terminal of 45 lines and 140 columns: start, idle, keys, and a log that floods.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    unreachable_pub,
    reason = "a benchmark prints, and may end where it fails"
)]

mod shared;
#[expect(
    dead_code,
    reason = "shared by several test binaries, each of which uses a part of it"
)]
#[path = "../tests/engine/support.rs"]
mod support;
#[path = "../tests/e2e/terminal.rs"]
mod terminal;

use std::time::{Duration, Instant};

use shared::{Memory, cpu_time, median, ms};
use support::{BUSYBOX, Host};
use terminal::Terminal;

const SIZE: (u16, u16) = (45, 140);
const WINDOW: Duration = Duration::from_secs(10);

fn main() {
    let Some(host) = support::privileged() else {
        return;
    };
    if host.busybox_image().is_none() {
        return;
    }
    shared::print_host();
    println!("the workstation, {}x{}", SIZE.1, SIZE.0);
    println!(
        "  {:<12} {:>12} {:>12} {:>8} {:>10} {:>10} {:>12}",
        "containers", "first byte", "all there", "CPU", "bytes/s", "RSS", "key to draw"
    );
    let mut running = 0;
    for count in [0, 20, 200] {
        while running < count {
            let name = format!("bench-{running:03}");
            host.ok([
                "run",
                "-d",
                "--network",
                "none",
                "--name",
                &name,
                BUSYBOX,
                "sleep",
                "10000",
            ]);
            running += 1;
        }
        measure(&host, count);
    }
    println!();
    let ids = host.container_ids();
    host.ok(["rm", "-f"]
        .into_iter()
        .chain(ids.iter().map(String::as_str)));
    flood(&host);
}

fn measure(host: &Host, count: usize) {
    // What is on the screen when everything is there.
    let mark = match count {
        0 => "Containers".to_owned(),
        _ => format!("{count} of {count} run"),
    };
    let mut firsts = Vec::new();
    let mut fulls = Vec::new();
    for _ in 0..7 {
        let start = Instant::now();
        let mut terminal = Terminal::open(host, &[], SIZE, []);
        terminal.wait_text(&mark);
        if count > 0 {
            terminal.wait_text("bench-");
        }
        fulls.push(start.elapsed());
        firsts.push(terminal.first_byte().unwrap() - start);
        terminal.send("q");
        terminal.wait_exit();
    }
    let mut terminal = Terminal::open(host, &[], SIZE, []);
    terminal.wait_text(&mark);
    settle(Duration::from_secs(4));
    let (cpu, bytes) = watch(&terminal);
    let rss = Memory::of(terminal.pid().try_into().unwrap()).rss;
    let mut keys = Vec::new();
    for key in ["j", "k"].into_iter().cycle().take(60) {
        // Away from the tick that draws live figures.
        settle(Duration::from_millis(37));
        let before = terminal.bytes();
        let start = Instant::now();
        terminal.send(key);
        if terminal.wait_more_than(before, Duration::from_secs(1)) {
            keys.push(start.elapsed());
        }
    }
    println!(
        "  {count:<12} {:>12} {:>12} {:>6.2} % {bytes:>10.0} {:>6} KiB {:>12}",
        ms(median(&firsts)),
        ms(median(&fulls)),
        cpu,
        rss,
        if keys.is_empty() {
            "-".to_owned()
        } else {
            ms(median(&keys))
        },
    );
    terminal.send("q");
    terminal.wait_exit();
}

/// 3,000 lines a second, followed.
fn flood(host: &Host) {
    let script = "n=0; while :; do i=0; while [ $i -lt 150 ]; do n=$((n+1)); i=$((i+1)); \
         echo \"$n GET /assets/app.js HTTP/1.1 200 88064 Mozilla/5.0 (X11; Linux x86_64) 123us\"; done; usleep 48000; done";
    host.ok([
        "run",
        "-d",
        "--network",
        "none",
        "--name",
        "flood",
        BUSYBOX,
        "sh",
        "-c",
        script,
    ]);
    let mut terminal = Terminal::open(host, &[], SIZE, []);
    terminal.wait_text("flood");
    terminal.send("l");
    terminal.wait_text("HTTP/1.1 200");
    settle(Duration::from_secs(5));
    let pid = terminal.pid().try_into().unwrap();
    let before = lines(host);
    let (cpu, bytes) = watch(&terminal);
    let rate = (lines(host) - before) / WINDOW.as_secs();
    println!("a log followed at {rate} lines/s");
    println!(
        "  CPU {cpu:.1} %, {bytes:.0} bytes/s, RSS {} KiB after 15 s",
        Memory::of(pid).rss
    );
    settle(Duration::from_secs(30));
    println!("  RSS {} KiB after 45 s\n", Memory::of(pid).rss);
    terminal.send("q");
    terminal.wait_exit();
}

/// The flood numbers its lines.
fn lines(host: &Host) -> u64 {
    let last = host.ok(["logs", "--tail", "1", "flood"]);
    last.split(' ').next().unwrap().parse().unwrap()
}

/// CPU in percent of one, and bytes per second to the terminal, over [`WINDOW`].
fn watch(terminal: &Terminal) -> (f64, f64) {
    let pid = terminal.pid().try_into().unwrap();
    let (cpu, bytes, start) = (cpu_time(pid), terminal.bytes(), Instant::now());
    settle(WINDOW);
    let wall = start.elapsed().as_secs_f64();
    let used = cpu_time(pid).saturating_sub(cpu).as_secs_f64();
    let written = u32::try_from(terminal.bytes() - bytes).unwrap();
    (used * 100.0 / wall, f64::from(written) / wall)
}

#[expect(
    clippy::disallowed_methods,
    reason = "what is measured here is what happens while nothing happens"
)]
fn settle(time: Duration) {
    std::thread::sleep(time);
}
