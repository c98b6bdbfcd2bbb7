//! Asks a container's name server, with some questions under way at a time, as a busy server's processes have.

use std::fmt;
use std::net::{Ipv4Addr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, MessageType, OpCode, Query};
use hickory_proto::rr::{Name, RecordType};

/// Where it is, with Docker as with wharf.
const SERVER: (Ipv4Addr, u16) = (Ipv4Addr::new(127, 0, 0, 11), 53);

/// How fast answers came.
pub struct Answers {
    /// How long each took, sorted.
    pub each: Vec<Duration>,
    /// How many there were in a second.
    pub rate: f64,
}

impl Answers {
    /// What so many thousandths of them were at most.
    pub fn at(&self, share: usize) -> Duration {
        self.each[self.each.len() * share / 1000]
    }
}

impl fmt::Display for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = |share| self.at(share).as_secs_f64() * 1e6;
        write!(
            f,
            "{:>7.0} answers/s, median {:>5.0} us, p99 {:>5.0} us, p99.9 {:>5.0} us",
            self.rate,
            at(500),
            at(990),
            at(999)
        )
    }
}

/// Asks from this thread's network namespace who `container0` to `container2` are, each of which has one address.
pub fn load(under_way: usize, questions: usize) -> Answers {
    let sockets: Vec<UdpSocket> = (0..under_way).map(|_| connected()).collect();
    let texts: Vec<Vec<u8>> = (0..3).map(question).collect();
    let mut buffer = [0; 512];
    // The server may not be there yet.
    while sockets[0].send(&texts[0]).is_err() || sockets[0].recv(&mut buffer).is_err() {
        thread::yield_now();
    }
    let start = Instant::now();
    let mut sent = vec![start; under_way];
    let mut each = Vec::with_capacity(questions);
    for (n, socket) in sockets.iter().enumerate() {
        sent[n] = Instant::now();
        socket.send(&texts[n % 3]).unwrap();
    }
    'all: loop {
        for (n, socket) in sockets.iter().enumerate() {
            let length = socket.recv(&mut buffer).unwrap();
            // One answer record.
            assert!(length > 12 && buffer[7] == 1);
            each.push(sent[n].elapsed());
            if each.len() == questions {
                break 'all;
            }
            sent[n] = Instant::now();
            socket.send(&texts[each.len() % 3]).unwrap();
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let rate = questions as f64 / start.elapsed().as_secs_f64();
    each.sort_unstable();
    Answers { each, rate }
}

fn connected() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(SERVER).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    socket
}

fn question(n: usize) -> Vec<u8> {
    let id = u16::try_from(n).unwrap();
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    let name = Name::from_ascii(format!("container{n}.")).unwrap();
    message.add_query(Query::query(name, RecordType::A));
    message.to_vec().unwrap()
}
