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

/// Looks at a log that is rotated at each of them: more are a writer that nobody can follow.
const LOOKS: u32 = 100;

/// All of a log, oldest first, each once.
///
/// # Errors
/// What the file system says.
pub(super) fn open_all(path: &Path) -> Result<Vec<Piece>> {
    let mut pieces = open_once(path)?;
    for _ in 1..LOOKS {
        let newest = pieces.last().map(|piece| piece.identity);
        if newest == open(path, false)?.map(|piece| piece.identity) {
            break;
        }
        // Two rotations meanwhile put a newer file behind an older one, or make a gap that is wider than one step.
        pieces = open_once(path)?;
    }
    Ok(pieces)
}

fn open_once(path: &Path) -> Result<Vec<Piece>> {
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read as _;
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    const KEPT: u32 = 12;

    /// As `LogFile` does it, with files that say which they are.
    fn rotate(path: &Path, number: u64) {
        for age in (0..KEPT - 1).rev() {
            let _ = fs::rename(rotated(path, age), rotated(path, age + 1));
        }
        fs::write(path, number.to_string()).unwrap();
    }

    #[test]
    fn a_log_that_is_rotated_again_and_again_is_opened_in_order_and_without_a_gap() {
        let dir = tempfile::tempdir().unwrap();
        let path = &dir.path().join("container.log");
        rotate(path, 0);
        let (over, is_over) = mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for number in 1.. {
                    rotate(path, number);
                    // Some at once, then time to look, also for who shares its processor with other tests.
                    if !u64::is_multiple_of(number, 4) {
                        continue;
                    }
                    let pause = Duration::from_millis(2);
                    if is_over.recv_timeout(pause) != Err(mpsc::RecvTimeoutError::Timeout) {
                        break;
                    }
                }
            });
            let looked = (0..2_000).find_map(|_| {
                let mut numbers: Vec<u64> = Vec::new();
                for piece in &mut open_all(path).unwrap() {
                    let mut text = String::new();
                    piece.text().unwrap().read_to_string(&mut text).unwrap();
                    // One that was made and not written yet.
                    numbers.extend(text.parse::<u64>());
                }
                let whole = numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]);
                (!whole).then_some(numbers)
            });
            over.send(()).unwrap();
            assert_eq!(looked, None);
        });
    }
}
