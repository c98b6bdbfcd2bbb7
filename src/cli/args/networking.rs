//! What a container asks of the network.

use std::net::IpAddr;

use clap::Args;

use crate::cli::networking;
use crate::engine::model::network::Attachment;

/// Part of `run` and `create`.
#[derive(Debug, Default, Args)]
pub struct Networking {
    /// Set custom DNS servers
    #[arg(long, value_name = "list", value_parser = networking::address)]
    pub dns: Vec<IpAddr>,
    /// Set DNS options
    #[arg(long, alias = "dns-opt", value_name = "list")]
    pub dns_option: Vec<String>,
    /// Set custom DNS search domains
    #[arg(long, value_name = "list", value_parser = networking::search_domain)]
    pub dns_search: Vec<String>,
    /// Expose a port or a range of ports
    #[arg(long, value_name = "list")]
    pub expose: Vec<String>,
    /// IPv4 address (e.g., 172.30.100.104)
    #[arg(long, value_name = "string")]
    pub ip: Option<String>,
    /// IPv6 address (e.g., 2001:db8::33)
    #[arg(long, value_name = "string")]
    pub ip6: Option<String>,
    /// Add link to another container
    #[arg(long, value_name = "list", value_parser = networking::link)]
    pub link: Vec<String>,
    /// Container IPv4/IPv6 link-local addresses
    #[arg(long, value_name = "list", value_parser = networking::address)]
    pub link_local_ip: Vec<IpAddr>,
    /// Container MAC address (e.g., 92:d0:c6:0a:29:33)
    #[arg(long, value_name = "string")]
    pub mac_address: Option<String>,
    /// Connect a container to a network
    #[arg(long, visible_alias = "net", value_name = "network", value_parser = networking::network)]
    pub network: Vec<Attachment>,
    /// Add network-scoped alias for the container
    #[arg(long, alias = "net-alias", value_name = "list")]
    pub network_alias: Vec<String>,
    /// Publish a container's port(s) to the host
    #[arg(short, long, value_name = "list")]
    pub publish: Vec<String>,
    /// Publish all exposed ports to random ports
    #[arg(short = 'P', long)]
    pub publish_all: bool,
}
