//! The event journal: appended by every process of wharf, followed with inotify.

use std::time::Duration;

use crate::engine::error::Result;
use crate::engine::model::{Cancel, Event};

/// Follows the journal.
#[derive(Debug)]
pub struct EventReader {
    _private: (),
}

impl EventReader {
    /// The events that have come since the last call; blocks until there is one, `cancel` is set (seen within 0.1 s)
    /// or `patience` is over; then the list is empty.
    ///
    /// # Errors
    /// What the file system says.
    pub fn next(&mut self, _cancel: &Cancel, _patience: Duration) -> Result<Vec<Event>> {
        Ok(Vec::new())
    }
}
