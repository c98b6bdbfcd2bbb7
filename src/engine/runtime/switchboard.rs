//! Connects one process's streams with any number of fronts: for the monitor and the exec supervisor alike.
//!
//! Output goes to whoever is attached, and to a sink (the log). A front that does not read holds the process up, as the
//! reader of a pipe does: nothing is lost and memory stays flat. Only the front that started the process may do so for
//! ever; one that joined later is dropped after ten seconds. Input comes from whoever is attached with standard input;
//! when the process does not read it, no more is received.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use super::channel::{Exit, FrameKind, HEADER, Report, Request, parse_request, parse_size};
use super::client::{Client, HIGH, Registration};
use super::launch::Streams;
use super::log_file::Stream;
use crate::engine::error::{Error, Result};
use crate::engine::model::request::TerminalSize;
use crate::engine::sys::own;
use crate::engine::sys::poll::{Interest, Poller, Ready};
use crate::engine::sys::stream::{self, Got, Put};

/// How much is read from the process at once: what a pipe holds.
const READ: usize = 64 * 1024;

/// With so much input that the process has not read, no more is received.
const INPUT_HIGH: usize = 64 * 1024;

/// At the end, a terminal is read so far at most: somebody may still hold it open and write.
const LAST_READ: u64 = 1 << 20;

/// How long the end is waited for by fronts that do not read, when the kernel does not take it all.
const LINGER: Duration = Duration::from_secs(10);

const STDIN: u64 = 100;
const SOURCE: u64 = 101;
/// Fronts have tokens from here on; below 100 they are the owner's.
const FRONT: u64 = 1000;

/// Where output goes besides the fronts.
pub(super) type Sink<'a> = &'a mut dyn FnMut(Stream, &[u8]);

/// What a front wants of the owner.
#[derive(Debug)]
pub(super) struct Asked {
    /// Which front.
    pub(super) front: usize,
    /// What.
    pub(super) request: Request,
}

/// The connections.
#[derive(Debug)]
pub(super) struct Switchboard {
    poller: Poller,
    fronts: Vec<Option<Client>>,
    /// Positions are tokens: one that has ended leaves its place empty.
    sources: Vec<Option<Source>>,
    input: Option<Input>,
    /// The terminal's master, for its size.
    terminal: Option<OwnedFd>,
    /// Last size that a front told.
    size: Option<TerminalSize>,
    /// Standard input ends when the first front attached to it leaves.
    stdin_once: bool,
    /// Kept while there is traffic.
    buffer: Vec<u8>,
    /// Whoever takes the output besides the fronts has no room.
    held_up: bool,
    /// Nothing is expected to happen soon.
    rests: bool,
}

#[derive(Debug)]
struct Source {
    fd: OwnedFd,
    stream: Stream,
    registration: Registration,
}

#[derive(Debug)]
struct Input {
    fd: OwnedFd,
    queue: Vec<u8>,
    /// Close it when the queue is written.
    ends: bool,
    is_terminal: bool,
    registration: Registration,
}

impl Switchboard {
    /// Without process and fronts.
    pub(super) fn new(stdin_once: bool) -> Result<Self> {
        Ok(Self {
            poller: Poller::new()?,
            fronts: Vec::new(),
            sources: Vec::new(),
            input: None,
            terminal: None,
            size: None,
            stdin_once,
            buffer: Vec::new(),
            held_up: false,
            rests: false,
        })
    }

    /// For the owner's own descriptors, with tokens below 100.
    pub(super) fn poller(&self) -> &Poller {
        &self.poller
    }

    /// Connects the process's streams.
    pub(super) fn plug(&mut self, streams: Streams) -> Result<()> {
        match streams {
            Streams::Inherited => {}
            Streams::Pipes {
                stdin,
                stdout,
                stderr,
            } => {
                self.add_source(stdout, Stream::Stdout)?;
                self.add_source(stderr, Stream::Stderr)?;
                if let Some(stdin) = stdin {
                    self.set_input(stdin, false)?;
                }
            }
            Streams::Terminal(master) => {
                let copy = |fd: &OwnedFd| {
                    fd.try_clone()
                        .map_err(|error| Error::io("duplicate the terminal", error))
                };
                self.set_input(copy(&master)?, true)?;
                self.terminal = Some(copy(&master)?);
                self.add_source(master, Stream::Stdout)?;
            }
        }
        Ok(())
    }

    fn add_source(&mut self, fd: OwnedFd, stream: Stream) -> Result<()> {
        stream::set_nonblocking(&fd)?;
        self.sources.push(Some(Source {
            fd,
            stream,
            registration: Registration::default(),
        }));
        Ok(())
    }

    fn set_input(&mut self, fd: OwnedFd, is_terminal: bool) -> Result<()> {
        stream::set_nonblocking(&fd)?;
        self.input = Some(Input {
            fd,
            queue: Vec::new(),
            ends: false,
            is_terminal,
            registration: Registration::default(),
        });
        Ok(())
    }

    /// The process is gone: delivers what it left in its streams and takes them out.
    pub(super) fn unplug(&mut self, sink: Sink<'_>) {
        self.input = None;
        let is_terminal = self.terminal.take().is_some();
        for source in std::mem::take(&mut self.sources).into_iter().flatten() {
            // Whatever the process wrote is in the pipe by now; if somebody outside still writes, that is not of it.
            // FIONREAD of a terminal does not count what its line discipline has not seen.
            let mut left = if is_terminal {
                LAST_READ
            } else {
                stream::waiting(&source.fd).unwrap_or(LAST_READ)
            };
            while left > 0 {
                let Ok(Got::Bytes(count)) = self.transfer(&source, sink) else {
                    break;
                };
                left = left.saturating_sub(count as u64);
            }
        }
    }

    /// Adds a front; its number.
    pub(super) fn connect(&mut self, client: Client) -> usize {
        let free = self.fronts.iter().position(Option::is_none);
        let at = free.unwrap_or(self.fronts.len());
        if at == self.fronts.len() {
            self.fronts.push(None);
        }
        if let Some(slot) = self.fronts.get_mut(at) {
            *slot = Some(client);
        }
        at
    }

    /// A front, if it is still there.
    pub(super) fn front(&mut self, at: usize) -> Option<&mut Client> {
        self.fronts.get_mut(at)?.as_mut()
    }

    /// Sends a report to a front, which is dropped if that is not possible.
    pub(super) fn report(&mut self, at: usize, report: &Report) {
        let sent = self.front(at).map(|client| client.report(report));
        if matches!(sent, Some(Err(_))) {
            self.disconnect(at, Leave::Lost);
        }
    }

    /// The last known size of a front's terminal.
    pub(super) fn size(&self) -> Option<TerminalSize> {
        self.size
    }

    /// Sets the size of the process's terminal, now and at its next start; `false` if it has none now.
    pub(super) fn resize(&mut self, size: TerminalSize) -> bool {
        self.size = Some(size);
        match &self.terminal {
            Some(terminal) => stream::set_size(terminal, size).is_ok(),
            None => false,
        }
    }

    /// Whether the process's output stays where it is for now.
    pub(super) fn hold_output(&mut self, held_up: bool) {
        self.held_up = held_up;
    }

    /// Waits for something to happen, at most until `deadline`.
    pub(super) fn wait(&mut self, deadline: Option<Instant>) -> Result<Vec<Ready>> {
        self.register()?;
        let stalled = self
            .fronts
            .iter()
            .flatten()
            .filter_map(Client::drop_at)
            .min();
        let deadline = match (deadline, stalled) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        let patience = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        let ready = if std::mem::take(&mut self.rests) {
            self.poller.wait_at_rest(patience)?
        } else {
            self.poller.wait(patience)?
        };
        let now = Instant::now();
        for at in 0..self.fronts.len() {
            let late = self.front(at).and_then(|client| client.drop_at());
            if late.is_some_and(|at| at <= now) {
                self.disconnect(at, Leave::Lost);
            }
        }
        Ok(ready)
    }

    fn register(&mut self) -> Result<()> {
        // Both streams are held up together: their order is worth something.
        let by_a_front = self.fronts.iter().flatten().any(|client| {
            let takes_output = client.attached.is_some_and(|to| to.stdout || to.stderr);
            takes_output && client.backlog() >= HIGH
        });
        let interest = Interest {
            read: !(by_a_front || self.held_up),
            write: false,
        };
        for (number, slot) in self.sources.iter_mut().enumerate() {
            if let Some(source) = slot {
                let token = SOURCE + number as u64;
                source
                    .registration
                    .set(&self.poller, &source.fd, token, interest)?;
            }
        }
        let mut input_full = false;
        if let Some(input) = &mut self.input {
            input_full = input.queue.len() >= INPUT_HIGH;
            let interest = Interest {
                read: false,
                write: !input.queue.is_empty(),
            };
            input
                .registration
                .set(&self.poller, &input.fd, STDIN, interest)?;
        }
        for (number, slot) in self.fronts.iter_mut().enumerate() {
            if let Some(client) = slot {
                let sends_input = client.attached.is_some_and(|to| to.stdin);
                let read = !(input_full && sends_input);
                client.register(&self.poller, FRONT + number as u64, read)?;
            }
        }
        Ok(())
    }

    /// Does what one readiness calls for; what fronts ask of the owner is appended to `asked`. Tokens of the owner are
    /// left alone.
    pub(super) fn handle(&mut self, ready: Ready, sink: Sink<'_>, asked: &mut Vec<Asked>) {
        if ready.token == STDIN {
            self.write_input();
        } else if (SOURCE..FRONT).contains(&ready.token) {
            self.read_source(ready.token - SOURCE, sink);
        } else if let Some(number) = ready.token.checked_sub(FRONT) {
            let Ok(number) = usize::try_from(number) else {
                return;
            };
            self.serve(number, ready, asked);
        }
    }

    fn read_source(&mut self, number: u64, sink: Sink<'_>) {
        let Ok(at) = usize::try_from(number) else {
            return;
        };
        let Some(mut source) = self.sources.get_mut(at).and_then(Option::take) else {
            return;
        };
        let got = self.transfer(&source, sink);
        if !matches!(got, Ok(Got::Bytes(_) | Got::Nothing)) {
            // Closing would not take it out of the poller: a terminal has duplicates.
            let _ = source.registration.clear(&self.poller, &source.fd);
        } else if let Some(slot) = self.sources.get_mut(at) {
            *slot = Some(source);
        }
    }

    /// Reads once and passes it on.
    fn transfer(&mut self, source: &Source, sink: Sink<'_>) -> Result<Got> {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        buffer.reserve_exact(HEADER + READ);
        buffer.extend_from_slice(&[0; HEADER]);
        let got = stream::read_now(&source.fd, &mut buffer);
        if let Ok(Got::Bytes(_)) = got {
            sink(source.stream, buffer.get(HEADER..).unwrap_or_default());
            self.broadcast(source.stream, &mut buffer);
        }
        self.buffer = buffer;
        got
    }

    fn broadcast(&mut self, stream: Stream, framed: &mut [u8]) {
        for at in 0..self.fronts.len() {
            let Some(client) = self.front(at) else {
                continue;
            };
            let (wanted, kind) = match (stream, client.attached) {
                (_, None) => continue,
                (Stream::Stdout, Some(to)) => (to.stdout, FrameKind::Stdout),
                (Stream::Stderr, Some(to)) => (to.stderr, FrameKind::Stderr),
            };
            if wanted && client.output(kind, framed).is_err() {
                self.disconnect(at, Leave::Lost);
            }
        }
    }

    fn serve(&mut self, at: usize, ready: Ready, asked: &mut Vec<Asked>) {
        let Some(client) = self.front(at) else { return };
        if ready.write && client.flush().is_err() {
            return self.disconnect(at, Leave::Lost);
        }
        if !ready.read {
            return;
        }
        loop {
            let Some(client) = self.front(at) else { return };
            let Ok(got) = client.receive() else {
                return self.disconnect(at, Leave::Lost);
            };
            if !self.take_frames(at, asked) {
                return;
            }
            match got {
                Got::End => return self.disconnect(at, Leave::Lost),
                Got::Nothing => return,
                // One that has hung up is read to its end at once: what it sent before counts.
                Got::Bytes(_) if !ready.closed => return,
                Got::Bytes(_) => {}
            }
        }
    }

    /// `false` if the front is gone.
    fn take_frames(&mut self, at: usize, asked: &mut Vec<Asked>) -> bool {
        loop {
            let Some(client) = self.front(at) else {
                return false;
            };
            let attached = client.attached;
            let Ok(frame) = client.frame() else {
                self.disconnect(at, Leave::Lost);
                return false;
            };
            let Some(frame) = frame else { return true };
            match frame.kind {
                FrameKind::Request => match parse_request(&frame.payload) {
                    Ok(Request::Attach(to)) => {
                        client.attached = Some(to);
                        if let Some(size) = to.size {
                            self.resize(size);
                        }
                        self.report(at, &Report::Done);
                    }
                    Ok(request) => asked.push(Asked { front: at, request }),
                    Err(error) => self.report(at, &Report::error(&error)),
                },
                FrameKind::Stdin if attached.is_some_and(|to| to.stdin) => {
                    self.queue_input(&frame.payload);
                }
                FrameKind::CloseStdin if attached.is_some_and(|to| to.stdin) => {
                    if self.stdin_once {
                        self.end_input();
                    }
                }
                FrameKind::Resize if attached.is_some() => {
                    if let Ok(size) = parse_size(&frame.payload) {
                        self.resize(size);
                    }
                }
                FrameKind::Detach => {
                    self.disconnect(at, Leave::Detached);
                    return false;
                }
                FrameKind::Stdin
                | FrameKind::CloseStdin
                | FrameKind::Resize
                | FrameKind::Stdout
                | FrameKind::Stderr
                | FrameKind::Report => {
                    self.disconnect(at, Leave::Lost);
                    return false;
                }
            }
        }
    }

    fn queue_input(&mut self, bytes: &[u8]) {
        if let Some(input) = &mut self.input
            && !input.ends
        {
            input.queue.extend_from_slice(bytes);
            self.write_input();
        }
    }

    /// Closes standard input once everything queued is written. A terminal has no end: it stays.
    pub(super) fn end_input(&mut self) {
        if let Some(input) = &mut self.input
            && !input.is_terminal
        {
            input.ends = true;
            self.write_input();
        }
    }

    fn write_input(&mut self) {
        let Some(input) = &mut self.input else { return };
        let mut written = 0;
        loop {
            let rest = input.queue.get(written..).unwrap_or_default();
            if rest.is_empty() {
                break;
            }
            match stream::write_now(&input.fd, rest) {
                Ok(Put::Bytes(0)) => break,
                Ok(Put::Bytes(count)) => written += count,
                Ok(Put::Closed) | Err(_) => {
                    // The process closed its standard input; what is sent to it goes nowhere from now on.
                    let _ = input.registration.clear(&self.poller, &input.fd);
                    self.input = None;
                    return;
                }
            }
        }
        input.queue.drain(..written);
        if input.queue.is_empty() {
            input.queue = Vec::new();
            if input.ends {
                self.input = None;
            }
        }
    }

    fn disconnect(&mut self, at: usize, how: Leave) {
        let Some(client) = self.fronts.get_mut(at).and_then(Option::take) else {
            return;
        };
        let sent_input = client.attached.is_some_and(|to| to.stdin);
        match how {
            Leave::Detached => {}
            Leave::Lost => {
                if sent_input && self.stdin_once {
                    self.end_input();
                }
            }
        }
    }

    /// Takes back a front that is to be closed by dropping it.
    pub(super) fn close(&mut self, at: usize) {
        self.disconnect(at, Leave::Detached);
    }

    /// Gives memory back; called when it has been quiet for a while. The next wait is a deep sleep.
    pub(super) fn rest(&mut self) {
        self.buffer = Vec::new();
        while matches!(self.fronts.last(), Some(None)) {
            self.fronts.pop();
        }
        self.fronts.shrink_to_fit();
        own::trim_memory();
        self.rests = true;
    }

    /// Tells everybody who is attached or waiting how this run ended; the next one is nothing to them.
    pub(super) fn part(&mut self, exit: Exit) {
        for at in 0..self.fronts.len() {
            let Some(client) = self.front(at) else {
                continue;
            };
            if client.attached.is_none() && !client.waits {
                continue;
            }
            client.attached = None;
            client.waits = false;
            if client.exit(exit).is_err() {
                self.disconnect(at, Leave::Detached);
            }
        }
    }

    /// Tells everybody who is attached or waiting how it ended, and returns when they have it or the kernel has it for
    /// them. Fronts that wait for something else are closed.
    pub(super) fn finish(mut self, exit: Exit) {
        for at in 0..self.fronts.len() {
            if let Some(client) = self.front(at)
                && (client.attached.is_some() || client.waits)
            {
                let _ = client.exit(exit);
            }
        }
        let deadline = Instant::now() + LINGER;
        loop {
            for slot in &mut self.fronts {
                if slot.as_mut().is_some_and(Client::hand_over) {
                    *slot = None;
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if self.fronts.iter().all(Option::is_none) || left.is_zero() {
                return;
            }
            // Only writing is waited for.
            for (number, slot) in self.fronts.iter_mut().enumerate() {
                if let Some(client) = slot
                    && client
                        .register(&self.poller, FRONT + number as u64, false)
                        .is_err()
                {
                    *slot = None;
                }
            }
            if self.poller.wait(Some(left)).is_err() {
                return;
            }
        }
    }
}

/// How a front leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leave {
    /// It said so: the process's standard input stays open.
    Detached,
    /// It closed, died or misbehaved.
    Lost,
}

#[cfg(test)]
mod tests {
    use std::io::{PipeReader, PipeWriter, Read, Write};

    use super::*;
    use crate::engine::model::request::AttachTo;
    use crate::engine::runtime::channel::{Channel, Output, SessionReader, SessionWriter};
    use crate::engine::sys::socket;

    const ALL: AttachTo = AttachTo {
        stdin: true,
        stdout: true,
        stderr: true,
        size: None,
    };

    /// More than all buffers on the way together.
    const TOTAL: usize = 8 << 20;

    /// A process made of pipes: we are the process.
    struct Rig {
        board: Switchboard,
        stdin: Option<PipeReader>,
        stdout: Option<PipeWriter>,
        stderr: Option<PipeWriter>,
        log: Vec<u8>,
    }

    fn rig(stdin_once: bool) -> Rig {
        let (stdin, to_stdin) = std::io::pipe().unwrap();
        let (from_stdout, stdout) = std::io::pipe().unwrap();
        let (from_stderr, stderr) = std::io::pipe().unwrap();
        let mut board = Switchboard::new(stdin_once).unwrap();
        board
            .plug(Streams::Pipes {
                stdin: Some(to_stdin.into()),
                stdout: from_stdout.into(),
                stderr: from_stderr.into(),
            })
            .unwrap();
        Rig {
            board,
            stdin: Some(stdin),
            stdout: Some(stdout),
            stderr: Some(stderr),
            log: Vec::new(),
        }
    }

    impl Rig {
        fn attach(&mut self, first: bool) -> (SessionReader, SessionWriter) {
            let (ours, theirs) = socket::pair().unwrap();
            let mut client = Client::new(theirs);
            client.attached = Some(ALL);
            client.first = first;
            self.board.connect(client);
            Channel::new(ours).into_session().split().unwrap()
        }

        /// Runs until nothing happens any more.
        fn settle(&mut self) {
            let mut asked = Vec::new();
            loop {
                let soon = Instant::now() + Duration::from_millis(20);
                let all = self.board.wait(Some(soon)).unwrap();
                if all.is_empty() {
                    return;
                }
                for ready in all {
                    let log = &mut self.log;
                    let sink = &mut |_: Stream, bytes: &[u8]| log.extend_from_slice(bytes);
                    self.board.handle(ready, sink, &mut asked);
                }
            }
        }

        fn write(&mut self, bytes: &[u8]) {
            self.stdout.as_mut().unwrap().write_all(bytes).unwrap();
        }
    }

    fn exit(code: i32) -> Exit {
        Exit {
            code,
            oom_killed: false,
        }
    }

    /// Everything up to the exit.
    fn collect(reader: &mut SessionReader) -> (Vec<u8>, Option<Exit>) {
        let mut bytes = Vec::new();
        loop {
            match reader.next().unwrap() {
                Some(Output::Stdout(part) | Output::Stderr(part)) => bytes.extend(part),
                Some(Output::Exited(exit)) => return (bytes, Some(exit)),
                None => return (bytes, None),
            }
        }
    }

    #[test]
    fn output_goes_to_the_log_and_to_everybody_who_wants_it() {
        let mut rig = rig(false);
        let (mut a, _wa) = rig.attach(true);
        let (mut b, _wb) = rig.attach(false);
        rig.write(b"hello");
        rig.settle();
        rig.stderr.as_mut().unwrap().write_all(b"!").unwrap();
        rig.settle();
        assert_eq!(rig.log, b"hello!");
        let Rig { board, .. } = rig;
        board.finish(exit(3));
        assert_eq!(collect(&mut a), (b"hello!".to_vec(), Some(exit(3))));
        assert_eq!(collect(&mut b), (b"hello!".to_vec(), Some(exit(3))));
    }

    #[test]
    fn a_front_that_does_not_read_holds_the_output_up_and_loses_nothing() {
        let mut rig = rig(false);
        let (mut reader, _writer) = rig.attach(true);
        let mut stdout = rig.stdout.take().unwrap();
        let process = std::thread::spawn(move || {
            let block: Vec<u8> = (0..=255).collect();
            for _ in 0..TOTAL / block.len() {
                stdout.write_all(&block).unwrap();
            }
        });
        rig.settle();
        let held = rig.log.len();
        assert!(held < 1 << 20, "{held} bytes were read for nobody");
        assert!(!process.is_finished());
        let front = std::thread::spawn(move || collect(&mut reader));
        // The front's thread may be late: nothing to do for a moment is not the end.
        while rig.log.len() < TOTAL {
            rig.settle();
        }
        process.join().unwrap();
        assert_eq!(rig.log.len(), TOTAL);
        let Rig { board, log, .. } = rig;
        board.finish(exit(0));
        let (bytes, end) = front.join().unwrap();
        assert_eq!(end, Some(exit(0)));
        assert!(bytes == log);
    }

    #[test]
    fn what_was_written_before_the_end_is_delivered_to_a_front_that_reads_late() {
        let mut rig = rig(false);
        let (mut reader, _writer) = rig.attach(true);
        rig.stderr = None;
        // More than the session takes unread, so that some of it stays in the pipe.
        let mut stdout = rig.stdout.take().unwrap();
        let writer = std::thread::spawn(move || {
            for number in 0..100_000u32 {
                if stdout.write_all(&number.to_be_bytes()).is_err() {
                    break;
                }
            }
        });
        rig.settle();
        // The process is "killed" here: what is in the pipe counts, and nothing else comes.
        let log = &mut rig.log;
        rig.board
            .unplug(&mut |_, bytes| log.extend_from_slice(bytes));
        writer.join().unwrap();
        let Rig { board, log, .. } = rig;
        board.finish(exit(137));
        let (bytes, end) = collect(&mut reader);
        assert_eq!(end, Some(exit(137)));
        assert!(bytes == log);
        assert!(bytes.len() > 64 * 1024);
    }

    #[test]
    fn input_arrives_and_ends_only_where_it_is_asked_for() {
        for stdin_once in [true, false] {
            let mut rig = rig(stdin_once);
            let (_reader, mut writer) = rig.attach(true);
            writer.stdin(b"abc").unwrap();
            writer.close_stdin().unwrap();
            rig.settle();
            assert_eq!(rig.board.input.is_none(), stdin_once);
            let mut bytes = [0; 3];
            rig.stdin.take().unwrap().read_exact(&mut bytes).unwrap();
            assert_eq!(&bytes, b"abc");
        }
    }

    #[test]
    fn a_process_that_does_not_read_stops_the_front_not_us() {
        let mut rig = rig(true);
        let (_reader, mut writer) = rig.attach(true);
        let front = std::thread::spawn(move || {
            writer.stdin(&vec![7; TOTAL]).unwrap();
            writer.close_stdin().unwrap();
            writer
        });
        rig.settle();
        assert!(!front.is_finished());
        assert!(rig.board.input.as_ref().unwrap().queue.len() < 2 * INPUT_HIGH);
        let mut stdin = rig.stdin.take().unwrap();
        let process = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            stdin.read_to_end(&mut bytes).unwrap();
            bytes.len()
        });
        rig.settle();
        let _writer = front.join().unwrap();
        rig.settle();
        assert_eq!(process.join().unwrap(), TOTAL);
    }

    #[test]
    fn a_process_that_closed_its_input_harms_nobody() {
        let mut rig = rig(true);
        let (mut reader, mut writer) = rig.attach(true);
        rig.stdin = None;
        writer.stdin(b"abc").unwrap();
        rig.settle();
        writer.stdin(b"abc").unwrap();
        rig.write(b"still here");
        rig.settle();
        rig.board.finish(exit(0));
        assert_eq!(collect(&mut reader).0, b"still here");
    }

    #[test]
    fn detaching_keeps_the_input_open_and_dying_ends_it() {
        let mut rig = rig(true);
        let (mut reader, mut writer) = rig.attach(true);
        writer.stdin(b"a").unwrap();
        writer.detach();
        rig.settle();
        assert_eq!(collect(&mut reader), (Vec::new(), None));
        assert!(rig.board.input.is_some());
        let (reader, writer) = rig.attach(false);
        drop((reader, writer));
        rig.settle();
        assert!(rig.board.input.is_none());
    }

    #[test]
    fn malformed_bytes_end_the_conversation_only() {
        let mut rig = rig(false);
        let (ours, theirs) = socket::pair().unwrap();
        rig.board.connect(Client::new(theirs));
        socket::send_all(&ours, &[0xff; 100]).unwrap();
        rig.settle();
        assert_eq!(socket::receive(&ours, &mut [0; 8]).unwrap(), 0);
        rig.write(b"x");
        rig.settle();
        assert_eq!(rig.log, b"x");
    }

    #[test]
    fn an_idle_board_does_not_spin() {
        let mut rig = rig(true);
        let (reader, writer) = rig.attach(true);
        drop((reader, writer));
        rig.stdout = None;
        rig.stderr = None;
        rig.settle();
        // Every stream is closed from the other side; nothing of that may be reported for ever.
        let soon = Instant::now() + Duration::from_millis(20);
        assert_eq!(rig.board.wait(Some(soon)).unwrap(), []);
        assert!(Instant::now() >= soon);
    }
}
