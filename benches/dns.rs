//! Answers of a container's name server: how many in a second, and how long the slowest of a hundred takes. The asker has some
//! questions under way at a time, as a busy server's processes have.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    unreachable_pub,
    reason = "a benchmark prints, and may end where it fails"
)]

#[expect(dead_code, reason = "shared with tests/engine, which uses all of it")]
#[path = "../tests/engine/spaces.rs"]
mod spaces;

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, MessageType, OpCode, Query};
use hickory_proto::rr::{Name, RecordType};
use spaces::Space;
use wharf::engine::net::dns::{self, Config, Server};
use wharf::engine::net::names::Source;
use wharf::engine::sys::poll::Poller;

const QUESTIONS: u32 = 200_000;

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
            let (each, rate) = thread::scope(|scope| {
                scope.spawn(|| {
                    host.enter();
                    let server = Server::open(container.fd(), 0, config).unwrap();
                    serve(server, &over);
                });
                let asked = scope.spawn(|| {
                    container.enter();
                    load(under_way)
                });
                let asked = asked.join().unwrap();
                over.store(true, Ordering::Relaxed);
                asked
            });
            let at = |share: usize| each[each.len() * share / 1000].as_secs_f64() * 1e6;
            println!(
                "{endpoints:>4} containers, {under_way:>2} questions under way: {rate:>7.0} answers/s, \
                 median {:>5.0} us, p99 {:>5.0} us, p99.9 {:>5.0} us",
                at(500),
                at(990),
                at(999)
            );
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

/// How long each answer took, sorted, and how many there were in a second.
fn load(under_way: usize) -> (Vec<Duration>, f64) {
    let sockets: Vec<UdpSocket> = (0..under_way).map(|_| connected()).collect();
    let questions: Vec<Vec<u8>> = (0..3).map(question).collect();
    let mut buffer = [0; 512];
    // The server may not be there yet.
    while sockets[0].send(&questions[0]).is_err() || sockets[0].recv(&mut buffer).is_err() {
        thread::yield_now();
    }
    let start = Instant::now();
    let mut sent = vec![start; under_way];
    let mut each = Vec::with_capacity(QUESTIONS as usize);
    for (n, socket) in sockets.iter().enumerate() {
        sent[n] = Instant::now();
        socket.send(&questions[n % 3]).unwrap();
    }
    'all: loop {
        for (n, socket) in sockets.iter().enumerate() {
            let length = socket.recv(&mut buffer).unwrap();
            // One answer record.
            assert!(length > 12 && buffer[7] == 1);
            each.push(sent[n].elapsed());
            if each.len() == QUESTIONS as usize {
                break 'all;
            }
            sent[n] = Instant::now();
            socket.send(&questions[each.len() % 3]).unwrap();
        }
    }
    let rate = f64::from(QUESTIONS) / start.elapsed().as_secs_f64();
    each.sort_unstable();
    (each, rate)
}

fn connected() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect((dns::ADDRESS, 53)).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    socket
}

fn question(n: usize) -> Vec<u8> {
    let id = u16::try_from(n).unwrap();
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    let name = Name::from_ascii(format!("container{n}.")).unwrap();
    message.add_query(Query::query(name, RecordType::A));
    message.to_vec().unwrap()
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
