//! What connects a container with the world: bridges, addresses, firewall rules, published ports, names. The container's
//! monitor drives it (`connection.rs`); nothing here knows images, layers or the runtime.

pub mod attach;
pub mod connection;
pub mod device;
pub mod dns;
pub mod endpoints;
pub mod files;
pub mod firewall;
pub mod forwarding;
pub mod hold;
pub mod names;
pub mod pool;
pub mod relay;
pub mod sockets;
mod wire;
