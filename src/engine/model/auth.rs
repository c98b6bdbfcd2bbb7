//! Who we are to a registry. Secrets never show in `Debug`, logs or events.

use std::fmt;

/// A text that is not shown.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

impl Secret {
    /// Keeps a text secret.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the request or the file that it belongs in.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Nothing is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// What to show a registry.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Auth {
    /// Nothing.
    #[default]
    Anonymous,
    /// User and password: basic authentication, or the way to a token.
    Basic {
        /// User name.
        user: String,
        /// Password or personal access token.
        password: Secret,
    },
    /// A refresh token (`identitytoken` of `config.json`; distribution spec, "OAuth2 token").
    Identity(Secret),
    /// A bearer token that is sent as it is (`registrytoken`).
    Registry(Secret),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_show() {
        let auth = Auth::Basic {
            user: "me".to_owned(),
            password: Secret::new("hunter2"),
        };
        assert!(!format!("{auth:?}").contains("hunter2"));
    }
}
