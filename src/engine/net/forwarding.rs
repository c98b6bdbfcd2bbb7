//! The host forwards for its containers. A host that did not before is to be no router for its neighbours: what was switched on
//! is noted in the run root, and the firewall drops what is forwarded between devices that are none of ours.

use std::path::{Path, PathBuf};

use super::device;
use crate::engine::error::{Attempt, Error, Kind, Result};
use crate::engine::model::network::{Driver, Network};
use crate::engine::sys::file::{self, Durability};
use crate::engine::sys::link::Links;
use crate::engine::sys::rooted::Rooted;

/// Where the kernel lists devices that have version 4 of IP: those of the caller's namespace.
const DEVICES: &str = "/proc/sys/net/ipv4/conf";

/// What this host did not forward before: `networks/forwarding.json` in the run root.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Closed {
    /// Schema version, 1.
    pub version: u32,
    /// Packets of version 4.
    pub ipv4: bool,
    /// Packets of version 6.
    pub ipv6: bool,
    /// Bridges that were there, and are not ours: nothing was forwarded from or to them either.
    pub bridges: Vec<String>,
}

fn path(run: &Path) -> PathBuf {
    run.join("networks").join("forwarding.json")
}

/// What was not forwarded before; nothing if nobody has noted anything.
///
/// # Errors
/// What the file system says; [`Kind::Internal`] if it does not parse.
pub fn closed(run: &Path) -> Result<Closed> {
    let path = path(run);
    let Some(content) = file::read_optional(&path)? else {
        return Ok(Closed::default());
    };
    serde_json::from_slice(&content).map_err(|error| {
        Error::new(Kind::Internal, format!("read {}", path.display())).caused_by(error)
    })
}

/// Which versions of IP have to be forwarded for these networks, and are not.
///
/// # Errors
/// What the file system says.
pub fn lacking<'a>(networks: impl IntoIterator<Item = &'a Network>) -> Result<Closed> {
    let proc = Rooted::open(Path::new("/proc"))?;
    let mut lacking = Closed::default();
    for network in networks {
        if network.driver != Driver::Bridge || network.internal {
            continue;
        }
        lacking.ipv4 |= network.ipv4 && !is_on(&proc, "ipv4/ip_forward");
        lacking.ipv6 |= network.ipv6 && !is_on(&proc, "ipv6/conf/all/forwarding");
    }
    Ok(lacking)
}

/// Notes what is about to be switched on, with the bridges that there are; the caller holds the firewall's lock.
///
/// # Errors
/// What the file system or the kernel says.
pub fn note(run: &Path, lacking: &Closed) -> Result<()> {
    let mut all = closed(run)?;
    all.version = 1;
    all.ipv4 |= lacking.ipv4;
    all.ipv6 |= lacking.ipv6;
    let links = Links::here()?;
    for name in file::list_dir(Path::new(DEVICES))? {
        let seen = links.look(&name)?;
        let others = seen.filter(|seen| {
            seen.kind == "bridge" && seen.alias.split(' ').next() != Some(device::ALIAS)
        });
        if others.is_some() && !all.bridges.contains(&name) {
            all.bridges.push(name);
        }
    }
    let text = serde_json::to_vec(&all)
        .map_err(|error| Error::new(Kind::Internal, "encode forwarding.json").caused_by(error))?;
    file::create_private_dir(&run.join("networks"))?;
    file::write_atomic(&path(run), &text, Durability::Unsynced)
}

/// Switches on what is lacking.
///
/// # Errors
/// What the kernel says.
pub fn switch_on(lacking: &Closed) -> Result<()> {
    let what = || "let the host forward for containers".to_owned();
    let proc = Rooted::open(Path::new("/proc"))?;
    if lacking.ipv4 {
        device::set(&proc, "ipv4/ip_forward", "1").attempt(what)?;
    }
    if !lacking.ipv6 {
        return Ok(());
    }
    // A host that forwards takes no more advertisements of routers, and would lose its own routes: 2 keeps them
    // (Documentation/networking/ip-sysctl.rst, accept_ra).
    for device in file::list_dir(Path::new("/proc/sys/net/ipv6/conf"))? {
        let path = format!("ipv6/conf/{device}/accept_ra");
        if device != "all" && is_on(&proc, &path) {
            device::set(&proc, &path, "2").attempt(what)?;
        }
    }
    device::set(&proc, "ipv6/conf/all/forwarding", "1").attempt(what)
}

fn is_on(proc: &Rooted, path: &str) -> bool {
    let value = proc.read(&Path::new("sys/net").join(path), 16);
    value.is_ok_and(|value| value.is_some_and(|value| value.trim_ascii() == b"1"))
}
