//! Rights of the calling process: capability sets (capabilities(7)), user and groups, `no_new_privs`.

#![expect(unsafe_code, reason = "ambient capabilities are set by raw prctl(2)")]

use rustix::process::{Gid, Uid};
use rustix::thread::{CapabilitySet, CapabilitySets};

use super::{failed, last_errno};
use crate::engine::error::Result;

/// A set of capabilities, bit N being capability N (linux/capability.h).
pub type Capabilities = u64;

/// Largest capability number that a kernel may know.
const LAST: u32 = 63;

/// Removes from the bounding set what is not in `keep`.
///
/// # Errors
/// `EPERM` without CAP_SETPCAP.
pub fn limit_bounding(keep: Capabilities) -> Result<()> {
    for number in 0..=LAST {
        if keep & (1 << number) != 0 {
            continue;
        }
        // SAFETY: PR_CAPBSET_DROP takes a number; one that the kernel does not know is EINVAL.
        let result =
            unsafe { libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(number), 0, 0, 0) };
        if result != 0 {
            match last_errno() {
                // The kernel's last capability is behind us.
                rustix::io::Errno::INVAL => break,
                e => return Err(failed(e, format_args!("drop capability {number}"))),
            }
        }
    }
    Ok(())
}

/// Capabilities that this process may use.
///
/// # Errors
/// None in practice.
pub fn permitted() -> Result<Capabilities> {
    rustix::thread::capabilities(None)
        .map(|sets| sets.permitted.bits())
        .map_err(|e| failed(e, "read capabilities"))
}

/// The bounding set of the calling process.
#[must_use]
pub fn bounding() -> Capabilities {
    let has = |number: &u32| {
        let one = CapabilitySet::from_bits_retain(1 << number);
        rustix::thread::capability_is_in_bounding_set(one).unwrap_or(false)
    };
    (0..=LAST)
        .filter(has)
        .fold(0, |set, number| set | 1 << number)
}

/// Whether this process has CAP_SYS_ADMIN in its user namespace, which mounting takes.
///
/// # Errors
/// None in practice.
pub fn may_mount() -> Result<bool> {
    rustix::thread::capabilities(None)
        .map(|sets| sets.effective.contains(CapabilitySet::SYS_ADMIN))
        .map_err(|e| failed(e, "read capabilities"))
}

/// Sets all three sets at once.
///
/// # Errors
/// `EPERM` for a capability that is not permitted now.
pub fn set(
    effective: Capabilities,
    permitted: Capabilities,
    inheritable: Capabilities,
) -> Result<()> {
    rustix::thread::set_capabilities(
        None,
        CapabilitySets {
            effective: CapabilitySet::from_bits_retain(effective),
            permitted: CapabilitySet::from_bits_retain(permitted),
            inheritable: CapabilitySet::from_bits_retain(inheritable),
        },
    )
    .map_err(|e| failed(e, "set capabilities"))
}

/// Does some work as another user of file systems, with all rights that are permitted (setfsuid(2)).
///
/// # Errors
/// The work's own, and what capset(2) says.
pub fn as_file_user<T>(uid: u32, gid: u32, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let before = rustix::thread::capabilities(None).map_err(|e| failed(e, "read capabilities"))?;
    let become_user = |uid: u32, gid: u32| {
        // SAFETY: plain values; the call always succeeds or leaves things as they are.
        unsafe { libc::setfsgid(gid) };
        // SAFETY: as above.
        unsafe { libc::setfsuid(uid) };
    };
    become_user(uid, gid);
    // Another user than root loses the effective rights over files (capabilities(7)).
    let permitted = before.permitted.bits();
    let done = set(permitted, permitted, before.inheritable.bits()).and_then(|()| work());
    let (own_uid, own_gid) = (rustix::process::geteuid(), rustix::process::getegid());
    become_user(own_uid.as_raw(), own_gid.as_raw());
    set(
        before.effective.bits(),
        permitted,
        before.inheritable.bits(),
    )?;
    done
}

/// Makes the ambient set exactly this. Each must be permitted and inheritable.
///
/// # Errors
/// `EPERM` otherwise.
pub fn set_ambient(wanted: Capabilities) -> Result<()> {
    let clear = libc::c_ulong::from(libc::PR_CAP_AMBIENT_CLEAR_ALL.unsigned_abs());
    // SAFETY: plain values.
    let result = unsafe { libc::prctl(libc::PR_CAP_AMBIENT, clear, 0, 0, 0) };
    if result != 0 {
        return Err(failed(last_errno(), "clear ambient capabilities"));
    }
    let raise = libc::c_ulong::from(libc::PR_CAP_AMBIENT_RAISE.unsigned_abs());
    for number in (0..=LAST).filter(|number| wanted & (1 << number) != 0) {
        // SAFETY: plain values.
        let result = unsafe {
            libc::prctl(
                libc::PR_CAP_AMBIENT,
                raise,
                libc::c_ulong::from(number),
                0,
                0,
            )
        };
        if result != 0 {
            return Err(failed(
                last_errno(),
                format_args!("raise ambient capability {number}"),
            ));
        }
    }
    Ok(())
}

/// Which supplementary groups a process gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Groups<'a> {
    /// Those that it has.
    Kept,
    /// These.
    Set(&'a [u32]),
    /// These, if this user namespace lets its processes choose (user_namespaces(7), "The /proc/pid/setgroups file").
    SetIfAllowed(&'a [u32]),
}

/// Becomes a user: groups, group, user, in this order. Permitted capabilities are kept, effective ones are lost unless
/// it was and stays root.
///
/// # Errors
/// `EPERM` without CAP_SETUID or CAP_SETGID, `EINVAL` for an id that this user namespace does not have.
pub fn become_user(uid: u32, gid: u32, groups: Groups<'_>) -> Result<()> {
    let set = |list: &[u32]| {
        let list: Vec<Gid> = list.iter().copied().map(Gid::from_raw).collect();
        rustix::thread::set_thread_groups(&list)
    };
    let done = match groups {
        Groups::Kept => Ok(()),
        Groups::Set(list) => set(list),
        Groups::SetIfAllowed(list) => set(list).or_else(|e| match e {
            rustix::io::Errno::PERM => Ok(()),
            e => Err(e),
        }),
    };
    done.map_err(|e| failed(e, "set groups"))?;
    let group = Gid::from_raw(gid);
    rustix::thread::set_thread_res_gid(group, group, group)
        .map_err(|e| failed(e, format_args!("become group {gid}")))?;
    rustix::thread::set_keep_capabilities(true).map_err(|e| failed(e, "keep capabilities"))?;
    let user = Uid::from_raw(uid);
    rustix::thread::set_thread_res_uid(user, user, user)
        .map_err(|e| failed(e, format_args!("become user {uid}")))?;
    rustix::thread::set_keep_capabilities(false).map_err(|e| failed(e, "keep capabilities"))
}

/// No exec gives more rights than there are, for ever.
///
/// # Errors
/// None in practice.
pub fn no_new_privileges() -> Result<()> {
    rustix::thread::set_no_new_privs(true).map_err(|e| failed(e, "set no_new_privs"))
}
