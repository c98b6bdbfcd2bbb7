//! Networks.

mod kernel;
mod world;
