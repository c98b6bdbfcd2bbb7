//! How fast container logs are stored and read: one million lines of 100 bytes, and the last hundred of them.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and may end where it fails"
)]

use std::time::{Duration, Instant};

use wharf::engine::logs;
use wharf::engine::model::{Cancel, LogConfig, Timestamp, request};
use wharf::engine::runtime::log_file::{LogFile, Stream};

const LINES: u32 = 1_000_000;

fn main() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("container.log");
    let mut log = LogFile::open(&path, &LogConfig::default()).unwrap();
    let line = format!("{}\n", "0123456789".repeat(10));
    // What a pipe gives at once.
    let block = line.repeat(600);
    let began = Instant::now();
    let mut written = 0;
    while written < LINES {
        log.append(Stream::Stdout, block.as_bytes(), Timestamp::now());
        written += 600;
    }
    report("store", written, began.elapsed());

    let (count, time) = read(&path, &request::Logs::default());
    assert_eq!(count, written);
    report("read", count, time);

    let tail = request::Logs {
        tail: Some(100),
        ..request::Logs::default()
    };
    let (count, time) = read(&path, &tail);
    assert_eq!(count, 100);
    println!("  tail 100 of it {:>20.2} ms", time.as_secs_f64() * 1e3);
}

fn read(path: &std::path::Path, request: &request::Logs) -> (u32, Duration) {
    let began = Instant::now();
    let mut reader = logs::open(path, request, || false).unwrap();
    let cancel = Cancel::new();
    let mut count = 0;
    while reader.next(&cancel).unwrap().is_some() {
        count += 1;
    }
    (count, began.elapsed())
}

fn report(what: &str, lines: u32, time: Duration) {
    let speed = f64::from(lines) / time.as_secs_f64() / 1e6;
    println!("  {what:<14} {speed:>20.2} million lines/s");
}
