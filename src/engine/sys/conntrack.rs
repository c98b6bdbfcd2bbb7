//! Flows that the kernel remembers (conntrack), by netlink: those that lead to a place that is given up are forgotten, or their
//! next datagrams would still go there (linux/netfilter/nfnetlink_conntrack.h).

use std::net::{IpAddr, SocketAddr};

use rustix::io::Errno;

use super::failed;
use super::netlink::{ACKNOWLEDGE, DUMP, Message, Socket, attribute};
use crate::engine::error::Result;

/// `NFNL_SUBSYS_CTNETLINK`; `IPCTNL_MSG_CT_GET`, `IPCTNL_MSG_CT_DELETE`.
const GET: u16 = 0x0101;
const DELETE: u16 = 0x0102;
/// `CTA_TUPLE_ORIG`, `CTA_TUPLE_REPLY`, `CTA_FILTER`.
const ASKED: u16 = 1;
const ANSWERS: u16 = 2;
const FILTER: u16 = 25;
/// `CTA_FILTER_F_CTA_IP_SRC`, `_PROTO_NUM`, `_PROTO_SRC_PORT`.
const BY_SOURCE: u32 = 1 | 1 << 3 | 1 << 4;

/// Forgets all flows of a protocol that were translated to a server: how many.
///
/// # Errors
/// What the kernel says; flows before that are forgotten. A kernel that remembers none is no error, and neither is one that
/// does not tell of them (without `nf_conntrack_netlink`).
pub fn forget_translated(socket: &Socket, protocol: u8, server: SocketAddr) -> Result<usize> {
    let what = || format!("forget flows to {server}");
    let found = match socket.ask(question(protocol, server, true)) {
        // Before Linux 5.8 there is no filter.
        Err(Errno::INVAL | Errno::OPNOTSUPP) => socket.ask(question(protocol, server, false)),
        other => other,
    };
    let found = match found {
        Err(Errno::NOENT | Errno::NODEV | Errno::INVAL | Errno::OPNOTSUPP) => return Ok(0),
        other => other.map_err(|e| failed(e, what()))?,
    };
    let mut forgotten = 0;
    for body in found {
        let Some(asked) = translated(&body, protocol, server) else {
            continue;
        };
        let mut order = message(DELETE, ACKNOWLEDGE, server);
        order.attribute(ASKED | 0x8000, asked);
        match socket.ask(order) {
            // It ended meanwhile.
            Err(Errno::NOENT) => {}
            other => {
                other.map_err(|e| failed(e, what()))?;
                forgotten += 1;
            }
        }
    }
    Ok(forgotten)
}

fn message(kind: u16, flags: u16, server: SocketAddr) -> Message {
    // `struct nfgenmsg`: AF_INET, AF_INET6.
    let family = if server.is_ipv4() { 2 } else { 10 };
    Message::new(kind, flags).with(&[family, 0, 0, 0])
}

fn question(protocol: u8, server: SocketAddr, filtered: bool) -> Message {
    let mut request = message(GET, DUMP, server);
    if filtered {
        request.nest(ANSWERS, |tuple| {
            // CTA_TUPLE_IP with CTA_IP_V4_SRC or CTA_IP_V6_SRC; CTA_TUPLE_PROTO with CTA_PROTO_NUM, CTA_PROTO_SRC_PORT.
            tuple.nest(1, |ip| match server.ip() {
                IpAddr::V4(v4) => drop(ip.attribute(1, &v4.octets())),
                IpAddr::V6(v6) => drop(ip.attribute(3, &v6.octets())),
            });
            tuple.nest(2, |proto| {
                proto.attribute(1, &[protocol]);
                proto.attribute(2, &server.port().to_be_bytes());
            });
        });
        // CTA_FILTER_REPLY_FLAGS.
        request.nest(FILTER, |filter| {
            filter.number(2, BY_SOURCE);
        });
    }
    request
}

/// Who asked whom, of a flow that the server answers and that was sent to somebody else.
fn translated(body: &[u8], protocol: u8, server: SocketAddr) -> Option<&[u8]> {
    let all = body.get(4..)?;
    let asked = attribute(all, ASKED)?;
    let answers = attribute(all, ANSWERS)?;
    let (source, destination) = if server.is_ipv4() { (1, 2) } else { (3, 4) };
    let address = |tuple, side| attribute(attribute(tuple, 1)?, side);
    let port = |tuple, side| attribute(attribute(tuple, 2)?, side);
    let octets = match server.ip() {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    };
    let number = server.port().to_be_bytes();
    let is_served = port(answers, 1)? == [protocol]
        && address(answers, source)? == octets
        && port(answers, 2)? == number;
    let is_direct = address(asked, destination)? == octets && port(asked, 3)? == number;
    (is_served && !is_direct).then_some(asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tuple(message: &mut Message, kind: u16, from: (&[u8; 4], u16), to: (&[u8; 4], u16)) {
        message.nest(kind, |tuple| {
            tuple.nest(1, |ip| {
                ip.attribute(1, from.0).attribute(2, to.0);
            });
            tuple.nest(2, |proto| {
                proto.attribute(1, &[17]);
                proto.attribute(2, &from.1.to_be_bytes());
                proto.attribute(3, &to.1.to_be_bytes());
            });
        });
    }

    /// The body of what the kernel tells of a flow from 9.9.9.9.
    fn flow(asked: (&[u8; 4], u16), answers: (&[u8; 4], u16)) -> Vec<u8> {
        let client = (&[9, 9, 9, 9], 4000);
        let mut message = Message::new(0, 0).with(&[2, 0, 0, 0]);
        tuple(&mut message, ASKED, client, asked);
        tuple(&mut message, ANSWERS, answers, client);
        message.body().to_vec()
    }

    #[test]
    fn only_what_was_translated_to_the_server_is_forgotten() {
        let server = "10.0.0.2:53".parse().unwrap();
        let is_meant = |asked, answers| translated(&flow(asked, answers), 17, server).is_some();
        let (host, own, other) = ([192, 0, 2, 1], [10, 0, 0, 2], [10, 0, 0, 3]);
        assert!(is_meant((&host, 53), (&own, 53)));
        assert!(is_meant((&own, 8053), (&own, 53)));
        assert!(!is_meant((&own, 53), (&own, 53)));
        assert!(!is_meant((&host, 53), (&other, 53)));
        assert!(!is_meant((&host, 53), (&own, 54)));
        assert_eq!(translated(&flow((&host, 53), (&own, 53)), 6, server), None);
        assert_eq!(translated(&[2, 0, 0], 17, server), None);
    }
}
