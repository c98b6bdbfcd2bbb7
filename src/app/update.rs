//! What each message changes. Pure: the effects that follow are returned as data.

use std::time::Duration;

use serde_json::{Value, json};

use super::action::Action;
use super::containers::{self, ContainerRow};
use super::document::{self, DocLine};
use super::images::{self, ImageRow};
use super::jobs::{Failure, JobId, Outcome, Report, Request};
use super::key::{Key, KeyCode};
use super::layout;
use super::list::{Filter, List, Row};
use super::logs::{Direction, LogView};
use super::overlay::{self, Confirm, Cursor, Field, Finder, Overlay, Prompt, Purpose, Then};
use super::shell::Shell;
use super::{
    Answer, Done, Effect, Focus, Mouse, MouseKind, Msg, Notice, Pane, Query, QueryId, Severity,
    State, Subject, Tab, text,
};
use crate::engine::model::{
    ContainerSummary, ImageSummary, Status, event, image::Image, request, units,
};

/// How long good news is shown, in seconds.
const NOTICE_SECONDS: i64 = 3;
/// Commands kept in the command log.
const MAX_COMMANDS: usize = 500;
/// Largest text that is copied: terminals drop longer OSC 52 sequences (74 994 bytes is what k9s found to be safe).
const MAX_COPY: usize = 74_000;
/// A change that comes while the engine is being asked is answered by one more question, so much later.
const AGAIN: Duration = Duration::from_millis(100);

impl State {
    /// The first effects: ask for everything that the first frame shows.
    pub fn start(&mut self) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.ask_containers(Duration::ZERO, &mut effects);
        self.ask_images(Duration::ZERO, &mut effects);
        let id = QueryId(self.next_id());
        effects.push(Effect::Query {
            id,
            query: Query::Host,
            after: Duration::ZERO,
        });
        effects
    }

    fn ask_containers(&mut self, after: Duration, effects: &mut Vec<Effect>) {
        if self.containers_query.running.is_some() {
            self.containers_query.again = true;
            return;
        }
        let id = QueryId(self.next_id());
        self.containers_query.running = Some(id);
        effects.push(Effect::Query {
            id,
            query: Query::Containers,
            after,
        });
    }

    fn ask_images(&mut self, after: Duration, effects: &mut Vec<Effect>) {
        if self.images_query.running.is_some() {
            self.images_query.again = true;
            return;
        }
        let id = QueryId(self.next_id());
        self.images_query.running = Some(id);
        effects.push(Effect::Query {
            id,
            query: Query::Images,
            after,
        });
    }
}

/// Changes the state as the message says, and says what is to be done.
pub fn update(state: &mut State, msg: Msg) -> Vec<Effect> {
    let mut effects = Vec::new();
    match msg {
        Msg::Key(key) => on_key(state, key, &mut effects),
        Msg::Paste(text) => paste(state, &text, &mut effects),
        Msg::Mouse(mouse) => on_mouse(state, mouse, &mut effects),
        Msg::Resized { width, height } => {
            state.width = width;
            state.height = height;
        }
        Msg::Tick(now) => {
            state.now = now;
            if state
                .notice
                .as_ref()
                .and_then(|n| n.until)
                .is_some_and(|until| until <= now)
            {
                state.notice = None;
            }
        }
        Msg::Answer(id, answer) => on_answer(state, id, answer, &mut effects),
        Msg::Job(id, Report::Progress(progress)) => state.jobs.progress(id, progress),
        Msg::Job(id, Report::Finished(outcome)) => on_finished(state, id, outcome, &mut effects),
        // Between the first look and the first event something may have happened: look again.
        Msg::Watching => state.ask_containers(AGAIN, &mut effects),
        Msg::Events(events) => {
            let of = |kind| events.iter().any(|e| e.kind == kind);
            if of(event::Kind::Container) {
                state.ask_containers(Duration::ZERO, &mut effects);
            }
            if of(event::Kind::Image) {
                state.ask_images(Duration::ZERO, &mut effects);
            }
        }
        Msg::WatchFailed(failure) | Msg::Failed(failure) => state.fail(failure),
        Msg::Stats(samples) => {
            state.figures.take(samples);
            show_figures(state);
        }
        Msg::Log { generation, lines } => {
            if let Some(log) = state.log.as_mut().filter(|l| l.generation == generation) {
                log.push(lines);
            }
        }
        Msg::LogEnded {
            generation,
            failure,
        } => {
            if let Some(log) = state.log.as_mut().filter(|l| l.generation == generation) {
                log.ended = Some(failure.map_or_else(String::new, |f| f.line));
            }
        }
        Msg::ShellOutput { generation, bytes } => {
            if let Some(shell) = shell_of(state, generation) {
                shell.output(&bytes);
            }
        }
        Msg::ShellEnded { generation, result } => on_shell_ended(state, generation, result),
        Msg::Copied(Ok(count)) => state.tell(Severity::Good, format!("copied {count} characters")),
        Msg::Copied(Err(why)) => state.tell(Severity::Error, why),
        Msg::Terminate => effects.push(Effect::Quit),
    }
    settle(state, &mut effects);
    effects
}

fn shell_of(state: &mut State, generation: u64) -> Option<&mut Shell> {
    state.shells.iter_mut().find(|s| s.generation == generation)
}

// Answers and reports.

fn on_answer(
    state: &mut State,
    id: QueryId,
    answer: Result<Answer, Failure>,
    effects: &mut Vec<Effect>,
) {
    // Whatever it is: an answer to a question that is not the newest of its kind is dropped.
    if state.containers_query.running == Some(id) {
        state.containers_query.running = None;
        let again = std::mem::take(&mut state.containers_query.again);
        match answer {
            Ok(Answer::Containers(all)) => take_containers(state, all),
            Ok(_) => {}
            Err(failure) => {
                state.loaded = true;
                state.stale = Some(failure);
            }
        }
        if again {
            state.ask_containers(AGAIN, effects);
        }
    } else if state.images_query.running == Some(id) {
        state.images_query.running = None;
        let again = std::mem::take(&mut state.images_query.again);
        match answer {
            Ok(Answer::Images(all)) => take_images(state, all),
            Ok(_) => {}
            Err(failure) => state.stale = Some(failure),
        }
        if again {
            state.ask_images(AGAIN, effects);
        }
    } else if state.image_query == Some(id) {
        state.image_query = None;
        match answer {
            Ok(Answer::Image(image)) => {
                state.image = Some(*image);
                // The subject is the same; the text is not.
                fill_document(state);
            }
            Ok(_) => {}
            Err(failure) => state.fail(failure),
        }
    } else if let Ok(Answer::Host(host)) = answer {
        state.host = Some(host);
    }
}

fn take_containers(state: &mut State, all: Vec<ContainerSummary>) {
    state.loaded = true;
    state.stale = None;
    state
        .containers
        .replace(all.into_iter().map(ContainerRow::new).collect());
    let State {
        containers,
        figures,
        shells,
        log,
        ..
    } = state;
    let row_of = |id: &_| containers.rows().iter().find(|row| row.id() == id);
    let runs = |id: &_| row_of(id).is_some_and(|row| row.status().is_live());
    figures.retain(runs);
    shells.retain(|shell| row_of(&shell.id).is_some());
    // A container that was started again goes on writing its log: read it anew.
    if log
        .as_ref()
        .is_some_and(|log| log.ended.is_some() && runs(&log.id))
    {
        *log = None;
    }
    show_busy(state);
    show_figures(state);
    show_users(state);
    if matches!(state.subject, Subject::Container(_)) {
        fill_document(state);
    }
}

fn take_images(state: &mut State, all: Vec<ImageSummary>) {
    let row = |summary| ImageRow {
        summary,
        used_by: Vec::new(),
        busy: None,
    };
    state.images.replace(all.into_iter().map(row).collect());
    show_busy(state);
    show_users(state);
}

/// Which containers each image has.
fn show_users(state: &mut State) {
    let State {
        containers, images, ..
    } = state;
    images.update(|row| {
        row.used_by = containers
            .rows()
            .iter()
            .filter(|c| c.summary.container.image == row.summary.id)
            .map(|c| c.name().into_owned())
            .collect();
    });
}

fn show_figures(state: &mut State) {
    let State {
        containers,
        figures,
        ..
    } = state;
    containers.update(|row| {
        let figures = figures.get(row.id());
        row.cpu = figures.and_then(super::figures::Figures::cpu);
        row.memory = figures.map(|f| f.last.memory);
    });
}

fn show_busy(state: &mut State) {
    let State {
        containers,
        images,
        jobs,
        ..
    } = state;
    containers.update(|row| {
        row.busy = jobs
            .iter()
            .find(|(_, job)| job.request.container() == Some(row.id()))
            .map(|(_, job)| job.request.doing());
    });
    images.update(|row| {
        let removing = |request: &Request| matches!(request, Request::RemoveImage { id, .. } if *id == row.key());
        row.busy = jobs
            .iter()
            .find(|(_, job)| removing(&job.request))
            .map(|(_, job)| job.request.doing());
    });
}

fn on_finished(state: &mut State, id: JobId, outcome: Outcome, effects: &mut Vec<Effect>) {
    let Some((job, batch)) = state.jobs.finish(id, &outcome) else {
        return;
    };
    if let Some(done) = state.commands.iter_mut().find(|d| d.job == Some(id)) {
        done.job = None;
        if let Outcome::Failed(failure) = &outcome {
            done.error = Some(failure.line.clone());
        }
    }
    match (outcome, batch) {
        (Outcome::Failed(failure), _) => state.fail(failure),
        (Outcome::Done, Some(batch)) if batch.failed > 0 => {}
        (Outcome::Done, Some(batch)) if batch.done > 1 => {
            let text = format!("{} {}", job.request.done(), batch.done);
            state.tell(Severity::Good, text);
        }
        (Outcome::Done, Some(_)) => {
            state.tell(
                Severity::Good,
                format!("{} {}", job.request.done(), job.name),
            );
        }
        (Outcome::Done, None) => {}
    }
    show_busy(state);
    // The journal tells too, but it may be out of reach.
    match job.request {
        Request::RemoveImage { .. } => state.ask_images(Duration::ZERO, effects),
        Request::Start(_)
        | Request::Stop(..)
        | Request::Restart(..)
        | Request::Kill(..)
        | Request::Pause(_)
        | Request::Unpause(_)
        | Request::Remove(..) => state.ask_containers(Duration::ZERO, effects),
    }
}

fn on_shell_ended(state: &mut State, generation: u64, result: Result<Option<i32>, Failure>) {
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

fn close_shell(state: &mut State, id: &crate::engine::model::ContainerId) {
    let shown = state.tab() == Tab::Shell && state.selected_shell().is_some_and(|s| s.id == *id);
    state.shells.retain(|shell| shell.id != *id);
    if shown {
        state.container_tab = Tab::Logs;
        state.focus = Focus::List;
        state.zoom = false;
    }
}

// Messages to the user.

impl State {
    fn tell(&mut self, severity: Severity, text: String) {
        let until = match severity {
            Severity::Good | Severity::Info => Some(
                self.now
                    .saturating_add(jiff::SignedDuration::from_secs(NOTICE_SECONDS))
                    .unwrap_or(self.now),
            ),
            Severity::Error => None,
        };
        let text = text::sanitise(&text).into_owned();
        self.notice = Some(Notice {
            severity,
            chain: vec![text.clone()],
            text,
            hint: None,
            until,
        });
    }

    fn fail(&mut self, failure: Failure) {
        let clean = |text: String| text::sanitise(&text).into_owned();
        self.notice = Some(Notice {
            severity: Severity::Error,
            text: clean(failure.line),
            hint: failure.hint.map(clean),
            chain: failure.chain.into_iter().map(clean).collect(),
            until: None,
        });
    }

    fn log_command(&mut self, command: String, job: Option<JobId>) {
        if self.commands.len() == MAX_COMMANDS {
            self.commands.remove(0);
        }
        self.commands.push(Done {
            time: self.now,
            command,
            job,
            error: None,
        });
    }
}

// Keys.

fn on_key(state: &mut State, key: Key, effects: &mut Vec<Effect>) {
    if !state.overlays.is_empty() {
        return on_overlay_key(state, key, effects);
    }
    if state.in_shell() {
        match state.action(key) {
            Some(action) => act(state, action, effects),
            None => shell_key(state, key, effects),
        }
    } else if key.code == KeyCode::Enter && show_error(state) {
    } else if let Some(action) = state.action(key) {
        act(state, action, effects);
    }
}

/// Enter on an error opens it.
fn show_error(state: &mut State) -> bool {
    let is_error = state
        .notice
        .as_ref()
        .is_some_and(|n| n.severity == Severity::Error);
    if is_error {
        open_notice(state);
    }
    is_error
}

fn open_notice(state: &mut State) {
    let lines = match (&state.notice, &state.stale) {
        (Some(notice), _) => {
            let hint = notice.hint.iter().map(|h| format!("hint: {h}"));
            notice.chain.iter().cloned().chain(hint).collect()
        }
        (None, Some(failure)) => failure.chain.clone(),
        (None, None) => return,
    };
    state.notice = None;
    state.overlays.push(Overlay::Message {
        title: "Message".to_owned(),
        lines,
    });
}

fn shell_key(state: &mut State, key: Key, effects: &mut Vec<Effect>) {
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

fn paste(state: &mut State, text: &str, effects: &mut Vec<Effect>) {
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
        Some(
            Overlay::Confirm(_)
            | Overlay::CommandLog(_)
            | Overlay::Jobs(_)
            | Overlay::Message { .. },
        )
        | None => {}
    }
}

/// What a movement key means in an overlay that has lines.
fn overlay_step(state: &State, key: Key) -> Option<isize> {
    let page = isize::try_from(state.height / 2).unwrap_or(10).max(1);
    // Letters are typed; only keys that type nothing move.
    if key.typed().is_some() {
        return None;
    }
    match state
        .settings
        .keymap
        .action(&[super::action::Scope::Global], key)?
    {
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
fn on_overlay_key(state: &mut State, key: Key, effects: &mut Vec<Effect>) {
    let step = overlay_step(state, key);
    let letter_step = match key.typed() {
        Some('j') => Some(1),
        Some('k') => Some(-1),
        Some('g') => Some(isize::MIN),
        Some('G') => Some(isize::MAX),
        _ => step,
    };
    let global = state
        .settings
        .keymap
        .action(&[super::action::Scope::Global], key);
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
        Overlay::Confirm(confirm) => match (key.typed(), key.code) {
            (Some('y' | 'Y'), _) | (_, KeyCode::Enter) => {
                let then = confirm.then.clone();
                match then {
                    Then::Run(requests) => run(state, requests, effects),
                    Then::Quit => effects.push(Effect::Quit),
                }
                false
            }
            (Some('n' | 'N' | 'q'), _) => false,
            _ => !closes,
        },
        Overlay::Prompt(prompt) => {
            if closes {
                if let Purpose::Filter { before } = &prompt.purpose {
                    set_filter(state, before);
                } else {
                    set_search(state, "");
                }
                false
            } else if key.code == KeyCode::Enter {
                false
            } else if let Some(step @ (-1 | 1)) = step {
                // The list can be walked while one types.
                if matches!(prompt.purpose, Purpose::Filter { .. }) {
                    move_list(state, step);
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
            if let Some(step) = letter_step {
                cursor.step(step, state.jobs.len());
                true
            } else if matches!(key.typed(), Some('x' | 'd')) {
                let id = state.jobs.iter().nth(cursor.at).map(|(id, _)| id);
                if let Some(id) = id {
                    cancel(state, id, effects);
                }
                true
            } else {
                !closes && global != Some(Action::Jobs) && key.typed() != Some('q')
            }
        }
        Overlay::Message { .. } => false,
    };
    if keep {
        state.overlays.push(top);
    }
}

/// First: asks the job to stop. Second: does not wait for it any longer; its report is then late, and dropped.
fn cancel(state: &mut State, id: JobId, effects: &mut Vec<Effect>) {
    let Some(job) = state.jobs.get_mut(id) else {
        return;
    };
    if job.cancelling {
        let outcome = Outcome::Failed(Failure {
            line: String::new(),
            hint: None,
            chain: Vec::new(),
        });
        let name = job.name.clone();
        state.jobs.finish(id, &outcome);
        show_busy(state);
        state.tell(Severity::Info, format!("not waiting for {name} any longer"));
    } else {
        job.cancelling = true;
        effects.push(Effect::Cancel(id));
    }
}

fn prompt_changed(state: &mut State) {
    let Some(Overlay::Prompt(prompt)) = state.overlays.last() else {
        return;
    };
    let text = prompt.field.text().to_owned();
    match prompt.purpose {
        Purpose::Filter { .. } => set_filter(state, &text),
        Purpose::Search => set_search(state, &text),
    }
}

fn set_filter(state: &mut State, text: &str) {
    let filter = Filter::new(text);
    match state.pane {
        Pane::Containers => state.containers.set_filter(filter),
        Pane::Images => state.images.set_filter(filter),
    }
}

fn set_search(state: &mut State, needle: &str) {
    match state.tab() {
        Tab::Logs => {
            if let Some(timestamps) = state.log.as_ref().map(|log| log.timestamps) {
                let layout = layout::log_layout(state, timestamps);
                if let Some(log) = &mut state.log {
                    log.set_search(needle, layout);
                }
            }
        }
        Tab::Inspect | Tab::Layers | Tab::Image => {
            let height = usize::from(layout::detail_body(state).height);
            state.document.set_search(needle, height);
        }
        Tab::Stats | Tab::Shell => {}
    }
}

// Actions.

fn act(state: &mut State, action: Action, effects: &mut Vec<Effect>) {
    match action {
        Action::Help => state.overlays.push(Overlay::Help(Finder::default())),
        Action::Palette => state.overlays.push(Overlay::Palette(Finder::default())),
        Action::CommandLog => {
            let at = state.commands.len().saturating_sub(1);
            state.overlays.push(Overlay::CommandLog(Cursor { at }));
        }
        Action::Jobs => state.overlays.push(Overlay::Jobs(Cursor::default())),
        Action::Notice => open_notice(state),
        Action::Quit => quit(state, effects),
        Action::Back => back(state),
        Action::FocusNext => focus_step(state, 1),
        Action::FocusPrevious => focus_step(state, -1),
        Action::PaneContainers => go_to(state, Pane::Containers),
        Action::PaneImages => go_to(state, Pane::Images),
        Action::TabNext => tab_step(state, 1),
        Action::TabPrevious => tab_step(state, -1),
        Action::Zoom => state.zoom = !state.zoom,
        Action::Up => move_focus(state, -1),
        Action::Down => move_focus(state, 1),
        Action::Top => move_focus(state, isize::MIN),
        Action::Bottom => move_focus(state, isize::MAX),
        Action::PageUp => move_focus(state, -page(state)),
        Action::PageDown => move_focus(state, page(state)),
        Action::HalfPageUp => move_focus(state, -(page(state) / 2).max(1)),
        Action::HalfPageDown => move_focus(state, (page(state) / 2).max(1)),
        Action::ScrollUp => move_detail(state, -3),
        Action::ScrollDown => move_detail(state, 3),
        Action::Redraw => effects.push(Effect::Redraw),
        Action::Suspend => effects.push(Effect::Suspend),
        Action::ToggleMouse => {
            state.mouse = !state.mouse;
            effects.push(Effect::Mouse(state.mouse));
            let text = if state.mouse {
                "the mouse is wharf's; hold shift to select text"
            } else {
                "the mouse is the terminal's"
            };
            state.tell(Severity::Info, text.to_owned());
        }
        Action::Open => state.focus = Focus::Detail,
        Action::Filter => open_filter(state),
        Action::Mark => on_list(state, List::toggle_mark, List::toggle_mark),
        Action::MarkAll => on_list(state, List::toggle_all, List::toggle_all),
        Action::SortNext => on_list(state, List::sort_next, List::sort_next),
        Action::SortReverse => on_list(state, List::sort_reverse, List::sort_reverse),
        Action::SortName => sort(state, Some(containers::NAME), Some(images::NAME)),
        Action::SortStatus => sort(state, Some(containers::STATUS), None),
        Action::SortCpu => sort(state, Some(containers::CPU), None),
        Action::SortMemory => sort(state, Some(containers::MEMORY), Some(images::SIZE)),
        Action::SortImage => sort(state, Some(containers::IMAGE), None),
        Action::SortAge => sort(state, Some(containers::AGE), Some(images::AGE)),
        Action::CopyName | Action::CopyId => copy_object(state, action, effects),
        Action::Start
        | Action::Stop
        | Action::Restart
        | Action::Kill
        | Action::Pause
        | Action::Remove => on_containers(state, action, effects),
        Action::Shell => open_shell(state),
        Action::ShowLogs => show_tab(state, Tab::Logs),
        Action::ShowStats => show_tab(state, Tab::Stats),
        Action::ShowInspect => show_tab(state, Tab::Inspect),
        Action::ShowLayers => show_tab(state, Tab::Layers),
        Action::ShowImage => show_tab(state, Tab::Image),
        Action::ToggleStopped => {
            state.stopped_hidden = !state.stopped_hidden;
            state.containers.set_hidden(if state.stopped_hidden {
                |row| !row.status().is_live()
            } else {
                |_| false
            });
        }
        Action::RemoveImage => remove_images(state),
        Action::Search => {
            if matches!(
                state.tab(),
                Tab::Logs | Tab::Inspect | Tab::Layers | Tab::Image
            ) {
                state.overlays.push(Overlay::Prompt(Prompt {
                    purpose: Purpose::Search,
                    field: Field::default(),
                }));
            }
        }
        Action::SearchNext => search_step(state, Direction::Down),
        Action::SearchPrevious => search_step(state, Direction::Up),
        Action::Left => sideways(state, -8),
        Action::Right => sideways(state, 8),
        Action::CopyView => copy_view(state, effects),
        Action::Follow | Action::Wrap | Action::Timestamps | Action::ClearLog => {
            on_log(state, action);
        }
        Action::LeaveShell => {
            state.focus = Focus::List;
            state.zoom = false;
        }
    }
}

fn quit(state: &mut State, effects: &mut Vec<Effect>) {
    if state.jobs.is_empty() {
        effects.push(Effect::Quit);
        return;
    }
    let lines = state
        .jobs
        .iter()
        .take(8)
        .map(|(_, job)| format!("{} {}", job.request.doing(), job.name))
        .collect();
    state.overlays.push(Overlay::Confirm(Confirm {
        question: "Work is going on. Leave?".to_owned(),
        lines,
        then: Then::Quit,
    }));
}

/// One step back: message, search, marks, filter, zoom, focus; whichever there is first.
fn back(state: &mut State) {
    if state.notice.take().is_some() {
        return;
    }
    match state.focus {
        Focus::Detail => {
            let searching = match state.tab() {
                Tab::Logs => state.log.as_ref().is_some_and(|l| l.search.is_active()),
                Tab::Inspect | Tab::Layers | Tab::Image => state.document.search.is_active(),
                Tab::Stats | Tab::Shell => false,
            };
            if searching {
                set_search(state, "");
            } else if state.zoom {
                state.zoom = false;
            } else {
                state.focus = Focus::List;
            }
        }
        Focus::List => {
            let cleared = match state.pane {
                Pane::Containers => state.containers.clear_marks(),
                Pane::Images => state.images.clear_marks(),
            };
            if !cleared {
                if state.zoom {
                    state.zoom = false;
                } else {
                    set_filter(state, "");
                }
            }
        }
    }
}

fn focus_step(state: &mut State, step: isize) {
    // Containers, images, details of the last one.
    let now = match (state.focus, state.pane) {
        (Focus::List, Pane::Containers) => 0,
        (Focus::List, Pane::Images) => 1,
        (Focus::Detail, _) => 2,
    };
    match (now + step).rem_euclid(3) {
        0 => go_to(state, Pane::Containers),
        1 => go_to(state, Pane::Images),
        _ => state.focus = Focus::Detail,
    }
}

fn go_to(state: &mut State, pane: Pane) {
    state.pane = pane;
    state.focus = Focus::List;
}

fn tab_step(state: &mut State, step: isize) {
    let tabs = state.tabs();
    let now = tabs.iter().position(|tab| *tab == state.tab()).unwrap_or(0);
    let count = isize::try_from(tabs.len()).unwrap_or(1);
    let next = isize::try_from(now).unwrap_or(0) + step;
    let next = usize::try_from(next.rem_euclid(count)).unwrap_or(0);
    if let Some(tab) = tabs.get(next) {
        set_tab(state, *tab);
    }
}

fn set_tab(state: &mut State, tab: Tab) {
    match state.pane {
        Pane::Containers => state.container_tab = tab,
        Pane::Images => state.image_tab = tab,
    }
    // A shell takes all keys: going past it with the tab keys must not end in it.
    if tab == Tab::Shell && state.focus == Focus::Detail {
        state.focus = Focus::List;
    }
}

fn show_tab(state: &mut State, tab: Tab) {
    set_tab(state, tab);
    // Where there is room for one pane only, showing means going there.
    let found = layout::regions(state.area(), state);
    if found.detail.is_none() {
        state.focus = Focus::Detail;
    }
}

fn page(state: &State) -> isize {
    let rows = match state.focus {
        Focus::Detail => usize::from(layout::detail_body(state).height),
        Focus::List => match state.pane {
            Pane::Containers => state.containers.height(),
            Pane::Images => state.images.height(),
        },
    };
    isize::try_from(rows.saturating_sub(1).max(1)).unwrap_or(1)
}

fn move_focus(state: &mut State, rows: isize) {
    match state.focus {
        Focus::List => move_list(state, rows),
        Focus::Detail => move_detail(state, rows),
    }
}

fn move_list(state: &mut State, rows: isize) {
    match state.pane {
        Pane::Containers => state.containers.step(rows),
        Pane::Images => state.images.step(rows),
    }
}

fn move_detail(state: &mut State, rows: isize) {
    match state.tab() {
        Tab::Logs => {
            let Some(timestamps) = state.log.as_ref().map(|log| log.timestamps) else {
                return;
            };
            let layout = layout::log_layout(state, timestamps);
            if let Some(log) = &mut state.log {
                match rows {
                    isize::MIN => log.to_top(layout),
                    isize::MAX => log.follow(),
                    rows => log.scroll(rows, layout),
                }
            }
        }
        Tab::Inspect | Tab::Layers | Tab::Image => {
            let height = usize::from(layout::detail_body(state).height);
            state.document.scroll(rows, height);
        }
        Tab::Shell => {
            let id = state.selected_shell().map(|shell| shell.generation);
            if let Some(shell) = id.and_then(|id| shell_of(state, id)) {
                shell.scroll(rows);
            }
        }
        Tab::Stats => {}
    }
}

fn sideways(state: &mut State, columns: isize) {
    match state.tab() {
        Tab::Logs => {
            if let Some(log) = state.log.as_mut().filter(|log| !log.wrap) {
                log.left = log.left.saturating_add_signed(columns).min(10_000);
            }
        }
        Tab::Inspect | Tab::Layers | Tab::Image => {
            let left = &mut state.document.left;
            *left = left.saturating_add_signed(columns).min(10_000);
        }
        Tab::Stats | Tab::Shell => {}
    }
}

fn search_step(state: &mut State, direction: Direction) {
    match state.tab() {
        Tab::Logs => {
            if let Some(timestamps) = state.log.as_ref().map(|log| log.timestamps) {
                let layout = layout::log_layout(state, timestamps);
                if let Some(log) = &mut state.log {
                    log.search_step(direction, layout);
                }
            }
        }
        Tab::Inspect | Tab::Layers | Tab::Image => {
            let height = usize::from(layout::detail_body(state).height);
            state.document.search_step(direction, height);
        }
        Tab::Stats | Tab::Shell => {}
    }
}

fn on_log(state: &mut State, action: Action) {
    let Some(timestamps) = state.log.as_ref().map(|log| log.timestamps) else {
        return;
    };
    let layout = layout::log_layout(state, timestamps);
    let Some(log) = &mut state.log else {
        return;
    };
    match action {
        Action::Follow if log.follows() => log.pause(layout),
        Action::Follow => log.follow(),
        Action::Wrap => {
            log.wrap = !log.wrap;
            log.left = 0;
            state.wrap = log.wrap;
        }
        Action::Timestamps => {
            log.timestamps = !log.timestamps;
            state.timestamps = log.timestamps;
        }
        _ => log.clear(),
    }
}

fn on_list(
    state: &mut State,
    containers: fn(&mut List<ContainerRow>),
    images: fn(&mut List<ImageRow>),
) {
    match state.pane {
        Pane::Containers => containers(&mut state.containers),
        Pane::Images => images(&mut state.images),
    }
}

fn sort(state: &mut State, container_column: Option<usize>, image_column: Option<usize>) {
    match state.pane {
        Pane::Containers => {
            if let Some(column) = container_column {
                state.containers.sort_by(column);
            }
        }
        Pane::Images => {
            if let Some(column) = image_column {
                state.images.sort_by(column);
            }
        }
    }
}

fn open_filter(state: &mut State) {
    let before = match state.pane {
        Pane::Containers => state.containers.filter().text.clone(),
        Pane::Images => state.images.filter().text.clone(),
    };
    state.overlays.push(Overlay::Prompt(Prompt {
        field: Field::new(&before),
        purpose: Purpose::Filter { before },
    }));
}

fn copy_object(state: &mut State, action: Action, effects: &mut Vec<Effect>) {
    let name = action == Action::CopyName;
    let text = match state.pane {
        Pane::Containers => state.containers.selected().map(|row| {
            if name {
                row.summary.container.name.clone()
            } else {
                row.id().to_string()
            }
        }),
        Pane::Images => state.images.selected().map(|row| {
            if name {
                row.reference().to_owned()
            } else {
                row.summary.id.to_string()
            }
        }),
    };
    effects.extend(text.map(Effect::Copy));
}

fn copy_view(state: &mut State, effects: &mut Vec<Effect>) {
    let mut text = String::new();
    match state.tab() {
        Tab::Logs => {
            let Some(log) = &state.log else {
                return;
            };
            let rows = log.visible(layout::log_layout(state, log.timestamps));
            let mut last = None;
            for row in rows {
                // Whole lines, however they are wrapped.
                if last != Some(row.place.line) {
                    text.push_str(&row.line.line.text);
                    text.push('\n');
                }
                last = Some(row.place.line);
            }
        }
        Tab::Inspect | Tab::Layers | Tab::Image => {
            for line in state.document.lines() {
                text.push_str(&line.text());
                text.push('\n');
            }
        }
        Tab::Stats | Tab::Shell => return,
    }
    if text.len() > MAX_COPY {
        let text = format!("too much to copy: {} bytes, at most {MAX_COPY}", text.len());
        state.tell(Severity::Error, text);
    } else if !text.is_empty() {
        effects.push(Effect::Copy(text));
    }
}

// Things done to containers and images.

fn refuse_if_read_only(state: &mut State) -> bool {
    if state.settings.read_only {
        state.tell(Severity::Error, "read-only: nothing is changed".to_owned());
    }
    state.settings.read_only
}

/// The request of an action for a container, if it makes sense for it now.
fn request_for(action: Action, row: &ContainerRow) -> Option<Request> {
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

impl State {
    /// Whether an action can do anything to what is chosen.
    #[must_use]
    pub fn applies(&self, action: Action) -> bool {
        match action {
            Action::Start
            | Action::Stop
            | Action::Restart
            | Action::Kill
            | Action::Pause
            | Action::Remove => self
                .containers
                .targets()
                .iter()
                .any(|row| row.busy.is_none() && request_for(action, row).is_some()),
            Action::Shell => self
                .containers
                .selected()
                .is_some_and(|row| row.status() == Status::Running),
            Action::RemoveImage => self.images.selected().is_some(),
            _ => true,
        }
    }
}

fn on_containers(state: &mut State, action: Action, effects: &mut Vec<Effect>) {
    if refuse_if_read_only(state) {
        return;
    }
    let targets = state.containers.targets();
    let idle: Vec<_> = targets.iter().filter(|row| row.busy.is_none()).collect();
    let requests: Vec<_> = idle
        .iter()
        .filter_map(|row| {
            Some((
                request_for(action, row)?,
                row.summary.container.name.clone(),
            ))
        })
        .collect();
    let verb = action.entry().title.split(',').next().unwrap_or_default();
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
        state.overlays.push(Overlay::Confirm(Confirm {
            question,
            lines,
            then: Then::Run(requests),
        }));
    } else {
        run(state, requests, effects);
    }
}

/// The first few names, and how many more.
fn names<'a>(mut all: impl ExactSizeIterator<Item = &'a str>) -> Vec<String> {
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

fn remove_images(state: &mut State) {
    if refuse_if_read_only(state) {
        return;
    }
    let targets: Vec<_> = state
        .images
        .targets()
        .into_iter()
        .filter(|row| row.busy.is_none())
        .collect();
    let mut lines = Vec::new();
    let requests: Vec<_> = targets
        .iter()
        .map(|row| {
            // An image with several names goes with all of them, which the engine wants to be told.
            let force = row.summary.tags.len() > 1 || !row.used_by.is_empty();
            let name = row.reference().to_owned();
            let request = Request::RemoveImage {
                id: row.key(),
                name: name.clone(),
                force,
            };
            (request, name)
        })
        .collect();
    let question = match targets.as_slice() {
        [] => return,
        [one] => {
            if one.summary.tags.len() > 1 {
                lines.push(format!("It has {} names:", one.summary.tags.len()));
                lines.extend(names(one.summary.tags.iter().map(String::as_str)));
            }
            if !one.used_by.is_empty() {
                lines.push("Containers use it:".to_owned());
                lines.extend(names(one.used_by.iter().map(String::as_str)));
            }
            format!("Remove {}?", one.name())
        }
        many => {
            let used = many.iter().filter(|row| !row.used_by.is_empty()).count();
            lines.extend(names(requests.iter().map(|(_, name)| name.as_str())));
            if used > 0 {
                lines.push(format!("Containers use {used} of them."));
            }
            format!("Remove {} images?", many.len())
        }
    };
    state.overlays.push(Overlay::Confirm(Confirm {
        question,
        lines,
        then: Then::Run(requests),
    }));
}

fn run(state: &mut State, requests: Vec<(Request, String)>, effects: &mut Vec<Effect>) {
    let batch = state.jobs.batch();
    for (request, name) in requests {
        let command = request.command(&name);
        let label = text::sanitise(&name).into_owned();
        let id = state.jobs.add(request.clone(), &label, batch, state.now);
        state.log_command(command, Some(id));
        effects.push(Effect::Start(id, request));
    }
    match state.pane {
        Pane::Containers => state.containers.clear_marks(),
        Pane::Images => state.images.clear_marks(),
    };
    show_busy(state);
}

fn open_shell(state: &mut State) {
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

// The mouse.

fn on_mouse(state: &mut State, mouse: Mouse, effects: &mut Vec<Effect>) {
    if let Some(top) = state.overlays.last() {
        let step = match mouse.kind {
            MouseKind::WheelUp => KeyCode::Up,
            MouseKind::WheelDown => KeyCode::Down,
            MouseKind::Press => {
                // A click beside a message closes it; a question wants an answer.
                if matches!(top, Overlay::Message { .. } | Overlay::Help(_)) {
                    state.overlays.pop();
                }
                return;
            }
        };
        return on_overlay_key(state, Key::plain(step), effects);
    }
    let found = layout::regions(state.area(), state);
    let at = ratatui::layout::Position::new(mouse.x, mouse.y);
    let rows = match mouse.kind {
        MouseKind::WheelUp => -3,
        MouseKind::WheelDown => 3,
        MouseKind::Press => 0,
    };
    if let Some((pane, rect)) = found.lists.iter().find(|(_, rect)| rect.contains(at)) {
        if rows != 0 {
            match pane {
                Pane::Containers => state.containers.scroll(rows),
                Pane::Images => state.images.scroll(rows),
            }
            return;
        }
        go_to(state, *pane);
        let (header, body) = layout::list_parts(*rect);
        if body.contains(at) {
            let row = usize::from(mouse.y - body.y);
            match pane {
                Pane::Containers if state.containers.offset() + row < state.containers.shown() => {
                    state.containers.select(state.containers.offset() + row);
                }
                Pane::Images if state.images.offset() + row < state.images.shown() => {
                    state.images.select(state.images.offset() + row);
                }
                Pane::Containers | Pane::Images => {}
            }
        } else if let Some(header) = header.filter(|h| h.contains(at)) {
            // One column is the marks'.
            let x = (mouse.x - header.x).saturating_sub(1);
            let width = header.width.saturating_sub(1);
            let context = state.context();
            let column = |columns: Vec<(usize, u16, u16)>| {
                columns
                    .iter()
                    .find(|(_, start, width)| x >= *start && x <= start + width)
                    .map(|(index, _, _)| *index)
            };
            match pane {
                Pane::Containers => {
                    if let Some(column) = column(state.containers.columns(width, context)) {
                        state.containers.sort_by(column);
                    }
                }
                Pane::Images => {
                    if let Some(column) = column(state.images.columns(width, context)) {
                        state.images.sort_by(column);
                    }
                }
            }
        }
    } else if let Some(rect) = found.detail.filter(|rect| rect.contains(at)) {
        if rows != 0 {
            return wheel_on_detail(state, rows, effects);
        }
        let tab = layout::tabs(rect, state)
            .into_iter()
            .find(|(_, x, width)| mouse.y == rect.y && mouse.x >= *x && mouse.x < x + width);
        match tab {
            Some((tab, _, _)) => {
                set_tab(state, tab);
                if tab == Tab::Shell {
                    state.focus = Focus::Detail;
                }
            }
            None => state.focus = Focus::Detail,
        }
    }
}

/// The wheel scrolls; in a full-screen program in a shell, which has nothing to scroll back to, it is arrow keys.
fn wheel_on_detail(state: &mut State, rows: isize, effects: &mut Vec<Effect>) {
    let program = state
        .selected_shell()
        .filter(|shell| state.tab() == Tab::Shell && shell.screen().alternate_screen());
    let Some(shell) = program else {
        return move_detail(state, rows);
    };
    let key = Key::plain(if rows < 0 { KeyCode::Up } else { KeyCode::Down });
    let bytes = shell.encode(key).unwrap_or_default();
    effects.push(Effect::ShellInput {
        generation: shell.generation,
        bytes: bytes.repeat(rows.unsigned_abs()),
    });
}

// What follows from any change.

/// Brings what depends on size and choice up to date: page heights, the log and the text of the chosen object, shell sizes.
fn settle(state: &mut State, effects: &mut Vec<Effect>) {
    let found = layout::regions(state.area(), state);
    for (pane, rect) in &found.lists {
        let rows = usize::from(layout::list_parts(*rect).1.height);
        match pane {
            Pane::Containers => state.containers.set_height(rows),
            Pane::Images => state.images.set_height(rows),
        }
    }
    settle_log(state);
    settle_document(state, effects);
    if state.tab() == Tab::Shell && found.detail.is_some() {
        let size = layout::shell_size(state);
        let generation = state.selected_shell().map(|shell| shell.generation);
        if let Some(shell) = generation.and_then(|id| shell_of(state, id))
            && shell.resize(size)
        {
            effects.push(Effect::ShellResize {
                generation: shell.generation,
                size,
            });
        }
    }
}

/// The log is that of the chosen container, from when it is first shown until another is chosen.
fn settle_log(state: &mut State) {
    let chosen = match state.pane {
        Pane::Containers => state.containers.selected().map(|row| row.id().clone()),
        // Looking at images does not end the log that one comes back to.
        Pane::Images => return,
    };
    let current = state.log.as_ref().map(|log| &log.id);
    if chosen.as_ref() == current {
        return;
    }
    if state.tab() != Tab::Logs {
        if current.is_some() {
            state.log = None;
        }
        return;
    }
    let Some(id) = chosen else {
        state.log = None;
        return;
    };
    let generation = state.next_id();
    let mut log = LogView::new(id, generation);
    log.wrap = state.wrap;
    log.timestamps = state.timestamps;
    state.log = Some(log);
}

fn settle_document(state: &mut State, effects: &mut Vec<Effect>) {
    let subject = match state.tab() {
        Tab::Inspect => state
            .containers
            .selected()
            .map(|row| Subject::Container(row.id().clone())),
        Tab::Layers => state
            .images
            .selected()
            .map(|row| Subject::Layers(row.key())),
        Tab::Image => state.images.selected().map(|row| Subject::Image(row.key())),
        Tab::Logs | Tab::Stats | Tab::Shell => return,
    };
    let subject = subject.unwrap_or(Subject::Nothing);
    if subject == state.subject {
        return;
    }
    if let Subject::Layers(id) | Subject::Image(id) = &subject
        && state
            .image
            .as_ref()
            .is_none_or(|i| i.summary.id.as_str() != id)
    {
        state.image = None;
        let query = Query::Image(id.clone());
        let id = QueryId(state.next_id());
        state.image_query = Some(id);
        effects.push(Effect::Query {
            id,
            query,
            after: Duration::ZERO,
        });
    }
    state.subject = subject;
    state.document.rewind();
    fill_document(state);
}

fn fill_document(state: &mut State) {
    let lines = match &state.subject {
        Subject::Nothing => Vec::new(),
        Subject::Container(id) => state
            .containers
            .rows()
            .iter()
            .find(|row| row.id() == id)
            .map(|row| container_lines(&row.summary))
            .unwrap_or_default(),
        Subject::Layers(_) => state.image.as_ref().map(layer_lines).unwrap_or_default(),
        Subject::Image(_) => state.image.as_ref().map(image_lines).unwrap_or_default(),
    };
    state.document.set(lines);
}

fn container_lines(summary: &ContainerSummary) -> Vec<DocLine> {
    let record = serde_json::to_value(&*summary.container).unwrap_or(Value::Null);
    let state = serde_json::to_value(&summary.state).unwrap_or(Value::Null);
    let mut all = serde_json::Map::new();
    if let Value::Object(record) = record {
        // Name and state first: that is what one looks for.
        for name in ["name", "id"] {
            if let Some(value) = record.get(name) {
                all.insert(name.to_owned(), value.clone());
            }
        }
        all.insert("state".to_owned(), state);
        all.extend(record);
    }
    document::lines_of(&Value::Object(all))
}

/// History with sizes, the newest first as `history` prints it; then the layers with what they take on disk.
fn layer_lines(image: &Image) -> Vec<DocLine> {
    let mut lines = vec![DocLine::new(
        0,
        "total:",
        &format!(
            "{} in {} layers",
            units::human_size_short(image.summary.size),
            image.layers.len()
        ),
    )];
    lines.push(DocLine::new(0, "history:", ""));
    for entry in image.history.iter().rev() {
        let size = if entry.empty {
            "-".to_owned()
        } else {
            units::human_size_short(entry.size)
        };
        let command = if entry.created_by.is_empty() {
            &entry.comment
        } else {
            &entry.created_by
        };
        lines.push(DocLine::new(0, &format!("{size:>8}"), command));
    }
    lines.push(DocLine::new(0, "layers:", ""));
    for (number, layer) in image.layers.iter().enumerate().rev() {
        let value = format!(
            "{} on disk, {} as stored, {}",
            units::human_size_short(layer.size),
            units::human_size_short(layer.blob_size),
            layer.diff_id.short()
        );
        lines.push(DocLine::new(0, &format!("{:>8}", number + 1), &value));
    }
    lines
}

fn image_lines(image: &Image) -> Vec<DocLine> {
    let config = serde_json::to_value(&image.config).unwrap_or(Value::Null);
    let summary = &image.summary;
    document::lines_of(&json!({
        "id": summary.id,
        "tags": summary.tags,
        "digests": summary.digests,
        "created": summary.created.map(|t| t.to_string()),
        "platform": summary.platform.to_string(),
        "size": format!("{} ({} bytes)", units::human_size_short(summary.size), summary.size),
        "author": image.author,
        "comment": image.comment,
        "manifest": image.manifest,
        "labels": summary.labels,
        "config": config,
        "layers": image.layers.iter().map(|l| l.diff_id.as_str()).collect::<Vec<_>>(),
    }))
}
