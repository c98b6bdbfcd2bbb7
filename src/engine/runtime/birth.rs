//! How a container's first process gets into its namespaces.
//!
//! Usually by one clone3(2) that makes all of them. Some cannot be had that way: a pid namespace is entered by the children
//! of whoever asked; a user namespace must be entered before others are made, and after those of the host are joined; a
//! clock is set before anybody lives by it. Then a helper process does these things and clones the first process as its
//! own sibling, so that its parent is the same as always:
//!
//! ```text
//! parent ── clone ──> helper: joins, unshares ── clone(CLONE_PARENT) ──> first process
//!    ^                  │  "map my users", "set my clocks", "born", or a failure
//!    └──────────────────┘
//! ```

use std::fmt::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use oci_spec::runtime::{LinuxNamespace, LinuxNamespaceType, Process, Spec};

use super::idmap::Maps;
use super::init::{self, decode_failure, encode_failure};
use crate::engine::error::{Attempt, Error, Kind, Result};
use crate::engine::sys::cred::{self, Groups};
use crate::engine::sys::process::{self, Cloned, Namespaces, Wait};
use crate::engine::sys::{namespace, node, procfs};

/// First byte of the helper's messages: its users are to be mapped.
const MAP: u8 = b'U';
/// Its clocks are to be set.
const SET_CLOCKS: u8 = b'C';
/// The first process's descriptor comes with it.
const BORN: u8 = b'B';
/// What the parent answers.
const DONE: u8 = b'D';

/// What has to be done.
#[derive(Debug)]
pub(super) struct Birth<'a> {
    process: &'a Process,
    /// New namespaces that the first process is born into.
    new: Namespaces,
    joins: Vec<Join<'a>>,
    /// For a new user namespace.
    maps: Option<Maps>,
    /// What `/proc/<pid>/timens_offsets` takes.
    offsets: Option<String>,
}

/// A namespace to join, opened where its path is valid.
#[derive(Debug)]
struct Join<'a> {
    kind: LinuxNamespaceType,
    path: &'a Path,
    file: OwnedFd,
}

impl<'a> Birth<'a> {
    /// Looks what a specification needs.
    ///
    /// # Errors
    /// A path that does not lead to a namespace, or a contradiction.
    pub(super) fn plan(spec: &'a Spec, process: &'a Process) -> Result<Self> {
        // The cgroup namespace is made by the first process, once it is in its cgroups.
        let new = init::new_namespaces(spec) & !process::NEWCGROUP;
        let given = init::namespaces(spec).filter_map(Join::open);
        let joins = given.collect::<Result<Vec<Join<'a>>>>()?;
        let maps = match new & process::NEWUSER {
            0 => None,
            _ => Some(Maps::of(spec)?),
        };
        Ok(Self {
            process,
            new,
            joins,
            maps,
            offsets: offsets(spec)?,
        })
    }

    /// Whether there is a user namespace other than ours.
    pub(super) fn has_users(&self) -> bool {
        self.maps.is_some() || self.joins(LinuxNamespaceType::User)
    }

    /// Clones the first process, which goes on in [`Cloned::Child`]. If it has a user namespace it is root there.
    ///
    /// # Errors
    /// What could not be joined or made.
    pub(super) fn clone(&self, group: Option<BorrowedFd<'_>>) -> Result<Cloned> {
        if self.needs_helper() {
            return self.clone_by_helper(group);
        }
        let Some(maps) = &self.maps else {
            return process::clone_process(self.new, group);
        };
        let (ours, theirs) = process::message_pair()?;
        match process::clone_process(self.new, group)? {
            Cloned::Child => {
                drop(ours);
                let ready = await_answer(theirs.as_fd()).and_then(|()| self.become_root());
                match ready {
                    Ok(()) => Ok(Cloned::Child),
                    Err(error) => fail(theirs.as_fd(), &error),
                }
            }
            Cloned::Parent { pid, pidfd } => {
                drop(theirs);
                let mapped = set_score(self.process, pid)
                    .and_then(|()| maps.write(pid))
                    .and_then(|()| process::send_message(ours.as_fd(), &[DONE], None))
                    .and_then(|()| await_failure(ours.as_fd()));
                match mapped {
                    Ok(()) => Ok(Cloned::Parent { pid, pidfd }),
                    Err(error) => Err(abandon(&pidfd, error)),
                }
            }
        }
    }

    fn joins(&self, kind: LinuxNamespaceType) -> bool {
        self.joins.iter().any(|join| join.kind == kind)
    }

    fn needs_helper(&self) -> bool {
        self.joins(LinuxNamespaceType::Pid)
            || self.joins(LinuxNamespaceType::User)
            || (self.maps.is_some() && !self.joins.is_empty())
            || self.offsets.is_some()
    }

    /// Namespaces that the first process joins by itself, once it runs.
    fn left(&self) -> &[Join<'a>] {
        if self.needs_helper() {
            &[]
        } else {
            &self.joins
        }
    }

    /// What the first process needs for [`Self::join`].
    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.left().iter().map(|join| join.file.as_fd())
    }

    /// The network namespace that the first process, whose id is given, has or will have.
    ///
    /// # Errors
    /// What open(2) says.
    pub(super) fn network_of(&self, pid: i32) -> Result<OwnedFd> {
        let joined = self
            .joins
            .iter()
            .find(|join| join.kind == LinuxNamespaceType::Network);
        match joined {
            Some(join) => node::open(join.path),
            None => node::open(Path::new(&format!("/proc/{pid}/ns/net"))),
        }
    }

    /// Joins what is left to join. For the first process.
    ///
    /// # Errors
    /// What setns(2) says.
    pub(super) fn join(&self) -> Result<()> {
        self.left().iter().try_for_each(Join::enter)
    }

    fn clone_by_helper(&self, group: Option<BorrowedFd<'_>>) -> Result<Cloned> {
        by_helper(
            group,
            |parent| self.help(parent),
            |socket, helper| self.attend(socket, helper),
        )
    }

    /// The parent's side: does what the helper may not, until it sends the first process's descriptor.
    fn attend(&self, socket: BorrowedFd<'_>, helper: i32) -> Result<OwnedFd> {
        loop {
            match (hear(socket)?, &self.maps, &self.offsets) {
                (Word::Born(first), ..) => return Ok(first),
                (Word::Asks(MAP), Some(maps), _) => maps.write(helper)?,
                (Word::Asks(SET_CLOCKS), _, Some(offsets)) => {
                    procfs::write_of(helper, "timens_offsets", offsets)
                        .attempt(|| "linux.timeOffsets")?;
                }
                (Word::Asks(_), ..) => return Err(ended_early()),
            }
            process::send_message(socket, &[DONE], None)?;
        }
    }

    /// The helper's side. Others are joined first with the rights of whoever called us, then the user namespace, then
    /// those that only its root may join (as nsenter(1) does it).
    fn help(&self, parent: BorrowedFd<'_>) -> Result<Cloned> {
        process::die_with_parent()?;
        if self.has_users() {
            // Afterwards we lack the right to.
            set_own_score(self.process)?;
        }
        if self.joins(LinuxNamespaceType::Pid) {
            // Others live there already, and must not look into us (CVE-2016-9962).
            process::hide_from_tracers()?;
        }
        let (users, others): (Vec<&Join<'_>>, Vec<&Join<'_>>) = self
            .joins
            .iter()
            .partition(|join| join.kind == LinuxNamespaceType::User);
        let mut left = Vec::new();
        for join in others {
            match join.enter() {
                Err(error) if error.raw_os_error() == Some(libc::EPERM) && self.has_users() => {
                    left.push(join);
                }
                other => other?,
            }
        }
        for join in users {
            join.enter()?;
            self.become_root()?;
        }
        if self.maps.is_some() {
            namespace::unshare(process::NEWUSER)?;
            ask(parent, MAP)?;
            self.become_root()?;
        }
        left.into_iter().try_for_each(Join::enter)?;
        let mut new = self.new & !process::NEWUSER;
        if self.offsets.is_some() {
            namespace::unshare(process::NEWTIME)?;
            ask(parent, SET_CLOCKS)?;
            // Children are born into it.
            new &= !process::NEWTIME;
        }
        process::clone_sibling(new)
    }

    /// In a user namespace: its root, or, if it has none, the user that the program will be.
    fn become_root(&self) -> Result<()> {
        become_root(self.process)
    }
}

/// Takes the rights that a user namespace gives: its root's, or, if it has none, those of the user that the program
/// will be.
///
/// # Errors
/// What setresuid(2) says.
pub(super) fn become_root(wanted: &Process) -> Result<()> {
    match cred::become_user(0, 0, Groups::Kept) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            let user = wanted.user();
            cred::become_user(user.uid(), user.gid(), Groups::Kept)
        }
        other => other,
    }
}

impl<'a> Join<'a> {
    fn open(given: &'a LinuxNamespace) -> Option<Result<Self>> {
        let path = given.path().as_deref()?;
        let kind = given.typ();
        // A namespace file is a magic link of /proc or a bind mount of one, chosen by the engine's caller.
        let file = node::open(path).attempt(|| format!("linux.namespaces: join {kind}"));
        Some(file.map(|file| Self { kind, path, file }))
    }

    fn enter(&self) -> Result<()> {
        let kind = self.kind;
        namespace::enter_file(
            self.file.as_fd(),
            init::namespace_bit(kind),
            self.path.display(),
        )
        .attempt(|| format!("linux.namespaces: join {kind}"))
    }
}

/// `linux.timeOffsets` as the kernel takes them (time_namespaces(7)).
fn offsets(spec: &Spec) -> Result<Option<String>> {
    let list = spec
        .linux()
        .as_ref()
        .and_then(|linux| linux.time_offsets().as_ref())
        .filter(|list| !list.is_empty());
    let Some(list) = list else {
        return Ok(None);
    };
    let field = "linux.timeOffsets";
    let time = init::namespaces(spec).find(|n| n.typ() == LinuxNamespaceType::Time);
    match time.map(LinuxNamespace::path) {
        None => {
            return Err(Error::invalid(format!(
                "{field}: time namespace offsets specified, but time namespace isn't enabled in the config"
            )));
        }
        Some(Some(_)) => {
            return Err(Error::invalid(format!(
                "{field}: time namespace enabled, but both namespace path and time offsets specified -- you may only provide one"
            )));
        }
        Some(None) => {}
    }
    let mut text = String::new();
    for (clock, offset) in list {
        if !matches!(clock.as_str(), "monotonic" | "boottime") {
            return Err(Error::invalid(format!("{field}: no clock {clock:?}")));
        }
        let (seconds, nanos) = (offset.secs().unwrap_or(0), offset.nanosecs().unwrap_or(0));
        if nanos >= 1_000_000_000 {
            return Err(Error::invalid(format!(
                "{field}.{clock}.nanosecs: {nanos} is a second or more"
            )));
        }
        let _ = writeln!(text, "{clock} {seconds} {nanos}");
    }
    Ok(Some(text))
}

fn set_score(wanted: &Process, pid: i32) -> Result<()> {
    match wanted.oom_score_adj() {
        Some(score) => procfs::write_oom_score_of(pid, score).attempt(|| "process.oomScoreAdj"),
        None => Ok(()),
    }
}

fn set_own_score(wanted: &Process) -> Result<()> {
    match wanted.oom_score_adj() {
        Some(score) => procfs::write_own_oom_score(score).attempt(|| "process.oomScoreAdj"),
        None => Ok(()),
    }
}

/// Clones a process that is in the user and pid namespaces of another one. For callers who may enter the second only with
/// the rights that the first gives: a helper takes those, and the caller stays who it is.
///
/// # Errors
/// What setns(2) says.
pub(super) fn clone_inside(target: BorrowedFd<'_>, wanted: &Process) -> Result<Cloned> {
    let help = |_: BorrowedFd<'_>| {
        process::die_with_parent()?;
        // Before it is hidden: afterwards its directory of `/proc` is root's (proc(5)).
        set_own_score(wanted)?;
        // Others live there already, and must not look into us (CVE-2016-9962).
        process::hide_from_tracers()?;
        namespace::enter(target, process::NEWUSER | process::NEWPID)?;
        become_root(wanted)?;
        process::clone_sibling(0)
    };
    by_helper(None, help, |socket, _| match hear(socket)? {
        Word::Born(first) => Ok(first),
        Word::Asks(_) => Err(ended_early()),
    })
}

/// Clones by way of a helper, which does its part and clones the process in question as its own sibling; `attend` is the
/// caller's part.
fn by_helper(
    group: Option<BorrowedFd<'_>>,
    help: impl FnOnce(BorrowedFd<'_>) -> Result<Cloned>,
    attend: impl FnOnce(BorrowedFd<'_>, i32) -> Result<OwnedFd>,
) -> Result<Cloned> {
    let (ours, theirs) = process::message_pair()?;
    match process::clone_process(0, group)? {
        Cloned::Child => {
            drop(ours);
            match help(theirs.as_fd()) {
                Ok(Cloned::Child) => Ok(Cloned::Child),
                Ok(Cloned::Parent { pidfd, .. }) => {
                    let pidfd = Some(pidfd.as_fd());
                    let told = process::send_message(theirs.as_fd(), &[BORN], pidfd);
                    process::exit_now(i32::from(told.is_err()))
                }
                Err(error) => fail(theirs.as_fd(), &error),
            }
        }
        Cloned::Parent { pid, pidfd } => {
            drop(theirs);
            let born = attend(ours.as_fd(), pid);
            // Whatever it said, it has nothing left to do.
            let helper = process::send_signal(pidfd.as_fd(), libc::SIGKILL)
                .and_then(|()| process::wait(pidfd.as_fd(), Wait::Block));
            let first = born?;
            helper?;
            let pid = procfs::pid_of(first.as_fd())?;
            Ok(Cloned::Parent { pid, pidfd: first })
        }
    }
}

/// What a helper says.
enum Word {
    /// The process is there.
    Born(OwnedFd),
    /// Something is to be done for it.
    Asks(u8),
}

fn hear(socket: BorrowedFd<'_>) -> Result<Word> {
    let mut buffer = vec![0; init::MAX_MESSAGE];
    let (length, fd) = process::receive_message(socket, &mut buffer)?;
    let message = buffer.get(..length).unwrap_or_default();
    match (message.first(), fd) {
        (Some(&BORN), Some(first)) => Ok(Word::Born(first)),
        (Some(&init::FAILED), _) => Err(decode_failure(message, &[])),
        (Some(&what), _) => Ok(Word::Asks(what)),
        (None, _) => Err(ended_early()),
    }
}

fn ended_early() -> Error {
    Error::new(
        Kind::Internal,
        "the process that prepares namespaces ended early",
    )
}

fn ask(parent: BorrowedFd<'_>, what: u8) -> Result<()> {
    process::send_message(parent, &[what], None)?;
    await_answer(parent)
}

fn await_answer(parent: BorrowedFd<'_>) -> Result<()> {
    let mut byte = [0];
    match process::receive_message(parent, &mut byte)? {
        (1, _) if byte == [DONE] => Ok(()),
        _ => Err(Error::new(Kind::Cancelled, "the parent gave up")),
    }
}

/// The other side closes without a word if all went well.
fn await_failure(child: BorrowedFd<'_>) -> Result<()> {
    let mut buffer = vec![0; init::MAX_MESSAGE];
    match process::receive_message(child, &mut buffer)? {
        (0, _) => Ok(()),
        (length, _) => Err(decode_failure(
            buffer.get(..length).unwrap_or_default(),
            &[],
        )),
    }
}

fn fail(parent: BorrowedFd<'_>, error: &Error) -> ! {
    // If the parent is gone there is nobody to tell.
    let _ = process::send_message(parent, &encode_failure(0, error), None);
    process::exit_now(1)
}

fn abandon(pidfd: &OwnedFd, error: Error) -> Error {
    let _ = process::send_signal(pidfd.as_fd(), libc::SIGKILL);
    let _ = process::wait(pidfd.as_fd(), Wait::Block);
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(linux: &str, expect: Result<Option<&str>, &str>) {
        let json = format!(r#"{{"ociVersion":"1.2.0","linux":{{{linux}}}}}"#);
        let spec: Spec = serde_json::from_str(&json).unwrap();
        let got = offsets(&spec).map_err(|error| error.to_string());
        let expect = expect
            .map(|text| text.map(str::to_owned))
            .map_err(|text| format!("linux.timeOffsets{text}"));
        assert_eq!(got, expect, "{linux}");
    }

    #[test]
    fn clocks_are_set_in_a_new_time_namespace_only() {
        let offsets = r#""timeOffsets":{"boottime":{"secs":-7,"nanosecs":5}}"#;
        let with = |namespace: &str| format!(r#"{offsets},"namespaces":[{namespace}]"#);
        check("", Ok(None));
        check(r#""timeOffsets":{}"#, Ok(None));
        check(&with(r#"{"type":"time"}"#), Ok(Some("boottime -7 5\n")));
        check(
            &with(""),
            Err(
                ": time namespace offsets specified, but time namespace isn't enabled in the config",
            ),
        );
        check(
            &with(r#"{"type":"time","path":"/proc/self/ns/time"}"#),
            Err(
                ": time namespace enabled, but both namespace path and time offsets specified -- you may only provide one",
            ),
        );
    }

    #[test]
    fn a_clock_that_cannot_be_set_is_named() {
        let time = r#","namespaces":[{"type":"time"}]"#;
        check(
            &format!(r#""timeOffsets":{{"realtime":{{}}}}{time}"#),
            Err(": no clock \"realtime\""),
        );
        check(
            &format!(r#""timeOffsets":{{"monotonic":{{"nanosecs":1000000000}}}}{time}"#),
            Err(".monotonic.nanosecs: 1000000000 is a second or more"),
        );
    }
}
