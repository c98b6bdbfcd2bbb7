//! What may be in an image although it is a finding: a file of lines, each a rule and a pattern of paths.

use super::{Finding, Rule};
use crate::engine::model::layers::glob::Glob;

/// Lines of such a file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Allowed(Vec<(Option<Rule>, Glob)>);

/// Why a line means nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct Error {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub why: String,
}

impl Allowed {
    /// Reads lines such as `setuid usr/bin/*`: a rule, or `*` for all, and a pattern ([`Glob`]), or nothing for all of the
    /// rule. Empty lines, and those that begin with `#`, are passed by.
    ///
    /// # Errors
    /// The first line that names no rule or has no pattern that can be read.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut lines = Vec::new();
        for (number, line) in (1..).zip(text.lines().map(str::trim)) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (word, pattern) = line.split_once(char::is_whitespace).unwrap_or((line, "**"));
            let rule = Rule::of(word);
            let wrong = |why| Error { line: number, why };
            if rule.is_none() && word != "*" {
                return Err(wrong(format!("there is no rule {word:?}")));
            }
            lines.push((rule, Glob::parse(pattern.trim()).map_err(wrong)?));
        }
        Ok(Self(lines))
    }

    /// Whether a finding may be.
    #[must_use]
    pub fn allows(&self, finding: &Finding) -> bool {
        let path = finding.path.as_deref().unwrap_or_default();
        self.0
            .iter()
            .any(|(rule, glob)| rule.is_none_or(|rule| rule == finding.rule) && glob.matches(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_allow_by_rule_and_path() {
        let allowed =
            Allowed::parse("# of the base\nsetuid /usr/bin/*\n\nroot-user\n* tmp/**\n").unwrap();
        let finding = |rule, path: &str| Finding {
            path: Some(path.into()),
            ..Finding::new(rule, "")
        };
        assert!(allowed.allows(&finding(Rule::Setuid, "usr/bin/su")));
        assert!(!allowed.allows(&finding(Rule::Setuid, "bin/su")));
        assert!(!allowed.allows(&finding(Rule::Token, "usr/bin/su")));
        assert!(allowed.allows(&finding(Rule::Token, "tmp/a")));
        assert!(allowed.allows(&Finding::new(Rule::RootUser, "")));
        let error = Allowed::parse("setuid a\nnosuch b").unwrap_err();
        assert_eq!(error.to_string(), "line 2: there is no rule \"nosuch\"");
        let error = Allowed::parse("setuid [a").unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("line 1: \"[a\" is no pattern"),
            "{error}"
        );
    }
}
