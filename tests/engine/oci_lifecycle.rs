//! `wharf oci`: create, start, run, state, kill, delete, list, spec, as runc's callers use them.

use std::fs;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::oci::{Case, case, groups_of};
use crate::support::{PATIENCE, WHARF, collect, names_in, wait_until};

#[test]
fn a_container_is_created_started_killed_and_deleted() {
    let Some(case) = case() else { return };
    let id = &case.id("a");
    case.ok(&["create", id]);
    let state = case.state(id);
    assert_eq!(state["status"], "created");
    assert_eq!(state["id"], *id);
    assert_eq!(state["ociVersion"], "1.2.0");
    assert_eq!(state["bundle"], case.bundle().to_str().unwrap());
    let pid = case.pid(id);
    assert!(pid > 0);
    // Nothing of ours is left, and the program does not run yet.
    let comm = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    assert!(!comm.contains("sleep"), "{comm}");
    let refused = case.refused(&["create", id]);
    assert_eq!(refused, "container with given ID already exists");

    case.ok(&["start", id]);
    assert_eq!(case.status(id), "running");
    assert_eq!(case.pid(id), pid);
    let comm = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    assert!(comm.starts_with("sleep"), "{comm}");
    assert_eq!(
        case.refused(&["start", id]),
        "cannot start an already running container"
    );
    assert_eq!(
        case.refused(&["delete", id]),
        format!("cannot delete container {id} that is not stopped: running")
    );

    case.ok(&["kill", id, "KILL"]);
    case.wait_for_status(id, "stopped");
    assert_eq!(case.state(id)["pid"], 0);
    assert_eq!(case.refused(&["kill", id]), "container not running");
    assert_eq!(
        case.refused(&["start", id]),
        "cannot start a container that has stopped"
    );
    case.ok(&["delete", id]);
    case.assert_gone(id);
    assert_eq!(case.refused(&["state", id]), "container does not exist");
}

#[test]
fn options_stand_before_and_after_the_id() {
    let Some(case) = case() else { return };
    let id = &case.id("a");
    let elsewhere = case.dir().join("other.json");
    fs::write(&elsewhere, case.config.to_string()).unwrap();
    let bundle = case.bundle();
    let (bundle, other) = (bundle.to_str().unwrap(), elsewhere.to_str().unwrap());
    let pid_file = case.dir().join("pid");
    case.ok(&[
        "create",
        "--bundle",
        bundle,
        id,
        "--config",
        other,
        "--pid-file",
        pid_file.to_str().unwrap(),
    ]);
    assert_eq!(
        fs::read_to_string(&pid_file).unwrap(),
        case.pid(id).to_string()
    );
    case.ok(&["delete", id, "--force"]);
    case.assert_gone(id);
}

#[test]
fn run_gives_the_exit_code_and_leaves_nothing() {
    let Some(mut case) = case() else { return };
    let id = &case.id("a");
    case.runs("echo out; echo err >&2; exit 37");
    let output = case.oci(&["run", id]);
    assert_eq!((output.code, output.stdout.as_str()), (37, "out\n"));
    assert_eq!(output.stderr, "err\n");
    case.assert_gone(id);
    case.runs("kill -9 $$");
    let script = json!(["sh", "-c", "sleep 1000 & kill -9 $!; wait $!"]);
    case.config["process"]["args"] = script;
    assert_eq!(case.oci(&["run", id]).code, 128 + 9);
    case.assert_gone(id);
}

#[test]
fn a_kept_container_stays_after_its_end() {
    let Some(mut case) = case() else { return };
    let id = &case.id("a");
    case.runs("true");
    assert_eq!(case.oci(&["run", "--keep", id]).code, 0);
    assert_eq!(case.status(id), "stopped");
    case.ok(&["delete", id]);
    case.assert_gone(id);
}

#[test]
fn what_fails_leaves_nothing() {
    let Some(mut case) = case() else { return };
    let id = &case.id("a");
    case.config["process"]["args"] = json!(["nosuch"]);
    for verb in ["create", "run"] {
        assert_eq!(
            case.refused(&[verb, id]),
            "exec: \"nosuch\": executable file not found in $PATH"
        );
        case.assert_gone(id);
    }
    case.config["process"]["args"] = json!(["true"]);
    case.config["mounts"][0]["destination"] = json!("/bin/busybox/below");
    for verb in ["create", "run"] {
        assert!(case.refused(&[verb, id]).contains("mounts"));
        case.assert_gone(id);
    }
}

#[test]
fn a_failed_execution_is_told_by_start() {
    let Some(mut case) = case() else { return };
    let id = &case.id("a");
    let program = case.bundle().join("rootfs/program");
    fs::copy(case.bundle().join("rootfs/bin/busybox"), &program).unwrap();
    case.config["process"]["args"] = json!(["/program"]);
    case.ok(&["create", id]);
    // What was found is no program any more.
    fs::write(&program, "not a program").unwrap();
    let error = case.refused(&["start", id]);
    assert!(error.contains("/program"), "{error}");
    case.wait_for_status(id, "stopped");
    case.ok(&["delete", id]);
}

#[test]
fn the_field_that_is_wrong_is_named() {
    let Some(mut case) = case() else { return };
    let good = case.config.clone();
    for (pointer, value, error) in [
        ("/process/cwd", json!("x"), "process.cwd: "),
        ("/process/cwd", json!(""), "process.cwd: "),
        ("/process/args", json!([]), "process.args: "),
        ("/ociVersion", json!("2.0.0"), "ociVersion: "),
        ("/root/path", json!("nosuch"), "root.path: "),
        (
            "/linux/namespaces/0/type",
            json!("mount"),
            "linux.namespaces[1].type: ",
        ),
        (
            "/linux/namespaces/2/type",
            json!("nosuch"),
            "linux.namespaces[2].type: ",
        ),
        ("/process/user/uid", json!(-1), "process.user.uid: "),
        (
            "/process/capabilities/bounding/1",
            json!(1),
            "process.capabilities.bounding[1]: ",
        ),
    ] {
        case.config.clone_from(&good);
        *case.config.pointer_mut(pointer).unwrap() = value;
        for verb in ["create", "run"] {
            let told = case.refused(&[verb, "--bundle", ".", &case.id("a")]);
            assert!(told.contains(error), "{pointer}: {told}");
        }
    }
    assert_eq!(names_in(&case.root()), Vec::<String>::new());
}

#[test]
fn a_wrong_command_line_gives_one_line() {
    let Some(case) = case() else { return };
    for (args, text) in [
        (&["create"][..], "\"create\" requires exactly 1 argument(s)"),
        (
            &["state", "a", "b"],
            "\"state\" requires exactly 1 argument(s)",
        ),
        (&["run", "--nosuch", "a"], "unknown flag: --nosuch"),
        (
            &["run", "a", "--bundle"],
            "flag needs an argument: --bundle",
        ),
        (
            &["run", "a", "--preserve-fds", "x"],
            "invalid value \"x\" for --preserve-fds: not a whole number",
        ),
        (
            &["nosuch"],
            "unknown command: nosuch: No help topic for 'nosuch'; 'wharf oci --help' lists them",
        ),
        (&["list", "-f", "xml"], "invalid format option"),
        (&["kill", "a", "NOSUCH"], "unknown signal \"NOSUCH\""),
        (&["state", "nosuch"], "container does not exist"),
        (&["delete", "nosuch"], "container does not exist"),
        (&["start", "nosuch"], "container does not exist"),
        (&["state", ""], "container id cannot be empty"),
    ] {
        assert_eq!(case.refused(args), text, "{args:?}");
    }
    for id in ["../a", ".a", "a/b", "a b", "ä"] {
        let told = case.refused(&["create", id]);
        assert!(told.starts_with("invalid container ID format"), "{told}");
    }
    case.ok(&["delete", "--force", "nosuch"]);
}

#[test]
fn help_and_version_are_told_on_standard_output() {
    let Some(case) = case() else { return };
    assert!(case.ok(&["--help"]).contains("  create    "));
    assert!(case.ok(&["create", "--help"]).contains("--console-socket"));
    assert!(case.ok(&["help", "run"]).contains("--detach"));
    assert!(case.ok(&["--version"]).contains("\nspec: 1."));
    for words in [&["help", "oci"][..], &["--debug", "oci", "--help"]] {
        let output = collect(Command::new(WHARF).args(words), &[]);
        assert!(output.stdout.contains("  create    "), "{output:?}");
    }
    // The name says it all.
    let mut command = Command::new(WHARF);
    let output = collect(command.arg0("/usr/bin/wharf-oci").arg("--help"), &[]);
    assert!(output.stdout.contains("  create    "), "{output:?}");
}

#[test]
fn the_log_has_a_line_that_drivers_read() {
    let Some(case) = case() else { return };
    let log = case.dir().join("log");
    let path = log.to_str().unwrap();
    for format in ["json", "text"] {
        let words = ["--log", path, "--log-format", format, "state", "nosuch"];
        assert_eq!(case.refused(&words), "container does not exist");
    }
    let text = fs::read_to_string(&log).unwrap();
    let mut lines = text.lines();
    let entry: Value = serde_json::from_str(lines.next().unwrap()).unwrap();
    assert_eq!(entry["level"], "error");
    assert_eq!(entry["msg"], "container does not exist");
    assert!(entry["time"].as_str().unwrap().ends_with('Z'));
    let line = lines.next().unwrap();
    assert!(line.contains(" level=error msg=\"container does not exist\""));
}

#[test]
fn lists_have_runcs_columns() {
    let Some(case) = case() else { return };
    fs::create_dir(case.root()).unwrap();
    assert_eq!(case.ok(&["list", "-q"]), "");
    assert_eq!(case.ok(&["list", "-f", "json"]), "null\n");
    let (a, b) = (&case.id("a"), &case.id("b"));
    case.ok(&["create", a]);
    case.ok(&["run", "--detach", b]);
    assert_eq!(case.ok(&["list", "-q"]), format!("{a}\n{b}\n"));
    let list: Value = serde_json::from_str(&case.ok(&["list", "--format", "json"])).unwrap();
    assert_eq!(list[0]["status"], "created");
    assert_eq!(list[1]["status"], "running");
    assert_eq!(list[1]["owner"], "root");
    let table = case.ok(&["list"]);
    let heading: Vec<&str> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(
        heading,
        ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]
    );
    case.ok(&["kill", "--regex", &format!("^{a}|{b}$"), "KILL"]);
    case.wait_for_status(b, "stopped");
    case.ok(&["delete", "--force", "--regex", &case.id("")]);
    for id in [a, b] {
        case.assert_gone(id);
    }
}

#[test]
fn spec_writes_a_configuration_that_runs() {
    let Some(mut case) = case() else { return };
    let dir = case.dir().join("new");
    fs::create_dir(&dir).unwrap();
    let dir = dir.to_str().unwrap();
    case.ok(&["spec", "--bundle", dir]);
    let path = format!("{dir}/config.json");
    let read = |path: &str| -> Value { serde_json::from_slice(&fs::read(path).unwrap()).unwrap() };
    assert_eq!(read(&path)["process"]["terminal"], true);
    assert_eq!(
        case.refused(&["spec", "--bundle", dir]),
        "File config.json exists. Remove it first"
    );
    case.config = read(&path);
    case.config["process"]["terminal"] = json!(false);
    case.runs("id -u; hostname");
    let output = case.oci(&["run", &case.id("a")]);
    assert_eq!(output.stdout, "0\nwharf\n", "{output:?}");
    fs::remove_file(&path).unwrap();
    case.ok(&["spec", "--rootless", "--bundle", dir]);
    assert!(read(&path)["linux"]["uidMappings"].is_array());
}

#[test]
fn a_console_socket_gets_the_terminal() {
    let Some(mut case) = case() else { return };
    let id = &case.id("a");
    case.config["process"]["terminal"] = json!(true);
    case.config["process"]["consoleSize"] = json!({ "height": 33, "width": 77 });
    case.runs("stty size; sleep 1000");
    assert!(
        case.refused(&["create", id])
            .starts_with("cannot allocate tty")
    );
    let path = case.dir().join("console");
    let listener = UnixListener::bind(&path).unwrap();
    let socket = path.to_str().unwrap();
    assert!(
        case.refused(&["run", "--console-socket", socket, id])
            .starts_with("cannot use console socket")
    );
    case.ok(&["create", "--console-socket", socket, id]);
    let (stream, _) = listener.accept().unwrap();
    let master = receive_fd(&stream);
    case.ok(&["start", id]);
    let mut text = String::new();
    let mut master = fs::File::from(master);
    let mut buffer = [0; 64];
    wait_until("the size", PATIENCE, || {
        let count = master.read(&mut buffer).unwrap();
        text.push_str(&String::from_utf8_lossy(&buffer[..count]));
        text.contains('\n')
    });
    assert_eq!(text, "33 77\r\n");
}

#[test]
fn a_pidfd_socket_gets_the_process() {
    let Some(case) = case() else { return };
    let id = &case.id("a");
    let path = case.dir().join("pidfd");
    let listener = UnixListener::bind(&path).unwrap();
    case.ok(&["create", "--pidfd-socket", path.to_str().unwrap(), id]);
    let (stream, _) = listener.accept().unwrap();
    let pidfd = receive_fd(&stream);
    let info = format!("/proc/self/fdinfo/{}", pidfd.as_fd().as_raw_fd());
    let info = fs::read_to_string(info).unwrap();
    assert!(
        info.contains(&format!("Pid:\t{}\n", case.pid(id))),
        "{info}"
    );
}

fn receive_fd(stream: &std::os::unix::net::UnixStream) -> std::os::fd::OwnedFd {
    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = [0; 64];
    let mut parts = [std::io::IoSliceMut::new(&mut bytes)];
    recvmsg(stream, &mut parts, &mut control, RecvFlags::empty()).unwrap();
    control
        .drain()
        .find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
            _ => None,
        })
        .unwrap()
}

#[test]
fn a_foreground_container_gets_the_signals() {
    let Some(mut case) = case() else { return };
    let id = &case.id("a");
    case.runs("trap 'exit 5' USR1; echo ready; while :; do sleep 0.01; done");
    let mut child = case
        .command(&["run", id])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = [0; 6];
    child
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut ready)
        .unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::USR1).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(5));
    case.assert_gone(id);
}

#[test]
fn descriptors_are_passed_on_only_if_asked_for() {
    let Some(mut case) = case() else { return };
    case.runs("ls /proc/self/fd; cat <&4");
    let text = case.dir().join("text");
    fs::write(&text, "four\n").unwrap();
    let run = |flags: &str| {
        let id = case.id("a");
        let ours = case.command(&[]);
        let script = format!(
            "exec {WHARF} oci --root {} run {flags} {id} 3</dev/null 4<{}",
            case.root().display(),
            text.display()
        );
        let mut command = Command::new("sh");
        command.arg("-c").arg(script).stdin(Stdio::null());
        command.current_dir(ours.get_current_dir().unwrap());
        collect(&mut command, &[])
    };
    let output = run("--preserve-fds 2");
    // The fifth is the directory that is read.
    assert_eq!(output.stdout, "0\n1\n2\n3\n4\n5\nfour\n", "{output:?}");
    let output = run("");
    assert!(!output.stdout.contains("four"), "{output:?}");
}

#[test]
fn a_container_outlives_a_reused_state() {
    let Some(case) = case() else { return };
    let id = &case.id("a");
    case.ok(&["run", "--detach", id]);
    let path = case.root().join(id).join("state.json");
    let mut record: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let pid = case.pid(id);
    // The same number, but started at another time: somebody else's process.
    let own = std::process::id();
    record["process"]["pid"] = json!(own);
    fs::write(&path, record.to_string()).unwrap();
    assert_eq!(case.status(id), "stopped");
    assert_eq!(case.refused(&["kill", id, "KILL"]), "container not running");
    case.ok(&["delete", id]);
    // Its processes were in its cgroup.
    wait_until("the end", PATIENCE, || {
        !std::path::Path::new(&format!("/proc/{pid}")).exists()
    });
}

#[test]
fn a_killed_create_leaves_no_process_and_can_be_deleted() {
    let Some(mut case) = case() else { return };
    let id = &case.id("a");
    let fifo = case.dir().join("fifo");
    let status = Command::new("mkfifo").arg(&fifo).status().unwrap();
    assert!(status.success());
    // A hook that does not come back until somebody writes.
    case.config["hooks"] = json!({ "createRuntime": [
        { "path": "/bin/sh", "args": ["sh", "-c", format!("read x < {}", fifo.display())] },
    ] });
    let mut child = case.command(&["create", id]).spawn().unwrap();
    let procs = || {
        let groups = groups_of(id).into_iter();
        let list = groups.filter_map(|group| fs::read_to_string(group.join("cgroup.procs")).ok());
        list.filter(|text| !text.is_empty()).count()
    };
    wait_until("the first process", PATIENCE, || procs() > 0);
    // The writer's end opens when the hook reads: the child waits for us.
    let hook = fs::OpenOptions::new().write(true).open(&fifo).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    drop(hook);
    wait_until("its end", PATIENCE, || procs() == 0);
    assert_eq!(case.status(id), "creating");
    case.ok(&["delete", id]);
    case.assert_gone(id);
}

#[test]
fn a_hundred_containers_side_by_side() {
    let Some(case) = case() else { return };
    fs::create_dir(case.root()).unwrap();
    // Writes the configuration.
    assert_eq!(case.ok(&["list", "-q"]), "");
    let ids: Vec<String> = (0..100).map(|n| case.id(&n.to_string())).collect();
    for verb in [
        &["create"][..],
        &["start"],
        &["kill"],
        &["delete", "--force"],
    ] {
        let mut children = Vec::new();
        for id in &ids {
            let mut words = verb.to_vec();
            words.push(id);
            if verb == ["kill"] {
                words.push("KILL");
            }
            let mut command = Command::new(WHARF);
            command
                .arg("oci")
                .arg("--root")
                .arg(case.root())
                .args(words);
            command
                .current_dir(case.bundle())
                .stdin(Stdio::null())
                .stdout(Stdio::null());
            children.push(command.spawn().unwrap());
        }
        for mut child in children {
            assert!(child.wait().unwrap().success(), "{verb:?}");
        }
    }
    for id in &ids {
        case.assert_gone(id);
    }
}

#[test]
fn a_service_manager_hears_that_the_program_is_ready() {
    let Some(mut case) = case() else { return };
    let path = case.dir().join("manager");
    let manager = UnixDatagram::bind(&path).unwrap();
    let name = path.to_str().unwrap();
    // busybox has no word for datagrams on unix sockets, so that we say it ourselves.
    case.runs("echo $NOTIFY_SOCKET; ls $(dirname $NOTIFY_SOCKET); sleep 1000");
    let id = &case.id("a");
    let create = case
        .command(&["create", id])
        .env("NOTIFY_SOCKET", name)
        .stdout(fs::File::create(case.dir().join("out")).unwrap())
        .status();
    assert!(create.unwrap().success());
    let mut start = case
        .command(&["start", id])
        .env("NOTIFY_SOCKET", name)
        .spawn()
        .unwrap();
    let inside = case.root().join(id).join("notify/notify");
    let program = UnixDatagram::unbound().unwrap();
    wait_until("the socket", PATIENCE, || {
        program.send_to(b"STATUS=x\nREADY=1", &inside).is_ok()
    });
    let mut buffer = [0; 64];
    let mut next = || {
        let count = manager.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..count]).into_owned()
    };
    assert_eq!(next(), "READY=1");
    assert_eq!(next(), format!("MAINPID={}", case.pid(id)));
    // Receiving it without its descriptor lifts the barrier.
    assert_eq!(next(), "BARRIER=1");
    assert!(start.wait().unwrap().success());
    wait_until("the output", PATIENCE, || {
        let out = fs::read_to_string(case.dir().join("out")).unwrap();
        out == format!("{name}/notify\nnotify\n")
    });
}

#[test]
fn a_kill_ends_processes_that_share_the_hosts_pids() {
    let Some(mut case) = case() else { return };
    let id = &case.id("a");
    let namespaces = case.config["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.retain(|namespace| namespace["type"] != "pid");
    case.runs("sleep 999 & sleep 999");
    case.ok(&["run", "--detach", id]);
    wait_until("both", PATIENCE, || {
        let pids: Value = serde_json::from_str(&case.ok(&["ps", "-f", "json", id])).unwrap();
        pids.as_array().unwrap().len() >= 2
    });
    case.ok(&["kill", id, "KILL"]);
    case.wait_for_status(id, "stopped");
    wait_until("their end", PATIENCE, || {
        case.ok(&["ps", "-f", "json", id]) == "[]\n"
    });
    case.ok(&["delete", id]);
    case.assert_gone(id);
}

#[test]
fn containers_without_cgroups_have_no_limits() {
    let Some(mut case) = case() else { return };
    let id = &case.id("a");
    let run = |case: &Case| {
        let words = ["--cgroup-manager", "disabled", "run", "--detach", id];
        case.leave(&words)
    };
    let output = run(&case);
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(groups_of(id), Vec::<std::path::PathBuf>::new());
    assert_eq!(case.ok(&["exec", id, "echo", "in"]), "in\n");
    let error = case.refused(&["pause", id]);
    assert!(error.contains("--cgroup-manager disabled"), "{error}");
    case.ok(&["delete", "--force", id]);
    case.config["linux"]["resources"] = json!({ "pids": { "limit": 10 } });
    let output = run(&case);
    assert_eq!(output.code, 1);
    assert!(
        output.stderr.contains("linux.resources.pids.limit: "),
        "{output:?}"
    );
    case.assert_gone(id);
    let words = ["--cgroup-manager", "nosuch", "list"];
    let error = case.refused(&words);
    assert_eq!(
        error,
        "--cgroup-manager: \"nosuch\" is not cgroupfs, systemd or disabled"
    );
}
