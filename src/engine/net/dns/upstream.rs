//! Questions that others have to answer: each goes to one server after another, by a socket of its own with a port that the
//! kernel draws and a number that we draw, and only that server's answer to that question is taken (RFC 5452).

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use super::message::{Question, Reply, Transport, renumber};
use crate::engine::error::{Attempt, Result};
use crate::engine::sys::poll::{Interest, Poller, Ready};
use crate::engine::sys::{host, inet};

/// How many questions may be with others at a time, as Docker has it.
pub const MOST: usize = 1024;

/// How many servers are asked, as resolv.conf(5) has it (`MAXNS`).
const SERVERS: usize = 3;

/// How long one server has. Clients give up after five seconds (resolv.conf(5), `timeout`): two servers have a chance before.
const PATIENCE: Duration = Duration::from_secs(2);

const PORT: u16 = 53;

/// A server that knows names of the outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upstream {
    /// Where it is.
    pub address: SocketAddr,
    /// From where it is reached.
    pub via: Via,
}

/// From which network a server is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// The container's: as if it had asked by itself.
    Container,
    /// The host's: a server on the host's loopback is nowhere else.
    Host,
}

/// The servers for a container: those that were given (`--dns`) are asked from the container; else those of the host's
/// resolv.conf(5), from the host if they are on its loopback, on one link of it, or of IPv6 while the container (`ipv6`) has none.
/// Without any, the host's own, as resolv.conf(5) says.
#[must_use]
pub fn servers(given: &[IpAddr], host: &str, ipv6: bool) -> Vec<Upstream> {
    if !given.is_empty() {
        let given = given.iter().take(SERVERS).map(|&address| Upstream {
            address: SocketAddr::new(address, PORT),
            via: Via::Container,
        });
        return given.collect();
    }
    let mut servers: Vec<Upstream> = host
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("nameserver"))
        .filter(|rest| rest.starts_with([' ', '\t']))
        .filter_map(|rest| server_of_host(rest.split_whitespace().next()?, ipv6))
        .take(SERVERS)
        .collect();
    if servers.is_empty() {
        servers.push(Upstream {
            address: SocketAddr::from(([127, 0, 0, 1], PORT)),
            via: Via::Host,
        });
    }
    servers
}

fn server_of_host(text: &str, ipv6: bool) -> Option<Upstream> {
    if let Some((address, zone)) = text.split_once('%') {
        let address: Ipv6Addr = address.parse().ok()?;
        let scope = zone.parse().ok().or_else(|| inet::device_number(zone))?;
        return Some(Upstream {
            address: SocketAddrV6::new(address, PORT, 0, scope).into(),
            via: Via::Host,
        });
    }
    let address: IpAddr = text.parse().ok()?;
    let only_host = address.is_loopback() || (address.is_ipv6() && !ipv6);
    Some(Upstream {
        address: SocketAddr::new(address, PORT),
        via: if only_host { Via::Host } else { Via::Container },
    })
}

/// A question that nobody has answered yet. `O` is where the answer goes.
#[derive(Debug)]
struct Pending<O> {
    origin: O,
    question: Box<Question>,
    /// The client's message, under the number `id`.
    bytes: Vec<u8>,
    id: u16,
    /// How many servers have had their chance.
    tried: usize,
    until: Instant,
    channel: Channel,
}

#[derive(Debug)]
enum Channel {
    Udp(UdpSocket),
    Tcp(Exchange),
}

/// One question and one answer over a stream: two bytes of length, then the message.
#[derive(Debug)]
struct Exchange {
    stream: TcpStream,
    out: Vec<u8>,
    sent: usize,
    answer: Vec<u8>,
}

/// What has come of a question; without an answer, no server had one.
#[derive(Debug)]
pub(super) struct Done<O> {
    /// As it was given.
    pub(super) origin: O,
    /// The question.
    pub(super) question: Box<Question>,
    /// A server's answer, as it came.
    pub(super) answer: Option<Vec<u8>>,
}

enum Progress {
    Wait,
    Answer(Vec<u8>),
    /// This server has none.
    Next,
}

/// All questions that are with others.
#[derive(Debug)]
pub(super) struct Forwarder<O> {
    servers: Vec<Upstream>,
    namespace: OwnedFd,
    /// The token of the first slot.
    base: u64,
    pending: Vec<Option<Pending<O>>>,
    free: Vec<usize>,
    timers: BTreeSet<(Instant, usize)>,
}

impl<O> Forwarder<O> {
    /// Asks nobody yet. `base` and the [`MOST`] tokens after it are its own.
    pub(super) fn new(namespace: OwnedFd, base: u64) -> Self {
        Self {
            servers: Vec::new(),
            namespace,
            base,
            pending: Vec::new(),
            free: Vec::new(),
            timers: BTreeSet::new(),
        }
    }

    /// Whom to ask from now on.
    pub(super) fn set_servers(&mut self, servers: Vec<Upstream>) {
        self.servers = servers;
    }

    /// Whether there is anybody to ask.
    pub(super) fn is_open(&self) -> bool {
        !self.servers.is_empty()
    }

    /// Whether there is room for one more question.
    pub(super) fn has_room(&self) -> bool {
        self.pending.len() - self.free.len() < MOST
    }

    /// Asks the first server that can be asked. `bytes` are the question as the client sent it.
    ///
    /// # Errors
    /// What is then to be said to the client: there was no server.
    pub(super) fn ask(
        &mut self,
        poller: &Poller,
        origin: O,
        question: Box<Question>,
        bytes: &[u8],
        now: Instant,
    ) -> std::result::Result<(), Done<O>> {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.pending.push(None);
            self.pending.len() - 1
        });
        let Some((channel, id, bytes, tried)) = self.begin(poller, slot, &question, bytes, 0)
        else {
            self.free.push(slot);
            return Err(Done {
                origin,
                question,
                answer: None,
            });
        };
        let until = now + PATIENCE;
        self.timers.insert((until, slot));
        let pending = Pending {
            origin,
            question,
            bytes,
            id,
            tried,
            until,
            channel,
        };
        self.put(slot, pending);
        Ok(())
    }

    fn put(&mut self, slot: usize, pending: Pending<O>) {
        if let Some(place) = self.pending.get_mut(slot) {
            *place = Some(pending);
        }
    }

    /// How often a question is sent: to each server once, and to one alone twice, for datagrams get lost.
    fn rounds(&self) -> usize {
        self.servers.len().max(2)
    }

    /// Sends it to the server whose turn it is, or to the next one that it can be sent to.
    fn begin(
        &mut self,
        poller: &Poller,
        slot: usize,
        question: &Question,
        bytes: &[u8],
        tried: usize,
    ) -> Option<(Channel, u16, Vec<u8>, usize)> {
        let rounds = self.rounds();
        for round in tried..rounds {
            let server = *self.servers.get(round % self.servers.len().max(1))?;
            let id = u16::from_ne_bytes(host::random_bytes());
            let mut bytes = bytes.to_vec();
            renumber(&mut bytes, id);
            let token = self.base + slot as u64;
            let opened = self
                .open(server, question.transport(), &bytes)
                .and_then(|channel| {
                    poller.add(&channel.fd(), token, channel.interest())?;
                    Ok(channel)
                });
            if let Ok(channel) = opened {
                return Some((channel, id, bytes, round + 1));
            }
        }
        None
    }

    fn open(&self, server: Upstream, transport: Transport, bytes: &[u8]) -> Result<Channel> {
        let connect = || {
            let what = || format!("ask name server {}", server.address.ip());
            match transport {
                Transport::Udp => {
                    let socket = inet::connect_udp(server.address).attempt(what)?;
                    socket.send(bytes).attempt(what)?;
                    Ok(Channel::Udp(socket))
                }
                Transport::Tcp => {
                    let stream = inet::connect_tcp(server.address).attempt(what)?;
                    Ok(Channel::Tcp(Exchange::new(stream, bytes)))
                }
            }
        };
        match server.via {
            Via::Host => connect(),
            Via::Container => inet::within(self.namespace.as_fd(), connect),
        }
    }

    /// Goes on with a question whose server has said something.
    pub(super) fn handle(
        &mut self,
        poller: &Poller,
        ready: Ready,
        buffer: &mut [u8],
        now: Instant,
    ) -> Option<Done<O>> {
        let slot = usize::try_from(ready.token.checked_sub(self.base)?).ok()?;
        let pending = self.pending.get_mut(slot)?.as_mut()?;
        match pending.progress(poller, ready.token, buffer) {
            Progress::Wait => None,
            Progress::Answer(answer) => Some(self.end(slot, Some(answer))?),
            Progress::Next => self.next(poller, slot, now),
        }
    }

    /// The next server's turn; or it is over.
    fn next(&mut self, poller: &Poller, slot: usize, now: Instant) -> Option<Done<O>> {
        let mut pending = self.pending.get_mut(slot)?.take()?;
        self.timers.remove(&(pending.until, slot));
        let _ = poller.remove(&pending.channel.fd());
        let begun = self.begin(
            poller,
            slot,
            &pending.question,
            &pending.bytes,
            pending.tried,
        );
        let over = begun.is_none();
        if let Some((channel, id, bytes, tried)) = begun {
            pending.channel = channel;
            pending.id = id;
            pending.bytes = bytes;
            pending.tried = tried;
            pending.until = now + PATIENCE;
            self.timers.insert((pending.until, slot));
        }
        self.put(slot, pending);
        if over { self.end(slot, None) } else { None }
    }

    fn end(&mut self, slot: usize, answer: Option<Vec<u8>>) -> Option<Done<O>> {
        let pending = self.pending.get_mut(slot)?.take()?;
        self.timers.remove(&(pending.until, slot));
        self.free.push(slot);
        Some(Done {
            origin: pending.origin,
            question: pending.question,
            answer,
        })
    }

    /// When the next server has had its time.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.timers.first().map(|(until, _)| *until)
    }

    /// Passes on what has waited too long.
    pub(super) fn tick(&mut self, poller: &Poller, now: Instant) -> Vec<Done<O>> {
        let mut done = Vec::new();
        while let Some(&(until, slot)) = self.timers.first() {
            if until > now {
                break;
            }
            self.timers.pop_first();
            done.extend(self.next(poller, slot, now));
        }
        done
    }

    /// Gives memory back.
    pub(super) fn rest(&mut self) {
        if self.free.len() == self.pending.len() {
            self.pending = Vec::new();
            self.free = Vec::new();
        }
    }
}

impl<O> Pending<O> {
    fn progress(&mut self, poller: &Poller, token: u64, buffer: &mut [u8]) -> Progress {
        match &mut self.channel {
            Channel::Udp(socket) => loop {
                match socket.recv(buffer) {
                    Ok(length) => {
                        let reply = buffer.get(..length).unwrap_or_default();
                        match self.question.judge(reply, self.id) {
                            Reply::Answer => return Progress::Answer(reply.to_vec()),
                            Reply::Failure => return Progress::Next,
                            Reply::Stranger => {}
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        return Progress::Wait;
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    // Nobody is there: ICMP says so at once.
                    Err(_) => return Progress::Next,
                }
            },
            Channel::Tcp(exchange) => match exchange.go_on(poller, token, buffer) {
                Ok(None) => Progress::Wait,
                Ok(Some(answer)) => match self.question.judge(&answer, self.id) {
                    Reply::Answer => Progress::Answer(answer),
                    Reply::Failure | Reply::Stranger => Progress::Next,
                },
                Err(_) => Progress::Next,
            },
        }
    }
}

impl Channel {
    fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Udp(socket) => socket.as_fd(),
            Self::Tcp(exchange) => exchange.stream.as_fd(),
        }
    }

    fn interest(&self) -> Interest {
        Interest {
            read: true,
            write: matches!(self, Self::Tcp(_)),
        }
    }
}

impl Exchange {
    fn new(stream: TcpStream, message: &[u8]) -> Self {
        let mut exchange = Self {
            stream,
            out: Vec::with_capacity(message.len() + 2),
            sent: 0,
            answer: Vec::new(),
        };
        frame(message, &mut exchange.out);
        exchange
    }

    /// The answer, once all of it is there.
    fn go_on(
        &mut self,
        poller: &Poller,
        token: u64,
        buffer: &mut [u8],
    ) -> io::Result<Option<Vec<u8>>> {
        while let Some(rest) = self.out.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match self.stream.write(rest) {
                Ok(count) => self.sent += count,
                // Still connecting, or no room.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let reading = Interest {
            read: true,
            write: false,
        };
        let _ = poller.change(&self.stream, token, reading);
        loop {
            match self.stream.read(buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.answer.extend(buffer.iter().take(count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            if let Some(length) = framed(&self.answer) {
                self.answer.truncate(length + 2);
                return Ok(Some(self.answer.split_off(2)));
            }
        }
    }
}

/// Puts a message behind its length, as streams carry it (RFC 1035, 4.2.2).
pub(super) fn frame(message: &[u8], out: &mut Vec<u8>) {
    // No message is longer than its length can say.
    let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
    out.extend(length.to_be_bytes());
    out.extend(message.iter().take(usize::from(length)));
}

/// The length of the message that a stream's bytes begin with, if all of it is there.
pub(super) fn framed(bytes: &[u8]) -> Option<usize> {
    let length = usize::from(u16::from_be_bytes(*bytes.first_chunk::<2>()?));
    (bytes.len() >= length + 2).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_servers_are_asked_from_where_they_can_be_reached() {
        let check = |given: &[IpAddr], host: &str, ipv6: bool, expected: &[(&str, Via)]| {
            let found = servers(given, host, ipv6);
            let expected: Vec<Upstream> = expected
                .iter()
                .map(|(address, via)| Upstream {
                    address: address.parse().unwrap(),
                    via: *via,
                })
                .collect();
            assert_eq!(found, expected, "{given:?} {host:?}");
        };
        let own = IpAddr::from([127, 0, 0, 1]);
        check(
            &[own],
            "nameserver 1.1.1.1",
            false,
            &[("127.0.0.1:53", Via::Container)],
        );
        check(&[], "", false, &[("127.0.0.1:53", Via::Host)]);
        check(
            &[],
            "# nameserver 9.9.9.9\nnameserver 127.0.0.53\n nameserver\t192.0.2.1 # x\nnameserverx 1.1.1.1\nnameserver x\nnameserver\nnameserver 2001:db8::1\nnameserver 192.0.2.4\n",
            false,
            &[
                ("127.0.0.53:53", Via::Host),
                ("192.0.2.1:53", Via::Container),
                ("[2001:db8::1]:53", Via::Host),
            ],
        );
        check(
            &[],
            "nameserver 2001:db8::1",
            true,
            &[("[2001:db8::1]:53", Via::Container)],
        );
        check(
            &[],
            "nameserver fe80::1%7",
            true,
            &[("[fe80::1%7]:53", Via::Host)],
        );
    }
}
