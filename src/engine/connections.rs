//! What a container's processes are connected to: the kernel's tables of its network namespace.

use std::path::PathBuf;

use super::error::{Error, Result};
use super::model::ContainerId;
use super::model::reach::Connection;
use super::net::sockets;
use super::{Engine, containers};

/// All sockets of TCP and UDP of a container that runs; those of the whole host if it has the host's network.
pub(super) fn list(engine: &Engine, id: &ContainerId) -> Result<Vec<Connection>> {
    let summary = containers::get(engine, id)?;
    let Some(pid) = summary.state.pid else {
        let name = &summary.container.name;
        return Err(Error::conflict(format!("container {name} is not running")));
    };
    let entries = sockets::read(&PathBuf::from(format!("/proc/{pid}/net")));
    let connection = |entry: &sockets::Entry| Connection {
        protocol: entry.protocol,
        local: entry.local,
        remote: Some(entry.remote).filter(|remote| remote.port() != 0),
        state: entry.state_name(),
    };
    Ok(entries.iter().map(connection).collect())
}
