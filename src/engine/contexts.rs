//! SELinux contexts of containers: what a new one asks for, and what is relabelled of the host before one starts, which is its
//! layers, its own files of `/etc`, its volumes, and bind mounts that ask for it.

use std::path::Path;

use super::error::{Attempt, Error, Result};
use super::model::container::VolumeMount;
use super::model::modes::{IpcMode, Modes, PidMode};
use super::model::selinux::{Context, Contexts, LabelOption, Relabel};
use super::model::{Container, Digest, Mount};
use super::runtime::spec::Sources;
use super::runtime::{relabel, selinux};
use super::sys::{self, file};
use super::{Engine, records, volumes};

/// What a container without contexts has.
static NONE: Contexts = Contexts {
    process: String::new(),
    mount: String::new(),
};

/// What is asked of SELinux for a new container, as with Docker: what is given, or else the context of those containers whose
/// processes or IPC objects it sees.
///
/// # Errors
/// Invalid input if those have different contexts; a damaged record.
pub(super) fn options(
    engine: &Engine,
    given: Vec<LabelOption>,
    modes: &Modes,
) -> Result<Vec<LabelOption>> {
    if !given.is_empty() {
        return Ok(given);
    }
    let mut donors = Vec::new();
    if let PidMode::Container(id) = &modes.pid {
        donors.push(id);
    }
    if let IpcMode::Container(id) = &modes.ipc {
        donors.push(id);
    }
    let context = |id: &String| {
        let donor = records::expect(engine.roots(), &engine.resolve(id)?)?;
        Ok(Context::parse(&donor.host.contexts.process))
    };
    shared(
        &donors
            .into_iter()
            .map(context)
            .collect::<Result<Vec<_>>>()?,
    )
}

/// Options that give a container the context that all of those have; none if one has none.
fn shared(donors: &[Option<Context>]) -> Result<Vec<LabelOption>> {
    let Some(all) = donors.iter().cloned().collect::<Option<Vec<Context>>>() else {
        return Ok(Vec::new());
    };
    let Some(first) = all.first() else {
        return Ok(Vec::new());
    };
    if all.iter().any(|other| other != first) {
        return Err(Error::invalid(
            "--ipc and --pid containers SELinux labels aren't the same",
        ));
    }
    let Context {
        user,
        role,
        kind,
        level,
    } = first.clone();
    let level = level.map(LabelOption::Level);
    Ok([
        LabelOption::User(user),
        LabelOption::Role(role),
        LabelOption::Type(kind),
    ]
    .into_iter()
    .chain(level)
    .collect())
}

/// A container's contexts as they were chosen when it was made; none if the host is without SELinux now.
pub(super) fn of(container: &Container) -> &Contexts {
    if sys::selinux::is_on() {
        &container.host.contexts
    } else {
        &NONE
    }
}

/// Gives them to everything that it uses. What has its context already is not written.
///
/// # Errors
/// What may not get another one, and what the kernel says. What was done so far stays.
pub(super) fn apply(
    engine: &Engine,
    container: &Container,
    sources: &Sources,
    contexts: &Contexts,
) -> Result<()> {
    let roots = engine.roots();
    let own = contexts.mount.as_str();
    let live = file::canonical(&roots.live(&container.id))?;
    for name in ["hostname", "hosts", "resolv.conf"] {
        relabel::tree(&live.join(name), own)?;
    }
    if container.layers.is_empty() {
        // It is no overlay, and has no context but that of its files.
        let upper = roots.container(&container.id).join("upper");
        relabel::tree(&file::canonical(&upper)?, own)?;
    }
    if !contexts.process.is_empty() {
        layers(engine, container, &selinux::of_layers(own)?)?;
    }
    let context = Chosen {
        own,
        shared: &selinux::shared(own),
    };
    let passwd = file::read_optional(Path::new("/etc/passwd"))?.unwrap_or_default();
    let homes = relabel::homes(&String::from_utf8_lossy(&passwd));
    for mount in &container.host.mounts {
        match mount {
            Mount::Bind {
                source,
                relabel: Some(wanted),
                ..
            } => relabel::source(Path::new(source), context.of(*wanted), &homes)?,
            Mount::Volume(mount) => volume(engine, mount, sources, &context, &homes)
                .attempt(|| format!("volume {}", mount.name))?,
            Mount::Bind { relabel: None, .. } | Mount::Tmpfs { .. } | Mount::Image(_) => {}
        }
    }
    Ok(())
}

/// A container's context for files, and that of files for all.
struct Chosen<'a> {
    own: &'a str,
    shared: &'a str,
}

impl Chosen<'_> {
    fn of(&self, wanted: Relabel) -> &str {
        match wanted {
            Relabel::Shared => self.shared,
            Relabel::Private => self.own,
        }
    }
}

/// Programs are mapped from the layers themselves, which the kernel looks at when a mapping's protection is changed, whatever
/// context the overlay has. The top of a layer gets its context last: it tells of the whole.
fn layers(engine: &Engine, container: &Container, context: &str) -> Result<()> {
    let of_images = container.host.mounts.iter().flat_map(|mount| match mount {
        Mount::Image(image) => image.layers.as_slice(),
        Mount::Bind { .. } | Mount::Tmpfs { .. } | Mount::Volume(_) => &[],
    });
    let label = |layer: &Digest| {
        let path = file::canonical(&engine.images_store().layer_dir(layer))?;
        relabel::tree_once(&path, context)
    };
    container.layers.iter().chain(of_images).try_for_each(label)
}

/// Its directory is ours and may be shared unless somebody says otherwise; one that the user gave is relabelled if that is
/// asked for.
fn volume(
    engine: &Engine,
    mount: &VolumeMount,
    sources: &Sources,
    context: &Chosen<'_>,
    homes: &[std::path::PathBuf],
) -> Result<()> {
    let from = sources.volumes.get(&mount.name);
    let Some(from) = from.filter(|from| from.kind == "bind") else {
        // A file system of its own has the context of its mount.
        return Ok(());
    };
    let path = Path::new(&from.source);
    let is_ours = path == volumes::data(engine.roots(), &mount.name);
    match mount.relabel {
        None if !is_ours => Ok(()),
        Some(wanted) if !is_ours => relabel::source(path, context.of(wanted), homes),
        wanted => {
            let below = mount.subpath.as_deref().unwrap_or(".");
            let context = context.of(wanted.unwrap_or(Relabel::Shared));
            relabel::inside(path, Path::new(below), context)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_shares_with_others_has_the_context_that_they_have() {
        let texts = |donors: &[&str]| {
            let parsed: Vec<_> = donors.iter().map(|text| Context::parse(text)).collect();
            let options = shared(&parsed).map_err(|error| error.to_string())?;
            Ok(options.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        let is = |donors: &[&str], expect: &[&str]| {
            let expect = expect.iter().map(|text| (*text).to_owned()).collect();
            assert_eq!(texts(donors), Ok::<_, String>(expect), "{donors:?}");
        };
        let all = ["user:u", "role:r", "type:t", "level:s0:c1,c2"];
        is(&["u:r:t:s0:c1,c2"], &all);
        is(&["u:r:t:s0:c1,c2", "u:r:t:s0:c1,c2"], &all);
        is(&["u:r:t"], &["user:u", "role:r", "type:t"]);
        // Without SELinux, or with label=disable.
        is(&[""], &[]);
        is(&["", "u:r:t:s0"], &[]);
        is(&[], &[]);
        let differ = "--ipc and --pid containers SELinux labels aren't the same";
        assert_eq!(
            texts(&["u:r:t:s0", "u:r:t:s0:c1,c2"]),
            Err(differ.to_owned())
        );
    }
}
