//! Images of a registry whose layers have tables of contents: eStargz and zstd:chunked.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::registry::Registry;
use crate::registry::image::{Form, Made, Packing};
use crate::registry::proxy::{Fault, Proxy};
use crate::registry::random::Random;
use crate::support::{Archive, Host, collect, has_peer, privileged, sha256};

/// Bytes of the file that makes a layer worth a table.
const LARGE: usize = 300_000;

fn document(host: &Host, name: &str) -> Value {
    // Nothing that was listed before helps.
    let cache = host.dir().join("cache");
    let _ = fs::remove_dir_all(&cache);
    let mut command = host.command(["layers", "--json", name]);
    let output = collect(command.env("XDG_CACHE_HOME", &cache), &[]);
    assert_eq!(output.code, 0, "{name}: {output:#?}");
    serde_json::from_str(&output.stdout).unwrap()
}

fn listed_by(document: &Value) -> Vec<&str> {
    let layers = document["layers"].as_array().unwrap().iter();
    layers.map(|l| l["listedBy"].as_str().unwrap()).collect()
}

/// All that is told but where it is from.
fn told(mut document: Value) -> Value {
    document["image"]["name"] = Value::Null;
    for layer in document["layers"].as_array_mut().unwrap() {
        layer["listedBy"] = Value::Null;
        layer["digest"] = Value::Null;
        layer["compressedBytes"] = Value::Null;
    }
    document
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    Packing::Gzip.pack(bytes)
}

/// An eStargz blob of a large file and `text`, and the digest of its table (stargz-snapshotter, `docs/estargz.md`).
fn estargz(large: &[u8], text: &[u8], mode: u32) -> (Vec<u8>, String) {
    let mut tar = Archive::new();
    tar.file("large", mode, large);
    tar.file("text", 0o644, text);
    let digest = |bytes: &[u8]| format!("sha256:{}", sha256(bytes));
    let entry = |name: &str, mode: u32, content: &[u8]| {
        json!({"name": name, "type": "reg", "size": content.len(), "mode": mode, "digest": digest(content),
            "modtime": "2023-11-14T22:13:20Z"})
    };
    let entries = [entry("large", mode, large), entry("text", 0o644, text)];
    let table = json!({"version": 1, "entries": entries}).to_string();
    let content = tar.finish();
    let mut blob = gzip(&content[..content.len() - 1024]);
    let start = blob.len();
    let mut last = Archive::new();
    last.file("stargz.index.json", 0, table.as_bytes());
    blob.extend(gzip(&last.finish()));
    blob.extend([
        0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 255, 26, 0, b'S', b'G', 22, 0,
    ]);
    blob.extend(format!("{start:016x}STARGZ").bytes());
    blob.extend([1, 0, 0, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0]);
    (blob, digest(table.as_bytes()))
}

/// An image of two such layers, the second with the same large file in another mode, whose manifest says so of the tables.
fn made(say: impl Fn(&str) -> String) -> Made {
    let large = Random(3).bytes(LARGE);
    let blobs = [(0o644, b"one"), (0o755, b"two")].map(|(mode, text)| estargz(&large, text, mode));
    let inflated = blobs.each_ref().map(|(blob, _)| {
        let mut tar = Vec::new();
        let mut decoder = flate2::read::MultiGzDecoder::new(blob.as_slice());
        std::io::Read::read_to_end(&mut decoder, &mut tar).unwrap();
        (tar, Packing::Gzip)
    });
    let mut made = Made::new(Form::Oci, &inflated);
    let mut manifest: Value = serde_json::from_slice(&made.manifest).unwrap();
    for (number, (blob, table)) in blobs.into_iter().enumerate() {
        let layer = &mut manifest["layers"][number];
        layer["digest"] = json!(format!("sha256:{}", sha256(&blob)));
        layer["size"] = json!(blob.len());
        layer["annotations"] = json!({"containerd.io/snapshot/stargz/toc.digest": say(&table)});
        made.layers[number].bytes = blob;
    }
    made.manifest = manifest.to_string().into_bytes();
    made
}

/// What the same blobs are without any table.
fn plain(host: &Host, made: &Made) -> Value {
    let dir = host.dir().join("layout");
    made.write_layout(&dir, "a");
    let plain = document(host, dir.to_str().unwrap());
    assert_eq!(listed_by(&plain), ["content", "content"]);
    told(plain)
}

#[test]
fn of_an_estargz_layer_the_table_is_fetched() {
    let Some(host) = privileged() else { return };
    let Some(registry) = Registry::open(&host) else {
        return;
    };
    let proxy = Proxy::start(registry.address);
    let made = made(str::to_owned);
    made.put(&registry, "stargz", "1");
    let far = format!("registry://{}", proxy.reference("stargz:1"));
    let plain = plain(&host, &made);
    assert_eq!(plain["hidden"][0]["cause"], "copied-again");
    let found = document(&host, &far);
    assert_eq!(listed_by(&found), ["table", "table"]);
    assert_eq!(told(found), plain);
    let sent: u64 = proxy.take_seen().iter().map(|seen| seen.sent).sum();
    assert!(sent < LARGE as u64, "{sent} bytes came");
    let text = host.ok(["layers", "--plain", &far]);
    let last = text.lines().last().unwrap();
    assert!(
        last.starts_with("2 of 2 layers are listed by their tables"),
        "{text}"
    );

    // Without parts of blobs the whole of them says the same.
    proxy.plan(|_| Fault::ForgetRange);
    let found = document(&host, &far);
    assert_eq!(listed_by(&found), ["content", "content"]);
    assert_eq!(told(found), plain);

    // What is compared with another image, or looked through, is read as a whole.
    proxy.plan(|_| Fault::None);
    let same = host.ok([
        "layers",
        "diff",
        &far,
        host.dir().join("layout").to_str().unwrap(),
    ]);
    assert!(same.contains("same"), "{same}");
    let findings = host.ok(["layers", "findings", "--json", &far]);
    assert!(findings.contains("\"root-user\""), "{findings}");
}

#[test]
fn a_table_that_is_not_what_the_manifest_says_is_not_believed() {
    let Some(host) = privileged() else { return };
    let Some(registry) = Registry::open(&host) else {
        return;
    };
    let made = made(|_| format!("sha256:{}", sha256(b"another")));
    made.put(&registry, "stargz", "1");
    let found = document(
        &host,
        &format!("registry://{}", registry.reference("stargz:1")),
    );
    assert_eq!(listed_by(&found), ["content", "content"]);
    assert_eq!(told(found), plain(&host, &made));
}

fn buildah(host: &Host, arguments: &[&str]) {
    let dir = host.dir().join("buildah");
    let mut command = Command::new("timeout");
    command
        .args(["60", "buildah", "--storage-driver", "vfs", "--root"])
        .arg(dir.join("root"))
        .arg("--runroot")
        .arg(dir.join("run"))
        .args(arguments)
        .env("HOME", host.dir());
    let output = collect(&mut command, &[]);
    assert_eq!(output.code, 0, "buildah {arguments:?}: {output:#?}");
}

fn context(dir: &Path) {
    fs::create_dir_all(dir.join("one/d")).unwrap();
    fs::create_dir_all(dir.join("two/d")).unwrap();
    let large = Random(4).bytes(LARGE);
    fs::write(dir.join("one/d/large"), &large).unwrap();
    fs::write(dir.join("one/d/zeros"), vec![0; 3 * LARGE]).unwrap();
    fs::hard_link(dir.join("one/d/zeros"), dir.join("one/name")).unwrap();
    fs::write(dir.join("one/ü"), "").unwrap();
    std::os::unix::fs::symlink("d/large", dir.join("one/link")).unwrap();
    fs::write(dir.join("two/d/large"), &large[1..]).unwrap();
    fs::write(dir.join("two/d/more"), large).unwrap();
    fs::write(
        dir.join("Containerfile"),
        "FROM scratch\nCOPY one /\nCOPY --chown=5:6 two /\n",
    )
    .unwrap();
}

#[test]
fn of_a_layer_that_buildah_wrote_as_zstd_chunked_the_table_is_fetched() {
    let Some(host) = privileged() else { return };
    if !has_peer("buildah") {
        return;
    }
    let Some(registry) = Registry::open(&host) else {
        return;
    };
    let proxy = Proxy::start(registry.address);
    let dir = host.dir().join("context");
    context(&dir);
    buildah(
        &host,
        &[
            "bud",
            "-q",
            "--layers",
            "-t",
            "made:1",
            dir.to_str().unwrap(),
        ],
    );
    let layout = host.dir().join("layout");
    let layout = layout.to_str().unwrap();
    buildah(&host, &["push", "made:1", &format!("oci:{layout}:made")]);
    let name = format!("docker://{}", registry.reference("made:1"));
    buildah(
        &host,
        &[
            "push",
            "--tls-verify=false",
            "--format",
            "oci",
            "--compression-format",
            "zstd:chunked",
            "made:1",
            &name,
        ],
    );
    let plain = document(&host, layout);
    assert_eq!(plain["hidden"][0]["cause"], "overwritten");
    let found = document(&host, &format!("registry://{}", proxy.reference("made:1")));
    assert_eq!(listed_by(&found), ["table", "table"]);
    assert_eq!(told(found), told(plain));
    let sent: u64 = proxy.take_seen().iter().map(|seen| seen.sent).sum();
    assert!(sent < LARGE as u64, "{sent} bytes came");
}
