//! Cgroup file systems in a container: of version 1 a directory with one mount for each hierarchy, of version 2 the
//! unified tree. In a cgroup namespace they are new mounts, which show its part alone; without one they are bind mounts
//! of what the process is in (version 1) or of the whole tree (version 2), as with runc.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{LinuxNamespaceType, Mount, Spec};

use super::options::Options;
use super::{Place, Prepared, cover, directory, guard, kernel, propagate};
use crate::engine::error::{Attempt, Error, Result};
use crate::engine::sys::mount::{self, Attributes, Context, Depth};
use crate::engine::sys::rooted::{self, Rooted};
use crate::engine::sys::{file, node};

/// What every mount of version 1 has.
const SAFE: Attributes = mount::NOSUID | mount::NODEV | mount::NOEXEC;

/// Where the unified tree is on hosts that have nothing else.
const UNIFIED: &str = "/sys/fs/cgroup";

/// Mounts what the host has: a mount of type `cgroup`.
pub(super) fn mount(place: Place<'_>, wanted: &Mount, prepared: &Prepared) -> Result<()> {
    let Some(hierarchies) = place.group.v1_hierarchies() else {
        return unified(place, wanted, prepared);
    };
    let (target, options) = (&prepared.target, &prepared.options);
    let (at, _) = directory(place.root, target)?;
    guard::check(place.identity, at.as_fd(), target, || Ok(false))?;
    // One hierarchy that is told by its controllers or its name.
    if !options.data.is_empty() {
        let fs = kernel::new(wanted, "cgroup", options, options.set)?;
        return kernel::put(fs.as_fd(), at.as_fd(), prepared);
    }
    let top = empty_tmpfs(options)?;
    propagate(top.as_fd(), &options.propagation, target)?;
    mount::attach(top.as_fd(), at.as_fd(), target.display())?;
    let inside = Rooted::from_fd(top);
    // Without groups of its own it is in somebody else's.
    if has_namespace(place.spec) && !hierarchies.is_empty() {
        for (controllers, name) in hierarchies {
            hierarchy(&inside, &controllers, name, options)?;
        }
    } else {
        bind_own(&inside, options)?;
    }
    let depth = Depth::One;
    let all = options.set | options.set_all;
    mount::set_attributes(inside.as_fd(), depth, all, 0, None, target.display())
}

/// Whether the container has a cgroup namespace, a new one or a given one.
fn has_namespace(spec: &Spec) -> bool {
    spec.linux()
        .iter()
        .flat_map(|linux| linux.namespaces().iter().flatten())
        .any(|namespace| namespace.typ() == LinuxNamespaceType::Cgroup)
}

fn empty_tmpfs(options: &Options) -> Result<std::os::fd::OwnedFd> {
    let context = Context::open("tmpfs")?;
    context.set("source", "cgroup")?;
    context.set("mode", "755")?;
    context.mount((options.set | SAFE) & !mount::RDONLY)
}

/// A mount of one hierarchy, as the namespace sees it.
fn hierarchy(inside: &Rooted, controllers: &[&str], name: &str, options: &Options) -> Result<()> {
    let context = Context::open("cgroup")?;
    context.set("source", "cgroup")?;
    for controller in controllers {
        match controller.split_once('=') {
            Some((key, value)) => {
                context.flag("none")?;
                context.set(key, value)?;
            }
            None => context.flag(controller)?,
        }
    }
    let fs = context
        .mount(options.set | options.set_all | SAFE)
        .attempt(|| format!("mount cgroup {name}"))?;
    let at = inside.make_dirs(Path::new(name))?;
    mount::attach(fs.as_fd(), at.as_fd(), name)?;
    link_controllers(inside, name)
}

/// `cpu` and `cpuacct` lead to `cpu,cpuacct`.
fn link_controllers(inside: &Rooted, name: &str) -> Result<()> {
    if !name.contains(',') {
        return Ok(());
    }
    name.split(',').try_for_each(|controller| {
        node::link_unless_there(inside.as_fd(), controller, name).map(drop)
    })
}

/// Bind mounts of the groups that this process is in.
fn bind_own(inside: &Rooted, options: &Options) -> Result<()> {
    let read = |path: &str| {
        let content = file::read_optional(Path::new(path))?.unwrap_or_default();
        Ok::<_, Error>(String::from_utf8_lossy(&content).into_owned())
    };
    let groups = own_groups(&read("/proc/self/mountinfo")?, &read("/proc/self/cgroup")?);
    for (name, source) in groups {
        let copy = match mount::clone_path(&source, Depth::Recursive) {
            // A hierarchy that this process is in but cannot see, as in a container.
            Err(error) if rooted::is_missing(&error) => continue,
            other => other?,
        };
        let set = options.set | options.set_all | SAFE;
        let private = Some(mount::Propagation::Private);
        let depth = Depth::Recursive;
        mount::set_attributes(copy.as_fd(), depth, set, options.clear, private, &name)?;
        let at = inside.make_dirs(Path::new(&name))?;
        mount::attach(copy.as_fd(), at.as_fd(), &name)?;
        link_controllers(inside, &name)?;
    }
    Ok(())
}

/// Names of the hierarchies' mount points, and the directories of a process in them. From the text of its mountinfo and
/// its cgroup file (proc(5), cgroups(7)).
fn own_groups(mountinfo: &str, groups: &str) -> Vec<(String, PathBuf)> {
    let mut found: Vec<(String, PathBuf)> = Vec::new();
    for line in mountinfo.lines() {
        let Some((left, right)) = line.split_once(" - cgroup ") else {
            continue;
        };
        let mut left = left.split(' ').skip(3);
        let (Some(root), Some(point)) = (left.next(), left.next()) else {
            continue;
        };
        let options: Vec<&str> = right.rsplit(' ').next().unwrap_or("").split(',').collect();
        let Some(own) = groups.lines().find_map(|group| group_in(group, &options)) else {
            continue;
        };
        let Some(name) = Path::new(point).file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        let relative = Path::new(own).strip_prefix(root).unwrap_or(Path::new(""));
        if !found.iter().any(|(known, _)| known == name) {
            found.push((name.to_owned(), Path::new(point).join(relative)));
        }
    }
    found
}

/// The path of a line `4:cpu,cpuacct:/path` if it is of the hierarchy that was mounted with these options.
fn group_in<'a>(line: &'a str, options: &[&str]) -> Option<&'a str> {
    let mut fields = line.splitn(3, ':').skip(1);
    let (controllers, path) = (fields.next()?, fields.next()?);
    let first = controllers
        .split(',')
        .next()
        .filter(|name| !name.is_empty())?;
    options.contains(&first).then_some(path)
}

/// Mounts the unified tree: a mount of type `cgroup2`, or `cgroup` on hosts that have nothing else.
pub(super) fn unified(place: Place<'_>, wanted: &Mount, prepared: &Prepared) -> Result<()> {
    let (target, options) = (&prepared.target, &prepared.options);
    let (at, _) = directory(place.root, target)?;
    guard::check(place.identity, at.as_fd(), target, || Ok(false))?;
    match kernel::new(wanted, "cgroup2", options, options.set) {
        Err(error) if is_refused(&error) => {
            let copy = hosts_tree(place, options)?;
            propagate(copy.as_fd(), &options.propagation, target)?;
            mount::attach(copy.as_fd(), at.as_fd(), target.display())
        }
        other => kernel::put(other?.as_fd(), at.as_fd(), prepared),
    }
}

/// A user namespace may mount it only with a cgroup namespace of its own.
fn is_refused(error: &Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EPERM | libc::EBUSY))
}

/// The host's tree instead, or the container's part of it. If it cannot be had, an empty directory stands there: what
/// `/sys` brings with it might be writable (CVE-2023-25809).
fn hosts_tree(place: Place<'_>, options: &Options) -> Result<std::os::fd::OwnedFd> {
    let own = place.group.unified().filter(|_| has_namespace(place.spec));
    let source = own.unwrap_or_else(|| PathBuf::from(UNIFIED));
    let copy = match mount::clone_path(&source, Depth::Recursive) {
        Err(error) if rooted::is_missing(&error) => return cover::empty_dir(place.mount_label()),
        other => other?,
    };
    let private = Some(mount::Propagation::Private);
    let set = options.set | options.set_all;
    mount::set_attributes(
        copy.as_fd(),
        Depth::Recursive,
        set & !mount::ATIME,
        0,
        private,
        source.display(),
    )?;
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_groups_are_found_under_any_root_and_name() {
        let mountinfo = "\
            30 20 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
            31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n\
            32 30 0:28 /docker/x /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
            33 30 0:29 / /sys/fs/cgroup/systemd rw shared:9 - cgroup cgroup rw,xattr,name=systemd\n\
            34 30 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
            35 30 0:31 / /sys/fs/cgroup/rdma rw - cgroup cgroup rw,rdma\n";
        let groups = "\
            12:cpu,cpuacct:/a/b\n\
            9:memory:/docker/x/in\n\
            1:name=systemd:/user.slice\n\
            0::/unified\n";
        let expect = [
            ("cpu,cpuacct", "/sys/fs/cgroup/cpu,cpuacct/a/b"),
            ("memory", "/sys/fs/cgroup/memory/in"),
            ("systemd", "/sys/fs/cgroup/systemd/user.slice"),
        ];
        let expect = expect.map(|(name, path)| (name.to_owned(), PathBuf::from(path)));
        assert_eq!(own_groups(mountinfo, groups), expect);
    }
}
