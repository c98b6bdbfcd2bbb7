//! How a command ends badly: one line on standard error, and one in the log file if there is one, in the form that podman
//! and containerd read (`level`, `msg`, `time`). Warnings go to the log file alone if there is one: standard error is the
//! container's, too.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

use jiff::Timestamp;

use super::grammar::{GrammarError, Parsed};
use crate::engine::Error;

/// Why a command did not do what was asked.
#[derive(Debug)]
pub(super) struct Failure {
    text: String,
    code: u8,
}

impl Failure {
    /// The command line is wrong.
    pub(super) fn usage(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            code: 1,
        }
    }

    /// Whoever read our output is gone: as if SIGPIPE had ended us, and nobody is told.
    pub(super) fn reader_gone() -> Self {
        Self {
            text: String::new(),
            code: 128 + 13,
        }
    }

    /// The same with another exit code.
    pub(super) fn with_code(mut self, code: u8) -> Self {
        self.code = code;
        self
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self {
            text: line(&error),
            code: 1,
        }
    }
}

impl From<GrammarError> for Failure {
    fn from(error: GrammarError) -> Self {
        Self::usage(error.to_string())
    }
}

fn line(error: &Error) -> String {
    match error.hint() {
        Some(hint) => format!("{error}; {hint}"),
        None => error.to_string(),
    }
}

/// How a line in the log looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Format {
    #[default]
    Text,
    Json,
}

/// Where errors go besides standard error.
#[derive(Debug, Clone, Default)]
pub(super) struct Log {
    file: Option<PathBuf>,
    format: Format,
    /// With `--debug`.
    pub(super) tells_steps: bool,
}

impl Log {
    /// From `--log` and `--log-format`.
    pub(super) fn new(global: &Parsed) -> Result<Self, Failure> {
        let format = match global.value("log-format") {
            None | Some("" | "text") => Format::Text,
            Some("json") => Format::Json,
            Some(other) => {
                return Err(Failure::usage(format!("invalid log-format: {other}")));
            }
        };
        let file = match global.value("log").filter(|path| !path.is_empty()) {
            None => None,
            Some(name) if name.starts_with("journald:") || name.starts_with("syslog:") => {
                return Err(Failure::usage(format!("--log: {name} is not supported")));
            }
            Some(name) => {
                let path = name.strip_prefix("file:").unwrap_or(name);
                Some(super::absolute(path.as_ref())?)
            }
        };
        let log = Self {
            file,
            format,
            tells_steps: global.has("debug") || global.value("log-level") == Some("debug"),
        };
        // A log that cannot be written is told at once, not when there is something to write.
        if let Some(path) = &log.file {
            log.append(b"")
                .map_err(|error| Error::io(format!("--log: open {}", path.display()), error))?;
        }
        Ok(log)
    }

    /// Says why a command failed, and gives its exit code.
    pub(super) fn fail(&self, failure: &Failure) -> u8 {
        if !failure.text.is_empty() {
            self.say("error", &failure.text);
        }
        failure.code
    }

    /// Says what went wrong without keeping the command from its work.
    pub(super) fn warn(&self, error: &Error) {
        self.say("warning", &line(error));
    }

    /// Says what is done, where the errors go: in the log if there is one.
    pub(super) fn step(&self, text: &str) {
        let entry = self.entry("debug", text);
        let _ = match &self.file {
            Some(_) => self.append(entry.as_bytes()),
            None => std::io::stderr().write_all(entry.as_bytes()),
        };
    }

    fn say(&self, level: &str, text: &str) {
        // A name from outside, or what a hook has written, may hold newlines and what terminals obey; one error stays one line.
        let text = text.replace(char::is_control, " ");
        // With the level, because callers look for the word `error` in what a command says, as runc's and crun's lines have it.
        let plain = format!("wharf oci: {level}: {text}\n");
        let entry = self.entry(level, &text);
        let is_logged = self.file.is_some() && self.append(entry.as_bytes()).is_ok();
        let is_told = level == "error" || !is_logged;
        let line = match (&self.file, self.format) {
            (None, Format::Json) => entry,
            (Some(_), _) | (None, Format::Text) => plain,
        };
        if is_told {
            // Nobody is left to be told when standard error itself is closed.
            let _ = std::io::stderr().write_all(line.as_bytes());
        }
    }

    /// A line as logrus writes it.
    fn entry(&self, level: &str, text: &str) -> String {
        match self.format {
            Format::Text => format!(
                "time=\"{}\" level={level} msg={}\n",
                now(),
                serde_json::Value::from(text)
            ),
            Format::Json => format!(
                "{}\n",
                serde_json::json!({ "level": level, "msg": text, "time": now() })
            ),
        }
    }

    fn append(&self, entry: &[u8]) -> std::io::Result<()> {
        let Some(path) = &self.file else {
            return Ok(());
        };
        let mut file = OpenOptions::new().append(true).create(true).open(path)?;
        file.write_all(entry)
    }
}

/// RFC 3339, to the second, as logrus writes it.
fn now() -> String {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).map_or_else(|_| now.to_string(), |t| t.to_string())
}
