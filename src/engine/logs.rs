//! Reads a container's json-file log: tail, time window, follow across rotation.

use crate::engine::error::Result;
use crate::engine::model::{Cancel, Timestamp};

/// Which stream a log line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// One entry: usually one line with its newline; a long line comes in parts of 16 KiB, only the last has the newline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When the monitor read it.
    pub time: Timestamp,
    /// Which stream.
    pub stream: Stream,
    /// Bytes as the process wrote them (invalid UTF-8 was replaced when it was stored, as Docker does).
    pub text: Vec<u8>,
}

/// A log being read, oldest entry first.
#[derive(Debug)]
pub struct LogReader {
    _private: (),
}

impl LogReader {
    /// The next entry; blocks while following; `None` at the end, or when cancelled (within 0.1 s).
    ///
    /// # Errors
    /// What the file system says.
    pub fn next(&mut self, _cancel: &Cancel) -> Result<Option<Entry>> {
        Ok(None)
    }
}
