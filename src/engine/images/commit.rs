//! From documents and spooled blobs to an image of the store: layers are unpacked and verified in the workspace, then
//! everything becomes visible at once, under the store's lock.

use std::collections::{HashMap, HashSet};

use super::catalog::{Stored, StoredLayer};
use super::document::{self, Config};
use super::index;
use super::layers::Pool;
use super::workspace::{Place, Spooled, Workspace};
use super::{Images, codec};
use crate::engine::error::{Error, Kind, Result};
use crate::engine::model::digest::ImageId;
use crate::engine::model::{Cancel, Digest, Reference, Timestamp};
use crate::engine::sys::at::Dir;

/// An image whose documents are read and whose blobs are in the workspace.
#[derive(Debug)]
pub(super) struct Plan {
    /// The configuration document.
    pub config: Vec<u8>,
    /// The manifest document.
    pub manifest: Vec<u8>,
    /// Layers, bottom first: the digest that the configuration states, and the blob.
    pub layers: Vec<(Digest, Spooled)>,
    /// Names to give it.
    pub names: Vec<Reference>,
    /// If the store has the image with another manifest, this one replaces it: it is what the registry has.
    pub binding: bool,
}

/// A layer that is fitted onto those below and waits in the workspace.
struct Fitted {
    name: String,
    size: u64,
}

/// Unpacks what is missing and takes all plans into the store.
///
/// # Errors
/// `InvalidInput` for content that is not what the documents say; what the file system says. Nothing is visible then.
pub(super) fn commit(
    images: &Images,
    work: &Workspace,
    pool: &Pool<'_>,
    plans: &[Plan],
    cancel: &Cancel,
) -> Result<Vec<ImageId>> {
    let mut fitted: HashMap<Digest, Fitted> = HashMap::new();
    let mut verified: HashSet<(Digest, Digest)> = HashSet::new();
    loop {
        for plan in plans {
            prepare(images, work, pool, plan, &mut fitted, &mut verified)?;
        }
        if cancel.is_cancelled() {
            return Err(Error::new(Kind::Cancelled, "cancelled"));
        }
        // Once for everything, before anything refers to it.
        work.dir().sync_file_system()?;
        if let Some(ids) = publish(images, work, plans, &mut fitted)? {
            return Ok(ids);
        }
        // A layer that was there has been removed by another process meanwhile: unpack it after all.
    }
}

fn prepare(
    images: &Images,
    work: &Workspace,
    pool: &Pool<'_>,
    plan: &Plan,
    fitted: &mut HashMap<Digest, Fitted>,
    verified: &mut HashSet<(Digest, Digest)>,
) -> Result<()> {
    let catalog = images.catalog()?;
    let chains = chain_ids(plan.layers.iter().map(|(diff_id, _)| diff_id));
    let missing = |chain: &Digest, fitted: &HashMap<Digest, Fitted>| -> Result<bool> {
        Ok(!fitted.contains_key(chain) && images.layer_summary(chain)?.is_none())
    };
    for ((_, blob), chain) in plan.layers.iter().zip(&chains) {
        if missing(chain, fitted)? {
            pool.ask(blob);
        }
    }
    let mut lowers: Vec<Dir> = Vec::new();
    for ((diff_id, blob), chain) in plan.layers.iter().zip(&chains) {
        let pair = (blob.digest.clone(), diff_id.clone());
        if missing(chain, fitted)? {
            let ready = pool.take(blob)?;
            check_diff_id(blob, &ready.diff_id, diff_id)?;
            let tree = ready
                .tree
                .complete(&lowers)
                .map_err(|error| error.attempting(format!("layer {}", blob.digest.short())))?;
            let bytes = index::encode(tree.entries(), &tree.repeated(), diff_id, chain);
            let size = index::read_summary(&mut bytes.as_slice()).map_or(0, |summary| summary.size);
            write(&ready.dir, index::FILE, &bytes)?;
            verified.insert(pair);
            let name = ready.name;
            fitted.insert(chain.clone(), Fitted { name, size });
            pool.tell_done(blob);
        } else if verified.insert(pair) {
            let known = catalog
                .knows(&blob.digest)
                .is_some_and(|layer| layer.diff_id == *diff_id);
            if !known {
                check_diff_id(blob, &pool.diff_id(blob)?, diff_id)?;
            }
        }
        let opened = match fitted.get(chain) {
            Some(fitted) => work
                .dir()
                .find_dir(format!("{}/fs", fitted.name).as_bytes())?,
            None => images
                .layers_dir()
                .find_dir(format!("{}/fs", chain.hex()).as_bytes())?,
        };
        // One that nobody had to unpack has not been hashed yet.
        if let Place::Arriving(arrival) = &blob.place {
            arrival.verify()?;
        }
        // `None`: it has just been removed; `publish` notices.
        if let Some(dir) = opened {
            lowers.insert(0, dir);
        }
    }
    Ok(())
}

fn check_diff_id(blob: &Spooled, found: &Digest, stated: &Digest) -> Result<()> {
    if found == stated {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "layer {}: its content is {found}, the image configuration says {stated}",
        blob.digest.short()
    )))
}

/// Moves everything into place; `None` if a layer that was counted on has gone.
fn publish(
    images: &Images,
    work: &Workspace,
    plans: &[Plan],
    fitted: &mut HashMap<Digest, Fitted>,
) -> Result<Option<Vec<ImageId>>> {
    let lock = images.lock()?;
    let mut catalog = images.catalog()?;
    let mut ids = Vec::new();
    let mut stored = Vec::new();
    for plan in plans {
        let chains = chain_ids(plan.layers.iter().map(|(diff_id, _)| diff_id));
        let mut layers = Vec::new();
        for ((diff_id, blob), chain_id) in plan.layers.iter().zip(chains) {
            // Another process may have brought the same layer meanwhile: then its one stays.
            let there = images.layer_summary(&chain_id)?.map(|summary| summary.size);
            let here = fitted.get(&chain_id).map(|fitted| fitted.size);
            let Some(size) = there.or(here) else {
                return Ok(None);
            };
            // A blob that was in the store may have been removed with its image.
            let in_store = matches!(blob.place, Place::Stored);
            if in_store
                && images
                    .blobs_dir()
                    .stat(blob.digest.hex().as_bytes())?
                    .is_none()
            {
                return Err(Error::new(
                    Kind::Unavailable,
                    "a blob was removed meanwhile",
                ));
            }
            layers.push(StoredLayer {
                diff_id: diff_id.clone(),
                chain_id,
                blob: blob.digest.clone(),
                size,
                blob_size: blob.size,
            });
        }
        stored.push(layers);
    }
    for (plan, layers) in plans.iter().zip(stored) {
        for layer in &layers {
            if let Some(fitted) = fitted.get(&layer.chain_id) {
                let (from, to) = (fitted.name.as_bytes(), layer.chain_id.hex().as_bytes());
                if work.dir().stat(from)?.is_some() {
                    work.dir().rename_new(from, images.layers_dir(), to)?;
                }
            }
        }
        let id = codec::digest_of(&plan.config);
        let manifest = codec::digest_of(&plan.manifest);
        let known = catalog.images.get(&id);
        // Blobs that the record does not name would be nobody's.
        let stays = known.is_some_and(|known| known.manifest != manifest) && !plan.binding;
        if !stays {
            for (_, blob) in &plan.layers {
                work.place(blob)?;
            }
            for document in [&plan.config, &plan.manifest] {
                work.place(&work.keep(document)?)?;
            }
            let stored = Stored {
                manifest,
                layers,
                added: known.map_or_else(Timestamp::now, |known| known.added),
            };
            catalog.images.insert(id.clone(), stored);
        }
        for name in &plan.names {
            catalog.names.insert(name.clone(), id.clone());
        }
        ids.push(id);
    }
    images.save_catalog(&catalog, &lock)?;
    Ok(Some(ids))
}

fn write(dir: &Dir, name: &str, bytes: &[u8]) -> Result<()> {
    use crate::engine::error::Attempt;
    use std::io::Write;
    let taken = || Error::new(Kind::Internal, format!("{name} is there already"));
    let mut file = dir.make_file(name.as_bytes())?.ok_or_else(taken)?;
    file.write_all(bytes).attempt(|| format!("write {name}"))
}

/// Names of the unpacked layers (OCI image-spec, config.md, "Layer ChainID"), bottom first.
pub(super) fn chain_ids<'a>(diff_ids: impl Iterator<Item = &'a Digest>) -> Vec<Digest> {
    let mut chains: Vec<Digest> = Vec::new();
    for diff_id in diff_ids {
        let chain = match chains.last() {
            None => diff_id.clone(),
            Some(below) => codec::digest_of(format!("{below} {diff_id}").as_bytes()),
        };
        chains.push(chain);
    }
    chains
}

/// The plan of an image that has no manifest of its own.
///
/// # Errors
/// `InvalidInput` if the configuration does not fit the layers, `Unsupported` for an unknown compression.
pub(super) fn plan_without_manifest(
    config: Vec<u8>,
    blobs: Vec<Spooled>,
    names: Vec<Reference>,
) -> Result<Plan> {
    let parsed = parse_config(&config, blobs.len())?;
    let mut described = Vec::new();
    for blob in &blobs {
        described.push((blob.digest.clone(), blob.size, blob.compression()?));
    }
    let size = u64::try_from(config.len()).unwrap_or(u64::MAX);
    let manifest = document::make_manifest((codec::digest_of(&config), size), &described);
    let manifest = encode(&manifest)?;
    Ok(Plan {
        config,
        manifest,
        layers: parsed.rootfs.diff_ids.into_iter().zip(blobs).collect(),
        names,
        binding: false,
    })
}

/// Reads an image's configuration.
///
/// # Errors
/// `InvalidInput`, saying what is wrong.
pub(super) fn parse_config(bytes: &[u8], layers: usize) -> Result<Config> {
    document::read_config(bytes, layers).map_err(document_error)
}

/// A document's defect as the engine's error.
pub(super) fn document_error(error: document::Error) -> Error {
    error.into()
}

/// A document of ours as JSON.
///
/// # Errors
/// `Internal`: serde has no reason to refuse plain data.
pub(super) fn encode<T: serde::Serialize>(document: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(document)
        .map_err(|error| Error::new(Kind::Internal, "encode document").caused_by(error))
}
