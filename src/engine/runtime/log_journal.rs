//! An entry as systemd's journal takes it, with the fields that Docker's driver gives it. Pure, but for the door.
//!
//! The native protocol: fields as `NAME=value` with a newline, or, where a value may have newlines in it, `NAME`, newline,
//! the length (64 bits, little-endian), the value, newline (systemd, "Native Journal Protocol").

use std::path::Path;

use super::log_file::Stream;
use super::log_lines::End;
use crate::engine::error::{Attempt, Error, Kind, Result};
use crate::engine::model::Timestamp;
use crate::engine::model::log::About;
use crate::engine::sys::host;
use crate::engine::sys::outlet::Outlet;

/// Where the journal listens.
const SOCKET: &str = "/run/systemd/journal/socket";

/// What all entries of a container have in common, and what distinguishes them.
#[derive(Debug)]
pub(super) struct Journal {
    /// The fields that never change.
    fixed: Vec<u8>,
    /// Number of the last entry.
    ordinal: u64,
    stdout: Parts,
    stderr: Parts,
}

/// A line that is in parts.
#[derive(Debug, Default)]
struct Parts {
    /// Names the line.
    id: Option<String>,
    /// Number of the last part.
    ordinal: u64,
}

impl Journal {
    /// Connects to the journal.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] where there is none.
    pub(super) fn outlet() -> Result<Outlet> {
        if !Path::new(SOCKET).exists() {
            return Err(
                Error::new(Kind::Unsupported, "journald is not enabled on this host")
                    .with_hint("choose another --log-driver, such as local"),
            );
        }
        Outlet::datagrams(SOCKET).attempt(|| "open the journal")
    }

    pub(super) fn new(about: &About) -> Self {
        let mut fixed = Vec::new();
        let epoch = hex(host::random_bytes::<16>());
        for (name, value) in [
            ("CONTAINER_ID", about.short_id()),
            ("CONTAINER_ID_FULL", about.id.as_str()),
            ("CONTAINER_NAME", &about.name),
            ("CONTAINER_TAG", &about.tag),
            ("IMAGE_NAME", &about.image),
            ("SYSLOG_IDENTIFIER", &about.tag),
            ("CONTAINER_LOG_EPOCH", &epoch),
        ] {
            field(&mut fixed, name, value.as_bytes());
        }
        for (name, value) in &about.extra {
            let name = field_name(name);
            if !name.is_empty() {
                field(&mut fixed, &name, value.as_bytes());
            }
        }
        Self {
            fixed,
            ordinal: 0,
            stdout: Parts::default(),
            stderr: Parts::default(),
        }
    }

    /// One message for the socket.
    pub(super) fn entry(
        &mut self,
        stream: Stream,
        text: &[u8],
        end: End,
        time: Timestamp,
    ) -> Option<Vec<u8>> {
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        let mut message = Vec::with_capacity(self.fixed.len() + text.len() + 256);
        message.extend_from_slice(&self.fixed);
        // syslog(3): LOG_INFO and LOG_ERR.
        let (priority, parts) = match stream {
            Stream::Stdout => ("6", &mut self.stdout),
            Stream::Stderr => ("3", &mut self.stderr),
        };
        field(&mut message, "PRIORITY", priority.as_bytes());
        let time = time.strftime("%Y-%m-%dT%H:%M:%S.%9fZ").to_string();
        field(&mut message, "SYSLOG_TIMESTAMP", time.as_bytes());
        self.ordinal += 1;
        let ordinal = self.ordinal.to_string();
        field(&mut message, "CONTAINER_LOG_ORDINAL", ordinal.as_bytes());
        parts.fields(&mut message, end);
        field(&mut message, "MESSAGE", text);
        Some(message)
    }
}

impl Parts {
    fn fields(&mut self, message: &mut Vec<u8>, end: End) {
        let is_last = end != End::Part;
        if is_last && self.id.is_none() {
            return;
        }
        let id = self
            .id
            .get_or_insert_with(|| hex(host::random_bytes::<16>()));
        self.ordinal += 1;
        field(message, "CONTAINER_PARTIAL_ID", id.as_bytes());
        let ordinal = self.ordinal.to_string();
        field(message, "CONTAINER_PARTIAL_ORDINAL", ordinal.as_bytes());
        let last = is_last.to_string();
        field(message, "CONTAINER_PARTIAL_LAST", last.as_bytes());
        if is_last {
            *self = Self::default();
        } else {
            field(message, "CONTAINER_PARTIAL_MESSAGE", b"true");
        }
    }
}

fn field(message: &mut Vec<u8>, name: &str, value: &[u8]) {
    message.extend_from_slice(name.as_bytes());
    if value.contains(&b'\n') {
        message.push(b'\n');
        message.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        message.push(b'=');
    }
    message.extend_from_slice(value);
    message.push(b'\n');
}

/// The name of a label or variable as a field may have it: capitals, digits, and underscores but not in front, where the
/// journal's own have them.
fn field_name(name: &str) -> String {
    let name: String = name
        .chars()
        .map(|c| match c.to_ascii_uppercase() {
            c @ ('A'..='Z' | '0'..='9') => c,
            _ => '_',
        })
        .collect();
    name.trim_start_matches('_').to_owned()
}

fn hex(bytes: [u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn about() -> About {
        About {
            id: "0123456789abcdef".repeat(4),
            name: "web".to_owned(),
            image: "nginx:1".to_owned(),
            tag: "0123456789ab".to_owned(),
            tagged: false,
            extra: BTreeMap::from([("com.example/role".to_owned(), "a\nb".to_owned())]),
        }
    }

    /// The fields of a message.
    fn fields(message: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let mut fields = BTreeMap::new();
        let mut rest = message;
        while !rest.is_empty() {
            let at = rest
                .iter()
                .position(|byte| matches!(byte, b'=' | b'\n'))
                .unwrap();
            let name = String::from_utf8(rest[..at].to_vec()).unwrap();
            let (value, next) = if rest[at] == b'=' {
                let end = at + rest[at..].iter().position(|byte| *byte == b'\n').unwrap();
                (&rest[at + 1..end], end + 1)
            } else {
                let length = u64::from_le_bytes(rest[at + 1..at + 9].try_into().unwrap());
                let end = at + 9 + usize::try_from(length).unwrap();
                assert_eq!(rest[end], b'\n');
                (&rest[at + 9..end], end + 1)
            };
            fields.insert(name, value.to_vec());
            rest = &rest[next..];
        }
        fields
    }

    fn text(fields: &BTreeMap<String, Vec<u8>>, name: &str) -> String {
        String::from_utf8(fields.get(name).cloned().unwrap_or_default()).unwrap()
    }

    #[test]
    fn an_entry_has_the_fields_that_dockers_driver_writes() {
        let mut journal = Journal::new(&about());
        let time = Timestamp::new(1, 5_000_000).unwrap();
        let message = journal
            .entry(Stream::Stderr, b"oh\xff no\n", End::Line, time)
            .unwrap();
        let fields = fields(&message);
        assert_eq!(fields["MESSAGE"], b"oh\xff no");
        for (name, expect) in [
            ("PRIORITY", "3"),
            ("CONTAINER_ID", "0123456789ab"),
            ("CONTAINER_NAME", "web"),
            ("CONTAINER_TAG", "0123456789ab"),
            ("IMAGE_NAME", "nginx:1"),
            ("SYSLOG_IDENTIFIER", "0123456789ab"),
            ("SYSLOG_TIMESTAMP", "1970-01-01T00:00:01.005000000Z"),
            ("CONTAINER_LOG_ORDINAL", "1"),
            ("COM_EXAMPLE_ROLE", "a\nb"),
        ] {
            assert_eq!(text(&fields, name), expect, "{name}");
        }
        assert_eq!(text(&fields, "CONTAINER_ID_FULL").len(), 64);
        assert!(!fields.contains_key("CONTAINER_PARTIAL_ID"));
    }

    #[test]
    fn parts_of_a_line_are_told_from_lines() {
        let mut journal = Journal::new(&about());
        let mut entry = |stream, end| {
            let message = journal.entry(stream, b"x", end, Timestamp::UNIX_EPOCH);
            fields(&message.unwrap())
        };
        let first = entry(Stream::Stdout, End::Part);
        let other = entry(Stream::Stderr, End::Line);
        let last = entry(Stream::Stdout, End::Line);
        let next = entry(Stream::Stdout, End::Line);
        assert_eq!(text(&first, "CONTAINER_PARTIAL_MESSAGE"), "true");
        assert_eq!(text(&first, "CONTAINER_PARTIAL_LAST"), "false");
        assert!(!other.contains_key("CONTAINER_PARTIAL_ID"));
        assert!(!last.contains_key("CONTAINER_PARTIAL_MESSAGE"));
        assert_eq!(text(&last, "CONTAINER_PARTIAL_LAST"), "true");
        assert_eq!(text(&last, "CONTAINER_PARTIAL_ORDINAL"), "2");
        assert_eq!(last["CONTAINER_PARTIAL_ID"], first["CONTAINER_PARTIAL_ID"]);
        assert!(!next.contains_key("CONTAINER_PARTIAL_ID"));
    }

    #[test]
    fn names_of_fields_are_those_that_the_journal_takes() {
        assert_eq!(field_name("__a.b-1é"), "A_B_1_");
        assert_eq!(field_name("_"), "");
    }
}
