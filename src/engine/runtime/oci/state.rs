//! The directory of one container: `<root>/<id>/` with `state.json` (what is known of it), `config.json` (the
//! specification that it was created with), `gate` (a socket, until it is started) and `lock`. Mode 0700.
//!
//! Readers need no lock: files are replaced as a whole. Whoever changes a container's state holds its lock.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use oci_spec::runtime::{LinuxNamespaceType, LinuxResources, Spec};

use super::Runtime;
use super::id::Id;
use crate::engine::error::{Attempt, Error, Kind, Result};
use crate::engine::runtime::cgroup::Cgroup;
use crate::engine::sys::file::{self, Durability, Lock};
use crate::engine::sys::process;

/// Version of [`Record`].
const VERSION: u32 = 1;

/// What is known of a container.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Of this format.
    pub version: u32,
    /// Of the specification in its configuration.
    pub oci_version: String,
    /// Its name.
    pub id: Id,
    /// Its first process, if it got that far.
    pub process: Option<First>,
    /// The bundle's directory, absolute.
    pub bundle: PathBuf,
    /// The root file system, absolute.
    pub rootfs: PathBuf,
    /// When `create` began.
    pub created: Timestamp,
    /// Its groups, once it is known that nobody else uses them.
    pub cgroup: Option<Cgroup>,
    /// It has a pid namespace of its own: when its first process ends, all of them do.
    pub own_pids: bool,
    /// From its configuration.
    pub annotations: BTreeMap<String, String>,
}

/// A container's first process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct First {
    /// As the host sees it.
    pub pid: i32,
    /// Start time in clock ticks since boot: another process that got the same pid has a later one.
    pub start: u64,
}

/// Where a container is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// `create` is at work, or was killed.
    Creating,
    /// Its first process waits for `start`.
    Created,
    /// The program was executed.
    Running,
    /// All its processes are frozen.
    Paused,
    /// Its first process has ended.
    Stopped,
}

impl Status {
    /// As the specification writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

/// The directory of one container.
#[derive(Debug, Clone)]
pub struct Place {
    dir: PathBuf,
}

impl Place {
    /// Of a container below a root; whether it exists or not.
    #[must_use]
    pub fn of(runtime: &Runtime, id: &Id) -> Self {
        Self {
            dir: runtime.root.join(id.as_str()),
        }
    }

    /// Makes it.
    ///
    /// # Errors
    /// [`Kind::AlreadyExists`] if there is a container with that name.
    pub fn make(&self, root: &Path) -> Result<()> {
        match file::make_private_dir(&self.dir) {
            Err(error) if error.kind() == Kind::NotFound => {
                file::create_private_dir(root)?;
                file::make_private_dir(&self.dir)
            }
            other => other,
        }
        .map_err(|error| match error.kind() {
            Kind::AlreadyExists => Error::new(
                Kind::AlreadyExists,
                "container with given ID already exists",
            ),
            _ => error,
        })
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// Waits for the container's lock.
    ///
    /// # Errors
    /// [`Kind::NotFound`]: the container does not exist.
    pub fn lock(&self) -> Result<Lock> {
        file::lock_dir(&self.dir).map_err(does_not_exist)
    }

    /// Takes the lock if it is free.
    ///
    /// # Errors
    /// As [`Self::lock`].
    pub fn try_lock(&self) -> Result<Option<Lock>> {
        file::try_lock_dir(&self.dir).map_err(does_not_exist)
    }

    /// The socket at which the first process waits for `start`.
    #[must_use]
    pub fn gate(&self) -> PathBuf {
        self.dir.join("gate")
    }

    /// The container's own copy of its configuration.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.dir.join("config.json")
    }

    /// Whether anything is there.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.dir.exists()
    }

    /// Reads the record.
    ///
    /// # Errors
    /// [`Kind::NotFound`]: the container does not exist.
    pub fn read(&self) -> Result<Record> {
        let path = self.dir.join("state.json");
        let Some(content) = file::read_optional(&path)? else {
            return Err(Error::not_found("container does not exist"));
        };
        let damaged = |what: String| {
            Error::new(Kind::Internal, format!("read {}: {what}", path.display()))
                .with_hint("remove the container with delete --force")
        };
        let record: Record =
            super::field::read(&content).map_err(|error| damaged(error.to_string()))?;
        if record.version == VERSION {
            Ok(record)
        } else {
            Err(damaged(format!("version {}", record.version)))
        }
    }

    /// Replaces the record.
    ///
    /// # Errors
    /// What the system calls say.
    pub fn write(&self, record: &Record) -> Result<()> {
        let content = serde_json::to_vec(record)
            .map_err(|e| Error::new(Kind::Internal, "write a record").caused_by(e))?;
        file::write_atomic(&self.dir.join("state.json"), &content, Durability::Unsynced)
    }

    /// Keeps the configuration as it was given.
    ///
    /// # Errors
    /// What the system calls say.
    pub fn keep_config(&self, content: &[u8]) -> Result<()> {
        file::write_private(&self.config(), content)
    }

    /// The specification that the container was created with.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn spec(&self) -> Result<Spec> {
        let path = self.config();
        let what = || format!("read {}", path.display());
        let content = file::read_optional(&path)?
            .ok_or_else(|| Error::new(Kind::Internal, format!("{} is gone", path.display())))?;
        let (spec, _told_before) = super::bundle::parse(&content).attempt(what)?;
        Ok(spec)
    }

    /// What the container's limits are since the last `update`; `None` if there was none.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn resources(&self) -> Result<Option<LinuxResources>> {
        let content = file::read_optional(&self.dir.join("resources.json"))?;
        content
            .map(|content| super::field::read(&content))
            .transpose()
    }

    /// Remembers them.
    ///
    /// # Errors
    /// What the system calls say.
    pub fn keep_resources(&self, resources: &LinuxResources) -> Result<()> {
        let content = serde_json::to_vec(resources)
            .map_err(|e| Error::new(Kind::Internal, "write resources").caused_by(e))?;
        file::write_atomic(
            &self.dir.join("resources.json"),
            &content,
            Durability::Unsynced,
        )
    }

    /// Removes it with everything in it; one that is not there is fine.
    ///
    /// # Errors
    /// What the system calls say.
    pub fn remove(&self) -> Result<()> {
        file::remove_tree(&self.dir)
    }
}

fn does_not_exist(error: Error) -> Error {
    match error.kind() {
        Kind::NotFound => Error::not_found("container does not exist"),
        _ => error,
    }
}

/// A container that exists.
#[derive(Debug)]
pub struct Known {
    /// Its directory.
    pub place: Place,
    /// What is known of it.
    pub record: Record,
}

impl Runtime {
    /// Looks a container up.
    ///
    /// # Errors
    /// [`Kind::InvalidInput`] for what is no name, [`Kind::NotFound`] if there is none.
    pub fn find(&self, id: &str) -> Result<Known> {
        let place = Place::of(self, &Id::parse(id)?);
        let record = place.read()?;
        Ok(Known { place, record })
    }
}

impl Record {
    /// Of a container that is about to be made.
    #[must_use]
    pub fn new(id: Id, bundle: &super::bundle::Bundle) -> Self {
        let spec = &bundle.spec;
        let annotations = spec.annotations().iter().flatten();
        Self {
            version: VERSION,
            oci_version: spec.version().clone(),
            id,
            process: None,
            bundle: bundle.dir.clone(),
            rootfs: bundle.rootfs.clone(),
            created: Timestamp::now(),
            cgroup: None,
            own_pids: has_own_pids(spec),
            annotations: annotations
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect(),
        }
    }
}

fn has_own_pids(spec: &Spec) -> bool {
    let linux = spec.linux().as_ref();
    let namespaces = linux.and_then(|linux| linux.namespaces().as_deref());
    namespaces
        .unwrap_or_default()
        .iter()
        .any(|namespace| namespace.typ() == LinuxNamespaceType::Pid && namespace.path().is_none())
}

impl Known {
    /// Waits for the container's lock and looks again: meanwhile it may have been changed, or be gone and another one have
    /// its name.
    ///
    /// # Errors
    /// [`Kind::NotFound`]: it is gone.
    pub fn lock(self) -> Result<(Lock, Self)> {
        let lock = self.place.lock()?;
        let record = self.place.read()?;
        if record.created != self.record.created {
            return Err(Error::not_found("container does not exist"));
        }
        let place = self.place;
        Ok((lock, Self { place, record }))
    }

    /// Where the container is in its life.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn status(&self) -> Result<Status> {
        let Some(first) = self.record.process else {
            return Ok(Status::Creating);
        };
        if !first.is_alive()? {
            return Ok(Status::Stopped);
        }
        // One that waits for its start can be frozen, too.
        match &self.record.cgroup {
            Some(cgroup) if cgroup.is_frozen()? => Ok(Status::Paused),
            Some(_) | None if self.place.gate().exists() => Ok(Status::Created),
            Some(_) | None => Ok(Status::Running),
        }
    }

    /// The state document of the specification, with what runc adds to it.
    ///
    /// # Errors
    /// As [`Self::status`].
    pub fn document(&self) -> Result<Document> {
        let status = self.status()?;
        Ok(Document::new(&self.record, status))
    }
}

impl First {
    /// Whether it runs: neither gone nor a zombie, nor another process with its number.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn is_alive(self) -> Result<bool> {
        process::is_alive(self.pid, self.start)
    }
}

/// State of a container (runtime-spec 1.2, "State"), with runc's additions.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    oci_version: String,
    /// Its name.
    pub id: Id,
    /// 0 if there is no process.
    pub pid: i32,
    /// In its life.
    pub status: Status,
    /// Absolute.
    pub bundle: PathBuf,
    rootfs: PathBuf,
    /// When it was made.
    pub created: Timestamp,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
    /// User that owns its directory.
    pub owner: String,
}

impl Document {
    /// From the record and a status.
    #[must_use]
    pub fn new(record: &Record, status: Status) -> Self {
        let pid = match status {
            Status::Stopped | Status::Creating => 0,
            Status::Created | Status::Running | Status::Paused => {
                record.process.map_or(0, |first| first.pid)
            }
        };
        Self {
            oci_version: record.oci_version.clone(),
            id: record.id.clone(),
            pid,
            status,
            bundle: record.bundle.clone(),
            rootfs: record.rootfs.clone(),
            created: record.created,
            annotations: record.annotations.clone(),
            owner: String::new(),
        }
    }
}
