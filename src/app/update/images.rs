//! What is done to images, and what is known about them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::action::Action;
use super::super::form::{self, Form};
use super::super::images::ImageRow;
use super::super::jobs::{Failure, Request};
use super::super::key::{Key, KeyCode};
use super::super::layout::Regions;
use super::super::list::Row;
use super::super::overlay::{Confirm, Cursor, Overlay, Prune, Then};
use super::super::{Answer, Effect, Pane, Query, QueryId, Severity, State};
use super::containers::names;
use super::jobs::{run, show_busy};
use super::refuse_if_read_only;
use crate::engine::model::registry::DiskUsage;
use crate::engine::model::{ImageSummary, Reference, request, units};

/// What is on disk is asked for so much later: the pane is drawn before, and one look answers several events.
const USAGE_PAUSE: Duration = Duration::from_millis(300);

pub(super) fn take_images(state: &mut State, all: Vec<ImageSummary>) {
    let row = |summary| ImageRow {
        summary,
        unique: None,
        used_by: Vec::new(),
        busy: None,
    };
    state.images.replace(all.into_iter().map(row).collect());
    show_unique(state);
    show_busy(state);
    show_users(state);
}

/// Which containers each image has.
pub(super) fn show_users(state: &mut State) {
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

/// What each image holds alone, as far as it is known.
fn show_unique(state: &mut State) {
    let State { images, usage, .. } = state;
    let known = usage.data.iter().flat_map(|data| &data.images.images);
    let known: BTreeMap<_, _> = known.map(|image| (&image.id, image.unique)).collect();
    images.update(|row| row.unique = known.get(&row.summary.id).copied());
}

pub(super) fn take_usage(state: &mut State, answer: Result<Answer, Failure>) {
    state.usage.query = None;
    state.usage.asked = false;
    match answer {
        Ok(Answer::DiskUsage(data)) => {
            let mut data: DiskUsage = *data;
            data.images
                .images
                .sort_by_key(|image| std::cmp::Reverse(image.size));
            let containers = &mut data.containers.containers;
            containers.sort_by_key(|container| std::cmp::Reverse(container.size));
            state.usage.data = Some(data);
            state.usage.failure = None;
        }
        Ok(_) => {}
        Err(failure) => {
            // A number that may be wrong is worse than none.
            state.usage.data = None;
            state.usage.failure = Some(failure);
        }
    }
    show_unique(state);
}

/// Asks what is on disk when somebody sees it and it may have changed.
pub(super) fn settle_usage(state: &mut State, found: &Regions, effects: &mut Vec<Effect>) {
    let overlay = matches!(state.overlays.last(), Some(Overlay::Usage(_)));
    let seen = overlay || state.pane == Pane::Images || found.list(Pane::Images).is_some();
    if !seen || !state.usage.stale || state.usage.query.is_some() {
        return;
    }
    let id = QueryId(state.next_id());
    state.usage.query = Some(id);
    state.usage.asked = true;
    state.usage.stale = false;
    effects.push(Effect::Query {
        id,
        query: Query::DiskUsage,
        after: if overlay { Duration::ZERO } else { USAGE_PAUSE },
    });
}

pub(super) fn open_usage(state: &mut State) {
    state.usage.stale = true;
    state.overlays.push(Overlay::Usage(Cursor::default()));
}

pub(super) fn on_images(state: &mut State, action: Action, effects: &mut Vec<Effect>) {
    // Saving changes nothing of the store.
    if action != Action::SaveImages && refuse_if_read_only(state) {
        return;
    }
    match action {
        Action::PullImage => {
            let form = Form::pull(known_names(state));
            state.overlays.push(Overlay::Form(form));
        }
        Action::LoadImages => state.overlays.push(Overlay::Form(Form::load())),
        Action::PushImages => open_push(state),
        Action::TagImage => open_tag(state),
        Action::SaveImages => open_save(state),
        Action::PruneImages => open_prune(state, effects),
        _ => remove_images(state),
    }
}

/// Names to choose from: what was pulled before, then what the store has.
fn known_names(state: &State) -> Vec<String> {
    let mut names = state.pulled.clone();
    let tags = state.images.rows().iter().flat_map(|row| &row.summary.tags);
    for tag in tags {
        if !names.contains(tag) {
            names.push(tag.clone());
        }
    }
    names
}

fn open_tag(state: &mut State) {
    let Some(row) = state.images.selected() else {
        return;
    };
    let source = match row.summary.tags.first() {
        Some(tag) => tag.clone(),
        None => row.key(),
    };
    let form = Form::tag(row.key(), source, known_names(state));
    state.overlays.push(Overlay::Form(form));
}

fn open_save(state: &mut State) {
    let targets = state.images.targets();
    if targets.is_empty() {
        return;
    }
    let ids = targets.iter().map(|row| row.key()).collect();
    let names = targets
        .iter()
        .flat_map(|row| match row.summary.tags.as_slice() {
            [] => vec![row.key()],
            tags => tags.to_vec(),
        })
        .collect();
    state.overlays.push(Overlay::Form(Form::save(ids, names)));
}

/// One image: which name. Marked ones: all their names, after a question.
fn open_push(state: &mut State) {
    let targets = state.images.targets();
    let overlay = match targets.as_slice() {
        [] => return,
        [one] => Overlay::Form(Form::push(one.key(), one.summary.tags.clone())),
        many => {
            let tags = many
                .iter()
                .flat_map(|row| row.summary.tags.iter().map(|tag| (row.key(), tag)));
            let requests: Vec<_> = tags
                .filter_map(|(id, tag)| {
                    let reference: Reference = tag.parse().ok()?;
                    let request = Request::Push {
                        id,
                        tag: false,
                        request: form::push(reference),
                    };
                    Some((request, tag.clone()))
                })
                .collect();
            if requests.is_empty() {
                let text = "what is marked has no names: tag it first".to_owned();
                return state.tell(Severity::Info, text);
            }
            Overlay::Confirm(Confirm {
                question: format!("Push {} names?", requests.len()),
                lines: names(requests.iter().map(|(_, name)| name.as_str())),
                then: Then::Run(requests),
            })
        }
    };
    state.overlays.push(overlay);
}

pub(super) fn open_prune(state: &mut State, effects: &mut Vec<Effect>) {
    if refuse_if_read_only(state) {
        return;
    }
    let prune = plan_prune(state, request::PruneImages::default(), effects);
    state.overlays.push(Overlay::Prune(prune));
}

/// A prune whose plan is asked for.
pub(super) fn plan_prune(
    state: &mut State,
    request: request::PruneImages,
    effects: &mut Vec<Effect>,
) -> Prune {
    let query = QueryId(state.next_id());
    effects.push(Effect::Query {
        id: query,
        query: Query::PrunePlan(request.clone()),
        after: Duration::ZERO,
    });
    Prune {
        request,
        plan: None,
        query,
        cursor: Cursor::default(),
    }
}

/// A key in the dialog of a prune; true if it goes on.
pub(super) fn on_prune_key(
    state: &mut State,
    prune: &mut Prune,
    key: Key,
    step: Option<isize>,
    effects: &mut Vec<Effect>,
) -> bool {
    if let Some(step) = step {
        let images = match &prune.plan {
            Some(Ok(plan)) => plan.images.len(),
            Some(Err(_)) | None => 0,
        };
        prune.cursor.step(step, images);
        return true;
    }
    match (key.typed(), key.code) {
        (Some('a'), _) => {
            let mut request = prune.request.clone();
            request.all = !request.all;
            *prune = plan_prune(state, request, effects);
            true
        }
        (Some('y' | 'Y'), _) | (_, KeyCode::Enter) => match &prune.plan {
            // Only what has been seen is removed.
            None => true,
            Some(Ok(plan)) => {
                if plan.images.is_empty() && plan.reclaimed == 0 {
                    state.tell(Severity::Info, "nothing to remove".to_owned());
                } else {
                    let kind = if prune.request.all {
                        "unused images"
                    } else {
                        "dangling images"
                    };
                    let request = Request::PruneImages(prune.request.clone());
                    run(state, vec![(request, kind.to_owned())], effects);
                }
                false
            }
            Some(Err(_)) => false,
        },
        (Some('n' | 'N' | 'q'), _) | (_, KeyCode::Esc) => false,
        _ => key != Key::ctrl('c'),
    }
}

fn remove_images(state: &mut State) {
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
    lines.extend(given_back(&targets));
    state.overlays.push(Overlay::Confirm(Confirm {
        question,
        lines,
        then: Then::Run(requests),
    }));
}

/// What goes for good. What several of them share, and no other has, comes back too: so many bytes at least.
fn given_back(targets: &[&ImageRow]) -> Option<String> {
    let unique = targets.iter().map(|row| row.unique).sum::<Option<u64>>()?;
    let size = units::human_size_short(unique);
    Some(match targets {
        [one] if one.used_by.is_empty() => format!("{size} come back; what it shares stays."),
        [_] => format!("{size} are its own; they stay while a container uses them."),
        _ => format!("{size} at least are their own."),
    })
}
