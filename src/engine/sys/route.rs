//! Addresses and routes, with rtnetlink(7).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::failed;
use super::netlink::{CREATE, DUMP, Message, REPLACE, Socket, attributes};
use crate::engine::error::Result;

/// `RTM_NEWADDR` and its kin (linux/rtnetlink.h).
const NEW_ADDRESS: u16 = 20;
const GET_ADDRESS: u16 = 22;
const NEW_ROUTE: u16 = 24;
const DELETE_ROUTE: u16 = 25;
const GET_ROUTE: u16 = 26;
/// `IFA_ADDRESS`, `IFA_LOCAL`, `IFA_BROADCAST` (linux/if_addr.h).
const ADDRESS: u16 = 1;
const LOCAL: u16 = 2;
const BROADCAST: u16 = 4;
/// `IFA_F_NODAD`: nobody else has it, because addresses are handed out under a lock.
const NO_DETECTION: u8 = 0x02;
/// `RTA_DST`, `RTA_OIF`, `RTA_GATEWAY`, `RTA_PRIORITY`.
const DESTINATION: u16 = 1;
const DEVICE: u16 = 4;
const GATEWAY: u16 = 5;
/// `RT_TABLE_MAIN`, `RTPROT_BOOT`, `RTN_UNICAST`, `RT_SCOPE_LINK`, `RT_SCOPE_NOWHERE`.
const MAIN: u8 = 254;
const BOOT: u8 = 3;
const UNICAST: u8 = 1;
const ON_LINK: u8 = 253;
const NOWHERE: u8 = 255;
/// `AF_INET`, `AF_INET6`.
const V4: u8 = 2;
const V6: u8 = 10;

/// Gives a device an address; that it has it is no error.
#[must_use]
pub fn add_address(index: u32, address: IpNet) -> Message {
    let flags = match address {
        IpNet::V4(_) => 0,
        IpNet::V6(_) => NO_DETECTION,
    };
    let mut message = Message::new(NEW_ADDRESS, CREATE | REPLACE)
        .with(&[family(address.addr()), address.prefix_len(), flags, 0])
        .with(&index.to_ne_bytes());
    let value = octets(address.addr());
    message.attribute(LOCAL, &value).attribute(ADDRESS, &value);
    if let IpNet::V4(net) = address
        && net.prefix_len() < 31
    {
        message.attribute(BROADCAST, &net.broadcast().octets());
    }
    message
}

/// Leads the default route of the gateway's family to it.
#[must_use]
pub fn default_by_gateway(index: u32, gateway: IpAddr) -> Message {
    let mut message = route(NEW_ROUTE, CREATE | REPLACE, family(gateway), 0, 0);
    message
        .attribute(GATEWAY, &octets(gateway))
        .number(DEVICE, index);
    message
}

/// Leads a network to a gateway of its family.
#[must_use]
pub fn by_gateway(index: u32, net: IpNet, gateway: IpAddr) -> Message {
    let mut message = route(
        NEW_ROUTE,
        CREATE | REPLACE,
        family(gateway),
        net.prefix_len(),
        0,
    );
    message
        .attribute(DESTINATION, &octets(net.network()))
        .attribute(GATEWAY, &octets(gateway))
        .number(DEVICE, index);
    message
}

/// Leads the default route to a device without a gateway.
#[must_use]
pub fn default_on_link(index: u32, like: IpAddr) -> Message {
    let mut message = route(NEW_ROUTE, CREATE | REPLACE, family(like), 0, ON_LINK);
    message.number(DEVICE, index);
    message
}

/// Says that a network is on a device's link.
#[must_use]
pub fn on_link(index: u32, net: IpNet) -> Message {
    let family = family(net.addr());
    let mut message = route(
        NEW_ROUTE,
        CREATE | REPLACE,
        family,
        net.prefix_len(),
        ON_LINK,
    );
    message
        .attribute(DESTINATION, &octets(net.network()))
        .number(DEVICE, index);
    message
}

/// Takes the default route of a family away, whatever it leads to.
#[must_use]
pub fn remove_default(like: IpAddr) -> Message {
    route(DELETE_ROUTE, 0, family(like), 0, NOWHERE)
}

/// All networks that this namespace has routes to, and those of its devices' addresses; no default routes.
///
/// # Errors
/// What the kernel says.
pub fn all(socket: &Socket) -> Result<Vec<IpNet>> {
    let mut found = Vec::new();
    let routes = Message::new(GET_ROUTE, DUMP).with(&[0; 12]);
    let routes = socket
        .ask(routes)
        .map_err(|e| failed(e, "list routes of the host"))?;
    found.extend(routes.iter().filter_map(|body| parse_route(body)));
    let addresses = Message::new(GET_ADDRESS, DUMP).with(&[0; 8]);
    let addresses = socket
        .ask(addresses)
        .map_err(|e| failed(e, "list addresses of the host"))?;
    found.extend(addresses.iter().filter_map(|body| parse_address(body)));
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// Where the body of a `RTM_NEWROUTE` leads; `None` for a default route, for this host alone, or for many.
#[must_use]
pub fn parse_route(body: &[u8]) -> Option<IpNet> {
    let [family, prefix, _, _, _, _, _, kind] = body.get(..8)? else {
        return None;
    };
    if *kind != UNICAST || *prefix == 0 {
        return None;
    }
    let value = attributes(body.get(12..)?).find(|(kind, _)| *kind == DESTINATION)?;
    Some(
        IpNet::new(address(*family, value.1)?, *prefix)
            .ok()?
            .trunc(),
    )
}

/// The network of the body of a `RTM_NEWADDR`.
#[must_use]
pub fn parse_address(body: &[u8]) -> Option<IpNet> {
    let [family, prefix, ..] = body.get(..8)? else {
        return None;
    };
    let value = attributes(body.get(8..)?).find(|(kind, _)| *kind == ADDRESS)?;
    Some(
        IpNet::new(address(*family, value.1)?, *prefix)
            .ok()?
            .trunc(),
    )
}

fn route(kind: u16, flags: u16, family: u8, prefix: u8, scope: u8) -> Message {
    // `struct rtmsg`.
    let head = [family, prefix, 0, 0, MAIN, BOOT, scope, UNICAST, 0, 0, 0, 0];
    Message::new(kind, flags).with(&head)
}

fn family(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => V4,
        IpAddr::V6(_) => V6,
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

fn address(family: u8, value: &[u8]) -> Option<IpAddr> {
    match family {
        V4 => <[u8; 4]>::try_from(value)
            .ok()
            .map(Ipv4Addr::from)
            .map(IpAddr::V4),
        V6 => <[u8; 16]>::try_from(value)
            .ok()
            .map(Ipv6Addr::from)
            .map(IpAddr::V6),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_address_is_written_as_the_kernel_reads_it() {
        let message = add_address(7, "10.1.2.3/24".parse().unwrap());
        let expect: &[u8] = &[
            2, 24, 0, 0, 7, 0, 0, 0, // struct ifaddrmsg
            8, 0, 2, 0, 10, 1, 2, 3, // IFA_LOCAL
            8, 0, 1, 0, 10, 1, 2, 3, // IFA_ADDRESS
            8, 0, 4, 0, 10, 1, 2, 255, // IFA_BROADCAST
        ];
        assert_eq!(message.body(), expect);
        assert_eq!(
            parse_address(message.body()),
            Some("10.1.2.0/24".parse().unwrap())
        );
    }

    #[test]
    fn a_route_is_read_as_it_was_written() {
        for net in ["10.1.0.0/16", "fd00:1::/64"] {
            let net: IpNet = net.parse().unwrap();
            assert_eq!(parse_route(on_link(3, net).body()), Some(net));
        }
        let default = default_by_gateway(3, "10.1.0.1".parse().unwrap());
        assert_eq!(parse_route(default.body()), None);
    }

    proptest! {
        #[test]
        fn nothing_that_is_received_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = parse_route(&bytes);
            let _ = parse_address(&bytes);
        }
    }
}
