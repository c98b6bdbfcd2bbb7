//! Namespaces, and what the host keeps for a container, of `create` and `run`.

use clap::Args;

use crate::cli::{modes, value};
use crate::engine::model::container::{DeviceRate, DeviceWeight};
use crate::engine::model::modes::{CgroupMode, IpcMode, PidMode, UserMode, UtsMode};

/// Which namespaces are shared.
#[derive(Debug, Args)]
pub struct Modes {
    /// Add an annotation to the container (passed through to the OCI runtime)
    #[arg(long, value_name = "map", value_parser = modes::annotation)]
    pub annotation: Vec<(String, String)>,
    /// Block IO weight (relative device weight)
    #[arg(long, value_name = "list", value_parser = modes::device_weight)]
    pub blkio_weight_device: Vec<DeviceWeight>,
    /// Optional parent cgroup for the container
    #[arg(long, value_name = "string", value_parser = modes::cgroup_parent)]
    pub cgroup_parent: Option<String>,
    /// Cgroup namespace to use (host|private)
    #[arg(long, value_name = "string")]
    pub cgroupns: Option<String>,
    /// Limit read rate (bytes per second) from a device
    #[arg(long, value_name = "list", value_parser = modes::byte_rate)]
    pub device_read_bps: Vec<DeviceRate>,
    /// Limit read rate (IO per second) from a device
    #[arg(long, value_name = "list", value_parser = modes::io_rate)]
    pub device_read_iops: Vec<DeviceRate>,
    /// Limit write rate (bytes per second) to a device
    #[arg(long, value_name = "list", value_parser = modes::byte_rate)]
    pub device_write_bps: Vec<DeviceRate>,
    /// Limit write rate (IO per second) to a device
    #[arg(long, value_name = "list", value_parser = modes::io_rate)]
    pub device_write_iops: Vec<DeviceRate>,
    /// Container NIS domain name
    #[arg(long, value_name = "string")]
    pub domainname: Option<String>,
    /// Run an init inside the container that forwards signals and reaps processes
    #[arg(long)]
    pub init: bool,
    /// IPC mode to use (none|private|shareable|host|container:<name|id>)
    #[arg(long, value_name = "string")]
    pub ipc: Option<String>,
    /// Container isolation technology (default)
    #[arg(long, value_name = "string")]
    pub isolation: Option<String>,
    /// Tune container memory swappiness (0 to 100) (default -1)
    #[arg(long, value_name = "int", value_parser = value::int)]
    pub memory_swappiness: Option<i64>,
    /// Disable OOM Killer
    #[arg(long)]
    pub oom_kill_disable: bool,
    /// Tune host's OOM preferences (-1000 to 1000)
    #[arg(long, value_name = "int", value_parser = value::int)]
    pub oom_score_adj: Option<i64>,
    /// PID namespace to use (host|container:<name|id>)
    #[arg(long, value_name = "string")]
    pub pid: Option<String>,
    /// Runtime to use for this container (wharf)
    #[arg(long, value_name = "string")]
    pub runtime: Option<String>,
    /// Storage driver options for the container (none)
    #[arg(long, value_name = "list")]
    pub storage_opt: Vec<String>,
    /// User namespace to use (host|remap|auto)
    #[arg(long, value_name = "string")]
    pub userns: Option<String>,
    /// UTS namespace to use (host)
    #[arg(long, value_name = "string")]
    pub uts: Option<String>,
    /// Optional volume driver for the container (local)
    #[arg(long, value_name = "string")]
    pub volume_driver: Option<String>,
}

impl Modes {
    /// Which namespaces were asked for.
    ///
    /// # Errors
    /// Docker's text for a word that is none.
    pub fn namespaces(&self) -> Result<crate::engine::model::Modes, String> {
        fn read<T: Default>(
            text: Option<&String>,
            parse: impl Fn(&str) -> Result<T, String>,
        ) -> Result<T, String> {
            match text.map(String::as_str) {
                None | Some("") => Ok(T::default()),
                Some(text) => parse(text),
            }
        }
        fn other(text: &str) -> Option<&str> {
            text.strip_prefix("container:").filter(|n| !n.is_empty())
        }
        let invalid = |flag: &str, what: &str| format!("--{flag}: invalid {what} mode");
        Ok(crate::engine::model::Modes {
            pid: read(self.pid.as_ref(), |text| match (text, other(text)) {
                ("host", _) => Ok(PidMode::Host),
                (_, Some(name)) => Ok(PidMode::Container(name.to_owned())),
                _ => Err(invalid("pid", "PID")),
            })?,
            ipc: read(self.ipc.as_ref(), |text| match (text, other(text)) {
                ("private", _) => Ok(IpcMode::Private),
                ("none", _) => Ok(IpcMode::None),
                ("shareable", _) => Ok(IpcMode::Shareable),
                ("host", _) => Ok(IpcMode::Host),
                (_, Some(name)) => Ok(IpcMode::Container(name.to_owned())),
                _ => Err(format!("invalid IPC mode: {text}")),
            })?,
            uts: read(self.uts.as_ref(), |text| match text {
                "host" => Ok(UtsMode::Host),
                _ => Err(invalid("uts", "UTS")),
            })?,
            users: read(self.userns.as_ref(), |text| match text {
                "host" => Ok(UserMode::Host),
                "remap" => Ok(UserMode::Remap),
                "auto" => Ok(UserMode::Auto),
                _ => Err(invalid("userns", "USER")),
            })?,
            cgroup: read(self.cgroupns.as_ref(), |text| match text {
                "private" => Ok(CgroupMode::Private),
                "host" => Ok(CgroupMode::Host),
                _ => Err(invalid("cgroupns", "CGROUP")),
            })?,
        })
    }
}
