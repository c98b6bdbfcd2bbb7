//! A file that describes devices, as JSON or YAML (CDI specification, "CDI JSON Specification").

use std::collections::HashMap;

use oci_spec::runtime::{Hook, LinuxIntelRdt};
use serde::Deserialize;

use crate::engine::model::rights::is_qualified;
use crate::engine::model::yaml;

/// Versions of the format.
const VERSIONS: &[&str] = &[
    "0.1.0", "0.2.0", "0.3.0", "0.4.0", "0.5.0", "0.6.0", "0.7.0", "0.8.0", "1.0.0", "1.1.0",
];

/// One file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Document {
    cdi_version: String,
    /// `vendor.com/class`.
    pub(super) kind: String,
    #[serde(default, rename = "annotations")]
    _annotations: HashMap<String, String>,
    #[serde(default)]
    pub(super) devices: Vec<Described>,
    /// What comes with each of them.
    #[serde(default)]
    pub(super) container_edits: Edits,
}

/// A device.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Described {
    pub(super) name: String,
    #[serde(default, rename = "annotations")]
    _annotations: HashMap<String, String>,
    #[serde(default)]
    pub(super) container_edits: Edits,
}

/// What a container gets.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Edits {
    pub(super) env: Vec<String>,
    pub(super) device_nodes: Vec<DeviceNode>,
    pub(super) net_devices: Vec<NetDevice>,
    pub(super) mounts: Vec<CdiMount>,
    pub(super) hooks: Vec<CdiHook>,
    pub(super) intel_rdt: Option<LinuxIntelRdt>,
    #[serde(rename = "additionalGids")]
    pub(super) additional_gids: Vec<u32>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct DeviceNode {
    pub(super) path: String,
    pub(super) host_path: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) major: Option<i64>,
    pub(super) minor: Option<i64>,
    pub(super) file_mode: Option<u32>,
    pub(super) permissions: String,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct NetDevice {
    pub(super) host_interface_name: String,
    pub(super) name: String,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct CdiMount {
    pub(super) host_path: String,
    pub(super) container_path: String,
    #[serde(default)]
    pub(super) options: Vec<String>,
    #[serde(default, rename = "type")]
    pub(super) kind: String,
}

/// A hook, and when it runs.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CdiHook {
    pub(super) hook_name: String,
    #[serde(flatten)]
    pub(super) hook: Hook,
}

/// Reads a file; `is_yaml` by its name. JSON is YAML, too, but its own reader says better what is wrong.
///
/// # Errors
/// Why it is none, as one line.
pub(super) fn parse(content: &[u8], is_yaml: bool) -> Result<Document, String> {
    let document: Document = if is_yaml {
        let text = std::str::from_utf8(content).map_err(|error| error.to_string())?;
        serde_json::from_value(yaml::to_json(text)?).map_err(|error| error.to_string())?
    } else {
        serde_json::from_slice(content).map_err(|error| error.to_string())?
    };
    check(&document)?;
    Ok(document)
}

fn check(document: &Document) -> Result<(), String> {
    let version = document.cdi_version.trim_start_matches('v');
    if !VERSIONS.contains(&version) {
        return Err(format!("cdiVersion {version:?} is not known"));
    }
    if document.devices.is_empty() {
        return Err("it describes no device".to_owned());
    }
    for (number, device) in document.devices.iter().enumerate() {
        let name = format!("{}={}", document.kind, device.name);
        if !is_qualified(&name) {
            return Err(format!("{name:?} is no name of a device"));
        }
        let same = |other: &Described| other.name == device.name;
        if document.devices.iter().take(number).any(same) {
            return Err(format!("{name} is there twice"));
        }
        device.container_edits.check()?;
    }
    document.container_edits.check()
}

impl Edits {
    fn check(&self) -> Result<(), String> {
        for entry in &self.env {
            if !entry.contains('=') || entry.starts_with('=') {
                return Err(format!("env: {entry:?} is no NAME=value"));
            }
        }
        for node in &self.device_nodes {
            let path = &node.path;
            if path.is_empty() {
                return Err("deviceNodes: a device without a path".to_owned());
            }
            if !matches!(node.kind.as_str(), "" | "b" | "c" | "u" | "p") {
                return Err(format!("deviceNodes: {path}: type {:?} is none", node.kind));
            }
            if !node.permissions.chars().all(|c| "rwm".contains(c)) {
                let text = &node.permissions;
                return Err(format!(
                    "deviceNodes: {path}: permissions {text:?} are none"
                ));
            }
        }
        for hook in &self.hooks {
            let name = &hook.hook_name;
            if !HOOKS.contains(&name.as_str()) {
                return Err(format!("hooks: there is no hookName {name:?}"));
            }
            if !hook.hook.path().is_absolute() {
                return Err(format!("hooks: the path of a {name} hook is not absolute"));
            }
        }
        let blank =
            |mount: &CdiMount| mount.host_path.is_empty() || mount.container_path.is_empty();
        if self.mounts.iter().any(blank) {
            return Err("mounts: hostPath and containerPath are needed".to_owned());
        }
        Ok(())
    }
}

/// Kinds of hooks (runtime-spec, "POSIX-platform Hooks").
const HOOKS: &[&str] = &[
    "prestart",
    "createRuntime",
    "createContainer",
    "startContainer",
    "poststart",
    "poststop",
];
