//! Mounts of a container: Docker's own, and what the user asks for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use oci_spec::runtime::Mount;

use super::process::clean;
use crate::engine::error::{Error, Result};
use crate::engine::model::container::{ImageMount, Recursion, VolumeMount};
use crate::engine::model::modes::IpcMode;
use crate::engine::model::selinux::LabelOption;
use crate::engine::model::{self, Container};
use crate::engine::runtime::mounts::options::SUBPATH;
use crate::engine::runtime::reaper;

/// Options of a mount are a page at most (mount(2)), with what else is said.
const MAX_OPTIONS: usize = 4000;

/// Where what is mounted by name comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources {
    /// Volumes by name.
    pub volumes: BTreeMap<String, VolumeSource>,
    /// The directory of all unpacked layers.
    pub layers: PathBuf,
    /// An empty directory, if images must be overlays because only those can be given an SELinux context.
    pub empty: Option<PathBuf>,
}

/// What a volume is for mount(8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeSource {
    /// `bind`, or a file system.
    pub kind: String,
    /// A directory, or what the file system takes for a device.
    pub source: String,
    /// Options.
    pub options: Vec<String>,
}

/// Docker's mounts, without those that the user replaces, then the user's, shorter targets first.
pub(super) fn all(container: &Container, live: &Path, sources: &Sources) -> Result<Vec<Mount>> {
    let privileged = container.host.rights.privileged;
    let access = if privileged { "rw" } else { "ro" };
    let writable = container.host.security.writable_cgroups;
    let groups = if writable.unwrap_or(privileged) {
        "rw"
    } else {
        "ro"
    };
    let mut list = vec![
        mount("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount(
            "/dev",
            "tmpfs",
            "tmpfs",
            &["nosuid", "strictatime", "mode=755", "size=65536k"],
        ),
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            &[
                "nosuid",
                "noexec",
                "newinstance",
                "ptmxmode=0666",
                "mode=0620",
                "gid=5",
            ],
        ),
        mount(
            "/sys",
            "sysfs",
            "sysfs",
            &["nosuid", "noexec", "nodev", access],
        ),
        mount(
            "/sys/fs/cgroup",
            "cgroup",
            "cgroup",
            &[groups, "nosuid", "noexec", "nodev"],
        ),
        mount(
            "/dev/mqueue",
            "mqueue",
            "mqueue",
            &["nosuid", "noexec", "nodev"],
        ),
    ];
    list.extend(shared_memory(container));
    let mut own = container
        .host
        .mounts
        .iter()
        .map(|mount| user_mount(mount, sources))
        .collect::<Result<Vec<_>>>()?;
    if container.host.ids.is_some() {
        for (wanted, mount) in container.host.mounts.iter().zip(&mut own) {
            map_owners(wanted, mount);
        }
    }
    let mut options = vec!["rbind", "rprivate"];
    if container.host.readonly_rootfs {
        options.push("ro");
    }
    for name in ["resolv.conf", "hostname", "hosts"] {
        let target = PathBuf::from("/etc").join(name);
        if own.iter().all(|mount| *mount.destination() != target) {
            own.push(mount(
                &target.to_string_lossy(),
                "bind",
                &live.join(name).to_string_lossy(),
                &options,
            ));
        }
    }
    // A parent before what is in it, so that nobody's `/etc` hides our files; the order given otherwise.
    own.sort_by_key(|mount| mount.destination().components().count());
    list.retain(|mount| {
        !own.iter().any(|replaced| {
            let target = replaced.destination();
            mount.destination() == target
                || (target == Path::new("/dev") && mount.destination().starts_with("/dev"))
        })
    });
    list.extend(own);
    Ok(list)
}

/// The files of volumes and images are the container's own users', whatever ids these have on the host.
fn map_owners(wanted: &model::Mount, mount: &mut Mount) {
    let is_ours = matches!(wanted, model::Mount::Volume(_) | model::Mount::Image(_));
    if is_ours && mount.typ().as_deref() == Some("bind") {
        let mut options = mount.options().clone().unwrap_or_default();
        options.push("idmap".to_owned());
        mount.set_options(Some(options));
    }
}

/// `/dev/shm`; that of another container is known when the two meet.
fn shared_memory(container: &Container) -> Option<Mount> {
    const TARGET: &str = "/dev/shm";
    match &container.host.modes.ipc {
        IpcMode::None | IpcMode::Container(_) => None,
        IpcMode::Host => Some(mount(TARGET, "bind", TARGET, &["rbind", "rprivate"])),
        IpcMode::Private | IpcMode::Shareable => {
            let size = container.host.shm_size.unwrap_or(64 << 20);
            let size = format!("size={size}");
            let options = ["nosuid", "noexec", "nodev", "mode=1777", &size];
            Some(mount(TARGET, "tmpfs", "shm", &options))
        }
    }
}

/// The binary, where [`super::add_init`] wants it.
pub(super) fn of_init(program: &Path) -> Mount {
    let options = ["bind", "rprivate", "ro", "nosuid", "nodev"];
    mount(reaper::PATH, "bind", &program.to_string_lossy(), &options)
}

fn mount(target: &str, kind: &str, source: &str, options: &[&str]) -> Mount {
    let mut mount = Mount::default();
    mount
        .set_destination(PathBuf::from(target))
        .set_typ(Some(kind.to_owned()))
        .set_source(Some(PathBuf::from(source)))
        .set_options(Some(options.iter().map(|o| (*o).to_owned()).collect()));
    mount
}

/// What is bound into a container, shorter targets first.
///
/// # Errors
/// As [`container`](super::container).
pub fn bound(container: &Container, sources: &Sources) -> Result<Vec<Mount>> {
    let mut own = container
        .host
        .mounts
        .iter()
        .map(|mount| user_mount(mount, sources))
        .collect::<Result<Vec<_>>>()?;
    own.retain(|mount| mount.typ().as_deref() == Some("bind"));
    own.sort_by_key(|mount| mount.destination().components().count());
    Ok(own)
}

/// How mounts below spread (mount_namespaces(7)).
const PROPAGATION: &[&str] = &[
    "private", "rprivate", "shared", "rshared", "slave", "rslave",
];

fn user_mount(wanted: &model::Mount, sources: &Sources) -> Result<Mount> {
    let target = clean(Path::new(wanted.target()));
    check_target(&target)?;
    let target = target.to_string_lossy().into_owned();
    match wanted {
        model::Mount::Bind {
            source,
            readonly,
            propagation,
            recursion,
            ..
        } => {
            let propagation = propagation.as_deref().unwrap_or("rprivate");
            if !PROPAGATION.contains(&propagation) {
                return Err(Error::invalid(format!(
                    "invalid bind propagation {propagation:?} of {target}"
                )));
            }
            // Read-only means all of it, as with Docker since version 25.
            let (bind, access) = match (recursion, readonly) {
                (Recursion::Disabled, true) => ("bind", Some("ro")),
                (Recursion::Disabled, false) => ("bind", None),
                (Recursion::Writable, true) => ("rbind", Some("ro")),
                (Recursion::Enabled | Recursion::Readonly, true) => ("rbind", Some("rro")),
                (_, false) => ("rbind", None),
            };
            let options: Vec<&str> = [Some(bind), access, Some(propagation)]
                .into_iter()
                .flatten()
                .collect();
            Ok(mount(&target, "bind", source, &options))
        }
        model::Mount::Volume(volume) => volume_mount(&target, volume, sources),
        model::Mount::Image(image) => image_mount(&target, image, sources),
        model::Mount::Tmpfs { options, .. } => {
            let mut all = vec!["noexec", "nosuid", "nodev"];
            for option in options.split(',').filter(|option| !option.is_empty()) {
                check_tmpfs_option(option, &target)?;
                all.push(option);
            }
            Ok(mount(&target, "tmpfs", "tmpfs", &all))
        }
    }
}

fn volume_mount(target: &str, volume: &VolumeMount, sources: &Sources) -> Result<Mount> {
    let from = sources
        .volumes
        .get(&volume.name)
        .ok_or_else(|| Error::not_found(format!("get {}: no such volume", volume.name)))?;
    let mut options: Vec<String> = from.options.clone();
    let subpath = volume
        .subpath
        .as_ref()
        .map(|path| format!("{SUBPATH}{path}"));
    if from.kind == "bind" {
        options.extend(["rbind", "rprivate"].map(str::to_owned));
        options.extend(subpath);
        options.extend(volume.readonly.then(|| "rro".to_owned()));
    } else {
        if subpath.is_some() {
            return Err(Error::unsupported(format!(
                "volume-subpath of volume {}, which is a file system of its own",
                volume.name
            )));
        }
        options.extend(volume.readonly.then(|| "ro".to_owned()));
    }
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    Ok(mount(target, &from.kind, &from.source, &options))
}

/// With `label=nested`, SELinux's own file system, unless something else is mounted there: a container that does not see it
/// takes SELinux to be off.
pub(super) fn policy(container: &Container, others: &[Mount]) -> Option<Mount> {
    let place = "/sys/fs/selinux";
    let labels = &container.host.security.labels;
    let is_taken = others.iter().any(|m| m.destination() == Path::new(place));
    let options = ["bind", "rprivate", "nosuid", "noexec"];
    let is_wanted = labels.contains(&LabelOption::Nested) && !is_taken;
    is_wanted.then(|| mount(place, "bind", place, &options))
}

/// One layer is bound; several are an overlay without an upper directory.
fn image_mount(target: &str, image: &ImageMount, sources: &Sources) -> Result<Mount> {
    let path = |layer: &model::Digest| sources.layers.join(layer.hex()).join("fs");
    let mut paths: Vec<PathBuf> = image.layers.iter().map(path).collect();
    if let ([_], Some(empty)) = (paths.as_slice(), &sources.empty) {
        paths.push(empty.clone());
    }
    let paths: Vec<String> = paths.iter().map(|p| p.display().to_string()).collect();
    match (paths.as_slice(), &image.subpath) {
        ([], _) => Err(Error::invalid(format!(
            "image {} has no files to mount",
            image.image
        ))),
        ([only], None) => Ok(mount(target, "bind", only, &["rbind", "rprivate", "rro"])),
        ([only], Some(below)) => {
            let below = format!("{SUBPATH}{below}");
            let options = ["rbind", "rprivate", "rro", below.as_str()];
            Ok(mount(target, "bind", only, &options))
        }
        (several, below) => {
            let lower = format!("lowerdir={}", several.join(":"));
            if lower.len() > MAX_OPTIONS {
                return Err(Error::unsupported(format!(
                    "mount image {}: its {} layers do not fit into the options of one mount",
                    image.image,
                    several.len()
                )));
            }
            let below = below.as_ref().map(|below| format!("{SUBPATH}{below}"));
            let options = ["ro", lower.as_str()].into_iter().chain(below.as_deref());
            Ok(mount(
                target,
                "overlay",
                "overlay",
                &options.collect::<Vec<_>>(),
            ))
        }
    }
}

/// `/` cannot be mounted over, and what the kernel tells must not be replaced (CVE-2015-3630, CVE-2019-16884).
fn check_target(target: &Path) -> Result<()> {
    if target == Path::new("/") {
        return Err(Error::invalid(
            "invalid mount: the destination cannot be \"/\"",
        ));
    }
    let inside = |top: &str| target.starts_with(top);
    if inside("/proc") || (inside("/sys") && !inside("/sys/fs/cgroup")) {
        let top = if inside("/proc") { "/proc" } else { "/sys" };
        return Err(Error::invalid(format!(
            "\"{}\" cannot be mounted because it is inside {top}",
            target.display()
        )));
    }
    Ok(())
}

fn check_tmpfs_option(option: &str, target: &str) -> Result<()> {
    const FLAGS: &[&str] = &[
        "rw",
        "ro",
        "exec",
        "noexec",
        "suid",
        "nosuid",
        "dev",
        "nodev",
        "sync",
        "async",
        "atime",
        "noatime",
        "diratime",
        "nodiratime",
        "relatime",
        "strictatime",
        "norelatime",
        "nostrictatime",
    ];
    const KEYS: &[&str] = &[
        "size",
        "mode",
        "uid",
        "gid",
        "nr_inodes",
        "nr_blocks",
        "mpol",
        "huge",
    ];
    let known = match option.split_once('=') {
        Some((key, _)) => KEYS.contains(&key),
        None => FLAGS.contains(&option) || PROPAGATION.contains(&option),
    };
    if known {
        Ok(())
    } else {
        Err(Error::invalid(format!(
            "invalid tmpfs option {option:?} of {target}"
        )))
    }
}
