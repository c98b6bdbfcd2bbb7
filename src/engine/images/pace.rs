//! How far a blob's fetching runs ahead of its unpacking: as long as the network is what a pull waits for, as far as it
//! comes; otherwise a few pieces, which are handed over in memory, so that nothing is read from the disk again.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::intake::PIECE;

/// Bytes that are fetched ahead of the reader while reading is slower.
pub(super) const AHEAD: u64 = 8 * PIECE;
/// What is looked at to tell who waits for whom.
const SPAN: Duration = Duration::from_millis(200);
/// Between two looks at how far the reader has come.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(2);
/// How long a connection is left alone at most: registries close those that take nothing.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Who waits for whom in one pull.
#[derive(Debug)]
pub(super) struct Pace {
    readers: AtomicUsize,
    span: Mutex<Span>,
}

#[derive(Debug)]
struct Span {
    since: Instant,
    /// What readers have waited for bytes, taken together.
    waited: Duration,
    /// What the last whole span showed.
    starved: bool,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            readers: AtomicUsize::new(0),
            span: Mutex::new(Span {
                since: Instant::now(),
                waited: Duration::ZERO,
                starved: false,
            }),
        }
    }
}

impl Pace {
    /// One that has made up its mind.
    #[cfg(test)]
    pub(super) fn decided(starved: bool) -> Self {
        let pace = Self::default();
        // The span never ends.
        pace.lock().since += Duration::from_secs(1 << 20);
        pace.lock().starved = starved;
        pace
    }

    /// A reader begins.
    pub(super) fn joined(&self) {
        self.readers.fetch_add(1, Ordering::Relaxed);
    }

    /// A reader ends.
    pub(super) fn left(&self) {
        self.readers.fetch_sub(1, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Span> {
        self.span.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note that a reader has waited so long for bytes.
    pub(super) fn waited(&self, time: Duration) {
        self.lock().waited += time;
    }

    /// Nobody reads, or all that readers do is wait for the network: fetch what can be had.
    pub(super) fn is_starved(&self) -> bool {
        self.readers.load(Ordering::Relaxed) == 0 || self.lock().is_starved(Instant::now())
    }
}

impl Span {
    fn is_starved(&mut self, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.since);
        if elapsed >= SPAN {
            self.starved = self.waited * 4 > elapsed;
            self.waited = Duration::ZERO;
            self.since = now;
        }
        self.starved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_for_whom_is_told_by_the_last_span() {
        let since = Instant::now();
        let mut span = Span {
            since,
            waited: SPAN / 2,
            starved: false,
        };
        assert!(!span.is_starved(since + SPAN / 2), "not yet");
        assert!(span.is_starved(since + SPAN), "half of it was waiting");
        span.waited = SPAN / 8;
        assert!(span.is_starved(since + SPAN * 3 / 2), "not yet");
        assert!(!span.is_starved(since + SPAN * 2), "an eighth");
    }
}
