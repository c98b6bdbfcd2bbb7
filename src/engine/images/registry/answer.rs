//! What registries say when they refuse, in Docker's words.

use std::time::Duration;

use oci_distribution::errors::{OciEnvelope, OciErrorCode};
use reqwest::StatusCode;

use super::Which;
use super::challenge;
use super::transport::{Answer, wished_pause};
use crate::engine::error::{Error, Kind};
use crate::engine::model::Reference;
use crate::engine::model::reference::DEFAULT_DOMAIN;

/// Most of a refusal that is read.
const LIMIT: usize = 64 << 10;

/// What was wanted.
#[derive(Debug, Clone, Copy)]
pub(super) enum About<'a> {
    /// A manifest of a repository.
    Manifest(&'a Reference, &'a Which),
    /// Something else of a repository: what, in words.
    Repository(&'a Reference, &'a str),
    /// A token for a registry.
    Token(&'a str),
    /// Credentials for a registry.
    Login(&'a str),
    /// Something else: in words.
    Other(&'a str),
}

/// A refusal as an error. It reads the answer's body.
pub(super) async fn refused(mut answer: Answer, about: &About<'_>) -> Error {
    let status = answer.status();
    let wait = wished_pause(answer.headers());
    let body = answer.body(LIMIT).await.unwrap_or_default();
    let mut causes = Vec::new();
    if status.is_client_error() {
        causes.extend(bearer_error(&answer));
    }
    causes.extend(causes_of(status, &body));
    describe(status, &causes, wait, about)
}

/// One reason: code and message.
#[derive(Debug, PartialEq)]
struct Cause {
    code: OciErrorCode,
    message: String,
    detail: String,
}

/// RFC 6750, 3.1: "The access token provided is expired …".
fn bearer_error(answer: &Answer) -> Option<Cause> {
    let challenges = challenge::of(answer.headers());
    let bearer = challenges.iter().find(|one| one.scheme == "bearer")?;
    let (code, usual) = match bearer.get("error")? {
        "invalid_token" => (OciErrorCode::Unauthorized, "authentication required"),
        "insufficient_scope" => (
            OciErrorCode::Denied,
            "requested access to the resource is denied",
        ),
        _ => return None,
    };
    let said = bearer.get("error_description").unwrap_or(usual);
    Some(Cause {
        code,
        message: said.to_owned(),
        detail: String::new(),
    })
}

/// What token servers say, one or the other.
#[derive(serde::Deserialize)]
struct Plain {
    #[serde(alias = "error_description", alias = "message", alias = "error")]
    details: String,
}

fn causes_of(status: StatusCode, body: &[u8]) -> Vec<Cause> {
    if let Ok(envelope) = serde_json::from_slice::<OciEnvelope>(body) {
        let causes = envelope.errors.into_iter().map(|error| Cause {
            code: error.code,
            message: error.message,
            detail: match error.detail {
                serde_json::Value::String(text) => text,
                _ => String::new(),
            },
        });
        return causes.collect();
    }
    let said = serde_json::from_slice::<Plain>(body);
    let code = match status {
        StatusCode::UNAUTHORIZED => OciErrorCode::Unauthorized,
        StatusCode::FORBIDDEN => OciErrorCode::Denied,
        StatusCode::TOO_MANY_REQUESTS => OciErrorCode::Toomanyrequests,
        _ => OciErrorCode::Other("UNKNOWN".to_owned()),
    };
    let message = said.ok().map(|plain| plain.details).unwrap_or_default();
    if message.is_empty() {
        return Vec::new();
    }
    vec![Cause {
        code,
        message,
        detail: String::new(),
    }]
}

fn describe(
    status: StatusCode,
    causes: &[Cause],
    wait: Option<Duration>,
    about: &About<'_>,
) -> Error {
    let first = causes.first().map(|cause| &cause.code);
    let mut text = if causes.is_empty() {
        format!("received unexpected HTTP status: {status}")
    } else {
        let lines: Vec<String> = causes.iter().map(say).collect();
        lines.join(", ")
    };
    // A short wait has been made already.
    if let Some(wait) = wait.filter(|wait| !wait.is_zero()) {
        text = format!("{text} (the registry asks to wait {})", in_words(wait));
    }
    let kind = kind_of(status, first);
    let error = |message: String| Error::new(kind, message);
    match (about, first) {
        (About::Manifest(name, which), _) if is_missing(status, first) => {
            let familiar = with_suffix(name, which);
            let text = match causes {
                [] => "manifest unknown".to_owned(),
                _ => text,
            };
            error(format!("manifest for {familiar} not found: {text}"))
        }
        (
            About::Manifest(name, _) | About::Repository(name, _),
            Some(OciErrorCode::NameUnknown),
        ) => {
            let familiar = name.familiar_name();
            error(format!("repository {familiar} not found: {text}"))
        }
        (About::Manifest(name, _), _) if kind == Kind::Denied => {
            let familiar = name.familiar_name();
            error(format!(
                "pull access denied for {familiar}, repository does not exist or may require 'wharf login': {text}"
            ))
            .with_hint(log_in(name.domain()))
        }
        (About::Manifest(name, _) | About::Repository(name, _), _)
            if matches!(kind, Kind::Denied | Kind::Unauthorized) =>
        {
            error(text).with_hint(log_in(name.domain()))
        }
        (About::Repository(_, what) | About::Other(what), _) => error(format!("{what}: {text}")),
        (About::Token(registry), _) => {
            let refused = matches!(kind, Kind::Denied | Kind::Unauthorized);
            if refused && !causes.is_empty() {
                error(text).with_hint(log_in(registry))
            } else {
                error(format!("get a token for {registry}: {text}"))
            }
        }
        (About::Login(registry), _) if causes.is_empty() => error(format!(
            "login attempt to {registry} failed with status: {status}"
        )),
        (About::Manifest(..) | About::Login(_), _) => error(text),
    }
}

/// `90 s`, `60 min`, `6 h`: rounded up, so that nobody comes back too early.
fn in_words(wait: Duration) -> String {
    match wait
        .as_secs()
        .saturating_add(u64::from(wait.subsec_nanos() > 0))
    {
        seconds @ ..120 => format!("{seconds} s"),
        seconds @ ..7200 => format!("{} min", seconds.div_ceil(60)),
        seconds => format!("{} h", seconds.div_ceil(3600)),
    }
}

fn log_in(registry: &str) -> String {
    if registry == DEFAULT_DOMAIN {
        "log in first: wharf login".to_owned()
    } else {
        format!("log in first: wharf login {registry}")
    }
}

fn is_missing(status: StatusCode, code: Option<&OciErrorCode>) -> bool {
    let unknown = matches!(
        code,
        Some(OciErrorCode::ManifestUnknown | OciErrorCode::NotFound)
    );
    unknown || (status == StatusCode::NOT_FOUND && code != Some(&OciErrorCode::NameUnknown))
}

fn kind_of(status: StatusCode, code: Option<&OciErrorCode>) -> Kind {
    match code {
        Some(OciErrorCode::Unauthorized) => return Kind::Unauthorized,
        Some(OciErrorCode::Denied) => return Kind::Denied,
        Some(OciErrorCode::Unsupported) => return Kind::Unsupported,
        Some(OciErrorCode::Toomanyrequests) => return Kind::Unavailable,
        _ => {}
    }
    match status.as_u16() {
        401 => Kind::Unauthorized,
        403 => Kind::Denied,
        404 => Kind::NotFound,
        405 => Kind::Unsupported,
        408 | 429 | 500.. => Kind::Unavailable,
        409 | 416 => Kind::Conflict,
        _ => Kind::InvalidInput,
    }
}

/// `manifest unknown: manifest unknown`: the code in words, then what the registry says.
fn say(cause: &Cause) -> String {
    let code = match serde_json::to_value(&cause.code) {
        Ok(serde_json::Value::String(code)) => code.replace('_', " ").to_lowercase(),
        _ => String::new(),
    };
    let said = if cause.message.is_empty() {
        cause.detail.as_str()
    } else {
        cause.message.as_str()
    };
    // One line, whatever the registry sends.
    let said: Vec<&str> = said.split_whitespace().collect();
    if said.is_empty() {
        return code;
    }
    let said = said.join(" ");
    let short: String = said.chars().filter(|c| !c.is_control()).take(500).collect();
    format!("{code}: {short}")
}

/// `host:5000/a/b:1`.
pub(super) fn with_suffix(name: &Reference, which: &Which) -> String {
    match which {
        Which::Tag(tag) => format!("{}:{tag}", name.familiar_name()),
        Which::Digest(digest) => format!("{}@{digest}", name.familiar_name()),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    #[test]
    fn a_wait_is_rounded_up() {
        for (millis, expected) in [
            (1, "1 s"),
            (119_000, "119 s"),
            (120_000, "2 min"),
            (3_600_500, "61 min"),
            (7_200_000, "2 h"),
            (21_600_001, "7 h"),
        ] {
            assert_eq!(in_words(Duration::from_millis(millis)), expected);
        }
    }

    /// What is said of an answer.
    pub(crate) fn described(status: u16, body: &[u8], about: &About<'_>) -> Error {
        let status = StatusCode::from_u16(status).unwrap();
        describe(status, &causes_of(status, body), None, about)
    }
}
