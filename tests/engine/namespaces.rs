//! Namespaces that a container gets, shares and is told about: new ones, joined ones, users, clocks.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command};

use serde_json::{Value, json};

use crate::bundle::{Bundle, bundle};
use crate::support::PATIENCE;
use crate::support::wait_until;

/// A process in namespaces of its own that does nothing, ended with the test.
struct Holder {
    child: Child,
}

impl Holder {
    /// `flags` are unshare(1)'s.
    fn new(flags: &[&str]) -> Self {
        let child = Command::new("unshare")
            .args(flags)
            .args(["--kill-child", "sleep", "1000"])
            .spawn()
            .unwrap();
        let holder = Self { child };
        wait_until("the holder is there", PATIENCE, || {
            let comm = fs::read_to_string(format!("/proc/{}/comm", holder.inner()));
            comm.is_ok_and(|comm| comm == "sleep\n")
        });
        holder
    }

    /// The process that lives in them: a child if there is one.
    fn inner(&self) -> u32 {
        let own = self.child.id();
        let children = fs::read_to_string(format!("/proc/{own}/task/{own}/children"));
        children
            .ok()
            .and_then(|text| text.split_whitespace().next()?.parse().ok())
            .unwrap_or(own)
    }

    fn path(&self, kind: &str) -> PathBuf {
        format!("/proc/{}/ns/{kind}", self.inner()).into()
    }

    fn link(&self, kind: &str) -> String {
        link(&self.path(kind))
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn link(path: &std::path::Path) -> String {
    fs::read_link(path).unwrap().to_str().unwrap().to_owned()
}

/// The configuration with other namespaces than the usual ones.
fn replacing(bundle: &Bundle, entries: &[Value]) -> Value {
    let mut config = bundle.config.clone();
    let list = config["linux"]["namespaces"].as_array_mut().unwrap();
    for entry in entries {
        list.retain(|namespace| namespace["type"] != entry["type"]);
        list.push(entry.clone());
    }
    config
}

fn without(bundle: &Bundle, kind: &str) -> Value {
    let mut config = bundle.config.clone();
    let list = config["linux"]["namespaces"].as_array_mut().unwrap();
    list.retain(|namespace| namespace["type"] != kind);
    config
}

/// Maps root and everybody else to users of the host that own nothing.
fn map(config: &mut Value) {
    let list = json!([{ "containerID": 0, "hostID": 100_000, "size": 65536 }]);
    config["linux"]["uidMappings"] = list.clone();
    config["linux"]["gidMappings"] = list;
}

#[test]
fn a_namespace_that_is_left_out_is_the_hosts() {
    let Some(bundle) = bundle() else { return };
    for (kind, file) in [
        ("ipc", "ipc"),
        ("uts", "uts"),
        ("network", "net"),
        ("cgroup", "cgroup"),
        ("pid", "pid"),
    ] {
        let line = format!("readlink /proc/self/ns/{file}");
        let host = link(format!("/proc/self/ns/{file}").as_ref());
        assert_eq!(bundle.ok(&without(&bundle, kind), &line), host, "{kind}");
        assert_ne!(bundle.ok(&bundle.config, &line), host, "{kind}");
    }
}

#[test]
fn namespaces_are_joined_by_their_paths() {
    let Some(bundle) = bundle() else { return };
    let holder = Holder::new(&["--ipc", "--uts", "--net", "--cgroup", "--time", "--fork"]);
    for (kind, file) in [
        ("ipc", "ipc"),
        ("uts", "uts"),
        ("network", "net"),
        ("cgroup", "cgroup"),
        ("time", "time"),
    ] {
        let entry = json!({ "type": kind, "path": holder.path(file) });
        let config = replacing(&bundle, &[entry]);
        let line = format!("readlink /proc/self/ns/{file}");
        assert_eq!(bundle.ok(&config, &line), holder.link(file), "{kind}");
    }
}

#[test]
fn a_pid_namespace_is_joined_by_its_path() {
    let Some(bundle) = bundle() else { return };
    let holder = Holder::new(&["--pid", "--fork", "--mount-proc"]);
    let entry = json!({ "type": "pid", "path": holder.path("pid") });
    let config = replacing(&bundle, &[entry]);
    let line = "readlink /proc/self/ns/pid; cat /proc/1/comm; [ $$ != 1 ] && echo second";
    let expect = format!("{}\nsleep\nsecond", holder.link("pid"));
    assert_eq!(bundle.ok(&config, line), expect);
}

#[test]
fn a_path_that_is_no_such_namespace_is_refused() {
    let Some(bundle) = bundle() else { return };
    for (path, what) in [
        ("/no/such", "no such file"),
        ("/etc/passwd", "invalid argument"),
        ("/proc/self/ns/uts", "invalid argument"),
    ] {
        let config = replacing(&bundle, &[json!({ "type": "network", "path": path })]);
        let text = bundle.refused(&config);
        let named = text.contains("linux.namespaces") && text.contains(path);
        assert!(named && text.contains(what), "{text}");
    }
}

#[test]
fn root_of_a_user_namespace_is_nobody_outside() {
    let Some(bundle) = bundle() else { return };
    let mut config = replacing(&bundle, &[json!({ "type": "user" })]);
    map(&mut config);
    let line = "id -u; id -g; tr -s ' ' < /proc/self/uid_map; tr -s ' ' < /proc/self/gid_map; cat /proc/self/setgroups";
    let expect = "0\n0\n 0 100000 65536\n 0 100000 65536\nallow";
    assert_eq!(bundle.ok(&config, line), expect);
    // Files of the host's root are nobody's here, and cannot be written.
    let line = "stat -c %u:%g /; echo x > /etc/x 2>/dev/null || echo refused";
    assert_eq!(bundle.ok(&config, line), "65534:65534\nrefused");
    config["process"]["user"] = json!({ "uid": 5, "gid": 6, "additionalGids": [7, 8] });
    assert_eq!(bundle.ok(&config, "id -u; id -G"), "5\n6 7 8");
}

#[test]
fn namespaces_belong_to_the_user_namespace_that_they_were_made_in() {
    let Some(bundle) = bundle() else { return };
    let mut config = replacing(&bundle, &[json!({ "type": "user" })]);
    map(&mut config);
    config["process"]["capabilities"] = json!({
        "bounding": ["CAP_NET_ADMIN", "CAP_SYS_ADMIN"],
        "effective": ["CAP_NET_ADMIN", "CAP_SYS_ADMIN"],
        "permitted": ["CAP_NET_ADMIN", "CAP_SYS_ADMIN"],
    });
    let line = "hostname inside && hostname; ip link set lo down && echo down; mount -t tmpfs t /tmp && echo mounted";
    assert_eq!(bundle.ok(&config, line), "inside\ndown\nmounted");
}

#[test]
fn limits_and_score_are_set_for_users_who_may_not() {
    let Some(bundle) = bundle() else { return };
    let mut config = replacing(&bundle, &[json!({ "type": "user" })]);
    map(&mut config);
    config["process"]["rlimits"] = json!([{ "type": "RLIMIT_NOFILE", "soft": 33, "hard": 44 }]);
    config["process"]["oomScoreAdj"] = json!(123);
    let line = "ulimit -Sn; ulimit -Hn; cat /proc/self/oom_score_adj";
    assert_eq!(bundle.ok(&config, line), "33\n44\n123");
}

#[test]
fn a_user_namespace_is_joined_by_its_path_and_the_others_belong_to_it() {
    let Some(bundle) = bundle() else { return };
    let holder = Holder::new(&["--user", "--map-root-user", "--net", "--fork"]);
    let user = json!({ "type": "user", "path": holder.path("user") });
    let mut config = replacing(&bundle, std::slice::from_ref(&user));
    // Group 5 is not mapped there.
    let pts = json!({ "destination": "/dev/pts", "type": "devpts", "options": ["newinstance"] });
    config["mounts"][2] = pts.clone();
    let line = "readlink /proc/self/ns/user; id -u; hostname inside && hostname";
    let mut with_rights = config.clone();
    with_rights["process"]["capabilities"] = json!({
        "bounding": ["CAP_SYS_ADMIN"], "effective": ["CAP_SYS_ADMIN"], "permitted": ["CAP_SYS_ADMIN"],
    });
    let expect = format!("{}\n0\ninside", holder.link("user"));
    assert_eq!(bundle.ok(&with_rights, line), expect);
    // Together with one that belongs to it.
    let net = json!({ "type": "network", "path": holder.path("net") });
    let mut config = replacing(&bundle, &[user, net]);
    config["mounts"][2] = pts;
    let line = "readlink /proc/self/ns/user; readlink /proc/self/ns/net";
    let expect = format!("{}\n{}", holder.link("user"), holder.link("net"));
    assert_eq!(bundle.ok(&config, line), expect);
}

#[test]
fn one_of_the_hosts_namespaces_is_joined_before_users_change() {
    let Some(bundle) = bundle() else { return };
    let holder = Holder::new(&["--net", "--ipc", "--fork"]);
    let entries = [
        json!({ "type": "user" }),
        json!({ "type": "network", "path": holder.path("net") }),
        json!({ "type": "ipc", "path": holder.path("ipc") }),
    ];
    let mut config = replacing(&bundle, &entries);
    map(&mut config);
    let line = "readlink /proc/self/ns/net; readlink /proc/self/ns/ipc; id -u; tr -s ' ' < /proc/self/uid_map";
    let expect = format!(
        "{}\n{}\n0\n 0 100000 65536",
        holder.link("net"),
        holder.link("ipc")
    );
    assert_eq!(bundle.ok(&config, line).trim_end(), expect);
}

#[test]
fn mappings_are_for_user_namespaces_and_make_sense() {
    let Some(bundle) = bundle() else { return };
    let mut config = bundle.config.clone();
    map(&mut config);
    let text = bundle.refused(&config);
    assert!(text.contains("linux.uidMappings"), "{text}");
    let mut config = replacing(&bundle, &[json!({ "type": "user" })]);
    config["linux"]["uidMappings"] = json!([
        { "containerID": 0, "hostID": 0, "size": 5 }, { "containerID": 3, "hostID": 10, "size": 5 },
    ]);
    config["linux"]["gidMappings"] = json!([{ "containerID": 0, "hostID": 0, "size": 5 }]);
    let text = bundle.refused(&config);
    assert!(text.contains("linux.uidMappings"), "{text}");
}

#[test]
fn cve_2021_43784_more_mappings_than_fit_are_an_error() {
    let Some(bundle) = bundle() else { return };
    let mut config = replacing(&bundle, &[json!({ "type": "user" })]);
    let many: Vec<Value> = (0..4000)
        .map(|n| json!({ "containerID": n * 2, "hostID": n * 2 + 100_000, "size": 1 }))
        .collect();
    config["linux"]["uidMappings"] = json!(many);
    config["linux"]["gidMappings"] = json!([{ "containerID": 0, "hostID": 0, "size": 1 }]);
    let text = bundle.refused(&config);
    assert!(text.contains("linux.uidMappings"), "{text}");
    // And so are long paths of mounts.
    let long = format!("/{}", "x/".repeat(40_000));
    let text = bundle.refused(&bundle.with(&long, "/mnt", "bind", &["bind"]));
    assert!(text.contains("name too long"), "it does not say why");
}

#[test]
fn clocks_are_ahead_by_what_was_asked() {
    let Some(bundle) = bundle() else { return };
    let mut config = replacing(&bundle, &[json!({ "type": "time" })]);
    config["linux"]["timeOffsets"] = json!({
        "monotonic": { "secs": 7200, "nanosecs": 5 }, "boottime": { "secs": 864_000 },
    });
    let line = "tr -s ' ' < /proc/self/timens_offsets; cut -d. -f1 /proc/uptime";
    let shown = bundle.ok(&config, line);
    let (offsets, uptime) = shown.rsplit_once('\n').unwrap();
    assert_eq!(offsets, "monotonic 7200 5\nboottime 864000 0");
    assert!(uptime.parse::<u64>().unwrap() >= 864_000);
    // In a user namespace, too: the clocks are its own.
    let list = config["linux"]["namespaces"].as_array_mut().unwrap();
    list.push(json!({ "type": "user" }));
    map(&mut config);
    assert_eq!(
        bundle.ok(&config, line).rsplit_once('\n').unwrap().0,
        offsets
    );
    config["linux"]["timeOffsets"] = json!({ "realtime": { "secs": 1 } });
    let text = bundle.refused(&config);
    assert!(
        text.contains("linux.timeOffsets: no clock \"realtime\""),
        "{text}"
    );
}

#[test]
fn without_a_mount_namespace_the_host_stays_as_it_is() {
    let Some(bundle) = bundle() else { return };
    let mounts = || fs::read_to_string("/proc/self/mountinfo").unwrap();
    let before = mounts();
    let mut config = without(&bundle, "mount");
    let text = bundle.refused(&config);
    assert!(
        text.contains("mounts: not without a mount namespace"),
        "{text}"
    );
    config["mounts"] = json!([]);
    fs::write(bundle.rootfs().join("marker"), "here").unwrap();
    assert_eq!(
        bundle.ok(&config, "cat /marker; ls -d /usr 2>/dev/null; true"),
        "here"
    );
    assert_eq!(mounts(), before);
    config["root"]["readonly"] = json!(true);
    let text = bundle.refused(&config);
    assert!(text.contains("root.readonly"), "{text}");
}

#[test]
fn names_are_set_and_need_a_namespace() {
    let Some(bundle) = bundle() else { return };
    let mut config = bundle.config.clone();
    config["hostname"] = json!("box");
    config["domainname"] = json!("example");
    let line = "hostname; cat /proc/sys/kernel/domainname";
    assert_eq!(bundle.ok(&config, line), "box\nexample");
    let list = config["linux"]["namespaces"].as_array_mut().unwrap();
    list.retain(|namespace| namespace["type"] != "uts");
    let text = bundle.refused(&config);
    assert!(text.contains("unable to set hostname"), "{text}");
}

#[test]
fn a_network_device_moves_with_its_addresses() {
    let Some(bundle) = bundle() else { return };
    let name = format!("wt{}", std::process::id() % 100_000);
    let device = Device::new(&name, "192.0.2.7/24");
    let mut config = bundle.config.clone();
    config["linux"]["netDevices"] = json!({ &name: { "name": "inside0" } });
    let line = "ip -o addr show dev inside0 | tr -s ' ' | cut -d' ' -f4; cat /sys/class/net/inside0/operstate; \
        ip -o link show inside0 | grep -o '[<,]UP'";
    config["mounts"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "destination": "/sys", "type": "sysfs" }));
    let shown = bundle.ok(&config, line);
    assert!(shown.starts_with("192.0.2.7/24\n"), "{shown}");
    assert!(shown.ends_with("UP"), "{shown}");
    drop(device);
    let text = bundle.refused(&config);
    assert!(
        text.contains(&format!("linux.netDevices: {name}")),
        "{text}"
    );
}

/// A pair of devices that is gone with the test.
struct Device {
    name: String,
}

impl Device {
    fn new(name: &str, address: &str) -> Self {
        let device = Self {
            name: name.to_owned(),
        };
        let peer = format!("{name}p");
        for args in [
            // It stays down here: the host gets no route.
            &["link", "add", name, "type", "veth", "peer", "name", &peer][..],
            &["addr", "add", address, "dev", name],
        ] {
            let status = Command::new("ip").args(args).status().unwrap();
            assert!(status.success(), "ip {args:?}");
        }
        device
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // It went with the container if that took it, and took its peer along.
        let _ = Command::new("ip")
            .args(["link", "del", &self.name])
            .output();
    }
}
