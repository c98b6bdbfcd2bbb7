//! Removes what nothing uses: containers that do not run.

use super::error::{Kind, Result};
use super::model::registry::{PrunableContainer, PrunedContainers};
use super::model::{Container, ContainerId, ContainerSummary, Event, Timestamp, event, request};
use super::sys::file::{self, Sweep};
use super::sys::measure;
use super::{Engine, containers};

/// Removes all that do not run and fit the filters. One that is started meanwhile, or that somebody else removes, is
/// passed over.
pub(super) fn containers(
    engine: &Engine,
    request: &request::PruneContainers,
) -> Result<PrunedContainers> {
    let mut pruned = PrunedContainers::default();
    for summary in containers::list(engine)? {
        let container = &summary.container;
        let roots = engine.roots();
        // What was killed while it wrote; all else goes with the container.
        for dir in [roots.container(&container.id), roots.live(&container.id)] {
            let _ = file::sweep_temporary(&dir, Sweep::Remove);
        }
        if !goes(&summary, request) {
            continue;
        }
        let bytes = written(engine, container);
        match containers::remove(engine, &container.id, request::Remove::default()) {
            Ok(()) => {
                pruned.removed.push(container.id.clone());
                pruned.reclaimed = pruned.reclaimed.saturating_add(bytes);
            }
            Err(error) if matches!(error.kind(), Kind::Conflict | Kind::NotFound) => {}
            Err(error) => return Err(error),
        }
    }
    note(engine, event::Kind::Container, pruned.reclaimed);
    Ok(pruned)
}

/// What a prune would take now.
pub(super) fn plan_containers(
    engine: &Engine,
    request: &request::PruneContainers,
) -> Result<Vec<PrunableContainer>> {
    let mut all = containers::list(engine)?;
    all.retain(|summary| goes(summary, request));
    let prunable = |summary: ContainerSummary| PrunableContainer {
        id: summary.container.id.clone(),
        name: summary.container.name.clone(),
        size: written(engine, &summary.container),
    };
    Ok(all.into_iter().map(prunable).collect())
}

fn goes(summary: &ContainerSummary, request: &request::PruneContainers) -> bool {
    !summary.state.status.is_live() && fits(&summary.container, request)
}

/// Bytes of its writable layer, as far as they can be counted.
fn written(engine: &Engine, container: &Container) -> u64 {
    let directory = engine.roots().container(&container.id);
    measure::tree(&directory.join("upper")).unwrap_or(0)
}

fn fits(container: &Container, request: &request::PruneContainers) -> bool {
    let labels = &container.config.labels;
    let has = |wanted: &String| match wanted.split_once('=') {
        Some((key, value)) => labels.get(key).is_some_and(|own| own == value),
        None => labels.contains_key(wanted),
    };
    let seen = |only: &Vec<ContainerId>| only.contains(&container.id);
    request.until.is_none_or(|until| container.created < until)
        && request.only.as_ref().is_none_or(seen)
        && request.labels.iter().all(has)
        && !request.not_labels.iter().any(has)
}

/// One event for all that went.
pub(super) fn note(engine: &Engine, kind: event::Kind, reclaimed: u64) {
    engine.append(&Event {
        time: Timestamp::now(),
        kind,
        action: "prune".to_owned(),
        id: String::new(),
        attributes: [("reclaimed".to_owned(), reclaimed.to_string())].into(),
    });
}
