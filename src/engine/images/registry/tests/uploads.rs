//! Blobs that are sent, and sent again from where it broke.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use super::*;
use crate::engine::error::Error;

struct Bytes(Vec<u8>);

impl Content for Bytes {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn open(&self, start: u64) -> Result<Box<dyn Read + Send>> {
        let rest = self.0[usize::try_from(start).unwrap()..].to_vec();
        Ok(Box::new(io::Cursor::new(rest)))
    }
}

fn content(size: usize) -> Vec<u8> {
    (0..size)
        .map(|at| u8::try_from(at % 251).unwrap())
        .collect()
}

/// Uploads, and returns what was told on the way.
async fn upload(repository: &Repository, bytes: &[u8]) -> (Result<()>, Vec<u64>) {
    let told = Mutex::new(Vec::new());
    let sent = |there| told.lock().unwrap().push(there);
    let content = Arc::new(Bytes(bytes.to_vec()));
    let done = repository
        .upload_blob(&digest_of(bytes), content, &sent)
        .await;
    (done, told.into_inner().unwrap())
}

/// What a registry that takes uploads has.
#[derive(Default)]
struct Store {
    parts: Mutex<BTreeMap<u64, Vec<u8>>>,
}

impl Store {
    fn put(&self, seen: &Seen) -> usize {
        let mut parts = self.parts.lock().unwrap();
        let start = match seen.header("content-range") {
            Some(range) => range.split('-').next().unwrap().parse().unwrap(),
            None => 0,
        };
        // An answer to the last PUT has no bytes of its own.
        if !seen.body.is_empty() {
            parts.insert(start, seen.body.clone());
        }
        Self::joined(&parts).len()
    }

    fn bytes(&self) -> Vec<u8> {
        Self::joined(&self.parts.lock().unwrap())
    }

    fn joined(parts: &BTreeMap<u64, Vec<u8>>) -> Vec<u8> {
        let mut all: Vec<u8> = Vec::new();
        for (start, part) in parts {
            assert!(*start <= all.len() as u64, "a gap before {start}");
            all.truncate(usize::try_from(*start).unwrap());
            all.extend(part);
        }
        all
    }
}

fn accepted(session: &str) -> Reply {
    Reply::new(202).header("Location", session)
}

#[tokio::test]
async fn a_blob_is_sent_in_one_piece() {
    let server = Server::start(|seen| match seen.method.as_str() {
        "POST" => accepted("/v2/a/b/blobs/uploads/1?_state=x%2Fy"),
        _ => Reply::new(201),
    });
    let bytes = content(1_000_000);
    let (done, told) = upload(&writer(&server), &bytes).await;
    done.unwrap();
    let seen = server.seen();
    assert_eq!(
        server.lines(),
        ["POST /v2/a/b/blobs/uploads/", "PUT /v2/a/b/blobs/uploads/1"]
    );
    assert_eq!(seen[1].all("_state"), ["x/y"]);
    assert_eq!(seen[1].all("digest"), [digest_of(&bytes).to_string()]);
    assert_eq!(seen[1].header("content-length"), Some("1000000"));
    assert!(seen[1].body == bytes);
    assert_eq!((told.first(), told.last()), (Some(&0), Some(&1_000_000)));
    assert!(told.is_sorted());
}

#[tokio::test]
async fn an_empty_blob_is_sent_too() {
    let server = Server::start(|seen| match seen.method.as_str() {
        "POST" => accepted("/u/1"),
        _ => Reply::new(201),
    });
    upload(&writer(&server), b"").await.0.unwrap();
    assert_eq!(server.seen()[1].header("content-length"), Some("0"));
}

#[tokio::test]
async fn an_upload_that_breaks_goes_on_where_the_registry_says() {
    const HALF: usize = 700_000;
    let store = Arc::new(Store::default());
    let kept = store.clone();
    let server = Server::start_hungry(
        // The first PUT is cut off half way.
        |seen| match (seen.method.as_str(), seen.target.as_str()) {
            ("PUT", target) if target.starts_with("/u/1?") => HALF,
            _ => usize::MAX,
        },
        move |seen| {
            let end = kept.put(seen);
            match (seen.method.as_str(), seen.target.split('?').next().unwrap()) {
                ("POST", _) => accepted("/u/1"),
                ("PUT", "/u/1") => Reply::hang_up(),
                ("GET", "/u/1") => Reply::new(204)
                    .header("Location", "/u/2?_state=s")
                    .header("Range", format!("0-{}", end - 1)),
                ("PATCH", "/u/2") => {
                    accepted("/u/3?_state=t").header("Range", format!("0-{}", end - 1))
                }
                ("PUT", "/u/3") => Reply::new(201),
                _ => Reply::new(500),
            }
        },
    );
    let bytes = content(1_000_000);
    let (done, told) = upload(&writer(&server), &bytes).await;
    done.unwrap();
    assert!(store.bytes() == bytes);
    let seen = server.seen();
    let patch = seen.iter().find(|seen| seen.method == "PATCH").unwrap();
    assert_eq!(patch.header("content-range"), Some("700000-999999"));
    assert_eq!(patch.all("_state"), ["s"]);
    let last = seen.last().unwrap();
    assert_eq!(last.all("_state"), ["t"]);
    assert_eq!(last.all("digest"), [digest_of(&bytes).to_string()]);
    assert!(told.contains(&(HALF as u64)), "{told:?}");
    assert_eq!(told.last(), Some(&1_000_000));
}

#[tokio::test]
async fn an_upload_that_the_registry_forgot_begins_anew() {
    let begun = AtomicU32::new(0);
    let server = Server::start(move |seen| {
        match (seen.method.as_str(), seen.target.split('?').next().unwrap()) {
            ("POST", _) => accepted(&format!("/u/{}", begun.fetch_add(1, Ordering::SeqCst))),
            ("PUT", "/u/0") => Reply::hang_up(),
            ("PUT", "/u/1") => Reply::new(201),
            _ => Reply::error(
                404,
                "BLOB_UPLOAD_UNKNOWN",
                "blob upload unknown to registry",
            ),
        }
    });
    let bytes = content(10);
    upload(&writer(&server), &bytes).await.0.unwrap();
    assert_eq!(server.seen().last().unwrap().body, bytes);
}

#[tokio::test]
async fn an_answer_that_got_lost_does_not_send_the_blob_twice() {
    let server = Server::start(|seen| match seen.method.as_str() {
        "POST" => accepted("/u/1"),
        "PUT" => Reply::hang_up(),
        "HEAD" => Reply::ok(content(10)),
        _ => Reply::new(404),
    });
    let (done, told) = upload(&writer(&server), &content(10)).await;
    done.unwrap();
    assert_eq!(told.last(), Some(&10));
    let puts = server
        .seen()
        .iter()
        .filter(|seen| seen.method == "PUT")
        .count();
    assert_eq!(puts, 1);
}

#[tokio::test]
async fn an_upload_that_gets_nowhere_ends() {
    let server = Server::start(|seen| match seen.method.as_str() {
        "POST" => accepted("/u/1"),
        "PUT" => Reply::hang_up(),
        _ => Reply::new(404),
    });
    let error = upload(&writer(&server), &content(10)).await.0.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    let puts = server
        .seen()
        .iter()
        .filter(|seen| seen.method == "PUT")
        .count();
    assert_eq!(puts, 5);
}

#[tokio::test]
async fn a_blob_that_the_registry_refuses_is_not_sent_again() {
    let server = Server::start(|seen| match seen.method.as_str() {
        "POST" => accepted("/u/1"),
        _ => Reply::error(
            400,
            "DIGEST_INVALID",
            "provided digest did not match uploaded content",
        ),
    });
    let error = upload(&writer(&server), &content(10)).await.0.unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidInput);
    assert!(
        error
            .to_string()
            .ends_with("digest invalid: provided digest did not match uploaded content"),
        "{error}"
    );
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn an_upload_to_another_host_is_not_shown_the_credentials() {
    let storage = Server::start(|_| Reply::new(201));
    let target = format!("http://{}/put?signature=1", storage.host());
    let server = Server::start(move |seen| match seen.header("authorization") {
        Some(BASIC) => accepted(&target),
        _ => Reply::new(401).header("WWW-Authenticate", "Basic"),
    });
    let repository = client().repository(&name(&server.host()), &password(), Access::Push);
    upload(&repository, &content(10)).await.0.unwrap();
    let seen = storage.seen();
    assert_eq!(seen[0].header("authorization"), None);
    assert_eq!(seen[0].all("signature"), ["1"]);
}

#[tokio::test]
async fn a_host_that_the_beginning_of_an_upload_is_redirected_to_is_not_shown_the_credentials() {
    let other = Server::start(|seen| match seen.method.as_str() {
        "POST" => Reply::new(202).header("Location", "/here"),
        _ => Reply::new(201),
    });
    let there = format!("http://{}/v2/a/b/blobs/uploads/", other.host());
    let server = Server::start(move |seen| {
        if seen.header("authorization").is_none() {
            Reply::new(401).header("WWW-Authenticate", "Basic realm=\"r\"")
        } else {
            Reply::new(307).header("Location", &there)
        }
    });
    let repository = client().repository(&name(&server.host()), &password(), Access::Push);
    upload(&repository, b"0123456789").await.0.unwrap();
    assert_eq!(server.seen()[1].header("authorization"), Some(BASIC));
    let seen = other.seen();
    assert_eq!(seen.len(), 2);
    assert!(seen.iter().all(|one| one.header("authorization").is_none()));
}

#[tokio::test]
async fn an_upload_on_the_registry_is_shown_the_credentials() {
    let server = Server::start(|seen| {
        let host = seen.header("host").unwrap();
        match (seen.header("authorization"), seen.method.as_str()) {
            (Some(BASIC), "POST") => accepted(&format!("http://{host}/u/1")),
            (Some(BASIC), "PUT") => Reply::new(201),
            _ => Reply::new(401).header("WWW-Authenticate", "Basic"),
        }
    });
    let repository = client().repository(&name(&server.host()), &password(), Access::Push);
    upload(&repository, &content(10)).await.0.unwrap();
    assert_eq!(server.seen().len(), 3);
}

#[tokio::test]
async fn a_token_that_runs_out_during_an_upload_is_got_anew() {
    let given = AtomicU32::new(0);
    let server = Server::start(move |seen| {
        let host = seen.header("host").unwrap();
        if seen.target.starts_with("/token") {
            return Reply::ok(format!(
                r#"{{"token":"t{}"}}"#,
                given.fetch_add(1, Ordering::SeqCst)
            ));
        }
        let refused = Reply::new(401).header(
            "WWW-Authenticate",
            format!(r#"Bearer realm="http://{host}/token""#),
        );
        match (seen.header("authorization"), seen.method.as_str()) {
            (Some(_), "POST") => accepted("/u/1"),
            (Some("Bearer t1"), "PUT" | "PATCH") => Reply::new(201),
            (Some("Bearer t1"), "GET") => Reply::new(204).header("Range", "0-0"),
            _ => refused,
        }
    });
    upload(&writer(&server), &content(10)).await.0.unwrap();
    assert_eq!(
        server.seen().last().unwrap().header("authorization"),
        Some("Bearer t1")
    );
}

#[tokio::test]
async fn a_registry_that_wants_chunks_gets_chunks() {
    let store = Arc::new(Store::default());
    let kept = store.clone();
    let server = Server::start(move |seen| match seen.method.as_str() {
        "POST" => accepted("/u")
            .header("OCI-Chunk-Min-Length", 100)
            .header("OCI-Chunk-Max-Length", 400),
        "PATCH" => {
            let end = kept.put(seen);
            accepted("/u").header("Range", format!("0-{}", end - 1))
        }
        _ => Reply::new(201),
    });
    let bytes = content(1000);
    upload(&writer(&server), &bytes).await.0.unwrap();
    assert!(store.bytes() == bytes);
    let ranges: Vec<_> = server
        .seen()
        .iter()
        .filter_map(|seen| seen.header("content-range").map(str::to_owned))
        .collect();
    assert_eq!(ranges, ["0-399", "400-799", "800-999"]);
}

#[tokio::test]
async fn content_that_cannot_be_read_is_our_own_error() {
    struct Broken;
    impl Content for Broken {
        fn size(&self) -> u64 {
            10
        }
        fn open(&self, _start: u64) -> Result<Box<dyn Read + Send>> {
            Err(Error::not_found("open blob"))
        }
    }
    let server = Server::start(|seen| match seen.method.as_str() {
        "POST" => accepted("/u/1"),
        _ => Reply::new(201),
    });
    let done = writer(&server)
        .upload_blob(&digest_of(b"x"), Arc::new(Broken), &|_| {})
        .await;
    assert_eq!(done.unwrap_err().to_string(), "open blob");
}

#[tokio::test]
async fn a_registry_that_stops_taking_is_asked_again() {
    let (mut settings, _dir) = settings();
    settings.patience.commit = Duration::from_millis(100);
    let tried = AtomicUsize::new(0);
    let server = Server::start(move |seen| match seen.method.as_str() {
        "POST" => accepted("/u/1"),
        "PUT" if tried.fetch_add(1, Ordering::SeqCst) == 0 => {
            // It has everything, and does not answer while anybody waits.
            Reply::never()
        }
        "PUT" => Reply::new(201),
        _ => Reply::new(404),
    });
    let client = Client::new(settings).unwrap();
    let repository = client.repository(&name(&server.host()), &Auth::Anonymous, Access::Push);
    upload(&repository, &content(10)).await.0.unwrap();
}

#[tokio::test]
async fn a_mount_that_the_registry_will_not_do_leaves_no_upload_behind() {
    let server = Server::start(|seen| match seen.method.as_str() {
        "POST" => accepted("/v2/a/b/blobs/uploads/1?_state=x"),
        _ => Reply::new(204),
    });
    let from: Reference = format!("{}/c", server.host()).parse().unwrap();
    let digest = digest_of(b"x");
    assert!(!writer(&server).mount_blob(&digest, &from).await.unwrap());
    let seen = server.seen();
    assert_eq!(seen[0].all("mount"), [digest.to_string()]);
    assert_eq!(seen[0].all("from"), ["c"]);
    assert_eq!(seen[1].line(), "DELETE /v2/a/b/blobs/uploads/1");
    // Another registry's blob cannot be mounted.
    let elsewhere: Reference = "other.test/c".parse().unwrap();
    assert!(
        !writer(&server)
            .mount_blob(&digest, &elsewhere)
            .await
            .unwrap()
    );
    assert_eq!(server.seen().len(), 2);
}
