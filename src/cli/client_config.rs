//! What `config.json` of Docker's clients says besides logins: usual formats, keys, what a prune spares, and ways out of
//! the network for containers. Source: `docker(1)`, "Docker CLI configuration file properties".

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use serde::Deserialize;

use super::value::Filter;
use super::{report, value};

/// What is behind so many bytes is not read, and the file is damaged.
const LIMIT: u64 = 1 << 20;

/// What is not there says nothing.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ClientConfig {
    /// `ps` without `--format` and `--quiet`.
    pub ps_format: String,
    /// The same of `images`.
    pub images_format: String,
    /// The same of `volume ls`.
    pub volumes_format: String,
    /// The same of `network ls`.
    pub networks_format: String,
    /// The same of `stats`.
    pub stats_format: String,
    /// `--detach-keys`.
    pub detach_keys: String,
    prune_filters: Vec<String>,
    proxies: BTreeMap<String, WaysOut>,
}

#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct WaysOut {
    #[serde(rename = "httpProxy")]
    http: String,
    #[serde(rename = "httpsProxy")]
    https: String,
    #[serde(rename = "ftpProxy")]
    ftp: String,
    #[serde(rename = "noProxy")]
    none: String,
    #[serde(rename = "allProxy")]
    all: String,
}

impl ClientConfig {
    /// Reads `config.json` of a directory. A file that is damaged is told of on standard error and says nothing, as with
    /// Docker; a command that removes things must not go on without what it may spare: [`Self::strict`].
    #[must_use]
    pub fn read(directory: &Path) -> Self {
        Self::strict(directory).unwrap_or_else(|why| {
            report::complain(&format!("WARNING: {why}"));
            Self::default()
        })
    }

    /// The same, but damage is an error.
    ///
    /// # Errors
    /// One line that names the file.
    pub fn strict(directory: &Path) -> Result<Self, String> {
        let path = directory.join("config.json");
        let wrong = |why: &dyn std::fmt::Display| {
            format!("cannot read the configuration {}: {why}", path.display())
        };
        let mut content = Vec::new();
        match File::open(&path).and_then(|file| file.take(LIMIT).read_to_end(&mut content)) {
            Ok(_) if content.trim_ascii().is_empty() => Ok(Self::default()),
            Ok(_) => serde_json::from_slice(&content).map_err(|why| wrong(&why)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(wrong(&error)),
        }
    }

    /// What a prune goes by: the command line's filters, and those of the file that they do not contradict.
    ///
    /// # Errors
    /// A filter of the file that is none.
    pub fn prune_filters(&self, given: &[Filter]) -> Result<Vec<Filter>, String> {
        let mut all = given.to_vec();
        for text in &self.prune_filters {
            let filter =
                value::filter(text).map_err(|why| format!("pruneFilters of config.json: {why}"))?;
            let opposite = match filter.key.as_str() {
                "label" => "label!",
                "label!" => "label",
                _ => "",
            };
            let is_contradicted = given
                .iter()
                .any(|own| own.key == opposite && own.value == filter.value);
            if !is_contradicted {
                all.push(filter);
            }
        }
        Ok(all)
    }

    /// Variables for a new container (`proxies.default`), in both spellings; `given` is what it was told by `--env`.
    #[must_use]
    pub fn proxy_variables(&self, given: &[String]) -> Vec<String> {
        let Some(proxy) = self.proxies.get("default") else {
            return Vec::new();
        };
        let named = |name: &str| {
            given
                .iter()
                .any(|own| own.split('=').next().is_some_and(|own| own == name))
        };
        let all = [
            ("HTTP_PROXY", &proxy.http),
            ("HTTPS_PROXY", &proxy.https),
            ("FTP_PROXY", &proxy.ftp),
            ("NO_PROXY", &proxy.none),
            ("ALL_PROXY", &proxy.all),
        ];
        all.into_iter()
            .filter(|(_, value)| !value.is_empty())
            .flat_map(|(name, value)| [(name.to_owned(), value), (name.to_lowercase(), value)])
            .filter(|(name, _)| !named(name))
            .map(|(name, value)| format!("{name}={value}"))
            .collect()
    }
}

/// The format of the command line, else the usual one of the file, which is nothing to `--quiet`.
#[must_use]
pub(super) fn format_or<'a>(
    given: Option<&'a str>,
    usual: &'a str,
    quiet: bool,
) -> Option<&'a str> {
    match given {
        Some(text) if !text.is_empty() => given,
        _ if quiet || usual.is_empty() => None,
        _ => Some(usual),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Result<ClientConfig, String> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("config.json"), text).unwrap();
        ClientConfig::strict(dir.path())
    }

    #[test]
    fn a_prune_spares_what_the_file_says_unless_the_command_line_contradicts() {
        let config = config(r#"{"auths": {}, "pruneFilters": ["label!=keep", "until=24h"]}"#);
        let config = config.unwrap();
        let shown = |given: &[&str]| {
            let given: Vec<Filter> = given.iter().map(|f| value::filter(f).unwrap()).collect();
            let all = config.prune_filters(&given).unwrap();
            let all = all.iter().map(|f| format!("{}={}", f.key, f.value));
            all.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(shown(&[]), "label!=keep until=24h");
        assert_eq!(shown(&["label=a"]), "label=a label!=keep until=24h");
        assert_eq!(shown(&["label=keep"]), "label=keep until=24h");
    }

    #[test]
    fn containers_get_the_proxies_that_they_were_not_given() {
        let config = config(
            r#"{"proxies": {"default": {"httpProxy": "http://p:1", "noProxy": "localhost"}, "tcp://x": {}}}"#,
        )
        .unwrap();
        assert_eq!(
            config.proxy_variables(&["http_proxy=own".to_owned(), "NO_PROXY".to_owned()]),
            ["HTTP_PROXY=http://p:1", "no_proxy=localhost"]
        );
        assert_eq!(ClientConfig::default().proxy_variables(&[]), [""; 0]);
    }

    #[test]
    fn a_file_that_is_not_there_or_empty_says_nothing_and_damage_is_told() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(
            ClientConfig::strict(dir.path()),
            Ok(ClientConfig::default())
        );
        assert_eq!(config("\n"), Ok(ClientConfig::default()));
        assert!(config("{").unwrap_err().contains("config.json: "));
        assert!(config(r#"{"psFormat": 3}"#).is_err());
    }
}
