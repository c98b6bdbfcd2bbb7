//! Which images of the store share which layers, and what removing one of them would give back.

use super::digest::ImageId;
use super::{Digest, units};

/// All images and all layers that they have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sharing {
    /// Images; the one whose removal gives back most comes first.
    pub images: Vec<ImageShare>,
    /// Their layers, the largest first.
    pub layers: Vec<LayerShare>,
}

/// An image, and what is its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageShare {
    /// The image.
    pub id: ImageId,
    /// Its tags, in familiar form.
    pub tags: Vec<String>,
    /// Bytes of its layers as they are unpacked.
    pub size: u64,
    /// Bytes that its removal gives back: layers and blobs that neither another image nor a container has.
    pub frees: u64,
    /// Containers made from it.
    pub containers: usize,
}

/// A layer on top of certain others, as it is unpacked once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerShare {
    /// What it is, with all that is below it.
    pub chain_id: Digest,
    /// What it is by itself.
    pub diff_id: Digest,
    /// Bytes of its files.
    pub size: u64,
    /// The instruction that made it, as the history of one of the images has it.
    pub command: String,
    /// Images that have it, by their place.
    pub images: Vec<usize>,
}

impl ImageShare {
    /// Its first tag, or its short id.
    #[must_use]
    pub fn name(&self) -> String {
        let tag = self.tags.first().cloned();
        tag.unwrap_or_else(|| format!("<none> {}", self.id.short()))
    }
}

impl Sharing {
    /// Bytes of all layers, each once, and what they would be if nothing was shared.
    #[must_use]
    pub fn bytes(&self) -> (u64, u64) {
        let once = self.layers.iter().map(|layer| layer.size).sum();
        let each = self.images.iter().map(|image| image.size).sum();
        (once, each)
    }

    /// Names of the images that have a layer.
    #[must_use]
    pub fn names(&self, layer: &LayerShare) -> Vec<String> {
        let images = layer.images.iter();
        images
            .filter_map(|image| Some(self.images.get(*image)?.name()))
            .collect()
    }

    /// All in one line.
    #[must_use]
    pub fn told(&self) -> String {
        let (once, each) = self.bytes();
        let count = |many: usize, what: &str| match many {
            1 => format!("1 {what}"),
            many => format!("{many} {what}s"),
        };
        format!(
            "{} in {} of {}; without sharing {}",
            units::human_size_short(once),
            count(self.layers.len(), "layer"),
            count(self.images.len(), "image"),
            units::human_size_short(each),
        )
    }
}
