//! Pull, push, save and load of one image of about 1 GB unpacked, in nine layers of which one dominates, over a registry
//! on loopback, next to the same work of docker, podman and skopeo where they are installed.
//!
//! The image is generated: a third of its bytes are noise, the rest is text of a small vocabulary, in files of all
//! sizes. It is made once and kept under the target directory.

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
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;

use peers::{Docker, podman, quiet};
use shared::{median, ms};
use support::{Host, collect, has_peer, sha256};

/// Bytes of each layer, unpacked, in MiB: together 1,000.
const LAYERS: [usize; 9] = [80, 30, 600, 60, 20, 100, 40, 50, 20];
/// Rounds of each contender.
const ROUNDS: usize = 5;

fn main() {
    if !peers::enter_namespace() {
        return;
    }
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with('-'))
        .collect();
    let wants = |name: &str| wanted.is_empty() || wanted.iter().any(|w| w == name);
    if !has_peer("docker-registry") || !has_peer("skopeo") {
        println!("skipped: needs docker-registry and skopeo");
        return;
    }
    let host = support::privileged().unwrap();
    let layout = image();
    let registry = Registry::start(host.dir());
    let name = format!("{}/bench/big:1", registry.address);
    quiet(
        Command::new("skopeo")
            .args(["copy", "--dest-tls-verify=false"])
            .arg(format!("oci:{}:1", layout.display()))
            .arg(format!("docker://{name}")),
    );
    let docker = has_peer("dockerd").then(|| Docker::start(&host)).flatten();
    if wants("pull") {
        pull(&host, docker.as_ref(), &registry, &name);
    }
    if wants("save") {
        save(&host, docker.as_ref(), &name);
    }
    if wants("load") {
        load(&host, docker.as_ref(), &name);
    }
    // Last: it empties the registry.
    if wants("push") {
        push(&host, docker.as_ref(), &registry, &layout, &name);
    }
    drop(docker);
    let _ = collect(podman(&host).args(["system", "reset", "--force"]), &[]);
    for mount in support::mounts_under(host.dir()).iter().rev() {
        if let Some(target) = mount.split(' ').nth(1) {
            let _ = collect(Command::new("umount").arg(target), &[]);
        }
    }
}

/// One thing to time: what is done before each round, and what is timed.
struct Work<'a> {
    name: &'static str,
    before: Box<dyn Fn() + 'a>,
    run: Box<dyn Fn() -> Command + 'a>,
    /// Whose memory counts, if not the command's.
    server: Option<i32>,
}

fn work<'a>(
    name: &'static str,
    before: impl Fn() + 'a,
    run: impl Fn() -> Command + 'a,
) -> Work<'a> {
    Work {
        name,
        before: Box::new(before),
        run: Box::new(run),
        server: None,
    }
}

/// Lets all take turns; the first is what the others are compared with.
fn race(title: &str, works: &[Work<'_>]) {
    let mut taken: Vec<Vec<Duration>> = vec![Vec::new(); works.len()];
    let mut peaks = vec![0_u64; works.len()];
    for round in 0..ROUNDS {
        for place in 0..works.len() {
            let n = (place + round) % works.len();
            let work = &works[n];
            (work.before)();
            quiet(&mut Command::new("sync"));
            rest();
            if let Some(server) = work.server {
                // Forgets the peak so far (proc(5), clear_refs).
                let _ = fs::write(format!("/proc/{server}/clear_refs"), "5");
            }
            let mut command = (work.run)();
            command.stdin(Stdio::null()).stdout(Stdio::null());
            let disk = sectors();
            let start = Instant::now();
            let mut child = command.spawn().unwrap();
            let pid = work
                .server
                .unwrap_or_else(|| child.id().try_into().unwrap());
            let status = loop {
                peaks[n] = peaks[n].max(peak(pid));
                if let Some(status) = child.try_wait().unwrap() {
                    break status;
                }
                support::pause();
            };
            taken[n].push(start.elapsed());
            assert!(status.success(), "{command:?}: {status}");
            let now = sectors();
            println!(
                "round {round}: {:<24} {:>10}, {} MiB read and {} MiB written",
                work.name,
                ms(start.elapsed()),
                (now.0 - disk.0) / 2048,
                (now.1 - disk.1) / 2048,
            );
        }
    }
    println!("{title}");
    println!(
        "  {:<34} {:>10} {:>10} {:>8} {:>10}",
        "", "min", "median", "ratio", "peak MiB"
    );
    let base = median(&taken[0]).as_secs_f64();
    for (n, work) in works.iter().enumerate() {
        println!(
            "  {:<34} {:>10} {:>10} {:>8.2} {:>10}",
            work.name,
            ms(taken[n].iter().min().copied().unwrap_or_default()),
            ms(median(&taken[n])),
            median(&taken[n]).as_secs_f64() / base,
            peaks[n] / 1024,
        );
    }
    println!();
}

/// Waits until the disks have had nothing to do for two seconds: what was removed before a turn is discarded after its
/// sync(1), and would be paid by whoever comes next.
fn rest() {
    let transfers = || fs::read_to_string("/proc/diskstats").unwrap_or_default();
    let (mut seen, mut since) = (transfers(), Instant::now());
    let start = since;
    while since.elapsed() < Duration::from_secs(2) && start.elapsed() < Duration::from_secs(30) {
        support::pause();
        let now = transfers();
        if now != seen {
            (seen, since) = (now, Instant::now());
        }
    }
}

/// Sectors of 512 bytes that the disks have read and written since the start of the machine
/// (Documentation/admin-guide/iostats.rst).
fn sectors() -> (u64, u64) {
    let text = fs::read_to_string("/proc/diskstats").unwrap_or_default();
    let field = |line: &str, n| line.split_whitespace().nth(n)?.parse::<u64>().ok();
    text.lines().fold((0, 0), |(read, written), line| {
        let (r, w) = (field(line, 5), field(line, 9));
        (read + r.unwrap_or(0), written + w.unwrap_or(0))
    })
}

/// Largest resident set of a process so far, in KiB.
fn peak(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status
        .lines()
        .find_map(|line| {
            line.strip_prefix("VmHWM:")?
                .split_whitespace()
                .next()?
                .parse()
                .ok()
        })
        .unwrap_or(0)
}

fn forget(host: &Host) {
    let _ = host.wharf([
        "rmi",
        "--force",
        "--",
        &host.ok(["images", "-q"]).trim().replace('\n', " "),
    ]);
    for id in host.ok(["images", "-q", "--no-trunc"]).lines() {
        let _ = host.wharf(["rmi", "--force", id]);
    }
}

fn forget_docker(docker: &Docker) {
    let _ = collect(
        docker.client().args(["image", "prune", "--all", "--force"]),
        &[],
    );
}

fn forget_podman(host: &Host) {
    let _ = collect(podman(host).args(["rmi", "--all", "--force"]), &[]);
}

fn pull(host: &Host, docker: Option<&Docker>, registry: &Registry, name: &str) {
    let mut works = vec![work(
        "wharf pull",
        || {
            forget(host);
            registry.warm();
        },
        || host.command(["pull", "--quiet", name]),
    )];
    if let Some(docker) = docker {
        works.push(Work {
            server: Some(docker.pid()),
            ..work(
                "docker pull",
                || {
                    forget_docker(docker);
                    registry.warm();
                },
                || {
                    let mut command = docker.client();
                    command.args(["pull", "--quiet", name]);
                    command
                },
            )
        });
    }
    if has_peer("podman") {
        works.push(work(
            "podman pull",
            || {
                forget_podman(host);
                registry.warm();
            },
            || {
                let mut command = podman(host);
                command.args(["pull", "--quiet", "--tls-verify=false", name]);
                command
            },
        ));
    }
    race("pull", &works);
    race(
        "pull, everything is there",
        &[work(
            "wharf pull",
            || (),
            || host.command(["pull", "--quiet", name]),
        )],
    );
}

fn push(host: &Host, docker: Option<&Docker>, registry: &Registry, layout: &Path, name: &str) {
    let target = format!("{}/bench/copy:1", registry.address);
    host.ok(["pull", "--quiet", name]);
    host.ok(["tag", name, &target]);
    if let Some(docker) = docker {
        quiet(docker.client().args(["pull", "--quiet", name]));
        quiet(docker.client().args(["tag", name, &target]));
    }
    // Nothing is there that could be skipped or mounted: that is not what is measured.
    let empty = || registry.forget();
    let mut works = vec![work("wharf push", empty, || {
        host.command(["push", "--quiet", &target])
    })];
    works.push(work("skopeo copy oci: docker:", empty, || {
        let mut command = Command::new("skopeo");
        command
            .args(["copy", "--quiet", "--dest-tls-verify=false"])
            .arg(format!("oci:{}:1", layout.display()))
            .arg(format!("docker://{target}"));
        command
    }));
    if let Some(docker) = docker {
        works.push(Work {
            server: Some(docker.pid()),
            ..work("docker push", empty, || {
                let mut command = docker.client();
                command.args(["push", "--quiet", &target]);
                command
            })
        });
    }
    race("push", &works);
}

fn save(host: &Host, docker: Option<&Docker>, name: &str) {
    let path = host.dir().join("saved.tar");
    let gone = || drop(fs::remove_file(&path));
    host.ok(["pull", "--quiet", name]);
    let mut works = vec![work("wharf save", gone, || {
        let mut command = host.command(["save", "-o"]);
        command.arg(&path).arg(name);
        command
    })];
    if let Some(docker) = docker {
        quiet(docker.client().args(["pull", "--quiet", name]));
        works.push(Work {
            server: Some(docker.pid()),
            ..work("docker save", gone, || {
                let mut command = docker.client();
                command.args(["save", "-o"]).arg(&path).arg(name);
                command
            })
        });
    }
    race("save", &works);
    gone();
}

fn load(host: &Host, docker: Option<&Docker>, name: &str) {
    // As skopeo writes it from the registry: `docker save` of Debian 12 has the same form.
    let path = host.dir().join("archive.tar");
    quiet(
        Command::new("skopeo")
            .args(["copy", "--quiet", "--src-tls-verify=false"])
            .arg(format!("docker://{name}"))
            .arg(format!("docker-archive:{}:bench/big:1", path.display())),
    );
    let mut works = vec![work(
        "wharf load",
        || forget(host),
        || {
            let mut command = host.command(["load", "--quiet", "-i"]);
            command.arg(&path);
            command
        },
    )];
    if let Some(docker) = docker {
        works.push(Work {
            server: Some(docker.pid()),
            ..work(
                "docker load",
                || forget_docker(docker),
                || {
                    let mut command = docker.client();
                    command.args(["load", "--quiet", "-i"]).arg(&path);
                    command
                },
            )
        });
    }
    if has_peer("podman") {
        works.push(work(
            "podman load",
            || forget_podman(host),
            || {
                let mut command = podman(host);
                command.args(["load", "--quiet", "-i"]).arg(&path);
                command
            },
        ));
    }
    race("load (docker-archive, layers not compressed)", &works);
    drop(works);
    let _ = fs::remove_file(&path);
}

/// Debian's docker-registry on a free port of loopback; ended when dropped.
struct Registry {
    process: Child,
    address: String,
    storage: PathBuf,
}

impl Registry {
    fn start(dir: &Path) -> Self {
        let storage = dir.join("registry");
        fs::create_dir_all(&storage).unwrap();
        let address = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .to_string();
        let config = dir.join("registry.yml");
        fs::write(
            &config,
            format!(
                "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: {address}}}\n",
                storage.display()
            ),
        )
        .unwrap();
        let process = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        support::wait_until("the registry", support::PATIENCE, || {
            std::net::TcpStream::connect(&address).is_ok()
        });
        Self {
            process,
            address,
            storage,
        }
    }

    /// Has all of it in memory: how fast a registry reads its disk, which is that of the pull here, is not measured.
    fn warm(&self) {
        let files = format!("find '{}' -type f -exec cat {{}} +", self.storage.display());
        quiet(
            Command::new("sh")
                .arg("-c")
                .arg(files)
                .stdout(Stdio::null()),
        );
    }

    /// Takes everything out of the registry.
    fn forget(&self) {
        let _ = fs::remove_dir_all(self.storage.join("docker"));
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// An OCI layout with the image, made if it is not there.
fn image() -> PathBuf {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("bench-image-2");
    if dir.join("index.json").exists() {
        return dir;
    }
    println!("making the image (about a minute) …");
    let blobs = dir.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let mut layers = Vec::new();
    let mut diff_ids = Vec::new();
    for (n, size) in LAYERS.iter().enumerate() {
        let tar = layer(n, size << 20);
        diff_ids.push(format!("sha256:{}", sha256(&tar)));
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(&tar).unwrap();
        let blob = gzip.finish().unwrap();
        layers.push(keep(
            &blobs,
            "application/vnd.oci.image.layer.v1.tar+gzip",
            &blob,
        ));
    }
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux", "config": {"Cmd": ["true"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    let config = serde_json::to_vec(&config).unwrap();
    let config = keep(&blobs, "application/vnd.oci.image.config.v1+json", &config);
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config, "layers": layers,
    });
    let manifest = serde_json::to_vec(&manifest).unwrap();
    let mut manifest = keep(
        &blobs,
        "application/vnd.oci.image.manifest.v1+json",
        &manifest,
    );
    manifest["annotations"] = serde_json::json!({"org.opencontainers.image.ref.name": "1"});
    let index = serde_json::json!({"schemaVersion": 2, "manifests": [manifest]});
    fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    fs::write(dir.join("index.json"), serde_json::to_vec(&index).unwrap()).unwrap();
    dir
}

fn keep(blobs: &Path, media_type: &str, content: &[u8]) -> serde_json::Value {
    let digest = sha256(content);
    fs::write(blobs.join(&digest), content).unwrap();
    serde_json::json!({
        "mediaType": media_type, "digest": format!("sha256:{digest}"), "size": content.len(),
    })
}

/// A layer of files of all sizes, from some bytes to 4 MiB.
fn layer(number: usize, size: usize) -> Vec<u8> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ (number as u64 + 1));
    let words: Vec<Vec<u8>> = (0..4096).map(|_| random.word()).collect();
    let mut tar = tar::Builder::new(Vec::with_capacity(size + (16 << 20)));
    let mut written = 0;
    let mut count = 0;
    while written < size {
        // Most files are small, most bytes are in large ones: about 19,000 files in all.
        let length = match random.below(5) {
            0 => (64_u64 << random.below(17)) + random.below(4096),
            _ => random.below(8192),
        };
        let length = usize::try_from(length).unwrap().min(size - written);
        let noise = random.below(3) == 0;
        let mut content = Vec::with_capacity(length + 32);
        while content.len() < length {
            if noise {
                content.extend_from_slice(&random.next().to_le_bytes());
            } else {
                let word = usize::try_from(random.below(4096)).unwrap();
                content.extend_from_slice(&words[word]);
            }
        }
        content.truncate(length);
        let mut header = tar::Header::new_gnu();
        header.set_size(length.try_into().unwrap());
        header.set_mode(0o644);
        header.set_mtime(1_700_000_000);
        let path = format!("usr/lib/part{number}/{}/file{count}", count / 100);
        tar.append_data(&mut header, path, content.as_slice())
            .unwrap();
        written += length;
        count += 1;
    }
    tar.into_inner().unwrap()
}

/// xorshift64: the same image each time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn word(&mut self) -> Vec<u8> {
        let length = 3 + self.below(9);
        let mut word: Vec<u8> = (0..length)
            .map(|_| b'a' + u8::try_from(self.below(26)).unwrap_or(0))
            .collect();
        word.push(b' ');
        word
    }
}
