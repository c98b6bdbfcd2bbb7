//! Networks.

mod beside;
mod checklist;
mod cost;
mod drivers;
mod kernel;
mod lines;
mod published;
mod reach;
mod world;
