//! Dialogs about the chosen container, and about running the chosen image.

use std::time::Duration;

use super::super::action::Action;
use super::super::form::{Begin, Form};
use super::super::overlay::{Overlay, Unused};
use super::super::{Effect, Severity, State};
use super::images::known_names;
use super::prune::open_prune;
use super::refuse_if_read_only;

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
        _ => {
            let Some(row) = state.containers.selected() else {
                return;
            };
            if let Some(busy) = row.busy {
                let text = format!("{}: already {busy}", row.name());
                return state.tell(Severity::Info, text);
            }
            let container = &row.summary.container;
            let (id, name) = (container.id.clone(), container.name.as_str());
            match action {
                Action::UpdateLimits => Form::limits(container),
                Action::RenameContainer => Form::rename(id, name),
                Action::CommitContainer => Form::commit(id, name, known_names(state)),
                Action::ExportContainer => Form::export(id, name),
                _ => Form::copy(id, name),
            }
        }
    };
    state.overlays.push(Overlay::Form(form));
}
