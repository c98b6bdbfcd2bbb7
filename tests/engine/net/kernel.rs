//! What the kernel does with packets: isolation and published ports as full matrices, flushes and repairs. Nothing of wharf but
//! its devices and its firewall takes part: containers are bare network namespaces.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;

use serde_json::json;
use wharf::engine::net::device;
use wharf::engine::sys::link::Links;
use wharf::engine::sys::netlink::Socket;
use wharf::engine::sys::nftables::{Base, Changes, Family, Hook, Rule, Verdict, Way};

use super::world::{HOST, OUTSIDE, Over, PORT, Try, World, inside, network};
use crate::support;

const ICC: &str = "com.docker.network.bridge.enable_icc";

/// Networks a and b, an internal one, and one whose containers do not talk.
fn world() -> Option<World> {
    let _host = support::privileged()?;
    let mut world = World::new();
    world.add_network(network("a", 1, false, &[]));
    world.add_network(network("b", 2, false, &[]));
    world.add_network(network("i", 3, true, &[]));
    world.add_network(network("n", 4, false, &[(ICC, "false")]));
    for (name, network, host) in [
        ("a1", "a", 2),
        ("a2", "a", 3),
        ("b1", "b", 2),
        ("i1", "i", 2),
        ("i2", "i", 3),
        ("n1", "n", 2),
        ("n2", "n", 3),
    ] {
        world.add_container(name, network, host);
    }
    Some(world)
}

/// Whether one reaches the other by its own address.
fn is_reachable(from: &str, to: &str) -> bool {
    let kind = |place: &str| place.chars().next().unwrap();
    match (from, to) {
        // Whoever is root on the host reaches all; containers with a way out reach the host and the outside.
        _ if from == to || from == "host" => true,
        ("outside", _) => to == "host",
        (_, "host" | "outside") => kind(from) != 'i',
        _ => kind(from) == kind(to) && kind(from) != 'n',
    }
}

fn isolation(world: &World) -> Vec<Try> {
    let mut tries = Vec::new();
    for from in world.places.keys() {
        for (to, place) in &world.places {
            for address in place.addresses {
                for over in [Over::Tcp, Over::Udp] {
                    let expect = is_reachable(from, to);
                    tries.push(Try {
                        from: from.clone(),
                        to: SocketAddr::new(address, PORT),
                        over,
                        expect,
                        what: format!("{from} to {to} at {address} {over:?}: expected {expect}"),
                    });
                }
            }
        }
    }
    tries
}

#[test]
fn networks_reach_what_they_should_and_nothing_else() {
    let Some(world) = world() else { return };
    let tries = isolation(&world);
    assert_eq!(tries.len(), 9 * 9 * 2 * 2);
    world.check(&tries);
    // All but those to the host and outside, and of containers to themselves.
    assert_eq!(world.agrees(&tries), (9 - 1) * 7 * 2 * 2);
    // The dropped ones were dropped by rules, not lost.
    for network in ["a", "b", "n", "i"] {
        assert!(
            world.dropped(&format!("network {network}: nothing else")) > 0,
            "{network}"
        );
    }
    assert!(world.dropped("network i: reaches nothing") > 0);
    // Containers appear outside as the host.
    let host = HOST.map(|address| address.parse::<IpAddr>().unwrap());
    let callers = world.places["outside"].callers();
    let own = OUTSIDE.map(|address| address.parse::<IpAddr>().unwrap());
    let others: Vec<_> = callers.iter().filter(|a| !own.contains(a)).collect();
    assert_eq!(others, host.iter().collect::<Vec<_>>());
}

/// Everybody may ask an internal network's gateway, which is the host.
#[test]
fn a_gateway_is_reached_from_its_network() {
    let Some(world) = world() else { return };
    let mut tries = Vec::new();
    for (from, number, expect) in [
        ("i1", 3, true),
        ("a1", 1, true),
        ("n1", 4, true),
        ("i1", 1, false),
    ] {
        for address in [format!("172.30.{number}.1"), format!("fd00:{number}::1")] {
            for over in [Over::Tcp, Over::Udp] {
                tries.push(Try {
                    from: from.to_owned(),
                    to: SocketAddr::new(address.parse().unwrap(), PORT),
                    over,
                    expect,
                    what: format!("{from} to gateway {address} {over:?}"),
                });
            }
        }
    }
    world.check(&tries);
}

/// Forms: all addresses, one address, the last of a range.
fn publications(world: &World, name: &str) -> serde_json::Value {
    let mut all = Vec::new();
    for (at, to) in world.places[name].addresses.iter().enumerate() {
        let (any, one) = (["0.0.0.0", "::"][at], HOST[at]);
        for protocol in ["tcp", "udp"] {
            let mut publish = |address: &str, host: u16| {
                all.push(json!({
                    "port": { "number": PORT, "protocol": protocol },
                    "address": address, "host": host, "to": to,
                }));
            };
            publish(any, 8080);
            publish(one, 8081);
            for host in 9000..9100 {
                publish(any, host);
            }
            publish(["127.0.0.1", "::1"][at], 8082);
        }
    }
    serde_json::Value::from(all)
}

fn published(world: &World) -> Vec<Try> {
    let mut tries = Vec::new();
    for from in world.places.keys() {
        for address in HOST {
            // 8082 is published on loopback alone, 8083 is not published.
            for port in [8080, 8081, 9099, 8082, 8083] {
                for over in [Over::Tcp, Over::Udp] {
                    let expect = !from.starts_with('i') && !matches!(port, 8082 | 8083);
                    tries.push(Try {
                        from: from.clone(),
                        to: SocketAddr::new(address.parse().unwrap(), port),
                        over,
                        expect,
                        what: format!("{from} to {address} {port} {over:?}: expected {expect}"),
                    });
                }
            }
        }
    }
    tries
}

#[test]
fn published_ports_are_reached_from_everywhere_but_internal_networks() {
    let Some(mut world) = world() else { return };
    let list = publications(&world, "a1");
    world.publish("a1", list);
    let tries = published(&world);
    assert_eq!(tries.len(), 9 * 2 * 5 * 2);
    world.check(&tries);
    // But those of the container that publishes.
    let own = 2 * 4 * 2;
    assert_eq!(world.agrees(&tries), tries.len() - own);
    // Direct ways stay shut.
    world.check(&isolation(&world));
    // Who came from outside is seen as who it is.
    let outside: IpAddr = OUTSIDE[0].parse().unwrap();
    assert!(world.places["a1"].callers().contains(&outside));

    let endpoint = world.endpoints[0].clone();
    let (network, _) = world.network("a").clone();
    // An element that a killed process left is replaced, wherever it led.
    world.firewall.publish(&network, &endpoint).unwrap();
    let mut other = endpoint.clone();
    for publication in &mut other.publications {
        publication.to = world.places["a2"].addresses[usize::from(publication.to.is_ipv6())];
    }
    world.firewall.publish(&network, &other).unwrap();
    world.firewall.withdraw(&network, &endpoint).unwrap();
    // What is gone is gone; again is no error.
    world.firewall.withdraw(&network, &endpoint).unwrap();
    let mut tries = published(&world);
    for one in &mut tries {
        one.expect = false;
    }
    world.check(&tries);
}

#[test]
fn containers_that_do_not_talk_are_reached_by_published_ports() {
    let Some(mut world) = world() else { return };
    let list = publications(&world, "n1");
    world.publish("n1", list);
    for tries in [published(&world), isolation(&world)] {
        world.check(&tries);
        assert!(world.agrees(&tries) > 100);
    }
}

fn flush(table: &str) {
    let socket = Socket::netfilter().unwrap();
    let mut changes = Changes::to(Family::Inet, table);
    changes.remove_table();
    changes.commit(&socket).unwrap().unwrap();
}

#[test]
fn cve_2025_54388_rules_are_made_again_after_a_flush() {
    let Some(mut world) = world() else { return };
    let list = publications(&world, "a1");
    world.publish("a1", list);
    let before = world.firewall.rules().unwrap().len();
    flush("wharf");
    // What is published on loopback is no rule, so that the loss of all of them opens nothing.
    let loopback: Vec<Try> = published(&world)
        .into_iter()
        .filter(|one| one.to.port() == 8082)
        .collect();
    world.check(&loopback);
    world
        .firewall
        .ensure(&world.bridged(), &world.endpoints)
        .unwrap();
    assert_eq!(world.firewall.rules().unwrap().len(), before);
    world.check(&published(&world));
    world.check(&isolation(&world));
}

#[test]
fn repair_says_what_was_missing_and_leaves_the_administrators_chain() {
    let Some(mut world) = world() else { return };
    let list = publications(&world, "a1");
    world.publish("a1", list);
    let repair = |world: &World| {
        let repaired = world.firewall.repair(&world.bridged(), &world.endpoints);
        repaired.unwrap().missing
    };
    assert_eq!(repair(&world), Vec::<String>::new());

    let socket = Socket::netfilter().unwrap();
    let mut changes = Changes::to(Family::Inet, "wharf");
    let own = Rule::new("mine")
        .device(Way::In, "nowhere")
        .then(Verdict::Drop);
    changes.rule("wharf-user", &own);
    changes.flush_chain("forward");
    changes.flush_set("publish4");
    changes.commit(&socket).unwrap().unwrap();
    let missing = repair(&world);
    assert_eq!(
        missing,
        [
            "rules of chain forward".to_owned(),
            format!(
                "element of publish4: wharf: a1 {}",
                world.endpoints[0].container.short()
            ),
            format!(
                "element of publish4: wharf: a1 {}",
                world.endpoints[0].container.short()
            ),
        ]
    );
    assert_eq!(repair(&world), Vec::<String>::new());
    let rules = world.firewall.rules().unwrap();
    assert!(rules.iter().any(|rule| rule.comment == "mine"));
    world.check(&published(&world));

    // The last network takes the table with it, but not what is the administrator's.
    for (network, bridge) in world.networks.clone() {
        world.firewall.remove_network(&network, &bridge).unwrap();
        device::remove_bridge(&bridge).unwrap();
        device::remove_bridge(&bridge).unwrap();
    }
    let rules = world.firewall.rules().unwrap();
    assert!(rules.iter().any(|rule| rule.comment == "mine"));
    world.firewall.remove().unwrap();
    world.firewall.remove().unwrap();
    assert_eq!(world.firewall.rules().unwrap(), []);
}

#[test]
fn cve_2020_8558_loopback_is_not_reached_from_beside() {
    let Some(world) = world() else { return };
    // As on hosts that route what is for loopback.
    std::fs::write("/proc/sys/net/ipv4/conf/all/route_localnet", "1").unwrap();
    let outside = &world.places["outside"];
    inside(outside.namespace.as_fd(), || {
        std::fs::write("/proc/sys/net/ipv4/conf/all/route_localnet", "1").unwrap();
        std::fs::write("/proc/sys/net/ipv4/conf/eth0/route_localnet", "1").unwrap();
        let links = Links::here().unwrap();
        let index = links.find("eth0").unwrap();
        // No loopback of its own, and a neighbour who should take it.
        let mut batch = wharf::engine::sys::netlink::Batch::default();
        batch.push(
            wharf::engine::sys::route::by_gateway(
                index,
                "127.0.0.9/32".parse().unwrap(),
                HOST[0].parse().unwrap(),
            ),
            "route",
        );
        links.run(&batch).unwrap();
    });
    let before = world.dropped("loopback is not reached");
    let tries: Vec<Try> = [Over::Tcp, Over::Udp]
        .into_iter()
        .map(|over| Try {
            from: "outside".to_owned(),
            to: "127.0.0.9:7000".parse().unwrap(),
            over,
            expect: false,
            what: format!("outside to loopback {over:?}"),
        })
        .collect();
    world.check(&tries);
    world.wait_dropped("loopback is not reached", before);
}

#[test]
fn cve_2020_13401_no_advertisement_of_a_container_is_taken() {
    let Some(world) = world() else { return };
    for (network, bridge) in &world.networks {
        let path = format!("/proc/sys/net/ipv6/conf/{bridge}/accept_ra");
        let value = std::fs::read_to_string(path).unwrap();
        assert_eq!(value, "0\n", "{}", network.name);
    }
    for endpoint in &world.endpoints {
        let port = &endpoint.host_interface;
        let path = format!("/proc/sys/net/ipv6/conf/{port}/disable_ipv6");
        assert_eq!(std::fs::read_to_string(path).unwrap(), "1\n", "{port}");
        let place = &world.places[&endpoint.container_name];
        let inner = inside(place.namespace.as_fd(), || {
            std::fs::read_to_string("/proc/sys/net/ipv6/conf/eth0/accept_ra").unwrap()
        });
        assert_eq!(inner, "0\n");
    }
}

/// The packets of it: no name leaves, because no packet does (names are `dns`'s tests').
#[test]
fn cve_2024_29018_no_packet_of_an_internal_network_leaves() {
    let Some(world) = world() else { return };
    let before = world.dropped("network i: reaches nothing");
    let tries: Vec<Try> = OUTSIDE
        .iter()
        .chain(&HOST)
        .flat_map(|address| [Over::Tcp, Over::Udp].map(|over| (address, over)))
        .map(|(address, over)| Try {
            from: "i1".to_owned(),
            to: SocketAddr::new(address.parse().unwrap(), 53),
            over,
            expect: false,
            what: format!("i1 to {address} {over:?}"),
        })
        .collect();
    world.check(&tries);
    world.wait_dropped("network i: reaches nothing", before + 3);
}

/// A table as Docker and ufw have one by `iptables-nft`.
#[test]
fn another_firewall_that_drops_what_it_does_not_know_lets_our_bridges_through() {
    let Some(mut world) = world() else { return };
    let list = publications(&world, "a1");
    world.publish("a1", list);
    let socket = Socket::netfilter().unwrap();
    for family in [Family::Ipv4, Family::Ipv6] {
        let mut changes = Changes::to(family, "filter");
        changes.table("");
        let base = Base {
            hook: Hook::Forward,
            priority: 0,
            nat: false,
        };
        changes.chain("FORWARD", Some(base));
        changes.policy("FORWARD", Verdict::Drop);
        changes.commit(&socket).unwrap().unwrap();
    }
    let missing = world
        .firewall
        .repair(&world.bridged(), &world.endpoints)
        .unwrap()
        .missing;
    assert_eq!(missing.len(), 8, "{missing:?}");
    world.check(&published(&world));
    world.check(&isolation(&world));
    let again = world.firewall.repair(&world.bridged(), &world.endpoints);
    assert_eq!(again.unwrap().missing, Vec::<String>::new());
    for (network, bridge) in world.networks.clone() {
        world.firewall.remove_network(&network, &bridge).unwrap();
    }
    for family in [Family::Ipv4, Family::Ipv6] {
        let left = wharf::engine::sys::nftables::rules(&socket, family, "filter", None);
        assert_eq!(left.unwrap(), []);
    }
}
