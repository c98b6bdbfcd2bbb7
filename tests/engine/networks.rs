//! Networks end to end: records, addresses, interfaces, names, connecting and disconnecting. Each test has a network
//! namespace of its own.

use std::io::Read;
use std::net::{IpAddr, TcpStream};
use std::process::{Command, Stdio};

use serde_json::Value;
use wharf::engine::sys::namespace;
use wharf::engine::sys::process::NEWNET;

use crate::containers::{kill_9, monitor_of};
use crate::support::{BUSYBOX, Host, PATIENCE, collect, privileged, wait_until};

/// A host in a network namespace of the calling test's own, which its threads and children inherit: loopback is up, and
/// nothing else is there.
fn host() -> Option<Host> {
    let mut host = privileged()?;
    namespace::unshare(NEWNET).unwrap();
    namespace::loopback_up().unwrap();
    host.networked = true;
    host.busybox_image()?;
    Some(host)
}

/// A container that runs until it is told to end.
fn background(host: &Host, flags: &[&str]) {
    let start = ["run", "-d"];
    host.ok([&start[..], flags, &[BUSYBOX, "sleep", "1000"]].concat());
}

fn address(host: &Host, container: &str, network: &str) -> String {
    let format = format!("{{{{(index .NetworkSettings.Networks \"{network}\").IPAddress}}}}");
    host.ok(["inspect", "-f", &format, container])
}

fn documents(text: &str) -> Vec<Value> {
    serde_json::from_str(text).unwrap()
}

/// With a network `front` on 10.80.0.0/24.
fn refuses_what_cannot_be(host: &Host) {
    for (args, why) in [
        (
            &["create", "front"][..],
            "network with name front already exists",
        ),
        (
            &["create", "bridge"],
            "operation is not permitted on predefined bridge network",
        ),
        (
            &["create", "--subnet", "10.80.0.0/16", "x"],
            "Pool overlaps with other one on this address space",
        ),
        (
            &["create", "--subnet", "10.81.0.1/24", "x"],
            "invalid subnet 10.81.0.1/24: it should be 10.81.0.0/24",
        ),
        (
            &["create", "-d", "nosuch", "x"],
            "plugin \"nosuch\" not found",
        ),
        (&["create", "-d", "overlay", "x"], "is for a swarm"),
        (
            &["create", "-d", "host", "x"],
            "only one instance of \"host\" network is allowed",
        ),
        (
            &["create", "-o", "com.docker.network.driver.mtu=x", "x"],
            "it is no size of a packet",
        ),
        (
            &["rm", "bridge"],
            "bridge is a pre-defined network and cannot be removed",
        ),
        (&["rm", "nosuch"], "network nosuch not found"),
        (&["inspect", "nosuch"], "network nosuch not found"),
    ] {
        let refused = host.wharf([&["network"][..], args].concat());
        assert_eq!(refused.code, 1, "{args:?}: {refused:?}");
        assert!(refused.stderr.contains(why), "{args:?}: {refused:?}");
        let told = refused.stderr.lines().filter(|line| !line.is_empty());
        assert_eq!(told.count(), 1, "{refused:?}");
    }
}

#[test]
fn networks_are_made_listed_inspected_and_removed() {
    let Some(host) = host() else { return };
    let names = host.ok([
        "network",
        "ls",
        "--format",
        "{{.Name}} {{.Driver}} {{.Scope}}",
    ]);
    assert_eq!(
        names,
        "bridge bridge local\nhost host local\nnone null local"
    );
    let id = host.ok([
        "network",
        "create",
        "--subnet",
        "10.80.0.0/24",
        "--ip-range",
        "10.80.0.128/25",
        "--gateway",
        "10.80.0.254",
        "--aux-address",
        "router=10.80.0.129",
        "--label",
        "tier=front",
        "-o",
        "com.docker.network.driver.mtu=1400",
        "front",
    ]);
    assert_eq!(id.len(), 64, "{id}");
    let shown = &documents(&host.ok(["network", "inspect", "front"]))[0];
    assert_eq!(shown["Id"], id.as_str());
    assert_eq!(
        shown["IPAM"]["Config"].to_string(),
        r#"[{"Subnet":"10.80.0.0/24","IPRange":"10.80.0.128/25","Gateway":"10.80.0.254","AuxiliaryAddresses":{"router":"10.80.0.129"}}]"#
    );
    assert_eq!(shown["Labels"]["tier"], "front");
    // Without a type a name may be a network's, too.
    assert_eq!(host.ok(["inspect", "-f", "{{.Name}}", "front"]), "front");
    assert_eq!(
        host.ok(["network", "ls", "-q", "--filter", "label=tier=front"]),
        id.get(..12).unwrap()
    );
    assert_eq!(
        host.ok(["network", "ls", "-q", "--no-trunc", "-f", "type=custom"]),
        id
    );
    refuses_what_cannot_be(&host);
    assert_eq!(host.ok(["network", "rm", "-f", "nosuch"]), "");
    host.ok([
        "network",
        "create",
        "--config-only",
        "--subnet",
        "10.82.0.0/24",
        "template",
    ]);
    host.ok(["network", "create", "--config-from", "template", "made"]);
    let made = &documents(&host.ok(["network", "inspect", "made"]))[0];
    assert_eq!(made["IPAM"]["Config"][0]["Subnet"], "10.82.0.0/24");
    assert_eq!(made["ConfigFrom"]["Network"], "template");
    let kept = host.wharf(["network", "rm", "template"]);
    assert!(
        kept.stderr.contains("is in use by network made"),
        "{kept:?}"
    );
    assert_eq!(host.ok(["network", "rm", "made"]), "made");
    let pruned = host.ok(["network", "prune", "-f"]);
    assert_eq!(pruned, "Deleted Networks:\nfront\ntemplate");
    assert_eq!(host.ok(["network", "ls", "-q"]).lines().count(), 3);
    let events = host.ok([
        "events",
        "--since",
        "1h",
        "--until",
        "0s",
        "--filter",
        "type=network",
        "--format",
        "{{.Action}} {{.Actor.Attributes.name}}",
    ]);
    assert!(events.starts_with("create front\n"), "{events}");
    assert!(events.contains("destroy made\n"), "{events}");
}

/// With a container `web` on `front` and `back`.
fn refuses_what_somebody_has(host: &Host) {
    // Somebody else may not have its address, nor be on a network twice.
    for (args, why) in [
        (
            &[
                "run",
                "--rm",
                "--network",
                "back",
                "--ip",
                "10.81.0.77",
                BUSYBOX,
                "true",
            ][..],
            "Address already in use",
        ),
        (
            &[
                "run",
                "--rm",
                "--network",
                "back",
                "--ip",
                "10.9.9.9",
                BUSYBOX,
                "true",
            ],
            "no configured subnet contains IP address 10.9.9.9",
        ),
        (
            &["run", "--rm", "--network", "nosuch", BUSYBOX, "true"],
            "network nosuch not found",
        ),
        (
            &["network", "connect", "back", "web"],
            "endpoint with name web already exists in network back",
        ),
        (
            &["network", "connect", "none", "web"],
            "container cannot be connected to network none",
        ),
    ] {
        let refused = host.wharf(args);
        assert_ne!(refused.code, 0, "{args:?}: {refused:?}");
        assert!(refused.stderr.contains(why), "{args:?}: {refused:?}");
    }
}

#[test]
fn a_container_is_on_all_its_networks_and_leaves_nothing() {
    let Some(host) = host() else { return };
    host.ok(["network", "create", "--subnet", "10.80.0.0/24", "front"]);
    host.ok([
        "network",
        "create",
        "--subnet",
        "10.81.0.0/24",
        "--ipv6",
        "--subnet",
        "fd81::/64",
        "back",
    ]);
    background(
        &host,
        &[
            "--name",
            "web",
            "--network",
            "name=front,gw-priority=5,alias=www",
            "--network",
            "name=back,ip=10.81.0.77,mac-address=02:00:00:00:00:77",
            "-h",
            "box",
            "--domainname",
            "example",
        ],
    );
    assert_eq!(address(&host, "web", "front"), "10.80.0.2");
    assert_eq!(address(&host, "web", "back"), "10.81.0.77");
    let said = |script: &str| {
        let said = host.ok(["exec", "web", "sh", "-c", script]);
        said.trim_end().to_owned()
    };
    assert_eq!(
        said("ip route | grep default"),
        "default via 10.80.0.1 dev eth0"
    );
    assert!(said("ip addr show eth1").contains("link/ether 02:00:00:00:00:77"));
    assert!(said("ip addr show eth1").contains("inet6 fd81::2/64"));
    let hosts = said("cat /etc/hosts");
    assert!(hosts.contains("10.80.0.2\tbox.example box"), "{hosts}");
    assert!(hosts.contains("fd81::2\tbox.example box"), "{hosts}");
    assert!(said("cat /etc/resolv.conf").contains("\nnameserver 127.0.0.11\n"));
    assert!(said("ping -c1 -W5 10.80.0.1").contains("1 packets received"));
    assert_eq!(host.ok(["ps", "--format", "{{.Networks}}"]), "front,back");
    assert_eq!(
        host.ok(["ps", "-q", "--filter", "network=back"])
            .lines()
            .count(),
        1
    );
    assert_eq!(host.ok(["ps", "-q", "--filter", "network=none"]), "");
    let member = &documents(&host.ok(["network", "inspect", "front"]))[0]["Containers"];
    assert!(member.to_string().contains(r#""Name":"web""#), "{member}");
    let kept = host.wharf(["network", "rm", "front"]);
    assert!(
        kept.stderr
            .contains("network front has active endpoints (name:\"web\""),
        "{kept:?}"
    );
    refuses_what_somebody_has(&host);
    host.ok(["network", "disconnect", "front", "web"]);
    assert_eq!(
        said("ip route | grep default"),
        "default via 10.81.0.1 dev eth1"
    );
    assert_eq!(said("ls /sys/class/net"), "eth1\nlo");
    host.ok([
        "network",
        "connect",
        "--ip",
        "10.80.0.9",
        "--alias",
        "again",
        "front",
        "web",
    ]);
    assert_eq!(address(&host, "web", "front"), "10.80.0.9");
    assert_eq!(said("ls /sys/class/net"), "eth0\neth1\nlo");
    // What was connected while it ran is there after a restart.
    host.ok(["restart", "-t", "0", "web"]);
    assert_eq!(address(&host, "web", "front"), "10.80.0.9");
    host.ok(["stop", "-t", "0", "web"]);
    host.ok(["network", "disconnect", "back", "web"]);
    host.ok(["start", "web"]);
    assert_eq!(said("ls /sys/class/net"), "eth0\nlo");
    host.ok(["rm", "-f", "web"]);
    host.ok(["network", "rm", "front", "back"]);
    let left = collect(Command::new("ip").args(["-o", "link"]), &[]).stdout;
    let others = left.lines().filter(|line| !line.contains(": lo:"));
    assert_eq!(others.count(), 0, "{left}");
}

#[test]
fn a_container_shares_the_network_of_another_one() {
    let Some(host) = host() else { return };
    host.ok(["network", "create", "front"]);
    background(&host, &["--name", "web", "--network", "front", "-h", "box"]);
    let shared = host.ok([
        "run",
        "--rm",
        "--network",
        "container:web",
        BUSYBOX,
        "sh",
        "-c",
        "ip -4 -o addr show eth0; cat /etc/hosts",
    ]);
    assert!(shared.contains(&address(&host, "web", "front")), "{shared}");
    assert!(shared.contains("\tbox"), "{shared}");
    host.ok(["stop", "-t", "0", "web"]);
    let refused = host.wharf(["run", "--rm", "--network", "container:web", BUSYBOX, "true"]);
    assert!(refused.stderr.contains("is not running"), "{refused:?}");
}

#[test]
fn who_shares_a_network_goes_by_the_name_of_its_owner() {
    let Some(host) = host() else { return };
    let named = ["-h", "box", "--domainname", "lan"];
    let web = ["--name", "web", "--network", "none"];
    background(&host, &[&web[..], &named].concat());
    let names = "hostname; cat /etc/hostname /proc/sys/kernel/domainname; echo $HOSTNAME";
    let shared = ["run", "--rm", "--network", "container:web", BUSYBOX];
    let said = host.ok([&shared[..], &["sh", "-c", names]].concat());
    assert_eq!(said, "box\nbox\nlan\nbox");
}

#[test]
fn a_stopped_container_is_taken_off_a_network_that_is_gone() {
    let Some(host) = host() else { return };
    let id = host.ok(["network", "create", "gone"]);
    host.ok(["create", "--name", "web", "--network", "gone", BUSYBOX]);
    let short = id.get(..5).unwrap();
    let seen = host.ok(["ps", "-a", "-f", &format!("network={short}"), "-q"]);
    assert_eq!(seen, "", "it has no endpoint yet");
    host.ok(["network", "rm", "gone"]);
    assert_eq!(host.wharf(["network", "disconnect", "gone", "web"]).code, 1);
    host.ok(["network", "disconnect", "-f", "gone", "web"]);
    let left = host.ok(["inspect", "-f", "{{.NetworkSettings.Networks}}", "web"]);
    assert_eq!(left, "map[]");
    assert_eq!(
        host.wharf(["network", "disconnect", "-f", "gone", "web"])
            .code,
        1
    );
}

/// Others find it by its new name at once, as Docker has it.
#[test]
fn a_renamed_container_is_called_so_on_its_networks() {
    let Some(host) = host() else { return };
    host.ok(["network", "create", "front"]);
    background(
        &host,
        &[
            "--name",
            "old",
            "--network",
            "front",
            "--network-alias",
            "also",
        ],
    );
    background(&host, &["--name", "asks", "--network", "front"]);
    host.ok(["rename", "old", "new"]);
    let address = address(&host, "new", "front");
    for name in ["new", "also"] {
        let answer = host.ok(["exec", "asks", "nslookup", name]);
        assert!(answer.contains(&address), "{name}: {answer}");
    }
    assert_ne!(host.wharf(["exec", "asks", "nslookup", "old"]).code, 0);
    let members = host.ok([
        "network",
        "inspect",
        "-f",
        "{{range .Containers}}{{.Name}} {{end}}",
        "front",
    ]);
    assert!(
        members.contains("new") && !members.contains("old"),
        "{members}"
    );
}

/// Docker writes the new address over the old one, and leaves what the container has written itself.
#[test]
fn who_is_linked_learns_the_new_address_while_it_runs() {
    let Some(host) = host() else { return };
    background(&host, &["--name", "db"]);
    background(&host, &["--name", "web", "--link", "db:store"]);
    host.ok(["exec", "web", "sh", "-c", "echo 10.9.9.9 own >>/etc/hosts"]);
    let before = address(&host, "db", "bridge");
    host.ok(["stop", "-t", "0", "db"]);
    host.ok(["start", "db"]);
    let after = address(&host, "db", "bridge");
    assert_ne!(before, after);
    let hosts = host.ok(["exec", "web", "cat", "/etc/hosts"]);
    assert!(hosts.contains(&format!("{after}\tstore ")), "{hosts}");
    assert!(!hosts.contains(&format!("{before}\t")), "{hosts}");
    assert!(hosts.contains("10.9.9.9 own"), "{hosts}");
    assert_eq!(hosts.matches("store").count(), 1, "{hosts}");
}

/// Docker links to the container whose network it is.
#[test]
fn a_link_to_who_shares_a_network_leads_to_its_owner() {
    let Some(host) = host() else { return };
    background(&host, &["--name", "db"]);
    background(&host, &["--name", "beside", "--network", "container:db"]);
    background(
        &host,
        &["--name", "further", "--network", "container:beside"],
    );
    let start = ["run", "--rm", "--link", "further:store", "--name", "web"];
    let shown = host.ok([&start[..], &[BUSYBOX, "cat", "/etc/hosts"]].concat());
    let address = address(&host, "db", "bridge");
    let line = shown.lines().find(|line| line.contains("\tstore "));
    let line = line.unwrap_or_else(|| panic!("{shown}"));
    assert!(
        line.starts_with(&address) && line.ends_with(" db"),
        "{line}"
    );
    background(&host, &["--name", "on-host", "--network", "host"]);
    let refused = host.wharf(["create", "--link", "on-host:store", BUSYBOX]);
    assert_ne!(refused.code, 0);
    assert!(
        refused
            .stderr
            .contains("host type networking can't be used with links"),
        "{refused:?}"
    );
}

#[test]
fn a_link_is_taken_away() {
    let Some(host) = host() else { return };
    background(&host, &["--name", "db"]);
    background(&host, &["--name", "web", "--link", "db:store"]);
    let links = || host.ok(["inspect", "-f", "{{.HostConfig.Links}}", "web"]);
    assert_eq!(links(), "[/db:/web/store]");
    assert!(
        host.ok(["exec", "web", "cat", "/etc/hosts"])
            .contains("\tstore ")
    );
    host.ok(["rename", "db", "data"]);
    assert_eq!(links(), "[/data:/web/store]");
    host.ok(["restart", "-t", "0", "web"]);
    let hosts = host.ok(["exec", "web", "cat", "/etc/hosts"]);
    assert!(hosts.contains(" data\n"), "{hosts}");
    let refused = host.wharf(["create", "--name", "lost", "--link", "db:store", BUSYBOX]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused.stderr.contains("could not get container for db"),
        "{refused:?}"
    );
    assert_eq!(host.wharf(["inspect", "lost"]).code, 1);
    for (link, why) in [
        ("web", "cannot remove the default link name"),
        ("web/nosuch", "no such link: web/nosuch"),
        ("nosuch/store", "No such container: nosuch"),
    ] {
        let refused = host.wharf(["rm", "--link", link]);
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(refused.stderr.contains(why), "{refused:?}");
    }
    assert_eq!(host.ok(["rm", "--link", "/web/store"]), "/web/store");
    assert_eq!(links(), "[]");
    host.ok(["restart", "-t", "0", "web"]);
    assert!(
        !host
            .ok(["exec", "web", "cat", "/etc/hosts"])
            .contains("store")
    );
}

/// As Docker: who makes one is told at once what cannot be made, and others can use its bridge before the first container.
#[test]
fn a_networks_bridge_and_rules_are_there_before_its_first_container() {
    let Some(host) = host() else { return };
    let id = host.ok(["network", "create", "--subnet", "10.80.0.0/24", "front"]);
    let bridge = format!("br-{}", id.get(..12).unwrap());
    let shown = |args: &[&str]| collect(Command::new(args[0]).args(&args[1..]), &[]).stdout;
    assert!(shown(&["ip", "-o", "addr"]).contains(&bridge));
    if Command::new("nft").arg("--version").output().is_ok() {
        let rules = shown(&["nft", "list", "ruleset"]);
        assert!(
            rules.contains(&format!("\"{bridge}\" comment \"wharf: network front\"")),
            "{rules}"
        );
        collect(Command::new("nft").args(["flush", "ruleset"]), &[]);
    }
    collect(Command::new("ip").args(["link", "del", &bridge]), &[]);
    let repaired = host.ok(["network", "repair"]);
    assert!(
        repaired.contains(&format!("front: bridge {bridge}")),
        "{repaired}"
    );
    assert_eq!(host.ok(["network", "repair"]), "");
    // What cannot be made leaves no record.
    let named = "com.docker.network.bridge.name=lo";
    let refused = host.wharf(["network", "create", "-o", named, "bad"]);
    assert!(
        refused.stderr.contains("the name is taken by a device"),
        "{refused:?}"
    );
    assert_eq!(host.wharf(["network", "inspect", "bad"]).code, 1);
    host.ok(["network", "rm", "front"]);
    assert!(!shown(&["ip", "-o", "addr"]).contains(&bridge));
}

#[test]
fn a_container_whose_monitor_was_killed_leaves_its_networks() {
    let Some(host) = host() else { return };
    host.ok(["network", "create", "--subnet", "10.80.0.0/29", "front"]);
    background(
        &host,
        &["--name", "web", "--network", "front", "--ip", "10.80.0.2"],
    );
    let id = host.ok(["inspect", "-f", "{{.Id}}", "web"]);
    kill_9(monitor_of(&host, &id));
    // Nobody has looked yet: the next one to join finds the entry without its monitor.
    wait_until("its address is free", PATIENCE, || {
        host.wharf([
            "run",
            "--rm",
            "--network",
            "front",
            "--ip",
            "10.80.0.2",
            BUSYBOX,
            "true",
        ])
        .code
            == 0
    });
    host.ok(["ps", "-a"]);
    let member = &documents(&host.ok(["network", "inspect", "front"]))[0]["Containers"];
    assert_eq!(member.to_string(), "{}");
    host.ok(["network", "rm", "front"]);
}

#[test]
fn many_containers_at_once_have_addresses_of_their_own() {
    let Some(host) = host() else { return };
    host.ok(["network", "create", "--subnet", "10.80.0.0/28", "front"]);
    let children: Vec<_> = (0..12)
        .map(|n| {
            let name = format!("many{n}");
            let args = [
                "run",
                "-d",
                "--name",
                &name,
                "--network",
                "front",
                BUSYBOX,
                "sleep",
                "1000",
            ];
            host.command(args).stdout(Stdio::null()).spawn().unwrap()
        })
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let mut all: Vec<IpAddr> = (0..12)
        .map(|n| {
            address(&host, &format!("many{n}"), "front")
                .parse()
                .unwrap()
        })
        .collect();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 12, "{all:?}");
    background(&host, &["--name", "last", "--network", "front"]);
    let refused = host.wharf(["run", "--rm", "--network", "front", BUSYBOX, "true"]);
    assert!(
        refused
            .stderr
            .contains("no available IPv4 addresses on this network's address pools: front"),
        "{refused:?}"
    );
}

#[test]
fn what_is_published_is_reached_on_the_host_and_shown() {
    let Some(host) = host() else { return };
    host.ok(["network", "create", "front"]);
    let serve = "while true; do echo hello | nc -l -p 80; done";
    host.ok([
        "run",
        "-d",
        "--name",
        "web",
        "--network",
        "front",
        "-p",
        "8080:80",
        "-p",
        "127.0.0.1::81/udp",
        "--expose",
        "90",
        BUSYBOX,
        "sh",
        "-c",
        serve,
    ]);
    assert_eq!(host.ok(["port", "web", "80"]), "0.0.0.0:8080\n[::]:8080");
    for place in ["127.0.0.1:8080", "[::1]:8080"] {
        wait_until(place, PATIENCE, || {
            let mut said = String::new();
            TcpStream::connect(place)
                .and_then(|mut stream| stream.read_to_string(&mut said))
                .is_ok_and(|_| said == "hello\n")
        });
    }
    let shown = host.ok(["ps", "--format", "{{.Ports}}"]);
    assert!(
        shown.starts_with("90/tcp, 0.0.0.0:8080->80/tcp, [::]:8080->80/tcp, 127.0.0.1:"),
        "{shown}"
    );
    assert_eq!(
        host.ok(["ps", "-q", "-f", "publish=8080"]).lines().count(),
        1
    );
    assert_eq!(host.ok(["ps", "-q", "-f", "publish=8081"]), "");
    let refused = host.wharf([
        "run",
        "--rm",
        "--network",
        "front",
        "-p",
        "8080:80",
        BUSYBOX,
        "true",
    ]);
    assert_eq!(refused.code, 125, "{refused:?}");
    assert!(
        refused.stderr.contains("8080") && refused.stderr.contains("web"),
        "{refused:?}"
    );
    host.ok(["rm", "-f", "web"]);
    assert!(TcpStream::connect("127.0.0.1:8080").is_err());
}

#[test]
fn names_of_containers_are_answered_as_they_come_and_go() {
    let Some(host) = host() else { return };
    host.ok([
        "network",
        "create",
        "--subnet",
        "10.80.0.0/24",
        "--internal",
        "front",
    ]);
    background(
        &host,
        &["--name", "web", "--network", "name=front,alias=www"],
    );
    background(&host, &["--name", "asks", "--network", "front"]);
    let asked = |name: &str| host.wharf(["exec", "asks", "nslookup", name]);
    for name in ["web", "www", "WEB.front"] {
        let answer = asked(name);
        assert!(answer.stdout.contains("10.80.0.2"), "{name}: {answer:?}");
    }
    assert_ne!(asked("nosuch").code, 0);
    host.ok(["rm", "-f", "web"]);
    assert_ne!(asked("web").code, 0);
}

#[test]
fn without_a_network_flag_it_is_on_the_default_network() {
    let Some(host) = host() else { return };
    let ran = host.wharf([
        "run",
        "--rm",
        BUSYBOX,
        "sh",
        "-c",
        "ls /sys/class/net; ping -c1 -W5 172.17.0.1",
    ]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    assert!(ran.stdout.starts_with("eth0\nlo\n"), "{ran:?}");
    assert!(ran.stdout.contains("1 packets received"), "{ran:?}");
}
