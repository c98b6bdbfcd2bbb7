//! Plain data that every part of wharf agrees on: ids, references, records, requests, events, figures.
//!
//! No I/O, no clock, nothing of ours is imported. Whatever is stored on disk has a `version` field.

pub mod auth;
pub mod container;
pub mod digest;
pub mod event;
pub mod id;
pub mod image;
pub mod manifest;
pub mod platform;
pub mod progress;
pub mod reference;
pub mod registry;
pub mod request;
pub mod signal;
pub mod stats;
pub mod units;

pub use auth::{Auth, Secret};
pub use container::{
    Container, ContainerConfig, ContainerSummary, HostConfig, LogConfig, Mount, NetworkMode,
    Resources, RestartPolicy, State, Status,
};
pub use digest::Digest;
pub use event::Event;
pub use id::ContainerId;
pub use image::ImageSummary;
pub use platform::Platform;
pub use progress::{Cancel, Progress};
pub use reference::Reference;
pub use stats::Stats;

/// A point in time: RFC 3339 with nanoseconds in JSON.
pub type Timestamp = jiff::Timestamp;
