//! What is done to images, and what is known about them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::action::Action;
use super::super::form::{self, Form};
use super::super::images::ImageRow;
use super::super::jobs::{Failure, Request};
use super::super::layout::Regions;
use super::super::list::Row;
use super::super::overlay::{Confirm, Cursor, Overlay, Then, Unused};
use super::super::{Answer, Effect, Pane, Query, QueryId, Severity, State};
use super::containers::names;
use super::jobs::show_busy;
use super::prune::open_prune;
use super::refuse_if_read_only;
use super::volumes::show_sizes;
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
            let volumes = &mut data.volumes;
            volumes.sort_by_key(|volume| std::cmp::Reverse(volume.size));
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
    show_sizes(state);
}

/// Asks what is on disk when somebody sees it and it may have changed.
pub(super) fn settle_usage(state: &mut State, found: &Regions, effects: &mut Vec<Effect>) {
    let overlay = matches!(state.overlays.last(), Some(Overlay::Usage(_)));
    let shown = |pane| state.pane == pane || found.list(pane).is_some();
    let seen = overlay || shown(Pane::Images) || shown(Pane::Volumes);
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
        Action::PruneImages => {
            let what = Unused::Images(request::PruneImages::default());
            open_prune(state, what, Duration::ZERO, effects);
        }
        _ => remove_images(state),
    }
}

/// Names to choose from: what was pulled before, then what the store has.
pub(super) fn known_names(state: &State) -> Vec<String> {
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
                typed: None,
            })
        }
    };
    state.overlays.push(overlay);
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
        typed: None,
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
