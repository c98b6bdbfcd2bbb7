//! Which repositories are known to have which blobs: a push asks the registry to take a blob over from there instead of
//! sending it again. It is a hint and may be wrong, or gone: then the blob is sent.

use std::path::PathBuf;

use crate::engine::error::Result;
use crate::engine::model::{Digest, Reference};
use crate::engine::store::{self, Roots};
use crate::engine::sys::file::{self, Durability};

const VERSION: u32 = 1;
/// Most blobs that are remembered; the longest unheard of are forgotten.
const BLOBS: usize = 2048;
/// Most repositories of one blob.
const REPOSITORIES: usize = 4;

#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Origins {
    version: u32,
    /// The last noted last.
    blobs: Vec<Blob>,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Blob {
    digest: Digest,
    /// Without tag and digest, the last noted last.
    repositories: Vec<Reference>,
}

/// Remembers that a repository has blobs: after a pull from it, or a push to it.
///
/// # Errors
/// What the file system says.
pub(super) fn note(roots: &Roots, repository: &Reference, digests: &[Digest]) -> Result<()> {
    let repository = repository.repository();
    if read(roots).knows(&repository, digests) {
        return Ok(());
    }
    let _lock = file::lock(&roots.data.join("origins.lock"))?;
    let mut origins = read(roots);
    origins.note(&repository, digests);
    store::write_record(&path(roots), &origins, Durability::Unsynced)
}

/// What is remembered. Reading it once serves a whole push.
#[derive(Debug)]
pub(super) struct Known(Origins);

impl Known {
    pub(super) fn read(roots: &Roots) -> Self {
        Self(read(roots))
    }

    /// Other repositories of the same registry that have a blob, the surest first.
    pub(super) fn of(&self, digest: &Digest, target: &Reference) -> Vec<Reference> {
        let same =
            |known: &&Reference| known.domain() == target.domain() && known.path() != target.path();
        self.anywhere(digest).filter(same).cloned().collect()
    }

    /// All repositories that have a blob, the surest first.
    pub(super) fn anywhere(&self, digest: &Digest) -> impl Iterator<Item = &Reference> {
        let blob = self.0.blobs.iter().find(|blob| blob.digest == *digest);
        blob.into_iter()
            .flat_map(|blob| blob.repositories.iter().rev())
    }
}

fn path(roots: &Roots) -> PathBuf {
    roots.data.join("origins.json")
}

/// A record that cannot be read is as good as none.
fn read(roots: &Roots) -> Origins {
    match store::read_record::<Origins>(&path(roots)) {
        Ok(Some(origins)) if origins.version == VERSION => origins,
        Ok(_) => Origins::default(),
        Err(error) => {
            tracing::warn!(%error, "where blobs came from is forgotten");
            Origins::default()
        }
    }
}

impl Origins {
    fn knows(&self, repository: &Reference, digests: &[Digest]) -> bool {
        digests.iter().all(|digest| {
            let mut blobs = self.blobs.iter();
            blobs.any(|blob| blob.digest == *digest && blob.repositories.contains(repository))
        })
    }

    fn note(&mut self, repository: &Reference, digests: &[Digest]) {
        self.version = VERSION;
        for digest in digests {
            let at = self.blobs.iter().position(|blob| blob.digest == *digest);
            let mut blob = match at {
                Some(at) => self.blobs.remove(at),
                None => Blob {
                    digest: digest.clone(),
                    repositories: Vec::new(),
                },
            };
            blob.repositories.retain(|known| known != repository);
            blob.repositories.push(repository.clone());
            let too_many = blob.repositories.len().saturating_sub(REPOSITORIES);
            blob.repositories.drain(..too_many);
            self.blobs.push(blob);
        }
        let too_many = self.blobs.len().saturating_sub(BLOBS);
        self.blobs.drain(..too_many);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Reference {
        text.parse().unwrap()
    }

    fn digest(n: usize) -> Digest {
        format!("sha256:{n:064x}").parse().unwrap()
    }

    #[test]
    fn only_other_repositories_of_the_same_registry_are_named_the_last_noted_first() {
        let dir = tempfile::tempdir().unwrap();
        let roots = Roots {
            data: dir.path().to_owned(),
            run: dir.path().to_owned(),
        };
        for from in ["h:1/a:x", "h:1/b", "other/a", "h:1/target", "h:1/a:y"] {
            note(&roots, &name(from), &[digest(1), digest(2)]).unwrap();
        }
        let known = Known::read(&roots);
        let target = name("h:1/target:latest");
        assert_eq!(
            known.of(&digest(1), &target),
            [name("h:1/b"), name("h:1/a")]
        );
        assert_eq!(known.of(&digest(3), &target), []);
        std::fs::write(dir.path().join("origins.json"), "{").unwrap();
        assert_eq!(Known::read(&roots).of(&digest(1), &target), []);
        note(&roots, &name("h:1/c"), &[digest(1)]).unwrap();
        assert_eq!(Known::read(&roots).of(&digest(1), &target), [name("h:1/c")]);
    }

    #[test]
    fn the_record_is_bounded() {
        let mut origins = Origins::default();
        let digests: Vec<Digest> = (0..BLOBS + 5).map(digest).collect();
        origins.note(&name("h/first"), &digests);
        assert_eq!(origins.blobs.len(), BLOBS);
        assert!(!origins.knows(&name("h/first"), &[digest(0)]));
        for n in 0..20 {
            origins.note(&name(&format!("h/r{n}")), &[digest(BLOBS)]);
        }
        let last = origins.blobs.last().unwrap();
        assert_eq!(last.repositories.len(), REPOSITORIES);
    }
}
