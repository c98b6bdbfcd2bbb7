//! Request plus image makes a container's configuration: pure rules, Docker's own (moby `daemon/container/merge`).

use super::error::{Error, Result};
use super::model::image::Image;
use super::model::{
    ContainerConfig, ContainerId, HostConfig, Mount, NetworkMode, RestartPolicy, request, signal,
};

/// The least memory a container can be limited to, in bytes: below it not even the start succeeds.
const MIN_MEMORY: u64 = 6 << 20;

/// What the process will be. The image's values fill what the request leaves open.
///
/// # Errors
/// `InvalidInput` if neither names a command.
pub(super) fn merge(
    request: &request::Create,
    image: &Image,
    id: &ContainerId,
    host_name: &str,
) -> Result<ContainerConfig> {
    let from = &image.config;
    // An entry point in the request also discards the image's command.
    let (entrypoint, cmd) = match &request.entrypoint {
        Some(own) => {
            let own = own
                .iter()
                .filter(|part| !part.is_empty())
                .cloned()
                .collect();
            (own, request.cmd.clone())
        }
        None if request.cmd.is_empty() => (from.entrypoint.clone(), from.cmd.clone()),
        None => (from.entrypoint.clone(), request.cmd.clone()),
    };
    if entrypoint.is_empty() && cmd.is_empty() {
        return Err(Error::invalid("no command specified")
            .with_hint("the image names none; give one after the image"));
    }
    let mut labels = from.labels.clone();
    labels.extend(request.labels.iter().cloned());
    let hostname = match (&request.hostname, request.network) {
        (Some(name), _) => name.clone(),
        (None, NetworkMode::Host) => host_name.to_owned(),
        (None, NetworkMode::None) => id.short().to_owned(),
    };
    Ok(ContainerConfig {
        hostname,
        user: request.user.clone().unwrap_or_else(|| from.user.clone()),
        attach: request.attach,
        tty: request.tty,
        open_stdin: request.open_stdin,
        stdin_once: request.open_stdin && request.attach.stdin,
        env: merge_env(&request.env, &from.env),
        cmd,
        entrypoint,
        image: request.image.clone(),
        working_dir: request
            .working_dir
            .clone()
            .unwrap_or_else(|| from.working_dir.clone()),
        labels,
        stop_signal: request
            .stop_signal
            .clone()
            .or_else(|| from.stop_signal.clone()),
        stop_timeout: request.stop_timeout,
        exposed_ports: from.exposed_ports.clone(),
        volumes: from.volumes.clone(),
    })
}

/// The request's variables, then those of the image that it does not name. The last of two equal names wins; a name
/// without a value takes the variable away.
fn merge_env(own: &[String], image: &[String]) -> Vec<String> {
    let name = |entry: &String| entry.split('=').next().unwrap_or("").to_owned();
    let mut merged: Vec<String> = Vec::new();
    for entry in own {
        match merged.iter_mut().find(|known| name(known) == name(entry)) {
            Some(known) => known.clone_from(entry),
            None => merged.push(entry.clone()),
        }
    }
    let missing = |entry: &&String| !own.iter().any(|known| name(known) == name(entry));
    merged.extend(image.iter().filter(missing).cloned());
    merged.retain(|entry| entry.contains('='));
    merged
}

/// What the host will give.
#[must_use]
pub(super) fn host_config(request: &request::Create) -> HostConfig {
    HostConfig {
        mounts: request.mounts.clone(),
        network: request.network,
        restart: request.restart,
        auto_remove: request.auto_remove,
        readonly_rootfs: request.readonly_rootfs,
        resources: request.resources.clone(),
        log: request.log.clone(),
        cap_add: request.cap_add.clone(),
        cap_drop: request.cap_drop.clone(),
        shm_size: request.shm_size,
        extra_hosts: request.extra_hosts.clone(),
    }
}

/// Checks what can be checked without touching the host, before anything is made.
///
/// # Errors
/// `InvalidInput` in Docker's words.
pub(super) fn validate(request: &request::Create) -> Result<()> {
    if request.auto_remove && request.restart != RestartPolicy::No {
        return Err(Error::invalid(
            "conflicting options: cannot specify both --restart and --rm",
        ));
    }
    let resources = &request.resources;
    if resources.memory.is_some_and(|bytes| bytes < MIN_MEMORY) {
        return Err(Error::invalid("minimum memory limit allowed is 6MB"));
    }
    if let (Some(memory), Some(swap)) = (resources.memory, resources.memory_swap)
        && u64::try_from(swap).is_ok_and(|swap| swap != 0 && swap < memory)
    {
        return Err(Error::invalid(
            "minimum memoryswap limit should be larger than memory limit",
        ));
    }
    let cpus = u64::try_from(super::system::online_cpus()).unwrap_or(1);
    if resources
        .nano_cpus
        .is_some_and(|nano| nano > cpus * 1_000_000_000)
    {
        return Err(Error::invalid(format!(
            "range of CPUs is from 0.01 to {cpus}.00, as there are only {cpus} CPUs available"
        )));
    }
    if let Some(text) = &request.stop_signal
        && signal::parse(text).is_none()
    {
        return Err(Error::invalid(format!("invalid signal: {text}")));
    }
    if request
        .working_dir
        .as_ref()
        .is_some_and(|dir| !dir.starts_with('/'))
    {
        let dir = request.working_dir.as_deref().unwrap_or_default();
        return Err(Error::invalid(format!(
            "the working directory '{dir}' is invalid, it needs to be an absolute path"
        )));
    }
    if !matches!(request.log.driver.as_str(), "json-file" | "none") {
        return Err(
            Error::unsupported(format!("log driver {:?}", request.log.driver))
                .with_hint("json-file and none are available"),
        );
    }
    let mut targets = std::collections::BTreeSet::new();
    for mount in &request.mounts {
        let target = mount.target().trim_end_matches('/');
        if !mount.target().starts_with('/') {
            return Err(Error::invalid(format!(
                "invalid mount path: '{}' mount path must be absolute",
                mount.target()
            )));
        }
        if target.is_empty() {
            return Err(Error::invalid("invalid mount: destination can't be '/'"));
        }
        if !targets.insert(target) {
            return Err(Error::invalid(format!("duplicate mount point: {target}")));
        }
        if let Mount::Bind { source, .. } = mount
            && !source.starts_with('/')
        {
            return Err(Error::invalid(format!(
                "bind source {source:?} is not an absolute path"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(items: &[&str]) -> Vec<String> {
        items.iter().map(|s| (*s).to_owned()).collect()
    }

    #[test]
    fn the_requests_environment_wins_and_comes_first() {
        let merged = merge_env(
            &strings(&["A=1", "B=2", "A=3"]),
            &strings(&["PATH=/bin", "B=9"]),
        );
        assert_eq!(merged, strings(&["A=3", "B=2", "PATH=/bin"]));
    }

    #[test]
    fn a_name_without_a_value_takes_the_images_variable_away() {
        let merged = merge_env(&strings(&["PATH", "A=1"]), &strings(&["PATH=/bin", "B=9"]));
        assert_eq!(merged, strings(&["A=1", "B=9"]));
    }

    #[test]
    fn impossible_requests_are_refused_before_anything_is_made() {
        let check = |change: fn(&mut request::Create), text: &str| {
            let mut request = request::Create::default();
            change(&mut request);
            let error = validate(&request).unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
        };
        check(|r| r.resources.memory = Some(4096), "minimum memory limit");
        check(|r| r.working_dir = Some("x".into()), "absolute path");
        check(|r| r.stop_signal = Some("NOPE".into()), "invalid signal");
        check(|r| r.log.driver = "syslog".into(), "log driver");
        check(
            |r| {
                r.auto_remove = true;
                r.restart = RestartPolicy::Always;
            },
            "--restart and --rm",
        );
        let tmpfs = |target: &str| Mount::Tmpfs {
            target: target.into(),
            options: String::new(),
        };
        let mut request = request::Create {
            mounts: vec![tmpfs("/a"), tmpfs("/a/")],
            ..Default::default()
        };
        assert!(validate(&request).is_err());
        request.mounts = vec![tmpfs("a")];
        assert!(validate(&request).is_err());
    }
}
