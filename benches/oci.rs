//! `wharf oci` next to crun and runc on one bundle: a container from start to end, a further process in it, a hundred
//! containers side by side, and how much memory each command takes at most.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    unreachable_pub,
    reason = "a benchmark prints, and may end where it fails"
)]

#[expect(
    dead_code,
    reason = "shared by several benchmarks, each of which uses a part of it"
)]
#[path = "shared/peers.rs"]
mod peers;
mod shared;
#[expect(
    dead_code,
    reason = "shared by several test binaries, each of which uses a part of it"
)]
#[path = "../tests/engine/support.rs"]
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use peers::quiet;
use shared::{Contender, compete, median, ms};
use support::{Host, collect, has_peer};

/// Rounds of `run` and `exec`.
const ROUNDS: usize = 100;
/// Containers side by side, and how often.
const MANY: usize = 100;
const MANY_ROUNDS: usize = 5;

fn main() {
    if !peers::enter_namespace() {
        return;
    }
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with('-'))
        .collect();
    let wants = |name: &str| wanted.is_empty() || wanted.iter().any(|w| w == name);
    let host = support::privileged().unwrap();
    let peers = ["crun", "runc"].into_iter().filter(|name| has_peer(name));
    let runtimes: Vec<Runtime> = std::iter::once("wharf")
        .chain(peers)
        .map(|name| Runtime::new(&host, name))
        .collect();
    let bundle = bundle(&host);
    if wants("run") {
        run(&runtimes, &bundle);
    }
    if wants("exec") {
        exec(&runtimes, &bundle);
    }
    if wants("many") {
        many(&runtimes, &bundle);
    }
    if wants("memory") {
        memory(&runtimes, &bundle);
    }
}

/// One way to run a bundle.
struct Runtime {
    name: &'static str,
    program: PathBuf,
    first: Vec<String>,
}

impl Runtime {
    fn new(host: &Host, name: &'static str) -> Self {
        let root = host.dir().join(format!("{name}-state"));
        let mut first = vec!["--root".to_owned(), root.display().to_string()];
        let program = if name == "wharf" {
            first.insert(0, "oci".to_owned());
            PathBuf::from(env!("CARGO_BIN_EXE_wharf"))
        } else {
            PathBuf::from(name)
        };
        Self {
            name,
            program,
            first,
        }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.first).args(args);
        command
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn run(runtimes: &[Runtime], bundle: &Path) {
    let mut contenders: Vec<Contender<'_>> = runtimes
        .iter()
        .map(|runtime| {
            Contender::new(runtime.name, ROUNDS, move || {
                quiet(&mut runtime.command(&["run", "--bundle", text(bundle), "bench"]));
            })
        })
        .collect();
    compete("run true", &mut contenders);
}

fn exec(runtimes: &[Runtime], bundle: &Path) {
    let sleeping = sleeping(bundle);
    for runtime in runtimes {
        quiet(&mut runtime.command(&["run", "-d", "--bundle", text(&sleeping), "bench"]));
    }
    let mut contenders: Vec<Contender<'_>> = runtimes
        .iter()
        .map(|runtime| {
            Contender::new(runtime.name, ROUNDS, || {
                quiet(&mut runtime.command(&["exec", "bench", "true"]));
            })
        })
        .collect();
    compete("exec true", &mut contenders);
    drop(contenders);
    for runtime in runtimes {
        quiet(&mut runtime.command(&["delete", "--force", "bench"]));
    }
}

/// Creates, starts and deletes many containers, all at once.
fn many(runtimes: &[Runtime], bundle: &Path) {
    let sleeping = sleeping(bundle);
    let mut taken: Vec<Vec<Duration>> = vec![Vec::new(); runtimes.len()];
    for round in 0..MANY_ROUNDS {
        for place in 0..runtimes.len() {
            let n = (place + round) % runtimes.len();
            let runtime = &runtimes[n];
            let start = Instant::now();
            std::thread::scope(|scope| {
                for number in 0..MANY {
                    let sleeping = &sleeping;
                    scope.spawn(move || {
                        let id = format!("many{number}");
                        quiet(&mut runtime.command(&["create", "--bundle", text(sleeping), &id]));
                        quiet(&mut runtime.command(&["start", &id]));
                        quiet(&mut runtime.command(&["delete", "--force", &id]));
                    });
                }
            });
            taken[n].push(start.elapsed());
        }
    }
    println!("create, start, delete of {MANY} side by side");
    for (runtime, taken) in runtimes.iter().zip(&taken) {
        println!("  {:<38} {:>10}", runtime.name, ms(median(taken)));
    }
    println!();
}

/// Largest resident set of the command itself, as GNU time counts it.
fn memory(runtimes: &[Runtime], bundle: &Path) {
    if collect(
        Command::new("sh").args(["-c", "test -x /usr/bin/time"]),
        &[],
    )
    .code
        != 0
    {
        println!("memory left out: needs /usr/bin/time (Debian package time)");
        return;
    }
    println!("peak memory of `run true`");
    for runtime in runtimes {
        let mut figures: Vec<u64> = (0..10)
            .map(|_| {
                let ran = collect(
                    Command::new("/usr/bin/time")
                        .args(["-f", "%M"])
                        .arg(&runtime.program)
                        .args(&runtime.first)
                        .args(["run", "--bundle", text(bundle), "bench"]),
                    &[],
                );
                ran.stderr.lines().last().unwrap().trim().parse().unwrap()
            })
            .collect();
        figures.sort_unstable();
        println!(
            "  {:<38} {:>7} KiB",
            runtime.name,
            figures[figures.len() / 2]
        );
    }
    println!();
}

/// A bundle that every contender takes: the common defaults, no terminal, `true` for a command.
fn bundle(host: &Host) -> PathBuf {
    let bundle = host.dir().join("bundle");
    let bin = bundle.join("rootfs/bin");
    fs::create_dir_all(&bin).unwrap();
    let busybox = collect(Command::new("sh").args(["-c", "command -v busybox"]), &[]).stdout;
    fs::copy(busybox.trim_end(), bin.join("busybox")).unwrap();
    for name in ["true", "sleep"] {
        fs::hard_link(bin.join("busybox"), bin.join(name)).unwrap();
    }
    let writer = if has_peer("runc") {
        Command::new("runc")
    } else {
        let mut own = Command::new(env!("CARGO_BIN_EXE_wharf"));
        own.arg("oci");
        own
    };
    let mut writer = writer;
    quiet(writer.arg("spec").current_dir(&bundle));
    set_command(&bundle, &["true"]);
    bundle
}

/// The same with a process that stays.
fn sleeping(bundle: &Path) -> PathBuf {
    let other = bundle.with_file_name("sleeping");
    if !other.exists() {
        fs::create_dir(&other).unwrap();
        fs::copy(bundle.join("config.json"), other.join("config.json")).unwrap();
        set_command(&other, &["sleep", "1000"]);
    }
    other
}

fn set_command(bundle: &Path, args: &[&str]) {
    let path = bundle.join("config.json");
    let mut spec: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    spec["process"]["terminal"] = false.into();
    spec["process"]["args"] = serde_json::json!(args);
    // Both bundles share the one root.
    let root = bundle.with_file_name("bundle").join("rootfs");
    spec["root"]["path"] = text(&root).into();
    fs::write(&path, serde_json::to_vec(&spec).unwrap()).unwrap();
}
