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
