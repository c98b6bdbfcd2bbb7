//! What an image must keep to before it ships: limits and things that must not be in it, each with a verdict.

use super::entry::{Entry, Kind};
use super::explored::Explored;
use super::findings::{Finding, Rule};
use super::glob::Glob;

/// Limits; what is `None`, empty or false is not looked at.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rules {
    /// Bytes of all layers' files.
    pub max_size: Option<u64>,
    /// Bytes of one layer's files.
    pub max_layer_size: Option<u64>,
    /// Layers.
    pub max_layers: Option<usize>,
    /// Bytes that are hidden.
    pub max_waste: Option<u64>,
    /// Hidden bytes by all bytes, in percent.
    pub max_waste_percent: Option<f64>,
    /// No file of any layer may have set-user-ID or set-group-ID.
    pub no_setuid: bool,
    /// Its user must not be root.
    pub no_root: bool,
    /// No secret may be in any layer, in the history or in the variables.
    pub no_secrets: bool,
    /// Nothing that everybody may change.
    pub no_world_writable: bool,
    /// No path of any layer may be one of these.
    pub forbidden: Vec<Glob>,
    /// What it weighed before.
    pub baseline: Option<Baseline>,
}

/// An earlier image that a later one is measured by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Baseline {
    /// Bytes of all layers' files.
    pub size: u64,
    /// Bytes that are hidden.
    pub wasted: u64,
    /// What may be added to either, in percent.
    pub growth: f64,
}

impl Baseline {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a share of it is no exact number either"
    )]
    fn verdict(&self, rule: &'static str, found: u64, before: u64) -> Verdict {
        let passed = found <= before || found as f64 <= before as f64 * (1.0 + self.growth / 100.0);
        let grown = match found.checked_sub(before) {
            Some(more) => format!("{more} bytes more"),
            None => format!("{} bytes less", before - found),
        };
        Verdict {
            rule,
            passed,
            found: format!(
                "{found} bytes, {grown} than before, at most {} % more",
                self.growth
            ),
        }
    }
}

/// What came of one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The rule, as the command line calls it.
    pub rule: &'static str,
    /// The image keeps to it.
    pub passed: bool,
    /// What was found beside what is allowed.
    pub found: String,
}

impl Rules {
    /// No rule at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// A verdict for each rule, in a fixed order.
    #[must_use]
    pub fn judge(&self, image: &Explored) -> Vec<Verdict> {
        let size = image.size();
        let wasted = image.stack.wasted();
        let largest = image
            .layers
            .iter()
            .map(|layer| layer.size)
            .max()
            .unwrap_or(0);
        let mut all = Vec::new();
        let mut at_most = |rule, found: u64, limit: Option<u64>, unit: &str| {
            if let Some(limit) = limit {
                all.push(Verdict {
                    rule,
                    passed: found <= limit,
                    found: format!("{found}{unit}, at most {limit}{unit}"),
                });
            }
        };
        at_most("max-size", size, self.max_size, " bytes");
        at_most("max-layer-size", largest, self.max_layer_size, " bytes");
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        at_most(
            "max-layers",
            count(image.layers.len()),
            self.max_layers.map(count),
            "",
        );
        at_most("max-waste", wasted, self.max_waste, " bytes");
        if let Some(limit) = self.max_waste_percent {
            let percent = percent(wasted, size);
            all.push(Verdict {
                rule: "max-waste-percent",
                passed: percent <= limit,
                found: format!("{percent:.2} %, at most {limit} %"),
            });
        }
        if self.no_setuid {
            let found = first_of(image, |entry| {
                matches!(entry.kind, Kind::File { .. }) && entry.mode & 0o6000 != 0
            });
            all.push(nothing("no-setuid", found));
        }
        if self.no_root {
            let user = image.about.user.split(':').next().unwrap_or_default();
            let is_root = matches!(user, "" | "0" | "root");
            let found = if is_root {
                "the image runs as root"
            } else {
                user
            };
            all.push(Verdict {
                rule: "no-root",
                passed: !is_root,
                found: found.to_owned(),
            });
        }
        for glob in &self.forbidden {
            let found = first_of(image, |entry| {
                entry.kind != Kind::Whiteout && glob.matches(&entry.path)
            });
            let mut verdict = nothing("forbid", found);
            verdict.found = format!("{}: {}", glob.text(), verdict.found);
            all.push(verdict);
        }
        if let Some(before) = &self.baseline {
            all.push(before.verdict("baseline-size", size, before.size));
            all.push(before.verdict("baseline-waste", wasted, before.wasted));
        }
        all
    }
}

impl Rules {
    /// Some rule is about findings: then files are read for it.
    #[must_use]
    pub fn needs_findings(&self) -> bool {
        self.no_secrets || self.no_world_writable
    }

    /// A verdict for each rule about findings, in a fixed order.
    #[must_use]
    pub fn judge_findings(&self, findings: &[Finding]) -> Vec<Verdict> {
        let mut all = Vec::new();
        let mut none = |rule, is_such: &dyn Fn(&Finding) -> bool| {
            let mut such = findings.iter().filter(|finding| is_such(finding));
            let first = such.next();
            let path = first.and_then(|finding| finding.path.clone());
            // A command line that has one, or a variable.
            let path = path.unwrap_or_else(|| b"(configuration)".to_vec());
            let path = String::from_utf8_lossy(&path).into_owned();
            all.push(nothing(rule, (first.map_or(0, |_| 1 + such.count()), path)));
        };
        if self.no_secrets {
            none("no-secrets", &|finding| finding.rule.is_secret());
        }
        if self.no_world_writable {
            none("no-world-writable", &|finding| {
                finding.rule == Rule::WorldWritable
            });
        }
        all
    }
}

/// Whether an image stands on another one: its lowest layers are the other's, to the digest.
#[must_use]
pub fn stands_on(image: &Explored, base: &Explored) -> Verdict {
    let (own, others) = (&image.layers, &base.layers);
    let different = (0..others.len()).find(|place| {
        let pair = own.get(*place).zip(others.get(*place));
        pair.is_none_or(|(own, other)| own.diff_id != other.diff_id)
    });
    let found = match different {
        None => format!(
            "its lowest {} of {}",
            match others.len() {
                1 => "layer is that".to_owned(),
                many => format!("{many} layers are those"),
            },
            base.about.name
        ),
        Some(place) => format!("layer {place} is not that of {}", base.about.name),
    };
    Verdict {
        rule: "base",
        passed: different.is_none(),
        found,
    }
}

/// How much of a whole, in percent; 0 of nothing.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 * 100.0 / whole as f64
    }
}

/// How many entries are such, and the first one's path.
fn first_of(image: &Explored, is_such: impl Fn(&Entry) -> bool) -> (usize, String) {
    let mut found = image
        .stack
        .layers
        .iter()
        .flat_map(|entries| entries.iter())
        .filter(|entry| is_such(entry));
    let first = found.next();
    let path = first.map_or(String::new(), |entry| {
        String::from_utf8_lossy(&entry.path).into_owned()
    });
    (first.map_or(0, |_| 1 + found.count()), path)
}

fn nothing(rule: &'static str, (count, first): (usize, String)) -> Verdict {
    let found = match count {
        0 => "none".to_owned(),
        1 => format!("/{first}"),
        more => format!("/{first} and {} more", more - 1),
    };
    Verdict {
        rule,
        passed: count == 0,
        found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::model::layers::diff::tests::{file, image};
    use crate::engine::model::layers::findings::{Evidence, findings};

    #[test]
    fn findings_are_judged_by_their_rule() {
        let mut open = file("w", 1, 1);
        open.mode = 0o666;
        let mut image = image(&[(1, "RUN login --password hunter22", vec![open])]);
        let rules = Rules {
            no_secrets: true,
            no_world_writable: true,
            ..Rules::default()
        };
        assert!(rules.needs_findings());
        let judge = |image: &Explored| -> Vec<(&str, bool, String)> {
            let found = findings(image, &Evidence::default());
            let verdicts = rules.judge_findings(&found).into_iter();
            verdicts
                .map(|one| (one.rule, one.passed, one.found))
                .collect()
        };
        let expected = [
            ("no-secrets", false, "/(configuration)".to_owned()),
            ("no-world-writable", false, "/w".to_owned()),
        ];
        assert_eq!(judge(&image), expected);
        image.about.history.clear();
        assert_eq!(judge(&image)[0], ("no-secrets", true, "none".to_owned()));
        assert_eq!(Rules::default().judge_findings(&[]), []);
    }

    #[test]
    fn an_image_stands_on_one_whose_layers_are_its_lowest() {
        let layer = |id: u8| (id, "", vec![file("x", 1, id)]);
        let own = image(&[layer(1), layer(2), layer(3)]);
        for (base, passed) in [
            (image(&[]), true),
            (image(&[layer(1), layer(2)]), true),
            (image(&[layer(1), layer(9)]), false),
            (image(&[layer(1), layer(2), layer(3), layer(4)]), false),
        ] {
            assert_eq!(stands_on(&own, &base).passed, passed);
        }
    }
}
