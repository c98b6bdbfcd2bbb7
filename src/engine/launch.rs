//! Fills a container's live directory before its monitor starts: specification, plan, files of `/etc`.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use super::Engine;
use super::error::{Error, Kind, Result};
use super::etc_files;
use super::model::log::About;
use super::model::modes::{IpcMode, PidMode};
use super::model::{Container, Mount, NetworkMode};
use super::runtime::launch::Rootfs;
use super::runtime::monitor::{self, Joined, JoinedKind, Mounted, Plan};
use super::runtime::spec::{self, Sources, SpecInput};
use super::runtime::{apparmor, cdi, given_devices};
use super::sys::file::{self, Durability};
use super::sys::node;
use super::{config, contexts, networks, records, store, volumes};

/// The specification's file in the live directory.
pub(super) const SPEC: &str = "config.json";

/// Writes everything that the monitor reads. What is there from an earlier run is replaced.
///
/// # Errors
/// A configuration that cannot be (unknown capability …), or what the file system says; the live directory is then
/// for the caller to remove.
pub(super) fn prepare(engine: &Engine, container: &Container) -> Result<()> {
    let container = &*named(engine, container)?;
    let roots = engine.roots();
    let live = roots.live(&container.id);
    file::create_private_dir(&live)?;
    for (name, content) in etc(container) {
        file::write_public(&live.join(name), content.as_bytes())?;
    }
    let host = engine.spec_host()?;
    let contexts = contexts::of(container);
    let mut sources = sources(engine, container)?;
    if !contexts.mount.is_empty() {
        let empty = live.join("empty");
        file::create_private_dir(&empty)?;
        sources.empty = Some(empty);
        contexts::apply(engine, container, &sources, contexts)?;
    }
    // Told when the container was made; its profile may have gone since.
    let confinement = apparmor::prepare(config::apparmor(
        &container.host.security,
        &container.host.rights,
    ))?;
    let devices = given_devices::look_up(&container.host.rights)?;
    let mut spec = spec::container(SpecInput {
        container,
        live: &live,
        host,
        sources: &sources,
        devices: &devices,
        apparmor: confinement.profile.as_deref(),
        contexts,
    })?;
    let joined = joined(engine, container)?;
    monitor::resolve(&mut spec, &joined)?;
    given_devices::limit(&mut spec, &container.host.resources.devices)?;
    if container.host.keeping.init == Some(true) && container.host.modes.pid == PidMode::Private {
        spec::add_init(&mut spec, &own_binary(engine)?);
    }
    cdi::inject(&mut spec, &container.host.rights.device_requests)?;
    store::write_record(&live.join(SPEC), &spec, Durability::Unsynced)?;
    let mut plan = plan(engine, container)?;
    plan.joined = joined;
    plan.held = volumes::held(engine, container, &sources.volumes);
    plan.attended = monitor::is_attended(&spec);
    plan.write(&live)
}

/// Who shares another's network goes by the other's name, as with Docker.
fn named<'a>(engine: &Engine, container: &'a Container) -> Result<Cow<'a, Container>> {
    let owner_of = |one: &Container| match &one.host.network {
        NetworkMode::Container(other) => {
            let id = engine.resolve(other)?;
            records::expect(engine.roots(), &id).map(Some)
        }
        NetworkMode::None | NetworkMode::Host | NetworkMode::Networks => Ok(None),
    };
    let Some(mut other) = owner_of(container)? else {
        return Ok(Cow::Borrowed(container));
    };
    // It may share a third one's.
    while let Some(next) = owner_of(&other)? {
        other = next;
    }
    let mut named = container.clone();
    named.config.hostname.clone_from(&other.config.hostname);
    named.config.domainname.clone_from(&other.config.domainname);
    Ok(Cow::Owned(named))
}

/// Namespaces of other containers, which must let it in.
fn joined(engine: &Engine, container: &Container) -> Result<Vec<Joined>> {
    let mut all = Vec::new();
    let mut join = |kind, name: &str| -> Result<()> {
        let id = engine.resolve(name)?;
        if kind == JoinedKind::Ipc {
            let donor = records::expect(engine.roots(), &id)?;
            if donor.host.modes.ipc != IpcMode::Shareable {
                return Err(Error::conflict(format!(
                    "can't join IPC of container {id}: non-shareable IPC"
                ))
                .with_hint("start that container with --ipc shareable"));
            }
        }
        all.push(Joined {
            kind,
            live: engine.roots().live(&id),
            id: id.to_string(),
        });
        Ok(())
    };
    if let PidMode::Container(name) = &container.host.modes.pid {
        join(JoinedKind::Pid, name)?;
    }
    if let NetworkMode::Container(name) = &container.host.network {
        join(JoinedKind::Network, name)?;
    }
    if let IpcMode::Container(name) = &container.host.modes.ipc {
        join(JoinedKind::Ipc, name)?;
    }
    Ok(all)
}

/// This program, to be mounted.
fn own_binary(engine: &Engine) -> Result<PathBuf> {
    if let Some(path) = engine.binary() {
        return Ok(path.to_owned());
    }
    let link = Path::new("/proc/self/exe");
    node::read_link(link)?.ok_or_else(|| Error::new(Kind::Internal, "this program has no path"))
}

/// Volumes that go with a `--rm` container.
fn goes_along(engine: &Engine, container: &Container) -> Vec<PathBuf> {
    if container.host.auto_remove {
        volumes::anonymous(engine.roots(), container)
    } else {
        Vec::new()
    }
}

/// Where what is mounted by name comes from now.
pub(super) fn sources(engine: &Engine, container: &Container) -> Result<Sources> {
    Ok(Sources {
        volumes: volumes::sources(engine, container)?,
        layers: engine.roots().layers(),
        empty: None,
    })
}

/// What a container's root file system is made of.
pub(super) fn rootfs(engine: &Engine, container: &Container) -> Rootfs {
    rootfs_in(engine, container, &engine.roots().container(&container.id))
}

/// The same while the container's directory is still another one.
pub(super) fn rootfs_in(engine: &Engine, container: &Container, directory: &Path) -> Rootfs {
    let layer = |id| engine.images_store().layer_dir(id);
    Rootfs::Overlay {
        lower: container.layers.iter().map(layer).collect(),
        upper: directory.join("upper"),
        work: directory.join("work"),
        readonly: container.host.readonly_rootfs,
        volatile: container.host.auto_remove,
    }
}

/// What goes with a `--rm` container, its name first.
pub(super) fn auto_remove(engine: &Engine, container: &Container) -> Option<Vec<PathBuf>> {
    let roots = engine.roots();
    let paths = || {
        let name = roots.names().join(&container.name);
        let markers = volumes::markers(roots, container);
        // The directory is last: what was cut off before is found by it.
        [vec![name], markers, vec![roots.container(&container.id)]].concat()
    };
    container.host.auto_remove.then(paths)
}

fn etc(container: &Container) -> [(&'static str, String); 3] {
    let network = &container.host.network;
    let of_host = |path: &str| {
        let content = file::read_optional(Path::new(path))
            .ok()
            .flatten()
            .unwrap_or_default();
        String::from_utf8_lossy(&content).into_owned()
    };
    let hosts = match network {
        NetworkMode::Host => of_host("/etc/hosts"),
        NetworkMode::None | NetworkMode::Networks | NetworkMode::Container(_) => String::new(),
    };
    [
        ("hostname", format!("{}\n", container.config.hostname)),
        (
            "hosts",
            etc_files::hosts(network, &hosts, &container.host.extra_hosts),
        ),
        (
            "resolv.conf",
            etc_files::resolv_conf(network, &of_host("/etc/resolv.conf"), &container.host.dns),
        ),
    ]
}

fn mounted(container: &Container) -> Vec<Mounted> {
    let volumes = container
        .host
        .mounts
        .iter()
        .filter_map(|mount| match mount {
            Mount::Volume(volume) => Some(Mounted {
                name: volume.name.clone(),
                destination: volume.target.clone(),
                writable: !volume.readonly,
            }),
            Mount::Bind { .. } | Mount::Tmpfs { .. } | Mount::Image(_) => None,
        });
    volumes.collect()
}

fn plan(engine: &Engine, container: &Container) -> Result<Plan> {
    let roots = engine.roots();
    let directory = roots.container(&container.id);
    let log = directory.join("log");
    Ok(Plan {
        version: monitor::PLAN_VERSION,
        id: container.id.clone(),
        name: container.name.clone(),
        image: container.config.image.clone(),
        labels: container.config.labels.clone(),
        state: directory.join(records::STATE),
        events: roots.events(),
        log: log.join("container.log"),
        log_config: container.host.log.clone(),
        log_about: About::of(container),
        rootfs: rootfs(engine, container),
        tty: container.config.tty,
        open_stdin: container.config.open_stdin,
        stdin_once: container.config.stdin_once,
        restart: container.host.restart,
        auto_remove: auto_remove(engine, container),
        mounted: mounted(container),
        volumes: goes_along(engine, container),
        volumes_lock: Some(volumes::making(roots)),
        stop_signal: monitor::stop_signal(container.config.stop_signal.as_deref())?,
        stop_timeout: container.config.stop_timeout.unwrap_or(10),
        attended: false,
        cgroup_parent: container.host.keeping.cgroup_parent.clone(),
        joined: Vec::new(),
        held: Vec::new(),
        networking: networks::plan(engine, container)?,
        health: container.config.healthcheck.clone(),
        shell: container.config.shell.clone(),
    })
}
