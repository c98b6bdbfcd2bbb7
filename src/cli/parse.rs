//! Reads a command line with clap as Docker's own parser (pflag) would, and words what is wrong with it as Docker does.

use std::fmt::Write as _;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::report::{ENGINE, Failure};
use super::value;

/// How many operands a verb takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arity {
    /// None.
    None,
    /// So many.
    Exactly(usize),
    /// So many or more.
    AtLeast(usize),
    /// So many at most.
    AtMost(usize),
    /// From the first to the second.
    Between(usize, usize),
}

/// A command line to read.
#[derive(Debug, Clone, Copy)]
pub struct Grammar<'a> {
    /// What was typed: `wharf container run`.
    pub path: &'a str,
    /// What follows it: `[OPTIONS] IMAGE [COMMAND] [ARG...]`.
    pub usage: &'a str,
    /// How many operands there may be.
    pub arity: Arity,
}

/// Reads the arguments after the verb. `Ok(None)`: help was asked for.
///
/// # Errors
/// Docker's text and exit code: 125 for flags, 1 for operands.
pub fn parse(
    command: Command,
    grammar: Grammar<'_>,
    arguments: &[String],
) -> Result<Option<ArgMatches>, Failure> {
    let mut command = as_pflag(command);
    let matches = command
        .try_get_matches_from_mut(arguments)
        .map_err(|error| wrong_flag(&command, grammar, arguments, &error))?;
    if matches.get_flag("help") {
        return Ok(None);
    }
    let count = matches
        .try_get_many::<String>("operands")
        .ok()
        .flatten()
        .map_or(0, |values| values.len());
    check_arity(grammar, count)?;
    Ok(Some(matches))
}

/// pflag's habits: `--flag=false`, clusters, values that start with a dash, the last of several wins, `--help` (and
/// `-h` where nothing else is called so).
pub fn as_pflag(command: Command) -> Command {
    let has_h = command.get_arguments().any(|a| a.get_short() == Some('h'));
    let help = Arg::new("help")
        .long("help")
        .action(ArgAction::SetTrue)
        .help("Print usage")
        .hide(true);
    command
        .no_binary_name(true)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .arg(if has_h { help } else { help.short('h') })
        .mut_args(|arg| {
            let id = arg.get_id().clone();
            if arg.is_positional() {
                return arg;
            }
            match arg.get_action() {
                ArgAction::SetTrue => {
                    let default = if arg
                        .get_default_values()
                        .first()
                        .is_some_and(|v| v == "true")
                    {
                        "true"
                    } else {
                        "false"
                    };
                    arg.action(ArgAction::Set)
                        .num_args(0..=1)
                        .require_equals(true)
                        .default_missing_value("true")
                        .default_value(default)
                        .value_parser(value::boolean)
                        .overrides_with(id)
                }
                ArgAction::Append => arg.num_args(1).allow_hyphen_values(true),
                _ => arg.num_args(1).allow_hyphen_values(true).overrides_with(id),
            }
        })
}

/// `flag needs a boolean` flags are those without a value name.
pub fn is_boolean(arg: &Arg) -> bool {
    !arg.is_positional() && arg.is_require_equals_set()
}

fn wrong_flag(
    command: &Command,
    grammar: Grammar<'_>,
    arguments: &[String],
    error: &clap::Error,
) -> Failure {
    let text = match error.kind() {
        ErrorKind::UnknownArgument => unknown(context(error, ContextKind::InvalidArg)),
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            let shown = context(error, ContextKind::InvalidArg);
            let arg = command.get_arguments().find(|a| a.to_string() == shown);
            let given = context(error, ContextKind::InvalidValue);
            match (arg, std::error::Error::source(error)) {
                (Some(arg), Some(why)) => {
                    format!(
                        "invalid argument \"{given}\" for \"{}\" flag: {why}",
                        name(arg)
                    )
                }
                (Some(arg), None) => needs_argument(arg, arguments),
                (None, _) => first_line(error),
            }
        }
        _ => first_line(error),
    };
    Failure::Usage {
        text: format!(
            "{text}\n\nUsage:  {} {}\n\nRun '{} --help' for more information",
            grammar.path, grammar.usage, grammar.path
        ),
        code: ENGINE,
    }
}

fn context(error: &clap::Error, kind: ContextKind) -> &str {
    match error.get(kind) {
        Some(ContextValue::String(text)) => text,
        _ => "",
    }
}

fn unknown(flag: &str) -> String {
    if flag.starts_with("--") {
        // `--nosuch=1` is unknown as `--nosuch`.
        let name = flag.split('=').next().unwrap_or(flag);
        return format!("unknown flag: {name}");
    }
    let letter = flag.chars().nth(1).unwrap_or('-');
    format!("unknown shorthand flag: '{letter}' in -{letter}")
}

fn needs_argument(arg: &Arg, arguments: &[String]) -> String {
    let last = arguments.last().map_or("", String::as_str);
    match (arg.get_long(), arg.get_short()) {
        (_, Some(short)) if !last.starts_with("--") => {
            format!("flag needs an argument: '{short}' in {last}")
        }
        (Some(long), _) => format!("flag needs an argument: --{long}"),
        (None, _) => format!("flag needs an argument: {last}"),
    }
}

/// `-m, --memory`.
fn name(arg: &Arg) -> String {
    match (arg.get_short(), arg.get_long()) {
        (Some(short), Some(long)) => format!("-{short}, --{long}"),
        (Some(short), None) => format!("-{short}"),
        (None, long) => format!("--{}", long.unwrap_or_default()),
    }
}

fn first_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

fn check_arity(grammar: Grammar<'_>, count: usize) -> Result<(), Failure> {
    let arguments = |n: usize| if n == 1 { "argument" } else { "arguments" };
    // Docker says "See" here and "Run" everywhere else.
    let (requirement, verb) = match grammar.arity {
        Arity::None if count > 0 => ("accepts no arguments".to_owned(), "Run"),
        Arity::Exactly(n) if count != n => (format!("requires {n} {}", arguments(n)), "Run"),
        Arity::AtLeast(n) if count < n => {
            (format!("requires at least {n} {}", arguments(n)), "See")
        }
        Arity::AtMost(n) if count > n => (format!("requires at most {n} {}", arguments(n)), "See"),
        Arity::Between(low, high) if !(low..=high).contains(&count) => (
            format!(
                "requires at least {low} and at most {high} {}",
                arguments(high)
            ),
            "See",
        ),
        Arity::None
        | Arity::Exactly(_)
        | Arity::AtLeast(_)
        | Arity::AtMost(_)
        | Arity::Between(..) => return Ok(()),
    };
    let Grammar { path, usage, .. } = grammar;
    Err(Failure::Usage {
        text: format!(
            "wharf: '{path}' {requirement}\n\nUsage:  {path} {usage}\n\n{verb} '{path} --help' for more information"
        ),
        code: 1,
    })
}

/// Docker's help page of one verb.
pub fn help(
    command: Command,
    path: &str,
    usage: &str,
    about: &str,
    aliases: &[String],
    width: usize,
) -> String {
    let mut page = format!("Usage:  {path} {usage}\n\n{about}\n");
    if aliases.len() > 1 {
        let _ = write!(page, "\nAliases:\n  {}\n", aliases.join(", "));
    }
    let options = options(as_pflag(command), width);
    if !options.is_empty() {
        let _ = write!(page, "\nOptions:\n{options}");
    }
    page
}

/// The table of options: two columns, wrapped.
pub fn options(mut command: Command, width: usize) -> String {
    command.build();
    let mut shown: Vec<&Arg> = command
        .get_arguments()
        .filter(|arg| !arg.is_positional() && !arg.is_hide_set())
        .collect();
    // By name, as pflag has them, wherever they come from.
    shown.sort_by_key(|arg| arg.get_long());
    let rows: Vec<(String, String)> = shown
        .into_iter()
        .map(|arg| {
            let mut left = match arg.get_short() {
                Some(short) => format!("  -{short}, "),
                None => "      ".to_owned(),
            };
            let _ = write!(left, "--{}", arg.get_long().unwrap_or_default());
            if !is_boolean(arg)
                && let Some(name) = arg.get_value_names().and_then(<[_]>::first)
            {
                let _ = write!(left, " {name}");
            }
            (
                left,
                arg.get_help().map(ToString::to_string).unwrap_or_default(),
            )
        })
        .collect();
    let column = rows.iter().map(|(left, _)| left.len()).max().unwrap_or(0) + 3;
    let mut table = String::new();
    for (left, right) in rows {
        let mut lines = wrap(&right, width.saturating_sub(column).max(20)).into_iter();
        let first = lines.next().unwrap_or_default();
        let _ = writeln!(table, "{left:column$}{first}");
        for line in lines {
            let _ = writeln!(table, "{:column$}{line}", "");
        }
    }
    table
}

fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.last_mut().expect("there is always a line");
        if !last.is_empty() && last.chars().count() + 1 + word.chars().count() > width {
            lines.push(word.to_owned());
        } else {
            if !last.is_empty() {
                last.push(' ');
            }
            last.push_str(word);
        }
    }
    lines
}
