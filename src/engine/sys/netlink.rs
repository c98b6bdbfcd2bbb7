//! netlink(7): messages, batches of them, and what the kernel answers. What the messages mean is for `link.rs`, `route.rs` and
//! `nftables.rs`.
//!
//! The kernel handles what is sent before `send` returns, so the answers to a batch are read without waiting.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::netlink::NETFILTER;
use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType};

use super::process::{self, Namespaces};
use super::{failed, namespace, node};
use crate::engine::error::{Error, Result};

/// `NLM_F_REQUEST` (linux/netlink.h).
pub const REQUEST: u16 = 0x1;
/// `NLM_F_ACK`.
pub const ACKNOWLEDGE: u16 = 0x4;
/// `NLM_F_DUMP`.
pub const DUMP: u16 = 0x300;
/// `NLM_F_EXCL`.
pub const EXCLUSIVE: u16 = 0x200;
/// `NLM_F_CREATE`.
pub const CREATE: u16 = 0x400;
/// `NLM_F_APPEND`.
pub const APPEND: u16 = 0x800;
/// `NLM_F_REPLACE`.
pub const REPLACE: u16 = 0x100;
/// `NLA_F_NESTED`.
const NESTED: u16 = 0x8000;
/// What of an attribute's kind is its kind (`NLA_TYPE_MASK`).
const KIND: u16 = 0x3fff;
/// `NLMSG_ERROR`, `NLMSG_DONE`.
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// Size of `struct nlmsghdr`.
const HEADER: usize = 16;

/// A connection to one network namespace.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
}

/// What the kernel said to one message of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// What the message was for.
    pub label: String,
    /// Why not.
    pub errno: Errno,
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        failed(refused.errno, refused.label)
    }
}

/// Does something in another network namespace. This thread is there for that time: sockets and `/proc/sys/net` are that
/// namespace's.
///
/// # Errors
/// What setns(2) says, and what `work` says. If there is no way back, that is an error, too.
pub fn inside<T>(namespace: BorrowedFd<'_>, work: impl FnOnce() -> Result<T>) -> Result<T> {
    const NET: Namespaces = process::NEWNET;
    let own = node::open(std::path::Path::new("/proc/thread-self/ns/net"))?;
    namespace::enter_file(namespace, NET, "of the container")?;
    let done = work();
    namespace::enter_file(own.as_fd(), NET, "of this process")?;
    done
}

impl Socket {
    /// For links, addresses and routes of this thread's namespace.
    ///
    /// # Errors
    /// What socket(2) says.
    pub fn route() -> Result<Self> {
        // NETLINK_ROUTE is 0.
        Self::open(None)
    }

    /// For the packet filter of this thread's namespace.
    ///
    /// # Errors
    /// What socket(2) says.
    pub fn netfilter() -> Result<Self> {
        let socket = Self::open(Some(NETFILTER))?;
        // A batch is one message to the socket, however many ports are published.
        let large = 64 << 20;
        let _ = rustix::net::sockopt::set_socket_send_buffer_size_force(&socket.fd, large);
        let _ = rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket.fd, large);
        Ok(socket)
    }

    fn open(protocol: Option<Protocol>) -> Result<Self> {
        rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            protocol,
        )
        .map(|fd| Self { fd })
        .map_err(|e| failed(e, "open a netlink socket"))
    }

    /// Sends a batch and waits for what the kernel says to it.
    ///
    /// # Errors
    /// The first message that was refused. Of rtnetlink the others have been done; of nf_tables none.
    pub fn run(&self, batch: &Batch) -> Result<()> {
        match self.try_run(batch)? {
            Ok(()) => Ok(()),
            Err(refused) => Err(refused.into()),
        }
    }

    /// The same, for callers that expect a refusal.
    ///
    /// # Errors
    /// What sending and receiving says.
    pub fn try_run(&self, batch: &Batch) -> Result<std::result::Result<(), Refused>> {
        let Some(bytes) = batch.finished() else {
            return Ok(Ok(()));
        };
        self.send(&bytes)
            .map_err(|e| failed(e, "send to the kernel by netlink"))?;
        let mut verdict = Verdict::default();
        let mut buffer = vec![0; 64 << 10];
        loop {
            match rustix::net::recv(&self.fd, &mut buffer, RecvFlags::DONTWAIT) {
                Ok((_, length)) => verdict.read(buffer.get(..length).unwrap_or_default()),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(e) => return Err(failed(e, "receive from the kernel by netlink")),
            }
        }
        Ok(verdict.of(&batch.labels))
    }

    /// Sends one request and collects the bodies of what comes back until the kernel says that this was all.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn ask(&self, request: Message) -> rustix::io::Result<Vec<Vec<u8>>> {
        let mut answers = Vec::new();
        self.each(request, |body| answers.push(body.to_vec()))?;
        Ok(answers)
    }

    fn each(&self, request: Message, mut take: impl FnMut(&[u8])) -> rustix::io::Result<()> {
        self.send(&request.finished(0, 0))?;
        let mut buffer = vec![0; 64 << 10];
        loop {
            let (_, length) = match rustix::net::recv(&self.fd, &mut buffer, RecvFlags::empty()) {
                Err(Errno::INTR) => continue,
                other => other?,
            };
            for message in messages(buffer.get(..length).unwrap_or_default()) {
                match message.kind {
                    DONE => return Ok(()),
                    ERROR => return error_of(message.body).map_or(Ok(()), Err),
                    _ => take(message.body),
                }
            }
        }
    }

    fn send(&self, bytes: &[u8]) -> rustix::io::Result<()> {
        // Without an address it goes to the kernel.
        rustix::net::send(&self.fd, bytes, SendFlags::empty()).map(drop)
    }
}

/// Messages that are sent at once, each with what it is for.
#[derive(Debug, Default)]
pub struct Batch {
    messages: Vec<Message>,
    labels: Vec<String>,
    asked: Option<usize>,
}

impl Batch {
    /// Adds a message; `label` says what was attempted on what if the kernel refuses it.
    pub fn push(&mut self, message: Message, label: impl Into<String>) {
        self.messages.push(message);
        self.labels.push(label.into());
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Has the message that was added last be answered, also if others follow.
    pub fn ask_last(&mut self) {
        self.asked = self.messages.len().checked_sub(1);
    }

    /// The messages.
    #[must_use]
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// As it is sent: numbered from 1. One asks for an answer; errors are told of all.
    fn finished(&self) -> Option<Vec<u8>> {
        let last = self.messages.len().checked_sub(1)?;
        let asked = self.asked.unwrap_or(last);
        let mut bytes = Vec::new();
        for (at, message) in self.messages.iter().enumerate() {
            let flags = if at == asked { ACKNOWLEDGE } else { 0 };
            bytes.extend(message.finished(u32::try_from(at + 1).unwrap_or(0), flags));
        }
        Some(bytes)
    }
}

/// What came back for a batch.
#[derive(Debug, Default)]
struct Verdict {
    first: Option<(u32, Errno)>,
    answered: bool,
}

impl Verdict {
    fn read(&mut self, bytes: &[u8]) {
        for message in messages(bytes) {
            if message.kind != ERROR {
                continue;
            }
            self.answered = true;
            let Some(errno) = error_of(message.body) else {
                continue;
            };
            if self
                .first
                .is_none_or(|(before, _)| message.sequence < before)
            {
                self.first = Some((message.sequence, errno));
            }
        }
    }

    fn of(self, labels: &[String]) -> std::result::Result<(), Refused> {
        let refused = |sequence: u32, errno| {
            let at = usize::try_from(sequence).unwrap_or(0).wrapping_sub(1);
            let label = labels.get(at).or(labels.first()).cloned();
            Err(Refused {
                label: label.unwrap_or_default(),
                errno,
            })
        };
        match self.first {
            Some((sequence, errno)) => refused(sequence, errno),
            None if self.answered => Ok(()),
            None => refused(0, Errno::BADMSG),
        }
    }
}

/// A message, or a part of one, that is being written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    bytes: Vec<u8>,
}

impl Message {
    /// An empty message of a kind.
    #[must_use]
    pub fn new(kind: u16, flags: u16) -> Self {
        let mut bytes = vec![0; 4];
        bytes.extend(kind.to_ne_bytes());
        bytes.extend((flags | REQUEST).to_ne_bytes());
        // Sequence number and sender.
        bytes.extend([0; 8]);
        Self { bytes }
    }

    /// Adds a header of the subsystem.
    #[must_use]
    pub fn with(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend(bytes);
        self.pad();
        self
    }

    /// Adds an attribute.
    pub fn attribute(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
        self.bytes.extend(length.to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend(value);
        self.pad();
        self
    }

    /// Adds a text, which ends with a zero.
    pub fn text(&mut self, kind: u16, value: &str) -> &mut Self {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.attribute(kind, &bytes)
    }

    /// Adds a number in the host's order, as rtnetlink has them.
    pub fn number(&mut self, kind: u16, value: u32) -> &mut Self {
        self.attribute(kind, &value.to_ne_bytes())
    }

    /// Adds a number in the network's order, as nf_tables has them.
    pub fn network_number(&mut self, kind: u16, value: u32) -> &mut Self {
        self.attribute(kind, &value.to_be_bytes())
    }

    /// Adds an attribute that is made of others. It must stay below 64 KiB.
    pub fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) -> &mut Self {
        let start = self.bytes.len();
        self.bytes.extend([0; 2]);
        self.bytes.extend((kind | NESTED).to_ne_bytes());
        fill(self);
        let length = u16::try_from(self.bytes.len() - start).unwrap_or(u16::MAX);
        if let Some(head) = self.bytes.get_mut(start..start + 2) {
            head.copy_from_slice(&length.to_ne_bytes());
        }
        self
    }

    /// Adds bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend(bytes);
        self.pad();
        self
    }

    /// How long it is by now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing follows the header.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.len() <= HEADER
    }

    /// What follows the header.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.bytes.get(HEADER..).unwrap_or_default()
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn finished(&self, sequence: u32, flags: u16) -> Vec<u8> {
        let length = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        let mut bytes = self.bytes.clone();
        let own = half(&bytes, 6).unwrap_or(0);
        let fields: [(usize, &[u8]); 3] = [
            (0, &length.to_ne_bytes()),
            (6, &(own | flags).to_ne_bytes()),
            (8, &sequence.to_ne_bytes()),
        ];
        for (at, value) in fields {
            if let Some(field) = bytes.get_mut(at..at + value.len()) {
                field.copy_from_slice(value);
            }
        }
        bytes
    }
}

/// A message of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received<'a> {
    /// Its kind.
    pub kind: u16,
    /// Of the message that it answers.
    pub sequence: u32,
    /// What follows its header.
    pub body: &'a [u8],
}

/// The messages that were received together; ends at what is none.
pub fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Received<'_>> {
    std::iter::from_fn(move || {
        let length = usize::try_from(word(bytes, 0)?).ok()?;
        let received = Received {
            kind: half(bytes, 4)?,
            sequence: word(bytes, 8)?,
            body: bytes.get(HEADER..length)?,
        };
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(received)
    })
}

/// Kinds and values of attributes; ends at what is none.
pub fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(half(bytes, 0)?);
        let kind = half(bytes, 2)? & KIND;
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// The value of the first attribute of a kind.
#[must_use]
pub fn attribute(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes)
        .find(|(k, _)| *k == kind)
        .map(|(_, value)| value)
}

/// A text of the kernel, which ends at the first zero.
#[must_use]
pub fn text(value: &[u8]) -> Option<&str> {
    let end = value.iter().position(|b| *b == 0).unwrap_or(value.len());
    std::str::from_utf8(value.get(..end)?).ok()
}

/// Four bytes in the host's order.
#[must_use]
pub fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_ne_bytes(bytes.try_into().ok()?))
}

/// What the body of an `NLMSG_ERROR` says; `None` if it is an acknowledgement.
fn error_of(body: &[u8]) -> Option<Errno> {
    let Some(code) = word(body, 0).map(u32::cast_signed) else {
        return Some(Errno::BADMSG);
    };
    let error = io::Error::from_raw_os_error(code.saturating_neg());
    (code != 0).then(|| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_message_is_written_as_the_kernel_reads_it() {
        let mut message = Message::new(16, CREATE).with(&[1, 2, 3]);
        message.nest(18, |inner| {
            inner.text(1, "veth");
        });
        let expect: &[u8] = &[
            36, 0, 0, 0, 16, 0, 5, 4, 9, 0, 0, 0, 0, 0, 0, 0, // nlmsghdr
            1, 2, 3, 0, // padded
            16, 0, 18, 0x80, // nested
            9, 0, 1, 0, b'v', b'e', b't', b'h', 0, 0, 0, 0,
        ];
        assert_eq!(message.finished(9, ACKNOWLEDGE), expect);
        let value = attribute(message.body().get(4..).unwrap(), 18).unwrap();
        assert_eq!(attribute(value, 1).and_then(text), Some("veth"));
    }

    /// `NLMSG_ERROR` with a number of the request that it answers.
    fn answer(sequence: u32, code: i32) -> Vec<u8> {
        Message::new(ERROR, 0)
            .with(&code.to_ne_bytes())
            .finished(sequence, 0)
    }

    #[test]
    fn a_refusal_names_the_first_message_that_failed() {
        let labels = ["one", "two", "three"].map(str::to_owned);
        let verdict = |answers: &[(u32, i32)]| {
            let mut verdict = Verdict::default();
            for (sequence, code) in answers {
                verdict.read(&answer(*sequence, *code));
            }
            verdict
                .of(&labels)
                .map_err(|refused| (refused.label, refused.errno))
        };
        assert_eq!(verdict(&[(3, 0)]), Ok(()));
        let second = Err(("two".to_owned(), Errno::NOENT));
        assert_eq!(verdict(&[(3, -22), (2, -2)]), second);
        let silent = Err(("one".to_owned(), Errno::BADMSG));
        assert_eq!(verdict(&[]), silent);
    }

    proptest! {
        #[test]
        fn nothing_that_is_received_panics_or_loops(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let mut verdict = Verdict::default();
            verdict.read(&bytes);
            prop_assert!(messages(&bytes).count() <= bytes.len());
            for (_, value) in attributes(&bytes) {
                let _ = text(value);
            }
            prop_assert!(attributes(&bytes).count() <= bytes.len());
        }
    }
}
