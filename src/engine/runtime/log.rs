//! Where a container's output goes besides the fronts: files, the journal, a log server. Cuts it into entries; what an
//! entry looks like there is `log_file.rs`, `log_journal.rs` and `log_syslog.rs`.
//!
//! Whoever takes entries over a socket may be slow. Then the rest waits here, and the process is held up until there is
//! room again ([`Log::holds_up`]); with `mode=non-blocking` it is not, and what does not fit in the buffer is lost and
//! counted. Nobody listening at all is no reason to wait: those entries are lost.

use std::collections::VecDeque;
use std::path::Path;
use std::time::{Duration, Instant};

use super::client::Registration;
use super::log_file::{LogFile, Stream};
use super::log_journal::Journal;
use super::log_lines::{End, Lines};
use super::log_syslog::Syslog;
use crate::engine::error::Result;
use crate::engine::model::log::{About, Driver};
use crate::engine::model::{LogConfig, Timestamp};
use crate::engine::sys::outlet::{Outlet, Put};
use crate::engine::sys::poll::{self, Interest, Poller};

/// How long the end of a container waits for whoever takes its last words.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// A log that is being written.
#[derive(Debug)]
pub struct Log(Target);

#[derive(Debug)]
enum Target {
    Nowhere,
    File(Box<LogFile>),
    Socket(Box<Sending>),
}

/// Entries on their way to a socket.
#[derive(Debug)]
struct Sending {
    form: Form,
    outlet: Outlet,
    lines: Lines,
    /// Messages that did not fit yet: those of one piece of a line at most, when nothing else waits.
    stuck: VecDeque<Vec<u8>>,
    /// What was read behind them.
    backlog: VecDeque<Chunk>,
    /// The bytes of `backlog`.
    waiting: usize,
    /// With `mode=non-blocking`: how much may wait.
    buffer: Option<usize>,
    /// Lines that found no room.
    lost: u64,
    registration: Registration,
}

/// What an entry looks like.
#[derive(Debug)]
enum Form {
    Journal(Journal),
    Syslog(Syslog),
}

#[derive(Debug)]
struct Chunk {
    stream: Stream,
    bytes: Vec<u8>,
    time: Timestamp,
}

impl Log {
    /// Opens the log that the configuration asks for. `path` is the file of drivers that have one.
    ///
    /// # Errors
    /// What open(2) says; a journal or server that is not there.
    pub fn open(path: &Path, config: &LogConfig, about: &About) -> Result<Self> {
        let target = match config.driver {
            Driver::None => Target::Nowhere,
            Driver::JsonFile | Driver::Local => {
                Target::File(Box::new(LogFile::open(path, config)?.carrying(about)))
            }
            Driver::Journald => {
                let outlet = Journal::outlet()?;
                Target::socket(Form::Journal(Journal::new(about)), outlet, config)
            }
            Driver::Syslog => {
                let (form, outlet) = Syslog::open(&config.syslog, about)?;
                Target::socket(Form::Syslog(form), outlet, config)
            }
        };
        Ok(Self(target))
    }

    /// Keeps nothing.
    #[must_use]
    pub fn nowhere() -> Self {
        Self(Target::Nowhere)
    }

    /// Stores what was read from a stream; the beginning of a line is kept until its end comes.
    pub fn append(&mut self, stream: Stream, bytes: &[u8], now: Timestamp) {
        match &mut self.0 {
            Target::Nowhere => {}
            Target::File(file) => file.append(stream, bytes, now),
            Target::Socket(sending) => sending.append(stream, bytes, now),
        }
    }

    /// The streams are at their end: a last line without newline is stored as it is. Waits up to five seconds for a
    /// socket that has no room.
    pub fn end(&mut self, now: Timestamp) {
        match &mut self.0 {
            Target::Nowhere => {}
            Target::File(file) => file.end(now),
            Target::Socket(sending) => sending.end(now),
        }
    }

    /// Nothing more should be read from the process for now.
    #[must_use]
    pub fn holds_up(&self) -> bool {
        match &self.0 {
            Target::Nowhere | Target::File(_) => false,
            Target::Socket(sending) => sending.buffer.is_none() && sending.is_stuck(),
        }
    }

    /// Waits for room, if there is something to send.
    ///
    /// # Errors
    /// What epoll_ctl(2) says.
    pub(super) fn register(&mut self, poller: &Poller, token: u64) -> Result<()> {
        match &mut self.0 {
            Target::Nowhere | Target::File(_) => Ok(()),
            Target::Socket(sending) => {
                let interest = Interest {
                    read: false,
                    write: sending.is_stuck(),
                };
                let fd = sending.outlet.descriptor();
                sending.registration.set(poller, fd, token, interest)
            }
        }
    }

    /// There is room: sends what waits.
    pub(super) fn resume(&mut self, poller: &Poller) {
        if let Target::Socket(sending) = &mut self.0 {
            // A new connection has a new descriptor.
            let fd = sending.outlet.descriptor();
            let _ = sending.registration.clear(poller, fd);
            sending.resume();
        }
    }
}

impl Target {
    fn socket(form: Form, outlet: Outlet, config: &LogConfig) -> Self {
        Self::Socket(Box::new(Sending {
            form,
            outlet,
            lines: Lines::default(),
            stuck: VecDeque::new(),
            backlog: VecDeque::new(),
            waiting: 0,
            buffer: config
                .buffer
                .map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX)),
            lost: 0,
            registration: Registration::default(),
        }))
    }
}

impl Sending {
    fn is_stuck(&self) -> bool {
        !self.stuck.is_empty()
    }

    fn append(&mut self, stream: Stream, bytes: &[u8], now: Timestamp) {
        if self.is_stuck() {
            self.keep(stream, bytes, now);
        } else {
            self.feed(stream, bytes, now);
        }
    }

    /// Behind what waits already.
    fn keep(&mut self, stream: Stream, bytes: &[u8], time: Timestamp) {
        let fits = |buffer| self.waiting + bytes.len() <= buffer;
        if !self.buffer.is_none_or(fits) {
            let lines = bytes.split_inclusive(|byte| *byte == b'\n').count();
            self.lost += lines as u64;
            return;
        }
        self.waiting += bytes.len();
        self.backlog.push_back(Chunk {
            stream,
            bytes: bytes.to_vec(),
            time,
        });
    }

    /// Sends entry by entry until there is no room; the rest is put in front of what waits.
    fn feed(&mut self, stream: Stream, bytes: &[u8], time: Timestamp) {
        let mut used = 0;
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.is_stuck() {
                break;
            }
            used += piece.len();
            let mut lines = std::mem::take(&mut self.lines);
            lines.add(stream, piece, &mut |text, end| {
                self.entry(stream, text, end, time);
            });
            self.lines = lines;
        }
        let rest = bytes.get(used..).unwrap_or_default();
        if !rest.is_empty() {
            self.waiting += rest.len();
            self.backlog.push_front(Chunk {
                stream,
                bytes: rest.to_vec(),
                time,
            });
        }
    }

    fn entry(&mut self, stream: Stream, text: &[u8], end: End, time: Timestamp) {
        let message = match &mut self.form {
            Form::Journal(journal) => journal.entry(stream, text, end, time),
            Form::Syslog(syslog) => syslog.entry(stream, text, time),
        };
        // An entry that says nothing there.
        let Some(message) = message else { return };
        self.stuck.push_back(message);
        self.flush();
    }

    /// Sends what is ready to be sent, as far as there is room.
    fn flush(&mut self) {
        while let Some(message) = self.stuck.front_mut() {
            match self.outlet.put(message) {
                Put::Done => {}
                Put::Full => return,
                // Nobody is there, or it can never fit.
                Put::Lost => self.lost += 1,
            }
            self.stuck.pop_front();
        }
        if self.stuck.capacity() > 64 {
            self.stuck.shrink_to_fit();
        }
    }

    fn resume(&mut self) {
        self.flush();
        self.confess();
        while !self.is_stuck() {
            let Some(chunk) = self.backlog.pop_front() else {
                self.backlog.shrink_to_fit();
                return;
            };
            self.waiting -= chunk.bytes.len();
            self.feed(chunk.stream, &chunk.bytes, chunk.time);
        }
    }

    /// Says what is missing, once there is room again.
    fn confess(&mut self) {
        if self.lost == 0 || self.is_stuck() || !self.outlet.is_heard() {
            return;
        }
        let lost = std::mem::take(&mut self.lost);
        let text = format!("wharf: {lost} log entries were lost: no room\n");
        self.entry(Stream::Stderr, text.as_bytes(), End::Line, Timestamp::now());
    }

    fn end(&mut self, now: Timestamp) {
        let deadline = Instant::now() + LAST_WORDS;
        self.drain(deadline);
        let mut lines = std::mem::take(&mut self.lines);
        lines.end(&mut |stream, text| self.entry(stream, text, End::Stream, now));
        self.lines = lines;
        self.drain(deadline);
        self.stuck.clear();
        self.backlog.clear();
        self.waiting = 0;
    }

    fn drain(&mut self, deadline: Instant) {
        self.resume();
        while self.is_stuck() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || poll::wait_writable(self.outlet.descriptor(), Some(left)).is_err()
            {
                return;
            }
            self.resume();
        }
    }
}
