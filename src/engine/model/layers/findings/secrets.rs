//! Secrets in a file, a variable or an instruction: known forms with enough randomness in them, and never shown whole. What
//! belongs to tests and documentation, and what stands in for a secret, is passed by.

mod tokens;

use tokens::{base64, is_random, tokens};

/// Bytes of the largest file that is looked into.
pub const MAX_SIZE: u64 = 1 << 20;
/// So many are told of one file.
const MAX_HITS: usize = 20;
/// Source and settings are looked into up to here; only keys and credentials are larger.
const MAX_TEXT: u64 = 256 << 10;

/// Something that should not be known to whoever has the image.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Hit {
    /// What it is.
    pub what: What,
    /// The line, from 1.
    pub line: u64,
    /// What may be shown of it.
    pub shown: String,
}

/// What a secret is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum What {
    /// A private key that anybody can use.
    PrivateKey,
    /// A private key behind a passphrase.
    EncryptedKey,
    /// A token of a known service.
    Token,
    /// A password or token for a registry, a package index or a host.
    Credentials,
    /// A variable whose name says that its value is secret.
    Password,
}

/// How the lines of a file are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    /// `NAME=value`
    Variables,
    /// `_authToken=value`
    Npmrc,
    /// `password value`
    Netrc,
    /// `password = value`
    Ini,
    /// Five fields with colons between.
    Pgpass,
    /// `"auth": "value"`
    Docker,
    /// `client-key-data: value`
    Kube,
    /// Addresses with a password in them.
    Addresses,
    /// A key.
    Key,
    /// Something that has none of these, but may have a token.
    Text,
}

/// Parts of a path that say that what is in it is made up.
const MADE_UP: &[&str] = &[
    "test",
    "tests",
    "testing",
    "testdata",
    "test_data",
    "test-data",
    "__tests__",
    "fixtures",
    "fixture",
    "spec",
    "mocks",
    "examples",
    "example",
    "samples",
    "sample",
    "demo",
    "demos",
    "doc",
    "docs",
    "man",
    "locale",
];
/// Where a distribution and package managers put code: no secrets of whoever builds the image.
const OF_OTHERS: &[&str] = &[
    "usr/share/",
    "usr/lib/",
    "usr/libexec/",
    "usr/include/",
    "lib/",
    "usr/lib64/",
    "var/lib/dpkg/",
    "usr/bin/",
    "usr/sbin/",
];
const PACKAGES: &[&str] = &[
    "node_modules",
    "site-packages",
    "dist-packages",
    "vendor",
    "gems",
];
const TEXT: &[&str] = &[
    "json",
    "yml",
    "yaml",
    "toml",
    "ini",
    "conf",
    "cfg",
    "properties",
    "sh",
    "bash",
    "py",
    "js",
    "ts",
    "mjs",
    "rb",
    "php",
    "go",
    "java",
    "cs",
    "tf",
    "tfvars",
    "tfstate",
    "cnf",
    "config",
    "gradle",
    "ps1",
    "xml",
    "rs",
    "pl",
    "txt",
    "sql",
];
const TEMPLATES: &[&str] = &["example", "sample", "template", "dist", "defaults", "tmpl"];

/// Whether a file is looked into: by its path (without a slash in front) and its bytes.
#[must_use]
pub fn wanted(path: &[u8], size: u64) -> bool {
    if size == 0 || size > MAX_SIZE {
        return false;
    }
    let Ok(path) = std::str::from_utf8(path) else {
        return false;
    };
    match sort(path) {
        None => false,
        Some(Sort::Text) => size <= MAX_TEXT,
        Some(_) => true,
    }
}

fn sort(path: &str) -> Option<Sort> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let above = path.get(..path.len() - name.len()).unwrap_or_default();
    if above.split('/').any(|part| MADE_UP.contains(&part)) {
        return None;
    }
    let lower = name.to_ascii_lowercase();
    let ending = lower.rsplit_once('.').map_or("", |(_, ending)| ending);
    if TEMPLATES.contains(&ending) {
        return None;
    }
    let inside = |directory: &str| above.ends_with(directory);
    let known = match lower.as_str() {
        ".npmrc" | ".yarnrc" | ".yarnrc.yml" => Sort::Npmrc,
        ".netrc" | "_netrc" => Sort::Netrc,
        ".pypirc" | ".my.cnf" | ".s3cfg" | ".boto" => Sort::Ini,
        "credentials" | "config" if inside(".aws/") => Sort::Ini,
        ".pgpass" => Sort::Pgpass,
        ".dockercfg" | ".dockerconfigjson" => Sort::Docker,
        "config.json" if inside(".docker/") => Sort::Docker,
        "auth.json" if inside("containers/") => Sort::Docker,
        "kubeconfig" => Sort::Kube,
        "config" if inside(".kube/") => Sort::Kube,
        ".git-credentials" | ".gitconfig" | "pip.conf" | "sources.list" => Sort::Addresses,
        "config" if inside(".git/") => Sort::Addresses,
        _ if is_environment(&lower) => Sort::Variables,
        _ if matches!(ending, "pem" | "key" | "ppk" | "p8" | "asc") => Sort::Key,
        _ if lower.starts_with("id_") && ending != "pub" => Sort::Key,
        _ => Sort::Text,
    };
    if known != Sort::Text {
        return Some(known);
    }
    let of_others = OF_OTHERS.iter().any(|start| path.starts_with(start))
        || above.split('/').any(|part| PACKAGES.contains(&part));
    let is_text = TEXT.contains(&ending) || ending.is_empty() || lower.starts_with('.');
    (is_text && !of_others).then_some(Sort::Text)
}

/// `.env` and its like, but not what shows how one is written.
#[must_use]
pub fn is_environment(name: &str) -> bool {
    let Some(rest) = name.strip_prefix(".env") else {
        let is_one = name
            .rsplit_once('.')
            .is_some_and(|(_, ending)| ending == "env");
        return is_one && !TEMPLATES.iter().any(|word| name.contains(word));
    };
    let mut parts = rest.split('.').skip(1);
    (rest.is_empty() || rest.starts_with('.')) && !parts.any(|part| TEMPLATES.contains(&part))
}

/// What is secret in a file.
#[must_use]
pub fn in_content(path: &[u8], bytes: &[u8]) -> Vec<Hit> {
    let Some(sort) = std::str::from_utf8(path).ok().and_then(sort) else {
        return Vec::new();
    };
    // What has a zero in it is no text.
    let start = bytes.get(..8000).unwrap_or(bytes);
    if start.contains(&0) {
        return Vec::new();
    }
    let mut hits = Vec::new();
    keys(bytes, &mut hits);
    tokens(bytes, &mut hits);
    if !matches!(sort, Sort::Key | Sort::Text) {
        for (number, line) in (1..).zip(bytes.split(|b| *b == b'\n')) {
            if hits.len() >= MAX_HITS {
                break;
            }
            let Ok(line) = std::str::from_utf8(line) else {
                continue;
            };
            let found = of_line(sort, line.trim());
            // A token says more than the name of its variable.
            let known = hits.iter().any(|hit: &Hit| hit.line == number);
            if let Some((what, shown)) = found.filter(|_| !known) {
                hits.push(Hit {
                    what,
                    line: number,
                    shown,
                });
            }
        }
    }
    hits.truncate(MAX_HITS);
    hits
}

/// What is secret in an instruction or a variable: `NAME=value`, `--password value`, addresses, tokens.
#[must_use]
pub fn in_words(text: &str) -> Vec<Hit> {
    let mut hits = Vec::new();
    keys(text.as_bytes(), &mut hits);
    tokens(text.as_bytes(), &mut hits);
    let mut add = |what, shown: String| {
        hits.push(Hit {
            what,
            line: 1,
            shown,
        });
    };
    let mut last = "";
    for word in text.split(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ';' | ',' | '|'))
    {
        let has_token = {
            let mut found = Vec::new();
            tokens(word.as_bytes(), &mut found);
            !found.is_empty()
        };
        if word.is_empty() || has_token {
            continue;
        }
        let pair = word.split_once('=');
        if let Some(shown) = address(word) {
            add(What::Credentials, shown);
        } else if let Some((name, value)) =
            pair.filter(|(name, value)| is_secret_name(name) && is_real(value))
        {
            add(What::Password, hidden(&format!("{name}="), value));
        } else if matches!(last, "-u" | "--user")
            && let Some((user, password)) = word.split_once(':').filter(|(user, password)| {
                // `docker run -u 1000:1000` has no password.
                is_real(password) && !user.chars().all(|c| c.is_ascii_digit())
            })
        {
            add(What::Credentials, hidden(&format!("{user}:"), password));
        } else if last.starts_with("--") && is_secret_name(last) && is_real(word) {
            add(What::Password, hidden(&format!("{last} "), word));
        } else if last.eq_ignore_ascii_case("bearer") && word.len() >= 16 && is_random(word, 3.0) {
            add(What::Credentials, hidden("Bearer ", word));
        }
        last = word;
    }
    hits
}

fn of_line(sort: Sort, line: &str) -> Option<(What, String)> {
    if line.starts_with(['#', ';']) {
        return None;
    }
    let credentials = |name: &str, value: &str| {
        let value = unquoted(value);
        is_real(value).then(|| (What::Credentials, hidden(name, value)))
    };
    match sort {
        Sort::Variables => {
            let (name, value) = line
                .strip_prefix("export ")
                .unwrap_or(line)
                .split_once('=')?;
            let value = unquoted(value);
            if let Some(shown) = address(value) {
                return Some((What::Credentials, format!("{}={shown}", name.trim())));
            }
            (is_secret_name(name.trim()) && is_real(value))
                .then(|| (What::Password, hidden(&format!("{}=", name.trim()), value)))
        }
        Sort::Npmrc => {
            let (name, value) = line.split_once('=').or_else(|| line.split_once(": "))?;
            let name = name.rsplit(':').next().unwrap_or(name).trim();
            is_npm_secret(name)
                .then(|| credentials(&format!("{name}="), value))
                .flatten()
        }
        Sort::Netrc => {
            let mut words = line
                .split_whitespace()
                .skip_while(|word| *word != "password");
            words.next()?;
            credentials("password ", words.next()?)
        }
        Sort::Ini => {
            let (name, value) = line.split_once('=')?;
            let name = name.trim();
            let lower = name.to_ascii_lowercase();
            let is_secret = matches!(
                lower.as_str(),
                "password"
                    | "aws_secret_access_key"
                    | "aws_session_token"
                    | "secret_key"
                    | "gs_oauth2_refresh_token"
            );
            is_secret
                .then(|| credentials(&format!("{name}="), value))
                .flatten()
        }
        Sort::Pgpass => {
            let fields: Vec<&str> = line.splitn(5, ':').collect();
            credentials("password ", fields.get(4)?)
        }
        Sort::Docker => ["auth", "identitytoken", "registrytoken"]
            .iter()
            .find_map(|name| {
                let (_, rest) = line.split_once(&format!("\"{name}\""))?;
                let (_, rest) = rest.split_once('"')?;
                let (value, _) = rest.split_once('"')?;
                credentials(&format!("{name} "), value)
            }),
        Sort::Kube => ["client-key-data:", "token:", "password:"]
            .iter()
            .find_map(|name| credentials(name, line.strip_prefix(name)?)),
        Sort::Addresses => address(line).map(|shown| (What::Credentials, shown)),
        Sort::Key | Sort::Text => None,
    }
}

fn is_npm_secret(name: &str) -> bool {
    matches!(
        name.trim(),
        "_authToken" | "_auth" | "_password" | "npmAuthToken" | "npmAuthIdent"
    )
}

/// `https://user:…@host`, for an address with a password in it.
fn address(text: &str) -> Option<String> {
    let (before, rest) = text.split_once("://")?;
    let start = before
        .rfind(|c: char| !c.is_ascii_alphanumeric() && c != '+')
        .map_or(0, |at| at + 1);
    let scheme = before.get(start..).filter(|scheme| !scheme.is_empty())?;
    let end = rest
        .find(['/', '?', '#', ' ', '"', '\'', '>', ')'])
        .unwrap_or(rest.len());
    let (who, host) = rest.get(..end)?.rsplit_once('@')?;
    let (user, password) = who.split_once(':')?;
    let is_host = host
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || ".-:[]".contains(c))
        && !host.is_empty();
    (is_host && is_real(password) && !host.starts_with("example."))
        .then(|| hidden(&format!("{scheme}://{user}:"), password) + "@" + host)
}

fn unquoted(value: &str) -> &str {
    value.trim().trim_matches(['"', '\'', '`'])
}

/// What may be shown: what it is called, and how long it is.
fn hidden(name: &str, value: &str) -> String {
    format!("{name}… ({} characters)", value.chars().count())
}

const SECRET_WORDS: &[&str] = &[
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "PASS",
    "PWD",
    "SECRET",
    "SECRETS",
    "TOKEN",
    "APIKEY",
    "CREDENTIALS",
];
const SECRET_PAIRS: &[&str] = &[
    "API_KEY",
    "ACCESS_KEY",
    "SECRET_KEY",
    "PRIVATE_KEY",
    "ENCRYPTION_KEY",
    "AUTH_KEY",
    "SIGNING_KEY",
    "MASTER_KEY",
];
/// A name that ends so tells of a secret, and is none.
const ABOUT: &[&str] = &[
    "FILE",
    "PATH",
    "DIR",
    "URL",
    "URI",
    "NAME",
    "USER",
    "TTL",
    "EXPIRY",
    "EXPIRES",
    "TIMEOUT",
    "LENGTH",
    "MIN",
    "MAX",
    "ENABLED",
    "HEADER",
    "TYPE",
    "ID",
    "ISSUER",
    "ALGORITHM",
    "POLICY",
    "ENDPOINT",
    "SECONDS",
    "HASH",
    "SHA256",
    "VERSION",
    "HELPER",
    "ARN",
    "STDIN",
];

fn is_secret_name(name: &str) -> bool {
    let name = name
        .trim_start_matches('-')
        .to_ascii_uppercase()
        .replace(['-', '.'], "_");
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let last = name.rsplit('_').next().unwrap_or_default();
    if !is_name || ABOUT.contains(&last) || matches!(name.as_str(), "PWD" | "OLDPWD") {
        return false;
    }
    name.split('_').any(|word| SECRET_WORDS.contains(&word))
        || SECRET_PAIRS.iter().any(|pair| name.ends_with(pair))
}

const STAND_INS: &[&str] = &[
    "changeme",
    "change_me",
    "change-me",
    "change-it",
    "changeit",
    "example",
    "placeholder",
    "your",
    "xxxx",
    "dummy",
    "redacted",
    "insert",
    "replace",
    "todo",
    "fixme",
    "****",
    "....",
];
const NO_VALUES: &[&str] = &[
    "password",
    "passwd",
    "secret",
    "token",
    "none",
    "null",
    "true",
    "false",
    "required",
    "optional",
    "undefined",
    "unset",
    "string",
    "default",
    "empty",
];

/// A value that is meant, not one that stands for it.
fn is_real(value: &str) -> bool {
    let value = unquoted(value);
    let lower = value.to_ascii_lowercase();
    let first = value.chars().next();
    value.chars().count() >= 4
        && !first.is_some_and(|c| {
            matches!(
                c,
                '$' | '<' | '{' | '/' | '%' | '(' | '[' | '@' | '-' | '!' | '*'
            )
        })
        && !value.contains("${")
        && !value.contains("{{")
        && !value.contains("$(")
        && !STAND_INS.iter().any(|word| lower.contains(word))
        && !NO_VALUES.contains(&lower.as_str())
        && value.chars().any(|c| Some(c) != first)
}

const BEGIN: &[u8] = b"-----BEGIN ";
/// Of a key's text: so much is looked at.
const KEY: usize = 16 << 10;
/// Letters that the shortest key has (Ed25519, PKCS #8).
const SHORTEST: usize = 60;

fn keys(bytes: &[u8], hits: &mut Vec<Hit>) {
    let mut from = 0;
    while let Some(found) = find(bytes.get(from..).unwrap_or_default(), BEGIN) {
        if hits.len() >= MAX_HITS {
            return;
        }
        let start = from + found;
        from = start + BEGIN.len();
        let rest = bytes.get(from..).unwrap_or_default();
        let rest = rest.get(..KEY).unwrap_or(rest);
        if let Some((what, shown)) = key(rest) {
            let before = bytes.get(..start).unwrap_or_default();
            let line = before.split(|b| *b == b'\n').count();
            hits.push(Hit {
                what,
                line: u64::try_from(line).unwrap_or(1),
                shown,
            });
        }
    }
}

/// What follows `-----BEGIN `, if it is a key and not a text about keys.
fn key(rest: &[u8]) -> Option<(What, String)> {
    let end = find(rest, b"-----")?;
    let label = std::str::from_utf8(rest.get(..end)?).ok()?;
    let kind = label
        .strip_suffix("PRIVATE KEY")
        .or_else(|| label.strip_suffix("PRIVATE KEY BLOCK"))?;
    let body = rest.get(end + 5..)?;
    let body = body.get(..find(body, b"-----END ")?)?;
    // In JSON and in variables the ends of lines are written out.
    let body = String::from_utf8_lossy(body)
        .replace("\\r", "")
        .replace("\\n", "\n");
    let mut letters = String::new();
    let mut is_locked = kind.contains("ENCRYPTED");
    for line in body
        .lines()
        .map(|line| line.trim().trim_matches(['"', '\'', '\\', '+', ',']).trim())
    {
        if line.contains(':') {
            is_locked |= line.contains("ENCRYPTED");
        } else if line.bytes().all(base64) {
            letters += line;
        } else {
            return None;
        }
    }
    // The name of the cipher, which is none (PROTOCOL.key of OpenSSH).
    is_locked |=
        kind.contains("OPENSSH") && !letters.starts_with("b3BlbnNzaC1rZXktdjEAAAAABG5vbmU");
    if letters.len() < SHORTEST || !is_random(&letters, 3.5) {
        return None;
    }
    let kind = kind.trim();
    let space = if kind.is_empty() { "" } else { " " };
    let shown = format!("{kind}{space}private key ({} characters)", letters.len());
    Some((
        if is_locked {
            What::EncryptedKey
        } else {
            What::PrivateKey
        },
        shown,
    ))
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}

#[cfg(test)]
mod tests;
