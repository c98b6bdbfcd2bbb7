//! Dialogs about images and registries: what they ask.

use super::{Ask, Form, Input, Kind, Problem, absolute, path_of_source};
use crate::app::Settings;
use crate::app::explorer::{Shared, Target};
use crate::app::jobs::{Extract, Request};
use crate::app::tables::Against;

/// Which of two images the typed one is.
const ORDERS: &[&str] = &["what was before", "what came after"];

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

    /// Asks which image to compare another one with; `names` are offered.
    #[must_use]
    pub fn compare(target: Target, image: Shared, names: Vec<String>) -> Self {
        let inputs = vec![
            Input::new("image", Kind::Source(names), ""),
            Input::new("it is", Kind::Switch(ORDERS), ORDERS[0]),
        ];
        Self::new(Ask::Compare(Box::new((target, image))), inputs)
    }

    /// What to compare with what, of the dialog that asks for it.
    ///
    /// # Errors
    /// What is wrong.
    #[must_use]
    pub fn against(&self, settings: &Settings) -> Option<Result<Against, Problem>> {
        let Ask::Compare(shown) = &self.ask else {
            return None;
        };
        if let Some(problem) = self.problem(settings) {
            return Some(Err(problem));
        }
        let (target, image) = shown.as_ref().clone();
        let text = self.text(0);
        // As a shell would have it.
        let (start, path) = path_of_source(text).unwrap_or(("", text));
        let path = match absolute(path, settings).filter(|_| path.starts_with('~')) {
            Some(path) => path.display().to_string(),
            None => path.to_owned(),
        };
        Some(Ok(Against {
            target,
            image,
            other: format!("{start}{path}"),
            other_first: self.text(1) == ORDERS[0],
        }))
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
