//! Tokens of services, known by how they begin and by the randomness of what follows.

use super::{Hit, MAX_HITS, STAND_INS, What};

/// A token of a service: how it begins, and what follows.
struct Form {
    service: &'static str,
    start: &'static [u8],
    /// Bytes that follow, at least and at most.
    length: (usize, usize),
    follows: fn(u8) -> bool,
    /// Bits of each, at least.
    entropy: f64,
}

const fn form(
    service: &'static str,
    start: &'static str,
    length: (usize, usize),
    follows: fn(u8) -> bool,
    entropy: f64,
) -> Form {
    Form {
        service,
        start: start.as_bytes(),
        length,
        follows,
        entropy,
    }
}

fn word(b: u8) -> bool {
    b.is_ascii_alphanumeric()
}
fn upper(b: u8) -> bool {
    b.is_ascii_uppercase() || b.is_ascii_digit()
}
fn lower_hex(b: u8) -> bool {
    b.is_ascii_digit() || (b'a'..=b'f').contains(&b)
}
fn name(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_' || b == b'-'
}
fn dotted(b: u8) -> bool {
    name(b) || b == b'.'
}
/// Letters of base64.
pub(super) fn base64(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=')
}

const FORMS: &[Form] = &[
    form("AWS access key", "AKIA", (16, 16), upper, 3.0),
    form("AWS access key", "ASIA", (16, 16), upper, 3.0),
    form("GitHub token", "ghp_", (36, 36), word, 3.5),
    form("GitHub token", "gho_", (36, 36), word, 3.5),
    form("GitHub token", "ghu_", (36, 36), word, 3.5),
    form("GitHub token", "ghs_", (36, 36), word, 3.5),
    form("GitHub token", "ghr_", (36, 76), word, 3.5),
    form("GitHub token", "github_pat_", (82, 82), name, 3.5),
    form("GitLab token", "glpat-", (20, 64), dotted, 3.0),
    form("Slack token", "xoxb-", (24, 120), name, 3.0),
    form("Slack token", "xoxp-", (24, 120), name, 3.0),
    form("Slack token", "xoxa-", (24, 120), name, 3.0),
    form("Slack token", "xoxs-", (24, 120), name, 3.0),
    form("Google API key", "AIza", (35, 35), name, 3.5),
    form("Google OAuth secret", "GOCSPX-", (28, 28), name, 3.0),
    form("Stripe key", "sk_live_", (24, 120), word, 3.0),
    form("Stripe key", "rk_live_", (24, 120), word, 3.0),
    form("npm token", "npm_", (36, 36), word, 3.5),
    form("PyPI token", "pypi-AgEIcHlwaS5vcmc", (50, 300), name, 3.5),
    form("Docker Hub token", "dckr_pat_", (27, 40), name, 3.0),
    form("SendGrid key", "SG.", (66, 66), dotted, 3.5),
    form("OpenAI key", "sk-proj-", (40, 200), name, 3.5),
    form("Anthropic key", "sk-ant-", (80, 200), name, 3.5),
    form("Hugging Face token", "hf_", (34, 34), word, 3.5),
    form("DigitalOcean token", "dop_v1_", (64, 64), lower_hex, 3.0),
    form("Vault token", "hvs.", (24, 200), name, 3.5),
    form("Terraform token", "atlasv1.", (60, 80), name, 3.5),
    form("Shopify token", "shpat_", (32, 32), lower_hex, 3.0),
    form("Azure storage key", "AccountKey=", (88, 88), base64, 3.5),
];

/// Names, in any case, of keys that look like any other base64.
const NAMES: &[&str] = &["aws_secret_access_key", "aws_secret_key", "secretaccesskey"];
/// Letters of such a key.
const AWS_SECRET: usize = 40;

/// Tokens in a text, up to as many as are told.
pub(super) fn tokens(bytes: &[u8], hits: &mut Vec<Hit>) {
    let mut starts = [false; 256];
    let names = NAMES.iter().map(|name| name.as_bytes());
    for start in FORMS.iter().map(|form| form.start).chain(names) {
        if let Some(first) = start.first() {
            starts[usize::from(*first)] = true;
            starts[usize::from(first.to_ascii_uppercase())] |= first.is_ascii_lowercase();
        }
    }
    let mut at = 0;
    let mut line = 1;
    let mut before = b'\n';
    while let Some(byte) = bytes.get(at).copied() {
        let begins = starts[usize::from(byte)] && !name(before);
        let rest = bytes.get(at..).unwrap_or_default();
        let known = || {
            let found = FORMS
                .iter()
                .find_map(|form| Some((form, form.matches(rest)?)));
            let Some((form, length)) = found else {
                return named(rest);
            };
            let length = form.start.len() + length;
            let start = String::from_utf8_lossy(form.start);
            let shown = format!("{}: {start}… ({length} characters)", form.service);
            Some((shown, length))
        };
        if let Some((shown, length)) = begins.then(known).flatten() {
            if hits.len() >= MAX_HITS {
                return;
            }
            hits.push(Hit {
                what: What::Token,
                line,
                shown,
            });
            at += length;
            before = b'0';
            continue;
        }
        line += u64::from(byte == b'\n');
        before = byte;
        at += 1;
    }
}

/// A key that is known by its name: what to show, and how long both are.
fn named(bytes: &[u8]) -> Option<(String, usize)> {
    let is_named = |name: &&&str| {
        let start = bytes.get(..name.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(name.as_bytes()))
    };
    let name = NAMES.iter().find(is_named)?;
    let rest = bytes.get(name.len()..)?;
    let gap = rest.iter().take_while(|b| b" \t\"'=:>".contains(b)).count();
    let (between, rest) = rest.split_at_checked(gap)?;
    let length = rest.iter().take_while(|b| base64(**b)).count();
    let key = std::str::from_utf8(rest.get(..length)?).ok()?;
    let is_given = between.iter().any(|b| b"=:".contains(b));
    (is_given && length == AWS_SECRET && is_random(key, 4.0) && !is_made_up(key)).then(|| {
        let shown = format!("AWS secret key: {name}… ({length} characters)");
        (shown, name.len() + gap + length)
    })
}

impl Form {
    /// How many bytes follow the start, if this is one.
    fn matches(&self, bytes: &[u8]) -> Option<usize> {
        let rest = bytes.strip_prefix(self.start)?;
        let limit = rest.get(..self.length.1 + 1).unwrap_or(rest);
        let length = limit.iter().take_while(|b| (self.follows)(**b)).count();
        let tail = std::str::from_utf8(rest.get(..length)?).ok()?;
        let fits = (self.length.0..=self.length.1).contains(&length);
        (fits && is_random(tail, self.entropy) && !is_made_up(tail)).then_some(length)
    }
}

/// An example, and no secret.
fn is_made_up(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    STAND_INS.iter().any(|word| lower.contains(word)) || is_counted(text)
}

/// `abcdefgh`, `12345678`: somebody counted.
fn is_counted(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.windows(8).any(|window| {
        window
            .windows(2)
            .all(|pair| pair[1] == pair[0].wrapping_add(1))
    })
}

/// At least so many bits in each byte (Shannon).
#[expect(clippy::cast_precision_loss, reason = "texts are short")]
pub(super) fn is_random(text: &str, least: f64) -> bool {
    let mut counts = [0_u32; 256];
    for byte in text.bytes() {
        counts[usize::from(byte)] += 1;
    }
    let length = text.len() as f64;
    let bits: f64 = counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| {
            let share = f64::from(*count) / length;
            -share * share.log2()
        })
        .sum();
    bits >= least
}
