//! A bundle and a state root for tests of `wharf oci`, and how its commands are called there.
//!
//! A [`Case`] that is dropped removes its containers and then asserts that nothing of them is left.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::{
    Host, Output, WHARF, cgroup_mounts, collect, has_peer, names_in, privileged, wait_until,
};

/// One test's bundle.
pub struct Case {
    pub config: Value,
    host: Host,
}

/// A bundle whose container sleeps; `None`, with the reason on stderr, if this process may not have one.
#[must_use]
pub fn case() -> Option<Case> {
    let host = privileged()?;
    if !has_peer("busybox") {
        return None;
    }
    let case = Case {
        config: config(),
        host,
    };
    fill(&case.bundle().join("rootfs"));
    Some(case)
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
    let list = collect(Command::new("busybox").arg("--list"), &[]);
    for applet in list.stdout.lines().filter(|name| *name != "busybox") {
        symlink("busybox", root.join("bin").join(applet)).unwrap();
    }
}

fn config() -> Value {
    let namespaces = ["pid", "mount", "ipc", "uts", "network", "cgroup"];
    let caps = ["CAP_KILL", "CAP_CHOWN"];
    json!({
        "ociVersion": "1.2.0",
        "root": { "path": "rootfs" },
        "process": {
            "user": { "uid": 0, "gid": 0 },
            "args": ["sleep", "1000"],
            "env": ["PATH=/bin"],
            "cwd": "/",
            "capabilities": { "bounding": caps, "effective": caps, "permitted": caps },
        },
        "hostname": "box",
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc" },
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
              "options": ["nosuid", "mode=755", "size=65536k"] },
            { "destination": "/dev/pts", "type": "devpts", "source": "devpts",
              "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"] },
        ],
        "linux": { "namespaces": namespaces.map(|kind| json!({ "type": kind })) },
    })
}

impl Case {
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The test's own directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.host.dir()
    }

    #[must_use]
    pub fn bundle(&self) -> PathBuf {
        self.dir().join("b")
    }

    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.dir().join("s")
    }

    /// A container's name that no other test has: names of cgroups are the host's.
    #[must_use]
    pub fn id(&self, name: &str) -> String {
        let unique = self.dir().file_name().unwrap().to_string_lossy();
        format!("{unique}-{name}")
    }

    /// Sets the command of the configuration.
    pub fn runs(&mut self, script: &str) {
        self.config["process"]["args"] = json!(["sh", "-c", script]);
    }

    /// Writes the configuration and makes the command, which runs in the bundle.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> Command {
        fs::write(self.bundle().join("config.json"), self.config.to_string()).unwrap();
        let mut command = Command::new(WHARF);
        self.host.dress(&mut command);
        command
            .arg("oci")
            .arg("--root")
            .arg(self.root())
            .args(args)
            .current_dir(self.bundle());
        command
    }

    /// Runs a command to its end.
    #[must_use]
    pub fn oci(&self, args: &[&str]) -> Output {
        collect(&mut self.command(args), &[])
    }

    /// Runs a command whose container goes on: it must not have our pipes, or we would wait for it.
    #[must_use]
    pub fn leave(&self, args: &[&str]) -> Output {
        let (out, err) = (self.dir().join("out"), self.dir().join("err"));
        let file = |path| Stdio::from(fs::File::create(path).unwrap());
        let status = self
            .command(args)
            .stdout(file(&out))
            .stderr(file(&err))
            .status()
            .unwrap();
        Output {
            code: status.code().unwrap_or(-1),
            stdout: fs::read_to_string(out).unwrap(),
            stderr: fs::read_to_string(err).unwrap(),
        }
    }

    /// Runs a command that must succeed: what it wrote.
    pub fn ok(&self, args: &[&str]) -> String {
        let output = match args.first() {
            Some(&("create" | "start")) => self.leave(args),
            _ if args.contains(&"--detach") => self.leave(args),
            _ => self.oci(args),
        };
        assert_eq!(output.code, 0, "{args:?}: {output:#?}");
        assert_eq!(output.stderr, "", "{args:?}");
        output.stdout
    }

    /// Runs a command that must fail: its one line.
    pub fn refused(&self, args: &[&str]) -> String {
        let output = self.leave(args);
        let code = if args.first() == Some(&"exec") {
            255
        } else {
            1
        };
        assert_eq!(output.code, code, "{args:?}: {output:#?}");
        let lines: Vec<&str> = output.stderr.lines().collect();
        let [line] = lines[..] else {
            panic!("{args:?}: not one line: {output:#?}");
        };
        line.strip_prefix("wharf oci: error: ").unwrap().to_owned()
    }

    /// What `state` says.
    #[must_use]
    pub fn state(&self, id: &str) -> Value {
        serde_json::from_str(&self.ok(&["state", id])).unwrap()
    }

    #[must_use]
    pub fn status(&self, id: &str) -> String {
        self.state(id)["status"].as_str().unwrap().to_owned()
    }

    #[must_use]
    pub fn pid(&self, id: &str) -> i32 {
        i32::try_from(self.state(id)["pid"].as_i64().unwrap()).unwrap()
    }

    pub fn wait_for_status(&self, id: &str, status: &str) {
        wait_until(status, crate::support::PATIENCE, || {
            self.status(id) == status
        });
    }

    /// Nothing is left of a container.
    pub fn assert_gone(&self, id: &str) {
        assert!(!self.root().join(id).exists(), "{id} has a state directory");
        assert_eq!(groups_of(id), Vec::<PathBuf>::new());
    }
}

/// Where a container's cgroups are, as far as they exist.
#[must_use]
pub fn groups_of(id: &str) -> Vec<PathBuf> {
    let paths = cgroup_mounts().into_iter();
    paths
        .map(|mount| mount.join("wharf").join(id))
        .filter(|path| path.exists())
        .collect()
}

impl Drop for Case {
    fn drop(&mut self) {
        let ids = names_in(&self.root());
        for id in &ids {
            let _ = self.oci(&["delete", "--force", id]);
        }
        let left = names_in(&self.root());
        if !std::thread::panicking() {
            assert_eq!(left, Vec::<String>::new());
            for id in &ids {
                self.assert_gone(id);
            }
        }
    }
}
