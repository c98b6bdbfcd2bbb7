//! What registries and the store answer: pulled, pushed, found, used, reclaimed, damaged.

use super::digest::{Digest, ImageId};
use super::image::Removed;
use super::{Platform, Reference, Timestamp};

/// What a pull or a push of several names tells of each, when it is so far.
#[derive(Debug, Clone, Copy)]
pub enum Turn<'a, T> {
    /// The work on this name begins.
    Begun(&'a Reference),
    /// It is done; others may still fail.
    Done(&'a T),
}

/// One image that a pull brought in or found there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// The whole name that was pulled, with its tag or digest.
    pub reference: Reference,
    /// Digest of what the registry has under it: of the index, if it is one.
    pub digest: Digest,
    /// The image.
    pub id: ImageId,
    /// The name did not mean this image before (`Downloaded newer image`).
    pub newer: bool,
    /// Things the user should know, one line each.
    pub warnings: Vec<String>,
}

/// One image that a push left in the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// The whole name.
    pub reference: Reference,
    /// Digest of its manifest.
    pub digest: Digest,
    /// Bytes of its manifest.
    pub size: u64,
}

/// One line of `search`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub struct Hit {
    /// Repository.
    #[serde(default)]
    pub name: String,
    /// What it says of itself.
    #[serde(default)]
    pub description: String,
    /// Stars.
    #[serde(default)]
    pub star_count: u64,
    /// One of Docker's own.
    #[serde(default)]
    pub is_official: bool,
    /// Built by Docker Hub.
    #[serde(default)]
    pub is_automated: bool,
}

/// Something that refers to an image by `subject`: a signature, an SBOM (OCI distribution-spec, "Listing Referrers").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Referrer {
    /// Digest of its manifest.
    pub digest: Digest,
    /// Bytes of its manifest.
    pub size: u64,
    /// Media type of its manifest.
    pub media_type: String,
    /// What it is.
    pub artifact_type: String,
    /// Notes.
    pub annotations: std::collections::BTreeMap<String, String>,
}

/// What `image prune` took, or would take.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Names and content, in order.
    pub removed: Vec<Removed>,
    /// Bytes that the disk has back: unpacked layers and blobs.
    pub reclaimed: u64,
}

/// One container that a prune would take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrunableContainer {
    /// The container.
    pub id: super::ContainerId,
    /// Its name.
    pub name: String,
    /// Bytes of its writable layer.
    pub size: u64,
}

/// What `container prune` took.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PrunedContainers {
    /// The containers.
    pub removed: Vec<super::ContainerId>,
    /// Bytes of their writable layers.
    pub reclaimed: u64,
}

/// One image that a prune would take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prunable {
    /// The image.
    pub id: ImageId,
    /// Its tags, in familiar form.
    pub tags: Vec<String>,
}

/// What a prune would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PrunePlan {
    /// Images that would go.
    pub images: Vec<Prunable>,
    /// Bytes that would come back: layers and blobs that nothing else needs.
    pub reclaimed: u64,
}

/// Bytes of images on disk, for `system df` and the disk-usage view. Layers count once, however many images share them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImagesUsage {
    /// Each image.
    pub images: Vec<ImageUsage>,
    /// All unpacked layers.
    pub layers: u64,
    /// All blobs as they came from a registry or an archive.
    pub blobs: u64,
    /// What waits to be gone on with by the next pull, and what processes that have gone left behind.
    pub leftovers: u64,
    /// Leftovers, and layers and blobs that nothing refers to.
    pub unused: u64,
    /// What a `system prune -a` would give back.
    pub reclaimable: u64,
}

/// Bytes of one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageUsage {
    /// The image.
    pub id: ImageId,
    /// Its tags, in familiar form.
    pub tags: Vec<String>,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// Platform.
    pub platform: Platform,
    /// Unpacked layers, all together.
    pub size: u64,
    /// Unpacked layers that other images have too.
    pub shared: u64,
    /// Unpacked layers that only this image has.
    pub unique: u64,
    /// Containers made from it.
    pub containers: u64,
}

/// Containers on disk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContainersUsage {
    /// Each container: id, name, image, state and bytes that it wrote.
    pub containers: Vec<ContainerUsage>,
}

/// Bytes of one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerUsage {
    /// Container.
    pub id: super::ContainerId,
    /// Its name.
    pub name: String,
    /// Image as it was asked for.
    pub image: String,
    /// Command line.
    pub command: String,
    /// It has a process.
    pub running: bool,
    /// As `ps` shows its state.
    pub status: String,
    /// When it was made.
    pub created: Timestamp,
    /// Bytes of its writable layer and its log.
    pub size: u64,
}

/// `system df`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DiskUsage {
    /// Images.
    pub images: ImagesUsage,
    /// Containers.
    pub containers: ContainersUsage,
    /// Volumes.
    pub volumes: Vec<super::volume::VolumeUsage>,
}

/// What `system check` found wrong with one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// What: `blob sha256:…`, `layer …`, `image …`.
    pub what: String,
    /// What is wrong with it.
    pub problem: String,
    /// What was done about it; `None` if nothing was, or could be.
    pub repaired: Option<String>,
}

/// `system check`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    /// Images looked at.
    pub images: u64,
    /// Blobs read and hashed.
    pub blobs: u64,
    /// Unpacked layers compared with their index, file by file.
    pub layers: u64,
    /// Bytes read.
    pub bytes: u64,
    /// What is wrong.
    pub damages: Vec<Damage>,
}
