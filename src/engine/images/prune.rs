//! Prunes: which images nothing uses, what goes with them, and how many bytes come back. The plan and the deed look with
//! the same eyes, under the store's lock; bytes are those of unpacked layers and blobs that nothing else needs.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use super::catalog::Catalog;
use super::removal::{self, InUse, Unneeded};
use super::workspace::Workspace;
use super::{Images, stored};
use crate::engine::error::{Error, Kind, Result};
use crate::engine::model::digest::ImageId;
use crate::engine::model::image::Removed;
use crate::engine::model::registry::{Prunable, PrunePlan, Pruned};
use crate::engine::model::{Reference, request};
use crate::engine::sys::at::Dir;
use crate::engine::sys::file::{self, Sweep};
use crate::engine::sys::measure;

/// How long a broken-off download waits for the pull that goes on with it.
const PATIENCE: Duration = Duration::from_hours(7 * 24);

/// How the names of partial downloads end: what is there, and the notes on it.
const CONTENT: &[u8] = b".part";
const NOTES: &[u8] = b".have";

impl Images {
    /// What a prune would take.
    ///
    /// # Errors
    /// A damaged store.
    pub fn plan_prune(
        &self,
        request: &request::PruneImages,
        in_use: &InUse<'_>,
    ) -> Result<PrunePlan> {
        let _lock = self.hold()?;
        let mut catalog = self.catalog()?;
        let mut images = Vec::new();
        for id in self.candidates(&catalog, request, in_use)? {
            let tags = catalog.names_of(&id).map(Reference::familiar).collect();
            forget(&mut catalog, &id);
            images.push(Prunable { id, tags });
        }
        let unneeded = Unneeded::find(self, &catalog, &(in_use.layers)()?)?;
        let leftovers = Leftovers::find(self, request.all)?;
        Ok(PrunePlan {
            images,
            reclaimed: unneeded.bytes().saturating_add(leftovers.bytes),
        })
    }

    /// Removes images that nothing uses, and what processes that have gone left behind.
    ///
    /// # Errors
    /// A damaged store; what the file system says.
    pub fn prune(&self, request: &request::PruneImages, in_use: &InUse<'_>) -> Result<Pruned> {
        let lock = self.lock()?;
        let mut catalog = self.catalog()?;
        let mut steps: Vec<(Vec<Removed>, Vec<_>)> = Vec::new();
        for id in self.candidates(&catalog, request, in_use)? {
            let layers = stored(&catalog, &id)?.layers.clone();
            steps.push((forget(&mut catalog, &id), layers));
        }
        // First nobody finds them, then they go.
        if !steps.is_empty() {
            self.save_catalog(&catalog, &lock)?;
        }
        let unneeded = Unneeded::find(self, &catalog, &(in_use.layers)()?)?;
        let leftovers = Leftovers::find(self, request.all)?;
        let reclaimed = unneeded.bytes().saturating_add(leftovers.bytes);
        leftovers.remove(self)?;
        let work = Workspace::create(&self.dirs.layers, &self.dirs.blobs, &lock)?;
        let taken = unneeded.take(self, &work);
        drop(lock);
        drop(work);
        taken?;
        let mut gone: Vec<_> = unneeded
            .layers
            .into_iter()
            .map(|(layer, _)| layer)
            .collect();
        let mut removed = Vec::new();
        for (names, layers) in steps {
            removed.extend(names);
            for layer in layers.iter().rev() {
                // A layer of two of the images is told of once.
                if let Some(at) = gone.iter().position(|chain| *chain == layer.chain_id) {
                    removed.push(Removed::Deleted(gone.swap_remove(at)));
                }
            }
        }
        Ok(Pruned { removed, reclaimed })
    }

    /// Images that no container uses and that the request means.
    fn candidates(
        &self,
        catalog: &Catalog,
        request: &request::PruneImages,
        in_use: &InUse<'_>,
    ) -> Result<Vec<ImageId>> {
        let mut found = Vec::new();
        for (id, image) in &catalog.images {
            let tagged = catalog.names_of(id).any(|name| name.digest().is_none());
            if (tagged && !request.all) || !was_seen(catalog, id, request) {
                continue;
            }
            let asks = request.until.is_some()
                || !request.labels.is_empty()
                || !request.not_labels.is_empty();
            let fits = !asks
                || match self.read_config(id, image) {
                    Ok(config) => {
                        let old_enough = request
                            .until
                            .is_none_or(|until| config.created.is_some_and(|at| at <= until));
                        old_enough && labels_fit(&config.config.labels, request)
                    }
                    // What cannot be read is nothing that was asked for.
                    Err(_damaged) => false,
                };
            if fits && (in_use.users)(id)?.is_empty() {
                found.push(id.clone());
            }
        }
        Ok(found)
    }
}

fn labels_fit(labels: &BTreeMap<String, String>, request: &request::PruneImages) -> bool {
    let has = |wanted: &String| match wanted.split_once('=') {
        Some((key, value)) => labels.get(key).is_some_and(|found| found == value),
        None => labels.contains_key(wanted),
    };
    request.labels.iter().all(has) && !request.not_labels.iter().any(has)
}

/// Whether an image is one of those that may go, as it was then: what has got a name since is wanted by somebody.
fn was_seen(catalog: &Catalog, id: &ImageId, request: &request::PruneImages) -> bool {
    let Some(only) = &request.only else {
        return true;
    };
    let seen = only.iter().find(|(seen, _)| seen == id);
    seen.is_some_and(|(_, names)| {
        let mut now = catalog.names_of(id).map(Reference::familiar);
        now.all(|name| names.contains(&name))
    })
}

/// Takes an image and all its names out of the catalog.
fn forget(catalog: &mut Catalog, id: &ImageId) -> Vec<Removed> {
    let names: Vec<Reference> = catalog.names_of(id).cloned().collect();
    let mut removed = Vec::new();
    removal::untag(catalog, &names, &mut removed);
    catalog.images.remove(id);
    removed.push(Removed::Deleted(id.clone()));
    removed
}

/// What processes that have gone left behind: workspaces, and downloads that nobody goes on with. While it is kept, it is
/// locked, so that nobody takes it up again.
#[derive(Debug)]
pub(super) struct Leftovers {
    workspaces: Vec<(Vec<u8>, Dir)>,
    downloads: Vec<(Vec<u8>, std::fs::File)>,
    /// Of the records of this store and of those beside it.
    temporary: Vec<String>,
    /// Bytes of all of it but records.
    pub(super) bytes: u64,
}

impl Leftovers {
    /// Looks for them; `fresh` ones too means downloads that a pull of the next days might go on with. The caller holds
    /// the store's lock.
    pub(super) fn find(images: &Images, fresh: bool) -> Result<Self> {
        let workspaces = Workspace::abandoned(images.layers_dir())?;
        let mut bytes = 0_u64;
        for (_, dir) in &workspaces {
            bytes = bytes.saturating_add(measure::below(dir)?);
        }
        let mut downloads: Vec<(Vec<u8>, std::fs::File)> = Vec::new();
        if let Some(dir) = ingest(images)? {
            let mut names = dir.names()?;
            // The notes on a download go with it: who works on it holds the lock of its content alone.
            names.sort_by_key(|name| name.ends_with(NOTES));
            for name in names {
                if let Some(stem) = name.strip_suffix(NOTES)
                    && dir.stat(&[stem, CONTENT].concat())?.is_some()
                    && !downloads
                        .iter()
                        .any(|(other, _)| *other == [stem, CONTENT].concat())
                {
                    continue;
                }
                let Some(stat) = dir.stat(&name)? else {
                    continue;
                };
                if !fresh && !is_stale(stat.mtime.0) {
                    continue;
                }
                let file = match dir.open_file(&name) {
                    Ok(file) => file,
                    Err(error) if matches!(error.kind(), Kind::NotFound | Kind::InvalidInput) => {
                        continue;
                    }
                    Err(error) => return Err(error),
                };
                match file.try_lock() {
                    Ok(()) => {
                        bytes = bytes.saturating_add(stat.size);
                        downloads.push((name, file));
                    }
                    Err(std::fs::TryLockError::WouldBlock) => {}
                    Err(std::fs::TryLockError::Error(error)) => {
                        return Err(Error::io("lock a partial download", error));
                    }
                }
            }
        }
        Ok(Self {
            workspaces,
            downloads,
            temporary: file::sweep_temporary(&images.roots.data, Sweep::Look)?,
            bytes,
        })
    }

    /// What each is called.
    pub(super) fn names(&self) -> impl Iterator<Item = String> {
        let shown = |name: &[u8]| String::from_utf8_lossy(name).escape_debug().to_string();
        let workspaces = self
            .workspaces
            .iter()
            .map(move |(name, _)| format!("workspace {}", shown(name)));
        let downloads = self
            .downloads
            .iter()
            .map(move |(name, _)| format!("download {}", shown(name)));
        let temporary = self.temporary.iter();
        let temporary = temporary.map(move |name| format!("record {}", shown(name.as_bytes())));
        workspaces.chain(downloads).chain(temporary)
    }

    /// Removes them.
    pub(super) fn remove(&self, images: &Images) -> Result<()> {
        for (name, _locked) in &self.workspaces {
            images.layers_dir().remove_tree(name)?;
        }
        if let Some(dir) = ingest(images)? {
            for (name, _locked) in &self.downloads {
                dir.remove_file(name)?;
            }
        }
        file::sweep_temporary(&images.roots.data, Sweep::Remove).map(|_| ())
    }
}

fn ingest(images: &Images) -> Result<Option<Dir>> {
    match Dir::open(&images.roots.ingest()) {
        Ok(dir) => Ok(Some(dir)),
        Err(error) if error.kind() == Kind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_stale(mtime: i64) -> bool {
    let written = u64::try_from(mtime).unwrap_or(0);
    let written = SystemTime::UNIX_EPOCH + Duration::from_secs(written);
    // A time in the future is nobody's: the clock was set back.
    written.elapsed().is_ok_and(|age| age > PATIENCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_all_of_these_and_none_of_those() {
        let labels = BTreeMap::from([
            ("a".to_owned(), "1".to_owned()),
            ("b".to_owned(), String::new()),
        ]);
        let list = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        for (with, without, fits) in [
            (&["a"][..], &[][..], true),
            (&["a=1", "b"], &[], true),
            (&["a=2"], &[], false),
            (&["a", "c"], &[], false),
            (&[], &["a"], false),
            (&[], &["a=2", "c"], true),
            (&["b="], &[], true),
        ] {
            let request = request::PruneImages {
                labels: list(with),
                not_labels: list(without),
                ..request::PruneImages::default()
            };
            assert_eq!(labels_fit(&labels, &request), fits, "{with:?} {without:?}");
        }
    }

    #[test]
    fn only_old_downloads_are_stale() {
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap();
        let now = i64::try_from(now.as_secs()).unwrap();
        assert!(!is_stale(now));
        assert!(!is_stale(now - 6 * 86_400));
        assert!(is_stale(now - 8 * 86_400));
        assert!(!is_stale(now + 86_400));
    }
}
