//! Images that other engines wrote, and what they read of ours, byte for byte: podman and buildah with zstd and
//! zstd:chunked, a dockerd of the test's own, umoci; and what a pull or a push does when it cannot go on.

use std::fs;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::archives::{layer, of_docker_1_9};
use crate::docker::Docker;
use crate::images::sh;
use crate::registry::Registry;
use crate::registry::image::Made;
use crate::registry::proxy::Proxy;
use crate::registry::whole::{assert_image_is, assert_registry_has, assert_store_is_valid};
use crate::support::{
    Host, PATIENCE, collect, has_peer, image_archive, names_in, privileged, wait_until,
};

/// Each layer's digest when uncompressed, of an image of ours.
fn diff_ids(host: &Host, name: &str) -> String {
    host.ok([
        "image",
        "inspect",
        "--format",
        "{{json .RootFS.Layers}}",
        name,
    ])
}

#[test]
fn what_podman_and_buildah_push_as_zstd_and_zstd_chunked_is_pulled_as_it_is() {
    let Some(host) = privileged() else { return };
    if !(has_peer("podman") && has_peer("buildah")) {
        return;
    }
    let dir = host.dir();
    // Without zeros behind the archive's end: zstd:chunked of these versions loses them, and with them the digest.
    sh(
        dir,
        "mkdir t; seq 1 100000 > t/text; head -c 300000 /dev/urandom > t/noise; ln -s text t/link; ln t/text t/hard
         tar -b 1 -C t -cf t.tar .
         podman --root $PWD/p --runroot $PWD/r --storage-driver vfs import -q t.tar example/x:1",
    );
    let expected = format!(
        r#"["sha256:{}"]"#,
        sh(dir, "sha256sum t.tar").split(' ').next().unwrap()
    );
    for program in ["podman", "buildah"] {
        for format in ["zstd:chunked", "zstd"] {
            // A registry that has the layer in another form would be sent nothing.
            let Some(registry) = Registry::open(&host) else {
                return;
            };
            let name = registry.reference("a:1");
            sh(
                dir,
                &format!(
                    "{program} --root $PWD/p --runroot $PWD/r --storage-driver vfs push -q --tls-verify=false \
                     --compression-format {format} example/x:1 docker://{name}"
                ),
            );
            let manifest = registry.manifest("a", "1").text();
            assert!(manifest.contains("tar+zstd"), "{manifest}");
            assert_eq!(
                manifest.contains("zstd-chunked"),
                format == "zstd:chunked",
                "{manifest}"
            );
            host.ok(["pull", "-q", &name]);
            assert_eq!(diff_ids(&host, &name), expected, "{program} {format}");
            assert_store_is_valid(&host);
            host.ok(["system", "check"]);
            host.ok(["rmi", &name]);
        }
    }
}

#[test]
fn docker_and_wharf_load_what_the_other_saved_as_the_same_image() {
    let Some(host) = privileged() else { return };
    let Some(docker) = Docker::start(&host, &["--storage-driver", "vfs"]) else {
        return;
    };
    let layers = [
        layer("file", b"one"),
        layer("other", &b"two".repeat(10_000)),
    ];
    let id_here = |name: &str| host.ok(["image", "inspect", "--format", "{{.Id}}", name]);
    let id_there = |name: &str| docker.ok(&["image", "inspect", "--format", "{{.Id}}", name], &[]);
    let path = |name: &str| host.dir().join(name).display().to_string();
    docker.ok(&["load"], &image_archive("made:1", &layers, &["sh"]));
    docker.ok(&["save", "-o", &path("theirs.tar"), "made:1"], &[]);
    let said = host.ok(["load", "-i", &path("theirs.tar")]);
    assert_eq!(said, "Loaded image: made:1");
    assert_eq!(id_here("made:1"), id_there("made:1"));
    host.ok(["system", "check"]);

    host.ok(["tag", "made:1", "ours:1"]);
    host.ok(["save", "-o", &path("ours.tar"), "ours:1"]);
    docker.ok(&["load", "-i", &path("ours.tar")], &[]);
    assert_eq!(id_there("ours:1"), id_here("ours:1"));

    // A Docker of today reads what those before 1.10 wrote: both make the same image of it.
    let old = of_docker_1_9();
    docker.ok(&["load"], &old);
    let loaded = host.wharf_with(["load"], &old);
    assert_eq!(loaded.code, 0, "{loaded:#?}");
    assert_eq!(id_here("old/image:1"), id_there("old/image:1"));
    for program in ["xz", "bzip2"] {
        if has_peer(program) {
            let dir = host.dir();
            sh(
                dir,
                &format!("{program} -kc theirs.tar > packed; rm -f layer"),
            );
            docker.ok(&["rmi", "-f", "made:1"], &[]);
            docker.ok(&["load", "-i", &path("packed")], &[]);
            host.ok(["rmi", "-f", "made:1"]);
            host.ok(["load", "-i", &path("packed")]);
            assert_eq!(id_here("made:1"), id_there("made:1"), "{program}");
        }
    }
}

#[test]
fn what_is_pushed_is_pulled_by_podman_skopeo_and_umoci_with_equal_digests() {
    let Some(host) = privileged() else { return };
    if !(has_peer("podman") && has_peer("skopeo") && has_peer("umoci")) {
        return;
    }
    let Some(registry) = Registry::open(&host) else {
        return;
    };
    let name = registry.reference("a:1");
    let layers = [layer("file", b"one"), layer("other", b"two")];
    let loaded = host.wharf_with(["load"], &image_archive(&name, &layers, &["sh"]));
    assert_eq!(loaded.code, 0, "{loaded:#?}");
    host.ok(["push", "-q", &name]);
    let id = host.ok(["image", "inspect", "--format", "{{.Id}}", &name]);
    let pushed = host.ok([
        "image",
        "inspect",
        "--format",
        "{{json .RepoDigests}}",
        &name,
    ]);
    let dir = host.dir();
    let seen = sh(
        dir,
        &format!("skopeo inspect --tls-verify=false --format '{{{{.Digest}}}}' docker://{name}"),
    );
    let digest = seen.trim();
    assert!(pushed.contains(digest), "{pushed}");
    let podman = "podman --root $PWD/p --runroot $PWD/r --storage-driver vfs";
    let pulled = sh(dir, &format!("{podman} pull -q --tls-verify=false {name}"));
    assert_eq!(format!("sha256:{}", pulled.trim()), id);
    let theirs = sh(
        dir,
        &format!("{podman} image inspect --format '{{{{.Digest}}}}' {name}"),
    );
    assert_eq!(theirs.trim(), digest);
    sh(
        dir,
        &format!(
            "skopeo copy -q --src-tls-verify=false --dest-oci-accept-uncompressed-layers docker://{name} oci:layout:1
             umoci unpack --image layout:1 bundle
             test $(cat bundle/rootfs/file)$(cat bundle/rootfs/other) = onetwo"
        ),
    );
    let index = fs::read_to_string(dir.join("layout/index.json")).unwrap();
    assert!(index.contains(digest), "{index}");

    // By its digest it is the same image, and the name says so.
    host.ok(["rmi", "-f", &name]);
    let by_digest = format!("{}@{digest}", registry.reference("a"));
    host.ok(["pull", "-q", &by_digest]);
    assert_eq!(
        host.ok(["image", "inspect", "--format", "{{.Id}}", &by_digest]),
        id
    );
    let wrong = by_digest.replace(digest, &format!("sha256:{}", "0".repeat(64)));
    let refused = host.wharf(["pull", &wrong]);
    assert_eq!(refused.code, 1, "{refused:#?}");
    assert_eq!(refused.stderr.lines().count(), 1, "{refused:#?}");
}

#[test]
fn a_pull_into_a_store_that_cannot_be_written_gives_one_clear_line() {
    let Some(host) = privileged() else { return };
    let Some(registry) = Registry::open(&host) else {
        return;
    };
    let made = Made::random(47, 1, 10_000);
    made.put(&registry, "a", "1");
    made.put(&registry, "a", "2");
    host.ok(["pull", "-q", &registry.reference("a:1")]);
    host.ok(["rmi", &registry.reference("a:1")]);
    let data = host.data().display().to_string();
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-euc"]);
    let script = r#"mount --bind "$1" "$1"; mount -o remount,bind,ro "$1"; exec "$2" pull "$3""#;
    command.args([
        script,
        "sh",
        &data,
        crate::support::WHARF,
        &registry.reference("a:2"),
    ]);
    host.dress(&mut command);
    let refused = collect(&mut command, &[]);
    assert_eq!(refused.code, 1, "{refused:#?}");
    assert_eq!(refused.stderr.lines().count(), 1, "{refused:#?}");
    assert!(
        refused.stderr.contains("read-only file system"),
        "{refused:#?}"
    );
    assert!(refused.stderr.contains(&data), "{refused:#?}");
    host.ok(["pull", "-q", &registry.reference("a:2")]);
    assert_image_is(&host, &registry.reference("a:2"), &made);
}

#[test]
fn a_push_that_is_killed_leaves_store_and_registry_valid_and_the_next_one_ends_it() {
    let Some(host) = privileged() else { return };
    let Some(registry) = Registry::open(&host) else {
        return;
    };
    let made = Made::random(53, 3, 2 << 20);
    made.put(&registry, "from", "1");
    host.ok(["pull", "-q", &registry.reference("from:1")]);
    let proxy = Proxy::start(registry.address);
    let name = proxy.reference("to:1");
    host.ok(["tag", &registry.reference("from:1"), &name]);
    // After so many requests: in the middle of uploads, and with some blobs there.
    for requests in [1, 3, 6, 9] {
        let (tell, told) = std::sync::mpsc::channel();
        let mut left = requests;
        proxy.plan(move |_| {
            left -= 1;
            if left <= 0 {
                let _ = tell.send(());
                return crate::registry::proxy::Fault::Delay(PATIENCE * 20);
            }
            crate::registry::proxy::Fault::None
        });
        let mut child = host
            .command(["push", &name])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait_until("the request", PATIENCE, || {
            told.try_recv().is_ok() || child.try_wait().unwrap().is_some()
        });
        kill_process(Pid::from_child(&child), Signal::KILL).unwrap();
        child.wait().unwrap();
        assert_store_is_valid(&host);
        assert_eq!(registry.manifest("to", "1").status, 404, "{requests}");
        host.ok(["system", "check"]);
    }
    proxy.plan(|_| crate::registry::proxy::Fault::None);
    host.ok(["push", "-q", &name]);
    assert_registry_has(&registry, "to", "1", &made.digest());
    assert_eq!(host.ok(["images", "-q", &name]).lines().count(), 1);
    assert_eq!(names_in(&host.data().join("ingest")), [""; 0]);
}
