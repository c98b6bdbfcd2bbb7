//! Changes to a container that exists: its name, its limits, its restart policy. A monitor that lives is told of them.

use std::sync::Arc;

use oci_spec::runtime::Spec;

use super::containers::{durability, lock};
use super::error::{Error, Kind, Result};
use super::model::{Container, ContainerId, RestartPolicy, Status, request};
use super::records::Truth;
use super::runtime::control::Control;
use super::runtime::monitor::Plan;
use super::runtime::{given_devices, spec};
use super::sys::file::{self, Durability};
use super::{Engine, containers, launch, leftovers, limits, names, networks, records, store};

/// Gives a container another name. The old one is given back last, so that a name always leads somewhere.
pub(super) fn rename(engine: &Engine, id: &ContainerId, name: &str) -> Result<()> {
    let name = name.strip_prefix('/').unwrap_or(name);
    if name.is_empty() {
        return Err(Error::invalid("neither old nor new names may be empty"));
    }
    names::check(name)?;
    let roots = engine.roots();
    let _lock = lock(engine, id)?;
    let before = records::expect(roots, id)?;
    if before.name == name {
        return Err(Error::invalid(
            "renaming a container with the same name as its current name",
        ));
    }
    let _names = names::lock(roots)?;
    names::reserve(roots, name, id)?;
    let after = Container {
        name: name.to_owned(),
        ..(*before).clone()
    };
    if let Err(error) = save(engine, &after).and_then(|()| replan(engine, &after)) {
        let _ = save(engine, &before);
        let _ = names::release(roots, name, id);
        return Err(error);
    }
    networks::rename(roots, &before, name)?;
    names::release(roots, &before.name, id)?;
    if records::load(roots, id)?.is_none() {
        // A `--rm` container that ended meanwhile took the name away that it knew of.
        names::release(roots, name, id)?;
        return Err(records::no_such(id.as_str()));
    }
    engine.note(&after, "rename", &[("oldName", &before.name)]);
    Ok(())
}

/// Takes a link away (`rm --link`): `parent/alias`. What runs keeps its files until its next start.
pub(super) fn unlink(engine: &Engine, text: &str) -> Result<()> {
    let Some((parent, alias)) = text.trim_start_matches('/').split_once('/') else {
        return Err(Error::conflict(format!(
            "conflict, cannot remove the default link name of the container: {text}"
        )));
    };
    let id = engine.resolve(parent)?;
    let _lock = lock(engine, &id)?;
    let mut changed = Container::clone(&*records::expect(engine.roots(), &id)?);
    let is_meant =
        |link: &String| link.split_once(':').map_or(link.as_str(), |(_, own)| own) == alias;
    let links = || Error::not_found(format!("no such link: {text}"));
    let mut networks = changed.host.networks.iter_mut();
    let network = networks.find(|one| one.links.iter().any(is_meant));
    let network = network.ok_or_else(links)?;
    network.links.retain(|link| !is_meant(link));
    save(engine, &changed)
}

/// Changes limits and restart policy. The kernel is asked first: what it refuses changes nothing.
pub(super) fn update(engine: &Engine, id: &ContainerId, request: &request::Update) -> Result<()> {
    let roots = engine.roots();
    let _lock = lock(engine, id)?;
    let before = records::expect(roots, id)?;
    let status = match records::look(roots, id)? {
        Truth::Known(state) => state.status,
        // Nothing of it runs; what becomes of it is for the next look.
        Truth::Orphaned => Status::Exited,
    };
    if matches!(status, Status::Removing | Status::Dead) {
        return Err(Error::conflict(format!(
            "cannot update container {id}: container is marked for removal and cannot be \"update\""
        )));
    }
    let changes_policy = request.restart.is_some_and(|to| to != RestartPolicy::No);
    if before.host.auto_remove && changes_policy {
        return Err(Error::conflict(format!(
            "cannot update container {id}: restart policy cannot be updated because AutoRemove is enabled for the container"
        )));
    }
    let mut after = (*before).clone();
    after.host.resources = limits::changed(&before.host.resources, request)
        .map_err(|error| error.attempting(format!("update container {}", before.name)))?;
    after.host.restart = request.restart.unwrap_or(before.host.restart);

    let undo = match status {
        Status::Running | Status::Paused => apply(engine, &before, request)?,
        Status::Created | Status::Restarting | Status::Exited | Status::Removing | Status::Dead => {
            respecify(engine, &after)?;
            None
        }
    };
    if let Err(error) = save(engine, &after).and_then(|()| replan(engine, &after)) {
        let _ = save(engine, &before);
        if let Some(spec) = undo {
            restore(engine, &before, &spec);
        }
        return Err(error);
    }
    engine.note(&after, "update", &[]);
    Ok(())
}

/// Changes the group of a container that runs, and what its monitor would start it with again. The specification as it
/// was.
fn apply(
    engine: &Engine,
    container: &Container,
    request: &request::Update,
) -> Result<Option<Spec>> {
    let change = spec::change(request)?;
    let path = engine.roots().live(&container.id).join(launch::SPEC);
    let Some(before) = store::read_record::<Spec>(&path)? else {
        return Ok(None);
    };
    let given = before
        .linux()
        .as_ref()
        .and_then(|linux| linux.resources().clone())
        .unwrap_or_default();
    let cgroup = containers::group(engine, container)?;
    let together = cgroup
        .update(&given, &change)
        .map_err(|error| match error.kind() {
            // It has ended since we looked, and its group is going.
            Kind::NotFound => Error::conflict(format!(
                "cannot update container {}: container is not running",
                container.name
            ))
            .with_hint("try again: it has ended just now"),
            _ => error,
        })?;
    let mut after = before.clone();
    if let Some(linux) = after.linux_mut().as_mut() {
        linux.set_resources(Some(together));
    }
    if let Err(error) = write_spec(&path, &after) {
        restore(engine, container, &before);
        return Err(error);
    }
    Ok(Some(before))
}

/// Puts limits back, as far as that goes: the error that led here is the one to tell.
fn restore(engine: &Engine, container: &Container, spec: &Spec) {
    let path = engine.roots().live(&container.id).join(launch::SPEC);
    let _ = write_spec(&path, spec);
    let linux = spec.linux().as_ref();
    if let (Some(resources), Ok(group)) = (
        linux.and_then(|l| l.resources().clone()),
        containers::group(engine, container),
    ) {
        let mut back = resources.clone();
        back.set_devices(None);
        let _ = group.update(&resources, &back);
    }
}

/// Between two runs there is no group: only the next run's specification changes.
fn respecify(engine: &Engine, container: &Container) -> Result<()> {
    let path = engine.roots().live(&container.id).join(launch::SPEC);
    let Some(mut spec) = store::read_record::<Spec>(&path)? else {
        return Ok(());
    };
    if let Some(linux) = spec.linux_mut().as_mut() {
        let mut resources = spec::resources(&container.host.resources)?;
        // They are what the last start found.
        let devices = linux.resources().as_ref().and_then(|r| r.devices().clone());
        resources.set_devices(devices);
        linux.set_resources(Some(resources));
    }
    given_devices::limit(&mut spec, &container.host.resources.devices)?;
    write_spec(&path, &spec)
}

fn write_spec(path: &std::path::Path, spec: &Spec) -> Result<()> {
    forgive_end(store::write_record(path, spec, Durability::Unsynced))
}

pub(super) fn save(engine: &Engine, container: &Container) -> Result<()> {
    let path = engine
        .roots()
        .container(&container.id)
        .join(records::RECORD);
    if file::read_optional(&path)?.is_none() {
        // A `--rm` container that ended meanwhile.
        return Err(records::no_such(container.id.as_str()));
    }
    store::write_record(&path, container, durability(container))
}

/// Brings name and restart policy to the monitor, if there is one.
fn replan(engine: &Engine, container: &Container) -> Result<()> {
    let live = engine.roots().live(&container.id);
    let Some(plan) = Plan::read(&live)? else {
        return Ok(());
    };
    let plan = Plan {
        name: container.name.clone(),
        restart: container.host.restart,
        auto_remove: launch::auto_remove(engine, container),
        ..plan
    };
    forgive_end(plan.write(&live))?;
    let heard = match Control::connect(&live)? {
        Some(mut monitor) => match monitor.reread() {
            Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Unavailable) => false,
            other => other.map(|()| true)?,
        },
        None => false,
    };
    if !heard {
        // One that does not listen is ending, with the plan that it knows: what it leaves is looked at after that.
        leftovers::certain(engine, &Arc::new(container.clone()))?;
    }
    Ok(())
}

/// A container that ends while it is changed needs no change any more.
fn forgive_end(result: Result<()>) -> Result<()> {
    match result {
        Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Unavailable) => Ok(()),
        other => other,
    }
}
