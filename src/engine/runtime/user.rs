//! `user[:group]` against the `passwd` and `group` files of the root file system, as strictly as it must be: digits are
//! never a name, a name is never a number, nothing wraps (CVE-2016-3697, CVE-2024-40635, CVE-2026-30892).

use std::path::Path;

use crate::engine::error::{Error, Kind, Result};
use crate::engine::sys::rooted::Rooted;

/// Largest id that Docker takes.
const MAX_ID: u32 = i32::MAX.cast_unsigned();

/// Largest `passwd` or `group` file that is read.
const MAX_FILE: u64 = 4 << 20;

/// Who a process is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// User.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// Supplementary groups; the primary one is always among them (CVE-2022-36109).
    pub groups: Vec<u32>,
    /// Home directory; `/` without an entry.
    pub home: String,
}

/// Why a text does not name a user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    /// No such name.
    #[error("unable to find user {0}: no matching entries in passwd file")]
    NoUser(String),
    /// No such group.
    #[error("unable to find group {0}: no matching entries in group file")]
    NoGroup(String),
    /// Digits that are too large.
    #[error("uids and gids must be in range 0-{MAX_ID}")]
    Range(String),
}

/// Resolves against `/etc/passwd` and `/etc/group` below the root. Missing files are empty files.
///
/// # Errors
/// [`Kind::InvalidInput`]: no such user or group, or the files are not regular files.
pub fn resolve(text: &str, root: &Rooted) -> Result<Identity> {
    let read = |path: &str| root.read(Path::new(path), MAX_FILE);
    let passwd = read("/etc/passwd")?.unwrap_or_default();
    let group = read("/etc/group")?.unwrap_or_default();
    identify(
        text,
        &String::from_utf8_lossy(&passwd),
        &String::from_utf8_lossy(&group),
    )
    .map_err(|error| Error::new(Kind::InvalidInput, error.to_string()))
}

/// Adds supplementary groups, names of the container's `/etc/group` or numbers.
///
/// # Errors
/// [`Kind::InvalidInput`]: no such group, or the file is not a regular file.
pub fn add_groups(identity: &mut Identity, wanted: &[String], root: &Rooted) -> Result<()> {
    if wanted.is_empty() {
        return Ok(());
    }
    let group = root
        .read(Path::new("/etc/group"), MAX_FILE)?
        .unwrap_or_default();
    let group = String::from_utf8_lossy(&group);
    for name in wanted {
        let gid = find_group(name, &group)
            .map_err(|error| Error::new(Kind::InvalidInput, error.to_string()))?;
        if !identity.groups.contains(&gid) {
            identity.groups.push(gid);
        }
    }
    Ok(())
}

/// A name or a number.
fn find_group(text: &str, group: &str) -> Result<u32, UserError> {
    let none = || UserError::NoGroup(text.to_owned());
    if text.is_empty() {
        return Err(none());
    }
    match parse_id(text)? {
        Some(gid) => Ok(gid),
        None => group_entries(group)
            .find(|entry| entry.name == text)
            .map(|entry| entry.gid)
            .ok_or_else(none),
    }
}

/// The home directory of a user id: what `HOME` is set to. In a file that may not be read (in a user namespace, that of an
/// owner without an id there) nobody is found, as with runc.
///
/// # Errors
/// As [`resolve`].
pub fn home_of(uid: u32, root: &Rooted) -> Result<String> {
    let passwd = match root.read(Path::new("/etc/passwd"), MAX_FILE) {
        Err(error) if error.raw_os_error() == Some(libc::EACCES) => None,
        other => other?,
    };
    let passwd = passwd.unwrap_or_default();
    let text = String::from_utf8_lossy(&passwd);
    Ok(accounts(&text)
        .find(|account| account.uid == uid)
        .map_or("/", |account| account.home)
        .to_owned())
}

/// The pure part: `text` is `user[:group]`, names or numbers; an empty user is root, an empty group the user's own.
///
/// # Errors
/// [`UserError`].
pub fn identify(text: &str, passwd: &str, group: &str) -> Result<Identity, UserError> {
    let (user, wanted_group) = text.split_once(':').unwrap_or((text, ""));
    let number = if user.is_empty() {
        Some(0)
    } else {
        parse_id(user)?
    };
    let account = accounts(passwd).find(|account| match number {
        Some(uid) => account.uid == uid,
        None => account.name == user,
    });
    let uid = match (number, &account) {
        (Some(uid), _) => uid,
        (None, Some(account)) => account.uid,
        (None, None) => return Err(UserError::NoUser(user.to_owned())),
    };
    let (gid, mut groups) = if wanted_group.is_empty() {
        let name = account.as_ref().map_or("", |account| account.name);
        let member_of = group_entries(group)
            .filter(|entry| !name.is_empty() && entry.members.split(',').any(|m| m == name))
            .map(|entry| entry.gid)
            .collect();
        (account.as_ref().map_or(0, |account| account.gid), member_of)
    } else {
        // With an explicit group the memberships of the group file do not count, as with Docker.
        (find_group(wanted_group, group)?, Vec::new())
    };
    if !groups.contains(&gid) {
        groups.insert(0, gid);
    }
    groups.dedup();
    Ok(Identity {
        uid,
        gid,
        groups,
        home: account
            .map(|account| account.home)
            .filter(|home| !home.is_empty())
            .unwrap_or("/")
            .to_owned(),
    })
}

/// A number if the text is all digits, and then never a name.
fn parse_id(text: &str) -> Result<Option<u32>, UserError> {
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(None);
    }
    match text.parse::<u32>() {
        Ok(id) if id <= MAX_ID => Ok(Some(id)),
        _ => Err(UserError::Range(text.to_owned())),
    }
}

struct Account<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

/// passwd(5); lines that are not well-formed are left out.
fn accounts(text: &str) -> impl Iterator<Item = Account<'_>> {
    text.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        let (name, _password) = (fields.next()?, fields.next()?);
        let uid = plain_number(fields.next()?)?;
        let gid = plain_number(fields.next()?)?;
        let _comment = fields.next();
        Some(Account {
            name,
            uid,
            gid,
            home: fields.next().unwrap_or_default(),
        })
    })
}

/// group(5).
fn group_entries(text: &str) -> impl Iterator<Item = Group<'_>> {
    text.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        let (name, _password) = (fields.next()?, fields.next()?);
        let gid = plain_number(fields.next()?)?;
        Some(Group {
            name,
            gid,
            members: fields.next().unwrap_or_default(),
        })
    })
}

/// Digits only: a sign or blanks make the line malformed instead of a different number.
fn plain_number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits
        .then(|| text.parse().ok())
        .flatten()
        .filter(|id| *id <= MAX_ID)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:33::/srv:/bin/false\n31:x:0:0::/evil:/bin/sh\n\
        4294967296:x:0:0::/:/bin/sh\nnohome:x:40:41\nbad:x:-1:0::/:\nwrap:x:4294967297:0::/:\n";
    const GROUP: &str =
        "root:x:0:\ndisk:x:6:root,web\nstaff:x:50:web,other\n70:x:0:web2\nempty:x:71:\n";

    fn check(text: &str, expect: Result<(u32, u32, &[u32], &str), &str>) {
        let got = identify(text, PASSWD, GROUP);
        let expect = expect
            .map(|(uid, gid, groups, home)| Identity {
                uid,
                gid,
                groups: groups.to_vec(),
                home: home.to_owned(),
            })
            .map_err(str::to_owned);
        assert_eq!(got.map_err(|e| e.to_string()), expect, "{text:?}");
    }

    #[test]
    fn every_form_of_a_user_means_what_docker_means_or_is_refused() {
        check("", Ok((0, 0, &[0, 6], "/root")));
        check("root", Ok((0, 0, &[0, 6], "/root")));
        check("web", Ok((33, 33, &[33, 6, 50], "/srv")));
        check("33", Ok((33, 33, &[33, 6, 50], "/srv")));
        check("web:staff", Ok((33, 50, &[50], "/srv")));
        check("web:6", Ok((33, 6, &[6], "/srv")));
        check("1", Ok((1, 0, &[0], "/")));
        check("1:1", Ok((1, 1, &[1], "/")));
        check(":1", Ok((0, 1, &[1], "/root")));
        check("1:", Ok((1, 0, &[0], "/")));
        check("nohome", Ok((40, 41, &[41], "/")));
        // Digits are a number even if somebody is named so.
        check("31", Ok((31, 0, &[0], "/")));
        check("web:70", Ok((33, 70, &[70], "/srv")));
        let range = "uids and gids must be in range 0-2147483647";
        for text in [
            "2147483648",
            "4294967295",
            "4294967296",
            "1:4294967296",
            "99999999999999999999",
        ] {
            check(text, Err(range));
        }
        for text in ["+1", " 1", "0x1", "1abc", "-1", "bad", "wrap", "nosuch"] {
            let message = format!("unable to find user {text}: no matching entries in passwd file");
            check(text, Err(&message));
        }
        check(
            "web:nosuch",
            Err("unable to find group nosuch: no matching entries in group file"),
        );
    }

    #[test]
    fn a_group_to_add_is_a_name_of_the_container_or_a_number() {
        let found = |text: &str| find_group(text, GROUP).map_err(|error| error.to_string());
        assert_eq!(found("staff"), Ok(50));
        assert_eq!(found("77"), Ok(77));
        assert_eq!(found("70"), Ok(70));
        for name in ["nosuch", "", "-1"] {
            let text = format!("unable to find group {name}: no matching entries in group file");
            assert_eq!(found(name), Err(text));
        }
        let range = "uids and gids must be in range 0-2147483647".to_owned();
        assert_eq!(found("99999999999"), Err(range));
    }

    proptest! {
        #[test]
        fn a_number_is_itself_whatever_the_files_say(uid in 0..=MAX_ID, passwd in ".{0,200}", group in ".{0,200}") {
            let who = identify(&uid.to_string(), &passwd, &group).unwrap();
            prop_assert_eq!(who.uid, uid);
            prop_assert!(who.groups.contains(&who.gid));
        }

        #[test]
        fn no_text_panics(text in ".{0,40}", passwd in "(\\PC|:|\n){0,80}", group in "(\\PC|:|\n){0,80}") {
            let _ = identify(&text, &passwd, &group);
        }
    }
}
