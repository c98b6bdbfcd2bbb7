//! What a monitor asks of whoever connects its container with networks. The runtime knows no networks; the façade hands
//! somebody in who does.

use std::fmt::Debug;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::Instant;

use super::Plan;
use crate::engine::error::{Error, Result};
use crate::engine::model::network::Attachment;
use crate::engine::sys::poll::{Poller, Ready};

/// Tokens of the poller from here on are the networks'.
pub const TOKENS: u64 = 1 << 40;

/// Connects one container.
pub trait Networks: Debug {
    /// Before the command runs, while its process mounts: everything that the plan says, in this network namespace. After
    /// an error [`Self::detach`] is called.
    ///
    /// # Errors
    /// What ends the start.
    fn attach(
        &mut self,
        plan: &Plan,
        live: &Path,
        namespace: BorrowedFd<'_>,
        poller: &Poller,
    ) -> Result<()>;

    /// Something happened on a descriptor that it has registered, with a token of at least [`TOKENS`].
    fn handle(&mut self, plan: &Plan, ready: Ready, poller: &Poller);

    /// When [`Self::tick`] wants to be called.
    fn deadline(&self) -> Option<Instant>;

    /// It is time.
    fn tick(&mut self, now: Instant, poller: &Poller);

    /// One network more while the container runs.
    ///
    /// # Errors
    /// What keeps it from that network; everything else is as it was.
    fn connect(
        &mut self,
        plan: &Plan,
        live: &Path,
        namespace: BorrowedFd<'_>,
        attachment: &Attachment,
        poller: &Poller,
    ) -> Result<()>;

    /// One network less, by name or id.
    ///
    /// # Errors
    /// If it is not on that network.
    fn disconnect(
        &mut self,
        plan: &Plan,
        live: &Path,
        namespace: BorrowedFd<'_>,
        network: &str,
        poller: &Poller,
    ) -> Result<()>;

    /// Takes the container off all its networks, after each run and after a monitor that died: what is to be undone is
    /// known from the live directory. Idempotent; everything that went wrong.
    fn detach(&mut self, plan: &Plan, live: &Path) -> Vec<Error>;

    /// Gives memory back before a long sleep.
    fn rest(&mut self);

    /// Does what [`Self::detach`] has left for when nobody waits for it; everything that went wrong.
    fn clear(&mut self) -> Vec<Error>;
}

/// For containers without networks: tests of the runtime alone.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoNetworks;

impl Networks for NoNetworks {
    fn attach(
        &mut self,
        plan: &Plan,
        _live: &Path,
        _namespace: BorrowedFd<'_>,
        _poller: &Poller,
    ) -> Result<()> {
        if plan.networking.is_none() {
            return Ok(());
        }
        Err(unable())
    }

    fn handle(&mut self, _plan: &Plan, _ready: Ready, _poller: &Poller) {}

    fn deadline(&self) -> Option<Instant> {
        None
    }

    fn tick(&mut self, _now: Instant, _poller: &Poller) {}

    fn connect(
        &mut self,
        _plan: &Plan,
        _live: &Path,
        _namespace: BorrowedFd<'_>,
        _attachment: &Attachment,
        _poller: &Poller,
    ) -> Result<()> {
        Err(unable())
    }

    fn disconnect(
        &mut self,
        _plan: &Plan,
        _live: &Path,
        _namespace: BorrowedFd<'_>,
        _network: &str,
        _poller: &Poller,
    ) -> Result<()> {
        Err(unable())
    }

    fn detach(&mut self, _plan: &Plan, _live: &Path) -> Vec<Error> {
        Vec::new()
    }

    fn rest(&mut self) {}

    fn clear(&mut self) -> Vec<Error> {
        Vec::new()
    }
}

fn unable() -> Error {
    Error::unsupported("there is nobody here to connect networks")
}
