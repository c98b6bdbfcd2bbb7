//! What is done to networks, and what is known about them.

use super::super::action::Action;
use super::super::document::DocLine;
use super::super::form::Form;
use super::super::jobs::Request;
use super::super::list::Row;
use super::super::networks::{self, NetworkRow};
use super::super::overlay::{Confirm, Overlay, Then, Typed};
use super::super::{Answer, Severity, State, Subject, text};
use super::containers::names;
use super::fill_document;
use super::jobs::show_busy;
use super::refuse_if_read_only;
use crate::engine::model::network::{Endpoint, Network};
use crate::engine::model::{ContainerId, NetworkMode};

pub(super) fn take_networks(state: &mut State, all: Vec<(Network, Vec<Endpoint>)>) {
    let row = |(network, members)| NetworkRow {
        network,
        members,
        busy: None,
    };
    state.networks.replace(all.into_iter().map(row).collect());
    show_busy(state);
    if is_shown(&state.subject) {
        fill_document(state);
    }
}

/// Whether a document is about networks.
pub(super) fn is_shown(subject: &Subject) -> bool {
    matches!(
        subject,
        Subject::Network(_) | Subject::NetworkMap | Subject::Reach(_)
    )
}

/// All about a network.
pub(super) fn network_lines(state: &State, name: &str) -> Vec<DocLine> {
    let rates = |id: &ContainerId| {
        let point = state.figures.get(id)?.point()?;
        Some((point.rx, point.tx))
    };
    let row = state.networks.rows().iter().find(|row| row.key() == name);
    row.map(|row| networks::network_lines(row, &rates))
        .unwrap_or_default()
}

/// Who reaches a container, and what it is connected to.
pub(super) fn reach_lines(state: &State, id: &ContainerId) -> Vec<DocLine> {
    let mut lines = vec![DocLine::new(0, "who can reach this:", "")];
    match owner(state, id) {
        Owner::Nobody => lines.extend(networks::reach_lines(&[], Some(id))),
        Owner::Host => lines.extend(networks::reach_lines(&[], None)),
        Owner::Container(owner, name) => {
            if let Some(name) = name {
                lines.push(DocLine::new(
                    2,
                    "",
                    &format!("it shares the network of {name}"),
                ));
            }
            lines.extend(networks::reach_lines(state.networks.rows(), Some(&owner)));
        }
    }
    match &state.look.answer {
        Some(Ok(Answer::Connections(all))) => lines.extend(networks::connection_lines(all)),
        Some(Err(failure)) => lines.push(DocLine::new(0, "", &failure.line)),
        Some(Ok(_)) | None => {}
    }
    lines
}

/// Whose network a container has now.
enum Owner {
    /// It does not run.
    Nobody,
    Host,
    /// With its name, if it is another one.
    Container(ContainerId, Option<String>),
}

fn owner(state: &State, id: &ContainerId) -> Owner {
    let mut at = id.clone();
    let mut name = None;
    // Each may share that of a further one; records of a circle there are none.
    for _ in 0..state.containers.rows().len() {
        let row = state.containers.rows().iter().find(|row| *row.id() == at);
        let Some(row) = row.filter(|row| row.summary.state.status.is_live()) else {
            break;
        };
        match &row.summary.container.host.network {
            NetworkMode::Host => return Owner::Host,
            NetworkMode::Container(other) => match ContainerId::try_from(other.clone()) {
                Ok(other) => at = other,
                Err(_) => break,
            },
            NetworkMode::None | NetworkMode::Networks => {
                if at != *id {
                    name = Some(row.name().into_owned());
                }
                return Owner::Container(at, name);
            }
        }
    }
    Owner::Nobody
}

pub(super) fn on_networks(state: &mut State, action: Action) {
    if refuse_if_read_only(state) {
        return;
    }
    match action {
        Action::CreateNetwork => state.overlays.push(Overlay::Form(Form::create_network())),
        Action::ConnectNetwork => connect(state),
        Action::DisconnectNetwork => disconnect(state),
        Action::PruneNetworks => prune(state),
        _ => remove(state),
    }
}

fn connect(state: &mut State) {
    let Some(row) = state.networks.selected() else {
        return;
    };
    let is_on = |id: &ContainerId| row.members.iter().any(|e| e.container == *id);
    let containers: Vec<_> = state
        .containers
        .rows()
        .iter()
        .filter(|container| !is_on(container.id()))
        .map(|row| (row.summary.container.name.clone(), row.id().clone()))
        .collect();
    if containers.is_empty() {
        let text = format!("there is no container that is not on {}", row.name());
        return state.tell(Severity::Info, text);
    }
    let form = Form::connect(&row.network.name, containers);
    state.overlays.push(Overlay::Form(form));
}

fn disconnect(state: &mut State) {
    let Some(row) = state.networks.selected() else {
        return;
    };
    let members = row.members.iter().map(|e| e.container_name.clone());
    let members: Vec<_> = members.collect();
    if members.is_empty() {
        let text = format!("no running container is on {}", row.name());
        return state.tell(Severity::Info, text);
    }
    let form = Form::disconnect(&row.network.name, members);
    state.overlays.push(Overlay::Form(form));
}

fn remove(state: &mut State) {
    let targets = state.networks.targets();
    let free: Vec<&NetworkRow> = targets
        .iter()
        .copied()
        .filter(|row| row.busy.is_none() && row.members.is_empty() && !row.is_predefined())
        .collect();
    let Some(first) = free.first() else {
        let text = match targets.as_slice() {
            [] => return,
            [one] if one.is_predefined() => format!("{} is always there", one.name()),
            [one] => format!("{} is in use: disconnect its containers first", one.name()),
            many => format!("all {} of them are in use, or always there", many.len()),
        };
        return state.tell(Severity::Info, text);
    };
    let kept = targets.len() - free.len();
    let mut lines = Vec::new();
    let question = if free.len() == 1 {
        format!("Remove {}?", text::sanitise(&first.network.name))
    } else {
        lines.extend(names(free.iter().map(|row| row.network.name.as_str())));
        format!("Remove {} networks?", free.len())
    };
    if kept > 0 {
        lines.push(format!("{kept} stay: they are in use, or always there."));
    }
    let requests = requests(&free);
    state.overlays.push(Overlay::Confirm(Confirm {
        question,
        lines,
        then: Then::Run(requests),
        typed: None,
    }));
}

/// Removes what was shown and nothing that came meanwhile: one by one, and what is in use by then stays.
fn prune(state: &mut State) {
    let unused = |row: &&NetworkRow| row.members.is_empty() && !row.is_predefined();
    let free: Vec<&NetworkRow> = state.networks.rows().iter().filter(unused).collect();
    if free.is_empty() {
        let text = "there is no network that nobody is on".to_owned();
        return state.tell(Severity::Info, text);
    }
    let mut lines = names(free.iter().map(|row| row.network.name.as_str()));
    lines.push("No running container is on them.".to_owned());
    let count = free.len();
    let question = match count {
        1 => "Remove 1 unused network?".to_owned(),
        many => format!("Remove {many} unused networks?"),
    };
    let requests = requests(&free);
    state.overlays.push(Overlay::Confirm(Confirm {
        question,
        lines,
        then: Then::Run(requests),
        typed: Some(Typed::new(&count.to_string())),
    }));
}

fn requests(rows: &[&NetworkRow]) -> Vec<(Request, String)> {
    let request = |row: &&NetworkRow| (Request::RemoveNetwork(row.key()), row.key());
    rows.iter().map(request).collect()
}
