//! The host's ports of a container, held by sockets of its monitor: a port that is in use is known before anything is made, and
//! nobody else gets one that the firewall translates. What arrives at these sockets is `relay`'s work.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;

use super::sockets;
use crate::engine::error::{Error, Kind, Result};
use crate::engine::model::network::{Port, PortBinding, Protocol, Publication};
use crate::engine::sys::inet::{self, Reach};
use crate::engine::sys::{file, host};

/// One address and port of the host, held.
#[derive(Debug)]
pub struct Held {
    /// The container's port.
    pub port: Port,
    /// The host's address, `0.0.0.0` or `::` for all of that family.
    pub address: IpAddr,
    /// The host's port.
    pub host: u16,
    /// What holds it.
    pub socket: Socket,
}

/// The socket that holds a port.
#[derive(Debug)]
pub enum Socket {
    /// It listens.
    Tcp(TcpListener),
    /// Datagrams arrive.
    Udp(UdpSocket),
    /// Bound alone. The kernel may have no SCTP; then nobody else has it either.
    Sctp(Option<OwnedFd>),
    /// Nothing: the container is reached by its own address.
    Nothing,
}

/// What is known of who holds a port, beyond what the kernel says: the name of the container that published it.
pub type Whose<'a> = &'a dyn Fn(Protocol, SocketAddr) -> Option<String>;

/// Where a container can be reached: where its publications lead.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Target {
    /// Its address of version 4.
    pub v4: Option<Ipv4Addr>,
    /// Its address of version 6.
    pub v6: Option<Ipv6Addr>,
}

impl Target {
    /// The address that a publication at `from` leads to: of the same family if there is one.
    #[must_use]
    pub fn of(&self, from: IpAddr) -> Option<IpAddr> {
        let v4 = self.v4.map(IpAddr::V4);
        let v6 = self.v6.map(IpAddr::V6);
        if from.is_ipv4() { v4.or(v6) } else { v6.or(v4) }
    }
}

/// Holds a port of the host for each binding, in this thread's network namespace; all of them or none.
///
/// # Errors
/// [`Kind::Conflict`] for a port in use, with who has it, and for a range with no free one; [`Kind::InvalidInput`] for an address that the host
/// has not got; what socket(2), bind(2) and listen(2) say.
pub fn hold(bindings: &[PortBinding], whose: Whose<'_>) -> Result<Vec<Held>> {
    let mut all: Vec<Held> = Vec::new();
    for binding in bindings {
        let same = |held: &&Held| held.port == binding.port;
        if is_repeated(binding, all.iter().filter(same)) {
            continue;
        }
        let held = match binding.host {
            Some((first, last)) => hold_first_of(binding, first, last, whose)?,
            None => hold_any(binding)?,
        };
        all.extend(held);
    }
    Ok(all)
}

/// The same publication once more.
fn is_repeated<'a>(binding: &PortBinding, mut held: impl Iterator<Item = &'a Held>) -> bool {
    let Some((first, last)) = binding.host.filter(|(first, last)| first == last) else {
        return false;
    };
    let addresses = addresses(binding.address);
    held.any(|held| held.host == first && first == last && addresses.contains(&held.address))
}

/// A port that is reached by the container's own address of a family, and has none of the host's: its number there is 0.
#[must_use]
pub fn direct(port: Port, six: bool) -> Held {
    let address = if six {
        Ipv6Addr::UNSPECIFIED.into()
    } else {
        Ipv4Addr::UNSPECIFIED.into()
    };
    Held {
        port,
        address,
        host: 0,
        socket: Socket::Nothing,
    }
}

/// The publications that are held, for a container that is reached there.
#[must_use]
pub fn publications(held: &[Held], target: Target) -> Vec<Publication> {
    let lead = |held: &Held| {
        Some(Publication {
            port: held.port,
            address: held.address,
            host: held.host,
            to: target.of(held.address)?,
        })
    };
    held.iter().filter_map(lead).collect()
}

fn addresses(given: Option<IpAddr>) -> Vec<IpAddr> {
    match given {
        Some(address) => vec![address],
        None => vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
    }
}

fn hold_first_of(
    binding: &PortBinding,
    first: u16,
    last: u16,
    whose: Whose<'_>,
) -> Result<Vec<Held>> {
    for number in first..=last {
        match try_port(binding, number) {
            Ok(held) => return Ok(held),
            Err((_, error)) if is_taken(&error) && first != last => {}
            Err((address, error)) => return Err(refusal(binding.port, address, &error, whose)),
        }
    }
    let address = addresses(binding.address).first().map(ToString::to_string);
    Err(Error::conflict(format!(
        "publish {} on {}:{first}-{last}: all ports of the range are already allocated",
        binding.port,
        address.unwrap_or_default()
    )))
}

/// A free port of those that the host gives out itself, the same for all addresses.
fn hold_any(binding: &PortBinding) -> Result<Vec<Held>> {
    let (first, last) = ephemeral_range();
    let count = u32::from(last - first) + 1;
    // Anywhere: connections of the host use the same ones.
    let start = u32::from_ne_bytes(host::random_bytes()) % count;
    for step in 0..count {
        let offset = u16::try_from((start + step) % count).unwrap_or(0);
        match try_port(binding, first + offset) {
            Ok(held) => return Ok(held),
            Err((_, error)) if is_taken(&error) => {}
            Err((address, error)) => {
                return Err(refusal(binding.port, address, &error, &|_, _| None));
            }
        }
    }
    Err(Error::conflict(format!(
        "publish {}: all ports from {first} to {last} are already allocated",
        binding.port
    )))
}

/// ip(7), `ip_local_port_range`.
fn ephemeral_range() -> (u16, u16) {
    const USUAL: (u16, u16) = (32_768, 60_999);
    let path = std::path::Path::new("/proc/sys/net/ipv4/ip_local_port_range");
    let text = file::read_optional(path).ok().flatten().unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let mut numbers = text.split_whitespace().map(str::parse::<u16>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(first)), Some(Ok(last))) if 0 < first && first <= last => (first, last),
        _ => USUAL,
    }
}

/// One port at all of the binding's addresses.
fn try_port(
    binding: &PortBinding,
    number: u16,
) -> std::result::Result<Vec<Held>, (SocketAddr, io::Error)> {
    let mut all = Vec::new();
    for address in addresses(binding.address) {
        let at = SocketAddr::new(address, number);
        match open(binding.port.protocol, at) {
            Ok(socket) => all.push(Held {
                port: binding.port,
                address,
                host: number,
                socket,
            }),
            // A host without IPv6, which nobody has asked for.
            Err(error) if binding.address.is_none() && at.is_ipv6() && has_no_ipv6(&error) => {}
            Err(error) => return Err((at, error)),
        }
    }
    Ok(all)
}

fn open(protocol: Protocol, at: SocketAddr) -> io::Result<Socket> {
    let reach = if at.ip().is_loopback() {
        Reach::Loopback
    } else {
        Reach::All
    };
    match protocol {
        Protocol::Tcp => inet::listen_tcp(at, reach).map(Socket::Tcp),
        Protocol::Udp => inet::bind_udp_told(at, reach).map(Socket::Udp),
        Protocol::Sctp => match inet::hold_sctp(at, reach) {
            Ok(socket) => Ok(Socket::Sctp(Some(socket))),
            Err(error) if is_unknown(&error) => Ok(Socket::Sctp(None)),
            Err(error) => Err(error),
        },
    }
}

fn is_taken(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrInUse
}

fn is_unknown(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EPROTONOSUPPORT | libc::ESOCKTNOSUPPORT)
    )
}

fn has_no_ipv6(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL)
    )
}

fn refusal(port: Port, at: SocketAddr, error: &io::Error, whose: Whose<'_>) -> Error {
    let what = format!("publish {port} on {at}");
    match error.raw_os_error() {
        Some(libc::EADDRINUSE) => {
            let by = whose(port.protocol, at)
                .map(|name| format!("container {name}"))
                .or_else(|| {
                    let (name, pid) = sockets::holder(port.protocol, at)?;
                    Some(format!("process {name} ({pid})"))
                })
                .map(|holder| format!(" by {holder}"))
                .unwrap_or_default();
            Error::conflict(format!("{what}: port is already allocated{by}"))
        }
        Some(libc::EADDRNOTAVAIL) => {
            Error::invalid(format!("{what}: the host has no address {}", at.ip()))
        }
        Some(libc::EAFNOSUPPORT) => Error::unsupported(format!("{what}: the host has no IPv6")),
        Some(libc::EACCES | libc::EPERM) => {
            let again = io::Error::from_raw_os_error(libc::EACCES);
            Error::io(what, again).with_kind(Kind::Denied)
        }
        Some(code) => Error::io(what, io::Error::from_raw_os_error(code)),
        None => Error::new(Kind::Internal, format!("{what}: {error}")),
    }
}
