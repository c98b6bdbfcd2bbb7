//! The flags and operands of every verb, as clap types. No behaviour: values are read by `value.rs`, requests are made
//! of them by `request.rs`. The doc comments are the help texts; `WHARF_ROOT`, `WHARF_RUN_ROOT` and `WHARF_LOG_FILE` stand
//! in for three of the global flags.

use clap::Args;

use super::value;
use crate::engine::model::Mount;

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

/// What `create` and `run` share.
#[derive(Debug, Args)]
pub struct Create {
    /// Add a custom host-to-IP mapping (host:ip)
    #[arg(long, value_name = "list", value_parser = value::extra_host)]
    pub add_host: Vec<String>,
    /// Attach to STDIN, STDOUT or STDERR
    #[arg(short, long, value_name = "list", value_parser = value::stream)]
    pub attach: Vec<value::Stream>,
    /// Add Linux capabilities
    #[arg(long, value_name = "list")]
    pub cap_add: Vec<String>,
    /// Drop Linux capabilities
    #[arg(long, value_name = "list")]
    pub cap_drop: Vec<String>,
    /// Write the container ID to the file
    #[arg(long, value_name = "string")]
    pub cidfile: Option<String>,
    /// CPU shares (relative weight)
    #[arg(short, long, value_name = "int", value_parser = value::int)]
    pub cpu_shares: Option<i64>,
    /// Number of CPUs
    #[arg(long, value_name = "decimal", value_parser = value::nano_cpus)]
    pub cpus: Option<u64>,
    /// CPUs in which to allow execution (0-3, 0,1)
    #[arg(long, value_name = "string")]
    pub cpuset_cpus: Option<String>,
    /// Overwrite the default ENTRYPOINT of the image
    #[arg(long, value_name = "string")]
    pub entrypoint: Option<String>,
    /// Set environment variables
    #[arg(short, long, value_name = "list", value_parser = value::env)]
    pub env: Vec<String>,
    /// Read in a file of environment variables
    #[arg(long, value_name = "list")]
    pub env_file: Vec<String>,
    /// Expose a port or a range of ports
    #[arg(long, value_name = "list")]
    pub expose: Vec<String>,
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
    /// Logging driver for the container (json-file, none)
    #[arg(long, value_name = "string")]
    pub log_driver: Option<String>,
    /// Log driver options (max-size, max-file)
    #[arg(long, value_name = "list")]
    pub log_opt: Vec<String>,
    /// Memory limit
    #[arg(short, long, value_name = "bytes", value_parser = value::bytes)]
    pub memory: Option<u64>,
    /// Swap limit equal to memory plus swap: '-1' to enable unlimited swap
    #[arg(long, value_name = "bytes", value_parser = value::swap)]
    pub memory_swap: Option<i64>,
    /// Attach a filesystem mount to the container (type=bind, type=tmpfs)
    #[arg(long, value_name = "mount", value_parser = value::mount)]
    pub mount: Vec<Mount>,
    /// Assign a name to the container
    #[arg(long, value_name = "string")]
    pub name: Option<String>,
    /// Connect a container to a network (none, host)
    #[arg(long, visible_alias = "net", value_name = "network")]
    pub network: Vec<String>,
    /// Tune container pids limit (set -1 for unlimited)
    #[arg(long, value_name = "int", value_parser = value::int)]
    pub pids_limit: Option<i64>,
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
