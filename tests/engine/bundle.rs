//! Containers from a `config.json` of the test's own: a directory as root, any specification, and what it said.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use wharf::engine::Result;
use wharf::engine::model::request::AttachTo;
use wharf::engine::model::{ContainerId, LogConfig, RestartPolicy};
use wharf::engine::runtime::channel::Output;
use wharf::engine::runtime::control::{self, Spawn};
use wharf::engine::runtime::launch::Rootfs;
use wharf::engine::runtime::monitor::{PLAN_VERSION, Plan};

use crate::support::{Host, PATIENCE, WHARF, collect, has_peer, privileged, wait_until};

const ALL: AttachTo = AttachTo {
    stdin: true,
    stdout: true,
    stderr: true,
    size: None,
};

/// A root with busybox, and a specification that tests change.
#[derive(Debug)]
pub struct Bundle {
    pub host: Host,
    pub config: Value,
    pub tty: bool,
}

/// What a container wrote and how it ended.
#[derive(Debug)]
pub struct Ran {
    pub out: String,
    pub err: String,
    pub code: i32,
}

/// A bundle for the calling test; `None`, with the reason on stderr, if this process may not have one.
#[must_use]
pub fn bundle() -> Option<Bundle> {
    let host = privileged()?;
    if !has_peer("busybox") {
        return None;
    }
    let bundle = Bundle {
        config: config(&host.dir().join("rootfs")),
        host,
        tty: false,
    };
    fill(&bundle.rootfs());
    Some(bundle)
}

fn fill(root: &Path) {
    for dir in ["bin", "dev", "proc", "sys", "etc", "tmp"] {
        fs::create_dir_all(root.join(dir)).unwrap();
    }
    let path = std::env::var_os("PATH").unwrap();
    let busybox = std::env::split_paths(&path)
        .map(|dir| dir.join("busybox"))
        .find(|path| path.is_file())
        .unwrap();
    fs::copy(busybox, root.join("bin/busybox")).unwrap();
    let list = collect(std::process::Command::new("busybox").arg("--list"), &[]);
    for applet in list.stdout.lines().filter(|name| *name != "busybox") {
        symlink("busybox", root.join("bin").join(applet)).unwrap();
    }
}

fn config(root: &Path) -> Value {
    let namespaces = ["pid", "mount", "ipc", "uts", "network", "cgroup"];
    let namespaces = namespaces.map(|kind| json!({ "type": kind }));
    json!({
        "ociVersion": "1.2.0",
        "root": { "path": root },
        "process": {
            "args": ["true"], "cwd": "/", "env": ["PATH=/bin"], "user": { "uid": 0, "gid": 0 },
        },
        "mounts": [
            { "destination": "/proc", "type": "proc" },
            {
                "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
                "options": ["nosuid", "strictatime", "mode=755", "size=65536k"],
            },
            {
                "destination": "/dev/pts", "type": "devpts", "source": "devpts",
                "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
            },
        ],
        "linux": { "namespaces": namespaces },
    })
}

impl Bundle {
    /// The directory that is the container's root.
    #[must_use]
    pub fn rootfs(&self) -> PathBuf {
        self.host.dir().join("rootfs")
    }

    /// A path below the test's own directory, as text.
    #[must_use]
    pub fn path(&self, name: &str) -> String {
        self.host.dir().join(name).to_str().unwrap().to_owned()
    }

    /// Removes a directory of the root and puts a link in its place.
    pub fn replace_by_link(&self, name: &str, to: &str) {
        let path = self.rootfs().join(name);
        let _ = fs::remove_file(&path);
        let _ = fs::remove_dir_all(&path);
        symlink(to, path).unwrap();
    }

    /// The bundle with one more mount: source, target, type and options, the first and third may be empty.
    #[must_use]
    pub fn with(&self, source: &str, target: &str, kind: &str, options: &[&str]) -> Value {
        let mut config = self.config.clone();
        add(&mut config, source, target, kind, options);
        config
    }

    /// Runs a shell line under a specification.
    ///
    /// # Errors
    /// Why it did not start.
    pub fn run(&self, config: &Value, line: &str) -> Result<Ran> {
        let mut config = config.clone();
        config["process"]["args"] = json!(["sh", "-c", line]);
        config["process"]["terminal"] = json!(self.tty);
        let id = random_id();
        let live = self.host.dir().join("l").join(id.as_str());
        for dir in [&live, &self.host.dir().join("log")] {
            fs::create_dir_all(dir).unwrap();
        }
        fs::write(live.join("config.json"), config.to_string()).unwrap();
        self.plan(id).write(&live).unwrap();
        let started = control::spawn(&Spawn {
            program: Some(Path::new(WHARF)),
            live: &live,
            attach: Some(ALL),
            restart_count: 0,
        });
        let ran = started.map(|started| listen(started.session.unwrap()));
        wait_until("the monitor ends", PATIENCE, || {
            self.host.processes().is_empty()
        });
        ran
    }

    /// Runs a shell line, which must succeed; its output without the last newline.
    ///
    /// # Panics
    /// When it fails.
    #[must_use]
    pub fn ok(&self, config: &Value, line: &str) -> String {
        match self.run(config, line) {
            Ok(ran) if ran.code == 0 => ran.out.trim_end().replace('\r', ""),
            other => panic!("{line}: {other:?}\n{:#}", config["mounts"]),
        }
    }

    /// What is said instead of a start.
    ///
    /// # Panics
    /// When it starts.
    #[must_use]
    pub fn refused(&self, config: &Value) -> String {
        match self.run(config, "true") {
            Err(error) => error.to_string(),
            Ok(ran) => panic!("it started: {ran:?} {}\n{:#}", ran.err, config["mounts"]),
        }
    }

    /// Runs `wharf oci run` on it by way of another program: its name and arguments come first.
    #[must_use]
    pub fn oci(&self, config: &Value, line: &str, by: &[&str]) -> Ran {
        let mut config = config.clone();
        config["process"]["args"] = json!(["sh", "-c", line]);
        fs::write(self.path("config.json"), config.to_string()).unwrap();
        let id = random_id();
        let (bundle, state) = (self.path(""), self.path("state"));
        let own = [
            WHARF,
            "oci",
            "--cgroup-manager",
            "disabled",
            "--root",
            &state,
        ];
        let run = ["run", "--bundle", &bundle, id.as_str()];
        let words: Vec<&str> = by.iter().chain(&own).chain(&run).copied().collect();
        let (program, args) = words.split_first().unwrap();
        let output = collect(std::process::Command::new(program).args(args), &[]);
        Ran {
            out: output.stdout,
            err: output.stderr,
            code: output.code,
        }
    }

    fn plan(&self, id: ContainerId) -> Plan {
        let dir = self.host.dir();
        Plan {
            version: PLAN_VERSION,
            id,
            name: "bundle".to_owned(),
            image: "none".to_owned(),
            labels: BTreeMap::new(),
            state: dir.join("state.json"),
            events: dir.join("events.jsonl"),
            log: dir.join("log/container.log"),
            log_config: LogConfig::default(),
            log_about: wharf::engine::model::log::About::default(),
            rootfs: Rootfs::Dir {
                path: self.rootfs(),
            },
            tty: self.tty,
            open_stdin: false,
            stdin_once: false,
            restart: RestartPolicy::No,
            auto_remove: None,
            mounted: Vec::new(),
            held: Vec::new(),
            volumes: Vec::new(),
            volumes_lock: None,
            stop_signal: 15,
            stop_timeout: 10,
            attended: false,
            cgroup_parent: String::new(),
            joined: Vec::new(),
            networking: None,
            health: None,
            shell: Vec::new(),
        }
    }
}

/// Adds a mount to a specification.
pub fn add(config: &mut Value, source: &str, target: &str, kind: &str, options: &[&str]) {
    let mut mount = json!({ "destination": target });
    for (name, value) in [("source", source), ("type", kind)] {
        if !value.is_empty() {
            mount[name] = json!(value);
        }
    }
    if !options.is_empty() {
        mount["options"] = json!(options);
    }
    config["mounts"].as_array_mut().unwrap().push(mount);
}

fn random_id() -> ContainerId {
    let mut bytes = [0; 32];
    fs::File::open("/dev/urandom")
        .and_then(|mut file| std::io::Read::read_exact(&mut file, &mut bytes))
        .unwrap();
    bytes[0] = 0xab;
    ContainerId::from_random(bytes).unwrap()
}

fn listen(session: wharf::engine::runtime::channel::Session) -> Ran {
    let (mut reader, _writer) = session.split().unwrap();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = loop {
        match reader.next().unwrap() {
            Some(Output::Stdout(bytes)) => out.extend(bytes),
            Some(Output::Stderr(bytes)) => err.extend(bytes),
            Some(Output::Exited(exit)) => break exit.code,
            None => break -1,
        }
    };
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    Ran {
        out: text(&out),
        err: text(&err),
        code,
    }
}
