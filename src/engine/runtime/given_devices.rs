//! Devices of the host that a container is given: looked up when it starts, for a device may have another number then.
//! Making them in the container is `devices.rs`.

use std::path::{Path, PathBuf};

use oci_spec::runtime::{
    LinuxDevice, LinuxDeviceCgroup, LinuxDeviceType, LinuxThrottleDevice,
    LinuxThrottleDeviceBuilder, LinuxWeightDevice, LinuxWeightDeviceBuilder, Spec,
};

use crate::engine::error::{Attempt, Error, Kind, Result};
use crate::engine::model::Rights;
use crate::engine::model::container::{DeviceLimits, DeviceRate};
use crate::engine::model::rights::{Device, DeviceKind, DeviceRule};
use crate::engine::sys::file;
use crate::engine::sys::node::{self, Links, Node, Seen};

const DEV: &str = "/dev";

/// What is in the host's `/dev` and every container has of its own (runc's list).
const OWN: &[&str] = &[
    "pts",
    "shm",
    "fd",
    "mqueue",
    ".lxc",
    ".lxd-mounts",
    ".udev",
    "console",
];

/// Nodes to make, and what may be done with them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Given {
    /// Nodes.
    pub nodes: Vec<LinuxDevice>,
    /// Rules beside those that every container has.
    pub rules: Vec<LinuxDeviceCgroup>,
}

/// Looks up what was asked for; with every right that is all of the host's `/dev`.
///
/// # Errors
/// The path that is missing, or no device.
pub fn look_up(rights: &Rights) -> Result<Given> {
    let mut given = Given::default();
    if rights.privileged {
        let nodes = all_of_host()?;
        given.nodes = nodes
            .iter()
            .filter_map(|(p, seen)| device(p, *seen))
            .collect();
    }
    for wanted in &rights.devices {
        // The host's are all there already.
        if rights.privileged && wanted.host == wanted.container {
            continue;
        }
        for (path, seen) in below(wanted)? {
            let Some(node) = device(&path, seen) else {
                continue;
            };
            given.rules.push(allowed(&node, &wanted.access));
            given.nodes.push(node);
        }
    }
    given.rules.extend(rights.device_rules.iter().map(rule));
    Ok(given)
}

/// A device, or those in a directory, each with its path in the container.
fn below(wanted: &Device) -> Result<Vec<(PathBuf, Seen)>> {
    let what = || {
        format!(
            "error gathering device information while adding custom device \"{}\"",
            wanted.host
        )
    };
    let host = Path::new(&wanted.host);
    let seen = node::look(host, Links::Followed).attempt(what)?;
    if seen.is_dir {
        let mut found = Vec::new();
        walk(host, &|_| false, &mut found).attempt(what)?;
        if !found.is_empty() {
            let target = Path::new(&wanted.container);
            let moved = found.into_iter().map(|(path, seen)| {
                let rest = path.strip_prefix(host).map(Path::to_owned);
                (target.join(rest.unwrap_or(path)), seen)
            });
            return Ok(moved.collect());
        }
    }
    match seen.node {
        Some(Node::Character(..) | Node::Block(..)) => {
            Ok(vec![(PathBuf::from(&wanted.container), seen)])
        }
        Some(Node::Fifo | Node::File) | None => {
            Err(Error::invalid("not a device node")).attempt(what)
        }
    }
}

/// Puts limits of single devices into a specification, by the numbers that the devices have now.
///
/// # Errors
/// The path that is no block device.
pub fn limit(spec: &mut Spec, wanted: &DeviceLimits) -> Result<()> {
    if *wanted == DeviceLimits::default() {
        return Ok(());
    }
    let linux = spec.linux_mut().get_or_insert_default();
    let mut resources = linux.resources().clone().unwrap_or_default();
    let mut block = resources.block_io().clone().unwrap_or_default();
    let weights = wanted.weights.iter().map(|device| {
        let (major, minor) = block_number(&device.path)?;
        LinuxWeightDeviceBuilder::default()
            .major(major)
            .minor(minor)
            .weight(device.weight)
            .build()
            .map_err(|error| Error::new(Kind::Internal, error.to_string()))
    });
    let weights: Vec<LinuxWeightDevice> = weights.collect::<Result<_>>()?;
    block
        .set_weight_device(some(weights))
        .set_throttle_read_bps_device(some(rates(&wanted.read_bytes)?))
        .set_throttle_write_bps_device(some(rates(&wanted.write_bytes)?))
        .set_throttle_read_iops_device(some(rates(&wanted.read_ios)?))
        .set_throttle_write_iops_device(some(rates(&wanted.write_ios)?));
    resources.set_block_io(Some(block));
    linux.set_resources(Some(resources));
    Ok(())
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

fn rates(wanted: &[DeviceRate]) -> Result<Vec<LinuxThrottleDevice>> {
    let rate = |device: &DeviceRate| {
        let (major, minor) = block_number(&device.path)?;
        LinuxThrottleDeviceBuilder::default()
            .major(major)
            .minor(minor)
            .rate(device.rate)
            .build()
            .map_err(|error| Error::new(Kind::Internal, error.to_string()))
    };
    wanted.iter().map(rate).collect()
}

fn block_number(path: &str) -> Result<(i64, i64)> {
    let what = || format!("limit the block I/O of {path}");
    match node::look(Path::new(path), Links::Followed)
        .attempt(what)?
        .node
    {
        Some(Node::Block(major, minor)) => Ok((i64::from(major), i64::from(minor))),
        Some(Node::Character(..) | Node::Fifo | Node::File) | None => {
            Err(Error::invalid("it is no block device")).attempt(what)
        }
    }
}

fn all_of_host() -> Result<Vec<(PathBuf, Seen)>> {
    let mut found = Vec::new();
    walk(Path::new(DEV), &|name| OWN.contains(&name), &mut found)?;
    found.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(found)
}

/// Devices below a directory. What goes away meanwhile is not there.
fn walk(dir: &Path, skips: &dyn Fn(&str) -> bool, found: &mut Vec<(PathBuf, Seen)>) -> Result<()> {
    for name in file::list_dir(dir)? {
        if skips(&name) {
            continue;
        }
        let path = dir.join(&name);
        let Ok(seen) = node::look(&path, Links::Themselves) else {
            continue;
        };
        match seen.node {
            Some(Node::Character(..) | Node::Block(..)) => found.push((path, seen)),
            Some(Node::Fifo | Node::File) | None if seen.is_dir => walk(&path, skips, found)?,
            Some(Node::Fifo | Node::File) | None => {}
        }
    }
    Ok(())
}

/// The node as a specification has it; `None` for what is no device.
fn device(path: &Path, seen: Seen) -> Option<LinuxDevice> {
    let (kind, major, minor) = match seen.node? {
        Node::Character(major, minor) => (LinuxDeviceType::C, major, minor),
        Node::Block(major, minor) => (LinuxDeviceType::B, major, minor),
        Node::Fifo | Node::File => return None,
    };
    let mut device = LinuxDevice::default();
    device
        .set_path(path.to_owned())
        .set_typ(kind)
        .set_major(i64::from(major))
        .set_minor(i64::from(minor))
        .set_file_mode(Some(seen.mode))
        .set_uid(Some(seen.owner.0))
        .set_gid(Some(seen.owner.1));
    Some(device)
}

/// What may be done with one device.
#[must_use]
pub fn allowed(device: &LinuxDevice, access: &str) -> LinuxDeviceCgroup {
    let mut rule = LinuxDeviceCgroup::default();
    rule.set_allow(true)
        .set_typ(Some(device.typ()))
        .set_major(Some(device.major()))
        .set_minor(Some(device.minor()))
        .set_access(Some(access.to_owned()));
    rule
}

fn rule(wanted: &DeviceRule) -> LinuxDeviceCgroup {
    let kind = match wanted.kind {
        DeviceKind::All => LinuxDeviceType::A,
        DeviceKind::Block => LinuxDeviceType::B,
        DeviceKind::Character => LinuxDeviceType::C,
    };
    let mut rule = LinuxDeviceCgroup::default();
    rule.set_allow(true)
        .set_typ(Some(kind))
        .set_major(wanted.major.map(i64::from))
        .set_minor(wanted.minor.map(i64::from))
        .set_access(Some(wanted.access.clone()));
    rule
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(host: &str, container: &str) -> Rights {
        Rights {
            devices: vec![Device {
                host: host.to_owned(),
                container: container.to_owned(),
                access: "r".to_owned(),
            }],
            ..Rights::default()
        }
    }

    #[test]
    fn a_device_keeps_its_number_and_gets_its_new_path() {
        let given = look_up(&with("/dev/null", "/dev/x")).unwrap();
        let [node] = given.nodes.as_slice() else {
            panic!("{given:?}")
        };
        assert_eq!(node.path(), Path::new("/dev/x"));
        assert_eq!((node.major(), node.minor()), (1, 3));
        assert_eq!(given.rules[0].access().as_deref(), Some("r"));
    }

    #[test]
    fn what_is_no_device_is_refused_in_dockers_words() {
        let dir = tempfile::tempdir().unwrap();
        let empty = dir.path().display().to_string();
        for (path, why) in [
            ("/nosuch", "No such file or directory"),
            (empty.as_str(), "not a device node"),
            ("/etc/passwd", "not a device node"),
        ] {
            let error = look_up(&with(path, "/dev/x")).unwrap_err().to_string();
            let begin =
                format!("error gathering device information while adding custom device \"{path}\"");
            assert!(error.starts_with(&begin), "{error}");
            assert!(
                error.to_lowercase().contains(&why.to_lowercase()),
                "{error}"
            );
        }
    }

    #[test]
    fn every_right_is_every_device_but_those_of_terminals() {
        let rights = Rights {
            privileged: true,
            ..with("/dev/null", "/dev/null")
        };
        let given = look_up(&rights).unwrap();
        let paths: Vec<&Path> = given
            .nodes
            .iter()
            .map(|node| node.path().as_path())
            .collect();
        assert!(paths.contains(&Path::new("/dev/null")), "{paths:?}");
        assert!(!paths.iter().any(|path| path.starts_with("/dev/pts")));
        assert!(given.rules.is_empty());
    }
}
