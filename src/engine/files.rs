//! The files of a container as a whole: what has changed, the archive, the image that is made of them, their size.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Arc;

use oci_spec::runtime::Spec;

use super::error::{Attempt, Error, Kind, Result};
use super::images::changes::{self, Changes};
use super::images::pack::{Packer, Writer};
use super::images::snapshot::Snapshot;
use super::model::container::{Change, Sizes};
use super::model::digest::ImageId;
use super::model::{Cancel, Container, ContainerId, ContainerSummary, Status, request};
use super::runtime::spec;
use super::runtime::view::{self, Reach};
use super::sys::at::Dir;
use super::sys::measure;
use super::sys::rooted::Rooted;
use super::{Engine, containers, launch, leftovers, records};

/// Where the engine mounts its own file systems and files, which it makes mount points for.
const MOUNTED: &[&str] = &[
    "dev",
    "etc/hostname",
    "etc/hosts",
    "etc/resolv.conf",
    "proc",
    "sys",
];

/// What differs from the image.
pub(super) fn list_changes(engine: &Engine, id: &ContainerId) -> Result<Vec<Change>> {
    let container = records::expect(engine.roots(), id)?;
    with_changes(engine, &container, |changes| {
        let list = changes.list()?;
        Ok(list)
    })
}

fn with_changes<T>(
    engine: &Engine,
    container: &Container,
    work: impl FnOnce(&Changes<'_>) -> Result<T>,
) -> Result<T> {
    let upper = Dir::open(&engine.roots().container(&container.id).join("upper"))?;
    let layers = &container.layers;
    let paths: Vec<_> = layers
        .iter()
        .map(|layer| engine.images_store().layer_dir(layer))
        .collect();
    let lowers = changes::open_layers(&paths)?;
    let mounted: BTreeSet<Vec<u8>> = MOUNTED
        .iter()
        .map(|path| path.as_bytes().to_vec())
        .collect();
    work(&Changes {
        upper: &upper,
        lowers: &lowers,
        mounted: &mounted,
    })
}

/// Writes the root file system, without what is mounted in it, as an archive.
pub(super) fn export(
    engine: &Engine,
    id: &ContainerId,
    out: &mut (dyn Write + Send),
    cancel: &Cancel,
) -> Result<()> {
    let container = records::expect(engine.roots(), id)?;
    with_root(engine, id, Reach::Alone, |root| {
        let root = Dir::reopen(std::os::fd::AsFd::as_fd(root), std::path::Path::new("/"))?;
        let mut writer = Writer::new(out, cancel);
        Packer::new(&mut writer).tree(&root, b"")?;
        writer.finish()
    })
    .attempt(|| format!("export {}", container.name))?;
    engine.note(&container, "export", &[]);
    Ok(())
}

/// Makes an image of a container. One that runs is paused meanwhile if that was asked for.
pub(super) fn commit(
    engine: &Engine,
    id: &ContainerId,
    request: &request::Commit,
    cancel: &Cancel,
) -> Result<ImageId> {
    let summary = containers::get(engine, id)?;
    let status = summary.state.status;
    if matches!(status, Status::Removing | Status::Dead) {
        return Err(Error::conflict(format!(
            "you cannot commit container {id} which is {}",
            status.as_str()
        )));
    }
    let paused = request.pause && status == Status::Running;
    if paused {
        match containers::pause(engine, id) {
            // It has just ended: then nothing changes any more.
            Err(error) if matches!(error.kind(), Kind::Conflict | Kind::Unavailable) => {}
            other => other?,
        }
    }
    let made = snapshot(engine, &summary.container, request, cancel);
    if paused {
        // It may have ended, or been unpaused by somebody else.
        let _ = containers::unpause(engine, id);
    }
    let image = made.attempt(|| format!("commit {}", summary.container.name))?;
    let name = request.reference.as_ref().map(ToString::to_string);
    engine.note(
        &summary.container,
        "commit",
        &[
            ("comment", &request.message),
            ("imageID", image.as_str()),
            ("imageRef", &name.unwrap_or_default()),
        ],
    );
    Ok(image)
}

fn snapshot(
    engine: &Engine,
    container: &Arc<Container>,
    request: &request::Commit,
    cancel: &Cancel,
) -> Result<ImageId> {
    let snapshot = Snapshot {
        base: &container.image,
        config: &container.config,
        request,
    };
    let write = Box::new(|out: &mut dyn Write| {
        with_changes(engine, container, |changes| {
            let mut writer = Writer::new(out, cancel);
            changes.pack(&mut writer)?;
            let entries = writer.entries();
            writer.finish()?;
            Ok(entries)
        })
    });
    engine.images_store().snapshot(snapshot, write, cancel)
}

/// Bytes that a container has written, and with its image.
pub(super) fn sizes(engine: &Engine, container: &Container) -> Result<Sizes> {
    let own = measure::tree(&engine.roots().container(&container.id).join("upper"))?;
    // An image that was removed by force is not known any more: its layers are.
    let image = match engine.images_store().resolve(container.image.as_str()) {
        Ok(image) => image.summary.size,
        Err(error) if error.kind() == Kind::NotFound => 0,
        Err(error) => return Err(error),
    };
    Ok(Sizes {
        own,
        all: image.saturating_add(own),
    })
}

/// Works in the root of a container, as its processes see it, or as they would.
pub(super) fn with_root<T: Send>(
    engine: &Engine,
    id: &ContainerId,
    reach: Reach,
    work: impl FnOnce(&Rooted) -> Result<T> + Send,
) -> Result<T> {
    let summary = containers::get(engine, id)?;
    if let Some(root) = running(&summary, reach)? {
        return work(&root);
    }
    let lock = containers::lock(engine, id)?;
    let container = loop {
        let state = leftovers::at_rest(engine, &summary.container)?;
        let live = state.status.is_live();
        let container = records::expect(engine.roots(), id)?;
        let summary = ContainerSummary {
            container,
            state,
            endpoints: Vec::new(),
        };
        // It may have been started while we came for the lock; what runs does not need it.
        if let Some(root) = running(&summary, reach)? {
            drop(lock);
            return work(&root);
        }
        if !live {
            break summary.container;
        }
        // It has just ended: its monitor is still at it.
        leftovers::await_monitor(engine, id)?;
    };
    let container = &container;
    let mut spec = Spec::default();
    spec.set_mounts(Some(match reach {
        Reach::Alone => Vec::new(),
        Reach::Everything => spec::bound(container, &launch::sources(engine, container)?)?,
    }));
    let cgroup = containers::group(engine, container)?;
    view::of_layers(&launch::rootfs(engine, container), &spec, &cgroup, work)
}

/// The root of a container that has a process.
fn running(summary: &ContainerSummary, reach: Reach) -> Result<Option<Rooted>> {
    let state = &summary.state;
    match (state.status, state.pid) {
        (Status::Running | Status::Paused, Some(pid)) => {
            match view::of_process(pid, state.pid_start, reach) {
                // It has just ended.
                Err(error) if error.kind() == Kind::Conflict => Ok(None),
                other => other.map(Some),
            }
        }
        (Status::Restarting, _) => Err(Error::conflict(format!(
            "container {} is restarting, wait until the container is running",
            summary.container.id
        ))),
        (Status::Removing, _) => Err(records::no_such(summary.container.id.as_str())),
        _ => Ok(None),
    }
}
