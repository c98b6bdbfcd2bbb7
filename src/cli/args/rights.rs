//! What a container may do beyond the usual, of `create` and `run`.

use clap::Args;

use crate::cli::rights;
use crate::engine::model::rights::{DeviceRequest, DeviceRule, Ulimit};

/// Users, rights and devices.
#[derive(Debug, Args)]
pub struct Rights {
    /// Add Linux capabilities
    #[arg(long, value_name = "list")]
    pub cap_add: Vec<String>,
    /// Drop Linux capabilities
    #[arg(long, value_name = "list")]
    pub cap_drop: Vec<String>,
    /// Add a host device to the container
    #[arg(long, value_name = "list")]
    pub device: Vec<String>,
    /// Add a rule to the cgroup allowed devices list
    #[arg(long, value_name = "list", value_parser = rights::device_rule)]
    pub device_cgroup_rule: Vec<DeviceRule>,
    /// GPU devices to add to the container ('all' to pass all GPUs)
    #[arg(long, value_name = "gpu-request", value_parser = rights::gpus)]
    pub gpus: Vec<DeviceRequest>,
    /// Add additional groups to join
    #[arg(long, value_name = "list")]
    pub group_add: Vec<String>,
    /// Give extended privileges to this container
    #[arg(long)]
    pub privileged: bool,
    /// Security options (apparmor, label, no-new-privileges, seccomp, systempaths, writable-cgroups)
    #[arg(long, value_name = "list")]
    pub security_opt: Vec<String>,
    /// Sysctl options
    #[arg(long, value_name = "map", value_parser = rights::sysctl)]
    pub sysctl: Vec<(String, String)>,
    /// Ulimit options
    #[arg(long, value_name = "ulimit", value_parser = rights::ulimit)]
    pub ulimit: Vec<Ulimit>,
}
