//! Images looked into: the table from a file and from the store, the explorer's first screens, its keys, its memory; what many
//! whiteouts cost; two images compared, findings, and the merged layer.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    unreachable_pub,
    reason = "a benchmark prints, and may end where it fails"
)]

mod shared;
#[expect(
    dead_code,
    reason = "shared by several test binaries, each of which uses a part of it"
)]
#[path = "../tests/engine/support.rs"]
mod support;
#[path = "../tests/e2e/terminal.rs"]
mod terminal;

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime};

use shared::{Memory, median, ms};
use support::{Archive, Host, image_archive};
use terminal::Terminal;

const SIZE: (u16, u16) = (45, 140);
const ROUNDS: usize = 7;

fn main() {
    let Some(host) = support::privileged() else {
        return;
    };
    shared::print_host();
    let (few, many) = (stack(20_000, 3, 0), stack(100_000, 30, 0));
    let archives = [
        ("20,000 files, 3 layers", few),
        ("the same, 1,000 whiteouts", stack(20_000, 3, 1_000)),
        ("60,000 files, 3 layers", stack(60_000, 3, 0)),
        ("the same, 50,000 whiteouts", stack(60_000, 3, 50_000)),
        ("100,000 files, 30 layers", many),
        ("1 GB in nine layers", large()),
        ("10 GB, 200,000 files", sparse(200_000, 30, 50_000)),
    ];
    println!(
        "  {:<28} {:>12} {:>12} {:>12} {:>12} {:>10}",
        "", "archive", "again", "store", "sha256sum", "peak RSS"
    );
    for (name, layers) in archives {
        let path = host.dir().join("image.tar");
        std::fs::write(&path, image_archive("bench:1", &layers, &["sh"])).unwrap();
        drop(layers);
        let file = path.to_str().unwrap();
        // A file that was just written is read.
        let touched = || {
            let file = std::fs::File::options().append(true).open(&path).unwrap();
            file.set_modified(SystemTime::now()).unwrap();
        };
        let (archive, peak) = table(&host, file, touched);
        settle(RESTS);
        host.ok(["layers", "--plain", file]);
        let (again, later) = table(&host, file, || {});
        host.ok(["load", "-q", "-i", file]);
        let (store, _) = table(&host, "bench:1", || {});
        println!(
            "  {name:<28} {:>12} {:>12} {:>12} {:>12} {:>6} KiB",
            ms(archive),
            ms(again),
            ms(store),
            ms(hashing(&path)),
            peak.max(later)
        );
        if name.starts_with("100,000") {
            explorer(&host, "from the archive", file);
        }
        if name.starts_with("10") {
            explorer(&host, "from the store", "bench:1");
        }
        if name.starts_with('1') {
            verbs(&host, file);
        }
        host.ok(["rmi", "-f", "bench:1"]);
    }
}

/// Files in so many layers, the same number in each; from the second on every twentieth is one of a lower layer again, or removes
/// one. The whiteouts are a layer of their own.
fn stack(files: usize, layers: usize, whiteouts: usize) -> Vec<Vec<u8>> {
    let each = files / layers;
    let place = |layer: usize, n: usize| {
        format!(
            "usr/share/app{}/mod{}/part{layer}/file{n:05}.dat",
            layer % 7,
            n % 97
        )
    };
    let mut all: Vec<Vec<u8>> = (0..layers)
        .map(|layer| {
            let mut archive = Archive::new();
            for n in 0..each {
                let content = format!("{layer} {n} ").repeat(12);
                let name = match (layer, n % 20) {
                    (1.., 0) => place(layer - 1, n + 1),
                    _ => place(layer, n),
                };
                archive.file(&name, 0o644, content.as_bytes());
            }
            archive.finish()
        })
        .collect();
    if whiteouts > 0 {
        let mut archive = Archive::new();
        for n in 0..whiteouts {
            let name = place(n % layers, 1 + n / layers);
            let (parent, base) = name.rsplit_once('/').unwrap();
            archive.file(&format!("{parent}/.wh.{base}"), 0o644, b"");
        }
        all.push(archive.finish());
    }
    all
}

/// So many files that are nothing but holes of `size` bytes each: GNU tar's first form of sparse files.
fn sparse(files: usize, layers: usize, size: u64) -> Vec<Vec<u8>> {
    let each = files / layers;
    let file = |layer: usize, n: usize| {
        let mut block = [0_u8; 512];
        let name = format!("usr/lib/app{}/mod{}/part{layer}-{n}.so", layer % 7, n % 97);
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, name.as_bytes());
        put(
            100,
            b"0000644\x000000000\x000000000\x0000000000000\x0014524636000\0",
        );
        put(148, b"        S");
        put(257, b"ustar  \0");
        put(483, format!("{:011o}", size + n as u64).as_bytes());
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        block
    };
    let layer = |layer| {
        let mut tar: Vec<u8> = (0..each).flat_map(|n| file(layer, n)).collect();
        tar.extend([0; 1024]);
        tar
    };
    (0..layers).map(layer).collect()
}

/// What else is asked of an image: findings from the archive and from the store, its merged layer, and the two compared.
fn verbs(host: &Host, file: &str) {
    let time = |args: &[&str]| {
        let start = Instant::now();
        host.ok(args);
        start.elapsed()
    };
    let often = |args: &[&str]| median(&(0..ROUNDS).map(|_| time(args)).collect::<Vec<_>>());
    let findings = often(&["layers", "findings", file]);
    let stored = often(&["layers", "findings", "bench:1"]);
    let squash = time(&["layers", "squash", "bench:1", "-t", "flat:1"]);
    let diff = often(&["layers", "diff", "bench:1", "flat:1"]);
    println!(
        "    findings {} from the archive, {} from the store; squash {}; diff of the two {}",
        ms(findings),
        ms(stored),
        ms(squash),
        ms(diff)
    );
    host.ok(["rmi", "-f", "flat:1"]);
}

/// 1 GB in nine layers of files that differ.
fn large() -> Vec<Vec<u8>> {
    let mut seed = 1_u64;
    (0..9)
        .map(|layer| {
            let mut archive = Archive::new();
            for n in 0..28 {
                let words = (0..(4 << 20) / 8).flat_map(|_| {
                    seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    seed.to_le_bytes()
                });
                let content: Vec<u8> = words.collect();
                archive.file(&format!("data/{layer}/{n}"), 0o644, &content);
            }
            archive.finish()
        })
        .collect()
}

/// Lists of a file are kept once that rests for longer than this.
const RESTS: Duration = Duration::from_secs(4);

/// The median of the whole command, and the most memory that it was seen with, in KiB; `fresh` comes before each round.
fn table(host: &Host, name: &str, fresh: impl Fn()) -> (Duration, u64) {
    let run = || {
        let mut command = host.command(["layers", "--plain", name]);
        command.stdout(Stdio::null()).spawn().unwrap()
    };
    let mut taken = Vec::new();
    for _ in 0..ROUNDS {
        fresh();
        let start = Instant::now();
        assert!(run().wait().unwrap().success());
        taken.push(start.elapsed());
    }
    fresh();
    let mut child = run();
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        peak = peak.max(most(child.id()));
        settle(Duration::from_millis(1));
    }
    (median(&taken), peak)
}

/// The most memory that a process has had so far (proc(5), `VmHWM`); 0 if it is gone.
fn most(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    text.lines()
        .find_map(|line| {
            line.strip_prefix("VmHWM:")?
                .split_whitespace()
                .next()?
                .parse()
                .ok()
        })
        .unwrap_or(0)
}

/// What hashing the file alone takes, on one processor.
fn hashing(path: &Path) -> Duration {
    let start = Instant::now();
    let status = std::process::Command::new("sha256sum")
        .arg(path)
        .stdout(Stdio::null())
        .status();
    assert!(status.unwrap().success());
    start.elapsed()
}

/// First screens, keys and memory of the explorer on 30 layers.
fn explorer(host: &Host, from: &str, name: &str) {
    let (mut layers, mut whole) = (Vec::new(), Vec::new());
    let mut first = 0;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let mut terminal = open(host, name);
        terminal.wait_text("layer 25");
        layers.push(start.elapsed());
        terminal.wait_text("usr");
        whole.push(start.elapsed());
        first = first.max(rss(&terminal));
        terminal.send("q");
        terminal.wait_exit();
    }
    println!(
        "    the explorer {from}: layers {}, all of it {}, RSS {first} KiB",
        ms(median(&layers)),
        ms(median(&whole))
    );
    let mut terminal = open(host, name);
    terminal.wait_text("usr");
    settle(Duration::from_millis(500));
    let switches = keys(&mut terminal, &["k", "j"], 20);
    terminal.send("\t");
    settle(Duration::from_millis(300));
    let moves = keys(&mut terminal, &["j", "j", "k"], 45);
    println!(
        "      layer switch {}, cursor move {}, RSS {} KiB afterwards",
        both(&switches),
        both(&moves),
        rss(&terminal)
    );
    terminal.send("q");
    terminal.wait_exit();
}

fn open(host: &Host, name: &str) -> Terminal {
    Terminal::open(host, &["layers", "--tui", name], SIZE, [("CI", "")])
}

fn rss(terminal: &Terminal) -> u64 {
    Memory::of(terminal.pid().try_into().unwrap()).rss
}

fn both(taken: &[Duration]) -> String {
    let most = taken.iter().max().copied().unwrap_or_default();
    format!("{} (at most {})", ms(median(taken)), ms(most))
}

/// From each key to the first bytes that it brings to the terminal.
fn keys(terminal: &mut Terminal, keys: &[&str], count: usize) -> Vec<Duration> {
    let mut taken = Vec::new();
    for key in keys.iter().cycle().take(count) {
        settle(Duration::from_millis(60));
        let before = terminal.bytes();
        let start = Instant::now();
        terminal.send(key);
        if terminal.wait_more_than(before, Duration::from_secs(2)) {
            taken.push(start.elapsed());
        }
    }
    taken
}

#[expect(
    clippy::disallowed_methods,
    reason = "what is measured begins when the program is at rest"
)]
fn settle(time: Duration) {
    std::thread::sleep(time);
}
