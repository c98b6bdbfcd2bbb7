//! Registries of a test's own: Debian's `docker-registry` on a free port of 127.0.0.1, with its storage below the host's
//! directory; open, with passwords, with a token server, with TLS, and any of them behind a [`proxy`].

#![expect(
    clippy::print_stderr,
    reason = "what a registry said before a test failed"
)]

pub mod certificates;
pub mod http;
pub mod image;
pub mod proxy;
pub mod random;
pub mod token;
pub mod whole;

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use certificates::Certificates;
use http::{Request, Response, exchange};
use token::{Rules, TokenServer};

use crate::support::{Host, has_peer, pause, sha256, wait_for};

/// Who may use a registry that asks.
pub const USER: &str = "ada";

/// The password of [`USER`].
pub const PASSWORD: &str = "correct horse";

/// `htpasswd -nbB -C 5` of the two.
const HTPASSWD: &str = "ada:$2y$05$vTrNAtRuY9sGyx2HzFuKlOqtu4Sd8OQ3RdXtAamf8HkpuxTmAKs8W\n";

/// Who may use it.
#[derive(Debug, Clone, Copy)]
pub enum Door {
    /// Everybody.
    Open,
    /// [`USER`], by basic authentication.
    Password,
    /// Who has a token of the token server.
    Token(Rules),
}

/// How it is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// Plain HTTP.
    Plain,
    /// TLS, with a certificate of the test's own authority.
    Tls,
    /// The same, and the client must show a certificate, too.
    Mutual,
}

/// A registry that runs. Dropping it ends it.
#[derive(Debug)]
pub struct Registry {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its authority, if it speaks TLS.
    pub certificates: Option<Certificates>,
    /// Its token server, if it has one.
    pub tokens: Option<TokenServer>,
    dir: PathBuf,
    child: Child,
}

impl Registry {
    /// An open one; `None`, as [`crate::support::skip`], where Debian's registry is not installed.
    pub fn open(host: &Host) -> Option<Self> {
        Self::start(host, Door::Open, Wire::Plain)
    }

    /// One of any kind; `None` as [`Self::open`].
    pub fn start(host: &Host, door: Door, wire: Wire) -> Option<Self> {
        if !(has_peer("docker-registry") && has_peer("openssl") && has_peer("setpriv")) {
            return None;
        }
        let dir = tempfile::Builder::new()
            .prefix("registry-")
            .tempdir_in(host.dir())
            .unwrap()
            .keep();
        let certificates = (wire != Wire::Plain).then(|| Certificates::make(&dir.join("tls")));
        let tokens = match door {
            Door::Token(rules) => Some(TokenServer::start(&dir.join("token"), rules)),
            Door::Open | Door::Password => None,
        };
        let settings = settings(&dir, door, wire, certificates.as_ref(), tokens.as_ref());
        let file = dir.join("config.yml");
        fs::write(&file, settings.to_string()).unwrap();
        // When this thread ends, however it does, the registry ends, too.
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "docker-registry", "serve"])
            .arg(&file)
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .stdin(Stdio::null())
            .stdout(File::create(dir.join("access.log")).unwrap())
            .stderr(File::create(dir.join("log")).unwrap());
        let mut child = command.spawn().unwrap();
        let log = dir.join("log");
        let address = wait_for("the registry's address", || {
            if let Some(status) = child.try_wait().unwrap() {
                let log = fs::read_to_string(&log).unwrap_or_default();
                panic!("docker-registry ended: {status}\n{log}");
            }
            listening_on(&log)
        });
        let registry = Self {
            address,
            certificates,
            tokens,
            dir,
            child,
        };
        if wire == Wire::Plain {
            wait_for("the registry's answer", || {
                exchange(address, &Request::new("GET", "/v2/")).ok()
            });
        }
        Some(registry)
    }

    /// A whole reference: `127.0.0.1:<port>/<path>`.
    #[must_use]
    pub fn reference(&self, path: &str) -> String {
        format!("{}/{path}", self.address)
    }

    /// What it wrote about requests: one line each, as Apache does.
    #[must_use]
    pub fn access_log(&self) -> String {
        fs::read_to_string(self.dir.join("access.log")).unwrap_or_default()
    }

    /// Where it keeps a blob's content: for tests that damage it.
    #[must_use]
    pub fn blob_file(&self, digest: &str) -> PathBuf {
        let hex = digest.trim_start_matches("sha256:");
        let storage = self.dir.join("storage/docker/registry/v2/blobs/sha256");
        storage.join(hex.get(..2).unwrap()).join(hex).join("data")
    }

    /// Sends one request past everything that a client does.
    ///
    /// # Panics
    /// When the connection breaks.
    pub fn send(&self, request: &Request) -> Response {
        exchange(self.address, request).unwrap()
    }

    /// Stores a blob; its digest.
    pub fn put_blob(&self, repository: &str, content: &[u8]) -> String {
        let start = Request::new("POST", &format!("/v2/{repository}/blobs/uploads/"));
        let started = self.send(&start);
        assert_eq!(started.status, 202, "{}", started.text());
        let location = started.header("location").unwrap();
        let path = location.splitn(4, '/').nth(3).unwrap();
        let digest = format!("sha256:{}", sha256(content));
        let separator = if path.contains('?') { '&' } else { '?' };
        let target = format!("/{path}{separator}digest={digest}");
        let put = Request::new("PUT", &target).with("Content-Type", "application/octet-stream");
        let stored = self.send(&put.body(content));
        assert_eq!(stored.status, 201, "{}", stored.text());
        digest
    }

    /// Stores a manifest or an index under a tag or its digest; its digest.
    pub fn put_manifest(
        &self,
        repository: &str,
        name: &str,
        media_type: &str,
        document: &[u8],
    ) -> String {
        let target = format!("/v2/{repository}/manifests/{name}");
        let put = Request::new("PUT", &target).with("Content-Type", media_type);
        let stored = self.send(&put.body(document));
        assert_eq!(stored.status, 201, "{name}: {}", stored.text());
        format!("sha256:{}", sha256(document))
    }

    /// What is under a tag or digest, whatever kind it is.
    pub fn manifest(&self, repository: &str, name: &str) -> Response {
        let target = format!("/v2/{repository}/manifests/{name}");
        self.send(&Request::new("GET", &target).with("Accept", image::ANY))
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = fs::read_to_string(self.dir.join("log")).unwrap_or_default();
            let wrong = log.lines().filter(|line| line.contains("\"error\""));
            let lines: Vec<&str> = wrong.collect();
            eprintln!("errors of the registry:\n{}", lines.join("\n"));
        }
    }
}

/// The registry's configuration; JSON is YAML.
fn settings(
    dir: &Path,
    door: Door,
    wire: Wire,
    certificates: Option<&Certificates>,
    tokens: Option<&TokenServer>,
) -> serde_json::Value {
    let mut settings = serde_json::json!({
        "version": "0.1",
        "log": {"level": "info", "formatter": "json"},
        "storage": {"filesystem": {"rootdirectory": dir.join("storage")}, "delete": {"enabled": true}},
        "http": {"addr": "127.0.0.1:0", "secret": "of-a-test"},
        // So that tests can offer what clients must refuse.
        "compatibility": {"schema1": {"enabled": true}},
        "validation": {"manifests": {"urls": {"allow": [".*"]}}},
    });
    if let Some(certificates) = certificates {
        settings["http"]["tls"] = serde_json::json!({
            "certificate": certificates.file("server.pem"),
            "key": certificates.file("server.key"),
        });
        if wire == Wire::Mutual {
            settings["http"]["tls"]["clientcas"] = serde_json::json!([certificates.file("ca.pem")]);
        }
    }
    if let Door::Password = door {
        fs::write(dir.join("htpasswd"), HTPASSWD).unwrap();
        let path = dir.join("htpasswd");
        settings["auth"] = serde_json::json!({"htpasswd": {"realm": "test", "path": path}});
    }
    if let Some(tokens) = tokens {
        settings["auth"] = serde_json::json!({"token": {
            "realm": tokens.realm(),
            "service": token::SERVICE,
            "issuer": token::ISSUER,
            "rootcertbundle": tokens.certificate(),
        }});
    }
    settings
}

/// The address in the registry's log, once it listens.
fn listening_on(log: &Path) -> Option<SocketAddr> {
    let text = fs::read_to_string(log).ok()?;
    let found = text.lines().find_map(|line| {
        let (_, rest) = line.split_once("listening on ")?;
        let end = rest.find(['"', ','])?;
        rest.get(..end)?.parse().ok()
    });
    if found.is_none() {
        pause();
    }
    found
}
