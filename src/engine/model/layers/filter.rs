//! Which entries somebody wants to see: words that must all fit.
//!
//! | word | what fits |
//! |---|---|
//! | `text` | the path has it; small letters fit capitals, too |
//! | `*.py`, `etc/*` | the whole path, or its last parts, are so |
//! | `~REGEX` | the path, beginning with a slash |
//! | `>1MB` `<10KiB` | files of at least, of at most so many bytes |
//! | `is:setuid` and others ([`PROPERTIES`]) | what has the property |
//! | `uid:1000` `gid:0` | what belongs to them |
//! | `!` before any of these | what does not fit it |

use std::collections::HashSet;
use std::sync::Arc;

use regex::bytes::{Regex, RegexBuilder};

use super::diff::At;
use super::entry::{Entry, Kind};
use super::glob::Glob;
use crate::engine::model::units;

/// What stands behind `is:`.
pub const PROPERTIES: &[&str] = &[
    "setuid", "writable", "secret", "file", "dir", "link", "device", "empty",
];

/// Names of files that hold keys or passwords: the whole name, or how it ends.
const SECRET_NAMES: &[&str] = &[
    ".env",
    ".netrc",
    ".npmrc",
    ".pypirc",
    ".git-credentials",
    ".pgpass",
    ".htpasswd",
    ".dockercfg",
    "id_rsa",
    "id_dsa",
    "id_ecdsa",
    "id_ed25519",
    "credentials",
    "shadow",
    "gshadow",
];
const SECRET_ENDS: &[&str] = &[
    ".pem",
    ".key",
    ".p12",
    ".pfx",
    ".jks",
    ".keystore",
    ".kdbx",
    ".env",
];

/// One word.
#[derive(Debug, Clone)]
enum Word {
    Text { needle: Vec<u8>, exact: bool },
    Pattern(Regex),
    Glob(Glob),
    AtLeast(u64),
    AtMost(u64),
    Is(&'static str),
    Uid(u32),
    Gid(u32),
}

/// All words.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    words: Vec<(bool, Word)>,
    /// The first word that means nothing, and why.
    pub problem: Option<String>,
    /// Files that are known to hold secrets; until that is known, names tell.
    pub secrets: Option<Arc<HashSet<At>>>,
}

impl Filter {
    /// Reads what was typed. A word that means nothing is left out, and told.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut filter = Self::default();
        for word in text.split_whitespace() {
            let (negated, word) = match word.strip_prefix('!') {
                Some(rest) => (true, rest),
                None => (false, word),
            };
            match Word::parse(word) {
                Ok(Some(word)) => filter.words.push((negated, word)),
                // Not typed to its end.
                Ok(None) => {}
                Err(problem) => filter.problem = filter.problem.or(Some(problem)),
            }
        }
        filter
    }

    /// Everything fits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Whether an entry fits. The path begins with a slash; `file` is where the entry's content is.
    #[must_use]
    pub fn fits(&self, path: &[u8], entry: Option<&Entry>, file: Option<At>) -> bool {
        let known = self.secrets.as_ref();
        let is_secret = known.map(|all| file.is_some_and(|at| all.contains(&at)));
        self.words
            .iter()
            .all(|(negated, word)| word.fits(path, entry, is_secret) != *negated)
    }
}

impl Word {
    fn parse(word: &str) -> Result<Option<Self>, String> {
        let size = |text: &str| {
            units::parse_size(text).ok_or_else(|| format!("{text:?} is no size such as 10MB"))
        };
        let id = |text: &str| {
            text.parse()
                .map_err(|error| format!("{text:?} is no number: {error}"))
        };
        if word.is_empty() {
            return Ok(None);
        }
        if let Some(pattern) = word.strip_prefix('~') {
            return pattern_of(pattern).map(Some);
        }
        for (start, make) in [(">", Self::AtLeast as fn(u64) -> Self), ("<", Self::AtMost)] {
            if let Some(rest) = word.strip_prefix(start) {
                let rest = rest.trim_start_matches('=');
                return if rest.is_empty() {
                    Ok(None)
                } else {
                    size(rest).map(|n| Some(make(n)))
                };
            }
        }
        if let Some(wanted) = word.strip_prefix("is:") {
            let found = PROPERTIES.iter().find(|known| **known == wanted);
            let begins = PROPERTIES.iter().any(|known| known.starts_with(wanted));
            return match found {
                Some(known) => Ok(Some(Self::Is(known))),
                None if begins => Ok(None),
                None => Err(format!("is: knows {}", PROPERTIES.join(", "))),
            };
        }
        for (start, make) in [("uid:", Self::Uid as fn(u32) -> Self), ("gid:", Self::Gid)] {
            if let Some(rest) = word.strip_prefix(start) {
                return if rest.is_empty() {
                    Ok(None)
                } else {
                    id(rest).map(|n| Some(make(n)))
                };
            }
        }
        if word.contains(['*', '?']) {
            return glob(word).map(Some);
        }
        Ok(Some(Self::Text {
            needle: word.as_bytes().to_vec(),
            exact: word.bytes().any(|b| b.is_ascii_uppercase()),
        }))
    }

    fn fits(&self, path: &[u8], entry: Option<&Entry>, is_secret: Option<bool>) -> bool {
        let is_file = |entry: &Entry| matches!(entry.kind, Kind::File { .. });
        match self {
            Self::Text { needle, exact } => has(path, needle, *exact),
            Self::Pattern(pattern) => pattern.is_match(path),
            Self::Glob(glob) => glob.matches(path.strip_prefix(b"/").unwrap_or(path)),
            Self::AtLeast(size) => entry.is_some_and(|entry| is_file(entry) && entry.size >= *size),
            Self::AtMost(size) => entry.is_some_and(|entry| is_file(entry) && entry.size <= *size),
            Self::Is("secret") if is_secret.is_some() => is_secret == Some(true),
            Self::Is(property) => entry.is_some_and(|entry| is(property, path, entry)),
            Self::Uid(uid) => entry.is_some_and(|entry| entry.uid == *uid),
            Self::Gid(gid) => entry.is_some_and(|entry| entry.gid == *gid),
        }
    }
}

fn is(property: &str, path: &[u8], entry: &Entry) -> bool {
    let is_file = matches!(entry.kind, Kind::File { .. } | Kind::HardLink { .. });
    match property {
        "setuid" => is_file && entry.mode & 0o6000 != 0,
        "writable" => entry.is_world_writable(),
        "secret" => is_file && looks_secret(path),
        "file" => is_file,
        "dir" => matches!(entry.kind, Kind::Directory { .. }),
        "link" => matches!(entry.kind, Kind::Symlink { .. } | Kind::HardLink { .. }),
        "device" => matches!(entry.kind, Kind::Char { .. } | Kind::Block { .. }),
        "empty" => matches!(entry.kind, Kind::File { .. }) && entry.size == 0,
        _ => false,
    }
}

/// A name that keys and passwords are kept under. What is public by its place (certificates, time zones) is not.
fn looks_secret(path: &[u8]) -> bool {
    let name = path.rsplit(|b| *b == b'/').next().unwrap_or(path);
    let public = [
        &b"/etc/ssl/certs/"[..],
        b"/usr/share/",
        b"/usr/lib/ssl/certs/",
    ];
    let named = SECRET_NAMES.iter().any(|known| name == known.as_bytes());
    let ends = SECRET_ENDS.iter().any(|end| name.ends_with(end.as_bytes()));
    (named || ends) && !public.iter().any(|place| path.starts_with(place))
}

fn has(path: &[u8], needle: &[u8], exact: bool) -> bool {
    let same = |window: &[u8]| {
        if exact {
            window == needle
        } else {
            window.eq_ignore_ascii_case(needle)
        }
    };
    path.windows(needle.len()).any(same)
}

fn pattern_of(text: &str) -> Result<Word, String> {
    // So that no pattern takes more memory than a screen of entries.
    let built = RegexBuilder::new(text)
        .unicode(false)
        .size_limit(1 << 20)
        .build();
    built.map(Word::Pattern).map_err(|error| {
        let text = error.to_string();
        let last = text.lines().last().unwrap_or_default();
        last.trim_start_matches("error: ").to_owned()
    })
}

/// What begins with no slash fits at any depth.
fn glob(text: &str) -> Result<Word, String> {
    let anchored = if text.starts_with('/') {
        text.to_owned()
    } else {
        format!("**/{text}")
    };
    Glob::parse(&anchored).map(Word::Glob)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(mode: u32, size: u64) -> Entry {
        Entry {
            path: Vec::new(),
            kind: Kind::File { content: None },
            mode,
            uid: 1000,
            gid: 50,
            size,
            mtime: (0, 0),
            xattrs: Vec::new(),
        }
    }

    #[track_caller]
    fn check(filter: &str, path: &str, entry: &Entry, fits: bool) {
        let filter = Filter::parse(filter);
        assert_eq!(filter.problem, None);
        assert_eq!(
            filter.fits(path.as_bytes(), Some(entry), None),
            fits,
            "{path}"
        );
    }

    #[test]
    fn each_word_asks_for_something_else() {
        let plain = file(0o644, 5_000_000);
        for (filter, path, fits) in [
            ("", "/a", true),
            ("SSL", "/etc/ssl", false),
            ("ssl", "/etc/SSL", true),
            ("etc ssl", "/etc/ssl", true),
            ("etc !ssl", "/etc/ssl", false),
            ("*.py", "/usr/lib/a.py", true),
            ("*.py", "/usr/lib/a.pyc", false),
            ("/usr/*.py", "/usr/lib/a.py", false),
            ("/usr/**.py", "/usr/lib/a.py", true),
            ("lib/?.py", "/usr/lib/a.py", true),
            (r"~^/usr/[^/]+/a\.", "/usr/lib/a.py", true),
            (r"~^/lib", "/usr/lib", false),
            (">1MB", "/a", true),
            (">=5MB", "/a", true),
            ("<1MB", "/a", false),
            (">1MB <2MB", "/a", false),
            ("uid:1000 gid:50", "/a", true),
            ("uid:0", "/a", false),
            ("is:file", "/a", true),
            ("is:dir", "/a", false),
            ("is:secret", "/app/.env", true),
            ("is:secret", "/root/.ssh/id_rsa", true),
            ("is:secret", "/etc/ssl/certs/ca.pem", false),
            ("is:", "/a", true),
            ("> !", "/a", true),
        ] {
            check(filter, path, &plain, fits);
        }
        check("is:setuid", "/bin/su", &file(0o4755, 1), true);
        check("is:setuid", "/bin/ls", &file(0o755, 1), false);
        check("is:writable", "/x", &file(0o666, 1), true);
        check("is:empty", "/x", &file(0o666, 0), true);
    }

    #[test]
    fn what_no_word_means_is_told_and_the_others_count() {
        for (text, problem) in [
            (">many etc", "\"many\" is no size such as 10MB"),
            (
                "uid:me etc",
                "\"me\" is no number: invalid digit found in string",
            ),
            (
                "is:odd etc",
                "is: knows setuid, writable, secret, file, dir, link, device, empty",
            ),
            ("~( etc", "unclosed group"),
        ] {
            let filter = Filter::parse(text);
            assert_eq!(filter.problem.as_deref(), Some(problem));
            assert!(
                !filter.fits(b"/usr", None, None) && filter.fits(b"/etc", None, None),
                "{text}"
            );
        }
    }
}
