//! Pushes, logins and manifest lists against real registries: what arrives, what is not sent twice, who is let in.

use std::os::unix::process::ExitStatusExt;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::registry::http::{Response, Server};
use crate::registry::image::{Made, skopeo};
use crate::registry::proxy::{Fault, Proxy};
use crate::registry::token::Rules;
use crate::registry::{Door, PASSWORD, Registry, USER, Wire};
use crate::support::{BUSYBOX, Host, has_peer, privileged, wait_for};
use crate::terminal::Terminal;

fn host() -> Option<Host> {
    let host = privileged()?;
    host.busybox_image()?;
    has_peer("skopeo").then_some(host)
}

/// What the registry has under a name, as skopeo sees it.
fn digest_there(host: &Host, reference: &str) -> String {
    let arguments =
        format!("inspect --tls-verify=false --format {{{{.Digest}}}} docker://{reference}");
    skopeo(host.dir(), &arguments).trim().to_owned()
}

/// Blobs that were sent.
fn uploads(log: &str) -> usize {
    let ends = |line: &&str| line.contains("\"PUT /v2/") && line.contains("/blobs/uploads/");
    log.lines().filter(ends).count()
}

#[test]
fn a_push_arrives_as_it_is_and_is_never_sent_twice() {
    let Some(host) = host() else { return };
    let Some(registry) = Registry::open(&host) else {
        return;
    };
    let (first, second) = (
        registry.reference("a/first:1"),
        registry.reference("second"),
    );
    host.ok(["tag", BUSYBOX, &first]);
    host.ok(["tag", BUSYBOX, &second]);

    let said = host.ok(["push", &first]);
    let lines: Vec<&str> = said.lines().collect();
    let repository = first.trim_end_matches(":1");
    assert_eq!(
        lines[0],
        format!("The push refers to repository [{repository}]")
    );
    assert!(lines[1].ends_with(": Preparing"), "{said}");
    assert!(lines[lines.len() - 2].ends_with(": Pushed"), "{said}");
    let digest = digest_there(&host, &first);
    let last = lines[lines.len() - 1];
    assert!(
        last.starts_with(&format!("1: digest: {digest} size: ")),
        "{said}"
    );
    let shown = host.ok(["image", "inspect", "-f", "{{json .RepoDigests}}", &first]);
    assert!(shown.contains(&format!("{repository}@{digest}")), "{shown}");

    let again = host.ok(["push", &first]);
    assert!(again.contains(": Layer already exists"), "{again}");
    let elsewhere = host.ok(["push", &second]);
    assert!(
        elsewhere.starts_with("Using default tag: latest\n"),
        "{elsewhere}"
    );
    assert!(
        elsewhere.contains(": Mounted from a/first\n"),
        "{elsewhere}"
    );
    assert_eq!(digest_there(&host, &format!("{second}:latest")), digest);
    let log = registry.access_log();
    assert!(
        log.contains("from=a%2Ffirst") || log.contains("from=a/first"),
        "{log}"
    );

    // A layer and the configuration, once each.
    assert_eq!(uploads(&log), 2, "{log}");
}

/// The media types and sizes of an image's layers in its registry.
fn layers_there(host: &Host, reference: &str) -> Vec<(String, u64)> {
    let manifest = skopeo(
        host.dir(),
        &format!("inspect --raw --tls-verify=false docker://{reference}"),
    );
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    let layers = manifest["layers"].as_array().unwrap();
    layers
        .iter()
        .map(|layer| {
            let media_type = layer["mediaType"].as_str().unwrap().to_owned();
            (media_type, layer["size"].as_u64().unwrap())
        })
        .collect()
}

#[test]
fn layers_of_an_archive_are_compressed_once_when_they_are_pushed() {
    let Some(host) = host() else { return };
    let Some(registry) = Registry::open(&host) else {
        return;
    };
    let name = registry.reference("packed:1");
    let id = host.ok(["image", "inspect", "-f", "{{.Id}}", BUSYBOX]);
    let blobs = || -> u64 {
        let dir = host.data().join("blobs/sha256");
        let lengths = std::fs::read_dir(dir).unwrap();
        lengths
            .map(|entry| entry.unwrap().metadata().unwrap().len())
            .sum()
    };
    let before = blobs();
    for tag in [&name, &registry.reference("packed:2")] {
        host.ok(["tag", BUSYBOX, tag]);
    }
    host.ok(["push", "-q", "-a", name.trim_end_matches(":1")]);
    let layers = layers_there(&host, &name);
    let gzip = "application/vnd.oci.image.layer.v1.tar+gzip";
    assert!(layers.iter().all(|(kind, _)| kind == gzip), "{layers:?}");
    // What is not compressed is not kept.
    let after = blobs();
    assert!(after * 10 < before * 9, "{before} and then {after} bytes");
    assert_eq!(host.ok(["image", "inspect", "-f", "{{.Id}}", BUSYBOX]), id);
    assert_eq!(
        digest_there(&host, &name),
        digest_there(&host, &registry.reference("packed:2"))
    );
    host.ok(["system", "check"]);
    host.ok(["run", "--rm", "--network", "none", BUSYBOX, "true"]);
    // From the registry it is the same image.
    host.ok(["rmi", "-f", id.trim()]);
    host.ok(["pull", "-q", &name]);
    assert_eq!(host.ok(["image", "inspect", "-f", "{{.Id}}", &name]), id);
}

#[test]
fn nothing_is_compressed_for_a_registry_that_does_not_answer() {
    let Some(host) = host() else { return };
    let names = || crate::support::names_in(&host.data().join("blobs/sha256"));
    let before = names();
    host.ok(["tag", BUSYBOX, "127.0.0.1:1/a:1"]);
    let output = host.wharf(["push", "127.0.0.1:1/a:1"]);
    assert_eq!(output.code, 1, "{output:#?}");
    assert!(output.stderr.contains("connection refused"), "{output:#?}");
    assert_eq!(names(), before);
}

#[test]
fn what_skopeo_wrote_goes_through_wharf_unchanged() {
    let Some(host) = host() else { return };
    let Some(registry) = Registry::open(&host) else {
        return;
    };
    let made = Made::random(7, 4, 20_000);
    made.write_layout(&host.dir().join("layout"), "x");
    skopeo(host.dir(), "copy -q oci:layout:x oci-archive:in.tar:x");
    let archive = host.dir().join("in.tar").display().to_string();
    let loaded = host.ok(["load", "-q", "-i", &archive]);
    let name = registry.reference("made:x");
    let id = made.id();
    assert!(!loaded.is_empty());
    host.ok(["tag", &id, &name]);
    host.ok(["push", "-q", &name]);
    assert_eq!(digest_there(&host, &name), made.digest());
}

#[test]
fn of_many_tags_the_one_that_is_refused_is_named() {
    let Some(host) = host() else { return };
    let Some(registry) = Registry::open(&host) else {
        return;
    };
    let proxy = Proxy::start(registry.address);
    let name = proxy.reference("app");
    for tag in ["x", "y", "z"] {
        host.ok(["tag", BUSYBOX, &format!("{name}:{tag}")]);
    }
    proxy.plan(|request| {
        if request.method == "PUT" && request.target.ends_with("/manifests/y") {
            Fault::Status(403, None)
        } else {
            Fault::None
        }
    });
    let refused = host.wharf(["push", "-q", "-a", &name]);
    assert_eq!(refused.code, 1, "{refused:#?}");
    let expected = format!("wharf: push {name}:y: ");
    assert!(refused.stderr.starts_with(&expected), "{refused:#?}");
    assert_eq!(registry.manifest("app", "x").status, 200);
    assert_eq!(registry.manifest("app", "z").status, 404);
}

#[test]
fn all_tags_are_pushed_and_what_cannot_be_pushed_says_why() {
    let Some(host) = host() else { return };
    let Some(registry) = Registry::open(&host) else {
        return;
    };
    let name = registry.reference("app");
    for tag in ["x", "y"] {
        host.ok(["tag", BUSYBOX, &format!("{name}:{tag}")]);
    }
    assert_eq!(host.ok(["push", "-q", "-a", &name]), name);
    // Each tag is told of when it is done, before the layers of the next.
    let said = host.ok(["push", "-a", &name]);
    let is_of_tag = |line: &str| line.contains(": digest: ");
    let told: Vec<bool> = said.lines().skip(1).map(is_of_tag).collect();
    assert_eq!(told.iter().filter(|told| **told).count(), 2, "{said}");
    let first = told.iter().position(|told| *told).unwrap();
    assert!(!told[0] && !told[first + 1], "{said}");
    let said = host.ok(["pull", "-a", &name]);
    let lines: Vec<&str> = said.lines().collect();
    let path = name.split_once('/').unwrap().1;
    assert_eq!(lines[0], format!("x: Pulling from {path}"), "{said}");
    let first = lines.iter().position(|line| line.starts_with("Digest: "));
    let second = format!("y: Pulling from {path}");
    assert_eq!(lines[first.unwrap() + 1], second, "{said}");
    let digests = ["x", "y"].map(|tag| digest_there(&host, &format!("{name}:{tag}")));
    assert_eq!(digests[0], digests[1]);

    let digest = format!("{name}@{}", digests[0]);
    let tagged = format!("{name}:x");
    for (arguments, text) in [
        (
            &["push", &digest][..],
            "wharf: cannot push a digest reference\n".to_owned(),
        ),
        (
            &["push", "-a", &tagged],
            "wharf: tag can't be used with --all-tags/-a\n".to_owned(),
        ),
        (
            &["push", "-q", "nosuch:1"],
            "wharf: An image does not exist locally with the tag: nosuch\n".to_owned(),
        ),
    ] {
        let pushed = host.wharf(arguments);
        assert_eq!((pushed.code, pushed.stderr), (1, text));
    }
    let other = host.wharf(["push", "--platform", "linux/s390x", &tagged]);
    assert_eq!(other.code, 1);
    assert!(
        other
            .stderr
            .contains("does not provide the specified platform (linux/s390x)"),
        "{other:?}"
    );
}

#[test]
fn progress_is_json_where_it_is_asked_for() {
    let Some(host) = host() else { return };
    let Some(registry) = Registry::open(&host) else {
        return;
    };
    let name = registry.reference("app:1");
    host.ok(["tag", BUSYBOX, &name]);
    let said = host.ok(["push", "--progress", "json", &name]);
    let objects: Vec<Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(
        objects.iter().any(|object| object["status"] == "Pushed"),
        "{said}"
    );
    let last = objects.last().unwrap();
    assert_eq!(last["aux"]["Tag"], "1");
    assert_eq!(last["aux"]["Digest"], digest_there(&host, &name).as_str());
    let failed = host.wharf([
        "push",
        "--progress",
        "json",
        &registry.reference("nosuch:1"),
    ]);
    let last: Value = serde_json::from_str(failed.stdout.lines().last().unwrap()).unwrap();
    assert_eq!(failed.code, 1);
    assert_eq!(last["error"], last["errorDetail"]["message"]);
}

#[test]
fn only_who_has_logged_in_may_push() {
    let Some(host) = host() else { return };
    for door in [Door::Password, Door::Token(Rules::default())] {
        let Some(registry) = Registry::start(&host, door, Wire::Plain) else {
            return;
        };
        let server = registry.address.to_string();
        let name = registry.reference("app:1");
        host.ok(["tag", BUSYBOX, &name]);
        let refused = host.wharf(["push", &name]);
        assert_eq!(refused.code, 1, "{refused:?}");
        let login = |password: &str| {
            let arguments = ["login", "-u", USER, "--password-stdin", &server];
            host.wharf_with(arguments, password.as_bytes())
        };
        let wrong = login("wrong");
        assert_eq!((wrong.code, wrong.stdout.as_str()), (1, ""), "{wrong:?}");
        let right = login(&format!("{PASSWORD}\n"));
        assert_eq!(
            (right.code, right.stdout.as_str()),
            (0, "Login Succeeded\n"),
            "{right:?}"
        );
        assert!(right.stderr.contains("stored unencrypted"), "{right:?}");
        host.ok(["push", "-q", &name]);
        let out = host.ok(["logout", &server]);
        assert_eq!(out, format!("Removing login credentials for {server}"));
        let refused = host.wharf(["push", &name]);
        assert_eq!(refused.code, 1, "{refused:?}");
        for said in [
            &refused.stdout,
            &refused.stderr,
            &wrong.stderr,
            &right.stderr,
        ] {
            assert!(
                !said.contains(PASSWORD) && !said.contains("wrong"),
                "{said}"
            );
        }
    }
}

#[test]
fn an_interrupted_push_says_so_and_the_next_one_finishes() {
    let Some(host) = host() else { return };
    let Some(registry) = Registry::open(&host) else {
        return;
    };
    let proxy = Proxy::start(registry.address);
    let name = proxy.reference("app:1");
    host.ok(["tag", BUSYBOX, &name]);
    // Nothing of a blob's body is ever answered.
    let (tell, told) = std::sync::mpsc::channel();
    proxy.plan(move |request| {
        if request.method == "PATCH" || request.method == "PUT" {
            let _ = tell.send(());
            return Fault::Delay(std::time::Duration::from_mins(10));
        }
        Fault::None
    });
    let mut push = host.command(["push", &name]);
    push.stdout(std::process::Stdio::piped());
    push.stderr(std::process::Stdio::piped());
    let child = push.spawn().unwrap();
    wait_for("an upload", || told.try_recv().ok());
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(130));
    assert_eq!(
        String::from_utf8_lossy(&ended.stderr),
        format!("wharf: push {name}: cancelled; the next push goes on from what is there\n")
    );
    proxy.plan(|_| Fault::None);
    host.ok(["push", &name]);
    digest_there(&host, &registry.reference("app:1"));
}

#[test]
fn a_manifest_list_is_made_shown_and_pushed_as_docker_does() {
    let Some(host) = host() else { return };
    let Some(registry) = Registry::open(&host) else {
        return;
    };
    let (one, two) = (Made::random(21, 1, 2000), Made::random(22, 1, 2000));
    one.put(&registry, "app", "one");
    two.put(&registry, "other", "two");
    let list = registry.reference("app:list");
    let (first, second) = (
        registry.reference("app:one"),
        registry.reference("other:two"),
    );
    assert_eq!(
        host.ok(["manifest", "create", &list, &first, &second]),
        format!("Created manifest list {list}")
    );
    let again = host.wharf(["manifest", "create", &list, &first]);
    assert_eq!(
        (again.code, again.stderr.as_str()),
        (
            1,
            "wharf: refusing to amend an existing manifest list with no --amend flag\n"
        )
    );
    host.ok([
        "manifest",
        "annotate",
        "--arch",
        "arm64",
        "--variant",
        "v8",
        &list,
        &second,
    ]);
    let local = host.ok(["manifest", "inspect", &list]);
    let shown: Value = serde_json::from_str(&local).unwrap();
    assert_eq!(shown["manifests"][0]["digest"], one.digest().as_str());
    assert_eq!(shown["manifests"][1]["platform"]["architecture"], "arm64");

    let pushed = host.ok(["manifest", "push", "-p", &list]);
    let lines: Vec<&str> = pushed.lines().collect();
    let brought = format!("{}@{}", registry.reference("app"), two.digest());
    assert_eq!(
        lines[0],
        format!("Pushed ref {brought} with digest: {}", two.digest())
    );
    assert_eq!(lines[1], digest_there_of_index(&host, &list));
    // The local list is gone; what is shown now is the registry's.
    assert_eq!(host.ok(["manifest", "inspect", &list]), local);
    let verbose: Value =
        serde_json::from_str(&host.ok(["manifest", "inspect", "-v", &list])).unwrap();
    assert_eq!(verbose[1]["Descriptor"]["platform"]["variant"], "v8");
    assert_eq!(verbose[1]["OCIManifest"]["schemaVersion"], 2);
    let missing = host.wharf(["manifest", "rm", &list]);
    assert_eq!(
        (missing.code, missing.stderr),
        (1, format!("wharf: No such manifest: {list}\n"))
    );
    // skopeo takes the second image by what was said of it.
    skopeo(
        host.dir(),
        &format!("copy -q --override-arch arm64 --src-tls-verify=false docker://{list} oci:out:x"),
    );
}

fn digest_there_of_index(host: &Host, reference: &str) -> String {
    let raw = skopeo(
        host.dir(),
        &format!("inspect --raw --tls-verify=false docker://{reference}"),
    );
    format!("sha256:{}", crate::support::sha256(raw.as_bytes()))
}

#[test]
fn what_refers_to_an_image_is_listed() {
    let Some(host) = host() else { return };
    let Some(registry) = Registry::open(&host) else {
        return;
    };
    let made = Made::random(31, 1, 1000);
    made.put(&registry, "app", "1");
    let config = registry.put_blob("app", b"{}");
    let subject = made.descriptor(Value::Null);
    let artifact = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "application/vnd.example.sbom",
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": config, "size": 2},
        "layers": [],
        "subject": {"mediaType": subject["mediaType"], "digest": subject["digest"], "size": subject["size"]},
    });
    let bytes = artifact.to_string();
    let digest = format!("sha256:{}", crate::support::sha256(bytes.as_bytes()));
    registry.put_manifest(
        "app",
        &digest,
        "application/vnd.oci.image.manifest.v1+json",
        bytes.as_bytes(),
    );
    // Debian's registry knows no referrers: clients keep an index under the tag of the digest.
    let index = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": digest,
            "size": bytes.len(),
            "artifactType": "application/vnd.example.sbom",
        }],
    });
    let tag = made.digest().replace(':', "-");
    registry.put_manifest(
        "app",
        &tag,
        "application/vnd.oci.image.index.v1+json",
        index.to_string().as_bytes(),
    );
    let shown = host.ok(["image", "referrers", &registry.reference("app:1")]);
    let lines: Vec<&str> = shown.lines().collect();
    assert!(lines[0].starts_with("DIGEST"), "{shown}");
    assert!(lines[1].contains("application/vnd.example.sbom"), "{shown}");
    assert_eq!(
        host.ok([
            "image",
            "referrers",
            "--format",
            "{{.Digest}}",
            &registry.reference("app:1")
        ]),
        digest
    );
}

#[test]
fn a_pull_on_a_terminal_shows_bars_and_gives_the_cursor_back() {
    let Some(host) = host() else { return };
    let Some(registry) = Registry::open(&host) else {
        return;
    };
    let made = Made::random(41, 3, 4_000_000);
    made.put(&registry, "app", "1");
    let proxy = Proxy::start(registry.address);
    let name = proxy.reference("app:1");
    proxy.hold_after(Some(6_000_000));
    let mut terminal = Terminal::open(&host, &["pull", &name], (24, 80), []);
    terminal.wait_text("1: Pulling from app");
    terminal.wait_line(&["Downloading", "[=", "MB/"]);
    assert!(terminal.screen(vt100::Screen::hide_cursor));
    terminal.signal(Signal::TERM);
    assert_eq!(terminal.wait_exit(), 143);
    terminal.wait_text("the next pull goes on from what is there");
    terminal.assert_restored();

    proxy.hold_after(None);
    let mut terminal = Terminal::open(&host, &["pull", &name], (24, 80), []);
    assert_eq!(terminal.wait_exit(), 0);
    terminal.wait_text("Status: Downloaded newer image for");
    for layer in &made.layers {
        let id = layer.digest().replace("sha256:", "");
        terminal.wait_text(&format!("{}: Pull complete", id.get(..12).unwrap()));
    }
    terminal.assert_restored();
}

#[test]
fn run_pulls_an_image_that_is_not_there() {
    let Some(host) = host() else { return };
    let Some(registry) = Registry::open(&host) else {
        return;
    };
    let name = registry.reference("app:1");
    host.ok(["tag", BUSYBOX, &name]);
    host.ok(["push", "-q", &name]);
    host.ok(["rmi", &name]);
    let run = |flags: &[&str]| {
        let command = ["--rm", "--network", "none", &name, "echo", "ran"];
        host.wharf([&["run"], flags, &command].concat())
    };
    let never = run(&["--pull", "never"]);
    assert_eq!(
        (never.code, never.stderr),
        (125, format!("wharf: No such image: {name}\n"))
    );
    let ran = run(&[]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "ran\n"), "{ran:?}");
    let lines: Vec<&str> = ran.stderr.lines().collect();
    assert_eq!(lines[0], format!("Unable to find image '{name}' locally"));
    assert_eq!(lines[1], "1: Pulling from app");
    let again = run(&[]);
    assert_eq!((again.code, again.stderr.as_str()), (0, ""));
    let always = run(&["--pull", "always"]);
    assert!(
        always.stderr.contains("Image is up to date for"),
        "{always:?}"
    );
    let quiet = run(&["--pull", "always", "-q"]);
    assert_eq!((quiet.code, quiet.stderr.as_str()), (0, ""));
}

#[test]
fn a_login_at_a_terminal_asks_and_shows_no_password() {
    let Some(host) = host() else { return };
    let Some(registry) = Registry::start(&host, Door::Password, Wire::Plain) else {
        return;
    };
    let server = registry.address.to_string();
    let mut terminal = Terminal::open(&host, &["login", &server], (24, 80), []);
    terminal.wait_text("Username: ");
    terminal.send(&format!("{USER}\r"));
    terminal.wait_text("Password: ");
    // A slip, and all of it again.
    terminal.send(&format!("slip\x15{PASSWORD}\r"));
    terminal.wait_text("Login Succeeded");
    assert_eq!(terminal.wait_exit(), 0);
    assert!(!terminal.text().contains(PASSWORD), "{}", terminal.text());
    terminal.assert_restored();
    let again = host.ok(["login", &server]);
    assert_eq!(
        again,
        "Authenticating with existing credentials...\nLogin Succeeded"
    );

    let mut terminal = Terminal::open(&host, &["login", "-u", "eve", &server], (24, 80), []);
    terminal.wait_text("Password: ");
    terminal.send("\x03");
    assert_eq!(terminal.wait_exit(), 130);
    terminal.assert_restored();
}

#[test]
fn a_search_shows_dockers_table() {
    let Some(host) = privileged() else { return };
    let hits = r#"{"num_results":2,"results":[
        {"name":"u/app","description":"mine","star_count":1,"is_official":false},
        {"name":"app","description":"theirs","star_count":9,"is_official":true}]}"#;
    let server = Server::start(move |request| {
        if request.path() == "/v1/search" {
            return Response::new(200, "application/json", hits);
        }
        Response::new(404, "text/plain", "")
    });
    let term = format!("{}/app", server.address);
    assert_eq!(
        host.ok(["search", &term]),
        "NAME      DESCRIPTION   STARS     OFFICIAL\n\
         app       theirs        9         [OK]\n\
         u/app     mine          1         "
    );
    let format = ["--format", "{{.Name}}"];
    let filter = ["-f", "stars=5"];
    assert_eq!(
        host.ok([&["search"][..], &format, &filter, &[&term]].concat()),
        "app"
    );
}

#[test]
fn the_second_ctrl_c_ends_what_does_not_stop_at_the_first() {
    let Some(host) = privileged() else { return };
    // Whoever runs the tests in the background ignores interrupts, and so would all below; hanging up is what nohup(1) ignores.
    let mut load = std::process::Command::new("env");
    host.dress(&mut load);
    load.args(["--default-signal=INT", "--ignore-signal=HUP"])
        .args([env!("CARGO_BIN_EXE_wharf"), "load"])
        .stdin(std::process::Stdio::piped());
    let mut child = load.spawn().unwrap();
    let pid = Pid::from_child(&child);
    // Masks of proc(5): held back, and waiting.
    let mask = |name: &str| {
        let path = format!("/proc/{}/status", pid.as_raw_nonzero());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        let digits = line.split_whitespace().nth(1).unwrap();
        u64::from_str_radix(digits, 16).unwrap()
    };
    let interrupt = 1 << (Signal::INT.as_raw() - 1);
    let hang_up = 1 << (Signal::HUP.as_raw() - 1);
    // While it is being made everything is held back.
    wait_for("interrupts held back alone", || {
        (mask("SigBlk:") & (interrupt | hang_up) == interrupt).then_some(())
    });
    for _ in 0..3 {
        kill_process(pid, Signal::HUP).unwrap();
    }
    // It reads from a pipe into which nobody writes.
    kill_process(pid, Signal::INT).unwrap();
    wait_for("the first one taken", || {
        (mask("ShdPnd:") & interrupt == 0).then_some(())
    });
    assert_eq!(child.try_wait().unwrap(), None);
    kill_process(pid, Signal::INT).unwrap();
    let ended = child.wait().unwrap();
    assert_eq!(ended.signal(), Some(Signal::INT.as_raw()), "{ended:?}");
}

#[test]
fn an_image_of_another_platform_is_one_that_is_missing() {
    let Some(host) = host() else { return };
    let Some(registry) = Registry::open(&host) else {
        return;
    };
    let name = registry.reference("a/box:1");
    host.ok(["tag", BUSYBOX, &name]);
    host.ok(["push", "-q", &name]);
    let run = |more: &[&str]| {
        let end = [name.as_str(), "true"];
        host.wharf([&["run", "--rm", "--network", "none"], more, &end].concat())
    };
    assert_eq!(run(&[]).code, 0);
    // It is looked for where it comes from, and is not there for this platform either.
    let output = run(&["--platform", "linux/s390x"]);
    assert_eq!(output.code, 125, "{output:#?}");
    assert!(
        output.stderr.contains("Unable to find image"),
        "{output:#?}"
    );
    let output = run(&["--platform", "linux/s390x", "--pull", "never"]);
    assert_eq!(output.code, 125, "{output:#?}");
    assert!(
        !output.stderr.contains("Unable to find image"),
        "{output:#?}"
    );
}

#[test]
fn inspect_tells_the_manifest_that_a_push_sends() {
    let Some(host) = host() else { return };
    let Some(registry) = Registry::open(&host) else {
        return;
    };
    let name = registry.reference("a/box:1");
    host.ok(["tag", BUSYBOX, &name]);
    host.ok(["push", "-q", &name]);
    let digest = host.ok(["image", "inspect", "-f", "{{.Descriptor.digest}}", &name]);
    assert_eq!(digest, digest_there(&host, &name));
}
