//! Door for networks: bridges, addresses, ports, names. Until then a container has its own loopback or the host's
//! network (docs/adr/0007), and that is the runtime's work.
