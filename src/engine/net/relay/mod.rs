//! Hands on what arrives at the host's ports of a container: all that comes over loopback, which the kernel does not translate, and whatever
//! else the firewall's rules have not led to the container before.
//!
//! It is part of its owner's loop: it waits for nothing, and does a bounded amount of work each time that it is called.

mod tcp;
mod udp;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tcp::Pairs;
use udp::Sessions;

use super::hold::{self, Held, Socket, Target};
use crate::engine::error::Result;
use crate::engine::model::network::Publication;
use crate::engine::sys::inet::{self, MoreFiles};
use crate::engine::sys::poll::{Interest, Poller, Ready};

/// How many tokens it takes from the one that it is given.
pub const TOKENS: u64 = SESSION + udp::MOST as u64;
/// Ports: each of both families, of three protocols.
const PORTS: u64 = 1 << 19;
const PAIR: u64 = PORTS;
const SESSION: u64 = PAIR + 2 * tcp::MOST as u64;

/// Connections that are taken, or datagrams, before others have a turn.
const BATCH: usize = 64;

/// How long nothing is accepted when there are no descriptors left.
const PAUSE: Duration = Duration::from_millis(100);

const READ: Interest = Interest {
    read: true,
    write: false,
};
const NOTHING: Interest = Interest {
    read: false,
    write: false,
};

/// A container's ports of the host, and what goes through them.
#[derive(Debug)]
pub struct Relay {
    held: Vec<Held>,
    base: u64,
    target: Target,
    pairs: Pairs,
    sessions: Sessions,
    buffer: Vec<u8>,
    /// Nothing is accepted until then.
    paused: Option<Instant>,
    more_files: Option<MoreFiles>,
}

impl Relay {
    /// Leads nowhere yet. `base` and the [`TOKENS`] after it are its own in the owner's poller.
    #[must_use]
    pub fn new(held: Vec<Held>, base: u64) -> Self {
        Self {
            held,
            base,
            target: Target::default(),
            pairs: Pairs::new(base + PAIR),
            sessions: Sessions::new(base + SESSION),
            buffer: Vec::new(),
            paused: None,
            more_files: None,
        }
    }

    /// What is published of a container that is reached at `target`.
    #[must_use]
    pub fn publications(&self, target: Target) -> Vec<Publication> {
        hold::publications(&self.held, target)
    }

    /// Leads to a container from now on.
    ///
    /// # Errors
    /// What epoll_ctl(2) says; then it leads nowhere.
    pub fn lead(&mut self, poller: &Poller, target: Target) -> Result<()> {
        self.stop(poller);
        self.target = target;
        let set = self.listen(poller);
        if set.is_err() {
            self.stop(poller);
        }
        set
    }

    /// Leads nowhere any more: whatever goes through it is cut off, the ports stay held. Connections that arrive wait, datagrams are lost.
    pub fn stop(&mut self, poller: &Poller) {
        self.ignore(poller);
        self.target = Target::default();
        self.pairs.reset();
        self.sessions.clear();
        self.paused = None;
        self.more_files = None;
    }

    /// Does what can be done about one of its descriptors now.
    pub fn handle(&mut self, poller: &Poller, ready: Ready, now: Instant) {
        let token = ready.token.wrapping_sub(self.base);
        if token < PORTS {
            self.arrive(poller, token, now);
        } else if token < SESSION {
            self.pairs.handle(poller, ready);
        } else {
            self.buffer.resize(udp::LONGEST, 0);
            self.sessions
                .handle(ready.token, &self.held, &mut self.buffer, now);
        }
    }

    /// When [`Self::tick`] has something to do.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        [self.paused, self.pairs.deadline(), self.sessions.deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Ends what has waited too long.
    pub fn tick(&mut self, poller: &Poller, now: Instant) {
        self.pairs.tick(now);
        self.sessions.tick(now);
        if self.paused.is_some_and(|until| until <= now) {
            self.paused = None;
            let _ = self.listen(poller);
        }
    }

    /// Gives memory back before a long sleep.
    pub fn rest(&mut self) {
        self.buffer = Vec::new();
        self.pairs.rest();
        self.sessions.rest();
    }

    /// How many connections and sessions there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.pairs.count() + self.sessions.count()
    }

    fn listen(&self, poller: &Poller) -> Result<()> {
        for (at, held) in self.held.iter().enumerate() {
            let token = self.base + at as u64;
            match &held.socket {
                Socket::Tcp(listener) => poller.add(listener, token, READ)?,
                Socket::Udp(socket) => poller.add(socket, token, READ)?,
                Socket::Sctp(_) | Socket::Nothing => {}
            }
        }
        Ok(())
    }

    fn ignore(&self, poller: &Poller) {
        for held in &self.held {
            let _ = match &held.socket {
                Socket::Tcp(listener) => poller.remove(listener),
                Socket::Udp(socket) => poller.remove(socket),
                Socket::Sctp(_) | Socket::Nothing => Ok(()),
            };
        }
    }

    fn arrive(&mut self, poller: &Poller, token: u64, now: Instant) {
        let at = usize::try_from(token).unwrap_or(usize::MAX);
        let Some(held) = self.held.get(at) else {
            return;
        };
        let Some(to) = self.target.of(held.address) else {
            return;
        };
        let to = SocketAddr::new(to, held.port.number);
        match &held.socket {
            Socket::Tcp(listener) => {
                for _ in 0..BATCH {
                    let has_room = self.pairs.has_room();
                    let taken = if has_room {
                        inet::accept_tcp(listener)
                            .and_then(|found| self.pairs.open(poller, found, to, now))
                    } else {
                        Err(std::io::Error::from_raw_os_error(libc::EMFILE))
                    };
                    match taken {
                        Ok(true) => {}
                        Ok(false) => return,
                        Err(error) if has_room && has_more_files(&mut self.more_files, &error) => {}
                        Err(_) => {
                            self.paused = Some(now + PAUSE);
                            self.ignore(poller);
                            return;
                        }
                    }
                }
            }
            Socket::Udp(socket) => {
                self.buffer.resize(udp::LONGEST, 0);
                for _ in 0..BATCH {
                    match inet::receive(socket, &mut self.buffer) {
                        Ok((length, from, arrival)) => {
                            let bytes = self.buffer.get(..length).unwrap_or_default();
                            let key = udp::Key { at, from, arrival };
                            self.sessions.pass(poller, key, to, bytes, now);
                        }
                        Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                        Err(_) => return,
                    }
                }
            }
            Socket::Sctp(_) | Socket::Nothing => {}
        }
    }
}

/// Whether there are descriptors after all, once the limit is raised.
fn has_more_files(raised: &mut Option<MoreFiles>, error: &std::io::Error) -> bool {
    if error.raw_os_error() != Some(libc::EMFILE) || raised.is_some() {
        return false;
    }
    *raised = MoreFiles::allow();
    raised.is_some()
}
