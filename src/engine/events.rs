//! The event journal: appended by every process of wharf (`runtime::journal`), read and followed here with inotify.
//!
//! A line that is not an event (a later version's, say) is passed over.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::engine::error::{Attempt, Result};
use crate::engine::model::{Cancel, Event, Timestamp};
pub use crate::engine::runtime::journal::append;
use crate::engine::runtime::journal::previous;
use crate::engine::sys::inotify::Watch;

/// How soon a follower notices that it was cancelled.
const NOTICE: Duration = Duration::from_millis(80);
/// Between two looks at the journal without notice.
const LOOK: Duration = Duration::from_secs(2);

/// Follows the journal.
#[derive(Debug)]
pub struct EventReader {
    path: PathBuf,
    watch: Watch,
    current: Option<File>,
    /// The beginning of a line whose end has not come.
    partial: Vec<u8>,
    /// Events of the past that were asked for.
    past: Vec<Event>,
}

/// The events that the journal still has, oldest first: not before `since`, not after `until`.
///
/// # Errors
/// What the file system says; a journal that is not there is empty, but its directory must exist.
pub fn read(path: &Path, since: Option<Timestamp>, until: Option<Timestamp>) -> Result<Vec<Event>> {
    let mut events = follow(path, Some(since.unwrap_or(Timestamp::MIN)))?.past;
    events.retain(|event| until.is_none_or(|until| event.time <= until));
    Ok(events)
}

/// Follows the journal: first what it still has not before `since` (nothing if `None`), then what comes.
///
/// # Errors
/// What the file system says: the journal's directory must exist. The limit of inotify(7).
pub fn follow(path: &Path, since: Option<Timestamp>) -> Result<EventReader> {
    let watch = Watch::new()?;
    if let Some(directory) = path.parent() {
        watch.directory(directory)?;
    }
    let mut reader = EventReader {
        path: path.to_owned(),
        watch,
        current: open_optional(path)?,
        partial: Vec::new(),
        past: Vec::new(),
    };
    match (since, &mut reader.current) {
        (Some(since), _) => {
            // The file before the current one, which was opened first: a rotation in between is no gap.
            let before = open_optional(&previous(path))?;
            let current = std::mem::replace(&mut reader.current, before);
            let mut events = Vec::new();
            reader.read_current(&mut events)?;
            let same = match (&current, &reader.current) {
                (Some(a), Some(b)) => identity(a, path)? == identity(b, path)?,
                _ => false,
            };
            if !same {
                reader.partial.clear();
                reader.current = current;
                reader.read_current(&mut events)?;
            }
            events.retain(|event| event.time >= since);
            reader.past = events;
        }
        (None, Some(file)) => {
            file.seek(SeekFrom::End(0))
                .attempt(|| format!("seek in {}", path.display()))?;
        }
        (None, None) => {}
    }
    Ok(reader)
}

impl EventReader {
    /// The events that have come since the last call; blocks until there is one, `cancel` is set (seen within 0.1 s)
    /// or `patience` is over; then the list is empty.
    ///
    /// # Errors
    /// What the file system says.
    pub fn next(&mut self, cancel: &Cancel, patience: Duration) -> Result<Vec<Event>> {
        if !self.past.is_empty() {
            return Ok(std::mem::take(&mut self.past));
        }
        let deadline = Instant::now().checked_add(patience);
        loop {
            let events = self.take()?;
            if !events.is_empty() || cancel.is_cancelled() {
                return Ok(events);
            }
            let left = deadline.map_or(NOTICE, |deadline| {
                deadline.saturating_duration_since(Instant::now())
            });
            if left.is_zero() {
                return Ok(events);
            }
            // Without notice there is nothing to read; a full look now and then, in case one got lost.
            let mut left = left.min(LOOK);
            while !self.watch.wait(left.min(NOTICE))? && !cancel.is_cancelled() {
                left = left.saturating_sub(NOTICE);
                if left.is_zero() {
                    break;
                }
            }
        }
    }

    /// Everything that is there now, over a rotation.
    fn take(&mut self) -> Result<Vec<Event>> {
        let mut events = Vec::new();
        loop {
            // Looked at before reading: once it was rotated out, nothing is appended any more.
            let replacement = self.replacement()?;
            self.read_current(&mut events)?;
            match replacement {
                None => return Ok(events),
                Some(next) => {
                    self.partial.clear();
                    self.current = Some(next);
                }
            }
        }
    }

    /// The journal at the path, if it is not the one that is open.
    fn replacement(&self) -> Result<Option<File>> {
        let Some(file) = open_optional(&self.path)? else {
            return Ok(None);
        };
        match &self.current {
            Some(current) if identity(current, &self.path)? == identity(&file, &self.path)? => {
                Ok(None)
            }
            Some(_) | None => Ok(Some(file)),
        }
    }

    fn read_current(&mut self, events: &mut Vec<Event>) -> Result<()> {
        let Some(file) = &mut self.current else {
            return Ok(());
        };
        let mut bytes = std::mem::take(&mut self.partial);
        file.read_to_end(&mut bytes)
            .attempt(|| format!("read {}", self.path.display()))?;
        let end = bytes.iter().rposition(|byte| *byte == b'\n');
        self.partial = bytes.split_off(end.map_or(0, |at| at + 1));
        events.extend(bytes.split(|byte| *byte == b'\n').filter_map(parse));
        Ok(())
    }
}

fn parse(line: &[u8]) -> Option<Event> {
    serde_json::from_slice(line).ok()
}

fn open_optional(path: &Path) -> Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).attempt(|| format!("open {}", path.display())),
    }
}

fn identity(file: &File, path: &Path) -> Result<(u64, u64)> {
    let metadata: fs::Metadata = file
        .metadata()
        .attempt(|| format!("look at {}", path.display()))?;
    Ok((metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::model::event;

    fn event(second: i64) -> Event {
        Event {
            time: Timestamp::from_second(second).unwrap(),
            kind: event::Kind::Container,
            action: "start".to_owned(),
            id: second.to_string(),
            attributes: [("name".to_owned(), "web".to_owned())].into(),
        }
    }

    #[test]
    fn the_window_of_time_is_inclusive_and_reaches_into_the_previous_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.jsonl");
        assert_eq!(read(&path, None, None).unwrap(), []);
        for second in 1..=3 {
            append(&path, &event(second)).unwrap();
        }
        fs::rename(&path, previous(&path)).unwrap();
        for second in 4..=6 {
            append(&path, &event(second)).unwrap();
        }
        let expect: Vec<Event> = (2..=5).map(event).collect();
        let time = |second| Some(Timestamp::from_second(second).unwrap());
        assert_eq!(read(&path, time(2), time(5)).unwrap(), expect);
    }

    #[test]
    fn a_follower_sees_what_comes_over_a_rotation_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.jsonl");
        append(&path, &event(1)).unwrap();
        let mut reader = follow(&path, None).unwrap();
        let cancel = Cancel::new();
        let long = Duration::from_secs(20);
        assert_eq!(reader.next(&cancel, Duration::ZERO).unwrap(), []);
        append(&path, &event(2)).unwrap();
        assert_eq!(reader.next(&cancel, long).unwrap(), [event(2)]);
        append(&path, &event(3)).unwrap();
        fs::rename(&path, previous(&path)).unwrap();
        append(&path, &event(4)).unwrap();
        assert_eq!(reader.next(&cancel, long).unwrap(), [event(3), event(4)]);
        let mut reader = follow(&path, Timestamp::from_second(2).ok()).unwrap();
        append(&path, &event(5)).unwrap();
        assert_eq!(
            reader.next(&cancel, long).unwrap(),
            [event(2), event(3), event(4)]
        );
        assert_eq!(reader.next(&cancel, long).unwrap(), [event(5)]);
    }

    #[test]
    fn a_follower_waits_for_the_journal_to_come_and_can_be_cancelled() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.jsonl");
        let mut reader = follow(&path, None).unwrap();
        let cancel = Cancel::new();
        let other = cancel.clone();
        let writer = path.clone();
        let thread = std::thread::spawn(move || append(&writer, &event(1)).unwrap());
        let long = Duration::from_secs(20);
        assert_eq!(reader.next(&cancel, long).unwrap(), [event(1)]);
        thread.join().unwrap();
        other.cancel();
        assert_eq!(reader.next(&cancel, long).unwrap(), []);
    }
}
