//! Mounts of a file system that the kernel makes: procfs, tmpfs, devpts and any other that it has.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use oci_spec::runtime::Mount;

use super::options::{self, Options};
use super::{Found, Made, Place, Prepared, bind, cgroups, copy_up, directory, guard, propagate};
use crate::engine::error::{Attempt, Error, Kind, Result};
use crate::engine::sys::mount::{self, Attributes, Context, Depth, Propagation};
use crate::engine::sys::rooted::{self, Rooted};
use crate::engine::sys::selinux;

/// File systems without a device: that they are read-only is a matter of the mount alone.
const PSEUDO: &[&str] = &[
    "proc", "sysfs", "tmpfs", "devpts", "mqueue", "cgroup", "cgroup2", "overlay",
];

/// File systems whose label is not that of the mount (SELinux): the policy has one for all of their kind. That of `mqueue` can
/// be changed afterwards.
const WITHOUT_LABEL: &[&str] = &["proc", "sysfs", "mqueue", "cgroup", "cgroup2"];

/// The kernel takes no longer value in one fsconfig(2) call.
const MAX_VALUE: usize = 255;

/// Mounts a file system.
pub(super) fn file_system(
    place: Place<'_>,
    wanted: &Mount,
    prepared: &Prepared,
    made: &mut Made,
) -> Result<()> {
    let options = &prepared.options;
    let kind = match wanted.typ().as_deref() {
        Some("" | "none") | None => {
            return Err(Error::invalid(
                "no type is given, and the options do not say that it is a bind mount",
            ));
        }
        Some(kind) => kind,
    };
    if options.copy_up && kind != "tmpfs" {
        return Err(Error::invalid("option tmpcopyup is for tmpfs"));
    }
    match kind {
        "proc" | "sysfs" => exact(place, wanted, prepared, kind, made),
        "cgroup" => cgroups::mount(place, wanted, prepared),
        "cgroup2" => cgroups::unified(place, wanted, prepared),
        "tmpfs" => tmpfs(place, wanted, prepared, made),
        _ => other(place, wanted, prepared, kind, made),
    }
}

/// procfs and sysfs: they are mounted where they are said to be, or not at all.
fn exact(
    place: Place<'_>,
    wanted: &Mount,
    prepared: &Prepared,
    kind: &str,
    made: &mut Made,
) -> Result<()> {
    let target = &prepared.target;
    let at = ordinary_dir(place.root, target, kind)?;
    let is_proc = guard::check(place.identity, at.as_fd(), target, || Ok(kind == "proc"))?;
    let fs = match new(wanted, kind, &prepared.options, prepared.options.set) {
        Err(error) if kind == "sysfs" && is_forbidden(&error) => hosts_sysfs(&prepared.options)?,
        other => other?,
    };
    put(fs.as_fd(), at.as_fd(), prepared)?;
    if is_proc && guard::clean(target) == Path::new("/proc") {
        made.proc = Some(fs);
    }
    Ok(())
}

/// A user namespace whose network namespace is another's may not mount sysfs, and sees the host's instead: read-only with
/// all that is mounted in it (CVE-2023-25809).
fn hosts_sysfs(options: &Options) -> Result<OwnedFd> {
    let copy = mount::clone_path(Path::new("/sys"), Depth::Recursive)?;
    let set = options.set | options.set_all | mount::RDONLY;
    let set = set & !(mount::ATIME | mount::NODIRATIME);
    let private = Some(Propagation::Private);
    mount::set_attributes(copy.as_fd(), Depth::Recursive, set, 0, private, "/sys")?;
    Ok(copy)
}

fn is_forbidden(error: &Error) -> bool {
    error.raw_os_error() == Some(libc::EPERM)
}

/// A tmpfs has the mode of the directory that it covers, and begins with what that has if it is asked to. It becomes
/// read-only at last: other mounts may be in it.
fn tmpfs(place: Place<'_>, wanted: &Mount, prepared: &Prepared, made: &mut Made) -> Result<()> {
    let target = &prepared.target;
    let (at, found) = directory(place.root, target)?;
    guard::check(place.identity, at.as_fd(), target, || Ok(false))?;
    let mut options = prepared.options.clone();
    if found == Found::Before && !options.has_data("mode") {
        let mode = rooted::mode(at.as_fd(), target)?;
        options
            .data
            .push(("mode".to_owned(), Some(format!("{mode:04o}"))));
    }
    label(place.mount_label(), "tmpfs", &mut options);
    let fs = new(wanted, "tmpfs", &options, options.set & !mount::RDONLY)?;
    if options.copy_up && found == Found::Before {
        copy_up::fill(fs.as_fd(), at.as_fd(), target)?;
    }
    options.set_all &= !mount::RDONLY;
    put_as(fs.as_fd(), at.as_fd(), target, &options)?;
    keep(fs, target, &prepared.options, made)
}

/// Remembers what later steps need.
fn keep(fs: OwnedFd, target: &Path, options: &Options, made: &mut Made) -> Result<()> {
    let is_dev = guard::clean(target) == Path::new("/dev");
    let is_late = (options.set | options.set_all) & mount::RDONLY != 0;
    if is_dev && is_late {
        let copy = fs.try_clone();
        made.dev = Some(copy.map_err(|e| Error::io("duplicate a descriptor", e))?);
        made.foreign_dev = false;
        made.late.push((fs, target.to_owned()));
    } else if is_dev {
        made.dev = Some(fs);
        made.foreign_dev = false;
    } else if is_late {
        made.late.push((fs, target.to_owned()));
    }
    Ok(())
}

fn other(
    place: Place<'_>,
    wanted: &Mount,
    prepared: &Prepared,
    kind: &str,
    made: &mut Made,
) -> Result<()> {
    let target = &prepared.target;
    let (at, _) = directory(place.root, target)?;
    guard::check(place.identity, at.as_fd(), target, || Ok(false))?;
    let mut options = prepared.options.clone();
    label(place.mount_label(), kind, &mut options);
    let is_long = |value: &Option<String>| value.as_ref().is_some_and(|v| v.len() > MAX_VALUE);
    if options.data.iter().any(|(_, value)| is_long(value)) {
        by_name(wanted, kind, &at, &options)?;
        let mounted = place.root.resolve(target)?;
        set_all(mounted.as_fd(), target, &options)?;
        return narrow(place, target, &options);
    }
    let fs = new(wanted, kind, &options, options.set)?;
    if let ("mqueue", Some(context)) = (kind, place.mount_label()) {
        selinux::set_fd(fs.as_fd(), context, target.display())?;
    }
    put_as(fs.as_fd(), at.as_fd(), target, &options)?;
    if kind == "devpts" && guard::clean(target) == Path::new("/dev/pts") {
        made.devpts = Some(fs);
    }
    narrow(place, target, &options)
}

/// Mounts a directory of what was just mounted over it. Only what is mounted somewhere can be copied in part (open_tree(2)), so
/// the whole stays below.
fn narrow(place: Place<'_>, target: &Path, options: &Options) -> Result<()> {
    let Some(below) = &options.subpath else {
        return Ok(());
    };
    let what = || target.join(below);
    let whole = Rooted::from_fd(place.root.resolve(target)?);
    let part = whole.resolve(below).attempt(|| "open its part")?;
    if !rooted::is_dir(part.as_fd(), &what())? {
        return Err(Error::invalid(format!(
            "{} is not a directory, as a part of several layers must be",
            below.display()
        )));
    }
    let copy = mount::clone_fd(part.as_fd(), Depth::One, what().display())?;
    let at = place.root.resolve(target)?;
    mount::attach(copy.as_fd(), at.as_fd(), target.display())
}

/// `linux.mountLabel`, as the option that SELinux takes.
fn label(label: Option<&str>, kind: &str, options: &mut Options) {
    if let Some(label) = label.filter(|label| !label.is_empty())
        && !WITHOUT_LABEL.contains(&kind)
        && !options.has_data("context")
    {
        let option = ("context".to_owned(), Some(label.to_owned()));
        options.data.push(option);
    }
}

/// A new file system and a detached mount of it.
pub(super) fn new(
    wanted: &Mount,
    kind: &str,
    options: &Options,
    attributes: Attributes,
) -> Result<OwnedFd> {
    let context = Context::open(kind).map_err(|error| match error.raw_os_error() {
        Some(libc::ENODEV) => error
            .with_kind(Kind::Unsupported)
            .with_hint("the kernel has no such file system; /proc/filesystems lists those it has"),
        _ => error,
    })?;
    // What the first column of a mount table shows.
    let source = wanted.source().as_deref().and_then(Path::to_str);
    context.set(
        "source",
        source.filter(|text| !text.is_empty()).unwrap_or(kind),
    )?;
    if attributes & mount::RDONLY != 0 && !PSEUDO.contains(&kind) {
        context.flag("ro")?;
    }
    configure(&context, options)?;
    context.mount(attributes)
}

fn configure(context: &Context, options: &Options) -> Result<()> {
    options
        .flags
        .iter()
        .try_for_each(|flag| context.flag(flag))?;
    options
        .data
        .iter()
        .try_for_each(|(key, value)| match value {
            Some(value) => context.set(key, value),
            None => context.flag(key),
        })
}

/// mount(2), for values that are too long for fsconfig(2). The place is the descriptor's.
fn by_name(wanted: &Mount, kind: &str, at: &OwnedFd, options: &Options) -> Result<()> {
    let mut words: Vec<String> = options
        .flags
        .iter()
        .map(|flag| (*flag).to_owned())
        .collect();
    words.extend(options.data.iter().map(|(key, value)| match value {
        Some(value) => options::quoted(key, value),
        None => key.clone(),
    }));
    let source = wanted.source().as_deref().and_then(Path::to_str);
    let place = format!("/proc/self/fd/{}", at.as_raw_fd());
    mount::mount_by_name(
        kind,
        source.unwrap_or(kind),
        Path::new(&place),
        &words.join(","),
    )
}

/// Attributes and propagation of what was mounted without them.
fn set_all(mounted: BorrowedFd<'_>, target: &Path, options: &Options) -> Result<()> {
    bind::set_attributes(mounted, options, bind::Locks::AsTheKernelSays, target)?;
    propagate(mounted, &options.propagation, target)
}

/// Puts a file system where it belongs, with the attributes that it has not got yet.
pub(super) fn put(fs: BorrowedFd<'_>, at: BorrowedFd<'_>, prepared: &Prepared) -> Result<()> {
    put_as(fs, at, &prepared.target, &prepared.options)
}

fn put_as(fs: BorrowedFd<'_>, at: BorrowedFd<'_>, target: &Path, options: &Options) -> Result<()> {
    if options.set_all | options.clear_all != 0 {
        mount::set_attributes(
            fs,
            Depth::Recursive,
            options.set_all,
            options.clear_all,
            None,
            target.display(),
        )?;
    }
    propagate(fs, &options.propagation, target)?;
    mount::attach(fs, at, target.display())
}

/// Changes what is mounted already: the mount alone if it is a bind mount, otherwise the file system, too (mount(8),
/// "remount").
pub(super) fn remount(place: Place<'_>, wanted: &Mount, prepared: &Prepared) -> Result<()> {
    let (target, options) = (&prepared.target, &prepared.options);
    let at = place.root.resolve(target)?;
    if options.bind.is_none() {
        let kind = wanted.typ().as_deref().unwrap_or("file system");
        let context = Context::pick(at.as_fd(), kind)?;
        let read_only = options.set & mount::RDONLY != 0;
        if !PSEUDO.contains(&kind) && (options.set | options.clear) & mount::RDONLY != 0 {
            context.flag(if read_only { "ro" } else { "rw" })?;
        }
        configure(&context, options)?;
        context.reconfigure()?;
    }
    set_all(at.as_fd(), target, options)
}

/// The directory itself, not what a link of the image says (CVE-2023-27561, CVE-2025-54867).
fn ordinary_dir(root: &Rooted, target: &Path, kind: &str) -> Result<OwnedFd> {
    let refuse = || {
        Error::new(
            Kind::Denied,
            format!(
                "{kind} must be mounted on ordinary directory, and {} of the image is none",
                target.display()
            ),
        )
    };
    let place = match root.resolve_plain(target) {
        Ok(place) => place,
        Err(error) if rooted::is_missing(&error) => {
            root.make_dirs(target)?;
            root.resolve_plain(target)?
        }
        Err(error) => return Err(refuse().caused_by(error)),
    };
    if rooted::is_dir(place.as_fd(), target)? {
        Ok(place)
    } else {
        Err(refuse())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_given_to_file_systems_that_take_one_and_have_none() {
        let context = |kind: &str, given: Option<&str>, own: &[String]| {
            let mut options = options::parse(own).unwrap();
            label(given, kind, &mut options);
            let all = options
                .data
                .into_iter()
                .filter(|(name, _)| name == "context");
            all.filter_map(|(_, value)| value).collect::<Vec<_>>()
        };
        assert_eq!(context("tmpfs", Some("a:b"), &[]), ["a:b"]);
        let own = ["context=c:d".to_owned()];
        assert_eq!(context("tmpfs", Some("a:b"), &own), ["c:d"]);
        for (kind, given) in [("proc", Some("a:b")), ("tmpfs", Some("")), ("tmpfs", None)] {
            assert_eq!(context(kind, given, &[]), [""; 0], "{kind} {given:?}");
        }
    }
}
