//! Sockets of IPv4 and IPv6 that never block and are close-on-exec, and a moment in another network namespace to open them
//! there: a socket stays in the namespace that it was opened in (network_namespaces(7)).

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use nix::sys::socket::sockopt::{BindToDevice, Ipv4PacketInfo, Ipv6RecvPacketInfo};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt,
};
use rustix::io::Errno;
use rustix::net::{AddressFamily, Protocol, SocketFlags, SocketType, ipproto, sockopt};
use rustix::pipe::SpliceFlags;
use rustix::process::Resource;

use super::{namespace, node, process};
use crate::engine::error::Result;

/// Connections that wait to be accepted; the kernel has a limit of its own (`net.core.somaxconn`).
const BACKLOG: i32 = 4096;

/// Where a socket hears from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Whatever the routes bring.
    All,
    /// Packets that this host sent to itself, whatever its routes and `route_localnet` say.
    Loopback,
}

/// Does something in another network namespace. This thread, on which nothing else may rely on where it is, comes back in any
/// case: if the kernel does not let it, the process ends, because it would go on in the wrong place.
///
/// # Errors
/// What setns(2) says, and what `work` says.
pub fn within<T>(namespace: BorrowedFd<'_>, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let own = node::open(Path::new("/proc/thread-self/ns/net"))?;
    namespace::enter_file(namespace, process::NEWNET, "of the container")?;
    let done = work();
    if namespace::enter_file(own.as_fd(), process::NEWNET, "of this process").is_err() {
        process::exit_now(1);
    }
    done
}

/// A socket for datagrams at this address. One for IPv6 takes nothing of IPv4.
///
/// # Errors
/// The error number of socket(2) or bind(2).
pub fn bind_udp(address: SocketAddr, reach: Reach) -> io::Result<UdpSocket> {
    let socket = open(address, SocketType::DGRAM, Some(ipproto::UDP))?;
    bind(&socket, address, reach)?;
    Ok(socket.into())
}

/// As [`bind_udp`], for [`receive`]: each datagram says which address of ours it was sent to.
///
/// # Errors
/// As [`bind_udp`].
pub fn bind_udp_told(address: SocketAddr, reach: Reach) -> io::Result<UdpSocket> {
    let socket = open(address, SocketType::DGRAM, Some(ipproto::UDP))?;
    match address {
        SocketAddr::V4(_) => setsockopt(&socket, Ipv4PacketInfo, &true)?,
        SocketAddr::V6(_) => setsockopt(&socket, Ipv6RecvPacketInfo, &true)?,
    }
    bind(&socket, address, reach)?;
    Ok(socket.into())
}

/// Which address of ours a datagram came to, and by which device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Arrival {
    /// The address.
    pub address: IpAddr,
    /// The number of the device.
    pub device: u32,
}

/// The next datagram of a socket of [`bind_udp_told`]: its length, whose it is, where it came to. What does not fit into `buffer` is lost.
///
/// # Errors
/// The error number of recvmsg(2): `EAGAIN` if there is none.
pub fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr, Arrival)> {
    let mut control = nix::cmsg_space!(libc::in6_pktinfo);
    let mut parts = [IoSliceMut::new(buffer)];
    let received = recvmsg::<SockaddrStorage>(
        socket.as_raw_fd(),
        &mut parts,
        Some(&mut control),
        MsgFlags::empty(),
    )?;
    let from = received.address.as_ref().and_then(socket_address);
    let arrival = received.cmsgs()?.find_map(|message| match message {
        ControlMessageOwned::Ipv4PacketInfo(info) => Some(Arrival {
            // In network order, as in memory.
            address: IpAddr::from(info.ipi_addr.s_addr.to_ne_bytes()),
            device: info.ipi_ifindex.cast_unsigned(),
        }),
        ControlMessageOwned::Ipv6PacketInfo(info) => Some(Arrival {
            address: IpAddr::from(info.ipi6_addr.s6_addr),
            device: info.ipi6_ifindex,
        }),
        _ => None,
    });
    match (from, arrival) {
        (Some(from), Some(arrival)) => Ok((received.bytes, from, arrival)),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Answers a datagram from the address that it came to.
///
/// # Errors
/// The error number of sendmsg(2).
pub fn answer(
    socket: &UdpSocket,
    bytes: &[u8],
    to: SocketAddr,
    arrival: Arrival,
) -> io::Result<usize> {
    let parts = [IoSlice::new(bytes)];
    let to = SockaddrStorage::from(to);
    let (v4, v6);
    let message = match arrival.address {
        IpAddr::V4(address) => {
            v4 = libc::in_pktinfo {
                // The routes say by which device.
                ipi_ifindex: 0,
                ipi_spec_dst: libc::in_addr {
                    s_addr: u32::from_ne_bytes(address.octets()),
                },
                ipi_addr: libc::in_addr { s_addr: 0 },
            };
            ControlMessage::Ipv4PacketInfo(&v4)
        }
        IpAddr::V6(address) => {
            v6 = libc::in6_pktinfo {
                ipi6_addr: libc::in6_addr {
                    s6_addr: address.octets(),
                },
                ipi6_ifindex: if address.is_unicast_link_local() {
                    arrival.device
                } else {
                    0
                },
            };
            ControlMessage::Ipv6PacketInfo(&v6)
        }
    };
    let sent = sendmsg(
        socket.as_raw_fd(),
        &parts,
        &[message],
        MsgFlags::MSG_NOSIGNAL,
        Some(&to),
    )?;
    Ok(sent)
}

fn socket_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address
        .as_sockaddr_in()
        .map(|v4| SocketAddr::V4((*v4).into()));
    v4.or_else(|| {
        let v6 = address.as_sockaddr_in6()?;
        Some(SocketAddr::V6((*v6).into()))
    })
}

/// A socket that connections arrive at. One for IPv6 takes nothing of IPv4.
///
/// # Errors
/// The error number of socket(2), bind(2) or listen(2).
pub fn listen_tcp(address: SocketAddr, reach: Reach) -> io::Result<TcpListener> {
    let socket = open(address, SocketType::STREAM, Some(ipproto::TCP))?;
    // What is left of earlier connections must not keep the port; another listener does (socket(7)).
    sockopt::set_socket_reuseaddr(&socket, true)?;
    bind(&socket, address, reach)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

/// A socket that holds this address for SCTP and does nothing with it.
///
/// # Errors
/// The error number of socket(2) or bind(2): `EPROTONOSUPPORT` if the kernel has no SCTP.
pub fn hold_sctp(address: SocketAddr, reach: Reach) -> io::Result<OwnedFd> {
    let socket = open(address, SocketType::STREAM, Some(ipproto::SCTP))?;
    bind(&socket, address, reach)?;
    Ok(socket)
}

/// A socket for datagrams to and from this address alone; its own port is one that the kernel draws.
///
/// # Errors
/// The error number of socket(2) or connect(2).
pub fn connect_udp(to: SocketAddr) -> io::Result<UdpSocket> {
    let socket = open(to, SocketType::DGRAM, Some(ipproto::UDP))?;
    rustix::net::connect(&socket, &to)?;
    Ok(socket.into())
}

/// Begins to connect; the stream is writable when that has come to its end, and [`TcpStream::take_error`] says to which.
///
/// # Errors
/// The error number of socket(2) or connect(2).
pub fn connect_tcp(to: SocketAddr) -> io::Result<TcpStream> {
    let socket = open(to, SocketType::STREAM, Some(ipproto::TCP))?;
    match rustix::net::connect(&socket, &to) {
        Ok(()) | Err(Errno::INPROGRESS | Errno::INTR) => Ok(socket.into()),
        Err(errno) => Err(errno.into()),
    }
}

/// Takes a connection that waits, ready not to block; `None` if there is none.
///
/// # Errors
/// The error number of accept4(2): `EMFILE` and the like, while the connection goes on waiting.
pub fn accept_tcp(listener: &TcpListener) -> io::Result<Option<(TcpStream, SocketAddr)>> {
    loop {
        match listener.accept() {
            Ok((stream, from)) => {
                stream.set_nonblocking(true)?;
                return Ok(Some((stream, from)));
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => return Ok(None),
                io::ErrorKind::Interrupted
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::ConnectionReset => {}
                _ => return Err(error),
            },
        }
    }
}

/// Makes closing this socket a reset, which tells the other side that it was no regular end (socket(7), `SO_LINGER`).
pub fn reset_when_closed(stream: &impl AsFd) {
    let _ = sockopt::set_socket_linger(stream, Some(Duration::ZERO));
}

/// Lets the kernel find out within about two minutes that the other side is gone for good (tcp(7)).
pub fn keep_alive(stream: &impl AsFd) {
    let _ = sockopt::set_socket_keepalive(stream, true);
    let _ = sockopt::set_tcp_keepidle(stream, Duration::from_mins(1));
    let _ = sockopt::set_tcp_keepintvl(stream, Duration::from_secs(15));
    let _ = sockopt::set_tcp_keepcnt(stream, 4);
}

/// Moves at most so many bytes from a pipe to a socket, or the other way, without them coming by here (splice(2)); 0 at the end.
///
/// # Errors
/// The error number of splice(2): `EAGAIN` if there is nothing, or no room.
pub fn splice(from: &impl AsFd, to: &impl AsFd, most: usize) -> io::Result<usize> {
    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    loop {
        match rustix::pipe::splice(from, None, to, None, most, flags) {
            Err(Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
}

/// Raises the limit of open files of this process to what it may have (getrlimit(2)), until it is dropped.
#[derive(Debug)]
pub struct MoreFiles {
    before: rustix::process::Rlimit,
}

impl MoreFiles {
    /// `None` if there is nothing to raise.
    #[must_use]
    pub fn allow() -> Option<Self> {
        let before = rustix::process::getrlimit(Resource::Nofile);
        if before.current == before.maximum {
            return None;
        }
        let most = rustix::process::Rlimit {
            current: before.maximum,
            ..before
        };
        rustix::process::setrlimit(Resource::Nofile, most).ok()?;
        Some(Self { before })
    }
}

impl Drop for MoreFiles {
    fn drop(&mut self) {
        let _ = rustix::process::setrlimit(Resource::Nofile, self.before);
    }
}

/// The number of a network device of this namespace.
#[must_use]
pub fn device_number(name: &str) -> Option<u32> {
    nix::net::if_::if_nametoindex(name).ok()
}

fn open(
    address: SocketAddr,
    kind: SocketType,
    protocol: Option<Protocol>,
) -> rustix::io::Result<OwnedFd> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    rustix::net::socket_with(family, kind, flags, protocol)
}

fn bind(socket: &OwnedFd, address: SocketAddr, reach: Reach) -> io::Result<()> {
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(socket, true)?;
    }
    if reach == Reach::Loopback {
        let device = std::ffi::OsString::from("lo");
        setsockopt(socket, BindToDevice, &device)?;
    }
    rustix::net::bind(socket, &address)?;
    Ok(())
}
