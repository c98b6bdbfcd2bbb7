//! A container's unit in systemd's terms (systemd.resource-control(5)). Pure.

use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxResources};

use super::super::place::Unit;
use super::super::{Version, devices, settings};
use super::wire::{Property, Value};
use crate::engine::error::{Error, Result};

/// `AllowedCPUs` and its like.
const SINCE_CPUSET: u32 = 244;
/// `CPUQuotaPeriodUSec`.
const SINCE_PERIOD: u32 = 242;
/// Devices by numbers whose nodes need not exist.
const SINCE_NUMBERS: u32 = 240;
/// A weight of zero is idle.
const SINCE_IDLE: u32 = 252;

/// What every container's unit is, whatever its limits.
pub(super) fn fixed(unit: &Unit, pid: i32, version: Version) -> Vec<Property> {
    let text = |text: &str| Value::Text(text.to_owned());
    let io = match version {
        Version::V1 => "BlockIOAccounting",
        Version::V2 => "IOAccounting",
    };
    let mut list = vec![(
        "Description",
        Value::Text(format!("wharf container {}", unit.name)),
    )];
    if unit.is_slice() {
        list.push(("Wants", Value::Texts(vec![unit.slice.clone()])));
    } else {
        list.push(("Slice", text(&unit.slice)));
        // What the container does below its group is its own affair.
        list.push(("Delegate", Value::Bool(true)));
        list.push(("PIDs", Value::Pids(vec![pid.cast_unsigned()])));
    }
    for accounting in ["MemoryAccounting", "CPUAccounting", io, "TasksAccounting"] {
        list.push((accounting, Value::Bool(true)));
    }
    // Forgotten when it has ended, however it did: a failed unit would stay until somebody resets it. Since systemd 236,
    // which is older than any kernel that we run on.
    list.push(("CollectMode", text("inactive-or-failed")));
    // Not ended before the file systems go, nor ordered after the basics: the container's creator sees to that.
    list.push(("DefaultDependencies", Value::Bool(false)));
    list
}

/// The limits that systemd has a name for; `systemd` is its version.
///
/// # Errors
/// A value that is none; the message begins with the field.
pub(super) fn limits(
    version: Version,
    systemd: u32,
    resources: &LinuxResources,
) -> Result<Vec<Property>> {
    let mut list = Vec::new();
    if let Some(rules) = resources
        .devices()
        .as_deref()
        .filter(|rules| !rules.is_empty())
    {
        list.extend(allowed(systemd, &devices::read(rules)?));
    }
    if let Some(memory) = resources.memory() {
        limits_of_memory(version, memory, &mut list)?;
    }
    if let Some(cpu) = resources.cpu() {
        time(version, systemd, cpu, &mut list)?;
    }
    if let Some(block) = resources.block_io() {
        weight(version, block, &mut list);
    }
    if let Some(pids) = resources.pids() {
        let tasks = match pids.limit() {
            0 => 1,
            limit => or_infinity(limit),
        };
        list.push(("TasksMax", Value::Number(tasks)));
    }
    for (file, value) in resources.unified().iter().flatten() {
        list.extend(unified(systemd, file, value.trim())?);
    }
    list.sort_by_key(|(name, _)| *name);
    Ok(list)
}

/// systemd's "infinity" is the largest number.
fn or_infinity(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

/// Nothing but what is listed. Without rules that systemd can say, everything: the group's own list is what counts.
fn allowed(systemd: u32, rules: &[devices::Rule]) -> Vec<Property> {
    let nothing = ("DeviceAllow", Value::Pairs(Vec::new()));
    let policy = |policy: &str| ("DevicePolicy", Value::Text(policy.to_owned()));
    let Some(devices) = devices::listed(rules) else {
        return vec![nothing, policy("auto")];
    };
    let pairs = devices.into_iter().filter_map(|(device, access)| {
        let (group, node) = match device.typ {
            devices::Type::Block => ("block", "/dev/block"),
            devices::Type::Char => ("char", "/dev/char"),
            devices::Type::All => return None,
        };
        let path = match (device.major, device.minor) {
            (None, None) => format!("{group}-*"),
            (Some(major), None) if systemd >= SINCE_NUMBERS => format!("{group}-{major}"),
            (Some(major), Some(minor)) if systemd >= SINCE_NUMBERS => {
                format!("{node}/{major}:{minor}")
            }
            // Said in the group's own list alone.
            (Some(_) | None, Some(_)) | (Some(_), None) => return None,
        };
        Some((path, access))
    });
    // An empty list first: it forgets what the unit had.
    vec![
        policy("strict"),
        nothing,
        ("DeviceAllow", Value::Pairs(pairs.collect())),
    ]
}

fn limits_of_memory(
    version: Version,
    memory: &LinuxMemory,
    list: &mut Vec<Property>,
) -> Result<()> {
    let set = |value: Option<i64>| value.filter(|value| *value != 0);
    let limit = set(memory.limit());
    match version {
        Version::V1 => {
            if let Some(limit) = limit {
                list.push(("MemoryLimit", Value::Number(or_infinity(limit))));
            }
        }
        Version::V2 => {
            if let Some(limit) = limit {
                list.push(("MemoryMax", Value::Number(or_infinity(limit))));
            }
            if let Some(low) = set(memory.reservation()) {
                list.push(("MemoryLow", Value::Number(or_infinity(low))));
            }
            if let Some(swap) = settings::swap_alone(limit, set(memory.swap()))? {
                list.push(("MemorySwapMax", Value::Number(or_infinity(swap))));
            }
        }
    }
    Ok(())
}

fn time(version: Version, systemd: u32, cpu: &LinuxCpu, list: &mut Vec<Property>) -> Result<()> {
    let shares = cpu.shares().filter(|shares| *shares != 0);
    let is_idle = cpu.idle() == Some(1) && systemd >= SINCE_IDLE;
    match (version, shares) {
        (Version::V2, _) if is_idle => list.push(("CPUWeight", Value::Number(0))),
        (Version::V1, Some(shares)) => list.push(("CPUShares", Value::Number(shares))),
        (Version::V2, Some(shares)) => {
            list.push((
                "CPUWeight",
                Value::Number(settings::weight_of_shares(shares)),
            ));
        }
        (_, None) => {}
    }
    let quota = cpu.quota().filter(|quota| *quota != 0);
    let period = cpu.period().filter(|period| *period != 0);
    list.extend(quota_of(systemd, quota, period));
    for (field, name, cpus) in [
        ("linux.resources.cpu.cpus", "AllowedCPUs", cpu.cpus()),
        ("linux.resources.cpu.mems", "AllowedMemoryNodes", cpu.mems()),
    ] {
        if let Some(cpus) = cpus
            .as_ref()
            .filter(|cpus| !cpus.is_empty() && version == Version::V2)
        {
            let bits = bits(cpus)
                .ok_or_else(|| Error::invalid(format!("{field}: {cpus:?} is no list")))?;
            if systemd >= SINCE_CPUSET {
                list.push((name, Value::Bytes(bits)));
            }
        }
    }
    Ok(())
}

/// Time per second, which systemd keeps in steps of ten milliseconds: rounded up, so that it is never less than asked for.
fn quota_of(systemd: u32, quota: Option<i64>, period: Option<u64>) -> Vec<Property> {
    const STEP: u64 = 10_000;
    let mut list = Vec::new();
    if let Some(period) = period.filter(|_| systemd >= SINCE_PERIOD) {
        list.push(("CPUQuotaPeriodUSec", Value::Number(period)));
    }
    if quota.is_some() || period.is_some() {
        let period = period.unwrap_or(100_000);
        let per_second = match quota.and_then(|quota| u64::try_from(quota).ok()) {
            None => u64::MAX,
            Some(quota) => quota
                .saturating_mul(1_000_000)
                .div_euclid(period)
                .div_ceil(STEP)
                .saturating_mul(STEP),
        };
        list.push(("CPUQuotaPerSecUSec", Value::Number(per_second)));
    }
    list
}

fn weight(version: Version, block: &LinuxBlockIo, list: &mut Vec<Property>) {
    if let (Version::V1, Some(weight)) = (version, block.weight().filter(|weight| *weight != 0)) {
        list.push(("BlockIOWeight", Value::Number(weight.into())));
    }
}

/// Files of v2 that have a property too, so that systemd does not write its own value over ours.
fn unified(systemd: u32, file: &str, value: &str) -> Result<Vec<Property>> {
    let wrong = || {
        Error::invalid(format!(
            "linux.resources.unified.{file}: {value:?} is no value of it"
        ))
    };
    let number = |value: &str| match value {
        "max" => Ok(u64::MAX),
        value => value.parse().ok().ok_or_else(wrong),
    };
    let limit = |name| Ok(vec![(name, Value::Number(number(value)?))]);
    let set = |name| match bits(value) {
        Some(bits) if systemd >= SINCE_CPUSET => Ok(vec![(name, Value::Bytes(bits))]),
        Some(_) => Ok(Vec::new()),
        None => Err(wrong()),
    };
    match file {
        "cpu.weight" => limit("CPUWeight"),
        "cpu.max" => {
            let mut words = value.split_whitespace();
            let quota = match words.next().ok_or_else(wrong)? {
                "max" => None,
                word => Some(word.parse().ok().ok_or_else(wrong)?),
            };
            let period = words
                .next()
                .map_or(Ok(100_000), |word| word.parse().ok().ok_or_else(wrong))?;
            if period == 0 || words.next().is_some() {
                return Err(wrong());
            }
            Ok(quota_of(systemd, quota, Some(period)))
        }
        "cpuset.cpus" => set("AllowedCPUs"),
        "cpuset.mems" => set("AllowedMemoryNodes"),
        "memory.high" => limit("MemoryHigh"),
        "memory.low" => limit("MemoryLow"),
        "memory.min" => limit("MemoryMin"),
        "memory.max" => limit("MemoryMax"),
        "memory.swap.max" => limit("MemorySwapMax"),
        "pids.max" => match number(value)? {
            0 => Ok(vec![("TasksMax", Value::Number(1))]),
            tasks => Ok(vec![("TasksMax", Value::Number(tasks))]),
        },
        _ => Ok(Vec::new()),
    }
}

/// `0-2,7` as bits, the lowest first. `None` for what is no list, or empty.
fn bits(list: &str) -> Option<Vec<u8>> {
    /// More than any kernel has processors.
    const MOST: usize = 1 << 16;
    let mut bits = Vec::new();
    for range in list
        .split(',')
        .map(str::trim)
        .filter(|range| !range.is_empty())
    {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        if first > last || last >= MOST {
            return None;
        }
        if bits.len() <= last / 8 {
            bits.resize(last / 8 + 1, 0);
        }
        for bit in first..=last {
            if let Some(byte) = bits.get_mut(bit / 8) {
                *byte |= 1u8 << (bit % 8);
            }
        }
    }
    (!bits.is_empty()).then_some(bits)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::super::settings::tests::resources;
    use super::*;

    fn shown(version: Version, systemd: u32, json: &str) -> Result<Vec<String>, String> {
        let list = limits(version, systemd, &resources(json)).map_err(|error| error.to_string())?;
        let show = |(name, value): (&str, Value)| match value {
            Value::Number(u64::MAX) => format!("{name}=infinity"),
            Value::Number(value) => format!("{name}={value}"),
            Value::Bytes(bytes) => format!("{name}={bytes:?}"),
            Value::Text(text) => format!("{name}={text}"),
            Value::Pairs(pairs) => format!("{name}={pairs:?}"),
            other => format!("{name}={other:?}"),
        };
        Ok(list.into_iter().map(show).collect())
    }

    fn check(version: Version, json: &str, expected: &[&str]) {
        assert_eq!(shown(version, 252, json).unwrap(), expected, "{json}");
    }

    #[test]
    fn limits_have_their_names_on_v2() {
        check(
            Version::V2,
            r#"{"memory":{"limit":64,"swap":100,"reservation":9},"pids":{"limit":-1},
                "cpu":{"shares":1024,"quota":15000,"period":100000,"cpus":"0,9","mems":"0"}}"#,
            &[
                "AllowedCPUs=[1, 2]",
                "AllowedMemoryNodes=[1]",
                "CPUQuotaPerSecUSec=150000",
                "CPUQuotaPeriodUSec=100000",
                "CPUWeight=100",
                "MemoryLow=9",
                "MemoryMax=64",
                "MemorySwapMax=36",
                "TasksMax=infinity",
            ],
        );
        check(
            Version::V2,
            r#"{"cpu":{"idle":1,"shares":5}}"#,
            &["CPUWeight=0"],
        );
        check(
            Version::V2,
            r#"{"cpu":{"quota":-1}}"#,
            &["CPUQuotaPerSecUSec=infinity"],
        );
        check(
            Version::V2,
            r#"{"cpu":{"quota":1}}"#,
            &["CPUQuotaPerSecUSec=10000"],
        );
    }

    #[test]
    fn limits_have_their_names_on_v1() {
        check(
            Version::V1,
            r#"{"memory":{"limit":64,"swap":100},"pids":{"limit":0},"cpu":{"shares":5,"cpus":"0"},"blockIO":{"weight":7}}"#,
            &[
                "BlockIOWeight=7",
                "CPUShares=5",
                "MemoryLimit=64",
                "TasksMax=1",
            ],
        );
    }

    #[test]
    fn an_old_systemd_is_not_told_what_it_does_not_know() {
        let json = r#"{"cpu":{"quota":15000,"period":100000,"cpus":"0"}}"#;
        assert_eq!(
            shown(Version::V2, 239, json).unwrap(),
            ["CPUQuotaPerSecUSec=150000"]
        );
    }

    #[test]
    fn named_files_become_properties() {
        check(
            Version::V2,
            r#"{"unified":{"cpu.max":"50000 100000","memory.high":"max","pids.max":"7","cpuset.cpus":"1-2","misc.max":"x"}}"#,
            &[
                "AllowedCPUs=[6]",
                "CPUQuotaPerSecUSec=500000",
                "CPUQuotaPeriodUSec=100000",
                "MemoryHigh=infinity",
                "TasksMax=7",
            ],
        );
        for wrong in [
            ("cpu.max", "5 0"),
            ("cpu.max", "x"),
            ("cpu.max", "1 2 3"),
            ("pids.max", ""),
            ("cpuset.cpus", "b"),
        ] {
            let json = format!(r#"{{"unified":{{"{}":"{}"}}}}"#, wrong.0, wrong.1);
            let error = shown(Version::V2, 252, &json).unwrap_err();
            assert!(error.starts_with("linux.resources.unified."), "{error}");
        }
    }

    #[test]
    fn devices_are_listed_and_all_else_is_denied() {
        check(
            Version::V2,
            r#"{"devices":[{"allow":false},{"allow":true,"type":"c","major":1,"minor":3,"access":"rw"},
                {"allow":true,"type":"b","access":"m"},{"allow":true,"type":"c","major":136}]}"#,
            &[
                "DeviceAllow=[]",
                r#"DeviceAllow=[("block-*", "m"), ("/dev/char/1:3", "rw"), ("char-136", "rwm")]"#,
                "DevicePolicy=strict",
            ],
        );
        check(
            Version::V2,
            r#"{"devices":[{"allow":true}]}"#,
            &["DeviceAllow=[]", "DevicePolicy=auto"],
        );
    }

    #[test]
    fn a_scope_is_made_with_its_process() {
        let unit = |name: &str| Unit {
            slice: "a.slice".to_owned(),
            name: name.to_owned(),
        };
        let scope = fixed(&unit("x.scope"), 7, Version::V2);
        assert!(scope.contains(&("PIDs", Value::Pids(vec![7]))));
        assert!(scope.contains(&("Delegate", Value::Bool(true))));
        assert!(scope.contains(&("Slice", Value::Text("a.slice".to_owned()))));
        let slice = fixed(&unit("x.slice"), 7, Version::V2);
        assert!(
            !slice
                .iter()
                .any(|(name, _)| *name == "PIDs" || *name == "Slice")
        );
    }

    proptest! {
        #[test]
        fn any_list_is_read_without_a_panic(text in "[0-9,-]{0,16}") {
            let _ = bits(&text);
        }
    }
}
