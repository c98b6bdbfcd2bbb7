//! When and where a process runs, as `config.json` says it: scheduler, I/O priority, processor affinity, personality,
//! memory policy. Values are checked as runc checks them, and become what the kernel takes.

use oci_spec::runtime::{
    ExecCPUAffinity, IOPriorityClass, Linux, LinuxIOPriority, LinuxMemoryPolicy, LinuxPersonality,
    LinuxPersonalityDomain, LinuxSchedulerFlag, LinuxSchedulerPolicy, MemoryPolicyFlagType,
    MemoryPolicyModeType, Process, Scheduler,
};

use crate::engine::error::{Attempt, Error, Result};
use crate::engine::sys::schedule::{self, Attributes, Bits};

/// Refuses what does not fit together, of a process and of its container.
///
/// # Errors
/// [`Kind::InvalidInput`](crate::engine::error::Kind::InvalidInput) naming the field.
pub fn check(process: &Process, linux: Option<&Linux>) -> Result<()> {
    if let Some(wanted) = process.scheduler() {
        attributes(wanted)?;
    }
    if let Some(wanted) = process.io_priority() {
        io_priority(wanted)?;
    }
    if let Some(wanted) = process.exec_cpu_affinity() {
        Affinity::parse(wanted)?;
    }
    if let Some(wanted) = linux.and_then(|linux| linux.memory_policy().as_ref()) {
        memory_policy(wanted)?;
    }
    Ok(())
}

/// Applies `process.scheduler` to the calling process.
///
/// # Errors
/// What is wrong with it, or what the kernel says.
pub fn set_scheduler(wanted: &Scheduler) -> Result<()> {
    let attributes = attributes(wanted)?;
    schedule::set_attributes(attributes)
        .map_err(|error| match error.raw_os_error() {
            Some(libc::EPERM) if attributes.priority > 0 => error.with_hint(
                "on cgroup v1 a group has no time for real-time processes unless linux.resources.cpu.realtimeRuntime gives it some",
            ),
            _ => error,
        })
        .attempt(|| "process.scheduler")
}

/// Applies `process.ioPriority`.
///
/// # Errors
/// As [`set_scheduler`].
pub fn set_io_priority(wanted: &LinuxIOPriority) -> Result<()> {
    let (class, level) = io_priority(wanted)?;
    schedule::set_io_priority(class, level).attempt(|| "process.ioPriority")
}

/// Applies `linux.personality`. Flags are not defined by the specification, and mean nothing.
///
/// # Errors
/// As [`set_scheduler`].
pub fn set_personality(wanted: &LinuxPersonality) -> Result<()> {
    schedule::set_personality(match wanted.domain() {
        LinuxPersonalityDomain::PerLinux => 0,
        LinuxPersonalityDomain::PerLinux32 => 8,
    })
    .attempt(|| "linux.personality")
}

/// Applies `linux.memoryPolicy`.
///
/// # Errors
/// As [`set_scheduler`].
pub fn set_memory_policy(wanted: &LinuxMemoryPolicy) -> Result<()> {
    let (mode, nodes) = memory_policy(wanted)?;
    schedule::set_memory_policy(mode, &nodes).attempt(|| "linux.memoryPolicy")
}

/// `process.execCPUAffinity`: where a process of `exec` runs before and after it is in its cgroups.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Affinity {
    /// Before.
    pub initial: Option<Bits>,
    /// Afterwards.
    pub last: Option<Bits>,
}

impl Affinity {
    /// Reads it.
    ///
    /// # Errors
    /// [`Kind::InvalidInput`](crate::engine::error::Kind::InvalidInput) naming the field.
    pub fn parse(wanted: &ExecCPUAffinity) -> Result<Self> {
        let read = |list: &Option<String>, name: &str| match list.as_deref() {
            None | Some("") => Ok(None),
            Some(list) => numbers(list)
                .map(Some)
                .map_err(|error| invalid("process.execCPUAffinity", name, &error)),
        };
        Ok(Self {
            initial: read(wanted.initial(), "initial")?,
            last: read(wanted.cpu_affinity_final(), "final")?,
        })
    }
}

/// Why a text is no list of numbers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// Neither a number nor a range.
    #[error("{0:?} is neither a number nor a range of numbers")]
    Malformed(String),
    /// More than any machine has.
    #[error("numbers larger than 65535 are not supported, and {0} is")]
    TooLarge(String),
    /// The end is before the start.
    #[error("invalid range: {0}")]
    Backwards(String),
    /// No number.
    #[error("no members found in set {0:?}")]
    Empty(String),
}

/// Reads `0-3,7` (cpuset(7), "List format"). Blanks around numbers and superfluous commas are allowed, as in runc.
///
/// # Errors
/// What is wrong with it.
pub fn numbers(list: &str) -> Result<Bits, ListError> {
    let mut bits = Bits::default();
    for part in list
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (number(first, part)?, number(last, part)?);
        if first > last {
            return Err(ListError::Backwards(part.to_owned()));
        }
        (first..=last).for_each(|number| bits.insert(number));
    }
    if bits.is_empty() {
        return Err(ListError::Empty(list.to_owned()));
    }
    Ok(bits)
}

fn number(text: &str, part: &str) -> Result<u16, ListError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits {
        return Err(ListError::Malformed(part.to_owned()));
    }
    text.parse()
        .map_err(|_overflow| ListError::TooLarge(text.to_owned()))
}

fn attributes(wanted: &Scheduler) -> Result<Attributes> {
    let field = "process.scheduler";
    let policy = *wanted.policy();
    let nice = wanted.nice().unwrap_or(0);
    let priority = wanted.priority().unwrap_or(0);
    let fair = matches!(
        policy,
        LinuxSchedulerPolicy::SchedOther | LinuxSchedulerPolicy::SchedBatch
    );
    if fair && !(-20..=19).contains(&nice) {
        let text = format!("{nice} is not between -20 and 19");
        return Err(invalid(field, "nice", &text));
    }
    let real_time = matches!(
        policy,
        LinuxSchedulerPolicy::SchedFifo | LinuxSchedulerPolicy::SchedRr
    );
    if priority != 0 && !real_time {
        let text = "can only be specified for SCHED_FIFO or SCHED_RR";
        return Err(invalid(field, "priority", &text));
    }
    let deadline = [
        ("runtime", wanted.runtime()),
        ("deadline", wanted.deadline()),
        ("period", wanted.period()),
    ];
    if policy != LinuxSchedulerPolicy::SchedDeadline
        && let Some((name, _)) = deadline.iter().find(|(_, time)| time.unwrap_or(0) != 0)
    {
        let text = "can only be specified for SCHED_DEADLINE";
        return Err(invalid(field, name, &text));
    }
    let [runtime, deadline, period] = deadline.map(|(_, time)| time.unwrap_or(0));
    Ok(Attributes {
        policy: policy_number(policy),
        flags: wanted
            .flags()
            .iter()
            .flatten()
            .fold(0, |flags, flag| flags | flag_bit(*flag)),
        nice,
        priority: u32::try_from(priority)
            .map_err(|_negative| invalid(field, "priority", &"is negative"))?,
        runtime,
        deadline,
        period,
        ..Attributes::default()
    })
}

/// `SCHED_*` (linux/sched.h).
fn policy_number(policy: LinuxSchedulerPolicy) -> u32 {
    match policy {
        LinuxSchedulerPolicy::SchedOther => 0,
        LinuxSchedulerPolicy::SchedFifo => 1,
        LinuxSchedulerPolicy::SchedRr => 2,
        LinuxSchedulerPolicy::SchedBatch => 3,
        LinuxSchedulerPolicy::SchedIso => 4,
        LinuxSchedulerPolicy::SchedIdle => 5,
        LinuxSchedulerPolicy::SchedDeadline => 6,
    }
}

/// `SCHED_FLAG_*` (linux/sched.h).
fn flag_bit(flag: LinuxSchedulerFlag) -> u64 {
    match flag {
        LinuxSchedulerFlag::SchedResetOnFork => 0x01,
        LinuxSchedulerFlag::SchedFlagReclaim => 0x02,
        LinuxSchedulerFlag::SchedFlagDLOverrun => 0x04,
        LinuxSchedulerFlag::SchedFlagKeepPolicy => 0x08,
        LinuxSchedulerFlag::SchedFlagKeepParams => 0x10,
        LinuxSchedulerFlag::SchedFlagUtilClampMin => 0x20,
        LinuxSchedulerFlag::SchedFlagUtilClampMax => 0x40,
    }
}

fn io_priority(wanted: &LinuxIOPriority) -> Result<(u16, u16)> {
    let class = match wanted.class() {
        IOPriorityClass::IoprioClassRt => 1,
        IOPriorityClass::IoprioClassBe => 2,
        IOPriorityClass::IoprioClassIdle => 3,
    };
    let priority = wanted.priority();
    match u16::try_from(priority) {
        Ok(level) if level <= 7 => Ok((class, level)),
        _ => {
            let text = format!("{priority} is not between 0 and 7");
            Err(invalid("process.ioPriority", "priority", &text))
        }
    }
}

fn memory_policy(wanted: &LinuxMemoryPolicy) -> Result<(i32, Bits)> {
    let field = "linux.memoryPolicy";
    let nodes = match wanted.nodes().as_deref() {
        None | Some("") => Bits::default(),
        Some(list) => numbers(list).map_err(|error| invalid(field, "nodes", &error))?,
    };
    let mode = wanted.mode();
    let number = match mode {
        MemoryPolicyModeType::MpolDefault => 0,
        MemoryPolicyModeType::MpolPreferred => 1,
        MemoryPolicyModeType::MpolBind => 2,
        MemoryPolicyModeType::MpolInterleave => 3,
        MemoryPolicyModeType::MpolLocal => 4,
        MemoryPolicyModeType::MpolPreferredMany => 5,
        MemoryPolicyModeType::MpolWeightedInterleave => 6,
    };
    let needs_nodes = match mode {
        MemoryPolicyModeType::MpolDefault | MemoryPolicyModeType::MpolLocal => Some(false),
        // Any number, says the kernel.
        MemoryPolicyModeType::MpolPreferred => None,
        MemoryPolicyModeType::MpolBind
        | MemoryPolicyModeType::MpolInterleave
        | MemoryPolicyModeType::MpolPreferredMany
        | MemoryPolicyModeType::MpolWeightedInterleave => Some(true),
    };
    match needs_nodes {
        Some(true) if nodes.is_empty() => {
            return Err(invalid(
                field,
                "nodes",
                &format!("{mode} needs at least one"),
            ));
        }
        Some(false) if !nodes.is_empty() => {
            return Err(invalid(field, "nodes", &format!("{mode} takes none")));
        }
        _ => {}
    }
    let flags = wanted.flags().iter().flatten().fold(0, |flags, flag| {
        flags
            | match flag {
                MemoryPolicyFlagType::MpolFNumaBalancing => 1 << 13,
                MemoryPolicyFlagType::MpolFRelativeNodes => 1 << 14,
                MemoryPolicyFlagType::MpolFStaticNodes => 1 << 15,
            }
    });
    Ok((number | flags, nodes))
}

fn invalid(field: &str, name: &str, problem: &dyn std::fmt::Display) -> Error {
    Error::invalid(format!("{field}.{name}: {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse<T: serde::de::DeserializeOwned>(json: &str) -> T {
        serde_json::from_str(json).unwrap()
    }

    fn scheduler(json: &str, expect: Result<Attributes, &str>) {
        let got = attributes(&parse(json)).map_err(|error| error.to_string());
        assert_eq!(got, expect.map_err(str::to_owned), "{json}");
    }

    #[test]
    fn every_scheduling_policy_becomes_the_kernels() {
        for (number, name) in ["OTHER", "FIFO", "RR", "BATCH", "ISO", "IDLE", "DEADLINE"]
            .iter()
            .enumerate()
        {
            let policy = u32::try_from(number).unwrap();
            let expect = Attributes {
                policy,
                ..Attributes::default()
            };
            scheduler(&format!(r#"{{"policy":"SCHED_{name}"}}"#), Ok(expect));
        }
        scheduler(
            r#"{"policy":"SCHED_DEADLINE","runtime":1,"deadline":2,"period":3,"flags":["SCHED_FLAG_RECLAIM"]}"#,
            Ok(Attributes {
                policy: 6,
                flags: 2,
                runtime: 1,
                deadline: 2,
                period: 3,
                ..Attributes::default()
            }),
        );
    }

    #[test]
    fn a_scheduler_that_does_not_fit_together_is_refused_by_name() {
        scheduler(
            r#"{"policy":"SCHED_OTHER","nice":20}"#,
            Err("process.scheduler.nice: 20 is not between -20 and 19"),
        );
        scheduler(
            r#"{"policy":"SCHED_BATCH","priority":1}"#,
            Err("process.scheduler.priority: can only be specified for SCHED_FIFO or SCHED_RR"),
        );
        scheduler(
            r#"{"policy":"SCHED_FIFO","priority":-1}"#,
            Err("process.scheduler.priority: is negative"),
        );
        scheduler(
            r#"{"policy":"SCHED_RR","deadline":1}"#,
            Err("process.scheduler.deadline: can only be specified for SCHED_DEADLINE"),
        );
    }

    #[test]
    fn an_io_priority_has_a_class_and_one_of_eight_levels() {
        let check = |json: &str| io_priority(&parse(json)).map_err(|error| error.to_string());
        let rt = r#"{"class":"IOPRIO_CLASS_RT","priority":7}"#;
        assert_eq!(check(rt), Ok((1, 7)));
        assert_eq!(check(r#"{"class":"IOPRIO_CLASS_IDLE"}"#), Ok((3, 0)));
        for bad in ["-1", "8", "9223372036854775807"] {
            let json = format!(r#"{{"class":"IOPRIO_CLASS_BE","priority":{bad}}}"#);
            let error = check(&json);
            let text = format!("process.ioPriority.priority: {bad} is not between 0 and 7");
            assert_eq!(error, Err(text));
        }
    }

    #[test]
    fn a_memory_policy_has_the_nodes_that_its_mode_needs() {
        let check = |json: &str| {
            memory_policy(&parse(json))
                .map(|(mode, nodes)| (mode, nodes.contains(1)))
                .map_err(|error| error.to_string())
        };
        assert_eq!(check(r#"{"mode":"MPOL_LOCAL"}"#), Ok((4, false)));
        assert_eq!(
            check(r#"{"mode":"MPOL_BIND","nodes":"0-1","flags":["MPOL_F_STATIC_NODES"]}"#),
            Ok((2 | 1 << 15, true))
        );
        assert_eq!(
            check(r#"{"mode":"MPOL_INTERLEAVE"}"#),
            Err("linux.memoryPolicy.nodes: MPOL_INTERLEAVE needs at least one".to_owned())
        );
        assert_eq!(
            check(r#"{"mode":"MPOL_DEFAULT","nodes":"0"}"#),
            Err("linux.memoryPolicy.nodes: MPOL_DEFAULT takes none".to_owned())
        );
    }

    #[test]
    fn lists_of_numbers_are_read_as_the_kernel_writes_them() {
        let set = numbers(" 0-2, 7,,65535").unwrap();
        for number in [0, 1, 2, 7, u16::MAX] {
            assert!(set.contains(number), "{number}");
        }
        assert!(!set.contains(3));
        let check =
            |list: &str, expect: ListError| assert_eq!(numbers(list), Err(expect), "{list}");
        check("", ListError::Empty(String::new()));
        check(",", ListError::Empty(",".to_owned()));
        check("2-1", ListError::Backwards("2-1".to_owned()));
        check("65536", ListError::TooLarge("65536".to_owned()));
        for bad in ["x", "-1", "1-", "+1", "1-2-3", "0x1", "1 2"] {
            check(bad, ListError::Malformed(bad.to_owned()));
        }
    }

    proptest! {
        #[test]
        fn every_number_of_a_range_is_in_the_set(first in 0u16..2000, more in 0u16..100) {
            let last = first + more;
            let set = numbers(&format!("{first}-{last}")).unwrap();
            prop_assert!((first..=last).all(|number| set.contains(number)));
            prop_assert!(!set.contains(last + 1));
        }

        #[test]
        fn no_list_panics(list in "[-0-9, a]{0,20}") {
            let _ = numbers(&list);
        }
    }
}
