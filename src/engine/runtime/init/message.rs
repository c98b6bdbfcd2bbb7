//! What parent and child say to each other: the terminal, readiness with the time of each step, a failure, and the word
//! that the child is in its cgroups.

use std::os::fd::{AsFd, RawFd};
use std::time::Duration;

use super::{Init, Step};
use crate::engine::error::{Error, Kind, Result};
use crate::engine::sys::process;

/// First byte of a message to the parent: the terminal's master comes with it.
pub(in crate::engine::runtime) const TERMINAL: u8 = b'T';

/// First byte: everything is prepared, the program is executed next. Microseconds from [`Init::since`] to the end of each
/// step follow, as native `u32`.
pub(in crate::engine::runtime) const READY: u8 = b'R';

/// First byte: a step failed; see [`decode_failure`].
pub(in crate::engine::runtime) const FAILED: u8 = b'E';

/// First byte: namespaces and mounts exist, and the child waits for [`GO_ON`].
pub(in crate::engine::runtime) const MOUNTED: u8 = b'M';

/// First byte: all is done but the execution, and the child waits for [`GO_ON`].
pub(in crate::engine::runtime) const PREPARED: u8 = b'P';

/// First byte: a filter that asks somebody is in force. The number of its descriptor follows, as a native `i32`, and the
/// child waits for [`GO_ON`].
pub(in crate::engine::runtime) const FILTER: u8 = b'F';

/// First byte: the process's limits are to be set by the parent, who has the right to; the child waits for [`GO_ON`].
pub(in crate::engine::runtime) const LIMITS: u8 = b'L';

/// The parent's message: the child is in its cgroups.
pub(in crate::engine::runtime) const ATTACHED: u8 = b'A';

/// The parent's message: what it had to do meanwhile is done.
pub(in crate::engine::runtime) const GO_ON: u8 = b'G';

/// Longest message.
pub(in crate::engine::runtime) const MAX_MESSAGE: usize = 8192;

/// Kinds by their place, for one byte in a message.
const KINDS: [Kind; 14] = [
    Kind::InvalidInput,
    Kind::NotFound,
    Kind::AlreadyExists,
    Kind::Conflict,
    Kind::Unauthorized,
    Kind::Denied,
    Kind::Unsupported,
    Kind::Unavailable,
    Kind::NoSpace,
    Kind::Timeout,
    Kind::Cancelled,
    Kind::CommandNotRunnable,
    Kind::CommandNotFound,
    Kind::Internal,
];

pub(super) fn report(init: &Init<'_>, number: usize, error: &Error) {
    // If the parent is gone there is nobody to tell.
    let _ = tell(init, &encode_failure(number, error));
}

/// Sends a message to the parent. Under a filter it is written: sendmsg(2) may be forbidden there.
pub(super) fn tell(init: &Init<'_>, message: &[u8]) -> Result<()> {
    if init.state.is_filtered {
        process::write(init.socket.as_fd(), message)
    } else {
        process::send_message(init.socket.as_fd(), message, None)
    }
}

/// A [`FAILED`] message; `number` is that of the step.
#[must_use]
pub(in crate::engine::runtime) fn encode_failure(number: usize, error: &Error) -> Vec<u8> {
    let kind = KINDS
        .iter()
        .position(|kind| *kind == error.kind())
        .unwrap_or(KINDS.len());
    let byte = |n: usize| u8::try_from(n).unwrap_or(u8::MAX);
    let mut message = vec![FAILED, byte(number), byte(kind)];
    // What a hook has written may hold the byte that the hint begins with.
    let text = error.to_string().replace('\0', " ");
    message.extend(shortened(text.as_bytes()));
    if let Some(hint) = error.hint() {
        message.push(0);
        message.extend(hint.bytes().take(MAX_MESSAGE / 4));
    }
    message
}

/// What fits into a message. Of a longer text beginning and end stay: what was attempted, and why it failed.
fn shortened(text: &[u8]) -> Vec<u8> {
    const END: usize = 512;
    match text.split_at_checked(MAX_MESSAGE / 2 - END) {
        Some((start, rest)) if rest.len() > END => {
            let end = rest.get(rest.len() - END..).unwrap_or_default();
            [start, " … ".as_bytes(), end].concat()
        }
        _ => text.to_vec(),
    }
}

/// The error that a child reported. `steps` is the list that it ran.
#[must_use]
pub(in crate::engine::runtime) fn decode_failure(message: &[u8], steps: &[Step]) -> Error {
    let (number, kind, rest) = match message {
        [FAILED, number, kind, rest @ ..] => (usize::from(*number), usize::from(*kind), rest),
        _ => (0, KINDS.len(), message),
    };
    let kind = KINDS.get(kind).copied().unwrap_or(Kind::Internal);
    let mut parts = rest.splitn(2, |byte| *byte == 0);
    let text = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    // What the user got wrong speaks for itself; what the machine got wrong needs its place.
    let plain = matches!(
        kind,
        Kind::InvalidInput | Kind::CommandNotFound | Kind::CommandNotRunnable
    );
    let text = match steps.get(number) {
        Some((name, _)) if !plain && !begins_with_field(&text) => format!("{name}: {text}"),
        _ => text,
    };
    let error = Error::new(kind, text);
    match parts.next() {
        Some(hint) => error.with_hint(String::from_utf8_lossy(hint)),
        None => error,
    }
}

/// Whether a text says by itself where it belongs: `linux.sysctl: …`, `mounts[2]: …`, `error running startContainer hook …`.
fn begins_with_field(text: &str) -> bool {
    if text.starts_with("error running ") {
        return true;
    }
    let first = text.split(": ").next().unwrap_or_default();
    let is_part = |c: char| c.is_ascii_alphanumeric() || ".[]_-".contains(c);
    first.contains(['.', '[']) && first.chars().all(is_part)
}

/// The number of the descriptor in a [`FILTER`] message.
pub(in crate::engine::runtime) fn decode_filter(message: &[u8]) -> Result<RawFd> {
    let bytes = message.get(1..).and_then(|bytes| bytes.try_into().ok());
    bytes
        .map(RawFd::from_ne_bytes)
        .ok_or_else(|| Error::new(Kind::Internal, "a message without a descriptor's number"))
}

/// Step names and when each was done, from a [`READY`] message. The last step cannot report itself.
pub(in crate::engine::runtime) fn decode_marks(
    message: &[u8],
    steps: &[Step],
) -> Vec<(&'static str, Duration)> {
    let marks = message.get(1..).unwrap_or_default().chunks_exact(4);
    steps
        .iter()
        .zip(marks)
        .map(|((name, _), bytes)| {
            let micros = u32::from_ne_bytes(bytes.try_into().unwrap_or_default());
            (*name, Duration::from_micros(micros.into()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_where_it_belongs_and_counts_no_steps() {
        let steps: [Step; 2] = [("mounts", |_| Ok(())), ("loopback", |_| Ok(()))];
        for (number, text, told) in [
            (0, "mounts[2]: mount /x: no", "mounts[2]: mount /x: no"),
            (0, "linux.sysctl: a.b: no", "linux.sysctl: a.b: no"),
            (1, "bring lo up: no", "loopback: bring lo up: no"),
            (1, "open /a.b: no", "loopback: open /a.b: no"),
            (
                1,
                "error running x hook #0: no",
                "error running x hook #0: no",
            ),
        ] {
            let message = encode_failure(number, &Error::new(Kind::Denied, text));
            assert_eq!(decode_failure(&message, &steps).to_string(), told);
        }
    }

    #[test]
    fn a_long_failure_keeps_what_was_attempted_and_why_it_failed() {
        let path = "x/".repeat(40_000);
        let error = Error::invalid(format!("bind {path}")).caused_by("name too long");
        let message = encode_failure(0, &error);
        assert!(message.len() <= MAX_MESSAGE);
        let text = decode_failure(&message, &[]).to_string();
        assert!(text.starts_with("bind x/x/"), "{text}");
        assert!(text.ends_with("name too long"), "{text}");
        let short = Error::new(Kind::Denied, "no").with_hint("try that");
        let decoded = decode_failure(&encode_failure(3, &short), &[]);
        assert_eq!(
            (decoded.kind(), decoded.to_string()),
            (Kind::Denied, "no".to_owned())
        );
        assert_eq!(decoded.hint(), Some("try that"));
    }
}
