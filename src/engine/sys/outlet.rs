//! A socket that takes log entries, each whole: datagrams to a path or an address, or a connection. Never waits, and
//! connects again when the other side was started anew.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::SendFlags;
use rustls::ClientConfig;

use super::{memory_file, process, tls};
use crate::engine::error::{Attempt, Result};

/// How long a connection over the network may take to be made.
const CONNECT: Duration = Duration::from_secs(3);
/// Somebody who is gone is asked again no sooner; each time in vain doubles it, up to the longest. An attempt may hold up
/// who sends, so that they must be few.
const AGAIN: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_mins(1);

/// Where entries go.
#[derive(Debug, Clone)]
pub enum Address {
    /// A datagram socket in the file system.
    UnixDatagram(String),
    /// A stream socket in the file system.
    UnixStream(String),
    /// Datagrams over the network.
    Udp(SocketAddr),
    /// A connection over the network.
    Tcp(SocketAddr),
    /// One that speaks TLS.
    Tls(SocketAddr, Arc<ClientConfig>),
}

/// What became of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It is on its way.
    Done,
    /// There is no room now. Of a stream, the part that fitted has been taken out of the message.
    Full,
    /// Nobody is there.
    Lost,
}

#[derive(Debug)]
enum Socket {
    Plain(OwnedFd),
    Tls {
        stream: Box<tls::Stream>,
        /// The same connection.
        descriptor: OwnedFd,
    },
}

/// The sending end.
#[derive(Debug)]
pub struct Outlet {
    address: Address,
    socket: Socket,
    /// Since when nobody is there.
    gone: Option<Instant>,
    /// How long they are left alone then.
    pause: Duration,
    /// An entry is half sent: only its rest may follow.
    is_torn: bool,
}

impl Outlet {
    /// Datagrams to a path.
    ///
    /// # Errors
    /// What connect(2) says.
    pub fn datagrams(path: &str) -> Result<Self> {
        Self::open(Address::UnixDatagram(path.to_owned()))
    }

    /// Connects.
    ///
    /// # Errors
    /// What connect(2) says.
    pub fn open(address: Address) -> Result<Self> {
        let socket = connect(&address).attempt(|| format!("connect to {address}"))?;
        Ok(Self {
            address,
            socket,
            gone: None,
            pause: AGAIN,
            is_torn: false,
        })
    }

    /// For waiting until there is room.
    #[must_use]
    pub fn descriptor(&self) -> &OwnedFd {
        match &self.socket {
            Socket::Plain(socket) => socket,
            Socket::Tls { descriptor, .. } => descriptor,
        }
    }

    /// Whether anybody is there, as far as is known.
    #[must_use]
    pub fn is_heard(&self) -> bool {
        self.gone.is_none()
    }

    /// Sends an entry, as far as there is room.
    pub fn put(&mut self, message: &mut Vec<u8>) -> Put {
        if self.gone.is_some_and(|since| since.elapsed() < self.pause) {
            return Put::Lost;
        }
        if self.gone.is_some() && !self.reconnect() {
            return Put::Lost;
        }
        match self.offer(message) {
            Ok(put) => put,
            // It may have been started anew: once more, to the new one. Of half an entry nobody wants the rest.
            Err(_) if std::mem::take(&mut self.is_torn) => {
                self.reconnect();
                Put::Lost
            }
            Err(_) if self.reconnect() => self.offer(message).unwrap_or(Put::Lost),
            Err(_) => Put::Lost,
        }
    }

    fn reconnect(&mut self) -> bool {
        let Ok(socket) = connect(&self.address) else {
            if self.gone.is_some() {
                self.pause = (self.pause * 2).min(LONGEST);
            }
            self.gone = Some(Instant::now());
            return false;
        };
        self.socket = socket;
        self.gone = None;
        self.pause = AGAIN;
        true
    }

    fn is_stream(&self) -> bool {
        match self.address {
            Address::UnixStream(_) | Address::Tcp(_) | Address::Tls(..) => true,
            Address::UnixDatagram(_) | Address::Udp(_) => false,
        }
    }

    fn offer(&mut self, message: &mut Vec<u8>) -> io::Result<Put> {
        if let Socket::Tls { stream, .. } = &mut self.socket {
            // An entry that was taken is all in the session; what is not sent goes with it.
            return stream
                .send(message)
                .map(|all| if all { Put::Done } else { Put::Full });
        }
        loop {
            match rustix::net::send(self.descriptor(), message, SendFlags::NOSIGNAL) {
                Ok(sent) if self.is_stream() && sent < message.len() => {
                    message.drain(..sent);
                    self.is_torn = true;
                }
                Ok(_) => {
                    self.is_torn = false;
                    return Ok(Put::Done);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(Put::Full),
                Err(Errno::MSGSIZE | Errno::NOBUFS) => return self.offer_as_file(message),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// A message that is too long for a datagram: the journal takes a sealed file instead.
    fn offer_as_file(&self, message: &[u8]) -> io::Result<Put> {
        let Address::UnixDatagram(_) = self.address else {
            return Ok(Put::Lost);
        };
        let Ok(file) = memory_file::sealed("wharf-log", message) else {
            return Ok(Put::Lost);
        };
        match process::send_message(self.descriptor().as_fd(), b"", Some(file.as_fd())) {
            Ok(()) => Ok(Put::Done),
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => Ok(Put::Full),
            Err(_) => Ok(Put::Lost),
        }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::UnixDatagram(path) | Self::UnixStream(path) => f.write_str(path),
            Self::Udp(address) | Self::Tcp(address) | Self::Tls(address, _) => address.fmt(f),
        }
    }
}

fn connect(address: &Address) -> io::Result<Socket> {
    let plain: OwnedFd = match address {
        Address::UnixDatagram(path) => {
            let socket = UnixDatagram::unbound()?;
            socket.connect(path)?;
            socket.set_nonblocking(true)?;
            socket.into()
        }
        Address::UnixStream(path) => {
            let socket = UnixStream::connect(path)?;
            socket.set_nonblocking(true)?;
            socket.into()
        }
        Address::Udp(to) => {
            let any: SocketAddr = match to {
                SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
                SocketAddr::V6(_) => ([0_u16; 8], 0).into(),
            };
            let socket = UdpSocket::bind(any)?;
            socket.connect(to)?;
            socket.set_nonblocking(true)?;
            socket.into()
        }
        Address::Tcp(to) => {
            let mut socket = TcpStream::connect_timeout(to, CONNECT)?;
            socket.flush()?;
            socket.set_nonblocking(true)?;
            socket.into()
        }
        Address::Tls(to, config) => {
            let socket = TcpStream::connect_timeout(to, CONNECT)?;
            let stream = Box::new(tls::Stream::begin(socket, config, CONNECT)?);
            let descriptor = stream.socket().try_clone()?.into();
            return Ok(Socket::Tls { stream, descriptor });
        }
    };
    Ok(Socket::Plain(plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_started_anew_hears_the_next_entry() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let first = UnixDatagram::bind(&path).unwrap();
        let mut outlet = Outlet::datagrams(path.to_str().unwrap()).unwrap();
        assert_eq!(outlet.put(&mut b"one".to_vec()), Put::Done);
        drop(first);
        std::fs::remove_file(&path).unwrap();
        let second = UnixDatagram::bind(&path).unwrap();
        assert_eq!(outlet.put(&mut b"two".to_vec()), Put::Done);
        let mut buffer = [0; 8];
        let length = second.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"two");
    }

    #[test]
    fn nobody_there_is_no_reason_to_wait() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let socket = UnixDatagram::bind(&path).unwrap();
        let mut outlet = Outlet::datagrams(path.to_str().unwrap()).unwrap();
        drop(socket);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(outlet.put(&mut b"one".to_vec()), Put::Lost);
        assert!(!outlet.is_heard());
    }

    #[test]
    fn a_slow_reader_makes_it_full() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let socket = UnixDatagram::bind(&path).unwrap();
        let mut outlet = Outlet::datagrams(path.to_str().unwrap()).unwrap();
        let sent = (0..100_000)
            .take_while(|_| outlet.put(&mut b"x".to_vec()) == Put::Done)
            .count();
        assert!(sent < 100_000);
        let mut buffer = [0; 8];
        for _ in 0..sent {
            socket.recv(&mut buffer).unwrap();
        }
        assert_eq!(outlet.put(&mut b"y".to_vec()), Put::Done);
    }

    #[test]
    fn what_is_too_long_for_a_datagram_comes_as_a_sealed_file() {
        use std::io::{Read, Seek, SeekFrom};
        use std::os::fd::AsFd;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let socket = UnixDatagram::bind(&path).unwrap();
        let mut outlet = Outlet::datagrams(path.to_str().unwrap()).unwrap();
        let mut long = vec![b'x'; 8 << 20];
        assert_eq!(outlet.put(&mut long), Put::Done);
        let (length, fd) = process::receive_message(socket.as_fd(), &mut [0; 8]).unwrap();
        assert_eq!(length, 0);
        let mut file = std::fs::File::from(fd.unwrap());
        assert!(file.write_all(b"y").is_err(), "it is sealed");
        file.seek(SeekFrom::Start(0)).unwrap();
        let mut read = Vec::new();
        file.read_to_end(&mut read).unwrap();
        assert_eq!(read, long);
    }
}
