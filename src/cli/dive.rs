//! dive's report and rules, so that a pipeline can change the program and keep its lines (dive 0.13).

use std::fmt::Write as _;

use super::args;
use crate::engine::model::layers::Explored;
use crate::engine::model::layers::dive::{self, Figures};
use crate::engine::model::units;

/// dive's three rules; `None` is disabled.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    lowest_efficiency: Option<f64>,
    highest_wasted_bytes: Option<u64>,
    highest_user_wasted: Option<f64>,
}

impl Rules {
    /// The flags, with dive's defaults.
    ///
    /// # Errors
    /// What dive says of a value that it cannot read or that is out of range.
    pub fn read(args: &args::Layers) -> Result<Self, String> {
        let share = |flag: &str, text: Option<&str>, usual| match text {
            None => Ok(Some(usual)),
            Some(text) if is_off(text) => Ok(None),
            Some(text) => match text.parse::<f64>() {
                Ok(share) if (0.0..=1.0).contains(&share) => Ok(Some(share)),
                Ok(_) => Err(format!(
                    "{flag} config value is outside allowed range (0-1), given '{text}'"
                )),
                Err(_) => Err(format!(
                    "invalid config value ('{text}'): {flag} is a number from 0 to 1, or disabled"
                )),
            },
        };
        let bytes = match args.highest_wasted_bytes.as_deref() {
            Some(text) if !is_off(text) => Some(
                units::parse_size(text)
                    .ok_or_else(|| format!("invalid config value ('{text}'): highestWastedBytes is a size such as 20MB, or disabled"))?,
            ),
            _ => None,
        };
        Ok(Self {
            lowest_efficiency: share("lowestEfficiency", args.lowest_efficiency.as_deref(), 0.9)?,
            highest_wasted_bytes: bytes,
            highest_user_wasted: share(
                "highestUserWastedPercent",
                args.highest_user_wasted_percent.as_deref(),
                0.1,
            )?,
        })
    }

    /// Each rule by name, in dive's order: failed, with its sentence; kept; or not looked at.
    fn judge(&self, figures: &Figures) -> [(&'static str, Option<Result<(), String>>); 3] {
        let told = |failed: bool, text: String| if failed { Err(text) } else { Ok(()) };
        let user = self.highest_user_wasted.map(|limit| {
            let found = number(figures.user_wasted);
            let text = format!("too many bytes wasted, relative to the user bytes added (%-user-wasted-bytes={found} > threshold={limit})");
            // What is no number is not more than anything.
            told(limit < figures.user_wasted, text)
        });
        let bytes = self.highest_wasted_bytes.map(|limit| {
            let found = figures.wasted;
            told(
                found > limit,
                format!("too many bytes wasted (wasted-bytes={found} > threshold={limit})"),
            )
        });
        let efficiency = self.lowest_efficiency.map(|limit| {
            let found = number(figures.efficiency);
            told(
                limit > figures.efficiency,
                format!("image efficiency is too low (efficiency={found} < threshold={limit})"),
            )
        });
        [
            ("highestUserWastedPercent", user),
            ("highestWastedBytes", bytes),
            ("lowestEfficiency", efficiency),
        ]
    }
}

fn is_off(text: &str) -> bool {
    matches!(text, "" | "disabled" | "off" | "false")
}

/// dive's figures of an image.
#[must_use]
pub fn figures(image: &Explored) -> Figures {
    let sizes: Vec<u64> = image.layers.iter().map(|layer| layer.size).collect();
    dive::figures(&image.stack.layers, &sizes)
}

/// dive's report, with its rules if they are to be checked; `true` unless one of them failed.
#[must_use]
pub fn report(image: &Explored, rules: Option<&Rules>) -> (String, bool) {
    let figures = figures(image);
    let mut text = format!(
        "Image Source: wharf://{}\nAnalyzing image...\n",
        image.about.name
    );
    let _ = writeln!(text, "  efficiency: {} %", percent(figures.efficiency));
    let _ = writeln!(
        text,
        "  wastedBytes: {} bytes ({})",
        figures.wasted,
        size(figures.wasted)
    );
    let _ = writeln!(
        text,
        "  userWastedPercent: {} %",
        percent(figures.user_wasted)
    );
    text += "Inefficient Files:\nCount  Wasted Space  File Path\n";
    if figures.inefficient.is_empty() {
        text += "None\n";
    }
    for file in figures.inefficient.iter().rev() {
        let path = String::from_utf8_lossy(&file.path);
        let _ = writeln!(text, "{:>5}  {:>12}  {path}", file.count, size(file.bytes));
    }
    let Some(rules) = rules else {
        return (text, true);
    };
    text += "Results:\n";
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for (rule, verdict) in rules.judge(&figures) {
        let (count, line) = match verdict {
            None => (&mut skipped, format!("SKIP: {rule}: rule disabled")),
            Some(Ok(())) => (&mut passed, format!("PASS: {rule}")),
            Some(Err(why)) => (&mut failed, format!("FAIL: {rule}: {why}")),
        };
        *count += 1;
        let _ = writeln!(text, "  {line}");
    }
    let word = if failed > 0 { "FAIL" } else { "PASS" };
    let _ = writeln!(
        text,
        "Result:{word} [Total:3] [Passed:{passed}] [Failed:{failed}] [Warn:0] [Skipped:{skipped}]"
    );
    (text, failed == 0)
}

/// As Go prints a number.
fn number(value: f64) -> String {
    match value {
        value if value.is_nan() => "NaN".to_owned(),
        value if value.is_infinite() => "+Inf".to_owned(),
        value => value.to_string(),
    }
}

fn percent(share: f64) -> String {
    if share.is_finite() {
        format!("{:.4}", share * 100.0)
    } else {
        number(share)
    }
}

/// As go-humanize prints bytes: `131 B`, `6.4 kB`, `13 kB`.
fn size(bytes: u64) -> String {
    if bytes < 10 {
        return format!("{bytes} B");
    }
    let mut unit = 1_u64;
    let mut names = ["B", "kB", "MB", "GB", "TB", "PB", "EB"].iter();
    let mut name = names.next();
    while bytes / unit >= 1000 {
        unit *= 1000;
        name = names.next();
    }
    // Tenths, rounded half up.
    let tenths = (u128::from(bytes) * 10 + u128::from(unit / 2)) / u128::from(unit);
    let name = name.copied().unwrap_or("EB");
    if tenths < 100 {
        format!("{}.{} {name}", tenths / 10, tenths % 10)
    } else {
        format!("{} {name}", (tenths + 5) / 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_go_humanize() {
        let cases = [
            (0, "0 B"),
            (9, "9 B"),
            (131, "131 B"),
            (6405, "6.4 kB"),
            (12_810, "13 kB"),
            (32_025, "32 kB"),
            (1_220_598, "1.2 MB"),
        ];
        for (bytes, text) in cases {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn numbers_are_printed_as_go_prints_them() {
        assert_eq!(number(f64::NAN), "NaN");
        assert_eq!(number(1.0 / 0.0), "+Inf");
        assert_eq!(number(0.483_491_100_140_404_9), "0.4834911001404049");
    }
}
