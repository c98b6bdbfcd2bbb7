//! `wharf demo`: real containers to look at, without the outside and without any other software. This file says which
//! containers there are and brings them up or takes them away; `image.rs` makes their images, `workload.rs` is what
//! runs inside them, `shell.rs` is what `exec` finds there.

mod image;
mod shell;
mod workload;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use crate::engine::model::network::{Attachment, Port, PortBinding, Protocol};
use crate::engine::model::request::{Create, Remove};
use crate::engine::model::{
    Cancel, ContainerId, ContainerSummary, LogConfig, NetworkMode, Reference, Resources,
    RestartPolicy, reference,
};
use crate::engine::{Engine, Error, Kind, Result};

pub use workload::run as run_workload;

/// Every container and image of the demo has it.
pub const LABEL: &str = "wharf.demo";

/// The hidden verb that runs a workload: `wharf demo-workload web`.
pub const WORKLOAD_VERB: &str = "demo-workload";

/// The image that the demo's containers run.
pub const IMAGE: &str = "wharf-demo:latest";

/// The image that is there to be looked at: its layers waste space in every way that there is.
pub const LAYERS_IMAGE: &str = "wharf-demo-layers:latest";

const MIB: u64 = 1024 * 1024;

/// One container of the demo.
struct Part {
    name: &'static str,
    workload: &'static str,
    restart: RestartPolicy,
    resources: fn() -> Resources,
    /// The port that it serves, published on a free one of the host's loopback.
    serves: Option<u16>,
}

const PARTS: &[Part] = &[
    Part {
        name: "demo-web",
        workload: "web",
        restart: RestartPolicy::UnlessStopped,
        resources: || Resources {
            memory: Some(128 * MIB),
            pids_limit: Some(64),
            ..Resources::default()
        },
        serves: Some(workload::WEB_PORT),
    },
    Part {
        name: "demo-ticker",
        workload: "tick",
        restart: RestartPolicy::No,
        resources: Resources::default,
        serves: None,
    },
    Part {
        name: "demo-wave",
        workload: "wave",
        restart: RestartPolicy::No,
        resources: || Resources {
            nano_cpus: Some(500_000_000),
            ..Resources::default()
        },
        serves: None,
    },
    Part {
        name: "demo-grow",
        workload: "grow",
        restart: RestartPolicy::Always,
        // Swap would only make the end come later.
        resources: || Resources {
            memory: Some(64 * MIB),
            memory_swap: i64::try_from(64 * MIB).ok(),
            ..Resources::default()
        },
        serves: None,
    },
    Part {
        name: "demo-crash",
        workload: "crash",
        restart: RestartPolicy::OnFailure { max: 0 },
        resources: Resources::default,
        serves: None,
    },
];

/// Names of the demo's containers, in the order in which they are started.
pub fn names() -> impl Iterator<Item = &'static str> {
    PARTS.iter().map(|part| part.name)
}

/// Makes and starts whatever of the demo is missing; `say` gets one line for each thing done, and nothing if all is
/// there. What was started before a failure stays, for the next call or [`remove`]. The containers are on the default
/// network; on a host where that cannot be they get none, and why is said.
///
/// # Errors
/// What the engine says; [`Kind::AlreadyExists`] if one of the names belongs to a container of somebody else.
pub fn start(engine: &Engine, mut say: impl FnMut(&str)) -> Result<()> {
    ensure_images(engine, &mut say)?;
    let mut connection = Connection::Bridge;
    for part in PARTS {
        let (id, verb) = match find(engine, part.name)? {
            Some(found) if found.state.status.is_live() => continue,
            Some(found) => {
                let id = found.container.id.clone();
                engine.start(&id, None)?;
                (id, "started")
            }
            None => (make(engine, part, &mut connection, &mut say)?, "created"),
        };
        match served(engine, &id)? {
            Some(address) => say(&format!("{verb} {}, at {address}", part.name)),
            None => say(&format!("{verb} {}", part.name)),
        }
    }
    Ok(())
}

/// What containers that are made now are connected with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Connection {
    /// The default network.
    Bridge,
    /// Nothing: this host cannot make that network.
    Nothing,
}

/// Makes and starts one, without a network if it does not start with one but does without; then `connection` says so for
/// those that follow. Nothing is left of one that does not start.
fn make(
    engine: &Engine,
    part: &Part,
    connection: &mut Connection,
    say: &mut impl FnMut(&str),
) -> Result<ContainerId> {
    let why = match attempt(engine, &request(part, *connection)) {
        Err(error) if *connection == Connection::Bridge => error,
        outcome => return outcome,
    };
    let id = attempt(engine, &request(part, Connection::Nothing))?;
    *connection = Connection::Nothing;
    say(&format!("the demo has no network: {why}"));
    Ok(id)
}

fn attempt(engine: &Engine, request: &Create) -> Result<ContainerId> {
    let id = engine.create(request)?.id;
    if let Err(error) = engine.start(&id, None) {
        let force = Remove {
            force: true,
            volumes: true,
        };
        // Why it did not start is what counts.
        let _ = engine.remove(&id, force);
        return Err(error);
    }
    Ok(id)
}

/// Where the host reaches what a container serves.
fn served(engine: &Engine, id: &ContainerId) -> Result<Option<String>> {
    let found = engine.container(id)?;
    let mut published = found.endpoints.iter().flat_map(|e| &e.publications);
    Ok(published
        .next()
        .map(|at| format!("http://{}:{}", at.address, at.host)))
}

/// Takes the demo away: its containers, running or not, and both images. What is not there is not missed.
///
/// # Errors
/// The first that the engine reports; everything else is removed nevertheless.
pub fn remove(engine: &Engine, mut say: impl FnMut(&str)) -> Result<()> {
    let mut result = Ok(());
    let mut keep = |outcome: Result<()>| {
        if result.is_ok() {
            result = outcome;
        }
    };
    for found in engine.containers()? {
        if is_ours(&found) {
            let force = Remove {
                force: true,
                volumes: true,
            };
            let outcome = engine.remove(&found.container.id, force);
            if outcome.is_ok() {
                say(&format!("removed {}", found.container.name));
            }
            keep(outcome);
        }
    }
    for image in [IMAGE, LAYERS_IMAGE] {
        match engine.remove_image(image, false) {
            Ok(_) => say(&format!("removed {image}")),
            Err(error) if error.kind() == Kind::NotFound => {}
            Err(error) => keep(Err(error)),
        }
    }
    result
}

fn ensure_images(engine: &Engine, say: &mut impl FnMut(&str)) -> Result<()> {
    let build = image::build_label()?;
    let is_current = |name: &str| match engine.image(name) {
        Ok(found) => Ok(found.summary.labels.get(LABEL) == Some(&build)),
        Err(error) if error.kind() == Kind::NotFound => Ok(false),
        Err(error) => Err(error),
    };
    if !is_current(IMAGE)? {
        assemble(engine, IMAGE, image::workloads(&build)?)?;
        say(&format!("made {IMAGE}"));
    }
    if !is_current(LAYERS_IMAGE)? {
        assemble(engine, LAYERS_IMAGE, image::wasteful(&build)?)?;
        say(&format!("made {LAYERS_IMAGE}"));
    }
    Ok(())
}

fn assemble(engine: &Engine, name: &str, recipe: image::Recipe) -> Result<()> {
    let reference: Reference = name.parse().map_err(|error: reference::Error| {
        Error::new(Kind::Internal, format!("name the image {name}")).caused_by(error)
    })?;
    engine.assemble(&reference, &recipe.config, recipe.layers, &Cancel::new())?;
    Ok(())
}

fn find(engine: &Engine, name: &str) -> Result<Option<ContainerSummary>> {
    let id: ContainerId = match engine.resolve(name) {
        Ok(id) => id,
        Err(error) if error.kind() == Kind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let found = engine.container(&id)?;
    if is_ours(&found) {
        Ok(Some(found))
    } else {
        Err(Error::new(
            Kind::AlreadyExists,
            format!("start the demo: there is a container named {name} that is not part of it"),
        )
        .with_hint("rename or remove that container"))
    }
}

fn is_ours(found: &ContainerSummary) -> bool {
    let labels: &BTreeMap<String, String> = &found.container.config.labels;
    labels.contains_key(LABEL) && names().any(|name| name == found.container.name)
}

fn request(part: &Part, connection: Connection) -> Create {
    let (network, networks, serves) = match connection {
        Connection::Bridge => {
            let bridge = Attachment {
                network: "bridge".to_owned(),
                ..Attachment::default()
            };
            (NetworkMode::Networks, vec![bridge], part.serves)
        }
        Connection::Nothing => (NetworkMode::None, Vec::new(), None),
    };
    let ports = serves.map(|number| PortBinding {
        port: Port {
            number,
            protocol: Protocol::Tcp,
        },
        // Nobody from outside meets a demo.
        address: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        host: None,
    });
    Create {
        network,
        networks,
        ports: ports.into_iter().collect(),
        image: IMAGE.to_owned(),
        name: Some(part.name.to_owned()),
        cmd: vec![part.workload.to_owned()],
        labels: vec![(LABEL.to_owned(), "true".to_owned())],
        hostname: Some(part.name.trim_start_matches("demo-").to_owned()),
        restart: part.restart,
        resources: (part.resources)(),
        log: LogConfig {
            max_size: Some(4 * MIB),
            max_file: 2,
            ..LogConfig::default()
        },
        stop_timeout: Some(2),
        ..Create::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_has_a_workload_and_a_name_of_its_own() {
        let mut seen: Vec<&str> = names().collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), PARTS.len());
        for part in PARTS {
            assert!(workload::exists(part.workload), "{}", part.workload);
        }
    }
}
