//! Where the child waits for its parent, and for `start`.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use super::Init;
use super::message::{FILTER, GO_ON, MOUNTED, PREPARED};
use crate::engine::error::{Error, Kind, Result};
use crate::engine::runtime::mounts::Made;
use crate::engine::sys::{process, socket};

/// Lets the parent run hooks that need the namespaces and the host's root.
pub(super) fn await_hooks(init: &mut Init<'_>) -> Result<()> {
    if init.terms.stops_when_mounted {
        init.ask(MOUNTED)
    } else {
        Ok(())
    }
}

/// Lets the parent write down what it must know, and go away; then waits at the gate, if there is one. What is reported
/// from then on goes to whoever opened it.
pub(super) fn await_start(init: &mut Init<'_>) -> Result<()> {
    if !init.terms.outlives_parent {
        return Ok(());
    }
    // Before the parent is told: it may end as soon as it has answered. If it ends without an answer, the socket says so.
    process::outlive_parent()?;
    // Nothing is made any more: who looks at a process that waits finds no descriptors of places in it.
    init.state.made = Made::default();
    init.ask(PREPARED)?;
    if let Some(gate) = init.terms.gate {
        // The first process of a pid namespace has no default actions (pid_namespaces(7)): without this nothing but
        // SIGKILL would end a container that waits.
        process::end_when_asked();
        init.socket = socket::accept_messages(&gate)?;
    }
    Ok(())
}

/// Tells the parent the number of a filter's descriptor, and waits until it has fetched it. The filter is in force: of
/// write(2) it never asks, and whoever answers the rest is told by the parent, before or while this waits.
pub(super) fn hand_over(init: &Init<'_>, listener: &OwnedFd) -> Result<()> {
    let mut message = vec![FILTER];
    message.extend(listener.as_raw_fd().to_ne_bytes());
    process::write(init.socket.as_fd(), &message)?;
    let mut byte = [0];
    if process::read(init.socket.as_fd(), &mut byte)? == 1 && byte == [GO_ON] {
        Ok(())
    } else {
        Err(Error::new(Kind::Cancelled, "the parent gave up"))
    }
}
