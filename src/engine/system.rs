//! Facts about the host, and about what is on its disk.

use super::error::Result;
use super::images::{Around, InUse};
use super::limits::Online;
use super::model::progress::Report;
use super::model::registry::{Checked, ContainerUsage, ContainersUsage, DiskUsage};
use super::model::sharing::Sharing;
use super::model::{Auth, Cancel, Digest, request};
use super::runtime::cgroup::Version;
use super::runtime::selinux;
use super::store::Roots;
use super::sys::{self, file, measure};
use super::{Engine, containers, volumes};

/// What this engine and its host are: for `version`, `info` and the TUI's header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostInfo {
    /// Host name.
    pub name: String,
    /// `uname -r`.
    pub kernel: String,
    /// `PRETTY_NAME` of os-release(5).
    pub operating_system: String,
    /// As `uname -m` prints it (`x86_64`).
    pub architecture: String,
    /// CPUs online.
    pub cpus: usize,
    /// Memory in bytes.
    pub memory: u64,
    /// `1` or `2`.
    pub cgroup_version: u8,
    /// Roots in use.
    pub roots: Roots,
    /// `seccomp`, `cgroupns` …
    pub security_options: Vec<String>,
    /// What the user should know, one line each.
    pub warnings: Vec<String>,
}

/// Collects the facts.
///
/// # Errors
/// What reading `/proc` says.
pub fn host_info(roots: &Roots, cgroups: Version) -> Result<HostInfo> {
    let uname = sys::host::uname();
    let mut security_options = Vec::new();
    if sys::apparmor::is_reachable() {
        security_options.push("name=apparmor".to_owned());
    }
    security_options.push("name=seccomp,profile=builtin".to_owned());
    if sys::selinux::is_on() {
        security_options.push("name=selinux".to_owned());
    }
    if std::path::Path::new("/proc/self/ns/cgroup").exists() {
        security_options.push("name=cgroupns".to_owned());
    }
    Ok(HostInfo {
        name: uname.node,
        kernel: uname.release,
        operating_system: operating_system(),
        architecture: uname.machine,
        cpus: online_cpus(),
        memory: total_memory()?,
        cgroup_version: match cgroups {
            Version::V1 => 1,
            Version::V2 => 2,
        },
        roots: roots.clone(),
        security_options,
        warnings: selinux::shortcoming()?.into_iter().collect(),
    })
}

/// CPUs that this process may use, at least one. Quotas of its own control group do not count.
#[must_use]
pub fn online_cpus() -> usize {
    sys::host::cpus()
}

/// Where the kernel says which processors and nodes groups can have: version 2, version 1, and what there is without either
/// (cgroup-v2.rst, "Cpuset Interface Files"; cpuset(7); `Documentation/ABI/testing/sysfs-devices-system-cpu`).
const CPUS: &[&str] = &[
    "/sys/fs/cgroup/cpuset.cpus.effective",
    "/sys/fs/cgroup/cpuset/cpuset.cpus",
    "/sys/devices/system/cpu/online",
];
const NODES: &[&str] = &[
    "/sys/fs/cgroup/cpuset.mems.effective",
    "/sys/fs/cgroup/cpuset/cpuset.mems",
    "/sys/devices/system/node/online",
];

/// Processors and nodes of memory that containers can have; empty where nobody says.
#[must_use]
pub(super) fn online() -> Online {
    let first = |paths: &[&str]| -> String {
        let read = |path: &&str| file::read_optional(std::path::Path::new(path)).ok()?;
        let mut texts = paths.iter().filter_map(read);
        let told = texts.find_map(|text| {
            let list = String::from_utf8_lossy(&text).trim().to_owned();
            (!list.is_empty()).then_some(list)
        });
        told.unwrap_or_default()
    };
    Online {
        cpus: first(CPUS),
        nodes: first(NODES),
    }
}

/// The host's memory in bytes (proc(5), meminfo).
///
/// # Errors
/// What reading `/proc/meminfo` says.
pub fn total_memory() -> Result<u64> {
    let content = file::read_optional(std::path::Path::new("/proc/meminfo"))?.unwrap_or_default();
    let text = String::from_utf8_lossy(&content);
    let kib = text.lines().find_map(|line| {
        line.strip_prefix("MemTotal:")?
            .split_whitespace()
            .next()?
            .parse::<u64>()
            .ok()
    });
    Ok(kib.unwrap_or(0) * 1024)
}

fn operating_system() -> String {
    ["/etc/os-release", "/usr/lib/os-release"]
        .iter()
        .filter_map(|path| {
            file::read_optional(std::path::Path::new(path))
                .ok()
                .flatten()
        })
        .find_map(|content| {
            let text = String::from_utf8_lossy(&content).into_owned();
            let value = text
                .lines()
                .find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
            Some(value.trim_matches('"').to_owned())
        })
        .unwrap_or_else(|| "Linux".to_owned())
}

/// Bytes on disk, of images and containers.
pub(super) fn disk_usage(engine: &Engine) -> Result<DiskUsage> {
    let users = |id: &Digest| containers::users_of(engine, id);
    let layers = || containers::layers_in_use(engine);
    let in_use = InUse {
        users: &users,
        layers: &layers,
    };
    let images = engine.images_store().usage(&in_use)?;
    let mut list = Vec::new();
    for summary in containers::list(engine)? {
        let container = &summary.container;
        let own = engine.roots().container(&container.id);
        let written = measure::tree(&own.join("upper"))?;
        let logged = measure::tree(&own.join("log"))?;
        list.push(ContainerUsage {
            id: container.id.clone(),
            name: container.name.clone(),
            image: container.config.image.clone(),
            command: container.config.args().join(" "),
            running: summary.state.status.is_live(),
            status: summary.state.status.as_str().to_owned(),
            created: container.created,
            size: written.saturating_add(logged),
        });
    }
    Ok(DiskUsage {
        images,
        containers: ContainersUsage { containers: list },
        volumes: volumes::usage(engine)?,
    })
}

/// Which images share which layers.
pub(super) fn sharing(engine: &Engine) -> Result<Sharing> {
    let users = |id: &Digest| containers::users_of(engine, id);
    let layers = || containers::layers_in_use(engine);
    let in_use = InUse {
        users: &users,
        layers: &layers,
    };
    engine.images_store().sharing(&in_use)
}

/// Reads the whole store.
pub(super) fn check(
    engine: &Engine,
    request: request::Check,
    auth: &dyn Fn(&str) -> Result<Auth>,
    report: Report<'_>,
    cancel: &Cancel,
) -> Result<Checked> {
    let users = |id: &Digest| containers::users_of(engine, id);
    let layers = || containers::layers_in_use(engine);
    let running = || {
        let all = containers::list(engine)?;
        let live = all.iter().filter(|summary| summary.state.status.is_live());
        Ok(live
            .flat_map(|summary| summary.container.layers.iter().cloned())
            .collect())
    };
    let around = Around {
        in_use: InUse {
            users: &users,
            layers: &layers,
        },
        running: &running,
        client: &|| engine.registries(),
        auth,
    };
    engine
        .images_store()
        .check(request, &around, report, cancel)
}
