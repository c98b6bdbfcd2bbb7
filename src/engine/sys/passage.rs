//! Long files are read from their beginning to their end a little ahead of their reader, and leave the page cache behind
//! it (posix_fadvise(2)): what is read once pushes nothing out, and asks a virtual machine's host for no new memory.

use std::fs::File;
use std::io::{self, Read};
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;

use rustix::fs::Advice;

/// Bytes that are asked for ahead of the reader.
const AHEAD: u64 = 8 << 20;
/// Bytes that are asked for, and let go of, at once.
const STEP: u64 = 1 << 20;

/// A reader of a file.
#[derive(Debug)]
pub struct Passage<'a> {
    file: &'a File,
    position: u64,
    /// Where what was not asked for begins.
    asked: u64,
    /// Where what was not let go of begins.
    left: u64,
}

impl<'a> Passage<'a> {
    /// Begins at the file's beginning, wherever others are in it.
    #[must_use]
    pub fn new(file: &'a File) -> Self {
        Self {
            file,
            position: 0,
            asked: 0,
            left: 0,
        }
    }

    /// All of it is advice: that a file system does not take it changes nothing.
    fn advise(&self, start: u64, end: u64, advice: Advice) {
        let _ = rustix::fs::fadvise(self.file, start, NonZeroU64::new(end - start), advice);
    }
}

impl Read for Passage<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let ahead = self.position.saturating_add(AHEAD);
        if ahead - self.asked >= STEP {
            self.advise(self.asked, ahead, Advice::WillNeed);
            self.asked = ahead;
        }
        let read = self.file.read_at(buffer, self.position)?;
        self.position += u64::try_from(read).unwrap_or(0);
        // What is shorter stays: it costs little, and may be wanted again.
        if self.position - self.left >= STEP {
            self.advise(self.left, self.position, Advice::DontNeed);
            self.left = self.position;
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_file_is_read_whole_in_steps_of_any_length() {
        let length = usize::try_from(3 * STEP + 5).unwrap();
        let content: Vec<u8> = (0..length)
            .map(|n| u8::try_from(n % 251).unwrap())
            .collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&content).unwrap();
        for step in [1 << 20, 70_001, 5 << 20] {
            let mut passage = Passage::new(&file);
            let (mut read, mut buffer) = (Vec::new(), vec![0; step]);
            loop {
                let part = passage.read(&mut buffer).unwrap();
                if part == 0 {
                    break;
                }
                read.extend_from_slice(&buffer[..part]);
            }
            assert!(read == content, "{step}");
        }
    }
}
