//! What a token is asked for: `repository:a/b:pull,push` (distribution's token authentication, "Resource scope grammar").

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::Access;

/// Resources, and what is to be done with each. In one order always, so that equal wishes are equal texts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Scopes(BTreeMap<String, BTreeSet<String>>);

impl Scopes {
    /// Access to one repository.
    pub(super) fn repository(path: &str, access: Access) -> Self {
        let actions: &[&str] = match access {
            Access::Pull => &["pull"],
            Access::Push => &["pull", "push"],
            Access::Delete => &["delete", "pull"],
        };
        let mut scopes = Self::default();
        for action in actions {
            scopes.add(format!("repository:{path}"), action);
        }
        scopes
    }

    /// A challenge's `scope`: several are parted by spaces.
    pub(super) fn parse(text: &str) -> Self {
        let mut scopes = Self::default();
        for one in text.split_ascii_whitespace() {
            // A name may hold colons: `host:5000/a`.
            let (resource, actions) = one.rsplit_once(':').unwrap_or((one, ""));
            for action in actions.split(',') {
                scopes.add(resource.to_owned(), action);
            }
        }
        scopes
    }

    /// Both.
    #[must_use]
    pub(super) fn and(mut self, other: &Self) -> Self {
        for (resource, actions) in &other.0 {
            let entry = self.0.entry(resource.clone()).or_default();
            entry.extend(actions.iter().cloned());
        }
        self
    }

    /// One text for each resource.
    pub(super) fn texts(&self) -> impl Iterator<Item = String> + '_ {
        self.0.iter().map(|(resource, actions)| {
            let actions: Vec<&str> = actions.iter().map(String::as_str).collect();
            format!("{resource}:{}", actions.join(","))
        })
    }

    fn add(&mut self, resource: String, action: &str) {
        let actions = self.0.entry(resource).or_default();
        if !action.is_empty() {
            actions.insert(action.to_owned());
        }
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<String> = self.texts().collect();
        f.write_str(&texts.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_of_several_repositories_are_merged() {
        let ours = Scopes::repository("a/b", Access::Push);
        let asked =
            Scopes::parse("repository:c:pull repository:a/b:delete,pull registry:catalog:*");
        assert_eq!(
            ours.and(&asked).to_string(),
            "registry:catalog:* repository:a/b:delete,pull,push repository:c:pull"
        );
        assert_eq!(Scopes::default().to_string(), "");
        assert_eq!(Scopes::parse("  odd  ").to_string(), "odd:");
    }
}
