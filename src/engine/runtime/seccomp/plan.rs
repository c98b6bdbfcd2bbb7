//! What a filter decides, system call by system call; how rules for the same one combine. Making instructions of it is
//! for `program.rs`.
//!
//! Rules combine as in libseccomp: one without conditions beats those with, and the first such one stays; else the
//! first case that holds decides, in an order that depends on the conditions, not on that of the rules. (libseccomp's own
//! programs lose a rule now and then, where several compare one argument in 64 bits; these do not.)
//!
//! As runc does: where the default is a refusal, system calls newer than all that are named do not exist (`ENOSYS`), so
//! that programs fall back to an older one.
//!
//! The build script compiles this file, too: it uses nothing of the crate but its neighbours.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::table::{Arch, Table, multiplexed};

/// `SECCOMP_RET_ACTION_FULL` and actions of it (linux/seccomp.h).
const ACTION: u32 = 0xffff_0000;
const ALLOW: u32 = 0x7fff_0000;
const LOG: u32 = 0x7ffc_0000;
const TRACE: u32 = 0x7ff0_0000;
const ENOSYS: u32 = 0x0005_0026;

/// Numbers from here on are ARM's own (asm/unistd.h), and say nothing about age.
const ARM_PRIVATE: u32 = 0x000f_0000;

/// How an argument is compared with a value; unsigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Compare {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    /// Equal in the bits of this mask.
    Masked(u64),
}

/// A condition on one argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Check {
    /// Which argument, 0 to 5.
    pub(super) index: u8,
    pub(super) compare: Compare,
    pub(super) value: u64,
    /// All 64 bits count, else the lower 32.
    pub(super) wide: bool,
}

/// An action and what has to hold for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Case {
    /// All of them; sorted by argument, never empty.
    pub(super) checks: Vec<Check>,
    /// What the filter returns (`SECCOMP_RET_*` with its data).
    pub(super) action: u32,
}

/// What happens to one system call.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Decision {
    /// This, whatever the arguments are.
    Always(u32),
    /// The first case that holds, else the plan's default.
    First(Vec<Case>),
}

/// Two rules have the same conditions on the same system call, and different actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Conflict;

/// A whole filter.
#[derive(Debug)]
pub(super) struct Plan {
    /// What the filter returns for what is not named.
    pub(super) default: u32,
    /// What it returns for what is newer than everything named.
    pub(super) unknown: u32,
    /// Whose system calls it knows; calls of others kill the process.
    pub(super) arches: Vec<Arch>,
    /// By architecture and number (for x32, with its bit).
    pub(super) calls: BTreeMap<(Arch, u32), Decision>,
    /// The largest number that was named, by architecture.
    pub(super) newest: BTreeMap<Arch, u32>,
}

impl Plan {
    pub(super) fn new(default: u32, arches: Vec<Arch>) -> Self {
        // Who allows, logs or traces what is unknown wants to see what is new.
        let unknown = if matches!(default & ACTION, ALLOW | LOG | TRACE) {
            default
        } else {
            ENOSYS
        };
        Self {
            default,
            unknown,
            arches,
            calls: BTreeMap::new(),
            newest: BTreeMap::new(),
        }
    }

    /// Adds a rule on every architecture that has the system call; the others skip it. `checks` must all hold, and name
    /// an argument once.
    ///
    /// # Errors
    /// [`Conflict`]; the plan is half-changed then.
    pub(super) fn add(
        &mut self,
        table: &Table,
        name: &str,
        checks: &[Check],
        action: u32,
    ) -> Result<(), Conflict> {
        let Some(numbers) = table.find(name) else {
            return Ok(());
        };
        for arch in self.arches.clone() {
            if let Some(number) = numbers.on(arch) {
                if number < ARM_PRIVATE || arch != Arch::Arm {
                    let newest = self.newest.entry(arch).or_default();
                    *newest = number.max(*newest);
                }
                if action != self.default {
                    self.decide((arch, number), case(arch, checks, action))?;
                }
            }
            if arch == Arch::I386
                && action != self.default
                && let Some((by, argument)) = multiplexed(name)
                && let Some(number) = table.find(by).and_then(|numbers| numbers.on(arch))
            {
                // The first argument of the old call takes the place of the condition on the new one's.
                let which = Check {
                    index: 0,
                    compare: Compare::Equal,
                    value: argument,
                    wide: false,
                };
                let others = checks.iter().filter(|check| check.index != 0);
                let checks: Vec<Check> = std::iter::once(&which).chain(others).copied().collect();
                self.decide((arch, number), case(arch, &checks, action))?;
            }
        }
        Ok(())
    }

    fn decide(&mut self, call: (Arch, u32), new: Case) -> Result<(), Conflict> {
        let unconditional = new.checks.is_empty();
        match self.calls.get_mut(&call) {
            Some(Decision::Always(_)) => {}
            Some(Decision::First(cases)) if !unconditional => {
                match cases.iter().find(|case| case.checks == new.checks) {
                    Some(same) if same.action == new.action => {}
                    Some(_) => return Err(Conflict),
                    None => {
                        // Behind those that are equally specific.
                        let place = cases.partition_point(|case| order(case, &new).is_le());
                        cases.insert(place, new);
                    }
                }
            }
            Some(Decision::First(_)) | None => {
                let decision = if unconditional {
                    Decision::Always(new.action)
                } else {
                    Decision::First(vec![new])
                };
                self.calls.insert(call, decision);
            }
        }
        Ok(())
    }
}

/// The rule as the architecture sees it: what a narrow one ignores is gone, and so is what always holds.
fn case(arch: Arch, checks: &[Check], action: u32) -> Case {
    let seen = checks.iter().filter_map(|check| {
        let wide = check.wide && arch.is_wide();
        let bits = if wide { u64::MAX } else { u64::from(u32::MAX) };
        let (compare, value) = match check.compare {
            Compare::Masked(mask) if mask & bits == 0 => return None,
            Compare::Masked(mask) => (Compare::Masked(mask & bits), check.value & mask & bits),
            other => (other, check.value & bits),
        };
        Some(Check {
            compare,
            value,
            wide,
            ..*check
        })
    });
    let mut checks: Vec<Check> = seen.collect();
    checks.sort_by_key(|check| check.index);
    Case { checks, action }
}

/// Which of two cases is tried first: condition by condition the later argument, equality before less before greater,
/// and the value that fewer numbers reach; and if one begins like the other, the shorter.
fn order(a: &Case, b: &Case) -> Ordering {
    let rank = |compare| match compare {
        Compare::Equal | Compare::NotEqual | Compare::Masked(_) => 0,
        Compare::Less | Compare::LessOrEqual => 1,
        Compare::Greater | Compare::GreaterOrEqual => 2,
    };
    for (a, b) in a.checks.iter().zip(&b.checks) {
        let by_kind = (b.index, rank(a.compare)).cmp(&(a.index, rank(b.compare)));
        let by_value = match a.compare {
            Compare::Less | Compare::LessOrEqual => a.value.cmp(&b.value),
            Compare::Equal
            | Compare::NotEqual
            | Compare::Masked(_)
            | Compare::Greater
            | Compare::GreaterOrEqual => b.value.cmp(&a.value),
        };
        let either = by_kind.then(by_value);
        if either.is_ne() {
            return either;
        }
    }
    a.checks.len().cmp(&b.checks.len())
}
