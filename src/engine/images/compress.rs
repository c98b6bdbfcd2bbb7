//! Compresses layers before they are pushed. Archives and containers give layers that are not compressed, and images that
//! have no manifest but the one we made for them; registries, and those who pull from them, expect compressed ones, which
//! Docker makes at each push. Here the image has them from then on.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Read};
use std::sync::{Mutex, PoisonError};

use flate2::Compression as Level;
use flate2::read::GzEncoder;

use super::catalog::StoredLayer;
use super::codec::Compression;
use super::commit::{Plan, plan_without_manifest};
use super::workspace::{Spooled, Workspace};
use super::{Images, stored};
use crate::engine::error::{Error, Kind, Result};
use crate::engine::model::digest::ImageId;
use crate::engine::model::progress::Report;
use crate::engine::model::{Cancel, Digest, Progress};

impl Images {
    /// Whether an image has layers that are to be compressed: its manifest is ours, and not what anybody gave us.
    ///
    /// # Errors
    /// What reading the records says.
    pub(super) fn is_uncompressed(&self, id: &ImageId) -> Result<bool> {
        let catalog = self.catalog()?;
        let stored = stored(&catalog, id)?;
        let blobs: Vec<Spooled> = self.blobs_of(&stored.layers)?;
        if !blobs.iter().any(is_plain) {
            return Ok(false);
        }
        let own = plan_without_manifest(self.read_document(id)?, blobs, Vec::new())?;
        Ok(own.manifest == self.read_document(&stored.manifest)?)
    }

    /// Compresses the layers of an image by gzip and gives it a manifest that names them. What it had until now is nobody's
    /// then.
    ///
    /// # Errors
    /// What reading and writing say; [`Kind::Cancelled`]. The image is then as it was.
    pub(super) fn compress(&self, id: &ImageId, report: Report<'_>, cancel: &Cancel) -> Result<()> {
        self.bring_in(report, cancel, |work, _pool| {
            let layers = stored(&self.catalog()?, id)?.layers.clone();
            let blobs = self.blobs_of(&layers)?;
            let packed = compress_all(work, &blobs, report, cancel)?;
            let blobs = blobs
                .into_iter()
                .map(|blob| packed.get(&blob.digest).cloned().unwrap_or(blob));
            let plan = plan_without_manifest(self.read_document(id)?, blobs.collect(), Vec::new())?;
            Ok(vec![Plan {
                binding: true,
                ..plan
            }])
        })
        .map(drop)
    }

    fn blobs_of(&self, layers: &[StoredLayer]) -> Result<Vec<Spooled>> {
        layers.iter().map(|layer| self.stored_blob(layer)).collect()
    }
}

fn is_plain(blob: &Spooled) -> bool {
    matches!(blob.compression(), Ok(Compression::Plain))
}

/// Compresses what is not, one layer on each processor: by what they were.
fn compress_all(
    work: &Workspace,
    blobs: &[Spooled],
    report: Report<'_>,
    cancel: &Cancel,
) -> Result<HashMap<Digest, Spooled>> {
    let plain = blobs.iter().filter(|blob| is_plain(blob));
    let queue: Mutex<VecDeque<&Spooled>> = Mutex::new(plain.collect());
    let packed: Mutex<HashMap<Digest, Spooled>> = Mutex::default();
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let run = || -> Result<()> {
        loop {
            let next = lock(&queue).pop_front();
            let Some(blob) = next else {
                return Ok(());
            };
            if lock(&packed).contains_key(&blob.digest) {
                continue;
            }
            let done = compress_one(work, blob, report, cancel)?;
            lock(&packed).insert(blob.digest.clone(), done);
        }
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..workers.min(blobs.len()))
            .map(|_| scope.spawn(run))
            .collect();
        let defect = |_panic| Error::new(Kind::Internal, "compressing stopped by a defect");
        running
            .into_iter()
            .try_for_each(|thread| thread.join().map_err(defect)?)
    })?;
    Ok(packed.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn compress_one(
    work: &Workspace,
    blob: &Spooled,
    report: Report<'_>,
    cancel: &Cancel,
) -> Result<Spooled> {
    let tell = |phase: &'static str, done| {
        report(Progress {
            part: blob.digest.short().to_owned(),
            phase: phase.into(),
            done,
            total: Some(blob.size),
        });
    };
    let input = Told {
        input: work.open(blob)?,
        done: 0,
        tell: &|done| tell("Compressing", done),
    };
    let done = work.spool(&mut GzEncoder::new(input, Level::default()), cancel)?;
    tell("Compressed", blob.size);
    Ok(done)
}

/// A stream that tells how much of it was read.
struct Told<'a, R> {
    input: R,
    done: u64,
    tell: &'a dyn Fn(u64),
}

impl<R: Read> Read for Told<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.done += u64::try_from(read).unwrap_or(0);
        (self.tell)(self.done);
        Ok(read)
    }
}
