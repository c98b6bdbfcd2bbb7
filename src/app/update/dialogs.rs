//! Dialogs about the chosen container, and about running the chosen image.

use std::time::Duration;

use super::super::action::Action;
use super::super::form::{Begin, Form};
use super::super::overlay::{Overlay, Unused};
use super::super::{Effect, Severity, State};
use super::images::known_names;
use super::prune::open_prune;
use super::refuse_if_read_only;
use crate::engine::model::Container;

/// What a container's network can be: those that there are, then those of running containers.
fn networks(state: &State) -> Vec<String> {
    let rows = state.networks.rows().iter();
    let known = rows.filter(|row| !row.network.config_only);
    let mut names: Vec<String> = known.map(|row| row.network.name.clone()).collect();
    for name in ["bridge", "host", "none"] {
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    let running = state.containers.rows().iter();
    let running = running.filter(|row| row.summary.state.status.is_live());
    names.extend(running.map(|row| format!("container:{}", row.name())));
    names
}

pub(super) fn open_dialog(state: &mut State, action: Action, effects: &mut Vec<Effect>) {
    // An export changes nothing of the store; a copy may.
    if action != Action::ExportContainer && refuse_if_read_only(state) {
        return;
    }
    let form = match action {
        Action::PruneContainers => {
            return open_prune(state, Unused::Containers, Duration::ZERO, effects);
        }
        Action::RunImage | Action::CreateContainer => {
            let begin = if action == Action::RunImage {
                Begin::Run
            } else {
                Begin::Create
            };
            let Some(row) = state.images.selected() else {
                return;
            };
            // One of its names, where it has some: that is what the container will say.
            let image = match row.summary.tags.first() {
                Some(tag) => tag.clone(),
                None => row.summary.id.to_string(),
            };
            Form::run(&image, known_names(state), networks(state), begin)
        }
        Action::UpdateLimits | Action::ExportContainer => match form_of_all(state, action) {
            Ok(form) => form,
            Err(why) => return state.tell(Severity::Info, why),
        },
        _ => {
            let Some(row) = state.containers.selected() else {
                if state.containers.heading().is_some() {
                    let text = "that is done to one container at a time: choose it".to_owned();
                    state.tell(Severity::Info, text);
                }
                return;
            };
            if let Some(busy) = row.busy {
                let text = format!("{}: already {busy}", row.name());
                return state.tell(Severity::Info, text);
            }
            let container = &row.summary.container;
            let (id, name) = (container.id.clone(), container.name.as_str());
            match action {
                Action::RenameContainer => Form::rename(id, name),
                Action::CommitContainer => Form::commit(id, name, known_names(state)),
                _ => Form::copy(id, name),
            }
        }
    };
    state.overlays.push(Overlay::Form(form));
}

/// What is asked of all that are marked, or of the one that is chosen; else why nothing can be.
fn form_of_all(state: &State, action: Action) -> Result<Form, String> {
    let targets = state.containers.targets();
    let idle: Vec<_> = targets.iter().filter(|row| row.busy.is_none()).collect();
    let containers: Vec<&Container> = idle.iter().map(|row| &*row.summary.container).collect();
    match (targets.as_slice(), containers.as_slice()) {
        ([], _) => Err("no container is chosen".to_owned()),
        ([one], []) => Err(format!(
            "{}: already {}",
            one.name(),
            one.busy.unwrap_or_default()
        )),
        (many, []) => Err(format!("all {} are at something already", many.len())),
        (_, all) if action == Action::UpdateLimits => Ok(Form::limits(all)),
        (_, [one]) => Ok(Form::export(one.id.clone(), &one.name)),
        (_, all) => {
            let named = all.iter().map(|one| (one.id.clone(), one.name.clone()));
            Ok(Form::export_all(named.collect()))
        }
    }
}
