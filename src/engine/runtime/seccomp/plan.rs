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

use super::table::{Arch, Table, X32_BIT, multiplexed};

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
    calls: Calls,
    /// The largest number that was named, by architecture.
    newest: [Option<u32>; Arch::ALL.len()],
}

/// What is decided, in the order of the rules. A profile names some thousand calls: a slot for each number finds them in
/// a third of the time that a tree takes.
#[derive(Debug)]
struct Calls {
    decided: Vec<(Arch, u32, Decision)>,
    /// By architecture and number: the place in `decided`, plus one.
    slots: Vec<u16>,
}

/// Numbers with a slot; larger ones (ARM's private ones) are few, and searched for.
const SLOTS: usize = 1024;

impl Calls {
    fn new() -> Self {
        Self {
            decided: Vec::with_capacity(1024),
            slots: vec![0; SLOTS * Arch::ALL.len()],
        }
    }

    fn slot(&mut self, arch: Arch, number: u32) -> Option<&mut u16> {
        let number = usize::try_from(number & !X32_BIT).ok()?;
        let has_one = number < SLOTS;
        let place = arch.column() * SLOTS + number;
        has_one.then(|| self.slots.get_mut(place)).flatten()
    }

    fn find(&mut self, arch: Arch, number: u32) -> Option<&mut Decision> {
        let place = match self.slot(arch, number) {
            Some(slot) => usize::from(*slot).checked_sub(1)?,
            None => (self.decided.iter()).position(|&(a, n, _)| (a, n) == (arch, number))?,
        };
        self.decided.get_mut(place).map(|(_, _, decision)| decision)
    }

    fn set(&mut self, arch: Arch, number: u32, decision: Decision) {
        if let Some(old) = self.find(arch, number) {
            *old = decision;
            return;
        }
        self.decided.push((arch, number, decision));
        let length = u16::try_from(self.decided.len()).expect("five tables of some hundred calls");
        if let Some(slot) = self.slot(arch, number) {
            *slot = length;
        }
    }
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
            calls: Calls::new(),
            newest: [None; Arch::ALL.len()],
        }
    }

    /// What is decided on an architecture, by number (for x32, with its bit), sorted.
    pub(super) fn calls(&self, arch: Arch) -> Vec<(u32, &Decision)> {
        let decided = self.calls.decided.iter();
        let mut calls: Vec<(u32, &Decision)> = decided
            .filter(|(of, _, _)| *of == arch)
            .map(|(_, number, decision)| (*number, decision))
            .collect();
        calls.sort_unstable_by_key(|&(number, _)| number);
        calls
    }

    /// The largest number that was named on an architecture.
    pub(super) fn newest(&self, arch: Arch) -> Option<u32> {
        self.newest[arch.column()]
    }

    /// Adds a rule on every architecture that has the system call; the others skip it. `checks` must all hold, and name
    /// an argument once.
    ///
    /// # Errors
    /// [`Conflict`]; the plan is half-changed then.
    pub(super) fn add(
        &mut self,
        table: Table<'_>,
        name: &str,
        checks: &[Check],
        action: u32,
    ) -> Result<(), Conflict> {
        let Some(numbers) = table.find(name) else {
            return Ok(());
        };
        let old_way = multiplexed(name);
        for at in 0..self.arches.len() {
            let arch = self.arches[at];
            if let Some(number) = numbers.on(arch) {
                if number < ARM_PRIVATE || arch != Arch::Arm {
                    let newest = &mut self.newest[arch.column()];
                    *newest = Some(number).max(*newest);
                }
                if action != self.default {
                    self.decide((arch, number), case(arch, checks, action))?;
                }
            }
            if arch == Arch::I386
                && action != self.default
                && let Some((by, argument)) = old_way
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

    fn decide(&mut self, (arch, number): (Arch, u32), new: Case) -> Result<(), Conflict> {
        let unconditional = new.checks.is_empty();
        match self.calls.find(arch, number) {
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
                self.calls.set(arch, number, decision);
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
