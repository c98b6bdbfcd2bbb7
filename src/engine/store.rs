//! The two roots on disk and how records are kept in them: one JSON file per object, changed by write-temp, fsync,
//! rename under a lock. What the records mean is for the peers.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::{Attempt, Error, Kind, Result};
use super::model::ContainerId;
use super::sys::file::{self, Durability};

/// Where everything is: the data root survives a reboot, the run root does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roots {
    /// `/var/lib/wharf`.
    pub data: PathBuf,
    /// `/run/wharf`.
    pub run: PathBuf,
}

impl Roots {
    /// `blobs/sha256` of the data root.
    #[must_use]
    pub fn blobs(&self) -> PathBuf {
        self.data.join("blobs/sha256")
    }

    /// Blobs that are being fetched: each file is locked (flock(2)) while somebody writes it, and gone on with later.
    #[must_use]
    pub fn ingest(&self) -> PathBuf {
        self.data.join("ingest")
    }

    /// Unpacked layers, one directory per chain id (hex).
    #[must_use]
    pub fn layers(&self) -> PathBuf {
        self.data.join("layers")
    }

    /// All containers' durable directories.
    #[must_use]
    pub fn containers(&self) -> PathBuf {
        self.data.join("containers")
    }

    /// One container's durable directory: `container.json`, `state.json`, `log/`, `upper/`, `work/`.
    #[must_use]
    pub fn container(&self, id: &ContainerId) -> PathBuf {
        self.containers().join(id.as_str())
    }

    /// All volumes.
    #[must_use]
    pub fn volumes(&self) -> PathBuf {
        self.data.join("volumes")
    }

    /// One volume's directory: `volume.json`, `_data/`, `users/`.
    #[must_use]
    pub fn volume(&self, name: &str) -> PathBuf {
        self.volumes().join(name)
    }

    /// All networks: `<id>.json` each.
    #[must_use]
    pub fn networks(&self) -> PathBuf {
        self.data.join("networks")
    }

    /// One network's record.
    #[must_use]
    pub fn network(&self, id: &ContainerId) -> PathBuf {
        self.networks().join(format!("{id}.json"))
    }

    /// Container names: one file per name, holding the id.
    #[must_use]
    pub fn names(&self) -> PathBuf {
        self.data.join("names")
    }

    /// All containers' live directories.
    #[must_use]
    pub fn live_directories(&self) -> PathBuf {
        self.run.join("containers")
    }

    /// One container's live directory: `config.json`, `monitor.json`, `state.json`, `monitor.lock`, `ctl.sock`,
    /// `hosts`, `hostname`, `resolv.conf`.
    #[must_use]
    pub fn live(&self, id: &ContainerId) -> PathBuf {
        self.live_directories().join(id.as_str())
    }

    /// The event journal.
    #[must_use]
    pub fn events(&self) -> PathBuf {
        self.run.join("events.jsonl")
    }

    /// A named lock file of the run root.
    #[must_use]
    pub fn lock(&self, name: &str) -> PathBuf {
        self.run.join("locks").join(name)
    }
}

/// Reads a record; `None` if it is not there.
///
/// # Errors
/// [`Kind::Internal`] with the path if the content does not parse: wharf wrote it, so this is damage, not input.
pub fn read_record<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let Some(content) = file::read_optional(path)? else {
        return Ok(None);
    };
    serde_json::from_slice(&content).map(Some).map_err(|error| {
        Error::new(Kind::Internal, format!("read record {}", path.display()))
            .caused_by(error)
            .with_hint("the record is damaged; remove it or restore it from a backup")
    })
}

/// Writes a record atomically.
///
/// # Errors
/// What the file system says; the old record is then untouched.
pub fn write_record<T: Serialize>(path: &Path, record: &T, durability: Durability) -> Result<()> {
    let mut content = serde_json::to_vec(record).map_err(|error| {
        Error::new(Kind::Internal, format!("encode record {}", path.display())).caused_by(error)
    })?;
    content.push(b'\n');
    file::write_atomic(path, &content, durability).attempt(|| "save record")
}
