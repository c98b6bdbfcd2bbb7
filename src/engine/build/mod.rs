//! Door for builds: a Dockerfile becomes a plan, a plan becomes layers. Nothing is built yet.
//!
//! It will run a step through a `RunStep` trait that the façade gives it, and so know nothing of the runtime.
