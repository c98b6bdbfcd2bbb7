//! How many bytes images take: each, what they share, and what could be given back.

use std::collections::BTreeMap;

use super::Images;
use super::prune::Leftovers;
use super::removal::{self, InUse, Unneeded};
use crate::engine::error::Result;
use crate::engine::model::registry::{ImageUsage, ImagesUsage};
use crate::engine::model::{Digest, request};
use crate::engine::sys::measure;

impl Images {
    /// Bytes of all images. A layer counts once, however many images share it.
    ///
    /// # Errors
    /// A damaged store.
    pub fn usage(&self, in_use: &InUse<'_>) -> Result<ImagesUsage> {
        let everything = request::PruneImages {
            all: true,
            ..request::PruneImages::default()
        };
        let reclaimable = self.plan_prune(&everything, in_use)?.reclaimed;
        let _lock = self.hold()?;
        let catalog = self.catalog()?;
        let mut owners: BTreeMap<&Digest, usize> = BTreeMap::new();
        for image in catalog.images.values() {
            for layer in &image.layers {
                *owners.entry(&layer.chain_id).or_default() += 1;
            }
        }
        let mut images = Vec::new();
        for summary in self.list()? {
            let Some(image) = catalog.images.get(&summary.id) else {
                continue;
            };
            let is_shared = |chain: &Digest| owners.get(chain).is_some_and(|owners| *owners > 1);
            let shared = image
                .layers
                .iter()
                .filter(|layer| is_shared(&layer.chain_id));
            let shared: u64 = shared.map(|layer| layer.size).sum();
            let containers = (in_use.users)(&summary.id)?.len();
            images.push(ImageUsage {
                id: summary.id,
                tags: summary.tags,
                created: summary.created,
                platform: summary.platform,
                size: summary.size,
                shared,
                unique: summary.size.saturating_sub(shared),
                containers: u64::try_from(containers).unwrap_or(u64::MAX),
            });
        }
        let mut layers = 0_u64;
        for chain_id in removal::digests(self.layers_dir())? {
            let summary = self.layer_summary(&chain_id).ok().flatten();
            layers = layers.saturating_add(summary.map_or(0, |summary| summary.size));
        }
        let unneeded = Unneeded::find(self, &catalog, &(in_use.layers)()?)?;
        let abandoned = Leftovers::find(self, true)?;
        Ok(ImagesUsage {
            images,
            layers,
            blobs: measure::below(self.blobs_dir())?,
            leftovers: abandoned.bytes,
            unused: unneeded.bytes().saturating_add(abandoned.bytes),
            reclaimable,
        })
    }
}
