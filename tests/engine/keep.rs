//! What the store keeps: prune takes what nothing uses and says how many bytes come back, `system df` counts them.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use wharf::engine::model::units;

use crate::support::{Archive, Host, image_archive, names_in, privileged};

/// Bytes of all regular files below a directory, each inode once.
fn bytes_below(dir: &Path) -> u64 {
    let mut seen = std::collections::HashSet::new();
    let mut todo = vec![dir.to_owned()];
    let mut bytes = 0;
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let stat = fs::symlink_metadata(&path).unwrap();
            if stat.is_dir() {
                todo.push(path);
            } else if stat.is_file() && seen.insert(stat.ino()) {
                bytes += stat.len();
            }
        }
    }
    bytes
}

/// Blobs and the files of unpacked layers, without the indexes of wharf's own.
fn content(host: &Host) -> u64 {
    let layers = host.data().join("layers");
    let indexes: u64 = names_in(&layers)
        .iter()
        .map(|name| fs::metadata(layers.join(name).join("index")).unwrap().len())
        .sum();
    bytes_below(&layers) + bytes_below(&host.data().join("blobs")) - indexes
}

/// A tar with one file of this many bytes.
fn layer(name: &str, size: usize) -> Vec<u8> {
    let mut tar = Archive::new();
    tar.file(name, 0o644, &vec![b'x'; size]);
    tar.finish()
}

fn load(host: &Host, tag: &str, layers: &[Vec<u8>]) {
    let archive = image_archive(tag, layers, &["/bin/sh"]);
    let output = host.wharf_with(["load"], &archive);
    assert_eq!(output.code, 0, "{output:#?}");
}

/// Checks the last line of a prune.
fn assert_reclaimed(text: &str, bytes: u64) {
    let line = format!("Total reclaimed space: {}", units::human_size(bytes));
    assert_eq!(text.lines().last().unwrap(), line, "{text}");
}

#[test]
fn a_prune_gives_back_exactly_what_nothing_else_needs() {
    let Some(host) = privileged() else { return };
    let base = layer("base", 400);
    load(&host, "one:1", &[base.clone(), layer("a", 100)]);
    load(&host, "two:1", &[base, layer("b", 200)]);
    // The name moves: what it meant before dangles.
    load(&host, "one:1", &[layer("c", 300)]);

    let before = content(&host);
    let text = host.ok(["image", "prune", "-f"]);
    let after = content(&host);
    assert_reclaimed(&text, before - after);
    assert!(
        text.starts_with("Deleted Images:\ndeleted: sha256:"),
        "{text}"
    );
    // The image and its own layer, but not the shared one.
    assert_eq!(text.matches("deleted: ").count(), 2, "{text}");
    assert_eq!(names_in(&host.data().join("layers")).len(), 3);

    // Nothing is left to be done.
    assert_eq!(
        host.ok(["image", "prune", "-f"]),
        "Total reclaimed space: 0B"
    );

    let before = after;
    let text = host.ok(["image", "prune", "-a", "-f"]);
    assert!(
        text.contains("untagged: one:1\n") && text.contains("untagged: two:1\n"),
        "{text}"
    );
    assert_reclaimed(&text, before);
    assert_eq!(content(&host), 0);
    assert_eq!(host.ok(["images", "-q"]), "");
}

#[test]
fn a_prune_spares_what_containers_and_filters_name() {
    let Some(host) = privileged() else { return };
    let Some(image) = host.busybox_image() else {
        return;
    };
    load(&host, "old:1", &[layer("a", 100)]);
    let tar = layer("rootfs", 50);
    let import = |change: &str, name: &str| {
        let output = host.wharf_with(["import", "-c", change, "-", name], &tar);
        assert_eq!(output.code, 0, "{output:#?}");
    };
    import("LABEL keep=yes", "kept:1");
    import("LABEL keep=no", "gone:1");
    host.ok(["create", "--name", "user", image, "true"]);

    let answer = host.wharf_with(["image", "prune", "-a"], b"n\n");
    assert_eq!(
        answer.stdout,
        "WARNING! This will remove all images without at least one container associated to them.\n\
         Are you sure you want to continue? [y/N] Total reclaimed space: 0B\n"
    );
    let text = host.ok([
        "image",
        "prune",
        "-a",
        "-f",
        "--filter",
        "label!=keep=yes",
        "--filter",
        "until=1h",
    ]);
    // All are younger than an hour, but what an archive brings in was made before.
    assert!(!text.contains("gone:1"), "{text}");
    let text = host.ok(["image", "prune", "-a", "-f", "--filter", "label=keep=no"]);
    assert!(text.contains("untagged: gone:1\n"), "{text}");
    assert!(!text.contains("kept"), "{text}");
    let text = host.ok(["image", "prune", "-a", "-f"]);
    assert!(text.contains("untagged: kept:1\n"), "{text}");
    assert!(!text.contains(image), "{text}");
    assert_eq!(
        host.ok(["images", "--format", "{{.Repository}}:{{.Tag}}"])
            .trim(),
        image
    );

    for (filter, message) in [
        ("foo=1", "wharf: invalid filter 'foo'\n"),
        (
            "until=x",
            "wharf: failed to parse value as time or duration: \"x\"\n",
        ),
    ] {
        let output = host.wharf(["image", "prune", "-f", "--filter", filter]);
        assert_eq!((output.code, output.stderr.as_str()), (1, message));
    }
}

#[test]
fn a_prune_takes_leftovers_that_nobody_works_on() {
    let Some(host) = privileged() else { return };
    load(&host, "a:1", &[layer("a", 10)]);
    let ingest = host.data().join("ingest");
    fs::create_dir_all(&ingest).unwrap();
    let write = |name: &str, days: u64| {
        let path = ingest.join(name);
        fs::write(&path, [0; 1000]).unwrap();
        let then = SystemTime::now() - Duration::from_secs(days * 86_400);
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(then).unwrap();
        file
    };
    write("old", 8);
    write("fresh", 1);
    let busy = write("busy", 30);
    busy.lock().unwrap();
    // What a killed process leaves.
    let stale = host.data().join("layers/.tmp-0123456789abcdef");
    fs::create_dir_all(stale.join("d0/fs")).unwrap();
    fs::write(stale.join("d0/fs/x"), [0; 500]).unwrap();

    let text = host.ok(["image", "prune", "-f"]);
    assert_eq!(text, "Total reclaimed space: 1.5kB");
    assert_eq!(names_in(&ingest), ["busy", "fresh"]);
    assert!(!stale.exists());
    let text = host.ok(["image", "prune", "-a", "-f"]);
    assert!(text.contains("untagged: a:1\n"), "{text}");
    assert_eq!(names_in(&ingest), ["busy"]);
    drop(busy);
    assert_eq!(
        host.ok(["image", "prune", "-a", "-f"]),
        "Total reclaimed space: 1kB"
    );
}

#[test]
fn disk_usage_counts_a_shared_layer_once() {
    let Some(host) = privileged() else { return };
    let Some(image) = host.busybox_image() else {
        return;
    };
    let base = layer("base", 4000);
    load(&host, "one:1", &[base.clone(), layer("a", 100)]);
    load(&host, "two:1", &[base, layer("b", 250)]);
    host.ok([
        "run",
        "--name",
        "writer",
        image,
        "sh",
        "-c",
        "echo 12345 > /x; echo 1234567",
    ]);

    let text = host.ok([
        "system",
        "df",
        "--format",
        "{{.Type}} {{.TotalCount}} {{.Active}}",
    ]);
    assert_eq!(
        text,
        "Images 3 1\nContainers 1 0\nLocal Volumes 0 0\nBuild Cache 0 0"
    );
    let details = host.ok(["system", "df", "-v", "--format", "json"]);
    let details: serde_json::Value = serde_json::from_str(&details).unwrap();
    let find = |name: &str| {
        let rows = details["Images"].as_array().unwrap();
        rows.iter()
            .find(|row| row["Repository"] == name)
            .unwrap()
            .clone()
    };
    let (one, two) = (find("one"), find("two"));
    let sizes = |row: &serde_json::Value| {
        ["VirtualSize", "SharedSize", "UniqueSize", "Containers"]
            .map(|name| row[name].as_str().unwrap().to_owned())
    };
    assert_eq!(sizes(&one), ["4.1kB", "4kB", "100B", "0"]);
    assert_eq!(sizes(&two), ["4.25kB", "4kB", "250B", "0"]);
    assert_eq!(find("busybox")["Containers"], "1");
    let log = bytes_below(
        &host
            .data()
            .join("containers")
            .join(&host.container_ids()[0])
            .join("log"),
    );
    assert_eq!(details["Containers"][0]["Size"], format!("{}B", 6 + log));

    let table = host.ok(["system", "df", "-v"]);
    for heading in [
        "Images space usage:\n\nREPOSITORY   TAG",
        "\n\nContainers space usage:\n\nCONTAINER ID   IMAGE",
        "\n\nLocal Volumes space usage:\n\nVOLUME NAME   LINKS     SIZE\n",
        "\nBuild cache usage: 0B\n\nCACHE ID   CACHE TYPE   SIZE      CREATED   LAST USED   USAGE     SHARED",
    ] {
        assert!(table.contains(heading), "{table}");
    }
    // What df calls reclaimable is what a prune gives.
    let promised = host.ok(["system", "df", "--format", "{{.Reclaimable}}"]);
    let promised = promised
        .lines()
        .next()
        .unwrap()
        .split(' ')
        .next()
        .unwrap()
        .to_owned();
    let text = host.ok(["image", "prune", "-a", "-f"]);
    assert_eq!(
        text.lines().last().unwrap(),
        format!("Total reclaimed space: {promised}")
    );
}
