//! The order of the world for one container: image, root file system, files of `/etc`, monitor; and back.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use oci_spec::runtime::Spec;

use super::error::{Attempt, Error, Kind, Result};
use super::images::User;
use super::model::{
    Cancel, Container, ContainerId, ContainerSummary, Digest, Mount, Platform, RestartPolicy,
    State, Status, container, event, request, signal,
};
use super::runtime::channel::{ExecRequest, Exit, Session};
use super::runtime::control::{self, Control, Spawn};
use super::runtime::{exec, monitor, spec};
use super::store;
use super::sys::file::{self, Durability, Lock};
use super::sys::host;
use super::{
    AttachTo, Created, Engine, config, launch, logs, names, records, records::Truth, teardown,
};

/// Exit code of a container whose monitor was killed: its init got SIGKILL (128 + 9).
const EXIT_KILLED: i32 = 137;

/// All containers, newest first. Orphans are recovered on the way, and what a killed `create` left is cleared away.
pub(super) fn list(engine: &Engine) -> Result<Vec<ContainerSummary>> {
    clear_stages(engine);
    let mut rows = Vec::new();
    for id in records::ids(engine.roots())? {
        let Some(container) = records::load(engine.roots(), &id)? else {
            continue;
        };
        match state_of(engine, &container) {
            Ok(state) => rows.push(ContainerSummary { container, state }),
            // Removed while we looked.
            Err(error) if error.kind() == Kind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    rows.sort_by_key(|row| std::cmp::Reverse(row.container.created));
    Ok(rows)
}

/// One container with its state.
pub(super) fn get(engine: &Engine, id: &ContainerId) -> Result<ContainerSummary> {
    let container = records::expect(engine.roots(), id)?;
    let state = state_of(engine, &container)?;
    Ok(ContainerSummary { container, state })
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
    let path = lock_path(engine, &container.id);
    let Some(_lock) = file::try_lock(&path)? else {
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

/// Takes away what a killed process left: stages of a `create`, and what a monitor had put aside to remove.
fn clear_stages(engine: &Engine) {
    // Best effort, as below.
    let _ = monitor::sweep(&engine.roots().containers());
    let _ = monitor::sweep(&engine.roots().live_directories());
    let Ok(names) = file::list_dir(&engine.roots().containers()) else {
        return;
    };
    for name in names {
        let maker = name
            .strip_prefix(STAGE)
            .and_then(|rest| rest.split('-').next());
        if maker.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            // Best effort: the next one tries again.
            let _ = file::remove_tree(&engine.roots().containers().join(name));
        }
    }
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
    prepare_bind_sources(&request.mounts)?;

    let id = engine.next_id();
    let container = Container {
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
    // Made under a name that no look-up sees, and renamed when it is whole.
    let stage = engine
        .roots()
        .containers()
        .join(format!("{STAGE}{}-{id}", std::process::id()));
    match make(engine, container, &stage) {
        Ok(container) => {
            engine.note(&container, "create", &[]);
            Ok(Created {
                id,
                warnings: Vec::new(),
            })
        }
        Err(error) => {
            let _ = file::remove_tree(&stage);
            Err(error)
        }
    }
}

/// Prefix of directories in which containers are being made; the maker's pid follows.
const STAGE: &str = ".new-";

/// The steps of `create` that leave something on disk.
fn make(engine: &Engine, mut container: Container, stage: &Path) -> Result<Container> {
    file::create_private_dir(stage)?;
    let lowest = container
        .layers
        .first()
        .map(|top| engine.roots().layers().join(top.hex()).join("fs"));
    file::create_dir_like(&stage.join("upper"), lowest.as_deref())?;
    for part in ["work", "log"] {
        file::create_private_dir(&stage.join(part))?;
    }
    let _names = names::lock(engine.roots())?;
    if container.name.is_empty() {
        container.name = free_name(engine)?;
    }
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
    let container = records::expect(engine.roots(), id)?;
    let lock = lock(engine, id)?;
    let state = match records::look(engine.roots(), id)? {
        Truth::Known(state) => state,
        Truth::Orphaned => settle(engine, &container)?.0,
    };
    match state.status {
        Status::Running | Status::Restarting => {
            drop(lock);
            return attach.map(|to| self::attach(engine, id, to)).transpose();
        }
        Status::Paused => {
            return Err(Error::conflict("cannot start a paused container")
                .with_hint(format!("use 'wharf unpause {}' instead", container.name)));
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
    monitor_of(engine, &summary)?.attach(to)
}

/// Stops a container and waits until it is over; one that does not run is left alone.
pub(super) fn stop(
    engine: &Engine,
    id: &ContainerId,
    request: &request::Stop,
    keep: Keep,
) -> Result<()> {
    let summary = get(engine, id)?;
    if !summary.state.status.is_live() {
        return Ok(());
    }
    let number = request.signal.as_ref().map(|text| {
        signal::parse(text).ok_or_else(|| Error::invalid(format!("invalid signal: {text}")))
    });
    let number = number.transpose()?;
    let Some(control) = Control::connect(&engine.roots().live(id))? else {
        // Over already, or its monitor died: a look settles which, and what is to be done.
        return get(engine, id).map(|_| ());
    };
    let asked = control.stop(number, request.timeout, keep == Keep::ForRestart);
    match asked {
        Ok(_) => Ok(()),
        // The monitor was killed while it stopped the container: recovery ends what is left.
        Err(error) if error.kind() == Kind::Unavailable => get(engine, id).map(|_| ()),
        Err(error) => Err(error.attempting(format!("stop {}", summary.container.name))),
    }
}

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
    match Control::connect(&engine.roots().live(id))? {
        Some(mut control) => control.signal(number),
        None => Err(not_running()),
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
    if summary.state.status.is_live() {
        if !request.force {
            return Err(Error::conflict(format!(
                "cannot remove container \"{name}\": container is {}",
                summary.state.status.as_str()
            ))
            .with_hint("stop the container before removing or force remove"));
        }
        let now = request::Stop {
            signal: Some("KILL".to_owned()),
            timeout: Some(0),
        };
        stop(engine, id, &now, Keep::AsConfigured)?;
    }
    let Some(container) = records::load(engine.roots(), id)? else {
        // A `--rm` container that went by itself when it was stopped.
        return Ok(());
    };
    let _lock = match lock(engine, id) {
        Err(error) if error.kind() == Kind::NotFound => return Ok(()),
        other => other?,
    };
    match records::look(engine.roots(), id)? {
        Truth::Known(state) if state.status.is_live() => {
            return Err(Error::conflict(format!(
                "container {name} was started again while it was being removed"
            )));
        }
        // A front that was killed while it started the container may have left a live directory.
        Truth::Known(_) | Truth::Orphaned => {
            settle(engine, &container)?;
        }
    }
    match records::load(engine.roots(), id)? {
        Some(container) => remove_locked(engine, &container),
        // Its own `--rm` took it away with what was left of its run.
        None => Ok(()),
    }
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

/// Waits until the container does not run; `None` when cancelled.
pub(super) fn wait(engine: &Engine, id: &ContainerId, cancel: &Cancel) -> Result<Option<Exit>> {
    let summary = get(engine, id)?;
    if summary.state.status.is_live()
        && let Some(control) = Control::connect(&engine.roots().live(id))?
    {
        match control.wait(cancel) {
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
fn settle(engine: &Engine, container: &Container) -> Result<(State, Option<u32>)> {
    let roots = engine.roots();
    let recovered = monitor::recover(&roots.live(&container.id))
        .attempt(|| format!("recover container {}", container.name))?;
    if let Some(recovered) = recovered {
        return Ok((recovered.state, recovered.restart));
    }
    let last = records::durable(roots, &container.id)?;
    if !last.status.is_live() {
        return Ok((last, None));
    }
    // It ran when the host went down, or the run root was wiped under it: then its group is still there.
    let cgroup = engine.hierarchy()?.container(&container.id);
    cgroup.kill_all()?;
    cgroup.remove()?;
    let ended = State {
        status: Status::Exited,
        pid: None,
        pid_start: 0,
        monitor: None,
        exit_code: EXIT_KILLED,
        finished_at: Some(jiff::Timestamp::now()),
        ..last
    };
    store::write_record(
        &roots.container(&container.id).join(records::STATE),
        &ended,
        durability(container),
    )?;
    if container.host.auto_remove {
        remove_locked(engine, container)?;
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

fn lock_path(engine: &Engine, id: &ContainerId) -> std::path::PathBuf {
    engine.roots().container(id).join("lock")
}

/// Waits for a container's lock; `NotFound` in Docker's words if it is gone.
fn lock(engine: &Engine, id: &ContainerId) -> Result<Lock> {
    let lock = file::lock(&lock_path(engine, id)).map_err(|error| match error.kind() {
        Kind::NotFound => records::no_such(id.as_str()),
        _ => error,
    })?;
    // It may have been removed while we waited.
    records::expect(engine.roots(), id)?;
    Ok(lock)
}

/// Records of containers that do not outlive their exit need not survive a power cut either.
fn durability(container: &Container) -> Durability {
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
) -> Result<logs::LogReader> {
    let container = records::expect(engine.roots(), id)?;
    if container.host.log.driver != "json-file" {
        return Err(Error::unsupported(format!(
            "read the log of {}: logging driver {} does not keep one",
            container.name, container.host.log.driver
        )));
    }
    let live = engine.roots().live(id);
    let path = engine
        .roots()
        .container(id)
        .join("log")
        .join("container.log");
    let alive = move || control::monitor_alive(&live).is_ok_and(|pid| pid.is_some());
    logs::open(&path, request, alive)
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
    Ok(all
        .iter()
        .flat_map(|container| container.layers.iter().cloned())
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
