//! Ways out of a container that other runtimes had, tried on `wharf oci`: hostile bundles, hostile programs in them, and
//! neighbours that change things meanwhile. [docs/security.md](../../docs/security.md) is the list; the host's decoy is
//! untouched.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::bundle::{add, bundle};
use crate::devices::{swapping, without};
use crate::oci::{Case, case};
use crate::runtime::{decoy, look};
use crate::support::{Output, PATIENCE, WHARF, collect, has_peer, names_in, wait_until};

/// Runs a command by way of a shell line, which ends in `exec "$@"`.
fn by_shell(case: &Case, line: &str, args: &[&str]) -> Output {
    let inner = case.command(args);
    let mut outer = Command::new("unshare");
    outer
        .args(["-m", "sh", "-c", line, "sh"])
        .arg(inner.get_program())
        .args(inner.get_args())
        .current_dir(case.bundle())
        .env_clear()
        .envs(
            inner
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .stdin(Stdio::null());
    collect(&mut outer, &[])
}

fn rights(case: &mut Case, names: &[&str]) {
    let caps: Vec<String> = names.iter().map(|name| format!("CAP_{name}")).collect();
    case.config["process"]["capabilities"] =
        json!({ "bounding": caps, "effective": caps, "permitted": caps });
}

/// What would be different if the program had been written to.
fn program() -> (u64, u64, i64, i64) {
    let found = fs::metadata(WHARF).unwrap();
    (found.ino(), found.len(), found.mtime(), found.mtime_nsec())
}

#[test]
fn cve_2019_5736_the_runtimes_binary_is_not_written_by_what_it_runs() {
    let Some(mut case) = case() else { return };
    let before = program();
    let rootfs = case.bundle().join("rootfs");
    fs::write(rootfs.join("evil"), "#!/proc/self/exe\n").unwrap();
    fs::set_permissions(rootfs.join("evil"), fs::Permissions::from_mode(0o755)).unwrap();
    rights(
        &mut case,
        &["SYS_PTRACE", "DAC_OVERRIDE", "KILL", "FOWNER", "SYS_ADMIN"],
    );
    // The interpreter is the runtime; what it says to its arguments is of no interest.
    case.config["process"]["args"] = json!(["/evil"]);
    let _ = case.oci(&["run", &case.id("evil")]);
    // A file that is executed cannot be written to; one that was can, by whoever has kept it open.
    case.runs(
        "while :; do for p in /proc/[0-9]*; do case $(readlink $p/exe) in /bin/busybox|'') ;; *) { \
        echo $p >> /tried; while [ -d $p ]; do :; done; \
        (: >> /proc/self/fd/3) && echo $p >> /written; echo $p >> /done; } 3< $p/exe;; \
        esac; done; done 2>/dev/null",
    );
    let id = case.id("a");
    case.ok(&["run", "--detach", &id]);
    let read = |name: &str| fs::read_to_string(rootfs.join(name)).unwrap_or_default();
    wait_until("the program was seen and has ended", PATIENCE, || {
        let output = case.oci(&["exec", &id, "/proc/self/exe", "oci", "features"]);
        assert!(output.stdout.contains("ociVersionMax"), "{output:?}");
        let _ = case.oci(&["exec", &id, "/evil"]);
        read("done").lines().count() > 2
    });
    case.ok(&["delete", "--force", &id]);
    assert_eq!(read("written"), "", "tried: {}", read("tried"));
    assert_eq!(program(), before);
}

#[test]
fn cve_2016_9962_a_process_that_joins_has_nothing_of_the_host_open() {
    let Some(case) = case() else { return };
    watch_what_joins(case);
}

#[test]
fn cve_2016_9962_a_process_that_joins_cannot_be_traced_from_its_user_namespace() {
    let Some(mut case) = case() else { return };
    let linux = &mut case.config["linux"];
    let namespaces = linux["namespaces"].as_array_mut().unwrap();
    namespaces.push(json!({ "type": "user" }));
    // Everybody is who they are outside: nothing but the namespace is in the way.
    let map = json!([{ "containerID": 0, "hostID": 0, "size": 65536 }]);
    linux["uidMappings"] = map.clone();
    linux["gidMappings"] = map;
    rights(&mut case, &["SYS_PTRACE", "DAC_OVERRIDE", "KILL"]);
    watch_what_joins(case);
}

fn watch_what_joins(mut case: Case) {
    case.runs(
        "while :; do for p in /proc/[0-9]*; do for f in $p/fd/* $p/cwd $p/root $p/exe; do readlink $f; done; done; \
        done 2>/dev/null >> /seen",
    );
    let id = case.id("a");
    case.ok(&["run", "--detach", &id]);
    for _ in 0..30 {
        // What the caller leaks is not the container's either.
        let output = by_shell(
            &case,
            "exec 9</sys/fs/cgroup; exec \"$@\"",
            &["exec", &id, "true"],
        );
        assert_eq!(output.code, 0, "{output:?}");
    }
    case.ok(&["delete", "--force", &id]);
    let seen = fs::read_to_string(case.bundle().join("rootfs/seen")).unwrap();
    assert!(seen.lines().count() > 10, "{seen}");
    // Its own streams, which are files of the test, are the container's.
    let own = case.dir().to_str().unwrap();
    let streams = [format!("{own}/out"), format!("{own}/err")];
    let outside: BTreeSet<&str> = seen
        .lines()
        .filter(|line| line.contains("wharf") || line.contains(own) || line.contains("cgroup"))
        .filter(|line| streams.iter().all(|stream| stream != line))
        .collect();
    assert_eq!(outside, BTreeSet::new());
}

#[test]
fn cve_2024_21626_a_descriptor_that_the_caller_leaks_is_no_way_out() {
    let Some(mut case) = case() else { return };
    if !has_peer("unshare") {
        return;
    }
    // What the host's root has and the container's has not.
    let marker = "boot";
    assert!(Path::new("/").join(marker).exists());
    let leaking = "exec 7</ 9</sys/fs/cgroup; exec \"$@\"";
    let line = "ls /proc/self/fd | tr '\\n' ' '; ls -a . ../../../.. 2>/dev/null";
    let id = case.id("a");
    case.ok(&["run", "--detach", &id]);
    for number in 3..14 {
        let path = format!("/proc/self/fd/{number}");
        let name = format!("fd{number}");
        symlink(&path, case.bundle().join("rootfs").join(&name)).unwrap();
        for cwd in [path, format!("/{name}")] {
            case.runs(line);
            case.config["process"]["cwd"] = json!(cwd);
            let other = case.id("b");
            let ran = by_shell(&case, leaking, &["run", &other]);
            case.config["process"]["cwd"] = json!("/");
            let args = ["exec", "--cwd", &cwd, &id, "sh", "-c", line];
            let entered = by_shell(&case, leaking, &args);
            for output in [ran, entered] {
                let names: Vec<&str> = output.stdout.lines().collect();
                assert!(!names.contains(&marker), "{cwd}: {output:?}");
                assert!(!names.contains(&"unified"), "{cwd}: {output:?}");
                if output.code == 0 {
                    assert!(output.stdout.starts_with("0 1 2 3 "), "{cwd}: {output:?}");
                }
            }
        }
    }
}

#[test]
fn cve_2024_21626_a_descriptor_that_is_passed_on_is_no_working_directory() {
    let Some(mut case) = case() else { return };
    if !has_peer("unshare") {
        return;
    }
    let id = case.id("a");
    case.ok(&["run", "--detach", &id]);
    let (leaking, cwd) = ("exec 3</; exec \"$@\"", "/proc/self/fd/3");
    case.runs("pwd");
    case.config["process"]["cwd"] = json!(cwd);
    let ran = by_shell(
        &case,
        leaking,
        &["run", "--preserve-fds", "1", &case.id("b")],
    );
    case.config["process"]["cwd"] = json!("/");
    let exec = ["exec", "--preserve-fds", "1", "--cwd", cwd, &id, "pwd"];
    let entered = by_shell(&case, leaking, &exec);
    for output in [ran, entered] {
        assert_ne!(output.code, 0, "{output:?}");
        assert!(output.stderr.contains("is a descriptor"), "{output:?}");
    }
}

#[test]
fn cve_2023_28642_a_proc_that_is_a_link_gets_no_label() {
    let Some(mut case) = case() else { return };
    let (decoy, before) = decoy(case.host());
    case.config["process"]["apparmorProfile"] = json!("unconfined");
    for to in [decoy.as_str(), "/tmp", "../.."] {
        let proc = case.bundle().join("rootfs/proc");
        let _ = fs::remove_dir(&proc).or_else(|_| fs::remove_file(&proc));
        symlink(to, &proc).unwrap();
        let output = by_shell(&case, &with_apparmor(), &["run", &case.id("a")]);
        assert_eq!(output.code, 1, "{to}: {output:?}");
        assert!(output.stderr.contains("ordinary directory"), "{output:?}");
    }
    assert_eq!(look(&decoy), before);
}

/// Makes the host look as if it had AppArmor.
fn with_apparmor() -> String {
    "mount -t tmpfs t /sys/module && mkdir -p /sys/module/apparmor/parameters && \
        echo Y > /sys/module/apparmor/parameters/enabled && exec \"$@\""
        .to_owned()
}

/// A root whose `/proc` is an ordinary directory with files that lead to the decoy.
fn false_proc(case: &mut Case, decoy: &str) {
    let list = case.config["mounts"].as_array_mut().unwrap();
    list.retain(|mount| mount["destination"] != "/proc");
    let proc = case.bundle().join("rootfs/proc");
    for name in ["self", "thread-self", "1"] {
        for below in ["attr", "attr/apparmor"] {
            fs::create_dir_all(proc.join(name).join(below)).unwrap();
        }
        for file in [
            "attr/exec",
            "attr/keycreate",
            "attr/apparmor/exec",
            "oom_score_adj",
            "setgroups",
            "timerslack_ns",
        ] {
            let path = proc.join(name).join(file);
            let _ = symlink(format!("{decoy}/file"), path);
        }
        symlink(decoy, proc.join(name).join("fd")).unwrap();
    }
    fs::create_dir_all(proc.join("sys/net/ipv4")).unwrap();
    symlink(
        format!("{decoy}/file"),
        proc.join("sys/net/ipv4/ip_unprivileged_port_start"),
    )
    .unwrap();
}

#[test]
fn cve_2025_62596_nothing_of_a_process_is_written_below_a_false_proc() {
    let Some(mut case) = case() else { return };
    let (decoy, before) = decoy(case.host());
    // The decoy's path exists inside, too: a link followed there would be seen as well.
    let inside = case
        .bundle()
        .join("rootfs")
        .join(decoy.trim_start_matches('/'));
    fs::create_dir_all(&inside).unwrap();
    fs::write(inside.join("file"), "untouched").unwrap();
    false_proc(&mut case, &decoy);
    case.config["process"]["oomScoreAdj"] = json!(500);
    case.config["linux"]["sysctl"] = json!({ "net.ipv4.ip_unprivileged_port_start": "77" });
    case.runs("sleep 1000");
    let id = case.id("a");
    case.ok(&["run", "--detach", &id]);
    let process = json!({
        "cwd": "/", "env": ["PATH=/bin"], "args": ["true"], "oomScoreAdj": 600, "user": { "uid": 5, "gid": 6 },
    });
    let file = case.dir().join("process.json");
    fs::write(&file, process.to_string()).unwrap();
    let output = case.oci(&["exec", "--process", file.to_str().unwrap(), &id]);
    assert_eq!(output.code, 0, "{output:?}");
    let score = fs::read_to_string(format!("/proc/{}/oom_score_adj", case.pid(&id))).unwrap();
    assert_eq!(score, "500\n");
    assert_eq!(look(&decoy), before);
    assert_eq!(
        fs::read_to_string(inside.join("file")).unwrap(),
        "untouched"
    );
}

#[test]
fn cve_2025_52881_a_label_is_not_written_below_a_false_proc() {
    let Some(mut case) = case() else { return };
    let (decoy, before) = decoy(case.host());
    let inside = case
        .bundle()
        .join("rootfs")
        .join(decoy.trim_start_matches('/'));
    fs::create_dir_all(&inside).unwrap();
    fs::write(inside.join("file"), "untouched").unwrap();
    false_proc(&mut case, &decoy);
    case.config["process"]["apparmorProfile"] = json!("owned");
    let output = by_shell(&case, &with_apparmor(), &["run", &case.id("a")]);
    // The true one knows of no such profile.
    assert_eq!(output.code, 1, "{output:?}");
    assert!(
        output.stderr.contains("process.apparmorProfile"),
        "{output:?}"
    );
    assert_eq!(look(&decoy), before);
    assert_eq!(
        fs::read_to_string(inside.join("file")).unwrap(),
        "untouched"
    );
}

#[test]
fn cve_2025_52881_a_kernel_parameter_that_is_mounted_over_is_not_written() {
    let Some(mut case) = case() else { return };
    let (decoy, before) = decoy(case.host());
    let proc = case.dir().join("p");
    fs::create_dir(&proc).unwrap();
    let proc = proc.to_str().unwrap().to_owned();
    let name = "sys/kernel/domainname";
    let line = format!(
        "mount -t proc proc {proc} && mount --bind {decoy}/file {proc}/{name} && exec \"$@\""
    );
    case.config["mounts"][0] =
        json!({ "destination": "/proc", "type": "bind", "source": proc, "options": ["rbind"] });
    case.config["linux"]["sysctl"] = json!({ "kernel.domainname": "owned" });
    case.runs("true");
    let output = by_shell(&case, &line, &["run", &case.id("a")]);
    assert_eq!(output.code, 1, "{output:?}");
    assert!(output.stderr.contains("domainname"), "{output:?}");
    assert_eq!(look(&decoy), before);
}

#[test]
fn cve_2025_62161_only_the_null_device_masks() {
    let Some(bundle) = bundle() else { return };
    let (decoy, before) = decoy(&bundle.host);
    let dev = bundle.path("dev");
    fs::create_dir(&dev).unwrap();
    let mut config = without(&bundle, "/dev");
    add(&mut config, &dev, "/dev", "bind", &["rbind"]);
    config["linux"]["maskedPaths"] = json!(["/proc/version"]);
    let null = format!("{dev}/null");
    for make in [
        format!("echo file > {null}"),
        format!("mkdir {null}"),
        format!("mkfifo {null}"),
        // What writes to it would not be seen, and what reads from it never ends.
        format!("mknod {null} c 1 5"),
        format!("mknod {null} b 1 3"),
        format!("ln -s {decoy}/null {null}"),
        format!("ln -s /proc/self/fd/0 {null}"),
    ] {
        let made = collect(Command::new("sh").args(["-c", &make]), &[]);
        assert_eq!(made.code, 0, "{make}: {made:?}");
        let error = bundle.refused(&config);
        assert!(error.contains("is not the null device"), "{make}: {error}");
        let _ = fs::remove_file(&null).or_else(|_| fs::remove_dir(&null));
    }
    assert_eq!(look(&decoy), before);
}

#[test]
fn cve_2025_31133_a_null_device_that_is_swapped_meanwhile_masks_or_nothing_starts() {
    let Some(bundle) = bundle() else { return };
    let (decoy, before) = decoy(&bundle.host);
    let dev = bundle.path("dev");
    fs::create_dir(&dev).unwrap();
    let (null, link) = (format!("{dev}/null"), format!("{dev}/link"));
    let made = collect(Command::new("mknod").args([&null, "c", "1", "3"]), &[]);
    assert_eq!(made.code, 0, "{made:?}");
    symlink("/proc/sys/kernel/core_pattern", &link).unwrap();
    let mut config = without(&bundle, "/dev");
    add(&mut config, &dev, "/dev", "bind", &["rbind"]);
    config["linux"]["maskedPaths"] = json!(["/proc/version", "/proc/uptime"]);
    let pattern = || fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    let unchanged = pattern();
    swapping(&null, &link, || {
        for _ in 0..25 {
            let line = "(echo owned > /proc/version) 2>/dev/null; wc -c < /proc/version; wc -c < /proc/uptime";
            // Whether it starts depends on the moment.
            if let Ok(ran) = bundle.run(&config, line) {
                assert_eq!(ran.out, "0\n0\n", "{ran:?}");
            }
        }
    });
    assert_eq!(pattern(), unchanged);
    assert_eq!(look(&decoy), before);
}

#[test]
fn cve_2025_52565_a_console_that_is_swapped_meanwhile_leads_nowhere() {
    let Some(mut bundle) = bundle() else { return };
    let (decoy, before) = decoy(&bundle.host);
    bundle.tty = true;
    let dev = bundle.path("dev");
    fs::create_dir_all(format!("{dev}/pts")).unwrap();
    fs::write(format!("{dev}/console"), "").unwrap();
    for name in ["link", "ptmx"] {
        symlink(format!("{decoy}/file"), format!("{dev}/{name}")).unwrap();
    }
    let mut config = without(&bundle, "/dev");
    add(&mut config, &dev, "/dev", "bind", &["rbind"]);
    let terminals = ["newinstance", "ptmxmode=0666"];
    let mut with_terminals = config.clone();
    add(
        &mut with_terminals,
        "devpts",
        "/dev/pts",
        "devpts",
        &terminals,
    );
    swapping(&format!("{dev}/console"), &format!("{dev}/link"), || {
        for _ in 0..25 {
            let _ = bundle.run(&with_terminals, "echo owned > /dev/console; tty");
            assert_eq!(look(&decoy), before);
        }
    });
    // A directory that only looks like one of terminals.
    for name in ["0", "1", "ptmx"] {
        symlink(format!("{decoy}/file"), format!("{dev}/pts/{name}")).unwrap();
    }
    assert!(bundle.run(&config, "echo owned").is_err());
    assert_eq!(look(&decoy), before);
}

#[test]
fn cve_2025_27612_a_further_process_has_no_inheritable_or_ambient_capability() {
    let Some(mut case) = case() else { return };
    rights(&mut case, &["KILL", "CHOWN", "NET_RAW"]);
    let id = case.id("a");
    case.ok(&["run", "--detach", &id]);
    let line = "sed -n 's/^Cap\\(Inh\\|Amb\\):\t//p' /proc/self/status";
    let none = "0000000000000000\n0000000000000000\n";
    for user in ["0", "7:7"] {
        let output = case.oci(&["exec", "--user", user, &id, "sh", "-c", line]);
        assert_eq!(output.stdout, none, "{user}: {output:?}");
    }
    let caps = json!(["CAP_KILL"]);
    let process = json!({
        "cwd": "/", "env": ["PATH=/bin"], "args": ["sh", "-c", line], "user": { "uid": 7, "gid": 7 },
        "capabilities": { "bounding": caps, "effective": caps, "permitted": caps },
    });
    let file = case.dir().join("process.json");
    fs::write(&file, process.to_string()).unwrap();
    let output = case.oci(&["exec", "--process", file.to_str().unwrap(), &id]);
    assert_eq!(output.stdout, none, "{output:?}");
}

#[test]
fn cve_2026_30892_a_user_of_exec_is_these_numbers_or_nobody() {
    let Some(case) = case() else { return };
    let etc = case.bundle().join("rootfs/etc");
    fs::write(
        etc.join("passwd"),
        "1abc:x:0:0::/:/bin/sh\n4294967296:x:0:0::/:/bin/sh\n+1:x:0:0::/:/bin/sh\n",
    )
    .unwrap();
    let id = case.id("a");
    case.ok(&["run", "--detach", &id]);
    let who = |user: &str| {
        case.oci(&[
            "exec",
            "--user",
            user,
            &id,
            "sh",
            "-c",
            "echo $(id -u):$(id -g)",
        ])
    };
    for (user, expect) in [
        ("1", "1:0"),
        ("1:1", "1:1"),
        ("0:5", "0:5"),
        ("2147483647:7", "2147483647:7"),
    ] {
        let output = who(user);
        assert_eq!(output.stdout.trim(), expect, "{user}: {output:?}");
    }
    for user in [
        "+1",
        " 1",
        "1 ",
        "0x1",
        "1abc",
        "-1",
        "4294967295",
        "4294967296",
        "1:4294967296",
        "1:+1",
        "1:-1",
        "1:1:1",
        "1,2",
    ] {
        let output = who(user);
        assert_eq!(output.code, 255, "{user:?}: {output:?}");
        assert_eq!(output.stdout, "", "{user:?}: {output:?}");
    }
}

#[test]
fn cve_2022_0492_what_spec_writes_lets_nobody_write_to_a_group() {
    let Some(mut case) = case() else { return };
    let path = case.bundle().join("config.json");
    assert_eq!(
        case.oci(&["spec", "--bundle", case.dir().to_str().unwrap()])
            .code,
        0
    );
    case.config =
        serde_json::from_slice(&fs::read(case.dir().join("config.json")).unwrap()).unwrap();
    let _ = path;
    case.config["process"]["terminal"] = json!(false);
    case.runs(
        "find /sys/fs/cgroup -type f | while read f; do (: >> $f) 2>/dev/null && echo $f; done; \
        find /sys/fs/cgroup -type d | while read d; do mkdir $d/x 2>/dev/null && echo $d; done; \
        mount -t cgroup -o memory c /dev/shm 2>/dev/null && echo mounted; echo done",
    );
    let output = case.oci(&["run", &case.id("a")]);
    assert_eq!(output.stdout, "done\n", "{output:?}");
}

#[test]
fn cve_2022_1227_listing_processes_runs_nothing_of_the_image() {
    let Some(case) = case() else { return };
    let rootfs = case.bundle().join("rootfs");
    for name in ["bin/ps", "ps"] {
        let path = rootfs.join(name);
        let _ = fs::remove_file(&path);
        fs::write(&path, "#!/bin/sh\ntouch /ran /tmp/ran\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let id = case.id("a");
    case.ok(&["run", "--detach", &id]);
    let output = case.oci(&["ps", &id]);
    assert!(output.stdout.contains("sleep"), "{output:?}");
    assert!(!rootfs.join("ran").exists() && !Path::new("/ran").exists());
}

#[test]
fn cve_2024_25621_nobody_else_looks_into_the_state_of_a_container() {
    let Some(case) = case() else { return };
    let id = case.id("a");
    case.ok(&["create", &id]);
    assert_eq!(open_to_others(&case.root()), Vec::<String>::new());
}

/// What any user may look into below a directory: neither it nor one above it is closed to them.
pub fn open_to_others(dir: &Path) -> Vec<String> {
    let is_open = |path: &Path| {
        let mode = fs::metadata(path).map_or(0, |found| found.mode());
        mode.trailing_zeros() < 3
    };
    if !dir.is_dir() || !is_open(dir) {
        return Vec::new();
    }
    let below = names_in(dir).into_iter();
    let mut found = vec![dir.display().to_string()];
    found.extend(below.flat_map(|name| open_to_others(&dir.join(name))));
    found
}

#[test]
fn cve_2020_15257_no_socket_of_ours_is_in_the_hosts_network_namespace() {
    let Some(mut case) = case() else { return };
    let list: &mut Vec<Value> = case.config["linux"]["namespaces"].as_array_mut().unwrap();
    list.retain(|namespace| namespace["type"] != "network");
    let id = case.id("a");
    case.ok(&["create", &id]);
    // The one thing that listens: the gate, which has a path.
    let sockets = fs::read_to_string("/proc/net/unix").unwrap();
    let own: Vec<&str> = sockets
        .lines()
        .filter(|line| line.contains(case.dir().to_str().unwrap()))
        .collect();
    assert!(own.iter().all(|line| !line.contains('@')), "{own:?}");
    case.ok(&["start", &id]);
    let output = case.oci(&["exec", &id, "cat", "/proc/net/unix"]);
    let named: Vec<&str> = output
        .stdout
        .lines()
        .filter(|line| line.contains('@') && line.contains("wharf"))
        .collect();
    assert_eq!(named, Vec::<&str>::new());
}

#[test]
fn an_annotation_of_an_image_chooses_no_filter() {
    let Some(mut case) = case() else { return };
    // Engines copy annotations of an image into the configuration.
    case.config["annotations"] = json!({ "wharf.seccomp": "default" });
    case.config["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1 }],
    });
    case.runs("mkdir /tmp/x 2>/dev/null && echo made; echo done");
    let output = case.oci(&["run", &case.id("a")]);
    assert_eq!(output.stdout, "done\n", "{output:?}");
    case.config["linux"]
        .as_object_mut()
        .unwrap()
        .remove("seccomp");
    case.runs("sed -n 's/^Seccomp:\t//p' /proc/self/status");
    let output = case.oci(&["run", &case.id("a")]);
    assert_eq!(output.stdout, "0\n", "{output:?}");
}

#[test]
fn cve_2022_24769_what_the_caller_may_pass_on_ends_with_it() {
    let Some(mut case) = case() else { return };
    if !has_peer("setpriv") {
        return;
    }
    let line = "sed -n 's/^Cap\\(Inh\\|Amb\\):\t//p' /proc/self/status";
    let with_rights = "exec setpriv --inh-caps=+kill,+net_raw --ambient-caps=+kill,+net_raw \"$@\"";
    case.runs(line);
    rights(&mut case, &["KILL", "NET_RAW"]);
    let none = "0000000000000000\n0000000000000000\n";
    let output = by_shell(&case, with_rights, &["run", &case.id("b")]);
    assert_eq!(output.stdout, none, "{output:?}");
    case.runs("sleep 1000");
    let id = case.id("a");
    case.ok(&["run", "--detach", &id]);
    let output = by_shell(
        &case,
        with_rights,
        &["exec", "--user", "7", &id, "sh", "-c", line],
    );
    assert_eq!(output.stdout, none, "{output:?}");
}

/// `outer` puts a key into a new session keyring and goes on with another program; `inner` looks for it.
const KEYS: &str = r#"
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(int argc, char **argv) {
    if (strcmp(argv[1], "outer") == 0) {
        if (syscall(SYS_keyctl, 1, 0) < 0 || syscall(SYS_add_key, "user", "decoy", "x", 1, -3) < 0)
            return 99;
        execvp(argv[2], argv + 2);
        return 98;
    }
    puts(syscall(SYS_keyctl, 10, -3, "user", "decoy", 0) < 0 ? "not found" : "found");
    return 0;
}
"#;

#[test]
fn no_key_of_the_caller_is_found_inside() {
    let Some(mut case) = case() else { return };
    if !has_peer("cc") {
        return;
    }
    let (source, program) = (case.dir().join("keys.c"), case.bundle().join("rootfs/keys"));
    fs::write(&source, KEYS).unwrap();
    let mut cc = Command::new("cc");
    let made = collect(cc.args(["-static", "-o"]).arg(&program).arg(&source), &[]);
    assert_eq!(made.code, 0, "{made:?}");
    let line = format!("exec {} outer \"$@\"", program.display());
    let id = case.id("a");
    case.ok(&["run", "--detach", &id]);
    let output = by_shell(&case, &line, &["exec", &id, "/keys", "inner"]);
    assert_eq!(output.stdout, "not found\n", "{output:?}");
    case.config["process"]["args"] = json!(["/keys", "inner"]);
    let run = |flags: &[&str]| {
        let id = case.id("b");
        let output = by_shell(&case, &line, &[&["run"], flags, &[&id]].concat());
        (output.stdout.clone(), output)
    };
    let (said, output) = run(&[]);
    assert_eq!(said, "not found\n", "{output:?}");
    // Unless it is asked for.
    let (said, output) = run(&["--no-new-keyring"]);
    assert_eq!(said, "found\n", "{output:?}");
}
