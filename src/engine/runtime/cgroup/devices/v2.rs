//! The devices of v2: a small eBPF program that is asked for every use (bpf(2), `BPF_PROG_TYPE_CGROUP_DEVICE`).

use super::{ANY, Rule, Type};
use crate::engine::sys::bpf::Instruction;

// Operations of extended BPF that are used (linux/bpf.h, linux/bpf_common.h).
const LOAD_W: u8 = 0x61;
const MOV32_REG: u8 = 0xbc;
const MOV64_IMM: u8 = 0xb7;
const AND32_IMM: u8 = 0x54;
const RSH32_IMM: u8 = 0x74;
const JNE_IMM: u8 = 0x55;
const JEQ_IMM: u8 = 0x15;
const EXIT: u8 = 0x95;

/// `bpf_cgroup_dev_ctx`: type in the low half of the first word, access in the high half; then major, minor.
const TYPE_BLOCK: i32 = 1;
const TYPE_CHAR: i32 = 2;

/// The program for a list of rules. Each permission that is asked for is decided by the last rule that has it, as on v1;
/// without one it is denied. Nothing follows a rule that fits everything: the kernel refuses a program with instructions
/// that are never reached.
pub(in super::super) fn program(rules: &[Rule]) -> Vec<Instruction> {
    let mut program = vec![
        op(LOAD_W, 2, 1, 0, 0),         // r2 = type and access
        op(MOV32_REG, 3, 2, 0, 0),      // r3 = r2
        op(RSH32_IMM, 3, 0, 0, 16),     // r3 = access that is still undecided
        op(AND32_IMM, 2, 0, 0, 0xffff), // r2 = type
        op(LOAD_W, 4, 1, 4, 0),         // r4 = major
        op(LOAD_W, 5, 1, 8, 0),         // r5 = minor
    ];
    for rule in rules.iter().rev() {
        if rule.devices.typ == Type::All {
            program.extend(verdict(rule.allow));
            return program;
        }
        program.extend(rule_code(rule));
    }
    program.extend(verdict(false));
    program
}

fn rule_code(rule: &Rule) -> Vec<Instruction> {
    let typ = match rule.devices.typ {
        Type::Block => TYPE_BLOCK,
        Type::All | Type::Char => TYPE_CHAR,
    };
    let mut code = vec![op(JNE_IMM, 2, 0, 0, typ)];
    for (register, number) in [(4, rule.devices.major), (5, rule.devices.minor)] {
        if let Some(number) = number {
            // Compared as the kernel extends it: with its sign. Device numbers have at most 20 bits.
            code.push(op(JNE_IMM, register, 0, 0, number.cast_signed()));
        }
    }
    let access = i32::from(rule.access);
    if rule.allow {
        // What this rule allows is decided; if nothing else is asked for, all is.
        code.push(op(AND32_IMM, 3, 0, 0, i32::from(ANY) & !access));
        code.push(op(JNE_IMM, 3, 0, 0, 0));
    } else {
        code.push(op(MOV32_REG, 0, 3, 0, 0));
        code.push(op(AND32_IMM, 0, 0, 0, access));
        code.push(op(JEQ_IMM, 0, 0, 0, 0));
    }
    code.extend(verdict(rule.allow));
    let length = code.len();
    for (at, instruction) in code.iter_mut().enumerate() {
        if matches!(instruction.code, JNE_IMM | JEQ_IMM) {
            // To the first instruction after this rule. A rule has at most eight.
            instruction.offset = i16::try_from(length - at - 1).unwrap_or(0);
        }
    }
    code
}

fn verdict(allow: bool) -> [Instruction; 2] {
    [
        op(MOV64_IMM, 0, 0, 0, i32::from(allow)),
        op(EXIT, 0, 0, 0, 0),
    ]
}

fn op(code: u8, destination: u8, source: u8, offset: i16, immediate: i32) -> Instruction {
    Instruction {
        code,
        registers: (source << 4) | destination,
        offset,
        immediate,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::rule;
    use super::super::{MKNOD, READ, WRITE};
    use super::*;
    use proptest::prelude::*;

    /// Runs a program as the kernel would, for the few operations that it uses.
    fn run(program: &[Instruction], typ: i32, access: u8, major: i32, minor: i32) -> bool {
        let context = [typ | (i32::from(access) << 16), major, minor];
        let mut r = [0i64; 11];
        let mut at = 0usize;
        loop {
            let i = program[at];
            let (dst, src) = (usize::from(i.registers & 15), usize::from(i.registers >> 4));
            let jump = usize::try_from(i.offset).unwrap();
            match i.code {
                LOAD_W => r[dst] = i64::from(context[jump / 4]),
                MOV32_REG => r[dst] = r[src],
                MOV64_IMM => r[dst] = i64::from(i.immediate),
                AND32_IMM => r[dst] &= i64::from(i.immediate),
                RSH32_IMM => r[dst] >>= i.immediate,
                JNE_IMM if r[dst] != i64::from(i.immediate) => at += jump,
                JEQ_IMM if r[dst] == i64::from(i.immediate) => at += jump,
                JNE_IMM | JEQ_IMM => {}
                EXIT => return r[0] != 0,
                other => panic!("operation {other:#x}"),
            }
            at += 1;
        }
    }

    /// Whether every instruction can be reached from the first, as the kernel's check_cfg() asks.
    fn is_all_reached(program: &[Instruction]) -> bool {
        let mut reached = vec![false; program.len()];
        let mut next = vec![0];
        while let Some(at) = next.pop() {
            if std::mem::replace(&mut reached[at], true) || program[at].code == EXIT {
                continue;
            }
            next.push(at + 1);
            if matches!(program[at].code, JNE_IMM | JEQ_IMM) {
                next.push(at + 1 + usize::try_from(program[at].offset).unwrap());
            }
        }
        reached.into_iter().all(|is| is)
    }

    #[test]
    fn the_program_ends_with_a_rule_that_fits_everything() {
        let rules = [
            rule(true, Type::Char, Some(1), Some(3), ANY),
            rule(false, Type::All, None, None, ANY),
            rule(true, Type::Block, None, None, MKNOD),
        ];
        let program = program(&rules);
        assert!(is_all_reached(&program), "{program:?}");
        assert!(program.ends_with(&verdict(false)));
        assert!(run(&program, TYPE_BLOCK, MKNOD, 8, 0));
        assert!(!run(&program, TYPE_CHAR, READ, 1, 3));
    }

    #[test]
    fn permissions_of_two_rules_add_up() {
        let rules = [
            rule(true, Type::Char, Some(1), Some(3), READ),
            rule(true, Type::Char, Some(1), None, WRITE),
        ];
        let program = program(&rules);
        assert!(run(&program, TYPE_CHAR, READ | WRITE, 1, 3));
        assert!(!run(&program, TYPE_CHAR, READ | WRITE, 1, 4));
        assert!(run(&program, TYPE_CHAR, WRITE, 1, 4));
        assert!(!run(&program, TYPE_CHAR, ANY, 1, 3));
    }

    /// What the list means, read without a program: permission by permission.
    fn allowed(rules: &[Rule], typ: i32, access: u8, major: u32, minor: u32) -> bool {
        let fits = |rule: &Rule, bit: u8| {
            let number = |n: Option<u32>, is: u32| n.is_none_or(|n| n == is);
            let devices = match rule.devices.typ {
                Type::All => return true,
                Type::Block => typ == TYPE_BLOCK,
                Type::Char => typ == TYPE_CHAR,
            };
            devices
                && rule.access & bit != 0
                && number(rule.devices.major, major)
                && number(rule.devices.minor, minor)
        };
        [MKNOD, READ, WRITE]
            .into_iter()
            .filter(|bit| access & bit != 0)
            .all(|bit| {
                rules
                    .iter()
                    .rev()
                    .find(|rule| fits(rule, bit))
                    .is_some_and(|rule| rule.allow)
            })
    }

    proptest! {
        #[test]
        fn the_program_decides_as_the_list_reads(
            rules in prop::collection::vec((any::<bool>(), 0..3usize, prop::option::of(0..4u32), prop::option::of(0..4u32), 1..8u8), 0..8),
            block in any::<bool>(), access in 1..8u8, major in 0..4u32, minor in 0..4u32,
        ) {
            let rules: Vec<_> = rules
                .into_iter()
                .map(|(allow, typ, major, minor, access)| {
                    let typ = [Type::All, Type::Block, Type::Char][typ];
                    rule(allow, typ, major, minor, access)
                })
                .collect();
            let typ = if block { TYPE_BLOCK } else { TYPE_CHAR };
            let program = program(&rules);
            prop_assert!(is_all_reached(&program));
            prop_assert_eq!(
                run(&program, typ, access, major.cast_signed(), minor.cast_signed()),
                allowed(&rules, typ, access, major, minor)
            );
        }
    }
}
