//! What a specification wants done on the host's side around each run: hooks, and groups of caches. Hooks in the
//! container are the first process's own (`init/hooks.rs`).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use oci_spec::runtime::{Hook, Hooks, Spec};

use super::{Networks, Plan};
use crate::engine::error::{Error, Kind, Result};
use crate::engine::runtime::SPECIFICATION;
use crate::engine::runtime::hooks::{Setting, State};
use crate::engine::runtime::rdt::Allocation;
use crate::engine::runtime::terms::{Attendant, Waiting};
use crate::engine::sys::poll::Poller;

/// Whether a specification has anything that `after` must undo or tell.
#[must_use]
pub fn any(spec: &Spec) -> bool {
    let caches = spec
        .linux()
        .as_ref()
        .is_some_and(|l| l.intel_rdt().is_some());
    caches || spec.hooks().is_some()
}

/// Who connects the container at its start.
#[derive(Debug)]
pub(super) struct Connects<'a> {
    pub(super) plan: &'a Plan,
    pub(super) networks: &'a mut dyn Networks,
    pub(super) poller: &'a Poller,
}

/// Hooks before and at a start.
#[derive(Debug)]
pub(super) struct Around<'a> {
    pub(super) spec: &'a Spec,
    pub(super) id: &'a str,
    pub(super) bundle: &'a Path,
    pub(super) connects: Option<Connects<'a>>,
}

impl Around<'_> {
    /// Whether the first process must wait for hooks when its mounts are made.
    pub(super) fn stops_when_mounted(&self) -> bool {
        let some = |list: &Option<Vec<Hook>>| list.as_ref().is_some_and(|list| !list.is_empty());
        let hooks = self.spec.hooks().as_ref();
        hooks.is_some_and(|hooks| some(hooks.prestart()) || some(hooks.create_runtime()))
    }

    /// The program runs.
    ///
    /// # Errors
    /// Which hook failed and how.
    pub(super) fn started(&self, pid: i32) -> Result<()> {
        self.run("poststart", "running", pid, Hooks::poststart)
    }

    fn run(
        &self,
        kind: &str,
        status: &str,
        pid: i32,
        of: impl Fn(&Hooks) -> &Option<Vec<Hook>>,
    ) -> Result<()> {
        let Some(list) = self
            .spec
            .hooks()
            .as_ref()
            .and_then(|hooks| of(hooks).as_ref())
        else {
            return Ok(());
        };
        self.setting(kind, &self.state(status, pid)?).run(list)
    }

    fn state(&self, status: &str, pid: i32) -> Result<Vec<u8>> {
        let state = State {
            oci_version: SPECIFICATION,
            id: self.id,
            status,
            pid: pid.cast_unsigned(),
            bundle: self.bundle,
            annotations: self.spec.annotations().as_ref(),
        };
        serde_json::to_vec(&state).map_err(|error| Error::new(Kind::Internal, error.to_string()))
    }

    fn setting<'a>(&'a self, kind: &'a str, state: &'a [u8]) -> Setting<'a> {
        Setting {
            kind,
            state,
            dir: Some(self.bundle),
            env: None,
            outputs: None,
        }
    }
}

impl Attendant for Around<'_> {
    fn is_busy_when_cloned(&self) -> bool {
        let connects = self.connects.as_ref();
        connects.is_some_and(|connects| connects.plan.networking.is_some())
    }

    fn cloned(&mut self, network: &dyn Fn() -> Result<OwnedFd>) -> Result<()> {
        let Some(connects) = &mut self.connects else {
            return Ok(());
        };
        if connects.plan.networking.is_none() {
            return Ok(());
        }
        let namespace = network()?;
        connects.networks.attach(
            connects.plan,
            self.bundle,
            namespace.as_fd(),
            connects.poller,
        )
    }

    fn mounted(&mut self, waiting: Waiting<'_>) -> Result<()> {
        self.run("prestart", "creating", waiting.pid, Hooks::prestart)?;
        self.run(
            "createRuntime",
            "creating",
            waiting.pid,
            Hooks::create_runtime,
        )
    }

    fn prepared(&mut self, _waiting: Waiting<'_>) -> Result<()> {
        Ok(())
    }

    fn filtered(&mut self, _waiting: Waiting<'_>, _filter: BorrowedFd<'_>) -> Result<()> {
        let message = "seccomp profile: SCMP_ACT_NOTIFY: there is nobody here to tell of a filter";
        Err(Error::unsupported(message))
    }
}

/// After a run: `poststop` hooks, and the group of caches goes. Everything that went wrong.
pub(super) fn after(live: &Path, plan: &Plan) -> Vec<Error> {
    if !plan.attended {
        return Vec::new();
    }
    let Ok(spec) = Spec::load(live.join("config.json")) else {
        // Somebody was here before.
        return Vec::new();
    };
    let around = Around {
        spec: &spec,
        id: plan.id.as_str(),
        bundle: live,
        connects: None,
    };
    let mut errors = Vec::new();
    if let Ok(Some(group)) = Allocation::of(&spec, around.id) {
        errors.extend(group.remove().err());
    }
    let hooks = spec.hooks().as_ref();
    if let Some(list) = hooks.and_then(|hooks| hooks.poststop().as_ref()) {
        match around.state("stopped", 0) {
            Ok(state) => errors.extend(around.setting("poststop", &state).run_all(list)),
            Err(error) => errors.push(error),
        }
    }
    errors
}
