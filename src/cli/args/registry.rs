//! Images of registries, and who one is there.

use clap::Args;

use crate::cli::value;

/// `pull`.
#[derive(Debug, Args)]
pub struct Pull {
    /// Download all tagged images in the repository
    #[arg(short, long)]
    pub all_tags: bool,
    /// Set platform if server is multi-platform capable
    #[arg(long, value_name = "string")]
    pub platform: Option<String>,
    /// Set type of progress output ("auto", "tty", "plain", "json", "quiet") (default "auto")
    #[arg(long, value_name = "string")]
    pub progress: Option<String>,
    /// Suppress verbose output
    #[arg(short, long)]
    pub quiet: bool,
    #[arg(hide = true)]
    pub operands: Vec<String>,
}

/// `push`.
#[derive(Debug, Args)]
pub struct Push {
    /// Push all tags of an image to the repository
    #[arg(short, long)]
    pub all_tags: bool,
    /// Push a platform-specific manifest as a single-platform image to the registry
    #[arg(long, value_name = "string")]
    pub platform: Option<String>,
    /// Set type of progress output ("auto", "tty", "plain", "json", "quiet") (default "auto")
    #[arg(long, value_name = "string")]
    pub progress: Option<String>,
    /// Suppress verbose output
    #[arg(short, long)]
    pub quiet: bool,
    #[arg(hide = true)]
    pub operands: Vec<String>,
}

/// `login`.
#[derive(Args)]
pub struct Login {
    /// Password or Personal Access Token (PAT)
    #[arg(short, long, value_name = "string")]
    pub password: Option<String>,
    /// Take the Password or Personal Access Token (PAT) from stdin
    #[arg(long)]
    pub password_stdin: bool,
    /// Username
    #[arg(short, long, value_name = "string")]
    pub username: Option<String>,
    #[arg(hide = true)]
    pub operands: Vec<String>,
}

/// Without the password.
impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login")
            .field("username", &self.username)
            .field("password_stdin", &self.password_stdin)
            .finish_non_exhaustive()
    }
}

/// `manifest annotate`.
#[derive(Debug, Args)]
pub struct ManifestAnnotate {
    /// Set architecture
    #[arg(long, value_name = "string")]
    pub arch: Option<String>,
    /// Set operating system
    #[arg(long, value_name = "string")]
    pub os: Option<String>,
    /// Set operating system feature
    #[arg(long, value_name = "strings")]
    pub os_features: Vec<String>,
    /// Set operating system version
    #[arg(long, value_name = "string")]
    pub os_version: Option<String>,
    /// Set architecture variant
    #[arg(long, value_name = "string")]
    pub variant: Option<String>,
    #[arg(hide = true)]
    pub operands: Vec<String>,
}

/// `manifest create`.
#[derive(Debug, Args)]
pub struct ManifestCreate {
    /// Amend an existing manifest list
    #[arg(short, long)]
    pub amend: bool,
    /// Allow communication with an insecure registry
    #[arg(long)]
    pub insecure: bool,
    #[arg(hide = true)]
    pub operands: Vec<String>,
}

/// `manifest inspect`.
#[derive(Debug, Args)]
pub struct ManifestInspect {
    /// Allow communication with an insecure registry
    #[arg(long)]
    pub insecure: bool,
    /// Output additional info including layers and platform
    #[arg(short, long)]
    pub verbose: bool,
    #[arg(hide = true)]
    pub operands: Vec<String>,
}

/// `manifest push`.
#[derive(Debug, Args)]
pub struct ManifestPush {
    /// Allow push to an insecure registry
    #[arg(long)]
    pub insecure: bool,
    /// Remove the local manifest list after push
    #[arg(short, long)]
    pub purge: bool,
    #[arg(hide = true)]
    pub operands: Vec<String>,
}

/// `image referrers`.
#[derive(Debug, Args)]
pub struct Referrers {
    /// Format output: 'table', 'table TEMPLATE', 'json' or a Go template
    #[arg(long, value_name = "string")]
    pub format: Option<String>,
    /// Don't truncate output
    #[arg(long)]
    pub no_trunc: bool,
    #[arg(hide = true)]
    pub operands: Vec<String>,
}

/// `search`.
#[derive(Debug, Args)]
pub struct Search {
    /// Filter output based on conditions provided
    #[arg(short, long, value_name = "filter", value_parser = value::filter)]
    pub filter: Vec<value::Filter>,
    /// Pretty-print search using a Go template
    #[arg(long, value_name = "string")]
    pub format: Option<String>,
    /// Max number of search results
    #[arg(long, value_name = "int", value_parser = value::int)]
    pub limit: Option<i64>,
    /// Don't truncate output
    #[arg(long)]
    pub no_trunc: bool,
    #[arg(hide = true)]
    pub operands: Vec<String>,
}
