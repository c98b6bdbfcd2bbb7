//! Lets go of the page cache behind a long write, so that pulling an image of gigabytes neither pushes out what the
//! machine works with nor asks a virtual machine's host for gigabytes of new memory.

#![expect(unsafe_code, reason = "sync_file_range(2) has no safe wrapper")]

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::num::NonZeroU64;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::Advice;

/// Bytes that stay in the page cache whatever happens: a small image is run from memory right after its pull.
const WINDOW: u64 = 64 << 20;

/// Bytes of one file that are told at once; what is smaller is left to the kernel.
pub const PIECE: u64 = 1 << 20;

/// What was written lately, oldest first.
#[derive(Debug, Default)]
pub struct Behind {
    recent: Mutex<Recent>,
}

#[derive(Debug, Default)]
struct Recent {
    pieces: VecDeque<Piece>,
    bytes: u64,
}

#[derive(Debug)]
struct Piece {
    file: Arc<File>,
    start: u64,
    length: NonZeroU64,
}

impl Behind {
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
        recent.pieces.push_back(Piece {
            file: Arc::clone(file),
            start,
            length,
        });
        let mut old = Vec::new();
        while recent.bytes > WINDOW
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
    end: u64,
    told: u64,
}

impl<'a> Trail<'a> {
    /// For a file that is empty.
    pub fn new(behind: &'a Behind, file: File) -> Self {
        Self {
            behind,
            file: Arc::new(file),
            end: 0,
            told: 0,
        }
    }

    /// Tells of the end too, and gives the file back.
    #[must_use]
    pub fn finish(self) -> Arc<File> {
        // Small files are left to the kernel.
        if self.told > 0 {
            self.behind
                .wrote(&self.file, self.told, self.end - self.told);
        }
        self.file
    }
}

impl Write for Trail<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.as_ref().write(bytes)?;
        self.end += u64::try_from(written).unwrap_or(0);
        if self.end - self.told >= PIECE {
            self.behind
                .wrote(&self.file, self.told, self.end - self.told);
            self.told = self.end;
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
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
    use std::os::unix::fs::FileExt;

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

    #[test]
    fn what_lies_far_behind_leaves_the_page_cache_and_what_is_near_stays() {
        let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let file = Arc::new(
            File::options()
                .read(true)
                .write(true)
                .create_new(true)
                .open(dir.path().join("written"))
                .unwrap(),
        );
        let behind = Behind::default();
        let piece = vec![7_u8; usize::try_from(PIECE).unwrap()];
        let pieces = WINDOW / PIECE + 8;
        for n in 0..pieces {
            file.write_all_at(&piece, n * PIECE).unwrap();
            if n == 7 {
                // The test may not depend on how fast the disk is.
                file.sync_data().unwrap();
            }
            behind.wrote(&file, n * PIECE, PIECE);
        }
        let length = usize::try_from(pieces * PIECE).unwrap();
        let near = usize::try_from(WINDOW / 4096).unwrap();
        assert_eq!(resident(&file, length), near);
    }
}
