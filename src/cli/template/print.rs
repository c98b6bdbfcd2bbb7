//! Values as Go's `fmt` prints them.

use std::fmt::Write as _;

use serde_json::Value;

use super::types::{DURATIONS, MAPS, NIL, NO_VALUE, null_of};
use crate::engine::model::go_duration;

/// Longest padding: nobody wants more, and a template must not exhaust memory.
pub(super) const WIDEST: usize = 10_000;

/// Go's `fmt.Sprint`: a space between two operands of which neither is a string.
pub(super) fn print(values: &[&Value]) -> String {
    let mut text = String::new();
    for (n, value) in values.iter().enumerate() {
        let spaced = n > 0
            && !value.is_string()
            && !n
                .checked_sub(1)
                .and_then(|before| values.get(before))
                .is_some_and(|before| before.is_string());
        if spaced {
            text.push(' ');
        }
        text.push_str(&printed(value));
    }
    text
}

pub(super) fn as_duration(value: &Value) -> String {
    go_duration::text(value.as_i64().unwrap_or_default())
}

/// As an operand of `fmt`: nil is `<nil>`.
pub(super) fn printed(value: &Value) -> String {
    if value.is_null() {
        NIL.to_owned()
    } else {
        plain(value)
    }
}

/// Go's `%v`.
pub(super) fn plain(value: &Value) -> String {
    let mut text = String::new();
    print_value(&mut text, value, true);
    text
}

/// Go's `%v` of Docker's types: an object is a struct, unless it is known to be a map.
pub(super) fn print_value(out: &mut String, value: &Value, is_map: bool) {
    match value {
        Value::Null => out.push_str(NO_VALUE),
        Value::String(text) => out.push_str(text),
        Value::Bool(_) | Value::Number(_) => {
            let _ = write!(out, "{value}");
        }
        Value::Array(list) => {
            out.push('[');
            for (n, value) in list.iter().enumerate() {
                if n > 0 {
                    out.push(' ');
                }
                print_part(out, value, NIL, false);
            }
            out.push(']');
        }
        Value::Object(map) if is_map => {
            out.push_str("map[");
            let mut keys: Vec<_> = map.iter().collect();
            keys.sort_by(|a, b| a.0.cmp(b.0));
            for (n, (key, value)) in keys.into_iter().enumerate() {
                if n > 0 {
                    out.push(' ');
                }
                let _ = write!(out, "{key}:");
                // Where a map of Docker's has `null`, it is a list: the addresses of a port.
                print_part(out, value, "[]", false);
            }
            out.push(']');
        }
        Value::Object(fields) => {
            out.push('{');
            for (n, (name, value)) in fields.iter().enumerate() {
                if n > 0 {
                    out.push(' ');
                }
                if value.is_number() && DURATIONS.contains(&name.as_str()) {
                    out.push_str(&as_duration(value));
                    continue;
                }
                let null = Some(null_of(name)).filter(|null| *null != NO_VALUE);
                print_part(
                    out,
                    value,
                    null.unwrap_or(NIL),
                    MAPS.contains(&name.as_str()),
                );
            }
            out.push('}');
        }
    }
}

fn print_part(out: &mut String, value: &Value, null: &str, is_map: bool) {
    if value.is_null() {
        out.push_str(null);
    } else {
        print_value(out, value, is_map);
    }
}

/// Compact JSON without HTML escapes.
pub(super) fn compact(value: &Value) -> String {
    value.to_string()
}

pub(super) fn printf(format: &str, arguments: &[&Value]) -> Result<String, String> {
    let mut out = String::new();
    let mut arguments = arguments.iter();
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let (mut left, mut zero, mut plus, mut sharp) = (false, false, false, false);
        while let Some(flag) = chars.peek() {
            match flag {
                '-' => left = true,
                '0' => zero = true,
                '+' => plus = true,
                '#' => sharp = true,
                ' ' => {}
                _ => break,
            }
            chars.next();
        }
        let digits = |chars: &mut std::iter::Peekable<std::str::Chars<'_>>| {
            let mut number = None;
            while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
                chars.next();
                number = Some((number.unwrap_or(0_usize) * 10 + digit as usize).min(WIDEST));
            }
            number
        };
        let width = digits(&mut chars).unwrap_or(0);
        let precision = if chars.peek() == Some(&'.') {
            chars.next();
            Some(digits(&mut chars).unwrap_or(0))
        } else {
            None
        };
        let Some(verb) = chars.next() else {
            out.push_str("%!(NOVERB)");
            break;
        };
        if verb == '%' {
            out.push('%');
            continue;
        }
        let Some(value) = arguments.next() else {
            let _ = write!(out, "%!{verb}(MISSING)");
            continue;
        };
        let text = formatted(verb, value, precision, plus, sharp);
        let missing = width.saturating_sub(text.chars().count());
        match (left, zero && value.is_number()) {
            (true, _) => {
                out.push_str(&text);
                out.push_str(&" ".repeat(missing));
            }
            (false, true) => {
                let (sign, digits) = match text.strip_prefix('-') {
                    Some(digits) => ("-", digits),
                    None => ("", text.as_str()),
                };
                let _ = write!(out, "{sign}{}{digits}", "0".repeat(missing));
            }
            (false, false) => {
                out.push_str(&" ".repeat(missing));
                out.push_str(&text);
            }
        }
    }
    let extra: Vec<String> = arguments.map(|value| printed(value)).collect();
    if !extra.is_empty() {
        let _ = write!(out, "%!(EXTRA {})", extra.join(", "));
    }
    Ok(out)
}

fn formatted(
    verb: char,
    value: &Value,
    precision: Option<usize>,
    plus: bool,
    sharp: bool,
) -> String {
    match (verb, value) {
        ('v', Value::String(text)) if sharp => format!("{text:?}"),
        ('s' | 'v', _) => {
            let text = printed(value);
            match (precision, value) {
                (Some(most), Value::String(text)) => text.chars().take(most).collect(),
                _ => text,
            }
        }
        ('q', Value::String(text)) => format!("{text:?}"),
        ('d', Value::Number(n)) if n.is_i64() || n.is_u64() => {
            if plus && n.as_i64().is_some_and(|n| n >= 0) {
                format!("+{n}")
            } else {
                n.to_string()
            }
        }
        ('x', Value::Number(n)) if n.is_u64() => format!("{:x}", n.as_u64().unwrap_or(0)),
        ('X', Value::Number(n)) if n.is_u64() => format!("{:X}", n.as_u64().unwrap_or(0)),
        ('o', Value::Number(n)) if n.is_u64() => format!("{:o}", n.as_u64().unwrap_or(0)),
        ('x', Value::String(text)) => text.bytes().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        }),
        ('f', Value::Number(n)) if n.is_f64() => {
            format!(
                "{:.*}",
                precision.unwrap_or(6).min(40),
                n.as_f64().unwrap_or(0.0)
            )
        }
        ('t', Value::Bool(is)) => is.to_string(),
        _ => format!("%!{verb}({})", printed(value)),
    }
}
