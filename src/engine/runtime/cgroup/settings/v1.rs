//! The settings of v1 (cgroup-v1/*.rst).

use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxNetwork, LinuxResources};

use super::{Missing, Setting, hugepages, is_customary_swap, is_word, pids, rdma, throttles};
use crate::engine::error::{Error, Result};

/// Shares that the kernel takes; it bends others without a word (kernel/sched/sched.h, `MIN_SHARES`, `MAX_SHARES`).
const SHARES: std::ops::RangeInclusive<u64> = 2..=262_144;

pub(super) fn list(resources: &LinuxResources) -> Result<Vec<Setting>> {
    let mut list = Vec::new();
    if let Some(cpu) = resources.cpu() {
        cpuset(cpu, &mut list);
    }
    if let Some(memory) = resources.memory() {
        limits_of_memory(memory, &mut list)?;
    }
    if let Some(cpu) = resources.cpu() {
        time(cpu, &mut list)?;
    }
    pids(resources, &mut list);
    if let Some(block) = resources.block_io() {
        block_io(block, &mut list);
    }
    let pages = resources.hugepage_limits().as_deref().unwrap_or_default();
    hugepages(
        pages,
        "limit_in_bytes",
        |limit| limit.to_string(),
        &mut list,
    )?;
    if let Some(network) = resources.network() {
        marks(network, &mut list)?;
    }
    rdma(resources.rdma().iter().flatten(), &mut list)?;
    if resources
        .unified()
        .as_ref()
        .is_some_and(|map| !map.is_empty())
    {
        return Err(Error::unsupported(
            "linux.resources.unified: invalid configuration: this host has cgroup v1, which has no unified tree",
        ));
    }
    Ok(list)
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

const SWAP: (&str, &str) = ("linux.resources.memory.swap", "memory.memsw.limit_in_bytes");

fn limits_of_memory(memory: &LinuxMemory, list: &mut Vec<Setting>) -> Result<()> {
    let mut push = |field, file, value: i64, missing| {
        list.push(Setting::new(field, "memory", file, value).if_missing(missing));
    };
    let set = |value: Option<i64>| value.filter(|value| *value != 0);
    let (limit, swap) = (set(memory.limit()), set(memory.swap()));
    // The kernel wants limit <= limit with swap at any time: what it refuses now it takes after the other one.
    if let Some(limit) = limit {
        push(
            "linux.resources.memory.limit",
            "memory.limit_in_bytes",
            limit,
            Missing::Refuse,
        );
    }
    match (limit, swap) {
        (_, Some(swap)) => {
            let missing = if is_customary_swap(limit, swap) {
                Missing::Ignore
            } else {
                Missing::Refuse
            };
            push(SWAP.0, SWAP.1, swap, missing);
        }
        // Unlimited memory is unlimited with swap too, unless that has its own limit.
        (Some(-1), None) => push(SWAP.0, SWAP.1, -1, Missing::Ignore),
        (_, None) => {}
    }
    if let Some(reservation) = set(memory.reservation()) {
        push(
            "linux.resources.memory.reservation",
            "memory.soft_limit_in_bytes",
            reservation,
            Missing::Refuse,
        );
    }
    if let Some(kernel) = memory.kernel() {
        push(
            "linux.resources.memory.kernel",
            "memory.kmem.limit_in_bytes",
            kernel,
            Missing::Warn,
        );
    }
    if let Some(kernel) = memory.kernel_tcp() {
        push(
            "linux.resources.memory.kernelTCP",
            "memory.kmem.tcp.limit_in_bytes",
            kernel,
            Missing::Warn,
        );
    }
    if let Some(hierarchy) = memory.use_hierarchy() {
        // Since Linux 5.11 there is no other way.
        let missing = if hierarchy {
            Missing::Ignore
        } else {
            Missing::Warn
        };
        push(
            "linux.resources.memory.useHierarchy",
            "memory.use_hierarchy",
            hierarchy.into(),
            missing,
        );
    }
    if memory.disable_oom_killer() == Some(true) {
        push(
            "linux.resources.memory.disableOOMKiller",
            "memory.oom_control",
            1,
            Missing::Refuse,
        );
    }
    match memory.swappiness() {
        // -1 as runc reads it: leave it alone.
        None | Some(u64::MAX) => {}
        Some(swappiness @ 0..=100) => {
            let value = i64::try_from(swappiness).unwrap_or(100);
            push(
                "linux.resources.memory.swappiness",
                "memory.swappiness",
                value,
                Missing::Refuse,
            );
        }
        Some(swappiness) => {
            return Err(Error::invalid(format!(
                "linux.resources.memory.swappiness: {swappiness} is not in 0..100"
            )));
        }
    }
    Ok(())
}

fn time(cpu: &LinuxCpu, list: &mut Vec<Setting>) -> Result<()> {
    let mut push = |field, file, value: String| {
        list.push(Setting::new(field, "cpu", file, value));
    };
    if let Some(shares) = cpu.shares().filter(|shares| *shares != 0) {
        if !SHARES.contains(&shares) {
            return Err(Error::invalid(format!(
                "linux.resources.cpu.shares: {shares} is not in {}..{}",
                SHARES.start(),
                SHARES.end()
            )));
        }
        push(
            "linux.resources.cpu.shares",
            "cpu.shares",
            shares.to_string(),
        );
    }
    // A shorter period, or a larger burst, may fit with the new quota alone: refused, they are tried again behind it.
    if let Some(period) = cpu.period().filter(|period| *period != 0) {
        push(
            "linux.resources.cpu.period",
            "cpu.cfs_period_us",
            period.to_string(),
        );
    }
    if let Some(burst) = cpu.burst() {
        push(
            "linux.resources.cpu.burst",
            "cpu.cfs_burst_us",
            burst.to_string(),
        );
    }
    if let Some(quota) = cpu.quota().filter(|quota| *quota != 0) {
        push(
            "linux.resources.cpu.quota",
            "cpu.cfs_quota_us",
            quota.to_string(),
        );
    }
    if let Some(idle) = cpu.idle() {
        push("linux.resources.cpu.idle", "cpu.idle", idle.to_string());
    }
    if let Some(period) = cpu.realtime_period().filter(|period| *period != 0) {
        push(
            "linux.resources.cpu.realtimePeriod",
            "cpu.rt_period_us",
            period.to_string(),
        );
    }
    if let Some(runtime) = cpu.realtime_runtime().filter(|runtime| *runtime != 0) {
        push(
            "linux.resources.cpu.realtimeRuntime",
            "cpu.rt_runtime_us",
            runtime.to_string(),
        );
    }
    Ok(())
}

fn block_io(block: &LinuxBlockIo, list: &mut Vec<Setting>) {
    let mut push = |field, file, value: String, instead: Option<&'static str>| {
        let missing = match instead {
            Some(file) => Missing::Instead(file, value.clone()),
            None => Missing::Refuse,
        };
        list.push(Setting::new(field, "blkio", file, value).if_missing(missing));
    };
    let set = |weight: Option<u16>| weight.filter(|weight| *weight != 0);
    if let Some(weight) = set(block.weight()) {
        // Since CFQ went (Linux 5.0), BFQ alone has weights.
        push(
            "linux.resources.blockIO.weight",
            "blkio.weight",
            weight.to_string(),
            Some("blkio.bfq.weight"),
        );
    }
    if let Some(weight) = set(block.leaf_weight()) {
        push(
            "linux.resources.blockIO.leafWeight",
            "blkio.leaf_weight",
            weight.to_string(),
            None,
        );
    }
    for device in block.weight_device().iter().flatten() {
        const FIELD: &str = "linux.resources.blockIO.weightDevice";
        let line = |weight| format!("{}:{} {weight}", device.major(), device.minor());
        if let Some(weight) = set(device.weight()) {
            push(
                FIELD,
                "blkio.weight_device",
                line(weight),
                Some("blkio.bfq.weight_device"),
            );
        }
        if let Some(weight) = set(device.leaf_weight()) {
            push(FIELD, "blkio.leaf_weight_device", line(weight), None);
        }
    }
    for (field, file, _, devices) in throttles(block) {
        for device in devices {
            let line = format!("{}:{} {}", device.major(), device.minor(), device.rate());
            push(field, file, line, None);
        }
    }
}

fn marks(network: &LinuxNetwork, list: &mut Vec<Setting>) -> Result<()> {
    if let Some(class) = network.class_id().filter(|class| *class != 0) {
        list.push(Setting::new(
            "linux.resources.network.classID",
            "net_cls",
            "net_cls.classid",
            class,
        ));
    }
    for priority in network.priorities().iter().flatten() {
        const FIELD: &str = "linux.resources.network.priorities";
        let name = priority.name();
        if !is_word(name) {
            return Err(Error::invalid(format!(
                "{FIELD}: {name:?} is not an interface"
            )));
        }
        let line = format!("{name} {}", priority.priority());
        list.push(Setting::new(FIELD, "net_prio", "net_prio.ifpriomap", line));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::super::Version;
    use super::super::tests::{resources, written};
    use super::*;

    fn check(json: &str, expected: &[&str]) {
        assert_eq!(written(Version::V1, json).unwrap(), expected, "{json}");
    }

    fn refused(json: &str, field: &str) {
        let error = written(Version::V1, json).unwrap_err();
        assert!(
            error.starts_with(&format!("linux.resources.{field}: ")),
            "{error}"
        );
    }

    #[test]
    fn memory() {
        check(
            r#"{"memory":{"limit":64,"swap":100,"reservation":32,"kernel":1,"kernelTCP":2,"swappiness":0,"disableOOMKiller":true,"useHierarchy":true}}"#,
            &[
                "memory.limit_in_bytes=64",
                "memory.memsw.limit_in_bytes=100",
                "memory.soft_limit_in_bytes=32",
                "memory.kmem.limit_in_bytes=1",
                "memory.kmem.tcp.limit_in_bytes=2",
                "memory.use_hierarchy=1",
                "memory.oom_control=1",
                "memory.swappiness=0",
            ],
        );
        check(
            r#"{"memory":{"limit":-1}}"#,
            &["memory.limit_in_bytes=-1", "memory.memsw.limit_in_bytes=-1"],
        );
        check(
            r#"{"memory":{"limit":0,"swap":0,"reservation":0,"disableOOMKiller":false}}"#,
            &[],
        );
        refused(r#"{"memory":{"swappiness":101}}"#, "memory.swappiness");
    }

    #[test]
    fn swap_that_nobody_asked_for_is_left_out_where_it_is_not_counted() {
        let missing = |swap: i64| {
            let json = format!(r#"{{"memory":{{"limit":50,"swap":{swap}}}}}"#);
            list(&resources(&json)).unwrap().pop().unwrap().missing
        };
        assert_eq!(missing(100), Missing::Ignore);
        assert_eq!(missing(99), Missing::Refuse);
    }

    #[test]
    fn cpu() {
        check(
            r#"{"cpu":{"shares":1024,"quota":50000,"period":100000,"burst":7,"idle":1,"realtimeRuntime":5,"realtimePeriod":9,"cpus":"0-1","mems":"0"}}"#,
            &[
                "cpuset.cpus=0-1",
                "cpuset.mems=0",
                "cpu.shares=1024",
                "cpu.cfs_period_us=100000",
                "cpu.cfs_burst_us=7",
                "cpu.cfs_quota_us=50000",
                "cpu.idle=1",
                "cpu.rt_period_us=9",
                "cpu.rt_runtime_us=5",
            ],
        );
        check(r#"{"cpu":{"quota":-1}}"#, &["cpu.cfs_quota_us=-1"]);
        check(
            r#"{"cpu":{"shares":0,"quota":0,"period":0,"cpus":"","realtimeRuntime":0}}"#,
            &[],
        );
        refused(r#"{"cpu":{"shares":1}}"#, "cpu.shares");
        refused(r#"{"cpu":{"shares":262145}}"#, "cpu.shares");
    }

    #[test]
    fn block_devices() {
        check(
            r#"{"blockIO":{"weight":10,"leafWeight":11,
                "weightDevice":[{"major":8,"minor":0,"weight":500,"leafWeight":300},{"major":8,"minor":1}],
                "throttleReadBpsDevice":[{"major":8,"minor":0,"rate":1}],
                "throttleWriteBpsDevice":[{"major":8,"minor":0,"rate":2}],
                "throttleReadIOPSDevice":[{"major":8,"minor":0,"rate":3}],
                "throttleWriteIOPSDevice":[{"major":8,"minor":0,"rate":4}]}}"#,
            &[
                "blkio.weight=10",
                "blkio.leaf_weight=11",
                "blkio.weight_device=8:0 500",
                "blkio.leaf_weight_device=8:0 300",
                "blkio.throttle.read_bps_device=8:0 1",
                "blkio.throttle.write_bps_device=8:0 2",
                "blkio.throttle.read_iops_device=8:0 3",
                "blkio.throttle.write_iops_device=8:0 4",
            ],
        );
        let list = list(&resources(r#"{"blockIO":{"weight":10}}"#)).unwrap();
        let expected = Missing::Instead("blkio.bfq.weight", "10".to_owned());
        assert_eq!(list.first().unwrap().missing, expected);
    }

    #[test]
    fn network() {
        check(
            r#"{"network":{"classID":1048577,"priorities":[{"name":"eth0","priority":5}]}}"#,
            &["net_cls.classid=1048577", "net_prio.ifpriomap=eth0 5"],
        );
        refused(
            r#"{"network":{"priorities":[{"name":"a\nb","priority":5}]}}"#,
            "network.priorities",
        );
    }

    #[test]
    fn the_unified_map_is_refused() {
        refused(r#"{"unified":{"memory.high":"1"}}"#, "unified");
        check(r#"{"unified":{}}"#, &[]);
    }
}
