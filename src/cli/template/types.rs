//! What JSON does not tell of Docker's types: maps and structs, lists and durations that are left out, Go's names of fields.

use serde_json::Value;

/// Fields that are maps in Docker's types: a key that is not there has no value, where a field that is not there is an
/// error.
pub(super) const MAPS: &[&str] = &[
    "Annotations",
    "Attributes",
    "Config.Labels",
    "DriverOpts",
    "ExposedPorts",
    "Label",
    "Labels",
    "Networks",
    "Options",
    "PortBindings",
    "Ports",
    "Runtimes",
    "StorageOpt",
    "Sysctls",
    "Tmpfs",
    "Volumes",
];

/// Fields that are lists in Docker's types: `null` is an empty one, and reads so.
pub(super) const LISTS: &[&str] = &[
    "Aliases",
    "Binds",
    "BlkioDeviceReadBps",
    "BlkioDeviceReadIOps",
    "BlkioDeviceWriteBps",
    "BlkioDeviceWriteIOps",
    "BlkioWeightDevice",
    "CapAdd",
    "CapDrop",
    "Cmd",
    "DNS",
    "DNSNames",
    "DNSOptions",
    "DNSSearch",
    "DeviceCgroupRules",
    "DeviceRequests",
    "Devices",
    "Dns",
    "DnsOptions",
    "DnsSearch",
    "Entrypoint",
    "Env",
    "ExecIDs",
    "ExtraHosts",
    "GroupAdd",
    "Links",
    "MaskedPaths",
    "OnBuild",
    "ReadonlyPaths",
    "SecondaryIPAddresses",
    "SecondaryIPv6Addresses",
    "SecurityOpt",
    "Shell",
    "Ulimits",
    "VolumesFrom",
];

/// Fields that are pointers in Docker's types.
const POINTERS: &[&str] = &[
    "IPAMConfig",
    "MemorySwappiness",
    "OomKillDisable",
    "PidsLimit",
];

/// Fields of Docker's types that JSON leaves out when they are empty, and what `%v` makes of that. They are below the
/// object that is inspected, never of it.
pub(super) const LEFT_OUT: &[(&str, &str)] = &[
    ("Annotations", EMPTY_MAP),
    ("AuxiliaryAddresses", EMPTY_MAP),
    ("ExposedPorts", EMPTY_MAP),
    ("Gateway", ""),
    ("Health", NIL),
    ("Healthcheck", NIL),
    ("IPRange", ""),
    ("Init", NIL),
    ("MacAddress", ""),
    ("Mounts", EMPTY_LIST),
    ("Shell", EMPTY_LIST),
    ("StopSignal", ""),
    ("StopTimeout", NIL),
    ("StorageOpt", EMPTY_MAP),
    ("Sysctls", EMPTY_MAP),
    ("Tmpfs", EMPTY_MAP),
];

/// The same of a container as a whole: what only `--size` counts.
pub(super) const LEFT_OUT_OF_CONTAINERS: &[&str] = &["SizeRootFs", "SizeRw"];

/// What Docker's types call fields otherwise than their JSON does.
pub(super) const GO_NAMES: &[(&str, &str)] = &[
    ("CPUCount", "CpuCount"),
    ("CPUPercent", "CpuPercent"),
    ("CPUPeriod", "CpuPeriod"),
    ("CPUQuota", "CpuQuota"),
    ("CPURealtimePeriod", "CpuRealtimePeriod"),
    ("CPURealtimeRuntime", "CpuRealtimeRuntime"),
    ("CPUShares", "CpuShares"),
    ("DNS", "Dns"),
    ("DNSOptions", "DnsOptions"),
    ("DNSSearch", "DnsSearch"),
    ("ID", "Id"),
    ("NanoCPUs", "NanoCpus"),
];

/// Fields of a mount that only volumes have.
pub(super) const OF_VOLUMES: &[&str] = &["Driver", "Name"];

/// Durations of Docker's types below these objects; one that is left out is none. Beside them a count is left out, too.
pub(super) const TIMED: &[&str] = &["Healthcheck"];
pub(super) const DURATIONS: &[&str] = &["Interval", "StartInterval", "StartPeriod", "Timeout"];

pub(super) const NIL: &str = "<nil>";
pub(super) const NO_VALUE: &str = "<no value>";
pub(super) const EMPTY_LIST: &str = "[]";
pub(super) const EMPTY_MAP: &str = "map[]";

/// A value at work.
#[derive(Debug, Clone)]
pub(super) struct Val {
    pub(super) value: Value,
    pub(super) is_map: bool,
    pub(super) is_root: bool,
    /// Its fields may be durations.
    pub(super) is_timed: bool,
    /// Nanoseconds, which read as Go writes durations.
    pub(super) is_duration: bool,
    /// What it reads as when it is `null`.
    pub(super) null: &'static str,
}

impl From<Value> for Val {
    fn from(value: Value) -> Self {
        Self {
            value,
            is_map: false,
            is_root: false,
            is_timed: false,
            is_duration: false,
            null: NO_VALUE,
        }
    }
}

/// What a field of Docker's types reads as when it is `null`.
pub(super) fn null_of(name: &str) -> &'static str {
    if LISTS.contains(&name) {
        EMPTY_LIST
    } else if MAPS.contains(&name) {
        EMPTY_MAP
    } else if POINTERS.contains(&name) {
        NIL
    } else {
        NO_VALUE
    }
}

pub(super) fn truth(value: &Val) -> bool {
    match &value.value {
        Value::Null => false,
        Value::Bool(is) => *is,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !value.is_map || !map.is_empty(),
    }
}
