//! Drivers and their options end to end: gateway modes, trusted devices, where ports are published, names and sizes of
//! interfaces, macvlan and ipvlan.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;

use wharf::engine::sys::link::{self, Links, NewKind, NewLink};
use wharf::engine::sys::netlink::Batch;
use wharf::engine::sys::route;

use super::lines::{both, container, direct, host, network};
use super::reach::agrees;
use super::world::{HOST, PORT, Try, inside};
use crate::feature::{self, Feature};
use crate::support::{BUSYBOX, collect};

const BRIDGE: &str = "com.docker.network.bridge";

/// An option of the bridge's driver.
fn option(name: &str, value: &str) -> String {
    format!("{BRIDGE}.{name}={value}")
}

#[test]
fn gateway_modes_say_who_reaches_a_container_by_its_own_address() {
    let Some((host, mut world)) = host() else {
        return;
    };
    for (number, name, mode) in [
        (1, "plain", "nat"),
        (2, "open", "nat-unprotected"),
        (3, "routed", "routed"),
    ] {
        let modes = ["gateway_mode_ipv4", "gateway_mode_ipv6"].map(|family| option(family, mode));
        network(&host, name, number, &["-o", &modes[0], "-o", &modes[1]]);
    }
    let trust = option("trusted_host_interfaces", "lan7:out0");
    network(&host, "trusting", 4, &["-o", &trust]);
    let published = ["-p", "8080-8089:7000", "-p", "8080-8089:7000/udp"];
    let mut tries: Vec<Try> = Vec::new();
    for (name, unpublished, by_port) in [
        ("plain", false, false),
        ("open", true, true),
        ("routed", false, true),
        ("trusting", false, true),
    ] {
        let (bare, web) = (format!("{name}-bare"), format!("{name}-web"));
        container(&host, &mut world, &bare, name, &[]);
        container(&host, &mut world, &web, name, &published);
        tries.extend(direct(&world, "outside", &bare, PORT, unpublished));
        tries.extend(direct(&world, "outside", &web, PORT, by_port));
        tries.extend(direct(&world, "host", &web, PORT, true));
        tries.extend(direct(&world, &bare, &web, PORT, true));
    }
    // What is routed has no ports of the host, or one of one family alone.
    assert_eq!(host.ok(["port", "routed-web"]), "");
    let half = option("gateway_mode_ipv6", "routed");
    network(&host, "half", 5, &["-o", &half]);
    container(&host, &mut world, "half-web", "half", &["-p", "8095:7000"]);
    assert_eq!(host.ok(["port", "half-web"]), "7000/tcp -> 0.0.0.0:8095");
    for (address, expect) in world.places["half-web"]
        .addresses
        .into_iter()
        .zip([false, true])
    {
        let to = SocketAddr::new(address, PORT);
        tries.push(both("outside", to, expect, "half")[0].clone());
    }
    // Networks do not reach each other; what is routed is reached by what it publishes, from everywhere.
    for from in ["plain-web", "open-web", "routed-web", "trusting-web"] {
        for to in ["plain", "open", "routed", "trusting"] {
            if from.starts_with(to) {
                continue;
            }
            let is_routed = to == "routed";
            tries.extend(direct(&world, from, &format!("{to}-web"), PORT, is_routed));
            tries.extend(direct(&world, from, &format!("{to}-bare"), PORT, false));
        }
    }
    world.check(&tries);
    agrees(&host, &tries);
    let mut tries = Vec::new();
    for (name, expect) in [("plain", true), ("open", true), ("trusting", true)] {
        let port = host.ok(["port", &format!("{name}-web"), "7000/tcp"]);
        let port = port.lines().next().unwrap().rsplit_once(':').unwrap().1;
        for address in HOST {
            let to = SocketAddr::new(address.parse().unwrap(), port.parse().unwrap());
            tries.push(both("outside", to, expect, name)[0].clone());
        }
    }
    world.check(&tries);
    agrees(&host, &tries);
}

#[test]
fn an_isolated_network_has_no_gateway_but_itself() {
    let Some((host, mut world)) = host() else {
        return;
    };
    let modes = ["gateway_mode_ipv4", "gateway_mode_ipv6"].map(|family| option(family, "isolated"));
    let flags = ["--internal", "-o", &modes[0], "-o", &modes[1]];
    network(&host, "cell", 1, &flags);
    let [isolated, _] = &modes;
    let refused = host.wharf(["network", "create", "-o", isolated, "x"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("isolated"), "{refused:?}");
    container(&host, &mut world, "one", "cell", &[]);
    container(&host, &mut world, "two", "cell", &[]);
    let mut tries = direct(&world, "one", "two", PORT, true);
    tries.extend(direct(&world, "one", "host", PORT, false));
    tries.extend(direct(&world, "one", "outside", PORT, false));
    tries.extend(direct(&world, "host", "one", PORT, false));
    tries.extend(direct(&world, "outside", "one", PORT, false));
    world.check(&tries);
    agrees(&host, &tries);
}

#[test]
fn options_name_interfaces_and_say_their_size_and_where_ports_are_published() {
    let Some((host, mut world)) = host() else {
        return;
    };
    let binding = option("host_binding_ipv4", HOST[0]);
    let name = option("name", "shop0");
    let flags = [
        "-o",
        &binding,
        "-o",
        &name,
        "-o",
        "com.docker.network.driver.mtu=1400",
        "-o",
        "com.docker.network.container_iface_prefix=lan",
    ];
    network(&host, "shop", 1, &flags);
    // It is there before anybody is on it.
    let links = || Links::here().unwrap();
    let bridge = links().look("shop0").unwrap().unwrap();
    assert_eq!((bridge.kind.as_str(), bridge.mtu), ("bridge", Some(1400)));
    let flags = ["-p", "8080:7000", "-p", "8080:7000/udp"];
    container(&host, &mut world, "web", "shop", &flags);
    assert_eq!(host.ok(["port", "web", "7000"]), "203.0.113.1:8080");
    let shown = host.ok(["exec", "web", "ip", "-o", "link", "show", "lan0"]);
    assert!(shown.contains("mtu 1400"), "{shown}");
    let mut tries = Vec::new();
    for from in ["host", "outside"] {
        for (address, expect) in [(HOST[0], true), (HOST[1], false), ("127.0.0.1", false)] {
            let to = SocketAddr::new(address.parse().unwrap(), 8080);
            tries.extend(both(from, to, expect, "bound"));
        }
    }
    world.check(&tries);
    agrees(&host, &tries);
    host.ok(["rm", "-f", "web"]);
    host.ok(["network", "rm", "shop"]);
    assert_eq!(links().look("shop0").unwrap(), None);
}

#[test]
fn a_macvlan_container_is_a_neighbour_of_the_outside() {
    let Some((host, mut world)) = host() else {
        return;
    };
    let create = [
        "network",
        "create",
        "-d",
        "macvlan",
        "--ipv6",
        "--subnet",
        "203.0.113.0/24",
        "--gateway",
        "203.0.113.2",
        "--subnet",
        "2001:db8:113::/64",
        "--gateway",
        "2001:db8:113::2",
        "-o",
        "parent=out0",
    ];
    host.ok([&create[..], &["street"]].concat());
    let addresses = |last: u8| [format!("203.0.113.{last}"), format!("2001:db8:113::{last}")];
    for (name, last) in [("one", 50), ("two", 51)] {
        let [v4, v6] = addresses(last);
        let flags = ["--ip", &v4, "--ip6", &v6, "-p", "8080-8081:7000"];
        container(&host, &mut world, name, "street", &flags);
    }
    let mut tries = direct(&world, "one", "outside", PORT, true);
    tries.extend(direct(&world, "outside", "one", PORT, true));
    tries.extend(direct(&world, "one", "two", PORT, true));
    // A device does not talk with the ones on it.
    tries.extend(direct(&world, "one", "host", PORT, false));
    tries.extend(direct(&world, "host", "one", PORT, false));
    world.check(&tries);
    agrees(&host, &tries);
    let outside: IpAddr = addresses(50)[0].parse().unwrap();
    assert!(world.places["outside"].callers().contains(&outside));
    host.ok(["rm", "-f", "one", "two"]);
    host.ok(["network", "rm", "street"]);
    assert!(Links::here().unwrap().look("out0").unwrap().is_some());
    let refused = host.wharf([
        "network",
        "create",
        "-d",
        "macvlan",
        "-o",
        "parent=nosuch",
        "x",
    ]);
    assert!(
        refused
            .stderr
            .contains("parent nosuch of network x: no such device"),
        "{refused:?}"
    );
    assert_eq!(host.wharf(["network", "inspect", "x"]).code, 1);
}

/// Whether the kernel has the device.
fn has(kind: NewKind<'_>, feature: Feature) -> bool {
    let new = NewLink {
        name: "try0",
        mac: None,
        mtu: None,
        master: None,
        kind,
        namespace: None,
    };
    let links = Links::here().unwrap();
    let mut batch = Batch::default();
    batch.push(link::create(&new).unwrap(), "try it");
    let made = links.run(&batch).is_ok();
    if made {
        let mut batch = Batch::default();
        batch.push(link::remove("try0").unwrap(), "remove it");
        links.run(&batch).unwrap();
    }
    feature::told(made, feature)
}

#[test]
fn an_ipvlan_container_is_reached_at_its_parents_hardware_address() {
    let Some((host, mut world)) = host() else {
        return;
    };
    let parent = Links::here().unwrap().find("out0").unwrap();
    let kind = NewKind::Ipvlan {
        parent,
        mode: 0,
        flags: 0,
    };
    if !has(kind, Feature::Device("ipvlan")) {
        return;
    }
    for (mode, v4, v6) in [
        ("l2", "203.0.113", "2001:db8:113:"),
        ("l3", "198.51.100", "2001:db8:51:"),
    ] {
        let subnets = [format!("{v4}.0/24"), format!("{v6}:/64")];
        let modes = format!("ipvlan_mode={mode}");
        let [sub4, sub6] = &subnets;
        let create = [
            "network",
            "create",
            "-d",
            "ipvlan",
            "--ipv6",
            "-o",
            "parent=out0",
        ];
        let more = ["--subnet", sub4, "--subnet", sub6, "-o", &modes, mode];
        let gateways = [format!("{v4}.2"), format!("{v6}:2")];
        let gateways = ["--gateway", &gateways[0], "--gateway", &gateways[1]];
        let gateways: &[&str] = if mode == "l2" { &gateways } else { &[] };
        host.ok([&create[..], gateways, &more].concat());
        for last in [60, 61] {
            let [v4, v6] = [format!("{v4}.{last}"), format!("{v6}:{last}")];
            let name = format!("{mode}-{last}");
            let flags = ["--ip", &v4, "--ip6", &v6];
            container(&host, &mut world, &name, mode, &flags);
        }
        if mode == "l3" {
            // Nobody asks who has them: the outside is told.
            inside(world.places["outside"].namespace.as_fd(), || {
                let links = Links::here().unwrap();
                let index = links.find("eth0").unwrap();
                let mut batch = Batch::default();
                for (net, by) in subnets.iter().zip(HOST) {
                    let net = net.parse().unwrap();
                    batch.push(route::by_gateway(index, net, by.parse().unwrap()), "route");
                }
                links.run(&batch).unwrap();
            });
        }
        let [one, two] = [60, 61].map(|last| format!("{mode}-{last}"));
        let mut tries = direct(&world, &one, "outside", PORT, true);
        tries.extend(direct(&world, "outside", &one, PORT, true));
        tries.extend(direct(&world, &one, &two, PORT, true));
        tries.extend(direct(&world, &one, "host", PORT, false));
        world.check(&tries);
        agrees(&host, &tries);
    }
    host.ok(["rm", "-f", "l2-60", "l2-61", "l3-60", "l3-61"]);
    host.ok(["network", "rm", "l2", "l3"]);
}

/// Tagged parts of a device, and devices that lead nowhere, are made and taken away with the network.
#[test]
fn parents_that_are_missing_are_made_and_removed() {
    let Some((host, _world)) = host() else {
        return;
    };
    let parent = Links::here().unwrap().find("out0").unwrap();
    if !has(NewKind::Vlan { parent, id: 9 }, Feature::Device("vlan"))
        || !has(NewKind::Dummy, Feature::Device("dummy"))
    {
        return;
    }
    host.ok([
        "network",
        "create",
        "-d",
        "macvlan",
        "-o",
        "parent=out0.10",
        "tagged",
    ]);
    let id = host.ok(["network", "create", "-d", "macvlan", "alone"]);
    let own = format!("dm-{}", id.get(..12).unwrap());
    let seen = |name: &str| Links::here().unwrap().look(name).unwrap();
    assert_eq!(seen("out0.10").unwrap().kind, "vlan");
    assert_eq!(seen(&own).unwrap().kind, "dummy");
    let ran = collect(
        &mut host.command(["run", "--rm", "--network", "alone", BUSYBOX, "true"]),
        &[],
    );
    assert_eq!(ran.code, 0, "{ran:?}");
    host.ok(["network", "rm", "tagged", "alone"]);
    assert_eq!((seen("out0.10"), seen(&own)), (None, None));
}
