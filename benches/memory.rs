//! What a running container costs in memory besides itself: its monitor's proportional and private pages, at rest (a few
//! seconds after the start). docs/monitor-memory.md says what they are.

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

use shared::Memory;
use support::Host;

fn main() {
    let Some(host) = support::privileged() else {
        return;
    };
    let Some(image) = host.busybox_image() else {
        return;
    };
    shared::print_host();
    println!("memory of a monitor (median of all), KiB");
    println!(
        "  {:<38} {:>8} {:>8} {:>8}",
        "containers", "Pss", "private", "Rss"
    );
    let mut running = 0;
    for count in [1, 20] {
        while running < count {
            host.ok(["run", "-d", "--network", "none", image, "sleep", "1000"]);
            running += 1;
        }
        rest();
        let mut all: Vec<Memory> = monitors(&host).into_iter().map(Memory::of).collect();
        all.sort_unstable_by_key(|memory| memory.pss);
        let middle = &all[all.len() / 2];
        println!(
            "  {count:<38} {:>8} {:>8} {:>8}",
            middle.pss, middle.private, middle.rss
        );
    }
    println!();
}

/// A monitor lets go of what it does not need once nothing has happened for a second.
#[expect(
    clippy::disallowed_methods,
    reason = "what is measured is what is left when nothing happens"
)]
fn rest() {
    std::thread::sleep(std::time::Duration::from_secs(3));
}

/// Pids of this host's monitors.
fn monitors(host: &Host) -> Vec<i32> {
    host.processes()
        .into_iter()
        .filter(|pid| support::command_line(*pid).starts_with("wharf-monitor"))
        .collect()
}
