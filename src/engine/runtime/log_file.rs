//! Writes a container's output into files, as Docker's json-file log or in a form of our own, with rotation. Reading it is
//! `engine::logs`, compressing what was rotated out `log_pack.rs`.
//!
//! One JSON object for each line: `{"log":"text\n","stream":"stdout","time":"2026-01-02T03:04:05.000000001Z"}`. A line
//! longer than 16 KiB is stored in parts, of which only the last has the newline; what is not UTF-8 becomes U+FFFD.
//! Our own form (`local`) has a line for each, too: one letter for the stream (`o`, `e`; a capital if the text has no newline),
//! the nanoseconds since 1970 in 16 hexadecimal digits, a space, and the text's bytes as they are.
//!
//! What one read brought is written with one write(2), or with one for each 64 KiB. Nothing is synced: a log is not worth a disk's wait.
//!
//! When the disk is full, entries are lost, the container goes on, and the first entry that fits again says how many.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::log_lines::Lines;
use super::log_pack::Packer;
use crate::engine::error::{Attempt, Result};
use crate::engine::model::log::{About, Driver};
use crate::engine::model::{LogConfig, Timestamp};

/// Entries are written when they are so many bytes, or when nothing more was read.
const BATCH: usize = 64 * 1024;

/// Which stream a log line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// As it is in the file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// The path of the file that was rotated out `age` times (0: the current one).
#[must_use]
pub fn rotated(path: &Path, age: u32) -> PathBuf {
    if age == 0 {
        return path.to_owned();
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{age}"));
    PathBuf::from(name)
}

/// What an entry looks like.
#[derive(Debug, Clone, Copy)]
enum Form {
    Json,
    Local,
}

/// The same, of one that was compressed.
#[must_use]
pub fn packed(path: &Path, age: u32) -> PathBuf {
    let mut name = rotated(path, age).into_os_string();
    name.push(".gz");
    PathBuf::from(name)
}

/// A log that is being written.
#[derive(Debug)]
pub struct LogFile {
    form: Form,
    compress: bool,
    /// What compresses the file that was rotated out last.
    packer: Option<Packer>,
    path: PathBuf,
    max_size: Option<u64>,
    max_file: u32,
    file: File,
    size: u64,
    /// Entries that are not written yet; empty between calls.
    batch: Vec<u8>,
    /// How many those are.
    entries: u64,
    /// Entries that did not fit on the disk.
    lost: u64,
    lines: Lines,
    /// What every entry says besides: `"attrs":{…},`, or nothing.
    attributes: Vec<u8>,
    clock: Clock,
}

impl LogFile {
    /// Opens the log for appending; the file is made if it is missing, its directory is not.
    ///
    /// # Errors
    /// What open(2) says.
    pub fn open(path: &Path, config: &LogConfig) -> Result<Self> {
        let what = || format!("open log {}", path.display());
        let mut file = create(path).attempt(what)?;
        let mut size = file.seek(SeekFrom::End(0)).attempt(what)?;
        // A monitor that was killed may have left half a line: it must not swallow the next one.
        let mut last = [b'\n'];
        if size > 0 {
            file.read_exact_at(&mut last, size - 1).attempt(what)?;
        }
        if last != [b'\n'] && file.write_all(b"\n").is_ok() {
            size += 1;
        }
        Ok(Self {
            form: match config.driver {
                Driver::Local => Form::Local,
                Driver::JsonFile | Driver::Journald | Driver::Syslog | Driver::None => Form::Json,
            },
            compress: config.compress,
            packer: None,
            path: path.to_owned(),
            max_size: config.max_size,
            max_file: config.max_file.max(1),
            file,
            size,
            batch: Vec::new(),
            entries: 0,
            lost: 0,
            lines: Lines::default(),
            attributes: Vec::new(),
            clock: Clock::default(),
        })
    }

    /// Every entry carries the labels and variables that were chosen, and a tag if one was.
    #[must_use]
    pub fn carrying(mut self, about: &About) -> Self {
        let mut attributes = about.extra.clone();
        if about.tagged {
            attributes.insert("tag".to_owned(), about.tag.clone());
        }
        if !attributes.is_empty() {
            self.attributes = b"\"attrs\":{".to_vec();
            for (number, (name, value)) in attributes.iter().enumerate() {
                let comma: &[u8] = if number == 0 { b"\"" } else { b",\"" };
                self.attributes.extend_from_slice(comma);
                escape(&mut self.attributes, name.as_bytes());
                self.attributes.extend_from_slice(b"\":\"");
                escape(&mut self.attributes, value.as_bytes());
                self.attributes.push(b'"');
            }
            self.attributes.extend_from_slice(b"},");
        }
        self
    }

    /// Stores what was read from a stream; the beginning of a line is kept until its end comes.
    pub fn append(&mut self, stream: Stream, bytes: &[u8], now: Timestamp) {
        self.clock.set(now);
        let mut lines = std::mem::take(&mut self.lines);
        lines.add(stream, bytes, &mut |text, _| self.entry(stream, text));
        self.lines = lines;
        self.flush();
    }

    /// The streams are at their end: a last line without newline is stored as it is.
    pub fn end(&mut self, now: Timestamp) {
        self.clock.set(now);
        let mut lines = std::mem::take(&mut self.lines);
        lines.end(&mut |stream, text| self.entry(stream, text));
        self.flush();
    }

    fn entry(&mut self, stream: Stream, text: &[u8]) {
        let before = self.batch.len();
        let mut batch = std::mem::take(&mut self.batch);
        let mut clock = std::mem::take(&mut self.clock);
        self.record(&mut batch, &mut clock, stream, text);
        self.batch = batch;
        self.clock = clock;
        let full = self.max_size.is_some_and(|max| {
            let grown = self.size + self.batch.len() as u64;
            grown > max && grown > (self.batch.len() - before) as u64
        });
        if full {
            let entry = self.batch.split_off(before);
            self.flush();
            self.rotate();
            self.batch.extend_from_slice(&entry);
        }
        self.entries += 1;
        // Short lines grow to many times their length.
        if self.batch.len() >= BATCH {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        let entries = std::mem::take(&mut self.entries);
        if batch.is_empty() {
            return;
        }
        if self.lost > 0 && self.write_all(&self.confession()).is_ok() {
            self.lost = 0;
        }
        if self.lost > 0 || self.write_all(&batch).is_err() {
            self.lost += entries;
        }
        self.batch = batch;
        self.batch.clear();
        // A burst of output must not stay in memory for the rest of a quiet life.
        self.batch.shrink_to(4096);
    }

    /// All or nothing: readers never see a torn entry in the middle.
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.file.write_all(bytes) {
            Ok(()) => {
                self.size += bytes.len() as u64;
                Ok(())
            }
            Err(error) => {
                let _ = self.file.set_len(self.size);
                Err(error)
            }
        }
    }

    fn record(&self, out: &mut Vec<u8>, clock: &mut Clock, stream: Stream, text: &[u8]) {
        match self.form {
            Form::Json => {
                out.extend_from_slice(b"{\"log\":\"");
                escape(out, text);
                out.extend_from_slice(b"\",\"stream\":\"");
                out.extend_from_slice(stream.as_str().as_bytes());
                out.extend_from_slice(b"\",");
                out.extend_from_slice(&self.attributes);
                out.extend_from_slice(b"\"time\":\"");
                clock.write_next(out);
                out.extend_from_slice(b"\"}\n");
            }
            Form::Local => {
                let line = text.strip_suffix(b"\n");
                out.push(match (stream, line) {
                    (Stream::Stdout, Some(_)) => b'o',
                    (Stream::Stdout, None) => b'O',
                    (Stream::Stderr, Some(_)) => b'e',
                    (Stream::Stderr, None) => b'E',
                });
                let _ = write!(out, "{:016x} ", clock.next_nanos());
                out.extend_from_slice(line.unwrap_or(text));
                out.push(b'\n');
            }
        }
    }

    fn confession(&self) -> Vec<u8> {
        let mut line = Vec::new();
        let text = format!("wharf: {} log entries were lost: no space\n", self.lost);
        let mut clock = self.clock.clone();
        self.record(&mut line, &mut clock, Stream::Stderr, text.as_bytes());
        line
    }

    /// The current file becomes `.1`, `.1` becomes `.2` and so on; the oldest goes. Never truncated in place: whoever
    /// follows the log still reads the file it has open to its end.
    fn rotate(&mut self) {
        // It works on `.1`, which is to become `.2`.
        if let Some(packer) = self.packer.take() {
            packer.wait();
        }
        for age in (0..self.max_file.saturating_sub(1)).rev() {
            // Whichever form the older one had, it goes.
            let _ = fs::remove_file(packed(&self.path, age + 1));
            let moved = fs::rename(rotated(&self.path, age), rotated(&self.path, age + 1));
            let other = fs::rename(packed(&self.path, age), packed(&self.path, age + 1));
            if moved.is_err() && other.is_ok() {
                let _ = fs::remove_file(rotated(&self.path, age + 1));
            }
        }
        if self.max_file == 1 {
            let _ = fs::remove_file(&self.path);
        }
        // If no new file can be made, the old one goes on, wherever it is now.
        if let Ok(file) = create(&self.path) {
            self.file = file;
            self.size = 0;
            if self.compress && self.max_file > 1 {
                self.packer = Packer::start(&rotated(&self.path, 1));
            }
        }
    }
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
}

/// As Docker's encoder: `<`, `>` and `&` are escaped too, and so are U+2028 and U+2029.
fn escape(out: &mut Vec<u8>, text: &[u8]) {
    for chunk in text.utf8_chunks() {
        escape_valid(out, chunk.valid());
        for _ in chunk.invalid() {
            out.extend_from_slice(b"\\ufffd");
        }
    }
}

fn escape_valid(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let bytes = text.as_bytes();
    let mut copied = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        let plain = byte >= 0x20 && !matches!(byte, b'"' | b'\\' | b'<' | b'>' | b'&' | 0xe2);
        if plain {
            continue;
        }
        let separator = match bytes.get(at..at + 3) {
            Some([0xe2, 0x80, 0xa8]) => Some(b"\\u2028"),
            Some([0xe2, 0x80, 0xa9]) => Some(b"\\u2029"),
            _ => None,
        };
        if byte == 0xe2 && separator.is_none() {
            continue;
        }
        out.extend_from_slice(bytes.get(copied..at).unwrap_or_default());
        copied = at + 1;
        match byte {
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0xe2 => {
                out.extend_from_slice(separator.unwrap_or(b"\\ufffd"));
                copied = at + 3;
            }
            _ => {
                let (high, low) = (usize::from(byte >> 4), usize::from(byte & 15));
                out.extend_from_slice(b"\\u00");
                out.extend(HEX.get(high));
                out.extend(HEX.get(low));
            }
        }
    }
    out.extend_from_slice(bytes.get(copied..).unwrap_or_default());
}

/// Gives every entry a time of its own, one nanosecond after the one before where the clock has not moved, so that a
/// reader can say "after this one". The part up to the seconds is formatted once a second.
#[derive(Debug, Clone, Default)]
struct Clock {
    second: i64,
    text: String,
    nanosecond: u32,
}

impl Clock {
    fn set(&mut self, now: Timestamp) {
        let (second, nanosecond) = (
            now.as_second(),
            u32::try_from(now.subsec_nanosecond()).unwrap_or(0),
        );
        let later = self.text.is_empty() || (second, nanosecond) > (self.second, self.nanosecond);
        if !later {
            return;
        }
        if self.text.is_empty() || second != self.second {
            self.set_second(second);
        }
        self.nanosecond = nanosecond;
    }

    fn set_second(&mut self, second: i64) {
        self.second = second;
        self.text = Timestamp::from_second(second)
            .unwrap_or_default()
            .to_string();
        // Up to the `Z`.
        self.text.pop();
    }

    /// Nanoseconds since 1970.
    fn next_nanos(&mut self) -> u64 {
        let second = u64::try_from(self.second).unwrap_or(0);
        let nanos = second * 1_000_000_000 + u64::from(self.nanosecond);
        self.advance();
        nanos
    }

    fn write_next(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.text.as_bytes());
        if self.nanosecond > 0 {
            let mut digits = [b'0'; 9];
            let mut rest = self.nanosecond;
            for digit in digits.iter_mut().rev() {
                *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
                rest /= 10;
            }
            let used = digits.iter().rposition(|digit| *digit != b'0').unwrap_or(0) + 1;
            out.push(b'.');
            out.extend_from_slice(digits.get(..used).unwrap_or_default());
        }
        out.push(b'Z');
        self.advance();
    }

    fn advance(&mut self) {
        self.nanosecond += 1;
        if self.nanosecond == 1_000_000_000 {
            self.nanosecond = 0;
            self.set_second(self.second + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::log_lines::PART;
    use super::*;

    fn config(max_size: Option<u64>, max_file: u32) -> LogConfig {
        LogConfig {
            max_size,
            max_file,
            ..LogConfig::default()
        }
    }

    fn time(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn texts(path: &Path) -> Vec<String> {
        fs::read_to_string(path)
            .unwrap()
            .lines()
            .map(|line| {
                let value: serde_json::Value = serde_json::from_str(line).unwrap();
                value["log"].as_str().unwrap().to_owned()
            })
            .collect()
    }

    #[test]
    fn lines_are_stored_as_docker_stores_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("container.log");
        let mut log = LogFile::open(&path, &config(None, 1)).unwrap();
        log.append(Stream::Stdout, b"a <b>\t\"c\"\\\nha", time(1));
        log.append(Stream::Stderr, b"\xff\xe2\x80\xa8\xe2\x82\xac\r\n", time(1));
        log.append(Stream::Stdout, b"lf\nrest", time(2));
        log.end(time(3));
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            concat!(
                r#"{"log":"a \u003cb\u003e\u0009\"c\"\\\n","stream":"stdout","time":"1970-01-01T00:00:01Z"}"#,
                "\n",
                r#"{"log":"\ufffd\u2028€\r\n","stream":"stderr","time":"1970-01-01T00:00:01.000000001Z"}"#,
                "\n",
                r#"{"log":"half\n","stream":"stdout","time":"1970-01-01T00:00:02Z"}"#,
                "\n",
                r#"{"log":"rest","stream":"stdout","time":"1970-01-01T00:00:03Z"}"#,
                "\n",
            )
        );
    }

    #[test]
    fn a_long_line_comes_in_parts_that_do_not_cut_a_character() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("container.log");
        let mut log = LogFile::open(&path, &config(None, 1)).unwrap();
        let line = format!("x{}\n", "€".repeat(20_000));
        for piece in line.as_bytes().chunks(1000) {
            log.append(Stream::Stdout, piece, time(1));
        }
        let parts = texts(&path);
        assert_eq!(parts.concat(), line);
        assert_eq!(parts.len(), 4);
        assert!(parts.iter().all(|part| part.len() <= PART));
    }

    #[test]
    fn rotation_keeps_so_many_files_and_loses_no_line_of_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("container.log");
        let mut log = LogFile::open(&path, &config(Some(1000), 3)).unwrap();
        for number in 0..100 {
            let line = format!("line {number}\n");
            log.append(Stream::Stdout, line.as_bytes(), time(number));
        }
        let mut all = Vec::new();
        for age in [2, 1, 0] {
            let file = rotated(&path, age);
            assert!(fs::metadata(&file).unwrap().len() <= 1000);
            all.extend(texts(&file));
        }
        assert!(!rotated(&path, 3).exists());
        let first = 100 - all.len();
        let expected: Vec<String> = (first..100).map(|n| format!("line {n}\n")).collect();
        assert_eq!(all, expected);
        assert!(all.len() > 25);
    }

    #[test]
    fn one_burst_is_spread_over_files_too() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("container.log");
        let mut log = LogFile::open(&path, &config(Some(1000), 1)).unwrap();
        let burst = (0..100)
            .map(|n| format!("line {n}\n"))
            .collect::<Vec<_>>()
            .concat();
        log.append(Stream::Stdout, burst.as_bytes(), time(1));
        assert!(fs::metadata(&path).unwrap().len() <= 1000);
        assert_eq!(texts(&path).last().unwrap(), "line 99\n");
        assert!(!rotated(&path, 1).exists());
    }

    #[test]
    fn half_a_line_of_a_killed_monitor_swallows_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("container.log");
        fs::write(&path, "{\"log\":\"ha").unwrap();
        let mut log = LogFile::open(&path, &config(None, 1)).unwrap();
        log.append(Stream::Stdout, b"x\n", time(1));
        let content = fs::read_to_string(&path).unwrap();
        assert!(content.starts_with("{\"log\":\"ha\n{\"log\":\"x\\n\""));
    }

    #[test]
    fn rotation_takes_both_forms_of_a_file_along() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("container.log");
        let mut log = LogFile::open(&path, &config(Some(100), 3)).unwrap();
        let mut rotate = |text: &str| {
            log.append(Stream::Stdout, text.as_bytes(), time(1));
            log.rotate();
        };
        rotate("one\n");
        crate::engine::runtime::log_pack::pack(&rotated(&path, 1)).unwrap();
        rotate("two\n");
        assert!(packed(&path, 2).exists() && rotated(&path, 1).exists());
        rotate("three\n");
        assert!(rotated(&path, 2).exists() && !packed(&path, 2).exists());
        rotate("four\n");
        assert_eq!(texts(&rotated(&path, 2)), ["three\n"]);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
    }

    #[test]
    fn memory_does_not_grow_with_a_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("container.log");
        let mut log = LogFile::open(&path, &config(Some(100_000), 1)).unwrap();
        let part = vec![b'x'; 32 * 1024];
        for _ in 0..200 {
            log.append(Stream::Stdout, &part, time(1));
            assert!(log.lines.capacity() <= 2 * PART);
            assert!(log.batch.capacity() <= 4096);
        }
        // Nor does it with many short ones: an entry is much longer than its line.
        log.clock.set(time(2));
        for _ in 0..10_000 {
            log.entry(Stream::Stdout, b"y\n");
            assert!(log.batch.capacity() <= 4 * BATCH);
        }
    }

    #[test]
    fn a_full_disk_loses_entries_but_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("container.log");
        let mut log = LogFile::open(&path, &config(None, 1)).unwrap();
        let good = std::mem::replace(&mut log.file, File::open("/dev/null").unwrap());
        log.append(Stream::Stdout, b"a\nb\n", time(1));
        log.file = good;
        log.append(Stream::Stdout, b"c\n", time(2));
        assert_eq!(
            texts(&path),
            ["wharf: 2 log entries were lost: no space\n", "c\n"]
        );
    }

    proptest! {
        #[test]
        fn what_was_written_is_what_is_stored(
            text in "(.|\n|€|😀){0,40}",
            cut in 1usize..7,
        ) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("container.log");
            let mut log = LogFile::open(&path, &config(None, 1)).unwrap();
            for piece in text.as_bytes().chunks(cut) {
                log.append(Stream::Stdout, piece, time(1));
            }
            log.end(time(1));
            prop_assert_eq!(texts(&path).concat(), text);
        }
    }
}
