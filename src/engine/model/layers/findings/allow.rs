//! What may be in an image although it is a finding: a file of lines, each a rule and a pattern of paths.

use super::{Finding, Rule};

/// Lines of such a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allowed(Vec<(Option<Rule>, String)>);

/// Why a line means nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: there is no rule {word:?}")]
pub struct Error {
    /// The line, from 1.
    pub line: usize,
    /// What is there in place of a rule.
    pub word: String,
}

impl Allowed {
    /// Reads lines such as `setuid usr/bin/*`: a rule, or `*` for all, and a pattern, or nothing for all of the rule. `*` and
    /// `?` stop at a slash, `**` does not. Empty lines, and those that begin with `#`, are passed by.
    ///
    /// # Errors
    /// The first line that names no rule.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut lines = Vec::new();
        for (number, line) in (1..).zip(text.lines().map(str::trim)) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (word, pattern) = line.split_once(char::is_whitespace).unwrap_or((line, "**"));
            let rule = Rule::of(word);
            if rule.is_none() && word != "*" {
                return Err(Error {
                    line: number,
                    word: word.to_owned(),
                });
            }
            let pattern = pattern.trim().trim_start_matches('/');
            lines.push((rule, pattern.to_owned()));
        }
        Ok(Self(lines))
    }

    /// Whether a finding may be.
    #[must_use]
    pub fn allows(&self, finding: &Finding) -> bool {
        let path = finding.path.as_deref().unwrap_or_default();
        self.0.iter().any(|(rule, pattern)| {
            rule.is_none_or(|rule| rule == finding.rule) && is_match(pattern.as_bytes(), path)
        })
    }
}

/// Time in proportion to the product of both lengths.
fn is_match(pattern: &[u8], path: &[u8]) -> bool {
    // Places in the pattern that the path so far leads to.
    let mut places = vec![false; pattern.len() + 1];
    places[0] = true;
    let skip = |places: &mut Vec<bool>| {
        for at in 0..pattern.len() {
            if places[at] && pattern[at] == b'*' {
                places[at + 1] = true;
            }
        }
    };
    skip(&mut places);
    for byte in path {
        let mut next = vec![false; pattern.len() + 1];
        for at in (0..pattern.len()).filter(|at| places[*at]) {
            let is_double = pattern[at] == b'*'
                && (pattern.get(at + 1) == Some(&b'*') || at > 0 && pattern[at - 1] == b'*');
            match pattern[at] {
                b'*' if *byte != b'/' || is_double => next[at] = true,
                b'?' if *byte != b'/' => next[at + 1] = true,
                letter if letter == *byte && letter != b'*' => next[at + 1] = true,
                _ => {}
            }
        }
        skip(&mut next);
        places = next;
    }
    places[pattern.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_know_directories() {
        for (pattern, path, expected) in [
            ("**", "", true),
            ("**", "a/b", true),
            ("usr/bin/*", "usr/bin/su", true),
            ("usr/bin/*", "usr/bin/x/su", false),
            ("usr/**/su", "usr/a/b/su", true),
            ("usr/**", "usr/a/b", true),
            ("*.pem", "a.pem", true),
            ("*.pem", "a/b.pem", false),
            ("**.pem", "a/b.pem", true),
            ("?", "a", true),
            ("?", "/", false),
            ("a", "ab", false),
            ("", "a", false),
        ] {
            assert_eq!(
                is_match(pattern.as_bytes(), path.as_bytes()),
                expected,
                "{pattern} {path}"
            );
        }
    }

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
    }
}
