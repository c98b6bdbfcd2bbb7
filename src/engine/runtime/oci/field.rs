//! Reads documents of the specification and says which field is wrong, by its path: `process.rlimits[2].hard: …`.
//!
//! The usual case costs nothing: only when reading failed is the text walked again, up to the place that the parser
//! stopped at.

use std::fmt::Write;

use serde::de::{DeserializeOwned, IgnoredAny};

use crate::engine::error::{Error, Kind, Result};

/// Reads a document.
///
/// # Errors
/// [`Kind::InvalidInput`] with the field's path.
pub(super) fn read<T: DeserializeOwned>(content: &[u8]) -> Result<T> {
    serde_json::from_slice(content).map_err(|error| describe(content, &error))
}

fn describe(content: &[u8], error: &serde_json::Error) -> Error {
    let full = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let text = full.strip_suffix(&place).unwrap_or(&full);
    let (line, column) = (error.line(), error.column());
    // A number where a name should be is told as an error of syntax.
    let is_json = || serde_json::from_slice::<IgnoredAny>(content).is_ok();
    let message = if error.is_data() || is_json() {
        match path_at(content, offset(content, line, column)) {
            path if path.is_empty() => text.to_owned(),
            path => format!("{path}: {text} (line {line})"),
        }
    } else {
        format!("invalid JSON: {text} (line {line} column {column})")
    };
    Error::new(Kind::InvalidInput, message)
}

/// Bytes before a place that counts lines and columns from 1.
fn offset(content: &[u8], line: usize, column: usize) -> usize {
    let before: usize = content
        .split_inclusive(|byte| *byte == b'\n')
        .take(line.saturating_sub(1))
        .map(<[u8]>::len)
        .sum();
    before + column
}

/// One step down.
enum Step {
    Key(String),
    Index(usize),
}

/// The path of the value that ends at or contains a place of a JSON text.
fn path_at(content: &[u8], end: usize) -> String {
    let mut steps: Vec<Step> = Vec::new();
    let mut key: Option<String> = None;
    let text = content.get(..end.min(content.len())).unwrap_or_default();
    let mut at = 0;
    // A value that ends where the parser stopped is the one it stopped at; what closes there is still open for us.
    while let Some(byte) = text.get(at) {
        at += 1;
        match byte {
            b'"' => {
                let (string, length) = string_at(text.get(at..).unwrap_or_default());
                at += length;
                key = Some(string);
            }
            b':' => {
                if let (Some(Step::Key(name)), Some(string)) = (steps.last_mut(), key.take()) {
                    *name = string;
                }
            }
            b'{' => steps.push(Step::Key(String::new())),
            b'[' => steps.push(Step::Index(0)),
            b',' if at < text.len() => match steps.last_mut() {
                Some(Step::Index(number)) => *number += 1,
                Some(Step::Key(name)) => name.clear(),
                None => {}
            },
            b'}' | b']' => {
                steps.pop();
            }
            _ => {}
        }
    }
    let mut path = String::new();
    for step in steps {
        match step {
            Step::Key(name) if name.is_empty() => {}
            Step::Key(name) if path.is_empty() => path = name,
            Step::Key(name) => {
                path.push('.');
                path.push_str(&name);
            }
            Step::Index(number) => {
                let _ = write!(path, "[{number}]");
            }
        }
    }
    path
}

/// A string that begins here, without its opening quote, and how many bytes it takes with its closing one.
fn string_at(text: &[u8]) -> (String, usize) {
    let mut escaped = false;
    let end = text.iter().position(|byte| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    });
    let end = end.unwrap_or(text.len());
    let inner = text.get(..end).unwrap_or_default();
    (String::from_utf8_lossy(inner).into_owned(), end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::Spec;

    fn check(text: &str, expected: &str) {
        let error = read::<Spec>(text.as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), expected, "{text}");
    }

    #[test]
    fn the_field_that_is_wrong_is_named() {
        check(
            r#"{"ociVersion": "1.0.2", "hostname": 7, "root": {"path": "r"}}"#,
            "hostname: invalid type: integer `7`, expected a string (line 1)",
        );
        check(
            "{\"ociVersion\": \"1.0.2\",\n\"linux\": {\"resources\": {\"memory\": {\"swap\": 1, \"limit\": \"x\"}}}}",
            "linux.resources.memory.limit: invalid type: string \"x\", expected i64 (line 2)",
        );
        check(
            r#"{"ociVersion": "1.0.2", "mounts": [{"destination": "/a"}, {"destination": []}]}"#,
            "mounts[1].destination: invalid type: sequence, expected path string (line 1)",
        );
        check(
            r#"{"ociVersion": "1.0.2", "linux": {"namespaces": [{"type": 1}]}}"#,
            "linux.namespaces[0].type: expected value (line 1)",
        );
        check(
            r#"{"ociVersion": "1.0.2", "linux": {"namespaces": [{"type": "mount"}, {"type": "nosuch"}]}}"#,
            "linux.namespaces[1].type: unknown variant `nosuch`, expected one of `mount`, `cgroup`, `uts`, `ipc`, `user`, `pid`, `network`, `time` (line 1)",
        );
    }

    #[test]
    fn what_is_no_json_is_called_so() {
        check(
            "{",
            "invalid JSON: EOF while parsing an object (line 1 column 1)",
        );
        check(
            "",
            "invalid JSON: EOF while parsing a value (line 1 column 0)",
        );
    }
}
