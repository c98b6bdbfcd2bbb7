//! Clients that ask over TCP: several questions on one connection, in any order of answers (RFC 7766).

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use super::upstream::{frame, framed};
use crate::engine::sys::inet;
use crate::engine::sys::poll::{Interest, Poller, Ready};

/// How many connections there may be; further ones are closed at once.
pub(super) const MOST: usize = 128;

/// A connection on which nothing happens is closed (RFC 7766, 6.2.3).
const IDLE: Duration = Duration::from_secs(10);

/// Nothing more is read from a client that does not read its answers.
const UNREAD: usize = 128 * 1024;

/// One connection: a number is given to another one when the first is over, a serial number never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Client {
    slot: usize,
    serial: u64,
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    serial: u64,
    received: Vec<u8>,
    unsent: Vec<u8>,
    interest: Interest,
    /// It asks nothing more; answers may be under way.
    ended: bool,
    /// How many of its messages have no answer yet.
    owed: usize,
    until: Instant,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Streams {
    base: u64,
    slots: Vec<Option<Connection>>,
    serial: u64,
}

impl Streams {
    /// `base` and the [`MOST`] tokens after it are their own.
    pub(super) fn new(base: u64) -> Self {
        Self {
            base,
            slots: Vec::new(),
            serial: 0,
        }
    }

    pub(super) fn accept(&mut self, listener: &TcpListener, poller: &Poller, now: Instant) {
        while let Ok(Some((stream, _))) = inet::accept_tcp(listener) {
            let free = self.slots.iter().position(Option::is_none);
            let slot = free.unwrap_or(self.slots.len());
            if slot >= MOST {
                continue;
            }
            let interest = Interest {
                read: true,
                write: false,
            };
            let _ = stream.set_nodelay(true);
            if poller
                .add(&stream, self.base + slot as u64, interest)
                .is_err()
            {
                continue;
            }
            self.serial += 1;
            let connection = Connection {
                stream,
                serial: self.serial,
                received: Vec::new(),
                unsent: Vec::new(),
                interest,
                ended: false,
                owed: 0,
                until: now + IDLE,
            };
            match self.slots.get_mut(slot) {
                Some(place) => *place = Some(connection),
                None => self.slots.push(Some(connection)),
            }
        }
    }

    /// Reads and writes what can be; the messages that are complete.
    pub(super) fn handle(
        &mut self,
        poller: &Poller,
        ready: Ready,
        buffer: &mut [u8],
        now: Instant,
    ) -> Option<(Client, Vec<Vec<u8>>)> {
        let slot = usize::try_from(ready.token.checked_sub(self.base)?).ok()?;
        let place = self.slots.get_mut(slot)?;
        let connection = place.as_mut()?;
        connection.until = now + IDLE;
        let alive = !ready.write || connection.flush().is_ok();
        let read = if alive && connection.interest.read {
            connection.read(buffer)
        } else {
            Ok(Vec::new())
        };
        match read {
            // A reset while we owe it nothing, or bytes that are no message.
            Err(_) => {
                *place = None;
                None
            }
            Ok(messages)
                if !alive
                    || (connection.ended
                        && messages.is_empty()
                        && (ready.closed || connection.is_over())) =>
            {
                *place = None;
                None
            }
            Ok(messages) => {
                connection.owed += messages.len();
                connection.set_interest(poller, ready.token);
                let serial = connection.serial;
                Some((Client { slot, serial }, messages))
            }
        }
    }

    /// Sends an answer to a client that is still there.
    pub(super) fn send(&mut self, poller: &Poller, client: Client, answer: &[u8]) {
        let Some(place) = self.slots.get_mut(client.slot) else {
            return;
        };
        let Some(connection) = place.as_mut().filter(|c| c.serial == client.serial) else {
            return;
        };
        frame(answer, &mut connection.unsent);
        connection.owed = connection.owed.saturating_sub(1);
        if connection.flush().is_err() || (connection.ended && connection.is_over()) {
            *place = None;
            return;
        }
        connection.set_interest(poller, self.base + client.slot as u64);
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.slots.iter().flatten().map(|c| c.until).min()
    }

    pub(super) fn tick(&mut self, now: Instant) {
        for place in &mut self.slots {
            if place.as_ref().is_some_and(|c| c.until <= now) {
                *place = None;
            }
        }
    }

    pub(super) fn rest(&mut self) {
        while matches!(self.slots.last(), Some(None)) {
            self.slots.pop();
        }
        self.slots.shrink_to_fit();
    }
}

impl Connection {
    /// One read, so that no client has more than its turn.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<Vec<Vec<u8>>> {
        match self.stream.read(buffer) {
            Ok(0) => self.ended = true,
            Ok(count) => self.received.extend(buffer.iter().take(count)),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) => {}
            Err(error) => return Err(error),
        }
        let mut messages = Vec::new();
        let mut done = 0;
        while let Some(length) = self.received.get(done..).and_then(framed) {
            let end = done + 2 + length;
            messages.push(
                self.received
                    .get(done + 2..end)
                    .unwrap_or_default()
                    .to_vec(),
            );
            done = end;
        }
        self.received.drain(..done);
        Ok(messages)
    }

    /// Everything that it has asked is answered.
    fn is_over(&self) -> bool {
        self.owed == 0 && self.unsent.is_empty()
    }

    fn flush(&mut self) -> io::Result<()> {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(count) => drop(self.unsent.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn set_interest(&mut self, poller: &Poller, token: u64) {
        let interest = Interest {
            read: !self.ended && self.unsent.len() < UNREAD,
            write: !self.unsent.is_empty(),
        };
        if interest != self.interest {
            self.interest = interest;
            let _ = poller.change(&self.stream, token, interest);
        }
    }
}
