//! Blobs on their way to a registry: begun, sent in one piece or in chunks, and taken up again where it stopped.

use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use reqwest::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderValue, LOCATION, RANGE,
};
use reqwest::{Body, Method, Request, StatusCode, Url};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::answer::{self, About};
use super::auth::Visit;
use super::scope::Scopes;
use super::transport::{Answer, Call, is_transient, may_have_credentials, same_host};
use super::wire::{Failure, shown};
use super::{Access, Repository};
use crate::engine::error::{Error, Kind, Result};
use crate::engine::model::{Digest, Reference};

/// Bytes that are read from the content at a time.
const PIECE: usize = 256 << 10;
/// Pieces that wait for the network.
const WAITING: usize = 2;
/// Bytes of a chunk, where a registry wants chunks.
const CHUNK: u64 = 32 << 20;
const MIN_CHUNK: &str = "oci-chunk-min-length";
const MAX_CHUNK: &str = "oci-chunk-max-length";

/// What is uploaded: opened again for each attempt, at any position.
pub trait Content: Send + Sync {
    /// Bytes in all.
    fn size(&self) -> u64;
    /// A reader from `start` to the end.
    ///
    /// # Errors
    /// What open(2) and lseek(2) say.
    fn open(&self, start: u64) -> Result<Box<dyn Read + Send>>;
}

/// An upload that a registry has begun.
#[derive(Debug, Clone)]
struct Session {
    /// Where the next bytes go.
    url: Url,
    /// The URL that the credentials were meant for.
    home: Url,
    /// Bytes that the registry has.
    offset: u64,
    /// Bytes of a chunk, if it must be chunks.
    chunk: Option<u64>,
}

/// One upload.
struct Upload<'a> {
    repository: &'a Repository,
    visit: Visit<'a>,
    digest: &'a Digest,
    content: Arc<dyn Content>,
    sent: &'a (dyn Fn(u64) + Send + Sync),
}

impl Repository {
    /// Makes a blob of another repository of the same registry one of this; `false` if the registry would not.
    ///
    /// # Errors
    /// What the registry says.
    pub async fn mount_blob(&self, digest: &Digest, from: &Reference) -> Result<bool> {
        if from.domain() != self.name().domain() {
            return Ok(false);
        }
        let mut visit = self.origin()?;
        visit.scopes = visit
            .scopes
            .and(&Scopes::repository(from.path(), Access::Pull));
        let mut url = visit.endpoint.v2(&self.path("blobs/uploads/"));
        url.query_pairs_mut()
            .append_pair("mount", digest.as_str())
            .append_pair("from", from.path());
        let answer = self.ask(&visit, &Call::new(Method::POST, url)).await?;
        match answer.status() {
            StatusCode::CREATED => Ok(true),
            StatusCode::ACCEPTED => {
                // It has begun an upload instead, which nobody needs.
                if let Some(session) = Session::begun(&visit, &answer) {
                    drop(answer);
                    let unwanted = Call::new(Method::DELETE, session.url.clone());
                    self.ask_session(&visit, &session, &unwanted).await.ok();
                }
                Ok(false)
            }
            _ => {
                let what = format!("mount blob {digest}");
                Err(answer::refused(answer, &About::Repository(self.name(), &what)).await)
            }
        }
    }

    /// Uploads a blob; `sent` is told how many bytes the registry has so far. A broken connection is taken up again
    /// where the registry says.
    ///
    /// # Errors
    /// What the registry says; `Unavailable` when patience is at its end.
    pub async fn upload_blob(
        &self,
        digest: &Digest,
        content: Arc<dyn Content>,
        sent: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<()> {
        let upload = Upload {
            repository: self,
            visit: self.origin()?,
            digest,
            content,
            sent,
        };
        upload.run().await
    }

    /// Sends a request to an upload's URL: with credentials if it is the host that they are for.
    async fn ask_session(
        &self,
        visit: &Visit<'_>,
        session: &Session,
        call: &Call,
    ) -> Result<Answer> {
        if may_have_credentials(&session.home, &call.url) {
            return self.ask(visit, call).await;
        }
        let http = &self.client.http;
        let attempts = http.settings.patience.attempts;
        let lane = &visit.endpoint.authority;
        http.persist(lane, call, None, attempts).await
    }
}

impl Session {
    /// What a 202 says.
    fn begun(visit: &Visit<'_>, answer: &Answer) -> Option<Self> {
        let number = |name| answer.header(name).and_then(|n| n.parse::<u64>().ok());
        let chunk = match (number(MIN_CHUNK), number(MAX_CHUNK)) {
            (None, None) => None,
            (min, max) => {
                let wished = CHUNK.max(min.unwrap_or(0));
                Some(max.map_or(wished, |max| wished.min(max)).max(1))
            }
        };
        Some(Self {
            url: answer.url().join(answer.header(LOCATION)?).ok()?,
            // Whoever the request was redirected to is not who has the credentials.
            home: if same_host(answer.url(), &visit.endpoint.base) {
                answer.url().clone()
            } else {
                visit.endpoint.base.clone()
            },
            offset: 0,
            chunk,
        })
    }

    /// The same after another answer: where it goes on, and how much is there.
    fn go_on(&mut self, answer: &Answer, offset: u64) {
        if let Some(next) = answer.header(LOCATION)
            && let Ok(url) = answer.url().join(next)
        {
            self.url = url;
        }
        self.offset = offset;
    }
}

impl Upload<'_> {
    async fn run(&self) -> Result<()> {
        let http = &self.repository.client.http;
        let patience = &http.settings.patience;
        let mut session = None;
        let mut failures = 0;
        let mut furthest = 0;
        loop {
            let failure = match self.go(&mut session).await {
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            };
            if !failure.transient {
                return Err(failure.error);
            }
            // Getting on is no failure.
            let reached = session
                .as_ref()
                .map_or(0, |session: &Session| session.offset);
            failures = if reached > furthest { 1 } else { failures + 1 };
            furthest = furthest.max(reached);
            if failures >= patience.attempts {
                return Err(failure.error);
            }
            tokio::time::sleep(http.pause(failures, patience.pause)).await;
            session = match session.take() {
                Some(old) => self.look_again(old).await?,
                None => None,
            };
            // The answer to the last request may be all that was lost.
            if session.is_none() && self.repository.find_blob(self.digest).await?.is_some() {
                (self.sent)(self.content.size());
                return Ok(());
            }
        }
    }

    /// From where it stands to the end.
    async fn go(&self, kept: &mut Option<Session>) -> Result<(), Failure> {
        let session = match kept {
            Some(session) => session,
            None => kept.insert(self.begin().await?),
        };
        let size = self.content.size();
        (self.sent)(session.offset);
        if session.offset == 0 && session.chunk.is_none() {
            let mut last = Call::new(Method::PUT, session.url.clone());
            last.url
                .query_pairs_mut()
                .append_pair("digest", self.digest.as_str());
            let answer = self.stream(session, last, 0, size).await?;
            return match answer.status() {
                // Too much at once for a proxy in front of it.
                StatusCode::PAYLOAD_TOO_LARGE if size > CHUNK => {
                    session.chunk = Some(CHUNK);
                    Err(self.refused(answer, true).await)
                }
                _ => self.end(answer).await,
            };
        }
        while session.offset < size {
            let rest = size - session.offset;
            let length = session.chunk.map_or(rest, |chunk| rest.min(chunk));
            let end = session.offset + length;
            let range = format!("{}-{}", session.offset, end - 1);
            let range = HeaderValue::try_from(range).map_err(|error| {
                Error::new(Kind::Internal, "write a Content-Range header").caused_by(error)
            })?;
            let patch = Call::new(Method::PATCH, session.url.clone()).with(CONTENT_RANGE, range);
            let answer = self.stream(session, patch, session.offset, end).await?;
            if !answer.status().is_success() {
                return Err(self.refused(answer, false).await);
            }
            let there = received(&answer).unwrap_or(end);
            if there <= session.offset || there > end {
                let why = format!(
                    "the registry has {there} bytes of blob {} after {end} were sent",
                    self.digest
                );
                return Err(Error::new(Kind::Unavailable, why).into());
            }
            session.go_on(&answer, there);
        }
        let mut last = Call::new(Method::PUT, session.url.clone());
        last.url
            .query_pairs_mut()
            .append_pair("digest", self.digest.as_str());
        let answer = self.stream(session, last, size, size).await?;
        self.end(answer).await
    }

    async fn begin(&self) -> Result<Session> {
        let repository = self.repository;
        let url = self.visit.endpoint.v2(&repository.path("blobs/uploads/"));
        let answer = repository
            .ask(&self.visit, &Call::new(Method::POST, url))
            .await?;
        if !answer.status().is_success() {
            return Err(self.refused(answer, false).await.error);
        }
        Session::begun(&self.visit, &answer).ok_or_else(|| {
            let url = shown(answer.url());
            Error::new(
                Kind::Unavailable,
                format!("Post \"{url}\": the registry does not say where the upload goes"),
            )
        })
    }

    /// Asks how much of an upload has arrived: `None` if the registry has forgotten it.
    async fn look_again(&self, mut session: Session) -> Result<Option<Session>> {
        let call = Call::new(Method::GET, session.url.clone());
        let answer = self
            .repository
            .ask_session(&self.visit, &session, &call)
            .await?;
        if !answer.status().is_success() {
            return Ok(None);
        }
        let there = received(&answer).unwrap_or(0);
        if there > self.content.size() {
            return Ok(None);
        }
        session.go_on(&answer, there);
        Ok(Some(session))
    }

    async fn end(&self, answer: Answer) -> Result<(), Failure> {
        if answer.status().is_success() {
            (self.sent)(self.content.size());
            return Ok(());
        }
        Err(self.refused(answer, false).await)
    }

    async fn refused(&self, answer: Answer, transient: bool) -> Failure {
        let status = answer.status();
        let what = format!("push blob {}", self.digest);
        let about = About::Repository(self.repository.name(), &what);
        // A token that ran out on the way; an upload that the registry forgot.
        let anew = [
            StatusCode::UNAUTHORIZED,
            StatusCode::NOT_FOUND,
            StatusCode::RANGE_NOT_SATISFIABLE,
        ];
        Failure {
            transient: transient || is_transient(status) || anew.contains(&status),
            unconnected: false,
            speaks_tls: false,
            error: answer::refused(answer, &about).await,
        }
    }

    /// Sends a part of the content, and tells of it.
    async fn stream(
        &self,
        session: &Session,
        call: Call,
        start: u64,
        end: u64,
    ) -> Result<Answer, Failure> {
        let http = &self.repository.client.http;
        let keyring = &self.repository.client.keyring;
        let patience = &http.settings.patience;
        let mut request = Request::new(call.method, call.url);
        *request.headers_mut() = call.headers;
        let headers = request.headers_mut();
        headers.insert(CONTENT_LENGTH, HeaderValue::from(end - start));
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/octet-stream"),
        );
        let trusted = may_have_credentials(&session.home, request.url());
        let mut authorization = None;
        if trusted {
            authorization = keyring.header(http, &self.visit).await?;
            if let Some(value) = authorization.clone() {
                request.headers_mut().insert(AUTHORIZATION, value);
            }
        }
        let (body, mut passed, trouble) = pour(self.content.clone(), start, end);
        *request.body_mut() = Some(body);
        let lane = &self.visit.endpoint.authority;
        let far = Duration::from_secs(1 << 30);
        let mut answer = std::pin::pin!(http.send(lane, request, far));
        let mut watching = true;
        // It begins when a connection is free: waiting for that is no stall.
        let mut deadline = Instant::now() + if start == end { patience.commit } else { far };
        let answered = loop {
            tokio::select! {
                answered = &mut answer => break answered,
                moved = passed.changed(), if watching => {
                    watching = moved.is_ok();
                    let there = *passed.borrow_and_update();
                    (self.sent)(there);
                    let wait = if there == end { patience.commit } else { patience.stall };
                    deadline = Instant::now() + wait;
                }
                () = tokio::time::sleep_until(deadline) => {
                    let why = format!("push blob {}: the registry stopped taking it", self.digest);
                    break Err(Failure {
                        transient: true,
                        unconnected: false,
            speaks_tls: false,
                        error: Error::new(Kind::Timeout, why),
                    });
                }
            }
        };
        // Our own file could not be read: that is no fault of the network.
        let own = trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(error) = own {
            return Err(error.into());
        }
        let answer = answered?;
        if trusted && answer.status() == StatusCode::UNAUTHORIZED {
            keyring.learn(&self.visit, &answer, authorization.as_ref())?;
        }
        Ok(answer)
    }
}

/// Bytes that the registry has: `Range: 0-99`.
fn received(answer: &Answer) -> Option<u64> {
    range_end(answer.header(RANGE)?)
}

fn range_end(text: &str) -> Option<u64> {
    let text = text.trim();
    let range = text.strip_prefix("bytes=").unwrap_or(text);
    let (first, last) = range.split_once('-')?;
    let (first, last): (u64, u64) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    // distribution says `0-0` of an upload that has nothing yet; one byte sent twice is no harm then.
    match (first, last) {
        (0, 0) => Some(0),
        (0, last) => last.checked_add(1),
        _ => None,
    }
}

type Trouble = Arc<Mutex<Option<Error>>>;

/// A body that a thread of its own reads from the content, as fast as the network takes it.
fn pour(content: Arc<dyn Content>, start: u64, end: u64) -> (Body, watch::Receiver<u64>, Trouble) {
    let (pieces, waiting) = mpsc::channel::<Result<Bytes, std::io::Error>>(WAITING);
    let trouble = Trouble::default();
    let told = trouble.clone();
    tokio::task::spawn_blocking(move || {
        if let Err(error) = read_all(content.as_ref(), start, end, &pieces) {
            *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            // The body must not end as if it were whole.
            let _ = pieces.blocking_send(Err(std::io::ErrorKind::Other.into()));
        }
    });
    let (moved, passed) = watch::channel(start);
    let stream = stream::unfold(
        (waiting, moved, start),
        move |(mut waiting, moved, there)| async move {
            // Asked for the next piece: the one before is taken.
            moved.send_replace(there);
            let piece = waiting.recv().await?;
            let there = there + piece.as_ref().map_or(0, Bytes::len) as u64;
            // After the last one nobody asks.
            if there == end {
                moved.send_replace(there);
            }
            Some((piece, (waiting, moved, there)))
        },
    );
    (Body::wrap_stream(stream), passed, trouble)
}

fn read_all(
    content: &dyn Content,
    start: u64,
    end: u64,
    pieces: &mpsc::Sender<Result<Bytes, std::io::Error>>,
) -> Result<()> {
    if start == end {
        return Ok(());
    }
    let mut reader = content.open(start)?;
    let mut left = end - start;
    while left > 0 {
        let wanted = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        let mut piece = vec![0; wanted];
        reader
            .read_exact(&mut piece)
            .map_err(|error| Error::io("read what is to be pushed", error))?;
        left -= wanted as u64;
        // Nobody takes it any more: the request has ended.
        if pieces.blocking_send(Ok(piece.into())).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_range_that_does_not_begin_at_the_first_byte_says_nothing() {
        for bad in ["", "5", "1-5", "0-", "-5", "0-18446744073709551615", "a-b"] {
            assert_eq!(range_end(bad), None, "{bad}");
        }
        assert_eq!(range_end("0-0"), Some(0));
    }

    proptest! {
        #[test]
        fn a_range_ends_with_its_last_byte(last in 1..u64::MAX) {
            prop_assert_eq!(range_end(&format!("0-{last}")), Some(last + 1));
            prop_assert_eq!(range_end(&format!("bytes=0-{last}")), Some(last + 1));
        }

        #[test]
        fn no_range_breaks_the_reader(text in "\\PC{0,60}") {
            let _ = range_end(&text);
        }
    }
}
