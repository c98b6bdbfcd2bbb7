//! An image looked into: its layers with what each brings, loses and hides, and what could be said in fewer bytes.

use std::collections::HashMap;

use super::entry::{Entry, Kind};
use super::tree::LayerId;
use super::waste::{Cause, Stack};
use crate::engine::model::image::HistoryEntry;
use crate::engine::model::{Digest, Platform, Timestamp};

/// One layer, the lowest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerFacts {
    /// Digest of the uncompressed archive.
    pub diff_id: Digest,
    /// Digest of the blob.
    pub blob: Digest,
    /// Bytes of the blob.
    pub blob_size: u64,
    /// Bytes of its files.
    pub size: u64,
    /// Its files, hard links not counted.
    pub files: usize,
    /// Bytes of its files that a later layer hides.
    pub wasted: u64,
    /// Bytes of earlier layers that it hides.
    pub hides: u64,
    /// The instruction that made it, as the history has it; empty if that says nothing.
    pub command: String,
    /// When.
    pub created: Option<Timestamp>,
}

/// Where a layer comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Digest of the uncompressed archive.
    pub diff_id: Digest,
    /// Digest of the blob.
    pub blob: Digest,
    /// Bytes of the blob.
    pub blob_size: u64,
}

/// What is known of an image besides its layers.
#[derive(Debug, Clone, PartialEq)]
pub struct About {
    /// As it was asked for.
    pub name: String,
    /// Its id.
    pub id: String,
    /// Its platform.
    pub platform: Platform,
    /// The user of its configuration; empty is root.
    pub user: String,
    /// It has a health check.
    pub has_healthcheck: bool,
    /// All instructions, oldest first.
    pub history: Vec<HistoryEntry>,
}

/// A whole image.
#[derive(Debug)]
pub struct Explored {
    /// What it is.
    pub about: About,
    /// Its layers, the lowest first.
    pub layers: Vec<LayerFacts>,
    /// All their entries.
    pub stack: Stack,
}

/// Bytes that are hidden at once: everything of one layer that one entry of another hides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hidden {
    /// The path of the file, or of the directory that is removed or replaced.
    pub path: Vec<u8>,
    /// How many files.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// The layer that brought them.
    pub added: LayerId,
    /// The layer that hides them.
    pub hidden: LayerId,
    /// How.
    pub cause: Cause,
}

impl Explored {
    /// An image without layers.
    #[must_use]
    pub fn new(about: About) -> Self {
        Self {
            about,
            layers: Vec::new(),
            stack: Stack::default(),
        }
    }

    /// Puts a layer on top: entries sorted by path, each path once, as an index has them.
    pub fn push(&mut self, part: Part, entries: Vec<Entry>) {
        let mut made_by = self.about.history.iter().filter(|entry| !entry.empty);
        let instruction = made_by.nth(self.layers.len());
        let is_file = |entry: &&Entry| matches!(entry.kind, Kind::File { .. });
        self.layers.push(LayerFacts {
            diff_id: part.diff_id,
            blob: part.blob,
            blob_size: part.blob_size,
            size: entries.iter().map(|entry| entry.size).sum(),
            files: entries.iter().filter(is_file).count(),
            wasted: 0,
            hides: 0,
            command: instruction.map_or(String::new(), |entry| entry.created_by.clone()),
            created: instruction.and_then(|entry| entry.created),
        });
        let known = self.stack.waste.len();
        self.stack.add(entries);
        for waste in &self.stack.waste[known..] {
            self.layers[usize::from(waste.added.0)].wasted += waste.bytes;
            self.layers[usize::from(waste.hidden.0)].hides += waste.bytes;
        }
    }

    /// Bytes of all files of all layers.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.layers.iter().map(|layer| layer.size).sum()
    }

    /// What is hidden, the largest first; files that went at once, with a directory, are one.
    #[must_use]
    pub fn hidden(&self) -> Vec<Hidden> {
        let mut places: HashMap<(LayerId, LayerId, u32, Cause), usize> = HashMap::new();
        let mut all: Vec<Hidden> = Vec::new();
        for waste in &self.stack.waste {
            let key = (waste.added.0, waste.hidden.0, waste.hidden.1, waste.cause);
            let place = *places.entry(key).or_insert_with(|| {
                all.push(Hidden {
                    path: self.stack.entry(waste.hidden).path.clone(),
                    files: 0,
                    bytes: 0,
                    added: waste.added.0,
                    hidden: waste.hidden.0,
                    cause: waste.cause,
                });
                all.len() - 1
            });
            all[place].files += 1;
            all[place].bytes += waste.bytes;
        }
        all.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.path.cmp(&b.path)));
        all
    }
}

impl Cause {
    /// One word, as the command line and JSON have it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Removed => "removed",
            Self::Overwritten => "overwritten",
            Self::CopiedAgain => "copied-again",
            Self::Replaced => "replaced",
        }
    }

    /// What to write instead.
    #[must_use]
    pub fn advice(self) -> &'static str {
        match self {
            Self::Removed => {
                "remove it in the instruction that makes it, or make it in an earlier stage"
            }
            Self::Overwritten => "write it once, in the later instruction",
            Self::CopiedAgain => {
                "set owner and mode where it is made: COPY --chown, --chmod, or in the same RUN"
            }
            Self::Replaced => "leave it out where it is made",
        }
    }
}
