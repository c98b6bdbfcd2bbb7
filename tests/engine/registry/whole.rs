//! What must hold of a store whatever happened to it, and what an image must be that was pulled or pushed.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use wharf::engine::images::Images;
use wharf::engine::store::Roots;

use super::Registry;
use super::http::Request;
use super::image::{Blob, Made};
use crate::support::{Host, names_in, sha256};

/// The store of a host, as the program opens it.
pub fn images(host: &Host) -> Images {
    Images::open(&Roots {
        data: host.data(),
        run: host.run(),
    })
    .unwrap()
}

/// Every blob is what its name says, every layer is whole, and every image that is listed has all that it consists of.
pub fn assert_store_is_valid(host: &Host) {
    let blobs = host.data().join("blobs/sha256");
    for name in names_in(&blobs) {
        let content = fs::read(blobs.join(&name)).unwrap();
        assert_eq!(sha256(&content), name, "a blob is not what its name says");
    }
    let layers = host.data().join("layers");
    for name in names_in(&layers) {
        if !name.starts_with('.') {
            assert!(layers.join(&name).join("fs").is_dir(), "{name}");
            assert!(layers.join(&name).join("index").is_file(), "{name}");
        }
    }
    let images = images(host);
    for summary in images.list().unwrap() {
        let image = images.resolve(summary.id.as_str()).unwrap();
        assert!(blobs.join(summary.id.hex()).is_file(), "{image:?}");
        for (layer, dir) in image.layers.iter().rev().zip(images.layer_dirs(&image)) {
            assert!(blobs.join(layer.blob.hex()).is_file(), "{layer:?}");
            assert!(dir.is_dir(), "{layer:?}");
            images.layer_index(&layer.chain_id).unwrap();
        }
    }
}

/// The image of this name is this one: identity, and content and mode of every file of every layer.
pub fn assert_image_is(host: &Host, name: &str, made: &Made) {
    let images = images(host);
    let image = images.resolve(name).unwrap();
    assert_eq!(image.summary.id.as_str(), made.id(), "{name}");
    let dirs = images.layer_dirs(&image);
    assert_eq!(dirs.len(), made.layers.len());
    for (blob, dir) in made.layers.iter().zip(dirs.iter().rev()) {
        assert_eq!(files_on_disk(dir), files_in(blob), "{name}");
    }
}

/// The registry has the image under this tag: its manifest, and every blob of it with the right content.
pub fn assert_registry_has(registry: &Registry, repository: &str, tag: &str, digest: &str) {
    let manifest = registry.manifest(repository, tag);
    assert_eq!(manifest.status, 200, "{}", manifest.text());
    assert_eq!(format!("sha256:{}", sha256(&manifest.body)), digest);
    let document: serde_json::Value = serde_json::from_slice(&manifest.body).unwrap();
    let layers = document["layers"].as_array().unwrap();
    for descriptor in layers.iter().chain([&document["config"]]) {
        let digest = descriptor["digest"].as_str().unwrap();
        let target = format!("/v2/{repository}/blobs/{digest}");
        let blob = registry.send(&Request::new("GET", &target));
        assert_eq!(blob.status, 200, "{target}");
        assert_eq!(format!("sha256:{}", sha256(&blob.body)), digest);
        assert_eq!(descriptor["size"], blob.body.len());
    }
}

/// Path, and what is there.
type Files = BTreeMap<PathBuf, String>;

fn files_in(blob: &Blob) -> Files {
    let tar = match blob.media_type.rsplit(['+', '.']).next() {
        Some("gzip") => {
            let mut tar = Vec::new();
            let mut decoder = flate2::read::MultiGzDecoder::new(&*blob.bytes);
            decoder.read_to_end(&mut tar).unwrap();
            tar
        }
        Some("zstd") => zstd::decode_all(&*blob.bytes).unwrap(),
        _ => blob.bytes.clone(),
    };
    let mut files = Files::new();
    for entry in tar::Archive::new(&*tar).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().components().collect();
        let mode = entry.header().mode().unwrap();
        let what = if let Some(target) = entry.link_name().unwrap() {
            format!("-> {}", target.display())
        } else if entry.header().entry_type().is_dir() {
            format!("directory {mode:o}")
        } else {
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            format!("{mode:o} {} {}", content.len(), sha256(&content))
        };
        files.insert(path, what);
    }
    files
}

fn files_on_disk(root: &Path) -> Files {
    let mut files = Files::new();
    let mut dirs = vec![root.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let stat = fs::symlink_metadata(&path).unwrap();
            let mode = stat.permissions().mode() & 0o7777;
            let what = if stat.is_symlink() {
                format!("-> {}", fs::read_link(&path).unwrap().display())
            } else if stat.is_dir() {
                dirs.push(path.clone());
                format!("directory {mode:o}")
            } else {
                let content = fs::read(&path).unwrap();
                format!("{mode:o} {} {}", content.len(), sha256(&content))
            };
            files.insert(path.strip_prefix(root).unwrap().to_owned(), what);
        }
    }
    files
}
