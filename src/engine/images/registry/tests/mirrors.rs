//! Mirrors stand in for a registry when something is pulled.

use super::*;

fn mirrored(origin: &Server, mirrors: &[&Server]) -> Settings {
    let (mut settings, _dir) = settings();
    let urls = mirrors
        .iter()
        .map(|mirror| format!("http://{}/hub", mirror.host()));
    settings.mirrors = vec![(origin.host(), urls.collect())];
    settings
}

fn repository(settings: Settings, origin: &Server, access: Access) -> Repository {
    let client = Client::new(settings).unwrap();
    client.repository(&name(&origin.host()), &password(), access)
}

#[tokio::test]
async fn the_first_mirror_that_has_it_is_enough() {
    let origin = Server::start(|_| document());
    let missing = Server::start(|_| Reply::new(404));
    let broken = Server::start(|_| Reply::new(500));
    let good = Server::start(|_| document());
    let gone = Server::start(|_| document()).host();
    let mut settings = mirrored(&origin, &[&missing, &broken, &good]);
    settings.mirrors[0].1.insert(0, format!("http://{gone}"));
    let repository = repository(settings, &origin, Access::Pull);
    repository.manifest(&tag("1")).await.unwrap();
    assert_eq!(missing.lines(), ["GET /hub/v2/a/b/manifests/1"]);
    assert_eq!(broken.seen().len(), 1, "the next mirror is there at once");
    assert_eq!(good.seen().len(), 1);
    assert!(origin.seen().is_empty());
}

#[tokio::test]
async fn the_registry_itself_has_the_last_word() {
    let origin = Server::start(|_| Reply::error(404, "MANIFEST_UNKNOWN", "the registry's word"));
    let mirror = Server::start(|_| Reply::error(403, "DENIED", "the mirror's word"));
    let repository = repository(mirrored(&origin, &[&mirror]), &origin, Access::Pull);
    let error = repository.manifest(&tag("1")).await.unwrap_err();
    assert!(
        error.to_string().ends_with("the registry's word"),
        "{error}"
    );
    let error = repository
        .blob(&digest_of(b"x"), 0, None)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    assert_eq!(mirror.seen().len(), 2);
}

#[tokio::test]
async fn a_mirror_is_not_shown_the_registrys_credentials() {
    let origin = Server::start(|seen| match seen.header("authorization") {
        Some(BASIC) => document(),
        _ => Reply::new(401).header("WWW-Authenticate", "Basic"),
    });
    let mirror = Server::start(|_| Reply::new(401).header("WWW-Authenticate", "Basic"));
    let repository = repository(mirrored(&origin, &[&mirror]), &origin, Access::Pull);
    repository.manifest(&tag("1")).await.unwrap();
    repository.manifest(&tag("1")).await.unwrap();
    assert!(
        mirror
            .seen()
            .iter()
            .all(|seen| seen.header("authorization").is_none())
    );
}

#[tokio::test]
async fn a_mirror_that_sends_something_else_is_passed_over() {
    let digest = digest_of(DOCUMENT.as_bytes());
    let origin = Server::start(|_| document());
    let mirror = Server::start(|_| Reply::ok("{}").header("Content-Type", OCI));
    let repository = repository(mirrored(&origin, &[&mirror]), &origin, Access::Pull);
    repository.manifest(&Which::Digest(digest)).await.unwrap();
    assert_eq!(origin.seen().len(), 1);
}

#[tokio::test]
async fn nothing_is_pushed_to_a_mirror() {
    let origin = Server::start(|_| Reply::new(201));
    let mirror = Server::start(|_| Reply::new(201));
    let repository = repository(mirrored(&origin, &[&mirror]), &origin, Access::Push);
    repository
        .put_manifest(&tag("1"), OCI, DOCUMENT.as_bytes())
        .await
        .unwrap();
    repository.find_manifest(&tag("1")).await.unwrap_err();
    assert!(mirror.seen().is_empty());
}

#[tokio::test]
async fn a_mirror_that_failed_is_left_alone_for_a_while() {
    let origin = Server::start(|_| document());
    let mirror = Server::start(|_| Reply::hang_up());
    let repository = repository(mirrored(&origin, &[&mirror]), &origin, Access::Pull);
    for _ in 0..3 {
        repository.manifest(&tag("1")).await.unwrap();
    }
    assert_eq!(mirror.seen().len(), 1);
    assert_eq!(origin.seen().len(), 3);
}

#[tokio::test]
async fn a_blob_that_breaks_off_at_a_mirror_is_gone_on_with_at_the_registry() {
    let origin = Server::start(|_| {
        Reply::new(206)
            .header("Content-Range", "bytes 4-9/10")
            .body("456789")
    });
    let mirror = Server::start(|_| Reply::ok("0123456789").cut(4));
    let repository = repository(mirrored(&origin, &[&mirror]), &origin, Access::Pull);
    let digest = digest_of(b"0123456789");
    let mut blob = repository.blob(&digest, 0, None).await.unwrap();
    assert_eq!(blob.next().await.unwrap().unwrap(), "0123");
    blob.next().await.unwrap_err();
    drop(blob);
    let mut rest = repository.blob(&digest, 4, None).await.unwrap();
    assert_eq!(rest.next().await.unwrap().unwrap(), "456789");
    assert_eq!(mirror.seen().len(), 1);
}
