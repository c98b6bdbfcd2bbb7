//! Networks.

mod cost;
mod drivers;
mod kernel;
mod lines;
mod published;
mod world;
