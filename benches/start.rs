//! Where the time of a start goes: each step of monitor and child, from a rootfs that is prepared already to the executed
//! command, then to its end, then to a clean host. The table in docs/start-path.md comes from here.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and may end where it fails"
)]

use std::path::Path;
use std::time::{Duration, Instant};

use wharf::engine::model::selinux::Contexts;
use wharf::engine::model::{Container, ContainerConfig, ContainerId, HostConfig, Platform};
use wharf::engine::runtime::cgroup::Hierarchy;
use wharf::engine::runtime::launch::{self, Io, Launch, Rootfs};
use wharf::engine::runtime::spec::{self, Host, SpecInput};
use wharf::engine::runtime::terms::Terms;

const ROUNDS: usize = 200;

fn main() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: needs root");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    prepare(dir.path());
    let container = record();
    let hierarchy = Hierarchy::detect().unwrap();
    let host = Host {
        cgroups: hierarchy.version(),
        hostname: "host".to_owned(),
        cpus: 0,
    };
    let spec = spec::container(SpecInput {
        container: &container,
        live: dir.path(),
        host: &host,
        sources: &spec::Sources::default(),
        devices: &wharf::engine::runtime::given_devices::Given::default(),
        apparmor: None,
        contexts: &Contexts::default(),
    })
    .unwrap();
    let mut table = Table::default();
    for round in 0..ROUNDS {
        let at = |name: &str| dir.path().join(format!("{name}{round}"));
        for name in ["upper", "work"] {
            std::fs::create_dir(at(name)).unwrap();
        }
        let rootfs = Rootfs::Overlay {
            lower: vec![dir.path().join("rootfs")],
            upper: at("upper"),
            work: at("work"),
            readonly: false,
            volatile: true,
        };
        let cgroup = hierarchy.container("", &container.id);
        let since = Instant::now();
        let process = launch::start(&Launch {
            spec: &spec,
            rootfs: &rootfs,
            cgroup: &cgroup,
            io: Io::Inherit,
            terms: Terms::default(),
        })
        .unwrap();
        assert_eq!(process.wait().unwrap(), 0);
        let ended = since.elapsed();
        cgroup.remove().unwrap();
        let removed = since.elapsed();
        let mut last = None;
        for (name, when) in &process.timeline {
            let is_ours = name.starts_with("monitor: ");
            // The monitor's marks are points in time, the child's are what each step took.
            let value = match last {
                Some(before) if !is_ours => when.saturating_sub(before),
                _ => *when,
            };
            if !is_ours {
                last = Some(*when);
            }
            table.add(name, value);
        }
        table.add("monitor: ended", ended);
        table.add("monitor: cgroups removed", removed);
    }
    table.print();
}

/// A root with nothing but busybox, and the three files of a live directory.
fn prepare(dir: &Path) {
    let bin = dir.join("rootfs/bin");
    std::fs::create_dir_all(&bin).unwrap();
    let source = ["/usr/bin/busybox", "/bin/busybox"]
        .into_iter()
        .find(|path| Path::new(path).exists())
        .expect("busybox-static is installed");
    std::fs::copy(source, bin.join("busybox")).unwrap();
    std::os::unix::fs::symlink("busybox", bin.join("true")).unwrap();
    for name in ["hosts", "hostname", "resolv.conf"] {
        std::fs::write(dir.join(name), "").unwrap();
    }
}

fn record() -> Container {
    Container {
        version: 1,
        id: ContainerId::try_from("be".repeat(32)).unwrap(),
        name: "bench".to_owned(),
        created: "2026-01-01T00:00:00Z".parse().unwrap(),
        image: format!("sha256:{}", "0".repeat(64)).parse().unwrap(),
        platform: Platform::host(),
        layers: Vec::new(),
        config: ContainerConfig {
            cmd: vec!["true".to_owned()],
            ..ContainerConfig::default()
        },
        host: HostConfig::default(),
    }
}

/// Rows in the order of their first appearance.
#[derive(Default)]
struct Table {
    rows: Vec<(String, Vec<Duration>)>,
}

impl Table {
    fn add(&mut self, name: &str, value: Duration) {
        match self.rows.iter_mut().find(|(known, _)| known == name) {
            Some((_, values)) => values.push(value),
            None => self.rows.push((name.to_owned(), vec![value])),
        }
    }

    fn print(mut self) {
        println!("{:28} {:>10} {:>10}", "", "median us", "least us");
        for (name, values) in &mut self.rows {
            values.sort_unstable();
            let middle = values[values.len() / 2];
            println!(
                "{name:28} {:>10} {:>10}",
                middle.as_micros(),
                values[0].as_micros()
            );
        }
    }
}
