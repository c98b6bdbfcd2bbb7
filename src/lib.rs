//! wharf: a container workstation. Read the modules in this order.

pub mod engine;

pub mod cli;

pub mod app;
pub mod views;

pub mod demo;

pub mod api;
pub mod compose;
