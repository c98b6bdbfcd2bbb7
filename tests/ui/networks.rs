//! Networks: their list and details, the map, who reaches a container; how they are made, joined, left and removed.

use std::collections::BTreeMap;

use wharf::app::jobs::Request;
use wharf::app::{Effect, Pane};
use wharf::engine::model::NetworkMode;
use wharf::engine::model::network::{
    Driver, Endpoint, Mac, Network, Pool, Port, Protocol, Publication, RECORD_VERSION,
};
use wharf::engine::model::reach::Connection;

use crate::support::{Ui, World, ago, id};

fn network(n: u8, name: &str, driver: Driver, subnet: Option<&str>) -> Network {
    let pool = |subnet: &str| Pool {
        subnet: subnet.parse().unwrap(),
        range: None,
        gateway: Some(subnet.replace(".0/24", ".1").parse().unwrap()),
        reserved: BTreeMap::new(),
    };
    Network {
        version: RECORD_VERSION,
        id: id(n),
        name: name.to_owned(),
        created: ago(3600 * i64::from(n)),
        driver,
        pools: subnet.map(pool).into_iter().collect(),
        ipv4: true,
        ipv6: false,
        internal: name == "back",
        attachable: false,
        config_only: false,
        config_from: String::new(),
        options: BTreeMap::new(),
        ipam_options: BTreeMap::new(),
        labels: BTreeMap::new(),
    }
}

fn endpoint(n: u8, name: &str, network: &Network, published: &[(&str, u16)]) -> Endpoint {
    let subnet = network.pools[0].subnet.to_string();
    let address = subnet.replace(".0/24", &format!(".{}", n + 1));
    Endpoint {
        id: id(100 + n),
        container: id(n),
        container_name: name.to_owned(),
        network: network.id.clone(),
        interface: "eth0".to_owned(),
        host_interface: "veth1".to_owned(),
        mac: Mac([2, 0, 0, 0, 0, n]),
        ipv4: Some(format!("{address}/24").parse().unwrap()),
        ipv6: None,
        gateways: Vec::new(),
        link_local: Vec::new(),
        host_name: String::new(),
        names: [name.to_owned()].into(),
        links: Vec::new(),
        publications: published
            .iter()
            .map(|(at, host)| Publication {
                port: Port {
                    number: 80,
                    protocol: Protocol::Tcp,
                },
                address: at.parse().unwrap(),
                host: *host,
                to: address.parse().unwrap(),
            })
            .collect(),
        since: ago(60),
    }
}

/// Two networks that share a container, one that nobody is on, and those that are always there.
pub(crate) fn all() -> Vec<(Network, Vec<Endpoint>)> {
    let front = network(11, "front", Driver::Bridge, Some("10.1.0.0/24"));
    let back = network(12, "back", Driver::Bridge, Some("10.2.0.0/24"));
    let on_front = vec![
        endpoint(1, "web", &front, &[("0.0.0.0", 8080), ("127.0.0.1", 9090)]),
        endpoint(3, "worker", &front, &[]),
    ];
    let on_back = vec![
        endpoint(1, "web", &back, &[]),
        endpoint(2, "db", &back, &[]),
    ];
    vec![
        (
            network(13, "bridge", Driver::Bridge, Some("172.17.0.0/24")),
            Vec::new(),
        ),
        (front, on_front),
        (back, on_back),
        (network(14, "host", Driver::Host, None), Vec::new()),
        (network(15, "none", Driver::Null, None), Vec::new()),
        (
            network(16, "old", Driver::Bridge, Some("10.3.0.0/24")),
            Vec::new(),
        ),
    ]
}

pub(crate) fn connections() -> Vec<Connection> {
    let connection = |local: &str, remote: Option<&str>, state| Connection {
        protocol: Protocol::Tcp,
        local: local.parse().unwrap(),
        remote: remote.map(|remote| remote.parse().unwrap()),
        state,
    };
    vec![
        connection("10.1.0.2:80", Some("10.1.0.4:51000"), "established"),
        connection("0.0.0.0:80", None, "listening"),
    ]
}

fn requests(effects: &[Effect]) -> Vec<Request> {
    let request = |effect: &Effect| match effect {
        Effect::Start(_, request) => Some(request.clone()),
        _ => None,
    };
    effects.iter().filter_map(request).collect()
}

#[test]
fn list_of_networks() {
    for (width, height) in [(160, 48), (80, 24)] {
        let mut ui = Ui::usual(width, height);
        ui.play("4 j");
        assert_eq!(ui.state.pane, Pane::Networks);
        insta::assert_snapshot!(format!("list_{width}x{height}"), ui.screen());
    }
}

#[test]
fn map_of_networks() {
    for (width, height) in [(160, 48), (80, 24)] {
        let mut ui = Ui::usual(width, height);
        ui.play("4 m enter z");
        insta::assert_snapshot!(format!("map_{width}x{height}"), ui.screen());
    }
}

#[test]
fn who_reaches_a_container_and_what_it_is_connected_to() {
    let mut ui = Ui::usual(120, 48);
    ui.play("1 / w e b <cr> R");
    insta::assert_snapshot!("reach_120x48", ui.screen());
}

#[test]
fn a_container_on_anothers_network_is_reached_as_that_one_is() {
    let mut world = World::usual();
    let name = "db";
    let of = |world: &World, name: &str| {
        let mut all = world.containers.iter();
        all.position(|c| c.container.name == name).unwrap()
    };
    let (web, db) = (of(&world, "web"), of(&world, name));
    let owner = world.containers[web].container.id.to_string();
    let container = std::sync::Arc::make_mut(&mut world.containers[db].container);
    container.host.network = NetworkMode::Container(owner);
    let mut ui = Ui::new(world, 120, 48);
    ui.measure();
    ui.play("1 / d b <cr> R");
    ui.assert_shows("it shares the network of web");
    ui.assert_shows("published");

    let mut world = World::usual();
    let container = std::sync::Arc::make_mut(&mut world.containers[db].container);
    container.host.network = NetworkMode::Host;
    let mut ui = Ui::new(world, 120, 48);
    ui.measure();
    ui.play("1 / d b <cr> R");
    ui.assert_shows("it shares this host's network");
}

#[test]
fn a_network_is_made_as_the_command_line_makes_it() {
    let mut ui = Ui::usual(120, 40);
    ui.play("4 c");
    ui.type_text("lab");
    ui.play("tab tab");
    ui.type_text("10.9.0.7/24");
    ui.play("tab tab");
    ui.type_text("yes");
    ui.assert_shows("wharf network create --subnet 10.9.0.0/24 --internal lab");
    let effects = ui.play("<cr>");
    let all = requests(&effects);
    let [Request::CreateNetwork(request)] = all.as_slice() else {
        panic!("{effects:?}")
    };
    assert_eq!((request.name.as_str(), request.internal), ("lab", true));
    assert_eq!(request.pools[0].subnet.to_string(), "10.9.0.0/24");
}

#[test]
fn containers_are_put_on_a_network_and_taken_off() {
    let mut ui = Ui::usual(120, 40);
    ui.play("4");
    ui.state.networks.select_key(&"front".to_owned());
    ui.play("a");
    ui.type_text("nobody");
    assert_eq!(requests(&ui.play("<cr>")), []);
    ui.play("esc a");
    ui.type_text("db");
    let effects = ui.play("<cr>");
    let all = requests(&effects);
    let [
        Request::Connect {
            name, attachment, ..
        },
    ] = all.as_slice()
    else {
        panic!("{effects:?}")
    };
    assert_eq!(
        (name.as_str(), attachment.network.as_str()),
        ("db", "front")
    );
    let mut ui = Ui::usual(120, 40);
    ui.play("4");
    ui.state.networks.select_key(&"back".to_owned());
    ui.play("x");
    ui.type_text("db");
    assert_eq!(
        requests(&ui.play("<cr>")),
        [Request::Disconnect {
            network: "back".to_owned(),
            container: "db".to_owned()
        }]
    );
}

#[test]
fn what_is_in_use_or_always_there_stays() {
    let mut ui = Ui::usual(120, 40);
    ui.play("4");
    ui.state.networks.select_key(&"front".to_owned());
    assert_eq!(requests(&ui.play("d")), []);
    ui.assert_shows("front is in use");
    ui.state.networks.select_key(&"host".to_owned());
    ui.play("d");
    ui.assert_shows("host is always there");
    // All of them: one is left that can go.
    ui.play("* d");
    ui.assert_shows("Remove old?");
    ui.play("esc esc");
    ui.play("4 D");
    ui.assert_shows("Remove 1 unused network?");
    assert_eq!(requests(&ui.play("<cr>")), []);
    ui.type_text("1");
    assert_eq!(
        requests(&ui.play("<cr>")),
        [Request::RemoveNetwork("old".to_owned())]
    );
}
