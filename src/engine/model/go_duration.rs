//! Durations as Go reads and writes them (`time.ParseDuration`, `Duration.String`): `1m30s`, `500ms`, `1.5s`.

/// Nanoseconds of `1h30m`, `1.5s`, `-10ms`; `None` for what is no duration or more than 292 years.
#[must_use]
pub fn parse(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut total = 0_i64;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(end);
        let end = after
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(after.len());
        let (unit, next) = after.split_at(end);
        let scale: i64 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let whole: i64 = if whole.is_empty() {
            0
        } else {
            whole.parse().ok()?
        };
        total = total.checked_add(whole.checked_mul(scale)?)?;
        let mut place = scale;
        for digit in fraction.chars() {
            place /= 10;
            total = total.checked_add(i64::from(digit.to_digit(10)?) * place)?;
        }
        rest = next;
    }
    Some(sign * total)
}

/// What a number of nanoseconds reads as.
#[must_use]
pub fn text(nanoseconds: i64) -> String {
    let nanos = nanoseconds.unsigned_abs();
    let decimal = |whole: u64, scale: u64, unit: &str| {
        let digits = scale.ilog10() as usize;
        let fraction = format!("{:0digits$}", whole % scale);
        let fraction = fraction.trim_end_matches('0');
        match (digits, fraction) {
            (0, _) | (_, "") => format!("{}{unit}", whole / scale),
            _ => format!("{}.{fraction}{unit}", whole / scale),
        }
    };
    let text = match nanos {
        0 => "0s".to_owned(),
        1..1_000 => decimal(nanos, 1, "ns"),
        1_000..1_000_000 => decimal(nanos, 1_000, "\u{b5}s"),
        1_000_000..1_000_000_000 => decimal(nanos, 1_000_000, "ms"),
        _ => {
            let seconds = decimal(nanos % 60_000_000_000, 1_000_000_000, "s");
            let minutes = nanos / 60_000_000_000;
            match (minutes / 60, minutes % 60) {
                (0, 0) => seconds,
                (0, minutes) => format!("{minutes}m{seconds}"),
                (hours, minutes) => format!("{hours}h{minutes}m{seconds}"),
            }
        }
    };
    if nanoseconds < 0 {
        format!("-{text}")
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_are_printed_as_go_prints_them() {
        for (nanos, text) in [
            (0, "0s"),
            (15, "15ns"),
            (1_500, "1.5\u{b5}s"),
            (500_000_000, "500ms"),
            (1_500_000_000, "1.5s"),
            (30_000_000_000, "30s"),
            (60_000_000_000, "1m0s"),
            (3_690_050_000_000, "1h1m30.05s"),
        ] {
            assert_eq!(super::text(nanos), text);
        }
    }
    #[test]
    fn what_is_no_duration_is_refused() {
        for wrong in [
            "",
            "5",
            "x",
            "5s5",
            "1.2.3s",
            "5d",
            "-",
            "+",
            ".s",
            "s",
            "9999999999h",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(nanoseconds in -i64::MAX..=i64::MAX) {
            prop_assert_eq!(parse(&text(nanoseconds)), Some(nanoseconds));
        }
    }
}
