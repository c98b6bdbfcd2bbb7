//! Keys of what lies over the panes.

use std::time::Duration;

use super::super::action::{Action, Scope};
use super::super::key::{Key, KeyCode, KeyModifiers};
use super::super::overlay::{self, Confirm, Cursor, Overlay, Purpose, Then, Unused};
use super::super::{Effect, State, looks};
use super::actions::{act, move_list, set_filter, set_search};
use super::forms::{Left, on_form_key};
use super::jobs::{cancel, run};
use super::prune::{on_prune_key, open_prune};
use super::{explorer, reading};
use crate::engine::model::request;

pub(super) fn paste(state: &mut State, text: &str, effects: &mut Vec<Effect>) {
    let in_shell = state.in_shell();
    match state.overlays.last_mut() {
        Some(Overlay::Prompt(prompt)) => {
            prompt.field.insert(text);
            prompt_changed(state);
        }
        Some(Overlay::Help(finder) | Overlay::Palette(finder)) => finder.field.insert(text),
        None if in_shell => {
            if let Some(shell) = state.selected_shell().filter(|s| s.ended.is_none()) {
                effects.push(Effect::ShellInput {
                    generation: shell.generation,
                    bytes: shell.encode_paste(text),
                });
            }
        }
        Some(Overlay::Form(form)) => {
            if let Some(input) = form.inputs.get_mut(form.at).filter(|_| form.sent.is_none()) {
                input.field.insert(text);
                form.changed();
            }
        }
        Some(Overlay::Confirm(Confirm {
            typed: Some(typed), ..
        })) => typed.field.insert(text),
        Some(
            Overlay::Confirm(_)
            | Overlay::CommandLog(_)
            | Overlay::Jobs(_)
            | Overlay::Usage(_)
            | Overlay::Prune(_)
            | Overlay::Columns(_)
            | Overlay::Message { .. },
        )
        | None => {}
    }
}

/// What a movement key means in an overlay that has lines.
pub(super) fn overlay_step(state: &State, key: Key) -> Option<isize> {
    let page = isize::try_from(state.height / 2).unwrap_or(10).max(1);
    // Letters are typed; only keys that type nothing move.
    if key.typed().is_some() {
        return None;
    }
    match state.settings.keymap.action(&[Scope::Global], key)? {
        Action::Up => Some(-1),
        Action::Down => Some(1),
        Action::PageUp | Action::HalfPageUp => Some(-page),
        Action::PageDown | Action::HalfPageDown => Some(page),
        Action::Top => Some(isize::MIN),
        Action::Bottom => Some(isize::MAX),
        _ => None,
    }
}

#[expect(
    clippy::too_many_lines,
    reason = "a list of overlays, each with its keys"
)]
pub(super) fn on_overlay_key(state: &mut State, key: Key, effects: &mut Vec<Effect>) {
    let step = overlay_step(state, key);
    let letter_step = match key.typed() {
        Some('j') => Some(1),
        Some('k') => Some(-1),
        Some('g') => Some(isize::MIN),
        Some('G') => Some(isize::MAX),
        _ => step,
    };
    let global = state.settings.keymap.action(&[Scope::Global], key);
    let closes = key.code == KeyCode::Esc || key == Key::ctrl('c');
    // Redraw and suspend work everywhere.
    if let Some(action @ (Action::Redraw | Action::Suspend)) = global
        && key.typed().is_none()
    {
        return act(state, action, effects);
    }
    let Some(mut top) = state.overlays.pop() else {
        return;
    };
    let keep = match &mut top {
        Overlay::Confirm(Confirm {
            typed: Some(typed),
            then,
            ..
        }) => {
            // Letters are typed; nothing happens until they are the right ones.
            if key.code == KeyCode::Enter && typed.is_right() {
                let then = then.clone();
                answer_yes(state, then, effects);
                false
            } else {
                typed.field.key(key);
                !closes
            }
        }
        Overlay::Confirm(confirm) => match (key.typed(), key.code) {
            (Some('y' | 'Y'), _) | (_, KeyCode::Enter) => {
                let then = confirm.then.clone();
                answer_yes(state, then, effects);
                false
            }
            (Some('n' | 'N' | 'q'), _) => false,
            _ => !closes,
        },
        Overlay::Prompt(prompt) => {
            if closes {
                match &prompt.purpose {
                    Purpose::Filter { before } => set_filter(state, before),
                    Purpose::Explorer { before } => explorer::set_filter(state, before),
                    Purpose::Viewer => reading::look_for(state, ""),
                    Purpose::Search => set_search(state, ""),
                }
                false
            } else if key.code == KeyCode::Enter {
                false
            } else if let Some(step @ (-1 | 1)) = step {
                // The list can be walked while one types.
                match prompt.purpose {
                    Purpose::Filter { .. } => move_list(state, step),
                    Purpose::Explorer { .. } => explorer::step(state, step),
                    Purpose::Search | Purpose::Viewer => {}
                }
                true
            } else {
                let changed = prompt.field.key(key);
                state.overlays.push(top);
                if changed {
                    prompt_changed(state);
                }
                return;
            }
        }
        Overlay::Help(finder) => {
            let lines = overlay::help_lines(state, finder.field.text()).len();
            let height = usize::from(overlay::help_rows(state) - 1);
            if let Some(step) = step {
                // The chosen line is the first shown: the last page is full.
                finder.cursor.step(step, lines.saturating_sub(height) + 1);
                true
            } else if finder.field.text().is_empty() && key == Key::char('?') {
                false
            } else {
                if finder.field.key(key) {
                    finder.cursor = Cursor::default();
                }
                !closes && key.code != KeyCode::Enter
            }
        }
        Overlay::Palette(finder) => {
            let entries = overlay::palette_entries(state, finder.field.text());
            if let Some(step) = step {
                finder.cursor.step(step, entries.len());
                true
            } else if key.code == KeyCode::Enter {
                if let Some(entry) = entries.get(finder.cursor.at) {
                    act(state, entry.action, effects);
                }
                return;
            } else {
                if finder.field.key(key) {
                    finder.cursor = Cursor::default();
                }
                !closes
            }
        }
        Overlay::CommandLog(cursor) => {
            if let Some(step) = letter_step {
                cursor.step(step, state.commands.len());
                true
            } else if matches!(key.typed(), Some('y')) || key.code == KeyCode::Enter {
                if let Some(done) = state.commands.get(cursor.at) {
                    effects.push(Effect::Copy(done.command.clone()));
                }
                true
            } else {
                !closes && global != Some(Action::CommandLog) && key.typed() != Some('q')
            }
        }
        Overlay::Jobs(cursor) => {
            let count = state.jobs.len() + state.jobs.finished().len();
            if let Some(step) = letter_step {
                cursor.step(step, count);
                true
            } else if matches!(key.typed(), Some('x' | 'd')) {
                let id = state.jobs.iter().nth(cursor.at).map(|(id, _)| id);
                if let Some(id) = id {
                    cancel(state, id, effects);
                }
                true
            } else if key.typed() == Some('y') {
                let past = cursor.at.checked_sub(state.jobs.len());
                let done = past.and_then(|at| state.jobs.finished().nth(at));
                effects.extend(done.map(|done| Effect::Copy(done.lines().join("\n"))));
                true
            } else {
                !closes && global != Some(Action::Jobs) && key.typed() != Some('q')
            }
        }
        Overlay::Usage(cursor) => {
            if let Some(step) = letter_step {
                cursor.step(step, overlay::usage_lines(state).len());
                true
            } else if key.typed() == Some('D') {
                state.overlays.push(top);
                let what = Unused::Images(request::PruneImages::default());
                return open_prune(state, what, Duration::ZERO, effects);
            } else {
                !closes && global != Some(Action::DiskUsage) && key.typed() != Some('q')
            }
        }
        Overlay::Form(form) => matches!(on_form_key(state, form, key, effects), Left::Open),
        Overlay::Prune(prune) => on_prune_key(state, prune, key, letter_step, effects),
        Overlay::Columns(cursor) => {
            let keeps = !closes && global != Some(Action::Quit);
            let is_own = state.action_in_list(key) == Some(Action::Columns);
            let keep = keeps && !is_own && choose_column(state, cursor, key, letter_step);
            if !keep {
                effects.push(Effect::KeepLists(looks::text(state)));
            }
            keep
        }
        Overlay::Message { .. } => false,
    };
    if keep {
        state.overlays.push(top);
    }
}

/// A key in the list of columns; true if it goes on.
fn choose_column(state: &mut State, cursor: &mut Cursor, key: Key, step: Option<isize>) -> bool {
    let choices = state.list_mut(state.pane).choices_mut();
    let shifts = key.modifiers.contains(KeyModifiers::SHIFT);
    match (key.typed(), key.code) {
        (Some('K'), _) => cursor.at = choices.shift(cursor.at, -1),
        (Some('J'), _) => cursor.at = choices.shift(cursor.at, 1),
        (_, KeyCode::Up) if shifts => cursor.at = choices.shift(cursor.at, -1),
        (_, KeyCode::Down) if shifts => cursor.at = choices.shift(cursor.at, 1),
        (Some(' ' | 'x'), _) => choices.toggle(cursor.at),
        (Some('r'), _) => choices.reset(),
        (_, KeyCode::Enter) => return false,
        _ => {
            if let Some(step) = step {
                cursor.step(step, choices.list().len());
            }
        }
    }
    true
}

fn answer_yes(state: &mut State, then: Then, effects: &mut Vec<Effect>) {
    match then {
        Then::Run(requests) => {
            run(state, requests, effects);
        }
        Then::Quit => effects.push(Effect::Quit),
    }
}

pub(super) fn prompt_changed(state: &mut State) {
    let Some(Overlay::Prompt(prompt)) = state.overlays.last() else {
        return;
    };
    let text = prompt.field.text().to_owned();
    match prompt.purpose {
        Purpose::Filter { .. } => set_filter(state, &text),
        Purpose::Explorer { .. } => explorer::set_filter(state, &text),
        Purpose::Viewer => reading::look_for(state, &text),
        Purpose::Search => set_search(state, &text),
    }
}
