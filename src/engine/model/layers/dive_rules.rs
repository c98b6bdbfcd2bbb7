//! dive's three rules: from its file `.dive-ci`, from flags of the same names, and what an image makes of them.

use serde_json::Value;

use super::dive::Figures;
use crate::engine::model::{units, yaml};

/// Names of the rules in dive's order.
pub const NAMES: [&str; 3] = [
    "highestUserWastedPercent",
    "highestWastedBytes",
    "lowestEfficiency",
];

/// The same as dive's later versions write them.
const KEBAB: [&str; 3] = [
    "highest-user-wasted-percent",
    "highest-wasted-bytes",
    "lowest-efficiency",
];

/// What dive allows where nothing is said.
const USUAL: [&str; 3] = ["0.1", "disabled", "0.9"];

/// Limits as they were written, in the order of [`NAMES`]; `None` is dive's own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written(pub [Option<String>; 3]);

/// dive's three rules; `None` is disabled.
#[derive(Debug, Clone, PartialEq)]
pub struct DiveRules {
    highest_user_wasted: Option<f64>,
    highest_wasted_bytes: Option<u64>,
    lowest_efficiency: Option<f64>,
}

impl Written {
    /// Reads a file (`.dive-ci`): the limits, and the names below `rules` that are no rule of dive's.
    ///
    /// # Errors
    /// Where it is no YAML, or `rules` is not what it should be.
    pub fn read(text: &str) -> Result<(Self, Vec<String>), String> {
        let document = match yaml::to_json(text) {
            Ok(document) => document,
            // A file with comments alone.
            Err(_) if text.lines().all(is_blank) => Value::Null,
            Err(error) => return Err(error),
        };
        let rules = match document {
            Value::Null => return Ok((Self::default(), Vec::new())),
            Value::Object(mut map) => map.remove("rules").unwrap_or(Value::Null),
            _ => return Err("it has no rules".to_owned()),
        };
        let rules = match rules {
            Value::Null => return Ok((Self::default(), Vec::new())),
            Value::Object(rules) => rules,
            _ => return Err("rules is no list of names and limits".to_owned()),
        };
        let mut written = Self::default();
        let mut unknown = Vec::new();
        for (name, limit) in rules {
            let known = |names: &[&str; 3]| names.iter().position(|known| *known == name);
            let Some(at) = known(&NAMES).or_else(|| known(&KEBAB)) else {
                unknown.push(name);
                continue;
            };
            let limit = match limit {
                Value::String(text) => text,
                Value::Number(number) => number.to_string(),
                // `off` and `false` of YAML 1.1 and 1.2.
                Value::Bool(false) | Value::Null => "disabled".to_owned(),
                _ => return Err(format!("{name}: neither a number nor a text")),
            };
            written.0[at] = Some(limit);
        }
        Ok((written, unknown))
    }

    /// What is said here, and where nothing is, what is said there.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        let mut others = other.0.into_iter();
        Self(self.0.map(|mine| {
            let theirs = others.next().flatten();
            mine.or(theirs)
        }))
    }

    /// Nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    /// The rules, with dive's limits where nothing is said.
    ///
    /// # Errors
    /// Names the rule whose limit cannot be read or is out of range.
    pub fn rules(&self) -> Result<DiveRules, String> {
        let text = |at: usize| self.0[at].as_deref().unwrap_or(USUAL[at]);
        Ok(DiveRules {
            highest_user_wasted: share(NAMES[0], text(0))?,
            highest_wasted_bytes: bytes(NAMES[1], text(1))?,
            lowest_efficiency: share(NAMES[2], text(2))?,
        })
    }
}

fn is_blank(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with('#') || line == "---"
}

fn is_off(text: &str) -> bool {
    matches!(text, "" | "disabled" | "off" | "false")
}

fn share(rule: &str, text: &str) -> Result<Option<f64>, String> {
    if is_off(text) {
        return Ok(None);
    }
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(Some(share)),
        Ok(_) => Err(format!(
            "{rule} config value is outside allowed range (0-1), given '{text}'"
        )),
        Err(_) => Err(format!(
            "invalid config value ('{text}'): {rule} is a number from 0 to 1, or disabled"
        )),
    }
}

fn bytes(rule: &str, text: &str) -> Result<Option<u64>, String> {
    if is_off(text) {
        return Ok(None);
    }
    units::parse_size(text).map(Some).ok_or_else(|| {
        format!("invalid config value ('{text}'): {rule} is a size such as 20MB, or disabled")
    })
}

/// What came of a rule: not looked at, kept, or failed with dive's sentence.
pub type DiveVerdict = Option<Result<(), String>>;

impl DiveRules {
    /// Each rule by name, in dive's order. A limit that is met exactly is kept.
    #[must_use]
    pub fn judge(&self, figures: &Figures) -> [(&'static str, DiveVerdict); 3] {
        let told = |failed: bool, text: String| if failed { Err(text) } else { Ok(()) };
        let user = self.highest_user_wasted.map(|limit| {
            let found = number(figures.user_wasted);
            let text = format!("too many bytes wasted, relative to the user bytes added (%-user-wasted-bytes={found} > threshold={limit})");
            // What is no number is not more than anything.
            told(limit < figures.user_wasted, text)
        });
        let bytes = self.highest_wasted_bytes.map(|limit| {
            let found = figures.wasted;
            let text = format!("too many bytes wasted (wasted-bytes={found} > threshold={limit})");
            told(found > limit, text)
        });
        let efficiency = self.lowest_efficiency.map(|limit| {
            let found = number(figures.efficiency);
            let text =
                format!("image efficiency is too low (efficiency={found} < threshold={limit})");
            told(limit > figures.efficiency, text)
        });
        [(NAMES[0], user), (NAMES[1], bytes), (NAMES[2], efficiency)]
    }
}

/// As Go prints a number.
#[must_use]
pub fn number(value: f64) -> String {
    match value {
        value if value.is_nan() => "NaN".to_owned(),
        value if value.is_infinite() => "+Inf".to_owned(),
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(user: &str, bytes: &str, efficiency: &str) -> Written {
        Written([user, bytes, efficiency].map(|text| Some(text.to_owned())))
    }

    #[test]
    fn numbers_are_printed_as_go_prints_them() {
        assert_eq!(number(f64::NAN), "NaN");
        assert_eq!(number(1.0 / 0.0), "+Inf");
        assert_eq!(number(0.483_491_100_140_404_9), "0.4834911001404049");
    }

    #[test]
    fn a_file_of_dives_is_read() {
        let text = "---\nplugins:\n  - plugin1\n\nrules:\n  # a comment\n  lowestEfficiency: 0.95\n  highestWastedBytes: 20Mb\n  highest-user-wasted-percent: 0.5\n\n  plugin1/rule1: error\n";
        let (found, unknown) = Written::read(text).unwrap();
        assert_eq!(found, written("0.5", "20Mb", "0.95"));
        assert_eq!(unknown, ["plugin1/rule1"]);
        let rules = found.rules().unwrap();
        assert_eq!(rules.highest_wasted_bytes, Some(20_000_000));
        assert_eq!(rules.lowest_efficiency, Some(0.95));
        for text in ["", "# nothing\n", "rules:\n", "plugins: []\n", "---\n"] {
            assert_eq!(Written::read(text).unwrap(), Default::default(), "{text:?}");
        }
        let off = "rules:\n  lowestEfficiency: off\n  highestWastedBytes: false\n  highestUserWastedPercent: \"disabled\"\n";
        let rules = Written::read(off).unwrap().0.rules().unwrap();
        assert!(
            rules
                .judge(&figures())
                .iter()
                .all(|(_, verdict)| verdict.is_none())
        );
        for wrong in [
            "- a",
            "rules: 3",
            "rules:\n  lowestEfficiency: [1]\n",
            "a: b: c",
        ] {
            assert!(Written::read(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn flags_stand_before_the_file_and_the_file_before_dives_own() {
        let flags = Written([None, None, Some("0.5".to_owned())]);
        let file = written("0.2", "1kB", "0.99");
        assert_eq!(flags.or(file), written("0.2", "1kB", "0.5"));
        let usual = Written::default().rules().unwrap();
        assert_eq!(
            (usual.highest_user_wasted, usual.highest_wasted_bytes),
            (Some(0.1), None)
        );
        assert_eq!(usual.lowest_efficiency, Some(0.9));
        assert!(
            written("2", "", "")
                .rules()
                .unwrap_err()
                .contains("outside allowed range")
        );
        assert!(
            written("", "much", "")
                .rules()
                .unwrap_err()
                .contains("highestWastedBytes")
        );
    }

    fn figures() -> Figures {
        Figures {
            efficiency: 0.9,
            wasted: 100,
            size: 1000,
            user_size: 1000,
            user_wasted: 0.1,
            inefficient: Vec::new(),
        }
    }

    #[test]
    fn a_limit_that_is_met_is_kept() {
        let kept = written("0.1", "100B", "0.9")
            .rules()
            .unwrap()
            .judge(&figures());
        assert!(
            kept.iter().all(|(_, verdict)| *verdict == Some(Ok(()))),
            "{kept:?}"
        );
        let failed = written("0.09", "99B", "0.91")
            .rules()
            .unwrap()
            .judge(&figures());
        assert!(
            failed
                .iter()
                .all(|(_, verdict)| matches!(verdict, Some(Err(_)))),
            "{failed:?}"
        );
    }

    proptest! {
        #[test]
        fn every_file_gives_an_answer(text in "\\PC{0,60}") {
            if let Err(error) = Written::read(&text) {
                prop_assert!(!error.is_empty());
            }
        }
    }
}
