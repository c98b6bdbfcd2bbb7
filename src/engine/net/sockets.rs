//! The kernel's tables of sockets (`/proc/net/tcp` and its siblings, proc_pid_net(5)), and who has one of them open.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use crate::engine::model::network::Protocol;

/// One line of such a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// This side.
    pub local: SocketAddr,
    /// The other side, unspecified with port 0 if there is none.
    pub remote: SocketAddr,
    /// The kernel's number of its state (`net/tcp_states.h`).
    pub state: u8,
    /// Its inode, 0 for one that nobody has open any more.
    pub inode: u64,
}

/// `TCP_LISTEN`.
pub const LISTEN: u8 = 10;

impl Entry {
    /// Its state as ss(8) calls it.
    #[must_use]
    pub fn state_name(&self) -> &'static str {
        if self.protocol != Protocol::Tcp {
            return if self.state == 1 { "connected" } else { "open" };
        }
        match self.state {
            1 => "established",
            2 => "syn-sent",
            3 | 12 => "syn-received",
            4 => "fin-wait-1",
            5 => "fin-wait-2",
            6 => "time-wait",
            7 => "closed",
            8 => "close-wait",
            9 => "last-ack",
            LISTEN => "listening",
            11 => "closing",
            _ => "unknown",
        }
    }
}

/// The lines of one table. What cannot be read is left out.
#[must_use]
pub fn parse(text: &str, protocol: Protocol) -> Vec<Entry> {
    text.lines()
        .skip(1)
        .filter_map(|line| parse_line(line, protocol))
        .collect()
}

fn parse_line(line: &str, protocol: Protocol) -> Option<Entry> {
    let mut words = line.split_whitespace().skip(1);
    let local = parse_address(words.next()?)?;
    let remote = parse_address(words.next()?)?;
    let state = u8::from_str_radix(words.next()?, 16).ok()?;
    // Queues, timer, retransmissions, user, timeout.
    let inode = words.nth(5)?.parse().ok()?;
    Some(Entry {
        protocol,
        local,
        remote,
        state,
        inode,
    })
}

/// `0100007F:0050`: words of 32 bits as they are in memory.
fn parse_address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| {
        let digits = address.get(at * 8..at * 8 + 8)?;
        u32::from_str_radix(digits, 16).ok().map(u32::to_ne_bytes)
    };
    let ip = match address.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?].concat();
            IpAddr::V6(Ipv6Addr::from(*words.first_chunk::<16>()?))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// All sockets of TCP and UDP of the network namespace that a `net` directory shows (`/proc/<pid>/net`).
#[must_use]
pub fn read(net: &Path) -> Vec<Entry> {
    let tables = [
        ("tcp", Protocol::Tcp),
        ("tcp6", Protocol::Tcp),
        ("udp", Protocol::Udp),
        ("udp6", Protocol::Udp),
    ];
    tables
        .into_iter()
        .filter_map(|(name, protocol)| Some((fs::read_to_string(net.join(name)).ok()?, protocol)))
        .flat_map(|(text, protocol)| parse(&text, protocol))
        .collect()
}

/// Who holds a port of this namespace: the name of a process and its id. Looks into every process that it may look into.
#[must_use]
pub fn holder(protocol: Protocol, address: SocketAddr) -> Option<(String, i32)> {
    let mut in_the_way: Vec<Entry> = read(Path::new("/proc/thread-self/net"))
        .into_iter()
        .filter(|entry| entry.protocol == protocol && entry.inode != 0)
        .filter(|entry| overlap(entry.local, address))
        .collect();
    in_the_way.sort_by_key(|entry| entry.state != LISTEN);
    let links: Vec<String> = in_the_way
        .iter()
        .map(|entry| format!("socket:[{}]", entry.inode))
        .collect();
    links.iter().find_map(|link| process_with(link))
}

/// Whether one of them keeps the other from being bound.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let is_any_of_both = |ip: IpAddr| ip == IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    let family = a.is_ipv4() == b.is_ipv4();
    a.port() == b.port()
        && (a.ip() == b.ip()
            || (family && (a.ip().is_unspecified() || b.ip().is_unspecified()))
            || is_any_of_both(a.ip()))
}

fn process_with(link: &str) -> Option<(String, i32)> {
    let processes = fs::read_dir("/proc").ok()?.flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .find_map(|pid| {
            let open = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
            let has = open
                .flatten()
                .any(|fd| fs::read_link(fd.path()).is_ok_and(|to| to.as_os_str() == link));
            if !has {
                return None;
            }
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
            Some((name.trim_end().to_owned(), pid))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn a_table_is_read_line_by_line() {
        let text = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12345 1 0 100 0 0 10 0
   1: 0200000A:D431 0101A8C0:01BB 01 00000000:00000000 02:000A 00000000 1000 0 777 2
   2: junk
";
        let entries = parse(text, Protocol::Tcp);
        let shown: Vec<String> = entries
            .iter()
            .map(|e| format!("{} {} {} {}", e.local, e.remote, e.state_name(), e.inode))
            .collect();
        assert_eq!(
            shown,
            [
                "127.0.0.1:8080 0.0.0.0:0 listening 12345",
                "10.0.0.2:54321 192.168.1.1:443 established 777"
            ]
        );
        let six = "x\n 0: 00000000000000000000000001000000:0035 00000000000000000000000000000000:0000 07 0:0 0:0 0 0 0 9 2";
        let entry = parse(six, Protocol::Udp)[0];
        assert_eq!(
            (entry.local.to_string().as_str(), entry.state_name()),
            ("[::1]:53", "open")
        );
    }

    #[test]
    fn our_own_socket_is_found_with_our_own_name() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let pid = i32::try_from(std::process::id()).unwrap();
        let any = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port());
        for asked in [address, any] {
            assert_eq!(holder(Protocol::Tcp, asked).unwrap().1, pid);
        }
        let other = SocketAddr::new(Ipv4Addr::new(127, 0, 0, 2).into(), address.port());
        assert_eq!(holder(Protocol::Tcp, other), None);
        assert_eq!(holder(Protocol::Udp, address), None);
    }

    proptest::proptest! {
        #[test]
        fn what_the_kernel_would_write_is_read_back(
            v6: bool, bytes: [u8; 16], port: u16, state in 0_u8..16, inode: u64,
        ) {
            let ip = if v6 { IpAddr::from(bytes) } else { IpAddr::from(*bytes.first_chunk::<4>().unwrap()) };
            let length = if v6 { 16 } else { 4 };
            let words = bytes[..length].chunks(4).map(|word| {
                format!("{:08X}", u32::from_ne_bytes(*word.first_chunk::<4>().unwrap()))
            });
            let address = words.collect::<String>();
            let text = format!("head\n 0: {address}:{port:04X} {address}:{port:04X} {state:02X} 0:0 0:0 0 0 0 {inode} 1");
            let local = SocketAddr::new(ip, port);
            let expected = Entry { protocol: Protocol::Tcp, local, remote: local, state, inode };
            proptest::prop_assert_eq!(parse(&text, Protocol::Tcp), vec![expected]);
        }

        #[test]
        fn nothing_that_a_table_holds_panics(text in "\\PC{0,80}(\n[ 0-9A-F:é]{0,120}){0,3}") {
            let _ = parse(&text, Protocol::Udp);
        }
    }
}
