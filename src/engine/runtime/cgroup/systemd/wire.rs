//! Messages of D-Bus (dbus-specification, "Message Protocol"), as far as a conversation with systemd needs them. Pure.

use crate::engine::error::{Error, Kind, Result};

/// Larger messages are not systemd's.
pub(super) const MAX_MESSAGE: usize = 1 << 20;

/// The value of a property, with its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Value {
    /// `b`
    Bool(bool),
    /// `t`
    Number(u64),
    /// `s`
    Text(String),
    /// `as`
    Texts(Vec<String>),
    /// `au`
    Pids(Vec<u32>),
    /// `ay`
    Bytes(Vec<u8>),
    /// `a(ss)`
    Pairs(Vec<(String, String)>),
}

impl Value {
    fn signature(&self) -> &'static str {
        match self {
            Self::Bool(_) => "b",
            Self::Number(_) => "t",
            Self::Text(_) => "s",
            Self::Texts(_) => "as",
            Self::Pids(_) => "au",
            Self::Bytes(_) => "ay",
            Self::Pairs(_) => "a(ss)",
        }
    }
}

/// A property's name and value.
pub(in super::super) type Property = (&'static str, Value);

/// Bytes of a message on their way out, little-endian.
#[derive(Debug, Default)]
pub(super) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// Every type begins at a multiple of its size, counted from the beginning of the message or its body, which itself
    /// begins at a multiple of eight.
    fn align(&mut self, to: usize) {
        self.bytes.resize(self.bytes.len().next_multiple_of(to), 0);
    }

    pub(super) fn number(&mut self, value: u32) {
        self.align(4);
        self.bytes.extend(value.to_le_bytes());
    }

    fn long(&mut self, value: u64) {
        self.align(8);
        self.bytes.extend(value.to_le_bytes());
    }

    pub(super) fn boolean(&mut self, value: bool) {
        self.number(value.into());
    }

    pub(super) fn text(&mut self, text: &str) {
        self.number(u32::try_from(text.len()).unwrap_or(u32::MAX));
        self.bytes.extend(text.as_bytes());
        self.bytes.push(0);
    }

    fn signature(&mut self, signature: &str) {
        self.bytes.push(u8::try_from(signature.len()).unwrap_or(0));
        self.bytes.extend(signature.as_bytes());
        self.bytes.push(0);
    }

    /// An array: its length in bytes does not count the padding before its first element.
    fn array(&mut self, alignment: usize, fill: impl FnOnce(&mut Self)) {
        self.number(0);
        let length_at = self.bytes.len() - 4;
        self.align(alignment);
        let start = self.bytes.len();
        fill(self);
        let length = u32::try_from(self.bytes.len() - start).unwrap_or(u32::MAX);
        if let Some(place) = self.bytes.get_mut(length_at..length_at + 4) {
            place.copy_from_slice(&length.to_le_bytes());
        }
    }

    fn variant(&mut self, value: &Value) {
        self.signature(value.signature());
        match value {
            Value::Bool(value) => self.boolean(*value),
            Value::Number(value) => self.long(*value),
            Value::Text(text) => self.text(text),
            Value::Texts(texts) => {
                self.array(4, |out| texts.iter().for_each(|text| out.text(text)));
            }
            Value::Pids(pids) => self.array(4, |out| pids.iter().for_each(|pid| out.number(*pid))),
            Value::Bytes(bytes) => self.array(1, |out| out.bytes.extend(bytes)),
            Value::Pairs(pairs) => self.array(8, |out| {
                for (first, second) in pairs {
                    out.align(8);
                    out.text(first);
                    out.text(second);
                }
            }),
        }
    }

    /// `a(sv)`
    pub(super) fn properties(&mut self, properties: &[Property]) {
        self.array(8, |out| {
            for (name, value) in properties {
                out.align(8);
                out.text(name);
                out.variant(value);
            }
        });
    }

    /// An empty array of structures.
    pub(super) fn nothing(&mut self) {
        self.array(8, |_| {});
    }
}

/// A method call.
#[derive(Debug)]
pub(super) struct Call<'a> {
    /// Who is meant; without a bus between there is nobody else.
    pub(super) destination: Option<&'a str>,
    pub(super) path: &'a str,
    pub(super) interface: &'a str,
    pub(super) member: &'a str,
    /// Of the body.
    pub(super) signature: &'a str,
    pub(super) body: Writer,
}

const METHOD_CALL: u8 = 1;
const METHOD_RETURN: u8 = 2;
const ERROR: u8 = 3;
const SIGNAL: u8 = 4;

/// Header fields that are read or written (dbus-specification, "Header Fields").
const PATH: u8 = 1;
const INTERFACE: u8 = 2;
const MEMBER: u8 = 3;
const ERROR_NAME: u8 = 4;
const REPLY_SERIAL: u8 = 5;
const DESTINATION: u8 = 6;
const SIGNATURE: u8 = 8;

impl Call<'_> {
    /// The whole message.
    pub(super) fn encode(&self, serial: u32) -> Vec<u8> {
        message(METHOD_CALL, serial, &self.body, |out| {
            let texts = [
                (PATH, "o", Some(self.path)),
                (DESTINATION, "s", self.destination),
                (INTERFACE, "s", Some(self.interface)),
                (MEMBER, "s", Some(self.member)),
            ];
            for (code, kind, text) in texts {
                if let Some(text) = text {
                    field(out, code, kind);
                    out.text(text);
                }
            }
            if !self.signature.is_empty() {
                field(out, SIGNATURE, "g");
                out.signature(self.signature);
            }
        })
    }
}

fn field(out: &mut Writer, code: u8, kind: &str) {
    out.align(8);
    out.bytes.push(code);
    out.signature(kind);
}

fn message(kind: u8, serial: u32, body: &Writer, fields: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut out = Writer::default();
    // Little-endian, no flags, version 1.
    out.bytes.extend([b'l', kind, 0, 1]);
    out.number(u32::try_from(body.bytes.len()).unwrap_or(u32::MAX));
    out.number(serial);
    out.array(8, fields);
    out.align(8);
    out.bytes.extend(&body.bytes);
    out.bytes
}

/// What came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Incoming {
    /// The answer to a call.
    Return {
        /// The call's serial number.
        to: u32,
        /// The texts of the body (strings, paths, signatures), in order; other types are passed over.
        texts: Vec<String>,
    },
    /// The refusal of a call.
    Error {
        /// The call's serial number.
        to: u32,
        /// `org.freedesktop.…`
        name: String,
        /// As above; the first is the reason.
        texts: Vec<String>,
    },
    /// Something happened.
    Signal {
        /// Its name.
        member: String,
        /// As above.
        texts: Vec<String>,
    },
    /// A call to us, or a kind to come.
    Other,
}

/// How long a message is, from its first sixteen bytes.
///
/// # Errors
/// Bytes that begin no message, or one that is too large.
pub(super) fn length(head: [u8; 16]) -> Result<usize> {
    let mut reader = Reader::new(&head)?;
    reader.at = 4;
    let (body, _serial, fields) = (reader.number()?, reader.number()?, reader.number()?);
    let fields = usize::try_from(fields).unwrap_or(usize::MAX);
    let body = usize::try_from(body).unwrap_or(usize::MAX);
    let total = fields
        .checked_add(16)
        .and_then(|length| length.checked_next_multiple_of(8))
        .and_then(|length| length.checked_add(body));
    total
        .filter(|total| *total <= MAX_MESSAGE)
        .ok_or_else(garbled)
}

/// Reads a whole message.
///
/// # Errors
/// [`Kind::Unavailable`]: bytes that are none.
pub(super) fn decode(bytes: &[u8]) -> Result<Incoming> {
    let mut reader = Reader::new(bytes)?;
    let kind = bytes.get(1).copied().unwrap_or(0);
    reader.at = 12;
    let end = usize::try_from(reader.number()?)
        .ok()
        .and_then(|length| length.checked_add(reader.at));
    let end = end.ok_or_else(garbled)?;
    let (mut to, mut name, mut member, mut signature) =
        (0, String::new(), String::new(), String::new());
    while reader.at < end {
        reader.align(8);
        let code = reader.byte()?;
        let type_of = reader.signature()?;
        match (code, type_of.as_str()) {
            (REPLY_SERIAL, "u") => to = reader.number()?,
            (ERROR_NAME, "s") => name = reader.text()?,
            (MEMBER, "s") => member = reader.text()?,
            (SIGNATURE, "g") => signature = reader.signature()?,
            (_, "s" | "o") => drop(reader.text()?),
            (_, "u") => drop(reader.number()?),
            (_, "g") => drop(reader.signature()?),
            _ => return Err(garbled()),
        }
    }
    reader.align(8);
    let texts = reader.texts(&signature)?;
    Ok(match kind {
        METHOD_RETURN => Incoming::Return { to, texts },
        ERROR => Incoming::Error { to, name, texts },
        SIGNAL => Incoming::Signal { member, texts },
        _ => Incoming::Other,
    })
}

fn garbled() -> Error {
    Error::new(Kind::Unavailable, "systemd's answer is no D-Bus message")
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    is_little: bool,
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8]) -> Result<Self> {
        let is_little = match bytes.first() {
            Some(b'l') => true,
            Some(b'B') => false,
            _ => return Err(garbled()),
        };
        Ok(Self {
            bytes,
            at: 0,
            is_little,
        })
    }

    fn align(&mut self, to: usize) {
        self.at = self.at.next_multiple_of(to);
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let end = self.at.checked_add(count).ok_or_else(garbled)?;
        let taken = self.bytes.get(self.at..end).ok_or_else(garbled)?;
        self.at = end;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8> {
        self.take(1)?.first().copied().ok_or_else(garbled)
    }

    fn number(&mut self) -> Result<u32> {
        self.align(4);
        let bytes: [u8; 4] = self.take(4)?.try_into().ok().ok_or_else(garbled)?;
        Ok(if self.is_little {
            u32::from_le_bytes(bytes)
        } else {
            u32::from_be_bytes(bytes)
        })
    }

    fn text(&mut self) -> Result<String> {
        let length = usize::try_from(self.number()?).ok().ok_or_else(garbled)?;
        self.terminated(length)
    }

    fn signature(&mut self) -> Result<String> {
        let length = self.byte()?;
        self.terminated(length.into())
    }

    fn terminated(&mut self, length: usize) -> Result<String> {
        let text = self.take(length)?.to_vec();
        self.take(1)?;
        String::from_utf8(text).ok().ok_or_else(garbled)
    }

    /// The texts of a body whose types are all plain, or a variant of such; what follows another type is not looked at.
    fn texts(&mut self, signature: &str) -> Result<Vec<String>> {
        let mut texts = Vec::new();
        for kind in signature.bytes() {
            match kind {
                b's' | b'o' => texts.push(self.text()?),
                b'g' => texts.push(self.signature()?),
                b'u' | b'i' | b'b' => drop(self.number()?),
                b't' | b'x' | b'd' => {
                    self.align(8);
                    self.take(8)?;
                }
                b'v' => {
                    let inner = self.signature()?;
                    if inner.contains('v') {
                        break;
                    }
                    texts.extend(self.texts(&inner)?);
                }
                _ => break,
            }
        }
        Ok(texts)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What systemd would send.
    pub(crate) enum Sent<'a> {
        Return(u32, &'a str, &'a [&'a str]),
        Error(u32, &'a str, &'a str),
        Removed(&'a str, &'a str, &'a str),
    }

    pub(crate) fn sent(what: &Sent<'_>) -> Vec<u8> {
        let mut body = Writer::default();
        let serial = 77;
        match *what {
            Sent::Return(to, signature, texts) => {
                for text in texts {
                    body.text(text);
                }
                message(METHOD_RETURN, serial, &body, |out| {
                    field(out, REPLY_SERIAL, "u");
                    out.number(to);
                    if !signature.is_empty() {
                        field(out, SIGNATURE, "g");
                        out.signature(signature);
                    }
                })
            }
            Sent::Error(to, name, why) => {
                body.text(why);
                message(ERROR, serial, &body, |out| {
                    field(out, ERROR_NAME, "s");
                    out.text(name);
                    field(out, REPLY_SERIAL, "u");
                    out.number(to);
                    field(out, SIGNATURE, "g");
                    out.signature("s");
                })
            }
            Sent::Removed(job, unit, result) => {
                body.number(5);
                for text in [job, unit, result] {
                    body.text(text);
                }
                message(SIGNAL, serial, &body, |out| {
                    field(out, PATH, "o");
                    out.text("/org/freedesktop/systemd1");
                    field(out, MEMBER, "s");
                    out.text("JobRemoved");
                    field(out, SIGNATURE, "g");
                    out.signature("uoss");
                })
            }
        }
    }

    /// The call as it was meant: member and the bytes of its body.
    pub(crate) fn called(bytes: &[u8]) -> (u32, String, Vec<u8>) {
        let mut reader = Reader::new(bytes).unwrap();
        reader.at = 4;
        let (body, serial) = (reader.number().unwrap(), reader.number().unwrap());
        let end = reader.number().unwrap() as usize + reader.at;
        let mut member = String::new();
        while reader.at < end {
            reader.align(8);
            let code = reader.byte().unwrap();
            if reader.signature().unwrap() == "g" {
                reader.signature().unwrap();
                continue;
            }
            let text = reader.text().unwrap();
            if code == MEMBER {
                member = text;
            }
        }
        let start = bytes.len() - body as usize;
        (serial, member, bytes[start..].to_vec())
    }

    #[test]
    fn a_call_is_laid_out_as_the_specification_says() {
        let mut body = Writer::default();
        body.text("ab");
        let call = Call {
            destination: Some("c.d"),
            path: "/a",
            interface: "i.f",
            member: "M",
            signature: "s",
            body,
        };
        let expected = [
            b"l\x01\x00\x01\x07\x00\x00\x00\x09\x00\x00\x00\x47\x00\x00\x00".as_slice(),
            b"\x01\x01o\x00\x02\x00\x00\x00/a\x00\x00\x00\x00\x00\x00",
            b"\x06\x01s\x00\x03\x00\x00\x00c.d\x00\x00\x00\x00\x00",
            b"\x02\x01s\x00\x03\x00\x00\x00i.f\x00\x00\x00\x00\x00",
            b"\x03\x01s\x00\x01\x00\x00\x00M\x00\x00\x00\x00\x00\x00\x00",
            b"\x08\x01g\x00\x01s\x00\x00",
            b"\x02\x00\x00\x00ab\x00",
        ]
        .concat();
        // The length of the fields does not count the padding behind the last one.
        let encoded = call.encode(9);
        assert_eq!(encoded, expected);
    }

    #[test]
    fn properties_are_variants_in_structures() {
        let mut out = Writer::default();
        out.properties(&[
            ("A", Value::Bool(true)),
            ("B", Value::Number(7)),
            ("C", Value::Pids(vec![1, 2])),
            ("D", Value::Bytes(vec![3])),
            ("E", Value::Pairs(vec![("x".to_owned(), "y".to_owned())])),
            ("F", Value::Text("z".to_owned())),
        ]);
        let expected = [
            b"\x92\x00\x00\x00\x00\x00\x00\x00".as_slice(),
            b"\x01\x00\x00\x00A\x00\x01b\x00\x00\x00\x00\x01\x00\x00\x00",
            b"\x01\x00\x00\x00B\x00\x01t\x00\x00\x00\x00\x00\x00\x00\x00\x07\x00\x00\x00\x00\x00\x00\x00",
            b"\x01\x00\x00\x00C\x00\x02au\x00\x00\x00\x08\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00",
            b"\x01\x00\x00\x00D\x00\x02ay\x00\x00\x00\x01\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x00",
        ]
        .concat();
        let head = expected.len();
        assert_eq!(out.bytes.get(..head).unwrap(), expected);
        assert!(
            out.bytes
                .ends_with(b"\x01s\x00\x00\x00\x00\x01\x00\x00\x00z\x00")
        );
        assert_eq!(out.bytes.len(), 8 + 0x92);
    }

    #[test]
    fn answers_are_read_back() {
        let read = |what: Sent<'_>| {
            let bytes = sent(&what);
            let head: [u8; 16] = bytes[..16].try_into().unwrap();
            assert_eq!(length(head).unwrap(), bytes.len());
            decode(&bytes).unwrap()
        };
        let texts = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            read(Sent::Return(3, "o", &["/job/1"])),
            Incoming::Return {
                to: 3,
                texts: texts(&["/job/1"])
            }
        );
        assert_eq!(
            read(Sent::Error(3, "a.b", "why")),
            Incoming::Error {
                to: 3,
                name: "a.b".to_owned(),
                texts: texts(&["why"])
            }
        );
        assert_eq!(
            read(Sent::Removed("/job/1", "x.scope", "done")),
            Incoming::Signal {
                member: "JobRemoved".to_owned(),
                texts: texts(&["/job/1", "x.scope", "done"])
            }
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(mut bytes in prop::collection::vec(any::<u8>(), 16..200), at in 0..200usize, value in any::<u8>()) {
            bytes[0] = b'l';
            let _ = decode(&bytes);
            let _ = length(bytes[..16].try_into().unwrap());
            let mut changed = sent(&Sent::Removed("/job/1", "x.scope", "done"));
            let at = at % changed.len();
            changed[at] = value;
            let _ = decode(&changed);
        }
    }
}
