//! From the `linux.seccomp` part of an OCI specification to a plan (runtime-spec, config-linux.md, "Seccomp").
//!
//! Where the specification is silent it does what runc does with libseccomp.

use oci_spec::runtime::{
    Arch as OciArch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompFilterFlag,
    LinuxSeccompOperator,
};

use super::plan::{Check, Compare, Conflict, Plan};
use super::table::Arch;
use super::{Listener, TABLE};
use crate::engine::error::{Error, Result};

/// `SECCOMP_FILTER_FLAG_*` (linux/seccomp.h).
const LOG: u32 = 2;
pub(super) const SPEC_ALLOW: u32 = 4;
const NEW_LISTENER: u32 = 8;
const WAIT_KILLABLE_RECV: u32 = 32;

/// The largest error number that the kernel returns (`MAX_ERRNO`).
const MAX_ERRNO: u32 = 4095;

/// What to do where an action has no error number of its own: `EPERM`.
const DEFAULT_ERRNO: u32 = 1;

/// Reads a specification for a host of this architecture.
///
/// # Errors
/// Invalid input; the message begins with the field.
pub(super) fn plan(spec: &LinuxSeccomp, native: Arch) -> Result<Plan> {
    if spec.default_action() == LinuxSeccompAction::ScmpActNotify {
        return Err(Error::invalid(
            "linux.seccomp.defaultAction: SCMP_ACT_NOTIFY cannot be the default action",
        ));
    }
    let default = action(
        spec.default_action(),
        spec.default_errno_ret(),
        "linux.seccomp.defaultErrnoRet",
    )?;
    let mut plan = Plan::new(default, architectures(spec, native)?);
    for (number, rule) in spec.syscalls().iter().flatten().enumerate() {
        let field = format!("linux.seccomp.syscalls[{number}]");
        let action = action(
            rule.action(),
            rule.errno_ret(),
            &format!("{field}.errnoRet"),
        )?;
        if rule.names().is_empty() {
            return Err(Error::invalid(format!("{field}.names is empty")));
        }
        // The filter's descriptor is told to the runtime by this call: nobody could answer it yet.
        let must_pass = rule.action() == LinuxSeccompAction::ScmpActNotify
            && rule.names().iter().any(|name| name == "write");
        if must_pass {
            return Err(Error::invalid(format!(
                "{field}.action: SCMP_ACT_NOTIFY cannot be used for the write syscall"
            )));
        }
        let mut checks = Vec::new();
        for (number, argument) in rule.args().iter().flatten().enumerate() {
            checks.push(check(argument, &format!("{field}.args[{number}]"))?);
        }
        // Several conditions on one argument: any of the rule's conditions is enough (runc, crun).
        let is_any = checks
            .iter()
            .enumerate()
            .any(|(n, a)| checks.iter().skip(n + 1).any(|b| a.index == b.index));
        let alternatives: Vec<&[Check]> = if is_any {
            checks.chunks(1).collect()
        } else {
            vec![&checks]
        };
        for (number, name) in rule.names().iter().enumerate() {
            if name.is_empty() {
                let message = format!("{field}.names[{number}] is empty");
                return Err(Error::invalid(message));
            }
            for checks in &alternatives {
                plan.add(TABLE, name, checks, action).map_err(|Conflict| {
                    Error::invalid(format!(
                        "{field}: {name} has the same conditions as an earlier rule with another action"
                    ))
                })?;
            }
        }
    }
    Ok(plan)
}

/// The flags to install the filter with; without any in the specification, the one that runc chooses then.
pub(super) fn flags(spec: &LinuxSeccomp) -> u32 {
    let notifies = is_notifying(spec);
    let listener = if notifies { NEW_LISTENER } else { 0 };
    let Some(flags) = spec.flags() else {
        return SPEC_ALLOW | listener;
    };
    let bits = flags.iter().map(|flag| match flag {
        LinuxSeccompFilterFlag::SeccompFilterFlagLog => LOG,
        LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow => SPEC_ALLOW,
        // The kernel takes it with a listener only.
        LinuxSeccompFilterFlag::SeccompFilterFlagWaitKillableRecv if notifies => WAIT_KILLABLE_RECV,
        // Who installs the filter has one thread: there is nobody to synchronize, and the kernel takes no listener then.
        LinuxSeccompFilterFlag::SeccompFilterFlagTsync
        | LinuxSeccompFilterFlag::SeccompFilterFlagWaitKillableRecv => 0,
    });
    bits.fold(listener, |all, bit| all | bit)
}

/// Who is to be told of system calls, if any rule says so.
///
/// # Errors
/// Invalid input for a rule without somebody to tell, and for metadata for nobody.
pub(super) fn listener(spec: &LinuxSeccomp) -> Result<Option<Listener>> {
    let path = spec.listener_path().clone().unwrap_or_default();
    let metadata = spec.listener_metadata().clone().unwrap_or_default();
    if path.as_os_str().is_empty() {
        if is_notifying(spec) {
            return Err(Error::invalid(
                "linux.seccomp.listenerPath is not set, and a rule has SCMP_ACT_NOTIFY",
            ));
        }
        if !metadata.is_empty() {
            return Err(Error::invalid(
                "linux.seccomp.listenerMetadata is set without linux.seccomp.listenerPath",
            ));
        }
    }
    Ok(is_notifying(spec).then_some(Listener { path, metadata }))
}

fn is_notifying(spec: &LinuxSeccomp) -> bool {
    let mut rules = spec.syscalls().iter().flatten();
    rules.any(|rule| rule.action() == LinuxSeccompAction::ScmpActNotify)
}

/// The host's own, always, and what else of the list this host runs. Calls of others cannot happen here.
///
/// # Errors
/// Invalid input for one with the other byte order: as libseccomp sees it, one filter cannot be for both.
fn architectures(spec: &LinuxSeccomp, native: Arch) -> Result<Vec<Arch>> {
    let mut arches = vec![native];
    for (number, arch) in spec.architectures().iter().flatten().enumerate() {
        if is_big_endian(*arch) {
            return Err(Error::invalid(format!(
                "linux.seccomp.architectures[{number}]: {arch} has another byte order than this host"
            )));
        }
        let arch = match arch {
            OciArch::ScmpArchX86_64 => Arch::X86_64,
            OciArch::ScmpArchX86 => Arch::I386,
            OciArch::ScmpArchX32 => Arch::X32,
            OciArch::ScmpArchAarch64 => Arch::Aarch64,
            OciArch::ScmpArchArm => Arch::Arm,
            _ => continue,
        };
        if native.family().contains(&arch) && !arches.contains(&arch) {
            arches.push(arch);
        }
    }
    Ok(arches)
}

/// Of hosts that we run on none is.
fn is_big_endian(arch: OciArch) -> bool {
    matches!(
        arch,
        OciArch::ScmpArchMips
            | OciArch::ScmpArchMips64
            | OciArch::ScmpArchMips64n32
            | OciArch::ScmpArchPpc
            | OciArch::ScmpArchPpc64
            | OciArch::ScmpArchS390
            | OciArch::ScmpArchS390x
    )
}

/// What the filter returns for an action (seccomp(2)). `field` is for messages.
fn action(action: LinuxSeccompAction, errno: Option<u32>, field: &str) -> Result<u32> {
    let (value, most) = match action {
        LinuxSeccompAction::ScmpActKill | LinuxSeccompAction::ScmpActKillThread => (0, None),
        LinuxSeccompAction::ScmpActKillProcess => (0x8000_0000, None),
        LinuxSeccompAction::ScmpActTrap => (0x0003_0000, None),
        LinuxSeccompAction::ScmpActErrno => (0x0005_0000, Some(MAX_ERRNO)),
        LinuxSeccompAction::ScmpActTrace => (0x7ff0_0000, Some(u32::from(u16::MAX))),
        LinuxSeccompAction::ScmpActLog => (0x7ffc_0000, None),
        LinuxSeccompAction::ScmpActAllow => (0x7fff_0000, None),
        LinuxSeccompAction::ScmpActNotify => (0x7fc0_0000, None),
    };
    match (most, errno) {
        (None, None) => Ok(value),
        (None, Some(_)) => Err(Error::invalid(format!(
            "{field}: {action} takes no error number"
        ))),
        (Some(most), Some(errno)) if errno > most => Err(Error::invalid(format!(
            "{field}: {errno} is more than {most}"
        ))),
        (Some(_), errno) => Ok(value | errno.unwrap_or(DEFAULT_ERRNO)),
    }
}

fn check(argument: &LinuxSeccompArg, field: &str) -> Result<Check> {
    let index = u8::try_from(argument.index()).ok().filter(|&n| n < 6);
    let Some(index) = index else {
        let index = argument.index();
        let message = format!("{field}.index: {index} is not an argument, there are six (0 to 5)");
        return Err(Error::invalid(message));
    };
    // With a mask, `value` is the mask, and what the masked argument has to be comes second.
    let second = argument.value_two().unwrap_or(0);
    let (compare, value) = match argument.op() {
        LinuxSeccompOperator::ScmpCmpNe => (Compare::NotEqual, argument.value()),
        LinuxSeccompOperator::ScmpCmpLt => (Compare::Less, argument.value()),
        LinuxSeccompOperator::ScmpCmpLe => (Compare::LessOrEqual, argument.value()),
        LinuxSeccompOperator::ScmpCmpEq => (Compare::Equal, argument.value()),
        LinuxSeccompOperator::ScmpCmpGe => (Compare::GreaterOrEqual, argument.value()),
        LinuxSeccompOperator::ScmpCmpGt => (Compare::Greater, argument.value()),
        LinuxSeccompOperator::ScmpCmpMaskedEq => (Compare::Masked(argument.value()), second),
    };
    Ok(Check {
        index,
        compare,
        value,
        wide: true,
    })
}
