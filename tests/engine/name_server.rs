//! The name server of a container, in namespaces of its own: what it knows, whom it asks else, and what it does not believe.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use wharf::engine::model::network::{Endpoint, Mac};
use wharf::engine::model::{ContainerId, Timestamp};
use wharf::engine::net::dns::{self, Config, Server, Upstream, Via};
use wharf::engine::net::names::Source;
use wharf::engine::sys::file::{Durability, write_atomic};
use wharf::engine::sys::poll::Poller;

use crate::spaces::Space;
use crate::support::{PATIENCE, skip};

const SERVER: (Ipv4Addr, u16) = (dns::ADDRESS, 53);

type Order = (Config, Sender<()>);

/// A name server that runs until it is dropped.
struct Running {
    orders: Option<Sender<Order>>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    fn start(host: &Space, container: &Space, config: Config) -> Self {
        let (orders, inbox) = channel();
        let (ready, is_ready) = channel();
        let (host, container) = (host.clone(), container.clone());
        let thread = thread::spawn(move || {
            host.enter();
            let server = Server::open(container.fd(), 1000, config).unwrap();
            ready.send(()).unwrap();
            serve(server, &inbox);
        });
        is_ready.recv().unwrap();
        Self {
            orders: Some(orders),
            thread: Some(thread),
        }
    }

    /// Comes back when the server has it.
    fn configure(&self, config: Config) {
        let (done, is_done) = channel();
        let order = (config, done);
        self.orders.as_ref().unwrap().send(order).unwrap();
        is_done.recv().unwrap();
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
fn serve(mut server: Server, orders: &Receiver<Order>) {
    use std::sync::mpsc::TryRecvError;
    let poller = Poller::new().unwrap();
    server.register(&poller).unwrap();
    loop {
        match orders.try_recv() {
            Ok((config, done)) => {
                server.configure(config);
                done.send(()).unwrap();
            }
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => return,
        }
        let patience = server
            .deadline()
            .map_or(Duration::MAX, |at| {
                at.saturating_duration_since(Instant::now())
            })
            .min(Duration::from_millis(20));
        for ready in poller.wait(Some(patience)).unwrap() {
            server.handle(&poller, ready, Instant::now());
        }
        server.tick(&poller, Instant::now());
        server.rest();
    }
}

fn endpoint(name: &str, names: &[&str], addresses: &[&str]) -> Endpoint {
    let id = ContainerId::try_from("ab".repeat(32)).unwrap();
    let find = |prefix| {
        addresses
            .iter()
            .map(move |address| format!("{address}/{prefix}"))
    };
    Endpoint {
        id: id.clone(),
        container: id.clone(),
        container_name: name.to_owned(),
        network: id,
        interface: "eth0".to_owned(),
        host_interface: String::new(),
        mac: Mac::default(),
        ipv4: find(24).find_map(|text| text.parse().ok()),
        ipv6: find(64).find_map(|text| text.parse().ok()),
        gateways: Vec::new(),
        link_local: Vec::new(),
        host_name: String::new(),
        names: names.iter().map(|&name| name.to_owned()).collect(),
        links: Vec::new(),
        publications: Vec::new(),
        since: Timestamp::now(),
    }
}

fn write(path: &Path, endpoints: &[Endpoint]) {
    let document = serde_json::json!({"version": 1, "endpoints": endpoints});
    write_atomic(path, document.to_string().as_bytes(), Durability::Unsynced).unwrap();
}

fn network(file: PathBuf) -> Vec<Source> {
    vec![Source {
        network: "net".to_owned(),
        file,
        links: BTreeMap::new(),
    }]
}

fn question(name: &str, kind: RecordType) -> Message {
    let mut message = Message::new(4711, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    message
}

fn udp() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.connect(SERVER).unwrap();
    socket
}

/// Asks by a datagram, from this thread's namespace.
fn ask_message(message: &Message) -> Message {
    let socket = udp();
    socket.send(&message.to_vec().unwrap()).unwrap();
    let mut buffer = vec![0; 65_535];
    let length = socket.recv(&mut buffer).unwrap();
    let answer = Message::from_vec(&buffer[..length]).unwrap();
    assert_eq!(answer.metadata.id, message.metadata.id);
    assert_eq!(answer.metadata.message_type, MessageType::Response);
    assert_eq!(answer.queries, message.queries);
    answer
}

fn ask(name: &str, kind: RecordType) -> Message {
    ask_message(&question(name, kind))
}

fn send_framed(stream: &mut TcpStream, message: &Message) {
    let bytes = message.to_vec().unwrap();
    let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
    stream.write_all(&[&length[..], &bytes].concat()).unwrap();
}

fn receive_framed(stream: &mut TcpStream) -> Message {
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut bytes = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut bytes).unwrap();
    Message::from_vec(&bytes).unwrap()
}

fn tcp() -> TcpStream {
    let stream = TcpStream::connect(SERVER).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn texts(message: &Message) -> Vec<String> {
    let data = |record: &Record| record.data.to_string();
    message.answers.iter().map(data).collect()
}

fn spaces() -> Option<(Space, Space)> {
    if !rustix::process::geteuid().is_root() {
        skip("needs root");
        return None;
    }
    Some((Space::new(), Space::new()))
}

#[test]
fn names_are_answered_with_addresses_and_addresses_with_names() {
    let Some((host, container)) = spaces() else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("endpoints.json");
    write(
        &file,
        &[
            endpoint("web", &["web", "www"], &["10.0.0.2", "fd00::2"]),
            endpoint("db", &["sql"], &["10.0.0.3"]),
        ],
    );
    let config = Config {
        networks: network(file.clone()),
        ..Config::default()
    };
    let _server = Running::start(&host, &container, config);
    container.run(|| {
        for (name, kind, expected) in [
            ("web.", RecordType::A, &["10.0.0.2"][..]),
            ("wWw.NET.", RecordType::A, &["10.0.0.2"]),
            ("www.", RecordType::AAAA, &["fd00::2"]),
            ("sql.", RecordType::A, &["10.0.0.3"]),
            // Known, but not so: no error.
            ("sql.", RecordType::AAAA, &[]),
            ("sql.", RecordType::HTTPS, &[]),
            ("sql.", RecordType::MX, &[]),
            ("3.0.0.10.in-addr.arpa.", RecordType::PTR, &["db.net."]),
            (
                "2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa.",
                RecordType::PTR,
                &["web.net."],
            ),
        ] {
            let answer = ask(name, kind);
            assert_eq!(
                answer.metadata.response_code,
                ResponseCode::NoError,
                "{name}"
            );
            assert!(answer.metadata.recursion_available);
            assert_eq!(texts(&answer), expected, "{name} {kind}");
            // A resolver that compares as it wrote.
            assert_eq!(answer.queries[0].name().to_ascii(), name);
        }
        // Nobody else is asked: a container with internal networks alone.
        for (name, kind) in [
            ("nobody.", RecordType::A),
            ("example.com.", RecordType::A),
            ("9.0.0.10.in-addr.arpa.", RecordType::PTR),
            ("0.0.10.in-addr.arpa.", RecordType::PTR),
        ] {
            let answer = ask(name, kind);
            assert_eq!(
                answer.metadata.response_code,
                ResponseCode::ServFail,
                "{name}"
            );
        }
        // The moment that somebody joins, and leaves.
        for round in 1..5 {
            let name = format!("late{round}");
            write(&file, &[endpoint(&name, &[], &["10.0.0.9"])]);
            assert_eq!(
                texts(&ask(&format!("{name}."), RecordType::A)),
                ["10.0.0.9"],
                "{name}"
            );
            let code = ask("web.", RecordType::A).metadata.response_code;
            assert_eq!(code, ResponseCode::ServFail);
        }
    });
}

#[test]
fn many_addresses_take_turns_and_come_whole_over_tcp_or_with_edns() {
    let Some((host, container)) = spaces() else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("endpoints.json");
    let all: Vec<Endpoint> = (1..=100)
        .map(|n| endpoint(&format!("w{n}"), &["service"], &[&format!("10.0.0.{n}")]))
        .collect();
    write(&file, &all);
    let config = Config {
        networks: network(file),
        ..Config::default()
    };
    let _server = Running::start(&host, &container, config);
    container.run(|| {
        let plain = question("service.", RecordType::A);
        let answer = ask_message(&plain);
        assert!(answer.metadata.truncation);
        assert!(!answer.answers.is_empty() && answer.answers.len() < 100);
        let first: Vec<String> = (0..3)
            .map(|_| texts(&ask_message(&plain))[0].clone())
            .collect();
        assert!(first[0] != first[1] && first[1] != first[2], "{first:?}");

        let mut extended = plain.clone();
        let mut edns = Edns::new();
        edns.set_max_payload(4096);
        extended.set_edns(edns);
        let answer = ask_message(&extended);
        assert!(!answer.metadata.truncation && answer.edns.is_some());
        assert_eq!(answer.answers.len(), 100);

        // Three questions at once on one stream, the last of them in pieces, then the end.
        let mut stream = tcp();
        send_framed(&mut stream, &plain);
        send_framed(&mut stream, &question("w7.", RecordType::A));
        for byte in b"\0\x10\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x01" {
            stream.write_all(&[*byte]).unwrap();
        }
        stream.write_all(b"\x01xx").unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let answer = receive_framed(&mut stream);
        assert_eq!(
            (answer.answers.len(), answer.metadata.truncation),
            (100, false)
        );
        assert_eq!(texts(&receive_framed(&mut stream)), ["10.0.0.7"]);
        let code = receive_framed(&mut stream).metadata.response_code;
        assert_eq!(code, ResponseCode::FormErr);
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    });
}

#[test]
fn what_is_no_question_is_refused_or_not_answered_at_all() {
    let Some((host, container)) = spaces() else {
        return;
    };
    let _server = Running::start(&host, &container, Config::default());
    container.run(|| {
        let socket = udp();
        let mut buffer = [0; 512];
        let mut response = question("x.", RecordType::A);
        response.metadata.message_type = MessageType::Response;
        let mut update = question("x.", RecordType::A);
        update.metadata.op_code = OpCode::Update;
        let mut future = question("x.", RecordType::A);
        let mut edns = Edns::new();
        edns.set_version(1);
        future.set_edns(edns);
        let mut two = question("x.", RecordType::A);
        two.add_query(two.queries[0].clone());
        let good = question("x.", RecordType::A).to_vec().unwrap();
        let cut = &good[..good.len() - 1];
        for (bytes, expected) in [
            (&b""[..], None),
            (b"\x12\x34", None),
            (&response.to_vec().unwrap(), None),
            (&update.to_vec().unwrap(), Some(ResponseCode::NotImp)),
            (&future.to_vec().unwrap(), Some(ResponseCode::BADVERS)),
            (&two.to_vec().unwrap(), Some(ResponseCode::FormErr)),
            (cut, Some(ResponseCode::FormErr)),
            (&good, Some(ResponseCode::ServFail)),
        ] {
            socket.send(bytes).unwrap();
            // What is answered in any case, after it: so nothing was said to the first.
            if expected.is_none() {
                socket.send(&good).unwrap();
            }
            let length = socket.recv(&mut buffer).unwrap();
            let answer = Message::from_vec(&buffer[..length]).unwrap();
            let expected = expected.unwrap_or(ResponseCode::ServFail);
            let code = answer.metadata.response_code;
            assert_eq!(u16::from(code), u16::from(expected), "{bytes:?}");
        }
    });
    let taken = host.run(|| Server::open(container.fd(), 0, Config::default()));
    let error = taken.unwrap_err();
    assert_eq!(
        error.kind(),
        wharf::engine::error::Kind::Conflict,
        "{error}"
    );
}

/// A name server of the outside: says what `answer` makes of each question, to whoever asked.
fn outside(
    space: &Space,
    address: &str,
    mut answer: impl FnMut(Message) -> Vec<Vec<u8>> + Send + 'static,
) -> (SocketAddr, Receiver<Message>) {
    let socket = space.run(|| UdpSocket::bind(address).unwrap());
    let address = socket.local_addr().unwrap();
    let (seen, log) = channel();
    thread::spawn(move || {
        let mut buffer = vec![0; 65_535];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let question = Message::from_vec(&buffer[..length]).unwrap();
            if seen.send(question.clone()).is_err() {
                return;
            }
            for bytes in answer(question) {
                socket.send_to(&bytes, from).unwrap();
            }
        }
    });
    (address, log)
}

fn reply(question: &Message, address: &str) -> Message {
    let mut message = Message::response(question.metadata.id, OpCode::Query);
    message.queries.clone_from(&question.queries);
    let IpAddr::V4(v4) = address.parse().unwrap() else {
        panic!("{address}")
    };
    let name = question.queries[0].name().clone();
    message.add_answer(Record::from_rdata(name, 60, RData::A(A(v4))));
    message
}

fn honest(address: &'static str) -> impl FnMut(Message) -> Vec<Vec<u8>> + Send {
    move |question| vec![reply(&question, address).to_vec().unwrap()]
}

#[test]
fn others_are_asked_from_where_they_are_and_only_they_are_believed() {
    let Some((host, container)) = spaces() else {
        return;
    };
    let (of_host, _one) = outside(&host, "127.0.0.1:5300", honest("192.0.2.1"));
    let (of_container, _two) = outside(&container, "127.0.0.1:5300", honest("192.0.2.2"));
    let (liar, _three) = outside(&container, "127.0.0.1:0", |question| {
        let mut other_id = reply(&question, "192.0.2.66");
        other_id.metadata.id ^= 1;
        let mut other_name = reply(&question, "192.0.2.66");
        let name = Name::from_ascii("victim.example.").unwrap();
        other_name.queries = vec![Query::query(name, RecordType::A)];
        let mut no_response = reply(&question, "192.0.2.66");
        no_response.metadata.message_type = MessageType::Query;
        let right = reply(&question, "192.0.2.3");
        [other_id, other_name, no_response, right]
            .map(|message| message.to_vec().unwrap())
            .into_iter()
            .chain([b"".to_vec(), b"\xff".to_vec()])
            .rev()
            .collect()
    });
    let (failing, _four) = outside(&container, "127.0.0.1:0", |question| {
        let code = ResponseCode::ServFail;
        vec![
            Message::error_msg(question.metadata.id, OpCode::Query, code)
                .to_vec()
                .unwrap(),
        ]
    });
    let (silent, asked) = outside(&container, "127.0.0.1:0", |_| Vec::new());
    let via = |address, via| Upstream { address, via };
    let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
    let config = |servers: &[Upstream]| Config {
        servers: servers.to_vec(),
        ..Config::default()
    };
    let server = Running::start(&host, &container, Config::default());
    for (servers, expected) in [
        (vec![via(of_host, Via::Host)], Some("192.0.2.1")),
        (vec![via(of_container, Via::Container)], Some("192.0.2.2")),
        (vec![via(liar, Via::Container)], Some("192.0.2.3")),
        (
            vec![
                via(nobody, Via::Container),
                via(failing, Via::Container),
                via(of_host, Via::Host),
            ],
            Some("192.0.2.1"),
        ),
        (
            vec![via(silent, Via::Container), via(of_host, Via::Host)],
            Some("192.0.2.1"),
        ),
        (vec![via(failing, Via::Container)], None),
        (vec![via(nobody, Via::Host)], None),
    ] {
        server.configure(config(&servers));
        let answer = container.run(|| ask("example.com.", RecordType::A));
        match expected {
            Some(address) => assert_eq!(texts(&answer), [address], "{servers:?}"),
            None => assert_eq!(answer.metadata.response_code, ResponseCode::ServFail),
        }
    }
    let ids: Vec<u16> = asked
        .try_iter()
        .map(|message| message.metadata.id)
        .collect();
    assert!(!ids.is_empty() && ids != [4711], "{ids:?}");
}

#[test]
fn a_question_over_tcp_is_asked_over_tcp_and_a_long_answer_is_cut_for_a_datagram() {
    let Some((host, container)) = spaces() else {
        return;
    };
    let long = |question: &Message| {
        let mut message = reply(question, "192.0.2.1");
        for n in 1..=200 {
            let more = reply(question, &format!("192.0.2.{n}"));
            message.answers.extend(more.answers);
        }
        message
    };
    let (address, _log) = outside(&host, "127.0.0.1:0", move |question| {
        vec![long(&question).to_vec().unwrap()]
    });
    let listener = host.run(|| TcpListener::bind(address).unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let question = receive_framed(&mut stream);
            send_framed(&mut stream, &long(&question));
        }
    });
    let config = Config {
        servers: vec![Upstream {
            address,
            via: Via::Host,
        }],
        keeps_bare_names: true,
        ..Config::default()
    };
    let _server = Running::start(&host, &container, config);
    container.run(|| {
        let plain = question("example.com.", RecordType::A);
        let answer = ask_message(&plain);
        assert!(answer.metadata.truncation && answer.answers.is_empty());
        let mut stream = tcp();
        send_framed(&mut stream, &plain);
        let answer = receive_framed(&mut stream);
        assert_eq!(answer.metadata.id, plain.metadata.id);
        assert_eq!(answer.answers.len(), 201);
        // With ndots, a bare name is the client's own matter.
        let answer = ask("bare.", RecordType::A);
        assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
        assert!(answer.answers.is_empty());
        assert!(ask("bare.", RecordType::TXT).metadata.truncation);
    });
}
