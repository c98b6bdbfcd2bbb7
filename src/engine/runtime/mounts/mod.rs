//! The mounts of a specification: each is put onto a target that was resolved below the root by descriptor, so that
//! nothing in the image can lead it elsewhere (CVE-2021-30465, CVE-2024-45310).
//!
//! [`prepare`] reads the options and copies what is to be bound while the host's tree is still what it is; [`make`] mounts
//! one after the other; [`Made::finish`] makes read-only what had to be written to until then.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use oci_spec::runtime::{LinuxNamespaceType, Mount, Spec};

use super::cgroup::Cgroup;
use super::labels;
use super::terms::Names;
use crate::engine::error::{Attempt, Error, Result};
use crate::engine::sys::mount::{self, Depth, Propagation};
use crate::engine::sys::rooted::{self, Rooted};

mod bind;
mod cgroups;
pub mod copy_up;
mod cover;
mod guard;
pub mod idmap;
mod kernel;
pub mod options;

pub use cover::{Mask, make_readonly};

use bind::Source;
use options::Options;

/// A mount whose options were read, and whose source was copied if it is a bind mount.
#[derive(Debug)]
pub struct Prepared {
    options: Options,
    /// Below the root.
    target: PathBuf,
    from: From,
}

/// What is mounted.
#[derive(Debug)]
enum From {
    /// A file system of the kernel, or what is mounted there already.
    Kernel,
    /// A copy of the host's mounts.
    Copy(Source),
    /// Something that earlier mounts may have put into the root: copied when it is its turn. With the user namespace of
    /// its mapping, if it has one.
    Inside(PathBuf, Option<OwnedFd>),
    /// A link that is made anew, and where it leads.
    Link(PathBuf),
}

impl Prepared {
    /// Descriptors that [`make`] needs.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        match &self.from {
            From::Copy(source) => Some(source.mount()),
            From::Inside(_, users) => users.as_ref().map(AsFd::as_fd),
            From::Kernel | From::Link(_) => None,
        }
        .into_iter()
    }
}

/// Where mounts are made.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The container's root.
    pub root: &'a Rooted,
    /// The container.
    pub spec: &'a Spec,
    /// Its group.
    pub group: &'a Cgroup,
    /// Which directory the root is.
    identity: guard::Identity,
}

impl<'a> Place<'a> {
    /// In a root.
    ///
    /// # Errors
    /// What fstat(2) says.
    pub fn new(root: &'a Rooted, spec: &'a Spec, group: &'a Cgroup) -> Result<Self> {
        Ok(Self {
            root,
            spec,
            group,
            identity: rooted::identity(root.as_fd())?,
        })
    }

    fn mount_label(&self) -> Option<&'a str> {
        labels::of_mounts(self.spec)
    }
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
    /// `/dev` is somebody else's: nothing is put into it.
    pub foreign_dev: bool,
    /// Mounts that are made read-only at last, when everything is in them.
    late: Vec<(OwnedFd, PathBuf)>,
}

impl Made {
    /// Makes read-only what was asked to be and had to be written to until now.
    ///
    /// # Errors
    /// The mount and what the kernel says.
    pub fn finish(&mut self) -> Result<()> {
        self.late.drain(..).try_for_each(|(mount, target)| {
            mount::set_attributes(
                mount.as_fd(),
                Depth::One,
                mount::RDONLY,
                0,
                None,
                target.display(),
            )
        })
    }
}

/// Reads the options of all mounts and copies the sources of bind mounts. `rootfs` is the directory that the root is, if
/// it is one: what is below it on the host is inside the container.
///
/// # Errors
/// [`Kind::InvalidInput`](crate::engine::error::Kind::InvalidInput) if a source does not exist, or options that cannot
/// be; the mount is named.
pub fn prepare(spec: &Spec, rootfs: Option<&Path>, names: Names) -> Result<Vec<Prepared>> {
    let mut users = idmap::Cache::default();
    spec.mounts()
        .iter()
        .flatten()
        .enumerate()
        .map(|(number, wanted)| {
            let target = below(rootfs, wanted.destination());
            prepare_one(spec, rootfs, wanted, &target, &mut users)
                .attempt(|| format!("mount {}", target.display()))
                .map_err(|error| names.name("mounts", number, error))
        })
        .collect()
}

/// Makes sources of bind mounts absolute: they are relative to the bundle's directory.
pub fn complete_sources(spec: &mut Spec, bundle: &Path) {
    for mount in spec.mounts_mut().iter_mut().flatten() {
        let options = mount.options().as_deref().unwrap_or_default();
        let is_bind = mount.typ().as_deref() == Some("bind")
            || options
                .iter()
                .any(|option| option == "bind" || option == "rbind");
        let source = mount.source().as_deref().filter(|_| is_bind);
        if let Some(absolute) = source.map(|source| bundle.join(source)) {
            mount.set_source(Some(absolute));
        }
    }
}

/// Whether [`prepare`] must be called by the parent, outside the container's namespaces: owners are mapped with the
/// rights that only it has, and it alone may reach the sources of a container with a user namespace.
#[must_use]
pub fn is_parents_work(spec: &Spec) -> bool {
    let maps_owners = |wanted: &Mount| {
        let options = wanted.options().as_deref().unwrap_or_default();
        let is_map = |option: &String| option.trim_start_matches('r').starts_with("idmap");
        // Who is in namespaces of its own already cannot look into those of others.
        let is_elsewhere = |option: &String| option.starts_with(options::OF_PROCESS);
        wanted.uid_mappings().is_some() || options.iter().any(|o| is_map(o) || is_elsewhere(o))
    };
    has_users(spec) || spec.mounts().iter().flatten().any(maps_owners)
}

/// Whether the container is in a user namespace of its own.
fn has_users(spec: &Spec) -> bool {
    spec.linux()
        .iter()
        .flat_map(|linux| linux.namespaces().iter().flatten())
        .any(|namespace| namespace.typ() == LinuxNamespaceType::User)
}

fn prepare_one(
    spec: &Spec,
    rootfs: Option<&Path>,
    wanted: &Mount,
    target: &Path,
    users: &mut idmap::Cache,
) -> Result<Prepared> {
    let mut options = options::parse(wanted.options().as_deref().unwrap_or_default())?;
    if options.bind.is_none() && wanted.typ().as_deref() == Some("bind") {
        options.bind = Some(Depth::One);
    }
    let id_map = idmap::wanted(wanted, options.id_map.as_ref())?;
    let users = match &id_map {
        Some(id_map) if options.bind.is_some() => Some(users.user_namespace(spec, wanted, id_map)?),
        Some(_) => return Err(Error::invalid("idmap is for bind mounts")),
        None => None,
    };
    options.id_map = id_map;
    let from = match options.bind {
        Some(_) if options.remount => From::Kernel,
        Some(depth) => bind::source(spec, rootfs, wanted, &options, depth, users)?,
        None => From::Kernel,
    };
    Ok(Prepared {
        target: target.to_owned(),
        options,
        from,
    })
}

/// A path of the host below the root's directory is meant as the path in the container, as with runc.
fn below(rootfs: Option<&Path>, path: &Path) -> PathBuf {
    let stripped = rootfs.and_then(|rootfs| path.strip_prefix(rootfs).ok());
    match stripped {
        Some(rest) => Path::new("/").join(rest),
        None => path.to_owned(),
    }
}

/// Whether a mount is made by a process that is in the container's group: it shows the group, or what is put into it is
/// to count there.
#[must_use]
pub fn needs_group(wanted: &Mount, prepared: &Prepared) -> bool {
    matches!(wanted.typ().as_deref(), Some("cgroup" | "cgroup2")) || prepared.options.copy_up
}

/// Makes one mount.
///
/// # Errors
/// The target and what the kernel says.
pub fn make(place: Place<'_>, wanted: &Mount, prepared: &Prepared, made: &mut Made) -> Result<()> {
    let target = &prepared.target;
    let done = match &prepared.from {
        From::Kernel if prepared.options.remount => kernel::remount(place, wanted, prepared),
        From::Kernel => kernel::file_system(place, wanted, prepared, made),
        From::Copy(source) => bind::attach(place, prepared, source, made),
        From::Inside(path, users) => {
            bind::source_inside(place, path, prepared, users.as_ref().map(AsFd::as_fd))
                .and_then(|source| bind::attach(place, prepared, &source, made))
        }
        From::Link(to) => bind::copy_link(place.root, target, to),
    };
    done.attempt(|| format!("mount {}", target.display()))
}

/// The directory that a file system is mounted on.
fn directory(root: &Rooted, target: &Path) -> Result<(OwnedFd, Found)> {
    match root.resolve_optional(target)? {
        Some(found) => Ok((found, Found::Before)),
        None => Ok((root.make_dirs(target)?, Found::Made)),
    }
}

/// Whether a target was there before it was mounted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Before,
    Made,
}

/// Changes propagation as the options say, one after the other.
fn propagate(mount: BorrowedFd<'_>, changes: &[(Propagation, Depth)], label: &Path) -> Result<()> {
    changes.iter().try_for_each(|(kind, depth)| {
        mount::set_attributes(mount, *depth, 0, 0, Some(*kind), label.display())
    })
}
