//! A world whose containers the command line makes: places of the world are namespaces of real containers.

use std::fs::File;
use std::net::SocketAddr;
use std::os::fd::AsFd;

use wharf::engine::sys::link::Links;
use wharf::engine::sys::netlink::Batch;
use wharf::engine::sys::route;

use super::world::{Over, Try, World};
use crate::support::{BUSYBOX, Host, privileged};

/// A world, and a host in it.
pub fn host() -> Option<(Host, World)> {
    let mut host = privileged()?;
    let world = World::new();
    host.networked = true;
    host.busybox_image()?;
    Some((host, world))
}

/// `network create`, with both versions of IP.
pub fn network(host: &Host, name: &str, number: u8, flags: &[&str]) {
    let subnets = [
        format!("10.90.{number}.0/24"),
        format!("fd90:{number}::/64"),
    ];
    let [v4, v6] = &subnets;
    let start = [
        "network", "create", "--ipv6", "--subnet", v4, "--subnet", v6,
    ];
    host.ok([&start[..], flags, &[name]].concat());
}

/// A container on a network is a place of the world. Its default route leads to the gateway, also where the network gives it none.
pub fn container(host: &Host, world: &mut World, name: &str, network: &str, flags: &[&str]) {
    let start = ["run", "-d", "--name", name, "--network", network];
    host.ok([&start[..], flags, &[BUSYBOX, "sleep", "1000"]].concat());
    let of = |field: &str| {
        let field = format!(".NetworkSettings.Networks {network:?}).{field}");
        host.ok(["inspect", "-f", &format!("{{{{(index {field}}}}}"), name])
    };
    let pid = host.ok(["inspect", "-f", "{{.State.Pid}}", name]);
    let namespace = File::open(format!("/proc/{pid}/ns/net")).unwrap();
    if of("Gateway").is_empty() {
        let links = Links::of(namespace.as_fd()).unwrap();
        let index = links.find("eth0").unwrap();
        let mut batch = Batch::default();
        let format = "{{range .IPAM.Config}}{{.Gateway}} {{end}}";
        let gateways = host.ok(["network", "inspect", "-f", format, network]);
        for gateway in gateways.split_whitespace() {
            let gateway = gateway.split('/').next().unwrap().parse().unwrap();
            batch.push(route::default_by_gateway(index, gateway), "route");
        }
        // A network without gateways leads nowhere whatever is tried.
        let _ = links.run(&batch);
    }
    world.place(
        name,
        namespace.into(),
        [&of("IPAddress"), &of("GlobalIPv6Address")],
    );
}

/// A try over both transports.
pub fn both(from: &str, to: SocketAddr, expect: bool, what: &str) -> [Try; 2] {
    [Over::Tcp, Over::Udp].map(|over| Try {
        from: from.to_owned(),
        to,
        over,
        expect,
        what: format!("{what}: {from} to {to} {over:?}: expected {expect}"),
    })
}

/// From one place to the own addresses of another, at a port.
pub fn direct(world: &World, from: &str, to: &str, port: u16, expect: bool) -> Vec<Try> {
    let addresses = world.places[to].addresses;
    let all = addresses.into_iter();
    all.flat_map(|address| both(from, SocketAddr::new(address, port), expect, to))
        .collect()
}
