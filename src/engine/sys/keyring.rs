//! Session keyrings (keyctl(2), keyrings(7)).

#![expect(unsafe_code, reason = "keyctl(2) has no safe wrapper")]

use std::ffi::CStr;

use rustix::io::Errno;

use super::{failed, last_errno};
use crate::engine::error::{Error, Kind, Result};

/// `KEYCTL_GET_KEYRING_ID`.
const GET_ID: i32 = 0;
/// `KEY_SPEC_SESSION_KEYRING`.
const SESSION: i32 = -3;
/// `KEYCTL_JOIN_SESSION_KEYRING`.
const JOIN: i32 = 1;
/// `KEYCTL_SETPERM`.
const SET_PERMISSIONS: i32 = 5;
/// `KEYCTL_DESCRIBE`.
const DESCRIBE: i32 = 6;

/// Key's permission bit: its owner may search it.
pub const USER_SEARCH: u32 = 0x8_0000;
/// Key's permission bit: everybody may search it.
pub const OTHER_SEARCH: u32 = 0x8;

/// A keyring's serial number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keyring(libc::c_long);

/// Makes the keyring of that name this process's session keyring, making it if there is none. `None`: this kernel has
/// no keyrings.
///
/// # Errors
/// `EDQUOT` if this user has too many keys, `EACCES` if it is somebody else's.
pub fn join_session(name: &CStr) -> Result<Option<Keyring>> {
    // SAFETY: the name is NUL-terminated and outlives the call.
    let serial = unsafe { libc::syscall(libc::SYS_keyctl, JOIN, name.as_ptr()) };
    match serial {
        1.. => Ok(Some(Keyring(serial))),
        // It was the session keyring before.
        0 => own_session().map(Some),
        _ => match last_errno() {
            Errno::NOSYS => Ok(None),
            e => Err(failed(e, "join a session keyring")),
        },
    }
}

fn own_session() -> Result<Keyring> {
    // SAFETY: plain values.
    let serial = unsafe { libc::syscall(libc::SYS_keyctl, GET_ID, SESSION, 0) };
    if serial > 0 {
        Ok(Keyring(serial))
    } else {
        Err(failed(last_errno(), "find the session keyring"))
    }
}

/// Adds permission bits to those that a keyring has.
///
/// # Errors
/// What keyctl(2) says.
pub fn add_permissions(keyring: Keyring, bits: u32) -> Result<()> {
    let wanted = permissions(keyring)? | bits;
    // SAFETY: plain values.
    let result = unsafe { libc::syscall(libc::SYS_keyctl, SET_PERMISSIONS, keyring.0, wanted) };
    if result == 0 {
        Ok(())
    } else {
        Err(failed(last_errno(), "set a keyring's permissions"))
    }
}

fn permissions(keyring: Keyring) -> Result<u32> {
    // `type;uid;gid;permissions;description`, of which the last one is as long as the name.
    let mut buffer = [0u8; 4096];
    // SAFETY: the buffer outlives the call and its length is given.
    let length = unsafe {
        libc::syscall(
            libc::SYS_keyctl,
            DESCRIBE,
            keyring.0,
            buffer.as_mut_ptr(),
            buffer.len(),
        )
    };
    let Ok(length) = usize::try_from(length) else {
        return Err(failed(last_errno(), "describe a keyring"));
    };
    let text = buffer.get(..length.min(buffer.len())).unwrap_or_default();
    parse_permissions(&String::from_utf8_lossy(text))
        .ok_or_else(|| Error::new(Kind::Internal, "a keyring's description is malformed"))
}

fn parse_permissions(description: &str) -> Option<u32> {
    u32::from_str_radix(description.split(';').nth(3)?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_are_the_fourth_field() {
        let text = "keyring;0;0;3f130000;_ses.x;y";
        assert_eq!(parse_permissions(text), Some(0x3f13_0000));
        assert_eq!(parse_permissions("keyring;0"), None);
        assert_eq!(parse_permissions(""), None);
    }

    #[test]
    fn a_joined_keyring_can_be_made_searchable() {
        // Session keyrings belong to threads.
        std::thread::spawn(|| {
            let name = c"_ses.wharf-test";
            let Some(ring) = join_session(name).unwrap() else {
                return;
            };
            add_permissions(ring, USER_SEARCH).unwrap();
            assert_eq!(permissions(ring).unwrap() & USER_SEARCH, USER_SEARCH);
            assert_eq!(join_session(name).unwrap(), Some(ring));
        })
        .join()
        .unwrap();
    }
}
