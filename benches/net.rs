//! Networks, next to docker and podman where they are installed: `run --rm` on the default bridge, the last of many endpoints on
//! one, throughput by iperf3, answers of the name server, ports. Each engine has a network namespace of its own.
//!
//! With names after `--`, only those parts: `run`, `endpoints`, `throughput`, `dns`, `ports`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    unreachable_pub,
    reason = "a benchmark prints, and may end where it fails"
)]

#[path = "shared/asker.rs"]
mod asker;
#[expect(
    dead_code,
    reason = "shared by several benchmarks, each of which uses a part of it"
)]
#[path = "shared/peers.rs"]
mod peers;
mod shared;
#[path = "../tests/engine/spaces.rs"]
mod spaces;
#[expect(
    dead_code,
    reason = "shared by several test binaries, each of which uses a part of it"
)]
#[path = "../tests/engine/support.rs"]
mod support;

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use peers::{Docker, podman, quiet};
use shared::{Contender, compete, median, ms};
use spaces::Space;
use support::{BUSYBOX, Host, collect, has_peer, wait_for};
use wharf::engine::sys::{namespace, process};

/// Endpoints on one bridge: of wharf, and of each of the others, which take half a second for one.
const ENDPOINTS: usize = 500;
const PEER_ENDPOINTS: usize = 40;
/// How many starts the first and the last of them are the median of.
const ENDS: usize = 15;
/// Measurements of throughput, and how long each is.
const ROUNDS: usize = 5;
const SECONDS: &str = "2";
/// Questions to a name server.
const QUESTIONS: usize = 100_000;
const IPERF: &str = "iperf:latest";
/// Where iperf3 listens if nobody says otherwise.
const IPERF_PORT: u16 = 5201;

/// What it is called, and what does it.
type Part = (&'static str, fn(&[Peer<'_>]));

fn main() {
    if !peers::enter_namespace() {
        return;
    }
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with('-'))
        .collect();
    let wants = |name: &str| wanted.is_empty() || wanted.iter().any(|w| w == name);
    let mut host = support::privileged().unwrap();
    host.networked = true;
    // Where the others keep names of namespaces, and addresses.
    for place in ["/run/netns", "/var/lib/cni"] {
        in_memory(Path::new(place));
    }
    // As below /run.
    in_memory(&host.run());
    for name in ["docker/exec", "podman-run"] {
        in_memory(&host.dir().join(name));
    }
    let mut all = vec![Peer::new("wharf", Engine::Wharf(&host))];
    if has_peer("dockerd") {
        all.extend(Peer::docker(&host));
    }
    if has_peer("podman") {
        all.push(Peer::new("podman", Engine::Podman(&host)));
    }
    all.retain(Peer::is_able);
    let parts: [Part; 5] = [
        ("run", run),
        ("ports", ports),
        ("endpoints", endpoints),
        ("throughput", throughput),
        ("dns", dns),
    ];
    for (name, part) in parts {
        if wants(name) {
            part(&all);
        }
    }
    drop(all);
    let _ = collect(podman(&host).args(["system", "reset", "--force"]), &[]);
    for mount in support::mounts_under(host.dir()).iter().rev() {
        if let Some(target) = mount.split(' ').nth(1) {
            let _ = collect(Command::new("umount").arg(target), &[]);
        }
    }
}

fn in_memory(place: &Path) {
    fs::create_dir_all(place).unwrap();
    quiet(
        Command::new("mount")
            .args(["-t", "tmpfs", "none"])
            .arg(place),
    );
}

/// An engine, and the network namespace that is its host's.
struct Peer<'a> {
    name: &'static str,
    space: Space,
    engine: Engine<'a>,
}

enum Engine<'a> {
    Wharf(&'a Host),
    Docker(Docker),
    Podman(&'a Host),
}

impl<'a> Peer<'a> {
    fn new(name: &'static str, engine: Engine<'a>) -> Self {
        Self {
            name,
            space: Space::new(),
            engine,
        }
    }

    fn docker(host: &Host) -> Option<Self> {
        let space = Space::new();
        let docker = space.run(|| Docker::start_with(host, &[]))?;
        Some(Self {
            name: "docker",
            space,
            engine: Engine::Docker(docker),
        })
    }

    /// Loads the images and says why it cannot run one, if so.
    fn is_able(&self) -> bool {
        for archive in [Some(support::busybox_archive()), iperf_archive()] {
            let Some(archive) = archive else { continue };
            let loaded = self.space.run(|| {
                let mut load = self.bare(&["load"]);
                collect(load.stdin(Stdio::piped()), &archive)
            });
            if loaded.code != 0 {
                println!("{} left out: {}", self.name, loaded.stderr);
                return false;
            }
        }
        let ran = self.output(&["run", "--rm", BUSYBOX, "true"]);
        if ran.code != 0 {
            println!("{} left out: {}", self.name, ran.stderr);
        }
        ran.code == 0
    }

    fn bare(&self, args: &[&str]) -> Command {
        match &self.engine {
            Engine::Wharf(host) => host.command(args),
            Engine::Docker(docker) => {
                let mut command = docker.client();
                command.args(args);
                command
            }
            Engine::Podman(host) => {
                let mut command = podman(host);
                command.args(args);
                command
            }
        }
    }

    fn command(&self, args: &[&str]) -> Command {
        match (&self.engine, args) {
            // podman's own limits are above what an unprivileged machine allows.
            (Engine::Podman(_), ["run", rest @ ..]) => {
                let limits = [
                    "--ulimit",
                    "nofile=1024:1024",
                    "--ulimit",
                    "nproc=1024:1024",
                ];
                self.bare(&[&["run"], &limits[..], rest].concat())
            }
            _ => self.bare(args),
        }
    }

    /// Runs it on its own host.
    fn quiet(&self, args: &[&str]) {
        self.space.run(|| quiet(&mut self.command(args)));
    }

    fn output(&self, args: &[&str]) -> support::Output {
        self.space
            .run(|| collect(self.command(args).stdin(Stdio::null()), &[]))
    }

    /// Its output without the last newline.
    fn ok(&self, args: &[&str]) -> String {
        let output = self.output(args);
        assert_eq!(output.code, 0, "{} {args:?}: {output:?}", self.name);
        output.stdout.trim_end().to_owned()
    }

    fn pid(&self, container: &str) -> String {
        self.ok(&["inspect", "-f", "{{.State.Pid}}", container])
    }

    /// On whichever network it is.
    fn address(&self, container: &str) -> String {
        let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        self.ok(&["inspect", "-f", format, container])
    }

    fn remove(&self, containers: &[String]) {
        let args: &[&str] = match self.engine {
            // It asks them to end first, and waits for that.
            Engine::Podman(_) => &["rm", "-f", "-t", "0"],
            Engine::Wharf(_) | Engine::Docker(_) => &["rm", "-f"],
        };
        let ids: Vec<&str> = containers.iter().map(String::as_str).collect();
        self.quiet(&[args, &ids].concat());
    }
}

fn run(all: &[Peer<'_>]) {
    let mut contenders = Vec::new();
    for peer in all {
        let rounds = if peer.name == "wharf" { 60 } else { 15 };
        let turn = || peer.quiet(&["run", "--rm", BUSYBOX, "true"]);
        contenders.push(Contender::new(peer.name, rounds, turn));
        if peer.name == "wharf" {
            let none = || peer.quiet(&["run", "--rm", "--network", "none", BUSYBOX, "true"]);
            contenders.push(Contender::new("wharf --network none", rounds, none));
        }
    }
    compete("run --rm busybox true, default bridge", &mut contenders);
}

fn ports(all: &[Peer<'_>]) {
    let mut contenders = Vec::new();
    for peer in all {
        let (rounds, counts) = match peer.name {
            "wharf" => (30, &[1, 10, 100][..]),
            _ => (10, &[1][..]),
        };
        for count in counts {
            let last = 20_000 + count - 1;
            let ports = match count {
                1 => "20000:20000".to_owned(),
                _ => format!("20000-{last}:20000-{last}"),
            };
            let turn = move || peer.quiet(&["run", "--rm", "-p", &ports, BUSYBOX, "true"]);
            let name = format!("{}, {count}", peer.name);
            contenders.push(Contender::new(name, rounds, turn));
        }
    }
    compete("run --rm -p, ports published", &mut contenders);
}

fn endpoints(all: &[Peer<'_>]) {
    println!("run -d on one network, median of the first and of the last {ENDS}");
    for peer in all {
        let count = match peer.name {
            "wharf" => ENDPOINTS,
            _ => PEER_ENDPOINTS,
        };
        peer.quiet(&["network", "create", "crowd"]);
        let mut ids = Vec::new();
        // The first one makes the bridge.
        let starts: Vec<Duration> = (0..=count)
            .map(|_| {
                let start = Instant::now();
                ids.push(peer.ok(&[
                    "run",
                    "-d",
                    "--network",
                    "crowd",
                    BUSYBOX,
                    "sleep",
                    "100000",
                ]));
                start.elapsed()
            })
            .skip(1)
            .collect();
        let (first, last) = (median(&starts[..ENDS]), median(&starts[count - ENDS..]));
        println!(
            "  {:<10} {count:>4} endpoints: first {:>10}, last {:>10}, ratio {:.2}",
            peer.name,
            ms(first),
            ms(last),
            last.as_secs_f64() / first.as_secs_f64()
        );
        let start = Instant::now();
        peer.remove(&ids);
        println!(
            "  {:<10} {:>4} removed in {:.1} s",
            "",
            ids.len(),
            start.elapsed().as_secs_f64()
        );
        peer.quiet(&["network", "rm", "crowd"]);
    }
    println!();
}

fn throughput(all: &[Peer<'_>]) {
    if !has_peer("iperf3") {
        return;
    }
    let published = format!("{IPERF_PORT}:{IPERF_PORT}");
    let servers: Vec<String> = all
        .iter()
        .map(|peer| peer.ok(&["run", "-d", "-p", &published, IPERF, "iperf3", "-s"]))
        .collect();
    for (title, way) in [
        ("container to container", Way::Containers),
        ("host to container", Way::Host),
        ("host to its own port", Way::Published),
    ] {
        println!("iperf3, one stream, {title}: Gbit/s, median of {ROUNDS}");
        let mut rates = vec![Vec::new(); all.len()];
        for round in 0..ROUNDS {
            for place in 0..all.len() {
                let at = (place + round) % all.len();
                rates[at].push(measure(&all[at], &servers[at], way));
            }
        }
        let docker = all.iter().position(|peer| peer.name == "docker");
        let docker = docker.map(|at| middle(&rates[at]));
        for (peer, rates) in all.iter().zip(&rates) {
            let rate = middle(rates);
            let compared = docker.map_or(1.0, |docker| rate / docker);
            let best = rates.iter().copied().fold(0.0, f64::max);
            println!(
                "  {:<10} {rate:>7.2}  (best {best:.2})  {compared:.3} of docker",
                peer.name
            );
        }
    }
    println!();
    for (peer, server) in all.iter().zip(servers) {
        peer.remove(&[server]);
    }
}

#[derive(Clone, Copy)]
enum Way {
    Containers,
    Host,
    Published,
}

/// Gbit/s that arrived.
fn measure(peer: &Peer<'_>, server: &str, way: Way) -> f64 {
    let to = match way {
        Way::Published => "127.0.0.1".to_owned(),
        Way::Containers | Way::Host => peer.address(server),
    };
    let client = ["iperf3", "-J", "-t", SECONDS, "-c", &to];
    // The server takes a moment to open its port, and to be done with the client before.
    let text = wait_for("iperf3's server", || {
        let output = match way {
            Way::Containers => peer.output(&[&["run", "--rm", IPERF], &client[..]].concat()),
            Way::Host | Way::Published => peer
                .space
                .run(|| collect(Command::new(client[0]).args(&client[1..]), &[])),
        };
        (output.code == 0).then_some(output.stdout)
    });
    let told: serde_json::Value = serde_json::from_str(&text).unwrap();
    told["end"]["sum_received"]["bits_per_second"]
        .as_f64()
        .unwrap()
        / 1e9
}

fn middle(rates: &[f64]) -> f64 {
    let mut sorted = rates.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

fn dns(all: &[Peer<'_>]) {
    println!("answers of the name server at 127.0.0.11, {QUESTIONS} questions");
    // podman's plugins have no name server of this kind on this host.
    for peer in all.iter().filter(|peer| peer.name != "podman") {
        peer.quiet(&["network", "create", "named"]);
        let ids: Vec<String> = (0..3)
            .map(|n| {
                let name = format!("container{n}");
                let run = ["run", "-d", "--network", "named", "--name", &name];
                peer.ok(&[&run[..], &[BUSYBOX, "sleep", "100000"]].concat())
            })
            .collect();
        let pid = peer.pid("container0");
        for under_way in [1, 8, 64] {
            let answers = thread::scope(|scope| {
                let asked = scope.spawn(|| {
                    let path = format!("/proc/{pid}/ns/net");
                    let file = File::open(path).unwrap();
                    namespace::enter_file(file.as_fd(), process::NEWNET, "of a container").unwrap();
                    asker::load(under_way, QUESTIONS)
                });
                asked.join().unwrap()
            });
            println!("  {:<10} {under_way:>2} under way: {answers}", peer.name);
        }
        peer.remove(&ids);
        peer.quiet(&["network", "rm", "named"]);
    }
    println!();
}

/// An image with iperf3 and what it is linked with; `None`, as [`support::skip`], if it is not installed.
fn iperf_archive() -> Option<Vec<u8>> {
    if !has_peer("iperf3") {
        return None;
    }
    let mut layer = support::Archive::new();
    let program = Path::new("/usr/bin/iperf3");
    let linked = collect(Command::new("ldd").arg(program), &[]).stdout;
    let libraries = linked
        .split_whitespace()
        .filter(|word| word.starts_with('/'));
    let mut made = Vec::new();
    for path in libraries.map(Path::new).chain([program]) {
        let parents: Vec<&Path> = path.ancestors().skip(1).collect();
        for parent in parents
            .into_iter()
            .rev()
            .filter(|dir| dir.parent().is_some())
        {
            if !made.contains(&parent.to_path_buf()) {
                let name = parent.strip_prefix("/").unwrap().display();
                layer.directory(&format!("{name}/"), 0o755);
                made.push(parent.to_path_buf());
            }
        }
        let name = path.strip_prefix("/").unwrap().to_str().unwrap();
        layer.file(name, 0o755, &fs::read(path).unwrap());
    }
    layer.directory("tmp/", 0o1777);
    Some(support::image_archive(
        IPERF,
        &[layer.finish()],
        &["iperf3"],
    ))
}
