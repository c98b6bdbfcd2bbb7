//! Request plus image makes a container's configuration: pure rules, Docker's own (moby `daemon/container/merge`).

use std::collections::BTreeSet;

use serde::Deserialize as _;

use super::error::{Error, Result};
use super::limits;
use super::model::image::Image;
use super::model::modes::{IpcMode, PidMode, UtsMode};
use super::model::selinux::{Contexts, LabelOption};
use super::model::{
    ContainerConfig, ContainerId, HealthCheck, HostConfig, Mount, NetworkMode, RestartPolicy,
    Rights, Security, request, signal,
};
use super::runtime::apparmor;

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
    let healthcheck = healthcheck(request, image)?;
    let mut labels = from.labels.clone();
    labels.extend(request.labels.iter().cloned());
    let hostname = match (&request.hostname, &request.network) {
        _ if request.modes.uts == UtsMode::Host => host_name.to_owned(),
        (Some(name), _) => name.clone(),
        (None, NetworkMode::Host) => host_name.to_owned(),
        (None, NetworkMode::None | NetworkMode::Networks | NetworkMode::Container(_)) => {
            id.short().to_owned()
        }
    };
    Ok(ContainerConfig {
        hostname,
        domainname: request.domainname.clone(),
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
        exposed_ports: exposed(request, &from.exposed_ports),
        volumes: anonymous(request, &from.volumes),
        healthcheck,
        shell: image.stated.shell.clone(),
    })
}

/// The image's ports, and those that are exposed or published.
fn exposed(request: &request::Create, of_image: &[String]) -> Vec<String> {
    let published = request.ports.iter().map(|binding| binding.port);
    let own = request.exposed.iter().copied().chain(published);
    let all: BTreeSet<String> = of_image
        .iter()
        .cloned()
        .chain(own.map(|port| port.to_string()))
        .collect();
    all.into_iter().collect()
}

/// The image's, and those that the request has without a name.
fn anonymous(request: &request::Create, of_image: &[String]) -> Vec<String> {
    let own = request.mounts.iter().filter_map(|mount| match mount {
        Mount::Volume(volume) if volume.name.is_empty() && !volume.long => {
            Some(volume.target.clone())
        }
        Mount::Volume(_) | Mount::Bind { .. } | Mount::Tmpfs { .. } | Mount::Image(_) => None,
    });
    let all: BTreeSet<String> = of_image.iter().cloned().chain(own).collect();
    all.into_iter().collect()
}

fn healthcheck(request: &request::Create, image: &Image) -> Result<Option<HealthCheck>> {
    let of_image = match &image.stated.healthcheck {
        Some(text) => Some(HealthCheck::deserialize(text).map_err(|error| {
            let what = format!("image {} has a malformed health check", request.image);
            Error::invalid(what).caused_by(error)
        })?),
        None => None,
    };
    let own = request.healthcheck.clone();
    let merged = match (own, of_image) {
        (Some(own), Some(of_image)) => Some(own.or(&of_image)),
        (own, of_image) => own.or(of_image),
    };
    if let Some(check) = &merged {
        check.check().map_err(Error::invalid)?;
    }
    Ok(merged)
}

/// The request's variables, then those of the image that it does not name. The last of two equal names wins; a name
/// without a value takes the variable away, and stays as it is, as Docker has it: what the engine itself sets goes, too.
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
    merged
}

/// What the host will give.
#[must_use]
pub(super) fn host_config(request: &request::Create) -> HostConfig {
    HostConfig {
        mounts: request.mounts.clone(),
        volumes_from: request
            .volumes_from
            .iter()
            .map(ToString::to_string)
            .collect(),
        network: request.network.clone(),
        networks: request.networks.clone(),
        ports: request.ports.clone(),
        publish_all: request.publish_all,
        dns: request.dns.clone(),
        restart: request.restart,
        auto_remove: request.auto_remove,
        readonly_rootfs: request.readonly_rootfs,
        resources: request.resources.clone(),
        log: request.log.clone(),
        cap_add: request.cap_add.clone(),
        cap_drop: request.cap_drop.clone(),
        shm_size: request.shm_size,
        extra_hosts: request.extra_hosts.clone(),
        rights: request.rights.clone(),
        security: Security {
            labels: labels(request),
            ..request.security.clone()
        },
        contexts: Contexts::default(),
        modes: request.modes.clone(),
        ids: None,
        keeping: request.keeping.clone(),
    }
}

/// The profile of AppArmor that is asked for; the engine's own if `None`.
#[must_use]
pub(super) fn apparmor<'a>(security: &'a Security, rights: &Rights) -> Option<&'a str> {
    let named = security.apparmor.as_deref();
    named.or(rights.privileged.then_some(apparmor::UNCONFINED))
}

/// What is asked of SELinux: a privileged container has no context of its own, as with Docker, nor has one that shares the
/// host's processes or IPC objects, unless it is asked for.
#[must_use]
pub(super) fn labels(request: &request::Create) -> Vec<LabelOption> {
    let modes = &request.modes;
    let is_open =
        request.rights.privileged || modes.pid == PidMode::Host || modes.ipc == IpcMode::Host;
    let labels = &request.security.labels;
    if is_open && labels.is_empty() {
        vec![LabelOption::Disable]
    } else {
        labels.clone()
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
    let shares_name = request.modes.uts == UtsMode::Host;
    if shares_name && (request.hostname.is_some() || !request.domainname.is_empty()) {
        return Err(Error::invalid(
            "conflicting options: hostname and the UTS mode",
        ));
    }
    check_users(request)?;
    limits::check_here(&request.resources)?;
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
    let mut targets = BTreeSet::new();
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

/// What is the host's cannot be had with other users than the host's.
fn check_users(request: &request::Create) -> Result<()> {
    let modes = &request.modes;
    if !modes.users.is_mapped() {
        return Ok(());
    }
    let refuse = |what: &str| {
        Err(Error::invalid(format!(
            "cannot share the {what} namespace when user namespaces are enabled"
        )))
    };
    if request.rights.privileged {
        return Err(
            Error::invalid("privileged mode is incompatible with user namespaces")
                .with_hint("--userns host runs it with the host's users"),
        );
    }
    match (&request.network, &modes.pid, &modes.ipc, modes.uts) {
        (NetworkMode::Host, ..) => refuse("host's network"),
        (_, PidMode::Host | PidMode::Container(_), ..) => refuse("PID"),
        (_, _, IpcMode::Host | IpcMode::Container(_), _) => refuse("IPC"),
        (_, _, _, UtsMode::Host) => refuse("host's UTS"),
        _ => Ok(()),
    }
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
        assert_eq!(merged, strings(&["PATH", "A=1", "B=9"]));
    }

    #[test]
    fn a_privileged_container_has_no_context_unless_it_is_asked_for() {
        let labels = |privileged, given: &[LabelOption]| {
            let mut request = request::Create::default();
            request.rights.privileged = privileged;
            request.security.labels = given.to_vec();
            host_config(&request).security.labels
        };
        let given = [LabelOption::Type("spc_t".to_owned())];
        assert_eq!(labels(false, &[]), []);
        assert_eq!(labels(true, &[]), [LabelOption::Disable]);
        assert_eq!(labels(true, &given), given);
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
