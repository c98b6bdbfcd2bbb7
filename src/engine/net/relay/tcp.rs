//! Connections, each handed on by a second one. Bytes go through pipes of the kernel (splice(2)), which are there only while
//! something is in them: a connection at rest costs two descriptors.
//!
//! ```text
//! accepted, connecting ─> both directions open ─end of one side─> that direction shut ─the other, too─> over
//!          │                        │
//!          └── refused, late ───────┴── error of either side ─> both reset
//! ```

use std::collections::BTreeSet;
use std::io::{self, PipeReader, PipeWriter};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::NOTHING;
use crate::engine::sys::inet;
use crate::engine::sys::poll::{Interest, Poller, Ready};

/// How many connections there may be; further ones wait to be accepted.
pub(super) const MOST: usize = 16_384;

/// How long the container may take to accept a connection.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a pipe holds (pipe(7)).
const PIPE: usize = 64 * 1024;

/// How often one direction is served before others have a turn.
const TURNS: usize = 4;

/// Pipes that are kept for the next bytes.
const SPARE: usize = 8;

/// All connections of a container's ports.
#[derive(Debug)]
pub(super) struct Pairs {
    base: u64,
    slots: Vec<Option<Pair>>,
    free: Vec<usize>,
    spare: Vec<Pipe>,
    /// Those that are not connected yet.
    timers: BTreeSet<(Instant, usize)>,
}

type Pipe = (PipeReader, PipeWriter);

#[derive(Debug)]
struct Pair {
    /// 0: whoever connected to the host. 1: the container.
    ends: [End; 2],
    /// From the first to the second, and back.
    flows: [Flow; 2],
    /// Until when the container has time to accept; none once it has.
    until: Option<Instant>,
}

#[derive(Debug)]
struct End {
    stream: TcpStream,
    /// What the poller waits for; `None` if it does not know it any more.
    interest: Option<Interest>,
}

#[derive(Debug, Default)]
struct Flow {
    pipe: Option<Pipe>,
    /// Bytes in the pipe.
    held: usize,
    /// There is nothing more to read.
    ended: bool,
    /// And the other side knows.
    shut: bool,
}

enum Fate {
    Alive,
    /// Both directions came to their end.
    Over,
    /// One side broke off.
    Broken,
}

impl Pairs {
    /// `base` and two times [`MOST`] tokens after it are their own.
    pub(super) fn new(base: u64) -> Self {
        Self {
            base,
            slots: Vec::new(),
            free: Vec::new(),
            spare: Vec::new(),
            timers: BTreeSet::new(),
        }
    }

    pub(super) fn count(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(super) fn has_room(&self) -> bool {
        self.count() < MOST
    }

    /// Begins to hand a connection on; `false` if there was none. One that cannot be handed on is reset.
    ///
    /// # Errors
    /// Error numbers that others may have a way out of: there are no descriptors left.
    pub(super) fn open(
        &mut self,
        poller: &Poller,
        found: Option<(TcpStream, SocketAddr)>,
        to: SocketAddr,
        now: Instant,
    ) -> io::Result<bool> {
        let Some((client, _)) = found else {
            return Ok(false);
        };
        let server = match inet::connect_tcp(to) {
            Ok(server) => server,
            Err(error) => {
                inet::reset_when_closed(&client);
                return match error.raw_os_error() {
                    Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => Err(error),
                    _ => Ok(true),
                };
            }
        };
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        let waits_for_room = Interest {
            read: false,
            write: true,
        };
        let token = self.base + 2 * slot as u64;
        let added = poller
            .add(&client, token, NOTHING)
            .and_then(|()| poller.add(&server, token + 1, waits_for_room));
        if added.is_err() {
            inet::reset_when_closed(&client);
            self.free.push(slot);
            return Ok(true);
        }
        for stream in [&client, &server] {
            let _ = stream.set_nodelay(true);
            inet::keep_alive(stream);
        }
        let until = now + PATIENCE;
        self.timers.insert((until, slot));
        let end = |stream, interest| End {
            stream,
            interest: Some(interest),
        };
        let pair = Pair {
            ends: [end(client, NOTHING), end(server, waits_for_room)],
            flows: [Flow::default(), Flow::default()],
            until: Some(until),
        };
        if let Some(place) = self.slots.get_mut(slot) {
            *place = Some(pair);
        }
        Ok(true)
    }

    pub(super) fn handle(&mut self, poller: &Poller, ready: Ready) {
        let Some(number) = ready.token.checked_sub(self.base) else {
            return;
        };
        let slot = usize::try_from(number / 2).unwrap_or(usize::MAX);
        let Some(pair) = self.slots.get_mut(slot).and_then(Option::as_mut) else {
            return;
        };
        if let Some(until) = pair.until {
            let is_server = number % 2 == 1;
            match pair.connected(is_server, ready) {
                Ok(false) => return,
                Ok(true) => {
                    pair.until = None;
                    self.timers.remove(&(until, slot));
                }
                Err(_) => {
                    self.end(slot, true);
                    return;
                }
            }
        }
        let fate = pair.go_on(&mut self.spare, ready.closed);
        match fate {
            Fate::Alive => {
                let token = self.base + 2 * slot as u64;
                pair.set_interest(poller, token, (ready.closed).then_some(number % 2));
            }
            Fate::Over => self.end(slot, false),
            Fate::Broken => self.end(slot, true),
        }
    }

    fn end(&mut self, slot: usize, reset: bool) {
        let Some(pair) = self.slots.get_mut(slot).and_then(Option::take) else {
            return;
        };
        if let Some(until) = pair.until {
            self.timers.remove(&(until, slot));
        }
        if reset {
            for end in &pair.ends {
                inet::reset_when_closed(&end.stream);
            }
        }
        self.free.push(slot);
    }

    /// Resets all connections.
    pub(super) fn reset(&mut self) {
        for slot in 0..self.slots.len() {
            self.end(slot, true);
        }
        self.slots = Vec::new();
        self.free = Vec::new();
        self.spare = Vec::new();
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.timers.first().map(|(until, _)| *until)
    }

    pub(super) fn tick(&mut self, now: Instant) {
        while let Some(&(until, slot)) = self.timers.first() {
            if until > now {
                return;
            }
            self.timers.pop_first();
            self.end(slot, true);
        }
    }

    pub(super) fn rest(&mut self) {
        self.spare = Vec::new();
        if self.free.len() == self.slots.len() {
            self.slots = Vec::new();
            self.free = Vec::new();
        }
    }
}

impl Pair {
    /// Whether the container has accepted it.
    fn connected(&self, is_server: bool, ready: Ready) -> io::Result<bool> {
        let [client, server] = &self.ends;
        if let Some(error) = server.stream.take_error()? {
            return Err(error);
        }
        if !is_server {
            // Nothing is waited for on it but its breaking off.
            return match client.stream.take_error()? {
                Some(error) => Err(error),
                None => Ok(false),
            };
        }
        Ok(ready.write)
    }

    /// Moves what can be moved.
    fn go_on(&mut self, spare: &mut Vec<Pipe>, closed: bool) -> Fate {
        if closed {
            for end in &self.ends {
                if !matches!(end.stream.take_error(), Ok(None)) {
                    return Fate::Broken;
                }
            }
        }
        let [client, server] = &self.ends;
        let [there, back] = &mut self.flows;
        let moved = there
            .go_on(&client.stream, &server.stream, spare)
            .and_then(|()| back.go_on(&server.stream, &client.stream, spare));
        match moved {
            Err(_) => Fate::Broken,
            Ok(()) if self.flows.iter().all(|flow| flow.shut) => Fate::Over,
            Ok(()) => Fate::Alive,
        }
    }

    /// Waits for what each end can go on with. `closed` is the end whose closing was just reported: if nothing is waited for on
    /// it, it would be reported again and again, until the other end has taken what it left.
    fn set_interest(&mut self, poller: &Poller, token: u64, closed: Option<u64>) {
        for at in [0, 1] {
            let wanted = Interest {
                read: self.flows[at].wants_more(),
                write: self.flows[1 - at].held > 0,
            };
            let end = &mut self.ends[at];
            let token = token + at as u64;
            let ignored = wanted == NOTHING && closed == Some(at as u64);
            match end.interest {
                Some(_) if ignored => {
                    let _ = poller.remove(&end.stream);
                    end.interest = None;
                }
                Some(interest) if interest != wanted => {
                    let _ = poller.change(&end.stream, token, wanted);
                    end.interest = Some(wanted);
                }
                None if wanted != NOTHING => {
                    let _ = poller.add(&end.stream, token, wanted);
                    end.interest = Some(wanted);
                }
                Some(_) | None => {}
            }
        }
    }
}

impl Flow {
    fn wants_more(&self) -> bool {
        !self.ended && self.held == 0
    }

    fn go_on(&mut self, from: &TcpStream, to: &TcpStream, spare: &mut Vec<Pipe>) -> io::Result<()> {
        for _ in 0..TURNS {
            if self.wants_more() && !self.fill(from, spare)? {
                break;
            }
            if self.held > 0 && !self.empty(to, spare)? {
                break;
            }
            if self.ended && self.held == 0 && !self.shut {
                // That one has gone as well is seen when it is read.
                let _ = to.shutdown(Shutdown::Write);
                self.shut = true;
            }
            if self.shut {
                break;
            }
        }
        Ok(())
    }

    /// From the socket into a pipe; `false` if there was nothing.
    fn fill(&mut self, from: &TcpStream, spare: &mut Vec<Pipe>) -> io::Result<bool> {
        let pipe = match self.pipe.take().or_else(|| spare.pop()) {
            Some(pipe) => pipe,
            None => io::pipe()?,
        };
        let filled = match inet::splice(from, &pipe.1, PIPE) {
            Ok(0) => {
                self.ended = true;
                Ok(true)
            }
            Ok(count) => {
                self.held = count;
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        };
        if self.held > 0 {
            self.pipe = Some(pipe);
        } else if spare.len() < SPARE {
            spare.push(pipe);
        }
        filled
    }

    /// From the pipe into the socket; `false` if it has no room for all.
    fn empty(&mut self, to: &TcpStream, spare: &mut Vec<Pipe>) -> io::Result<bool> {
        let Some(pipe) = self.pipe.take() else {
            return Ok(true);
        };
        while self.held > 0 {
            match inet::splice(&pipe.0, to, self.held) {
                Ok(count) if count > 0 => self.held -= count.min(self.held),
                Ok(_) => return Err(io::ErrorKind::BrokenPipe.into()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.pipe = Some(pipe);
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
        }
        if spare.len() < SPARE {
            spare.push(pipe);
        }
        Ok(true)
    }
}
