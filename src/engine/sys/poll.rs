//! Waiting: one epoll(7) instance for a single-threaded process, and poll(2) for one descriptor.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use super::own;
use crate::engine::error::{Attempt, Result};

/// What to wait for on one descriptor. Its closing by the other side is reported in any case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Interest {
    /// There is something to read.
    pub read: bool,
    /// There is room to write.
    pub write: bool,
}

/// What happened on one descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ready {
    /// The number given when it was added.
    pub token: u64,
    /// Reading will not block (data, end or error).
    pub read: bool,
    /// Writing will not block (room or error).
    pub write: bool,
    /// The other side is closed for good.
    pub closed: bool,
}

/// A set of descriptors.
#[derive(Debug)]
pub struct Poller {
    epoll: OwnedFd,
}

impl Poller {
    /// An empty set.
    ///
    /// # Errors
    /// What epoll_create1(2) says.
    pub fn new() -> Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)
            .map_err(io::Error::from)
            .attempt(|| "create epoll")?;
        Ok(Self { epoll })
    }

    /// Adds a descriptor. Closing its last copy takes it out.
    ///
    /// # Errors
    /// What epoll_ctl(2) says; a regular file cannot be waited for.
    pub fn add(&self, fd: &impl AsFd, token: u64, interest: Interest) -> Result<()> {
        epoll::add(&self.epoll, fd, EventData::new_u64(token), flags(interest))
            .map_err(io::Error::from)
            .attempt(|| "add to epoll")
    }

    /// Changes what is waited for.
    ///
    /// # Errors
    /// What epoll_ctl(2) says.
    pub fn change(&self, fd: &impl AsFd, token: u64, interest: Interest) -> Result<()> {
        epoll::modify(&self.epoll, fd, EventData::new_u64(token), flags(interest))
            .map_err(io::Error::from)
            .attempt(|| "change in epoll")
    }

    /// Takes a descriptor out.
    ///
    /// # Errors
    /// What epoll_ctl(2) says.
    pub fn remove(&self, fd: &impl AsFd) -> Result<()> {
        epoll::delete(&self.epoll, fd)
            .map_err(io::Error::from)
            .attempt(|| "remove from epoll")
    }

    /// Waits until something happens or `patience` is over (`None`: for ever); then the list is empty, as it may be
    /// after a signal.
    ///
    /// # Errors
    /// What epoll_wait(2) says.
    pub fn wait(&self, patience: Option<Duration>) -> Result<Vec<Ready>> {
        self.wait_after(|| {}, patience)
    }

    /// As [`Self::wait`], for a long sleep: nothing of the program but this function stays in memory meanwhile.
    ///
    /// # Errors
    /// As [`Self::wait`].
    #[inline(never)]
    pub fn wait_at_rest(&self, patience: Option<Duration>) -> Result<Vec<Ready>> {
        self.wait_after(own::forget_code, patience)
    }

    #[inline]
    fn wait_after(&self, before: impl FnOnce(), patience: Option<Duration>) -> Result<Vec<Ready>> {
        let mut events: Vec<epoll::Event> = Vec::with_capacity(16);
        let timeout = patience.map(timespec);
        let buffer = rustix::buffer::spare_capacity(&mut events);
        before();
        match epoll::wait(&self.epoll, buffer, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(io::Error::from(errno)).attempt(|| "wait for epoll"),
        }
        Ok(events.iter().map(ready).collect())
    }
}

/// Waits until `fd` is readable (or closed), at most `patience`; `false` if it is not, as it may be after a signal.
///
/// # Errors
/// What poll(2) says.
pub fn wait_readable(fd: &impl AsFd, patience: Option<Duration>) -> Result<bool> {
    wait_for(fd, PollFlags::IN, patience)
}

/// The same for room to write.
///
/// # Errors
/// What poll(2) says.
pub fn wait_writable(fd: &impl AsFd, patience: Option<Duration>) -> Result<bool> {
    wait_for(fd, PollFlags::OUT, patience)
}

fn wait_for(fd: &impl AsFd, what: PollFlags, patience: Option<Duration>) -> Result<bool> {
    let mut fds = [PollFd::new(fd, what)];
    let timeout = patience.map(timespec);
    match rustix::event::poll(&mut fds, timeout.as_ref()) {
        Ok(count) => Ok(count > 0),
        Err(Errno::INTR) => Ok(false),
        Err(errno) => Err(io::Error::from(errno)).attempt(|| "wait for a descriptor"),
    }
}

fn flags(interest: Interest) -> EventFlags {
    let mut flags = EventFlags::empty();
    if interest.read {
        flags |= EventFlags::IN | EventFlags::RDHUP;
    }
    if interest.write {
        flags |= EventFlags::OUT;
    }
    flags
}

fn ready(event: &epoll::Event) -> Ready {
    let happened = event.flags;
    let closed = happened.intersects(EventFlags::HUP | EventFlags::ERR);
    Ready {
        token: event.data.u64(),
        read: closed || happened.intersects(EventFlags::IN | EventFlags::RDHUP),
        write: closed || happened.contains(EventFlags::OUT),
        closed,
    }
}

/// Rounded up to a millisecond: a wait must not come back just before its time.
fn timespec(patience: Duration) -> Timespec {
    let millis = patience.as_nanos().div_ceil(1_000_000);
    let millis = i64::try_from(millis).unwrap_or(i64::MAX).min(86_400_000);
    Timespec {
        tv_sec: millis / 1000,
        tv_nsec: (millis % 1000) * 1_000_000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_with_data_or_with_patience() {
        let (reader, writer) = io::pipe().unwrap();
        let poller = Poller::new().unwrap();
        let read = Interest {
            read: true,
            write: false,
        };
        poller.add(&reader, 7, read).unwrap();
        let short = Some(Duration::from_micros(10));
        assert_eq!(poller.wait(short).unwrap(), []);
        assert!(!wait_readable(&reader, short).unwrap());
        rustix::io::write(&writer, b"x").unwrap();
        assert_eq!(
            poller.wait(None).unwrap(),
            [Ready {
                token: 7,
                read: true,
                write: false,
                closed: false
            }]
        );
        drop(writer);
        assert!(poller.wait(None).unwrap()[0].closed);
        poller.remove(&reader).unwrap();
        assert_eq!(poller.wait(short).unwrap(), []);
    }
}
