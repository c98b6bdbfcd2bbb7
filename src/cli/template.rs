//! Go's text/template, as far as `--format` needs it, over JSON values: fields, pipelines, variables, `if`, `with`, `range`,
//! and the functions that Docker adds (docker/cli, `templates`). Not there: `define`, `template`, `block`.

use std::fmt::Write as _;

use serde_json::{Map, Number, Value};

use crate::engine::model::go_duration;

/// A parsed template.
#[derive(Debug, Clone)]
pub struct Template {
    source: Vec<char>,
    nodes: Vec<Node>,
}

/// What is wrong with a template, or with this template for this value; the text has line and column.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("template parsing error: template: :{line}:{column}: {message}")]
pub struct TemplateError {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong there.
    pub message: String,
}

/// An error and the character at which it is.
type Fault = (usize, String);
type Eval<T> = Result<T, Fault>;

#[derive(Debug, Clone)]
enum Node {
    Text(String),
    Action(Pipe),
    If(Vec<(Pipe, Vec<Node>)>, Vec<Node>),
    With(Vec<(Pipe, Vec<Node>)>, Vec<Node>),
    Range(Pipe, Vec<Node>, Vec<Node>),
    Break,
    Continue,
}

#[derive(Debug, Clone)]
struct Pipe {
    at: usize,
    variables: Vec<String>,
    declares: bool,
    commands: Vec<Vec<Expr>>,
}

#[derive(Debug, Clone)]
struct Expr {
    at: usize,
    what: What,
    /// Fields taken of it: `.A.B` is `Dot` with two.
    fields: Vec<String>,
}

#[derive(Debug, Clone)]
enum What {
    Dot,
    Literal(Value),
    Variable(String),
    Function(String),
    Group(Box<Pipe>),
}

/// How deep blocks and parentheses may be nested.
const DEPTH: usize = 64;

/// Fields that are maps in Docker's types: a key that is not there has no value, where a field that is not there is an
/// error.
const MAPS: &[&str] = &[
    "Annotations",
    "Attributes",
    "Config.Labels",
    "DriverOpts",
    "ExposedPorts",
    "Label",
    "Labels",
    "Networks",
    "Options",
    "PortBindings",
    "Ports",
    "Runtimes",
    "StorageOpt",
    "Sysctls",
    "Tmpfs",
    "Volumes",
];

/// Fields that are lists in Docker's types: `null` is an empty one, and reads so.
const LISTS: &[&str] = &[
    "Aliases",
    "Binds",
    "CapAdd",
    "CapDrop",
    "Cmd",
    "DNSNames",
    "Entrypoint",
    "Env",
    "ExecIDs",
    "ExtraHosts",
    "GroupAdd",
    "Links",
    "OnBuild",
    "SecurityOpt",
    "Shell",
    "VolumesFrom",
];

/// Fields of Docker's types that JSON leaves out when they are empty, and what `%v` makes of that. They are below the
/// object that is inspected, never of it.
const LEFT_OUT: &[(&str, &str)] = &[
    ("AuxiliaryAddresses", "map[]"),
    ("ExposedPorts", "map[]"),
    ("Gateway", ""),
    ("Health", NIL),
    ("Healthcheck", NIL),
    ("IPRange", ""),
    ("Shell", "[]"),
    ("StopSignal", ""),
    ("StopTimeout", NIL),
];

/// The same of a container as a whole: what only `--size` counts.
const LEFT_OUT_OF_CONTAINERS: &[&str] = &["SizeRootFs", "SizeRw"];

/// What Docker's types call fields otherwise than their JSON does.
const GO_NAMES: &[(&str, &str)] = &[
    ("CPUCount", "CpuCount"),
    ("CPUPercent", "CpuPercent"),
    ("CPUPeriod", "CpuPeriod"),
    ("CPUQuota", "CpuQuota"),
    ("CPURealtimePeriod", "CpuRealtimePeriod"),
    ("CPURealtimeRuntime", "CpuRealtimeRuntime"),
    ("CPUShares", "CpuShares"),
    ("DNS", "Dns"),
    ("DNSOptions", "DnsOptions"),
    ("DNSSearch", "DnsSearch"),
    ("ID", "Id"),
    ("NanoCPUs", "NanoCpus"),
];

/// Fields of a mount that only volumes have.
const OF_VOLUMES: &[&str] = &["Driver", "Name"];

/// Durations of Docker's types below these objects; one that is left out is none. Beside them a count is left out, too.
const TIMED: &[&str] = &["Healthcheck"];
const DURATIONS: &[&str] = &["Interval", "StartInterval", "StartPeriod", "Timeout"];

const NIL: &str = "<nil>";
const NO_VALUE: &str = "<no value>";

/// A value at work.
#[derive(Debug, Clone)]
struct Val {
    value: Value,
    is_map: bool,
    is_root: bool,
    /// Its fields may be durations.
    is_timed: bool,
    /// Nanoseconds, which read as Go writes durations.
    is_duration: bool,
    /// What it reads as when it is `null`.
    null: &'static str,
}

impl From<Value> for Val {
    fn from(value: Value) -> Self {
        Self {
            value,
            is_map: false,
            is_root: false,
            is_timed: false,
            is_duration: false,
            null: NO_VALUE,
        }
    }
}

enum Flow {
    On,
    Break,
    Continue,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// The first thing that is wrong, with its position.
    pub fn parse(source: &str) -> Result<Self, TemplateError> {
        let chars: Vec<char> = source.chars().collect();
        let mut parser = Parser {
            items: Vec::new(),
            next: 0,
            end: chars.len(),
            depth: 0,
            variables: vec!["$".to_owned()],
            loops: 0,
        };
        let parsed = lex(&chars).and_then(|items| {
            parser.items = items;
            let (nodes, end) = parser.list()?;
            match end {
                Stop::Source => Ok(nodes),
                Stop::Else(at) => Err((at, "unexpected {{else}}".to_owned())),
                Stop::End(at) => Err((at, "unexpected {{end}}".to_owned())),
            }
        });
        match parsed {
            Ok(nodes) => Ok(Self {
                source: chars,
                nodes,
            }),
            Err(fault) => Err(located(&chars, fault)),
        }
    }

    /// Fills it in. `methods` holds what may be asked of the top value beside its fields: a map there is asked with an
    /// argument (`.Label "key"`).
    ///
    /// # Errors
    /// A field that is not there, a function that cannot take its arguments.
    pub fn execute(
        &self,
        value: &Value,
        methods: &Map<String, Value>,
    ) -> Result<String, TemplateError> {
        let root = Val {
            is_root: true,
            ..value.clone().into()
        };
        let mut run = Run {
            out: String::new(),
            variables: vec![("$".to_owned(), root.clone())],
            methods,
        };
        match run.nodes(&self.nodes, &root) {
            Ok(_) => Ok(run.out),
            Err(fault) => Err(located(&self.source, fault)),
        }
    }
}

fn located(source: &[char], (at, message): Fault) -> TemplateError {
    let before = source.get(..at.min(source.len())).unwrap_or_default();
    let line = before.iter().filter(|c| **c == '\n').count() + 1;
    let column = before.iter().rev().take_while(|c| **c != '\n').count() + 1;
    TemplateError {
        line,
        column,
        message,
    }
}

// From characters to items.

#[derive(Debug, Clone, PartialEq)]
enum Item {
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

fn lex(source: &[char]) -> Eval<Vec<(usize, Item)>> {
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

// From items to nodes.

enum Stop {
    Source,
    Else(usize),
    End(usize),
}

struct Parser {
    items: Vec<(usize, Item)>,
    next: usize,
    end: usize,
    depth: usize,
    variables: Vec<String>,
    loops: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Item> {
        self.items.get(self.next).map(|(_, item)| item)
    }

    fn at(&self) -> usize {
        self.items.get(self.next).map_or(self.end, |(at, _)| *at)
    }

    fn take(&mut self) -> Option<Item> {
        let item = self.items.get(self.next).map(|(_, item)| item.clone());
        self.next += 1;
        item
    }

    fn skip_space(&mut self) {
        while self.peek() == Some(&Item::Space) {
            self.next += 1;
        }
    }

    fn deeper<T>(&mut self, parse: impl FnOnce(&mut Self) -> Eval<T>) -> Eval<T> {
        if self.depth == DEPTH {
            return Err((self.at(), "nested too deeply".to_owned()));
        }
        self.depth += 1;
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    /// Nodes up to `{{end}}`, `{{else}}` (whose action is left open for the caller) or the source's end.
    fn list(&mut self) -> Eval<(Vec<Node>, Stop)> {
        let mut nodes = Vec::new();
        loop {
            let at = self.at();
            match self.take() {
                None => return Ok((nodes, Stop::Source)),
                Some(Item::Text(text)) => nodes.push(Node::Text(text)),
                Some(_) => {
                    self.skip_space();
                    let keyword = match self.peek() {
                        Some(Item::Word(word)) => word.clone(),
                        _ => String::new(),
                    };
                    match keyword.as_str() {
                        "end" => {
                            self.next += 1;
                            self.close()?;
                            return Ok((nodes, Stop::End(at)));
                        }
                        "else" => {
                            self.next += 1;
                            return Ok((nodes, Stop::Else(at)));
                        }
                        _ => {
                            let node = self.deeper(|parser| parser.statement(&keyword, at))?;
                            nodes.push(node);
                        }
                    }
                }
            }
        }
    }

    fn close(&mut self) -> Eval<()> {
        self.skip_space();
        let at = self.at();
        match self.take() {
            Some(Item::Close) => Ok(()),
            other => Err((
                at,
                format!("unexpected {} in command", shown(other.as_ref())),
            )),
        }
    }

    fn statement(&mut self, keyword: &str, at: usize) -> Eval<Node> {
        match keyword {
            "if" | "with" => {
                self.next += 1;
                self.branches(keyword, at)
            }
            "range" => {
                self.next += 1;
                let known = self.variables.len();
                let pipe = self.pipe(2)?;
                self.close()?;
                self.loops += 1;
                let (body, end) = self.list()?;
                self.loops -= 1;
                let otherwise = self.otherwise(&end, "range", at)?;
                self.variables.truncate(known);
                Ok(Node::Range(pipe, body, otherwise))
            }
            "break" | "continue" => {
                self.next += 1;
                if self.loops == 0 {
                    return Err((at, format!("{{{{{keyword}}}}} outside {{{{range}}}}")));
                }
                self.close()?;
                Ok(if keyword == "break" {
                    Node::Break
                } else {
                    Node::Continue
                })
            }
            "define" | "template" | "block" => {
                Err((at, format!("{{{{{keyword}}}}} is not supported")))
            }
            _ => {
                let pipe = self.pipe(1)?;
                self.close()?;
                Ok(Node::Action(pipe))
            }
        }
    }

    fn branches(&mut self, keyword: &str, at: usize) -> Eval<Node> {
        let known = self.variables.len();
        let mut arms = Vec::new();
        let otherwise = loop {
            let pipe = self.pipe(1)?;
            self.close()?;
            let (body, end) = self.list()?;
            arms.push((pipe, body));
            // `{{else if …}}` is one more arm, not one more level.
            if matches!(end, Stop::Else(_)) {
                self.skip_space();
                if self.peek() == Some(&Item::Word(keyword.to_owned())) {
                    self.next += 1;
                    continue;
                }
            }
            break self.otherwise(&end, keyword, at)?;
        };
        self.variables.truncate(known);
        Ok(if keyword == "if" {
            Node::If(arms, otherwise)
        } else {
            Node::With(arms, otherwise)
        })
    }

    fn otherwise(&mut self, end: &Stop, keyword: &str, at: usize) -> Eval<Vec<Node>> {
        let unclosed = || {
            (
                at,
                format!("unclosed {{{{{keyword}}}}}: missing {{{{end}}}}"),
            )
        };
        match end {
            Stop::End(_) => Ok(Vec::new()),
            Stop::Source => Err(unclosed()),
            Stop::Else(_) => {
                self.close()?;
                match self.list()? {
                    (nodes, Stop::End(_)) => Ok(nodes),
                    (_, Stop::Else(at)) => Err((at, "expected end; found {{else}}".to_owned())),
                    (_, Stop::Source) => Err(unclosed()),
                }
            }
        }
    }

    /// A pipeline, with a declaration of at most so many variables before it.
    fn pipe(&mut self, most: usize) -> Eval<Pipe> {
        self.skip_space();
        let at = self.at();
        let (variables, declares) = self.declaration(most)?;
        let mut commands = Vec::new();
        loop {
            let command = self.command()?;
            if command.is_empty() {
                let what = if commands.is_empty() {
                    "missing value for command"
                } else {
                    "missing value after |"
                };
                return Err((self.at(), what.to_owned()));
            }
            commands.push(command);
            if self.peek() == Some(&Item::Pipe) {
                self.next += 1;
            } else {
                break;
            }
        }
        for later in commands.iter().skip(1) {
            if let Some(first) = later.first()
                && !matches!(first.what, What::Function(_) | What::Group(_))
                && first.fields.is_empty()
                && !matches!(first.what, What::Variable(_))
            {
                return Err((first.at, "non executable command in pipeline".to_owned()));
            }
        }
        if declares {
            self.variables.extend(variables.iter().cloned());
        }
        Ok(Pipe {
            at,
            variables,
            declares,
            commands,
        })
    }

    fn declaration(&mut self, most: usize) -> Eval<(Vec<String>, bool)> {
        let start = self.next;
        let mut names = Vec::new();
        while let Some(Item::Variable(name)) = self.peek().cloned() {
            self.next += 1;
            self.skip_space();
            names.push(name);
            match self.peek() {
                Some(Item::Comma) if names.len() < most => {
                    self.next += 1;
                    self.skip_space();
                }
                Some(Item::Declare) => {
                    self.next += 1;
                    return Ok((names, true));
                }
                Some(Item::Assign) => {
                    let at = self.at();
                    self.next += 1;
                    for name in &names {
                        self.known(name, at)?;
                    }
                    return Ok((names, false));
                }
                _ => break,
            }
        }
        self.next = start;
        Ok((Vec::new(), false))
    }

    fn known(&self, name: &str, at: usize) -> Eval<()> {
        if self.variables.iter().any(|known| known == name) {
            Ok(())
        } else {
            Err((at, format!("undefined variable {name:?}")))
        }
    }

    fn command(&mut self) -> Eval<Vec<Expr>> {
        let mut arguments = Vec::new();
        loop {
            self.skip_space();
            match self.peek() {
                None | Some(Item::Close | Item::Pipe | Item::Right) => return Ok(arguments),
                Some(_) => {
                    let argument = self.deeper(Self::expr)?;
                    arguments.push(argument);
                }
            }
        }
    }

    fn expr(&mut self) -> Eval<Expr> {
        let at = self.at();
        let mut fields = Vec::new();
        let what = match self.take() {
            Some(Item::Dot) => What::Dot,
            Some(Item::Field(name)) => {
                fields.push(name);
                What::Dot
            }
            Some(Item::Variable(name)) => {
                self.known(&name, at)?;
                What::Variable(name)
            }
            Some(Item::Literal(value)) => What::Literal(value),
            Some(Item::Word(name)) => {
                if !FUNCTIONS.contains(&name.as_str()) {
                    return Err((at, format!("function {name:?} not defined")));
                }
                What::Function(name)
            }
            Some(Item::Left) => {
                let pipe = self.pipe(0)?;
                self.skip_space();
                match self.take() {
                    Some(Item::Right) => What::Group(Box::new(pipe)),
                    _ => return Err((at, "unclosed left paren".to_owned())),
                }
            }
            other => {
                return Err((
                    at,
                    format!("unexpected {} in operand", shown(other.as_ref())),
                ));
            }
        };
        while let Some(Item::Field(name)) = self.peek().cloned() {
            if matches!(what, What::Function(_) | What::Literal(_)) {
                return Err((self.at(), format!("unexpected <.{name}> after operand")));
            }
            self.next += 1;
            fields.push(name);
        }
        Ok(Expr { at, what, fields })
    }
}

fn shown(item: Option<&Item>) -> String {
    match item {
        None => "end of template".to_owned(),
        Some(Item::Text(_)) => "text".to_owned(),
        Some(Item::Open) => "{{".to_owned(),
        Some(Item::Close) => "}}".to_owned(),
        Some(Item::Field(name)) => format!("<.{name}>"),
        Some(Item::Dot) => "<.>".to_owned(),
        Some(Item::Variable(name)) => format!("<{name}>"),
        Some(Item::Word(word)) => format!("<{word}>"),
        Some(Item::Literal(value)) => format!("<{value}>"),
        Some(Item::Pipe) => "\"|\"".to_owned(),
        Some(Item::Left) => "\"(\"".to_owned(),
        Some(Item::Right) => "\")\"".to_owned(),
        Some(Item::Comma) => "\",\"".to_owned(),
        Some(Item::Declare) => "\":=\"".to_owned(),
        Some(Item::Assign) => "\"=\"".to_owned(),
        Some(Item::Space) => "space".to_owned(),
    }
}

// From nodes to text.

struct Run<'a> {
    out: String,
    variables: Vec<(String, Val)>,
    methods: &'a Map<String, Value>,
}

impl Run<'_> {
    fn nodes(&mut self, nodes: &[Node], dot: &Val) -> Eval<Flow> {
        for node in nodes {
            match self.node(node, dot)? {
                Flow::On => {}
                other => return Ok(other),
            }
        }
        Ok(Flow::On)
    }

    fn node(&mut self, node: &Node, dot: &Val) -> Eval<Flow> {
        match node {
            Node::Text(text) => self.out.push_str(text),
            Node::Action(pipe) => {
                let value = self.pipe(pipe, dot)?;
                if pipe.variables.is_empty() {
                    match value.value {
                        Value::Null => self.out.push_str(value.null),
                        other if value.is_duration => self.out.push_str(&as_duration(&other)),
                        other => print_value(&mut self.out, &other, value.is_map),
                    }
                }
            }
            Node::If(arms, otherwise) => return self.choose(arms, otherwise, dot, false),
            Node::With(arms, otherwise) => return self.choose(arms, otherwise, dot, true),
            Node::Range(pipe, body, otherwise) => return self.range(pipe, body, otherwise, dot),
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::On)
    }

    fn choose(
        &mut self,
        arms: &[(Pipe, Vec<Node>)],
        otherwise: &[Node],
        dot: &Val,
        rebinds: bool,
    ) -> Eval<Flow> {
        let known = self.variables.len();
        for (pipe, body) in arms {
            let value = self.pipe(pipe, dot)?;
            if truth(&value) {
                let flow = self.nodes(body, if rebinds { &value } else { dot })?;
                self.variables.truncate(known);
                return Ok(flow);
            }
        }
        let flow = self.nodes(otherwise, dot)?;
        self.variables.truncate(known);
        Ok(flow)
    }

    fn range(&mut self, pipe: &Pipe, body: &[Node], otherwise: &[Node], dot: &Val) -> Eval<Flow> {
        let known = self.variables.len();
        let over = self.commands(pipe, dot)?;
        let rows: Vec<(Value, Value)> = match over.value {
            Value::Null => Vec::new(),
            Value::Array(list) => list
                .into_iter()
                .enumerate()
                .map(|(n, value)| (Value::from(n), value))
                .collect(),
            Value::Object(map) => {
                let mut rows: Vec<_> = map.into_iter().collect();
                // text/template visits maps in the order of their keys.
                rows.sort_by(|a, b| a.0.cmp(&b.0));
                rows.into_iter()
                    .map(|(k, v)| (Value::String(k), v))
                    .collect()
            }
            other => {
                return Err((
                    pipe.at,
                    format!("range can't iterate over {}", plain(&other)),
                ));
            }
        };
        if rows.is_empty() {
            let flow = self.nodes(otherwise, dot)?;
            self.variables.truncate(known);
            return Ok(flow);
        }
        for (key, value) in rows {
            match pipe.variables.as_slice() {
                [one] => self.bind(one, value.clone().into(), pipe.declares),
                [first, second] => {
                    self.bind(first, key.into(), pipe.declares);
                    self.bind(second, value.clone().into(), pipe.declares);
                }
                _ => {}
            }
            let flow = self.nodes(body, &value.into())?;
            self.variables.truncate(known);
            if matches!(flow, Flow::Break) {
                break;
            }
        }
        Ok(Flow::On)
    }

    fn bind(&mut self, name: &str, value: Val, declares: bool) {
        let known = self
            .variables
            .iter_mut()
            .rev()
            .find(|(known, _)| known == name);
        match known {
            Some((_, slot)) if !declares => *slot = value,
            _ => self.variables.push((name.to_owned(), value)),
        }
    }

    fn pipe(&mut self, pipe: &Pipe, dot: &Val) -> Eval<Val> {
        let value = self.commands(pipe, dot)?;
        for name in &pipe.variables {
            self.bind(name, value.clone(), pipe.declares);
        }
        Ok(value)
    }

    fn commands(&mut self, pipe: &Pipe, dot: &Val) -> Eval<Val> {
        let mut last = None;
        for command in &pipe.commands {
            last = Some(self.command(command, dot, last)?);
        }
        last.ok_or((pipe.at, "missing value for command".to_owned()))
    }

    fn command(&mut self, command: &[Expr], dot: &Val, piped: Option<Val>) -> Eval<Val> {
        let Some((head, rest)) = command.split_first() else {
            return Err((0, "empty command".to_owned()));
        };
        if let What::Function(name) = &head.what {
            // These two stop at the first argument that decides.
            if name == "and" || name == "or" {
                return self.and_or(name == "or", head.at, rest, dot, piped);
            }
            let mut arguments = Vec::with_capacity(rest.len() + 1);
            for argument in rest {
                arguments.push(self.expr(argument, dot)?);
            }
            arguments.extend(piped);
            return call(name, &arguments)
                .map_err(|message| (head.at, format!("error calling {name}: {message}")));
        }
        let value = self.expr(head, dot)?;
        let mut arguments = Vec::new();
        for argument in rest {
            arguments.push(self.expr(argument, dot)?);
        }
        arguments.extend(piped);
        match arguments.as_slice() {
            [] => Ok(value),
            // A method such as `.Label "key"`.
            [key] if value.is_map => match (&value.value, &key.value) {
                (Value::Object(map), Value::String(key)) => Ok(map
                    .get(key)
                    .cloned()
                    .unwrap_or_else(|| Value::String(String::new()))
                    .into()),
                _ => Err((head.at, "wrong type of argument".to_owned())),
            },
            _ => {
                let what = head.fields.last().map_or("value", String::as_str);
                Err((
                    head.at,
                    format!("{what} has arguments but cannot be invoked as function"),
                ))
            }
        }
    }

    fn and_or(
        &mut self,
        is_or: bool,
        at: usize,
        rest: &[Expr],
        dot: &Val,
        piped: Option<Val>,
    ) -> Eval<Val> {
        let mut last = None;
        for argument in rest {
            let value = self.expr(argument, dot)?;
            if truth(&value) == is_or {
                return Ok(value);
            }
            last = Some(value);
        }
        piped
            .or(last)
            .ok_or((at, "wrong number of args: want at least 1 got 0".to_owned()))
    }

    fn expr(&mut self, expr: &Expr, dot: &Val) -> Eval<Val> {
        let mut value = match &expr.what {
            What::Dot => dot.clone(),
            What::Literal(value) => value.clone().into(),
            What::Variable(name) => self
                .variables
                .iter()
                .rev()
                .find(|(known, _)| known == name)
                .map(|(_, value)| value.clone())
                .ok_or((expr.at, format!("undefined variable: {name}")))?,
            What::Function(name) => call(name, &[])
                .map_err(|message| (expr.at, format!("error calling {name}: {message}")))?,
            What::Group(pipe) => self.commands(pipe, dot)?,
        };
        for name in &expr.fields {
            value = self.field(&value, name, expr.at)?;
        }
        Ok(value)
    }

    fn field(&self, of: &Val, name: &str, at: usize) -> Eval<Val> {
        let found = match &of.value {
            Value::Object(map) => map
                .get(name)
                .or_else(|| self.methods.get(name).filter(|_| of.is_root))
                .or_else(|| {
                    let (_, other) = GO_NAMES.iter().find(|(known, _)| *known == name)?;
                    map.get(*other).filter(|_| !of.is_map)
                }),
            Value::Null => {
                return Err((at, format!("nil data; no entry for key {name:?}")));
            }
            _ => {
                return Err((
                    at,
                    format!("can't evaluate field {name} in {}", plain(&of.value)),
                ));
            }
        };
        match found {
            Some(value) => Ok(Val {
                is_map: value.is_object() && MAPS.contains(&name),
                value: value.clone(),
                is_root: false,
                is_timed: TIMED.contains(&name),
                is_duration: of.is_timed && DURATIONS.contains(&name),
                null: null_of(name),
            }),
            None if of.is_map => Ok(Value::Null.into()),
            None if OF_VOLUMES.contains(&name) && of.value.get("Destination").is_some() => {
                Ok(Value::from("").into())
            }
            None if of.is_timed && (DURATIONS.contains(&name) || name == "Retries") => Ok(Val {
                is_duration: name != "Retries",
                ..Value::from(0).into()
            }),
            None => match LEFT_OUT.iter().find(|(known, _)| *known == name) {
                Some((_, null)) if !of.is_root => Ok(Val {
                    null,
                    ..Value::Null.into()
                }),
                None if of.is_root
                    && LEFT_OUT_OF_CONTAINERS.contains(&name)
                    && of.value.get("HostConfig").is_some() =>
                {
                    Ok(Val {
                        null: NIL,
                        ..Value::Null.into()
                    })
                }
                Some(_) | None => Err((at, format!("map has no entry for key {name:?}"))),
            },
        }
    }
}

fn truth(value: &Val) -> bool {
    match &value.value {
        Value::Null => false,
        Value::Bool(is) => *is,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !value.is_map || !map.is_empty(),
    }
}

const FUNCTIONS: &[&str] = &[
    "and", "eq", "ge", "gt", "html", "index", "join", "json", "le", "len", "lower", "lt", "ne",
    "not", "or", "pad", "print", "printf", "println", "slice", "split", "title", "truncate",
    "upper", "urlquery",
];

#[expect(clippy::too_many_lines, reason = "a list of functions")]
fn call(name: &str, arguments: &[Val]) -> Result<Val, String> {
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

/// Longest padding: nobody wants more, and a template must not exhaust memory.
const WIDEST: usize = 10_000;

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

/// Go's `fmt.Sprint`: a space between two operands of which neither is a string.
fn print(values: &[&Value]) -> String {
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

fn as_duration(value: &Value) -> String {
    go_duration::text(value.as_i64().unwrap_or_default())
}

/// As an operand of `fmt`: nil is `<nil>`.
fn printed(value: &Value) -> String {
    if value.is_null() {
        NIL.to_owned()
    } else {
        plain(value)
    }
}

/// What a field of Docker's types reads as when it is `null`.
fn null_of(name: &str) -> &'static str {
    if LISTS.contains(&name) {
        "[]"
    } else if MAPS.contains(&name) {
        "map[]"
    } else {
        NO_VALUE
    }
}

/// Go's `%v`.
fn plain(value: &Value) -> String {
    let mut text = String::new();
    print_value(&mut text, value, true);
    text
}

/// Go's `%v` of Docker's types: an object is a struct, unless it is known to be a map.
fn print_value(out: &mut String, value: &Value, is_map: bool) {
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
pub fn compact(value: &Value) -> String {
    value.to_string()
}

fn printf(format: &str, arguments: &[&Value]) -> Result<String, String> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn row() -> Value {
        json!({
            "ID": "4bf0a1c2d3e4", "Names": "web", "Size": 12, "Ratio": 0.5, "On": true, "Off": false,
            "Empty": "", "List": ["a", "b", "c"], "None": null,
            "Labels": {"com.x": "1", "b": "2"},
            "State": {"Status": "running", "Pid": 42, "Health": {"Log": []}},
            "Mounts": [{"Source": "/a", "RW": true}, {"Source": "/b", "RW": false}],
        })
    }

    fn fill(template: &str) -> Result<String, String> {
        let mut methods = Map::new();
        methods.insert("Label".to_owned(), json!({"com.x": "1"}));
        Template::parse(template)
            .and_then(|t| t.execute(&row(), &methods))
            .map_err(|e| format!("{}:{}: {}", e.line, e.column, e.message))
    }

    #[track_caller]
    fn gives(template: &str, text: &str) {
        assert_eq!(fill(template).as_deref(), Ok(text), "{template}");
    }

    #[track_caller]
    fn refuses(template: &str, message: &str) {
        assert_eq!(fill(template), Err(message.to_owned()), "{template}");
    }

    #[test]
    fn fields_literals_and_pipelines_are_filled_in() {
        gives("{{.ID}}: {{.Names}}", "4bf0a1c2d3e4: web");
        gives("{{ .State.Status }}/{{.State.Pid}}", "running/42");
        gives("{{.Names | upper | printf \"%5s|\"}}", "  WEB|");
        gives("{{json .List}}", "[\"a\",\"b\",\"c\"]");
        gives("{{.List}} {{.Labels}}", "[a b c] map[b:2 com.x:1]");
        gives(
            "{{\"a\\tb\"}}{{`\\n`}}{{3}}{{1.5}}{{true}}",
            "a\tb\\n31.5true",
        );
        gives("{{.None}}", "<no value>");
        gives("{{(index .Mounts 0).Source}}", "/a");
        gives("{{$.State}}{{/* nothing */}}", "{running 42 {[]}}");
    }

    /// Docker fills in its types, which know of more than their JSON shows.
    #[test]
    fn what_json_leaves_out_or_calls_null_reads_as_in_dockers_types() {
        let object = serde_json::json!({
            "Id": "sha256:1",
            "Config": {"Cmd": null, "Volumes": null, "Labels": null, "Env": ["A=b"], "ExposedPorts": {"80/tcp": {}}},
            "HostConfig": {"CpuShares": 2},
            "Mounts": [{"Type": "bind", "Destination": "/a"}],
            "State": {"Healthcheck": {"Test": ["CMD", "true"], "Timeout": 90_000_000_000_i64}},
            "NetworkSettings": {"Ports": {
                "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}],
                "443/tcp": null,
            }},
        });
        let check = |template: &str, expected: &str| {
            let filled = Template::parse(template)
                .and_then(|template| template.execute(&object, &Map::new()));
            assert_eq!(filled.as_deref(), Ok(expected), "{template}");
        };
        check("{{.ID}} {{.Id}}", "sha256:1 sha256:1");
        check("{{.Config.Cmd}} {{.Config.Volumes}}", "[] map[]");
        check("{{.Config}}", "{[] map[] map[] [A=b] map[80/tcp:{}]}");
        check("{{.Config.ExposedPorts}}", "map[80/tcp:{}]");
        check(
            "{{.NetworkSettings.Ports}}",
            "map[443/tcp:[] 80/tcp:[{0.0.0.0 8080}]]",
        );
        check("{{.SizeRw}} {{.SizeRootFs}}", "<nil> <nil>");
        check("{{.HostConfig.CPUShares}} {{.HostConfig.CpuShares}}", "2 2");
        check("{{with index .Mounts 0}}{{.Name}}-{{.Driver}}{{end}}", "-");
        check(
            "{{with .State.Healthcheck}}{{.Timeout}} {{.Interval}} {{.Retries}} {{json .Timeout}}{{end}}",
            "1m30s 0s 0 90000000000",
        );
        check("{{.State.Healthcheck}}", "{[CMD true] 1m30s}");
        check("{{json .Config.Cmd}}", "null");
        check("{{len .Config.Cmd}}{{range .Config.Cmd}}x{{end}}", "0");
        check("{{.Config.Healthcheck}}", "<nil>");
        check("{{if .Config.Healthcheck}}y{{else}}n{{end}}", "n");
        check("{{.Config.Shell}}{{.Config.StopSignal}}", "[]");
        assert!(
            Template::parse("{{.Config.Healthcheck.Test}}")
                .and_then(|template| template.execute(&object, &Map::new()))
                .is_err()
        );
    }

    #[test]
    fn white_space_is_trimmed_where_a_dash_says_so() {
        gives("a  {{- .Names -}}  b", "awebb");
        gives("a\n{{- /* c */ -}}\nb", "ab");
        gives("{{-1}}", "-1");
    }

    #[test]
    fn conditions_choose_and_loops_repeat() {
        gives("{{if .On}}a{{else}}b{{end}}", "a");
        gives("{{if .Off}}a{{else if .Empty}}b{{else}}c{{end}}", "c");
        gives("{{if and .On (eq .Names \"web\") (not .Off)}}y{{end}}", "y");
        gives("{{if or .Off .Empty}}y{{else}}n{{end}}", "n");
        gives("{{with .State}}{{.Pid}}{{end}}", "42");
        gives("{{with .Empty}}x{{else}}none{{end}}", "none");
        gives("{{range .Mounts}}{{.Source}};{{end}}", "/a;/b;");
        gives(
            "{{range $i, $e := .List}}{{$i}}={{$e}} {{end}}",
            "0=a 1=b 2=c ",
        );
        gives(
            "{{range $k, $v := .Labels}}{{$k}}={{$v}} {{end}}",
            "b=2 com.x=1 ",
        );
        gives("{{range .State.Health.Log}}x{{else}}empty{{end}}", "empty");
        gives(
            "{{range .List}}{{if eq . \"b\"}}{{continue}}{{end}}{{.}}{{end}}",
            "ac",
        );
        gives(
            "{{range .List}}{{if eq . \"b\"}}{{break}}{{end}}{{.}}{{end}}",
            "a",
        );
        gives("{{$x := .Names}}{{$x = upper $x}}{{$x}}", "WEB");
        gives("{{range .Mounts}}{{$.Names}}{{end}}", "webweb");
    }

    #[test]
    fn functions_are_gos_and_dockers() {
        gives("{{len .List}}{{len .Names}}{{len .Labels}}", "332");
        gives(
            "{{index .Labels \"com.x\"}}{{index .List 2}}{{index .Labels \"no\"}}",
            "1c",
        );
        gives("{{.Labels.nosuch}}", "<no value>");
        gives("{{.Label \"com.x\"}}{{.Label \"no\"}}", "1");
        gives("{{join .List \"/\"}}", "a/b/c");
        gives("{{json (split \"a,b\" \",\")}}", "[\"a\",\"b\"]");
        gives("{{title \"hello big world\"}}", "Hello Big World");
        gives(
            "{{pad .Names 1 2}}|{{pad \"\" 3 3}}|{{truncate .ID 4}}",
            " web  ||4bf0",
        );
        gives(
            "{{printf \"%-5s|%03d|%q|%v|%.1f%%\" .Names 7 \"x\" .On .Ratio}}",
            "web  |007|\"x\"|true|0.5%",
        );
        gives("{{println .Names 3}}", "web 3\n");
        gives("{{print 1 2 \"x\" 3}}", "1 2x3");
        gives("{{slice .ID 0 3}}{{slice .List 1}}", "4bf[b c]");
        gives(
            "{{eq .Size 12}}{{ne .Size 12}}{{lt 1 2}}{{le 2 2}}{{gt .Size 11.5}}{{ge 1 2}}",
            "truefalsetruetruetruefalse",
        );
        gives("{{eq .Names \"a\" \"web\"}}", "true");
        gives("{{html \"<a>\"}}{{urlquery \"a b&\"}}", "&lt;a&gt;a+b%26");
        gives("{{json .None}}", "null");
    }

    #[test]
    fn an_error_says_where_it_is() {
        refuses("{{.ID", "1:1: unclosed action");
        refuses(
            "x\n {{.Nosuch}}",
            "2:4: map has no entry for key \"Nosuch\"",
        );
        refuses(
            "{{.State.Nosuch}}",
            "1:3: map has no entry for key \"Nosuch\"",
        );
        refuses("{{nosuch .ID}}", "1:3: function \"nosuch\" not defined");
        refuses("{{if .On}}x", "1:1: unclosed {{if}}: missing {{end}}");
        refuses("{{end}}", "1:1: unexpected {{end}}");
        refuses("{{else}}", "1:1: unexpected {{else}}");
        refuses("{{$x}}", "1:3: undefined variable \"$x\"");
        refuses("{{\"abc}}", "1:3: unterminated quoted string");
        refuses("{{}}", "1:3: missing value for command");
        refuses("{{.ID | }}", "1:9: missing value after |");
        refuses("{{(.ID}}", "1:3: unclosed left paren");
        refuses(
            "{{lower 3}}",
            "1:3: error calling lower: wrong type for value; expected string; got 3",
        );
        refuses(
            "{{eq 1 \"a\"}}",
            "1:3: error calling eq: incompatible types for comparison",
        );
        refuses("{{template \"x\"}}", "1:1: {{template}} is not supported");
        refuses("{{break}}", "1:1: {{break}} outside {{range}}");
        refuses(
            "{{.ID.Foo}}",
            "1:3: can't evaluate field Foo in 4bf0a1c2d3e4",
        );
        refuses(
            "{{.ID \"x\"}}",
            "1:3: ID has arguments but cannot be invoked as function",
        );
        refuses(
            &format!(
                "{}1{}",
                "{{".to_owned() + &"(".repeat(100),
                ")".repeat(100) + "}}"
            ),
            "1:66: nested too deeply",
        );
    }

    proptest! {
        #[test]
        fn any_text_is_filled_in_or_refused_without_a_panic(text in "(\\{\\{|\\}\\}|[ -~]|\\.ID|\\.List|range |if |end|else|with |\\$x|:=|index |printf |\"|\n|é){0,40}") {
            let _ = fill(&text);
        }

        #[test]
        fn text_without_braces_is_left_alone(text in "[^{]{0,40}") {
            prop_assert_eq!(fill(&text), Ok(text));
        }

        #[test]
        fn printf_takes_any_format(format in "[ -~]{0,12}") {
            let _ = printf(&format, &[&json!("x"), &json!(3), &json!(null)]);
        }
    }
}
