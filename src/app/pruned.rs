//! Prunes: what would go, and what did. What was shown goes and nothing else; what somebody has come to use meanwhile stays, and that is
//! told.

use super::jobs::Request;
use super::overlay::{Plan, Unused};
use super::perform::removed_line;
use crate::engine::Engine;
use crate::engine::error::Result;
use crate::engine::model::image::Removed;
use crate::engine::model::registry::{Prunable, PrunableContainer};
use crate::engine::model::volume::VolumeUsage;
use crate::engine::model::{request, units};

/// What a prune would take, and the request that takes that and no more.
pub(super) fn plan(engine: &Engine, what: Unused) -> Result<Plan> {
    Ok(match what {
        Unused::Images(mut request) => {
            let plan = engine.plan_prune_images(&request)?;
            let seen = plan.images.iter();
            request.only = Some(seen.map(|i| (i.id.clone(), i.tags.clone())).collect());
            let row = |image: &Prunable| {
                let mut names: Vec<_> = image.tags.iter().map(String::as_str).collect();
                // Names with a digest are told only where there is no better one.
                if names.iter().any(|name| !name.contains('@')) {
                    names.retain(|name| !name.contains('@'));
                }
                let names = if names.is_empty() {
                    "<none>".to_owned()
                } else {
                    names.join(", ")
                };
                (names, image.id.short().to_owned())
            };
            Plan {
                rows: plan.images.iter().map(row).collect(),
                reclaimed: plan.reclaimed,
                request: Request::PruneImages(request),
            }
        }
        Unused::Containers => {
            let mut request = request::PruneContainers::default();
            let all = engine.plan_prune_containers(&request)?;
            request.only = Some(all.iter().map(|c| c.id.clone()).collect());
            let row = |c: &PrunableContainer| (c.name.clone(), units::human_size_short(c.size));
            Plan {
                rows: all.iter().map(row).collect(),
                reclaimed: all.iter().map(|container| container.size).sum(),
                request: Request::PruneContainers(request),
            }
        }
        Unused::Volumes(mut request) => {
            let all = engine.plan_prune_volumes(&request)?;
            let seen = all.iter().map(|usage| &usage.volume);
            let seen = seen.map(|volume| (volume.name.clone(), volume.created));
            request.only = Some(seen.collect());
            let row = |usage: &VolumeUsage| {
                let size = units::human_size_short(usage.size);
                (usage.volume.name.clone(), size)
            };
            Plan {
                rows: all.iter().map(row).collect(),
                reclaimed: all.iter().map(|usage| usage.size).sum(),
                request: Request::PruneVolumes(request),
            }
        }
    })
}

/// Removes images; what was done, line by line.
pub(super) fn images(engine: &Engine, request: &request::PruneImages) -> Result<Vec<String>> {
    let pruned = engine.prune_images(request)?;
    let gone = |id: &_| {
        let mut removed = pruned.removed.iter();
        removed.any(|step| matches!(step, Removed::Deleted(gone) if gone == id))
    };
    let seen = request.only.iter().flatten();
    let count = seen.clone().filter(|(id, _)| gone(id)).count();
    let kept = seen.filter(|(id, _)| !gone(id));
    // What somebody else has removed is not kept.
    let kept = kept.filter(|(id, _)| engine.image(id.as_str()).is_ok());
    let kept = kept.map(|(id, names)| {
        let name = names.first().map_or_else(|| id.short(), String::as_str);
        format!("Kept: {name}: it is in use by now, or has another name")
    });
    let removed = pruned.removed.iter().map(removed_line);
    Ok(told("image", count, pruned.reclaimed, kept, removed))
}

/// Removes containers; what was done, line by line.
pub(super) fn containers(
    engine: &Engine,
    request: &request::PruneContainers,
) -> Result<Vec<String>> {
    let pruned = engine.prune_containers(request)?;
    let seen = request.only.iter().flatten();
    let kept = seen.filter(|id| !pruned.removed.contains(id));
    let kept = kept.filter_map(|id| {
        let summary = engine.container(id).ok()?;
        let (name, status) = (&summary.container.name, summary.state.status.as_str());
        Some(format!("Kept: {name}: it is {status} by now"))
    });
    let count = pruned.removed.len();
    let removed = pruned.removed.iter().map(|id| format!("Deleted: {id}"));
    Ok(told("container", count, pruned.reclaimed, kept, removed))
}

/// Removes volumes; what was done, line by line.
pub(super) fn volumes(engine: &Engine, request: &request::PruneVolumes) -> Result<Vec<String>> {
    let pruned = engine.prune_volumes(request)?;
    let seen = request.only.iter().flatten();
    let kept = seen.filter(|(name, _)| !pruned.removed.contains(name));
    let kept = kept.filter(|(name, _)| engine.volume(name).is_ok());
    let kept = kept.map(|(name, _)| format!("Kept: {name}: a container has it by now"));
    let count = pruned.removed.len();
    let removed = pruned.removed.iter().map(|name| format!("Deleted: {name}"));
    Ok(told("volume", count, pruned.reclaimed, kept, removed))
}

/// The most important first: how many went and what that gave back, then what stayed and why, then what went.
fn told(
    what: &str,
    count: usize,
    reclaimed: u64,
    kept: impl Iterator<Item = String>,
    removed: impl Iterator<Item = String>,
) -> Vec<String> {
    let kept: Vec<_> = kept.collect();
    let size = units::human_size_short(reclaimed);
    let plural = if count == 1 { "" } else { "s" };
    let stayed = match kept.len() {
        0 => String::new(),
        many => format!("; {many} kept: in use by now (& tells which)"),
    };
    let first = format!("pruned {count} {what}{plural}: {size} given back{stayed}");
    std::iter::once(first).chain(kept).chain(removed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stayed_is_told_before_what_went() {
        let lines = |kept: &[&str]| {
            let own = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
            let kept = own(kept).into_iter();
            told(
                "image",
                1,
                1_500_000,
                kept,
                own(&["Deleted: b"]).into_iter(),
            )
        };
        assert_eq!(
            lines(&[]),
            ["pruned 1 image: 1.5MB given back", "Deleted: b"]
        );
        assert_eq!(
            lines(&["Kept: a"]),
            [
                "pruned 1 image: 1.5MB given back; 1 kept: in use by now (& tells which)",
                "Kept: a",
                "Deleted: b"
            ]
        );
    }
}
