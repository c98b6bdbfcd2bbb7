//! The image verbs as somebody at a shell uses them: what they print, and what they do to the files they are given.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::FileTypeExt as _;
use std::process::Stdio;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::json;

use crate::registry::Registry;
use crate::registry::image::{Form, Made, Packing, layer};
use crate::registry::random::Random;
use crate::support::{Host, privileged};

/// A host with the small image.
fn host() -> Option<Host> {
    let host = privileged()?;
    host.busybox_image()?;
    Some(host)
}

#[test]
fn save_refuses_a_device_and_leaves_it_a_device() {
    let Some(host) = host() else { return };
    let full = host.dir().join("full");
    // As /dev/full (full(4)).
    let number = rustix::fs::makedev(1, 7);
    mknodat(
        CWD,
        &full,
        FileType::CharacterDevice,
        Mode::from_raw_mode(0o600),
        number,
    )
    .unwrap();
    let path = full.display().to_string();
    let saved = host.wharf(["save", "-o", &path, "busybox"]);
    assert_eq!(saved.code, 1, "{saved:#?}");
    assert_eq!(
        saved.stderr,
        format!("wharf: create {path}: it is a device, not a file\n")
    );
    assert!(fs::metadata(&full).unwrap().file_type().is_char_device());
}

#[test]
fn save_writes_into_a_pipe_and_leaves_it_a_pipe() {
    let Some(host) = host() else { return };
    let pipe = host.dir().join("pipe");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    let path = pipe.display().to_string();
    let mut writer = host
        .command(["save", "-o", &path, "busybox"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // On its own: it waits for ever if the pipe is taken away.
    let path = pipe.clone();
    let reader = std::thread::spawn(move || {
        let mut archive = Vec::new();
        fs::File::open(path)
            .unwrap()
            .read_to_end(&mut archive)
            .unwrap();
        archive
    });
    assert!(writer.wait().unwrap().success());
    assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
    let archive = reader.join().unwrap();
    host.ok(["rmi", "busybox"]);
    let loaded = host.wharf_with(["load"], &archive);
    assert_eq!(loaded.stdout, "Loaded image: busybox:latest\n");
}

#[test]
fn save_tells_of_each_layer_where_somebody_looks_and_of_nothing_else() {
    let Some(host) = host() else { return };
    let path = host.dir().join("saved.tar").display().to_string();
    let silent = host.wharf(["save", "-o", &path, "busybox"]);
    assert_eq!((silent.code, silent.stderr.as_str()), (0, ""));
    let size = fs::metadata(&path).unwrap().len();
    let shown = host.wharf(["save", "--progress", "json", "-o", &path, "busybox"]);
    assert_eq!((shown.code, shown.stdout.as_str()), (0, ""));
    let objects: Vec<serde_json::Value> = shown
        .stderr
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of = |status: &str| objects.iter().filter(|one| one["status"] == status).count();
    // One layer; its documents are not told of.
    assert_eq!((of("Preparing"), of("Saved")), (1, 1), "{objects:?}");
    let total = objects
        .iter()
        .find_map(|one| one["progressDetail"]["total"].as_u64())
        .unwrap();
    assert!(total > 100_000 && total < size, "{total} of {size}");
    let plain = host.wharf(["save", "--progress", "plain", "-o", &path, "busybox"]);
    let lines: Vec<&str> = plain.stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{plain:#?}");
    assert!(lines[0].ends_with(": Preparing") && lines[1].ends_with(": Saved"));
    // In a pipeline standard output is the archive and nothing else.
    let piped = host.wharf(["save", "busybox"]);
    assert_eq!((piped.code, piped.stderr.as_str()), (0, ""));
    assert_eq!(
        piped.stdout.len() as u64,
        String::from_utf8_lossy(&fs::read(&path).unwrap()).len() as u64
    );
    let wrong = host.wharf(["save", "--progress", "loud", "-o", &path, "busybox"]);
    assert_eq!(wrong.code, 1, "{wrong:#?}");
}

/// A registry with one image of two layers named `app:1`, and its digest.
fn with_app(host: &Host) -> Option<(Registry, String)> {
    let registry = Registry::open(host)?;
    let made = Made::random(1, 2, 2000);
    made.put(&registry, "app", "1");
    Some((registry, made.digest()))
}

#[test]
fn a_pull_of_what_is_there_says_so_and_names_no_layer() {
    let Some(host) = privileged() else { return };
    let Some((registry, digest)) = with_app(&host) else {
        return;
    };
    let name = registry.reference("app:1");
    host.ok(["pull", &name]);
    assert_eq!(
        host.ok(["pull", &name]),
        format!(
            "1: Pulling from app\nDigest: {digest}\nStatus: Image is up to date for {name}\n{name}"
        )
    );
}

#[test]
fn a_pull_by_digest_names_the_repository_and_forgets_the_tag() {
    let Some(host) = privileged() else { return };
    let Some((registry, digest)) = with_app(&host) else {
        return;
    };
    let whole = registry.reference(&format!("app@{digest}"));
    let tagged = registry.reference(&format!("app:1@{digest}"));
    host.ok(["pull", &whole]);
    assert_eq!(
        host.ok(["pull", &tagged]),
        format!(
            "{whole}: Pulling from app\nDigest: {digest}\nStatus: Image is up to date for {whole}\n{tagged}"
        )
    );
}

#[test]
fn an_empty_platform_is_none_and_scratch_is_nobodys() {
    let Some(host) = privileged() else { return };
    let Some((registry, _)) = with_app(&host) else {
        return;
    };
    let name = registry.reference("app:1");
    host.ok(["pull", "-q", "--platform=", &name]);
    host.ok(["image", "inspect", "--platform=", &name]);
    let scratch = host.wharf(["pull", "scratch"]);
    assert_eq!(scratch.code, 1);
    assert!(
        scratch
            .stderr
            .ends_with("wharf: 'scratch' is a reserved name\n"),
        "{scratch:#?}"
    );
}

#[test]
fn image_inspect_shows_what_the_configuration_states() {
    let Some(host) = privileged() else { return };
    let Some(registry) = Registry::open(&host) else {
        return;
    };
    let mut random = Random(7);
    let layers = [(layer(&mut random, 500), Packing::Gzip)];
    let made = Made::with_config(Form::Docker, &layers, |config| {
        config["docker_version"] = "20.10".into();
        config["config"] = json!({
            "Healthcheck": {"Test": ["CMD", "true"], "Interval": 5_000_000_000_u64},
            "OnBuild": ["RUN x"],
            "Shell": ["/bin/bash", "-c"],
        });
    });
    made.put(&registry, "stated", "1");
    let name = registry.reference("stated:1");
    host.ok(["pull", "-q", &name]);
    for (template, expected) in [
        (
            "{{json .Config.Healthcheck}}",
            "{\"Test\":[\"CMD\",\"true\"],\"Interval\":5000000000}",
        ),
        (
            "{{.Config.OnBuild}} {{.Config.Shell}}",
            "[RUN x] [/bin/bash -c]",
        ),
        ("{{.DockerVersion}} {{.Config.Cmd}}", "20.10 []"),
    ] {
        assert_eq!(
            host.ok(["image", "inspect", "-f", template, &name]),
            expected
        );
    }
}

#[test]
fn ps_shows_the_id_once_the_name_means_something_else() {
    let Some(host) = host() else { return };
    host.ok([
        "create",
        "--name",
        "made",
        "--network",
        "none",
        "busybox",
        "true",
    ]);
    let image = || host.ok(["ps", "-a", "--format", "{{.Image}}"]);
    assert_eq!(image(), "busybox");
    let id = host.ok(["images", "-q", "busybox"]);
    host.ok(["tag", "busybox", "other"]);
    host.ok(["rmi", "busybox"]);
    assert_eq!(image(), id);
    host.ok(["tag", "other", "busybox"]);
    assert_eq!(image(), "busybox");
}

#[test]
fn an_empty_format_is_the_usual_table() {
    let Some(host) = host() else { return };
    assert_eq!(host.ok(["images", "--format", ""]), host.ok(["images"]));
    let exact = host.ok(["history", "--human=false", "busybox"]);
    assert!(exact.starts_with("IMAGE          CREATED AT"), "{exact}");
}

#[test]
fn images_by_a_pattern_with_a_class_and_by_a_broken_one() {
    let Some(host) = host() else { return };
    let found = |pattern: &str| {
        let filter = format!("reference={pattern}");
        host.wharf(["images", "--format", "{{.Tag}}", "--filter", &filter])
    };
    assert_eq!(found("[a-c]usybox:[^0-9]*").stdout, "latest\n");
    let broken = found("[");
    assert_eq!(broken.code, 1);
    assert_eq!(broken.stderr, "wharf: syntax error in pattern\n");
}
