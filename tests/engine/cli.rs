//! Verbs end to end, as a script or a person uses them: output, exit codes, streams, signals, the terminal.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{BUSYBOX, Host, PATIENCE, collect, privileged, wait_for, wait_until};
use crate::terminal::Terminal;

fn host() -> Option<Host> {
    let host = privileged()?;
    host.busybox_image()?;
    Some(host)
}

/// `run --rm --network none FLAGS busybox COMMAND`.
fn run_args<'a>(flags: &[&'a str], command: &[&'a str]) -> Vec<&'a str> {
    let start = ["run", "--rm", "--network", "none"];
    [&start[..], flags, &[BUSYBOX], command].concat()
}

/// A container that runs until it is told to end, by name.
fn background(host: &Host, name: &str, command: &[&str]) {
    let start = ["run", "-d", "--network", "none", "--name", name, BUSYBOX];
    host.ok([&start[..], command].concat());
}

/// The first word of each line but the heading.
fn first_words(table: &str) -> Vec<&str> {
    table
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next())
        .collect()
}

#[test]
fn run_gives_output_streams_and_exit_code_of_the_command() {
    let Some(host) = host() else { return };
    let script = "echo out; echo err >&2; exit 7";
    let ran = host.wharf(run_args(&[], &["sh", "-c", script]));
    assert_eq!(
        (ran.code, ran.stdout.as_str(), ran.stderr.as_str()),
        (7, "out\n", "err\n")
    );
    let killed = host.wharf(run_args(&[], &["sh", "-c", "kill -KILL $$"]));
    // The first process of a pid namespace cannot be killed from inside (pid_namespaces(7)).
    assert_eq!(killed.code, 0, "{killed:?}");
    for (command, code) in [("nosuch", 127), ("/etc", 126)] {
        let ran = host.wharf(run_args(&[], &[command]));
        assert_eq!(ran.code, code, "{ran:?}");
        assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
        assert!(ran.stderr.contains(command), "{ran:?}");
    }
    assert_eq!(host.ok(["ps", "-aq"]), "");
}

#[test]
fn run_passes_bytes_through_unchanged_and_at_length() {
    let Some(host) = host() else { return };
    let input: Vec<u8> = (0..300_000_u32)
        .flat_map(|n| format!("{n}\n").into_bytes())
        .collect();
    let ran = host.wharf_with(run_args(&["-i"], &["cat"]), &input);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(ran.stdout.len(), input.len());
    assert!(ran.stdout.as_bytes() == input, "bytes were changed");
}

#[test]
fn flags_reach_the_process() {
    let Some(host) = host() else { return };
    let said = |flags: &[&str], script: &str| host.ok(run_args(flags, &["sh", "-c", script]));
    assert_eq!(said(&["-e", "A=1", "-eB=2"], "echo $A$B"), "12");
    assert_eq!(said(&["-w", "/tmp"], "pwd"), "/tmp");
    assert_eq!(said(&["-u", "7:8"], "id -u; id -g"), "7\n8");
    assert_eq!(said(&["-h", "box"], "hostname"), "box");
    assert_eq!(said(&["--entrypoint", "echo"], "x"), "sh -c x");
    assert_eq!(
        said(
            &["--tmpfs", "/t:size=1m,mode=700"],
            "stat -c %a /t; echo x >/t/f && cat /t/f"
        ),
        "700\nx"
    );
    assert_eq!(
        said(&["--read-only"], "touch /x 2>/dev/null || echo refused"),
        "refused"
    );
    let dir = host.dir().join("shared");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("f"), "from the host\n").unwrap();
    let bind = format!("{}:/b:ro", dir.display());
    assert_eq!(
        said(
            &["-v", &bind],
            "cat /b/f; touch /b/g 2>/dev/null || echo refused"
        ),
        "from the host\nrefused"
    );
    let env_file = host.dir().join("env");
    std::fs::write(&env_file, "# comment\nC=3\n").unwrap();
    let env_file = env_file.display().to_string();
    assert_eq!(said(&["--env-file", &env_file], "echo $C"), "3");
}

#[test]
fn a_container_id_file_is_written_once() {
    let Some(host) = host() else { return };
    let path = host.dir().join("id");
    let file = path.display().to_string();
    let id = host.ok([
        "create",
        "--network",
        "none",
        "--cidfile",
        &file,
        BUSYBOX,
        "true",
    ]);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), id);
    let again = host.wharf([
        "create",
        "--network",
        "none",
        "--cidfile",
        &file,
        BUSYBOX,
        "true",
    ]);
    assert_eq!(again.code, 125, "{again:?}");
    assert_eq!(host.ok(["ps", "-aq", "--no-trunc"]), id);
}

#[test]
fn several_operands_are_each_tried_and_one_failure_is_enough_for_1() {
    let Some(host) = host() else { return };
    background(&host, "one", &["sleep", "1000"]);
    background(&host, "two", &["sleep", "1000"]);
    let stopped = host.wharf(["stop", "-t", "0", "one", "nosuch", "two"]);
    assert_eq!(stopped.code, 1, "{stopped:?}");
    assert_eq!(stopped.stdout, "one\ntwo\n");
    assert_eq!(stopped.stderr, "wharf: No such container: nosuch\n");
    let inspected = host.wharf(["inspect", "-f", "{{.Name}}", "one", "nosuch"]);
    assert_eq!(
        (inspected.code, inspected.stdout.as_str()),
        (1, "/one\n"),
        "{inspected:?}"
    );
    let nothing = host.wharf(["inspect", "nosuch"]);
    assert_eq!(
        (nothing.code, nothing.stdout.as_str()),
        (1, "[]\n"),
        "{nothing:?}"
    );
    let removed = host.wharf(["rm", "-f", "one", "nosuch", "two"]);
    assert_eq!(
        (removed.code, removed.stdout.as_str()),
        (0, "one\ntwo\n"),
        "{removed:?}"
    );
}

#[test]
fn ps_lists_as_docker_does() {
    let Some(host) = host() else { return };
    background(&host, "runs", &["sleep", "1000"]);
    background(&host, "ended", &["sh", "-c", "exit 3"]);
    assert_eq!(host.ok(["wait", "ended"]), "3");
    let table = host.ok(["ps", "-a"]);
    assert_eq!(
        table
            .lines()
            .next()
            .unwrap()
            .split_whitespace()
            .collect::<Vec<_>>(),
        [
            "CONTAINER",
            "ID",
            "IMAGE",
            "COMMAND",
            "CREATED",
            "STATUS",
            "PORTS",
            "NAMES"
        ]
    );
    assert_eq!(first_words(&table).len(), 2, "{table}");
    assert!(table.contains("\"sleep 1000\""), "{table}");
    assert!(table.contains("Exited (3) "), "{table}");
    let names = |flags: &[&str]| host.ok([&["ps", "--format", "{{.Names}}"][..], flags].concat());
    assert_eq!(names(&[]), "runs");
    assert_eq!(names(&["-a"]), "ended\nruns");
    assert_eq!(names(&["-l"]), "ended");
    assert_eq!(names(&["-n", "1"]), "ended");
    assert_eq!(names(&["-f", "status=exited"]), "ended");
    assert_eq!(names(&["-f", "exited=3"]), "ended");
    assert_eq!(names(&["-a", "-f", "name=^runs$"]), "runs");
    assert_eq!(names(&["-f", "ancestor=busybox"]), "runs");
    let row: serde_json::Value =
        serde_json::from_str(&host.ok(["ps", "--format", "json"])).unwrap();
    assert_eq!(row["State"], "running");
}

#[test]
fn inspect_has_dockers_shape() {
    let Some(host) = host() else { return };
    let id = host.ok([
        "create",
        "--network",
        "none",
        "--name",
        "web",
        "-m",
        "64m",
        "--cpus",
        "1.5",
        "-l",
        "a=b",
        "--restart",
        "on-failure:3",
        BUSYBOX,
        "sleep",
        "1000",
    ]);
    let list: serde_json::Value = serde_json::from_str(&host.ok(["inspect", "web"])).unwrap();
    let web = &list[0];
    assert_eq!(web["Id"], id.as_str());
    assert_eq!(web["Name"], "/web");
    assert_eq!(web["Path"], "sleep");
    assert_eq!(web["Args"][0], "1000");
    assert_eq!(web["State"]["Status"], "created");
    assert_eq!(web["State"]["StartedAt"], "0001-01-01T00:00:00Z");
    assert_eq!(web["HostConfig"]["Memory"], 64 << 20);
    assert_eq!(web["HostConfig"]["NanoCpus"], 1_500_000_000);
    assert_eq!(web["HostConfig"]["RestartPolicy"]["Name"], "on-failure");
    assert_eq!(web["HostConfig"]["RestartPolicy"]["MaximumRetryCount"], 3);
    assert_eq!(web["Config"]["Labels"]["a"], "b");
    assert_eq!(web["NetworkSettings"]["Networks"]["none"]["IPAddress"], "");
    let template =
        "{{index .Config.Labels \"a\"}} {{json .Config.Cmd}} {{range .Mounts}}{{.Source}}{{end}}";
    assert_eq!(
        host.ok(["inspect", "-f", template, "web"]),
        "b [\"sleep\",\"1000\"] "
    );
    let image: serde_json::Value =
        serde_json::from_str(&host.ok(["image", "inspect", BUSYBOX])).unwrap();
    assert_eq!(image[0]["Id"], web["Image"]);
    assert_eq!(image[0]["RepoTags"][0], BUSYBOX);
    let wrong = host.wharf(["inspect", "-f", "{{.Nosuch}}", "web"]);
    assert_eq!(wrong.code, 1);
    assert!(wrong.stderr.contains("Nosuch"), "{wrong:?}");
}

#[test]
fn logs_keep_the_two_streams_apart() {
    let Some(host) = host() else { return };
    background(
        &host,
        "talks",
        &["sh", "-c", "echo one; echo two >&2; echo three"],
    );
    host.ok(["wait", "talks"]);
    let all = host.wharf(["logs", "talks"]);
    assert_eq!(
        (all.stdout.as_str(), all.stderr.as_str()),
        ("one\nthree\n", "two\n")
    );
    // Following ends with the container, which has ended.
    assert_eq!(host.wharf(["logs", "-f", "talks"]).stdout, "one\nthree\n");
}

#[test]
fn logs_show_a_part_of_what_was_said() {
    let Some(host) = host() else { return };
    background(&host, "talks", &["sh", "-c", "echo one; echo three"]);
    host.ok(["wait", "talks"]);
    assert_eq!(host.ok(["logs", "-n", "1", "talks"]), "three");
    let stamped = host.ok(["logs", "-t", "-n", "1", "talks"]);
    let (time, text) = stamped.split_once(' ').unwrap();
    assert_eq!(
        (time.len(), text),
        ("2025-01-01T00:00:00.000000000Z".len(), "three")
    );
    assert_eq!(
        host.ok(["logs", "--since", "1h", "-n", "1", "talks"]),
        "three"
    );
    assert_eq!(host.ok(["logs", "--until", "1h", "talks"]), "");
}

#[test]
fn exec_has_its_own_streams_environment_and_exit_code() {
    let Some(host) = host() else { return };
    background(&host, "web", &["sleep", "1000"]);
    let ran = host.wharf([
        "exec",
        "-e",
        "A=1",
        "-w",
        "/tmp",
        "web",
        "sh",
        "-c",
        "echo $A; pwd; exit 4",
    ]);
    assert_eq!((ran.code, ran.stdout.as_str()), (4, "1\n/tmp\n"), "{ran:?}");
    assert_eq!(
        host.wharf_with(["exec", "-i", "web", "cat"], b"typed")
            .stdout,
        "typed"
    );
    for (command, code) in [("nosuch", 127), ("/etc", 126)] {
        assert_eq!(host.wharf(["exec", "web", command]).code, code, "{command}");
    }
    host.ok(["exec", "-d", "web", "sh", "-c", "echo done >/tmp/f"]);
    wait_until("the detached command is done", PATIENCE, || {
        host.wharf(["exec", "web", "cat", "/tmp/f"]).stdout == "done\n"
    });
    host.ok(["stop", "-t", "0", "web"]);
    let stopped = host.wharf(["exec", "web", "true"]);
    assert_eq!(stopped.code, 1, "{stopped:?}");
}

#[test]
fn stats_show_running_containers_once() {
    let Some(host) = host() else { return };
    background(&host, "web", &["sleep", "1000"]);
    let table = host.ok(["stats", "--no-stream"]);
    assert_eq!(first_words(&table).len(), 1, "{table}");
    let row = host.ok([
        "stats",
        "--no-stream",
        "--format",
        "{{.Name}} {{.CPUPerc}} {{.PIDs}}",
        "web",
    ]);
    assert!(
        row.starts_with("web ") && row.ends_with(" 1") && row.contains('%'),
        "{row}"
    );
}

#[test]
fn events_tell_the_life_of_a_container() {
    let Some(host) = host() else { return };
    host.ok(run_args(&["--name", "web"], &["true"]));
    // Removal is the monitor's last act.
    let actions = wait_for("destroy", || {
        let all = host.ok([
            "events",
            "--since",
            "1h",
            "--until",
            "0s",
            "-f",
            "container=web",
            "--format",
            "{{.Action}}",
        ]);
        all.contains("destroy").then_some(all)
    });
    let actions: Vec<&str> = actions.lines().collect();
    for action in ["create", "start", "die", "destroy"] {
        assert!(actions.contains(&action), "{actions:?}");
    }
}

#[test]
fn the_clients_config_has_formats_proxies_and_what_a_prune_spares() {
    let Some(host) = host() else { return };
    let dir = host.dir().join("docker");
    std::fs::create_dir(&dir).unwrap();
    let config = |text: &str| std::fs::write(dir.join("config.json"), text).unwrap();
    config(
        r#"{
            "psFormat": "{{.Names}} as said",
            "volumesFormat": "<{{.Name}}>",
            "pruneFilters": ["label!=keep"],
            "detachKeys": "ctrl-a,a",
            "proxies": {"default": {"httpProxy": "http://proxy.example:3128"}}
        }"#,
    );
    let at = dir.to_str().unwrap();
    let with = |args: &[&str]| {
        let mut all = vec!["--config", at];
        all.extend(args);
        host.ok(all)
    };
    with(&[
        "create",
        "--network",
        "none",
        "--name",
        "kept",
        "--label",
        "keep",
        BUSYBOX,
    ]);
    with(&["create", "--network", "none", "--name", "gone", BUSYBOX]);
    with(&["volume", "create", "data"]);
    assert_eq!(with(&["ps", "-a"]), "gone as said\nkept as said");
    assert_eq!(with(&["ps", "-a", "--format", "{{.Names}}"]), "gone\nkept");
    assert!(!with(&["ps", "-aq"]).contains("said"));
    assert_eq!(with(&["volume", "ls"]), "<data>");
    let proxy = with(&[
        "run",
        "--rm",
        "--network",
        "none",
        BUSYBOX,
        "sh",
        "-c",
        "echo $http_proxy",
    ]);
    assert_eq!(proxy, "http://proxy.example:3128");
    with(&["container", "prune", "-f"]);
    assert_eq!(with(&["ps", "-a"]), "kept as said");
    // What cannot be read may spare something: nothing is removed.
    config("{");
    let refused = host.wharf(["--config", at, "container", "prune", "-f"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("config.json"), "{refused:?}");
    let warned = host.wharf(["--config", at, "ps", "-aq"]);
    assert!(warned.stderr.starts_with("WARNING: "), "{warned:?}");
    assert_eq!(warned.stdout.lines().count(), 1);
}

/// An end alone means what there was until then; names and ids may be begun; a template is tried before anything comes.
#[test]
fn events_are_chosen_as_docker_chooses_them() {
    let Some(host) = host() else { return };
    host.ok(["volume", "create", "data-1"]);
    host.ok(["volume", "create", "other"]);
    host.ok(["tag", BUSYBOX, "box:2"]);
    let of = |filters: &[&str]| {
        let mut args = vec![
            "events",
            "--until",
            "0s",
            "--format",
            "{{.Type}} {{.Action}}",
        ];
        for filter in filters {
            args.extend(["-f", filter]);
        }
        host.ok(args)
    };
    assert_eq!(of(&["volume=data"]), "volume create");
    host.ok(run_args(&["-v", "data-1:/d"], &["true"]));
    wait_until("the volume's whole story", PATIENCE, || {
        of(&["volume=data"]) == "volume create\nvolume mount\nvolume unmount"
    });
    assert_eq!(
        of(&["type=volume", "event=create"]),
        "volume create\nvolume create"
    );
    assert_eq!(
        of(&["type=volume", "scope=local", "volume=other"]),
        "volume create"
    );
    assert_eq!(of(&["type=volume", "scope=swarm"]), "");
    assert_eq!(of(&["daemon=any"]), "");
    assert_eq!(of(&["image=box", "event=tag"]), "image tag");
    let id = host.ok(["image", "inspect", "-f", "{{.Id}}", "box:2"]);
    host.ok(["rmi", "box:2"]);
    let told = host.ok([
        "events",
        "--until",
        "0s",
        "-f",
        "type=image",
        "-f",
        "event=tag",
        "-f",
        "event=untag",
        "--format",
        "{{.Action}} {{.Actor.ID}} {{.Actor.Attributes.name}}",
    ]);
    assert_eq!(told, format!("tag {id} box:2\nuntag {id} box:2"));
    for (filter, says) in [
        ("service=x", "is for a swarm"),
        ("nosuch=x", "invalid filter 'nosuch'"),
    ] {
        let output = host.wharf(["events", "--until", "0s", "-f", filter]);
        assert_eq!(output.code, 1);
        assert!(output.stderr.contains(says), "{}", output.stderr);
    }
    let output = host.wharf(["events", "--since", "5s", "--until", "1h"]);
    assert_eq!(output.code, 1);
    assert!(
        output.stderr.contains("cannot be after"),
        "{}",
        output.stderr
    );
    let all = host.ok([
        "events",
        "--since",
        "0",
        "--until",
        "0s",
        "-f",
        "type=volume",
    ]);
    assert_eq!(all.lines().count(), 4, "{all}");
    for template in ["{{.badFieldString}}", "{{badFuncString .}}"] {
        let output = host.wharf(["events", "--format", template]);
        assert_eq!(output.code, 64, "{}", output.stderr);
    }
}

/// Starts `wharf` with a pipe for its output and waits for the line `ready`.
fn ready(host: &Host, args: Vec<&str>) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut child = host
        .command(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    (child, output)
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

#[test]
fn signals_are_forwarded_to_a_process_without_a_terminal() {
    let Some(host) = host() else { return };
    for (number, name) in [
        (Signal::INT, "INT"),
        (Signal::TERM, "TERM"),
        (Signal::HUP, "HUP"),
        (Signal::USR1, "USR1"),
    ] {
        let script =
            format!("trap 'echo got; exit 42' {name}; echo ready; while :; do sleep 0.02; done");
        let (mut child, mut output) = ready(&host, run_args(&[], &["sh", "-c", &script]));
        signal(&child, number);
        let mut rest = String::new();
        output.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "got\n", "{name}");
        assert_eq!(child.wait().unwrap().code(), Some(42), "{name}");
    }
}

#[test]
fn a_process_begins_with_no_signal_ignored_whatever_its_caller_ignores() {
    let Some(host) = host() else { return };
    let ignored = "grep SigIgn /proc/self/status";
    let script = format!(
        "trap '' HUP USR1 XFSZ PIPE; exec {} run --rm --network none {BUSYBOX} {ignored}",
        env!("CARGO_BIN_EXE_wharf")
    );
    let mut shell = std::process::Command::new("sh");
    host.dress(&mut shell);
    shell.args(["-c", &script]);
    let said = collect(&mut shell, &[]);
    assert_eq!(said.stdout, "SigIgn:\t0000000000000000\n", "{said:?}");
}

#[test]
fn a_process_that_ignores_signals_does_not_hold_its_user() {
    let Some(host) = host() else { return };
    let script = "trap 'echo ready' INT; echo ready; while :; do sleep 0.02; done";
    let (mut child, mut output) =
        ready(&host, run_args(&["--name", "deaf"], &["sh", "-c", script]));
    for _ in 0..2 {
        signal(&child, Signal::INT);
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
    }
    signal(&child, Signal::INT);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(host.ok(["ps", "--format", "{{.Names}}"]), "deaf");
}

#[test]
fn a_reader_that_goes_ends_run_quietly() {
    let Some(host) = host() else { return };
    let script = "echo ready; yes";
    let (mut child, output) = ready(&host, run_args(&["--name", "talks"], &["sh", "-c", script]));
    drop(output);
    assert_eq!(child.wait().unwrap().code(), Some(141));
    let mut stderr = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut stderr)
        .unwrap();
    assert_eq!(stderr, "");
}

const SCREEN: (u16, u16) = (30, 100);

#[test]
fn a_terminal_has_size_resizes_and_is_given_back() {
    let Some(host) = host() else { return };
    let mut terminal = Terminal::open(&host, &run_args(&["-it"], &["sh"]), SCREEN, []);
    terminal.wait_text("#");
    terminal.send("stty size\r");
    terminal.wait_text("30 100");
    terminal.resize(24, 81);
    // The process may be told a moment later.
    wait_until("the new size arrives", PATIENCE, || {
        terminal.send("stty size\r");
        terminal.text().contains("24 81")
    });
    terminal.send("exit 5\r");
    assert_eq!(terminal.wait_exit(), 5);
    terminal.assert_restored();
}

#[test]
fn the_detach_keys_leave_and_attach_comes_back() {
    let Some(host) = host() else { return };
    let args = [
        "run",
        "-it",
        "--network",
        "none",
        "--name",
        "sh",
        BUSYBOX,
        "sh",
    ];
    let mut terminal = Terminal::open(&host, &args, SCREEN, []);
    terminal.wait_text("#");
    terminal.send("\x10\x11");
    assert_eq!(terminal.wait_exit(), 0);
    terminal.assert_restored();
    assert_eq!(host.ok(["ps", "--format", "{{.State}}"]), "running");

    let mut terminal = Terminal::open(
        &host,
        &["attach", "--detach-keys", "ctrl-a,d", "sh"],
        SCREEN,
        [],
    );
    terminal.send("echo a$((40+2))b\r");
    terminal.wait_text("a42b");
    terminal.send("\x01d");
    assert_eq!(terminal.wait_exit(), 1);
    terminal.wait_text("read escape sequence");
    terminal.assert_restored();

    let mut terminal = Terminal::open(&host, &["exec", "-it", "sh", "sh"], SCREEN, []);
    terminal.wait_text("#");
    terminal.send("tty && exit 4\r");
    assert_eq!(terminal.wait_exit(), 4);
    terminal.wait_text("/dev/pts/");
    terminal.assert_restored();

    host.ok(["stop", "-t", "0", "sh"]);
    let mut terminal = Terminal::open(&host, &["start", "-ai", "sh"], SCREEN, []);
    terminal.wait_text("#");
    terminal.send("exit 6\r");
    assert_eq!(terminal.wait_exit(), 6);
    terminal.assert_restored();
}

#[test]
fn a_terminal_is_given_back_when_the_front_is_told_to_end() {
    let Some(host) = host() else { return };
    for (number, code) in [(Signal::TERM, 143), (Signal::HUP, 129)] {
        let args = run_args(&["-it", "--sig-proxy=false"], &["sh"]);
        let mut terminal = Terminal::open(&host, &args, SCREEN, []);
        terminal.wait_text("#");
        terminal.signal(number);
        assert_eq!(terminal.wait_exit(), code);
        terminal.assert_restored();
    }
}

#[test]
fn signals_are_forwarded_to_a_process_with_a_terminal_and_a_hang_up_leaves_it() {
    let Some(host) = host() else { return };
    let script = |name| {
        format!("trap 'echo told; exit 42' {name}; echo ready; while :; do sleep 0.02; done")
    };
    let term = script("TERM");
    let args = run_args(&["-it", "--name", "term"], &["sh", "-c", &term]);
    let mut terminal = Terminal::open(&host, &args, SCREEN, []);
    terminal.wait_text("ready");
    terminal.signal(Signal::TERM);
    assert_eq!(terminal.wait_exit(), 42);
    terminal.assert_restored();

    let hup = script("HUP");
    let start = ["run", "-it", "--network", "none", "--name", "hup"];
    let args = [&start[..], &[BUSYBOX, "sh", "-c", &hup]].concat();
    let mut terminal = Terminal::open(&host, &args, SCREEN, []);
    terminal.wait_text("ready");
    terminal.signal(Signal::HUP);
    assert_eq!(terminal.wait_exit(), 129);
    terminal.assert_restored();
    assert_eq!(host.ok(["wait", "hup"]), "42");

    // Whoever attaches later leaves alone what runs.
    let ticking = "while :; do echo tick; sleep 0.02; done";
    host.ok(run_args(
        &["-dt", "--name", "later"],
        &["sh", "-c", ticking],
    ));
    let mut terminal = Terminal::open(&host, &["attach", "later"], SCREEN, []);
    terminal.wait_text("tick");
    terminal.signal(Signal::TERM);
    assert_eq!(terminal.wait_exit(), 143);
    let running = host.ok(["inspect", "-f", "{{.State.Running}}", "later"]);
    assert_eq!(running, "true");
}

#[test]
fn a_terminal_without_a_terminal_is_refused_before_anything_is_made() {
    let Some(host) = host() else { return };
    let ran = host.wharf(run_args(&["-it"], &["sh"]));
    assert_eq!(
        (ran.code, ran.stderr.as_str()),
        (1, "the input device is not a TTY\n")
    );
    assert_eq!(host.ok(["ps", "-aq"]), "");
}
