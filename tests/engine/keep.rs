//! What the store keeps: prune takes what nothing uses and says how many bytes come back, `system df` counts them.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use wharf::engine::Engine;
use wharf::engine::model::image::Removed;
use wharf::engine::model::request::PruneImages;
use wharf::engine::model::units;
use wharf::engine::store::Roots;

use crate::registry::Registry;
use crate::registry::http::{Response, Server};
use crate::support::{Archive, Host, collect, image_archive, names_in, privileged, sha256};

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
pub fn layer(name: &str, size: usize) -> Vec<u8> {
    let mut tar = Archive::new();
    tar.file(name, 0o644, &vec![b'x'; size]);
    tar.finish()
}

pub fn load(host: &Host, tag: &str, layers: &[Vec<u8>]) {
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

/// Who has seen a list and agreed to it has agreed to no more: what came since, what has got a name since, and what a container uses
/// by now stays.
#[test]
fn a_prune_takes_only_what_was_seen() {
    let Some(host) = privileged() else { return };
    let engine = Engine::open(Roots {
        data: host.data(),
        run: host.run(),
    })
    .unwrap();
    for name in ["gone:1", "named:1", "used:1"] {
        load(&host, name, &[layer(name, 100)]);
    }
    let mut request = PruneImages {
        all: true,
        ..PruneImages::default()
    };
    let plan = engine.plan_prune_images(&request).unwrap();
    assert_eq!(plan.images.len(), 3);
    let seen = plan.images.iter();
    request.only = Some(seen.map(|i| (i.id.clone(), i.tags.clone())).collect());
    // Meanwhile.
    load(&host, "new:1", &[layer("new", 100)]);
    host.ok(["tag", "named:1", "named:2"]);
    host.ok(["create", "--name", "user", "used:1", "true"]);
    let pruned = engine.prune_images(&request).unwrap();
    let untagged: Vec<_> = pruned
        .removed
        .iter()
        .filter_map(|step| match step {
            Removed::Untagged(name) => Some(name.as_str()),
            Removed::Deleted(_) => None,
        })
        .collect();
    assert_eq!(untagged, ["gone:1"]);
    let mut names = host.ok(["images", "--format", "{{.Repository}}:{{.Tag}}"]);
    names.make_ascii_lowercase();
    let mut names: Vec<_> = names.lines().collect();
    names.sort_unstable();
    assert_eq!(names, ["named:1", "named:2", "new:1", "used:1"]);
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
         Are you sure you want to continue? [y/N] "
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

/// A layer with one of everything that an index knows.
fn rich_layer() -> Vec<u8> {
    let mut tar = Archive::new();
    tar.directory("etc/", 0o755);
    tar.file("etc/passwd", 0o644, b"root:x:0:0::/:/bin/sh\n");
    tar.symlink("etc/link", "passwd");
    tar.file("set", 0o4755, b"setuid");
    tar.directory("deep/er/", 0o2750);
    tar.file("deep/er/file", 0o600, &[b'y'; 3000]);
    tar.finish()
}

/// A layer that takes away and adds.
fn upper_layer() -> Vec<u8> {
    let mut tar = Archive::new();
    tar.file("etc/.wh.passwd", 0o644, b"");
    tar.file("deep/.wh..wh..opq", 0o644, b"");
    tar.file("deep/new", 0o644, b"new");
    tar.finish()
}

pub fn problems(host: &Host, args: &[&str]) -> (i32, Vec<String>) {
    let output = host.wharf(["system", "check", "--format", "json"].iter().chain(args));
    assert_eq!(output.stderr, "", "{output:#?}");
    let value: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
    let list = value["Damages"].as_array().unwrap();
    let line = |damage: &serde_json::Value| {
        let what = damage["What"].as_str().unwrap();
        let kind = what.split(' ').next().unwrap();
        let repaired = damage["Repaired"].as_str().unwrap_or("-");
        format!(
            "{kind}: {} => {repaired}",
            damage["Problem"].as_str().unwrap()
        )
    };
    (output.code, list.iter().map(line).collect())
}

/// The unpacked layer that has this file.
fn unpacked(host: &Host, file: &str) -> std::path::PathBuf {
    let layers = host.data().join("layers");
    names_in(&layers)
        .iter()
        .map(|name| layers.join(name).join("fs"))
        .find(|fs| fs.join(file).symlink_metadata().is_ok())
        .unwrap()
}

#[test]
fn a_whole_store_passes_the_check() {
    let Some(host) = privileged() else { return };
    assert_eq!(
        host.ok(["system", "check"]),
        "Checked 0 images, 0 blobs and 0 layers (0B): nothing is wrong"
    );
    load(&host, "rich:1", &[rich_layer(), upper_layer()]);
    let Some(image) = host.busybox_image() else {
        return;
    };
    host.ok(["run", "--rm", image, "true"]);
    let text = host.ok(["system", "check"]);
    assert!(
        text.starts_with("Checked 2 images, 7 blobs and 3 layers ("),
        "{text}"
    );
    assert!(text.ends_with(": nothing is wrong"), "{text}");
}

#[test]
fn every_change_to_an_unpacked_layer_is_found_and_made_good() {
    let Some(host) = privileged() else { return };
    load(&host, "rich:1", &[rich_layer(), upper_layer()]);
    let changes: &[(&str, &str)] = &[
        (
            "printf changed-it-is-longer > etc/passwd",
            "etc/passwd: it has 20 bytes, not 22",
        ),
        (
            "touch -r etc/passwd ref; printf 'ROOT:x:0:0::/:/bin/sh\\n' > etc/passwd; touch -r ref etc/passwd; rm ref; touch -d @1700000000 .",
            "etc/passwd: its content has changed",
        ),
        ("chmod 755 set", "set: its mode is 755, not 4755"),
        (
            "chown 7:8 deep/er/file",
            "deep/er/file: its owner is 7:8, not 0:0",
        ),
        (
            "touch -d @1 deep/er/file",
            "deep/er/file: its time has changed",
        ),
        (
            "ln -sf /elsewhere etc/link; touch -h -d @1700000000 etc/link; touch -d @1700000000 etc",
            "etc/link: it points elsewhere",
        ),
        (
            "rm etc/passwd; mkdir etc/passwd",
            "etc/passwd: it is something else",
        ),
        ("rm -r deep", "deep: it is missing"),
        ("echo x > etc/more", "etc/more: it is not of this layer"),
        (
            "attribute set security.capability",
            "set: its attribute \"security.capability\" has changed",
        ),
        (
            "attribute deep trusted.overlay.opaque",
            "deep: it hides or shows what is below by mistake",
        ),
    ];
    for (script, problem) in changes {
        let (path, what) = problem.split_once(": ").unwrap();
        let expected = format!("{path:?}: {what}");
        let fs = unpacked(&host, "etc/link");
        if let ["attribute", file, name] = script.split(' ').collect::<Vec<_>>().as_slice() {
            // vfs_cap_data of no capability at all, or overlayfs's mark.
            let value = if *name == "security.capability" {
                &b"\0\0\0\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"[..]
            } else {
                b"y"
            };
            rustix::fs::lsetxattr(fs.join(file), *name, value, rustix::fs::XattrFlags::empty())
                .unwrap();
        } else {
            let mut command = std::process::Command::new("sh");
            let status = command
                .args(["-euc", script])
                .current_dir(&fs)
                .status()
                .unwrap();
            assert!(status.success(), "{script}");
        }
        let (code, found) = problems(&host, &[]);
        assert_eq!((code, found.len()), (1, 1), "{script}: {found:?}");
        assert!(found[0].starts_with("layer: "), "{found:?}");
        assert!(found[0].contains(expected.as_str()), "{script}: {found:?}");
        assert!(
            found[0].ends_with("; it can be unpacked again: --repair => -"),
            "{found:?}"
        );
        let (code, found) = problems(&host, &["--repair"]);
        assert_eq!(code, 0, "{found:?}");
        assert!(
            found[0].ends_with(" => unpacked again from its blob"),
            "{found:?}"
        );
        assert_eq!(problems(&host, &[]), (0, vec![]), "{script}");
    }
    // A whiteout and an opaque directory are gone from the upper layer.
    let fs = unpacked(&host, "deep/new");
    fs::remove_file(fs.join("etc/passwd")).unwrap();
    let (code, found) = problems(&host, &["--repair"]);
    assert_eq!(code, 0, "{found:?}");
    assert!(
        found[0].contains("\"etc/passwd\": it is missing"),
        "{found:?}"
    );
    // All of it.
    fs::remove_dir_all(host.data().join("layers")).unwrap();
    fs::create_dir(host.data().join("layers")).unwrap();
    let (code, found) = problems(&host, &["--repair"]);
    assert_eq!((code, found.len()), (0, 2), "{found:?}");
    assert_eq!(problems(&host, &[]), (0, vec![]));
}

#[test]
fn a_damaged_blob_is_named_and_what_to_do() {
    let Some(host) = privileged() else { return };
    load(&host, "a:1", &[layer("a", 5000)]);
    let blobs = host.data().join("blobs/sha256");
    let large = names_in(&blobs)
        .into_iter()
        .max_by_key(|name| fs::metadata(blobs.join(name)).unwrap().len())
        .unwrap();
    let mut bytes = fs::read(blobs.join(&large)).unwrap();
    bytes[600] ^= 1;
    fs::write(blobs.join(&large), bytes).unwrap();
    let (code, found) = problems(&host, &["--repair"]);
    assert_eq!((code, found.len()), (1, 1), "{found:?}");
    assert!(
        found[0].starts_with("blob: its content is sha256:"),
        "{found:?}"
    );
    assert!(
        found[0].ends_with("; remove a:1 and bring it in again => -"),
        "{found:?}"
    );
    fs::remove_file(blobs.join(&large)).unwrap();
    let output = host.wharf(["system", "check"]);
    assert_eq!(output.code, 1);
    assert_eq!(
        output.stdout.lines().next().unwrap(),
        format!("blob sha256:{large}: it is missing; remove a:1 and bring it in again")
    );
    // The layer cannot be unpacked again then.
    fs::write(unpacked(&host, "a").join("a"), "x").unwrap();
    let (_, found) = problems(&host, &["--repair"]);
    assert!(
        found[1].ends_with("; its blob is damaged, too => -"),
        "{found:?}"
    );
}

#[test]
fn a_layer_that_a_container_runs_on_is_not_exchanged() {
    let Some(host) = privileged() else { return };
    let Some(image) = host.busybox_image() else {
        return;
    };
    host.ok(["run", "-d", "--name", "user", image, "sleep", "1000"]);
    fs::write(unpacked(&host, "etc/group").join("etc/group"), "x").unwrap();
    let (code, found) = problems(&host, &["--repair"]);
    assert_eq!(code, 1);
    assert!(
        found[0].ends_with("; it can be unpacked again when no running container uses it => -"),
        "{found:?}"
    );
    host.ok(["rm", "-f", "user"]);
    assert_eq!(problems(&host, &["--repair"]).0, 0);
}

#[test]
fn what_nothing_refers_to_is_found_and_removed() {
    let Some(host) = privileged() else { return };
    load(&host, "a:1", &[layer("a", 10)]);
    let hex = "1".repeat(64);
    fs::write(host.data().join("blobs/sha256").join(&hex), "x").unwrap();
    fs::create_dir_all(host.data().join("layers").join(&hex).join("fs")).unwrap();
    fs::create_dir_all(host.data().join("layers/.tmp-00")).unwrap();
    let lines = |end: &str| {
        vec![
            format!("layer: nothing refers to it{end}"),
            format!("blob: nothing refers to it{end}"),
            format!("workspace: a process that has gone left it behind{end}"),
        ]
    };
    assert_eq!(
        problems(&host, &[]),
        (1, lines("; --repair removes it => -"))
    );
    assert_eq!(problems(&host, &["--repair"]), (0, lines(" => removed")));
    assert_eq!(problems(&host, &[]), (0, vec![]));
}

#[test]
fn a_damaged_blob_is_fetched_again_from_where_it_came() {
    let Some(host) = privileged() else { return };
    let Some(registry) = Registry::open(&host) else {
        return;
    };
    let name = registry.reference("team/app:1");
    load(&host, &name, &[layer("a", 5000), layer("b", 100)]);
    host.ok(["push", "-q", &name]);
    host.ok(["rmi", &name]);
    host.ok(["pull", "-q", &name]);
    let blobs = host.data().join("blobs/sha256");
    let all = names_in(&blobs);
    assert_eq!(all.len(), 4);
    for hex in &all {
        fs::write(blobs.join(hex), "damaged").unwrap();
    }
    fs::remove_file(blobs.join(&all[0])).unwrap();
    let (code, found) = problems(&host, &[]);
    assert_eq!((code, found.len()), (1, 4), "{found:?}");
    let (code, found) = problems(&host, &["--repair"]);
    assert_eq!((code, found.len()), (0, 4), "{found:?}");
    let repository = registry.reference("team/app");
    for line in &found {
        assert!(
            line.ends_with(&format!(" => fetched again from {repository}")),
            "{found:?}"
        );
    }
    assert_eq!(problems(&host, &[]), (0, vec![]));
    // A registry that has it no more, or something else, is told of, and the store stays as it is.
    fs::write(blobs.join(&all[0]), "damaged").unwrap();
    fs::write(registry.blob_file(&all[0]), "other").unwrap();
    let (code, found) = problems(&host, &["--repair"]);
    assert_eq!((code, found.len()), (1, 1), "{found:?}");
    assert!(
        found[0].ends_with(&format!("; remove {name} and bring it in again => -")),
        "{found:?}"
    );
    assert_eq!(fs::read(blobs.join(&all[0])).unwrap(), b"damaged");
}

/// An OCI layout as a tar: one name, an image for each platform, and an index over them.
fn many_platforms(platforms: &[&str]) -> Vec<u8> {
    let mut blobs: Vec<Vec<u8>> = Vec::new();
    let mut manifests = Vec::new();
    for platform in platforms {
        let (os, architecture) = platform.split_once('/').unwrap();
        let layer = layer(architecture, 100);
        let digest = |bytes: &[u8]| format!("sha256:{}", sha256(bytes));
        let config = serde_json::to_vec(&serde_json::json!({
            "os": os, "architecture": architecture, "config": {},
            "rootfs": {"type": "layers", "diff_ids": [digest(&layer)]},
        }))
        .unwrap();
        let describe = |kind: &str, bytes: &[u8]| {
            serde_json::json!({
                "mediaType": format!("application/vnd.oci.image.{kind}"), "digest": digest(bytes), "size": bytes.len(),
            })
        };
        let manifest = serde_json::to_vec(&serde_json::json!({
            "schemaVersion": 2, "config": describe("config.v1+json", &config), "layers": [describe("layer.v1.tar", &layer)],
        }))
        .unwrap();
        let mut descriptor = describe("manifest.v1+json", &manifest);
        descriptor["platform"] = serde_json::json!({"os": os, "architecture": architecture});
        manifests.push(descriptor);
        blobs.extend([layer, config, manifest]);
    }
    let index =
        serde_json::to_vec(&serde_json::json!({"schemaVersion": 2, "manifests": manifests}))
            .unwrap();
    let top = serde_json::to_vec(&serde_json::json!({"schemaVersion": 2, "manifests": [{
        "mediaType": "application/vnd.oci.image.index.v1+json", "size": index.len(),
        "digest": format!("sha256:{}", sha256(&index)),
        "annotations": {"io.containerd.image.name": "docker.io/library/many:1"},
    }]}))
    .unwrap();
    blobs.push(index);
    let mut tar = Archive::new();
    tar.file("oci-layout", 0o644, br#"{"imageLayoutVersion":"1.0.0"}"#);
    tar.file("index.json", 0o644, &top);
    for blob in blobs {
        tar.file(&format!("blobs/sha256/{}", sha256(&blob)), 0o644, &blob);
    }
    tar.finish()
}

#[test]
fn a_platform_is_loaded_shown_saved_and_removed_by_its_name() {
    let Some(host) = privileged() else { return };
    let archive = many_platforms(&["linux/s390x", "linux/riscv64"]);
    let output = host.wharf_with(["load"], &archive);
    assert_eq!(output.code, 1);
    assert!(
        output
            .stderr
            .ends_with(", only for linux/s390x, linux/riscv64\n"),
        "{output:#?}"
    );
    let output = host.wharf_with(["load", "--platform", "linux/riscv64"], &archive);
    assert_eq!(output.stdout, "Loaded image: many:1\n", "{output:#?}");
    let show = [
        "image",
        "inspect",
        "-f",
        "{{.Architecture}} {{.Metadata.LastTagTime}}",
        "many:1",
    ];
    assert_eq!(host.ok(show), "riscv64 0001-01-01T00:00:00Z");
    host.ok(["tag", "many:1", "again:1"]);
    assert!(!host.ok(show).contains("0001-01-01"));
    let wrong = "wharf: image with reference many:1 was found but its platform (linux/riscv64) does not match the \
                 specified platform (linux/arm64)\n";
    for verb in [
        &["save", "-o", "x.tar"][..],
        &["history"],
        &["image", "inspect"],
        &["rmi"],
    ] {
        let arguments = [verb, &["--platform", "linux/arm64", "many:1"]].concat();
        let output = host.wharf(&arguments);
        assert_eq!(output.code, 1, "{arguments:?}");
        assert_eq!(output.stderr, wrong, "{arguments:?}");
    }
    assert!(
        host.ok(["history", "--platform", "linux/riscv64", "many:1"])
            .starts_with("IMAGE ")
    );
    let tree = host.ok(["images", "--tree"]);
    assert!(
        tree.starts_with(
            "IMAGE              ID             DISK USAGE   CONTENT SIZE   USED\nagain:1 "
        ),
        "{tree}"
    );
    assert!(tree.contains("\n└─ linux/riscv64   "), "{tree}");
    let removed = host.ok([
        "rmi",
        "--no-prune",
        "--platform",
        "linux/riscv64",
        "many:1",
        "again:1",
    ]);
    assert!(
        removed.starts_with("Untagged: many:1\nUntagged: again:1\nDeleted: sha256:"),
        "{removed}"
    );
    // An archive that has only another platform.
    let output = host.wharf_with(
        ["load", "--platform", "linux/arm64"],
        &image_archive("a:1", &[layer("a", 10)], &["x"]),
    );
    assert_eq!(output.code, 1);
    assert!(
        output
            .stderr
            .contains("the archive has no image for linux/arm64, only for linux/"),
        "{output:#?}"
    );
}

#[test]
fn a_saved_archive_is_what_tar_reads_and_loads_again() {
    let Some(host) = privileged() else { return };
    // Sizes around the blocks of a tar and of the copy.
    let layers: Vec<Vec<u8>> = [0, 1, 511, 512, 513, (1 << 20) - 1024, 3 << 20]
        .iter()
        .map(|size| layer(&format!("f{size}"), *size))
        .collect();
    load(&host, "sizes:1", &layers);
    load(&host, "other:1", &layers[..2]);
    let file = host.dir().join("saved.tar");
    let file = file.to_str().unwrap();
    host.ok(["save", "-o", file, "sizes:1", "other:1"]);
    let listed = collect(std::process::Command::new("tar").args(["-tvf", file]), &[]);
    assert_eq!(
        (listed.code, listed.stderr.as_str()),
        (0, ""),
        "{listed:#?}"
    );
    assert!(listed.stdout.contains("blobs/sha256/"), "{listed:#?}");
    let piped = host
        .command(["save", "sizes:1", "other:1"])
        .output()
        .unwrap();
    assert!(
        piped.stdout == fs::read(file).unwrap(),
        "a pipe gets the same bytes as a file"
    );
    let ids = host.ok(["images", "-q", "--no-trunc"]);
    host.ok(["rmi", "sizes:1", "other:1"]);
    let loaded = host.ok(["load", "-i", file]);
    assert_eq!(loaded, "Loaded image: sizes:1\nLoaded image: other:1");
    assert_eq!(host.ok(["images", "-q", "--no-trunc"]), ids);
    assert!(host.ok(["system", "check"]).ends_with(": nothing is wrong"));
    // A load that is looked at by a program.
    let lines = host.ok(["load", "-i", file, "--progress", "json"]);
    assert!(
        lines.ends_with(r#"{"stream":"Loaded image: other:1\n"}"#),
        "{lines}"
    );
}

#[test]
fn a_root_file_system_is_imported_from_a_url() {
    let Some(host) = privileged() else { return };
    let tar = layer("etc/x", 100_000);
    let moved = Server::start({
        let tar = tar.clone();
        move |request| match request.path() {
            "/root.tar" => Response::new(200, "application/x-tar", tar.clone()),
            "/moved" => Response::new(302, "text/plain", "").with("Location", "/root.tar"),
            _ => Response::new(404, "text/plain", "no"),
        }
    });
    let url = |path: &str| format!("{}{path}", moved.url());
    let id = host.ok([
        "import",
        "-c",
        "ENV A=1",
        "-c",
        "WORKDIR /srv/$A",
        &url("/moved"),
        "web:1",
    ]);
    assert!(id.starts_with("sha256:"), "{id}");
    let show = [
        "image",
        "inspect",
        "-f",
        "{{.Config.WorkingDir}} {{.Comment}} {{.Size}}",
        "web:1",
    ];
    assert_eq!(
        host.ok(show),
        format!("/srv/1 Imported from {} 100000", url("/moved"))
    );
    let output = host.wharf(["import", &url("/nosuch")]);
    assert_eq!(output.code, 1);
    assert_eq!(
        output.stderr,
        format!("wharf: Get \"{}\": 404 Not Found\n", url("/nosuch"))
    );
    let output = host.wharf(["import", "http://["]);
    assert_eq!(
        (output.code, output.stdout.as_str()),
        (1, ""),
        "{output:#?}"
    );
}

// A prune must never take what a load is just about to count on.
#[test]
fn loads_and_prunes_side_by_side_leave_a_whole_store() {
    let Some(host) = privileged() else { return };
    let shared = layer("base", 20_000);
    let archives: Vec<Vec<u8>> = (0..3)
        .map(|n| {
            image_archive(
                &format!("a{n}:1"),
                &[shared.clone(), layer(&format!("f{n}"), 3000)],
                &["x"],
            )
        })
        .collect();
    std::thread::scope(|scope| {
        for archive in &archives {
            let host = &host;
            scope.spawn(move || {
                for _ in 0..8 {
                    let output = host.wharf_with(["load", "-q"], archive);
                    assert_eq!(output.code, 0, "{output:#?}");
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..12 {
                host.ok(["image", "prune", "-a", "-f"]);
                host.ok(["system", "df"]);
            }
        });
        // Nor must a check take for damage what is only on the move.
        scope.spawn(|| {
            for _ in 0..12 {
                assert_eq!(problems(&host, &[]), (0, vec![]));
            }
        });
    });
    assert_eq!(problems(&host, &[]), (0, vec![]));
    for archive in &archives {
        assert_eq!(host.wharf_with(["load", "-q"], archive).code, 0);
    }
    assert_eq!(problems(&host, &[]), (0, vec![]));
    host.ok(["image", "prune", "-a", "-f"]);
    assert_eq!(names_in(&host.data().join("layers")), [""; 0]);
    assert_eq!(names_in(&host.data().join("blobs/sha256")), [""; 0]);
}
