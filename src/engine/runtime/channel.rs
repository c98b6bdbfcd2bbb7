//! The conversation between a front and a monitor or exec supervisor, over one unix stream socket.
//!
//! Every message is a frame: kind (1 byte), three zero bytes, length (big-endian u32), payload. Streams travel as they
//! are; [`Request`] and [`Report`] are JSON. What a monitor does with a frame is `monitor.rs`, asking for it is
//! `control.rs`.
//!
//! ```text
//! front                                    monitor, exec supervisor
//!   request ──────────────────────────────>
//!          <────────────────────────────── report: started | error | done
//!   stdin, close-stdin, resize, detach ───>            (only if attached)
//!          <────────────────────────────── stdout, stderr, report: exit
//! ```

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use oci_spec::runtime::Process;

use crate::engine::error::{Attempt, Error, Kind, Result};
use crate::engine::model::network::Attachment;
use crate::engine::model::request::{AttachTo, TerminalSize};
use crate::engine::sys::socket;

/// Length of a frame's header in bytes.
pub const HEADER: usize = 8;

/// Largest payload of a frame with bytes of a stream.
pub const MAX_STREAM: usize = 1 << 20;

/// Largest payload of a request or report: an exec's arguments and environment may be as long as execve(2) takes.
pub const MAX_MESSAGE: usize = 8 << 20;

/// Standard input is cut into frames of this many bytes.
const STDIN_PART: usize = 32 * 1024;

/// How much is asked of the socket at once.
const READ_SIZE: usize = 64 * 1024;

/// What a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameKind {
    /// Bytes for standard input.
    Stdin = 1,
    /// Bytes of standard output.
    Stdout = 2,
    /// Bytes of standard error.
    Stderr = 3,
    /// Two big-endian u16: rows, columns.
    Resize = 4,
    /// Standard input is at its end.
    CloseStdin = 5,
    /// The front leaves; the process goes on.
    Detach = 6,
    /// A [`Report`].
    Report = 7,
    /// A [`Request`].
    Request = 8,
}

impl FrameKind {
    fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Stdin,
            2 => Self::Stdout,
            3 => Self::Stderr,
            4 => Self::Resize,
            5 => Self::CloseStdin,
            6 => Self::Detach,
            7 => Self::Report,
            8 => Self::Request,
            _ => return None,
        })
    }

    fn limit(self) -> usize {
        match self {
            Self::Stdin | Self::Stdout | Self::Stderr => MAX_STREAM,
            Self::Resize => 4,
            Self::CloseStdin | Self::Detach => 0,
            Self::Report | Self::Request => MAX_MESSAGE,
        }
    }
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub kind: FrameKind,
    /// Its content.
    pub payload: Vec<u8>,
}

/// Why bytes are not a frame. The stream cannot be read on after one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The first byte is none of [`FrameKind`].
    #[error("unknown kind of frame {0}")]
    UnknownKind(u8),
    /// Bytes 1 to 3 are not zero.
    #[error("reserved bytes of a frame are not zero")]
    Reserved,
    /// The length is more than this kind may have.
    #[error("frame of {0} bytes is too long")]
    TooLong(usize),
}

/// The header of a frame with a payload of `length` bytes; longer ones than [`MAX_MESSAGE`] are never sent.
#[must_use]
pub fn header(kind: FrameKind, length: usize) -> [u8; HEADER] {
    let [a, b, c, d] = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    [kind as u8, 0, 0, 0, a, b, c, d]
}

/// Appends a frame to `out`.
pub fn encode(out: &mut Vec<u8>, kind: FrameKind, payload: &[u8]) {
    out.reserve(HEADER + payload.len());
    out.extend_from_slice(&header(kind, payload.len()));
    out.extend_from_slice(payload);
}

/// Appends a report to `out`.
pub fn encode_report(out: &mut Vec<u8>, report: &Report) {
    encode_json(out, FrameKind::Report, report);
}

/// Appends a request to `out`.
pub fn encode_request(out: &mut Vec<u8>, request: &Request) {
    encode_json(out, FrameKind::Request, request);
}

fn encode_json(out: &mut Vec<u8>, kind: FrameKind, message: &impl serde::Serialize) {
    let text = serde_json::to_vec(message).expect("messages are maps with text keys");
    encode(out, kind, &text);
}

/// Puts frames together from bytes as they come. It holds no more than what has arrived: a header that promises much
/// allocates nothing.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    /// Bytes of `buffer` that were given out already.
    taken: usize,
}

impl Decoder {
    /// Takes bytes from the socket.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.taken > 0 {
            self.buffer.drain(..self.taken);
            self.taken = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame; `None` until there are more bytes.
    ///
    /// # Errors
    /// [`FrameError`]; the same again on every later call.
    pub fn next(&mut self) -> Result<Option<Frame>, FrameError> {
        let rest = self.buffer.get(self.taken..).unwrap_or_default();
        let Some((&[kind, r1, r2, r3, a, b, c, d], rest)) = rest.split_first_chunk::<HEADER>()
        else {
            self.shrink();
            return Ok(None);
        };
        let Some(kind) = FrameKind::from_byte(kind) else {
            return Err(FrameError::UnknownKind(kind));
        };
        if [r1, r2, r3] != [0; 3] {
            return Err(FrameError::Reserved);
        }
        let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        if length > kind.limit() {
            return Err(FrameError::TooLong(length));
        }
        let Some(payload) = rest.get(..length) else {
            return Ok(None);
        };
        let payload = payload.to_vec();
        self.taken += HEADER + length;
        Ok(Some(Frame { kind, payload }))
    }

    /// Bytes that are waiting for the rest of their frame.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.buffer.len() - self.taken
    }

    /// Gives memory back when nothing is kept: a monitor lives long and mostly idle.
    fn shrink(&mut self) {
        if self.taken == self.buffer.len() {
            self.buffer = Vec::new();
            self.taken = 0;
        }
    }
}

/// What a front asks of a monitor (or, with [`Request::Exec`], of an exec supervisor): the first frame it sends.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case")]
pub enum Request {
    /// The first frame on a monitor's descriptor 0. Answer: `started` or `error`; with `attach` the session follows.
    Start {
        /// Attach from the first byte on.
        attach: Option<AttachTo>,
        /// Restarts by policy so far: not 0 when recovery restarts a container whose monitor died.
        restart_count: u32,
    },
    /// The first frame on an exec supervisor's descriptor 0. Answer: as `start`; without `attach` it then goes on alone.
    Exec(Box<ExecRequest>),
    /// The first frame on a probe's supervisor's descriptor 0, from the monitor. Answer: `probed` or `error`; when the
    /// monitor closes its side before that, the probe is ended.
    Probe(ProbeRequest),
    /// Join the streams. Answer: `done`, then the session.
    Attach(AttachTo),
    /// Send a signal to the main process. Answer: `done` or `error`.
    Signal {
        /// Its number.
        number: i32,
    },
    /// Signal, grace time, SIGKILL. Answer: `exit`, when it is over and everything is torn down.
    Stop {
        /// Signal number; the plan's if `None`.
        signal: Option<i32>,
        /// Seconds; the plan's if `None`, without limit if negative.
        timeout: Option<i64>,
        /// Do not remove it even if its plan says so: it is about to be started again.
        keep: bool,
    },
    /// Freeze. Answer: `done` or `error`.
    Pause,
    /// Thaw. Answer: `done` or `error`.
    Unpause,
    /// Answer: `exit`, when it is over and everything is torn down.
    Wait,
    /// The terminal has a new size. Answer: `done` or `error`.
    Resize(TerminalSize),
    /// One network more. Answer: `done` or `error`.
    Connect(Box<Attachment>),
    /// One network less. Answer: `done` or `error`.
    Disconnect {
        /// The network as the container's record names it.
        network: String,
    },
    /// The plan on disk has another name or restart policy. Answer: `done` or `error`.
    Reread,
}

/// What an exec supervisor is to run.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ExecRequest {
    /// The process (`runtime::spec::exec_process`).
    pub process: Process,
    /// Streams for the front; `None` runs it detached: the supervisor reports `started` and goes on alone.
    pub attach: Option<AttachTo>,
    /// Id of this exec, 64 hexadecimal digits as Docker's, for events.
    pub exec_id: String,
}

/// A health probe.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ProbeRequest {
    /// The container's main process.
    pub pid: i32,
    /// That process's start time in clock ticks since boot.
    pub pid_start: u64,
    /// What is run.
    pub command: Vec<String>,
    /// How long it may run.
    pub timeout: Duration,
}

/// What a health probe did.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Probed {
    /// Exit code; 128 + signal if it was killed.
    pub code: i32,
    /// It was killed because it ran too long.
    pub late: bool,
    /// Beginning of its output, both streams; bytes that are not UTF-8 are replaced.
    pub output: String,
}

/// What a monitor or supervisor answers.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "report", rename_all = "kebab-case")]
pub enum Report {
    /// The process runs.
    Started {
        /// Its pid.
        pid: i32,
    },
    /// It was done.
    Done,
    /// The process ended.
    Exit(Exit),
    /// The probe ended.
    Probed(Probed),
    /// It was not possible.
    Error {
        /// [`Kind`] by name.
        kind: String,
        /// The whole line.
        message: String,
        /// What to do next.
        hint: Option<String>,
    },
}

impl Report {
    /// An error as it travels.
    #[must_use]
    pub fn error(error: &Error) -> Self {
        Self::Error {
            kind: kind_name(error.kind()).to_owned(),
            message: error.to_string(),
            hint: error.hint().map(str::to_owned),
        }
    }

    /// The error that arrived, if this is one.
    ///
    /// # Errors
    /// That error.
    pub fn or_error(self) -> Result<Self> {
        match self {
            Self::Error {
                kind,
                message,
                hint,
            } => {
                let error = Error::new(kind_of_name(&kind), message);
                Err(match hint {
                    Some(hint) => error.with_hint(hint),
                    None => error,
                })
            }
            Self::Started { .. } | Self::Done | Self::Exit(_) | Self::Probed(_) => Ok(self),
        }
    }
}

/// Names of error kinds on the wire; monitor and front may be of different versions.
const KINDS: &[(Kind, &str)] = &[
    (Kind::InvalidInput, "invalid-input"),
    (Kind::NotFound, "not-found"),
    (Kind::AlreadyExists, "already-exists"),
    (Kind::Conflict, "conflict"),
    (Kind::Unauthorized, "unauthorized"),
    (Kind::Denied, "denied"),
    (Kind::Unsupported, "unsupported"),
    (Kind::Unavailable, "unavailable"),
    (Kind::NoSpace, "no-space"),
    (Kind::Timeout, "timeout"),
    (Kind::Cancelled, "cancelled"),
    (Kind::CommandNotRunnable, "command-not-runnable"),
    (Kind::CommandNotFound, "command-not-found"),
    (Kind::Internal, "internal"),
];

fn kind_name(kind: Kind) -> &'static str {
    KINDS
        .iter()
        .find(|(known, _)| *known == kind)
        .map_or("internal", |(_, name)| name)
}

fn kind_of_name(name: &str) -> Kind {
    KINDS
        .iter()
        .find(|(_, known)| *known == name)
        .map_or(Kind::Internal, |(kind, _)| *kind)
}

/// What a session delivers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Bytes of standard output (everything, if there is a terminal).
    Stdout(Vec<u8>),
    /// Bytes of standard error.
    Stderr(Vec<u8>),
    /// The process ended; nothing comes after it.
    Exited(Exit),
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Exit {
    /// Exit code; 128 + signal if it was killed.
    pub code: i32,
    /// The memory limit killed it.
    pub oom_killed: bool,
}

/// One end of the conversation, for a front: blocking.
#[derive(Debug)]
pub struct Channel {
    stream: OwnedFd,
    decoder: Decoder,
}

impl Channel {
    /// A conversation over a connected socket.
    #[must_use]
    pub fn new(stream: OwnedFd) -> Self {
        Self {
            stream,
            decoder: Decoder::default(),
        }
    }

    /// Sends a request.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] when the other side is gone; otherwise what send(2) says.
    pub fn request(&self, request: &Request) -> Result<()> {
        let mut bytes = Vec::new();
        encode_request(&mut bytes, request);
        socket::send_all(&self.stream, &bytes).attempt(|| "send request")
    }

    /// The next frame; `None` when the other side has closed.
    ///
    /// # Errors
    /// What recv(2) says; [`Kind::Internal`] for a malformed frame.
    pub fn frame(&mut self) -> Result<Option<Frame>> {
        let mut bytes = Vec::new();
        loop {
            if let Some(frame) = self.decoder.next().map_err(malformed)? {
                return Ok(Some(frame));
            }
            bytes.resize(READ_SIZE, 0);
            let count = socket::receive(&self.stream, &mut bytes)?;
            if count == 0 {
                return Ok(None);
            }
            self.decoder.push(bytes.get(..count).unwrap_or_default());
        }
    }

    /// The next report; frames of streams before it are passed over. `None` when the other side has closed.
    ///
    /// # Errors
    /// As [`Self::frame`]; the error that the report is.
    pub fn report(&mut self) -> Result<Option<Report>> {
        while let Some(frame) = self.frame()? {
            if frame.kind == FrameKind::Report {
                return parse_report(&frame.payload)?.or_error().map(Some);
            }
        }
        Ok(None)
    }

    /// The conversation goes on as a session.
    #[must_use]
    pub fn into_session(self) -> Session {
        Session { channel: self }
    }

    /// The socket alone: what was received and not yet taken is dropped.
    #[must_use]
    pub(super) fn into_stream(self) -> OwnedFd {
        self.stream
    }

    /// What is said next can be seen coming with poll(2), unless something is here already.
    #[must_use]
    pub fn has_pending(&self) -> bool {
        self.decoder.pending() > 0
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// Reads a request.
///
/// # Errors
/// [`Kind::InvalidInput`] if it is not one.
pub fn parse_request(payload: &[u8]) -> Result<Request> {
    serde_json::from_slice(payload)
        .map_err(|error| Error::invalid("malformed request").caused_by(error))
}

/// Reads a terminal size.
///
/// # Errors
/// [`Kind::InvalidInput`] if it is not one.
pub fn parse_size(payload: &[u8]) -> Result<TerminalSize> {
    match *payload {
        [a, b, c, d] => Ok(TerminalSize {
            rows: u16::from_be_bytes([a, b]),
            cols: u16::from_be_bytes([c, d]),
        }),
        _ => Err(Error::invalid("malformed terminal size")),
    }
}

/// Reads a report.
///
/// # Errors
/// [`Kind::Internal`] if it is not one.
pub fn parse_report(payload: &[u8]) -> Result<Report> {
    serde_json::from_slice(payload)
        .map_err(|error| Error::new(Kind::Internal, "malformed report").caused_by(error))
}

fn malformed(error: FrameError) -> Error {
    Error::new(Kind::Internal, "malformed message").caused_by(error)
}

/// An attached stream to a container's main process or to an exec.
#[derive(Debug)]
pub struct Session {
    channel: Channel,
}

/// The receiving half.
#[derive(Debug)]
pub struct SessionReader {
    channel: Channel,
    exited: bool,
}

/// The sending half.
#[derive(Debug)]
pub struct SessionWriter {
    stream: OwnedFd,
}

impl Session {
    /// Splits into independent halves, for two threads.
    ///
    /// # Errors
    /// If the descriptor cannot be duplicated.
    pub fn split(self) -> Result<(SessionReader, SessionWriter)> {
        let stream = self
            .channel
            .stream
            .try_clone()
            .attempt(|| "duplicate session socket")?;
        let reader = SessionReader {
            channel: self.channel,
            exited: false,
        };
        Ok((reader, SessionWriter { stream }))
    }
}

impl SessionReader {
    /// Blocks for the next output; `None` when the other side closed without an exit (the monitor died, or detached).
    ///
    /// # Errors
    /// What read(2) says, or a malformed frame.
    pub fn next(&mut self) -> Result<Option<Output>> {
        loop {
            if self.exited {
                return Ok(None);
            }
            let Some(frame) = self.channel.frame()? else {
                return Ok(None);
            };
            match frame.kind {
                FrameKind::Stdout => return Ok(Some(Output::Stdout(frame.payload))),
                FrameKind::Stderr => return Ok(Some(Output::Stderr(frame.payload))),
                FrameKind::Report => match parse_report(&frame.payload)?.or_error()? {
                    Report::Exit(exit) => {
                        self.exited = true;
                        return Ok(Some(Output::Exited(exit)));
                    }
                    Report::Started { .. }
                    | Report::Done
                    | Report::Probed(_)
                    | Report::Error { .. } => {}
                },
                FrameKind::Stdin
                | FrameKind::Resize
                | FrameKind::CloseStdin
                | FrameKind::Detach
                | FrameKind::Request => {
                    return Err(Error::new(
                        Kind::Internal,
                        "session: the other side sent a front's frame",
                    ));
                }
            }
        }
    }

    /// Whether [`Self::next`] may return without the descriptor being readable: look before poll(2).
    #[must_use]
    pub fn has_pending(&self) -> bool {
        self.channel.has_pending()
    }
}

impl AsFd for SessionReader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }
}

impl SessionWriter {
    /// Sends bytes to the process's standard input. Blocks while the process does not read.
    ///
    /// # Errors
    /// What write(2) says; [`Kind::Unavailable`] when the other side is gone.
    pub fn stdin(&mut self, bytes: &[u8]) -> Result<()> {
        bytes
            .chunks(STDIN_PART)
            .try_for_each(|part| self.send(FrameKind::Stdin, part))
    }

    /// End of standard input.
    ///
    /// # Errors
    /// As [`Self::stdin`].
    pub fn close_stdin(&mut self) -> Result<()> {
        self.send(FrameKind::CloseStdin, &[])
    }

    /// The terminal has a new size.
    ///
    /// # Errors
    /// As [`Self::stdin`].
    pub fn resize(&mut self, size: TerminalSize) -> Result<()> {
        let [a, b] = size.rows.to_be_bytes();
        let [c, d] = size.cols.to_be_bytes();
        self.send(FrameKind::Resize, &[a, b, c, d])
    }

    /// Ends [`SessionReader::next`] of the other half with `None`; the process goes on.
    pub fn detach(&mut self) {
        // A monitor that is gone has nothing to detach from, and one whose input is full learns it from the end of
        // the stream; either way the reader must come back.
        let mut frame = Vec::new();
        encode(&mut frame, FrameKind::Detach, &[]);
        let _ = socket::send_now(&self.stream, &frame);
        let _ = socket::shutdown(&self.stream);
    }

    fn send(&self, kind: FrameKind, payload: &[u8]) -> Result<()> {
        let mut bytes = Vec::new();
        encode(&mut bytes, kind, payload);
        socket::send_all(&self.stream, &bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use proptest::prelude::*;

    use super::*;

    const ALL: [FrameKind; 8] = [
        FrameKind::Stdin,
        FrameKind::Stdout,
        FrameKind::Stderr,
        FrameKind::Resize,
        FrameKind::CloseStdin,
        FrameKind::Detach,
        FrameKind::Report,
        FrameKind::Request,
    ];

    fn pair() -> (Channel, UnixStream) {
        let (a, b) = UnixStream::pair().unwrap();
        (Channel::new(a.into()), b)
    }

    #[test]
    fn a_frame_that_promises_too_much_is_refused_before_it_comes() {
        let mut decoder = Decoder::default();
        decoder.push(&[2, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(decoder.next(), Err(FrameError::TooLong(0xffff_ffff)));
        assert_eq!(decoder.next(), Err(FrameError::TooLong(0xffff_ffff)));
    }

    #[test]
    fn a_promise_allocates_nothing() {
        let mut decoder = Decoder::default();
        decoder.push(&header(FrameKind::Stdout, MAX_STREAM));
        assert_eq!(decoder.next(), Ok(None));
        assert!(decoder.buffer.capacity() < 1024);
    }

    #[test]
    fn unknown_kinds_and_reserved_bytes_are_refused() {
        let mut decoder = Decoder::default();
        decoder.push(&[9, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(decoder.next(), Err(FrameError::UnknownKind(9)));
        let mut decoder = Decoder::default();
        decoder.push(&[2, 0, 1, 0, 0, 0, 0, 0]);
        assert_eq!(decoder.next(), Err(FrameError::Reserved));
    }

    #[test]
    fn every_kind_of_error_survives_the_way() {
        for (kind, name) in KINDS {
            let sent = Report::error(&Error::new(*kind, "start web").with_hint("look"));
            let text = serde_json::to_string(&sent).unwrap();
            assert!(text.contains(name), "{text}");
            let received: Report = serde_json::from_str(&text).unwrap();
            let error = received.or_error().unwrap_err();
            assert_eq!(error.kind(), *kind);
            assert_eq!((error.message(), error.hint()), ("start web", Some("look")));
        }
    }

    #[test]
    fn a_session_ends_with_the_exit() {
        use std::io::Write;
        let (channel, mut other) = pair();
        let (mut reader, _writer) = channel.into_session().split().unwrap();
        let mut bytes = Vec::new();
        encode(&mut bytes, FrameKind::Stdout, b"hi");
        let exit = Exit {
            code: 3,
            oom_killed: false,
        };
        encode_report(&mut bytes, &Report::Exit(exit));
        encode(&mut bytes, FrameKind::Stdout, b"late");
        other.write_all(&bytes).unwrap();
        assert_eq!(reader.next().unwrap(), Some(Output::Stdout(b"hi".to_vec())));
        assert_eq!(reader.next().unwrap(), Some(Output::Exited(exit)));
        assert_eq!(reader.next().unwrap(), None);
    }

    #[test]
    fn detaching_ends_the_other_half() {
        let (channel, other) = pair();
        let (mut reader, mut writer) = channel.into_session().split().unwrap();
        writer.detach();
        assert_eq!(reader.next().unwrap(), None);
        let mut channel = Channel::new(other.into());
        assert_eq!(channel.frame().unwrap().unwrap().kind, FrameKind::Detach);
    }

    #[test]
    fn writing_to_a_monitor_that_is_gone_says_so() {
        let (channel, other) = pair();
        let (_reader, mut writer) = channel.into_session().split().unwrap();
        drop(other);
        assert_eq!(writer.stdin(b"x").unwrap_err().kind(), Kind::Unavailable);
    }

    proptest! {
        #[test]
        fn frames_survive_any_cutting(
            frames in prop::collection::vec((0usize..8, prop::collection::vec(any::<u8>(), 0..300)), 0..6),
            step in 1usize..50,
        ) {
            let frames: Vec<Frame> = frames
                .into_iter()
                .map(|(kind, mut payload)| {
                    let kind = ALL[kind];
                    payload.truncate(kind.limit());
                    Frame { kind, payload }
                })
                .collect();
            let mut bytes = Vec::new();
            for frame in &frames {
                encode(&mut bytes, frame.kind, &frame.payload);
            }
            let mut decoder = Decoder::default();
            let mut decoded = Vec::new();
            for part in bytes.chunks(step) {
                decoder.push(part);
                while let Some(frame) = decoder.next().unwrap() {
                    decoded.push(frame);
                }
            }
            prop_assert_eq!(decoded, frames);
            prop_assert_eq!(decoder.pending(), 0);
        }

        #[test]
        fn any_bytes_are_frames_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut decoder = Decoder::default();
            decoder.push(&bytes);
            while let Ok(Some(_)) = decoder.next() {}
        }
    }
}
