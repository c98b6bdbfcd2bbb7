//! The functions of text/template and Docker's.

use std::fmt::Write as _;

use serde_json::Value;

use super::print::{WIDEST, compact, plain, print, printed, printf};
use super::types::{EMPTY_LIST, EMPTY_MAP, Val, truth};

/// Their names.
pub(super) const FUNCTIONS: &[&str] = &[
    "and", "eq", "ge", "gt", "html", "index", "join", "json", "le", "len", "lower", "lt", "ne",
    "not", "or", "pad", "print", "printf", "println", "slice", "split", "title", "truncate",
    "upper", "urlquery",
];

/// What one makes of its arguments.
#[expect(clippy::too_many_lines, reason = "a list of functions")]
pub(super) fn call(name: &str, arguments: &[Val]) -> Result<Val, String> {
    let values: Vec<&Value> = arguments.iter().map(|a| &a.value).collect();
    let count = |want: usize| {
        if values.len() == want {
            Ok(())
        } else {
            Err(format!(
                "wrong number of args: want {want} got {}",
                values.len()
            ))
        }
    };
    let value = match name {
        "json" => {
            count(1)?;
            Value::String(compact(values.first().copied().unwrap_or(&Value::Null)))
        }
        "lower" | "upper" | "title" | "html" | "urlquery" => {
            count(1)?;
            let text = string(values.first())?;
            Value::String(match name {
                "lower" => text.to_lowercase(),
                "upper" => text.to_uppercase(),
                "title" => title(text),
                "html" => html(text),
                _ => url_query(text),
            })
        }
        "split" => {
            count(2)?;
            let (text, separator) = (string(values.first())?, string(values.get(1))?);
            let parts: Vec<Value> = if separator.is_empty() {
                text.chars().map(|c| Value::String(c.to_string())).collect()
            } else {
                text.split(separator)
                    .map(|p| Value::String(p.to_owned()))
                    .collect()
            };
            Value::Array(parts)
        }
        "join" => {
            count(2)?;
            let separator = string(values.get(1))?;
            match values.first() {
                Some(Value::Array(list)) => {
                    let parts: Vec<String> = list.iter().map(plain).collect();
                    Value::String(parts.join(separator))
                }
                Some(Value::Null) => Value::String(String::new()),
                _ => return Err("expected a list of strings".to_owned()),
            }
        }
        "pad" => {
            count(3)?;
            let text = string(values.first())?;
            let (before, after) = (whole(values.get(1))?, whole(values.get(2))?);
            Value::String(if text.is_empty() {
                String::new()
            } else {
                format!("{}{text}{}", spaces(before)?, spaces(after)?)
            })
        }
        "truncate" => {
            count(2)?;
            let length = usize::try_from(whole(values.get(1))?).unwrap_or(0);
            Value::String(string(values.first())?.chars().take(length).collect())
        }
        "len" => {
            count(1)?;
            Value::from(match values.first() {
                Some(Value::String(text)) => text.len(),
                Some(Value::Array(list)) => list.len(),
                Some(Value::Object(map)) => map.len(),
                // A list or a map of Docker's types.
                Some(Value::Null) if arguments.iter().all(|a| a.null.ends_with("[]")) => 0,
                other => {
                    return Err(format!(
                        "len of {}",
                        other.map_or_else(String::new, |v| plain(v))
                    ));
                }
            })
        }
        "index" => return index(arguments),
        "slice" => slice(&values)?,
        "not" => {
            count(1)?;
            Value::Bool(!arguments.first().is_some_and(truth))
        }
        "eq" | "ne" | "lt" | "le" | "gt" | "ge" => Value::Bool(compare(name, &values)?),
        "print" => Value::String(print(&values)),
        "println" => {
            let parts: Vec<String> = values.iter().map(|v| printed(v)).collect();
            Value::String(format!("{}\n", parts.join(" ")))
        }
        "printf" => {
            let (format, rest) = values
                .split_first()
                .ok_or("wrong number of args: want at least 1 got 0")?;
            Value::String(printf(string(Some(format))?, rest)?)
        }
        other => return Err(format!("function {other:?} not defined")),
    };
    Ok(value.into())
}

fn string<'a>(value: Option<&&'a Value>) -> Result<&'a str, String> {
    match value {
        Some(Value::String(text)) => Ok(text),
        Some(other) => Err(format!(
            "wrong type for value; expected string; got {}",
            plain(other)
        )),
        None => Err("missing argument".to_owned()),
    }
}

fn whole(value: Option<&&Value>) -> Result<i64, String> {
    value
        .and_then(|value| value.as_i64())
        .ok_or_else(|| "expected an integer".to_owned())
}

fn spaces(count: i64) -> Result<String, String> {
    let count = usize::try_from(count).unwrap_or(0);
    if count > WIDEST {
        return Err(format!("{count} spaces are too many"));
    }
    Ok(" ".repeat(count))
}

fn index(arguments: &[Val]) -> Result<Val, String> {
    let (first, keys) = arguments
        .split_first()
        .ok_or("wrong number of args: want at least 1 got 0")?;
    let mut at = first.clone();
    for key in keys {
        at = match (&at.value, &key.value) {
            (Value::Object(map), Value::String(key)) => {
                let found = map.get(key).cloned();
                // A map of strings has the empty string where it has nothing.
                let strings = map.values().all(Value::is_string);
                found
                    .unwrap_or(if strings {
                        Value::String(String::new())
                    } else {
                        Value::Null
                    })
                    .into()
            }
            (Value::Array(list), Value::Number(n)) => n
                .as_u64()
                .and_then(|n| usize::try_from(n).ok())
                .and_then(|n| list.get(n))
                .cloned()
                .ok_or_else(|| format!("index out of range: {n}"))?
                .into(),
            (Value::String(text), Value::Number(n)) => n
                .as_u64()
                .and_then(|n| usize::try_from(n).ok())
                .and_then(|n| text.as_bytes().get(n))
                .map(|byte| Value::from(*byte))
                .ok_or_else(|| format!("index out of range: {n}"))?
                .into(),
            (Value::Null, Value::String(_)) if at.null == EMPTY_MAP => Value::from("").into(),
            (Value::Null, Value::Number(n)) if at.null == EMPTY_LIST => {
                return Err(format!("index out of range: {n}"));
            }
            (Value::Null, _) => return Err("index of untyped nil".to_owned()),
            (value, key) => {
                return Err(format!("cannot index {} with {}", plain(value), plain(key)));
            }
        };
    }
    Ok(at)
}

fn slice(values: &[&Value]) -> Result<Value, String> {
    let (first, bounds) = values
        .split_first()
        .ok_or("wrong number of args: want at least 1 got 0")?;
    let length = match first {
        Value::String(text) => text.len(),
        Value::Array(list) => list.len(),
        _ => return Err(format!("can't slice {}", plain(first))),
    };
    let bound = |n: usize, otherwise: usize| match bounds.get(n) {
        None => Ok(otherwise),
        Some(value) => value
            .as_u64()
            .and_then(|n| usize::try_from(n).ok())
            .filter(|n| *n <= length)
            .ok_or_else(|| format!("index out of range: {}", plain(value))),
    };
    let (start, end) = (bound(0, 0)?, bound(1, length)?);
    let wrong = || format!("invalid slice index: {start} > {end}");
    match first {
        Value::String(text) => text
            .get(start..end)
            .map(|part| Value::String(part.to_owned()))
            .ok_or_else(wrong),
        Value::Array(list) => list
            .get(start..end)
            .map(|part| Value::Array(part.to_vec()))
            .ok_or_else(wrong),
        _ => Err(wrong()),
    }
}

fn compare(name: &str, values: &[&Value]) -> Result<bool, String> {
    let (first, rest) = values
        .split_first()
        .filter(|(_, rest)| !rest.is_empty())
        .ok_or_else(|| {
            format!("wrong number of args for {name}: missing argument for comparison")
        })?;
    if name == "eq" {
        for other in rest {
            if order(first, other)? == std::cmp::Ordering::Equal {
                return Ok(true);
            }
        }
        return Ok(false);
    }
    let [second] = rest else {
        return Err(format!(
            "wrong number of args for {name}: want 2 got {}",
            values.len()
        ));
    };
    let ordering = order(first, second)?;
    Ok(match name {
        "ne" => ordering.is_ne(),
        "lt" => ordering.is_lt(),
        "le" => ordering.is_le(),
        "gt" => ordering.is_gt(),
        _ => ordering.is_ge(),
    })
}

fn order(left: &Value, right: &Value) -> Result<std::cmp::Ordering, String> {
    match (left, right) {
        (Value::String(a), Value::String(b)) => Ok(a.cmp(b)),
        (Value::Bool(a), Value::Bool(b)) => Ok(a.cmp(b)),
        (Value::Null, Value::Null) => Ok(std::cmp::Ordering::Equal),
        // Nothing equals nil but nil; which is less does not matter.
        (Value::Null, _) | (_, Value::Null) => Ok(std::cmp::Ordering::Less),
        (Value::Number(a), Value::Number(b)) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => Ok(a.cmp(&b)),
            _ => a
                .as_f64()
                .partial_cmp(&b.as_f64())
                .ok_or_else(|| "incompatible types for comparison".to_owned()),
        },
        _ => Err("incompatible types for comparison".to_owned()),
    }
}

/// Go's `strings.Title`: the first letter of every word.
fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut inside = false;
    for c in text.chars() {
        let is_word = c.is_alphanumeric() || c == '_' || c == '\'';
        if is_word && !inside {
            out.extend(c.to_uppercase());
        } else {
            out.push(c);
        }
        inside = is_word;
    }
    out
}

fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

fn url_query(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte));
            }
            b' ' => out.push('+'),
            byte => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
        out
    })
}
