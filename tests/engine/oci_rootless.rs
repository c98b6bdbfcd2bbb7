//! `wharf oci` for an ordinary user: without any privilege on the host, root of a user namespace. What runc and crun
//! make of the same bundle is the measure.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::oci::{Case, case};
use crate::support::{Output, WHARF, collect, has_peer, names_in};

/// `nobody`, whom every host has.
const USER: u32 = 65534;
/// The first of the further ids that newuidmap(1) gives to that user.
const FURTHER: u32 = 200_000;

/// A bundle that belongs to an ordinary user.
struct Ordinary {
    case: Case,
}

/// `None`, with the reason on stderr, if this process may not become such a user.
fn ordinary() -> Option<Ordinary> {
    let case = case()?;
    if !["unshare", "setpriv", "newuidmap"]
        .into_iter()
        .all(has_peer)
    {
        return None;
    }
    let user = Ordinary { case };
    let dir = user.case.dir();
    // Nobody may list it, and everybody may go through.
    fs::set_permissions(dir, fs::Permissions::from_mode(0o711)).unwrap();
    // Where the tests are built may be closed to others.
    fs::hard_link(WHARF, user.program())
        .or_else(|_| fs::copy(WHARF, user.program()).map(drop))
        .unwrap();
    let own = [
        user.runtime_dir(),
        user.case.bundle(),
        user.case.bundle().join("rootfs"),
        user.open(),
    ];
    for path in own {
        fs::create_dir_all(&path).unwrap();
        chown(&path, Some(USER), Some(USER)).unwrap();
    }
    for name in names_in(&user.case.bundle().join("rootfs")) {
        chown(
            user.case.bundle().join("rootfs").join(name),
            Some(USER),
            Some(USER),
        )
        .unwrap();
    }
    fs::set_permissions(user.runtime_dir(), fs::Permissions::from_mode(0o700)).unwrap();
    fs::set_permissions(user.open(), fs::Permissions::from_mode(0o777)).unwrap();
    fs::write(dir.join("subid"), format!("{USER}:{FURTHER}:65536\n")).unwrap();
    Some(user)
}

impl Ordinary {
    fn program(&self) -> PathBuf {
        self.case.dir().join("wharf")
    }

    fn runtime_dir(&self) -> PathBuf {
        self.case.dir().join("x")
    }

    /// A directory of the container that any of its users may write to.
    fn open(&self) -> PathBuf {
        self.case.bundle().join("rootfs/tmp")
    }

    /// The user's own state directory.
    fn state_root(&self) -> PathBuf {
        self.runtime_dir().join("wharf/oci")
    }

    /// Makes the configuration that `spec` writes for this user, with a shell line instead of a terminal.
    fn specify(&mut self, line: &str) {
        let path = self.case.bundle().join("config.json");
        let _ = fs::remove_file(&path);
        let output = self.oci(&["spec", "--rootless"]);
        assert_eq!(output.code, 0, "{output:?}");
        let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        config["process"]["terminal"] = json!(false);
        config["process"]["args"] = json!(["sh", "-c", line]);
        config["root"]["readonly"] = json!(false);
        self.case.config = config;
        self.write();
    }

    fn write(&self) {
        let path = self.case.bundle().join("config.json");
        fs::write(path, self.case.config.to_string()).unwrap();
    }

    /// Two users inside are users of the host: the caller, and those that newuidmap(1) may map.
    fn map_further(&mut self) {
        let map = json!([
            { "containerID": 0, "hostID": USER, "size": 1 },
            { "containerID": 1, "hostID": FURTHER, "size": 65536 },
        ]);
        self.case.config["linux"]["uidMappings"] = map.clone();
        self.case.config["linux"]["gidMappings"] = map;
        self.write();
    }

    /// A command in the bundle, as the user. What newuidmap(1) reads is put there in a mount namespace of its own.
    fn command(&self, words: &[&str]) -> Command {
        let subid = self.case.dir().join("subid");
        let script = "for f in /etc/subuid /etc/subgid; do mount --bind \"$1\" $f || exit 99; done; shift; \
            exec setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all \"$@\"";
        let mut command = Command::new("unshare");
        command
            .args(["-m", "sh", "-c", script, "sh"])
            .arg(subid)
            .args(words)
            .current_dir(self.case.bundle())
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", self.runtime_dir())
            .env("XDG_RUNTIME_DIR", self.runtime_dir());
        command
    }

    fn oci(&self, args: &[&str]) -> Output {
        let program = self.program();
        let words = [&[program.to_str().unwrap(), "oci"], args].concat();
        collect(&mut self.command(&words), &[])
    }

    /// A command whose container goes on.
    fn leave(&self, args: &[&str]) -> Output {
        let program = self.program();
        let words = [&[program.to_str().unwrap(), "oci"], args].concat();
        let said = self.case.dir().join("said");
        let file = fs::File::create(&said).unwrap();
        let status = self
            .command(&words)
            .stdin(std::process::Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .status()
            .unwrap();
        Output {
            code: status.code().unwrap_or(-1),
            stdout: String::new(),
            stderr: fs::read_to_string(said).unwrap(),
        }
    }

    fn status(&self, id: &str) -> String {
        let output = self.oci(&["state", id]);
        let state: Value = serde_json::from_str(&output.stdout).unwrap_or_default();
        state["status"]
            .as_str()
            .unwrap_or(&output.stderr)
            .to_owned()
    }
}

impl Drop for Ordinary {
    fn drop(&mut self) {
        for id in names_in(&self.state_root()) {
            self.oci(&["delete", "--force", &id]);
        }
        if !std::thread::panicking() {
            assert_eq!(names_in(&self.state_root()), Vec::<String>::new());
        }
    }
}

#[test]
fn what_spec_writes_for_an_ordinary_user_runs() {
    let Some(mut user) = ordinary() else { return };
    let id = user.case.id("a");
    user.specify(
        "id; tr -s ' ' < /proc/self/uid_map; touch /tmp/mine; echo x > /sys/kernel/x; \
        grep -c ' /sys' /proc/mounts; grep ' /sys' /proc/mounts | cut -d' ' -f4 | grep -c '^ro,'",
    );
    let output = user.oci(&["run", &id]);
    let lines: Vec<&str> = output.stdout.lines().collect();
    assert_eq!(lines[..2], ["uid=0 gid=0", " 0 65534 1"], "{output:?}");
    // What of /sys could be written to is covered by what cannot.
    let count = |at: usize| lines[at].parse::<usize>().unwrap();
    assert!(count(2) > count(3) && count(3) > 0, "{output:?}");
    assert_eq!(fs::metadata(user.open().join("mine")).unwrap().uid(), USER);
    // No other user may look, and those who clean up leave it alone (XDG Base Directory Specification).
    let mode = fs::metadata(user.state_root()).unwrap().mode();
    assert_eq!(mode & 0o7777, 0o1700);
    assert_eq!(names_in(&user.state_root()), Vec::<String>::new());
}

#[test]
fn cve_2023_25809_a_rootless_container_cannot_write_to_the_hosts_cgroups() {
    let Some(mut user) = ordinary() else { return };
    let line = "find /sys/fs/cgroup -type d | while read d; do mkdir $d/x 2>/dev/null && echo made $d; done; \
        find /sys/fs/cgroup -name cgroup.procs | while read f; do (echo 1 > $f) 2>/dev/null && echo wrote $f; done; \
        grep ' /sys/fs/cgroup' /proc/mounts | tail -1 | cut -d' ' -f4 | cut -d, -f1";
    user.specify(line);
    // The defect was there without a cgroup namespace.
    for with in [true, false] {
        let list = user.case.config["linux"]["namespaces"]
            .as_array_mut()
            .unwrap();
        list.retain(|namespace| with || namespace["type"] != "cgroup");
        user.write();
        let output = user.oci(&["run", &user.case.id("a")]);
        assert_eq!(output.stdout, "ro\n", "cgroup namespace {with}: {output:?}");
    }
}

#[test]
fn a_rootless_container_is_created_entered_killed_and_deleted() {
    let Some(mut user) = ordinary() else { return };
    let id = &user.case.id("a");
    user.specify("exec sleep 1000");
    for further in [false, true] {
        if further {
            user.map_further();
        }
        let output = user.leave(&["create", id]);
        assert_eq!((output.code, output.stderr.as_str()), (0, ""));
        assert_eq!(user.status(id), "created");
        let output = user.leave(&["start", id]);
        assert_eq!((output.code, output.stderr.as_str()), (0, ""));
        assert_eq!(user.status(id), "running");

        let line = "for n in pid mnt ipc uts net cgroup user; do \
            [ $(readlink /proc/1/ns/$n) = $(readlink /proc/self/ns/$n) ] || echo $n is another; done; \
            id -u; ls /proc/self/fd | tr '\\n' ' '; sed -n 's/^Cap[IA][a-z]*:\t//p' /proc/self/status; \
            cat /proc/self/oom_score_adj";
        let process = json!({
            "cwd": "/", "env": ["PATH=/bin"], "args": ["sh", "-c", line], "oomScoreAdj": 500,
            "user": { "uid": 0, "gid": 0 },
            // Without them the first process's namespaces are not for it to see.
            "capabilities": user.case.config["process"]["capabilities"],
        });
        let file = user.case.dir().join("process.json");
        fs::write(&file, process.to_string()).unwrap();
        let output = user.oci(&["exec", "--process", file.to_str().unwrap(), id]);
        let empty = "0000000000000000";
        let expect = format!("0\n0 1 2 3 {empty}\n{empty}\n500\n");
        assert_eq!(output.stdout, expect, "{output:?}");
        let output = user.oci(&["exec", "--user", "5:6", id, "id", "-u"]);
        if further {
            assert_eq!(output.stdout, "5\n", "{output:?}");
        } else {
            assert_eq!(output.code, 255);
            assert!(output.stderr.contains("group 6"), "{output:?}");
        }
        let output = user.oci(&["exec", id, "sh", "-c", "exit 37"]);
        assert_eq!(output.code, 37, "{output:?}");

        assert_eq!(user.oci(&["kill", id, "KILL"]).code, 0);
        crate::support::wait_until("its end", crate::support::PATIENCE, || {
            user.status(id) == "stopped"
        });
        let output = user.oci(&["delete", id]);
        assert_eq!((output.code, output.stderr.as_str()), (0, ""));
        assert!(user.status(id).contains("does not exist"));
    }
}

#[test]
fn an_ordinary_user_maps_further_ids_by_newuidmap() {
    let Some(mut user) = ordinary() else { return };
    user.specify(
        "tr -s ' ' < /proc/self/uid_map; tr -s ' ' < /proc/self/gid_map; id -u; id -G; touch /tmp/mine",
    );
    user.map_further();
    user.case.config["process"]["user"] = json!({ "uid": 7, "gid": 8, "additionalGids": [9] });
    user.write();
    let output = user.oci(&["run", &user.case.id("a")]);
    let map = format!(" 0 {USER} 1\n 1 {FURTHER} 65536\n");
    assert_eq!(output.stdout, format!("{map}{map}7\n8 9\n"), "{output:?}");
    let found = fs::metadata(user.open().join("mine")).unwrap();
    assert_eq!((found.uid(), found.gid()), (FURTHER + 6, FURTHER + 7));
}

#[test]
fn an_ordinary_user_does_not_map_ids_of_others() {
    let Some(mut user) = ordinary() else { return };
    user.specify("true");
    for (first, size) in [(0, 1), (0, 65536), (FURTHER - 1, 65536)] {
        let map = json!([{ "containerID": 0, "hostID": first, "size": size }]);
        user.case.config["linux"]["uidMappings"] = map;
        user.write();
        let output = user.oci(&["run", &user.case.id("a")]);
        assert_eq!(output.code, 1, "{first}: {output:?}");
        assert!(output.stderr.contains("linux.uidMappings"), "{output:?}");
    }
}

#[test]
fn a_limit_that_an_ordinary_user_cannot_have_is_refused_by_name() {
    let Some(mut user) = ordinary() else { return };
    user.specify("true");
    user.case.config["linux"]["resources"] = json!({ "pids": { "limit": 5 } });
    user.write();
    let output = user.oci(&["run", &user.case.id("a")]);
    assert_eq!(output.code, 1, "{output:?}");
    assert!(
        output.stderr.contains("linux.resources.pids.limit"),
        "{output:?}"
    );
}

#[test]
fn root_of_a_namespace_that_a_user_has_made_keeps_its_state_with_the_user() {
    let Some(mut user) = ordinary() else { return };
    // As podman of that user calls us.
    user.specify("id -u; tr -s ' ' < /proc/self/uid_map");
    let linux = user.case.config["linux"].as_object_mut().unwrap();
    linux.remove("uidMappings");
    linux.remove("gidMappings");
    let list = linux["namespaces"].as_array_mut().unwrap();
    list.retain(|namespace| namespace["type"] != "user");
    user.write();
    let (program, id) = (user.program(), user.case.id("a"));
    let words = [
        "unshare",
        "-Ur",
        program.to_str().unwrap(),
        "oci",
        "run",
        &id,
    ];
    let output = collect(&mut user.command(&words), &[]);
    assert_eq!(output.stdout, format!("0\n 0 {USER} 1\n"), "{output:?}");
    assert!(user.state_root().is_dir());
}

#[test]
fn a_rootless_container_is_the_same_as_with_runc() {
    let Some(mut user) = ordinary() else { return };
    if !has_peer("runc") {
        return;
    }
    user.specify(
        "id; tr -s ' ' < /proc/self/uid_map; cat /proc/self/setgroups /proc/self/oom_score_adj; hostname; pwd; \
        grep -E '^(Cap|NoNew|Groups|Umask)' /proc/self/status; ulimit -Hn; ls /dev /proc/sys/net; env | sort; \
        cut -d' ' -f2-3 /proc/mounts | grep -e ' tmpfs' -e ' mqueue' -e ' proc' -e ' devpts' | sort -u",
    );
    let ours = user.oci(&["run", &user.case.id("a")]);
    let root = user.runtime_dir().join("runc");
    let words = ["runc", "--root", root.to_str().unwrap(), "run", "a"];
    let theirs = collect(&mut user.command(&words), &[]);
    assert_eq!(ours.stdout, theirs.stdout, "{ours:?} {theirs:?}");
    assert_eq!(ours.code, 0, "{ours:?}");
}

/// podman of that user, with a store of its own and our runtime.
struct Podman<'a> {
    user: &'a Ordinary,
}

impl Podman<'_> {
    fn run(&self, args: &[&str]) -> Output {
        let dir = self.user.runtime_dir().join("podman");
        let place = |name: &str| dir.join(name).to_str().unwrap().to_owned();
        let (store, live, temporary) = (place("s"), place("r"), place("t"));
        let runtime = self.user.case.dir().join("wharf-oci");
        let mut words = vec![
            "podman",
            "--root",
            &store,
            "--runroot",
            &live,
            "--tmpdir",
            &temporary,
        ];
        words.extend(["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"]);
        words.extend([
            "--events-backend",
            "none",
            "--runtime",
            runtime.to_str().unwrap(),
        ]);
        words.extend(args);
        collect(&mut self.user.command(&words), &[])
    }

    fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert_eq!(output.code, 0, "podman {args:?}: {output:?}");
        output.stdout.trim().to_owned()
    }
}

impl Drop for Podman<'_> {
    fn drop(&mut self) {
        self.run(&["rm", "--all", "--force", "--time", "0"]);
        // Ends the process that keeps the user's namespaces.
        self.run(&["system", "migrate"]);
    }
}

#[test]
fn podman_of_an_ordinary_user_runs_and_enters_a_container() {
    let Some(user) = ordinary() else { return };
    if !has_peer("podman") {
        return;
    }
    let dir = user.case.dir();
    fs::hard_link(user.program(), dir.join("wharf-oci")).unwrap();
    let archive = dir.join("root.tar");
    let mut tar = Command::new("tar");
    let tar = tar.arg("-C").arg(user.case.bundle().join("rootfs"));
    assert_eq!(collect(tar.arg("-cf").arg(&archive).arg("."), &[]).code, 0);
    let podman = Podman { user: &user };
    podman.ok(&["import", archive.to_str().unwrap(), "box:1"]);
    let run = ["run", "--network", "none", "--ulimit", "nofile=1024:1024"];
    let with = |more: &[&str]| podman.ok(&[&run, more].concat());
    assert_eq!(with(&["--rm", "box:1", "id", "-u"]), "0");
    assert_eq!(with(&["--rm", "--user", "7:8", "box:1", "id", "-u"]), "7");
    with(&["-d", "--name", "c", "box:1", "sleep", "1000"]);
    assert_eq!(podman.ok(&["exec", "c", "id", "-u"]), "0");
    assert_eq!(podman.ok(&["exec", "--user", "5:6", "c", "id", "-u"]), "5");
    podman.ok(&["rm", "-f", "--time", "0", "c"]);
}
