//! config-linux.md, "Namespaces", "User namespace mappings", "Offset for Time Namespace".

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde_json::json;

use super::bundle::bundle;

/// Type in a configuration, and name in /proc/<pid>/ns.
const NAMESPACES: [(&str, &str); 7] = [
    ("pid", "pid"),
    ("network", "net"),
    ("mount", "mnt"),
    ("ipc", "ipc"),
    ("uts", "uts"),
    ("user", "user"),
    ("cgroup", "cgroup"),
];

fn of(pid: &str, name: &str) -> String {
    let link = fs::read_link(format!("/proc/{pid}/ns/{name}")).unwrap();
    link.to_str().unwrap().to_owned()
}

#[test]
fn a_namespace_is_new_where_it_is_listed_and_ours_where_it_is_not() {
    for listed in ["network", "ipc", "uts", "cgroup"] {
        let Some(mut b) = bundle("sleep 1000") else {
            return;
        };
        b.add("/linux/namespaces", json!({"type": listed}));
        b.launch();
        let pid = b.pid().to_string();
        for (typ, name) in NAMESPACES {
            let is_new = typ == listed || matches!(typ, "mount" | "pid");
            let differs = of(&pid, name) != of("self", name);
            assert_eq!(differs, is_new, "{typ} with {listed}");
        }
    }
}

#[test]
fn a_namespace_with_a_path_is_joined() {
    let Some(mut first) = bundle("sleep 1000") else {
        return;
    };
    for typ in ["network", "ipc", "uts"] {
        first.add("/linux/namespaces", json!({"type": typ}));
    }
    first.launch();
    let pid = first.pid().to_string();
    let Some(mut second) = bundle("sleep 1000") else {
        return;
    };
    let path = |name| format!("/proc/{pid}/ns/{name}");
    let list = [
        ("network", "net"),
        ("ipc", "ipc"),
        ("uts", "uts"),
        ("pid", "pid"),
    ];
    let mut namespaces = vec![json!({"type": "mount"})];
    namespaces.extend(list.map(|(typ, name)| json!({"type": typ, "path": path(name)})));
    second.set("/linux/namespaces", json!(namespaces));
    second.launch();
    let joined = second.pid().to_string();
    for (typ, name) in list {
        assert_eq!(of(&joined, name), of(&pid, name), "{typ}");
    }
    assert_ne!(of(&joined, "mnt"), of(&pid, "mnt"));
    // What was joined is not the second one's to remove.
    second.ok(["delete", "--force", &second.id]);
    assert_eq!(first.status(), "running");
}

#[test]
fn a_path_of_another_type_or_of_none_is_refused() {
    let Some(mut b) = bundle("true") else { return };
    let mut with = |path: &str, why: &str| {
        b.set(
            "/linux/namespaces",
            json!([{"type": "mount"}, {"type": "network", "path": path}]),
        );
        b.cannot_be_created(why);
    };
    with("/proc/self/ns/uts", "linux.namespaces: join net");
    with("/etc/passwd", "linux.namespaces: join net");
    with("/no/such/path", "/no/such/path");
    with("proc/self/ns/net", "absolute");
}

#[test]
fn a_namespace_is_listed_once_and_known() {
    let Some(mut b) = bundle("true") else { return };
    b.set(
        "/linux/namespaces",
        json!([{"type": "mount"}, {"type": "ipc"}, {"type": "ipc"}]),
    );
    b.cannot_be_created("linux.namespaces");
    b.set(
        "/linux/namespaces",
        json!([{"type": "mount"}, {"type": "nonsense"}]),
    );
    b.cannot_be_created("nonsense");
}

#[test]
fn ids_are_mapped_as_they_are_listed() {
    let Some(mut b) = bundle("cat /proc/self/uid_map /proc/self/gid_map; id -u; touch /made")
    else {
        return;
    };
    b.add("/linux/namespaces", json!({"type": "user"}));
    b.set(
        "/linux/uidMappings",
        json!([{"containerID": 0, "hostID": 100_000, "size": 1000}]),
    );
    b.set(
        "/linux/gidMappings",
        json!([{"containerID": 0, "hostID": 200_000, "size": 500}]),
    );
    std::os::unix::fs::chown(b.rootfs(), Some(100_000), Some(200_000)).unwrap();
    let text = b.prints();
    let numbers: Vec<Vec<&str>> = text
        .lines()
        .map(|l| l.split_ascii_whitespace().collect())
        .collect();
    assert_eq!(
        numbers,
        [
            vec!["0", "100000", "1000"],
            vec!["0", "200000", "500"],
            vec!["0"]
        ]
    );
    let made = fs::metadata(b.rootfs().join("made")).unwrap();
    assert_eq!((made.uid(), made.gid()), (100_000, 200_000));
}

#[test]
fn a_time_namespace_has_its_offsets() {
    let Some(mut b) = bundle("cat /proc/self/timens_offsets; cat /proc/uptime") else {
        return;
    };
    if !Path::new("/proc/self/ns/time").exists() {
        return;
    }
    b.add("/linux/namespaces", json!({"type": "time"}));
    b.set(
        "/linux/timeOffsets",
        json!({"boottime": {"secs": 1_000_000_000, "nanosecs": 5}, "monotonic": {"secs": 7}}),
    );
    let text = b.prints();
    let lines: Vec<Vec<&str>> = text
        .lines()
        .map(|l| l.split_ascii_whitespace().collect())
        .collect();
    assert_eq!(lines[0], ["monotonic", "7", "0"], "{text}");
    assert_eq!(lines[1], ["boottime", "1000000000", "5"], "{text}");
    let uptime: f64 = lines[2][0].parse().unwrap();
    assert!(uptime >= 1e9, "{uptime}");
}
