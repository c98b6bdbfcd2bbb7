//! Mounts as a specification asks for them: every option, every kind of source and target, what is refused, and what is
//! hidden.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::bundle::{Bundle, add, bundle};
use crate::support::{PATIENCE, has_peer, wait_until};

/// A line of a mountinfo file (proc(5)).
#[derive(Debug)]
struct Line {
    options: Vec<String>,
    propagation: Vec<String>,
    kind: String,
    data: Vec<String>,
}

/// What is mounted on a target on top.
fn mounted(bundle: &Bundle, config: &Value, target: &str) -> Line {
    let text = bundle.ok(config, "cat /proc/self/mountinfo");
    let line = text
        .lines()
        .rfind(|line| line.split(' ').nth(4) == Some(target))
        .unwrap_or_else(|| panic!("nothing is mounted on {target}:\n{text}"));
    let (left, right) = line.split_once(" - ").unwrap();
    let list = |text: &str| text.split(',').map(str::to_owned).collect();
    let right: Vec<&str> = right.split(' ').collect();
    Line {
        options: list(left.split(' ').nth(5).unwrap()),
        // Without their numbers.
        propagation: left
            .split(' ')
            .skip(6)
            .map(|field| field.split(':').next().unwrap().to_owned())
            .collect(),
        kind: right[0].to_owned(),
        data: list(right[2]),
    }
}

fn has(list: &[String], word: &str) -> bool {
    list.iter().any(|known| known == word)
}

#[test]
fn attributes_are_on_new_file_systems_and_on_bind_mounts() {
    let Some(bundle) = bundle() else { return };
    let source = bundle.path("source");
    fs::create_dir(&source).unwrap();
    for (option, expect) in [
        ("ro", "ro"),
        ("rro", "ro"),
        ("rw", "rw"),
        ("nosuid", "nosuid"),
        ("rnosuid", "nosuid"),
        ("nodev", "nodev"),
        ("noexec", "noexec"),
        ("rnoexec", "noexec"),
        ("noatime", "noatime"),
        ("rnoatime", "noatime"),
        ("nodiratime", "nodiratime"),
        ("relatime", "relatime"),
        ("atime", "relatime"),
        ("nosymfollow", "nosymfollow"),
        ("rnosymfollow", "nosymfollow"),
    ] {
        let mut config = bundle.with("tmpfs", "/new", "tmpfs", &[option]);
        add(&mut config, &source, "/bound", "", &["rbind", option]);
        for target in ["/new", "/bound"] {
            let line = mounted(&bundle, &config, target);
            assert!(has(&line.options, expect), "{target} {option}: {line:?}");
        }
    }
    let config = bundle.with("tmpfs", "/new", "tmpfs", &["strictatime"]);
    let line = mounted(&bundle, &config, "/new");
    assert!(!has(&line.options, "relatime") && !has(&line.options, "noatime"));
}

/// Mounts are made in two goes, before and after the container is in its groups: each stays on top of those before it.
#[test]
fn mounts_keep_their_order_around_the_one_that_waits_for_the_groups() {
    let Some(bundle) = bundle() else { return };
    let mut config = bundle.with("tmpfs", "/a", "tmpfs", &["size=4k"]);
    add(&mut config, "cgroup", "/a", "cgroup", &["ro"]);
    assert_ne!(bundle.ok(&config, "ls /a"), "", "the groups are on top");
    add(&mut config, "tmpfs", "/a", "tmpfs", &["size=8k"]);
    assert_eq!(bundle.ok(&config, "ls /a"), "");
    let line = mounted(&bundle, &config, "/a");
    assert!(has(&line.data, "size=8k"), "{line:?}");
}

#[test]
fn flags_and_data_reach_the_file_system() {
    let Some(bundle) = bundle() else { return };
    let options = &[
        "sync",
        "dirsync",
        "lazytime",
        "mand",
        "iversion",
        "silent",
        "defaults",
        "norelatime",
        "size=64k",
        "mode=1750,uid=7",
    ];
    let config = bundle.with("things", "/new", "tmpfs", options);
    let line = mounted(&bundle, &config, "/new");
    for word in [
        "sync",
        "dirsync",
        "lazytime",
        "size=64k",
        "mode=1750",
        "uid=7",
    ] {
        assert!(has(&line.data, word), "{word}: {line:?}");
    }
    // An option of the other kind takes the flag back.
    let config = bundle.with(
        "",
        "/new",
        "tmpfs",
        &["sync", "async", "lazytime", "nolazytime"],
    );
    let line = mounted(&bundle, &config, "/new");
    assert!(
        !has(&line.data, "sync") && !has(&line.data, "lazytime"),
        "{line:?}"
    );
}

#[test]
fn a_tmpfs_has_the_mode_of_what_it_covers() {
    let Some(bundle) = bundle() else { return };
    let covered = bundle.rootfs().join("covered");
    fs::create_dir(&covered).unwrap();
    fs::set_permissions(&covered, fs::Permissions::from_mode(0o710)).unwrap();
    let mode = |target: &str, options: &[&str]| {
        let config = bundle.with("tmpfs", target, "tmpfs", options);
        bundle.ok(&config, &format!("stat -c %a {target}"))
    };
    assert_eq!(mode("/covered", &["nodev"]), "710");
    assert_eq!(mode("/covered", &["mode=1500"]), "1500");
    assert_eq!(mode("/none/at/all", &[]), "1777");
    let made = fs::metadata(bundle.rootfs().join("none/at")).unwrap();
    assert_eq!(made.permissions().mode() & 0o7777, 0o755);
}

#[test]
fn a_tmpfs_can_begin_with_a_copy() {
    let Some(bundle) = bundle() else { return };
    let dir = bundle.rootfs().join("dir");
    fs::create_dir_all(dir.join("sub")).unwrap();
    fs::write(dir.join("sub/file"), "content").unwrap();
    fs::set_permissions(dir.join("sub"), fs::Permissions::from_mode(0o3777)).unwrap();
    fs::set_permissions(dir.join("sub/file"), fs::Permissions::from_mode(0o645)).unwrap();
    chown(dir.join("sub/file"), Some(5), Some(6)).unwrap();
    chown(&dir, Some(8), Some(9)).unwrap();
    symlink("../../../../etc/shadow", dir.join("link")).unwrap();
    let config = bundle.with("tmpfs", "/dir", "tmpfs", &["tmpcopyup", "ro"]);
    let line = "cat /dir/sub/file; echo; stat -c '%a %u %g' /dir/sub /dir/sub/file /dir; readlink /dir/link; \
        touch /dir/x 2>/dev/null || echo read-only";
    let expect = "content\n3777 0 0\n645 5 6\n755 8 9\n../../../../etc/shadow\nread-only";
    assert_eq!(bundle.ok(&config, line), expect);
    let config = bundle.with("proc", "/tmp", "proc", &["tmpcopyup"]);
    assert!(bundle.refused(&config).contains("tmpcopyup"));
}

/// A tmpfs with attributes, and bind mounts of it.
fn rebound(bundle: &Bundle, source: &[&str], options: &[&str]) -> Line {
    let mut config = bundle.with("tmpfs", "/from", "tmpfs", source);
    let from = bundle.path("rootfs/from");
    add(&mut config, &from, "/to", "bind", options);
    mounted(bundle, &config, "/to")
}

#[test]
fn options_of_a_bind_mount_replace_those_of_its_source() {
    let Some(bundle) = bundle() else { return };
    let all = ["nosuid", "nodev", "noexec", "nosymfollow", "noatime"];
    let line = rebound(&bundle, &all, &["bind", "rprivate"]);
    for word in all {
        assert!(
            has(&line.options, word),
            "without options: {word}: {line:?}"
        );
    }
    let line = rebound(&bundle, &all, &["bind", "ro"]);
    assert!(
        has(&line.options, "ro") && has(&line.options, "noatime"),
        "{line:?}"
    );
    for word in ["nosuid", "nodev", "noexec", "nosymfollow"] {
        assert!(!has(&line.options, word), "with ro: {word}: {line:?}");
    }
    let line = rebound(
        &bundle,
        &["noatime", "nodiratime"],
        &["bind", "strictatime"],
    );
    assert_eq!(line.options, ["rw"]);
}

#[test]
fn recursive_attributes_reach_all_mounts_and_others_one() {
    let Some(bundle) = bundle() else { return };
    let mut config = bundle.with("tmpfs", "/from", "tmpfs", &[]);
    add(&mut config, "tmpfs", "/from/sub", "tmpfs", &[]);
    let from = bundle.path("rootfs/from");
    for (target, option) in [("/ro", "ro"), ("/rro", "rro"), ("/one", "nodev")] {
        let bind = if target == "/one" { "bind" } else { "rbind" };
        add(&mut config, &from, target, "bind", &[bind, option]);
    }
    let line =
        "for f in /ro /ro/sub /rro /rro/sub; do touch $f/x 2>/dev/null && echo $f; done; ls /one";
    assert_eq!(
        bundle.ok(&config, line),
        "/ro/sub\nsub\nx".replace("\nx", "")
    );
    // What is below is not shown by a plain bind mount.
    let table = bundle.ok(&config, "cut -d' ' -f5 /proc/self/mountinfo");
    assert!(!table.lines().any(|point| point == "/one/sub"), "{table}");
}

#[test]
fn propagation_is_for_every_kind_of_mount() {
    let Some(bundle) = bundle() else { return };
    let source = bundle.path("source");
    fs::create_dir(&source).unwrap();
    for (options, expect) in [
        (&["private"][..], &[][..]),
        (&["rprivate"], &[]),
        (&["shared"], &["shared"]),
        (&["rshared"], &["shared"]),
        (&["unbindable"], &["unbindable"]),
        (&["runbindable"], &["unbindable"]),
        // The second makes a slave of nobody shared again.
        (&["rprivate", "rshared"], &["shared"]),
    ] {
        let mut config = bundle.with("tmpfs", "/new", "tmpfs", options);
        let bind: Vec<&str> = ["bind"].iter().chain(options).copied().collect();
        add(&mut config, &source, "/bound", "", &bind);
        add(&mut config, "", "/queue", "mqueue", options);
        for target in ["/new", "/bound", "/queue"] {
            let line = mounted(&bundle, &config, target);
            assert_eq!(line.propagation, expect, "{target} {options:?}");
        }
    }
    // A copy of something shared is its peer, or its slave.
    let mut config = bundle.with("tmpfs", "/from", "tmpfs", &["shared"]);
    let from = bundle.path("rootfs/from");
    add(&mut config, &from, "/peer", "", &["bind", "shared"]);
    add(&mut config, &from, "/slave", "", &["bind", "slave"]);
    assert_eq!(mounted(&bundle, &config, "/peer").propagation, ["shared"]);
    assert_eq!(mounted(&bundle, &config, "/slave").propagation, ["master"]);
}

#[test]
fn the_roots_propagation_is_what_it_is_asked_to_be() {
    let Some(bundle) = bundle() else { return };
    for (word, expect) in [
        ("", &[][..]),
        ("private", &[]),
        ("rprivate", &[]),
        ("shared", &["shared"]),
        ("rshared", &["shared"]),
        ("unbindable", &["unbindable"]),
        ("runbindable", &["unbindable"]),
    ] {
        let mut config = bundle.config.clone();
        if !word.is_empty() {
            config["linux"]["rootfsPropagation"] = json!(word);
        }
        let line = mounted(&bundle, &config, "/");
        assert_eq!(line.propagation, expect, "{word}");
    }
    // Nothing to be a slave of, on a host whose mounts are private.
    let mut config = bundle.config.clone();
    config["linux"]["rootfsPropagation"] = json!("rslave");
    let line = mounted(&bundle, &config, "/");
    assert!(!has(&line.propagation, "shared"), "{line:?}");
    config["linux"]["rootfsPropagation"] = json!("sideways");
    let error = bundle.refused(&config);
    assert!(
        error.contains("rootfsPropagation") && error.contains("sideways"),
        "{error}"
    );
}

#[test]
fn targets_may_be_written_in_any_way() {
    let Some(bundle) = bundle() else { return };
    for (written, meant) in [
        ("relative/path", "/relative/path"),
        ("/a//b/", "/a/b"),
        ("/a/../../../c", "/c"),
        (bundle.path("rootfs/inside").as_str(), "/inside"),
    ] {
        let config = bundle.with("tmpfs", written, "tmpfs", &[]);
        assert_eq!(mounted(&bundle, &config, meant).kind, "tmpfs", "{written}");
    }
    symlink("/there", bundle.rootfs().join("jump")).unwrap();
    let config = bundle.with("tmpfs", "/jump/on", "tmpfs", &[]);
    assert_eq!(mounted(&bundle, &config, "/there/on").kind, "tmpfs");
}

#[test]
fn files_sockets_and_devices_are_bound_onto_files() {
    let Some(bundle) = bundle() else { return };
    let (file, socket) = (bundle.path("file"), bundle.path("socket"));
    fs::write(&file, "content").unwrap();
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    symlink("/tmp/deep/hosts", bundle.rootfs().join("etc/hosts")).unwrap();
    let mut config = bundle.with(&file, "/etc/hosts", "", &["bind"]);
    add(&mut config, &socket, "/run/socket", "bind", &[]);
    add(
        &mut config,
        "/dev/zero",
        "/run/device",
        "none",
        &["rbind", "ro"],
    );
    let line = "cat /tmp/deep/hosts; echo; stat -c %F /run/socket /run/device";
    let expect = "content\nsocket\ncharacter special file";
    assert_eq!(bundle.ok(&config, line), expect);
    let config = bundle.with(&file, "/tmp", "", &["bind"]);
    let error = bundle.refused(&config);
    assert!(
        error.contains("mount /tmp"),
        "a file on a directory: {error}"
    );
}

#[test]
fn earlier_mounts_of_the_container_can_be_bound_again() {
    let Some(bundle) = bundle() else { return };
    for (dir, link) in [("a/x", "a"), ("b/y", "b"), ("c/z", "c")] {
        fs::create_dir_all(bundle.path(&format!("source/{dir}"))).unwrap();
        fs::write(bundle.path(&format!("source/{dir}/file")), dir).unwrap();
        symlink(link, bundle.path(&format!("source/sym-{link}"))).unwrap();
    }
    let rootfs = bundle.path("rootfs");
    let mut config = bundle.config.clone();
    for (source, target) in [
        (bundle.path("source/a"), "/mnt".to_owned()),
        (bundle.path("source/sym-b"), "/mnt/x".to_owned()),
        (bundle.path("source/c"), "/mnt/x/y".to_owned()),
        (bundle.path("source/sym-a"), "/mnt/x/y/z".to_owned()),
        (format!("{rootfs}/mnt/x"), format!("{rootfs}/mnt/x/y/z/x")),
        (format!("{rootfs}/mnt/x/y"), format!("{rootfs}/mnt/x/y/z")),
        (format!("{rootfs}/mnt"), format!("{rootfs}/final")),
    ] {
        add(
            &mut config,
            &source,
            &target,
            "bind",
            &["rbind", "rprivate"],
        );
    }
    // The tree that runc makes of the same list.
    assert_eq!(bundle.ok(&config, "cat /final/x/y/z/z/x/y/z/x/file"), "a/x");
}

#[test]
fn any_file_system_of_the_kernel_can_be_mounted() {
    let Some(bundle) = bundle() else { return };
    for dir in ["lower", "upper", "work"] {
        fs::create_dir(bundle.path(dir)).unwrap();
    }
    fs::write(bundle.path("lower/file"), "layer").unwrap();
    let layers = format!(
        "lowerdir={},upperdir={},workdir={}",
        bundle.path("lower"),
        bundle.path("upper"),
        bundle.path("work")
    );
    let mut config = bundle.with("overlay", "/over", "overlay", &[&layers]);
    add(&mut config, "", "/queue", "mqueue", &["nosuid"]);
    add(&mut config, "none", "/ram", "ramfs", &["mode=700"]);
    add(&mut config, "sysfs", "/sys", "sysfs", &["ro"]);
    let line = "cat /over/file; echo; for f in /over /queue /ram /sys; do grep \" $f \" /proc/mounts | cut -d' ' -f3; done";
    assert_eq!(
        bundle.ok(&config, line),
        "layer\noverlay\nmqueue\nramfs\nsysfs"
    );
    // Many layers are more than one value may hold.
    let lower: Vec<String> = (0..12)
        .map(|n| {
            let dir = bundle.path(&format!("layer-with-a-long-name-{n}"));
            fs::create_dir(&dir).unwrap();
            fs::write(format!("{dir}/file{n}"), "").unwrap();
            dir
        })
        .collect();
    let layers = format!("lowerdir={}", lower.join(":"));
    let config = bundle.with("overlay", "/over", "overlay", &[&layers, "nodev"]);
    assert_eq!(bundle.ok(&config, "ls /over | wc -l"), "12");
    assert!(has(&mounted(&bundle, &config, "/over").options, "nodev"));
}

#[test]
fn what_is_mounted_can_be_mounted_anew() {
    let Some(bundle) = bundle() else { return };
    let mut config = bundle.with("tmpfs", "/t", "tmpfs", &["size=64k", "nodev"]);
    add(
        &mut config,
        "tmpfs",
        "/t",
        "tmpfs",
        &["remount", "size=128k", "ro"],
    );
    let line = mounted(&bundle, &config, "/t");
    assert!(
        has(&line.options, "ro") && has(&line.data, "size=128k"),
        "{line:?}"
    );
    let mut config = bundle.with("tmpfs", "/t", "tmpfs", &["nodev"]);
    add(
        &mut config,
        "",
        "/t",
        "bind",
        &["bind", "remount", "noexec"],
    );
    assert_eq!(
        mounted(&bundle, &config, "/t").options,
        ["rw", "noexec", "relatime"]
    );
}

#[test]
fn read_only_tmpfs_and_dev_are_filled_before() {
    let Some(bundle) = bundle() else { return };
    let mut config = bundle.with("tmpfs", "/t", "tmpfs", &["ro"]);
    add(&mut config, "tmpfs", "/t/in", "tmpfs", &[]);
    config["mounts"][1]["options"] = json!(["nosuid", "mode=755", "ro"]);
    config["root"]["readonly"] = json!(true);
    let line = "for d in / /t /t/in /dev; do touch $d/x 2>/dev/null && echo $d; done; echo x > /dev/null; ls /dev/ptmx";
    assert_eq!(bundle.ok(&config, line), "/t/in\n/dev/ptmx");
}

#[test]
fn links_are_taken_as_the_options_say() {
    let Some(bundle) = bundle() else { return };
    let link = bundle.path("link");
    symlink("nowhere/at/all", &link).unwrap();
    let config = bundle.with(&link, "/made/anew", "bind", &["bind", "copy-symlink"]);
    assert_eq!(bundle.ok(&config, "readlink /made/anew"), "nowhere/at/all");
    symlink("/etc", bundle.rootfs().join("covered")).unwrap();
    let options = &["bind", "src-nofollow", "dest-nofollow"];
    let config = bundle.with(&link, "/covered", "bind", options);
    assert_eq!(bundle.ok(&config, "readlink /covered"), "nowhere/at/all");
}

#[test]
fn a_mount_that_cannot_be_is_named_with_its_option() {
    let Some(bundle) = bundle() else { return };
    let source = bundle.path("source");
    fs::create_dir(&source).unwrap();
    let missing = bundle.path("missing");
    let cases: &[(&str, &str, &[&str], &[&str])] = &[
        (
            "tmpfs",
            "tmpfs",
            &["colour=blue"],
            &["/target", "option colour=blue"],
        ),
        (
            "tmpfs",
            "tmpfs",
            &["frobnicate"],
            &["/target", "option frobnicate"],
        ),
        ("tmpfs", "tmpfs", &["size=lots"], &["/target", "size=lots"]),
        (
            &source,
            "bind",
            &["bind", "size=1k"],
            &["/target", "option size"],
        ),
        (&source, "", &[], &["/target", "no type"]),
        (
            &missing,
            "",
            &["bind"],
            &["/target", "does not exist", "missing"],
        ),
        ("", "bind", &["bind"], &["/target", "without a source"]),
        ("none", "nosuchfs", &[], &["/target", "nosuchfs"]),
        (
            &source,
            "bind",
            &["bind", "idmap"],
            &["/target", "idmap", "uidMappings"],
        ),
        (
            &source,
            "bind",
            &["bind", "idmap=uids=x"],
            &["/target", "idmap=uids=x"],
        ),
        ("tmpfs", "tmpfs", &["idmap"], &["/target", "idmap"]),
    ];
    for (source, kind, options, words) in cases {
        let error = bundle.refused(&bundle.with(source, "/target", kind, options));
        for word in *words {
            assert!(error.contains(word), "{kind} {options:?}: {word}: {error}");
        }
    }
}

#[test]
fn owners_are_mapped() {
    let Some(bundle) = bundle() else { return };
    let source = bundle.path("source");
    fs::create_dir(&source).unwrap();
    for (name, uid, gid) in [("zero", 0, 0), ("some", 100, 211)] {
        fs::write(format!("{source}/{name}"), "").unwrap();
        chown(format!("{source}/{name}"), Some(uid), Some(gid)).unwrap();
    }
    let maps = |inside: u32, outside: u32| json!([{ "containerID": inside, "hostID": outside, "size": 1000 }]);
    let owners = |options: &[&str], uids: &Value, gids: &Value| {
        let mut config = bundle.with(&source, "/plain", "bind", &["bind"]);
        add(&mut config, &source, "/mapped", "bind", options);
        let list = config["mounts"].as_array_mut().unwrap();
        let mount = list.last_mut().unwrap();
        if uids.is_array() {
            mount["uidMappings"] = uids.clone();
            mount["gidMappings"] = gids.clone();
        }
        bundle.ok(
            &config,
            "cd /mapped; echo $(stat -c %u:%g zero some /plain/some)",
        )
    };
    let (uids, gids) = (maps(0, 5000), maps(200, 7000));
    for options in [
        &["bind"][..],
        &["bind", "idmap"],
        &["rbind", "ridmap", "ro"],
    ] {
        // Group 0 is in no range: it is nobody's.
        assert_eq!(
            owners(options, &uids, &gids),
            "5000:65534 5100:7011 100:211"
        );
    }
    let written = ["bind", "idmap=uids=0-9-1#100-2000-1;gids=0-8-500"];
    assert_eq!(
        owners(&written, &Value::Null, &Value::Null),
        "9:8 2000:219 100:211"
    );
    let mut config = bundle.with(&source, "/mapped", "bind", &["bind"]);
    let last = config["mounts"].as_array().unwrap().len() - 1;
    config["mounts"][last]["uidMappings"] = maps(0, 1);
    assert!(bundle.refused(&config).contains("gidMappings"));
}

#[test]
fn a_path_is_covered_once_however_often_it_is_named() {
    let Some(bundle) = bundle() else { return };
    for dir in ["one", "two"] {
        fs::create_dir(bundle.rootfs().join(dir)).unwrap();
        fs::write(bundle.rootfs().join(dir).join("secret"), "x").unwrap();
    }
    fs::write(bundle.rootfs().join("secret"), "x").unwrap();
    let mut config = bundle.config.clone();
    let list = [
        "/one",
        "/two",
        "/secret",
        "/one/",
        "/../one",
        "/secret",
        "/missing",
        "/secret/x",
    ];
    config["linux"]["maskedPaths"] = json!(list);
    config["linux"]["readonlyPaths"] = json!(["/etc", "/missing", "/proc/sys"]);
    let line = "ls /one /two | grep -c secret; cat /secret; for f in /one/x /etc/x; do touch $f 2>/dev/null && echo $f; \
        done; grep -c ' /one ' /proc/mounts; grep -c ' /secret ' /proc/mounts; stat -c %d /one /two | uniq | wc -l; \
        grep ' /proc/sys ' /proc/mounts | cut -d' ' -f4";
    let text = bundle.ok(&config, line);
    assert_eq!(text, "0\n1\n1\n1\nro,relatime");
}

#[test]
fn cgroups_are_shown_in_every_form() {
    let Some(bundle) = bundle() else { return };
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let first = |text: &str| table.lines().any(|line| line.contains(text));
    let options = &["ro", "nosuid", "noexec", "nodev"];
    let with = bundle.with("cgroup", "/sys/fs/cgroup", "cgroup", options);
    let mut without = with.clone();
    let namespaces = without["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.retain(|namespace| namespace["type"] != "cgroup");
    for config in [&with, &without] {
        let line = "grep ' /sys/fs/cgroup' /proc/mounts | cut -d' ' -f2,4 | grep -vc ' ro,'; \
            cat $(find /sys/fs/cgroup -name cgroup.procs | grep -e memory -e /cgroup/cgroup.procs | head -1) | grep -cx 1";
        let text = bundle.run(config, line).unwrap();
        // Everything is read-only, and this process is in the group that is shown.
        assert!(text.out.starts_with("0\n"), "{text:?}");
        if config == &with {
            assert_eq!(text.out, "0\n1\n");
        }
    }
    if first(" - cgroup cgroup rw,memory") {
        let config = bundle.with("cgroup", "/one", "cgroup", &["memory"]);
        let line = mounted(&bundle, &config, "/one");
        assert!(
            line.kind == "cgroup" && has(&line.data, "memory"),
            "{line:?}"
        );
        let listed = bundle.ok(
            &without,
            "ls /sys/fs/cgroup/memory/cgroup.procs && ls /sys/fs/cgroup",
        );
        assert!(listed.lines().any(|name| name == "memory"), "{listed}");
    }
    if first("name=systemd") {
        let config = bundle.with("x", "/one", "cgroup", &["none", "name=systemd"]);
        let line = mounted(&bundle, &config, "/one");
        assert!(has(&line.data, "name=systemd"), "{line:?}");
    }
    if first(" - cgroup2 ") {
        let config = bundle.with("cgroup2", "/two", "cgroup2", &["ro"]);
        let line = mounted(&bundle, &config, "/two");
        assert!(
            line.kind == "cgroup2" && has(&line.options, "ro"),
            "{line:?}"
        );
    }
}

#[test]
fn nothing_is_mounted_on_the_root() {
    let Some(bundle) = bundle() else { return };
    symlink("/", bundle.rootfs().join("link")).unwrap();
    for target in ["/", "/tmp/..", "/link"] {
        let error = bundle.refused(&bundle.with("tmpfs", target, "tmpfs", &[]));
        assert!(error.contains("it is the root"), "{target}: {error}");
    }
}

#[test]
fn a_source_is_relative_to_the_bundle() {
    let Some(bundle) = bundle() else { return };
    fs::create_dir(bundle.path("things")).unwrap();
    fs::write(bundle.path("things/file"), "here").unwrap();
    let config = bundle.with("things", "/things", "", &["rbind", "ro"]);
    let ran = bundle.oci(&config, "cat /things/file", &[]);
    assert_eq!(ran.out, "here", "{ran:?}");
}

/// A user namespace that maps all ids to themselves, in a mount namespace with a tmpfs whose attributes it may not take
/// away. It lasts as long as the process, which ends with its input.
fn confined(bundle: &Bundle) -> std::process::Child {
    let dir = bundle.path("locked");
    fs::create_dir(&dir).unwrap();
    let script = format!(
        "mount -t tmpfs -o nosuid,nodev,noexec tmpfs {dir} && exec unshare -Um sh -c 'echo ready >&2; exec cat'"
    );
    let child = Command::new("unshare")
        .args(["-m", "sh", "-c", &script])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let link = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/user")).ok();
    let pid = child.id().to_string();
    wait_until("a user namespace", PATIENCE, || link(&pid) != link("self"));
    for map in ["uid_map", "gid_map"] {
        fs::write(format!("/proc/{pid}/{map}"), "0 0 65536").unwrap();
    }
    child
}

#[test]
fn cve_2023_25809_in_a_user_namespace_the_hosts_part_is_read_only_and_its_locks_hold() {
    let Some(bundle) = bundle() else { return };
    if !has_peer("nsenter") {
        return;
    }
    let mut child = confined(&bundle);
    let pid = child.id().to_string();
    let by = ["nsenter", "-t", &pid, "-U", "-m"];
    let mut base = bundle.config.clone();
    base["mounts"][2]["options"] = json!(["newinstance", "ptmxmode=0666"]);
    // sysfs is for those who have a network namespace of their own.
    let namespaces = base["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.retain(|namespace| namespace["type"] != "network");
    let mut config = base.clone();
    add(&mut config, "sysfs", "/sys", "sysfs", &["nosuid", "ro"]);
    add(&mut config, "locked", "/kept", "", &["bind", "ro"]);
    add(&mut config, "locked", "/named", "", &["bind", "nodev"]);
    let line = "grep -c ' /dev/null devtmpfs' /proc/mounts; echo x > /dev/null && echo written; \
        grep ' /sys' /proc/mounts | cut -d' ' -f4 | grep -vc '^ro,'; \
        grep -e ' /kept ' -e ' /named ' /proc/mounts | cut -d' ' -f4";
    let ran = bundle.oci(&config, line, &by);
    let text = ran.out.replace(",inode64", "").replace(",uid=0,gid=0", "");
    let expect =
        "1\nwritten\n0\nro,nosuid,nodev,noexec,relatime\nrw,nosuid,nodev,noexec,relatime\n";
    assert_eq!(text, expect, "{ran:?}");
    for (option, name) in [
        ("dev", "nodev"),
        ("suid", "nosuid"),
        ("noatime", "access time"),
    ] {
        let mut config = base.clone();
        add(&mut config, "locked", "/wanted", "", &["bind", option]);
        let ran = bundle.oci(&config, "true", &by);
        assert_ne!(ran.code, 0, "{option}");
        assert!(
            ran.err.contains("/wanted") && ran.err.contains(name),
            "{option}: {ran:?}"
        );
    }
    let _ = child.stdin.take().unwrap().flush();
    child.wait().unwrap();
}

#[test]
fn a_step_that_fails_before_the_child_is_attached_is_told() {
    let Some(bundle) = bundle() else { return };
    let config = bundle.with("/nosuch/source", "/target", "bind", &["bind"]);
    for _ in 0..30 {
        let error = bundle.refused(&config);
        assert!(error.contains("/nosuch/source"), "{error}");
    }
}
