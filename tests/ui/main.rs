//! The workstation without a terminal and without an engine: key scripts in, state, effects and drawn cells out.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should say where"
)]

mod columns;
mod details;
mod dialogs;
mod draw;
mod explorer;
mod groups;
mod images;
mod keys;
mod networks;
mod screens;
mod support;
mod tables;
mod updates;
mod volumes;
