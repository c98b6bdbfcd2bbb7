//! The network does its worst, a few hundred times by seed: a pull or a push either does all of it right, or ends with an
//! error, and then nothing is damaged and the next one, left alone, succeeds.
//!
//! `WHARF_TEST_FAULTS=<rounds>` makes a longer run, `WHARF_TEST_SEED=<first>` another one.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::registry::Registry;
use crate::registry::http::Request;
use crate::registry::image::{Form, Made, Packing, architecture, index, layer};
use crate::registry::proxy::{Fault, Proxy};
use crate::registry::random::Random;
use crate::registry::whole::{assert_image_is, assert_registry_has, assert_store_is_valid};
use crate::support::{Host, Output, privileged};

/// Rounds in an ordinary run.
const ROUNDS: u64 = 240;

/// Rounds at a time: they mostly wait.
const SIDE_BY_SIDE: usize = 24;

fn number(name: &str, otherwise: u64) -> u64 {
    let text = std::env::var(name).unwrap_or_default();
    text.parse().unwrap_or(otherwise)
}

/// The images that are pulled: by an index, by a manifest, in both forms and all packings.
fn shelf(registry: &Registry) -> Vec<(&'static str, Made)> {
    let mut random = Random(99);
    let mut tar = |size| layer(&mut random, size);
    let docker = Made::new(
        Form::Docker,
        &[
            (tar(30_000), Packing::Gzip),
            (tar(200), Packing::Plain),
            (tar(60_000), Packing::Gzip),
        ],
    );
    let oci = Made::new(
        Form::Oci,
        &[
            (tar(50_000), Packing::Zstd),
            (tar(40_000), Packing::GzipMembers(9000)),
        ],
    );
    let other = Made::random(5, 2, 20_000);
    docker.put(registry, "shelf", "docker");
    oci.put(registry, "shelf", "oci");
    other.put(registry, "shelf", "other");
    let platform = json!({"os": "linux", "architecture": architecture()});
    let foreign = json!({"os": "linux", "architecture": "s390x"});
    let list = index(
        Form::Oci,
        &[other.descriptor(foreign), oci.descriptor(platform)],
    );
    registry.put_manifest("shelf", "list", Form::Oci.index(), &list);
    vec![
        ("shelf:docker", docker),
        ("shelf:oci", oci.clone()),
        ("shelf:list", oci),
    ]
}

/// What goes wrong in one round, and when.
fn plan(seed: u64) -> impl FnMut(&Request) -> Fault + Send + 'static {
    let mut random = Random(seed);
    // Most faults pass; some stay.
    let stays = random.below(6) == 0;
    let mut left = if stays { u64::MAX } else { 1 + random.below(3) };
    let blobs_only = random.below(2) == 0;
    let kind = random.below(14);
    move |request| {
        let is_blob = request.target.contains("/blobs/");
        if left == 0 || (blobs_only && !is_blob) || random.below(3) == 0 {
            return Fault::None;
        }
        left -= 1;
        let mut below = |end| usize::try_from(random.below(end)).unwrap();
        let position = match below(3) {
            0 => below(500),
            1 => below(5_000),
            _ => below(60_000),
        };
        // An answer that another name gave is a right answer to a question by tag.
        let by_tag = !is_blob && !request.target.contains("sha256:");
        match if stays { kind } else { below(14) as u64 } {
            0 | 1 => Fault::Cut(position),
            2 if matches!(request.method.as_str(), "PUT" | "PATCH" | "POST") => {
                Fault::CutRequest(position)
            }
            2 | 3 => Fault::Corrupt(position),
            4 => Fault::Truncate(1 + below(3000)),
            5 => Fault::Repeat(1 + below(3000)),
            6 => Fault::Shift(1 + below(3000)),
            7 => Fault::Status([500, 502, 503, 504][below(4)], None),
            8 => Fault::Status([429, 503][below(2)], Some(1)),
            9 => Fault::Swallow,
            10 => Fault::ForgetRange,
            11 if request.method == "GET" => Fault::Redirect,
            12 if !by_tag => Fault::Stale(position),
            13 => Fault::Garbage,
            _ => Fault::Delay(Duration::from_millis(below(300) as u64)),
        }
    }
}

/// What happened so far.
#[derive(Default)]
struct Counts {
    pulled: AtomicU64,
    pull_failed: AtomicU64,
    pushed: AtomicU64,
    push_failed: AtomicU64,
    faults: Mutex<BTreeMap<String, u64>>,
}

impl Counts {
    fn faults_of(&self, proxy: &Proxy) -> u64 {
        let mut number = 0;
        let mut faults = self.faults.lock().unwrap();
        for seen in proxy.take_seen() {
            if seen.fault != Fault::None {
                let text = format!("{:?}", seen.fault);
                let kind = text.split('(').next().unwrap_or_default().to_owned();
                *faults.entry(kind).or_default() += 1;
                number += 1;
            }
        }
        number
    }
}

/// An error is one line that says something, and the program's own.
fn assert_is_an_error(output: &Output, seed: u64) {
    assert_eq!(output.code, 1, "seed {seed}: {output:#?}");
    let line = output.stderr.lines().last().unwrap_or_default();
    assert!(line.len() > 20, "seed {seed}: {output:#?}");
    assert!(
        !output.stderr.contains("panicked"),
        "seed {seed}: {output:#?}"
    );
}

#[test]
fn whatever_the_network_does_images_are_whole_or_not_there() {
    let Some(host) = privileged() else { return };
    let Some(registry) = Registry::open(&host) else {
        return;
    };
    let shelf = shelf(&registry);
    let counts = Counts::default();
    let rounds = number("WHARF_TEST_FAULTS", ROUNDS);
    let first = number("WHARF_TEST_SEED", 1);
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                let Some(host) = privileged() else { return };
                let proxy = Proxy::start(registry.address);
                loop {
                    let round = next.fetch_add(1, Ordering::Relaxed);
                    if round >= rounds {
                        return;
                    }
                    let seed = first + round;
                    let (name, made) = &shelf[usize::try_from(seed % 3).unwrap()];
                    pull(&host, &proxy, name, made, seed, &counts);
                    if seed.is_multiple_of(2) {
                        push(&host, &proxy, &registry, name, made, seed, &counts);
                    }
                    host.ok(["rmi", "-f", &proxy.reference(name)]);
                }
            });
        }
    });
    let faults = counts.faults.into_inner().unwrap();
    let all: u64 = faults.values().sum();
    let _ = writeln!(
        std::io::stderr(),
        "{all} faults in {rounds} rounds: {faults:?}\n\
         pulls: {} right in spite of them, {} ended with an error; pushes: {} and {}",
        counts.pulled.into_inner(),
        counts.pull_failed.into_inner(),
        counts.pushed.into_inner(),
        counts.push_failed.into_inner(),
    );
    assert!(all >= rounds / 2, "hardly anything went wrong");
}

fn pull(host: &Host, proxy: &Proxy, name: &str, made: &Made, seed: u64, counts: &Counts) {
    let reference = proxy.reference(name);
    proxy.plan(plan(seed));
    let output = host.wharf(["pull", &reference]);
    let faults = counts.faults_of(proxy);
    proxy.plan(|_| Fault::None);
    assert_store_is_valid(host);
    if output.code == 0 {
        counts.pulled.fetch_add(1, Ordering::Relaxed);
    } else {
        assert_is_an_error(&output, seed);
        assert!(faults > 0, "seed {seed}: without a reason: {output:#?}");
        counts.pull_failed.fetch_add(1, Ordering::Relaxed);
        let again = host.wharf(["pull", &reference]);
        assert_eq!(again.code, 0, "seed {seed}, left alone: {again:#?}");
        let _ = proxy.take_seen();
        assert_store_is_valid(host);
    }
    assert_image_is(host, &reference, made);
}

fn push(
    host: &Host,
    proxy: &Proxy,
    registry: &Registry,
    name: &str,
    made: &Made,
    seed: u64,
    counts: &Counts,
) {
    let repository = format!("pushed/{seed}");
    let target = proxy.reference(&format!("{repository}:1"));
    host.ok(["tag", &proxy.reference(name), &target]);
    proxy.plan(plan(!seed));
    let output = host.wharf(["push", &target]);
    let faults = counts.faults_of(proxy);
    proxy.plan(|_| Fault::None);
    if output.code == 0 {
        counts.pushed.fetch_add(1, Ordering::Relaxed);
    } else {
        assert_is_an_error(&output, seed);
        assert!(faults > 0, "seed {seed}: without a reason: {output:#?}");
        counts.push_failed.fetch_add(1, Ordering::Relaxed);
        let tagged = registry.manifest(&repository, "1");
        if tagged.status == 200 {
            // The answer was lost, not the manifest.
            assert_registry_has(registry, &repository, "1", &made.digest());
        }
        let again = host.wharf(["push", &target]);
        assert_eq!(again.code, 0, "seed {seed}, left alone: {again:#?}");
        let _ = proxy.take_seen();
    }
    assert_registry_has(registry, &repository, "1", &made.digest());
    assert_store_is_valid(host);
    host.ok(["rmi", &target]);
}
