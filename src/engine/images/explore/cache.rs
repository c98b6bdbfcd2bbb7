//! Lists of layers that were read before, by digest: a layer that was looked into once is not fetched again.
//!
//! A file for each layer, in the form of the store's indexes; it holds what the archive said, before lower layers are asked. What
//! cannot be read or written is done without.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::paper::Listed;
use crate::engine::images::index;
use crate::engine::model::Digest;
use crate::engine::sys::file::{self, Durability};

/// What all files may have together, in bytes; the oldest make room.
const LIMIT: u64 = 256 << 20;

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

    fn path(&self, diff_id: &Digest) -> PathBuf {
        self.dir.join(diff_id.hex())
    }

    /// The list of the layer with this digest, uncompressed, and the digest of the blob that it came in.
    pub(super) fn get(&self, diff_id: &Digest) -> Option<(Listed, Digest)> {
        let bytes = fs::read(self.path(diff_id)).ok()?;
        let (summary, entries) = index::read(&bytes).ok()?;
        let listed = Listed {
            entries,
            wanted: Vec::new(),
        };
        (summary.diff_id == *diff_id).then_some((listed, summary.chain_id))
    }

    /// Keeps a list that needs nothing of lower layers.
    pub(super) fn put(&self, listed: &Listed, diff_id: &Digest, blob: &Digest) {
        if !listed.wanted.is_empty() {
            return;
        }
        let bytes = index::encode(listed.entries.iter().cloned(), diff_id, blob);
        let made = DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.dir);
        if made.is_ok()
            && file::write_atomic(&self.path(diff_id), &bytes, Durability::Unsynced).is_ok()
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
    use super::*;
    use crate::engine::images::codec;
    use crate::engine::model::layers::{Entry, Kind};

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
        assert!(cache.get(&diff).is_none());
        cache.put(&listed(true), &diff, &blob);
        assert!(cache.get(&diff).is_none());
        cache.put(&listed(false), &diff, &blob);
        let (found, of) = cache.get(&diff).unwrap();
        assert_eq!((found.entries, of), (listed(false).entries, blob.clone()));
        // Under another name, and cut.
        fs::rename(cache.path(&diff), cache.path(&blob)).unwrap();
        assert!(cache.get(&blob).is_none());
        cache.put(&listed(false), &diff, &blob);
        let bytes = fs::read(cache.path(&diff)).unwrap();
        fs::write(cache.path(&diff), &bytes[..bytes.len() - 1]).unwrap();
        assert!(cache.get(&diff).is_none());
    }
}
