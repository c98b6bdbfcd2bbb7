//! Hooks on the host's side: when they run, what they are given, and what becomes of the container if one fails
//! (runtime-spec, "Lifecycle").

use std::fs;

use serde_json::{Value, json};

use crate::oci::{Case, case};

/// A hook that appends its name and the state's status to the test's journal.
fn noting(case: &Case, name: &str) -> Value {
    let journal = case.dir().join("journal");
    let script = format!(
        "echo {name} $(sed 's/.*\"status\":\"\\([a-z]*\\)\".*/\\1/') >> {}",
        journal.display()
    );
    json!({ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"] })
}

fn failing() -> Value {
    json!({ "path": "/bin/sh", "args": ["sh", "-c", "echo broken >&2; exit 3"] })
}

fn journal(case: &Case) -> String {
    fs::read_to_string(case.dir().join("journal")).unwrap_or_default()
}

#[test]
fn hooks_run_in_their_order_with_the_state() {
    let Some(mut case) = case() else { return };
    let id = &case.id("a");
    let hook = |name: &str| noting(&case, name);
    case.config["hooks"] = json!({
        "prestart": [hook("prestart-1"), hook("prestart-2")],
        "createRuntime": [hook("createRuntime")],
        "poststart": [hook("poststart")],
        "poststop": [hook("poststop")],
    });
    case.ok(&["create", id]);
    let created = "prestart-1 creating\nprestart-2 creating\ncreateRuntime creating\n";
    assert_eq!(journal(&case), created);
    case.ok(&["start", id]);
    let started = format!("{created}poststart running\n");
    assert_eq!(journal(&case), started);
    case.ok(&["delete", "--force", id]);
    assert_eq!(journal(&case), format!("{started}poststop stopped\n"));
}

#[test]
fn a_filter_is_over_the_hooks_in_the_container() {
    let Some(mut case) = case() else { return };
    let rule = |names: &[&str]| json!({ "names": names, "action": "SCMP_ACT_ERRNO" });
    for (also, privileges) in [("sendmsg", false), ("sendto", true)] {
        let _ = fs::remove_dir_all(case.bundle().join("rootfs/made"));
        case.config["process"]["noNewPrivileges"] = json!(privileges);
        case.config["linux"]["seccomp"] = json!({ "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [rule(&["mkdir", "mkdirat", also])] });
        let script = "mkdir /made 2>/dev/null || echo forbidden > /told";
        case.config["hooks"] = json!({ "startContainer": [
            { "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin"] },
        ] });
        case.runs("cat /told");
        assert_eq!(case.ok(&["run", &case.id("a")]), "forbidden\n");
        assert!(!case.bundle().join("rootfs/made").exists());
        // One that fails is told all the same.
        case.config["hooks"]["startContainer"][0]["args"][2] = json!("mkdir /made");
        let line = case.refused(&["run", &case.id("a")]);
        assert!(
            line.contains("error running startContainer hook #0: exit status 1"),
            "{line}"
        );
    }
}

#[test]
fn what_hooks_write_goes_where_an_annotation_says() {
    let Some(mut case) = case() else { return };
    let id = &case.id("a");
    let script = |kind: &str| json!([{ "path": "/bin/sh", "args": ["sh", "-c", format!("echo {kind}; echo {kind} e >&2")] }]);
    let kinds = [
        "prestart",
        "createRuntime",
        "createContainer",
        "startContainer",
        "poststart",
        "poststop",
    ];
    for kind in kinds {
        case.config["hooks"][kind] = script(kind);
    }
    let (out, err) = (
        case.dir().join("hooks.out"),
        case.bundle().join("hooks.err"),
    );
    fs::write(&out, "before\n").unwrap();
    case.config["annotations"] =
        json!({ "run.oci.hooks.stdout": out, "run.oci.hooks.stderr": "hooks.err" });
    case.ok(&["create", id]);
    case.ok(&["start", id]);
    case.ok(&["delete", "--force", id]);
    let lines = |end: &str| kinds.map(|kind| format!("{kind}{end}\n")).concat();
    assert_eq!(
        fs::read_to_string(out).unwrap(),
        format!("before\n{}", lines(""))
    );
    assert_eq!(fs::read_to_string(err).unwrap(), lines(" e"));
    case.config["annotations"] = json!({ "run.oci.hooks.stdout": "/no/such/place" });
    let line = case.refused(&["create", id]);
    assert!(
        line.starts_with("annotations.run.oci.hooks.stdout: open /no/such/place: "),
        "{line}"
    );
}

#[test]
fn a_hook_gets_the_state_its_environment_and_the_containers_process() {
    let Some(mut case) = case() else { return };
    let id = &case.id("a");
    let out = case.dir().join("state");
    let script = format!("/usr/bin/env; cat > {}; /bin/pwd", out.display());
    let script = format!("{{ {script}; }} > {}.env", out.display());
    case.config["annotations"] = json!({ "key": "value" });
    case.config["hooks"] = json!({ "createRuntime": [
        { "path": "/bin/sh", "args": ["name", "-c", script], "env": ["A=1"], "timeout": 30 },
    ] });
    case.ok(&["create", id]);
    let state: Value = serde_json::from_slice(&fs::read(&out).unwrap()).unwrap();
    assert_eq!(state["id"], *id);
    assert_eq!(state["status"], "creating");
    assert_eq!(state["pid"], case.pid(id));
    assert_eq!(state["bundle"], case.bundle().to_str().unwrap());
    assert_eq!(state["annotations"], json!({ "key": "value" }));
    let env = fs::read_to_string(case.dir().join("state.env")).unwrap();
    assert!(env.contains("A=1\n") && !env.contains("HOME="), "{env}");
    assert!(env.ends_with(&format!("{}\n", case.bundle().display())));
}

#[test]
fn a_failed_hook_of_create_leaves_nothing() {
    let Some(mut case) = case() else { return };
    let id = &case.id("a");
    for kind in ["prestart", "createRuntime"] {
        let hook = noting(&case, "poststop");
        case.config["hooks"] = json!({ kind: [failing()], "poststop": [hook] });
        for verb in ["create", "run"] {
            let _ = fs::remove_file(case.dir().join("journal"));
            let error = case.refused(&[verb, id]);
            assert!(
                error.contains(&format!("error running {kind} hook #0")),
                "{error}"
            );
            assert!(error.contains("exit status 3"), "{error}");
            assert!(error.contains("broken"), "{error}");
            case.assert_gone(id);
            assert_eq!(journal(&case), "poststop stopped\n");
        }
    }
}

#[test]
fn a_failed_poststart_hook_stops_the_container() {
    let Some(mut case) = case() else { return };
    let id = &case.id("a");
    case.config["hooks"] = json!({ "poststart": [failing()] });
    case.ok(&["create", id]);
    let error = case.refused(&["start", id]);
    assert!(error.contains("error running poststart hook #0"), "{error}");
    assert_eq!(case.status(id), "stopped");
    case.ok(&["delete", id]);
    let error = case.refused(&["run", "--detach", id]);
    assert!(error.contains("error running poststart hook #0"), "{error}");
    case.assert_gone(id);
}

#[test]
fn a_failed_poststop_hook_is_a_warning() {
    let Some(mut case) = case() else { return };
    let id = &case.id("a");
    let hook = noting(&case, "second");
    case.config["hooks"] = json!({ "poststop": [failing(), hook] });
    case.ok(&["create", id]);
    let output = case.oci(&["delete", "--force", id]);
    assert_eq!(output.code, 0, "{output:?}");
    let warning = "wharf oci: warning: error running poststop hook #0";
    assert!(output.stderr.starts_with(warning), "{output:?}");
    assert_eq!(journal(&case), "second stopped\n");
    case.assert_gone(id);
}

/// A NUL byte took what came after it for advice, and a terminal obeyed.
#[test]
fn what_a_failed_hook_wrote_is_one_plain_line() {
    let Some(mut case) = case() else { return };
    let id = &case.id("a");
    let script = r"printf 'a\0b\033c\nd'; exit 3";
    let hook = json!({ "path": "/bin/sh", "args": ["sh", "-c", script] });
    for kind in ["createRuntime", "createContainer"] {
        case.config["hooks"] = json!({ kind: [hook] });
        let error = case.refused(&["create", id]);
        let told = "exit status 3, stdout: a b c d, stderr: ";
        assert_eq!(error, format!("error running {kind} hook #0: {told}"));
        case.assert_gone(id);
    }
}

#[test]
fn a_hook_that_takes_too_long_is_ended() {
    let Some(mut case) = case() else { return };
    let id = &case.id("a");
    case.config["hooks"] = json!({ "prestart": [
        { "path": "/bin/sleep", "args": ["sleep", "1000"], "timeout": 1 },
    ] });
    let error = case.refused(&["create", id]);
    assert!(error.contains("timeout"), "{error}");
    case.assert_gone(id);
}

#[test]
fn a_hook_that_cannot_be_is_named() {
    let Some(mut case) = case() else { return };
    let id = &case.id("a");
    for (hook, text) in [
        (json!({ "path": "true" }), "hooks.poststop[0].path: "),
        (
            json!({ "path": "/bin/true", "timeout": 0 }),
            "hooks.poststop[0].timeout: ",
        ),
        (
            json!({ "path": "/bin/true", "timeout": -1 }),
            "hooks.poststop[0].timeout: ",
        ),
        (json!({ "args": [] }), "hooks.poststop[0]: "),
    ] {
        case.config["hooks"] = json!({ "poststop": [hook] });
        let error = case.refused(&["create", id]);
        assert!(error.contains(text), "{error}");
        case.assert_gone(id);
    }
}
