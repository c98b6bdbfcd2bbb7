//! A man in the middle: stands between wharf and a registry, passes on what both say, counts it, and does harm by plan.

use std::io::{BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, mpsc};
use std::time::Duration;

use super::http::{Request, Response, Server, exchange_as};
use crate::support::PATIENCE;

/// What happens to one request and its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// The connection ends after so many bytes of the answer, head included.
    Cut(usize),
    /// The registry gets so many bytes of the request's body, then both connections end.
    CutRequest(usize),
    /// The registry gets all and answers, the client gets nothing.
    Swallow,
    /// The answer comes later.
    Delay(Duration),
    /// The byte of the body at this position, counted round, is another.
    Corrupt(usize),
    /// The body is shorter by so many bytes, and its length says so.
    Truncate(usize),
    /// The first so many bytes of the body come twice, and the length says so.
    Repeat(usize),
    /// The first so many bytes of the body come twice, and its end is missing: the length is right.
    Shift(usize),
    /// A status of the middleman's own, with `Retry-After` or without.
    Status(u16, Option<u32>),
    /// The registry does not hear of the range that was asked for.
    ForgetRange,
    /// The same, and the connection ends after so many bytes.
    ForgetRangeAndCut(usize),
    /// The client is sent to another port, which has the same.
    Redirect,
    /// The answer of another request before.
    Stale(usize),
    /// No HTTP at all.
    Garbage,
}

/// One request and what became of it.
#[derive(Debug, Clone)]
pub struct Seen {
    /// `GET` …
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The range that was asked for.
    pub range: Option<String>,
    /// It had an `Authorization`.
    pub authorized: bool,
    /// Status of the answer; 0 for none.
    pub status: u16,
    /// Bytes of the answer's body that were sent.
    pub sent: u64,
    /// What was done to it.
    pub fault: Fault,
    /// It came by the other port.
    pub redirected: bool,
}

type Plan = Box<dyn FnMut(&Request) -> Fault + Send>;

/// The proxy. Dropping it ends it.
pub struct Proxy {
    server: Server,
    /// Where redirects lead; held so that it lives as long.
    _other: Server,
    shared: Arc<Shared>,
}

struct Shared {
    registry: SocketAddr,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    plan: Plan,
    seen: Vec<Seen>,
    /// Requests that are being answered: they are noted afterwards.
    active: usize,
    /// Answers for [`Fault::Stale`].
    past: Vec<(String, Response)>,
    /// Bytes of bodies that were sent.
    sent: u64,
    /// No more bytes of bodies than this are sent.
    limit: Option<u64>,
}

impl Proxy {
    /// Starts one in front of a registry. It does no harm yet.
    pub fn start(registry: SocketAddr) -> Self {
        let shared = Arc::new(Shared {
            registry,
            state: Mutex::new(State {
                plan: Box::new(|_| Fault::None),
                seen: Vec::new(),
                active: 0,
                past: Vec::new(),
                sent: 0,
                limit: None,
            }),
            changed: Condvar::new(),
        });
        let for_other = Arc::clone(&shared);
        let other = Server::raw(move |connection| for_other.serve(connection, None));
        let (for_first, elsewhere) = (Arc::clone(&shared), other.url());
        let server = Server::raw(move |connection| for_first.serve(connection, Some(&elsewhere)));
        Self {
            server,
            _other: other,
            shared,
        }
    }

    /// A whole reference through the proxy: `127.0.0.1:<port>/<path>`.
    #[must_use]
    pub fn reference(&self, path: &str) -> String {
        format!("{}/{path}", self.server.address)
    }

    /// Says what happens to each request from now on.
    pub fn plan(&self, plan: impl FnMut(&Request) -> Fault + Send + 'static) {
        self.shared.lock().plan = Box::new(plan);
    }

    /// All requests since the last call, in the order of their ends.
    #[must_use]
    pub fn take_seen(&self) -> Vec<Seen> {
        // A client may have its answer before it is noted. One that waits for more of it is left alone.
        let mut patience = 2000;
        loop {
            let mut state = self.shared.lock();
            if state.active == 0 || state.limit.is_some() || patience == 0 {
                return std::mem::take(&mut state.seen);
            }
            drop(state);
            patience -= 1;
            rest(Duration::from_millis(1));
        }
    }

    /// Holds everything back once so many more bytes of bodies have been sent, or lets all go with `None`.
    pub fn hold_after(&self, bytes: Option<u64>) {
        let mut state = self.shared.lock();
        state.limit = bytes.map(|bytes| state.sent + bytes);
        self.shared.changed.notify_all();
    }

    /// Waits until [`Self::hold_after`] holds something back, or until `ended` says that nothing will come any more.
    ///
    /// # Panics
    /// When neither happens.
    pub fn wait_until_held(&self, mut ended: impl FnMut() -> bool) {
        crate::support::wait_until("bytes held back", PATIENCE, || {
            let state = self.shared.lock();
            let held = state.limit.is_some_and(|limit| state.sent >= limit);
            drop(state);
            held || ended()
        });
    }
}

/// Waits for so long.
fn rest(time: Duration) {
    let (_sender, receiver) = mpsc::channel::<()>();
    let _ = receiver.recv_timeout(time);
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Serves a connection until it ends.
    fn serve(&self, connection: TcpStream, elsewhere: Option<&str>) {
        let mut reader = BufReader::new(connection);
        while let Ok(Some(request)) = Request::read(&mut reader) {
            self.lock().active += 1;
            let fault = match elsewhere {
                Some(_) => (self.lock().plan)(&request),
                None => Fault::None,
            };
            let mut seen = Seen {
                method: request.method.clone(),
                target: request.target.clone(),
                range: request.header("range").map(str::to_owned),
                authorized: request.header("authorization").is_some(),
                status: 0,
                sent: 0,
                fault,
                redirected: elsewhere.is_none(),
            };
            let go_on = self.one(
                &request,
                fault,
                elsewhere.unwrap_or_default(),
                reader.get_mut(),
                &mut seen,
            );
            let mut state = self.lock();
            state.seen.push(seen);
            state.active -= 1;
            drop(state);
            if !go_on {
                let _ = reader.get_ref().shutdown(Shutdown::Both);
                return;
            }
        }
    }

    /// One request; whether the connection is good for another.
    fn one(
        &self,
        request: &Request,
        fault: Fault,
        elsewhere: &str,
        client: &mut TcpStream,
        seen: &mut Seen,
    ) -> bool {
        let own = |status, retry: Option<u32>| {
            let body = br#"{"errors":[{"code":"UNAVAILABLE","message":"the test says so"}]}"#;
            let answer = Response::new(status, "application/json", *body);
            match retry {
                Some(seconds) => answer.with("Retry-After", &seconds.to_string()),
                None => answer,
            }
        };
        let mut answer = match fault {
            Fault::Status(status, retry) => own(status, retry),
            Fault::Redirect => Response::new(307, "text/plain", "elsewhere\n")
                .with("Location", &format!("{elsewhere}{}", request.target)),
            Fault::Garbage => {
                let _ = client.write_all(b"\x16\x03\x01 this is no HTTP\r\n\r\n");
                return false;
            }
            Fault::CutRequest(length) => {
                self.pass_a_part(request, length);
                return false;
            }
            _ => match self.ask(request, fault) {
                Some(answer) => answer,
                None => return false,
            },
        };
        let length = answer.body.len();
        match fault {
            Fault::Swallow => return false,
            Fault::Delay(time) => rest(time),
            Fault::Stale(number) => {
                let state = self.lock();
                let others: Vec<_> = state
                    .past
                    .iter()
                    .filter(|(target, _)| *target != request.target)
                    .collect();
                if let Some((_, old)) = others.get(number % others.len().max(1)) {
                    answer = old.clone();
                }
            }
            Fault::Corrupt(at) if length > 0 => answer.body[at % length] ^= 0x20,
            Fault::Truncate(less) => {
                answer.body.truncate(length.saturating_sub(less));
                answer.set_length();
            }
            Fault::Repeat(piece) => {
                let start = answer.body[..piece.min(length)].to_vec();
                answer.body.splice(..0, start);
                answer.set_length();
            }
            Fault::Shift(piece) => {
                let start = answer.body[..piece.min(length)].to_vec();
                answer.body.splice(..0, start);
                answer.body.truncate(length);
            }
            _ => {}
        }
        if request.method == "GET" && answer.status == 200 && fault == Fault::None {
            let mut state = self.lock();
            if state.past.len() < 32 {
                state.past.push((request.target.clone(), answer.clone()));
            }
        }
        seen.status = answer.status;
        if request.method == "HEAD" {
            answer.body.clear();
        }
        let bytes = answer.bytes(true);
        let head = bytes.len() - answer.body.len();
        let until = match fault {
            Fault::Cut(length) | Fault::ForgetRangeAndCut(length) => length.min(bytes.len()),
            _ => bytes.len(),
        };
        if client.write_all(&bytes[..head.min(until)]).is_err() {
            return false;
        }
        let mut body = &bytes[head.min(until)..until];
        while !body.is_empty() {
            let piece = self.may_send(body.len().min(4096));
            if piece == 0 || client.write_all(&body[..piece]).is_err() {
                return false;
            }
            seen.sent += piece as u64;
            body = &body[piece..];
        }
        !matches!(fault, Fault::Cut(_) | Fault::ForgetRangeAndCut(_))
    }

    /// Asks the registry.
    fn ask(&self, request: &Request, fault: Fault) -> Option<Response> {
        let mut request = request.clone();
        if matches!(fault, Fault::ForgetRange | Fault::ForgetRangeAndCut(_)) {
            request
                .headers
                .retain(|(name, _)| !name.eq_ignore_ascii_case("range"));
        }
        let host = request.header("host").unwrap_or_default().to_owned();
        exchange_as(self.registry, &request, &host).ok()
    }

    /// Gives the registry the head and a part of the body.
    fn pass_a_part(&self, request: &Request, length: usize) {
        let host = request.header("host").unwrap_or_default();
        let bytes = request.bytes(host);
        let head = bytes.len() - request.body.len();
        let part = &bytes[..(head + length).min(bytes.len())];
        if let Ok(mut registry) = TcpStream::connect(self.registry) {
            let _ = registry.write_all(part);
            let _ = registry.shutdown(Shutdown::Both);
        }
    }

    /// How many of `wanted` bytes may be sent now; waits while nothing may; 0 if nobody lets them go.
    fn may_send(&self, wanted: usize) -> usize {
        let mut state = self.lock();
        loop {
            let allowed = match state.limit {
                None => wanted,
                Some(limit) => {
                    let left = usize::try_from(limit - state.sent.min(limit)).unwrap_or(wanted);
                    left.min(wanted)
                }
            };
            if allowed > 0 {
                state.sent += allowed as u64;
                return allowed;
            }
            let waited = self.changed.wait_timeout(state, PATIENCE);
            let (next, timeout) = waited.unwrap_or_else(std::sync::PoisonError::into_inner);
            if timeout.timed_out() {
                return 0;
            }
            state = next;
        }
    }
}
