//! What the workstation answers to "who can reach this?", held to what packets said: each try of the matrices that is about a
//! container is asked of the model, too.

use std::net::{IpAddr, SocketAddr};

use wharf::engine::Engine;
use wharf::engine::model::network::{Endpoint, Network, Protocol};
use wharf::engine::model::reach::{self, From, To, Way};
use wharf::engine::store::Roots;

use super::world::{HOST, Over, PORT, Try, World};
use crate::support::Host;

/// The host's device on the link to the outside.
const LINK: &str = "out0";

impl World {
    /// Compares with tries that packets have confirmed; how many of them are about containers.
    ///
    /// # Panics
    /// With every try of which the model says otherwise.
    pub fn agrees(&self, tries: &[Try]) -> usize {
        let networks: Vec<Network> = self.networks.iter().map(|(n, _)| n.clone()).collect();
        agree(tries, &networks, &self.endpoints)
    }
}

/// The same for containers that the command line made.
pub fn agrees(host: &Host, tries: &[Try]) -> usize {
    let engine = Engine::open(Roots {
        data: host.data(),
        run: host.run(),
    });
    let engine = engine.unwrap();
    let networks = engine.networks().unwrap();
    let endpoints: Vec<Endpoint> = networks
        .iter()
        .flat_map(|network| engine.network_members(network).unwrap())
        .collect();
    agree(tries, &networks, &endpoints)
}

fn agree(tries: &[Try], networks: &[Network], endpoints: &[Endpoint]) -> usize {
    let told: Vec<(&Try, bool)> = tries
        .iter()
        .filter_map(|one| Some((one, told(one, networks, endpoints)?)))
        .collect();
    let wrong: Vec<&str> = told
        .iter()
        .filter(|(one, told)| one.expect != *told)
        .map(|(one, _)| one.what.as_str())
        .collect();
    assert!(
        wrong.is_empty(),
        "of {} tries the model says otherwise of {}:\n{}",
        told.len(),
        wrong.len(),
        wrong.join("\n")
    );
    told.len()
}

/// Whether the model has a way for a try; `None` if it is none of its business: what the host or the outside listens on itself,
/// and what a container does with itself.
fn told(one: &Try, networks: &[Network], endpoints: &[Endpoint]) -> Option<bool> {
    let at = one.to.ip();
    let to = endpoints.iter().find(|e| e.addresses().any(|a| a == at));
    let is_hosts = is_of_host(at, networks);
    if to.is_some_and(|e| e.container_name == one.from)
        || (to.is_none() && (!is_hosts || one.to.port() == PORT))
    {
        return None;
    }
    let publishes_itself = |e: &Endpoint| {
        let own = e.publications.iter().any(|p| p.host == one.to.port());
        e.container_name == one.from && own
    };
    if to.is_none() && endpoints.iter().any(publishes_itself) {
        return None;
    }
    let mut ways = endpoints
        .iter()
        .flat_map(|e| reach::who_reaches(&e.container, networks, endpoints));
    Some(ways.any(|way| has(&way, one, endpoints) && leads(&way.to, one, networks)))
}

fn is_of_host(address: IpAddr, networks: &[Network]) -> bool {
    let mut gateways = networks.iter().flat_map(|network| &network.pools);
    address.is_loopback()
        || HOST.iter().any(|own| own.parse() == Ok(address))
        || gateways.any(|pool| pool.gateway == Some(address))
}

/// Whether who tries has the way.
fn has(way: &Way, one: &Try, endpoints: &[Endpoint]) -> bool {
    let is_container = endpoints.iter().any(|e| e.container_name == one.from);
    match &way.from {
        From::Host => one.from == "host",
        From::Outside => one.from != "host" && !is_container,
        From::Beside(devices) => one.from == "outside" && devices.iter().any(|d| d == LINK),
        From::Containers(names) => names.contains(&one.from),
    }
}

fn leads(to: &To, one: &Try, networks: &[Network]) -> bool {
    let over = match one.over {
        Over::Tcp => Protocol::Tcp,
        Over::Udp => Protocol::Udp,
    };
    let at = one.to.ip();
    match to {
        To::All(address) => *address == at,
        To::Own(address, port) => {
            SocketAddr::new(*address, port.number) == one.to && port.protocol == over
        }
        To::Published(published) => {
            // Everybody has a loopback of his own.
            let any = published.address.is_unspecified()
                && published.address.is_ipv4() == at.is_ipv4()
                && is_of_host(at, networks)
                && (one.from == "host" || !at.is_loopback());
            (any || published.address == at)
                && published.host == one.to.port()
                && published.port.protocol == over
        }
        To::Shared => false,
    }
}
