//! From the specification's resources to control files and values, for both interfaces. Pure.

mod v1;
mod v2;

use std::borrow::Cow;
use std::fmt::Write as _;

pub(super) use v2::{swap_alone, weight_of_shares};

use oci_spec::runtime::{LinuxHugepageLimit, LinuxRdma, LinuxResources, LinuxThrottleDevice};

use super::Version;
use crate::engine::error::{Error, Result};

/// One value to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    /// The field of the specification that asks for it.
    pub field: Cow<'static, str>,
    /// Controller, as v1 calls it; not looked at on v2.
    pub controller: &'static str,
    /// Control file.
    pub file: Cow<'static, str>,
    /// What to write.
    pub value: String,
    /// What if this kernel has no such file.
    pub missing: Missing,
}

/// What to do where a control file is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Missing {
    /// The host cannot do what is asked for.
    Refuse,
    /// Nothing: what is asked for is so without it.
    Ignore,
    /// The same wish in another file's terms.
    Instead(&'static str, String),
    /// The specification has given the field up, and so has the kernel: say so in the log. Also if the kernel refuses.
    Warn,
}

impl Setting {
    fn new(
        field: &'static str,
        controller: &'static str,
        file: &'static str,
        value: impl ToString,
    ) -> Self {
        Self {
            field: Cow::Borrowed(field),
            controller,
            file: Cow::Borrowed(file),
            value: value.to_string(),
            missing: Missing::Refuse,
        }
    }

    fn if_missing(mut self, missing: Missing) -> Self {
        self.missing = missing;
        self
    }
}

/// What is to be written, in this order. A value that the kernel refuses may be taken after those behind it.
///
/// # Errors
/// A value that contradicts itself or that this interface does not have; the message begins with the field.
pub(super) fn list(version: Version, resources: &LinuxResources) -> Result<Vec<Setting>> {
    match version {
        Version::V1 => v1::list(resources),
        Version::V2 => v2::list(resources),
    }
}

/// `max` for what is below zero.
fn or_max(value: i64) -> String {
    if value < 0 {
        "max".to_owned()
    } else {
        value.to_string()
    }
}

/// The largest number of tasks, for both interfaces. Below zero is unlimited; zero, which systemd does not know, is one, as
/// in runc.
fn pids(resources: &LinuxResources, list: &mut Vec<Setting>) {
    if let Some(pids) = resources.pids() {
        let value = match pids.limit() {
            0 => "1".to_owned(),
            limit => or_max(limit),
        };
        list.push(Setting::new(
            "linux.resources.pids.limit",
            "pids",
            "pids.max",
            value,
        ));
    }
}

/// Huge pages in use, and reserved where the kernel counts them apart (since Linux 5.7).
fn hugepages(
    limits: &[LinuxHugepageLimit],
    suffix: &str,
    value: impl Fn(i64) -> String,
    list: &mut Vec<Setting>,
) -> Result<()> {
    const FIELD: &str = "linux.resources.hugepageLimits";
    for limit in limits {
        let size = limit.page_size();
        if !is_page_size(size) {
            return Err(Error::invalid(format!(
                "{FIELD}: {size:?} is not a page size, which looks like 2MB"
            )));
        }
        for (kind, missing) in [("", Missing::Refuse), (".rsvd", Missing::Ignore)] {
            list.push(Setting {
                field: Cow::Borrowed(FIELD),
                controller: "hugetlb",
                file: Cow::Owned(format!("hugetlb.{size}{kind}.{suffix}")),
                value: value(limit.limit()),
                missing,
            });
        }
    }
    Ok(())
}

/// As the kernel writes it (cgroup-v1/hugetlb.rst): it becomes a part of a file's name.
fn is_page_size(text: &str) -> bool {
    let number = text.trim_end_matches(|c: char| c.is_ascii_uppercase());
    let unit = text.get(number.len()..).unwrap_or_default();
    !number.is_empty()
        && number.bytes().all(|byte| byte.is_ascii_digit())
        && matches!(unit, "KB" | "MB" | "GB")
}

/// Handles and objects of RDMA devices, in one line for each device (cgroup-v1/rdma.rst; the same on v2).
fn rdma<'a>(
    devices: impl IntoIterator<Item = (&'a String, &'a LinuxRdma)>,
    list: &mut Vec<Setting>,
) -> Result<()> {
    const FIELD: &str = "linux.resources.rdma";
    let mut devices: Vec<_> = devices.into_iter().collect();
    devices.sort_unstable_by_key(|(name, _)| *name);
    for (name, limits) in devices {
        if !is_word(name) {
            return Err(Error::invalid(format!("{FIELD}: {name:?} is not a device")));
        }
        let mut line = name.clone();
        for (key, value) in [
            ("hca_handle", limits.hca_handles()),
            ("hca_object", limits.hca_objects()),
        ] {
            if let Some(value) = value {
                let _ = write!(line, " {key}={value}");
            }
        }
        if line != *name {
            list.push(Setting::new(FIELD, "rdma", "rdma.max", line));
        }
    }
    Ok(())
}

/// Something that can stand in a line of a control file.
fn is_word(text: &str) -> bool {
    !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}

/// The four throttles: field, v1's file, v2's key, devices.
type Throttle<'a> = (
    &'static str,
    &'static str,
    &'static str,
    &'a [LinuxThrottleDevice],
);

fn throttles(block: &oci_spec::runtime::LinuxBlockIo) -> [Throttle<'_>; 4] {
    [
        (
            "linux.resources.blockIO.throttleReadBpsDevice",
            "blkio.throttle.read_bps_device",
            "rbps",
            block
                .throttle_read_bps_device()
                .as_deref()
                .unwrap_or_default(),
        ),
        (
            "linux.resources.blockIO.throttleWriteBpsDevice",
            "blkio.throttle.write_bps_device",
            "wbps",
            block
                .throttle_write_bps_device()
                .as_deref()
                .unwrap_or_default(),
        ),
        (
            "linux.resources.blockIO.throttleReadIOPSDevice",
            "blkio.throttle.read_iops_device",
            "riops",
            block
                .throttle_read_iops_device()
                .as_deref()
                .unwrap_or_default(),
        ),
        (
            "linux.resources.blockIO.throttleWriteIOPSDevice",
            "blkio.throttle.write_iops_device",
            "wiops",
            block
                .throttle_write_iops_device()
                .as_deref()
                .unwrap_or_default(),
        ),
    ]
}

/// Whether a swap limit is the one that Docker, podman and we ourselves set beside a memory limit without being asked for
/// it: then a kernel that does not count swap need not be told.
fn is_customary_swap(limit: Option<i64>, swap: i64) -> bool {
    limit.is_some_and(|limit| limit.saturating_mul(2) == swap)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn resources(json: &str) -> LinuxResources {
        serde_json::from_str(json).unwrap()
    }

    /// `file=value` in order, or the error.
    pub(crate) fn written(version: Version, json: &str) -> Result<Vec<String>, String> {
        let list = list(version, &resources(json)).map_err(|error| error.to_string())?;
        Ok(list
            .iter()
            .map(|setting| format!("{}={}", setting.file, setting.value))
            .collect())
    }

    #[test]
    fn a_page_size_cannot_leave_its_file_name() {
        for size in ["2MB", "1GB", "64KB"] {
            assert!(is_page_size(size));
        }
        for size in [
            "", "MB", "2", "2mb", "../2MB", "2MB/x", "2 MB", "2TB", "2MBMB",
        ] {
            assert!(!is_page_size(size), "{size}");
        }
    }

    #[test]
    fn both_interfaces_set_pids_hugepages_and_rdma() {
        let json = r#"{"pids":{"limit":-1},"hugepageLimits":[{"pageSize":"2MB","limit":4}],
            "rdma":{"mlx5_1":{"hcaHandles":3,"hcaObjects":9},"a":{"hcaObjects":1},"b":{}}}"#;
        assert_eq!(
            written(Version::V1, json).unwrap(),
            [
                "pids.max=max",
                "hugetlb.2MB.limit_in_bytes=4",
                "hugetlb.2MB.rsvd.limit_in_bytes=4",
                "rdma.max=a hca_object=1",
                "rdma.max=mlx5_1 hca_handle=3 hca_object=9",
            ]
        );
        let v2 = written(Version::V2, json).unwrap();
        assert_eq!(v2.get(1).unwrap(), "hugetlb.2MB.max=4");
        assert_eq!(v2.get(2).unwrap(), "hugetlb.2MB.rsvd.max=4");
        let limit = |limit: i64| {
            let json = format!(r#"{{"pids":{{"limit":{limit}}}}}"#);
            written(Version::V2, &json).unwrap().concat()
        };
        assert_eq!(limit(0), "pids.max=1");
        assert_eq!(limit(7), "pids.max=7");
    }

    #[test]
    fn what_could_add_a_line_is_refused() {
        for json in [
            r#"{"rdma":{"a\nb":{"hcaObjects":1}}}"#,
            r#"{"hugepageLimits":[{"pageSize":"../../2MB","limit":4}]}"#,
        ] {
            for version in [Version::V1, Version::V2] {
                let error = written(version, json).unwrap_err();
                assert!(error.starts_with("linux.resources."), "{error}");
            }
        }
    }
}
