//! What each message changes. Pure: the effects that follow are returned as data.

mod actions;
mod containers;
mod dialogs;
mod documents;
mod explorer;
mod forms;
mod images;
mod jobs;
mod look;
mod messages;
mod mouse;
mod networks;
mod overlays;
mod prune;
mod reading;
mod tables;
mod volumes;

use std::collections::BTreeMap;
use std::time::Duration;

use super::containers::ContainerRow;
use super::jobs::{Failure, Report};
use super::key::{Key, KeyCode};
use super::layout;
use super::logs::LogView;
use super::overlay::Overlay;
use super::shell::Shell;
use super::{Answer, Effect, Msg, Pane, Query, QueryId, Severity, State, Subject, Tab};
use crate::engine::model::{ContainerId, ContainerSummary, event};
use actions::act;
use containers::{on_shell_ended, shell_key};
use documents::{fill_document, settle_document};
use forms::settle_form;
use images::{settle_usage, show_users, take_images, take_usage};
use jobs::{on_finished, show_busy};
use messages::show_error;
use mouse::on_mouse;
use networks::take_networks;
use overlays::{on_overlay_key, paste};
use volumes::{show_volume_users, take_volumes};

/// A change that comes while the engine is being asked is answered by one more question, so much later.
const AGAIN: Duration = Duration::from_millis(100);

impl State {
    /// The first effects: ask for everything that the first frame shows.
    pub fn start(&mut self) -> Vec<Effect> {
        let mut effects = Vec::new();
        if self.detached {
            self.loaded = true;
            return effects;
        }
        self.ask_containers(Duration::ZERO, &mut effects);
        self.ask_images(Duration::ZERO, &mut effects);
        self.ask_volumes(Duration::ZERO, &mut effects);
        self.ask_networks(Duration::ZERO, &mut effects);
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

    fn ask_networks(&mut self, after: Duration, effects: &mut Vec<Effect>) {
        if self.networks_query.running.is_some() {
            self.networks_query.again = true;
            return;
        }
        let id = QueryId(self.next_id());
        self.networks_query.running = Some(id);
        effects.push(Effect::Query {
            id,
            query: Query::Networks,
            after,
        });
    }

    fn ask_volumes(&mut self, after: Duration, effects: &mut Vec<Effect>) {
        if self.volumes_query.running.is_some() {
            self.volumes_query.again = true;
            return;
        }
        let id = QueryId(self.next_id());
        self.volumes_query.running = Some(id);
        effects.push(Effect::Query {
            id,
            query: Query::Volumes,
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
        Msg::Job(id, Report::Progress(progress)) => {
            state.jobs.progress(id, &progress, state.now);
        }
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
            // Who is on a network changes with every start and end.
            if of(event::Kind::Network) || of(event::Kind::Container) {
                state.ask_networks(Duration::ZERO, &mut effects);
            }
            if of(event::Kind::Volume) {
                state.ask_volumes(Duration::ZERO, &mut effects);
            }
            // What containers write changes all the time; it is looked at again when somebody looks.
            let looks = matches!(state.overlays.last(), Some(Overlay::Usage(_)))
                || state.pane == Pane::Volumes;
            state.usage.stale |= looks || of(event::Kind::Image) || of(event::Kind::Volume);
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
        Msg::Explored { generation, news } => explorer::take(state, generation, news),
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
            Ok(Answer::Containers(all)) => {
                take_containers(state, all);
                look::again(state, effects);
            }
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
    } else if state.volumes_query.running == Some(id) {
        state.volumes_query.running = None;
        let again = std::mem::take(&mut state.volumes_query.again);
        match answer {
            Ok(Answer::Volumes(all)) => take_volumes(state, all),
            Ok(_) => {}
            Err(failure) => state.stale = Some(failure),
        }
        if again {
            state.ask_volumes(AGAIN, effects);
        }
    } else if state.networks_query.running == Some(id) {
        state.networks_query.running = None;
        let again = std::mem::take(&mut state.networks_query.again);
        match answer {
            Ok(Answer::Networks(all)) => take_networks(state, all),
            Ok(_) => {}
            Err(failure) => state.stale = Some(failure),
        }
        if again {
            state.ask_networks(AGAIN, effects);
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
    } else if state.look.query == Some(id) {
        look::take(state, answer, effects);
    } else if state.usage.query == Some(id) {
        take_usage(state, answer);
    } else if explorer::awaits_findings(state, id) {
        explorer::take_findings(state, answer);
    } else if tables::awaits(state, id) {
        tables::take(state, id, answer);
    } else if reading::awaits(state, id) {
        reading::take(state, answer);
    } else {
        match answer {
            Ok(Answer::Host(host)) => state.host = Some(host),
            answer => answer_overlay(state, id, answer),
        }
    }
}

/// An answer that a dialog waits for.
fn answer_overlay(state: &mut State, id: QueryId, answer: Result<Answer, Failure>) {
    for overlay in &mut state.overlays {
        match overlay {
            Overlay::Form(form) => {
                if let Some(checked) = form.checked.as_mut().filter(|c| c.query == id) {
                    checked.answer = match answer {
                        Ok(Answer::Checked(warnings)) => Some(Ok(warnings)),
                        Ok(_) => return,
                        Err(failure) => Some(Err(failure.line)),
                    };
                    return;
                }
                let listing = form.listing.as_mut();
                if let Some(listing) = listing.filter(|listing| listing.query == id) {
                    listing.entries = match answer {
                        Ok(Answer::Directory(entries)) => Some(Ok(entries)),
                        Ok(_) => return,
                        Err(failure) => Some(Err(failure.line)),
                    };
                    return;
                }
            }
            Overlay::Prune(prune) if prune.query == id => {
                prune.plan = match answer {
                    Ok(Answer::PrunePlan(plan)) => Some(Ok(plan)),
                    Ok(_) => return,
                    Err(failure) => Some(Err(failure)),
                };
                return;
            }
            _ => {}
        }
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
    let rows = containers.rows().iter();
    let live: BTreeMap<_, _> = rows.map(|row| (row.id(), row.status().is_live())).collect();
    let runs = |id: &ContainerId| live.get(id).copied().unwrap_or(false);
    figures.retain(runs);
    shells.retain(|shell| live.contains_key(&shell.id));
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
    show_volume_users(state);
    if matches!(
        state.subject,
        Subject::Container(_)
            | Subject::Health(_)
            | Subject::Environment(_)
            | Subject::Mounts(_)
            | Subject::Ports(_)
            | Subject::Users(_)
            | Subject::Volume(_)
            | Subject::VolumeUsers(_)
    ) {
        fill_document(state);
    }
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
        row.tasks = figures.map(|f| f.last.pids);
        let point = figures.and_then(super::figures::Figures::point);
        row.network = point.map(|p| (p.rx, p.tx));
        row.block = point.map(|p| (p.read, p.written));
    });
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

fn refuse_if_read_only(state: &mut State) -> bool {
    if state.settings.read_only {
        state.tell(Severity::Error, "read-only: nothing is changed".to_owned());
    }
    state.settings.read_only
}

// What follows from any change.

/// Brings what depends on size and choice up to date: page heights, the log and the text of the chosen object, shell sizes.
fn settle(state: &mut State, effects: &mut Vec<Effect>) {
    if state.explorer.is_some() {
        // The panes are not seen.
        explorer::settle(state);
        return settle_form(state, effects);
    }
    if state.tables.is_some() {
        tables::settle(state);
        return settle_form(state, effects);
    }
    let found = layout::regions(state.area(), state);
    for (pane, rect) in &found.lists {
        let rows = usize::from(layout::list_parts(*rect).1.height);
        state.list_mut(*pane).set_height(rows);
    }
    settle_log(state);
    settle_document(state, effects);
    settle_usage(state, &found, effects);
    settle_form(state, effects);
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
        // Looking at something else does not end the log that one comes back to.
        Pane::Images | Pane::Volumes | Pane::Networks => return,
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
