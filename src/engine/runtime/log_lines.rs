//! Cuts what a process writes into entries: lines, and long lines into parts of 16 KiB. Pure.

use super::log_file::Stream;

/// A longer line is stored in parts of this many bytes.
pub(super) const PART: usize = 16 * 1024;

/// How an entry ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// With the newline, which is part of the text.
    Line,
    /// In the middle of a line, whose rest comes with the next entry of the stream.
    Part,
    /// With the stream, without a newline.
    Stream,
}

/// The beginnings of lines that have no end yet.
#[derive(Debug, Default)]
pub(super) struct Lines {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Lines {
    /// Takes what was read from a stream; hands on every entry that is complete.
    pub(super) fn add(&mut self, stream: Stream, bytes: &[u8], entry: &mut dyn FnMut(&[u8], End)) {
        let mut pending = std::mem::take(self.pending(stream));
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            add_piece(&mut pending, piece, entry);
        }
        *self.pending(stream) = pending;
    }

    /// The streams are at their end: what has no newline is complete, too.
    pub(super) fn end(&mut self, entry: &mut dyn FnMut(Stream, &[u8])) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let pending = std::mem::take(self.pending(stream));
            if !pending.is_empty() {
                entry(stream, &pending);
            }
        }
    }

    /// Bytes of memory that the beginnings take.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.stdout.capacity() + self.stderr.capacity()
    }

    fn pending(&mut self, stream: Stream) -> &mut Vec<u8> {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }
}

/// `piece` has at most one newline, at its end.
fn add_piece(pending: &mut Vec<u8>, mut piece: &[u8], entry: &mut dyn FnMut(&[u8], End)) {
    loop {
        let room = PART - pending.len();
        let whole = piece.ends_with(b"\n") && piece.len() <= room;
        if whole && pending.is_empty() {
            return entry(piece, End::Line);
        }
        if whole {
            pending.extend_from_slice(piece);
            entry(pending, End::Line);
            pending.clear();
            return;
        }
        if piece.len() < room {
            pending.extend_from_slice(piece);
            return;
        }
        let (now, later) = piece.split_at(room);
        pending.extend_from_slice(now);
        let cut = character_boundary(pending);
        let rest = pending.split_off(cut);
        entry(pending, End::Part);
        *pending = rest;
        piece = later;
    }
}

/// The largest length up to `bytes.len()` that does not cut a UTF-8 sequence in two.
fn character_boundary(bytes: &[u8]) -> usize {
    let tail = bytes.len().saturating_sub(3)..bytes.len();
    for at in tail.rev() {
        let Some(&byte) = bytes.get(at) else { continue };
        let needs = match byte {
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            0x80..=0xbf => continue,
            _ => break,
        };
        return if at + needs > bytes.len() {
            at
        } else {
            bytes.len()
        };
    }
    bytes.len()
}
