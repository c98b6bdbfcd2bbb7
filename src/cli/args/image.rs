//! Images on this host.

use clap::Args;

use crate::cli::value;

/// `image inspect`.
#[derive(Debug, Args)]
pub struct InspectImage {
    /// Format output: 'json' or a Go template
    #[arg(short, long, value_name = "string")]
    pub format: Option<String>,
    /// Inspect a specific platform of the multi-platform image
    #[arg(long, value_name = "string")]
    pub platform: Option<String>,
    #[arg(hide = true)]
    pub operands: Vec<String>,
}

/// `load`.
#[derive(Debug, Args)]
pub struct Load {
    /// Read from tar archive file, instead of STDIN
    #[arg(short, long, value_name = "string")]
    pub input: Option<String>,
    /// Suppress the load output
    #[arg(short, long)]
    pub quiet: bool,
    /// Load only the given platform variant. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")
    #[arg(long, value_name = "string")]
    pub platform: Option<String>,
    /// Set type of progress output ("auto", "tty", "plain", "json", "quiet")
    #[arg(long, value_name = "string")]
    pub progress: Option<String>,
    #[arg(hide = true)]
    pub operands: Vec<String>,
}

/// `import`.
#[derive(Debug, Args)]
pub struct Import {
    /// Apply Dockerfile instruction to the created image
    #[arg(short, long, value_name = "list")]
    pub change: Vec<String>,
    /// Set commit message for imported image
    #[arg(short, long, value_name = "string")]
    pub message: Option<String>,
    /// Set platform of the imported image
    #[arg(long, value_name = "string")]
    pub platform: Option<String>,
    #[arg(hide = true)]
    pub operands: Vec<String>,
}

/// `save`.
#[derive(Debug, Args)]
pub struct Save {
    /// Write to a file, instead of STDOUT
    #[arg(short, long, value_name = "string")]
    pub output: Option<String>,
    /// Save only the given platform variant. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")
    #[arg(long, value_name = "string")]
    pub platform: Option<String>,
    /// Set type of progress output ("auto", "tty", "plain", "json", "quiet")
    #[arg(long, value_name = "string")]
    pub progress: Option<String>,
    #[arg(hide = true)]
    pub operands: Vec<String>,
}

/// `images`.
#[derive(Debug, Args)]
pub struct Images {
    /// Show all images (default hides intermediate images)
    #[arg(short, long)]
    pub all: bool,
    /// Show digests
    #[arg(long)]
    pub digests: bool,
    /// Filter output based on conditions provided
    #[arg(short, long, value_name = "filter", value_parser = value::filter)]
    pub filter: Vec<value::Filter>,
    /// Format output: 'table', 'table TEMPLATE', 'json' or a Go template
    #[arg(long, value_name = "string")]
    pub format: Option<String>,
    /// Don't truncate output
    #[arg(long)]
    pub no_trunc: bool,
    /// Only show image IDs
    #[arg(short, long)]
    pub quiet: bool,
    /// List multi-platform images as a tree (EXPERIMENTAL)
    #[arg(long)]
    pub tree: bool,
    #[arg(hide = true)]
    pub operands: Vec<String>,
}

/// `history`.
#[derive(Debug, Args)]
pub struct History {
    /// Format output: 'table', 'table TEMPLATE', 'json' or a Go template
    #[arg(long, value_name = "string")]
    pub format: Option<String>,
    /// Print sizes and dates in human readable format (default true)
    #[arg(short = 'H', long, default_value = "true")]
    pub human: bool,
    /// Don't truncate output
    #[arg(long)]
    pub no_trunc: bool,
    /// Only show image IDs
    #[arg(short, long)]
    pub quiet: bool,
    /// Show history for the given platform. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")
    #[arg(long, value_name = "string")]
    pub platform: Option<String>,
    #[arg(hide = true)]
    pub operands: Vec<String>,
}

/// `rmi`.
#[derive(Debug, Args)]
pub struct Rmi {
    /// Force removal of the image
    #[arg(short, long)]
    pub force: bool,
    /// Remove only the given platform variant. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")
    #[arg(long, value_name = "strings")]
    pub platform: Vec<String>,
    #[arg(hide = true)]
    pub operands: Vec<String>,
}

/// `image prune`.
#[derive(Debug, Args)]
pub struct Prune {
    /// Remove all unused images, not just dangling ones
    #[arg(short, long)]
    pub all: bool,
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
