//! AppArmor's files below securityfs: what a profile permits, which also says whether it is loaded, and the loading of
//! compiled policy. Labels of processes are written by `procfs.rs`.

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::failed;
use crate::engine::error::{Error, Kind, Result};

const ACCESS: &str = "/sys/kernel/security/apparmor/.access";
const REPLACE: &str = "/sys/kernel/security/apparmor/.replace";

/// The kernel's class of rules about files (`AA_CLASS_FILE`, security/apparmor/include/apparmor.h).
const CLASS_FILE: u8 = 2;

/// What the kernel says of a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// AppArmor is not at work, or this process does not see its files.
    Unreachable,
    /// No profile has that name.
    NotLoaded,
    /// It is loaded; what it allows to do with the path.
    Allows(Permissions),
}

/// Kinds of access, as bits (`AA_MAY_*`, security/apparmor/include/perms.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permissions(u32);

impl Permissions {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// Everything.
    pub const ALL: Self = Self(u32::MAX);

    /// Whether the path may be written.
    #[must_use]
    pub fn write(self) -> bool {
        self.0 & 2 != 0
    }
}

/// Whether AppArmor is at work, and this process sees its files.
#[must_use]
pub fn is_reachable() -> bool {
    rustix::fs::access(ACCESS, rustix::fs::Access::EXISTS).is_ok()
}

/// Asks what a profile (or several, joined by `//&`) allows its processes to do with a path; aa_query_label(2).
///
/// # Errors
/// What the kernel says, and [`Kind::Internal`] if its answer cannot be read.
pub fn query(profile: &str, path: &str) -> Result<Answer> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let file = match rustix::fs::open(ACCESS, flags, Mode::empty()) {
        Ok(file) => file,
        // Without AppArmor there is no such file; where it was switched off at boot it says that there is no such device.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::NODEV | Errno::ACCESS) => {
            return Ok(Answer::Unreachable);
        }
        Err(error) => return Err(failed(error, format!("open {ACCESS}"))),
    };
    let what = || format!("ask AppArmor for the profile {profile:?}");
    match rustix::io::write(&file, &question(profile, path)) {
        Ok(_) => {}
        Err(Errno::NOENT) => return Ok(Answer::NotLoaded),
        Err(error) => return Err(failed(error, what())),
    }
    let mut text = [0; 256];
    let length = rustix::io::read(&file, &mut text).map_err(|e| failed(e, what()))?;
    allowed(text.get(..length).unwrap_or_default())
        .map(Answer::Allows)
        .ok_or_else(|| Error::new(Kind::Internal, what()).with_hint("its answer has another form"))
}

/// `label`, the profile, the class of rules and what they are asked for; each name ends with a NUL.
fn question(profile: &str, path: &str) -> Vec<u8> {
    let mut question = format!("label\0{profile}\0").into_bytes();
    question.push(CLASS_FILE);
    question.extend_from_slice(path.as_bytes());
    question
}

/// The line `allow 0x…`.
fn allowed(answer: &[u8]) -> Option<Permissions> {
    let text = String::from_utf8_lossy(answer);
    let number = text
        .lines()
        .find_map(|line| line.strip_prefix("allow 0x"))?;
    u32::from_str_radix(number, 16).ok().map(Permissions)
}

/// Loads compiled profiles into the kernel, in place of those of the same names.
///
/// # Errors
/// [`Kind::Denied`] without CAP_MAC_ADMIN in the namespace of the policy, and what the kernel says of the policy.
pub fn replace(policy: &[u8]) -> Result<()> {
    let what = || "load a profile into AppArmor";
    let file = rustix::fs::open(REPLACE, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|e| failed(e, what()))?;
    // One write is one set of profiles: the kernel takes all of it or nothing.
    rustix::io::write(&file, policy)
        .map(|_| ())
        .map_err(|e| failed(e, what()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_has_the_form_of_the_kernel() {
        assert_eq!(question("p q", "/x"), b"label\0p q\0\x02/x");
    }

    #[test]
    fn an_answer_is_read() {
        let check = |text: &str, expect: Option<bool>| {
            assert_eq!(
                allowed(text.as_bytes()).map(Permissions::write),
                expect,
                "{text:?}"
            );
        };
        let rest = "deny 0x00000000\naudit 0x00000000\nquiet 0x0000313a\n";
        check(&format!("allow 0x0005b37f\n{rest}"), Some(true));
        check(&format!("allow 0x00058245\n{rest}"), Some(false));
        check(rest, None);
        check("allow 0x\n", None);
        check("allow 0xfffffffff\n", None);
        check("", None);
    }

    #[test]
    fn a_kernel_without_apparmor_is_no_error() {
        if !is_reachable() {
            assert_eq!(query("x", "/").unwrap(), Answer::Unreachable);
            assert!(replace(b"x").is_err());
        }
    }
}
