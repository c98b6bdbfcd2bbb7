//! Firewalls that administrators have, on one host with ours: ufw and firewalld, each with files and a message bus of its own. Each
//! try is a connection or a datagram that has to come back.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::lines::{both, container, direct, host, network};
use super::world::{HOST, PORT, Try, World};
use crate::support::{BUSYBOX, Host, PATIENCE, collect, has_peer, wait_until};

/// What the host's programs are run in: its network namespace, but `/etc` and `/run` of the test's own.
struct Administrator {
    keeper: Child,
    others: Vec<Child>,
}

impl Administrator {
    fn new(directory: &Path) -> Self {
        for name in ["changed", "work"] {
            fs::create_dir_all(directory.join(name)).unwrap();
        }
        let script = format!(
            "mount -t tmpfs none /run && mkdir -p /run/dbus /run/lock && \
             mount -t overlay -o lowerdir=/etc,upperdir={0}/changed,workdir={0}/work none /etc && \
             touch /run/ready && exec sleep 1000",
            directory.display()
        );
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", &script]);
        let keeper = command.stdin(Stdio::null()).spawn().unwrap();
        let new = Self {
            keeper,
            others: Vec::new(),
        };
        wait_until("files of its own", PATIENCE, || {
            new.run("test -e /run/ready") == 0
        });
        new
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new("nsenter");
        let target = self.keeper.id().to_string();
        command.args(["--mount", "--target", &target, "sh", "-c", line]);
        command.stdin(Stdio::null());
        command
    }

    /// Starts something that goes on running.
    fn start(&mut self, line: &str) {
        let mut command = self.command(&format!("exec {line}"));
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        self.others.push(child.unwrap());
    }

    fn run(&self, line: &str) -> i32 {
        collect(&mut self.command(line), b"").code
    }

    fn ok(&self, line: &str) {
        let done = collect(&mut self.command(line), b"");
        assert_eq!(done.code, 0, "{line}: {done:?}");
    }
}

impl Drop for Administrator {
    fn drop(&mut self) {
        let others = self.others.iter_mut().rev();
        for child in others.chain([&mut self.keeper]) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A container with a published port; with what it must be reached by, and what it must reach.
fn build() -> Option<(Host, World, Vec<Try>, Vec<Try>)> {
    let (host, mut world) = host()?;
    network(&host, "front", 1, &[]);
    let flags = ["-p", "8080:7000", "-p", "8080:7000/udp"];
    container(&host, &mut world, "web", "front", &flags);
    let mut inwards = Vec::new();
    for address in HOST {
        let to = SocketAddr::new(address.parse().unwrap(), 8080);
        inwards.extend(both("outside", to, true, "published"));
    }
    let outwards = direct(&world, "web", "outside", PORT, true);
    world.check(&inwards);
    world.check(&outwards);
    Some((host, world, inwards, outwards))
}

/// The same tries, and none must work.
fn shut(tries: &[Try]) -> Vec<Try> {
    let mut tries = tries.to_vec();
    for one in &mut tries {
        one.expect = false;
    }
    tries
}

/// Any action of a network's.
fn act(host: &Host) {
    host.ok(["run", "--rm", "--network", "front", BUSYBOX, "true"]);
}

/// The bridge of the container's network.
fn bridge(host: &Host) -> String {
    let id = host.ok(["network", "inspect", "-f", "{{.Id}}", "front"]);
    format!("br-{}", id.get(..12).unwrap())
}

/// Rules that wharf has put into others' tables for a bridge.
fn ours(admin: &Administrator, table: &str, bridge: &str) -> usize {
    let listed = collect(&mut admin.command(&format!("nft list table {table}")), b"");
    let lines = listed.stdout.lines();
    let comment = format!(": bridge {bridge}");
    lines.filter(|line| line.contains(&comment)).count()
}

#[test]
fn ufw_drops_what_is_forwarded_until_the_next_action() {
    if !has_peer("ufw") || !has_peer("nft") {
        return;
    }
    let Some((host, world, inwards, outwards)) = build() else {
        return;
    };
    let admin = Administrator::new(&host.dir().join("ufw"));
    admin.ok("ufw --force enable");
    world.check(&shut(&inwards));
    world.check(&shut(&outwards));
    let said = host.ok(["network", "repair"]);
    assert!(said.contains("in chain FORWARD of ip filter"), "{said}");
    world.check(&inwards);
    world.check(&outwards);
    // Its own chains are made again; ours stays.
    admin.ok("ufw reload");
    world.check(&inwards);
    admin.ok("ufw disable");
    admin.ok("nft flush ruleset");
    admin.ok("ufw --force enable");
    world.check(&shut(&inwards));
    act(&host);
    world.check(&inwards);
    world.check(&outwards);
    host.ok(["rm", "-f", "web"]);
    let bridge = bridge(&host);
    assert_eq!(ours(&admin, "ip filter", &bridge), 2);
    host.ok(["network", "rm", "front"]);
    assert_eq!(ours(&admin, "ip filter", &bridge), 0);
    admin.ok("ufw disable");
}

#[test]
fn firewalld_rejects_what_containers_send_until_the_next_action_and_its_zones_count() {
    if !has_peer("firewalld") || !has_peer("dbus-daemon") || !has_peer("nft") {
        return;
    }
    let Some((host, world, inwards, outwards)) = build() else {
        return;
    };
    let mut admin = Administrator::new(&host.dir().join("firewalld"));
    admin.start("dbus-daemon --system --nofork --nopidfile");
    wait_until("the message bus", PATIENCE, || {
        admin.run("test -S /run/dbus/system_bus_socket") == 0
    });
    admin.start("firewalld --nofork --nopid");
    wait_until("firewalld", PATIENCE, || {
        admin.run("firewall-cmd --state") == 0
    });
    // It lets through what was translated, and rejects the rest.
    world.check(&inwards);
    world.check(&shut(&outwards));
    let said = host.ok(["network", "repair"]);
    assert!(said.contains("of firewalld"), "{said}");
    assert_eq!(host.ok(["network", "repair"]), "");
    world.check(&outwards);
    admin.ok("firewall-cmd --reload");
    world.check(&inwards);
    world.check(&shut(&outwards));
    act(&host);
    world.check(&outwards);
    // What the administrator says of the bridge goes first.
    let bridge = bridge(&host);
    admin.ok(&format!(
        "firewall-cmd --zone=drop --add-interface={bridge}"
    ));
    host.ok(["network", "repair"]);
    world.check(&shut(&outwards));
    admin.ok(&format!(
        "firewall-cmd --zone=drop --remove-interface={bridge}"
    ));
    world.check(&outwards);
    // Both tables are gone; ours comes back.
    admin.ok("nft flush ruleset");
    world.check(&shut(&inwards));
    let said = host.ok(["network", "repair"]);
    assert!(said.contains("table wharf"), "{said}");
    world.check(&inwards);
    world.check(&outwards);
    // It does not get over the loss of its own at the first try.
    wait_until("firewalld's own table", PATIENCE, || {
        admin.run("firewall-cmd --complete-reload");
        admin.run("nft list table inet firewalld") == 0
    });
    act(&host);
    host.ok(["rm", "-f", "web"]);
    assert_eq!(ours(&admin, "inet firewalld", &bridge), 2);
    host.ok(["network", "rm", "front"]);
    assert_eq!(ours(&admin, "inet firewalld", &bridge), 0);
}
