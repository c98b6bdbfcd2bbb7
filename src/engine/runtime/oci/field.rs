//! Reads documents of the specification and says which field is wrong, by its path: `process.rlimits[2].hard: …`.
//!
//! The usual case costs nothing: only when reading failed is the text walked again, up to the place that the parser
//! stopped at.

use std::fmt::Write;

use serde::de::{DeserializeOwned, IgnoredAny};

use super::strict::Strict;
use crate::engine::error::{Error, Kind, Result};

/// Reads a document.
///
/// # Errors
/// [`Kind::InvalidInput`] with the field's path.
pub(super) fn read<T: DeserializeOwned>(content: &[u8]) -> Result<T> {
    from_slice(content).map_err(|error| describe(content, &error))
}

/// The same for a text that nobody has seen: places in it say nothing.
///
/// # Errors
/// As [`read`], without line and column.
pub(super) fn read_unseen<T: DeserializeOwned>(content: &[u8]) -> Result<T> {
    from_slice(content)
        .map_err(|error| Error::new(Kind::InvalidInput, field_and_reason(content, &error)))
}

fn from_slice<T: DeserializeOwned>(content: &[u8]) -> serde_json::Result<T> {
    let mut reader = serde_json::Deserializer::from_slice(content);
    let value = T::deserialize(Strict(&mut reader))?;
    reader.end()?;
    Ok(value)
}

fn describe(content: &[u8], error: &serde_json::Error) -> Error {
    let (line, column) = (error.line(), error.column());
    let what = field_and_reason(content, error);
    Error::new(
        Kind::InvalidInput,
        format!("{what} (line {line} column {column})"),
    )
}

fn field_and_reason(content: &[u8], error: &serde_json::Error) -> String {
    let (line, column) = (error.line(), error.column());
    let full = error.to_string();
    let place = format!(" at line {line} column {column}");
    let text = full.strip_suffix(&place).unwrap_or(&full);
    // A number where a name should be is told as an error of syntax.
    let is_json = || serde_json::from_slice::<IgnoredAny>(content).is_ok();
    if !error.is_data() && !is_json() {
        return format!("invalid JSON: {text}");
    }
    match path_at(content, offset(content, line, column)) {
        path if path.is_empty() => text.to_owned(),
        path => format!("{path}: {text}"),
    }
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
        assert!(error.to_string().starts_with(expected), "{text}: {error}");
    }

    #[test]
    fn the_field_that_is_wrong_is_named() {
        check(
            r#"{"ociVersion": "1.0.2", "hostname": 7, "root": {"path": "r"}}"#,
            "hostname: invalid type: integer `7`, expected a string (line 1 column ",
        );
        check(
            "{\"ociVersion\": \"1.0.2\",\n\"linux\": {\"resources\": {\"memory\": {\"swap\": 1, \"limit\": \"x\"}}}}",
            "linux.resources.memory.limit: invalid type: string \"x\", expected i64 (line 2 column ",
        );
        check(
            r#"{"ociVersion": "1.0.2", "mounts": [{"destination": "/a"}, {"destination": []}]}"#,
            "mounts[1].destination: invalid type: sequence, expected path string (line 1 column ",
        );
        check(
            r#"{"ociVersion": "1.0.2", "linux": {"namespaces": [{"type": 1}]}}"#,
            "linux.namespaces[0].type: expected value (line 1 column ",
        );
        check(
            r#"{"ociVersion": "1.0.2", "linux": {"namespaces": [{"type": "mount"}, {"type": "nosuch"}]}}"#,
            "linux.namespaces[1].type: unknown variant `nosuch`, expected one of `mount`, `cgroup`, `uts`, `ipc`, `user`, `pid`, `network`, `time` (line 1 column ",
        );
    }

    #[test]
    fn a_list_is_no_object() {
        let spec = |rest: &str| format!(r#"{{"ociVersion": "1.0.2", {rest}}}"#);
        let refused = |text: &str, field: &str| {
            let error = read::<Spec>(text.as_bytes()).unwrap_err().to_string();
            let what = format!("{field}invalid type: sequence, expected an object (line 1 column ");
            assert!(error.starts_with(&what), "{text}: {error}");
        };
        refused(r#"["1.0.2"]"#, "");
        refused(&spec(r#""root": ["r", true]"#), "root: ");
        refused(&spec(r#""process": []"#), "process: ");
        let user = r#""process": {"cwd": "/", "user": [0, 0]}"#;
        refused(&spec(user), "process.user: ");
        let limits = r#""process": {"cwd": "/", "user": {}, "rlimits": [["RLIMIT_CORE", 1, 1]]}"#;
        refused(&spec(limits), "process.rlimits[0]: ");
        refused(&spec(r#""mounts": [["/a"]]"#), "mounts[0]: ");
        let filter = r#""linux": {"seccomp": ["SCMP_ACT_ALLOW"]}"#;
        refused(&spec(filter), "linux.seccomp: ");
        // What nobody knows may be anything.
        let unknown = spec(r#""nosuch": [[1]], "linux": {"nosuch": [["\u0000"]]}"#);
        read::<Spec>(unknown.as_bytes()).unwrap();
    }

    #[test]
    fn a_nul_byte_is_in_a_field() {
        check(
            r#"{"ociVersion": "1.0.2", "process": {"cwd": "/", "user": {}, "args": ["a", "b\u0000"]}}"#,
            "process.args[1]: a NUL byte cannot be part of it (line 1 column ",
        );
        check(
            r#"{"ociVersion": "1.0.2", "mounts": [{"destination": "/a\u0000b"}]}"#,
            "mounts[0].destination: a NUL byte cannot be part of it (line 1 column ",
        );
    }

    #[test]
    fn what_is_no_json_is_called_so() {
        check(
            "{",
            "invalid JSON: EOF while parsing an object (line 1 column ",
        );
        check(
            "",
            "invalid JSON: EOF while parsing a value (line 1 column ",
        );
    }
}
