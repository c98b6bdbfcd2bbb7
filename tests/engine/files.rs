//! Verbs about a container's files as a whole: `diff`, `export`, `commit`, and their sizes.

use std::process::Command;

use crate::support::{BUSYBOX, Host, PATIENCE, privileged, wait_until};

fn host() -> Option<Host> {
    let host = privileged()?;
    host.busybox_image()?;
    Some(host)
}

/// An image `base` with some files, made of a container.
fn base(host: &Host) {
    let script = "mkdir -p /d/e /keep; echo one >/d/a; echo two >/d/e/b; echo x >/gone; echo same >/keep/f; ln /d/a /d/link";
    host.ok([
        "run",
        "--network",
        "none",
        "--name",
        "maker",
        BUSYBOX,
        "sh",
        "-c",
        script,
    ]);
    host.ok(["commit", "maker", "base:1"]);
    host.ok(["rm", "maker"]);
}

#[test]
fn diff_tells_what_was_added_changed_and_deleted() {
    let Some(host) = host() else { return };
    base(&host);
    let untouched = host.ok(["create", "--network", "none", "base:1", "true"]);
    assert_eq!(host.ok(["diff", &untouched]), "");
    host.ok(["start", "-a", &untouched]);
    assert_eq!(
        host.ok(["diff", &untouched]),
        "",
        "mount points of the engine are nobody's change"
    );
    let script = "echo more >>/d/a; rm /gone; chmod 600 /keep/f; rm -r /d/e; mkdir /d/e; echo n >/d/e/new; mkdir /fresh; echo f >/fresh/f; sleep 1000";
    host.ok([
        "run",
        "-d",
        "--network",
        "none",
        "--name",
        "web",
        "base:1",
        "sh",
        "-c",
        script,
    ]);
    wait_until("the script is done", PATIENCE, || {
        host.ok(["diff", "web"]).contains("/fresh/f")
    });
    assert_eq!(
        host.ok(["diff", "web"]).lines().collect::<Vec<_>>(),
        [
            "C /d",
            "C /d/a",
            "C /d/e",
            "D /d/e/b",
            "A /d/e/new",
            "A /fresh",
            "A /fresh/f",
            "D /gone",
            "C /keep",
            "C /keep/f"
        ]
    );
    assert_eq!(host.wharf(["diff", "nosuch"]).code, 1);
}

#[test]
fn an_export_is_the_root_without_what_is_mounted_in_it() {
    let Some(host) = host() else { return };
    base(&host);
    let shared = host.dir().join("shared");
    std::fs::create_dir(&shared).unwrap();
    std::fs::write(shared.join("secret"), "s").unwrap();
    let bind = format!("{}:/mnt", shared.display());
    let run = [
        "run",
        "-d",
        "--network",
        "none",
        "--name",
        "web",
        "-v",
        &bind,
        "base:1",
    ];
    host.ok([
        &run[..],
        &["sh", "-c", "rm /gone; echo live >/live; sleep 1000"],
    ]
    .concat());
    let listed = |path: &str| {
        let output = Command::new("tar").args(["-tf", path]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let path = host.dir().join("out.tar").display().to_string();
    for state in ["running", "stopped"] {
        wait_until("the file is there", PATIENCE, || {
            host.ok(["export", "-o", &path, "web"]);
            listed(&path).contains("live\n")
        });
        let names = listed(&path);
        let names: Vec<&str> = names.lines().collect();
        for name in ["bin/busybox", "d/a", "d/e/b", "keep/f", "live", "mnt/"] {
            assert!(names.contains(&name), "{state}: {name} in {names:?}");
        }
        for name in ["mnt/secret", "gone"] {
            assert!(!names.contains(&name), "{state}: {name}");
        }
        assert!(
            !names
                .iter()
                .any(|name| name.starts_with("proc/") && *name != "proc/"),
            "{state}"
        );
        host.ok(["stop", "-t", "0", "web"]);
    }
    // Two names of one file stay one file.
    let to = host.dir().join("unpacked");
    std::fs::create_dir(&to).unwrap();
    let status = Command::new("tar")
        .args(["-xf", &path, "-C"])
        .arg(&to)
        .status()
        .unwrap();
    assert!(status.success());
    let inode = |name: &str| {
        std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(to.join(name)).unwrap())
    };
    assert_eq!(inode("d/a"), inode("d/link"));
    // An export can be imported.
    let streamed = host.command(["export", "web"]).output().unwrap();
    assert!(streamed.status.success());
    let imported = host.wharf_with(["import", "-", "again:1"], &streamed.stdout);
    assert_eq!(imported.code, 0, "{imported:?}");
    assert_eq!(
        host.ok([
            "run",
            "--rm",
            "--network",
            "none",
            "again:1",
            "cat",
            "/live"
        ]),
        "live"
    );
}

#[test]
fn an_export_that_fails_leaves_no_file() {
    let Some(host) = host() else { return };
    let path = host.dir().join("out.tar");
    let text = path.display().to_string();
    assert_eq!(host.wharf(["export", "-o", &text, "nosuch"]).code, 1);
    assert!(!path.exists());
    let id = host.ok(["create", "--network", "none", BUSYBOX]);
    let layers = host.data().join("layers");
    let hidden = host.data().join("hidden");
    std::fs::rename(&layers, &hidden).unwrap();
    std::fs::create_dir(&layers).unwrap();
    let failed = host.wharf(["export", "-o", &text, &id]);
    std::fs::remove_dir(&layers).unwrap();
    std::fs::rename(&hidden, &layers).unwrap();
    assert_eq!(failed.code, 1, "{failed:?}");
    assert_eq!(failed.stderr.lines().count(), 1, "{failed:?}");
    assert!(!path.exists());
}

#[test]
fn a_commit_is_an_image_that_runs_and_tells_its_history() {
    let Some(host) = host() else { return };
    base(&host);
    let script =
        "rm /gone; echo changed >/d/a; rm -r /d/e; mkdir /d/e; chown 7:8 /keep/f; sleep 1000";
    host.ok([
        "run",
        "-d",
        "--network",
        "none",
        "--name",
        "web",
        "-e",
        "A=1",
        "base:1",
        "sh",
        "-c",
        script,
    ]);
    wait_until("the script is done", PATIENCE, || {
        host.ok(["diff", "web"]).contains("/keep/f")
    });
    let id = host.ok([
        "commit",
        "-a",
        "Ann <a@b>",
        "-m",
        "a message",
        "-c",
        "CMD [\"cat\", \"/d/a\"]",
        "-c",
        "LABEL x=y",
        "-c",
        "WORKDIR /keep",
        "web",
        "made:1",
    ]);
    assert!(id.starts_with("sha256:"), "{id}");
    assert_eq!(
        host.ok(["inspect", "-f", "{{.State.Status}}", "web"]),
        "running",
        "it was paused only meanwhile"
    );
    assert_eq!(
        host.ok(["run", "--rm", "--network", "none", "made:1"]),
        "changed"
    );
    let look = "ls /gone 2>/dev/null; ls -A /d/e; stat -c %u:%g f; echo $A";
    assert_eq!(
        host.ok([
            "run",
            "--rm",
            "--network",
            "none",
            "made:1",
            "sh",
            "-c",
            look
        ]),
        "7:8\n1"
    );
    let shown = host.ok([
        "image",
        "inspect",
        "-f",
        "{{.Author}}|{{.Comment}}|{{index .Config.Labels \"x\"}}|{{len .RootFS.Layers}}",
        "made:1",
    ]);
    assert_eq!(shown, "Ann <a@b>|a message|y|3");
    let newest = host.ok([
        "history",
        "--format",
        "{{.Comment}} {{.CreatedBy}}",
        "--no-trunc",
        "made:1",
    ]);
    assert!(
        newest.starts_with(&format!("a message sh -c {script}")),
        "{newest}"
    );
    assert_eq!(host.ok(["history", "-q", "made:1"]).lines().count(), 3);
    // The store is whole, and the image survives an archive.
    let checked = host.ok(["system", "check"]);
    assert!(checked.contains("nothing is wrong"), "{checked}");
    let archive = host.dir().join("made.tar").display().to_string();
    host.ok(["save", "-o", &archive, "made:1"]);
    host.ok(["rm", "-f", "web"]);
    host.ok(["rmi", "made:1", "base:1"]);
    host.ok(["load", "-q", "-i", &archive]);
    assert_eq!(
        host.ok(["run", "--rm", "--network", "none", "made:1"]),
        "changed"
    );
}

#[test]
fn a_commit_without_changes_adds_no_layer_and_a_wrong_one_makes_no_image() {
    let Some(host) = host() else { return };
    let id = host.ok(["create", "--network", "none", BUSYBOX, "true"]);
    host.ok(["commit", "-c", "CMD [\"echo\", \"hi\"]", &id, "same:1"]);
    assert_eq!(
        host.ok(["image", "inspect", "-f", "{{len .RootFS.Layers}}", "same:1"]),
        "1"
    );
    assert_eq!(
        host.ok(["run", "--rm", "--network", "none", "same:1"]),
        "hi"
    );
    let before = host.ok(["images", "-aq"]);
    for (args, why) in [
        (
            &["commit", "-c", "FROM x", &id][..],
            "not a valid change command",
        ),
        (&["commit", &id, "Bad:1"], "must be lowercase"),
        (&["commit", "nosuch"], "No such container"),
    ] {
        let refused = host.wharf(args);
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(refused.stderr.contains(why), "{refused:?}");
    }
    assert_eq!(host.ok(["images", "-aq"]), before);
    let untagged = host.ok(["commit", &id]);
    assert!(host.ok(["images", "-q", "--no-trunc"]).contains(&untagged));
}

#[test]
fn sizes_are_what_a_container_wrote() {
    let Some(host) = host() else { return };
    let script = "head -c 12300 /dev/zero >/f";
    host.ok([
        "run",
        "--network",
        "none",
        "--name",
        "web",
        BUSYBOX,
        "sh",
        "-c",
        script,
    ]);
    let size = host.ok(["ps", "-as", "--format", "{{.Size}}"]);
    assert!(size.starts_with("12.3kB (virtual "), "{size}");
    assert!(
        host.ok(["ps", "-as"])
            .lines()
            .next()
            .unwrap()
            .ends_with("SIZE")
    );
    assert_eq!(
        host.ok(["inspect", "-s", "-f", "{{.SizeRw}}", "web"]),
        "12300"
    );
    assert_eq!(
        host.ok([
            "container",
            "inspect",
            "-s",
            "-f",
            "{{gt .SizeRootFs .SizeRw}}",
            "web"
        ]),
        "true"
    );
}
