//! From items to nodes.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Eval;
use super::functions::FUNCTIONS;
use super::lex::Item;

#[derive(Debug, Clone)]
pub(super) enum Node {
    Text(String),
    Action(Pipe),
    If(Vec<(Pipe, Vec<Node>)>, Vec<Node>),
    With(Vec<(Pipe, Vec<Node>)>, Vec<Node>),
    Range(Pipe, Vec<Node>, Vec<Node>),
    Break,
    Continue,
}

#[derive(Debug, Clone)]
pub(super) struct Pipe {
    pub(super) at: usize,
    pub(super) variables: Vec<String>,
    pub(super) declares: bool,
    pub(super) commands: Vec<Vec<Expr>>,
}

#[derive(Debug, Clone)]
pub(super) struct Expr {
    pub(super) at: usize,
    pub(super) what: What,
    /// Fields taken of it: `.A.B` is `Dot` with two.
    pub(super) fields: Vec<String>,
}

#[derive(Debug, Clone)]
pub(super) enum What {
    Dot,
    Literal(Value),
    Variable(String),
    Function(String),
    Group(Box<Pipe>),
}

/// Names of all fields that are taken of anything; `None` if the value as a whole is used (`{{json .}}`).
pub(super) fn asked(nodes: &[Node]) -> Option<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    all_ask(nodes, &mut names, true).then_some(names)
}

/// Adds the fields that they take; `false` if they use the whole. `.` is the whole where `is_root`: in `with` and `range` it is
/// what they go into, which is none if nobody used the whole on the way.
fn all_ask(nodes: &[Node], names: &mut BTreeSet<String>, is_root: bool) -> bool {
    nodes.iter().all(|node| node.ask(names, is_root))
}

impl Node {
    fn ask(&self, names: &mut BTreeSet<String>, is_root: bool) -> bool {
        match self {
            Self::Text(_) | Self::Break | Self::Continue => true,
            Self::Action(pipe) => pipe.ask(names, is_root),
            Self::If(arms, otherwise) => {
                arms.iter()
                    .all(|(pipe, body)| pipe.ask(names, is_root) && all_ask(body, names, is_root))
                    && all_ask(otherwise, names, is_root)
            }
            Self::With(arms, otherwise) => {
                arms.iter()
                    .all(|(pipe, body)| pipe.ask(names, is_root) && all_ask(body, names, false))
                    && all_ask(otherwise, names, is_root)
            }
            Self::Range(pipe, body, otherwise) => {
                pipe.ask(names, is_root)
                    && all_ask(body, names, false)
                    && all_ask(otherwise, names, is_root)
            }
        }
    }
}

impl Pipe {
    fn ask(&self, names: &mut BTreeSet<String>, is_root: bool) -> bool {
        self.commands.iter().flatten().all(|expr| {
            names.extend(expr.fields.iter().cloned());
            match &expr.what {
                What::Dot => !is_root || !expr.fields.is_empty(),
                What::Variable(name) => name != "$" || !expr.fields.is_empty(),
                What::Group(pipe) => pipe.ask(names, is_root),
                What::Literal(_) | What::Function(_) => true,
            }
        })
    }
}

/// How deep blocks and parentheses may be nested.
const DEPTH: usize = 64;

/// What the pieces of a template of `end` characters say.
pub(super) fn parse(items: Vec<(usize, Item)>, end: usize) -> Eval<Vec<Node>> {
    let mut parser = Parser {
        items,
        next: 0,
        end,
        depth: 0,
        variables: vec!["$".to_owned()],
        loops: 0,
    };
    let (nodes, end) = parser.list()?;
    match end {
        Stop::Source => Ok(nodes),
        Stop::Else(at) => Err((at, "unexpected {{else}}".to_owned())),
        Stop::End(at) => Err((at, "unexpected {{end}}".to_owned())),
    }
}

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
