//! The JSON documents of images: index, manifest, configuration, and docker-archive's `manifest.json`. What they say is
//! checked here as far as it can be without the content that they point to.
//!
//! OCI image-spec v1.1 (descriptor.md, image-index.md, manifest.md, config.md), Docker Image Specification v1.3.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use super::codec::Compression;
use crate::engine::model::{ContainerConfig, Digest, Platform, Timestamp};

/// Largest document that is read. Real ones are a few kilobytes.
pub const LIMIT: usize = 4 << 20;

/// OCI image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// OCI image configuration.
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// The tag, in an index's descriptor.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The whole name, in an index's descriptor (containerd, Docker 25 and later).
pub const IMAGE_NAME: &str = "io.containerd.image.name";

/// Most layers of one image: overlayfs takes 500.
const MAX_LAYERS: usize = 500;

/// Why a document cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not JSON, or not of the right shape.
    #[error("{what}: {source}")]
    Json {
        /// Which document.
        what: &'static str,
        /// Where and why.
        source: serde_json::Error,
    },
    /// Larger than [`LIMIT`].
    #[error("{0} is larger than 4 MiB")]
    TooLarge(&'static str),
    /// Two meanings at once (CVE-2021-41190).
    #[error("{0} is ambiguous: it has the members of a manifest and of an index")]
    Ambiguous(&'static str),
    /// The document's own media type is not the one of its place.
    #[error("{what} has media type {media_type:?}")]
    MediaType {
        /// Which document.
        what: &'static str,
        /// What it says.
        media_type: String,
    },
    /// Something contradicts something.
    #[error("{0}")]
    Inconsistent(String),
}

/// A reference to content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// Media type of the content.
    #[serde(default, deserialize_with = "or_default")]
    pub media_type: String,
    /// Digest of the content.
    pub digest: Digest,
    /// Bytes of the content.
    pub size: u64,
    /// Notes; names, in an index.
    #[serde(
        default,
        deserialize_with = "or_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub annotations: BTreeMap<String, String>,
    /// What a manifest of an index is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
}

impl Descriptor {
    /// A descriptor with what each has.
    #[must_use]
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest,
            size,
            annotations: BTreeMap::new(),
            platform: None,
        }
    }

    /// It describes an index rather than a manifest.
    #[must_use]
    pub fn is_index(&self) -> bool {
        matches!(self.media_type.as_str(), OCI_INDEX | DOCKER_INDEX)
    }

    /// It describes an image manifest.
    #[must_use]
    pub fn is_manifest(&self) -> bool {
        matches!(self.media_type.as_str(), OCI_MANIFEST | DOCKER_MANIFEST)
    }

    /// It describes an image of some platform, or a list of such, as far as the descriptor tells.
    #[must_use]
    pub fn may_be_image(&self) -> bool {
        let known = self.media_type.is_empty() || self.is_index() || self.is_manifest();
        known && !self.is_no_image()
    }

    /// An attestation or something else that is no image of any platform.
    #[must_use]
    pub fn is_no_image(&self) -> bool {
        let unknown = |platform: &Platform| platform.os == "unknown";
        self.annotations.contains_key("vnd.docker.reference.type")
            || self.platform.as_ref().is_some_and(unknown)
    }
}

/// A list of manifests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// 2.
    pub schema_version: u32,
    /// Its own media type.
    #[serde(default, deserialize_with = "or_default")]
    pub media_type: String,
    /// What it lists.
    #[serde(default, deserialize_with = "or_default")]
    pub manifests: Vec<Descriptor>,
}

/// An image: configuration and layers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// 2.
    pub schema_version: u32,
    /// Its own media type.
    #[serde(default, deserialize_with = "or_default")]
    pub media_type: String,
    /// The configuration.
    pub config: Descriptor,
    /// The layers, bottom first.
    #[serde(default, deserialize_with = "or_default")]
    pub layers: Vec<Descriptor>,
}

/// One image of docker-archive's `manifest.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ArchivedImage {
    /// Path of the configuration in the archive.
    pub config: String,
    /// Names.
    #[serde(deserialize_with = "or_default")]
    pub repo_tags: Vec<String>,
    /// Paths of the layers in the archive, bottom first.
    #[serde(default, deserialize_with = "or_default")]
    pub layers: Vec<String>,
}

/// An image's configuration document, as far as it means something to the engine. The document itself is kept as it
/// came.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// Go's name of the architecture.
    #[serde(default, deserialize_with = "or_default")]
    pub architecture: String,
    /// Operating system.
    #[serde(default, deserialize_with = "or_default")]
    pub os: String,
    /// Variant of the architecture.
    #[serde(
        default,
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub variant: String,
    /// Version of the operating system.
    #[serde(
        default,
        rename = "os.version",
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub os_version: String,
    /// What the operating system must have.
    #[serde(
        default,
        rename = "os.features",
        deserialize_with = "or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub os_features: Vec<String>,
    /// When it was made.
    #[serde(
        default,
        deserialize_with = "lenient_time",
        skip_serializing_if = "Option::is_none"
    )]
    pub created: Option<Timestamp>,
    /// By whom.
    #[serde(
        default,
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub author: String,
    /// The process.
    #[serde(default, deserialize_with = "or_default")]
    pub config: Process,
    /// The layers.
    #[serde(default, deserialize_with = "or_default")]
    pub rootfs: RootFs,
    /// How it was made, oldest first.
    #[serde(default, deserialize_with = "or_default")]
    pub history: Vec<History>,
}

/// The process part of a configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Process {
    /// `user[:group]`.
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub user: String,
    /// `80/tcp`.
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub exposed_ports: BTreeMap<String, Empty>,
    /// `NAME=value`.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// Entry point.
    #[serde(deserialize_with = "words", skip_serializing_if = "Vec::is_empty")]
    pub entrypoint: Vec<String>,
    /// Command.
    #[serde(deserialize_with = "words", skip_serializing_if = "Vec::is_empty")]
    pub cmd: Vec<String>,
    /// Paths of anonymous volumes.
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub volumes: BTreeMap<String, Empty>,
    /// Working directory.
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub working_dir: String,
    /// Labels.
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub labels: BTreeMap<String, String>,
    /// Signal that stops it.
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub stop_signal: String,
    /// Health probe, as Docker writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<serde_json::Value>,
    /// Instructions for builds on top of it.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub on_build: Vec<String>,
}

/// Docker writes its sets as objects of empty objects.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Empty {}

impl<'de> Deserialize<'de> for Empty {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| Self {})
    }
}

/// Layers of a configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFs {
    /// `layers`.
    #[serde(default, rename = "type", deserialize_with = "or_default")]
    pub kind: String,
    /// Digests of the uncompressed layers, bottom first.
    #[serde(default, deserialize_with = "or_default")]
    pub diff_ids: Vec<Digest>,
}

/// One step of a history.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// When.
    #[serde(
        default,
        deserialize_with = "lenient_time",
        skip_serializing_if = "Option::is_none"
    )]
    pub created: Option<Timestamp>,
    /// By which command.
    #[serde(
        default,
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub created_by: String,
    /// By whom.
    #[serde(
        default,
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub author: String,
    /// Comment.
    #[serde(
        default,
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub comment: String,
    /// It made no layer.
    #[serde(
        default,
        deserialize_with = "or_default",
        skip_serializing_if = "std::ops::Not::not"
    )]
    pub empty_layer: bool,
}

impl Config {
    /// Its platform.
    #[must_use]
    pub fn platform(&self) -> Platform {
        Platform {
            os: self.os.clone(),
            architecture: self.architecture.clone(),
            variant: Some(self.variant.clone()).filter(|variant| !variant.is_empty()),
            os_version: Some(self.os_version.clone()).filter(|version| !version.is_empty()),
            os_features: self.os_features.clone(),
        }
    }

    /// The process as containers take it over.
    #[must_use]
    pub fn container_config(&self) -> ContainerConfig {
        let process = &self.config;
        ContainerConfig {
            user: process.user.clone(),
            env: process.env.clone(),
            cmd: process.cmd.clone(),
            entrypoint: process.entrypoint.clone(),
            working_dir: process.working_dir.clone(),
            labels: process.labels.clone(),
            stop_signal: Some(process.stop_signal.clone()).filter(|signal| !signal.is_empty()),
            exposed_ports: process.exposed_ports.keys().cloned().collect(),
            volumes: process.volumes.keys().cloned().collect(),
            ..ContainerConfig::default()
        }
    }
}

impl Process {
    /// The image's part of a container's configuration.
    #[must_use]
    pub fn of(config: &ContainerConfig) -> Self {
        let set = |list: &[String]| list.iter().map(|key| (key.clone(), Empty {})).collect();
        Self {
            user: config.user.clone(),
            exposed_ports: set(&config.exposed_ports),
            env: config.env.clone(),
            entrypoint: config.entrypoint.clone(),
            cmd: config.cmd.clone(),
            volumes: set(&config.volumes),
            working_dir: config.working_dir.clone(),
            labels: config.labels.clone(),
            stop_signal: config.stop_signal.clone().unwrap_or_default(),
            healthcheck: None,
            on_build: Vec::new(),
        }
    }
}

/// Either document that a manifest descriptor may point to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// A list of images for several platforms.
    Index(Index),
    /// One image.
    Manifest(Manifest),
}

/// Reads `index.json` or a nested index, or a manifest. `expected` is the media type of the descriptor that led here;
/// empty for `index.json` itself.
///
/// # Errors
/// [`Error`].
pub fn read(bytes: &[u8], expected: &str) -> Result<Document, Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Shape {
        #[serde(default, deserialize_with = "or_default")]
        media_type: String,
        manifests: Option<serde::de::IgnoredAny>,
        layers: Option<serde::de::IgnoredAny>,
        config: Option<serde::de::IgnoredAny>,
    }
    let shape: Shape = json(bytes, "manifest")?;
    let is_index = shape.manifests.is_some();
    let is_manifest = shape.layers.is_some() || shape.config.is_some();
    if is_index && is_manifest {
        return Err(Error::Ambiguous("manifest"));
    }
    let own = shape.media_type.as_str();
    let fits = |media_type: &str| match media_type {
        "" => true,
        OCI_INDEX | DOCKER_INDEX => is_index,
        OCI_MANIFEST | DOCKER_MANIFEST => !is_index,
        _ => false,
    };
    for media_type in [own, expected] {
        if !fits(media_type) {
            return Err(Error::MediaType {
                what: if is_index { "index" } else { "manifest" },
                media_type: media_type.to_owned(),
            });
        }
    }
    if !own.is_empty() && !expected.is_empty() && own != expected {
        return Err(Error::Inconsistent(format!(
            "the manifest says media type {own:?}, its descriptor {expected:?}"
        )));
    }
    if is_index {
        let index: Index = json(bytes, "index")?;
        check_schema(index.schema_version)?;
        return Ok(Document::Index(index));
    }
    let manifest: Manifest = json(bytes, "manifest")?;
    check_schema(manifest.schema_version)?;
    if !matches!(
        manifest.config.media_type.as_str(),
        OCI_CONFIG | DOCKER_CONFIG | ""
    ) {
        return Err(Error::MediaType {
            what: "image configuration",
            media_type: manifest.config.media_type,
        });
    }
    for layer in &manifest.layers {
        check_layer_type(&layer.media_type)?;
    }
    Ok(Document::Manifest(manifest))
}

/// Reads a configuration and checks that it has as many layers as its manifest.
///
/// # Errors
/// [`Error`].
pub fn read_config(bytes: &[u8], layers: usize) -> Result<Config, Error> {
    let config: Config = json(bytes, "image configuration")?;
    if config.rootfs.diff_ids.len() != layers {
        return Err(Error::Inconsistent(format!(
            "the image configuration lists {} layers, the manifest {layers}",
            config.rootfs.diff_ids.len()
        )));
    }
    if layers > MAX_LAYERS {
        return Err(Error::Inconsistent(format!(
            "the image has {layers} layers, overlayfs takes {MAX_LAYERS}"
        )));
    }
    Ok(config)
}

/// Reads docker-archive's `manifest.json`.
///
/// # Errors
/// [`Error`].
pub fn read_archive_manifest(bytes: &[u8]) -> Result<Vec<ArchivedImage>, Error> {
    json(bytes, "manifest.json")
}

/// The manifest of an image that came without one.
#[must_use]
pub fn make_manifest(config: (Digest, u64), layers: &[(Digest, u64, Compression)]) -> Manifest {
    let describe =
        |media_type: &str, digest: &Digest, size| Descriptor::new(media_type, digest.clone(), size);
    Manifest {
        schema_version: 2,
        media_type: OCI_MANIFEST.to_owned(),
        config: describe(OCI_CONFIG, &config.0, config.1),
        layers: layers
            .iter()
            .map(|(digest, size, compression)| describe(compression.media_type(), digest, *size))
            .collect(),
    }
}

fn check_schema(version: u32) -> Result<(), Error> {
    if version == 2 {
        Ok(())
    } else {
        Err(Error::Inconsistent(format!(
            "manifest schema version {version} is not supported (2 is)"
        )))
    }
}

/// A layer is a tar, whatever compresses it: that is told by its content.
fn check_layer_type(media_type: &str) -> Result<(), Error> {
    let layer = media_type.is_empty()
        || [
            "application/vnd.oci.image.layer.v1.tar",
            "application/vnd.oci.image.layer.nondistributable.v1.tar",
            "application/vnd.docker.image.rootfs.diff.tar",
            "application/vnd.docker.image.rootfs.foreign.diff.tar",
        ]
        .iter()
        .any(|known| {
            media_type
                .strip_prefix(known)
                .is_some_and(|rest| matches!(rest, "" | "+gzip" | "+zstd" | ".gzip" | ".zstd"))
        });
    if layer {
        Ok(())
    } else {
        Err(Error::MediaType {
            what: "layer",
            media_type: media_type.to_owned(),
        })
    }
}

fn json<'a, T: Deserialize<'a>>(bytes: &'a [u8], what: &'static str) -> Result<T, Error> {
    if bytes.len() > LIMIT {
        return Err(Error::TooLarge(what));
    }
    serde_json::from_slice(bytes).map_err(|source| Error::Json { what, source })
}

/// Go writes `null` for what is empty.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// A list of words; very old images have a single text.
fn words<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Words {
        None,
        One(String),
        Many(Vec<String>),
    }
    Ok(match Words::deserialize(deserializer)? {
        Words::None => Vec::new(),
        Words::One(word) => vec![word],
        Words::Many(words) => words,
    })
}

/// A time that does not parse is no time: nothing depends on it.
fn lenient_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text
        .and_then(|text| text.parse().ok())
        .filter(|time: &Timestamp| time.as_second() > -62_135_596_800))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn digest(byte: u8) -> Digest {
        Digest::from_sha256(&[byte; 32])
    }

    fn manifest() -> Manifest {
        make_manifest((digest(1), 2), &[(digest(3), 4, Compression::Gzip)])
    }

    #[test]
    fn a_manifest_survives_writing_and_reading() {
        let bytes = serde_json::to_vec(&manifest()).unwrap();
        assert_eq!(
            read(&bytes, OCI_MANIFEST).unwrap(),
            Document::Manifest(manifest())
        );
        assert!(read(&bytes, OCI_INDEX).is_err());
    }

    // CVE-2021-41190: one document, two meanings.
    #[test]
    fn cve_2021_41190_a_document_that_is_manifest_and_index_is_refused() {
        let mut value = serde_json::to_value(manifest()).unwrap();
        value["manifests"] = serde_json::json!([]);
        value.as_object_mut().unwrap().remove("mediaType");
        let error = read(value.to_string().as_bytes(), "").unwrap_err();
        assert!(matches!(error, Error::Ambiguous(_)), "{error}");
        let twice = r#"{"schemaVersion":2,"manifests":[],"manifests":[]}"#;
        assert!(read(twice.as_bytes(), "").is_err());
    }

    // CVE-2024-3727 and CVE-2014-9358: digests became paths without being looked at.
    #[test]
    fn cve_2024_3727_digests_that_are_no_digests_are_refused() {
        let good = serde_json::to_string(&manifest()).unwrap();
        for bad in [
            "sha256:../../x".to_owned(),
            format!("sha256:{}", "A".repeat(64)),
            format!("sha256:{}", "a".repeat(63)),
            format!("sha512:{}", "a".repeat(64)),
        ] {
            let text = good.replace(digest(3).as_str(), &bad);
            assert!(read(text.as_bytes(), "").is_err(), "{bad}");
        }
    }

    #[test]
    fn an_attestation_is_not_taken_for_a_layer() {
        let text = serde_json::to_string(&manifest()).unwrap();
        let text = text.replace("vnd.oci.image.layer.v1.tar+gzip", "vnd.in-toto+json");
        assert!(read(text.as_bytes(), "").is_err());
    }

    #[test]
    fn nulls_and_old_forms_of_a_configuration_are_read() {
        let text = r#"{"architecture":"amd64","os":"linux","created":"0001-01-01T00:00:00Z","config":
            {"Cmd":null,"Entrypoint":"/init","ExposedPorts":{"80/tcp":{}},"Volumes":null,"Env":["A=b"],"Labels":null},
            "rootfs":{"type":"layers","diff_ids":null},"history":null}"#;
        let config = read_config(text.as_bytes(), 0).unwrap();
        let process = config.container_config();
        assert_eq!(process.entrypoint, ["/init"]);
        assert_eq!(process.exposed_ports, ["80/tcp"]);
        assert_eq!(config.created, None);
        assert!(read_config(text.as_bytes(), 1).is_err());
    }

    proptest! {
        #[test]
        fn no_input_makes_the_readers_panic(text in "[\\[\\]{}\":,0-9a-zA-Z ]{0,200}") {
            let _ = read(text.as_bytes(), "");
            let _ = read_config(text.as_bytes(), 0);
            let _ = read_archive_manifest(text.as_bytes());
        }
    }
}
