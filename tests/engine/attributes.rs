//! What a process is, as `config.json` says it: limits, priorities, processors, personality, rights, groups, labels,
//! kernel parameters, variables. Each as the process itself sees it.

use serde_json::{Value, json};

use crate::bundle::{Bundle, bundle};

/// The bundle's configuration with one field set.
fn with(bundle: &Bundle, pointer: &str, value: Value) -> Value {
    let mut config = bundle.config.clone();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    config.pointer_mut(parent).unwrap()[name] = value;
    config
}

/// What a shell line says under a configuration with one field set.
fn told(bundle: &Bundle, pointer: &str, value: Value, line: &str) -> String {
    bundle.ok(&with(bundle, pointer, value), line)
}

/// What is said instead of a start.
fn refusal(bundle: &Bundle, pointer: &str, value: Value) -> String {
    bundle.refused(&with(bundle, pointer, value))
}

fn rlimit(kind: &str, soft: u64, hard: u64) -> Value {
    json!({ "type": kind, "soft": soft, "hard": hard })
}

#[test]
fn every_limit_is_set_and_none_twice() {
    let Some(bundle) = bundle() else { return };
    let names = [
        ("RLIMIT_CPU", "Max cpu time", 9),
        ("RLIMIT_FSIZE", "Max file size", 1 << 20),
        ("RLIMIT_DATA", "Max data size", 1 << 30),
        ("RLIMIT_STACK", "Max stack size", 1 << 20),
        ("RLIMIT_CORE", "Max core file size", 3),
        ("RLIMIT_RSS", "Max resident set", 1 << 30),
        ("RLIMIT_NPROC", "Max processes", 1000),
        ("RLIMIT_NOFILE", "Max open files", 20),
        ("RLIMIT_MEMLOCK", "Max locked memory", 4096),
        ("RLIMIT_AS", "Max address space", 1 << 30),
        ("RLIMIT_LOCKS", "Max file locks", 7),
        ("RLIMIT_SIGPENDING", "Max pending signals", 8),
        ("RLIMIT_MSGQUEUE", "Max msgqueue size", 10),
        ("RLIMIT_NICE", "Max nice priority", 0),
        ("RLIMIT_RTPRIO", "Max realtime priority", 0),
        ("RLIMIT_RTTIME", "Max realtime timeout", 11),
    ];
    let list: Vec<Value> = names
        .iter()
        .map(|(kind, _, value)| rlimit(kind, *value, *value))
        .collect();
    let limits = told(
        &bundle,
        "/process/rlimits",
        json!(list),
        "cat /proc/self/limits",
    );
    for (kind, line, value) in names {
        let row = limits
            .lines()
            .find_map(|row| row.strip_prefix(line))
            .unwrap_or_else(|| panic!("{kind}: {limits}"));
        let words: Vec<&str> = row.split_whitespace().collect();
        let value = value.to_string();
        assert_eq!(words[..2], [&value, &value], "{kind}");
    }
    let twice = json!([rlimit("RLIMIT_CPU", 1, 1), rlimit("RLIMIT_CPU", 2, 2)]);
    let text = refusal(&bundle, "/process/rlimits", twice);
    assert!(
        text.contains("process.rlimits: RLIMIT_CPU is given more than once"),
        "{text}"
    );
}

#[test]
fn the_scheduler_is_the_one_asked_for() {
    let Some(bundle) = bundle() else { return };
    // Fields of /proc/self/stat behind the name: 19 is the nice value, 41 the policy, 40 the priority.
    let line = "sed 's/.*) //' /proc/self/stat | cut -d' ' -f17,38,39";
    for (scheduler, expect) in [
        (json!({ "policy": "SCHED_OTHER", "nice": 7 }), "7 0 0"),
        (json!({ "policy": "SCHED_BATCH" }), "0 0 3"),
        (json!({ "policy": "SCHED_IDLE" }), "0 0 5"),
    ] {
        let shown = told(&bundle, "/process/scheduler", scheduler.clone(), line);
        assert_eq!(shown, expect, "{scheduler}");
    }
    for (scheduler, expect) in [
        (json!({ "policy": "SCHED_FIFO", "priority": 3 }), "0 3 1"),
        (json!({ "policy": "SCHED_RR", "priority": 4 }), "0 4 2"),
    ] {
        let config = with(&bundle, "/process/scheduler", scheduler);
        match bundle.run(&config, line) {
            Ok(ran) => assert_eq!(ran.out.trim_end(), expect),
            // On cgroup v1 a group has no time for it unless it is given some.
            Err(error) => {
                let text = error.to_string();
                assert!(
                    text.contains("process.scheduler: set the scheduling policy"),
                    "{text}"
                );
                assert!(
                    error
                        .hint()
                        .is_some_and(|hint| hint.contains("realtimeRuntime"))
                );
            }
        }
    }
    let wrong = json!({ "policy": "SCHED_OTHER", "priority": 1 });
    let text = refusal(&bundle, "/process/scheduler", wrong);
    assert!(text.contains("process.scheduler.priority"), "{text}");
}

#[test]
fn the_io_priority_is_the_one_asked_for() {
    let Some(bundle) = bundle() else { return };
    for (class, level, expect) in [
        ("RT", 2, "realtime: prio 2"),
        ("BE", 5, "best-effort: prio 5"),
        ("IDLE", 0, "idle"),
    ] {
        let priority = json!({ "class": format!("IOPRIO_CLASS_{class}"), "priority": level });
        let shown = told(&bundle, "/process/ioPriority", priority, "ionice -p $$");
        assert_eq!(shown, expect);
    }
    let wrong = json!({ "class": "IOPRIO_CLASS_BE", "priority": 8 });
    let text = refusal(&bundle, "/process/ioPriority", wrong);
    assert!(text.contains("process.ioPriority.priority: 8"), "{text}");
}

#[test]
fn the_personality_is_the_one_asked_for() {
    let Some(bundle) = bundle() else { return };
    let machine = |domain: &str| {
        told(
            &bundle,
            "/linux/personality",
            json!({ "domain": domain }),
            "uname -m",
        )
    };
    assert_eq!(machine("LINUX"), "x86_64");
    assert_eq!(machine("LINUX32"), "i686");
}

#[test]
fn the_memory_policy_is_the_one_asked_for() {
    let Some(bundle) = bundle() else { return };
    let line = "grep heap /proc/self/numa_maps | cut -d' ' -f2";
    for (policy, expect) in [
        (json!({ "mode": "MPOL_DEFAULT" }), "default"),
        (json!({ "mode": "MPOL_LOCAL" }), "local"),
        (json!({ "mode": "MPOL_BIND", "nodes": "0" }), "bind:0"),
        (
            json!({ "mode": "MPOL_PREFERRED", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"] }),
            "prefer=static:0",
        ),
        (
            json!({ "mode": "MPOL_INTERLEAVE", "nodes": "0" }),
            "interleave:0",
        ),
    ] {
        let shown = told(&bundle, "/linux/memoryPolicy", policy.clone(), line);
        assert_eq!(shown, expect, "{policy}");
    }
    for (policy, field) in [
        (
            json!({ "mode": "MPOL_INTERLEAVE" }),
            "nodes: MPOL_INTERLEAVE needs",
        ),
        (
            json!({ "mode": "MPOL_PREFERRED", "nodes": "bad" }),
            "nodes: \"bad\"",
        ),
        (
            json!({ "mode": "MPOL_PREFERRED", "nodes": "10284838" }),
            "nodes: numbers larger",
        ),
        (
            json!({ "mode": "MPOL_BIND", "nodes": "4095" }),
            "set the memory policy",
        ),
    ] {
        let text = refusal(&bundle, "/linux/memoryPolicy", policy);
        assert!(
            text.contains("linux.memoryPolicy") && text.contains(field),
            "{text}"
        );
    }
}

#[test]
fn the_oom_score_is_set_even_without_a_proc_inside() {
    let Some(bundle) = bundle() else { return };
    let mut config = with(&bundle, "/process/oomScoreAdj", json!(321));
    assert_eq!(bundle.ok(&config, "cat /proc/self/oom_score_adj"), "321");
    config["mounts"].as_array_mut().unwrap().remove(0);
    // Nothing tells it inside; that it starts is what is shown.
    assert_eq!(bundle.ok(&config, "echo started"), "started");
    let text = refusal(&bundle, "/process/oomScoreAdj", json!(1001));
    assert!(text.contains("process.oomScoreAdj"), "{text}");
}

#[test]
fn mask_and_groups_are_those_asked_for() {
    let Some(bundle) = bundle() else { return };
    let user = json!({ "uid": 7, "gid": 8, "additionalGids": [9, 1000], "umask": 0o27 });
    let line = "grep -E '^(Uid|Gid|Groups|Umask)' /proc/self/status | tr -s '\\t ' ' '";
    let shown = told(&bundle, "/process/user", user, line);
    let expect = "Umask: 0027\nUid: 7 7 7 7\nGid: 8 8 8 8\nGroups: 9 1000";
    let trimmed: Vec<&str> = shown.lines().map(str::trim_end).collect();
    assert_eq!(trimmed.join("\n"), expect);
}

#[test]
fn cve_2026_30892_an_id_that_means_no_change_does_not_make_root() {
    let Some(bundle) = bundle() else { return };
    for (user, field) in [
        (json!({ "uid": u32::MAX, "gid": 0 }), "uid"),
        (json!({ "uid": 0, "gid": u32::MAX }), "gid"),
        (
            json!({ "uid": 0, "gid": 0, "additionalGids": [u32::MAX] }),
            "additionalGids",
        ),
    ] {
        let text = refusal(&bundle, "/process/user", user);
        assert!(
            text.contains(&format!("process.user.{field}: 4294967295 is no id")),
            "{text}"
        );
    }
}

#[test]
fn all_five_sets_of_capabilities_are_as_given() {
    let Some(bundle) = bundle() else { return };
    let caps = json!({
        "bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_SETUID", "CAP_NET_RAW"],
        "effective": ["CAP_CHOWN", "CAP_KILL"],
        "permitted": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"],
        "inheritable": ["CAP_CHOWN", "CAP_KILL"],
        "ambient": ["CAP_KILL"],
    });
    let mut config = with(&bundle, "/process/capabilities", caps);
    config["process"]["user"] = json!({ "uid": 1, "gid": 1 });
    let line = "sed -n 's/^Cap//p' /proc/self/status | tr -s '\\t' ' '";
    // What exec leaves a user: the ambient set (capabilities(7), "Transformation of capabilities during execve()").
    let expect = "Inh: 0000000000000021\nPrm: 0000000000000020\nEff: 0000000000000020\nBnd: 00000000000020a1\n\
        Amb: 0000000000000020";
    assert_eq!(bundle.ok(&config, line), expect);
    config["process"]["user"] = json!({ "uid": 0, "gid": 0 });
    let expect = "Inh: 0000000000000021\nPrm: 00000000000020a1\nEff: 00000000000020a1\nBnd: 00000000000020a1\n\
        Amb: 0000000000000020";
    assert_eq!(bundle.ok(&config, line), expect);
}

#[test]
fn nothing_is_gained_by_exec_if_so_asked() {
    let Some(bundle) = bundle() else { return };
    for (wanted, shown) in [(true, "1"), (false, "0")] {
        let line = "sed -n 's/^NoNewPrivs:\\t//p' /proc/self/status";
        assert_eq!(
            told(&bundle, "/process/noNewPrivileges", json!(wanted), line),
            shown
        );
    }
}

#[test]
fn kernel_parameters_are_set_where_the_namespace_is_the_containers() {
    let Some(bundle) = bundle() else { return };
    let sysctl = json!({
        "kernel.shm_rmid_forced": "1",
        "net/ipv4/ip_unprivileged_port_start": "80",
        "fs.mqueue.msg_max": "12",
        "kernel.domainname": "example",
    });
    let mut config = with(&bundle, "/linux/sysctl", sysctl);
    let line = "cd /proc/sys; cat kernel/shm_rmid_forced net/ipv4/ip_unprivileged_port_start fs/mqueue/msg_max \
        kernel/domainname";
    assert_eq!(bundle.ok(&config, line), "1\n80\n12\nexample");
    // Also without a /proc of its own.
    config["mounts"].as_array_mut().unwrap().remove(0);
    assert_eq!(bundle.ok(&config, "echo started"), "started");
    for (name, why) in [
        (
            "kernel.core_pattern",
            "is not in a separate kernel namespace",
        ),
        ("vm.swappiness", "is not in a separate kernel namespace"),
        (
            "kernel.hostname",
            "conflicts with the OCI \"hostname\" field",
        ),
        (
            "user.max_user_namespaces",
            "not allowed without a user namespace",
        ),
        ("net.ipv4/../../kernel.core_pattern", "is malformed"),
    ] {
        let text = refusal(&bundle, "/linux/sysctl", json!({ name: "1" }));
        assert!(text.contains(why), "{name}: {text}");
    }
    for (kind, name, why) in [
        (
            "ipc",
            "kernel.msgmax",
            "is not allowed in the hosts ipc namespace",
        ),
        (
            "network",
            "net.ipv4.ip_forward",
            "not allowed in host network namespace",
        ),
    ] {
        let mut config = with(&bundle, "/linux/sysctl", json!({ name: "1" }));
        let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|namespace| namespace["type"] != kind);
        let text = bundle.refused(&config);
        assert!(text.contains(why), "{name}: {text}");
        // The host's own by another name is no other.
        let file = if kind == "network" { "net" } else { kind };
        let path = format!("/proc/self/ns/{file}");
        let own = json!({ "type": kind, "path": path });
        config["linux"]["namespaces"]
            .as_array_mut()
            .unwrap()
            .push(own);
        let text = bundle.refused(&config);
        assert!(text.contains(why), "{name}: {text}");
    }
}

#[test]
fn cve_2022_0811_a_kernel_parameters_value_is_one_value() {
    let Some(bundle) = bundle() else { return };
    let before = std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    for value in ["1+kernel.core_pattern=|/x", "1\nkernel.core_pattern=|/x"] {
        let text = refusal(
            &bundle,
            "/linux/sysctl",
            json!({ "kernel.shm_rmid_forced": value }),
        );
        assert!(text.contains("malformed value"), "{text}");
    }
    let after = std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    assert_eq!(before, after);
}

#[test]
fn a_label_of_a_module_that_the_kernel_does_not_have_is_refused() {
    let Some(bundle) = bundle() else { return };
    for (pointer, module, path) in [
        (
            "/process/apparmorProfile",
            "apparmor",
            "/sys/module/apparmor",
        ),
        ("/process/selinuxLabel", "selinux", "/sys/fs/selinux"),
        ("/linux/mountLabel", "selinux", "/sys/fs/selinux"),
    ] {
        if std::path::Path::new(path).exists() {
            continue;
        }
        let text = refusal(&bundle, pointer, json!("some-label"));
        let field = pointer.trim_start_matches('/').replace('/', ".");
        assert!(text.contains(&field) && text.contains(module), "{text}");
        assert_eq!(told(&bundle, pointer, json!(""), "echo started"), "started");
    }
}

#[test]
fn of_a_variable_that_is_given_twice_the_last_one_counts() {
    let Some(bundle) = bundle() else { return };
    let env = json!(["PATH=/bin", "A=1", "A=2", "HOME="]);
    let shown = told(
        &bundle,
        "/process/env",
        env,
        "echo $A; env | grep -c ^A=; echo $HOME",
    );
    assert_eq!(shown, "2\n1\n/");
    let text = refusal(&bundle, "/process/env", json!(["PATH=/bin", "A"]));
    assert!(
        text.contains("invalid environment variable: missing '='"),
        "{text}"
    );
}

#[test]
fn cve_2024_21626_no_descriptor_is_a_working_directory() {
    let Some(bundle) = bundle() else { return };
    for number in 3..24 {
        let config = with(
            &bundle,
            "/process/cwd",
            json!(format!("/proc/self/fd/{number}")),
        );
        match bundle.run(&config, "ls -a . ../../.. 2>/dev/null; pwd") {
            Err(error) => assert!(error.to_string().contains("/proc/self/fd"), "{error}"),
            // One that is of the container's own root leads there, and nowhere else.
            Ok(ran) => assert!(is_inside(&ran.out), "{number}: {ran:?}"),
        }
    }
    // Nor does a link in the image lead there.
    for number in 3..24 {
        std::os::unix::fs::symlink(
            format!("/proc/self/fd/{number}"),
            bundle.rootfs().join(format!("fd{number}")),
        )
        .unwrap();
        let config = with(&bundle, "/process/cwd", json!(format!("/fd{number}")));
        if let Ok(ran) = bundle.run(&config, "ls -a . ../../.. 2>/dev/null; pwd") {
            assert!(is_inside(&ran.out), "{number}: {ran:?}");
        }
    }
}

/// Whether the last line is a path inside, and no listing before it shows what only the host has.
fn is_inside(listing: &str) -> bool {
    let lines: Vec<&str> = listing.lines().collect();
    let ends_inside = lines.last().is_some_and(|line| line.starts_with('/'));
    ends_inside
        && !lines
            .iter()
            .any(|line| matches!(*line, "usr" | "home" | "var"))
}
