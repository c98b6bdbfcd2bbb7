//! Who can reach a container, and by which rule: worked out from networks, endpoints and publications, as the firewall has it.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::ContainerId;
use super::network::{Driver, Endpoint, Network, Port, Protocol, Publication};

/// One way to a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// Who has it.
    pub from: From,
    /// Where they get.
    pub to: To,
    /// What lets them.
    pub rule: String,
}

/// Who has a way.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum From {
    /// Processes of this host.
    Host,
    /// Other hosts.
    Outside,
    /// Other hosts, as far as they come by these devices.
    Beside(Vec<String>),
    /// These containers, by name.
    Containers(Vec<String>),
}

/// Where a way leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    /// Every port of an address of the container.
    All(IpAddr),
    /// A port of the container, at an address of the container's own.
    Own(IpAddr, Port),
    /// A port of the container, at a port of this host.
    Published(Publication),
    /// Whatever it listens on: it has this host's addresses.
    Shared,
}

impl fmt::Display for To {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All(address) => write!(f, "{address}, all ports"),
            Self::Own(address, port) => {
                let at = SocketAddr::new(*address, port.number);
                write!(f, "{at}/{}", port.protocol.as_str())
            }
            Self::Published(published) => {
                let at = SocketAddr::new(published.address, published.host);
                write!(f, "{at} to {}", published.port)
            }
            Self::Shared => f.write_str("whatever it listens on"),
        }
    }
}

/// A socket of a container, as the kernel has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The container's side.
    pub local: SocketAddr,
    /// The other side, if there is one.
    pub remote: Option<SocketAddr>,
    /// Its state as ss(8) calls it.
    pub state: &'static str,
}

/// All ways to a container: from this host, from outside, from other containers. None if it is on no network.
#[must_use]
pub fn who_reaches(
    container: &ContainerId,
    networks: &[Network],
    endpoints: &[Endpoint],
) -> Vec<Way> {
    let mut ways = Vec::new();
    for endpoint in endpoints.iter().filter(|e| e.container == *container) {
        let Some(network) = networks.iter().find(|n| n.id == endpoint.network) else {
            continue;
        };
        match network.driver {
            Driver::Bridge => by_bridge(&mut ways, network, endpoint, networks, endpoints),
            Driver::Macvlan | Driver::Ipvlan => by_device(&mut ways, network, endpoint, endpoints),
            // Nobody is entered on these.
            Driver::Host | Driver::Null => {}
        }
    }
    ways.sort_by(|a, b| a.from.cmp(&b.from));
    ways
}

/// All ways to a container that shares this host's network.
#[must_use]
pub fn who_reaches_the_host() -> Vec<Way> {
    let way = |from| Way {
        from,
        to: To::Shared,
        rule: "it shares this host's network".to_owned(),
    };
    [From::Host, From::Outside].map(way).into()
}

fn by_bridge(
    ways: &mut Vec<Way>,
    network: &Network,
    endpoint: &Endpoint,
    networks: &[Network],
    endpoints: &[Endpoint],
) {
    let rule = |what: &str| format!("network {}: {what}", network.name);
    for address in endpoint.addresses() {
        if has_host(network, address) {
            ways.push(Way {
                from: From::Host,
                to: To::All(address),
                rule: rule("this host is on it"),
            });
        }
    }
    let talks = network
        .switch("com.docker.network.bridge.enable_icc")
        .unwrap_or(true);
    let peers = names(endpoints, |e| e.network == network.id, endpoint);
    if talks {
        to_all(ways, endpoint, &peers, &rule("among each other"));
    }
    if network.internal {
        return;
    }
    let reaches_out = |e: &Endpoint| {
        networks
            .iter()
            .any(|n| n.id == e.network && n.driver == Driver::Bridge && !n.internal)
    };
    let others = names(endpoints, reaches_out, endpoint);
    // Without a port of the host it is `directly`'s.
    let published = endpoint.publications.iter();
    for &published in published.filter(|published| published.host != 0) {
        let to = To::Published(published);
        if published.address.is_loopback() {
            ways.push(Way {
                from: From::Host,
                to,
                rule: "published, to loopback alone".to_owned(),
            });
            continue;
        }
        for from in [From::Host, From::Outside] {
            ways.push(Way {
                from,
                to,
                rule: rule("published"),
            });
        }
        push_containers(ways, &others, to, rule("published"));
    }
    // Who is on the network itself has all ports of these addresses already.
    let not_peer = |name: &&String| !talks || !peers.contains(name);
    let others: Vec<String> = others.iter().filter(not_peer).cloned().collect();
    for address in endpoint.addresses() {
        directly(ways, network, endpoint, address, &others);
    }
}

/// What gateway modes other than translation, and trusted devices, let in.
fn directly(
    ways: &mut Vec<Way>,
    network: &Network,
    endpoint: &Endpoint,
    address: IpAddr,
    others: &[String],
) {
    let ports = || -> BTreeSet<Port> {
        let published = endpoint.publications.iter();
        let here = published.filter(|published| published.to == address);
        here.map(|published| published.port).collect()
    };
    let trusted: Vec<String> = network.trusted().map(ToOwned::to_owned).collect();
    for port in ports().into_iter().filter(|_| !trusted.is_empty()) {
        ways.push(Way {
            from: From::Beside(trusted.clone()),
            to: To::Own(address, port),
            rule: format!("network {}: published, from a trusted device", network.name),
        });
    }
    match mode(network, address) {
        Some("nat-unprotected") => ways.push(Way {
            from: From::Outside,
            to: To::All(address),
            rule: format!("network {}: unprotected", network.name),
        }),
        Some("routed") => {
            let rule = format!("network {}: published, by its own address", network.name);
            for port in ports() {
                let to = To::Own(address, port);
                ways.push(Way {
                    from: From::Outside,
                    to,
                    rule: rule.clone(),
                });
                push_containers(ways, others, to, rule.clone());
            }
        }
        _ => {}
    }
}

/// A device of its own on a device of the host: the host itself is kept apart from it (ip-link(8), macvlan).
fn by_device(ways: &mut Vec<Way>, network: &Network, endpoint: &Endpoint, endpoints: &[Endpoint]) {
    let peers = names(endpoints, |e| e.network == network.id, endpoint);
    let rule = format!("network {}: among each other", network.name);
    to_all(ways, endpoint, &peers, &rule);
    if network.internal {
        return;
    }
    for address in endpoint.addresses() {
        ways.push(Way {
            from: From::Outside,
            to: To::All(address),
            rule: format!(
                "network {}: {} on a device of this host",
                network.name,
                network.driver.as_str()
            ),
        });
    }
}

fn to_all(ways: &mut Vec<Way>, endpoint: &Endpoint, from: &[String], rule: &str) {
    for address in endpoint.addresses() {
        push_containers(ways, from, To::All(address), rule.to_owned());
    }
}

fn push_containers(ways: &mut Vec<Way>, names: &[String], to: To, rule: String) {
    if !names.is_empty() {
        let from = From::Containers(names.to_vec());
        ways.push(Way { from, to, rule });
    }
}

/// Names of other containers, each once.
fn names(endpoints: &[Endpoint], fits: impl Fn(&Endpoint) -> bool, but: &Endpoint) -> Vec<String> {
    let others = endpoints
        .iter()
        .filter(|e| e.container != but.container && fits(e));
    let names: BTreeSet<&String> = others.map(|e| &e.container_name).collect();
    names.into_iter().cloned().collect()
}

/// Whether the network's bridge has an address of that family, so that this host is on it.
fn has_host(network: &Network, address: IpAddr) -> bool {
    let inhibited = address.is_ipv4()
        && network
            .switch("com.docker.network.bridge.inhibit_ipv4")
            .unwrap_or(false);
    let isolated = network.internal && mode(network, address) == Some("isolated");
    !inhibited && !isolated
}

fn mode(network: &Network, address: IpAddr) -> Option<&str> {
    let name = if address.is_ipv4() {
        "com.docker.network.bridge.gateway_mode_ipv4"
    } else {
        "com.docker.network.bridge.gateway_mode_ipv6"
    };
    network.options.get(name).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::super::Timestamp;
    use super::super::network::{Mac, Pool, RECORD_VERSION};
    use super::*;

    fn id(n: u8) -> ContainerId {
        ContainerId::try_from(format!("{n:02x}").repeat(32)).unwrap()
    }

    fn network(n: u8, driver: Driver, options: &[(&str, &str)]) -> Network {
        let name = |short: &str| format!("com.docker.network.bridge.{short}");
        Network {
            version: RECORD_VERSION,
            id: id(n),
            name: format!("n{n}"),
            created: Timestamp::now(),
            driver,
            pools: vec![Pool {
                subnet: format!("10.0.{n}.0/24").parse().unwrap(),
                range: None,
                gateway: None,
                reserved: std::collections::BTreeMap::new(),
            }],
            ipv4: true,
            ipv6: false,
            internal: options.contains(&("internal", "")),
            attachable: false,
            config_only: false,
            config_from: String::new(),
            options: options
                .iter()
                .map(|(key, value)| (name(key), (*value).to_owned()))
                .collect(),
            ipam_options: std::collections::BTreeMap::new(),
            labels: std::collections::BTreeMap::new(),
        }
    }

    fn endpoint(container: u8, network: u8, published: &[&str]) -> Endpoint {
        let address = format!("10.0.{network}.{container}");
        Endpoint {
            id: id(200),
            container: id(container),
            container_name: format!("c{container}"),
            network: id(network),
            interface: "eth0".to_owned(),
            host_interface: String::new(),
            mac: Mac::default(),
            ipv4: Some(format!("{address}/24").parse().unwrap()),
            ipv6: None,
            gateways: Vec::new(),
            link_local: Vec::new(),
            host_name: String::new(),
            names: BTreeSet::new(),
            links: Vec::new(),
            publications: published
                .iter()
                .map(|at| {
                    let at: SocketAddr = at.parse().unwrap();
                    Publication {
                        port: Port {
                            number: 80,
                            protocol: Protocol::Tcp,
                        },
                        address: at.ip(),
                        host: at.port(),
                        to: address.parse().unwrap(),
                    }
                })
                .collect(),
            since: Timestamp::now(),
        }
    }

    fn check(networks: &[Network], endpoints: &[Endpoint], expected: &[&str]) {
        let shown: Vec<String> = who_reaches(&id(1), networks, endpoints)
            .iter()
            .map(|way| {
                let from = match &way.from {
                    From::Host => "host".to_owned(),
                    From::Outside => "outside".to_owned(),
                    From::Beside(devices) => format!("beside {}", devices.join("+")),
                    From::Containers(names) => names.join("+"),
                };
                format!("{from} > {} ({})", way.to, way.rule)
            })
            .collect();
        assert_eq!(shown, expected);
    }

    #[test]
    fn the_same_bridge_the_host_and_publications_lead_to_a_container() {
        let networks = [
            network(7, Driver::Bridge, &[]),
            network(8, Driver::Bridge, &[]),
        ];
        let endpoints = [
            endpoint(1, 7, &["0.0.0.0:8080", "127.0.0.1:9090"]),
            endpoint(2, 7, &[]),
            endpoint(3, 7, &[]),
            endpoint(4, 8, &[]),
        ];
        check(
            &networks,
            &endpoints,
            &[
                "host > 10.0.7.1, all ports (network n7: this host is on it)",
                "host > 0.0.0.0:8080 to 80/tcp (network n7: published)",
                "host > 127.0.0.1:9090 to 80/tcp (published, to loopback alone)",
                "outside > 0.0.0.0:8080 to 80/tcp (network n7: published)",
                "c2+c3 > 10.0.7.1, all ports (network n7: among each other)",
                "c2+c3+c4 > 0.0.0.0:8080 to 80/tcp (network n7: published)",
            ],
        );
    }

    #[test]
    fn internal_isolated_and_silent_networks_let_in_what_they_must() {
        let peers = [endpoint(1, 7, &["0.0.0.0:8080"]), endpoint(2, 7, &[])];
        let internal = [network(7, Driver::Bridge, &[("internal", "")])];
        check(
            &internal,
            &peers,
            &[
                "host > 10.0.7.1, all ports (network n7: this host is on it)",
                "c2 > 10.0.7.1, all ports (network n7: among each other)",
            ],
        );
        let isolated = [("internal", ""), ("gateway_mode_ipv4", "isolated")];
        check(
            &[network(7, Driver::Bridge, &isolated)],
            &peers,
            &["c2 > 10.0.7.1, all ports (network n7: among each other)"],
        );
        let silent = [("enable_icc", "false"), ("inhibit_ipv4", "true")];
        check(
            &[network(7, Driver::Bridge, &silent)],
            &peers,
            &[
                "host > 0.0.0.0:8080 to 80/tcp (network n7: published)",
                "outside > 0.0.0.0:8080 to 80/tcp (network n7: published)",
                "c2 > 0.0.0.0:8080 to 80/tcp (network n7: published)",
            ],
        );
    }

    #[test]
    fn routed_and_unprotected_networks_are_reached_by_their_own_addresses() {
        let peers = [endpoint(1, 7, &["0.0.0.0:8080"]), endpoint(2, 8, &[])];
        let other = network(8, Driver::Bridge, &[]);
        let inhibited = ("inhibit_ipv4", "1");
        let routed = network(
            7,
            Driver::Bridge,
            &[("gateway_mode_ipv4", "routed"), inhibited],
        );
        check(
            &[routed, other.clone()],
            &peers,
            &[
                "host > 0.0.0.0:8080 to 80/tcp (network n7: published)",
                "outside > 0.0.0.0:8080 to 80/tcp (network n7: published)",
                "outside > 10.0.7.1:80/tcp (network n7: published, by its own address)",
                "c2 > 0.0.0.0:8080 to 80/tcp (network n7: published)",
                "c2 > 10.0.7.1:80/tcp (network n7: published, by its own address)",
            ],
        );
        let open = network(
            7,
            Driver::Bridge,
            &[("gateway_mode_ipv4", "nat-unprotected"), inhibited],
        );
        check(
            &[open, other],
            &[endpoint(1, 7, &[]), endpoint(2, 8, &[])],
            &["outside > 10.0.7.1, all ports (network n7: unprotected)"],
        );
        let trusting = network(
            7,
            Driver::Bridge,
            &[("trusted_host_interfaces", "lan7:lan8"), inhibited],
        );
        check(
            &[trusting],
            &[endpoint(1, 7, &["127.0.0.1:8080"])],
            &[
                "host > 127.0.0.1:8080 to 80/tcp (published, to loopback alone)",
                "beside lan7+lan8 > 10.0.7.1:80/tcp (network n7: published, from a trusted device)",
            ],
        );
    }

    #[test]
    fn other_drivers_have_other_ways() {
        let pair = [endpoint(1, 7, &[]), endpoint(2, 7, &[])];
        check(
            &[network(7, Driver::Macvlan, &[])],
            &pair,
            &[
                "outside > 10.0.7.1, all ports (network n7: macvlan on a device of this host)",
                "c2 > 10.0.7.1, all ports (network n7: among each other)",
            ],
        );
        check(&[network(7, Driver::Null, &[])], &pair, &[]);
        check(&[], &pair, &[]);
    }
}
