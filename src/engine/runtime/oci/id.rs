//! Names of containers: they become names of directories and cgroups.

use std::fmt;

use crate::engine::error::Error;

/// The name of an OCI container: letters, digits and `_+.-`, not beginning with a dot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Id(String);

/// Longest name of a directory (`NAME_MAX`).
const MAX: usize = 255;

/// Why a text is no name of a container.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Nothing.
    #[error("container id cannot be empty")]
    Empty,
    /// A character that is not allowed, or not there.
    #[error(
        "invalid container ID format: {0:?} has an invalid character in the container ID: it is letters, digits and _+.-, and no dot first"
    )]
    Format(String),
    /// Too long for a directory.
    #[error("invalid container ID format: it has more than {MAX} characters")]
    Long,
}

impl Id {
    /// Checks a text.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_+.-".contains(c);
        if text.is_empty() {
            Err(IdError::Empty)
        } else if text.len() > MAX {
            Err(IdError::Long)
        } else if text.starts_with('.') || !text.chars().all(allowed) {
            Err(IdError::Format(text.to_owned()))
        } else {
            Ok(Self(text.to_owned()))
        }
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Id {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        Self::parse(&text)
    }
}

impl From<Id> for String {
    fn from(id: Id) -> Self {
        id.0
    }
}

impl From<IdError> for Error {
    fn from(error: IdError) -> Self {
        Self::invalid(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_directory() {
        for good in ["a", "A-b_c+d.e", "-", "0"] {
            assert!(Id::parse(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", ".x", "a/b", "a b", "a\n", "ä", "a\0"] {
            assert!(Id::parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(Id::parse(&"x".repeat(256)), Err(IdError::Long));
    }
}
