//! From arguments to the engine's requests: the one place where flags are checked against each other.

use std::path::Path;

use super::args;
use super::health;
use super::log;
use super::modes;
use super::mounts;
use super::networking;
use super::rights;
use super::security;
use super::update;
use super::value::{self, Stream};
use crate::engine::model::container::Attach;
use crate::engine::model::{Mount, Reference, Resources, RestartPolicy, request};

/// A request and what the user should be told about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Made<T> {
    /// What is asked.
    pub request: T,
    /// One line each, without `WARNING:`.
    pub warnings: Vec<String>,
}

/// Said when memory may run out for everybody.
const NO_OOM_KILLER: &str = "OOM killer is disabled for the container, but no memory limit is set, this can result in the system running out of resources.";

/// What a request reads beside the arguments; a parameter, so that tests need neither environment nor files.
pub trait World {
    /// A variable of wharf's own environment.
    fn variable(&self, name: &str) -> Option<String>;
    /// A file's content, or Docker's text for why not (`open /x: no such file or directory`).
    fn file(&self, path: &str) -> Result<Vec<u8>, String>;
    /// The working directory.
    fn here(&self) -> &Path;
}

/// `create` and `run`.
///
/// # Errors
/// Docker's text for what is wrong.
pub fn create(
    args: &args::Create,
    detached: bool,
    world: &impl World,
) -> Result<Made<request::Create>, String> {
    if args.rm && restart(args)? != RestartPolicy::No {
        return Err("conflicting options: cannot specify both --restart and --rm".to_owned());
    }
    pull_policy(args.pull.as_deref())?;
    modes::check(&args.modes)?;
    let mut operands = args.operands.iter();
    let image = operands.next().cloned().unwrap_or_default();
    check_image(&image)?;
    let mut warnings = Vec::new();
    let wishes = networking::wishes(args, &mut warnings)?;
    warn_of_flags(args, &mut warnings);
    let name = args.name.clone();
    Ok(Made {
        request: request::Create {
            image,
            name,
            cmd: operands.cloned().collect(),
            // An empty one takes the image's away.
            entrypoint: args.entrypoint.as_ref().map(|program| {
                let program = Some(program.clone()).filter(|p| !p.is_empty());
                program.into_iter().collect()
            }),
            env: environment(&args.env_file, &args.env, world)?,
            labels: labels(args, world)?,
            working_dir: working_dir(args.workdir.as_deref())?,
            user: args.user.clone(),
            hostname: hostname(args.hostname.as_deref())?,
            tty: args.tty,
            open_stdin: args.interactive,
            attach: streams(args, detached),
            mounts: mounted(args, world.here())?,
            volumes_from: args.volumes_from.clone(),
            network: wishes.mode,
            networks: wishes.networks,
            ports: wishes.ports,
            publish_all: args.networking.publish_all,
            exposed: wishes.exposed,
            dns: wishes.dns,
            restart: restart(args)?,
            auto_remove: args.rm,
            readonly_rootfs: args.read_only,
            resources: resources(args)?,
            log: log::config(args.log_driver.as_deref(), &args.log_opt)?,
            stop_signal: args
                .stop_signal
                .as_ref()
                .map(|text| value::signal_number(text).map(|_| text.clone()))
                .transpose()?,
            stop_timeout: args.stop_timeout,
            platform: value::wanted_platform(args.platform.as_deref())?,
            cap_add: value::capabilities(&args.rights.cap_add, "CapAdd")?,
            cap_drop: value::capabilities(&args.rights.cap_drop, "CapDrop")?,
            shm_size: args.shm_size,
            extra_hosts: args.add_host.clone(),
            rights: rights::rights(&args.rights)?,
            modes: args.modes.namespaces()?,
            keeping: modes::keeping(&args.modes)?,
            domainname: args.modes.domainname.clone().unwrap_or_default(),
            security: security::options(&args.rights.security_opt, world)?,
            healthcheck: health::check(&args.health)?,
        },
        warnings,
    })
}

/// Limits, of all and of single devices.
fn resources(args: &args::Create) -> Result<Resources, String> {
    Ok(Resources {
        memory_swappiness: modes::swappiness(&args.modes)?,
        oom_kill_disable: args.modes.oom_kill_disable,
        devices: modes::device_limits(&args.modes),
        ..update::resources(&args.limits)?
    })
}

/// What Docker says of flags that have no effect, or a dangerous one.
fn warn_of_flags(args: &args::Create, warnings: &mut Vec<String>) {
    if args.modes.oom_kill_disable && args.limits.memory.is_none_or(|bytes| bytes == 0) {
        warnings.push(NO_OOM_KILLER.to_owned());
    }
    let own = matches!(
        args.modes.ipc.as_deref(),
        None | Some("" | "private" | "shareable")
    );
    if args.shm_size.is_some() && !own {
        warnings.push("--shm-size has no effect: /dev/shm is not the container's own".to_owned());
    }
}

/// `exec`, without the container.
///
/// # Errors
/// What is wrong with an environment file.
pub fn exec(args: &args::Exec, world: &impl World) -> Result<request::Exec, String> {
    Ok(request::Exec {
        cmd: args.operands.iter().skip(1).cloned().collect(),
        env: environment(&args.env_file, &args.env, world)?,
        user: args.user.clone(),
        working_dir: working_dir(args.workdir.as_deref())?,
        tty: args.tty,
        stdin: args.interactive && !args.detach,
        privileged: args.privileged,
        size: None,
    })
}

/// The streams that will be attached: those of `-a`, else all that make sense.
pub fn streams(args: &args::Create, detached: bool) -> Attach {
    if detached {
        return Attach::default();
    }
    if args.attach.is_empty() {
        return Attach {
            stdin: args.interactive,
            stdout: true,
            stderr: true,
        };
    }
    Attach {
        stdin: args.attach.contains(&Stream::Stdin),
        stdout: args.attach.contains(&Stream::Stdout),
        stderr: args.attach.contains(&Stream::Stderr),
    }
}

fn pull_policy(text: Option<&str>) -> Result<(), String> {
    match text {
        None | Some("" | "always" | "missing" | "never") => Ok(()),
        Some(other) => Err(format!(
            "invalid pull option: '{other}': must be one of \"always\", \"missing\" or \"never\""
        )),
    }
}

/// A reference, an id or the beginning of one.
fn check_image(name: &str) -> Result<(), String> {
    let hex = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit());
    let id = name.strip_prefix("sha256:").unwrap_or(name);
    if hex(id) {
        return Ok(());
    }
    name.parse::<Reference>()
        .map(|_| ())
        .map_err(|error| error.to_string())
}

fn restart(args: &args::Create) -> Result<RestartPolicy, String> {
    value::restart_policy(args.restart.as_deref().unwrap_or_default())
}

fn working_dir(path: Option<&str>) -> Result<Option<String>, String> {
    match path {
        None | Some("") => Ok(None),
        Some(path) if path.starts_with('/') => Ok(Some(value::clean(path))),
        Some(path) => Err(format!(
            "the working directory '{path}' is invalid, it needs to be an absolute path"
        )),
    }
}

/// RFC 1123, as Docker checks it.
fn hostname(name: Option<&str>) -> Result<Option<String>, String> {
    let Some(name) = name.filter(|name| !name.is_empty()) else {
        return Ok(None);
    };
    let label = |label: &str| {
        let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // Linux keeps 64 bytes (uname(2)).
    if name.len() > 64 || !name.split('.').all(label) {
        return Err(format!("invalid hostname format: {name}"));
    }
    Ok(Some(name.to_owned()))
}

fn environment(
    files: &[String],
    given: &[String],
    world: &impl World,
) -> Result<Vec<String>, String> {
    let mut env = Vec::new();
    for path in files {
        let content = world.file(path)?;
        let pairs = value::key_values(&content, |name| world.variable(name))
            .map_err(|why| format!("invalid env file ({path}): {why}"))?;
        env.extend(pairs);
    }
    for item in given {
        if item.contains('=') {
            env.push(item.clone());
        } else {
            // Without a value here either, Docker takes the image's away: a name alone says so.
            env.push(match world.variable(item) {
                Some(value) => format!("{item}={value}"),
                None => item.clone(),
            });
        }
    }
    Ok(env)
}

fn labels(args: &args::Create, world: &impl World) -> Result<Vec<(String, String)>, String> {
    let mut pairs = Vec::new();
    for path in &args.label_file {
        let content = world.file(path)?;
        let lines = value::key_values(&content, |_name| Some(String::new()))
            .map_err(|why| format!("invalid label file ({path}): {why}"))?;
        pairs.extend(lines);
    }
    pairs.extend(args.label.iter().cloned());
    Ok(pairs
        .into_iter()
        .map(|pair| match pair.split_once('=') {
            Some((key, value)) => (key.to_owned(), value.to_owned()),
            None => (pair, String::new()),
        })
        .collect())
}

fn mounted(args: &args::Create, here: &Path) -> Result<Vec<Mount>, String> {
    let mut list = Vec::new();
    for (at, text) in args.volume.iter().enumerate() {
        // As Docker has it, saying the same twice is saying it once.
        if !args.volume.iter().take(at).any(|before| before == text) {
            list.push(mounts::volume(text, here)?);
        }
    }
    list.extend(args.mount.iter().cloned());
    for text in &args.tmpfs {
        list.push(mounts::tmpfs(text)?);
    }
    let mut targets: Vec<&str> = list.iter().map(Mount::target).collect();
    targets.sort_unstable();
    match targets.windows(2).find(|pair| pair.first() == pair.last()) {
        Some(pair) => Err(format!(
            "Duplicate mount point: {}",
            pair.first().copied().unwrap_or_default()
        )),
        None => Ok(list),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::parse;
    use crate::engine::model::NetworkMode;
    use crate::engine::model::container::Recursion;
    use clap::{Args, Command, FromArgMatches};
    use std::path::PathBuf;

    struct Desk;
    impl World for Desk {
        fn variable(&self, name: &str) -> Option<String> {
            (name == "HOME").then(|| "/home/x".to_owned())
        }
        fn file(&self, path: &str) -> Result<Vec<u8>, String> {
            match path {
                "good" => Ok(b"# c\nA=1\nHOME\nNOSUCH\n".to_vec()),
                "bad" => Ok(b"a b=1".to_vec()),
                _ => Err(format!("open {path}: no such file or directory")),
            }
        }
        fn here(&self) -> &Path {
            Path::new("/work/here")
        }
    }

    fn made(line: &str) -> Result<Made<request::Create>, String> {
        let command = parse::as_pflag(args::Create::augment_args(Command::new("")));
        let words: Vec<&str> = line.split_whitespace().collect();
        let mut matches = command
            .try_get_matches_from(words)
            .map_err(|e| e.to_string())?;
        let args = args::Create::from_arg_matches_mut(&mut matches).unwrap();
        create(&args, false, &Desk)
    }

    #[track_caller]
    fn refuses(line: &str, why: &str) {
        assert_eq!(made(line).map(|m| m.request), Err(why.to_owned()), "{line}");
    }

    #[test]
    fn everything_after_the_image_belongs_to_the_command() {
        let request = made("--network none -it busybox sh -c --rm")
            .unwrap()
            .request;
        assert_eq!(request.image, "busybox");
        assert_eq!(request.cmd, ["sh", "-c", "--rm"]);
        assert!(request.tty && request.open_stdin && !request.auto_remove);
        assert!(request.attach.stdin && request.attach.stdout && request.attach.stderr);
    }

    #[test]
    fn without_a_network_it_is_on_the_default_one() {
        let made = made("busybox").unwrap();
        assert!(made.warnings.is_empty());
        assert_eq!(made.request.network, NetworkMode::Networks);
        assert_eq!(made.request.networks.len(), 1);
        assert_eq!(made.request.networks[0].network, "bridge");
    }

    #[test]
    fn flags_of_the_network_are_about_the_first_one() {
        let request = made(
            "--network a --network name=b,ip=10.0.0.9 --ip 10.1.0.9 --network-alias x --net-alias y --link db --mac-address 02:00:00:00:00:01 --gw-nothing busybox",
        );
        assert!(request.is_err());
        let request = made("--network a --network name=b,ip=10.0.0.9 --ip 10.1.0.9 --network-alias x --net-alias y --link db --mac-address 02:00:00:00:00:01 --dns 10.0.0.1 --dns-opt ndots:2 --dns-search . -p 80:80 -P --expose 90/udp busybox").unwrap().request;
        let [a, b] = request.networks.as_slice() else {
            panic!("{:?}", request.networks)
        };
        assert_eq!((a.network.as_str(), b.network.as_str()), ("a", "b"));
        assert_eq!(a.ipv4, Some([10, 1, 0, 9].into()));
        assert_eq!(a.aliases, ["x", "y"]);
        assert_eq!(a.links, ["db:db"]);
        assert_eq!(b.ipv4, Some([10, 0, 0, 9].into()));
        assert_eq!(request.ports.len(), 1);
        assert!(request.publish_all);
        assert_eq!(request.exposed[0].to_string(), "90/udp");
        assert_eq!(request.dns.options, ["ndots:2"]);
        assert_eq!(request.dns.search, ["."]);
    }

    #[test]
    fn networks_that_do_not_go_together_are_refused() {
        refuses(
            "--network a --network a busybox",
            "network \"a\" is specified multiple times",
        );
        refuses(
            "--network a --network bridge busybox",
            "conflicting options: cannot attach both user-defined and non-user-defined network-modes",
        );
        refuses(
            "--network-alias x busybox",
            "network-scoped aliases are only supported for user-defined networks",
        );
        refuses(
            "--ip 10.0.0.1 busybox",
            "invalid config for network bridge: user specified IP address is supported on user defined networks only",
        );
        refuses(
            "--network host --network none busybox",
            "container sharing network namespace with another container or host cannot be connected to any other network",
        );
        refuses(
            "--network container:a -p 80 busybox",
            "conflicting options: port publishing and the container type network mode",
        );
        refuses(
            "--network container:a -h x busybox",
            "conflicting options: hostname and the network mode",
        );
        refuses(
            "--network container:a --dns 1.1.1.1 busybox",
            "conflicting options: dns and the network mode",
        );
        refuses(
            "--network container: busybox",
            "--network: invalid container format container:<name|id>",
        );
        refuses(
            "--network name=a,ip=10.0.0.1 --ip 10.0.0.2 busybox",
            "conflicting options: cannot specify both --ip and per-network IPv4 address",
        );
        let made = made("--network host -p 80:80 busybox").unwrap();
        assert_eq!(
            made.warnings,
            ["Published ports are discarded when using host network mode"]
        );
        assert!(made.request.ports.is_empty());
    }

    #[test]
    fn variables_come_from_files_then_from_flags() {
        let env = |line: &str| made(line).map(|m| m.request.env);
        assert_eq!(
            env("--env-file good -e B=2 -e HOME -e GONE busybox").unwrap(),
            ["A=1", "HOME=/home/x", "B=2", "HOME=/home/x", "GONE"]
        );
        assert_eq!(
            env("--env-file bad busybox"),
            Err("invalid env file (bad): variable 'a b' contains whitespaces".to_owned())
        );
        assert_eq!(
            env("--env-file /nope busybox"),
            Err("open /nope: no such file or directory".to_owned())
        );
    }

    #[test]
    fn an_empty_entry_point_takes_the_images_away() {
        let entrypoint = |line: &str| made(line).unwrap().request.entrypoint;
        assert_eq!(entrypoint("busybox"), None);
        assert_eq!(entrypoint("--entrypoint= busybox"), Some(vec![]));
        assert_eq!(
            entrypoint("--entrypoint /bin/x busybox"),
            Some(vec!["/bin/x".to_owned()])
        );
    }

    #[test]
    fn what_contradicts_itself_is_refused_in_dockers_words() {
        refuses(
            "--rm --restart always busybox",
            "conflicting options: cannot specify both --restart and --rm",
        );
        assert!(made("--rm --restart no busybox").is_ok());
        refuses(
            "--memory-swap 1g busybox",
            "You should always set the Memory limit when using Memoryswap limit, see usage",
        );
        refuses(
            "-m 64m --memory-swap 32m busybox",
            "Minimum memoryswap limit should be larger than memory limit, see usage",
        );
        refuses("-m 1m busybox", "Minimum memory limit allowed is 6MB");
        refuses("-v /a:/x -v /b:/x/ busybox", "Duplicate mount point: /x");
        assert!(made("-v /a:/x -v /b:/y -v /a:/x busybox").is_ok());
        refuses(
            "BUSY",
            "invalid reference format: repository name (BUSY) must be lowercase",
        );
        refuses(
            "-w rel busybox",
            "the working directory 'rel' is invalid, it needs to be an absolute path",
        );
        refuses("-h -bad busybox", "invalid hostname format: -bad");
        refuses("--stop-signal NOPE busybox", "invalid signal: NOPE");
        refuses(
            "--pull=foo busybox",
            "invalid pull option: 'foo': must be one of \"always\", \"missing\" or \"never\"",
        );
        refuses(
            "--expose x busybox",
            "invalid range format for --expose: x, error: strconv.ParseUint: parsing \"x\": invalid syntax",
        );
        refuses(
            "--cpuset-cpus 3-1 busybox",
            "Invalid value 3-1 for cpuset cpus",
        );
    }

    #[test]
    fn attached_streams_are_those_asked_for() {
        let attach = made("-a stdout -a STDIN busybox").unwrap().request.attach;
        assert_eq!(
            (attach.stdin, attach.stdout, attach.stderr),
            (true, true, false)
        );
    }

    #[test]
    fn a_relative_bind_source_is_relative_to_the_working_directory() {
        let mounts = made("-v ./x/../y:/y:ro,rslave busybox")
            .unwrap()
            .request
            .mounts;
        assert_eq!(
            mounts,
            [Mount::Bind {
                source: PathBuf::from("/work/here/y").display().to_string(),
                target: "/y".to_owned(),
                readonly: true,
                propagation: Some("rslave".to_owned()),
                create_source: true,
                recursion: Recursion::Enabled,
                relabel: None,
            }]
        );
    }
}
