//! Log drivers beside json-file, with the tests' own sockets in place of the host's journal and syslog server. A real
//! journal is in `scripts/vm-test-systemd`.

use std::collections::BTreeMap;
use std::io::Read;
use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::registry::certificates::Certificates;
use crate::support::{
    BUSYBOX, Host, Output, PATIENCE, WHARF, collect, has_peer, privileged, wait_until,
};

/// A host with the image, on which a journal seems to listen.
struct Journal {
    host: Host,
    socket: UnixDatagram,
}

fn host() -> Option<Host> {
    let host = privileged()?;
    host.busybox_image()?;
    has_peer("unshare").then_some(host)
}

/// Where the socket is that `/run/systemd/journal` leads to.
fn directory(host: &Host) -> PathBuf {
    host.dir().join("j")
}

impl Journal {
    fn new() -> Option<Self> {
        let host = host()?;
        std::fs::create_dir(directory(&host)).unwrap();
        let socket = UnixDatagram::bind(directory(&host).join("socket")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Some(Self { host, socket })
    }

    fn run(&self, args: &[&str]) -> Output {
        collect(&mut apart(&self.host, args), &[])
    }

    fn next(&self) -> BTreeMap<String, Vec<u8>> {
        let mut buffer = vec![0; 1 << 18];
        let length = self.socket.recv(&mut buffer).unwrap();
        fields(&buffer[..length])
    }
}

/// The program with a `/run` of its own, in which nothing is but the test's journal.
fn apart(host: &Host, args: &[&str]) -> Command {
    let script = format!(
        "mount -t tmpfs tmpfs /run && mkdir /run/systemd && ln -s {} /run/systemd/journal && exec \"$@\"",
        directory(host).display()
    );
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", &script, "sh", WHARF]);
    command.args(args);
    host.dress(&mut command);
    command
}

/// The fields of an entry (systemd, "Native Journal Protocol").
fn fields(message: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut fields = BTreeMap::new();
    let mut rest = message;
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'=' | b'\n')) {
        let name = String::from_utf8(rest[..at].to_vec()).unwrap();
        let (value, next) = if rest[at] == b'=' {
            let end = at + rest[at..].iter().position(|byte| *byte == b'\n').unwrap();
            (&rest[at + 1..end], end + 1)
        } else {
            let length = u64::from_le_bytes(rest[at + 1..at + 9].try_into().unwrap());
            let end = at + 9 + usize::try_from(length).unwrap();
            (&rest[at + 9..end], end + 1)
        };
        fields.insert(name, value.to_vec());
        rest = &rest[next..];
    }
    fields
}

fn text(fields: &BTreeMap<String, Vec<u8>>, name: &str) -> String {
    let value = fields.get(name).cloned().unwrap_or_default();
    String::from_utf8(value).unwrap()
}

const QUIET: [&str; 4] = ["run", "--rm", "--network", "none"];

fn with<'a>(options: &[&'a str], script: &'a str) -> Vec<&'a str> {
    let command = [BUSYBOX, "sh", "-c", script];
    QUIET
        .iter()
        .chain(options)
        .chain(&command)
        .copied()
        .collect()
}

#[test]
fn the_journal_gets_dockers_fields() {
    let Some(journal) = Journal::new() else {
        return;
    };
    let options = [
        "--name",
        "web",
        "--log-driver",
        "journald",
        "--log-opt",
        "tag=t/{{.Name}}",
        "--log-opt",
        "labels=com.example.role,none",
        "--log-opt",
        "env=ZONE",
        "--label",
        "com.example.role=front",
        "-e",
        "ZONE=eu=1",
    ];
    // The journal's entries come in the order of one stream; of two it depends on who is read first.
    let script = "echo one; head -c 20000 /dev/zero | tr '\\0' y; echo; sleep 0.2; echo bad >&2";
    let output = journal.run(&with(&options, script));
    assert_eq!(output.code, 0, "{output:#?}");
    let one = journal.next();
    for (name, expect) in [
        ("MESSAGE", "one"),
        ("PRIORITY", "6"),
        ("CONTAINER_NAME", "web"),
        ("CONTAINER_TAG", "t/web"),
        ("SYSLOG_IDENTIFIER", "t/web"),
        ("IMAGE_NAME", BUSYBOX),
        ("COM_EXAMPLE_ROLE", "front"),
        ("ZONE", "eu=1"),
    ] {
        assert_eq!(text(&one, name), expect, "{name}");
    }
    let id = text(&one, "CONTAINER_ID_FULL");
    assert_eq!(id.len(), 64);
    assert_eq!(text(&one, "CONTAINER_ID"), id.get(..12).unwrap());
    assert!(!one.contains_key("NONE") && !one.contains_key("CONTAINER_PARTIAL_MESSAGE"));
    let (part, rest) = (journal.next(), journal.next());
    assert_eq!(part["MESSAGE"].len(), 16 * 1024);
    assert_eq!(text(&part, "CONTAINER_PARTIAL_MESSAGE"), "true");
    assert_eq!(rest["MESSAGE"].len(), 20_000 - 16 * 1024);
    assert_eq!(text(&rest, "CONTAINER_PARTIAL_LAST"), "true");
    let bad = journal.next();
    assert_eq!(
        (text(&bad, "MESSAGE"), text(&bad, "PRIORITY")),
        ("bad".to_owned(), "3".to_owned())
    );
}

/// A process that writes lines, and a file when all are written.
fn chatty(journal: &Journal, more: &[&str]) -> PathBuf {
    let told = journal.host.dir().join("told");
    std::fs::create_dir(&told).unwrap();
    let mount = format!("{}:/told", told.display());
    let mut options = vec![
        "-d",
        "--name",
        "chatty",
        "-v",
        &mount,
        "--log-driver",
        "journald",
    ];
    options.extend(more);
    // More than the pipe and the monitor hold, 64 KiB each.
    let script = "seq 60000; echo >/told/written; sleep 100000";
    let args: Vec<&str> = with(&options, script);
    // Detached, it outlives the command: the container stays.
    let args: Vec<&str> = args.into_iter().filter(|word| *word != "--rm").collect();
    let output = journal.run(&args);
    assert_eq!(output.code, 0, "{output:#?}");
    told.join("written")
}

/// Whether a child of this process is kept from writing by a full pipe (proc_pid_wchan(5)).
fn waits_for_a_pipe(pid: &str) -> bool {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let children = children.unwrap_or_default();
    children.split_whitespace().any(|child| {
        let place = std::fs::read_to_string(format!("/proc/{child}/wchan"));
        place.is_ok_and(|place| place.contains("pipe_write"))
    })
}

#[test]
fn a_journal_that_does_not_read_holds_the_process_up_and_loses_nothing() {
    let Some(journal) = Journal::new() else {
        return;
    };
    let written = chatty(&journal, &[]);
    let first = journal
        .host
        .ok(["inspect", "--format", "{{.State.Pid}}", "chatty"]);
    // One look may find it waiting for a moment, until the monitor reads.
    let mut looks = 0;
    wait_until("the process waits, or has written all", PATIENCE, || {
        looks = if waits_for_a_pipe(&first) {
            looks + 1
        } else {
            0
        };
        looks == 50 || written.exists()
    });
    assert!(!written.exists(), "nobody has read");
    // Held up is the output alone.
    journal.host.ok(["pause", "chatty"]);
    journal.host.ok(["unpause", "chatty"]);
    for number in 1..=60_000 {
        assert_eq!(text(&journal.next(), "MESSAGE"), number.to_string());
    }
    wait_until("the last line", PATIENCE, || written.exists());
    journal.host.ok(["rm", "-f", "chatty"]);
}

#[test]
fn in_non_blocking_mode_the_process_goes_on_and_the_loss_is_told() {
    let Some(journal) = Journal::new() else {
        return;
    };
    let mode = [
        "--log-opt",
        "mode=non-blocking",
        "--log-opt",
        "max-buffer-size=4k",
    ];
    let written = chatty(&journal, &mode);
    wait_until("all is written, and nobody has read", PATIENCE, || {
        written.exists()
    });
    let last = std::iter::repeat_with(|| text(&journal.next(), "MESSAGE"));
    let told = last
        .take(20_000)
        .find(|message| message.starts_with("wharf: "));
    let told = told.expect("it says how many are missing");
    assert!(told.ends_with(" log entries were lost: no room"), "{told}");
    journal.host.ok(["rm", "-f", "chatty"]);
}

#[test]
fn without_a_journal_a_container_is_not_started() {
    let Some(host) = host() else { return };
    std::fs::create_dir(directory(&host)).unwrap();
    let args = with(&["--log-driver", "journald"], "true");
    let output = collect(&mut apart(&host, &args), &[]);
    assert_eq!(output.code, 125, "{output:#?}");
    assert!(
        output
            .stderr
            .contains("journald is not enabled on this host"),
        "{output:#?}"
    );
    assert_eq!(host.ok(["ps", "-aq"]), "");
}

#[test]
fn a_journal_that_goes_away_ends_no_container() {
    let Some(journal) = Journal::new() else {
        return;
    };
    let told = journal.host.dir().join("told");
    std::fs::create_dir(&told).unwrap();
    let mount = format!("{}:/told", told.display());
    let script = "echo one; until test -e /told/gone; do sleep 0.05; done; echo two; exit 7";
    let options = ["-v", &mount, "--log-driver", "journald"];
    let Journal { host, socket } = journal;
    let child = std::thread::scope(|scope| {
        let run = scope.spawn(|| collect(&mut apart(&host, &with(&options, script)), &[]));
        let mut buffer = [0; 4096];
        socket.recv(&mut buffer).unwrap();
        drop(socket);
        std::fs::remove_file(directory(&host).join("socket")).unwrap();
        std::fs::write(told.join("gone"), "").unwrap();
        run.join().unwrap()
    });
    assert_eq!(
        (child.code, child.stdout.as_str()),
        (7, "one\ntwo\n"),
        "{child:#?}"
    );
}

#[test]
fn syslog_servers_get_dockers_messages() {
    let Some(host) = host() else { return };
    let path = host.dir().join("log");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let address = format!("syslog-address=unixgram://{}", path.display());
    let options = [
        "--log-driver",
        "syslog",
        "--log-opt",
        &address,
        "--log-opt",
        "tag=it",
        "--log-opt",
        "syslog-facility=local0",
        "--log-opt",
        "syslog-format=rfc5424",
    ];
    host.ok(with(&options, "echo one; echo; sleep 0.2; echo two >&2"));
    let mut buffer = [0; 4096];
    let mut next = || {
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    let (one, two) = (next(), next());
    assert!(
        one.starts_with("<134>1 ") && one.ends_with(" it - one\n"),
        "{one:?}"
    );
    assert!(
        two.starts_with("<131>1 ") && two.ends_with(" it - two\n"),
        "{two:?}"
    );

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("syslog-address=tcp://{}", listener.local_addr().unwrap());
    let options = ["--log-driver", "syslog", "--log-opt", &address];
    let received = std::thread::scope(|scope| {
        let run = scope.spawn(|| host.ok(with(&options, "seq 20000")));
        let (mut stream, _) = listener.accept().unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        let mut received = String::new();
        stream.read_to_string(&mut received).unwrap();
        run.join().unwrap();
        received
    });
    let lines: Vec<&str> = received.lines().collect();
    assert_eq!(lines.len(), 20_000);
    for (number, line) in (1..).zip(lines) {
        assert!(line.starts_with("<30>"), "{line}");
        assert!(line.ends_with(&format!("]: {number}")), "{line}");
    }
}

/// Free a moment ago, and nobody else on this host asks for it by number.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// A syslog server that speaks TLS: openssl's own, with what it hears on its standard output.
fn secure_server(made: &Certificates, port: u16) -> Child {
    let mut command = Command::new("openssl");
    command.args(["s_server", "-quiet", "-naccept", "1", "-Verify", "1"]);
    command.args([
        "-verify_return_error",
        "-accept",
        &format!("127.0.0.1:{port}"),
    ]);
    for (flag, file) in [
        ("-cert", "server.pem"),
        ("-key", "server.key"),
        ("-CAfile", "ca.pem"),
    ] {
        command.arg(flag).arg(made.file(file));
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command.stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn a_syslog_server_that_speaks_tls_gets_everything_from_whom_it_trusts() {
    let Some(host) = host() else { return };
    if !has_peer("openssl") {
        return;
    }
    let made = Certificates::make(&host.dir().join("certificates"));
    let port = free_port();
    let mut server = secure_server(&made, port);
    wait_until("the server", PATIENCE, || listens(port));
    let address = format!("syslog-address=tcp+tls://127.0.0.1:{port}");
    let file = |option: &str, name: &str| format!("{option}={}", made.file(name).display());
    let [ca, certificate, key] = [
        file("syslog-tls-ca-cert", "ca.pem"),
        file("syslog-tls-cert", "client.pem"),
        file("syslog-tls-key", "client.key"),
    ];
    let all = [&address, &ca, &certificate, &key];
    let mut options = vec!["--log-driver", "syslog"];
    options.extend(all.iter().flat_map(|option| ["--log-opt", option.as_str()]));
    let heard = std::thread::scope(|scope| {
        let run = scope.spawn(|| host.ok(with(&options, "seq 20000")));
        let mut heard = String::new();
        let mut said = server.stdout.take().unwrap();
        said.read_to_string(&mut heard).unwrap();
        run.join().unwrap();
        heard
    });
    server.kill().unwrap();
    server.wait().unwrap();
    let lines: Vec<&str> = heard.lines().collect();
    assert_eq!(lines.len(), 20_000);
    for (number, line) in (1..).zip(lines) {
        assert!(line.ends_with(&format!("]: {number}")), "{line}");
    }
}

#[test]
fn a_syslog_server_that_nobody_vouches_for_gets_nothing() {
    let Some(host) = host() else { return };
    if !has_peer("openssl") {
        return;
    }
    let made = Certificates::make(&host.dir().join("certificates"));
    let port = free_port();
    let mut server = secure_server(&made, port);
    wait_until("the server", PATIENCE, || listens(port));
    let address = format!("syslog-address=tcp+tls://127.0.0.1:{port}");
    let ran = host.wharf(with(
        &["--log-driver", "syslog", "--log-opt", &address],
        "echo secret",
    ));
    server.kill().unwrap();
    let heard = server.wait_with_output().unwrap();
    assert_eq!(ran.code, 125, "{ran:#?}");
    assert!(ran.stderr.contains("certificate"), "{ran:#?}");
    assert_eq!(String::from_utf8_lossy(&heard.stdout), "");
}

/// Whether somebody listens there, without a connection that would count (proc_net_tcp(5)).
fn listens(port: u16) -> bool {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let own = format!("0100007F:{port:04X} 00000000:0000 0A");
    table.lines().any(|line| line.contains(&own))
}

#[test]
fn a_log_that_nobody_keeps_cannot_be_read() {
    let Some(host) = host() else { return };
    let path = host.dir().join("log");
    let _socket = UnixDatagram::bind(&path).unwrap();
    let address = format!("syslog-address=unixgram://{}", path.display());
    for (driver, option) in [("none", None), ("syslog", Some(address.as_str()))] {
        let mut args = vec![
            "run",
            "--name",
            driver,
            "--network",
            "none",
            "--log-driver",
            driver,
        ];
        args.extend(option.iter().flat_map(|option| ["--log-opt", option]));
        args.extend([BUSYBOX, "echo", "hi"]);
        assert_eq!(host.ok(&args), "hi");
        let output = host.wharf(["logs", driver]);
        assert_eq!(output.code, 1, "{output:#?}");
        let why = format!("configured logging driver {driver} does not support reading");
        assert!(output.stderr.contains(&why), "{output:#?}");
    }
    let shown = "{{.HostConfig.LogConfig.Type}} {{json .HostConfig.LogConfig.Config}}";
    let config = host.ok(["inspect", "--format", shown, "syslog"]);
    let expect = format!(
        "syslog {{\"syslog-address\":\"unixgram://{}\"}}",
        path.display()
    );
    assert_eq!(config, expect);
}

#[test]
fn entries_of_a_file_carry_what_was_chosen() {
    let Some(host) = host() else { return };
    let id = host.ok([
        "create",
        "--name",
        "it",
        "--network",
        "none",
        "--log-opt",
        "labels=role",
        "--log-opt",
        "env=ZONE",
        "--log-opt",
        "tag={{.ID}}",
        "--log-opt",
        "labels-regex=^com[.]example",
        "--log-opt",
        "env-regex=_ZONES?$",
        "-l",
        "role=a\"b",
        "-l",
        "com.example.x=y",
        "-l",
        "org.com.example=no",
        "-e",
        "MY_ZONE=us",
        "-e",
        "ZONE=eu",
        BUSYBOX,
        "echo",
        "hi",
    ]);
    host.ok(["start", "-a", "it"]);
    let path = host
        .data()
        .join("containers")
        .join(&id)
        .join("log/container.log");
    let line = std::fs::read_to_string(path).unwrap();
    let line: serde_json::Value = serde_json::from_str(line.trim_end()).unwrap();
    let expect = serde_json::json!({ "MY_ZONE": "us", "ZONE": "eu", "com.example.x": "y", "role": "a\"b", "tag": id.get(..12) });
    assert_eq!(line["attrs"], expect);
    assert_eq!(host.ok(["logs", "it"]), "hi");
    let short = id.get(..12).unwrap();
    let details = host.ok(["logs", "--details", "it"]);
    let expect = format!("MY_ZONE=us,ZONE=eu,com.example.x=y,role=a%22b,tag={short} hi");
    assert_eq!(details, expect);
}

#[test]
fn what_is_rotated_out_is_compressed_and_read_all_the_same() {
    let Some(host) = host() else { return };
    for driver in ["json-file", "local"] {
        let id = host.ok([
            "create",
            "--name",
            driver,
            "--network",
            "none",
            "--log-driver",
            driver,
            "--log-opt",
            "max-size=100k",
            "--log-opt",
            "max-file=50",
            "--log-opt",
            "compress=true",
            BUSYBOX,
            "seq",
            "20000",
        ]);
        let output = host.wharf(["start", "-a", driver]);
        assert_eq!(output.code, 0, "{output:#?}");
        let log = host.data().join("containers").join(&id).join("log");
        wait_until("all but the current file compressed", PATIENCE, || {
            let names = crate::support::names_in(&log);
            let is_plain = |name: &String| name.ends_with(|last: char| last.is_ascii_digit());
            names.len() > 3 && !names.iter().any(is_plain)
        });
        let lines = host.ok(["logs", driver]);
        let expect: Vec<String> = (1..=20_000).map(|number| number.to_string()).collect();
        assert_eq!(lines.lines().collect::<Vec<_>>(), expect);
        assert_eq!(
            host.ok(["logs", "--tail", "9000", driver]).lines().count(),
            9000
        );
    }
}
