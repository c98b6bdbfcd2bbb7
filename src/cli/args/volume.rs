//! Volumes.

use clap::Args;

use crate::cli::value;

/// `volume create`.
#[derive(Debug, Args)]
pub struct CreateVolume {
    /// Specify volume driver name (default "local")
    #[arg(short, long, value_name = "string")]
    pub driver: Option<String>,
    /// Set metadata for a volume
    #[arg(long, value_name = "list", value_parser = value::label)]
    pub label: Vec<String>,
    /// Set driver specific options
    #[arg(short, long, value_name = "map")]
    pub opt: Vec<String>,
    /// Specify volume name
    #[arg(long, value_name = "string", hide = true)]
    pub name: Option<String>,
    #[arg(hide = true)]
    pub operands: Vec<String>,
}

/// `volume ls`.
#[derive(Debug, Args)]
pub struct LsVolumes {
    /// Provide filter values (e.g. "dangling=true")
    #[arg(short, long, value_name = "filter", value_parser = value::filter)]
    pub filter: Vec<value::Filter>,
    /// Format output: 'table', 'table TEMPLATE', 'json' or a Go template
    #[arg(long, value_name = "string")]
    pub format: Option<String>,
    /// Only display volume names
    #[arg(short, long)]
    pub quiet: bool,
    #[arg(hide = true)]
    pub operands: Vec<String>,
}

/// `volume rm`.
#[derive(Debug, Args)]
pub struct RmVolumes {
    /// Force the removal of one or more volumes
    #[arg(short, long)]
    pub force: bool,
    #[arg(hide = true)]
    pub operands: Vec<String>,
}

/// `volume prune`.
#[derive(Debug, Args)]
pub struct PruneVolumes {
    /// Remove all unused volumes, not just anonymous ones
    #[arg(short, long)]
    pub all: bool,
    #[arg(
        long,
        value_name = "filter",
        value_parser = value::filter,
        help = "Provide filter values (e.g. \"label=<label>\")"
    )]
    pub filter: Vec<value::Filter>,
    /// Do not prompt for confirmation
    #[arg(short, long)]
    pub force: bool,
    #[arg(hide = true)]
    pub operands: Vec<String>,
}
