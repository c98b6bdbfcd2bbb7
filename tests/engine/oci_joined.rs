//! Further processes of a container, as `wharf oci exec` starts them: where they are and what they may.

use std::fs;

use serde_json::{Value, json};

use crate::oci::{Case, case};
use crate::support::Output;

/// Starts the case's container.
fn start(case: &Case) -> String {
    let id = case.id("a");
    case.ok(&["run", "--detach", &id]);
    id
}

fn exec(case: &Case, id: &str, flags: &[&str], command: &[&str]) -> Output {
    let args = [&["exec"], flags, &[id], command].concat();
    case.oci(&args)
}

#[test]
fn cve_2022_29162_exec_gives_nothing_that_is_inherited() {
    let Some(case) = case() else { return };
    let id = start(&case);
    for flags in [&[][..], &["--cap", "CAP_NET_RAW"], &["--user", "7:7"]] {
        let output = exec(&case, &id, flags, &["grep", "CapInh", "/proc/self/status"]);
        assert_eq!(
            output.stdout, "CapInh:\t0000000000000000\n",
            "{flags:?}: {output:?}"
        );
    }
}

#[test]
fn a_further_process_joins_every_namespace_and_the_keyring() {
    let Some(mut case) = case() else { return };
    let linux = &mut case.config["linux"];
    let namespaces = linux["namespaces"].as_array_mut().unwrap();
    namespaces.push(json!({ "type": "user" }));
    namespaces.push(json!({ "type": "time" }));
    let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 65536 }]);
    linux["uidMappings"] = map.clone();
    linux["gidMappings"] = map;
    linux["timeOffsets"] = json!({ "boottime": { "secs": 864_000 } });
    let all = json!(["CAP_SYS_PTRACE"]);
    case.config["process"]["capabilities"] =
        json!({ "bounding": all, "effective": all, "permitted": all });
    let id = start(&case);
    let line = "for n in pid mnt ipc uts net cgroup user time; do \
        [ $(readlink /proc/1/ns/$n) = $(readlink /proc/self/ns/$n) ] || echo $n is another; done; id -u; \
        [ $(cut -d. -f1 /proc/uptime) -gt 864000 ] && echo later";
    let output = exec(&case, &id, &[], &["sh", "-c", line]);
    assert_eq!(output.stdout, "0\nlater\n", "{output:?}");
    let output = exec(&case, &id, &["--user", "5:6"], &["id", "-u"]);
    assert_eq!(output.stdout, "5\n", "{output:?}");
    if std::path::Path::new("/proc/keys").exists() {
        let line = format!("grep -c 'keyring *_ses.{id}:' /proc/keys");
        let output = exec(&case, &id, &[], &["sh", "-c", &line]);
        assert_eq!(output.stdout, "1\n", "{output:?}");
    }
}

#[test]
fn a_further_process_runs_where_it_is_told() {
    let Some(case) = case() else { return };
    let id = start(&case);
    let allowed = |affinity: Value| {
        let process = json!({
            "cwd": "/", "env": ["PATH=/bin"], "execCPUAffinity": affinity,
            "args": ["sed", "-n", "s/^Cpus_allowed_list:\t//p", "/proc/self/status"],
        });
        let file = case.dir().join("process.json");
        fs::write(&file, process.to_string()).unwrap();
        exec(&case, &id, &["--process", file.to_str().unwrap()], &[])
    };
    // Before Linux 6.2 the move into a cpuset of v2 gives all of its processors back, and with them what "initial" took.
    let initial = (!kernel_before((6, 2))).then(|| json!({ "initial": "0" }));
    let last = [
        json!({ "final": "0" }),
        json!({ "initial": "", "final": " 0, " }),
    ];
    for affinity in initial.into_iter().chain(last) {
        let output = allowed(affinity.clone());
        assert_eq!(output.stdout, "0\n", "{affinity}: {output:?}");
    }
    for (affinity, text) in [
        (json!({ "final": "60000" }), "process.execCPUAffinity.final"),
        (json!({ "final": "x" }), "execCPUAffinity"),
    ] {
        let output = allowed(affinity);
        assert!(output.stderr.contains(text), "{output:?}");
    }
}

/// Whether the kernel is older than a version.
fn kernel_before(version: (u32, u32)) -> bool {
    let release = rustix::system::uname()
        .release()
        .to_string_lossy()
        .into_owned();
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map_while(|number| number.parse().ok());
    let running = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    running < version
}
