//! Archives that people bring along, in forms that no layer of ours has: compressed by xz and bzip2, inside or outside,
//! and written by Docker before 1.10.

use std::process::{Command, Stdio};

use crate::support::{Archive, Host, collect, has_peer, image_archive, privileged};

/// What a program makes of its input.
fn packed(program: &str, bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut child = Command::new(program)
        .arg("-c")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || input.write_all(bytes).unwrap());
        child.wait_with_output().unwrap().stdout
    })
}

/// A tar with one file.
pub fn layer(name: &str, content: &[u8]) -> Vec<u8> {
    let mut layer = Archive::new();
    layer.file(name, 0o644, content);
    layer.finish()
}

/// What an image's layers are, uncompressed.
fn diff_ids(host: &Host, image: &str) -> String {
    host.ok([
        "image",
        "inspect",
        "--format",
        "{{json .RootFS.Layers}}",
        image,
    ])
}

fn load(host: &Host, archive: &[u8]) -> String {
    let loaded = host.wharf_with(["load"], archive);
    assert_eq!(loaded.code, 0, "{loaded:#?}");
    loaded.stdout
}

#[test]
fn archives_and_layers_inside_that_xz_and_bzip2_compressed_are_loaded_and_imported() {
    let Some(host) = privileged() else { return };
    if !(has_peer("xz") && has_peer("bzip2")) {
        return;
    }
    let tar = layer("file", &b"content ".repeat(100_000));
    let archive = image_archive("plain:1", std::slice::from_ref(&tar), &["sh"]);
    load(&host, &archive);
    let expected = diff_ids(&host, "plain:1");
    host.ok(["rmi", "plain:1"]);
    for program in ["xz", "bzip2"] {
        let said = load(&host, &packed(program, &archive));
        assert_eq!(said, "Loaded image: plain:1\n");
        assert_eq!(diff_ids(&host, "plain:1"), expected);
        host.ok(["rmi", "plain:1"]);

        let inside = with_layer_file(&archive, &packed(program, &tar));
        load(&host, &packed(program, &inside));
        assert_eq!(diff_ids(&host, "plain:1"), expected);
        // It is pushed and saved in a form that everybody reads.
        let saved = host.dir().join("saved.tar");
        host.ok(["save", "-o", saved.to_str().unwrap(), "plain:1"]);
        let bytes = std::fs::read(&saved).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.contains("application/vnd.oci.image.layer.v1.tar\""));
        host.ok(["rmi", "plain:1"]);

        let imported = host.wharf_with(["import", "-", "plain:1"], &packed(program, &tar));
        assert_eq!(imported.code, 0, "{imported:#?}");
        assert_eq!(diff_ids(&host, "plain:1"), expected);
        host.ok(["rmi", "plain:1"]);
    }
    host.ok(["system", "check"]);
}

/// The same archive with other bytes as its layer's file.
fn with_layer_file(archive: &[u8], bytes: &[u8]) -> Vec<u8> {
    use std::io::Read;
    let mut made = Archive::new();
    for entry in tar::Archive::new(archive).entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().to_str().unwrap().to_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        let is_layer = name.ends_with("layer.tar");
        made.file(&name, 0o644, if is_layer { bytes } else { &content });
    }
    made.finish()
}

/// An archive as Docker 1.9 wrote it of two images, one lying on the other, of which one has a name.
#[must_use]
pub fn of_docker_1_9() -> Vec<u8> {
    let mut archive = Archive::new();
    let mut parent = String::new();
    for (digit, cmd, tar) in [
        ("1", "#(nop) ADD file:1 in /", layer("file", b"one")),
        ("2", "#(nop) ENV A=1 && B<2", Archive::new().finish()),
        ("3", "touch /other", layer("other", b"three")),
    ] {
        let id = digit.repeat(64);
        let mut json = serde_json::json!({
            "id": id,
            "created": format!("2015-11-0{digit}T10:20:30.123456789Z"),
            "container": "c".repeat(64),
            "container_config": {"Hostname": "c", "Cmd": ["/bin/sh", "-c", cmd], "Image": parent},
            "docker_version": "1.9.1",
            "author": "ada",
            "config": {"Hostname": "c", "Env": ["A=1 && B<2"], "Cmd": ["/bin/sh"], "Labels": {}},
            "architecture": if std::env::consts::ARCH == "aarch64" { "arm64" } else { "amd64" },
            "os": "linux",
            "Size": 3,
        });
        if !parent.is_empty() {
            json["parent"] = parent.into();
        }
        archive.directory(&format!("{id}/"), 0o755);
        archive.file(&format!("{id}/VERSION"), 0o644, b"1.0");
        archive.file(&format!("{id}/json"), 0o644, json.to_string().as_bytes());
        archive.file(&format!("{id}/layer.tar"), 0o644, &tar);
        parent = id;
    }
    let id = "2".repeat(64);
    let repositories = serde_json::json!({"old/image": {"1": id, "latest": id}});
    archive.file("repositories", 0o644, repositories.to_string().as_bytes());
    archive.finish()
}

#[test]
fn an_archive_of_docker_before_1_10_is_loaded_with_its_names_and_its_history() {
    let Some(host) = privileged() else { return };
    let said = load(&host, &of_docker_1_9());
    assert!(said.contains("Loaded image: old/image:1\n"), "{said}");
    assert!(said.contains("Loaded image: old/image:latest\n"), "{said}");
    // What lies on top has no name.
    assert!(said.contains("Loaded image ID: sha256:"), "{said}");
    let shown = host.ok([
        "image",
        "inspect",
        "--format",
        "{{json .Config.Env}} {{json .Config.Cmd}} {{.Author}} {{.Created}} {{len .RootFS.Layers}}",
        "old/image:1",
    ]);
    assert!(
        shown.contains(r#"["/bin/sh"] ada 2015-11-02T10:20:30.123456789Z 2"#),
        "{shown}"
    );
    let history = host.ok([
        "history",
        "--no-trunc",
        "--format",
        "{{.CreatedBy}}",
        "old/image",
    ]);
    let lines: Vec<&str> = history.lines().collect();
    assert_eq!(lines.len(), 2, "{history}");
    assert!(lines[0].contains("ENV A=1 && B<2"), "{history}");
    host.ok(["system", "check"]);
    // By the name of the old registry's repository the image can be had again in a form of today.
    let saved = host.dir().join("saved.tar");
    host.ok(["save", "-o", saved.to_str().unwrap(), "old/image"]);
    assert!(
        collect(Command::new("tar").arg("-tf").arg(&saved), &[])
            .stdout
            .contains("index.json")
    );
}

#[test]
fn a_damaged_archive_of_docker_before_1_10_is_refused_by_the_name_of_what_is_wrong() {
    let Some(host) = privileged() else { return };
    let id = "a".repeat(64);
    let below = "b".repeat(64);
    let made = |files: &[(&str, &str)]| {
        let mut archive = Archive::new();
        for (name, content) in files {
            archive.file(name, 0o644, content.as_bytes());
        }
        archive.finish()
    };
    let json = format!("{id}/json");
    let tar = format!("{id}/layer.tar");
    let names = format!(r#"{{"a":{{"1":"{id}"}}}}"#);
    let cycle = format!(r#"{{"parent":"{id}"}}"#);
    let orphan = format!(r#"{{"parent":"{below}"}}"#);
    let outside = r#"{"a":{"1":"../../etc"}}"#;
    for (files, expected) in [
        (vec![("repositories", outside)], "is not the id of a layer"),
        (vec![("repositories", names.as_str())], "has no file"),
        (vec![("repositories", "[")], "repositories: "),
        (vec![(json.as_str(), "{}")], "layer.tar"),
        (vec![(json.as_str(), "7"), (&tar, "")], "/json: "),
        (
            vec![("repositories", &names), (&json, &cycle), (&tar, "")],
            "lies on itself",
        ),
        (vec![(&json, &orphan), (&tar, "")], "has no file"),
    ] {
        let refused = host.wharf_with(["load"], &made(&files));
        assert_eq!(refused.code, 1, "{refused:#?}");
        assert!(
            refused.stderr.contains(expected),
            "{expected}: {refused:#?}"
        );
        assert_eq!(refused.stderr.trim_end().lines().count(), 1, "{refused:#?}");
    }
    assert_eq!(host.ok(["images", "-aq"]), "");
}
