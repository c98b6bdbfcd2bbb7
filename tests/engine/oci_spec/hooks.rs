//! config.md, "POSIX-platform Hooks", and the steps of runtime.md, "Lifecycle", that run them.

use std::fs;

use serde_json::{Value, json};

use super::bundle::{BUSYBOX_PATH, Bundle, bundle};

const KINDS: [&str; 6] = [
    "prestart",
    "createRuntime",
    "createContainer",
    "startContainer",
    "poststart",
    "poststop",
];

/// A hook that runs a script in busybox's shell, outside or inside of the container.
fn hook(kind: &str, script: &str) -> Value {
    let path = if kind == "startContainer" {
        "/bin/sh"
    } else {
        BUSYBOX_PATH
    };
    json!({"path": path, "args": ["sh", "-c", script]})
}

/// A bundle that sees the directory for reports at its own path, so that every hook does.
fn reporting(script: &str) -> Option<Bundle> {
    let mut b = bundle(script)?;
    let aside = b.aside();
    let mount = json!({"destination": aside, "type": "bind", "source": aside, "options": ["bind"]});
    b.add("/mounts", mount);
    Some(b)
}

#[test]
fn hooks_of_all_kinds_run_at_their_time_in_their_order() {
    let Some(mut b) = reporting("") else { return };
    let log = b.aside().join("log");
    for kind in KINDS {
        for number in [1, 2] {
            let script = format!("echo {kind} {number} >> {}", log.display());
            b.add(&format!("/hooks/{kind}"), hook(kind, &script));
        }
    }
    b.script(&format!("echo program >> {}; sleep 1000", log.display()));
    let so_far = || fs::read_to_string(&log).unwrap_or_default();
    let of = |kinds: &[&str]| {
        let lines = kinds.iter().map(|kind| format!("{kind} 1\n{kind} 2\n"));
        lines.collect::<String>()
    };
    b.create();
    let created = of(&["prestart", "createRuntime", "createContainer"]);
    assert_eq!(so_far(), created);
    b.start();
    let started = so_far();
    // The program and what comes after its start run side by side.
    let ordered: Vec<&str> = started.lines().filter(|line| *line != "program").collect();
    let expected = created.clone() + &of(&["startContainer", "poststart"]);
    assert_eq!(ordered, expected.lines().collect::<Vec<_>>());
    let place = |text: &str| started.find(text);
    assert!(
        place("program").is_none_or(|at| Some(at) > place("startContainer 2")),
        "{started}"
    );
    b.ok(["kill", &b.id, "KILL"]);
    b.await_status("stopped");
    assert!(!so_far().contains("poststop"), "{}", so_far());
    b.ok(["delete", &b.id]);
    assert!(so_far().ends_with(&of(&["poststop"])), "{}", so_far());
}

#[test]
fn hooks_are_told_the_state() {
    let Some(mut b) = reporting("sleep 1000") else {
        return;
    };
    let aside = b.aside();
    b.set("/annotations", json!({"org.example.key": "a value"}));
    for kind in KINDS {
        let script = format!("cat > {}/{kind}", aside.display());
        b.add(&format!("/hooks/{kind}"), hook(kind, &script));
    }
    b.launch();
    let pid = b.pid();
    b.ok(["delete", "--force", &b.id]);
    for (kind, status) in KINDS.into_iter().zip([
        "creating", "creating", "creating", "created", "running", "stopped",
    ]) {
        let text = fs::read(aside.join(kind)).unwrap();
        let state: Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(state["id"], json!(b.id), "{kind}");
        assert_eq!(state["status"], json!(status), "{kind}: {state}");
        assert_eq!(state["bundle"], json!(b.dir), "{kind}");
        assert_eq!(
            state["annotations"]["org.example.key"],
            json!("a value"),
            "{kind}"
        );
        assert!(
            state["ociVersion"].as_str().unwrap().starts_with("1."),
            "{kind}"
        );
        // As it is seen where the hook runs.
        let seen = match kind {
            "createContainer" | "startContainer" => json!(1),
            "poststop" => continue,
            _ => json!(pid),
        };
        assert_eq!(state["pid"], seen, "{kind}");
    }
}

#[test]
fn hooks_run_where_they_belong() {
    let Some(mut b) = reporting("sleep 1000") else {
        return;
    };
    let aside = b.aside();
    b.add("/linux/namespaces", json!({"type": "uts"}));
    for kind in KINDS {
        let script = format!(
            "readlink /proc/self/ns/uts > {0}/{kind}; readlink /proc/self/ns/mnt >> {0}/{kind}",
            aside.display()
        );
        let mut entry = hook(kind, &script);
        entry["env"] = json!(["PATH=/bin:/usr/bin"]);
        if kind == "createContainer" {
            // The host's file systems are still there, below the container's mounts or not.
            entry["args"][2] = json!(format!(
                "b={BUSYBOX_PATH}; $b readlink /proc/self/ns/uts > {0}/{kind}; $b readlink /proc/self/ns/mnt >> {0}/{kind}",
                aside.display()
            ));
        }
        b.add(&format!("/hooks/{kind}"), entry);
    }
    b.launch();
    let namespace = |of: &str, name: &str| {
        let link = fs::read_link(format!("/proc/{of}/ns/{name}")).unwrap();
        link.to_str().unwrap().to_owned()
    };
    let both = |of: &str| format!("{}\n{}\n", namespace(of, "uts"), namespace(of, "mnt"));
    let (outside, inside) = (both("self"), both(&b.pid().to_string()));
    b.ok(["delete", "--force", &b.id]);
    for kind in KINDS {
        let expected = match kind {
            "createContainer" | "startContainer" => &inside,
            _ => &outside,
        };
        let seen = fs::read_to_string(aside.join(kind)).unwrap();
        assert_eq!(&seen, expected, "{kind}");
    }
}

#[test]
fn a_hook_that_fails_before_the_program_ends_the_container() {
    for kind in ["prestart", "createRuntime", "createContainer"] {
        let Some(mut b) = reporting("sleep 1000") else {
            return;
        };
        let log = b.aside().join("log");
        b.add(
            &format!("/hooks/{kind}"),
            hook(kind, "echo why >&2; exit 3"),
        );
        b.add(
            &format!("/hooks/{kind}"),
            hook(kind, &format!("echo second > {}", log.display())),
        );
        b.add(
            "/hooks/poststop",
            hook("poststop", &format!("echo gone >> {}", log.display())),
        );
        b.cannot_be_created(kind);
        let ran = fs::read_to_string(&log).unwrap_or_default();
        assert_eq!(ran, "gone\n", "{kind}");
    }
}

#[test]
fn a_hook_that_fails_at_the_start_keeps_the_program_from_running() {
    let Some(mut b) = reporting("") else { return };
    let aside = b.aside();
    b.script(&format!("touch {}/ran; sleep 1000", aside.display()));
    b.add("/hooks/startContainer", hook("startContainer", "exit 3"));
    b.add(
        "/hooks/poststop",
        hook("poststop", &format!("touch {}/gone", aside.display())),
    );
    b.create();
    let pid = b.pid();
    b.refused(["start", &b.id], "startContainer");
    b.ok(["delete", "--force", &b.id]);
    assert!(!super::lifecycle::is_alive(pid));
    assert!(!aside.join("ran").exists());
    assert!(aside.join("gone").exists());
}

#[test]
fn a_hook_that_fails_after_the_start_ends_the_container() {
    let Some(mut b) = reporting("sleep 1000") else {
        return;
    };
    let aside = b.aside();
    b.add("/hooks/poststart", hook("poststart", "exit 3"));
    b.add(
        "/hooks/poststop",
        hook("poststop", &format!("touch {}/gone", aside.display())),
    );
    b.create();
    let pid = b.pid();
    b.refused(["start", &b.id], "poststart");
    b.ok(["delete", "--force", &b.id]);
    assert!(!super::lifecycle::is_alive(pid));
    assert!(aside.join("gone").exists());
}

#[test]
fn a_hook_that_fails_at_the_end_is_a_warning() {
    for way in ["delete", "run"] {
        let Some(mut b) = reporting("true") else {
            return;
        };
        let aside = b.aside();
        b.add("/hooks/poststop", hook("poststop", "exit 3"));
        let second = format!("touch {}/second", aside.display());
        b.add("/hooks/poststop", hook("poststop", &second));
        let output = if way == "run" {
            b.run()
        } else {
            b.launch();
            b.await_status("stopped");
            b.oci(["delete", &b.id])
        };
        assert_eq!(output.code, 0, "{way}: {output:#?}");
        assert!(output.stderr.contains("poststop"), "{way}: {output:#?}");
        assert!(aside.join("second").exists(), "{way}");
        b.refused(["state", &b.id], "does not exist");
    }
}

#[test]
fn a_hook_has_its_arguments_its_environment_and_its_time() {
    let Some(mut b) = reporting("sleep 1000") else {
        return;
    };
    let aside = b.aside();
    let script = format!("echo $0 $A $PATH $HOME > {}/seen", aside.display());
    b.add(
        "/hooks/prestart",
        json!({"path": BUSYBOX_PATH, "args": ["sh", "-c", script, "zero"], "env": ["A=given"]}),
    );
    b.create();
    b.ok(["delete", "--force", &b.id]);
    let seen = fs::read_to_string(aside.join("seen")).unwrap();
    assert!(seen.starts_with("zero given"), "{seen}");
    assert!(
        !seen.contains(aside.parent().unwrap().to_str().unwrap()),
        "{seen}"
    );
    b.set(
        "/hooks",
        json!({"prestart": [
        {"path": BUSYBOX_PATH, "args": ["sleep", "1000"], "timeout": 1}]}),
    );
    b.cannot_be_created("prestart");
}

#[test]
fn a_hook_without_an_environment_has_the_callers() {
    let Some(mut b) = reporting("true") else {
        return;
    };
    let seen = b.aside().join("seen");
    let script = format!("echo $FROM_THE_CALLER > {}", seen.display());
    b.add("/hooks/prestart", hook("prestart", &script));
    b.write();
    let status = b
        .command(["run", &b.id])
        .env("FROM_THE_CALLER", "heard")
        .status();
    assert!(status.unwrap().success());
    assert_eq!(fs::read_to_string(seen).unwrap(), "heard\n");
}

#[test]
fn a_hook_is_an_absolute_path_and_its_time_is_some() {
    for kind in KINDS {
        let Some(mut b) = bundle("true") else { return };
        b.set("/hooks", json!({kind: [{"path": "bin/sh"}]}));
        b.cannot_be_created(kind);
        b.set("/hooks", json!({kind: [{"path": "/bin/sh", "timeout": 0}]}));
        b.cannot_be_created(kind);
        b.set(
            "/hooks",
            json!({kind: [{"path": "/bin/sh", "timeout": -1}]}),
        );
        b.cannot_be_created(kind);
    }
}

#[test]
fn a_hooks_path_is_looked_up_on_its_side() {
    for kind in KINDS {
        let Some(mut b) = reporting("sleep 1000") else {
            return;
        };
        let ran = b.aside().join("ran");
        // Programs that are on one side alone.
        let outside = b.dir.join("outside");
        let path = if kind == "startContainer" {
            fs::copy(BUSYBOX_PATH, b.rootfs().join("inside")).unwrap();
            "/inside".to_owned()
        } else {
            fs::copy(BUSYBOX_PATH, &outside).unwrap();
            outside.display().to_string()
        };
        b.set(
            "/hooks",
            json!({kind: [{"path": path, "args": ["touch", ran]}]}),
        );
        b.launch();
        b.ok(["delete", "--force", &b.id]);
        assert!(ran.exists(), "{kind}");
    }
}

#[test]
fn hooks_of_create_run_before_the_root_is_changed() {
    for kind in ["prestart", "createRuntime", "createContainer"] {
        let Some(mut b) = reporting("sleep 1000") else {
            return;
        };
        // The container's namespaces are there, and its root is the host's still: the bundle can be seen.
        let script = format!(
            "pid=$(sed 's/.*\"pid\": *\\([0-9]*\\).*/\\1/'); [ {kind} = createContainer ] && pid=self; \
             test -e /proc/$pid/root{0}/config.json && readlink /proc/$pid/ns/ipc > {1}/seen",
            b.dir.display(),
            b.aside().display()
        );
        b.add("/linux/namespaces", json!({"type": "ipc"}));
        b.add(&format!("/hooks/{kind}"), hook(kind, &script));
        b.create();
        let link = fs::read_link(format!("/proc/{}/ns/ipc", b.pid())).unwrap();
        let seen = fs::read_to_string(b.aside().join("seen")).unwrap();
        assert_eq!(seen.trim_end(), link.to_str().unwrap(), "{kind}");
    }
}

/// They found it read-only already: caches of ld.so and links to drivers could not be written.
#[test]
fn hooks_of_create_write_to_a_root_that_will_be_read_only() {
    let script = "cat /prestart /createRuntime /createContainer; touch /etc/x 2>&1";
    let Some(mut b) = reporting(script) else {
        return;
    };
    b.set("/root/readonly", json!(true));
    for kind in ["prestart", "createRuntime", "createContainer"] {
        // The first two are in the host's mount namespace, and go where the program will be.
        let script = format!(
            "[ {kind} = createContainer ] && root={} || root=/proc/$(sed 's/.*\"pid\":\\([0-9]*\\).*/\\1/')/root{}; echo {kind} > $root/{kind}",
            b.rootfs().display(),
            b.rootfs().display(),
        );
        b.add(&format!("/hooks/{kind}"), hook(kind, &script));
    }
    let output = b.run();
    let told = "prestart\ncreateRuntime\ncreateContainer\ntouch: /etc/x: Read-only file system\n";
    assert_eq!(output.stdout, told, "{output:?}");
}

#[test]
fn poststop_hooks_find_the_container_gone() {
    let Some(mut b) = reporting("sleep 1000") else {
        return;
    };
    let aside = b.aside();
    let script = format!(
        "pid=$(cat {0}/pid); grep -q '^State:.[RSD]' /proc/$pid/status && echo alive; ls -d /sys/fs/cgroup/*/*/{1} /sys/fs/cgroup/*/{1}; echo done",
        aside.display(),
        b.id
    );
    let script = format!("({script}) > {}/seen 2>/dev/null", aside.display());
    b.set("/linux/cgroupsPath", json!(format!("/{}", b.id)));
    b.add("/hooks/poststop", hook("poststop", &script));
    b.launch();
    fs::write(aside.join("pid"), b.pid().to_string()).unwrap();
    b.ok(["kill", &b.id, "KILL"]);
    b.await_status("stopped");
    b.ok(["delete", &b.id]);
    assert_eq!(fs::read_to_string(aside.join("seen")).unwrap(), "done\n");
}
