//! From nodes to text.

use serde_json::{Map, Value};

use super::Eval;
use super::functions::call;
use super::parse::{Expr, Node, Pipe, What};
use super::print::{as_duration, plain, print_value};
use super::types::{
    DURATIONS, EMPTY_MAP, GO_NAMES, LEFT_OUT, LEFT_OUT_OF_CONTAINERS, MAPS, NIL, NO_VALUE,
    OF_VOLUMES, TIMED, Val, null_of, truth,
};

enum Flow {
    On,
    Break,
    Continue,
}

/// What `nodes` make of `root`.
pub(super) fn run(nodes: &[Node], root: &Val, methods: &Map<String, Value>) -> Eval<String> {
    let mut run = Run {
        out: String::new(),
        variables: Vec::new(),
        assigned: None,
        root,
        methods,
    };
    run.nodes(nodes, root)?;
    Ok(run.out)
}

struct Run<'a> {
    out: String,
    /// Those that the template declares; the latest of a name holds.
    variables: Vec<(String, Val)>,
    /// What `$` is, until something is assigned to it.
    root: &'a Val,
    assigned: Option<Val>,
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
            None if name == "$" => self.assigned = Some(value),
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
        let made;
        let start = match &expr.what {
            What::Dot => dot,
            What::Variable(name) => self
                .variable(name)
                .ok_or((expr.at, format!("undefined variable: {name}")))?,
            What::Literal(value) => {
                made = value.clone().into();
                &made
            }
            What::Function(name) => {
                made = call(name, &[])
                    .map_err(|message| (expr.at, format!("error calling {name}: {message}")))?;
                &made
            }
            What::Group(pipe) => {
                made = self.commands(pipe, dot)?;
                &made
            }
        };
        // A field is copied, not the whole of what has it.
        let Some((first, rest)) = expr.fields.split_first() else {
            return Ok(start.clone());
        };
        let mut value = self.field(start, first, expr.at)?;
        for name in rest {
            value = self.field(&value, name, expr.at)?;
        }
        Ok(value)
    }

    fn variable(&self, name: &str) -> Option<&Val> {
        let mut latest = self.variables.iter().rev();
        latest
            .find(|(known, _)| known == name)
            .map(|(_, value)| value)
            .or_else(|| (name == "$").then(|| self.assigned.as_ref().unwrap_or(self.root)))
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
            Value::Null if of.null == EMPTY_MAP => return Ok(Value::Null.into()),
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
                null: if value.is_null() {
                    null_of(name)
                } else {
                    NO_VALUE
                },
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
