//! What a container's connection makes and takes away in the kernel: devices on bridges and parents, rules.

use std::os::fd::BorrowedFd;
use std::path::Path;

use super::attach;
use super::device::{self, DefaultRoutes, Plug};
use super::endpoints::Shelf;
use super::firewall::{Bridged, Firewall};
use super::forwarding::{self, Closed};
use crate::engine::error::{Error, Result};
use crate::engine::model::ContainerId;
use crate::engine::model::network::{Attachment, Driver, Endpoint, Network};
use crate::engine::sys::file;

/// Makes an endpoint's devices, and what they stand on if it is not there.
pub(super) fn plug(
    (network, attachment): (&Network, &Attachment),
    endpoint: &Endpoint,
    default: DefaultRoutes,
    namespace: BorrowedFd<'_>,
) -> Result<()> {
    let below = match network.driver {
        Driver::Bridge => {
            let bridge = attach::bridge_of(network);
            device::ensure_bridge(network, &bridge)?;
            bridge
        }
        Driver::Macvlan | Driver::Ipvlan => device::ensure_parent(network)?,
        Driver::Host | Driver::Null => return Ok(()),
    };
    let plug = Plug {
        network,
        below: &below,
        endpoint,
        default,
        options: &attachment.options,
    };
    device::plug(&plug, namespace)
}

/// Makes what endpoints of a new network will stand on, with its rules, so that it is there before the first container. On
/// failure nothing is left of it.
pub(super) fn raise(run: &Path, all: &[Network], network: &Network) -> Result<()> {
    let raised = match network.driver {
        Driver::Bridge => device::ensure_bridge(network, &attach::bridge_of(network))
            .and_then(|_| protect(&Firewall::of(run), run, all, &[network], None)),
        Driver::Macvlan | Driver::Ipvlan => device::ensure_parent(network).map(drop),
        Driver::Host | Driver::Null => Ok(()),
    };
    if raised.is_err() {
        let _ = forget(run, network);
    }
    raised
}

/// The rules of all networks are there, and the host forwards for some of them: nobody is reached before the rules say so.
pub(super) fn protect(
    firewall: &Firewall,
    run: &Path,
    all: &[Network],
    own: &[&Network],
    whose: Option<&ContainerId>,
) -> Result<()> {
    let bridged = bridged(all);
    // Two that find the table missing would both make it.
    let _lock = file::lock(&run.join("locks").join("firewall"))?;
    let lacking = forwarding::lacking(own.iter().copied())?;
    let is_lacking = lacking != Closed::default();
    if is_lacking {
        forwarding::note(run, &lacking)?;
    }
    let closed = forwarding::closed(run)?;
    firewall
        .ensure_with(&pairs(&bridged), &closed, || {
            endpoints(run, &bridged, whose)
        })
        .map_err(advise)?;
    if is_lacking {
        forwarding::switch_on(&lacking)?;
    }
    Ok(())
}

/// An endpoint's own rules.
pub(super) fn publish(firewall: &Firewall, network: &Network, endpoint: &Endpoint) -> Result<()> {
    if network.driver == Driver::Bridge {
        firewall.publish(network, endpoint)?;
    }
    Ok(())
}

/// Takes an endpoint's own rules back.
pub(super) fn withdraw(firewall: &Firewall, network: &Network, endpoint: &Endpoint) -> Result<()> {
    if network.driver == Driver::Bridge {
        firewall.withdraw(network, endpoint)?;
    }
    Ok(())
}

/// Makes rules again where any is missing: which.
pub(super) fn repair(run: &Path, all: &[Network]) -> Result<Vec<String>> {
    let bridged = bridged(all);
    let _lock = file::lock(&run.join("locks").join("firewall"))?;
    let endpoints = endpoints(run, &bridged, None)?;
    let repaired =
        Firewall::of(run).repair_with(&pairs(&bridged), &forwarding::closed(run)?, &endpoints)?;
    Ok(repaired.missing)
}

fn bridged(all: &[Network]) -> Vec<(&Network, String)> {
    all.iter()
        .filter(|network| network.driver == Driver::Bridge && !network.config_only)
        .map(|network| (network, attach::bridge_of(network)))
        .collect()
}

fn pairs<'a>(bridged: &'a [(&'a Network, String)]) -> Vec<Bridged<'a>> {
    bridged
        .iter()
        .map(|(network, bridge)| (*network, bridge.as_str()))
        .collect()
}

/// All that are on them; one who is dead could have the port of one who lives. `own` asks, and is not asked.
fn endpoints(
    run: &Path,
    bridged: &[(&Network, String)],
    own: Option<&ContainerId>,
) -> Result<Vec<Endpoint>> {
    let shelf = Shelf { run };
    let mut all = Vec::new();
    for (network, _) in bridged {
        all.extend(shelf.living(&network.id, own)?.endpoints);
    }
    Ok(all)
}

/// A host that cannot have a firewall has no bridges either.
fn advise(error: Error) -> Error {
    error.with_hint("--network none and --network host need no firewall (nf_tables)")
}

/// Takes what a network's endpoints stood on away: the bridge also where its rules cannot be.
pub(super) fn forget(run: &Path, network: &Network) -> Result<()> {
    match network.driver {
        Driver::Bridge => {
            let bridge = attach::bridge_of(network);
            let rules = Firewall::of(run).remove_network(network, &bridge);
            device::remove_bridge(&bridge).and(rules)
        }
        Driver::Macvlan | Driver::Ipvlan => device::remove_parent(network),
        Driver::Host | Driver::Null => Ok(()),
    }
}
