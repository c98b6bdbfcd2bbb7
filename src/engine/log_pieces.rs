//! The files that a log consists of: the current one, and those that were rotated out, which may be compressed.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::path::Path;

use super::error::{Attempt, Result};
use super::runtime::log_file::{packed, rotated};
use super::runtime::log_pack::{self, Identity};
use super::sys::memory_file;

/// Rotated files that are looked for beyond a gap: a rotation may be under way.
const GAP: u32 = 2;

/// One of them, open.
#[derive(Debug)]
pub(super) struct Piece {
    file: File,
    pub(super) identity: Identity,
    is_packed: bool,
}

impl Piece {
    /// The file's text. A compressed one is unpacked into memory when it is asked for first.
    ///
    /// # Errors
    /// What reading says; damage.
    pub(super) fn text(&mut self) -> Result<&mut File> {
        if self.is_packed {
            let mut text = memory_file::new("wharf-log")?;
            self.file
                .seek(SeekFrom::Start(0))
                .and_then(|_| log_pack::unpack(&self.file, &mut text))
                .and_then(|_| text.seek(SeekFrom::Start(0)))
                .attempt(|| "unpack a log that was rotated out")?;
            self.file = text;
            self.is_packed = false;
        }
        Ok(&mut self.file)
    }
}

/// All of a log, oldest first, each once.
///
/// # Errors
/// What the file system says.
pub(super) fn open_all(path: &Path) -> Result<Vec<Piece>> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut missing = 0;
    for age in 0.. {
        let mut found = false;
        // While one is compressed there are both, and the text is the same.
        for (name, is_packed) in [(rotated(path, age), false), (packed(path, age), true)] {
            let Some(piece) = open(&name, is_packed)? else {
                continue;
            };
            found = true;
            // A rotation between two of our steps shows one file under two names.
            if pieces.iter().all(|other| other.identity != piece.identity) {
                pieces.push(piece);
            }
        }
        missing = if found { 0 } else { missing + 1 };
        if missing >= GAP {
            break;
        }
    }
    pieces.reverse();
    Ok(pieces)
}

fn open(path: &Path, is_packed: bool) -> Result<Option<Piece>> {
    let what = || format!("open log {}", path.display());
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.attempt(what)?,
    };
    let identity = if is_packed {
        log_pack::packed_identity(&file)
    } else {
        Identity::of(&file)
    };
    Ok(Some(Piece {
        identity: identity.attempt(what)?,
        file,
        is_packed,
    }))
}
