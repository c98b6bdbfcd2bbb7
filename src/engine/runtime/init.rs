//! What the child does between clone and exec: a list of steps, in order. A step that fails is reported with its name
//! and the kernel's reason over a socket, and the child ends.
//!
//! `launch.rs` runs [`LAUNCH`], `join.rs` runs [`JOIN`]; both are the parent's side.

use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use oci_spec::runtime::{LinuxNamespaceType, Process, Spec};

use super::cgroup::Cgroup;
use super::launch::Rootfs;
use super::mounts::{self, Made, Mask, Source};
use super::seccomp::{self, Filter};
use super::spec::SECCOMP;
use super::user::{self, Identity};
use super::{caps, command, devices, rlimits, rootfs};
use crate::engine::error::{Error, Kind, Result};
use crate::engine::model::request::TerminalSize;
use crate::engine::sys::mount::{self, Depth};
use crate::engine::sys::process::{self, Namespaces};
use crate::engine::sys::rooted::Rooted;
use crate::engine::sys::{cred, namespace, node, pty};

/// First byte of a message to the parent: the terminal's master comes with it.
pub(super) const TERMINAL: u8 = b'T';
/// First byte: everything is prepared, the program is executed next. Microseconds from [`Init::since`] to the end of each
/// step follow, as native `u32`.
pub(super) const READY: u8 = b'R';
/// First byte: a step failed; see [`decode_failure`].
pub(super) const FAILED: u8 = b'E';
/// The parent's only message: the child is in its cgroups.
pub(super) const ATTACHED: u8 = b'A';

/// Longest message.
pub(super) const MAX_MESSAGE: usize = 8192;

/// The child's ends of the standard streams.
#[derive(Debug)]
pub(super) enum ChildIo {
    /// Pipes; without `stdin` the null device.
    Pipes {
        /// Read end.
        stdin: Option<OwnedFd>,
        /// Write end.
        stdout: OwnedFd,
        /// Write end.
        stderr: OwnedFd,
    },
    /// A terminal is opened in the container.
    Terminal(Option<TerminalSize>),
    /// What the parent has.
    Inherit,
}

/// A name for errors, and what to do.
pub(super) type Step = (&'static str, fn(&mut Init<'_>) -> Result<()>);

/// A container's first process.
pub(super) const LAUNCH: &[Step] = &[
    ("descriptors", close_inherited),
    ("parent", die_with_parent),
    ("session", new_session),
    // Sources are copied while they still are what they are on the host: shared mounts keep their peers.
    ("bind sources", copy_sources),
    ("private mounts", |_| mount::make_all_private()),
    ("namespaces", join_given_namespaces),
    ("host name", set_names),
    ("loopback", bring_up_loopback),
    ("root file system", mount_root),
    // Before /sys/fs/cgroup is mounted, after the parent put us into our cgroups: a cgroup namespace's root is the group
    // that its maker is in (cgroup_namespaces(7)).
    ("cgroups", await_cgroups),
    ("cgroup namespace", enter_cgroup_namespace),
    ("mounts", make_mounts),
    ("devices", make_devices),
    ("terminal", open_terminal),
    ("kernel parameters", set_kernel_parameters),
    ("read-only paths", make_paths_readonly),
    ("masked paths", mask_paths),
    ("user", find_user),
    ("working directory", make_working_dir),
    ("read-only root", make_root_readonly),
    // Afterwards nothing of the host is in reach.
    ("pivot root", pivot),
    ("standard streams", set_streams),
    ("limits", set_limits),
    ("directory", change_directory),
    ("filter", make_filter),
    ("rights", drop_rights),
    ("command", find_command),
    // Again, because a change of user clears it (prctl(2), PR_SET_PDEATHSIG).
    ("parent", die_with_parent),
    ("seccomp", install_filter),
];

/// A further process of a running container.
pub(super) const JOIN: &[Step] = &[
    ("descriptors", close_inherited),
    ("parent", die_with_parent),
    ("session", new_session),
    ("cgroups", await_cgroups),
    ("namespaces", enter_namespaces),
    ("root file system", open_root),
    ("terminal", open_terminal),
    ("user", find_user),
    ("standard streams", set_streams),
    ("limits", set_limits),
    ("directory", change_directory),
    ("filter", make_filter),
    ("rights", drop_rights),
    ("command", find_command),
    ("parent", die_with_parent),
    ("seccomp", install_filter),
];

/// Everything the steps work on.
#[derive(Debug)]
pub(super) struct Init<'a> {
    /// The container.
    pub(super) spec: &'a Spec,
    /// The process to become.
    pub(super) process: &'a Process,
    /// The root to mount; `None` when joining.
    pub(super) rootfs: Option<&'a Rootfs>,
    /// Its group.
    pub(super) cgroup: &'a Cgroup,
    /// The container's first process; `None` when launching.
    pub(super) target: Option<BorrowedFd<'a>>,
    /// To the parent.
    pub(super) socket: OwnedFd,
    /// Standard streams.
    pub(super) io: ChildIo,
    /// When the start began.
    pub(super) since: Instant,
    /// What earlier steps made for later ones.
    pub(super) state: State,
}

/// What earlier steps made for later ones.
#[derive(Debug, Default)]
pub(super) struct State {
    sources: Vec<Option<Source>>,
    root: Option<Rooted>,
    made: Made,
    terminal: Option<OwnedFd>,
    identity: Option<Identity>,
    env: Vec<CString>,
    program: Option<PathBuf>,
    rights: Rights,
    filter: Option<Filter>,
    /// When each step was done.
    marks: Vec<Instant>,
}

/// Capabilities to end with.
#[derive(Debug, Default, Clone, Copy)]
struct Rights {
    effective: cred::Capabilities,
    permitted: cred::Capabilities,
    inheritable: cred::Capabilities,
    ambient: cred::Capabilities,
}

/// Runs the steps and executes the program. Never returns: what called this is the parent's business, so not even a
/// panic may go back there.
pub(super) fn run(init: Init<'_>, steps: &[Step]) -> ! {
    let work = std::panic::AssertUnwindSafe(|| run_steps(init, steps));
    let _ = std::panic::catch_unwind(work);
    process::exit_now(1)
}

fn run_steps(mut init: Init<'_>, steps: &[Step]) {
    for (number, (_, step)) in steps.iter().enumerate() {
        if let Err(error) = step(&mut init) {
            report(&init, number, &error);
            process::exit_now(1);
        }
        init.state.marks.push(Instant::now());
    }
    let error = execute(&init);
    // Nobody may be able to hear it: the filter may forbid it, or the parent took our word for it.
    report(&init, steps.len(), &error);
    process::exit_now(if error.kind() == Kind::CommandNotFound {
        127
    } else {
        126
    })
}

/// Kinds by their place, for one byte in a message.
const KINDS: [Kind; 14] = [
    Kind::InvalidInput,
    Kind::NotFound,
    Kind::AlreadyExists,
    Kind::Conflict,
    Kind::Unauthorized,
    Kind::Denied,
    Kind::Unsupported,
    Kind::Unavailable,
    Kind::NoSpace,
    Kind::Timeout,
    Kind::Cancelled,
    Kind::CommandNotRunnable,
    Kind::CommandNotFound,
    Kind::Internal,
];

fn report(init: &Init<'_>, number: usize, error: &Error) {
    let kind = KINDS
        .iter()
        .position(|kind| *kind == error.kind())
        .unwrap_or(KINDS.len());
    let byte = |n: usize| u8::try_from(n).unwrap_or(u8::MAX);
    let mut message = vec![FAILED, byte(number), byte(kind)];
    message.extend(error.to_string().bytes().take(MAX_MESSAGE / 2));
    if let Some(hint) = error.hint() {
        message.push(0);
        message.extend(hint.bytes().take(MAX_MESSAGE / 4));
    }
    // If the parent is gone there is nobody to tell.
    let _ = process::send_message(init.socket.as_fd(), &message, None);
}

/// The error that a child reported. `steps` is the list that it ran.
#[must_use]
pub(super) fn decode_failure(message: &[u8], steps: &[Step]) -> Error {
    let (number, kind, rest) = match message {
        [FAILED, number, kind, rest @ ..] => (usize::from(*number), usize::from(*kind), rest),
        _ => (0, KINDS.len(), message),
    };
    let kind = KINDS.get(kind).copied().unwrap_or(Kind::Internal);
    let mut parts = rest.splitn(2, |byte| *byte == 0);
    let text = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    // What the user got wrong speaks for itself; what the machine got wrong needs its place.
    let plain = matches!(
        kind,
        Kind::InvalidInput | Kind::CommandNotFound | Kind::CommandNotRunnable
    );
    let text = match steps.get(number) {
        Some((name, _)) if !plain => format!(
            "container init: step {}/{} {name}: {text}",
            number + 1,
            steps.len()
        ),
        _ => text,
    };
    let error = Error::new(kind, text);
    match parts.next() {
        Some(hint) => error.with_hint(String::from_utf8_lossy(hint)),
        None => error,
    }
}

/// Step names and when each was done, from a [`READY`] message. The last step cannot report itself.
pub(super) fn decode_marks(message: &[u8], steps: &[Step]) -> Vec<(&'static str, Duration)> {
    let marks = message.get(1..).unwrap_or_default().chunks_exact(4);
    steps
        .iter()
        .zip(marks)
        .map(|((name, _), bytes)| {
            let micros = u32::from_ne_bytes(bytes.try_into().unwrap_or_default());
            (*name, Duration::from_micros(micros.into()))
        })
        .collect()
}

/// The namespaces of a specification that are new.
///
/// # Errors
/// Those that are not supported.
pub(super) fn new_namespaces(spec: &Spec) -> Result<Namespaces> {
    let mut flags = 0;
    for namespace in namespaces(spec) {
        let bit = namespace_bit(namespace.typ());
        match namespace.typ() {
            LinuxNamespaceType::User => {
                return Err(Error::unsupported("user namespaces"));
            }
            LinuxNamespaceType::Pid if namespace.path().is_some() => {
                return Err(Error::unsupported("sharing a pid namespace"));
            }
            _ => {}
        }
        if namespace.path().is_none() {
            flags |= bit;
        }
    }
    // Without a mount namespace of its own the container's mounts would be the host's.
    if flags & process::NEWNS == 0 {
        return Err(Error::invalid("a container needs its own mount namespace"));
    }
    Ok(flags)
}

/// All namespaces that a joining process enters: those that the container has of its own.
#[must_use]
pub(super) fn all_namespaces(spec: &Spec) -> Namespaces {
    namespaces(spec)
        .map(|namespace| namespace_bit(namespace.typ()))
        .fold(0, |flags, bit| flags | bit)
}

fn namespaces(spec: &Spec) -> impl Iterator<Item = &oci_spec::runtime::LinuxNamespace> {
    spec.linux()
        .iter()
        .flat_map(|linux| linux.namespaces().iter().flatten())
}

fn namespace_bit(kind: LinuxNamespaceType) -> Namespaces {
    match kind {
        LinuxNamespaceType::Mount => process::NEWNS,
        LinuxNamespaceType::Cgroup => process::NEWCGROUP,
        LinuxNamespaceType::Uts => process::NEWUTS,
        LinuxNamespaceType::Ipc => process::NEWIPC,
        LinuxNamespaceType::User => process::NEWUSER,
        LinuxNamespaceType::Pid => process::NEWPID,
        LinuxNamespaceType::Network => process::NEWNET,
        LinuxNamespaceType::Time => process::NEWTIME,
    }
}

impl Init<'_> {
    fn root(&self) -> Result<&Rooted> {
        self.state
            .root
            .as_ref()
            .ok_or_else(|| Error::new(Kind::Internal, "the root is not mounted yet"))
    }

    fn identity(&self) -> Result<&Identity> {
        self.state
            .identity
            .as_ref()
            .ok_or_else(|| Error::new(Kind::Internal, "the user is not known yet"))
    }

    fn is_joining(&self) -> bool {
        self.target.is_some()
    }
}

/// The parent's sockets, locks and logs are none of our business.
fn close_inherited(init: &mut Init<'_>) -> Result<()> {
    let mut keep = vec![init.socket.as_fd()];
    keep.extend(init.target);
    if let ChildIo::Pipes {
        stdin,
        stdout,
        stderr,
    } = &init.io
    {
        keep.extend(stdin.as_ref().map(AsFd::as_fd));
        keep.extend([stdout.as_fd(), stderr.as_fd()]);
    }
    process::close_all_but(&keep)
}

fn die_with_parent(_init: &mut Init<'_>) -> Result<()> {
    process::die_with_parent()
}

fn new_session(_init: &mut Init<'_>) -> Result<()> {
    process::reset_signals()?;
    // Modes of what is made for the container are exact; the payload gets the usual mask at the end.
    process::set_umask(0);
    process::new_session()
}

fn copy_sources(init: &mut Init<'_>) -> Result<()> {
    init.state.sources = mounts::sources(init.spec.mounts().as_deref().unwrap_or_default())?;
    Ok(())
}

fn join_given_namespaces(init: &mut Init<'_>) -> Result<()> {
    for given in namespaces(init.spec) {
        let Some(path) = given.path() else { continue };
        // A namespace file is a magic link of /proc or a bind mount of one, chosen by the engine's caller.
        let file = node::open(path)?;
        namespace::enter_file(file.as_fd(), &path.to_string_lossy())?;
    }
    Ok(())
}

fn has_new(init: &Init<'_>, kind: LinuxNamespaceType) -> bool {
    namespaces(init.spec).any(|n| n.typ() == kind && n.path().is_none())
}

fn set_names(init: &mut Init<'_>) -> Result<()> {
    if !has_new(init, LinuxNamespaceType::Uts) {
        return Ok(());
    }
    if let Some(name) = init.spec.hostname().as_deref().filter(|n| !n.is_empty()) {
        namespace::set_host_name(name)?;
    }
    match init.spec.domainname().as_deref().filter(|n| !n.is_empty()) {
        Some(name) => namespace::set_domain_name(name),
        None => Ok(()),
    }
}

fn bring_up_loopback(init: &mut Init<'_>) -> Result<()> {
    if has_new(init, LinuxNamespaceType::Network) {
        namespace::loopback_up()
    } else {
        Ok(())
    }
}

fn mount_root(init: &mut Init<'_>) -> Result<()> {
    let rootfs = init
        .rootfs
        .ok_or_else(|| Error::new(Kind::Internal, "no root file system is given"))?;
    init.state.root = Some(Rooted::from_fd(rootfs::mount(rootfs)?));
    Ok(())
}

fn await_cgroups(init: &mut Init<'_>) -> Result<()> {
    let mut byte = [0];
    let (length, _) = process::receive_message(init.socket.as_fd(), &mut byte)?;
    if length == 0 || byte != [ATTACHED] {
        return Err(Error::new(Kind::Cancelled, "the parent gave up"));
    }
    Ok(())
}

fn enter_cgroup_namespace(init: &mut Init<'_>) -> Result<()> {
    if has_new(init, LinuxNamespaceType::Cgroup) {
        namespace::unshare(process::NEWCGROUP)
    } else {
        Ok(())
    }
}

fn make_mounts(init: &mut Init<'_>) -> Result<()> {
    let list = init.spec.mounts().as_deref().unwrap_or_default();
    let mut made = Made::default();
    for (mount, source) in list.iter().zip(&init.state.sources) {
        mounts::make(init.root()?, mount, source.as_ref(), init.cgroup, &mut made)?;
    }
    init.state.made = made;
    init.state.sources = Vec::new();
    Ok(())
}

fn make_devices(init: &mut Init<'_>) -> Result<()> {
    let extra = init
        .spec
        .linux()
        .as_ref()
        .and_then(|l| l.devices().as_ref());
    if let Some(dev) = &init.state.made.dev {
        let has_kcore = init.root()?.resolve_optional(Path::new("/proc/kcore"))?;
        devices::populate(dev.as_fd(), has_kcore.is_some())?;
    }
    match extra {
        Some(list) => devices::make_extra(init.root()?, list),
        None => Ok(()),
    }
}

fn open_terminal(init: &mut Init<'_>) -> Result<()> {
    let ChildIo::Terminal(size) = init.io else {
        return Ok(());
    };
    let devpts = match &init.state.made.devpts {
        Some(mounted) => mounted
            .try_clone()
            .map_err(|e| Error::io("duplicate a descriptor", e))?,
        None => init.root()?.resolve_plain(Path::new("/dev/pts"))?,
    };
    let pair = pty::open(devpts.as_fd())?;
    if let Some(size) = size {
        pty::set_size(pair.master.as_fd(), size)?;
    }
    if let (Some(dev), false) = (&init.state.made.dev, init.is_joining()) {
        // The descriptor is the peer itself: no name that could have been changed is used (CVE-2025-52565).
        let place = devices::console_place(dev.as_fd())?;
        let console = mount::clone_fd(pair.peer.as_fd(), Depth::One, "/dev/console")?;
        mount::attach(console.as_fd(), place.as_fd(), "/dev/console")?;
    }
    process::send_message(init.socket.as_fd(), &[TERMINAL], Some(pair.master.as_fd()))?;
    init.state.terminal = Some(pair.peer);
    Ok(())
}

fn set_kernel_parameters(init: &mut Init<'_>) -> Result<()> {
    let parameters = init.spec.linux().as_ref().and_then(|l| l.sysctl().as_ref());
    let Some(parameters) = parameters.filter(|list| !list.is_empty()) else {
        return Ok(());
    };
    let proc = init
        .state
        .made
        .proc
        .as_ref()
        .ok_or_else(|| Error::invalid("kernel parameters without a /proc"))?;
    for (name, value) in parameters {
        super::sysctl::check(name, value, |kind| has_new(init, kind))?;
        super::sysctl::set(proc.as_fd(), name, value)?;
    }
    Ok(())
}

fn make_paths_readonly(init: &mut Init<'_>) -> Result<()> {
    let paths = init
        .spec
        .linux()
        .as_ref()
        .and_then(|l| l.readonly_paths().as_ref());
    for path in paths.into_iter().flatten() {
        mounts::make_readonly(init.root()?, Path::new(path))?;
    }
    Ok(())
}

fn mask_paths(init: &mut Init<'_>) -> Result<()> {
    let paths = init
        .spec
        .linux()
        .as_ref()
        .and_then(|l| l.masked_paths().as_ref());
    let Some(paths) = paths.filter(|list| !list.is_empty()) else {
        return Ok(());
    };
    let root = init.root()?;
    let null = devices::null_device(root)?;
    let mut mask = Mask::new(null.as_fd());
    for path in paths {
        mask.cover(root, Path::new(path))?;
    }
    Ok(())
}

fn find_user(init: &mut Init<'_>) -> Result<()> {
    let given = init.process.user();
    let root = init.root()?;
    let identity = match given.username() {
        Some(text) => user::resolve(text, root)?,
        None => Identity {
            uid: given.uid(),
            gid: given.gid(),
            groups: given.additional_gids().clone().unwrap_or_default(),
            home: user::home_of(given.uid(), root)?,
        },
    };
    let sets = init.process.capabilities().as_ref();
    let mut rights = match sets {
        Some(sets) => Rights {
            effective: caps::bits(sets.effective().as_ref()),
            permitted: caps::bits(sets.permitted().as_ref()),
            inheritable: caps::bits(sets.inheritable().as_ref()),
            ambient: caps::bits(sets.ambient().as_ref()),
        },
        None => Rights::default(),
    };
    if given.username().is_some() && identity.uid != 0 {
        // What exec would leave of them anyway, and nothing before it (moby does the same).
        rights.effective = 0;
        rights.permitted = 0;
    }
    let env = init.process.env().as_deref().unwrap_or_default();
    let mut list = Vec::with_capacity(env.len() + 1);
    for entry in env {
        list.push(c_string(entry)?);
    }
    if !env.iter().any(|entry| entry.starts_with("HOME=")) {
        list.push(c_string(&format!("HOME={}", identity.home))?);
    }
    init.state.rights = rights;
    init.state.env = list;
    init.state.identity = Some(identity);
    Ok(())
}

/// A missing working directory is made, as Docker does; inside the root, whatever links are on the way
/// (CVE-2026-55686).
fn make_working_dir(init: &mut Init<'_>) -> Result<()> {
    let path = init.process.cwd();
    init.root()?
        .make_dirs(path)
        .map(drop)
        .map_err(|error| match error.raw_os_error() {
            Some(libc::ENOTDIR) => error.with_kind(Kind::CommandNotRunnable),
            _ => error,
        })
}

fn make_root_readonly(init: &mut Init<'_>) -> Result<()> {
    let said = init
        .spec
        .root()
        .as_ref()
        .and_then(oci_spec::runtime::Root::readonly)
        .unwrap_or(false);
    let Some(rootfs) = init.rootfs else {
        return Ok(());
    };
    if !rootfs::is_readonly(rootfs, said) {
        return Ok(());
    }
    let root = init.root()?.as_fd();
    mount::set_attributes(root, Depth::One, mount::RDONLY, 0, None, "/")
}

fn pivot(init: &mut Init<'_>) -> Result<()> {
    mount::pivot(init.root()?.as_fd())
}

fn set_streams(init: &mut Init<'_>) -> Result<()> {
    let uid = init.identity()?.uid;
    match &init.io {
        ChildIo::Inherit => return Ok(()),
        ChildIo::Terminal(_) => {
            let Some(peer) = &init.state.terminal else {
                return Err(Error::new(Kind::Internal, "no terminal was opened"));
            };
            pty::make_controlling(peer.as_fd())?;
            if uid != 0 {
                process::give_to(peer, uid, None)?;
            }
            for number in 0..=2 {
                process::make_standard(peer.as_fd(), number)?;
            }
        }
        ChildIo::Pipes {
            stdin,
            stdout,
            stderr,
        } => {
            let null;
            let input = if let Some(pipe) = stdin {
                pipe.as_fd()
            } else {
                null = devices::open_null(init.root()?)?;
                null.as_fd()
            };
            for (fd, number) in [(input, 0), (stdout.as_fd(), 1), (stderr.as_fd(), 2)] {
                process::make_standard(fd, number)?;
            }
            // So that the user can open `/dev/stdout` again. The null device stays what it is.
            for pipe in [stdin.as_ref(), Some(stdout), Some(stderr)]
                .into_iter()
                .flatten()
                .filter(|_| uid != 0)
            {
                process::give_to(pipe, uid, None)?;
            }
        }
    }
    init.state.terminal = None;
    Ok(())
}

fn set_limits(init: &mut Init<'_>) -> Result<()> {
    if let Some(limits) = init.process.rlimits() {
        rlimits::apply(limits)?;
    }
    if let Some(score) = init.process.oom_score_adj() {
        super::sysctl::set_oom_score(score)?;
    }
    let mask = init.process.user().umask().unwrap_or(0o022);
    process::set_umask(mask);
    Ok(())
}

fn change_directory(init: &mut Init<'_>) -> Result<()> {
    let path = init.process.cwd();
    process::change_directory(path).map_err(|error| {
        let kind = match error.raw_os_error() {
            Some(libc::ENOENT) => Kind::CommandNotFound,
            _ => Kind::CommandNotRunnable,
        };
        error
            .attempting(format!("enter working directory {}", path.display()))
            .with_kind(kind)
    })
}

fn drop_rights(init: &mut Init<'_>) -> Result<()> {
    let sets = init.process.capabilities().as_ref();
    let bounding = caps::bits(sets.and_then(|sets| sets.bounding().as_ref()));
    let identity = init.identity()?.clone();
    cred::limit_bounding(bounding)?;
    cred::become_user(identity.uid, identity.gid, &identity.groups)?;
    if init.process.no_new_privileges().unwrap_or(false) {
        cred::no_new_privileges()?;
    }
    let here = cred::permitted()?;
    let rights = &mut init.state.rights;
    // What the engine itself does not have it cannot give.
    rights.effective &= here;
    rights.permitted &= here;
    rights.inheritable &= here;
    rights.ambient &= rights.inheritable & rights.permitted;
    // The search for the command is done with the final rights; CAP_SYS_ADMIN stays permitted for the filter alone.
    let keep = here & 1 << SYS_ADMIN;
    cred::set(
        rights.effective,
        rights.permitted | keep,
        rights.inheritable,
    )
}

/// Number of CAP_SYS_ADMIN.
const SYS_ADMIN: u32 = 21;

fn find_command(init: &mut Init<'_>) -> Result<()> {
    let args = init.process.args().as_deref().unwrap_or_default();
    let name = args
        .first()
        .ok_or_else(|| Error::invalid("no command specified"))?;
    let path = init
        .state
        .env
        .iter()
        .find_map(|entry| entry.as_bytes().strip_prefix(b"PATH="))
        .unwrap_or_default();
    init.state.program = Some(command::find(name, OsStr::from_bytes(path))?);
    Ok(())
}

fn make_filter(init: &mut Init<'_>) -> Result<()> {
    let spec = init.spec;
    let builtin = spec
        .annotations()
        .as_ref()
        .and_then(|list| list.get(SECCOMP))
        .is_some_and(|name| name == "default");
    let given = spec.linux().as_ref().and_then(|l| l.seccomp().as_ref());
    init.state.filter = match given {
        _ if builtin => {
            let sets = init.process.capabilities().as_ref();
            let bounding = sets.and_then(|sets| sets.bounding().as_ref());
            Some(match bounding {
                Some(bounding) => seccomp::default_filter(bounding),
                None => seccomp::default_filter(&oci_spec::runtime::Capabilities::new()),
            })
        }
        Some(profile) => Some(seccomp::compile(profile)?),
        None => None,
    };
    Ok(())
}

/// The last step: only capset(2), execve(2) and the report come after the filter.
fn install_filter(init: &mut Init<'_>) -> Result<()> {
    process::close_on_exec_from(3)?;
    let mut message = vec![READY];
    for mark in &init.state.marks {
        let micros = mark.saturating_duration_since(init.since).as_micros();
        message.extend(u32::try_from(micros).unwrap_or(u32::MAX).to_ne_bytes());
    }
    process::send_message(init.socket.as_fd(), &message, None)?;
    let rights = init.state.rights;
    if let Some(filter) = &init.state.filter {
        let keep = cred::permitted()? & 1 << SYS_ADMIN;
        cred::set(
            rights.effective | keep,
            rights.permitted | keep,
            rights.inheritable,
        )?;
        crate::engine::sys::seccomp::install(&filter.program, filter.flags)?;
    }
    cred::set(rights.effective, rights.permitted, rights.inheritable)?;
    if rights.ambient != 0 {
        cred::set_ambient(rights.ambient)?;
    }
    Ok(())
}

fn enter_namespaces(init: &mut Init<'_>) -> Result<()> {
    let Some(target) = init.target else {
        return Ok(());
    };
    // The pid namespace was entered by the parent: it counts from birth.
    namespace::enter(target, all_namespaces(init.spec) & !process::NEWPID)
}

fn open_root(init: &mut Init<'_>) -> Result<()> {
    init.state.root = Some(Rooted::open(Path::new("/"))?);
    Ok(())
}

fn execute(init: &Init<'_>) -> Error {
    let Some(program) = &init.state.program else {
        return Error::new(Kind::Internal, "no command was found");
    };
    let args = init.process.args().as_deref().unwrap_or_default();
    let args: Result<Vec<CString>> = args.iter().map(|arg| c_string(arg)).collect();
    let path = CString::new(program.as_os_str().as_bytes());
    let (Ok(args), Ok(path)) = (args, path) else {
        return Error::invalid("an argument contains a NUL byte");
    };
    let error = process::execute(&path, &args, &init.state.env);
    let kind = match error.raw_os_error() {
        // The file is there: its interpreter is not.
        Some(libc::ENOENT) => Kind::CommandNotFound,
        _ => Kind::CommandNotRunnable,
    };
    error.with_kind(kind)
}

fn c_string(text: &str) -> Result<CString> {
    CString::new(text).map_err(|error| {
        Error::invalid("an argument or variable contains a NUL byte").caused_by(error)
    })
}
