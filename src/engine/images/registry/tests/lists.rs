//! Tags, referrers and search.

use super::*;
use crate::engine::model::request;

#[tokio::test]
async fn tags_come_from_all_pages() {
    let server = Server::start(|seen| {
        let host = seen.header("host").unwrap();
        match seen.all("last").first().map(String::as_str) {
            None => Reply::ok(r#"{"name":"a/b","tags":["1","2"]}"#)
                .header("Link", r#"</v2/a/b/tags/list?last=2&n=2>; rel="next""#),
            Some("2") => Reply::ok(r#"{"tags":["3"]}"#).header(
                "Link",
                format!(r#"<http://{host}/v2/a/b/tags/list?last=3>; rel="next""#),
            ),
            _ => Reply::ok(r#"{"tags":null}"#),
        }
    });
    assert_eq!(reader(&server).tags().await.unwrap(), ["1", "2", "3"]);
}

#[tokio::test]
async fn a_page_on_another_host_is_none() {
    let other = Server::start(|_| Reply::ok(r#"{"tags":["x"]}"#));
    let link = format!(
        r#"<http://{}/v2/a/b/tags/list?last=1>; rel="next""#,
        other.host()
    );
    let server = Server::start(move |_| Reply::ok(r#"{"tags":["1"]}"#).header("Link", &link));
    assert_eq!(reader(&server).tags().await.unwrap(), ["1"]);
    assert!(other.seen().is_empty());
}

#[tokio::test]
async fn pages_in_a_circle_end() {
    let server = Server::start(|seen| {
        let other = if seen.target.contains("last") {
            ""
        } else {
            "?last=1"
        };
        Reply::ok(r#"{"tags":["1"]}"#)
            .header("Link", format!(r#"</v2/a/b/tags/list{other}>; rel="next""#))
    });
    let error = reader(&server).tags().await.unwrap_err();
    assert_eq!(error.to_string(), "the registry's list has no end");
}

#[tokio::test]
async fn a_repository_that_nobody_knows_has_no_tags() {
    let server = Server::start(|_| {
        Reply::error(404, "NAME_UNKNOWN", "repository name not known to registry")
    });
    let error = reader(&server).tags().await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    let name = name(&server.host());
    assert_eq!(
        error.to_string(),
        format!("repository {name} not found: name unknown: repository name not known to registry")
    );
}

fn index(of: &Digest) -> Reply {
    let index = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{
            "mediaType": OCI, "digest": of, "size": 3, "artifactType": "application/x.signature",
            "annotations": {"by": "ada"},
        }],
    });
    Reply::ok(index.to_string()).header("Content-Type", "application/vnd.oci.image.index.v1+json")
}

#[tokio::test]
async fn referrers_are_listed() {
    let (subject, signature) = (digest_of(b"subject"), digest_of(b"signature"));
    let listed = signature.clone();
    let server = Server::start(move |_| index(&listed));
    let found = reader(&server).referrers(&subject).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].digest, signature);
    assert_eq!(found[0].artifact_type, "application/x.signature");
    assert_eq!(server.lines(), [format!("GET /v2/a/b/referrers/{subject}")]);
}

#[tokio::test]
async fn where_referrers_are_unknown_their_tag_is_read() {
    let (subject, signature) = (digest_of(b"subject"), digest_of(b"signature"));
    let listed = signature.clone();
    let server = Server::start(move |seen| {
        if seen.target.contains("/referrers/") {
            return Reply::new(404);
        }
        index(&listed)
    });
    let found = reader(&server).referrers(&subject).await.unwrap();
    assert_eq!(found[0].digest, signature);
    assert_eq!(
        server.lines()[1],
        format!("GET /v2/a/b/manifests/sha256-{}", subject.hex())
    );
    let nothing = Server::start(|_| Reply::error(404, "MANIFEST_UNKNOWN", "manifest unknown"));
    assert!(
        reader(&nothing)
            .referrers(&subject)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn search_asks_the_registry_that_the_term_names() {
    let server = Server::start(|_| {
        Reply::ok(
            r#"{"results":[{"name":"a","description":"x","star_count":3,"is_official":true},{"name":"b"},{"name":"c"}]}"#,
        )
    });
    let request = request::Search {
        term: format!("{}/some thing", server.host()),
        limit: Some(2),
        auth: Auth::Anonymous,
    };
    let hits = client().search(&request).await.unwrap();
    assert_eq!(hits.len(), 2);
    assert_eq!((hits[0].name.as_str(), hits[0].star_count), ("a", 3));
    assert!(hits[0].is_official);
    let seen = server.seen();
    assert_eq!(seen[0].line(), "GET /v1/search");
    assert_eq!(seen[0].all("q"), ["some thing"]);
    assert_eq!(seen[0].all("n"), ["2"]);
    let many = request::Search {
        limit: Some(101),
        ..request
    };
    let error = client().search(&many).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "limit 101 is outside the range of [1, 100]"
    );
}
