//! Patterns for names, as Go's `path.Match` has them: `*`, `?`, `[a-z]`, `[^a-z]`, and a backslash before what stands
//! for itself. None of them but a letter matches a slash.

/// A pattern that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// `*`
    Any,
    /// `?`
    One,
    /// `[…]`: the first and last of each range.
    Among {
        ranges: Vec<(char, char)>,
        negated: bool,
    },
    /// Itself.
    Letter(char),
}

const SYNTAX: &str = "syntax error in pattern";

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// Docker's sentence for one that is not finished.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut rest = text.chars().peekable();
        let mut parts = Vec::new();
        while let Some(c) = rest.next() {
            parts.push(match c {
                '*' => Part::Any,
                '?' => Part::One,
                '\\' => Part::Letter(rest.next().ok_or(SYNTAX)?),
                '[' => {
                    let negated = rest.next_if_eq(&'^').is_some();
                    let mut ranges = Vec::new();
                    while ranges.is_empty() || rest.next_if_eq(&']').is_none() {
                        let first = in_class(&mut rest)?;
                        let last = match rest.next_if_eq(&'-') {
                            Some(_) => in_class(&mut rest)?,
                            None => first,
                        };
                        ranges.push((first, last));
                    }
                    Part::Among { ranges, negated }
                }
                other => Part::Letter(other),
            });
        }
        Ok(Self(parts))
    }

    /// Whether all of the text is as the pattern says.
    #[must_use]
    pub fn fits(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        // Part by part: which beginnings of the text it matches.
        let mut matched = vec![false; text.len() + 1];
        if let Some(first) = matched.first_mut() {
            *first = true;
        }
        for part in &self.0 {
            let mut before = false;
            let mut carried = false;
            for (n, slot) in matched.iter_mut().enumerate() {
                let c = n.checked_sub(1).and_then(|n| text.get(n)).copied();
                let here = *slot;
                carried = here || (carried && c != Some('/'));
                *slot = match part {
                    Part::Any => carried,
                    other => before && c.is_some_and(|c| other.takes(c)),
                };
                before = here;
            }
        }
        matched.last().copied().unwrap_or(false)
    }
}

impl Part {
    /// Whether it is this one character.
    fn takes(&self, c: char) -> bool {
        match self {
            Self::Letter(letter) => c == *letter,
            Self::Any | Self::One => c != '/',
            Self::Among { ranges, negated } => {
                let among = ranges
                    .iter()
                    .any(|(first, last)| (*first..=*last).contains(&c));
                c != '/' && among != *negated
            }
        }
    }
}

/// One end of a range.
fn in_class(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<char, String> {
    match rest.next() {
        None | Some('-' | ']') => Err(SYNTAX.to_owned()),
        Some('\\') => Ok(rest.next().ok_or(SYNTAX)?),
        Some(c) => Ok(c),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_matched_as_gos_path_match_does() {
        for (pattern, fitting, other) in [
            ("a*", "abc", "b"),
            ("*", "abc", "a/b"),
            ("*/*", "a/b", "a"),
            ("a?c", "abc", "a/c"),
            ("a*c*e", "abcde", "abcd"),
            ("app:[0-9]", "app:1", "app:x"),
            ("app:[^0-9]", "app:x", "app:1"),
            ("[ab-c]pp", "bpp", "dpp"),
            ("a[^x]b", "a.b", "a/b"),
            (r"a\*", "a*", "ab"),
            (r"[\]]", "]", r"\"),
            ("", "", "a"),
        ] {
            let read = Pattern::parse(pattern).unwrap();
            assert!(read.fits(fitting), "{pattern} {fitting}");
            assert!(!read.fits(other), "{pattern} {other}");
        }
    }

    #[test]
    fn an_unfinished_pattern_is_refused() {
        for pattern in ["[", "[a", "[]a]", "a[", "[a-]", "[-x]", r"a\", "[^", r"[\"] {
            assert_eq!(Pattern::parse(pattern), Err(SYNTAX.to_owned()), "{pattern}");
        }
    }

    fn fits(pattern: &str, text: &str) -> bool {
        Pattern::parse(pattern).unwrap().fits(text)
    }

    proptest! {
        #[test]
        fn a_pattern_without_wildcards_fits_itself_alone(text in "[a-z/.:]{0,12}", other in "[a-z/.:]{0,12}") {
            prop_assert!(fits(&text, &text));
            prop_assert_eq!(fits(&text, &other), text == other);
        }

        #[test]
        fn a_star_never_crosses_a_slash(left in "[a-z]{0,5}", right in "[a-z]{0,5}") {
            let text = format!("{left}{right}");
            let pattern = format!("{left}*");
            prop_assert!(fits(&pattern, &text));
            let with_slash = format!("{left}/{right}");
            prop_assert!(!fits(&pattern, &with_slash));
        }
    }
}
