//! Limits in OCI's terms.

use oci_spec::runtime::{
    LinuxBlockIo, LinuxCpu, LinuxDeviceCgroup, LinuxDeviceType, LinuxMemory, LinuxPids,
    LinuxResources,
};

use crate::engine::error::{Error, Result};
use crate::engine::model::{self, request};

/// Period of the CPU limit in microseconds; the quota is a share of it.
const CPU_PERIOD: u64 = 100_000;

/// Limits in OCI's terms.
///
/// # Errors
/// A limit that does not fit.
pub fn resources(wanted: &model::Resources) -> Result<LinuxResources> {
    let fits = |value: u64, name: &str| {
        i64::try_from(value).map_err(|error| {
            Error::invalid(format!("{name} {value} is too large")).caused_by(error)
        })
    };
    let mut resources = LinuxResources::default();
    if wanted.memory.is_some()
        || wanted.memory_swap.is_some()
        || wanted.memory_reservation.is_some()
        || wanted.memory_swappiness.is_some()
        || wanted.oom_kill_disable
    {
        let mut memory = LinuxMemory::default();
        if let Some(limit) = wanted.memory {
            let limit = fits(limit, "memory limit")?;
            let swap = wanted.memory_swap.filter(|swap| *swap != 0);
            memory
                .set_limit(Some(limit))
                .set_swap(Some(swap.unwrap_or_else(|| limit.saturating_mul(2))));
        }
        if let Some(reservation) = wanted.memory_reservation {
            memory.set_reservation(Some(fits(reservation, "memory reservation")?));
        }
        memory
            .set_swappiness(wanted.memory_swappiness)
            .set_disable_oom_killer(wanted.oom_kill_disable.then_some(true));
        resources.set_memory(Some(memory));
    }
    if let Some(weight) = wanted.blkio_weight {
        let mut block = LinuxBlockIo::default();
        block.set_weight(Some(weight));
        resources.set_block_io(Some(block));
    }
    if let Some(limit) = wanted.pids_limit {
        let mut pids = LinuxPids::default();
        pids.set_limit(fits(limit, "pids limit")?);
        resources.set_pids(Some(pids));
    }
    let mut cpu = LinuxCpu::default();
    cpu.set_quota(wanted.cpu_quota)
        .set_period(wanted.cpu_period)
        .set_realtime_period(wanted.cpu_rt_period)
        .set_realtime_runtime(wanted.cpu_rt_runtime)
        .set_shares(wanted.cpu_shares)
        .set_cpus(wanted.cpuset_cpus.clone())
        .set_mems(wanted.cpuset_mems.clone());
    if let Some(nano) = wanted.nano_cpus {
        let quota = nano.saturating_mul(CPU_PERIOD) / 1_000_000_000;
        cpu.set_quota(Some(fits(quota, "cpu quota")?))
            .set_period(Some(CPU_PERIOD));
    }
    if cpu != LinuxCpu::default() {
        resources.set_cpu(Some(cpu));
    }
    Ok(resources)
}

/// What an `update` changes, in OCI's terms: fields that stay as they are are not set.
///
/// # Errors
/// A limit that does not fit.
pub fn change(request: &request::Update) -> Result<LinuxResources> {
    let wanted = &request.resources;
    let mut resources = resources(wanted)?;
    if let Some(memory) = resources.memory_mut().as_mut() {
        // Only if asked for: what was given before stays.
        memory.set_swap(wanted.memory_swap.filter(|swap| *swap != 0));
    }
    if request.unlimited_pids {
        let mut pids = LinuxPids::default();
        pids.set_limit(-1);
        resources.set_pids(Some(pids));
    }
    Ok(resources)
}

/// Nothing but the harmless devices may be opened; nodes of any may be made (runc's default list).
pub(super) fn device_rules() -> Vec<LinuxDeviceCgroup> {
    let rule = |allow, kind, major, minor, access: &str| {
        let mut rule = LinuxDeviceCgroup::default();
        rule.set_allow(allow)
            .set_typ(Some(kind))
            .set_major(major)
            .set_minor(minor)
            .set_access(Some(access.to_owned()));
        rule
    };
    let character = |major, minor| rule(true, LinuxDeviceType::C, Some(major), minor, "rwm");
    vec![
        rule(false, LinuxDeviceType::A, None, None, "rwm"),
        rule(true, LinuxDeviceType::C, None, None, "m"),
        rule(true, LinuxDeviceType::B, None, None, "m"),
        character(1, Some(3)),
        character(1, Some(5)),
        character(1, Some(7)),
        character(1, Some(8)),
        character(1, Some(9)),
        character(5, Some(0)),
        character(5, Some(1)),
        character(5, Some(2)),
        character(136, None),
    ]
}

/// Everything may be done with every device.
pub(super) fn any_device() -> LinuxDeviceCgroup {
    let mut rule = LinuxDeviceCgroup::default();
    rule.set_allow(true)
        .set_typ(Some(LinuxDeviceType::A))
        .set_access(Some("rwm".to_owned()));
    rule
}
