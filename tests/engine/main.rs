//! Privileged tests: the whole program on a real kernel. Each test has its own data and run root (`support.rs`), needs
//! root, and says `skipped: …` where it has not got it; with `CI=true` a skip is a failure.

#![expect(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test that cannot go on should say where; nothing of a test is reachable"
)]

mod feature;
mod registry;
mod support;
#[path = "../e2e/terminal.rs"]
mod terminal;

mod apparmor;
mod archives;
mod attributes;
mod boot;
mod bundle;
mod cdi;
mod cgroups;
mod clean;
mod cli;
mod containers;
mod copies;
mod demo;
mod devices;
mod differential;
mod docker;
mod escapes;
mod faults;
mod files;
mod guards;
mod health;
mod hooks;
mod hostile;
mod image_verbs;
mod images;
mod interrupted;
mod keep;
mod layers;
mod leftovers;
mod log_drivers;
mod modes;
mod monitor;
mod mounts;
mod name_server;
mod namespaces;
mod net;
mod networks;
mod oci;
mod oci_commands;
mod oci_hooks;
mod oci_joined;
mod oci_lifecycle;
mod oci_podman;
mod oci_races;
mod oci_refusals;
mod oci_rootless;
mod oci_spec;
mod oci_suites;
mod peers;
mod push;
mod registries;
mod relays;
mod repair;
mod rights;
mod runtime;
mod seccomp;
mod selinux;
mod soak;
mod sources;
mod spaces;
mod squash;
mod tables;
mod unified;
mod unpack;
mod users;
mod verbs;
mod volumes;
