//! Which limits can be, and what a change makes of them: pure rules, Docker's own (moby `daemon_unix.go`,
//! `container_unix.go`).

use super::error::{Error, Result};
use super::model::{Resources, request};
use super::runtime::cgroup::Version;
use super::runtime::schedule;
use super::system;

/// The least memory a container can be limited to, in bytes: below it not even the start succeeds.
const MIN_MEMORY: u64 = 6 << 20;

/// Processors and nodes of memory that containers can have here, as the kernel lists them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Online {
    /// `0-7`; empty where the kernel does not say.
    pub(super) cpus: String,
    /// The same of nodes.
    pub(super) nodes: String,
}

/// Checks limits against each other and against this host.
///
/// # Errors
/// `InvalidInput` in Docker's words.
pub(super) fn check_here(wanted: &Resources) -> Result<()> {
    check(wanted, system::online_cpus())?;
    check_sets_here(wanted)
}

fn check_sets_here(wanted: &Resources) -> Result<()> {
    if wanted.cpuset_cpus.is_none() && wanted.cpuset_mems.is_none() {
        return Ok(());
    }
    check_sets(wanted, &system::online())
}

fn check_sets(wanted: &Resources, online: &Online) -> Result<()> {
    for (what, given, there) in [
        ("CPUs", &wanted.cpuset_cpus, &online.cpus),
        ("memory nodes", &wanted.cpuset_mems, &online.nodes),
    ] {
        let (Some(given), Ok(have)) = (given, schedule::numbers(there)) else {
            continue;
        };
        let asked = schedule::numbers(given).map_err(|error| Error::invalid(error.to_string()))?;
        if !asked.is_within(&have) {
            return Err(Error::invalid(format!(
                "Requested {what} are not available - requested {given}, available: {there}"
            )));
        }
    }
    Ok(())
}

fn check(wanted: &Resources, cpus: usize) -> Result<()> {
    check_memory(wanted)?;
    check_cpu(wanted, u64::try_from(cpus).unwrap_or(1))?;
    match wanted.blkio_weight {
        Some(weight) if !(10..=1000).contains(&weight) => {
            Err(Error::invalid("range of blkio weight is from 10 to 1000"))
        }
        _ => Ok(()),
    }
}

/// Checks what only one interface of cgroups has.
///
/// # Errors
/// `Unsupported`, naming the flag.
pub(super) fn check_host(request: &request::Create, version: Version) -> Result<()> {
    let wanted = &request.resources;
    let refuse = |flag: &str, version: &str| {
        Err(Error::unsupported(format!(
            "{flag}: cgroup {version}, which this host has, has nothing like it"
        )))
    };
    match version {
        Version::V1 if request.security.writable_cgroups == Some(true) => {
            refuse("--security-opt writable-cgroups", "v1")
        }
        Version::V2 if wanted.oom_kill_disable => refuse("--oom-kill-disable", "v2"),
        Version::V2 if wanted.memory_swappiness.is_some() => refuse("--memory-swappiness", "v2"),
        Version::V1 | Version::V2 => Ok(()),
    }
}

fn check_memory(wanted: &Resources) -> Result<()> {
    let refuse = |why: &str| Err(Error::invalid(why));
    let small = |bytes: Option<u64>| bytes.is_some_and(|bytes| bytes < MIN_MEMORY);
    if small(wanted.memory) {
        return refuse("minimum memory limit allowed is 6MB");
    }
    if small(wanted.memory_reservation) {
        return refuse("minimum memory reservation allowed is 6MB");
    }
    if let (Some(memory), Some(reservation)) = (wanted.memory, wanted.memory_reservation)
        && memory < reservation
    {
        return refuse(
            "minimum memory limit can not be less than memory reservation limit, see usage",
        );
    }
    match (wanted.memory, wanted.memory_swap) {
        (None, Some(swap)) if swap > 0 => {
            refuse("you should always set the memory limit when using memoryswap limit, see usage")
        }
        (Some(memory), Some(swap))
            if u64::try_from(swap).is_ok_and(|swap| swap != 0 && swap < memory) =>
        {
            refuse("minimum memoryswap limit should be larger than memory limit")
        }
        _ => Ok(()),
    }
}

fn check_cpu(wanted: &Resources, cpus: u64) -> Result<()> {
    if wanted
        .nano_cpus
        .is_some_and(|nano| nano > cpus * 1_000_000_000)
    {
        return Err(Error::invalid(format!(
            "range of CPUs is from 0.01 to {cpus}.00, as there are only {cpus} CPUs available"
        )));
    }
    for (name, given) in [
        ("CPU Period", wanted.cpu_period.is_some()),
        ("CPU Quota", wanted.cpu_quota.is_some()),
    ] {
        if given && wanted.nano_cpus.is_some() {
            return Err(Error::invalid(format!(
                "conflicting options: Nano CPUs and {name} cannot both be set"
            )));
        }
    }
    if wanted
        .cpu_period
        .is_some_and(|period| !(1_000..=1_000_000).contains(&period))
    {
        return Err(Error::invalid(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
        ));
    }
    if wanted
        .cpu_quota
        .is_some_and(|quota| (1..1_000).contains(&quota))
    {
        return Err(Error::invalid(
            "CPU cfs quota can not be less than 1ms (i.e. 1000)",
        ));
    }
    let real_time = i64::try_from(wanted.cpu_rt_period.unwrap_or(0)).unwrap_or(i64::MAX);
    if real_time > 0
        && wanted
            .cpu_rt_runtime
            .is_some_and(|runtime| runtime > real_time)
    {
        return Err(Error::invalid(
            "CPU real-time runtime cannot be higher than its period",
        ));
    }
    Ok(())
}

/// The limits after a change.
///
/// # Errors
/// `InvalidInput` in Docker's words; the change alone is checked before.
pub(super) fn changed(before: &Resources, request: &request::Update) -> Result<Resources> {
    let to = &request.resources;
    for (new, name, old, other) in [
        (
            to.nano_cpus.is_some(),
            "Nano CPUs",
            before.cpu_period.is_some(),
            "CPU Period",
        ),
        (
            to.nano_cpus.is_some(),
            "Nano CPUs",
            before.cpu_quota.is_some(),
            "CPU Quota",
        ),
        (
            to.cpu_period.is_some(),
            "CPU Period",
            before.nano_cpus.is_some(),
            "NanoCPUs",
        ),
        (
            to.cpu_quota.is_some(),
            "CPU Quota",
            before.nano_cpus.is_some(),
            "NanoCPUs",
        ),
    ] {
        if new && old {
            return Err(Error::invalid(format!(
                "conflicting options: {name} cannot be updated as {other} has already been set"
            )));
        }
    }
    let memory = to.memory.or(before.memory);
    let memory_swap = swap_after(before, to)?;
    let after = Resources {
        memory,
        memory_swap,
        memory_reservation: to.memory_reservation.or(before.memory_reservation),
        nano_cpus: to.nano_cpus.or(before.nano_cpus),
        cpu_period: to.cpu_period.or(before.cpu_period),
        cpu_quota: to.cpu_quota.or(before.cpu_quota),
        cpu_rt_period: to.cpu_rt_period.or(before.cpu_rt_period),
        cpu_rt_runtime: to.cpu_rt_runtime.or(before.cpu_rt_runtime),
        cpu_shares: to.cpu_shares.or(before.cpu_shares),
        cpuset_cpus: to.cpuset_cpus.clone().or(before.cpuset_cpus.clone()),
        cpuset_mems: to.cpuset_mems.clone().or(before.cpuset_mems.clone()),
        blkio_weight: to.blkio_weight.or(before.blkio_weight),
        pids_limit: to
            .pids_limit
            .or(before.pids_limit)
            .filter(|_| !request.unlimited_pids),
        memory_swappiness: before.memory_swappiness,
        oom_kill_disable: before.oom_kill_disable,
        devices: before.devices.clone(),
    };
    check(&after, system::online_cpus())?;
    // What was set before was there then; a change of something else is no reason to ask again.
    check_sets_here(to)?;
    Ok(after)
}

/// A limit that was set by default, twice the memory, stays where it is when memory changes, as with Docker.
fn swap_after(before: &Resources, to: &Resources) -> Result<Option<i64>> {
    if to.memory_swap.is_some() {
        return Ok(to.memory_swap);
    }
    let Some(memory) = to.memory else {
        return Ok(before.memory_swap);
    };
    let twice = |memory: u64| i64::try_from(memory.saturating_mul(2)).unwrap_or(i64::MAX);
    let Some(now) = before.memory_swap.or(before.memory.map(twice)) else {
        return Ok(None);
    };
    if u64::try_from(now).is_ok_and(|swap| swap < memory) {
        return Err(Error::invalid(
            "memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time",
        ));
    }
    Ok(Some(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn limited(memory: u64) -> Resources {
        Resources {
            memory: Some(memory),
            ..Resources::default()
        }
    }

    fn change(resources: Resources) -> request::Update {
        request::Update {
            resources,
            ..request::Update::default()
        }
    }

    #[test]
    fn what_is_not_named_stays_as_it_is() {
        let before = Resources {
            pids_limit: Some(10),
            cpu_shares: Some(512),
            ..limited(64 * MIB)
        };
        let to = change(Resources {
            cpu_shares: Some(100),
            ..Resources::default()
        });
        let after = changed(&before, &to).unwrap();
        assert_eq!(after.memory, Some(64 * MIB));
        assert_eq!((after.pids_limit, after.cpu_shares), (Some(10), Some(100)));
        let free = request::Update {
            unlimited_pids: true,
            ..request::Update::default()
        };
        assert_eq!(changed(&before, &free).unwrap().pids_limit, None);
    }

    #[test]
    fn swap_stays_where_it_was_when_memory_changes() {
        let after = changed(&limited(64 * MIB), &change(limited(100 * MIB))).unwrap();
        assert_eq!(after.memory_swap, Some(128 << 20));
        let error = changed(&limited(64 * MIB), &change(limited(200 * MIB))).unwrap_err();
        assert!(
            error.to_string().contains("already set memoryswap"),
            "{error}"
        );
        let both = Resources {
            memory_swap: Some(-1),
            ..limited(200 * MIB)
        };
        assert!(changed(&limited(64 * MIB), &change(both)).is_ok());
        assert_eq!(
            changed(&Resources::default(), &change(limited(64 * MIB)))
                .unwrap()
                .memory_swap,
            None
        );
    }

    #[test]
    fn two_ways_to_limit_cpu_time_exclude_each_other() {
        let nano = Resources {
            nano_cpus: Some(500_000_000),
            ..Resources::default()
        };
        let quota = Resources {
            cpu_quota: Some(50_000),
            ..Resources::default()
        };
        for (before, to, text) in [
            (&nano, &quota, "CPU Quota cannot be updated as NanoCPUs"),
            (&quota, &nano, "Nano CPUs cannot be updated as CPU Quota"),
        ] {
            let error = changed(before, &change(to.clone()))
                .unwrap_err()
                .to_string();
            assert!(error.contains(text), "{error}");
        }
    }

    #[test]
    fn limits_that_cannot_be_are_refused_in_dockers_words() {
        let refused = |make: fn(&mut Resources), text: &str| {
            let mut wanted = Resources::default();
            make(&mut wanted);
            let error = check(&wanted, 2).unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
        };
        refused(|r| r.memory = Some(4096), "minimum memory limit");
        refused(|r| r.memory_reservation = Some(1), "memory reservation");
        refused(|r| r.blkio_weight = Some(5), "blkio weight");
        refused(|r| r.nano_cpus = Some(3_000_000_000), "only 2 CPUs");
        refused(|r| r.cpu_period = Some(1), "cfs period");
        refused(|r| r.cpu_quota = Some(1), "cfs quota");
        refused(
            |r| r.memory_swap = Some(1 << 30),
            "always set the memory limit",
        );
        assert!(check(&Resources::default(), 1).is_ok());
    }

    #[test]
    fn processors_and_nodes_that_the_host_does_not_have_are_refused() {
        let online = Online {
            cpus: "0-1,4".to_owned(),
            nodes: "0".to_owned(),
        };
        let wanted = |cpus: &str, nodes: &str| Resources {
            cpuset_cpus: Some(cpus.to_owned()),
            cpuset_mems: Some(nodes.to_owned()),
            ..Resources::default()
        };
        for (cpus, nodes, refused) in [
            ("0-1", "0", None),
            ("4,0", "0", None),
            (
                "0-2",
                "0",
                Some("Requested CPUs are not available - requested 0-2, available: 0-1,4"),
            ),
            (
                "99",
                "0",
                Some("Requested CPUs are not available - requested 99, available: 0-1,4"),
            ),
            (
                "0",
                "0-1",
                Some("Requested memory nodes are not available - requested 0-1, available: 0"),
            ),
        ] {
            let told = check_sets(&wanted(cpus, nodes), &online).map_err(|error| error.to_string());
            assert_eq!(told.err().as_deref(), refused, "{cpus} {nodes}");
        }
        let before = wanted("4000", "0");
        let more = request::Update::default();
        assert!(changed(&before, &more).is_ok(), "it was there then");
        let unknown = Online {
            cpus: String::new(),
            nodes: String::new(),
        };
        assert!(check_sets(&wanted("99", "7"), &unknown).is_ok());
    }

    #[test]
    fn what_an_interface_of_cgroups_does_not_have_is_refused_there_by_name() {
        let check = |change: fn(&mut request::Create), flag: &str, not: Version, but: Version| {
            let mut wanted = request::Create::default();
            change(&mut wanted);
            assert!(check_host(&wanted, but).is_ok(), "{flag}");
            let error = check_host(&wanted, not).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{flag}: ")), "{error}");
        };
        let (v1, v2) = (Version::V1, Version::V2);
        check(
            |r| r.resources.memory_swappiness = Some(0),
            "--memory-swappiness",
            v2,
            v1,
        );
        check(
            |r| r.resources.oom_kill_disable = true,
            "--oom-kill-disable",
            v2,
            v1,
        );
        let flag = "--security-opt writable-cgroups";
        check(|r| r.security.writable_cgroups = Some(true), flag, v1, v2);
    }
}
