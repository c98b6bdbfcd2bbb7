//! Devices that their vendors describe (`--device vendor.com/class=name`): what comes with them, and hooks around a run.
//! The descriptions are in the host's own directory, under a name of this test, and go with it.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::{BUSYBOX, Host, PATIENCE, privileged, wait_until};

const DIRECTORY: &str = "/var/run/cdi";

/// A description that goes when the test ends.
struct Described(PathBuf);

impl Described {
    fn new(name: &str, content: &str) -> Self {
        fs::create_dir_all(DIRECTORY).unwrap();
        let path = PathBuf::from(DIRECTORY).join(name);
        fs::write(&path, content).unwrap();
        Self(path)
    }
}

impl Drop for Described {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
        // Only if nobody else's is there.
        let _ = fs::remove_dir(DIRECTORY);
    }
}

fn host() -> Option<Host> {
    let host = privileged()?;
    host.busybox_image()?;
    Some(host)
}

/// `run --rm --network none --device NAME busybox COMMAND`.
fn args<'a>(name: &'a str, command: &[&'a str]) -> Vec<&'a str> {
    let start = [
        "run",
        "--rm",
        "--network",
        "none",
        "--device",
        name,
        BUSYBOX,
    ];
    [&start[..], command].concat()
}

#[test]
fn a_described_device_brings_nodes_mounts_variables_groups() {
    let Some(host) = host() else { return };
    let dir = host.dir().join("given");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("file"), "of the host\n").unwrap();
    let yaml = format!(
        "cdiVersion: 0.7.0
kind: nodes.wharf.test/class
devices:
- name: one
  containerEdits:
    env: [VENDOR=1]
    additionalGids: [77]
    deviceNodes:
    - {{path: /dev/vendor, hostPath: /dev/zero, permissions: r}}
containerEdits:
  mounts:
  - {{hostPath: {}, containerPath: /vendor, options: [ro, nosuid]}}
",
        dir.display()
    );
    let _described = Described::new("wharf-test-nodes.yaml", &yaml);
    let script = "echo $VENDOR; id -G; cat /vendor/file; head -c 1 /dev/vendor | wc -c; echo x > /vendor/file";
    let ran = host.wharf(args("nodes.wharf.test/class=one", &["sh", "-c", script]));
    assert_eq!(ran.stdout, "1\n0 77\nof the host\n1\n", "{ran:?}");
    assert_ne!(ran.code, 0, "{ran:?}");
    host.ok([
        "create",
        "--name",
        "aa",
        "--device",
        "nodes.wharf.test/class=one",
        BUSYBOX,
    ]);
    let shown = host.ok(["inspect", "-f", "{{json .HostConfig.DeviceRequests}}", "aa"]);
    assert_eq!(
        serde_json::from_str::<Value>(&shown).unwrap(),
        json!([{"Driver": "cdi", "Count": 0, "DeviceIDs": ["nodes.wharf.test/class=one"],
            "Capabilities": null, "Options": null}])
    );
}

#[test]
fn hooks_of_a_described_device_run_around_the_container() {
    let Some(host) = host() else { return };
    let log = host.dir().join("hooks");
    let hook = |name: &str| {
        let script = format!(
            "read -r state; printf '%s %s\\n' {name} \"$(echo \"$state\" | grep -o '\"status\":\"[a-z]*\"')\" >> {}",
            log.display()
        );
        json!({"hookName": name, "path": "/bin/busybox", "args": ["sh", "-c", script]})
    };
    let names = ["createRuntime", "createContainer", "poststart", "poststop"];
    let json = json!({"cdiVersion": "1.0.0", "kind": "hooks.wharf.test/class", "devices": [
        {"name": "one", "containerEdits": {"hooks": names.map(hook)}}
    ]});
    let _described = Described::new("wharf-test-hooks.json", &json.to_string());
    host.ok(args("hooks.wharf.test/class=one", &["true"]));
    let told = || fs::read_to_string(&log).unwrap_or_default();
    wait_until("the last hook", PATIENCE, || told().contains("poststop"));
    let first: Vec<String> = told().lines().map(str::to_owned).collect();
    assert_eq!(
        first,
        [
            "createRuntime \"status\":\"creating\"",
            "createContainer \"status\":\"creating\"",
            "poststart \"status\":\"running\"",
            "poststop \"status\":\"stopped\"",
        ]
    );
}

#[test]
fn a_hook_that_fails_ends_the_start_and_leaves_nothing() {
    let Some(host) = host() else { return };
    let json = json!({"cdiVersion": "1.0.0", "kind": "fails.wharf.test/class", "devices": [
        {"name": "one", "containerEdits": {"hooks": [
            {"hookName": "createRuntime", "path": "/bin/sh", "args": ["sh", "-c", "echo no >&2; exit 3"]}
        ]}}
    ]});
    let _described = Described::new("wharf-test-fails.json", &json.to_string());
    let ran = host.wharf(args("fails.wharf.test/class=one", &["true"]));
    assert_eq!(ran.code, 125, "{ran:?}");
    assert!(ran.stderr.contains("createRuntime hook #0"), "{ran:?}");
    assert_eq!(host.ok(["ps", "-aq"]), "");
}

#[test]
fn a_device_that_nobody_describes_is_named() {
    let Some(host) = host() else { return };
    let ran = host.wharf(args("nosuch.wharf.test/class=one", &["true"]));
    assert_eq!(ran.code, 125, "{ran:?}");
    let text = "CDI device injection failed: unresolvable CDI devices nosuch.wharf.test/class=one";
    assert!(ran.stderr.contains(text), "{ran:?}");
    let ran = host.wharf([
        "run",
        "--rm",
        "--network",
        "none",
        "--gpus",
        "driver=x",
        BUSYBOX,
        "true",
    ]);
    assert_eq!(ran.code, 125, "{ran:?}");
    let text = "could not select device driver \"x\" with capabilities: [[gpu]]";
    assert!(ran.stderr.contains(text), "{ran:?}");
    assert_eq!(host.ok(["ps", "-aq"]), "");
}
