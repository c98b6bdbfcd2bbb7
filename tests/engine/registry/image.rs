//! Images made for a test, document by document, so that each digest is known beforehand and each may be wrong.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::Registry;
use super::random::Random;
use crate::support::{Archive, collect, sha256};

/// `Accept` of a client that takes everything.
pub const ANY: &str = "application/vnd.docker.distribution.manifest.v2+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.v1+prettyjws";

/// Whose media types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Docker's image manifest, version 2, schema 2.
    Docker,
    /// OCI image-spec 1.1.
    Oci,
}

/// How a layer's tar is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// Not at all.
    Plain,
    /// One gzip member.
    Gzip,
    /// A gzip member per so many bytes, as eStargz has it.
    GzipMembers(usize),
    /// One zstd frame.
    Zstd,
    /// A zstd frame per so many bytes and a skippable frame behind them, as zstd:chunked has it.
    ZstdFrames(usize),
}

/// A blob and what a manifest says of it.
#[derive(Debug, Clone)]
pub struct Blob {
    /// Media type.
    pub media_type: String,
    /// Content.
    pub bytes: Vec<u8>,
}

/// An image with everything that it consists of.
#[derive(Debug, Clone)]
pub struct Made {
    /// Whose media types it has.
    pub form: Form,
    /// Its configuration.
    pub config: Blob,
    /// Its layers, bottom first.
    pub layers: Vec<Blob>,
    /// Its manifest.
    pub manifest: Vec<u8>,
}

impl Form {
    /// Media type of a manifest.
    #[must_use]
    pub fn manifest(self) -> &'static str {
        match self {
            Self::Docker => "application/vnd.docker.distribution.manifest.v2+json",
            Self::Oci => "application/vnd.oci.image.manifest.v1+json",
        }
    }

    /// Media type of an index.
    #[must_use]
    pub fn index(self) -> &'static str {
        match self {
            Self::Docker => "application/vnd.docker.distribution.manifest.list.v2+json",
            Self::Oci => "application/vnd.oci.image.index.v1+json",
        }
    }

    fn config(self) -> &'static str {
        match self {
            Self::Docker => "application/vnd.docker.container.image.v1+json",
            Self::Oci => "application/vnd.oci.image.config.v1+json",
        }
    }

    fn layer(self, packing: Packing) -> &'static str {
        match (self, packing) {
            (Self::Docker, Packing::Plain) => "application/vnd.docker.image.rootfs.diff.tar",
            (Self::Docker, Packing::Gzip | Packing::GzipMembers(_)) => {
                "application/vnd.docker.image.rootfs.diff.tar.gzip"
            }
            (Self::Oci, Packing::Plain) => "application/vnd.oci.image.layer.v1.tar",
            (Self::Oci, Packing::Gzip | Packing::GzipMembers(_)) => {
                "application/vnd.oci.image.layer.v1.tar+gzip"
            }
            (_, Packing::Zstd | Packing::ZstdFrames(_)) => {
                "application/vnd.oci.image.layer.v1.tar+zstd"
            }
        }
    }
}

impl Packing {
    /// The bytes of a blob with this tar in it.
    #[must_use]
    pub fn pack(self, tar: &[u8]) -> Vec<u8> {
        let gzip = |bytes: &[u8]| {
            let level = flate2::Compression::new(4);
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        };
        let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 1).unwrap();
        match self {
            Self::Plain => tar.to_owned(),
            Self::Gzip => gzip(tar),
            Self::GzipMembers(size) => tar.chunks(size).flat_map(gzip).collect(),
            Self::Zstd => zstd(tar),
            Self::ZstdFrames(size) => {
                let mut bytes: Vec<u8> = tar.chunks(size).flat_map(zstd).collect();
                // RFC 8878, section 3.1.2: magic, length, anything.
                bytes.extend(0x184D_2A50_u32.to_le_bytes());
                bytes.extend(16_u32.to_le_bytes());
                bytes.extend(*b"a table of files");
                bytes
            }
        }
    }
}

impl Blob {
    /// `sha256:…`.
    #[must_use]
    pub fn digest(&self) -> String {
        format!("sha256:{}", sha256(&self.bytes))
    }

    /// What a manifest says of it.
    #[must_use]
    pub fn descriptor(&self) -> Value {
        json!({"mediaType": self.media_type, "size": self.bytes.len(), "digest": self.digest()})
    }
}

impl Made {
    /// An image of layer tars, bottom first, for the host's platform.
    #[must_use]
    pub fn new(form: Form, layers: &[(Vec<u8>, Packing)]) -> Self {
        Self::with_config(form, layers, |_| ())
    }

    /// The same with changes to its configuration.
    #[must_use]
    pub fn with_config(
        form: Form,
        layers: &[(Vec<u8>, Packing)],
        change: impl FnOnce(&mut Value),
    ) -> Self {
        let diff_ids: Vec<String> = layers
            .iter()
            .map(|(tar, _)| format!("sha256:{}", sha256(tar)))
            .collect();
        let history: Vec<Value> = (0..layers.len())
            .map(|n| json!({"created": "2024-01-01T00:00:00Z", "created_by": format!("layer {n}")}))
            .collect();
        let mut config = json!({
            "created": "2024-01-01T00:00:00Z",
            "architecture": architecture(),
            "os": "linux",
            "config": {"Cmd": ["sh"], "Env": ["PATH=/bin"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": history,
        });
        change(&mut config);
        let layers = layers
            .iter()
            .map(|(tar, packing)| Blob {
                media_type: form.layer(*packing).to_owned(),
                bytes: packing.pack(tar),
            })
            .collect();
        let config = Blob {
            media_type: form.config().to_owned(),
            bytes: config.to_string().into_bytes(),
        };
        Self::of_blobs(form, config, layers)
    }

    /// An image of blobs, whatever they are.
    #[must_use]
    pub fn of_blobs(form: Form, config: Blob, layers: Vec<Blob>) -> Self {
        let descriptors: Vec<Value> = layers.iter().map(Blob::descriptor).collect();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": form.manifest(),
            "config": config.descriptor(),
            "layers": descriptors,
        });
        Self {
            form,
            config,
            layers,
            manifest: manifest.to_string().into_bytes(),
        }
    }

    /// An image with `layers` gzip layers of about `size` bytes each that do not compress; other seed, other content.
    #[must_use]
    pub fn random(seed: u64, layers: usize, size: usize) -> Self {
        let layers: Vec<_> = (0..layers as u64)
            .map(|n| (layer(&mut Random(seed << 8 | n), size), Packing::Gzip))
            .collect();
        Self::new(Form::Oci, &layers)
    }

    /// The digest of its configuration: its image id.
    #[must_use]
    pub fn id(&self) -> String {
        self.config.digest()
    }

    /// The digest of its manifest.
    #[must_use]
    pub fn digest(&self) -> String {
        format!("sha256:{}", sha256(&self.manifest))
    }

    /// Bytes of all its blobs.
    #[must_use]
    pub fn size(&self) -> u64 {
        let layers = self.layers.iter().map(|layer| layer.bytes.len() as u64);
        layers.sum::<u64>() + self.config.bytes.len() as u64
    }

    /// What an index says of it.
    #[must_use]
    pub fn descriptor(&self, platform: Value) -> Value {
        json!({
            "mediaType": self.form.manifest(),
            "size": self.manifest.len(),
            "digest": self.digest(),
            "platform": platform,
        })
    }

    /// Stores everything in a registry under a tag or, with an empty one, under its digest.
    pub fn put(&self, registry: &Registry, repository: &str, tag: &str) {
        for blob in self.layers.iter().chain([&self.config]) {
            registry.put_blob(repository, &blob.bytes);
        }
        let digest = self.digest();
        let name = if tag.is_empty() { &digest } else { tag };
        registry.put_manifest(repository, name, self.form.manifest(), &self.manifest);
    }

    /// Writes it as an OCI layout.
    pub fn write_layout(&self, dir: &Path, tag: &str) {
        let blobs = dir.join("blobs/sha256");
        fs::create_dir_all(&blobs).unwrap();
        fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        let contents = self.layers.iter().chain([&self.config]);
        for bytes in contents.map(|blob| &blob.bytes).chain([&self.manifest]) {
            fs::write(blobs.join(sha256(bytes)), bytes).unwrap();
        }
        let index = json!({"schemaVersion": 2, "manifests": [{
            "mediaType": self.form.manifest(),
            "size": self.manifest.len(),
            "digest": self.digest(),
            "annotations": {"org.opencontainers.image.ref.name": tag},
        }]});
        fs::write(dir.join("index.json"), index.to_string()).unwrap();
    }
}

/// An index (a manifest list) of images; its bytes.
#[must_use]
pub fn index(form: Form, descriptors: &[Value]) -> Vec<u8> {
    json!({"schemaVersion": 2, "mediaType": form.index(), "manifests": descriptors})
        .to_string()
        .into_bytes()
}

/// A layer's tar with a directory, small files and a large one, about `size` bytes that do not compress.
#[must_use]
pub fn layer(random: &mut Random, size: usize) -> Vec<u8> {
    let mut tar = Archive::new();
    let dir = format!("dir-{:x}/", random.next());
    tar.directory(&dir, 0o755);
    for number in 0..4 {
        let length = usize::try_from(random.below(2000)).unwrap();
        let mode = random.of(&[0o644, 0o755, 0o600, 0o4711]);
        let content = random.bytes(length);
        tar.file(&format!("{dir}small-{number}"), mode, &content);
    }
    tar.file(&format!("{dir}large"), 0o600, &random.bytes(size));
    tar.symlink(&format!("{dir}link"), "small-0");
    tar.finish()
}

/// The host's architecture as images name it.
#[must_use]
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Runs `skopeo` with blank-separated arguments, without policy and TLS checks, in a home of its own; its output.
///
/// # Panics
/// When it fails.
pub fn skopeo(home: &Path, arguments: &str) -> String {
    let mut command = Command::new("skopeo");
    command
        .arg("--insecure-policy")
        .args(arguments.split_whitespace())
        .current_dir(home)
        .env("HOME", home)
        .env("TMPDIR", home);
    let output = collect(&mut command, &[]);
    assert_eq!(output.code, 0, "skopeo {arguments}: {output:#?}");
    output.stdout
}
