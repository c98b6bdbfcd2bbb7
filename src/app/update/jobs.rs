//! Work that is begun, ends, or is given up.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::form::Form;
use super::super::images::ImageRow;
use super::super::jobs::{Batch, Failure, JobId, Outcome, Request};
use super::super::list::Row;
use super::super::networks::NetworkRow;
use super::super::overlay::{Confirm, Overlay, Then};
use super::super::volumes::VolumeRow;
use super::super::{Effect, Pane, Severity, State, text};
use super::forms::settle_sent;
use crate::engine::error::Kind;

/// Starts work; answers with the jobs, in the order of the requests.
pub(super) fn run(
    state: &mut State,
    requests: Vec<(Request, String)>,
    effects: &mut Vec<Effect>,
) -> Vec<JobId> {
    let mut ids = Vec::new();
    let batch = state.jobs.batch();
    // What was marked has been dealt with, unless this is about something else.
    let clears = requests.iter().any(|(request, _)| {
        let image = |row: &ImageRow| request.is_about_image(&row.key());
        let volume = |row: &VolumeRow| request.is_about_volume(&row.key());
        let network = |row: &NetworkRow| request.is_about_network(&row.key());
        request.container().is_some()
            || state.images.rows().iter().any(image)
            || state.volumes.rows().iter().any(volume)
            || state.networks.rows().iter().any(network)
    });
    for (request, name) in requests {
        let command = request.command(&name);
        let label = text::sanitise(&name).into_owned();
        let id = state.jobs.add(request.clone(), &label, batch, state.now);
        state.log_command(command, Some(id));
        effects.push(Effect::Start(id, request));
        ids.push(id);
    }
    if clears {
        state.list_mut(state.pane).clear_marks();
    }
    show_busy(state);
    ids
}

pub(super) fn show_busy(state: &mut State) {
    let State {
        containers,
        images,
        volumes,
        networks,
        jobs,
        ..
    } = state;
    // There may be a thousand of either; the oldest job counts.
    let mut at_work = BTreeMap::new();
    for (_, job) in jobs.iter() {
        if let Some(id) = job.request.container() {
            at_work.entry(id).or_insert(job.request.doing());
        }
    }
    containers.update(|row| row.busy = at_work.get(row.id()).copied());
    images.update(|row| {
        let key = row.key();
        row.busy = jobs
            .iter()
            .find(|(_, job)| job.request.is_about_image(&key))
            .map(|(_, job)| job.request.doing());
    });
    networks.update(|row| {
        row.busy = jobs
            .iter()
            .find(|(_, job)| job.request.is_about_network(&row.network.name))
            .map(|(_, job)| job.request.doing());
    });
    volumes.update(|row| {
        row.busy = jobs
            .iter()
            .find(|(_, job)| job.request.is_about_volume(&row.volume.name))
            .map(|(_, job)| job.request.doing());
    });
}

pub(super) fn on_finished(
    state: &mut State,
    id: JobId,
    outcome: Outcome,
    effects: &mut Vec<Effect>,
) {
    let Some((job, batch)) = state.jobs.finish(id, outcome.clone(), state.now) else {
        return;
    };
    if let Some(done) = state.commands.iter_mut().find(|d| d.job == Some(id)) {
        done.job = None;
        match &outcome {
            Outcome::Failed(failure) => done.error = Some(failure.line.clone()),
            Outcome::Cancelled => done.error = Some("cancelled".to_owned()),
            Outcome::Done | Outcome::Told(_) => {}
        }
    }
    show_busy(state);
    // The journal tells too, but it may be out of reach.
    state.usage.stale |= job.request.is_kept();
    match job.request.pane() {
        Pane::Containers => state.ask_containers(Duration::ZERO, effects),
        Pane::Images => state.ask_images(Duration::ZERO, effects),
        Pane::Volumes => state.ask_volumes(Duration::ZERO, effects),
        Pane::Networks => state.ask_networks(Duration::ZERO, effects),
    }
    if settle_sent(state, id, &outcome) {
        // The dialog tells.
        return;
    }
    let told = match &outcome {
        Outcome::Told(lines) => lines.first().cloned(),
        _ => None,
    };
    let what = format!("{} {}", job.request.done(), job.name);
    let done = job.request.done();
    let balance = batch.clone();
    match (outcome, batch) {
        (Outcome::Failed(failure), _) => on_failed(state, job.request, job.name, failure),
        (Outcome::Cancelled, _) => {
            let text = format!("cancelled: {} {}", job.request.doing(), job.name);
            state.tell(Severity::Info, text);
        }
        // Told below.
        (_, Some(batch)) if !batch.failed.is_empty() => {}
        (_, Some(batch)) if batch.done > 1 => {
            let text = format!("{} {}", job.request.done(), batch.done);
            state.tell(Severity::Good, text);
            on_success(state, job.request, effects);
        }
        (_, Some(_)) => {
            state.tell(Severity::Good, told.unwrap_or(what));
            on_success(state, job.request, effects);
        }
        (Outcome::Done | Outcome::Told(_), None) => on_success(state, job.request, effects),
    }
    if let Some(batch) = balance.filter(|batch| batch.total() > 1) {
        tell_failures(state, done, &batch);
    }
}

/// What of a bulk action was not done: `stopped 3, 2 failed: db, cache`, and in full why.
fn tell_failures(state: &mut State, done: &str, batch: &Batch) {
    const NAMED: usize = 4;
    if batch.failed.is_empty() {
        return;
    }
    let count = batch.failed.len();
    let named: Vec<_> = batch.failed.iter().map(|(name, _)| name.as_str()).collect();
    let more = match count.saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let first = named.get(..NAMED.min(count)).unwrap_or_default().join(", ");
    let line = format!("{done} {}, {count} failed: {first}{more}", batch.done);
    let why = |(name, why): &(String, String)| {
        if why.contains(name) {
            why.clone()
        } else {
            format!("{name}: {why}")
        }
    };
    let whys = batch.failed.iter().map(why);
    state.fail(Failure {
        kind: Kind::Internal,
        hint: None,
        chain: std::iter::once(line.clone()).chain(whys).collect(),
        line,
    });
}

/// What was done lets something else be done.
fn on_success(state: &mut State, request: Request, effects: &mut Vec<Effect>) {
    match request {
        Request::Pull(request) => {
            let name = request.reference.familiar();
            state.pulled.retain(|known| *known != name);
            state.pulled.insert(0, name.clone());
            effects.push(Effect::Remember(name));
        }
        Request::LogIn {
            auth,
            then: Some(then),
            ..
        } => {
            let request = then.with_auth(&auth);
            let name = request.object();
            run(state, vec![(request, name)], effects);
        }
        _ => {}
    }
}

/// What failed may be mended at once: a registry wants to know who we are, a file is in the way.
fn on_failed(state: &mut State, request: Request, name: String, mut failure: Failure) {
    // A dialog that comes up while one types elsewhere would take the keys.
    let at_hand = state.overlays.is_empty() && !state.in_shell();
    let kind = failure.kind;
    let registry = request.registry().map(ToOwned::to_owned);
    if let (Kind::Unauthorized, Some(registry), None) = (kind, &registry, &failure.hint) {
        failure.hint = Some(format!("wharf login {registry}"));
    }
    state.fail(failure);
    match (kind, registry) {
        (Kind::Unauthorized, Some(registry)) if at_hand => {
            let then = match request {
                Request::LogIn { then, .. } => then,
                request => Some(Box::new(request)),
            };
            let form = Form::log_in(registry, then);
            state.overlays.push(Overlay::Form(form));
        }
        (Kind::AlreadyExists, None) if at_hand => {
            super::forms::ask_to_replace(state, request, name);
        }
        _ => {}
    }
}

/// First: asks the job to stop. Second: does not wait for it any longer; its report is then late, and dropped.
pub(super) fn cancel(state: &mut State, id: JobId, effects: &mut Vec<Effect>) {
    let Some(job) = state.jobs.get_mut(id) else {
        return;
    };
    if job.cancelling {
        let name = job.name.clone();
        state.jobs.abandon(id, state.now);
        if let Some(done) = state.commands.iter_mut().find(|d| d.job == Some(id)) {
            done.job = None;
            done.error = Some("not waited for".to_owned());
        }
        show_busy(state);
        state.tell(Severity::Info, format!("not waiting for {name} any longer"));
    } else {
        job.cancelling = true;
        effects.push(Effect::Cancel(id));
    }
}

pub(super) fn quit(state: &mut State, effects: &mut Vec<Effect>) {
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
        typed: None,
    }));
}
