//! `list` and `state`: what there is, and where in its life.

use super::Runtime;
use super::state::Document;
use crate::engine::error::{Attempt, Error, Kind, Result};
use crate::engine::sys::file;
use crate::engine::sys::pattern::Pattern;

impl Runtime {
    /// The state of one container.
    ///
    /// # Errors
    /// [`Kind::NotFound`].
    pub fn state(&self, id: &str) -> Result<Document> {
        self.find(id)?.document()
    }

    /// Names of all containers, whether they can be looked at or not. Where the root is not there it is empty, unless
    /// somebody has named it, as with runc.
    ///
    /// # Errors
    /// [`Kind::NotFound`]: there is no such root; what the kernel says.
    pub fn names(&self) -> Result<Vec<String>> {
        let entries = match file::list_entries(&self.root) {
            Err(error) if error.kind() == Kind::NotFound && !self.root_is_named => Vec::new(),
            other => other.attempt(|| "--root")?,
        };
        Ok(entries
            .into_iter()
            .filter_map(|(name, is_dir)| is_dir.then_some(name))
            .collect())
    }

    /// Names that an extended regular expression matches.
    ///
    /// # Errors
    /// [`Kind::InvalidInput`] if it is none; what the kernel says.
    pub fn names_like(&self, expression: &str) -> Result<Vec<String>> {
        let pattern = Pattern::new(expression)?;
        let mut names = self.names()?;
        names.retain(|name| pattern.matches(name));
        Ok(names)
    }

    /// The states of all containers, sorted by name, and what is wrong with those that cannot be looked at.
    ///
    /// # Errors
    /// What the kernel says of the root.
    pub fn list(&self) -> Result<(Vec<Document>, Vec<Error>)> {
        let mut documents = Vec::new();
        let mut errors = Vec::new();
        for name in self.names()? {
            match self.find(&name).and_then(|known| known.document()) {
                Ok(mut document) => {
                    let path = self.root.join(&name);
                    document.owner = file::owner(&path).unwrap_or_default();
                    documents.push(document);
                }
                // Removed meanwhile, or just begun.
                Err(error) if matches!(error.kind(), Kind::NotFound | Kind::InvalidInput) => {}
                Err(error) => errors.push(error.attempting(format!("load container {name}"))),
            }
        }
        Ok((documents, errors))
    }
}
