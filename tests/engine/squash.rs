//! `layers squash`: the image without its waste shows the same files, whatever kinds of them there are, and never half.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::registry::whole::assert_store_is_valid;
use crate::support::{Host, PATIENCE, image_archive, names_in, privileged, sha256, wait_until};

fn tool(program: &str, args: &[&str]) {
    let status = Command::new(program).args(args).status().unwrap();
    assert!(status.success(), "{program} {args:?}");
}

/// A directory's content as a layer, with everything that GNU tar can say of it.
fn layer(dir: &Path) -> Vec<u8> {
    let output = Command::new("tar")
        .args([
            "--format=posix",
            "--xattrs",
            "--xattrs-include=*",
            "--sparse",
            "--sort=name",
        ])
        .args([
            "--numeric-owner",
            "-C",
            dir.to_str().unwrap(),
            "-cf",
            "-",
            ".",
        ])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

const HOLES: u64 = 300 << 20;

/// Everything that a file system can hold, and an upper layer that changes most of it.
fn image(host: &Host, name: &str) {
    let work = host.dir().join("work");
    let (one, two) = (work.join("1"), work.join("2"));
    for dir in ["1/d", "1/o/deep", "1/gone", "1/kept", "2/d", "2/o"] {
        fs::create_dir_all(work.join(dir)).unwrap();
    }
    fs::write(one.join("d/a"), vec![1; 300_000]).unwrap();
    fs::write(one.join("d/b"), vec![2; 200_000]).unwrap();
    fs::write(one.join("kept/first"), b"linked").unwrap();
    for other in ["kept/second", "d/third"] {
        fs::hard_link(one.join("kept/first"), one.join(other)).unwrap();
    }
    fs::write(one.join("o/old"), vec![3; 100_000]).unwrap();
    fs::write(one.join("o/deep/old"), vec![3; 1000]).unwrap();
    fs::write(one.join("gone/x"), vec![4; 50_000]).unwrap();
    symlink("../d/a", one.join("kept/link")).unwrap();
    for (sparse, size) in [("kept/sparse", 20 << 20), ("kept/holes", HOLES)] {
        use std::os::unix::fs::FileExt;
        let file = fs::File::create(one.join(sparse)).unwrap();
        file.set_len(size).unwrap();
        file.write_all_at(b"in the middle of nothing", 5 << 20)
            .unwrap();
        file.write_all_at(b"end", size - 3).unwrap();
    }
    let path = |name: &str| one.join(name).to_str().unwrap().to_owned();
    tool("mkfifo", &[&path("kept/fifo")]);
    tool("mknod", &[&path("kept/null"), "c", "1", "3"]);
    tool("mknod", &[&path("kept/loop"), "b", "7", "300"]);
    let none = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(one.join("kept/first"), "user.note", b"kept", none).unwrap();
    tool("chown", &["12:34", &path("kept")]);
    fs::set_permissions(one.join("kept/first"), fs::Permissions::from_mode(0o6755)).unwrap();
    fs::set_permissions(one.join("kept"), fs::Permissions::from_mode(0o2750)).unwrap();
    tool(
        "touch",
        &[
            "-d",
            "2001-02-03 04:05:06.789",
            &path("kept/link"),
            &path("kept"),
        ],
    );
    tool(
        "touch",
        &["-d", "1960-01-01 00:00:00.25", &path("kept/sparse")],
    );

    fs::write(two.join("d/a"), vec![1; 300_000]).unwrap();
    fs::set_permissions(two.join("d/a"), fs::Permissions::from_mode(0o600)).unwrap();
    for marker in ["d/.wh.b", "d/.wh.third", "o/.wh..wh..opq", ".wh.gone"] {
        fs::write(two.join(marker), b"").unwrap();
    }
    fs::write(two.join("o/new"), b"new").unwrap();
    fs::write(two.join("d/\u{fc}ml\u{e4}ut"), b"name").unwrap();
    fs::write(two.join("d").join("n".repeat(200)), b"long").unwrap();
    let archive = host.dir().join("image.tar");
    fs::write(
        &archive,
        image_archive(name, &[layer(&one), layer(&two)], &["sh"]),
    )
    .unwrap();
    host.ok(["load", "-q", "-i", archive.to_str().unwrap()]);
}

fn json(host: &Host, args: &[&str]) -> Value {
    serde_json::from_str(&host.ok(args)).unwrap()
}

/// The whole file system as overlayfs shows it.
fn exported(host: &Host, image: &str) -> String {
    host.ok(["create", "--name", "look", "--network", "none", image, "sh"]);
    let out = host.dir().join("export.tar");
    host.ok(["export", "-o", out.to_str().unwrap(), "look"]);
    host.ok(["rm", "look"]);
    sha256(&fs::read(out).unwrap())
}

#[test]
fn a_squashed_image_shows_the_same_files_in_fewer_bytes() {
    let Some(host) = privileged() else { return };
    image(&host, "two:1");
    let made = json(
        &host,
        &["layers", "squash", "--json", "-t", "flat:1", "two:1"],
    );
    let wasted = 300_000 + 200_000 + 100_000 + 1000 + 50_000;
    assert_eq!(made["before"]["wastedBytes"], wasted, "{made:#}");
    assert_eq!(
        (&made["savedBytes"], &made["after"]["layers"]),
        (&wasted.into(), &1.into())
    );
    assert_eq!(
        (&made["after"]["wastedBytes"], &made["same"]),
        (&0.into(), &true.into())
    );
    let diff = json(&host, &["layers", "diff", "--json", "two:1", "flat:1"]);
    let paths = diff["paths"].as_array().unwrap();
    // Nobody has a digest of one that is mostly holes.
    let holes: Vec<_> = paths
        .iter()
        .map(|change| (&change["path"], &change["change"]))
        .collect();
    assert_eq!(holes, [(&"/kept/holes".into(), &"content".into())]);
    assert_eq!(exported(&host, "two:1"), exported(&host, "flat:1"));

    // The lower layer stays where it is, and what the upper one hides in it stays hidden.
    let part = host.ok([
        "layers", "squash", "-q", "--from", "1", "-t", "part:1", "two:1",
    ]);
    let diff = json(&host, &["layers", "diff", "--json", "two:1", "part:1"]);
    assert_eq!(
        (&diff["layers"][0]["change"], &diff["paths"]),
        (&"shared".into(), &Value::Array(vec![]))
    );
    assert_eq!(exported(&host, "two:1"), exported(&host, "part:1"));

    // The same image makes the same image.
    assert_eq!(
        host.ok(["layers", "squash", "-q", "-t", "again:1", "two:1"]),
        made["id"].as_str().unwrap()
    );
    assert_eq!(
        host.ok([
            "layers", "squash", "-q", "--from", "1", "-t", "again:2", "part:1"
        ])
        .len(),
        part.len()
    );
    let history = host.ok(["history", "--no-trunc", "flat:1"]);
    assert!(
        history.contains("layers 0 to 1 are one, without 651000 bytes"),
        "{history}"
    );
    assert!(history.contains("layer 1"), "{history}");
    assert_store_is_valid(&host);
}

#[test]
fn files_of_any_length_are_merged_with_or_without_holes() {
    const MIB: usize = 1 << 20;
    let Some(host) = privileged() else { return };
    let dir = host.dir().join("layer");
    fs::create_dir(&dir).unwrap();
    for size in [MIB - 1, MIB, MIB + 1, 3 * MIB + 5, 9 * MIB] {
        let full: Vec<u8> = (0..size).map(|n| (n % 251 + 1).to_le_bytes()[0]).collect();
        fs::write(dir.join(format!("full-{size}")), &full).unwrap();
        let mut half = full;
        half.get_mut(size / 3..size / 2).unwrap().fill(0);
        fs::write(dir.join(format!("half-{size}")), &half).unwrap();
    }
    let archive = host.dir().join("image.tar");
    let layers = [layer(&dir), layer(&dir)];
    fs::write(&archive, image_archive("long:1", &layers, &["sh"])).unwrap();
    host.ok(["load", "-q", "-i", archive.to_str().unwrap()]);
    let made = json(
        &host,
        &["layers", "squash", "--json", "-t", "flat:1", "long:1"],
    );
    assert_eq!(made["same"], true, "{made:#}");
    assert_eq!(exported(&host, "long:1"), exported(&host, "flat:1"));
}

#[test]
fn another_tar_unpacks_the_merged_layer_with_its_holes() {
    let Some(host) = privileged() else { return };
    image(&host, "two:1");
    host.ok(["layers", "squash", "-t", "flat:1", "two:1"]);
    let (archive, out) = (host.dir().join("flat.tar"), host.dir().join("out"));
    host.ok(["save", "-o", archive.to_str().unwrap(), "flat:1"]);
    fs::create_dir(&out).unwrap();
    tool(
        "tar",
        &[
            "-xf",
            archive.to_str().unwrap(),
            "-C",
            out.to_str().unwrap(),
        ],
    );
    let manifest: Value =
        serde_json::from_slice(&fs::read(out.join("manifest.json")).unwrap()).unwrap();
    let layer = out.join(manifest[0]["Layers"][0].as_str().unwrap());
    let root = out.join("root");
    fs::create_dir(&root).unwrap();
    tool(
        "tar",
        &[
            "-xpf",
            layer.to_str().unwrap(),
            "-C",
            root.to_str().unwrap(),
        ],
    );
    for (name, size) in [("sparse", 20 << 20), ("holes", HOLES)] {
        let metadata = root.join("kept").join(name).metadata().unwrap();
        assert_eq!(metadata.len(), size);
        assert!(
            metadata.blocks() * 512 < 1 << 20,
            "{name}: {} blocks",
            metadata.blocks()
        );
    }
    let first = root.join("kept/first").metadata().unwrap();
    assert_eq!((first.nlink(), first.mode() & 0o7777), (2, 0o6755));
    let names = names_in(&root);
    assert_eq!(names, ["d", "kept", "o"]);
    assert_eq!(names_in(&root.join("o")), ["new"]);
    assert_eq!(
        root.join("kept/loop").symlink_metadata().unwrap().rdev(),
        rustix::fs::makedev(7, 300)
    );
}

#[test]
fn what_cannot_be_merged_is_said_and_leaves_nothing() {
    let Some(host) = privileged() else { return };
    image(&host, "two:1");
    for (args, text) in [
        (&["two:1"][..], "the new image needs a name"),
        (&["-t", "x@sha256:00", "two:1"], "x@sha256:00"),
        (
            &["-t", "x", "--from", "2", "two:1"],
            "there is no layer 2: two:1 has 2",
        ),
        (
            &["-t", "x", "./nowhere.tar"],
            "an archive is not in the store",
        ),
        (&["-t", "x", "nosuch"], "No such image: nosuch"),
    ] {
        let output = host.wharf([&["layers", "squash"], args].concat());
        assert_eq!((output.code, output.stdout.as_str()), (1, ""), "{output:?}");
        assert!(output.stderr.contains(text), "{output:?}");
    }
    // A layer that was changed behind the store's back is noticed, and not taken for the image's.
    let layers = host.data().join("layers");
    let damaged = names_in(&layers)
        .into_iter()
        .map(|layer| layers.join(layer).join("fs/kept/first"))
        .find(|file| file.exists())
        .unwrap();
    fs::write(&damaged, b"LINKED").unwrap();
    let output = host.wharf(["layers", "squash", "-t", "x", "two:1"]);
    assert_eq!(output.code, 1, "{output:?}");
    assert!(
        output
            .stderr
            .contains("its content is not what its layer brought"),
        "{output:?}"
    );
    assert_eq!(host.ok(["images", "-q", "x"]), "");
    assert_eq!(names_in(&layers).len(), 2);
}

#[test]
fn a_squash_that_is_killed_leaves_the_store_as_it_was() {
    let Some(host) = privileged() else { return };
    image(&host, "two:1");
    let layers = host.data().join("layers");
    for stop_at in ["b0", "d1"] {
        let mut child = host
            .command(["layers", "squash", "-t", "flat:1", "two:1"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        wait_until("the merged layer is written", PATIENCE, || {
            let mut workspaces = names_in(&layers)
                .into_iter()
                .filter(|name| name.starts_with(".tmp-"));
            workspaces.any(|name| layers.join(name).join(stop_at).exists())
                || child.try_wait().unwrap().is_some()
        });
        let _ = kill_process(Pid::from_child(&child), Signal::KILL);
        child.wait().unwrap();
        host.wharf(["rmi", "flat:1"]);
    }
    host.ok(["layers", "squash", "-t", "flat:1", "two:1"]);
    assert_eq!(exported(&host, "two:1"), exported(&host, "flat:1"));
    assert!(
        !names_in(&layers)
            .iter()
            .any(|name| name.starts_with(".tmp-"))
    );
    assert_store_is_valid(&host);
}
