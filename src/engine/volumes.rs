//! Volumes of the local driver: made, listed, removed, and given to containers.
//!
//! ```text
//! volumes/<name>/volume.json   the record
//!               /_data         what is in it
//!               /users/<id>    an empty file for each container that has it
//! ```
//!
//! Whether a volume may be removed is asked of the containers' records. The files in `users` are for those who cannot ask:
//! a monitor that removes its `--rm` container removes an anonymous volume with it if it was the last.
//!
//! Who makes a container holds the lock `volumes` together with others until its record is there; who removes volumes
//! holds it alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::error::{Attempt, Error, Result};
use super::model::container::VolumeMount;
use super::model::volume::{self, PrunedVolumes, Volume, VolumeUsage};
use super::model::{Container, ContainerId, Event, Mount, Timestamp, event, request};
use super::runtime::monitor::{self, Held};
use super::runtime::spec::VolumeSource;
use super::store::{self, Roots};
use super::sys::file::{self, Durability, Lock};
use super::sys::{maker, measure};
use super::{Engine, containers, records};

/// A volume's record, within its directory.
const RECORD: &str = "volume.json";
/// Its data.
const DATA: &str = "_data";
/// Who has it.
const USERS: &str = "users";

/// Where a volume's own data is.
pub(super) fn data(roots: &Roots, name: &str) -> PathBuf {
    roots.volume(name).join(DATA)
}

/// Makes a volume; one of that name that is there is kept.
pub(super) fn create(engine: &Engine, request: &request::CreateVolume) -> Result<Volume> {
    let _lock = hold(engine)?;
    let _making = file::lock(&making(engine.roots()))?;
    let mut request = request.clone();
    if request.name.is_empty() {
        request.name = containers::new_id().to_string();
        request
            .labels
            .insert(volume::ANONYMOUS.to_owned(), String::new());
    }
    ensure(engine, &request).map(|(volume, _)| volume)
}

/// Its holder makes a volume, or says who has one, or takes one away that nobody has any more: short work, so that a monitor
/// may wait for it.
pub(super) fn making(roots: &Roots) -> PathBuf {
    roots.lock("volumes.make")
}

/// The volume of that name, made if it is missing; whether it was. The caller holds [`making`].
fn ensure(engine: &Engine, request: &request::CreateVolume) -> Result<(Volume, bool)> {
    check_name(&request.name)?;
    check_options(&request.options)?;
    let roots = engine.roots();
    if let Some(there) = load(roots, &request.name)? {
        return Ok((there, false));
    }
    let volume = Volume {
        version: volume::RECORD_VERSION,
        name: request.name.clone(),
        created: Timestamp::now(),
        labels: request.labels.clone(),
        options: request.options.clone(),
    };
    file::create_private_dir(&roots.volumes())?;
    let stage = roots
        .volumes()
        .join(format!(".new-{}-{}", maker::own(), volume.name));
    let made =
        fill(&stage, &volume).and_then(|()| file::rename(&stage, &roots.volume(&volume.name)));
    if let Err(error) = made {
        let _ = file::remove_tree(&stage);
        return Err(error.attempting(format!("create volume {}", volume.name)));
    }
    note(engine, "create", &volume.name);
    Ok((volume, true))
}

fn fill(stage: &Path, volume: &Volume) -> Result<()> {
    file::create_private_dir(stage)?;
    file::create_dir_like(&stage.join(DATA), None)?;
    file::create_private_dir(&stage.join(USERS))?;
    store::write_record(&stage.join(RECORD), volume, Durability::Synced)
}

/// Docker's rule of names.
fn check_name(name: &str) -> Result<()> {
    if name.len() < 2 {
        return Err(Error::invalid(
            "volume name is too short, names should be at least two alphanumeric characters",
        ));
    }
    let first = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    let rest = name
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'));
    // With room for what is put around it in file names.
    if first && rest && name.len() <= 200 {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "create {name}: {name:?} includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path"
    )))
}

/// Docker's rules of the local driver's options.
fn check_options(options: &BTreeMap<String, String>) -> Result<()> {
    for key in options.keys() {
        match key.as_str() {
            "type" | "o" | "device" => {}
            "size" => {
                return Err(Error::unsupported(
                    "volume option \"size\": quotas are not supported",
                ));
            }
            other => return Err(Error::invalid(format!("invalid option: {other:?}"))),
        }
    }
    let has = |key: &str| options.get(key).is_some_and(|value| !value.is_empty());
    for (key, needs) in [("type", "device"), ("device", "type"), ("o", "device")] {
        if has(key) && !has(needs) {
            return Err(Error::invalid(format!(
                "missing required option: {needs:?}"
            )));
        }
    }
    Ok(())
}

fn load(roots: &Roots, name: &str) -> Result<Option<Volume>> {
    if check_name(name).is_err() {
        return Ok(None);
    }
    store::read_record(&roots.volume(name).join(RECORD))
}

/// One volume.
pub(super) fn get(engine: &Engine, name: &str) -> Result<Volume> {
    load(engine.roots(), name)?.ok_or_else(|| no_such(name))
}

fn no_such(name: &str) -> Error {
    Error::not_found(format!("get {name}: no such volume"))
}

/// All volumes, by name.
pub(super) fn list(engine: &Engine) -> Result<Vec<Volume>> {
    let mut volumes = Vec::new();
    for name in file::list_dir(&engine.roots().volumes())? {
        // What has a dot in front is being made or removed.
        volumes.extend(load(engine.roots(), &name)?);
    }
    Ok(volumes)
}

/// Which containers have which volume.
pub(super) fn users(engine: &Engine) -> Result<BTreeMap<String, Vec<ContainerId>>> {
    let mut users: BTreeMap<String, Vec<ContainerId>> = BTreeMap::new();
    for id in records::ids(engine.roots())? {
        let Some(container) = records::load(engine.roots(), &id)? else {
            continue;
        };
        for mount in named(&container) {
            users
                .entry(mount.name.clone())
                .or_default()
                .push(id.clone());
        }
    }
    Ok(users)
}

/// A container's volumes.
fn named(container: &Container) -> impl Iterator<Item = &VolumeMount> {
    container
        .host
        .mounts
        .iter()
        .filter_map(|mount| match mount {
            Mount::Volume(volume) => Some(volume),
            Mount::Bind { .. } | Mount::Tmpfs { .. } | Mount::Image(_) => None,
        })
}

/// What all volumes take.
pub(super) fn usage(engine: &Engine) -> Result<Vec<VolumeUsage>> {
    let users = users(engine)?;
    list(engine)?
        .into_iter()
        .map(|volume| {
            let links = users.get(&volume.name).map_or(0, Vec::len);
            Ok(VolumeUsage {
                links: u64::try_from(links).unwrap_or(u64::MAX),
                size: measure::tree(&data(engine.roots(), &volume.name))?,
                volume,
            })
        })
        .collect()
}

/// Removes a volume that no container has, with what is in it. Data that its options take from elsewhere stays there.
pub(super) fn remove(engine: &Engine, name: &str) -> Result<()> {
    let _lock = hold_alone(engine)?;
    let volume = get(engine, name)?;
    if let Some(users) = users(engine)?.get(name) {
        let ids: Vec<&str> = users.iter().map(ContainerId::as_str).collect();
        return Err(Error::conflict(format!(
            "remove {name}: volume is in use - [{}]",
            ids.join(", ")
        )));
    }
    discard(engine, &volume)
}

fn discard(engine: &Engine, volume: &Volume) -> Result<()> {
    monitor::remove_directory(&engine.roots().volume(&volume.name))
        .attempt(|| format!("remove volume {}", volume.name))?;
    note(engine, "destroy", &volume.name);
    Ok(())
}

/// Removes volumes that no container has: anonymous ones, or all.
pub(super) fn prune(engine: &Engine, request: &request::PruneVolumes) -> Result<PrunedVolumes> {
    let _lock = hold_alone(engine)?;
    clear_stages(engine);
    let mut pruned = PrunedVolumes::default();
    for volume in prunable(engine, request)? {
        let bytes = measure::tree(&data(engine.roots(), &volume.name))?;
        discard(engine, &volume)?;
        pruned.removed.push(volume.name);
        pruned.reclaimed = pruned.reclaimed.saturating_add(bytes);
    }
    super::prune::note(engine, event::Kind::Volume, pruned.reclaimed);
    Ok(pruned)
}

/// What a prune would take now.
pub(super) fn plan_prune(
    engine: &Engine,
    request: &request::PruneVolumes,
) -> Result<Vec<VolumeUsage>> {
    let _lock = hold(engine)?;
    prunable(engine, request)?
        .into_iter()
        .map(|volume| {
            Ok(VolumeUsage {
                links: 0,
                size: measure::tree(&data(engine.roots(), &volume.name))?,
                volume,
            })
        })
        .collect()
}

/// Volumes that no container has and that fit. The caller holds them where they are.
fn prunable(engine: &Engine, request: &request::PruneVolumes) -> Result<Vec<Volume>> {
    let users = users(engine)?;
    let mut volumes = list(engine)?;
    volumes.retain(|volume| fits(volume, request) && !users.contains_key(&volume.name));
    Ok(volumes)
}

fn fits(volume: &Volume, request: &request::PruneVolumes) -> bool {
    let has = |wanted: &String| match wanted.split_once('=') {
        Some((key, value)) => volume.labels.get(key).is_some_and(|own| own == value),
        None => volume.labels.contains_key(wanted),
    };
    // One that was made anew under the name is another.
    let seen = |only: &Vec<(String, Timestamp)>| {
        let same = |(name, created): &(String, Timestamp)| {
            *name == volume.name && *created == volume.created
        };
        only.iter().any(same)
    };
    (request.all || volume.is_anonymous())
        && request.only.as_ref().is_none_or(seen)
        && request.labels.iter().all(has)
        && !request.not_labels.iter().any(has)
}

/// What processes that were killed have left. Best effort: the next one tries again.
fn clear_stages(engine: &Engine) {
    let volumes = engine.roots().volumes();
    let _ = monitor::sweep(&volumes);
    for name in file::list_dir(&volumes).unwrap_or_default() {
        let by = name
            .strip_prefix(".new-")
            .and_then(|rest| rest.split('-').next());
        if by.and_then(maker::is_at_work) == Some(false) {
            let _ = file::remove_tree(&volumes.join(name));
        }
    }
}

/// Keeps every volume where it is until the guard is dropped.
pub(super) fn hold(engine: &Engine) -> Result<Lock> {
    file::lock_shared(&engine.roots().lock("volumes"))
}

fn hold_alone(engine: &Engine) -> Result<Lock> {
    file::lock(&engine.roots().lock("volumes"))
}

/// Everything that is mounted in a new container: what was asked for, what other containers have, and the image's volumes
/// where nothing else is. Volumes without a name get one.
pub(super) fn mounts(
    engine: &Engine,
    request: &request::Create,
    of_image: &[String],
) -> Result<Vec<Mount>> {
    let mut mounts = request.mounts.clone();
    // The last one that brings a target counts.
    for from in request.volumes_from.iter().rev() {
        let other = records::resolve(engine.roots(), &from.container)
            .and_then(|id| records::expect(engine.roots(), &id))?;
        for mount in &other.host.mounts {
            if matches!(mount, Mount::Tmpfs { .. }) {
                continue;
            }
            let at = mounts.iter().position(|own| own.target() == mount.target());
            let given = || {
                let mut mount = mount.clone().restricted(from.readonly);
                // What is in it is the other one's affair.
                if let Mount::Volume(volume) = &mut mount {
                    volume.nocopy = true;
                }
                mount.relabelled(from.relabel)
            };
            match at.and_then(|at| mounts.get_mut(at)) {
                None => mounts.push(given()),
                // A target alone asks for any volume there: the other container's is one.
                Some(own) if is_any_volume(own) => *own = given(),
                Some(_) => {}
            }
        }
    }
    for path in of_image {
        let target = format!("/{}", path.trim_matches('/'));
        if !mounts.iter().any(|own| own.target() == target) {
            mounts.push(Mount::Volume(VolumeMount {
                target,
                ..VolumeMount::default()
            }));
        }
    }
    for mount in &mut mounts {
        if let Mount::Volume(volume) = mount
            && volume.name.is_empty()
        {
            volume.name = containers::new_id().to_string();
            volume.anonymous = true;
        }
    }
    Ok(mounts)
}

/// `-v TARGET`.
fn is_any_volume(mount: &Mount) -> bool {
    matches!(mount, Mount::Volume(volume) if volume.name.is_empty() && !volume.long)
}

/// Makes a new container's volumes that are not there yet, and says that it has them. `made` gets the new ones' names, also
/// on failure: they are for [`withdraw`].
pub(super) fn provide(
    engine: &Engine,
    container: &Container,
    made: &mut Vec<String>,
) -> Result<()> {
    for mount in named(container) {
        let mut labels = mount.labels.clone();
        if mount.anonymous {
            labels.insert(volume::ANONYMOUS.to_owned(), String::new());
        }
        let request = request::CreateVolume {
            name: mount.name.clone(),
            labels,
            options: mount.options.clone(),
        };
        // Until the container is among its users, another one's failure or end could take it away.
        let _making = file::lock(&making(engine.roots()))?;
        let (_, new) = ensure(engine, &request)?;
        if new {
            made.push(mount.name.clone());
        }
        let user = marker(engine.roots(), mount, container);
        file::create_private_dir(user.parent().unwrap_or(&user))
            .and_then(|()| file::open_to_append(&user))
            .attempt(|| format!("use volume {}", mount.name))?;
    }
    Ok(())
}

/// A container that could not be made gives its volumes back; those that were made for it go, unless another one has taken
/// them meanwhile.
pub(super) fn withdraw(engine: &Engine, container: &Container, made: &[String]) {
    let roots = engine.roots();
    let Ok(_making) = file::lock(&making(roots)) else {
        return;
    };
    release(roots, container);
    for name in made {
        let volume = roots.volume(name);
        if monitor::leave(&volume.join(USERS)).is_ok_and(|left| left) {
            let _ = monitor::remove_directory(&volume);
        }
    }
}

/// Gives back what a container had that was never finished: all that is known of it is its id. Volumes without a name that
/// were made for it go. `false` if somebody is busy with volumes right now.
pub(super) fn forget(engine: &Engine, id: &ContainerId) -> Result<bool> {
    let roots = engine.roots();
    let Some(_making) = file::try_lock(&making(roots))? else {
        return Ok(false);
    };
    for name in file::list_dir(&roots.volumes())? {
        let users = roots.volume(&name).join(USERS);
        let user = users.join(id.as_str());
        if !user.exists() {
            continue;
        }
        file::remove_file(&user)?;
        let alone = load(roots, &name)?.is_some_and(|volume| volume.is_anonymous());
        if alone && monitor::leave(&users)? {
            monitor::remove_directory(&roots.volume(&name))?;
        }
    }
    Ok(true)
}

/// A container that is removed has its volumes no longer. They stay.
pub(super) fn release(roots: &Roots, container: &Container) {
    for mount in named(container) {
        // Nobody but a monitor asks for it, and that finds one file too many at worst.
        let _ = file::remove_file(&marker(roots, mount, container));
    }
}

/// The file that says that a container has a volume.
fn marker(roots: &Roots, mount: &VolumeMount, container: &Container) -> PathBuf {
    let users = roots.volume(&mount.name).join(USERS);
    users.join(container.id.as_str())
}

/// Those of volumes that somebody named: they go with a `--rm` container, the volumes stay.
pub(super) fn markers(roots: &Roots, container: &Container) -> Vec<PathBuf> {
    named(container)
        .filter(|mount| !mount.anonymous)
        .map(|mount| marker(roots, mount, container))
        .collect()
}

/// Directories of the volumes that go with a container: those that nobody named.
pub(super) fn anonymous(roots: &Roots, container: &Container) -> Vec<PathBuf> {
    named(container)
        .filter(|mount| mount.anonymous)
        .map(|mount| roots.volume(&mount.name))
        .collect()
}

/// Removes the anonymous volumes of a container that is gone, where it was the last that had them.
pub(super) fn remove_anonymous(engine: &Engine, container: &Container) -> Result<()> {
    let names: Vec<&VolumeMount> = named(container).filter(|mount| mount.anonymous).collect();
    if names.is_empty() {
        return Ok(());
    }
    let _lock = hold_alone(engine)?;
    let users = users(engine)?;
    for mount in names {
        if !users.contains_key(&mount.name)
            && let Some(volume) = load(engine.roots(), &mount.name)?
        {
            discard(engine, &volume)?;
        }
    }
    Ok(())
}

/// Where a container's volumes come from, by name.
pub(super) fn sources(
    engine: &Engine,
    container: &Container,
) -> Result<BTreeMap<String, VolumeSource>> {
    named(container)
        .map(|mount| {
            let volume = get(engine, &mount.name)?;
            Ok((mount.name.clone(), source(engine.roots(), &volume)))
        })
        .collect()
}

/// A container's volumes that are in memory.
pub(super) fn held(
    engine: &Engine,
    container: &Container,
    sources: &BTreeMap<String, VolumeSource>,
) -> Vec<Held> {
    let is_tmpfs = |mount: &&VolumeMount| {
        let source = sources.get(&mount.name);
        source.is_some_and(|source| source.kind == "tmpfs")
    };
    named(container)
        .filter(is_tmpfs)
        .map(|mount| Held {
            users: engine.roots().volume(&mount.name).join(USERS),
            target: PathBuf::from(&mount.target),
            lock: engine.roots().lock(&format!("memory-{}", mount.name)),
        })
        .collect()
}

fn source(roots: &Roots, volume: &Volume) -> VolumeSource {
    let option = |key: &str| volume.options.get(key).cloned().unwrap_or_default();
    let (kind, device) = (option("type"), option("device"));
    let options: Vec<String> = option("o")
        .split(',')
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect();
    let binds = |word: &String| word == "bind" || word == "rbind";
    if device.is_empty() {
        return VolumeSource {
            kind: "bind".to_owned(),
            source: data(roots, &volume.name).display().to_string(),
            options: Vec::new(),
        };
    }
    let is_bind = options.iter().any(binds);
    VolumeSource {
        kind: if is_bind { "bind".to_owned() } else { kind },
        source: device,
        options: options.into_iter().filter(|word| !binds(word)).collect(),
    }
}

/// Volumes of a new container that begin with what its image has at their place: their data directory is empty.
pub(super) fn to_fill<'a>(
    engine: &Engine,
    container: &'a Container,
) -> Result<Vec<(&'a VolumeMount, PathBuf)>> {
    let mut found = Vec::new();
    for mount in named(container) {
        if mount.nocopy || mount.subpath.is_some() {
            continue;
        }
        let source = source(engine.roots(), &get(engine, &mount.name)?);
        let path = PathBuf::from(&source.source);
        if source.kind == "bind" && is_empty(&path)? {
            found.push((mount, path));
        }
    }
    Ok(found)
}

fn is_empty(path: &Path) -> Result<bool> {
    // One that cannot be looked at is for the start to tell of.
    let Ok(dir) = super::sys::at::Dir::open(path) else {
        return Ok(false);
    };
    Ok(dir.names()?.is_empty())
}

fn note(engine: &Engine, action: &str, name: &str) {
    engine.append(&Event {
        time: Timestamp::now(),
        kind: event::Kind::Volume,
        action: action.to_owned(),
        id: name.to_owned(),
        attributes: [("driver".to_owned(), "local".to_owned())].into(),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_options_are_dockers() {
        for bad in ["", "a", "a/b", "../x", ".x", "a b", &"x".repeat(201)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
        check_name("web_data-1.2").unwrap();
        let check = |pairs: &[(&str, &str)]| {
            let options = pairs
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
            check_options(&options.collect()).map_err(|error| error.to_string())
        };
        assert_eq!(check(&[]), Ok(()));
        assert_eq!(
            check(&[("type", "none"), ("device", "/x"), ("o", "bind")]),
            Ok(())
        );
        assert_eq!(
            check(&[("type", "tmpfs")]),
            Err("missing required option: \"device\"".to_owned())
        );
        assert_eq!(
            check(&[("foo", "1")]),
            Err("invalid option: \"foo\"".to_owned())
        );
        assert!(check(&[("size", "1g")]).unwrap_err().contains("quotas"));
    }

    #[test]
    fn a_volume_is_its_own_directory_or_what_its_options_say() {
        let roots = Roots {
            data: "/d".into(),
            run: "/r".into(),
        };
        let volume = |pairs: &[(&str, &str)]| Volume {
            version: volume::RECORD_VERSION,
            name: "web".to_owned(),
            created: Timestamp::UNIX_EPOCH,
            labels: BTreeMap::new(),
            options: pairs
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
        };
        let own = source(&roots, &volume(&[]));
        assert_eq!(
            (own.kind.as_str(), own.source.as_str()),
            ("bind", "/d/volumes/web/_data")
        );
        let bound = source(
            &roots,
            &volume(&[("type", "none"), ("device", "/x"), ("o", "bind,ro")]),
        );
        assert_eq!((bound.kind.as_str(), bound.source.as_str()), ("bind", "/x"));
        assert_eq!(bound.options, ["ro"]);
        let fs = source(
            &roots,
            &volume(&[
                ("type", "tmpfs"),
                ("device", "tmpfs"),
                ("o", "size=1m,uid=7"),
            ]),
        );
        assert_eq!((fs.kind.as_str(), fs.options.len()), ("tmpfs", 2));
    }
}
