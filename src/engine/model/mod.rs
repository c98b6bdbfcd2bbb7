//! Plain data that every part of wharf agrees on: ids, references, records, requests, events, figures.
//!
//! No I/O, no clock, nothing of ours is imported. Whatever is stored on disk has a `version` field.

pub mod auth;
pub mod container;
pub mod copy;
pub mod digest;
pub mod event;
pub mod go_duration;
pub mod health;
pub mod id;
pub mod image;
pub mod layers;
pub mod log;
pub mod manifest;
pub mod modes;
pub mod network;
pub mod platform;
pub mod process;
pub mod progress;
pub mod reach;
pub mod reference;
pub mod registry;
pub mod request;
pub mod rights;
pub mod selinux;
pub mod sharing;
pub mod signal;
pub mod stats;
pub mod units;
pub mod volume;
pub mod yaml;

pub use auth::{Auth, Secret};
pub use container::{
    Container, ContainerConfig, ContainerSummary, HostConfig, Mount, NetworkMode, Resources,
    RestartPolicy, Security, State, Status,
};
pub use digest::Digest;
pub use event::Event;
pub use health::{Health, HealthCheck, HealthStatus};
pub use id::ContainerId;
pub use image::ImageSummary;
pub use log::LogConfig;
pub use modes::{Keeping, Modes};
pub use platform::Platform;
pub use progress::{Cancel, Progress};
pub use reference::Reference;
pub use rights::Rights;
pub use stats::Stats;

/// A point in time: RFC 3339 with nanoseconds in JSON.
pub type Timestamp = jiff::Timestamp;
