//! Door for Docker's Engine API on a unix socket: routes and wire types over the engine's façade. Nothing is served yet.
//!
//! It will own its own request and response types: engine types are not wire types. See ARCHITECTURE.md.
