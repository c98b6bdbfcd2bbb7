//! Patterns for paths of an image: `*` and `?` within a component, `**` over any number of them, `[a-z]`. A pattern without a
//! slash is for the last component, as in gitignore(5).

use regex::bytes::{Regex, RegexBuilder};

/// A pattern that was read.
#[derive(Debug, Clone)]
pub struct Glob {
    text: String,
    pattern: Regex,
}

impl PartialEq for Glob {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Glob {
    /// Reads a pattern.
    ///
    /// # Errors
    /// One line for a pattern that is empty or not finished.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("{text:?} is no pattern for paths: {why}");
        let path = text.strip_prefix('/').unwrap_or(text);
        if path.is_empty() {
            return Err(wrong("it is empty"));
        }
        let mut regex = String::from("^");
        if !text.contains('/') {
            regex += "(?:.*/)?";
        }
        let mut rest = path;
        while let Some(c) = rest.chars().next() {
            let taken = match c {
                '*' if rest.starts_with("**/") => {
                    regex += "(?:.*/)?";
                    3
                }
                '*' if rest.starts_with("**") => {
                    regex += ".*";
                    2
                }
                '*' => {
                    regex += "[^/]*";
                    1
                }
                '?' => {
                    regex += "[^/]";
                    1
                }
                '[' => among(rest, &mut regex).ok_or_else(|| wrong("a bracket is not closed"))?,
                '\\' => {
                    let next = rest
                        .chars()
                        .nth(1)
                        .ok_or_else(|| wrong("a backslash ends it"))?;
                    regex += &regex::escape(&next.to_string());
                    1 + next.len_utf8()
                }
                c => {
                    regex += &regex::escape(&c.to_string());
                    c.len_utf8()
                }
            };
            rest = rest.get(taken..).unwrap_or_default();
        }
        regex.push('$');
        let pattern = RegexBuilder::new(&regex)
            .dot_matches_new_line(true)
            .size_limit(1 << 20)
            .build()
            .map_err(|_too_long| wrong("it is too long, or a range runs backwards"))?;
        Ok(Self {
            text: text.to_owned(),
            pattern,
        })
    }

    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether a path, without a slash in front, is meant.
    #[must_use]
    pub fn matches(&self, path: &[u8]) -> bool {
        self.pattern.is_match(path)
    }
}

/// Turns `[…]` at the start of `rest` into the same of a regular expression; how many bytes it has.
fn among(rest: &str, regex: &mut String) -> Option<usize> {
    let inner = rest.strip_prefix('[')?;
    let (negated, inner) = match inner.strip_prefix(['!', '^']) {
        Some(inner) => (true, inner),
        None => (false, inner),
    };
    // A closing bracket that comes first is one of them.
    let first = inner.chars().next()?.len_utf8();
    let end = first + inner.get(first..)?.find(']')?;
    let set = inner.get(..end)?;
    // A slash is matched by none of them.
    *regex += if negated { "[^/" } else { "[" };
    for c in set.chars() {
        if matches!(c, '[' | ']' | '\\' | '^' | '&' | '~') {
            regex.push('\\');
        }
        regex.push(c);
    }
    *regex += "]";
    Some(rest.len() - inner.len() + end + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns_mean_what_people_mean() {
        let cases = [
            ("*.pem", "etc/ssl/a.pem", true),
            ("*.pem", "a.pem/b", false),
            (".git", "src/.git", true),
            ("/etc/*.conf", "etc/a.conf", true),
            ("/etc/*.conf", "etc/x/a.conf", false),
            ("/etc/*.conf", "usr/etc/a.conf", false),
            ("etc/**", "etc/x/a.conf", true),
            ("**/node_modules/**", "app/node_modules/x/y", true),
            ("**/node_modules/**", "node_modules/x", true),
            ("usr/**/x", "usr/x", true),
            ("**", "", true),
            ("**", "a/b", true),
            ("**.pem", "a/b.pem", true),
            ("/etc/**.conf", "etc/a/b.conf", true),
            ("usr/lib?", "usr/lib64", false),
            ("usr/lib?", "usr/lib/", false),
            ("*.[ch]", "a.c", true),
            ("*.[!ch]", "a.c", false),
            ("[]a]", "]", true),
            ("a\\*", "a*", true),
            ("a\\*", "ab", false),
            ("a+b", "a+b", true),
        ];
        for (pattern, path, expected) in cases {
            let glob = Glob::parse(pattern).unwrap();
            assert_eq!(glob.matches(path.as_bytes()), expected, "{pattern} {path}");
        }
        for wrong in ["", "/", "[a", "a\\", "[z-a]"] {
            assert!(Glob::parse(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        /// Whatever is written gives an answer, and a path without special letters matches itself.
        #[test]
        fn every_text_is_a_pattern_or_an_error(text in "\\PC{0,20}", plain in "[a-z/.]{0,10}[a-z]") {
            let _ = Glob::parse(&text);
            let plain = plain.trim_start_matches('/');
            prop_assert!(Glob::parse(plain).unwrap().matches(plain.as_bytes()));
        }
    }
}
