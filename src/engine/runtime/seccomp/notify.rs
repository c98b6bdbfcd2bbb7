//! Tells the one whom a filter asks where to listen: the filter's descriptor and the container's state, over a socket that
//! the specification names (runtime-spec, config-linux.md, "The Container Process State").
//!
//! The first process of a container sends no descriptor itself, since its filter may forbid that or ask about it: it
//! says the descriptor's number with write(2), the one call that no rule can ask about, and its parent fetches it.

use std::os::fd::BorrowedFd;

use oci_spec::runtime::SECCOMP_FD_NAME;
use serde::Serialize;

use super::Listener;
use crate::engine::error::{Error, Kind, Result};
use crate::engine::runtime::SPECIFICATION;
use crate::engine::sys::socket;

/// The message.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a, S> {
    oci_version: &'static str,
    fds: [&'static str; 1],
    pid: i32,
    #[serde(skip_serializing_if = "str::is_empty")]
    metadata: &'a str,
    state: &'a S,
}

/// Connects, sends one message and closes. `state` is the container's, `pid` the process with the filter, in our
/// namespace; `filter` its descriptor. Blocks until the socket has taken it all in.
///
/// # Errors
/// Unavailable if nobody listens; else what sendmsg(2) says. The message begins with the field.
pub fn announce(
    listener: &Listener,
    state: &impl Serialize,
    pid: i32,
    filter: BorrowedFd<'_>,
) -> Result<()> {
    let field = || format!("linux.seccomp.listenerPath {}", listener.path.display());
    let message = Message {
        oci_version: SPECIFICATION,
        fds: [SECCOMP_FD_NAME],
        pid,
        metadata: &listener.metadata,
        state,
    };
    let message = serde_json::to_vec(&message).map_err(|e| {
        Error::new(Kind::Internal, "write the container process state").caused_by(e)
    })?;
    let stream = socket::connect(&listener.path)
        .map_err(|e| e.attempting(field()))?
        .ok_or_else(|| {
            Error::new(
                Kind::Unavailable,
                format!(
                    "{}: failed to connect with seccomp agent: nobody listens",
                    field()
                ),
            )
        })?;
    socket::send_all_with(&stream, &message, filter).map_err(|e| e.attempting(field()))
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::AsFd;

    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_message_has_the_descriptors_name_and_the_state() {
        let dir = tempfile::tempdir().unwrap();
        let listener = Listener {
            path: dir.path().join("agent"),
            metadata: String::new(),
        };
        let state = json!({"id": "c", "annotations": {"long": "x".repeat(300_000)}});
        let fd = std::fs::File::open("/dev/null").unwrap();
        let error = announce(&listener, &state, 7, fd.as_fd()).unwrap_err();
        assert_eq!(error.kind(), Kind::Unavailable);
        assert!(
            error
                .to_string()
                .starts_with("linux.seccomp.listenerPath /"),
            "{error}"
        );
        let agent = std::os::unix::net::UnixListener::bind(&listener.path).unwrap();
        let reader = std::thread::spawn(move || {
            let mut text = Vec::new();
            agent.accept().unwrap().0.read_to_end(&mut text).unwrap();
            serde_json::from_slice::<Value>(&text).unwrap()
        });
        announce(&listener, &state, 7, fd.as_fd()).unwrap();
        let expected =
            json!({"ociVersion": SPECIFICATION, "fds": ["seccompFd"], "pid": 7, "state": state});
        assert_eq!(reader.join().unwrap(), expected);
    }
}
