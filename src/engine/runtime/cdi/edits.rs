//! Puts what comes with devices into a specification (CDI specification, "OCI Edits").

use std::path::{Path, PathBuf};

use oci_spec::runtime::{
    Hook, LinuxDevice, LinuxDeviceType, LinuxNetDevice, LinuxResources, Mount, Process, Spec,
};

use super::document::{CdiHook, CdiMount, DeviceNode, Edits};
use crate::engine::error::{Attempt, Error, Kind, Result};
use crate::engine::runtime::given_devices::allowed;
use crate::engine::runtime::spec::set_variable;
use crate::engine::sys::node::{self, Links, Node};

/// One after the other: of two that say the same thing the later one counts.
///
/// # Errors
/// A device that the host does not have.
pub(super) fn apply(spec: &mut Spec, edits: &[&Edits]) -> Result<()> {
    for edit in edits {
        variables_and_groups(spec, edit);
        for wanted in &edit.device_nodes {
            add_node(spec, wanted)
                .attempt(|| format!("CDI device injection failed: {}", wanted.path))?;
        }
        for wanted in &edit.mounts {
            add_mount(spec, wanted);
        }
        for wanted in &edit.hooks {
            add_hook(spec, wanted);
        }
        let Some(linux) = spec.linux_mut().as_mut() else {
            continue;
        };
        if let Some(wanted) = &edit.intel_rdt {
            linux.set_intel_rdt(Some(wanted.clone()));
        }
        for wanted in &edit.net_devices {
            let mut device = LinuxNetDevice::default();
            device.set_name(Some(wanted.name.clone()));
            let mut all = linux.net_devices().clone().unwrap_or_default();
            all.insert(wanted.host_interface_name.clone(), device);
            linux.set_net_devices(Some(all));
        }
    }
    // A parent before what is in it.
    if let Some(mounts) = spec.mounts_mut().as_mut()
        && edits.iter().any(|edit| !edit.mounts.is_empty())
    {
        mounts.sort_by_key(|mount| mount.destination().components().count());
    }
    Ok(())
}

fn variables_and_groups(spec: &mut Spec, edit: &Edits) {
    let Some(process) = spec.process_mut().as_mut() else {
        return;
    };
    let mut env = process.env().clone().unwrap_or_default();
    for entry in &edit.env {
        set_variable(&mut env, entry);
    }
    process.set_env(Some(env));
    let mut user = process.user().clone();
    let mut gids = user.additional_gids().clone().unwrap_or_default();
    for gid in &edit.additional_gids {
        if *gid != 0 && !gids.contains(gid) {
            gids.push(*gid);
        }
    }
    user.set_additional_gids((!gids.is_empty()).then_some(gids));
    process.set_user(user);
}

fn add_node(spec: &mut Spec, wanted: &DeviceNode) -> Result<()> {
    let owner = spec.process().as_ref().map_or(0, number_of_user);
    let device = node_of(wanted, owner)?;
    let linux = spec.linux_mut().get_or_insert_default();
    let mut all = linux.devices().clone().unwrap_or_default();
    all.retain(|other| other.path() != device.path());
    if matches!(device.typ(), LinuxDeviceType::B | LinuxDeviceType::C) {
        let access = match wanted.permissions.as_str() {
            "" => "rwm",
            given => given,
        };
        let mut resources: LinuxResources = linux.resources().clone().unwrap_or_default();
        let mut rules = resources.devices().clone().unwrap_or_default();
        rules.push(allowed(&device, access));
        resources.set_devices(Some(rules));
        linux.set_resources(Some(resources));
    }
    all.push(device);
    linux.set_devices(Some(all));
    Ok(())
}

/// What is not said is as the host has it.
fn node_of(wanted: &DeviceNode, owner: u32) -> Result<LinuxDevice> {
    let at_host = match wanted.host_path.as_str() {
        "" => wanted.path.as_str(),
        path => path,
    };
    let mut device = LinuxDevice::default();
    let (kind, major, minor) = match (wanted.kind.as_str(), wanted.major, wanted.minor) {
        ("p", ..) => (LinuxDeviceType::P, 0, 0),
        ("b", Some(major), Some(minor)) => (LinuxDeviceType::B, major, minor),
        ("c" | "u", Some(major), Some(minor)) => (LinuxDeviceType::C, major, minor),
        (kind, ..) => found(Path::new(at_host), kind)?,
    };
    let owner = (owner > 0).then_some(owner);
    device
        .set_path(PathBuf::from(&wanted.path))
        .set_typ(kind)
        .set_major(major)
        .set_minor(minor)
        .set_file_mode(wanted.file_mode)
        .set_uid(wanted.uid.or(owner))
        .set_gid(wanted.gid);
    if device.file_mode().is_none() {
        let mode = node::look(Path::new(at_host), Links::Followed).ok();
        device.set_file_mode(mode.map(|seen| seen.mode));
    }
    Ok(device)
}

fn found(path: &Path, kind: &str) -> Result<(LinuxDeviceType, i64, i64)> {
    let seen = node::look(path, Links::Followed)?;
    let other = || {
        let path = path.display();
        Error::new(
            Kind::InvalidInput,
            format!("{path} of the host is no device of type {kind:?}"),
        )
    };
    match seen.node.ok_or_else(other)? {
        Node::Block(major, minor) if matches!(kind, "" | "b") => {
            Ok((LinuxDeviceType::B, i64::from(major), i64::from(minor)))
        }
        Node::Character(major, minor) if matches!(kind, "" | "c" | "u") => {
            Ok((LinuxDeviceType::C, i64::from(major), i64::from(minor)))
        }
        Node::Fifo if kind.is_empty() => Ok((LinuxDeviceType::P, 0, 0)),
        Node::Block(..) | Node::Character(..) | Node::Fifo | Node::File => Err(other()),
    }
}

/// The user, if it is a number: names are known in the container only.
fn number_of_user(process: &Process) -> u32 {
    let text = process.user().username().as_deref().unwrap_or_default();
    let user = text.split(':').next().unwrap_or_default();
    user.parse().unwrap_or(0)
}

fn add_mount(spec: &mut Spec, wanted: &CdiMount) {
    let kind = match wanted.kind.as_str() {
        "" => "bind",
        kind => kind,
    };
    let mut options = wanted.options.clone();
    let has_bind = options
        .iter()
        .any(|option| matches!(option.as_str(), "bind" | "rbind"));
    if kind == "bind" && !has_bind {
        options.push("rbind".to_owned());
    }
    let mut mount = Mount::default();
    mount
        .set_destination(PathBuf::from(&wanted.container_path))
        .set_source(Some(PathBuf::from(&wanted.host_path)))
        .set_typ(Some(kind.to_owned()))
        .set_options(Some(options));
    let all = spec.mounts_mut().get_or_insert_default();
    all.retain(|other| other.destination() != mount.destination());
    all.push(mount);
}

fn add_hook(spec: &mut Spec, wanted: &CdiHook) {
    let hooks = spec.hooks_mut().get_or_insert_default();
    let with = |list: &Option<Vec<Hook>>| {
        let before = list.iter().flatten().cloned();
        Some(before.chain([wanted.hook.clone()]).collect::<Vec<Hook>>())
    };
    match wanted.hook_name.as_str() {
        "prestart" => hooks.set_prestart(with(hooks.prestart())),
        "createRuntime" => hooks.set_create_runtime(with(hooks.create_runtime())),
        "createContainer" => hooks.set_create_container(with(hooks.create_container())),
        "startContainer" => hooks.set_start_container(with(hooks.start_container())),
        "poststart" => hooks.set_poststart(with(hooks.poststart())),
        _ => hooks.set_poststop(with(hooks.poststop())),
    };
}
