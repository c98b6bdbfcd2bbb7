//! DNS messages (RFC 1035, RFC 6891): which are questions, what is answered from names, how an answer of others is known.

use std::net::IpAddr;

use hickory_proto::op::{Edns, Header, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, PTR};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder, BinEncodable, BinEncoder};
use ipnet::IpNet;

use crate::engine::net::names::Directory;

/// Nobody is to keep an answer: a container may come or go with the next one.
const TIME_TO_LIVE: u32 = 0;

/// What a message over UDP may have without EDNS (RFC 1035, 4.2.1).
const PLAIN_LIMIT: u16 = 512;

/// What we say that we take (RFC 6891, 6.2.5).
const OUR_LIMIT: u16 = 4096;

/// How the question came, and so how long its answer may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// By a datagram: 512 bytes, or what EDNS says.
    Udp,
    /// By a stream: 65,535 bytes.
    Tcp,
}

/// A well-formed message with one question.
#[derive(Debug)]
pub struct Question {
    query: Message,
    asked: Query,
    transport: Transport,
}

/// What to do with bytes that came to a server.
#[derive(Debug)]
pub enum Incoming {
    /// Nothing: it is too short to be anything, or an answer. Answering answers would make two servers talk for ever.
    Nothing,
    /// Say this at once: it is no question, or not one that anybody here understands.
    Refused(Vec<u8>),
    /// Answer it.
    Question(Box<Question>),
}

/// What a server that was asked has said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// The answer, of whatever kind.
    Answer,
    /// It cannot or will not (`SERVFAIL`, `REFUSED`): another one may.
    Failure,
    /// Not to this question.
    Stranger,
}

/// Reads what a client sent.
#[must_use]
pub fn read(bytes: &[u8], transport: Transport) -> Incoming {
    let Ok(header) = Header::read(&mut BinDecoder::new(bytes)) else {
        return Incoming::Nothing;
    };
    if header.metadata.message_type == MessageType::Response {
        return Incoming::Nothing;
    }
    let refuse = |code| {
        let mut message = Message::error_msg(header.metadata.id, header.metadata.op_code, code);
        message.metadata.recursion_desired = header.metadata.recursion_desired;
        encode(&message, PLAIN_LIMIT).map_or(Incoming::Nothing, Incoming::Refused)
    };
    if header.metadata.op_code != OpCode::Query {
        return refuse(ResponseCode::NotImp);
    }
    let Ok(query) = Message::from_vec(bytes) else {
        return refuse(ResponseCode::FormErr);
    };
    let [asked] = query.queries.as_slice() else {
        return refuse(ResponseCode::FormErr);
    };
    let asked = asked.clone();
    let question = Question {
        query,
        asked,
        transport,
    };
    let version = question.query.edns.as_ref().map_or(0, Edns::version);
    if version != 0 {
        return question
            .failure(ResponseCode::BADVERS)
            .map_or(Incoming::Nothing, Incoming::Refused);
    }
    Incoming::Question(Box::new(question))
}

impl Question {
    /// The number that the client gave it.
    #[must_use]
    pub fn id(&self) -> u16 {
        self.query.metadata.id
    }

    /// How it came.
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// Whether it asks for the addresses of a name without a dot.
    #[must_use]
    pub fn is_for_a_bare_name(&self) -> bool {
        let for_address = matches!(self.asked.query_type(), RecordType::A | RecordType::AAAA);
        for_address && self.asked.name().num_labels() <= 1
    }

    /// The answer from names, `None` if nobody here is called so. A name that is known has no records of any type but its
    /// addresses: the answer is then empty, never "no such name". `turn` is how far a service's addresses are turned.
    #[must_use]
    pub fn answer(&self, directory: &Directory, turn: usize) -> Option<Vec<u8>> {
        if self.asked.query_class() != DNSClass::IN {
            return None;
        }
        let records = match self.asked.query_type() {
            RecordType::PTR => self.pointer(directory).or_else(|| {
                // A container may be called `2.0.0.10.in-addr.arpa`, but why should it.
                directory
                    .addresses(&key(self.asked.name())?)
                    .map(|_| Vec::new())
            })?,
            kind => self.addresses(directory, kind, turn)?,
        };
        self.respond(ResponseCode::NoError, records)
    }

    fn addresses(
        &self,
        directory: &Directory,
        kind: RecordType,
        turn: usize,
    ) -> Option<Vec<Record>> {
        let found = directory.addresses(&key(self.asked.name())?)?;
        let mut records: Vec<Record> = found
            .iter()
            .filter_map(|address| match (kind, address) {
                (RecordType::A | RecordType::ANY, IpAddr::V4(v4)) => Some(RData::A(A(*v4))),
                (RecordType::AAAA | RecordType::ANY, IpAddr::V6(v6)) => {
                    Some(RData::AAAA(AAAA(*v6)))
                }
                _ => None,
            })
            .map(|data| self.record(data))
            .collect();
        if !records.is_empty() {
            let length = records.len();
            records.rotate_left(turn % length);
        }
        Some(records)
    }

    fn pointer(&self, directory: &Directory) -> Option<Vec<Record>> {
        let network = self.asked.name().parse_arpa_name().ok()?;
        let is_one = match network {
            IpNet::V4(net) => net.prefix_len() == 32,
            IpNet::V6(net) => net.prefix_len() == 128,
        };
        let owner = directory.owner(network.addr()).filter(|_| is_one)?;
        let labels = owner.split('.').map(str::as_bytes);
        let name = Name::from_labels(labels).ok()?;
        Some(vec![self.record(RData::PTR(PTR(name)))])
    }

    fn record(&self, data: RData) -> Record {
        Record::from_rdata(self.asked.name().clone(), TIME_TO_LIVE, data)
    }

    /// An answer without records; `None` never in practice (it would be longer than its question).
    #[must_use]
    pub fn failure(&self, code: ResponseCode) -> Option<Vec<u8>> {
        self.respond(code, Vec::new())
    }

    fn respond(&self, code: ResponseCode, records: Vec<Record>) -> Option<Vec<u8>> {
        let asked = &self.query.metadata;
        let mut message = Message::response(asked.id, asked.op_code);
        message.metadata.recursion_desired = asked.recursion_desired;
        message.metadata.checking_disabled = asked.checking_disabled;
        message.metadata.recursion_available = true;
        message.metadata.response_code = code;
        message.queries = vec![self.asked.clone()];
        message.answers = records;
        if self.query.edns.is_some() {
            let mut edns = Edns::new();
            edns.set_max_payload(OUR_LIMIT);
            message.edns = Some(edns);
        }
        encode(&message, self.limit())
    }

    /// The longest message that the client takes.
    #[must_use]
    pub fn limit(&self) -> u16 {
        match (self.transport, &self.query.edns) {
            (Transport::Tcp, _) => u16::MAX,
            (Transport::Udp, Some(edns)) => edns.max_payload().max(PLAIN_LIMIT),
            (Transport::Udp, None) => PLAIN_LIMIT,
        }
    }

    /// What bytes from a server are that was asked this under the number `id`.
    #[must_use]
    pub fn judge(&self, reply: &[u8], id: u16) -> Reply {
        let mut decoder = BinDecoder::new(reply);
        let Ok(header) = Header::read(&mut decoder) else {
            return Reply::Stranger;
        };
        let is_response = header.metadata.message_type == MessageType::Response;
        if !is_response || header.metadata.id != id {
            return Reply::Stranger;
        }
        let failed = matches!(
            header.metadata.response_code,
            ResponseCode::ServFail | ResponseCode::Refused
        );
        let went_wrong = header.metadata.response_code != ResponseCode::NoError;
        match header.counts.queries {
            // Some say no without saying to what.
            0 if went_wrong => Reply::Failure,
            1 if Query::read(&mut decoder).is_ok_and(|query| query == self.asked) => {
                if failed {
                    Reply::Failure
                } else {
                    Reply::Answer
                }
            }
            _ => Reply::Stranger,
        }
    }

    /// A server's answer as the client gets it: under its own number, and if it is too long for it, nothing but the word to come back
    /// over TCP.
    #[must_use]
    pub fn hand_over(&self, mut reply: Vec<u8>) -> Option<Vec<u8>> {
        if reply.len() > usize::from(self.limit()) {
            let mut message = Message::response(self.id(), OpCode::Query);
            message.metadata.recursion_desired = self.query.metadata.recursion_desired;
            message.metadata.recursion_available = true;
            message.metadata.truncation = true;
            message.queries = vec![self.asked.clone()];
            return encode(&message, self.limit());
        }
        renumber(&mut reply, self.id());
        Some(reply)
    }
}

/// Gives a message another number.
pub fn renumber(message: &mut [u8], id: u16) {
    if let Some(place) = message.first_chunk_mut::<2>() {
        *place = id.to_be_bytes();
    }
}

/// A name as the directory has it: lower case, no dot at its end. `None` for what no container is called.
fn key(name: &Name) -> Option<String> {
    let mut key = String::with_capacity(name.len());
    for label in name {
        if !key.is_empty() {
            key.push('.');
        }
        let is_plain = label
            .iter()
            .all(|byte| byte.is_ascii_graphic() && *byte != b'.');
        if !is_plain {
            return None;
        }
        key.extend(
            label
                .iter()
                .map(|byte| char::from(byte.to_ascii_lowercase())),
        );
    }
    Some(key)
}

/// Records that have no room are left out, and the message says so.
fn encode(message: &Message, limit: u16) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(usize::from(PLAIN_LIMIT));
    let mut encoder = BinEncoder::new(&mut bytes);
    encoder.set_max_size(limit);
    message.emit(&mut encoder).ok()?;
    Some(bytes)
}
