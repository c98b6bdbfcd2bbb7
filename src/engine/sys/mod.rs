//! The kernel's door: every `unsafe`, every raw system call, and the file helpers. Each error names operation and path.
//!
//! Functions here are thin and safe; deciding what to call is for the peers above. Nothing of them is imported.

pub mod file;
pub mod inotify;
pub mod lock_record;
pub mod poll;
pub mod signal;
pub mod socket;
