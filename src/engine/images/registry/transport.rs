//! One request until there is an answer: redirects, another try after a pause, no more connections than allowed.
//!
//! Credentials go to the host that they were meant for and to no other.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Method, Request, Response, StatusCode, Url};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::auth::{Keyring, Visit};
use super::settings::Settings;
use super::wire::{Failure, Wire, shown};
use crate::engine::error::{Error, Kind, Result};

/// Most redirects of one request.
const REDIRECTS: usize = 10;
/// A mirror that failed is left alone for so long.
const REST: Duration = Duration::from_mins(1);

/// Sends requests for all repositories of a client.
#[derive(Debug)]
pub(super) struct Transport {
    pub settings: Arc<Settings>,
    wire: Wire,
    /// For each registry, what is left of its connections.
    lanes: Mutex<HashMap<String, Arc<Semaphore>>>,
    /// Mirrors that failed, and when.
    failed: Mutex<HashMap<String, Instant>>,
}

/// A request that can be sent again.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Call {
    pub(super) fn new(method: Method, url: Url) -> Self {
        Self {
            method,
            url,
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }

    /// The same with one header more.
    #[must_use]
    pub(super) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }
}

/// An answer. It holds one of the registry's connections until it is dropped.
pub(super) struct Answer {
    response: Response,
    stall: Duration,
    _place: OwnedSemaphorePermit,
}

impl Answer {
    pub(super) fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// Where the answer came from in the end.
    pub(super) fn url(&self) -> &Url {
        self.response.url()
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// A header, if it is there and is text.
    pub(super) fn header(&self, name: impl reqwest::header::AsHeaderName) -> Option<&str> {
        self.headers().get(name)?.to_str().ok()
    }

    /// The next bytes of the body.
    ///
    /// # Errors
    /// `Unavailable` for a connection that breaks or stands still.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>> {
        match tokio::time::timeout(self.stall, self.response.chunk()).await {
            Ok(Ok(chunk)) => Ok(chunk),
            Ok(Err(error)) => {
                let cause = root_of(&error);
                Err(self.broken(&format!("the connection broke off: {cause}")))
            }
            Err(_elapsed) => {
                let seconds = self.stall.as_secs();
                let why = format!("nothing came for {seconds} s");
                Err(self.broken(&why))
            }
        }
    }

    fn broken(&self, why: &str) -> Error {
        let url = shown(self.url());
        Error::new(Kind::Unavailable, format!("read \"{url}\": {why}"))
    }

    /// The whole body.
    ///
    /// # Errors
    /// As [`Self::chunk`]; `InvalidInput` if it is larger than `limit`.
    pub(super) async fn body(&mut self, limit: usize) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            if body.len() + chunk.len() > limit {
                let url = shown(self.url());
                return Err(Error::invalid(format!(
                    "read \"{url}\": more than {limit} bytes"
                )));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

impl Transport {
    pub(super) fn new(settings: Settings) -> Self {
        let settings = Arc::new(settings);
        Self {
            wire: Wire::new(settings.clone()),
            lanes: Mutex::default(),
            failed: Mutex::default(),
            settings,
        }
    }

    /// Sends a request with the credentials of a visit, and once more if the registry then says what it wants.
    pub(super) async fn ask(
        &self,
        keyring: &Keyring,
        visit: &Visit<'_>,
        call: &Call,
    ) -> Result<Answer> {
        let answered = self.ask_as_wanted(keyring, visit, call).await;
        if answered.is_err() && !visit.endpoint.origin {
            self.has_failed(&visit.endpoint.authority);
        }
        answered
    }

    async fn ask_as_wanted(
        &self,
        keyring: &Keyring,
        visit: &Visit<'_>,
        call: &Call,
    ) -> Result<Answer> {
        let lane = &visit.endpoint.authority;
        // After a mirror comes the next.
        let attempts = if visit.endpoint.origin {
            self.settings.patience.attempts
        } else {
            1
        };
        let header = keyring.header(self, visit).await?;
        let answer = self.persist(lane, call, header.as_ref(), attempts).await?;
        let ours =
            answer.status() == StatusCode::UNAUTHORIZED && same_host(answer.url(), &call.url);
        if !ours || !keyring.learn(visit, &answer, header.as_ref())? {
            return Ok(answer);
        }
        // Its connection is needed.
        drop(answer);
        let header = keyring.header(self, visit).await?;
        self.persist(lane, call, header.as_ref(), attempts).await
    }

    /// A mirror could not be reached, or broke off.
    pub(super) fn has_failed(&self, mirror: &str) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.insert(mirror.to_owned(), Instant::now());
    }

    /// A mirror has not failed of late.
    pub(super) fn is_worth_a_try(&self, mirror: &str) -> bool {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.get(mirror).is_none_or(|when| when.elapsed() > REST)
    }

    /// Sends a request until there is an answer that another try would not make better.
    pub(super) async fn persist(
        &self,
        lane: &str,
        call: &Call,
        authorization: Option<&HeaderValue>,
        attempts: u32,
    ) -> Result<Answer> {
        let patience = &self.settings.patience;
        let mut attempt = 1;
        loop {
            let last = attempt >= attempts;
            let pause = match self.follow(lane, call, authorization).await {
                Ok(answer) if last || !is_transient(answer.status()) => return Ok(answer),
                Ok(answer) => match wished_pause(answer.headers()) {
                    Some(pause) if pause > patience.longest => return Ok(answer),
                    Some(pause) => pause,
                    None => self.pause(attempt, patience.pause),
                },
                Err(failure) if last || !failure.transient => return Err(failure.error),
                // Each such attempt takes long by itself.
                Err(failure) if failure.timed_out_twice(attempt) => return Err(failure.error),
                // Nobody there: a registry that starts is there soon, a mistyped port never.
                Err(failure) if failure.unconnected => self.pause(attempt, patience.pause / 5),
                Err(_broken) => self.pause(attempt, patience.pause),
            };
            tracing::debug!(url = %shown(&call.url), attempt, ?pause, "ask a registry again");
            tokio::time::sleep(pause).await;
            attempt += 1;
        }
    }

    /// Waits for a connection to be free.
    pub(super) async fn place(&self, lane: &str) -> Result<OwnedSemaphorePermit> {
        let semaphore = {
            let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
            let new = || Arc::new(Semaphore::new(self.settings.connections.max(1)));
            lanes.entry(lane.to_owned()).or_insert_with(new).clone()
        };
        let place = semaphore.acquire_owned().await;
        place.map_err(|error| Error::new(Kind::Internal, "wait for a connection").caused_by(error))
    }

    /// One request with a body that cannot be sent again, and no redirects.
    pub(super) async fn send(
        &self,
        lane: &str,
        request: Request,
        patience: Duration,
    ) -> Result<Answer, Failure> {
        let place = self.place(lane).await?;
        Ok(Answer {
            response: self.wire.send(request, patience).await?,
            stall: self.settings.patience.stall,
            _place: place,
        })
    }

    async fn follow(
        &self,
        lane: &str,
        call: &Call,
        authorization: Option<&HeaderValue>,
    ) -> Result<Answer, Failure> {
        let mut call = call.clone();
        let mut authorization = authorization;
        let mut answer = self.exchange(lane, &call, authorization).await?;
        for _ in 0..REDIRECTS {
            let Some(next) = redirect(&answer, &call) else {
                return Ok(answer);
            };
            // What the answer came from may be plain HTTP by now.
            if !may_have_credentials(answer.url(), &next.url) {
                authorization = None;
                // A form carries what the token is asked for with: it stays with whom it was meant for.
                if next.method == Method::POST && !next.body.is_empty() {
                    return Ok(answer);
                }
            }
            drop(answer);
            call = next;
            answer = self.exchange(lane, &call, authorization).await?;
        }
        if redirect(&answer, &call).is_none() {
            return Ok(answer);
        }
        let url = shown(answer.url());
        let error = Error::new(
            Kind::Unavailable,
            format!("Get \"{url}\": stopped after {REDIRECTS} redirects"),
        );
        Err(error.into())
    }

    async fn exchange(
        &self,
        lane: &str,
        call: &Call,
        authorization: Option<&HeaderValue>,
    ) -> Result<Answer, Failure> {
        let mut request = Request::new(call.method.clone(), call.url.clone());
        *request.headers_mut() = call.headers.clone();
        if let Some(value) = authorization {
            request.headers_mut().insert(AUTHORIZATION, value.clone());
        }
        let bodied = matches!(call.method, Method::POST | Method::PUT | Method::PATCH);
        if bodied {
            *request.body_mut() = Some(call.body.clone().into());
        }
        self.send(lane, request, self.settings.patience.stall).await
    }

    /// How long to wait after an attempt, the first of which is 1.
    pub(super) fn pause(&self, attempt: u32, first: Duration) -> Duration {
        let doubled = first.saturating_mul(1 << (attempt - 1).min(16));
        let longest = doubled.min(self.settings.patience.longest);
        // Half of it is chance, so that many clients do not come back all at once.
        let chance = u32::try_from(RandomState::new().hash_one(attempt) % 100).unwrap_or(0);
        longest / 2 + longest / 200 * chance
    }
}

/// The request that a redirect asks for.
fn redirect(answer: &Answer, call: &Call) -> Option<Call> {
    let same_method = match answer.status().as_u16() {
        307 | 308 => true,
        301..=303 => matches!(call.method, Method::GET | Method::HEAD),
        _ => return None,
    };
    let url = answer.url().join(answer.header(LOCATION)?).ok()?;
    let mut next = call.clone();
    next.url = url;
    // A POST that found its answer elsewhere. An upload's PUT is never turned into a GET.
    if !same_method {
        if call.method != Method::POST {
            return None;
        }
        next.method = Method::GET;
        next.body = Bytes::new();
    }
    Some(next)
}

/// Credentials stay with scheme, host and port.
pub(super) fn may_have_credentials(from: &Url, to: &Url) -> bool {
    from.scheme() == to.scheme() && same_host(from, to)
}

/// The same host and port; `http` and `https` are not told apart.
pub(super) fn same_host(one: &Url, other: &Url) -> bool {
    one.host_str() == other.host_str() && one.port() == other.port()
}

/// Another try may be answered better.
pub(super) fn is_transient(status: StatusCode) -> bool {
    let for_ever = [
        StatusCode::NOT_IMPLEMENTED,
        StatusCode::HTTP_VERSION_NOT_SUPPORTED,
    ];
    let busy = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
    busy.contains(&status) || (status.is_server_error() && !for_ever.contains(&status))
}

/// `Retry-After`: seconds or a date.
pub(super) fn wished_pause(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new()
        .parse_timestamp(text)
        .ok()?;
    let wait = date.duration_since(jiff::Timestamp::now());
    Some(Duration::try_from(wait).unwrap_or(Duration::ZERO))
}

fn root_of(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    let text = cause.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}
