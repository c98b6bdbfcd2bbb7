//! The flags and operands of every verb, as clap types. No behaviour: values are read by `value.rs`, requests are made
//! of them by `request.rs`. The doc comments are the help texts; `WHARF_ROOT`, `WHARF_RUN_ROOT` and `WHARF_LOG_FILE` stand
//! in for three of the global flags.

mod container;
mod create;
mod image;
mod layers;
mod modes;
mod network;
mod networking;
mod registry;
mod rights;
mod system;
mod volume;

pub use container::{
    Attach, Commit, Cp, Exec, Export, Inspect, Kill, Logs, Plain, PruneContainers, Ps, Rm, Start,
    Stats, Stop, Top,
};
pub use create::{Create, Limits, Run, Update};
pub use image::{History, Images, Import, InspectImage, Load, Prune, Rmi, Save};
pub use layers::{Dive, DiveRules, Layers, LayersDiff, LayersFindings, LayersShared, LayersSquash};
pub use modes::Modes;
pub use network::{
    Connect, CreateNetwork, Disconnect, InspectNetwork, LsNetworks, PruneNetworks, RmNetworks,
};
pub use networking::Networking;
pub use registry::{
    Login, ManifestAnnotate, ManifestCreate, ManifestInspect, ManifestPush, Pull, Push, Referrers,
    Search,
};
pub use rights::Rights;
pub use system::{Boot, Check, Demo, Df, Events, Formatted, Global, PruneSystem};
pub use volume::{CreateVolume, LsVolumes, PruneVolumes, RmVolumes};
