//! Blobs as they come: the whole, or from one byte to another.

use std::sync::Arc;

use bytes::Bytes;
use reqwest::header::{ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, HeaderValue, RANGE};
use reqwest::{Method, StatusCode, Url};

use super::answer::{self, About};
use super::auth::Visit;
use super::transport::{Answer, Call};
use super::{Client, Inner, Repository};
use crate::engine::error::{Error, Kind, Result};
use crate::engine::model::Digest;

/// The body of a blob, or a part of it. It holds one of the registry's connections until it is dropped.
pub struct BlobStream {
    /// Position of the first byte in the blob: 0 if the registry does not know ranges.
    pub start: u64,
    /// Bytes of the whole blob, if told.
    pub total: Option<u64>,
    /// The whole blob comes, whatever was asked for.
    pub whole: bool,
    answer: Answer,
    /// Bytes that are still to come, if told.
    left: Option<u64>,
    /// The mirror that it comes from, which the next one will not if this breaks.
    mirror: Option<(Arc<Inner>, String)>,
}

impl std::fmt::Debug for BlobStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlobStream")
            .field("start", &self.start)
            .field("total", &self.total)
            .finish_non_exhaustive()
    }
}

impl BlobStream {
    /// The next bytes; `None` at the end. A connection that breaks is an `Unavailable` error: what came before counts.
    ///
    /// # Errors
    /// `Unavailable`, also for a body that is shorter or longer than the registry said.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        let next = self.read().await;
        if next.is_err()
            && let Some((client, mirror)) = &self.mirror
        {
            client.http.has_failed(mirror);
        }
        next
    }

    async fn read(&mut self) -> Result<Option<Bytes>> {
        let chunk = self.answer.chunk().await?;
        let came = chunk.as_ref().map_or(0, Bytes::len) as u64;
        let wrong = match (self.left, &chunk) {
            (Some(left), None) if left > 0 => Some(format!("{left} bytes are missing")),
            (Some(left), Some(_)) if came > left => Some("more came than was said".to_owned()),
            _ => None,
        };
        if let Some(wrong) = wrong {
            let url = super::wire::shown(self.answer.url());
            return Err(Error::new(
                Kind::Unavailable,
                format!("read \"{url}\": {wrong}"),
            ));
        }
        self.left = self.left.map(|left| left - came);
        Ok(chunk)
    }
}

impl Client {
    /// Opens a file of the web: what `import` is given a URL of.
    ///
    /// # Errors
    /// `InvalidInput` for what is no URL; `NotFound`, `Unavailable`.
    pub async fn fetch(&self, url: &str) -> Result<BlobStream> {
        let url = Url::parse(url)
            .map_err(|error| Error::invalid(format!("parse URL {url:?}")).caused_by(error))?;
        let lane = url.authority().to_owned();
        let call = Call::new(Method::GET, url.clone())
            .with(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let http = &self.inner.http;
        let attempts = http.settings.patience.attempts;
        let answer = http.persist(&lane, &call, None, attempts).await?;
        let status = answer.status();
        if status != StatusCode::OK {
            let kind = if status.is_client_error() {
                Kind::NotFound
            } else {
                Kind::Unavailable
            };
            let url = super::wire::shown(&url);
            return Err(Error::new(kind, format!("Get \"{url}\": {status}")));
        }
        let total = answer.header(CONTENT_LENGTH).and_then(|n| n.parse().ok());
        Ok(BlobStream {
            start: 0,
            total,
            whole: true,
            answer,
            left: total,
            mirror: None,
        })
    }
}

impl Repository {
    /// Opens a blob at a position, up to and without `end`.
    ///
    /// # Errors
    /// `NotFound`, `Unauthorized`, `Unavailable`; `InvalidInput` for a position that the blob does not have.
    pub async fn blob(&self, digest: &Digest, start: u64, end: Option<u64>) -> Result<BlobStream> {
        for visit in self.mirrors() {
            if let Ok(stream) = self.blob_at(&visit, digest, start, end).await {
                return Ok(stream);
            }
        }
        self.blob_at(&self.origin()?, digest, start, end).await
    }

    /// Size of a blob that the repository has.
    ///
    /// # Errors
    /// As [`Self::blob`], but for `NotFound`.
    pub async fn find_blob(&self, digest: &Digest) -> Result<Option<u64>> {
        let visit = self.origin()?;
        let url = visit.endpoint.v2(&self.path(&format!("blobs/{digest}")));
        let answer = self.ask(&visit, &Call::new(Method::HEAD, url)).await?;
        let length = answer.header(CONTENT_LENGTH).and_then(|n| n.parse().ok());
        match (answer.status(), length) {
            (StatusCode::OK, Some(length)) => return Ok(Some(length)),
            (StatusCode::NOT_FOUND, _) => return Ok(None),
            _ => drop(answer),
        }
        // A HEAD that says nothing, or that a storage behind the registry refuses: the first byte says it all.
        match self.blob_at(&visit, digest, 0, Some(1)).await {
            Ok(stream) => stream.total.map(Some).ok_or_else(|| {
                let name = self.name().familiar_name();
                Error::new(
                    Kind::Unavailable,
                    format!("{name} does not say how large blob {digest} is"),
                )
            }),
            Err(error) if error.kind() == Kind::NotFound => Ok(None),
            // An empty blob has no first byte.
            Err(error) if error.kind() == Kind::InvalidInput => Ok(Some(0)),
            Err(error) => Err(error),
        }
    }

    async fn blob_at(
        &self,
        visit: &Visit<'_>,
        digest: &Digest,
        start: u64,
        end: Option<u64>,
    ) -> Result<BlobStream> {
        let url = visit.endpoint.v2(&self.path(&format!("blobs/{digest}")));
        let identity = HeaderValue::from_static("identity");
        let mut call = Call::new(Method::GET, url).with(ACCEPT_ENCODING, identity);
        if start > 0 || end.is_some() {
            let last = end.map_or(String::new(), |end| end.saturating_sub(1).to_string());
            let range = HeaderValue::try_from(format!("bytes={start}-{last}"));
            call = call.with(
                RANGE,
                range.map_err(|error| {
                    Error::new(Kind::Internal, "write a Range header").caused_by(error)
                })?,
            );
        }
        let answer = self.ask(visit, &call).await?;
        let endpoint = visit.endpoint;
        let mirror = (!endpoint.origin).then(|| (self.client.clone(), endpoint.authority.clone()));
        let length: Option<u64> = answer.header(CONTENT_LENGTH).and_then(|n| n.parse().ok());
        match answer.status() {
            StatusCode::OK => Ok(BlobStream {
                start: 0,
                total: length,
                whole: true,
                left: length,
                answer,
                mirror,
            }),
            StatusCode::PARTIAL_CONTENT => {
                let said = answer.header(CONTENT_RANGE).unwrap_or_default();
                let range = ContentRange::parse(said);
                let fits = |range: &ContentRange| {
                    range.first == start && end.is_none_or(|end| range.last < end)
                };
                let range = range.filter(fits).ok_or_else(|| {
                    Error::new(Kind::Unavailable, format!(
                        "blob {digest}: asked for the bytes from {start}, the registry sends {said:?}"
                    ))
                })?;
                Ok(BlobStream {
                    start,
                    total: range.total,
                    whole: false,
                    left: Some(range.last - range.first + 1),
                    answer,
                    mirror,
                })
            }
            StatusCode::RANGE_NOT_SATISFIABLE => Err(Error::invalid(format!(
                "blob {digest} of {} has no byte {start}",
                self.name().familiar_name()
            ))),
            StatusCode::NOT_FOUND => {
                let about = About::Repository(self.name(), "blob");
                let refused = answer::refused(answer, &about).await;
                Err(Error::not_found(format!("blob {digest}")).caused_by(refused))
            }
            _ => {
                let what = format!("get blob {digest}");
                Err(answer::refused(answer, &About::Repository(self.name(), &what)).await)
            }
        }
    }
}

/// `bytes 0-99/1000`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ContentRange {
    first: u64,
    last: u64,
    total: Option<u64>,
}

impl ContentRange {
    fn parse(text: &str) -> Option<Self> {
        let (unit, rest) = text.trim().split_once(' ')?;
        let (range, total) = rest.trim().split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        let total = match total.trim() {
            "*" => None,
            number => Some(number.parse().ok()?),
        };
        let sound = unit.eq_ignore_ascii_case("bytes")
            && first <= last
            && last < u64::MAX
            && total.is_none_or(|total| last < total);
        sound.then_some(Self { first, last, total })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_content_range_that_makes_no_sense_is_none() {
        for bad in [
            "",
            "bytes",
            "bytes 1-0/3",
            "bytes 0-3/3",
            "bytes */3",
            "bits 0-1/3",
            "bytes 0-1",
            "bytes -1-2/3",
            "bytes 0-18446744073709551615/*",
        ] {
            assert_eq!(ContentRange::parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_content_range_reads_as_it_is_written(first in 0..1000_u64, more in 0..1000_u64, rest in 0..1000_u64) {
            let (last, total) = (first + more, first + more + rest + 1);
            let read = ContentRange::parse(&format!("bytes {first}-{last}/{total}"));
            prop_assert_eq!(read, Some(ContentRange { first, last, total: Some(total) }));
            let open = ContentRange::parse(&format!("bytes {first}-{last}/*"));
            prop_assert_eq!(open, Some(ContentRange { first, last, total: None }));
        }

        #[test]
        fn no_content_range_breaks_the_reader(text in "\\PC{0,60}") {
            let _ = ContentRange::parse(&text);
        }
    }
}
