//! Gives files of the host an SELinux context, so that a container may use them (`:z`, `:Z`, volumes). Links are never
//! followed: paths are resolved without any, and what is below is found by descriptor.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use crate::engine::error::{Attempt, Error, Kind, Result};
use crate::engine::sys::at::{Dir, Kind as FileKind};
use crate::engine::sys::rooted::{self, Rooted};
use crate::engine::sys::{file, selinux};

/// What the host itself lives of: with another context it would not start again. Docker's list, and the mount points of
/// kernel file systems.
const NEVER: &[&str] = &[
    "/",
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/etc/passwd",
    "/etc/pki",
    "/etc/shadow",
    "/home",
    "/lib",
    "/lib64",
    "/media",
    "/opt",
    "/proc",
    "/root",
    "/run",
    "/sbin",
    "/srv",
    "/sys",
    "/tmp",
    "/usr",
    "/var",
    "/var/lib",
    "/var/log",
];

/// Gives a context to a file or directory that a user named, and to everything below it. `homes` are the users' home
/// directories.
///
/// # Errors
/// [`Kind::Denied`] in Docker's words for what the host lives of; what the kernel says. What was done so far stays.
pub fn source(path: &Path, context: &str, homes: &[PathBuf]) -> Result<()> {
    let what = || format!("error setting label on mount source '{}'", path.display());
    let real = file::canonical(path).attempt(what)?;
    if is_needed(&real, homes) {
        let text = format!("SELinux relabeling of {} is not allowed", real.display());
        return Err(Error::new(Kind::Denied, text)
            .attempting(what())
            .with_hint("mount a directory below it, or leave z and Z out"));
    }
    tree(&real, context).attempt(what)
}

/// Whether a path without links is one that the host lives of, whatever links lead there (`/bin` is `/usr/bin` today).
fn is_needed(real: &Path, homes: &[PathBuf]) -> bool {
    let never = NEVER.iter().map(Path::new);
    let is_it =
        |path: &Path| path == real || file::canonical(path).is_ok_and(|found| found == real);
    never.chain(homes.iter().map(PathBuf::as_path)).any(is_it)
}

/// The home directories of root and of people: what passwd(5) says of users from 1000 on.
#[must_use]
pub fn homes(passwd: &str) -> Vec<PathBuf> {
    let home = |line: &str| {
        let mut fields = line.split(':').skip(2);
        let uid: u32 = fields.next()?.parse().ok()?;
        let home = fields.nth(2).filter(|home| home.starts_with('/'))?;
        let is_persons = uid == 0 || (1000..65534).contains(&uid);
        is_persons.then(|| PathBuf::from(home))
    };
    passwd.lines().filter_map(home).collect()
}

/// Gives a context to a path without links in it, and to everything below it.
///
/// # Errors
/// `ELOOP` if there is a link after all; what the kernel says. What was done so far stays.
pub fn tree(path: &Path, context: &str) -> Result<()> {
    let root = Rooted::open(Path::new("/"))?;
    all(root.resolve_plain(path)?.as_fd(), path, context)
}

/// The same, unless the directory itself has the context: it got it when all below had.
///
/// # Errors
/// As [`tree`].
pub fn tree_once(path: &Path, context: &str) -> Result<()> {
    let root = Rooted::open(Path::new("/"))?;
    let found = root.resolve_plain(path)?;
    if selinux::of_fd(found.as_fd(), path.display())?.as_deref() == Some(context) {
        return Ok(());
    }
    all(found.as_fd(), path, context)
}

/// The same for what a path inside of a directory leads to, which is never outside of it.
///
/// # Errors
/// What resolving it and the kernel say.
pub fn inside(root: &Path, path: &Path, context: &str) -> Result<()> {
    let found = Rooted::open(root)?.resolve(path)?;
    all(found.as_fd(), &root.join(path), context)
}

fn all(found: BorrowedFd<'_>, path: &Path, context: &str) -> Result<()> {
    if rooted::is_dir(found, path)? {
        below(&Dir::reopen(found, path)?, context)?;
    }
    if selinux::of_fd(found, path.display())?.as_deref() != Some(context) {
        selinux::set_fd(found, context, path.display())?;
    }
    Ok(())
}

/// Everything in a directory, at any depth; one directory is open at a time.
fn below(root: &Dir, context: &str) -> Result<()> {
    let mut paths: Vec<Vec<u8>> = vec![Vec::new()];
    while let Some(path) = paths.pop() {
        let Some(dir) = root.find_dir(&path)? else {
            // Gone, or no directory any more.
            continue;
        };
        for name in dir.names()? {
            let Some(stat) = dir.stat(&name)? else {
                continue;
            };
            set(&dir, &name, context)?;
            match stat.kind {
                FileKind::Directory if path.is_empty() => paths.push(name),
                FileKind::Directory => {
                    paths.push([path.as_slice(), b"/", name.as_slice()].concat());
                }
                FileKind::File
                | FileKind::Symlink
                | FileKind::Char
                | FileKind::Block
                | FileKind::Fifo
                | FileKind::Socket => {}
            }
        }
    }
    Ok(())
}

/// Nothing is written where all is as it should be, nor where a file system has no contexts.
fn set(dir: &Dir, name: &[u8], context: &str) -> Result<()> {
    if selinux::of_entry(dir.as_fd(), name)?.as_deref() == Some(context) {
        return Ok(());
    }
    selinux::set_entry(dir.as_fd(), name, context)
        .attempt(|| format!("in {}", dir.label().display()))
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_host_lives_of_is_never_relabelled() {
        let homes = homes("root:x:0:0::/root:/bin/sh\nyou:x:1000:1000::/srv/you:/bin/sh\n");
        let check = |path: &str| {
            let error = source(Path::new(path), "u:object_r:t:s0", &homes).unwrap_err();
            assert_eq!(error.kind(), Kind::Denied, "{path}");
            let begin =
                format!("error setting label on mount source '{path}': SELinux relabeling of /");
            assert!(error.to_string().starts_with(&begin), "{error}");
        };
        for path in [
            "/",
            "/usr",
            "/etc",
            "/home",
            "/usr/",
            "/usr/../etc",
            "/bin",
            "/etc/passwd",
        ] {
            check(path);
        }
        assert!(is_needed(Path::new("/srv/you"), &homes));
        assert!(!is_needed(Path::new("/srv/you/below"), &homes));
        assert!(!is_needed(Path::new("/etc/x"), &homes));
    }

    #[test]
    fn a_link_to_what_the_host_lives_of_is_no_way_round() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("/etc", &link).unwrap();
        let error = source(&link, "u:object_r:t:s0", &[]).unwrap_err();
        assert!(
            error.to_string().ends_with("of /etc is not allowed"),
            "{error}"
        );
    }

    #[test]
    fn homes_are_those_of_people() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\npostgres:x:105:1::/var/lib/postgresql:/bin/sh\n\
            a:x:1000:1000::/home/a:/bin/sh\nnobody:x:65534:65534::/nonexistent:/bin/false\nbroken\nx:x:1001:1::\n";
        assert_eq!(homes(passwd), ["/root", "/home/a"].map(PathBuf::from));
    }
}
