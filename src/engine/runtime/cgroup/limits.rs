//! From the specification's resources to control files and values, for both interfaces. Pure.

use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxResources};

/// One value to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    /// Controller, as v1 calls it.
    pub controller: &'static str,
    /// Control file.
    pub file: String,
    /// What to write.
    pub value: String,
    /// A kernel without this file is fine: the value was derived, not asked for.
    pub optional: bool,
}

fn setting(controller: &'static str, file: &str, value: impl ToString) -> Setting {
    Setting {
        controller,
        file: file.to_owned(),
        value: value.to_string(),
        optional: false,
    }
}

/// Settings of v1 (cgroup-v1/*.rst), in the order in which they must be written.
pub(super) fn v1(resources: &LinuxResources) -> Vec<Setting> {
    let mut list = Vec::new();
    if let Some(memory) = resources.memory() {
        v1_memory(memory, &mut list);
    }
    if let Some(cpu) = resources.cpu() {
        v1_cpu(cpu, &mut list);
    }
    if let Some(pids) = resources.pids() {
        list.push(setting("pids", "pids.max", unlimited(pids.limit(), "max")));
    }
    if let Some(block) = resources.block_io() {
        v1_block(block, &mut list);
    }
    for limit in resources.hugepage_limits().iter().flatten() {
        let file = format!("hugetlb.{}.limit_in_bytes", limit.page_size());
        list.push(setting("hugetlb", &file, limit.limit()));
    }
    list
}

fn v1_memory(memory: &LinuxMemory, list: &mut Vec<Setting>) {
    if let Some(limit) = memory.limit() {
        list.push(setting("memory", "memory.limit_in_bytes", limit));
    }
    if let Some(swap) = memory.swap() {
        // A kernel without swap accounting has no such file; then there is nothing to limit.
        let mut swap = setting("memory", "memory.memsw.limit_in_bytes", swap);
        swap.optional = true;
        list.push(swap);
    }
    if let Some(reservation) = memory.reservation() {
        list.push(setting("memory", "memory.soft_limit_in_bytes", reservation));
    }
    if let Some(swappiness) = memory.swappiness() {
        list.push(setting("memory", "memory.swappiness", swappiness));
    }
    if memory.disable_oom_killer() == Some(true) {
        list.push(setting("memory", "memory.oom_control", 1));
    }
}

fn v1_cpu(cpu: &LinuxCpu, list: &mut Vec<Setting>) {
    if let Some(shares) = cpu.shares() {
        list.push(setting("cpu", "cpu.shares", shares));
    }
    if let Some(period) = cpu.period() {
        list.push(setting("cpu", "cpu.cfs_period_us", period));
    }
    if let Some(quota) = cpu.quota() {
        list.push(setting("cpu", "cpu.cfs_quota_us", quota));
    }
    if let Some(cpus) = cpu.cpus().as_ref().filter(|text| !text.is_empty()) {
        list.push(setting("cpuset", "cpuset.cpus", cpus));
    }
    if let Some(mems) = cpu.mems().as_ref().filter(|text| !text.is_empty()) {
        list.push(setting("cpuset", "cpuset.mems", mems));
    }
}

fn v1_block(block: &LinuxBlockIo, list: &mut Vec<Setting>) {
    if let Some(weight) = block.weight() {
        list.push(setting("blkio", "blkio.weight", weight));
    }
    let throttles = [
        (
            "blkio.throttle.read_bps_device",
            block.throttle_read_bps_device(),
        ),
        (
            "blkio.throttle.write_bps_device",
            block.throttle_write_bps_device(),
        ),
        (
            "blkio.throttle.read_iops_device",
            block.throttle_read_iops_device(),
        ),
        (
            "blkio.throttle.write_iops_device",
            block.throttle_write_iops_device(),
        ),
    ];
    for (file, devices) in throttles {
        for device in devices.iter().flatten() {
            let value = format!("{}:{} {}", device.major(), device.minor(), device.rate());
            list.push(setting("blkio", file, value));
        }
    }
}

/// Settings of v2 (cgroup-v2.rst).
pub(super) fn v2(resources: &LinuxResources) -> Vec<Setting> {
    let mut list = Vec::new();
    if let Some(memory) = resources.memory() {
        v2_memory(memory, &mut list);
    }
    if let Some(cpu) = resources.cpu() {
        v2_cpu(cpu, &mut list);
    }
    if let Some(pids) = resources.pids() {
        list.push(setting("pids", "pids.max", unlimited(pids.limit(), "max")));
    }
    if let Some(block) = resources.block_io() {
        v2_block(block, &mut list);
    }
    for limit in resources.hugepage_limits().iter().flatten() {
        let file = format!("hugetlb.{}.max", limit.page_size());
        list.push(setting("hugetlb", &file, limit.limit()));
    }
    let mut unified: Vec<_> = resources.unified().iter().flatten().collect();
    unified.sort_unstable();
    for (file, value) in unified {
        list.push(setting("unified", file, value));
    }
    list
}

fn v2_memory(memory: &LinuxMemory, list: &mut Vec<Setting>) {
    if let Some(limit) = memory.limit() {
        list.push(setting("memory", "memory.max", unlimited(limit, "max")));
    }
    if let Some(swap) = memory.swap() {
        // v1 counts memory and swap together, v2 swap alone.
        let alone = if swap < 0 {
            swap
        } else {
            (swap - memory.limit().unwrap_or(0)).max(0)
        };
        let mut swap = setting("memory", "memory.swap.max", unlimited(alone, "max"));
        swap.optional = true;
        list.push(swap);
    }
    if let Some(reservation) = memory.reservation() {
        list.push(setting("memory", "memory.low", reservation));
    }
}

fn v2_cpu(cpu: &LinuxCpu, list: &mut Vec<Setting>) {
    if let Some(shares) = cpu.shares().filter(|shares| *shares != 0) {
        // 2..262144 onto 1..10000, as runc does.
        let weight = 1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142;
        list.push(setting("cpu", "cpu.weight", weight));
    }
    if cpu.quota().is_some() || cpu.period().is_some() {
        let quota = cpu.quota().filter(|quota| *quota > 0);
        let quota = quota.map_or_else(|| "max".to_owned(), |quota| quota.to_string());
        let period = cpu.period().unwrap_or(100_000);
        list.push(setting("cpu", "cpu.max", format!("{quota} {period}")));
    }
    if let Some(cpus) = cpu.cpus().as_ref().filter(|text| !text.is_empty()) {
        list.push(setting("cpuset", "cpuset.cpus", cpus));
    }
    if let Some(mems) = cpu.mems().as_ref().filter(|text| !text.is_empty()) {
        list.push(setting("cpuset", "cpuset.mems", mems));
    }
}

fn v2_block(block: &LinuxBlockIo, list: &mut Vec<Setting>) {
    if let Some(weight) = block.weight() {
        // 10..1000 onto 1..10000, as runc does.
        let weight = 1 + (u64::from(weight.clamp(10, 1000)) - 10) * 9999 / 990;
        list.push(setting("io", "io.weight", format!("default {weight}")));
    }
    let throttles = [
        ("rbps", block.throttle_read_bps_device()),
        ("wbps", block.throttle_write_bps_device()),
        ("riops", block.throttle_read_iops_device()),
        ("wiops", block.throttle_write_iops_device()),
    ];
    for (key, devices) in throttles {
        for device in devices.iter().flatten() {
            let value = format!(
                "{}:{} {key}={}",
                device.major(),
                device.minor(),
                device.rate()
            );
            list.push(setting("io", "io.max", value));
        }
    }
}

/// Zero and below mean "no limit" in the specification.
fn unlimited(value: i64, word: &str) -> String {
    if value > 0 {
        value.to_string()
    } else {
        word.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::{
        LinuxCpuBuilder, LinuxMemoryBuilder, LinuxPidsBuilder, LinuxResourcesBuilder,
    };

    fn resources() -> LinuxResources {
        LinuxResourcesBuilder::default()
            .memory(
                LinuxMemoryBuilder::default()
                    .limit(64 << 20)
                    .swap(128 << 20)
                    .build()
                    .unwrap(),
            )
            .cpu(
                LinuxCpuBuilder::default()
                    .shares(1024u64)
                    .quota(50_000)
                    .period(100_000u64)
                    .build()
                    .unwrap(),
            )
            .pids(LinuxPidsBuilder::default().limit(20).build().unwrap())
            .build()
            .unwrap()
    }

    fn written(list: &[Setting]) -> Vec<String> {
        list.iter()
            .map(|s| format!("{}={}", s.file, s.value))
            .collect()
    }

    #[test]
    fn v1_writes_the_memory_limit_before_the_one_with_swap() {
        assert_eq!(
            written(&v1(&resources())),
            [
                "memory.limit_in_bytes=67108864",
                "memory.memsw.limit_in_bytes=134217728",
                "cpu.shares=1024",
                "cpu.cfs_period_us=100000",
                "cpu.cfs_quota_us=50000",
                "pids.max=20",
            ]
        );
    }

    #[test]
    fn v2_counts_swap_alone_and_has_weights() {
        assert_eq!(
            written(&v2(&resources())),
            [
                "memory.max=67108864",
                "memory.swap.max=67108864",
                "cpu.weight=39",
                "cpu.max=50000 100000",
                "pids.max=20",
            ]
        );
    }
}
