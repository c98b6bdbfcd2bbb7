//! Dialogs about images and registries: what they ask.

use super::{Ask, Form, Input, Kind};
use crate::app::jobs::{Extract, Request};

impl Form {
    /// Asks what to pull; `names` are offered, the most likely first.
    #[must_use]
    pub fn pull(names: Vec<String>) -> Self {
        let inputs = vec![
            Input::new("image", Kind::Reference(names), ""),
            Input::new("platform", Kind::Platform, "").or("this host's"),
        ];
        Self::new(Ask::Pull, inputs)
    }

    /// Asks where to push an image.
    #[must_use]
    pub fn push(id: String, tags: Vec<String>) -> Self {
        let proposal = tags.first().cloned().unwrap_or_default();
        let inputs = vec![Input::new("to", Kind::Reference(tags.clone()), &proposal)];
        Self::new(Ask::Push { id, tags }, inputs)
    }

    /// Asks for another name.
    #[must_use]
    pub fn tag(id: String, source: String, names: Vec<String>) -> Self {
        // Usually another tag of the same repository.
        let proposal = match source.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') && !source.starts_with("sha256:") => {
                format!("{name}:")
            }
            _ => String::new(),
        };
        let inputs = vec![Input::new("name", Kind::Reference(names), &proposal)];
        Self::new(Ask::Tag { id, source }, inputs)
    }

    /// Asks where to save images.
    #[must_use]
    pub fn save(ids: Vec<String>, names: Vec<String>) -> Self {
        let name = match (ids.as_slice(), names.first()) {
            ([_], Some(name)) => name.strip_prefix("sha256:").map_or(name.as_str(), |hex| {
                hex.split_at_checked(12).map_or(hex, |(short, _)| short)
            }),
            _ => "images",
        };
        let safe = |c: char| {
            if c.is_ascii_alphanumeric() || "-_.".contains(c) {
                c
            } else {
                '_'
            }
        };
        let name: String = name.chars().map(safe).collect();
        let inputs = vec![Input::new("file", Kind::Path, &format!("{name}.tar"))];
        Self::new(Ask::Save { ids, names }, inputs)
    }

    /// Asks where to write something of an image.
    #[must_use]
    pub fn extract(extract: Extract, proposal: &str) -> Self {
        let inputs = vec![Input::new("file", Kind::Path, proposal)];
        Self::new(Ask::Extract(Box::new(extract)), inputs)
    }

    /// Asks for an archive.
    #[must_use]
    pub fn load() -> Self {
        Self::new(Ask::Load, vec![Input::new("file", Kind::Path, "")])
    }

    /// Asks who we are.
    #[must_use]
    pub fn log_in(registry: String, then: Option<Box<Request>>) -> Self {
        let inputs = vec![
            Input::new("user", Kind::Text, ""),
            Input::new("password", Kind::Hidden, ""),
        ];
        Self::new(Ask::LogIn { registry, then }, inputs)
    }
}
