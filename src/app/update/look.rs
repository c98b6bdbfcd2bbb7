//! What the engine tells of a container only while somebody looks: its processes, again and again; the files that differ
//! from its image, again when something happened to a container.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::super::document::DocLine;
use super::super::{Answer, Effect, Failure, Query, QueryId, State, Subject, text};
use super::fill_document;
use crate::engine::error::Kind;
use crate::engine::model::container::Change;
use crate::engine::model::process::Process;

/// Between two looks at the processes.
const EVERY: Duration = Duration::from_secs(2);

/// Asks for what the document is about, if that has to be asked for.
pub(super) fn ask(state: &mut State, after: Duration, effects: &mut Vec<Effect>) {
    let query = match &state.subject {
        Subject::Top(id) => Query::Processes(id.clone()),
        Subject::Diff(id) => Query::Changes(id.clone()),
        Subject::Reach(id) => Query::Connections(id.clone()),
        _ => return,
    };
    let id = QueryId(state.next_id());
    state.look.query = Some(id);
    effects.push(Effect::Query { id, query, after });
}

/// Something happened to a container: asks again, unless an answer is on its way.
pub(super) fn again(state: &mut State, effects: &mut Vec<Effect>) {
    if state.look.query.is_none() {
        ask(state, Duration::ZERO, effects);
    }
}

/// Takes the answer.
pub(super) fn take(state: &mut State, answer: Result<Answer, Failure>, effects: &mut Vec<Effect>) {
    state.look.query = None;
    // One that does not run is asked again when it was started.
    if matches!(answer, Ok(Answer::Processes(_) | Answer::Connections(_))) {
        ask(state, EVERY, effects);
    }
    state.look.answer = Some(answer);
    fill_document(state);
}

/// The document.
pub(super) fn lines(state: &State) -> Vec<DocLine> {
    match &state.look.answer {
        // In few words: the whole message has a long id in it.
        Some(Err(failure))
            if failure.kind == Kind::Conflict && matches!(state.subject, Subject::Top(_)) =>
        {
            vec![DocLine::new(0, "", "it does not run: no processes")]
        }
        Some(Err(failure)) => vec![DocLine::new(0, "", &failure.line)],
        Some(Ok(Answer::Processes(processes))) => {
            let age = |process: &Process| state.now.duration_since(process.started).as_secs();
            process_lines(processes, &age)
        }
        Some(Ok(Answer::Changes(changes))) => change_lines(changes),
        None | Some(Ok(_)) => Vec::new(),
    }
}

/// A line for each process, below its parent.
fn process_lines(processes: &[Process], age: &dyn Fn(&Process) -> i64) -> Vec<DocLine> {
    let known: BTreeSet<i32> = processes.iter().map(|process| process.pid).collect();
    let mut children: BTreeMap<i32, Vec<&Process>> = BTreeMap::new();
    for process in processes {
        // 0 stands for all parents that are none of its processes.
        let parent = Some(process.parent).filter(|parent| known.contains(parent));
        children
            .entry(parent.unwrap_or(0))
            .or_default()
            .push(process);
    }
    let head = format!(
        "{:>7} {:<8} {:>8} {:>6} {:>4}  COMMAND",
        "PID", "USER", "CPU TIME", "MEM", "AGE"
    );
    let mut lines = vec![DocLine::new(0, &head, "")];
    let mut waiting: Vec<(usize, &Process)> = Vec::new();
    let of = |children: &mut BTreeMap<i32, Vec<_>>, pid| {
        children.remove(&pid).unwrap_or_default().into_iter().rev()
    };
    waiting.extend(of(&mut children, 0).map(|process| (0, process)));
    while let Some((depth, process)) = waiting.pop() {
        lines.push(DocLine::new(0, "", &line(depth, process, age(process))));
        waiting.extend(of(&mut children, process.pid).map(|child| (depth + 1, child)));
    }
    lines
}

fn line(depth: usize, process: &Process, age: i64) -> String {
    let command = match process.arguments.as_slice() {
        // As ps(1) shows what has no arguments, or none any more.
        [] => format!("[{}]", process.command),
        arguments => arguments.join(" "),
    };
    format!(
        "{:>7} {:<8} {:>8} {:>6} {:>4}  {}{command}",
        process.pid,
        text::fit(&process.user, 8),
        format!("{}.{:02}s", process.cpu / 1000, process.cpu % 1000 / 10),
        text::bytes(process.resident),
        text::age(age),
        "  ".repeat(depth),
    )
}

/// A line for each file, with `diff`'s letter, and how many there are.
fn change_lines(changes: &[Change]) -> Vec<DocLine> {
    let count = match changes.len() {
        0 => "nothing differs from the image".to_owned(),
        1 => "1 path differs from the image (A added, C changed, D deleted)".to_owned(),
        many => format!("{many} paths differ from the image (A added, C changed, D deleted)"),
    };
    let mut lines = vec![DocLine::new(0, "", &count)];
    lines.extend(changes.iter().map(|change| {
        let letter = change.kind.letter().to_string();
        DocLine::new(0, &letter, &change.path)
    }));
    lines
}
