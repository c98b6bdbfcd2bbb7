//! Blobs that arrive over lines that break, from registries that know ranges and from those that do not.

use std::io::Read;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::engine::images::fetch::Fetch;
use crate::engine::images::ingest::{self, Arrival, Ingest};
use crate::engine::images::pace::{self, Pace};
use crate::engine::model::Cancel;
use crate::engine::store::Roots;

/// More than is fetched in one piece.
const LARGE: usize = 33 << 20;

fn content() -> Vec<u8> {
    (0..LARGE / 4)
        .flat_map(|n| u32::try_from(n).unwrap().to_le_bytes())
        .collect()
}

/// What is left of the blob, as a registry with ranges answers.
fn ranged(content: &[u8], seen: &Seen) -> Reply {
    let Some(range) = seen.header("range").and_then(|r| r.strip_prefix("bytes=")) else {
        return Reply::ok(content);
    };
    let (first, last) = range.split_once('-').unwrap();
    let first: usize = first.parse().unwrap();
    let last = last.parse().unwrap_or(content.len() - 1);
    Reply::new(206)
        .header(
            "Content-Range",
            format!("bytes {first}-{last}/{}", content.len()),
        )
        .body(&content[first..=last])
}

fn claim(dir: &tempfile::TempDir, pace: Pace, content: &[u8]) -> Arc<Arrival> {
    let roots = Roots {
        data: dir.path().to_owned(),
        run: dir.path().to_owned(),
    };
    let mut ingest = Ingest::open(&roots).unwrap();
    ingest.pace = Arc::new(pace);
    let size = u64::try_from(content.len()).unwrap();
    let claimed = ingest.claim(&digest_of(content), size);
    Arc::new(claimed.unwrap().unwrap())
}

async fn fetch_to(server: &Server, arrival: &Arc<Arrival>) {
    let fetching = Fetch {
        repository: &reader(server),
        arrivals: std::slice::from_ref(arrival),
        side_by_side: 3,
        connections: 6,
        pause: Duration::from_millis(1),
        report: &|_| (),
        cancel: &Cancel::new(),
    };
    fetching.all().await;
}

async fn fetch(server: &Server, content: &[u8]) -> (Result<()>, u64) {
    let dir = tempfile::tempdir().unwrap();
    let arrival = claim(&dir, Pace::default(), content);
    fetch_to(server, &arrival).await;
    (Arrival::verify(&arrival), arrival.received())
}

/// Fetches a blob while it is read; `look` is shown, before each reading, how many bytes were read and how many are there.
fn fetch_and_read(
    server: &Server,
    pace: Pace,
    content: &[u8],
    look: impl Fn(u64, &dyn Fn() -> u64),
) {
    let dir = tempfile::tempdir().unwrap();
    let arrival = claim(&dir, pace, content);
    let mut reader = ingest::Reader::new(Arc::clone(&arrival));
    let there = || arrival.received();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(fetch_to(server, &arrival));
        });
        let (mut buffer, mut total) = (vec![0; 1 << 20], 0);
        loop {
            look(total, &there);
            match reader.read(&mut buffer).unwrap() {
                0 => return,
                n => total += u64::try_from(n).unwrap(),
            }
        }
    });
}

#[test]
fn what_is_read_slowly_is_fetched_a_little_ahead() {
    let content = content();
    let whole = content.clone();
    let server = Server::start(move |seen| ranged(&whole, seen));
    // And what a connection brings at once.
    let limit = pace::AHEAD + (1 << 20);
    fetch_and_read(&server, Pace::decided(false), &content, |read, there| {
        while read == 0 && there() < pace::AHEAD {
            std::thread::yield_now();
        }
        // Long enough for more to come, if it were fetched.
        for _ in 0..if read == 0 { 30 } else { 1 } {
            assert!(there() - read <= limit, "{} at {read}", there());
            std::thread::park_timeout(Duration::from_millis(10));
        }
    });
}

#[test]
fn ranges_come_side_by_side_when_reading_waits_for_them() {
    let content = content();
    let whole = content.clone();
    let both = std::sync::Barrier::new(2);
    let count = AtomicUsize::new(0);
    // The first two answers are given when both were asked for.
    let server = Server::start(move |seen| {
        if count.fetch_add(1, Ordering::Relaxed) < 2 {
            both.wait();
        }
        ranged(&whole, seen)
    });
    fetch_and_read(&server, Pace::default(), &content, |_, _| ());
}

#[tokio::test]
async fn a_large_blob_comes_in_ranges() {
    let content = content();
    let whole = content.clone();
    let server = Server::start(move |seen| ranged(&whole, seen));
    fetch(&server, &content).await.0.unwrap();
    let ranges = server
        .seen()
        .iter()
        .filter(|s| s.header("range").is_some())
        .count();
    assert!(ranges > 1, "{ranges}");
}

#[tokio::test]
async fn a_broken_range_is_gone_on_with_where_it_broke() {
    let content = content();
    let whole = content.clone();
    let count = AtomicUsize::new(0);
    let server = Server::start(move |seen| {
        let reply = ranged(&whole, seen);
        match count.fetch_add(1, Ordering::Relaxed) {
            n if n < 8 => reply.cut(1 << 20),
            _ => reply,
        }
    });
    fetch(&server, &content).await.0.unwrap();
}

#[tokio::test]
async fn a_registry_without_ranges_sends_a_large_blob_over_one_connection_at_a_time() {
    let content = content();
    let whole = content.clone();
    let server = Server::start(move |_| Reply::ok(whole.as_slice()));
    fetch(&server, &content).await.0.unwrap();
    assert!(server.lines().len() <= 3, "{:?}", server.lines());
}

#[tokio::test]
async fn a_registry_without_ranges_may_break_as_long_as_it_comes_further() {
    let content = content();
    let whole = content.clone();
    let count = AtomicUsize::new(0);
    let server = Server::start(move |_| {
        let n = count.fetch_add(1, Ordering::Relaxed);
        Reply::ok(whole.as_slice()).cut((n << 21).min(LARGE))
    });
    fetch(&server, &content).await.0.unwrap();
}

#[tokio::test]
async fn a_small_blob_is_gone_on_with_without_ranges_too() {
    let content = b"0123456789";
    let count = AtomicUsize::new(0);
    let server = Server::start(move |_| {
        let n = count.fetch_add(1, Ordering::Relaxed);
        Reply::ok(content).cut((3 * n).min(10))
    });
    fetch(&server, content).await.0.unwrap();
}

#[tokio::test]
async fn a_line_that_brings_nothing_more_is_given_up() {
    let content = content();
    let whole = content.clone();
    for ranges in [true, false] {
        let whole = whole.clone();
        let server = Server::start(move |seen| {
            if ranges {
                ranged(&whole, seen).cut(0)
            } else {
                Reply::ok(whole.as_slice()).cut(1 << 20)
            }
        });
        let (ended, received) = fetch(&server, &content).await;
        assert_eq!(ended.unwrap_err().kind(), Kind::Unavailable);
        assert!(received <= 1 << 20, "{received}");
    }
}

#[test]
fn a_defect_in_the_fetching_leaves_nobody_waiting() {
    let content = vec![7_u8; 1 << 20];
    let whole = content.clone();
    let server = Server::start(move |_| Reply::ok(whole.as_slice()));
    let dir = tempfile::tempdir().unwrap();
    let arrivals = [claim(&dir, Pace::default(), &content)];
    std::thread::scope(|scope| {
        let fetching = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let fetch = Fetch {
                repository: &reader(&server),
                arrivals: &arrivals,
                side_by_side: 3,
                connections: 6,
                pause: Duration::from_millis(1),
                report: &|_| panic!("a defect"),
                cancel: &Cancel::new(),
            };
            runtime.unwrap().block_on(fetch.all());
        });
        assert!(fetching.join().is_err());
    });
    let [arrival] = &arrivals;
    assert_eq!(arrival.verify().unwrap_err().kind(), Kind::Internal);
}
