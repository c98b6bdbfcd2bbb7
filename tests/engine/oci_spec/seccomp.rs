//! config-linux.md, "Seccomp".

use std::fs;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};

use serde_json::{Value, json};

use super::bundle::{Bundle, bundle};
use crate::support::wait_for;

/// A bundle whose filter allows all but what these rules say.
fn filtered(script: &str, rules: &Value) -> Option<Bundle> {
    let mut b = bundle(script)?;
    b.set(
        "/linux/seccomp",
        json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules}),
    );
    Some(b)
}

#[test]
fn actions_do_what_they_are_called() {
    let mkdir = json!(["mkdir", "mkdirat"]);
    for (action, errno, script, prints) in [
        (
            "SCMP_ACT_ERRNO",
            Value::Null,
            "mkdir /x 2>&1",
            "mkdir: can't create directory '/x': Operation not permitted",
        ),
        (
            "SCMP_ACT_ERRNO",
            json!(38),
            "mkdir /x 2>&1",
            "mkdir: can't create directory '/x': Function not implemented",
        ),
        (
            "SCMP_ACT_TRACE",
            json!(7),
            "mkdir /x 2>&1",
            "mkdir: can't create directory '/x': Function not implemented",
        ),
        ("SCMP_ACT_ALLOW", Value::Null, "mkdir /x; ls -d /x", "/x"),
        ("SCMP_ACT_LOG", Value::Null, "mkdir /x; ls -d /x", "/x"),
        ("SCMP_ACT_KILL", Value::Null, "mkdir /x; echo $?", "159"),
        (
            "SCMP_ACT_KILL_THREAD",
            Value::Null,
            "mkdir /x; echo $?",
            "159",
        ),
        (
            "SCMP_ACT_KILL_PROCESS",
            Value::Null,
            "mkdir /x; echo $?",
            "159",
        ),
        ("SCMP_ACT_TRAP", Value::Null, "mkdir /x; echo $?", "159"),
    ] {
        let mut rule = json!({"names": mkdir, "action": action});
        if !errno.is_null() {
            rule["errnoRet"] = errno;
        }
        let Some(mut b) = filtered(script, &json!([rule])) else {
            return;
        };
        b.set(
            "/process/rlimits",
            json!([{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]),
        );
        let output = b.run();
        assert_eq!(
            output.stdout.trim_end().lines().last(),
            Some(prints),
            "{action}: {output:#?}"
        );
    }
}

#[test]
fn arguments_decide() {
    let rule = json!([{"names": ["kill"], "action": "SCMP_ACT_ERRNO",
        "args": [{"index": 1, "value": 0, "op": "SCMP_CMP_EQ"}]}]);
    let Some(b) = filtered(
        "kill -0 $$ || echo refused; kill -CONT $$ && echo sent",
        &rule,
    ) else {
        return;
    };
    assert_eq!(b.prints(), "refused\nsent");
}

#[test]
fn what_is_said_wrongly_is_an_error() {
    let rule = |rule: Value| json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]});
    for (seccomp, why) in [
        (json!({"defaultAction": "SCMP_ACT_NONSENSE"}), "seccomp"),
        (
            json!({"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 1}),
            "defaultErrnoRet",
        ),
        (
            json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_NONSENSE"]}),
            "seccomp",
        ),
        (
            json!({"defaultAction": "SCMP_ACT_ALLOW", "flags": ["NONSENSE"]}),
            "seccomp",
        ),
        (
            json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerMetadata": "x"}),
            "listenerMetadata",
        ),
        (
            rule(json!({"names": ["read"], "action": "SCMP_ACT_NONSENSE"})),
            "seccomp",
        ),
        (
            rule(json!({"names": ["read"], "action": "SCMP_ACT_LOG", "errnoRet": 1})),
            "errnoRet",
        ),
        (
            rule(json!({"names": [], "action": "SCMP_ACT_ERRNO"})),
            "names",
        ),
        (
            rule(
                json!({"names": ["read"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 0, "value": 0, "op": "NONSENSE"}]}),
            ),
            "seccomp",
        ),
        (
            rule(json!({"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"})),
            "listenerPath",
        ),
        (
            rule(json!({"names": ["write"], "action": "SCMP_ACT_NOTIFY"})),
            "write",
        ),
        (
            json!({"defaultAction": "SCMP_ACT_NOTIFY", "listenerPath": "/x"}),
            "defaultAction",
        ),
    ] {
        let Some(mut b) = bundle("true") else { return };
        b.set("/linux/seccomp", seccomp);
        b.cannot_be_created(why);
    }
}

#[test]
fn a_call_that_nobody_knows_is_skipped() {
    let rule = json!([{"names": ["no_such_call", "mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]);
    let Some(b) = filtered("mkdir /x || echo refused", &rule) else {
        return;
    };
    assert_eq!(b.prints(), "refused");
}

/// One connection: all that comes, and the one descriptor with the first of it.
fn take(agent: &UnixListener) -> (Value, OwnedFd) {
    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
    let mut stream: UnixStream = agent.accept().unwrap().0;
    let mut text = vec![0; 1 << 16];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let parts = &mut [std::io::IoSliceMut::new(&mut text)];
    let length = recvmsg(&stream, parts, &mut control, RecvFlags::empty())
        .unwrap()
        .bytes;
    text.truncate(length);
    let mut fds: Vec<OwnedFd> = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(more) = message {
            fds.extend(more);
        }
    }
    // The connection ends after the message.
    stream.read_to_end(&mut text).unwrap();
    assert_eq!(fds.len(), 1);
    (serde_json::from_slice(&text).unwrap(), fds.pop().unwrap())
}

#[test]
fn who_is_asked_gets_the_filter_and_the_state() {
    for no_new_privileges in [false, true] {
        let rule = json!([{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY"}]);
        let Some(mut b) = filtered("", &rule) else {
            return;
        };
        let aside = b.aside();
        let agent = UnixListener::bind(aside.join("agent")).unwrap();
        b.script("mkdir /x 2> /aside/report; echo end >> /aside/report");
        b.add(
            "/mounts",
            json!({"destination": "/aside", "type": "bind", "source": aside, "options": ["bind"]}),
        );
        b.set("/process/noNewPrivileges", json!(no_new_privileges));
        b.set("/linux/seccomp/listenerPath", json!(aside.join("agent")));
        b.set("/linux/seccomp/listenerMetadata", json!("for the agent"));
        b.set("/annotations", json!({"org.example.key": "a value"}));
        b.create();
        let (message, filter) = take(&agent);
        assert_eq!(message["fds"], json!(["seccompFd"]), "{message}");
        assert_eq!(message["metadata"], json!("for the agent"));
        assert_eq!(message["pid"], json!(b.pid()));
        assert!(message["ociVersion"].as_str().unwrap().starts_with("1."));
        let state = &message["state"];
        assert_eq!(state["id"], json!(b.id));
        assert_eq!(state["pid"], json!(b.pid()));
        assert_eq!(state["status"], json!("creating"));
        assert_eq!(state["bundle"], json!(b.dir));
        assert_eq!(state["annotations"]["org.example.key"], json!("a value"));
        let number = std::os::fd::AsRawFd::as_raw_fd(&filter);
        let kind = fs::read_link(format!("/proc/self/fd/{number}")).unwrap();
        assert_eq!(kind.to_str(), Some("anon_inode:seccomp notify"));
        b.start();
        // It asks, and waits for an answer.
        wait_for("a question", || {
            let polled = &mut [rustix::event::PollFd::new(
                &filter,
                rustix::event::PollFlags::IN,
            )];
            (rustix::event::poll(polled, None).unwrap() == 1).then_some(())
        });
        let report = aside.join("report");
        assert_eq!(fs::read_to_string(&report).unwrap(), "");
        // Without anybody to answer, there is no such call.
        drop(filter);
        let said = b.await_report();
        assert!(said[0].ends_with("Function not implemented"), "{said:?}");
    }
}

#[test]
fn nobody_to_ask_is_an_error_unless_nothing_is_asked() {
    let rule = json!([{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}]);
    let Some(mut b) = filtered("true", &rule) else {
        return;
    };
    b.set("/linux/seccomp/listenerPath", json!("/no/such/agent"));
    b.cannot_be_created("listenerPath");
    b.set("/linux/seccomp/syscalls", json!([]));
    assert_eq!(b.run().code, 0);
}

#[test]
fn an_agent_that_goes_away_leaves_nothing_hanging() {
    let rule = json!([{"names": ["execve", "openat", "sendmsg", "recvmsg", "accept4"], "action": "SCMP_ACT_NOTIFY"}]);
    let Some(mut b) = filtered("true", &rule) else {
        return;
    };
    let agent = UnixListener::bind(b.aside().join("agent")).unwrap();
    b.set(
        "/linux/seccomp/listenerPath",
        json!(b.aside().join("agent")),
    );
    std::thread::scope(|scope| {
        scope.spawn(|| drop(take(&agent)));
        assert_ne!(b.run().code, 0);
    });
}
