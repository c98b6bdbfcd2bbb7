//! An OCI runtime: a specification becomes namespaces, cgroups, mounts and a process, with a monitor as its parent.
//!
//! It knows nothing of images, stores or networks: it is given paths and documents.

mod birth;
pub mod caps;
mod command;
pub mod devices;
pub mod dialect;
pub mod hooks;
mod idmap;
mod init;
pub mod labels;
pub mod mounts;
mod netdev;
pub mod rdt;
pub mod rlimits;
pub mod rootfs;
pub mod schedule;
pub mod spec;
mod sysctl;
pub mod user;

pub mod cgroup;
pub mod join;
pub mod launch;
pub mod seal;
pub mod seccomp;
pub mod terms;

pub mod oci;

pub mod channel;
mod client;
pub mod control;
pub mod exec;
pub mod journal;
pub mod log_file;
pub mod monitor;
pub mod restart;
mod switchboard;
