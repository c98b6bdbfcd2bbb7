//! A registry of the tests' own: it answers as a test says, and remembers what it was asked.
//!
//! The certificates in `tests/fixtures/tls` are of an authority whose key is gone: `server` is for `registry.test`,
//! `localhost` and 127.0.0.1, all of them for a hundred years.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

/// A request that came.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    pub(super) method: String,
    /// Path and query, or what a proxy is asked for.
    pub(super) target: String,
    headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Seen {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(known, _)| known == name)?;
        Some(value)
    }

    /// A parameter of the query, or of a form.
    pub(super) fn all(&self, name: &str) -> Vec<String> {
        let query = match self.target.split_once('?') {
            Some((_, query)) => query.to_owned(),
            None => String::from_utf8_lossy(&self.body).into_owned(),
        };
        let url = reqwest::Url::parse(&format!("http://x/?{query}")).unwrap();
        let pairs = url.query_pairs().filter(|(known, _)| known == name);
        pairs.map(|(_, value)| value.into_owned()).collect()
    }

    /// `GET /v2/…` without the query.
    pub(super) fn line(&self) -> String {
        let path = self.target.split('?').next().unwrap();
        format!("{} {path}", self.method)
    }
}

/// What is answered.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// Only so much of the body is sent.
    sent: Option<usize>,
    end: End,
}

/// What comes after an answer.
#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    Close,
    /// Nothing, until the client goes.
    Silence,
    /// Not even a head.
    HangUp,
    /// Not even a head, and the connection stays until the client goes.
    Late,
}

impl Reply {
    pub(super) fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
            sent: None,
            end: End::Close,
        }
    }

    pub(super) fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self::new(200).body(body)
    }

    /// An error as registries send it.
    pub(super) fn error(status: u16, code: &str, message: &str) -> Self {
        let body = serde_json::json!({"errors": [{"code": code, "message": message}]});
        Self::new(status).body(body.to_string())
    }

    pub(super) fn hang_up() -> Self {
        Self {
            end: End::HangUp,
            ..Self::new(0)
        }
    }

    pub(super) fn never() -> Self {
        Self {
            end: End::Late,
            ..Self::new(0)
        }
    }

    pub(super) fn header(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    pub(super) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// The connection closes after so many bytes of the body.
    pub(super) fn cut(mut self, after: usize) -> Self {
        self.sent = Some(after);
        self
    }

    /// Nothing more comes after so many bytes of the body.
    pub(super) fn silent(mut self, after: usize) -> Self {
        self.sent = Some(after);
        self.end = End::Silence;
        self
    }
}

type Handler = dyn Fn(&Seen) -> Reply + Send + Sync;
/// Of a request's body, how much is read before the answer.
type Appetite = dyn Fn(&Seen) -> usize + Send + Sync;

/// A server that runs until it is dropped.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    seen: Arc<Mutex<Vec<Seen>>>,
    handler: Box<Handler>,
    appetite: Box<Appetite>,
    tls: Option<Arc<ServerConfig>>,
    /// A connection serves one request after the other.
    keeps: bool,
}

impl Server {
    pub(super) fn start(handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::run(|_| usize::MAX, handler, None, false)
    }

    /// Connections stay open for the next request.
    pub(super) fn start_keeping(handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::run(|_| usize::MAX, handler, None, true)
    }

    pub(super) fn start_hungry(
        appetite: impl Fn(&Seen) -> usize + Send + Sync + 'static,
        handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::run(appetite, handler, None, false)
    }

    /// With TLS; `mutual` wants a certificate of the client, too.
    pub(super) fn start_tls(
        mutual: bool,
        handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::run(|_| usize::MAX, handler, Some(tls(mutual)), false)
    }

    fn run(
        appetite: impl Fn(&Seen) -> usize + Send + Sync + 'static,
        handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
        tls: Option<Arc<ServerConfig>>,
        keeps: bool,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, stop) = (
            Arc::<Mutex<Vec<Seen>>>::default(),
            Arc::<AtomicBool>::default(),
        );
        let shared = Arc::new(Shared {
            seen: seen.clone(),
            handler: Box::new(handler),
            appetite: Box::new(appetite),
            tls,
            keeps,
        });
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            for connection in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (shared, connection) = (shared.clone(), connection.unwrap());
                // A client that goes away is nothing to fail for.
                std::thread::spawn(move || shared.serve(connection).ok());
            }
        });
        Self {
            address,
            seen,
            stop,
            thread: Some(thread),
        }
    }

    /// `127.0.0.1:port`.
    pub(super) fn host(&self) -> String {
        self.address.to_string()
    }

    /// `name:port`.
    pub(super) fn host_as(&self, name: &str) -> String {
        format!("{name}:{}", self.address.port())
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The requests that came, as `METHOD path`.
    pub(super) fn lines(&self) -> Vec<String> {
        self.seen().iter().map(Seen::line).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        self.thread.take().unwrap().join().unwrap();
    }
}

impl Shared {
    fn serve(&self, mut connection: TcpStream) -> io::Result<()> {
        connection.set_nodelay(true)?;
        if let Some(config) = &self.tls {
            let tls = ServerConnection::new(config.clone()).map_err(io::Error::other)?;
            let mut stream = StreamOwned::new(tls, connection);
            let served = self.talk(&mut stream);
            stream.conn.send_close_notify();
            stream.flush().ok();
            return served;
        }
        let mut first = [0];
        // Somebody who wants TLS is answered as Go does.
        if connection.peek(&mut first)? == 1 && first[0] == 0x16 {
            return connection.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\n");
        }
        loop {
            self.talk(&mut connection)?;
            if !self.keeps {
                return Ok(());
            }
        }
    }

    fn talk(&self, stream: &mut (impl Read + Write)) -> io::Result<()> {
        let mut reader = BufReader::new(stream);
        let mut seen = read_head(&mut reader)?;
        let length = seen
            .header("content-length")
            .map_or(0, |n| n.parse().unwrap());
        assert_eq!(
            seen.header("transfer-encoding"),
            None,
            "a body has a length"
        );
        seen.body = vec![0; (self.appetite)(&seen).min(length)];
        reader.read_exact(&mut seen.body)?;
        let reply = (self.handler)(&seen);
        self.seen.lock().unwrap().push(seen.clone());
        if reply.end == End::HangUp {
            return Ok(());
        }
        let stream = reader.get_mut();
        if reply.end == End::Late {
            return io::copy(stream, &mut io::sink()).map(drop);
        }
        let connection = if self.keeps { "keep-alive" } else { "close" };
        let mut head = format!(
            "HTTP/1.1 {} x\r\nConnection: {connection}\r\n",
            reply.status
        );
        for (name, value) in &reply.headers {
            write!(head, "{name}: {value}\r\n").unwrap();
        }
        let has = |name: &str| reply.headers.iter().any(|(known, _)| known == name);
        if !has("Content-Length") && !has("Transfer-Encoding") && reply.status != 204 {
            write!(head, "Content-Length: {}\r\n", reply.body.len()).unwrap();
        }
        stream.write_all(head.as_bytes())?;
        stream.write_all(b"\r\n")?;
        if seen.method != "HEAD" {
            let sent = reply.sent.unwrap_or(reply.body.len());
            stream.write_all(&reply.body[..sent])?;
        }
        stream.flush()?;
        if reply.end == End::Silence {
            io::copy(stream, &mut io::sink())?;
        }
        Ok(())
    }
}

fn read_head(reader: &mut impl BufRead) -> io::Result<Seen> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim_end() {
            "" if lines.is_empty() => return Err(io::ErrorKind::UnexpectedEof.into()),
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let mut words = lines[0].split(' ');
    let mut word = || words.next().unwrap_or_default().to_owned();
    let headers = lines[1..].iter().map(|line| {
        let (name, value) = line.split_once(':').unwrap();
        (name.to_ascii_lowercase(), value.trim().to_owned())
    });
    Ok(Seen {
        method: word(),
        target: word(),
        headers: headers.collect(),
        body: Vec::new(),
    })
}

/// A file of `tests/fixtures/tls`.
pub(super) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/tls")
        .join(name)
}

fn tls(mutual: bool) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let certificates = |name| {
        let read = CertificateDer::pem_file_iter(fixture(name)).unwrap();
        read.collect::<Result<Vec<_>, _>>().unwrap()
    };
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = if mutual {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates("ca.crt"));
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
        builder.with_client_cert_verifier(verifier.build().unwrap())
    } else {
        builder.with_no_client_auth()
    };
    let key = PrivateKeyDer::from_pem_file(fixture("server.key")).unwrap();
    let config = builder.with_single_cert(certificates("server.cert"), key);
    Arc::new(config.unwrap())
}
