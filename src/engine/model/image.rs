//! Images as lists and inspectors show them.

use std::collections::BTreeMap;

use super::digest::{Digest, ImageId};
use super::{ContainerConfig, Platform, Timestamp};

/// One image of the store, whatever it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSummary {
    /// Digest of the configuration.
    pub id: ImageId,
    /// Tags in familiar form (`busybox:latest`), sorted; empty for a dangling image.
    pub tags: Vec<String>,
    /// `name@sha256:…` under which it was pulled.
    pub digests: Vec<String>,
    /// Creation time that the configuration states.
    pub created: Option<Timestamp>,
    /// Sum of the unpacked layers' sizes in bytes.
    pub size: u64,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Platform.
    pub platform: Platform,
}

/// Everything about one image: for `image inspect`, `run` and the details pane.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    /// The list's view of it.
    pub summary: ImageSummary,
    /// Author that the configuration states.
    pub author: String,
    /// Comment of the newest history entry.
    pub comment: String,
    /// The process part of the configuration (cmd, env, user …).
    pub config: ContainerConfig,
    /// What else the configuration states.
    pub stated: Stated,
    /// Layers, bottom first.
    pub layers: Vec<Layer>,
    /// History, oldest first.
    pub history: Vec<HistoryEntry>,
    /// The manifest's digest.
    pub manifest: Digest,
    /// When it was last given a name by hand.
    pub tagged: Option<Timestamp>,
}

/// What a configuration states for others than this engine: it is shown as it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stated {
    /// Version of the Docker that made the image.
    pub docker_version: String,
    /// Health probe, as Docker writes it.
    pub healthcheck: Option<serde_json::Value>,
    /// Instructions for builds on top of it.
    pub on_build: Vec<String>,
    /// The shell of instructions in shell form.
    pub shell: Vec<String>,
}

/// One unpacked layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Digest of the uncompressed tar.
    pub diff_id: Digest,
    /// Digest of this layer on top of all below (OCI image-spec, config.md, "Layer `ChainID`"); names its directory.
    pub chain_id: Digest,
    /// Digest of the blob as stored (compressed or not).
    pub blob: Digest,
    /// Bytes of the files in it.
    pub size: u64,
    /// Bytes of the blob.
    pub blob_size: u64,
}

/// One line of `history`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryEntry {
    /// When.
    pub created: Option<Timestamp>,
    /// By which command.
    pub created_by: String,
    /// Comment.
    pub comment: String,
    /// Size of the layer that it made; 0 for an empty layer.
    pub size: u64,
    /// It made no layer.
    pub empty: bool,
}

/// What removing an image did, in the order it was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removed {
    /// A tag is gone (`Untagged: busybox:latest`).
    Untagged(String),
    /// An image or layer is gone (`Deleted: sha256:…`).
    Deleted(Digest),
}

/// What one archive brought in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loaded {
    /// An image with a tag (`Loaded image: busybox:latest`).
    Tagged(String),
    /// An image without one (`Loaded image ID: sha256:…`).
    Untagged(ImageId),
}
