//! config.md, "Root" and "Mounts"; config-linux.md, "Default Filesystems", "Rootfs Mount Propagation", "Masked Paths",
//! "Readonly Paths".

use std::fs;
use std::os::unix::fs::MetadataExt;

use serde_json::{Value, json};

use super::bundle::{Bundle, bundle};

/// The mount options and those of the file system of what is mounted last at a place, and the optional fields between
/// (proc_pid_mountinfo(5)).
fn options(mountinfo: &str, at: &str) -> Option<[String; 3]> {
    let of_place = |line: &&str| line.split(' ').nth(4) == Some(at);
    let line = mountinfo.lines().rfind(of_place)?;
    let (before, after) = line.split_once(" - ")?;
    let fields: Vec<&str> = before.split(' ').collect();
    let own = (*fields.get(5)?).to_owned();
    let shared = fields.get(6..)?.join(" ");
    Some([own, after.split(' ').nth(2)?.to_owned(), shared])
}

/// Mounts a tmpfs with some options and shows them.
#[track_caller]
fn tmpfs(list: &[&str]) -> Option<[String; 3]> {
    let mut b = bundle("cat /proc/self/mountinfo")?;
    b.add(
        "/mounts",
        json!({"destination": "/m", "type": "tmpfs", "source": "tmpfs", "options": list}),
    );
    let text = b.prints();
    Some(options(&text, "/m").unwrap_or_else(|| panic!("{list:?}: {text}")))
}

#[test]
fn options_of_a_mount_are_all_known() {
    // What is asked for, what is seen then, what is not seen.
    let cases: &[(&[&str], &[&str], &[&str])] = &[
        (&["defaults"], &["rw"], &["nosuid", "nodev", "noexec"]),
        (&["ro"], &["ro"], &["rw"]),
        (&["ro", "rw"], &["rw"], &["ro"]),
        (
            &["nosuid", "nodev", "noexec"],
            &["nosuid", "nodev", "noexec"],
            &[],
        ),
        (
            &["nosuid", "nodev", "noexec", "suid", "dev", "exec"],
            &[],
            &["nosuid", "nodev", "noexec"],
        ),
        (&["noatime"], &["noatime"], &["relatime"]),
        (&["noatime", "atime"], &[], &["noatime"]),
        (&["relatime"], &["relatime"], &[]),
        (&["norelatime"], &[], &["noatime"]),
        (&["strictatime"], &[], &["relatime", "noatime"]),
        (&["nostrictatime"], &[], &["noatime"]),
        (&["nodiratime"], &["nodiratime"], &[]),
        (&["nodiratime", "diratime"], &[], &["nodiratime"]),
        (&["async", "loud", "noiversion", "nolazytime"], &["rw"], &[]),
        (&["silent"], &["rw"], &[]),
        (&["iversion"], &["rw"], &[]),
    ];
    for (asked, seen, unseen) in cases {
        let Some([own, ..]) = tmpfs(asked) else {
            return;
        };
        let own: Vec<&str> = own.split(',').collect();
        assert!(
            seen.iter().all(|option| own.contains(option)),
            "{asked:?}: {own:?}"
        );
        assert!(
            !unseen.iter().any(|option| own.contains(option)),
            "{asked:?}: {own:?}"
        );
    }
}

#[test]
fn options_of_a_file_system_reach_it() {
    for (asked, seen) in [
        (&["sync"][..], "sync"),
        (&["dirsync"], "dirsync"),
        (&["lazytime"], "lazytime"),
        (
            &["mode=700", "size=4096k", "uid=7"],
            "size=4096k,mode=700,uid=7",
        ),
    ] {
        let Some([_, of_fs, _]) = tmpfs(asked) else {
            return;
        };
        assert!(of_fs.contains(seen), "{asked:?}: {of_fs}");
    }
}

#[test]
fn propagation_is_as_asked() {
    for (option, seen) in [
        ("private", ""),
        ("rprivate", ""),
        ("shared", "shared:"),
        ("rshared", "shared:"),
        ("unbindable", "unbindable"),
        ("runbindable", "unbindable"),
    ] {
        let Some([_, _, shared]) = tmpfs(&[option]) else {
            return;
        };
        assert_eq!(shared.is_empty(), seen.is_empty(), "{option}: {shared}");
        assert!(shared.contains(seen), "{option}: {shared}");
    }
}

#[test]
fn a_slave_tells_the_host_nothing() {
    for option in ["slave", "rslave"] {
        let Some(mut b) = bundle("cat /proc/self/mountinfo") else {
            return;
        };
        b.add("/mounts", json!({"destination": "/m", "type": "bind", "source": b.aside(), "options": ["bind", option]}));
        let text = b.prints();
        let [_, _, shared] = options(&text, "/m").unwrap();
        assert!(!shared.contains("shared:"), "{option}: {text}");
    }
}

#[test]
fn a_bind_shows_one_mount_or_all_below() {
    for (option, below) in [("bind", false), ("rbind", true)] {
        let Some(mut b) = bundle("cat /proc/self/mountinfo") else {
            return;
        };
        let from = b.rootfs().join("from");
        fs::create_dir(&from).unwrap();
        for at in ["/from", "/from/sub"] {
            b.add(
                "/mounts",
                json!({"destination": at, "type": "tmpfs", "source": "tmpfs"}),
            );
        }
        b.add(
            "/mounts",
            json!({"destination": "/m", "type": "bind", "source": from, "options": [option]}),
        );
        let text = b.prints();
        assert!(options(&text, "/m").is_some(), "{option}: {text}");
        assert_eq!(
            options(&text, "/m/sub").is_some(),
            below,
            "{option}: {text}"
        );
    }
}

#[test]
fn a_bind_is_restricted_by_a_second_look() {
    let Some(mut b) = bundle("touch /m/new; cat /proc/self/mountinfo") else {
        return;
    };
    let aside = b.aside();
    b.add("/mounts", json!({"destination": "/m", "type": "bind", "source": aside, "options": ["bind", "ro", "noexec"]}));
    let text = b.prints();
    let [own, ..] = options(&text, "/m").unwrap();
    assert!(own.contains("ro,") && own.contains("noexec"), "{own}");
    assert!(!aside.join("new").exists());
    // The source itself is as it was.
    fs::write(aside.join("still"), "writable").unwrap();
}

#[test]
fn an_existing_mount_is_remounted() {
    let Some(mut b) = bundle("cat /proc/self/mountinfo") else {
        return;
    };
    b.add(
        "/mounts",
        json!({"destination": "/m", "type": "tmpfs", "source": "tmpfs"}),
    );
    b.add("/mounts", json!({"destination": "/m", "type": "tmpfs", "source": "tmpfs", "options": ["remount", "ro", "nodev"]}));
    let text = b.prints();
    let count = text
        .lines()
        .filter(|line| line.split(' ').nth(4) == Some("/m"))
        .count();
    let [own, ..] = options(&text, "/m").unwrap();
    assert_eq!(count, 1, "{text}");
    assert!(own.contains("ro") && own.contains("nodev"), "{text}");
}

#[test]
fn mounts_are_made_in_their_order() {
    let Some(mut b) = bundle("ls /m /m/below; cat /m/below/file") else {
        return;
    };
    let aside = b.aside();
    fs::write(aside.join("file"), "below").unwrap();
    b.add(
        "/mounts",
        json!({"destination": "/m", "type": "tmpfs", "source": "tmpfs"}),
    );
    b.add(
        "/mounts",
        json!({"destination": "/m/below", "type": "bind", "source": aside, "options": ["bind"]}),
    );
    assert!(b.prints().ends_with("below"));
    // The other way round the first is hidden by the second.
    let order = b.config["mounts"].as_array_mut().unwrap();
    let last = order.len() - 1;
    order.swap(last, last - 1);
    assert_ne!(b.run().code, 0);
}

#[test]
fn a_relative_destination_begins_at_the_root() {
    let Some(mut b) = bundle("cat /proc/self/mountinfo") else {
        return;
    };
    b.set("/process/cwd", json!("/home"));
    b.add(
        "/mounts",
        json!({"destination": "m/n", "type": "tmpfs", "source": "tmpfs"}),
    );
    let text = b.prints();
    assert!(options(&text, "/m/n").is_some(), "{text}");
}

#[test]
fn a_mount_that_cannot_be_made_is_an_error() {
    let cases: [(Value, &str); 6] = [
        (
            json!({"destination": "/m", "type": "nonsense", "source": "x"}),
            "nonsense",
        ),
        (
            json!({"destination": "/m", "type": "bind", "source": "/no/such", "options": ["bind"]}),
            "/no/such",
        ),
        (
            json!({"destination": "/m", "type": "bind", "source": "/tmp", "options": ["bind"],
                "uidMappings": [{"containerID": 0, "hostID": 1, "size": 1}]}),
            "gidMappings",
        ),
        (
            json!({"destination": "/m", "type": "bind", "source": "/tmp", "options": ["bind"],
                "gidMappings": [{"containerID": 0, "hostID": 1, "size": 1}]}),
            "uidMappings",
        ),
        (
            json!({"destination": "/m", "type": "bind", "source": "/tmp", "options": ["bind", "idmap"]}),
            "idmap",
        ),
        (
            json!({"destination": "/m", "type": "bind", "source": "/tmp", "options": ["rbind", "ridmap"]}),
            "idmap",
        ),
    ];
    for (mount, why) in cases {
        let Some(mut b) = bundle("true") else { return };
        b.add("/mounts", mount);
        b.cannot_be_created(why);
    }
}

#[test]
fn a_mount_shows_owners_by_its_own_map() {
    for option in ["idmap", "ridmap"] {
        let Some(mut b) = bundle("stat -c '%u %g' /m/file") else {
            return;
        };
        let aside = b.aside();
        fs::write(aside.join("file"), "").unwrap();
        std::os::unix::fs::chown(aside.join("file"), Some(1000), Some(2000)).unwrap();
        let map = |from, to| json!([{"containerID": from, "hostID": to, "size": 1}]);
        b.add(
            "/mounts",
            json!({"destination": "/m", "type": "bind", "source": aside, "options": ["rbind", option],
                "uidMappings": map(1000, 5), "gidMappings": map(2000, 6)}),
        );
        assert_eq!(b.prints(), "5 6", "{option}");
    }
}

#[test]
fn the_root_is_there_and_writable_or_not() {
    let Some(mut b) = bundle("touch /new && echo made") else {
        return;
    };
    assert_eq!(b.prints(), "made");
    b.set("/root/readonly", json!(true));
    b.script("touch /newer || echo refused");
    let output = b.run();
    assert_eq!(output.stdout, "refused\n", "{output:#?}");
    assert!(!b.rootfs().join("newer").exists());
    b.set("/root/path", json!("no-such-root"));
    b.cannot_be_created("no-such-root");
}

#[test]
fn the_root_may_be_an_absolute_path() {
    let Some(mut b) = bundle("echo made") else {
        return;
    };
    b.set("/root/path", json!(b.rootfs()));
    assert_eq!(b.prints(), "made");
}

#[test]
fn the_usual_file_systems_are_available() {
    let Some(mut b) = bundle("cat /proc/self/mountinfo") else {
        return;
    };
    let list: [(&str, Value); 4] = [
        (
            "/sys",
            json!({"type": "sysfs", "source": "sysfs", "options": ["ro", "nosuid", "noexec", "nodev"]}),
        ),
        (
            "/dev/pts",
            json!({"type": "devpts", "source": "devpts", "options": ["newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]}),
        ),
        (
            "/dev/shm",
            json!({"type": "tmpfs", "source": "shm", "options": ["mode=1777", "size=65536k"]}),
        ),
        ("/dev/mqueue", json!({"type": "mqueue", "source": "mqueue"})),
    ];
    b.add("/linux/namespaces", json!({"type": "ipc"}));
    b.add("/linux/namespaces", json!({"type": "network"}));
    for (at, mut mount) in list.clone() {
        mount["destination"] = json!(at);
        b.add("/mounts", mount);
    }
    let text = b.prints();
    for (at, mount) in list {
        let typ = mount["type"].as_str().unwrap();
        let found = text
            .lines()
            .any(|l| l.contains(&format!(" {at} ")) && l.contains(&format!(" - {typ} ")));
        assert!(found, "{at}: {text}");
    }
}

#[test]
fn the_roots_propagation_is_as_asked() {
    for (propagation, seen) in [
        ("private", ""),
        ("rprivate", ""),
        ("shared", "shared:"),
        ("rshared", "shared:"),
        ("unbindable", "unbindable"),
    ] {
        let Some(mut b) = bundle("cat /proc/self/mountinfo") else {
            return;
        };
        b.set("/linux/rootfsPropagation", json!(propagation));
        let text = b.prints();
        let [_, _, shared] = options(&text, "/").unwrap();
        assert!(shared.contains(seen), "{propagation}: {text}");
        assert_eq!(shared.is_empty(), seen.is_empty(), "{propagation}: {text}");
    }
    let Some(mut b) = bundle("true") else { return };
    b.set("/linux/rootfsPropagation", json!("nonsense"));
    b.cannot_be_created("rootfsPropagation");
}

/// A bundle with some files in its root.
fn with_files(script: &str) -> Option<Bundle> {
    let b = bundle(script)?;
    fs::create_dir(b.rootfs().join("dir")).unwrap();
    fs::write(b.rootfs().join("dir/inner"), "secret").unwrap();
    fs::write(b.rootfs().join("file"), "secret").unwrap();
    Some(b)
}

#[test]
fn masked_paths_show_nothing() {
    let Some(mut b) = with_files(
        "cat /file; ls /dir; stat -c %t,%T /file; echo x > /file; touch /dir/x || echo refused",
    ) else {
        return;
    };
    b.set(
        "/linux/maskedPaths",
        json!(["/file", "/dir", "/no/such/path"]),
    );
    assert_eq!(b.prints(), "1,3\nrefused");
    assert_eq!(
        fs::read_to_string(b.rootfs().join("file")).unwrap(),
        "secret"
    );
    assert_eq!(fs::metadata(b.rootfs().join("dir")).unwrap().nlink(), 2);
}

#[test]
fn read_only_paths_are_read_only() {
    let Some(mut b) = with_files(
        "cat /file; cat /dir/inner; (echo x > /file) || echo one; touch /dir/x || echo two",
    ) else {
        return;
    };
    b.set(
        "/linux/readonlyPaths",
        json!(["/file", "/dir", "/no/such/path"]),
    );
    assert_eq!(b.prints(), "secretsecretone\ntwo");
}

#[test]
fn masked_and_read_only_paths_begin_at_the_root() {
    let Some(mut b) = with_files("cat /file; touch /dir/x || echo refused") else {
        return;
    };
    b.set("/process/cwd", json!("/home"));
    // They must be absolute; runc and crun take others from the root.
    b.set("/linux/maskedPaths", json!(["file"]));
    b.set("/linux/readonlyPaths", json!(["dir"]));
    assert_eq!(b.prints(), "refused");
}

#[test]
fn a_recursive_map_reaches_the_mounts_below() {
    for (option, below) in [("ridmap", "5 6"), ("idmap", "0 0")] {
        let Some(mut b) = bundle("stat -c '%u %g' /m /m/sub") else {
            return;
        };
        let from = b.rootfs().join("from");
        fs::create_dir(&from).unwrap();
        for at in ["/from", "/from/sub"] {
            b.add(
                "/mounts",
                json!({"destination": at, "type": "tmpfs", "source": "tmpfs"}),
            );
        }
        let map = |to| json!([{"containerID": 0, "hostID": to, "size": 1}]);
        b.add(
            "/mounts",
            json!({"destination": "/m", "type": "bind", "source": from, "options": ["rbind", option],
                "uidMappings": map(5), "gidMappings": map(6)}),
        );
        assert_eq!(b.prints(), format!("5 6\n{below}"), "{option}");
    }
}
