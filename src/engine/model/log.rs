//! Where a container's output goes: the driver, its options, and what an entry says of its container.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use regex::Regex;

use super::Container;

/// Who keeps the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Driver {
    /// A file of JSON lines.
    #[default]
    JsonFile,
    /// Files of our own form, which say the same in less room.
    Local,
    /// systemd's journal.
    Journald,
    /// A syslog server.
    Syslog,
    /// Nobody.
    None,
}

impl Driver {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::JsonFile,
        Self::Local,
        Self::Journald,
        Self::Syslog,
        Self::None,
    ];

    /// Docker's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::JsonFile => "json-file",
            Self::Local => "local",
            Self::Journald => "journald",
            Self::Syslog => "syslog",
            Self::None => "none",
        }
    }
}

/// Log driver and its options.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct LogConfig {
    /// The driver.
    pub driver: Driver,
    /// Rotate when the file would grow beyond this many bytes; never if `None`.
    pub max_size: Option<u64>,
    /// Files kept, the current one included; at least 1.
    pub max_file: u32,
    /// Files that were rotated out are compressed.
    pub compress: bool,
    /// `mode=non-blocking`: the process never waits for the log, which may keep this many bytes waiting and loses the rest.
    pub buffer: Option<u64>,
    /// The template of the tag; the short id if `None`.
    pub tag: Option<Tag>,
    /// Labels that entries carry.
    pub labels: Vec<String>,
    /// Environment variables that entries carry.
    pub env: Vec<String>,
    /// And labels whose names fit this regular expression.
    pub labels_regex: Option<String>,
    /// And environment variables whose names fit this one.
    pub env_regex: Option<String>,
    /// For `syslog`.
    pub syslog: SyslogConfig,
    /// The options as they were given.
    pub given: BTreeMap<String, String>,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            driver: Driver::default(),
            max_size: None,
            max_file: 1,
            compress: false,
            buffer: None,
            tag: None,
            labels: Vec::new(),
            env: Vec::new(),
            labels_regex: None,
            env_regex: None,
            syslog: SyslogConfig::default(),
            given: BTreeMap::new(),
        }
    }
}

/// A syslog server, and how it is talked to.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct SyslogConfig {
    /// The host's own if `None`.
    pub address: Option<SyslogAddress>,
    /// 0 to 23 (syslog(3)).
    pub facility: u8,
    /// What a message looks like.
    pub form: SyslogForm,
    /// For [`SyslogAddress::Tls`].
    #[serde(skip_serializing_if = "SyslogTls::is_plain")]
    pub tls: SyslogTls,
}

/// Whom to trust, and as whom to come.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct SyslogTls {
    /// Authorities besides the system's: a PEM file.
    pub authority: Option<String>,
    /// The client's certificate: a PEM file.
    pub certificate: Option<String>,
    /// Its key: a PEM file.
    pub key: Option<String>,
    /// Any certificate will do.
    pub anyhow: bool,
}

impl SyslogTls {
    /// Nothing is said: the system's authorities, and no certificate of ours.
    fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}

/// LOG_DAEMON (syslog(3)).
const DAEMON: u8 = 3;

impl Default for SyslogConfig {
    fn default() -> Self {
        Self {
            address: None,
            facility: DAEMON,
            form: SyslogForm::default(),
            tls: SyslogTls::default(),
        }
    }
}

/// Where a syslog server listens.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SyslogAddress {
    /// Datagrams to a path.
    UnixDatagram(String),
    /// A connection to a path.
    UnixStream(String),
    /// Datagrams over the network.
    Udp(SocketAddr),
    /// A connection over the network.
    Tcp(SocketAddr),
    /// One that speaks TLS.
    Tls(SocketAddr),
}

/// What a message of syslog looks like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SyslogForm {
    /// As on the host itself: RFC 3164 without the host's name.
    #[default]
    Local,
    /// RFC 3164.
    Rfc3164,
    /// RFC 5424, in whole seconds.
    Rfc5424,
    /// RFC 5424, in microseconds.
    Rfc5424Micro,
}

/// A tag's template: text with fields of the container in double braces.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Tag {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Field(Field),
}

/// What a tag may say of its container, in the words of Docker's templates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Id,
    FullId,
    Name,
    Command,
    ImageId,
    ImageFullId,
    ImageName,
    DaemonName,
}

const FIELDS: [(&str, Field); 8] = [
    (".ID", Field::Id),
    (".FullID", Field::FullId),
    (".Name", Field::Name),
    (".Command", Field::Command),
    (".ImageID", Field::ImageId),
    (".ImageFullID", Field::ImageFullId),
    (".ImageName", Field::ImageName),
    (".DaemonName", Field::DaemonName),
];

/// An action of a template that a tag cannot have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "in a tag, {0:?} is none of {{{{.ID}}}}, {{{{.FullID}}}}, {{{{.Name}}}}, {{{{.Command}}}}, {{{{.ImageID}}}}, {{{{.ImageFullID}}}}, {{{{.ImageName}}}} and {{{{.DaemonName}}}}"
)]
pub struct NoField(String);

impl TryFrom<String> for Tag {
    type Error = NoField;

    fn try_from(text: String) -> Result<Self, NoField> {
        let mut parts = Vec::new();
        let mut rest = text.as_str();
        while let Some((before, behind)) = rest.split_once("{{") {
            let unknown = || NoField(format!("{{{{{behind}"));
            let (name, after) = behind.split_once("}}").ok_or_else(unknown)?;
            let field = FIELDS.iter().find(|(known, _)| *known == name.trim());
            let (_, field) = field.ok_or_else(|| NoField(format!("{{{{{name}}}}}")))?;
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(Part::Field(*field));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self { text, parts })
    }
}

impl From<Tag> for String {
    fn from(tag: Tag) -> Self {
        tag.text
    }
}

impl Tag {
    fn fill(&self, container: &Container) -> String {
        let fill = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Field(field) => field.of(container),
        };
        self.parts.iter().map(fill).collect()
    }
}

impl Field {
    fn of(self, container: &Container) -> String {
        match self {
            Self::Id => container.id.short().to_owned(),
            Self::FullId => container.id.to_string(),
            Self::Name => container.name.clone(),
            Self::Command => {
                let config = &container.config;
                let words = config.entrypoint.iter().chain(&config.cmd);
                words.map(String::as_str).collect::<Vec<_>>().join(" ")
            }
            Self::ImageId => container.image.hex().chars().take(12).collect(),
            Self::ImageFullId => container.image.to_string(),
            Self::ImageName => container.config.image.clone(),
            Self::DaemonName => "wharf".to_owned(),
        }
    }
}

/// Names of labels or variables that entries carry.
struct Wanted<'a> {
    names: &'a [String],
    pattern: Option<Regex>,
}

impl<'a> Wanted<'a> {
    /// A pattern that is none was refused when the container was made.
    fn new(names: &'a [String], pattern: Option<&str>) -> Self {
        Self {
            names,
            pattern: pattern.and_then(|pattern| Regex::new(pattern).ok()),
        }
    }

    fn has(&self, name: &str) -> bool {
        let fits = |pattern: &Regex| pattern.is_match(name);
        self.names.iter().any(|known| known == name) || self.pattern.as_ref().is_some_and(fits)
    }
}

/// What entries say of their container.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct About {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The image as the user named it.
    pub image: String,
    /// The tag: the short id unless the user chose another.
    pub tag: String,
    /// The tag was chosen.
    pub tagged: bool,
    /// Labels and variables that the user chose.
    pub extra: BTreeMap<String, String>,
}

impl About {
    /// What is known of a container.
    #[must_use]
    pub fn of(container: &Container) -> Self {
        let log = &container.host.log;
        let mut extra = BTreeMap::new();
        let wanted = Wanted::new(&log.labels, log.labels_regex.as_deref());
        for (name, value) in &container.config.labels {
            if wanted.has(name) {
                extra.insert(name.clone(), value.clone());
            }
        }
        let wanted = Wanted::new(&log.env, log.env_regex.as_deref());
        // The last one of a name counts, as for the process.
        for entry in &container.config.env {
            if let Some((name, value)) = entry.split_once('=')
                && wanted.has(name)
            {
                extra.insert(name.to_owned(), value.to_owned());
            }
        }
        let chosen = log.tag.as_ref().map(|tag| tag.fill(container));
        Self {
            id: container.id.to_string(),
            name: container.name.clone(),
            image: container.config.image.clone(),
            tagged: chosen.is_some(),
            tag: chosen.unwrap_or_else(|| container.id.short().to_owned()),
            extra,
        }
    }

    /// The first digits of the id.
    #[must_use]
    pub fn short_id(&self) -> &str {
        self.id.get(..12).unwrap_or(&self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_text_with_fields() {
        let tag = |text: &str| Tag::try_from(text.to_owned());
        let parts = tag("a/{{.Name}}{{ .ID }}").unwrap().parts;
        let text = Part::Text("a/".to_owned());
        assert_eq!(
            parts,
            [text, Part::Field(Field::Name), Part::Field(Field::Id)]
        );
        assert_eq!(tag("").unwrap().parts, []);
        for bad in ["{{.Nmae}}", "{{.Name", "{{upper .Name}}"] {
            let error = tag(bad).unwrap_err().to_string();
            assert!(
                error.contains(bad) && error.contains("{{.ImageID}}"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_configuration_of_before_is_read() {
        let old = r#"{"driver":"json-file","max_size":1000,"max_file":2}"#;
        let config: LogConfig = serde_json::from_str(old).unwrap();
        assert_eq!(
            (config.driver, config.max_size),
            (Driver::JsonFile, Some(1000))
        );
        let tag = Some(Tag::try_from("{{.Name}}".to_owned()).unwrap());
        let config = LogConfig { tag, ..config };
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<LogConfig>(&text).unwrap(), config);
    }

    #[test]
    fn names_are_wanted_by_list_or_by_pattern() {
        let names = ["one".to_owned()];
        let wanted = Wanted::new(&names, Some("^t"));
        let has = |name| wanted.has(name);
        assert_eq!(["one", "two", "other"].map(has), [true, true, false]);
        assert!(!Wanted::new(&[], None).has("one"));
    }
}
