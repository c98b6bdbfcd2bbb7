//! config.md, "Specification version", "Annotations", "Extensibility", "Valid values".

use serde_json::{Value, json};

use super::bundle::bundle;

#[test]
fn what_is_unknown_is_ignored() {
    let Some(mut b) = bundle("echo ran") else {
        return;
    };
    b.set("/nonsense", json!({"a": 1}));
    b.set("/process/nonsense", json!([1]));
    b.set("/linux/nonsense", json!("x"));
    b.set(
        "/annotations",
        json!({"org.opencontainers.image.nonsense": "x", "com.example.other": ""}),
    );
    assert_eq!(b.prints(), "ran");
}

#[test]
fn a_version_is_one_that_is_known() {
    let Some(mut b) = bundle("true") else { return };
    for version in ["nonsense", "2.0.0", "0.1.0"] {
        b.set("/ociVersion", json!(version));
        b.cannot_be_created("ociVersion");
    }
    for version in ["1.0.0", "1.0.2-dev", "1.1.0+build", "1.2.0", "1.2.1"] {
        b.set("/ociVersion", json!(version));
        assert_eq!(b.run().code, 0, "{version}");
    }
}

#[test]
fn annotations_are_strings_with_names() {
    let Some(mut b) = bundle("true") else { return };
    for annotations in [json!({"": "x"}), json!({"org.example": 1}), json!(["x"])] {
        b.set("/annotations", annotations);
        b.cannot_be_created("annotations");
    }
}

#[test]
fn a_value_that_cannot_be_is_an_error_with_its_field() {
    let cases: [(&str, Value, &str); 14] = [
        ("/process/cwd", json!("relative"), "process.cwd"),
        ("/process/cwd", json!(""), "process.cwd"),
        ("/process/args", json!([]), "process.args"),
        ("/process/args", json!("true"), "process.args"),
        (
            "/process/user",
            json!({"uid": -1, "gid": 0}),
            "process.user",
        ),
        (
            "/process/user",
            json!({"uid": 4_294_967_296_u64, "gid": 0}),
            "process.user",
        ),
        ("/process/oomScoreAdj", json!(2000), "oomScoreAdj"),
        ("/process/terminal", json!("yes"), "process.terminal"),
        ("/root", Value::Null, "root"),
        ("/root/readonly", json!("yes"), "root.readonly"),
        ("/mounts", json!({}), "mounts"),
        (
            "/mounts",
            json!([{"type": "tmpfs", "source": "tmpfs"}]),
            "mounts[0]",
        ),
        (
            "/linux/namespaces",
            json!([{"type": 1}]),
            "linux.namespaces[0]",
        ),
        (
            "/linux/rootfsPropagation",
            json!("nonsense"),
            "rootfsPropagation",
        ),
    ];
    for (pointer, value, field) in cases {
        let Some(mut b) = bundle("true") else { return };
        b.set(pointer, value);
        b.cannot_be_created(field);
    }
}

#[test]
fn a_required_field_that_is_missing_is_named() {
    let rule = json!({"names": ["swapoff"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]});
    let seccomp = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]});
    let limit = json!([{"type": "RLIMIT_NOFILE", "soft": 64, "hard": 64}]);
    let device = json!([{"path": "/dev/x", "type": "c", "major": 1, "minor": 3}]);
    let hooks = |kind: &str| json!({kind: [{"path": "/bin/true"}]});
    // What is there at first, the field that is taken away, and what is said then.
    let mut cases = vec![
        ("/root", None, "/root", "root"),
        ("/root", None, "/root/path", "root"),
        ("/process", None, "/process/cwd", "cwd"),
        ("/process", None, "/process/args", "args"),
        ("/mounts", None, "/mounts/0/destination", "mounts[0]"),
        (
            "/process/rlimits",
            Some(limit),
            "/process/rlimits/0/type",
            "rlimits[0]",
        ),
        (
            "/linux/devices",
            Some(device.clone()),
            "/linux/devices/0/type",
            "devices[0]",
        ),
        (
            "/linux/devices",
            Some(device),
            "/linux/devices/0/path",
            "device",
        ),
        (
            "/process/scheduler",
            Some(json!({"policy": "SCHED_OTHER"})),
            "/process/scheduler/policy",
            "scheduler",
        ),
        (
            "/linux/namespaces",
            Some(json!([{"type": "mount"}])),
            "/linux/namespaces/0/type",
            "namespaces[0]",
        ),
        (
            "/linux/personality",
            Some(json!({"domain": "LINUX"})),
            "/linux/personality/domain",
            "personality",
        ),
        (
            "/linux/resources/hugepageLimits",
            Some(json!([{"pageSize": "2MB", "limit": 0}])),
            "/linux/resources/hugepageLimits/0/pageSize",
            "hugepageLimits",
        ),
        (
            "/linux/resources/network",
            Some(json!({"priorities": [{"name": "lo", "priority": 1}]})),
            "/linux/resources/network/priorities/0/name",
            "network.priorities",
        ),
    ];
    for (pointer, said) in [
        ("/linux/seccomp/defaultAction", "linux.seccomp: "),
        ("/linux/seccomp/syscalls/0/names", "syscalls[0]: "),
        ("/linux/seccomp/syscalls/0/action", "syscalls[0]: "),
        ("/linux/seccomp/syscalls/0/args/0/index", "args[0]: "),
        ("/linux/seccomp/syscalls/0/args/0/value", "args[0]: "),
        ("/linux/seccomp/syscalls/0/args/0/op", "args[0]: "),
    ] {
        cases.push(("/linux/seccomp", Some(seccomp.clone()), pointer, said));
    }
    for (pointer, kind) in [
        ("/hooks/prestart/0/path", "prestart"),
        ("/hooks/createRuntime/0/path", "createRuntime"),
        ("/hooks/createContainer/0/path", "createContainer"),
        ("/hooks/startContainer/0/path", "startContainer"),
        ("/hooks/poststart/0/path", "poststart"),
        ("/hooks/poststop/0/path", "poststop"),
    ] {
        cases.push(("/hooks", Some(hooks(kind)), pointer, kind));
    }
    for (place, value, missing, said) in cases {
        let Some(mut b) = bundle("true") else { return };
        if let Some(value) = value {
            b.set(place, value);
        }
        b.remove(missing);
        b.cannot_be_created(said);
    }
}

/// Engines leave zeros out; so other runtimes take them for that.
#[test]
fn a_number_that_is_left_out_is_zero() {
    let script = "id -u; id -g; ulimit -Sc; stat -c %t,%T /dev/made";
    let Some(mut b) = bundle(script) else { return };
    b.set("/process/user", json!({}));
    b.set("/process/consoleSize", json!({}));
    b.set(
        "/process/rlimits",
        json!([{"type": "RLIMIT_CORE", "hard": 1024}]),
    );
    b.set(
        "/linux/devices",
        json!([{"path": "/dev/made", "type": "c", "minor": 7}]),
    );
    assert_eq!(b.prints(), "0\n0\n0\n0,7");
    let Some(mut b) = bundle("cat /proc/self/uid_map") else {
        return;
    };
    b.add("/linux/namespaces", json!({"type": "user"}));
    b.set("/linux/uidMappings", json!([{"size": 1000}]));
    b.set("/linux/gidMappings", json!([{"size": 1000}]));
    let text = b.prints();
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    assert_eq!(words, ["0", "0", "1000"]);
    b.set(
        "/linux/uidMappings",
        json!([{"containerID": 0, "hostID": 0}]),
    );
    b.cannot_be_created("uidMappings[0].size");
}

#[test]
fn a_limit_of_tasks_that_is_left_out_is_no_limit() {
    let Some(mut b) = bundle("(true; true) & (true; true) & wait; echo ran") else {
        return;
    };
    b.set("/linux/resources/pids", json!({}));
    assert_eq!(b.prints(), "ran");
}
