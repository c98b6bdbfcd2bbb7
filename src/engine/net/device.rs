//! The devices of networks: a bridge for each, a pair of devices for each endpoint, or a part of a device of the host
//! (macvlan, ipvlan). Who may talk to whom is `firewall`'s.
//!
//! What belongs to an endpoint is born in the container's namespace, and the kernel takes it away with that namespace. All
//! functions may be called again after a failure; nothing here dumps what the host has, but [`host_routes`].

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use ipnet::IpNet;
use rustix::io::Errno;

use super::pool;
use crate::engine::error::{Attempt, Error, Kind, Result};
use crate::engine::model::network::{Driver, Endpoint, Network};
use crate::engine::sys::link::{self, Links, NewKind, NewLink};
use crate::engine::sys::netlink::{self, Batch, Socket};
use crate::engine::sys::procfs;
use crate::engine::sys::rooted::Rooted;
use crate::engine::sys::route;

/// Docker's names of options.
const INHIBIT_IPV4: &str = "com.docker.network.bridge.inhibit_ipv4";
const MTU: &str = "com.docker.network.driver.mtu";
const SYSCTLS: &str = "com.docker.network.endpoint.sysctls";

/// What is noted on devices that are ours to remove.
pub(super) const ALIAS: &str = "wharf";

/// Which default routes of a container lead through an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DefaultRoutes {
    /// That of version 4.
    pub ipv4: bool,
    /// That of version 6.
    pub ipv6: bool,
}

/// An endpoint that is to be made.
#[derive(Debug, Clone, Copy)]
pub struct Plug<'a> {
    /// The network.
    pub network: &'a Network,
    /// Its bridge or parent.
    pub below: &'a str,
    /// The endpoint.
    pub endpoint: &'a Endpoint,
    /// The default routes that lead through it.
    pub default: DefaultRoutes,
    /// What the container asked of the driver (`Attachment::options`).
    pub options: &'a BTreeMap<String, String>,
}

/// The bridge is there, up, with the network's gateways as its addresses. A bridge that is not ours is used as it is, and
/// gets the addresses. Whether it was made.
///
/// # Errors
/// [`Kind::Conflict`] if a device that is no bridge has the name; what the kernel says.
pub fn ensure_bridge(network: &Network, bridge: &str) -> Result<bool> {
    let what = || format!("bridge {bridge} of network {}", network.name);
    let links = Links::here()?;
    let proc = Rooted::open(Path::new("/proc"))?;
    let seen = links.look(bridge).attempt(what)?;
    let index = match &seen {
        Some(seen) if seen.kind == "bridge" => seen.index,
        Some(_) => {
            let text = format!("{}: the name is taken by a device that is none", what());
            return Err(Error::conflict(text));
        }
        None => make_bridge(&links, &proc, network, bridge).attempt(what)?,
    };
    let mut batch = Batch::default();
    for address in bridge_addresses(network) {
        let label = format!("give it {address}");
        batch.push(route::add_address(index, address), label);
    }
    match &seen {
        Some(seen) if seen.up => {}
        Some(_) => batch.push(link::up(bridge)?, "take it up"),
        None => batch.push(link::up_as(bridge, &alias(network))?, "take it up"),
    }
    if !talks(network) && shows_bridged(&proc) {
        batch.push(link::show_bridged(bridge)?, "show it to the firewall");
    }
    links.run(&batch).attempt(what)?;
    Ok(seen.is_none())
}

/// Removes a bridge that [`ensure_bridge`] made; one that was there before, or is gone, is no error.
///
/// # Errors
/// What the kernel says.
pub fn remove_bridge(bridge: &str) -> Result<()> {
    remove_ours(&Links::here()?, bridge).attempt(|| format!("remove bridge {bridge}"))
}

/// The device of the host that a macvlan or ipvlan network is on: the one that was named, made if it is a tagged part of
/// another (`eth0.10`) or none was named.
///
/// # Errors
/// [`Kind::NotFound`] if it is not there; what the kernel says.
pub fn ensure_parent(network: &Network) -> Result<String> {
    let name = parent_name(network);
    let what = || format!("parent {name} of network {}", network.name);
    let links = Links::here()?;
    if links.look(&name).attempt(what)?.is_some() {
        return Ok(name);
    }
    let new = NewLink {
        name: &name,
        mac: None,
        mtu: None,
        master: None,
        kind: NewKind::Dummy,
        namespace: None,
    };
    let kind = if is_own_parent(network) {
        NewKind::Dummy
    } else {
        let (below, tag) = name.rsplit_once('.').unwrap_or((&name, ""));
        let Ok(id) = tag.parse() else {
            return Err(Error::not_found(format!("{}: no such device", what())));
        };
        let parent = links.find(below).attempt(what)?;
        NewKind::Vlan { parent, id }
    };
    let mut batch = Batch::default();
    batch.push(link::create(&NewLink { kind, ..new })?, "make it");
    batch.push(link::up_as(&name, &alias(network))?, "take it up");
    links.run(&batch).attempt(what)?;
    Ok(name)
}

/// Removes what [`ensure_parent`] made. The host's own devices stay.
///
/// # Errors
/// What the kernel says.
pub fn remove_parent(network: &Network) -> Result<()> {
    let name = parent_name(network);
    remove_ours(&Links::here()?, &name).attempt(|| format!("remove parent {name}"))
}

/// Makes an endpoint's devices, the inner one in `netns` under its name, up and with its addresses and routes.
///
/// # Errors
/// [`Kind::InvalidInput`] for options that mean nothing; what the kernel says. Nothing is left then.
pub fn plug(plug: &Plug<'_>, netns: BorrowedFd<'_>) -> Result<()> {
    let Plug {
        network,
        below,
        endpoint,
        ..
    } = *plug;
    let what = || {
        format!(
            "put {} on network {}",
            endpoint.container_name, network.name
        )
    };
    let links = Links::here()?;
    make_devices(&links, network, below, endpoint, netns).attempt(what)?;
    let done = (|| {
        if !endpoint.host_interface.is_empty() {
            // A port of a bridge has no addresses, and takes no advertisements (CVE-2020-13401).
            let proc = Rooted::open(Path::new("/proc"))?;
            let port = format!("ipv6/conf/{}/disable_ipv6", endpoint.host_interface);
            set(&proc, &port, "1")?;
            let mut batch = Batch::default();
            let port = &endpoint.host_interface;
            let isolated = !talks(network) && !shows_bridged(&proc);
            batch.push(link::up_port(port, isolated)?, "take the port up");
            links.run(&batch)?;
        }
        netlink::inside(netns, || furnish(plug))
    })();
    if done.is_err() {
        let _ = unplug(endpoint, Some(netns));
    }
    done.attempt(what)
}

/// Takes an endpoint's devices away, if they are still there. Without `netns` only those that have an end on the host: the
/// others are gone with their namespace.
///
/// # Errors
/// What the kernel says.
pub fn unplug(endpoint: &Endpoint, netns: Option<BorrowedFd<'_>>) -> Result<()> {
    let what = || format!("take {} off its network", endpoint.container_name);
    if !endpoint.host_interface.is_empty() {
        return remove_if_there(&Links::here()?, &endpoint.host_interface).attempt(what);
    }
    match netns {
        Some(netns) => remove_if_there(&Links::of(netns)?, &endpoint.interface).attempt(what),
        None => Ok(()),
    }
}

/// Has an endpoint's port pass nothing on any more, without waiting for the kernel as [`unplug`] does. A port that is gone is no
/// error.
///
/// # Errors
/// What the kernel says: not all bridges allow it (those that speak STP do not).
pub fn silence(endpoint: &Endpoint) -> Result<()> {
    if endpoint.host_interface.is_empty() {
        return Ok(());
    }
    let name = &endpoint.host_interface;
    let links = Links::here()?;
    let index = match links.find(name) {
        Err(error) if error.kind() == Kind::NotFound => return Ok(()),
        other => other?,
    };
    let mut batch = Batch::default();
    batch.push(link::silence_port(index), format!("silence {name}"));
    match links.run(&batch) {
        Err(error) if is(&error, Errno::NODEV) => Ok(()),
        other => other,
    }
}

/// Moves default routes of a container to an endpoint.
///
/// # Errors
/// What the kernel says.
pub fn set_default_route(
    network: &Network,
    endpoint: &Endpoint,
    default: DefaultRoutes,
    netns: BorrowedFd<'_>,
) -> Result<()> {
    let what = || format!("lead the default route of {}", endpoint.container_name);
    let links = Links::of(netns)?;
    let index = links.find(&endpoint.interface).attempt(what)?;
    let mut batch = Batch::default();
    lead_default(&mut batch, network, endpoint, default, index);
    links.run(&batch).attempt(what)
}

/// All networks that the host has routes to or addresses in, without default routes: subnets are chosen around them.
///
/// # Errors
/// What the kernel says.
pub fn host_routes() -> Result<Vec<IpNet>> {
    route::all(&Socket::route()?)
}

/// Whether containers of a network reach each other (Docker's option `enable_icc`). If not, the firewall decides for each packet, or,
/// where the kernel does not show it what a bridge passes on (br_netfilter), the bridge's ports are isolated from each other.
#[must_use]
pub fn talks(network: &Network) -> bool {
    network
        .switch("com.docker.network.bridge.enable_icc")
        .unwrap_or(true)
}

/// The firewall can see what bridges pass on.
fn shows_bridged(proc: &Rooted) -> bool {
    let path = Path::new("sys/net/bridge/bridge-nf-call-iptables");
    matches!(proc.read(path, 16), Ok(Some(_)))
}

/// What the endpoints of a network may send at once, in bytes, if it was given.
fn mtu(network: &Network) -> Option<u32> {
    let mtu = network.options.get(MTU)?.parse().ok()?;
    (mtu != 0).then_some(mtu)
}

fn prefix(network: &Network, digits: usize) -> String {
    network.id.as_str().chars().take(digits).collect()
}

fn alias(network: &Network) -> String {
    format!("{ALIAS} {}", network.id.as_str())
}

fn is_own_parent(network: &Network) -> bool {
    network.options.get("parent").is_none_or(String::is_empty)
}

fn parent_name(network: &Network) -> String {
    match network.options.get("parent") {
        Some(name) if !name.is_empty() => name.clone(),
        // Docker's name of a parent that leads nowhere.
        _ => format!("dm-{}", prefix(network, 12)),
    }
}

/// `02:42` and four bytes of the id: a bridge whose address is not set takes the lowest of its ports', and changes with them.
fn bridge_mac(network: &Network) -> [u8; 6] {
    let digits = network.id.as_str().as_bytes();
    let nibble = |at: usize| {
        let digit = digits.get(at).copied().map_or('0', char::from);
        u8::try_from(digit.to_digit(16).unwrap_or(0)).unwrap_or(0)
    };
    let byte = |at: usize| nibble(2 * at) << 4 | nibble(2 * at + 1);
    [0x02, 0x42, byte(0), byte(1), byte(2), byte(3)]
}

fn make_bridge(links: &Links, proc: &Rooted, network: &Network, bridge: &str) -> Result<u32> {
    let new = NewLink {
        name: bridge,
        mac: Some(bridge_mac(network)),
        mtu: mtu(network),
        master: None,
        kind: NewKind::Bridge,
        namespace: None,
    };
    let mut batch = Batch::default();
    batch.push(link::create(&new)?, "make it");
    let is_new = match links.run(&batch) {
        // Another container of this network was faster.
        Err(error) if is(&error, Errno::EXIST) => false,
        other => other.map(|()| true)?,
    };
    // What it is known by comes last.
    set_up_bridge(proc, network, bridge).inspect_err(|_| {
        if is_new {
            let _ = remove_if_there(links, bridge);
        }
    })?;
    links.find(bridge)
}

fn set_up_bridge(proc: &Rooted, network: &Network, bridge: &str) -> Result<()> {
    if network.ipv6 {
        // Containers are no routers (CVE-2020-13401).
        set(proc, &format!("ipv6/conf/{bridge}/accept_ra"), "0")?;
        set(proc, &format!("ipv6/conf/{bridge}/disable_ipv6"), "0")?;
    } else {
        set(proc, &format!("ipv6/conf/{bridge}/disable_ipv6"), "1")?;
    }
    // What is answered for an address of the host goes to who asked (Docker has no need of it either).
    set(proc, &format!("ipv4/conf/{bridge}/route_localnet"), "0")
}

/// The gateways, with the prefixes of their pools: the first of each family.
fn bridge_addresses(network: &Network) -> Vec<IpNet> {
    let option = |name: &str| network.options.get(name).map(String::as_str);
    let inhibited = network.switch(INHIBIT_IPV4).unwrap_or(false);
    let isolated = |family: &str| {
        let name = format!("com.docker.network.bridge.gateway_mode_{family}");
        network.internal && option(&name) == Some("isolated")
    };
    let first = |is_wanted: &dyn Fn(&IpAddr) -> bool| {
        network.pools.iter().find_map(|pool| {
            let gateway = pool.gateway.filter(is_wanted)?;
            IpNet::new(gateway, pool.subnet.prefix_len()).ok()
        })
    };
    let v4 = (network.ipv4 && !inhibited && !isolated("ipv4"))
        .then(|| first(&IpAddr::is_ipv4))
        .flatten();
    let v6 = (network.ipv6 && !isolated("ipv6"))
        .then(|| first(&IpAddr::is_ipv6))
        .flatten();
    v4.into_iter().chain(v6).collect()
}

/// Sets a parameter of this namespace. One that the kernel does not have (no IPv6) needs no setting.
pub(super) fn set(proc: &Rooted, path: &str, value: &str) -> Result<()> {
    match procfs::write(proc.as_fd(), &format!("sys/net/{path}"), value) {
        Err(error) if error.kind() == Kind::NotFound => Ok(()),
        other => other,
    }
}

fn make_devices(
    links: &Links,
    network: &Network,
    below: &str,
    endpoint: &Endpoint,
    netns: BorrowedFd<'_>,
) -> Result<()> {
    let parent = links.find(below)?;
    let inner = NewLink {
        name: &endpoint.interface,
        mac: Some(endpoint.mac.0),
        mtu: mtu(network),
        master: None,
        kind: NewKind::Peer,
        namespace: Some(netns),
    };
    let option = |name: &str| network.options.get(name).map_or("", String::as_str);
    let new = match network.driver {
        Driver::Bridge => NewLink {
            name: &endpoint.host_interface,
            mac: None,
            mtu: inner.mtu,
            master: Some(parent),
            kind: NewKind::Veth(&inner),
            namespace: None,
        },
        Driver::Macvlan => {
            let mode = macvlan_mode(option("macvlan_mode"))?;
            let kind = NewKind::Macvlan { parent, mode };
            NewLink { kind, ..inner }
        }
        Driver::Ipvlan => {
            let kind = NewKind::Ipvlan {
                parent,
                mode: ipvlan_mode(option("ipvlan_mode"))?,
                flags: ipvlan_flags(option("ipvlan_flag"))?,
            };
            let mac = None;
            NewLink { mac, kind, ..inner }
        }
        Driver::Host | Driver::Null => {
            let text = format!("a {} network has no devices", network.driver.as_str());
            return Err(Error::invalid(text));
        }
    };
    let mut batch = Batch::default();
    batch.push(
        link::create(&new)?,
        format!("make device {} on {below}", endpoint.interface),
    );
    links.run(&batch)
}

/// `MACVLAN_MODE_*` (linux/if_link.h).
///
/// # Errors
/// [`Kind::InvalidInput`] for a word that is none of Docker's.
pub fn macvlan_mode(word: &str) -> Result<u32> {
    match word {
        "" | "bridge" => Ok(4),
        "private" => Ok(1),
        "vepa" => Ok(2),
        "passthru" => Ok(8),
        _ => Err(Error::invalid(format!("unknown macvlan mode {word:?}"))),
    }
}

/// `IPVLAN_MODE_*`.
///
/// # Errors
/// As [`macvlan_mode`].
pub fn ipvlan_mode(word: &str) -> Result<u16> {
    match word {
        "" | "l2" => Ok(0),
        "l3" => Ok(1),
        "l3s" => Ok(2),
        _ => Err(Error::invalid(format!("unknown ipvlan mode {word:?}"))),
    }
}

/// `IPVLAN_F_*`.
///
/// # Errors
/// As [`macvlan_mode`].
pub fn ipvlan_flags(word: &str) -> Result<u16> {
    match word {
        "" | "bridge" => Ok(0),
        "private" => Ok(1),
        "vepa" => Ok(2),
        _ => Err(Error::invalid(format!("unknown ipvlan flag {word:?}"))),
    }
}

/// Parameters of an endpoint's device: paths below `/proc/sys/net`, and values.
///
/// # Errors
/// [`Kind::InvalidInput`] for anything but `net.X.Y.IFNAME.Z=V`, separated by commas (Docker's form).
pub fn endpoint_sysctls(endpoint_options: &str, interface: &str) -> Result<Vec<(String, String)>> {
    let wrong = |entry: &str| {
        Error::invalid(format!(
            "invalid sysctl {entry:?} of an endpoint: net.X.Y.IFNAME.Z=V is expected"
        ))
    };
    let is_word = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    let entries = endpoint_options.split(',').filter(|e| !e.trim().is_empty());
    entries
        .map(|entry| {
            let (name, value) = entry.trim().split_once('=').ok_or_else(|| wrong(entry))?;
            let parts: Vec<&str> = name.split('.').collect();
            match parts.as_slice() {
                ["net", family, kind, "IFNAME", key]
                    if is_word(family) && is_word(kind) && is_word(key) =>
                {
                    let path = format!("{family}/{kind}/{interface}/{key}");
                    Ok((path, value.to_owned()))
                }
                _ => Err(wrong(entry)),
            }
        })
        .collect()
}

/// In the container's namespace: parameters, addresses, up, routes.
fn furnish(plug: &Plug<'_>) -> Result<()> {
    let Plug {
        network, endpoint, ..
    } = *plug;
    let links = Links::here()?;
    let name = &endpoint.interface;
    let index = links.find(name)?;
    let proc = Rooted::open(Path::new("/proc"))?;
    let no_ipv6 = if endpoint.ipv6.is_some() { "0" } else { "1" };
    set(&proc, &format!("ipv6/conf/{name}/disable_ipv6"), no_ipv6)?;
    if network.driver == Driver::Bridge {
        set(&proc, &format!("ipv6/conf/{name}/accept_ra"), "0")?;
        // Neighbours that remember who had the address before are told (ip-sysctl.rst), unless they remember the truth:
        // all ports of the bridge are flooded with it.
        let v4 = endpoint.ipv4.map(|net| net.addr());
        if v4.is_some_and(|address| endpoint.mac != pool::mac(Some(address), 0)) {
            set(&proc, &format!("ipv4/conf/{name}/arp_notify"), "1")?;
        }
        if endpoint.ipv6.is_some() {
            set(&proc, &format!("ipv6/conf/{name}/ndisc_notify"), "1")?;
        }
    }
    let mut batch = Batch::default();
    let v4 = endpoint.ipv4.map(IpNet::V4);
    let v6 = endpoint.ipv6.map(IpNet::V6);
    let link_local = endpoint.link_local.iter().map(|address| {
        let bits = if address.is_ipv4() { 16 } else { 64 };
        IpNet::new(*address, bits).unwrap_or_else(|_| IpNet::from(*address))
    });
    for address in v4.into_iter().chain(v6).chain(link_local) {
        let label = format!("give {name} {address}");
        batch.push(route::add_address(index, address), label);
    }
    batch.push(link::up(name)?, format!("take {name} up"));
    lead_default(&mut batch, network, endpoint, plug.default, index);
    links.run(&batch)?;
    let asked = plug.options.get(SYSCTLS).map_or("", String::as_str);
    for (path, value) in endpoint_sysctls(asked, name)? {
        procfs::write(proc.as_fd(), &format!("sys/net/{path}"), &value)?;
    }
    Ok(())
}

fn lead_default(
    batch: &mut Batch,
    network: &Network,
    endpoint: &Endpoint,
    default: DefaultRoutes,
    index: u32,
) {
    if network.internal {
        return;
    }
    let mode = network.options.get("ipvlan_mode").map(String::as_str);
    let routed = network.driver == Driver::Ipvlan && matches!(mode, Some("l3" | "l3s"));
    for address in endpoint.addresses() {
        let wanted = if address.is_ipv4() {
            default.ipv4
        } else {
            default.ipv6
        };
        let same = |gateway: &&IpAddr| gateway.is_ipv4() == address.is_ipv4();
        let gateway = endpoint.gateways.iter().find(same);
        let message = match gateway {
            _ if !wanted => continue,
            _ if routed => route::default_on_link(index, address),
            Some(gateway) => route::default_by_gateway(index, *gateway),
            None => continue,
        };
        batch.push(message, "lead the default route to its gateway");
    }
}

fn remove_ours(links: &Links, name: &str) -> Result<()> {
    match links.look(name)? {
        Some(seen) if seen.alias.split(' ').next() == Some(ALIAS) => remove_if_there(links, name),
        _ => Ok(()),
    }
}

fn remove_if_there(links: &Links, name: &str) -> Result<()> {
    let mut batch = Batch::default();
    batch.push(link::remove(name)?, format!("remove device {name}"));
    match links.run(&batch) {
        Err(error) if is(&error, Errno::NODEV) => Ok(()),
        other => other,
    }
}

fn is(error: &Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_an_endpoint_name_its_own_device() {
        let list = "net.ipv4.conf.IFNAME.log_martians=1, net.ipv6.neigh.IFNAME.app_probes=2";
        let found = endpoint_sysctls(list, "eth0.5").unwrap();
        let expect = [
            ("ipv4/conf/eth0.5/log_martians", "1"),
            ("ipv6/neigh/eth0.5/app_probes", "2"),
        ];
        assert_eq!(found, expect.map(|(a, b)| (a.to_owned(), b.to_owned())));
        for wrong in [
            "net.ipv4.conf.all.forwarding=1",
            "net.ipv4.ip_forward=1",
            "net.ipv4.conf.IFNAME.a/../../b=1",
            "kernel.a.b.IFNAME.c=1",
            "net.ipv4.conf.IFNAME.x",
        ] {
            let error = endpoint_sysctls(wrong, "eth0").unwrap_err();
            assert_eq!(error.kind(), Kind::InvalidInput, "{wrong}");
        }
    }
}
