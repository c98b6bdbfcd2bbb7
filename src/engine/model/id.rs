//! Container ids: 64 lower-case hexadecimal digits, as Docker's.

use std::fmt;

/// How many digits the short form shows.
pub const SHORT: usize = 12;

/// A container's full id.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerId(String);

/// Why a text is not a container id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a container id (64 hexadecimal digits)")]
pub struct InvalidId(pub String);

impl ContainerId {
    /// The id made of 32 random bytes. Docker never gives out an id whose short form is all digits
    /// (it could be read as a number); the caller draws again when this returns `None`.
    #[must_use]
    pub fn from_random(bytes: [u8; 32]) -> Option<Self> {
        use std::fmt::Write;
        let mut text = String::with_capacity(64);
        for byte in bytes {
            let _ = write!(text, "{byte:02x}");
        }
        let numeric = text.bytes().take(SHORT).all(|b| b.is_ascii_digit());
        (!numeric).then_some(Self(text))
    }

    /// The first twelve digits.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.get(..SHORT).unwrap_or(&self.0)
    }

    /// All 64 digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ContainerId {
    type Error = InvalidId;
    fn try_from(text: String) -> Result<Self, InvalidId> {
        let hex = text
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if text.len() == 64 && hex {
            Ok(Self(text))
        } else {
            Err(InvalidId(text))
        }
    }
}

impl From<ContainerId> for String {
    fn from(id: ContainerId) -> Self {
        id.0
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.short())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_64_lower_case_hex_digits() {
        assert!(ContainerId::try_from("a".repeat(64)).is_ok());
        assert!(ContainerId::try_from("A".repeat(64)).is_err());
        assert!(ContainerId::try_from("a".repeat(63)).is_err());
        assert!(ContainerId::try_from(String::from("../x")).is_err());
    }

    #[test]
    fn an_all_digit_short_id_is_never_given_out() {
        assert_eq!(ContainerId::from_random([0x11; 32]), None);
    }
}
