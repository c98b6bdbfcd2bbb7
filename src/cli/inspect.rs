//! `inspect`: one container or image in the shape and with the field names of Docker's API (version 1.50), and how a list of
//! them is printed.

use std::collections::BTreeMap;
use std::io::Write as _;

use serde_json::{Map, Value, json};

use super::format::Row;
use super::output::Out;
use super::report::Failure;
use super::template::Template;
use crate::engine::model::container::ContainerConfig;
use crate::engine::model::image::{Image, Stated};
use crate::engine::model::{ContainerSummary, HostConfig, Mount, RestartPolicy, Status, Timestamp};
use crate::engine::store::Roots;

/// Go's zero time: Docker's "never".
const NEVER: &str = "0001-01-01T00:00:00Z";

/// Docker's `ContainerInspect`.
#[must_use]
pub fn container(summary: &ContainerSummary, roots: &Roots) -> Value {
    let (container, state) = (&summary.container, &summary.state);
    let args = container.config.args();
    let durable = roots.container(&container.id);
    let live = roots.live(&container.id);
    let log = if container.host.log.driver == "json-file" {
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
    json!({
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
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": null,
        "HostConfig": host_config(&container.host, &args_of_binds(&container.host)),
        "GraphDriver": {
            "Data": {
                "ID": container.id.as_str(),
                "LowerDir": lower.join(":"),
                "UpperDir": durable.join("upper").display().to_string(),
                "WorkDir": durable.join("work").display().to_string(),
            },
            "Name": "overlay2",
        },
        "Mounts": mounts(&container.host),
        "Config": container_config(&container.config),
        "NetworkSettings": {
            "Bridge": "",
            "SandboxID": "",
            "SandboxKey": "",
            "Ports": {},
            "Networks": { container.host.network.as_str(): network() },
        },
    })
}

fn time(at: Option<Timestamp>) -> String {
    at.map_or_else(|| NEVER.to_owned(), |at| at.to_string())
}

fn network() -> Value {
    json!({
        "IPAMConfig": null, "Links": null, "Aliases": null, "MacAddress": "", "DriverOpts": null,
        "GwPriority": 0, "NetworkID": "", "EndpointID": "", "Gateway": "", "IPAddress": "",
        "IPPrefixLen": 0, "IPv6Gateway": "", "GlobalIPv6Address": "", "GlobalIPv6PrefixLen": 0,
        "DNSNames": null,
    })
}

/// `-v` as Docker keeps it: `source:target[:options]`.
fn args_of_binds(host: &HostConfig) -> Vec<String> {
    host.mounts
        .iter()
        .filter_map(|mount| match mount {
            Mount::Bind {
                source,
                target,
                readonly,
                propagation,
                create_source: true,
            } => {
                let mode = mode(*readonly, propagation.as_deref());
                Some(if mode.is_empty() {
                    format!("{source}:{target}")
                } else {
                    format!("{source}:{target}:{mode}")
                })
            }
            Mount::Bind { .. } | Mount::Tmpfs { .. } => None,
        })
        .collect()
}

fn mode(readonly: bool, propagation: Option<&str>) -> String {
    let parts: Vec<&str> = readonly
        .then_some("ro")
        .into_iter()
        .chain(propagation)
        .collect();
    parts.join(",")
}

fn mounts(host: &HostConfig) -> Vec<Value> {
    host.mounts
        .iter()
        .filter_map(|mount| match mount {
            Mount::Bind {
                source,
                target,
                readonly,
                propagation,
                ..
            } => Some(json!({
                "Type": "bind",
                "Source": source,
                "Destination": target,
                "Mode": mode(*readonly, propagation.as_deref()),
                "RW": !readonly,
                "Propagation": propagation.as_deref().unwrap_or("rprivate"),
            })),
            Mount::Tmpfs { .. } => None,
        })
        .collect()
}

fn host_config(host: &HostConfig, binds: &[String]) -> Value {
    let resources = &host.resources;
    let tmpfs: Map<String, Value> = host
        .mounts
        .iter()
        .filter_map(|mount| match mount {
            Mount::Tmpfs { target, options } => Some((target.clone(), json!(options))),
            Mount::Bind { .. } => None,
        })
        .collect();
    let long_mounts: Vec<Value> = host
        .mounts
        .iter()
        .filter_map(|mount| match mount {
            Mount::Bind {
                source,
                target,
                readonly,
                create_source: false,
                ..
            } => Some(json!({
                "Type": "bind", "Source": source, "Target": target, "ReadOnly": readonly,
            })),
            Mount::Bind { .. } | Mount::Tmpfs { .. } => None,
        })
        .collect();
    let mut log_options = Map::new();
    if let Some(size) = host.log.max_size {
        log_options.insert("max-size".to_owned(), json!(size.to_string()));
        log_options.insert("max-file".to_owned(), json!(host.log.max_file.to_string()));
    }
    let tries = match host.restart {
        RestartPolicy::OnFailure { max } => max,
        RestartPolicy::No | RestartPolicy::Always | RestartPolicy::UnlessStopped => 0,
    };
    json!({
        "Binds": if binds.is_empty() { Value::Null } else { json!(binds) },
        "ContainerIDFile": "",
        "LogConfig": { "Type": host.log.driver, "Config": log_options },
        "NetworkMode": host.network.as_str(),
        "PortBindings": {},
        "RestartPolicy": { "Name": host.restart.as_str(), "MaximumRetryCount": tries },
        "AutoRemove": host.auto_remove,
        "VolumeDriver": "",
        "VolumesFrom": null,
        "Mounts": long_mounts,
        "CapAdd": list_or_null(&host.cap_add),
        "CapDrop": list_or_null(&host.cap_drop),
        "CgroupnsMode": "private",
        "Dns": [],
        "DnsOptions": [],
        "DnsSearch": [],
        "ExtraHosts": list_or_null(&host.extra_hosts),
        "GroupAdd": null,
        "IpcMode": "private",
        "Links": null,
        "OomScoreAdj": 0,
        "PidMode": "",
        "Privileged": false,
        "PublishAllPorts": false,
        "ReadonlyRootfs": host.readonly_rootfs,
        "SecurityOpt": null,
        "Tmpfs": tmpfs,
        "UTSMode": "",
        "UsernsMode": "",
        "ShmSize": host.shm_size.unwrap_or(64 << 20),
        "Runtime": "wharf",
        "CpuShares": resources.cpu_shares.unwrap_or(0),
        "Memory": resources.memory.unwrap_or(0),
        "NanoCpus": resources.nano_cpus.unwrap_or(0),
        "CpusetCpus": resources.cpuset_cpus.clone().unwrap_or_default(),
        "CpusetMems": "",
        "MemorySwap": memory_swap(host),
        "OomKillDisable": false,
        "Init": false,
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
        "Domainname": "",
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
                .map_err(Failure::plain),
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
                        .execute(object, &Row::default().methods)
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
