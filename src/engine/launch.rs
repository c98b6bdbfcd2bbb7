//! Fills a container's live directory before its monitor starts: specification, plan, files of `/etc`.

use super::Engine;
use super::error::Result;
use super::etc_files;
use super::model::{Container, NetworkMode};
use super::runtime::launch::Rootfs;
use super::runtime::monitor::{self, Plan};
use super::runtime::spec::{self, SpecInput};
use super::sys::file::{self, Durability};
use super::{records, store};

/// The specification's file in the live directory.
pub(super) const SPEC: &str = "config.json";

/// Writes everything that the monitor reads. What is there from an earlier run is replaced.
///
/// # Errors
/// A configuration that cannot be (unknown capability …), or what the file system says; the live directory is then
/// for the caller to remove.
pub(super) fn prepare(engine: &Engine, container: &Container) -> Result<()> {
    let roots = engine.roots();
    let live = roots.live(&container.id);
    file::create_private_dir(&live)?;
    for (name, content) in etc(container) {
        file::write_public(&live.join(name), content.as_bytes())?;
    }
    let host = engine.spec_host()?;
    let spec = spec::container(SpecInput {
        container,
        live: &live,
        host,
    })?;
    store::write_record(&live.join(SPEC), &spec, Durability::Unsynced)?;
    plan(engine, container)?.write(&live)
}

fn etc(container: &Container) -> [(&'static str, String); 3] {
    let network = container.host.network;
    let of_host = |path: &str| {
        let content = file::read_optional(std::path::Path::new(path))
            .ok()
            .flatten()
            .unwrap_or_default();
        String::from_utf8_lossy(&content).into_owned()
    };
    let hosts = match network {
        NetworkMode::Host => of_host("/etc/hosts"),
        NetworkMode::None => String::new(),
    };
    [
        ("hostname", format!("{}\n", container.config.hostname)),
        (
            "hosts",
            etc_files::hosts(network, &hosts, &container.host.extra_hosts),
        ),
        (
            "resolv.conf",
            etc_files::resolv_conf(network, &of_host("/etc/resolv.conf")),
        ),
    ]
}

fn plan(engine: &Engine, container: &Container) -> Result<Plan> {
    let roots = engine.roots();
    let directory = roots.container(&container.id);
    let layer = |id: &super::model::Digest| roots.layers().join(id.hex()).join("fs");
    let log = directory.join("log");
    Ok(Plan {
        version: monitor::PLAN_VERSION,
        id: container.id.clone(),
        name: container.name.clone(),
        image: container.config.image.clone(),
        labels: container.config.labels.clone(),
        state: directory.join(records::STATE),
        events: roots.events(),
        log: log.join("container.log"),
        log_config: container.host.log.clone(),
        rootfs: Rootfs::Overlay {
            lower: container.layers.iter().map(layer).collect(),
            upper: directory.join("upper"),
            work: directory.join("work"),
            readonly: container.host.readonly_rootfs,
            volatile: container.host.auto_remove,
        },
        tty: container.config.tty,
        open_stdin: container.config.open_stdin,
        stdin_once: container.config.stdin_once,
        restart: container.host.restart,
        auto_remove: container
            .host
            .auto_remove
            .then(|| vec![roots.names().join(&container.name), directory.clone()]),
        stop_signal: monitor::stop_signal(container.config.stop_signal.as_deref())?,
        stop_timeout: container.config.stop_timeout.unwrap_or(10),
    })
}
