//! What other engines' networks are tested for, and no other test of ours had: see the list in docs/networks.md.

use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::process::Command;

use wharf::engine::sys::link::{self, Links, NewKind, NewLink};
use wharf::engine::sys::netlink::Batch;

use super::lines::{both, container, host, network};
use super::world::{HOST, Try, inside};
use crate::support::{BUSYBOX, WHARF, collect};

fn set(path: &str, value: &str) {
    std::fs::write(format!("/proc/sys/net/{path}"), value).unwrap();
}

/// Packets must leave by the device that their answers would come in by (ip-sysctl.rst, `rp_filter`), on both sides.
#[test]
fn a_port_is_reached_with_two_networks_where_ways_back_are_checked() {
    let Some((host, mut world)) = host() else {
        return;
    };
    let strict = |device: &str| set(&format!("ipv4/conf/{device}/rp_filter"), "1");
    for device in ["all", "default", "out0"] {
        strict(device);
    }
    for (number, name) in [(1, "front"), (2, "back")] {
        network(&host, name, number, &[]);
    }
    let flags = ["-p", "8080:7000", "-p", "8080:7000/udp"];
    // On one network, then on both: the default route and what is published move to the first by name.
    container(&host, &mut world, "web", "front", &flags);
    inside(world.places["web"].namespace.as_fd(), || {
        for device in ["all", "default", "eth0"] {
            strict(device);
        }
    });
    let mut tries: Vec<Try> = Vec::new();
    for from in ["outside", "host"] {
        for address in HOST {
            let to = SocketAddr::new(address.parse().unwrap(), 8080);
            tries.extend(both(from, to, true, "published"));
        }
    }
    world.check(&tries);
    host.ok(["network", "connect", "back", "web"]);
    let address = |field: &str| {
        let field = format!("{{{{.NetworkSettings.Networks.back.{field}}}}}");
        host.ok(["inspect", "-f", &field, "web"])
    };
    let both_addresses = [address("IPAddress"), address("GlobalIPv6Address")];
    let namespace = world.places.remove("web").unwrap().namespace;
    world.place("web", namespace, [&both_addresses[0], &both_addresses[1]]);
    world.check(&tries);
    host.ok(["network", "disconnect", "front", "web"]);
    world.check(&tries);
}

#[test]
fn a_bridge_that_was_there_before_is_used_and_stays() {
    let Some((host, mut world)) = host() else {
        return;
    };
    let links = Links::here().unwrap();
    let new = NewLink {
        name: "lan7",
        mac: None,
        mtu: None,
        master: None,
        kind: NewKind::Bridge,
        namespace: None,
    };
    let mut batch = Batch::default();
    batch.push(link::create(&new).unwrap(), "make it");
    links.run(&batch).unwrap();
    let flags = ["-o", "com.docker.network.bridge.name=lan7"];
    network(&host, "lan", 1, &flags);
    container(&host, &mut world, "web", "lan", &["-p", "8080:7000"]);
    let to = SocketAddr::new(HOST[0].parse().unwrap(), 8080);
    world.check(&both("outside", to, true, "published")[..1]);
    host.ok(["rm", "-f", "web"]);
    host.ok(["network", "rm", "lan"]);
    let seen = links.look("lan7").unwrap().unwrap();
    assert_eq!(seen.kind, "bridge");
    // A device of another kind is no bridge.
    let taken = "com.docker.network.bridge.name=out0";
    let refused = host.wharf(["network", "create", "-o", taken, "x"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused.stderr.contains("a device that is none"),
        "{refused:?}"
    );
    assert_eq!(host.wharf(["network", "inspect", "x"]).code, 1);
}

#[test]
fn parameters_of_the_kernel_that_cannot_be_written_are_named_and_nothing_is_left() {
    let Some((host, _world)) = host() else {
        return;
    };
    let before = host.ok(["network", "ls", "-q"]);
    let script = format!(
        "mount -o remount,bind,ro /proc && \
         exec {WHARF} network create x"
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", &script]);
    host.dress(&mut command);
    let refused = collect(&mut command, b"");
    assert_eq!(refused.code, 1, "{refused:?}");
    let told: Vec<&str> = refused.stderr.lines().filter(|l| !l.is_empty()).collect();
    assert_eq!(told.len(), 1, "{refused:?}");
    assert!(told[0].contains("network x"), "{refused:?}");
    assert!(told[0].contains("sys/net/ipv"), "{refused:?}");
    assert!(told[0].contains("read-only file system"), "{refused:?}");
    assert_eq!(host.ok(["network", "ls", "-q"]), before);
    let mut list = Command::new("ip");
    let links = collect(list.args(["-o", "link"]), b"").stdout;
    assert!(!links.contains("br-"), "{links}");
}

/// As on a kernel without it: netlink has no such protocol.
#[test]
fn a_kernel_without_nf_tables_is_told_of_and_nothing_is_left() {
    let Some((host, _world)) = host() else {
        return;
    };
    let profile = host.dir().join("no-netfilter.json");
    // AF_NETLINK, NETLINK_NETFILTER: EPROTONOSUPPORT.
    let text = r#"{
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{
            "names": ["socket"], "action": "SCMP_ACT_ERRNO", "errnoRet": 93,
            "args": [
                { "index": 0, "value": 16, "op": "SCMP_CMP_EQ" },
                { "index": 2, "value": 12, "op": "SCMP_CMP_EQ" }
            ]
        }]
    }"#;
    std::fs::write(&profile, text).unwrap();
    let profile = format!("seccomp={}", profile.display());
    let program = format!("{WHARF}:/bin/wharf:ro");
    let inner =
        "wharf network create x; echo $?; wharf network ls -q -f name=x; ip -o link | grep -c br-";
    let run = [
        "run",
        "--rm",
        "--privileged",
        "--network",
        "none",
        "-v",
        &program,
    ];
    let run = [
        &run[..],
        &["--security-opt", &profile, BUSYBOX, "sh", "-c", inner],
    ]
    .concat();
    let said = collect(&mut host.command(run), b"");
    assert_eq!(said.stdout, "1\n0\n", "{said:?}");
    assert!(
        said.stderr
            .contains("networks need nf_tables, which this kernel does not have"),
        "{said:?}"
    );
    assert!(said.stderr.contains("--network none"), "{said:?}");
}
