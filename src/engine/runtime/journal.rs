//! Appends to the event journal. Reading and following it is `engine::events`.
//!
//! One JSON line for each event. A journal of more than 4 MiB becomes `….1` and a new one begins, so that there are never
//! more than two files. Writers hold the file's shared flock(2) while they append, and whoever rotates holds it alone:
//! nothing is ever appended to a file that was rotated out, so that a follower who has read it to its end has missed
//! nothing.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::engine::error::{Attempt, Error, Kind, Result};
use crate::engine::model::Event;
use crate::engine::sys::file::{self, LockKind};

/// The journal is rotated when it is longer than this many bytes.
pub const LIMIT: u64 = 4 << 20;

/// The journal before the current one.
#[must_use]
pub fn previous(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    PathBuf::from(name)
}

/// Appends an event with one write(2). The file is made if it is missing, its directory is not. Not synced: the run root
/// does not survive a reboot.
///
/// # Errors
/// What the file system says; the event is then not there, and nothing else is harmed.
pub fn append(path: &Path, event: &Event) -> Result<()> {
    append_limited(path, event, LIMIT)
}

fn append_limited(path: &Path, event: &Event, limit: u64) -> Result<()> {
    let what = || format!("append to {}", path.display());
    let mut line = serde_json::to_vec(event)
        .map_err(|error| Error::new(Kind::Internal, "encode event").caused_by(error))?;
    line.push(b'\n');
    loop {
        let Some(mut file) = open_current(path, LockKind::Shared).attempt(what)? else {
            continue;
        };
        file.write_all(&line).attempt(what)?;
        let length = file.metadata().attempt(what)?.len();
        drop(file);
        if length > limit {
            rotate(path, limit).attempt(what)?;
        }
        return Ok(());
    }
}

fn rotate(path: &Path, limit: u64) -> io::Result<()> {
    let Some(file) = open_current(path, LockKind::Alone)? else {
        // Somebody else did it.
        return Ok(());
    };
    if file.metadata()?.len() > limit {
        fs::rename(path, previous(path))?;
    }
    Ok(())
}

/// The locked journal; `None` if it was rotated out while we waited for the lock.
fn open_current(path: &Path, lock: LockKind) -> io::Result<Option<File>> {
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)?;
    file::lock_open(&file, lock)?;
    let own = file.metadata()?;
    match fs::metadata(path) {
        Ok(now) if (now.dev(), now.ino()) == (own.dev(), own.ino()) => Ok(Some(file)),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::model::Timestamp;
    use crate::engine::model::event;

    #[test]
    fn many_writers_and_rotations_lose_no_line_of_the_last_two_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.jsonl");
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let path = &path;
                scope.spawn(move || {
                    for number in 0..500 {
                        let event = Event {
                            time: Timestamp::from_second(number).unwrap(),
                            kind: event::Kind::Container,
                            action: "start".to_owned(),
                            id: format!("{writer}"),
                            attributes: std::collections::BTreeMap::new(),
                        };
                        append_limited(path, &event, 20_000).unwrap();
                    }
                });
            }
        });
        let mut last = [-1; 4];
        let mut count = 0;
        for file in [previous(&path), path.clone()] {
            let text = fs::read_to_string(file).unwrap();
            assert!(text.len() < 21_000);
            for line in text.lines() {
                let event: Event = serde_json::from_str(line).unwrap();
                let writer: usize = event.id.parse().unwrap();
                let number = event.time.as_second();
                assert!(last[writer] == -1 || last[writer] + 1 == number);
                last[writer] = number;
                count += 1;
            }
        }
        assert!(last.contains(&499));
        assert!(count > 100);
    }
}
