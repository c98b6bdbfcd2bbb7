//! `inspect`: one container or image in the shape and with the field names of Docker's API (version 1.50), and how a list of
//! them is printed.

use std::collections::BTreeMap;
use std::io::Write as _;

use serde_json::{Map, Value, json};

use super::format::Row;
use super::inspect_rights;
use super::output::Out;
use super::published;
use super::report::Failure;
use super::template::Template;
use crate::engine::Engine;
use crate::engine::model::container::{ContainerConfig, VolumeMount};
use crate::engine::model::image::{Image, Stated};
use crate::engine::model::log::Driver;
use crate::engine::model::network::{Attachment, Endpoint};
use crate::engine::model::selinux::Relabel;
use crate::engine::model::{
    Container, ContainerSummary, Health, HostConfig, Mount, RestartPolicy, Status, Timestamp,
};
use crate::engine::store::Roots;

/// Go's zero time: Docker's "never".
const NEVER: &str = "0001-01-01T00:00:00Z";

/// Docker's `ContainerInspect`.
#[must_use]
pub fn container(summary: &ContainerSummary, engine: &Engine) -> Value {
    let roots = engine.roots();
    let (container, state) = (&summary.container, &summary.state);
    let args = container.config.args();
    let durable = roots.container(&container.id);
    let live = roots.live(&container.id);
    let log = if matches!(container.host.log.driver, Driver::JsonFile | Driver::Local) {
        durable.join("log/container.log").display().to_string()
    } else {
        String::new()
    };
    let lower: Vec<String> = container
        .layers
        .iter()
        .map(|layer| {
            roots
                .layers()
                .join(layer.hex())
                .join("fs")
                .display()
                .to_string()
        })
        .collect();
    let mut value = json!({
        "Id": container.id.as_str(),
        "Created": container.created.to_string(),
        "Path": args.first().cloned().unwrap_or_default(),
        "Args": args.get(1..).unwrap_or_default(),
        "State": {
            "Status": state.status.as_str(),
            "Running": matches!(state.status, Status::Running | Status::Paused | Status::Restarting),
            "Paused": state.status == Status::Paused,
            "Restarting": state.status == Status::Restarting,
            "OOMKilled": state.oom_killed,
            "Dead": state.status == Status::Dead,
            "Pid": state.pid.unwrap_or(0),
            "ExitCode": state.exit_code,
            "Error": state.error,
            "StartedAt": time(state.started_at),
            "FinishedAt": time(state.finished_at),
        },
        "Image": container.image.as_str(),
        "ResolvConfPath": live.join("resolv.conf").display().to_string(),
        "HostnamePath": live.join("hostname").display().to_string(),
        "HostsPath": live.join("hosts").display().to_string(),
        "LogPath": log,
        "Name": format!("/{}", container.name),
        "RestartCount": state.restart_count,
        "Driver": "overlay2",
        "Platform": container.platform.os,
        "MountLabel": container.host.contexts.mount,
        "ProcessLabel": container.host.contexts.process,
        "AppArmorProfile": state.apparmor_profile,
        "ExecIDs": execs(summary, engine),
        "HostConfig": host_config(
            &container.host,
            &args_of_binds(&container.host),
            &links(engine, container),
        ),
        "GraphDriver": {
            "Data": {
                "ID": container.id.as_str(),
                "LowerDir": lower.join(":"),
                "UpperDir": durable.join("upper").display().to_string(),
                "WorkDir": durable.join("work").display().to_string(),
            },
            "Name": "overlay2",
        },
        "Mounts": mounts(&container.host, roots),
        "Config": container_config(&container.config),
        "NetworkSettings": network_settings(summary),
    });
    if let (Some(object), Some(told)) = (value["State"].as_object_mut(), &state.health) {
        object.insert("Health".to_owned(), health(told));
    }
    value
}

/// What runs by `exec`; null if nothing does.
fn execs(summary: &ContainerSummary, engine: &Engine) -> Option<Vec<String>> {
    summary.state.pid?;
    let ids = engine.execs(&summary.container.id).unwrap_or_default();
    (!ids.is_empty()).then_some(ids)
}

fn network_settings(summary: &ContainerSummary) -> Value {
    let (host, state) = (&summary.container.host, &summary.state);
    let on_default = summary
        .endpoints
        .iter()
        .zip(&host.networks)
        .find(|(_, asked)| asked.network == "bridge")
        .map(|(endpoint, _)| endpoint);
    let told = addresses(on_default);
    let live = state.pid.filter(|_| host.network.is_own());
    let networks: Map<String, Value> = if host.networks.is_empty() {
        let names = host.network_names().into_iter();
        names
            .map(|name| (name.to_owned(), network(None, None)))
            .collect()
    } else {
        host.networks
            .iter()
            .enumerate()
            .map(|(at, asked)| {
                let value = network(Some(asked), summary.endpoints.get(at));
                (asked.network.clone(), value)
            })
            .collect()
    };
    let mut value = json!({
        "Bridge": "",
        "SandboxID": live.map(|_| summary.container.id.to_string()).unwrap_or_default(),
        "SandboxKey": live.map(|pid| format!("/proc/{pid}/ns/net")).unwrap_or_default(),
        "Ports": published::settings(summary),
        // Of the bridge network that Docker has by default.
        "HairpinMode": false,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "SecondaryIPAddresses": null,
        "SecondaryIPv6Addresses": null,
        "EndpointID": "",
        "Gateway": "",
        "GlobalIPv6Address": "",
        "GlobalIPv6PrefixLen": 0,
        "IPAddress": "",
        "IPPrefixLen": 0,
        "IPv6Gateway": "",
        "MacAddress": "",
        "Networks": networks,
    });
    if let Some(object) = value.as_object_mut() {
        object.extend(told);
    }
    value
}

/// Where an endpoint is, in Docker's words; empty ones for none.
fn addresses(endpoint: Option<&Endpoint>) -> Map<String, Value> {
    let gateway = |six: bool| {
        let gateways = endpoint.map(|e| e.gateways.as_slice()).unwrap_or_default();
        let found = gateways.iter().find(|gateway| gateway.is_ipv6() == six);
        found.map(ToString::to_string).unwrap_or_default()
    };
    let v4 = endpoint.and_then(|e| e.ipv4);
    let v6 = endpoint.and_then(|e| e.ipv6);
    let value = json!({
        "EndpointID": endpoint.map(|e| e.id.to_string()).unwrap_or_default(),
        "Gateway": gateway(false),
        "GlobalIPv6Address": v6.map(|net| net.addr().to_string()).unwrap_or_default(),
        "GlobalIPv6PrefixLen": v6.map_or(0, |net| net.prefix_len()),
        "IPAddress": v4.map(|net| net.addr().to_string()).unwrap_or_default(),
        "IPPrefixLen": v4.map_or(0, |net| net.prefix_len()),
        "IPv6Gateway": gateway(true),
        "MacAddress": endpoint.map(|e| e.mac.to_string()).unwrap_or_default(),
    });
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}

/// What was asked of a network, and what the container has got there.
fn network(asked: Option<&Attachment>, endpoint: Option<&Endpoint>) -> Value {
    let empty = Attachment::default();
    let asked = asked.unwrap_or(&empty);
    let fixed = asked.ipv4.is_some() || asked.ipv6.is_some() || !asked.link_local.is_empty();
    let ipam = fixed.then(|| {
        let mut ipam = Map::new();
        if let Some(address) = asked.ipv4 {
            ipam.insert("IPv4Address".to_owned(), json!(address));
        }
        if let Some(address) = asked.ipv6 {
            ipam.insert("IPv6Address".to_owned(), json!(address));
        }
        if !asked.link_local.is_empty() {
            ipam.insert("LinkLocalIPs".to_owned(), json!(asked.link_local));
        }
        ipam
    });
    let options = (!asked.options.is_empty()).then_some(&asked.options);
    let names = endpoint.map(|endpoint| &endpoint.names);
    let names = names.filter(|names| !names.is_empty());
    let own = asked.mac.map(|mac| mac.to_string()).unwrap_or_default();
    let mut told = addresses(endpoint);
    let mac = told.shift_remove("MacAddress").unwrap_or_default();
    json!({
        "IPAMConfig": ipam,
        "Links": list_or_null(&asked.links),
        "Aliases": list_or_null(&asked.aliases),
        "MacAddress": if endpoint.is_some() { mac } else { json!(own) },
        "DriverOpts": options,
        "GwPriority": asked.gw_priority,
        "NetworkID": endpoint.map(|e| e.network.to_string()).unwrap_or_default(),
        "EndpointID": told.get("EndpointID"),
        "Gateway": told.get("Gateway"),
        "IPAddress": told.get("IPAddress"),
        "IPPrefixLen": told.get("IPPrefixLen"),
        "IPv6Gateway": told.get("IPv6Gateway"),
        "GlobalIPv6Address": told.get("GlobalIPv6Address"),
        "GlobalIPv6PrefixLen": told.get("GlobalIPv6PrefixLen"),
        "DNSNames": names,
    })
}

/// Links of the default network, as `/other:/own/alias`; those of other networks are told there.
fn links(engine: &Engine, container: &Container) -> Value {
    let mut on_default = container
        .host
        .networks
        .iter()
        .filter(|one| one.network == "bridge");
    let Some(attachment) = on_default.next() else {
        return Value::Null;
    };
    let links = attachment.links.iter().map(|link| {
        let (id, alias) = link.split_once(':').unwrap_or((link, link));
        let other = engine.resolve(id).and_then(|id| engine.container(&id));
        // One that is gone has no name any more.
        let name = other.map_or_else(|_| id.to_owned(), |other| other.container.name.clone());
        format!("/{name}:/{}/{alias}", container.name)
    });
    list_or_null(&links.collect::<Vec<_>>())
}

fn health(health: &Health) -> Value {
    let log = health.log.iter().map(|probe| {
        json!({
            "Start": probe.start.to_string(),
            "End": probe.end.to_string(),
            "ExitCode": probe.exit_code,
            "Output": probe.output,
        })
    });
    json!({
        "Status": health.status.as_str(),
        "FailingStreak": health.failing_streak,
        "Log": log.collect::<Vec<_>>(),
    })
}

fn time(at: Option<Timestamp>) -> String {
    at.map_or_else(|| NEVER.to_owned(), |at| at.to_string())
}

/// `-v` as Docker keeps it: `source:target[:options]`.
fn args_of_binds(host: &HostConfig) -> Vec<String> {
    host.mounts.iter().filter_map(bind_arg).collect()
}

fn bind_arg(mount: &Mount) -> Option<String> {
    let (source, target, mode) = match mount {
        Mount::Bind {
            source,
            target,
            readonly,
            propagation,
            create_source: true,
            relabel,
            ..
        } => {
            let mode = mode(*readonly, *relabel, propagation.as_deref());
            (source, target, mode)
        }
        Mount::Volume(volume) if !volume.long && !volume.anonymous => {
            let nocopy = volume.nocopy.then_some("nocopy");
            let mode = mode(volume.readonly, volume.relabel, nocopy);
            (&volume.name, &volume.target, mode)
        }
        Mount::Bind { .. } | Mount::Tmpfs { .. } | Mount::Volume(_) | Mount::Image(_) => {
            return None;
        }
    };
    Some(if mode.is_empty() {
        format!("{source}:{target}")
    } else {
        format!("{source}:{target}:{mode}")
    })
}

fn mode(readonly: bool, relabel: Option<Relabel>, other: Option<&str>) -> String {
    let parts: Vec<&str> = readonly
        .then_some("ro")
        .into_iter()
        .chain(relabel.map(Relabel::as_str))
        .chain(other)
        .collect();
    parts.join(",")
}

/// A volume that somebody asked for has `z` where it has nothing else, as with Docker.
fn volume_mode(volume: &VolumeMount) -> String {
    let mode = mode(volume.readonly, volume.relabel, None);
    if mode.is_empty() && (volume.long || !volume.anonymous) {
        Relabel::Shared.as_str().to_owned()
    } else {
        mode
    }
}

fn mounts(host: &HostConfig, roots: &Roots) -> Vec<Value> {
    host.mounts
        .iter()
        .filter_map(|mount| mount_point(mount, roots))
        .collect()
}

fn mount_point(mount: &Mount, roots: &Roots) -> Option<Value> {
    match mount {
        Mount::Bind {
            source,
            target,
            readonly,
            propagation,
            relabel,
            ..
        } => Some(json!({
            "Type": "bind",
            "Source": source,
            "Destination": target,
            "Mode": mode(*readonly, *relabel, propagation.as_deref()),
            "RW": !readonly,
            "Propagation": propagation.as_deref().unwrap_or("rprivate"),
        })),
        Mount::Volume(volume) => Some(json!({
            "Type": "volume",
            "Name": volume.name,
            "Source": roots.volume(&volume.name).join("_data").display().to_string(),
            "Destination": volume.target,
            "Driver": "local",
            "Mode": volume_mode(volume),
            "RW": !volume.readonly,
            "Propagation": "",
        })),
        Mount::Image(image) => Some(json!({
            "Type": "image",
            "Name": image.image,
            "Source": image.layers.first().map(|layer| roots.layers().join(layer.hex()).display().to_string()),
            "Destination": image.target,
            "Mode": "ro",
            "RW": false,
            "Propagation": "",
        })),
        Mount::Tmpfs { .. } => None,
    }
}

/// `--mount` as Docker keeps it.
fn long_mount(mount: &Mount) -> Option<Value> {
    match mount {
        Mount::Bind {
            source,
            target,
            readonly,
            create_source: false,
            ..
        } => Some(json!({
            "Type": "bind", "Source": source, "Target": target, "ReadOnly": readonly,
        })),
        Mount::Volume(volume) if volume.long => Some(json!({
            "Type": "volume",
            "Source": if volume.anonymous { "" } else { volume.name.as_str() },
            "Target": volume.target,
            "ReadOnly": volume.readonly,
            "VolumeOptions": {
                "NoCopy": volume.nocopy,
                "Labels": volume.labels,
                "Subpath": volume.subpath,
                "DriverConfig": { "Options": volume.options },
            },
        })),
        Mount::Image(image) => Some(json!({
            "Type": "image",
            "Source": image.image,
            "Target": image.target,
            "ImageOptions": { "Subpath": image.subpath },
        })),
        Mount::Bind { .. } | Mount::Tmpfs { .. } | Mount::Volume(_) => None,
    }
}

fn host_config(host: &HostConfig, binds: &[String], links: &Value) -> Value {
    let tmpfs: Map<String, Value> = host
        .mounts
        .iter()
        .filter_map(|mount| match mount {
            Mount::Tmpfs { target, options } => Some((target.clone(), json!(options))),
            Mount::Bind { .. } | Mount::Volume(_) | Mount::Image(_) => None,
        })
        .collect();
    let long_mounts: Vec<Value> = host.mounts.iter().filter_map(long_mount).collect();
    let mut log_options = host.log.given.clone();
    if let Some(size) = host.log.max_size {
        // Of the demo, and of records of before.
        let mut known = |name: &str, value: String| {
            log_options.entry(name.to_owned()).or_insert(value);
        };
        known("max-size", size.to_string());
        known("max-file", host.log.max_file.to_string());
    }
    let tries = match host.restart {
        RestartPolicy::OnFailure { max } => max,
        RestartPolicy::No | RestartPolicy::Always | RestartPolicy::UnlessStopped => 0,
    };
    let mut value = json!({
        "Binds": if binds.is_empty() { Value::Null } else { json!(binds) },
        "ContainerIDFile": "",
        "LogConfig": { "Type": host.log.driver.as_str(), "Config": log_options },
        "NetworkMode": host.network_mode(),
        "PortBindings": published::bindings(host),
        "RestartPolicy": { "Name": host.restart.as_str(), "MaximumRetryCount": tries },
        "AutoRemove": host.auto_remove,
        "VolumeDriver": "",
        "VolumesFrom": list_or_null(&host.volumes_from),
        "CapAdd": list_or_null(&host.cap_add),
        "CapDrop": list_or_null(&host.cap_drop),
        "CgroupnsMode": host.modes.cgroup.as_str(),
        "Dns": host.dns.servers,
        "DnsOptions": host.dns.options,
        "DnsSearch": host.dns.search,
        "ExtraHosts": list_or_null(&host.extra_hosts),
        "GroupAdd": list_or_null(&host.rights.groups),
        "IpcMode": host.modes.ipc.to_string(),
        "Links": links,
        "OomScoreAdj": host.keeping.oom_score_adj,
        "PidMode": host.modes.pid.to_string(),
        "Privileged": host.rights.privileged,
        "PublishAllPorts": host.publish_all,
        "ReadonlyRootfs": host.readonly_rootfs,
        "SecurityOpt": list_or_null(&host.security.options()),
        "UTSMode": host.modes.uts.as_str(),
        "UsernsMode": host.modes.users.as_str(),
        "ShmSize": host.shm_size.unwrap_or(64 << 20),
        "Runtime": "wharf",
        "Isolation": "",
        "OomKillDisable": host.resources.oom_kill_disable,
    });
    if let Some(object) = value.as_object_mut() {
        // Docker leaves these out where there is nothing.
        if !long_mounts.is_empty() {
            object.insert("Mounts".to_owned(), json!(long_mounts));
        }
        if !tmpfs.is_empty() {
            object.insert("Tmpfs".to_owned(), json!(tmpfs));
        }
        inspect_rights::fill(object, host);
    }
    if let (Some(object), Value::Object(limits)) = (value.as_object_mut(), limits(host)) {
        object.extend(limits);
        for (name, nothing) in NOT_ASKED_FOR {
            let nothing = || serde_json::from_str(nothing).unwrap_or_default();
            object.entry(*name).or_insert_with(nothing);
        }
    }
    value
}

/// What nobody can ask for yet, and what is for Windows alone: the names are there in Docker's.
const NOT_ASKED_FOR: &[(&str, &str)] = &[
    ("BlkioWeightDevice", "[]"),
    ("BlkioDeviceReadBps", "[]"),
    ("BlkioDeviceReadIOps", "[]"),
    ("BlkioDeviceWriteBps", "[]"),
    ("BlkioDeviceWriteIOps", "[]"),
    ("Cgroup", "\"\""),
    ("CgroupParent", "\"\""),
    ("ConsoleSize", "[0, 0]"),
    ("CpuCount", "0"),
    ("CpuPercent", "0"),
    ("IOMaximumBandwidth", "0"),
    ("IOMaximumIOps", "0"),
    ("Isolation", "\"\""),
    ("MemorySwappiness", "null"),
];

fn limits(host: &HostConfig) -> Value {
    let resources = &host.resources;
    json!({
        "CpuShares": resources.cpu_shares.unwrap_or(0),
        "Memory": resources.memory.unwrap_or(0),
        "NanoCpus": resources.nano_cpus.unwrap_or(0),
        "CpusetCpus": resources.cpuset_cpus.clone().unwrap_or_default(),
        "CpuPeriod": resources.cpu_period.unwrap_or(0),
        "CpuQuota": resources.cpu_quota.unwrap_or(0),
        "CpuRealtimePeriod": resources.cpu_rt_period.unwrap_or(0),
        "CpuRealtimeRuntime": resources.cpu_rt_runtime.unwrap_or(0),
        "BlkioWeight": resources.blkio_weight.unwrap_or(0),
        "MemoryReservation": resources.memory_reservation.unwrap_or(0),
        "CpusetMems": resources.cpuset_mems.clone().unwrap_or_default(),
        "MemorySwap": memory_swap(host),
        "PidsLimit": resources.pids_limit,
    })
}

/// As much swap as memory unless said otherwise.
fn memory_swap(host: &HostConfig) -> i64 {
    host.resources.memory_swap.unwrap_or_else(|| {
        let memory = host.resources.memory.unwrap_or(0);
        i64::try_from(memory.saturating_mul(2)).unwrap_or(i64::MAX)
    })
}

fn list_or_null(list: &[String]) -> Value {
    if list.is_empty() {
        Value::Null
    } else {
        json!(list)
    }
}

/// Names as keys of empty objects, as Docker keeps sets; `null` for none.
fn set_or_null(names: &[String]) -> Value {
    if names.is_empty() {
        return Value::Null;
    }
    Value::Object(names.iter().map(|name| (name.clone(), json!({}))).collect())
}

fn labels(labels: &BTreeMap<String, String>) -> Value {
    Value::Object(
        labels
            .iter()
            .map(|(key, value)| (key.clone(), json!(value)))
            .collect(),
    )
}

fn container_config(config: &ContainerConfig) -> Value {
    let mut value = json!({
        "Hostname": config.hostname,
        "Domainname": config.domainname,
        "User": config.user,
        "AttachStdin": config.attach.stdin,
        "AttachStdout": config.attach.stdout,
        "AttachStderr": config.attach.stderr,
        "ExposedPorts": set_or_null(&config.exposed_ports),
        "Tty": config.tty,
        "OpenStdin": config.open_stdin,
        "StdinOnce": config.stdin_once,
        "Env": config.env,
        "Cmd": list_or_null(&config.cmd),
        "Image": config.image,
        "Volumes": set_or_null(&config.volumes),
        "WorkingDir": config.working_dir,
        "Entrypoint": list_or_null(&config.entrypoint),
        "OnBuild": null,
        "Labels": labels(&config.labels),
    });
    if let Some(object) = value.as_object_mut() {
        if config.exposed_ports.is_empty() {
            object.shift_remove("ExposedPorts");
        }
        if let Some(signal) = &config.stop_signal {
            object.insert("StopSignal".to_owned(), json!(signal));
        }
        if let Some(timeout) = config.stop_timeout {
            object.insert("StopTimeout".to_owned(), json!(timeout));
        }
        if let Some(check) = &config.healthcheck {
            object.insert("Healthcheck".to_owned(), json!(check));
        }
        if !config.shell.is_empty() {
            object.insert("Shell".to_owned(), json!(config.shell));
        }
    }
    value
}

/// Docker's `ImageInspect`.
#[must_use]
pub fn image(image: &Image, roots: &Roots) -> Value {
    let summary = &image.summary;
    let lower: Vec<String> = image
        .layers
        .iter()
        .rev()
        .map(|layer| {
            roots
                .layers()
                .join(layer.chain_id.hex())
                .join("fs")
                .display()
                .to_string()
        })
        .collect();
    let (top, below) = match lower.split_first() {
        Some((top, below)) => (top.clone(), below.join(":")),
        None => (String::new(), String::new()),
    };
    let mut data = Map::new();
    if !below.is_empty() {
        data.insert("LowerDir".to_owned(), json!(below));
    }
    data.insert("UpperDir".to_owned(), json!(top));
    let diff_ids: Vec<&str> = image.layers.iter().map(|l| l.diff_id.as_str()).collect();
    let mut value = json!({
        "Id": summary.id.as_str(),
        "RepoTags": summary.tags,
        "RepoDigests": summary.digests,
        "Parent": "",
        "Comment": image.comment,
        "Created": time(summary.created),
        "DockerVersion": image.stated.docker_version,
        "Author": image.author,
        "Config": image_config(&image.config, &image.stated),
        "Architecture": summary.platform.architecture,
        "Os": summary.platform.os,
        "Size": summary.size,
        "GraphDriver": { "Data": data, "Name": "overlay2" },
        "RootFS": { "Type": "layers", "Layers": diff_ids },
        "Metadata": { "LastTagTime": time(image.tagged) },
    });
    if let (Some(object), Some(variant)) = (value.as_object_mut(), &summary.platform.variant) {
        object.insert("Variant".to_owned(), json!(variant));
    }
    value
}

fn image_config(config: &ContainerConfig, stated: &Stated) -> Value {
    let mut value = container_config(config);
    if let Some(object) = value.as_object_mut() {
        // These belong to a container, not to an image.
        for name in [
            "AttachStdin",
            "AttachStdout",
            "AttachStderr",
            "Tty",
            "OpenStdin",
            "StdinOnce",
        ] {
            object.insert(name.to_owned(), json!(false));
        }
        object.insert("OnBuild".to_owned(), list_or_null(&stated.on_build));
        if config.labels.is_empty() {
            object.insert("Labels".to_owned(), Value::Null);
        }
        if let Some(probe) = &stated.healthcheck {
            object.insert("Healthcheck".to_owned(), probe.clone());
        }
        if !stated.shell.is_empty() {
            object.insert("Shell".to_owned(), json!(stated.shell));
        }
    }
    value
}

/// How `inspect` prints what it found.
#[derive(Debug)]
pub enum Show {
    /// A JSON list, indented by four.
    Indented,
    /// A JSON list in one line.
    Compact,
    /// One line each.
    Template(Box<Template>),
}

impl Show {
    /// Reads `--format`.
    ///
    /// # Errors
    /// What is wrong with the template.
    pub fn parse(format: Option<&str>) -> Result<Self, Failure> {
        match format {
            None | Some("") => Ok(Self::Indented),
            Some("json") => Ok(Self::Compact),
            Some(text) => Template::parse(text)
                .map(|template| Self::Template(Box::new(template)))
                .map_err(Failure::template),
        }
    }

    /// Prints all of them.
    ///
    /// # Errors
    /// A field that is not there: then nothing after the object before it is printed.
    pub fn print(&self, out: &mut Out, objects: &[Value]) -> Result<(), Failure> {
        match self {
            Self::Indented => out.write_all(indented(objects).as_bytes())?,
            Self::Compact => out.line(Value::Array(objects.to_vec()))?,
            Self::Template(template) => {
                for object in objects {
                    let text = template
                        .execute(object.clone(), &Row::default().methods)
                        .map_err(Failure::plain)?;
                    out.line(text)?;
                }
            }
        }
        Ok(())
    }
}

/// A JSON list indented by four; `[]` if empty.
fn indented(objects: &[Value]) -> String {
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut text = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, formatter);
    serde::Serialize::serialize(objects, &mut serializer).expect("values are JSON already");
    let mut text = String::from_utf8(text).expect("JSON is UTF-8");
    text.push('\n');
    text
}
