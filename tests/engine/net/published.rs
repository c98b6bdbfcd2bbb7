//! Published ports end to end: containers that the command line made, every form of `-p`, tried from everywhere. Each try is a
//! connection or a datagram that has to come back.

use std::net::{IpAddr, SocketAddr};

use wharf::engine::net::firewall::Firewall;
use wharf::engine::sys::netlink::Socket;
use wharf::engine::sys::nftables::{Changes, Family, Rule, Verdict, Way};

use super::lines::{both, container, direct, host, network};
use super::reach::agrees;
use super::world::{HOST, PORT, Try, World};
use crate::support::Host;

/// Forms of `-p`, the port of the host that they lead from, and the addresses of the host: all, or those that begin so.
const FORMS: [(&str, u16, &[&str]); 11] = [
    ("8080:7000", 8080, &[""]),
    ("203.0.113.1:8081:7000", 8081, &["203.0.113.1"]),
    ("[2001:db8:113::1]:8082:7000", 8082, &["2001:db8:113::1"]),
    ("127.0.0.1:8083:7000", 8083, &["127.0.0.1"]),
    ("[::1]:8084:7000", 8084, &["::1"]),
    ("8085-8087:7000", 8085, &[""]),
    ("0.0.0.0:8088:7000", 8088, &["203", "127", "10"]),
    ("[::]:8089:7000", 8089, &["2001", "::1", "fd90"]),
    ("8090-8091:6999-7000", 8091, &[""]),
    // One of any number, and one that is not published.
    ("7000", 0, &[""]),
    ("203.0.113.1::7000", 1, &["203.0.113.1"]),
];

/// Where the host is asked: outside, loopback, the network's gateways.
const ASKED: [&str; 6] = [
    HOST[0],
    HOST[1],
    "127.0.0.1",
    "::1",
    "10.90.1.1",
    "fd90:1::1",
];

const PLACES: [&str; 6] = ["host", "outside", "web", "mate", "other", "inner"];

fn tries(ports: &[(u16, &[&str])]) -> Vec<Try> {
    let mut tries = Vec::new();
    for from in PLACES {
        for asked in ASKED {
            for (port, addresses) in ports {
                let address: IpAddr = asked.parse().unwrap();
                let leads = addresses.iter().any(|start| asked.starts_with(start));
                // Everybody has a loopback of his own, and who is inside reaches nothing.
                let may = from == "host" || (from != "inner" && !address.is_loopback());
                let to = SocketAddr::new(address, *port);
                tries.extend(both(from, to, leads && may, "published"));
            }
        }
    }
    tries
}

fn ports(host: &Host) -> Vec<(u16, &'static [&'static str])> {
    // What was chosen for the forms that do not say.
    let shown = host.ok(["port", "web", "7000/tcp"]);
    let chosen: Vec<SocketAddr> = shown.lines().map(|line| line.parse().unwrap()).collect();
    let known = |port: u16| FORMS.iter().any(|(_, known, _)| *known == port);
    let any = chosen.iter().find(|at| at.is_ipv6() && !known(at.port()));
    let any = any.unwrap().port();
    let one = chosen
        .iter()
        .find(|at| !at.ip().is_unspecified() && !known(at.port()));
    let one = one.unwrap().port();
    FORMS
        .iter()
        .map(|(_, port, addresses)| match port {
            0 => (any, *addresses),
            1 => (one, *addresses),
            port => (*port, *addresses),
        })
        .collect()
}

fn build(host: &Host, world: &mut World) {
    network(host, "front", 1, &[]);
    network(host, "back", 2, &[]);
    network(host, "inside", 3, &["--internal"]);
    // Datagrams get the same numbers as connections where they are said.
    let forms: Vec<String> = FORMS
        .iter()
        .flat_map(|(form, port, _)| {
            let udp = (*port > 1).then(|| format!("{form}/udp"));
            [Some((*form).to_owned()), udp]
        })
        .flatten()
        .collect();
    let flags: Vec<&str> = forms.iter().flat_map(|form| ["-p", form]).collect();
    container(host, world, "web", "front", &flags);
    container(host, world, "mate", "front", &[]);
    container(host, world, "other", "back", &[]);
    container(host, world, "inner", "inside", &[]);
}

#[test]
fn every_form_of_publication_is_reached_from_where_it_should_be() {
    let Some((host, mut world)) = host() else {
        return;
    };
    build(&host, &mut world);
    let ports = ports(&host);
    let mut all = tries(&ports);
    assert_eq!(all.len(), PLACES.len() * ASKED.len() * FORMS.len() * 2);
    // Datagrams have no number that was chosen for connections.
    let chosen = [ports[9].0, ports[10].0];
    for one in &mut all {
        if chosen.contains(&one.to.port()) && one.over == super::world::Over::Udp {
            one.expect = false;
        }
    }
    world.check(&all);
    assert!(agrees(&host, &all) > all.len() / 2);
    // Its own address stays shut for who is not on its network.
    let mut own = Vec::new();
    for (from, expect) in [
        ("host", true),
        ("mate", true),
        ("outside", false),
        ("other", false),
        ("inner", false),
    ] {
        own.extend(direct(&world, from, "web", PORT, expect));
    }
    world.check(&own);
    assert_eq!(agrees(&host, &own), own.len());
    // What ends takes it all away.
    host.ok(["rm", "-f", "web"]);
    for one in &mut all {
        one.expect = false;
    }
    all.retain(|one| one.from != "web");
    world.check(&all);
    assert_eq!(agrees(&host, &all), all.len());
}

#[test]
fn all_exposed_ports_are_published_with_one_flag() {
    let Some((host, mut world)) = host() else {
        return;
    };
    network(&host, "front", 1, &[]);
    let flags = ["-P", "--expose", "7000", "--expose", "7000/udp"];
    container(&host, &mut world, "web", "front", &flags);
    let mut tries = Vec::new();
    for (at, protocol) in ["tcp", "udp"].into_iter().enumerate() {
        let shown = host.ok(["port", "web", &format!("7000/{protocol}")]);
        let port = shown.lines().next().unwrap().rsplit_once(':').unwrap().1;
        for asked in ASKED {
            let to = SocketAddr::new(asked.parse().unwrap(), port.parse().unwrap());
            for from in ["host", "outside"] {
                if from == "outside" && to.ip().is_loopback() {
                    continue;
                }
                tries.push(both(from, to, true, "exposed")[at].clone());
            }
        }
    }
    world.check(&tries);
}

fn set(path: &str, value: &str) {
    std::fs::write(format!("/proc/sys/net/{path}"), value).unwrap();
}

/// Two neighbours of the host, and a container with a published port: who reaches whom.
fn neighbours(forwarded: bool) -> Option<()> {
    let (host, mut world) = host()?;
    let on = if forwarded { "1" } else { "0" };
    set("ipv4/ip_forward", on);
    set("ipv6/conf/all/forwarding", on);
    let (here, there) = (
        ["198.51.100.1", "2001:db8:51::1"],
        ["198.51.100.2", "2001:db8:51::2"],
    );
    world.neighbour("beside", "out1", here, there);
    network(&host, "front", 1, &[]);
    let flags = ["-p", "8080:7000", "-p", "8080:7000/udp"];
    container(&host, &mut world, "web", "front", &flags);
    let between = |world: &World, expect: bool| {
        let mut tries = direct(world, "outside", "beside", PORT, expect);
        tries.extend(direct(world, "beside", "outside", PORT, expect));
        for from in ["outside", "beside"] {
            for address in HOST {
                let to = SocketAddr::new(address.parse().unwrap(), 8080);
                tries.extend(both(from, to, true, "published"));
            }
            tries.extend(direct(world, "web", from, PORT, true));
        }
        world.check(&tries);
    };
    between(&world, forwarded);
    if !forwarded {
        // What the administrator accepts goes through.
        let socket = Socket::netfilter().unwrap();
        let firewall = Firewall::of(&host.run());
        let mut changes = Changes::to(Family::Inet, firewall.table());
        for (way, device) in [(Way::In, "out1"), (Way::Out, "out1")] {
            let mine = Rule::new("mine").device(way, device);
            changes.rule("wharf-user", &mine.then(Verdict::Accept));
        }
        changes.commit(&socket).unwrap().unwrap();
        between(&world, true);
    }
    Some(())
}

#[test]
fn a_host_that_did_not_forward_is_no_router_for_its_neighbours() {
    let _ = neighbours(false);
}

#[test]
fn a_host_that_forwarded_before_still_does() {
    let _ = neighbours(true);
}

/// Our bridges are let through Docker's own rules, so ours have to keep its containers' ports shut.
#[test]
fn networks_of_other_engines_are_reached_by_what_they_publish_alone() {
    let Some((host, mut world)) = host() else {
        return;
    };
    for (number, name, device) in [
        (1, "docker", "docker0"),
        (2, "dockers", "br-0123456789ab"),
        (3, "podman", "podman1"),
        (4, "lan", "br-lan"),
    ] {
        let of = |last: u8| {
            [
                format!("172.31.{number}.{last}"),
                format!("2001:db8:31:{number}::{last}"),
            ]
        };
        let (here, there) = (of(1), of(2));
        let [here, there] = [&here, &there].map(|pair| [pair[0].as_str(), pair[1].as_str()]);
        world.neighbour(name, device, here, there);
    }
    network(&host, "front", 1, &[]);
    let flags = ["-p", "8080:7000", "-p", "8080:7000/udp"];
    container(&host, &mut world, "web", "front", &flags);
    let mut tries = Vec::new();
    for other in ["docker", "dockers", "podman", "lan"] {
        tries.extend(direct(&world, "web", other, PORT, other == "lan"));
        tries.extend(direct(&world, other, "web", PORT, false));
        for address in HOST {
            let to = SocketAddr::new(address.parse().unwrap(), 8080);
            tries.extend(both(other, to, true, "published"));
        }
    }
    world.check(&tries);
}

/// A sender who never pauses keeps the kernel's memory of where its datagrams went.
#[test]
fn datagrams_follow_a_port_to_its_next_container() {
    let Some((host, mut world)) = host() else {
        return;
    };
    network(&host, "front", 1, &[]);
    container(
        &host,
        &mut world,
        "first",
        "front",
        &["-p", "8080:7000/udp"],
    );
    let outside = &world.places["outside"];
    let socket = super::world::inside(std::os::fd::AsFd::as_fd(&outside.namespace), || {
        std::net::UdpSocket::bind("0.0.0.0:4000").unwrap()
    });
    socket.set_nonblocking(true).unwrap();
    let host_port = (HOST[0], 8080);
    let mut buffer = [0; 16];
    let mut arrives = |world: &World, at: &str| {
        crate::support::wait_until(at, crate::support::PATIENCE, || {
            socket.send_to(b"ping", host_port).unwrap();
            world.places[at].answer();
            socket.recv_from(&mut buffer).is_ok()
        });
    };
    arrives(&world, "first");
    host.ok(["rm", "-f", "first"]);
    world.places.remove("first");
    socket.send_to(b"ping", host_port).unwrap();
    container(
        &host,
        &mut world,
        "second",
        "front",
        &["-p", "8080:7000/udp"],
    );
    arrives(&world, "second");
}
