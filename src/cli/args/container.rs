//! Verbs about containers that are there already, and verbs with operands only.

use clap::Args;

use crate::cli::value;

/// `attach`.
#[derive(Debug, Args)]
pub struct Attach {
    /// Override the key sequence for detaching a container
    #[arg(long, value_name = "string")]
    pub detach_keys: Option<String>,
    /// Do not attach STDIN
    #[arg(long)]
    pub no_stdin: bool,
    /// Proxy all received signals to the process (default true)
    #[arg(long, default_value = "true")]
    pub sig_proxy: bool,
    #[arg(hide = true)]
    pub operands: Vec<String>,
}

/// `exec`.
#[derive(Debug, Args)]
pub struct Exec {
    /// Detached mode: run command in the background
    #[arg(short, long)]
    pub detach: bool,
    /// Override the key sequence for detaching a container
    #[arg(long, value_name = "string")]
    pub detach_keys: Option<String>,
    /// Set environment variables
    #[arg(short, long, value_name = "list", value_parser = value::env)]
    pub env: Vec<String>,
    /// Read in a file of environment variables
    #[arg(long, value_name = "list")]
    pub env_file: Vec<String>,
    /// Keep STDIN open even if not attached
    #[arg(short, long)]
    pub interactive: bool,
    /// Give extended privileges to the command
    #[arg(long)]
    pub privileged: bool,
    /// Allocate a pseudo-TTY
    #[arg(short, long)]
    pub tty: bool,
    /// Username or UID (format: "<name|uid>[:<group|gid>]")
    #[arg(short, long, value_name = "string")]
    pub user: Option<String>,
    /// Working directory inside the container
    #[arg(short, long, value_name = "string")]
    pub workdir: Option<String>,
    #[arg(hide = true, trailing_var_arg = true)]
    pub operands: Vec<String>,
}

/// `start`.
#[derive(Debug, Args)]
pub struct Start {
    /// Attach STDOUT/STDERR and forward signals
    #[arg(short, long)]
    pub attach: bool,
    /// Override the key sequence for detaching a container
    #[arg(long, value_name = "string")]
    pub detach_keys: Option<String>,
    /// Attach container's STDIN
    #[arg(short, long)]
    pub interactive: bool,
    #[arg(hide = true)]
    pub operands: Vec<String>,
}

/// `stop` and `restart`.
#[derive(Debug, Args)]
pub struct Stop {
    /// Signal to send to the container
    #[arg(short, long, value_name = "string")]
    pub signal: Option<String>,
    /// Seconds to wait before killing the container
    #[arg(short, long, alias = "time", value_name = "int", value_parser = value::int)]
    pub timeout: Option<i64>,
    #[arg(hide = true)]
    pub operands: Vec<String>,
}

/// `kill`.
#[derive(Debug, Args)]
pub struct Kill {
    /// Signal to send to the container
    #[arg(
        short,
        long,
        value_name = "string",
        default_value = "KILL",
        hide_default_value = true
    )]
    pub signal: String,
    #[arg(hide = true)]
    pub operands: Vec<String>,
}

/// Verbs with operands only: `pause`, `unpause`, `wait`, `rename`, `tag`.
#[derive(Debug, Args)]
pub struct Plain {
    #[arg(hide = true)]
    pub operands: Vec<String>,
}

/// `export`.
#[derive(Debug, Args)]
pub struct Export {
    /// Write to a file, instead of STDOUT
    #[arg(short, long, value_name = "string")]
    pub output: Option<String>,
    #[arg(hide = true)]
    pub operands: Vec<String>,
}

/// `cp`.
#[derive(Debug, Args)]
pub struct Cp {
    /// Archive mode (copy all uid/gid information)
    #[arg(short, long)]
    pub archive: bool,
    /// Always follow symbol link in SRC_PATH
    #[arg(short = 'L', long)]
    pub follow_link: bool,
    /// Suppress progress output during copy. Progress output is automatically suppressed if no terminal is attached
    #[arg(short, long)]
    pub quiet: bool,
    #[arg(hide = true)]
    pub operands: Vec<String>,
}

/// `commit`.
#[derive(Debug, Args)]
pub struct Commit {
    /// Author (e.g., "John Hannibal Smith <hannibal@a-team.com>")
    #[arg(short, long, value_name = "string")]
    pub author: Option<String>,
    /// Apply Dockerfile instruction to the created image
    #[arg(short, long, value_name = "list")]
    pub change: Vec<String>,
    /// Commit message
    #[arg(short, long, value_name = "string")]
    pub message: Option<String>,
    /// Do not pause the container during commit
    #[arg(long)]
    pub no_pause: bool,
    /// Pause container during commit (default true)
    #[arg(short, long, default_value = "true")]
    pub pause: bool,
    #[arg(hide = true)]
    pub operands: Vec<String>,
}

/// `top`: what follows the container is for ps.
#[derive(Debug, Args)]
pub struct Top {
    #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub operands: Vec<String>,
}

/// `container prune`.
#[derive(Debug, Args)]
pub struct PruneContainers {
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

/// `rm`.
#[derive(Debug, Args)]
pub struct Rm {
    /// Force the removal of a running container (uses SIGKILL)
    #[arg(short, long)]
    pub force: bool,
    /// Remove the specified link
    #[arg(short, long)]
    pub link: bool,
    /// Remove anonymous volumes associated with the container
    #[arg(short, long)]
    pub volumes: bool,
    #[arg(hide = true)]
    pub operands: Vec<String>,
}

/// `ps`.
#[derive(Debug, Args)]
pub struct Ps {
    /// Show all containers (default shows just running)
    #[arg(short, long)]
    pub all: bool,
    /// Filter output based on conditions provided
    #[arg(short, long, value_name = "filter", value_parser = value::filter)]
    pub filter: Vec<value::Filter>,
    /// Format output: 'table', 'table TEMPLATE', 'json' or a Go template
    #[arg(long, value_name = "string")]
    pub format: Option<String>,
    /// Show n last created containers (includes all states) (default -1)
    #[arg(short = 'n', long, value_name = "int", value_parser = value::int)]
    pub last: Option<i64>,
    /// Show the latest created container (includes all states)
    #[arg(short, long)]
    pub latest: bool,
    /// Don't truncate output
    #[arg(long)]
    pub no_trunc: bool,
    /// Only display container IDs
    #[arg(short, long)]
    pub quiet: bool,
    /// Display total file sizes
    #[arg(short, long)]
    pub size: bool,
    #[arg(hide = true)]
    pub operands: Vec<String>,
}

/// `logs`.
#[derive(Debug, Args)]
pub struct Logs {
    /// Show extra details provided to logs
    #[arg(long)]
    pub details: bool,
    /// Follow log output
    #[arg(short, long)]
    pub follow: bool,
    /// Show logs since timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)
    #[arg(long, value_name = "string")]
    pub since: Option<String>,
    /// Number of lines to show from the end of the logs (default "all")
    #[arg(short = 'n', long, value_name = "string")]
    pub tail: Option<String>,
    /// Show timestamps
    #[arg(short, long)]
    pub timestamps: bool,
    /// Show logs before a timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)
    #[arg(long, value_name = "string")]
    pub until: Option<String>,
    #[arg(hide = true)]
    pub operands: Vec<String>,
}

/// `inspect`, `container inspect`, `image inspect`.
#[derive(Debug, Args)]
pub struct Inspect {
    /// Format output: 'json' or a Go template
    #[arg(short, long, value_name = "string")]
    pub format: Option<String>,
    /// Display total file sizes if the type is container
    #[arg(short, long)]
    pub size: bool,
    /// Only inspect objects of the given type
    #[arg(long = "type", value_name = "string")]
    pub kind: Option<String>,
    #[arg(hide = true)]
    pub operands: Vec<String>,
}

/// `stats`.
#[derive(Debug, Args)]
pub struct Stats {
    /// Show all containers (default shows just running)
    #[arg(short, long)]
    pub all: bool,
    /// Format output: 'table', 'table TEMPLATE', 'json' or a Go template
    #[arg(long, value_name = "string")]
    pub format: Option<String>,
    /// Disable streaming stats and only pull the first result
    #[arg(long)]
    pub no_stream: bool,
    /// Do not truncate output
    #[arg(long)]
    pub no_trunc: bool,
    #[arg(hide = true)]
    pub operands: Vec<String>,
}
