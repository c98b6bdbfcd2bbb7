//! Fetching blobs: several at a time, large ones in ranges side by side, each gone on with where a connection broke.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::try_join_all;

use super::codec;
use super::document::{self, Descriptor};
use super::ingest::Arrival;
use super::intake::{self, Intake};
use super::pace;
use super::registry::{BlobStream, Repository};
use crate::engine::error::{Error, Kind, Result};
use crate::engine::model::progress::Report;
use crate::engine::model::{Cancel, Progress};

/// Blobs up to this many bytes are fetched in one piece.
const SMALL: u64 = 32 << 20;
/// Largest piece in bytes: what is lost when a process is killed is at most what was not noted of each.
const LARGEST_PIECE: u64 = 64 << 20;
/// Ranges of one blob that are fetched side by side.
const RANGES: usize = 3;
/// Broken connections in a row, without a byte between them, before it is given up.
const PATIENCE: u32 = 5;
/// Pause after the first of them; twice as long after each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// Bytes between two reports.
const REPORT_EVERY: u64 = 256 << 10;

/// Blobs to fetch.
pub(super) struct Fetch<'a> {
    /// From where.
    pub repository: &'a Repository,
    /// What, in order.
    pub arrivals: &'a [Arc<Arrival>],
    /// Blobs at a time.
    pub side_by_side: usize,
    /// Connections in all.
    pub connections: usize,
    /// Pause after the first of several broken connections.
    pub pause: Duration,
    /// Who is told.
    pub report: Report<'a>,
    /// Who may say stop.
    pub cancel: &'a Cancel,
}

impl Fetch<'_> {
    /// Fetches all. The end of each, and an error, is told to the arrivals: the first error ends all.
    pub(super) async fn all(&self) {
        let _ending = Ending(self.arrivals);
        let mut running = futures_util::stream::iter(self.arrivals)
            .map(async |arrival| {
                let done = self.one(arrival).await;
                done.inspect_err(|error| arrival.doubt(error))
            })
            .buffer_unordered(self.side_by_side);
        let failed = loop {
            tokio::select! {
                () = cancelled(self.cancel) => break Error::new(Kind::Cancelled, "cancelled"),
                ended = running.next() => match ended {
                    None => return,
                    Some(Ok(())) => {}
                    Some(Err(error)) => break error,
                },
            }
        };
        drop(running);
        let (kind, text) = (failed.kind(), failed.to_string());
        let hint = failed.hint().map(str::to_owned);
        for arrival in self.arrivals {
            let mut error = Error::new(kind, text.clone());
            if let Some(hint) = &hint {
                error = error.with_hint(hint.clone());
            }
            arrival.fail(error);
        }
    }

    async fn one(&self, arrival: &Arrival) -> Result<()> {
        let ranges = if arrival.size > SMALL {
            RANGES.min(self.connections)
        } else {
            1
        };
        let pieces = u64::try_from(ranges.saturating_mul(4)).unwrap_or(4);
        let piece = if ranges == 1 {
            u64::MAX
        } else {
            (arrival.size / pieces)
                .next_multiple_of(intake::PIECE)
                .clamp(SMALL / 4, LARGEST_PIECE)
        };
        let mut idle = 0;
        while !arrival.is_whole() {
            let before = arrival.received();
            let state = Pieces {
                left: Mutex::new(arrival.missing(piece).into()),
                whole: AtomicBool::new(false),
                reported: AtomicU64::new(0),
            };
            try_join_all((0..ranges).map(|n| self.worker(arrival, &state, n))).await?;
            // A registry without ranges begins anew each time: as long as it comes further, that is fine.
            idle = if arrival.received() > before {
                0
            } else {
                idle + 1
            };
            if idle > PATIENCE {
                return Err(ended(arrival, arrival.received()));
            }
            if idle > 0 {
                tokio::time::sleep(self.pause * 2_u32.pow(idle - 1)).await;
            }
        }
        arrival.note();
        self.tell(arrival, "Download complete");
        Ok(())
    }

    /// Fetches pieces until none is left. One connection is enough as long as it brings more than is read.
    async fn worker(&self, arrival: &Arrival, pieces: &Pieces, number: usize) -> Result<()> {
        loop {
            while number > 0 && !pieces.is_empty() && !arrival.pace.is_starved() {
                tokio::time::sleep(pace::LOOK_AGAIN * 5).await;
            }
            let Some((start, end)) = pieces.next() else {
                return Ok(());
            };
            self.piece(arrival, pieces, start, end).await?;
        }
    }

    /// One piece, however often the connection breaks.
    async fn piece(&self, arrival: &Arrival, pieces: &Pieces, start: u64, end: u64) -> Result<()> {
        let (mut position, mut end) = (start, end);
        let mut takes_all = false;
        let mut failures = 0;
        while position < end {
            let before = position;
            let whole = position == 0 && end >= arrival.size;
            let until = (!whole && end < arrival.size).then_some(end);
            // What does not even begin has been tried often enough by the client.
            let stream = self
                .repository
                .blob(&arrival.digest, position, until)
                .await?;
            if stream.whole && !whole {
                // It does not know ranges and sends everything: one connection at a time is enough.
                if pieces.whole.swap(true, Ordering::AcqRel) && !takes_all {
                    return Ok(());
                }
                takes_all = true;
                pieces.clear();
                end = arrival.size;
            }
            let read = self.read(arrival, pieces, stream, &mut position, end);
            let Err(error) = read.await else {
                return Ok(());
            };
            arrival.note();
            if position > before {
                failures = 0;
            }
            failures += 1;
            let broken = matches!(error.kind(), Kind::Unavailable | Kind::Timeout);
            if !broken || failures > PATIENCE {
                return Err(error);
            }
            self.tell(arrival, "Retrying");
            tokio::time::sleep(self.pause * 2_u32.pow(failures - 1)).await;
        }
        Ok(())
    }

    /// Reads from one connection; `position` tells how far it came, also after an error.
    async fn read(
        &self,
        arrival: &Arrival,
        pieces: &Pieces,
        mut stream: BlobStream,
        position: &mut u64,
        end: u64,
    ) -> Result<()> {
        let mut intake = Intake::new(arrival, stream.start);
        let mut leave = pace::LONGEST_PAUSE;
        while let Some(bytes) = stream.next().await? {
            intake.take(&bytes)?;
            *position = intake.position();
            let received = arrival.received();
            if received >= pieces.reported.load(Ordering::Relaxed) + REPORT_EVERY {
                pieces.reported.store(received, Ordering::Relaxed);
                self.tell(arrival, "Downloading");
            }
            if leave > Duration::ZERO {
                leave = wanted(arrival, intake.position(), leave).await;
            }
        }
        intake.flush()?;
        if intake.position() >= end {
            return Ok(());
        }
        Err(ended(arrival, intake.position()))
    }

    fn tell(&self, arrival: &Arrival, phase: &'static str) {
        (self.report)(Progress {
            part: arrival.digest.short().to_owned(),
            phase: phase.into(),
            done: arrival.received(),
            total: Some(arrival.size),
        });
    }
}

/// Leaves a connection alone until more of the blob is wanted, or for as long as it may be: how long it may be from now on.
async fn wanted(arrival: &Arrival, position: u64, leave: Duration) -> Duration {
    let begun = Instant::now();
    while !arrival.wants(position) {
        // Closed by the registry, it would only have to be opened again.
        if begun.elapsed() >= leave {
            return Duration::ZERO;
        }
        tokio::time::sleep(pace::LOOK_AGAIN).await;
    }
    leave
}

/// However the fetching ends, by a defect too: nobody waits for more of it.
struct Ending<'a>(&'a [Arc<Arrival>]);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        for arrival in self.0 {
            // What is whole can be read all the same, and a reason that was given before stays.
            arrival.fail(Error::new(Kind::Internal, "the fetching ended early"));
        }
    }
}

fn ended(arrival: &Arrival, at: u64) -> Error {
    Error::new(
        Kind::Unavailable,
        format!(
            "blob {}: the connection ended after {at} of {} bytes",
            arrival.digest.short(),
            arrival.size
        ),
    )
}

/// What is left to fetch of one blob.
struct Pieces {
    left: Mutex<VecDeque<(u64, u64)>>,
    /// The registry sends whole blobs only, and one worker has taken it.
    whole: AtomicBool,
    reported: AtomicU64,
}

impl Pieces {
    fn next(&self) -> Option<(u64, u64)> {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.pop_front()
    }

    fn is_empty(&self) -> bool {
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.is_empty()
    }

    fn clear(&self) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.clear();
    }
}

/// A small blob, such as an image's configuration, checked against its descriptor.
///
/// # Errors
/// `InvalidInput` if it is not what its descriptor says; otherwise what the registry says.
pub(super) async fn document(repository: &Repository, descriptor: &Descriptor) -> Result<Vec<u8>> {
    let limit = u64::try_from(document::LIMIT).unwrap_or(u64::MAX);
    if descriptor.size > limit {
        return Err(Error::invalid(format!(
            "document {} has {} bytes, which is too large ({limit} are read)",
            descriptor.digest, descriptor.size
        )));
    }
    let mut failures = 0;
    loop {
        let error = match read_document(repository, descriptor).await {
            Ok(bytes) => return Ok(bytes),
            Err(error) => error,
        };
        failures += 1;
        let broken = matches!(error.kind(), Kind::Unavailable | Kind::Timeout);
        // Damaged on the way: once more, and then it is the registry's.
        let damaged = error.kind() == Kind::InvalidInput && failures <= 2;
        if !(broken && failures <= PATIENCE || damaged) {
            return Err(error);
        }
        tokio::time::sleep(FIRST_PAUSE * 2_u32.pow(failures - 1)).await;
    }
}

async fn read_document(repository: &Repository, descriptor: &Descriptor) -> Result<Vec<u8>> {
    let mut stream = repository.blob(&descriptor.digest, 0, None).await?;
    let mut bytes = Vec::new();
    while let Some(chunk) = stream.next().await? {
        bytes.extend_from_slice(&chunk);
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if length > descriptor.size {
            return Err(Error::invalid(format!(
                "document {} is longer than the {} bytes that its descriptor says",
                descriptor.digest, descriptor.size
            )));
        }
    }
    if u64::try_from(bytes.len()).is_ok_and(|length| length < descriptor.size) {
        return Err(Error::new(
            Kind::Unavailable,
            format!("document {}: the connection ended early", descriptor.digest),
        ));
    }
    let found = codec::digest_of(&bytes);
    if found == descriptor.digest {
        return Ok(bytes);
    }
    Err(Error::invalid(format!(
        "document {} has the wrong digest: its content is {found}",
        descriptor.digest
    )))
}

/// Ends when somebody asks to stop.
pub(super) async fn cancelled(cancel: &Cancel) {
    while !cancel.is_cancelled() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
