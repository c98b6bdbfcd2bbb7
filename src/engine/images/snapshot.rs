//! `commit`: an image, and what a container changed on top of it, become another image.

use std::fs::File;
use std::io::{BufWriter, Read, Write};

use super::catalog::StoredLayer;
use super::document::{Config, History, Process, RootFs};
use super::workspace::{Place, Spooled, Workspace};
use super::{Images, change, commit, first_id, stored};
use crate::engine::error::{Attempt, Error, Kind, Result};
use crate::engine::model::digest::ImageId;
use crate::engine::model::{Cancel, ContainerConfig, Reference, Timestamp, request};

/// How much is asked of a blob to know its compression.
const START: usize = 512;

/// What the new image is made of.
#[derive(Debug, Clone, Copy)]
pub struct Snapshot<'a> {
    /// The container's image.
    pub base: &'a ImageId,
    /// What the container runs: the new image's configuration.
    pub config: &'a ContainerConfig,
    /// What was asked for.
    pub request: &'a request::Commit,
}

/// Writes the layer's archive, and says how many entries it has.
pub type WriteLayer<'a> = dyn FnOnce(&mut dyn Write) -> Result<u64> + Send + 'a;

impl Images {
    /// Makes the image. A layer without entries is none: then the image has its base's layers.
    ///
    /// # Errors
    /// `NotFound` if the base is gone; `InvalidInput` for an instruction that cannot be applied; what writing the layer
    /// says. Nothing of the image is left then.
    pub fn snapshot(
        &self,
        snapshot: Snapshot<'_>,
        layer: Box<WriteLayer<'_>>,
        cancel: &Cancel,
    ) -> Result<ImageId> {
        let request = snapshot.request;
        if request
            .reference
            .as_ref()
            .is_some_and(|name| name.digest().is_some())
        {
            return Err(Error::invalid(
                "refusing to create a tag with a digest reference",
            ));
        }
        let base = stored(&self.catalog()?, snapshot.base)?.clone();
        let below = self.read_config(snapshot.base, &base)?;
        let mut process = Process {
            on_build: below.config.on_build.clone(),
            ..Process::of(snapshot.config)
        };
        for line in &request.changes {
            change::apply(&mut process, line).map_err(|error| Error::invalid(error.to_string()))?;
        }
        let now = Timestamp::now();
        let mut step = History {
            created: Some(now),
            author: request.author.clone(),
            created_by: snapshot.config.args().join(" "),
            comment: request.message.clone(),
            ..History::default()
        };
        let made = self.bring_in(&|_progress| (), cancel, |work, pool| {
            let mut blobs = base
                .layers
                .iter()
                .map(|layer| self.stored_blob(layer))
                .collect::<Result<Vec<_>>>()?;
            let mut diff_ids = below.rootfs.diff_ids.clone();
            let (blob, entries) = spool(work, layer, cancel)?;
            step.empty_layer = entries == 0;
            if entries > 0 {
                pool.ask(&blob);
                diff_ids.push(pool.peek_diff_id(&blob)?);
                blobs.push(blob);
            }
            let config = commit::encode(&Config {
                created: Some(now),
                author: request.author.clone(),
                docker_version: String::new(),
                config: process,
                rootfs: RootFs {
                    kind: "layers".to_owned(),
                    diff_ids,
                },
                history: below.history.iter().cloned().chain([step]).collect(),
                ..below.clone()
            })?;
            let names = request.reference.clone().map(Reference::with_default_tag);
            let names = names.into_iter().collect();
            Ok(vec![commit::plan_without_manifest(config, blobs, names)?])
        });
        first_id(made.map_err(|error| self.base_went(snapshot.base, error))?)
    }

    /// The error of a snapshot whose base was removed under it says that.
    pub(super) fn base_went(&self, base: &ImageId, error: Error) -> Error {
        if !matches!(error.kind(), Kind::NotFound | Kind::Unavailable) {
            return error;
        }
        match self
            .catalog()
            .and_then(|catalog| stored(&catalog, base).map(|_| ()))
        {
            Err(gone) => gone,
            // It is back.
            Ok(()) if error.raw_os_error().is_some() => {
                Error::new(Kind::Unavailable, "its image was removed meanwhile")
                    .with_hint("try again")
            }
            Ok(()) => error,
        }
    }

    /// A layer's blob.
    ///
    /// # Errors
    /// What reading it says.
    pub(super) fn stored_blob(&self, layer: &StoredLayer) -> Result<Spooled> {
        let file: File = self
            .blobs_dir()
            .open_file(layer.blob.hex().as_bytes())
            .attempt(|| format!("layer {}", layer.diff_id.short()))?;
        let mut start = Vec::new();
        file.take(u64::try_from(START).unwrap_or(0))
            .read_to_end(&mut start)
            .attempt(|| format!("read blob {}", layer.blob.short()))?;
        Ok(Spooled {
            place: Place::Stored,
            digest: layer.blob.clone(),
            size: layer.blob_size,
            start,
        })
    }
}

/// Runs what writes the layer on a thread of its own, into a pipe that the workspace reads.
pub(super) fn spool(
    work: &Workspace,
    layer: Box<WriteLayer<'_>>,
    cancel: &Cancel,
) -> Result<(Spooled, u64)> {
    let (mut reader, writer) = std::io::pipe().attempt(|| "make a pipe")?;
    std::thread::scope(|scope| {
        let written = scope.spawn(move || {
            let mut out = BufWriter::with_capacity(64 << 10, writer);
            let entries = layer(&mut out)?;
            out.flush().attempt(|| "write the layer")?;
            Ok(entries)
        });
        let blob = work.spool(&mut reader, cancel);
        // A writer that is still at it must not wait for a reader that gave up.
        drop(reader);
        let entries: Result<u64> = written.join().unwrap_or_else(|_panic| {
            Err(Error::new(Kind::Internal, "the layer's writer panicked"))
        });
        Ok((blob?, entries?))
    })
}
