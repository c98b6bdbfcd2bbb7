//! Lists of layers that were read before, by digest: a layer that was looked into once is not fetched again.
//!
//! A file for each layer, in the form of the store's indexes; it holds what the archive said, before lower layers are asked. Lists
//! whose files have other digests, and those of tables of contents, which nobody compared with files, have files of their own. What
//! cannot be read or written is done without.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::paper::{FileHash, Listed};
use crate::engine::images::index;
use crate::engine::model::Digest;
use crate::engine::sys::file::{self, Durability};

/// What all files may have together, in bytes; the oldest make room.
const LIMIT: u64 = 256 << 20;

/// What a list was made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    /// A whole layer, its files hashed so.
    Layer(FileHash),
    /// A table of contents.
    Table,
    /// A whole layer in a file of this host, by what tells that from others.
    File,
}

/// A directory with lists.
#[derive(Debug, Clone)]
pub(super) struct Cache {
    dir: PathBuf,
}

impl Cache {
    pub(super) fn at(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
        }
    }

    fn path(&self, of: Of, diff_id: &Digest) -> PathBuf {
        let name = diff_id.hex();
        self.dir.join(match of {
            Of::Layer(FileHash::Blake3) => name.to_owned(),
            Of::Layer(FileHash::Sha256) => format!("{name}.sha256"),
            Of::Table => format!("{name}.table"),
            Of::File => format!("{name}.file"),
        })
    }

    /// The list of the layer with this digest, uncompressed, and the digest of the blob that it came in; of a table, its own
    /// digest.
    pub(super) fn get(&self, of: Of, diff_id: &Digest) -> Option<(Listed, Digest)> {
        let (listed, found, blob) = self.read(of, diff_id)?;
        (found == *diff_id).then_some((listed, blob))
    }

    /// The list of the layer that this file has, its digest, uncompressed, and that of the blob.
    pub(super) fn of_file(&self, identity: &Digest) -> Option<(Listed, Digest, Digest)> {
        self.read(Of::File, identity)
    }

    fn read(&self, of: Of, name: &Digest) -> Option<(Listed, Digest, Digest)> {
        let bytes = fs::read(self.path(of, name)).ok()?;
        let (summary, entries) = index::read(&bytes).ok()?;
        let listed = Listed {
            entries,
            repeated: summary.repeated,
            ..Listed::default()
        };
        Some((listed, summary.diff_id, summary.chain_id))
    }

    /// Keeps a list that needs nothing of lower layers.
    pub(super) fn put(&self, of: Of, listed: &Listed, diff_id: &Digest, blob: &Digest) {
        self.write(&self.path(of, diff_id), listed, diff_id, blob);
    }

    /// Keeps the list of the layer that a file has.
    pub(super) fn put_file(
        &self,
        identity: &Digest,
        listed: &Listed,
        diff_id: &Digest,
        blob: &Digest,
    ) {
        self.write(&self.path(Of::File, identity), listed, diff_id, blob);
    }

    fn write(&self, path: &Path, listed: &Listed, diff_id: &Digest, blob: &Digest) {
        if !listed.wanted.is_empty() {
            return;
        }
        let bytes = index::encode(
            listed.entries.iter().cloned(),
            &listed.repeated,
            diff_id,
            blob,
        );
        let made = DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.dir);
        if made.is_ok() && file::write_atomic(path, &bytes, Durability::Unsynced).is_ok() {
            self.make_room();
        }
    }

    fn make_room(&self) {
        let Ok(entries) = fs::read_dir(&self.dir) else {
            return;
        };
        let mut files: Vec<(SystemTime, u64, PathBuf)> = entries
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let metadata = entry.metadata().ok()?;
                Some((metadata.modified().ok()?, metadata.len(), entry.path()))
            })
            .collect();
        let mut total: u64 = files.iter().map(|(_, length, _)| length).sum();
        files.sort();
        for (_, length, path) in files {
            if total <= LIMIT {
                return;
            }
            if fs::remove_file(path).is_ok() {
                total -= length;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::evidence::Gathered;
    use super::*;
    use crate::engine::images::codec;
    use crate::engine::model::layers::{Entry, Kind, Repeated};

    const LAYER: Of = Of::Layer(FileHash::Blake3);

    fn listed(wanted: bool) -> Listed {
        let entry = Entry {
            path: b"a".to_vec(),
            kind: Kind::Fifo,
            mode: 0o644,
            uid: 0,
            gid: 0,
            size: 0,
            mtime: (1, 2),
            xattrs: Vec::new(),
        };
        Listed {
            entries: vec![entry],
            gathered: Gathered::default(),
            repeated: vec![Repeated {
                path: b"a".to_vec(),
                bytes: 7,
            }],
            wanted: if wanted {
                vec![(b"b".to_vec(), b"c".to_vec())]
            } else {
                Vec::new()
            },
        }
    }

    #[test]
    fn what_is_kept_is_found_and_what_is_damaged_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(&dir.path().join("new/dir"));
        let (diff, blob) = (codec::digest_of(b"diff"), codec::digest_of(b"blob"));
        assert!(cache.get(LAYER, &diff).is_none());
        cache.put(LAYER, &listed(true), &diff, &blob);
        assert!(cache.get(LAYER, &diff).is_none());
        cache.put(LAYER, &listed(false), &diff, &blob);
        let (found, of) = cache.get(LAYER, &diff).unwrap();
        assert_eq!((found.entries, of), (listed(false).entries, blob.clone()));
        assert_eq!(found.repeated, listed(false).repeated);
        assert!(cache.get(Of::Layer(FileHash::Sha256), &diff).is_none());
        assert!(cache.get(Of::Table, &diff).is_none());
        // Under another name, and cut.
        fs::rename(cache.path(LAYER, &diff), cache.path(LAYER, &blob)).unwrap();
        assert!(cache.get(LAYER, &blob).is_none());
        cache.put(LAYER, &listed(false), &diff, &blob);
        let bytes = fs::read(cache.path(LAYER, &diff)).unwrap();
        fs::write(cache.path(LAYER, &diff), &bytes[..bytes.len() - 1]).unwrap();
        assert!(cache.get(LAYER, &diff).is_none());
    }
}
