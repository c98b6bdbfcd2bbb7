//! What is done to volumes, and what is known about them. Data goes only after its name or number was typed.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::action::Action;
use super::super::form::Form;
use super::super::jobs::Request;
use super::super::list::Row;
use super::super::overlay::{Confirm, Overlay, Then, Typed, Unused};
use super::super::volumes::VolumeRow;
use super::super::{Effect, Severity, State, Subject, text};
use super::containers::names;
use super::fill_document;
use super::jobs::show_busy;
use super::prune::open_prune;
use super::refuse_if_read_only;
use crate::engine::model::container::Mount;
use crate::engine::model::volume::Volume;
use crate::engine::model::{request, units};

pub(super) fn take_volumes(state: &mut State, all: Vec<Volume>) {
    let row = |volume| VolumeRow {
        volume,
        size: None,
        used_by: Vec::new(),
        busy: None,
    };
    state.volumes.replace(all.into_iter().map(row).collect());
    show_sizes(state);
    show_busy(state);
    show_volume_users(state);
}

/// Which containers each volume has.
pub(super) fn show_volume_users(state: &mut State) {
    let mut users: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in state.containers.rows() {
        for mount in &row.summary.container.host.mounts {
            if let Mount::Volume(volume) = mount {
                let users = users.entry(volume.name.clone()).or_default();
                let name = row.name().into_owned();
                // One that has it at two places has it once.
                if !users.contains(&name) {
                    users.push(name);
                }
            }
        }
    }
    state.volumes.update(|row| {
        row.used_by = users.remove(&row.volume.name).unwrap_or_default();
    });
}

/// What each volume holds, as far as it is known.
pub(super) fn show_sizes(state: &mut State) {
    let State { volumes, usage, .. } = state;
    let known = usage.data.iter().flat_map(|data| &data.volumes);
    let known: BTreeMap<_, _> = known.map(|v| (v.volume.name.as_str(), v.size)).collect();
    volumes.update(|row| row.size = known.get(row.volume.name.as_str()).copied());
    if matches!(state.subject, Subject::Volume(_) | Subject::VolumeUsers(_)) {
        fill_document(state);
    }
}

pub(super) fn on_volumes(state: &mut State, action: Action, effects: &mut Vec<Effect>) {
    if refuse_if_read_only(state) {
        return;
    }
    match action {
        Action::CreateVolume => state.overlays.push(Overlay::Form(Form::create_volume())),
        Action::PruneVolumes => {
            let request = request::PruneVolumes::default();
            open_prune(state, Unused::Volumes(request), Duration::ZERO, effects);
        }
        _ => remove_volumes(state),
    }
}

fn remove_volumes(state: &mut State) {
    let targets: Vec<_> = state
        .volumes
        .targets()
        .into_iter()
        .filter(|row| row.busy.is_none())
        .collect();
    if targets.is_empty() {
        return;
    }
    let (used, free): (Vec<&VolumeRow>, Vec<&VolumeRow>) =
        targets.into_iter().partition(|row| !row.used_by.is_empty());
    let Some(first) = free.first() else {
        let text = match used.as_slice() {
            [one] => format!(
                "{} is used by {}: remove that first",
                one.name(),
                one.used_by.join(", ")
            ),
            many => format!("containers have all {} of them", many.len()),
        };
        return state.tell(Severity::Info, text);
    };
    let requests: Vec<_> = free
        .iter()
        .map(|row| (Request::RemoveVolume(row.key()), row.key()))
        .collect();
    let mut lines = Vec::new();
    let (question, wanted) = if free.len() == 1 {
        let name = first.short_name();
        (format!("Remove {}?", text::sanitise(name)), name.to_owned())
    } else {
        lines.extend(names(free.iter().map(|row| row.short_name())));
        let count = free.len();
        (format!("Remove {count} volumes?"), count.to_string())
    };
    if !used.is_empty() {
        lines.push(format!("{} stay: containers have them.", used.len()));
    }
    let size = free.iter().map(|row| row.size).sum::<Option<u64>>();
    lines.push(match size {
        Some(0) => "Nothing is in it.".to_owned(),
        Some(size) => format!("{} of data go for good.", units::human_size_short(size)),
        None => "What is in it goes for good.".to_owned(),
    });
    let elsewhere = free.iter().any(|row| !row.volume.options.is_empty());
    if elsewhere {
        lines.push("Data that options take from elsewhere stays there.".to_owned());
    }
    state.overlays.push(Overlay::Confirm(Confirm {
        question,
        lines,
        then: Then::Run(requests),
        typed: Some(Typed::new(&wanted)),
    }));
}
