//! Never half: pulls, loads and removals that are killed, interrupted, out of room or in each other's way leave a valid
//! store, and the next pull goes on with what is there.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::{Pid, Signal, kill_process};

use crate::registry::Registry;
use crate::registry::image::{Blob, Made};
use crate::registry::proxy::{Fault, Proxy};
use crate::registry::random::Random;
use crate::registry::whole::{assert_image_is, assert_store_is_valid};
use crate::support::{Host, PATIENCE, collect, names_in, privileged, wait_until};

/// What can be interrupted: whoever runs the tests in the background ignores that, and so would the program.
pub fn interruptible(host: &Host, args: &[&str]) -> Command {
    let plain = host.command(args);
    let mut command = Command::new("env");
    command
        .arg("--default-signal=INT")
        .arg(plain.get_program())
        .args(plain.get_args());
    host.dress(&mut command);
    command
}

fn start(host: &Host, args: &[&str]) -> Child {
    let mut command = interruptible(host, args);
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn signal(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(child.id().try_into().unwrap()).unwrap();
    let _ = kill_process(pid, signal);
}

/// Starts a pull, lets so many bytes through, sends a signal, and waits for the end: its exit code.
fn pull_and_stop(host: &Host, proxy: &Proxy, name: &str, bytes: u64, with: Signal) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    proxy.hold_after(Some(bytes));
    let mut child = start(host, &["pull", &proxy.reference(name)]);
    proxy.wait_until_held(|| child.try_wait().unwrap().is_some());
    if bytes > NOTED_EVERY {
        // What is still on its way to the store does not count.
        wait_until("notes of what is there", PATIENCE, || {
            noted(host) > bytes - 3 * NOTED_EVERY
        });
    }
    signal(&child, with);
    let status = child.wait().unwrap();
    proxy.hold_after(None);
    let killed = || 128 + status.signal().unwrap_or_default();
    status.code().unwrap_or_else(killed)
}

/// Bytes of a blob between two notes of what is there.
const NOTED_EVERY: u64 = 4 << 20;

/// Bytes that the notes beside unfinished blobs speak of.
fn noted(host: &Host) -> u64 {
    let dir = host.data().join("ingest");
    let names = names_in(&dir);
    let notes = names.iter().filter(|name| name.contains(".have"));
    let texts = notes.map(|name| std::fs::read_to_string(dir.join(name)).unwrap_or_default());
    let of = |line: &str| {
        let (start, end) = line.split_once(' ')?;
        Some(end.parse::<u64>().ok()? - start.parse::<u64>().ok()?)
    };
    texts
        .map(|text| text.lines().filter_map(of).sum::<u64>())
        .sum()
}

fn sent(proxy: &Proxy) -> u64 {
    proxy.take_seen().iter().map(|seen| seen.sent).sum()
}

#[test]
fn a_pull_that_was_stopped_is_gone_on_with() {
    let Some(host) = privileged() else { return };
    let Some(registry) = Registry::open(&host) else {
        return;
    };
    let made = Made::random(31, 2, 24 << 20);
    made.put(&registry, "large", "1");
    let proxy = Proxy::start(registry.address);
    for (with, code) in [(Signal::KILL, 137), (Signal::INT, 130), (Signal::TERM, 143)] {
        let ended = pull_and_stop(&host, &proxy, "large:1", 36 << 20, with);
        assert_eq!(ended, code, "{with:?}");
        // The proxy tells of a request when it has ended, which may be after the process that asked.
        let mut stopped = 0;
        wait_until("the end of what was stopped", PATIENCE, || {
            let seen = proxy.take_seen();
            stopped += seen.iter().filter(|seen| seen.sent > 1 << 20).count();
            stopped == made.layers.len()
        });
        assert_store_is_valid(&host);
        assert_eq!(host.ok(["images", "-q"]), "");
        host.ok(["pull", "-q", &proxy.reference("large:1")]);
        let again = sent(&proxy);
        assert!(again < made.size() * 3 / 4, "{with:?}: {again} bytes again");
        assert_image_is(&host, &proxy.reference("large:1"), &made);
        assert_store_is_valid(&host);
        host.ok(["system", "check"]);
        host.ok(["rmi", &proxy.reference("large:1")]);
        host.ok(["image", "prune", "-f"]);
    }
}

#[test]
fn a_long_pull_that_was_killed_is_gone_on_with() {
    let Some(host) = privileged() else { return };
    let Some(registry) = Registry::open(&host) else {
        return;
    };
    // Longer than what goes through the page cache.
    let made = Made::random(36, 1, 120 << 20);
    made.put(&registry, "long", "1");
    let proxy = Proxy::start(registry.address);
    let ended = pull_and_stop(&host, &proxy, "long:1", 100 << 20, Signal::KILL);
    assert_eq!(ended, 137);
    assert_store_is_valid(&host);
    host.ok(["pull", "-q", &proxy.reference("long:1")]);
    assert_image_is(&host, &proxy.reference("long:1"), &made);
    assert_store_is_valid(&host);
    host.ok(["system", "check"]);
}

#[test]
fn a_blob_whose_beginning_arrived_damaged_is_begun_again() {
    let Some(host) = privileged() else { return };
    let Some(registry) = Registry::open(&host) else {
        return;
    };
    let made = Made::random(37, 1, 2 << 20);
    made.put(&registry, "damaged", "1");
    let proxy = Proxy::start(registry.address);
    let name = proxy.reference("damaged:1");
    let digest = made.layers[0].digest();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    proxy.plan(move |request| {
        let is_first =
            request.target.ends_with(&digest) && count.fetch_add(1, Ordering::SeqCst) == 0;
        if is_first {
            Fault::Corrupt(3)
        } else {
            Fault::None
        }
    });
    proxy.hold_after(Some(1 << 20));
    let mut child = start(&host, &["pull", &name]);
    wait_until("a second attempt, or the end", PATIENCE, || {
        asked.load(Ordering::SeqCst) > 1 || child.try_wait().unwrap().is_some()
    });
    proxy.hold_after(None);
    assert!(child.wait().unwrap().success());
    assert_image_is(&host, &name, &made);
    assert_store_is_valid(&host);
}

#[test]
fn only_the_part_that_makes_no_sense_is_thrown_away() {
    let Some(host) = privileged() else { return };
    let Some(registry) = Registry::open(&host) else {
        return;
    };
    let made = Made::random(41, 2, 24 << 20);
    made.put(&registry, "large", "1");
    let proxy = Proxy::start(registry.address);
    let ended = pull_and_stop(&host, &proxy, "large:1", 36 << 20, Signal::KILL);
    assert_eq!(ended, 137);
    wait_until("the end of what was stopped", PATIENCE, || {
        proxy.take_seen().iter().any(|seen| seen.sent > 1 << 20)
    });
    let [damaged, sound] = [&made.layers[0], &made.layers[1]];
    let hex = damaged.digest().trim_start_matches("sha256:").to_owned();
    let part = host.data().join("ingest").join(format!("{hex}.part"));
    let file = std::fs::File::options().write(true).open(part).unwrap();
    file.write_all_at(&[0xff; 1024], 0).unwrap();
    let _ = proxy.take_seen();
    host.ok(["pull", "-q", &proxy.reference("large:1")]);
    let seen = proxy.take_seen();
    let again = |digest: &str| -> u64 {
        let of = seen.iter().filter(|seen| seen.target.ends_with(digest));
        of.map(|seen| seen.sent).sum()
    };
    let size = |blob: &Blob| u64::try_from(blob.bytes.len()).unwrap();
    assert!(again(&damaged.digest()) >= size(damaged));
    let (again, size) = (again(&sound.digest()), size(sound));
    assert!(again < size * 3 / 4, "{again} of {size} bytes again");
    assert_image_is(&host, &proxy.reference("large:1"), &made);
    assert_store_is_valid(&host);
}

#[test]
fn what_is_no_file_where_a_download_belongs_is_out_of_the_way() {
    let Some(host) = privileged() else { return };
    let Some(registry) = Registry::open(&host) else {
        return;
    };
    let made = Made::random(43, 4, 1 << 20);
    made.put(&registry, "odd", "1");
    let name = registry.reference("odd:1");
    let decoy = host.dir().join("decoy");
    std::fs::write(&decoy, "precious").unwrap();
    let ingest = host.data().join("ingest");
    std::fs::create_dir_all(&ingest).unwrap();
    let place = |layer: usize, suffix: &str| {
        let digest = made.layers[layer].digest();
        ingest.join(format!("{}.{suffix}", digest.trim_start_matches("sha256:")))
    };
    let mkfifo = |path: &Path| {
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    };
    std::fs::create_dir_all(place(0, "part").join("deep")).unwrap();
    std::fs::create_dir_all(place(0, "have")).unwrap();
    mkfifo(&place(1, "part"));
    std::os::unix::fs::symlink(&decoy, place(2, "part")).unwrap();
    std::fs::write(place(3, "part"), "x").unwrap();
    mkfifo(&place(3, "have"));
    host.ok(["pull", "-q", &name]);
    assert_image_is(&host, &name, &made);
    assert_store_is_valid(&host);
    assert_eq!(std::fs::read_to_string(&decoy).unwrap(), "precious");
    assert_eq!(names_in(&ingest), [""; 0]);
}

#[test]
fn a_registry_without_ranges_whose_connections_break_is_asked_again() {
    let Some(host) = privileged() else { return };
    let Some(registry) = Registry::open(&host) else {
        return;
    };
    let made = Made::random(38, 1, 1 << 20);
    made.put(&registry, "ranges", "1");
    let proxy = Proxy::start(registry.address);
    let digest = made.layers[0].digest();
    let mut left = vec![0, 700_000, 600_000, 500_000];
    proxy.plan(move |request| {
        if !request.target.ends_with(&digest) {
            return Fault::None;
        }
        match left.pop() {
            Some(0) | None => Fault::ForgetRange,
            Some(length) => Fault::ForgetRangeAndCut(length),
        }
    });
    let name = proxy.reference("ranges:1");
    let mut child = start(&host, &["pull", "-q", &name]);
    let mut status = None;
    wait_until("the pull's end", PATIENCE, || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    assert!(status.unwrap().success());
    assert_image_is(&host, &name, &made);
}

#[test]
fn a_pull_fetches_again_what_the_store_has_damaged() {
    let Some(host) = privileged() else { return };
    let Some(registry) = Registry::open(&host) else {
        return;
    };
    let made = Made::random(41, 2, 300_000);
    made.put(&registry, "rot", "1");
    let name = registry.reference("rot:1");
    host.ok(["pull", "-q", &name]);
    let digests = [made.id(), made.digest(), made.layers[0].digest()];
    for digest in &digests {
        let path = host
            .data()
            .join("blobs/sha256")
            .join(digest.trim_start_matches("sha256:"));
        std::fs::remove_file(&path).unwrap();
        host.ok(["pull", "-q", &name]);
        assert_image_is(&host, &name, &made);
        assert_store_is_valid(&host);

        std::fs::write(&path, "rotten").unwrap();
        if *digest == digests[2] {
            // A blob is read when its layer is not there.
            std::fs::remove_dir_all(host.data().join("layers")).unwrap();
        }
        host.ok(["pull", "-q", &name]);
        assert_image_is(&host, &name, &made);
        assert_store_is_valid(&host);
    }
    assert!(host.ok(["system", "check"]).contains("nothing is wrong"));
}

#[test]
fn wherever_a_pull_or_a_load_or_a_removal_is_killed_the_store_is_valid() {
    let Some(host) = privileged() else { return };
    let Some(registry) = Registry::open(&host) else {
        return;
    };
    let made = Made::random(32, 4, 60_000);
    made.put(&registry, "small", "1");
    let proxy = Proxy::start(registry.address);
    let name = proxy.reference("small:1");
    let mut random = Random(32);
    let check = |killed: &str| {
        assert_store_is_valid(&host);
        let again = host.wharf(["pull", "-q", &name]);
        assert_eq!(again.code, 0, "after {killed}: {again:#?}");
        assert_image_is(&host, &name, &made);
        let layers = names_in(&host.data().join("layers"));
        let whole = layers.iter().filter(|name| !name.starts_with('.'));
        assert_eq!(whole.count(), 4, "after {killed}: {layers:?}");
    };
    for _ in 0..12 {
        let bytes = random.below(made.size());
        pull_and_stop(&host, &proxy, "small:1", bytes, Signal::KILL);
        check("a pull by its bytes");
        host.ok(["rmi", "-f", &name]);
    }
    // Between the files of the store: so many lines, and then so many turns of this loop.
    let archive = host.dir().join("archive.tar").display().to_string();
    host.ok(["pull", "-q", &name]);
    host.ok(["save", "-o", &archive, &name]);
    for round in 0..24 {
        let is_load = round % 3 == 1;
        let args = match round % 3 {
            0 => vec!["pull", &name],
            1 => vec!["load", "-i", &archive],
            _ => vec!["rmi", "-f", &name],
        };
        if round % 3 != 2 {
            host.ok(["rmi", "-f", &name]);
        }
        let mut child = start(&host, &args);
        let lines = random.below(14);
        let mut reader = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        for _ in 0..lines {
            if reader.read_line(&mut line).unwrap() == 0 {
                break;
            }
        }
        for _ in 0..random.below(if is_load { 400 } else { 4000 }) {
            std::thread::yield_now();
        }
        signal(&child, Signal::KILL);
        child.wait().unwrap();
        check(&args.join(" "));
    }
}

#[test]
fn a_full_disk_ends_a_pull_and_room_lets_it_go_on() {
    let Some(host) = privileged() else { return };
    let Some(registry) = Registry::open(&host) else {
        return;
    };
    let made = Made::random(33, 3, 4 << 20);
    made.put(&registry, "room", "1");
    let name = registry.reference("room:1");
    std::fs::create_dir_all(host.data()).unwrap();
    // The data root is a small file system that this shell alone sees.
    let script = format!(
        "mount -t tmpfs -o size=11m tmpfs {data}
         if {wharf} pull -q {name}; then echo 'enough room?'; exit 1; fi
         test -z \"$({wharf} images -q)\"
         for blob in {data}/blobs/sha256/*; do
             test ! -e $blob || test $(sha256sum <$blob | cut -c1-64) = $(basename $blob)
         done
         mount -o remount,size=100m {data}
         {wharf} pull -q {name}
         {wharf} system check
         cp -a {data} {copy}",
        data = host.data().display(),
        copy = host.dir().join("copy").display(),
        wharf = crate::support::WHARF,
    );
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-euc", &script]);
    host.dress(&mut command);
    let output = collect(&mut command, &[]);
    assert_eq!(output.code, 0, "{output:#?}");
    assert!(output.stderr.contains("no space left"), "{output:#?}");
    std::fs::remove_dir_all(host.data()).unwrap();
    std::fs::rename(host.dir().join("copy"), host.data()).unwrap();
    assert_store_is_valid(&host);
    assert_image_is(&host, &name, &made);
}

#[test]
fn processes_that_pull_the_same_image_share_the_work() {
    let Some(host) = privileged() else { return };
    let Some(registry) = Registry::open(&host) else {
        return;
    };
    let proxy = Proxy::start(registry.address);
    for (seed, processes) in [(34, 2), (35, 4)] {
        let made = Made::random(seed, 3, 300_000);
        let repository = format!("shared-{processes}");
        made.put(&registry, &repository, "1");
        let name = proxy.reference(&format!("{repository}:1"));
        let children: Vec<Child> = (0..processes)
            .map(|_| start(&host, &["pull", "-q", &name]))
            .collect();
        for mut child in children {
            assert!(child.wait().unwrap().success());
        }
        let mut asked: BTreeMap<String, usize> = BTreeMap::new();
        for seen in proxy.take_seen() {
            let is_layer = made
                .layers
                .iter()
                .any(|layer| seen.target.ends_with(&layer.digest()));
            if seen.method == "GET" && is_layer {
                *asked.entry(seen.target).or_default() += 1;
            }
        }
        assert_eq!(asked.len(), 3);
        assert!(asked.values().all(|times| *times == 1), "{asked:?}");
        assert_store_is_valid(&host);
        assert_image_is(&host, &name, &made);
    }
}

#[test]
fn removals_and_prunes_never_race_with_pulls_and_runs() {
    let Some(host) = privileged() else { return };
    let Some(registry) = Registry::open(&host) else {
        return;
    };
    let Some(busybox) = host.busybox_image() else {
        return;
    };
    let made = Made::random(36, 3, 50_000);
    made.put(&registry, "raced", "1");
    let name = registry.reference("raced:1");
    std::thread::scope(|scope| {
        let pulling = scope.spawn(|| {
            for _ in 0..15 {
                host.ok(["pull", "-q", &name]);
            }
        });
        let running = scope.spawn(|| {
            for _ in 0..8 {
                let run = ["run", "--rm", "--network", "none", busybox, "true"];
                host.ok(run);
            }
        });
        while !(pulling.is_finished() && running.is_finished()) {
            host.wharf(["rmi", "-f", &name]);
            host.ok(["image", "prune", "-f"]);
        }
    });
    assert_store_is_valid(&host);
    host.ok(["pull", "-q", &name]);
    assert_image_is(&host, &name, &made);
    host.ok(["system", "check"]);
}
