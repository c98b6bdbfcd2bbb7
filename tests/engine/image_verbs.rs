//! The image verbs as somebody at a shell uses them: what they print, and what they do to the files they are given.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::FileTypeExt as _;
use std::process::Stdio;

use rustix::fs::{CWD, FileType, Mode, mknodat};

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
    let mut archive = Vec::new();
    fs::File::open(&pipe)
        .unwrap()
        .read_to_end(&mut archive)
        .unwrap();
    assert!(writer.wait().unwrap().success());
    assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
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
