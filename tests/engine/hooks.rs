//! Hooks as `wharf oci` runs them: when, where, with what they are given; and what else depends on the container's name.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::bundle::{Bundle, bundle};
use crate::support::Output;

/// A bundle that `wharf oci` is given, with a log that hooks write to.
struct Oci {
    bundle: Bundle,
    config: Value,
}

impl Oci {
    fn new() -> Option<Self> {
        let bundle = bundle()?;
        let mut config = bundle.config.clone();
        // Hooks that run inside reach the log, too.
        let log = bundle.host.dir().join("log");
        fs::create_dir_all(&log).unwrap();
        fs::create_dir_all(bundle.rootfs().join("log")).unwrap();
        config["mounts"].as_array_mut().unwrap().push(json!({
            "destination": "/log", "type": "bind", "source": log, "options": ["bind"],
        }));
        Some(Self { bundle, config })
    }

    fn dir(&self) -> PathBuf {
        self.bundle.host.dir().to_owned()
    }

    /// Runs a shell line with flags for `run`.
    fn run(&self, flags: &[&str], line: &str) -> Output {
        let mut config = self.config.clone();
        config["process"]["args"] = json!(["sh", "-c", line]);
        fs::write(self.dir().join("config.json"), config.to_string()).unwrap();
        let (root, dir) = (self.dir().join("oci"), self.dir());
        let (root, dir) = (root.to_str().unwrap(), dir.to_str().unwrap());
        let mut args = vec!["oci", "--root", root, "run", "--bundle", dir];
        args.extend(flags);
        let id = self.id();
        args.push(&id);
        self.bundle.host.wharf(args)
    }

    /// Of this test alone: cgroups are named after it.
    fn id(&self) -> String {
        let dir = self.dir();
        dir.file_name().unwrap().to_str().unwrap().to_owned()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir().join("log/lines")).unwrap_or_default()
    }

    /// A hook of the host that runs a shell line; `$LOG` is the log.
    fn outside(&self, line: &str) -> Value {
        let log = format!("LOG={}", self.dir().join("log/lines").display());
        json!({ "path": "/bin/sh", "args": ["sh", "-c", line], "env": [log, "PATH=/usr/bin:/bin"] })
    }
}

/// A hook inside that runs a shell line.
fn inside(line: &str) -> Value {
    json!({ "path": "/bin/sh", "args": ["sh", "-c", line] })
}

#[test]
fn hooks_run_in_the_order_of_the_specification() {
    let Some(mut oci) = Oci::new() else { return };
    let note = |kind: &str| oci.outside(&format!("echo {kind} >> $LOG"));
    oci.config["hooks"] = json!({
        "prestart": [note("prestart")],
        "createRuntime": [note("createRuntime"), note("second")],
        "createContainer": [note("createContainer")],
        "startContainer": [inside("echo startContainer >> /log/lines")],
        "poststart": [note("poststart")],
        "poststop": [note("poststop")],
    });
    let output = oci.run(
        &[],
        "while ! grep -q poststart /log/lines; do :; done; echo program >> /log/lines",
    );
    assert_eq!(output.code, 0, "{output:?}");
    let expect = "prestart\ncreateRuntime\nsecond\ncreateContainer\nstartContainer\npoststart\nprogram\npoststop\n";
    assert_eq!(oci.log(), expect);
}

#[test]
fn a_create_container_hook_sees_the_host_and_what_is_mounted_for_the_container() {
    let Some(mut oci) = Oci::new() else { return };
    let hook = oci.outside(
        "cat > $LOG.state; pwd >> $LOG; readlink /proc/self/ns/mnt >> $LOG; ls -d proc/1 >> $LOG; \
         [ -e dev/null ] && echo devices >> $LOG",
    );
    oci.config["hooks"] = json!({ "createContainer": [hook] });
    oci.config["annotations"] = json!({ "some": "note" });
    let output = oci.run(&[], "readlink /proc/self/ns/mnt");
    assert_eq!(output.code, 0, "{output:?}");
    let dir = oci.dir();
    let expect = format!(
        "{}/rootfs\n{}proc/1\ndevices\n",
        dir.display(),
        output.stdout
    );
    assert_eq!(oci.log(), expect);
    let state = fs::read_to_string(dir.join("log/lines.state")).unwrap();
    let state: Value = serde_json::from_str(&state).unwrap();
    let expect = json!({
        "ociVersion": "1.2.0", "id": oci.id(), "status": "creating", "pid": 1, "bundle": dir,
        "annotations": { "some": "note" },
    });
    assert_eq!(state, expect);
}

#[test]
fn a_start_container_hook_runs_inside_as_the_program_will() {
    let Some(mut oci) = Oci::new() else { return };
    oci.config["process"]["user"] = json!({ "uid": 7, "gid": 7 });
    oci.config["process"]["env"] = json!(["PATH=/bin", "ONE=two"]);
    let log = oci.dir().join("log");
    fs::set_permissions(log, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let mut own = inside("echo \"$ONE-$TWO\" >> /log/lines");
    own["env"] = json!(["TWO=own"]);
    oci.config["hooks"] = json!({
        "startContainer": [inside("id -u >> /log/lines; echo $ONE $HOME >> /log/lines; grep -c status /dev/stdin >> /log/lines"), own],
    });
    let output = oci.run(&[], "echo program >> /log/lines");
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(oci.log(), "7\ntwo /\n1\n-own\nprogram\n");
}

#[test]
fn a_hook_that_fails_is_named_and_nothing_is_left() {
    let Some(mut oci) = Oci::new() else { return };
    for kind in [
        "prestart",
        "createRuntime",
        "createContainer",
        "startContainer",
        "poststart",
    ] {
        let hook = |line: &str| match kind {
            "startContainer" => inside(line),
            _ => oci.outside(line),
        };
        let hooks = json!([hook("true"), hook("echo said; exit 3"), hook("true")]);
        let mut config = oci.config.clone();
        config["hooks"] = json!({ kind: hooks });
        std::mem::swap(&mut config, &mut oci.config);
        let output = oci.run(&[], "exec sleep 1000");
        std::mem::swap(&mut config, &mut oci.config);
        assert_ne!(output.code, 0, "{kind}");
        let text = format!("error running {kind} hook #1: exit status 3, stdout: said");
        assert!(output.stderr.contains(&text), "{kind}: {output:?}");
        let left: Vec<_> = fs::read_dir(oci.dir().join("oci")).unwrap().collect();
        assert!(left.is_empty(), "{kind}: {left:?}");
    }
}

#[test]
fn a_hook_inside_that_takes_too_long_is_killed() {
    let Some(mut oci) = Oci::new() else { return };
    let mut slow = inside("exec sleep 1000");
    slow["timeout"] = json!(1);
    oci.config["hooks"] = json!({ "startContainer": [slow] });
    let output = oci.run(&[], "true");
    let text = "error running startContainer hook #0: hook ran past specified timeout of 1s";
    assert!(output.stderr.contains(text), "{output:?}");
}

#[test]
fn the_session_keyring_is_the_containers_own() {
    let Some(oci) = Oci::new() else { return };
    if !std::path::Path::new("/proc/keys").exists() {
        return;
    }
    let line = format!("grep -c 'keyring *_ses.{}:' /proc/keys", oci.id());
    // In this order: a keyring that nobody uses any more is only gone a little later.
    assert_eq!(oci.run(&["--no-new-keyring"], &line).stdout, "0\n");
    assert_eq!(oci.run(&[], &line).stdout, "1\n");
}

#[test]
fn a_root_that_is_moved_to_is_as_closed_as_one_that_is_pivoted_to() {
    let Some(oci) = Oci::new() else { return };
    fs::write(oci.bundle.rootfs().join("marker"), "here").unwrap();
    let line = "cat /marker; ls /; ls -d /../../usr 2>/dev/null; grep -c ' /proc ' /proc/self/mountinfo; pwd";
    let (pivoted, moved) = (oci.run(&[], line), oci.run(&["--no-pivot"], line));
    assert_eq!(moved.code, 0, "{moved:?}");
    assert_eq!(moved.stdout, pivoted.stdout);
}

#[test]
fn what_the_machine_cannot_divide_is_refused() {
    let Some(mut oci) = Oci::new() else { return };
    if std::path::Path::new("/sys/fs/resctrl/schemata").exists() {
        return;
    }
    oci.config["linux"]["intelRdt"] = json!({ "l3CacheSchema": "L3:0=f" });
    let output = oci.run(&[], "true");
    assert!(
        output
            .stderr
            .contains("linux.intelRdt: intelRdt is specified in config"),
        "{output:?}"
    );
}

#[test]
fn an_unknown_capability_is_warned_of_and_left_out() {
    let Some(mut oci) = Oci::new() else { return };
    let list = json!(["CAP_KILL", "CAP_OF_TOMORROW"]);
    oci.config["process"]["capabilities"] = json!({
        "bounding": list, "effective": list, "permitted": list,
    });
    let output = oci.run(&[], "grep CapEff /proc/self/status");
    assert_eq!(output.stdout, "CapEff:\t0000000000000020\n", "{output:?}");
    let text = "warning: ignoring unknown or unavailable capabilities: [CAP_OF_TOMORROW]";
    assert!(output.stderr.contains(text), "{output:?}");
}
