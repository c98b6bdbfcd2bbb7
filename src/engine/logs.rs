//! Reads a container's json-file log: tail, time window, follow across rotation. Writing it is `runtime::log_file`; the
//! journal is read by `journal_log.rs`.
//!
//! A last line that is only half written is waited for when following, and left out otherwise. A damaged line is passed
//! over; [`LogReader::damaged`] counts them.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::journal_log::JournalReader;
use super::log_pieces::{Piece, open_all};
use crate::engine::error::{Attempt, Result};
use crate::engine::model::{Cancel, Timestamp, request};
pub use crate::engine::runtime::log_file::Stream;
use crate::engine::runtime::log_pack::Identity;
use crate::engine::sys::inotify::Watch;

/// How much is read at once.
const BLOCK: usize = 64 * 1024;
/// No entry is longer: 16 KiB of text, each byte escaped with six. What is longer is damage.
const LONGEST: usize = 1 << 20;
/// How soon a follower notices that it was cancelled, or that the container has ended.
const NOTICE: Duration = Duration::from_millis(80);
/// Waits without notice before everything is looked at again.
const QUIET_ROUNDS: usize = 4;

/// One entry: usually one line with its newline; a long line comes in parts of 16 KiB, only the last has the newline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When the monitor read it.
    pub time: Timestamp,
    /// Which stream.
    pub stream: Stream,
    /// Bytes as the process wrote them (invalid UTF-8 was replaced when it was stored, as Docker does).
    pub text: Vec<u8>,
    /// Labels and variables that it carries; of the journal only if they were asked for.
    pub attributes: BTreeMap<String, String>,
}

/// A log being read, oldest entry first, wherever it is.
#[derive(Debug)]
pub enum Log {
    /// In files.
    File(LogReader),
    /// In systemd's journal.
    Journal(JournalReader),
}

impl Log {
    /// The next entry; blocks while following; `None` at the end, or when cancelled (within 0.1 s).
    ///
    /// # Errors
    /// What the file system or the journal says.
    pub fn next(&mut self, cancel: &Cancel) -> Result<Option<Entry>> {
        match self {
            Self::File(log) => log.next(cancel),
            Self::Journal(log) => log.next(cancel),
        }
    }

    /// Entries that could not be understood.
    #[must_use]
    pub fn damaged(&self) -> u64 {
        match self {
            Self::File(log) => log.damaged(),
            Self::Journal(log) => log.damaged(),
        }
    }
}

/// A log in files being read, oldest entry first.
pub struct LogReader {
    path: PathBuf,
    request: request::Logs,
    alive: Box<dyn Fn() -> bool + Send>,
    watch: Option<Watch>,
    current: Option<Piece>,
    /// Files after the current one, oldest first.
    later: VecDeque<Piece>,
    /// Bytes read and not yet used: `buffer[start..]`.
    buffer: Vec<u8>,
    start: usize,
    /// The part of `buffer` in which there is no newline for sure.
    searched: usize,
    /// The beginning of a line was thrown away because it was too long.
    torn: bool,
    damaged: u64,
    finished: bool,
}

impl fmt::Debug for LogReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogReader")
            .field("path", &self.path)
            .field("request", &self.request)
            .finish_non_exhaustive()
    }
}

/// Opens a log. `alive` says whether more can come: following ends when it says no and everything was read. It is asked
/// several times a second. A log that does not exist is empty, or will come.
///
/// # Errors
/// What the file system says; the limit of inotify(7) when following.
pub fn open(
    path: &Path,
    request: &request::Logs,
    alive: impl Fn() -> bool + Send + 'static,
) -> Result<LogReader> {
    // The watch comes first: what is written after the files were opened must not be missed.
    let watch = match path.parent() {
        Some(parent) if request.follow => {
            let watch = Watch::new()?;
            watch.directory(parent)?;
            Some(watch)
        }
        _ => None,
    };
    let mut files = open_all(path)?;
    if let Some(count) = request.tail {
        seek_tail(path, &mut files, count, request)?;
    }
    let mut later: VecDeque<Piece> = files.into();
    Ok(LogReader {
        path: path.to_owned(),
        request: request.clone(),
        alive: Box::new(alive),
        watch,
        current: later.pop_front(),
        later,
        buffer: Vec::new(),
        start: 0,
        searched: 0,
        torn: false,
        damaged: 0,
        finished: false,
    })
}

impl LogReader {
    /// The next entry; blocks while following; `None` at the end, or when cancelled (within 0.1 s).
    ///
    /// # Errors
    /// What the file system says.
    pub fn next(&mut self, cancel: &Cancel) -> Result<Option<Entry>> {
        loop {
            while let Some(entry) = self.buffered() {
                let wanted = match entry.stream {
                    Stream::Stdout => self.request.stdout,
                    Stream::Stderr => self.request.stderr,
                };
                if self.request.until.is_some_and(|until| entry.time > until) {
                    // Times only grow.
                    self.finished = true;
                    return Ok(None);
                }
                let early = self.request.since.is_some_and(|since| entry.time < since);
                if wanted && !early {
                    return Ok(Some(entry));
                }
            }
            if self.finished || cancel.is_cancelled() || !self.read_more(cancel)? {
                return Ok(None);
            }
        }
    }

    /// How many lines were passed over because they are not log entries.
    #[must_use]
    pub fn damaged(&self) -> u64 {
        self.damaged
    }

    /// The next good entry of the buffer.
    fn buffered(&mut self) -> Option<Entry> {
        loop {
            let unread = self.buffer.get(self.searched..)?;
            let Some(length) = unread.iter().position(|byte| *byte == b'\n') else {
                self.searched = self.buffer.len();
                return None;
            };
            let end = self.searched + length;
            let line = self.buffer.get(self.start..end).unwrap_or_default();
            let entry = if self.torn { None } else { parse(line) };
            // The empty line is what a monitor puts after a line that its predecessor left half done.
            self.damaged += u64::from(entry.is_none() && !line.is_empty());
            self.torn = false;
            self.start = end + 1;
            self.searched = self.start;
            if entry.is_some() {
                return entry;
            }
        }
    }

    /// Waits for bytes; `false` at the end.
    fn read_more(&mut self, cancel: &Cancel) -> Result<bool> {
        let mut last_look = false;
        loop {
            if self.fill()? {
                return Ok(true);
            }
            if let Some(next) = self.later.pop_front() {
                self.change_to(next);
                continue;
            }
            if self.request.follow && self.find_later()? {
                continue;
            }
            if !self.request.follow || last_look || cancel.is_cancelled() {
                return Ok(false);
            }
            if !(self.alive)() {
                // It may have written between our look and its end.
                last_look = true;
                continue;
            }
            let over = self
                .request
                .until
                .is_some_and(|until| Timestamp::now() > until);
            if over {
                return Ok(false);
            }
            if let Some(watch) = &self.watch {
                // Without notice there is nothing to read: only now and then a look whether the container is there.
                for _ in 0..QUIET_ROUNDS {
                    if watch.wait(NOTICE)? || cancel.is_cancelled() {
                        break;
                    }
                }
            }
        }
    }

    /// Reads a block; `false` at the end of the current file.
    fn fill(&mut self) -> Result<bool> {
        let Some(piece) = &mut self.current else {
            return Ok(false);
        };
        let file = piece.text()?;
        self.buffer.drain(..self.start);
        self.searched -= self.start;
        self.start = 0;
        if self.buffer.len() > LONGEST {
            self.damaged += u64::from(!self.torn);
            self.torn = true;
            self.buffer.clear();
            self.searched = 0;
        }
        let kept = self.buffer.len();
        self.buffer.resize(kept + BLOCK, 0);
        let room = self.buffer.get_mut(kept..).unwrap_or_default();
        let result = loop {
            match file.read(room) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result,
            }
        };
        let count = *result.as_ref().unwrap_or(&0);
        self.buffer.truncate(kept + count);
        result.attempt(|| format!("read log {}", self.path.display()))?;
        Ok(count > 0)
    }

    /// Looks for files newer than the current one: the log was rotated (or has come into being).
    fn find_later(&mut self) -> Result<bool> {
        let Some(current) = &self.current else {
            self.later = open_all(&self.path)?.into();
            return Ok(!self.later.is_empty());
        };
        let what = || format!("look at log {}", self.path.display());
        let own = current.identity;
        match fs::metadata(&self.path) {
            Ok(newest) if Identity::read(&newest) == own => return Ok(false),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error).attempt(what),
        }
        let mut files = open_all(&self.path)?;
        let position = files.iter().position(|file| file.identity == own);
        // If the current one is gone already, all that are there are newer.
        self.later = match position {
            Some(at) => files.split_off(at + 1).into(),
            None => files.into(),
        };
        // The old file may have grown between our last read and its rotation: it is read once more before the change,
        // because `read_more` fills first.
        Ok(!self.later.is_empty())
    }

    fn change_to(&mut self, next: Piece) {
        self.current = Some(next);
        // Half a line at the end of a file that nobody writes any more is damage.
        self.damaged += u64::from(self.start < self.buffer.len());
        self.buffer.clear();
        self.start = 0;
        self.searched = 0;
        self.torn = false;
    }
}

/// Leaves only the files with the last `count` entries and puts the first of them at the first of those.
fn seek_tail(
    path: &Path,
    files: &mut Vec<Piece>,
    count: u64,
    request: &request::Logs,
) -> Result<()> {
    let everything = request.stdout && request.stderr;
    let wanted = |line: &[u8]| {
        everything
            || parse(line).is_some_and(|entry| match entry.stream {
                Stream::Stdout => request.stdout,
                Stream::Stderr => request.stderr,
            })
    };
    let mut missing = count;
    for at in (0..files.len()).rev() {
        let Some(piece) = files.get_mut(at) else {
            break;
        };
        let file = piece.text()?;
        let (start, found) = last_lines(file, missing, &wanted)
            .attempt(|| format!("read log {}", path.display()))?;
        file.seek(SeekFrom::Start(start))
            .attempt(|| format!("seek in log {}", path.display()))?;
        missing -= found;
        if missing == 0 {
            files.drain(..at);
            break;
        }
    }
    Ok(())
}

/// Where the last `count` wanted whole lines of a file begin, and how many there are. Reads backwards.
fn last_lines(file: &File, count: u64, wanted: &dyn Fn(&[u8]) -> bool) -> io::Result<(u64, u64)> {
    let mut position = file.metadata()?.len();
    // The bytes from `position` up to the start of the line that was counted last.
    let mut window: Vec<u8> = Vec::new();
    let mut whole = false;
    let mut found = 0;
    loop {
        // Every newline in the window, last first, ends one line and begins another.
        let mut unsearched = window.len();
        while let Some(newline) = window
            .get(..unsearched)
            .unwrap_or_default()
            .iter()
            .rposition(|byte| *byte == b'\n')
        {
            let line_start = newline + 1;
            let after = position + line_start as u64;
            if !whole {
                // What is behind the last newline is half a line.
                whole = true;
                if count == 0 {
                    return Ok((after, 0));
                }
            } else if wanted(window.get(line_start..).unwrap_or_default()) {
                found += 1;
                if found == count {
                    return Ok((after, found));
                }
            }
            window.truncate(newline);
            unsearched = newline;
        }
        if position == 0 {
            let first = whole && wanted(&window);
            return Ok((0, found + u64::from(first)));
        }
        let step = position.min(BLOCK as u64);
        position -= step;
        let mut block = vec![0; usize::try_from(step).unwrap_or(BLOCK)];
        file.read_exact_at(&mut block, position)?;
        block.extend_from_slice(&window);
        window = block;
    }
}

/// One line of a log file, without its newline; `None` if it is not an entry.
#[must_use]
pub fn parse(line: &[u8]) -> Option<Entry> {
    match line.first() {
        Some(b'{') => parse_fixed(line).or_else(|| parse_any(line)),
        _ => parse_local(line),
    }
}

/// The shape of the driver `local` (`runtime::log_file`).
fn parse_local(line: &[u8]) -> Option<Entry> {
    let (&letter, rest) = line.split_first()?;
    let (digits, rest) = rest.split_first_chunk::<16>()?;
    let text = rest.strip_prefix(b" ")?;
    let digits = std::str::from_utf8(digits).ok()?;
    let strict = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let nanos = u64::from_str_radix(digits, 16).ok().filter(|_| strict)?;
    let stream = match letter {
        b'o' | b'O' => Stream::Stdout,
        b'e' | b'E' => Stream::Stderr,
        _ => return None,
    };
    let mut text = text.to_vec();
    if letter.is_ascii_lowercase() {
        text.push(b'\n');
    }
    Some(Entry {
        time: Timestamp::from_nanosecond(nanos.into()).ok()?,
        stream,
        text,
        attributes: BTreeMap::new(),
    })
}

/// The shape that wharf and Docker write: keys in this order, no spaces.
fn parse_fixed(line: &[u8]) -> Option<Entry> {
    let rest = line.strip_prefix(b"{\"log\":\"")?;
    let (text, rest) = unescape(rest)?;
    let rest = rest.strip_prefix(b",\"stream\":\"std")?;
    let (stream, rest) = if let Some(rest) = rest.strip_prefix(b"out\"") {
        (Stream::Stdout, rest)
    } else {
        (Stream::Stderr, rest.strip_prefix(b"err\"")?)
    };
    let time = rest.strip_prefix(b",\"time\":\"")?.strip_suffix(b"\"}")?;
    Some(Entry {
        time: parse_time(time)?,
        stream,
        text,
        attributes: BTreeMap::new(),
    })
}

/// Up to the closing quote: the text, and what follows the quote.
fn unescape(bytes: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let special = |byte: &u8| *byte == b'"' || *byte == b'\\';
    let mut rest = bytes;
    let mut text = Vec::new();
    loop {
        let plain = rest.iter().position(special)?;
        let (head, tail) = rest.split_at_checked(plain)?;
        if text.is_empty() {
            // Usually the only escape is the newline at the end.
            text.reserve_exact(plain + 1);
        }
        text.extend_from_slice(head);
        let (&first, tail) = tail.split_first()?;
        if first == b'"' {
            return Some((text, tail));
        }
        let (&escape, tail) = tail.split_first()?;
        rest = tail;
        match escape {
            b'n' => text.push(b'\n'),
            b'r' => text.push(b'\r'),
            b't' => text.push(b'\t'),
            b'b' => text.push(8),
            b'f' => text.push(12),
            b'"' | b'\\' | b'/' => text.push(escape),
            b'u' => {
                let (digits, tail) = rest.split_at_checked(4)?;
                rest = tail;
                let digits = std::str::from_utf8(digits).ok()?;
                let strict = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
                let code = u32::from_str_radix(digits, 16).ok().filter(|_| strict)?;
                // A surrogate pair, which neither wharf nor Docker writes, is left to the full parser.
                let character = char::from_u32(code)?;
                let mut buffer = [0; 4];
                text.extend_from_slice(character.encode_utf8(&mut buffer).as_bytes());
            }
            _ => return None,
        }
    }
}

fn parse_any(line: &[u8]) -> Option<Entry> {
    #[derive(serde::Deserialize)]
    struct Line {
        log: String,
        stream: String,
        time: Timestamp,
        #[serde(default)]
        attrs: BTreeMap<String, String>,
    }
    let line: Line = serde_json::from_slice(line).ok()?;
    let stream = match line.stream.as_str() {
        "stdout" => Stream::Stdout,
        "stderr" => Stream::Stderr,
        _ => return None,
    };
    Some(Entry {
        time: line.time,
        stream,
        text: line.log.into_bytes(),
        attributes: line.attrs,
    })
}

/// `2026-01-02T03:04:05.000000001Z`; other forms of RFC 3339 are left to the full parser.
fn parse_time(text: &[u8]) -> Option<Timestamp> {
    let (fixed, rest) = text.split_first_chunk::<19>()?;
    let &[
        y1,
        y2,
        y3,
        y4,
        b'-',
        m1,
        m2,
        b'-',
        d1,
        d2,
        b'T',
        h1,
        h2,
        b':',
        i1,
        i2,
        b':',
        s1,
        s2,
    ] = fixed
    else {
        return None;
    };
    let pair = |tens: u8, ones: u8| Some(digit(tens)? * 10 + digit(ones)?);
    let year = pair(y1, y2)? * 100 + pair(y3, y4)?;
    let (month, day) = (pair(m1, m2)?, pair(d1, d2)?);
    let (hour, minute, second) = (pair(h1, h2)?, pair(i1, i2)?, pair(s1, s2)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let fraction = rest.strip_suffix(b"Z")?;
    let mut nanosecond = 0;
    if let Some(digits) = fraction.strip_prefix(b".") {
        if digits.is_empty() || digits.len() > 9 {
            return None;
        }
        for at in 0..9 {
            let next = match digits.get(at) {
                Some(byte) => digit(*byte)?,
                None => 0,
            };
            nanosecond = nanosecond * 10 + next;
        }
    } else if !fraction.is_empty() {
        return None;
    }
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    Timestamp::new(seconds, i32::try_from(nanosecond).ok()?).ok()
}

fn digit(byte: u8) -> Option<i64> {
    byte.is_ascii_digit().then(|| i64::from(byte - b'0'))
}

/// Days since 1970-01-01 in the Gregorian calendar (Howard Hinnant's `days_from_civil`, for years from 0 on).
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use proptest::prelude::*;

    use super::*;
    use crate::engine::model::LogConfig;
    use crate::engine::model::log::Driver;
    use crate::engine::runtime::log_file::{LogFile, rotated};
    use crate::engine::runtime::log_pack;

    fn line(text: &str) -> String {
        format!(
            "{{\"log\":\"{text}\\n\",\"stream\":\"stdout\",\"time\":\"2026-01-02T03:04:05Z\"}}\n"
        )
    }

    fn read_all(reader: &mut LogReader) -> Vec<String> {
        let cancel = Cancel::new();
        let mut texts = Vec::new();
        while let Some(entry) = reader.next(&cancel).unwrap() {
            texts.push(String::from_utf8(entry.text).unwrap().trim_end().to_owned());
        }
        texts
    }

    fn all(path: &Path, request: &request::Logs) -> Vec<String> {
        read_all(&mut open(path, request, || false).unwrap())
    }

    fn tail(count: u64) -> request::Logs {
        request::Logs {
            tail: Some(count),
            ..request::Logs::default()
        }
    }

    #[test]
    fn tail_counts_lines_over_rotated_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("container.log");
        fs::write(rotated(&path, 2), line("a") + &line("b")).unwrap();
        fs::write(rotated(&path, 1), line("c") + &line("d")).unwrap();
        fs::write(&path, line("e")).unwrap();
        let expect = ["a", "b", "c", "d", "e"];
        for count in 0..=7 {
            let from = 5_usize.saturating_sub(count);
            assert_eq!(all(&path, &tail(count as u64)), expect[from..], "{count}");
        }
        assert_eq!(all(&path, &request::Logs::default()), expect);
    }

    #[test]
    fn a_compressed_file_is_read_as_any_and_a_follower_sees_no_line_twice() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("container.log");
        fs::write(rotated(&path, 2), line("a")).unwrap();
        fs::write(rotated(&path, 1), line("b") + &line("c")).unwrap();
        fs::write(&path, line("d")).unwrap();
        log_pack::pack(&rotated(&path, 2)).unwrap();
        log_pack::pack(&rotated(&path, 1)).unwrap();
        assert_eq!(all(&path, &request::Logs::default()), ["a", "b", "c", "d"]);
        assert_eq!(all(&path, &tail(2)), ["c", "d"]);
        let follow = request::Logs {
            follow: true,
            ..tail(1)
        };
        let mut reader = open(&path, &follow, || false).unwrap();
        let mut next = || reader.next(&Cancel::new()).unwrap().map(|entry| entry.text);
        assert_eq!(next(), Some(b"d\n".to_vec()));
        // What it has open is rotated out and compressed meanwhile.
        fs::rename(&path, rotated(&path, 1)).unwrap();
        fs::write(&path, line("e")).unwrap();
        log_pack::pack(&rotated(&path, 1)).unwrap();
        assert_eq!(next(), Some(b"e\n".to_vec()));
        assert_eq!(next(), None);
    }

    #[test]
    fn the_local_form_keeps_every_byte() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("container.log");
        let config = LogConfig {
            driver: Driver::Local,
            max_size: Some(200),
            max_file: 9,
            ..LogConfig::default()
        };
        let mut log = LogFile::open(&path, &config).unwrap();
        let time = Timestamp::from_second(5).unwrap();
        let lines: [&[u8]; 4] = [b"a\xff\x00{b\n", b"\n", b"o0000 x\r\n", b"end"];
        for text in lines {
            log.append(Stream::Stderr, text, time);
            log.append(Stream::Stdout, &b"y".repeat(100), time);
            log.append(Stream::Stdout, b"\n", time);
        }
        log.end(time);
        let only = request::Logs {
            stdout: false,
            ..request::Logs::default()
        };
        let mut reader = open(&path, &only, || false).unwrap();
        for text in lines {
            let entry = reader.next(&Cancel::new()).unwrap().unwrap();
            assert_eq!(
                (entry.stream, entry.text.as_slice()),
                (Stream::Stderr, text)
            );
            assert_eq!(entry.time.as_second(), 5);
        }
        assert_eq!(reader.next(&Cancel::new()).unwrap(), None);
        assert_eq!(reader.damaged(), 0);
        assert!(rotated(&path, 1).exists());
    }

    #[test]
    fn tail_works_over_many_blocks_and_counts_the_wanted_stream_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("container.log");
        let mut log = LogFile::open(&path, &LogConfig::default()).unwrap();
        let now = Timestamp::now();
        for number in 0..5000 {
            let text = format!("{number} {}\n", "x".repeat(number % 100));
            log.append(Stream::Stdout, text.as_bytes(), now);
            log.append(Stream::Stderr, b"noise\n", now);
        }
        let texts = all(
            &path,
            &request::Logs {
                stderr: false,
                ..tail(4000)
            },
        );
        assert_eq!(texts.len(), 4000);
        assert!(texts[0].starts_with("1000"));
        assert_eq!(all(&path, &tail(8000)).len(), 8000);
    }

    #[test]
    fn half_a_line_is_left_out_and_damage_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("container.log");
        fs::write(
            &path,
            line("a") + "{\"log\":\"ha\n\n" + &line("b") + "{\"lo",
        )
        .unwrap();
        let mut reader = open(&path, &request::Logs::default(), || true).unwrap();
        assert_eq!(read_all(&mut reader), ["a", "b"]);
        assert_eq!(reader.damaged(), 1);
        assert_eq!(all(&path, &tail(1)), ["b"]);
        assert_eq!(all(&path, &tail(0)), [""; 0]);
    }

    #[test]
    fn the_window_of_time_is_inclusive() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("container.log");
        let mut log = LogFile::open(&path, &LogConfig::default()).unwrap();
        let time = |second| Timestamp::from_second(second).unwrap();
        for second in 1..=5 {
            log.append(
                Stream::Stdout,
                format!("{second}\n").as_bytes(),
                time(second),
            );
        }
        let window = request::Logs {
            since: Some(time(2)),
            until: Some(time(4)),
            ..request::Logs::default()
        };
        assert_eq!(all(&path, &window), ["2", "3", "4"]);
    }

    #[test]
    fn a_follower_sees_every_line_across_rotations_and_ends_with_the_container() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("container.log");
        let alive = Arc::new(AtomicBool::new(true));
        let follow = request::Logs {
            follow: true,
            ..request::Logs::default()
        };
        let watched = Arc::clone(&alive);
        let mut reader = open(&path, &follow, move || watched.load(Ordering::Acquire)).unwrap();
        let writer_path = path.clone();
        let writer = std::thread::spawn(move || {
            let config = LogConfig {
                max_size: Some(20_000),
                max_file: 200,
                ..LogConfig::default()
            };
            let mut log = LogFile::open(&writer_path, &config).unwrap();
            for number in 0..20_000 {
                let text = format!("{number}\n");
                log.append(Stream::Stdout, text.as_bytes(), Timestamp::now());
            }
            alive.store(false, Ordering::Release);
        });
        let texts = read_all(&mut reader);
        writer.join().unwrap();
        let expect: Vec<String> = (0..20_000).map(|number| number.to_string()).collect();
        assert_eq!(texts.len(), expect.len());
        assert_eq!(texts, expect);
        assert_eq!(reader.damaged(), 0);
    }

    #[test]
    fn a_half_written_line_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("container.log");
        let whole = line("late");
        let (head, rest) = whole.split_at(10);
        fs::write(&path, head).unwrap();
        let follow = request::Logs {
            follow: true,
            ..request::Logs::default()
        };
        let mut reader = open(&path, &follow, || true).unwrap();
        let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
        let rest = rest.to_owned();
        let writer = std::thread::spawn(move || file.write_all(rest.as_bytes()).unwrap());
        let entry = reader.next(&Cancel::new()).unwrap().unwrap();
        assert_eq!(entry.text, b"late\n");
        writer.join().unwrap();
    }

    #[test]
    fn a_cancelled_follower_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let follow = request::Logs {
            follow: true,
            ..request::Logs::default()
        };
        let mut reader = open(&dir.path().join("none.log"), &follow, || true).unwrap();
        let cancel = Cancel::new();
        let other = cancel.clone();
        let thread = std::thread::spawn(move || reader.next(&cancel).unwrap());
        other.cancel();
        assert_eq!(thread.join().unwrap(), None);
    }

    #[test]
    fn both_parsers_agree() {
        let check = |text: &str| {
            assert_eq!(
                parse_fixed(text.as_bytes()),
                parse_any(text.as_bytes()),
                "{text}"
            );
            assert!(parse_fixed(text.as_bytes()).is_some(), "{text}");
        };
        let time = "2026-11-20T17:30:01.5Z";
        for log in [
            "",
            "a\\n",
            "\\u003cb\\u003e\\t\\\"\\\\\\/",
            "€\\ufffd\\u2028",
        ] {
            check(&format!(
                "{{\"log\":\"{log}\",\"stream\":\"stderr\",\"time\":\"{time}\"}}"
            ));
        }
        for time in [
            "1970-01-01T00:00:00Z",
            "2000-02-29T23:59:59.999999999Z",
            "2024-12-31T00:00:00.1Z",
            "9999-12-30T22:00:00Z",
        ] {
            check(&format!(
                "{{\"log\":\"\",\"stream\":\"stdout\",\"time\":\"{time}\"}}"
            ));
        }
    }

    #[test]
    fn what_is_no_entry_is_none() {
        for text in [
            "",
            "{}",
            "null",
            "{\"log\":\"a\"}",
            "{\"log\":\"a\",\"stream\":\"stdin\",\"time\":\"2026-01-02T03:04:05Z\"}",
            "{\"log\":\"a\",\"stream\":\"stdout\",\"time\":\"2026-13-02T03:04:05Z\"}",
            "x0000000000000001 a",
            "o+000000000000001 a",
            "o0000000000000001a",
            "{\"log\":\"\\u+123\",\"stream\":\"stdout\",\"time\":\"2026-01-02T03:04:05Z\"}",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn stored_and_read_is_the_same(text in "(.|\n|\"|\\\\|<|😀){0,60}", second in 0i64..250_000_000_000) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("container.log");
            let mut log = LogFile::open(&path, &LogConfig::default()).unwrap();
            let time = Timestamp::from_second(second).unwrap();
            log.append(Stream::Stderr, text.as_bytes(), time);
            log.end(time);
            let mut reader = open(&path, &request::Logs::default(), || false).unwrap();
            let mut read = Vec::new();
            while let Some(entry) = reader.next(&Cancel::new()).unwrap() {
                prop_assert_eq!(entry.stream, Stream::Stderr);
                prop_assert_eq!(entry.time.as_second(), second);
                read.extend(entry.text);
            }
            prop_assert_eq!(read, text.into_bytes());
        }

        #[test]
        fn any_line_is_an_entry_or_none(line in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = parse(&line);
            let mut entry = b"{\"log\":\"".to_vec();
            entry.extend(line);
            entry.extend(b"\",\"stream\":\"stdout\",\"time\":\"2026-01-02T03:04:05Z\"}");
            let _ = parse(&entry);
        }
    }
}
