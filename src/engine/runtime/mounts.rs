//! The mounts of a specification: options become data, and each mount is put onto a target that was resolved below the
//! root by descriptor, so that nothing in the image can lead it elsewhere (CVE-2021-30465, CVE-2024-45310).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use oci_spec::runtime::Mount;

use super::cgroup::Cgroup;
use crate::engine::error::{Attempt, Error, Kind, Result};
use crate::engine::sys::mount::{self, Attributes, Context, Depth, Propagation};
use crate::engine::sys::node;
use crate::engine::sys::rooted::{self, Rooted};

/// What the options of one mount mean.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Attribute bits to set.
    pub set: Attributes,
    /// Attribute bits to clear.
    pub clear: Attributes,
    /// The attributes are meant for all mounts below, too.
    pub recursive_attributes: bool,
    /// It is a bind mount: of one mount, or of all below the source.
    pub bind: Option<BindDepth>,
    /// Propagation, and whether it is meant for all mounts below.
    pub propagation: Option<(Propagation, bool)>,
    /// What is left for the file system: `key` or `key=value`.
    pub data: Vec<(String, Option<String>)>,
}

/// How much of the source a bind mount shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BindDepth {
    /// The mount that the source is in.
    One,
    /// What is mounted below, too.
    Recursive,
}

/// Reads mount options (mount(8), "FILESYSTEM-INDEPENDENT MOUNT OPTIONS"; OCI config.md, "Linux mount options").
#[must_use]
pub fn parse(options: &[String]) -> Options {
    let mut result = Options::default();
    for option in options {
        if let Some((set, clear)) = attribute(option) {
            result.set = result.set & !clear | set;
            result.clear = result.clear & !set | clear;
            continue;
        }
        if let Some((set, clear)) = option.strip_prefix('r').and_then(attribute) {
            result.set = result.set & !clear | set;
            result.clear = result.clear & !set | clear;
            result.recursive_attributes = true;
            continue;
        }
        if let Some(propagation) = propagation(option) {
            result.propagation = Some(propagation);
            continue;
        }
        match option.as_str() {
            "bind" => result.bind = Some(BindDepth::One),
            "rbind" => result.bind = Some(BindDepth::Recursive),
            // Defaults, and what has no meaning for a new mount.
            "defaults" | "async" | "nolazytime" | "remount" | "" | "iversion" | "noiversion"
            | "loud" | "mand" | "nomand" => {}
            _ => result.data.push(match option.split_once('=') {
                Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
                None => (option.clone(), None),
            }),
        }
    }
    result
}

/// Attribute bits that an option sets and clears.
fn attribute(option: &str) -> Option<(Attributes, Attributes)> {
    Some(match option {
        "ro" => (mount::RDONLY, 0),
        "rw" => (0, mount::RDONLY),
        "nosuid" => (mount::NOSUID, 0),
        "suid" => (0, mount::NOSUID),
        "nodev" => (mount::NODEV, 0),
        "dev" => (0, mount::NODEV),
        "noexec" => (mount::NOEXEC, 0),
        "exec" => (0, mount::NOEXEC),
        "noatime" => (mount::NOATIME, mount::ATIME),
        "strictatime" => (mount::STRICTATIME, mount::ATIME),
        "atime" | "relatime" | "norelatime" | "nostrictatime" => (0, mount::ATIME),
        "nodiratime" => (mount::NODIRATIME, 0),
        "diratime" => (0, mount::NODIRATIME),
        "nosymfollow" => (mount::NOSYMFOLLOW, 0),
        "symfollow" => (0, mount::NOSYMFOLLOW),
        _ => return None,
    })
}

fn propagation(option: &str) -> Option<(Propagation, bool)> {
    Some(match option {
        "private" => (Propagation::Private, false),
        "rprivate" => (Propagation::Private, true),
        "slave" => (Propagation::Slave, false),
        "rslave" => (Propagation::Slave, true),
        "shared" => (Propagation::Shared, false),
        "rshared" => (Propagation::Shared, true),
        "unbindable" => (Propagation::Unbindable, false),
        "runbindable" => (Propagation::Unbindable, true),
        _ => return None,
    })
}

/// A bind mount's source, copied before anything in this namespace is changed: it keeps its propagation peers.
#[derive(Debug)]
pub struct Source {
    mount: OwnedFd,
    is_dir: bool,
}

/// Copies the sources of all bind mounts; `None` for the others.
///
/// # Errors
/// [`Kind::InvalidInput`] if a source does not exist.
pub fn sources(mounts: &[Mount]) -> Result<Vec<Option<Source>>> {
    mounts.iter().map(source).collect()
}

fn source(mount: &Mount) -> Result<Option<Source>> {
    let options = parse(mount.options().as_deref().unwrap_or_default());
    let depth = match options.bind {
        Some(BindDepth::Recursive) => Depth::Recursive,
        Some(BindDepth::One) => Depth::One,
        None if mount.typ().as_deref() == Some("bind") => Depth::One,
        None => return Ok(None),
    };
    let path = mount
        .source()
        .as_deref()
        .ok_or_else(|| Error::invalid("a bind mount without a source"))?;
    let copy = mount::clone_path(path, depth).map_err(|error| {
        if rooted::is_missing(&error) {
            Error::invalid(format!(
                "bind source path does not exist: {}",
                path.display()
            ))
        } else {
            error
        }
    })?;
    let is_dir = rooted::is_dir(copy.as_fd(), path)?;
    Ok(Some(Source {
        mount: copy,
        is_dir,
    }))
}

/// The mounts that later steps work on.
#[derive(Debug, Default)]
pub struct Made {
    /// The container's own procfs.
    pub proc: Option<OwnedFd>,
    /// Its private `/dev`, if it has one.
    pub dev: Option<OwnedFd>,
    /// Its devpts instance.
    pub devpts: Option<OwnedFd>,
}

/// Makes one mount. `source` is what [`sources`] made of it.
///
/// # Errors
/// Target and what the kernel says.
pub fn make(
    root: &Rooted,
    wanted: &Mount,
    source: Option<&Source>,
    group: &Cgroup,
    made: &mut Made,
) -> Result<()> {
    let target = wanted.destination();
    let options = parse(wanted.options().as_deref().unwrap_or_default());
    if let Some(source) = source {
        return bind(root, target, source, &options);
    }
    let kind = wanted.typ().as_deref().unwrap_or("none");
    match kind {
        "proc" | "sysfs" => {
            let place = ordinary_dir(root, target, kind)?;
            let fs = new_file_system(kind, wanted.source().as_deref(), &options)?;
            mount::attach(fs.as_fd(), place.as_fd(), target.display())?;
            if kind == "proc" && target == Path::new("/proc") {
                made.proc = Some(fs);
            }
        }
        "cgroup" | "cgroup2" => cgroup(root, target, &options, group)?,
        _ => {
            let place = root.make_dirs(target)?;
            let fs = new_file_system(kind, wanted.source().as_deref(), &options)?;
            mount::attach(fs.as_fd(), place.as_fd(), target.display())?;
            match (kind, target.to_str()) {
                ("tmpfs", Some("/dev")) => made.dev = Some(fs),
                ("devpts", Some("/dev/pts")) => made.devpts = Some(fs),
                _ => {}
            }
        }
    }
    Ok(())
}

fn bind(root: &Rooted, target: &Path, source: &Source, options: &Options) -> Result<()> {
    let place = if source.is_dir {
        root.make_dirs(target)?
    } else {
        root.make_file(target)?
    };
    let depth = |recursive| {
        if recursive {
            Depth::Recursive
        } else {
            Depth::One
        }
    };
    let fd = source.mount.as_fd();
    let label = target.display();
    let whole = options.bind == Some(BindDepth::Recursive);
    if options.set | options.clear != 0 {
        // Read-only means all of it, as with Docker since version 25.
        let deep = options.recursive_attributes || (whole && options.set & mount::RDONLY != 0);
        mount::set_attributes(fd, depth(deep), options.set, options.clear, None, label)?;
    }
    let (kind, deep) = options.propagation.unwrap_or((Propagation::Private, true));
    mount::set_attributes(fd, depth(deep), 0, 0, Some(kind), target.display())?;
    mount::attach(fd, place.as_fd(), target.display()).map_err(|error| {
        if error.raw_os_error() == Some(libc::ENOTDIR) {
            error.with_hint(
                "a directory cannot be mounted on a file, nor a file on a directory; check both paths",
            )
        } else {
            error
        }
    })
}

fn new_file_system(kind: &str, source: Option<&Path>, options: &Options) -> Result<OwnedFd> {
    let context = Context::open(kind)?;
    // What the first column of a mount table shows.
    let source = source.and_then(Path::to_str).unwrap_or(kind);
    context.set("source", source)?;
    for (key, value) in &options.data {
        match value {
            Some(value) => context.set(key, value)?,
            None => context.flag(key)?,
        }
    }
    context.mount(options.set)
}

/// The directory itself, not what a link of the image says (CVE-2023-27561, CVE-2025-54867).
fn ordinary_dir(root: &Rooted, target: &Path, kind: &str) -> Result<OwnedFd> {
    let refuse = || {
        Error::new(
            Kind::Denied,
            format!(
                "{kind} must be mounted on an ordinary directory, and {} of the image is none",
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

/// v2: the unified tree. v1: a small tmpfs with one mount for each hierarchy. Both show this cgroup namespace's part.
fn cgroup(root: &Rooted, target: &Path, options: &Options, group: &Cgroup) -> Result<()> {
    let place = root.make_dirs(target)?;
    let Some(hierarchies) = group.v1_hierarchies() else {
        let context = Context::open("cgroup2")?;
        context.set("source", "cgroup")?;
        let fs = context.mount(options.set)?;
        return mount::attach(fs.as_fd(), place.as_fd(), target.display());
    };
    let context = Context::open("tmpfs")?;
    context.set("source", "cgroup")?;
    context.set("mode", "755")?;
    let top = context.mount(options.set & !mount::RDONLY)?;
    mount::attach(top.as_fd(), place.as_fd(), target.display())?;
    let inside = Rooted::from_fd(top);
    for (controllers, name) in hierarchies {
        v1_hierarchy(&inside, &controllers, name, options)?;
    }
    mount::set_attributes(
        inside.as_fd(),
        Depth::One,
        options.set,
        0,
        None,
        target.display(),
    )
}

fn v1_hierarchy(
    inside: &Rooted,
    controllers: &[&str],
    name: &str,
    options: &Options,
) -> Result<()> {
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
        .mount(options.set)
        .attempt(|| format!("mount cgroup {name}"))?;
    let place = inside.make_dirs(Path::new(name))?;
    mount::attach(fs.as_fd(), place.as_fd(), name)?;
    // `cpu` and `cpuacct` lead to `cpu,cpuacct`.
    if controllers.len() > 1 {
        for controller in controllers {
            node::link(inside.as_fd(), controller, name)?;
        }
    }
    Ok(())
}

/// Makes what a path leads to read-only; a path that is not there is left alone.
///
/// # Errors
/// Path and what the kernel says.
pub fn make_readonly(root: &Rooted, path: &Path) -> Result<()> {
    let Some(place) = root.resolve_optional(path)? else {
        return Ok(());
    };
    let copy = mount::clone_fd(place.as_fd(), Depth::Recursive, path.display())?;
    mount::set_attributes(
        copy.as_fd(),
        Depth::Recursive,
        mount::RDONLY,
        0,
        None,
        path.display(),
    )?;
    mount::attach(copy.as_fd(), place.as_fd(), path.display())
}

/// Covers paths: a directory with an empty read-only one, anything else with the null device.
#[derive(Debug)]
pub struct Mask<'a> {
    null: BorrowedFd<'a>,
    empty: Option<OwnedFd>,
}

impl<'a> Mask<'a> {
    /// `null` must be the null device (`devices::is_null`).
    #[must_use]
    pub fn new(null: BorrowedFd<'a>) -> Self {
        Self { null, empty: None }
    }

    /// Covers one path; one that is not there is left alone.
    ///
    /// # Errors
    /// Path and what the kernel says.
    pub fn cover(&mut self, root: &Rooted, path: &Path) -> Result<()> {
        let Some(place) = root.resolve_optional(path)? else {
            return Ok(());
        };
        if !rooted::is_dir(place.as_fd(), path)? {
            let copy = mount::clone_fd(self.null, Depth::One, path.display())?;
            return mount::attach(copy.as_fd(), place.as_fd(), path.display());
        }
        // Once one is mounted here, copies of it are cheaper than new file systems.
        let cover = match &self.empty {
            Some(first) => mount::clone_fd(first.as_fd(), Depth::One, path.display())?,
            None => empty_dir()?,
        };
        mount::attach(cover.as_fd(), place.as_fd(), path.display())?;
        if self.empty.is_none() {
            self.empty = Some(cover);
        }
        Ok(())
    }
}

fn empty_dir() -> Result<OwnedFd> {
    let context = Context::open("tmpfs")?;
    context.set("source", "tmpfs")?;
    context.set("nr_blocks", "1")?;
    context.set("nr_inodes", "1")?;
    context.mount(mount::RDONLY | mount::NOSUID | mount::NODEV | mount::NOEXEC)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(options: &[&str]) -> Options {
        parse(&options.iter().map(|o| (*o).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_later_option_wins() {
        assert_eq!(check(&["ro", "rw"]).set, 0);
        assert_eq!(check(&["ro", "rw"]).clear, mount::RDONLY);
        assert_eq!(check(&["rw", "ro"]).set, mount::RDONLY);
        assert_eq!(check(&["noexec", "exec", "nodev"]).set, mount::NODEV);
    }

    #[test]
    fn options_are_told_apart() {
        let options = check(&["rbind", "rro", "rslave", "size=1m", "newinstance"]);
        assert_eq!(options.bind, Some(BindDepth::Recursive));
        assert!(options.recursive_attributes);
        assert_eq!(options.set, mount::RDONLY);
        assert_eq!(options.propagation, Some((Propagation::Slave, true)));
        let data = [
            ("size".to_owned(), Some("1m".to_owned())),
            ("newinstance".to_owned(), None),
        ];
        assert_eq!(options.data, data);
    }

    proptest! {
        #[test]
        fn nothing_is_set_and_cleared_at_once(options in proptest::collection::vec("(r?(ro|rw|no)?(suid|dev|exec)?|noatime|atime|[a-z=]{0,8})", 0..8)) {
            let options = parse(&options);
            prop_assert_eq!(options.set & options.clear & !mount::ATIME, 0);
        }
    }
}
