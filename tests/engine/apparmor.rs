//! AppArmor on a kernel that has it: our profile, others, none, and what they keep from a process that has every
//! capability. What changes the loaded profiles for everybody is in `scripts/vm/checks`.

use serde_json::json;

use crate::bundle::bundle;
use crate::feature::{Feature, here};
use crate::support::{Host, privileged};

const CURRENT: &str = "/proc/self/attr/current";
const OURS: &str = "wharf-default (enforce)";

/// A host with AppArmor and the small image.
fn confined() -> Option<Host> {
    let host = privileged().filter(|_| here(Feature::AppArmor))?;
    host.busybox_image()?;
    Some(host)
}

#[test]
fn a_container_and_its_execs_have_our_profile() {
    let Some(host) = confined() else { return };
    let run = ["run", "--rm", "--network", "none", "busybox"];
    assert_eq!(host.ok([&run[..], &["cat", CURRENT]].concat()), OURS);
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
    assert_eq!(host.ok(["exec", "web", "cat", CURRENT]), OURS);
    assert_eq!(
        host.ok(["exec", "--privileged", "web", "cat", CURRENT]),
        OURS,
        "as with Docker, the profile is the container's"
    );
    let shown = host.ok([
        "inspect",
        "--format",
        "{{.AppArmorProfile}} {{.HostConfig.SecurityOpt}}",
        "web",
    ]);
    assert_eq!(shown, "wharf-default []");
    let main = host.ok(["inspect", "--format", "{{.State.Pid}}", "web"]);
    let label = std::fs::read_to_string(format!("/proc/{main}/attr/current")).unwrap();
    assert_eq!(label.trim_end(), OURS);
    let options = host.ok(["info", "--format", "{{.SecurityOptions}}"]);
    assert!(
        options.starts_with("[name=apparmor name=seccomp"),
        "{options}"
    );
}

#[test]
fn our_profile_denies_what_capabilities_allow() {
    let Some(host) = confined() else { return };
    let mount = |option: &str| {
        host.wharf([
            "run",
            "--rm",
            "--network",
            "none",
            "--cap-add",
            "ALL",
            "--security-opt",
            option,
            "busybox",
            "sh",
            "-c",
            "mount -t tmpfs t /mnt 2>&1 || mkdir /mnt; mount -t tmpfs t /mnt",
        ])
    };
    let denied = mount("apparmor=wharf-default");
    assert_ne!(denied.code, 0, "{denied:?}");
    assert!(denied.stderr.contains("Permission denied"), "{denied:?}");
    let allowed = mount("apparmor=unconfined");
    assert_eq!(allowed.code, 0, "{allowed:?}");
}

#[test]
fn our_profile_guards_proc_and_sys_where_nothing_else_does() {
    let Some(bundle) = bundle() else { return };
    if !here(Feature::AppArmor) {
        return;
    }
    // Loaded by the first container that needs it; `wharf oci` takes what the document says.
    let host = privileged().unwrap();
    host.busybox_image().unwrap();
    host.ok(["run", "--rm", "--network", "none", "busybox", "true"]);
    let mut config = bundle.config.clone();
    for list in ["maskedPaths", "readonlyPaths"] {
        config["linux"][list] = json!([]);
    }
    for mount in config["mounts"].as_array_mut().unwrap() {
        if let Some(options) = mount["options"].as_array_mut() {
            options.retain(|option| option != "ro");
        }
    }
    // A value of the container's own network, and one of its own shared memory: nothing of the host's is written.
    let line = "for f in /proc/sys/net/ipv4/ip_default_ttl /proc/sys/kernel/shmmni; do \
                cat $f >/tmp/v && cat /tmp/v >$f && echo written || echo denied; done 2>/dev/null; \
                echo 0 >/proc/self/oom_score_adj && echo own";
    config["process"]["apparmorProfile"] = json!("wharf-default");
    assert_eq!(bundle.ok(&config, line), "denied\nwritten\nown");
    config["process"]["apparmorProfile"] = json!("unconfined");
    assert_eq!(bundle.ok(&config, line), "written\nwritten\nown");
}

#[test]
fn processes_of_a_container_signal_and_trace_each_other_and_nobody_else() {
    let Some(host) = confined() else { return };
    let run = |option: &str, line: &str| {
        host.wharf([
            "run",
            "--rm",
            "--network",
            "none",
            "--security-opt",
            option,
            "busybox",
            "sh",
            "-c",
            line,
        ])
    };
    let own = "sleep 100 & kill $! && cat /proc/1/environ >/dev/null && echo done";
    let output = run("apparmor=wharf-default", own);
    assert_eq!(output.stdout, "done\n", "{output:?}");
    // The engine is unconfined, and ends what it started.
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
    host.ok(["kill", "web"]);
    assert_eq!(host.ok(["wait", "web"]), "137");
}

#[test]
fn unconfined_is_no_profile() {
    let Some(host) = confined() else { return };
    host.ok([
        "run",
        "-d",
        "--name",
        "web",
        "--network",
        "none",
        "--security-opt",
        "apparmor=unconfined",
        "busybox",
        "sleep",
        "1000",
    ]);
    assert_eq!(host.ok(["exec", "web", "cat", CURRENT]), "unconfined");
    let shown = host.ok([
        "inspect",
        "--format",
        "{{.AppArmorProfile}} {{.HostConfig.SecurityOpt}}",
        "web",
    ]);
    assert_eq!(shown, "unconfined [apparmor=unconfined]");
}

#[test]
fn a_profile_of_the_users_is_taken() {
    let Some(host) = confined() else { return };
    let policy = include_bytes!("../fixtures/apparmor/own.bin");
    std::fs::write("/sys/kernel/security/apparmor/.replace", policy).unwrap();
    host.ok([
        "run",
        "-d",
        "--name",
        "web",
        "--network",
        "none",
        "--security-opt",
        "apparmor=wharf-test-own",
        "busybox",
        "sleep",
        "1000",
    ]);
    assert_eq!(
        host.ok(["exec", "web", "cat", CURRENT]),
        "wharf-test-own (enforce)"
    );
    let output = host.wharf(["exec", "web", "cat", "/etc/passwd"]);
    assert!(output.stderr.contains("Permission denied"), "{output:?}");
    host.ok(["rm", "-f", "web"]);
    std::fs::write("/sys/kernel/security/apparmor/.remove", "wharf-test-own").unwrap();
}

#[test]
fn a_profile_that_is_not_loaded_is_named_and_nothing_is_made() {
    let Some(host) = confined() else { return };
    for name in ["no-such-profile", "a b", "no//&wharf-default"] {
        let option = format!("apparmor={name}");
        let output = host.wharf([
            "run",
            "--network",
            "none",
            "--security-opt",
            &option,
            "busybox",
            "true",
        ]);
        assert_eq!(output.code, 125, "{output:?}");
        assert!(
            output
                .stderr
                .contains(&format!("AppArmor profile {name:?} is not loaded")),
            "{output:?}"
        );
        assert!(host.container_ids().is_empty());
    }
}

#[test]
fn a_profile_cannot_be_named_on_a_host_without_apparmor() {
    let Some(host) = privileged() else { return };
    if std::path::Path::new("/sys/kernel/security/apparmor").exists()
        || host.busybox_image().is_none()
    {
        return;
    }
    let run = |option: &str| {
        host.wharf([
            "run",
            "--network",
            "none",
            "--security-opt",
            option,
            "busybox",
            "true",
        ])
    };
    let output = run("apparmor=docker-default");
    assert_eq!(output.code, 125, "{output:?}");
    assert!(
        output.stderr.contains("this host has no AppArmor"),
        "{output:?}"
    );
    assert!(host.container_ids().is_empty());
    assert_eq!(run("apparmor=unconfined").code, 0);
}
