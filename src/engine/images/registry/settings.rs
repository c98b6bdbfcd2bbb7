//! What the administrator decided about registries, and how patient we are with them.

use std::path::PathBuf;
use std::time::Duration;

/// Where the administrator's settings are: `registries.toml` and `certs.d/` in one directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `host` or `host:port` of registries that may be spoken to without TLS, or with a certificate that nobody vouches
    /// for. Loopback may always be spoken to without TLS.
    pub insecure: Vec<String>,
    /// Mirrors of a registry, tried in order before itself, for pulls only: registry, then base URLs.
    pub mirrors: Vec<(String, Vec<String>)>,
    /// Most connections to one registry at a time.
    pub connections: usize,
    /// Layers that are pulled or pushed side by side.
    pub side_by_side: usize,
    /// Directories with `<host[:port]>/{*.crt,*.cert,*.key}` (Docker's `certs.d`), in order of preference.
    pub certs: Vec<PathBuf>,
    /// How long to go on with a registry that does not answer well.
    pub patience: Patience,
    /// Where host names are looked up.
    pub names: Names,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            insecure: Vec::new(),
            mirrors: Vec::new(),
            connections: 6,
            side_by_side: 3,
            certs: Vec::new(),
            patience: Patience::default(),
            names: Names::default(),
        }
    }
}

/// How long to go on with a registry that does not answer well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Times that one request is sent in all.
    pub attempts: u32,
    /// First pause between two attempts; it doubles each time, and a part of it is chance.
    pub pause: Duration,
    /// Longest pause, also if the registry asks for a longer one (`Retry-After`): then it has failed.
    pub longest: Duration,
    /// Time to connect, with name look-up and TLS.
    pub connect: Duration,
    /// Time without a single byte after which a connection counts as broken.
    pub stall: Duration,
    /// Time that a registry may think about a blob that it has in full.
    pub commit: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            attempts: 5,
            pause: Duration::from_millis(500),
            longest: Duration::from_mins(1),
            connect: Duration::from_secs(15),
            stall: Duration::from_secs(30),
            commit: Duration::from_mins(5),
        }
    }
}

/// The files that say which address a host name has. glibc's look-up cannot be part of a static binary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// hosts(5).
    pub hosts: PathBuf,
    /// resolv.conf(5).
    pub resolv: PathBuf,
}

impl Default for Names {
    fn default() -> Self {
        Self {
            hosts: "/etc/hosts".into(),
            resolv: "/etc/resolv.conf".into(),
        }
    }
}
