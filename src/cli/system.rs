//! Verbs about wharf itself: version, info, events, completion; and `inspect` of anything.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::inspect::Show;
use super::list::has_label;
use super::output::Out;
use super::report::{Failure, Outcome};
use super::template::{Template, TemplateError};
use super::value::{self, Filter};
use super::{Context, VERSION, args, container, image, network, volume};
use crate::engine::events;
use crate::engine::model::log::Driver;
use crate::engine::model::{Cancel, Event, Status, Timestamp, event, units};
use crate::engine::{Error, HostInfo, Kind};

/// The commit this was built from, if the build knew it.
pub const BUILD: &str = match option_env!("WHARF_BUILD") {
    Some(commit) => commit,
    None => "unknown",
};

/// Docker's API of which wharf speaks the words.
const API_VERSION: &str = "1.50";

/// `version`.
pub fn version(context: &Context, args: &args::Formatted) -> Outcome {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let client = json!({
        "Platform": { "Name": "wharf" },
        "Version": VERSION,
        "ApiVersion": API_VERSION,
        "DefaultAPIVersion": API_VERSION,
        "GitCommit": BUILD,
        "Os": "linux",
        "Arch": architecture,
        "Context": "default",
    });
    // The engine is this same program; what it adds is the host.
    let host = context.engine().and_then(|engine| engine.host_info());
    let server = host.as_ref().ok().map(|host| {
        json!({
            "Platform": { "Name": "wharf" },
            "Version": VERSION,
            "ApiVersion": API_VERSION,
            "MinAPIVersion": API_VERSION,
            "GitCommit": BUILD,
            "Os": "linux",
            "Arch": architecture,
            "KernelVersion": host.kernel,
        })
    });
    let mut out = Out::new();
    let value = json!({ "Client": client, "Server": server });
    match args.format.as_deref() {
        None | Some("") => {
            out.line("Client: wharf")?;
            out.line(format_args!(" Version:           {VERSION}"))?;
            out.line(format_args!(" API version:       {API_VERSION}"))?;
            out.line(format_args!(" Git commit:        {BUILD}"))?;
            out.line(format_args!(" OS/Arch:           linux/{architecture}"))?;
            out.line(" Context:           default")?;
            if let Ok(host) = &host {
                out.line("\nServer: wharf (in this process)")?;
                out.line(" Engine:")?;
                out.line(format_args!("  Version:          {VERSION}"))?;
                out.line(format_args!("  API version:      {API_VERSION}"))?;
                out.line(format_args!("  Git commit:       {BUILD}"))?;
                out.line(format_args!("  OS/Arch:          linux/{architecture}"))?;
                out.line(format_args!("  Kernel Version:   {}", host.kernel))?;
            }
        }
        Some("json") => out.line(&value)?,
        Some(text) => out.line(fill(text, &value)?)?,
    }
    out.finish()?;
    host?;
    Ok(0)
}

fn fill(template: &str, value: &Value) -> Result<String, Failure> {
    let template = Template::parse(template).map_err(Failure::template)?;
    template
        .execute(value.clone(), &Map::new())
        .map_err(Failure::plain)
}

/// `info`.
pub fn info(context: &Context, args: &args::Formatted) -> Outcome {
    let engine = context.engine()?;
    let host = engine.host_info()?;
    let containers = engine.containers()?;
    let count = |wanted: &[Status]| {
        containers
            .iter()
            .filter(|c| wanted.contains(&c.state.status))
            .count()
    };
    let running = count(&[Status::Running, Status::Restarting]);
    let paused = count(&[Status::Paused]);
    let facts = Facts {
        total: containers.len(),
        running,
        paused,
        images: engine.images()?.len(),
        host,
    };
    let mut out = Out::new();
    match args.format.as_deref() {
        None | Some("") => out.write_all(facts.text().as_bytes())?,
        Some("json") => out.line(facts.json())?,
        Some(text) => out.line(fill(text, &facts.json())?)?,
    }
    out.finish()?;
    if args.format.as_deref().is_none_or(str::is_empty) {
        for warning in &facts.host.warnings {
            super::warn(warning);
        }
    }
    Ok(0)
}

struct Facts {
    total: usize,
    running: usize,
    paused: usize,
    images: usize,
    host: HostInfo,
}

impl Facts {
    fn stopped(&self) -> usize {
        self.total - self.running - self.paused
    }

    fn cgroup_driver() -> &'static str {
        "cgroupfs"
    }

    fn text(&self) -> String {
        let host = &self.host;
        let mut text = format!(
            "Client: wharf\n Version:    {VERSION}\n Context:    default\n\nServer:\n Containers: {}\n  Running: {}\n  Paused: {}\n  Stopped: {}\n Images: {}\n Server Version: {VERSION}\n Storage Driver: overlay2\n Logging Driver: json-file\n Cgroup Driver: {}\n Cgroup Version: {}\n Plugins:\n  Network: host none\n  Log: {}\n Default Runtime: wharf\n Security Options:\n",
            self.total,
            self.running,
            self.paused,
            self.stopped(),
            self.images,
            Self::cgroup_driver(),
            host.cgroup_version,
            log_drivers().join(" "),
        );
        for option in &host.security_options {
            // `name=seccomp,profile=builtin` is a line for the name and one for each of its properties.
            for part in option.split(',') {
                let _ = match part.split_once('=') {
                    Some(("name", name)) => writeln!(text, "  {name}"),
                    Some((key, value)) => writeln!(text, "   {}: {value}", capitalized(key)),
                    None => writeln!(text, "  {part}"),
                };
            }
        }
        text + &format!(
            " Kernel Version: {}\n Operating System: {}\n OSType: linux\n Architecture: {}\n CPUs: {}\n Total Memory: {}\n Name: {}\n Wharf Root Dir: {}\n Wharf Run Dir: {}\n",
            host.kernel,
            host.operating_system,
            host.architecture,
            host.cpus,
            units::human_memory(host.memory),
            host.name,
            host.roots.data.display(),
            host.roots.run.display(),
        )
    }

    fn json(&self) -> Value {
        let host = &self.host;
        let mut value = json!({
            "Containers": self.total,
            "ContainersRunning": self.running,
            "ContainersPaused": self.paused,
            "ContainersStopped": self.stopped(),
            "Images": self.images,
            "Driver": "overlay2",
            "DriverStatus": [],
            "DockerRootDir": host.roots.data.display().to_string(),
            "Plugins": { "Volume": ["local"], "Network": ["host", "none"], "Authorization": null, "Log": log_drivers() },
            "MemoryLimit": true,
            "SwapLimit": true,
            "CpuCfsPeriod": true,
            "CpuCfsQuota": true,
            "CPUShares": true,
            "CPUSet": true,
            "PidsLimit": true,
        });
        let rest = json!({
            "OomKillDisable": false,
            "Debug": false,
            "SystemTime": Timestamp::now().to_string(),
            "LoggingDriver": "json-file",
            "CgroupDriver": Self::cgroup_driver(),
            "CgroupVersion": host.cgroup_version.to_string(),
            "KernelVersion": host.kernel,
            "OperatingSystem": host.operating_system,
            "OSType": "linux",
            "Architecture": host.architecture,
            "NCPU": host.cpus,
            "MemTotal": host.memory,
            "Name": host.name,
            "Labels": [],
            "Swarm": {
                "NodeID": "", "NodeAddr": "", "LocalNodeState": "inactive", "ControlAvailable": false,
                "Error": "", "RemoteManagers": null,
            },
            "ExperimentalBuild": false,
            "ServerVersion": VERSION,
            "Runtimes": { "wharf": { "path": "wharf" } },
            "DefaultRuntime": "wharf",
            "LiveRestoreEnabled": true,
            "SecurityOptions": host.security_options,
            "Warnings": if host.warnings.is_empty() { Value::Null } else { json!(host.warnings) },
            "ClientInfo": { "Debug": false, "Context": "default", "Version": VERSION, "GitCommit": BUILD },
        });
        if let (Value::Object(value), Value::Object(rest)) = (&mut value, rest) {
            value.extend(rest);
        }
        value
    }
}

/// Their names, but for the one that keeps nothing, which Docker does not list either.
fn log_drivers() -> Vec<&'static str> {
    let drivers = Driver::ALL.iter();
    let kept = drivers.filter(|driver| **driver != Driver::None);
    kept.map(|driver| driver.as_str()).collect()
}

fn capitalized(word: &str) -> String {
    let mut chars = word.chars();
    chars
        .next()
        .map(|first| first.to_uppercase().chain(chars).collect())
        .unwrap_or_default()
}

/// `inspect`: a container of that name, else an image.
pub fn inspect(context: &Context, args: &args::Inspect) -> Outcome {
    let kind = args.kind.as_deref().unwrap_or_default();
    match kind {
        "" | "container" | "image" | "network" | "volume" => {}
        "config" | "node" | "plugin" | "secret" | "service" | "task" => {
            return Err(Failure::plain(format_args!(
                "inspect of type {kind} is not available yet"
            )));
        }
        other => {
            return Err(Failure::Usage {
                text: format!("unknown type: \"{other}\": must be one of \"container\", \"image\""),
                code: 1,
            });
        }
    }
    let sized = args.size;
    let show = Show::parse(args.format.as_deref())?;
    let engine = context.engine()?;
    container::inspect_each(&show, &args.operands, |name| match kind {
        "container" => container::inspect_sized(&engine, name, sized),
        "image" => image::inspect_one(&engine, name),
        "network" => network::inspect_one(&engine, name),
        "volume" => volume::inspect_one(&engine, name),
        _ => {
            let looks: [&dyn Fn() -> Result<Value, Error>; 4] = [
                &|| container::inspect_sized(&engine, name, sized),
                &|| image::inspect_one(&engine, name),
                &|| network::inspect_one(&engine, name),
                &|| volume::inspect_one(&engine, name),
            ];
            for look in looks {
                match look() {
                    Err(error) if error.kind() == Kind::NotFound => {}
                    found => return found,
                }
            }
            // None of them: say so, rather than only what the last one says.
            Err(Error::not_found(format!("no such object: {name}")))
        }
    })
}

/// `events`.
pub fn events(context: &Context, args: &args::Events) -> Outcome {
    let now = Timestamp::now();
    let moment = |text: Option<&String>| {
        text.map(|text| value::moment(text, now))
            .transpose()
            .map_err(Failure::plain)
    };
    let until = moment(args.until.as_ref())?;
    // Who says only when to end wants what there was until then, as Docker has it.
    let since = moment(args.since.as_ref())?.or(until.map(|_| Timestamp::MIN));
    if let (Some(since), Some(until)) = (since, until)
        && since > until
    {
        return Err(Failure::plain(format_args!(
            "`since` time ({since}) cannot be after `until` time ({until})"
        )));
    }
    for filter in &args.filter {
        check_event_filter(filter).map_err(Failure::plain)?;
    }
    let template = match args.format.as_deref() {
        None | Some("" | "json") => None,
        Some(text) => Some(event_template(text, now).map_err(|why| Failure::Usage {
            text: format!("wharf: {why}"),
            code: 64,
        })?),
    };
    let as_json = args.format.as_deref() == Some("json");
    let engine = context.engine()?;
    let mut reader = events::follow(&engine.roots().events(), since)?;
    let cancel = Cancel::new();
    let mut out = Out::new();
    loop {
        let left = match until {
            None => Duration::from_hours(1),
            Some(until) => Timestamp::now()
                .duration_until(until)
                .try_into()
                .unwrap_or_default(),
        };
        for event in reader.next(&cancel, left)? {
            if until.is_some_and(|until| event.time > until) || !event_fits(&event, &args.filter) {
                continue;
            }
            match &template {
                Some(template) => {
                    let text = template
                        .execute(event_json(&event), &event_names(&event))
                        .map_err(Failure::plain)?;
                    out.line(text)?;
                }
                None if as_json => out.line(event_json(&event))?,
                None => out.line(event_line(&event))?,
            }
        }
        out.flush()?;
        if until.is_some_and(|until| Timestamp::now() >= until) {
            return Ok(0);
        }
    }
}

/// The template, tried on an event of every field: what is wrong is told before one comes.
fn event_template(text: &str, now: Timestamp) -> Result<Template, TemplateError> {
    let template = Template::parse(text)?;
    let sample = Event {
        time: now,
        kind: event::Kind::Container,
        action: String::new(),
        id: String::new(),
        attributes: [("image".to_owned(), String::new())].into(),
    };
    template.execute(event_json(&sample), &event_names(&sample))?;
    Ok(template)
}

fn check_event_filter(filter: &Filter) -> Result<(), String> {
    match filter.key.as_str() {
        "container" | "daemon" | "event" | "image" | "label" | "network" | "plugin" | "scope"
        | "type" | "volume" => Ok(()),
        "config" | "node" | "secret" | "service" => Err(format!(
            "filter '{}' is for a swarm, which wharf does not make",
            filter.key
        )),
        other => Err(format!("invalid filter '{other}'")),
    }
}

/// Several values of one key: any of them; several keys: all.
fn event_fits(event: &Event, filters: &[Filter]) -> bool {
    filters.iter().all(|filter| {
        filters
            .iter()
            .filter(|other| other.key == filter.key)
            .any(|filter| {
                let value = filter.value.as_str();
                let attribute = |name: &str| event.attributes.get(name).map(String::as_str);
                let is_named = |kind: event::Kind| {
                    event.kind == kind
                        && (event.id.starts_with(value)
                            || attribute("name").is_some_and(|name| name.starts_with(value)))
                };
                match filter.key.as_str() {
                    "container" => is_named(event::Kind::Container),
                    "network" => is_named(event::Kind::Network),
                    "volume" => is_named(event::Kind::Volume),
                    "image" => {
                        let name = match event.kind {
                            event::Kind::Image => attribute("name"),
                            event::Kind::Container | event::Kind::Volume | event::Kind::Network => {
                                attribute("image")
                            }
                        };
                        [Some(event.id.as_str()), name]
                            .into_iter()
                            .flatten()
                            .any(|name| name == value || without_tag(name) == value)
                    }
                    "event" => {
                        event.action == value
                            || event.action.split(':').next().is_some_and(|a| a == value)
                    }
                    "scope" => value == "local",
                    "type" => kind_name(event.kind) == value,
                    "label" => has_label(&event.attributes, value),
                    // Of a daemon and of plugins nothing is ever told.
                    _ => false,
                }
            })
    })
}

/// The name without its tag or digest.
fn without_tag(name: &str) -> &str {
    let name = name.split('@').next().unwrap_or(name);
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        Some(_) | None => name,
    }
}

fn kind_name(kind: event::Kind) -> &'static str {
    match kind {
        event::Kind::Container => "container",
        event::Kind::Image => "image",
        event::Kind::Volume => "volume",
        event::Kind::Network => "network",
    }
}

/// `2025-01-01T00:00:00.000000000+01:00 container start 4bf0… (image=busybox, name=web)`.
fn event_line(event: &Event) -> String {
    let local = event.time.to_zoned(jiff::tz::TimeZone::system());
    let form = if local.offset().is_zero() {
        "%Y-%m-%dT%H:%M:%S.%9fZ"
    } else {
        "%Y-%m-%dT%H:%M:%S.%9f%:z"
    };
    let time = local.strftime(form).to_string();
    let mut line = format!(
        "{time} {} {} {}",
        kind_name(event.kind),
        event.action,
        event.id
    );
    if !event.attributes.is_empty() {
        let pairs: Vec<String> = event
            .attributes
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        let _ = write!(line, " ({})", pairs.join(", "));
    }
    line
}

fn event_json(event: &Event) -> Value {
    let attributes: Map<String, Value> = event
        .attributes
        .iter()
        .map(|(key, value)| (key.clone(), json!(value)))
        .collect();
    let mut value = Map::new();
    if event.kind == event::Kind::Container || event.kind == event::Kind::Image {
        value.insert("status".to_owned(), json!(event.action));
        value.insert("id".to_owned(), json!(event.id));
    }
    if let Some(from) = event.attributes.get("image") {
        value.insert("from".to_owned(), json!(from));
    }
    value.insert("Type".to_owned(), json!(kind_name(event.kind)));
    value.insert("Action".to_owned(), json!(event.action));
    value.insert(
        "Actor".to_owned(),
        json!({ "ID": event.id, "Attributes": attributes }),
    );
    value.insert("scope".to_owned(), json!("local"));
    value.insert("time".to_owned(), json!(event.time.as_second()));
    let nanos = i64::try_from(event.time.as_nanosecond()).unwrap_or(0);
    value.insert("timeNano".to_owned(), json!(nanos));
    Value::Object(value)
}

/// What templates call the fields that JSON spells in lower case.
fn event_names(event: &Event) -> Map<String, Value> {
    let value = event_json(event);
    let field = |name: &str| value.get(name).cloned().unwrap_or_else(|| json!(""));
    [
        ("Status", "status"),
        ("ID", "id"),
        ("From", "from"),
        ("Scope", "scope"),
        ("Time", "time"),
        ("TimeNano", "timeNano"),
    ]
    .into_iter()
    .map(|(name, json)| (name.to_owned(), field(json)))
    .collect()
}
