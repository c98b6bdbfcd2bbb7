//! `exec`: a further process in a container.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use oci_spec::runtime::{Capability, LinuxCapabilities, Process, Spec};

use super::create::Run;
use super::foreground::Foreground;
use super::state::{Known, Record, Status};
use super::{Begun, Runtime, bundle, console, create, listener};
use crate::engine::error::{Attempt, Error, Kind, Result};
use crate::engine::runtime::cgroup::Cgroup;
use crate::engine::runtime::join::{self, Join};
use crate::engine::runtime::launch::Io;
use crate::engine::runtime::schedule::Affinity;
use crate::engine::runtime::terms::{Attendant, Container, Terms, Waiting};
use crate::engine::runtime::{caps, init};
use crate::engine::sys::{file, own};

/// What to run, and how.
#[derive(Debug, Clone, Default)]
pub struct Exec {
    /// The container's name.
    pub id: String,
    /// The process as a document, instead of `change` (and its own terminal setting).
    pub document: Option<Vec<u8>>,
    /// What is different from the container's first process.
    pub change: Change,
    /// Do not wait for its end.
    pub detach: bool,
    /// Also in a container that is paused: the process then waits with it.
    pub ignore_paused: bool,
    /// Groups below the container's: `[controller,…:]path`.
    pub cgroups: Vec<String>,
    /// Who gets the terminal.
    pub console_socket: Option<PathBuf>,
    /// Who gets a descriptor of the process.
    pub pidfd_socket: Option<PathBuf>,
    /// File to write its id to.
    pub pid_file: Option<PathBuf>,
    /// So many descriptors from 3 on go to the program.
    pub preserved_fds: u32,
    /// How many of them are sockets of sd_listen_fds(3).
    pub listen_fds: u32,
}

/// What is different from the container's first process.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// The command.
    pub args: Vec<String>,
    /// A terminal; without it there is none, whatever the first process has.
    pub tty: bool,
    /// Working directory.
    pub cwd: Option<PathBuf>,
    /// Further variables.
    pub env: Vec<String>,
    /// `uid[:gid]`.
    pub user: Option<String>,
    /// Further supplementary groups.
    pub additional_gids: Vec<u32>,
    /// Further capabilities.
    pub caps: Vec<String>,
    /// SELinux label.
    pub process_label: Option<String>,
    /// AppArmor profile.
    pub apparmor: Option<String>,
    /// `noNewPrivileges`, if it is to be set.
    pub no_new_privs: Option<bool>,
}

impl Runtime {
    /// Runs a process in a container: its exit code, or 0 if it is left alone.
    ///
    /// # Errors
    /// [`Kind::Conflict`] if the container does not run; what is wrong with the process, or which step failed.
    pub fn exec(&self, request: &Exec) -> Result<i32> {
        let known = self.find(&request.id)?;
        match known.status()? {
            Status::Created | Status::Running => {}
            Status::Paused if request.ignore_paused => {}
            Status::Paused => {
                return Err(Error::conflict(
                    "cannot exec in a paused container (use --ignore-paused to override)",
                ));
            }
            Status::Stopped => {
                return Err(Error::conflict("cannot exec in a stopped container"));
            }
            Status::Creating => {
                return Err(Error::conflict(
                    "cannot exec in a container that is being created",
                ));
            }
        }
        own::forget_code();
        let spec = known.place.spec()?;
        own::forget_code();
        let (mut process, warnings) = request.process(&spec)?;
        self.ear.tell(&warnings);
        create::add_listen_fds(&mut process, request.listen_fds);
        if let Some(wanted) = process.exec_cpu_affinity()
            && let Some(mask) = Affinity::parse(wanted)?.initial
        {
            self.ear
                .step(|| format!("nsexec: affinity: {}", mask.hexadecimal()));
        }
        let run = if request.detach {
            Run::Detached
        } else {
            Run::Kept
        };
        let terminal = process.terminal().unwrap_or(false);
        console::check(terminal, request.console_socket.as_deref(), run)?;
        let foreground = match run {
            Run::Detached => None,
            Run::Foreground | Run::Kept => Some(Foreground::prepare()?),
        };
        let started = request
            .join(&known, &spec, &process, run)
            .map_err(|error| request.in_flags(error))?;
        self.ear.step(|| {
            let (pid, id) = (started.pid, &request.id);
            format!("exec: process {pid} was started in container {id}")
        });
        self.ear.timeline(&started, Begun::Exec);
        match foreground {
            None => Ok(0),
            Some(foreground) => foreground.supervise(started),
        }
    }
}

impl Exec {
    fn process(&self, spec: &Spec) -> Result<(Process, Vec<String>)> {
        let (process, mut warnings) = if let Some(document) = &self.document {
            bundle::parse_process(document).attempt(|| "--process")?
        } else {
            let main = spec.process().clone().ok_or_else(|| {
                let text = "the container's configuration has no process";
                Error::new(Kind::Internal, text)
            })?;
            self.change.apply(main)?
        };
        bundle::check_process(&process, "process")?;
        warnings.extend(create::ungranted(spec, &process)?);
        Ok((process, warnings))
    }

    fn join(
        &self,
        known: &Known,
        spec: &Spec,
        process: &Process,
        run: Run,
    ) -> Result<crate::engine::runtime::launch::Process> {
        let first = known.record.process;
        let first = first.ok_or_else(|| Error::conflict("container not running"))?;
        let cgroup = self.cgroup(known)?;
        let connect = |path: &Option<PathBuf>, flag| {
            let path = path.as_deref();
            path.map(|path| console::connect(path, flag)).transpose()
        };
        let mut handover = Handover {
            spec,
            record: &known.record,
            console: connect(&self.console_socket, "--console-socket")?,
            pidfd: connect(&self.pidfd_socket, "--pidfd-socket")?,
            pid_file: self.pid_file.as_deref(),
        };
        let join = Join {
            pid: first.pid,
            pid_start: first.start,
            spec,
            process,
            cgroup: &cgroup,
            io: if process.terminal().unwrap_or(false) {
                Io::Terminal(console::size(process, run))
            } else {
                Io::Inherit
            },
            terms: Terms {
                outlives_parent: true,
                preserved_fds: self.preserved_fds.saturating_add(self.listen_fds),
                container: Some(Container {
                    id: known.record.id.as_str(),
                    bundle: &known.record.bundle,
                }),
                ..Terms::default()
            },
        };
        join::start_attended(&join, &mut handover)
    }

    /// Says which flag it was.
    fn in_flags(&self, error: Error) -> Error {
        let is_flags = self.document.is_none() && self.change.cwd.is_some();
        if is_flags && error.message().starts_with("process.cwd: ") {
            return error.attempting("--cwd");
        }
        error
    }

    fn cgroup(&self, known: &Known) -> Result<Cgroup> {
        let cgroup = known.record.cgroup.clone();
        let mut cgroup = cgroup
            .ok_or_else(|| Error::new(Kind::Internal, "the container's cgroup is not known"))?;
        for text in &self.cgroups {
            cgroup = cgroup.subgroup(text).attempt(|| "--cgroup")?;
        }
        Ok(cgroup)
    }
}

impl Change {
    /// The process to run, and what of the change means nothing.
    fn apply(&self, mut process: Process) -> Result<(Process, Vec<String>)> {
        if self.args.is_empty() {
            return Err(Error::invalid("exec args cannot be empty"));
        }
        process
            .set_args(Some(self.args.clone()))
            .set_terminal(Some(self.tty));
        if let Some(cwd) = &self.cwd {
            process.set_cwd(cwd.clone());
            bundle::check_cwd(&process, "--cwd")?;
        }
        for entry in &self.env {
            init::split_variable(entry).attempt(|| format!("--env {entry:?}"))?;
        }
        let mut env = process.env().clone().unwrap_or_default();
        env.extend(self.env.iter().cloned());
        process.set_env(Some(env));
        if let Some(label) = &self.process_label {
            process.set_selinux_label(Some(label.clone()));
        }
        if let Some(profile) = &self.apparmor {
            process.set_apparmor_profile(Some(profile.clone()));
        }
        if let Some(set) = self.no_new_privs {
            process.set_no_new_privileges(Some(set));
        }
        self.apply_user(&mut process)?;
        let warnings = self.apply_caps(&mut process);
        Ok((process, warnings))
    }

    fn apply_user(&self, process: &mut Process) -> Result<()> {
        let mut user = process.user().clone();
        if let Some(text) = &self.user {
            let (uid, gid) = match text.split_once(':') {
                Some((uid, gid)) => (uid, Some(gid)),
                None => (text.as_str(), None),
            };
            user.set_uid(number(uid).ok_or_else(|| bad_id("uid", uid))?);
            if let Some(gid) = gid {
                user.set_gid(number(gid).ok_or_else(|| bad_id("gid", gid))?);
            }
        }
        if !self.additional_gids.is_empty() {
            let mut groups = user.additional_gids().clone().unwrap_or_default();
            groups.extend(&self.additional_gids);
            user.set_additional_gids(Some(groups));
        }
        process.set_user(user);
        Ok(())
    }

    /// As runc does: ambient only where something is inheritable, because one needs the other (capabilities(7)).
    fn apply_caps(&self, process: &mut Process) -> Vec<String> {
        if self.caps.is_empty() {
            return Vec::new();
        }
        let (more, unknown) = caps::named(&self.caps);
        let add = |set: &Option<std::collections::HashSet<Capability>>| {
            let mut set = set.clone().unwrap_or_default();
            set.extend(more.iter().copied());
            Some(set)
        };
        let mut sets: LinuxCapabilities = process.capabilities().clone().unwrap_or_default();
        let (bounding, effective, permitted) = (
            add(sets.bounding()),
            add(sets.effective()),
            add(sets.permitted()),
        );
        let inherits = sets
            .inheritable()
            .as_ref()
            .is_some_and(|set| !set.is_empty());
        let ambient = if inherits {
            add(sets.ambient())
        } else {
            sets.ambient().clone()
        };
        sets.set_bounding(bounding)
            .set_effective(effective)
            .set_permitted(permitted)
            .set_ambient(ambient);
        process.set_capabilities(Some(sets));
        if unknown.is_empty() {
            return Vec::new();
        }
        let list = unknown.join(" ");
        vec![format!("--cap: ignoring what is no capability: [{list}]")]
    }
}

/// Digits alone: no sign, nothing that wraps (CVE-2024-40635).
fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

fn bad_id(what: &str, text: &str) -> Error {
    Error::invalid(format!("--user: bad {what}: {text:?} is not a number"))
}

/// Gives away what was asked for, before the program is executed.
struct Handover<'a> {
    spec: &'a Spec,
    record: &'a Record,
    console: Option<OwnedFd>,
    pidfd: Option<OwnedFd>,
    pid_file: Option<&'a Path>,
}

impl Attendant for Handover<'_> {
    fn mounted(&mut self, _waiting: Waiting<'_>) -> Result<()> {
        Ok(())
    }

    fn prepared(&mut self, waiting: Waiting<'_>) -> Result<()> {
        console::hand_over(self.console.take(), self.pidfd.take(), waiting)?;
        match self.pid_file {
            Some(path) => file::write_pid(path, waiting.pid).attempt(|| "--pid-file"),
            None => Ok(()),
        }
    }

    fn filtered(&mut self, waiting: Waiting<'_>, filter: BorrowedFd<'_>) -> Result<()> {
        let status = Status::Running;
        listener::announce(self.spec, self.record, status, waiting.pid, filter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn main() -> Process {
        serde_json::from_value(serde_json::json!({
            "terminal": true, "cwd": "/", "user": {"uid": 1, "gid": 2, "additionalGids": [3]},
            "args": ["sh"], "env": ["A=1"], "capabilities": {"bounding": ["CAP_KILL"]},
        }))
        .unwrap()
    }

    fn change() -> Change {
        Change {
            args: vec!["ls".to_owned()],
            ..Change::default()
        }
    }

    #[test]
    fn what_is_not_asked_for_stays_as_it_is() {
        let (process, _) = change().apply(main()).unwrap();
        assert_eq!(process.args().as_deref().unwrap(), ["ls"]);
        assert_eq!(process.terminal(), Some(false));
        assert_eq!((process.user().uid(), process.user().gid()), (1, 2));
        assert_eq!(process.capabilities(), main().capabilities());
    }

    #[test]
    fn what_is_asked_for_is_added() {
        let (process, told) = Change {
            user: Some("7:8".to_owned()),
            additional_gids: vec![9],
            env: vec!["B=2".to_owned()],
            caps: ["CAP_CHOWN", "NOSUCH", "kill"].map(str::to_owned).to_vec(),
            ..change()
        }
        .apply(main())
        .unwrap();
        assert_eq!((process.user().uid(), process.user().gid()), (7, 8));
        assert_eq!(process.user().additional_gids(), &Some(vec![3, 9]));
        assert_eq!(process.env().as_deref().unwrap(), ["A=1", "B=2"]);
        let sets = process.capabilities().clone().unwrap();
        assert!(
            sets.bounding()
                .as_ref()
                .unwrap()
                .contains(&Capability::Kill)
        );
        for set in [sets.bounding(), sets.effective(), sets.permitted()] {
            assert!(set.as_ref().unwrap().contains(&Capability::Chown));
        }
        assert!(sets.ambient().is_none());
        assert_eq!(
            told,
            ["--cap: ignoring what is no capability: [NOSUCH kill]"]
        );
    }

    #[test]
    fn an_id_is_a_number_that_fits() {
        for user in ["", "x", "-1", "+1", "1:", "4294967296", "1:x", "1:2:3"] {
            let change = Change {
                user: Some(user.to_owned()),
                ..change()
            };
            let error = change.apply(main()).unwrap_err().to_string();
            assert!(error.starts_with("--user: bad "), "{user}: {error}");
        }
    }
}
