//! One image, wherever it is and whoever built it: `layers` says the same of it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde_json::{Value, json};

use crate::docker::Docker;
use crate::images::sh;
use crate::registry::Registry;
use crate::registry::image::{Form, Made, Packing, architecture, index, skopeo};
use crate::support::{
    Archive, Host, PATIENCE, collect, has_peer, image_archive, names_in, privileged, wait_until,
};

/// What is told of an image, but for where it is and how its blobs are compressed there.
fn told(host: &Host, name: &str, variables: &[(&str, &str)]) -> Value {
    let mut command = host.command(["layers", "--json", name]);
    let output = collect(command.envs(variables.iter().copied()), &[]);
    assert_eq!(output.code, 0, "{name}: {output:#?}");
    let mut document: Value = serde_json::from_str(&output.stdout).unwrap();
    document["image"]["name"] = Value::Null;
    for layer in document["layers"].as_array_mut().unwrap() {
        for field in ["digest", "compressedBytes", "listedBy"] {
            layer[field] = Value::Null;
        }
    }
    document
}

/// The same of all of them; what it is.
fn same(host: &Host, names: &[&str]) -> Value {
    let all: Vec<Value> = names.iter().map(|name| told(host, name, &[])).collect();
    for (name, one) in names.iter().zip(&all) {
        assert_eq!(one, &all[0], "{name} and {}", names[0]);
    }
    all[0].clone()
}

/// Layers, bytes and wasted bytes.
fn figures(document: &Value) -> (usize, u64, u64) {
    let number = |name: &str| document["image"][name].as_u64().unwrap();
    let layers = document["layers"].as_array().unwrap().len();
    (layers, number("bytes"), number("wastedBytes"))
}

/// `one` with a file of 200,000 bytes that has two names and one of 100,000; `two` with another one of 100,000 in its place.
fn context(dir: &Path, file: &str, text: &str) {
    sh(
        dir,
        "mkdir -p c/one/d c/two/d; seq 1 40000 | head -c 200000 > c/one/d/a; ln c/one/d/a c/one/b
         head -c 100000 c/one/d/a > c/one/d/c; ln -s d/c c/one/l; tail -c 100000 c/one/d/a > c/two/d/c",
    );
    fs::write(dir.join("c").join(file), text).unwrap();
}

const STEPS: &str = "FROM scratch\nCOPY one /\nCOPY --chown=5:6 two /\nCMD [\"/x\"]\n";

#[test]
fn what_buildah_builds_is_the_same_in_every_form() {
    let Some(host) = privileged() else { return };
    if !has_peer("buildah") {
        return;
    }
    let Some(registry) = Registry::open(&host) else {
        return;
    };
    let dir = host.dir();
    context(dir, "Containerfile", STEPS);
    let name = registry.reference("a:1");
    let chunked = registry.reference("chunked:1");
    sh(
        dir,
        &format!(
            "b() {{ timeout 60 buildah --root $PWD/b --runroot $PWD/r --storage-driver vfs \"$@\"; }}
             b bud -q --layers -t example/a:1 c
             b push -q example/a:1 oci:layout:one; b push -q example/a:1 oci-archive:oci.tar:one
             gzip -k oci.tar
             b push -q --tls-verify=false --format oci example/a:1 docker://{name}
             b push -q --tls-verify=false --format oci --compression-format zstd:chunked example/a:1 docker://{chunked}"
        ),
    );
    let path = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    host.ok(["load", "-q", "-i", &path("oci.tar")]);
    let id = told(&host, &path("layout"), &[])["image"]["id"].clone();
    let found = same(
        &host,
        &[
            &path("layout"),
            &format!("oci:{}:one", path("layout")),
            &path("oci.tar"),
            &path("oci.tar.gz"),
            &format!("registry://{name}"),
            &format!("registry://{chunked}"),
            id.as_str().unwrap(),
        ],
    );
    // The link is copied by buildah as one file with two names.
    assert_eq!(figures(&found), (2, 400_000, 100_000));
    assert_eq!(found["hidden"][0]["path"], "/d/c");
}

#[test]
fn what_docker_builds_is_the_same_in_its_archive_its_engine_and_our_store() {
    let Some(host) = privileged() else { return };
    let Some(docker) = Docker::start(&host, &[]) else {
        return;
    };
    let dir = host.dir();
    context(dir, "Dockerfile", STEPS);
    sh(dir, "tar -C c -cf c.tar .");
    let input = fs::read(dir.join("c.tar")).unwrap();
    docker.ok(&["build", "-q", "-t", "a:1", "-"], &input);
    let archive = dir.join("a.tar");
    let archive = archive.to_str().unwrap();
    docker.ok(&["save", "-o", archive, "a:1"], &[]);
    host.ok(["load", "-q", "-i", archive]);
    let found = same(
        &host,
        &[archive, &format!("docker-archive:{archive}:a:1"), "a:1"],
    );
    let engine = told(&host, "docker://a:1", &[("DOCKER_HOST", docker.socket())]);
    assert_eq!(engine, found);
    let (layers, _, wasted) = figures(&found);
    assert_eq!((layers, wasted), (2, 100_000));
}

#[test]
fn what_umoci_makes_is_the_same_in_every_form() {
    let Some(host) = privileged() else { return };
    if !(has_peer("umoci") && has_peer("skopeo")) {
        return;
    }
    let Some(registry) = Registry::open(&host) else {
        return;
    };
    let dir = host.dir();
    context(dir, "unused", "");
    sh(
        dir,
        "umoci init --layout l; umoci new --image l:one
         umoci insert --image l:one c/one /; umoci insert --image l:one --opaque c/two/d /d
         umoci insert --image l:one --whiteout /b; tar -C l -cf l.tar .",
    );
    let name = registry.reference("a:1");
    skopeo(
        dir,
        &format!("copy -q --dest-tls-verify=false oci:l:one docker://{name}"),
    );
    skopeo(dir, "copy -q oci:l:one oci-archive:o.tar:two");
    let path = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    let found = same(
        &host,
        &[
            &path("l"),
            &format!("{}:one", path("l")),
            &path("l.tar"),
            &path("o.tar"),
            &format!("registry://{name}"),
        ],
    );
    // The opaque directory hides one name of the large file and all of the small one, the whiteout the other name.
    assert_eq!(figures(&found), (3, 400_000, 300_000), "{found:#}");
    assert_eq!(found["hidden"].as_array().unwrap().len(), 2, "{found:#}");
    let missing = host.wharf(["layers", &format!("{}:two", path("l"))]);
    assert!(missing.stderr.contains("it has one"), "{missing:?}");
}

/// A layer with everything that is odd: paths that are there twice, a directory that becomes a link, whiteouts.
fn odd(number: u8) -> Vec<u8> {
    let mut tar = Archive::new();
    tar.directory("d/", 0o755);
    tar.file("d/a", 0o644, &[number; 1000]);
    tar.file("d/a", 0o600, &[number; 600]);
    tar.directory("e/", 0o755);
    tar.file("e/x", 0o644, &[number; 300]);
    tar.symlink("e", "d");
    tar.file(&format!("own{number}"), 0o644, &[number; 10]);
    if number > 1 {
        tar.file(&format!(".wh.own{}", number - 1), 0o644, b"");
        tar.file(".wh.never", 0o644, b"");
    }
    tar.finish()
}

#[test]
fn what_is_made_by_hand_is_the_same_in_every_form() {
    let Some(host) = privileged() else { return };
    let Some(registry) = Registry::open(&host) else {
        return;
    };
    let packings = [
        Packing::Plain,
        Packing::Gzip,
        Packing::Zstd,
        Packing::ZstdFrames(700),
    ];
    let layers: Vec<_> = (1..).map(odd).zip(packings).collect();
    let made = Made::new(Form::Oci, &layers);
    made.put(&registry, "a", "1");
    let dir = host.dir();
    made.write_layout(&dir.join("l"), "one");
    // Whatever order its files are in, and without manifest.json: layers have the manifest's.
    sh(
        dir,
        "cd l && find . -type f | sort -r > ../files; tar -cf ../l.tar -T ../files",
    );
    // docker-archive, as Docker up to 24 writes it.
    let mut old = Archive::new();
    let names: Vec<String> = (0..4).map(|n| format!("{n:064x}/layer.tar")).collect();
    for (name, (tar, _)) in names.iter().zip(&layers).rev() {
        old.file(name, 0o644, tar);
    }
    old.file("c.json", 0o644, &made.config.bytes);
    let manifest = json!([{"Config": "c.json", "RepoTags": ["a:1"], "Layers": names}]);
    old.file("manifest.json", 0o644, manifest.to_string().as_bytes());
    fs::write(dir.join("old.tar"), old.finish()).unwrap();
    let path = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    host.ok(["load", "-q", "-i", &path("old.tar")]);
    let far = format!("registry://{}", registry.reference("a:1"));
    let found = same(
        &host,
        &[&path("l"), &path("l.tar"), &path("old.tar"), &far, "a:1"],
    );
    for (number, layer) in found["layers"].as_array().unwrap().iter().enumerate() {
        assert_eq!(layer["command"], format!("layer {number}"));
        assert_eq!(layer["bytes"], 1910, "{found:#}");
    }
    // Of each layer what it wrote twice; of the lower ones also what is overwritten and removed.
    assert_eq!(figures(&found), (4, 4 * 1910, 4 * 1300 + 3 * 610));
    let twice = found["hidden"].as_array().unwrap().iter();
    let twice: Vec<&Value> = twice
        .filter(|one| one["cause"] == "written-twice")
        .collect();
    assert_eq!(twice.len(), 8, "{found:#}");
    assert!(twice.iter().all(|one| one["addedBy"] == one["hiddenBy"]));
    // dive's layers weigh what their archives' headers say.
    let document = dir.join("dive.json");
    host.ok(["dive", "-j", document.to_str().unwrap(), &path("old.tar")]);
    let dives: Value = serde_json::from_slice(&fs::read(document).unwrap()).unwrap();
    assert_eq!(dives["image"]["sizeBytes"], 4 * 1910, "{dives:#}");
}

#[test]
fn of_several_platforms_one_is_looked_into_with_its_own_layers() {
    let Some(host) = privileged() else { return };
    let dir = host.dir().join("l");
    let other = if architecture() == "s390x" {
        "arm64"
    } else {
        "s390x"
    };
    let made = [architecture(), other].map(|name| {
        let layers = [(odd(1), Packing::Gzip), (odd(2), Packing::Plain)];
        let change = |config: &mut Value| config["architecture"] = json!(name);
        Made::with_config(Form::Oci, &layers, change)
    });
    let platforms =
        [architecture(), other].map(|name| json!({"os": "linux", "architecture": name}));
    let [own, foreign] = &made;
    for one in &made {
        one.write_layout(&dir, "one");
    }
    let descriptors = [
        foreign.descriptor(platforms[1].clone()),
        own.descriptor(platforms[0].clone()),
    ];
    fs::write(dir.join("index.json"), index(Form::Oci, &descriptors)).unwrap();
    let dir = dir.to_str().unwrap();
    for _ in 0..4 {
        assert_eq!(told(&host, dir, &[])["image"]["id"], own.id());
    }
    let look = |platform: &str| {
        let output = host.ok(["layers", "--json", "--platform", platform, dir]);
        let found: Value = serde_json::from_str(&output).unwrap();
        (found["image"]["id"].clone(), figures(&found).0)
    };
    assert_eq!(look(&format!("linux/{other}")), (json!(foreign.id()), 2));
    let none = host.wharf(["layers", "--platform", "linux/riscv64", dir]);
    assert!(
        none.stderr.contains("no image for linux/riscv64"),
        "{none:?}"
    );
}

#[test]
fn a_layer_in_a_file_is_read_once_as_long_as_nobody_writes_to_that() {
    let Some(host) = privileged() else { return };
    let mut tar = Archive::new();
    tar.file("large", 0o644, &vec![7; 300_000]);
    let path = host.dir().join("a.tar");
    fs::write(&path, image_archive("a:1", &[tar.finish()], &["sh"])).unwrap();
    let cache = host.dir().join("cache");
    let look = || {
        let mut command = host.command(["layers", "--dive", path.to_str().unwrap()]);
        collect(command.env("XDG_CACHE_HOME", &cache), &[])
    };
    let lists = || names_in(&cache.join("wharf/layers"));
    // A file that was only just written is not trusted.
    let first = look();
    assert_eq!((first.code, lists().len()), (0, 0), "{first:?}");
    let made = fs::metadata(&path).unwrap().ctime();
    wait_until("the file rests", PATIENCE, || now() > made + 3);
    let second = look();
    assert_eq!((&second.stdout, lists().len()), (&first.stdout, 1));
    // The list is what the third look goes by.
    let list = cache.join("wharf/layers").join(&lists()[0]);
    let mut bytes = fs::read(&list).unwrap();
    let at = bytes.windows(5).position(|piece| piece == b"large");
    bytes[at.unwrap()] = b'L';
    fs::write(&list, bytes).unwrap();
    let file = host.dir().join("dive.json");
    let mut command = host.command(["dive", "-j", file.to_str().unwrap(), path.to_str().unwrap()]);
    let third = collect(command.env("XDG_CACHE_HOME", &cache), &[]);
    assert_eq!(third.code, 0, "{third:?}");
    let told = fs::read_to_string(&file).unwrap();
    assert!(told.contains("\"Large\""), "{told}");
    // Whoever writes to the file has it read again.
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.windows(9).position(|piece| piece == [7; 9]).unwrap();
    bytes[at] = 8;
    fs::write(&path, bytes).unwrap();
    let fourth = look();
    assert_eq!(fourth.code, 1, "{fourth:?}");
    assert!(fourth.stderr.contains("its content is"), "{fourth:?}");
}

/// Seconds since 1970.
fn now() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(now.unwrap().as_secs()).unwrap()
}
