//! Devices as a specification asks for them, and mounts that try to lead the engine out of the root: escapes of other
//! runtimes, named by their CVE. The host's decoy is untouched.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde_json::{Value, json};

use crate::bundle::{Bundle, add, bundle};
use crate::runtime::{decoy, look};

/// The specification without its mount on a target.
pub fn without(bundle: &Bundle, target: &str) -> Value {
    let mut config = bundle.config.clone();
    let list = config["mounts"].as_array_mut().unwrap();
    list.retain(|mount| !mount["destination"].as_str().unwrap().starts_with(target));
    config
}

const DEFAULTS: &str = "cd /dev; for d in null zero full random urandom tty; do stat -c '%n %F %t:%T %a' $d; done; \
    for l in fd stdin stdout stderr ptmx; do readlink $l; done; echo x > /dev/null";

fn defaults() -> String {
    let node =
        |(name, number): (&str, &str)| format!("{name} character special file {number} 666\n");
    let nodes = [
        ("null", "1:3"),
        ("zero", "1:5"),
        ("full", "1:7"),
        ("random", "1:8"),
        ("urandom", "1:9"),
        ("tty", "5:0"),
    ];
    let nodes: String = nodes.into_iter().map(node).collect();
    let links = "/proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\npts/ptmx";
    format!("{nodes}{links}")
}

#[test]
fn default_devices_are_there_with_and_without_a_mount() {
    let Some(bundle) = bundle() else { return };
    assert_eq!(bundle.ok(&bundle.config, DEFAULTS), defaults());
    let bare = without(&bundle, "/dev");
    // What an image has is used, replaced or covered.
    let dev = bundle.rootfs().join("dev");
    fs::write(dev.join("zero"), "no device").unwrap();
    fs::write(dev.join("ptmx"), "no link").unwrap();
    symlink("/proc/self/fd", dev.join("fd")).unwrap();
    for _ in 0..2 {
        assert_eq!(bundle.ok(&bare, DEFAULTS), defaults());
    }
    assert_eq!(fs::read_to_string(dev.join("zero")).unwrap(), "no device");
}

#[test]
fn devices_of_every_type_are_made() {
    let Some(bundle) = bundle() else { return };
    let mut config = bundle.config.clone();
    config["linux"]["devices"] = json!([
        { "path": "/dev/c", "type": "c", "major": 1, "minor": 11, "fileMode": 0o640, "uid": 3, "gid": 4 },
        { "path": "/dev/deep/u", "type": "u", "major": 10, "minor": 229, "fileMode": 0o20600 },
        { "path": "/dev/b", "type": "b", "major": 7, "minor": 300 },
        { "path": "/run/pipe", "type": "p", "fileMode": 0o600, "uid": 5 },
        { "path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o444 },
        { "path": "/dev/ptmx", "type": "c", "major": 5, "minor": 2 },
    ]);
    let line = "stat -c '%n %F %t:%T %a %u:%g' /dev/c /dev/deep/u /dev/b /run/pipe /dev/null; readlink /dev/ptmx";
    let expect = "/dev/c character special file 1:b 640 3:4\n\
        /dev/deep/u character special file a:e5 600 0:0\n\
        /dev/b block special file 7:12c 666 0:0\n\
        /run/pipe fifo 0:0 600 5:0\n\
        /dev/null character special file 1:3 444 0:0\n\
        pts/ptmx";
    assert_eq!(bundle.ok(&config, line), expect);
    for (device, word) in [
        (json!({ "path": "/dev/all", "type": "a" }), "/dev/all"),
        (json!({ "path": "/", "type": "p" }), "make device /"),
        (
            json!({ "path": "/dev/x", "type": "c", "major": -1, "minor": 0 }),
            "-1",
        ),
    ] {
        config["linux"]["devices"] = json!([device]);
        let error = bundle.refused(&config);
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn somebody_elses_dev_is_left_alone() {
    let Some(bundle) = bundle() else { return };
    let dev = bundle.path("dev");
    fs::create_dir(&dev).unwrap();
    let mut config = without(&bundle, "/dev");
    add(&mut config, &dev, "/dev", "bind", &["rbind"]);
    config["linux"]["devices"] =
        json!([{ "path": "/dev/c", "type": "c", "major": 1, "minor": 11 }]);
    assert_eq!(
        bundle
            .run(&config, "ls /dev")
            .map(|ran| ran.out)
            .unwrap_or_default(),
        ""
    );
    assert_eq!(fs::read_dir(&dev).unwrap().count(), 0);
}

#[test]
fn a_terminal_is_on_the_console_of_any_dev() {
    let Some(mut bundle) = bundle() else { return };
    bundle.tty = true;
    for config in [bundle.config.clone(), {
        let mut config = without(&bundle, "/dev");
        add(
            &mut config,
            "devpts",
            "/dev/pts",
            "devpts",
            &["newinstance", "ptmxmode=0666"],
        );
        config
    }] {
        assert_eq!(
            bundle.ok(&config, "stat -c %t:%T /dev/console; tty"),
            "88:0\n/dev/pts/0"
        );
    }
}

#[test]
fn cve_2025_52565_a_console_that_is_a_link_leads_nowhere() {
    let Some(mut bundle) = bundle() else { return };
    let (decoy, before) = decoy(&bundle.host);
    bundle.tty = true;
    let mut config = without(&bundle, "/dev");
    add(
        &mut config,
        "devpts",
        "/dev/pts",
        "devpts",
        &["newinstance", "ptmxmode=0666"],
    );
    for to in [
        format!("{decoy}/file"),
        "/proc/sys/kernel/core_pattern".to_owned(),
    ] {
        bundle.replace_by_link("dev/console", &to);
        let _ = bundle.run(&config, "echo owned > /dev/console");
        assert_eq!(look(&decoy), before, "{to}");
    }
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    assert_ne!(pattern, "owned\n");
}

#[test]
fn cve_2026_47766_default_devices_are_not_made_behind_a_link() {
    let Some(bundle) = bundle() else { return };
    let (decoy, before) = decoy(&bundle.host);
    let bare = without(&bundle, "/dev");
    let up = format!("../../../../../../../..{decoy}");
    for to in [decoy.as_str(), up.as_str(), "/proc/1/root", "/nowhere"] {
        bundle.replace_by_link("dev", to);
        let _ = bundle.run(&bare, "true");
        assert_eq!(look(&decoy), before, "{to}");
        let mut config = bare.clone();
        config["linux"]["devices"] =
            json!([{ "path": "/dev/file", "type": "c", "major": 1, "minor": 3 }]);
        let _ = bundle.run(&config, "true");
        assert_eq!(look(&decoy), before, "{to} with devices");
    }
    assert!(fs::symlink_metadata("/nowhere").is_err());
}

#[test]
fn cve_2026_41579_ptmx_is_not_removed_behind_a_link() {
    let Some(bundle) = bundle() else { return };
    let (decoy, before) = decoy(&bundle.host);
    let bare = without(&bundle, "/dev");
    bundle.replace_by_link("dev/ptmx", &format!("{decoy}/ptmx"));
    assert_eq!(bundle.ok(&bare, "readlink /dev/ptmx"), "pts/ptmx");
    assert_eq!(look(&decoy), before);
    bundle.replace_by_link("dev", &decoy);
    let _ = bundle.run(&bare, "true");
    assert_eq!(look(&decoy), before);
}

#[test]
fn cve_2025_31133_masks_are_not_made_of_a_false_null_device() {
    let Some(bundle) = bundle() else { return };
    let (decoy, before) = decoy(&bundle.host);
    let mut config = without(&bundle, "/dev");
    config["linux"]["maskedPaths"] = json!(["/proc/version"]);
    let dev = bundle.path("dev");
    fs::create_dir(&dev).unwrap();
    symlink("/proc/sys/kernel/core_pattern", format!("{dev}/null")).unwrap();
    let mut foreign = config.clone();
    add(&mut foreign, &dev, "/dev", "bind", &["rbind"]);
    let error = bundle.refused(&foreign);
    assert!(error.contains("is not the null device"), "{error}");
    // In an image's own /dev the false one is covered by the true one.
    for to in [
        "/proc/sys/kernel/core_pattern",
        "/etc",
        &format!("{decoy}/null"),
    ] {
        bundle.replace_by_link("dev/null", to);
        match bundle.run(&config, "wc -c < /proc/version") {
            Ok(ran) => assert_eq!(ran.out, "0\n", "{to}: {ran:?}"),
            Err(error) => assert!(error.to_string().contains("null"), "{to}: {error}"),
        }
        assert_eq!(look(&decoy), before, "{to}");
    }
}

#[test]
fn cve_2025_54867_proc_and_sys_are_mounted_on_directories_or_not_at_all() {
    let Some(bundle) = bundle() else { return };
    let (decoy, before) = decoy(&bundle.host);
    fs::create_dir(bundle.rootfs().join("other")).unwrap();
    let config = bundle.with("sysfs", "/sys", "sysfs", &["ro"]);
    for name in ["proc", "sys"] {
        for to in [decoy.as_str(), "/other", "..", "/nowhere"] {
            bundle.replace_by_link(name, to);
            let error = bundle.refused(&config);
            assert!(
                error.contains("ordinary directory"),
                "{name} -> {to}: {error}"
            );
        }
        fs::remove_file(bundle.rootfs().join(name)).unwrap();
        fs::write(bundle.rootfs().join(name), "").unwrap();
        let error = bundle.refused(&config);
        assert!(error.contains("ordinary directory"), "{name}: {error}");
        fs::remove_file(bundle.rootfs().join(name)).unwrap();
        fs::create_dir(bundle.rootfs().join(name)).unwrap();
    }
    assert_eq!(look(&decoy), before);
}

#[test]
fn cve_2019_16884_a_volume_on_proc_is_refused() {
    let Some(bundle) = bundle() else { return };
    let (decoy, before) = decoy(&bundle.host);
    symlink("/proc", bundle.rootfs().join("volume")).unwrap();
    symlink("/proc/self/attr", bundle.rootfs().join("attr")).unwrap();
    for target in [
        "/proc",
        "/tmp/../proc",
        "proc/",
        "/volume",
        "/attr",
        "/proc/self",
        "/proc/sys",
    ] {
        for (source, kind, options) in
            [(decoy.as_str(), "bind", &["bind"][..]), ("t", "tmpfs", &[])]
        {
            let error = bundle.refused(&bundle.with(source, target, kind, options));
            assert!(error.contains("/proc"), "{target}: {error}");
        }
    }
    // Before there is a procfs, the name says it.
    let mut config = bundle.config.clone();
    let volume = json!({ "destination": "/proc", "source": decoy, "options": ["bind"] });
    config["mounts"].as_array_mut().unwrap().insert(0, volume);
    assert!(bundle.refused(&config).contains("not of type proc"));
    // What lxcfs shows is allowed, and a procfs of the host.
    let file = format!("{decoy}/file");
    let config = bundle.with(&file, "/proc/meminfo", "bind", &["bind", "ro"]);
    assert_eq!(bundle.ok(&config, "cat /proc/meminfo"), "untouched");
    let config = bundle.with("/proc", "/proc", "bind", &["rbind"]);
    assert_eq!(
        bundle
            .ok(&config, "cat /proc/1/comm | head -1")
            .lines()
            .count(),
        1
    );
    assert_eq!(look(&decoy), before);
}

#[test]
fn cve_2025_52881_kernel_parameters_are_written_to_the_containers_procfs_alone() {
    let Some(bundle) = bundle() else { return };
    let (decoy, before) = decoy(&bundle.host);
    let file = format!("{decoy}/file");
    let parameters = json!({ "net.ipv4.ip_unprivileged_port_start": "77" });
    // What is mounted over a part of it is no part of it.
    let mut config = bundle.with(&file, "/proc/sys/kernel/ns_last_pid", "bind", &["bind"]);
    config["linux"]["sysctl"] = parameters.clone();
    let line = "cat /proc/sys/net/ipv4/ip_unprivileged_port_start";
    assert_eq!(bundle.ok(&config, line), "77");
    // Without a procfs of its own it is not the root's that is written to.
    let mut config = without(&bundle, "/proc");
    config["linux"]["sysctl"] = parameters;
    symlink(&decoy, bundle.rootfs().join("proc/sys")).unwrap();
    assert_eq!(bundle.ok(&config, "echo started"), "started");
    assert_eq!(look(&decoy), before);
}

#[test]
fn cve_2018_10892_acpi_can_be_masked_where_it_is() {
    let Some(bundle) = bundle() else { return };
    let mut config = bundle.config.clone();
    config["linux"]["maskedPaths"] = json!(["/proc/acpi", "/proc/version", "/proc/keys"]);
    config["linux"]["readonlyPaths"] = json!(["/proc/sys", "/proc/sysrq-trigger"]);
    let line = "ls -A /proc/acpi 2>/dev/null; head -c1 /proc/version; cat /proc/keys 2>/dev/null; \
        for f in /proc/acpi/x /proc/sysrq-trigger /proc/sys/kernel/domainname; do (echo x > $f) 2>/dev/null && echo $f; done; true";
    assert_eq!(bundle.ok(&config, line), "");
}

#[test]
fn cve_2024_45310_targets_made_while_their_parents_are_swapped_are_made_inside() {
    race(&["/shared/target/new/deep", "/shared/target/new/file"]);
}

#[test]
fn cve_2019_19921_a_volume_cannot_become_proc_meanwhile() {
    let Some(bundle) = bundle() else { return };
    let (decoy, before) = decoy(&bundle.host);
    let shared = bundle.path("shared");
    fs::create_dir_all(format!("{shared}/proc")).unwrap();
    symlink(&decoy, format!("{shared}/link")).unwrap();
    // As with a root that is a volume: /proc is in it, and another container swaps it.
    let mut config = bundle.with(&shared, "/volume", "bind", &["rbind"]);
    add(&mut config, "proc", "/volume/proc", "proc", &[]);
    config["linux"]["maskedPaths"] = json!(["/volume/proc/version"]);
    swapping(&format!("{shared}/proc"), &format!("{shared}/link"), || {
        for _ in 0..20 {
            // Whether it starts depends on the moment; what is outside must not.
            let _ = bundle.run(&config, "true");
        }
    });
    assert_eq!(look(&decoy), before);
}

/// Mounts on targets in a volume whose directory is swapped with a link to the decoy all the time.
fn race(targets: &[&str]) {
    let Some(bundle) = bundle() else { return };
    let (decoy, before) = decoy(&bundle.host);
    let (shared, source) = (bundle.path("shared"), bundle.path("source"));
    fs::create_dir_all(format!("{shared}/target")).unwrap();
    fs::create_dir(&source).unwrap();
    fs::write(format!("{source}/file"), "x").unwrap();
    symlink(format!("{decoy}/sub"), format!("{shared}/link")).unwrap();
    let mut config = bundle.with(&shared, "/shared", "bind", &["rbind"]);
    for target in targets {
        let is_file = target.ends_with("file");
        let from = if is_file {
            format!("{source}/file")
        } else {
            source.clone()
        };
        add(&mut config, &from, target, "bind", &["rbind"]);
    }
    swapping(
        &format!("{shared}/target"),
        &format!("{shared}/link"),
        || {
            for _ in 0..30 {
                // Whether it starts depends on the moment; what is outside must not.
                let _ = bundle.run(&config, "true");
                for dir in ["target", "link"] {
                    let _ = fs::remove_dir_all(format!("{shared}/{dir}/new"));
                }
            }
        },
    );
    assert_eq!(look(&decoy), before);
}

/// Says so when it goes.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Swaps two names all the time while something else is done.
pub fn swapping(one: &str, other: &str, work: impl FnOnce()) {
    let done = &AtomicBool::new(false);
    let swaps = std::thread::scope(|scope| {
        // Also when the work panics: the scope waits for the thread.
        let end = Ends(done);
        let swapper = scope.spawn(move || {
            let mut swaps = 0u64;
            while !done.load(Ordering::Relaxed) {
                renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).unwrap();
                swaps += 1;
            }
            swaps
        });
        work();
        drop(end);
        swapper.join().unwrap()
    });
    assert!(swaps > 20, "{swaps}");
}

#[test]
fn the_hosts_null_device_is_what_it_was() {
    let Some(bundle) = bundle() else { return };
    let null = |path: &str| {
        let found = fs::metadata(path).unwrap();
        (
            found.file_type().is_char_device(),
            found.rdev(),
            found.mode(),
            found.uid(),
        )
    };
    let before = null("/dev/null");
    let mut config = bundle.config.clone();
    config["linux"]["devices"] = json!([{ "path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o600, "uid": 9 }]);
    assert_eq!(bundle.ok(&config, "stat -c %u /dev/null"), "9");
    assert_eq!(null("/dev/null"), before);
}
