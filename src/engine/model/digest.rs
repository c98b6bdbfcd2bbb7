//! Content digests. Only SHA-256 is accepted: what is not verifiable here is not stored.

use std::fmt;
use std::str::FromStr;

/// `sha256:` and 64 lower-case hexadecimal digits (OCI image-spec, descriptor.md, "Digests").
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

/// An image's id is the digest of its configuration document.
pub type ImageId = Digest;

/// Why a text is not a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No `algorithm:` in front.
    #[error("{0:?} is not a digest (algorithm:hex)")]
    NoAlgorithm(String),
    /// An algorithm other than sha256.
    #[error("digest algorithm {0:?} is not supported (sha256 is)")]
    UnknownAlgorithm(String),
    /// Wrong length, upper case, or not hexadecimal.
    #[error("{0:?} is not 64 lower-case hexadecimal digits")]
    NotHex(String),
}

impl Digest {
    /// A digest from the hash's 32 bytes.
    #[must_use]
    pub fn from_sha256(hash: &[u8; 32]) -> Self {
        use std::fmt::Write;
        let mut text = String::with_capacity(71);
        text.push_str("sha256:");
        for byte in hash {
            let _ = write!(text, "{byte:02x}");
        }
        Self(text)
    }

    /// The 64 digits without the algorithm: safe as a file name.
    #[must_use]
    pub fn hex(&self) -> &str {
        self.0.strip_prefix("sha256:").unwrap_or(&self.0)
    }

    /// The first twelve digits.
    #[must_use]
    pub fn short(&self) -> &str {
        self.hex().get(..super::id::SHORT).unwrap_or(self.hex())
    }

    /// The whole text, `sha256:…`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Digest {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        let (algorithm, hex) = text
            .split_once(':')
            .ok_or_else(|| Error::NoAlgorithm(text.to_owned()))?;
        if algorithm != "sha256" {
            return Err(Error::UnknownAlgorithm(algorithm.to_owned()));
        }
        let valid = hex.len() == 64
            && hex
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(Error::NotHex(hex.to_owned()))
        }
    }
}

impl TryFrom<String> for Digest {
    type Error = Error;
    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_well_formed_sha256_digest_is_accepted() {
        let good = format!("sha256:{}", "0a".repeat(32));
        assert_eq!(good.parse::<Digest>().map(|d| d.to_string()), Ok(good));
        for bad in [
            "",
            "sha256:",
            "sha256:../../x",
            "md5:00",
            &format!("sha256:{}", "A".repeat(64)),
        ] {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
    }
}
