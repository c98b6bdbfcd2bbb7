//! Groups that systemd makes: a transient unit for each container, told its limits as properties, so that systemd does
//! not undo what it does not know of. What has no property is written into the group afterwards, as without systemd.

mod bus;
mod properties;
mod wire;

use std::path::Path;

use oci_spec::runtime::LinuxResources;

use super::Version;
use super::place::Unit;
use crate::engine::error::Result;
use bus::{Bus, Door, Failure};

/// systemd's own socket, which needs no bus to run, and the system's bus.
const DOORS: [(&str, bool); 2] = [
    ("/run/systemd/private", false),
    ("/run/dbus/system_bus_socket", true),
];

fn open() -> Result<Bus> {
    let door = |(socket, has_others)| Door {
        socket: Path::new(socket),
        has_others,
    };
    Bus::open(&DOORS.map(door))
}

/// Makes the unit with a process in it. Blocks until it is there.
///
/// # Errors
/// [`Kind::Unsupported`](crate::engine::error::Kind::Unsupported) where systemd does not run; what systemd says.
pub(super) fn start(
    unit: &Unit,
    pid: i32,
    version: Version,
    resources: Option<&LinuxResources>,
) -> Result<()> {
    start_on(&mut open()?, unit, pid, version, resources)
}

fn start_on(
    bus: &mut Bus,
    unit: &Unit,
    pid: i32,
    version: Version,
    resources: Option<&LinuxResources>,
) -> Result<()> {
    let what = || format!("start unit {}", unit.name);
    let mut list = properties::fixed(unit, pid, version);
    if let Some(resources) = resources {
        let systemd = bus
            .version()
            .map_err(|failure| failure.into_error(what()))?;
        list.extend(properties::limits(version, systemd, resources)?);
    }
    let started = match bus.start_transient(&unit.name, &list) {
        // A former container of this name that failed: its unit is kept until somebody has looked.
        Err(failure) if failure.is("UnitExists") => {
            let _ = bus.reset_failed(&unit.name);
            bus.start_transient(&unit.name, &list)
        }
        other => other,
    };
    started.map_err(|failure| failure.into_error(what()))
}

/// Tells a running unit of other limits.
///
/// # Errors
/// As [`start`].
pub(super) fn update(unit: &Unit, version: Version, resources: &LinuxResources) -> Result<()> {
    update_on(&mut open()?, unit, version, resources)
}

fn update_on(
    bus: &mut Bus,
    unit: &Unit,
    version: Version,
    resources: &LinuxResources,
) -> Result<()> {
    let what = || format!("change unit {}", unit.name);
    let systemd = bus
        .version()
        .map_err(|failure| failure.into_error(what()))?;
    let list = properties::limits(version, systemd, resources)?;
    if list.is_empty() {
        return Ok(());
    }
    bus.set(&unit.name, &list)
        .map_err(|failure| failure.into_error(what()))
}

/// Ends the unit with everything in it. One that is gone is fine.
///
/// # Errors
/// As [`start`].
pub(super) fn stop(unit: &Unit) -> Result<()> {
    stop_on(&mut open()?, unit)
}

fn stop_on(bus: &mut Bus, unit: &Unit) -> Result<()> {
    let stopped = match bus.stop(&unit.name) {
        Err(failure) if failure.is("NoSuchUnit") => Ok(()),
        other => other,
    };
    // It may have failed, for systemd: killed processes are reason enough.
    let _: Result<(), Failure> = bus.reset_failed(&unit.name);
    stopped.map_err(|failure| failure.into_error(format!("stop unit {}", unit.name)))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::path::PathBuf;
    use std::thread::JoinHandle;

    use super::super::settings::tests::resources;
    use super::wire::tests::{Sent, called, sent};
    use super::*;
    use crate::engine::error::Kind;

    /// A call as it should come, and what is answered (the number of the call is filled in).
    type Turn = (&'static str, Vec<Sent<'static>>);

    /// Plays systemd: takes one client, lets it in, and answers calls as the script has it. Gives back the calls' bodies.
    fn systemd(script: Vec<Turn>) -> (tempfile::TempDir, PathBuf, JoinHandle<Vec<Vec<u8>>>) {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("private");
        let listener = UnixListener::bind(&socket).unwrap();
        let player = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            greet(&mut stream);
            let mut bodies = Vec::new();
            for (member, answers) in script {
                let message = receive(&mut stream);
                let (serial, found, body) = called(&message);
                assert_eq!(found, member);
                bodies.push(body);
                for answer in answers {
                    let answer = match answer {
                        Sent::Return(_, signature, texts) => Sent::Return(serial, signature, texts),
                        Sent::Error(_, name, why) => Sent::Error(serial, name, why),
                        removed @ Sent::Removed(..) => removed,
                    };
                    stream.write_all(&sent(&answer)).unwrap();
                }
            }
            bodies
        });
        (dir, socket, player)
    }

    fn line(stream: &mut UnixStream) -> String {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            line.extend(byte);
        }
        String::from_utf8(line).unwrap()
    }

    fn greet(stream: &mut UnixStream) {
        let first = line(stream);
        assert!(first.starts_with("\0AUTH EXTERNAL 3"), "{first:?}");
        // Before we answer: systemd does not see a call that comes together with this.
        assert_eq!(line(stream), "BEGIN\r\n");
        stream.write_all(b"OK 0123456789abcdef\r\n").unwrap();
    }

    fn receive(stream: &mut UnixStream) -> Vec<u8> {
        let mut head = [0; 16];
        stream.read_exact(&mut head).unwrap();
        let mut message = head.to_vec();
        message.resize(wire::length(head).unwrap(), 0);
        stream.read_exact(&mut message[16..]).unwrap();
        message
    }

    fn bus(socket: &Path, has_others: bool) -> Bus {
        Bus::open(&[Door { socket, has_others }]).unwrap()
    }

    fn unit() -> Unit {
        Unit {
            slice: "a.slice".to_owned(),
            name: "w-1.scope".to_owned(),
        }
    }

    fn has(body: &[u8], text: &[u8]) -> bool {
        body.windows(text.len()).any(|window| window == text)
    }

    const JOB: &str = "/org/freedesktop/systemd1/job/1";

    #[test]
    fn a_scope_is_started_and_its_job_awaited() {
        // The job ends before the answer names it, and another one in between.
        let (_dir, socket, player) = systemd(vec![
            ("Get", vec![Sent::Return(0, "s", &["252.38-1"])]),
            (
                "StartTransientUnit",
                vec![
                    Sent::Removed("/job/other", "x.service", "failed"),
                    Sent::Removed(JOB, "w-1.scope", "done"),
                    Sent::Return(0, "o", &[JOB]),
                ],
            ),
        ]);
        let limits = resources(r#"{"memory":{"limit":4096}}"#);
        start_on(
            &mut bus(&socket, false),
            &unit(),
            42,
            Version::V2,
            Some(&limits),
        )
        .unwrap();
        let bodies = player.join().unwrap();
        let body = bodies.last().unwrap();
        assert!(has(body, b"PIDs\0\x02au\0"));
        assert!(has(body, b"Slice\0\x01s\0"));
        assert!(has(body, b"MemoryMax\0\x01t\0"));
    }

    #[test]
    fn a_name_that_a_failed_unit_holds_is_freed() {
        let (_dir, socket, player) = systemd(vec![
            (
                "StartTransientUnit",
                vec![Sent::Error(
                    0,
                    "org.freedesktop.systemd1.UnitExists",
                    "it exists",
                )],
            ),
            ("ResetFailedUnit", vec![Sent::Return(0, "", &[])]),
            (
                "StartTransientUnit",
                vec![
                    Sent::Return(0, "o", &[JOB]),
                    Sent::Removed(JOB, "w-1.scope", "done"),
                ],
            ),
        ]);
        start_on(&mut bus(&socket, false), &unit(), 42, Version::V1, None).unwrap();
        assert_eq!(player.join().unwrap().len(), 3);
    }

    #[test]
    fn what_systemd_refuses_is_said_in_its_words() {
        let (_dir, socket, player) = systemd(vec![(
            "StartTransientUnit",
            vec![Sent::Error(
                0,
                "org.freedesktop.DBus.Error.InvalidArgs",
                "no such slice",
            )],
        )]);
        let started = start_on(&mut bus(&socket, false), &unit(), 42, Version::V1, None);
        assert_eq!(
            started.unwrap_err().to_string(),
            "start unit w-1.scope: no such slice"
        );
        player.join().unwrap();
    }

    #[test]
    fn a_job_that_fails_is_a_failure() {
        let (_dir, socket, player) = systemd(vec![(
            "StartTransientUnit",
            vec![
                Sent::Return(0, "o", &[JOB]),
                Sent::Removed(JOB, "w-1.scope", "timeout"),
            ],
        )]);
        let started = start_on(&mut bus(&socket, false), &unit(), 42, Version::V1, None);
        let text = started.unwrap_err().to_string();
        assert_eq!(text, "start unit w-1.scope: its job ended as timeout");
        player.join().unwrap();
    }

    #[test]
    fn a_unit_that_is_gone_is_stopped_already() {
        let (_dir, socket, player) = systemd(vec![
            (
                "StopUnit",
                vec![Sent::Error(
                    0,
                    "org.freedesktop.systemd1.NoSuchUnit",
                    "not loaded",
                )],
            ),
            ("ResetFailedUnit", vec![Sent::Error(0, "a.b", "not loaded")]),
        ]);
        stop_on(&mut bus(&socket, false), &unit()).unwrap();
        player.join().unwrap();
    }

    #[test]
    fn on_a_bus_we_say_hello_and_listen_for_jobs() {
        let (_dir, socket, player) = systemd(vec![
            ("Hello", vec![Sent::Return(0, "s", &[":1.5"])]),
            ("AddMatch", vec![Sent::Return(0, "", &[])]),
            ("Subscribe", vec![Sent::Return(0, "", &[])]),
            ("Get", vec![Sent::Return(0, "s", &["v255"])]),
            ("SetUnitProperties", vec![Sent::Return(0, "", &[])]),
        ]);
        let limits = resources(r#"{"pids":{"limit":5}}"#);
        update_on(&mut bus(&socket, true), &unit(), Version::V2, &limits).unwrap();
        let bodies = player.join().unwrap();
        assert!(has(bodies.last().unwrap(), b"TasksMax\0\x01t\0"));
    }

    #[test]
    fn a_host_without_systemd_gets_one_clear_line() {
        let nowhere = Path::new("/nonexistent/socket");
        let door = Door {
            socket: nowhere,
            has_others: false,
        };
        let error = Bus::open(&[door]).unwrap_err();
        assert_eq!(error.kind(), Kind::Unsupported);
        let text = error.to_string();
        assert!(
            text.starts_with("talk to systemd, which does not run here: "),
            "{text}"
        );
        assert!(!text.contains('\n'));
    }

    #[test]
    fn a_socket_that_closes_is_no_endless_wait() {
        let (_dir, socket, player) = systemd(vec![("StopUnit", vec![])]);
        let mut bus = bus(&socket, false);
        assert!(stop_on(&mut bus, &unit()).is_err());
        player.join().unwrap();
    }
}
