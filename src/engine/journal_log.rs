//! Reads back what a container's log driver wrote into systemd's journal, by journalctl(1) in its export format: the only
//! reader of the journal's files that follows their format wherever systemd takes it.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use super::error::{Attempt, Error, Kind, Result};
use super::logs::{Entry, Stream};
use super::model::{Cancel, ContainerId, Timestamp, request};
use super::sys::poll;

/// How soon a follower notices that it was cancelled, or that the container has ended.
const NOTICE: Duration = Duration::from_millis(80);
/// How much is read at once.
const BLOCK: usize = 64 * 1024;
/// No entry is longer: 16 KiB of text, and the labels of its container.
const LONGEST: usize = 64 << 20;
/// What is asked for of each entry; its place and time come anyhow.
const FIELDS: &str = "MESSAGE,PRIORITY,CONTAINER_PARTIAL_MESSAGE";

/// A log in the journal being read, oldest entry first.
pub struct JournalReader {
    id: String,
    request: request::Logs,
    alive: Box<dyn Fn() -> bool + Send>,
    program: Program,
    /// The place of the last entry.
    cursor: Option<String>,
    /// When the reading began: what is older was not wanted.
    since: Timestamp,
    phase: Phase,
    damaged: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// journalctl waits for more.
    Following,
    /// It reads what is there, and then it ends.
    Reading,
    Over,
}

impl std::fmt::Debug for JournalReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JournalReader")
            .field("id", &self.id)
            .field("request", &self.request)
            .field("phase", &self.phase)
            .finish_non_exhaustive()
    }
}

/// Opens the log of a container. `alive` as for files.
///
/// # Errors
/// [`Kind::Unsupported`] where journalctl is not installed.
pub(super) fn open(
    id: &ContainerId,
    request: &request::Logs,
    alive: impl Fn() -> bool + Send + 'static,
) -> Result<JournalReader> {
    let since = Timestamp::now();
    let phase = if request.follow {
        Phase::Following
    } else {
        write_out();
        Phase::Reading
    };
    let program = Program::start(&arguments(id.as_str(), request, phase))?;
    Ok(JournalReader {
        id: id.to_string(),
        request: request.clone(),
        alive: Box::new(alive),
        program,
        cursor: None,
        since,
        phase,
        damaged: 0,
    })
}

/// Has the journal write what it has been told: it may still have it in its socket. As good as it can be done.
fn write_out() {
    let _ = Command::new("journalctl")
        .arg("--sync")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
}

fn arguments(id: &str, request: &request::Logs, phase: Phase) -> Vec<String> {
    let mut list: Vec<String> = ["--quiet", "--no-pager", "--all", "--output=export"]
        .map(str::to_owned)
        .to_vec();
    if !request.details {
        list.push(format!("--output-fields={FIELDS}"));
    }
    match (request.tail, phase) {
        (Some(count), _) => list.push(format!("--lines={count}")),
        (None, Phase::Following) => list.push("--no-tail".to_owned()),
        (None, Phase::Reading | Phase::Over) => {}
    }
    for (flag, moment) in [("since", request.since), ("until", request.until)] {
        if let Some(moment) = moment {
            list.push(format!("--{flag}={}", seconds(moment)));
        }
    }
    if phase == Phase::Following {
        list.push("--follow".to_owned());
    }
    list.push(format!("CONTAINER_ID_FULL={id}"));
    list
}

/// As systemd.time(7) has it.
fn seconds(moment: Timestamp) -> String {
    let micros = moment.as_microsecond();
    format!(
        "@{}.{:06}",
        micros.div_euclid(1_000_000),
        micros.rem_euclid(1_000_000)
    )
}

impl JournalReader {
    /// The next entry; blocks while following; `None` at the end, or when cancelled (within 0.1 s).
    ///
    /// # Errors
    /// What reading says; what journalctl says.
    pub fn next(&mut self, cancel: &Cancel) -> Result<Option<Entry>> {
        loop {
            while let Some(fields) = self.program.entry()? {
                if let Some(entry) = self.take(fields) {
                    return Ok(Some(entry));
                }
            }
            if cancel.is_cancelled() || self.phase == Phase::Over {
                return Ok(None);
            }
            if poll::wait_readable(&self.program.output, Some(NOTICE))? {
                if !self.program.read()? {
                    self.ended()?;
                }
            } else if self.phase == Phase::Following && !(self.alive)() {
                self.read_the_rest()?;
            }
        }
    }

    /// Entries that could not be understood.
    #[must_use]
    pub fn damaged(&self) -> u64 {
        self.damaged
    }

    /// An entry that is wanted.
    fn take(&mut self, fields: Fields) -> Option<Entry> {
        self.cursor = fields.cursor;
        let (Some(time), Some(mut text)) = (fields.time, fields.message) else {
            self.damaged += 1;
            return None;
        };
        if !fields.is_part {
            text.push(b'\n');
        }
        let (stream, wanted) = match fields.priority {
            Some(3) => (Stream::Stderr, self.request.stderr),
            _ => (Stream::Stdout, self.request.stdout),
        };
        wanted.then_some(Entry {
            time,
            stream,
            text,
            attributes: fields.extra,
        })
    }

    /// The container has ended: the journal is written out, and what came since is read.
    fn read_the_rest(&mut self) -> Result<()> {
        write_out();
        let mut request = request::Logs {
            tail: None,
            ..self.request.clone()
        };
        if self.cursor.is_none() && self.request.tail.is_some() {
            // Nothing was wanted of what was there, or nothing was there.
            request.since = Some(self.since);
        }
        let mut list = arguments(&self.id, &request, Phase::Reading);
        if let Some(cursor) = &self.cursor {
            list.insert(0, format!("--after-cursor={cursor}"));
        }
        self.program = Program::start(&list)?;
        self.phase = Phase::Reading;
        Ok(())
    }

    fn ended(&mut self) -> Result<()> {
        self.phase = Phase::Over;
        self.program.finish()
    }
}

/// journalctl at work. Killed when it is dropped.
struct Program {
    child: Child,
    output: ChildStdout,
    /// Bytes read and not yet used: `buffer[start..]`.
    buffer: Vec<u8>,
    start: usize,
}

impl Program {
    fn start(arguments: &[String]) -> Result<Self> {
        let started = Command::new("journalctl")
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = match started {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::unsupported(
                    "read the journal: journalctl is not installed",
                ));
            }
            other => other.attempt(|| "start journalctl")?,
        };
        let output = child
            .stdout
            .take()
            .ok_or_else(|| Error::new(Kind::Internal, "journalctl has no output"))?;
        Ok(Self {
            child,
            output,
            buffer: Vec::new(),
            start: 0,
        })
    }

    /// Reads some more; whether there was something.
    fn read(&mut self) -> Result<bool> {
        self.buffer.drain(..self.start);
        self.start = 0;
        if self.buffer.len() > LONGEST {
            return Err(Error::new(
                Kind::Internal,
                "an entry of the journal is too long",
            ));
        }
        let used = self.buffer.len();
        self.buffer.resize(used + BLOCK, 0);
        let room = self.buffer.get_mut(used..).unwrap_or_default();
        let read = self.output.read(room).attempt(|| "read the journal")?;
        self.buffer.truncate(used + read);
        Ok(read > 0)
    }

    /// The next whole entry of what was read.
    fn entry(&mut self) -> Result<Option<Fields>> {
        let rest = self.buffer.get(self.start..).unwrap_or_default();
        let Some((fields, used)) = parse(rest) else {
            return Ok(None);
        };
        self.start += used;
        Ok(Some(fields))
    }

    /// Waits for its end; what it complained about, if it failed.
    fn finish(&mut self) -> Result<()> {
        let mut complaint = String::new();
        if let Some(mut errors) = self.child.stderr.take() {
            let _ = errors.read_to_string(&mut complaint);
        }
        let status = self.child.wait().attempt(|| "wait for journalctl")?;
        let complaint = complaint.lines().next().unwrap_or_default();
        // Without any entry, some versions end with 1 and say nothing.
        if status.success() || complaint.is_empty() {
            return Ok(());
        }
        Err(Error::new(
            Kind::Internal,
            format!("read the journal: {complaint}"),
        ))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What is known of an entry.
#[derive(Debug, Default, PartialEq, Eq)]
struct Fields {
    cursor: Option<String>,
    time: Option<Timestamp>,
    message: Option<Vec<u8>>,
    priority: Option<u8>,
    is_part: bool,
    extra: BTreeMap<String, String>,
}

/// What the driver and the journal say of each entry, besides labels and variables.
const USUAL: [&[u8]; 16] = [
    b"CONTAINER_ID",
    b"CONTAINER_ID_FULL",
    b"CONTAINER_NAME",
    b"CONTAINER_TAG",
    b"IMAGE_NAME",
    b"SYSLOG_IDENTIFIER",
    b"SYSLOG_TIMESTAMP",
    b"SYSLOG_FACILITY",
    b"SYSLOG_PID",
    b"SYSLOG_RAW",
    b"MESSAGE_ID",
    b"CONTAINER_LOG_EPOCH",
    b"CONTAINER_LOG_ORDINAL",
    b"CONTAINER_PARTIAL_ID",
    b"CONTAINER_PARTIAL_ORDINAL",
    b"CONTAINER_PARTIAL_LAST",
];

/// The entry that the bytes begin with, and how many bytes it has; `None` if it is not whole (systemd, "Journal Export
/// Formats").
fn parse(bytes: &[u8]) -> Option<(Fields, usize)> {
    let mut fields = Fields::default();
    let mut at = 0;
    loop {
        let rest = bytes.get(at..)?;
        let line = rest.iter().position(|byte| *byte == b'\n')?;
        let text = rest.get(..line)?;
        at += line + 1;
        if text.is_empty() {
            // Entries are told apart by an empty line; there may be one in front.
            if fields == Fields::default() {
                continue;
            }
            return Some((fields, at));
        }
        if let Some(sign) = text.iter().position(|byte| *byte == b'=') {
            fields.set(text.get(..sign)?, text.get(sign + 1..)?);
        } else {
            let length = bytes.get(at..at.checked_add(8)?)?;
            let length = u64::from_le_bytes(length.try_into().ok()?);
            let end = usize::try_from(length).ok()?.checked_add(at + 8)?;
            let value = bytes.get(at + 8..end)?;
            bytes.get(end)?;
            fields.set(text, value);
            at = end + 1;
        }
    }
}

impl Fields {
    fn set(&mut self, name: &[u8], value: &[u8]) {
        let text = || std::str::from_utf8(value).ok();
        match name {
            b"__CURSOR" => self.cursor = text().map(str::to_owned),
            b"__REALTIME_TIMESTAMP" => {
                let micros = text().and_then(|text| text.parse().ok());
                self.time = micros.and_then(|micros| Timestamp::from_microsecond(micros).ok());
            }
            b"MESSAGE" => self.message = Some(value.to_vec()),
            b"PRIORITY" => self.priority = text().and_then(|text| text.parse().ok()),
            b"CONTAINER_PARTIAL_MESSAGE" => self.is_part = value == b"true",
            // A leading underscore is the journal's own.
            _ if name.starts_with(b"_") || USUAL.contains(&name) => {}
            _ => {
                let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
                self.extra.insert(text(name), text(value));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &[u8] = b"__CURSOR=a\n__REALTIME_TIMESTAMP=1000001\nPRIORITY=3\nMESSAGE\n\x03\0\0\0\0\0\0\0x\ny\n\n\
        __CURSOR=b\n__REALTIME_TIMESTAMP=2\nMESSAGE=k=v\nCONTAINER_PARTIAL_MESSAGE=true\nPRIORITY=6\n\n";

    #[test]
    fn entries_are_read_with_any_bytes_in_them() {
        let (first, used) = parse(TWO).unwrap();
        assert_eq!(first.cursor.as_deref(), Some("a"));
        assert_eq!(first.time, Timestamp::from_microsecond(1_000_001).ok());
        assert_eq!(first.message.as_deref(), Some(&b"x\ny"[..]));
        assert_eq!((first.priority, first.is_part), (Some(3), false));
        let (second, rest) = parse(&TWO[used..]).unwrap();
        assert_eq!(second.message.as_deref(), Some(&b"k=v"[..]));
        assert!(second.is_part);
        assert_eq!(used + rest, TWO.len());
        let more = b"_PID=1\nCONTAINER_NAME=web\nROLE=front\nMESSAGE=x\n\n";
        let (carrying, _) = parse(more).unwrap();
        let role = ("ROLE".to_owned(), "front".to_owned());
        assert_eq!(carrying.extra, BTreeMap::from([role]));
    }

    #[test]
    fn an_entry_that_is_not_whole_is_waited_for() {
        let (_, used) = parse(TWO).unwrap();
        for length in 0..used {
            assert_eq!(parse(&TWO[..length]), None, "{length}");
        }
    }

    #[test]
    fn the_question_is_what_the_user_asked() {
        let request = request::Logs {
            tail: Some(3),
            since: Timestamp::from_microsecond(1_500_000).ok(),
            ..request::Logs::default()
        };
        let list = arguments("abc", &request, Phase::Following);
        for wanted in [
            "--lines=3",
            "--since=@1.500000",
            "--follow",
            "CONTAINER_ID_FULL=abc",
        ] {
            assert!(list.iter().any(|word| word == wanted), "{wanted}: {list:?}");
        }
        let all = arguments("abc", &request::Logs::default(), Phase::Following);
        assert!(all.iter().any(|word| word == "--no-tail"), "{all:?}");
    }
}
