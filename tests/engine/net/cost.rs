//! What the kernel is asked for, where that decides how long a start or an end takes: no grace periods on the way, and one
//! change of the rules whatever the number of ports.

use std::net::SocketAddr;
use std::os::fd::AsFd;

use serde_json::json;
use wharf::engine::net::device;
use wharf::engine::sys::netlink::{ACKNOWLEDGE, Message, Socket, attribute, word};

use super::world::{Over, PORT, Try, World, inside, network};
use crate::support;

/// A network with two containers.
fn world() -> Option<World> {
    let _host = support::privileged()?;
    let mut world = World::new();
    world.add_network(network("a", 1, false, &[]));
    world.add_container("a1", "a", 2);
    world.add_container("a2", "a", 3);
    Some(world)
}

/// From everywhere to the containers; one of them may be beyond reach.
fn tries(world: &World, silent: &str) -> Vec<Try> {
    let mut tries = Vec::new();
    for (from, to) in [("host", "a1"), ("host", "a2"), ("a1", "a2"), ("a2", "a1")] {
        for address in world.places[to].addresses {
            tries.push(Try {
                from: from.to_owned(),
                to: SocketAddr::new(address, PORT),
                over: Over::Tcp,
                expect: from != silent && to != silent,
                what: format!("{from} to {to}, {address}"),
            });
        }
    }
    tries
}

#[test]
fn a_silenced_port_passes_nothing_on_and_is_removed_later() {
    let Some(world) = world() else { return };
    world.check(&tries(&world, ""));
    let endpoint = &world.endpoints[0];
    device::silence(endpoint).unwrap();
    world.check(&tries(&world, "a1"));
    device::silence(endpoint).unwrap();
    device::unplug(endpoint, None).unwrap();
    // What is gone is silent.
    device::silence(endpoint).unwrap();
    device::unplug(endpoint, None).unwrap();
    world.check(&tries(&world, "a1"));
}

/// `IFLA_NUM_TX_QUEUES`, `IFLA_NUM_RX_QUEUES` of a device of this thread's namespace.
fn queues(name: &str) -> [Option<u32>; 2] {
    // RTM_GETLINK, IFLA_IFNAME.
    let mut request = Message::new(18, ACKNOWLEDGE).with(&[0; 16]);
    request.text(3, name);
    let answers = Socket::route().unwrap().ask(request).unwrap();
    let of = |kind| attribute(&answers[0][16..], kind).and_then(|value| word(value, 0));
    [of(31), of(32)]
}

/// The kernel waits for two grace periods to let go of the others.
#[test]
fn both_ends_of_an_endpoint_have_one_queue() {
    let Some(world) = world() else { return };
    let endpoint = &world.endpoints[0];
    let one = [Some(1), Some(1)];
    assert_eq!(queues(&endpoint.host_interface), one);
    let container = world.places["a1"].namespace.as_fd();
    assert_eq!(inside(container, || queues(&endpoint.interface)), one);
}

/// How many batches nf_tables has taken in this network namespace (`NFT_MSG_GETGEN`).
fn generation() -> u32 {
    let request = Message::new(10 << 8 | 16, ACKNOWLEDGE).with(&[0; 4]);
    let answers = Socket::netfilter().unwrap().ask(request).unwrap();
    let value = attribute(&answers[0][4..], 1).unwrap();
    u32::from_be_bytes(value.try_into().unwrap())
}

#[test]
fn ports_are_published_and_withdrawn_in_one_batch_however_many_there_are() {
    let Some(world) = world() else { return };
    let (network, _) = world.network("a");
    for count in [1, 2, 1000, 20_000] {
        let mut endpoint = world.endpoints[0].clone();
        let publish = |at: u16| {
            json!({
                "port": { "number": PORT, "protocol": "tcp" },
                "address": "0.0.0.0", "host": 10_000 + at, "to": world.places["a1"].addresses[0],
            })
        };
        let all: serde_json::Value = (0..count).map(publish).collect();
        endpoint.publications = serde_json::from_value(all).unwrap();
        let before = generation();
        world.firewall.publish(network, &endpoint).unwrap();
        assert_eq!(generation() - before, 1, "{count} published");
        world.firewall.withdraw(network, &endpoint).unwrap();
        assert_eq!(generation() - before, 2, "{count} withdrawn");
    }
}
