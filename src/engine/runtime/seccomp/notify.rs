//! Tells the one whom a filter asks where to listen: the filter's descriptor and the container's state, over a socket that
//! the specification names (runtime-spec, config-linux.md, "The Container Process State").
//!
//! The first process of a container sends no descriptor itself, since its filter may forbid that or ask about it: it
//! says the descriptor's number with write(2), the one call that no rule can ask about, and its parent fetches it.

use std::os::fd::BorrowedFd;

use oci_spec::runtime::{ContainerProcessState, SECCOMP_FD_NAME, State};

use super::Listener;
use crate::engine::error::{Error, Kind, Result};
use crate::engine::sys::socket;

/// Connects, sends one message and closes. `pid` is the process with the filter, in our namespace; `filter` its descriptor.
/// Blocks until the other side has taken the message in.
///
/// # Errors
/// Unavailable if nobody listens; else what sendmsg(2) says. The message begins with the field.
pub fn announce(listener: &Listener, state: State, pid: i32, filter: BorrowedFd<'_>) -> Result<()> {
    let field = || format!("seccomp.listenerPath {}", listener.path.display());
    let mut message = ContainerProcessState::default();
    message.set_version(state.version().clone());
    message.set_fds(vec![SECCOMP_FD_NAME.to_owned()]);
    message.set_pid(pid);
    message.set_metadata(Some(listener.metadata.clone()).filter(|text| !text.is_empty()));
    message.set_state(state);
    let message = serde_json::to_vec(&message).map_err(|e| {
        Error::new(Kind::Internal, "write the container process state").caused_by(e)
    })?;
    let stream = socket::connect(&listener.path)
        .map_err(|e| e.attempting(field()))?
        .ok_or_else(|| Error::new(Kind::Unavailable, format!("{}: nobody listens", field())))?;
    socket::send_all_with(&stream, &message, filter).map_err(|e| e.attempting(field()))
}
