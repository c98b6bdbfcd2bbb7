//! nf_tables by netlink: messages for tables, chains, rules, maps and their elements, and batches of them that the kernel
//! takes as a whole or not at all. Numbers are those of linux/netfilter/nf_tables.h; what a rule is for is the caller's.

use rustix::io::Errno;

use super::failed;
use super::netlink::{
    self, ACKNOWLEDGE, APPEND, Batch, CREATE, DUMP, Message, Refused, Socket, attribute, attributes,
};
use crate::engine::error::Result;

/// `NFPROTO_*`: to which packets a table belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// Both versions of IP.
    Inet = 1,
    /// IPv4 alone.
    Ipv4 = 2,
    /// IPv6 alone.
    Ipv6 = 10,
}

/// Where a base chain is called, in the order of a packet's way (`NF_INET_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// Everything that arrives.
    Prerouting = 0,
    /// What is for this host.
    Input = 1,
    /// What passes through.
    Forward = 2,
    /// What this host sends.
    Output = 3,
    /// Everything that leaves.
    Postrouting = 4,
}

/// What a base chain does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Base {
    /// Where it is called.
    pub hook: Hook,
    /// When among others there: lower is earlier.
    pub priority: i32,
    /// It translates addresses, and sees the first packet of a connection alone.
    pub nat: bool,
}

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// No further chain sees it.
    Drop,
    /// This base chain is done with it.
    Accept,
    /// Back to the calling chain.
    Return,
    /// On in another chain, and then here.
    Jump(&'a str),
}

/// Types of values, as nft(8) numbers them; it needs them to show what is in a map.
pub mod types {
    /// `ipv4_addr`.
    pub const IPV4: u32 = 7;
    /// `ipv6_addr`.
    pub const IPV6: u32 = 8;
    /// `inet_proto`.
    pub const PROTOCOL: u32 = 12;
    /// `inet_service`.
    pub const SERVICE: u32 = 13;
    /// `ifname`.
    pub const DEVICE: u32 = 41;
    /// `NFT_DATA_VERDICT`.
    pub const VERDICT: u32 = 0xffff_ff00;

    /// Several values, one after the other.
    #[must_use]
    pub const fn joined<const N: usize>(types: [u32; N]) -> u32 {
        let (mut all, mut at) = (0, 0);
        while at < N {
            all = all << 6 | types[at];
            at += 1;
        }
        all
    }
}

/// A set, or a map if it has a data type.
#[derive(Debug, Clone, Copy)]
pub struct Set<'a> {
    /// Its name.
    pub name: &'a str,
    /// The type of its keys, of [`types`].
    pub key: u32,
    /// The length of its keys in bytes; each part fills whole words.
    pub key_length: u32,
    /// Type and length of what the keys lead to.
    pub data: Option<(u32, u32)>,
}

/// What a key leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// Nothing: it is in a set.
    None,
    /// Bytes.
    Value(Vec<u8>),
    /// Another chain, and then back.
    Jump(String),
}

/// An element of a set or map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    /// Its key.
    pub key: Vec<u8>,
    /// What it leads to.
    pub data: Data,
    /// Whose it is.
    pub comment: String,
}

/// Which way of a packet, or side of it, is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Where it came from.
    In,
    /// Where it goes.
    Out,
}

/// First 32-bit register (`NFT_REG32_00`).
const REGISTER: u32 = 8;
/// `NFTA_LIST_ELEM`.
const LIST: u16 = 1;
/// `NFTNL_UDATA_RULE_COMMENT`, `NFTNL_UDATA_SET_ELEM_COMMENT`, `NFTNL_UDATA_TABLE_COMMENT`: all 0.
const COMMENT: u8 = 0;
/// No message of elements gets longer: the length of what is nested in it has 16 bits.
const MAX_ELEMENTS: usize = 48 << 10;

/// Kinds of messages (`NFT_MSG_*`).
mod kind {
    pub(super) const NEW_TABLE: u8 = 0;
    pub(super) const GET_TABLE: u8 = 1;
    pub(super) const DELETE_TABLE: u8 = 2;
    pub(super) const NEW_CHAIN: u8 = 3;
    pub(super) const GET_CHAIN: u8 = 4;
    pub(super) const DELETE_CHAIN: u8 = 5;
    pub(super) const NEW_RULE: u8 = 6;
    pub(super) const GET_RULE: u8 = 7;
    pub(super) const DELETE_RULE: u8 = 8;
    pub(super) const NEW_SET: u8 = 9;
    pub(super) const NEW_ELEMENT: u8 = 12;
    pub(super) const GET_ELEMENT: u8 = 13;
    pub(super) const DELETE_ELEMENT: u8 = 14;
}

/// Changes to one table, done together.
#[derive(Debug)]
pub struct Changes<'a> {
    family: Family,
    table: &'a str,
    batch: Batch,
    sets: u32,
}

impl<'a> Changes<'a> {
    /// None yet.
    #[must_use]
    pub fn to(family: Family, table: &'a str) -> Self {
        let mut batch = Batch::default();
        batch.push(border(0x10), "begin a batch of firewall rules");
        Self {
            family,
            table,
            batch,
            sets: 0,
        }
    }

    /// Makes the table, unless it is there.
    pub fn table(&mut self, comment: &str) {
        let mut message = self.message(kind::NEW_TABLE, CREATE);
        // NFTA_TABLE_NAME, NFTA_TABLE_USERDATA.
        message
            .text(1, self.table)
            .attribute(6, &comment_bytes(comment));
        self.push(message, format!("make table {}", self.table));
    }

    /// Removes the table and all that is in it.
    pub fn remove_table(&mut self) {
        let mut message = self.message(kind::DELETE_TABLE, 0);
        message.text(1, self.table);
        self.push(message, format!("remove table {}", self.table));
    }

    /// Makes a chain, unless it is there.
    pub fn chain(&mut self, name: &str, base: Option<Base>) {
        let mut message = self.message(kind::NEW_CHAIN, CREATE);
        // NFTA_CHAIN_TABLE, _NAME, _HOOK { _HOOKNUM, _PRIORITY }, _TYPE.
        message.text(1, self.table).text(3, name);
        if let Some(base) = base {
            message.nest(4, |hook| {
                hook.network_number(1, base.hook as u32)
                    .network_number(2, base.priority.cast_unsigned());
            });
            message.text(7, if base.nat { "nat" } else { "filter" });
        }
        self.push(message, format!("make chain {name}"));
    }

    /// Says what becomes of what a base chain has not decided.
    pub fn policy(&mut self, chain: &str, policy: Verdict<'_>) {
        let mut message = self.message(kind::NEW_CHAIN, CREATE);
        // NFTA_CHAIN_POLICY; NF_DROP, NF_ACCEPT.
        message
            .text(1, self.table)
            .text(3, chain)
            .network_number(5, u32::from(policy != Verdict::Drop));
        self.push(message, format!("set the policy of chain {chain}"));
    }

    /// Removes a chain, which must be empty and not be led to.
    pub fn remove_chain(&mut self, name: &str) {
        let mut message = self.message(kind::DELETE_CHAIN, 0);
        message.text(1, self.table).text(3, name);
        self.push(message, format!("remove chain {name}"));
    }

    /// Removes all rules of a chain.
    pub fn flush_chain(&mut self, name: &str) {
        let mut message = self.message(kind::DELETE_RULE, 0);
        message.text(1, self.table).text(2, name);
        self.push(message, format!("empty chain {name}"));
    }

    /// Removes a rule by the kernel's number of it.
    pub fn remove_rule(&mut self, chain: &str, handle: u64) {
        let mut message = self.message(kind::DELETE_RULE, 0);
        message
            .text(1, self.table)
            .text(2, chain)
            .attribute(3, &handle.to_be_bytes());
        self.push(message, format!("remove a rule of chain {chain}"));
    }

    /// Adds a rule at the end of a chain.
    pub fn rule(&mut self, chain: &str, rule: &Rule) {
        self.put_rule(chain, rule, CREATE | APPEND);
    }

    /// Adds a rule at the beginning of a chain.
    pub fn first_rule(&mut self, chain: &str, rule: &Rule) {
        self.put_rule(chain, rule, CREATE);
    }

    /// Adds a rule before another one of its chain, which has the handle.
    pub fn rule_before(&mut self, chain: &str, handle: u64, rule: &Rule) {
        let mut message = self.message(kind::NEW_RULE, CREATE);
        // NFTA_RULE_POSITION.
        message.attribute(6, &handle.to_be_bytes());
        self.finish_rule(message, chain, rule);
    }

    fn put_rule(&mut self, chain: &str, rule: &Rule, flags: u16) {
        let message = self.message(kind::NEW_RULE, flags);
        self.finish_rule(message, chain, rule);
    }

    fn finish_rule(&mut self, mut message: Message, chain: &str, rule: &Rule) {
        // NFTA_RULE_TABLE, _CHAIN, _EXPRESSIONS, _USERDATA.
        message.text(1, self.table).text(2, chain);
        message.nest(4, |list| {
            list.raw(rule.expressions.body());
        });
        message.attribute(7, &comment_bytes(&rule.comment));
        self.push(message, format!("add a rule to chain {chain}"));
    }

    /// Makes a set or map, unless it is there.
    pub fn set(&mut self, set: &Set<'_>) {
        self.sets += 1;
        let mut message = self.message(kind::NEW_SET, CREATE);
        // NFT_SET_MAP, NFT_SET_CONCAT is for ranges alone.
        let flags = if set.data.is_some() { 8 } else { 0 };
        // NFTA_SET_TABLE, _NAME, _FLAGS, _KEY_TYPE, _KEY_LEN, _DATA_TYPE, _DATA_LEN, _ID.
        message
            .text(1, self.table)
            .text(2, set.name)
            .network_number(3, flags)
            .network_number(4, set.key)
            .network_number(5, set.key_length);
        if let Some((data, length)) = set.data {
            message.network_number(6, data);
            if length != 0 {
                message.network_number(7, length);
            }
        }
        // NFTA_SET_USERDATA.
        message
            .network_number(10, self.sets)
            .attribute(13, &byte_orders(set));
        self.push(message, format!("make set {}", set.name));
    }

    /// Removes all elements of a set.
    pub fn flush_set(&mut self, set: &str) {
        let mut message = self.message(kind::DELETE_ELEMENT, 0);
        message.text(1, self.table).text(2, set);
        self.push(message, format!("empty set {set}"));
    }

    /// Adds elements; those that are there with the same data are left.
    pub fn add(&mut self, set: &str, elements: &[Element]) {
        self.elements(kind::NEW_ELEMENT, CREATE, set, elements);
    }

    /// Removes elements by their keys.
    pub fn remove(&mut self, set: &str, elements: &[Element]) {
        self.elements(kind::DELETE_ELEMENT, 0, set, elements);
    }

    fn elements(&mut self, kind: u8, flags: u16, set: &str, elements: &[Element]) {
        let mut rest = elements;
        while !rest.is_empty() {
            let mut list = Message::new(0, 0);
            let mut taken = 0;
            for element in rest {
                if list.len() > MAX_ELEMENTS {
                    break;
                }
                list.nest(LIST, |one| write_element(one, element));
                taken += 1;
            }
            rest = rest.get(taken..).unwrap_or_default();
            let mut message = self.message(kind, flags);
            // NFTA_SET_ELEM_LIST_TABLE, _SET, _ELEMENTS.
            message.text(1, self.table).text(2, set).nest(3, |all| {
                all.raw(list.body());
            });
            let verb = if flags == 0 { "remove" } else { "add" };
            self.push(message, format!("{verb} elements of {set}"));
        }
    }

    /// Has the kernel do all of it, or nothing.
    ///
    /// # Errors
    /// The first change that was refused.
    pub fn commit(mut self, socket: &Socket) -> Result<std::result::Result<(), Refused>> {
        // The end of a batch is not answered (before Linux 6.10), and all are if the last change is.
        self.batch.ask_last();
        self.batch
            .push(border(0x11), "end a batch of firewall rules");
        socket.try_run(&self.batch)
    }

    fn message(&self, kind: u8, flags: u16) -> Message {
        message(self.family, kind, flags)
    }

    fn push(&mut self, message: Message, label: String) {
        self.batch.push(message, label);
    }
}

/// A rule: what it looks at, and what becomes of a packet for which all of that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    expressions: Message,
    comment: String,
}

impl Rule {
    /// For every packet.
    #[must_use]
    pub fn new(comment: impl Into<String>) -> Self {
        Self {
            expressions: Message::new(0, 0),
            comment: comment.into(),
        }
    }

    /// The packet comes from, or goes to, a device of this name.
    #[must_use]
    pub fn device(self, way: Way, name: &str) -> Self {
        self.load_device(way).compare(0, &device_bytes(name))
    }

    /// It does not.
    #[must_use]
    pub fn not_device(self, way: Way, name: &str) -> Self {
        self.load_device(way).compare(1, &device_bytes(name))
    }

    /// Its name begins like this, and has at least so many bytes.
    #[must_use]
    pub fn device_like(self, way: Way, start: &str, least: usize) -> Self {
        let bytes = |wanted: &dyn Fn(usize) -> bool| {
            let all = (0..16).map(|at| if wanted(at) { 0xff } else { 0 });
            all.collect::<Vec<u8>>()
        };
        let rule = self
            .load_device(way)
            .mask(&bytes(&|at| at < start.len()))
            .compare(0, &device_bytes(start));
        // Behind a name there are zeros.
        let last = bytes(&|at| at + 1 == least);
        rule.load_device(way).mask(&last).compare(1, &[0; 16])
    }

    /// The device is of this kind (`bridge`, as ip-link(8) names them).
    #[must_use]
    pub fn device_kind(self, way: Way, kind: &str) -> Self {
        // NFT_META_IIFKIND, NFT_META_OIFKIND.
        let key = match way {
            Way::In => 26,
            Way::Out => 27,
        };
        self.meta(key, 0).compare(0, &device_bytes(kind))
    }

    /// What a map says for the device.
    #[must_use]
    pub fn device_verdict(self, way: Way, map: &str) -> Self {
        // NFT_REG_VERDICT is 0.
        self.load_device(way).lookup(map, Some(0))
    }

    /// The packet is of this version of IP.
    #[must_use]
    pub fn version(self, family: Family) -> Self {
        // NFT_META_NFPROTO.
        self.meta(15, 0).compare(0, &[family as u8])
    }

    /// Its address on that side is in a network.
    #[must_use]
    pub fn address_in(self, way: Way, net: ipnet::IpNet) -> Self {
        self.address(way, net, 0)
    }

    /// Its address on that side is of that version of IP, and not in the network.
    #[must_use]
    pub fn address_outside(self, way: Way, net: ipnet::IpNet) -> Self {
        self.address(way, net, 1)
    }

    fn address(self, way: Way, net: ipnet::IpNet, operation: u32) -> Self {
        let (value, mask) = match net {
            ipnet::IpNet::V4(net) => (
                net.network().octets().to_vec(),
                net.netmask().octets().to_vec(),
            ),
            ipnet::IpNet::V6(net) => (
                net.network().octets().to_vec(),
                net.netmask().octets().to_vec(),
            ),
        };
        let family = if value.len() == 4 {
            Family::Ipv4
        } else {
            Family::Ipv6
        };
        self.version(family)
            .load_address(way, family, 0)
            .mask(&mask)
            .compare(operation, &value)
    }

    /// Its connection is known, or belongs to one that is.
    #[must_use]
    pub fn established(self) -> Self {
        // NFT_CT_STATE; NF_CT_STATE_BIT(IP_CT_ESTABLISHED) and of IP_CT_RELATED.
        self.connection(0, 0x2 | 0x4)
    }

    /// Its connection's destination was translated on this host.
    #[must_use]
    pub fn translated(self) -> Self {
        // NFT_CT_STATUS; IPS_DST_NAT.
        self.connection(2, 0x20)
    }

    fn connection(self, key: u32, bits: u32) -> Self {
        let bits = bits.to_ne_bytes();
        self.expression("ct", |e| {
            e.network_number(1, REGISTER).network_number(2, key);
        })
        .mask(&bits)
        .compare(1, &[0; 4])
    }

    /// It is of this protocol (IANA's number).
    #[must_use]
    pub fn protocol(self, number: u8) -> Self {
        self.meta(16, 0).compare(0, &[number])
    }

    /// It comes from a device that is in a set.
    #[must_use]
    pub fn device_in(self, way: Way, set: &str) -> Self {
        self.load_device(way).lookup(set, None)
    }

    /// What was noted on it.
    #[must_use]
    pub fn comment(&self) -> &str {
        &self.comment
    }

    /// It goes to an address of this host.
    #[must_use]
    pub fn to_this_host(self) -> Self {
        // NFTA_FIB_DREG, _RESULT (NFT_FIB_RESULT_ADDRTYPE), _FLAGS (NFTA_FIB_F_DADDR); RTN_LOCAL.
        self.expression("fib", |e| {
            e.network_number(1, REGISTER)
                .network_number(2, 3)
                .network_number(3, 2);
        })
        .compare(0, &2u32.to_ne_bytes())
    }

    /// Destination, protocol and destination port are a key of a set.
    #[must_use]
    pub fn destination_in(self, family: Family, set: &str) -> Self {
        let words = words(family);
        self.version(family)
            .load_address(Way::Out, family, 0)
            .load_port(words)
            .lookup(set, None)
    }

    /// Translates the destination by a map of destination, protocol and port.
    #[must_use]
    pub fn translate_address(self, family: Family, map: &str) -> Self {
        let words = words(family);
        self.version(family)
            .load_address(Way::Out, family, 0)
            .load_port(words)
            .lookup(map, Some(REGISTER))
            .translate(family)
    }

    /// Translates the destination, if it is an address of this host, by a map of protocol and port.
    #[must_use]
    pub fn translate_port(self, family: Family, map: &str) -> Self {
        self.version(family)
            .to_this_host()
            .load_port(0)
            .lookup(map, Some(REGISTER))
            .translate(family)
    }

    fn translate(self, family: Family) -> Self {
        let port = REGISTER + words(family);
        // NFTA_NAT_TYPE (NFT_NAT_DNAT), _FAMILY, _REG_ADDR_MIN, _REG_PROTO_MIN.
        self.expression("nat", |e| {
            e.network_number(1, 1)
                .network_number(2, family as u32)
                .network_number(3, REGISTER)
                .network_number(5, port);
        })
    }

    /// Lets it come from the address of the device that it leaves by.
    #[must_use]
    pub fn masquerade(self) -> Self {
        self.expression("masq", |_| {})
    }

    /// Lets it come from an address.
    #[must_use]
    pub fn from_address(self, address: std::net::IpAddr) -> Self {
        let (family, value) = match address {
            std::net::IpAddr::V4(v4) => (Family::Ipv4, v4.octets().to_vec()),
            std::net::IpAddr::V6(v6) => (Family::Ipv6, v6.octets().to_vec()),
        };
        self.expression("immediate", |e| {
            e.network_number(1, REGISTER).nest(2, |data| {
                data.attribute(1, &value);
            });
        })
        .expression("nat", |e| {
            // NFT_NAT_SNAT.
            e.network_number(1, 0)
                .network_number(2, family as u32)
                .network_number(3, REGISTER);
        })
    }

    /// Counts it.
    #[must_use]
    pub fn counted(self) -> Self {
        self.expression("counter", |e| {
            e.attribute(1, &[0; 8]).attribute(2, &[0; 8]);
        })
    }

    /// What becomes of it.
    #[must_use]
    pub fn then(self, verdict: Verdict<'_>) -> Self {
        self.expression("immediate", |e| {
            e.network_number(1, 0)
                .nest(2, |data| write_verdict(data, verdict));
        })
    }

    fn expression(mut self, name: &str, fill: impl FnOnce(&mut Message)) -> Self {
        // NFTA_EXPR_NAME, NFTA_EXPR_DATA.
        self.expressions.nest(LIST, |e| {
            e.text(1, name).nest(2, fill);
        });
        self
    }

    fn meta(self, key: u32, word: u32) -> Self {
        self.expression("meta", |e| {
            e.network_number(1, REGISTER + word).network_number(2, key);
        })
    }

    fn load_device(self, way: Way) -> Self {
        // NFT_META_IIFNAME, NFT_META_OIFNAME.
        let key = match way {
            Way::In => 6,
            Way::Out => 7,
        };
        self.meta(key, 0)
    }

    fn load_address(self, way: Way, family: Family, word: u32) -> Self {
        // Offsets in IP's headers (RFC 791, RFC 8200).
        let (offset, length) = match (family, way) {
            (Family::Ipv6, Way::In) => (8, 16),
            (Family::Ipv6, Way::Out) => (24, 16),
            (_, Way::In) => (12, 4),
            (_, Way::Out) => (16, 4),
        };
        // NFT_PAYLOAD_NETWORK_HEADER.
        self.payload(1, offset, length, word)
    }

    /// Protocol and destination port, a word each.
    fn load_port(self, word: u32) -> Self {
        // NFT_META_L4PROTO; NFT_PAYLOAD_TRANSPORT_HEADER: the port has the same place in TCP, UDP and SCTP.
        self.meta(16, word).payload(2, 2, 2, word + 1)
    }

    fn payload(self, base: u32, offset: u32, length: u32, word: u32) -> Self {
        self.expression("payload", |e| {
            e.network_number(1, REGISTER + word)
                .network_number(2, base)
                .network_number(3, offset)
                .network_number(4, length);
        })
    }

    fn mask(self, mask: &[u8]) -> Self {
        let length = u32::try_from(mask.len()).unwrap_or(0);
        self.expression("bitwise", |e| {
            e.network_number(1, REGISTER)
                .network_number(2, REGISTER)
                .network_number(3, length);
            e.nest(4, |data| {
                data.attribute(1, mask);
            });
            e.nest(5, |data| {
                data.attribute(1, &vec![0; mask.len()]);
            });
        })
    }

    /// `NFT_CMP_EQ` is 0, `NFT_CMP_NEQ` 1.
    fn compare(self, operation: u32, value: &[u8]) -> Self {
        self.expression("cmp", |e| {
            e.network_number(1, REGISTER).network_number(2, operation);
            e.nest(3, |data| {
                data.attribute(1, value);
            });
        })
    }

    fn lookup(self, set: &str, to: Option<u32>) -> Self {
        // NFTA_LOOKUP_SET, _SREG, _DREG.
        self.expression("lookup", |e| {
            e.text(1, set).network_number(2, REGISTER);
            if let Some(register) = to {
                e.network_number(3, register);
            }
        })
    }
}

/// A chain that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenChain {
    /// Its name.
    pub name: String,
    /// How many rules are in it and lead to it.
    pub used: u32,
    /// What is not decided in it is dropped.
    pub drops: bool,
}

/// A rule that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenRule {
    /// Its chain.
    pub chain: String,
    /// The kernel's number of it.
    pub handle: u64,
    /// What its maker noted on it.
    pub comment: String,
    /// Packets and bytes that it counted, if it counts.
    pub counted: Option<(u64, u64)>,
}

/// How much is in a table (chains and sets), and what its maker noted on it; `None` if there is none of that name.
///
/// # Errors
/// What the kernel says.
pub fn look_table(socket: &Socket, family: Family, table: &str) -> Result<Option<(u32, String)>> {
    let mut request = message(family, kind::GET_TABLE, ACKNOWLEDGE);
    request.text(1, table);
    let answers = optional(socket.ask(request), "look at a table of the firewall")?;
    Ok(answers.first().and_then(|body| {
        let body = body.get(4..)?;
        let used = big(attribute(body, 3)?)?;
        let comment = attribute(body, 6).and_then(comment_of).unwrap_or_default();
        Some((u32::try_from(used).ok()?, comment))
    }))
}

/// A chain, if it is there.
///
/// # Errors
/// What the kernel says.
pub fn look_chain(
    socket: &Socket,
    family: Family,
    table: &str,
    chain: &str,
) -> Result<Option<SeenChain>> {
    let mut request = message(family, kind::GET_CHAIN, ACKNOWLEDGE);
    request.text(1, table).text(3, chain);
    let answers = optional(socket.ask(request), "look at a chain of the firewall")?;
    Ok(answers
        .first()
        .and_then(|body| parse_chain(body))
        .map(|(_, chain)| chain))
}

/// All chains of a table.
///
/// # Errors
/// What the kernel says.
pub fn chains(socket: &Socket, family: Family, table: &str) -> Result<Vec<SeenChain>> {
    let request = message(family, kind::GET_CHAIN, DUMP);
    let answers = optional(socket.ask(request), "list chains of the firewall")?;
    let all = answers.iter().filter_map(|body| parse_chain(body));
    Ok(all
        .filter(|(of, _)| of == table)
        .map(|(_, chain)| chain)
        .collect())
}

/// All rules of a table, or of one of its chains, in their order.
///
/// # Errors
/// What the kernel says.
pub fn rules(
    socket: &Socket,
    family: Family,
    table: &str,
    chain: Option<&str>,
) -> Result<Vec<SeenRule>> {
    let mut request = message(family, kind::GET_RULE, DUMP);
    request.text(1, table);
    if let Some(chain) = chain {
        request.text(2, chain);
    }
    let answers = optional(socket.ask(request), "list rules of the firewall")?;
    let all = answers.iter().filter_map(|body| parse_rule(body));
    Ok(all
        .filter(|(of, _)| of == table)
        .map(|(_, rule)| rule)
        .collect())
}

/// The keys of a set's elements.
///
/// # Errors
/// What the kernel says.
pub fn keys(socket: &Socket, family: Family, table: &str, set: &str) -> Result<Vec<Vec<u8>>> {
    let mut request = message(family, kind::GET_ELEMENT, DUMP);
    request.text(1, table).text(2, set);
    let answers = optional(socket.ask(request), "list elements of the firewall")?;
    Ok(answers.iter().flat_map(|body| parse_keys(body)).collect())
}

/// Of the body of a `NFT_MSG_NEWCHAIN`: its table, and itself.
#[must_use]
pub fn parse_chain(body: &[u8]) -> Option<(String, SeenChain)> {
    let body = body.get(4..)?;
    let name = |kind| attribute(body, kind).and_then(netlink::text);
    let used = attribute(body, 6).and_then(big).unwrap_or(0);
    let chain = SeenChain {
        name: name(3)?.to_owned(),
        used: u32::try_from(used).ok()?,
        // NFTA_CHAIN_POLICY; NF_DROP.
        drops: attribute(body, 5).and_then(big) == Some(0),
    };
    Some((name(1)?.to_owned(), chain))
}

/// Of the body of a `NFT_MSG_NEWRULE`: its table, and itself.
#[must_use]
pub fn parse_rule(body: &[u8]) -> Option<(String, SeenRule)> {
    let body = body.get(4..)?;
    let name = |kind| attribute(body, kind).and_then(netlink::text);
    let counter = |expression: &[u8]| {
        let is_counter = attribute(expression, 1).and_then(netlink::text) == Some("counter");
        let data = attribute(expression, 2).filter(|_| is_counter)?;
        Some((big(attribute(data, 2)?)?, big(attribute(data, 1)?)?))
    };
    let expressions = attribute(body, 4).unwrap_or_default();
    let rule = SeenRule {
        chain: name(2)?.to_owned(),
        handle: attribute(body, 3).and_then(big)?,
        comment: attribute(body, 7).and_then(comment_of).unwrap_or_default(),
        counted: attributes(expressions).find_map(|(_, expression)| counter(expression)),
    };
    Some((name(1)?.to_owned(), rule))
}

/// Of the body of a `NFT_MSG_NEWSETELEM`.
#[must_use]
pub fn parse_keys(body: &[u8]) -> Vec<Vec<u8>> {
    let list = body.get(4..).and_then(|body| attribute(body, 3));
    let keys = attributes(list.unwrap_or_default());
    keys.filter_map(|(_, element)| attribute(attribute(element, 1)?, 1).map(<[u8]>::to_vec))
        .collect()
}

/// A device's name as it is compared: all sixteen bytes.
#[must_use]
pub fn device_bytes(name: &str) -> Vec<u8> {
    let mut bytes = name.as_bytes().to_vec();
    bytes.resize(16, 0);
    bytes
}

/// Words that an address has.
fn words(family: Family) -> u32 {
    match family {
        Family::Ipv6 => 4,
        Family::Ipv4 | Family::Inet => 1,
    }
}

fn message(family: Family, kind: u8, flags: u16) -> Message {
    // NFNL_SUBSYS_NFTABLES, `struct nfgenmsg`.
    Message::new(0x0a00 | u16::from(kind), flags).with(&[family as u8, 0, 0, 0])
}

/// `NFNL_MSG_BATCH_BEGIN`, `NFNL_MSG_BATCH_END`, with the subsystem as resource.
fn border(kind: u16) -> Message {
    Message::new(kind, 0).with(&[0, 0, 0, 10])
}

fn write_element(one: &mut Message, element: &Element) {
    // NFTA_SET_ELEM_KEY, _DATA, _USERDATA.
    one.nest(1, |key| {
        key.attribute(1, &element.key);
    });
    match &element.data {
        Data::None => {}
        Data::Value(value) => {
            one.nest(2, |data| {
                data.attribute(1, value);
            });
        }
        Data::Jump(chain) => {
            one.nest(2, |data| write_verdict(data, Verdict::Jump(chain)));
        }
    }
    if !element.comment.is_empty() {
        one.attribute(6, &comment_bytes(&element.comment));
    }
}

fn write_verdict(data: &mut Message, verdict: Verdict<'_>) {
    // NF_DROP, NF_ACCEPT, NFT_RETURN, NFT_JUMP.
    let (code, chain): (i32, _) = match verdict {
        Verdict::Drop => (0, None),
        Verdict::Accept => (1, None),
        Verdict::Return => (-5, None),
        Verdict::Jump(chain) => (-3, Some(chain)),
    };
    // NFTA_DATA_VERDICT, NFTA_VERDICT_CODE, NFTA_VERDICT_CHAIN.
    data.nest(2, |v| {
        v.network_number(1, code.cast_unsigned());
        if let Some(chain) = chain {
            v.text(2, chain);
        }
    });
}

/// How nft(8) is to read keys and data: `NFTNL_UDATA_SET_KEYBYTEORDER`, `_DATABYTEORDER` (libnftnl/udata.h). Without it shows
/// names of devices as empty.
fn byte_orders(set: &Set<'_>) -> Vec<u8> {
    const HOST: u32 = 1;
    const NETWORK: u32 = 2;
    let key = if set.key == types::DEVICE {
        HOST
    } else {
        NETWORK
    };
    let mut bytes = vec![0, 4];
    bytes.extend(key.to_ne_bytes());
    if set.data.is_some_and(|(data, _)| data != types::VERDICT) {
        bytes.extend([1, 4]);
        bytes.extend(NETWORK.to_ne_bytes());
    }
    bytes
}

/// Type, length, text with a final zero (libnftnl/udata.h). Longer ones than the kernel keeps are cut.
fn comment_bytes(comment: &str) -> Vec<u8> {
    let end = comment.floor_char_boundary(120);
    let text = comment.get(..end).unwrap_or_default().as_bytes();
    let mut bytes = vec![COMMENT, u8::try_from(text.len() + 1).unwrap_or(u8::MAX)];
    bytes.extend(text);
    bytes.push(0);
    bytes
}

fn comment_of(mut bytes: &[u8]) -> Option<String> {
    while let [kind, length, rest @ ..] = bytes {
        let value = rest.get(..usize::from(*length))?;
        if *kind == COMMENT {
            return netlink::text(value).map(str::to_owned);
        }
        bytes = rest.get(usize::from(*length)..)?;
    }
    None
}

/// A number in the network's order, of four or eight bytes.
fn big(value: &[u8]) -> Option<u64> {
    match value.len() {
        4 => Some(u32::from_be_bytes(value.try_into().ok()?).into()),
        8 => Some(u64::from_be_bytes(value.try_into().ok()?)),
        _ => None,
    }
}

fn optional(answers: rustix::io::Result<Vec<Vec<u8>>>, what: &str) -> Result<Vec<Vec<u8>>> {
    match answers {
        Err(Errno::NOENT) => Ok(Vec::new()),
        other => other.map_err(|e| failed(e, what)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_rule_is_written_as_the_kernel_reads_it() {
        let rule = Rule::new("").version(Family::Ipv4).then(Verdict::Drop);
        let expect: &[u8] = &[
            36, 0, 1, 0x80, // NFTA_LIST_ELEM
            9, 0, 1, 0, b'm', b'e', b't', b'a', 0, 0, 0, 0, // NFTA_EXPR_NAME
            20, 0, 2, 0x80, 8, 0, 1, 0, 0, 0, 0, 8, 8, 0, 2, 0, 0, 0, 0,
            15, // NFT_META_NFPROTO to NFT_REG32_00
            44, 0, 1, 0x80, 8, 0, 1, 0, b'c', b'm', b'p', 0, //
            32, 0, 2, 0x80, 8, 0, 1, 0, 0, 0, 0, 8, 8, 0, 2, 0, 0, 0, 0, 0, // NFT_CMP_EQ
            12, 0, 3, 0x80, 5, 0, 1, 0, 2, 0, 0, 0, // NFPROTO_IPV4
            48, 0, 1, 0x80, 14, 0, 1, 0, b'i', b'm', b'm', b'e', b'd', b'i', b'a', b't', b'e', 0,
            0, 0, //
            28, 0, 2, 0x80, 8, 0, 1, 0, 0, 0, 0, 0, // NFT_REG_VERDICT
            16, 0, 2, 0x80, 12, 0, 2, 0x80, 8, 0, 1, 0, 0, 0, 0, 0, // NF_DROP
        ];
        assert_eq!(rule.expressions.body(), expect);
    }

    #[test]
    fn a_rule_is_read_as_it_was_written() {
        let rule = Rule::new("wharf: mine").counted().then(Verdict::Accept);
        let mut message = message(Family::Inet, kind::NEW_RULE, 0);
        message
            .text(1, "t")
            .text(2, "c")
            .attribute(3, &7u64.to_be_bytes())
            .nest(4, |list| {
                list.raw(rule.expressions.body());
            })
            .attribute(7, &comment_bytes(&rule.comment));
        let expect = SeenRule {
            chain: "c".to_owned(),
            handle: 7,
            comment: "wharf: mine".to_owned(),
            counted: Some((0, 0)),
        };
        assert_eq!(parse_rule(message.body()), Some(("t".to_owned(), expect)));
    }

    #[test]
    fn more_elements_than_a_message_holds_go_into_several() {
        let element = |n: u32| Element {
            key: n.to_be_bytes().to_vec(),
            data: Data::Value(vec![1, 2, 3, 4]),
            comment: "a comment of some length".to_owned(),
        };
        let elements: Vec<_> = (0..5000).map(element).collect();
        let mut list = Vec::new();
        let mut changes = Changes::to(Family::Inet, "t");
        changes.add("s", &elements);
        for message in changes.batch.messages() {
            assert!(message.len() < 65536);
            list.extend(parse_keys(message.body()));
        }
        let expect: Vec<_> = elements.into_iter().map(|e| e.key).collect();
        assert_eq!(list, expect);
    }

    proptest! {
        #[test]
        fn nothing_that_is_received_panics(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = parse_chain(&bytes);
            let _ = parse_rule(&bytes);
            let _ = parse_keys(&bytes);
            let _ = comment_of(&bytes);
        }

        #[test]
        fn a_comment_is_read_as_it_was_written(text in "[a-zé ]{0,60}") {
            let cut = text.floor_char_boundary(120);
            prop_assert_eq!(comment_of(&comment_bytes(&text)), Some(text.get(..cut).unwrap().to_owned()));
        }
    }
}
