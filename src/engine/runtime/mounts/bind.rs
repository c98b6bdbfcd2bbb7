//! Bind mounts: what is copied, which attributes the copy gets, and where it is put.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use oci_spec::runtime::{Mount, Spec};

use super::options::Options;
use super::{From, Made, Place, Prepared, guard, has_users, propagate};
use crate::engine::error::{Error, Kind, Result};
use crate::engine::runtime::view;
use crate::engine::sys::mount::{self, Attributes, Depth, Propagation};
use crate::engine::sys::node;
use crate::engine::sys::rooted::{self, Rooted};

/// A bind mount's source, copied before anything in this namespace is changed: it keeps its propagation peers.
#[derive(Debug)]
pub(super) struct Source {
    mount: OwnedFd,
    is_dir: bool,
}

impl Source {
    /// The detached copy.
    pub(super) fn mount(&self) -> BorrowedFd<'_> {
        self.mount.as_fd()
    }
}

/// Copies what a bind mount shows.
pub(super) fn source(
    spec: &Spec,
    rootfs: Option<&Path>,
    wanted: &Mount,
    options: &Options,
    depth: Depth,
    users: Option<OwnedFd>,
) -> Result<From> {
    let path = wanted
        .source()
        .as_deref()
        .ok_or_else(|| Error::invalid("a bind mount without a source"))?;
    if let Some((key, _)) = options.data.first() {
        return Err(Error::invalid(format!(
            "option {key} is for file systems, and a bind mount makes none"
        )));
    }
    if options.links.copy
        && let Some(to) = node::read_link(path)?
    {
        return Ok(From::Link(to));
    }
    if options.inside {
        return Ok(From::Inside(path.to_owned(), users));
    }
    // Earlier mounts of the container are not there yet.
    if let Some(rest) = rootfs.and_then(|rootfs| path.strip_prefix(rootfs).ok()) {
        return Ok(From::Inside(rest.to_owned(), users));
    }
    let copy = if let Some((pid, started)) = options.process {
        view::copy_of(pid, started, path)
    } else if let Some(below) = &options.subpath {
        let what = || path.join(below);
        let found = Rooted::open(path)
            .map_err(|error| missing(error, path))?
            .resolve(below)
            .map_err(|error| missing(error, &what()))?;
        mount::clone_fd(found.as_fd(), depth, what().display())
    } else if options.links.source_itself {
        mount::clone_link(path, depth)
    } else {
        mount::clone_path(path, depth)
    };
    let copy = copy.map_err(|error| missing(error, path))?;
    dress(spec, copy, path, options, users.as_ref().map(AsFd::as_fd)).map(From::Copy)
}

fn missing(error: Error, path: &Path) -> Error {
    if rooted::is_missing(&error) {
        Error::invalid(format!(
            "bind source path does not exist: {}",
            path.display()
        ))
    } else {
        error
    }
}

/// Copies a source that is in the container's root, with what earlier mounts put there.
pub(super) fn source_inside(
    place: Place<'_>,
    path: &Path,
    prepared: &Prepared,
    users: Option<BorrowedFd<'_>>,
) -> Result<Source> {
    let options = &prepared.options;
    let found = place
        .root
        .resolve(path)
        .map_err(|error| missing(error, path))?;
    let depth = options.bind.unwrap_or(Depth::One);
    let copy = mount::clone_fd(found.as_fd(), depth, path.display())?;
    dress(place.spec, copy, path, options, users)
}

/// Gives a copy its owners, attributes and propagation.
fn dress(
    spec: &Spec,
    copy: OwnedFd,
    path: &Path,
    options: &Options,
    users: Option<BorrowedFd<'_>>,
) -> Result<Source> {
    let is_dir = rooted::is_dir(copy.as_fd(), path)?;
    if let (Some(users), Some(id_map)) = (users, &options.id_map) {
        mount::set_id_map(copy.as_fd(), id_map.depth, users, path.display())
            .map_err(explain_id_map)?;
    }
    let locks = if has_users(spec) {
        Locks::Hold
    } else {
        Locks::AsTheKernelSays
    };
    set_attributes(copy.as_fd(), options, locks, path)?;
    if options.propagation.is_empty() {
        let inherited = inherited_propagation(spec);
        propagate(copy.as_fd(), inherited.as_slice(), path)?;
    } else {
        propagate(copy.as_fd(), &options.propagation, path)?;
    }
    Ok(Source {
        mount: copy,
        is_dir,
    })
}

fn explain_id_map(error: Error) -> Error {
    match error.raw_os_error() {
        Some(libc::EINVAL) => error
            .with_kind(Kind::Unsupported)
            .with_hint("the source's file system does not support idmap, or has a mapping already"),
        Some(libc::EPERM) => error
            .with_hint("owners of what is in the container's root cannot be mapped from inside"),
        _ => error,
    }
}

/// What a bind mount without an option of its own is to its source: as all mounts of the container are.
fn inherited_propagation(spec: &Spec) -> Option<(Propagation, Depth)> {
    let all = spec
        .linux()
        .as_ref()
        .and_then(|linux| linux.rootfs_propagation().as_deref())
        .unwrap_or_default();
    match all {
        "shared" | "rshared" => None,
        "slave" | "rslave" => Some((Propagation::Slave, Depth::Recursive)),
        _ => Some((Propagation::Private, Depth::Recursive)),
    }
}

/// Whether attributes of the source may be taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Locks {
    /// Those of the host's mounts hold in a user namespace, whoever makes the copy.
    Hold,
    /// They can unless the kernel says no.
    AsTheKernelSays,
}

/// Attributes that one set of options replaces by another.
const REPLACED: Attributes =
    mount::RDONLY | mount::NOSUID | mount::NODEV | mount::NOEXEC | mount::NOSYMFOLLOW;
/// Attributes that the kernel locks (mount_namespaces(7), "Restrictions on mount namespaces").
const LOCKABLE: Attributes =
    mount::RDONLY | mount::NOSUID | mount::NODEV | mount::NOEXEC | mount::NODIRATIME;

/// Changes attributes as runc does: without any option a copy keeps what its source has, with one it has what the options
/// say and nothing else. What is locked is kept, unless it was asked for by name that it goes: then it is an error.
pub(super) fn set_attributes(
    mount: BorrowedFd<'_>,
    options: &Options,
    locks: Locks,
    label: &Path,
) -> Result<()> {
    let set =
        |set, clear| mount::set_attributes(mount, Depth::One, set, clear, None, label.display());
    if options.has_attributes() {
        let replaced = set_if_allowed(locks, || set(options.set, replacing(options)))?;
        if !replaced {
            let now = mount::attributes(mount)?;
            refuse_to_unlock(now, options)?;
            set(options.set, replacing(options) & !(now & LOCKABLE))?;
        }
    }
    if options.set_all | options.clear_all == 0 {
        return Ok(());
    }
    mount::set_attributes(
        mount,
        Depth::Recursive,
        options.set_all,
        options.clear_all,
        None,
        label.display(),
    )
}

/// `false` if locks are in the way.
fn set_if_allowed(locks: Locks, set: impl Fn() -> Result<()>) -> Result<bool> {
    if locks == Locks::Hold {
        return Ok(false);
    }
    match set() {
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => Ok(false),
        other => other.map(|()| true),
    }
}

/// What is cleared if the options are all that counts. Access times stay as they are unless one of them is named.
fn replacing(options: &Options) -> Attributes {
    let times = mount::ATIME | mount::NODIRATIME;
    let named = (options.set | options.clear) & times != 0;
    let clear = options.clear | REPLACED | if named { times } else { 0 };
    // The choice of access times is cleared as a whole (mount_setattr(2)).
    clear & !(options.set & !mount::ATIME)
}

fn refuse_to_unlock(now: Attributes, options: &Options) -> Result<()> {
    const NAMES: &[(Attributes, &str)] = &[
        (mount::RDONLY, "ro"),
        (mount::NOSUID, "nosuid"),
        (mount::NODEV, "nodev"),
        (mount::NOEXEC, "noexec"),
        (mount::NODIRATIME, "nodiratime"),
    ];
    let locked = now & options.clear & LOCKABLE;
    let other_times =
        options.clear & mount::ATIME != 0 && now & mount::ATIME != options.set & mount::ATIME;
    let mut names: Vec<&str> = NAMES
        .iter()
        .filter(|(bit, _)| locked & bit != 0)
        .map(|(_, name)| *name)
        .collect();
    if other_times {
        names.push("the access time option");
    }
    if names.is_empty() {
        return Ok(());
    }
    Err(Error::new(
        Kind::Denied,
        format!(
            "{} of the source cannot be taken away in a user namespace: operation not permitted",
            names.join(", ")
        ),
    ))
}

/// Puts a copy where it belongs.
pub(super) fn attach(
    place: Place<'_>,
    prepared: &Prepared,
    source: &Source,
    made: &mut Made,
) -> Result<()> {
    let target = &prepared.target;
    let at = point(place.root, target, source.is_dir, &prepared.options)?;
    let is_proc = guard::check(place.identity, at.as_fd(), target, || {
        mount::is_procfs(source.mount.as_fd())
    })?;
    mount::attach(source.mount.as_fd(), at.as_fd(), target.display()).map_err(|error| {
        match rooted::is_dir(at.as_fd(), target) {
            Ok(is_dir) if is_dir != source.is_dir => error.with_kind(Kind::InvalidInput).with_hint(
                "a directory cannot be mounted on a file, nor a file on a directory; check both paths",
            ),
            _ => error,
        }
    })?;
    let mount = || {
        let copy = source.mount.try_clone();
        copy.map_err(|e| Error::io("duplicate a descriptor", e))
    };
    match guard::clean(target).to_str() {
        Some("/proc") if is_proc => made.proc = Some(mount()?),
        Some("/dev") => made.foreign_dev = true,
        Some("/dev/pts") => made.devpts = Some(mount()?),
        _ => {}
    }
    Ok(())
}

/// What is mounted over; made if it is missing.
fn point(root: &Rooted, target: &Path, is_dir: bool, options: &Options) -> Result<OwnedFd> {
    if options.links.target_itself {
        return root.resolve_itself(target);
    }
    match root.resolve_optional(target)? {
        Some(found) => Ok(found),
        None if is_dir => root.make_dirs(target),
        None => root.make_file(target),
    }
}

/// Makes a link like the host's. One that is there already stays.
pub(super) fn copy_link(root: &Rooted, target: &Path, to: &Path) -> Result<()> {
    let name = target.file_name().and_then(|name| name.to_str());
    let (Some(parent), Some(name), Some(to)) = (target.parent(), name, to.to_str()) else {
        return Err(Error::invalid(format!(
            "{} cannot be a link",
            target.display()
        )));
    };
    let dir = root.make_dirs(parent)?;
    node::link_unless_there(dir.as_fd(), name, to).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::runtime::mounts::options::parse;

    fn options(list: &[&str]) -> Options {
        parse(&list.iter().map(|o| (*o).to_owned()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn options_replace_what_the_source_has() {
        let clear = replacing(&options(&["ro"]));
        assert_eq!(clear, REPLACED & !mount::RDONLY);
        // Named or not: nodev goes, and access times stay.
        assert_eq!(replacing(&options(&["dev"])), REPLACED);
        let times = replacing(&options(&["noatime"]));
        assert_eq!(times, REPLACED | mount::ATIME | mount::NODIRATIME);
        let times = replacing(&options(&["nodiratime"]));
        assert_eq!(times, REPLACED | mount::ATIME);
    }

    #[test]
    fn what_is_locked_goes_only_by_mistake() {
        let now = mount::RDONLY | mount::NODEV | mount::NOATIME;
        let refused = |list: &[&str]| {
            let error = refuse_to_unlock(now, &options(list)).unwrap_err();
            error.to_string()
        };
        assert!(refused(&["rw", "nodev"]).starts_with("ro of the source"));
        assert!(refused(&["dev", "rw"]).starts_with("ro, nodev of"));
        assert!(refused(&["strictatime"]).starts_with("the access time option"));
        for kept in [
            &["nosuid"][..],
            &["ro", "exec"],
            &["noatime"],
            &["symfollow"],
        ] {
            refuse_to_unlock(now, &options(kept)).unwrap();
        }
    }
}
