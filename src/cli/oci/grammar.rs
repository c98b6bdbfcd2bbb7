//! The grammar of the runtime's command line as data, and a small parser for it: building clap's tree would take longer
//! than starting a container.
//!
//! Flags may stand before and after operands, unless what follows the first operand belongs to somebody else
//! ([`Order::OperandsEnd`]). As with runc, one dash before a long name is as good as two.

use std::fmt::Write;

/// One flag.
#[derive(Debug)]
pub(super) struct Flag {
    /// Name without dashes.
    pub long: &'static str,
    /// One letter.
    pub short: Option<char>,
    /// What its value is called in help; a flag without one is a switch.
    pub value: Option<&'static str>,
    /// One line for help.
    pub help: &'static str,
}

/// Where flags may stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Anywhere before `--`.
    Mixed,
    /// Before the first operand: what follows it is another program's.
    OperandsEnd,
}

/// What a command accepts.
#[derive(Debug)]
pub(super) struct Grammar {
    /// Its flags.
    pub flags: &'static [Flag],
    /// Where they may stand.
    pub order: Order,
    /// Smallest and largest number of operands.
    pub operands: (usize, usize),
}

/// What was typed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Parsed {
    flags: Vec<(&'static str, String)>,
    /// Everything that is no flag.
    pub operands: Vec<String>,
}

/// Why it cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum GrammarError {
    /// No such flag.
    #[error("unknown flag: {0}")]
    Unknown(String),
    /// The value is missing.
    #[error("flag needs an argument: {0}")]
    NoValue(String),
    /// A switch with something else than true or false.
    #[error("invalid value {value:?} for {flag}: it is a switch")]
    NotASwitch {
        /// The flag as typed.
        flag: String,
        /// What stands behind `=`.
        value: String,
    },
    /// A number that is none.
    #[error("invalid value {value:?} for --{flag}: not a whole number")]
    NotANumber {
        /// The flag's name.
        flag: &'static str,
        /// Its value.
        value: String,
    },
    /// Too few or too many operands.
    #[error("{0}")]
    Operands(String),
}

impl Parsed {
    /// Whether a switch is on; the last one counts.
    #[must_use]
    pub(super) fn has(&self, name: &str) -> bool {
        self.value(name).is_some_and(|value| value == "true")
    }

    /// The switch as given, `None` if it is not.
    #[must_use]
    pub(super) fn switch(&self, name: &str) -> Option<bool> {
        self.value(name).map(|value| value == "true")
    }

    /// The last value of a flag.
    #[must_use]
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.flags
            .iter()
            .rfind(|(flag, _)| *flag == name)
            .map(|(_, value)| value.as_str())
    }

    /// All values of a flag, in order.
    pub(super) fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.flags
            .iter()
            .filter(move |(flag, _)| *flag == name)
            .map(|(_, value)| value.as_str())
    }

    /// The last value of a flag as a number.
    ///
    /// # Errors
    /// [`GrammarError::NotANumber`].
    pub(super) fn number<T: std::str::FromStr>(
        &self,
        name: &'static str,
    ) -> Result<Option<T>, GrammarError> {
        let Some(text) = self.value(name) else {
            return Ok(None);
        };
        match text.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(GrammarError::NotANumber {
                flag: name,
                value: text.to_owned(),
            }),
        }
    }

    /// The first operand, which every command but `list` and `spec` has.
    #[must_use]
    pub(super) fn id(&self) -> &str {
        self.operands.first().map_or("", String::as_str)
    }
}

/// Reads a command's words. `None`: help is wanted.
///
/// # Errors
/// What does not fit.
pub(super) fn parse(
    grammar: &Grammar,
    name: &str,
    words: &[String],
) -> Result<Option<Parsed>, GrammarError> {
    let Some((parsed, rest)) = split(grammar.flags, grammar.order, words)? else {
        return Ok(None);
    };
    debug_assert!(rest.is_empty(), "a command reads all of its words");
    let count = parsed.operands.len();
    let (least, most) = grammar.operands;
    let wrong = |what: &str, number: usize| {
        let text = format!("{name:?} requires {what} {number} argument(s)");
        Err(GrammarError::Operands(text))
    };
    match count {
        _ if least == most && count != least => wrong("exactly", least),
        _ if count < least => wrong("a minimum of", least),
        _ if count > most => wrong("a maximum of", most),
        _ => Ok(Some(parsed)),
    }
}

/// Reads what stands before the command: the flags, and the words from the command on.
///
/// # Errors
/// What does not fit.
pub(super) fn parse_global<'a>(
    flags: &'static [Flag],
    words: &'a [String],
) -> Result<Option<(Parsed, &'a [String])>, GrammarError> {
    let mut parsed = Parsed::default();
    let mut rest = words;
    while let Some((word, after)) = rest.split_first() {
        if !is_flag(word) {
            break;
        }
        if is_help(word) {
            return Ok(None);
        }
        rest = take_flag(flags, word, after, &mut parsed)?;
    }
    Ok(Some((parsed, rest)))
}

type Split<'a> = Option<(Parsed, &'a [String])>;

fn split<'a>(
    flags: &'static [Flag],
    order: Order,
    words: &'a [String],
) -> Result<Split<'a>, GrammarError> {
    let mut parsed = Parsed::default();
    let mut rest = words;
    while let Some((word, after)) = rest.split_first() {
        if word == "--" {
            parsed.operands.extend_from_slice(after);
            return Ok(Some((parsed, &[])));
        }
        if !is_flag(word) {
            if order == Order::OperandsEnd {
                parsed.operands.extend(operands_only(rest));
                return Ok(Some((parsed, &[])));
            }
            parsed.operands.push(word.clone());
            rest = after;
        } else if is_help(word) {
            return Ok(None);
        } else {
            rest = take_flag(flags, word, after, &mut parsed)?;
        }
    }
    Ok(Some((parsed, rest)))
}

/// The id and another program's words; a `--` between them is ours.
fn operands_only(words: &[String]) -> impl Iterator<Item = String> {
    let second_is_dashes = words.get(1).is_some_and(|word| word == "--");
    words
        .iter()
        .enumerate()
        .filter(move |(at, _)| !(second_is_dashes && *at == 1))
        .map(|(_, word)| word.clone())
}

fn is_flag(word: &str) -> bool {
    word.len() > 1 && word.starts_with('-')
}

pub(super) fn is_help(word: &str) -> bool {
    matches!(word, "--help" | "-help" | "-h")
}

/// Takes one word with flags, and its value from the next one if it needs it.
fn take_flag<'a>(
    flags: &'static [Flag],
    word: &str,
    after: &'a [String],
    parsed: &mut Parsed,
) -> Result<&'a [String], GrammarError> {
    let body = word.trim_start_matches('-');
    let (name, given) = match body.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (body, None),
    };
    if let Some(flag) = flags.iter().find(|flag| flag.long == name) {
        return take(flag, word, given, after, parsed);
    }
    if word.starts_with("--") {
        return Err(GrammarError::Unknown(format!("--{name}")));
    }
    let mut letters = body.chars();
    while let Some(letter) = letters.next() {
        let flag = flags
            .iter()
            .find(|flag| flag.short == Some(letter))
            .ok_or_else(|| GrammarError::Unknown(format!("-{letter}")))?;
        let rest = letters.as_str();
        if flag.value.is_some() || rest.starts_with('=') {
            let value = rest.strip_prefix('=').unwrap_or(rest);
            let given = (!rest.is_empty()).then_some(value);
            return take(flag, word, given, after, parsed);
        }
        take(flag, word, None, after, parsed)?;
    }
    Ok(after)
}

fn take<'a>(
    flag: &'static Flag,
    word: &str,
    given: Option<&str>,
    after: &'a [String],
    parsed: &mut Parsed,
) -> Result<&'a [String], GrammarError> {
    let mut push = |value: &str| parsed.flags.push((flag.long, value.to_owned()));
    match (flag.value, given, after.split_first()) {
        (Some(_), Some(value), _) => push(value),
        (Some(_), None, Some((value, after))) => {
            push(value);
            return Ok(after);
        }
        (Some(_), None, None) => return Err(GrammarError::NoValue(word.to_owned())),
        (None, None, _) => push("true"),
        (None, Some(value), _) => match switch(value) {
            Some(on) => push(if on { "true" } else { "false" }),
            None => {
                return Err(GrammarError::NotASwitch {
                    flag: format!("--{}", flag.long),
                    value: value.to_owned(),
                });
            }
        },
    }
    Ok(after)
}

fn switch(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "t" | "1" => Some(true),
        "false" | "f" | "0" => Some(false),
        _ => None,
    }
}

/// The flags' part of a help page.
#[must_use]
pub(super) fn help(flags: &[Flag]) -> String {
    let left: Vec<String> = flags.iter().map(left_column).collect();
    let width = left.iter().map(String::len).max().unwrap_or(0);
    let mut text = String::new();
    for (flag, left) in flags.iter().zip(left) {
        let _ = writeln!(text, "  {left:width$}   {}", flag.help);
    }
    text
}

fn left_column(flag: &Flag) -> String {
    let short = match flag.short {
        Some(letter) => format!("-{letter}, "),
        None => "    ".to_owned(),
    };
    match flag.value {
        Some(value) => format!("{short}--{} {value}", flag.long),
        None => format!("{short}--{}", flag.long),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAGS: &[Flag] = &[
        Flag {
            long: "bundle",
            short: Some('b'),
            value: Some("DIR"),
            help: "",
        },
        Flag {
            long: "detach",
            short: Some('d'),
            value: None,
            help: "",
        },
    ];

    fn check(
        order: Order,
        line: &str,
    ) -> Result<(Option<String>, bool, Vec<String>), GrammarError> {
        let grammar = Grammar {
            flags: FLAGS,
            order,
            operands: (1, 3),
        };
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let parsed = parse(&grammar, "run", &words)?.unwrap_or_default();
        let bundle = parsed.value("bundle").map(str::to_owned);
        Ok((bundle, parsed.has("detach"), parsed.operands))
    }

    #[test]
    fn flags_stand_before_and_after_the_id() {
        let expected = Ok((Some("x".to_owned()), true, vec!["id".to_owned()]));
        for line in [
            "--bundle x --detach id",
            "-bundle=x -d id",
            "id -b x -d",
            "id -dbx",
            "-db=x id",
            "--detach=1 --bundle y --bundle x -- id",
        ] {
            assert_eq!(check(Order::Mixed, line), expected, "{line}");
        }
    }

    #[test]
    fn another_programs_words_are_left_alone() {
        let words = |list: &[&str]| list.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        for (line, operands) in [
            ("-d id ls -b", &["id", "ls", "-b"][..]),
            ("-d id -- ls -b", &["id", "ls", "-b"]),
            ("-d -- id ls --help", &["id", "ls", "--help"]),
        ] {
            assert_eq!(
                check(Order::OperandsEnd, line),
                Ok((None, true, words(operands))),
                "{line}"
            );
        }
    }

    #[test]
    fn what_does_not_fit_is_named() {
        for (line, text) in [
            ("--nosuch id", "unknown flag: --nosuch"),
            ("-x id", "unknown flag: -x"),
            ("id -b", "flag needs an argument: -b"),
            (
                "--detach=x id",
                "invalid value \"x\" for --detach: it is a switch",
            ),
            ("", "\"run\" requires a minimum of 1 argument(s)"),
            ("a b c d", "\"run\" requires a maximum of 3 argument(s)"),
        ] {
            let error = check(Order::Mixed, line).unwrap_err();
            assert_eq!(error.to_string(), text, "{line}");
        }
    }
}
