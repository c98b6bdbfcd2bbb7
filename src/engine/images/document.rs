//! The JSON documents of images: index, manifest, configuration, and docker-archive's `manifest.json`. What they say is
//! checked here as far as it can be without the content that they point to.
//!
//! OCI image-spec v1.1 (descriptor.md, image-index.md, manifest.md, config.md), Docker Image Specification v1.3.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use super::codec::Compression;
use crate::engine;
use crate::engine::model::image::Stated;
use crate::engine::model::{ContainerConfig, Digest, Platform, Timestamp};

/// Largest document that is read. Real ones are a few kilobytes.
pub const LIMIT: usize = 4 << 20;

/// OCI image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// OCI image configuration.
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// Docker's manifest list.
pub const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Docker's image manifest.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker's image configuration.
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// Docker's manifests before 2.2, with and without a signature.
const SCHEMA_ONE: &[&str] = &[
    "application/vnd.docker.distribution.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
];
/// What OCI image-spec 1.1 was to have for artifacts before it became a manifest with `artifactType`.
const OCI_ARTIFACT: &str = "application/vnd.oci.artifact.manifest.v1+json";
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
    /// The manifests of Docker before 1.10, which describe other content.
    #[error("the image uses Docker's manifest schema 1, which is no longer supported")]
    SchemaOne,
    /// Something that is stored like an image: a chart, a module, a signature.
    #[error("this is an artifact (type {0}), not an image")]
    Artifact(String),
    /// A layer that may not be handed out.
    #[error("layer {} is a foreign layer ({media_type}): registries do not hand it out", digest.short())]
    Foreign {
        /// The layer.
        digest: Digest,
        /// What it says.
        media_type: String,
    },
    /// A layer that is no tar.
    #[error("layer {} has media type {media_type:?}, which is no file system layer", digest.short())]
    Layer {
        /// The layer.
        digest: Digest,
        /// What it says.
        media_type: String,
    },
}

impl From<Error> for engine::Error {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::SchemaOne => Self::unsupported(text)
                .with_hint("rebuild it, or push it again with a newer Docker"),
            Error::Foreign { .. } => Self::unsupported(text)
                .with_hint("ask whoever made the image for one with all its layers"),
            Error::Artifact(_) | Error::Layer { .. } => Self::unsupported(text),
            Error::Json { .. }
            | Error::TooLarge(_)
            | Error::Ambiguous(_)
            | Error::MediaType { .. }
            | Error::Inconsistent(_) => Self::invalid(text),
        }
    }
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
    /// What an artifact is.
    #[serde(
        default,
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub artifact_type: String,
    /// Where else the content is. It is never fetched from there.
    #[serde(
        default,
        deserialize_with = "or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub urls: Vec<String>,
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
            artifact_type: String::new(),
            urls: Vec::new(),
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
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// What it is, if it is no image.
    #[serde(
        default,
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub artifact_type: String,
    /// The manifest that it says something about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Box<Descriptor>>,
    /// Notes.
    #[serde(
        default,
        deserialize_with = "or_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub annotations: BTreeMap<String, String>,
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
    /// What it is, if it is no image.
    #[serde(
        default,
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub artifact_type: String,
    /// The manifest that it says something about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Box<Descriptor>>,
    /// Notes.
    #[serde(
        default,
        deserialize_with = "or_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub annotations: BTreeMap<String, String>,
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
    /// The Docker that made it.
    #[serde(
        default,
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub docker_version: String,
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
    /// The shell of instructions in shell form.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub shell: Vec<String>,
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

/// One step of a history; its fields are in Docker's order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// When.
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
    /// By which command.
    #[serde(
        default,
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub created_by: String,
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

    /// What is shown only.
    #[must_use]
    pub fn stated(&self) -> Stated {
        Stated {
            docker_version: self.docker_version.clone(),
            healthcheck: self.config.healthcheck.clone(),
            on_build: self.config.on_build.clone(),
            shell: self.config.shell.clone(),
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
            healthcheck: config
                .healthcheck
                .as_ref()
                .and_then(|check| serde_json::to_value(check).ok()),
            on_build: Vec::new(),
            shell: config.shell.clone(),
        }
    }
}

/// Either document that a manifest descriptor may point to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "one document at a time: nobody keeps a list of them"
)]
pub enum Document {
    /// A list of images for several platforms.
    Index(Index),
    /// One image.
    Manifest(Manifest),
}

/// Reads `index.json` or a nested index, or a manifest. `expected` is the media type of the descriptor or the answer that
/// led here; empty for `index.json` itself.
///
/// # Errors
/// [`Error`].
pub fn read(bytes: &[u8], expected: &str) -> Result<Document, Error> {
    let shape: Shape = json(bytes, "manifest")?;
    let own = shape.media_type.as_str();
    if shape.schema_version == Some(1)
        || SCHEMA_ONE.contains(&own)
        || SCHEMA_ONE.contains(&expected)
    {
        return Err(Error::SchemaOne);
    }
    if own == OCI_ARTIFACT || expected == OCI_ARTIFACT {
        return Err(Error::Artifact(OCI_ARTIFACT.to_owned()));
    }
    let is_index = shape.manifests;
    if is_index && (shape.layers || shape.config) {
        return Err(Error::Ambiguous("manifest"));
    }
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
        let named = Some(manifest.artifact_type).filter(|kind| !kind.is_empty());
        let kind = named.unwrap_or(manifest.config.media_type);
        return Err(Error::Artifact(kind.escape_debug().to_string()));
    }
    for layer in &manifest.layers {
        check_layer_type(layer)?;
    }
    Ok(Document::Manifest(manifest))
}

/// What a document is, by its members. One that has a member twice, or a known one in other letters, means one thing to
/// one reader and another to the next (Go's takes the last, in any letters): it is refused.
#[derive(Debug, Default)]
struct Shape {
    media_type: String,
    schema_version: Option<u64>,
    manifests: bool,
    layers: bool,
    config: bool,
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> serde::de::Visitor<'de> for Members {
            type Value = Shape;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<Shape, A::Error> {
                use serde::de::Error as _;
                let mut shape = Shape::default();
                let mut seen = std::collections::HashSet::new();
                while let Some(key) = map.next_key::<String>()? {
                    if !seen.insert(key.to_lowercase()) {
                        return Err(A::Error::custom(format_args!("duplicate field {key:?}")));
                    }
                    let value = map.next_value::<serde_json::Value>()?;
                    let there = !value.is_null();
                    match key.as_str() {
                        "mediaType" => {
                            value
                                .as_str()
                                .unwrap_or_default()
                                .clone_into(&mut shape.media_type);
                        }
                        "schemaVersion" => shape.schema_version = value.as_u64(),
                        "manifests" => shape.manifests = there,
                        "layers" => shape.layers = there,
                        "config" => shape.config = there,
                        other => {
                            let known = [
                                "mediaType",
                                "schemaVersion",
                                "manifests",
                                "layers",
                                "config",
                            ];
                            if known.iter().any(|known| known.eq_ignore_ascii_case(other)) {
                                return Err(A::Error::custom(format_args!(
                                    "unknown field {key:?}"
                                )));
                            }
                        }
                    }
                }
                Ok(shape)
            }
        }

        deserializer.deserialize_map(Members)
    }
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
        artifact_type: String::new(),
        subject: None,
        annotations: BTreeMap::new(),
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
fn check_layer_type(layer: &Descriptor) -> Result<(), Error> {
    let media_type = layer.media_type.as_str();
    let is_one_of = |kinds: &[&str]| {
        kinds.iter().any(|known| {
            media_type
                .strip_prefix(known)
                .is_some_and(|rest| matches!(rest, "" | "+gzip" | "+zstd" | ".gzip" | ".zstd"))
        })
    };
    let foreign = is_one_of(&[
        "application/vnd.oci.image.layer.nondistributable.v1.tar",
        "application/vnd.docker.image.rootfs.foreign.diff.tar",
    ]);
    if foreign {
        return Err(Error::Foreign {
            digest: layer.digest.clone(),
            media_type: media_type.to_owned(),
        });
    }
    let known = media_type.is_empty()
        || is_one_of(&[
            "application/vnd.oci.image.layer.v1.tar",
            "application/vnd.docker.image.rootfs.diff.tar",
        ]);
    if known {
        return Ok(());
    }
    Err(Error::Layer {
        digest: layer.digest.clone(),
        media_type: media_type.to_owned(),
    })
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
    use crate::engine::Kind;
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

    fn refused(value: &serde_json::Value, expected: &str) -> (Kind, String) {
        let error = read(value.to_string().as_bytes(), expected).unwrap_err();
        let error = engine::Error::from(error);
        (error.kind(), error.to_string())
    }

    fn with(change: impl FnOnce(&mut serde_json::Value)) -> serde_json::Value {
        let mut value = serde_json::to_value(manifest()).unwrap();
        change(&mut value);
        value
    }

    #[test]
    fn what_is_no_image_is_refused_by_its_name() {
        for (kind, message, value) in [
            (
                Kind::Unsupported,
                "layer 030303030303 has media type \"application/vnd.in-toto+json\", which is no file system layer",
                with(|v| v["layers"][0]["mediaType"] = "application/vnd.in-toto+json".into()),
            ),
            (
                Kind::Unsupported,
                "layer 030303030303 has media type \"application/vnd.oci.image.layer.v1.tar+gzip+encrypted\", which is \
                 no file system layer",
                with(|v| {
                    v["layers"][0]["mediaType"] =
                        "application/vnd.oci.image.layer.v1.tar+gzip+encrypted".into();
                }),
            ),
            (
                Kind::Unsupported,
                "layer 030303030303 is a foreign layer (application/vnd.docker.image.rootfs.foreign.diff.tar.gzip): \
                 registries do not hand it out",
                with(|v| {
                    v["layers"][0]["mediaType"] =
                        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip".into();
                }),
            ),
            (
                Kind::Unsupported,
                "this is an artifact (type application/vnd.cncf.helm.config.v1+json), not an image",
                with(|v| {
                    v["config"]["mediaType"] = "application/vnd.cncf.helm.config.v1+json".into();
                }),
            ),
            (
                Kind::Unsupported,
                "this is an artifact (type application/spdx+json), not an image",
                with(|v| {
                    v["artifactType"] = "application/spdx+json".into();
                    v["config"]["mediaType"] = "application/vnd.oci.empty.v1+json".into();
                }),
            ),
            (
                Kind::Unsupported,
                "this is an artifact (type application/vnd.oci.artifact.manifest.v1+json), not an image",
                serde_json::json!({"mediaType": OCI_ARTIFACT, "artifactType": "x/y", "blobs": []}),
            ),
            (
                Kind::Unsupported,
                "the image uses Docker's manifest schema 1, which is no longer supported",
                serde_json::json!({"schemaVersion": 1, "name": "x", "tag": "1", "fsLayers": [], "history": []}),
            ),
            (
                Kind::InvalidInput,
                "manifest schema version 3 is not supported (2 is)",
                with(|v| v["schemaVersion"] = 3.into()),
            ),
        ] {
            assert_eq!(refused(&value, ""), (kind, message.to_owned()));
        }
        let prettyjws = "application/vnd.docker.distribution.manifest.v1+prettyjws";
        assert_eq!(refused(&with(|_| ()), prettyjws).0, Kind::Unsupported);
    }

    #[test]
    fn every_kind_of_layer_that_is_a_tar_is_taken() {
        for media_type in [
            "",
            "application/vnd.oci.image.layer.v1.tar",
            "application/vnd.oci.image.layer.v1.tar+gzip",
            "application/vnd.oci.image.layer.v1.tar+zstd",
            "application/vnd.docker.image.rootfs.diff.tar",
            "application/vnd.docker.image.rootfs.diff.tar.gzip",
            "application/vnd.docker.image.rootfs.diff.tar.zstd",
        ] {
            let value = with(|v| v["layers"][0]["mediaType"] = media_type.into());
            assert!(
                read(value.to_string().as_bytes(), "").is_ok(),
                "{media_type}"
            );
        }
    }

    // A scanner and an engine must not see two different images in one document.
    #[test]
    fn a_member_that_is_there_twice_or_in_other_letters_is_refused() {
        let good = serde_json::to_string(&manifest()).unwrap();
        for (from, to) in [
            ("\"layers\":", "\"layers\":[],\"layers\":"),
            ("\"layers\":", "\"Layers\":[],\"layers\":"),
            ("\"layers\":", "\"LAYERS\":"),
            ("\"config\":", "\"Config\":"),
            ("\"digest\":", "\"digest\":\"\",\"digest\":"),
            ("\"mediaType\":", "\"mediatype\":\"\",\"mediaType\":"),
            ("{", "{\"odd\":1,\"odd\":2,"),
        ] {
            let text = good.replacen(from, to, 1);
            assert_ne!(text, good, "{from}");
            assert!(read(text.as_bytes(), "").is_err(), "{text}");
        }
        let twice =
            r#"{"architecture":"amd64","os":"linux","os":"windows","rootfs":{"diff_ids":[]}}"#;
        assert!(read_config(twice.as_bytes(), 0).is_err());
    }

    #[test]
    fn a_document_is_what_its_place_says_or_refused() {
        for (own, expected) in [
            (OCI_MANIFEST, DOCKER_MANIFEST),
            (DOCKER_MANIFEST, OCI_MANIFEST),
            (OCI_MANIFEST, OCI_INDEX),
            (OCI_INDEX, OCI_MANIFEST),
            ("", OCI_INDEX),
            ("", DOCKER_INDEX),
            ("text/plain", ""),
            ("", "text/plain"),
        ] {
            let value = with(|v| v["mediaType"] = own.into());
            assert_eq!(
                refused(&value, expected).0,
                Kind::InvalidInput,
                "{own} {expected}"
            );
        }
    }

    #[test]
    fn the_members_of_oci_1_1_are_read() {
        let value = with(|v| {
            v["artifactType"] = "application/x".into();
            v["subject"] =
                serde_json::json!({"mediaType": OCI_MANIFEST, "digest": digest(7), "size": 9});
            v["annotations"] = serde_json::json!({"a": "b"});
            v["layers"][0]["urls"] = serde_json::json!(["https://example.com/x"]);
            v["layers"][0]["data"] = "aGk=".into();
            v["layers"][0]["annotations"] =
                serde_json::json!({"containerd.io/snapshot/stargz/toc.digest": "x"});
        });
        let Document::Manifest(read) = read(value.to_string().as_bytes(), "").unwrap() else {
            panic!("a manifest");
        };
        assert_eq!(read.artifact_type, "application/x");
        assert_eq!(read.subject.unwrap().digest, digest(7));
        assert_eq!(read.annotations["a"], "b");
        assert_eq!(read.layers[0].urls, ["https://example.com/x"]);
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
