//! As much HTTP/1.1 as the tests need: a server whose answers a test decides, a client, and the messages of both.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// A connection on which nothing happens for so long is given up.
const SILENCE: Duration = Duration::from_secs(30);

/// A request, whole.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// `GET` …
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Names as they came, values trimmed.
    pub headers: Vec<(String, String)>,
    /// Body, without its transfer encoding.
    pub body: Vec<u8>,
}

/// An answer, whole.
#[derive(Debug, Clone, Default)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Names and values; `Content-Length` is of the body unless given here.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
}

/// A server on a free port of 127.0.0.1, one thread per connection. Dropping it ends it.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Request {
    /// A request without a body.
    #[must_use]
    pub fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            ..Self::default()
        }
    }

    /// The same with one more header.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same with a body.
    #[must_use]
    pub fn body(mut self, body: &[u8]) -> Self {
        body.clone_into(&mut self.body);
        self
    }

    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// The path without the query.
    #[must_use]
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// All values of a parameter of the query, and of a form in the body.
    #[must_use]
    pub fn parameters(&self, name: &str) -> Vec<String> {
        let query = self.target.split_once('?').map_or("", |(_, query)| query);
        let is_form = self
            .header("content-type")
            .is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
        let body = String::from_utf8_lossy(&self.body);
        let form = if is_form { &*body } else { "" };
        query
            .split('&')
            .chain(form.split('&'))
            .filter_map(|pair| pair.split_once('='))
            .filter(|(key, _)| *key == name)
            .map(|(_, value)| percent_decoded(value))
            .collect()
    }

    /// User and password of basic authentication.
    #[must_use]
    pub fn basic(&self) -> Option<(String, String)> {
        let encoded = self.header("authorization")?.strip_prefix("Basic ")?;
        let text = String::from_utf8(from_base64(encoded)?).ok()?;
        let (user, password) = text.split_once(':')?;
        Some((user.to_owned(), password.to_owned()))
    }

    /// Reads one; `None` when the connection ends instead.
    ///
    /// # Errors
    /// A broken connection, or what is no HTTP.
    pub fn read(from: &mut impl BufRead) -> io::Result<Option<Self>> {
        // A client that tries TLS first learns at once that there is none.
        if from.fill_buf()?.first() == Some(&0x16) {
            return Ok(None);
        }
        let Some((first, headers)) = read_head(from)? else {
            return Ok(None);
        };
        let mut words = first.split(' ').map(str::to_owned);
        let mut request = Self {
            method: words.next().unwrap_or_default(),
            target: words.next().unwrap_or_default(),
            headers,
            body: Vec::new(),
        };
        request.body = read_body(from, &request.headers, Some(0))?;
        Ok(Some(request))
    }

    /// Head and body as they go over the wire, for a connection that is used once.
    #[must_use]
    pub fn bytes(&self, host: &str) -> Vec<u8> {
        let mut text = format!(
            "{} {} HTTP/1.1\r\nHost: {host}\r\n",
            self.method, self.target
        );
        write_headers(&mut text, &self.headers, &["host"]);
        if !self.body.is_empty() || !matches!(self.method.as_str(), "GET" | "HEAD" | "DELETE") {
            let _ = write!(text, "Content-Length: {}\r\n", self.body.len());
        }
        [text.as_bytes(), b"Connection: close\r\n\r\n", &self.body].concat()
    }
}

impl Response {
    /// An answer with a status, a media type and a body.
    #[must_use]
    pub fn new(status: u16, media_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: vec![("Content-Type".to_owned(), media_type.to_owned())],
            body: body.into(),
        }
    }

    /// The same with one more header.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// Lets the length be what the body has.
    pub fn set_length(&mut self) {
        self.headers
            .retain(|(name, _)| !name.eq_ignore_ascii_case("content-length"));
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Reads the answer to a request with this method.
    ///
    /// # Errors
    /// A broken connection, or what is no HTTP.
    pub fn read(from: &mut impl BufRead, method: &str) -> io::Result<Self> {
        loop {
            let (first, headers) = read_head(from)?.ok_or(io::ErrorKind::UnexpectedEof)?;
            let status = first.split(' ').nth(1).and_then(|code| code.parse().ok());
            let status: u16 = status.ok_or(io::ErrorKind::InvalidData)?;
            if status == 100 {
                continue;
            }
            let has_body = method != "HEAD" && status != 204 && status != 304;
            let body = if has_body {
                read_body(from, &headers, None)?
            } else {
                Vec::new()
            };
            return Ok(Self {
                status,
                headers,
                body,
            });
        }
    }

    /// Head and body as they go over the wire. The answer to a `HEAD` has a length and no body.
    #[must_use]
    pub fn bytes(&self, keep_alive: bool) -> Vec<u8> {
        let mut text = format!("HTTP/1.1 {} Whatever\r\n", self.status);
        write_headers(&mut text, &self.headers, &[]);
        if self.header("content-length").is_none() && self.status != 204 {
            let _ = write!(text, "Content-Length: {}\r\n", self.body.len());
        }
        let connection = if keep_alive { "keep-alive" } else { "close" };
        let _ = write!(text, "Connection: {connection}\r\n\r\n");
        [text.as_bytes(), &self.body].concat()
    }
}

impl Server {
    /// Starts one that gives each connection to `handle`.
    pub fn raw(handle: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stopped = Arc::new(AtomicBool::new(false));
        let handle = Arc::new(handle);
        let flag = Arc::clone(&stopped);
        let thread = std::thread::spawn(move || {
            for connection in listener.incoming() {
                if flag.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(connection) = connection else { continue };
                let _ = connection.set_read_timeout(Some(SILENCE));
                let _ = connection.set_write_timeout(Some(SILENCE));
                let _ = connection.set_nodelay(true);
                let handle = Arc::clone(&handle);
                std::thread::spawn(move || handle(connection));
            }
        });
        Self {
            address,
            stopped,
            thread: Some(thread),
        }
    }

    /// Starts one that answers requests.
    pub fn start(answer: impl Fn(&Request) -> Response + Send + Sync + 'static) -> Self {
        Self::raw(move |connection| {
            let mut reader = BufReader::new(connection);
            while let Ok(Some(request)) = Request::read(&mut reader) {
                let mut response = answer(&request);
                if request.method == "HEAD" {
                    if response.header("content-length").is_none() {
                        let length = response.body.len().to_string();
                        response = response.with("Content-Length", &length);
                    }
                    response.body.clear();
                }
                if reader.get_mut().write_all(&response.bytes(true)).is_err() {
                    return;
                }
            }
        })
    }

    /// `http://127.0.0.1:<port>`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes `accept`.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Sends a request on a connection of its own and reads the answer.
///
/// # Errors
/// A connection that cannot be made or breaks.
pub fn exchange(address: SocketAddr, request: &Request) -> io::Result<Response> {
    exchange_as(address, request, &address.to_string())
}

/// The same, with another name of the host.
///
/// # Errors
/// As [`exchange`].
pub fn exchange_as(address: SocketAddr, request: &Request, host: &str) -> io::Result<Response> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(SILENCE))?;
    stream.write_all(&request.bytes(host))?;
    let response = Response::read(&mut BufReader::new(&stream), &request.method);
    let _ = stream.shutdown(Shutdown::Both);
    response
}

fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers
        .iter()
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_str())
}

/// Headers of a message that this side frames itself.
fn write_headers(text: &mut String, headers: &[(String, String)], without: &[&str]) {
    let framing = ["connection", "transfer-encoding", "keep-alive", "expect"];
    for (name, value) in headers {
        let lower = name.to_ascii_lowercase();
        let is_request_length = lower == "content-length" && without.contains(&"host");
        if !framing.contains(&lower.as_str())
            && !without.contains(&lower.as_str())
            && !is_request_length
        {
            let _ = write!(text, "{name}: {value}\r\n");
        }
    }
}

/// The first line and the headers.
type Head = (String, Vec<(String, String)>);

fn read_head(from: &mut impl BufRead) -> io::Result<Option<Head>> {
    let Some(first) = read_line(from)? else {
        return Ok(None);
    };
    let mut headers = Vec::new();
    loop {
        let line = read_line(from)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        if line.is_empty() {
            return Ok(Some((first, headers)));
        }
        let (name, value) = line.split_once(':').ok_or(io::ErrorKind::InvalidData)?;
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
}

fn read_line(from: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    from.read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&line);
    Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
}

/// A body by its framing; without any it has `default` bytes, or all until the connection ends.
fn read_body(
    from: &mut impl BufRead,
    headers: &[(String, String)],
    default: Option<u64>,
) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    if header(headers, "transfer-encoding").is_some_and(|coding| coding.contains("chunked")) {
        loop {
            let line = read_line(from)?.ok_or(io::ErrorKind::UnexpectedEof)?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = u64::from_str_radix(size, 16).map_err(io::Error::other)?;
            let got = from.take(size).read_to_end(&mut body)?;
            if u64::try_from(got).ok() != Some(size) {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            read_line(from)?;
            if size == 0 {
                return Ok(body);
            }
        }
    }
    let length = header(headers, "content-length").and_then(|length| length.parse().ok());
    match length.or(default) {
        Some(length) => {
            let got = from.take(length).read_to_end(&mut body)?;
            if u64::try_from(got).ok() != Some(length) {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        None => drop(from.read_to_end(&mut body)?),
    }
    Ok(body)
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match (first, after) {
            (b'+', _) => bytes.push(b' '),
            (b'%', [high, low, after @ ..]) => {
                let digits = [*high, *low];
                let digits = std::str::from_utf8(&digits).unwrap_or("3f");
                bytes.push(u8::from_str_radix(digits, 16).unwrap_or(b'?'));
                rest = after;
            }
            (other, _) => bytes.push(*other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// RFC 4648, section 4, with padding.
#[must_use]
pub fn to_base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let number = (0..3).fold(0_u32, |n, i| {
            n << 8 | u32::from(*group.get(i).unwrap_or(&0))
        });
        for place in 0..4 {
            let digit = BASE64[(number >> (18 - 6 * place) & 63) as usize];
            text.push(if place > group.len() {
                '='
            } else {
                char::from(digit)
            });
        }
    }
    text
}

/// RFC 4648, section 5, without padding: what JSON web tokens are written in.
#[must_use]
pub fn to_base64_url(bytes: &[u8]) -> String {
    let text = to_base64(bytes).replace('+', "-").replace('/', "_");
    text.trim_end_matches('=').to_owned()
}

/// Either alphabet, padded or not.
#[must_use]
pub fn from_base64(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut number, mut bits) = (Vec::new(), 0_u32, 0);
    for digit in text.trim_end_matches('=').bytes() {
        let digit = match digit {
            b'-' => b'+',
            b'_' => b'/',
            other => other,
        };
        let value = BASE64.iter().position(|known| *known == digit)?;
        number = number << 6 | u32::try_from(value).ok()?;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(number >> bits & 255).ok()?);
        }
    }
    Some(bytes)
}
