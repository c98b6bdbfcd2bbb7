//! The engine as a whole, and what stands before a verb.

use clap::Args;

use crate::cli::value;

/// `system prune`.
#[derive(Debug, Args)]
pub struct PruneSystem {
    /// Remove all unused images not just dangling ones
    #[arg(short, long)]
    pub all: bool,
    #[arg(
        long,
        value_name = "filter",
        value_parser = value::filter,
        help = "Provide filter values (e.g. \"label=<key>=<value>\")"
    )]
    pub filter: Vec<value::Filter>,
    /// Do not prompt for confirmation
    #[arg(short, long)]
    pub force: bool,
    /// Prune anonymous volumes
    #[arg(long)]
    pub volumes: bool,
    #[arg(hide = true)]
    pub operands: Vec<String>,
}

/// `system boot`.
#[derive(Debug, Args)]
pub struct Boot {
    /// Print the systemd unit that does it at each start of the host, and do nothing
    #[arg(long)]
    pub unit: bool,
    #[arg(hide = true)]
    pub operands: Vec<String>,
}

/// `system df`.
#[derive(Debug, Args)]
pub struct Df {
    /// Format output: 'table', 'table TEMPLATE', 'json' or a Go template
    #[arg(long, value_name = "string")]
    pub format: Option<String>,
    /// Show detailed information on space usage
    #[arg(short, long)]
    pub verbose: bool,
    #[arg(hide = true)]
    pub operands: Vec<String>,
}

/// `system check`.
#[derive(Debug, Args)]
pub struct Check {
    /// Format output: 'text' or 'json'
    #[arg(long, value_name = "string")]
    pub format: Option<String>,
    /// Set type of progress output ("auto", "tty", "json", "quiet")
    #[arg(long, value_name = "string")]
    pub progress: Option<String>,
    /// Show no progress
    #[arg(short, long)]
    pub quiet: bool,
    /// Unpack and fetch again what is damaged, remove what nothing refers to
    #[arg(long)]
    pub repair: bool,
    #[arg(hide = true)]
    pub operands: Vec<String>,
}

/// `version` and `info`.
#[derive(Debug, Args)]
pub struct Formatted {
    /// Format output: 'json' or a Go template
    #[arg(short, long, value_name = "string")]
    pub format: Option<String>,
    #[arg(hide = true)]
    pub operands: Vec<String>,
}

/// `events`.
#[derive(Debug, Args)]
pub struct Events {
    /// Filter output based on conditions provided
    #[arg(short, long, value_name = "filter", value_parser = value::filter)]
    pub filter: Vec<value::Filter>,
    /// Format output: 'json' or a Go template
    #[arg(long, value_name = "string")]
    pub format: Option<String>,
    /// Show all events created since timestamp
    #[arg(long, value_name = "string")]
    pub since: Option<String>,
    /// Stream events until this timestamp
    #[arg(long, value_name = "string")]
    pub until: Option<String>,
    #[arg(hide = true)]
    pub operands: Vec<String>,
}

/// `demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// Start the containers without opening the workstation
    #[arg(short, long, alias = "no-tui")]
    pub detach: bool,
    /// Take everything away that the demo made
    #[arg(long, conflicts_with = "detach")]
    pub remove: bool,
    #[arg(hide = true)]
    pub operands: Vec<String>,
}

/// What stands before the verb.
#[derive(Debug, Args)]
pub struct Global {
    /// Location of client config files (default "~/.docker")
    #[arg(long, value_name = "string")]
    pub config: Option<String>,
    /// Enable debug mode
    #[arg(short = 'D', long)]
    pub debug: bool,
    /// Write a log to this file
    #[arg(long, value_name = "string")]
    pub log_file: Option<String>,
    /// Set the logging level ("debug", "info", "warn", "error", "fatal") (default "info")
    #[arg(short, long, value_name = "string")]
    pub log_level: Option<String>,
    /// Directory of images and containers (default "/var/lib/wharf")
    #[arg(long, value_name = "string")]
    pub root: Option<String>,
    /// Directory of live state (default "/run/wharf")
    #[arg(long, value_name = "string")]
    pub run_root: Option<String>,
    /// Print version information and quit
    #[arg(short, long)]
    pub version: bool,
    #[arg(hide = true, trailing_var_arg = true)]
    pub operands: Vec<String>,
}
