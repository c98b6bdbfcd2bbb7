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
use wharf::engine::sys::{namespace, process};

/// Containers without networks, and those that answer for names and hold a port.
const KINDS: [(&str, &[&str]); 2] = [
    ("no network", &["--network", "none"]),
    ("names and a port", &["--network", "named", "-p", "80"]),
];

fn main() {
    let Some(host) = support::privileged() else {
        return;
    };
    let Some(image) = host.busybox_image() else {
        return;
    };
    shared::print_host();
    namespace::unshare(process::NEWNET).unwrap();
    namespace::loopback_up().unwrap();
    host.ok(["network", "create", "named"]);
    println!("memory of a monitor (median of all), KiB");
    println!(
        "  {:<38} {:>8} {:>8} {:>8}",
        "containers", "Pss", "private", "Rss"
    );
    for (kind, flags) in KINDS {
        let mut ids = Vec::new();
        for count in [1, 20] {
            while ids.len() < count {
                ids.push(host.ok([&["run", "-d"], flags, &[image, "sleep", "1000"]].concat()));
            }
            rest();
            let mut all: Vec<Memory> = monitors(&host).into_iter().map(Memory::of).collect();
            all.sort_unstable_by_key(|memory| memory.pss);
            let middle = &all[all.len() / 2];
            let label = format!("{count}, {kind}");
            println!(
                "  {label:<38} {:>8} {:>8} {:>8}",
                middle.pss, middle.private, middle.rss
            );
        }
        let remove = ["rm".to_owned(), "-f".to_owned()].into_iter().chain(ids);
        host.ok(remove);
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
