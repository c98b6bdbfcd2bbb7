//! Privileged tests: the whole program on a real kernel. Each test has its own data and run root (`support.rs`), needs
//! root, and says `skipped: …` where it has not got it; with `CI=true` a skip is a failure.

#![expect(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test that cannot go on should say where; nothing of a test is reachable"
)]

mod registry;
mod support;
#[path = "../e2e/terminal.rs"]
mod terminal;

mod archives;
mod attributes;
mod bundle;
mod cgroups;
mod clean;
mod cli;
mod containers;
mod demo;
mod devices;
mod escapes;
mod faults;
mod guards;
mod hooks;
mod hostile;
mod image_verbs;
mod images;
mod interrupted;
mod keep;
mod monitor;
mod mounts;
mod namespaces;
mod oci;
mod oci_commands;
mod oci_hooks;
mod oci_joined;
mod oci_lifecycle;
mod oci_podman;
mod oci_rootless;
mod oci_spec;
mod oci_suites;
mod peers;
mod push;
mod registries;
mod repair;
mod runtime;
mod seccomp;
mod unpack;
