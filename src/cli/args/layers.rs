//! Flags of `layers` and what is below it.

use std::path::PathBuf;

use clap::Args;

/// `layers`.
#[derive(Debug, Args)]
pub struct Layers {
    /// Format output: 'table', 'table TEMPLATE', 'json' or a Go template, one row for each layer
    #[arg(long, value_name = "string")]
    pub format: Option<String>,
    /// Look into it on the whole screen: the default on a terminal where no other output is asked for
    #[arg(long, conflicts_with_all = ["format", "json", "ci", "dive", "plain"])]
    pub tui: bool,
    /// Print the table, also on a terminal
    #[arg(long)]
    pub plain: bool,
    /// Print everything as one JSON document
    #[arg(long, conflicts_with_all = ["format", "ci", "dive"])]
    pub json: bool,
    /// Which platform of an archive, as "os[/arch[/variant]]" (e.g., "linux/amd64")
    #[arg(long, value_name = "string")]
    pub platform: Option<String>,
    /// Don't truncate output, and show all that is hidden
    #[arg(long)]
    pub no_trunc: bool,
    /// Check the image against rules: 0 if it keeps to them, 1 if not, 2 if that could not be told
    #[arg(long)]
    pub ci: bool,
    /// Most bytes of all layers' files (rule)
    #[arg(long, value_name = "bytes")]
    pub max_size: Option<String>,
    /// Most bytes of one layer's files (rule)
    #[arg(long, value_name = "bytes")]
    pub max_layer_size: Option<String>,
    /// Most layers (rule)
    #[arg(long, value_name = "int")]
    pub max_layers: Option<usize>,
    /// Most bytes that later layers hide (rule)
    #[arg(long, value_name = "bytes")]
    pub max_waste: Option<String>,
    /// Most bytes that later layers hide, in percent of all (rule, default 10 if there is no other)
    #[arg(long, value_name = "float")]
    pub max_waste_percent: Option<f64>,
    /// No file with set-user-ID or set-group-ID in any layer (rule)
    #[arg(long)]
    pub no_setuid: bool,
    /// The image's user must not be root (rule)
    #[arg(long)]
    pub no_root: bool,
    /// No secret in any layer, the history or the variables (rule)
    #[arg(long)]
    pub no_secrets: bool,
    /// Nothing that everybody may change, but for directories with the sticky bit (rule)
    #[arg(long)]
    pub no_world_writable: bool,
    /// Image whose layers must be the lowest of this one (rule)
    #[arg(long, value_name = "image")]
    pub base: Option<String>,
    /// File of findings that may be, "RULE PATTERN" on each line
    #[arg(long, value_name = "file")]
    pub allow: Option<String>,
    /// No path of this kind in any layer, such as '*.pem' or '/app/**/.env' (rule; may be given several times)
    #[arg(long, value_name = "glob")]
    pub forbid: Vec<String>,
    /// What the image weighed before: a document of 'wharf layers --json' (rule)
    #[arg(long, value_name = "file")]
    pub baseline: Option<PathBuf>,
    /// How much more than the baseline's bytes there may be, in percent (default 0)
    #[arg(long, value_name = "float", requires = "baseline")]
    pub max_growth: Option<f64>,
    /// Form of what --ci says: text, json, junit, sarif or github
    #[arg(long, value_name = "form", requires = "ci")]
    pub report: Option<String>,
    /// Report dive's figures, and check dive's rules with --ci
    #[arg(long)]
    pub dive: bool,
    #[command(flatten)]
    pub dive_rules: DiveRules,
    #[arg(hide = true)]
    pub operands: Vec<String>,
}

/// dive's rules, by its names.
#[derive(Debug, Args)]
pub struct DiveRules {
    /// Least efficiency, 0 to 1, or "disabled" (dive's rule, default 0.9)
    #[arg(long = "lowestEfficiency", value_name = "float")]
    pub lowest_efficiency: Option<String>,
    /// Most wasted bytes, such as 20MB, or "disabled" (dive's rule, default disabled)
    #[arg(long = "highestWastedBytes", value_name = "bytes")]
    pub highest_wasted_bytes: Option<String>,
    /// Most wasted bytes by those above the lowest layer, 0 to 1, or "disabled" (dive's rule, default 0.1)
    #[arg(long = "highestUserWastedPercent", value_name = "float")]
    pub highest_user_wasted_percent: Option<String>,
    /// File with dive's rules (default ".dive-ci", if it is there)
    #[arg(long, value_name = "file")]
    pub ci_config: Option<PathBuf>,
}

/// `dive`: its flags.
#[derive(Debug, Args)]
pub struct Dive {
    /// Where the image is: docker, podman, docker-archive, or wharf's own store
    #[arg(long, value_name = "source")]
    pub source: Option<String>,
    /// Check the image against dive's rules (also with CI=true in the environment)
    #[arg(long)]
    pub ci: bool,
    /// Write dive's document to a file, and check nothing
    #[arg(short = 'j', long, value_name = "file")]
    pub json: Option<PathBuf>,
    #[command(flatten)]
    pub rules: DiveRules,
    /// Which platform of an archive, as "os[/arch[/variant]]" (e.g., "linux/amd64")
    #[arg(long, value_name = "string")]
    pub platform: Option<String>,
    #[arg(hide = true)]
    pub operands: Vec<String>,
}

/// `layers diff`.
#[derive(Debug, Args)]
pub struct LayersDiff {
    /// Show both on the whole screen
    #[arg(long)]
    pub tui: bool,
    /// Print everything as one JSON document
    #[arg(long)]
    pub json: bool,
    /// Which platform of archives, as "os[/arch[/variant]]" (e.g., "linux/amd64")
    #[arg(long, value_name = "string")]
    pub platform: Option<String>,
    /// Don't truncate output, show all paths, and those whose time alone is different
    #[arg(long)]
    pub no_trunc: bool,
    #[arg(hide = true)]
    pub operands: Vec<String>,
}

/// `layers shared`.
#[derive(Debug, Args)]
pub struct LayersShared {
    /// Print everything as one JSON document
    #[arg(long)]
    pub json: bool,
    /// Don't truncate output, and show all layers
    #[arg(long)]
    pub no_trunc: bool,
    #[arg(hide = true)]
    pub operands: Vec<String>,
}

/// `layers squash`.
#[derive(Debug, Args)]
pub struct LayersSquash {
    /// Name and optionally a tag (format: "name:tag") of the new image
    #[arg(short, long, value_name = "string")]
    pub tag: Option<String>,
    /// Lowest layer that is merged: its number, or the beginning of its digest
    #[arg(long, value_name = "layer", default_value = "0")]
    pub from: String,
    /// Print the result as a JSON document
    #[arg(long)]
    pub json: bool,
    /// Print the new image's ID only
    #[arg(short, long)]
    pub quiet: bool,
    #[arg(hide = true)]
    pub operands: Vec<String>,
}

/// `layers findings`.
#[derive(Debug, Args)]
pub struct LayersFindings {
    /// Print everything as one JSON document
    #[arg(long)]
    pub json: bool,
    /// Which platform of an archive, as "os[/arch[/variant]]" (e.g., "linux/amd64")
    #[arg(long, value_name = "string")]
    pub platform: Option<String>,
    /// Only findings of these rules
    #[arg(long, value_name = "list")]
    pub rule: Vec<String>,
    /// File of findings that may be, "RULE PATTERN" on each line
    #[arg(long, value_name = "file")]
    pub allow: Option<String>,
    /// Don't truncate output, and show all findings
    #[arg(long)]
    pub no_trunc: bool,
    #[arg(hide = true)]
    pub operands: Vec<String>,
}
