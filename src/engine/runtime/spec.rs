//! From a container's record to an OCI runtime specification with Docker's defaults. Pure: no I/O.
//!
//! Two things that OCI has no place for travel in it: the user as text (`process.user.username`), because only the
//! mounted root knows the names, and the annotation [`SECCOMP`].

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use oci_spec::runtime::{
    Linux, LinuxCpu, LinuxDeviceCgroup, LinuxDeviceType, LinuxMemory, LinuxNamespace,
    LinuxNamespaceType, LinuxPids, LinuxResources, Mount, Process, Root, Spec, User,
};

use super::caps;
use super::cgroup::Version;
use crate::engine::error::{Error, Result};
use crate::engine::model::{self, Container, NetworkMode, request};

/// Annotation that says which seccomp filter to install: `default` is the built-in profile for the process's
/// capabilities. Without it `linux.seccomp` counts, and without that there is none.
pub const SECCOMP: &str = "wharf.seccomp";

/// The search path where neither image nor request has one.
pub const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Period of the CPU limit in microseconds; the quota is a share of it.
const CPU_PERIOD: u64 = 100_000;

/// Nothing of them can be read: moby's list. They tell of the host, or let its secrets be measured.
const MASKED: &[&str] = &[
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// They can be read but not written.
const READONLY: &[&str] = &[
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

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
}

/// Makes the specification.
///
/// # Errors
/// [`Kind::InvalidInput`](crate::engine::error::Kind::InvalidInput): no command, or a capability, mount target, tmpfs
/// option or limit that does not exist or cannot be.
pub fn container(input: SpecInput<'_>) -> Result<Spec> {
    let SpecInput {
        container,
        live,
        host,
    } = input;
    let config = &container.config;
    let args = config.args();
    if args.is_empty() {
        return Err(Error::invalid("no command specified"));
    }
    let hostname = match container.host.network {
        NetworkMode::Host => host.hostname.clone(),
        NetworkMode::None if config.hostname.is_empty() => container.id.short().to_owned(),
        NetworkMode::None => config.hostname.clone(),
    };
    let capabilities = caps::wanted(&container.host.cap_add, &container.host.cap_drop)?;

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
        .set_rlimits(None)
        .set_no_new_privileges(Some(false));

    let mut root = Root::default();
    root.set_path(PathBuf::from("rootfs"))
        .set_readonly(Some(container.host.readonly_rootfs));

    let mut spec = Spec::default();
    spec.set_version("1.2.0".to_owned())
        .set_process(Some(process))
        .set_root(Some(root))
        .set_hostname(Some(hostname))
        .set_mounts(Some(mounts(container, live)?))
        .set_linux(Some(linux(container, host)?))
        .set_annotations(Some(HashMap::from([(
            SECCOMP.to_owned(),
            "default".to_owned(),
        )])));
    Ok(spec)
}

/// Makes the process of an `exec` in a container with this specification.
///
/// # Errors
/// [`Kind::InvalidInput`](crate::engine::error::Kind::InvalidInput): no command.
pub fn exec_process(container: &Spec, request: &request::Exec) -> Result<Process> {
    if request.cmd.is_empty() {
        return Err(Error::invalid("no command specified"));
    }
    let main = container
        .process()
        .as_ref()
        .ok_or_else(|| Error::invalid("the container's specification has no process"))?;
    let mut env: Vec<String> = main.env().clone().unwrap_or_default();
    if request.tty && !env.iter().any(|entry| entry.starts_with("TERM=")) {
        env.push("TERM=xterm".to_owned());
    }
    for entry in &request.env {
        set_variable(&mut env, entry);
    }
    let user = match &request.user {
        Some(text) => {
            let mut user = User::default();
            user.set_username(Some(text.clone()));
            user
        }
        None => main.user().clone(),
    };
    let capabilities = if request.privileged {
        Some(caps::sets(&caps::all()))
    } else {
        main.capabilities().clone()
    };
    let mut process = Process::default();
    process
        .set_terminal(Some(request.tty))
        .set_user(user)
        .set_args(Some(request.cmd.clone()))
        .set_env(Some(env))
        .set_cwd(
            request
                .working_dir
                .as_deref()
                .map_or_else(|| main.cwd().clone(), working_dir),
        )
        .set_capabilities(capabilities)
        .set_rlimits(main.rlimits().clone())
        .set_oom_score_adj(main.oom_score_adj())
        .set_no_new_privileges(main.no_new_privileges());
    Ok(process)
}

/// `PATH`, `HOSTNAME`, `TERM` with a terminal, then the container's own; a later value of a name takes the earlier one's
/// place, and a name without `=` removes it.
fn environment(hostname: &str, tty: bool, own: &[String]) -> Vec<String> {
    let mut env = vec![DEFAULT_PATH.to_owned(), format!("HOSTNAME={hostname}")];
    if tty {
        env.push("TERM=xterm".to_owned());
    }
    for entry in own {
        set_variable(&mut env, entry);
    }
    env
}

fn set_variable(env: &mut Vec<String>, entry: &str) {
    let (name, value) = match entry.split_once('=') {
        Some((name, _)) => (name, Some(entry)),
        None => (entry, None),
    };
    let same = |old: &String| old.split_once('=').map_or(old.as_str(), |(name, _)| name) == name;
    match (env.iter().position(same), value) {
        (Some(at), Some(value)) => value.clone_into(&mut env[at]),
        (Some(at), None) => {
            env.remove(at);
        }
        (None, Some(value)) => env.push(value.to_owned()),
        (None, None) => {}
    }
}

/// Absolute and clean; relative to `/`.
fn working_dir(text: &str) -> PathBuf {
    clean(Path::new(text))
}

/// Lexical: `/a/./b/../c` is `/a/c`, and nothing is above `/` (Go's `filepath.Clean`, which Docker applies).
fn clean(path: &Path) -> PathBuf {
    let mut result = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::Normal(name) => result.push(name),
            Component::ParentDir => {
                result.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    result
}

fn linux(container: &Container, host: &Host) -> Result<Linux> {
    let own_network = container.host.network != NetworkMode::Host;
    let mut kinds = vec![
        LinuxNamespaceType::Mount,
        LinuxNamespaceType::Uts,
        LinuxNamespaceType::Ipc,
        LinuxNamespaceType::Pid,
        LinuxNamespaceType::Cgroup,
    ];
    if own_network {
        kinds.push(LinuxNamespaceType::Network);
    }
    let namespaces = kinds
        .into_iter()
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
    let sysctl = own_network.then(|| {
        HashMap::from([
            (
                "net.ipv4.ip_unprivileged_port_start".to_owned(),
                "0".to_owned(),
            ),
            (
                "net.ipv4.ping_group_range".to_owned(),
                "0 2147483647".to_owned(),
            ),
        ])
    });
    let mut linux = Linux::default();
    linux
        .set_namespaces(Some(namespaces))
        .set_resources(Some(resources(&container.host.resources)?))
        .set_cgroups_path(Some(PathBuf::from(format!("/wharf/{}", container.id))))
        .set_masked_paths(Some(masked))
        .set_readonly_paths(Some(
            READONLY.iter().map(|path| (*path).to_owned()).collect(),
        ))
        .set_sysctl(sysctl)
        .set_rootfs_propagation(None);
    Ok(linux)
}

/// Limits in OCI's terms.
///
/// # Errors
/// A limit that does not fit.
pub fn resources(wanted: &model::Resources) -> Result<LinuxResources> {
    let fits = |value: u64, name: &str| {
        i64::try_from(value).map_err(|error| {
            Error::invalid(format!("{name} {value} is too large")).caused_by(error)
        })
    };
    let mut resources = LinuxResources::default();
    if wanted.memory.is_some() || wanted.memory_swap.is_some() {
        let mut memory = LinuxMemory::default();
        if let Some(limit) = wanted.memory {
            let limit = fits(limit, "memory limit")?;
            let swap = wanted.memory_swap.filter(|swap| *swap != 0);
            memory
                .set_limit(Some(limit))
                .set_swap(Some(swap.unwrap_or_else(|| limit.saturating_mul(2))));
        }
        resources.set_memory(Some(memory));
    }
    if let Some(limit) = wanted.pids_limit {
        let mut pids = LinuxPids::default();
        pids.set_limit(fits(limit, "pids limit")?);
        resources.set_pids(Some(pids));
    }
    let mut cpu = LinuxCpu::default();
    let limited =
        wanted.nano_cpus.is_some() || wanted.cpu_shares.is_some() || wanted.cpuset_cpus.is_some();
    if let Some(nano) = wanted.nano_cpus {
        let quota = nano.saturating_mul(CPU_PERIOD) / 1_000_000_000;
        cpu.set_quota(Some(fits(quota, "cpu quota")?))
            .set_period(Some(CPU_PERIOD));
    }
    cpu.set_shares(wanted.cpu_shares)
        .set_cpus(wanted.cpuset_cpus.clone());
    if limited {
        resources.set_cpu(Some(cpu));
    }
    resources.set_devices(Some(device_rules()));
    Ok(resources)
}

/// Nothing but the harmless devices may be opened; nodes of any may be made (runc's default list).
fn device_rules() -> Vec<LinuxDeviceCgroup> {
    let rule = |allow, kind, major, minor, access: &str| {
        let mut rule = LinuxDeviceCgroup::default();
        rule.set_allow(allow)
            .set_typ(Some(kind))
            .set_major(major)
            .set_minor(minor)
            .set_access(Some(access.to_owned()));
        rule
    };
    let character = |major, minor| rule(true, LinuxDeviceType::C, Some(major), minor, "rwm");
    vec![
        rule(false, LinuxDeviceType::A, None, None, "rwm"),
        rule(true, LinuxDeviceType::C, None, None, "m"),
        rule(true, LinuxDeviceType::B, None, None, "m"),
        character(1, Some(3)),
        character(1, Some(5)),
        character(1, Some(7)),
        character(1, Some(8)),
        character(1, Some(9)),
        character(5, Some(0)),
        character(5, Some(1)),
        character(5, Some(2)),
        character(136, None),
    ]
}

/// Docker's mounts, without those that the user replaces, then the user's, shorter targets first.
fn mounts(container: &Container, live: &Path) -> Result<Vec<Mount>> {
    let shm = container.host.shm_size.unwrap_or(64 << 20);
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
            &["nosuid", "noexec", "nodev", "ro"],
        ),
        mount(
            "/sys/fs/cgroup",
            "cgroup",
            "cgroup",
            &["ro", "nosuid", "noexec", "nodev"],
        ),
        mount(
            "/dev/mqueue",
            "mqueue",
            "mqueue",
            &["nosuid", "noexec", "nodev"],
        ),
        mount(
            "/dev/shm",
            "tmpfs",
            "shm",
            &[
                "nosuid",
                "noexec",
                "nodev",
                "mode=1777",
                &format!("size={shm}"),
            ],
        ),
    ];
    for name in ["resolv.conf", "hostname", "hosts"] {
        let source = live.join(name);
        list.push(mount(
            &format!("/etc/{name}"),
            "bind",
            &source.to_string_lossy(),
            &["rbind", "rprivate"],
        ));
    }
    let mut own = container
        .host
        .mounts
        .iter()
        .map(user_mount)
        .collect::<Result<Vec<_>>>()?;
    // A parent before what is in it; the order given otherwise.
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

fn mount(target: &str, kind: &str, source: &str, options: &[&str]) -> Mount {
    let mut mount = Mount::default();
    mount
        .set_destination(PathBuf::from(target))
        .set_typ(Some(kind.to_owned()))
        .set_source(Some(PathBuf::from(source)))
        .set_options(Some(options.iter().map(|o| (*o).to_owned()).collect()));
    mount
}

fn user_mount(wanted: &model::Mount) -> Result<Mount> {
    let target = clean(Path::new(wanted.target()));
    check_target(&target)?;
    let target = target.to_string_lossy().into_owned();
    match wanted {
        model::Mount::Bind {
            source,
            readonly,
            propagation,
            ..
        } => {
            const KNOWN: &[&str] = &[
                "private", "rprivate", "shared", "rshared", "slave", "rslave",
            ];
            let propagation = propagation.as_deref().unwrap_or("rprivate");
            if !KNOWN.contains(&propagation) {
                return Err(Error::invalid(format!(
                    "invalid bind propagation {propagation:?} of {target}"
                )));
            }
            // Read-only means all of it, as with Docker since version 25.
            let options: &[&str] = if *readonly {
                &["rbind", "rro", propagation]
            } else {
                &["rbind", propagation]
            };
            Ok(mount(&target, "bind", source, options))
        }
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
        None => FLAGS.contains(&option),
    };
    if known {
        Ok(())
    } else {
        Err(Error::invalid(format!(
            "invalid tmpfs option {option:?} of {target}"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::model::{ContainerId, HostConfig, Platform};

    fn record() -> Container {
        Container {
            version: model::container::RECORD_VERSION,
            id: ContainerId::try_from("ab".repeat(32)).unwrap(),
            name: "web".to_owned(),
            created: "2026-01-01T00:00:00Z".parse().unwrap(),
            image: format!("sha256:{}", "0".repeat(64)).parse().unwrap(),
            platform: Platform::host(),
            layers: Vec::new(),
            config: model::ContainerConfig {
                cmd: vec!["sh".to_owned()],
                ..Default::default()
            },
            host: HostConfig::default(),
        }
    }

    fn spec(container: &Container) -> Result<Spec> {
        super::container(SpecInput {
            container,
            live: Path::new("/run/wharf/containers/x"),
            host: &Host {
                cgroups: Version::V1,
                hostname: "machine".to_owned(),
                cpus: 2,
            },
        })
    }

    fn targets(spec: &Spec) -> Vec<String> {
        let mounts = spec.mounts().as_ref().unwrap();
        mounts
            .iter()
            .map(|m| m.destination().display().to_string())
            .collect()
    }

    #[test]
    fn a_later_variable_takes_the_place_of_an_earlier_one() {
        let own = ["PATH=/bin", "A=1", "B=2", "A=3", "B", "HOSTNAME=h"].map(str::to_owned);
        assert_eq!(
            environment("x", true, &own),
            ["PATH=/bin", "HOSTNAME=h", "TERM=xterm", "A=3"]
        );
    }

    #[test]
    fn a_container_without_network_has_all_namespaces_and_the_hosts_has_not() {
        let count = |c: &Container| {
            let spec = spec(c).unwrap();
            spec.linux()
                .as_ref()
                .unwrap()
                .namespaces()
                .as_ref()
                .unwrap()
                .len()
        };
        let mut record = record();
        assert_eq!(count(&record), 6);
        record.host.network = NetworkMode::Host;
        assert_eq!(count(&record), 5);
        let spec = spec(&record).unwrap();
        assert_eq!(spec.hostname().as_deref(), Some("machine"));
        assert_eq!(spec.linux().as_ref().unwrap().sysctl(), &None);
    }

    #[test]
    fn a_users_mount_replaces_the_default_one() {
        let mut record = record();
        record.host.mounts = vec![
            model::Mount::Tmpfs {
                target: "/a/b".to_owned(),
                options: "size=1m".to_owned(),
            },
            model::Mount::Bind {
                source: "/src".to_owned(),
                target: "/dev/shm/".to_owned(),
                readonly: true,
                propagation: None,
                create_source: false,
            },
            model::Mount::Tmpfs {
                target: "/a".to_owned(),
                options: String::new(),
            },
        ];
        let spec = spec(&record).unwrap();
        let all = targets(&spec);
        assert_eq!(all.iter().filter(|t| *t == "/dev/shm").count(), 1);
        assert_eq!(
            all.get(all.len() - 3..).unwrap(),
            ["/a", "/a/b", "/dev/shm"]
        );
    }

    #[test]
    fn mounts_over_what_the_kernel_tells_are_refused() {
        for target in [
            "/proc",
            "/proc/self",
            "/x/../proc/sys",
            "/sys",
            "/sys/kernel",
            "/",
            "/..",
        ] {
            let mut record = record();
            record.host.mounts = vec![model::Mount::Tmpfs {
                target: target.to_owned(),
                options: String::new(),
            }];
            assert!(spec(&record).is_err(), "{target}");
        }
    }

    #[test]
    fn limits_become_dockers_figures() {
        let resources = resources(&model::Resources {
            memory: Some(64 << 20),
            nano_cpus: Some(1_500_000_000),
            pids_limit: Some(10),
            ..Default::default()
        })
        .unwrap();
        let memory = resources.memory().unwrap();
        assert_eq!(
            (memory.limit(), memory.swap()),
            (Some(64 << 20), Some(128 << 20))
        );
        let cpu = resources.cpu().as_ref().unwrap();
        assert_eq!((cpu.quota(), cpu.period()), (Some(150_000), Some(100_000)));
        assert_eq!(resources.pids().unwrap().limit(), 10);
    }

    #[test]
    fn an_exec_keeps_the_containers_rights_and_adds_its_own_variables() {
        let spec = spec(&record()).unwrap();
        let process = exec_process(
            &spec,
            &request::Exec {
                cmd: vec!["id".to_owned()],
                env: vec!["A=1".to_owned()],
                user: Some("web".to_owned()),
                ..Default::default()
            },
        )
        .unwrap();
        assert_eq!(process.user().username().as_deref(), Some("web"));
        assert!(process.env().as_ref().unwrap().contains(&"A=1".to_owned()));
        let main = spec.process().as_ref().unwrap();
        assert_eq!(process.capabilities(), main.capabilities());
    }

    #[test]
    fn a_specification_survives_being_written_and_read() {
        let spec = spec(&record()).unwrap();
        let text = serde_json::to_string(&spec).unwrap();
        assert_eq!(serde_json::from_str::<Spec>(&text).unwrap(), spec);
    }
}
