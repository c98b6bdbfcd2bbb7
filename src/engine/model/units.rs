//! Sizes and durations as Docker reads and writes them.

/// Bytes from `64m`, `1.5g`, `1024`, `10kb`, `2GiB` (powers of 1024 in every form, as docker/go-units `RAMInBytes`).
#[must_use]
pub fn parse_bytes(text: &str) -> Option<u64> {
    read_scaled(text, |unit| match unit {
        "" | "b" => Some(1),
        "k" | "kb" | "kib" => Some(1 << 10),
        "m" | "mb" | "mib" => Some(1 << 20),
        "g" | "gb" | "gib" => Some(1 << 30),
        "t" | "tb" | "tib" => Some(1 << 40),
        "p" | "pb" | "pib" => Some(1 << 50),
        _ => None,
    })
}

/// Bytes from `20MB`, `1.5 GB`, `2GiB`, `1024`: powers of 1000 unless there is an `i`, as sizes of images are shown.
#[must_use]
pub fn parse_size(text: &str) -> Option<u64> {
    read_scaled(text, |unit| match unit {
        "" | "b" => Some(1),
        "k" | "kb" => Some(1000),
        "m" | "mb" => Some(1_000_000),
        "g" | "gb" => Some(1_000_000_000),
        "t" | "tb" => Some(1_000_000_000_000),
        "p" | "pb" => Some(1_000_000_000_000_000),
        binary => binary
            .contains('i')
            .then(|| parse_bytes(&format!("1{binary}")))?,
    })
}

/// A number and its unit, in lower case.
fn read_scaled(text: &str, factor: impl Fn(&str) -> Option<u64>) -> Option<u64> {
    let lower = text.trim().to_ascii_lowercase();
    let split = lower
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(lower.len());
    let (number, unit) = lower.split_at(split);
    let factor = factor(unit.trim_start())?;
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(factor);
    }
    let value: f64 = number.parse().ok()?;
    #[expect(
        clippy::cast_precision_loss,
        reason = "a fraction of a unit is approximate anyway"
    )]
    let bytes = value * factor as f64;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "range is checked"
    )]
    (bytes.is_finite() && (0.0..9e18).contains(&bytes)).then_some(bytes as u64)
}

/// `4.26MB`: powers of 1000, four significant digits, as Docker prints sizes of images and I/O.
#[must_use]
pub fn human_size(bytes: u64) -> String {
    scaled(bytes, 1000.0, &["B", "kB", "MB", "GB", "TB", "PB", "EB"], 4)
}

/// `64MiB`: powers of 1024, four significant digits, as Docker prints memory.
#[must_use]
pub fn human_memory(bytes: u64) -> String {
    scaled(
        bytes,
        1024.0,
        &["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"],
        4,
    )
}

/// `human_size` with three significant digits, as `images` and `history` print it.
#[must_use]
pub fn human_size_short(bytes: u64) -> String {
    scaled(bytes, 1000.0, &["B", "kB", "MB", "GB", "TB", "PB", "EB"], 3)
}

/// `1 layer`, `3 layers`.
#[must_use]
pub fn counted<N: std::fmt::Display + PartialEq + From<u8>>(number: N, what: &str) -> String {
    let ending = if number == N::from(1) { "" } else { "s" };
    format!("{number} {what}{ending}")
}

/// `About an hour`, `3 weeks`: how long ago, as docker/go-units `HumanDuration` puts it.
#[must_use]
pub fn human_duration(seconds: u64) -> String {
    let (minutes, hours) = (seconds / 60, (seconds + 1800) / 3600);
    match () {
        () if seconds < 1 => "Less than a second".to_owned(),
        () if seconds == 1 => "1 second".to_owned(),
        () if seconds < 60 => format!("{seconds} seconds"),
        () if minutes == 1 => "About a minute".to_owned(),
        () if minutes < 60 => format!("{minutes} minutes"),
        () if hours == 1 => "About an hour".to_owned(),
        () if hours < 48 => format!("{hours} hours"),
        () if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        () if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        () if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        () => format!("{} years", seconds / 3600 / 24 / 365),
    }
}

fn scaled(bytes: u64, base: f64, units: &[&str], digits: usize) -> String {
    #[expect(clippy::cast_precision_loss, reason = "only four digits are shown")]
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= base && unit + 1 < units.len() {
        value /= base;
        unit += 1;
    }
    format!(
        "{}{}",
        significant(value, digits),
        units.get(unit).unwrap_or(&"B")
    )
}

/// Go's `%.4g`: so many significant digits, no trailing zeros.
fn significant(value: f64, digits: usize) -> String {
    let whole = if value >= 1000.0 {
        4
    } else if value >= 100.0 {
        3
    } else if value >= 10.0 {
        2
    } else {
        1
    };
    let text = format!("{value:.*}", digits.saturating_sub(whole));
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_docker_reads_them() {
        for (text, bytes) in [
            ("64m", 64 << 20),
            ("1.5g", 3 << 29),
            ("1024", 1024),
            ("10kB", 10240),
            ("0", 0),
            ("2GiB", 2 << 30),
        ] {
            assert_eq!(parse_bytes(text), Some(bytes), "{text}");
        }
        for text in ["", "m", "-1", "1x", "1..5m", "99999999999999999999"] {
            assert_eq!(parse_bytes(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_of_images_are_powers_of_a_thousand() {
        let cases = [
            ("20MB", 20_000_000),
            ("1.5 gb", 1_500_000_000),
            ("2GiB", 2 << 30),
            ("7", 7),
        ];
        for (text, bytes) in cases {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
        }
        for wrong in ["", "x", "1x", "1i", "-1", "1e400"] {
            assert_eq!(parse_size(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn sizes_are_written_as_docker_writes_them() {
        assert_eq!(human_size(4_261_550), "4.262MB");
        assert_eq!(human_size_short(4_261_550), "4.26MB");
        assert_eq!(human_size(0), "0B");
        assert_eq!(human_memory(64 << 20), "64MiB");
        assert_eq!(human_memory(1_500_000), "1.431MiB");
        assert_eq!(human_size_short(999_000_000), "999MB");
    }

    #[test]
    fn durations_are_written_as_docker_writes_them() {
        for (seconds, text) in [
            (0, "Less than a second"),
            (59, "59 seconds"),
            (61, "About a minute"),
            (3599, "59 minutes"),
            (3600, "About an hour"),
            (7200, "2 hours"),
            (86400 * 3, "3 days"),
            (86400 * 20, "2 weeks"),
        ] {
            assert_eq!(human_duration(seconds), text, "{seconds}");
        }
    }
}
