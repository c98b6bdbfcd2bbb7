//! What the administrator decided about registries, and how patient we are with them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;

use super::endpoint::{self, Endpoint, Trust};
use super::proxy::Proxies;
use crate::engine::error::{Error, Result};
use crate::engine::model::reference::DEFAULT_DOMAIN;
use crate::engine::sys::file;

/// The administrator's file, in the configuration directory.
const FILE: &str = "registries.toml";
/// Where others keep certificates of registries.
const CERTS_OF_OTHERS: [&str; 2] = ["/etc/docker/certs.d", "/etc/containers/certs.d"];

/// What of the caller's surroundings registries depend on: read once, at the door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surroundings {
    /// The directory of the administrator's files, `/etc/wharf`.
    pub config: PathBuf,
    /// Ways out of the network.
    pub proxies: Proxies,
}

impl Default for Surroundings {
    fn default() -> Self {
        Self {
            config: "/etc/wharf".into(),
            proxies: Proxies::default(),
        }
    }
}

/// Where the administrator's settings are: `registries.toml` and `certs.d/` in one directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `host`, `host:port` or `10.0.0.0/8`: registries that may be spoken to without TLS, or with a certificate that
    /// nobody vouches for. Loopback may always be spoken to without TLS.
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
    /// Ways out of the network.
    pub proxies: Proxies,
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
            proxies: Proxies::default(),
        }
    }
}

impl Settings {
    /// Reads the administrator's file, if there is one.
    ///
    /// # Errors
    /// `InvalidInput` with file and line.
    pub fn read(surroundings: &Surroundings) -> Result<Self> {
        surroundings.proxies.check()?;
        let path = surroundings.config.join(FILE);
        let mut settings = match file::read_optional(&path)? {
            Some(text) => parse(&text).map_err(|problem| problem.in_file(&path))?,
            None => Self::default(),
        };
        settings.certs.push(surroundings.config.join("certs.d"));
        settings.certs.extend(CERTS_OF_OTHERS.map(PathBuf::from));
        settings.proxies = surroundings.proxies.clone();
        Ok(settings)
    }
}

/// The file as it is written.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct Written {
    insecure: Vec<Spanned<String>>,
    max_connections: Option<Spanned<u32>>,
    max_concurrent: Option<Spanned<u32>>,
    max_attempts: Option<Spanned<u32>>,
    mirrors: BTreeMap<Spanned<String>, Vec<Spanned<String>>>,
}

/// What is wrong with the file, and on which line.
#[derive(Debug, PartialEq, Eq)]
struct Problem {
    line: usize,
    text: String,
}

impl Problem {
    fn in_file(self, path: &Path) -> Error {
        Error::invalid(format!("{}:{}: {}", path.display(), self.line, self.text))
    }
}

fn parse(bytes: &[u8]) -> Result<Settings, Problem> {
    let problem = |offset: usize, text: String| {
        let before = bytes.get(..offset).unwrap_or(bytes);
        let line = 1 + before.split(|byte| *byte == b'\n').skip(1).count();
        Problem { line, text }
    };
    let text = std::str::from_utf8(bytes)
        .map_err(|error| problem(error.valid_up_to(), "not UTF-8".to_owned()))?;
    let written: Written = toml::from_str(text).map_err(|error| {
        let words: Vec<&str> = error.message().split_whitespace().collect();
        problem(error.span().map_or(0, |span| span.start), words.join(" "))
    })?;
    let mut settings = Settings::default();
    for entry in written.insecure {
        let host = entry.get_ref();
        if !endpoint::is_network(host) && Endpoint::host(host).is_err() {
            let text =
                format!("insecure: {host:?} is not a host, host:port or network (10.0.0.0/8)");
            return Err(problem(entry.span().start, text));
        }
        settings.insecure.push(host.clone());
    }
    let number = |key: &str, written: Option<Spanned<u32>>, most: u32, usual: u32| match written {
        None => Ok(usual),
        Some(value) if (1..=most).contains(value.get_ref()) => Ok(*value.get_ref()),
        Some(value) => {
            let text = format!(
                "{key}: {} is not a number from 1 to {most}",
                value.get_ref()
            );
            Err(problem(value.span().start, text))
        }
    };
    let attempts = settings.patience.attempts;
    settings.connections = number("max-connections", written.max_connections, 256, 6)? as usize;
    settings.side_by_side = number("max-concurrent", written.max_concurrent, 64, 3)? as usize;
    settings.patience.attempts = number("max-attempts", written.max_attempts, 100, attempts)?;
    for (registry, urls) in written.mirrors {
        let at = registry.span().start;
        let registry = registry.into_inner();
        let host = Endpoint::origin(&registry)
            .map_err(|error| problem(at, format!("mirrors: {error}")))?;
        let mut mirrors = Vec::new();
        for url in urls {
            let at = url.span().start;
            let base = endpoint::mirror_url(url.get_ref())
                .map_err(|error| problem(at, format!("mirrors: {error}")))?;
            if base.scheme() == "http" && endpoint::trust(&base, &settings) == Trust::Verified {
                let host = endpoint::authority_of(&base);
                let text = format!(
                    "mirrors: {base} is without TLS: list {host:?} under insecure if it may be"
                );
                return Err(problem(at, text));
            }
            mirrors.push(base.to_string());
        }
        // Docker Hub has several names.
        let hub = Endpoint::origin(DEFAULT_DOMAIN).is_ok_and(|hub| hub.authority == host.authority);
        let registry = if hub {
            DEFAULT_DOMAIN.to_owned()
        } else {
            registry
        };
        settings.mirrors.push((registry, mirrors));
    }
    Ok(settings)
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_administrators_file_is_read() {
        let text = br#"
            insecure = ["plain.test:5000", "10.0.0.0/8"]
            max-connections = 2
            max-concurrent = 7
            max-attempts = 3

            [mirrors]
            "docker.io" = ["https://mirror.test", "http://localhost:5000/hub"]
            "quay.io" = []
        "#;
        let settings = parse(text).unwrap();
        assert_eq!(settings.insecure, ["plain.test:5000", "10.0.0.0/8"]);
        assert_eq!((settings.connections, settings.side_by_side), (2, 7));
        assert_eq!(settings.patience.attempts, 3);
        let hub = &settings.mirrors[0];
        assert_eq!(hub.0, "docker.io");
        assert_eq!(
            hub.1,
            ["https://mirror.test/", "http://localhost:5000/hub/"]
        );
        assert_eq!(parse(b"").unwrap(), Settings::default());
    }

    #[test]
    fn a_mistake_is_told_in_one_line_with_its_place() {
        for (text, line, says) in [
            ("\ninsecur = []", 2, "unknown field `insecur`"),
            ("insecure = [\n 'a',\n 'b c']", 3, "is not a host"),
            ("insecure = ['10.0.0.0/33']", 1, "is not a host"),
            ("insecure = 'a'", 1, "invalid type"),
            ("max-connections = 0", 1, "from 1 to 256"),
            ("\n\nmax-concurrent = 65", 3, "from 1 to 64"),
            ("max-attempts = -1", 1, "invalid value"),
            (
                "[mirrors]\n'docker.io' = ['mirror']",
                2,
                "is not a mirror's URL",
            ),
            (
                "[mirrors]\n'docker.io' = ['http://m.test']",
                2,
                "is without TLS",
            ),
            ("[mirrors]\n'a b' = []", 2, "is not a registry host"),
            ("[", 1, ""),
        ] {
            let problem = parse(text.as_bytes()).unwrap_err();
            assert_eq!(problem.line, line, "{text}: {}", problem.text);
            assert!(problem.text.contains(says), "{text}: {}", problem.text);
            let error = problem.in_file(Path::new("/x/registries.toml")).to_string();
            assert!(error.starts_with(&format!("/x/registries.toml:{line}: ")));
            assert!(!error.contains('\n'), "{error:?}");
        }
    }

    #[test]
    fn without_a_file_the_settings_are_the_usual_ones() {
        let dir = tempfile::tempdir().unwrap();
        let surroundings = Surroundings {
            config: dir.path().to_owned(),
            ..Surroundings::default()
        };
        let settings = Settings::read(&surroundings).unwrap();
        let first = dir.path().join("certs.d");
        assert_eq!(settings.certs[0], first);
        assert_eq!(
            Settings {
                certs: Vec::new(),
                ..settings
            },
            Settings::default()
        );
    }

    proptest! {
        #[test]
        fn no_file_breaks_the_reader(text in "[\\PC\n]{0,200}") {
            let _ = parse(text.as_bytes());
        }

        #[test]
        fn a_mirror_reads_as_it_is_written(
            host in "[a-z]{1,10}[.][a-z]{1,10}", port in 1..u16::MAX, path in "[a-z]{1,10}"
        ) {
            let mirror = format!("https://{host}:{port}/{path}");
            let settings = parse(format!("[mirrors]\n{host:?} = [{mirror:?}]").as_bytes()).unwrap();
            let read = &settings.mirrors[0];
            prop_assert_eq!(&read.0, &host);
            // A port that https has anyway goes without saying.
            prop_assert_eq!(&read.1[0].replace(":443", ""), &format!("{}/", mirror.replace(":443/", "/")).replace(":443", ""));
        }
    }
}
