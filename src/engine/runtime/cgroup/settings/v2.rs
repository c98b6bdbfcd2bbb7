//! The settings of v2 (cgroup-v2.rst), and how values of v1, in which the specification thinks, become those of v2.

use std::borrow::Cow;
use std::collections::HashMap;

use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxResources};

use super::{Missing, Setting, hugepages, is_customary_swap, or_max, pids, rdma, throttles};
use crate::engine::error::{Error, Result};

pub(super) fn list(resources: &LinuxResources) -> Result<Vec<Setting>> {
    let mut list = Vec::new();
    pids(resources, &mut list);
    if let Some(memory) = resources.memory() {
        limits_of_memory(memory, &mut list)?;
    }
    if let Some(block) = resources.block_io() {
        block_io(block, &mut list)?;
    }
    if let Some(cpu) = resources.cpu() {
        time(cpu, &mut list)?;
        cpuset(cpu, &mut list);
    }
    let pages = resources.hugepage_limits().as_deref().unwrap_or_default();
    hugepages(pages, "max", or_max, &mut list)?;
    rdma(resources.rdma().iter().flatten(), &mut list)?;
    if let Some(network) = resources.network() {
        let set = [
            (
                "classID",
                network.class_id().is_some_and(|class| class != 0),
            ),
            (
                "priorities",
                network
                    .priorities()
                    .as_ref()
                    .is_some_and(|list| !list.is_empty()),
            ),
        ];
        if let Some((name, _)) = set.iter().find(|(_, is_set)| *is_set) {
            return Err(not_here(&format!("linux.resources.network.{name}")));
        }
    }
    if let Some(map) = resources.unified() {
        unified(map, &mut list)?;
    }
    Ok(list)
}

fn not_here(field: &str) -> Error {
    Error::unsupported(format!(
        "{field}: this host has cgroup v2, which cannot do that"
    ))
}

/// v2 has no such thing, and has it the way that is asked for or has given it up: as in runc, no reason to fail.
fn given_up(field: &'static str) {
    tracing::warn!("{field}: this host has cgroup v2, which has no such setting");
}

fn limits_of_memory(memory: &LinuxMemory, list: &mut Vec<Setting>) -> Result<()> {
    let set = |value: Option<i64>| value.filter(|value| *value != 0);
    let (limit, swap) = (set(memory.limit()), set(memory.swap()));
    if let Some(value) = swap_alone(limit, swap)? {
        // Without swap accounting there is nothing to limit.
        let harmless = value <= 0 || swap.is_some_and(|swap| is_customary_swap(limit, swap));
        let missing = if harmless {
            Missing::Ignore
        } else {
            Missing::Refuse
        };
        list.push(
            Setting::new(
                "linux.resources.memory.swap",
                "memory",
                "memory.swap.max",
                or_max(value),
            )
            .if_missing(missing),
        );
    }
    if let Some(limit) = limit {
        list.push(Setting::new(
            "linux.resources.memory.limit",
            "memory",
            "memory.max",
            or_max(limit),
        ));
    }
    if let Some(reservation) = set(memory.reservation()) {
        list.push(Setting::new(
            "linux.resources.memory.reservation",
            "memory",
            "memory.low",
            or_max(reservation),
        ));
    }
    for (field, is_set) in [
        ("linux.resources.memory.kernel", memory.kernel().is_some()),
        (
            "linux.resources.memory.kernelTCP",
            memory.kernel_tcp().is_some(),
        ),
        (
            "linux.resources.memory.swappiness",
            memory.swappiness().is_some(),
        ),
        (
            "linux.resources.memory.disableOOMKiller",
            memory.disable_oom_killer() == Some(true),
        ),
        (
            "linux.resources.memory.useHierarchy",
            memory.use_hierarchy() == Some(false),
        ),
    ] {
        if is_set {
            given_up(field);
        }
    }
    Ok(())
}

/// v1 limits memory and swap together, v2 swap alone: the difference. Below zero is unlimited.
pub(in super::super) fn swap_alone(limit: Option<i64>, swap: Option<i64>) -> Result<Option<i64>> {
    const FIELD: &str = "linux.resources.memory.swap";
    match (limit, swap) {
        // As on v1: unlimited memory is unlimited with swap too, unless that has its own limit.
        (Some(-1), None) | (_, Some(-1)) => Ok(Some(-1)),
        (_, None) => Ok(None),
        (Some(-1), Some(swap)) => Ok(Some(swap)),
        (None, Some(_)) => Err(Error::invalid(format!(
            "{FIELD}: it includes memory, and linux.resources.memory.limit is not set"
        ))),
        (Some(limit), _) if limit < 0 => Err(Error::invalid(format!(
            "linux.resources.memory.limit: {limit} is no limit"
        ))),
        (Some(limit), Some(swap)) if swap < limit => Err(Error::invalid(format!(
            "{FIELD}: {swap} includes memory, and is less than its limit, {limit}"
        ))),
        (Some(limit), Some(swap)) => Ok(Some(swap - limit)),
    }
}

fn time(cpu: &LinuxCpu, list: &mut Vec<Setting>) -> Result<()> {
    for (name, is_set) in [
        (
            "realtimeRuntime",
            cpu.realtime_runtime().is_some_and(|n| n != 0),
        ),
        (
            "realtimePeriod",
            cpu.realtime_period().is_some_and(|n| n != 0),
        ),
    ] {
        if is_set {
            return Err(not_here(&format!("linux.resources.cpu.{name}")));
        }
    }
    let mut push = |field, file, value: String| {
        list.push(Setting::new(field, "cpu", file, value));
    };
    if let Some(idle) = cpu.idle() {
        push("linux.resources.cpu.idle", "cpu.idle", idle.to_string());
    }
    if let Some(shares) = cpu.shares().filter(|shares| *shares != 0) {
        push(
            "linux.resources.cpu.shares",
            "cpu.weight",
            weight_of_shares(shares).to_string(),
        );
    }
    if let Some(burst) = cpu.burst() {
        // One that is too large for the old quota is tried again behind the new one.
        push(
            "linux.resources.cpu.burst",
            "cpu.max.burst",
            burst.to_string(),
        );
    }
    let quota = cpu.quota().filter(|quota| *quota != 0);
    let period = cpu.period().filter(|period| *period != 0);
    let amount = quota.map_or_else(|| "max".to_owned(), or_max);
    match (quota, period) {
        (None, None) => {}
        // Without a period the kernel keeps the one that it has: 100 ms in a new group.
        (Some(_), None) => push("linux.resources.cpu.quota", "cpu.max", amount),
        (_, Some(period)) => push(
            "linux.resources.cpu.quota",
            "cpu.max",
            format!("{amount} {period}"),
        ),
    }
    Ok(())
}

/// Shares (2 to 262144, usually 1024) become weights (1 to 10000, usually 100) so that both ends and the usual value meet:
/// a parabola over the logarithms, the same as in runc 1.3.2 and crun 1.23.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the values are clamped to ranges that f64 holds exactly"
)]
pub(in super::super) fn weight_of_shares(shares: u64) -> u64 {
    match shares {
        0..=2 => 1,
        262_144.. => 10_000,
        shares => {
            let log = (shares as f64).log2();
            let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
            10f64.powf(exponent).ceil() as u64
        }
    }
}

fn cpuset(cpu: &LinuxCpu, list: &mut Vec<Setting>) {
    for (field, file, value) in [
        ("linux.resources.cpu.cpus", "cpuset.cpus", cpu.cpus()),
        ("linux.resources.cpu.mems", "cpuset.mems", cpu.mems()),
    ] {
        if let Some(value) = value.as_ref().filter(|text| !text.is_empty()) {
            list.push(Setting::new(field, "cpuset", file, value));
        }
    }
}

fn block_io(block: &LinuxBlockIo, list: &mut Vec<Setting>) -> Result<()> {
    let mut push = |field, file, value: String, missing| {
        list.push(Setting::new(field, "blkio", file, value).if_missing(missing));
    };
    let set = |weight: Option<u16>| weight.filter(|weight| *weight != 0);
    if set(block.leaf_weight()).is_some() {
        return Err(not_here("linux.resources.blockIO.leafWeight"));
    }
    if let Some(weight) = set(block.weight()) {
        let instead = Missing::Instead("io.weight", format!("default {}", io_weight(weight)));
        push(
            "linux.resources.blockIO.weight",
            "io.bfq.weight",
            weight.to_string(),
            instead,
        );
    }
    for device in block.weight_device().iter().flatten() {
        const FIELD: &str = "linux.resources.blockIO.weightDevice";
        if set(device.leaf_weight()).is_some() {
            return Err(not_here(FIELD));
        }
        if let Some(weight) = set(device.weight()) {
            let line = |weight: u64| format!("{}:{} {weight}", device.major(), device.minor());
            let instead = Missing::Instead("io.weight", line(io_weight(weight)));
            push(FIELD, "io.bfq.weight", line(weight.into()), instead);
        }
    }
    for (field, _, key, devices) in throttles(block) {
        for device in devices {
            // Zero is v1's word for "not any more".
            let rate = match device.rate() {
                0 => "max".to_owned(),
                rate => rate.to_string(),
            };
            let line = format!("{}:{} {key}={rate}", device.major(), device.minor());
            push(field, "io.max", line, Missing::Refuse);
        }
    }
    Ok(())
}

/// BFQ's 10 to 1000 become 1 to 10000, as in runc.
fn io_weight(weight: u16) -> u64 {
    1 + (u64::from(weight.clamp(10, 1000)) - 10) * 9999 / 990
}

/// Files that are named outright, in order of their names; one write for each line.
fn unified(map: &HashMap<String, String>, list: &mut Vec<Setting>) -> Result<()> {
    let mut map: Vec<_> = map.iter().collect();
    map.sort_unstable();
    for (file, value) in map {
        let field = format!("linux.resources.unified.{file}");
        let is_name = file
            .split_once('.')
            .is_some_and(|(controller, parameter)| !controller.is_empty() && !parameter.is_empty());
        if !is_name || file.contains(['/', '\0']) {
            return Err(Error::invalid(format!(
                "linux.resources.unified: {file:?} is not of the form controller.parameter"
            )));
        }
        let lines: Vec<&str> = value.lines().collect();
        let lines = if lines.is_empty() { vec![""] } else { lines };
        for line in lines {
            list.push(Setting {
                field: Cow::Owned(field.clone()),
                controller: "unified",
                file: Cow::Owned(file.clone()),
                value: line.to_owned(),
                missing: Missing::Refuse,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::super::Version;
    use super::super::tests::written;
    use super::*;

    fn check(json: &str, expected: &[&str]) {
        assert_eq!(written(Version::V2, json).unwrap(), expected, "{json}");
    }

    fn refused(json: &str, field: &str) {
        let error = written(Version::V2, json).unwrap_err();
        assert!(
            error.starts_with(&format!("linux.resources.{field}: ")),
            "{error}"
        );
    }

    #[test]
    fn swap_is_counted_alone() {
        let memory = |fields: &str, expected: &[&str]| {
            check(&format!(r#"{{"memory":{{{fields}}}}}"#), expected);
        };
        memory(
            r#""limit":64,"swap":100"#,
            &["memory.swap.max=36", "memory.max=64"],
        );
        memory(
            r#""limit":64,"swap":64"#,
            &["memory.swap.max=0", "memory.max=64"],
        );
        memory(
            r#""limit":64,"swap":-1"#,
            &["memory.swap.max=max", "memory.max=64"],
        );
        memory(r#""limit":-1"#, &["memory.swap.max=max", "memory.max=max"]);
        memory(
            r#""limit":-1,"swap":5"#,
            &["memory.swap.max=5", "memory.max=max"],
        );
        memory(r#""limit":64"#, &["memory.max=64"]);
        memory(r#""swap":-1"#, &["memory.swap.max=max"]);
        memory(r#""limit":0,"swap":0,"reservation":0"#, &[]);
        memory(r#""reservation":32"#, &["memory.low=32"]);
        memory(r#""reservation":-1"#, &["memory.low=max"]);
        refused(r#"{"memory":{"swap":5}}"#, "memory.swap");
        refused(r#"{"memory":{"limit":6,"swap":5}}"#, "memory.swap");
        refused(r#"{"memory":{"limit":-2,"swap":5}}"#, "memory.limit");
    }

    #[test]
    fn what_v2_has_given_up_is_no_reason_to_fail() {
        check(
            r#"{"memory":{"kernel":1,"kernelTCP":1,"swappiness":5,"disableOOMKiller":true,"useHierarchy":false}}"#,
            &[],
        );
    }

    #[test]
    fn shares_become_weights_as_in_runc_and_crun() {
        for (shares, weight) in [
            (1, 1),
            (2, 1),
            (3, 2),
            (4, 2),
            (8, 3),
            (16, 5),
            (256, 35),
            (512, 59),
            (1000, 99),
            (1024, 100),
            (2048, 174),
            (102_400, 4429),
            (262_143, 10_000),
            (262_144, 10_000),
            (u64::MAX, 10_000),
        ] {
            assert_eq!(weight_of_shares(shares), weight, "{shares} shares");
        }
    }

    #[test]
    fn cpu() {
        let cpu = |fields: &str, expected: &[&str]| {
            check(&format!(r#"{{"cpu":{{{fields}}}}}"#), expected);
        };
        cpu(
            r#""shares":1024,"quota":50000,"period":20000,"burst":9,"idle":0,"cpus":"0,2","mems":"1""#,
            &[
                "cpu.idle=0",
                "cpu.weight=100",
                "cpu.max.burst=9",
                "cpu.max=50000 20000",
                "cpuset.cpus=0,2",
                "cpuset.mems=1",
            ],
        );
        cpu(r#""quota":50000"#, &["cpu.max=50000"]);
        cpu(r#""quota":-1"#, &["cpu.max=max"]);
        cpu(r#""period":20000"#, &["cpu.max=max 20000"]);
        cpu(
            r#""quota":0,"period":0,"shares":0,"cpus":"","realtimePeriod":0"#,
            &[],
        );
        refused(r#"{"cpu":{"realtimePeriod":1}}"#, "cpu.realtimePeriod");
        refused(r#"{"cpu":{"realtimeRuntime":1}}"#, "cpu.realtimeRuntime");
    }

    #[test]
    fn block_devices() {
        check(
            r#"{"blockIO":{"weight":500,"weightDevice":[{"major":8,"minor":0,"weight":10}],
                "throttleReadBpsDevice":[{"major":8,"minor":0,"rate":1}],
                "throttleWriteIOPSDevice":[{"major":8,"minor":16,"rate":0}]}}"#,
            &[
                "io.bfq.weight=500",
                "io.bfq.weight=8:0 10",
                "io.max=8:0 rbps=1",
                "io.max=8:16 wiops=max",
            ],
        );
        refused(r#"{"blockIO":{"leafWeight":10}}"#, "blockIO.leafWeight");
        refused(
            r#"{"blockIO":{"weightDevice":[{"major":8,"minor":0,"leafWeight":10}]}}"#,
            "blockIO.weightDevice",
        );
        assert_eq!([10, 500, 1000].map(io_weight), [1, 4950, 10_000]);
    }

    #[test]
    fn network_is_v1s() {
        refused(r#"{"network":{"classID":1}}"#, "network.classID");
        refused(
            r#"{"network":{"priorities":[{"name":"a","priority":1}]}}"#,
            "network.priorities",
        );
        check(r#"{"network":{}}"#, &[]);
    }

    #[test]
    fn named_files_come_last_and_line_by_line() {
        check(
            r#"{"pids":{"limit":3},"unified":{"memory.high":"5","io.max":"8:0 rbps=1\n8:16 rbps=2","a.b":""}}"#,
            &[
                "pids.max=3",
                "a.b=",
                "io.max=8:0 rbps=1",
                "io.max=8:16 rbps=2",
                "memory.high=5",
            ],
        );
    }

    #[test]
    fn a_named_file_is_in_the_group_itself() {
        for name in [
            "../memory.max",
            "a/b.c",
            "memory",
            ".max",
            "memory.",
            "..",
            "",
        ] {
            refused(&format!(r#"{{"unified":{{"{name}":"1"}}}}"#), "unified");
        }
    }
}
