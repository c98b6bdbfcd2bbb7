//! Image references as Docker reads them: `nginx`, `user/app:1`, `host:5000/a/b@sha256:…` (distribution/reference,
//! grammar in its package documentation).

use std::fmt;
use std::str::FromStr;

use super::digest::{self, Digest};

/// The registry that a name without one means.
pub const DEFAULT_DOMAIN: &str = "docker.io";
/// The tag that a name without one means.
pub const DEFAULT_TAG: &str = "latest";
const OFFICIAL: &str = "library/";

/// A normalised reference: domain and path are always there, tag and digest if given.
#[derive(
    Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub struct Reference {
    domain: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Why a text is not a reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Nothing there.
    #[error("invalid reference format: the name is empty")]
    Empty,
    /// A capital letter in the path.
    #[error("invalid reference format: repository name ({0}) must be lowercase")]
    Uppercase(String),
    /// Longer than 255 characters.
    #[error("invalid reference format: repository name must not be more than 255 characters")]
    TooLong,
    /// 64 hexadecimal digits could be an id.
    #[error("invalid repository name ({0}), cannot specify 64-byte hexadecimal strings")]
    LooksLikeId(String),
    /// The registry part.
    #[error("invalid reference format: {0:?} is not a registry host")]
    Domain(String),
    /// One component of the path.
    #[error("invalid reference format: {0:?} is not a repository name component")]
    Component(String),
    /// The tag.
    #[error("invalid reference format: {0:?} is not a tag")]
    Tag(String),
    /// The digest.
    #[error("invalid reference format: {0}")]
    Digest(#[from] digest::Error),
}

impl Reference {
    /// Registry host and port, `docker.io` if none was given.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// Repository path within the registry, with `library/` for official images.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The tag, if one was given.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if one was given.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The same with `latest` where neither tag nor digest was given.
    #[must_use]
    pub fn with_default_tag(mut self) -> Self {
        if self.tag.is_none() && self.digest.is_none() {
            self.tag = Some(DEFAULT_TAG.to_owned());
        }
        self
    }

    /// The repository alone: without tag and digest.
    #[must_use]
    pub fn repository(&self) -> Self {
        Self {
            tag: None,
            digest: None,
            ..self.clone()
        }
    }

    /// The same with another digest.
    #[must_use]
    pub fn with_digest(mut self, digest: Digest) -> Self {
        self.digest = Some(digest);
        self
    }

    /// The repository as people write it: `busybox`, `user/app`, `host:5000/a`.
    #[must_use]
    pub fn familiar_name(&self) -> String {
        if self.domain != DEFAULT_DOMAIN {
            return format!("{}/{}", self.domain, self.path);
        }
        match self.path.strip_prefix(OFFICIAL) {
            Some(short) if !short.contains('/') => short.to_owned(),
            _ => self.path.clone(),
        }
    }

    /// The whole reference as people write it: `busybox:1`.
    #[must_use]
    pub fn familiar(&self) -> String {
        self.with_suffix(self.familiar_name())
    }

    fn with_suffix(&self, mut name: String) -> String {
        if let Some(tag) = &self.tag {
            name.push(':');
            name.push_str(tag);
        }
        if let Some(digest) = &self.digest {
            name.push('@');
            name.push_str(digest.as_str());
        }
        name
    }
}

/// The canonical form: `docker.io/library/busybox:1`.
impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.with_suffix(format!("{}/{}", self.domain, self.path)))
    }
}

impl FromStr for Reference {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        if text.is_empty() {
            return Err(Error::Empty);
        }
        let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() == 64 && text.bytes().all(is_hex) {
            return Err(Error::LooksLikeId(text.to_owned()));
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse()?)),
            None => (text, None),
        };
        // A colon after the last slash starts the tag; one before it is the registry's port.
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(check_tag(tag)?)),
            _ => (rest, None),
        };
        let (domain, path) = match name.split_once('/') {
            Some((first, path)) if names_a_host(first) => (check_domain(first)?, path.to_owned()),
            _ => (DEFAULT_DOMAIN.to_owned(), name.to_owned()),
        };
        let domain = if domain == "index.docker.io" {
            DEFAULT_DOMAIN.to_owned()
        } else {
            domain
        };
        if path.chars().any(|c| c.is_ascii_uppercase()) {
            return Err(Error::Uppercase(path));
        }
        for component in path.split('/') {
            check_component(component)?;
        }
        let path = if domain == DEFAULT_DOMAIN && !path.contains('/') {
            format!("{OFFICIAL}{path}")
        } else {
            path
        };
        if domain.len() + 1 + path.len() > 255 {
            return Err(Error::TooLong);
        }
        Ok(Self {
            domain,
            path,
            tag,
            digest,
        })
    }
}

impl TryFrom<String> for Reference {
    type Error = Error;
    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> Self {
        reference.to_string()
    }
}

fn names_a_host(first: &str) -> bool {
    first.contains(['.', ':'])
        || first == "localhost"
        || first.chars().any(|c| c.is_ascii_uppercase())
}

fn check_domain(text: &str) -> Result<String, Error> {
    let wrong = || Error::Domain(text.to_owned());
    let (host, port) = match text.strip_prefix('[') {
        // An IPv6 address in brackets.
        Some(rest) => {
            let (address, port) = rest.split_once(']').ok_or_else(wrong)?;
            if address.is_empty() || !address.chars().all(|c| c.is_ascii_hexdigit() || c == ':') {
                return Err(wrong());
            }
            ("v6", port)
        }
        None => match text.split_once(':') {
            Some((host, _)) => (host, text.get(host.len()..).unwrap_or("")),
            None => (text, ""),
        },
    };
    let label = |l: &str| {
        !l.is_empty()
            && !l.starts_with('-')
            && !l.ends_with('-')
            && l.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    let good_port = port.is_empty()
        || port
            .strip_prefix(':')
            .is_some_and(|p| !p.is_empty() && p.chars().all(|c| c.is_ascii_digit()));
    if host.split('.').all(label) && good_port {
        Ok(text.to_owned())
    } else {
        Err(wrong())
    }
}

/// `[a-z0-9]+` groups joined by `.`, `_`, `__` or any number of `-`.
fn check_component(text: &str) -> Result<(), Error> {
    let wrong = || Error::Component(text.to_owned());
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if !text.starts_with(word) || !text.ends_with(word) {
        return Err(wrong());
    }
    let separators = text.split(word).filter(|s| !s.is_empty());
    for separator in separators {
        let dashes = separator.chars().all(|c| c == '-');
        if !dashes && !matches!(separator, "." | "_" | "__") {
            return Err(wrong());
        }
    }
    Ok(())
}

fn check_tag(text: &str) -> Result<String, Error> {
    let first = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    let rest = text
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'));
    if first && rest && text.len() <= 128 {
        Ok(text.to_owned())
    } else {
        Err(Error::Tag(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_reference_is_normalised_as_docker_does() {
        for (text, canonical, familiar) in [
            ("nginx", "docker.io/library/nginx", "nginx"),
            ("user/app:1", "docker.io/user/app:1", "user/app:1"),
            ("host:5000/a/b", "host:5000/a/b", "host:5000/a/b"),
            ("localhost/x:y", "localhost/x:y", "localhost/x:y"),
            ("docker.io/library/a", "docker.io/library/a", "a"),
            ("index.docker.io/a", "docker.io/library/a", "a"),
            ("[::1]:5000/a", "[::1]:5000/a", "[::1]:5000/a"),
            ("a--b__c.d", "docker.io/library/a--b__c.d", "a--b__c.d"),
        ] {
            let parsed: Reference = text.parse().unwrap();
            assert_eq!(
                (parsed.to_string().as_str(), parsed.familiar().as_str()),
                (canonical, familiar)
            );
        }
    }

    #[test]
    fn what_docker_refuses_is_refused() {
        for text in [
            "",
            "UPPER",
            "a/UPPER",
            "a:",
            ":a",
            "a//b",
            "a/",
            "/a",
            "a___b",
            "a..b",
            "-a",
            "a@sha256:zz",
            "a:tag:tag",
            "a b",
            "../x",
            "host:port/a",
            "a:.x",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn the_canonical_form_reads_back_as_itself(text in "([a-z0-9.]{1,9}(:[0-9]{1,4})?/)?[a-z0-9]{1,8}([._-][a-z0-9]{1,4})?(/[a-z0-9]{1,5})?(:[A-Za-z0-9_.-]{1,10})?") {
            if let Ok(parsed) = text.parse::<Reference>() {
                prop_assert_eq!(parsed.to_string().parse::<Reference>().unwrap(), parsed.clone());
                prop_assert_eq!(parsed.familiar().parse::<Reference>().unwrap(), parsed);
            }
        }

        #[test]
        fn any_text_is_read_or_refused_without_a_panic(text in ".{0,40}") {
            let _ = text.parse::<Reference>();
        }
    }
}
