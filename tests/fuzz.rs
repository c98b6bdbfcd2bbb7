//! The fuzz targets' claims on every run: each corpus in the repository, and what some thousand changes make of it. Longer
//! runs are `just fuzz <target>`'s.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    unreachable_pub,
    reason = "a test that cannot go on should say where; nothing of a test is reachable"
)]

#[path = "../fuzz/bodies.rs"]
mod bodies;
#[expect(dead_code, reason = "shared with tests/engine, which uses all of it")]
#[path = "engine/registry/random.rs"]
mod random;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use random::Random;

/// Changed inputs per target.
const CHANGES: u64 = 3000;

/// What parsers look for.
const WORDS: &[&[u8]] = &[
    b"\"",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b"/",
    b"@",
    b"..",
    b"\0",
    b"sha256:",
    b"null",
    b"-1",
    b"1e9",
    b"\xff",
    b"18446744073709551616",
    b"\"mediaType\":",
    b"\"manifests\":[]",
    b"\"layers\":[]",
    b" ",
    b"\n",
    b"%",
    b"\\u0000",
];

fn replay(target: &str, changes: u64, body: fn(&[u8])) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let mut corpus: Vec<Vec<u8>> = fs::read_dir(&dir)
        .unwrap_or_else(|error| panic!("{}: {error}", dir.display()))
        .map(|entry| fs::read(entry.unwrap().path()).unwrap())
        .collect();
    corpus.sort();
    assert!(corpus.len() > 2, "{target}: the corpus is lost");
    let run = |input: &[u8]| {
        let held = catch_unwind(AssertUnwindSafe(|| body(input)));
        assert!(
            held.is_ok(),
            "{target}: a claim does not hold for {:?}",
            String::from_utf8_lossy(input)
        );
    };
    for input in &corpus {
        run(input);
    }
    let mut random = Random(7);
    for _ in 0..changes {
        let mut input = corpus[at(&mut random, corpus.len())].clone();
        for _ in 0..=random.below(4) {
            change(&mut random, &mut input, &corpus);
        }
        run(&input);
    }
}

fn at(random: &mut Random, length: usize) -> usize {
    usize::try_from(random.below(length as u64)).unwrap()
}

fn change(random: &mut Random, input: &mut Vec<u8>, corpus: &[Vec<u8>]) {
    let position = at(random, input.len() + 1);
    let end = position + at(random, (input.len() - position).min(64) + 1);
    match random.below(6) {
        0 if position < input.len() => input[position] ^= 1 << random.below(8),
        1 if position < input.len() => input[position] = random.next().to_le_bytes()[0],
        2 => drop(input.drain(position..end)),
        3 => {
            let piece = input[position..end].to_vec();
            let to = at(random, input.len() + 1);
            input.splice(to..to, piece);
        }
        4 => {
            let other = &corpus[at(random, corpus.len())];
            let from = at(random, other.len() + 1);
            input.truncate(position);
            input.extend(&other[from..]);
        }
        _ => {
            let word = random.of(WORDS);
            input.splice(position..position, word.iter().copied());
        }
    }
}

#[test]
fn references() {
    replay("reference", CHANGES, bodies::reference);
}

#[test]
fn rules_of_images() {
    replay("rules", CHANGES, bodies::rules);
}

#[test]
fn histories() {
    replay("history", CHANGES, bodies::history);
}

#[test]
fn words_of_a_line() {
    replay("words", CHANGES, bodies::words);
}

#[test]
fn secrets_of_files() {
    replay("secrets", CHANGES, bodies::secrets);
}

#[test]
fn platforms() {
    replay("platform", CHANGES, bodies::platform);
}

#[test]
fn documents() {
    replay("documents", CHANGES, bodies::documents);
}

#[test]
fn configurations() {
    replay("config", CHANGES, bodies::config);
}

#[test]
fn specifications() {
    replay("specification", CHANGES, bodies::specification);
}

#[test]
fn tarballs() {
    replay("tarball", CHANGES, bodies::tarball);
}

#[test]
fn tables_of_contents() {
    replay("table", CHANGES, bodies::table);
}

#[test]
fn codecs() {
    replay("codec", CHANGES, bodies::codec);
}

#[test]
fn credentials() {
    replay("credentials", CHANGES / 4, bodies::credentials);
}

#[test]
fn layers() {
    if rustix::process::geteuid().is_root() {
        replay("layer", CHANGES / 10, bodies::layer);
    }
}

#[test]
fn challenges() {
    replay("challenge", CHANGES, bodies::challenge);
}

#[test]
fn registries_toml() {
    replay("registries_toml", CHANGES / 4, bodies::registries_toml);
}

#[test]
fn filters() {
    replay("seccomp", CHANGES, bodies::seccomp);
}

#[test]
fn mount_options() {
    replay("mount_options", CHANGES, bodies::mount_options);
}

#[test]
fn networking() {
    replay("networking", CHANGES, bodies::networking);
}

#[test]
fn dns() {
    replay("dns", CHANGES, bodies::dns);
}

#[test]
fn netlink() {
    replay("netlink", CHANGES, bodies::netlink);
}
