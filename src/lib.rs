//! wharf: a container workstation. Read the modules in this order.

pub mod demo;
pub mod engine;

pub mod app;
pub mod cli;
pub mod views;
