//! Unix stream sockets: pairs, listeners and connections that do not mind how long their path is, and transfers that
//! survive signals and never raise SIGPIPE.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, Shutdown,
    SocketAddrUnix, SocketFlags, SocketType,
};

use crate::engine::error::{Attempt, Error, Kind, Result};

/// A connected pair; both ends are close-on-exec and blocking.
///
/// # Errors
/// What socketpair(2) says.
pub fn pair() -> Result<(OwnedFd, OwnedFd)> {
    let (a, b) = UnixStream::pair().attempt(|| "create socket pair")?;
    Ok((a.into(), b.into()))
}

/// Listens at `path`, which must not exist. The socket does not block.
///
/// # Errors
/// What bind(2) and listen(2) say.
pub fn listen(path: &Path) -> Result<UnixListener> {
    let what = || format!("listen at {}", path.display());
    let (_directory, short) = shortened(path)?;
    let listener = UnixListener::bind(short).attempt(what)?;
    listener.set_nonblocking(true).attempt(what)?;
    Ok(listener)
}

/// Takes one waiting connection, which then does not block; `None` if there is none. Only root and the user of this
/// process may connect (unix(7), `SO_PEERCRED`): anybody else is closed at once.
///
/// # Errors
/// What accept(2) says.
pub fn accept(listener: &UnixListener) -> Result<Option<OwnedFd>> {
    loop {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted
                ) =>
            {
                continue;
            }
            Err(error) => return Err(error).attempt(|| "accept a connection"),
        };
        let peer = rustix::net::sockopt::socket_peercred(&stream)
            .map_err(io::Error::from)
            .attempt(|| "ask who connects")?;
        let own = rustix::process::geteuid();
        if peer.uid.is_root() || peer.uid == own {
            stream
                .set_nonblocking(true)
                .attempt(|| "make a connection non-blocking")?;
            return Ok(Some(stream.into()));
        }
    }
}

/// Connects to `path`; `None` if there is no such socket or nobody listens.
///
/// # Errors
/// What connect(2) says otherwise.
pub fn connect(path: &Path) -> Result<Option<OwnedFd>> {
    let (_directory, short) = match shortened(path) {
        Ok(short) => short,
        Err(error) if error.kind() == Kind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match UnixStream::connect(short) {
        Ok(stream) => Ok(Some(stream.into())),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error).attempt(|| format!("connect to {}", path.display())),
    }
}

/// Listens at `path`, which must not exist, for connections that keep messages apart (`SOCK_SEQPACKET`). Accepting blocks.
///
/// # Errors
/// What bind(2) and listen(2) say.
pub fn listen_for_messages(path: &Path) -> Result<OwnedFd> {
    let what = || format!("listen at {}", path.display());
    let (_directory, short) = shortened(path)?;
    let socket = message_socket().attempt(what)?;
    let address = SocketAddrUnix::new(short)
        .map_err(io::Error::from)
        .attempt(what)?;
    rustix::net::bind(&socket, &address)
        .and_then(|()| rustix::net::listen(&socket, 1))
        .map_err(io::Error::from)
        .attempt(what)?;
    Ok(socket)
}

/// Connects to a socket of [`listen_for_messages`]; `None` if there is none or nobody listens any more.
///
/// # Errors
/// What connect(2) says otherwise.
pub fn connect_for_messages(path: &Path) -> Result<Option<OwnedFd>> {
    let what = || format!("connect to {}", path.display());
    let (_directory, short) = shortened(path)?;
    let socket = message_socket().attempt(what)?;
    let address = SocketAddrUnix::new(short)
        .map_err(io::Error::from)
        .attempt(what)?;
    loop {
        match rustix::net::connect(&socket, &address) {
            Ok(()) => return Ok(Some(socket)),
            Err(Errno::INTR) => {}
            Err(Errno::NOENT | Errno::CONNREFUSED) => return Ok(None),
            Err(errno) => return Err(io::Error::from(errno)).attempt(what),
        }
    }
}

/// Waits for a connection to a socket of [`listen_for_messages`]. Close-on-exec.
///
/// # Errors
/// What accept4(2) says.
pub fn accept_messages(listener: &impl AsFd) -> Result<OwnedFd> {
    loop {
        match rustix::net::accept_with(listener, SocketFlags::CLOEXEC) {
            Ok(connection) => return Ok(connection),
            Err(Errno::INTR | Errno::CONNABORTED) => {}
            Err(errno) => return Err(io::Error::from(errno)).attempt(|| "accept a connection"),
        }
    }
}

fn message_socket() -> io::Result<OwnedFd> {
    rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
    .map_err(io::Error::from)
}

/// Sends everything, blocking.
///
/// # Errors
/// [`Kind::Unavailable`] when the other side is gone; otherwise what send(2) says.
pub fn send_all(stream: &impl AsFd, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        match rustix::net::send(stream, bytes, SendFlags::NOSIGNAL) {
            Ok(sent) => bytes = bytes.get(sent..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(gone_or(errno, "send")),
        }
    }
    Ok(())
}

/// Sends everything, blocking, and a descriptor with its first byte (unix(7), `SCM_RIGHTS`).
///
/// # Errors
/// As [`send_all`].
pub fn send_all_with(stream: &impl AsFd, bytes: &[u8], fd: BorrowedFd<'_>) -> Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = [fd];
    control.push(SendAncillaryMessage::ScmRights(&fds));
    let parts = [IoSlice::new(bytes)];
    let sent = loop {
        match rustix::net::sendmsg(stream, &parts, &mut control, SendFlags::NOSIGNAL) {
            Ok(sent) => break sent,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(gone_or(errno, "send")),
        }
    };
    send_all(stream, bytes.get(sent..).unwrap_or_default())
}

/// Sends what the socket takes without blocking, and says how much that was (0: it is full).
///
/// # Errors
/// As [`send_all`].
pub fn send_now(stream: &impl AsFd, bytes: &[u8]) -> Result<usize> {
    loop {
        match rustix::net::send(stream, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
            Ok(sent) => return Ok(sent),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Ok(0),
            Err(errno) => return Err(gone_or(errno, "send")),
        }
    }
}

/// Receives at least one byte, blocking; 0 when the other side has closed (or died).
///
/// # Errors
/// What recv(2) says.
pub fn receive(stream: &impl AsFd, buffer: &mut [u8]) -> Result<usize> {
    loop {
        match rustix::net::recv(stream, &mut *buffer, RecvFlags::empty()) {
            Ok((_, count)) => return Ok(count),
            Err(Errno::INTR) => {}
            // The other side died before it read what we sent: for a reader that is the end.
            Err(Errno::CONNRESET) => return Ok(0),
            Err(errno) => return Err(gone_or(errno, "receive")),
        }
    }
}

/// Receives what is there without blocking: `None` if nothing is, `Some(0)` when the other side has closed.
///
/// # Errors
/// What recv(2) says.
pub fn receive_now(stream: &impl AsFd, buffer: &mut [u8]) -> Result<Option<usize>> {
    loop {
        match rustix::net::recv(stream, &mut *buffer, RecvFlags::DONTWAIT) {
            Ok((_, count)) => return Ok(Some(count)),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Ok(None),
            Err(Errno::CONNRESET) => return Ok(Some(0)),
            Err(errno) => return Err(gone_or(errno, "receive")),
        }
    }
}

/// Ends both directions; a reader on either side comes back.
///
/// # Errors
/// What shutdown(2) says.
pub fn shutdown(stream: &impl AsFd) -> Result<()> {
    rustix::net::shutdown(stream, Shutdown::Both)
        .map_err(io::Error::from)
        .attempt(|| "shut a socket down")
}

/// Ends what is sent: the other side reads the end, and can still answer.
///
/// # Errors
/// What shutdown(2) says.
pub fn shutdown_sending(stream: &impl AsFd) -> Result<()> {
    rustix::net::shutdown(stream, Shutdown::Write)
        .map_err(io::Error::from)
        .attempt(|| "end what is sent")
}

/// Lets the kernel hold so many bytes more for the reader, who gets them even after the sender has gone.
///
/// # Errors
/// What getsockopt(2) and setsockopt(2) say.
pub fn grow_send_buffer(stream: &impl AsFd, bytes: usize) -> Result<()> {
    let what = || "grow a socket's buffer";
    // Both what it holds already and the kernel's own overhead count; what is set is doubled for the latter (socket(7)).
    let held = rustix::net::sockopt::socket_send_buffer_size(stream)
        .map_err(io::Error::from)
        .attempt(what)?;
    let wanted = held.saturating_add(bytes);
    match rustix::net::sockopt::set_socket_send_buffer_size_force(stream, wanted) {
        Ok(()) => Ok(()),
        Err(Errno::PERM) => rustix::net::sockopt::set_socket_send_buffer_size(stream, wanted)
            .map_err(io::Error::from)
            .attempt(what),
        Err(errno) => Err(io::Error::from(errno)).attempt(what),
    }
}

/// The path through the directory's descriptor: an address holds 108 bytes only (unix(7)).
pub(super) fn shortened(path: &Path) -> Result<(OwnedFd, PathBuf)> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Error::invalid(format!(
            "{} is not the path of a socket",
            path.display()
        )));
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::open(parent, flags, Mode::empty())
        .map_err(io::Error::from)
        .attempt(|| format!("open directory {}", parent.display()))?;
    let short = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name);
    Ok((directory, short))
}

fn gone_or(errno: Errno, what: &str) -> Error {
    let error = Error::io(what, io::Error::from(errno));
    match errno {
        Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN => error.with_kind(Kind::Unavailable),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_longer_than_an_address_works() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("d".repeat(120));
        std::fs::create_dir(&deep).unwrap();
        let path = deep.join("s");
        assert!(connect(&path).unwrap().is_none());
        let listener = listen(&path).unwrap();
        let client = connect(&path).unwrap().unwrap();
        let server = accept(&listener).unwrap().unwrap();
        assert!(accept(&listener).unwrap().is_none());
        send_all(&client, b"hi").unwrap();
        let mut buffer = [0; 8];
        assert_eq!(receive_now(&server, &mut buffer).unwrap(), Some(2));
        assert_eq!(receive_now(&server, &mut buffer).unwrap(), None);
        drop(client);
        assert_eq!(receive_now(&server, &mut buffer).unwrap(), Some(0));
        drop(listener);
        assert!(connect(&path).unwrap().is_none());
    }

    #[test]
    fn what_was_sent_outlives_the_sender() {
        let (a, b) = pair().unwrap();
        let bytes = vec![7; 3 << 20];
        grow_send_buffer(&a, bytes.len()).unwrap();
        assert_eq!(send_now(&a, &bytes).unwrap(), bytes.len());
        drop(a);
        let mut total = 0;
        let mut buffer = vec![0; 1 << 16];
        loop {
            match receive(&b, &mut buffer).unwrap() {
                0 => break,
                count => total += count,
            }
        }
        assert_eq!(total, bytes.len());
    }
}
