//! config.md, "Process" and "User"; config-linux.md, "Personality".

use std::fs;

use serde_json::json;

use super::bundle::bundle;
use crate::support::collect;

#[test]
fn the_program_has_its_arguments_environment_and_directory() {
    let Some(mut b) = bundle("echo $0-$1-$2-$A; pwd") else {
        return;
    };
    b.add("/process/args", json!("zero"));
    b.add("/process/args", json!("one two"));
    b.add("/process/env", json!("A=b=c"));
    b.set("/process/cwd", json!("/home"));
    assert_eq!(b.prints(), "zero-one two--b=c\n/home");
}

#[test]
fn the_user_is_the_one_that_is_given() {
    let Some(mut b) = bundle("id -u; id -g; id -G; umask") else {
        return;
    };
    b.set(
        "/process/user",
        json!({"uid": 12, "gid": 34, "additionalGids": [56, 78], "umask": 0o27}),
    );
    let text = b.prints();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..2], ["12", "34"]);
    let mut groups: Vec<&str> = lines[2].split(' ').collect();
    groups.sort_unstable();
    assert_eq!(groups, ["34", "56", "78"]);
    assert_eq!(lines[3], "0027");
}

#[test]
fn limits_are_set_exactly() {
    let Some(mut b) = bundle("ulimit -Sn; ulimit -Hn; ulimit -Sc; ulimit -Hc") else {
        return;
    };
    b.set(
        "/process/rlimits",
        json!([{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200},
            {"type": "RLIMIT_CORE", "soft": 0, "hard": 1024}]),
    );
    assert_eq!(b.prints(), "100\n200\n0\n2");
}

#[test]
fn a_limit_that_is_unknown_or_given_twice_is_refused() {
    let Some(mut b) = bundle("true") else { return };
    b.set(
        "/process/rlimits",
        json!([{"type": "RLIMIT_NONE", "soft": 1, "hard": 1}]),
    );
    b.cannot_be_created("rlimits");
    let limit = json!({"type": "RLIMIT_NOFILE", "soft": 100, "hard": 100});
    b.set("/process/rlimits", json!([limit, limit]));
    b.cannot_be_created("rlimits");
    b.set(
        "/process/rlimits",
        json!([{"type": "RLIMIT_NOFILE", "soft": 200, "hard": 100}]),
    );
    b.cannot_be_created("RLIMIT_NOFILE");
}

#[test]
fn capabilities_are_those_of_the_five_sets() {
    let Some(mut b) = bundle("grep ^Cap /proc/self/status") else {
        return;
    };
    b.set(
        "/process/capabilities",
        json!({"bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"], "effective": ["CAP_CHOWN"],
            "permitted": ["CAP_CHOWN", "CAP_KILL"], "inheritable": ["CAP_KILL"], "ambient": ["CAP_KILL"]}),
    );
    b.set("/process/user", json!({"uid": 1, "gid": 1}));
    let text = b.prints();
    let sets: Vec<(&str, &str)> = text
        .lines()
        .filter_map(|line| line.split_once(":\t"))
        .collect();
    // execve(2) by another user than root leaves the ambient ones.
    let (kill, three) = ("0000000000000020", "0000000000002021");
    assert_eq!(
        sets,
        [
            ("CapInh", kill),
            ("CapPrm", kill),
            ("CapEff", kill),
            ("CapBnd", three),
            ("CapAmb", kill)
        ]
    );
}

#[test]
fn without_capabilities_there_are_none() {
    let Some(b) = bundle("grep ^Cap /proc/self/status") else {
        return;
    };
    let text = b.prints();
    let none = "0000000000000000";
    assert!(text.lines().all(|line| line.ends_with(none)), "{text}");
}

#[test]
fn a_capability_that_nobody_knows_is_a_warning() {
    let Some(mut b) = bundle("echo ran") else {
        return;
    };
    b.set(
        "/process/capabilities",
        json!({"bounding": ["CAP_NONSENSE", "CAP_CHOWN"]}),
    );
    let output = b.run();
    assert_eq!(
        (output.code, output.stdout.as_str()),
        (0, "ran\n"),
        "{output:#?}"
    );
    assert!(output.stderr.contains("CAP_NONSENSE"), "{output:#?}");
}

#[test]
fn no_new_privileges_are_as_asked() {
    for (value, seen) in [(json!(true), "1"), (json!(false), "0"), (json!(null), "0")] {
        let Some(mut b) = bundle("grep ^NoNewPrivs /proc/self/status") else {
            return;
        };
        if !value.is_null() {
            b.set("/process/noNewPrivileges", value);
        }
        assert_eq!(b.prints(), format!("NoNewPrivs:\t{seen}"));
    }
}

#[test]
fn the_oom_score_is_set_or_left() {
    let Some(mut b) = bundle("cat /proc/self/oom_score_adj") else {
        return;
    };
    let own = fs::read_to_string("/proc/self/oom_score_adj").unwrap();
    assert_eq!(b.prints(), own.trim_end());
    b.set("/process/oomScoreAdj", json!(321));
    assert_eq!(b.prints(), "321");
}

#[test]
fn scheduling_is_as_asked() {
    let Some(mut b) = bundle("cat /proc/self/stat; ionice -p $$; taskset -p $$") else {
        return;
    };
    b.set(
        "/process/scheduler",
        json!({"policy": "SCHED_BATCH", "nice": 5}),
    );
    b.set(
        "/process/ioPriority",
        json!({"class": "IOPRIO_CLASS_BE", "priority": 6}),
    );
    // Said of further processes; it changes nothing for the first one.
    b.set(
        "/process/execCPUAffinity",
        json!({"initial": "0", "final": "0"}),
    );
    let text = b.prints();
    // proc_pid_stat(5): nice is the 19th, policy the 41st; the second one ends with the parenthesis.
    let fields: Vec<&str> = text.split(") ").nth(1).unwrap().split(' ').collect();
    assert_eq!((fields[16], fields[38]), ("5", "3"), "{text}");
    assert!(text.contains("best-effort: prio 6"), "{text}");
    let mask = |text: &str| text.lines().next_back().map(str::to_owned);
    b.remove("/process/execCPUAffinity");
    assert_eq!(mask(&text), mask(&b.prints()));
}

#[test]
fn a_deadline_is_taken_on() {
    // Without a further process: one with a deadline may have none.
    let Some(mut b) = bundle("read line < /proc/self/stat; echo \"$line\"") else {
        return;
    };
    let deadline = json!({"policy": "SCHED_DEADLINE", "runtime": 1_000_000, "deadline": 50_000_000,
        "period": 100_000_000, "flags": ["SCHED_FLAG_RESET_ON_FORK"]});
    b.set("/process/scheduler", deadline);
    let text = b.prints();
    let fields: Vec<&str> = text.split(") ").nth(1).unwrap().split(' ').collect();
    assert_eq!(fields[38], "6", "{text}");
    b.set("/process/scheduler/deadline", json!(500_000));
    b.cannot_be_created("process.scheduler");
    b.set("/process/scheduler/policy", json!("SCHED_OTHER"));
    b.cannot_be_created("process.scheduler.");
}

#[test]
fn scheduling_that_the_kernel_does_not_have_is_refused() {
    let Some(mut b) = bundle("true") else { return };
    b.set("/process/scheduler", json!({"policy": "SCHED_NONSENSE"}));
    b.cannot_be_created("scheduler");
    b.remove("/process/scheduler");
    b.set(
        "/process/ioPriority",
        json!({"class": "IOPRIO_CLASS_NONSENSE", "priority": 1}),
    );
    b.cannot_be_created("ioPriority");
}

#[test]
fn a_personality_is_taken_on() {
    let Some(mut b) = bundle("uname -m") else {
        return;
    };
    b.set("/linux/personality", json!({"domain": "LINUX32"}));
    if cfg!(target_arch = "x86_64") {
        assert_eq!(b.prints(), "i686");
    }
    b.set("/linux/personality", json!({"domain": "NONSENSE"}));
    b.cannot_be_created("personality");
}

#[test]
fn the_size_of_a_console_counts_with_a_terminal_alone() {
    let Some(mut b) = bundle("stty size 2>&1") else {
        return;
    };
    b.set("/process/consoleSize", json!({"height": 11, "width": 33}));
    // Ignored without one.
    let output = b.run();
    assert!(!output.stdout.contains("11 33"), "{output:#?}");
    b.set("/process/terminal", json!(true));
    b.add("/mounts", json!({"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance", "ptmxmode=0666"]}));
    let output = b.run();
    assert_eq!(
        (output.code, output.stdout.trim_end()),
        (0, "11 33"),
        "{output:#?}"
    );
}

#[test]
fn the_name_of_the_machine_is_set_in_its_namespace() {
    let Some(mut b) = bundle("hostname; cat /proc/sys/kernel/domainname") else {
        return;
    };
    b.set("/hostname", json!("some-name"))
        .set("/domainname", json!("some-domain"));
    b.cannot_be_created("hostname");
    b.add("/linux/namespaces", json!({"type": "uts"}));
    assert_eq!(b.prints(), "some-name\nsome-domain");
}

#[test]
fn a_capability_that_cannot_be_granted_is_a_warning() {
    let Some(mut b) = bundle("grep ^CapAmb /proc/self/status") else {
        return;
    };
    // Ambient ones must be permitted and inheritable, too.
    b.set(
        "/process/capabilities",
        json!({"bounding": ["CAP_CHOWN", "CAP_KILL"], "permitted": ["CAP_CHOWN", "CAP_KILL"],
            "inheritable": ["CAP_KILL"], "ambient": ["CAP_CHOWN", "CAP_KILL"]}),
    );
    let output = b.run();
    assert_eq!(
        (output.code, output.stdout.as_str()),
        (0, "CapAmb:\t0000000000000020\n"),
        "{output:#?}"
    );
    assert!(output.stderr.contains("CAP_CHOWN"), "{output:#?}");
    assert!(!output.stderr.contains("CAP_KILL"), "{output:#?}");
    // Effective and inheritable ones have bounds, too.
    b.set(
        "/process/capabilities",
        json!({"permitted": ["CAP_KILL"], "effective": ["CAP_KILL", "CAP_CHOWN"], "inheritable": ["CAP_FOWNER"]}),
    );
    let output = b.run();
    assert_eq!(output.code, 0, "{output:#?}");
    for name in ["CAP_CHOWN", "CAP_FOWNER"] {
        assert!(output.stderr.contains(name), "{name}: {output:#?}");
    }
}

#[test]
fn home_is_that_of_the_user_unless_it_is_given() {
    let Some(mut b) = bundle("echo $HOME $A") else {
        return;
    };
    fs::write(b.rootfs().join("etc/passwd"), "u:x:7:7::/home/u:/bin/sh\n").unwrap();
    b.set("/process/user", json!({"uid": 7, "gid": 7}));
    for (env, said) in [
        (json!(["PATH=/bin", "A=1", "A=2"]), "/home/u 2"),
        (json!(["PATH=/bin", "HOME="]), "/home/u"),
        (json!(["PATH=/bin", "HOME=/tmp"]), "/tmp"),
    ] {
        b.set("/process/env", env);
        assert_eq!(b.prints(), said);
    }
}

#[test]
fn a_container_runs_wherever_its_group_may() {
    let Some(b) = bundle("grep ^Cpus_allowed_list: /proc/self/status") else {
        return;
    };
    let everywhere = b.prints();
    let plain = b.command(["run", &b.id]);
    let mut bound = std::process::Command::new(super::bundle::BUSYBOX_PATH);
    bound.args(["taskset", "1"]).arg(plain.get_program());
    bound.args(plain.get_args()).current_dir(&b.dir);
    let output = collect(&mut bound, &[]);
    assert_eq!(output.stdout.trim_end(), everywhere, "{output:#?}");
}

#[test]
fn a_domain_name_is_said_once() {
    let Some(mut b) = bundle("cat /proc/sys/kernel/domainname") else {
        return;
    };
    b.add("/linux/namespaces", json!({"type": "uts"}));
    b.set("/linux/sysctl", json!({"kernel.domainname": "one"}));
    assert_eq!(b.prints(), "one");
    b.set("/domainname", json!("one"));
    assert_eq!(b.prints(), "one");
    b.set("/domainname", json!("two"));
    b.cannot_be_created("linux.sysctl");
}
