//! Running work: each piece has an id, may report progress, ends exactly once. Reports for what is not in the table are
//! dropped: late is normal.

use std::collections::BTreeMap;

use crate::engine::model::request;
use crate::engine::model::{ContainerId, Progress, Timestamp, signal};

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
    /// Remove an image's tag, or the image with its last.
    RemoveImage {
        /// Tag or id.
        name: String,
        /// Its id, to find its row.
        id: String,
        /// Also if containers use it.
        force: bool,
    },
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
            | Self::Remove(id, _) => Some(id),
            Self::RemoveImage { .. } => None,
        }
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
            Self::Remove(..) | Self::RemoveImage { .. } => "removing",
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
            Self::Remove(..) | Self::RemoveImage { .. } => "removed",
        }
    }

    /// The command that does the same; `name` is what the user calls the object.
    #[must_use]
    pub fn command(&self, name: &str) -> String {
        let name = quoted(name);
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
        }
    }
}

/// A word as a shell reads it back.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Done.
    Done,
    /// Not done.
    Failed(Failure),
}

/// An error as the screen shows it: the engine's error as plain data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// What it does.
    pub request: Request,
    /// What the user calls its object.
    pub name: String,
    /// When it began.
    pub started: Timestamp,
    /// The user asked it to stop; asked again, it is not waited for any longer.
    pub cancelling: bool,
    /// The newest report of each part.
    pub progress: BTreeMap<String, Progress>,
    /// Which bulk action it is part of.
    pub batch: u64,
}

/// One bulk action, until its last job has ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// Jobs that were done.
    pub done: usize,
    /// Jobs that failed.
    pub failed: usize,
}

/// All running jobs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Jobs {
    next: u64,
    next_batch: u64,
    running: BTreeMap<JobId, Job>,
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
                progress: BTreeMap::new(),
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

    /// Keeps the newest report of each part of a job that still runs.
    pub fn progress(&mut self, id: JobId, progress: Progress) {
        if let Some(job) = self.running.get_mut(&id) {
            job.progress.insert(progress.part.clone(), progress);
        }
    }

    /// Takes a job out. `None` if it is not in the table (any more). With the bulk action's balance if it was its last.
    pub fn finish(&mut self, id: JobId, outcome: &Outcome) -> Option<(Job, Option<Batch>)> {
        let job = self.running.remove(&id)?;
        let batch = self.batches.entry(job.batch).or_default();
        match outcome {
            Outcome::Done => batch.done += 1,
            Outcome::Failed(_) => batch.failed += 1,
        }
        let last = !self.running.values().any(|other| other.batch == job.batch);
        let batch = if last {
            self.batches.remove(&job.batch)
        } else {
            None
        };
        Some((job, batch))
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
        assert!(jobs.finish(job, &Outcome::Done).is_some());
        jobs.progress(
            job,
            Progress {
                part: String::new(),
                phase: "x",
                done: 1,
                total: None,
            },
        );
        assert!(jobs.is_empty());
        assert_eq!(jobs.finish(job, &Outcome::Done), None);
    }

    #[test]
    fn a_bulk_action_is_balanced_with_its_last_job() {
        let mut jobs = Jobs::default();
        let batch = jobs.batch();
        let mut add = || jobs.add(Request::Start(id()), "web", batch, Timestamp::UNIX_EPOCH);
        let (first, second) = (add(), add());
        let failure = Outcome::Failed(Failure {
            line: String::new(),
            hint: None,
            chain: Vec::new(),
        });
        assert_eq!(
            jobs.finish(first, &failure).map(|(_, batch)| batch),
            Some(None)
        );
        let balance = Batch { done: 1, failed: 1 };
        assert_eq!(
            jobs.finish(second, &Outcome::Done).map(|(_, batch)| batch),
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
