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
        })
    }

    /// The list of the layer with this digest, uncompressed, and the digest of the blob that it came in; of a table, its own
    /// digest.
    pub(super) fn get(&self, of: Of, diff_id: &Digest) -> Option<(Listed, Digest)> {
        let bytes = fs::read(self.path(of, diff_id)).ok()?;
        let (summary, entries) = index::read(&bytes).ok()?;
        let listed = Listed {
            entries,
            ..Listed::default()
        };
        (summary.diff_id == *diff_id).then_some((listed, summary.chain_id))
    }

    /// Keeps a list that needs nothing of lower layers.
    pub(super) fn put(&self, of: Of, listed: &Listed, diff_id: &Digest, blob: &Digest) {
        if !listed.wanted.is_empty() {
            return;
        }
        let bytes = index::encode(listed.entries.iter().cloned(), diff_id, blob);
        let made = DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.dir);
        if made.is_ok()
            && file::write_atomic(&self.path(of, diff_id), &bytes, Durability::Unsynced).is_ok()
        {
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
    use crate::engine::model::layers::{Entry, Kind};

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
