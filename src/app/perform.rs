//! Effects into calls of the engine. Nothing else of the program calls it.

use std::collections::BTreeMap;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{self, Receiver, Sender};

use super::command::{Command, Commands};
use super::explorer::{News, Shared, Target, viewer};
use super::jobs::{Extract, Failure, JobId, Outcome, Report, Request};
use super::pruned;
use super::tables::{Compared, Question};
use super::throttle::Throttle;
use super::{Answer, DirectoryEntry, Host, Msg, Query, QueryId};
use crate::engine::credentials::{Kept, Login, Store};
use crate::engine::error::{Attempt, Error, Kind, Result};
use crate::engine::events::EventReader;
use crate::engine::logs::Log;
use crate::engine::model::image::{Loaded, Removed};
use crate::engine::model::layers::findings::allow::Allowed;
use crate::engine::model::layers::{Explored, Step, findings};
use crate::engine::model::request::{Exec, Logs, TerminalSize};
use crate::engine::model::{Auth, Cancel, ContainerId, Progress, Reference, request, units};
use crate::engine::stats::Sampler;
use crate::engine::store::Roots;
use crate::engine::{
    Contents, Engine, NewFile, Output, Reading, Session, Source, Surroundings, list_entries,
    read_user_file, write_user_file,
};

/// Runs what `update` asks for, on threads where it may block.
#[derive(Debug)]
pub(super) struct Performer {
    /// `None` where only an archive is looked into.
    engine: Option<Engine>,
    credentials: Store,
    handle: Handle,
    reports: Sender<Msg>,
    cancels: BTreeMap<JobId, Cancel>,
    /// Turns for jobs: each has a thread while it runs, and questions must find one too.
    turns: Arc<Semaphore>,
    /// Held by every job until it has ended.
    alive: Sender<()>,
    ended: Receiver<()>,
    kept: UserFiles,
    /// What is to be written last of how lists are looked at.
    looks: Arc<Mutex<Option<String>>>,
    /// Reads the command lines of dialogs.
    commands: Commands,
    around: Around,
}

/// What questions about images depend on.
#[derive(Debug, Clone)]
pub(super) struct Around {
    /// What registries depend on.
    pub(super) surroundings: Surroundings,
    /// Findings that may be.
    pub(super) allowed: Allowed,
    /// Where the store is that nobody has needed so far.
    pub(super) roots: Option<Roots>,
}

/// Files of the user in which something is kept from one time to the next.
#[derive(Debug, Clone, Default)]
pub(super) struct UserFiles {
    /// Names that were pulled.
    pub(super) pulled: Option<PathBuf>,
    /// How lists are looked at.
    pub(super) lists: Option<PathBuf>,
}

/// Jobs that run at once; the others wait for their turn.
const JOBS: usize = 64;
/// So long the end of the program waits for jobs that were told to stop.
const GRACE: Duration = Duration::from_secs(3);
/// Threads for jobs and questions.
pub(super) const THREADS: usize = JOBS + 16;

impl Performer {
    pub(super) fn new(
        engine: Option<Engine>,
        handle: Handle,
        reports: Sender<Msg>,
        credentials: Store,
        kept: UserFiles,
        commands: Commands,
        around: Around,
    ) -> Self {
        let (alive, ended) = mpsc::channel(1);
        Self {
            engine,
            credentials,
            handle,
            reports,
            cancels: BTreeMap::new(),
            turns: Arc::new(Semaphore::new(JOBS)),
            alive,
            ended,
            kept,
            looks: Arc::default(),
            commands,
            around,
        }
    }

    /// Starts a job. Its outcome comes as a message, whatever happens.
    pub(super) fn start(&mut self, id: JobId, request: Request) {
        let cancel = Cancel::new();
        self.cancels.insert(id, cancel.clone());
        let (engine, reports) = (self.engine.clone(), self.reports.clone());
        let (handle, turns) = (self.handle.clone(), Arc::clone(&self.turns));
        let credentials = self.credentials.clone();
        let commands = self.commands;
        let body = move || {
            let throttle = Throttle::new();
            let report = |progress: Progress| {
                // Nobody waits for room: what finds none is sent with the next report.
                throttle.report(progress, Instant::now(), |progress| {
                    let message = Msg::Job(id, Report::Progress(progress));
                    reports.try_send(message).is_ok()
                });
            };
            let work = || {
                if let Request::Extract(extract) = &request {
                    return self::extract(extract, &cancel);
                }
                let doors = Doors {
                    engine: present(engine.as_ref())?,
                    credentials: &credentials,
                    commands,
                };
                run(&doors, &request, &report, &cancel)
            };
            let outcome = match guarded(work) {
                Ok(lines) if lines.is_empty() => Outcome::Done,
                Ok(lines) => Outcome::Told(lines),
                Err(failure) if failure.kind == Kind::Cancelled && cancel.is_cancelled() => {
                    Outcome::Cancelled
                }
                Err(failure) => Outcome::Failed(failure),
            };
            // Outcomes are not lossy: this waits for room. It fails only when the program has ended.
            let _ = reports.blocking_send(Msg::Job(id, Report::Finished(outcome)));
        };
        let alive = self.alive.clone();
        self.handle.spawn(async move {
            // At the end there are no more turns.
            let Ok(turn) = turns.acquire_owned().await else {
                return;
            };
            handle.spawn_blocking(move || {
                body();
                drop((turn, alive));
            });
        });
    }

    /// Asks all jobs to stop, and waits a moment for them to undo what they have begun.
    pub(super) async fn end(mut self) {
        self.turns.close();
        for cancel in self.cancels.values() {
            cancel.cancel();
        }
        drop(self.alive);
        let _ = tokio::time::timeout(GRACE, self.ended.recv()).await;
    }

    /// A job has ended.
    pub(super) fn forget(&mut self, id: JobId) {
        self.cancels.remove(&id);
    }

    /// Asks a job to stop.
    pub(super) fn cancel(&mut self, id: JobId) {
        if let Some(cancel) = self.cancels.get(&id) {
            cancel.cancel();
        }
    }

    /// Keeps a name that was pulled; a history that cannot be kept is not worth a message.
    pub(super) fn remember(&self, name: String) {
        let Some(path) = self.kept.pulled.clone() else {
            return;
        };
        self.handle.spawn_blocking(move || {
            if let Err(error) = remember(&path, &name) {
                tracing::debug!("{error}");
            }
        });
    }

    /// Keeps how lists are looked at. What comes later is never overwritten by what came before.
    pub(super) fn keep_lists(&self, text: String) {
        let Some(path) = self.kept.lists.clone() else {
            return;
        };
        *locked(&self.looks) = Some(text);
        let (looks, reports, alive) = (
            Arc::clone(&self.looks),
            self.reports.clone(),
            self.alive.clone(),
        );
        self.handle.spawn_blocking(move || {
            let mut newest = locked(&looks);
            if let Some(text) = newest.take()
                && let Err(error) = write_user_file(&path, text.as_bytes())
            {
                let _ = reports.blocking_send(Msg::Failed(failure(&error)));
            }
            drop((newest, alive));
        });
    }

    /// Asks the engine. The answer comes as a message.
    pub(super) fn query(&self, id: QueryId, query: Query, after: Duration) {
        let (engine, reports) = (self.engine.clone(), self.reports.clone());
        let handle = self.handle.clone();
        let (commands, around) = (self.commands, self.around.clone());
        let credentials = self.credentials.clone();
        let ask = move || {
            let answer = guarded(|| match query {
                Query::Tables(question) => answer_tables(
                    engine.as_ref(),
                    commands,
                    (&around, &credentials),
                    *question,
                ),
                query => ask_any(engine.as_ref(), commands, &around.allowed, query),
            });
            let _ = reports.blocking_send(Msg::Answer(id, answer));
        };
        if after.is_zero() {
            self.handle.spawn_blocking(ask);
        } else {
            self.handle.spawn(async move {
                tokio::time::sleep(after).await;
                handle.spawn_blocking(ask);
            });
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Who does what is asked.
struct Doors<'a> {
    engine: &'a Engine,
    credentials: &'a Store,
    commands: Commands,
}

/// What was done, line by line, where there is more to tell than that.
#[expect(
    clippy::too_many_lines,
    reason = "a list: each request and what of the engine does it"
)]
fn run(
    doors: &Doors<'_>,
    request: &Request,
    report: &(dyn Fn(Progress) + Sync),
    cancel: &Cancel,
) -> Result<Vec<String>> {
    let Doors {
        engine,
        credentials,
        commands,
    } = *doors;
    let nothing = |()| Vec::new();
    match request {
        Request::Start(id) => engine.start(id, None).map(|_| Vec::new()),
        Request::Stop(id, stop) => engine.stop(id, stop).map(nothing),
        Request::Restart(id, stop) => engine.restart(id, stop).map(nothing),
        Request::Kill(id, signal) => engine.kill(id, *signal).map(nothing),
        Request::Pause(id) => engine.pause(id).map(nothing),
        Request::Unpause(id) => engine.unpause(id).map(nothing),
        Request::Remove(id, remove) => engine.remove(id, *remove).map(nothing),
        Request::RemoveImage { name, force, .. } => {
            let removed = engine.remove_image(name, *force)?;
            let mut lines = vec![format!("removed {name}")];
            lines.extend(removed.iter().map(removed_line));
            Ok(lines)
        }
        Request::Pull(request) => {
            let mut request = request.clone();
            let registry = request.reference.domain();
            request.auth = known_auth(credentials, registry, request.auth.clone())?;
            let pulled = engine.pull(&request, report, cancel)?;
            let mut lines = Vec::new();
            for image in &pulled {
                let name = image.reference.familiar();
                lines.push(if image.newer {
                    format!("pulled {name}: newer image {}", image.id.short())
                } else {
                    format!("{name} is up to date: {}", image.id.short())
                });
            }
            for image in &pulled {
                lines.push(format!("digest: {}", image.digest));
                lines.push(format!("image id: {}", image.id));
                lines.extend(image.warnings.iter().cloned());
            }
            Ok(lines)
        }
        Request::Push { id, tag, request } => {
            if *tag {
                engine.tag(id, &request.reference.familiar())?;
            }
            let mut request = request.clone();
            let registry = request.reference.domain();
            request.auth = known_auth(credentials, registry, request.auth.clone())?;
            let pushed = engine.push(&request, report, cancel)?;
            let lines = pushed.iter().flat_map(|image| {
                [
                    format!("pushed {}", image.reference.familiar()),
                    format!("digest: {} size: {}", image.digest, image.size),
                ]
            });
            Ok(lines.collect())
        }
        Request::Tag { id, target, .. } => {
            engine.tag(id, target)?;
            Ok(vec![format!("tagged {target}")])
        }
        Request::Save {
            names,
            path,
            replace,
            ..
        } => save(engine, names, path, *replace, report, cancel),
        Request::Load(path) => {
            let loaded = engine.load(Source::Path(path.clone()), report, cancel)?;
            let line = |image: &Loaded| match image {
                Loaded::Tagged(name) => format!("loaded {name}"),
                Loaded::Untagged(id) => format!("loaded {id}"),
            };
            Ok(loaded.iter().map(line).collect())
        }
        Request::PruneImages(request) => pruned::images(engine, request),
        Request::Run(words) => run_container(engine, commands, words),
        Request::Update(id, words) => match (commands.read)(words)? {
            Command::Update(request) => engine.update(id, &request).map(nothing),
            Command::Create { .. } => Err(misread(words)),
        },
        Request::Rename(id, name) => engine.rename(id, name).map(nothing),
        Request::Commit(id, request) => {
            let image = engine.commit(id, request, cancel)?;
            let named = request.reference.as_ref().map(Reference::familiar);
            let called = named.unwrap_or_else(|| image.short().to_owned());
            Ok(vec![format!("made image {called}"), image.to_string()])
        }
        Request::Export { id, path, replace } => export(engine, id, path, *replace, cancel),
        Request::Copy(_, words) => Ok(vec![(commands.copy)(engine, words, cancel)?]),
        Request::PruneContainers(request) => pruned::containers(engine, request),
        Request::CreateVolume(request) => {
            let volume = engine.create_volume(request)?;
            Ok(vec![format!("made volume {}", volume.name)])
        }
        Request::RemoveVolume(name) => {
            engine.remove_volume(name)?;
            Ok(vec![format!("removed volume {name}")])
        }
        Request::CreateNetwork(request) => {
            let network = engine.create_network(request)?;
            Ok(vec![format!("made network {}", network.name)])
        }
        Request::RemoveNetwork(name) => {
            engine.remove_network(name)?;
            Ok(vec![format!("removed network {name}")])
        }
        Request::Connect {
            container,
            attachment,
            ..
        } => {
            engine.connect_network(container, attachment)?;
            Ok(Vec::new())
        }
        Request::Disconnect { network, container } => {
            engine.disconnect_network(network, container, false)?;
            Ok(Vec::new())
        }
        Request::PruneVolumes(request) => pruned::volumes(engine, request),
        // Done where no engine is needed.
        Request::Extract(_) => Ok(Vec::new()),
        Request::LogIn { registry, auth, .. } => log_in(engine, credentials, registry, auth),
    }
}

/// Makes a container and starts it, if that was asked for. One that cannot be started is taken back: the dialog is still
/// open, and what is wrong is mended there.
fn run_container(engine: &Engine, commands: Commands, words: &[String]) -> Result<Vec<String>> {
    let Command::Create {
        request,
        start,
        warnings,
    } = (commands.read)(words)?
    else {
        return Err(misread(words));
    };
    let created = engine.create(&request)?;
    let name = engine.container(&created.id)?.container.name.clone();
    if start && let Err(error) = engine.start(&created.id, None) {
        let remove = request::Remove {
            force: true,
            volumes: true,
        };
        // What matters is why it could not be started.
        let _ = engine.remove(&created.id, remove);
        return Err(error);
    }
    let done = if start { "started" } else { "made" };
    let mut lines = vec![format!("{done} {name}"), created.id.to_string()];
    lines.extend(warnings);
    lines.extend(created.warnings);
    Ok(lines)
}

fn misread(words: &[String]) -> Error {
    let verb = words.first().map_or("", String::as_str);
    Error::new(Kind::Internal, format!("{verb} was read as another verb"))
}

/// Counts what goes through.
struct Counted<'a> {
    out: &'a mut (dyn Write + Send),
    count: u64,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.count += u64::try_from(written).unwrap_or(0);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

/// Writes a container's files into an archive that gets its name when it is whole.
fn export(
    engine: &Engine,
    id: &ContainerId,
    path: &Path,
    replace: bool,
    cancel: &Cancel,
) -> Result<Vec<String>> {
    let mut out = std::io::BufWriter::with_capacity(1 << 20, NewFile::create(path)?);
    let mut counted = Counted {
        out: &mut out,
        count: 0,
    };
    engine.export(id, &mut counted, cancel)?;
    let size = units::human_size_short(counted.count);
    let file = out
        .into_inner()
        .map_err(std::io::IntoInnerError::into_error)
        .attempt(|| format!("write {}", path.display()))?;
    file.finish(replace)?;
    Ok(vec![format!("exported {size} to {}", path.display())])
}

/// What was just typed, or what the user's configuration has for the registry.
fn known_auth(credentials: &Store, registry: &str, typed: Auth) -> Result<Auth> {
    match typed {
        Auth::Anonymous => credentials.auth(registry),
        typed => Ok(typed),
    }
}

/// Checks who the user is with the registry, and keeps it as `wharf login` does: with a token, if it gave one.
fn log_in(
    engine: &Engine,
    credentials: &Store,
    registry: &str,
    auth: &Auth,
) -> Result<Vec<String>> {
    let token = engine.login(registry, auth)?;
    let user = match auth {
        Auth::Basic { user, .. } => Some(user.clone()),
        Auth::Anonymous | Auth::Identity(_) | Auth::Registry(_) => None,
    };
    let auth = match token.filter(|token| !token.is_empty()) {
        Some(token) => Auth::Identity(token),
        None => auth.clone(),
    };
    let kept = match credentials.save(registry, &Login { user, auth })? {
        Kept::InFile(path) => format!("kept in {}", path.display()),
        Kept::ByHelper(helper) => format!("kept by {helper}"),
    };
    Ok(vec![format!("logged in to {registry}: {kept}")])
}

pub(super) fn removed_line(step: &Removed) -> String {
    match step {
        Removed::Untagged(tag) => format!("Untagged: {tag}"),
        Removed::Deleted(digest) => format!("Deleted: {digest}"),
    }
}

/// Writes an archive that gets its name when it is whole.
fn save(
    engine: &Engine,
    names: &[String],
    path: &Path,
    replace: bool,
    report: &(dyn Fn(Progress) + Sync),
    cancel: &Cancel,
) -> Result<Vec<String>> {
    let mut file = NewFile::create(path)?;
    let written = file.write_long(|out| engine.save(names, out, report, cancel))?;
    file.finish(replace)?;
    let size = units::human_size_short(written);
    let first = match names {
        [one] => format!("saved {one}: {size} in {}", path.display()),
        many => format!("saved {} names: {size} in {}", many.len(), path.display()),
    };
    Ok(vec![first])
}

/// Names that are kept.
const REMEMBERED: usize = 100;

/// One name a line, the newest first. Another wharf may have written meanwhile: what it has is kept.
fn remember(path: &Path, name: &str) -> Result<()> {
    let known = read_config(path)?.unwrap_or_default();
    let others = known.lines().filter(|known| *known != name);
    let names: Vec<_> = std::iter::once(name)
        .chain(others)
        .take(REMEMBERED)
        .collect();
    write_user_file(path, format!("{}\n", names.join("\n")).as_bytes())
}

/// What an archive is asked needs no engine.
fn ask_any(
    engine: Option<&Engine>,
    commands: Commands,
    allowed: &Allowed,
    query: Query,
) -> Result<Answer> {
    match query {
        Query::FilesOf(files) => {
            let mut starts = Vec::new();
            for (image, at) in files {
                let (cancel, limit) = (Cancel::new(), viewer::LIMIT);
                let contents = &image.contents;
                starts.extend(contents.starts(&image.image, &[at], limit, &cancel)?);
            }
            Ok(Answer::Files(starts))
        }
        Query::Findings(image) => {
            let evidence = image.contents.evidence(&image.image, &Cancel::new())?;
            let (let_be, found) = findings::findings(&image.image, &evidence)
                .into_iter()
                .partition::<Vec<_>, _>(|finding| allowed.allows(finding));
            Ok(Answer::Findings(found, let_be.len()))
        }
        Query::Files { image, files } => {
            let (cancel, limit) = (Cancel::new(), viewer::LIMIT);
            let starts = image
                .contents
                .starts(&image.image, &files, limit, &cancel)?;
            Ok(Answer::Files(starts))
        }
        Query::Directory(path) => {
            let entry = |(name, is_directory)| DirectoryEntry { name, is_directory };
            let entries = list_entries(&path)?;
            Ok(Answer::Directory(entries.into_iter().map(entry).collect()))
        }
        query => ask(present(engine)?, commands, query),
    }
}

/// Reads both images, if that has not been done.
fn answer_tables(
    engine: Option<&Engine>,
    commands: Commands,
    (around, credentials): (&Around, &Store),
    question: Question,
) -> Result<Answer> {
    let look = |engine: Option<&Engine>, target: &Target| {
        let (nothing, cancel) = (&mut |_: Step<'_>| (), Cancel::new());
        let layers = Reading::Layers;
        Engine::look_into(
            engine,
            &around.surroundings,
            target,
            layers,
            nothing,
            &cancel,
        )
        .map(|(image, contents, _)| Shared::new(image, contents))
    };
    match question {
        Question::Sharing => Ok(Answer::Sharing(present(engine)?.sharing()?)),
        Question::Compare(both) => Ok(Answer::Compared(Compared::of(
            look(engine, &both.0)?,
            look(engine, &both.1)?,
        ))),
        Question::Against(both) => {
            let target = (commands.target)(credentials, &both.other, both.target.platform())?;
            let opened = match (engine, &around.roots) {
                (None, Some(roots)) if target.is_stored() => {
                    let (roots, surroundings) = (roots.clone(), around.surroundings.clone());
                    Some(Engine::open_in(roots, surroundings)?)
                }
                _ => None,
            };
            let other = look(engine.or(opened.as_ref()), &target)?;
            // Of a registry's image tables of contents may have been read alone, whose digests are others.
            let shown = match both.target {
                Target::Registry { .. } => look(engine, &both.target)?,
                _ => both.image,
            };
            let (before, after) = if both.other_first {
                (other, shown)
            } else {
                (shown, other)
            };
            Ok(Answer::Compared(Compared::of(before, after)))
        }
    }
}

/// Writes a file, or an archive, that gets its name when it is whole.
fn extract(extract: &Extract, cancel: &Cancel) -> Result<Vec<String>> {
    let (image, contents) = (&extract.image.image, &extract.image.contents);
    let mut file = NewFile::create(&extract.path)?;
    let much = file.write_long(|out| match extract.entries.as_slice() {
        [one] if extract.plain => {
            let size = contents.write_file(image, *one, out, cancel)?;
            Ok(units::human_size_short(size))
        }
        entries => {
            let count = contents.write_archive(image, entries, out, cancel)?;
            Ok(format!("{count} entries"))
        }
    })?;
    file.finish(extract.replace)?;
    Ok(vec![format!(
        "extracted {much} to {}",
        extract.path.display()
    )])
}

fn ask(engine: &Engine, commands: Commands, query: Query) -> Result<Answer> {
    Ok(match query {
        Query::Containers => Answer::Containers(engine.containers()?),
        Query::Images => Answer::Images(engine.images()?),
        Query::Image(name) => Answer::Image(Box::new(engine.image(&name)?)),
        Query::Processes(id) => Answer::Processes(engine.processes(&id)?),
        Query::Changes(id) => Answer::Changes(engine.changes(&id)?),
        Query::DiskUsage => Answer::DiskUsage(Box::new(engine.disk_usage()?)),
        Query::PrunePlan(what) => Answer::PrunePlan(Box::new(pruned::plan(engine, what)?)),
        Query::Volumes => Answer::Volumes(engine.volumes()?),
        Query::Networks => Answer::Networks(
            engine
                .networks()?
                .into_iter()
                .map(|network| {
                    let members = engine.network_members(&network)?;
                    Ok((network, members))
                })
                .collect::<Result<_>>()?,
        ),
        Query::Connections(id) => Answer::Connections(engine.connections(&id)?),
        Query::Check(words) => Answer::Checked(match (commands.read)(&words)? {
            Command::Create { warnings, .. } => warnings,
            Command::Update(_) => Vec::new(),
        }),
        // Asked where no engine is needed.
        Query::Directory(_)
        | Query::Files { .. }
        | Query::FilesOf(_)
        | Query::Tables(_)
        | Query::Findings(_) => Answer::Checked(Vec::new()),
        Query::Host => {
            let info = engine.host_info()?;
            Answer::Host(Host {
                name: info.name,
                memory: info.memory,
                cpus: info.cpus,
                volumes: engine.roots().volumes(),
            })
        }
    })
}

/// Runs something of the engine; a panic in it is a failure of it, not of the program.
pub(super) fn guarded<T>(call: impl FnOnce() -> Result<T>) -> Result<T, Failure> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(|error| failure(&error)),
        Err(panic) => {
            let why = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("no reason given");
            Err(failure(&Error::new(
                Kind::Internal,
                format!("this is a defect of wharf: {why}"),
            )))
        }
    }
}

/// An error as data.
pub(super) fn failure(error: &Error) -> Failure {
    let mut chain = vec![error.message().to_owned()];
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        let text = cause
            .downcast_ref::<Error>()
            .map_or_else(|| cause.to_string(), |e| e.message().to_owned());
        chain.push(text);
        next = cause.source();
    }
    Failure {
        kind: error.kind(),
        line: error.to_string(),
        hint: error.hint().map(ToOwned::to_owned),
        chain,
    }
}

/// The engine, if there is one.
pub(super) fn present(engine: Option<&Engine>) -> Result<&Engine> {
    engine.ok_or_else(|| {
        Error::new(
            Kind::Unsupported,
            "only the layers of an archive are looked at here",
        )
    })
}

// Streams: what `subscribe` reads from.

/// When the trees of layers are shown while others are still read: not so often that it would take longer for it.
struct Parts {
    /// Layers in all, and how many of them are shown.
    total: usize,
    shown: usize,
    due: Instant,
}

impl Parts {
    /// An image that is read at once is shown at once.
    const FIRST: Duration = Duration::from_millis(250);

    fn new() -> Self {
        Self {
            total: 0,
            shown: 0,
            due: Instant::now() + Self::FIRST,
        }
    }

    /// The image as far as it has been read, if it is time for it.
    fn next(&mut self, image: &Explored) -> Option<News> {
        let (read, began) = (image.layers.len(), Instant::now());
        let is_news = read > self.shown && read < self.total;
        if !is_news || began < self.due {
            return None;
        }
        self.shown = read;
        let part = Shared::new(image.clone(), Contents::default());
        // A tenth of the time at most.
        self.due = Instant::now() + Self::FIRST.max(began.elapsed() * 10);
        Some(News::Part(part))
    }
}

/// Reads an image; what becomes known on the way is told.
pub(super) fn explore(
    (engine, surroundings): (Option<&Engine>, &Surroundings),
    target: &Target,
    tell: &dyn Fn(News),
    cancel: &Cancel,
) -> Result<Shared> {
    let mut parts = Parts::new();
    let mut watch = |step: Step<'_>| match step {
        Step::Outline(about, layers) => {
            parts.total = layers.len();
            tell(News::Outline(Box::new(about.clone()), layers));
        }
        // The last one comes with everything.
        Step::Layer(image) => tell(
            parts
                .next(image)
                .unwrap_or_else(|| News::Layers(image.layers.clone())),
        ),
        Step::Read(bytes, image) => {
            tell(News::Read(bytes));
            if let Some(news) = image.and_then(|image| parts.next(image)) {
                tell(news);
            }
        }
    };
    let lists = Reading::Lists;
    let (image, contents, _) =
        Engine::look_into(engine, surroundings, target, lists, &mut watch, cancel)?;
    Ok(Shared::new(image, contents))
}

pub(super) fn open_events(engine: &Engine) -> Result<EventReader> {
    engine.events()
}

pub(super) fn open_log(engine: &Engine, id: &ContainerId, tail: u64) -> Result<Log> {
    engine.logs(
        id,
        &Logs {
            follow: true,
            tail: Some(tail),
            ..Logs::default()
        },
    )
}

pub(super) fn open_sampler(engine: &Engine) -> Result<Sampler> {
    engine.sampler()
}

/// Opens a shell: the one that the user's entry in /etc/passwd names, else the best that the container has.
pub(super) fn open_shell(
    engine: &Engine,
    id: &ContainerId,
    size: TerminalSize,
    term: &str,
) -> Result<Session> {
    let own = login_shell(engine, id);
    let mut last = None;
    for program in own.as_deref().into_iter().chain(["bash", "sh", "ash"]) {
        let request = Exec {
            cmd: vec![program.to_owned()],
            env: vec![format!("TERM={term}")],
            tty: true,
            stdin: true,
            size: Some(size),
            ..Exec::default()
        };
        match engine.exec(id, &request) {
            Ok(session) => return Ok(session),
            Err(error) if is_missing(&error) => last = Some(error),
            Err(error) => return Err(error),
        }
    }
    let nothing = Error::new(Kind::CommandNotFound, "there is no shell in the container")
        .with_hint("run a command that it has: wharf exec -it NAME COMMAND");
    Err(match last {
        Some(error) => nothing.caused_by(error),
        None => nothing,
    })
}

fn is_missing(error: &Error) -> bool {
    matches!(
        error.kind(),
        Kind::CommandNotFound | Kind::CommandNotRunnable
    )
}

/// The shell of the container's user, as far as its /etc/passwd can be read with its own `cat`. Whatever goes wrong here:
/// there are other shells to try.
fn login_shell(engine: &Engine, id: &ContainerId) -> Option<String> {
    let user = engine.container(id).ok()?.container.config.user.clone();
    let request = Exec {
        cmd: vec!["cat".to_owned(), "/etc/passwd".to_owned()],
        ..Exec::default()
    };
    let (mut reader, _writer) = engine.exec(id, &request).ok()?.split().ok()?;
    let mut passwd = Vec::new();
    while let Some(output) = reader.next().ok()? {
        match output {
            Output::Stdout(bytes) if passwd.len() < LARGEST_PASSWD => passwd.extend(bytes),
            Output::Stdout(_) | Output::Stderr(_) => {}
            Output::Exited(_) => break,
        }
    }
    shell_of(&String::from_utf8_lossy(&passwd), &user)
}

/// More of /etc/passwd is not read.
const LARGEST_PASSWD: usize = 1 << 20;

/// The shell of a user (`name`, `uid`, either with `:group`; empty is root) in the form of passwd(5).
fn shell_of(passwd: &str, user: &str) -> Option<String> {
    let user = user.split(':').next().filter(|u| !u.is_empty());
    let user = user.unwrap_or("0");
    let shell = passwd.lines().find_map(|line| {
        let fields: Vec<_> = line.split(':').collect();
        let [name, _, uid, _, _, _, shell] = fields.as_slice() else {
            return None;
        };
        (*name == user || *uid == user).then(|| shell.trim())
    })?;
    let refuses = shell.ends_with("/nologin") || shell.ends_with("/false");
    (shell.starts_with('/') && !refuses).then(|| shell.to_owned())
}

/// A file of the user's configuration; `None` if there is none.
pub(super) fn read_config(path: &Path) -> Result<Option<String>> {
    let Some(bytes) = read_user_file(path)? else {
        return Ok(None);
    };
    String::from_utf8(bytes).map(Some).map_err(|error| {
        Error::invalid(format!("read {}: not UTF-8", path.display())).caused_by(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shell_is_that_of_the_user_unless_it_lets_nobody_in() {
        const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\nbroken\nweb:x:33:33::/:/usr/sbin/nologin\nme:x:1000:1000::/home/me:/bin/zsh\n";
        for (user, shell) in [
            ("", Some("/bin/bash")),
            ("root", Some("/bin/bash")),
            ("web", None),
            ("1000:33", Some("/bin/zsh")),
            ("me", Some("/bin/zsh")),
            ("77", None),
        ] {
            assert_eq!(shell_of(PASSWD, user).as_deref(), shell, "{user}");
        }
    }

    #[test]
    fn an_error_becomes_its_line_its_hint_and_its_causes() {
        let error = Error::not_found("no such container: x")
            .with_hint("look at wharf ps")
            .attempting("stop x");
        let failure = failure(&error);
        assert_eq!(failure.line, "stop x: no such container: x");
        assert_eq!(failure.hint.as_deref(), Some("look at wharf ps"));
        assert_eq!(failure.chain, ["stop x", "no such container: x"]);
    }

    #[test]
    fn names_are_remembered_once_the_newest_first() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("wharf/pulled");
        for name in ["a:1", "b:1", "a:1"] {
            remember(&path, name).unwrap();
        }
        assert_eq!(read_config(&path).unwrap().as_deref(), Some("a:1\nb:1\n"));
    }

    #[test]
    fn a_panic_of_the_engine_is_a_failure_like_others() {
        let failure = guarded(|| -> Result<()> { panic!("oh") }).expect_err("it panicked");
        assert_eq!(failure.line, "this is a defect of wharf: oh");
    }
}
