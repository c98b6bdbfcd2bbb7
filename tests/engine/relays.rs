//! Ports of the host that are held and handed on, in namespaces of their own: who has a port, and what becomes of connections and
//! datagrams. The container is here an address of the same loopback.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use wharf::engine::error::Kind;
use wharf::engine::model::network::{Port, PortBinding, Protocol};
use wharf::engine::net::hold::{self, Held, Target, hold};
use wharf::engine::net::relay::Relay;
use wharf::engine::sys::inet;
use wharf::engine::sys::poll::Poller;

use crate::spaces::Space;
use crate::support::{PATIENCE, skip, wait_until};

const CONTAINER: Ipv4Addr = Ipv4Addr::new(127, 7, 7, 7);

fn space() -> Option<Space> {
    if !rustix::process::geteuid().is_root() {
        skip("needs root");
        return None;
    }
    Some(Space::new())
}

fn binding(text: &str, port: u16, protocol: Protocol) -> PortBinding {
    let number = |text: &str| text.parse::<u16>().unwrap();
    let (address, ports) = match text.rsplit_once(':') {
        Some((address, ports)) => (
            Some(address.trim_matches(['[', ']']).parse::<IpAddr>().unwrap()),
            ports,
        ),
        None => (None, text),
    };
    let host = match ports.split_once('-') {
        _ if ports.is_empty() => None,
        Some((first, last)) => Some((number(first), number(last))),
        None => Some((number(ports), number(ports))),
    };
    let port = Port {
        number: port,
        protocol,
    };
    PortBinding {
        port,
        address,
        host,
    }
}

fn tcp(text: &str) -> PortBinding {
    binding(text, 80, Protocol::Tcp)
}

fn udp(text: &str) -> PortBinding {
    binding(text, 53, Protocol::Udp)
}

fn held(bindings: &[PortBinding]) -> Vec<Held> {
    hold(bindings, &|_, _| None).unwrap()
}

fn shown(held: &[Held]) -> Vec<String> {
    let show = |held: &Held| format!("{} {}", SocketAddr::new(held.address, held.host), held.port);
    held.iter().map(show).collect()
}

#[test]
fn a_port_is_held_or_it_is_said_who_has_it() {
    let Some(space) = space() else { return };
    space.run(|| {
        let first = held(&[tcp("127.0.0.1:8080"), tcp("8081"), udp("8080"), tcp("8081")]);
        assert_eq!(
            shown(&first),
            [
                "127.0.0.1:8080 80/tcp",
                "0.0.0.0:8081 80/tcp",
                "[::]:8081 80/tcp",
                "0.0.0.0:8080 53/udp",
                "[::]:8080 53/udp"
            ]
        );
        let own = std::process::id();
        for (bindings, message) in [
            (&[tcp("127.0.0.1:8080")][..], "127.0.0.1:8080"),
            (&[tcp("8080")], "0.0.0.0:8080"),
            (&[tcp("[::1]:8081")], "[::1]:8081"),
            (&[tcp("9000"), tcp("127.0.0.9:8081")], "127.0.0.9:8081"),
        ] {
            let error = hold(bindings, &|_, _| None).unwrap_err();
            assert_eq!(error.kind(), Kind::Conflict);
            let text = error.to_string();
            let start =
                format!("publish 80/tcp on {message}: port is already allocated by process ");
            assert!(
                text.starts_with(&start) && text.ends_with(&format!(" ({own})")),
                "{text}"
            );
        }
        // All or nothing: what was held before the refusal is free again, once no fork of another test's has it.
        wait_until("the port is free", PATIENCE, || {
            hold(&[tcp("9000")], &|_, _| None).is_ok()
        });
        let whose = |protocol: Protocol, at: SocketAddr| {
            assert_eq!((protocol, at.port()), (Protocol::Udp, 8080));
            Some("web".to_owned())
        };
        let error = hold(&[udp("127.0.0.1:8080")], &whose)
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "publish 53/udp on 127.0.0.1:8080: port is already allocated by container web"
        );
        let error = hold(&[tcp("192.0.2.1:80")], &|_, _| None).unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidInput);
        assert_eq!(
            error.to_string(),
            "publish 80/tcp on 192.0.2.1:80: the host has no address 192.0.2.1"
        );
    });
}

#[test]
fn of_a_range_the_first_free_port_is_taken_and_without_a_port_any_free_one() {
    let Some(space) = space() else { return };
    space.run(|| {
        let _other = TcpListener::bind("[::1]:8000").unwrap();
        let first = held(&[tcp("8000-8002")]);
        assert_eq!(shown(&first), ["0.0.0.0:8001 80/tcp", "[::]:8001 80/tcp"]);
        let second = held(&[tcp("8000-8002")]);
        assert_eq!(second[0].host, 8002);
        let error = hold(&[tcp("8000-8002")], &|_, _| None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "publish 80/tcp on 0.0.0.0:8000-8002: all ports of the range are already allocated"
        );
        // This namespace's own.
        std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", "5000 5002").unwrap();
        let mut all = Vec::new();
        for _ in 0..3 {
            let any = held(&[tcp(""), udp("127.0.0.1:")]);
            assert_eq!(any[0].host, any[1].host, "both families have the same");
            all.push(any);
        }
        let mut ports: Vec<u16> = all.iter().map(|any| any[0].host).collect();
        ports.sort_unstable();
        assert_eq!(ports, [5000, 5001, 5002]);
        let error = hold(&[tcp("")], &|_, _| None).unwrap_err();
        assert_eq!(error.kind(), Kind::Conflict);
    });
}

#[test]
fn a_publication_leads_to_the_same_family_if_there_is_one() {
    let Some(space) = space() else { return };
    space.run(|| {
        let all = held(&[tcp("80")]);
        let v4 = Some(Ipv4Addr::new(10, 0, 0, 2));
        let v6 = Some("fd00::2".parse().unwrap());
        for (target, expected) in [
            (Target { v4, v6 }, &["10.0.0.2", "fd00::2"][..]),
            (Target { v4, v6: None }, &["10.0.0.2", "10.0.0.2"]),
            (Target { v4: None, v6 }, &["fd00::2", "fd00::2"]),
            (Target::default(), &[]),
        ] {
            let found = hold::publications(&all, target);
            let to: Vec<String> = found.iter().map(|p| p.to.to_string()).collect();
            assert_eq!(to, expected);
        }
    });
}

type Order = Box<dyn FnOnce(&mut Relay, &Poller) + Send>;

/// A relay that runs until it is dropped.
struct Running {
    orders: Option<Sender<Order>>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    fn start(space: &Space, bindings: Vec<PortBinding>) -> Self {
        let (orders, inbox) = channel();
        let space = space.clone();
        let thread = thread::spawn(move || {
            space.enter();
            serve(Relay::new(held(&bindings), 1000), &inbox);
        });
        let running = Self {
            orders: Some(orders),
            thread: Some(thread),
        };
        running.ask(|relay, poller| {
            let target = Target {
                v4: Some(CONTAINER),
                v6: None,
            };
            relay.lead(poller, target).unwrap();
        });
        running
    }

    /// Does something between two turns of its loop.
    fn ask<T: Send + 'static>(
        &self,
        order: impl FnOnce(&mut Relay, &Poller) -> T + Send + 'static,
    ) -> T {
        let (done, is_done) = channel();
        let order: Order = Box::new(move |relay, poller| {
            let _ = done.send(order(relay, poller));
        });
        self.orders.as_ref().unwrap().send(order).unwrap();
        is_done.recv().unwrap()
    }

    fn wait_until_count(&self, expected: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.ask(|relay, _| relay.count()) != expected {
            assert!(Instant::now() < deadline, "not {expected} connections");
            thread::yield_now();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.orders = None;
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || thread::panicking());
    }
}

/// As a monitor's loop does.
fn serve(mut relay: Relay, orders: &Receiver<Order>) {
    let poller = Poller::new().unwrap();
    loop {
        match orders.try_recv() {
            Ok(order) => order(&mut relay, &poller),
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => return,
        }
        let patience = relay
            .deadline()
            .map_or(Duration::MAX, |at| {
                at.saturating_duration_since(Instant::now())
            })
            .min(Duration::from_millis(5));
        for ready in poller.wait(Some(patience)).unwrap() {
            relay.handle(&poller, ready, Instant::now());
        }
        relay.tick(&poller, Instant::now());
        relay.rest();
    }
}

fn connect(to: &str) -> TcpStream {
    let stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn accept(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length)
        .map(|n| (n * 7 + n / 251).to_le_bytes()[0])
        .collect()
}

#[test]
fn bytes_go_both_ways_whole_and_each_side_may_end_first() {
    let Some(space) = space() else { return };
    let relay = Running::start(&space, vec![tcp("8080"), tcp("127.0.0.1:8081")]);
    space.run(|| {
        let container = TcpListener::bind((CONTAINER, 80)).unwrap();
        let much = pattern(20_000_000);
        for to in [
            "127.0.0.1:8080",
            "127.3.2.1:8080",
            "[::1]:8080",
            "127.0.0.1:8081",
        ] {
            let mut client = connect(to);
            let mut server = accept(&container);
            // Nobody reads yet: it must hold back, and lose nothing.
            thread::scope(|scope| {
                scope.spawn(|| {
                    client.write_all(&much).unwrap();
                    client.shutdown(Shutdown::Write).unwrap();
                });
                let mut read = Vec::new();
                server.write_all(b"at once").unwrap();
                server.read_to_end(&mut read).unwrap();
                assert!(read == much, "{to}: {} bytes", read.len());
            });
            server.write_all(&much[..3_000_000]).unwrap();
            drop(server);
            let mut read = Vec::new();
            client.read_to_end(&mut read).unwrap();
            assert!(read[7..] == much[..3_000_000] && read.starts_with(b"at once"));
        }
        relay.wait_until_count(0);
    });
}

fn is_reset(result: io::Result<usize>) -> bool {
    result.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionReset)
}

#[test]
fn a_connection_that_breaks_off_or_is_refused_is_reset_on_the_other_side() {
    let Some(space) = space() else { return };
    let relay = Running::start(&space, vec![tcp("8080")]);
    space.run(|| {
        // Nobody listens. The reset may be there before connect(2) looks at what it has.
        let refused =
            TcpStream::connect("127.0.0.1:8080").and_then(|mut client| client.read(&mut [0]));
        assert!(is_reset(refused));
        let container = TcpListener::bind((CONTAINER, 80)).unwrap();
        for client_breaks in [true, false] {
            let client = connect("127.0.0.1:8080");
            let server = accept(&container);
            let (breaks, mut stays) = if client_breaks {
                (client, server)
            } else {
                (server, client)
            };
            inet::reset_when_closed(&breaks);
            drop(breaks);
            assert!(is_reset(stays.read(&mut [0])));
        }
        // The container is gone: its connections are.
        let mut client = connect("127.0.0.1:8080");
        let mut server = accept(&container);
        relay.ask(Relay::stop);
        assert!(is_reset(client.read(&mut [0])));
        assert!(is_reset(server.read(&mut [0])));
        relay.wait_until_count(0);
        // And back, as after a restart: who came meanwhile has waited.
        let mut client = connect("127.0.0.1:8080");
        let target = Target {
            v4: Some(CONTAINER),
            v6: None,
        };
        relay.ask(move |relay, poller| relay.lead(poller, target).unwrap());
        accept(&container).write_all(b"x").unwrap();
        assert_eq!(client.read(&mut [0]).unwrap(), 1);
    });
}

#[test]
fn a_connection_that_nobody_accepts_in_time_is_reset() {
    let Some(space) = space() else { return };
    let relay = Running::start(&space, vec![tcp("8080")]);
    space.run(|| {
        // A listener with a queue for one, which is full: what comes is not answered.
        let container = TcpListener::bind((CONTAINER, 80)).unwrap();
        rustix::net::listen(&container, 0).unwrap();
        let _first = TcpStream::connect((CONTAINER, 80)).unwrap();
        let mut client = connect("127.0.0.1:8080");
        relay.wait_until_count(1);
        relay.ask(|relay, poller| relay.tick(poller, Instant::now() + Duration::from_secs(31)));
        assert!(is_reset(client.read(&mut [0])));
        relay.wait_until_count(0);
    });
}

#[test]
fn connections_at_rest_cost_two_descriptors_each() {
    let Some(space) = space() else { return };
    let relay = Running::start(&space, vec![tcp("8080")]);
    space.run(|| {
        let container = TcpListener::bind((CONTAINER, 80)).unwrap();
        let mut all = Vec::new();
        for _ in 0..300 {
            let mut client = connect("127.0.0.1:8080");
            let mut server = accept(&container);
            client.write_all(b"ping").unwrap();
            server.read_exact(&mut [0; 4]).unwrap();
            server.write_all(b"pong").unwrap();
            client.read_exact(&mut [0; 4]).unwrap();
            all.push((client, server));
        }
        relay.wait_until_count(300);
        let pipes = relay.ask(|relay, _| {
            relay.rest();
            format!("{relay:?}").matches("PipeReader").count()
        });
        assert_eq!(pipes, 0);
        drop(all);
        relay.wait_until_count(0);
    });
}

#[test]
fn each_sender_of_datagrams_gets_its_own_answers_from_the_address_it_knows() {
    let Some(space) = space() else { return };
    let relay = Running::start(&space, vec![udp("5300"), udp("127.0.0.1:5301")]);
    space.run(|| {
        let container = UdpSocket::bind((CONTAINER, 53)).unwrap();
        container.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut buffer = vec![0; 65_535];
        let places = [
            "127.0.0.1:5300",
            "127.9.9.9:5300",
            "[::1]:5300",
            "127.0.0.1:5301",
        ];
        let clients: Vec<UdpSocket> = places
            .iter()
            .map(|to| {
                let own = if to.starts_with('[') {
                    "[::1]:0"
                } else {
                    "127.0.0.1:0"
                };
                let client = UdpSocket::bind(own).unwrap();
                client.set_read_timeout(Some(PATIENCE)).unwrap();
                // Hears from that address alone.
                client.connect(to).unwrap();
                client
            })
            .collect();
        let mut origins = Vec::new();
        for (n, client) in clients.iter().enumerate() {
            let bytes = pattern(1 + n * 20_000);
            client.send(&bytes).unwrap();
            let (length, from) = container.recv_from(&mut buffer).unwrap();
            assert!(buffer[..length] == bytes);
            origins.push(from);
        }
        for (n, from) in origins.iter().enumerate().rev() {
            container.send_to(&pattern(1 + n), from).unwrap();
            container.send_to(&[], from).unwrap();
        }
        for (n, client) in clients.iter().enumerate() {
            assert_eq!(client.recv(&mut buffer).unwrap(), 1 + n);
            assert_eq!(client.recv(&mut buffer).unwrap(), 0);
        }
        // The same session for the next one, another after a minute and a half of silence.
        clients[0].send(b"again").unwrap();
        assert_eq!(container.recv_from(&mut buffer).unwrap().1, origins[0]);
        relay.wait_until_count(4);
        relay.ask(|relay, poller| relay.tick(poller, Instant::now() + Duration::from_secs(89)));
        relay.wait_until_count(4);
        relay.ask(|relay, poller| relay.tick(poller, Instant::now() + Duration::from_secs(91)));
        relay.wait_until_count(0);
        clients[0].send(b"later").unwrap();
        assert!(container.recv_from(&mut buffer).unwrap().1 != origins[0]);
        // Nobody listens: nothing is heard, nothing is harmed.
        drop(container);
        clients[1].send(b"lost").unwrap();
        clients[1].send(b"lost").unwrap();
        let deadline = Instant::now() + PATIENCE;
        let container = loop {
            match UdpSocket::bind((CONTAINER, 53)) {
                Ok(socket) => break socket,
                // A process that another test has just made holds the old socket until it runs its program.
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
        };
        container.set_read_timeout(Some(PATIENCE)).unwrap();
        loop {
            clients[1].send(b"found").unwrap();
            container.set_nonblocking(true).unwrap();
            if container.recv_from(&mut buffer).is_ok() {
                break;
            }
            assert!(Instant::now() < deadline);
        }
    });
}
