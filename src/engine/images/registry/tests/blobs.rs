//! Blobs, whole and in part.

use super::*;

async fn read(mut blob: BlobStream) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(chunk) = blob.next().await? {
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn some() -> Digest {
    digest_of(b"0123456789")
}

#[tokio::test]
async fn a_blob_comes_whole() {
    let server = Server::start(|_| Reply::ok("0123456789"));
    let blob = reader(&server).blob(&some(), 0, None).await.unwrap();
    assert_eq!((blob.start, blob.total), (0, Some(10)));
    assert_eq!(read(blob).await.unwrap(), b"0123456789");
    let seen = server.seen();
    assert_eq!(seen[0].target, format!("/v2/a/b/blobs/{}", some()));
    assert_eq!(seen[0].header("range"), None);
    assert_eq!(seen[0].header("accept-encoding"), Some("identity"));
}

#[tokio::test]
async fn a_part_is_asked_for_by_range() {
    for (start, end, header, range, body) in [
        (4, Some(6), "bytes=4-5", "bytes 4-5/10", "45"),
        (4, None, "bytes=4-", "bytes 4-9/10", "456789"),
        (0, Some(2), "bytes=0-1", "bytes 0-1/10", "01"),
        // Less than was asked for is fine: the caller asks for the rest.
        (4, Some(8), "bytes=4-7", "bytes 4-5/10", "45"),
    ] {
        let server =
            Server::start(move |_| Reply::new(206).header("Content-Range", range).body(body));
        let blob = reader(&server).blob(&some(), start, end).await.unwrap();
        assert_eq!((blob.start, blob.total), (start, Some(10)));
        assert_eq!(read(blob).await.unwrap(), body.as_bytes());
        assert_eq!(server.seen()[0].header("range"), Some(header));
    }
}

#[tokio::test]
async fn a_registry_without_ranges_begins_at_the_beginning() {
    let server = Server::start(|_| Reply::ok("0123456789"));
    let blob = reader(&server).blob(&some(), 4, None).await.unwrap();
    assert_eq!((blob.start, blob.total), (0, Some(10)));
}

#[tokio::test]
async fn another_part_than_the_one_asked_for_is_refused() {
    for range in [
        "bytes 3-9/10",
        "bytes 5-9/10",
        "bytes 4-4",
        "",
        "bytes 4-11/10",
    ] {
        let server =
            Server::start(move |_| Reply::new(206).header("Content-Range", range).body("x"));
        let error = reader(&server).blob(&some(), 4, None).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Unavailable, "{range}");
    }
    // Past the end that was asked for.
    let server = Server::start(|_| {
        Reply::new(206)
            .header("Content-Range", "bytes 4-6/10")
            .body("456")
    });
    reader(&server).blob(&some(), 4, Some(6)).await.unwrap_err();
}

#[tokio::test]
async fn a_body_that_ends_early_is_broken_and_what_came_counts() {
    let server = Server::start(|_| Reply::ok("0123456789").cut(4));
    let mut blob = reader(&server).blob(&some(), 0, None).await.unwrap();
    assert_eq!(blob.next().await.unwrap().unwrap(), "0123");
    let error = blob.next().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
}

#[tokio::test]
async fn a_body_without_a_length_is_checked_against_its_range() {
    let short = Server::start(|_| {
        Reply::new(206)
            .header("Content-Range", "bytes 0-9/10")
            .header("Transfer-Encoding", "chunked")
            .body("4\r\n0123\r\n0\r\n\r\n")
    });
    let blob = reader(&short).blob(&some(), 0, Some(10)).await.unwrap();
    let error = read(blob).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(
        error.to_string().ends_with("6 bytes are missing"),
        "{error}"
    );
    let long = Server::start(|_| {
        Reply::new(206)
            .header("Content-Range", "bytes 0-1/10")
            .header("Transfer-Encoding", "chunked")
            .body("4\r\n0123\r\n0\r\n\r\n")
    });
    let blob = reader(&long).blob(&some(), 0, Some(2)).await.unwrap();
    read(blob).await.unwrap_err();
}

#[tokio::test]
async fn a_body_that_stands_still_is_broken() {
    let (mut settings, _dir) = settings();
    settings.patience.stall = Duration::from_millis(100);
    let server = Server::start(|_| Reply::ok("0123456789").silent(4));
    let client = Client::new(settings).unwrap();
    let repository = client.repository(&name(&server.host()), &Auth::Anonymous, Access::Pull);
    let mut blob = repository.blob(&some(), 0, None).await.unwrap();
    assert_eq!(blob.next().await.unwrap().unwrap(), "0123");
    let error = blob.next().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
}

#[tokio::test]
async fn a_position_that_the_blob_does_not_have_is_said() {
    let server = Server::start(|_| Reply::new(416));
    let error = reader(&server).blob(&some(), 10, None).await.unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidInput);
    assert!(error.to_string().ends_with("has no byte 10"), "{error}");
}

#[tokio::test]
async fn a_blob_that_is_not_there_is_not_found() {
    let server = Server::start(|_| Reply::error(404, "BLOB_UNKNOWN", "blob unknown to registry"));
    let error = reader(&server).blob(&some(), 0, None).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    assert!(
        error
            .to_string()
            .ends_with("blob unknown: blob unknown to registry"),
        "{error}"
    );
    assert_eq!(reader(&server).find_blob(&some()).await.unwrap(), None);
}

#[tokio::test]
async fn the_size_of_a_blob_is_found_by_its_head() {
    let server = Server::start(|_| Reply::ok("0123456789"));
    assert_eq!(reader(&server).find_blob(&some()).await.unwrap(), Some(10));
    assert_eq!(server.seen()[0].method, "HEAD");
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn where_the_head_does_not_say_the_first_byte_does() {
    let refused = Server::start(|seen| match seen.method.as_str() {
        "HEAD" => Reply::new(405),
        _ => Reply::new(206)
            .header("Content-Range", "bytes 0-0/10")
            .body("0"),
    });
    assert_eq!(reader(&refused).find_blob(&some()).await.unwrap(), Some(10));
    let gone = Server::start(|seen| match seen.method.as_str() {
        "HEAD" => Reply::new(403),
        _ => Reply::new(404),
    });
    assert_eq!(reader(&gone).find_blob(&some()).await.unwrap(), None);
}
