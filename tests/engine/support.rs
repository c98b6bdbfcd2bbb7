//! What every privileged test needs: a host of its own ([`privileged`]), the binary, a small image, a way to wait.
//!
//! A [`Host`] that is dropped removes its containers and then asserts that nothing of them is left, whether the test
//! passed or not.

#![expect(
    clippy::print_stderr,
    reason = "skips and what is left behind are reported on stderr"
)]

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The program under test.
pub const WHARF: &str = env!("CARGO_BIN_EXE_wharf");

/// Time enough for anything that should happen at all, on a slow and busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The reference of [`Host::busybox_image`].
pub const BUSYBOX: &str = "busybox:latest";

/// A data root and a run root of one test, in a directory of its own.
#[derive(Debug)]
pub struct Host {
    dir: PathBuf,
    /// Its containers are on the default network if none is named.
    pub networked: bool,
}

/// What a command did.
#[derive(Debug)]
pub struct Output {
    /// Exit code; 128 + signal if it was killed.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// A host for the calling test; `None`, with the reason on stderr, if this process may not have one.
///
/// # Panics
/// With `CI=true` instead of returning `None`.
#[must_use]
pub fn privileged() -> Option<Host> {
    if !rustix::process::geteuid().is_root() {
        skip("needs root");
        return None;
    }
    Some(Host::new())
}

/// Reports that the calling test is not run.
///
/// # Panics
/// With `CI=true`.
pub fn skip(reason: &str) {
    let name = test_name();
    assert!(
        std::env::var("CI").as_deref() != Ok("true"),
        "skipped: {name}: {reason} (a skip is a failure with CI=true)"
    );
    // Not `eprintln!`: the harness would capture it, and a skip must be seen.
    let _ = writeln!(io::stderr(), "skipped: {name}: {reason}");
}

/// Whether a program that a test compares with is installed; says so if not, as [`skip`].
#[must_use]
pub fn has_peer(program: &str) -> bool {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()));
    if !found {
        skip(&format!("{program} is not installed"));
    }
    found
}

/// Polls until `condition` holds.
///
/// # Panics
/// When it does not within `patience`, naming `what`.
pub fn wait_until(what: &str, patience: Duration, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + patience;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not within {patience:?}");
        pause();
    }
}

/// Polls until there is a value, and returns it.
///
/// # Panics
/// When there is none within [`PATIENCE`], naming `what`.
pub fn wait_for<T>(what: &str, mut value: impl FnMut() -> Option<T>) -> T {
    let mut found = None;
    wait_until(what, PATIENCE, || {
        found = value();
        found.is_some()
    });
    found.unwrap()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one pause between two looks at a condition that nothing announces"
)]
pub fn pause() {
    std::thread::sleep(Duration::from_millis(5));
}

impl Host {
    fn new() -> Self {
        // Short: `<run>/containers/<64 digits>/ctl.sock` must fit into the 108 bytes of a unix socket's address.
        let dir = tempfile::Builder::new()
            .prefix("wharf-")
            .tempdir_in("/tmp")
            .unwrap()
            .keep();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).unwrap();
        Self {
            dir,
            networked: false,
        }
    }

    /// A directory for the test's own files, removed with the host.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The data root.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.dir.join("d")
    }

    /// The run root.
    #[must_use]
    pub fn run(&self) -> PathBuf {
        self.dir.join("r")
    }

    /// The program with this host's roots and nothing of the caller's environment but the search path. Standard input
    /// is empty.
    pub fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut args: Vec<OsString> = args.into_iter().map(|s| s.as_ref().to_owned()).collect();
        // The machine's own network is nothing for tests: without one of its own a host has containers on none.
        let makes = args
            .first()
            .is_some_and(|verb| verb == "run" || verb == "create");
        let names = |arg: &OsString| arg.as_encoded_bytes().starts_with(b"--net");
        if makes && !self.networked && !args.iter().any(names) {
            args.splice(1..1, ["--network".into(), "none".into()]);
        }
        let mut command = Command::new(WHARF);
        command.args(args);
        self.dress(&mut command);
        command
    }

    /// Gives a command this host's roots, nothing of the caller's environment but the search path, and no input.
    pub fn dress(&self, command: &mut Command) {
        command
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .env("HOME", self.dir())
            .env("WHARF_ROOT", self.data())
            .env("WHARF_RUN_ROOT", self.run())
            .stdin(Stdio::null());
    }

    /// Runs `wharf` to its end.
    pub fn wharf<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Output {
        collect(&mut self.command(args), &[])
    }

    /// Runs `wharf` with `stdin` as its input.
    pub fn wharf_with<S: AsRef<OsStr>>(
        &self,
        args: impl IntoIterator<Item = S>,
        stdin: &[u8],
    ) -> Output {
        collect(self.command(args).stdin(Stdio::piped()), stdin)
    }

    /// Runs `wharf`, which must succeed; its output without the last newline.
    ///
    /// # Panics
    /// When it fails.
    pub fn ok<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> String {
        let args: Vec<_> = args.into_iter().map(|a| a.as_ref().to_owned()).collect();
        let output = self.wharf(&args);
        assert_eq!(output.code, 0, "wharf {args:?}: {output:#?}");
        output.stdout.trim_end_matches('\n').to_owned()
    }

    /// Loads a small image named [`BUSYBOX`] made of Debian's static busybox, and returns that name; `None`, as
    /// [`skip`], if there is no busybox.
    pub fn busybox_image(&self) -> Option<&'static str> {
        static ARCHIVE: OnceLock<Vec<u8>> = OnceLock::new();
        if !has_peer("busybox") {
            return None;
        }
        let archive = ARCHIVE.get_or_init(busybox_archive);
        let output = self.wharf_with(["load", "-q"], archive);
        assert_eq!(output.code, 0, "load busybox: {output:#?}");
        Some(BUSYBOX)
    }

    /// Ids of all containers on disk, whatever state they are in. What has a dot in front is none any more: its monitor
    /// is just removing it, or a `create` has not finished it ([`Self::rubbish`]).
    #[must_use]
    pub fn container_ids(&self) -> Vec<String> {
        let mut ids: Vec<String> = [self.data(), self.run()]
            .iter()
            .flat_map(|root| names_in(&root.join("containers")))
            .filter(|name| !name.starts_with('.'))
            .collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// Directories that are about to be removed; none, once no process is there any more that does it.
    #[must_use]
    pub fn rubbish(&self) -> Vec<String> {
        [self.data(), self.run()]
            .iter()
            .flat_map(|root| names_in(&root.join("containers")))
            .filter(|name| name.starts_with('.'))
            .collect()
    }

    /// Pids of processes that have this host's directory in their arguments: its monitors and exec supervisors.
    #[must_use]
    pub fn processes(&self) -> Vec<i32> {
        let needle = self.dir.to_string_lossy().into_owned();
        processes_with(&needle)
    }

    /// Removes every container and tells what is left of them: nothing, if all is well.
    fn tear_down(&self) -> Vec<String> {
        let ids = self.container_ids();
        let mut left = Vec::new();
        if !ids.is_empty() {
            let mut args = vec!["rm".to_owned(), "-f".to_owned()];
            args.extend(ids.iter().cloned());
            let output = self.wharf(&args);
            if output.code != 0 {
                left.push(format!("rm -f: {}", output.stderr.trim_end()));
            }
        }
        // A monitor is allowed to finish.
        let deadline = Instant::now() + Duration::from_secs(5);
        while Instant::now() < deadline
            && !(self.processes().is_empty() && cgroups_of(&ids).is_empty())
        {
            pause();
        }
        for pid in self.processes() {
            left.push(format!("process {pid}: {}", command_line(pid)));
            kill(pid);
        }
        if !self.rubbish().is_empty() {
            // Of a process that was killed: the next look clears it away.
            self.wharf(["ps", "-aq"]);
        }
        left.extend(
            self.rubbish()
                .into_iter()
                .map(|name| format!("rubbish {name}")),
        );
        for cgroup in cgroups_of(&ids) {
            left.push(format!("cgroup {}", cgroup.display()));
            for pid in fs::read_to_string(cgroup.join("cgroup.procs"))
                .unwrap_or_default()
                .lines()
                .filter_map(|line| line.parse().ok())
            {
                kill(pid);
            }
            let _ = fs::remove_dir(&cgroup);
        }
        // Ancestors of groups stay, as with every runtime: those that are named after this host are its own.
        let name = self.dir.file_name().unwrap_or_default().to_string_lossy();
        for group in groups_named(&name) {
            remove_group(&group);
        }
        let groups = groups_named(&name).into_iter();
        left.extend(groups.map(|group| format!("cgroup {}", group.display())));
        let mounts = mounts_under(&self.dir);
        let mounted = !mounts.is_empty();
        left.extend(mounts.into_iter().map(|line| format!("mount {line}")));
        // With something mounted in it, removing the tree would remove somebody else's files.
        if !mounted && let Err(error) = fs::remove_dir_all(&self.dir) {
            left.push(format!("{}: {error}", self.dir.display()));
        }
        left
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let left = self.tear_down();
        if left.is_empty() {
            return;
        }
        let text = format!("left behind by {}:\n  {}", test_name(), left.join("\n  "));
        if std::thread::panicking() {
            eprintln!("{text}");
        } else {
            panic!("{text}");
        }
    }
}

/// Runs a command to its end.
///
/// # Panics
/// When it cannot be started.
pub fn collect(command: &mut Command, stdin: &[u8]) -> Output {
    use std::os::unix::process::ExitStatusExt;
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let input = child.stdin.take();
    let output = std::thread::scope(|scope| {
        if let Some(mut input) = input {
            // A command that does not read its input closes the pipe: that is its right.
            scope.spawn(move || {
                let _ = input.write_all(stdin);
            });
        }
        child.wait_with_output().unwrap()
    });
    Output {
        code: output
            .status
            .code()
            .unwrap_or_else(|| 128 + output.status.signal().unwrap_or(0)),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Pids of all processes whose arguments contain `needle`.
#[must_use]
pub fn processes_with(needle: &str) -> Vec<i32> {
    names_in(Path::new("/proc"))
        .iter()
        .filter_map(|name| name.parse().ok())
        .filter(|pid| command_line(*pid).contains(needle))
        .collect()
}

/// A process's arguments, separated by blanks; empty if it is gone.
#[must_use]
pub fn command_line(pid: i32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}

/// Control groups of these containers that exist.
#[must_use]
pub fn cgroups_of(ids: &[String]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for mount in cgroup_mounts() {
        found.extend(
            ids.iter()
                .map(|id| mount.join("wharf").join(id))
                .filter(|path| path.exists()),
        );
    }
    found
}

/// Where cgroup hierarchies of either version are mounted.
#[must_use]
pub fn cgroup_mounts() -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    table
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ');
            let (_source, target, kind) = (fields.next()?, fields.next()?, fields.next()?);
            kind.starts_with("cgroup").then(|| PathBuf::from(target))
        })
        .collect()
}

/// Directories whose names begin so, where hierarchies are mounted: groups, and what other engines take for groups on a
/// host that has no such hierarchy.
#[must_use]
pub fn groups_named(prefix: &str) -> Vec<PathBuf> {
    let mounts = cgroup_mounts();
    let beside = mounts.iter().filter_map(|mount| mount.parent());
    let mut places: Vec<PathBuf> = beside
        .flat_map(|dir| names_in(dir).into_iter().map(move |name| dir.join(name)))
        .filter(|path| path.is_dir() && !path.is_symlink())
        .chain(mounts.iter().cloned())
        .collect();
    places.sort_unstable();
    places.dedup();
    let named = |place: &PathBuf| {
        let names = names_in(place).into_iter();
        let paths = names
            .filter(|name| name.starts_with(prefix))
            .map(|name| place.join(name));
        paths.filter(|path| path.is_dir()).collect::<Vec<_>>()
    };
    places.iter().flat_map(named).collect()
}

/// Removes a group with all groups below it, as far as nobody is in them.
pub fn remove_group(group: &Path) {
    for name in names_in(group) {
        let below = group.join(name);
        if below.is_dir() {
            remove_group(&below);
        } else {
            // The kernel's own files stay; what others wrote where no hierarchy is does not.
            let _ = fs::remove_file(&below);
        }
    }
    let _ = fs::remove_dir(group);
}

/// Lines of this process's mount table whose mount point is `dir` or below it.
#[must_use]
pub fn mounts_under(dir: &Path) -> Vec<String> {
    let table = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    table
        .lines()
        .filter(|line| {
            line.split(' ')
                .nth(1)
                .is_some_and(|target| Path::new(target).starts_with(dir))
        })
        .map(str::to_owned)
        .collect()
}

/// Entry names of a directory, sorted; empty if it is not there.
#[must_use]
pub fn names_in(dir: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort_unstable();
    names
}

/// The running test's name: the harness names the thread after it.
pub fn test_name() -> String {
    std::thread::current().name().unwrap_or("test").to_owned()
}

fn kill(pid: i32) {
    if let Some(pid) = rustix::process::Pid::from_raw(pid) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

/// A docker-archive with one layer: busybox under all its names, and the few files that a user look-up needs.
#[must_use]
pub fn busybox_archive() -> Vec<u8> {
    let applets = collect(Command::new("busybox").arg("--list"), &[]).stdout;
    let program = fs::read(which("busybox")).unwrap();
    let mut layer = Archive::new();
    for (name, mode) in [
        ("bin/", 0o755),
        ("etc/", 0o755),
        ("root/", 0o700),
        ("tmp/", 0o1777),
        ("var/", 0o755),
    ] {
        layer.directory(name, mode);
    }
    layer.file("bin/busybox", 0o755, &program);
    for applet in applets.lines().filter(|applet| *applet != "busybox") {
        layer.symlink(&format!("bin/{applet}"), "busybox");
    }
    layer.file(
        "etc/passwd",
        0o644,
        b"root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/:/bin/false\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    );
    layer.file(
        "etc/group",
        0o644,
        b"root:x:0:\ndaemon:x:1:\nstaff:x:50:nobody\nnogroup:x:65534:\n",
    );
    image_archive(BUSYBOX, &[layer.finish()], &["sh"])
}

/// A docker-archive (as `docker save` wrote it up to version 24) of plain layer tars, bottom first.
#[must_use]
pub fn image_archive(tag: &str, layers: &[Vec<u8>], cmd: &[&str]) -> Vec<u8> {
    let diff_ids: Vec<String> = layers
        .iter()
        .map(|layer| format!("sha256:{}", sha256(layer)))
        .collect();
    let history: Vec<_> = (0..layers.len())
        .map(|n| serde_json::json!({"created": "2024-01-01T00:00:00Z", "created_by": format!("layer {n}")}))
        .collect();
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let config = serde_json::to_vec(&serde_json::json!({
        "created": "2024-01-01T00:00:00Z",
        "architecture": architecture,
        "os": "linux",
        "config": {"Cmd": cmd, "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": history,
    }))
    .unwrap();
    let config_name = format!("{}.json", sha256(&config));
    let layer_names: Vec<String> = (0..layers.len())
        .map(|n| format!("{n}/layer.tar"))
        .collect();
    let manifest = serde_json::to_vec(&serde_json::json!([
        {"Config": config_name, "RepoTags": [tag], "Layers": layer_names}
    ]))
    .unwrap();
    let mut archive = Archive::new();
    archive.file(&config_name, 0o644, &config);
    for (name, layer) in layer_names.iter().zip(layers) {
        archive.file(name, 0o644, layer);
    }
    archive.file("manifest.json", 0o644, &manifest);
    archive.finish()
}

/// A tar being written, with the few kinds of entry that tests need.
pub struct Archive {
    tar: tar::Builder<Vec<u8>>,
}

impl Archive {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self {
            tar: tar::Builder::new(Vec::new()),
        }
    }

    /// A directory; `name` ends in a slash.
    pub fn directory(&mut self, name: &str, mode: u32) {
        let mut header = header(tar::EntryType::Directory, mode, 0);
        self.tar.append_data(&mut header, name, &[][..]).unwrap();
    }

    /// A regular file.
    pub fn file(&mut self, name: &str, mode: u32, content: &[u8]) {
        let mut header = header(tar::EntryType::Regular, mode, content.len() as u64);
        self.tar.append_data(&mut header, name, content).unwrap();
    }

    /// A symbolic link.
    pub fn symlink(&mut self, name: &str, target: &str) {
        let mut header = header(tar::EntryType::Symlink, 0o777, 0);
        self.tar.append_link(&mut header, name, target).unwrap();
    }

    /// Another name of a file.
    pub fn hard_link(&mut self, name: &str, target: &str) {
        let mut header = header(tar::EntryType::Link, 0o644, 0);
        self.tar.append_link(&mut header, name, target).unwrap();
    }

    /// The bytes.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.tar.into_inner().unwrap()
    }
}

fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(1_700_000_000);
    header
}

/// The hexadecimal SHA-256 of some bytes.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    use std::fmt::Write;
    let mut text = String::new();
    for byte in sha2::Sha256::digest(bytes) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn which(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|dir| dir.join(program))
        .find(|candidate| candidate.is_file())
        .unwrap_or_else(|| panic!("{program} is not on the path"))
}
