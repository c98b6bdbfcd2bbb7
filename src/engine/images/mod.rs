//! Images: the content store, unpacked layers, archives, and what images are called.
//!
//! On disk, below the data root: `images.json` (which images, which names), `blobs/sha256/` (documents and layers as
//! they came), `layers/<chain id>/fs` (unpacked, a lower directory for overlayfs) with `layers/<chain id>/index` (what is
//! in it). Everything is changed under the lock `images.lock`, and built in a `workspace` before.

pub mod catalog;
pub mod change;
pub mod changes;
pub mod codec;
mod commit;
mod compare;
mod compress;
pub mod document;
mod download;
pub mod explore;
pub mod extract;
mod fetch;
pub mod index;
mod ingest;
mod intake;
mod layers;
mod legacy;
mod load;
pub mod manifest_list;
mod origins;
mod pace;
pub mod pack;
pub mod platform;
mod prune;
mod pull;
mod push;
pub mod ranges;
pub mod registry;
pub mod removal;
mod save;
mod sharing;
pub mod snapshot;
mod squash;
pub mod tarball;
pub mod unpack;
mod usage;
mod verify;
mod workspace;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

pub use download::Download;
pub use load::Source;
pub use removal::{InUse, User};
pub use verify::Around;

use super::error::{Attempt, Error, Kind, Result};
use super::model::digest::ImageId;
use super::model::image::{HistoryEntry, Image, Loaded, Removed};
use super::model::progress::Report;
use super::model::{
    Cancel, ContainerConfig, Digest, ImageSummary, Platform, Reference, Timestamp, request,
};
use super::store::{self, Roots};
use super::sys::at::Dir;
use super::sys::file::{self, Durability, Lock};
use catalog::{Catalog, Stored};
use commit::Plan;
use document::{Config, History, Process, RootFs};
use layers::{Closing, Phases, Pool};
use removal::Unneeded;
use workspace::Workspace;

/// The images of one data root. Any number of processes may have it open.
#[derive(Debug, Clone)]
pub struct Images {
    roots: Roots,
    dirs: Arc<Dirs>,
}

#[derive(Debug)]
struct Dirs {
    blobs: Dir,
    layers: Dir,
}

impl Images {
    /// Opens the store, making its directories if they are missing.
    ///
    /// # Errors
    /// What mkdir(2) and open(2) say.
    pub fn open(roots: &Roots) -> Result<Self> {
        let (blobs, layers) = (roots.blobs(), roots.layers());
        file::create_private_dir(&blobs)?;
        file::create_private_dir(&layers)?;
        Ok(Self {
            roots: roots.clone(),
            dirs: Arc::new(Dirs {
                blobs: Dir::open(&blobs)?,
                layers: Dir::open(&layers)?,
            }),
        })
    }

    /// Brings in every image of an archive.
    ///
    /// # Errors
    /// `InvalidInput` with what is wrong with the archive; `Cancelled`; what the file system says. Nothing of it is
    /// left then.
    pub fn load(&self, source: Source, report: Report<'_>, cancel: &Cancel) -> Result<Vec<Loaded>> {
        self.load_for(source, None, report, cancel)
    }

    /// The same for another platform than the host's.
    ///
    /// # Errors
    /// As [`Self::load`]; `NotFound` for an archive without an image for it.
    pub fn load_for(
        &self,
        source: Source,
        platform: Option<&Platform>,
        report: Report<'_>,
        cancel: &Cancel,
    ) -> Result<Vec<Loaded>> {
        let catalog = self.catalog()?;
        self.bring_in(report, cancel, |work, pool| {
            // A blob that is known needs no unpacking, most likely: `commit` asks if it does.
            let wanted = |digest: &Digest| catalog.knows(digest).is_none();
            load::read(source, work, pool, &wanted, platform, cancel)
        })
        .map(|loaded| {
            let mut lines = Vec::new();
            for (id, names) in loaded {
                if names.is_empty() {
                    lines.push(Loaded::Untagged(id));
                }
                lines.extend(names.iter().map(|name| Loaded::Tagged(name.familiar())));
            }
            lines
        })
    }

    /// Makes an image of layers that were generated: each is what made it and a tar, bottom first.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn assemble(
        &self,
        reference: &Reference,
        config: &ContainerConfig,
        layers: Vec<(String, Box<dyn Read + Send + '_>)>,
        cancel: &Cancel,
    ) -> Result<ImageId> {
        let now = Timestamp::now();
        let history = |created_by| History {
            created: Some(now),
            created_by,
            ..History::default()
        };
        let made = self.bring_in(&|_| (), cancel, |work, pool| {
            let mut blobs = Vec::new();
            let mut steps = Vec::new();
            for (created_by, mut tar) in layers {
                let blob = work.spool(&mut tar, cancel)?;
                pool.ask(&blob);
                blobs.push(blob);
                steps.push(history(created_by));
            }
            let config = configuration(
                Process::of(config),
                &Platform::host(),
                now,
                &blobs,
                steps,
                pool,
            )?;
            let names = vec![reference.clone().with_default_tag()];
            Ok(vec![commit::plan_without_manifest(config, blobs, names)?])
        })?;
        first_id(made)
    }

    /// Makes a one-layer image of a root file system's tar (plain, gzip, zstd, xz or bzip2).
    ///
    /// # Errors
    /// `InvalidInput` for a tar or an instruction that cannot be read; otherwise as [`Self::load`].
    pub fn import(
        &self,
        tar: &mut dyn Read,
        request: &request::Import,
        report: Report<'_>,
        cancel: &Cancel,
    ) -> Result<ImageId> {
        let mut process = Process::default();
        for line in &request.changes {
            change::apply(&mut process, line).map_err(|error| Error::invalid(error.to_string()))?;
        }
        if request
            .reference
            .as_ref()
            .is_some_and(|name| name.digest().is_some())
        {
            return Err(Error::invalid("cannot import digest reference"));
        }
        let now = Timestamp::now();
        let comment = if request.message.is_empty() {
            "Imported from -".to_owned()
        } else {
            request.message.clone()
        };
        let made = self.bring_in(report, cancel, |work, pool| {
            let blob = work.as_layer(work.spool(tar, cancel)?, cancel)?;
            if blob.size == 0 {
                return Err(Error::invalid("the archive is empty"));
            }
            pool.ask(&blob);
            let step = History {
                created: Some(now),
                comment,
                ..History::default()
            };
            let platform = request.platform.clone().unwrap_or_else(Platform::host);
            let blobs = vec![blob];
            let config = configuration(process, &platform, now, &blobs, vec![step], pool)?;
            let names = request.reference.clone().map(Reference::with_default_tag);
            let names = names.into_iter().collect();
            Ok(vec![commit::plan_without_manifest(config, blobs, names)?])
        })?;
        first_id(made)
    }

    /// Writes images as one archive, docker-archive and OCI layout at once: how many bytes it has. A repository without a
    /// tag means all its tags.
    ///
    /// # Errors
    /// `NotFound` for an unknown image, before anything is written; `Cancelled`; what reading and writing say.
    pub fn save(
        &self,
        names: &[String],
        out: &mut dyn Write,
        report: Report<'_>,
        cancel: &Cancel,
    ) -> Result<u64> {
        save::save(self, names, out, report, cancel)
    }

    /// Removes a name, or the image with its last one, or, by id, the image with all its names. Layers that neither
    /// another image nor a container needs go with it.
    ///
    /// # Errors
    /// `NotFound` for an unknown image; `Conflict` in Docker's words while containers or other names need it.
    pub fn remove(&self, name: &str, force: bool, in_use: &InUse<'_>) -> Result<Vec<Removed>> {
        let lock = self.lock()?;
        let mut catalog = self.catalog()?;
        let id = catalog.resolve(name)?;
        let layers = stored(&catalog, &id)?.layers.clone();
        let mut removed = removal::remove(&mut catalog, name, force, in_use.users)?;
        self.save_catalog(&catalog, &lock)?;
        if catalog.images.contains_key(&id) {
            return Ok(removed);
        }
        let gone = self.sweep(&catalog, in_use.layers, lock)?;
        for layer in layers.iter().rev() {
            if gone.contains(&layer.chain_id) {
                removed.push(Removed::Deleted(layer.chain_id.clone()));
            }
        }
        Ok(removed)
    }

    /// Removes layers and blobs that neither an image nor a container needs: after the last container of a removed
    /// image is gone.
    ///
    /// # Errors
    /// What the file system says.
    pub fn collect(&self, in_use: &dyn Fn() -> Result<BTreeSet<Digest>>) -> Result<Vec<Digest>> {
        let lock = self.lock()?;
        let catalog = self.catalog()?;
        self.sweep(&catalog, in_use, lock)
    }

    /// Takes what is not needed out of the store, gives the lock back, and only then removes it: that takes long.
    fn sweep(
        &self,
        catalog: &Catalog,
        in_use: &dyn Fn() -> Result<BTreeSet<Digest>>,
        lock: Lock,
    ) -> Result<Vec<Digest>> {
        let unneeded = Unneeded::find(self, catalog, &in_use()?)?;
        let work = Workspace::create(&self.dirs.layers, &self.dirs.blobs, &lock)?;
        let taken = unneeded.take(self, &work);
        drop(lock);
        drop(work);
        taken?;
        Ok(unneeded
            .layers
            .into_iter()
            .map(|(layer, _)| layer)
            .collect())
    }

    /// Runs what finds or makes images in a workspace with threads that unpack, and commits the result.
    fn bring_in(
        &self,
        report: Report<'_>,
        cancel: &Cancel,
        read: impl FnOnce(&Workspace, &Pool<'_>) -> Result<Vec<Plan>>,
    ) -> Result<Vec<(ImageId, Vec<Reference>)>> {
        let work = {
            let lock = self.lock()?;
            Workspace::create(&self.dirs.layers, &self.dirs.blobs, &lock)?
        };
        let phases = Phases {
            during: "Loading layer",
            after: None,
        };
        let pool = Pool::new(&work, phases, report, cancel);
        std::thread::scope(|scope| {
            let _closing = Closing(&pool);
            pool.start(scope, 1);
            let plans = read(&work, &pool)?;
            let ids = commit::commit(self, &work, &pool, &plans, cancel)?;
            let names = plans.into_iter().map(|plan| plan.names);
            Ok(ids.into_iter().zip(names).collect())
        })
    }

    /// All images, newest first.
    ///
    /// # Errors
    /// What reading the records says.
    pub fn list(&self) -> Result<Vec<ImageSummary>> {
        let catalog = self.catalog()?;
        let mut list = Vec::new();
        for (id, stored) in &catalog.images {
            match self.read_config(id, stored) {
                Ok(config) => list.push(summary(&catalog, id, stored, &config)),
                // It was removed while we were reading, or the store is damaged: then it is there all the same.
                Err(error) if error.kind() == Kind::NotFound => {
                    if self.catalog()?.images.contains_key(id) {
                        list.push(summary(&catalog, id, stored, &Config::default()));
                    }
                }
                Err(error) => return Err(error),
            }
        }
        list.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| a.id.cmp(&b.id)));
        Ok(list)
    }

    /// One image by reference, id or unambiguous beginning of an id.
    ///
    /// # Errors
    /// `NotFound` in Docker's words, `InvalidInput` if several fit.
    pub fn resolve(&self, name: &str) -> Result<Image> {
        let catalog = self.catalog()?;
        let id = catalog.resolve(name)?;
        let stored = stored(&catalog, &id)?;
        let config = self.read_config(&id, stored)?;
        let layers: Vec<_> = stored
            .layers
            .iter()
            .map(catalog::StoredLayer::layer)
            .collect();
        let history = stored_steps(&config, layers.iter().map(|layer| layer.size).collect());
        let newest = config.history.last();
        Ok(Image {
            summary: summary(&catalog, &id, stored, &config),
            author: config.author.clone(),
            comment: newest.map(|step| step.comment.clone()).unwrap_or_default(),
            config: config.container_config(),
            stated: config.stated(),
            layers,
            history,
            manifest: stored.manifest.clone(),
            tagged: catalog.tagged.get(&id).copied(),
        })
    }

    /// What each of these names means now; those that mean nothing are left out.
    ///
    /// # Errors
    /// A damaged catalog.
    pub fn meanings<'a>(
        &self,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<BTreeMap<&'a str, ImageId>> {
        let catalog = self.catalog()?;
        let meant = |name: &'a str| catalog.resolve(name).ok().map(|id| (name, id));
        Ok(names.into_iter().filter_map(meant).collect())
    }

    /// Unpacked layers of an image, topmost first, as overlayfs wants them.
    #[must_use]
    pub fn layer_dirs(&self, image: &Image) -> Vec<PathBuf> {
        let layers = image.layers.iter().rev();
        layers
            .map(|layer| self.layer_dir(&layer.chain_id))
            .collect()
    }

    /// The unpacked tree of one layer.
    #[must_use]
    pub fn layer_dir(&self, chain_id: &Digest) -> PathBuf {
        self.roots.layers().join(chain_id.hex()).join("fs")
    }

    /// Gives an image another name; a name that meant another image is taken from it.
    ///
    /// # Errors
    /// `NotFound` for the source; `InvalidInput` for a target that is no name, or has a digest.
    pub fn tag(&self, source: &str, target: &str) -> Result<()> {
        let name = target
            .parse::<Reference>()
            .map_err(|error| Error::invalid(error.to_string()))?;
        if name.digest().is_some() {
            return Err(Error::invalid(
                "refusing to create a tag with a digest reference",
            ));
        }
        let lock = self.lock()?;
        let mut catalog = self.catalog()?;
        let id = catalog.resolve(source)?;
        catalog.names.insert(name.with_default_tag(), id.clone());
        let images = &catalog.images;
        catalog.tagged.retain(|id, _| images.contains_key(id));
        catalog.tagged.insert(id, Timestamp::now());
        self.save_catalog(&catalog, &lock)
    }

    /// Keeps every image and layer where it is until the guard is dropped: for the time between choosing an image and
    /// writing the record of a container that uses it. A thread that holds it must not call what changes the store.
    ///
    /// # Errors
    /// What flock(2) says.
    pub fn hold(&self) -> Result<Lock> {
        file::lock_shared(&self.lock_path())
    }

    fn lock_path(&self) -> PathBuf {
        self.roots.data.join("images.lock")
    }

    fn lock(&self) -> Result<Lock> {
        file::lock(&self.lock_path())
    }

    fn catalog_path(&self) -> PathBuf {
        self.roots.data.join("images.json")
    }

    fn catalog(&self) -> Result<Catalog> {
        let path = self.catalog_path();
        let Some(catalog) = store::read_record::<Catalog>(&path)? else {
            return Ok(Catalog::default());
        };
        if catalog.version == catalog::VERSION {
            return Ok(catalog);
        }
        Err(Error::unsupported(format!(
            "{} has version {}, this wharf knows {}",
            path.display(),
            catalog.version,
            catalog::VERSION
        )))
    }

    fn save_catalog(&self, catalog: &Catalog, _lock: &Lock) -> Result<()> {
        store::write_record(&self.catalog_path(), catalog, Durability::Synced)
    }

    fn layers_dir(&self) -> &Dir {
        &self.dirs.layers
    }

    fn blobs_dir(&self) -> &Dir {
        &self.dirs.blobs
    }

    /// The head of an unpacked layer's index; `None` if it is not there.
    fn layer_summary(&self, chain_id: &Digest) -> Result<Option<index::Summary>> {
        let Some(dir) = self.dirs.layers.find_dir(chain_id.hex().as_bytes())? else {
            return Ok(None);
        };
        let mut file = match dir.open_file(index::FILE.as_bytes()) {
            Ok(file) => file,
            Err(error) if error.kind() == Kind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        index::read_summary(&mut file).map(Some).map_err(|error| {
            Error::new(Kind::Internal, format!("layer {}", chain_id.short())).caused_by(error)
        })
    }

    /// What is in an unpacked layer, sorted by path; nothing but its index is read.
    ///
    /// # Errors
    /// `NotFound` if the layer is not there; `Internal` for a damaged index.
    pub fn layer_index(&self, chain_id: &Digest) -> Result<(index::Summary, Vec<index::Entry>)> {
        let name = format!("{}/{}", chain_id.hex(), index::FILE);
        let mut bytes = Vec::new();
        self.dirs
            .layers
            .open_file(name.as_bytes())?
            .read_to_end(&mut bytes)
            .attempt(|| format!("read index of layer {}", chain_id.short()))?;
        index::read(&bytes).map_err(|error| {
            Error::new(Kind::Internal, format!("layer {}", chain_id.short())).caused_by(error)
        })
    }

    /// A document of the store, checked against its digest.
    fn read_document(&self, digest: &Digest) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let limit = u64::try_from(document::LIMIT).unwrap_or(u64::MAX);
        self.dirs
            .blobs
            .open_file(digest.hex().as_bytes())?
            .take(limit.saturating_add(1))
            .read_to_end(&mut bytes)
            .attempt(|| format!("read blob {digest}"))?;
        if codec::digest_of(&bytes) == *digest {
            return Ok(bytes);
        }
        Err(
            Error::new(Kind::Internal, format!("blob {digest} is damaged"))
                .with_hint("remove the image and load it again"),
        )
    }

    /// Media type and bytes of a manifest of the store.
    ///
    /// # Errors
    /// `NotFound`, `Internal` for a damaged one.
    pub fn describe_manifest(&self, digest: &Digest) -> Result<(String, u64)> {
        let manifest = self.read_document(digest)?;
        let own = serde_json::from_slice::<serde_json::Value>(&manifest).ok();
        let media_type = own
            .as_ref()
            .and_then(|own| own.get("mediaType")?.as_str())
            .unwrap_or(document::OCI_MANIFEST);
        let size = u64::try_from(manifest.len()).unwrap_or(u64::MAX);
        Ok((media_type.to_owned(), size))
    }

    fn read_config(&self, id: &ImageId, stored: &Stored) -> Result<Config> {
        let bytes = self.read_document(id)?;
        commit::parse_config(&bytes, stored.layers.len())
            .attempt(|| format!("image {}", id.short()))
    }
}

/// Runs something of the registry client to its end on this thread.
///
/// # Errors
/// What it ends with, or that no runtime can be had.
pub fn block_on<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .attempt(|| "start the network runtime")?
        .block_on(future)
}

/// The configuration document of an image that is made here.
fn configuration(
    process: Process,
    platform: &Platform,
    created: Timestamp,
    blobs: &[workspace::Spooled],
    history: Vec<History>,
    pool: &Pool<'_>,
) -> Result<Vec<u8>> {
    let mut diff_ids = Vec::new();
    for blob in blobs {
        diff_ids.push(pool.peek_diff_id(blob)?);
    }
    commit::encode(&Config {
        architecture: platform.architecture.clone(),
        os: platform.os.clone(),
        variant: platform.variant.clone().unwrap_or_default(),
        os_version: platform.os_version.clone().unwrap_or_default(),
        os_features: platform.os_features.clone(),
        created: Some(created),
        author: String::new(),
        docker_version: String::new(),
        config: process,
        rootfs: RootFs {
            kind: "layers".to_owned(),
            diff_ids,
        },
        history,
    })
}

/// A configuration's history with the sizes of its layers, the lowest first.
fn stored_steps(config: &Config, sizes: Vec<u64>) -> Vec<HistoryEntry> {
    let mut sizes = sizes.into_iter();
    let mut history: Vec<HistoryEntry> = Vec::new();
    for step in &config.history {
        let size = if step.empty_layer {
            0
        } else {
            sizes.next().unwrap_or(0)
        };
        history.push(HistoryEntry {
            created: step.created,
            created_by: step.created_by.clone(),
            comment: step.comment.clone(),
            size,
            empty: step.empty_layer,
        });
    }
    // Layers that the history does not tell of.
    history.extend(sizes.map(|size| HistoryEntry {
        created: config.created,
        created_by: String::new(),
        comment: String::new(),
        size,
        empty: false,
    }));
    history
}

fn first_id(made: Vec<(ImageId, Vec<Reference>)>) -> Result<ImageId> {
    let nothing = || Error::new(Kind::Internal, "no image was made");
    made.into_iter()
        .next()
        .map(|(id, _)| id)
        .ok_or_else(nothing)
}

fn stored<'a>(catalog: &'a Catalog, id: &ImageId) -> Result<&'a Stored> {
    let missing = || Error::not_found(format!("No such image: {}", id.short()));
    catalog.images.get(id).ok_or_else(missing)
}

fn summary(catalog: &Catalog, id: &ImageId, stored: &Stored, config: &Config) -> ImageSummary {
    let (digests, tags): (Vec<_>, Vec<_>) = catalog
        .names_of(id)
        .partition(|name| name.digest().is_some());
    let familiar = |names: Vec<&Reference>| {
        let mut names: Vec<String> = names.into_iter().map(Reference::familiar).collect();
        names.sort_unstable();
        names
    };
    ImageSummary {
        id: id.clone(),
        tags: familiar(tags),
        digests: familiar(digests),
        created: config.created,
        size: stored.layers.iter().map(|layer| layer.size).sum(),
        labels: config.config.labels.clone(),
        platform: config.platform(),
    }
}
