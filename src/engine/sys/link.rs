//! Network devices: finding, moving, naming and addressing them with rtnetlink(7).

use std::fmt::Display;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use super::process::{self, Namespaces};
use super::{failed, namespace, node};
use crate::engine::error::{Error, Kind, Result};

/// `RTM_NEWLINK` and its kin (linux/rtnetlink.h).
const NEW_LINK: u16 = 16;
const GET_LINK: u16 = 18;
const NEW_ADDRESS: u16 = 20;
const GET_ADDRESS: u16 = 22;
/// `NLM_F_*`.
const REQUEST: u16 = 0x1;
const ACKNOWLEDGE: u16 = 0x4;
const DUMP: u16 = 0x300;
const CREATE: u16 = 0x400;
const EXCLUSIVE: u16 = 0x200;
/// `NLMSG_ERROR`, `NLMSG_DONE`.
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// Attributes of links.
const LINK_NAME: u16 = 3;
const LINK_NAMESPACE: u16 = 28;
/// Attributes of addresses.
const ADDRESS: u16 = 1;
const LOCAL: u16 = 2;
const FLAGS: u16 = 8;
/// `IFA_F_PERMANENT`.
const PERMANENT: u32 = 0x80;
/// `RT_SCOPE_UNIVERSE`.
const UNIVERSE: u8 = 0;
/// `IFF_UP`.
const UP: u32 = 1;

/// Longest name of a device, without the final zero (`IFNAMSIZ`).
pub const MAX_NAME: usize = 15;

/// A connection to one network namespace.
#[derive(Debug)]
pub struct Links {
    socket: OwnedFd,
}

/// An address that somebody gave a device for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    family: u8,
    prefix: u8,
    /// `IFA_LOCAL` and `IFA_ADDRESS`.
    local: Option<Vec<u8>>,
    peer: Option<Vec<u8>>,
}

impl Links {
    /// Those of this process's namespace.
    ///
    /// # Errors
    /// What socket(2) says.
    pub fn here() -> Result<Self> {
        let socket = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            // NETLINK_ROUTE, which is 0.
            None,
        )
        .map_err(|e| failed(e, "open a netlink socket"))?;
        Ok(Self { socket })
    }

    /// Those of another namespace. This process, which must have one thread, is there for a moment.
    ///
    /// # Errors
    /// What setns(2) says.
    pub fn of(namespace: BorrowedFd<'_>) -> Result<Self> {
        const NET: Namespaces = process::NEWNET;
        let own = node::open(std::path::Path::new("/proc/self/ns/net"))?;
        namespace::enter_file(namespace, NET, "of the container")?;
        let links = Self::here();
        namespace::enter_file(own.as_fd(), NET, "of this process")?;
        links
    }

    /// The number of the device of that name.
    ///
    /// # Errors
    /// [`Kind::NotFound`].
    pub fn find(&self, name: &str) -> Result<u32> {
        let mut request = Message::of_link(GET_LINK, REQUEST | ACKNOWLEDGE, 0, 0, 0);
        request.name(name)?;
        let answers = self.talk(&request).map_err(|e| match e {
            Errno::NODEV => Error::not_found(format!("no network device {name}")),
            e => failed(e, format_args!("find network device {name}")),
        })?;
        answers
            .iter()
            .find_map(|answer| word(answer, 4))
            .ok_or_else(|| Error::not_found(format!("no network device {name}")))
    }

    /// The numbers of all devices.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn all(&self) -> Result<Vec<u32>> {
        let request = Message::of_link(GET_LINK, REQUEST | DUMP, 0, 0, 0);
        let answers = self
            .talk(&request)
            .map_err(|e| failed(e, "list network devices"))?;
        Ok(answers
            .iter()
            .filter_map(|answer| word(answer, 4))
            .collect())
    }

    /// A device's permanent addresses of global scope.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn addresses(&self, index: u32) -> Result<Vec<Address>> {
        let mut request = Message::new(GET_ADDRESS, REQUEST | DUMP);
        request.bytes.extend([0; 8]);
        let answers = self
            .talk(&request)
            .map_err(|e| failed(e, "list addresses"))?;
        Ok(answers
            .iter()
            .filter(|answer| word(answer, 4) == Some(index))
            .filter_map(|answer| Address::parse(answer))
            .collect())
    }

    /// Gives a device an address.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn add_address(&self, index: u32, address: &Address) -> Result<()> {
        let flags = REQUEST | ACKNOWLEDGE | CREATE | EXCLUSIVE;
        let mut request = Message::new(NEW_ADDRESS, flags);
        let head = [address.family, address.prefix, 0, UNIVERSE];
        request.bytes.extend(head);
        request.bytes.extend(index.to_ne_bytes());
        for (kind, value) in [(LOCAL, &address.local), (ADDRESS, &address.peer)] {
            if let Some(value) = value {
                request.attribute(kind, value);
            }
        }
        self.order(&request, "add an address")
    }

    /// Takes a device up or down.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn set_up(&self, index: u32, up: bool) -> Result<()> {
        let flags = if up { UP } else { 0 };
        let request = Message::of_link(NEW_LINK, REQUEST | ACKNOWLEDGE, index, flags, UP);
        self.order(&request, "take a network device up or down")
    }

    /// Moves a device to another namespace under a name, both at once.
    ///
    /// # Errors
    /// [`Kind::AlreadyExists`] if the name is taken there, `EINVAL` for a device that cannot be moved.
    pub fn send_to(&self, index: u32, namespace: BorrowedFd<'_>, name: &str) -> Result<()> {
        let mut request = Message::of_link(NEW_LINK, REQUEST | ACKNOWLEDGE, index, 0, 0);
        request.name(name)?;
        request.attribute(LINK_NAMESPACE, &namespace.as_raw_fd().to_ne_bytes());
        self.order(&request, format_args!("move it to the container as {name}"))
    }

    fn order(&self, request: &Message, what: impl Display) -> Result<()> {
        self.talk(request).map(drop).map_err(|e| failed(e, what))
    }

    /// Sends a request and collects what comes back until the kernel says that this was all: the messages' bodies.
    fn talk(&self, request: &Message) -> rustix::io::Result<Vec<Vec<u8>>> {
        rustix::net::send(&self.socket, &request.finished(), SendFlags::empty())?;
        let mut answers = Vec::new();
        let mut buffer = vec![0; 32 << 10];
        loop {
            let (_, length) = match rustix::net::recv(&self.socket, &mut buffer, RecvFlags::empty())
            {
                Err(Errno::INTR) => continue,
                other => other?,
            };
            let mut rest = buffer.get(..length).unwrap_or_default();
            while let Some((kind, body, after)) = next_message(rest) {
                match kind {
                    DONE => return Ok(answers),
                    ERROR => {
                        return match word(body, 0).map(u32::cast_signed) {
                            Some(0) => Ok(answers),
                            Some(code) => {
                                let code = code.saturating_neg();
                                let error = io::Error::from_raw_os_error(code);
                                Err(Errno::from_io_error(&error).unwrap_or(Errno::IO))
                            }
                            None => Err(Errno::BADMSG),
                        };
                    }
                    _ => answers.push(body.to_vec()),
                }
                rest = after;
            }
        }
    }
}

impl Address {
    /// Of the body of a `RTM_NEWADDR`; `None` for one that comes and goes, or is for this host alone.
    fn parse(body: &[u8]) -> Option<Self> {
        let [family, prefix, flags, scope, ..] = body.get(..8)? else {
            return None;
        };
        let mut result = Self {
            family: *family,
            prefix: *prefix,
            local: None,
            peer: None,
        };
        let mut flags = u32::from(*flags);
        let mut rest = body.get(8..)?;
        while let Some((kind, value, after)) = next_attribute(rest) {
            match kind {
                LOCAL => result.local = Some(value.to_vec()),
                ADDRESS => result.peer = Some(value.to_vec()),
                FLAGS => flags = word(value, 0)?,
                _ => {}
            }
            rest = after;
        }
        (flags & PERMANENT != 0 && *scope == UNIVERSE).then_some(result)
    }
}

/// A request that is being written.
struct Message {
    bytes: Vec<u8>,
}

impl Message {
    fn new(kind: u16, flags: u16) -> Self {
        let mut bytes = vec![0; 4];
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        // Sequence number and sender: there is one request at a time, and the kernel knows who we are.
        bytes.extend([0; 8]);
        Self { bytes }
    }

    /// With `struct ifinfomsg`.
    fn of_link(kind: u16, flags: u16, index: u32, state: u32, mask: u32) -> Self {
        let mut message = Self::new(kind, flags);
        message.bytes.extend([0; 4]);
        for word in [index, state, mask] {
            message.bytes.extend(word.to_ne_bytes());
        }
        message
    }

    fn name(&mut self, name: &str) -> Result<()> {
        if name.is_empty() || name.len() > MAX_NAME || name.contains('\0') {
            let text = format!("invalid network device name {name:?}");
            return Err(Error::new(Kind::InvalidInput, text));
        }
        let mut value = name.as_bytes().to_vec();
        value.push(0);
        self.attribute(LINK_NAME, &value);
        Ok(())
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) {
        let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
        self.bytes.extend(length.to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend(value);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn finished(&self) -> Vec<u8> {
        let length = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(self.bytes.iter().skip(4));
        bytes
    }
}

/// Kind and body of the first message, and what follows it.
fn next_message(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = usize::try_from(word(bytes, 0)?).ok()?;
    let kind = half(bytes, 4)?;
    let body = bytes.get(16..length)?;
    let rest = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((kind, body, rest))
}

/// Kind and value of the first attribute, and what follows it.
fn next_attribute(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = usize::from(half(bytes, 0)?);
    let kind = half(bytes, 2)?;
    let value = bytes.get(4..length)?;
    let rest = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((kind, value, rest))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_ne_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_loopback_device_is_found() {
        let links = Links::here().unwrap();
        let index = links.find("lo").unwrap();
        assert!(links.all().unwrap().contains(&index));
        // Its addresses are for this host alone.
        assert_eq!(links.addresses(index).unwrap(), []);
        let error = links.find("no-such-dev").unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound);
        assert_eq!(error.to_string(), "no network device no-such-dev");
    }

    #[test]
    fn addresses_for_good_are_told_from_others() {
        let body = |flags: u8, scope: u8, more: u32| {
            let mut message = Message::new(NEW_ADDRESS, 0);
            message.bytes.extend([2, 24, flags, scope, 7, 0, 0, 0]);
            message.attribute(ADDRESS, &[10, 0, 0, 1]);
            message.attribute(FLAGS, &more.to_ne_bytes());
            message.finished().split_off(16)
        };
        let expect = Address {
            family: 2,
            prefix: 24,
            local: None,
            peer: Some(vec![10, 0, 0, 1]),
        };
        assert_eq!(Address::parse(&body(0, 0, PERMANENT)), Some(expect));
        assert_eq!(Address::parse(&body(0x80, 0, 0)), None);
        assert_eq!(Address::parse(&body(0x80, 253, PERMANENT)), None);
        assert_eq!(Address::parse(&[]), None);
    }

    proptest! {
        #[test]
        fn no_message_panics_or_loops(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let mut rest = bytes.as_slice();
            while let Some((_, body, after)) = next_message(rest) {
                let _ = Address::parse(body);
                prop_assert!(after.len() < rest.len());
                rest = after;
            }
            let mut rest = bytes.as_slice();
            while let Some((_, _, after)) = next_attribute(rest) {
                prop_assert!(after.len() < rest.len());
                rest = after;
            }
        }
    }
}
