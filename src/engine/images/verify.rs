//! Checks the whole store: every record, every document, every blob by its digest, every unpacked layer file by file
//! against its index, and what nobody needs. What can be made good is: a layer is unpacked again from its blob, a blob is
//! fetched again from where it came, the rest is removed. How a tree is compared is in `compare.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::catalog::{Catalog, Stored, StoredLayer};
use super::codec::{Ahead, CHUNK, Hasher};
use super::compare::compare;
use super::document::{self, Document};
use super::prune::Leftovers;
use super::registry::{Access, Client, Repository, Which};
use super::removal::{InUse, Unneeded};
use super::unpack::{self, stream_error};
use super::workspace::Workspace;
use super::{Images, commit, fetch, index, origins};
use crate::engine::error::{Attempt, Error, Kind, Result};
use crate::engine::model::digest::ImageId;
use crate::engine::model::progress::Report;
use crate::engine::model::registry::{Checked, Damage};
use crate::engine::model::{Auth, Cancel, Digest, Progress, Reference, request};

/// What the store cannot know by itself.
pub struct Around<'a> {
    /// What containers use.
    pub in_use: InUse<'a>,
    /// Chain ids of the layers that processes run on now.
    pub running: &'a dyn Fn() -> Result<BTreeSet<Digest>>,
    /// The client of registries.
    pub client: &'a dyn Fn() -> Result<Client>,
    /// What the user shows to a registry.
    pub auth: &'a dyn Fn(&str) -> Result<Auth>,
}

impl std::fmt::Debug for Around<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Around")
    }
}

/// What is wrong, and with what.
#[derive(Debug)]
enum Fault {
    Image(ImageId, String),
    Blob(Digest, String),
    Layer(Digest, String),
}

/// What a damaged blob must be.
#[derive(Debug, Clone, Copy)]
enum Expected {
    /// A manifest: registries have them elsewhere, and the client limits them.
    Manifest,
    /// Any other content of at most so many bytes.
    Blob(u64),
}

/// One thing to read.
#[derive(Debug, Clone)]
enum Item {
    Blob(Digest),
    Layer(Digest),
}

impl Images {
    /// Checks everything; repairs, if asked to.
    ///
    /// # Errors
    /// `Cancelled`; a record that cannot be read; what the file system says.
    pub fn check(
        &self,
        request: request::Check,
        around: &Around<'_>,
        report: Report<'_>,
        cancel: &Cancel,
    ) -> Result<Checked> {
        let catalog = self.catalog()?;
        let needed = &catalog.layers() | &(around.in_use.layers)()?;
        let (faults, bytes) = self.read_all(&catalog, &needed, report, cancel)?;
        let mut checked = Checked {
            images: count(catalog.images.len()),
            blobs: count(catalog.blobs().len()),
            layers: count(needed.len()),
            bytes,
            damages: Vec::new(),
        };
        let faults = self.still_true(faults, around)?;
        let mut broken: BTreeSet<Digest> = BTreeSet::new();
        for fault in faults {
            let damage = match fault {
                Fault::Image(id, problem) => Damage {
                    what: format!("image {}", id.short()),
                    problem,
                    repaired: None,
                },
                Fault::Blob(digest, problem) => {
                    let damage =
                        self.repair_blob(&digest, problem, request.repair, around, cancel)?;
                    if damage.repaired.is_none() {
                        broken.insert(digest);
                    }
                    damage
                }
                Fault::Layer(chain_id, problem) => {
                    self.repair_layer(&chain_id, problem, request.repair, &broken, around, cancel)?
                }
            };
            checked.damages.push(damage);
        }
        checked.damages.extend(self.strays(request.repair, around)?);
        Ok(checked)
    }

    /// Reads every document, blob and layer, two side by side: what is wrong, blobs first, and how many bytes there were.
    fn read_all(
        &self,
        catalog: &Catalog,
        needed: &BTreeSet<Digest>,
        report: Report<'_>,
        cancel: &Cancel,
    ) -> Result<(Vec<Fault>, u64)> {
        let mut work: Vec<(u64, Item)> = Vec::new();
        for digest in catalog.blobs() {
            let stat = self.blobs_dir().stat(digest.hex().as_bytes())?;
            work.push((stat.map_or(0, |stat| stat.size), Item::Blob(digest)));
        }
        for chain_id in needed {
            let summary = self.layer_summary(chain_id).ok().flatten();
            let size = summary.map_or(0, |summary| summary.size);
            work.push((size, Item::Layer(chain_id.clone())));
        }
        // The large ones first, so that the end is not one thread's alone.
        work.sort_by_key(|(size, _)| *size);
        let total = work.iter().map(|(size, _)| size).sum();
        let done = AtomicU64::new(0);
        let count = |bytes: u64| {
            let done = done
                .fetch_add(bytes, Ordering::Relaxed)
                .saturating_add(bytes);
            report(Progress {
                part: String::new(),
                phase: "Checking".into(),
                done,
                total: Some(total),
            });
            if cancel.is_cancelled() {
                return Err(Error::new(Kind::Cancelled, "cancelled"));
            }
            Ok(())
        };
        let queue = Mutex::new(work);
        let found: Mutex<Vec<Result<Fault>>> = Mutex::new(Vec::new());
        let run = || {
            loop {
                let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop();
                let Some((_, item)) = next else { break };
                let fault = self.look_at(&item, &count);
                if let Some(fault) = fault.transpose() {
                    let stop = fault.is_err();
                    found
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(fault);
                    if stop {
                        queue.lock().unwrap_or_else(PoisonError::into_inner).clear();
                    }
                }
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(run);
            run();
        });
        let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut faults = found.into_iter().collect::<Result<Vec<Fault>>>()?;
        let bad: BTreeSet<Digest> = faults
            .iter()
            .filter_map(|fault| match fault {
                Fault::Blob(digest, _) => Some(digest.clone()),
                Fault::Image(..) | Fault::Layer(..) => None,
            })
            .collect();
        for (id, image) in &catalog.images {
            // A blob that is damaged has been told of.
            if bad.contains(id) || bad.contains(&image.manifest) {
                continue;
            }
            faults.extend(
                self.problem_of_image(id, image)?
                    .map(|problem| Fault::Image(id.clone(), problem)),
            );
        }
        for (name, id) in &catalog.names {
            if !catalog.images.contains_key(id) {
                let problem = format!("the name {} means it, and it is not there", name.familiar());
                faults.push(Fault::Image(id.clone(), problem));
            }
        }
        let place: BTreeMap<&Digest, usize> = catalog
            .images
            .values()
            .flat_map(|image| image.layers.iter().enumerate())
            .map(|(depth, layer)| (&layer.chain_id, depth))
            .collect();
        // A layer is repaired on top of those below, and from its blob.
        faults.sort_by_key(|fault| match fault {
            Fault::Image(id, _) => (0, 0, id.clone()),
            Fault::Blob(digest, _) => (1, 0, digest.clone()),
            Fault::Layer(chain, _) => (2, place.get(chain).copied().unwrap_or(0), chain.clone()),
        });
        Ok((faults, done.into_inner()))
    }

    fn look_at(&self, item: &Item, count: &dyn Fn(u64) -> Result<()>) -> Result<Option<Fault>> {
        Ok(match item {
            Item::Blob(digest) => self
                .problem_of_blob(digest, count)?
                .map(|problem| Fault::Blob(digest.clone(), problem)),
            Item::Layer(chain_id) => self
                .problem_of_layer(chain_id, count)?
                .map(|problem| Fault::Layer(chain_id.clone(), problem)),
        })
    }

    pub(super) fn problem_of_blob(
        &self,
        digest: &Digest,
        count: &dyn Fn(u64) -> Result<()>,
    ) -> Result<Option<String>> {
        let mut file = match self.blobs_dir().open_file(digest.hex().as_bytes()) {
            Ok(file) => file,
            Err(error) if error.kind() == Kind::NotFound => {
                return Ok(Some("it is missing".to_owned()));
            }
            Err(error) => return Ok(Some(error.to_string())),
        };
        let mut hasher = Hasher::default();
        let mut buffer = vec![0_u8; CHUNK];
        loop {
            let read = match file.read(&mut buffer) {
                Ok(read) => read,
                // A disk that cannot be read any more is what is looked for.
                Err(error) => return Ok(Some(format!("it cannot be read: {error}"))),
            };
            let Some(chunk) = buffer.get(..read).filter(|chunk| !chunk.is_empty()) else {
                break;
            };
            hasher.update(chunk);
            count(u64::try_from(read).unwrap_or(0))?;
        }
        let found = hasher.digest();
        Ok((found != *digest).then(|| format!("its content is {found}")))
    }

    fn problem_of_layer(
        &self,
        chain_id: &Digest,
        count: &dyn Fn(u64) -> Result<()>,
    ) -> Result<Option<String>> {
        let (summary, entries) = match self.layer_index(chain_id) {
            Ok(read) => read,
            Err(error) if error.kind() == Kind::NotFound => {
                return Ok(Some("it is missing".to_owned()));
            }
            Err(error) => return Ok(Some(error.to_string())),
        };
        if summary.chain_id != *chain_id {
            return Ok(Some(format!(
                "its index is that of layer {}",
                summary.chain_id.short()
            )));
        }
        let path = format!("{}/fs", chain_id.hex());
        let Some(root) = self.layers_dir().find_dir(path.as_bytes())? else {
            return Ok(Some("its files are missing".to_owned()));
        };
        match compare(&root, &entries, count) {
            Ok(problems) => Ok(problems.map(|problems| problems.to_string())),
            Err(error) if error.kind() == Kind::Cancelled => Err(error),
            // A disk that cannot be read, or a layer that is just being removed: that is looked at again.
            Err(error) => Ok(Some(error.to_string())),
        }
    }

    /// What the documents of an image say against each other and the record.
    fn problem_of_image(&self, id: &ImageId, image: &Stored) -> Result<Option<String>> {
        let documents = (|| {
            let bytes = self.read_document(&image.manifest)?;
            let Document::Manifest(manifest) = document::read(&bytes, "")? else {
                return Err(Error::invalid("its manifest is an index"));
            };
            Ok((manifest, self.read_config(id, image)?))
        })();
        let (manifest, config) = match documents {
            Ok(documents) => documents,
            Err(error) if error.kind() == Kind::Cancelled => return Err(error),
            Err(error) => return Ok(Some(error.to_string())),
        };
        let chains = commit::chain_ids(config.rootfs.diff_ids.iter());
        let same = |own: &mut dyn Iterator<Item = &Digest>, of: fn(&StoredLayer) -> &Digest| {
            own.eq(image.layers.iter().map(of))
        };
        let checks = [
            (
                "its manifest has another configuration",
                manifest.config.digest == *id,
            ),
            (
                "its manifest lists other layers than the record",
                same(
                    &mut manifest.layers.iter().map(|layer| &layer.digest),
                    |layer| &layer.blob,
                ),
            ),
            (
                "its configuration lists other layers than the record",
                same(&mut config.rootfs.diff_ids.iter(), |layer| &layer.diff_id),
            ),
            (
                "the record names other unpacked layers than its configuration",
                same(&mut chains.iter(), |layer| &layer.chain_id),
            ),
        ];
        let wrong = checks.iter().find(|(_, holds)| !holds);
        Ok(wrong.map(|(problem, _)| (*problem).to_owned()))
    }

    /// Looks again at what seemed wrong, now that nothing changes: it may have been removed, and have come back, meanwhile.
    fn still_true(&self, faults: Vec<Fault>, around: &Around<'_>) -> Result<Vec<Fault>> {
        if faults.is_empty() {
            return Ok(faults);
        }
        let _lock = self.hold()?;
        let catalog = self.catalog()?;
        let (blobs, layers) = (
            catalog.blobs(),
            &catalog.layers() | &(around.in_use.layers)()?,
        );
        let uncounted = |_bytes| Ok(());
        let mut left = Vec::new();
        for fault in faults {
            left.extend(match fault {
                Fault::Image(id, problem) => match catalog.images.get(&id) {
                    Some(image) => self
                        .problem_of_image(&id, image)?
                        .map(|problem| Fault::Image(id, problem)),
                    None => catalog
                        .names
                        .values()
                        .any(|named| *named == id)
                        .then_some(Fault::Image(id, problem)),
                },
                Fault::Blob(digest, _) if blobs.contains(&digest) => {
                    self.look_at(&Item::Blob(digest), &uncounted)?
                }
                Fault::Layer(chain_id, _) if layers.contains(&chain_id) => {
                    self.look_at(&Item::Layer(chain_id), &uncounted)?
                }
                Fault::Blob(..) | Fault::Layer(..) => None,
            });
        }
        Ok(left)
    }

    fn repair_blob(
        &self,
        digest: &Digest,
        problem: String,
        repair: bool,
        around: &Around<'_>,
        cancel: &Cancel,
    ) -> Result<Damage> {
        let catalog = self.catalog()?;
        let mut damage = Damage {
            what: format!("blob {digest}"),
            problem,
            repaired: None,
        };
        let images: Vec<&ImageId> = catalog
            .images
            .iter()
            .filter(|(id, image)| is_part(digest, id, image))
            .map(|(id, _)| id)
            .collect();
        if repair {
            for repository in self.sources(&catalog, digest, &images) {
                let wanted = self.expected(&catalog, digest, &images);
                let fetched = (around.client)().and_then(|client| {
                    let auth = (around.auth)(repository.domain())?;
                    let source = client.repository(&repository, &auth, Access::Pull);
                    self.fetch(&source, digest, wanted, cancel)
                });
                match fetched {
                    Ok(()) => {
                        let name = repository.familiar();
                        damage.repaired = Some(format!("fetched again from {name}"));
                        return Ok(damage);
                    }
                    Err(error) if error.kind() == Kind::Cancelled => return Err(error),
                    Err(error) => also(&mut damage, &error),
                }
            }
        }
        let names: Vec<String> = images
            .iter()
            .map(|id| {
                let name = catalog
                    .names_of(id)
                    .min_by_key(|name| name.digest().is_some());
                let name = name.map(Reference::familiar);
                name.unwrap_or_else(|| id.short().to_owned())
            })
            .collect();
        let what_now = format!("remove {} and bring it in again", names.join(" and "));
        also(&mut damage, &what_now);
        Ok(damage)
    }

    /// Repositories that had the blob: it was pulled from them or pushed to them.
    fn sources(&self, catalog: &Catalog, digest: &Digest, images: &[&ImageId]) -> Vec<Reference> {
        let known = origins::Known::read(&self.roots);
        let mut found: Vec<Reference> = known.anywhere(digest).cloned().collect();
        for id in images {
            for name in catalog.names_of(id).filter(|name| name.digest().is_some()) {
                let repository = name.repository();
                if !found.contains(&repository) {
                    found.push(repository);
                }
            }
        }
        found
    }

    /// What a damaged blob must be, as far as the documents that are still sound tell.
    fn expected(&self, catalog: &Catalog, digest: &Digest, images: &[&ImageId]) -> Expected {
        let stored = || images.iter().filter_map(|id| catalog.images.get(*id));
        if stored().any(|image| image.manifest == *digest) {
            return Expected::Manifest;
        }
        let layer = stored()
            .flat_map(|image| &image.layers)
            .find(|layer| layer.blob == *digest);
        if let Some(layer) = layer {
            return Expected::Blob(layer.blob_size);
        }
        let described = stored().find_map(|image| {
            let bytes = self.read_document(&image.manifest).ok()?;
            match document::read(&bytes, "").ok()? {
                Document::Manifest(manifest) if manifest.config.digest == *digest => {
                    Some(manifest.config.size)
                }
                Document::Manifest(_) | Document::Index(_) => None,
            }
        });
        let limit = u64::try_from(document::LIMIT).unwrap_or(u64::MAX);
        Expected::Blob(described.unwrap_or(limit))
    }

    /// Fetches a blob and puts it in place of the damaged one; until it is whole, nothing changes.
    fn fetch(
        &self,
        source: &Repository,
        digest: &Digest,
        wanted: Expected,
        cancel: &Cancel,
    ) -> Result<()> {
        let work = {
            let lock = self.lock()?;
            Workspace::create(&self.dirs.layers, &self.dirs.blobs, &lock)?
        };
        let taken = || Error::new(Kind::Internal, "a name of the workspace is taken");
        let mut file = work.dir().make_file(b"again")?.ok_or_else(taken)?;
        let mut hasher = Hasher::default();
        let mut keep = |bytes: &[u8]| {
            hasher.update(bytes);
            file.write_all(bytes)
                .attempt(|| format!("write blob {}", digest.short()))
        };
        super::block_on(async {
            tokio::select! {
                done = download(source, digest, wanted, &mut keep) => done,
                () = fetch::cancelled(cancel) => Err(Error::new(Kind::Cancelled, "cancelled")),
            }
        })?;
        let found = hasher.digest();
        if found != *digest {
            return Err(Error::invalid(format!(
                "{} sent other content: {found}",
                source.name().familiar()
            )));
        }
        file.sync_all()
            .attempt(|| format!("write blob {}", digest.short()))?;
        let _lock = self.lock()?;
        work.dir()
            .rename(b"again", self.blobs_dir(), digest.hex().as_bytes())
    }

    fn repair_layer(
        &self,
        chain_id: &Digest,
        problem: String,
        repair: bool,
        broken: &BTreeSet<Digest>,
        around: &Around<'_>,
        cancel: &Cancel,
    ) -> Result<Damage> {
        let mut damage = Damage {
            what: format!("layer {chain_id}"),
            problem,
            repaired: None,
        };
        let catalog = self.catalog()?;
        let place = catalog.images.values().find_map(|image| {
            let at = image
                .layers
                .iter()
                .position(|layer| layer.chain_id == *chain_id)?;
            Some((image.layers.get(..at)?, image.layers.get(at)?))
        });
        let obstacle = match place {
            None => "its image is gone: remove the containers that use it",
            Some((_, layer)) if broken.contains(&layer.blob) => "its blob is damaged, too",
            Some(_) if !repair => "it can be unpacked again: --repair",
            Some(_) if (around.running)()?.contains(chain_id) => {
                "it can be unpacked again when no running container uses it"
            }
            Some((below, layer)) => {
                match self.unpack_again(below, layer, around, cancel) {
                    Ok(()) => damage.repaired = Some("unpacked again from its blob".to_owned()),
                    Err(error) if error.kind() == Kind::Cancelled => return Err(error),
                    Err(error) => also(&mut damage, &error),
                }
                return Ok(damage);
            }
        };
        also(&mut damage, &obstacle);
        Ok(damage)
    }

    /// Unpacks a layer from its blob and puts it in place of the damaged one.
    fn unpack_again(
        &self,
        below: &[StoredLayer],
        layer: &StoredLayer,
        around: &Around<'_>,
        cancel: &Cancel,
    ) -> Result<()> {
        let work = {
            let lock = self.lock()?;
            Workspace::create(&self.dirs.layers, &self.dirs.blobs, &lock)?
        };
        let (name, dir) = work.make_dir()?;
        dir.make_dir(b"fs")?;
        let gone = || Error::new(Kind::Internal, "the workspace has gone");
        let root = dir.find_dir(b"fs")?.ok_or_else(gone)?;
        let blob = self.blobs_dir().open_file(layer.blob.hex().as_bytes())?;
        let (tree, diff_id) = std::thread::scope(|scope| {
            let mut ahead = Ahead::start(scope, blob, || cancel.is_cancelled());
            let tree = unpack::unpack(&mut ahead, root, &work.behind, &work.nursery)?;
            Ok::<_, Error>((tree, ahead.finish().map_err(stream_error)?))
        })?;
        if diff_id != layer.diff_id {
            return Err(Error::invalid(format!("its blob unpacks to {diff_id}")));
        }
        let mut lowers = Vec::new();
        for lower in below.iter().rev() {
            let path = format!("{}/fs", lower.chain_id.hex());
            let missing = || Error::not_found(format!("layer {} below it", lower.chain_id.short()));
            lowers.push(
                self.layers_dir()
                    .find_dir(path.as_bytes())?
                    .ok_or_else(missing)?,
            );
        }
        let tree = tree.complete(&lowers)?;
        let bytes = index::encode(
            tree.entries(),
            &tree.repeated(),
            &layer.diff_id,
            &layer.chain_id,
        );
        let mut file = dir.make_file(index::FILE.as_bytes())?.ok_or_else(gone)?;
        file.write_all(&bytes).attempt(|| "write index")?;
        work.dir().sync_file_system()?;
        let _lock = self.lock()?;
        if (around.running)()?.contains(&layer.chain_id) {
            return Err(Error::conflict("a container has just been started on it"));
        }
        let hex = layer.chain_id.hex().as_bytes();
        if self.layers_dir().stat(hex)?.is_some() {
            // It is removed with the workspace.
            self.layers_dir().rename(hex, work.dir(), b"damaged")?;
        }
        work.dir().rename(name.as_bytes(), self.layers_dir(), hex)
    }

    /// What nobody needs.
    fn strays(&self, repair: bool, around: &Around<'_>) -> Result<Vec<Damage>> {
        let lock = self.lock()?;
        let catalog = self.catalog()?;
        let unneeded = Unneeded::find(self, &catalog, &(around.in_use.layers)()?)?;
        let leftovers = Leftovers::find(self, false)?;
        let stray = |what: String, problem: &str| Damage {
            what,
            problem: if repair {
                problem.to_owned()
            } else {
                format!("{problem}; --repair removes it")
            },
            repaired: repair.then(|| "removed".to_owned()),
        };
        let layers = unneeded.layers.iter().map(|(id, _)| format!("layer {id}"));
        let blobs = unneeded
            .blobs
            .iter()
            .map(|(digest, _)| format!("blob {digest}"));
        let mut damages: Vec<Damage> = layers
            .chain(blobs)
            .map(|what| stray(what, "nothing refers to it"))
            .collect();
        let left = leftovers.names();
        damages.extend(left.map(|what| stray(what, "a process that has gone left it behind")));
        if repair && !damages.is_empty() {
            leftovers.remove(self)?;
            let work = Workspace::create(&self.dirs.layers, &self.dirs.blobs, &lock)?;
            let taken = unneeded.take(self, &work);
            drop(lock);
            drop(work);
            taken?;
        }
        Ok(damages)
    }
}

/// Reads a blob of a registry; more than it may have is not read. What stalls is given up (`transport.rs`).
async fn download(
    source: &Repository,
    digest: &Digest,
    wanted: Expected,
    keep: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let size = match wanted {
        Expected::Manifest => {
            let fetched = source.manifest(&Which::Digest(digest.clone())).await?;
            return keep(&fetched.bytes);
        }
        Expected::Blob(size) => size,
    };
    let mut stream = source.blob(digest, 0, None).await?;
    let mut left = size;
    while let Some(bytes) = stream.next().await? {
        left = left.checked_sub(count(bytes.len())).ok_or_else(|| {
            let from = source.name().familiar();
            Error::invalid(format!(
                "{from} sends more than the {size} bytes that it has"
            ))
        })?;
        keep(&bytes)?;
    }
    Ok(())
}

/// Whether an image needs a blob.
fn is_part(digest: &Digest, id: &ImageId, image: &Stored) -> bool {
    id == digest
        || image.manifest == *digest
        || image.layers.iter().any(|layer| layer.blob == *digest)
}

/// Says something more of a problem.
fn also(damage: &mut Damage, more: &dyn std::fmt::Display) {
    damage.problem = format!("{}; {more}", damage.problem);
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
