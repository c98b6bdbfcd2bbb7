//! Running work: each piece has an id, may report progress, ends exactly once. Reports for what is not in the table are
//! dropped: late is normal.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::path::PathBuf;

use super::explorer::{Shared, Target};
use super::progress::{Meter, Part, Total};
use super::{Pane, words};
use crate::engine::error::Kind;
use crate::engine::model::network::Attachment;
use crate::engine::model::request;
use crate::engine::model::{Auth, ContainerId, Progress, Timestamp, signal};

/// Names one job. Never given out twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct JobId(pub u64);

/// What a job does. The same data that the command line builds, so there is one validation for both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Start a container.
    Start(ContainerId),
    /// Stop it.
    Stop(ContainerId, request::Stop),
    /// Stop and start it.
    Restart(ContainerId, request::Stop),
    /// Send a signal.
    Kill(ContainerId, i32),
    /// Freeze it.
    Pause(ContainerId),
    /// Thaw it.
    Unpause(ContainerId),
    /// Remove it.
    Remove(ContainerId, request::Remove),
    /// Make a container, and start it if the first word says so: the words of `run` or `create`.
    Run(Vec<String>),
    /// Change limits and restart policy: the words of `update`.
    Update(ContainerId, Vec<String>),
    /// Give it another name.
    Rename(ContainerId, String),
    /// Make an image of it.
    Commit(ContainerId, request::Commit),
    /// Write its files into an archive.
    Export {
        /// Which.
        id: ContainerId,
        /// The archive.
        path: PathBuf,
        /// A file that is there is replaced.
        replace: bool,
    },
    /// Copy files out of it or into it: the words of `cp`.
    Copy(ContainerId, Vec<String>),
    /// Remove an image's tag, or the image with its last.
    RemoveImage {
        /// Tag or id.
        name: String,
        /// Its id, to find its row.
        id: String,
        /// Also if containers use it.
        force: bool,
    },
    /// Bring an image of a registry into the store.
    Pull(request::Pull),
    /// Send an image to a registry.
    Push {
        /// Its id.
        id: String,
        /// It does not have the name yet under which it is sent: it is given that first.
        tag: bool,
        /// What, and where to.
        request: request::Push,
    },
    /// Give an image another name.
    Tag {
        /// Its id.
        id: String,
        /// What it is called so far.
        source: String,
        /// The other name.
        target: String,
    },
    /// Write images into an archive.
    Save {
        /// Their ids.
        ids: Vec<String>,
        /// What to save: names, so that the archive has them, or ids.
        names: Vec<String>,
        /// The archive.
        path: PathBuf,
        /// A file that is there is replaced.
        replace: bool,
    },
    /// Bring in every image of an archive.
    Load(PathBuf),
    /// Remove images that nothing uses.
    PruneImages(request::PruneImages),
    /// Remove containers that do not run.
    PruneContainers(request::PruneContainers),
    /// Make a volume.
    CreateVolume(request::CreateVolume),
    /// Remove a volume with what is in it.
    RemoveVolume(String),
    /// Remove volumes that no container has.
    PruneVolumes(request::PruneVolumes),
    /// Make a network.
    CreateNetwork(request::CreateNetwork),
    /// Remove a network.
    RemoveNetwork(String),
    /// Put a container on a network.
    Connect {
        /// The container.
        container: ContainerId,
        /// What it is called.
        name: String,
        /// The network, and how it is on it.
        attachment: Box<Attachment>,
    },
    /// Take a container off a network.
    Disconnect {
        /// The network.
        network: String,
        /// The container.
        container: String,
    },
    /// Write something of an image that is looked into.
    Extract(Box<Extract>),
    /// Log in to a registry, and do then what needed it.
    LogIn {
        /// Host and port.
        registry: String,
        /// Who.
        auth: Auth,
        /// What the registry refused before.
        then: Option<Box<Self>>,
    },
}

/// What is taken out of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extract {
    /// Where the image is.
    pub target: Target,
    /// What is known of it.
    pub image: Shared,
    /// Layers, and numbers of entries there.
    pub entries: Vec<(u16, u32)>,
    /// The content of one file; else an archive is written.
    pub plain: bool,
    /// What it is, in a few words.
    pub what: String,
    /// The file to write.
    pub path: PathBuf,
    /// A file that is there is replaced.
    pub replace: bool,
}

impl Request {
    /// The container that it is about.
    #[must_use]
    pub fn container(&self) -> Option<&ContainerId> {
        match self {
            Self::Start(id)
            | Self::Stop(id, _)
            | Self::Restart(id, _)
            | Self::Kill(id, _)
            | Self::Pause(id)
            | Self::Unpause(id)
            | Self::Remove(id, _)
            | Self::Update(id, _)
            | Self::Rename(id, _)
            | Self::Commit(id, _)
            | Self::Export { id, .. }
            | Self::Copy(id, _) => Some(id),
            Self::Run(_)
            | Self::RemoveImage { .. }
            | Self::Pull(_)
            | Self::Push { .. }
            | Self::Tag { .. }
            | Self::Save { .. }
            | Self::Load(_)
            | Self::PruneImages(_)
            | Self::PruneContainers(_)
            | Self::CreateVolume(_)
            | Self::RemoveVolume(_)
            | Self::PruneVolumes(_)
            | Self::CreateNetwork(_)
            | Self::RemoveNetwork(_)
            | Self::Connect { .. }
            | Self::Disconnect { .. }
            | Self::Extract(_)
            | Self::LogIn { .. } => None,
        }
    }

    /// Whether it is about this image.
    #[must_use]
    pub fn is_about_image(&self, image: &str) -> bool {
        match self {
            Self::RemoveImage { id, .. } | Self::Push { id, .. } | Self::Tag { id, .. } => {
                id == image
            }
            Self::Save { ids, .. } => ids.iter().any(|id| id == image),
            _ => false,
        }
    }

    /// Whether it is about this volume.
    #[must_use]
    pub fn is_about_volume(&self, volume: &str) -> bool {
        match self {
            Self::RemoveVolume(name) => name == volume,
            _ => false,
        }
    }

    /// Whether it is about this network.
    #[must_use]
    pub fn is_about_network(&self, network: &str) -> bool {
        match self {
            Self::RemoveNetwork(name) | Self::Disconnect { network: name, .. } => name == network,
            Self::Connect { attachment, .. } => attachment.network == network,
            _ => false,
        }
    }

    /// The pane whose objects it changes.
    #[must_use]
    pub fn pane(&self) -> Pane {
        match self {
            Self::CreateVolume(_) | Self::RemoveVolume(_) | Self::PruneVolumes(_) => Pane::Volumes,
            Self::CreateNetwork(_)
            | Self::RemoveNetwork(_)
            | Self::Connect { .. }
            | Self::Disconnect { .. } => Pane::Networks,
            Self::PruneContainers(_) | Self::Run(_) => Pane::Containers,
            Self::Commit(..) => Pane::Images,
            _ if self.container().is_some() => Pane::Containers,
            _ => Pane::Images,
        }
    }

    /// It is about more than one container: such work may take long, and what it did is kept to be looked at.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.container().is_none()
            || matches!(
                self,
                Self::Commit(..) | Self::Export { .. } | Self::Copy(..)
            )
    }

    /// The registry that it asks.
    #[must_use]
    pub fn registry(&self) -> Option<&str> {
        match self {
            Self::Pull(request) => Some(request.reference.domain()),
            Self::Push { request, .. } => Some(request.reference.domain()),
            Self::LogIn { registry, .. } => Some(registry),
            _ => None,
        }
    }

    /// What the user calls its object, where that is in it.
    #[must_use]
    pub fn object(&self) -> String {
        match self {
            Self::Pull(request) => request.reference.familiar(),
            Self::Push { request, .. } => request.reference.familiar(),
            Self::LogIn { registry, .. } => registry.clone(),
            Self::RemoveImage { name, .. } => name.clone(),
            Self::Tag { target, .. } => target.clone(),
            Self::Save { path, .. } | Self::Export { path, .. } | Self::Load(path) => {
                path.display().to_string()
            }
            Self::Extract(extract) => extract.what.clone(),
            _ => String::new(),
        }
    }

    /// The same, shown to its registry as somebody.
    #[must_use]
    pub fn with_auth(mut self, who: &Auth) -> Self {
        match &mut self {
            Self::Pull(request) => request.auth = who.clone(),
            Self::Push { request, .. } => request.auth = who.clone(),
            _ => {}
        }
        self
    }

    /// What its object shows meanwhile.
    #[must_use]
    pub fn doing(&self) -> &'static str {
        match self {
            Self::Start(_) => "starting",
            Self::Stop(..) => "stopping",
            Self::Restart(..) => "restarting",
            Self::Kill(..) => "killing",
            Self::Pause(_) => "pausing",
            Self::Unpause(_) => "resuming",
            Self::Remove(..)
            | Self::RemoveImage { .. }
            | Self::RemoveVolume(_)
            | Self::RemoveNetwork(_) => "removing",
            Self::Pull(_) => "pulling",
            Self::Push { .. } => "pushing",
            Self::Tag { .. } => "tagging",
            Self::Save { .. } => "saving",
            Self::Load(_) => "loading",
            Self::PruneImages(_) | Self::PruneContainers(_) | Self::PruneVolumes(_) => "pruning",
            Self::CreateVolume(_) | Self::CreateNetwork(_) => "making",
            Self::Connect { .. } => "connecting",
            Self::Disconnect { .. } => "disconnecting",
            Self::Run(_) => "running",
            Self::Update(..) => "updating",
            Self::Rename(..) => "renaming",
            Self::Commit(..) => "committing",
            Self::Export { .. } => "exporting",
            Self::Copy(..) => "copying",
            Self::Extract(_) => "extracting",
            Self::LogIn { .. } => "logging in to",
        }
    }

    /// What was done, for the message at the end.
    #[must_use]
    pub fn done(&self) -> &'static str {
        match self {
            Self::Start(_) => "started",
            Self::Stop(..) => "stopped",
            Self::Restart(..) => "restarted",
            Self::Kill(..) => "killed",
            Self::Pause(_) => "paused",
            Self::Unpause(_) => "resumed",
            Self::Remove(..)
            | Self::RemoveImage { .. }
            | Self::RemoveVolume(_)
            | Self::RemoveNetwork(_) => "removed",
            Self::Pull(_) => "pulled",
            Self::Push { .. } => "pushed",
            Self::Tag { .. } => "tagged",
            Self::Save { .. } => "saved",
            Self::Load(_) => "loaded",
            Self::PruneImages(_) | Self::PruneContainers(_) | Self::PruneVolumes(_) => "pruned",
            Self::CreateVolume(_) | Self::CreateNetwork(_) => "made",
            Self::Connect { .. } => "connected",
            Self::Disconnect { .. } => "disconnected",
            Self::Run(_) => "ran",
            Self::Update(..) => "updated",
            Self::Rename(..) => "renamed",
            Self::Commit(..) => "committed",
            Self::Export { .. } => "exported",
            Self::Copy(..) => "copied",
            Self::Extract(_) => "extracted",
            Self::LogIn { .. } => "logged in to",
        }
    }

    /// The command that does the same; `name` is what the user calls the object.
    #[must_use]
    pub fn command(&self, name: &str) -> String {
        let name = words::quote(name);
        match self {
            Self::Start(_) => format!("wharf start {name}"),
            Self::Stop(..) => format!("wharf stop {name}"),
            Self::Restart(..) => format!("wharf restart {name}"),
            Self::Kill(_, 9) => format!("wharf kill {name}"),
            Self::Kill(_, number) => format!("wharf kill -s {} {name}", signal::name(*number)),
            Self::Pause(_) => format!("wharf pause {name}"),
            Self::Unpause(_) => format!("wharf unpause {name}"),
            Self::Remove(_, request) => {
                let force = if request.force { "-f " } else { "" };
                let volumes = if request.volumes { "-v " } else { "" };
                format!("wharf rm {force}{volumes}{name}")
            }
            Self::RemoveImage { force, .. } => {
                format!("wharf rmi {}{name}", if *force { "-f " } else { "" })
            }
            Self::Pull(request) => {
                let all = if request.all_tags { "-a " } else { "" };
                let platform = request.platform.as_ref();
                let platform = platform.map_or(String::new(), |p| format!("--platform {p} "));
                format!("wharf pull {all}{platform}{name}")
            }
            Self::Push { id, tag, .. } => {
                let first = if *tag {
                    let digits = id.strip_prefix("sha256:").unwrap_or(id);
                    let short: String = digits.chars().take(12).collect();
                    format!("wharf tag {short} {name} && ")
                } else {
                    String::new()
                };
                format!("{first}wharf push {name}")
            }
            Self::Tag { source, target, .. } => {
                format!(
                    "wharf tag {} {}",
                    words::quote(source),
                    words::quote(target)
                )
            }
            Self::Save { names, path, .. } => {
                let names: Vec<_> = names.iter().map(|name| words::quote(name)).collect();
                let path = words::quote(&path.to_string_lossy());
                format!("wharf save -o {path} {}", names.join(" "))
            }
            Self::Load(path) => format!("wharf load -i {}", words::quote(&path.to_string_lossy())),
            Self::PruneImages(request) => {
                format!(
                    "wharf image prune -f{}",
                    if request.all { " -a" } else { "" }
                )
            }
            Self::Run(words) | Self::Update(_, words) | Self::Copy(_, words) => {
                format!("wharf {}", words::join(words.iter().map(String::as_str)))
            }
            Self::Rename(_, to) => format!("wharf rename {name} {}", words::quote(to)),
            Self::Commit(_, request) => commit(request, &name),
            Self::Export { path, .. } => {
                let path = words::quote(&path.to_string_lossy());
                format!("wharf export -o {path} {name}")
            }
            Self::Extract(extract) => {
                let image = words::quote(&extract.target.name());
                let path = words::quote(&extract.path.to_string_lossy());
                format!("wharf layers --tui {image}  # {} to {path}", extract.what)
            }
            Self::PruneContainers(_) => "wharf container prune -f".to_owned(),
            Self::CreateVolume(request) => create_volume(request),
            Self::RemoveVolume(_) => format!("wharf volume rm {name}"),
            Self::CreateNetwork(request) => create_network(request),
            Self::RemoveNetwork(_) => format!("wharf network rm {name}"),
            Self::Connect {
                name: container,
                attachment,
                ..
            } => {
                let mut words = vec!["wharf", "network", "connect"];
                for alias in &attachment.aliases {
                    words.extend(["--alias", alias]);
                }
                words.extend([attachment.network.as_str(), container]);
                words::join(words)
            }
            Self::Disconnect { container, .. } => {
                format!(
                    "wharf network disconnect {name} {}",
                    words::quote(container)
                )
            }
            Self::PruneVolumes(request) => {
                format!(
                    "wharf volume prune -f{}",
                    if request.all { " -a" } else { "" }
                )
            }
            Self::LogIn { registry, .. } => format!("wharf login {}", words::quote(registry)),
        }
    }
}

/// `commit` with its flags; the name is quoted already.
fn commit(request: &request::Commit, name: &str) -> String {
    let mut line = "wharf commit".to_owned();
    let mut add = |flag: &str, value: &str| {
        let _ = write!(line, " {flag} {}", words::quote(value));
    };
    for (flag, value) in [("-a", &request.author), ("-m", &request.message)] {
        if !value.is_empty() {
            add(flag, value);
        }
    }
    for change in &request.changes {
        add("-c", change);
    }
    if !request.pause {
        line.push_str(" --no-pause");
    }
    let _ = write!(line, " {name}");
    if let Some(reference) = &request.reference {
        let _ = write!(line, " {}", words::quote(&reference.familiar()));
    }
    line
}

/// `network create` with its flags.
fn create_network(request: &request::CreateNetwork) -> String {
    let mut words: Vec<String> = ["wharf", "network", "create"].map(str::to_owned).to_vec();
    let mut flag = |name: &str, value: String| words.extend([name.to_owned(), value]);
    if !request.driver.is_empty() {
        flag("-d", request.driver.clone());
    }
    for pool in &request.pools {
        flag("--subnet", pool.subnet.to_string());
        if let Some(gateway) = pool.gateway {
            flag("--gateway", gateway.to_string());
        }
    }
    for (key, value) in &request.options {
        flag("-o", format!("{key}={value}"));
    }
    for (key, value) in &request.labels {
        flag("--label", format!("{key}={value}"));
    }
    if request.internal {
        words.push("--internal".to_owned());
    }
    words.push(request.name.clone());
    words::join(words.iter().map(String::as_str))
}

/// `volume create` with its flags.
fn create_volume(request: &request::CreateVolume) -> String {
    let mut words = vec!["wharf".to_owned(), "volume".to_owned(), "create".to_owned()];
    let pairs = |flag: &str, pairs: &BTreeMap<String, String>| {
        let word = |(key, value): (&String, &String)| match value.as_str() {
            "" => [flag.to_owned(), key.clone()],
            value => [flag.to_owned(), format!("{key}={value}")],
        };
        pairs.iter().flat_map(word).collect::<Vec<_>>()
    };
    words.extend(pairs("-o", &request.options));
    words.extend(pairs("--label", &request.labels));
    words.extend(Some(request.name.clone()).filter(|name| !name.is_empty()));
    words::join(words.iter().map(String::as_str))
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Done; there is no more to tell than that.
    Done,
    /// Done, and what came of it, the most important line first.
    Told(Vec<String>),
    /// Stopped because the user said so.
    Cancelled,
    /// Not done.
    Failed(Failure),
}

/// An error as the screen shows it: the engine's error as plain data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// For decisions on what to offer.
    pub kind: Kind,
    /// The whole error in one line.
    pub line: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The error and its causes, one each.
    pub chain: Vec<String>,
}

/// What a job reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// How far it is; may get lost.
    Progress(Progress),
    /// The end; never lost.
    Finished(Outcome),
}

/// A job that runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// What it does.
    pub request: Request,
    /// What the user calls its object.
    pub name: String,
    /// When it began.
    pub started: Timestamp,
    /// The user asked it to stop; asked again, it is not waited for any longer.
    pub cancelling: bool,
    /// The newest report on the whole of it.
    pub whole: Option<Part>,
    /// Its parts, in the order in which they were first heard of.
    pub parts: Vec<Part>,
    /// All bytes that it moved.
    meter: Meter,
    /// Which bulk action it is part of.
    pub batch: u64,
}

impl Job {
    /// All parts together.
    #[must_use]
    pub fn total(&self, now: Timestamp) -> Total {
        let parts = match &self.whole {
            Some(whole) if self.parts.is_empty() => std::slice::from_ref(whole),
            _ => self.parts.as_slice(),
        };
        Total::of(parts, &self.meter, now)
    }
}

/// A job that has ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    /// What it did.
    pub request: Request,
    /// What the user calls its object.
    pub name: String,
    /// When it ended.
    pub ended: Timestamp,
    /// Seconds that it took.
    pub seconds: i64,
    /// How; `None` if nobody waited for it any longer.
    pub outcome: Option<Outcome>,
}

impl Finished {
    /// What to tell about it, line by line.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        match &self.outcome {
            None => vec!["not waited for".to_owned()],
            Some(Outcome::Done) => vec![format!("{} {}", self.request.done(), self.name)],
            Some(Outcome::Told(lines)) => lines.clone(),
            Some(Outcome::Cancelled) => {
                let mut lines = vec!["cancelled".to_owned()];
                if matches!(self.request, Request::Pull(_) | Request::Push { .. }) {
                    lines.push("the next one goes on from what is there".to_owned());
                }
                lines
            }
            Some(Outcome::Failed(failure)) => {
                let hint = failure.hint.iter().map(|hint| format!("hint: {hint}"));
                std::iter::once(failure.line.clone()).chain(hint).collect()
            }
        }
    }
}

/// One bulk action, until its last job has ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// Jobs that were done.
    pub done: usize,
    /// What failed: the objects, and why.
    pub failed: Vec<(String, String)>,
    /// Jobs that were cancelled.
    pub cancelled: usize,
}

impl Batch {
    /// How many jobs there were.
    #[must_use]
    pub fn total(&self) -> usize {
        self.done + self.failed.len() + self.cancelled
    }
}

/// Finished jobs that are kept.
const KEPT: usize = 50;

/// All running jobs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Jobs {
    next: u64,
    next_batch: u64,
    running: BTreeMap<JobId, Job>,
    finished: VecDeque<Finished>,
    batches: BTreeMap<u64, Batch>,
}

impl Jobs {
    /// Opens a bulk action.
    pub fn batch(&mut self) -> u64 {
        self.next_batch += 1;
        self.batches.insert(self.next_batch, Batch::default());
        self.next_batch
    }

    /// Enters a job.
    pub fn add(&mut self, request: Request, name: &str, batch: u64, now: Timestamp) -> JobId {
        self.next += 1;
        let id = JobId(self.next);
        self.running.insert(
            id,
            Job {
                request,
                name: name.to_owned(),
                started: now,
                cancelling: false,
                whole: None,
                parts: Vec::new(),
                meter: Meter::default(),
                batch,
            },
        );
        id
    }

    /// What runs, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (JobId, &Job)> {
        self.running.iter().map(|(id, job)| (*id, job))
    }

    /// How many run.
    #[must_use]
    pub fn len(&self) -> usize {
        self.running.len()
    }

    /// Nothing runs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// A job that runs.
    pub fn get_mut(&mut self, id: JobId) -> Option<&mut Job> {
        self.running.get_mut(&id)
    }

    /// What ended, the newest first: work on images only, the rest is over before one could look.
    pub fn finished(&self) -> impl ExactSizeIterator<Item = &Finished> {
        self.finished.iter()
    }

    /// Keeps the newest report of each part of a job that still runs.
    pub fn progress(&mut self, id: JobId, progress: &Progress, now: Timestamp) {
        let Some(job) = self.running.get_mut(&id) else {
            return;
        };
        if progress.part.is_empty() {
            job.whole.get_or_insert_default().note(progress, now);
        } else if let Some(part) = job.parts.iter_mut().find(|p| p.name == progress.part) {
            part.note(progress, now);
        } else {
            let mut part = Part::default();
            part.note(progress, now);
            job.parts.push(part);
        }
        let moved = job.total(now).moved;
        job.meter.note(moved, now);
    }

    /// Takes a job out. `None` if it is not in the table (any more). With the bulk action's balance if it was its last.
    pub fn finish(
        &mut self,
        id: JobId,
        outcome: Outcome,
        now: Timestamp,
    ) -> Option<(Job, Option<Batch>)> {
        let job = self.take_out(id, Some(outcome.clone()), now)?;
        let batch = self.batches.entry(job.batch).or_default();
        match outcome {
            Outcome::Done | Outcome::Told(_) => batch.done += 1,
            Outcome::Cancelled => batch.cancelled += 1,
            Outcome::Failed(failure) => batch.failed.push((job.name.clone(), failure.line)),
        }
        let balance = self.close_batch(job.batch);
        Some((job, balance))
    }

    /// Takes a job out that nobody waits for any longer; what it reports later is dropped.
    pub fn abandon(&mut self, id: JobId, now: Timestamp) -> Option<Job> {
        let job = self.take_out(id, None, now)?;
        self.batches.entry(job.batch).or_default().cancelled += 1;
        self.close_batch(job.batch);
        Some(job)
    }

    fn take_out(&mut self, id: JobId, outcome: Option<Outcome>, now: Timestamp) -> Option<Job> {
        let job = self.running.remove(&id)?;
        if job.request.is_kept() {
            self.finished.truncate(KEPT - 1);
            self.finished.push_front(Finished {
                request: job.request.clone(),
                name: job.name.clone(),
                ended: now,
                seconds: now.as_second() - job.started.as_second(),
                outcome,
            });
        }
        Some(job)
    }

    fn close_batch(&mut self, batch: u64) -> Option<Batch> {
        let goes_on = self.running.values().any(|other| other.batch == batch);
        if goes_on {
            None
        } else {
            self.batches.remove(&batch)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> ContainerId {
        ContainerId::try_from("a".repeat(64)).expect("an id")
    }

    #[test]
    fn late_report_does_not_revive_a_job() {
        let mut jobs = Jobs::default();
        let batch = jobs.batch();
        let job = jobs.add(Request::Start(id()), "web", batch, Timestamp::UNIX_EPOCH);
        let now = Timestamp::UNIX_EPOCH;
        assert!(jobs.finish(job, Outcome::Done, now).is_some());
        let late = Progress {
            part: String::new(),
            phase: "x".into(),
            done: 1,
            total: None,
        };
        jobs.progress(job, &late, now);
        assert!(jobs.is_empty());
        assert_eq!(jobs.finish(job, Outcome::Done, now), None);
    }

    #[test]
    fn a_bulk_action_is_balanced_with_its_last_job() {
        let mut jobs = Jobs::default();
        let batch = jobs.batch();
        let mut add = || jobs.add(Request::Start(id()), "web", batch, Timestamp::UNIX_EPOCH);
        let (first, second) = (add(), add());
        let failure = Outcome::Failed(Failure {
            kind: Kind::Internal,
            line: "it is stuck".to_owned(),
            hint: None,
            chain: Vec::new(),
        });
        assert_eq!(
            jobs.finish(first, failure, Timestamp::UNIX_EPOCH)
                .map(|(_, batch)| batch),
            Some(None)
        );
        let balance = Batch {
            done: 1,
            failed: vec![("web".to_owned(), "it is stuck".to_owned())],
            cancelled: 0,
        };
        assert_eq!(
            jobs.finish(second, Outcome::Done, Timestamp::UNIX_EPOCH)
                .map(|(_, batch)| batch),
            Some(Some(balance))
        );
    }

    #[test]
    fn commands_can_be_pasted_into_a_shell() {
        let force = request::Remove {
            force: true,
            volumes: false,
        };
        assert_eq!(
            Request::Remove(id(), force).command("web"),
            "wharf rm -f web"
        );
        assert_eq!(
            Request::Kill(id(), 15).command("web"),
            "wharf kill -s SIGTERM web"
        );
        assert_eq!(
            Request::Start(id()).command("a b'c"),
            "wharf start 'a b'\\''c'"
        );
    }
}
