//! What the unified control group tree (cgroup v2) has and v1 has not, as a container gets it. Freezing, killing, devices
//! and figures, which both have, are in `cgroups.rs`.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::bundle::{Bundle, add, bundle};
use crate::feature::{Feature, here};
use crate::support::{Host, PATIENCE, WHARF, privileged, wait_until};

const ROOT: &str = "/sys/fs/cgroup";

fn unified() -> Option<Bundle> {
    bundle().filter(|_| here(Feature::Unified))
}

/// What is in a container's group under these resources. The group is looked at from inside: it is the root of what a
/// container with a cgroup namespace sees.
fn group_of(bundle: &Bundle, resources: Value, line: &str) -> String {
    let mut config = bundle.with("cgroup", ROOT, "cgroup", &["ro"]);
    config["linux"]["resources"] = resources;
    bundle.ok(&config, &format!("cd {ROOT} && {line}"))
}

#[test]
fn controllers_are_handed_down_to_containers_alone() {
    let Some(host) = privileged().filter(|_| here(Feature::Unified)) else {
        return;
    };
    host.busybox_image().unwrap();
    host.ok([
        "run",
        "-d",
        "--name",
        "web",
        "--network",
        "none",
        "busybox",
        "sleep",
        "1000",
    ]);
    let id = host.ok(["inspect", "--format", "{{.Id}}", "web"]);
    let list = |path: &Path| {
        let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        text.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let own = PathBuf::from(ROOT).join("wharf").join(id);
    let there = list(&own.join("cgroup.controllers"));
    for group in [Path::new(ROOT), &Path::new(ROOT).join("wharf")] {
        let down = list(&group.join("cgroup.subtree_control"));
        for controller in ["cpu", "cpuset", "io", "memory", "pids"] {
            let name = controller.to_owned();
            assert!(
                down.contains(&name) && there.contains(&name),
                "{}: {down:?}",
                group.display()
            );
        }
    }
    // What the container's own processes do with it is theirs to say.
    assert!(list(&own.join("cgroup.subtree_control")).is_empty());
}

#[test]
fn processors_are_shared_as_v1_numbers_ask() {
    let Some(bundle) = unified() else { return };
    for (shares, weight) in [(2, 1), (512, 59), (1024, 100), (262_144, 10_000)] {
        let shown = group_of(
            &bundle,
            json!({ "cpu": { "shares": shares } }),
            "cat cpu.weight",
        );
        assert_eq!(shown, weight.to_string(), "{shares}");
    }
    let limit = json!({ "cpu": { "quota": 50_000, "period": 20_000, "burst": 1000 } });
    let line = "cat cpu.max cpu.max.burst";
    assert_eq!(group_of(&bundle, limit, line), "50000 20000\n1000");
    let without = json!({ "cpu": { "quota": -1 } });
    assert_eq!(group_of(&bundle, without, "cat cpu.max"), "max 100000");
    assert_eq!(
        group_of(&bundle, json!({ "cpu": { "idle": 1 } }), "cat cpu.idle"),
        "1"
    );
}

#[test]
fn memory_has_a_brake_a_guarantee_and_a_limit() {
    let Some(bundle) = unified() else { return };
    let resources = json!({
        "memory": { "limit": 67_108_864, "swap": 100_663_296, "reservation": 33_554_432 },
        "unified": { "memory.high": "50331648", "memory.min": "1048576" },
    });
    let line = "cat memory.max memory.swap.max memory.low memory.high memory.min";
    let expect = "67108864\n33554432\n33554432\n50331648\n1048576";
    assert_eq!(group_of(&bundle, resources, line), expect);
}

#[test]
fn with_oom_group_all_processes_are_ended_together() {
    let Some(bundle) = unified() else { return };
    for (together, code) in [("0", 3), ("1", 137)] {
        let mut config = bundle.config.clone();
        config["linux"]["resources"] = json!({
            "memory": { "limit": 16 << 20, "swap": 16 << 20 }, "unified": { "memory.oom.group": together },
        });
        let ran = bundle.run(&config, "tail /dev/zero; exit 3").unwrap();
        assert_eq!(ran.code, code, "memory.oom.group={together}: {ran:?}");
    }
}

#[test]
fn a_disks_bandwidth_is_limited() {
    let Some(bundle) = unified() else { return };
    let disk = fs::read_to_string("/sys/block/vda/dev").expect("the machine has a disk");
    let (major, minor) = disk.trim().split_once(':').unwrap();
    let number = |text: &str| text.parse::<u32>().unwrap();
    let rate =
        |rate: u32| json!([{ "major": number(major), "minor": number(minor), "rate": rate }]);
    let resources = json!({ "blockIO": {
        "throttleReadBpsDevice": rate(1 << 20), "throttleWriteIOPSDevice": rate(50),
    } });
    let shown = group_of(&bundle, resources, "cat io.max");
    assert_eq!(
        shown,
        format!("{} rbps=1048576 wbps=max riops=max wiops=50", disk.trim())
    );
    let nowhere = json!({ "blockIO": { "throttleReadBpsDevice": [{ "major": 511, "minor": 9, "rate": 1 }] } });
    let mut config = bundle.config.clone();
    config["linux"]["resources"] = nowhere;
    let text = bundle.refused(&config);
    assert!(
        text.contains("linux.resources.blockIO.throttleReadBpsDevice"),
        "{text}"
    );
}

#[test]
fn a_file_of_the_tree_that_there_is_not_is_named() {
    let Some(bundle) = unified() else { return };
    let mut config = bundle.config.clone();
    config["linux"]["resources"] = json!({ "unified": { "memory.nonsense": "1" } });
    let text = bundle.refused(&config);
    assert!(text.contains("memory.nonsense"), "{text}");
}

#[test]
fn a_container_sees_its_own_group_as_the_root() {
    let Some(bundle) = unified() else { return };
    let config = bundle.with("cgroup", ROOT, "cgroup", &["ro"]);
    let line = format!(
        "cat /proc/self/cgroup; ls -d {ROOT}/wharf 2>&1; grep -c cgroup2 /proc/self/mounts; cat {ROOT}/cgroup.type"
    );
    let shown = bundle.ok(&config, &line);
    assert!(
        shown.starts_with("0::/\n") && shown.contains("No such file"),
        "{shown}"
    );
    assert!(shown.ends_with("1\ndomain"), "{shown}");
}

#[test]
fn pressure_and_events_of_memory_are_told() {
    let Some(host) = oci() else { return };
    let mut limits = host.config.clone();
    limits["linux"]["resources"] = json!({ "memory": { "limit": 16 << 20, "swap": 16 << 20 } });
    limits["process"]["args"] = json!([
        "sh",
        "-c",
        "exec >/dev/null 2>&1; tail /dev/zero; sleep 1000"
    ]);
    host.started("a", &limits);
    wait_until("its first process was ended", PATIENCE, || {
        host.stats("a")["memory"]["raw"]["pgfault"].as_u64() > Some(1000)
    });
    let stats = host.stats("a");
    for part in ["cpu", "memory", "blkio"] {
        let some = &stats[part]["psi"]["some"];
        assert!(
            some["total"].is_u64() && some["avg10"].is_number(),
            "{part}: {stats:#}"
        );
    }
    host.deleted("a");
}

/// As `--privileged` has it: every capability, everything writable, no profile. The engine in it limits what it starts,
/// though its own group has processes (cgroup-v2.rst, "No Internal Process Constraint").
#[test]
fn in_a_privileged_container_a_second_engine_works() {
    let Some(bundle) = unified() else { return };
    let host = privileged().unwrap();
    host.busybox_image().unwrap();
    let archive = bundle.path("busybox.tar");
    host.ok(["save", "-o", &archive, "busybox"]);
    let mut config = bundle.with("cgroup", ROOT, "cgroup", &["rw"]);
    add(&mut config, WHARF, "/bin/wharf", "", &["bind", "ro"]);
    add(&mut config, &archive, "/busybox.tar", "", &["bind", "ro"]);
    add(&mut config, "sysfs", "/sys", "sysfs", &["rw"]);
    config["mounts"]
        .as_array_mut()
        .unwrap()
        .sort_by_key(|mount| mount["destination"].as_str().unwrap().len());
    let all = json!(wharf::engine::runtime::caps::all());
    let sets = ["bounding", "effective", "permitted"];
    config["process"]["capabilities"] = sets
        .iter()
        .map(|set| ((*set).to_owned(), json!(all)))
        .collect();
    for path in ["usr", "var", "run"] {
        fs::create_dir_all(bundle.rootfs().join(path)).unwrap();
    }
    let run = "wharf run --rm --network none --memory 64m --pids-limit 20 --cpus 0.5 busybox \
               sh -c 'cat /proc/self/cgroup; cd /sys/fs/cgroup; cat memory.max pids.max cpu.max'";
    let line = format!("wharf load -q -i /busybox.tar >/dev/null && {run} && wharf ps -aq");
    assert_eq!(
        bundle.ok(&config, &line),
        "0::/\n67108864\n20\n50000 100000"
    );
}

/// A bundle, driven by `wharf oci`.
struct Oci {
    host: Host,
    bundle: Bundle,
    config: Value,
}

fn oci() -> Option<Oci> {
    let bundle = unified()?;
    Some(Oci {
        host: privileged()?,
        config: bundle.config.clone(),
        bundle,
    })
}

impl Oci {
    fn ok(&self, args: &[&str]) -> String {
        let state = self.host.dir().join("s");
        let mut all = vec!["oci", "--root", state.to_str().unwrap()];
        all.extend(args);
        self.host.ok(all)
    }

    /// In the group `/wharf-…`, named after the host, which removes it.
    fn started(&self, name: &str, config: &Value) {
        let mut config = config.clone();
        let top = self
            .host
            .dir()
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        config["linux"]["cgroupsPath"] = json!(format!("/{top}/{name}"));
        fs::write(self.bundle.path("config.json"), config.to_string()).unwrap();
        let bundle = self.bundle.path("");
        self.ok(&["run", "--detach", "--bundle", &bundle, name]);
    }

    fn stats(&self, name: &str) -> Value {
        let event: Value = serde_json::from_str(&self.ok(&["events", "--stats", name])).unwrap();
        event["data"].clone()
    }

    fn deleted(&self, name: &str) {
        self.ok(&["delete", "--force", name]);
    }
}
