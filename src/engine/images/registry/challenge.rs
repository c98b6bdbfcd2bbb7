//! The `WWW-Authenticate` header: what a registry wants to be shown (RFC 9110, 11.6.1), read as leniently as clients of
//! registries do.

use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};

/// One way to authenticate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// `basic`, `bearer`; in lower case.
    pub scheme: String,
    /// Names in lower case, and values.
    parameters: Vec<(String, String)>,
}

impl Challenge {
    /// A parameter that is there and not empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.parameters.iter().find(|(known, _)| known == name)?;
        Some(value.as_str()).filter(|value| !value.is_empty())
    }
}

/// All challenges of an answer, in order.
pub(super) fn of(headers: &HeaderMap) -> Vec<Challenge> {
    let values = headers.get_all(WWW_AUTHENTICATE).iter();
    values
        .filter_map(|value| std::str::from_utf8(value.as_bytes()).ok())
        .flat_map(parse)
        .collect()
}

/// Reads one header: what makes no sense in it is passed over.
#[must_use]
pub fn parse(header: &str) -> Vec<Challenge> {
    let mut challenges: Vec<Challenge> = Vec::new();
    let mut rest = header;
    loop {
        rest = rest.trim_start_matches(|c: char| c == ',' || c.is_whitespace());
        if rest.is_empty() {
            return challenges;
        }
        let (word, after) = split_at(rest, |c| c == ',' || c == '=' || c.is_whitespace());
        let assigned = after.trim_start().strip_prefix('=');
        match (assigned, challenges.last_mut()) {
            (Some(value), Some(challenge)) => {
                let (value, after) = read_value(value.trim_start());
                let name = word.to_ascii_lowercase();
                // A name that comes twice: the first counts, as in Docker.
                if !name.is_empty() && !challenge.parameters.iter().any(|(known, _)| *known == name)
                {
                    challenge.parameters.push((name, value));
                }
                rest = after;
            }
            // A parameter of no scheme.
            (Some(value), None) => rest = read_value(value.trim_start()).1,
            (None, _) => {
                challenges.push(Challenge {
                    scheme: word.to_ascii_lowercase(),
                    parameters: Vec::new(),
                });
                rest = after;
            }
        }
    }
}

/// A quoted string without its quotes, or a word; and what follows it.
fn read_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let (word, after) = split_at(text, |c| c == ',' || c.is_whitespace());
        return (word.to_owned(), after);
    };
    let mut value = String::new();
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => value.extend(chars.next()),
            other => value.push(other),
        }
    }
    (value, chars.as_str())
}

fn split_at(text: &str, end: impl Fn(char) -> bool) -> (&str, &str) {
    text.find(end)
        .and_then(|at| text.split_at_checked(at))
        .unwrap_or((text, ""))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_registries_really_send_is_understood() {
        let hub = parse(
            r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#,
        );
        assert_eq!(hub.len(), 1);
        assert_eq!(hub[0].scheme, "bearer");
        assert_eq!(hub[0].get("realm"), Some("https://auth.docker.io/token"));
        assert_eq!(hub[0].get("scope"), Some("repository:a/b:pull,push"));

        let two =
            parse(r#"Basic realm="a \"quoted\" realm", Bearer realm=https://x/t , service = y"#);
        assert_eq!(two.len(), 2);
        assert_eq!(two[0].get("realm"), Some(r#"a "quoted" realm"#));
        assert_eq!(two[1].get("realm"), Some("https://x/t"));
        assert_eq!(two[1].get("service"), Some("y"));

        assert_eq!(parse("Negotiate, Basic realm=x").len(), 2);
        assert_eq!(parse("BASIC")[0].scheme, "basic");
        assert_eq!(
            parse(r#"Bearer realm="cut off"#)[0].get("realm"),
            Some("cut off")
        );
        assert_eq!(parse("Bearer service=")[0].get("service"), None);
        assert!(parse("").is_empty());
        assert!(parse("= , ==").is_empty());
    }

    proptest! {
        #[test]
        fn no_header_breaks_the_reader(header in "\\PC{0,200}") {
            let _ = parse(&header);
        }

        #[test]
        fn what_is_written_is_read(
            realm in "\\PC{1,40}", service in "\\PC{1,40}", scheme in "[A-Za-z][A-Za-z0-9-]{0,10}"
        ) {
            let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
            let header = format!(
                r#"{scheme} Realm="{}",service="{}", Basic realm="x""#, quoted(&realm), quoted(&service)
            );
            let read = parse(&header);
            prop_assert_eq!(read.len(), 2);
            prop_assert_eq!(&read[0].scheme, &scheme.to_ascii_lowercase());
            prop_assert_eq!(read[0].get("realm"), Some(realm.as_str()));
            prop_assert_eq!(read[0].get("service"), Some(service.as_str()));
            prop_assert_eq!(&read[1].scheme, "basic");
        }
    }
}
