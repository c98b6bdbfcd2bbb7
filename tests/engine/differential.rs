//! The same command lines through docker and through wharf: exit codes, which of the two outputs says anything, and the
//! names and types of what is JSON. The lines are `tests/fixtures/differential/lines`; differences that are known are the
//! tables of `docs/docker-differences.md`.
//!
//! `WHARF_DIFFERENCES=FILE` writes all that differs there, known or not.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Instant;

use serde_json::Value;

use crate::docker::Docker;
use crate::support::{
    BUSYBOX, Host, Output, PATIENCE, busybox_archive, has_peer, pause, privileged,
};

const LINES: &str = "tests/fixtures/differential/lines";
const KNOWN: &str = "docs/docker-differences.md";

/// One line of the list.
struct Line {
    text: String,
    compare: Compare,
    words: Vec<String>,
}

enum Compare {
    /// Exit code, and who says anything.
    Run,
    /// And what standard output says.
    Out,
    /// And the shape of its JSON.
    Json(String),
    /// Until standard output is this.
    Wait(String),
}

/// Words as a shell makes them of single and double quotes and backslashes inside the latter.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                word.extend(chars.by_ref().take_while(|c| *c != '\''));
            }
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

fn lines() -> Vec<Line> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(LINES)).unwrap();
    let lines = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(line).collect()
}

fn line(text: &str) -> Line {
    let (kind, rest) = text.split_once(' ').unwrap();
    let rest = rest.trim_start();
    let (compare, rest) = match kind {
        "run" => (Compare::Run, rest),
        "out" => (Compare::Out, rest),
        "wait" => {
            let (wanted, rest) = rest.split_once(' ').unwrap();
            (Compare::Wait(wanted.to_owned()), rest)
        }
        json => (Compare::Json(json.to_owned()), rest),
    };
    let mut all = words(rest);
    let verb = match all.first().map(String::as_str) {
        Some("run!") => Some("run"),
        Some("create!") => Some("create"),
        _ => None,
    };
    if let Some(verb) = verb {
        let network = [verb, "--network", "none"].map(str::to_owned);
        all.splice(..1, network);
    }
    Line {
        text: rest.to_owned(),
        compare,
        words: all,
    }
}

/// Runs all lines, one after the other.
fn play(lines: &[Line], run: impl Fn(&[String]) -> Output) -> Vec<Output> {
    let play_one = |line: &Line| {
        let Compare::Wait(wanted) = &line.compare else {
            return run(&line.words);
        };
        let deadline = Instant::now() + PATIENCE;
        loop {
            let output = run(&line.words);
            if output.stdout.trim_end() == wanted || Instant::now() > deadline {
                return output;
            }
            pause();
        }
    };
    lines.iter().map(play_one).collect()
}

/// What differs: each is the line or the kind of JSON, and what.
fn compare(line: &Line, docker: &Output, wharf: &Output) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut tell = |what: &str, detail: String| {
        found.push((format!("{} {what}", line.text), detail));
    };
    if docker.code != wharf.code {
        tell("code", format!("{} / {}", docker.code, wharf.code));
    }
    for (what, docker, wharf) in [
        ("stdout", &docker.stdout, &wharf.stdout),
        ("stderr", &docker.stderr, &wharf.stderr),
    ] {
        if docker.is_empty() != wharf.is_empty() {
            tell(what, format!("{docker:?} / {wharf:?}"));
        }
    }
    match &line.compare {
        Compare::Run => {}
        Compare::Wait(_) | Compare::Out => {
            let (docker, wharf) = (settled(&docker.stdout), settled(&wharf.stdout));
            if docker != wharf && !docker.is_empty() && !wharf.is_empty() {
                tell("text", format!("{docker:?} / {wharf:?}"));
            }
        }
        Compare::Json(kind) => {
            let (docker, wharf) = (shape(&docker.stdout), shape(&wharf.stdout));
            for (path, detail) in compare_shapes(&docker, &wharf) {
                found.push((format!("{kind} {path}"), detail));
            }
        }
    }
    found
}

/// Text without what is different each time: ids.
fn settled(text: &str) -> String {
    let mut settled = String::new();
    let mut digits = String::new();
    for c in text.chars().chain(['\n']) {
        if c.is_ascii_digit() || ('a'..='f').contains(&c) {
            digits.push(c);
            continue;
        }
        settled.push_str(if digits.len() >= 12 { "ID" } else { &digits });
        digits.clear();
        settled.push(c);
    }
    settled.trim_end().to_owned()
}

type Shape = BTreeMap<String, BTreeSet<&'static str>>;

fn shape(text: &str) -> Shape {
    let mut shape = Shape::new();
    for value in serde_json::Deserializer::from_str(text).into_iter::<Value>() {
        let Ok(value) = value else {
            shape.entry(".".to_owned()).or_default().insert("not JSON");
            break;
        };
        add(&mut shape, "", &value);
    }
    shape
}

fn add(shape: &mut Shape, path: &str, value: &Value) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(list) => {
            for item in list {
                add(shape, &format!("{path}[]"), item);
            }
            "list"
        }
        Value::Object(map) => {
            for (name, item) in map {
                add(shape, &format!("{path}.{name}"), item);
            }
            "map"
        }
    };
    shape.entry(path.to_owned()).or_default().insert(kind);
}

fn compare_shapes(docker: &Shape, wharf: &Shape) -> Vec<(String, String)> {
    let mut found = Vec::new();
    // Below what is not there, or is another thing, there is nothing to say.
    let told = |found: &[(String, String)], path: &str| {
        let below = |known: &String| {
            let rest = path.strip_prefix(known.as_str());
            rest.is_some_and(|rest| rest.starts_with(['.', '[']))
        };
        found.iter().any(|(known, _)| below(known))
    };
    let paths: BTreeSet<&String> = docker.keys().chain(wharf.keys()).collect();
    for path in paths {
        let kinds = |shape: &Shape| match shape.get(path) {
            Some(kinds) => kinds.iter().copied().collect::<Vec<_>>().join("|"),
            None => "-".to_owned(),
        };
        let (docker, wharf) = (kinds(docker), kinds(wharf));
        if docker != wharf && !told(&found, path) {
            found.push((path.clone(), format!("{docker} / {wharf}")));
        }
    }
    found
}

/// The first column of the tables, in backquotes; one that ends in `*` stands for all that begin so.
fn known() -> Vec<String> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(KNOWN)).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| row.split_once("` |"))
        .map(|(name, _)| name.replace("\\|", "|"))
        .collect()
}

fn is_known(known: &[String], difference: &str) -> bool {
    known.iter().any(|name| match name.strip_suffix('*') {
        Some(start) => difference.starts_with(start),
        None => difference == name,
    })
}

#[test]
fn docker_and_wharf_answer_the_same_command_lines_alike() {
    let Some(host) = privileged() else { return };
    if !has_peer("busybox") {
        return;
    }
    let Some(docker) = Docker::start(&host, &[]) else {
        return;
    };
    load(&host, &docker);
    let lines = lines();
    let (by_docker, by_wharf) = std::thread::scope(|scope| {
        let theirs = scope.spawn(|| play(&lines, |words| docker.run(words, &[])));
        let ours = play(&lines, |words| host.wharf(words));
        (theirs.join().unwrap(), ours)
    });
    let known = known();
    let (mut all, mut unknown) = (String::new(), String::new());
    let mut seen = BTreeSet::new();
    for ((line, docker), wharf) in lines.iter().zip(&by_docker).zip(&by_wharf) {
        for (name, detail) in compare(line, docker, wharf) {
            if !seen.insert(name.clone()) {
                continue;
            }
            let is_known = is_known(&known, &name);
            let mark = if is_known { "known" } else { "new" };
            let _ = writeln!(all, "{mark}\t{name}\t{detail}");
            if !is_known {
                let _ = writeln!(unknown, "{name}: docker / wharf: {detail}");
            }
        }
    }
    if let Some(path) = std::env::var_os("WHARF_DIFFERENCES") {
        fs::write(path, &all).unwrap();
    }
    for id in docker.run(&["ps", "-aq"], &[]).stdout.lines() {
        docker.run(&["rm", "-fv", id], &[]);
    }
    assert!(
        unknown.is_empty(),
        "of {} command lines these differ, and {KNOWN} does not say why:\n{unknown}",
        lines.len()
    );
}

fn load(host: &Host, docker: &Docker) {
    let archive = busybox_archive();
    docker.ok(&["load", "-q"], &archive);
    assert_eq!(host.busybox_image(), Some(BUSYBOX));
}

#[test]
fn what_differs_in_a_shape_is_told_once() {
    let docker = shape(r#"{"A":{"B":1,"C":2},"L":[1,"x"],"N":null}"#);
    let wharf = shape(r#"{"L":[1],"N":[],"O":1}"#);
    let told: Vec<String> = compare_shapes(&docker, &wharf)
        .into_iter()
        .map(|(path, detail)| format!("{path} {detail}"))
        .collect();
    assert_eq!(
        told,
        [
            ".A map / -",
            ".L[] number|string / number",
            ".N null / list",
            ".O - / number"
        ]
    );
    assert_eq!(settled("x 0123456789ab,7\n"), "x ID,7");
    assert_eq!(words("a 'b  c'd '' e"), ["a", "b  cd", "", "e"]);
}
