//! A conversation with systemd: over its own socket, or over the system's bus.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use super::wire::{self, Call, Incoming, Property, Writer};
use crate::engine::error::{Attempt, Error, Kind, Result};

/// How long systemd may take for one job.
const PATIENCE: Duration = Duration::from_secs(30);

const SERVICE: &str = "org.freedesktop.systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const OBJECT: &str = "/org/freedesktop/systemd1";

/// Where systemd listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Door<'a> {
    pub(super) socket: &'a Path,
    /// On a bus there are others than systemd: whom we mean must be said.
    pub(super) has_others: bool,
}

/// An open conversation.
#[derive(Debug)]
pub(super) struct Bus {
    stream: UnixStream,
    has_others: bool,
    serial: u32,
    /// Jobs that ended: path, result. They may end before the answer that names them.
    ended: Vec<(String, String)>,
}

/// A refusal by systemd, told apart from a failing conversation.
#[derive(Debug)]
pub(super) enum Failure {
    /// The error's name and reason.
    Refused(String, String),
    /// No answer.
    Broken(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Broken(error)
    }
}

impl Failure {
    pub(super) fn is(&self, name: &str) -> bool {
        matches!(self, Self::Refused(found, _) if found.rsplit('.').next() == Some(name))
    }

    pub(super) fn into_error(self, what: String) -> Error {
        match self {
            Self::Refused(name, why) if why.is_empty() => {
                Error::new(Kind::Denied, format!("{what}: {name}"))
            }
            Self::Refused(_, why) => Error::new(Kind::Denied, format!("{what}: {why}")),
            Self::Broken(error) => error.attempting(what),
        }
    }
}

impl Bus {
    /// Opens the first door behind which somebody answers.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] if nobody does.
    pub(super) fn open(doors: &[Door<'_>]) -> Result<Self> {
        let mut last = None;
        for door in doors {
            match Self::enter(*door) {
                Ok(bus) => return Ok(bus),
                Err(error) => last = Some(error),
            }
        }
        let error = Error::unsupported("talk to systemd, which does not run here")
            .with_hint("use --cgroup-manager cgroupfs");
        Err(match last {
            Some(last) => error.caused_by(last),
            None => error,
        })
    }

    fn enter(door: Door<'_>) -> Result<Self> {
        let what = || format!("connect to {}", door.socket.display());
        let stream = UnixStream::connect(door.socket).attempt(what)?;
        stream.set_read_timeout(Some(PATIENCE)).attempt(what)?;
        stream.set_write_timeout(Some(PATIENCE)).attempt(what)?;
        let mut bus = Self {
            stream,
            has_others: door.has_others,
            serial: 0,
            ended: Vec::new(),
        };
        bus.authenticate().attempt(what)?;
        if bus.has_others {
            bus.greet().attempt(what)?;
        }
        Ok(bus)
    }

    /// The socket says who we are; EXTERNAL asks it to be believed (dbus-specification, "Authentication Protocol").
    fn authenticate(&mut self) -> Result<()> {
        let user = rustix::process::geteuid().as_raw().to_string();
        // In hexadecimal: the codes of digits are 0x30 and up.
        let user = user.chars().fold(String::new(), |hex, digit| {
            hex + "3" + digit.encode_utf8(&mut [0; 4])
        });
        // BEGIN goes with it: systemd leaves a first call lying that it reads together with BEGIN.
        self.send(format!("\0AUTH EXTERNAL {user}\r\nBEGIN\r\n").as_bytes())?;
        let answer = self.line()?;
        if answer.starts_with("OK ") {
            return Ok(());
        }
        Err(Error::new(
            Kind::Denied,
            format!("it does not let us in: {answer}"),
        ))
    }

    fn greet(&mut self) -> Result<()> {
        const BUS: &str = "org.freedesktop.DBus";
        let mut watch = Writer::default();
        watch.text(&format!(
            "type='signal',sender='{SERVICE}',interface='{MANAGER}',member='JobRemoved'"
        ));
        for (member, signature, body) in
            [("Hello", "", Writer::default()), ("AddMatch", "s", watch)]
        {
            let call = Call {
                destination: Some(BUS),
                path: "/org/freedesktop/DBus",
                interface: BUS,
                member,
                signature,
                body,
            };
            self.call(&call)
                .map_err(|failure| failure.into_error(member.to_owned()))?;
        }
        // On its own socket systemd tells of jobs anyhow.
        self.manager("Subscribe", "", Writer::default())
            .map_err(|failure| failure.into_error("Subscribe".to_owned()))?;
        Ok(())
    }

    /// Makes a unit that lives as long as its processes, and returns when it is there.
    pub(super) fn start_transient(
        &mut self,
        name: &str,
        properties: &[Property],
    ) -> Result<(), Failure> {
        let mut body = Writer::default();
        body.text(name);
        body.text("replace");
        body.properties(properties);
        body.nothing();
        let answer = self.manager("StartTransientUnit", "ssa(sv)a(sa(sv))", body)?;
        self.await_job(answer)
    }

    /// Ends a unit with all its processes, and returns when it is gone.
    pub(super) fn stop(&mut self, name: &str) -> Result<(), Failure> {
        let mut body = Writer::default();
        body.text(name);
        body.text("replace");
        let answer = self.manager("StopUnit", "ss", body)?;
        self.await_job(answer)
    }

    /// Forgets that a unit failed, so that its name is free.
    pub(super) fn reset_failed(&mut self, name: &str) -> Result<(), Failure> {
        let mut body = Writer::default();
        body.text(name);
        self.manager("ResetFailedUnit", "s", body).map(drop)
    }

    /// Changes properties until the unit ends.
    pub(super) fn set(&mut self, name: &str, properties: &[Property]) -> Result<(), Failure> {
        let mut body = Writer::default();
        body.text(name);
        body.boolean(true);
        body.properties(properties);
        self.manager("SetUnitProperties", "sba(sv)", body).map(drop)
    }

    /// The number that systemd's version begins with: `252.38-1` is 252.
    pub(super) fn version(&mut self) -> Result<u32, Failure> {
        let mut body = Writer::default();
        body.text(MANAGER);
        body.text("Version");
        let call = Call {
            destination: self.has_others.then_some(SERVICE),
            path: OBJECT,
            interface: "org.freedesktop.DBus.Properties",
            member: "Get",
            signature: "ss",
            body,
        };
        let texts = self.call(&call)?;
        let text = texts.first().map_or("", String::as_str);
        let digits = text.trim_start_matches(|c: char| !c.is_ascii_digit());
        let end = digits
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(digits.len());
        Ok(digits
            .get(..end)
            .and_then(|digits| digits.parse().ok())
            .unwrap_or(0))
    }

    fn manager(
        &mut self,
        member: &str,
        signature: &str,
        body: Writer,
    ) -> Result<Vec<String>, Failure> {
        self.call(&Call {
            destination: self.has_others.then_some(SERVICE),
            path: OBJECT,
            interface: MANAGER,
            member,
            signature,
            body,
        })
    }

    fn call(&mut self, call: &Call<'_>) -> Result<Vec<String>, Failure> {
        self.serial += 1;
        let serial = self.serial;
        self.send(&call.encode(serial))?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.receive(deadline)? {
                Incoming::Return { to, texts } if to == serial => return Ok(texts),
                Incoming::Error { to, name, texts } if to == serial => {
                    let why = texts.into_iter().next().unwrap_or_default();
                    return Err(Failure::Refused(name, why));
                }
                other => self.note(other),
            }
        }
    }

    /// Waits for the job that an answer names.
    fn await_job(&mut self, answer: Vec<String>) -> Result<(), Failure> {
        let job = answer.into_iter().next().unwrap_or_default();
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some((_, result)) = self.ended.iter().find(|(path, _)| *path == job) {
                return match result.as_str() {
                    // Skipped: there was nothing to do.
                    "done" | "skipped" => Ok(()),
                    result => Err(Failure::Refused(
                        result.to_owned(),
                        format!("its job ended as {result}"),
                    )),
                };
            }
            let incoming = self.receive(deadline)?;
            self.note(incoming);
        }
    }

    fn note(&mut self, incoming: Incoming) {
        if let Incoming::Signal { member, texts } = incoming
            && member == "JobRemoved"
            && let [job, _unit, result] = texts.as_slice()
        {
            self.ended.push((job.clone(), result.clone()));
        }
    }

    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).attempt(|| "write to systemd")
    }

    fn receive(&mut self, deadline: Instant) -> Result<Incoming> {
        let what = || "read systemd's answer";
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Error::new(Kind::Timeout, "systemd does not answer"));
        }
        self.stream.set_read_timeout(Some(left)).attempt(what)?;
        let mut head = [0; 16];
        self.stream.read_exact(&mut head).attempt(what)?;
        let mut message = head.to_vec();
        message.resize(wire::length(head)?, 0);
        let rest = message.get_mut(16..).unwrap_or_default();
        self.stream.read_exact(rest).attempt(what)?;
        wire::decode(&message)
    }

    /// A line of the authentication; it ends with `\r\n`.
    fn line(&mut self) -> Result<String> {
        let mut line = Vec::new();
        let mut byte = [0];
        while !line.ends_with(b"\r\n") {
            self.stream
                .read_exact(&mut byte)
                .attempt(|| "read systemd's greeting")?;
            line.extend(byte);
            if line.len() > 4096 {
                return Err(Error::new(
                    Kind::Unavailable,
                    "systemd's greeting does not end",
                ));
            }
        }
        Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
    }
}
