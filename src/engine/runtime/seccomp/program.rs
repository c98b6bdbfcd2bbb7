//! From a plan to instructions of classic BPF (linux/filter.h, seccomp(2)).
//!
//! The program looks at the architecture, then finds the number of the system call by binary search: only loads,
//! comparisons and returns, so that the kernel can tell beforehand which system calls always pass, and asks no filter
//! about them (5.11).
//!
//! It is written from its end to its start: the place that a jump leads to is known when the jump is made.
//!
//! The build script compiles this file, too: it uses nothing of the crate but its neighbours.

use std::collections::HashMap;

use super::plan::{Case, Check, Compare, Decision, Plan};
use super::table::{Arch, X32_BIT};

/// Kills the whole process: the answer to calls of an architecture that the plan does not know.
pub(super) const KILL_PROCESS: u32 = 0x8000_0000;

/// `BPF_MAXINSNS`.
const MOST: usize = 4096;

/// A jump has 8 bits. Two targets may need an instruction each before the jump itself.
const REACH: usize = 253;

const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP: u16 = 0x05;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_GREATER: u16 = 0x25;
const JUMP_GREATER_OR_EQUAL: u16 = 0x35;
const RETURN: u16 = 0x06;

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const ARGUMENTS: u32 = 16;

/// One instruction; the fields of `struct sock_filter`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Op {
    pub(super) code: u16,
    pub(super) jt: u8,
    pub(super) jf: u8,
    pub(super) k: u32,
}

/// The program would have this many instructions, and the kernel takes 4096.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooLong(pub(super) usize);

/// Makes the program.
pub(super) fn assemble(plan: &Plan) -> Result<Vec<Op>, TooLong> {
    let mut program = Assembler {
        reversed: Vec::with_capacity(1024),
        returns: HashMap::new(),
        cases: HashMap::new(),
        default: plan.default,
    };
    let mut next = program.answer(KILL_PROCESS);
    let mut audits: Vec<u32> = Vec::new();
    for arch in &plan.arches {
        if !audits.contains(&arch.audit()) {
            audits.push(arch.audit());
        }
    }
    let mut blocks = Vec::new();
    // The first architecture is the host's own: its block comes first in the program, so last here.
    for &audit in audits.iter().rev() {
        let ranges = ranges(plan, audit);
        let search = program.search(&ranges);
        blocks.push((audit, program.load(NUMBER, search)));
    }
    for (audit, block) in blocks {
        next = program.branch(JUMP_EQUAL, audit, block, next);
    }
    program.load(ARCH, next);
    let mut ops = program.reversed;
    if ops.len() > MOST {
        return Err(TooLong(ops.len()));
    }
    ops.reverse();
    Ok(ops)
}

/// What happens from a number on, up to the next range's.
type Range<'a> = (u32, Leaf<'a>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaf<'a> {
    Return(u32),
    Cases(&'a [Case]),
}

/// All numbers of one `seccomp_data.arch`, from 0 upwards without a gap; neighbours differ.
fn ranges(plan: &Plan, audit: u32) -> Vec<Range<'_>> {
    let mut ranges: Vec<Range> = Vec::new();
    let mut push = |start, leaf| match ranges.last_mut() {
        Some(last) if last.1 == leaf => {}
        Some(last) if last.0 == start => last.1 = leaf,
        Some(_) | None => ranges.push((start, leaf)),
    };
    let default = Leaf::Return(plan.default);
    for arch in Arch::ALL.into_iter().filter(|arch| arch.audit() == audit) {
        let start = if arch == Arch::X32 { X32_BIT } else { 0 };
        if !plan.arches.contains(&arch) {
            push(start, Leaf::Return(KILL_PROCESS));
            if arch == Arch::X32 {
                // -1 is how a tracer skips a call, on every architecture (seccomp(2)).
                push(u32::MAX, default);
            }
            continue;
        }
        let newest = plan.newest(arch);
        let undecided = |number: u32| {
            let is_newer = newest.is_some_and(|newest| number > newest);
            let answer = if is_newer { plan.unknown } else { plan.default };
            Some((number, Leaf::Return(answer)))
        };
        let calls = plan.calls(arch);
        let after = calls
            .iter()
            .filter_map(|&(number, _)| undecided(number.checked_add(1)?));
        let decided = calls.iter().map(|&(number, decision)| match decision {
            Decision::Always(action) => (number, Leaf::Return(*action)),
            Decision::First(cases) => (number, Leaf::Cases(cases)),
        });
        let newer = newest.and_then(|newest| undecided(newest.checked_add(1)?));
        let mut points: Vec<Range> = vec![(start, default)];
        points.extend(newer.into_iter().chain(after).chain(decided));
        // Stable: where a number is named twice, what was decided comes last and stays.
        points.sort_by_key(|&(number, _)| number);
        for (number, leaf) in points {
            push(number, leaf);
        }
    }
    // A range of one that was overwritten may now equal the one before it.
    ranges.dedup_by(|next, before| next.1 == before.1);
    ranges
}

/// The number of instructions from a place to the end, itself included.
type Place = usize;

struct Assembler<'a> {
    reversed: Vec<Op>,
    /// The latest return of an action.
    returns: HashMap<u32, Place>,
    /// What decides among cases, where several system calls have the same.
    cases: HashMap<&'a [Case], Place>,
    default: u32,
}

impl<'a> Assembler<'a> {
    fn here(&self) -> Place {
        self.reversed.len()
    }

    fn push(&mut self, code: u16, jt: u8, jf: u8, k: u32) -> Place {
        self.reversed.push(Op { code, jt, jf, k });
        self.here()
    }

    /// Returns an action: one that is near, or a new one.
    fn answer(&mut self, action: u32) -> Place {
        match self.returns.get(&action) {
            Some(&place) if self.here() - place <= REACH => place,
            Some(_) | None => {
                let place = self.push(RETURN, 0, 0, action);
                self.returns.insert(action, place);
                place
            }
        }
    }

    /// The place, or one within reach of the next jump that leads there.
    fn near(&mut self, place: Place) -> Place {
        let distance = self.here() - place;
        if distance <= REACH {
            return place;
        }
        let target = self.reversed[place - 1];
        if target.code == RETURN {
            self.answer(target.k)
        } else {
            self.jump(distance)
        }
    }

    fn jump(&mut self, distance: usize) -> Place {
        let k = u32::try_from(distance).expect("a program of less than 2^32 instructions");
        self.push(JUMP, 0, 0, k)
    }

    /// Compares what is loaded.
    fn branch(&mut self, code: u16, k: u32, yes: Place, no: Place) -> Place {
        let (yes, no) = (self.near(yes), self.near(no));
        let skip = |place| u8::try_from(self.here() - place).expect("made near above");
        let (jt, jf) = (skip(yes), skip(no));
        self.push(code, jt, jf, k)
    }

    /// Loads a word and goes on at a place.
    fn load(&mut self, offset: u32, then: Place) -> Place {
        let distance = self.here() - then;
        if distance > 0 {
            self.jump(distance);
        }
        self.push(LOAD, 0, 0, offset)
    }

    /// Keeps the loaded bits of a mask and goes on at a place.
    fn mask(&mut self, mask: u32, then: Place) -> Place {
        debug_assert_eq!(then, self.here(), "the comparison was made just before");
        if mask == u32::MAX {
            then
        } else {
            self.push(AND, 0, 0, mask)
        }
    }

    /// Finds the range of the loaded number.
    fn search(&mut self, ranges: &[Range<'a>]) -> Place {
        if let [(_, leaf)] = ranges {
            return match *leaf {
                Leaf::Return(action) => self.answer(action),
                Leaf::Cases(cases) => self.decide(cases),
            };
        }
        let (below, above) = ranges.split_at(ranges.len() / 2);
        let yes = self.search(above);
        let no = self.search(below);
        self.branch(JUMP_GREATER_OR_EQUAL, above[0].0, yes, no)
    }

    /// Tries the cases in their order.
    fn decide(&mut self, cases: &'a [Case]) -> Place {
        if let Some(&place) = self.cases.get(cases) {
            return place;
        }
        let mut next = self.answer(self.default);
        for case in cases.iter().rev() {
            let mut yes = self.answer(case.action);
            for check in case.checks.iter().rev() {
                yes = self.check(check, yes, next);
            }
            next = yes;
        }
        self.cases.insert(cases, next);
        next
    }

    /// Compares an argument. All supported architectures are little-endian: the lower half comes first.
    fn check(&mut self, check: &Check, yes: Place, no: Place) -> Place {
        let low_at = ARGUMENTS + 8 * u32::from(check.index);
        let high_at = low_at + 4;
        let (high, low) = halves(check.value);
        // What a comparison says and what its contrary says are one program with the ends exchanged.
        let (code, mask, contrary) = match check.compare {
            Compare::Equal => (JUMP_EQUAL, u64::MAX, false),
            Compare::NotEqual => (JUMP_EQUAL, u64::MAX, true),
            Compare::Less => (JUMP_GREATER_OR_EQUAL, u64::MAX, true),
            Compare::LessOrEqual => (JUMP_GREATER, u64::MAX, true),
            Compare::Greater => (JUMP_GREATER, u64::MAX, false),
            Compare::GreaterOrEqual => (JUMP_GREATER_OR_EQUAL, u64::MAX, false),
            Compare::Masked(mask) => (JUMP_EQUAL, mask, false),
        };
        let (yes, no) = if contrary { (no, yes) } else { (yes, no) };
        let (high_mask, low_mask) = halves(mask);
        let mut place = yes;
        if low_mask != 0 {
            place = self.branch(code, low, yes, no);
            place = self.mask(low_mask, place);
            place = self.load(low_at, place);
        }
        if check.wide && high_mask != 0 {
            place = self.branch(JUMP_EQUAL, high, place, no);
            if code != JUMP_EQUAL {
                place = self.branch(JUMP_GREATER, high, yes, place);
            }
            place = self.mask(high_mask, place);
            place = self.load(high_at, place);
        }
        place
    }
}

/// The upper and the lower 32 bits.
fn halves(value: u64) -> (u32, u32) {
    let half = |value| u32::try_from(value).expect("32 bits are left");
    (half(value >> 32), half(value & u64::from(u32::MAX)))
}
