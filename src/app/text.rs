//! Text from outside made safe to draw: no control, no direction override, no invisible character reaches a cell.

use std::borrow::Cow;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Stands for a character that must not reach the terminal.
pub const REPLACEMENT: char = '\u{b7}';

/// What to draw for a character: itself, nothing, or a dot.
///
/// Invisible characters that terminals measure differently from each other (joiners, variation selectors) and those that
/// turn the writing direction are left out; a control character becomes a dot.
#[must_use]
pub fn safe_char(c: char) -> Option<char> {
    match c {
        ' '..='~' => Some(c),
        '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}'
        | '\u{ad}'
        | '\u{61c}'
        | '\u{180e}'
        | '\u{e0000}'..='\u{e0fff}' => None,
        '\u{2028}' | '\u{2029}' => Some(REPLACEMENT),
        c if c.is_control() => Some(REPLACEMENT),
        c => Some(c),
    }
}

/// The text with unsafe characters replaced or left out; tabs and line ends become one space.
#[must_use]
pub fn sanitise(text: &str) -> Cow<'_, str> {
    if text.chars().all(|c| safe_char(c) == Some(c)) {
        return Cow::Borrowed(text);
    }
    let one = |c: char| match c {
        '\t' | '\n' => Some(' '),
        c => safe_char(c),
    };
    Cow::Owned(text.chars().filter_map(one).collect())
}

/// Columns that the text takes.
#[must_use]
pub fn width(text: &str) -> usize {
    text.width()
}

/// Columns that a character takes.
#[must_use]
pub fn char_width(c: char) -> usize {
    c.width().unwrap_or(0)
}

/// The text if it fits, else its beginning and an ellipsis, never wider than `columns`.
#[must_use]
pub fn fit(text: &str, columns: usize) -> Cow<'_, str> {
    if width(text) <= columns {
        return Cow::Borrowed(text);
    }
    if columns == 0 {
        return Cow::Borrowed("");
    }
    let (head, _) = split_at_width(text, columns - 1);
    Cow::Owned(format!("{head}\u{2026}"))
}

/// The longest beginning that fits into `columns`, and the rest. At least one character is taken if there is room for any.
#[must_use]
pub fn split_at_width(text: &str, columns: usize) -> (&str, &str) {
    let mut used = 0;
    for (at, c) in text.char_indices() {
        used += char_width(c);
        if used > columns {
            return text.split_at(at);
        }
    }
    (text, "")
}

/// The beginning that makes one row of `columns`, and the rest: broken between words, which takes the blanks there away;
/// a word that is too long behind a sign in it, and only if it has none anywhere.
#[must_use]
pub fn split_at_word(text: &str, columns: usize) -> (&str, &str) {
    let (head, tail) = split_at_width(text, columns);
    if tail.is_empty() {
        return (text, "");
    }
    if tail.starts_with(' ') {
        return (head.trim_end(), tail.trim_start());
    }
    let blank = head.rfind(' ').filter(|at| {
        // Indentation is no place to break, and a row with one short word before a long one is mostly empty.
        let before = head.get(..*at).unwrap_or_default();
        !before.trim_start().is_empty() && width(before) * 3 >= columns
    });
    if let Some(at) = blank {
        let (head, tail) = text.split_at(at);
        return (head.trim_end(), tail.trim_start());
    }
    let sign = head.rfind(['/', ':', ',', '@', '=', '-', '_', '.', '?', '&']);
    match sign.filter(|at| width(head.get(..*at).unwrap_or_default()) * 3 >= columns) {
        Some(at) => text.split_at(at + 1),
        None => (head, tail),
    }
}

/// Where `needle` occurs in `text`, as byte ranges. Small letters match capitals too; a needle with a capital is exact.
#[must_use]
pub fn find_all(text: &str, needle: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = find_from(text, needle, at) {
        found.push((start, start + needle.len()));
        at = start + needle.len();
    }
    found
}

/// Whether `needle` occurs at all; see [`find_all`].
#[must_use]
pub fn contains(text: &str, needle: &str) -> bool {
    needle.is_empty() || find_from(text, needle, 0).is_some()
}

fn find_from(text: &str, needle: &str, from: usize) -> Option<usize> {
    let (text, needle) = (text.as_bytes(), needle.as_bytes());
    let (first, length) = (*needle.first()?, needle.len());
    let exact = needle.iter().any(u8::is_ascii_uppercase);
    let last = text.len().checked_sub(length)?;
    // A needle begins at a character boundary, so (UTF-8 synchronises itself) its matches do too.
    (from..=last).find(|start| {
        let Some(window) = text.get(*start..*start + length) else {
            return false;
        };
        if exact {
            window == needle
        } else {
            window
                .first()
                .is_some_and(|b| b.eq_ignore_ascii_case(&first))
                && window.eq_ignore_ascii_case(needle)
        }
    })
}

/// Whether the letters of `needle` occur in `text` in this order, small letters matching capitals.
#[must_use]
pub fn fuzzy(text: &str, needle: &str) -> bool {
    let mut rest = text.chars();
    needle
        .chars()
        .all(|wanted| rest.any(|c| c.eq_ignore_ascii_case(&wanted)))
}

/// How long ago, in at most four columns: `12s`, `5m`, `3h`, `2d`, `7w`, `1y`.
#[must_use]
pub fn age(seconds: i64) -> String {
    match seconds.max(0) {
        s @ 0..60 => format!("{s}s"),
        s @ 60..3_600 => format!("{}m", s / 60),
        s @ 3_600..172_800 => format!("{}h", s / 3_600),
        s @ 172_800..1_209_600 => format!("{}d", s / 86_400),
        s @ 1_209_600..63_072_000 => format!("{}w", s / 604_800),
        s => format!("{}y", s / 31_536_000),
    }
}

/// How long still, in at most six columns: `12s`, `3m05s`, `2h07m`, `9d`.
#[must_use]
pub fn span(seconds: i64) -> String {
    match seconds.max(0) {
        s @ 0..60 => format!("{s}s"),
        s @ 60..3_600 => format!("{}m{:02}s", s / 60, s % 60),
        s @ 3_600..172_800 => format!("{}h{:02}m", s / 3_600, s % 3_600 / 60),
        s => format!("{}d", s / 86_400),
    }
}

/// Bytes in at most six columns: `999B`, `4.3M`, `128M`, `1.5G` (powers of 1024).
#[must_use]
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["K", "M", "G", "T", "P", "E"];
    if bytes < 1000 {
        return format!("{bytes}B");
    }
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let name = UNITS.get(unit).copied().unwrap_or_default();
    if value < 9.95 {
        format!("{value:.1}{name}")
    } else {
        format!("{value:.0}{name}")
    }
}

/// Bytes per second of a rate.
#[must_use]
pub fn rate(per_second: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate is not negative and far below the limit"
    )]
    let whole = per_second.max(0.0).round() as u64;
    format!("{}/s", bytes(whole))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_that_moves_the_cursor_is_left() {
        assert_eq!(sanitise("web"), "web");
        assert_eq!(
            sanitise("a\u{1b}[31mb\u{9b}2Jc\r\nd\te"),
            "a·[31mb·2Jc· d e"
        );
        assert_eq!(sanitise("x\u{202e}gpj.exe\u{200d}\u{fe0f}"), "xgpj.exe");
        assert_eq!(sanitise("日本 é"), "日本 é");
    }

    #[test]
    fn what_does_not_fit_ends_in_an_ellipsis() {
        for (text, columns, expected) in [
            ("abc", 3, "abc"),
            ("abcd", 3, "ab…"),
            ("日本語", 5, "日本…"),
            ("日本語", 4, "日…"),
            ("ab", 1, "…"),
            ("ab", 0, ""),
        ] {
            assert_eq!(fit(text, columns), expected, "{text} {columns}");
        }
    }

    fn rows(text: &str, columns: usize) -> Vec<&str> {
        let mut rows = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (head, tail) = split_at_word(rest, columns);
            rows.push(head);
            rest = tail;
        }
        rows
    }

    #[test]
    fn lines_break_between_words_and_long_words_behind_a_sign() {
        for (text, columns, expected) in [
            ("one two three", 8, &["one two", "three"][..]),
            ("one two three", 7, &["one two", "three"]),
            (
                "pushed registry.example:5000/team/app:1.27 done",
                20,
                &["pushed registry.", "example:5000/team/", "app:1.27 done"],
            ),
            ("abcdefghij", 4, &["abcd", "efgh", "ij"]),
            ("  indented words", 10, &["  indented", "words"]),
            ("x sha256:0123456789", 10, &["x sha256:", "0123456789"]),
        ] {
            assert_eq!(rows(text, columns), expected, "{text} {columns}");
        }
    }

    #[test]
    fn search_is_exact_only_with_capitals() {
        assert_eq!(find_all("Error error ERROR", "error").len(), 3);
        assert_eq!(find_all("Error error ERROR", "Error"), [(0, 5)]);
        assert_eq!(find_all("aaaa", "aa"), [(0, 2), (2, 4)]);
        assert_eq!(find_all("abc", ""), []);
        assert_eq!(find_all("é", "é"), [(0, 2)]);
    }

    #[test]
    fn fuzzy_needs_the_letters_in_order() {
        assert!(fuzzy("web-server-1", "wsv1"));
        assert!(!fuzzy("web", "bew"));
    }

    #[test]
    fn sizes_and_ages_are_short() {
        for (n, text) in [
            (0, "0B"),
            (999, "999B"),
            (1000, "1.0K"),
            (1 << 20, "1.0M"),
            (67_108_864, "64M"),
            (1_023_000_000, "976M"),
            (u64::MAX, "16E"),
        ] {
            assert_eq!(bytes(n), text);
        }
        for (n, text) in [
            (59, "59s"),
            (65, "1m05s"),
            (7_620, "2h07m"),
            (200_000, "2d"),
        ] {
            assert_eq!(span(n), text);
        }
        for (n, text) in [
            (-5, "0s"),
            (59, "59s"),
            (60, "1m"),
            (7200, "2h"),
            (86_400 * 3, "3d"),
        ] {
            assert_eq!(age(n), text);
        }
    }

    proptest! {
        #[test]
        fn no_control_character_survives(text in "\\PC*|[\\x00-\\x1f\\x7f-\\u{9f}a-z]*|.*") {
            let clean = sanitise(&text);
            prop_assert!(!clean.chars().any(char::is_control));
        }

        #[test]
        fn rows_are_no_wider_than_asked_and_lose_only_blanks(text in ".*", columns in 2_usize..40) {
            let clean = sanitise(&text);
            let rows = rows(&clean, columns);
            prop_assert!(rows.iter().all(|row| width(row) <= columns));
            let solid = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            prop_assert_eq!(solid(&rows.concat()), solid(&clean));
        }

        #[test]
        fn a_fitted_text_is_never_wider_than_asked(text in ".*", columns in 0_usize..40) {
            let clean = sanitise(&text);
            prop_assert!(width(&fit(&clean, columns)) <= columns);
        }
    }
}
