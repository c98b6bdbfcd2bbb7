//! One connected front, as its supervisor sees it: what it asked for, what is still to be sent to it. Never blocks.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use crate::engine::error::{Error, Result};
use crate::engine::model::request::AttachTo;
use crate::engine::runtime::channel::{Decoder, Exit, Frame, FrameKind, HEADER, Report};
use crate::engine::runtime::channel::{encode_report, header};
use crate::engine::sys::poll::{Interest, Poller};
use crate::engine::sys::socket;
use crate::engine::sys::stream::Got;

/// With so much unsent output of one front, no more is read from the container. The kernel holds about 200 KiB more.
pub(super) const HIGH: usize = 64 * 1024;

/// How long a front that joined later may hold the container's output up before it is dropped. The front that started
/// the container may for ever, like the reader of a pipe.
const STALL: Duration = Duration::from_secs(10);

/// How much is received at once.
const RECEIVE: usize = 16 * 1024;

/// A descriptor's place in the poller. One that waits for nothing is taken out: its hang-up would be reported again
/// and again.
#[derive(Debug, Default)]
pub(super) struct Registration {
    current: Option<Interest>,
}

impl Registration {
    /// Waits for `wanted` from now on.
    pub(super) fn set(
        &mut self,
        poller: &Poller,
        fd: &OwnedFd,
        token: u64,
        wanted: Interest,
    ) -> Result<()> {
        let wanted = (wanted != Interest::default()).then_some(wanted);
        match (self.current, wanted) {
            (old, new) if old == new => return Ok(()),
            (None, Some(interest)) => poller.add(fd, token, interest)?,
            (Some(_), Some(interest)) => poller.change(fd, token, interest)?,
            (Some(_) | None, None) => poller.remove(fd)?,
        }
        self.current = wanted;
        Ok(())
    }

    /// Waits for nothing any more.
    pub(super) fn clear(&mut self, poller: &Poller, fd: &OwnedFd) -> Result<()> {
        self.set(poller, fd, 0, Interest::default())
    }
}

/// A connected front.
#[derive(Debug)]
pub(super) struct Client {
    stream: OwnedFd,
    decoder: Decoder,
    /// Not yet sent: `out[sent..]`.
    out: Vec<u8>,
    sent: usize,
    /// Streams it wants, once it is attached.
    pub(super) attached: Option<AttachTo>,
    /// It waits for the container's end.
    pub(super) waits: bool,
    /// It started the container.
    pub(super) first: bool,
    /// It has not taken anything since, with a full buffer.
    stalled: Option<Instant>,
    registration: Registration,
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Client {
    /// A front at the other end of `stream`, which may block or not.
    pub(super) fn new(stream: OwnedFd) -> Self {
        Self {
            stream,
            decoder: Decoder::default(),
            out: Vec::new(),
            sent: 0,
            attached: None,
            waits: false,
            first: false,
            stalled: None,
            registration: Registration::default(),
        }
    }

    /// Receives what is there.
    ///
    /// # Errors
    /// What recv(2) says.
    pub(super) fn receive(&mut self) -> Result<Got> {
        let mut buffer = vec![0; RECEIVE];
        Ok(match socket::receive_now(&self.stream, &mut buffer)? {
            None => Got::Nothing,
            Some(0) => Got::End,
            Some(count) => {
                self.decoder.push(buffer.get(..count).unwrap_or_default());
                Got::Bytes(count)
            }
        })
    }

    /// The next frame it sent.
    ///
    /// # Errors
    /// Malformed bytes: it must be dropped.
    pub(super) fn frame(&mut self) -> Result<Option<Frame>> {
        self.decoder
            .next()
            .map_err(|error| Error::invalid("malformed message").caused_by(error))
    }

    /// Sends output: `framed` has [`HEADER`] bytes of room before it.
    ///
    /// # Errors
    /// It is gone.
    pub(super) fn output(&mut self, kind: FrameKind, framed: &mut [u8]) -> Result<()> {
        let length = framed.len().saturating_sub(HEADER);
        if let Some(room) = framed.first_chunk_mut::<HEADER>() {
            *room = header(kind, length);
        }
        self.send(framed)
    }

    /// Sends a report.
    ///
    /// # Errors
    /// It is gone.
    pub(super) fn report(&mut self, report: &Report) -> Result<()> {
        let mut bytes = Vec::new();
        encode_report(&mut bytes, report);
        self.send(&bytes)
    }

    /// Sends the end.
    ///
    /// # Errors
    /// It is gone.
    pub(super) fn exit(&mut self, exit: Exit) -> Result<()> {
        self.report(&Report::Exit(exit))
    }

    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let mut rest = bytes;
        if self.backlog() == 0 {
            let sent = socket::send_now(&self.stream, bytes)?;
            rest = bytes.get(sent..).unwrap_or_default();
        }
        self.out.extend_from_slice(rest);
        if self.backlog() >= HIGH && self.stalled.is_none() {
            self.stalled = Some(Instant::now());
        }
        Ok(())
    }

    /// Sends what is waiting, as far as it goes.
    ///
    /// # Errors
    /// It is gone.
    pub(super) fn flush(&mut self) -> Result<()> {
        let rest = self.out.get(self.sent..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(());
        }
        let sent = socket::send_now(&self.stream, rest)?;
        self.sent += sent;
        if sent > 0 {
            self.stalled = (self.backlog() >= HIGH).then(Instant::now);
        }
        if self.sent == self.out.len() {
            self.out = Vec::new();
            self.sent = 0;
        }
        Ok(())
    }

    /// Bytes waiting to be sent.
    pub(super) fn backlog(&self) -> usize {
        self.out.len() - self.sent
    }

    /// When it is to be dropped unless it takes something before.
    pub(super) fn drop_at(&self) -> Option<Instant> {
        if self.first {
            return None;
        }
        self.stalled.map(|since| since + STALL)
    }

    /// Gives what is waiting to the kernel, which delivers it even when this process is gone; `false` if some is left.
    pub(super) fn hand_over(&mut self) -> bool {
        if self.backlog() > 0 {
            let _ = socket::grow_send_buffer(&self.stream, self.backlog());
            if self.flush().is_err() {
                return true;
            }
        }
        self.backlog() == 0
    }

    /// Waits for what it needs: reading if `read`, writing if there is a backlog.
    ///
    /// # Errors
    /// What epoll_ctl(2) says.
    pub(super) fn register(&mut self, poller: &Poller, token: u64, read: bool) -> Result<()> {
        let wanted = Interest {
            read,
            write: self.backlog() > 0,
        };
        self.registration.set(poller, &self.stream, token, wanted)
    }
}
