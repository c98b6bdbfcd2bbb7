//! What the test suites of runc and crun have shown to be different, each cause once.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::feature::{Feature, here};
use crate::oci::{Case, case};
use crate::support::{PATIENCE, WHARF, cgroup_mounts, collect, wait_until};

/// Where the host keeps a v1 controller's groups.
fn controller(name: &str) -> Option<PathBuf> {
    let mut mounts = cgroup_mounts().into_iter();
    mounts.find(|mount| mount.file_name().is_some_and(|file| file == name))
}

/// A script that calls us with words of its own around the command.
fn script(case: &Case, text: &str) -> Command {
    let ours = case.command(&[]);
    let root = case.root();
    let wharf = format!("{WHARF} oci --root {}", root.display());
    let mut command = Command::new("sh");
    command.args(["-c", &text.replace("WHARF", &wharf)]);
    command.stdin(Stdio::null());
    command.current_dir(ours.get_current_dir().unwrap());
    command
}

/// Gives the container a user namespace.
fn has_users(case: &mut Case) {
    let map = json!([{ "containerID": 0, "hostID": 0, "size": 65536 }]);
    let namespaces = case.config["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.push(json!({ "type": "user" }));
    case.config["linux"]["uidMappings"] = map.clone();
    case.config["linux"]["gidMappings"] = map;
}

#[test]
fn a_foreground_terminal_adds_no_carriage_returns() {
    let Some(mut case) = case() else { return };
    case.config["process"]["terminal"] = json!(true);
    case.runs("echo one; echo two");
    let output = case.oci(&["run", &case.id("a")]);
    assert_eq!(output.stdout, "one\ntwo\n", "{output:?}");
    case.config["process"]["terminal"] = json!(false);
    case.runs("exec sleep 1000");
    let id = &case.id("b");
    case.ok(&["run", "--detach", id]);
    let output = case.oci(&["exec", "--tty", id, "echo", "three"]);
    assert_eq!(output.stdout, "three\n", "{output:?}");
}

#[test]
fn a_foreground_terminal_without_input_is_at_its_end() {
    let Some(mut case) = case() else { return };
    case.config["process"]["terminal"] = json!(true);
    case.runs("cat; echo ended");
    // Standard input is the null device.
    let output = case.oci(&["run", &case.id("a")]);
    assert_eq!(output.stdout, "ended\n", "{output:?}");
}

#[test]
fn debug_tells_what_is_done_where_errors_go() {
    let Some(mut case) = case() else { return };
    case.runs("echo out");
    let id = &case.id("a");
    let output = case.oci(&["--debug", "run", id]);
    assert_eq!(output.stdout, "out\n");
    assert!(output.stderr.contains(" level=debug msg="), "{output:?}");
    let log = case.dir().join("log");
    let words = ["--debug", "--log-format", "json", "--log"];
    let output = case.oci(&[&words[..], &[log.to_str().unwrap(), "run", id]].concat());
    assert_eq!(output.stderr, "");
    let text = fs::read_to_string(&log).unwrap();
    let entries: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(entries.iter().all(|entry| entry["level"] == "debug"));
    for part in [
        id.as_str(),
        "nsexec container setup",
        "child process in init()",
        "container init: mounts: ",
        "init: closing the pipe to signal completion",
        "has ended",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let quiet = case.oci(&["run", id]);
    assert_eq!(quiet.stderr, "");
}

#[test]
fn a_container_has_a_group_in_the_unified_tree_of_a_hybrid_host() {
    let Some(case) = case() else { return };
    let unified = Path::new("/sys/fs/cgroup/unified");
    if !here(Feature::Hybrid) {
        return;
    }
    let id = &case.id("a");
    case.ok(&["run", "--detach", id]);
    let group_of = |pid: &str| {
        let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
        text.lines()
            .find_map(|line| Some(line.strip_prefix("0::")?.to_owned()))
    };
    let path = format!("/wharf/{id}");
    assert_eq!(group_of(&case.pid(id).to_string()), Some(path.clone()));
    let told = case.ok(&["exec", id, "cat", "/proc/self/cgroup"]);
    // It is the root that the container's cgroup namespace shows.
    assert!(told.lines().any(|line| line == "0::/"), "{told}");
    case.ok(&["delete", "--force", id]);
    assert!(!unified.join(path.trim_start_matches('/')).exists());
}

#[test]
fn a_root_that_was_named_must_be_there() {
    let Some(case) = case() else { return };
    let line = case.refused(&["list"]);
    assert!(line.starts_with("--root: "), "{line}");
    assert!(line.ends_with("no such file or directory"), "{line}");
    let mut command = Command::new(WHARF);
    command.args(["oci", "list", "-q"]);
    command.env("XDG_RUNTIME_DIR", case.dir());
    // Of root itself it is the host's, which other tests leave alone.
    let output = collect(&mut command, &[]);
    assert_eq!(output.code, 0, "{output:?}");
}

#[test]
fn the_log_has_the_filters_flags_and_the_first_processors() {
    let Some(mut case) = case() else { return };
    let id = &case.id("a");
    case.config["linux"]["seccomp"] = json!({ "defaultAction": "SCMP_ACT_ALLOW",
        "flags": ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"] });
    let log = case.dir().join("log");
    let debug = ["--debug", "--log", log.to_str().unwrap()];
    let begun = case.leave(&[&debug[..], &["run", "--detach", id]].concat());
    assert_eq!(begun.code, 0, "{begun:?}");
    let told = fs::read_to_string(&log).unwrap();
    assert!(told.contains("\"seccomp filter flags: 6\""), "{told}");
    case.config["process"]["execCPUAffinity"] = json!({ "initial": "0" });
    let mut process = case.config["process"].clone();
    process["args"] = json!(["true"]);
    let path = case.dir().join("process.json");
    fs::write(&path, process.to_string()).unwrap();
    let words = ["exec", "--process", path.to_str().unwrap(), id];
    let done = case.leave(&[&debug[..], &words].concat());
    assert_eq!(done.code, 0, "{done:?}");
    let told = fs::read_to_string(&log).unwrap();
    for part in ["\"nsexec: affinity: 0x1\"", "setns_init: about to exec"] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

#[test]
fn the_version_has_the_lines_that_drivers_read() {
    let Some(case) = case() else { return };
    let told = case.ok(&["--version"]);
    let lines: Vec<&str> = told.lines().collect();
    // Docker takes what stands behind the last "version" of the line.
    let own = lines[0].rsplit("version ").next();
    assert_eq!(own, Some(env!("CARGO_PKG_VERSION")));
    assert!(lines[0].contains("runc version 1."), "{told}");
    assert!(lines[1].starts_with("commit: "), "{told}");
    assert!(lines[2].starts_with("spec: 1."), "{told}");
}

#[test]
fn help_is_found_where_callers_of_runc_look() {
    let Some(case) = case() else { return };
    let help = case.ok(&["-h"]);
    let mut lines = help.lines();
    assert_eq!(lines.next(), Some("NAME:"));
    assert!(
        lines
            .next()
            .unwrap()
            .contains("runc - Open Container Initiative runtime")
    );
    for name in ["run", "features", "checkpoint", "restore"] {
        let page = case.ok(&[name, "--help"]);
        let line = format!("NAME:\n   wharf-oci {name} - ");
        assert!(page.starts_with(&line), "{page}");
    }
}

#[test]
fn a_process_that_waits_for_start_holds_no_directory_but_its_root() {
    let Some(case) = case() else { return };
    let id = &case.id("a");
    case.ok(&["create", id]);
    let dir = format!("/proc/{}/fd", case.pid(id));
    let open = fs::read_dir(dir).unwrap();
    let links: Vec<PathBuf> = open
        .map(|entry| fs::read_link(entry.unwrap().path()).unwrap())
        .collect();
    let inside = |link: &&PathBuf| link.starts_with("/dev") && *link != Path::new("/dev/null");
    assert_eq!(links.iter().find(inside), None, "{links:?}");
    assert!(!links.contains(&PathBuf::from("/proc")), "{links:?}");
}

#[test]
fn spec_has_a_cgroup_namespace_only_where_there_is_one_tree() {
    let Some(case) = case() else { return };
    let dir = case.dir().join("new");
    fs::create_dir(&dir).unwrap();
    case.ok(&["spec", "--bundle", dir.to_str().unwrap()]);
    let text = fs::read(dir.join("config.json")).unwrap();
    let written: Value = serde_json::from_slice(&text).unwrap();
    let namespaces = written["linux"]["namespaces"].as_array().unwrap();
    let has_one = namespaces.iter().any(|entry| entry["type"] == "cgroup");
    let unified = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    assert_eq!(has_one, unified);
}

#[test]
fn groups_that_are_taken_are_told_in_runcs_words() {
    let Some(mut case) = case() else { return };
    let group = format!("/wharf/{}", case.id("shared"));
    case.config["linux"]["cgroupsPath"] = json!(group);
    let (first, second) = (&case.id("a"), &case.id("b"));
    case.ok(&["run", "--detach", first]);
    let line = case.refused(&["create", second]);
    let words = "container's cgroup is not empty: 1 process(es) found";
    assert!(line.ends_with(words), "{line}");
    let line = case.refused(&["exec", "--cgroup", "..", first, "true"]);
    assert!(line.contains("bad sub cgroup path"), "{line}");
    assert!(line.contains("`..` components are not allowed"), "{line}");
    case.ok(&["delete", "--force", first]);
    let Some(freezer) = controller("freezer") else {
        return;
    };
    let directory = freezer.join(group.trim_start_matches('/'));
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("freezer.state"), "FROZEN").unwrap();
    let line = case.refused(&["create", second]);
    fs::write(directory.join("freezer.state"), "THAWED").unwrap();
    fs::remove_dir(&directory).unwrap();
    let words = "container's cgroup unexpectedly frozen";
    assert!(line.ends_with(words), "{line}");
    case.config["linux"]["resources"] = json!({ "unified": { "memory.min": "131072" } });
    let line = case.refused(&["create", second]);
    assert!(line.contains("invalid configuration"), "{line}");
}

#[test]
fn a_gap_between_descriptors_is_handed_on_as_a_gap() {
    let Some(mut case) = case() else { return };
    case.runs("ls /proc/self/fd");
    let id = case.id("a");
    let text = format!("exec 3<&-; exec 5</dev/null; exec WHARF run --preserve-fds 5 {id}");
    let output = collect(&mut script(&case, &text), &[]);
    // The lowest free one is the directory that is read.
    assert_eq!(output.stdout, "0\n1\n2\n3\n5\n", "{output:?}");
    // Nothing of ours got into the gap: the lock is free.
    case.runs("sleep 1000");
    let text = format!(
        "exec 6</dev/null; WHARF create --preserve-fds 100 {id} >/dev/null 2>&1 && WHARF start {id}"
    );
    let output = collect(&mut script(&case, &text), &[]);
    assert_eq!((output.code, output.stderr.as_str()), (0, ""));
}

#[test]
fn a_device_of_the_host_carries_neither_setuid_nor_programs() {
    let Some(mut case) = case() else { return };
    has_users(&mut case);
    case.runs("grep ' /dev/null ' /proc/self/mountinfo");
    let output = case.oci(&["run", &case.id("a")]);
    let options = output.stdout.split(' ').nth(5).unwrap_or_default();
    for flag in ["nosuid", "noexec"] {
        assert!(options.split(',').any(|o| o == flag), "{output:?}");
    }
}

#[test]
fn a_user_namespace_has_device_nodes_of_its_own() {
    let Some(mut case) = case() else { return };
    has_users(&mut case);
    for list in ["uidMappings", "gidMappings"] {
        case.config["linux"][list][0]["hostID"] = json!(70000);
    }
    // The host has none of them.
    case.config["linux"]["devices"] = json!([
        { "path": "/dev/wharf-own", "type": "b", "major": 1, "minor": 5, "fileMode": 0o157, "uid": 10, "gid": 11 },
        { "path": "/dev/deep/zero", "type": "c", "major": 1, "minor": 5 },
        { "path": "/dev/pipe", "type": "p", "fileMode": 0o600 },
    ]);
    case.runs(
        "umask 077; cd /dev; stat -c '%n %F %t:%T %a %u:%g' wharf-own deep/zero pipe; \
         head -c 2 deep/zero | od -An -tx1; ls / | tr '\\n' ' '",
    );
    let before = fs::read_to_string("/proc/self/mounts").unwrap();
    let told = case.ok(&["run", &case.id("a")]);
    let expected = "wharf-own block special file 1:5 157 10:11\n\
        deep/zero character special file 1:5 666 0:0\n\
        pipe fifo 0:0 600 0:0\n 00 00\nbin dev etc proc sys tmp ";
    assert_eq!(told, expected);
    assert_eq!(fs::read_to_string("/proc/self/mounts").unwrap(), before);
}

#[test]
fn a_link_in_the_place_of_dev_is_refused() {
    let Some(mut case) = case() else { return };
    let root = case.bundle().join("rootfs");
    let outside = case.dir().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::remove_dir_all(root.join("dev")).unwrap();
    symlink(&outside, root.join("dev")).unwrap();
    let mounts = case.config["mounts"].as_array_mut().unwrap();
    mounts.retain(|mount| mount["destination"] == "/proc");
    let line = case.refused(&["run", &case.id("a")]);
    assert!(line.contains("/dev is a symbolic link"), "{line}");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}

#[test]
fn a_working_directory_that_is_not_there_is_told_as_chdir() {
    let Some(case) = case() else { return };
    let id = &case.id("a");
    case.ok(&["run", "--detach", id]);
    let line = case.refused(&["exec", "--cwd", "/not/there", id, "true"]);
    assert!(
        line.starts_with("--cwd: process.cwd: chdir to working directory: /not/there: "),
        "{line}"
    );
    assert!(line.ends_with("no such file or directory"), "{line}");
}

#[test]
fn the_callers_groups_are_kept_if_crun_would_keep_them() {
    let Some(mut case) = case() else { return };
    case.runs("grep Groups /proc/self/status");
    for (value, expected) in [("1", "Groups:\t7 8 \n"), ("0", "Groups:\t \n")] {
        case.config["annotations"] = json!({ "run.oci.keep_original_groups": value });
        let mut command = Command::new("setpriv");
        let ours = case.command(&["run", &case.id("a")]);
        command.args(["--groups", "7,8"]).arg(ours.get_program());
        command.args(ours.get_args());
        command.current_dir(ours.get_current_dir().unwrap());
        let output = collect(&mut command, &[]);
        assert_eq!(output.stdout, expected, "{output:?}");
    }
}

/// A shell without job control starts background jobs with interrupts ignored. The container must not inherit that.
#[test]
fn a_background_job_passes_interrupts_on() {
    let Some(mut case) = case() else { return };
    case.runs("trap 'exit 5' INT; echo ready; while :; do sleep 0.01; done");
    let id = case.id("a");
    let out = case.dir().join("out");
    let text = format!(
        "WHARF run {id} >{0} & until grep -qs ready {0}; do sleep 0.01; done; kill -INT $!; wait $!",
        out.display()
    );
    let mut child = script(&case, &text).spawn().unwrap();
    wait_until("the end", PATIENCE, || child.try_wait().unwrap().is_some());
    assert_eq!(child.wait().unwrap().code(), Some(5));
}

#[test]
fn a_container_that_waits_ends_when_it_is_asked_to() {
    let Some(case) = case() else { return };
    for signal in ["TERM", "INT", "HUP"] {
        let id = &case.id(signal);
        case.ok(&["create", id]);
        case.ok(&["kill", id, signal]);
        case.wait_for_status(id, "stopped");
        case.ok(&["delete", id]);
    }
}

#[test]
fn what_is_not_locked_goes_in_a_user_namespace_too() {
    let Some(mut case) = case() else { return };
    let source = case.dir().join("source");
    fs::create_dir(&source).unwrap();
    has_users(&mut case);
    let mounts = case.config["mounts"].as_array_mut().unwrap();
    mounts.push(json!({ "destination": "/mnt", "source": source, "options": ["bind", "dev"] }));
    case.runs("grep ' /mnt ' /proc/self/mountinfo");
    let id = case.id("a");
    let source = source.display();
    let text = format!(
        "mount --bind {source} {source}; mount -o remount,bind,nosuid,nosymfollow {source}; WHARF run {id}"
    );
    // In a mount namespace of its own: the host does not see the source's options.
    let inner = script(&case, &text);
    let mut command = Command::new("unshare");
    command.arg("--mount").arg(inner.get_program());
    command.args(inner.get_args()).stdin(Stdio::null());
    command.current_dir(inner.get_current_dir().unwrap());
    let output = collect(&mut command, &[]);
    let options = output.stdout.split(' ').nth(5).unwrap_or_default();
    let has = |flag| options.split(',').any(|option| option == flag);
    assert!(has("nosuid") && !has("nosymfollow"), "{output:?}");
}

/// podman mounts a `passwd` of its own, and with `--userns=auto` and `--user` that kept everything from starting.
#[test]
fn a_passwd_that_may_not_be_read_knows_nobody() {
    let Some(mut case) = case() else { return };
    has_users(&mut case);
    let passwd = case.bundle().join("rootfs/etc/passwd");
    fs::write(&passwd, "five:x:5:6::/five:/bin/sh\n").unwrap();
    case.config["process"]["user"] = json!({ "uid": 5, "gid": 6 });
    case.runs("echo $HOME");
    assert_eq!(case.ok(&["run", &case.id("a")]), "/five\n");
    // Of somebody whom the namespace does not know.
    chown(&passwd, Some(70_000), Some(70_000)).unwrap();
    fs::set_permissions(&passwd, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(case.ok(&["run", &case.id("b")]), "/\n");
}

#[test]
fn access_to_a_device_may_be_written_with_an_a() {
    let Some(mut case) = case() else { return };
    case.config["linux"]["resources"] = json!({ "devices": [
        { "allow": false, "access": "rwm" },
        { "allow": false, "type": "c", "major": 1, "minor": 11, "access": "rwa" },
    ]});
    case.runs("echo made");
    let output = case.oci(&["run", &case.id("a")]);
    assert_eq!(output.stdout, "made\n", "{output:?}");
}

#[test]
fn a_link_in_the_place_of_proc_is_refused_in_runcs_words() {
    let Some(case) = case() else { return };
    let root = case.bundle().join("rootfs");
    fs::remove_dir(root.join("proc")).unwrap();
    symlink("tmp", root.join("proc")).unwrap();
    let line = case.refused(&["run", &case.id("a")]);
    let words = "proc must be mounted on ordinary directory";
    assert!(line.contains(words), "{line}");
}

#[test]
fn a_foreground_container_gets_signals_of_every_kind() {
    let Some(mut case) = case() else { return };
    // The last one is RTMIN+3, with which systemd is asked to power off.
    for signal in ["CONT", "TSTP", "URG", "37"] {
        case.runs(&format!(
            "trap 'exit 5' {signal}; echo ready; while :; do sleep 0.01; done"
        ));
        let id = case.id(signal);
        let out = case.dir().join(signal);
        let text = format!(
            "WHARF run {id} >{0} & until grep -qs ready {0}; do sleep 0.01; done; kill -{signal} $!; wait $!",
            out.display()
        );
        let output = collect(&mut script(&case, &text), &[]);
        assert_eq!(output.code, 5, "{signal}: {output:?}");
    }
}

#[test]
fn a_sub_cgroup_that_is_not_there_is_told_in_runcs_words() {
    let Some(case) = case() else { return };
    let id = &case.id("a");
    case.ok(&["run", "--detach", id]);
    let line = case.refused(&["exec", "--cgroup", "not/there", id, "true"]);
    assert!(line.contains(" adding pid "), "{line}");
    assert!(line.ends_with("no such file or directory"), "{line}");
    if controller("freezer").is_some() {
        let line = case.refused(&["exec", "--cgroup", "nosuch:/", id, "true"]);
        assert!(line.ends_with("unknown controller nosuch"), "{line}");
        for controller in ["memory", "cpu,memory"] {
            let group = format!("{controller}:not/there");
            let line = case.refused(&["exec", "--cgroup", &group, id, "true"]);
            assert!(line.ends_with("no such file or directory"), "{line}");
        }
    }
}

#[test]
fn cache_is_changed_only_for_containers_that_have_some() {
    let Some(case) = case() else { return };
    let id = &case.id("a");
    let words = ["update", "--l3-cache-schema", "L3:0=f", id];
    assert_eq!(case.refused(&words), "container does not exist");
    case.ok(&["run", "--detach", id]);
    let text = "updating a non-existent Intel RDT configuration is not supported";
    assert_eq!(case.refused(&words), text);
}
