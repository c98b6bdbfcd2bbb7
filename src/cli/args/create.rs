//! What makes a container and limits it: `create`, `run`, `update`.

use clap::Args;

use crate::cli::health::Health;
use crate::cli::{mounts, value};
use crate::engine::model::{Mount, request};

/// What `create` and `run` share.
#[derive(Debug, Args)]
pub struct Create {
    /// Add a custom host-to-IP mapping (host:ip)
    #[arg(long, value_name = "list", value_parser = value::extra_host)]
    pub add_host: Vec<String>,
    /// Attach to STDIN, STDOUT or STDERR
    #[arg(short, long, value_name = "list", value_parser = value::stream)]
    pub attach: Vec<value::Stream>,
    /// Write the container ID to the file
    #[arg(long, value_name = "string")]
    pub cidfile: Option<String>,
    #[command(flatten)]
    pub limits: Limits,
    /// Overwrite the default ENTRYPOINT of the image
    #[arg(long, value_name = "string")]
    pub entrypoint: Option<String>,
    /// Set environment variables
    #[arg(short, long, value_name = "list", value_parser = value::env)]
    pub env: Vec<String>,
    /// Read in a file of environment variables
    #[arg(long, value_name = "list")]
    pub env_file: Vec<String>,
    #[command(flatten)]
    pub health: Health,
    /// Container host name
    #[arg(short = 'h', long, value_name = "string")]
    pub hostname: Option<String>,
    /// Keep STDIN open even if not attached
    #[arg(short, long)]
    pub interactive: bool,
    /// Set meta data on a container
    #[arg(short, long, value_name = "list", value_parser = value::label)]
    pub label: Vec<String>,
    /// Read in a line delimited file of labels
    #[arg(long, value_name = "list")]
    pub label_file: Vec<String>,
    /// Logging driver for the container (json-file, local, journald, syslog, none)
    #[arg(long, value_name = "string")]
    pub log_driver: Option<String>,
    /// Log driver options (max-size, max-file, compress, tag, labels, env, mode, ...)
    #[arg(long, value_name = "list")]
    pub log_opt: Vec<String>,
    /// Attach a filesystem mount to the container
    #[arg(long, value_name = "mount", value_parser = mounts::mount)]
    pub mount: Vec<Mount>,
    /// Assign a name to the container
    #[arg(long, value_name = "string")]
    pub name: Option<String>,
    #[command(flatten)]
    pub networking: super::Networking,
    /// Set platform if server is multi-platform capable
    #[arg(long, value_name = "string")]
    pub platform: Option<String>,
    /// Pull image before running ("always", "missing", "never") (default "missing")
    #[arg(long, value_name = "string")]
    pub pull: Option<String>,
    /// Suppress the pull output
    #[arg(short, long)]
    pub quiet: bool,
    /// Mount the container's root filesystem as read only
    #[arg(long)]
    pub read_only: bool,
    /// Restart policy to apply when a container exits (default "no")
    #[arg(long, value_name = "string")]
    pub restart: Option<String>,
    /// Automatically remove the container and its associated anonymous volumes when it exits
    #[arg(long)]
    pub rm: bool,
    #[command(flatten)]
    pub rights: super::Rights,
    #[command(flatten)]
    pub modes: super::Modes,
    /// Size of /dev/shm
    #[arg(long, value_name = "bytes", value_parser = value::bytes)]
    pub shm_size: Option<u64>,
    /// Signal to stop the container
    #[arg(long, value_name = "string")]
    pub stop_signal: Option<String>,
    /// Timeout (in seconds) to stop a container
    #[arg(long, value_name = "int", value_parser = value::int)]
    pub stop_timeout: Option<i64>,
    /// Mount a tmpfs directory
    #[arg(long, value_name = "list")]
    pub tmpfs: Vec<String>,
    /// Allocate a pseudo-TTY
    #[arg(short, long)]
    pub tty: bool,
    /// Username or UID (format: <name|uid>[:<group|gid>])
    #[arg(short, long, value_name = "string")]
    pub user: Option<String>,
    /// Bind mount a volume
    #[arg(short, long, value_name = "list")]
    pub volume: Vec<String>,
    /// Mount volumes from the specified container(s)
    #[arg(long, value_name = "list", value_parser = mounts::volumes_from)]
    pub volumes_from: Vec<request::VolumesFrom>,
    /// Working directory inside the container
    #[arg(short, long, value_name = "string")]
    pub workdir: Option<String>,
    #[arg(hide = true, trailing_var_arg = true)]
    pub operands: Vec<String>,
}

/// `run`.
#[derive(Debug, Args)]
pub struct Run {
    #[command(flatten)]
    pub create: Create,
    /// Run container in background and print container ID
    #[arg(short, long)]
    pub detach: bool,
    /// Override the key sequence for detaching a container
    #[arg(long, value_name = "string")]
    pub detach_keys: Option<String>,
    /// Proxy received signals to the process (default true)
    #[arg(long, default_value = "true")]
    pub sig_proxy: bool,
}

/// `update`.
#[derive(Debug, Args)]
pub struct Update {
    #[command(flatten)]
    pub limits: Limits,
    /// Restart policy to apply when a container exits
    #[arg(long, value_name = "string")]
    pub restart: Option<String>,
    #[arg(hide = true)]
    pub operands: Vec<String>,
}

/// Limits, of `create`, `run` and `update`.
#[derive(Debug, Args)]
pub struct Limits {
    /// Block IO (relative weight), between 10 and 1000, or 0 to disable (default 0)
    #[arg(long, value_name = "uint16", value_parser = value::uint16)]
    pub blkio_weight: Option<u16>,
    /// Limit CPU CFS (Completely Fair Scheduler) period
    #[arg(long, value_name = "int", value_parser = value::int)]
    pub cpu_period: Option<i64>,
    /// Limit CPU CFS (Completely Fair Scheduler) quota
    #[arg(long, value_name = "int", value_parser = value::int)]
    pub cpu_quota: Option<i64>,
    /// Limit the CPU real-time period in microseconds
    #[arg(long, value_name = "int", value_parser = value::int)]
    pub cpu_rt_period: Option<i64>,
    /// Limit the CPU real-time runtime in microseconds
    #[arg(long, value_name = "int", value_parser = value::int)]
    pub cpu_rt_runtime: Option<i64>,
    /// CPU shares (relative weight)
    #[arg(short, long, value_name = "int", value_parser = value::int)]
    pub cpu_shares: Option<i64>,
    /// Number of CPUs
    #[arg(long, value_name = "decimal", value_parser = value::nano_cpus)]
    pub cpus: Option<u64>,
    /// CPUs in which to allow execution (0-3, 0,1)
    #[arg(long, value_name = "string")]
    pub cpuset_cpus: Option<String>,
    /// MEMs in which to allow execution (0-3, 0,1)
    #[arg(long, value_name = "string")]
    pub cpuset_mems: Option<String>,
    /// Memory limit
    #[arg(short, long, value_name = "bytes", value_parser = value::bytes)]
    pub memory: Option<u64>,
    /// Memory soft limit
    #[arg(long, value_name = "bytes", value_parser = value::bytes)]
    pub memory_reservation: Option<u64>,
    /// Swap limit equal to memory plus swap: '-1' to enable unlimited swap
    #[arg(long, value_name = "bytes", value_parser = value::swap)]
    pub memory_swap: Option<i64>,
    /// Tune container pids limit (set -1 for unlimited)
    #[arg(long, value_name = "int", value_parser = value::int)]
    pub pids_limit: Option<i64>,
}
