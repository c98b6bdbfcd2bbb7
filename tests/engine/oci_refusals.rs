//! What `wharf oci` refuses, and in which words: documents that are none, files that are none, fields by their name.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::oci::{Case, case};
use crate::support::{WHARF, collect};

/// A case with a container that runs.
fn running() -> Option<(Case, String)> {
    let case = case()?;
    let id = case.id("a");
    case.ok(&["run", "--detach", &id]);
    Some((case, id))
}

/// A bundle without a configuration.
fn bare_bundle(case: &Case) -> (PathBuf, String) {
    let dir = case.dir().join("bare");
    fs::create_dir_all(&dir).unwrap();
    let text = dir.to_str().unwrap().to_owned();
    (dir, text)
}

#[test]
fn a_list_is_taken_for_no_document() {
    let Some((case, id)) = running() else { return };
    let list = case.dir().join("list");
    fs::write(&list, "[]").unwrap();
    let path = list.to_str().unwrap();
    let words = "invalid type: sequence, expected an object (line 1 column 0)";
    let line = case.refused(&["exec", "--process", path, &id]);
    assert_eq!(line, format!("--process: {words}"));
    let line = case.refused(&["update", "--resources", path, &id]);
    assert_eq!(line, format!("--resources: {words}"));
    let state = case.root().join(&id).join("state.json");
    let before = fs::read(&state).unwrap();
    fs::write(&state, "[1, \"1.2.0\", \"x\"]").unwrap();
    let line = case.refused(&["state", &id]);
    fs::write(&state, before).unwrap();
    assert!(line.contains("expected an object"), "{line}");
}

#[test]
fn a_configuration_is_a_regular_file_of_sensible_length() {
    let Some(case) = case() else { return };
    let (dir, bundle) = bare_bundle(&case);
    let config = dir.join("config.json");
    let id = &case.id("a");
    let create = || case.refused(&["create", "--bundle", &bundle, id]);
    let no_file = format!("read {}: it is not a regular file", config.display());
    let made = Command::new("mkfifo").arg(&config).status().unwrap();
    assert!(made.success());
    assert_eq!(create(), no_file);
    fs::remove_file(&config).unwrap();
    symlink("/dev/zero", &config).unwrap();
    assert_eq!(create(), no_file);
    fs::remove_file(&config).unwrap();
    fs::create_dir(&config).unwrap();
    assert_eq!(create(), no_file);
    fs::remove_dir(&config).unwrap();
    let file = fs::File::create(&config).unwrap();
    file.set_len((16 << 20) + 1).unwrap();
    assert!(create().ends_with(": it is longer than 16777216 bytes"));
    fs::remove_file(&config).unwrap();
    assert!(create().ends_with("config.json not found"));
}

#[test]
fn what_a_caller_names_may_be_a_pipe_that_ends() {
    let Some((mut case, id)) = running() else {
        return;
    };
    for args in [
        &["exec", "--process", "/dev/zero", &id][..],
        &["update", "--resources", "/dev/zero", &id],
        &["create", "--config", "/dev/zero", &case.id("b")],
    ] {
        let line = case.refused(args);
        assert!(line.contains("/dev/zero: it is longer than "), "{line}");
    }
    case.runs("echo from a pipe");
    let ours = case.command(&["run", "--config", "/dev/stdin", &case.id("b")]);
    let mut command = Command::new("sh");
    command.args(["-c", "cat config.json | \"$0\" \"$@\""]);
    command.arg(ours.get_program()).args(ours.get_args());
    command.current_dir(ours.get_current_dir().unwrap());
    for (name, value) in ours.get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    let output = collect(&mut command, &[]);
    assert_eq!(output.stdout, "from a pipe\n", "{output:?}");
}

#[test]
fn an_error_names_its_field() {
    let Some(mut case) = case() else { return };
    let good = case.config.clone();
    let users = json!([{ "containerID": 0, "hostID": 0, "size": 10 }]);
    for (pointer, value, error) in [
        (
            "/process/env",
            json!(["PATH=/bin", "X"]),
            "process.env[1]: invalid environment variable: missing '='",
        ),
        (
            "/process/env",
            json!(["PATH=/bin", "X=a\0"]),
            "process.env[1]: a NUL byte cannot be part of it (line 1 column ",
        ),
        (
            "/mounts/1/source",
            json!("a\0"),
            "mounts[1].source: a NUL byte cannot be part of it (line 1 column ",
        ),
        (
            "/mounts/1/type",
            json!("nosuch"),
            "mounts[1]: mount /dev: open file system nosuch: ",
        ),
        (
            "/mounts/2/options",
            json!(["nosuch"]),
            "mounts[2]: mount /dev/pts: ",
        ),
        (
            "/mounts/1",
            json!({"destination": "/tmp", "type": "bind", "source": "/no/such", "options": ["bind"]}),
            "mounts[1]: mount /tmp: bind source path does not exist: /no/such",
        ),
        (
            "/hostname",
            json!("x".repeat(65)),
            "hostname: it has 65 bytes",
        ),
        (
            "/process/user",
            json!([0, 0]),
            "process.user: invalid type: sequence, expected an object (line 1 column ",
        ),
        (
            "/linux",
            json!({ "namespaces": [{ "type": "mount" }, { "type": "user" }], "uidMappings": users,
                "gidMappings": users }),
            "process.user.uid: 70 is not mapped in the user namespace (linux.uidMappings)",
        ),
        (
            "/linux/namespaces",
            json!([{ "type": "mount" }, { "type": "pid", "path": 3 }]),
            "linux.namespaces[1].path: invalid type: integer `3`",
        ),
    ] {
        case.config.clone_from(&good);
        if pointer == "/linux" {
            case.config["process"]["user"]["uid"] = json!(70);
            case.config["hostname"] = json!("");
        }
        *case.config.pointer_mut(pointer).unwrap() = value;
        let line = case.refused(&["run", &case.id("a")]);
        let file = format!("read {}: ", case.bundle().join("config.json").display());
        let line = line.strip_prefix(&file).unwrap_or(&line);
        assert!(line.starts_with(error), "{error}: {line}");
    }
}

#[test]
fn a_filter_and_a_limit_are_named_whole() {
    let Some(mut case) = case() else { return };
    case.config["linux"]["resources"] = json!({ "memory": { "limit": 4096 } });
    let line = case.refused(&["run", &case.id("a")]);
    assert!(
        line.starts_with("linux.resources.memory.limit: 4096 bytes may be too few"),
        "{line}"
    );
    case.config["linux"]["resources"] = json!({});
    case.config["linux"]["seccomp"] = json!({ "defaultAction": "SCMP_ACT_NOTIFY" });
    let line = case.refused(&["run", &case.id("a")]);
    assert!(line.starts_with("linux.seccomp.defaultAction: "), "{line}");
    case.config["linux"]["seccomp"] =
        json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_S390X"] });
    let line = case.refused(&["run", &case.id("a")]);
    assert!(
        line.starts_with("linux.seccomp.architectures[0]: "),
        "{line}"
    );
}

#[test]
fn a_flag_of_exec_is_named() {
    let Some((case, id)) = running() else { return };
    for (args, error) in [
        (["--cwd", "x"], "--cwd: Cwd must be an absolute path"),
        (
            ["--cwd", "/proc/self/fd/3"],
            "--cwd: /proc/self/fd/3 is a descriptor",
        ),
        (
            ["--cwd", "/no/such"],
            "--cwd: process.cwd: chdir to working directory: /no/such: no such",
        ),
        (
            ["--env", "X"],
            "--env \"X\": invalid environment variable: missing '='",
        ),
    ] {
        let line = case.refused(&[&["exec"], &args[..], &[&id, "true"]].concat());
        assert!(line.starts_with(error), "{error}: {line}");
    }
}

#[test]
fn a_descriptor_as_working_directory_makes_no_directories() {
    let Some(mut case) = case() else { return };
    case.config["mounts"].as_array_mut().unwrap().remove(0);
    for cwd in [
        "/proc/self/fd/7",
        "/proc/1/fd/7/x",
        "//proc/./thread-self/../self/task/1/fd/8",
        "/dev/fd/7",
    ] {
        case.config["process"]["cwd"] = json!(cwd);
        let line = case.refused(&["run", &case.id("a")]);
        assert!(
            line.starts_with(&format!("process.cwd: {cwd} is a descriptor")),
            "{line}"
        );
    }
    let proc = case.bundle().join("rootfs/proc");
    assert_eq!(fs::read_dir(proc).unwrap().count(), 0);
}

#[test]
fn the_hosts_root_is_no_containers_root() {
    let Some(mut case) = case() else { return };
    case.config["root"]["path"] = json!("/");
    for verb in ["create", "run"] {
        let line = case.refused(&[verb, &case.id("a")]);
        assert!(
            line.starts_with("root.path: / is the root of the host"),
            "{line}"
        );
    }
}

#[test]
fn a_bundle_whose_path_cannot_be_told_is_refused() {
    let Some(case) = case() else { return };
    let dir = case.dir().join(std::ffi::OsStr::from_bytes(b"b\xff"));
    fs::create_dir(&dir).unwrap();
    let id = case.id("a");
    let ours = case.command(&["create", &id]);
    fs::copy(case.bundle().join("config.json"), dir.join("config.json")).unwrap();
    let mut command = Command::new(ours.get_program());
    command.args(ours.get_args()).current_dir(&dir);
    let output = collect(&mut command, &[]);
    assert_eq!(output.code, 1);
    assert!(
        output.stderr.starts_with("wharf oci: error: --bundle: "),
        "{output:?}"
    );
    assert!(output.stderr.contains(" is not valid UTF-8"), "{output:?}");
    assert!(!case.root().join(&id).exists());
}

#[test]
fn a_capability_that_nobody_knows_is_a_warning() {
    let Some(mut case) = case() else { return };
    let sets = json!(["CAP_CHOWN", "KILL", "cap_kill"]);
    case.config["process"]["capabilities"] =
        json!({ "bounding": sets, "effective": sets, "permitted": sets });
    case.runs("grep CapEff /proc/self/status");
    let output = case.oci(&["run", &case.id("a")]);
    assert!(
        output.stdout.ends_with("\t0000000000000001\n"),
        "{output:?}"
    );
    let warning =
        "wharf oci: warning: ignoring unknown or unavailable capabilities: [KILL cap_kill]\n";
    assert_eq!(output.stderr, warning);
    case.runs("exec sleep 1000");
    case.config["process"]["capabilities"] = json!({});
    let id = &case.id("a");
    case.ok(&["run", "--detach", id]);
    let command = ["grep", "CapEff", "/proc/self/status"];
    let caps = ["exec", "--cap", "NOSUCH", "--cap", "CAP_KILL", id];
    let output = case.oci(&[&caps[..], &command].concat());
    assert!(
        output.stdout.ends_with("\t0000000000000020\n"),
        "{output:?}"
    );
    let warning = "wharf oci: warning: --cap: ignoring what is no capability: [NOSUCH]\n";
    assert_eq!((output.code, output.stderr.as_str()), (0, warning));
}

/// `docker run --privileged` without every capability had warnings of ours in the container's output.
#[test]
fn a_warning_goes_to_the_log_alone_where_there_is_one() {
    let Some(mut case) = case() else { return };
    case.config["process"]["capabilities"] = json!({ "bounding": ["CAP_NOSUCH"] });
    case.runs("echo mine >&2");
    let log = case.dir().join("log");
    let log = log.to_str().unwrap();
    let output = case.oci(&["--log", log, "--log-format", "json", "run", &case.id("a")]);
    assert_eq!((output.code, output.stderr.as_str()), (0, "mine\n"));
    let told = fs::read_to_string(log).unwrap();
    let warning =
        r#""level":"warning","msg":"ignoring unknown or unavailable capabilities: [CAP_NOSUCH]""#;
    assert!(told.contains(warning), "{told}");
    // A log that takes nothing leaves standard error.
    let output = case.oci(&["--log", "/dev/full", "run", &case.id("b")]);
    let lines: Vec<_> = output.stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{output:?}");
    assert!(lines[0].starts_with("wharf oci: warning: "), "{output:?}");
    let output = case.oci(&["--log", "/dev/full", "state", "nosuch"]);
    assert!(output.stderr.contains("does not exist"), "{output:?}");
}

#[test]
fn a_document_of_a_process_makes_a_command_count_for_nothing() {
    let Some((case, id)) = running() else { return };
    let process = json!({ "cwd": "/", "user": { "uid": 0, "gid": 0 }, "env": ["PATH=/bin"],
        "args": ["echo", "document"] });
    let path = case.dir().join("process.json");
    fs::write(&path, process.to_string()).unwrap();
    let told = case.ok(&[
        "exec",
        "--process",
        path.to_str().unwrap(),
        &id,
        "echo",
        "words",
    ]);
    assert_eq!(told, "document\n");
}

#[test]
fn there_is_no_checkpoint_and_this_is_said() {
    let Some(case) = case() else { return };
    for verb in ["checkpoint", "restore"] {
        let line = case.refused(&[verb, "x"]);
        let text = "containers cannot be checkpointed or restored: CRIU is not supported";
        assert_eq!(line, format!("{verb}: {text}"));
    }
}

#[test]
fn an_output_that_is_not_there_is_told_and_a_reader_that_is_gone_is_not() {
    let Some(case) = case() else { return };
    let sh = |line: &str| {
        let mut command = Command::new("bash");
        command.args(["-c", line, WHARF]).stdin(Stdio::null());
        command.current_dir(case.dir());
        collect(&mut command, &[])
    };
    fs::create_dir(case.dir().join("s2")).unwrap();
    for verb in ["list", "features", "--help"] {
        let output = sh(&format!("\"$0\" oci --root s2 {verb} >&-"));
        let line = "wharf oci: error: write to standard output: bad file descriptor\n";
        assert_eq!((output.code, output.stderr.as_str()), (1, line), "{verb}");
        let output = sh(&format!("\"$0\" oci --root s2 {verb} >/dev/null"));
        assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{verb}");
        let line = format!("\"$0\" oci --root s2 {verb} | :; exit ${{PIPESTATUS[0]}}");
        // The reader may be there for long enough.
        let output = sh(&line);
        assert_eq!(output.stderr, "", "{verb}");
        assert!([0, 141].contains(&output.code), "{verb}: {output:?}");
    }
}
