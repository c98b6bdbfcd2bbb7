//! The whole program in a terminal, as a person meets it: keys in, cells out, real containers behind it.

#![expect(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test that cannot go on should say where; nothing of a test is reachable"
)]

#[expect(
    dead_code,
    reason = "shared by several test binaries, each of which uses a part of it"
)]
#[path = "../engine/registry/mod.rs"]
mod registry;
#[path = "../engine/support.rs"]
mod support;
mod terminal;

mod dialogs;
mod images;
mod layers;
mod plain;
mod volumes;
mod workstation;
