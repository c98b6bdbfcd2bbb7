//! How a long operation says how far it is, and how it is told to stop.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// One report of a long operation. Reports may be dropped; outcomes may not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Which part (a layer's short id, a file name).
    pub part: String,
    /// What is being done to it: `Loading layer`, `Extracting` …
    pub phase: Cow<'static, str>,
    /// Bytes done.
    pub done: u64,
    /// Bytes in all, if known.
    pub total: Option<u64>,
}

/// Receives reports. Called often: it must not block.
pub type Report<'a> = &'a (dyn Fn(Progress) + Sync);

/// A token to stop a long operation; clones share it. Checked between steps; the operation then undoes its work and
/// ends with [`crate::engine::error::Kind::Cancelled`].
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// A token that nobody has used.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks the operation to stop.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether somebody asked.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
