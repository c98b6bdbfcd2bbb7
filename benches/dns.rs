//! Answers of a container's name server: how many in a second, and how long the slowest of a hundred takes. The asker has some
//! questions under way at a time, as a busy server's processes have.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    unreachable_pub,
    reason = "a benchmark prints, and may end where it fails"
)]

#[path = "shared/asker.rs"]
mod asker;
#[expect(dead_code, reason = "shared with tests/engine, which uses all of it")]
#[path = "../tests/engine/spaces.rs"]
mod spaces;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use spaces::Space;
use wharf::engine::net::dns::{Config, Server};
use wharf::engine::net::names::Source;
use wharf::engine::sys::poll::Poller;

const QUESTIONS: usize = 200_000;

fn main() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: needs root");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("endpoints.json");
    for endpoints in [3, 500] {
        write(&file, endpoints);
        for under_way in [1, 8, 64] {
            let (host, container) = (Space::new(), Space::new());
            let config = Config {
                networks: vec![Source {
                    network: "net".to_owned(),
                    file: file.clone(),
                    links: BTreeMap::new(),
                }],
                ..Config::default()
            };
            let over = AtomicBool::new(false);
            let answers = thread::scope(|scope| {
                scope.spawn(|| {
                    host.enter();
                    let server = Server::open(container.fd(), 0, config).unwrap();
                    serve(server, &over);
                });
                let asked = scope.spawn(|| {
                    container.enter();
                    asker::load(under_way, QUESTIONS)
                });
                let asked = asked.join().unwrap();
                over.store(true, Ordering::Relaxed);
                asked
            });
            println!("{endpoints:>4} containers, {under_way:>2} questions under way: {answers}");
        }
    }
}

fn serve(mut server: Server, over: &AtomicBool) {
    let poller = Poller::new().unwrap();
    server.register(&poller).unwrap();
    while !over.load(Ordering::Relaxed) {
        for ready in poller.wait(Some(Duration::from_millis(50))).unwrap() {
            server.handle(&poller, ready, Instant::now());
        }
        server.tick(&poller, Instant::now());
    }
}

fn write(file: &Path, count: usize) {
    let id = "ab".repeat(32);
    let endpoint = |n: usize| {
        let address = format!("10.{}.{}.2/8", n / 250, n % 250);
        serde_json::json!({
            "id": id, "container": id, "container_name": format!("container{n}"), "network": id,
            "interface": "eth0", "mac": "02:00:00:00:00:01", "ipv4": address,
            "names": [format!("container{n}"), format!("{n:012x}"), "service"],
            "since": "2026-01-01T00:00:00Z",
        })
    };
    let all: Vec<_> = (0..count).map(endpoint).collect();
    let document = serde_json::json!({"version": 1, "endpoints": all});
    std::fs::write(file, document.to_string()).unwrap();
}
