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

/// Tokens in a text, up to as many as are told.
pub(super) fn tokens(bytes: &[u8], hits: &mut Vec<Hit>) {
    let mut starts = [false; 256];
    for form in FORMS {
        if let Some(first) = form.start.first() {
            starts[usize::from(*first)] = true;
        }
    }
    let mut at = 0;
    let mut line = 1;
    let mut before = b'\n';
    while let Some(byte) = bytes.get(at).copied() {
        let begins = starts[usize::from(byte)] && !name(before);
        let rest = bytes.get(at..).unwrap_or_default();
        if begins
            && let Some((form, length)) = FORMS
                .iter()
                .find_map(|form| Some((form, form.matches(rest)?)))
        {
            if hits.len() >= MAX_HITS {
                return;
            }
            hits.push(Hit {
                what: What::Token,
                line,
                shown: format!(
                    "{}: {}… ({} characters)",
                    form.service,
                    String::from_utf8_lossy(form.start),
                    form.start.len() + length
                ),
            });
            at += form.start.len() + length;
            before = b'0';
            continue;
        }
        line += u64::from(byte == b'\n');
        before = byte;
        at += 1;
    }
}

impl Form {
    /// How many bytes follow the start, if this is one.
    fn matches(&self, bytes: &[u8]) -> Option<usize> {
        let rest = bytes.strip_prefix(self.start)?;
        let limit = rest.get(..self.length.1 + 1).unwrap_or(rest);
        let length = limit.iter().take_while(|b| (self.follows)(**b)).count();
        let tail = std::str::from_utf8(rest.get(..length)?).ok()?;
        let fits = (self.length.0..=self.length.1).contains(&length);
        let is_made_up = STAND_INS
            .iter()
            .any(|word| tail.to_ascii_lowercase().contains(word));
        (fits && is_random(tail, self.entropy) && !is_made_up && !is_counted(tail))
            .then_some(length)
    }
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
