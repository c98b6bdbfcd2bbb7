//! Pipes and terminals of which this process must not be blocked: reading and writing what goes at once.

use std::io;
use std::os::fd::AsFd;

use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::termios::Winsize;

use crate::engine::error::{Attempt, Result};
use crate::engine::model::request::TerminalSize;

/// What a read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Got {
    /// So many bytes, at least one.
    Bytes(usize),
    /// Nothing is there now.
    Nothing,
    /// Nothing will come any more.
    End,
}

/// What a write did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// So many bytes went (0: it is full).
    Bytes(usize),
    /// Nobody will ever read them.
    Closed,
}

/// Reads and writes on this descriptor (and its duplicates) no longer block.
///
/// # Errors
/// What fcntl(2) says.
pub fn set_nonblocking(fd: &impl AsFd) -> Result<()> {
    let what = || "make a stream non-blocking";
    let flags = rustix::fs::fcntl_getfl(fd)
        .map_err(io::Error::from)
        .attempt(what)?;
    rustix::fs::fcntl_setfl(fd, flags | OFlags::NONBLOCK)
        .map_err(io::Error::from)
        .attempt(what)
}

/// Reads into the free capacity of `buffer`, which must have some. Memory that is not read into is not touched.
///
/// # Errors
/// What read(2) says. A terminal whose last process is gone (`EIO`) is at its end.
pub fn read_now(fd: &impl AsFd, buffer: &mut Vec<u8>) -> Result<Got> {
    loop {
        return match rustix::io::read(fd, rustix::buffer::spare_capacity(buffer)) {
            Ok(0) | Err(Errno::IO) => Ok(Got::End),
            Ok(count) => Ok(Got::Bytes(count)),
            Err(Errno::INTR) => continue,
            Err(Errno::AGAIN) => Ok(Got::Nothing),
            Err(errno) => Err(io::Error::from(errno)).attempt(|| "read a stream"),
        };
    }
}

/// Writes what goes.
///
/// # Errors
/// What write(2) says. SIGPIPE must be ignored or blocked.
pub fn write_now(fd: &impl AsFd, bytes: &[u8]) -> Result<Put> {
    loop {
        return match rustix::io::write(fd, bytes) {
            Ok(count) => Ok(Put::Bytes(count)),
            Err(Errno::INTR) => continue,
            Err(Errno::AGAIN) => Ok(Put::Bytes(0)),
            Err(Errno::PIPE | Errno::IO) => Ok(Put::Closed),
            Err(errno) => Err(io::Error::from(errno)).attempt(|| "write a stream"),
        };
    }
}

/// How many bytes a pipe holds.
///
/// # Errors
/// What ioctl(2) `FIONREAD` says.
pub fn waiting(fd: &impl AsFd) -> Result<u64> {
    rustix::io::ioctl_fionread(fd)
        .map_err(io::Error::from)
        .attempt(|| "ask how much a pipe holds")
}

/// Tells a terminal its size; its foreground processes get SIGWINCH.
///
/// # Errors
/// What ioctl(2) `TIOCSWINSZ` says.
pub fn set_size(terminal: &impl AsFd, size: TerminalSize) -> Result<()> {
    let size = Winsize {
        ws_row: size.rows,
        ws_col: size.cols,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    rustix::termios::tcsetwinsize(terminal, size)
        .map_err(io::Error::from)
        .attempt(|| "set the terminal's size")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_blocks() {
        let (reader, writer) = io::pipe().unwrap();
        set_nonblocking(&reader).unwrap();
        set_nonblocking(&writer).unwrap();
        let mut buffer = Vec::with_capacity(16);
        assert_eq!(read_now(&reader, &mut buffer).unwrap(), Got::Nothing);
        assert_eq!(write_now(&writer, b"abc").unwrap(), Put::Bytes(3));
        assert_eq!(waiting(&reader).unwrap(), 3);
        assert_eq!(read_now(&reader, &mut buffer).unwrap(), Got::Bytes(3));
        assert_eq!(buffer, b"abc");
        while write_now(&writer, &[0; 4096]).unwrap() != Put::Bytes(0) {}
        drop(reader);
        assert_eq!(write_now(&writer, b"abc").unwrap(), Put::Closed);
    }
}
