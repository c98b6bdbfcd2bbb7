//! Who is shown what.

use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

/// A registry at `/v2/` with its token server at `/token`: tokens are `t0`, `t1`, … and good if `good` says so.
fn with_tokens(good: impl Fn(&str) -> bool + Send + Sync + 'static) -> Server {
    let given = AtomicU32::new(0);
    Server::start(move |seen| {
        let host = seen.header("host").unwrap();
        if seen.target.starts_with("/token") {
            let number = given.fetch_add(1, Ordering::SeqCst);
            return Reply::ok(format!(r#"{{"token":"t{number}","expires_in":300}}"#));
        }
        match seen
            .header("authorization")
            .and_then(|value| value.strip_prefix("Bearer "))
        {
            Some(token) if good(token) => document(),
            _ => challenge(host),
        }
    })
}

fn challenge(host: &str) -> Reply {
    Reply::error(401, "UNAUTHORIZED", "authentication required").header(
        "WWW-Authenticate",
        format!(r#"Bearer realm="http://{host}/token",service="own",scope="repository:a/b:pull""#),
    )
}

fn tokens_got(server: &Server) -> Vec<Seen> {
    let mut seen = server.seen();
    seen.retain(|seen| seen.target.starts_with("/token"));
    seen
}

#[tokio::test]
async fn an_open_registry_is_shown_nothing() {
    let server = Server::start(|_| document());
    let repository = client().repository(&name(&server.host()), &password(), Access::Pull);
    repository.manifest(&tag("1")).await.unwrap();
    let seen = server.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].header("authorization"), None);
}

#[tokio::test]
async fn a_password_is_shown_once_it_was_asked_for_and_from_then_on() {
    let server = Server::start(|seen| match seen.header("authorization") {
        Some(BASIC) => document(),
        _ => Reply::new(401).header("WWW-Authenticate", r#"Basic realm="x""#),
    });
    let repository = client().repository(&name(&server.host()), &password(), Access::Pull);
    repository.manifest(&tag("1")).await.unwrap();
    repository.manifest(&tag("2")).await.unwrap();
    let shown: Vec<bool> = server
        .seen()
        .iter()
        .map(|seen| seen.header("authorization").is_some())
        .collect();
    assert_eq!(shown, [false, true, true]);
}

#[tokio::test]
async fn without_a_password_the_error_says_how_to_log_in() {
    let server =
        Server::start(|_| Reply::new(401).header("WWW-Authenticate", r#"Basic realm="x""#));
    let error = reader(&server).manifest(&tag("1")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthorized);
    assert!(
        error.to_string().ends_with("no basic auth credentials"),
        "{error}"
    );
    let hint = format!("log in first: wharf login {}", server.host());
    assert_eq!(error.hint(), Some(hint.as_str()));
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_wrong_password_is_shown_once() {
    let server = Server::start(|_| {
        Reply::error(401, "UNAUTHORIZED", "authentication required")
            .header("WWW-Authenticate", r#"Basic realm="x""#)
    });
    let repository = client().repository(&name(&server.host()), &password(), Access::Pull);
    let error = repository.manifest(&tag("1")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthorized);
    assert_eq!(error.to_string(), "unauthorized: authentication required");
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn a_token_is_got_for_the_scope_and_used_again() {
    let server = with_tokens(|token| token == "t0");
    let repository = client().repository(&name(&server.host()), &password(), Access::Push);
    repository.manifest(&tag("1")).await.unwrap();
    repository.manifest(&tag("2")).await.unwrap();
    let got = tokens_got(&server);
    assert_eq!(got.len(), 1);
    assert_eq!(got[0].all("service"), ["own"]);
    assert_eq!(got[0].all("scope"), ["repository:a/b:pull,push"]);
    assert_eq!(got[0].all("account"), [USER]);
    assert_eq!(got[0].header("authorization"), Some(BASIC));
    assert_eq!(server.seen().len(), 4);
}

#[tokio::test]
async fn a_token_is_got_without_a_password_too() {
    let server = with_tokens(|token| token == "t0");
    reader(&server).manifest(&tag("1")).await.unwrap();
    let got = tokens_got(&server);
    assert_eq!(got[0].header("authorization"), None);
    assert!(got[0].all("account").is_empty());
}

#[tokio::test]
async fn many_requests_at_once_wait_for_one_token() {
    let server = with_tokens(|token| token == "t0");
    let repository = reader(&server);
    let one = || async { repository.manifest(&tag("1")).await.unwrap() };
    tokio::join!(one(), one(), one(), one(), one());
    assert_eq!(tokens_got(&server).len(), 1);
}

#[tokio::test]
async fn a_token_that_is_refused_half_way_is_got_anew() {
    let used = AtomicU32::new(0);
    // The first is good once.
    let server = with_tokens(move |token| {
        token == "t1" || (token == "t0" && used.fetch_add(1, Ordering::SeqCst) == 0)
    });
    let repository = reader(&server);
    for _ in 0..3 {
        repository.manifest(&tag("1")).await.unwrap();
    }
    assert_eq!(tokens_got(&server).len(), 2);
}

#[tokio::test]
async fn a_token_that_has_run_out_is_not_shown() {
    let server = with_tokens(|_| true);
    let repository = reader(&server);
    repository.manifest(&tag("1")).await.unwrap();
    repository.client.keyring.age();
    repository.manifest(&tag("1")).await.unwrap();
    let tokens: Vec<_> = server
        .seen()
        .iter()
        .filter_map(|seen| seen.header("authorization").map(str::to_owned))
        .collect();
    assert_eq!(tokens, ["Bearer t0", "Bearer t1"]);
}

#[tokio::test]
async fn a_token_that_does_not_help_is_no_endless_loop() {
    let server = with_tokens(|_| false);
    let error = reader(&server).manifest(&tag("1")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthorized);
    assert_eq!(server.seen().len(), 3);
}

#[tokio::test]
async fn what_the_registry_wants_besides_is_asked_for_too() {
    let server = Server::start(|seen| {
        let host = seen.header("host").unwrap();
        if seen.target.starts_with("/token") {
            return Reply::ok(r#"{"access_token":"t"}"#);
        }
        match seen.header("authorization") {
            Some("Bearer t") => document(),
            _ => Reply::new(401).header(
                "WWW-Authenticate",
                format!(
                    r#"Bearer realm="http://{host}/token?x=y",scope="repository:proxied/a/b:pull""#
                ),
            ),
        }
    });
    reader(&server).manifest(&tag("1")).await.unwrap();
    let got = tokens_got(&server);
    assert_eq!(
        got[0].all("scope"),
        ["repository:a/b:pull", "repository:proxied/a/b:pull"]
    );
    assert_eq!(got[0].all("x"), ["y"], "the realm's own query stays");
}

#[tokio::test]
async fn a_mount_asks_for_both_repositories() {
    let server = Server::start(|seen| {
        let host = seen.header("host").unwrap();
        if seen.target.starts_with("/token") {
            return Reply::ok(r#"{"token":"t"}"#);
        }
        match seen.header("authorization") {
            Some("Bearer t") => Reply::new(201),
            _ => challenge(host),
        }
    });
    let from: Reference = format!("{}/c", server.host()).parse().unwrap();
    let mounted = writer(&server).mount_blob(&digest_of(b"x"), &from).await;
    assert!(mounted.unwrap());
    let scopes = tokens_got(&server)[0].all("scope");
    assert_eq!(scopes, ["repository:a/b:pull,push", "repository:c:pull"]);
}

#[tokio::test]
async fn an_identity_token_is_posted_as_oauth2_says() {
    let server = with_tokens(|token| token == "t0");
    let auth = Auth::Identity(Secret::new("refresh & me"));
    let repository = client().repository(&name(&server.host()), &auth, Access::Pull);
    repository.manifest(&tag("1")).await.unwrap();
    let got = tokens_got(&server);
    assert_eq!(got[0].method, "POST");
    assert_eq!(got[0].all("grant_type"), ["refresh_token"]);
    assert_eq!(got[0].all("refresh_token"), ["refresh & me"]);
    assert_eq!(got[0].all("service"), ["own"]);
    assert_eq!(got[0].all("client_id"), ["wharf"]);
    assert_eq!(got[0].all("scope"), ["repository:a/b:pull"]);
    assert_eq!(
        got[0].header("content-type"),
        Some("application/x-www-form-urlencoded")
    );
}

#[tokio::test]
async fn a_token_server_without_oauth2_is_asked_the_old_way() {
    for refusal in [404, 405, 401] {
        let server = Server::start(move |seen| {
            let host = seen.header("host").unwrap();
            match (seen.line().as_str(), seen.header("authorization")) {
                ("POST /token", _) => Reply::new(refusal),
                ("GET /token", Some("Basic OnJlZnJlc2g=")) => Reply::ok(r#"{"token":"t"}"#),
                (_, Some("Bearer t")) => document(),
                _ => challenge(host),
            }
        });
        let auth = Auth::Identity(Secret::new("refresh"));
        let repository = client().repository(&name(&server.host()), &auth, Access::Pull);
        repository.manifest(&tag("1")).await.unwrap();
    }
}

#[tokio::test]
async fn a_registry_token_is_sent_as_it_is() {
    let server = Server::start(|_| document());
    let auth = Auth::Registry(Secret::new("given"));
    let repository = client().repository(&name(&server.host()), &auth, Access::Pull);
    repository.manifest(&tag("1")).await.unwrap();
    assert_eq!(
        server.seen()[0].header("authorization"),
        Some("Bearer given")
    );
}

#[tokio::test]
async fn login_returns_the_refresh_token_that_it_asked_for() {
    let server = Server::start(|seen| {
        let host = seen.header("host").unwrap();
        match (seen.line().as_str(), seen.header("authorization")) {
            ("GET /token", Some(BASIC)) => Reply::ok(r#"{"token":"t","refresh_token":"again"}"#),
            ("GET /v2/", Some("Bearer t")) => Reply::ok("{}"),
            _ => challenge(host),
        }
    });
    let given = client().login(&server.host(), &password()).await.unwrap();
    assert_eq!(given, Some(Secret::new("again")));
    assert_eq!(tokens_got(&server)[0].all("offline_token"), ["true"]);
}

#[tokio::test]
async fn login_with_a_wrong_password_says_so() {
    let by_token = Server::start(|seen| {
        if seen.target.starts_with("/token") {
            return Reply::new(401).body(r#"{"details":"incorrect username or password"}"#);
        }
        challenge(seen.header("host").unwrap())
    });
    let error = client()
        .login(&by_token.host(), &password())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthorized);
    assert_eq!(
        error.to_string(),
        "unauthorized: incorrect username or password"
    );

    let by_password = Server::start(|_| Reply::new(401).header("WWW-Authenticate", "Basic"));
    let host = by_password.host();
    let error = client().login(&host, &password()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthorized);
    assert_eq!(
        error.to_string(),
        format!("login attempt to http://{host}/v2/ failed with status: 401 Unauthorized")
    );
    // What is tried now does not depend on what worked before.
    let client = client();
    let open = Server::start(|seen| match seen.header("authorization") {
        Some(BASIC) => Reply::ok("{}"),
        _ => Reply::new(401).header("WWW-Authenticate", "Basic"),
    });
    assert_eq!(client.login(&open.host(), &password()).await.unwrap(), None);
    let other = Auth::Basic {
        user: USER.to_owned(),
        password: Secret::new("wrong"),
    };
    client.login(&open.host(), &other).await.unwrap_err();
}

#[tokio::test]
async fn no_secret_shows_in_what_is_printed() {
    let server = with_tokens(|token| token == "t0");
    let client = client();
    let repository = client.repository(&name(&server.host()), &password(), Access::Pull);
    repository.manifest(&tag("1")).await.unwrap();
    let printed = format!("{client:?} {repository:?}");
    assert!(!printed.contains(PASSWORD));
    assert!(!printed.contains("t0"), "{printed}");
}

#[tokio::test]
async fn a_password_does_not_go_to_a_token_server_without_tls() {
    let (settings, _dir) = settings();
    let elsewhere = Server::start(|_| Reply::ok(r#"{"token":"t"}"#));
    let realm = format!("http://{}/token", elsewhere.host_as("other.test"));
    let server = Server::start(move |_| {
        Reply::new(401).header("WWW-Authenticate", format!(r#"Bearer realm="{realm}""#))
    });
    let client = Client::new(settings).unwrap();
    let repository = client.repository(&name(&server.host()), &password(), Access::Pull);
    let error = repository.manifest(&tag("1")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Denied);
    assert!(error.to_string().contains("is without TLS"), "{error}");
    assert!(
        error
            .hint()
            .unwrap()
            .contains(&elsewhere.host_as("other.test"))
    );
    assert!(elsewhere.seen().is_empty());
}

#[tokio::test]
async fn a_refresh_token_does_not_follow_a_redirect_to_another_host() {
    let other = Server::start(|_| Reply::ok(r#"{"access_token":"t"}"#));
    let away = format!("http://{}/token", other.host());
    let server = Server::start(move |seen| {
        let host = seen.header("host").unwrap();
        match seen.line().as_str() {
            "POST /token" => Reply::new(307).header("Location", &away),
            _ => challenge(host),
        }
    });
    let auth = Auth::Identity(Secret::new("refresh"));
    let repository = client().repository(&name(&server.host()), &auth, Access::Pull);
    repository.manifest(&tag("1")).await.unwrap_err();
    for seen in other.seen() {
        assert!(!String::from_utf8_lossy(&seen.body).contains("refresh"));
    }
}
