//! The runtime specification's own text, sentence by sentence: [docs/runtime-spec.md](../../../docs/runtime-spec.md) says
//! which test holds which.

mod bundle;
mod hooks;
mod lifecycle;
mod linux;
mod mounts;
mod namespaces;
mod process;
mod seccomp;
mod valid;
