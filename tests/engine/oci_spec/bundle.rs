//! A bundle of one test, and the runtime that it is given to.
//!
//! `WHARF_TEST_RUNTIME=/usr/sbin/runc` (or another one) runs the same tests with that: a check of the tests.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::{Host, Output, WHARF, cgroup_mounts, collect, has_peer, privileged, wait_for};

const OTHER_RUNTIME: &str = "WHARF_TEST_RUNTIME";

/// Debian's static busybox.
pub const BUSYBOX_PATH: &str = "/bin/busybox";

/// What busybox is called in the root file system.
const APPLETS: &[&str] = &[
    "sh", "cat", "echo", "env", "false", "grep", "hostname", "id", "kill", "ls", "mkdir", "mknod",
    "mount", "nice", "ps", "pwd", "readlink", "sleep", "stat", "stty", "touch", "true", "ulimit",
    "umount", "uname", "wc", "test", "seq", "tail", "head", "rm", "chmod", "dd", "chrt", "ionice",
    "taskset", "sed", "sort", "tty",
];

/// A bundle and its container. Dropped, it deletes the container.
#[derive(Debug)]
pub struct Bundle {
    /// The directory with `config.json` and `rootfs`.
    pub dir: PathBuf,
    /// The container's id: its own on this machine, since ids name control groups.
    pub id: String,
    /// What `config.json` will be.
    pub config: Value,
    // Last: the bundle's container goes first.
    host: Host,
}

/// A bundle whose container runs `script` in busybox's shell; `None`, as a skipped test, where that cannot be.
pub fn bundle(script: &str) -> Option<Bundle> {
    let host = privileged()?;
    if !has_peer("busybox") {
        return None;
    }
    let dir = host.dir().join("b");
    let rootfs = dir.join("rootfs");
    for name in ["bin", "dev", "etc", "proc", "sys", "tmp", "home"] {
        fs::create_dir_all(rootfs.join(name)).unwrap();
    }
    // Users of a test's container may look in.
    for path in [host.dir(), &dir] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let busybox = rootfs.join("bin/busybox");
    fs::copy(BUSYBOX_PATH, &busybox).unwrap();
    for applet in APPLETS {
        symlink("busybox", rootfs.join("bin").join(applet)).unwrap();
    }
    let id = host.dir().file_name().unwrap().to_str().unwrap().to_owned();
    Some(Bundle {
        dir,
        id,
        config: config(script),
        host,
    })
}

/// Whose messages are its own business.
fn is_other_runtime() -> bool {
    std::env::var_os(OTHER_RUNTIME).is_some()
}

/// A small configuration of the test's own, with nothing in it that a test does not ask for.
fn config(script: &str) -> Value {
    json!({
        "ociVersion": "1.2.0",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": ["/bin/sh", "-c", script],
            "env": ["PATH=/bin"],
            "cwd": "/",
        },
        "root": {"path": "rootfs"},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
        ],
        "linux": {
            "namespaces": [{"type": "mount"}, {"type": "pid"}],
        },
    })
}

impl Bundle {
    /// Changes `config.json`: the value at this JSON pointer, made where it is missing.
    pub fn set(&mut self, pointer: &str, value: Value) -> &mut Self {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        if self.config.pointer(parent).is_none() {
            self.set(parent, json!({}));
        }
        self.config.pointer_mut(parent).unwrap()[name] = value;
        self
    }

    /// Adds to a list of `config.json`, made where it is missing.
    pub fn add(&mut self, pointer: &str, value: Value) -> &mut Self {
        if self.config.pointer(pointer).is_none() {
            self.set(pointer, json!([]));
        }
        let list = self.config.pointer_mut(pointer).unwrap();
        list.as_array_mut().unwrap().push(value);
        self
    }

    /// Takes out of `config.json` what stands at this JSON pointer, whose parent is an object.
    pub fn remove(&mut self, pointer: &str) -> &mut Self {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let parent = self.config.pointer_mut(parent).unwrap();
        parent.as_object_mut().unwrap().remove(name).unwrap();
        self
    }

    /// What the container runs.
    pub fn script(&mut self, script: &str) -> &mut Self {
        self.set("/process/args", json!(["/bin/sh", "-c", script]))
    }

    /// The root file system.
    pub fn rootfs(&self) -> PathBuf {
        self.dir.join("rootfs")
    }

    /// A directory for other things of the test.
    pub fn aside(&self) -> PathBuf {
        let dir = self.host.dir().join("aside");
        fs::create_dir_all(&dir).unwrap();
        dir
    }

    /// Writes `config.json`.
    pub fn write(&self) {
        let text = serde_json::to_vec_pretty(&self.config).unwrap();
        fs::write(self.dir.join("config.json"), text).unwrap();
    }

    /// The runtime, in the bundle's directory.
    pub fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = if let Some(runtime) = std::env::var_os(OTHER_RUNTIME) {
            Command::new(runtime)
        } else {
            let mut command = Command::new(WHARF);
            command.arg("oci");
            command
        };
        command.arg("--root").arg(self.host.dir().join("state"));
        command.args(args).current_dir(&self.dir);
        self.host.dress(&mut command);
        command
    }

    /// Runs the runtime to its end.
    pub fn oci<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Output {
        collect(&mut self.command(args), &[])
    }

    /// Runs the runtime, which must succeed.
    #[track_caller]
    pub fn ok<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Output {
        let args: Vec<_> = args.into_iter().map(|a| a.as_ref().to_owned()).collect();
        let output = self.oci(&args);
        assert_eq!(output.code, 0, "{args:?}: {output:#?}");
        output
    }

    /// Runs the runtime, which must fail with one line that has `text` in it.
    #[track_caller]
    pub fn refused<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>, text: &str) {
        let args: Vec<_> = args.into_iter().map(|a| a.as_ref().to_owned()).collect();
        let output = self.oci(&args);
        assert_ne!(output.code, 0, "{args:?}: {output:#?}");
        let is_said = output.stderr.contains(text) || is_other_runtime();
        assert!(is_said, "{args:?}: not {text:?}: {output:#?}");
    }

    /// Runs a container of this configuration to its end, and deletes it.
    pub fn run(&self) -> Output {
        self.write();
        self.oci(["run", &self.id])
    }

    /// The same, with success; what it printed.
    #[track_caller]
    pub fn prints(&self) -> String {
        let output = self.run();
        assert_eq!(output.code, 0, "{output:#?}\n{:#}", self.config);
        output.stdout.trim_end().to_owned()
    }

    /// No container can be made of this configuration, and the reason has `text` in it. Nothing is left then.
    #[track_caller]
    pub fn cannot_be_created(&self, text: &str) {
        let output = self.try_create();
        let what = || format!("{output:#?}\n{:#}", self.config);
        assert_ne!(output.code, 0, "{}", what());
        let is_said = output.stderr.contains(text) || is_other_runtime();
        assert!(is_said, "not {text:?}: {}", what());
        assert_ne!(self.oci(["state", &self.id]).code, 0, "{}", what());
    }

    /// Creates the container.
    #[track_caller]
    pub fn create(&self) {
        let output = self.try_create();
        assert_eq!(output.code, 0, "{output:#?}\n{:#}", self.config);
    }

    /// Creates the container. Its standard streams are files: a pipe would stay open as long as it lives.
    fn try_create(&self) -> Output {
        self.write();
        let [stdout, stderr] = ["stdout", "stderr"].map(|name| self.aside().join(name));
        let status = self
            .command(["create", &self.id])
            .stdout(fs::File::create(&stdout).unwrap())
            .stderr(fs::File::create(&stderr).unwrap())
            .status()
            .unwrap();
        let read = |path| fs::read_to_string(path).unwrap();
        Output {
            code: status.code().unwrap_or(-1),
            stdout: read(stdout),
            stderr: read(stderr),
        }
    }

    /// Creates and starts it.
    #[track_caller]
    pub fn launch(&self) {
        self.create();
        self.start();
    }

    /// Starts it.
    #[track_caller]
    pub fn start(&self) {
        self.ok(["start", &self.id]);
    }

    /// Its state, as the runtime says it.
    #[track_caller]
    pub fn state(&self) -> Value {
        let output = self.ok(["state", &self.id]);
        serde_json::from_str(&output.stdout).unwrap()
    }

    pub fn status(&self) -> String {
        self.state()["status"].as_str().unwrap().to_owned()
    }

    /// Its first process.
    pub fn pid(&self) -> i64 {
        self.state()["pid"].as_i64().unwrap()
    }

    /// Waits until it has this status.
    pub fn await_status(&self, status: &str) {
        wait_for(status, || (self.status() == status).then_some(()));
    }

    /// What the file `report` in the test's own directory says, once it is there and complete: its last line is `end`.
    pub fn await_report(&self) -> Vec<String> {
        let file = self.aside().join("report");
        wait_for("a report", || {
            let text = fs::read_to_string(&file).ok()?;
            let lines: Vec<String> = text.lines().map(str::to_owned).collect();
            (lines.last().map(String::as_str) == Some("end")).then(|| {
                let length = lines.len() - 1;
                lines.into_iter().take(length).collect()
            })
        })
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        let mut command = self.command(["delete", "--force", &self.id]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let _ = command.status();
        // Those above the container's own, which the test asked for.
        for group in groups(&self.id).into_iter().rev() {
            let _ = fs::remove_dir(group);
        }
    }
}

/// Control groups that have the container's id in their path, each after those above it.
pub fn groups(id: &str) -> Vec<String> {
    let mut found = Vec::new();
    for mount in cgroup_mounts() {
        let mut open = vec![mount];
        while let Some(dir) = open.pop() {
            for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    if path.to_string_lossy().contains(id) {
                        found.push(path.to_string_lossy().into_owned());
                    }
                    open.push(path);
                }
            }
        }
    }
    found
}
