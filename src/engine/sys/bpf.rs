//! Loads and attaches a device filter to a v2 cgroup (bpf(2), `BPF_PROG_TYPE_CGROUP_DEVICE`).

#![expect(unsafe_code, reason = "bpf(2) has no safe wrapper")]

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Errno;

use super::{failed, last_errno};
use crate::engine::error::Result;

const PROG_LOAD: libc::c_int = 5;
const PROG_ATTACH: libc::c_int = 8;
const PROG_DETACH: libc::c_int = 9;
const PROG_GET_FD_BY_ID: libc::c_int = 13;
const PROG_QUERY: libc::c_int = 16;
const TYPE_CGROUP_DEVICE: u32 = 15;
const ATTACH_CGROUP_DEVICE: u32 = 6;
/// Programs of parent groups stay in force; several may be attached here.
const ALLOW_MULTI: u32 = 2;
/// One program takes another's place at once (since Linux 5.6).
const REPLACE: u32 = 4;
/// A group holds no more programs of one kind (linux/bpf-cgroup.h, `BPF_CGROUP_MAX_PROGS`).
const MAX_PROGRAMS: usize = 64;
/// The verifier can be interrupted by a signal and then asks to be called again.
const RETRIES: usize = 30;

/// One instruction of extended BPF: `struct bpf_insn` (linux/bpf.h). Destination is the low half of `registers`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    /// Operation.
    pub code: u8,
    /// Source register in the high four bits, destination in the low four.
    pub registers: u8,
    /// Jump or memory offset.
    pub offset: i16,
    /// Constant.
    pub immediate: i32,
}

/// The part of `union bpf_attr` that BPF_PROG_LOAD reads.
#[repr(C)]
struct Load {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kernel: u32,
    flags: u32,
}

/// The part that BPF_PROG_ATTACH and BPF_PROG_DETACH read.
#[repr(C)]
#[derive(Default)]
struct Attach {
    target: u32,
    program: u32,
    kind: u32,
    flags: u32,
    replaced: u32,
}

/// The part that BPF_PROG_QUERY reads and writes, to its end: Linux 6.17 and later write `revision` whatever size they are
/// told.
#[repr(C)]
#[derive(Default)]
struct Query {
    target: u32,
    kind: u32,
    scope: u32,
    attach_flags: u32,
    programs: u64,
    count: u32,
    padding: u32,
    program_flags: u64,
    links: u64,
    link_flags: u64,
    revision: u64,
}

/// The part that BPF_PROG_GET_FD_BY_ID reads.
#[repr(C)]
#[derive(Default)]
struct GetFd {
    id: u32,
    next: u32,
    flags: u32,
}

/// Loads a device program and attaches it to a group. It lives as long as the group.
///
/// # Errors
/// What bpf(2) says: `EINVAL` or `EACCES` if the verifier refuses the program.
pub fn attach_device_filter(group: BorrowedFd<'_>, program: &[Instruction]) -> Result<()> {
    let loaded = load(program)?;
    attach(group, loaded.as_fd(), None)
}

/// Loads a device program that takes the place of those that are attached to the group; without any it is the first. There
/// is no moment without a program.
///
/// # Errors
/// As [`attach_device_filter`]; then the old ones are still in force.
pub fn replace_device_filters(group: BorrowedFd<'_>, program: &[Instruction]) -> Result<()> {
    let old = attached(group)?;
    let loaded = load(program)?;
    if let [one] = old.as_slice()
        && attach(group, loaded.as_fd(), Some(one.as_fd())).is_ok()
    {
        return Ok(());
    }
    // Several, or a kernel that cannot replace: both are in force for a moment.
    attach(group, loaded.as_fd(), None)?;
    for program in old {
        detach(group, program.as_fd())?;
    }
    Ok(())
}

fn load(program: &[Instruction]) -> Result<OwnedFd> {
    let mut load = Load {
        kind: TYPE_CGROUP_DEVICE,
        count: u32::try_from(program.len()).unwrap_or(u32::MAX),
        instructions: program.as_ptr().addr() as u64,
        license: c"GPL".as_ptr().addr() as u64,
        log_level: 0,
        log_size: 0,
        log_buf: 0,
        kernel: 0,
        flags: 0,
    };
    for _ in 0..RETRIES {
        // SAFETY: `Load` has the kernel's layout; what it points to, `program` and a constant, outlives the call.
        match unsafe { descriptor(PROG_LOAD, &mut load) } {
            Err(Errno::AGAIN) => {}
            other => return other.map_err(|errno| failed(errno, "load the device filter")),
        }
    }
    Err(failed(Errno::AGAIN, "load the device filter"))
}

fn attach(
    group: BorrowedFd<'_>,
    program: BorrowedFd<'_>,
    replaced: Option<BorrowedFd<'_>>,
) -> Result<()> {
    let number = |fd: BorrowedFd<'_>| fd.as_raw_fd().cast_unsigned();
    let mut attach = Attach {
        target: number(group),
        program: number(program),
        kind: ATTACH_CGROUP_DEVICE,
        flags: ALLOW_MULTI | replaced.map_or(0, |_| REPLACE),
        replaced: replaced.map_or(0, number),
    };
    // SAFETY: `Attach` has the kernel's layout and no pointers.
    let result = unsafe { bpf(PROG_ATTACH, &mut attach) };
    result
        .map(drop)
        .map_err(|errno| failed(errno, "attach the device filter"))
}

fn detach(group: BorrowedFd<'_>, program: BorrowedFd<'_>) -> Result<()> {
    let mut detach = Attach {
        target: group.as_raw_fd().cast_unsigned(),
        program: program.as_raw_fd().cast_unsigned(),
        kind: ATTACH_CGROUP_DEVICE,
        ..Attach::default()
    };
    // SAFETY: `Attach` has the kernel's layout and no pointers.
    let result = unsafe { bpf(PROG_DETACH, &mut detach) };
    result
        .map(drop)
        .map_err(|errno| failed(errno, "detach the former device filter"))
}

/// The device programs of the group itself. Those that a policy keeps from us are left out: they can only forbid more.
fn attached(group: BorrowedFd<'_>) -> Result<Vec<OwnedFd>> {
    let mut ids = [0u32; MAX_PROGRAMS];
    let mut query = Query {
        target: group.as_raw_fd().cast_unsigned(),
        kind: ATTACH_CGROUP_DEVICE,
        programs: ids.as_mut_ptr().addr() as u64,
        count: u32::try_from(ids.len()).unwrap_or(0),
        ..Query::default()
    };
    // SAFETY: `Query` has the kernel's layout; `programs` has room for `count` numbers and outlives the call.
    let result = unsafe { bpf(PROG_QUERY, &mut query) };
    result.map_err(|errno| failed(errno, "list the device filters"))?;
    let count = usize::try_from(query.count).unwrap_or(0).min(ids.len());
    let mut programs = Vec::with_capacity(count);
    for &id in ids.iter().take(count) {
        let mut get = GetFd {
            id,
            ..GetFd::default()
        };
        // SAFETY: `GetFd` has the kernel's layout and no pointers.
        match unsafe { descriptor(PROG_GET_FD_BY_ID, &mut get) } {
            Ok(program) => programs.push(program),
            Err(Errno::ACCESS | Errno::PERM | Errno::NOENT) => {}
            Err(errno) => return Err(failed(errno, "open a device filter")),
        }
    }
    Ok(programs)
}

/// # Safety
/// As [`bpf`], for a command that returns a new descriptor.
unsafe fn descriptor<T>(command: libc::c_int, attributes: &mut T) -> Result<OwnedFd, Errno> {
    // SAFETY: the caller's promise.
    let fd = unsafe { bpf(command, attributes) }?;
    // SAFETY: the command returned a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// # Safety
/// `attributes` has the layout of the command's part of `union bpf_attr`, and every pointer in it is good for what the
/// command does with it.
unsafe fn bpf<T>(command: libc::c_int, attributes: &mut T) -> Result<i32, Errno> {
    // SAFETY: the caller's promise; the size is that of the structure.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_mut(attributes),
            size_of::<T>(),
        )
    };
    match i32::try_from(result) {
        Ok(number) if number >= 0 => Ok(number),
        _ => Err(last_errno()),
    }
}
