//! The name server at 127.0.0.11 of one container: names of its networks from `names`, all others from servers of the outside.
//!
//! It is part of its owner's loop: it waits for nothing, and does a bounded amount of work each time that it is called.
//! Its sockets are in the container's network namespace and keep that alive: it is dropped when the container ends.

pub mod message;
mod stream;
mod upstream;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::BorrowedFd;
use std::time::Instant;

use hickory_proto::op::ResponseCode;

use message::{Incoming, Question, Transport};
use stream::{Client, Streams};
use upstream::{Done, Forwarder};
pub use upstream::{MOST, Upstream, Via, servers};

use super::names::{Directory, Source};
use crate::engine::error::{Attempt, Kind, Result};
use crate::engine::sys::inet::{self, Reach};
use crate::engine::sys::poll::{Interest, Poller, Ready};

/// Where it is, in each container.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);

const PORT: u16 = 53;

/// How many tokens it takes from the one that it is given.
pub const TOKENS: u64 = UPSTREAM + MOST as u64;
const UDP: u64 = 0;
const TCP: u64 = 1;
const STREAM: u64 = 2;
const UPSTREAM: u64 = STREAM + stream::MOST as u64;

/// Datagrams that are answered before others have a turn.
const BATCH: usize = 64;

/// The longest message.
const LONGEST: usize = 65_535;

/// What a container's name server answers from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// The container's networks, in the order in which they are asked.
    pub networks: Vec<Source>,
    /// Who is asked for all other names, in this order; at most three. Nobody, if it is empty: then what is not known here fails, and no
    /// packet leaves, as is right for a container whose networks are all internal.
    pub servers: Vec<Upstream>,
    /// The user has set `ndots`: then names without a dot are nobody else's, and the client is to try its search domains.
    pub keeps_bare_names: bool,
}

/// A name server.
#[derive(Debug)]
pub struct Server {
    udp: UdpSocket,
    tcp: TcpListener,
    base: u64,
    directory: Directory,
    keeps_bare_names: bool,
    streams: Streams,
    forwarder: Forwarder<Origin>,
    /// Moves on with each answer, so that a service's addresses take turns.
    turn: usize,
    buffer: Vec<u8>,
}

/// Where an answer goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    Datagram(SocketAddr),
    Stream(Client),
}

impl Server {
    /// Opens its sockets in that network namespace, whose loopback must be up. `base` and the [`TOKENS`] after it are its own
    /// in the owner's poller.
    ///
    /// # Errors
    /// [`Kind::Conflict`] if something else has the port; what setns(2), socket(2) and bind(2) say.
    pub fn open(namespace: BorrowedFd<'_>, base: u64, config: Config) -> Result<Self> {
        let address = SocketAddr::from((ADDRESS, PORT));
        let what = || format!("open the name server at {ADDRESS}");
        let (udp, tcp) = inet::within(namespace, || {
            let udp = inet::bind_udp(address, Reach::All).attempt(what)?;
            let tcp = inet::listen_tcp(address, Reach::All).attempt(what)?;
            Ok((udp, tcp))
        })
        .map_err(|error| match error.raw_os_error() {
            Some(libc::EADDRINUSE) => error.with_kind(Kind::Conflict),
            _ => error,
        })?;
        let namespace = namespace.try_clone_to_owned().attempt(what)?;
        let mut server = Self {
            udp,
            tcp,
            base,
            directory: Directory::default(),
            keeps_bare_names: false,
            streams: Streams::new(base + STREAM),
            forwarder: Forwarder::new(namespace, base + UPSTREAM),
            turn: 0,
            buffer: Vec::new(),
        };
        server.configure(config);
        Ok(server)
    }

    /// Answers from something else from now on: the container is on other networks.
    pub fn configure(&mut self, config: Config) {
        self.directory = Directory::new(config.networks);
        self.forwarder.set_servers(config.servers);
        self.keeps_bare_names = config.keeps_bare_names;
    }

    /// Puts its sockets into the poller of the owner's loop.
    ///
    /// # Errors
    /// What epoll_ctl(2) says.
    pub fn register(&self, poller: &Poller) -> Result<()> {
        let read = Interest {
            read: true,
            write: false,
        };
        poller.add(&self.udp, self.base + UDP, read)?;
        poller.add(&self.tcp, self.base + TCP, read)
    }

    /// Does what can be done about one of its descriptors now.
    pub fn handle(&mut self, poller: &Poller, ready: Ready, now: Instant) {
        self.buffer.resize(LONGEST, 0);
        match ready.token.wrapping_sub(self.base) {
            UDP => self.take_datagrams(poller, now),
            TCP => self.streams.accept(&self.tcp, poller, now),
            token if token < UPSTREAM => self.serve_stream(poller, ready, now),
            _ => {
                let buffer = &mut self.buffer;
                if let Some(done) = self.forwarder.handle(poller, ready, buffer, now) {
                    self.give(poller, done);
                }
            }
        }
    }

    /// When [`Self::tick`] has something to do.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let streams = self.streams.deadline();
        [self.forwarder.deadline(), streams]
            .into_iter()
            .flatten()
            .min()
    }

    /// Ends what has waited too long.
    pub fn tick(&mut self, poller: &Poller, now: Instant) {
        for done in self.forwarder.tick(poller, now) {
            self.give(poller, done);
        }
        self.streams.tick(now);
    }

    /// Gives memory back before a long sleep.
    pub fn rest(&mut self) {
        self.buffer = Vec::new();
        self.directory.rest();
        self.forwarder.rest();
        self.streams.rest();
    }

    fn take_datagrams(&mut self, poller: &Poller, now: Instant) {
        let mut buffer = std::mem::take(&mut self.buffer);
        for _ in 0..BATCH {
            match self.udp.recv_from(&mut buffer) {
                Ok((length, from)) => {
                    // For each: it may have been sent after the one before was answered, about somebody who joined since.
                    self.directory.refresh();
                    let bytes = buffer.get(..length).unwrap_or_default();
                    self.serve(poller, Origin::Datagram(from), bytes, now);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        self.buffer = buffer;
    }

    fn serve_stream(&mut self, poller: &Poller, ready: Ready, now: Instant) {
        let Some((client, messages)) = self.streams.handle(poller, ready, &mut self.buffer, now)
        else {
            return;
        };
        self.directory.refresh();
        for bytes in messages {
            self.serve(poller, Origin::Stream(client), &bytes, now);
        }
    }

    fn serve(&mut self, poller: &Poller, origin: Origin, bytes: &[u8], now: Instant) {
        let transport = match origin {
            Origin::Datagram(_) => Transport::Udp,
            Origin::Stream(_) => Transport::Tcp,
        };
        let question = match message::read(bytes, transport) {
            Incoming::Nothing => return,
            Incoming::Refused(answer) => {
                self.say(poller, origin, &answer);
                return;
            }
            Incoming::Question(question) => question,
        };
        if let Some(answer) = question.answer(&self.directory, self.turn) {
            self.turn = self.turn.wrapping_add(1);
            self.say(poller, origin, &answer);
            return;
        }
        if !self.forwarder.is_open() {
            self.fail(poller, origin, &question, ResponseCode::ServFail);
        } else if self.keeps_bare_names && question.is_for_a_bare_name() {
            self.fail(poller, origin, &question, ResponseCode::NoError);
        } else if !self.forwarder.has_room() {
            self.fail(poller, origin, &question, ResponseCode::Refused);
        } else if let Err(done) = self.forwarder.ask(poller, origin, question, bytes, now) {
            self.give(poller, done);
        }
    }

    /// Hands an answer of others on.
    fn give(&mut self, poller: &Poller, done: Done<Origin>) {
        let Done {
            origin,
            question,
            answer,
        } = done;
        match answer.and_then(|answer| question.hand_over(answer)) {
            Some(answer) => self.say(poller, origin, &answer),
            None => self.fail(poller, origin, &question, ResponseCode::ServFail),
        }
    }

    fn fail(&mut self, poller: &Poller, origin: Origin, question: &Question, code: ResponseCode) {
        if let Some(answer) = question.failure(code) {
            self.say(poller, origin, &answer);
        }
    }

    fn say(&mut self, poller: &Poller, origin: Origin, answer: &[u8]) {
        match origin {
            // What has no room is lost, as datagrams may be; the client asks again.
            Origin::Datagram(to) => drop(self.udp.send_to(answer, to)),
            Origin::Stream(client) => self.streams.send(poller, client, answer),
        }
    }
}
