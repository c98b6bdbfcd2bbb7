//! Events: one JSON line each in the journal, with Docker's words for types and actions.

use std::collections::BTreeMap;

use super::Timestamp;

/// Something that happened to an object. Docker's `events` prints exactly these fields.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Event {
    /// When.
    pub time: Timestamp,
    /// What kind of object.
    pub kind: Kind,
    /// `create`, `start`, `die`, `oom`, `destroy`, `tag` … (reference: docker events).
    pub action: String,
    /// Full id of the object (an image's tag where Docker gives the tag).
    pub id: String,
    /// `name`, `image`, `exitCode`, `signal` …
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
}

/// The kinds of object that have events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A container.
    Container,
    /// An image.
    Image,
    /// A volume.
    Volume,
    /// A network.
    Network,
}
