//! Words of a line as a shell reads them, and a word as a shell reads it back: quotes and backslashes, nothing else.
//! Nothing is expanded.

/// Why a line has no words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A quote is not closed.
    #[error("the quote {0} is not closed")]
    Open(char),
    /// Nothing follows the last backslash.
    #[error("nothing follows the backslash")]
    Backslash,
}

/// The words of a line (POSIX shell, "Quoting").
///
/// # Errors
/// What is not closed.
pub fn split(line: &str) -> Result<Vec<String>, Error> {
    let mut words = Vec::new();
    // An empty word in quotes is a word, too.
    let mut word: Option<String> = None;
    let mut rest = line.chars();
    while let Some(c) = rest.next() {
        match c {
            ' ' | '\t' | '\n' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match rest.next().ok_or(Error::Open(c))? {
                        '\'' => break,
                        inner => word.push(inner),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match rest.next().ok_or(Error::Open(c))? {
                        '"' => break,
                        '\\' => match rest.next().ok_or(Error::Open(c))? {
                            escaped @ ('"' | '\\' | '$' | '`') => word.push(escaped),
                            other => word.extend(['\\', other]),
                        },
                        inner => word.push(inner),
                    }
                }
            }
            '\\' => {
                let escaped = rest.next().ok_or(Error::Backslash)?;
                word.get_or_insert_default().push(escaped);
            }
            plain => word.get_or_insert_default().push(plain),
        }
    }
    words.extend(word);
    Ok(words)
}

/// A word as a shell reads it back.
#[must_use]
pub fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@=,+%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// Words as a line.
#[must_use]
pub fn join<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<_> = words.into_iter().map(quote).collect();
    quoted.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_has_the_words_that_a_shell_sees() {
        for (line, words) in [
            ("", &[][..]),
            ("  a  b ", &["a", "b"]),
            ("a='b c' d", &["a=b c", "d"]),
            (
                r#"sh -c "echo \"hi\" \n $x""#,
                &["sh", "-c", r#"echo "hi" \n $x"#],
            ),
            (r"a\ b \'", &["a b", "'"]),
            ("'' \"\"", &["", ""]),
        ] {
            assert_eq!(split(line).unwrap(), words, "{line}");
        }
        assert_eq!(split("a 'b"), Err(Error::Open('\'')));
        assert_eq!(split("a \"b\\"), Err(Error::Open('"')));
        assert_eq!(split("a \\"), Err(Error::Backslash));
    }

    proptest! {
        #[test]
        fn words_come_back_from_their_line(words in proptest::collection::vec(".*", 0..6)) {
            let line = join(words.iter().map(String::as_str));
            prop_assert_eq!(split(&line).unwrap(), words);
        }

        #[test]
        fn every_line_has_words_or_an_error(line in "[a'\"\\\\ \t\n$]*") {
            let _ = split(&line);
        }
    }
}
