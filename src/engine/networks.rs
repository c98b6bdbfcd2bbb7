//! Networks as records: made, found, listed, removed. What runs on them is their containers' monitors' work
//! (`net::attach`).
//!
//! `bridge`, `host` and `none` are always there: whoever looks first makes them. Who makes or removes a network holds the
//! lock `networks`, so that names and subnets are nobody else's.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use ipnet::IpNet;

use super::error::{Attempt, Error, Kind, Result};
use super::model::network::{
    self, Attachment, Driver, Endpoint, Network, Networking, Pool, PortBinding,
};
use super::model::{Container, ContainerId, Event, NetworkMode, Timestamp, event, request};
use super::net::endpoints::Shelf;
use super::net::{attach, pool};
use super::runtime::control::Control;
use super::store::{self, Roots};
use super::sys::file::{self, Durability};
use super::sys::host;
use super::{Engine, alter, containers, network_rules, records};

/// The networks that are always there, with Docker's drivers.
const PREDEFINED: [(&str, Driver); 3] = [
    ("bridge", Driver::Bridge),
    ("host", Driver::Host),
    ("none", Driver::Null),
];

/// Options of the default network, as Docker shows them.
const DEFAULT_OPTIONS: [(&str, &str); 5] = [
    ("com.docker.network.bridge.default_bridge", "true"),
    ("com.docker.network.bridge.enable_icc", "true"),
    ("com.docker.network.bridge.enable_ip_masquerade", "true"),
    ("com.docker.network.bridge.host_binding_ipv4", "0.0.0.0"),
    ("com.docker.network.driver.mtu", "1500"),
];

/// All networks, by name.
pub(super) fn list(engine: &Engine) -> Result<Vec<Network>> {
    let roots = engine.roots();
    let mut all = read_all(roots)?;
    if !has_predefined(&all) {
        let _lock = lock(roots)?;
        all = read_all(roots)?;
        for (name, driver) in PREDEFINED {
            if !all.iter().any(|network| network.name == name) {
                all.push(predefine(roots, &all, name, driver)?);
            }
        }
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

fn has_predefined(all: &[Network]) -> bool {
    let is_there = |name: &str| all.iter().any(|network| network.name == name);
    PREDEFINED.iter().all(|(name, _)| is_there(name))
}

/// The record of one that is always there; the caller holds the lock.
fn predefine(roots: &Roots, others: &[Network], name: &str, driver: Driver) -> Result<Network> {
    let mut network = Network {
        version: network::RECORD_VERSION,
        id: containers::new_id(),
        name: name.to_owned(),
        created: Timestamp::now(),
        driver,
        pools: Vec::new(),
        ipv4: true,
        ipv6: false,
        internal: false,
        attachable: false,
        config_only: false,
        config_from: String::new(),
        options: BTreeMap::new(),
        ipam_options: BTreeMap::new(),
        labels: BTreeMap::new(),
    };
    if driver == Driver::Bridge {
        network.options = DEFAULT_OPTIONS
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        let own = attach::default_bridge(&roots.run, &network.id);
        network.options.insert(network::BRIDGE_NAME.to_owned(), own);
        network.pools = choose_pools(&network, &taken(others)?)?;
    }
    save(roots, &network)?;
    Ok(network)
}

/// One network by its name, its id or a prefix of that which fits no other.
pub(super) fn find(engine: &Engine, text: &str) -> Result<Network> {
    pick(list(engine)?, text)
}

fn pick(all: Vec<Network>, text: &str) -> Result<Network> {
    let exact = |network: &&Network| network.name == text || network.id.as_str() == text;
    if let Some(network) = all.iter().find(exact) {
        return Ok(network.clone());
    }
    let mut fits = all
        .into_iter()
        .filter(|network| !text.is_empty() && network.id.as_str().starts_with(text));
    match (fits.next(), fits.next()) {
        (Some(network), None) => Ok(network),
        (Some(_), Some(_)) => Err(Error::invalid(format!(
            "network {text} is ambiguous (2 matches found based on ID prefix)"
        ))),
        (None, _) => Err(no_such(text)),
    }
}

/// "Not found" in Docker's words.
fn no_such(text: &str) -> Error {
    Error::not_found(format!("network {text} not found"))
}

/// Makes a network.
pub(super) fn create(engine: &Engine, request: &request::CreateNetwork) -> Result<Network> {
    let roots = engine.roots();
    let driver = network_rules::check(request)?;
    list(engine)?;
    let _lock = lock(roots)?;
    let others = read_all(roots)?;
    if others.iter().any(|network| network.name == request.name) {
        return Err(Error::new(
            Kind::AlreadyExists,
            format!("network with name {} already exists", request.name),
        ));
    }
    let mut network = Network {
        version: network::RECORD_VERSION,
        id: containers::new_id(),
        name: request.name.clone(),
        created: Timestamp::now(),
        driver,
        pools: request.pools.clone(),
        ipv4: request.ipv4.unwrap_or(true),
        ipv6: request.ipv6.unwrap_or(false),
        internal: request.internal,
        attachable: request.attachable,
        config_only: request.config_only,
        config_from: request.config_from.clone(),
        options: request.options.clone(),
        ipam_options: request.ipam_options.clone(),
        labels: request.labels.clone(),
    };
    if !request.config_from.is_empty() {
        fill_from(&mut network, &others, &request.config_from)?;
    }
    if !network.config_only {
        check_bridge_name(&network, &others)?;
        network.pools = choose_pools(&network, &taken(&others)?)?;
    }
    let what = || format!("create network {}", network.name);
    save(roots, &network).attempt(what)?;
    if !network.config_only {
        let all: Vec<Network> = others.into_iter().chain([network.clone()]).collect();
        attach::raise(&roots.run, &all, &network)
            .inspect_err(|_| drop(file::remove_file(&roots.network(&network.id))))
            .attempt(what)?;
    }
    note(engine, &network, "create", &[]);
    Ok(network)
}

fn check_bridge_name(network: &Network, others: &[Network]) -> Result<()> {
    let own = network.options.get(network::BRIDGE_NAME);
    let Some(own) = own.filter(|_| network.driver == Driver::Bridge) else {
        return Ok(());
    };
    let has_it = |other: &&Network| other.options.get(network::BRIDGE_NAME) == Some(own);
    match others.iter().find(has_it) {
        None => Ok(()),
        Some(other) => Err(Error::conflict(format!(
            "bridge name {own} is in use by network {}",
            other.name
        ))),
    }
}

fn fill_from(network: &mut Network, others: &[Network], template: &str) -> Result<()> {
    let found = others
        .iter()
        .find(|other| other.name == template || other.id.as_str() == template)
        .ok_or_else(|| {
            Error::not_found(format!("could not find configuration network {template:?}"))
        })?;
    if !found.config_only {
        return Err(Error::invalid(format!(
            "network {template:?} is not a configuration network"
        )));
    }
    network.pools.clone_from(&found.pools);
    network.options.clone_from(&found.options);
    network.ipam_options.clone_from(&found.ipam_options);
    network.ipv4 = found.ipv4;
    network.ipv6 = found.ipv6;
    let labels = found.labels.clone().into_iter();
    network.labels = labels.chain(network.labels.clone()).collect();
    found.name.clone_into(&mut network.config_from);
    Ok(())
}

/// The pools that are asked for, checked, and one for each family that has none; gateways where they are missing.
fn choose_pools(network: &Network, taken: &[IpNet]) -> Result<Vec<Pool>> {
    let mut pools: Vec<Pool> = Vec::new();
    for pool in &network.pools {
        pool::check(pool).map_err(|why| {
            Error::invalid(format!("invalid network config:\n{why}").replace('\n', " "))
        })?;
        let others = network.pools.iter().filter(|other| *other != pool);
        let twice = others.map(|other| other.subnet).collect::<Vec<_>>();
        let shares_link = network.driver != Driver::Bridge;
        let clash = |other: &IpNet| pool::overlap(other, &pool.subnet);
        if twice.iter().any(clash) || (!shares_link && taken.iter().any(clash)) {
            return Err(Error::new(
                Kind::Denied,
                format!("invalid pool request: {}", pool::Refused::Overlap),
            ));
        }
        pools.push(pool.clone());
    }
    let has = |pools: &[Pool], six: bool| {
        let is_six = |pool: &Pool| matches!(pool.subnet, IpNet::V6(_));
        pools.iter().any(|pool| is_six(pool) == six)
    };
    let blank = |subnet| Pool {
        subnet,
        range: None,
        gateway: None,
        reserved: BTreeMap::new(),
    };
    if network.ipv4 && !has(&pools, false) {
        let free = pool::free_subnet(taken).ok_or_else(|| {
            Error::new(
                Kind::NoSpace,
                "all predefined address pools have been fully subnetted",
            )
            .with_hint("give one with --subnet")
        })?;
        pools.push(blank(IpNet::V4(free)));
    }
    if network.ipv6 && !has(&pools, true) {
        let free = pool::local_subnet(u64::from_le_bytes(host::random_bytes()));
        pools.push(blank(IpNet::V6(free)));
    }
    // In layer 3 there is no router to ask: the device itself is the way out.
    let needs_gateway = !(network.driver == Driver::Ipvlan
        && network
            .options
            .get("ipvlan_mode")
            .is_some_and(|mode| mode.starts_with("l3")));
    for pool in &mut pools {
        if pool.gateway.is_none() && needs_gateway {
            pool.gateway = pool::default_gateway(pool);
        }
    }
    Ok(pools)
}

/// Subnets that a new network must go around: other networks' and the host's routes.
fn taken(others: &[Network]) -> Result<Vec<IpNet>> {
    let mut all = attach::host_routes()?;
    for other in others.iter().filter(|other| !other.config_only) {
        all.extend(other.pools.iter().map(|pool| pool.subnet));
    }
    Ok(all)
}

/// Who is on a network now.
pub(super) fn endpoints(engine: &Engine, network: &Network) -> Result<Vec<Endpoint>> {
    let shelf = Shelf {
        run: &engine.roots().run,
    };
    Ok(shelf.living(&network.id, None)?.endpoints)
}

/// Removes a network that nobody is on.
pub(super) fn remove(engine: &Engine, text: &str) -> Result<Network> {
    let network = find(engine, text)?;
    if is_predefined(&network.name) {
        return Err(Error::new(
            Kind::Denied,
            format!(
                "{} is a pre-defined network and cannot be removed",
                network.name
            ),
        ));
    }
    let roots = engine.roots();
    let _lock = lock(roots)?;
    let user = read_all(roots)?
        .into_iter()
        .find(|other| other.config_from == network.name);
    if let Some(user) = user.filter(|_| network.config_only) {
        return Err(Error::conflict(format!(
            "configuration network {:?} is in use by network {}",
            network.name, user.name
        )));
    }
    let shelf = Shelf { run: &roots.run };
    // Under the book's lock: nobody comes in between.
    let path = roots.network(&network.id);
    shelf.change(&network.id, None, |book| {
        if book.endpoints.is_empty() {
            attach::forget(&roots.run, &network)?;
            return file::remove_file(&path);
        }
        let named: Vec<String> = book
            .endpoints
            .iter()
            .map(|e| format!("name:{:?} id:{:?}", e.container_name, e.id.short()))
            .collect();
        Err(Error::new(
            Kind::Denied,
            format!(
                "error while removing network: network {} has active endpoints ({})",
                network.name,
                named.join(", ")
            ),
        )
        .with_hint(format!(
            "stop them, or 'wharf network disconnect -f {}' each",
            network.name
        )))
    })?;
    shelf.remove(&network.id)?;
    note(engine, &network, "destroy", &[]);
    Ok(network)
}

/// Removes networks of users that nobody is on: their names.
pub(super) fn prune(engine: &Engine, request: &request::PruneNetworks) -> Result<Vec<String>> {
    let mut removed = Vec::new();
    for network in list(engine)? {
        let has = |wanted: &String| match wanted.split_once('=') {
            Some((key, value)) => network.labels.get(key).is_some_and(|own| own == value),
            None => network.labels.contains_key(wanted),
        };
        let fits = request.until.is_none_or(|until| network.created < until)
            && request.labels.iter().all(has)
            && !request.not_labels.iter().any(has);
        if is_predefined(&network.name) || !fits {
            continue;
        }
        match remove(engine, network.id.as_str()) {
            Ok(network) => removed.push(network.name),
            Err(error)
                if matches!(error.kind(), Kind::Denied | Kind::Conflict | Kind::NotFound) => {}
            Err(error) => return Err(error),
        }
    }
    super::prune::note(engine, event::Kind::Network, 0);
    Ok(removed)
}

/// Whether it is one of those that are always there.
#[must_use]
pub(super) fn is_predefined(name: &str) -> bool {
    PREDEFINED.iter().any(|(known, _)| *known == name)
}

fn lock(roots: &Roots) -> Result<file::Lock> {
    file::lock(&roots.lock("networks"))
}

/// All records, in no order; for monitors, too.
pub(super) fn read_all(roots: &Roots) -> Result<Vec<Network>> {
    attach::records(&roots.networks())
}

fn save(roots: &Roots, network: &Network) -> Result<()> {
    file::create_private_dir(&roots.networks())?;
    store::write_record(&roots.network(&network.id), network, Durability::Synced)
}

/// Writes an event of a network.
pub(super) fn note(engine: &Engine, network: &Network, action: &str, more: &[(&str, &str)]) {
    engine.append(&event_of(network, action, more));
}

/// An event of a network.
pub(super) fn event_of(network: &Network, action: &str, more: &[(&str, &str)]) -> Event {
    let own = [
        ("name", network.name.as_str()),
        ("type", network.driver.as_str()),
    ];
    Event {
        time: Timestamp::now(),
        kind: event::Kind::Network,
        action: action.to_owned(),
        id: network.id.to_string(),
        attributes: own
            .iter()
            .chain(more)
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect(),
    }
}

/// Names that a new container asks for become networks that there are, told by their names.
pub(super) fn resolve(engine: &Engine, request: &request::Create) -> Result<Vec<Attachment>> {
    let mut known: Vec<Attachment> = Vec::new();
    for asked in &request.networks {
        let network = find(engine, &asked.network)?;
        attach::check(&network, asked)?;
        if known.iter().any(|other| other.network == network.name) {
            return Err(Error::invalid(format!(
                "network {:?} is specified multiple times",
                network.name
            )));
        }
        known.push(attachment(engine, network.name, asked)?);
    }
    Ok(known)
}

/// What was asked for of a network, for the record. Links of the default network are to containers that are there, by their
/// ids: a name may change. Those of other networks are names, which may come later.
fn attachment(engine: &Engine, network: String, asked: &Attachment) -> Result<Attachment> {
    let mut links = asked.links.clone();
    if network == attach::DEFAULT {
        for link in &mut links {
            let (other, alias) = link.split_once(':').unwrap_or((link, link));
            let id = whose_network(engine, other)?;
            *link = format!("{id}:{alias}");
        }
    }
    Ok(Attachment {
        network,
        links,
        ..asked.clone()
    })
}

/// The container whose network another one is on: itself, or the one whose network it shares. Docker links to that.
fn whose_network(engine: &Engine, name: &str) -> Result<ContainerId> {
    let mut name = name.to_owned();
    loop {
        let found = engine
            .resolve(&name)
            .and_then(|id| records::expect(engine.roots(), &id))
            .attempt(|| format!("could not get container for {name}"))?;
        match &found.host.network {
            NetworkMode::Container(shared) => name.clone_from(shared),
            NetworkMode::Host => {
                return Err(Error::invalid(
                    "conflicting options: host type networking can't be used with links. This would result in undefined behavior",
                ));
            }
            NetworkMode::None | NetworkMode::Networks => return Ok(found.id.clone()),
        }
    }
}

/// Tells a container's networks its new name: what names lead to it, and what it is called there. Nothing if it does not run.
pub(super) fn rename(roots: &Roots, before: &Container, name: &str) -> Result<()> {
    let kept = before.host.networks.iter().flat_map(|one| &one.aliases);
    let kept: BTreeSet<String> = kept
        .chain([&before.config.hostname])
        .map(|name| name.to_ascii_lowercase())
        .collect();
    let old = before.name.to_ascii_lowercase();
    attach::change(
        &roots.run,
        &roots.live(&before.id),
        &before.id,
        |endpoint| {
            name.clone_into(&mut endpoint.container_name);
            // Members of the default network have no names.
            if !endpoint.names.is_empty() {
                if !kept.contains(&old) {
                    endpoint.names.remove(&old);
                }
                endpoint.names.insert(name.to_ascii_lowercase());
            }
        },
    )
}

/// What a container's monitor is told.
pub(super) fn plan(engine: &Engine, container: &Container) -> Result<Option<Networking>> {
    if container.host.network != NetworkMode::Networks {
        return Ok(None);
    }
    // The default one, too, is there when the monitor looks; one that went away is told of here.
    for asked in &container.host.networks {
        find(engine, &asked.network).attempt(|| "set up the container's networks")?;
    }
    let mut ports = container.host.ports.clone();
    if container.host.publish_all {
        let exposed = container.config.exposed_ports.iter();
        for port in exposed.flat_map(|text| network::exposed(text)) {
            if !ports.iter().any(|binding| binding.port == port) {
                ports.push(PortBinding {
                    port,
                    address: None,
                    host: None,
                });
            }
        }
    }
    let roots = engine.roots();
    Ok(Some(Networking {
        records: roots.networks(),
        run: roots.run.clone(),
        hostname: container.config.hostname.clone(),
        domainname: container.config.domainname.clone(),
        attachments: container.host.networks.clone(),
        ports,
        dns: container.host.dns.clone(),
        extra_hosts: container.host.extra_hosts.clone(),
    }))
}

/// What a container has got, while it runs.
pub(super) fn connected(roots: &Roots, id: &ContainerId) -> Vec<Endpoint> {
    // Written anew by each start: what cannot be read says nothing.
    attach::connected(&roots.live(id)).map_or_else(|_| Vec::new(), |found| found.endpoints)
}

/// Puts a container on a further network: at once if it runs, else with its next start.
pub(super) fn connect(engine: &Engine, id: &ContainerId, asked: &Attachment) -> Result<()> {
    let network = find(engine, &asked.network)?;
    let _lock = containers::lock(engine, id)?;
    let container = records::expect(engine.roots(), id)?;
    let name = &container.name;
    match &container.host.network {
        NetworkMode::Networks => {}
        NetworkMode::Host | NetworkMode::Container(_) => {
            return Err(Error::conflict(
                "container sharing network namespace with another container or host cannot be connected to any other network",
            ));
        }
        NetworkMode::None => {
            return Err(Error::conflict(
                "container cannot be connected to multiple networks with one of the networks in private (none) mode",
            ));
        }
    }
    attach::check(&network, asked)?;
    let asks_more = !asked.aliases.is_empty() || asked.ipv4.is_some() || asked.ipv6.is_some();
    if is_predefined(&network.name) && asks_more {
        return Err(Error::invalid(format!(
            "invalid config for network {}: aliases and addresses are supported on user defined networks only",
            network.name
        )));
    }
    let mut changed = Container::clone(&container);
    if changed
        .host
        .networks
        .iter()
        .any(|one| one.network == network.name)
    {
        return Err(Error::new(
            Kind::Denied,
            format!(
                "endpoint with name {name} already exists in network {}",
                network.name
            ),
        ));
    }
    let attachment = attachment(engine, network.name.clone(), asked)?;
    changed.host.networks.push(attachment.clone());
    if let Some(mut control) = Control::connect(&engine.roots().live(id))? {
        control.connect_network(&attachment)?;
    }
    alter::save(engine, &changed)
}

/// Takes a container off a network.
pub(super) fn disconnect(engine: &Engine, network: &str, name: &str, force: bool) -> Result<()> {
    let network = match find(engine, network) {
        // A stopped container may name one that was removed meanwhile.
        Err(error) if error.kind() == Kind::NotFound && force => {
            return forget(engine, network, name, error);
        }
        found => found?,
    };
    let id = match engine.resolve(name) {
        Ok(id) => id,
        // What a container that is gone has left.
        Err(error) if error.kind() == Kind::NotFound && force => {
            return expel(engine, &network, name);
        }
        Err(error) => return Err(error),
    };
    let _lock = containers::lock(engine, &id)?;
    let container = records::expect(engine.roots(), &id)?;
    let is_on = |one: &Attachment| one.network == network.name;
    if !container.host.networks.iter().any(is_on) {
        return Err(Error::new(
            Kind::Denied,
            format!(
                "container {id} is not connected to network {}",
                network.name
            ),
        ));
    }
    if let Some(mut control) = Control::connect(&engine.roots().live(&id))? {
        control.disconnect_network(&network.name)?;
    }
    let mut changed = Container::clone(&container);
    changed.host.networks.retain(|one| !is_on(one));
    alter::save(engine, &changed)
}

/// Takes the name of a network that is gone out of a container's record; `gone` is what is said if it is not there.
fn forget(engine: &Engine, network: &str, name: &str, gone: Error) -> Result<()> {
    let id = engine.resolve(name)?;
    let _lock = containers::lock(engine, &id)?;
    let mut changed = Container::clone(&*records::expect(engine.roots(), &id)?);
    let before = changed.host.networks.len();
    changed.host.networks.retain(|one| one.network != network);
    if changed.host.networks.len() == before {
        return Err(gone);
    }
    alter::save(engine, &changed)
}

fn expel(engine: &Engine, network: &Network, name: &str) -> Result<()> {
    let shelf = Shelf {
        run: &engine.roots().run,
    };
    shelf.change(&network.id, None, |book| {
        let before = book.endpoints.len();
        book.endpoints.retain(|endpoint| {
            endpoint.container_name != name && endpoint.container.as_str() != name
        });
        if book.endpoints.len() == before {
            return Err(records::no_such(name));
        }
        Ok(())
    })
}

/// Makes again what is missing of bridges and rules.
pub(super) fn repair(engine: &Engine) -> Result<Vec<String>> {
    let networks = list(engine)?;
    attach::repair(&engine.roots().run, &networks)
}
