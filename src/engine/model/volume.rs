//! A volume: a named place for data that outlives containers.

use std::collections::BTreeMap;

use super::Timestamp;

/// Version of [`Volume`] on disk.
pub const RECORD_VERSION: u32 = 1;

/// The label of volumes that nobody named (Docker's).
pub const ANONYMOUS: &str = "com.docker.volume.anonymous";

/// The record `volumes/<name>/volume.json` in the data root. The data is in `_data` beside it, or where the options say.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Volume {
    /// Schema version, [`RECORD_VERSION`].
    pub version: u32,
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
    /// Labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// `type`, `device` and `o` of mount(8), for data that is elsewhere.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
}

impl Volume {
    /// Nobody named it.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.labels.contains_key(ANONYMOUS)
    }
}

/// A volume and what it takes, for `system df` and the volumes pane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeUsage {
    /// The volume.
    pub volume: Volume,
    /// Containers that have it.
    pub links: u64,
    /// Bytes of its own files.
    pub size: u64,
}

/// What `volume prune` took.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PrunedVolumes {
    /// Names.
    pub removed: Vec<String>,
    /// Bytes that came back.
    pub reclaimed: u64,
}
