//! config-linux.md, "Devices", "Control groups" (as far as every host has them), "IntelRdt", "Sysctl"; features.md.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::bundle::bundle;

#[test]
fn devices_are_made_as_listed() {
    let script = "stat -c '%F %t,%T %a %u:%g' /dev/some /dev/block /dev/deep/pipe";
    let Some(mut b) = bundle(script) else { return };
    b.set(
        "/linux/devices",
        json!([
            {"path": "/dev/some", "type": "c", "major": 1, "minor": 3, "fileMode": 0o640, "uid": 7, "gid": 8},
            {"path": "/dev/block", "type": "b", "major": 7, "minor": 200, "fileMode": 0o600},
            {"path": "/dev/deep/pipe", "type": "p", "fileMode": 0o666}]),
    );
    assert_eq!(
        b.prints(),
        "character special file 1,3 640 7:8\nblock special file 7,c8 600 0:0\nfifo 0,0 666 0:0"
    );
}

#[test]
fn the_usual_devices_are_always_there() {
    let script = "stat -c '%n %t,%T' /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty; ls /dev/ptmx";
    let Some(mut b) = bundle(script) else { return };
    b.add("/mounts", json!({"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance"]}));
    let expected = "/dev/null 1,3\n/dev/zero 1,5\n/dev/full 1,7\n/dev/random 1,8\n/dev/urandom 1,9\n/dev/tty 5,0\n/dev/ptmx";
    assert_eq!(b.prints(), expected);
}

/// The usual device went over it, and nobody was told.
#[test]
fn a_listed_device_is_what_the_list_says_also_by_the_name_of_a_usual_one() {
    let Some(mut b) = bundle("stat -c '%n %t,%T %a' /dev/full /dev/zero") else {
        return;
    };
    b.set(
        "/linux/devices",
        json!([
            {"path": "/dev/full", "type": "c", "major": 1, "minor": 5, "fileMode": 0o600},
            {"path": "/dev//zero", "type": "c", "major": 1, "minor": 5, "fileMode": 0o640}]),
    );
    assert_eq!(b.prints(), "/dev/full 1,5 600\n/dev/zero 1,5 640");
}

#[test]
fn a_device_does_not_take_a_files_place() {
    let Some(mut b) = bundle("true") else { return };
    // Without a file system on /dev, so that the file is seen.
    b.config["mounts"].as_array_mut().unwrap().pop();
    fs::write(b.rootfs().join("taken"), "a file").unwrap();
    b.set(
        "/linux/devices",
        json!([{"path": "/taken", "type": "c", "major": 1, "minor": 3}]),
    );
    b.cannot_be_created("taken");
    assert_eq!(
        fs::read_to_string(b.rootfs().join("taken")).unwrap(),
        "a file"
    );
}

#[test]
fn a_device_is_of_a_type_that_there_is() {
    let Some(mut b) = bundle("true") else { return };
    b.set(
        "/linux/devices",
        json!([{"path": "/dev/x", "type": "z", "major": 1, "minor": 3}]),
    );
    b.cannot_be_created("devices");
}

#[test]
fn device_rules_hold_in_their_order() {
    // A device that is harmless to open, and not one of those that every container may.
    let rule = |allow: bool| json!({"allow": allow, "type": "c", "major": 10, "minor": 237, "access": "rwm"});
    let nothing = json!({"allow": false, "access": "rwm"});
    for (rules, says) in [
        (json!([nothing, rule(true)]), "open"),
        (json!([nothing, rule(true), rule(false)]), "refused"),
        (json!([rule(true), nothing]), "refused"),
    ] {
        if !Path::new("/dev/loop-control").exists() {
            return;
        }
        let Some(mut b) = bundle("(: < /dev/made) 2>/dev/null && echo open || echo refused") else {
            return;
        };
        b.set(
            "/linux/devices",
            json!([{"path": "/dev/made", "type": "c", "major": 10, "minor": 237}]),
        );
        b.set("/linux/resources/devices", rules.clone());
        assert_eq!(b.prints(), says, "{rules}");
    }
}

/// Where a process is in the hierarchy of a v1 controller, or in the unified one.
fn group(pid: i64, controller: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let of = |wanted: &str| {
        text.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let list = parts.next()?;
            let found = list.split(',').any(|name| name == wanted);
            found.then(|| parts.next().unwrap_or_default().to_owned())
        })
    };
    of(controller).or_else(|| of("")).unwrap()
}

#[test]
fn the_same_path_is_the_same_place() {
    let Some(mut b) = bundle("sleep 1000") else {
        return;
    };
    let path = format!("/{}-parent/child", b.id);
    let mut seen = Vec::new();
    for _ in 0..2 {
        b.set("/linux/cgroupsPath", json!(path));
        b.launch();
        seen.push(group(b.pid(), "pids"));
        b.ok(["delete", "--force", &b.id]);
    }
    assert!(seen.iter().all(|place| place.ends_with(&path)), "{seen:?}");
    assert_eq!(seen[0], seen[1]);
    b.set(
        "/linux/cgroupsPath",
        json!(format!("{}-relative/child", b.id)),
    );
    b.launch();
    assert!(
        group(b.pid(), "pids").contains("-relative"),
        "{}",
        group(b.pid(), "pids")
    );
}

#[test]
fn limits_are_those_of_the_group() {
    let Some(mut b) = bundle("sleep 1000") else {
        return;
    };
    b.set("/linux/cgroupsPath", json!(format!("/{}", b.id)));
    b.set(
        "/linux/resources",
        json!({"memory": {"limit": 67_108_864}, "pids": {"limit": 33}, "cpu": {"shares": 512, "quota": 50_000, "period": 100_000}}),
    );
    b.launch();
    let read = |controller: &str, files: [&str; 2]| {
        let place = group(b.pid(), controller);
        let v1 = format!("/sys/fs/cgroup/{controller}{place}/{}", files[0]);
        let v2 = format!("/sys/fs/cgroup{place}/{}", files[1]);
        let text = fs::read_to_string(&v1).or_else(|_| fs::read_to_string(&v2));
        text.unwrap_or_else(|e| panic!("{v1}, {v2}: {e}"))
            .trim_end()
            .to_owned()
    };
    assert_eq!(
        read("memory", ["memory.limit_in_bytes", "memory.max"]),
        "67108864"
    );
    assert_eq!(read("pids", ["pids.max", "pids.max"]), "33");
    let quota = read("cpu", ["cpu.cfs_quota_us", "cpu.max"]);
    assert!(quota.starts_with("50000"), "{quota}");
}

#[test]
fn a_limit_that_cannot_be_is_an_error() {
    for (resources, why) in [
        (
            json!({"hugepageLimits": [{"pageSize": "3MB", "limit": 1}]}),
            "hugepageLimits",
        ),
        (json!({"unified": {"nonsense.max": "1"}}), "unified"),
        (json!({"cpu": {"cpus": "100000"}}), "cpu"),
        (json!({"memory": {"limit": "much"}}), "memory"),
    ] {
        let Some(mut b) = bundle("true") else { return };
        b.set("/linux/resources", resources);
        b.cannot_be_created(why);
    }
}

#[test]
fn kernel_parameters_are_set_in_their_namespace() {
    let Some(mut b) = bundle("cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shm_rmid_forced")
    else {
        return;
    };
    b.set(
        "/linux/sysctl",
        json!({"net.ipv4.ip_forward": "1", "kernel.shm_rmid_forced": "1"}),
    );
    b.add("/linux/namespaces", json!({"type": "network"}));
    b.add("/linux/namespaces", json!({"type": "ipc"}));
    assert_eq!(b.prints(), "1\n1");
}

#[test]
fn kernel_parameters_of_the_host_are_refused() {
    let Some(mut b) = bundle("true") else { return };
    for (name, namespaces) in [
        (
            "kernel.core_pattern",
            json!([{"type": "mount"}, {"type": "ipc"}]),
        ),
        ("net.ipv4.ip_forward", json!([{"type": "mount"}])),
        ("kernel.shm_rmid_forced", json!([{"type": "mount"}])),
    ] {
        b.set("/linux/namespaces", namespaces);
        b.set("/linux/sysctl", Value::Null);
        b.config["linux"]["sysctl"] = json!({name: "1"});
        b.cannot_be_created("sysctl");
    }
}

#[test]
fn resource_control_without_its_file_system_is_an_error() {
    if Path::new("/sys/fs/resctrl/schemata").exists() {
        return;
    }
    let Some(mut b) = bundle("true") else { return };
    b.set("/linux/intelRdt", json!({"closID": "some"}));
    b.cannot_be_created("intelRdt");
}

#[test]
fn what_is_announced_is_accepted() {
    let Some(mut b) = bundle("true") else { return };
    b.write();
    let features: Value = serde_json::from_str(&b.ok(["features"]).stdout).unwrap();
    let text = |pointer: &str| {
        features
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap()
            .to_owned()
    };
    let list = |pointer: &str| {
        let list = features.pointer(pointer).and_then(Value::as_array);
        list.unwrap_or_else(|| panic!("{pointer}: {features:#}"))
            .clone()
    };
    let (least, most) = (text("/ociVersionMin"), text("/ociVersionMax"));
    let numbers = |version: &str| -> Vec<u32> {
        let plain = version.split(['-', '+']).next().unwrap();
        plain.split('.').map(|part| part.parse().unwrap()).collect()
    };
    assert!(numbers(&least) <= numbers(&most), "{least} {most}");
    for version in [&least, &most] {
        b.set("/ociVersion", json!(version));
        assert_eq!(b.run().code, 0, "{version}");
    }
    let mut hooks = list("/hooks");
    hooks.sort_by_key(ToString::to_string);
    assert_eq!(
        json!(hooks),
        json!([
            "createContainer",
            "createRuntime",
            "poststart",
            "poststop",
            "prestart",
            "startContainer"
        ])
    );
    let map = json!([{"containerID": 0, "hostID": 0, "size": 1000}]);
    for namespace in list("/linux/namespaces") {
        let mut all = vec![json!({"type": "mount"}), json!({"type": "pid"})];
        let one = json!({"type": namespace});
        if !all.contains(&one) {
            all.push(one);
        }
        let mapping = if namespace == "user" {
            map.clone()
        } else {
            json!([])
        };
        b.set(
            "/linux",
            json!({"namespaces": all, "uidMappings": mapping, "gidMappings": mapping}),
        );
        assert_eq!(b.run().code, 0, "{namespace}");
    }
    for capability in list("/linux/capabilities") {
        b.set("/process/capabilities", json!({"bounding": [capability]}));
        let output = b.run();
        // Whether this host lets us grant it is another question.
        let is_known = !output.stderr.contains("unknown");
        assert!(output.code == 0 && is_known, "{capability}: {output:#?}");
    }
    for action in list("/linux/seccomp/actions") {
        let rule = json!({"names": ["swapoff"], "action": action});
        let seccomp = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]});
        b.set("/linux/seccomp", seccomp);
        if action != "SCMP_ACT_NOTIFY" {
            assert_eq!(b.run().code, 0, "{action}");
        }
    }
    for operator in list("/linux/seccomp/operators") {
        let args = json!([{"index": 0, "value": 1, "op": operator}]);
        let rule = json!({"names": ["swapoff"], "action": "SCMP_ACT_ERRNO", "args": args});
        b.set(
            "/linux/seccomp",
            json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}),
        );
        assert_eq!(b.run().code, 0, "{operator}");
    }
    for (field, pointer) in [
        ("architectures", "/linux/seccomp/archs"),
        ("flags", "/linux/seccomp/knownFlags"),
        ("flags", "/linux/seccomp/supportedFlags"),
    ] {
        let seccomp = json!({"defaultAction": "SCMP_ACT_ALLOW", field: list(pointer)});
        b.set("/linux/seccomp", seccomp);
        assert_eq!(b.run().code, 0, "{field}");
    }
}

#[test]
fn mount_options_that_are_announced_are_known() {
    let Some(b) = bundle("true") else { return };
    let features: Value = serde_json::from_str(&b.ok(["features"]).stdout).unwrap();
    let known: Vec<&str> = features["mountOptions"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    for option in "async atime bind defaults dev diratime dirsync exec iversion lazytime loud noatime nodev nodiratime \
         noexec noiversion nolazytime norelatime nostrictatime nosuid private rbind relatime remount ro rprivate \
         rshared rslave runbindable rw shared silent slave strictatime suid sync unbindable"
        .split_ascii_whitespace()
    {
        assert!(known.contains(&option), "{option}");
    }
}

#[test]
fn every_mount_option_that_is_announced_is_taken() {
    let Some(mut b) = bundle("echo ran") else {
        return;
    };
    let features: Value = serde_json::from_str(&b.ok(["features"]).stdout).unwrap();
    // The first ask for more than a new tmpfs: a mapping, a source, a mount that is there.
    let special = [
        "idmap",
        "ridmap",
        "bind",
        "rbind",
        "remount",
        "copy-symlink",
        "src-nofollow",
        "dest-nofollow",
    ];
    for option in features["mountOptions"].as_array().unwrap() {
        let name = option.as_str().unwrap();
        if !special.contains(&name) {
            b.add("/mounts", json!({"destination": format!("/m/{name}"), "type": "tmpfs", "source": "tmpfs", "options": [name]}));
        }
    }
    b.add(
        "/mounts",
        json!({"destination": "/tmp", "type": "bind", "source": b.aside(), "options": special[2..4]}),
    );
    assert_eq!(b.prints(), "ran");
    // A word that is announced nowhere is the file system's, which does not know it.
    b.add(
        "/mounts",
        json!({"destination": "/n", "type": "tmpfs", "source": "tmpfs", "options": ["nonsense"]}),
    );
    b.cannot_be_created("nonsense");
}

#[test]
fn the_features_have_no_property_of_another_version() {
    let Some(b) = bundle("true") else { return };
    let features: Value = serde_json::from_str(&b.ok(["features"]).stdout).unwrap();
    let keys = |value: &Value| -> Vec<String> {
        let keys = value.as_object().unwrap().keys();
        let mut keys: Vec<String> = keys.cloned().collect();
        keys.sort();
        keys
    };
    assert_eq!(
        keys(&features),
        [
            "annotations",
            "hooks",
            "linux",
            "mountOptions",
            "ociVersionMax",
            "ociVersionMin"
        ]
    );
    assert_eq!(
        keys(&features["linux"]),
        [
            "apparmor",
            "capabilities",
            "cgroup",
            "intelRdt",
            "mountExtensions",
            "namespaces",
            "seccomp",
            "selinux"
        ]
    );
    assert_eq!(
        features["linux"]["mountExtensions"]["idmap"]["enabled"],
        json!(true)
    );
    let annotations = features["annotations"].as_object().unwrap();
    assert!(
        annotations
            .iter()
            .all(|(key, value)| !key.is_empty() && value.is_string())
    );
}

#[test]
fn a_device_that_is_there_already_is_kept() {
    let Some(mut b) = bundle("stat -c %t,%T /there; echo x > /there") else {
        return;
    };
    b.config["mounts"].as_array_mut().unwrap().pop();
    let node = b.rootfs().join("there");
    let made = std::process::Command::new(super::bundle::BUSYBOX_PATH)
        .args(["mknod", node.to_str().unwrap(), "c", "1", "3"])
        .status();
    assert!(made.unwrap().success());
    b.set(
        "/linux/devices",
        json!([{"path": "/there", "type": "c", "major": 1, "minor": 3, "fileMode": 0o666}]),
    );
    assert_eq!(b.prints(), "1,3");
}

#[test]
fn limits_that_contradict_each_other_are_refused() {
    for (resources, why) in [
        (
            json!({"cpu": {"quota": 10_000, "period": 100_000, "burst": 20_000}}),
            "resources.cpu",
        ),
        (
            json!({"memory": {"limit": 67_108_864, "swap": 1024}}),
            "memory.swap",
        ),
        (
            json!({"blockIO": {"weightDevice": [{"major": 8, "minor": 0, "weight": 1}]}}),
            "blockIO",
        ),
    ] {
        let Some(mut b) = bundle("true") else { return };
        b.set("/linux/resources", resources);
        b.cannot_be_created(why);
    }
}

#[test]
fn a_group_is_one_that_can_be() {
    let Some(mut b) = bundle("true") else { return };
    for path in ["/", "..", "/../x", "a/../../x"] {
        b.set("/linux/cgroupsPath", json!(path));
        b.cannot_be_created("cgroupsPath");
    }
}
