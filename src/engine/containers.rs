//! The order of the world for one container: image, root file system, files of `/etc`, monitor; and back.

use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use oci_spec::runtime::Spec;

use super::error::{Attempt, Error, Kind, Result};
use super::images::User;
use super::model::log::Driver;
use super::model::modes::{IpcMode, Modes, PidMode};
use super::model::{
    Cancel, Container, ContainerId, ContainerSummary, Digest, Mount, NetworkMode, Platform,
    RestartPolicy, State, Status, container, event, request, signal,
};
use super::runtime::cgroup::Cgroup;
use super::runtime::channel::{ExecRequest, Exit, Session};
use super::runtime::control::{self, Control, Spawn};
use super::runtime::{apparmor, exec, monitor, mounts, selinux, spec, view};
use super::store::{self, Roots};
use super::sys::file::{self, Durability, Lock};
use super::sys::host;
use super::sys::rooted;
use super::{
    AttachTo, Created, Engine, config, contexts, journal_log, launch, leftovers,
    leftovers::LiveDirectories, limits, logs, names, networks, records, records::Truth, teardown,
    user_ids, volumes, working_dir,
};

/// Exit code of a container whose monitor was killed: its init got SIGKILL (128 + 9).
const EXIT_KILLED: i32 = 137;

pub(super) const SIGKILL: i32 = 9;

/// How long a process that was killed may take to end, as with Docker.
const DYING: Duration = Duration::from_secs(10);

/// All containers, newest first. Orphans are recovered on the way, and what a killed `create` left is cleared away.
pub(super) fn list(engine: &Engine) -> Result<Vec<ContainerSummary>> {
    leftovers::clear(engine);
    let mut live = LiveDirectories::list(engine.roots())?;
    let mut rows = Vec::new();
    for (container, resting) in read_all(engine.roots(), &live)? {
        let state = resting.map_or_else(|| state_of(engine, &container), Ok);
        match state {
            Ok(state) => {
                live.settle(engine, &container, state.status.is_live());
                rows.push(summary(engine, container, state));
            }
            // Removed while we looked.
            Err(error) if error.kind() == Kind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    live.finish(engine);
    rows.sort_by_key(|row| std::cmp::Reverse(row.container.created));
    Ok(rows)
}

/// A record, and the state of a container that rests.
type Read = Result<Option<(Arc<Container>, Option<State>)>>;

/// So many records are read faster by one thread than others are made.
const FEW: usize = 100;

/// All records, with the state of those containers that have no live directory and are not said to run: nobody is at them, and
/// nothing else is to be asked. Many are read by all processors.
fn read_all(roots: &Roots, live: &LiveDirectories) -> Result<Vec<(Arc<Container>, Option<State>)>> {
    let read = |id: &ContainerId| -> Read {
        let Some(container) = records::load(roots, id)? else {
            return Ok(None);
        };
        if live.has(id) {
            return Ok(Some((container, None)));
        }
        let state = records::durable(roots, id)?;
        let rests = !state.status.is_live() && state.status != Status::Removing;
        Ok(Some((container, rests.then_some(state))))
    };
    let ids = records::ids(roots)?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    if ids.len() <= FEW || threads == 1 {
        return ids.iter().filter_map(|id| read(id).transpose()).collect();
    }
    let mut parts = ids.chunks(ids.len().div_ceil(threads));
    let read_part = |part: &[ContainerId]| part.iter().map(read).collect::<Vec<Read>>();
    let all: Vec<Read> = std::thread::scope(|scope| {
        let own = parts.next().unwrap_or_default();
        let running: Vec<_> = parts
            .map(|part| scope.spawn(move || read_part(part)))
            .collect();
        let own = read_part(own);
        let ended = running.into_iter().map(|thread| {
            let failed = |_| {
                vec![Err(Error::new(
                    Kind::Internal,
                    "a reader of records failed",
                ))]
            };
            thread.join().unwrap_or_else(failed)
        });
        own.into_iter().chain(ended.flatten()).collect()
    });
    all.into_iter().filter_map(Result::transpose).collect()
}

/// One container with its state.
pub(super) fn get(engine: &Engine, id: &ContainerId) -> Result<ContainerSummary> {
    let container = records::expect(engine.roots(), id)?;
    let state = state_of(engine, &container)?;
    Ok(summary(engine, container, state))
}

fn summary(engine: &Engine, container: Arc<Container>, state: State) -> ContainerSummary {
    let endpoints = if state.status.is_live() {
        networks::connected(engine.roots(), &container.id)
    } else {
        Vec::new()
    };
    ContainerSummary {
        container,
        state,
        endpoints,
    }
}

/// The state as it is now; an orphan is recovered first.
fn state_of(engine: &Engine, container: &Arc<Container>) -> Result<State> {
    match records::look(engine.roots(), &container.id)? {
        Truth::Known(state) if state.status == Status::Removing => {
            finish_removal(engine, container, state)
        }
        Truth::Known(state) => Ok(state),
        Truth::Orphaned => recover(engine, container),
    }
}

/// A removal that was cut off half-way is finished, unless somebody is at it right now.
fn finish_removal(engine: &Engine, container: &Container, state: State) -> Result<State> {
    let lock = file::try_lock(&lock_path(engine, &container.id));
    // Somebody has just finished it.
    let lock = lock.map_err(|error| no_such_if_gone(&container.id, error))?;
    let Some(_lock) = lock else {
        return Ok(state);
    };
    let errors = teardown::remove(engine.roots(), container);
    if errors.is_empty() {
        return Err(records::no_such(container.id.as_str()));
    }
    Ok(State {
        status: Status::Dead,
        ..state
    })
}

/// A container's group.
pub(super) fn group(engine: &Engine, container: &Container) -> Result<Cgroup> {
    let parent = &container.host.keeping.cgroup_parent;
    Ok(engine.hierarchy()?.container(parent, &container.id))
}

/// Makes a container. On failure nothing of it is left.
pub(super) fn create(engine: &Engine, request: &request::Create) -> Result<Created> {
    config::validate(request)?;
    if let Some(name) = &request.name {
        names::check(name)?;
    }
    // An image must not be removed between its look-up and the record that says it is in use.
    let _images = engine.images_store().hold()?;
    let image = engine.images_store().resolve(&request.image)?;
    if let Some(wanted) = &request.platform {
        check_platform(wanted, &image.summary.platform, &request.image)?;
    }
    let confinement = apparmor::prepare(config::apparmor(&request.security, &request.rights))?;
    let modes = known_modes(engine, &request.modes)?;
    // What cannot be is refused here; which categories it gets is decided when it gets its name.
    let labels = contexts::options(engine, config::labels(request), &modes)?;
    let choice = selinux::choose(&labels, || Ok(BTreeSet::new()))?;
    prepare_bind_sources(&request.mounts)?;
    // Nor a volume; an exclusive holder of this lock asks the records.
    let _volumes = volumes::hold(engine)?;
    let attachments = networks::resolve(engine, request)?;
    let mut asked = volumes::mounts(engine, request, &image.config.volumes)?;
    find_images(engine, &mut asked)?;
    limits::check_host(request, engine.hierarchy()?.version())?;

    let id = engine.next_id();
    let mut container = Container {
        version: container::RECORD_VERSION,
        id: id.clone(),
        name: request.name.clone().unwrap_or_default(),
        created: jiff::Timestamp::now(),
        image: image.summary.id.clone(),
        platform: image.summary.platform.clone(),
        layers: image
            .layers
            .iter()
            .rev()
            .map(|layer| layer.chain_id.clone())
            .collect(),
        config: config::merge(request, &image, &id, &host::uname().node)?,
        host: config::host_config(request),
    };
    container.host.mounts = asked;
    container.host.networks = attachments;
    if let NetworkMode::Container(name) = &mut container.host.network {
        *name = engine.resolve(name)?.to_string();
    }
    container.host.modes = modes;
    container.host.security.labels = labels;
    // Made under a name that no look-up sees, and renamed when it is whole.
    let stage = leftovers::stage(engine.roots(), &id);
    let mut made = Vec::new();
    match make(engine, container.clone(), &stage, &mut made) {
        Ok(container) => {
            engine.note(&container, "create", &[]);
            Ok(Created {
                id,
                warnings: confinement
                    .warning
                    .into_iter()
                    .chain(choice.warning)
                    .collect(),
            })
        }
        Err(error) => {
            volumes::withdraw(engine, &container, &made);
            let _ = file::remove_tree(&stage);
            Err(error)
        }
    }
}

/// Other containers are known by their ids from now on: they may be renamed.
fn known_modes(engine: &Engine, asked: &Modes) -> Result<Modes> {
    let mut modes = asked.clone();
    if let PidMode::Container(name) = &mut modes.pid {
        *name = engine.resolve(name)?.to_string();
    }
    if let IpcMode::Container(name) = &mut modes.ipc {
        *name = engine.resolve(name)?.to_string();
    }
    Ok(modes)
}

/// Image mounts learn which layers they are.
fn find_images(engine: &Engine, mounts: &mut [Mount]) -> Result<()> {
    for mount in mounts {
        let Mount::Image(mount) = mount else { continue };
        if mount.layers.is_empty() {
            let image = engine.images_store().resolve(&mount.image)?;
            let chains = image.layers.iter().rev();
            mount.layers = chains.map(|layer| layer.chain_id.clone()).collect();
        }
    }
    Ok(())
}

/// Volumes begin with what the image has at their place (CVE-2022-23648: resolved inside the image's root).
fn fill_volumes(engine: &Engine, container: &Container, stage: &Path) -> Result<()> {
    let wanted = volumes::to_fill(engine, container)?;
    if wanted.is_empty() {
        return Ok(());
    }
    let rootfs = launch::rootfs_in(engine, container, stage);
    let mut spec = Spec::default();
    spec.set_mounts(Some(Vec::new()));
    let cgroup = group(engine, container)?;
    view::of_layers(&rootfs, &spec, &cgroup, |root| {
        for (volume, data) in &wanted {
            let target = Path::new(&volume.target);
            let Some(found) = root.resolve_optional(target)? else {
                continue;
            };
            if rooted::is_dir(found.as_fd(), target)? {
                mounts::copy_up::directory(found.as_fd(), data, target)
                    .attempt(|| format!("fill volume {}", volume.name))?;
            } else if volume.anonymous {
                return Err(Error::invalid(format!(
                    "cannot mount volume over existing file, file exists {}",
                    volume.target
                )));
            }
        }
        Ok(())
    })
}

/// The steps of `create` that leave something on disk.
fn make(
    engine: &Engine,
    mut container: Container,
    stage: &Path,
    made: &mut Vec<String>,
) -> Result<Container> {
    file::create_private_dir(stage)?;
    let lowest = container
        .layers
        .first()
        .map(|top| engine.roots().layers().join(top.hex()).join("fs"));
    file::create_dir_like(&stage.join("upper"), lowest.as_deref())?;
    for part in ["work", "log"] {
        file::create_private_dir(&stage.join(part))?;
    }
    volumes::provide(engine, &container, made)?;
    working_dir::make(engine, &container, stage)?;
    fill_volumes(engine, &container, stage)?;
    let _names = names::lock(engine.roots())?;
    if container.name.is_empty() {
        container.name = free_name(engine)?;
    }
    let labels = &container.host.security.labels;
    let taken = || levels(engine);
    container.host.contexts = selinux::choose(labels, taken)?.contexts;
    container.host.ids = user_ids::choose(engine, container.host.modes.users)?;
    names::reserve(engine.roots(), &container.name, &container.id)?;
    let appeared = store::write_record(
        &stage.join(records::RECORD),
        &container,
        durability(&container),
    )
    .and_then(|()| file::rename(stage, &engine.roots().container(&container.id)));
    if let Err(error) = appeared {
        let _ = names::release(engine.roots(), &container.name, &container.id);
        return Err(error);
    }
    Ok(container)
}

/// The SELinux levels that containers have. The lock on names keeps others from taking one meanwhile.
fn levels(engine: &Engine) -> Result<BTreeSet<String>> {
    let mut levels = BTreeSet::new();
    for id in records::ids(engine.roots())? {
        if let Some(container) = records::load(engine.roots(), &id)? {
            levels.extend(selinux::level(&container.host.contexts));
        }
    }
    Ok(levels)
}

fn free_name(engine: &Engine) -> Result<String> {
    for attempt in 0..100 {
        let name = names::generate(u64::from_le_bytes(host::random_bytes()), attempt);
        let taken = names::owner(engine.roots(), &name)?.is_some_and(|owner| {
            engine
                .roots()
                .container(&owner)
                .join(records::RECORD)
                .exists()
        });
        if !taken {
            return Ok(name);
        }
    }
    Err(Error::conflict("every made-up name is taken").with_hint("give one with --name"))
}

/// Starts a container; one that runs is left alone.
pub(super) fn start(
    engine: &Engine,
    id: &ContainerId,
    attach: Option<AttachTo>,
) -> Result<Option<Session>> {
    let lock = lock(engine, id)?;
    let container = records::expect(engine.roots(), id)?;
    let state = leftovers::at_rest(engine, &container)?;
    // A `--rm` container that has just ended is gone now.
    let Some(container) = records::load(engine.roots(), id)? else {
        return Err(records::no_such(id.as_str()));
    };
    match state.status {
        Status::Running | Status::Restarting => {
            drop(lock);
            return attach.map(|to| self::attach(engine, id, to)).transpose();
        }
        Status::Paused => {
            return Err(Error::conflict(
                "cannot start a paused container, try unpause instead",
            ));
        }
        Status::Removing | Status::Dead => {
            return Err(Error::conflict(format!(
                "container {} is marked for removal and cannot be started",
                container.name
            )));
        }
        Status::Created | Status::Exited => {}
    }
    launch_locked(engine, &container, 0, attach)
}

/// The start itself; the caller holds the lock and knows that the container does not run.
fn launch_locked(
    engine: &Engine,
    container: &Container,
    restart_count: u32,
    attach: Option<AttachTo>,
) -> Result<Option<Session>> {
    let live = engine.roots().live(&container.id);
    if let Err(error) = launch::prepare(engine, container) {
        // Nobody else knows of this directory yet.
        let _ = file::remove_tree(&live);
        return Err(error);
    }
    if attach.is_some() {
        engine.note(container, "attach", &[]);
    }
    let started = match engine.take_spare(&container.id) {
        Some(waiting) => waiting.start(attach, restart_count),
        None => control::spawn(&Spawn {
            program: engine.binary(),
            live: &live,
            attach,
            restart_count,
        }),
    };
    started.map(|started| started.session)
}

/// Joins a running container's streams.
pub(super) fn attach(engine: &Engine, id: &ContainerId, to: AttachTo) -> Result<Session> {
    let summary = get(engine, id)?;
    match summary.state.status {
        Status::Running | Status::Restarting => {}
        Status::Paused => {
            return Err(Error::conflict("cannot attach to a paused container")
                .with_hint("unpause it first"));
        }
        Status::Created | Status::Exited | Status::Removing | Status::Dead => {
            return Err(
                Error::conflict("cannot attach to a stopped container").with_hint("start it first")
            );
        }
    }
    let session = monitor_of(engine, &summary)?.attach(to)?;
    engine.note(&summary.container, "attach", &[]);
    Ok(session)
}

/// Stops a container and waits until it is over; one that does not run is left alone.
pub(super) fn stop(
    engine: &Engine,
    id: &ContainerId,
    request: &request::Stop,
    keep: Keep,
) -> Result<()> {
    let summary = get(engine, id)?;
    let number = request.signal.as_ref().map(|text| {
        signal::parse(text).ok_or_else(|| Error::invalid(format!("invalid signal: {text}")))
    });
    let number = number.transpose()?;
    stop_by(engine, summary, |control| {
        control
            .stop(number, request.timeout, keep == Keep::ForRestart)
            .map(|_exit| ())
    })
}

/// Asks the monitor of the day until the container is over.
fn stop_by(
    engine: &Engine,
    mut summary: ContainerSummary,
    ask: impl Fn(Control) -> Result<()>,
) -> Result<()> {
    let id = summary.container.id.clone();
    let mut deadline = Instant::now() + leftovers::PATIENCE;
    while Instant::now() < deadline {
        if !summary.state.status.is_live() {
            return Ok(());
        }
        if let Some(control) = Control::connect(&engine.roots().live(&id))? {
            match ask(control) {
                Ok(()) => return Ok(()),
                // However long that took: it is over, or one monitor later.
                Err(error) if error.kind() == Kind::Unavailable => {
                    deadline = Instant::now() + leftovers::PATIENCE;
                }
                Err(error) => {
                    return Err(error.attempting(format!("stop {}", summary.container.name)));
                }
            }
        }
        // Over already, or its monitor was killed: a look settles which, and may start it again by its policy.
        leftovers::await_monitor(engine, &id)?;
        summary = match get(engine, &id) {
            Err(error) if error.kind() == Kind::NotFound => return Ok(()),
            other => other?,
        };
    }
    Err(Error::conflict(format!(
        "container {} was started again while it was being stopped",
        summary.container.name
    )))
}

/// How often something is tried again because others get in between, before that is an error.
const TURNS: usize = 10;

/// Whether a `--rm` container survives this stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// It is stopped for good.
    AsConfigured,
    /// It will be started again.
    ForRestart,
}

/// Stops and starts.
pub(super) fn restart(engine: &Engine, id: &ContainerId, request: &request::Stop) -> Result<()> {
    stop(engine, id, request, Keep::ForRestart)?;
    start(engine, id, None)?;
    if let Some(container) = records::load(engine.roots(), id)? {
        engine.note(&container, "restart", &[]);
    }
    Ok(())
}

/// Sends a signal to the main process.
pub(super) fn kill(engine: &Engine, id: &ContainerId, number: i32) -> Result<()> {
    let summary = get(engine, id)?;
    let not_running = || {
        Error::conflict(format!(
            "cannot kill container: {0}: container {id} is not running",
            summary.container.name
        ))
    };
    if !matches!(
        summary.state.status,
        Status::Running | Status::Paused | Status::Restarting
    ) {
        return Err(not_running());
    }
    let mut control = Control::connect(&engine.roots().live(id))?.ok_or_else(not_running)?;
    match control.signal(number) {
        // It has just ended, or its monitor was killed, and the container with it.
        Err(error) if error.kind() == Kind::Unavailable => {
            get_if_there(engine, id)?;
            return Err(not_running());
        }
        other => other?,
    }
    if number != SIGKILL {
        return Ok(());
    }
    // As Docker: whoever killed it finds it ended, and may remove it.
    match control.watch().and_then(|watch| watch.wait_at_most(DYING)) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Error::new(
            Kind::Timeout,
            format!(
                "kill {}: it was killed and has not ended",
                summary.container.name
            ),
        )),
        // Its monitor was killed as well: a look settles the rest.
        Err(error) if error.kind() == Kind::Unavailable => get_if_there(engine, id),
        Err(error) => Err(error),
    }
}

/// A look at a container that may be gone.
fn get_if_there(engine: &Engine, id: &ContainerId) -> Result<()> {
    match get(engine, id) {
        Err(error) if error.kind() != Kind::NotFound => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Freezes.
pub(super) fn pause(engine: &Engine, id: &ContainerId) -> Result<()> {
    let summary = get(engine, id)?;
    match summary.state.status {
        Status::Running => monitor_of(engine, &summary)?.pause(),
        Status::Paused => Err(Error::conflict(format!("container {id} is already paused"))),
        Status::Restarting => Err(Error::conflict(format!(
            "container {id} is restarting, wait until the container is running"
        ))),
        Status::Created | Status::Exited | Status::Removing | Status::Dead => {
            Err(Error::conflict(format!("container {id} is not running")))
        }
    }
}

/// Thaws.
pub(super) fn unpause(engine: &Engine, id: &ContainerId) -> Result<()> {
    let summary = get(engine, id)?;
    if summary.state.status != Status::Paused {
        return Err(Error::conflict(format!("container {id} is not paused")));
    }
    monitor_of(engine, &summary)?.unpause()
}

/// Removes a container and everything of it.
pub(super) fn remove(engine: &Engine, id: &ContainerId, request: request::Remove) -> Result<()> {
    let summary = get(engine, id)?;
    let name = &summary.container.name;
    let mut live = summary.state.status.is_live();
    let is = |status: Status| {
        let status = status.as_str();
        let text = format!("cannot remove container \"{name}\": container is {status}");
        Error::conflict(text).with_hint("stop the container before removing or force remove")
    };
    if live && !request.force {
        return Err(is(summary.state.status));
    }
    for _ in 0..TURNS {
        if live {
            let summary = match get(engine, id) {
                Err(error) if error.kind() == Kind::NotFound => return Ok(()),
                other => other?,
            };
            stop_by(engine, summary, |control| {
                leftovers::end(engine, id, control)
            })?;
        }
        if remove_at_rest(engine, id, request)? {
            return Ok(());
        }
        if !request.force {
            return Err(is(Status::Running));
        }
        live = true;
    }
    Err(Error::conflict(format!(
        "container {name} was started again while it was being removed"
    )))
}

/// Removes a container that does not run; `false` if it does, after all.
fn remove_at_rest(engine: &Engine, id: &ContainerId, request: request::Remove) -> Result<bool> {
    // A `--rm` container goes by itself when it is stopped, which may be before we look, or while.
    let _lock = match lock(engine, id) {
        Err(error) if error.kind() == Kind::NotFound => return Ok(true),
        other => other?,
    };
    let container = records::expect(engine.roots(), id)?;
    if leftovers::at_rest(engine, &container)?.status.is_live() {
        return Ok(false);
    }
    if let Some(container) = records::load(engine.roots(), id)? {
        remove_locked(engine, &container)?;
        if request.volumes {
            volumes::remove_anonymous(engine, &container)?;
        }
    }
    Ok(true)
}

/// The removal itself; the caller holds the lock and knows that the container does not run.
fn remove_locked(engine: &Engine, container: &Container) -> Result<()> {
    let roots = engine.roots();
    let before = records::durable(roots, &container.id)?;
    let removing = State {
        status: Status::Removing,
        ..before
    };
    store::write_record(
        &roots.container(&container.id).join(records::STATE),
        &removing,
        Durability::Unsynced,
    )?;
    let errors = teardown::remove(roots, container);
    teardown::outcome(errors, format!("remove container {}", container.name))?;
    engine.note(container, "destroy", &[]);
    // The image may have been removed by force while this container still needed its layers.
    let image = engine.images_store().resolve(container.image.as_str());
    if image.is_err_and(|error| error.kind() == Kind::NotFound) {
        engine.images_store().collect(&|| layers_in_use(engine))?;
    }
    Ok(())
}

/// Waits until the container does not run, if only until its policy runs it again; `None` when cancelled.
pub(super) fn wait(engine: &Engine, id: &ContainerId, cancel: &Cancel) -> Result<Option<Exit>> {
    let summary = get(engine, id)?;
    if summary.state.status.is_live()
        && let Some(control) = Control::connect(&engine.roots().live(id))?
    {
        match control.watch().and_then(|watch| watch.wait(cancel)) {
            Ok(exit) => return Ok(exit),
            // The monitor was killed: recovery knows how it ended.
            Err(error) if error.kind() == Kind::Unavailable => {}
            Err(error) => return Err(error),
        }
    }
    let state = get(engine, id)?.state;
    Ok(Some(Exit {
        code: state.exit_code,
        oom_killed: state.oom_killed,
    }))
}

/// A container whose records say that it runs although nobody watches it: ends what is left, records it, applies the
/// restart policy.
fn recover(engine: &Engine, container: &Arc<Container>) -> Result<State> {
    let _lock = lock(engine, &container.id)?;
    match records::look(engine.roots(), &container.id)? {
        // Somebody else was faster.
        Truth::Known(state) => Ok(state),
        Truth::Orphaned => {
            let (ended, restart) = settle(engine, container)?;
            // A `--rm` container is gone now.
            records::expect(engine.roots(), &container.id)?;
            let Some(restart_count) = restart else {
                return Ok(ended);
            };
            // Where it cannot be started again its state says why, and the look that found it goes on.
            if let Err(error) = launch_locked(engine, container, restart_count, None) {
                tracing::warn!(%error, "a container could not be restarted");
            }
            match records::look(engine.roots(), &container.id)? {
                Truth::Known(state) => Ok(state),
                Truth::Orphaned => Ok(ended),
            }
        }
    }
}

/// Ends what an orphan left and writes down how it ended; the restart count if its policy wants it started again. The
/// caller holds the lock.
pub(super) fn settle(engine: &Engine, container: &Container) -> Result<(State, Option<u32>)> {
    let roots = engine.roots();
    let recovered = monitor::recover(
        &roots.live(&container.id),
        &mut super::attacher::Attacher::default(),
    )
    .attempt(|| format!("recover container {}", container.name))?;
    if let Some(recovered) = recovered {
        return Ok((recovered.state, recovered.restart));
    }
    let last = records::durable(roots, &container.id)?;
    if !last.status.is_live() {
        return Ok((last, None));
    }
    // It ran when the host went down, or the run root was wiped under it: then its group is still there.
    let cgroup = group(engine, container)?;
    cgroup.kill_all()?;
    cgroup.remove()?;
    let mut ended = State {
        status: Status::Exited,
        pid: None,
        pid_start: 0,
        monitor: None,
        exit_code: EXIT_KILLED,
        finished_at: Some(jiff::Timestamp::now()),
        ..last
    };
    ended.end_health();
    store::write_record(
        &roots.container(&container.id).join(records::STATE),
        &ended,
        durability(container),
    )?;
    if container.host.auto_remove {
        remove_locked(engine, container)?;
        volumes::remove_anonymous(engine, container)?;
    }
    let again = restarts_after_reboot(container.host.restart, &ended);
    Ok((ended, again.then_some(0)))
}

/// What the policy says after the host went down with the container running (Docker's: as after a daemon's restart).
fn restarts_after_reboot(policy: RestartPolicy, ended: &State) -> bool {
    match policy {
        RestartPolicy::No => false,
        RestartPolicy::Always => true,
        RestartPolicy::UnlessStopped | RestartPolicy::OnFailure { .. } => !ended.stopped_by_user,
    }
}

/// The monitor of a container that was live a moment ago.
fn monitor_of(engine: &Engine, summary: &ContainerSummary) -> Result<Control> {
    let id = &summary.container.id;
    Control::connect(&engine.roots().live(id))?
        .ok_or_else(|| Error::conflict(format!("container {id} is not running")))
}

pub(super) fn lock_path(engine: &Engine, id: &ContainerId) -> std::path::PathBuf {
    engine.roots().container(id).join("lock")
}

/// Waits for a container's lock; `NotFound` in Docker's words if it is gone.
pub(super) fn lock(engine: &Engine, id: &ContainerId) -> Result<Lock> {
    let lock = file::lock(&lock_path(engine, id)).map_err(|error| no_such_if_gone(id, error))?;
    // It may have been removed while we waited.
    records::expect(engine.roots(), id)?;
    Ok(lock)
}

/// A lock that is not there is that of a container that went meanwhile.
fn no_such_if_gone(id: &ContainerId, error: Error) -> Error {
    match error.kind() {
        Kind::NotFound => records::no_such(id.as_str()),
        _ => error,
    }
}

/// Records of containers that do not outlive their exit need not survive a power cut either.
pub(super) fn durability(container: &Container) -> Durability {
    if container.host.auto_remove {
        Durability::Unsynced
    } else {
        Durability::Synced
    }
}

pub(super) fn new_id() -> ContainerId {
    loop {
        if let Some(id) = ContainerId::from_random(host::random_bytes()) {
            return id;
        }
    }
}

fn check_platform(wanted: &Platform, found: &Platform, name: &str) -> Result<()> {
    if wanted.rank(found).is_some() {
        return Ok(());
    }
    Err(Error::not_found(format!(
        "image {name} is for {found}, not for the requested platform {wanted}"
    )))
}

/// `-v` makes a missing source directory; `--mount` and files need theirs to be there.
fn prepare_bind_sources(mounts: &[Mount]) -> Result<()> {
    for mount in mounts {
        let Mount::Bind {
            source,
            create_source,
            ..
        } = mount
        else {
            continue;
        };
        let path = Path::new(source);
        if path.symlink_metadata().is_ok() && path.metadata().is_ok() {
            continue;
        }
        if !create_source {
            return Err(Error::invalid(format!(
                "invalid mount config for type \"bind\": bind source path does not exist: {source}"
            ))
            .with_hint("create it first, or use -v, which makes a directory"));
        }
        file::create_dir_all(path).attempt(|| format!("create bind source {source}"))?;
    }
    Ok(())
}

/// Runs a command in a running container.
pub(super) fn run_exec(
    engine: &Engine,
    id: &ContainerId,
    request: &request::Exec,
) -> Result<Session> {
    let summary = get(engine, id)?;
    if request.cmd.is_empty() {
        return Err(Error::invalid("no exec command specified"));
    }
    match summary.state.status {
        Status::Running => {}
        Status::Paused => {
            return Err(Error::conflict(format!(
                "container {id} is paused, unpause the container before exec"
            )));
        }
        Status::Restarting => {
            return Err(Error::conflict(format!(
                "container {id} is restarting, wait until the container is running"
            )));
        }
        Status::Created | Status::Exited | Status::Removing | Status::Dead => {
            return Err(Error::conflict(format!("container {id} is not running")));
        }
    }
    let live = engine.roots().live(id);
    let spec: Spec = store::read_record(&live.join(launch::SPEC))?
        .ok_or_else(|| Error::conflict(format!("container {id} is not running")))?;
    let exec = ExecRequest {
        process: spec::exec_process(&spec, request)?,
        attach: Some(AttachTo {
            stdin: request.stdin,
            stdout: true,
            stderr: true,
            size: request.size,
        }),
        exec_id: new_id().to_string(),
    };
    let started = exec::exec(engine.binary(), &live, exec)?;
    started
        .session
        .ok_or_else(|| Error::new(Kind::Internal, "exec: no session"))
}

/// Opens the log.
pub(super) fn open_log(
    engine: &Engine,
    id: &ContainerId,
    request: &request::Logs,
) -> Result<logs::Log> {
    let container = records::expect(engine.roots(), id)?;
    let live = engine.roots().live(id);
    let alive = move || control::monitor_alive(&live).is_ok_and(|pid| pid.is_some());
    let path = engine
        .roots()
        .container(id)
        .join("log")
        .join("container.log");
    match container.host.log.driver {
        Driver::JsonFile | Driver::Local => logs::open(&path, request, alive).map(logs::Log::File),
        Driver::Journald => journal_log::open(id, request, alive).map(logs::Log::Journal),
        driver @ (Driver::Syslog | Driver::None) => Err(Error::unsupported(format!(
            "read the log of {}: configured logging driver {} does not support reading",
            container.name,
            driver.as_str()
        ))),
    }
}

/// Which containers use an image. Only looks: the image store is locked meanwhile, and recovery might need it.
pub(super) fn users_of(engine: &Engine, image: &Digest) -> Result<Vec<User>> {
    let mut users = Vec::new();
    for container in recorded(engine)?
        .iter()
        .filter(|container| container.image == *image)
    {
        let running = match records::look(engine.roots(), &container.id)? {
            Truth::Known(state) => state.status.is_live(),
            Truth::Orphaned => false,
        };
        users.push(User {
            container: container.id.short().to_owned(),
            running,
        });
    }
    Ok(users)
}

/// Chain ids of all layers that containers are made of.
pub(super) fn layers_in_use(engine: &Engine) -> Result<BTreeSet<Digest>> {
    let all = recorded(engine)?;
    let mounted = |container: &Container| -> Vec<Digest> {
        let mounts = container.host.mounts.iter();
        let layers = mounts.filter_map(|mount| match mount {
            Mount::Image(image) => Some(image.layers.clone()),
            Mount::Bind { .. } | Mount::Tmpfs { .. } | Mount::Volume(_) => None,
        });
        layers.flatten().collect()
    };
    Ok(all
        .iter()
        .flat_map(|container| {
            let own = container.layers.iter().cloned();
            own.chain(mounted(container)).collect::<Vec<_>>()
        })
        .collect())
}

fn recorded(engine: &Engine) -> Result<Vec<Arc<Container>>> {
    let ids = records::ids(engine.roots())?;
    ids.iter()
        .filter_map(|id| records::load(engine.roots(), id).transpose())
        .collect()
}

/// The event line of a container: Docker's attributes are its labels, name and image.
pub(super) fn event_of(container: &Container, action: &str, more: &[(&str, &str)]) -> event::Event {
    let mut attributes = container.config.labels.clone();
    attributes.insert("name".to_owned(), container.name.clone());
    attributes.insert("image".to_owned(), container.config.image.clone());
    attributes.extend(
        more.iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned())),
    );
    event::Event {
        time: jiff::Timestamp::now(),
        kind: event::Kind::Container,
        action: action.to_owned(),
        id: container.id.to_string(),
        attributes,
    }
}
