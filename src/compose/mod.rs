//! Door for Compose: files become a plan, a plan becomes calls of the engine's façade. Nothing is read yet.
//!
//! It will not know the runtime, images or networks beneath the façade. See ARCHITECTURE.md.
