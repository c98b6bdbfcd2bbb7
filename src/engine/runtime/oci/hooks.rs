//! Hooks that run on the host's side: which of them, and when, with which state. How a hook runs is `runtime/hooks.rs`.

use oci_spec::runtime::{Hook, Hooks};

use super::state::{Document, Record, Status};
use crate::engine::error::{Error, Kind, Result};
use crate::engine::runtime::hooks::{Outputs, Setting};

/// Kinds of hooks that run outside of the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Namespaces exist.
    Prestart,
    /// The same; `prestart` under its new name.
    CreateRuntime,
    /// The program was executed.
    Poststart,
    /// The container is gone.
    Poststop,
}

impl Moment {
    fn name(self) -> &'static str {
        match self {
            Self::Prestart => "prestart",
            Self::CreateRuntime => "createRuntime",
            Self::Poststart => "poststart",
            Self::Poststop => "poststop",
        }
    }

    fn status(self) -> Status {
        match self {
            Self::Prestart | Self::CreateRuntime => Status::Creating,
            Self::Poststart => Status::Running,
            Self::Poststop => Status::Stopped,
        }
    }

    fn of(self, hooks: &Hooks) -> &[Hook] {
        let list = match self {
            Self::Prestart => hooks.prestart(),
            Self::CreateRuntime => hooks.create_runtime(),
            Self::Poststart => hooks.poststart(),
            Self::Poststop => hooks.poststop(),
        };
        list.as_deref().unwrap_or_default()
    }
}

/// Whether there are hooks of that kind.
#[must_use]
pub fn any(hooks: Option<&Hooks>, moment: Moment) -> bool {
    hooks.is_some_and(|hooks| !moment.of(hooks).is_empty())
}

/// Runs the hooks of that kind until one fails.
///
/// # Errors
/// Which one failed and how, with what it wrote.
pub fn run(hooks: Option<&Hooks>, moment: Moment, record: &Record) -> Result<()> {
    let list = hooks.map_or(&[][..], |hooks| moment.of(hooks));
    if list.is_empty() {
        return Ok(());
    }
    let outputs = outputs(record)?;
    let state = state(moment, record)?;
    setting(moment, record, &state, &outputs).run(list)
}

/// Runs all hooks of that kind; those that failed.
#[must_use]
pub fn run_all(hooks: Option<&Hooks>, moment: Moment, record: &Record) -> Vec<Error> {
    let list = hooks.map_or(&[][..], |hooks| moment.of(hooks));
    if list.is_empty() {
        return Vec::new();
    }
    // Without the files they run all the same: the container is gone.
    let (outputs, mut errors) = match outputs(record) {
        Ok(outputs) => (outputs, Vec::new()),
        Err(error) => (Outputs::default(), vec![error]),
    };
    match state(moment, record) {
        Ok(state) => errors.extend(setting(moment, record, &state, &outputs).run_all(list)),
        Err(error) => errors.push(error),
    }
    errors
}

/// Where a container's hooks write to.
///
/// # Errors
/// The annotation and what open(2) says.
pub(super) fn outputs(record: &Record) -> Result<Outputs> {
    Outputs::open(|name| record.annotations.get(name), &record.bundle)
}

fn setting<'a>(
    moment: Moment,
    record: &'a Record,
    state: &'a [u8],
    outputs: &'a Outputs,
) -> Setting<'a> {
    Setting {
        kind: moment.name(),
        state,
        dir: record.bundle.is_dir().then_some(record.bundle.as_path()),
        env: None,
        outputs: Some(outputs),
    }
}

fn state(moment: Moment, record: &Record) -> Result<Vec<u8>> {
    let mut document = Document::new(record, moment.status());
    // The process exists while the container is being made, and hooks are there to work on its namespaces.
    if moment.status() != Status::Stopped {
        document.pid = record.process.map_or(0, |first| first.pid);
    }
    serde_json::to_vec(&document).map_err(|error| Error::new(Kind::Internal, error.to_string()))
}
