//! An OCI runtime: a specification becomes namespaces, cgroups, mounts and a process, with a monitor as its parent.
//!
//! It knows nothing of images, stores or networks: it is given paths and documents.

pub mod apparmor;
mod birth;
pub mod caps;
pub mod cdi;
mod command;
pub mod devices;
pub mod dialect;
pub mod given_devices;
pub mod hooks;
mod idmap;
mod init;
pub mod labels;
pub mod mounts;
mod netdev;
mod outside_nodes;
pub mod rdt;
pub mod relabel;
pub mod rlimits;
pub mod rootfs;
pub mod schedule;
pub mod selinux;
pub mod spec;
mod sysctl;
pub mod user;

pub mod cgroup;
pub mod join;
pub mod launch;
pub mod seal;
pub mod seccomp;
pub mod terms;
pub mod view;

pub mod oci;

pub mod channel;
mod client;
pub mod control;
pub mod exec;
pub mod journal;
pub mod log;
pub mod log_file;
mod log_journal;
mod log_lines;
pub mod log_pack;
mod log_syslog;
pub mod monitor;
pub mod probe;
pub mod reaper;
pub mod restart;
mod switchboard;

/// Version of the OCI runtime specification that is followed.
pub const SPECIFICATION: &str = "1.2.1";
