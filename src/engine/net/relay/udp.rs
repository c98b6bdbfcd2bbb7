//! Datagrams: each sender has a session, a socket of its own to the container, so that answers find their way back; from the
//! address that the sender knows.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use super::{BATCH, READ};
use crate::engine::net::hold::{Held, Socket};
use crate::engine::sys::inet::{self, Arrival};
use crate::engine::sys::poll::Poller;

/// How many sessions there may be; the one that has been quiet for the longest time makes room.
pub(super) const MOST: usize = 1024;

/// The longest datagram.
pub(super) const LONGEST: usize = 65_535;

/// A session that is quiet for so long is over, as in Docker's proxy.
const QUIET: Duration = Duration::from_secs(90);

/// Whose session it is: who sends to which of our addresses and ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// The port, by its place among those that are held.
    pub(super) at: usize,
    pub(super) from: SocketAddr,
    pub(super) arrival: Arrival,
}

#[derive(Debug)]
struct Session {
    key: Key,
    socket: UdpSocket,
    last: Instant,
}

/// All sessions of a container's ports.
#[derive(Debug)]
pub(super) struct Sessions {
    base: u64,
    slots: Vec<Option<Session>>,
    places: HashMap<Key, usize>,
    /// When the next one may be over.
    look: Option<Instant>,
}

impl Sessions {
    /// `base` and [`MOST`] tokens after it are their own.
    pub(super) fn new(base: u64) -> Self {
        Self {
            base,
            slots: Vec::new(),
            places: HashMap::new(),
            look: None,
        }
    }

    pub(super) fn count(&self) -> usize {
        self.places.len()
    }

    /// Hands a datagram on. One for which there is no way is lost.
    pub(super) fn pass(
        &mut self,
        poller: &Poller,
        key: Key,
        to: SocketAddr,
        bytes: &[u8],
        now: Instant,
    ) {
        let place = self.places.get(&key).copied();
        let Some(slot) = place.or_else(|| self.begin(poller, key, to, now)) else {
            return;
        };
        if let Some(session) = self.slots.get_mut(slot).and_then(Option::as_mut) {
            session.last = now;
            // An error may be that of an earlier datagram (udp(7)): the second try is this one's.
            if session.socket.send(bytes).is_err() {
                let _ = session.socket.send(bytes);
            }
        }
    }

    fn begin(&mut self, poller: &Poller, key: Key, to: SocketAddr, now: Instant) -> Option<usize> {
        if self.count() >= MOST {
            self.end_quietest();
        }
        let socket = match inet::connect_udp(to) {
            Ok(socket) => socket,
            Err(_) if self.count() > 0 => {
                // No descriptors left, perhaps.
                self.end_quietest();
                inet::connect_udp(to).ok()?
            }
            Err(_) => return None,
        };
        let free = self.slots.iter().position(Option::is_none);
        let slot = free.unwrap_or(self.slots.len());
        poller.add(&socket, self.base + slot as u64, READ).ok()?;
        let session = Session {
            key,
            socket,
            last: now,
        };
        match self.slots.get_mut(slot) {
            Some(place) => *place = Some(session),
            None => self.slots.push(Some(session)),
        }
        self.places.insert(key, slot);
        self.look.get_or_insert(now + QUIET);
        Some(slot)
    }

    fn end_quietest(&mut self) {
        let all = self.slots.iter().flatten();
        let quietest = all.min_by_key(|session| session.last).map(|s| s.key);
        if let Some(slot) = quietest.and_then(|key| self.places.remove(&key))
            && let Some(place) = self.slots.get_mut(slot)
        {
            *place = None;
        }
    }

    /// Takes the container's answers back to who asked.
    pub(super) fn handle(&mut self, token: u64, held: &[Held], buffer: &mut [u8], now: Instant) {
        let slot = token.wrapping_sub(self.base);
        let slot = usize::try_from(slot).unwrap_or(usize::MAX);
        let Some(session) = self.slots.get_mut(slot).and_then(Option::as_mut) else {
            return;
        };
        let Key { at, from, arrival } = session.key;
        let Some(Socket::Udp(socket)) = held.get(at).map(|held| &held.socket) else {
            return;
        };
        for _ in 0..BATCH {
            match session.socket.recv(buffer) {
                Ok(length) => {
                    session.last = now;
                    let bytes = buffer.get(..length).unwrap_or_default();
                    let _ = inet::answer(socket, bytes, from, arrival);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // Nobody listens there (yet): the sender hears nothing, as from Docker's proxy.
                Err(_) => {}
            }
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.look
    }

    pub(super) fn tick(&mut self, now: Instant) {
        if self.look.is_none_or(|at| at > now) {
            return;
        }
        for place in &mut self.slots {
            if place.as_ref().is_some_and(|s| s.last + QUIET <= now) {
                *place = None;
            }
        }
        let slots = &self.slots;
        self.places
            .retain(|_, slot| slots.get(*slot).is_some_and(Option::is_some));
        let next = self
            .slots
            .iter()
            .flatten()
            .map(|session| session.last)
            .min();
        self.look = next.map(|last| last + QUIET);
    }

    pub(super) fn clear(&mut self) {
        self.slots = Vec::new();
        self.places = HashMap::new();
        self.look = None;
    }

    pub(super) fn rest(&mut self) {
        while matches!(self.slots.last(), Some(None)) {
            self.slots.pop();
        }
        self.slots.shrink_to_fit();
        self.places.shrink_to_fit();
    }
}
