//! Puts one container on its networks and takes it off again: addresses, devices, rules, ports, names, in an order that can
//! be undone.
//!
//! 1. ports of the host are held: one that is in use is known before anything is made;
//! 2. addresses are taken, network by network, with all that others may know of the endpoint, in one change of its book;
//! 3. `network.json` of the live directory says what is about to be made;
//! 4. devices and rules are made, files written, the name server opened.
//!
//! Whoever undoes it needs that file alone; a container that died before step 3 has made nothing but entries in books, which
//! are nobody's without its monitor.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;

use super::dns::{self, Upstream, Via};
use super::endpoints::{Shelf, Wanted, pool_of};
use super::files::{self, Names};
use super::names::Source;
use super::{device, pool, wire};
use crate::engine::error::{Attempt, Error, Kind, Result};
use crate::engine::model::network::{
    self, Attachment, Connected, Driver, Endpoint, Mac, Network, Networking,
};
use crate::engine::model::{ContainerId, Timestamp};
use crate::engine::sys::file::{self, Durability};
use crate::engine::sys::host;

/// The network whose members have no names, as Docker has it.
pub const DEFAULT: &str = "bridge";

/// The run root whose default bridge has a name of its own.
const DEFAULT_RUN: &str = "/run/wharf";

/// Names the interface of an endpoint.
const INTERFACE: &str = "com.docker.network.endpoint.ifname";

/// Sets parameters of it.
const SYSCTLS: &str = "com.docker.network.endpoint.sysctls";

/// Whose networks they are.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    /// The container.
    pub id: &'a ContainerId,
    /// Its name.
    pub name: &'a str,
    /// Its live directory.
    pub live: &'a Path,
    /// What it asks for.
    pub networking: &'a Networking,
}

/// A network that a container joined or left, for events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Which.
    pub network: ContainerId,
    /// Its name.
    pub name: String,
    /// Its driver.
    pub driver: Driver,
}

impl Member {
    /// The event's words of a network.
    #[must_use]
    pub fn of(network: &Network) -> Self {
        Self {
            network: network.id.clone(),
            name: network.name.clone(),
            driver: network.driver,
        }
    }
}

/// The name of a network's bridge: what its options say, else one made of the id.
#[must_use]
pub fn bridge_of(network: &Network) -> String {
    match network.options.get(network::BRIDGE_NAME) {
        Some(name) => name.clone(),
        None => made_up(&network.id),
    }
}

/// The name of the default network's bridge.
#[must_use]
pub fn default_bridge(run: &Path, id: &ContainerId) -> String {
    if run == Path::new(DEFAULT_RUN) {
        "wharf0".to_owned()
    } else {
        made_up(id)
    }
}

fn made_up(id: &ContainerId) -> String {
    format!("br-{}", id.short())
}

/// `network.json`.
fn connected_file(live: &Path) -> PathBuf {
    live.join("network.json")
}

/// What a container has got, as its live directory says; nothing if it does not run.
///
/// # Errors
/// What the file system says.
pub fn connected(live: &Path) -> Result<Connected> {
    let content = file::read_optional(&connected_file(live))?;
    Ok(content
        .and_then(|content| serde_json::from_slice(&content).ok())
        .unwrap_or_default())
}

/// Checks what a network's driver can do of what an endpoint asks for.
///
/// # Errors
/// [`Kind::InvalidInput`] in Docker's words.
pub fn check(network: &Network, attachment: &Attachment) -> Result<()> {
    match network.driver {
        Driver::Bridge | Driver::Macvlan | Driver::Ipvlan => {}
        Driver::Host | Driver::Null => {
            return Err(Error::conflict(format!(
                "container cannot be connected to network {}",
                network.name
            )));
        }
    }
    if network.config_only {
        return Err(Error::conflict(format!(
            "cannot connect to network {}: it is a configuration only network",
            network.name
        )));
    }
    for (key, value) in &attachment.options {
        if key == SYSCTLS {
            device::endpoint_sysctls(value, "eth0")?;
            continue;
        }
        if key != INTERFACE {
            return Err(Error::unsupported(format!(
                "driver option {key:?} of an endpoint is not supported"
            )));
        }
        let fits = |b: u8| b.is_ascii_graphic() && b != b'/' && b != b':' && b != b'%';
        if !(1..=15).contains(&value.len()) || !value.bytes().all(fits) || value == "lo" {
            return Err(Error::invalid(format!(
                "invalid interface name {value:?} for network {}",
                network.name
            )));
        }
    }
    if network.driver == Driver::Ipvlan && attachment.mac.is_some() {
        return Err(Error::invalid(format!(
            "network {}: ipvlan endpoints share the address of their parent",
            network.name
        )));
    }
    Ok(())
}

/// Finds a network by name, id, or prefix of the id, among records.
///
/// # Errors
/// [`Kind::NotFound`].
pub fn find<'a>(all: &'a [Network], text: &str) -> Result<&'a Network> {
    let named = |network: &&Network| network.name == text || network.id.as_str() == text;
    all.iter()
        .find(named)
        .or_else(|| {
            let fits = |network: &&Network| network.id.as_str().starts_with(text);
            all.iter().find(fits).filter(|_| text.len() >= 12)
        })
        .ok_or_else(|| Error::not_found(format!("network {text} not found")))
}

/// All records of networks in a directory.
///
/// # Errors
/// What the file system says; [`Kind::Internal`] for one that does not parse.
pub fn records(directory: &Path) -> Result<Vec<Network>> {
    let mut all = Vec::new();
    if !directory.exists() {
        return Ok(all);
    }
    for name in file::list_dir(directory)? {
        let id = name.strip_suffix(".json").map(str::to_owned);
        let Some(Ok(_)) = id.map(ContainerId::try_from) else {
            continue;
        };
        let path = directory.join(&name);
        if let Some(content) = file::read_optional(&path)? {
            let network = serde_json::from_slice(&content).map_err(|error| {
                Error::new(Kind::Internal, format!("read record {}", path.display()))
                    .caused_by(error)
                    .with_hint("the record is damaged; remove it or restore it from a backup")
            })?;
            all.push(network);
        }
    }
    Ok(all)
}

/// Which of several networks has the default route: not an internal one if there is another, the highest priority, the
/// first by name (moby `libnetwork`, `Endpoint.Less`).
#[must_use]
pub fn default_of(networks: &[(Network, i64)], fits: impl Fn(usize) -> bool) -> Option<usize> {
    let rank = |at: &usize| {
        let (network, priority) = networks.get(*at)?;
        Some((
            network.internal,
            std::cmp::Reverse(*priority),
            network.name.clone(),
        ))
    };
    let leads_out = |at: &usize| {
        networks.get(*at).is_some_and(|(network, _)| {
            let has_gateway = network.pools.iter().any(|pool| pool.gateway.is_some());
            !network.internal && (has_gateway || network.driver == Driver::Ipvlan)
        })
    };
    let candidates = (0..networks.len()).filter(|at| leads_out(at) && fits(*at));
    candidates.min_by_key(rank)
}

/// The name of a new interface: what is asked for, else the prefix and the first number that is free.
#[must_use]
pub fn interface_name(network: &Network, attachment: &Attachment, taken: &[&str]) -> String {
    if let Some(name) = attachment.options.get(INTERFACE) {
        return name.clone();
    }
    let prefix = network.options.get(network::INTERFACE_PREFIX);
    let prefix = prefix.map_or("eth", String::as_str);
    (0..=taken.len())
        .map(|number| format!("{prefix}{number}"))
        .find(|name| !taken.contains(&name.as_str()))
        .unwrap_or_default()
}

/// All names of a container in a network, lower case.
#[must_use]
pub fn names(about: &About<'_>, attachment: &Attachment, network: &Network) -> BTreeSet<String> {
    if network.name == DEFAULT {
        return BTreeSet::new();
    }
    let own = [
        about.name.to_owned(),
        about.id.short().to_owned(),
        about.networking.hostname.clone(),
    ];
    own.into_iter()
        .chain(attachment.aliases.iter().cloned())
        .map(|name| name.trim_end_matches('.').to_ascii_lowercase())
        .filter(|name| !name.is_empty())
        .collect()
}

/// Takes addresses for a container on a network and puts it into the network's book.
///
/// # Errors
/// As [`Shelf::join`].
pub fn enter(
    about: &About<'_>,
    network: &Network,
    attachment: &Attachment,
    interface: &str,
    finish: impl FnOnce(&mut Endpoint),
) -> Result<Endpoint> {
    let shelf = Shelf {
        run: &about.networking.run,
    };
    let wanted = Wanted {
        ipv4: attachment.ipv4,
        ipv6: attachment.ipv6,
    };
    shelf
        .join(network, about.id, wanted, |(ipv4, ipv6), others| {
            let gateways = if network.internal {
                Vec::new()
            } else {
                let of = |six| pool_of(network, six).and_then(|pool| pool.gateway);
                let v4 = of(false).filter(|_| ipv4.is_some());
                v4.into_iter()
                    .chain(of(true).filter(|_| ipv6.is_some()))
                    .collect()
            };
            let id = new_id();
            let mut endpoint = Endpoint {
                host_interface: match network.driver {
                    Driver::Bridge => format!("vh{}", id.short()),
                    Driver::Macvlan | Driver::Ipvlan | Driver::Host | Driver::Null => String::new(),
                },
                container: about.id.clone(),
                container_name: about.name.to_owned(),
                network: network.id.clone(),
                interface: interface.to_owned(),
                mac: attachment
                    .mac
                    .unwrap_or_else(|| make_mac(ipv4.map(|net| net.addr()))),
                ipv4,
                ipv6,
                gateways,
                link_local: attachment.link_local.clone(),
                host_name: about.networking.hostname.clone(),
                names: names(about, attachment, network),
                links: if network.name == DEFAULT {
                    attachment.links.clone()
                } else {
                    Vec::new()
                },
                publications: Vec::new(),
                since: Timestamp::now(),
                id,
            };
            finish(&mut endpoint);
            tell_linked(about, &endpoint, others);
            endpoint
        })
        .attempt(|| format!("join network {}", network.name))
}

fn new_id() -> ContainerId {
    loop {
        if let Some(id) = ContainerId::from_random(host::random_bytes()) {
            return id;
        }
    }
}

fn make_mac(ipv4: Option<std::net::Ipv4Addr>) -> Mac {
    pool::mac(ipv4, u64::from_le_bytes(host::random_bytes()))
}

/// What containers that this one is linked with are called in `/etc/hosts`, on the default network.
fn links(
    shelf: Shelf<'_>,
    about: &About<'_>,
    network: &Network,
    attachment: &Attachment,
) -> Result<Vec<(IpAddr, String)>> {
    let mut all = Vec::new();
    if attachment.links.is_empty() {
        return Ok(all);
    }
    let book = shelf.living(&network.id, Some(about.id))?;
    for link in &attachment.links {
        let (other, alias) = link.split_once(':').unwrap_or((link, link));
        let is_meant = |endpoint: &&Endpoint| is_linked(endpoint, other);
        let endpoint = book.endpoints.iter().find(is_meant).ok_or_else(|| {
            let short = other.get(..12).unwrap_or(other);
            Error::conflict(format!(
                "Cannot link to a non running container: /{short} AS /{}/{alias}",
                about.name
            ))
        })?;
        let mut names = alias.to_owned();
        for name in [&endpoint.host_name, &endpoint.container_name] {
            if !name.is_empty() && name != alias {
                names.extend([" ", name]);
            }
        }
        all.extend(endpoint.addresses().map(|address| (address, names.clone())));
    }
    Ok(all)
}

/// Whether a link's first part means a container.
fn is_linked(endpoint: &Endpoint, other: &str) -> bool {
    endpoint.container_name == other || endpoint.container.as_str().starts_with(other)
}

/// Writes a container's new addresses into `/etc/hosts` of those who run and are linked with it, where the old ones are. The lock
/// on the network's book is held: nobody else does so meanwhile. Who cannot be told has the old ones, and no start fails for
/// that.
fn tell_linked(about: &About<'_>, own: &Endpoint, others: &[Endpoint]) {
    let Some(all) = about.live.parent() else {
        return;
    };
    for other in others {
        let links = other.links.iter().filter_map(|link| link.split_once(':'));
        let names: Vec<&str> = links
            .filter(|(linked, _)| is_linked(own, linked))
            .map(|(_, name)| name)
            .collect();
        if names.is_empty() {
            continue;
        }
        let path = all.join(other.container.as_str()).join("hosts");
        let Ok(Some(text)) = file::read_optional(&path) else {
            continue;
        };
        let before = String::from_utf8_lossy(&text);
        let after = names
            .iter()
            .fold(before.clone().into_owned(), |text, name| {
                files::with_addresses(&text, name, own.addresses())
            });
        if after != before {
            let _ = file::write_public(&path, after.as_bytes());
        }
    }
}

/// Writes the container's `hosts` and `resolv.conf`, in place: they may be mounted already.
///
/// # Errors
/// What the file system says; a link to a container that is not there.
pub fn write_files(
    about: &About<'_>,
    all: &[Network],
    joined: &[(Network, Attachment)],
    endpoints: &[Endpoint],
) -> Result<()> {
    let networking = about.networking;
    let shelf = Shelf {
        run: &networking.run,
    };
    let mut linked = Vec::new();
    for (network, attachment) in joined {
        if network.name == DEFAULT {
            linked.extend(links(shelf, about, network, attachment)?);
        }
    }
    let gateways: Vec<IpAddr> = all
        .iter()
        .filter(|network| network.name == DEFAULT)
        .flat_map(|network| network.pools.iter().filter_map(|pool| pool.gateway))
        .collect();
    let names = Names {
        host: &networking.hostname,
        domain: &networking.domainname,
    };
    let hosts = files::hosts(
        names,
        &networking.extra_hosts,
        &gateways,
        &linked,
        endpoints,
    );
    file::write_public(&about.live.join("hosts"), hosts.as_bytes())?;
    let of_host = of_host();
    let resolv = if has_resolver(joined) {
        files::internal(&of_host, &networking.dns)
    } else {
        let six = endpoints.iter().any(|endpoint| endpoint.ipv6.is_some());
        files::legacy(&of_host, &networking.dns, six)
    };
    file::write_public(&about.live.join("resolv.conf"), resolv.as_bytes())
}

/// The host's resolv.conf; behind systemd's stub, what that one asks (moby `resolvconf.Path`).
#[must_use]
pub fn of_host() -> String {
    let read = |path: &str| {
        let content = file::read_optional(Path::new(path)).ok().flatten();
        content.map(|content| String::from_utf8_lossy(&content).into_owned())
    };
    let own = read("/etc/resolv.conf").unwrap_or_default();
    let servers = files::Resolv::parse(&own).servers;
    let is_stub = servers == [IpAddr::V4([127, 0, 0, 53].into())];
    match read("/run/systemd/resolve/resolv.conf").filter(|_| is_stub) {
        Some(behind) => behind,
        None => own,
    }
}

/// What the name server is to know: names of the networks in the order of their priority, and whom else to ask. Internal
/// networks lead nowhere: on those alone nobody is asked.
#[must_use]
pub fn resolver(about: &About<'_>, joined: &[(Network, Attachment)]) -> dns::Config {
    let shelf = Shelf {
        run: &about.networking.run,
    };
    let own = &about.networking.dns;
    let source = |(network, attachment): &(Network, Attachment)| Source {
        network: network.name.to_ascii_lowercase(),
        file: shelf.path(&network.id),
        links: attachment
            .links
            .iter()
            .filter_map(|link| link.split_once(':'))
            .map(|(name, alias)| (alias.to_ascii_lowercase(), name.to_ascii_lowercase()))
            .collect(),
    };
    let leads_out = joined.iter().any(|(network, _)| !network.internal);
    let upstream = |address: IpAddr| Upstream {
        address: (address, 53).into(),
        via: if address.is_loopback() && own.servers.is_empty() {
            Via::Host
        } else {
            Via::Container
        },
    };
    let servers = if leads_out {
        let servers = files::forwarders(&of_host(), own).into_iter();
        servers.take(3).map(upstream).collect()
    } else {
        Vec::new()
    };
    dns::Config {
        networks: joined
            .iter()
            .filter(|(network, _)| network.name != DEFAULT)
            .map(source)
            .collect(),
        servers,
        keeps_bare_names: own.options.iter().any(|o| o.starts_with("ndots:")),
    }
}

/// Whether names are answered by the monitor: on any network but the default one.
#[must_use]
pub fn has_resolver(joined: &[(Network, Attachment)]) -> bool {
    joined.iter().any(|(network, _)| network.name != DEFAULT)
}

/// Says in the live directory what is there, or about to be.
///
/// # Errors
/// What the file system says.
pub fn remember(live: &Path, endpoints: &[Endpoint]) -> Result<()> {
    let connected = Connected {
        version: 1,
        endpoints: endpoints.to_vec(),
    };
    let text = serde_json::to_vec(&connected)
        .map_err(|error| Error::new(Kind::Internal, "encode network.json").caused_by(error))?;
    file::write_atomic(&connected_file(live), &text, Durability::Unsynced)
}

/// Changes what is told of a container on its networks: to others first, then in its live directory.
///
/// # Errors
/// What the file system says; what was told before the error stays.
pub fn change(
    run: &Path,
    live: &Path,
    id: &ContainerId,
    change: impl Fn(&mut Endpoint),
) -> Result<()> {
    let mut endpoints = connected(live)?.endpoints;
    for endpoint in &mut endpoints {
        Shelf { run }.touch(&endpoint.network, id, &change)?;
        change(endpoint);
    }
    if endpoints.is_empty() {
        return Ok(());
    }
    remember(live, &endpoints)
}

/// It is on no network any more.
///
/// # Errors
/// What the file system says.
pub fn forget_live(live: &Path) -> Result<()> {
    file::remove_file(&connected_file(live))
}

/// The subnets that the host has routes to.
///
/// # Errors
/// What the kernel says.
pub fn host_routes() -> Result<Vec<IpNet>> {
    device::host_routes()
}

/// Makes bridges and rules again where something is missing: what was done.
///
/// # Errors
/// What the kernel says.
pub fn repair(run: &Path, networks: &[Network]) -> Result<Vec<String>> {
    let mut done = Vec::new();
    let shelf = Shelf { run };
    for network in networks {
        // The default one comes with the first container.
        let is_bridge = network.driver == Driver::Bridge && !network.config_only;
        let is_unused = || {
            shelf
                .living(&network.id, None)
                .map(|book| book.endpoints.is_empty())
        };
        if !is_bridge || (network.name == DEFAULT && is_unused()?) {
            continue;
        }
        let bridge = bridge_of(network);
        if device::ensure_bridge(network, &bridge)? {
            done.push(format!("{}: bridge {bridge}", network.name));
        }
    }
    done.extend(wire::repair(run, networks)?);
    Ok(done)
}

/// Makes a new network's bridge or parent and its rules, so that they are there before the first container. `networks` are
/// all of them, this one included.
///
/// # Errors
/// What the kernel says; nothing is left of it then.
pub fn raise(run: &Path, networks: &[Network], network: &Network) -> Result<()> {
    wire::raise(run, networks, network)
}

/// Takes away a network's bridge and rules.
///
/// # Errors
/// What the kernel says.
pub fn forget(run: &Path, network: &Network) -> Result<()> {
    wire::forget(run, network)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::collections::BTreeMap;

    pub(in crate::engine::net) fn network(name: &str, internal: bool) -> Network {
        Network {
            version: 1,
            id: new_id(),
            name: name.to_owned(),
            created: Timestamp::UNIX_EPOCH,
            driver: Driver::Bridge,
            pools: vec![network::Pool {
                subnet: "10.0.0.0/24".parse().unwrap(),
                range: None,
                gateway: Some("10.0.0.1".parse().unwrap()),
                reserved: BTreeMap::new(),
            }],
            ipv4: true,
            ipv6: false,
            internal,
            attachable: false,
            config_only: false,
            config_from: String::new(),
            options: BTreeMap::new(),
            ipam_options: BTreeMap::new(),
            labels: BTreeMap::new(),
        }
    }

    #[test]
    fn the_default_route_goes_to_the_highest_priority_then_the_first_name() {
        let chosen = |list: &[(&str, bool, i64)]| {
            let all: Vec<(Network, i64)> = list
                .iter()
                .map(|(name, internal, priority)| (network(name, *internal), *priority))
                .collect();
            default_of(&all, |_| true).map(|at| all[at].0.name.clone())
        };
        assert_eq!(chosen(&[]), None);
        assert_eq!(chosen(&[("b", false, 0), ("a", false, 0)]).unwrap(), "a");
        assert_eq!(chosen(&[("b", false, 1), ("a", false, 0)]).unwrap(), "b");
        assert_eq!(chosen(&[("a", true, 9), ("b", false, -1)]).unwrap(), "b");
        assert_eq!(chosen(&[("a", true, 9)]), None);
    }

    #[test]
    fn interfaces_are_numbered_from_the_first_free_one() {
        let mut one = network("a", false);
        let mut attachment = Attachment::default();
        assert_eq!(interface_name(&one, &attachment, &["eth0", "eth2"]), "eth1");
        one.options
            .insert(network::INTERFACE_PREFIX.to_owned(), "net".to_owned());
        assert_eq!(interface_name(&one, &attachment, &["eth0"]), "net0");
        attachment.options = [(INTERFACE.to_owned(), "up0".to_owned())].into();
        assert_eq!(interface_name(&one, &attachment, &[]), "up0");
        assert!(check(&one, &attachment).is_ok());
        attachment.options = [("x".to_owned(), "y".to_owned())].into();
        assert!(check(&one, &attachment).is_err());
    }
}
