//! What is in the table, as data: pure functions of networks and endpoints. docs/networks.md tells a packet's way through it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::engine::model::network::{Driver, Endpoint, Network, Publication};
use crate::engine::net::device;
use crate::engine::net::forwarding::Closed;
use crate::engine::sys::nftables::{
    Base, Changes, Data, Element, Family, Hook, Rule, Set, Verdict, Way, device_bytes, types,
};

/// The chain that belongs to the host's administrator.
pub const USER_CHAIN: &str = "wharf-user";
/// What is forwarded between devices that are none of ours.
const UNROUTED: &str = "unrouted";
/// What goes from containers to networks of others.
const OTHERS: &str = "others";
/// How bridges of others are called, and how long their names are at least: Docker's (its users' have twelve digits), podman's,
/// libvirt's, and those of LXC and its children.
const BRIDGES_OF_OTHERS: [(&str, usize); 8] = [
    ("docker", 7),
    ("br-", 15),
    ("podman", 7),
    ("cni-podman", 11),
    ("virbr", 6),
    ("lxcbr", 6),
    ("lxdbr", 6),
    ("incusbr", 8),
];
/// Noted on the table; another note means another layout.
pub(super) const NOTE: &str = "wharf: layout 1";

/// Sets and maps.
pub(super) mod sets {
    /// Bridges of all networks.
    pub(in super::super) const BRIDGES: &str = "bridges";
    /// Bridge to chain: what comes from a container for somewhere else.
    pub(in super::super) const FROM: &str = "from";
    /// Bridge to chain: what goes to a container.
    pub(in super::super) const TO: &str = "to";
    /// Bridge to chain: what comes from a container for this host.
    pub(in super::super) const HOST: &str = "host";
    /// Bridge to chain: as whom a container appears to its own network.
    pub(in super::super) const BACK: &str = "back";
    /// Bridge to chain: as whom a container appears elsewhere.
    pub(in super::super) const AS: &str = "as";
    /// Address, protocol, port of the host to address and port of a container.
    pub(in super::super) const ADDRESSES: [&str; 2] = ["publish4", "publish6"];
    /// Protocol and port of all addresses of the host.
    pub(in super::super) const PORTS: [&str; 2] = ["publish4-any", "publish6-any"];
    /// Address, protocol, port of containers that are reached without translation.
    pub(in super::super) const OPEN: [&str; 2] = ["open4", "open6"];
}

/// A chain with its rules.
#[derive(Debug, Clone)]
pub(super) struct Chain {
    pub(super) name: String,
    pub(super) base: Option<Base>,
    pub(super) rules: Vec<Rule>,
}

/// What a network or an endpoint brings.
#[derive(Debug, Clone, Default)]
pub(super) struct Part {
    pub(super) chains: Vec<Chain>,
    pub(super) elements: Vec<(&'static str, Element)>,
}

impl Part {
    /// Adds it all; what is there already is left.
    pub(super) fn add(&self, changes: &mut Changes<'_>) {
        for chain in &self.chains {
            changes.chain(&chain.name, chain.base);
            if chain.name != USER_CHAIN {
                changes.flush_chain(&chain.name);
            }
        }
        for chain in &self.chains {
            for rule in &chain.rules {
                changes.rule(&chain.name, rule);
            }
        }
        for (set, elements) in self.by_set() {
            changes.add(set, &elements);
        }
    }

    /// Takes it all away.
    pub(super) fn remove(&self, changes: &mut Changes<'_>) {
        for (set, elements) in self.by_set() {
            changes.remove(set, &elements);
        }
        for chain in &self.chains {
            changes.flush_chain(&chain.name);
            changes.remove_chain(&chain.name);
        }
    }

    /// The elements, set by set: as many messages as there are sets.
    pub(super) fn by_set(&self) -> Vec<(&'static str, Vec<Element>)> {
        let mut all: Vec<(&'static str, Vec<Element>)> = Vec::new();
        for (set, element) in &self.elements {
            match all.iter_mut().find(|(name, _)| name == set) {
                Some((_, elements)) => elements.push(element.clone()),
                None => all.push((set, vec![element.clone()])),
            }
        }
        all
    }
}

/// All sets and maps.
pub(super) fn all_sets() -> Vec<Set<'static>> {
    let of_device = |name, data| Set {
        name,
        key: types::DEVICE,
        key_length: 16,
        data,
    };
    let verdict = Some((types::VERDICT, 0));
    let mut all = vec![of_device(sets::BRIDGES, None)];
    all.extend(
        [sets::FROM, sets::TO, sets::HOST, sets::BACK, sets::AS]
            .map(|name| of_device(name, verdict)),
    );
    for (at, address, length) in [(0, types::IPV4, 4), (1, types::IPV6, 16)] {
        let name = |names: [&'static str; 2]| names.get(at).copied().unwrap_or_default();
        let data = Some((types::joined([address, types::SERVICE]), length + 4));
        let key = types::joined([address, types::PROTOCOL, types::SERVICE]);
        let by_address = Set {
            name: name(sets::ADDRESSES),
            key,
            key_length: length + 8,
            data,
        };
        let by_port = Set {
            name: name(sets::PORTS),
            key: types::joined([types::PROTOCOL, types::SERVICE]),
            key_length: 8,
            data,
        };
        let open = Set {
            name: name(sets::OPEN),
            data: None,
            ..by_address
        };
        all.extend([by_address, by_port, open]);
    }
    all
}

/// The chains that every packet meets.
pub(super) fn frame(closed: &Closed) -> Part {
    let filter = |hook, priority| {
        Some(Base {
            hook,
            priority,
            nat: false,
        })
    };
    let nat = |hook, priority| {
        Some(Base {
            hook,
            priority,
            nat: true,
        })
    };
    let rule = |comment: &str| Rule::new(format!("wharf: {comment}"));
    let chain = |name: &str, base, rules| Chain {
        name: name.to_owned(),
        base,
        rules,
    };
    let jump = |chain| rule("published ports").then(Verdict::Jump(chain));
    let loopback = "127.0.0.0/8".parse().unwrap_or_default();
    let loopback6 = ipnet::Ipv6Net::from(std::net::Ipv6Addr::LOCALHOST).into();
    let mut publish = vec![
        rule("loopback is not translated")
            .address_in(Way::Out, loopback)
            .then(Verdict::Return),
        rule("loopback is not translated")
            .address_in(Way::Out, loopback6)
            .then(Verdict::Return),
    ];
    for (family, (by_address, by_port)) in FAMILIES
        .into_iter()
        .zip(sets::ADDRESSES.into_iter().zip(sets::PORTS))
    {
        publish.push(rule("published at one address").translate_address(family, by_address));
        publish.push(rule("published at all addresses").translate_port(family, by_port));
    }
    let mut chains = vec![
        chain(USER_CHAIN, None, Vec::new()),
        chain("publish", None, publish),
        chain(
            "raw",
            filter(Hook::Prerouting, -300),
            vec![
                rule("loopback is not reached from elsewhere")
                    .not_device(Way::In, "lo")
                    .address_in(Way::Out, loopback)
                    .counted()
                    .then(Verdict::Drop),
            ],
        ),
        chain(
            "prerouting",
            nat(Hook::Prerouting, -100),
            vec![jump("publish")],
        ),
        chain("output", nat(Hook::Output, -100), vec![jump("publish")]),
        chain(
            "input",
            filter(Hook::Input, 0),
            vec![rule("from containers to this host").device_verdict(Way::In, sets::HOST)],
        ),
        chain(
            "forward",
            filter(Hook::Forward, 0),
            vec![
                rule("the administrator's own").then(Verdict::Jump(USER_CHAIN)),
                rule("answers").established().then(Verdict::Accept),
                rule("from containers").device_verdict(Way::In, sets::FROM),
                rule("to containers").device_verdict(Way::Out, sets::TO),
                rule("from containers to networks of others")
                    .device_in(Way::In, sets::BRIDGES)
                    .then(Verdict::Jump(OTHERS)),
            ],
        ),
        chain(OTHERS, None, to_others()),
        chain(
            "postrouting",
            nat(Hook::Postrouting, 100),
            vec![
                rule("back to containers").device_verdict(Way::Out, sets::BACK),
                rule("as whom containers appear").device_verdict(Way::In, sets::AS),
            ],
        ),
    ];
    if let Some(closed) = unrouted(closed) {
        let forward = chains.iter_mut().find(|chain| chain.name == "forward");
        if let Some(forward) = forward {
            let jump = rule("this host was no router").then(Verdict::Jump(UNROUTED));
            forward.rules.push(jump);
        }
        chains.push(closed);
    }
    Part {
        chains,
        elements: Vec::new(),
    }
}

/// What containers may send to networks of other engines: what those publish. Their own firewalls would say so, too, but where
/// ours are let through (`others.rs`).
fn to_others() -> Vec<Rule> {
    let rule = |what: &str| Rule::new(format!("wharf: {what}"));
    let published = rule("published by others")
        .translated()
        .then(Verdict::Return);
    let shut = BRIDGES_OF_OTHERS.into_iter().map(|(start, least)| {
        rule("networks of others are not reached")
            .device_like(Way::Out, start, least)
            .counted()
            .then(Verdict::Drop)
    });
    [published].into_iter().chain(shut).collect()
}

/// What is forwarded neither from nor to containers, on a host that did not forward before: nothing, but from and to bridges
/// that came later, which belong to somebody else's containers or machines.
fn unrouted(closed: &Closed) -> Option<Chain> {
    let rule = |what: &str| Rule::new(format!("wharf: {what}"));
    let ways = [Way::In, Way::Out];
    let ours = ways.map(|way| {
        rule("containers")
            .device_in(way, sets::BRIDGES)
            .then(Verdict::Return)
    });
    let mut rules = Vec::from(ours);
    let others = ways.into_iter().map(|way| {
        let later = rule("bridges of others").device_kind(way, "bridge");
        let before = closed.bridges.iter();
        before
            .fold(later, |rule, bridge| rule.not_device(way, bridge))
            .then(Verdict::Return)
    });
    rules.extend(others);
    let families = FAMILIES.into_iter().zip([closed.ipv4, closed.ipv6]);
    let closed: Vec<Rule> = families
        .filter(|(_, is_closed)| *is_closed)
        .map(|(family, _)| {
            rule("this host was no router")
                .version(family)
                .counted()
                .then(Verdict::Drop)
        })
        .collect();
    if closed.is_empty() {
        return None;
    }
    rules.extend(closed);
    Some(Chain {
        name: UNROUTED.to_owned(),
        base: None,
        rules,
    })
}

const FAMILIES: [Family; 2] = [Family::Ipv4, Family::Ipv6];

/// How a family of addresses of a network meets the outside (Docker's option `gateway_mode_ipv4`, `_ipv6`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// By translation alone.
    Nat,
    /// By translation, and all its ports directly.
    Unprotected,
    /// Published ports directly, without translation.
    Routed,
}

/// What a network brings; nothing if it is no bridge.
pub(super) fn of_network(network: &Network, bridge: &str) -> Part {
    if network.driver != Driver::Bridge {
        return Part::default();
    }
    let id: String = network.id.as_str().chars().take(12).collect();
    let whose = format!("wharf: network {}", network.name);
    let mut part = Part::default();
    let mut lead = |set, prefix: &str, rules: Vec<Rule>| {
        let name = format!("{prefix}-{id}");
        part.elements.push((
            set,
            Element {
                key: device_bytes(bridge),
                data: Data::Jump(name.clone()),
                comment: whose.clone(),
            },
        ));
        part.chains.push(Chain {
            name,
            base: None,
            rules,
        });
    };
    lead(sets::TO, "to", to_network(network, bridge, &whose));
    if network.internal {
        let away = Rule::new(format!("{whose}: reaches nothing"))
            .not_device(Way::Out, bridge)
            .counted()
            .then(Verdict::Drop);
        lead(sets::FROM, "from", vec![away]);
        lead(sets::HOST, "host", to_host(network, &whose));
    } else {
        lead(sets::BACK, "back", comes_back(network, &whose));
        lead(sets::AS, "as", appears(network, bridge, &whose));
    }
    let element = Element {
        key: device_bytes(bridge),
        data: Data::None,
        comment: whose,
    };
    part.elements.push((sets::BRIDGES, element));
    part
}

/// The rules for what is forwarded to a network.
fn to_network(network: &Network, bridge: &str, whose: &str) -> Vec<Rule> {
    let rule = |what: &str| Rule::new(format!("{whose}: {what}"));
    let mut rules = Vec::new();
    if device::talks(network) {
        rules.push(
            rule("among each other")
                .device(Way::In, bridge)
                .then(Verdict::Accept),
        );
    } else {
        rules.push(
            rule("published, among each other")
                .device(Way::In, bridge)
                .translated()
                .then(Verdict::Accept),
        );
    }
    if !network.internal {
        rules.push(rule("published").translated().then(Verdict::Accept));
        for (family, open) in FAMILIES.into_iter().zip(sets::OPEN) {
            for device in network.trusted() {
                rules.push(
                    rule("published, from a trusted device")
                        .device(Way::In, device)
                        .destination_in(family, open)
                        .then(Verdict::Accept),
                );
            }
            match mode(network, family) {
                Mode::Nat => {}
                Mode::Routed => {
                    rules.push(
                        rule("published, by its own address")
                            .destination_in(family, open)
                            .then(Verdict::Accept),
                    );
                    // ICMP, ICMPv6.
                    let protocol = if family == Family::Ipv4 { 1 } else { 58 };
                    rules.push(
                        rule("echo")
                            .version(family)
                            .protocol(protocol)
                            .then(Verdict::Accept),
                    );
                }
                Mode::Unprotected => {
                    rules.push(
                        rule("networks do not reach each other")
                            .version(family)
                            .device_in(Way::In, sets::BRIDGES)
                            .counted()
                            .then(Verdict::Drop),
                    );
                    rules.push(rule("unprotected").version(family).then(Verdict::Accept));
                }
            }
        }
    }
    rules.push(rule("nothing else").counted().then(Verdict::Drop));
    rules
}

/// The rules for what an internal network's containers send to this host: its own subnet, and what is for many.
fn to_host(network: &Network, whose: &str) -> Vec<Rule> {
    let many = ["224.0.0.0/4", "255.255.255.255/32", "ff00::/8", "fe80::/10"];
    let many = many.iter().filter_map(|net| net.parse().ok());
    let own = network.pools.iter().map(|pool| pool.subnet);
    let mut rules: Vec<Rule> = own
        .chain(many)
        .map(|net| {
            Rule::new(format!("{whose}: its own gateway"))
                .address_in(Way::Out, net)
                .then(Verdict::Accept)
        })
        .collect();
    rules.push(
        Rule::new(format!("{whose}: reaches nothing"))
            .counted()
            .then(Verdict::Drop),
    );
    rules
}

/// The rules for what containers send to published ports of their own network: the answer must come back through this host,
/// which knows what was translated. By address, because what is bridged has no device that it came from here.
fn comes_back(network: &Network, whose: &str) -> Vec<Rule> {
    let pools = network.pools.iter();
    pools
        .map(|pool| {
            Rule::new(format!("{whose}: published, among each other"))
                .address_in(Way::In, pool.subnet)
                .translated()
                .masquerade()
        })
        .collect()
}

/// The rules for the address from which a network's packets come.
fn appears(network: &Network, bridge: &str, whose: &str) -> Vec<Rule> {
    let rule = |what: &str| Rule::new(format!("{whose}: {what}"));
    let mut rules = vec![
        rule("among each other")
            .device(Way::Out, bridge)
            .then(Verdict::Return),
    ];
    let option = |name: &str| network.options.get(name);
    let masquerade = network.switch("com.docker.network.bridge.enable_ip_masquerade");
    if !masquerade.unwrap_or(true) {
        return rules;
    }
    for pool in &network.pools {
        let (family, host) = match pool.subnet {
            ipnet::IpNet::V4(_) => (Family::Ipv4, "com.docker.network.host_ipv4"),
            ipnet::IpNet::V6(_) => (Family::Ipv6, "com.docker.network.host_ipv6"),
        };
        if mode(network, family) == Mode::Routed {
            continue;
        }
        let rule = rule("to the outside").address_in(Way::In, pool.subnet);
        let address = option(host).and_then(|text| text.parse().ok());
        rules.push(match address {
            Some(address) => rule.from_address(address),
            None => rule.masquerade(),
        });
    }
    rules
}

fn mode(network: &Network, family: Family) -> Mode {
    let name = match family {
        Family::Ipv6 => "com.docker.network.bridge.gateway_mode_ipv6",
        Family::Ipv4 | Family::Inet => "com.docker.network.bridge.gateway_mode_ipv4",
    };
    match network.options.get(name).map(String::as_str) {
        Some("routed") => Mode::Routed,
        Some("nat-unprotected") => Mode::Unprotected,
        _ => Mode::Nat,
    }
}

/// What an endpoint brings: its published ports.
pub(super) fn of_endpoint(network: &Network, endpoint: &Endpoint) -> Part {
    let mut part = Part::default();
    if network.internal || network.driver != Driver::Bridge {
        return part;
    }
    let id: String = endpoint.container.as_str().chars().take(12).collect();
    let comment = format!("wharf: {} {id}", endpoint.container_name);
    let mut known = BTreeSet::new();
    for publication in &endpoint.publications {
        for (set, key, data) in entries(network, publication) {
            let element = Element {
                key,
                data,
                comment: comment.clone(),
            };
            // Two ports of the host may lead to one of the container.
            if known.insert((set, element.key.clone())) {
                part.elements.push((set, element));
            }
        }
    }
    part
}

/// Loopback is a relay's work, and what goes to another family is one's, too.
fn entries(network: &Network, publication: &Publication) -> Vec<(&'static str, Vec<u8>, Data)> {
    let Publication {
        port,
        address,
        host,
        to,
    } = *publication;
    let (family, at) = match to {
        IpAddr::V4(_) => (Family::Ipv4, 0),
        IpAddr::V6(_) => (Family::Ipv6, 1),
    };
    let name = |names: [&'static str; 2]| names.get(at).copied().unwrap_or_default();
    let protocol = port.protocol.number();
    let mut all = Vec::new();
    let mode = mode(network, family);
    if mode == Mode::Routed || network.trusted().next().is_some() {
        let mut key = octets(to);
        key.extend(service(protocol, port.number));
        all.push((name(sets::OPEN), key, Data::None));
    }
    let is_relayed = address.is_ipv4() != to.is_ipv4() || address.is_loopback();
    if mode == Mode::Routed || is_relayed {
        return all;
    }
    let mut data = octets(to);
    data.extend(padded(port.number));
    let data = Data::Value(data);
    if address.is_unspecified() {
        all.push((name(sets::PORTS), service(protocol, host), data));
    } else {
        let mut key = octets(address);
        key.extend(service(protocol, host));
        all.push((name(sets::ADDRESSES), key, data));
    }
    all
}

/// A word each.
fn service(protocol: u8, port: u16) -> Vec<u8> {
    let mut bytes = vec![protocol, 0, 0, 0];
    bytes.extend(padded(port));
    bytes
}

fn padded(port: u16) -> [u8; 4] {
    let [high, low] = port.to_be_bytes();
    [high, low, 0, 0]
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}
