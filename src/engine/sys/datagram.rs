//! Datagrams on unix sockets, as sd_notify(3) speaks: one message each, to a path or to an abstract name.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;

use super::process;
use crate::engine::error::{Attempt, Result};

/// A socket that receives. Close-on-exec, does not block.
#[derive(Debug)]
pub struct Receiver {
    socket: UnixDatagram,
}

impl Receiver {
    /// Binds a socket to a path that must not exist and that everybody may send to who gets there.
    ///
    /// # Errors
    /// What bind(2) and chmod(2) say.
    pub fn bind(path: &Path) -> Result<Self> {
        let what = || format!("bind {}", path.display());
        let (_directory, short) = super::socket::shortened(path)?;
        let socket = UnixDatagram::bind(&short).attempt(what)?;
        fs::set_permissions(&short, fs::Permissions::from_mode(0o777)).attempt(what)?;
        socket.set_nonblocking(true).attempt(what)?;
        Ok(Self { socket })
    }

    /// The next message, at most 4 KiB of it; `None` if there is none.
    ///
    /// # Errors
    /// What recv(2) says.
    pub fn receive(&self) -> Result<Option<Vec<u8>>> {
        let mut buffer = vec![0; 4096];
        match self.socket.recv(&mut buffer) {
            Ok(length) => {
                buffer.truncate(length);
                Ok(Some(buffer))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(None),
            Err(error) => Err(error).attempt(|| "receive a datagram"),
        }
    }
}

impl AsFd for Receiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A socket that is connected to a receiver.
#[derive(Debug)]
pub struct Sender {
    socket: UnixDatagram,
}

impl Sender {
    /// Connects to a path, or with `@` in front to an abstract name (unix(7)).
    ///
    /// # Errors
    /// What connect(2) says.
    pub fn connect(name: &str) -> Result<Self> {
        let what = || format!("connect to {name}");
        let address = match name.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name),
            None => SocketAddr::from_pathname(name),
        };
        let socket = UnixDatagram::unbound().attempt(what)?;
        address
            .and_then(|address| socket.connect_addr(&address))
            .attempt(what)?;
        Ok(Self { socket })
    }

    /// Sends a message, with a descriptor if one is given.
    ///
    /// # Errors
    /// What sendmsg(2) says.
    pub fn send(&self, message: &str, fd: Option<BorrowedFd<'_>>) -> Result<()> {
        process::send_message(self.socket.as_fd(), message.as_bytes(), fd)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_arrives_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let receiver = Receiver::bind(&path).unwrap();
        assert_eq!(receiver.receive().unwrap(), None);
        let sender = Sender::connect(path.to_str().unwrap()).unwrap();
        sender.send("a\nb", None).unwrap();
        sender.send("c", None).unwrap();
        assert_eq!(receiver.receive().unwrap().unwrap(), b"a\nb");
        assert_eq!(receiver.receive().unwrap().unwrap(), b"c");
    }
}
