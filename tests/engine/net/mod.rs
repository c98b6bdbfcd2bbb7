//! Networks.

mod cost;
mod kernel;
mod world;
