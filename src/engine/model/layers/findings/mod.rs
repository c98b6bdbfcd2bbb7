//! What should be known of an image before it ships: secrets in any layer, also where a later one hides them, rights that
//! are too wide, what need not be in it. Each finding names a layer, a path, and what to do.

pub mod allow;
mod look;
pub mod nature;
pub mod secrets;
#[cfg(test)]
mod tests;

use std::collections::HashSet;

use super::diff::At;
use super::explored::Explored;
use super::tree::LayerId;
use nature::Nature;
use secrets::{Hit, What};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// Whoever has the image has what they must not have.
    High,
    /// Somebody should look at it.
    Medium,
    /// It could be better.
    Low,
}

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    /// A private key.
    PrivateKey,
    /// A token of a known service.
    Token,
    /// A password or token for a registry, an index or a host.
    Credentials,
    /// A variable of a file whose value is secret.
    Password,
    /// A secret in the image's variables.
    EnvSecret,
    /// A secret in an instruction.
    HistorySecret,
    /// A file of variables, `.env`.
    EnvFile,
    /// What was typed into a shell.
    ShellHistory,
    /// The history of version control.
    VersionControl,
    /// A file that runs as its owner or group.
    Setuid,
    /// What everybody may change.
    WorldWritable,
    /// The image runs as root.
    RootUser,
    /// Nothing says whether it works.
    NoHealthcheck,
    /// Its base is another one tomorrow.
    LatestBase,
    /// Files of a user or group that has no name in it.
    UnknownOwner,
    /// What a package manager keeps.
    PackageCache,
    /// Temporary files and logs.
    Temporary,
    /// The same content again.
    Duplicate,
}

/// Something that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// By which rule.
    pub rule: Rule,
    /// How bad it is.
    pub severity: Severity,
    /// The file or directory, without a slash in front; `None`: it is in the configuration.
    pub path: Option<Vec<u8>>,
    /// The layer that has it.
    pub layer: Option<LayerId>,
    /// The layer that hides it: it can be read in the image all the same.
    pub hidden: Option<LayerId>,
    /// The line in the file.
    pub line: Option<u64>,
    /// What it is; never a secret itself.
    pub detail: String,
    /// How many files it is about.
    pub files: usize,
    /// Bytes that the file system shows and need not.
    pub bytes: u64,
    /// What to do.
    pub advice: &'static str,
}

/// What files say, which no index knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Secrets: layer, path and what is there.
    pub hits: Vec<(LayerId, Vec<u8>, Hit)>,
    /// `/etc/passwd` as the image shows it.
    pub passwd: Option<Vec<u8>>,
    /// `/etc/group` as the image shows it.
    pub group: Option<Vec<u8>>,
}

/// Everything about a rule but how it is found.
struct About {
    rule: Rule,
    name: &'static str,
    severity: Severity,
    advice: &'static str,
}

const fn about(rule: Rule, name: &'static str, severity: Severity, advice: &'static str) -> About {
    About {
        rule,
        name,
        severity,
        advice,
    }
}

const MOUNT: &str = "take it out of every layer and out of use; give it to the build with RUN --mount=type=secret, to the container when it runs";

const RULES: &[About] = &[
    about(Rule::PrivateKey, "private-key", Severity::High, MOUNT),
    about(Rule::Token, "token", Severity::High, MOUNT),
    about(Rule::Credentials, "credentials", Severity::High, MOUNT),
    about(Rule::Password, "password", Severity::High, MOUNT),
    about(
        Rule::EnvSecret,
        "env-secret",
        Severity::High,
        "give it to the container when it runs (-e, --env-file, a mounted file), not to the image",
    ),
    about(
        Rule::HistorySecret,
        "history-secret",
        Severity::High,
        "everybody reads the history: use RUN --mount=type=secret instead of ARG, ENV and arguments",
    ),
    about(
        Rule::EnvFile,
        "env-file",
        Severity::Medium,
        "name it in .dockerignore, and give variables to the container when it runs",
    ),
    about(
        Rule::ShellHistory,
        "shell-history",
        Severity::Medium,
        "build from a Dockerfile, not from a shell; remove it in the layer that has it",
    ),
    about(
        Rule::VersionControl,
        "version-control",
        Severity::Medium,
        "name it in .dockerignore: it has every version of every file",
    ),
    about(
        Rule::Setuid,
        "setuid",
        Severity::Low,
        "RUN chmod a-s where nobody needs it, in the layer that has it",
    ),
    about(
        Rule::WorldWritable,
        "world-writable",
        Severity::Medium,
        "chmod o-w, or +t for a directory that all write to; COPY --chmod",
    ),
    about(
        Rule::RootUser,
        "root-user",
        Severity::Medium,
        "USER with a user of its own, by number",
    ),
    about(
        Rule::NoHealthcheck,
        "no-healthcheck",
        Severity::Low,
        "HEALTHCHECK CMD what asks the program whether it works",
    ),
    about(
        Rule::LatestBase,
        "latest-base",
        Severity::Low,
        "FROM name:version@sha256:digest",
    ),
    about(
        Rule::UnknownOwner,
        "unknown-owner",
        Severity::Low,
        "COPY --chown, tar --no-same-owner, or add the user",
    ),
    about(Rule::PackageCache, "package-cache", Severity::Low, ""),
    about(Rule::Temporary, "temporary", Severity::Low, ""),
    about(
        Rule::Duplicate,
        "duplicate",
        Severity::Low,
        "keep it once: ln, or COPY it to one place",
    ),
];

impl Rule {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        RULES.iter().map(|about| about.rule)
    }

    /// The rule of a name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        let found = RULES.iter().find(|about| about.name == name);
        found.map(|about| about.rule)
    }

    fn about(self) -> Option<&'static About> {
        RULES.iter().find(|about| about.rule == self)
    }

    /// Its name on the command line and in documents.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.about().map_or("", |about| about.name)
    }

    /// How bad it is, if nothing else is known.
    #[must_use]
    pub fn severity(self) -> Severity {
        self.about().map_or(Severity::Low, |about| about.severity)
    }

    /// What to do.
    #[must_use]
    pub fn advice(self) -> &'static str {
        self.about().map_or("", |about| about.advice)
    }

    /// It is about something that is secret.
    #[must_use]
    pub fn is_secret(self) -> bool {
        matches!(
            self,
            Self::PrivateKey
                | Self::Token
                | Self::Credentials
                | Self::Password
                | Self::EnvSecret
                | Self::HistorySecret
        )
    }
}

impl Severity {
    /// One word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Medium => "medium",
            Self::Low => "low",
        }
    }
}

impl Finding {
    /// What can be said of a path or of the configuration, on one line: whoever made the image wrote some of it.
    fn new(rule: Rule, detail: impl Into<String>) -> Self {
        let mut detail: String = detail.into();
        if detail.contains(char::is_control) {
            detail = detail.replace(char::is_control, " ");
        }
        Self {
            rule,
            severity: rule.severity(),
            path: None,
            layer: None,
            hidden: None,
            line: None,
            detail,
            files: 1,
            bytes: 0,
            advice: rule.advice(),
        }
    }

    /// The layer that has it and the one that hides it, `-` if it is in no layer.
    #[must_use]
    pub fn layers(&self) -> String {
        match (self.layer, self.hidden) {
            (None, _) => "-".to_owned(),
            (Some(layer), None) => layer.to_string(),
            (Some(layer), Some(hidden)) => format!("{layer}, hidden by {hidden}"),
        }
    }

    /// `/app/.env:3`, or where it is if that is no file.
    #[must_use]
    pub fn place(&self) -> String {
        let Some(path) = &self.path else {
            return match self.rule {
                Rule::HistorySecret => "history".to_owned(),
                Rule::EnvSecret => "variables".to_owned(),
                _ => "configuration".to_owned(),
            };
        };
        let path = String::from_utf8_lossy(path);
        match self.line {
            Some(line) => format!("/{path}:{line}"),
            None => format!("/{path}"),
        }
    }

    fn of_hit(image: &Explored, layer: LayerId, path: &[u8], hit: &Hit) -> Self {
        let rule = match hit.what {
            What::PrivateKey | What::EncryptedKey => Rule::PrivateKey,
            What::Token => Rule::Token,
            What::Credentials => Rule::Credentials,
            What::Password => Rule::Password,
        };
        let severity = match hit.what {
            What::EncryptedKey => Severity::Medium,
            _ => rule.severity(),
        };
        Self {
            severity,
            path: Some(path.to_vec()),
            layer: Some(layer),
            hidden: look::hidden_by(image, layer, path),
            line: Some(hit.line),
            ..Self::new(rule, hit.shown.clone())
        }
    }

    fn of_nature(nature: Nature, files: usize, bytes: u64) -> Self {
        let rule = match nature {
            Nature::PackageCache(_) => Rule::PackageCache,
            Nature::VersionControl => Rule::VersionControl,
            Nature::Temporary => Rule::Temporary,
        };
        let detail = nature.tool().unwrap_or_default();
        Self {
            files,
            bytes,
            advice: nature.advice(),
            ..Self::new(rule, detail)
        }
    }
}

/// All findings: the worst first, then by rule, layer and path.
#[must_use]
pub fn findings(image: &Explored, evidence: &Evidence) -> Vec<Finding> {
    let mut all = Vec::new();
    for (layer, path, hit) in &evidence.hits {
        all.push(Finding::of_hit(image, *layer, path, hit));
    }
    look::configuration(image, &mut all);
    look::paths(image, &mut all);
    look::owners(image, evidence, &mut all);
    look::natures(image, &mut all);
    look::duplicates(image, &mut all);
    all.sort_by(|a, b| {
        let by_rule = (a.severity, a.rule).cmp(&(b.severity, b.rule));
        by_rule
            .then(b.bytes.cmp(&a.bytes))
            .then_with(|| (a.layer, &a.path, a.line).cmp(&(b.layer, &b.path, b.line)))
    });
    all
}

/// The files that hold secrets.
#[must_use]
pub fn secret_files(image: &Explored, findings: &[Finding]) -> HashSet<At> {
    let file = |finding: &Finding| {
        let layer = finding.layer.filter(|_| finding.rule.is_secret())?;
        let path = finding.path.as_ref()?;
        let entries = image.stack.layers.get(usize::from(layer))?;
        let number = entries
            .binary_search_by(|entry| entry.path.cmp(path))
            .ok()?;
        image.stack.file_of((layer, u32::try_from(number).ok()?))
    };
    findings.iter().filter_map(file).collect()
}

/// Bytes that the image's file system shows and need not: caches, temporary files, copies. Each byte counts once.
#[must_use]
pub fn avoidable(findings: &[Finding]) -> u64 {
    findings.iter().map(|finding| finding.bytes).sum()
}
