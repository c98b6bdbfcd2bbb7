//! What is in an image, layer by layer: entries, the tree that they make together, and what of it nobody sees.
//!
//! Plain data and functions of it: whoever has the entries of all layers has the whole analysis.

pub mod content;
pub mod diff;
pub mod dive;
pub mod dive_rules;
mod entry;
mod explored;
pub mod export;
pub mod filter;
pub mod findings;
pub mod glob;
pub mod listing;
#[cfg(test)]
mod oracle;
pub mod rules;
pub mod squash;
mod target;
pub mod textdiff;
pub mod tree;
mod waste;

pub use diff::Diff;
pub use entry::{Entry, Kind, Repeated};
pub use explored::{About, Explored, Hidden, LayerFacts, Part, Step, instruction};
pub use rules::{Rules, Verdict};
pub use target::Target;
pub use tree::Tree;
pub use waste::{Cause, Stack, Waste};
