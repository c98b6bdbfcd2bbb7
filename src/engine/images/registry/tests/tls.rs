//! Who is trusted, and how.

use std::path::Path;

use super::server::fixture;
use super::*;

/// Copies fixtures into `certs.d/<host>/`: from, to.
fn install(certs: &Path, host: &str, files: &[(&str, &str)]) {
    let own = certs.join(host);
    std::fs::create_dir_all(&own).unwrap();
    for (from, to) in files {
        std::fs::copy(fixture(from), own.join(to)).unwrap();
    }
}

async fn get(settings: Settings, host: &str) -> Result<Fetched> {
    let client = Client::new(settings)?;
    let repository = client.repository(&name(host), &Auth::Anonymous, Access::Pull);
    repository.manifest(&tag("1")).await
}

#[tokio::test]
async fn an_authority_in_certs_d_is_trusted_for_its_host_alone() {
    let (settings, dir) = settings();
    let server = Server::start_tls(false, |_| document());
    let host = server.host_as("registry.test");
    install(&dir.path().join("certs.d"), &host, &[("ca.crt", "ca.crt")]);
    get(settings.clone(), &host).await.unwrap();
    assert_eq!(server.lines(), ["GET /v2/a/b/manifests/1"]);
    // The same server by another name, which its certificate is not for.
    let other = server.host_as("other.test");
    let error = get(settings.clone(), &other).await.unwrap_err();
    assert!(
        error.to_string().contains("failed to verify certificate"),
        "{error}"
    );
    install(&dir.path().join("certs.d"), &other, &[("ca.crt", "ca.crt")]);
    let error = get(settings, &other).await.unwrap_err();
    assert!(
        error.to_string().contains("failed to verify certificate"),
        "{error}"
    );
}

#[tokio::test]
async fn an_authority_that_nobody_vouches_for_is_refused_with_what_to_do() {
    let (settings, _dir) = settings();
    let server = Server::start_tls(false, |_| document());
    let host = server.host_as("registry.test");
    let error = get(settings, &host).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(
        error.to_string().contains("failed to verify certificate"),
        "{error}"
    );
    let hint = error.hint().unwrap();
    assert!(hint.contains(&format!("certs.d/{host}/ca.crt")), "{hint}");
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn a_client_certificate_is_shown() {
    let (settings, dir) = settings();
    let server = Server::start_tls(true, |_| document());
    let host = server.host_as("registry.test");
    let certs = dir.path().join("certs.d");
    install(&certs, &host, &[("ca.crt", "ca.crt")]);
    get(settings.clone(), &host).await.unwrap_err();
    install(
        &certs,
        &host,
        &[("client.cert", "own.cert"), ("client.key", "own.key")],
    );
    get(settings, &host).await.unwrap();
}

#[tokio::test]
async fn half_a_client_certificate_is_an_error_that_names_the_file() {
    for (there, missing) in [("client.cert", "client.key"), ("client.key", "client.cert")] {
        let (settings, dir) = settings();
        install(
            &dir.path().join("certs.d"),
            "registry.test:1",
            &[(there, there)],
        );
        let error = get(settings, "registry.test:1").await.unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidInput);
        let own = dir.path().join("certs.d/registry.test:1");
        let (there, missing) = (own.join(there), own.join(missing));
        let says = format!("{} is there, {} is not", there.display(), missing.display());
        assert!(error.to_string().starts_with(&says), "{error}");
    }
}

#[tokio::test]
async fn a_file_that_is_no_certificate_is_named() {
    let (settings, dir) = settings();
    let certs = dir.path().join("certs.d");
    install(&certs, "registry.test:1", &[("client.key", "ca.crt")]);
    let error = get(settings, "registry.test:1").await.unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidInput);
    assert!(
        error.to_string().contains("ca.crt has no certificate"),
        "{error}"
    );
}

#[tokio::test]
async fn the_first_directory_that_has_the_host_counts() {
    let (mut settings, dir) = settings();
    let server = Server::start_tls(false, |_| document());
    let host = server.host_as("registry.test");
    let (first, second) = (dir.path().join("first"), dir.path().join("second"));
    install(&second, &host, &[("ca.crt", "ca.crt")]);
    settings.certs = vec![first, second];
    get(settings, &host).await.unwrap();
}

#[tokio::test]
async fn plain_http_is_refused_where_it_is_not_allowed() {
    let (settings, _dir) = settings();
    let server = Server::start(|_| document());
    let host = server.host_as("registry.test");
    let error = get(settings, &host).await.unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("http: server gave HTTP response to HTTPS client"),
        "{error}"
    );
    let hint = error.hint().unwrap();
    assert!(
        hint.contains(&format!("list {host:?} under insecure")),
        "{hint}"
    );
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn what_is_listed_as_insecure_may_do_as_it_likes() {
    let (mut settings, _dir) = settings();
    let plain = Server::start(|_| document());
    let unknown = Server::start_tls(false, |_| document());
    settings.insecure = vec![plain.host_as("registry.test"), "other.test".to_owned()];
    get(settings.clone(), &plain.host_as("registry.test"))
        .await
        .unwrap();
    get(settings, &unknown.host_as("other.test")).await.unwrap();
    assert_eq!(unknown.seen().len(), 1);
}

#[tokio::test]
async fn loopback_may_do_as_it_likes() {
    let unknown = Server::start_tls(false, |_| document());
    let plain = Server::start(|_| document());
    for host in [
        unknown.host(),
        unknown.host_as("localhost"),
        plain.host(),
        plain.host_as("localhost"),
    ] {
        get(settings().0, &host).await.unwrap();
    }
}

#[tokio::test]
async fn a_redirect_does_not_lead_to_plain_http_where_it_is_not_allowed() {
    let (settings, _dir) = settings();
    let plain = Server::start(|_| document());
    let target = format!("http://{}/", plain.host_as("other.test"));
    let server = Server::start(move |_| Reply::new(307).header("Location", &target));
    let error = get(settings, &server.host()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Denied);
    assert!(plain.seen().is_empty());
}

#[tokio::test]
async fn a_host_that_speaks_tls_is_not_asked_without_it() {
    let (mut settings, _dir) = settings();
    settings.patience.attempts = 1;
    // It ends the handshake with an alert: "handshake failure".
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let server = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut connection, _) = listener.accept().unwrap();
        let mut record = [0; 5];
        connection.read_exact(&mut record).unwrap();
        let length = u16::from_be_bytes([record[3], record[4]]);
        let mut hello = vec![0; length.into()];
        connection.read_exact(&mut hello).unwrap();
        connection.write_all(&[21, 3, 3, 0, 2, 2, 40]).unwrap();
        drop(connection);
        // Whoever comes next would be asking without.
        listener.set_nonblocking(true).unwrap();
        listener
    });
    let error = get(settings, &host).await.unwrap_err();
    assert!(error.to_string().contains("tls: "), "{error}");
    assert!(error.to_string().starts_with("Get \"https://"), "{error}");
    let listener = server.join().unwrap();
    assert!(listener.accept().is_err());
}
