//! Long writes leave the page cache alone, so that pulling an image of gigabytes neither pushes out what the machine
//! works with nor asks a virtual machine's host for gigabytes of new memory: what was written first goes through it and
//! stays, the rest goes past it (`direct.rs`), or through it and out of it where a file system does not do that.

#![expect(unsafe_code, reason = "sync_file_range(2) has no safe wrapper")]

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::num::NonZeroU64;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::Advice;

use super::direct::{self, Piece, Pool};

/// Bytes that stay in the page cache whatever happens: a small image is run from memory right after its pull.
const WINDOW: u64 = 64 << 20;

/// Bytes of one file that are told at once; what is smaller is left to the kernel.
const PIECE: u64 = direct::PIECE as u64;

/// Bytes that are worth a way to the disk of their own.
const WORTHWHILE: usize = 64 << 10;

/// What was written lately, oldest first.
#[derive(Debug)]
pub struct Behind {
    /// Bytes that stay in the page cache.
    window: u64,
    recent: Mutex<Recent>,
    /// The file system does not write past the page cache.
    refused: AtomicBool,
    pool: Arc<Pool>,
}

#[derive(Debug, Default)]
struct Recent {
    pieces: VecDeque<Written>,
    bytes: u64,
    /// Bytes that were ever told.
    told: u64,
}

#[derive(Debug)]
struct Written {
    file: Arc<File>,
    start: u64,
    length: NonZeroU64,
}

impl Default for Behind {
    fn default() -> Self {
        Self {
            window: WINDOW,
            recent: Mutex::default(),
            refused: AtomicBool::default(),
            pool: Arc::default(),
        }
    }
}

impl Behind {
    /// One that leaves so many bytes in the page cache.
    #[cfg(test)]
    pub fn with_window(window: u64) -> Self {
        Self {
            window,
            ..Self::default()
        }
    }

    /// One whose file system refuses to write past the page cache.
    #[cfg(test)]
    pub fn refused() -> Self {
        Self {
            pool: Arc::new(Pool::crooked()),
            ..Self::with_window(0)
        }
    }

    /// Memory for a piece of what goes past the page cache; `None` as long as all goes through it.
    pub fn piece(&self) -> Option<Piece> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let long = recent.told >= self.window;
        drop(recent);
        let goes = long && !self.refused.load(Ordering::Relaxed);
        goes.then(|| self.pool.lend())
    }

    /// Memory for a piece that is read past the page cache.
    pub fn lend(&self) -> Piece {
        self.pool.lend()
    }

    /// Takes note that the file system does not write past the page cache: all goes through it from now on.
    pub fn refuse(&self) {
        self.refused.store(true, Ordering::Relaxed);
    }

    /// Takes note of `length` bytes written at `start`: the disk may begin with them (sync_file_range(2)), and when
    /// 64 MiB more have been written they leave the page cache (posix_fadvise(2), `POSIX_FADV_DONTNEED`) unless the
    /// disk is not done with them. Both are advice: that a file system does not take it changes nothing.
    pub fn wrote(&self, file: &Arc<File>, start: u64, length: u64) {
        let Some(length) = NonZeroU64::new(length) else {
            return;
        };
        begin_writing(file, start, length);
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.bytes += length.get();
        recent.told += length.get();
        recent.pieces.push_back(Written {
            file: Arc::clone(file),
            start,
            length,
        });
        let mut old = Vec::new();
        while recent.bytes > self.window
            && let Some(piece) = recent.pieces.pop_front()
        {
            recent.bytes -= piece.length.get();
            old.push(piece);
        }
        drop(recent);
        for piece in old {
            let _ = rustix::fs::fadvise(
                piece.file.as_fd(),
                piece.start,
                Some(piece.length),
                Advice::DontNeed,
            );
        }
    }

    /// Lets go of a file, and so of the lock that hangs on it (flock(2)).
    pub fn forget(&self, file: &Arc<File>) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent
            .pieces
            .retain(|piece| !Arc::ptr_eq(&piece.file, file));
        recent.bytes = recent.pieces.iter().map(|piece| piece.length.get()).sum();
    }
}

/// Writes a file from its beginning to its end and tells what lies behind.
#[derive(Debug)]
pub struct Trail<'a> {
    behind: &'a Behind,
    file: Arc<File>,
    /// Where the next byte is written.
    end: u64,
    told: u64,
    /// What comes after `end` and is to go past the page cache.
    piece: Option<Piece>,
    /// Writing goes past it now.
    direct: bool,
}

impl<'a> Trail<'a> {
    /// For a file that is empty.
    pub fn new(behind: &'a Behind, file: File) -> Self {
        Self {
            behind,
            file: Arc::new(file),
            end: 0,
            told: 0,
            piece: None,
            direct: false,
        }
    }

    /// Writes the rest, tells of it, and gives the file back.
    ///
    /// # Errors
    /// What pwrite(2) says.
    pub fn finish(mut self) -> io::Result<Arc<File>> {
        self.drain()?;
        // Small files and rests are left to the kernel: what is told of stays open for a while.
        if self.told > 0 && self.end - self.told >= length(WORTHWHILE) {
            self.tell();
        }
        Ok(self.file)
    }

    fn tell(&mut self) {
        self.behind
            .wrote(&self.file, self.told, self.end - self.told);
        self.told = self.end;
    }

    /// Writes what is in the piece: whole blocks past the page cache, the file's last bytes through it.
    fn drain(&mut self) -> io::Result<()> {
        let Some(piece) = self.piece.take() else {
            return Ok(());
        };
        let (blocks, _) = piece.blocks();
        let past = if blocks.len() >= WORTHWHILE && self.write_past(blocks)? {
            blocks.len()
        } else {
            0
        };
        self.end += length(past);
        self.told = self.end;
        let rest = piece.bytes().get(past..).unwrap_or(&[]);
        if !rest.is_empty() {
            self.end_direct()?;
            self.file.write_all_at(rest, self.end)?;
            self.end += length(rest.len());
        }
        Ok(())
    }

    fn write_past(&mut self, blocks: &[u8]) -> io::Result<bool> {
        self.direct = self.direct || direct::begin(&self.file);
        let written = self.direct && direct::write(&self.file, blocks, self.end)?;
        if !written {
            self.behind.refuse();
        }
        Ok(written)
    }

    fn end_direct(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.direct) {
            direct::end(&self.file)?;
        }
        Ok(())
    }
}

impl Write for Trail<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let into_piece = self.end % PIECE;
        if self.piece.is_none() && into_piece == 0 {
            self.piece = self.behind.piece();
        }
        if let Some(piece) = &mut self.piece {
            let taken = piece.fill(bytes);
            if piece.is_full() {
                self.drain()?;
            }
            return Ok(taken);
        }
        self.end_direct()?;
        // No further than to where the next piece begins.
        let room = usize::try_from(PIECE - into_piece).unwrap_or(usize::MAX);
        let bytes = bytes.get(..room).unwrap_or(bytes);
        let written = self.file.write_at(bytes, self.end)?;
        self.end += length(written);
        if self.end - self.told >= PIECE {
            self.tell();
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn length(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

fn begin_writing(file: &File, start: u64, length: NonZeroU64) {
    let (Ok(start), Ok(length)) = (i64::try_from(start), i64::try_from(length.get())) else {
        return;
    };
    // SAFETY: no memory is passed, and the descriptor is open.
    let _ = unsafe {
        libc::sync_file_range(file.as_raw_fd(), start, length, libc::SYNC_FILE_RANGE_WRITE)
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pages of a file that are in memory (mincore(2)).
    fn resident(file: &File, length: usize) -> usize {
        // SAFETY: a new mapping of a file that stays open; nothing reads it.
        let map = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length,
                libc::PROT_READ,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        assert_ne!(map, libc::MAP_FAILED);
        let mut pages = vec![0_u8; length.div_ceil(4096)];
        // SAFETY: one byte for each page of the mapping is there.
        let told = unsafe { libc::mincore(map, length, pages.as_mut_ptr()) };
        // SAFETY: the mapping made above, which nothing refers to.
        let unmapped = unsafe { libc::munmap(map, length) };
        assert_eq!((told, unmapped), (0, 0));
        pages.iter().filter(|page| **page & 1 == 1).count()
    }

    fn real_dir() -> tempfile::TempDir {
        // /tmp may be nothing but page cache.
        tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap()
    }

    fn new_file(dir: &tempfile::TempDir) -> File {
        let mut options = File::options();
        options.read(true).write(true).create_new(true);
        options.open(dir.path().join("written")).unwrap()
    }

    fn content(length: usize) -> Vec<u8> {
        (0..length)
            .map(|n| u8::try_from(n % 251).unwrap())
            .collect()
    }

    /// Has a file written until as many of its pages are in memory as there should be: the kernel may take some of them
    /// at any time, but never gives any.
    fn stay(pages: usize, what: &str, write: impl Fn() -> usize) {
        let found: Vec<usize> = (0..5)
            .map(|_| write())
            .inspect(|&found| assert!(found <= pages, "{what}: {found}, not {pages}"))
            .take_while(|&found| found < pages)
            .collect();
        assert!(found.len() < 5, "{what}: {found:?}, never {pages}");
    }

    /// Writes a file in chunks of 100,000 bytes and counts its pages that are in memory afterwards.
    fn check(behind: impl Fn() -> Behind, length: usize, pages: usize) {
        let content = content(length);
        stay(pages, &format!("{length} bytes"), || {
            let (behind, dir) = (behind(), real_dir());
            let mut trail = Trail::new(&behind, new_file(&dir));
            for chunk in content.chunks(100_000) {
                trail.write_all(chunk).unwrap();
            }
            let file = trail.finish().unwrap();
            let found = if length > 0 {
                resident(&file, length)
            } else {
                0
            };
            let read = std::fs::read(dir.path().join("written")).unwrap();
            assert!(read == content, "{length} bytes");
            found
        });
    }

    #[test]
    fn a_long_write_goes_past_the_page_cache_but_for_the_last_bytes() {
        let (block, piece) = (direct::BLOCK, direct::PIECE);
        for (length, pages) in [
            (0, 0),
            (1, 1),
            (WORTHWHILE - 1, 16),
            (WORTHWHILE, 0),
            (WORTHWHILE + 1, 1),
            (piece - 1, 1),
            (piece, 0),
            (piece + 1, 1),
            (piece + block, 1),
            (piece + WORTHWHILE + block - 1, 1),
            (3 * piece + 2 * block, 2),
        ] {
            check(|| Behind::with_window(0), length, pages);
        }
    }

    #[test]
    fn what_is_written_first_stays_in_the_page_cache() {
        let piece = direct::PIECE;
        check(|| Behind::with_window(2 * PIECE), 2 * piece, 512);
        check(|| Behind::with_window(2 * PIECE), 5 * piece + 1, 513);
    }

    #[test]
    fn a_file_system_that_refuses_has_all_in_the_page_cache() {
        let behind = Behind::refused();
        let length = 2 * direct::PIECE + 1;
        let dir = real_dir();
        let mut trail = Trail::new(&behind, new_file(&dir));
        trail.write_all(&content(length)).unwrap();
        trail.finish().unwrap();
        let read = std::fs::read(dir.path().join("written")).unwrap();
        assert!(read == content(length));
        assert!(behind.piece().is_none(), "it is asked once");
    }

    #[test]
    fn what_lies_far_behind_leaves_the_page_cache_and_what_is_near_stays() {
        let pieces = WINDOW / PIECE + 8;
        let near = usize::try_from(WINDOW / 4096).unwrap();
        stay(near, "a window and 8 pieces", || {
            let dir = real_dir();
            let file = Arc::new(new_file(&dir));
            let behind = Behind::default();
            let piece = vec![7_u8; direct::PIECE];
            for n in 0..pieces {
                file.write_all_at(&piece, n * PIECE).unwrap();
                if n == 7 {
                    // The test may not depend on how fast the disk is.
                    file.sync_data().unwrap();
                }
                behind.wrote(&file, n * PIECE, PIECE);
            }
            resident(&file, usize::try_from(pieces * PIECE).unwrap())
        });
    }
}
