//! Pulls: from a name in a registry to an image of the store. Blobs arrive (`fetch.rs`), are unpacked and hashed while
//! they arrive (`layers.rs`), and the image becomes visible when all of it is there (`commit.rs`).
//!
//! Processes that pull the same layers share the work: each missing layer is made under a lock, taken bottom first, and
//! each blob is fetched under another, taken in the order of the digests, so that no two can wait for each other.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use tokio::sync::Notify;

use super::Images;
use super::catalog::Catalog;
use super::codec;
use super::commit::{Plan, chain_ids, document_error, parse_config};
use super::document::{self, Descriptor, Document, Manifest};
use super::fetch::{self, Fetch};
use super::ingest::{Arrival, Ingest, Making};
use super::layers::{Closing, Phases, Pool};
use super::registry::{Access, Client, Fetched, Repository, Which};
use super::workspace::{Place, Spooled, Workspace};
use super::{origins, platform};
use crate::engine::error::{Attempt, Error, Kind, Result};
use crate::engine::model::digest::ImageId;
use crate::engine::model::progress::Report;
use crate::engine::model::registry::{Pulled, Turn};
use crate::engine::model::{Cancel, Digest, Platform, Progress, Reference, request};

/// What a Dockerfile calls the image without anything in it: no registry has it.
const NOTHING: &str = "scratch";
/// Indexes inside of indexes that are followed.
const MAX_NESTING: usize = 4;
/// Between two looks at a lock that another process holds.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// How often content that turns out to be damaged is fetched anew.
const ATTEMPTS: usize = 3;

impl Images {
    /// Brings images of a registry into the store.
    ///
    /// # Errors
    /// As `Engine::pull`.
    pub fn pull(
        &self,
        client: &Client,
        request: &request::Pull,
        tell: &dyn Fn(Turn<'_, Pulled>),
        report: Report<'_>,
        cancel: &Cancel,
    ) -> Result<Vec<Pulled>> {
        if request.reference.familiar_name() == NOTHING {
            return Err(Error::invalid(format!("'{NOTHING}' is a reserved name")));
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .attempt(|| "start the network runtime")?;
        let pulling = Pulling {
            images: self,
            repository: client.repository(&request.reference, &request.auth, Access::Pull),
            side_by_side: client.settings().side_by_side.max(1),
            connections: client.settings().connections.max(1),
            pause: client.settings().patience.pause,
            runtime: &runtime,
            platform: request.platform.clone().unwrap_or_else(Platform::host),
            ingest: Ingest::open(&self.roots)?,
            report,
            cancel,
        };
        let one = |name: &Reference| -> Result<Pulled> {
            tell(Turn::Begun(name));
            let pulled = pulling.one(name).map_err(|error| about(name, error))?;
            tell(Turn::Done(&pulled));
            Ok(pulled)
        };
        if !request.all_tags {
            let name = request.reference.clone().with_default_tag();
            return Ok(vec![one(&name)?]);
        }
        let mut pulled = Vec::new();
        let tags = pulling.wait(pulling.repository.tags());
        for tag in tags.map_err(|error| about(&request.reference, error))? {
            let name = format!("{}:{tag}", request.reference.familiar_name())
                .parse::<Reference>()
                .map_err(|error| Error::invalid(format!("tag {tag:?}")).caused_by(error))?;
            pulled.push(one(&name)?);
        }
        if pulled.is_empty() {
            return Err(Error::not_found(format!(
                "{} has no tags",
                request.reference.familiar_name()
            )));
        }
        Ok(pulled)
    }
}

/// One `pull`.
struct Pulling<'a> {
    images: &'a Images,
    repository: Repository,
    side_by_side: usize,
    connections: usize,
    pause: Duration,
    runtime: &'a tokio::runtime::Runtime,
    platform: Platform,
    ingest: Ingest,
    report: Report<'a>,
    cancel: &'a Cancel,
}

/// The documents of one image.
struct Wanted {
    manifest: Manifest,
    manifest_bytes: Vec<u8>,
    config_bytes: Vec<u8>,
    diff_ids: Vec<Digest>,
}

impl Pulling<'_> {
    /// Waits for something of the network, or until the user asks to stop.
    fn wait<T>(&self, future: impl Future<Output = Result<T>>) -> Result<T> {
        self.runtime.block_on(async {
            tokio::select! {
                done = future => done,
                () = fetch::cancelled(self.cancel) => Err(Error::new(Kind::Cancelled, "cancelled")),
            }
        })
    }

    /// One image.
    fn one(&self, name: &Reference) -> Result<Pulled> {
        // With a digest the tag means nothing.
        let (name, which) = match (name.digest(), name.tag()) {
            (Some(digest), _) => (&with_digest(name, digest)?, Which::Digest(digest.clone())),
            (None, tag) => (name, Which::Tag(tag.unwrap_or_default().to_owned())),
        };
        if let Some(known) = self.known(name, &which)? {
            return Ok(known);
        }
        let root = self.wait(self.repository.manifest(&which))?;
        let wanted = self.resolve(&root)?;
        let mut warnings = Vec::new();
        let config = parse_config(&wanted.config_bytes, wanted.manifest.layers.len())
            .attempt(|| "image configuration")?;
        let platform = config.platform();
        if self.platform.rank(&platform).is_none() {
            warnings.push(format!(
                "image with reference {} was found but its platform ({platform}) does not match the specified \
                 platform ({})",
                name.familiar(),
                self.platform
            ));
        }
        let before = self.images.catalog()?.find(name);
        let digest_name = with_digest(name, &root.digest)?;
        let names = vec![name.clone(), digest_name];
        let id = self.bring(&wanted, names)?;
        self.note_origins(name, &wanted.manifest);
        Ok(Pulled {
            reference: name.clone(),
            digest: root.digest,
            newer: before.as_ref() != Some(&id),
            id,
            warnings,
        })
    }

    /// The image, if the store has just what the registry has under the name: one question, and nothing is fetched.
    fn known(&self, name: &Reference, which: &Which) -> Result<Option<Pulled>> {
        let catalog = self.images.catalog()?;
        let Some(id) = catalog.names.get(name) else {
            return Ok(None);
        };
        let Some(found) = self.wait(self.repository.find_manifest(which))? else {
            return Ok(None);
        };
        let same = catalog.names.get(&with_digest(name, &found.digest)?) == Some(id);
        if !same || !self.is_whole(&catalog, id)? {
            return Ok(None);
        }
        let stored = super::stored(&catalog, id)?;
        // The name may mean several platforms, of which the store has another one, or one that suits less well.
        let platform = self.images.read_config(id, stored)?.platform();
        if self.platform.rank(&platform) != Some(0) {
            return Ok(None);
        }
        Ok(Some(Pulled {
            reference: name.clone(),
            digest: found.digest,
            id: id.clone(),
            newer: false,
            warnings: Vec::new(),
        }))
    }

    /// A later push to the same registry can take the blobs over from here.
    fn note_origins(&self, name: &Reference, manifest: &Manifest) {
        let layers = manifest.layers.iter().map(|layer| &layer.digest);
        let digests: Vec<Digest> = layers.chain([&manifest.config.digest]).cloned().collect();
        // Without it the push sends them.
        if let Err(error) = origins::note(&self.images.roots, name, &digests) {
            tracing::warn!(%error, "where blobs came from was not noted");
        }
    }

    fn is_whole(&self, catalog: &Catalog, id: &ImageId) -> Result<bool> {
        let stored = super::stored(catalog, id)?;
        for document in [id, &stored.manifest] {
            if self.stored_document(document)?.is_none() {
                return Ok(false);
            }
        }
        for layer in &stored.layers {
            let blob = layer.blob.hex().as_bytes();
            if self.images.layer_summary(&layer.chain_id)?.is_none()
                || self.images.blobs_dir().stat(blob)?.is_none()
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// From what the name means to one image for the platform.
    fn resolve(&self, root: &Fetched) -> Result<Wanted> {
        let mut fetched = root.clone();
        for _ in 0..MAX_NESTING {
            let document = document::read(&fetched.bytes, &fetched.media_type)
                .map_err(document_error)
                .attempt(|| format!("manifest {}", fetched.digest.short()))?;
            let index = match document {
                Document::Manifest(manifest) => return self.configure(manifest, fetched.bytes),
                Document::Index(index) => index,
            };
            let picked = platform::choose(&index.manifests, &self.platform).ok_or_else(|| {
                Error::not_found(format!(
                    "no matching manifest for {} in the manifest list entries",
                    self.platform
                ))
                .with_hint(format!(
                    "it is there for {}; choose with --platform",
                    platform::offered(&index.manifests)
                ))
            })?;
            let which = Which::Digest(picked.digest.clone());
            fetched = self.wait(self.repository.manifest(&which))?;
            let length = u64::try_from(fetched.bytes.len()).unwrap_or(u64::MAX);
            if length != picked.size {
                return Err(Error::invalid(format!(
                    "manifest {} has {length} bytes, its descriptor says {}",
                    picked.digest, picked.size
                )));
            }
            // What the index says that it is binds more than what the registry says.
            if !picked.media_type.is_empty() {
                fetched.media_type.clone_from(&picked.media_type);
            }
        }
        Err(Error::invalid("indexes are nested too deeply"))
    }

    fn configure(&self, manifest: Manifest, manifest_bytes: Vec<u8>) -> Result<Wanted> {
        let digest = &manifest.config.digest;
        let config_bytes = match self.stored_document(digest)? {
            Some(bytes) => bytes,
            None => self.wait(fetch::document(&self.repository, &manifest.config))?,
        };
        // If it is there and damaged, it makes room.
        self.stored_document(&codec::digest_of(&manifest_bytes))?;
        let config =
            parse_config(&config_bytes, manifest.layers.len()).attempt(|| "image configuration")?;
        Ok(Wanted {
            manifest,
            manifest_bytes,
            config_bytes,
            diff_ids: config.rootfs.diff_ids,
        })
    }

    /// A document that the store has. One that is damaged is removed: it is about to be fetched.
    fn stored_document(&self, digest: &Digest) -> Result<Option<Vec<u8>>> {
        if let Some(stat) = self.images.blobs_dir().stat(digest.hex().as_bytes())?
            && stat.size <= u64::try_from(document::LIMIT).unwrap_or(u64::MAX)
            && let Ok(bytes) = self.images.read_document(digest)
        {
            return Ok(Some(bytes));
        }
        self.remove_damaged(digest)?;
        Ok(None)
    }

    /// Removes a blob of the store if it is not what its name says. Nobody can use it, and a good one could not take its
    /// place.
    fn remove_damaged(&self, digest: &Digest) -> Result<()> {
        let name = digest.hex().as_bytes();
        let _lock = self.images.lock()?;
        if self.images.blobs_dir().stat(name)?.is_none() {
            return Ok(());
        }
        let count = |_| {
            if self.cancel.is_cancelled() {
                return Err(Error::new(Kind::Cancelled, "cancelled"));
            }
            Ok(())
        };
        if let Some(problem) = self.images.problem_of_blob(digest, &count)? {
            tracing::warn!(%digest, problem, "a damaged blob is fetched again");
            self.images.blobs_dir().remove_file(name)?;
        }
        Ok(())
    }

    /// Brings all of an image, again if something of it was damaged on the way or removed by others meanwhile.
    fn bring(&self, wanted: &Wanted, names: Vec<Reference>) -> Result<ImageId> {
        let plan = |layers| Plan {
            config: wanted.config_bytes.clone(),
            manifest: wanted.manifest_bytes.clone(),
            layers,
            names: names.clone(),
            binding: true,
        };
        let mut attempt = 1;
        loop {
            let mut arrivals = Vec::new();
            let error = match self.attempt(wanted, &plan, &mut arrivals) {
                Ok(id) => {
                    for arrival in &arrivals {
                        self.tell(&arrival.digest, "Pull complete", arrival.size, arrival.size);
                    }
                    return Ok(id);
                }
                Err(error) => error,
            };
            if error.kind() == Kind::Cancelled {
                return Err(error);
            }
            let damaged = self.discard_damaged(&arrivals, &error)?;
            // What made no sense may have been in the store before.
            if damaged.is_none() && error.kind() == Kind::InvalidInput {
                for layer in &wanted.manifest.layers {
                    self.remove_damaged(&layer.digest)?;
                }
            }
            let again = damaged.is_some() || self.has_lost(wanted, &arrivals)?;
            if !again || attempt >= ATTEMPTS {
                return Err(damaged.unwrap_or(error));
            }
            attempt += 1;
        }
    }

    /// Whether a blob that was in the store is not there any more: another process removed its image meanwhile.
    fn has_lost(&self, wanted: &Wanted, arrivals: &[Arc<Arrival>]) -> Result<bool> {
        for layer in &wanted.manifest.layers {
            let arrives = arrivals
                .iter()
                .any(|arrival| arrival.digest == layer.digest);
            let blob = layer.digest.hex().as_bytes();
            if !arrives && self.images.blobs_dir().stat(blob)?.is_none() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Throws away blobs that are wrong, and parts of blobs that made no sense; says what was wrong with one.
    fn discard_damaged(&self, arrivals: &[Arc<Arrival>], failure: &Error) -> Result<Option<Error>> {
        let mut damaged = None;
        for arrival in arrivals {
            if self.cancel.is_cancelled() {
                continue;
            }
            let wrong = if arrival.is_whole() {
                arrival.verify().err()
            } else if arrival.is_doubted() && arrival.received() > 0 {
                // The digest of a part is not known.
                Some(Error::invalid(failure.to_string()))
            } else {
                None
            };
            if let Some(error) = wrong {
                arrival.discard()?;
                self.tell(&arrival.digest, "Retrying", 0, arrival.size);
                damaged = Some(error);
            }
        }
        Ok(damaged)
    }

    fn attempt(
        &self,
        wanted: &Wanted,
        plan: &dyn Fn(Vec<(Digest, Spooled)>) -> Plan,
        arrivals: &mut Vec<Arc<Arrival>>,
    ) -> Result<ImageId> {
        let chains = chain_ids(wanted.diff_ids.iter());
        let _making = self.begin_making(&chains, &wanted.manifest.layers)?;
        let blobs = self.claim(&wanted.manifest.layers, arrivals)?;
        let work = {
            let lock = self.images.lock()?;
            Workspace::create(self.images.layers_dir(), self.images.blobs_dir(), &lock)?
                .writing_behind(&self.ingest.behind)
        };
        let phases = Phases {
            during: "Extracting",
            after: Some("Pull complete"),
        };
        let pool = Pool::new(&work, phases, self.report, self.cancel);
        let stop = Notify::new();
        std::thread::scope(|scope| {
            let _closing = Closing(&pool);
            let _stopping = Stopping(&stop);
            pool.start(scope, self.side_by_side);
            let fetch = Fetch {
                repository: &self.repository,
                arrivals,
                side_by_side: self.side_by_side,
                connections: self.connections,
                pause: self.pause,
                report: self.report,
                cancel: self.cancel,
            };
            let (runtime, stop) = (self.runtime, &stop);
            scope.spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = fetch.all() => (),
                        () = stop.notified() => (),
                    }
                });
            });
            let layers = wanted.diff_ids.iter().cloned().zip(blobs).collect();
            let plans = [plan(layers)];
            let ids = super::commit::commit(self.images, &work, &pool, &plans, self.cancel)?;
            let nothing = || Error::new(Kind::Internal, "no image was made");
            ids.into_iter().next().ok_or_else(nothing)
        })
    }

    /// Takes the locks of the layers that are missing, bottom first.
    fn begin_making(&self, chains: &[Digest], layers: &[Descriptor]) -> Result<Vec<Making>> {
        let mut making = Vec::new();
        for (chain, layer) in chains.iter().zip(layers) {
            if self.images.layer_summary(chain)?.is_some() {
                continue;
            }
            let lock = self.patiently(layer, || self.ingest.make(chain))?;
            // Whoever had the lock may have made the layer.
            if self.images.layer_summary(chain)?.is_none() {
                making.push(lock);
            }
        }
        Ok(making)
    }

    /// Where each layer's blob is, or will be.
    fn claim(
        &self,
        layers: &[Descriptor],
        arrivals: &mut Vec<Arc<Arrival>>,
    ) -> Result<Vec<Spooled>> {
        let sorted: BTreeMap<&Digest, &Descriptor> =
            layers.iter().map(|layer| (&layer.digest, layer)).collect();
        let mut places: HashMap<&Digest, Place> = HashMap::new();
        for (digest, layer) in sorted {
            let hex = digest.hex().as_bytes();
            let stored = || self.images.blobs_dir().stat(hex);
            let mut there = stored()?;
            if there.is_none() {
                let arrival = self.patiently(layer, || self.ingest.claim(digest, layer.size))?;
                there = stored()?;
                if there.is_some() {
                    // Whoever fetched it has brought it into the store meanwhile.
                    arrival.discard()?;
                } else {
                    let arrival = Arc::new(arrival);
                    arrivals.push(Arc::clone(&arrival));
                    places.insert(digest, Place::Arriving(arrival));
                }
            }
            if let Some(there) = there {
                if there.size != layer.size {
                    return Err(wrong_size(layer, there.size));
                }
                places.insert(digest, Place::Stored);
                self.tell(digest, "Already exists", layer.size, layer.size);
            }
        }
        // They are fetched in the order in which they are needed.
        let order: HashMap<&Digest, usize> = layers
            .iter()
            .enumerate()
            .map(|(n, layer)| (&layer.digest, n))
            .collect();
        arrivals.sort_by_key(|arrival| order.get(&arrival.digest).copied());
        for arrival in arrivals.iter() {
            self.tell(&arrival.digest, "Pulling fs layer", 0, arrival.size);
        }
        let spooled = |layer: &Descriptor| {
            places.get(&layer.digest).map(|place| Spooled {
                place: place.clone(),
                digest: layer.digest.clone(),
                size: layer.size,
                start: Vec::new(),
            })
        };
        Ok(layers.iter().filter_map(spooled).collect())
    }

    /// Tries until what another process has is free, or the user asks to stop.
    fn patiently<T>(
        &self,
        layer: &Descriptor,
        mut attempt: impl FnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        let mut told = false;
        loop {
            if let Some(taken) = attempt()? {
                return Ok(taken);
            }
            if !told {
                self.tell(&layer.digest, "Waiting", 0, layer.size);
                told = true;
            }
            self.wait(async {
                tokio::time::sleep(LOOK_AGAIN).await;
                Ok(())
            })?;
        }
    }

    fn tell(&self, digest: &Digest, phase: &'static str, done: u64, total: u64) {
        (self.report)(Progress {
            part: digest.short().to_owned(),
            phase: phase.into(),
            done,
            total: Some(total),
        });
    }
}

/// Ends the fetching when the rest of the work ends, however it ends.
struct Stopping<'a>(&'a Notify);

impl Drop for Stopping<'_> {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// The error with what was attempted. Docker's own words for what is not there, or not for us, name it already.
fn about(name: &Reference, error: Error) -> Error {
    let is_full = error.raw_os_error() == Some(Errno::NOSPC.raw_os_error());
    let error = if is_full && error.hint().is_none() {
        error.with_hint(
            "what was fetched is kept for the next pull; 'wharf image prune -a' gives its place back",
        )
    } else {
        error
    };
    let names_it = ["manifest for", "repository", "pull access denied for"]
        .iter()
        .any(|words| {
            let words = format!("{words} {}", name.familiar_name());
            error.message().starts_with(&words)
        });
    if names_it {
        return error;
    }
    error.attempting(format!("pull {}", name.familiar()))
}

fn with_digest(name: &Reference, digest: &Digest) -> Result<Reference> {
    format!("{}@{digest}", name.familiar_name())
        .parse()
        .map_err(|error| Error::invalid(format!("name {name}")).caused_by(error))
}

fn wrong_size(layer: &Descriptor, found: u64) -> Error {
    Error::invalid(format!(
        "blob {} has {found} bytes, its descriptor says {}",
        layer.digest, layer.size
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_with_what_can_be_given_back() {
        let full = std::io::Error::from(Errno::NOSPC);
        let error = Err::<(), _>(full).attempt(|| "write blob").unwrap_err();
        let error = about(&"a".parse().unwrap(), error);
        assert!(error.hint().unwrap().contains("image prune -a"), "{error}");
    }

    #[test]
    fn an_error_names_the_image_once() {
        let name: Reference = "localhost:5000/a/b:1".parse().unwrap();
        for (message, expected) in [
            (
                "blob 0123 has 3 bytes",
                "pull localhost:5000/a/b:1: blob 0123 has 3 bytes",
            ),
            (
                "unauthorized: authentication required",
                "pull localhost:5000/a/b:1: unauthorized: authentication required",
            ),
            (
                "manifest for localhost:5000/a/b:1 not found: manifest unknown",
                "manifest for localhost:5000/a/b:1 not found: manifest unknown",
            ),
            (
                "repository localhost:5000/a/b not found: name unknown",
                "repository localhost:5000/a/b not found: name unknown",
            ),
            (
                "pull access denied for localhost:5000/a/b, repository does not exist",
                "pull access denied for localhost:5000/a/b, repository does not exist",
            ),
        ] {
            let error = about(&name, Error::invalid(message).with_hint("do it"));
            assert_eq!(error.to_string(), expected);
            assert_eq!(error.hint(), Some("do it"));
        }
    }
}
