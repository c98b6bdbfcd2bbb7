//! Redirects, other tries, and limits.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};

use super::*;

/// Answers the first requests in order, then with a manifest.
fn in_order(replies: Vec<Reply>) -> Server {
    let next = AtomicUsize::new(0);
    Server::start(move |_| {
        let reply = replies.get(next.fetch_add(1, Ordering::SeqCst));
        reply.cloned().unwrap_or_else(document)
    })
}

#[tokio::test]
async fn credentials_do_not_follow_a_redirect_to_another_host() {
    let content = Server::start(|_| Reply::ok("blob"));
    let target = format!("http://{}/cdn?signature=1", content.host());
    let server = Server::start(move |seen| match seen.header("authorization") {
        Some(BASIC) => Reply::new(307)
            .header("Location", &target)
            .header("Set-Cookie", "a=b"),
        _ => Reply::new(401).header("WWW-Authenticate", "Basic"),
    });
    let repository = client().repository(&name(&server.host()), &password(), Access::Pull);
    let mut blob = repository.blob(&digest_of(b"blob"), 0, None).await.unwrap();
    assert_eq!(blob.next().await.unwrap().unwrap(), "blob");
    let seen = content.seen();
    assert_eq!(seen[0].target, "/cdn?signature=1");
    assert_eq!(seen[0].header("authorization"), None);
    assert_eq!(seen[0].header("cookie"), None);
}

#[tokio::test]
async fn credentials_follow_a_redirect_on_the_same_host() {
    let server = Server::start(
        |seen| match (seen.header("authorization"), seen.target.as_str()) {
            (Some(BASIC), "/elsewhere") => document(),
            (Some(BASIC), _) => Reply::new(302).header("Location", "/elsewhere"),
            _ => Reply::new(401).header("WWW-Authenticate", "Basic"),
        },
    );
    let repository = client().repository(&name(&server.host()), &password(), Access::Pull);
    repository.manifest(&tag("1")).await.unwrap();
}

#[test]
fn credentials_do_not_go_from_https_to_http() {
    let may = |from: &str, to: &str| {
        super::super::transport::may_have_credentials(&from.parse().unwrap(), &to.parse().unwrap())
    };
    assert!(may("https://a.test/x", "https://a.test/y"));
    assert!(may("https://a.test:443/x", "https://a.test/y"));
    assert!(!may("https://a.test/x", "http://a.test/x"));
    assert!(!may("https://a.test:5000/x", "http://a.test:5000/x"));
    assert!(!may("https://a.test/x", "https://a.test:5000/x"));
    assert!(!may("https://a.test/x", "https://b.a.test/x"));
}

#[tokio::test]
async fn a_challenge_from_where_a_redirect_led_is_not_answered() {
    let elsewhere = Server::start(|_| Reply::new(401).header("WWW-Authenticate", "Basic"));
    let target = format!("http://{}/", elsewhere.host());
    let server = Server::start(move |_| Reply::new(307).header("Location", &target));
    let repository = client().repository(&name(&server.host()), &password(), Access::Pull);
    let error = repository.manifest(&tag("1")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthorized);
    assert_eq!(elsewhere.seen().len(), 1);
}

#[tokio::test]
async fn redirects_in_a_circle_end() {
    let server = Server::start(|_| Reply::new(307).header("Location", "/again"));
    let error = reader(&server).manifest(&tag("1")).await.unwrap_err();
    assert!(
        error.to_string().ends_with("stopped after 10 redirects"),
        "{error}"
    );
    assert_eq!(server.seen().len(), 11);
}

#[tokio::test]
async fn a_registry_that_is_busy_is_asked_again() {
    for busy in [408, 429, 500, 502, 503, 504] {
        let server = in_order(vec![Reply::new(busy), Reply::new(busy)]);
        reader(&server).manifest(&tag("1")).await.unwrap();
        assert_eq!(server.seen().len(), 3, "{busy}");
    }
}

#[tokio::test]
async fn a_connection_that_breaks_before_the_answer_is_made_anew() {
    let server = in_order(vec![Reply::hang_up(), Reply::hang_up()]);
    reader(&server).manifest(&tag("1")).await.unwrap();
}

#[tokio::test]
async fn what_will_not_change_is_asked_once() {
    for (status, kind) in [
        (400, Kind::InvalidInput),
        (403, Kind::Denied),
        (404, Kind::NotFound),
        (405, Kind::Unsupported),
        (501, Kind::Unavailable),
    ] {
        let server = Server::start(move |_| Reply::new(status));
        let error = reader(&server).manifest(&tag("1")).await.unwrap_err();
        assert_eq!(error.kind(), kind);
        assert_eq!(server.seen().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn patience_has_an_end() {
    let server = Server::start(|_| Reply::new(503));
    let error = reader(&server).manifest(&tag("1")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert_eq!(
        error.to_string(),
        "received unexpected HTTP status: 503 Service Unavailable"
    );
    assert_eq!(server.seen().len(), 5);
}

#[tokio::test]
async fn a_pause_that_the_registry_asks_for_is_made() {
    let server = in_order(vec![Reply::new(429).header("Retry-After", 0)]);
    reader(&server).manifest(&tag("1")).await.unwrap();
    // Longer than anybody waits.
    let server = Server::start(|_| {
        Reply::error(
            429,
            "TOOMANYREQUESTS",
            "You have reached your pull rate limit",
        )
        .header("Retry-After", 3600)
    });
    let error = reader(&server).manifest(&tag("1")).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "toomanyrequests: You have reached your pull rate limit (the registry asks to wait 60 min)"
    );
    assert_eq!(server.seen().len(), 1);
    // A wait that was made, and that helped nothing.
    let server = Server::start(|_| Reply::new(503).header("Retry-After", 0));
    let error = reader(&server).manifest(&tag("1")).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "received unexpected HTTP status: 503 Service Unavailable"
    );
}

#[tokio::test]
async fn nobody_there_is_said_as_it_is() {
    let gone = Server::start(|_| document()).host();
    let repository = client().repository(&name(&gone), &Auth::Anonymous, Access::Pull);
    let error = repository.manifest(&tag("1")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert_eq!(
        error.to_string(),
        format!("Get \"http://{gone}/v2/a/b/manifests/1\": connection refused")
    );
}

#[tokio::test]
async fn a_name_that_nobody_knows_is_said_as_it_is() {
    let (mut settings, _dir) = settings();
    settings.patience.attempts = 1;
    settings.patience.connect = Duration::from_millis(100);
    let client = Client::new(settings).unwrap();
    let repository = client.repository(&name("unknown.test"), &Auth::Anonymous, Access::Pull);
    let error = repository.manifest(&tag("1")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(error.to_string().contains("lookup unknown.test"), "{error}");
}

#[tokio::test]
async fn a_registry_that_says_nothing_is_not_waited_for_for_ever() {
    let (mut settings, _dir) = settings();
    settings.patience.stall = Duration::from_millis(100);
    settings.patience.attempts = 2;
    // It accepts, and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = silent.local_addr().unwrap().to_string();
    settings.patience.connect = Duration::from_millis(100);
    let client = Client::new(settings).unwrap();
    let repository = client.repository(&name(&host), &Auth::Anonymous, Access::Pull);
    let error = repository.manifest(&tag("1")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Timeout, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_connections_are_made_than_allowed() {
    let (mut settings, _dir) = settings();
    settings.connections = 2;
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (in_server, highest) = (now.clone(), most.clone());
    // Each is answered when two are there.
    let two = Barrier::new(2);
    let server = Server::start(move |_| {
        let there = in_server.fetch_add(1, Ordering::SeqCst) + 1;
        highest.fetch_max(there, Ordering::SeqCst);
        two.wait();
        in_server.fetch_sub(1, Ordering::SeqCst);
        Reply::ok("blob")
    });
    let client = Client::new(settings).unwrap();
    let repository = client.repository(&name(&server.host()), &Auth::Anonymous, Access::Pull);
    let mut tasks = Vec::new();
    for _ in 0..8 {
        let repository = repository.clone();
        tasks.push(tokio::spawn(async move {
            let mut blob = repository.blob(&digest_of(b"blob"), 0, None).await.unwrap();
            while blob.next().await.unwrap().is_some() {}
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(most.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_proxy_is_asked_for_hosts_that_are_elsewhere() {
    let (mut settings, _dir) = settings();
    let proxy = Server::start(|_| document());
    let url = format!("http://me:p%40ss@{}", proxy.host());
    let except = |name: &str| name != "NO_PROXY";
    settings.proxies = Proxies::read(|name| except(name).then(|| url.clone()));
    settings.insecure = vec!["far.test:5000".to_owned()];
    let client = Client::new(settings).unwrap();
    let repository = client.repository(&name("far.test:5000"), &Auth::Anonymous, Access::Pull);
    // It is listed as insecure, so TLS is tried first, which leads nowhere without a proxy.
    repository.manifest(&tag("1")).await.unwrap();
    let seen = proxy.seen();
    assert_eq!(seen[0].line(), "CONNECT far.test:5000");
    assert_eq!(
        seen[0].header("proxy-authorization"),
        Some("Basic bWU6cEBzcw==")
    );
    assert_eq!(seen[1].target, "http://far.test:5000/v2/a/b/manifests/1");
    assert_eq!(
        seen[1].header("proxy-authorization"),
        Some("Basic bWU6cEBzcw==")
    );
}

#[tokio::test]
async fn a_proxy_that_is_not_there_is_named() {
    let (mut settings, _dir) = settings();
    settings.patience.attempts = 1;
    let gone = Server::start(|_| document()).host();
    let url = format!("http://me:hunter2@{gone}");
    settings.proxies = Proxies::read(|name| (name == "HTTPS_PROXY").then(|| url.clone()));
    let client = Client::new(settings).unwrap();
    let repository = client.repository(&name("far.test"), &Auth::Anonymous, Access::Pull);
    let error = repository.manifest(&tag("1")).await.unwrap_err();
    let text = format!("{error:?}");
    assert!(text.contains(&format!("by proxy {gone}")), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}

/// The workstation pulls more than once, each time in a runtime of its own.
#[test]
fn connections_of_a_runtime_that_has_ended_do_no_harm() {
    let server = Server::start_keeping(|_| document());
    let client = client();
    for _ in 0..3 {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_all().build().unwrap();
        let repository = client.repository(&name(&server.host()), &Auth::Anonymous, Access::Pull);
        runtime.block_on(async {
            repository.manifest(&tag("1")).await.unwrap();
            repository.manifest(&tag("2")).await.unwrap();
        });
    }
    assert_eq!(server.seen().len(), 6);
}
