//! Images that lie: each is refused in one line, by `pull` and by `load`, and nothing of it is in the store; and images
//! that only look odd, which are taken.

use std::collections::HashMap;
use std::io::Write;

use serde_json::{Value, json};

use crate::registry::Registry;
use crate::registry::http::{Response, Server};
use crate::registry::image::{Blob, Form, Made, Packing, architecture, index, layer};
use crate::registry::random::Random;
use crate::registry::whole::{assert_image_is, assert_store_is_valid, images};
use crate::support::{Archive, Host, Output, collect, names_in, privileged, sha256};

/// A registry that hands out anything under any name.
fn registry_with(made: &Made) -> Server {
    let mut contents: HashMap<String, (String, Vec<u8>)> = HashMap::new();
    for blob in made.layers.iter().chain([&made.config]) {
        // By the digest that the manifest says, which need not be the right one.
        contents.insert(
            blob.digest(),
            ("application/octet-stream".to_owned(), blob.bytes.clone()),
        );
    }
    let document: Value = serde_json::from_slice(&made.manifest).unwrap_or_default();
    for (descriptor, blob) in document["layers"]
        .as_array()
        .into_iter()
        .flatten()
        .zip(&made.layers)
    {
        let digest = descriptor["digest"].as_str().unwrap_or_default().to_owned();
        contents.insert(
            digest,
            ("application/octet-stream".to_owned(), blob.bytes.clone()),
        );
    }
    let media_type = document["mediaType"]
        .as_str()
        .unwrap_or(made.form.manifest());
    let manifest = (media_type.to_owned(), made.manifest.clone());
    contents.insert(made.digest(), manifest.clone());
    contents.insert("1".to_owned(), manifest);
    Server::start(move |request| {
        if request.path() == "/v2/" {
            return Response::new(200, "application/json", "{}");
        }
        let name = request.path().rsplit('/').next().unwrap_or_default();
        match contents.get(name) {
            Some((media_type, bytes)) => Response::new(200, media_type, bytes.clone()).with(
                "Docker-Content-Digest",
                &format!("sha256:{}", sha256(bytes)),
            ),
            None => Response::new(404, "application/json", "{}"),
        }
    })
}

fn assert_refused(host: &Host, what: &str, output: &Output, expected: &str) {
    assert_eq!(output.code, 1, "{what}: {output:#?}");
    let line = output.stderr.lines().next().unwrap_or_default();
    assert!(line.contains(expected), "{what}: {line}");
    assert!(!output.stderr.contains("panicked"), "{what}: {output:#?}");
    assert!(images(host).list().unwrap().is_empty(), "{what}");
    assert_store_is_valid(host);
    let layers = names_in(&host.data().join("layers"));
    assert!(layers.is_empty(), "{what}: {layers:?}");
}

fn refused_by_pull(host: &Host, what: &str, made: &Made, expected: &str) {
    let registry = registry_with(made);
    let name = format!("{}/hostile:1", registry.address);
    assert_refused(host, what, &host.wharf(["pull", "-q", &name]), expected);
}

fn refused_by_load(host: &Host, what: &str, made: &Made, expected: &str) {
    let layout = tempfile::tempdir_in(host.dir()).unwrap();
    made.write_layout(layout.path(), "hostile:1");
    let archive = layout.path().join("archive.tar");
    let mut tar = std::process::Command::new("tar");
    tar.current_dir(layout.path()).args([
        "-cf",
        "archive.tar",
        "oci-layout",
        "index.json",
        "blobs",
    ]);
    assert_eq!(collect(&mut tar, &[]).code, 0);
    let path = archive.display().to_string();
    assert_refused(
        host,
        what,
        &host.wharf(["load", "-q", "-i", &path]),
        expected,
    );
}

fn small() -> Vec<u8> {
    layer(&mut Random(1), 2000)
}

fn good() -> Made {
    Made::new(Form::Oci, &[(small(), Packing::Gzip)])
}

/// The good image with its manifest changed.
fn with_manifest(change: impl FnOnce(&mut Value)) -> Made {
    let mut made = good();
    let mut document: Value = serde_json::from_slice(&made.manifest).unwrap();
    change(&mut document);
    made.manifest = document.to_string().into_bytes();
    made
}

/// An image whose one layer is these bytes.
fn with_layer(media_type: &str, bytes: Vec<u8>, diff_id: &str) -> Made {
    let config = Made::with_config(Form::Oci, &[(small(), Packing::Gzip)], |config| {
        config["rootfs"]["diff_ids"][0] = diff_id.into();
    });
    let blob = Blob {
        media_type: media_type.to_owned(),
        bytes,
    };
    Made::of_blobs(Form::Oci, config.config, vec![blob])
}

#[test]
fn an_image_that_is_not_what_it_says_is_refused() {
    let Some(host) = privileged() else { return };
    let refused = |what: &str, made: &Made, expected: &str| {
        refused_by_pull(&host, what, made, expected);
        refused_by_load(&host, what, made, expected);
    };
    let other = sha256(b"something else");
    let wrong_diff = Made::with_config(Form::Oci, &[(small(), Packing::Gzip)], |config| {
        config["rootfs"]["diff_ids"][0] = format!("sha256:{other}").into();
    });
    refused(
        "diff id",
        &wrong_diff,
        "the image configuration says sha256:",
    );
    let size = with_manifest(|manifest| manifest["layers"][0]["size"] = json!(77));
    refused("size", &size, "77");
    let two = with_manifest(|manifest| {
        let layer = manifest["layers"][0].clone();
        manifest["layers"] = json!([layer, layer]);
    });
    refused("number of layers", &two, "lists 1 layers, the manifest 2");
    let digest = with_manifest(|manifest| {
        manifest["layers"][0]["digest"] = format!("sha256:{other}").into();
    });
    refused_by_pull(&host, "digest", &digest, "has the wrong digest");
}

#[test]
fn a_document_with_two_meanings_or_none_is_refused() {
    let Some(host) = privileged() else { return };
    let both = with_manifest(|manifest| manifest["manifests"] = json!([]));
    let path = with_manifest(|manifest| manifest["layers"][0]["digest"] = "sha256:../../x".into());
    let upper = with_manifest(|manifest| {
        manifest["config"]["digest"] = format!("sha256:{}", "A".repeat(64)).into();
    });
    let foreign = with_manifest(|manifest| {
        manifest["layers"][0]["mediaType"] =
            "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip".into();
    });
    let artifact = with_manifest(|manifest| {
        manifest["artifactType"] = "application/vnd.example".into();
        manifest["config"]["mediaType"] = "application/vnd.oci.empty.v1+json".into();
    });
    let mut nothing = good();
    nothing.manifest = b"{}".to_vec();
    let mut no_json = good();
    no_json.manifest = b"<html>".to_vec();
    for (what, made, expected) in [
        ("CVE-2021-41190", both, "ambiguous"),
        ("CVE-2024-3727", path, "hexadecimal"),
        ("CVE-2024-3727, upper case", upper, "hexadecimal"),
        ("foreign layer", foreign, "is a foreign layer"),
        ("artifact", artifact, "this is an artifact"),
        ("empty document", nothing, "manifest"),
        ("no JSON", no_json, "manifest"),
    ] {
        refused_by_pull(&host, what, &made, expected);
    }
    let mut schema_one = good();
    schema_one.manifest = json!({
        "schemaVersion": 1, "name": "hostile", "tag": "1", "architecture": "amd64",
        "mediaType": "application/vnd.docker.distribution.manifest.v1+prettyjws",
        "fsLayers": [{"blobSum": good().layers[0].digest()}], "history": [{"v1Compatibility": "{}"}],
    })
    .to_string()
    .into_bytes();
    refused_by_pull(
        &host,
        "schema 1",
        &schema_one,
        "schema 1 images are no longer supported",
    );
}

#[test]
fn a_layer_that_leads_out_or_blows_up_is_refused() {
    let Some(host) = privileged() else { return };
    let decoy = host.dir().join("decoy");
    std::fs::write(&decoy, "precious").unwrap();
    let refused = |what: &str, tar: Vec<u8>, expected: &str| {
        let diff_id = format!("sha256:{}", sha256(&tar));
        let kind = "application/vnd.oci.image.layer.v1.tar";
        let made = with_layer(kind, tar, &diff_id);
        refused_by_pull(&host, what, &made, expected);
        refused_by_load(&host, what, &made, expected);
    };
    // The tar crate would not write such a name: it is put in afterwards.
    let named = |name: &[u8]| {
        let mut tar = Archive::new();
        tar.file(&"x".repeat(name.len()), 0o644, b"owned");
        let mut bytes = tar.finish();
        let (header, _) = bytes.split_at_mut(512);
        header[..name.len()].copy_from_slice(name);
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        bytes
    };
    refused(
        "CVE-2014-6407",
        named(b"../../../decoy"),
        "leaves the layer",
    );
    refused(
        "in the middle",
        named(b"a/../../../../decoy"),
        "leaves the layer",
    );
    let mut cut = small();
    cut.truncate(1000);
    refused("cut short", cut, "cut short");
    assert_eq!(std::fs::read_to_string(&decoy).unwrap(), "precious");

    // Zeros behind the end of an archive, packed as tightly as may be.
    let zeros = vec![0; 64 << 20];
    let piece = zstd::encode_all(&*zeros, 1).unwrap();
    let mut bomb = zstd::encode_all(&*small(), 1).unwrap();
    for _ in 0..160 {
        bomb.write_all(&piece).unwrap();
    }
    let diff_id = format!("sha256:{}", "0".repeat(64));
    let kind = "application/vnd.oci.image.layer.v1.tar+zstd";
    let made = with_layer(kind, bomb, &diff_id);
    refused_by_pull(&host, "bomb", &made, "decompression bomb");
    refused_by_load(&host, "bomb", &made, "decompression bomb");
    let kind = "application/vnd.oci.image.layer.v1.tar+gzip";
    let made = with_layer(kind, b"\xfd7zXZ\0 and so on".to_vec(), &diff_id);
    refused_by_pull(&host, "CVE-2014-9357", &made, "xz");
}

#[test]
fn every_form_of_layer_and_list_is_read() {
    let Some(host) = privileged() else { return };
    let Some(registry) = Registry::open(&host) else {
        return;
    };
    let tar = layer(&mut Random(4), 200_000);
    for (tag, form, packing) in [
        ("plain", Form::Docker, Packing::Plain),
        ("gzip", Form::Docker, Packing::Gzip),
        ("estargz", Form::Oci, Packing::GzipMembers(20_000)),
        ("zstd", Form::Oci, Packing::Zstd),
        ("chunked", Form::Oci, Packing::ZstdFrames(20_000)),
    ] {
        let made = Made::new(form, &[(tar.clone(), packing)]);
        made.put(&registry, "forms", tag);
        let name = registry.reference(&format!("forms:{tag}"));
        host.ok(["pull", "-q", &name]);
        assert_image_is(&host, &name, &made);
    }
    // A list with an attestation, other platforms and a variant.
    let ours = Made::random(41, 1, 3000);
    let arm = Made::random(42, 1, 3000);
    let attestation = Made::random(43, 1, 3000);
    for made in [&ours, &arm, &attestation] {
        made.put(&registry, "forms", "");
    }
    let mut attested = attestation.descriptor(json!({"os": "unknown", "architecture": "unknown"}));
    attested["annotations"] = json!({"vnd.docker.reference.type": "attestation-manifest"});
    let list = index(
        Form::Oci,
        &[
            attested,
            arm.descriptor(json!({"os": "linux", "architecture": "arm", "variant": "v6"})),
            ours.descriptor(json!({"os": "linux", "architecture": architecture()})),
        ],
    );
    registry.put_manifest("forms", "list", Form::Oci.index(), &list);
    let name = registry.reference("forms:list");
    host.ok(["pull", "-q", &name]);
    assert_image_is(&host, &name, &ours);
    // The variant that is closest to what was asked for.
    host.ok(["pull", "-q", "--platform", "linux/arm/v7", &name]);
    assert_image_is(&host, &name, &arm);
    let none = host.wharf(["pull", "-q", "--platform", "linux/s390x", &name]);
    assert!(
        none.stderr.contains("no matching manifest for linux/s390x"),
        "{none:#?}"
    );
    assert_store_is_valid(&host);
}

#[test]
fn the_closest_platform_is_pulled_although_the_store_has_another_that_suits() {
    let Some(host) = privileged() else { return };
    let Some(registry) = Registry::open(&host) else {
        return;
    };
    let made = |seed, variant| {
        let tar = layer(&mut Random(seed), 3000);
        Made::with_config(Form::Oci, &[(tar, Packing::Gzip)], |config| {
            config["architecture"] = json!("arm");
            config["variant"] = json!(variant);
        })
    };
    let (old, new) = (made(51, "v6"), made(52, "v7"));
    let mut descriptors = Vec::new();
    for (made, variant) in [(&old, "v6"), (&new, "v7")] {
        made.put(&registry, "arms", "");
        let platform = json!({"os": "linux", "architecture": "arm", "variant": variant});
        descriptors.push(made.descriptor(platform));
    }
    let list = index(Form::Oci, &descriptors);
    registry.put_manifest("arms", "list", Form::Oci.index(), &list);
    let name = registry.reference("arms:list");
    for (platform, made) in [("v6", &old), ("v7", &new), ("v6", &old)] {
        let platform = format!("linux/arm/{platform}");
        host.ok(["pull", "-q", "--platform", &platform, &name]);
        assert_image_is(&host, &name, made);
    }
}
