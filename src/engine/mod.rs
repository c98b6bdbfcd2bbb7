//! The engine: images, containers, processes. It does not know who is asking.

pub mod error;
pub mod model;
pub mod store;
pub mod sys;

pub use error::{Error, Kind, Result};
