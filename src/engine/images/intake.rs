//! Bytes of a blob as a connection brings them. Those of a long download are collected in pieces, which go past the page
//! cache; what is there is written all the same when the connection ends, or brings little for a while.

use std::time::{Duration, Instant};

use super::ingest::{Arrival, NOTE_AFTER};
use crate::engine::error::Result;
use crate::engine::sys::direct::{self, Piece};

/// Bytes of a piece. A range that starts at a multiple of it costs least.
pub(super) const PIECE: u64 = direct::PIECE as u64;

/// Takes bytes one after another, from one position on. Dropped, it writes what it has: a pull that was interrupted
/// goes on from there.
#[derive(Debug)]
pub(super) struct Intake<'a> {
    arrival: &'a Arrival,
    /// Where the next byte belongs.
    position: u64,
    collected: Option<Collected>,
    /// How long a byte waits for those behind it.
    patience: Duration,
}

#[derive(Debug)]
struct Collected {
    piece: Piece,
    start: u64,
    since: Instant,
}

impl<'a> Intake<'a> {
    pub(super) fn new(arrival: &'a Arrival, position: u64) -> Self {
        Self {
            arrival,
            position,
            collected: None,
            patience: NOTE_AFTER,
        }
    }

    /// Where the next byte belongs.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// As [`Arrival::put`]; what was collected before may be lost then.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<()> {
        self.arrival.check_end(self.position, bytes)?;
        let mut bytes = bytes;
        while !bytes.is_empty() {
            let taken = self.step(bytes)?;
            bytes = bytes.get(taken..).unwrap_or(&[]);
        }
        Ok(())
    }

    /// Takes some of the bytes, at most to the end of a piece: how many.
    fn step(&mut self, bytes: &[u8]) -> Result<usize> {
        let into_piece = self.position % PIECE;
        if self.collected.is_none() && into_piece == 0 {
            self.collected = self.arrival.behind.piece().map(|piece| Collected {
                piece,
                start: self.position,
                since: Instant::now(),
            });
        }
        let Some(collected) = &mut self.collected else {
            let room = usize::try_from(PIECE - into_piece).unwrap_or(usize::MAX);
            let bytes = bytes.get(..room).unwrap_or(bytes);
            self.arrival.put(self.position, bytes)?;
            self.position += u64::try_from(bytes.len()).unwrap_or(0);
            return Ok(bytes.len());
        };
        let taken = collected.piece.fill(bytes);
        self.position += u64::try_from(taken).unwrap_or(0);
        if collected.piece.is_full() || self.position == self.arrival.size {
            if let Some(Collected { piece, start, .. }) = self.collected.take() {
                self.arrival.put_piece(start, piece)?;
            }
        } else if collected.since.elapsed() >= self.patience {
            self.flush()?;
        }
        Ok(taken)
    }

    /// Writes what is there. The rest of its piece goes through the page cache.
    ///
    /// # Errors
    /// As [`Arrival::put`].
    pub(super) fn flush(&mut self) -> Result<()> {
        match self.collected.take() {
            Some(Collected { piece, start, .. }) => self.arrival.put(start, piece.bytes()),
            None => Ok(()),
        }
    }
}

impl Drop for Intake<'_> {
    fn drop(&mut self) {
        // What cannot be written is fetched again.
        let _ = self.flush();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::sync::Arc;

    use super::super::codec;
    use super::super::ingest::{Ingest, Reader};
    use super::super::pace;
    use super::*;
    use crate::engine::store::Roots;
    use crate::engine::sys::behind::Behind;

    fn claim(dir: &tempfile::TempDir, behind: Behind, content: &[u8]) -> Arc<Arrival> {
        let roots = Roots {
            data: dir.path().to_owned(),
            run: dir.path().to_owned(),
        };
        let mut ingest = Ingest::open(&roots).unwrap();
        ingest.behind = Arc::new(behind);
        let size = u64::try_from(content.len()).unwrap();
        let claimed = ingest.claim(&codec::digest_of(content), size).unwrap();
        Arc::new(claimed.unwrap())
    }

    fn real_dir() -> tempfile::TempDir {
        // /tmp may be nothing but page cache.
        tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap()
    }

    fn content(length: u64) -> Vec<u8> {
        (0..length)
            .map(|n| u8::try_from(n % 251).unwrap())
            .collect()
    }

    fn bring(intake: &mut Intake<'_>, bytes: &[u8]) {
        for chunk in bytes.chunks(300_007) {
            intake.take(chunk).unwrap();
        }
        assert!(intake.take(&[]).is_ok());
    }

    fn at(bytes: &[u8], position: u64) -> &[u8] {
        &bytes[usize::try_from(position).unwrap()..]
    }

    /// Brings a blob while it is read: it must come out as it went in.
    fn check(behind: Behind, length: u64) -> Arc<Arrival> {
        let dir = real_dir();
        let content = content(length);
        let arrival = claim(&dir, behind, &content);
        std::thread::scope(|scope| {
            let reading = scope.spawn(|| {
                let mut read = Vec::new();
                let mut reader = Reader::new(Arc::clone(&arrival));
                reader.read_to_end(&mut read).map(|_| read)
            });
            bring(&mut Intake::new(&arrival, 0), &content);
            let read = reading.join().unwrap().unwrap();
            assert!(read == content, "{length} bytes");
        });
        assert!(arrival.is_verified() && arrival.is_whole());
        arrival
    }

    #[test]
    fn a_blob_of_any_length_is_read_as_it_came() {
        for length in [
            1,
            4095,
            4096,
            4097,
            PIECE - 1,
            PIECE,
            PIECE + 1,
            3 * PIECE + 4096,
            3 * PIECE + 5000,
        ] {
            let arrival = check(Behind::with_window(0), length);
            let blocks = length - length % 4096;
            assert_eq!(arrival.past_the_cache(), blocks, "{length} bytes");
        }
        let arrival = check(Behind::with_window(PIECE), 9 * PIECE + 1);
        let past = arrival.past_the_cache();
        assert!((1..9 * PIECE).contains(&past), "{past}");
    }

    #[test]
    fn what_is_read_soon_is_handed_over_in_memory() {
        let dir = real_dir();
        let length = pace::AHEAD + 2 * PIECE;
        let content = content(length);
        let arrival = claim(&dir, Behind::with_window(0), &content);
        bring(&mut Intake::new(&arrival, 0), &content);
        // What is on the disk now is nothing.
        arrival.discard().unwrap();
        let mut reader = Reader::new(Arc::clone(&arrival));
        let mut read = Vec::new();
        let there = reader.by_ref().take(pace::AHEAD).read_to_end(&mut read);
        assert_eq!(there.unwrap(), usize::try_from(pace::AHEAD).unwrap());
        assert!(content.starts_with(&read));
        // What came further ahead was not kept.
        assert!(reader.read(&mut [0]).is_err());
    }

    #[test]
    fn a_file_system_that_refuses_gets_all_the_usual_way() {
        assert_eq!(check(Behind::refused(), 3 * PIECE + 1).past_the_cache(), 0);
    }

    #[test]
    fn ranges_side_by_side_begin_and_end_anywhere() {
        let dir = real_dir();
        let content = content(5 * PIECE + 77);
        let arrival = claim(&dir, Behind::with_window(0), &content);
        let middle = 2 * PIECE + 1000;
        let mut first = Intake::new(&arrival, 0);
        let mut second = Intake::new(&arrival, middle);
        bring(&mut second, at(&content, middle));
        let until = usize::try_from(middle).unwrap();
        bring(&mut first, &content[..until]);
        first.flush().unwrap();
        assert_eq!(arrival.past_the_cache(), 4 * PIECE);
        arrival.verify().unwrap();
        assert!(arrival.is_whole());
    }

    #[test]
    fn what_came_before_the_end_is_gone_on_with() {
        let dir = real_dir();
        let content = content(3 * PIECE + 5);
        let arrival = claim(&dir, Behind::with_window(0), &content);
        bring(&mut Intake::new(&arrival, 0), &content[..1_500_000]);
        assert_eq!(arrival.received(), 1_500_000);
        drop(arrival);
        let arrival = claim(&dir, Behind::with_window(0), &content);
        assert_eq!(arrival.missing(u64::MAX), [(1_500_000, 3 * PIECE + 5)]);
        bring(
            &mut Intake::new(&arrival, 1_500_000),
            at(&content, 1_500_000),
        );
        arrival.verify().unwrap();
    }

    #[test]
    fn what_comes_slowly_does_not_wait_for_a_whole_piece() {
        let dir = real_dir();
        let content = content(PIECE + 10);
        let arrival = claim(&dir, Behind::with_window(0), &content);
        let mut intake = Intake::new(&arrival, 0);
        intake.patience = Duration::ZERO;
        intake.take(&content[..100]).unwrap();
        assert_eq!(arrival.received(), 100);
        bring(&mut intake, &content[100..]);
        arrival.verify().unwrap();
    }

    #[test]
    fn more_than_the_blob_is_refused_and_what_it_has_is_kept() {
        let dir = real_dir();
        let arrival = claim(&dir, Behind::with_window(0), b"0123456789");
        let mut intake = Intake::new(&arrival, 0);
        intake.take(b"01234567").unwrap();
        assert!(intake.take(b"8901").is_err());
        drop(intake);
        assert_eq!(arrival.received(), 8);
    }
}
