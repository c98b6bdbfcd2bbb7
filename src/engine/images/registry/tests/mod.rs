//! What a client of registries does, against a server that answers as each test says.

mod auth;
mod blobs;
mod fetching;
mod lists;
mod manifests;
mod mirrors;
mod server;
mod tls;
mod transport;
mod uploads;

use std::time::Duration;

use super::*;
use crate::engine::error::Kind;
use server::{Reply, Seen, Server};

const USER: &str = "ada";
const PASSWORD: &str = "hunter2";
/// `Basic` of the two.
const BASIC: &str = "Basic YWRhOmh1bnRlcjI=";

/// Settings with names that lead to this host, and little patience.
fn settings() -> (Settings, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let hosts = dir.path().join("hosts");
    let names = "127.0.0.1 registry.test other.test proxy.test # all here\n";
    std::fs::write(&hosts, names).unwrap();
    let settings = Settings {
        patience: Patience {
            pause: Duration::from_millis(2),
            longest: Duration::from_millis(500),
            ..Patience::default()
        },
        names: Names {
            hosts,
            resolv: dir.path().join("resolv.conf"),
        },
        certs: vec![dir.path().join("certs.d")],
        ..Settings::default()
    };
    (settings, dir)
}

fn client() -> Client {
    Client::new(settings().0).unwrap()
}

fn name(host: &str) -> Reference {
    format!("{host}/a/b").parse().unwrap()
}

/// A repository that is read anonymously.
fn reader(server: &Server) -> Repository {
    client().repository(&name(&server.host()), &Auth::Anonymous, Access::Pull)
}

/// A repository that is written anonymously.
fn writer(server: &Server) -> Repository {
    client().repository(&name(&server.host()), &Auth::Anonymous, Access::Push)
}

fn password() -> Auth {
    Auth::Basic {
        user: USER.to_owned(),
        password: Secret::new(PASSWORD),
    }
}

fn tag(text: &str) -> Which {
    Which::Tag(text.to_owned())
}

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
const DOCUMENT: &str =
    r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json"}"#;

/// A manifest as registries send it.
fn document() -> Reply {
    Reply::ok(DOCUMENT).header("Content-Type", OCI)
}

fn digest_of(bytes: &[u8]) -> Digest {
    manifest::digest_of(bytes)
}
