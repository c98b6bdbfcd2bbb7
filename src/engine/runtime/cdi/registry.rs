//! All descriptions of this host, and what a list of names means.

use std::path::{Path, PathBuf};

use super::document::{self, Document, Edits};
use crate::engine::error::{Error, Result};
use crate::engine::sys::file;

/// Largest file that is read, in bytes.
const MAX_FILE: u64 = 16 << 20;

/// Every file that could be read, with the number of its directory: larger numbers count more.
#[derive(Debug, Default)]
pub(super) struct Registry {
    files: Vec<(usize, Document)>,
    /// Files that could not, and why.
    bad: Vec<(PathBuf, String)>,
}

impl Registry {
    /// Reads the directories; one that is not there has no files.
    ///
    /// # Errors
    /// What the file system says of a directory.
    pub(super) fn read(directories: &[&Path]) -> Result<Self> {
        let mut registry = Self::default();
        for (number, dir) in directories.iter().enumerate() {
            let mut names = file::list_dir(dir)?;
            names.sort_unstable();
            for name in names {
                let path = dir.join(name);
                let is_yaml = match path.extension().and_then(|end| end.to_str()) {
                    Some("yaml") => true,
                    Some("json") => false,
                    _ => continue,
                };
                let read = file::read_regular(&path, MAX_FILE)
                    .map_err(|error| error.to_string())
                    .and_then(|content| document::parse(&content.unwrap_or_default(), is_yaml));
                match read {
                    Ok(document) => registry.files.push((number, document)),
                    Err(why) => registry.bad.push((path, why)),
                }
            }
        }
        Ok(registry)
    }

    /// Whether there is a device of that kind.
    pub(super) fn has_kind(&self, kind: &str) -> bool {
        self.files.iter().any(|(_, document)| document.kind == kind)
    }

    /// What comes with these devices, in order; what comes with a file's every device comes once.
    ///
    /// # Errors
    /// The names that nobody describes, or two files of one directory.
    pub(super) fn edits(&self, names: &[String]) -> Result<Vec<&Edits>> {
        let mut edits = Vec::new();
        let mut used: Vec<&Document> = Vec::new();
        let mut unresolved = Vec::new();
        for name in names {
            let Some((document, own)) = self.find(name) else {
                unresolved.push(name.as_str());
                continue;
            };
            if !used.iter().any(|other| std::ptr::eq(*other, document)) {
                used.push(document);
                edits.push(&document.container_edits);
            }
            edits.push(own);
        }
        if unresolved.is_empty() {
            return Ok(edits);
        }
        let text = format!(
            "CDI device injection failed: unresolvable CDI devices {}",
            unresolved.join(", ")
        );
        Err(self.explain(Error::invalid(text)))
    }

    fn find(&self, name: &str) -> Option<(&Document, &Edits)> {
        let (kind, device) = name.split_once('=')?;
        let described =
            |(number, document): &'_ (usize, Document)| (*number, document.kind == kind);
        let mut found: Vec<(usize, &Document, &Edits)> = Vec::new();
        for file in &self.files {
            let (number, is_kind) = described(file);
            let devices = file.1.devices.iter().filter(|_| is_kind);
            let own = devices.filter(|known| known.name == device);
            found.extend(own.map(|known| (number, &file.1, &known.container_edits)));
        }
        let best = found.iter().map(|(number, ..)| *number).max()?;
        found.retain(|(number, ..)| *number == best);
        match found.as_slice() {
            [(_, document, own)] => Some((document, own)),
            // Which one is meant cannot be known.
            _ => None,
        }
    }

    fn explain(&self, error: Error) -> Error {
        let list: Vec<String> = self
            .bad
            .iter()
            .map(|(path, why)| format!("{}: {why}", path.display()))
            .collect();
        if list.is_empty() {
            error
        } else {
            error.with_hint(format!("left out: {}", list.join("; ")))
        }
    }
}
