//! Making, signalling and collecting processes: clone3(2), pidfd_open(2), waitid(2), execve(2), prctl(2), close_range(2).

#![expect(
    unsafe_code,
    reason = "clone3(2), execve(2) and prctl(2) have no safe wrappers"
)]

use std::ffi::{CStr, CString};
use std::fmt::Display;
use std::io::{IoSlice, IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, Signal, WaitId, WaitIdOptions};

use super::{failed, last_errno};
use crate::engine::error::{Error, Kind, Result};

/// `CLONE_NEW…` flags (namespaces(7)).
pub type Namespaces = u64;
/// Mount namespace.
pub const NEWNS: Namespaces = 0x0002_0000;
/// cgroup namespace.
pub const NEWCGROUP: Namespaces = 0x0200_0000;
/// Host and domain name.
pub const NEWUTS: Namespaces = 0x0400_0000;
/// System V IPC and POSIX message queues.
pub const NEWIPC: Namespaces = 0x0800_0000;
/// User namespace.
pub const NEWUSER: Namespaces = 0x1000_0000;
/// Process ids.
pub const NEWPID: Namespaces = 0x2000_0000;
/// Network stack.
pub const NEWNET: Namespaces = 0x4000_0000;
/// Boot and monotonic clocks.
pub const NEWTIME: Namespaces = 0x80;

/// Put the child into the cgroup that a descriptor refers to (since Linux 5.7).
const INTO_CGROUP: u64 = 0x2_0000_0000;
/// Give the parent a pidfd of the child.
const PIDFD: u64 = 0x1000;

/// The new process's parent is ours.
const PARENT: u64 = 0x8000;

/// `struct clone_args` of clone3(2), first version with `cgroup`.
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// On which side of a clone we are.
#[derive(Debug)]
pub enum Cloned {
    /// The new process.
    Child,
    /// The old one.
    Parent {
        /// The child's id as we see it.
        pid: i32,
        /// The child's descriptor, close-on-exec.
        pidfd: OwnedFd,
    },
}

/// Copies this process into new namespaces, and into a v2 cgroup if one is given.
///
/// # Errors
/// [`Kind::Internal`] if this process has several threads: the child could wait for ever for a lock that another thread
/// held. Otherwise what clone3(2) says.
pub fn clone_process(
    namespaces: Namespaces,
    into_cgroup: Option<BorrowedFd<'_>>,
) -> Result<Cloned> {
    let mut args = CloneArgs {
        flags: namespaces,
        exit_signal: libc::SIGCHLD as u64,
        ..CloneArgs::default()
    };
    if let Some(cgroup) = into_cgroup {
        args.flags |= INTO_CGROUP;
        args.cgroup = u64::try_from(cgroup.as_raw_fd()).unwrap_or(u64::MAX);
    }
    clone(args)
}

/// Copies this process, by fork(2): a filter for containers lets nobody pass to clone3(2). The child's id; `None` in the
/// child.
///
/// # Errors
/// As [`clone_process`].
pub fn fork() -> Result<Option<i32>> {
    refuse_threads()?;
    // SAFETY: this process is single-threaded (checked above), so the copy is consistent.
    match unsafe { libc::fork() } {
        0 => Ok(None),
        pid if pid > 0 => Ok(Some(pid)),
        _ => Err(failed(last_errno(), "fork")),
    }
}

/// The same, but the new process is a child of this process's parent, who is told of its end as of ours.
///
/// # Errors
/// As [`clone_process`].
pub fn clone_sibling(namespaces: Namespaces) -> Result<Cloned> {
    clone(CloneArgs {
        flags: namespaces | PARENT,
        ..CloneArgs::default()
    })
}

fn refuse_threads() -> Result<()> {
    // Two entries of every directory, and one for each thread.
    let threads = rustix::fs::stat("/proc/self/task")
        .map_err(|e| failed(e, "count threads in /proc/self/task"))?
        .st_nlink;
    if threads > 3 {
        return Err(Error::new(
            Kind::Internal,
            "a process with several threads may not clone a container",
        ));
    }
    Ok(())
}

fn clone(mut args: CloneArgs) -> Result<Cloned> {
    refuse_threads()?;
    let mut pidfd: RawFd = -1;
    args.flags |= PIDFD;
    args.pidfd = (&raw mut pidfd).addr() as u64;
    // SAFETY: no CLONE_VM, so the child has a copy of all memory and a null stack means "continue on the copied one";
    // this process is single-threaded (checked above), so the copy is consistent; `args` and `pidfd` outlive the call.
    let result =
        unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<CloneArgs>()) };
    match result {
        0 => Ok(Cloned::Child),
        pid if pid > 0 => {
            // SAFETY: CLONE_PIDFD succeeded, so `pidfd` is a new descriptor that nobody else owns.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Cloned::Parent {
                pid: i32::try_from(pid).unwrap_or(0),
                pidfd,
            })
        }
        _ => Err(failed(last_errno(), "clone the container's first process")),
    }
}

/// Ends this process at once: no destructors, no buffers written. For a child that could not execute.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit(2) takes any value and does not return.
    unsafe { libc::_exit(code) }
}

/// Executes a program. Returns only with an error.
pub fn execute(path: &CStr, args: &[CString], env: &[CString]) -> Error {
    let pointers = |list: &[CString]| -> Vec<*const libc::c_char> {
        list.iter()
            .map(|text| text.as_ptr())
            .chain([std::ptr::null()])
            .collect()
    };
    let (args, env) = (pointers(args), pointers(env));
    // SAFETY: all strings are NUL-terminated, both lists end with a null pointer, and all of them outlive the call.
    unsafe { libc::execve(path.as_ptr(), args.as_ptr(), env.as_ptr()) };
    failed(
        last_errno(),
        format_args!("exec {}", path.to_string_lossy()),
    )
}

/// Executes what a descriptor refers to. Returns only with an error.
pub fn execute_fd(program: BorrowedFd<'_>, args: &[CString], env: &[CString]) -> Error {
    let pointers = |list: &[CString]| -> Vec<*const libc::c_char> {
        list.iter()
            .map(|text| text.as_ptr())
            .chain([std::ptr::null()])
            .collect()
    };
    let (args, env) = (pointers(args), pointers(env));
    // SAFETY: as in `execute`; the empty path with AT_EMPTY_PATH means the descriptor itself (execveat(2)).
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            program.as_raw_fd(),
            c"".as_ptr(),
            args.as_ptr(),
            env.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    failed(last_errno(), "execute an open program")
}

/// Opens a descriptor of a process, which never means another one later.
///
/// # Errors
/// `ESRCH` if there is no such process.
pub fn open_pidfd(pid: i32) -> Result<OwnedFd> {
    let id =
        Pid::from_raw(pid).ok_or_else(|| Error::invalid(format!("{pid} is not a process id")))?;
    rustix::process::pidfd_open(id, PidfdFlags::empty())
        .map_err(|e| failed(e, format_args!("open process {pid}")))
}

/// Sends a signal. A process that has ended is fine.
///
/// # Errors
/// What pidfd_send_signal(2) says; `EINVAL` for a number that is no signal.
pub fn send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> Result<()> {
    // SAFETY: all arguments are plain values; a null info means the same as kill(2) sends.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    match result {
        0 => Ok(()),
        _ => match last_errno() {
            Errno::SRCH => Ok(()),
            e => Err(failed(e, format_args!("send signal {signal}"))),
        },
    }
}

/// Sends a signal to a process that is no child of ours, by number. One that has ended is fine; zero and below, which
/// kill(2) takes for many processes, are none.
///
/// # Errors
/// What kill(2) says; `EINVAL` for a number that is no signal.
pub fn kill(pid: i32, signal: i32) -> Result<()> {
    if pid <= 0 {
        return Ok(());
    }
    // SAFETY: both arguments are plain values.
    match unsafe { libc::kill(pid, signal) } {
        0 => Ok(()),
        _ => match last_errno() {
            Errno::SRCH => Ok(()),
            e => Err(failed(
                e,
                format_args!("send signal {signal} to process {pid}"),
            )),
        },
    }
}

/// Whether a wait may block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Until the child ends.
    Block,
    /// Not at all.
    Poll,
}

/// Collects a child that has ended: exit code, or 128 + signal. `None` if it runs (never with [`Wait::Block`]).
///
/// # Errors
/// `ECHILD` if it is not our child or was collected before.
pub fn wait(pidfd: BorrowedFd<'_>, wait: Wait) -> Result<Option<i32>> {
    let options = match wait {
        Wait::Block => WaitIdOptions::EXITED,
        Wait::Poll => WaitIdOptions::EXITED | WaitIdOptions::NOHANG,
    };
    loop {
        match rustix::process::waitid(WaitId::PidFd(pidfd), options) {
            Ok(None) => return Ok(None),
            Ok(Some(status)) => {
                let code = status
                    .exit_status()
                    .or_else(|| status.terminating_signal().map(|signal| 128 + signal));
                return Ok(code);
            }
            Err(Errno::INTR) => {}
            Err(e) => return Err(failed(e, "wait for a process")),
        }
    }
}

/// When a process was started, in clock ticks since boot (proc(5), stat field 22).
///
/// # Errors
/// [`Kind::NotFound`] if there is no such process.
pub fn start_time(pid: i32) -> Result<u64> {
    let path = format!("/proc/{pid}/stat");
    let mut buffer = [0u8; 1024];
    let length = std::fs::File::open(&path)
        .and_then(|mut file| file.read(&mut buffer))
        .map_err(|e| Error::io(format!("read {path}"), e))?;
    parse_start_time(buffer.get(..length).unwrap_or_default())
        .ok_or_else(|| Error::new(Kind::NotFound, format!("process {pid} is gone")))
}

/// Field 22. The second field is a name in parentheses that may hold anything, also parentheses.
fn parse_start_time(stat: &[u8]) -> Option<u64> {
    let text = String::from_utf8_lossy(stat);
    let (_, rest) = text.rsplit_once(") ")?;
    rest.split(' ').nth(19)?.trim_end().parse().ok()
}

/// The parent and the session of a process (proc(5), stat fields 4 and 6).
///
/// # Errors
/// [`Kind::NotFound`] if there is no such process.
pub fn parent_and_session(pid: i32) -> Result<(i32, i32)> {
    let path = format!("/proc/{pid}/stat");
    let text = std::fs::read(&path).map_err(|e| Error::io(format!("read {path}"), e))?;
    let text = String::from_utf8_lossy(&text);
    let field = |at: usize| {
        let (_, rest) = text.rsplit_once(") ")?;
        rest.split(' ').nth(at)?.parse().ok()
    };
    field(1)
        .zip(field(3))
        .ok_or_else(|| Error::new(Kind::NotFound, format!("process {pid} is gone")))
}

/// Whether a process runs that was started at that time: neither gone nor ended and only not yet collected.
///
/// # Errors
/// What reading its state says otherwise.
pub fn is_alive(pid: i32, start: u64) -> Result<bool> {
    let path = format!("/proc/{pid}/stat");
    let mut buffer = [0u8; 1024];
    let length = match std::fs::File::open(&path).and_then(|mut file| file.read(&mut buffer)) {
        Ok(length) => length,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        // Ended between open and read.
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Ok(false),
        Err(error) => return Err(Error::io(format!("read {path}"), error)),
    };
    let stat = buffer.get(..length).unwrap_or_default();
    Ok(parse_start_time(stat) == Some(start) && !has_ended(stat))
}

/// Third field: a letter. `Z` is a zombie, `X` and `x` are on their way out (proc(5)).
fn has_ended(stat: &[u8]) -> bool {
    let text = String::from_utf8_lossy(stat);
    text.rsplit_once(") ")
        .is_none_or(|(_, rest)| rest.starts_with(['Z', 'X', 'x']))
}

/// This process is to outlive its parent: takes [`die_with_parent`] back.
///
/// # Errors
/// None in practice.
pub fn outlive_parent() -> Result<()> {
    rustix::process::set_parent_process_death_signal(None)
        .map_err(|e| failed(e, "take the parent-death signal back"))
}

/// Whether a descriptor of that number is open.
#[must_use]
pub fn is_open(number: RawFd) -> bool {
    // SAFETY: plain values; F_GETFD looks at the number only.
    unsafe { libc::fcntl(number, libc::F_GETFD) >= 0 }
}

/// The signal that this process gets when its parent ends.
///
/// # Errors
/// None in practice.
pub fn die_with_parent() -> Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|e| failed(e, "set the parent-death signal"))
}

/// Nobody may trace this process or look into its `/proc` directory without privilege, until the next exec.
///
/// # Errors
/// None in practice.
pub fn hide_from_tracers() -> Result<()> {
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .map_err(|e| failed(e, "make the process undumpable"))
}

/// Every descriptor from `first` on is closed by the next exec.
///
/// # Errors
/// What close_range(2) says.
pub fn close_on_exec_from(first: RawFd) -> Result<()> {
    close_range(first, libc::CLOSE_RANGE_CLOEXEC.cast_signed())
}

/// Closes every descriptor from `first` on but those given. Whoever owns one of the others must not use or drop it any more:
/// this is for a child that ends by exec or `_exit`.
///
/// # Errors
/// What close_range(2) says.
pub fn close_all_but(first: RawFd, keep: &[BorrowedFd<'_>]) -> Result<()> {
    let mut kept: Vec<RawFd> = keep.iter().map(AsRawFd::as_raw_fd).collect();
    kept.sort_unstable();
    kept.dedup();
    let mut first = first;
    for fd in kept {
        if fd > first {
            close_span(first, fd - 1)?;
        }
        first = first.max(fd + 1);
    }
    close_range(first, 0)
}

fn close_range(first: RawFd, flags: i32) -> Result<()> {
    // SAFETY: plain values.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, flags) };
    check(result, "close_range")
}

fn close_span(first: RawFd, last: RawFd) -> Result<()> {
    // SAFETY: plain values; see `close_all_but` for what becomes of the owners.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    check(result, "close_range")
}

fn check(result: libc::c_long, what: impl Display) -> Result<()> {
    if result == 0 {
        Ok(())
    } else {
        Err(failed(last_errno(), what))
    }
}

/// Makes a descriptor standard input, output or error (`number` 0, 1 or 2), open across exec.
///
/// # Errors
/// What dup3(2) says.
pub fn make_standard(fd: BorrowedFd<'_>, number: RawFd) -> Result<()> {
    if fd.as_raw_fd() == number {
        return rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::empty())
            .map_err(|e| failed(e, format_args!("keep descriptor {number}")));
    }
    // SAFETY: plain values; 0, 1 and 2 are owned by nobody in particular.
    let result = unsafe { libc::dup2(fd.as_raw_fd(), number) };
    if result == number {
        Ok(())
    } else {
        Err(failed(
            last_errno(),
            format_args!("make descriptor {number}"),
        ))
    }
}

/// One of our own standard descriptors.
#[must_use]
pub fn standard(number: RawFd) -> BorrowedFd<'static> {
    // SAFETY: 0, 1 and 2 are open in every process of ours from start to end (the Rust runtime sees to it).
    unsafe { BorrowedFd::borrow_raw(number) }
}

/// A pair of connected message sockets, close-on-exec.
///
/// # Errors
/// What socketpair(2) says.
pub fn message_pair() -> Result<(OwnedFd, OwnedFd)> {
    rustix::net::socketpair(
        rustix::net::AddressFamily::UNIX,
        rustix::net::SocketType::SEQPACKET,
        rustix::net::SocketFlags::CLOEXEC,
        None,
    )
    .map_err(|e| failed(e, "make a socket pair"))
}

/// Sends one message, with a descriptor if one is given.
///
/// # Errors
/// `EPIPE` if the other side is gone.
pub fn send_message(
    socket: BorrowedFd<'_>,
    message: &[u8],
    fd: Option<BorrowedFd<'_>>,
) -> Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds: Vec<BorrowedFd<'_>> = fd.into_iter().collect();
    if !fds.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(&fds));
    }
    loop {
        match rustix::net::sendmsg(
            socket,
            &[IoSlice::new(message)],
            &mut control,
            SendFlags::NOSIGNAL,
        ) {
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(e) => return Err(failed(e, "send a message")),
        }
    }
}

/// Receives one message of at most `buffer` bytes and a descriptor that may come with it. Length 0: the other side is
/// gone.
///
/// # Errors
/// What recvmsg(2) says.
pub fn receive_message(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
) -> Result<(usize, Option<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let result = loop {
        match rustix::net::recvmsg(
            socket,
            &mut [IoSliceMut::new(buffer)],
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        ) {
            // The other side ended with unread messages: that is told once, and before what it said last.
            Err(Errno::INTR | Errno::CONNRESET) => {}
            Err(e) => return Err(failed(e, "receive a message")),
            Ok(result) => break result,
        }
    };
    let mut fd = None;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = message {
            fd = fds.into_iter().next();
        }
    }
    if result.flags.contains(ReturnFlags::TRUNC) {
        return Err(Error::new(Kind::Internal, "a message is too long"));
    }
    Ok((result.bytes, fd))
}

/// Writes one message with write(2), for a process whose filter lets it do little else.
///
/// # Errors
/// What write(2) says.
pub fn write(socket: BorrowedFd<'_>, message: &[u8]) -> Result<()> {
    rustix::io::write(socket, message)
        .map(drop)
        .map_err(|e| failed(e, "write a message"))
}

/// Reads one message with read(2): its length.
///
/// # Errors
/// What read(2) says.
pub fn read(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<usize> {
    rustix::io::read(socket, buffer).map_err(|e| failed(e, "read a message"))
}

/// A copy of another process's descriptor, close-on-exec (pidfd_getfd(2)).
///
/// # Errors
/// `EBADF` if it has none of that number.
pub fn fetch_descriptor(pidfd: BorrowedFd<'_>, number: RawFd) -> Result<OwnedFd> {
    rustix::process::pidfd_getfd(pidfd, number, PidfdGetfdFlags::empty())
        .map_err(|e| failed(e, format_args!("fetch descriptor {number} of a process")))
}

/// A pipe, close-on-exec: read end, write end.
///
/// # Errors
/// What pipe2(2) says.
pub fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(|e| failed(e, "make a pipe"))
}

/// Waits until a process has ended, at most so long. `false` if it still runs.
///
/// # Errors
/// What poll(2) says.
pub fn wait_ended(pidfd: BorrowedFd<'_>, patience: std::time::Duration) -> Result<bool> {
    let deadline = std::time::Instant::now() + patience;
    loop {
        let left = deadline.saturating_duration_since(std::time::Instant::now());
        let timeout = rustix::time::Timespec::try_from(left).ok();
        let mut fds = [rustix::event::PollFd::new(
            &pidfd,
            rustix::event::PollFlags::IN,
        )];
        match rustix::event::poll(&mut fds, timeout.as_ref()) {
            Ok(0) => return Ok(false),
            Ok(_) => return Ok(true),
            Err(Errno::INTR) => {}
            Err(e) => return Err(failed(e, "wait for a process")),
        }
    }
}

/// Sets which mode bits are taken away from what this process makes.
pub fn set_umask(mask: u32) {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(mask));
}

/// Lets the process be its own session's leader.
///
/// # Errors
/// `EPERM` if it leads a process group already.
pub fn new_session() -> Result<()> {
    rustix::process::setsid()
        .map(|_| ())
        .map_err(|e| failed(e, "setsid"))
}

/// Lets the process lead a group of its own, in the foreground of its terminal if it has one as standard input.
///
/// # Errors
/// What setpgid(2) says.
pub fn lead_foreground() -> Result<()> {
    rustix::process::setpgid(None, None).map_err(|e| failed(e, "setpgid"))?;
    // Whoever is not in the foreground yet would be stopped for asking (tcsetpgrp(3)).
    // SAFETY: SIG_IGN is a valid disposition; `reset_signals` puts the default back.
    unsafe { libc::signal(libc::SIGTTOU, libc::SIG_IGN) };
    // Without a terminal there is no foreground.
    let _ = rustix::termios::tcsetpgrp(standard(0), rustix::process::getpid());
    Ok(())
}

/// Collects a child that has ended, whichever it is: its id, and its exit code or 128 + signal. `None` if all that there
/// are live.
///
/// # Errors
/// What waitpid(2) says.
pub fn reap() -> Result<Option<(i32, i32)>> {
    match rustix::process::wait(rustix::process::WaitOptions::NOHANG) {
        Ok(None) | Err(Errno::CHILD) => Ok(None),
        Ok(Some((pid, status))) => {
            let signal = status.terminating_signal().map(|signal| 128 + signal);
            let code = status.exit_status().or(signal).unwrap_or(0);
            Ok(Some((pid.as_raw_nonzero().get(), code)))
        }
        Err(error) => Err(failed(error, "collect a child")),
    }
}

/// The last signal there is (signal(7), "Real-time signals"), and the bytes of the kernel's set of them.
const LAST_SIGNAL: libc::c_int = 64;
const SIGNAL_SET: usize = 8;

/// Every signal gets its default action and none is blocked: what a payload expects.
///
/// # Errors
/// None in practice.
pub fn reset_signals() -> Result<()> {
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises the set it is given.
    unsafe { libc::sigemptyset(all.as_mut_ptr()) };
    // SAFETY: the set was initialised above; a null pointer for the old set is allowed.
    let result =
        unsafe { libc::sigprocmask(libc::SIG_SETMASK, all.as_ptr(), std::ptr::null_mut()) };
    if result != 0 {
        return Err(failed(last_errno(), "unblock signals"));
    }
    // Ignored signals stay ignored over exec, whoever ignored them: who calls us, the Rust runtime, or posix_spawn(3) those of
    // threads, of which signal(2) of the C library knows nothing. The kernel's structure, all zero: the default action.
    let action = [0_u64; 8];
    for signal in 1..=LAST_SIGNAL {
        // SAFETY: the kernel reads a structure that is smaller than what is given and writes nothing. What cannot be set
        // (SIGKILL, SIGSTOP) has its default action.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                action.as_ptr(),
                std::ptr::null_mut::<u64>(),
                SIGNAL_SET,
            )
        };
    }
    Ok(())
}

/// SIGHUP, SIGINT, SIGQUIT and SIGTERM end this process with 128 + signal, until another program is executed: that one has
/// the default actions again (execve(2)).
pub fn end_when_asked() {
    extern "C" fn end(signal: libc::c_int) {
        // SAFETY: _exit is async-signal-safe (signal-safety(7)) and takes any value.
        unsafe { libc::_exit(128 + signal) }
    }
    let action = end as extern "C" fn(libc::c_int);
    for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM] {
        // SAFETY: the handler has the signature that signal(2) asks for, and calls nothing but _exit.
        unsafe { libc::signal(signal, action as libc::sighandler_t) };
    }
}

/// Changes the working directory and proves that it is below the root directory: with a directory from outside, getcwd(2)
/// says `(unreachable)` (CVE-2024-21626).
///
/// # Errors
/// What chdir(2) says; [`Kind::Denied`] if it leads outside.
pub fn change_directory(path: &Path) -> Result<()> {
    rustix::process::chdir(path).map_err(|e| failed(e, path.display()))?;
    let cwd = rustix::process::getcwd(Vec::new()).map_err(|e| failed(e, "getcwd"))?;
    if cwd.as_bytes().starts_with(b"/") {
        Ok(())
    } else {
        Err(Error::new(
            Kind::Denied,
            format!("{} leads out of the container", path.display()),
        ))
    }
}

/// Sets a resource limit of a process (0: this one) by its kernel number (getrlimit(2)).
///
/// # Errors
/// `EPERM` for more than the hard limit without privilege.
pub fn set_limit(pid: i32, resource: u32, soft: u64, hard: u64, name: &str) -> Result<()> {
    let limit = libc::rlimit64 {
        rlim_cur: soft,
        rlim_max: hard,
    };
    // SAFETY: `limit` outlives the call; a null old limit is allowed.
    let result = unsafe {
        libc::prlimit64(
            pid,
            resource,
            &raw const limit,
            std::ptr::null_mut::<libc::rlimit64>(),
        )
    };
    check(result.into(), format_args!("set limit {name}"))
}

/// The user that owns what a descriptor refers to.
///
/// # Errors
/// What fstat(2) says.
pub fn owner(fd: BorrowedFd<'_>) -> Result<u32> {
    rustix::fs::fstat(fd)
        .map(|stat| stat.st_uid)
        .map_err(|e| failed(e, "stat a standard stream"))
}

/// Changes the owner of what a descriptor refers to.
///
/// # Errors
/// What fchown(2) says.
pub fn give_to(fd: impl AsFd, uid: u32, gid: Option<u32>) -> Result<()> {
    rustix::fs::fchown(
        fd.as_fd(),
        Some(rustix::fs::Uid::from_raw(uid)),
        gid.map(rustix::fs::Gid::from_raw),
    )
    .map_err(|e| failed(e, "change the owner of a standard stream"))
}

/// Whether a path can be executed by this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Executable {
    /// It is a file that may be executed.
    Yes,
    /// Nothing is there.
    Missing,
    /// It is a directory.
    Directory,
    /// It may not, or something on the way may not be entered.
    NotAllowed,
}

/// Looks whether a path can be executed, with the effective rights.
#[must_use]
pub fn look(path: &Path) -> Executable {
    let stat = match rustix::fs::stat(path) {
        Ok(stat) => stat,
        Err(Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG) => return Executable::Missing,
        Err(_) => return Executable::NotAllowed,
    };
    if rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::Directory {
        return Executable::Directory;
    }
    let access = rustix::fs::accessat(
        rustix::fs::CWD,
        path,
        rustix::fs::Access::EXEC_OK,
        rustix::fs::AtFlags::EACCESS,
    );
    match access {
        Ok(()) => Executable::Yes,
        Err(_) => Executable::NotAllowed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_of_who_did_not_listen_is_heard() {
        let (ours, theirs) = message_pair().unwrap();
        send_message(ours.as_fd(), b"unread", None).unwrap();
        send_message(theirs.as_fd(), b"why", None).unwrap();
        drop(theirs);
        let mut buffer = [0; 8];
        let (length, _) = receive_message(ours.as_fd(), &mut buffer).unwrap();
        assert_eq!(buffer.get(..length), Some(&b"why"[..]));
        let (length, _) = receive_message(ours.as_fd(), &mut buffer).unwrap();
        assert_eq!(length, 0);
    }

    #[test]
    fn a_name_with_parentheses_does_not_move_the_start_time() {
        let stat = b"7 (a) b) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20\n";
        assert_eq!(parse_start_time(stat), Some(4242));
        assert!(!has_ended(stat));
        assert!(has_ended(b"7 (a) Z) Z 1 2"));
        assert_eq!(parse_start_time(b"7 (x"), None);
        assert!(start_time(std::process::id().cast_signed()).is_ok());
    }
}
