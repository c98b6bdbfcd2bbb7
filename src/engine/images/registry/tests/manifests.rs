//! Manifests, and what is said of those that cannot be had.

use super::*;

#[tokio::test]
async fn a_manifest_is_got_with_what_we_take() {
    let server = Server::start(|_| document());
    let fetched = reader(&server).manifest(&tag("1")).await.unwrap();
    assert_eq!(fetched.bytes, DOCUMENT.as_bytes());
    assert_eq!(fetched.media_type, OCI);
    assert_eq!(fetched.digest, digest_of(DOCUMENT.as_bytes()));
    let seen = server.seen();
    let accept = seen[0].header("accept").unwrap();
    for taken in [
        "oci.image.index.v1",
        "manifest.list.v2",
        "oci.image.manifest.v1",
        "manifest.v2",
        "v1+prettyjws",
    ] {
        assert!(accept.contains(taken), "{accept}");
    }
}

#[tokio::test]
async fn a_document_that_is_not_the_one_asked_for_is_refused() {
    let server = Server::start(|_| document());
    let other = Which::Digest(digest_of(b"other"));
    let error = reader(&server).manifest(&other).await.unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidInput);
    assert!(
        error
            .to_string()
            .starts_with("manifest verification failed for digest"),
        "{error}"
    );
    let server = Server::start(|_| document().header("Docker-Content-Digest", digest_of(b"other")));
    reader(&server).manifest(&tag("1")).await.unwrap_err();
    // A digest of a kind that we do not know says nothing.
    let server = Server::start(|_| document().header("Docker-Content-Digest", "sha512:00"));
    reader(&server).manifest(&tag("1")).await.unwrap();
}

#[tokio::test]
async fn what_a_manifest_is_may_be_left_to_itself() {
    let unsaid =
        Server::start(|_| Reply::ok(DOCUMENT).header("Content-Type", "text/plain; charset=utf-8"));
    assert_eq!(
        reader(&unsaid)
            .manifest(&tag("1"))
            .await
            .unwrap()
            .media_type,
        OCI
    );
    let said = Server::start(|_| {
        Reply::ok(DOCUMENT).header("Content-Type", format!("{OCI}; charset=utf-8"))
    });
    assert_eq!(
        reader(&said).manifest(&tag("1")).await.unwrap().media_type,
        OCI
    );
}

#[tokio::test]
async fn schema_1_is_said_to_be_no_longer_supported() {
    let server = Server::start(|_| {
        let signed = "application/vnd.docker.distribution.manifest.v1+prettyjws";
        Reply::ok(r#"{"schemaVersion":1}"#).header("Content-Type", signed)
    });
    let error = reader(&server).manifest(&tag("1")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported);
    let name = name(&server.host());
    assert_eq!(
        error.to_string(),
        format!("schema 1 images are no longer supported: {name}:1 is one")
    );
    let unsaid = Server::start(|_| Reply::ok(r#"{"schemaVersion":1}"#));
    let error = reader(&unsaid).manifest(&tag("1")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported);
}

#[tokio::test]
async fn a_manifest_has_a_limit() {
    let server = Server::start(|_| Reply::ok(vec![b' '; (4 << 20) + 1]));
    let error = reader(&server).manifest(&tag("1")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidInput, "{error}");
}

#[tokio::test]
async fn a_manifest_is_found_by_its_head() {
    let digest = digest_of(DOCUMENT.as_bytes());
    let told = digest.clone();
    let server = Server::start(move |_| document().header("Docker-Content-Digest", &told));
    let found = reader(&server)
        .find_manifest(&tag("1"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found.digest, digest);
    assert_eq!(found.size, DOCUMENT.len() as u64);
    assert_eq!(found.media_type, OCI);
    assert_eq!(server.lines(), ["HEAD /v2/a/b/manifests/1"]);
}

#[tokio::test]
async fn where_the_head_does_not_say_the_manifest_does() {
    let server = Server::start(|_| document());
    let found = reader(&server)
        .find_manifest(&tag("1"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found.digest, digest_of(DOCUMENT.as_bytes()));
    assert_eq!(
        server.lines(),
        ["HEAD /v2/a/b/manifests/1", "GET /v2/a/b/manifests/1"]
    );
    let server = Server::start(|_| Reply::new(404));
    assert_eq!(
        reader(&server).find_manifest(&tag("1")).await.unwrap(),
        None
    );
}

#[tokio::test]
async fn a_manifest_that_is_not_there_is_said_in_dockers_words() {
    let server = Server::start(|_| Reply::error(404, "MANIFEST_UNKNOWN", "manifest unknown"));
    let name = name(&server.host());
    let error = reader(&server).manifest(&tag("9")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    assert_eq!(
        error.to_string(),
        format!("manifest for {name}:9 not found: manifest unknown: manifest unknown")
    );
    let silent = Server::start(|_| Reply::new(404).body("<html>"));
    let error = reader(&silent).manifest(&tag("9")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    let unknown = Server::start(|_| {
        Reply::error(404, "NAME_UNKNOWN", "repository name not known to registry")
    });
    let error = reader(&unknown).manifest(&tag("9")).await.unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("/a/b not found: name unknown: repository name not known to registry"),
        "{error}"
    );
}

#[tokio::test]
async fn a_manifest_that_one_may_not_have_is_said_in_dockers_words() {
    let denied = Server::start(|_| {
        Reply::error(403, "DENIED", "requested access to the resource is denied")
    });
    let error = reader(&denied).manifest(&tag("1")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Denied);
    let name = name(&denied.host());
    assert_eq!(
        error.to_string(),
        format!(
            "pull access denied for {name}, repository does not exist or may require 'wharf login': \
             denied: requested access to the resource is denied"
        )
    );
}

#[test]
fn docker_hubs_refusals_read_as_docker_prints_them() {
    let hub: Reference = "nobody/nothing".parse().unwrap();
    let which = tag("1");
    let about = About::Manifest(&hub, &which);
    let body = br#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required","detail":[{"Type":"repository"}]}]}"#;
    let error = answer::tests::described(401, body, &about);
    assert_eq!(error.to_string(), "unauthorized: authentication required");
    assert_eq!(error.hint(), Some("log in first: wharf login"));
    let body =
        br#"{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}"#;
    let error = answer::tests::described(401, body, &about);
    assert_eq!(error.kind(), Kind::Denied);
    assert_eq!(
        error.to_string(),
        "pull access denied for nobody/nothing, repository does not exist or may require 'wharf login': \
         denied: requested access to the resource is denied"
    );
    let body =
        br#"{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached\nyour   limit"}]}"#;
    let error = answer::tests::described(429, body, &about);
    assert_eq!(
        error.to_string(),
        "toomanyrequests: You have reached your limit"
    );
    let error = answer::tests::described(418, b"\x1b[31mnot JSON", &about);
    assert_eq!(
        error.to_string(),
        "received unexpected HTTP status: 418 I'm a teapot"
    );
}

#[tokio::test]
async fn insufficient_scope_is_a_denial() {
    let server = Server::start(|seen| {
        let host = seen.header("host").unwrap();
        if seen.target.starts_with("/token") {
            return Reply::ok(r#"{"token":"t"}"#);
        }
        let wanted = format!(r#"Bearer realm="http://{host}/token",error="insufficient_scope""#);
        Reply::error(401, "UNAUTHORIZED", "authentication required")
            .header("WWW-Authenticate", wanted)
    });
    let error = reader(&server).manifest(&tag("1")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Denied);
    assert!(
        error.to_string().starts_with("pull access denied for"),
        "{error}"
    );
}

#[tokio::test]
async fn a_manifest_is_put_and_put_again_if_that_broke() {
    let first = std::sync::atomic::AtomicBool::new(true);
    let server = Server::start(move |_| {
        if first.swap(false, std::sync::atomic::Ordering::SeqCst) {
            return Reply::hang_up();
        }
        Reply::new(201)
    });
    let digest = writer(&server)
        .put_manifest(&tag("1"), OCI, DOCUMENT.as_bytes())
        .await;
    assert_eq!(digest.unwrap(), digest_of(DOCUMENT.as_bytes()));
    let seen = server.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[1].line(), "PUT /v2/a/b/manifests/1");
    assert_eq!(seen[1].header("content-type"), Some(OCI));
    assert_eq!(seen[1].body, DOCUMENT.as_bytes());
}

#[tokio::test]
async fn a_manifest_that_the_registry_does_not_want_is_said() {
    let server =
        Server::start(|_| Reply::error(400, "MANIFEST_BLOB_UNKNOWN", "blob unknown to registry"));
    let put = writer(&server)
        .put_manifest(&tag("1"), OCI, DOCUMENT.as_bytes())
        .await;
    let error = put.unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidInput);
    let name = name(&server.host());
    assert_eq!(
        error.to_string(),
        format!("put manifest {name}:1: manifest blob unknown: blob unknown to registry")
    );
}

#[tokio::test]
async fn deleting_asks_for_the_right_to_delete() {
    let server = Server::start(|seen| {
        let host = seen.header("host").unwrap();
        if seen.target.starts_with("/token") {
            return Reply::ok(r#"{"token":"t"}"#);
        }
        match seen.header("authorization") {
            Some("Bearer t") => Reply::new(202),
            _ => Reply::new(401).header(
                "WWW-Authenticate",
                format!(r#"Bearer realm="http://{host}/token""#),
            ),
        }
    });
    let digest = digest_of(DOCUMENT.as_bytes());
    let repository = client().repository(&name(&server.host()), &Auth::Anonymous, Access::Delete);
    repository.delete_manifest(&digest).await.unwrap();
    let seen = server.seen();
    assert_eq!(seen[1].all("scope"), ["repository:a/b:delete,pull"]);
    assert_eq!(seen[2].line(), format!("DELETE /v2/a/b/manifests/{digest}"));
    let fixed =
        Server::start(|_| Reply::error(405, "UNSUPPORTED", "The operation is unsupported."));
    let error = writer(&fixed).delete_manifest(&digest).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported);
}
