//! Which images share which layers, and what each of them alone holds.

use std::collections::{BTreeMap, BTreeSet};

use super::Images;
use super::removal::InUse;
use crate::engine::error::Result;
use crate::engine::model::sharing::{ImageShare, LayerShare, Sharing};
use crate::engine::model::{Digest, Reference};

/// What an image needs: unpacked layers with their bytes, and blobs.
#[derive(Default)]
struct Needs {
    layers: BTreeMap<Digest, u64>,
    blobs: BTreeSet<Digest>,
}

impl Images {
    /// All images with their layers. Bytes are those that [`Images::remove`] gives back while containers stay.
    ///
    /// # Errors
    /// A damaged store.
    pub fn sharing(&self, in_use: &InUse<'_>) -> Result<Sharing> {
        let _lock = self.hold()?;
        let catalog = self.catalog()?;
        let held = (in_use.layers)()?;
        let mut needs: Vec<Needs> = Vec::new();
        let (mut layer_owners, mut blob_owners) = (BTreeMap::new(), BTreeMap::new());
        for (id, image) in &catalog.images {
            let mut own = Needs::default();
            own.blobs.extend([id.clone(), image.manifest.clone()]);
            for layer in &image.layers {
                own.layers.insert(layer.chain_id.clone(), layer.size);
                own.blobs.insert(layer.blob.clone());
            }
            for layer in own.layers.keys() {
                *layer_owners.entry(layer.clone()).or_insert(0) += 1;
            }
            for blob in &own.blobs {
                *blob_owners.entry(blob.clone()).or_insert(0) += 1;
            }
            needs.push(own);
        }
        let is_only =
            |owners: &BTreeMap<Digest, i32>, digest: &Digest| owners.get(digest) == Some(&1);
        let mut images = Vec::new();
        for ((id, stored), own) in catalog.images.iter().zip(&needs) {
            let alone = |(layer, _): &(&Digest, &u64)| {
                is_only(&layer_owners, layer) && !held.contains(*layer)
            };
            let mut frees: u64 = own.layers.iter().filter(alone).map(|(_, size)| size).sum();
            for blob in own.blobs.iter().filter(|blob| is_only(&blob_owners, blob)) {
                let stat = self.blobs_dir().stat(blob.hex().as_bytes())?;
                frees = frees.saturating_add(stat.map_or(0, |stat| stat.size));
            }
            images.push(ImageShare {
                id: id.clone(),
                tags: catalog.names_of(id).map(Reference::familiar).collect(),
                size: stored.layers.iter().map(|layer| layer.size).sum(),
                frees,
                containers: (in_use.users)(id)?.len(),
            });
        }
        images.sort_by(|a, b| b.frees.cmp(&a.frees).then_with(|| a.id.cmp(&b.id)));
        let mut layers: BTreeMap<Digest, LayerShare> = BTreeMap::new();
        for (place, image) in images.iter().enumerate() {
            let resolved = self.resolve(image.id.as_str())?;
            let mut steps = resolved.history.iter().filter(|step| !step.empty);
            for layer in &resolved.layers {
                let step = steps.next();
                let share = layers
                    .entry(layer.chain_id.clone())
                    .or_insert_with(|| LayerShare {
                        chain_id: layer.chain_id.clone(),
                        diff_id: layer.diff_id.clone(),
                        size: layer.size,
                        command: step.map_or(String::new(), |step| step.created_by.clone()),
                        images: Vec::new(),
                    });
                share.images.push(place);
            }
        }
        let mut layers: Vec<LayerShare> = layers.into_values().collect();
        layers.sort_by(|a, b| {
            b.size
                .cmp(&a.size)
                .then_with(|| a.chain_id.cmp(&b.chain_id))
        });
        Ok(Sharing { images, layers })
    }
}
