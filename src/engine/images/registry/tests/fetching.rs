//! Blobs that arrive over lines that break, from registries that know ranges and from those that do not.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::engine::images::fetch::Fetch;
use crate::engine::images::ingest::{Arrival, Ingest};
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

async fn fetch(server: &Server, content: &[u8]) -> (Result<()>, u64) {
    let dir = tempfile::tempdir().unwrap();
    let roots = Roots {
        data: dir.path().to_owned(),
        run: dir.path().to_owned(),
    };
    let size = u64::try_from(content.len()).unwrap();
    let claimed = Ingest::open(&roots)
        .unwrap()
        .claim(&digest_of(content), size);
    let arrivals = [Arc::new(claimed.unwrap().unwrap())];
    let [arrival] = &arrivals;
    let fetching = Fetch {
        repository: &reader(server),
        arrivals: &arrivals,
        side_by_side: 3,
        connections: 6,
        pause: Duration::from_millis(1),
        report: &|_| (),
        cancel: &Cancel::new(),
    };
    fetching.all().await;
    (Arrival::verify(arrival), arrival.received())
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
    let roots = Roots {
        data: dir.path().to_owned(),
        run: dir.path().to_owned(),
    };
    let claimed = Ingest::open(&roots)
        .unwrap()
        .claim(&digest_of(&content), 1 << 20);
    let arrivals = [Arc::new(claimed.unwrap().unwrap())];
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
