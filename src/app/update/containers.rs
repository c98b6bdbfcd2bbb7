//! What is done to containers, and their shells.

use super::super::action::Action;
use super::super::containers::ContainerRow;
use super::super::jobs::{Failure, Request};
use super::super::key::{Key, KeyCode};
use super::super::layout;
use super::super::overlay::{Confirm, Overlay, Then};
use super::super::shell::Shell;
use super::super::{Effect, Focus, Severity, State, Tab, text};
use super::jobs::run;
use super::{refuse_if_read_only, shell_of};
use crate::engine::model::{ContainerId, Status, request};

/// The request of an action for a container, if it makes sense for it now.
pub(super) fn request_for(action: Action, row: &ContainerRow) -> Option<Request> {
    let id = row.id().clone();
    let status = row.status();
    match action {
        Action::Start if !status.is_live() => Some(Request::Start(id)),
        Action::Stop if status.is_live() => Some(Request::Stop(id, request::Stop::default())),
        Action::Restart if status != Status::Removing => {
            Some(Request::Restart(id, request::Stop::default()))
        }
        Action::Kill if matches!(status, Status::Running | Status::Paused) => {
            Some(Request::Kill(id, 9))
        }
        Action::Pause if status == Status::Running => Some(Request::Pause(id)),
        Action::Pause if status == Status::Paused => Some(Request::Unpause(id)),
        Action::Remove => Some(Request::Remove(
            id,
            request::Remove {
                force: status.is_live(),
                volumes: false,
            },
        )),
        _ => None,
    }
}

pub(super) fn on_containers(state: &mut State, action: Action, effects: &mut Vec<Effect>) {
    if refuse_if_read_only(state) {
        return;
    }
    let targets = state.containers.targets();
    // Several: those that run are paused. Only where none does, those that are paused go on.
    let runs = |row: &&ContainerRow| row.status() == Status::Running;
    let pauses = action == Action::Pause && targets.iter().any(runs);
    let idle: Vec<_> = targets
        .iter()
        .filter(|row| row.busy.is_none() && (!pauses || runs(row)))
        .collect();
    let requests: Vec<_> = idle
        .iter()
        .filter_map(|row| {
            Some((
                request_for(action, row)?,
                row.summary.container.name.clone(),
            ))
        })
        .collect();
    let verb = match action {
        Action::Pause if !pauses && !requests.is_empty() => "Resume",
        action => action.entry().title.split(',').next().unwrap_or_default(),
    };
    let others = targets.len() - requests.len();
    if requests.is_empty() {
        let text = match targets.as_slice() {
            [] => return,
            [one] => match one.busy {
                Some(busy) => format!("{}: already {busy}", one.name()),
                None => format!(
                    "{} is {}: cannot {}",
                    one.name(),
                    one.status().as_str(),
                    verb.to_lowercase()
                ),
            },
            many => format!("{} of {}: nothing to do", verb, many.len()),
        };
        return state.tell(Severity::Info, text);
    }
    let all = targets.len();
    let asks = matches!(action, Action::Remove | Action::Kill) || requests.len() > 1;
    if asks {
        let question = match requests.as_slice() {
            [(_, name)] => format!("{verb} {}?", text::sanitise(name)),
            many => format!("{verb} {} containers?", many.len()),
        };
        let mut lines: Vec<String> = Vec::new();
        if requests.len() > 1 {
            lines.extend(names(requests.iter().map(|(_, name)| name.as_str())));
        }
        let running = requests
            .iter()
            .filter(|(r, _)| matches!(r, Request::Remove(_, remove) if remove.force))
            .count();
        match running {
            0 => {}
            1 if requests.len() == 1 => lines.push("It runs: it is killed first.".to_owned()),
            n => lines.push(format!("{n} of them run: they are killed first.")),
        }
        if others > 0 {
            lines.push(format!("{others} of {all} stay as they are."));
        }
        state.overlays.push(Overlay::Confirm(Confirm {
            question,
            lines,
            then: Then::Run(requests),
            typed: None,
        }));
    } else {
        run(state, requests, effects);
    }
}

/// The first few names, and how many more.
pub(super) fn names<'a>(mut all: impl ExactSizeIterator<Item = &'a str>) -> Vec<String> {
    const SHOWN: usize = 8;
    let more = all.len().saturating_sub(SHOWN);
    let mut lines: Vec<_> = all
        .by_ref()
        .take(SHOWN)
        .map(|name| format!("  {}", text::sanitise(name)))
        .collect();
    if more > 0 {
        lines.push(format!("  and {more} more"));
    }
    lines
}

pub(super) fn open_shell(state: &mut State) {
    let Some(row) = state.containers.selected() else {
        return;
    };
    let (id, name) = (row.id().clone(), row.summary.container.name.clone());
    let running = row.status() == Status::Running;
    let open = state.shells.iter().any(|s| s.id == id && s.ended.is_none());
    if !open {
        if refuse_if_read_only(state) {
            return;
        }
        if !running {
            let text = format!("{} does not run: no shell", text::sanitise(&name));
            return state.tell(Severity::Info, text);
        }
        state.shells.retain(|s| s.id != id);
        let generation = state.next_id();
        let size = layout::shell_size(state);
        state.shells.push(Shell::new(id, generation, size));
        state.log_command(format!("wharf exec -it {name} sh"), None);
    }
    state.container_tab = Tab::Shell;
    state.focus = Focus::Detail;
}

pub(super) fn on_shell_ended(
    state: &mut State,
    generation: u64,
    result: Result<Option<i32>, Failure>,
) {
    let Some(shell) = shell_of(state, generation) else {
        return;
    };
    let id = shell.id.clone();
    match result {
        // `exit` closes the pane, as a terminal window does.
        Ok(Some(0)) => close_shell(state, &id),
        Ok(Some(code)) => shell.ended = Some(format!("the shell ended with {code}")),
        Ok(None) => shell.ended = Some("the connection to the shell broke".to_owned()),
        Err(failure) => {
            if let Some(done) = state.commands.last_mut() {
                done.error = Some(failure.line.clone());
            }
            close_shell(state, &id);
            state.fail(failure);
        }
    }
}

pub(super) fn close_shell(state: &mut State, id: &ContainerId) {
    let shown = state.tab() == Tab::Shell && state.selected_shell().is_some_and(|s| s.id == *id);
    state.shells.retain(|shell| shell.id != *id);
    if shown {
        state.container_tab = Tab::Logs;
        state.focus = Focus::List;
        state.zoom = false;
    }
}

pub(super) fn shell_key(state: &mut State, key: Key, effects: &mut Vec<Effect>) {
    let Some(shell) = state.selected_shell() else {
        return;
    };
    let (id, generation) = (shell.id.clone(), shell.generation);
    if shell.ended.is_some() {
        // Only on purpose: what was typed for the shell must not become actions.
        if matches!(key.code, KeyCode::Enter | KeyCode::Esc) {
            close_shell(state, &id);
        }
    } else if let Some(bytes) = shell.encode(key) {
        // Typing shows the present again.
        if let Some(shell) = shell_of(state, generation) {
            shell.scroll(isize::MAX);
        }
        effects.push(Effect::ShellInput { generation, bytes });
    }
}
