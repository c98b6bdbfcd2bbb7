//! Keys of dialogs with fields, and what they send off.

use std::time::Duration;

use super::super::form::{Ask, Checked, Form, Kind, Listing};
use super::super::jobs::{JobId, Outcome, Request};
use super::super::key::{Key, KeyCode};
use super::super::overlay::{Confirm, Overlay, Then};
use super::super::{Effect, Query, QueryId, State, text};
use super::jobs::run;
use super::tables;

/// What a key left of a dialog.
pub(super) enum Left {
    /// It goes on.
    Open,
    /// It is over.
    Closed,
}

/// A key in a dialog that has been taken off the stack.
pub(super) fn on_form_key(
    state: &mut State,
    form: &mut Form,
    key: Key,
    effects: &mut Vec<Effect>,
) -> Left {
    if form.sent.is_some() {
        // It is on its way; who does not want to wait is told at the end.
        let leaves = key.code == KeyCode::Esc || key == Key::ctrl('c');
        return if leaves { Left::Closed } else { Left::Open };
    }
    let count = form.suggestions().len();
    let walk = |chosen: Option<usize>, down: bool| match (chosen, down) {
        (_, _) if count == 0 => None,
        (None, true) => Some(0),
        (None, false) => Some(count - 1),
        // Past the end is the text as it was typed.
        (Some(at), true) => Some(at + 1).filter(|at| *at < count),
        (Some(at), false) => at.checked_sub(1),
    };
    match key.code {
        KeyCode::Esc => return Left::Closed,
        _ if key == Key::ctrl('c') => return Left::Closed,
        KeyCode::Down => form.chosen = walk(form.chosen, true),
        KeyCode::Up => form.chosen = walk(form.chosen, false),
        _ if key == Key::ctrl('n') => form.chosen = walk(form.chosen, true),
        _ if key == Key::ctrl('p') => form.chosen = walk(form.chosen, false),
        KeyCode::BackTab => form.step(-1),
        KeyCode::Tab => {
            if !take_chosen(form) && !form.complete() {
                form.step(1);
            }
        }
        KeyCode::Enter => {
            if !take_chosen(form) && !form.next_empty() {
                return submit(state, form, effects);
            }
        }
        KeyCode::Left | KeyCode::Right | KeyCode::Char(_) if matches!(form.input(), Some(input) if matches!(input.kind, Kind::Switch(_))) => {
            if matches!(
                key.code,
                KeyCode::Left | KeyCode::Right | KeyCode::Char(' ')
            ) {
                form.turn(key.code != KeyCode::Left);
            }
        }
        _ => {
            if let Some(input) = form.inputs.get_mut(form.at)
                && !matches!(input.kind, Kind::Switch(_))
                && input.field.key(key)
            {
                form.changed();
            }
        }
    }
    Left::Open
}

fn take_chosen(form: &mut Form) -> bool {
    let chosen = form
        .chosen
        .and_then(|at| form.suggestions().into_iter().nth(at));
    if let Some(text) = &chosen {
        form.set(text);
    }
    chosen.is_some()
}

fn submit(state: &mut State, form: &mut Form, effects: &mut Vec<Effect>) -> Left {
    match form.against(&state.settings) {
        Some(Ok(against)) => {
            tables::open_against(state, against, effects);
            return Left::Closed;
        }
        Some(Err(problem)) => {
            form.tried = true;
            form.at = problem.input;
            return Left::Open;
        }
        None => {}
    }
    let requests = match form.requests(&state.settings) {
        Ok(requests) => requests,
        Err(problem) => {
            form.tried = true;
            form.at = problem.input;
            return Left::Open;
        }
    };
    let files = matches!(
        form.ask,
        Ask::Save { .. } | Ask::Export { .. } | Ask::Extract(_)
    );
    let taken = files && form.is_taken(&state.settings);
    if taken {
        for (request, name) in requests {
            ask_to_replace(state, request, name);
        }
    } else {
        let jobs = run(state, requests, effects);
        if form.ask.waits() {
            form.failure = None;
            form.sent = jobs.first().copied();
            return Left::Open;
        }
    }
    Left::Closed
}

/// The end of what a dialog waits for: it closes, or says why not. True if it said so.
pub(super) fn settle_sent(state: &mut State, id: JobId, outcome: &Outcome) -> bool {
    let sent = state.overlays.iter_mut().enumerate();
    let Some((at, form)) = sent
        .filter_map(|(at, overlay)| match overlay {
            Overlay::Form(form) => Some((at, form)),
            _ => None,
        })
        .find(|(_, form)| form.sent == Some(id))
    else {
        return false;
    };
    form.sent = None;
    match outcome {
        Outcome::Failed(failure) => {
            form.failure = Some(failure.clone());
            true
        }
        Outcome::Cancelled => false,
        Outcome::Done | Outcome::Told(_) => {
            state.overlays.remove(at);
            false
        }
    }
}

/// There is such a file.
pub(super) fn ask_to_replace(state: &mut State, request: Request, name: String) {
    let (request, path) = match request {
        Request::Save {
            ids, names, path, ..
        } => {
            let file = path.display().to_string();
            let replace = true;
            let request = Request::Save {
                ids,
                names,
                path,
                replace,
            };
            (request, file)
        }
        Request::Extract(mut extract) => {
            let file = extract.path.display().to_string();
            extract.replace = true;
            (Request::Extract(extract), file)
        }
        Request::Export { id, path, .. } => {
            let file = path.display().to_string();
            let replace = true;
            (Request::Export { id, path, replace }, file)
        }
        _ => return,
    };
    state.overlays.push(Overlay::Confirm(Confirm {
        question: format!("Replace {}?", text::sanitise(&path)),
        lines: vec!["There is a file of this name.".to_owned()],
        then: Then::Run(vec![(request, name)]),
        typed: None,
    }));
}

/// Asks what has to be known for what is being typed.
pub(super) fn settle_form(state: &mut State, effects: &mut Vec<Effect>) {
    settle_listing(state, effects);
    settle_check(state, effects);
}

/// Whether the command that a dialog makes can be read.
fn settle_check(state: &mut State, effects: &mut Vec<Effect>) {
    let Some(Overlay::Form(form)) = state.overlays.last() else {
        return;
    };
    let Some(Ok(words)) = form.command() else {
        return;
    };
    if form.checked.as_ref().is_some_and(|c| c.words == words) {
        return;
    }
    let query = QueryId(state.next_id());
    effects.push(Effect::Query {
        id: query,
        query: Query::Check(words.clone()),
        after: Duration::ZERO,
    });
    if let Some(Overlay::Form(form)) = state.overlays.last_mut() {
        form.checked = Some(Checked {
            words,
            query,
            answer: None,
        });
    }
}

/// Asks what is in the directory that is being typed.
fn settle_listing(state: &mut State, effects: &mut Vec<Effect>) {
    let Some(Overlay::Form(form)) = state.overlays.last() else {
        return;
    };
    let Some(directory) = form.directory(&state.settings) else {
        return;
    };
    let known = form.listing.as_ref();
    if known.is_some_and(|listing| listing.directory == directory) {
        return;
    }
    let query = QueryId(state.next_id());
    effects.push(Effect::Query {
        id: query,
        query: Query::Directory(directory.clone()),
        after: Duration::ZERO,
    });
    if let Some(Overlay::Form(form)) = state.overlays.last_mut() {
        form.listing = Some(Listing {
            directory,
            query,
            entries: None,
        });
    }
}
