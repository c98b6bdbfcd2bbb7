//! From characters to items.

use serde_json::{Number, Value};

use super::Eval;

/// A piece of a template.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Item {
    Text(String),
    Open,
    Close,
    Field(String),
    Dot,
    Variable(String),
    Word(String),
    Literal(Value),
    Pipe,
    Left,
    Right,
    Comma,
    Declare,
    Assign,
    /// White space inside an action separates arguments; only `.Field` after it needs to know.
    Space,
}

/// The pieces and where each begins.
pub(super) fn lex(source: &[char]) -> Eval<Vec<(usize, Item)>> {
    let mut items = Vec::new();
    let mut at = 0;
    let mut trim_next = false;
    while at < source.len() {
        let open = (at..source.len()).find(|n| starts(source, *n, "{{"));
        let end = open.unwrap_or(source.len());
        let mut text: String = source.get(at..end).unwrap_or_default().iter().collect();
        if trim_next {
            text.drain(..text.len() - text.trim_start().len());
        }
        let Some(open) = open else {
            push_text(&mut items, at, text);
            break;
        };
        let mut inside = open + 2;
        if source.get(inside) == Some(&'-')
            && source.get(inside + 1).is_some_and(|c| c.is_whitespace())
        {
            text.truncate(text.trim_end().len());
            inside += 1;
        }
        push_text(&mut items, at, text);
        let (close, trims) = if comment_starts(source, inside) {
            comment(source, inside, open)?
        } else {
            items.push((open, Item::Open));
            let (close, trims) = action(source, inside, open, &mut items)?;
            items.push((close.saturating_sub(2), Item::Close));
            (close, trims)
        };
        trim_next = trims;
        at = close;
    }
    Ok(items)
}

fn push_text(items: &mut Vec<(usize, Item)>, at: usize, text: String) {
    if !text.is_empty() {
        items.push((at, Item::Text(text)));
    }
}

fn starts(source: &[char], at: usize, text: &str) -> bool {
    text.chars()
        .enumerate()
        .all(|(n, c)| source.get(at + n) == Some(&c))
}

fn comment_starts(source: &[char], at: usize) -> bool {
    let skipped = (at..source.len())
        .find(|n| !source.get(*n).is_some_and(|c| c.is_whitespace()))
        .unwrap_or(at);
    starts(source, skipped, "/*")
}

/// The character after `}}` and whether it trims what follows.
fn comment(source: &[char], at: usize, open: usize) -> Eval<(usize, bool)> {
    let end = (at..source.len())
        .find(|n| starts(source, *n, "*/"))
        .ok_or((open, "unclosed comment".to_owned()))?
        + 2;
    if starts(source, end, "}}") {
        return Ok((end + 2, false));
    }
    if source.get(end).is_some_and(|c| c.is_whitespace()) && starts(source, end + 1, "-}}") {
        return Ok((end + 4, true));
    }
    Err((end, "comment ends before closing delimiter".to_owned()))
}

#[expect(clippy::too_many_lines, reason = "a list of items")]
fn action(
    source: &[char],
    mut at: usize,
    open: usize,
    items: &mut Vec<(usize, Item)>,
) -> Eval<(usize, bool)> {
    let word = |from: usize| {
        (from..source.len())
            .find(|n| {
                !source
                    .get(*n)
                    .is_some_and(|c| c.is_alphanumeric() || *c == '_')
            })
            .unwrap_or(source.len())
    };
    let text = |from: usize, to: usize| -> String {
        source.get(from..to).unwrap_or_default().iter().collect()
    };
    loop {
        let Some(&c) = source.get(at) else {
            return Err((open, "unclosed action".to_owned()));
        };
        let next = source.get(at + 1).copied();
        if starts(source, at, "}}") {
            return Ok((at + 2, false));
        }
        let start = at;
        let item = match c {
            c if c.is_whitespace() => {
                if starts(source, at + 1, "-}}") {
                    return Ok((at + 4, true));
                }
                at += 1;
                Item::Space
            }
            '.' if next.is_some_and(|n| n.is_alphabetic() || n == '_') => {
                at = word(at + 1);
                Item::Field(text(start + 1, at))
            }
            '.' if next.is_none_or(|n| !n.is_ascii_digit()) => {
                at += 1;
                Item::Dot
            }
            '$' => {
                at = word(at + 1);
                Item::Variable(text(start, at))
            }
            '|' => {
                at += 1;
                Item::Pipe
            }
            '(' => {
                at += 1;
                Item::Left
            }
            ')' => {
                at += 1;
                Item::Right
            }
            ',' => {
                at += 1;
                Item::Comma
            }
            ':' if next == Some('=') => {
                at += 2;
                Item::Declare
            }
            '=' => {
                at += 1;
                Item::Assign
            }
            '"' => {
                let (string, end) = quoted(source, at)?;
                at = end;
                Item::Literal(Value::String(string))
            }
            '`' => {
                let end = (at + 1..source.len())
                    .find(|n| source.get(*n) == Some(&'`'))
                    .ok_or((start, "unterminated raw quoted string".to_owned()))?;
                at = end + 1;
                Item::Literal(Value::String(text(start + 1, end)))
            }
            c if c.is_ascii_digit() || matches!(c, '+' | '-' | '.') => {
                at = (at + 1..source.len())
                    .find(|n| {
                        !source
                            .get(*n)
                            .is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '.'))
                    })
                    .unwrap_or(source.len());
                let written = text(start, at);
                Item::Literal(
                    number(&written).ok_or((start, format!("bad number syntax: {written:?}")))?,
                )
            }
            c if c.is_alphabetic() || c == '_' => {
                at = word(at);
                match text(start, at).as_str() {
                    "true" => Item::Literal(Value::Bool(true)),
                    "false" => Item::Literal(Value::Bool(false)),
                    "nil" => Item::Literal(Value::Null),
                    other => Item::Word(other.to_owned()),
                }
            }
            c => return Err((at, format!("unexpected {c:?} in action"))),
        };
        items.push((start, item));
    }
}

fn quoted(source: &[char], open: usize) -> Eval<(String, usize)> {
    let unterminated = || (open, "unterminated quoted string".to_owned());
    let mut string = String::new();
    let mut at = open + 1;
    loop {
        match source.get(at) {
            None | Some('\n') => return Err(unterminated()),
            Some('"') => return Ok((string, at + 1)),
            Some('\\') => {
                let escaped = source.get(at + 1).ok_or_else(unterminated)?;
                at += 2;
                string.push(match escaped {
                    'n' => '\n',
                    't' => '\t',
                    'r' => '\r',
                    'a' => '\u{7}',
                    'b' => '\u{8}',
                    'f' => '\u{c}',
                    'v' => '\u{b}',
                    '\\' | '"' | '\'' => *escaped,
                    'x' | 'u' => {
                        let digits = if *escaped == 'x' { 2 } else { 4 };
                        let hex: String = source
                            .get(at..at + digits)
                            .unwrap_or_default()
                            .iter()
                            .collect();
                        at += digits;
                        u32::from_str_radix(&hex, 16)
                            .ok()
                            .and_then(char::from_u32)
                            .ok_or((at, "invalid escape in string".to_owned()))?
                    }
                    _ => return Err((at, "invalid escape in string".to_owned())),
                });
            }
            Some(c) => {
                string.push(*c);
                at += 1;
            }
        }
    }
}

fn number(text: &str) -> Option<Value> {
    let plain = text.replace('_', "");
    let unsigned = plain.strip_prefix('+').unwrap_or(&plain);
    if let Some(hex) = unsigned.strip_prefix("0x") {
        return i64::from_str_radix(hex, 16).ok().map(Value::from);
    }
    if let Ok(whole) = unsigned.parse::<i64>() {
        return Some(Value::from(whole));
    }
    let decimal = unsigned
        .bytes()
        .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'-' | b'+'));
    let float = unsigned.parse::<f64>().ok().filter(|_| decimal)?;
    Number::from_f64(float).map(Value::Number)
}
