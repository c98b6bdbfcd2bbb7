//! From a container's record to an OCI runtime specification with Docker's defaults. Pure: no I/O.
//!
//! Two things that OCI has no place for travel in it: the user as text (`process.user.username`), because only the
//! mounted root knows the names, and the annotation [`SECCOMP`].

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{
    Capabilities, Linux, LinuxIdMapping, LinuxIdMappingBuilder, LinuxNamespace, LinuxNamespaceType,
    LinuxSeccomp, PosixRlimit, PosixRlimitBuilder, PosixRlimitType, Process, Root, Spec, User,
};

use super::caps;
use super::cgroup::Version;
use super::given_devices::Given;
use super::reaper;
use super::seccomp::docker;
use crate::engine::error::{Error, Kind, Result};
use crate::engine::model::container::Seccomp;
use crate::engine::model::modes::{CgroupMode, IpcMode, PidMode, UtsMode};
use crate::engine::model::rights::{MASKED, READONLY, Ulimit};
use crate::engine::model::selinux::Contexts;
use crate::engine::model::{Container, NetworkMode};

mod mounts;
mod process;
mod resources;

pub use mounts::{Sources, VolumeSource, bound};
pub(super) use process::set_variable;
pub use process::{DEFAULT_PATH, exec_process};
pub use resources::{change, resources};

use process::{environment, working_dir};
use resources::{any_device, device_rules};

/// Annotation that says which seccomp filter to install: `default` is the built-in profile for the process's
/// capabilities. Without it `linux.seccomp` counts, and without that there is none.
pub const SECCOMP: &str = "wharf.seccomp";

/// Annotation with a JSON list of supplementary groups, names or numbers: only the mounted root knows the names.
pub const GROUPS: &str = "wharf.groups";

/// Facts about the host that shape a specification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Which cgroup interface.
    pub cgroups: Version,
    /// The host's own name, for containers in its network namespace.
    pub hostname: String,
    /// Number of CPUs that may be there: each has a directory of thermal events, which are masked.
    pub cpus: usize,
}

/// What a specification is made of.
#[derive(Debug, Clone, Copy)]
pub struct SpecInput<'a> {
    /// The record; image and request are already merged in it.
    pub container: &'a Container,
    /// The live directory with `hosts`, `hostname` and `resolv.conf`.
    pub live: &'a Path,
    /// Facts about the host.
    pub host: &'a Host,
    /// Where volumes and images come from.
    pub sources: &'a Sources,
    /// Devices of the host.
    pub devices: &'a Given,
    /// AppArmor's profile, which is loaded; the engine's own if `None`.
    pub apparmor: Option<&'a str>,
    /// SELinux contexts; none on a host without it.
    pub contexts: &'a Contexts,
}

/// Makes the specification.
///
/// # Errors
/// [`Kind::InvalidInput`]: no command, or a capability, mount target, tmpfs
/// option or limit that does not exist or cannot be.
pub fn container(input: SpecInput<'_>) -> Result<Spec> {
    let SpecInput {
        container,
        live,
        host,
        sources,
        devices,
        apparmor,
        contexts,
    } = input;
    let config = &container.config;
    let args = config.args();
    if args.is_empty() {
        return Err(Error::invalid("no command specified"));
    }
    let own_name = container.host.modes.uts == UtsMode::Private;
    let hostname = match (config.hostname.as_str(), &container.host.network) {
        ("", NetworkMode::Host) => host.hostname.clone(),
        ("", NetworkMode::None | NetworkMode::Networks | NetworkMode::Container(_)) => {
            container.id.short().to_owned()
        }
        (given, _) => given.to_owned(),
    };
    let given = &container.host;
    let capabilities = if given.rights.privileged {
        // What is dropped does not count, as with Docker.
        caps::all()
    } else {
        caps::wanted(&given.cap_add, &given.cap_drop)?
    };
    let filter = Filter::of(container, &capabilities)?;

    let mut user = User::default();
    user.set_username(Some(config.user.clone()));
    let mut process = Process::default();
    process
        .set_terminal(Some(config.tty))
        .set_user(user)
        .set_args(Some(args))
        .set_env(Some(environment(&hostname, config.tty, &config.env)))
        .set_cwd(working_dir(&config.working_dir))
        .set_capabilities(Some(caps::sets(&capabilities)))
        .set_rlimits(rlimits(&given.rights.ulimits)?)
        .set_oom_score_adj(Some(given.keeping.oom_score_adj).filter(|score| *score != 0))
        .set_apparmor_profile(apparmor.map(str::to_owned))
        .set_selinux_label(some(&contexts.process))
        .set_no_new_privileges(Some(given.security.no_new_privileges.unwrap_or(false)));

    let mut root = Root::default();
    root.set_path(PathBuf::from("rootfs"))
        .set_readonly(Some(container.host.readonly_rootfs));

    let mut linux = linux(container, host, devices, &filter)?;
    linux.set_mount_label(some(&contexts.mount));
    let mut mounts = mounts::all(container, live, sources)?;
    if !contexts.process.is_empty() {
        mounts.extend(mounts::policy(container, &mounts));
    }

    let mut spec = Spec::default();
    spec.set_version("1.2.0".to_owned())
        .set_process(Some(process))
        .set_root(Some(root))
        .set_hostname(own_name.then_some(hostname))
        .set_domainname(Some(config.domainname.clone()).filter(|name| !name.is_empty()))
        .set_mounts(Some(mounts))
        .set_linux(Some(linux))
        .set_annotations(Some(annotations(container, &filter)?));
    Ok(spec)
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// Which filter of system calls a container has.
#[derive(Debug)]
enum Filter {
    None,
    Builtin,
    Given(Box<LinuxSeccomp>),
}

impl Filter {
    fn of(container: &Container, capabilities: &Capabilities) -> Result<Self> {
        let given = &container.host;
        match &given.security.seccomp {
            Some(Seccomp::Unconfined) => Ok(Self::None),
            Some(Seccomp::Profile(text)) => {
                let profile = docker::profile(text, capabilities)?;
                Ok(profile.map_or(Self::None, |profile| Self::Given(Box::new(profile))))
            }
            None if given.rights.privileged => Ok(Self::None),
            Some(Seccomp::Builtin) | None => Ok(Self::Builtin),
        }
    }
}

fn annotations(container: &Container, filter: &Filter) -> Result<HashMap<String, String>> {
    let given = &container.host.keeping.annotations;
    let mut list: HashMap<String, String> = given.clone().into_iter().collect();
    if matches!(filter, Filter::Builtin) {
        list.insert(SECCOMP.to_owned(), "default".to_owned());
    }
    let groups = &container.host.rights.groups;
    if !groups.is_empty() {
        let text = serde_json::to_string(groups)
            .map_err(|error| Error::new(Kind::Internal, "encode groups").caused_by(error))?;
        list.insert(GROUPS.to_owned(), text);
    }
    Ok(list)
}

/// The container's ids from 0 on.
fn mapping(first: u32, size: u32) -> Result<Vec<LinuxIdMapping>> {
    let mapping = LinuxIdMappingBuilder::default()
        .container_id(0_u32)
        .host_id(first)
        .size(size)
        .build()
        .map_err(|error| Error::new(Kind::Internal, error.to_string()))?;
    Ok(vec![mapping])
}

/// Where its group is: what the engine does itself, told to others.
fn cgroups_path(container: &Container) -> PathBuf {
    let parent = match container.host.keeping.cgroup_parent.as_str() {
        "" => "wharf",
        parent => parent,
    };
    PathBuf::from(format!("/{parent}/{}", container.id))
}

/// Lets a little init run the program: `program` is this binary, which is mounted. For a container with processes of its
/// own: in another's it would not be the one that orphans go to.
pub fn add_init(spec: &mut Spec, program: &Path) {
    let mounted = mounts::of_init(program);
    spec.mounts_mut().get_or_insert_default().push(mounted);
    if let Some(process) = spec.process_mut().as_mut() {
        let command = process.args().clone().unwrap_or_default();
        let init = [reaper::PATH, "--"].map(str::to_owned);
        process.set_args(Some([init.to_vec(), command].concat()));
    }
}

/// Limits of processes; -1 is without limit.
fn rlimits(wanted: &[Ulimit]) -> Result<Option<Vec<PosixRlimit>>> {
    let limit = |wanted: &Ulimit| {
        let name = format!("RLIMIT_{}", wanted.name.to_ascii_uppercase());
        let kind = serde_json::from_value(name.into()).map_err(|error| {
            Error::invalid(format!("invalid ulimit type: {}", wanted.name)).caused_by(error)
        })?;
        PosixRlimitBuilder::default()
            .typ::<PosixRlimitType>(kind)
            .soft(wanted.soft.cast_unsigned())
            .hard(wanted.hard.cast_unsigned())
            .build()
            .map_err(|error| Error::new(Kind::Internal, error.to_string()))
    };
    let limits: Vec<PosixRlimit> = wanted.iter().map(limit).collect::<Result<_>>()?;
    Ok((!limits.is_empty()).then_some(limits))
}

fn linux(container: &Container, host: &Host, devices: &Given, filter: &Filter) -> Result<Linux> {
    let rights = &container.host.rights;
    let own_network = container.host.network != NetworkMode::Host;
    let modes = &container.host.modes;
    let own = [
        (LinuxNamespaceType::Mount, true),
        (LinuxNamespaceType::Uts, modes.uts == UtsMode::Private),
        (LinuxNamespaceType::Ipc, modes.ipc != IpcMode::Host),
        (LinuxNamespaceType::Pid, modes.pid != PidMode::Host),
        (
            LinuxNamespaceType::Cgroup,
            modes.cgroup == CgroupMode::Private,
        ),
        (LinuxNamespaceType::Network, own_network),
        (LinuxNamespaceType::User, container.host.ids.is_some()),
    ];
    let kinds = own
        .into_iter()
        .filter_map(|(kind, is_own)| is_own.then_some(kind));
    let namespaces = kinds
        .map(|kind| {
            let mut namespace = LinuxNamespace::default();
            namespace.set_typ(kind);
            namespace
        })
        .collect();
    let mut masked: Vec<String> = MASKED.iter().map(|path| (*path).to_owned()).collect();
    masked
        .extend((0..host.cpus).map(|n| format!("/sys/devices/system/cpu/cpu{n}/thermal_throttle")));
    // A container's own network stack: its users may open low ports and send pings, as with Docker.
    // Only groups that there are.
    let groups = container
        .host
        .ids
        .map_or(i32::MAX.cast_unsigned(), |ids| ids.size - 1);
    let mut sysctl: HashMap<String, String> = HashMap::new();
    // Whose network it is has set them already, where it is another container's.
    if own_network && !matches!(container.host.network, NetworkMode::Container(_)) {
        let low = ("net.ipv4.ip_unprivileged_port_start", "0".to_owned());
        let pings = ("net.ipv4.ping_group_range", format!("0 {groups}"));
        sysctl.extend([low, pings].map(|(name, value)| (name.to_owned(), value)));
    }
    sysctl.extend(rights.sysctls.clone());
    let mut resources = resources(&container.host.resources)?;
    resources.set_devices(Some(if rights.privileged {
        vec![any_device()]
    } else {
        [device_rules(), devices.rules.clone()].concat()
    }));
    let is_open = rights.privileged || container.host.security.open_paths;
    let hidden = |list: Vec<String>| (!is_open).then_some(list);
    let ids = container.host.ids;
    let mut linux = Linux::default();
    linux
        .set_namespaces(Some(namespaces))
        .set_resources(Some(resources))
        .set_cgroups_path(Some(cgroups_path(container)))
        .set_masked_paths(hidden(masked))
        .set_readonly_paths(hidden(
            READONLY.iter().map(|path| (*path).to_owned()).collect(),
        ))
        .set_sysctl((!sysctl.is_empty()).then_some(sysctl))
        .set_devices((!devices.nodes.is_empty()).then(|| devices.nodes.clone()))
        .set_seccomp(match filter {
            Filter::Given(profile) => Some((**profile).clone()),
            Filter::None | Filter::Builtin => None,
        })
        .set_uid_mappings(ids.map(|ids| mapping(ids.uid, ids.size)).transpose()?)
        .set_gid_mappings(ids.map(|ids| mapping(ids.gid, ids.size)).transpose()?)
        .set_rootfs_propagation(None);
    Ok(linux)
}

#[cfg(test)]
mod tests;
