//! A small world for tests of networks: the calling thread gets a network namespace of its own and is the host there; "outside" is a
//! neighbour on a link, which knows the way to all containers' subnets; containers are bare namespaces.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketFlags, SocketType};
use serde_json::json;
use wharf::engine::model::network::{Endpoint, Network};
use wharf::engine::net::device::{self, DefaultRoutes, Plug};
use wharf::engine::net::firewall::Firewall;
use wharf::engine::net::forwarding;
use wharf::engine::sys::link::{self, Links, NewKind, NewLink};
use wharf::engine::sys::netlink::{self, Batch};
use wharf::engine::sys::{namespace, process, route};

use crate::support::{PATIENCE, wait_until};

/// What everybody listens on.
pub const PORT: u16 = 7000;
/// The host on the link to the outside, and the outside.
pub const HOST: [&str; 2] = ["203.0.113.1", "2001:db8:113::1"];
pub const OUTSIDE: [&str; 2] = ["203.0.113.2", "2001:db8:113::2"];

/// Transports that are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Over {
    Tcp,
    Udp,
}

/// Somewhere that packets come from and go to.
pub struct Place {
    pub namespace: OwnedFd,
    /// Version 4, version 6.
    pub addresses: [IpAddr; 2],
    listeners: Vec<TcpListener>,
    receivers: Vec<UdpSocket>,
    /// Connections that were taken, and from where.
    taken: RefCell<Vec<TcpStream>>,
    callers: RefCell<BTreeSet<IpAddr>>,
}

pub struct World {
    pub networks: Vec<(Network, String)>,
    pub endpoints: Vec<Endpoint>,
    pub places: BTreeMap<String, Place>,
    pub firewall: Firewall,
}

/// Somebody tries to reach an address and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Try {
    pub from: String,
    pub to: SocketAddr,
    pub over: Over,
    /// Whether it should work.
    pub expect: bool,
    /// For messages.
    pub what: String,
}

/// What should have arrived and has not is tried again after this time.
const AGAIN: Duration = Duration::from_secs(2);

enum Attempt {
    Tcp(TcpStream, bool),
    Udp(UdpSocket),
    Failed,
}

pub fn new_namespace() -> OwnedFd {
    std::thread::spawn(|| {
        namespace::unshare(process::NEWNET).unwrap();
        namespace::loopback_up().unwrap();
        own_namespace()
    })
    .join()
    .unwrap()
}

pub fn own_namespace() -> OwnedFd {
    std::fs::File::open("/proc/thread-self/ns/net")
        .unwrap()
        .into()
}

pub fn inside<T>(namespace: BorrowedFd<'_>, work: impl FnOnce() -> T) -> T {
    netlink::inside(namespace, || Ok(work())).unwrap()
}

fn id(seed: &str) -> String {
    let bytes: Vec<u8> = seed.bytes().cycle().take(32).collect();
    let word = |bytes: &[u8]| format!("{:016x}", u64::from_be_bytes(bytes.try_into().unwrap()));
    bytes.chunks(8).map(word).collect()
}

/// A bridge network with subnet `172.30.<number>.0/24` and `fd00:<number>::/64`.
pub fn network(name: &str, number: u8, internal: bool, options: &[(&str, &str)]) -> Network {
    let options: BTreeMap<_, _> = options.iter().copied().collect();
    serde_json::from_value(json!({
        "version": 1,
        "id": id(name),
        "name": name,
        "created": "2026-01-01T00:00:00Z",
        "driver": "bridge",
        "pools": [
            { "subnet": format!("172.30.{number}.0/24"), "gateway": format!("172.30.{number}.1") },
            { "subnet": format!("fd00:{number}::/64"), "gateway": format!("fd00:{number}::1") },
        ],
        "ipv4": true,
        "ipv6": true,
        "internal": internal,
        "options": options,
    }))
    .unwrap()
}

pub fn endpoint(name: &str, network: &Network, host: u8) -> Endpoint {
    let [v4, v6] = [0, 1].map(|at| network.pools[at].gateway.unwrap().to_string());
    let v4 = v4.strip_suffix(".1").unwrap();
    let v6 = v6.strip_suffix("::1").unwrap();
    serde_json::from_value(json!({
        "id": id(&format!("e{name}")),
        "container": id(&format!("c{name}")),
        "container_name": name,
        "network": network.id,
        "interface": "eth0",
        "host_interface": format!("veth{name}"),
        "mac": format!("02:42:ac:1e:{:02x}:{host:02x}", network.name.as_bytes()[0]),
        "ipv4": format!("{v4}.{host}/24"),
        "ipv6": format!("{v6}::{host:x}/64"),
        "gateways": network.pools.iter().map(|pool| pool.gateway).collect::<Vec<_>>(),
        "since": "2026-01-01T00:00:00Z",
    }))
    .unwrap()
}

impl World {
    /// The host, with a link to the outside.
    pub fn new() -> Self {
        namespace::unshare(process::NEWNET).unwrap();
        namespace::loopback_up().unwrap();
        let mut world = Self {
            networks: Vec::new(),
            endpoints: Vec::new(),
            places: BTreeMap::new(),
            firewall: Firewall::of(Path::new("/run/wharf")),
        };
        world.neighbour("outside", "out0", HOST, OUTSIDE);
        world.place("host", own_namespace(), HOST);
        world
    }

    /// Somebody on a link of the host's own, with addresses `here` and `there`, whose default route leads to the host.
    pub fn neighbour(&mut self, name: &str, device: &str, here: [&str; 2], there: [&str; 2]) {
        let beside = new_namespace();
        let links = Links::here().unwrap();
        let peer = NewLink {
            name: "eth0",
            mac: None,
            mtu: None,
            master: None,
            kind: NewKind::Peer,
            namespace: Some(beside.as_fd()),
        };
        let new = NewLink {
            name: device,
            kind: NewKind::Veth(&peer),
            namespace: None,
            ..peer
        };
        let mut batch = Batch::default();
        batch.push(link::create(&new).unwrap(), "make it");
        batch.push(link::up(device).unwrap(), "up");
        links.run(&batch).unwrap();
        for (links, name, own, gateway) in [
            (Links::here().unwrap(), device, here, None),
            (
                Links::of(beside.as_fd()).unwrap(),
                "eth0",
                there,
                Some(here),
            ),
        ] {
            let index = links.find(name).unwrap();
            let mut batch = Batch::default();
            batch.push(link::up(name).unwrap(), "up");
            for (address, bits) in own.iter().zip([24, 64]) {
                let net = format!("{address}/{bits}").parse().unwrap();
                batch.push(route::add_address(index, net), "address");
            }
            for gateway in gateway.into_iter().flatten() {
                let gateway = gateway.parse().unwrap();
                batch.push(route::default_by_gateway(index, gateway), "route");
            }
            links.run(&batch).unwrap();
        }
        self.place(name, beside, there);
    }

    pub fn place(&mut self, name: &str, namespace: OwnedFd, addresses: [&str; 2]) {
        let addresses = addresses.map(|address| address.parse().unwrap());
        let mut place = Place {
            namespace,
            addresses,
            listeners: Vec::new(),
            receivers: Vec::new(),
            taken: RefCell::default(),
            callers: RefCell::default(),
        };
        for address in addresses {
            place.listen_at(address);
        }
        self.places.insert(name.to_owned(), place);
    }

    pub fn add_network(&mut self, network: Network) {
        let bridge = format!("br-{}", network.name);
        device::ensure_bridge(&network, &bridge).unwrap();
        let host = self.places.get_mut("host").unwrap();
        for pool in &network.pools {
            host.listen_at(pool.gateway.unwrap());
        }
        let known: Vec<_> = self.bridged();
        self.firewall.ensure(&known, &self.endpoints).unwrap();
        forwarding::switch_on(&forwarding::lacking([&network]).unwrap()).unwrap();
        self.firewall.add_network(&network, &bridge).unwrap();
        self.networks.push((network, bridge));
    }

    pub fn bridged(&self) -> Vec<(&Network, &str)> {
        let all = self.networks.iter();
        all.map(|(network, bridge)| (network, bridge.as_str()))
            .collect()
    }

    pub fn network(&self, name: &str) -> &(Network, String) {
        let mut all = self.networks.iter();
        all.find(|(network, _)| network.name == name).unwrap()
    }

    /// A container on a network. Its default route leads to the gateway, also where the network should not give it one: who is in
    /// the container may have made it.
    pub fn add_container(&mut self, name: &str, network: &str, host: u8) {
        let (network, bridge) = self.network(network).clone();
        let endpoint = endpoint(name, &network, host);
        let namespace = new_namespace();
        let plug = Plug {
            network: &network,
            below: &bridge,
            endpoint: &endpoint,
            default: DefaultRoutes {
                ipv4: true,
                ipv6: true,
            },
            options: &BTreeMap::new(),
        };
        device::plug(&plug, namespace.as_fd()).unwrap();
        let links = Links::of(namespace.as_fd()).unwrap();
        let index = links.find("eth0").unwrap();
        let mut batch = Batch::default();
        for gateway in &endpoint.gateways {
            batch.push(route::default_by_gateway(index, *gateway), "route");
        }
        links.run(&batch).unwrap();
        let addresses: Vec<String> = endpoint.addresses().map(|a| a.to_string()).collect();
        self.place(name, namespace, [&addresses[0], &addresses[1]]);
        self.endpoints.push(endpoint);
    }

    pub fn publish(&mut self, name: &str, publications: serde_json::Value) {
        let mut endpoints = self.endpoints.iter_mut();
        let endpoint = endpoints.find(|e| e.container_name == name).unwrap();
        endpoint.publications = serde_json::from_value(publications).unwrap();
        let endpoint = endpoint.clone();
        let mut networks = self.networks.iter();
        let (network, _) = networks.find(|(n, _)| n.id == endpoint.network).unwrap();
        self.firewall.publish(network, &endpoint).unwrap();
    }

    /// Tries all of it at once: what should work must, and what should not must not have when all of that has.
    ///
    /// # Panics
    /// With every try that went otherwise.
    pub fn check(&self, tries: &[Try]) {
        let mut attempts: Vec<(&Try, Attempt)> =
            tries.iter().map(|one| (one, self.start(one))).collect();
        let mut reached = BTreeSet::new();
        let deadline = Instant::now() + PATIENCE;
        let mut again = Instant::now() + AGAIN;
        loop {
            for place in self.places.values() {
                place.answer();
            }
            for (at, (_, attempt)) in attempts.iter_mut().enumerate() {
                if !reached.contains(&at) && attempt.has_arrived() {
                    reached.insert(at);
                }
            }
            let is_missing = |at: usize| tries[at].expect && !reached.contains(&at);
            let missing: Vec<usize> = (0..tries.len()).filter(|at| is_missing(*at)).collect();
            let now = Instant::now();
            if missing.is_empty() || now > deadline {
                break;
            }
            // A packet may be lost on a host with much to do, or go out before an address is ready.
            if now > again {
                again = now + AGAIN;
                for at in missing {
                    attempts[at].1 = self.start(&tries[at]);
                }
            }
            crate::support::pause();
        }
        let wrong: Vec<&str> = tries
            .iter()
            .enumerate()
            .filter(|(at, one)| one.expect != reached.contains(at))
            .map(|(_, one)| one.what.as_str())
            .collect();
        assert!(
            wrong.is_empty(),
            "{} of {} went otherwise than expected:\n{}",
            wrong.len(),
            tries.len(),
            wrong.join("\n")
        );
    }

    fn start(&self, one: &Try) -> Attempt {
        let place = &self.places[&one.from];
        inside(place.namespace.as_fd(), || match one.over {
            Over::Tcp => connect(one.to),
            Over::Udp => {
                let any: SocketAddr = if one.to.is_ipv4() {
                    "0.0.0.0:0".parse().unwrap()
                } else {
                    "[::]:0".parse().unwrap()
                };
                let socket = UdpSocket::bind(any).unwrap();
                socket.set_nonblocking(true).unwrap();
                // Connected: an answer from another address is none.
                if socket.connect(one.to).is_err() || socket.send(b"ping").is_err() {
                    return Attempt::Failed;
                }
                Attempt::Udp(socket)
            }
        })
    }

    /// Packets that rules with this comment dropped.
    pub fn dropped(&self, comment: &str) -> u64 {
        let rules = self.firewall.rules().unwrap();
        let counted = rules.iter().filter(|rule| rule.comment.contains(comment));
        counted
            .filter_map(|rule| rule.counted)
            .map(|(packets, _)| packets)
            .sum()
    }

    pub fn wait_dropped(&self, comment: &str, more_than: u64) {
        wait_until(comment, PATIENCE, || self.dropped(comment) > more_than);
    }
}

fn connect(to: SocketAddr) -> Attempt {
    let family = if to.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None).unwrap();
    match rustix::net::connect(&socket, &to) {
        Ok(()) | Err(rustix::io::Errno::INPROGRESS) => Attempt::Tcp(socket.into(), false),
        Err(_) => Attempt::Failed,
    }
}

impl Attempt {
    fn has_arrived(&mut self) -> bool {
        match self {
            Self::Failed => false,
            // Answered by who was meant, and not only taken by somebody on the way.
            Self::Tcp(stream, asked) => {
                if !*asked && stream.peer_addr().is_ok() {
                    *asked = stream.write(b"ping").is_ok();
                }
                let mut buffer = [0; 4];
                stream.read(&mut buffer).is_ok_and(|length| length == 4)
            }
            Self::Udp(socket) => {
                let mut buffer = [0; 16];
                match socket.recv(&mut buffer) {
                    Ok(length) => &buffer[..length] == b"ping",
                    // Nobody has answered yet, or somebody has refused it. A lost packet is sent again.
                    Err(error) => {
                        if error.kind() != ErrorKind::WouldBlock {
                            let _ = socket.send(b"ping");
                        }
                        false
                    }
                }
            }
        }
    }
}

impl Place {
    /// At one address, so that answers come from it.
    fn listen_at(&mut self, address: IpAddr) {
        let (listener, receiver) = inside(self.namespace.as_fd(), || {
            listen(SocketAddr::new(address, PORT))
        });
        self.listeners.push(listener);
        self.receivers.push(receiver);
    }

    /// Echoes what has arrived by now.
    pub fn answer(&self) {
        for receiver in &self.receivers {
            let mut buffer = [0; 16];
            while let Ok((length, from)) = receiver.recv_from(&mut buffer) {
                let _ = receiver.send_to(&buffer[..length], from);
            }
        }
        let mut taken = self.taken.borrow_mut();
        for listener in &self.listeners {
            while let Ok((stream, from)) = listener.accept() {
                stream.set_nonblocking(true).unwrap();
                self.callers.borrow_mut().insert(from.ip());
                taken.push(stream);
            }
        }
        // Until its other end is gone.
        taken.retain_mut(|stream| {
            let mut buffer = [0; 16];
            match stream.read(&mut buffer) {
                Ok(0) => false,
                Ok(length) => stream.write(&buffer[..length]).is_ok(),
                Err(error) => error.kind() == ErrorKind::WouldBlock,
            }
        });
    }

    /// Who has connected to it by now.
    pub fn callers(&self) -> BTreeSet<IpAddr> {
        self.answer();
        self.callers.borrow().clone()
    }
}

fn listen(address: SocketAddr) -> (TcpListener, UdpSocket) {
    let family = if address.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let make = |kind| {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = rustix::net::socket_with(family, kind, flags, None).unwrap();
        rustix::net::bind(&socket, &address).unwrap();
        socket
    };
    let stream = make(SocketType::STREAM);
    rustix::net::listen(&stream, 1024).unwrap();
    (stream.into(), make(SocketType::DGRAM).into())
}
