//! The part of `inspect` about devices, rights and what the host keeps, in the shape of Docker's `HostConfig`.

use serde_json::{Map, Value, json};

use crate::engine::model::HostConfig;
use crate::engine::model::container::DeviceRate;
use crate::engine::model::rights::{CDI, DeviceRequest, MASKED, READONLY};

/// Puts the fields into `HostConfig`.
pub fn fill(object: &mut Map<String, Value>, host: &HostConfig) {
    let rights = &host.rights;
    let devices: Vec<Value> = rights
        .devices
        .iter()
        .map(|device| {
            json!({
                "PathOnHost": device.host,
                "PathInContainer": device.container,
                "CgroupPermissions": device.access,
            })
        })
        .collect();
    let rules: Vec<String> = rights
        .device_rules
        .iter()
        .map(ToString::to_string)
        .collect();
    let requests: Vec<Value> = rights.device_requests.iter().map(request).collect();
    let limits: Vec<Value> = rights
        .ulimits
        .iter()
        .map(|limit| json!({ "Name": limit.name, "Hard": limit.hard, "Soft": limit.soft }))
        .collect();
    let paths = |list: &[&str]| match (host.security.open_paths, rights.privileged) {
        (true, _) => json!([]),
        (false, true) => Value::Null,
        (false, false) => json!(list),
    };
    object.insert("Devices".to_owned(), json!(devices));
    object.insert("DeviceCgroupRules".to_owned(), or_null(rules));
    object.insert("DeviceRequests".to_owned(), or_null(requests));
    object.insert("Ulimits".to_owned(), json!(limits));
    object.insert("MaskedPaths".to_owned(), paths(MASKED));
    object.insert("ReadonlyPaths".to_owned(), paths(READONLY));
    let limits = &host.resources.devices;
    let weights = limits.weights.iter();
    let weights: Vec<Value> = weights
        .map(|device| json!({ "Path": device.path, "Weight": device.weight }))
        .collect();
    object.insert("CgroupParent".to_owned(), json!(host.keeping.cgroup_parent));
    object.insert("BlkioWeightDevice".to_owned(), json!(weights));
    object.insert("BlkioDeviceReadBps".to_owned(), rates(&limits.read_bytes));
    object.insert("BlkioDeviceWriteBps".to_owned(), rates(&limits.write_bytes));
    object.insert("BlkioDeviceReadIOps".to_owned(), rates(&limits.read_ios));
    object.insert("BlkioDeviceWriteIOps".to_owned(), rates(&limits.write_ios));
    let swappiness = host.resources.memory_swappiness;
    object.insert("MemorySwappiness".to_owned(), json!(swappiness));
    if let Some(init) = host.keeping.init {
        object.insert("Init".to_owned(), json!(init));
    }
    if !host.keeping.annotations.is_empty() {
        let annotations = json!(host.keeping.annotations);
        object.insert("Annotations".to_owned(), annotations);
    }
    if !rights.sysctls.is_empty() {
        object.insert("Sysctls".to_owned(), json!(rights.sysctls));
    }
}

fn request(request: &DeviceRequest) -> Value {
    let by_name = request.driver == CDI;
    json!({
        "Driver": request.driver,
        "Count": request.count,
        "DeviceIDs": or_null(request.ids.clone()),
        "Capabilities": if by_name { Value::Null } else { json!([request.capabilities]) },
        "Options": if by_name { Value::Null } else { json!(request.options) },
    })
}

fn rates(list: &[DeviceRate]) -> Value {
    let rate = |device: &DeviceRate| json!({ "Path": device.path, "Rate": device.rate });
    list.iter().map(rate).collect()
}

fn or_null<T: Into<Value>>(list: Vec<T>) -> Value {
    if list.is_empty() {
        Value::Null
    } else {
        list.into()
    }
}
