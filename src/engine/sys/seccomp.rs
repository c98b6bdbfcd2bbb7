//! Installs a system call filter (seccomp(2)). Making one is for `runtime::seccomp`.

#![expect(unsafe_code, reason = "seccomp(2) has no safe wrapper")]

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use super::{failed, last_errno};
use crate::engine::error::{Error, Result};

/// One instruction of classic BPF: `struct sock_filter` (linux/filter.h).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    /// Operation.
    pub code: u16,
    /// Instructions skipped if a comparison holds.
    pub jt: u8,
    /// Instructions skipped if it does not.
    pub jf: u8,
    /// Operand.
    pub k: u32,
}

/// `struct sock_fprog`.
#[repr(C)]
struct Program {
    length: libc::c_ushort,
    filter: *const Instruction,
}

/// Installs the filter for this process and all its descendants, for ever. Needs `no_new_privs` or CAP_SYS_ADMIN.
/// `flags` are `SECCOMP_FILTER_FLAG_*`; with `NEW_LISTENER` among them the filter's descriptor comes back, close-on-exec.
///
/// # Errors
/// `EINVAL` for a malformed program and for flags that this kernel does not know, `EACCES` without the right, `EBUSY` for
/// a second listener.
pub fn install(program: &[Instruction], flags: u32) -> Result<Option<OwnedFd>> {
    let length = libc::c_ushort::try_from(program.len()).map_err(|e| {
        Error::invalid(format!(
            "a seccomp filter of {} instructions",
            program.len()
        ))
        .caused_by(e)
    })?;
    let program = Program {
        length,
        filter: program.as_ptr(),
    };
    // SAFETY: `program` points to `length` instructions of the kernel's layout; both outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            &raw const program,
        )
    };
    let listens = u64::from(flags) & libc::SECCOMP_FILTER_FLAG_NEW_LISTENER != 0;
    match RawFd::try_from(result) {
        // SAFETY: with this flag a success is a new descriptor (seccomp(2)), which nobody else owns.
        Ok(fd) if listens && fd >= 0 => Ok(Some(unsafe { OwnedFd::from_raw_fd(fd) })),
        Ok(0) => Ok(None),
        _ => Err(failed(last_errno(), "install the seccomp filter")),
    }
}
