//! One container on its networks, as its monitor holds it: made at each start, changed while it runs, undone at each end.
//! The order is told in `attach.rs`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::BorrowedFd;
use std::time::Instant;

use super::attach::{self, About, Member};
use super::device::{self, DefaultRoutes};
use super::dns::{self, Server};
use super::endpoints::Shelf;
use super::firewall::Firewall;
use super::hold::{self, Held, Target};
use super::relay::Relay;
use super::wire;
use crate::engine::error::{Error, Kind, Result};
use crate::engine::model::network::{Attachment, Driver, Endpoint, Network, PortBinding};
use crate::engine::sys::link::Links;
use crate::engine::sys::poll::{Poller, Ready};

/// Loopback's number in every network namespace (`LOOPBACK_IFINDEX`, net/net_namespace.h).
const LOOPBACK: u32 = 1;

/// Where the ports of a network are published if nobody says where.
const HOST_BINDING: &str = "com.docker.network.bridge.host_binding_ipv4";

/// A container's networks.
#[derive(Debug)]
pub struct Connection {
    /// First of the poller's tokens that are ours.
    base: u64,
    /// In the order of the interfaces.
    joined: Vec<(Network, Attachment)>,
    endpoints: Vec<Endpoint>,
    names: Option<Server>,
    ports: Option<Relay>,
    /// Kept open, because closing it may wait for the kernel.
    firewall: Option<Firewall>,
    /// Of runs before: their ports pass nothing on any more, and are still to be removed.
    silenced: Vec<Endpoint>,
}

/// Which of a container's networks have its default routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Routes {
    ipv4: Option<usize>,
    ipv6: Option<usize>,
}

impl Routes {
    fn at(self, at: usize) -> DefaultRoutes {
        DefaultRoutes {
            ipv4: self.ipv4 == Some(at),
            ipv6: self.ipv6 == Some(at),
        }
    }
}

impl Connection {
    /// On no network. All tokens from `base` on are its own in the owner's poller.
    #[must_use]
    pub fn new(base: u64) -> Self {
        Self {
            base,
            joined: Vec::new(),
            endpoints: Vec::new(),
            names: None,
            ports: None,
            firewall: None,
            silenced: Vec::new(),
        }
    }

    /// Puts the container on all its networks: which they are.
    ///
    /// # Errors
    /// What keeps it from one of them; nothing is left then.
    pub fn attach(
        &mut self,
        about: &About<'_>,
        namespace: BorrowedFd<'_>,
        poller: &Poller,
    ) -> Result<Vec<Member>> {
        self.try_attach(about, namespace, poller)
            .inspect_err(|_| drop(self.detach(about)))?;
        Ok(self.members())
    }

    fn try_attach(
        &mut self,
        about: &About<'_>,
        namespace: BorrowedFd<'_>,
        poller: &Poller,
    ) -> Result<()> {
        let all = attach::records(&about.networking.records)?;
        let mut wanted = Vec::new();
        for attachment in &about.networking.attachments {
            let network = attach::find(&all, &attachment.network)?;
            attach::check(network, attachment)?;
            wanted.push((network.clone(), attachment.clone()));
        }
        let published = default_of(&wanted, |_| true);
        let through = published.and_then(|at| wanted.get(at));
        self.hold(about, &all, through.map(|(network, _)| network))?;
        for (at, (network, attachment)) in wanted.into_iter().enumerate() {
            self.enter(about, network, attachment, Some(at) == published)?;
        }
        attach::remember(about.live, &self.endpoints)?;
        let routes = self.routes();
        for (at, (joined, endpoint)) in self.joined.iter().zip(&self.endpoints).enumerate() {
            let (network, attachment) = joined;
            wire::plug((network, attachment), endpoint, routes.at(at), namespace)?;
        }
        self.protect(about, &all)?;
        self.tell(about, &all, namespace, poller)
    }

    /// Takes addresses, and with them everything that others may know.
    fn enter(
        &mut self,
        about: &About<'_>,
        network: Network,
        attachment: Attachment,
        publishes: bool,
    ) -> Result<()> {
        let taken: Vec<&str> = self
            .endpoints
            .iter()
            .map(|e| e.interface.as_str())
            .collect();
        let interface = attach::interface_name(&network, &attachment, &taken);
        if taken.contains(&interface.as_str()) {
            return Err(Error::conflict(format!(
                "join network {}: the container has an interface {interface} already",
                network.name
            )));
        }
        let ports = self.ports.as_ref().filter(|_| publishes);
        let endpoint = attach::enter(about, &network, &attachment, &interface, |endpoint| {
            endpoint.publications =
                ports.map_or_else(Vec::new, |ports| ports.publications(target(endpoint)));
        })?;
        self.endpoints.push(endpoint);
        self.joined.push((network, attachment));
        Ok(())
    }

    /// Holds the host's ports, before anything is made.
    fn hold(
        &mut self,
        about: &About<'_>,
        all: &[Network],
        through: Option<&Network>,
    ) -> Result<()> {
        let wanted = &about.networking.ports;
        // Others have addresses of the physical network, where all their ports are reached.
        let Some(network) = through.filter(|network| network.driver == Driver::Bridge) else {
            return Ok(());
        };
        if wanted.is_empty() {
            return Ok(());
        }
        let usual = network.options.get(HOST_BINDING);
        let usual = usual.and_then(|text| text.parse::<IpAddr>().ok());
        let usual = usual.filter(|address| !address.is_unspecified());
        let (bindings, direct) = translated(wanted, usual, network);
        let shelf = Shelf {
            run: &about.networking.run,
        };
        let whose = |protocol, place: SocketAddr| {
            let books = all
                .iter()
                .filter_map(|network| shelf.read(&network.id).ok());
            let mut endpoints = books.flat_map(|book| book.endpoints);
            let holder = endpoints.find(|endpoint| {
                endpoint.publications.iter().any(|publication| {
                    publication.port.protocol == protocol && publication.host == place.port()
                })
            })?;
            Some(holder.container_name)
        };
        let mut held = hold::hold(&bindings, &whose)?;
        held.extend(direct);
        self.ports = Some(Relay::new(held, self.base + dns::TOKENS));
        Ok(())
    }

    /// Files and names.
    fn tell(
        &mut self,
        about: &About<'_>,
        all: &[Network],
        namespace: BorrowedFd<'_>,
        poller: &Poller,
    ) -> Result<()> {
        attach::write_files(about, all, &self.joined, &self.endpoints)?;
        if let Some(ports) = &mut self.ports {
            let published = self.endpoints.iter().find(|e| !e.publications.is_empty());
            match published {
                Some(endpoint) => ports.lead(poller, target(endpoint))?,
                None => ports.stop(poller),
            }
        }
        if !attach::has_resolver(&self.joined) {
            self.names = None;
            return Ok(());
        }
        let config = attach::resolver(about, &self.joined);
        if let Some(names) = &mut self.names {
            names.configure(config);
        } else {
            // The address is one of loopback's, which the container's process takes up only later.
            Links::of(namespace)?.set_up(LOOPBACK, true)?;
            let names = Server::open(namespace, self.base, config)?;
            names.register(poller)?;
            self.names = Some(names);
        }
        Ok(())
    }

    /// One network more while the container runs.
    ///
    /// # Errors
    /// What keeps it from there; everything else is as it was.
    pub fn connect(
        &mut self,
        about: &About<'_>,
        namespace: BorrowedFd<'_>,
        attachment: &Attachment,
        poller: &Poller,
    ) -> Result<Member> {
        let all = attach::records(&about.networking.records)?;
        let network = attach::find(&all, &attachment.network)?.clone();
        attach::check(&network, attachment)?;
        if self.joined.iter().any(|(known, _)| known.id == network.id) {
            return Err(Error::new(
                Kind::Denied,
                format!(
                    "endpoint with name {} already exists in network {}",
                    about.name, network.name
                ),
            ));
        }
        let member = Member::of(&network);
        let before = self.routes();
        self.enter(about, network, attachment.clone(), false)?;
        let at = self.joined.len() - 1;
        let done = self.plug_one(about, namespace, at).and_then(|()| {
            self.protect(about, &all)?;
            self.route(about, namespace, Some(before))?;
            self.tell(about, &all, namespace, poller)
        });
        if let Err(error) = done {
            let name = attachment.network.clone();
            let _ = self.leave(about, namespace, at);
            let _ = self.route(about, namespace, None);
            let _ = self.tell(about, &all, namespace, poller);
            return Err(error.attempting(format!("connect to network {name}")));
        }
        Ok(member)
    }

    fn plug_one(&self, about: &About<'_>, namespace: BorrowedFd<'_>, at: usize) -> Result<()> {
        attach::remember(about.live, &self.endpoints)?;
        match (self.joined.get(at), self.endpoints.get(at)) {
            (Some((network, attachment)), Some(endpoint)) => {
                let none = DefaultRoutes::default();
                wire::plug((network, attachment), endpoint, none, namespace)
            }
            _ => Ok(()),
        }
    }

    /// One network less.
    ///
    /// # Errors
    /// If the container is not on that network.
    pub fn disconnect(
        &mut self,
        about: &About<'_>,
        namespace: BorrowedFd<'_>,
        network: &str,
        poller: &Poller,
    ) -> Result<Member> {
        let is_meant = |(known, _): &(Network, Attachment)| {
            known.name == network || known.id.as_str() == network
        };
        let at = self.joined.iter().position(is_meant).ok_or_else(|| {
            Error::new(
                Kind::Denied,
                format!(
                    "container {} is not connected to network {network}",
                    about.id
                ),
            )
        })?;
        let member = self.members().swap_remove(at);
        let all = attach::records(&about.networking.records)?;
        self.leave(about, namespace, at)?;
        self.route(about, namespace, None)?;
        self.tell(about, &all, namespace, poller)?;
        Ok(member)
    }

    /// Takes one endpoint away, as far as that goes.
    fn leave(&mut self, about: &About<'_>, namespace: BorrowedFd<'_>, at: usize) -> Result<()> {
        let (network, _) = self.joined.remove(at);
        let endpoint = self.endpoints.remove(at);
        wire::withdraw(firewall(&mut self.firewall, about), &network, &endpoint)?;
        let unplugged = device::unplug(&endpoint, Some(namespace));
        let shelf = Shelf {
            run: &about.networking.run,
        };
        shelf.leave(&network.id, about.id)?;
        attach::remember(about.live, &self.endpoints)?;
        unplugged
    }

    /// Moves the default routes to the networks that have them now.
    fn route(
        &mut self,
        about: &About<'_>,
        namespace: BorrowedFd<'_>,
        before: Option<Routes>,
    ) -> Result<()> {
        let routes = self.routes();
        if before == Some(routes) {
            return Ok(());
        }
        for (at, ((network, _), endpoint)) in self.joined.iter().zip(&self.endpoints).enumerate() {
            let default = routes.at(at);
            if default != DefaultRoutes::default() {
                device::set_default_route(network, endpoint, default, namespace)?;
            }
        }
        self.publish(about)?;
        attach::remember(about.live, &self.endpoints)
    }

    /// What is published goes through the network that has the default route now.
    fn publish(&mut self, about: &About<'_>) -> Result<()> {
        let Some(ports) = &self.ports else {
            return Ok(());
        };
        let firewall = firewall(&mut self.firewall, about);
        let through = default_of(&self.joined, |_| true);
        let shelf = Shelf {
            run: &about.networking.run,
        };
        for (at, ((network, _), endpoint)) in
            self.joined.iter().zip(&mut self.endpoints).enumerate()
        {
            let is_it = Some(at) == through && network.driver == Driver::Bridge;
            let wanted = if is_it {
                ports.publications(target(endpoint))
            } else {
                Vec::new()
            };
            if wanted == endpoint.publications {
                continue;
            }
            wire::withdraw(firewall, network, endpoint)?;
            endpoint.publications = wanted;
            shelf.change(&network.id, Some(about.id), |book| {
                let own = book.endpoints.iter_mut().find(|e| e.id == endpoint.id);
                if let Some(own) = own {
                    own.publications.clone_from(&endpoint.publications);
                }
                Ok(())
            })?;
            wire::publish(firewall, network, endpoint)?;
        }
        Ok(())
    }

    fn protect(&mut self, about: &About<'_>, all: &[Network]) -> Result<()> {
        let firewall = firewall(&mut self.firewall, about);
        let own: Vec<&Network> = self.joined.iter().map(|(network, _)| network).collect();
        wire::protect(firewall, &about.networking.run, all, &own, Some(about.id))?;
        for (network, endpoint) in own.into_iter().zip(&self.endpoints) {
            wire::publish(firewall, network, endpoint)?;
        }
        Ok(())
    }

    fn routes(&self) -> Routes {
        let chosen = |has: &dyn Fn(&Endpoint) -> bool| {
            let fits = |at: usize| self.endpoints.get(at).is_some_and(has);
            default_of(&self.joined, fits)
        };
        Routes {
            ipv4: chosen(&|endpoint| endpoint.ipv4.is_some()),
            ipv6: chosen(&|endpoint| endpoint.ipv6.is_some()),
        }
    }

    /// Takes the container off everything, from what the live directory says; what it left, and what went wrong. Nobody reaches it
    /// any more; what takes the kernel a while is left to [`Self::clear`].
    pub fn detach(&mut self, about: &About<'_>) -> (Vec<Member>, Vec<Error>) {
        self.names = None;
        self.ports = None;
        let mut errors = Vec::new();
        let mut endpoints = std::mem::take(&mut self.endpoints);
        self.joined.clear();
        match attach::connected(about.live) {
            Ok(found) => {
                for endpoint in found.endpoints {
                    if !endpoints.iter().any(|known| known.id == endpoint.id) {
                        endpoints.push(endpoint);
                    }
                }
            }
            Err(error) => errors.push(error),
        }
        if endpoints.is_empty() {
            return (Vec::new(), errors);
        }
        let all = attach::records(&about.networking.records).unwrap_or_default();
        let shelf = Shelf {
            run: &about.networking.run,
        };
        let firewall = firewall(&mut self.firewall, about);
        let mut left = Vec::new();
        for endpoint in endpoints {
            if let Some(network) = all.iter().find(|network| network.id == endpoint.network) {
                errors.extend(wire::withdraw(firewall, network, &endpoint).err());
                left.push(Member::of(network));
            }
            let silenced = device::silence(&endpoint);
            errors.extend(shelf.leave(&endpoint.network, about.id).err());
            match silenced {
                Ok(()) => self.silenced.push(endpoint),
                Err(_) => errors.extend(device::unplug(&endpoint, None).err()),
            }
        }
        if errors.is_empty() {
            errors.extend(attach::forget_live(about.live).err());
        }
        (left, errors)
    }

    /// Gives memory back before a long sleep. It may wait for the kernel for some milliseconds, as [`Self::clear`] does.
    pub fn rest(&mut self) {
        self.firewall = None;
        if let Some(names) = &mut self.names {
            names.rest();
        }
        if let Some(ports) = &mut self.ports {
            ports.rest();
        }
    }

    /// Removes what [`Self::detach`] has left, when nobody waits: the kernel takes devices out of use on all processors first,
    /// which are some grace periods of RCU. Most of it goes with the container's namespace anyway. What went wrong.
    pub fn clear(&mut self) -> Vec<Error> {
        self.firewall = None;
        let silenced = std::mem::take(&mut self.silenced);
        silenced
            .iter()
            .filter_map(|endpoint| device::unplug(endpoint, None).err())
            .collect()
    }

    fn members(&self) -> Vec<Member> {
        self.joined
            .iter()
            .map(|(network, _)| Member::of(network))
            .collect()
    }

    /// Something happened on one of its descriptors.
    pub fn handle(&mut self, ready: Ready, poller: &Poller) {
        let now = Instant::now();
        if ready.token >= self.base + dns::TOKENS {
            if let Some(ports) = &mut self.ports {
                ports.handle(poller, ready, now);
            }
        } else if let Some(names) = &mut self.names {
            names.handle(poller, ready, now);
        }
    }

    /// When [`Self::tick`] wants to be called.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let names = self.names.as_ref().and_then(Server::deadline);
        let ports = self.ports.as_ref().and_then(Relay::deadline);
        names.into_iter().chain(ports).min()
    }

    /// It is time.
    pub fn tick(&mut self, now: Instant, poller: &Poller) {
        if let Some(names) = &mut self.names {
            names.tick(poller, now);
        }
        if let Some(ports) = &mut self.ports {
            ports.tick(poller, now);
        }
    }
}

fn firewall<'a>(kept: &'a mut Option<Firewall>, about: &About<'_>) -> &'a Firewall {
    kept.get_or_insert_with(|| Firewall::of(&about.networking.run))
}

fn default_of(joined: &[(Network, Attachment)], fits: impl Fn(usize) -> bool) -> Option<usize> {
    let ranked: Vec<(Network, i64)> = joined
        .iter()
        .map(|(network, attachment)| (network.clone(), attachment.gw_priority))
        .collect();
    attach::default_of(&ranked, fits)
}

/// What has ports of the host, and what is reached by the container's own address instead (gateway mode `routed`).
fn translated(
    wanted: &[PortBinding],
    usual: Option<IpAddr>,
    network: &Network,
) -> (Vec<PortBinding>, Vec<Held>) {
    let any = [
        IpAddr::from(Ipv4Addr::UNSPECIFIED),
        IpAddr::from(Ipv6Addr::UNSPECIFIED),
    ];
    let routed = any.map(|address| network.is_routed(address.is_ipv6()));
    let (mut bindings, mut direct) = (Vec::new(), Vec::new());
    for binding in wanted {
        let address = binding.address.or(usual);
        let at = |address| PortBinding {
            address,
            ..*binding
        };
        if routed == [false, false] {
            bindings.push(at(address));
            continue;
        }
        let families = any.into_iter().zip(routed);
        for (any, is_routed) in families {
            if address.is_some_and(|address| address.is_ipv6() != any.is_ipv6()) {
                continue;
            }
            let has = if any.is_ipv6() {
                network.ipv6
            } else {
                network.ipv4
            };
            if !is_routed {
                bindings.push(at(address.or(Some(any))));
            } else if has {
                direct.push(hold::direct(binding.port, any.is_ipv6()));
            }
        }
    }
    (bindings, direct)
}

/// Where an endpoint is reached.
fn target(endpoint: &Endpoint) -> Target {
    Target {
        v4: endpoint.ipv4.map(|net| net.addr()),
        v6: endpoint.ipv6.map(|net| net.addr()),
    }
}
