//! What a container may do beyond the usual: devices, groups, limits of its processes, parameters of the kernel.

use std::collections::BTreeMap;
use std::fmt;

/// Rights that are given to a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Rights {
    /// Every capability, every device, nothing hidden.
    pub privileged: bool,
    /// Devices of the host.
    pub devices: Vec<Device>,
    /// What may be opened beside them.
    pub device_rules: Vec<DeviceRule>,
    /// Devices that somebody else describes (CDI).
    pub device_requests: Vec<DeviceRequest>,
    /// Supplementary groups, names or numbers.
    pub groups: Vec<String>,
    /// Limits of each process.
    pub ulimits: Vec<Ulimit>,
    /// Parameters of the kernel, by name.
    pub sysctls: BTreeMap<String, String>,
}

/// A device of the host, or a directory with devices (`--device`).
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Device {
    /// Absolute path on the host.
    pub host: String,
    /// Absolute path in the container.
    pub container: String,
    /// Of `r`, `w` and `m` (mknod).
    pub access: String,
}

/// Which devices may be opened (`--device-cgroup-rule`).
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DeviceRule {
    /// Which kind.
    pub kind: DeviceKind,
    /// Major number; all if `None`.
    pub major: Option<u32>,
    /// Minor number; all if `None`.
    pub minor: Option<u32>,
    /// Of `r`, `w` and `m` (mknod).
    pub access: String,
}

/// Kinds of devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceKind {
    /// All of them.
    All,
    /// Block devices.
    Block,
    /// Character devices.
    Character,
}

/// As the cgroup file of v1 takes it: `c 1:3 rwm`.
impl fmt::Display for DeviceRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            DeviceKind::All => 'a',
            DeviceKind::Block => 'b',
            DeviceKind::Character => 'c',
        };
        let number = |part: Option<u32>| part.map_or_else(|| "*".to_owned(), |n| n.to_string());
        let (major, minor) = (number(self.major), number(self.minor));
        write!(f, "{kind} {major}:{minor} {}", self.access)
    }
}

/// Devices that are described by somebody else: by name (`--device vendor.com/class=name`), or graphics processors
/// (`--gpus`).
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct DeviceRequest {
    /// `cdi` if they are qualified names; else who is to provide them.
    pub driver: String,
    /// How many, if none is named; -1 is all.
    pub count: i64,
    /// Names.
    pub ids: Vec<String>,
    /// What they are for.
    pub capabilities: Vec<String>,
    /// For the driver.
    pub options: BTreeMap<String, String>,
}

/// The driver of [`DeviceRequest`]s by qualified name.
pub const CDI: &str = "cdi";

/// A limit of each process (`--ulimit`, getrlimit(2)); -1 is none.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Ulimit {
    /// `nofile`.
    pub name: String,
    /// What counts.
    pub soft: i64,
    /// What it may be raised to.
    pub hard: i64,
}

/// The names of limits, as ulimit(1) of Docker has them.
pub const ULIMITS: &[&str] = &[
    "as",
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// Nothing of them can be read: moby's list. They tell of the host, or let its secrets be measured.
pub const MASKED: &[&str] = &[
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// They can be read but not written.
pub const READONLY: &[&str] = &[
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// Whether a text is a qualified name of a device: `vendor.com/class=name` (CDI specification, "Kind" and "Devices").
#[must_use]
pub fn is_qualified(text: &str) -> bool {
    let parts = text.split_once('=').and_then(|(kind, name)| {
        let (vendor, class) = kind.split_once('/')?;
        Some((vendor, class, name))
    });
    parts.is_some_and(|(vendor, class, name)| {
        let letter_first = |part: &str| part.starts_with(|c: char| c.is_ascii_alphabetic());
        let begins = name.starts_with(|c: char| c.is_ascii_alphanumeric());
        letter_first(vendor)
            && letter_first(class)
            && begins
            && is_made_of(vendor, "_-.")
            && is_made_of(class, "_-.")
            && is_made_of(name, "_-.:")
    })
}

/// Letters, digits and these; the last one is a letter or digit.
fn is_made_of(text: &str, others: &str) -> bool {
    text.ends_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || others.contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_qualified_name_has_a_vendor_a_class_and_a_name() {
        for name in [
            "vendor.com/class=name",
            "v/c=0",
            "nvidia.com/gpu=0:1",
            "a/b=c-d",
        ] {
            assert!(is_qualified(name), "{name}");
        }
        for text in [
            "",
            "/dev/null",
            "a/b",
            "a=b",
            "1/b=c",
            "a/b=",
            "a/b=c-",
            "a./b=c",
            "a/1=c",
            "/b=c",
            "/dev/a=b:/dev/c",
            "a/b=-c",
            "a/b/c=d",
        ] {
            assert!(!is_qualified(text), "{text}");
        }
    }
}
