//! Networks.

use std::net::IpAddr;

use clap::Args;

use crate::cli::{networking, value};

/// `network create`.
#[derive(Debug, Default, Args)]
pub struct CreateNetwork {
    /// Enable manual container attachment
    #[arg(long)]
    pub attachable: bool,
    /// Auxiliary IPv4 or IPv6 addresses used by Network driver
    #[arg(long, value_name = "map", value_parser = networking::pair)]
    pub aux_address: Vec<(String, String)>,
    /// The network from which to copy the configuration
    #[arg(long, value_name = "string")]
    pub config_from: Option<String>,
    /// Create a configuration only network
    #[arg(long)]
    pub config_only: bool,
    /// Driver to manage the Network (default "bridge")
    #[arg(short, long, value_name = "string")]
    pub driver: Option<String>,
    /// IPv4 or IPv6 Gateway for the master subnet
    #[arg(long, value_name = "strings", value_delimiter = ',')]
    pub gateway: Vec<String>,
    /// Create swarm routing-mesh network
    #[arg(long)]
    pub ingress: bool,
    /// Restrict external access to the network
    #[arg(long)]
    pub internal: bool,
    /// Allocate container ip from a sub-range
    #[arg(long, value_name = "strings", value_delimiter = ',')]
    pub ip_range: Vec<String>,
    /// IP Address Management Driver (default "default")
    #[arg(long, value_name = "string")]
    pub ipam_driver: Option<String>,
    /// Set IPAM driver specific options
    #[arg(long, value_name = "map", value_parser = networking::pair)]
    pub ipam_opt: Vec<(String, String)>,
    /// Enable or disable IPv4 address assignment (default true)
    #[arg(long, default_value = "true", action = clap::ArgAction::SetTrue)]
    pub ipv4: bool,
    /// Enable or disable IPv6 address assignment
    #[arg(long)]
    pub ipv6: bool,
    /// Set metadata on a network
    #[arg(long, value_name = "list", value_parser = value::label)]
    pub label: Vec<String>,
    /// Set driver specific options
    #[arg(short, long, value_name = "map", value_parser = networking::pair)]
    pub opt: Vec<(String, String)>,
    /// Control the network's scope (local)
    #[arg(long, value_name = "string")]
    pub scope: Option<String>,
    /// Subnet in CIDR format that represents a network segment
    #[arg(long, value_name = "strings", value_delimiter = ',')]
    pub subnet: Vec<String>,
    #[arg(hide = true)]
    pub operands: Vec<String>,
}

/// `network ls`.
#[derive(Debug, Args)]
pub struct LsNetworks {
    /// Provide filter values (e.g. "driver=bridge")
    #[arg(short, long, value_name = "filter", value_parser = value::filter)]
    pub filter: Vec<value::Filter>,
    /// Format output: 'table', 'table TEMPLATE', 'json' or a Go template
    #[arg(long, value_name = "string")]
    pub format: Option<String>,
    /// Do not truncate the output
    #[arg(long)]
    pub no_trunc: bool,
    /// Only display network IDs
    #[arg(short, long)]
    pub quiet: bool,
    #[arg(hide = true)]
    pub operands: Vec<String>,
}

/// `network inspect`.
#[derive(Debug, Args)]
pub struct InspectNetwork {
    /// Format output: 'json' or a Go template
    #[arg(short, long, value_name = "string")]
    pub format: Option<String>,
    /// Verbose output for diagnostics
    #[arg(short, long)]
    pub verbose: bool,
    #[arg(hide = true)]
    pub operands: Vec<String>,
}

/// `network rm`.
#[derive(Debug, Args)]
pub struct RmNetworks {
    /// Do not error if the network does not exist
    #[arg(short, long)]
    pub force: bool,
    #[arg(hide = true)]
    pub operands: Vec<String>,
}

/// `network prune`.
#[derive(Debug, Args)]
pub struct PruneNetworks {
    #[arg(
        long,
        value_name = "filter",
        value_parser = value::filter,
        help = "Provide filter values (e.g. \"until=<timestamp>\")"
    )]
    pub filter: Vec<value::Filter>,
    /// Do not prompt for confirmation
    #[arg(short, long)]
    pub force: bool,
    #[arg(hide = true)]
    pub operands: Vec<String>,
}

/// `network connect`.
#[derive(Debug, Args)]
pub struct Connect {
    /// Add network-scoped alias for the container
    #[arg(long, value_name = "strings", value_delimiter = ',')]
    pub alias: Vec<String>,
    /// Driver options for the network
    #[arg(long, value_name = "strings", value_delimiter = ',', value_parser = networking::driver_option)]
    pub driver_opt: Vec<(String, String)>,
    /// Highest gw-priority provides the default gateway. Accepts positive and negative values.
    #[arg(long, value_name = "int", value_parser = value::int, allow_hyphen_values = true)]
    pub gw_priority: Option<i64>,
    /// IPv4 address (e.g., "172.30.100.104")
    #[arg(long, value_name = "string", value_parser = networking::ipv4)]
    pub ip: Option<std::net::Ipv4Addr>,
    /// IPv6 address (e.g., "2001:db8::33")
    #[arg(long, value_name = "string", value_parser = networking::ipv6)]
    pub ip6: Option<std::net::Ipv6Addr>,
    /// Add link to another container
    #[arg(long, value_name = "list", value_parser = networking::link)]
    pub link: Vec<String>,
    /// Add a link-local address for the container
    #[arg(long, value_name = "strings", value_delimiter = ',', value_parser = networking::address)]
    pub link_local_ip: Vec<IpAddr>,
    #[arg(hide = true)]
    pub operands: Vec<String>,
}

/// `network disconnect`.
#[derive(Debug, Args)]
pub struct Disconnect {
    /// Force the container to disconnect from a network
    #[arg(short, long)]
    pub force: bool,
    #[arg(hide = true)]
    pub operands: Vec<String>,
}
