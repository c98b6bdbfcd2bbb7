//! `cp`: Docker's rules of what goes where, and what hostile containers and archives must not get by it.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{BUSYBOX, Host, PATIENCE, WHARF, collect, privileged, wait_until};

fn host() -> Option<Host> {
    let host = privileged()?;
    host.busybox_image()?;
    Some(host)
}

/// A container that runs, after its script was.
fn running(host: &Host, flags: &[&str], script: &str) {
    let script = format!("{script}; touch /ready; exec sleep 1000");
    let start = ["run", "-d", "--network", "none", "--name", "web"];
    host.ok([&start[..], flags, &[BUSYBOX, "sh", "-c", &script]].concat());
    wait_until("the script is done", PATIENCE, || {
        host.wharf(["exec", "web", "ls", "/ready"]).code == 0
    });
}

fn text(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap()
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[test]
fn out_of_a_container_by_dockers_rules_running_and_stopped() {
    let Some(host) = host() else { return };
    running(
        &host,
        &[],
        "mkdir -p /d/sub; echo a >/d/a; echo b >/d/sub/b; ln -s a /d/l; ln -s d /dl; chmod 640 /d/a; chown 7:8 /d/a",
    );
    for state in ["running", "stopped"] {
        let to = host.dir().join(state);
        fs::create_dir_all(to.join("there")).unwrap();
        let at = |name: &str| shown(&to.join(name));
        let copy = |from: &str, name: &str| host.wharf(["cp", from, &at(name)]);
        // A file to a name, over a file, into a directory.
        assert_eq!(copy("web:/d/a", "f").code, 0);
        assert_eq!(
            copy("web:d/sub/b", "f").code,
            0,
            "a relative path begins at the root"
        );
        assert_eq!(text(to.join("f")), "b\n");
        assert_eq!(copy("web:/d/a", "there").code, 0);
        assert_eq!(text(to.join("there/a")), "a\n");
        let meta = fs::metadata(to.join("there/a")).unwrap();
        assert_eq!(
            (meta.uid(), meta.mode() & 0o7777),
            (0, 0o640),
            "the caller's, with its mode"
        );
        assert_eq!(host.wharf(["cp", "-a", "web:/d/a", &at("owned")]).code, 0);
        let meta = fs::metadata(to.join("owned")).unwrap();
        assert_eq!((meta.uid(), meta.gid()), (7, 8));
        // A directory to a new name, into one that is there, its content alone.
        assert_eq!(copy("web:/d", "new").code, 0);
        assert_eq!(text(to.join("new/sub/b")), "b\n");
        assert_eq!(fs::read_link(to.join("new/l")).unwrap(), Path::new("a"));
        assert_eq!(copy("web:/d", "there").code, 0);
        assert_eq!(text(to.join("there/d/a")), "a\n");
        assert_eq!(copy("web:/d/.", "there").code, 0);
        assert_eq!(text(to.join("there/sub/b")), "b\n");
        assert_eq!(copy("web:/d/.", "content").code, 0);
        assert_eq!(text(to.join("content/a")), "a\n");
        // Links: themselves, followed, behind a slash.
        assert_eq!(copy("web:/dl", "link").code, 0);
        assert_eq!(fs::read_link(to.join("link")).unwrap(), Path::new("d"));
        assert_eq!(host.wharf(["cp", "-L", "web:/dl", &at("followed")]).code, 0);
        assert_eq!(text(to.join("followed/a")), "a\n");
        assert_eq!(host.wharf(["cp", "-L", "web:/d/l", &at("there")]).code, 0);
        assert_eq!(text(to.join("there/l")), "a\n");
        assert_eq!(copy("web:/dl/", "slash").code, 0);
        assert_eq!(text(to.join("slash/a")), "a\n");
        for (from, name, why) in [
            (
                "web:/nosuch",
                "x",
                "could not find the file /nosuch in container web",
            ),
            ("web:/d/a/x", "x", "could not find the file"),
            ("web:/d", "f", "cannot copy directory"),
            ("web:/d/a", "none/", "no such directory"),
            ("web:/d/a", "none/x", "does not exist"),
            ("nosuch:/d", "x", "No such container: nosuch"),
        ] {
            let refused = copy(from, name);
            assert_eq!(
                (refused.code, refused.stdout.as_str()),
                (1, ""),
                "{state} {from} {name}: {refused:?}"
            );
            assert!(
                refused.stderr.contains(why),
                "{state} {from} {name}: {refused:?}"
            );
            assert!(!to.join("x").exists() && !to.join("none").exists());
        }
        if state == "running" {
            host.ok(["stop", "-t", "0", "web"]);
        }
    }
}

#[test]
fn into_a_container_by_dockers_rules_running_and_stopped() {
    let Some(host) = host() else { return };
    let from = host.dir().join("from");
    fs::create_dir_all(from.join("d/sub")).unwrap();
    fs::write(from.join("f"), "file\n").unwrap();
    fs::write(from.join("d/a"), "a\n").unwrap();
    fs::write(from.join("d/sub/b"), "b\n").unwrap();
    symlink("f", from.join("l")).unwrap();
    std::os::unix::fs::chown(from.join("f"), Some(7), Some(8)).unwrap();
    fs::set_permissions(from.join("f"), fs::Permissions::from_mode(0o4711)).unwrap();
    let at = |name: &str| shown(&from.join(name));
    let rest = "mkdir -p /there; echo old >/old; ln -s there /tl; ln -s /gone /dangling; mkdir /there/was; chmod 700 /there/was";
    running(&host, &[], rest);
    host.ok([
        "create",
        "--network",
        "none",
        "--name",
        "fresh",
        BUSYBOX,
        "sleep",
        "1000",
    ]);
    // One that has never run: the same in its files, made by cp alone.
    let copy = |name: &str, to: &str| host.wharf(["cp", &at(name), to]);
    for (name, to) in [
        ("f", "web:/new"),
        ("f", "web:/old"),
        ("f", "web:/there"),
        ("d", "web:/newdir"),
        ("d", "web:/there"),
        ("d/.", "web:/there"),
        ("l", "web:/link"),
        ("f", "web:/tl"),
        ("f", "web:/dangling"),
        ("f", "fresh:/new"),
        ("d", "fresh:/opt"),
    ] {
        let copied = copy(name, to);
        assert_eq!(
            (copied.code, copied.stderr.as_str()),
            (0, ""),
            "{name} {to}: {copied:?}"
        );
    }
    host.ok(["cp", "-L", &at("l"), "web:/followed"]);
    let look = "cat /new /old /there/f /newdir/sub/b /there/d/a /there/sub/b /followed /gone; readlink /link; stat -c '%u:%g %a' /new; ls -A / | grep wharf; stat -c %a /there/was";
    let expect = "file\nfile\nfile\nb\na\nb\nfile\nfile\nf\n7:8 4711\n700";
    assert_eq!(host.ok(["exec", "web", "sh", "-c", look]), expect);
    host.ok(["start", "fresh"]);
    assert_eq!(
        host.ok(["exec", "fresh", "cat", "/new", "/opt/sub/b"]),
        "file\nb"
    );
    for (name, to, why) in [
        ("nosuch", "web:/x", "no such file or directory"),
        ("d", "web:/old", "cannot copy directory"),
        ("f", "web:/none/", "no such directory"),
        (
            "f",
            "web:/none/x",
            "could not find the file /none in container web",
        ),
        (
            "f",
            "web:/dev/null",
            "must be a directory or a regular file",
        ),
    ] {
        let refused = copy(name, to);
        assert_eq!(refused.code, 1, "{name} {to}: {refused:?}");
        assert!(refused.stderr.contains(why), "{name} {to}: {refused:?}");
    }
    for (args, why) in [
        (["web:/a", "web:/b"], "copying between containers"),
        (["/a", "/b"], "at least one container source"),
        (["", "web:/b"], "source can not be empty"),
    ] {
        let refused = host.wharf([&["cp"][..], &args].concat());
        assert_eq!(refused.code, 1);
        assert!(refused.stderr.contains(why), "{refused:?}");
    }
    host.ok(["stop", "-t", "0", "web"]);
    assert_eq!(copy("d", "web:/there").code, 0);
    assert_eq!(copy("f", "web:/after").code, 0);
    host.ok(["start", "web"]);
    assert_eq!(host.ok(["exec", "web", "cat", "/after"]), "file");
}

#[test]
fn archives_come_and_go_by_the_standard_streams() {
    let Some(host) = host() else { return };
    running(
        &host,
        &[],
        "mkdir /d; echo a >/d/a; mkdir -p /usr/real; ln -s usr/real /lib",
    );
    let out = host.command(["cp", "web:/d", "-"]).output().unwrap();
    assert!(out.status.success());
    let path = host.dir().join("x.tar");
    fs::write(&path, &out.stdout).unwrap();
    let list = Command::new("tar").arg("-tf").arg(&path).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&list.stdout), "d/\nd/a\n");
    assert_eq!(
        host.wharf_with(["cp", "-", "web:/nosuch"], &out.stdout)
            .code,
        1,
        "there is no such directory"
    );
    host.ok(["exec", "web", "mkdir", "/to"]);
    assert_eq!(host.wharf_with(["cp", "-", "web:/to"], &out.stdout).code, 0);
    assert_eq!(host.ok(["exec", "web", "cat", "/to/d/a"]), "a");
    // Through a link of the container, inside; and compressed, by nobody's program.
    let tree = host.dir().join("tree");
    fs::create_dir_all(tree.join("lib")).unwrap();
    fs::write(tree.join("lib/x"), "x\n").unwrap();
    let hostile = "for n in gzip gunzip unpigz pigz xz unxz zstd bzip2 tar; do printf '#!/bin/sh\\ntouch /marker\\n' >/bin/$n 2>/dev/null; done; mkdir -p /usr/bin; cp /bin/gzip /usr/bin/unpigz; chmod 755 /usr/bin/unpigz";
    host.wharf(["exec", "web", "sh", "-c", hostile]);
    for flag in ["-c", "-cz", "-cJ", "-cj"] {
        let made = Command::new("tar")
            .args([flag, "-C"])
            .arg(&tree)
            .arg("lib/x")
            .output()
            .unwrap();
        // Not every tar has a program for each.
        if !made.status.success() && !matches!(flag, "-c" | "-cz") {
            continue;
        }
        assert!(made.status.success(), "{made:?}");
        host.ok(["exec", "web", "rm", "-f", "/usr/real/x"]);
        let copied = host.wharf_with(["cp", "-", "web:/"], &made.stdout);
        assert_eq!(copied.code, 0, "{flag}: {copied:?}");
        assert_eq!(
            host.ok(["exec", "web", "cat", "/usr/real/x"]),
            "x",
            "{flag}"
        );
    }
    assert_ne!(
        host.wharf(["exec", "web", "ls", "/marker"]).code,
        0,
        "CVE-2026-41567"
    );
    let junk = host.wharf_with(["cp", "-", "web:/"], &[b'x'; 2000]);
    assert_eq!(junk.code, 1, "{junk:?}");
    let file = host.wharf_with(["cp", "-", "web:/to/d/a"], &out.stdout);
    assert!(file.stderr.contains("must be a directory"), "{file:?}");
}

#[test]
fn a_read_only_root_is_read_only_for_cp_but_its_volumes_are_not() {
    let Some(host) = host() else { return };
    let shared = host.dir().join("shared");
    fs::create_dir(&shared).unwrap();
    fs::write(shared.join("s"), "shared\n").unwrap();
    let file = host.dir().join("f");
    fs::write(&file, "file\n").unwrap();
    let file = shown(&file);
    let bind = format!("{}:/b", shared.display());
    let locked = format!("{}:/locked:ro", shared.display());
    let flags = [
        "--network",
        "none",
        "--name",
        "web",
        "--read-only",
        "-v",
        "data:/v",
        "-v",
        &bind,
        "-v",
        &locked,
        "--tmpfs",
        "/t",
    ];
    host.ok([&["create"][..], &flags, &[BUSYBOX, "sleep", "1000"]].concat());
    for state in ["stopped", "running"] {
        for to in ["web:/x", "web:/etc"] {
            let refused = host.wharf(["cp", &file, to]);
            assert_eq!(refused.code, 1, "{state} {to}: {refused:?}");
            assert!(
                refused.stderr.contains("read-only"),
                "{state} {to}: {refused:?}"
            );
        }
        let refused = host.wharf(["cp", &file, "web:/locked/x"]);
        assert_eq!(refused.code, 1, "{state}: {refused:?}");
        assert!(
            refused
                .stderr
                .contains("create /locked/x: read-only file system"),
            "{state}: {refused:?}"
        );
        host.ok(["cp", &file, &format!("web:/v/{state}")]);
        host.ok(["cp", &file, &format!("web:/b/{state}")]);
        assert_eq!(
            text(host.data().join("volumes/data/_data").join(state)),
            "file\n"
        );
        assert_eq!(text(shared.join(state)), "file\n");
        let to = host.dir().join(format!("out-{state}"));
        host.ok(["cp", "web:/b", &shown(&to)]);
        assert_eq!(text(to.join("s")), "shared\n");
        if state == "stopped" {
            host.ok(["start", "web"]);
        }
    }
    host.ok(["cp", &file, "web:/t/x"]);
    assert_eq!(host.ok(["exec", "web", "cat", "/t/x"]), "file");
    let table = fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(
        !table.contains(&shown(host.dir())),
        "nothing of it is mounted on the host"
    );
}

#[test]
fn the_kernels_own_file_systems_are_mount_points_in_a_copy_and_devices_are_not_read() {
    let Some(host) = host() else { return };
    running(&host, &[], "true");
    let to = host.dir().join("all");
    host.ok(["cp", "web:/", &shown(&to)]);
    assert!(to.join("bin/busybox").exists() && to.join("ready").exists());
    assert_eq!(fs::read_dir(to.join("proc")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(to.join("sys")).unwrap().count(), 0);
    let out = host.command(["cp", "web:/dev/zero", "-"]).output().unwrap();
    assert!(out.status.success());
    assert!(out.stdout.len() < 4096, "the node, not what it gives");
}

/// What the container has at `/d` while it swaps it: a directory, a link to the host's, nothing.
const SWAP: &str = "mkdir -p /real; echo own >/real/f; mv /real /d; while :; do mv /d /e; ln -s TARGET /d; rm -f /d; mv /e /d; done";

/// A directory of the host that nothing of a container may show or change.
fn decoy(host: &Host) -> PathBuf {
    let decoy = host.dir().join("decoy");
    fs::create_dir(&decoy).unwrap();
    fs::write(decoy.join("f"), "host").unwrap();
    fs::set_permissions(&decoy, fs::Permissions::from_mode(0o711)).unwrap();
    decoy
}

fn assert_untouched(decoy: &Path) {
    let names: Vec<_> = fs::read_dir(decoy)
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(names, ["f"]);
    assert_eq!(text(decoy.join("f")), "host");
    assert_eq!(fs::metadata(decoy).unwrap().mode() & 0o7777, 0o711);
}

/// CVE-2018-15664, CVE-2021-41089: a path that is swapped for a link to the host's while it is copied.
#[test]
fn cve_2018_15664_a_swapped_path_never_leads_to_the_hosts_files() {
    let Some(host) = host() else { return };
    let decoy = decoy(&host);
    let script = SWAP.replace("TARGET", &shown(&decoy));
    host.ok([
        "run",
        "-d",
        "--network",
        "none",
        "--name",
        "web",
        BUSYBOX,
        "sh",
        "-c",
        &script,
    ]);
    let file = host.dir().join("new");
    fs::write(&file, "copied in").unwrap();
    let (file, to) = (shown(&file), host.dir().join("out"));
    for _ in 0..60 {
        let _ = fs::remove_dir_all(&to);
        fs::create_dir(&to).unwrap();
        host.wharf(["cp", "-L", "web:/d/f", &shown(&to)]);
        host.wharf(["cp", "-L", "web:/d", &shown(&to.join("dir"))]);
        host.wharf(["cp", &file, "web:/d/x"]);
        host.wharf(["cp", &file, "web:/d"]);
        for path in [to.join("f"), to.join("dir/f"), to.join("dir")] {
            if path.is_file() {
                assert_ne!(text(&path), "host");
            }
        }
        assert_untouched(&decoy);
    }
}

/// CVE-2026-42306: the mount point of a volume that is swapped while `cp` looks at it. Nothing is mounted for a copy.
#[test]
fn cve_2026_42306_a_swapped_mount_point_changes_no_mount_of_the_host() {
    let Some(host) = host() else { return };
    let decoy = decoy(&host);
    let script = format!(
        "while :; do mv /p /q; ln -s {} /p; rm -f /p; mv /q /p; done",
        decoy.display()
    );
    host.ok([
        "run",
        "-d",
        "--network",
        "none",
        "--name",
        "web",
        "-v",
        "data:/p/v",
        BUSYBOX,
        "sh",
        "-c",
        &script,
    ]);
    let before = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let ours = |table: &str| {
        table
            .lines()
            .filter(|line| line.contains(&shown(host.dir())))
            .count()
    };
    let file = host.dir().join("new");
    fs::write(&file, "copied in").unwrap();
    for _ in 0..60 {
        host.wharf(["cp", &shown(&file), "web:/p/v/x"]);
        let out = host.command(["cp", "web:/p/v", "-"]).output().unwrap();
        assert!(!String::from_utf8_lossy(&out.stdout).contains("host"));
        assert_untouched(&decoy);
    }
    let after = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert_eq!(ours(&before), ours(&after));
}

/// CVE-2014-9356 and its kind: links that a container puts into the copy lead a later copy nowhere.
#[test]
fn links_of_a_container_lead_a_copy_nowhere_on_the_host() {
    let Some(host) = host() else { return };
    let decoy = decoy(&host);
    let target = shown(&decoy);
    running(
        &host,
        &[],
        &format!(
            "mkdir -p /s /t/evil; ln -s {target} /s/evil; echo bad >/t/evil/f; ln -s {target}/f /s/file; echo bad >/t/file"
        ),
    );
    let to = host.dir().join("to");
    fs::create_dir(&to).unwrap();
    host.ok(["cp", "web:/s/.", &shown(&to)]);
    assert_eq!(fs::read_link(to.join("evil")).unwrap(), decoy);
    let refused = host.wharf(["cp", "web:/t/.", &shown(&to)]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert_untouched(&decoy);
    host.ok(["cp", "web:/t/file", &shown(&to.join("sub"))]);
    host.ok(["cp", "web:/t/file", &shown(&to)]);
    assert_untouched(&decoy);
    // Behind a link of the container, in its own root: nothing of the host is there.
    let through = host.wharf(["cp", "web:/s/evil/f", &shown(&to.join("x"))]);
    assert_eq!(through.code, 1, "{through:?}");
    let followed = host.wharf(["cp", "-L", "web:/s/file", &shown(&to.join("x"))]);
    assert_eq!(followed.code, 1, "{followed:?}");
    let into = host.dir().join("own");
    fs::write(&into, "in").unwrap();
    host.wharf(["cp", &shown(&into), "web:/s/evil/new"]);
    host.wharf(["cp", &shown(&into), "web:/s/file"]);
    assert_untouched(&decoy);
}

/// CVE-2019-14271: no library of the container is loaded, for a copy runs nothing.
#[test]
fn cve_2019_14271_a_copy_loads_nothing_of_the_container() {
    let Some(host) = host() else { return };
    let bad = "mkdir -p /lib/x86_64-linux-gnu /etc; for l in libnss_files.so.2 libc.so.6; do echo junk >/lib/x86_64-linux-gnu/$l; echo junk >/lib/$l; done; echo 'passwd: evil' >/etc/nsswitch.conf; echo x >/f";
    running(&host, &[], bad);
    let to = host.dir().join("f");
    host.ok(["cp", "web:/f", &shown(&to)]);
    assert_eq!(text(&to), "x\n");
    host.ok(["cp", &shown(&to), "web:/g"]);
    assert_eq!(host.ok(["exec", "web", "cat", "/g"]), "x");
}

#[test]
fn a_file_that_is_mounted_is_not_replaced() {
    let Some(host) = host() else { return };
    let (own, other) = (host.dir().join("own"), host.dir().join("other"));
    fs::write(&own, "own\n").unwrap();
    fs::write(&other, "other\n").unwrap();
    let mount = format!("{}:/d/f", own.display());
    running(&host, &["-v", &mount], "true");
    // The kernel would take the mount away, and the container had lost its file.
    let refused = host.wharf(["cp", &shown(&other), "web:/d/f"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused.stderr.contains("replace /d/f: it is a mount"),
        "{refused:?}"
    );
    assert_eq!(host.ok(["exec", "web", "cat", "/d/f"]), "own");
    assert_eq!(host.ok(["exec", "web", "ls", "-A", "/d"]), "f");
}

/// Docker makes it with the container, whatever the image has there.
#[test]
fn the_working_directory_is_there_before_the_first_start() {
    let Some(host) = host() else { return };
    let file = host.dir().join("f");
    fs::write(&file, "file\n").unwrap();
    for (at, dir) in ["/new", "/new/deep/er", "/var/lib/app", "/tmp"]
        .iter()
        .enumerate()
    {
        let name = format!("c{at}");
        let flags = ["create", "--network", "none", "--name", &name, "-w", dir];
        host.ok([
            &flags[..],
            &[BUSYBOX, "sh", "-c", "pwd; cat f; stat -c '%a %u' ."],
        ]
        .concat());
        host.ok(["cp", &shown(&file), &format!("{name}:{dir}/f")]);
        let mode = if *dir == "/tmp" { "1777" } else { "755" };
        let expected = format!("{dir}\nfile\n{mode} 0");
        assert_eq!(host.ok(["start", "-a", &name]), expected);
    }
    // A caller who lets nobody see his own files means those.
    let mut command = Command::new("sh");
    let script = "umask 077; for dir in /a/b /var/a/b; do \"$0\" run --rm --network none -w $dir busybox stat -c %a . ..; done";
    command.args(["-c", script, WHARF]);
    host.dress(&mut command);
    let modes = collect(&mut command, b"");
    assert_eq!(modes.stdout, "755\n755\n755\n755\n", "{modes:?}");
}

#[test]
fn a_file_in_place_of_the_working_directory_is_refused_when_the_container_is_made() {
    let Some(host) = host() else { return };
    for dir in ["/etc/passwd", "/etc/passwd/below", "/bin/sh"] {
        for verb in ["create", "run"] {
            let refused = host.wharf([verb, "--name", "web", "-w", dir, BUSYBOX, "true"]);
            let code = if verb == "run" { 125 } else { 1 };
            assert_eq!(refused.code, code, "{verb} {dir}: {refused:?}");
            let why = format!("cannot make the working directory: {dir} is not a directory");
            assert!(refused.stderr.contains(&why), "{verb} {dir}: {refused:?}");
            assert_eq!(refused.stderr.lines().count(), 1, "{refused:?}");
        }
    }
    assert_eq!(host.container_ids(), Vec::<String>::new());
}
