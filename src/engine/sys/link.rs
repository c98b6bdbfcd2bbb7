//! Network devices: making, finding, moving, naming and addressing them with rtnetlink(7).

use std::fmt::Display;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

use super::failed;
use super::netlink::{
    self, ACKNOWLEDGE, Batch, CREATE, DUMP, EXCLUSIVE, Message, Socket, attributes, word,
};
use crate::engine::error::{Error, Kind, Result};

/// `RTM_NEWLINK` and its kin (linux/rtnetlink.h).
const NEW_LINK: u16 = 16;
const DELETE_LINK: u16 = 17;
const GET_LINK: u16 = 18;
const SET_LINK: u16 = 19;
const NEW_ADDRESS: u16 = 20;
const GET_ADDRESS: u16 = 22;
/// The family of a bridge's own messages (`PF_BRIDGE`, linux/socket.h).
const AF_BRIDGE: u8 = 7;
/// Attributes of links (linux/if_link.h).
const LINK_ADDRESS: u16 = 1;
const LINK_NAME: u16 = 3;
const LINK_MTU: u16 = 4;
const LINK_PARENT: u16 = 5;
const LINK_MASTER: u16 = 10;
const LINK_INFO: u16 = 18;
const LINK_ALIAS: u16 = 20;
const LINK_NAMESPACE: u16 = 28;
const LINK_SEND_QUEUES: u16 = 31;
const LINK_RECEIVE_QUEUES: u16 = 32;
/// `IFLA_INFO_KIND`, `IFLA_INFO_DATA`.
const INFO_KIND: u16 = 1;
const INFO_DATA: u16 = 2;
/// `VETH_INFO_PEER` (linux/veth.h).
const VETH_PEER: u16 = 1;
/// `IFLA_MACVLAN_MODE`, `IFLA_IPVLAN_MODE`, `IFLA_IPVLAN_FLAGS`.
const MACVLAN_MODE: u16 = 1;
const IPVLAN_MODE: u16 = 1;
const IPVLAN_FLAGS: u16 = 2;
/// `IFLA_VLAN_ID`.
const VLAN_ID: u16 = 1;
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

/// A device that is to be made.
#[derive(Debug, Clone, Copy)]
pub struct NewLink<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its hardware address; the kernel chooses one if `None`.
    pub mac: Option<[u8; 6]>,
    /// Largest packet in bytes; the kernel's own if `None`.
    pub mtu: Option<u32>,
    /// The bridge that it is put into.
    pub master: Option<u32>,
    /// What it is.
    pub kind: NewKind<'a>,
    /// It is made in this namespace and not in the socket's.
    pub namespace: Option<BorrowedFd<'a>>,
}

/// Kinds of devices.
#[derive(Debug, Clone, Copy)]
pub enum NewKind<'a> {
    /// A bridge.
    Bridge,
    /// One end of a pair; the other is the peer, whose kind says nothing.
    Veth(&'a NewLink<'a>),
    /// An inner end, see [`Self::Veth`].
    Peer,
    /// A device with an address of its own on another.
    Macvlan {
        /// The number of the device below.
        parent: u32,
        /// `MACVLAN_MODE_*`: 1 private, 2 vepa, 4 bridge, 8 passthru.
        mode: u32,
    },
    /// A device that shares another's address.
    Ipvlan {
        /// The number of the device below.
        parent: u32,
        /// `IPVLAN_MODE_*`: 0 l2, 1 l3, 2 l3s.
        mode: u16,
        /// `IPVLAN_F_*`: 1 private, 2 vepa.
        flags: u16,
    },
    /// A tagged part of another.
    Vlan {
        /// The number of the device below.
        parent: u32,
        /// Its tag.
        id: u16,
    },
    /// A device that leads nowhere.
    Dummy,
}

/// A connection to one network namespace.
#[derive(Debug)]
pub struct Links {
    socket: Socket,
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
        Socket::route().map(|socket| Self { socket })
    }

    /// Those of another namespace. This thread is there for a moment.
    ///
    /// # Errors
    /// What setns(2) says.
    pub fn of(namespace: BorrowedFd<'_>) -> Result<Self> {
        netlink::inside(namespace, Self::here)
    }

    /// Runs a batch: all of its messages, also those after one that was refused.
    ///
    /// # Errors
    /// The first that was refused.
    pub fn run(&self, batch: &Batch) -> Result<()> {
        self.socket.run(batch)
    }

    /// The connection itself.
    #[must_use]
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// The number of the device of that name.
    ///
    /// # Errors
    /// [`Kind::NotFound`].
    pub fn find(&self, name: &str) -> Result<u32> {
        let mut request = of_link(GET_LINK, ACKNOWLEDGE, 0, 0, 0);
        named(&mut request, name)?;
        let answers = self.talk(request).map_err(|e| match e {
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
        let request = of_link(GET_LINK, DUMP, 0, 0, 0);
        let answers = self
            .talk(request)
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
        let request = Message::new(GET_ADDRESS, DUMP).with(&[0; 8]);
        let answers = self
            .talk(request)
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
        let flags = ACKNOWLEDGE | CREATE | EXCLUSIVE;
        let mut request = Message::new(NEW_ADDRESS, flags)
            .with(&[address.family, address.prefix, 0, UNIVERSE])
            .with(&index.to_ne_bytes());
        for (kind, value) in [(LOCAL, &address.local), (ADDRESS, &address.peer)] {
            if let Some(value) = value {
                request.attribute(kind, value);
            }
        }
        self.order(request, "add an address")
    }

    /// Takes a device up or down.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn set_up(&self, index: u32, up: bool) -> Result<()> {
        let flags = if up { UP } else { 0 };
        let request = of_link(NEW_LINK, ACKNOWLEDGE, index, flags, UP);
        self.order(request, "take a network device up or down")
    }

    /// Moves a device to another namespace under a name, both at once.
    ///
    /// # Errors
    /// [`Kind::AlreadyExists`] if the name is taken there, `EINVAL` for a device that cannot be moved.
    pub fn send_to(&self, index: u32, namespace: BorrowedFd<'_>, name: &str) -> Result<()> {
        let mut request = of_link(NEW_LINK, ACKNOWLEDGE, index, 0, 0);
        named(&mut request, name)?;
        request.attribute(LINK_NAMESPACE, &namespace.as_raw_fd().to_ne_bytes());
        self.order(request, format_args!("move it to the container as {name}"))
    }

    /// The device with that name, as the kernel describes it: its number, whether it is up and what it is called by its kind.
    ///
    /// # Errors
    /// What the kernel says; that there is none is no error.
    pub fn look(&self, name: &str) -> Result<Option<Seen>> {
        let mut request = of_link(GET_LINK, ACKNOWLEDGE, 0, 0, 0);
        named(&mut request, name)?;
        let answers = match self.socket.ask(request) {
            Err(Errno::NODEV) => return Ok(None),
            other => other.map_err(|e| failed(e, format_args!("find network device {name}")))?,
        };
        Ok(answers.first().and_then(|body| Seen::parse(body)))
    }

    fn order(&self, request: Message, what: impl Display) -> Result<()> {
        self.talk(request).map(drop).map_err(|e| failed(e, what))
    }

    fn talk(&self, request: Message) -> rustix::io::Result<Vec<Vec<u8>>> {
        self.socket.ask(request)
    }
}

/// A device as the kernel describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its number.
    pub index: u32,
    /// It is up.
    pub up: bool,
    /// Its kind (`bridge`, `veth`), empty for hardware.
    pub kind: String,
    /// Largest packet in bytes.
    pub mtu: Option<u32>,
    /// What its maker noted on it.
    pub alias: String,
}

impl Seen {
    /// Of the body of a `RTM_NEWLINK`.
    #[must_use]
    pub fn parse(body: &[u8]) -> Option<Self> {
        let mut seen = Self {
            index: word(body, 4)?,
            up: word(body, 8)? & UP != 0,
            kind: String::new(),
            mtu: None,
            alias: String::new(),
        };
        for (kind, value) in attributes(body.get(16..)?) {
            match kind {
                LINK_MTU => seen.mtu = word(value, 0),
                LINK_ALIAS => {
                    netlink::text(value)
                        .unwrap_or_default()
                        .clone_into(&mut seen.alias);
                }
                LINK_INFO => {
                    let text = netlink::attribute(value, INFO_KIND).and_then(netlink::text);
                    text.unwrap_or_default().clone_into(&mut seen.kind);
                }
                _ => {}
            }
        }
        Some(seen)
    }
}

/// Makes a device, down.
///
/// # Errors
/// [`Kind::InvalidInput`] for a name that no device can have.
pub fn create(link: &NewLink<'_>) -> Result<Message> {
    let mut message = of_link(NEW_LINK, CREATE | EXCLUSIVE, 0, 0, 0);
    describe(&mut message, link)?;
    Ok(message)
}

/// Removes a device, and with one end of a pair the other.
///
/// # Errors
/// As [`create`].
pub fn remove(name: &str) -> Result<Message> {
    let mut message = of_link(DELETE_LINK, 0, 0, 0, 0);
    named(&mut message, name)?;
    Ok(message)
}

/// Takes a device up, and notes on it whose it is.
///
/// # Errors
/// As [`create`].
pub fn up_as(name: &str, alias: &str) -> Result<Message> {
    let mut message = up(name)?;
    message.text(LINK_ALIAS, alias);
    Ok(message)
}

/// Takes a device up.
///
/// # Errors
/// As [`create`].
pub fn up(name: &str) -> Result<Message> {
    let mut message = of_link(NEW_LINK, 0, 0, UP, UP);
    named(&mut message, name)?;
    Ok(message)
}

/// Takes a port of a bridge up. What comes in by it may leave by it; an isolated one talks to the bridge alone, not to other
/// isolated ones.
///
/// # Errors
/// As [`create`].
pub fn up_port(name: &str, isolated: bool) -> Result<Message> {
    let mut message = up(name)?;
    // IFLA_INFO_SLAVE_KIND, IFLA_INFO_SLAVE_DATA { IFLA_BRPORT_MODE, IFLA_BRPORT_ISOLATED }.
    message.nest(LINK_INFO, |all| {
        all.text(4, "bridge").nest(5, |data| {
            data.attribute(4, &[1]);
            if isolated {
                data.attribute(33, &[1]);
            }
        });
    });
    Ok(message)
}

/// Has a port of a bridge, by its number, pass nothing on any more. That holds at once, while removing it or taking it down waits
/// until all processors have seen it.
#[must_use]
pub fn silence_port(index: u32) -> Message {
    // As the bridge's own message: after one for any device the bridge is told that there was a change, and takes up again what
    // has a carrier (net/bridge/br_if.c, `br_port_carrier_check`).
    let mut message = Message::new(SET_LINK, 0)
        .with(&[AF_BRIDGE, 0, 0, 0])
        .with(&index.to_ne_bytes())
        .with(&[0; 8]);
    // IFLA_PROTINFO { IFLA_BRPORT_STATE: BR_STATE_DISABLED }.
    message.nest(12, |data| {
        data.attribute(1, &[0]);
    });
    message
}

/// Shows what a bridge passes on among its ports to the firewall of IP.
///
/// # Errors
/// As [`create`].
pub fn show_bridged(name: &str) -> Result<Message> {
    let mut message = of_link(NEW_LINK, 0, 0, 0, 0);
    named(&mut message, name)?;
    // IFLA_BR_NF_CALL_IPTABLES, IFLA_BR_NF_CALL_IP6TABLES.
    info(&mut message, "bridge", |data| {
        data.attribute(36, &[1]).attribute(37, &[1]);
    });
    Ok(message)
}

fn describe(message: &mut Message, link: &NewLink<'_>) -> Result<()> {
    named(message, link.name)?;
    if let Some(mac) = link.mac {
        message.attribute(LINK_ADDRESS, &mac);
    }
    if let Some(mtu) = link.mtu {
        message.number(LINK_MTU, mtu);
    }
    if let Some(master) = link.master {
        message.number(LINK_MASTER, master);
    }
    if let Some(namespace) = link.namespace {
        message.attribute(LINK_NAMESPACE, &namespace.as_raw_fd().to_ne_bytes());
    }
    if matches!(link.kind, NewKind::Veth(_) | NewKind::Peer) {
        // As many as it uses. By default it gets one for each processor, and then lets go of all but one, for which the
        // kernel waits until all processors have seen that (drivers/net/veth.c, `veth_init_queues`).
        message.number(LINK_SEND_QUEUES, 1);
        message.number(LINK_RECEIVE_QUEUES, 1);
    }
    match link.kind {
        NewKind::Peer => {}
        NewKind::Bridge => info(message, "bridge", |_data| {}),
        NewKind::Dummy => info(message, "dummy", |_data| {}),
        NewKind::Veth(peer) => {
            let mut inner = Message::new(0, 0);
            describe(&mut inner, peer)?;
            info(message, "veth", |data| {
                data.nest(VETH_PEER, |all| {
                    // `struct ifinfomsg` of the peer.
                    all.raw(&[0; 16]).raw(inner.body());
                });
            });
        }
        NewKind::Macvlan { parent, mode } => {
            message.number(LINK_PARENT, parent);
            info(message, "macvlan", |data| {
                data.number(MACVLAN_MODE, mode);
            });
        }
        NewKind::Ipvlan {
            parent,
            mode,
            flags,
        } => {
            message.number(LINK_PARENT, parent);
            info(message, "ipvlan", |data| {
                data.attribute(IPVLAN_MODE, &mode.to_ne_bytes())
                    .attribute(IPVLAN_FLAGS, &flags.to_ne_bytes());
            });
        }
        NewKind::Vlan { parent, id } => {
            message.number(LINK_PARENT, parent);
            info(message, "vlan", |data| {
                data.attribute(VLAN_ID, &id.to_ne_bytes());
            });
        }
    }
    Ok(())
}

fn info(message: &mut Message, kind: &str, data: impl FnOnce(&mut Message)) {
    message.nest(LINK_INFO, |all| {
        all.text(INFO_KIND, kind).nest(INFO_DATA, data);
    });
}

/// With `struct ifinfomsg`.
fn of_link(kind: u16, flags: u16, index: u32, state: u32, mask: u32) -> Message {
    let mut head = vec![0; 4];
    for word in [index, state, mask] {
        head.extend(word.to_ne_bytes());
    }
    Message::new(kind, flags).with(&head)
}

fn named(message: &mut Message, name: &str) -> Result<()> {
    let is_path = name.contains('/') || name == "." || name == "..";
    let has_gap = name.contains(|c: char| c == '\0' || c.is_whitespace() || c == ':');
    if name.is_empty() || name.len() > MAX_NAME || is_path || has_gap {
        let text = format!("invalid network device name {name:?}");
        return Err(Error::new(Kind::InvalidInput, text));
    }
    message.text(LINK_NAME, name);
    Ok(())
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
        for (kind, value) in attributes(body.get(8..)?) {
            match kind {
                LOCAL => result.local = Some(value.to_vec()),
                ADDRESS => result.peer = Some(value.to_vec()),
                FLAGS => flags = word(value, 0)?,
                _ => {}
            }
        }
        (flags & PERMANENT != 0 && *scope == UNIVERSE).then_some(result)
    }
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
            let mut message = Message::new(NEW_ADDRESS, 0).with(&[2, 24, flags, scope, 7, 0, 0, 0]);
            message.attribute(ADDRESS, &[10, 0, 0, 1]);
            message.attribute(FLAGS, &more.to_ne_bytes());
            message.body().to_vec()
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
            let _ = Address::parse(&bytes);
            let _ = Seen::parse(&bytes);
        }
    }
}
