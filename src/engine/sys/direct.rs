//! Files past the page cache (open(2), `O_DIRECT`), in pieces whose memory is used again and again: for what is so long
//! that memory for it is better left to others. A file system may refuse at any time (`EINVAL`); who asks does it the
//! usual way then.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{Mode, OFlags};

/// Bytes of a piece.
pub const PIECE: usize = 1 << 20;

/// What position, length and memory must be multiples of. Disks ask for 512 or 4096 (statx(2), `stx_dio_offset_align`).
pub const BLOCK: usize = 4096;

/// Memory for pieces that was given back. There is never more of it than was lent at one time.
#[derive(Debug, Default)]
pub struct Pool {
    spare: Mutex<Vec<Buffer>>,
}

/// A piece of a file in memory, at most [`PIECE`] bytes; dropped, its memory goes back to the pool.
#[derive(Debug)]
pub struct Piece {
    buffer: Buffer,
    filled: usize,
    pool: Arc<Pool>,
}

#[derive(Debug, Default)]
struct Buffer {
    store: Vec<u8>,
    /// Where the first block in it starts.
    start: usize,
}

impl Buffer {
    fn aligned() -> Self {
        let store = vec![0; PIECE + BLOCK];
        let start = store.as_ptr().align_offset(BLOCK);
        Self { store, start }
    }
}

impl Pool {
    /// An empty piece.
    pub fn lend(self: &Arc<Self>) -> Piece {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let buffer = spare.pop().unwrap_or_else(Buffer::aligned);
        Piece {
            buffer,
            filled: 0,
            pool: Arc::clone(self),
        }
    }

    /// One whose first piece is where no disk takes it.
    #[cfg(test)]
    pub fn crooked() -> Self {
        let mut buffer = Buffer::aligned();
        buffer.start = if buffer.start == 0 {
            1
        } else {
            buffer.start - 1
        };
        Self {
            spare: Mutex::new(vec![buffer]),
        }
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        let mut spare = self
            .pool
            .spare
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        spare.push(buffer);
    }
}

impl Piece {
    /// What is in it.
    pub fn bytes(&self) -> &[u8] {
        let start = self.buffer.start;
        let filled = self.buffer.store.get(start..start + self.filled);
        filled.unwrap_or(&[])
    }

    /// Its bytes in whole blocks, and the rest.
    pub fn blocks(&self) -> (&[u8], &[u8]) {
        self.bytes().split_at(self.filled - self.filled % BLOCK)
    }

    fn room(&mut self) -> &mut [u8] {
        let end = self.buffer.start + PIECE;
        let taken = self.buffer.start + self.filled;
        self.buffer.store.get_mut(taken..end).unwrap_or(&mut [])
    }

    /// Takes as many of the bytes as there is room for; says how many.
    pub fn fill(&mut self, bytes: &[u8]) -> usize {
        // Writing to memory does not fail.
        let taken = self.room().write(bytes).unwrap_or(0);
        self.filled += taken;
        taken
    }

    /// No room is left.
    pub fn is_full(&self) -> bool {
        self.filled == PIECE
    }

    /// Forgets what is in it behind `length` bytes.
    pub fn truncate(&mut self, length: usize) {
        self.filled = self.filled.min(length);
    }

    /// Takes what a file has at a position, a multiple of [`BLOCK`], instead of what is in it: fewer than [`PIECE`]
    /// bytes only at the end.
    ///
    /// # Errors
    /// What pread(2) says.
    pub fn read_from(&mut self, file: &File, position: u64) -> io::Result<()> {
        self.filled = 0;
        self.filled = file.read_at(self.room(), position)?;
        Ok(())
    }
}

/// Opens a file that is open for reading and writing once more, past the page cache; `None` if its file system refuses.
pub fn reopen(file: &File) -> Option<File> {
    // The name may be another file's by now (proc(5), `fd/`).
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let flags = OFlags::RDWR | OFlags::DIRECT | OFlags::CLOEXEC;
    let opened = rustix::fs::open(path, flags, Mode::empty());
    opened.ok().map(File::from)
}

/// Has reading and writing of an open file go past the page cache from now on; `false` if its file system refuses.
pub fn begin(file: &File) -> bool {
    rustix::fs::fcntl_setfl(file, OFlags::DIRECT).is_ok()
}

/// Ends it.
///
/// # Errors
/// What fcntl(2) says.
pub fn end(file: &File) -> io::Result<()> {
    Ok(rustix::fs::fcntl_setfl(file, OFlags::empty())?)
}

/// Writes whole blocks at a position that is a multiple of [`BLOCK`]; `false` if the file system refuses, with any part
/// of them written.
///
/// # Errors
/// What pwrite(2) says otherwise.
pub fn write(file: &File, blocks: &[u8], position: u64) -> io::Result<bool> {
    match file.write_all_at(blocks, position) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_was_given_back_is_lent_again() {
        let pool = Arc::new(Pool::default());
        let first = pool.lend();
        let address = first.bytes().as_ptr();
        assert_eq!(address.align_offset(BLOCK), 0);
        let second = pool.lend();
        assert_ne!(second.bytes().as_ptr(), address);
        drop(first);
        // Memory that went back to the allocator instead is taken by another.
        let _other = Arc::new(Pool::default()).lend();
        assert_eq!(pool.lend().bytes().as_ptr(), address);
    }

    #[test]
    fn a_piece_takes_no_more_than_there_is_room_for() {
        let mut piece = Arc::new(Pool::default()).lend();
        assert_eq!(piece.fill(&vec![1; PIECE - 3]), PIECE - 3);
        let (blocks, rest) = piece.blocks();
        assert_eq!((blocks.len(), rest.len()), (PIECE - BLOCK, BLOCK - 3));
        assert_eq!(piece.fill(&[2, 3, 4, 5]), 3);
        assert!(piece.is_full());
        assert_eq!(piece.bytes().get(PIECE - 4..), Some(&[1, 2, 3, 4][..]));
        assert_eq!(piece.fill(&[5]), 0);
    }
}
